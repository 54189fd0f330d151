//! How long work tells its caller where it stands, and learns that it should stop.

/// Receives progress from long-running work; implementations must be callable from any thread.
///
/// Work calls `begin` once a stage, `advance` as it goes on, and looks at `cancelled` between pieces of work small
/// enough that an interrupt is felt at once.
pub trait Progress: Sync {
    /// A stage begins; `total` is its amount of work in the stage's own units (0 when it is not known beforehand).
    fn begin(&self, stage: &'static str, total: u64);
    /// `amount` more units of the current stage are done.
    fn advance(&self, amount: u64);
    /// Something that the caller should know, though the work goes on.
    fn note(&self, _text: &str) {}
    /// True once the caller wants the work to stop; the work then returns its "cancelled" error and writes nothing.
    fn cancelled(&self) -> bool;
}

/// Hears nothing and never cancels: for tests, benches and callers that need neither.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _stage: &'static str, _total: u64) {}
    fn advance(&self, _amount: u64) {}
    fn cancelled(&self) -> bool {
        false
    }
}
