//! A report in the formats that others read: an in-toto statement, a model card, a CycloneDX bill of materials.
//!
//! Each says what was proved, signed and not shown; none says more than the report. They are written from a valid report
//! alone, and are a copy of a verdict: the evidence is the bundle, whose SHA-256 each names.
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::report::{ContributionFacts, Report, TaskFacts, Verdict};

/// The predicate of the in-toto statement (specs/bundle.md).
pub const PREDICATE_TYPE: &str = "urn:weightproof:provenance:v1";
/// How such a model is built (specs/bundle.md).
const BUILD_TYPE: &str = "urn:weightproof:build:v1";
/// The digest of a model's integers, which is no digest of a file (specs/encoding.md).
const MODEL_DIGEST: &str = "weightproofParametersV1";
/// The root of a dataset's row commitments (specs/protocol/data.md).
const DATASET_DIGEST: &str = "weightproofDatasetRootV1";

/// A report that may be exported: of a valid bundle, with everything that such a report has.
#[derive(Clone, Copy, Debug)]
pub struct Exported<'a> {
    report: &'a Report,
    space: &'a TaskFacts,
    version: u64,
    digest: &'a str,
    bundle: &'a str,
    time: &'a str,
}

impl<'a> Exported<'a> {
    /// `None` unless the bundle is valid: nobody gets an attestation of what does not hold.
    pub fn new(report: &'a Report) -> Option<Exported<'a>> {
        if report.verdict != Verdict::Valid {
            return None;
        }
        Some(Exported {
            report,
            space: report.space.as_ref()?,
            version: report.version?,
            digest: report.model_digest.as_deref()?,
            bundle: report.bundle_sha256.as_deref()?,
            time: report.time.as_deref()?,
        })
    }

    /// `sepsis-v3`.
    pub fn name(&self) -> String {
        format!("{}-v{}", self.space.name, self.version)
    }

    /// When the log's last entry was made, as RFC 3339 writes it.
    fn timestamp(&self) -> String {
        self.time.replacen(' ', "T", 1)
    }

    fn key(&self) -> &str {
        self.report.node.as_ref().map_or("", |node| node.key.as_str())
    }

    /// An in-toto statement, version 1, whose predicate is laid out as SLSA's provenance is.
    pub fn in_toto(&self) -> Value {
        let report = self.report;
        let contribution = |made: &ContributionFacts| {
            json!({
                "name": format!("contribution {}", made.statement_digest),
                "digest": { "sha256": made.file_sha256 },
                "annotations": {
                    "statementDigest": made.statement_digest,
                    "contributor": made.contributor,
                    "round": made.round,
                    "baseVersion": made.base_version,
                    "weight": made.weight,
                    "reward": made.reward,
                    "seal": made.seal,
                    "logEntry": made.entry,
                    "proofVerified": made.proven,
                    "datasetRows": made.dataset_rows,
                }
            })
        };
        let dataset = |(root, rows): (&str, u64)| {
            json!({
                "name": format!("committed dataset of {rows} rows"),
                "digest": { DATASET_DIGEST: root },
            })
        };
        let mut dependencies: Vec<Value> =
            vec![json!({ "name": self.name() + ".wpbundle", "digest": { "sha256": self.bundle } })];
        dependencies.extend(report.contributions().map(contribution));
        dependencies.extend(self.datasets().into_iter().map(dataset));
        json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{ "name": self.name(), "digest": { MODEL_DIGEST: self.digest } }],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "buildDefinition": {
                    "buildType": BUILD_TYPE,
                    "externalParameters": {
                        "space": self.space.name,
                        "spaceId": self.space.id,
                        "version": self.version,
                        "programDigest": self.space.program_digest,
                        "program": self.space.program,
                        "seed": self.space.seed,
                    },
                    "resolvedDependencies": dependencies,
                },
                "runDetails": {
                    "builder": { "id": format!("urn:weightproof:node:{}", self.key()) },
                    "metadata": {
                        "invocationId": format!("{}/{}", self.space.id, self.version),
                        "startedOn": self.instant(report.lineage.first().map(|version| version.time.as_str())),
                        "finishedOn": self.instant(report.lineage.last().map(|version| version.time.as_str())),
                    },
                },
                "verification": {
                    "verifier": { "id": "weightproof", "version": env!("CARGO_PKG_VERSION") },
                    "contributions": report.contributions,
                    "proven": report.proven,
                    "lineageDepth": report.depth,
                    "gaps": report.gaps,
                    "keyPinned": report.node.as_ref().is_some_and(|node| node.key_pinned),
                    "checkpoint": report.checkpoint.as_ref().map(|checkpoint| &checkpoint.note),
                    "proved": report.proved,
                    "signed": report.signed,
                    "notShown": report.not_shown,
                },
            },
        })
    }

    fn instant(&self, time: Option<&str>) -> Option<String> {
        time.map(|time| time.replacen(' ', "T", 1))
    }

    /// Dataset roots and rows, each once, in the order of their first use.
    fn datasets(&self) -> Vec<(&str, u64)> {
        let mut datasets: Vec<(&str, u64)> = Vec::new();
        for made in self.report.contributions() {
            let dataset = (made.dataset_root.as_str(), made.dataset_rows);
            if !datasets.contains(&dataset) {
                datasets.push(dataset);
            }
        }
        datasets
    }

    /// A CycloneDX 1.6 bill of materials with the model's card.
    pub fn cyclonedx(&self) -> Value {
        let report = self.report;
        let reference = |root: &str| format!("dataset-{root}");
        let mut datasets: Vec<&str> = self.datasets().iter().map(|(root, _)| *root).collect();
        datasets.dedup();
        let rows = |wanted: &str| {
            let found = self.datasets().into_iter().find(|(root, _)| *root == wanted);
            found.map_or(0, |(_, rows)| rows)
        };
        let components: Vec<Value> = datasets
            .iter()
            .map(|root| {
                json!({
                    "type": "data",
                    "bom-ref": reference(root),
                    "name": "committed training data",
                    "description": "Rows that never left their holder: the log has the root of their commitments alone.",
                    "data": [{
                        "type": "dataset",
                        "name": root,
                        "contents": { "properties": [property("rows", &rows(root).to_string())] },
                        "sensitiveData": ["unknown: not shown by any proof"],
                    }],
                    "properties": [property("dataset-root", root)],
                })
            })
            .collect();
        let limitations: Vec<&String> = report.not_shown.iter().collect();
        let mut properties = vec![
            property("space-id", &self.space.id),
            property("program-digest", &self.space.program_digest),
            property("model-digest", self.digest),
            property("bundle-sha256", self.bundle),
            property("node-key", self.key()),
            property("contributions", &report.contributions.to_string()),
            property("contributions-proven", &report.proven.to_string()),
            property("lineage-depth", &report.depth.to_string()),
        ];
        properties
            .extend(report.contributions().map(|made| property("statement-digest", &made.statement_digest)));
        properties.extend(report.proved.iter().map(|line| property("proved", line)));
        properties.extend(report.signed.iter().map(|line| property("signed", line)));
        json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "serialNumber": format!("urn:uuid:{}", uuid(self.bundle)),
            "version": 1,
            "metadata": {
                "timestamp": self.timestamp(),
                "tools": { "components": [{
                    "type": "application", "name": "weightproof", "version": env!("CARGO_PKG_VERSION"),
                }] },
                "component": {
                    "type": "machine-learning-model",
                    "bom-ref": self.name(),
                    "name": self.space.name,
                    "version": self.version.to_string(),
                    "modelCard": {
                        "modelParameters": {
                            "approach": { "type": "supervised" },
                            "task": "tabular",
                            "architectureFamily": "multilayer perceptron",
                            "modelArchitecture": widths(self.space),
                            "datasets": datasets.iter().map(|root| json!({ "ref": reference(root) })).collect::<Vec<_>>(),
                            "inputs": [{ "format": format!("{} numbers", self.space.layers.first().unwrap_or(&0)) }],
                            "outputs": [{ "format": format!("{} numbers", self.space.layers.last().unwrap_or(&0)) }],
                        },
                        "considerations": { "technicalLimitations": limitations },
                    },
                    "properties": properties,
                },
            },
            "components": components,
            "dependencies": [{
                "ref": self.name(),
                "dependsOn": datasets.iter().map(|root| reference(root)).collect::<Vec<_>>(),
            }],
        })
    }

    /// A model card in Markdown.
    pub fn model_card(&self) -> String {
        let report = self.report;
        let mut card = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(card, "# {}\n", markdown(&self.name()));
        let _ = writeln!(card, "{}.\n", markdown(&report.summary));
        let _ = writeln!(card, "| | |\n|---|---|");
        let mut row = |name: &str, value: &str| {
            let _ = writeln!(card, "| {name} | {} |", markdown(value));
        };
        row("Model digest", self.digest);
        row("Architecture", &widths(self.space));
        row("Work of a contribution", &format!("{} steps of {} rows", self.space.steps, self.space.batch));
        row("Program digest", &self.space.program_digest);
        row("Space", &format!("{} ({})", self.space.name, self.space.id));
        row("Node's key", self.key());
        if let Some(node) = &report.node {
            row("Log", &node.origin);
        }
        if let Some(checkpoint) = &report.checkpoint {
            row("Log size", &checkpoint.size.to_string());
            row("Log root", &checkpoint.root);
        }
        row("Last entry, UTC", self.time);
        row("SHA-256 of the bundle", self.bundle);
        let lists =
            [("Proved", &report.proved), ("Signed", &report.signed), ("Not shown", &report.not_shown)];
        for (title, lines) in lists {
            let _ = writeln!(card, "\n## {title}\n");
            for line in lines {
                let _ = writeln!(card, "- {}", markdown(line));
            }
        }
        let _ = writeln!(card, "\n## Training data\n");
        let _ =
            writeln!(card, "Rows never left their holders; the log has the roots of their commitments.\n");
        let _ = writeln!(card, "| Dataset root | Rows |\n|---|---|");
        for (root, rows) in self.datasets() {
            let _ = writeln!(card, "| {root} | {rows} |");
        }
        let _ = writeln!(card, "\n## Lineage\n");
        let _ =
            writeln!(card, "| Version | Round | Entry | Contributor | Weight | Reward | Proof | Statement |");
        let _ = writeln!(card, "|---|---|---|---|---|---|---|---|");
        for version in &report.lineage {
            if version.contributions.is_empty() {
                let how = match version.reverted_to {
                    Some(earlier) => format!("taken back to version {earlier}"),
                    None => "from program and seed".to_owned(),
                };
                let _ = writeln!(
                    card,
                    "| {} | | {} | {how} | | | computed again | |",
                    version.version, version.entry
                );
            }
            for made in &version.contributions {
                let _ = writeln!(
                    card,
                    "| {} | {} | {} | {} | {} | {} | verified ({}) | {} |",
                    version.version,
                    made.round,
                    made.entry,
                    made.contributor,
                    made.weight,
                    made.reward,
                    markdown(&made.seal),
                    made.statement_digest
                );
            }
        }
        let _ = writeln!(card, "\n## Columns, as the operator describes them\n");
        // An indented block: nothing in it is markup.
        for line in self.space.schema.lines() {
            let _ = writeln!(card, "    {line}");
        }
        card
    }
}

fn widths(space: &TaskFacts) -> String {
    let widths: Vec<String> = space.layers.iter().map(usize::to_string).collect();
    format!("mlp {}", widths.join("-"))
}

fn property(name: &str, value: &str) -> Value {
    json!({ "name": format!("weightproof:{name}"), "value": value })
}

/// A name of its own for each bundle, of the free form (version 8) of RFC 9562.
fn uuid(digest: &str) -> String {
    let part = |start: usize, end: usize| digest.get(start..end).unwrap_or_default();
    format!("{}-{}-8{}-8{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}

/// Text that Markdown shows as it is.
fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '!' | '~' => {
                escaped.push('\\');
                escaped.push(character);
            }
            other if other.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_no_markup() {
        assert_eq!(markdown("a|b<c>*d*\n# e"), "a\\|b&lt;c&gt;\\*d\\* \\# e");
    }

    #[test]
    fn names_of_bills_are_uuids() {
        assert_eq!(uuid(&"0123456789abcdef".repeat(4)), "01234567-89ab-8def-8123-456789abcdef");
    }
}
