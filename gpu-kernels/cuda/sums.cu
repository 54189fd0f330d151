/* Sums over the rows and columns of integer tensors, and sums of field elements. */
#include "accumulate.h"

/* Integers of 32 bits at `narrow` or, if that is null, of 64 bits at `wide`. */
WP_DEVICE i64 wp_integer(const i32 *narrow, const i64 *wide, u64 index) { return narrow ? narrow[index] : wide[index]; }

/* out[part][group][column] = Σ weights[row]·source[row][column] over one part of the rows of each group. */
typedef struct {
    const i32 *narrow;
    const i64 *wide;
    const Element *weights;
    Element *out;
    u64 width, groups, rows_per_group, parts;
} CombineRows;

WP_KERNEL(combine_rows, CombineRows) {
    u64 length = (p.rows_per_group + p.parts - 1) / p.parts;
    WP_FOR(index, p.parts * p.groups * p.width) {
        u64 column = index % p.width, group = index / p.width % p.groups, part = index / (p.width * p.groups);
        u64 end = (part + 1) * length < p.rows_per_group ? (part + 1) * length : p.rows_per_group;
        SmallSum sum = wp_empty_sum();
        for (u64 i = part * length; i < end; i++) {
            u64 row = group * p.rows_per_group + i;
            wp_sum_add(&sum, wp_load(&p.weights[row]), wp_integer(p.narrow, p.wide, row * p.width + column));
        }
        wp_store(&p.out[index], wp_sum_value(sum));
    }
}

/* out[part][row] = Σ weights[column]·source[row][column] over the columns part, part + parts, …: neighbouring threads
 * read neighbouring columns. */
typedef struct {
    const i32 *narrow;
    const i64 *wide;
    const Element *weights;
    Element *out;
    u64 width, rows, parts;
} ContractRows;

WP_KERNEL(contract_rows, ContractRows) {
    WP_FOR(index, p.parts * p.rows) {
        u64 part = index % p.parts, row = index / p.parts;
        SmallSum sum = wp_empty_sum();
        for (u64 column = part; column < p.width; column += p.parts) {
            wp_sum_add(&sum, wp_load(&p.weights[column]), wp_integer(p.narrow, p.wide, row * p.width + column));
        }
        wp_store(&p.out[part * p.rows + row], wp_sum_value(sum));
    }
}

/* out[worker][term] = Σ in[i][term] over i = worker, worker + workers, … below count. */
typedef struct {
    const Element *in;
    Element *out;
    u64 terms, count, workers;
} SumElements;

WP_KERNEL(sum_elements, SumElements) {
    WP_FOR(index, p.workers * p.terms) {
        u64 term = index % p.terms;
        Element sum = wp_zero();
        for (u64 i = index / p.terms; i < p.count; i += p.workers) sum = f_add(sum, wp_load(&p.in[i * p.terms + term]));
        wp_store(&p.out[index], sum);
    }
}

/* out = left·right. */
typedef struct {
    const i32 *left, *right;
    i64 *out;
    u64 count;
} GatedIntegers;

WP_KERNEL(gated_integers, GatedIntegers) {
    WP_FOR(index, p.count) { p.out[index] = (i64)p.left[index] * p.right[index]; }
}

/* out = 2^left_shift·left − 2^right_shift·right; shifts of at most 31. */
typedef struct {
    const i32 *left, *right;
    i64 *out;
    u64 left_shift, right_shift, count;
} DifferenceIntegers;

WP_KERNEL(difference_integers, DifferenceIntegers) {
    WP_FOR(index, p.count) {
        p.out[index] =
            (i64)p.left[index] * ((i64)1 << p.left_shift) - (i64)p.right[index] * ((i64)1 << p.right_shift);
    }
}

/* out[i] = Σ_term high[term][i / low_size]·low[term][i mod low_size]: a sum of eq polynomials, each given by the tables
 * of its high and of its low coordinates. */
typedef struct {
    const Element *high, *low;
    Element *out;
    u64 terms, high_size, low_size;
} EqSum;

WP_KERNEL(eq_sum, EqSum) {
    WP_FOR(index, p.high_size * p.low_size) {
        u64 high = index / p.low_size, low = index % p.low_size;
        Element sum = wp_zero();
        for (u64 term = 0; term < p.terms; term++) {
            Element product =
                f_multiply(wp_load(&p.high[term * p.high_size + high]), wp_load(&p.low[term * p.low_size + low]));
            sum = f_add(sum, product);
        }
        wp_store(&p.out[index], sum);
    }
}
