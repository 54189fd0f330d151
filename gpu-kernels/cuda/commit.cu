/* Rows of Pedersen commitments to small integers, Σ value·base.
 *
 * Values are cut into signed digits of `bits` bits, least significant window first. The entries of each (row, window)
 * are sorted by the magnitude of their digit, largest first, and cut into segments of equal length: a segment's
 * Σ digit·base is the sum, over the levels that the digits fall to, of the points so far. Work is equal for every
 * segment, also where a row holds one value only (sign bits), which buckets are not.
 */
#include "curve.h"

/* Rows of one magnitude: where row `i` of the batch is in the stack, and how its values are cut. */
typedef struct {
    const i32 *stack;
    const u64 *rows;
    u64 count, width;
    u64 bits, windows;
    u64 parts; /* the counting sort cuts a row into so many parts */
} Digits;

/* largest[row] = max |value| of a row. */
typedef struct {
    const i32 *stack;
    u32 *largest;
    u64 rows, width;
} RowMagnitudes;

WP_KERNEL(row_magnitudes, RowMagnitudes) {
    WP_FOR(row, p.rows) {
        u64 largest = 0;
        for (u64 column = 0; column < p.width; column++) {
            u64 magnitude = wp_magnitude(p.stack[row * p.width + column]);
            largest = magnitude > largest ? magnitude : largest;
        }
        /* At most 2^31. */
        p.largest[row] = (u32)largest;
    }
}

/* The digit of a value in a window: in [−2^(bits−1), 2^(bits−1)), and what is left in the last window. With half a window
 * added at every window but the last, all digits are those of a plain number, less that half. */
WP_DEVICE i64 wp_digit(i64 value, u64 bits, u64 windows, u64 window) {
    i64 half = (i64)1 << (bits - 1);
    for (u64 i = 0; i + 1 < windows; i++) value += half << (bits * i);
    i64 digit = wp_shift_down(value, bits * window);
    return window + 1 == windows ? digit : (digit & (2 * half - 1)) - half;
}

WP_DEVICE i64 wp_digit_at(const Digits *digits, u64 line, u64 column) {
    u64 row = digits->rows[line / digits->windows];
    return wp_digit(digits->stack[row * digits->width + column], digits->bits, digits->windows, line % digits->windows);
}

/* A line is a (row, window). Its levels are the magnitudes 2^(bits−1) … 1, in this order. */
WP_DEVICE u64 wp_levels(const Digits *digits) { return (u64)1 << (digits->bits - 1); }
WP_DEVICE u64 wp_part_length(const Digits *digits) { return (digits->width + digits->parts - 1) / digits->parts; }
WP_DEVICE u64 wp_part_end(const Digits *digits, u64 part) {
    u64 end = (part + 1) * wp_part_length(digits);
    return end < digits->width ? end : digits->width;
}

/* counts[line][level][part] = how many entries of a part are on a level. */
typedef struct {
    Digits digits;
    u32 *counts;
} DigitCounts;

WP_KERNEL(digit_counts, DigitCounts) {
    u64 levels = wp_levels(&p.digits);
    WP_FOR(index, p.digits.count * p.digits.windows * p.digits.parts) {
        u64 line = index / p.digits.parts, part = index % p.digits.parts;
        u32 *counts = p.counts + line * levels * p.digits.parts + part;
        for (u64 level = 0; level < levels; level++) counts[level * p.digits.parts] = 0;
        for (u64 column = part * wp_part_length(&p.digits); column < wp_part_end(&p.digits, part); column++) {
            u64 magnitude = wp_magnitude(wp_digit_at(&p.digits, line, column));
            if (magnitude) counts[(levels - magnitude) * p.digits.parts]++;
        }
    }
}

/* Replaces a line's counts by their running sums: where each level and part starts. totals[line] is the sum. */
typedef struct {
    u32 *counts, *totals;
    u64 lines, length;
} DigitOffsets;

WP_KERNEL(digit_offsets, DigitOffsets) {
    WP_FOR(line, p.lines) {
        u32 sum = 0;
        for (u64 i = line * p.length; i < (line + 1) * p.length; i++) {
            u32 count = p.counts[i];
            p.counts[i] = sum;
            sum += count;
        }
        p.totals[line] = sum;
    }
}

/* sorted[line][…] = 2·column + [digit < 0], by level. */
typedef struct {
    Digits digits;
    u32 *counts, *sorted;
} DigitSort;

WP_KERNEL(digit_sort, DigitSort) {
    u64 levels = wp_levels(&p.digits);
    WP_FOR(index, p.digits.count * p.digits.windows * p.digits.parts) {
        u64 line = index / p.digits.parts, part = index % p.digits.parts;
        u32 *counts = p.counts + line * levels * p.digits.parts + part;
        for (u64 column = part * wp_part_length(&p.digits); column < wp_part_end(&p.digits, part); column++) {
            i64 digit = wp_digit_at(&p.digits, line, column);
            if (digit == 0) continue;
            u32 *next = &counts[(levels - wp_magnitude(digit)) * p.digits.parts];
            p.sorted[line * p.digits.width + *next] = (u32)(2 * column) | (digit < 0);
            (*next)++;
        }
    }
}

/* out[line][segment] = Σ digit·base over one segment of a line's sorted entries. */
typedef struct {
    Digits digits;
    const u32 *sorted, *totals;
    const Affine *bases;
    Point *out;
    u64 segments, length;
} SegmentSums;

WP_KERNEL(segment_sums, SegmentSums) {
    WP_FOR(index, p.digits.count * p.digits.windows * p.segments) {
        u64 line = index / p.segments, start = index % p.segments * p.length;
        u64 end = start + p.length < p.totals[line] ? start + p.length : p.totals[line];
        Point sum = wp_identity(), running = wp_identity();
        u64 level = 0;
        for (u64 i = start; i < end; i++) {
            u32 entry = p.sorted[line * p.digits.width + i];
            u64 column = entry >> 1;
            u64 magnitude = wp_magnitude(wp_digit_at(&p.digits, line, column));
            if (magnitude < level) wp_add_multiple(&sum, &running, (u32)(level - magnitude));
            level = magnitude;
            Affine base = {wp_load(&p.bases[column].x), wp_load(&p.bases[column].y)};
            if (entry & 1) base.y = wp_negate(WP_BASE, base.y);
            wp_add_affine(&running, base);
        }
        wp_add_multiple(&sum, &running, (u32)level);
        wp_store_point(&p.out[index], &sum);
    }
}

/* out[line][i] = Σ in[line][factor·i …], `factor` points each; a line of `in` has `length` points. */
typedef struct {
    const Point *in;
    Point *out;
    u64 lines, length, factor;
} SumPoints;

WP_KERNEL(sum_points, SumPoints) {
    u64 shorter = (p.length + p.factor - 1) / p.factor;
    WP_FOR(index, p.lines * shorter) {
        u64 line = index / shorter, start = index % shorter * p.factor;
        u64 end = start + p.factor < p.length ? start + p.factor : p.length;
        Point sum = wp_identity();
        for (u64 i = start; i < end; i++) {
            Point point = wp_load_point(&p.in[line * p.length + i]);
            wp_add_point(&sum, &point);
        }
        wp_store_point(&p.out[index], &sum);
    }
}

/* out[row] = Σ_window 2^(bits·window)·in[row][window]. */
typedef struct {
    const Point *in;
    Point *out;
    u64 rows, windows, bits;
} JoinWindows;

WP_KERNEL(join_windows, JoinWindows) {
    WP_FOR(row, p.rows) {
        Point sum = wp_identity();
        for (u64 window = p.windows; window-- > 0;) {
            for (u64 i = 0; i < p.bits; i++) wp_double(&sum);
            Point point = wp_load_point(&p.in[row * p.windows + window]);
            wp_add_point(&sum, &point);
        }
        wp_store_point(&p.out[row], &sum);
    }
}
