use super::*;

const ACCOUNT: &str = "b265af8a848a64ab2a304f8b4e595db031f9aebd4834eea5dbb8ab55ed0b40f7";

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A folder with `node.toml` and a file of a space in it.
fn folder(text: &str) -> (tempfile::TempDir, Sources) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.toml");
    std::fs::write(&file, text).unwrap();
    std::fs::write(folder.path().join("digits.toml"), "").unwrap();
    (folder, Sources { file: Some(file), ..Sources::default() })
}

fn problems(sources: &Sources) -> Vec<String> {
    match NodeConfig::load(sources) {
        Ok(_) => Vec::new(),
        Err(error) => error.problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn the_defaults_are_a_configuration() {
    let config = NodeConfig::load(&Sources::default()).unwrap();
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.node.listen, "0.0.0.0:7443".parse().unwrap());
    assert_eq!(config.node.operator, None);
    assert!(config.entries().iter().all(|entry| entry.origin == Origin::Default));
    // Every limit can be configured, and every key has a meaning.
    let limits = toml::Table::try_from(Limits::default()).unwrap();
    for name in limits.keys() {
        assert!(keys::find(&format!("limits.{name}")).is_some(), "limits.{name}");
    }
    for key in keys::KEYS {
        assert!(!key.help.is_empty(), "{}", key.name);
        let value = keys::parse_value(key.default);
        assert!(value.is_none_or(|value| key.kind.refuse(&value).is_none()), "{}", key.name);
    }
}

#[test]
fn each_source_lies_over_the_one_before() {
    let (_folder, mut sources) = folder(
        "spaces = [\"digits.toml\"]\n[node]\nlisten = \"127.0.0.1:1\"\nmetrics = \"127.0.0.1:2\"\norigin = \"a.example/log\"\n\
         [limits]\nidle_timeout = \"2 min\"",
    );
    sources.environment = pairs(&[
        ("WEIGHTPROOF_NODE__METRICS", "127.0.0.1:3"),
        ("WEIGHTPROOF_NODE__ORIGIN", "b.example/log"),
        ("WEIGHTPROOF_TLS__NAMES", "[\"node.example\"]"),
        ("WEIGHTPROOF_LIMITS__MAX_STREAMS", "32"),
        ("WEIGHTPROOF_PASSPHRASE", "is left alone"),
        ("PATH", "/bin"),
    ]);
    sources.flags = pairs(&[("node.origin", "c.example/log")]);
    let config = NodeConfig::load(&sources).unwrap();
    assert_eq!(config.node.listen.port(), 1);
    assert_eq!(config.node.metrics.port(), 3);
    assert_eq!(config.node.origin, "c.example/log");
    assert_eq!(config.tls.names, ["node.example"]);
    assert_eq!(config.limits.max_streams, 32);
    assert_eq!(config.limits.idle_timeout.as_secs(), 120);
    let shown = config.show();
    for line in [
        "listen = \"127.0.0.1:1\"  # node.toml\n",
        "metrics = \"127.0.0.1:3\"  # WEIGHTPROOF_NODE__METRICS\n",
        "origin = \"c.example/log\"  # flag\n",
        "idle_timeout = \"2 min\"  # node.toml\n",
        "max_message = \"1 MiB\"  # default\n",
        "# operator is not set\n",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
    // What is shown is a file again, with the same values.
    let (_again, sources) = folder(&shown);
    assert_eq!(NodeConfig::load(&sources).unwrap().limits, config.limits);
}

#[test]
fn paths_start_where_they_are_written() {
    let (folder, mut sources) = folder("spaces = [\"digits.toml\"]\n[node]\ndata = \"data\"");
    let config = NodeConfig::load(&sources).unwrap();
    assert_eq!(config.node.data, folder.path().join("data"));
    assert_eq!(config.spaces, [folder.path().join("digits.toml")]);
    sources.flags = pairs(&[("node.data", "elsewhere")]);
    assert_eq!(NodeConfig::load(&sources).unwrap().node.data, Path::new("elsewhere"));
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let (_folder, mut sources) = folder(
        "space = []\n[node]\nlisten = 7443\nlissten = \"x\"\n[log]\nformat = \"xml\"\n[limits]\nidle_timeout = \"60\"\n\
         max_streams = -1\n[storage]\nfile = \"x\"\n[genesis]\nallocations = { \"8f\" = 1 }",
    );
    sources.environment =
        pairs(&[("WEIGHTPROOF_TLS__REQUIRE_CLIENT", "yes"), ("WEIGHTPROOF_NODE__NAME", "x")]);
    sources.flags = pairs(&[("node.operator", "8f1c")]);
    let found = problems(&sources);
    for expected in [
        "space (node.toml): expected one of spaces, node, tls, log, limits, genesis, found an unknown key",
        "node.listen (node.toml): expected an IP address and port, such as \"0.0.0.0:7443\", found 7443",
        "node.lissten (node.toml): expected one of origin, data, listen, metrics, operator, found an unknown key",
        "log.format (node.toml): expected one of \"text\", \"json\", found \"xml\"",
        "limits.idle_timeout (node.toml): expected a whole number and a unit (ms, s, min, h, d), such as \"60 s\", found \"60\"",
        "limits.max_streams (node.toml): expected a whole number from 0 to 4294967295, found -1",
        "tls.require_client (WEIGHTPROOF_TLS__REQUIRE_CLIENT): expected true or false, found \"yes\"",
        "node.operator (flag): expected an account, 64 hexadecimal digits, found \"8f1c\"",
    ] {
        assert!(found.iter().any(|problem| problem == expected), "{expected}\n{found:#?}");
    }
    for key in ["storage ", "genesis.allocations ", "node.name "] {
        assert!(found.iter().any(|problem| problem.starts_with(key)), "{key}\n{found:#?}");
    }
    assert_eq!(found.len(), 11, "{found:#?}");
}

#[test]
fn what_does_not_fit_together_is_said() {
    let (_folder, mut sources) = folder(
        "spaces = [\"missing.toml\"]\n[node]\nlisten = \"127.0.0.1:1\"\nmetrics = \"127.0.0.1:1\"\norigin = \"has a space\"\n\
         data = \"digits.toml\"\n[tls]\ncertificate = \"none.pem\"\nrequire_client = true\nnames = [\"not a name\"]\n\
         [limits]\nidle_timeout = \"5 s\"\n[log]\nlevel = \"loud\"",
    );
    let capitals = ACCOUNT.to_uppercase();
    let allocations = format!("{{ \"{ACCOUNT}\" = 1, \"{capitals}\" = 2 }}");
    sources.flags = pairs(&[("genesis.allocations", &allocations)]);
    let found = problems(&sources);
    for key in [
        "spaces (node.toml): expected a file that exists",
        "node.metrics (node.toml): expected another address than node.listen",
        "node.origin (node.toml)",
        "node.data (node.toml): expected a folder",
        "tls.key (default): expected a file, since tls.certificate is given",
        "tls.client_ca (default)",
        "tls.names (node.toml)",
        "limits.idle_timeout (node.toml)",
        "log.level (node.toml)",
        "genesis.allocations (flag): expected each account once",
    ] {
        assert!(found.iter().any(|problem| problem.starts_with(key)), "{key}\n{found:#?}");
    }
    assert_eq!(found.len(), 10, "{found:#?}");
}

#[test]
fn a_broken_or_missing_file_is_one_problem() {
    let (_folder, sources) = folder("[node]\nlisten = \n");
    let found = problems(&sources);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("(node.toml): expected TOML, found ") && found[0].ends_with("in line 2"),
        "{found:?}"
    );
    let missing = Sources { file: Some("/nowhere/node.toml".into()), ..Sources::default() };
    assert!(problems(&missing)[0].starts_with("(node.toml): expected a file that can be read"));
}

#[test]
fn a_variable_is_one_value_and_no_more() {
    let sources = Sources {
        environment: pairs(&[
            ("WEIGHTPROOF_LIMITS__MAX_STREAMS", "1\nmax_message = 2"),
            ("WEIGHTPROOF___SPACES", "[]"),
        ]),
        ..Sources::default()
    };
    let found = problems(&sources);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("limits.max_streams (WEIGHTPROOF_LIMITS__MAX_STREAMS)"), "{found:?}");
}

#[test]
fn allocations_are_read() {
    let flags = pairs(&[("genesis.allocations", &format!("{{ \"{ACCOUNT}\" = 9223372036854775807 }}"))]);
    let config = NodeConfig::load(&Sources { flags, ..Sources::default() }).unwrap();
    assert_eq!(config.genesis.len(), 1);
    assert_eq!(config.genesis.get(&keys::account(ACCOUNT).unwrap()), Some(&(i64::MAX as u64)));
}

#[test]
fn what_is_no_account_gets_no_tokens() {
    // A fingerprint looks like an account; this one is no point of the curve.
    let flags = pairs(&[("genesis.allocations", &format!("{{ \"{}\" = 1 }}", "02".repeat(32)))]);
    let found = problems(&Sources { flags, ..Sources::default() });
    assert!(found.len() == 1 && found[0].contains("`weightproof keys show`"), "{found:?}");
}
