/* The exact training step (specs/protocol/arithmetic.md). Matrix products are taken in f64, where sums of integers are
 * exact in any order while every partial sum stays below 2^53; the checks here show that before a result is used, and
 * raise the flag where they cannot. A raised flag sends the whole run back to the general trainer, so nothing that is
 * computed after it matters, only that it is computed without a fault.
 */
#include "portable.h"

/* 2^53: below it f64 holds every integer. A sum or product of magnitudes that is at least this comes out at least this,
 * since rounding is monotone and this is a float: the comparisons below err on the safe side. */
#define WP_EXACT 9007199254740992.0

WP_DEVICE f64 wp_absolute(f64 value) { return value < 0 ? -value : value; }

/* out = in, of weights; raises the flag for one that f64 might not hold. */
typedef struct {
    const i64 *in;
    f64 *out;
    u32 *flag;
    u64 count;
} ToFloat;

WP_KERNEL(to_float, ToFloat) {
    WP_FOR(index, p.count) {
        if (wp_magnitude(p.in[index]) >= ((u64)1 << 53)) WP_RAISE(p.flag);
        p.out[index] = (f64)p.in[index];
    }
}

/* An integer below 2^53 in magnitude; anything else is garbage after a raised flag, and becomes zero. */
WP_DEVICE i64 wp_to_integer(f64 value) { return wp_absolute(value) < WP_EXACT ? (i64)value : 0; }

typedef struct {
    const f64 *in;
    i64 *out;
    u64 count;
} ToInteger;

WP_KERNEL(to_integer, ToInteger) {
    WP_FOR(index, p.count) { p.out[index] = wp_to_integer(p.in[index]); }
}

/* Activations A: inputs, or pre-activations behind a ReLU. */
typedef struct {
    const i16 *in;
    f64 *out;
    u64 count, relu;
} Activations;

WP_KERNEL(activations, Activations) {
    WP_FOR(index, p.count) {
        i16 value = p.in[index];
        p.out[index] = p.relu && value < 0 ? 0.0 : (f64)value;
    }
}

enum { WP_ERROR_IDENTITY, WP_ERROR_RELU, WP_ERROR_SOFTMAX, WP_ERROR_SQUARED };

/* Errors Δ of some steps, times each step's coefficient if there are coefficients. A hidden layer: its back-propagated
 * sums behind the gate of its pre-activations. The last layer: `values` (probabilities, or pre-activations) less the
 * labels, at the scale of errors. */
typedef struct {
    const i16 *pre_activations, *values, *labels;
    const i64 *coefficients;
    f64 *out;
    u64 count, step_size, kind, shift;
} Errors;

WP_KERNEL(errors, Errors) {
    WP_FOR(index, p.count) {
        i64 error;
        i64 scale = (i64)1 << p.shift;
        switch (p.kind) {
        case WP_ERROR_IDENTITY: error = p.values[index]; break;
        case WP_ERROR_RELU: error = p.pre_activations[index] < 0 ? 0 : p.values[index]; break;
        case WP_ERROR_SOFTMAX: error = p.values[index] - p.labels[index] * scale; break;
        default: error = ((i64)p.values[index] - p.labels[index]) * scale; break;
        }
        p.out[index] = p.coefficients ? (f64)error * (f64)p.coefficients[index / p.step_size] : (f64)error;
    }
}

/* out[worker] = max |in[i]| over i = worker, worker + workers, …. */
typedef struct {
    const f64 *in;
    f64 *out;
    u64 count, workers;
} Largest;

WP_KERNEL(largest, Largest) {
    WP_FOR(worker, p.workers) {
        f64 largest = 0;
        for (u64 i = worker; i < p.count; i += p.workers) {
            f64 magnitude = wp_absolute(p.in[i]);
            largest = magnitude > largest ? magnitude : largest;
        }
        p.out[worker] = largest;
    }
}

/* out[part][line] = Σ |weight| over a part of each column (`by_rows` 0) or row (1) of an inputs × outputs matrix;
 * neighbouring threads read neighbouring weights. */
typedef struct {
    const f64 *weights;
    f64 *out;
    u64 inputs, outputs, parts, by_rows;
} MagnitudeSums;

WP_KERNEL(magnitude_sums, MagnitudeSums) {
    u64 lines = p.by_rows ? p.inputs : p.outputs, length = p.by_rows ? p.outputs : p.inputs;
    WP_FOR(index, lines * p.parts) {
        u64 line = p.by_rows ? index / p.parts : index % lines;
        u64 part = p.by_rows ? index % p.parts : index / lines;
        f64 sum = 0;
        for (u64 i = part; i < length; i += p.parts) {
            sum += wp_absolute(p.weights[p.by_rows ? line * p.outputs + i : i * p.outputs + line]);
        }
        p.out[part * lines + line] = sum;
    }
}

/* Whether a product with these weights is exact, and still is when 2^activation_bits·bias and the rounding's half are
 * added: the largest factor times each line's sum. totals[line] is the sum. */
typedef struct {
    const f64 *sums, *largest;
    const i64 *biases;
    f64 *totals;
    u32 *flag;
    u64 lines, parts, activation_bits, weight_bits;
} CheckProduct;

WP_KERNEL(check_product, CheckProduct) {
    WP_FOR(line, p.lines) {
        f64 total = 0;
        for (u64 part = 0; part < p.parts; part++) total += p.sums[part * p.lines + line];
        f64 bound = total * *p.largest + (f64)((u64)1 << (p.weight_bits - 1));
        if (p.biases) bound += (f64)wp_magnitude(p.biases[line]) * (f64)((u64)1 << p.activation_bits);
        if (!(bound < WP_EXACT)) WP_RAISE(p.flag);
        p.totals[line] = total;
    }
}

/* Whether weights, at most *bound so far, are exact after activationsᵀ·errors of `rows` examples is taken off; *bound
 * becomes the new bound. */
typedef struct {
    const f64 *activations, *errors;
    f64 *bound;
    u32 *flag;
    u64 rows;
} CheckUpdate;

WP_KERNEL(check_update, CheckUpdate) {
    WP_FOR(index, 1) {
        *p.bound += (f64)p.rows * *p.activations * *p.errors;
        /* Scaled errors that are not exact themselves are caught too, where activations are not all zero. */
        if (!(*p.bound < WP_EXACT) || !(*p.errors < WP_EXACT)) WP_RAISE(p.flag);
    }
}

/* The rounding: sums + 2^activation_bits·bias + 2^(weight_bits−1) = 2^weight_bits·quotient + remainder. */
typedef struct {
    const f64 *sums;
    const i64 *biases;
    i16 *quotients;
    u64 *remainders;
    u32 *flag;
    u64 count, width, activation_bits, weight_bits;
} RoundSums;

WP_KERNEL(round_sums, RoundSums) {
    WP_FOR(index, p.count) {
        /* Unsigned, since after a raised flag biases may be anything. */
        u64 sum = (u64)wp_to_integer(p.sums[index]) + ((u64)1 << (p.weight_bits - 1));
        if (p.biases) sum += (u64)p.biases[index % p.width] << p.activation_bits;
        u64 remainder = sum & (((u64)1 << p.weight_bits) - 1);
        i64 quotient = wp_shift_down((i64)sum, p.weight_bits);
        if (quotient < -32768 || quotient > 32767) {
            WP_RAISE(p.flag);
            quotient = 0;
        }
        p.quotients[index] = (i16)quotient;
        p.remainders[index] = remainder;
    }
}

/* The integer softmax, its division and what witnesses both, one row an example. */
typedef struct {
    const i16 *logits;
    const u16 *exponential;
    i16 *maxima;
    u8 *hot;
    u16 *distances, *exponentials;
    i16 *probabilities;
    u64 *remainders, *complements;
    u64 rows, classes, error_bits;
} Softmax;

WP_KERNEL(softmax, Softmax) {
    WP_FOR(row, p.rows) {
        u64 start = row * p.classes, first = 0;
        const i16 *logits = p.logits + start;
        for (u64 unit = 1; unit < p.classes; unit++) {
            if (logits[unit] > logits[first]) first = unit;
        }
        i32 maximum = logits[first];
        p.maxima[row] = (i16)maximum;
        u64 total = 0;
        for (u64 unit = 0; unit < p.classes; unit++) {
            u16 distance = (u16)(maximum - logits[unit]);
            u16 exponential = p.exponential[distance];
            p.hot[start + unit] = unit == first;
            p.distances[start + unit] = distance;
            p.exponentials[start + unit] = exponential;
            total += exponential;
        }
        for (u64 unit = 0; unit < p.classes; unit++) {
            u64 dividend = ((u64)p.exponentials[start + unit] << (p.error_bits + 1)) + total;
            u64 quotient = dividend / (2 * total), remainder = dividend % (2 * total);
            /* At most 2^error_bits, since no exponential exceeds the total. */
            p.probabilities[start + unit] = (i16)quotient;
            p.remainders[start + unit] = remainder;
            p.complements[start + unit] = 2 * total - 1 - remainder;
        }
    }
}

/* out[unit] = Σ over the batch of a step's errors. */
typedef struct {
    const f64 *errors;
    i64 *out;
    u64 batch, width;
} ErrorSums;

WP_KERNEL(error_sums, ErrorSums) {
    WP_FOR(unit, p.width) {
        i64 sum = 0;
        for (u64 example = 0; example < p.batch; example++) sum += wp_to_integer(p.errors[example * p.width + unit]);
        p.out[unit] = sum;
    }
}

/* biases −= 2^activation_bits·Σ_step coefficient·sums[step]. */
typedef struct {
    const i64 *sums, *coefficients;
    i64 *biases;
    u32 *flag;
    u64 steps, width, activation_bits;
} ShiftBiases;

WP_KERNEL(shift_biases, ShiftBiases) {
    WP_FOR(unit, p.width) {
        /* In floats first: below 2^62 by them, no partial sum of the integers reaches 2^63. */
        f64 scale = (f64)((u64)1 << p.activation_bits), bound = (f64)wp_magnitude(p.biases[unit]);
        for (u64 step = 0; step < p.steps; step++) {
            bound += (f64)wp_magnitude(p.coefficients[step]) * (f64)wp_magnitude(p.sums[step * p.width + unit]) * scale;
        }
        if (!(bound < 4611686018427387904.0)) {
            WP_RAISE(p.flag);
            continue;
        }
        i64 bias = p.biases[unit];
        for (u64 step = 0; step < p.steps; step++) {
            bias -= p.coefficients[step] * p.sums[step * p.width + unit] * ((i64)1 << p.activation_bits);
        }
        p.biases[unit] = bias;
    }
}
