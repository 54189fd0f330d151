//! The core on a thread of its own: commands in, answers out, changes published.
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use weightproof_circuits::error::ErrorCode;
use weightproof_ledger::action::{Envelope, SignedSubmission};
use weightproof_ledger::event::SpaceSpec;
use weightproof_ledger::{Id, Refusal};

use super::{Core, Decided, Judgement, Logged, Shared, Snapshot};
use crate::store::Store;

/// Commands that wait for the writer at most; more are refused with `E401`.
const QUEUE: usize = 256;
/// Verdicts that a watcher may be behind before it loses some.
const VERDICTS: usize = 1024;

type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

enum Command {
    Act(Box<(Envelope, [u8; 64])>, Reply<Logged>),
    Contribution(Box<(SignedSubmission, Judgement, Vec<u8>)>, Reply<Decided>),
    CreateSpace(Box<SpaceSpec>, Reply<Id>),
    Revert(Id, u64, String, Reply<Logged>),
    Tick,
}

/// A verdict as watchers get it.
#[derive(Clone, Debug)]
pub struct VerdictEvent {
    /// The verdict.
    pub verdict: crate::rpc::v1::Verdict,
}

/// Why the core ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It was asked to.
    Asked,
    /// Storage failed (`E505`).
    Failed(Refusal),
}

/// Sends commands; when the last is dropped the core ends.
#[derive(Clone)]
pub struct Commands(mpsc::Sender<Command>);

/// Everything that services need of the core.
#[derive(Clone)]
pub struct Handle {
    /// Changes.
    pub commands: Commands,
    /// The newest snapshot.
    pub snapshots: watch::Receiver<Snapshot>,
    /// Verdicts.
    pub verdicts: broadcast::Sender<VerdictEvent>,
    /// Tree and index.
    pub shared: Arc<Shared>,
}

impl Handle {
    /// The newest snapshot.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshots.borrow().clone()
    }
}

impl Commands {
    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.0.try_send(command(reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refusal::new(
                ErrorCode::E401,
                "expected room for a change, found the queue full; try again in a moment",
            ),
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })?;
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// See [`Core::act`].
    ///
    /// # Errors
    /// As there, and `E401`.
    pub async fn act(&self, envelope: Envelope, signature: [u8; 64]) -> Result<Logged, Refusal> {
        self.ask(|reply| Command::Act(Box::new((envelope, signature)), reply)).await
    }

    /// See [`Core::contribution`].
    ///
    /// # Errors
    /// As there, and `E401`.
    pub async fn contribution(
        &self,
        signed: SignedSubmission,
        judgement: Judgement,
        file: Vec<u8>,
    ) -> Result<Decided, Refusal> {
        self.ask(|reply| Command::Contribution(Box::new((signed, judgement, file)), reply)).await
    }

    /// See [`Core::create_space`].
    ///
    /// # Errors
    /// As there, and `E401`.
    pub async fn create_space(&self, spec: SpaceSpec) -> Result<Id, Refusal> {
        self.ask(|reply| Command::CreateSpace(Box::new(spec), reply)).await
    }

    /// See [`Core::revert`].
    ///
    /// # Errors
    /// As there, and `E401`.
    pub async fn revert(&self, space: Id, version: u64, reason: String) -> Result<Logged, Refusal> {
        self.ask(|reply| Command::Revert(space, version, reason, reply)).await
    }

    /// Lets time do its work; dropped when the queue is full, since another tick comes.
    pub fn tick(&self) {
        let _ = self.0.try_send(Command::Tick);
    }
}

fn stopping() -> Refusal {
    Refusal::new(
        ErrorCode::E401,
        "expected a running node, found one that is stopping; try again when it is back",
    )
}

/// Unix seconds.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Fresh randomness of the operating system.
fn randomness() -> Result<Id, Refusal> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        Refusal::new(
            ErrorCode::E505,
            format!("expected randomness from the operating system, found: {error}"),
        )
    })?;
    Ok(bytes)
}

/// Starts the core. The thread's result is why it ended.
pub fn start<S: Store + 'static>(mut core: Core<S>) -> (Handle, std::thread::JoinHandle<Stopped>) {
    let (sender, mut receiver) = mpsc::channel(QUEUE);
    let (publish, snapshots) = watch::channel(core.snapshot());
    let handle = Handle {
        commands: Commands(sender),
        snapshots,
        verdicts: broadcast::channel(VERDICTS).0,
        shared: core.shared(),
    };
    let thread = std::thread::spawn(move || {
        while let Some(command) = receiver.blocking_recv() {
            handle_command(&mut core, command, &publish);
            if let Some(refusal) = core.failed() {
                return Stopped::Failed(refusal.clone());
            }
        }
        Stopped::Asked
    });
    (handle, thread)
}

fn handle_command<S: Store>(core: &mut Core<S>, command: Command, publish: &watch::Sender<Snapshot>) {
    // What changed is visible before it is answered: whoever has an answer finds it when looking.
    let changed = |core: &Core<S>| {
        publish.send_if_modified(|seen| {
            let newer = core.snapshot();
            let changed = newer.size != seen.size;
            if changed {
                *seen = newer;
            }
            changed
        });
    };
    // A reply that nobody waits for any more is no fault.
    match command {
        Command::Act(action, reply) => {
            let answer = core.act(action.0, action.1, now());
            changed(core);
            let _ = reply.send(answer);
        }
        Command::Contribution(contribution, reply) => {
            let (signed, judgement, file) = *contribution;
            let answer = core.contribution(signed, judgement, file, now());
            changed(core);
            let _ = reply.send(answer);
        }
        Command::CreateSpace(spec, reply) => {
            let answer = core.create_space(*spec, now());
            changed(core);
            let _ = reply.send(answer);
        }
        Command::Revert(space, version, reason, reply) => {
            let answer = core.revert(space, version, reason, now());
            changed(core);
            let _ = reply.send(answer);
        }
        Command::Tick => {
            if let Err(refusal) = core.tick(now(), &mut randomness) {
                tracing::error!(code = %refusal.code, "the node's clock could not do its work: {}", refusal.message);
            }
            changed(core);
        }
    }
}
