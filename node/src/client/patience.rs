//! Trying again: what fails today may succeed in a minute, and a node that comes back must not meet everybody at once.
use super::Node;
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

    /// The next wait is short again.
    pub fn reset(&mut self) {
        self.next = FIRST;
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
    let mut backoff = Backoff::default();
    let mut said = None;
    let mut outcome = attempt(node);
    loop {
        match outcome {
            Err(failure) if may_pass(&failure) => {
                say(node, output, &failure, &mut said);
                backoff.wait(node.bars())?;
                outcome = node.reopen().and_then(|()| attempt(node));
            }
            outcome => {
                if let Some((since, _)) = said.filter(|_| outcome.is_ok()) {
                    let away = duration(Instant::now().duration_since(since).as_secs_f64());
                    output.line("again", format!("{} answers after {away}", node.profile().address));
                }
                return outcome;
            }
        }
    }
}

/// Says why it waits, once for each reason.
fn say(node: &Node<'_>, output: &Output, failure: &Failure, said: &mut Option<(Instant, &'static str)>) {
    let since = said.map_or_else(Instant::now, |(since, _)| since);
    if said.is_none_or(|(_, code)| code != failure.code()) {
        node.bars().clear();
        output.line("wait", format!("[{}] {failure}", failure.code()));
    }
    *said = Some((since, failure.code()));
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
        backoff.reset();
        assert_eq!(backoff.step(0), FIRST);
    }

    #[test]
    fn only_what_may_pass_is_repeated() {
        let refused = |code| may_pass(&Failure::Refused(Refusal::new(code, "")));
        assert!(may_pass(&Failure::Unreachable(String::new())));
        assert!([ErrorCode::E401, ErrorCode::E404, ErrorCode::E505].into_iter().all(refused));
        assert!(![ErrorCode::E203, ErrorCode::E205, ErrorCode::E307, ErrorCode::E503].into_iter().any(refused));
        assert!(!may_pass(&Failure::Untrusted(String::new())) && !may_pass(&Failure::Interrupted));
    }
}
