/* One layer's gates, Σ g·(E_A·Q + E_Δ·P) (specs/protocol/gates.md). Until a round binds them, g, Q and P are the integers
 * of the stack. */
#include "field.h"

/* Two neighbouring entries, of integers if there are any, else of elements. */
typedef struct {
    Element even, odd;
} Ends;

WP_DEVICE Ends wp_ends(const i32 *integers, const Element *elements, u64 pair) {
    Ends ends;
    if (integers) {
        ends.even = wp_from_integer(integers[2 * pair]);
        ends.odd = wp_from_integer(integers[2 * pair + 1]);
    } else {
        ends.even = wp_load(&elements[2 * pair]);
        ends.odd = wp_load(&elements[2 * pair + 1]);
    }
    return ends;
}

/* The five factors of a layer: `integers` are null once g, Q and P are elements. */
typedef struct {
    const Element *activation_weight, *error_weight;
    const i32 *sign_integers, *pre_activation_integers, *back_sum_integers;
    const Element *signs, *pre_activations, *back_sums;
} GateFactors;

/* out[worker] = [t(0), t(−1), leading coefficient], over the pairs worker, worker + workers, …. */
typedef struct {
    GateFactors factors;
    Element *out;
    u64 pairs, workers;
} GateRound;

WP_DEVICE Element wp_gate(const Element factor[5]) {
    return f_multiply(factor[2], f_multiply_two(factor[0], factor[3], factor[1], factor[4]));
}

WP_KERNEL(gate_round, GateRound) {
    WP_FOR(worker, p.workers) {
        Element zero = wp_zero(), minus = wp_zero(), leading = wp_zero();
        for (u64 pair = worker; pair < p.pairs; pair += p.workers) {
            Ends ends[5] = {
                wp_ends(0, p.factors.activation_weight, pair),
                wp_ends(0, p.factors.error_weight, pair),
                wp_ends(p.factors.sign_integers, p.factors.signs, pair),
                wp_ends(p.factors.pre_activation_integers, p.factors.pre_activations, pair),
                wp_ends(p.factors.back_sum_integers, p.factors.back_sums, pair),
            };
            Element at_zero[5], at_minus[5], slope[5];
            WP_UNROLL
            for (int i = 0; i < 5; i++) {
                at_zero[i] = ends[i].even;
                slope[i] = f_subtract(ends[i].odd, ends[i].even);
                at_minus[i] = f_subtract(ends[i].even, slope[i]);
            }
            zero = f_add(zero, wp_gate(at_zero));
            minus = f_add(minus, wp_gate(at_minus));
            leading = f_add(leading, wp_gate(slope));
        }
        wp_store(&p.out[3 * worker], zero);
        wp_store(&p.out[3 * worker + 1], minus);
        wp_store(&p.out[3 * worker + 2], leading);
    }
}

/* Binds the least significant coordinate of one factor: out[i] on the line through its entries 2i and 2i + 1. */
typedef struct {
    Element challenge;
    const i32 *integers;
    const Element *elements;
    Element *out;
    u64 count;
} Bind;

WP_KERNEL(bind, Bind) {
    WP_FOR(index, p.count) {
        Ends ends = wp_ends(p.integers, p.elements, index);
        wp_store(&p.out[index], f_between(ends.even, ends.odd, p.challenge));
    }
}
