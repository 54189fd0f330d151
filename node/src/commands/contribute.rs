//! `register`, `contribute`, `submit` and `train --submit`: a member's work.
use crate::bars::Bars;
use crate::cli::{Contribute, Register, SealName, Submit, Train};
use crate::client::Node;
use crate::client::patience::{open_patiently, persist};
use crate::client::profile::Profiles;
use crate::client::receipt::Settled;
use crate::client::upload::Parcel;
use crate::client::work::{Options, Registration, Work, goes_on};
use crate::device::DeviceName;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, hex};
use serde_json::json;
use weightproof_circuits::error::ErrorCode;
use weightproof_prover::atomic_file::{Access, write_atomic};

/// `register`: commits to the rows and registers the commitment.
pub fn register(arguments: &Register, output: &Output) -> Result<Exit, Failure> {
    let bars = Bars::new();
    let profiles = Profiles::of_user()?;
    let profile = profiles.choose(arguments.at.node.as_deref())?;
    let node = Node::open(profiles, profile, &bars)?;
    let options = Options {
        data: &arguments.data,
        label: arguments.label.as_deref(),
        space: arguments.space.space.as_deref(),
        seal: SealName::Sigma,
        device: DeviceName::Cpu,
        memory_limit: None,
        payout: None,
        passphrase_file: arguments.unlock.passphrase_file.as_deref(),
    };
    let mut work = Work::begin(node, options, output)?;
    let registration = work.register()?;
    let (root, rows) = work.commitment();
    if output.json() {
        output.envelope(&json!({
            "root": hex(&root),
            "rows": rows,
            "secret": work.secret().display().to_string(),
            "registered": if registration == Registration::Known { "already" } else { "new" },
            "entry": match registration { Registration::Known => None, Registration::Logged(entry) => Some(entry) },
        }))?;
    }
    Ok(Exit::Success)
}

/// `train --submit`: one contribution.
pub fn once(arguments: &Train, output: &Output) -> Result<Exit, Failure> {
    let bars = Bars::new();
    let profiles = Profiles::of_user()?;
    let profile = profiles.choose(arguments.node.as_deref())?;
    let node = Node::open(profiles, profile, &bars)?;
    let options = Options {
        data: &arguments.data,
        label: Some(&arguments.label),
        space: arguments.space.as_deref(),
        seal: arguments.seal,
        device: arguments.device,
        memory_limit: arguments.memory_limit,
        payout: None,
        passphrase_file: arguments.passphrase_file.as_deref(),
    };
    finish(contribute(node, options, Until::Accepted(1), false, output), output)
}

/// `contribute`: one contribution, or one every round.
pub fn run(arguments: &Contribute, output: &Output) -> Result<Exit, Failure> {
    let bars = Bars::new();
    let profiles = Profiles::of_user()?;
    let profile = profiles.choose(arguments.at.node.as_deref())?;
    let node = if arguments.every_round {
        open_patiently(&profiles, &profile, &bars, output)?
    } else {
        Node::open(profiles, profile, &bars)?
    };
    let options = Options {
        data: &arguments.data,
        label: arguments.label.as_deref(),
        space: arguments.space.space.as_deref(),
        seal: arguments.seal,
        device: arguments.device,
        memory_limit: arguments.memory_limit,
        payout: arguments.payout,
        passphrase_file: arguments.unlock.passphrase_file.as_deref(),
    };
    let until = match (arguments.every_round, arguments.rounds) {
        (true, None) => Until::Interrupted,
        (true, Some(rounds)) => Until::Accepted(rounds),
        (false, _) => Until::Accepted(1),
    };
    finish(contribute(node, options, until, arguments.every_round, output), output)
}

/// When the work ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    Accepted(u64),
    Interrupted,
}

/// What was settled, and why it ended if not as asked. Both are shown: an interrupt loses no outcome.
type Done = (Vec<Settled>, Result<(), Failure>);

fn contribute(
    node: Node<'_>,
    options: Options<'_>,
    until: Until,
    unattended: bool,
    output: &Output,
) -> Result<Done, Failure> {
    let mut work = Work::begin(node, options, output)?;
    work.register()?;
    let mut done = Vec::new();
    let end = rounds(&mut work, until, unattended, &mut done);
    Ok((done, end))
}

fn rounds(
    work: &mut Work<'_>,
    until: Until,
    unattended: bool,
    done: &mut Vec<Settled>,
) -> Result<(), Failure> {
    // What is left from before counts as outcome, and a refusal of it stops nothing: its round is over.
    let earlier = work.settle_earlier()?;
    let mut last = earlier.iter().map(|settled| settled.round).max().unwrap_or(0);
    done.extend(earlier);
    let accepted = |done: &[Settled]| done.iter().filter(|settled| settled.accepted).count() as u64;
    loop {
        if let Until::Accepted(wanted) = until
            && accepted(done) >= wanted
        {
            return Ok(());
        }
        let round = work.next_round(last)?;
        last = round.number;
        let settled = work.contribute(&round)?;
        let refusal = settled.refusal();
        let goes_on = goes_on(&settled);
        done.push(settled);
        if let Some(refusal) = refusal {
            // Whoever waits for one contribution wants to hear of a refusal, unless the next round mends it.
            let late = matches!(refusal.code, ErrorCode::E203 | ErrorCode::E206);
            if !goes_on || (!unattended && !late) {
                return Err(Failure::Refused(refusal));
            }
        }
    }
}

fn finish(done: Result<Done, Failure>, output: &Output) -> Result<Exit, Failure> {
    let (settled, end) = done?;
    let accepted: Vec<&Settled> = settled.iter().filter(|settled| settled.accepted).collect();
    let reward: u64 = accepted.iter().map(|settled| settled.reward).sum();
    if !settled.is_empty() {
        output.line("result", format!("{} of {} accepted   reward {reward}", accepted.len(), settled.len()));
    }
    // A failure has an envelope of its own.
    end?;
    if output.json() {
        output
            .envelope(&json!({ "accepted": accepted.len(), "reward": reward, "contributions": settled }))?;
    }
    Ok(Exit::Success)
}

/// `submit`: a file that is made.
pub fn submit(arguments: &Submit, output: &Output) -> Result<Exit, Failure> {
    let path = &arguments.file;
    let parcel = Parcel::new(std::fs::read(path).map_err(Failure::read(path))?).map_err(|failure| {
        let text = "expected a contribution (.wpf) of `contribute` or `train`";
        Failure::Usage(format!("{}: {text}, found another file: {failure}", path.display()))
    })?;
    let bars = Bars::new();
    let profiles = Profiles::of_user()?;
    let profile = profiles.choose(arguments.at.node.as_deref())?;
    let mut node = Node::open(profiles, profile, &bars)?;
    let signer = node.signer(arguments.unlock.passphrase_file.as_deref())?;
    if signer.account() != parcel.contributor {
        return Err(Failure::Usage(format!(
            "{}: expected a contribution by {}, found one by {}; only its contributor can submit it",
            path.display(),
            hex(&signer.account()),
            hex(&parcel.contributor)
        )));
    }
    let settled = persist(&mut node, output, |node| node.submit(&signer, &parcel))?;
    bars.clear();
    let receipt = path.with_extension("receipt.json");
    let text = serde_json::to_vec_pretty(&settled).map_err(|error| Failure::write(&receipt)(error.into()))?;
    write_atomic(&receipt, &text, Access::Shared).map_err(Failure::write(&receipt))?;
    output.line("verdict", settled.describe());
    output.line("receipt", receipt.display().to_string());
    if let Some(refusal) = settled.refusal() {
        return Err(Failure::Refused(refusal));
    }
    if output.json() {
        output.envelope(&settled)?;
    }
    Ok(Exit::Success)
}
