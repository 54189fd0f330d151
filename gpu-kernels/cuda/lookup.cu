/* The lookup's tree of fractions (specs/protocol/lookup.md). Leaves are computed from the stack wherever they are needed
 * and never stored: a leaf takes a few bytes of the stack in place of 64. */
#include "field.h"

/* How a block's leaves are formed. */
enum { WP_LEAF_SINGLE, WP_LEAF_PAIR, WP_LEAF_NEUTRAL, WP_LEAF_TABLE };
/* Which second member a table's entries have: none, the sign of the first, or the exponential of the first. */
enum { WP_SECOND_NONE, WP_SECOND_SIGN, WP_SECOND_EXPONENTIAL };

/* One block of the stack, with its table. */
typedef struct {
    Element identifier; /* β·id */
    u64 offset, end;
    u64 leaf, second;
    u64 unit_variables, units;
    u64 partner;     /* position of the partner's block, for pairs */
    u64 entries;     /* where the table's denominators start in `LeafSource.entries` */
    u64 entry_count; /* a power of two */
    u64 least;       /* two's complement of the first entry's first member */
} LeafBlock;

/* Everything that a leaf depends on. */
typedef struct {
    Element alpha, gamma;
    const i32 *stack;
    const LeafBlock *blocks; /* by offset, without gaps between them; after the last one comes the tail */
    const Element *entries;  /* α − (t₀ + γ·t₁ + β·id) for every entry of every table */
    const i32 *exponential;
    u64 block_count, steps, batch, example_variables;
} LeafSource;

typedef struct {
    Element numerator, denominator;
} Fraction;

/* out ← out − value − γ·second. */
WP_SHARED_CODE void wp_subtract_members(Element *out, const Element *gamma, i64 value, i64 second) {
    *out = f_subtract(*out, wp_from_integer(value));
    *out = f_subtract(*out, f_multiply(*gamma, wp_from_integer(second)));
}

/* `α − identifier − value − γ·second`, for leaves that are no entry of their table: all members are zero in padding, and
 * no other such leaf is in a proof that will be accepted. */
WP_DEVICE Element wp_denominator(const LeafSource *s, Element identifier, i64 value, i64 second) {
    Element result = f_subtract(s->alpha, identifier);
    if (value || second) {
        Element gamma = s->gamma;
        wp_subtract_members(&result, &gamma, value, second);
    }
    return result;
}

/* The leaf at a position of the stack; `hint` is a block index near which the block is likely to be, and becomes its. */
WP_DEVICE Fraction wp_leaf(const LeafSource *s, u64 position, u64 *hint) {
    Fraction leaf;
    leaf.numerator = wp_one(WP_SCALAR);
    i32 value = s->stack[position];
    u64 index = *hint;
    if (index >= s->block_count || position < s->blocks[index].offset || position >= s->blocks[index].end) {
        /* The first block that ends after the position. */
        u64 low = 0, high = s->block_count;
        while (low < high) {
            u64 middle = (low + high) / 2;
            if (s->blocks[middle].end <= position) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        index = *hint = low;
    }
    if (index >= s->block_count) {
        leaf.denominator = wp_denominator(s, wp_zero(), value, 0);
        return leaf;
    }
    const LeafBlock *block = &s->blocks[index];
    u64 place = position - block->offset;
    if (block->leaf == WP_LEAF_NEUTRAL) {
        leaf.numerator = wp_zero();
        leaf.denominator = wp_one(WP_SCALAR);
        return leaf;
    }
    if (block->leaf == WP_LEAF_TABLE) {
        leaf.numerator = wp_from_integer(-(i64)value);
        leaf.denominator = wp_load(&s->entries[block->entries + place]);
        return leaf;
    }
    i32 second = block->leaf == WP_LEAF_PAIR ? s->stack[block->partner + place] : 0;
    u64 row = place >> block->unit_variables, unit = place & (((u64)1 << block->unit_variables) - 1);
    u64 step = row >> s->example_variables, example = row & (((u64)1 << s->example_variables) - 1);
    if (unit < block->units && step < s->steps && example < s->batch) {
        u64 entry = (u64)((i64)value - (i64)block->least);
        int matches = entry < block->entry_count;
        if (block->second == WP_SECOND_SIGN) matches = matches && second == (value >= 0);
        if (block->second == WP_SECOND_EXPONENTIAL) matches = matches && second == s->exponential[entry];
        /* What is no entry of its table gets its own denominator, which no entry cancels. */
        leaf.denominator = matches ? wp_load(&s->entries[block->entries + entry])
                                   : wp_denominator(s, block->identifier, value, second);
    } else {
        leaf.denominator = wp_denominator(s, wp_zero(), value, second);
    }
    return leaf;
}

/* out[i] = start − (least + i) − γ·t₁: one table's denominators, `start` being α − β·id. */
typedef struct {
    Element start, gamma;
    const i32 *exponential;
    Element *out;
    u64 count, least, second;
} TableEntries;

WP_KERNEL(table_entries, TableEntries) {
    WP_FOR(index, p.count) {
        i64 first = (i64)p.least + (i64)index;
        i64 second = 0;
        if (p.second == WP_SECOND_SIGN) second = first >= 0;
        if (p.second == WP_SECOND_EXPONENTIAL) second = p.exponential[index];
        Element entry = f_subtract(p.start, wp_from_integer(first));
        if (second) entry = f_subtract(entry, f_multiply(p.gamma, wp_from_integer(second)));
        wp_store(&p.out[index], entry);
    }
}

/* (p₀·q₁ + p₁·q₀, q₀·q₁). */
WP_DEVICE Fraction wp_parent(Fraction even, Fraction odd) {
    Fraction sum;
    sum.numerator = f_multiply_two(even.numerator, odd.denominator, odd.numerator, even.denominator);
    sum.denominator = f_multiply(even.denominator, odd.denominator);
    return sum;
}

WP_DEVICE Fraction wp_node(const Element *numerators, const Element *denominators, u64 index) {
    Fraction node = {wp_load(&numerators[index]), wp_load(&denominators[index])};
    return node;
}

/* The layer above the leaves. */
typedef struct {
    LeafSource source;
    Element *numerators, *denominators;
    u64 count;
} LeafParents;

WP_KERNEL(leaf_parents, LeafParents) {
    u64 hint = 0;
    WP_FOR(index, p.count) {
        Fraction even = wp_leaf(&p.source, 2 * index, &hint);
        Fraction sum = wp_parent(even, wp_leaf(&p.source, 2 * index + 1, &hint));
        wp_store(&p.numerators[index], sum.numerator);
        wp_store(&p.denominators[index], sum.denominator);
    }
}

/* The layer above a stored one. */
typedef struct {
    const Element *child_numerators, *child_denominators;
    Element *numerators, *denominators;
    u64 count;
} NodeParents;

WP_KERNEL(node_parents, NodeParents) {
    WP_FOR(index, p.count) {
        Fraction even = wp_node(p.child_numerators, p.child_denominators, 2 * index);
        Fraction odd = wp_node(p.child_numerators, p.child_denominators, 2 * index + 1);
        Fraction sum = wp_parent(even, odd);
        wp_store(&p.numerators[index], sum.numerator);
        wp_store(&p.denominators[index], sum.denominator);
    }
}

/* What every worker of a round knows: the weight of pair i is high[i / low_size]·low[i mod low_size]. A worker takes
 * `chunk` neighbouring pairs; chunk divides low_size, so one high weight serves them all. out[worker] = [t(0), leading]. */
typedef struct {
    Element lambda;
    const Element *high, *low;
    Element *out;
    u64 pairs, low_size, chunk;
} RoundTerms;

/* p₀·q₁ + p₁·q₀ + λ·q₀·q₁. */
WP_DEVICE Element wp_round_term(Element lambda, Fraction even, Fraction odd) {
    Element numerator = f_add(even.numerator, f_multiply(lambda, even.denominator));
    return f_multiply_two(numerator, odd.denominator, odd.numerator, even.denominator);
}

WP_DEVICE Fraction wp_slope(Fraction from, Fraction to) {
    Fraction slope = {f_subtract(to.numerator, from.numerator), f_subtract(to.denominator, from.denominator)};
    return slope;
}

/* Adds one pair of nodes: `node` holds the children of its even and of its odd node, two each. */
WP_DEVICE void wp_add_pair(Element sums[2], const RoundTerms *terms, Element weight, const Fraction node[4]) {
    Element zero = wp_round_term(terms->lambda, node[0], node[1]);
    sums[0] = f_add(sums[0], f_multiply(weight, zero));
    Element leading = wp_round_term(terms->lambda, wp_slope(node[0], node[2]), wp_slope(node[1], node[3]));
    sums[1] = f_add(sums[1], f_multiply(weight, leading));
}

WP_DEVICE void wp_finish_round(const RoundTerms *terms, u64 worker, const Element sums[2]) {
    Element high = wp_load(&terms->high[worker * terms->chunk / terms->low_size]);
    wp_store(&terms->out[2 * worker], f_multiply(sums[0], high));
    wp_store(&terms->out[2 * worker + 1], f_multiply(sums[1], high));
}

typedef struct {
    RoundTerms terms;
    const Element *numerators, *denominators;
} NodeRound;

WP_KERNEL(node_round, NodeRound) {
    WP_FOR(worker, p.terms.pairs / p.terms.chunk) {
        Element sums[2] = {wp_zero(), wp_zero()};
        u64 first = worker * p.terms.chunk;
        for (u64 pair = first; pair < first + p.terms.chunk; pair++) {
            Fraction node[4];
            WP_UNROLL
            for (int i = 0; i < 4; i++) node[i] = wp_node(p.numerators, p.denominators, 4 * pair + (u64)i);
            wp_add_pair(sums, &p.terms, wp_load(&p.terms.low[pair % p.terms.low_size]), node);
        }
        wp_finish_round(&p.terms, worker, sums);
    }
}

typedef struct {
    RoundTerms terms;
    LeafSource source;
} LeafRound;

WP_KERNEL(leaf_round, LeafRound) {
    u64 hint = 0;
    WP_FOR(worker, p.terms.pairs / p.terms.chunk) {
        Element sums[2] = {wp_zero(), wp_zero()};
        u64 first = worker * p.terms.chunk;
        for (u64 pair = first; pair < first + p.terms.chunk; pair++) {
            Fraction node[4];
            WP_UNROLL
            for (int i = 0; i < 4; i++) node[i] = wp_leaf(&p.source, 4 * pair + (u64)i, &hint);
            wp_add_pair(sums, &p.terms, wp_load(&p.terms.low[pair % p.terms.low_size]), node);
        }
        wp_finish_round(&p.terms, worker, sums);
    }
}

/* Binds the coordinate that tells even from odd nodes: the children of two nodes become those of one. `count` children
 * are written. */
typedef struct {
    Element challenge;
    const Element *from_numerators, *from_denominators;
    Element *numerators, *denominators;
    u64 count;
} NodeBind;

WP_KERNEL(node_bind, NodeBind) {
    WP_FOR(index, p.count) {
        u64 even = index / 2 * 4 + index % 2;
        Fraction from = wp_node(p.from_numerators, p.from_denominators, even);
        Fraction to = wp_node(p.from_numerators, p.from_denominators, even + 2);
        wp_store(&p.numerators[index], f_between(from.numerator, to.numerator, p.challenge));
        wp_store(&p.denominators[index], f_between(from.denominator, to.denominator, p.challenge));
    }
}

typedef struct {
    Element challenge;
    LeafSource source;
    Element *numerators, *denominators;
    u64 count;
} LeafBind;

WP_KERNEL(leaf_bind, LeafBind) {
    u64 hint = 0;
    WP_FOR(index, p.count) {
        u64 even = index / 2 * 4 + index % 2;
        Fraction from = wp_leaf(&p.source, even, &hint);
        Fraction to = wp_leaf(&p.source, even + 2, &hint);
        wp_store(&p.numerators[index], f_between(from.numerator, to.numerator, p.challenge));
        wp_store(&p.denominators[index], f_between(from.denominator, to.denominator, p.challenge));
    }
}
