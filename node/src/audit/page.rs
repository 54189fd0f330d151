//! A report as one HTML file: no scripts, nothing loaded from anywhere, everything foreign escaped.
//!
//! It reads without style, by keyboard and aloud: one heading a section, tables with captions and header cells, words
//! and not colours alone for every verdict. It prints on white paper.
use std::fmt::{self, Write as _};

use super::report::{ContributionFacts, Report, Verdict, VersionFacts};

/// The page's style. It is the only thing on the page that the policy in its head lets through.
const STYLE: &str = "\
:root{color-scheme:light dark;--line:#767676;--quiet:#595959}\
@media(prefers-color-scheme:dark){:root{--line:#8a8a8a;--quiet:#b0b0b0}}\
body{font:1rem/1.5 system-ui,sans-serif;max-width:72rem;margin:0 auto;padding:1rem}\
h1{line-height:1.2}\
code,pre{font-family:ui-monospace,monospace;font-size:.875em;overflow-wrap:anywhere}\
pre{white-space:pre-wrap;border:1px solid var(--line);padding:.5rem}\
.verdict{border:2px solid;padding:.5rem 1rem;font-size:1.125rem}\
.table{overflow-x:auto}\
table{border-collapse:collapse;width:100%}\
caption{text-align:left;color:var(--quiet);padding-bottom:.25rem}\
th,td{border:1px solid var(--line);padding:.25rem .5rem;text-align:left;vertical-align:top}\
td.number{text-align:right;font-variant-numeric:tabular-nums}\
dt{font-weight:600}dd{margin:0 0 .5rem 1rem}\
@media print{:root{color-scheme:light;--line:#767676;--quiet:#444}body{max-width:none;font-size:9pt;padding:0}\
.table{overflow:visible}tr,.verdict,li{break-inside:avoid}h2{break-after:avoid}thead{display:table-header-group}}";

/// Text as HTML shows it, in content and in quoted attributes.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => formatter.write_str("&amp;")?,
                '<' => formatter.write_str("&lt;")?,
                '>' => formatter.write_str("&gt;")?,
                '"' => formatter.write_str("&quot;")?,
                '\'' => formatter.write_str("&#39;")?,
                '\n' => formatter.write_char('\n')?,
                other if other.is_control() => formatter.write_char('\u{fffd}')?,
                other => formatter.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// The page.
pub fn html(report: &Report) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = write(report, &mut page);
    page
}

fn write(report: &Report, page: &mut String) -> fmt::Result {
    let name = report.space.as_ref().map_or("unknown space", |space| space.name.as_str());
    let title = match report.version {
        Some(version) => format!("Audit of {name}, version {version}"),
        None => "Audit".to_owned(),
    };
    let title = Escaped(&title);
    writeln!(page, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">")?;
    writeln!(page, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")?;
    writeln!(
        page,
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    )?;
    writeln!(
        page,
        "<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>"
    )?;
    verdict(report, page)?;
    facts(report, page)?;
    lineage(report, page)?;
    contributors(report, page)?;
    list(page, "proved", "Proved", "Computed again from the file when this page was made.", &report.proved)?;
    list(page, "signed", "Signed", "Somebody's word, by a signature that holds.", &report.signed)?;
    list(page, "not-shown", "Not shown", "What nothing here says anything about.", &report.not_shown)?;
    evidence(report, page)?;
    writeln!(page, "</main>\n</body>\n</html>")
}

fn verdict(report: &Report, page: &mut String) -> fmt::Result {
    let word = match report.verdict {
        Verdict::Valid => "Valid",
        Verdict::Invalid => "Not valid",
        Verdict::NeedsNewerVersion => "Needs a newer version of weightproof",
    };
    writeln!(page, "<p class=\"verdict\"><strong>{word}:</strong> {}</p>", Escaped(&report.summary))?;
    if let Some(failure) = &report.failure {
        writeln!(page, "<p><strong>{}</strong> {}</p>", Escaped(&failure.code), Escaped(&failure.message))?;
    }
    Ok(())
}

fn facts(report: &Report, page: &mut String) -> fmt::Result {
    writeln!(page, "<h2 id=\"facts\">Facts</h2>\n<dl>")?;
    let mut fact =
        |name: &str, value: &str| writeln!(page, "<dt>{}</dt><dd>{}</dd>", Escaped(name), Escaped(value));
    if let Some(digest) = &report.model_digest {
        fact("Model digest", digest)?;
    }
    if let Some(space) = &report.space {
        fact("Space", &format!("{} ({})", space.name, space.id))?;
        let widths: Vec<String> = space.layers.iter().map(usize::to_string).collect();
        let work = format!(
            "layers {}, {} steps of {} rows a contribution",
            widths.join("-"),
            space.steps,
            space.batch
        );
        fact("Training program", &format!("{work}, digest {}", space.program_digest))?;
        if let Some(validation) = &space.validation {
            fact("Validation set", &format!("digest {validation}; figures are the operator's word"))?;
        }
    }
    if let Some(node) = &report.node {
        let pinned = if node.key_pinned { "given by the auditor" } else { "the file's own word" };
        fact("Node", &format!("{}, key {} ({pinned})", node.origin, node.key))?;
    }
    if let Some(checkpoint) = &report.checkpoint {
        fact("Log", &format!("{} entries, root {}", checkpoint.size, checkpoint.root))?;
    }
    if let Some(time) = &report.time {
        fact("Last entry", &format!("{time} (UTC, by the node's clock)"))?;
    }
    if let Some(supply) = &report.supply {
        let (word, tokens) = (if supply.conserved { "conserved" } else { "not conserved" }, supply.tokens);
        let (genesis, emitted, burned) = (supply.genesis, supply.emitted, supply.burned);
        fact(
            "Tokens",
            &format!("{tokens} = {genesis} allocated + {emitted} minted - {burned} burned: {word}"),
        )?;
        fact("Rewards in this lineage", &report.rewards.to_string())?;
    }
    writeln!(page, "</dl>")
}

fn lineage(report: &Report, page: &mut String) -> fmt::Result {
    writeln!(page, "<h2 id=\"lineage\">Lineage</h2>")?;
    if report.lineage.is_empty() {
        return writeln!(page, "<p>Not known: the log does not hold.</p>");
    }
    writeln!(
        page,
        "<div class=\"table\" role=\"region\" aria-labelledby=\"lineage\" tabindex=\"0\">\n<table>\n<caption>Every version that this one comes from, and every contribution in it, in the order of the log.</caption>"
    )?;
    let heads = [
        "Version",
        "Round",
        "Log entry",
        "Contributor",
        "Rows",
        "Weight",
        "Reward",
        "Proof",
        "Statement digest",
    ];
    let cells: String = heads.iter().map(|head| format!("<th scope=\"col\">{head}</th>")).collect();
    writeln!(page, "<thead><tr>{cells}</tr></thead>")?;
    for version in &report.lineage {
        writeln!(page, "<tbody>")?;
        let number = format!("{} <code>{}</code>", version.version, Escaped(&version.digest));
        if version.contributions.is_empty() {
            let how = origin_of(version);
            writeln!(
                page,
                "<tr><th scope=\"row\">{number}</th><td class=\"number\">-</td><td class=\"number\">{}</td><td colspan=\"4\">{}</td><td>{}</td><td>-</td></tr>",
                version.entry,
                Escaped(&how),
                if version.recomputed { "computed again" } else { "not computed" }
            )?;
        }
        for (place, made) in version.contributions.iter().enumerate() {
            let rows = version.contributions.len();
            let head = if place == 0 {
                format!("<th scope=\"rowgroup\" rowspan=\"{rows}\">{number}</th>")
            } else {
                String::new()
            };
            writeln!(page, "<tr>{head}{}</tr>", contribution(version, made))?;
        }
        writeln!(page, "</tbody>")?;
    }
    writeln!(page, "</table>\n</div>")
}

fn origin_of(version: &VersionFacts) -> String {
    match (version.reverted_to, &version.reason) {
        (Some(earlier), Some(reason)) => format!("taken back to version {earlier} by the operator: {reason}"),
        (Some(earlier), None) => format!("taken back to version {earlier} by the operator"),
        (None, _) => "first model, from program and seed".to_owned(),
    }
}

fn contribution(version: &VersionFacts, made: &ContributionFacts) -> String {
    let late = match version.round.saturating_sub(made.round) {
        0 => version.round.to_string(),
        late => format!("{} ({late} late)", made.round),
    };
    let proof = if made.proven { "verified" } else { "not verified" };
    format!(
        "<td class=\"number\">{late}</td><td class=\"number\">{}</td><td><code>{}</code></td><td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td><td>{proof} ({})</td><td><code>{}</code></td>",
        made.entry,
        Escaped(&made.contributor),
        made.dataset_rows,
        made.weight,
        made.reward,
        Escaped(&made.seal),
        Escaped(&made.statement_digest),
    )
}

fn contributors(report: &Report, page: &mut String) -> fmt::Result {
    let counts = report.contributors();
    if counts.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "<h2 id=\"contributors\">Contributors</h2>\n<div class=\"table\" role=\"region\" aria-labelledby=\"contributors\" tabindex=\"0\">\n<table>\n<caption>Who made the contributions of this lineage, by account.</caption>\n<thead><tr><th scope=\"col\">Account</th><th scope=\"col\">Contributions</th><th scope=\"col\">Earned</th></tr></thead>\n<tbody>"
    )?;
    for (account, count) in counts {
        let earned = report
            .contributions()
            .filter(|made| made.contributor == account)
            .fold(0u64, |sum, made| sum.saturating_add(made.reward));
        writeln!(
            page,
            "<tr><th scope=\"row\"><code>{}</code></th><td class=\"number\">{count}</td><td class=\"number\">{earned}</td></tr>",
            Escaped(account)
        )?;
    }
    writeln!(page, "</tbody>\n</table>\n</div>")
}

fn list(page: &mut String, id: &str, title: &str, about: &str, lines: &[String]) -> fmt::Result {
    writeln!(page, "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{title}</h2>\n<p>{about}</p>")?;
    if lines.is_empty() {
        writeln!(page, "<p>Nothing: the audit did not come so far.</p>")?;
    } else {
        writeln!(page, "<ul>")?;
        for line in lines {
            writeln!(page, "<li>{}</li>", Escaped(line))?;
        }
        writeln!(page, "</ul>")?;
    }
    writeln!(page, "</section>")
}

fn evidence(report: &Report, page: &mut String) -> fmt::Result {
    writeln!(page, "<h2 id=\"evidence\">Check it yourself</h2>")?;
    writeln!(page, "<p>This page is a copy of a verdict, not evidence. The evidence is the bundle:</p>")?;
    let key = report.node.as_ref().map_or("HEX", |node| node.key.as_str());
    writeln!(page, "<pre>weightproof audit verify FILE.wpbundle --key {}</pre>", Escaped(key))?;
    if let (Some(digest), Some(bytes)) = (&report.bundle_sha256, report.bundle_bytes) {
        writeln!(page, "<p>The bundle has {bytes} bytes and SHA-256 <code>{}</code>.</p>", Escaped(digest))?;
    }
    if let Some(checkpoint) = &report.checkpoint {
        writeln!(page, "<h3>Checkpoint</h3>\n<pre>{}</pre>", Escaped(&checkpoint.note))?;
    }
    if let Some(space) = &report.space {
        writeln!(page, "<h3>Training program</h3>\n<pre>{}</pre>", Escaped(&space.program))?;
        writeln!(
            page,
            "<h3>Columns, classes and standardisation</h3>\n<pre>{}</pre>",
            Escaped(&space.schema)
        )?;
    }
    Ok(())
}
