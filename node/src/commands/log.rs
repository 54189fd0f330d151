//! `log`: a node's log, played again from a bundle or from a data folder.
use super::audit::{check_folder, exit, failure, open, show_finding};
use crate::audit::log::{LogReport, Options, of_bundle, of_folder};
use crate::cli::{Log, LogSource};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Runs a log command.
pub fn run(arguments: &Log, output: &Output) -> Result<Exit, Failure> {
    let (source, whole) = match arguments {
        Log::Replay(source) => (source, true),
        Log::Verify(source) => (source, false),
    };
    let mut report = play(source)?;
    if output.json() {
        if !whole {
            (report.accounts, report.spaces) = (Vec::new(), Vec::new());
        }
        output.envelope(&report)?;
    } else {
        show(&report, whole, output);
    }
    Ok(exit(report.verdict))
}

fn play(source: &LogSource) -> Result<LogReport, Failure> {
    let path = &source.path;
    let since = match &source.since {
        None => None,
        Some(path) => Some(std::fs::read_to_string(path).map_err(Failure::read(path))?),
    };
    let options = Options { key: source.key.as_ref(), since: since.as_deref() };
    if path.is_dir() {
        check_folder(path)?;
        return of_folder(path, &options).map_err(failure(path));
    }
    of_bundle(open(path)?, &options).map_err(failure(path))
}

fn show(report: &LogReport, whole: bool, output: &Output) {
    if let Some(node) = &report.node {
        let pinned = if node.key_pinned { "as given with --key" } else { "not compared: give --key" };
        output.line("node", format!("{}   key {}   {pinned}", node.origin, node.key));
    }
    if whole {
        for account in &report.accounts {
            let text = format!("{}   {} free   {} staked", account.account, account.balance, account.staked);
            output.line("account", text);
        }
        for space in &report.spaces {
            let text = format!(
                "{}   version {}   digest {}   {} rounds   {} members",
                space.name, space.version, space.model_digest, space.rounds, space.members
            );
            output.line("space", text);
        }
    }
    if let Some(supply) = &report.supply {
        let text = format!(
            "{} = {} allocated + {} minted - {} burned   {}",
            supply.tokens,
            supply.genesis,
            supply.emitted,
            supply.burned,
            if supply.conserved { "conserved" } else { "not conserved" }
        );
        output.line("tokens", text);
    }
    if let Some(size) = report.continues {
        output.line("since", format!("continues the checkpoint of {size} entries"));
    }
    if let Some(finding) = &report.failure {
        show_finding(finding, report.verdict, output);
    } else if let Some(checkpoint) = &report.checkpoint {
        let text = format!("{} entries, root {} as signed", checkpoint.size, checkpoint.root);
        output.line("valid", text);
    }
}
