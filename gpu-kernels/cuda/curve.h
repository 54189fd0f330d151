/* Vesta, y² = x³ + 5, in the coordinates XYZZ: x = X/ZZ, y = Y/ZZZ, ZZ³ = ZZZ². ZZ = 0 is the identity.
 *
 * Formulas: https://hyperelliptic.org/EFD/g1p/auto-shortw-xyzz.html (madd-2008-s, add-2008-s, dbl-2008-s-1, mdbl-2008-s-1).
 * The group has odd order, so no point has y = 0.
 */
#ifndef WP_CURVE_H
#define WP_CURVE_H

#include "field.h"

/* (0, 0), which is not on the curve, stands for the identity. */
typedef struct {
    Element x, y;
} Affine;

typedef struct {
    Element x, y, zz, zzz;
} Point;

WP_DEVICE Element b_add(Element a, Element b) { return wp_add(WP_BASE, a, b); }
WP_DEVICE Element b_subtract(Element a, Element b) { return wp_subtract(WP_BASE, a, b); }
WP_DEVICE Element b_multiply(Element a, Element b) { return wp_multiply(WP_BASE, a, b); }
WP_DEVICE Element b_square(Element a) { return wp_square(WP_BASE, a); }

WP_DEVICE Point wp_identity(void) {
    Point point = {wp_zero(), wp_zero(), wp_zero(), wp_zero()};
    return point;
}

WP_DEVICE int wp_is_identity(const Point *point) { return wp_is_zero(point->zz); }

WP_DEVICE Point wp_load_point(const Point *from) {
    Point point = {wp_load(&from->x), wp_load(&from->y), wp_load(&from->zz), wp_load(&from->zzz)};
    return point;
}

WP_DEVICE void wp_store_point(Point *to, const Point *point) {
    wp_store(&to->x, point->x);
    wp_store(&to->y, point->y);
    wp_store(&to->zz, point->zz);
    wp_store(&to->zzz, point->zzz);
}

/* point ← 2·point. Doublings and full additions are far rarer than mixed ones, so they are shared. The identity doubles to itself: ZZ stays zero. */
WP_SHARED_CODE void wp_double(Point *point) {
    Element u = b_add(point->y, point->y);
    Element v = b_square(u);
    Element w = b_multiply(u, v);
    Element s = b_multiply(point->x, v);
    Element square = b_square(point->x);
    Element m = b_add(b_add(square, square), square);
    Element x = b_subtract(b_square(m), b_add(s, s));
    point->y = b_subtract(b_multiply(m, b_subtract(s, x)), b_multiply(w, point->y));
    point->x = x;
    point->zz = b_multiply(v, point->zz);
    point->zzz = b_multiply(w, point->zzz);
}

/* What both additions end with: `x1`, `y1` are the first point's coordinates over the common denominator, `difference`
 * and `rise` how far the second point's are from them. */
WP_DEVICE void wp_chord(Point *sum, Element x1, Element y1, Element difference, Element rise, Element zz, Element zzz) {
    Element square = b_square(difference);
    Element cube = b_multiply(difference, square);
    Element q = b_multiply(x1, square);
    Element x = b_subtract(b_subtract(b_square(rise), cube), b_add(q, q));
    sum->y = b_subtract(b_multiply(rise, b_subtract(q, x)), b_multiply(y1, cube));
    sum->x = x;
    sum->zz = b_multiply(zz, square);
    sum->zzz = b_multiply(zzz, cube);
}

/* sum ← sum + point, whatever the two are. */
WP_SHARED_CODE void wp_add_point(Point *sum, const Point *point) {
    if (wp_is_identity(point)) return;
    if (wp_is_identity(sum)) {
        *sum = *point;
        return;
    }
    Element x1 = b_multiply(sum->x, point->zz), y1 = b_multiply(sum->y, point->zzz);
    Element difference = b_subtract(b_multiply(point->x, sum->zz), x1);
    Element rise = b_subtract(b_multiply(point->y, sum->zzz), y1);
    if (wp_is_zero(difference)) {
        if (wp_is_zero(rise)) {
            wp_double(sum);
        } else {
            *sum = wp_identity();
        }
        return;
    }
    wp_chord(sum, x1, y1, difference, rise, b_multiply(sum->zz, point->zz), b_multiply(sum->zzz, point->zzz));
}

/* sum ← sum + point for an affine point, whatever the two are. */
WP_DEVICE void wp_add_affine(Point *sum, Affine point) {
    if (wp_is_zero(point.x) && wp_is_zero(point.y)) return;
    if (wp_is_identity(sum)) {
        sum->x = point.x;
        sum->y = point.y;
        sum->zz = sum->zzz = wp_one(WP_BASE);
        return;
    }
    Element difference = b_subtract(b_multiply(point.x, sum->zz), sum->x);
    Element rise = b_subtract(b_multiply(point.y, sum->zzz), sum->y);
    if (wp_is_zero(difference)) {
        if (wp_is_zero(rise)) {
            wp_double(sum);
        } else {
            *sum = wp_identity();
        }
        return;
    }
    wp_chord(sum, sum->x, sum->y, difference, rise, sum->zz, sum->zzz);
}

/* sum ← sum + factor·point. */
WP_DEVICE void wp_add_multiple(Point *sum, const Point *point, u32 factor) {
    if (factor == 0) return;
    Point multiple = *point;
    u32 bit = 1;
    while (bit <= factor / 2) bit <<= 1;
    for (bit >>= 1; bit; bit >>= 1) {
        wp_double(&multiple);
        if (factor & bit) wp_add_point(&multiple, point);
    }
    wp_add_point(sum, &multiple);
}

#endif
