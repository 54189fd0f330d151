//! Pages, exports, data folders and the commands.
use std::path::Path;

use rusqlite::Connection;
use serde_json::Value;

use super::world::{NODE, ORIGIN, Parts, World, id};
use super::{Verdict, report};
use crate::audit::export::{Exported, PREDICATE_TYPE};
use crate::audit::folder::Folder;
use crate::audit::log::{Options, of_bundle, of_folder};
use crate::audit::{bundle, page};
use crate::exit::Exit;
use crate::output::{Output, hex};
use crate::store::DATABASE;

#[test]
fn a_page_has_its_sections_and_no_foreign_markup() {
    let html = page::html(&report(&World::get().fourth, Some(&id(NODE))));
    for part in [
        "<!DOCTYPE html>",
        "<html lang=\"en\">",
        "default-src 'none'",
        "<title>Audit of sepsis, version 4</title>",
        "<strong>Valid:</strong> 2/2 contributions proven, lineage depth 3, 0 gaps",
        "<h2 id=\"lineage\">Lineage</h2>",
        "<caption>Every version",
        "<th scope=\"col\">Statement digest</th>",
        "<h2 id=\"contributors\">Contributors</h2>",
        "<h2 id=\"proved\">Proved</h2>",
        "<h2 id=\"signed\">Signed</h2>",
        "<h2 id=\"not-shown\">Not shown</h2>",
        "<li>Data quality",
        "taken back to version 1 by the operator: &lt;script&gt;alert(&#39;worse &amp; &quot;slower&quot;&#39;)&lt;/script&gt;",
        "node.example/&lt;i&gt;log&lt;/i&gt;",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "verified (sigma)",
        "@media print",
    ] {
        assert!(html.contains(part), "{part} is missing in\n{html}");
    }
    for foreign in
        ["<script", "<i>", "<img", "http://", "https://", "src=", "href=", "onerror", "javascript:"]
    {
        assert!(!html.contains(foreign), "{foreign} is in\n{html}");
    }
    // Every element that is opened is closed, in order.
    let mut open = Vec::new();
    for tag in html.split('<').skip(2).filter_map(|part| part.split('>').next()) {
        let name = tag.trim_start_matches('/').split_whitespace().next().unwrap_or_default();
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if name == "meta" => {}
            None => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
    // Each version is a group of rows, as wide as its head.
    assert_eq!(html.matches("<tbody>").count(), 4 + 1);
    assert_eq!(html.matches("<th scope=\"col\">").count(), 9 + 3);
}

#[test]
fn a_page_of_a_bad_bundle_says_so() {
    let mut parts = Parts::of(&World::get().second);
    parts.entries.remove(3);
    let html = page::html(&report(&parts.encode(), None));
    assert!(html.contains("<strong>Not valid:</strong>") && html.contains("E506"));
    assert!(html.contains("Nothing: the audit did not come so far."));
    assert!(!html.contains("verified ("));
}

#[test]
fn evidence_says_what_the_report_says() {
    let found = report(&World::get().fourth, Some(&id(NODE)));
    let exported = Exported::new(&found).unwrap();
    assert_eq!(exported.name(), "sepsis-v4");

    let statement = exported.in_toto();
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], PREDICATE_TYPE);
    let digest = found.model_digest.clone().unwrap();
    assert_eq!(statement["subject"][0]["digest"]["weightproofParametersV1"], Value::from(digest.clone()));
    let dependencies = statement["predicate"]["buildDefinition"]["resolvedDependencies"].as_array().unwrap();
    // The bundle, two contributions, one dataset.
    assert_eq!(dependencies.len(), 4);
    assert_eq!(dependencies[0]["digest"]["sha256"], Value::from(found.bundle_sha256.clone()));
    assert_eq!(dependencies[1]["annotations"]["proofVerified"], true);
    assert_eq!(
        statement["predicate"]["verification"]["notShown"].as_array().unwrap().len(),
        found.not_shown.len()
    );

    let bill = exported.cyclonedx();
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&Value::from("CycloneDX"), &Value::from("1.6")));
    assert_eq!(bill["metadata"]["component"]["type"], "machine-learning-model");
    assert_eq!(bill["components"].as_array().unwrap().len(), 1);

    let card = exported.model_card();
    for part in ["# sepsis-v4", "## Proved", "## Signed", "## Not shown", "## Lineage", &digest] {
        assert!(card.contains(part), "{part} is missing in\n{card}");
    }
    let markup = card.lines().filter(|line| !line.starts_with("    ")).any(|line| line.contains('<'));
    assert!(!markup, "{card}");

    // Nothing is exported of what does not hold.
    let mut parts = Parts::of(&World::get().second);
    parts.entries.pop();
    assert!(Exported::new(&report(&parts.encode(), None)).is_none());
}

#[test]
fn a_data_folder_gives_the_same_bundles() {
    let world = World::get();
    let folder = world.folder();
    let opened = Folder::open(folder.path()).unwrap().unwrap();
    let space = opened.space("sepsis").unwrap();
    assert_eq!(opened.space("other"), None);
    for (version, expected) in [(2, &world.second), (4, &world.fourth)] {
        let mut bytes = Vec::new();
        bundle::write(&opened.reader, &opened.snapshot, &opened.index, &space, version, &mut bytes).unwrap();
        assert!(bytes == *expected, "version {version}");
    }
    let unknown = |space, version| {
        let error = bundle::plan(&opened.snapshot, &opened.index, &space, version).unwrap_err();
        error.code().as_str()
    };
    assert_eq!((unknown(space, 5), unknown([9; 32], 0)), ("E201", "E201"));

    // A snapshot from before version 4, with an index that is ahead of it.
    let mut earlier = opened.snapshot.clone();
    earlier.size = 3;
    assert!(bundle::plan(&earlier, &opened.index, &space, 4).is_err());
    assert_eq!(bundle::plan(&earlier, &opened.index, &space, 0).unwrap().contributions(), 0);
}

#[test]
fn a_log_plays_again_from_bundle_and_folder() {
    let world = World::get();
    let (key, folder) = (id(NODE), world.folder());
    let options = Options { key: Some(&key), since: Some(&world.earlier) };
    let size: u64 = world.earlier.lines().nth(1).unwrap().parse().unwrap();
    let reports = [of_bundle(&*world.second, &options).unwrap(), of_folder(folder.path(), &options).unwrap()];
    for report in &reports {
        assert_eq!((report.verdict, &report.failure), (Verdict::Valid, &None));
        assert_eq!(report.continues, Some(size));
        assert!(report.supply.as_ref().unwrap().conserved);
        // The node is its own operator.
        assert_eq!(report.accounts.len(), 3);
        assert_eq!((report.spaces[0].name.as_str(), report.spaces[0].version), ("sepsis", 4));
        assert_eq!(report.node.as_ref().unwrap().origin, ORIGIN);
    }
    let json = |report| serde_json::to_string(report).unwrap();
    assert_eq!(json(&reports[0]), json(&reports[1]));

    // An earlier checkpoint that this log does not continue.
    let mut other = Parts::of(&world.second);
    other.entries.truncate(4);
    other.edit(3, |entry| entry.time += 1);
    other.sign_again();
    let options = Options { key: Some(&key), since: Some(&other.header.checkpoint) };
    let report = of_bundle(&*world.second, &options).unwrap();
    assert_eq!((report.verdict, report.failure.unwrap().code.as_str()), (Verdict::Invalid, "E504"));
    // And one that it is shorter than.
    let newest = Parts::of(&world.second).header.checkpoint;
    let mut cut = Parts::of(&world.second);
    cut.entries.truncate(size as usize);
    cut.header.checkpoint.clone_from(&world.earlier);
    let options = Options { key: None, since: Some(&newest) };
    let failure = of_bundle(&*cut.encode(), &options).unwrap().failure.unwrap();
    assert_eq!((failure.code.as_str(), failure.entry), ("E504", Some(size)));
}

#[test]
fn a_damaged_folder_is_named_by_its_first_bad_entry() {
    let world = World::get();
    let options = Options::default();
    let damage = |sql: &str| {
        let folder = world.folder();
        let connection = Connection::open(folder.path().join(DATABASE)).unwrap();
        connection.execute_batch(sql).unwrap();
        drop(connection);
        let finding = of_folder(folder.path(), &options).unwrap().failure.unwrap();
        (finding.code, finding.entry)
    };
    let expected = |code: &str, entry| (code.to_owned(), entry);
    assert_eq!(damage("DELETE FROM entries WHERE position = 5"), expected("E506", Some(5)));
    let swap = "UPDATE entries SET bytes = (SELECT bytes FROM entries WHERE position = 7) WHERE position = 6";
    assert_eq!(damage(swap), expected("E506", Some(6)));
    assert_eq!(damage("DELETE FROM entries WHERE position >= 9"), expected("E504", Some(9)));
    assert_eq!(damage("DELETE FROM checkpoint"), expected("E506", None));
    assert_eq!(damage("DELETE FROM entries"), expected("E506", Some(0)));
    // A file that is missing stops the bundle, not the log.
    let folder = world.folder();
    let connection = Connection::open(folder.path().join(DATABASE)).unwrap();
    connection.execute_batch("DELETE FROM contributions").unwrap();
    let opened = Folder::open(folder.path()).unwrap().unwrap();
    let space = opened.space("sepsis").unwrap();
    let error = bundle::write(&opened.reader, &opened.snapshot, &opened.index, &space, 2, &mut Vec::new());
    assert_eq!(error.unwrap_err().code().as_str(), "E506");
}

/// Runs a command line in this process.
fn run(arguments: &[&str]) -> Result<Exit, crate::failure::Failure> {
    use clap::Parser;
    let arguments = [&["weightproof"], arguments].concat();
    let parsed = crate::cli::Arguments::try_parse_from(arguments).unwrap();
    crate::commands::run(parsed.command, &Output::new(true))
}

#[test]
fn the_commands_end_as_documented() {
    let world = World::get();
    let folder = world.folder();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let data = folder.path().display().to_string();
    let (bundle, key) = (path("m.wpbundle"), hex(&id(NODE)));
    let made =
        run(&["audit", "bundle", "--data", &data, "--space", "sepsis", "--version", "2", "--out", &bundle]);
    assert_eq!(made.unwrap(), Exit::Success);
    assert!(std::fs::read(&bundle).unwrap() == world.second);
    let unknown = run(&["audit", "bundle", "--data", &data, "--space", "x", "--out", &bundle]).unwrap_err();
    assert_eq!(unknown.exit(), Exit::Usage);
    let elsewhere = path("nothing");
    let none = run(&["audit", "bundle", "--data", &elsewhere, "--space", "x", "--out", &bundle]).unwrap_err();
    assert_eq!(none.exit(), Exit::Usage);

    assert_eq!(run(&["audit", "verify", &bundle, "--key", &key]).unwrap(), Exit::Success);
    let other = hex(&id(9));
    assert_eq!(run(&["audit", "verify", &bundle, "--key", &other, "--json"]).unwrap(), Exit::Invalid);
    for source in [&bundle, &data] {
        assert_eq!(run(&["log", "replay", source, "--json"]).unwrap(), Exit::Success);
        assert_eq!(run(&["log", "verify", source, "--key", &key]).unwrap(), Exit::Success);
    }
    let checkpoint = path("checkpoint.txt");
    std::fs::write(&checkpoint, &world.earlier).unwrap();
    assert_eq!(run(&["log", "verify", &data, "--since", &checkpoint]).unwrap(), Exit::Success);

    let html = path("report.html");
    assert_eq!(run(&["audit", "page", &bundle, "--out", &html]).unwrap(), Exit::Success);
    assert!(std::fs::read_to_string(&html).unwrap().contains("4/4 contributions proven"));
    let evidence = path("evidence");
    let formats = "in-toto,model-card,cyclonedx";
    assert_eq!(
        run(&["audit", "export", &bundle, "--as", formats, "--out", &evidence]).unwrap(),
        Exit::Success
    );
    let names = ["sepsis-v2.intoto.json", "sepsis-v2.model-card.md", "sepsis-v2.cdx.json"];
    assert!(names.iter().all(|name| Path::new(&evidence).join(name).is_file()));

    let mut newer = world.second.clone();
    newer[3] = b'9';
    std::fs::write(&bundle, newer).unwrap();
    assert_eq!(run(&["audit", "verify", &bundle]).unwrap(), Exit::NewerVersion);
    std::fs::write(&bundle, &world.second[1..]).unwrap();
    assert_eq!(run(&["audit", "verify", &bundle]).unwrap(), Exit::Invalid);
    let empty = path("empty");
    assert_eq!(
        run(&["audit", "export", &bundle, "--as", "in-toto", "--out", &empty]).unwrap(),
        Exit::Invalid
    );
    assert!(!Path::new(&empty).exists(), "nothing is exported of what does not hold");
    let missing = run(&["audit", "verify", &path("missing")]).unwrap_err();
    assert_eq!(missing.exit(), Exit::Machine);
}
