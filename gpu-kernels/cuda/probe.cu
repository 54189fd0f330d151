/* Kernels over single operations, so that the arithmetic that others are built of can be tested by itself. */
#include "accumulate.h"
#include "curve.h"

/* out[i] = left[i] ∘ right[i] in one of the fields; for `double product`, left·right + right·right. */
typedef struct {
    const Element *left, *right;
    Element *out;
    u64 count, is_base, operation;
} FieldProbe;

enum { WP_PROBE_ADD, WP_PROBE_SUBTRACT, WP_PROBE_MULTIPLY, WP_PROBE_NEGATE, WP_PROBE_DOUBLE_PRODUCT };

WP_DEVICE Element wp_probe(Prime prime, u64 operation, Element a, Element b) {
    switch (operation) {
    case WP_PROBE_ADD: return wp_add(prime, a, b);
    case WP_PROBE_SUBTRACT: return wp_subtract(prime, a, b);
    case WP_PROBE_MULTIPLY: return wp_multiply(prime, a, b);
    case WP_PROBE_NEGATE: return wp_negate(prime, a);
    default: return wp_multiply_two(prime, a, b, b, b);
    }
}

WP_KERNEL(field_probe, FieldProbe) {
    WP_FOR(index, p.count) {
        Element a = wp_load(&p.left[index]), b = wp_load(&p.right[index]);
        Element out = p.is_base ? wp_probe(WP_BASE, p.operation, a, b) : wp_probe(WP_SCALAR, p.operation, a, b);
        wp_store(&p.out[index], out);
    }
}

/* out[i] = integers[i] as an element, and sum[0] = Σ weights[i]·integers[i]. */
typedef struct {
    const i64 *integers;
    const Element *weights;
    Element *out, *sum;
    u64 count;
} IntegerProbe;

WP_KERNEL(integer_probe, IntegerProbe) {
    WP_FOR(index, p.count + 1) {
        if (index < p.count) {
            wp_store(&p.out[index], wp_from_integer(p.integers[index]));
        } else {
            SmallSum sum = wp_empty_sum();
            for (u64 i = 0; i < p.count; i++) wp_sum_add(&sum, wp_load(&p.weights[i]), p.integers[i]);
            wp_store(p.sum, wp_sum_value(sum));
        }
    }
}

/* out[i] = left[i] + factor·right[i], where the right point is added as an affine one when `is_mixed`. */
typedef struct {
    const Point *left;
    const Affine *right;
    Point *out;
    u64 count, is_mixed, factor;
} PointProbe;

WP_KERNEL(point_probe, PointProbe) {
    WP_FOR(index, p.count) {
        Point sum = wp_load_point(&p.left[index]);
        Affine right = {wp_load(&p.right[index].x), wp_load(&p.right[index].y)};
        if (p.is_mixed) {
            wp_add_affine(&sum, right);
        } else {
            Point multiple = wp_identity();
            wp_add_affine(&multiple, right);
            wp_add_multiple(&sum, &multiple, (u32)p.factor);
        }
        wp_store_point(&p.out[index], &sum);
    }
}
