//! The loss at the logits: the integer softmax by definition, the errors that it sends back, and, for people only,
//! its value as a float.
use weightproof_circuits::exact::SoftmaxTrace;

/// An all-zero softmax witness for `rows` examples of `classes` classes.
pub(super) fn empty_softmax(rows: usize, classes: usize) -> SoftmaxTrace {
    SoftmaxTrace {
        max: vec![0; rows],
        hot: vec![0; rows * classes],
        d: vec![0; rows * classes],
        e: vec![0; rows * classes],
        p: vec![0; rows * classes],
        rho: vec![0; rows * classes],
        rho_complement: vec![0; rows * classes],
    }
}

/// Fills one example's row of the softmax witness from its logits (specs/protocol/arithmetic.md).
pub(super) fn softmax_row(
    trace: &mut SoftmaxTrace,
    row: usize,
    logits: &[i16],
    exp_table: &[u16],
    error_bits: u32,
) {
    let classes = logits.len();
    let max = logits.iter().copied().max().unwrap_or(0);
    let first = first_largest(logits);
    let cells = row * classes..(row + 1) * classes;
    trace.max[row] = max;
    trace.hot[cells.start + first] = 1;
    let mut total = 0_u64;
    for (cell, logit) in cells.clone().zip(logits) {
        let difference = max.abs_diff(*logit);
        // The table has an entry for every 16-bit difference.
        let exponential = exp_table[usize::from(difference)];
        trace.d[cell] = difference;
        trace.e[cell] = exponential;
        total += u64::from(exponential);
    }
    let divisor = 2 * total;
    for cell in cells {
        let dividend = (u64::from(trace.e[cell]) << (error_bits + 1)) + total;
        let quotient = dividend / divisor;
        // e ≤ T, so the quotient is at most 2^fe.
        trace.p[cell] = quotient as i16;
        trace.rho[cell] = dividend - divisor * quotient;
        trace.rho_complement[cell] = divisor - 1 - trace.rho[cell];
    }
}

/// Index of the first of the largest values.
pub(super) fn first_largest<T: PartialOrd + Copy>(values: &[T]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}

/// Cross entropy in nats of one example, from its logits at scale `2^fa`: finite also where the integer probability
/// rounds to zero.
pub(super) fn cross_entropy(logits: &[i16], labels: &[i16], activation_bits: u32) -> f64 {
    let scale = f64::from(1_u32 << activation_bits);
    let max = logits.iter().copied().max().unwrap_or(0);
    let below = |logit: i16| f64::from(max.abs_diff(logit)) / scale;
    let total: f64 = logits.iter().map(|logit| (-below(*logit)).exp()).sum();
    let label: f64 = logits.iter().zip(labels).map(|(logit, label)| below(*logit) * f64::from(*label)).sum();
    label + total.ln()
}

/// Half the summed squared error of one example, whose gradient is the error that the program sends back.
pub(super) fn squared_error(outputs: &[i16], targets: &[i16], activation_bits: u32) -> f64 {
    let scale = f64::from(1_u32 << activation_bits);
    let square = |(output, target): (&i16, &i16)| ((f64::from(*output) - f64::from(*target)) / scale).powi(2);
    outputs.iter().zip(targets).map(square).sum::<f64>() / 2.0
}
