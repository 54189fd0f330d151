//! How long verification took lately.
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Verifications that count.
const KEPT: usize = 256;

/// Milliseconds of the last verifications.
#[derive(Debug, Default)]
pub struct Latencies(Mutex<VecDeque<f64>>);

impl Latencies {
    /// Adds one.
    pub fn record(&self, milliseconds: f64) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(milliseconds);
    }

    /// The value that a share of them does not exceed; 0 without any.
    pub fn quantile(&self, share: f64) -> f64 {
        let mut sorted: Vec<f64> =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let place = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(place.saturating_sub(1)).copied().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_last_ones() {
        let latencies = Latencies::default();
        assert_eq!(latencies.quantile(0.5), 0.0);
        (1..=1000).for_each(|value| latencies.record(f64::from(value)));
        assert_eq!(latencies.quantile(0.5), 872.0);
        assert_eq!(latencies.quantile(1.0), 1000.0);
    }
}
