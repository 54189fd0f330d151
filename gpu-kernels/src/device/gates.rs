//! The sumcheck over one layer's gates. The first round reads g, Q and P as the integers of the stack.

use weightproof_circuits::field::F;

use super::array::Array;
use super::runtime::{Launch, Runtime};
use super::session::DeviceSession;
use super::sums::{self, BUSY};
use crate::kernels::{EqSum, GateLayer, GateSum, KernelError};

/// g, Q and P.
enum Values<R: Runtime> {
    /// Where they start in the stack.
    Integers([usize; 3]),
    Elements([Array<R, F>; 3]),
}

pub(super) struct Gates<'a, R: Runtime> {
    session: &'a DeviceSession<'a, R>,
    /// `[E_A, E_Δ]`.
    weights: [Array<R, F>; 2],
    values: Values<R>,
    /// Entries of each array.
    length: usize,
}

impl<'a, R: Runtime> Gates<'a, R> {
    pub fn new(session: &'a DeviceSession<'a, R>, layer: &GateLayer) -> Result<Self, KernelError> {
        let ranges = [&layer.signs, &layer.pre_activations, &layer.back_sums];
        for range in ranges {
            session.check_range(range)?;
        }
        let length = layer.signs.len();
        if !length.is_power_of_two() || ranges.iter().any(|range| range.len() != length) {
            return session.refuse(format!("expected ranges of one power of two, found {ranges:?}"));
        }
        let variables = length.trailing_zeros() as usize;
        let array = |terms: &EqSum| {
            if let Some((_, point)) = terms.iter().find(|(_, point)| point.len() != variables) {
                return session
                    .refuse(format!("expected points of {variables} coordinates, found {}", point.len()));
            }
            sums::eq_sum(session.runtime, variables, terms)
        };
        let weights = [array(&layer.activation_weight)?, array(&layer.error_weight)?];
        Ok(Self { session, weights, values: Values::Integers(ranges.map(|range| range.start)), length })
    }

    fn check_open(&self) -> Result<usize, KernelError> {
        if self.length < 2 {
            return self.session.refuse("expected a coordinate that is free, found none".into());
        }
        Ok(self.length / 2)
    }
}

impl<R: Runtime> GateSum for Gates<'_, R> {
    fn round(&mut self) -> Result<[F; 3], KernelError> {
        let pairs = self.check_open()?;
        let runtime = self.session.runtime;
        let workers = pairs.min(BUSY);
        let out = Array::<R, F>::zeros(runtime, 3 * workers)?;
        let mut launch = Launch::new("gate_round").array(&self.weights[0]).array(&self.weights[1]);
        launch = match &self.values {
            Values::Integers(starts) => starts
                .iter()
                .fold(launch, |launch, start| launch.slice(&self.session.stack, *start))
                .words(&[0; 3]),
            Values::Elements(arrays) => {
                arrays.iter().fold(launch.words(&[0; 3]), |launch, array| launch.array(array))
            }
        };
        runtime.launch(&launch.array(&out).size(pairs).size(workers).threads(workers))?;
        let sums = sums::sum(runtime, out, workers, 3)?.download(runtime)?;
        match sums[..] {
            [zero, minus, leading] => Ok([zero, minus, leading]),
            _ => self.session.refuse(format!("expected three sums, found {}", sums.len())),
        }
    }

    fn bind(&mut self, challenge: &F) -> Result<(), KernelError> {
        let half = self.check_open()?;
        let runtime = self.session.runtime;
        let bind = |integers: Option<usize>, elements: Option<&Array<R, F>>| {
            let out = Array::<R, F>::zeros(runtime, half)?;
            let mut launch = Launch::new("bind").element(challenge);
            launch = match integers {
                Some(start) => launch.slice(&self.session.stack, start),
                None => launch.null(),
            };
            launch = match elements {
                Some(array) => launch.array(array),
                None => launch.null(),
            };
            runtime.launch(&launch.array(&out).size(half).threads(half))?;
            Ok::<_, KernelError>(out)
        };
        // Nothing is replaced before everything is bound: a failure leaves the sum as it was.
        let weights = [bind(None, Some(&self.weights[0]))?, bind(None, Some(&self.weights[1]))?];
        let values = match &self.values {
            Values::Integers([sign, pre, back]) => {
                [bind(Some(*sign), None)?, bind(Some(*pre), None)?, bind(Some(*back), None)?]
            }
            Values::Elements([sign, pre, back]) => {
                [bind(None, Some(sign))?, bind(None, Some(pre))?, bind(None, Some(back))?]
            }
        };
        (self.weights, self.values, self.length) = (weights, Values::Elements(values), half);
        Ok(())
    }
}
