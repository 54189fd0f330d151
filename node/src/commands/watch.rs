//! `watch`: one line a verdict.
use super::status::open;
use crate::bars::Bars;
use crate::cli::Watch;
use crate::client::patience::persist;
use crate::client::{receipt, signer};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, hex, short, utc};
use crate::rpc::v1;
use serde_json::json;
use weightproof_ledger::Id;

/// Prints verdicts until interrupted; a node that goes away is waited for.
pub fn run(arguments: &Watch, output: &Output) -> Result<Exit, Failure> {
    let bars = Bars::new();
    let mut node = open(&arguments.at, &bars)?;
    let space = match &arguments.space {
        Some(name) => node.space(Some(name))?.id.to_vec(),
        None => Vec::new(),
    };
    if !output.json() {
        output.result(&format!(
            "{}\n",
            line(["time", "owner", "round", "verdict", "ms", "reward", "reason"])
        ))?;
    }
    let mut again = false;
    let watched = persist(&mut node, output, |node| {
        let network = node.network();
        if std::mem::replace(&mut again, true) {
            output.line(
                "again",
                "verdicts of the time in between are not shown; `weightproof models` and `status` know them",
            );
        }
        let mut stream = node.watch_verdicts(v1::WatchVerdictsRequest { space: space.clone().into() })?;
        while let Some(message) = node.next(&mut stream)? {
            for verdict in &message.verdicts {
                output.result(&format!("{}\n", shown(&network, verdict, output.json())?))?;
            }
        }
        Err(Failure::Unreachable(format!(
            "expected news from {}, found the end of them",
            node.profile().address
        )))
    });
    match watched {
        // There is nothing that could go on.
        Err(Failure::Interrupted) => Ok(Exit::Interrupted),
        watched => watched,
    }
}

/// One verdict as a line, its receipt checked.
fn shown(network: &Id, verdict: &v1::Verdict, json: bool) -> Result<String, Failure> {
    // What the node refuses without a log entry has no receipt, and no time of its own.
    let unlogged = !verdict.accepted && verdict.receipt.is_none();
    let receipt = if unlogged { None } else { Some(receipt::check(network, verdict)?.0) };
    let time = receipt.as_ref().map_or_else(|| signer::now().as_secs(), |receipt| receipt.time);
    let reward = receipt.as_ref().map_or(0, |receipt| receipt.reward);
    let name = if verdict.accepted { "accepted" } else { "refused" };
    let code = verdict.code.as_str();
    let message =
        verdict.message.strip_prefix(code).unwrap_or(&verdict.message).trim_start_matches([':', ' ']);
    if json {
        let value = json!({
            "time": time,
            "account": hex(&verdict.account),
            "space": hex(&verdict.space),
            "round": verdict.round,
            "verdict": name,
            "verify_ms": verdict.verify_ms,
            "reward": reward,
            "code": code,
            "message": message,
            "entry": receipt.as_ref().map(|receipt| receipt.entry),
            "statement_digest": receipt.as_ref().map(|receipt| hex(&receipt.statement_digest)),
        });
        return Ok(value.to_string());
    }
    let reason = if verdict.accepted { String::new() } else { format!("{code} {}", message.escape_debug()) };
    Ok(line([
        &utc(time),
        &short(&verdict.account),
        &verdict.round.to_string(),
        name,
        &format!("{:.0}", verdict.verify_ms),
        &reward.to_string(),
        &reason,
    ]))
}

fn line([time, owner, round, verdict, ms, reward, reason]: [&str; 7]) -> String {
    let text = format!("{time:<20}  {owner:<9}  {round:>6}  {verdict:<8}  {ms:>6}  {reward:>8}  {reason}");
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_their_names() {
        let head = line(["time", "owner", "round", "verdict", "ms", "reward", "reason"]);
        let row = line(["2026-11-25 14:09:22Z", "9c41d0a2…", "17", "refused", "41", "0", "E307 the seal"]);
        let column = |text: &str, word: &str| text.split(word).next().unwrap_or("").chars().count();
        assert_eq!(column(&head, "verdict"), column(&row, "refused"));
        assert_eq!(column(&head, "reason"), column(&row, "E307"));
        assert_eq!(
            line(["a", "b", "c", "d", "e", "f", ""]),
            line(["a", "b", "c", "d", "e", "f", ""]).trim_end()
        );
    }
}
