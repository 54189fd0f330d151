//! `stake`, `unstake`, `transfer` and `balance`: tokens.
use super::status::{open, own_account};
use crate::bars::Bars;
use crate::cli::{Amount, Balance, Transfer, Unlock};
use crate::client::Node;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, hex, utc};
use crate::rpc::v1;
use crate::{keys, locations};
use serde_json::json;
use weightproof_ledger::Id;
use weightproof_ledger::action::Action;

/// `stake`.
pub fn stake(arguments: &Amount, output: &Output) -> Result<Exit, Failure> {
    let Amount { amount, .. } = *arguments;
    in_space(
        arguments,
        output,
        |space| Action::Stake { space, amount },
        "stake",
        "from the balance to the stake",
    )
}

/// `unstake`.
pub fn unstake(arguments: &Amount, output: &Output) -> Result<Exit, Failure> {
    let Amount { amount, .. } = *arguments;
    let text = "leaves the stake, and is in the balance after the space's unbonding time";
    in_space(arguments, output, |space| Action::Unstake { space, amount }, "unstake", text)
}

fn in_space(
    arguments: &Amount,
    output: &Output,
    action: impl FnOnce([u8; 32]) -> Action,
    topic: &str,
    text: &str,
) -> Result<Exit, Failure> {
    let bars = Bars::new();
    let node = open(&arguments.at, &bars)?;
    let space = node.space(arguments.space.space.as_deref())?;
    let logged = act(&node, &arguments.unlock, action(space.id))?;
    output
        .line(topic, format!("{} {text}   {}   entry {}", arguments.amount, space.describe(), logged.entry));
    logged_envelope(&logged, output)
}

/// `transfer`.
pub fn transfer(arguments: &Transfer, output: &Output) -> Result<Exit, Failure> {
    let bars = Bars::new();
    let node = open(&arguments.at, &bars)?;
    let logged =
        act(&node, &arguments.unlock, Action::Transfer { to: arguments.to, amount: arguments.amount })?;
    output
        .line("transfer", format!("{} to {}   entry {}", arguments.amount, hex(&arguments.to), logged.entry));
    logged_envelope(&logged, output)
}

/// Asks for a change once: whether one that got no answer was made, only the history says.
fn act(node: &Node<'_>, unlock: &Unlock, action: Action) -> Result<v1::Logged, Failure> {
    let mut signer = node.signer(unlock.passphrase_file.as_deref())?;
    node.act(&mut signer, action).map_err(|failure| match failure {
        Failure::Unreachable(text) => Failure::Unreachable(format!(
            "{text}.  The change may have been made or not: see `weightproof balance --history` before you ask for it again"
        )),
        failure => failure,
    })
}

fn logged_envelope(logged: &v1::Logged, output: &Output) -> Result<Exit, Failure> {
    if output.json() {
        output.envelope(&json!({ "entry": logged.entry, "time": logged.time }))?;
    }
    Ok(Exit::Success)
}

/// `balance`.
pub fn balance(arguments: &Balance, output: &Output) -> Result<Exit, Failure> {
    let bars = Bars::new();
    let account = match arguments.account {
        Some(account) => account,
        None => own_account()?.ok_or_else(|| match locations::configuration() {
            Ok(directory) => keys::no_key(&directory),
            Err(failure) => failure,
        })?,
    };
    let node = open(&arguments.at, &bars)?;
    let bytes = || account.to_vec().into();
    let tokens = node.get_balance(v1::GetBalanceRequest { account: bytes() })?;
    output.line("account", hex(&account));
    output.line(
        "balance",
        format!("{}   staked {}   unbonding {}", tokens.balance, tokens.staked, tokens.unbonding),
    );
    let movements = if arguments.history { history(&node, &account, arguments.limit)? } else { Vec::new() };
    for movement in &movements {
        output.line(
            "moved",
            format!(
                "{}   {:>+12}   {}   entry {}",
                utc(movement.time),
                movement.amount,
                movement.cause.escape_debug(),
                movement.entry
            ),
        );
    }
    if output.json() {
        let history = arguments.history.then(|| {
            let one = |movement: &v1::Movement| {
                json!({
                    "entry": movement.entry,
                    "time": movement.time,
                    "amount": movement.amount,
                    "cause": movement.cause,
                })
            };
            movements.iter().map(one).collect::<Vec<_>>()
        });
        output.envelope(&json!({
            "account": hex(&account),
            "balance": tokens.balance,
            "staked": tokens.staked,
            "unbonding": tokens.unbonding,
            "history": history,
        }))?;
    }
    Ok(Exit::Success)
}

/// Movements of one page of the history.
const PAGE: u32 = 100;

/// What moved an account's tokens, newest first, `limit` at most.
fn history(node: &Node<'_>, account: &Id, limit: u64) -> Result<Vec<v1::Movement>, Failure> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut movements: Vec<v1::Movement> = Vec::new();
    while movements.len() < limit {
        let before_entry = movements.last().map_or(0, |last| last.entry);
        let request =
            v1::ListHistoryRequest { account: account.to_vec().into(), page_size: PAGE, before_entry };
        let page = whole_entries(node.list_history(request)?.movements, PAGE as usize);
        // A page that does not go back would never end; entry 0 has nothing before it.
        let Some(last) = page.last().map(|movement| movement.entry) else { break };
        if before_entry != 0 && last >= before_entry {
            break;
        }
        movements.extend(page);
        if last == 0 {
            break;
        }
    }
    movements.truncate(limit);
    Ok(movements)
}

/// A full page without the movements of its last entry, which may go on beyond it: the next page begins there.
fn whole_entries(mut page: Vec<v1::Movement>, size: usize) -> Vec<v1::Movement> {
    let last = page.last().map(|movement| movement.entry);
    let whole = page.iter().take_while(|movement| Some(movement.entry) != last).count();
    if page.len() >= size && whole > 0 {
        page.truncate(whole);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_end_between_entries() {
        let page = |entries: &[u64]| {
            entries.iter().map(|&entry| v1::Movement { entry, ..Default::default() }).collect::<Vec<_>>()
        };
        assert_eq!(whole_entries(page(&[9, 9, 7, 7]), 4), page(&[9, 9]));
        assert_eq!(whole_entries(page(&[9, 7, 7]), 4), page(&[9, 7, 7]));
        assert_eq!(whole_entries(page(&[7, 7]), 2), page(&[7, 7]));
        assert_eq!(whole_entries(page(&[]), 2), page(&[]));
    }
}
