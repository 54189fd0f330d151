/* The two Pasta fields in Montgomery form, R = 2^256: the memory image of arkworks' `Fp` (four little-endian 64-bit
 * limbs), so elements are copied, never converted. Every result is fully reduced, hence equal to arkworks' bit for bit.
 */
#ifndef WP_FIELD_H
#define WP_FIELD_H

#include "limbs.h"

typedef struct {
    u32 limb[WP_LIMBS];
} Element;

/* Which of the two primes 2^254 + t: they differ in the limbs 1 and 2 alone, and limb 0 is 1, so −p^−1 mod 2^32 is
 * 2^32 − 1 and limbs 4 to 6 are zero. Always a constant where it is used, so nothing of it is left at run time. */
typedef enum { WP_SCALAR, WP_BASE } Prime;

#define WP_P1(prime) ((prime) == WP_SCALAR ? 0x992d30edu : 0x8c46eb21u)
#define WP_P2(prime) ((prime) == WP_SCALAR ? 0x094cf91bu : 0x0994a8ddu)
#define WP_P3 0x224698fcu
#define WP_P7 0x40000000u

/* Elements are read and written as two 16-byte words: buffers and their offsets are multiples of 32 bytes. */
WP_DEVICE Element wp_load(const Element *from) {
#ifdef WP_ON_DEVICE
    const uint4 *words = (const uint4 *)from;
    uint4 low = words[0], high = words[1];
    Element e = {{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
    return e;
#else
    return *from;
#endif
}

WP_DEVICE void wp_store(Element *to, Element e) {
#ifdef WP_ON_DEVICE
    uint4 *words = (uint4 *)to;
    words[0] = make_uint4(e.limb[0], e.limb[1], e.limb[2], e.limb[3]);
    words[1] = make_uint4(e.limb[4], e.limb[5], e.limb[6], e.limb[7]);
#else
    *to = e;
#endif
}

WP_DEVICE Element wp_zero(void) {
    Element e = {{0, 0, 0, 0, 0, 0, 0, 0}};
    return e;
}

/* R mod p. */
WP_DEVICE Element wp_one(Prime prime) {
    Element e;
    e.limb[0] = 0xfffffffdu;
    e.limb[1] = prime == WP_SCALAR ? 0x34786d38u : 0x5b2b3e9cu;
    e.limb[2] = prime == WP_SCALAR ? 0xe41914adu : 0xe3420567u;
    e.limb[3] = 0x992c350bu;
    e.limb[4] = e.limb[5] = e.limb[6] = 0xffffffffu;
    e.limb[7] = 0x3fffffffu;
    return e;
}

WP_DEVICE int wp_is_zero(Element a) {
    u32 any = 0;
    WP_UNROLL
    for (int i = 0; i < WP_LIMBS; i++) any |= a.limb[i];
    return any == 0;
}

WP_DEVICE int wp_equal(Element a, Element b) {
    u32 any = 0;
    WP_UNROLL
    for (int i = 0; i < WP_LIMBS; i++) any |= a.limb[i] ^ b.limb[i];
    return any == 0;
}

WP_DEVICE Element wp_modulus(Prime prime) {
    Element p = {{1u, WP_P1(prime), WP_P2(prime), WP_P3, 0, 0, 0, WP_P7}};
    return p;
}

/* `a` less the modulus if it is not below it; for a below twice the modulus. */
WP_DEVICE Element wp_reduce_once(Prime prime, Element a) {
    Element p = wp_modulus(prime), less;
    u32 below = wp_subtract_limbs(less.limb, a.limb, p.limb);
    WP_UNROLL
    for (int i = 0; i < WP_LIMBS; i++) less.limb[i] = below ? a.limb[i] : less.limb[i];
    return less;
}

WP_DEVICE Element wp_add(Prime prime, Element a, Element b) {
    Element sum;
    wp_add_limbs(sum.limb, a.limb, b.limb);
    return wp_reduce_once(prime, sum);
}

WP_DEVICE Element wp_subtract(Prime prime, Element a, Element b) {
    Element difference, p = wp_modulus(prime);
    u32 below = wp_subtract_limbs(difference.limb, a.limb, b.limb);
    WP_UNROLL
    for (int i = 0; i < WP_LIMBS; i++) p.limb[i] &= below;
    wp_add_limbs(difference.limb, difference.limb, p.limb);
    return difference;
}

WP_DEVICE Element wp_negate(Prime prime, Element a) { return wp_subtract(prime, wp_zero(), a); }

WP_DEVICE void wp_first_row(u32 even[8], u32 odd[8], const u32 a[8], u32 b) {
    WP_UNROLL
    for (int j = 0; j < 8; j += 2) {
        u64 low = (u64)a[j] * b, high = (u64)a[j + 1] * b;
        even[j] = (u32)low;
        even[j + 1] = (u32)(low >> 32);
        odd[j] = (u32)high;
        odd[j + 1] = (u32)(high >> 32);
    }
}

#define WP_CLEAR(even, odd) wp_clear_low_limb(even, odd, WP_P1(prime), WP_P2(prime), WP_P3, WP_P7)

/* The result of eight rows: odd + even / 2^32 of an accumulator whose low limb is zero. */
WP_DEVICE Element wp_join(Prime prime, const u32 even[8], const u32 odd[8]) {
    Element sum;
    u32 shifted[8] = {even[1], even[2], even[3], even[4], even[5], even[6], even[7], 0};
    wp_add_limbs(sum.limb, odd, shifted);
    return wp_reduce_once(prime, sum);
}

/* `a·b`, by rows of `b` with one reduction step each. The second factor may be any 256-bit integer: the accumulator stays
 * below 3·2^32·p < 2^288, and the result below (2^256·p + 2^256·p) / 2^256 = 2p. */
WP_DEVICE Element wp_multiply(Prime prime, Element a, Element b) {
    u32 x[8], y[8];
    wp_first_row(x, y, a.limb, b.limb[0]);
    WP_CLEAR(x, y);
    WP_UNROLL
    for (int i = 1; i < 7; i += 2) {
        wp_shift_add_row(y, x, a.limb, b.limb[i]);
        WP_CLEAR(y, x);
        wp_shift_add_row(x, y, a.limb, b.limb[i + 1]);
        WP_CLEAR(x, y);
    }
    wp_shift_add_row(y, x, a.limb, b.limb[7]);
    WP_CLEAR(y, x);
    return wp_join(prime, y, x);
}

/* `a·b + c·d` with the reductions of one product. With p < 2^254.1 the accumulator stays below 4·2^32·p < 2^288, and
 * the result below (2p² + 2^256·p) / 2^256 < 2p. */
WP_DEVICE Element wp_multiply_two(Prime prime, Element a, Element b, Element c, Element d) {
    u32 x[8], y[8];
    wp_first_row(x, y, a.limb, b.limb[0]);
    wp_add_row(x, y, c.limb, d.limb[0]);
    WP_CLEAR(x, y);
    WP_UNROLL
    for (int i = 1; i < 7; i += 2) {
        wp_shift_add_row(y, x, a.limb, b.limb[i]);
        wp_add_row(y, x, c.limb, d.limb[i]);
        WP_CLEAR(y, x);
        wp_shift_add_row(x, y, a.limb, b.limb[i + 1]);
        wp_add_row(x, y, c.limb, d.limb[i + 1]);
        WP_CLEAR(x, y);
    }
    wp_shift_add_row(y, x, a.limb, b.limb[7]);
    wp_add_row(y, x, c.limb, d.limb[7]);
    WP_CLEAR(y, x);
    return wp_join(prime, y, x);
}

WP_DEVICE Element wp_square(Prime prime, Element a) { return wp_multiply(prime, a, a); }

/* R² mod p of the scalar field: multiplying raw limbs by it makes a value of them, and multiplies a value by R. */
WP_DEVICE Element wp_raise(void) {
    Element e = {{0x0000000fu, 0x8c78ecb3u, 0x8b0de0e7u, 0xd7d30dbdu, 0xc3c95d18u, 0x7797a99bu, 0x7b9cb714u, 0x096d41afu}};
    return e;
}

/* A signed integer as an element of the scalar field. */
WP_DEVICE Element wp_from_integer(i64 value) {
    u64 magnitude = wp_magnitude(value);
    Element raw = wp_zero();
    raw.limb[0] = (u32)magnitude;
    raw.limb[1] = (u32)(magnitude >> 32);
    Element e = wp_multiply(WP_SCALAR, wp_raise(), raw);
    return value < 0 ? wp_negate(WP_SCALAR, e) : e;
}

/* The scalar field's operations by short names: most kernels know no other field. */
WP_DEVICE Element f_add(Element a, Element b) { return wp_add(WP_SCALAR, a, b); }
WP_DEVICE Element f_subtract(Element a, Element b) { return wp_subtract(WP_SCALAR, a, b); }
WP_DEVICE Element f_multiply(Element a, Element b) { return wp_multiply(WP_SCALAR, a, b); }
WP_DEVICE Element f_multiply_two(Element a, Element b, Element c, Element d) {
    return wp_multiply_two(WP_SCALAR, a, b, c, d);
}
/* The line through `a` at 0 and `b` at 1, at `x`. */
WP_DEVICE Element f_between(Element a, Element b, Element x) { return f_add(a, f_multiply(f_subtract(b, a), x)); }

#endif
