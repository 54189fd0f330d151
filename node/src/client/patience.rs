//! Trying again: what fails today may succeed in a minute, and a node that comes back must not meet everybody at once.
use super::Node;
use super::profile::{Profile, Profiles};
use crate::bars::Bars;
use crate::failure::Failure;
use crate::output::{Output, duration};
use std::time::{Duration, Instant};
use weightproof_circuits::error::ErrorCode;
use weightproof_prover::progress::Progress;

/// The first wait.
const FIRST: Duration = Duration::from_secs(1);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(60);

/// Waits that double up to a minute, each by up to a half longer at random.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { next: FIRST }
    }
}

impl Backoff {
    /// How long to wait now; `chance` is in `0..=255`.
    fn step(&mut self, chance: u8) -> Duration {
        let wait = self.next + self.next * u32::from(chance) / 512;
        self.next = (self.next * 2).min(LONGEST);
        wait
    }

    /// Waits.
    ///
    /// # Errors
    /// [`Failure::Interrupted`].
    pub fn wait(&mut self, bars: &Bars) -> Result<(), Failure> {
        let mut chance = [0];
        // Without randomness the wait is only less spread.
        let _ = getrandom::fill(&mut chance);
        sleep(self.step(chance[0]), bars)
    }
}

/// Sleeps unless the user interrupts.
///
/// # Errors
/// [`Failure::Interrupted`].
pub fn sleep(time: Duration, bars: &Bars) -> Result<(), Failure> {
    let end = Instant::now() + time;
    loop {
        if bars.cancelled() {
            return Err(Failure::Interrupted);
        }
        match end.saturating_duration_since(Instant::now()) {
            Duration::ZERO => return Ok(()),
            left => std::thread::sleep(left.min(super::GLANCE)),
        }
    }
}

/// Whether the same may succeed later: the node is away, busy, or cannot write at the moment.
pub fn may_pass(failure: &Failure) -> bool {
    use ErrorCode::{E401, E402, E404, E505};
    match failure {
        Failure::Unreachable(_) => true,
        Failure::Refused(refusal) => matches!(refusal.code, E401 | E402 | E404 | E505),
        _ => false,
    }
}

/// Repeats `attempt` until it succeeds or fails for good, over a connection that is checked again each time.
///
/// # Errors
/// A failure that does not pass.
pub fn persist<'a, T>(
    node: &mut Node<'a>,
    output: &Output,
    mut attempt: impl FnMut(&mut Node<'a>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut waiting = Waiting::default();
    let mut begun = Instant::now();
    let mut outcome = attempt(node);
    loop {
        let failure = match outcome {
            Err(failure) if may_pass(&failure) => failure,
            outcome => return outcome,
        };
        if begun.elapsed() > LONGEST {
            // It went well for a while: this is another trouble.
            waiting = Waiting::default();
        }
        waiting.wait(&failure, node.bars(), output)?;
        outcome = match node.reopen() {
            Ok(()) => {
                waiting.over(node.profile().address.as_str(), &failure, output);
                begun = Instant::now();
                attempt(node)
            }
            Err(failure) => Err(failure),
        };
    }
}

/// Connects as [`Node::open`], waiting for a node that is away.
///
/// # Errors
/// A failure that does not pass.
pub fn open_patiently<'a>(
    profiles: &Profiles,
    profile: &Profile,
    bars: &'a Bars,
    output: &Output,
) -> Result<Node<'a>, Failure> {
    let mut waiting = Waiting::default();
    loop {
        match Node::open(profiles.clone(), profile.clone(), bars) {
            Err(failure) if may_pass(&failure) => waiting.wait(&failure, bars, output)?,
            outcome => return outcome,
        }
    }
}

/// One stretch of trouble: said once for each reason.
#[derive(Default)]
struct Waiting {
    backoff: Backoff,
    since: Option<Instant>,
    said: Option<&'static str>,
}

impl Waiting {
    fn wait(&mut self, failure: &Failure, bars: &Bars, output: &Output) -> Result<(), Failure> {
        self.since.get_or_insert_with(Instant::now);
        if self.said != Some(failure.code()) {
            bars.clear();
            output.line("wait", format!("[{}] {failure}", failure.code()));
            self.said = Some(failure.code());
        }
        self.backoff.wait(bars)
    }

    /// The connection stands again; the backoff stays, since a node may fall over as soon as it is asked.
    fn over(&mut self, address: &str, failure: &Failure, output: &Output) {
        if let (Failure::Unreachable(_), Some(since)) = (failure, self.since.take()) {
            output.line(
                "again",
                format!("{address} answers after {}", duration(since.elapsed().as_secs_f64())),
            );
            self.said = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weightproof_ledger::Refusal;

    #[test]
    fn waits_double_up_to_a_minute_and_are_spread() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..8).map(|_| backoff.step(0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert!(backoff.step(255) < Duration::from_secs(90));
        assert!(backoff.step(128) > LONGEST);
        assert_eq!(Backoff::default().step(0), FIRST);
    }

    #[test]
    fn only_what_may_pass_is_repeated() {
        let refused = |code| may_pass(&Failure::Refused(Refusal::new(code, "")));
        assert!(may_pass(&Failure::Unreachable(String::new())));
        assert!([ErrorCode::E401, ErrorCode::E404, ErrorCode::E505].into_iter().all(refused));
        assert!(
            ![ErrorCode::E203, ErrorCode::E205, ErrorCode::E307, ErrorCode::E503].into_iter().any(refused)
        );
        assert!(!may_pass(&Failure::Untrusted(String::new())) && !may_pass(&Failure::Interrupted));
    }
}
