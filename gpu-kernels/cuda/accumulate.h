/* Sums of field elements times small integers, reduced once at the end. */
#ifndef WP_ACCUMULATE_H
#define WP_ACCUMULATE_H

#include "field.h"

#define WP_SUM_LIMBS 11

/* `Σ raw·integer` in two's complement. A term is below 2^255·2^63 in magnitude, so 2^32 terms stay below 2^350. */
typedef struct {
    u32 limb[WP_SUM_LIMBS];
} SmallSum;

WP_DEVICE SmallSum wp_empty_sum(void) {
    SmallSum sum;
    WP_UNROLL
    for (int i = 0; i < WP_SUM_LIMBS; i++) sum.limb[i] = 0;
    return sum;
}

/* sum += ±2^(32·offset)·value·factor; `mask` is all ones for minus, else zero. */
WP_DEVICE void wp_sum_add_word(SmallSum *sum, Element value, u32 factor, u32 mask, int offset) {
    u64 product = 0;
    /* −x is the complement of x, plus one. */
    u64 carry = mask & 1;
    WP_UNROLL
    for (int i = 0; i < WP_LIMBS; i++) {
        product += (u64)value.limb[i] * factor;
        carry += (u64)sum->limb[i + offset] + ((u32)product ^ mask);
        sum->limb[i + offset] = (u32)carry;
        product >>= 32;
        carry >>= 32;
    }
    carry += (u64)sum->limb[WP_LIMBS + offset] + ((u32)product ^ mask);
    sum->limb[WP_LIMBS + offset] = (u32)carry;
    WP_UNROLL
    for (int i = WP_LIMBS + 1 + offset; i < WP_SUM_LIMBS; i++) {
        carry = (carry >> 32) + sum->limb[i] + mask;
        sum->limb[i] = (u32)carry;
    }
}

WP_DEVICE void wp_sum_add(SmallSum *sum, Element value, i64 integer) {
    u64 magnitude = wp_magnitude(integer);
    u32 mask = integer < 0 ? 0xffffffffu : 0;
    wp_sum_add_word(sum, value, (u32)magnitude, mask, 0);
    if (magnitude >> 32) wp_sum_add_word(sum, value, (u32)(magnitude >> 32), mask, 1);
}

WP_DEVICE Element wp_sum_value(SmallSum sum) {
    u32 mask = 0u - (sum.limb[WP_SUM_LIMBS - 1] >> 31);
    u64 carry = mask & 1;
    WP_UNROLL
    for (int i = 0; i < WP_SUM_LIMBS; i++) {
        carry += (u64)(sum.limb[i] ^ mask);
        sum.limb[i] = (u32)carry;
        carry >>= 32;
    }
    Element low, high = wp_zero();
    WP_UNROLL
    for (int i = 0; i < WP_LIMBS; i++) low.limb[i] = sum.limb[i];
    WP_UNROLL
    for (int i = WP_LIMBS; i < WP_SUM_LIMBS; i++) high.limb[i - WP_LIMBS] = sum.limb[i];
    /* 2^256 < 4p. */
    WP_UNROLL
    for (int i = 0; i < 3; i++) low = wp_reduce_once(WP_SCALAR, low);
    /* The high limbs stand for a multiple of 2^256 = R. */
    Element value = f_add(low, f_multiply(wp_raise(), high));
    return mask ? wp_negate(WP_SCALAR, value) : value;
}

#endif
