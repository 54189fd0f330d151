//! `models` and `pull`: versions of a model, what they were made from, and their files.
use super::status::open;
use crate::bars::Bars;
use crate::cli::{Models, Pull};
use crate::client::Node;
use crate::client::id;
use crate::client::space::Space;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, counted, hex, short, size};
use crate::rpc::v1;
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use weightproof_prover::progress::Progress;

/// Contributions of a version that are named on its line.
const SHOWN: usize = 4;

/// `models`: newest first.
pub fn list(arguments: &Models, output: &Output) -> Result<Exit, Failure> {
    let bars = Bars::new();
    let node = open(&arguments.at, &bars)?;
    let space = node.space(arguments.space.space.as_deref())?;
    let versions = match arguments.version {
        None => node.versions(&space.id)?,
        Some(version) => {
            let request = v1::GetLineageRequest { space: space.id.to_vec().into(), version };
            node.get_lineage(request)?.versions
        }
    };
    output.line("space", space.describe());
    for version in &versions {
        output.line(&format!("v{}", version.version), describe(version));
    }
    if output.json() {
        output.envelope(&versions.iter().map(as_json).collect::<Vec<_>>())?;
    }
    Ok(Exit::Success)
}

fn describe(version: &v1::ModelVersion) -> String {
    let origin = match (version.reverted_to, version.round, version.contributions.len()) {
        (Some(to), ..) => format!("taken back to version {to}"),
        (None, 0, _) => "initial weights".to_owned(),
        (None, round, count) => {
            let mut names: Vec<String> =
                version.contributions.iter().take(SHOWN).map(|digest| short(digest)).collect();
            if count > SHOWN {
                names.push(format!("and {} more", count - SHOWN));
            }
            format!("round {round}, {}: {}", counted(count as u64, "contribution"), names.join(", "))
        }
    };
    format!("{}   {origin}   entry {}", short(&version.digest), version.entry)
}

fn as_json(version: &v1::ModelVersion) -> serde_json::Value {
    json!({
        "version": version.version,
        "digest": hex(&version.digest),
        "round": version.round,
        "contributions": version.contributions.iter().map(|digest| hex(digest)).collect::<Vec<_>>(),
        "reverted_to": version.reverted_to,
        "entry": version.entry,
    })
}

/// `pull`: a file that its digest and the log vouch for.
pub fn pull(arguments: &Pull, output: &Output) -> Result<Exit, Failure> {
    let bars = Bars::new();
    let mut node = open(&arguments.at, &bars)?;
    let space = node.space(arguments.space.space.as_deref())?;
    let version = node.version(&space, arguments.version)?;
    let ending = if arguments.bundle { "wpbundle" } else { "safetensors" };
    let default = || PathBuf::from(format!("{}-v{}.{ending}", space.spec.name, version.version));
    let path = arguments.out.clone().unwrap_or_else(default);
    node.check_published(&space.id, &version)?;
    if arguments.bundle {
        let length = bundle(&node, &space, version.version, &path)?;
        bars.clear();
        output.line(
            "wrote",
            format!(
                "{}   {}   not checked yet: `weightproof audit verify {}`",
                path.display(),
                size(length),
                path.display()
            ),
        );
    } else {
        let digest = id("model digest", &version.digest)?;
        let model = node.model(&space, version.version, &digest)?;
        model.write(&path)?;
        bars.clear();
        output.line(
            "wrote",
            format!(
                "{}   version {}   digest {}   as entry {} of the log says",
                path.display(),
                version.version,
                short(&digest),
                version.entry
            ),
        );
    }
    if output.json() {
        let mut envelope = as_json(&version);
        envelope["file"] = path.display().to_string().into();
        output.envelope(&envelope)?;
    }
    Ok(Exit::Success)
}

/// A bundle may be larger than memory: it goes to the disk part by part, and gets its name when it is whole.
fn bundle(node: &Node<'_>, space: &Space, version: u64, path: &Path) -> Result<u64, Failure> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".{}.partial", std::process::id()));
    let partial = PathBuf::from(partial);
    node.bars().begin("bundle", 0);
    let request = v1::DownloadBundleRequest { space: space.id.to_vec().into(), version: Some(version) };
    let stream = node.download_bundle(request)?;
    let mut file = std::fs::File::create(&partial).map_err(Failure::write(&partial))?;
    let received = node.receive(stream, usize::MAX, |message| {
        file.write_all(&message.part).map_err(Failure::write(&partial))?;
        Ok(message.part.len())
    });
    let written = received.and_then(|length| {
        file.sync_all().map_err(Failure::write(&partial))?;
        std::fs::rename(&partial, path).map_err(Failure::write(path))?;
        Ok(length as u64)
    });
    if written.is_err() {
        // The failure is what counts; a file that cannot be removed is only litter.
        let _ = std::fs::remove_file(&partial);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_say_where_they_come_from() {
        let version = |round, count, reverted_to| v1::ModelVersion {
            version: 3,
            digest: vec![0xab; 32].into(),
            round,
            contributions: vec![vec![1; 32].into(); count],
            reverted_to,
            entry: 9,
        };
        assert!(describe(&version(0, 0, None)).contains("initial weights"));
        assert!(describe(&version(0, 0, Some(1))).contains("taken back to version 1"));
        let many = describe(&version(7, 6, None));
        assert!(many.contains("round 7, 6 contributions") && many.contains("and 2 more"), "{many}");
    }
}
