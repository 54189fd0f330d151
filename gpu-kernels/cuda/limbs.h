/* Chains of 32-bit limbs with carries: the only place that differs between the GPU and the host.
 *
 * A 288-bit accumulator is kept as two arrays, T = even + 2^32·odd: products of the even limbs of a factor fall on even
 * positions, those of its odd limbs on odd ones, so that each low and high half is added by one chain of carries.
 * (The arrangement is that of supranational's sppark; the hardware multiplies and adds 64-bit pairs.)
 */
#ifndef WP_LIMBS_H
#define WP_LIMBS_H

#include "portable.h"

#define WP_LIMBS 8

#ifdef WP_ON_DEVICE

/* out = a + b; the caller knows that it fits. */
WP_DEVICE void wp_add_limbs(u32 out[8], const u32 a[8], const u32 b[8]) {
    asm("add.cc.u32 %0, %8, %16;\n\t"
        "addc.cc.u32 %1, %9, %17;\n\t"
        "addc.cc.u32 %2, %10, %18;\n\t"
        "addc.cc.u32 %3, %11, %19;\n\t"
        "addc.cc.u32 %4, %12, %20;\n\t"
        "addc.cc.u32 %5, %13, %21;\n\t"
        "addc.cc.u32 %6, %14, %22;\n\t"
        "addc.u32 %7, %15, %23;"
        : "=&r"(out[0]), "=&r"(out[1]), "=&r"(out[2]), "=&r"(out[3]), "=&r"(out[4]), "=&r"(out[5]), "=&r"(out[6]),
          "=&r"(out[7])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(a[4]), "r"(a[5]), "r"(a[6]), "r"(a[7]), "r"(b[0]),
          "r"(b[1]), "r"(b[2]), "r"(b[3]), "r"(b[4]), "r"(b[5]), "r"(b[6]), "r"(b[7]));
}

/* out = a − b mod 2^256; all ones when it borrows, else zero. */
WP_DEVICE u32 wp_subtract_limbs(u32 out[8], const u32 a[8], const u32 b[8]) {
    u32 borrow;
    asm("sub.cc.u32 %0, %9, %17;\n\t"
        "subc.cc.u32 %1, %10, %18;\n\t"
        "subc.cc.u32 %2, %11, %19;\n\t"
        "subc.cc.u32 %3, %12, %20;\n\t"
        "subc.cc.u32 %4, %13, %21;\n\t"
        "subc.cc.u32 %5, %14, %22;\n\t"
        "subc.cc.u32 %6, %15, %23;\n\t"
        "subc.cc.u32 %7, %16, %24;\n\t"
        "subc.u32 %8, 0, 0;"
        : "=&r"(out[0]), "=&r"(out[1]), "=&r"(out[2]), "=&r"(out[3]), "=&r"(out[4]), "=&r"(out[5]), "=&r"(out[6]),
          "=&r"(out[7]), "=&r"(borrow)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(a[4]), "r"(a[5]), "r"(a[6]), "r"(a[7]), "r"(b[0]),
          "r"(b[1]), "r"(b[2]), "r"(b[3]), "r"(b[4]), "r"(b[5]), "r"(b[6]), "r"(b[7]));
    return borrow;
}

/* T += a·b; the caller knows that T stays below 2^288. */
WP_DEVICE void wp_add_row(u32 even[8], u32 odd[8], const u32 a[8], u32 b) {
    asm("mad.lo.cc.u32 %0, %8, %12, %0;\n\t"
        "madc.hi.cc.u32 %1, %8, %12, %1;\n\t"
        "madc.lo.cc.u32 %2, %9, %12, %2;\n\t"
        "madc.hi.cc.u32 %3, %9, %12, %3;\n\t"
        "madc.lo.cc.u32 %4, %10, %12, %4;\n\t"
        "madc.hi.cc.u32 %5, %10, %12, %5;\n\t"
        "madc.lo.cc.u32 %6, %11, %12, %6;\n\t"
        "madc.hi.u32 %7, %11, %12, %7;"
        : "+r"(odd[0]), "+r"(odd[1]), "+r"(odd[2]), "+r"(odd[3]), "+r"(odd[4]), "+r"(odd[5]), "+r"(odd[6]),
          "+r"(odd[7])
        : "r"(a[1]), "r"(a[3]), "r"(a[5]), "r"(a[7]), "r"(b));
    asm("mad.lo.cc.u32 %0, %9, %13, %0;\n\t"
        "madc.hi.cc.u32 %1, %9, %13, %1;\n\t"
        "madc.lo.cc.u32 %2, %10, %13, %2;\n\t"
        "madc.hi.cc.u32 %3, %10, %13, %3;\n\t"
        "madc.lo.cc.u32 %4, %11, %13, %4;\n\t"
        "madc.hi.cc.u32 %5, %11, %13, %5;\n\t"
        "madc.lo.cc.u32 %6, %12, %13, %6;\n\t"
        "madc.hi.cc.u32 %7, %12, %13, %7;\n\t"
        "addc.u32 %8, %8, 0;"
        : "+r"(even[0]), "+r"(even[1]), "+r"(even[2]), "+r"(even[3]), "+r"(even[4]), "+r"(even[5]), "+r"(even[6]),
          "+r"(even[7]), "+r"(odd[7])
        : "r"(a[0]), "r"(a[2]), "r"(a[4]), "r"(a[6]), "r"(b));
}

/* T = T / 2^32 + a·b, where T, given with its arrays already exchanged (T = odd + 2^32·even), has a zero low limb. */
WP_DEVICE void wp_shift_add_row(u32 even[8], u32 odd[8], const u32 a[8], u32 b) {
    asm("add.cc.u32 %0, %0, %2;\n\t"
        "madc.lo.cc.u32 %1, %9, %13, %3;\n\t"
        "madc.hi.cc.u32 %2, %9, %13, %4;\n\t"
        "madc.lo.cc.u32 %3, %10, %13, %5;\n\t"
        "madc.hi.cc.u32 %4, %10, %13, %6;\n\t"
        "madc.lo.cc.u32 %5, %11, %13, %7;\n\t"
        "madc.hi.cc.u32 %6, %11, %13, %8;\n\t"
        "madc.lo.cc.u32 %7, %12, %13, 0;\n\t"
        "madc.hi.u32 %8, %12, %13, 0;"
        : "+r"(even[0]), "+r"(odd[0]), "+r"(odd[1]), "+r"(odd[2]), "+r"(odd[3]), "+r"(odd[4]), "+r"(odd[5]),
          "+r"(odd[6]), "+r"(odd[7])
        : "r"(a[1]), "r"(a[3]), "r"(a[5]), "r"(a[7]), "r"(b));
    asm("mad.lo.cc.u32 %0, %9, %13, %0;\n\t"
        "madc.hi.cc.u32 %1, %9, %13, %1;\n\t"
        "madc.lo.cc.u32 %2, %10, %13, %2;\n\t"
        "madc.hi.cc.u32 %3, %10, %13, %3;\n\t"
        "madc.lo.cc.u32 %4, %11, %13, %4;\n\t"
        "madc.hi.cc.u32 %5, %11, %13, %5;\n\t"
        "madc.lo.cc.u32 %6, %12, %13, %6;\n\t"
        "madc.hi.cc.u32 %7, %12, %13, %7;\n\t"
        "addc.u32 %8, %8, 0;"
        : "+r"(even[0]), "+r"(even[1]), "+r"(even[2]), "+r"(even[3]), "+r"(even[4]), "+r"(even[5]), "+r"(even[6]),
          "+r"(even[7]), "+r"(odd[7])
        : "r"(a[0]), "r"(a[2]), "r"(a[4]), "r"(a[6]), "r"(b));
}

/* T += m·p with m = −T mod 2^32, for p = 1 + p1·2^32 + p2·2^64 + p3·2^96 + p7·2^224: the low limb becomes zero. */
WP_DEVICE void wp_clear_low_limb(u32 even[8], u32 odd[8], u32 p1, u32 p2, u32 p3, u32 p7) {
    u32 m = 0u - even[0];
    asm("mad.lo.cc.u32 %0, %8, %9, %0;\n\t"
        "madc.hi.cc.u32 %1, %8, %9, %1;\n\t"
        "madc.lo.cc.u32 %2, %8, %10, %2;\n\t"
        "madc.hi.cc.u32 %3, %8, %10, %3;\n\t"
        "addc.cc.u32 %4, %4, 0;\n\t"
        "addc.cc.u32 %5, %5, 0;\n\t"
        "madc.lo.cc.u32 %6, %8, %11, %6;\n\t"
        "madc.hi.u32 %7, %8, %11, %7;"
        : "+r"(odd[0]), "+r"(odd[1]), "+r"(odd[2]), "+r"(odd[3]), "+r"(odd[4]), "+r"(odd[5]), "+r"(odd[6]),
          "+r"(odd[7])
        : "r"(m), "r"(p1), "r"(p3), "r"(p7));
    asm("add.cc.u32 %0, %0, %9;\n\t"
        "addc.cc.u32 %1, %1, 0;\n\t"
        "madc.lo.cc.u32 %2, %9, %10, %2;\n\t"
        "madc.hi.cc.u32 %3, %9, %10, %3;\n\t"
        "addc.cc.u32 %4, %4, 0;\n\t"
        "addc.cc.u32 %5, %5, 0;\n\t"
        "addc.cc.u32 %6, %6, 0;\n\t"
        "addc.cc.u32 %7, %7, 0;\n\t"
        "addc.u32 %8, %8, 0;"
        : "+r"(even[0]), "+r"(even[1]), "+r"(even[2]), "+r"(even[3]), "+r"(even[4]), "+r"(even[5]), "+r"(even[6]),
          "+r"(even[7]), "+r"(odd[7])
        : "r"(m), "r"(p2));
}

#else

WP_DEVICE void wp_add_limbs(u32 out[8], const u32 a[8], const u32 b[8]) {
    u64 carry = 0;
    for (int i = 0; i < 8; i++) {
        carry += (u64)a[i] + b[i];
        out[i] = (u32)carry;
        carry >>= 32;
    }
}

WP_DEVICE u32 wp_subtract_limbs(u32 out[8], const u32 a[8], const u32 b[8]) {
    u64 borrow = 0;
    for (int i = 0; i < 8; i++) {
        u64 difference = (u64)a[i] - b[i] - borrow;
        out[i] = (u32)difference;
        borrow = difference >> 63;
    }
    return 0u - (u32)borrow;
}

/* into[2j..] = from[2j..] + a[2j]·b, carries included, from `carry`; the carry out. */
static inline u32 wp_chain(u32 into[8], const u32 from[8], const u32 *a, u32 b, u32 carry) {
    for (int j = 0; j < 8; j += 2) {
        u64 product = (u64)a[j] * b;
        u64 low = (u64)from[j] + (u32)product + carry;
        u64 high = (u64)from[j + 1] + (product >> 32) + (low >> 32);
        into[j] = (u32)low;
        into[j + 1] = (u32)high;
        carry = (u32)(high >> 32);
    }
    return carry;
}

WP_DEVICE void wp_add_row(u32 even[8], u32 odd[8], const u32 a[8], u32 b) {
    u32 odds[8] = {a[1], 0, a[3], 0, a[5], 0, a[7], 0};
    wp_chain(odd, odd, odds, b, 0);
    odd[7] += wp_chain(even, even, a, b, 0);
}

WP_DEVICE void wp_shift_add_row(u32 even[8], u32 odd[8], const u32 a[8], u32 b) {
    u32 odds[8] = {a[1], 0, a[3], 0, a[5], 0, a[7], 0};
    u32 shifted[8] = {odd[2], odd[3], odd[4], odd[5], odd[6], odd[7], 0, 0};
    u64 low = (u64)even[0] + odd[1];
    even[0] = (u32)low;
    wp_chain(odd, shifted, odds, b, (u32)(low >> 32));
    odd[7] += wp_chain(even, even, a, b, 0);
}

WP_DEVICE void wp_clear_low_limb(u32 even[8], u32 odd[8], u32 p1, u32 p2, u32 p3, u32 p7) {
    u32 m = 0u - even[0];
    u32 odds[8] = {p1, 0, p3, 0, 0, 0, p7, 0};
    u32 evens[8] = {1, 0, p2, 0, 0, 0, 0, 0};
    wp_chain(odd, odd, odds, m, 0);
    odd[7] += wp_chain(even, even, evens, m, 0);
}

#endif

#endif
