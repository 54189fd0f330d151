//! Where the prover's messages go: one call sends a message and binds it.

use weightproof_circuits::algebra::OPENING_VALUE;
use weightproof_circuits::field::F;
use weightproof_circuits::transcript::Transcript;

/// The prover's side of a transcript.
pub trait Channel {
    /// Sends a message.
    fn send(&mut self, label: &'static str, values: Vec<F>);
    /// Sends the value that the opening proves.
    fn send_opening_value(&mut self, value: F);
    /// Draws a challenge.
    fn challenge(&mut self, label: &'static str) -> F;
    /// Draws several.
    fn challenges(&mut self, label: &'static str, count: usize) -> Vec<F> {
        (0..count).map(|_| self.challenge(label)).collect()
    }
}

/// The clear channel: messages in the open, for the self-check, tests and benches.
pub struct ClearChannel {
    transcript: Transcript,
    /// All messages, in order.
    pub messages: Vec<Vec<F>>,
}

impl ClearChannel {
    /// Sends under a transcript that is bound to the statement.
    pub fn new(transcript: Transcript) -> Self {
        Self { transcript, messages: Vec::new() }
    }
}

impl Channel for ClearChannel {
    fn send(&mut self, label: &'static str, values: Vec<F>) {
        self.transcript.absorb_scalars(label, &values);
        self.messages.push(values);
    }
    fn send_opening_value(&mut self, value: F) {
        self.send(OPENING_VALUE, vec![value]);
    }
    fn challenge(&mut self, label: &'static str) -> F {
        self.transcript.challenge(label)
    }
}
