/* edge_bits.h - what a view has seen, as bits: that a result still holds, one word for up to 64 dependencies.
 *
 * A PLACE is the number of a version of a dependency: interned with it, never given to another. Where a view
 * freezes what it sees, it sets the bit of that place. A variant whose edges' bits are all set recorded just
 * what the view sees, whatever their order: nothing is left to be asked. Where one is not set, nothing is
 * said, and its edges are walked one by one as they were recorded (I15).
 *
 * LIFE      The second time that a view knew all edges of a variant when it came to it, they are written down
 *           as words and bits; a process that verifies once pays nothing. At most a word to four edges, which
 *           is 3 bytes an edge beside the 8 of the edge itself, else not at all. No memory: the next time.
 * COST      500 results of 300 edges over 1000 dependencies: 180 instructions a result, by edges 5170. */
#ifndef TIER_EDGE_BITS_H
#define TIER_EDGE_BITS_H
#include <stdatomic.h>
#include "coherence/ids.h"

struct tier__edge_bits {   /* immutable */
    uint32_t count, *word; /* of count words: their numbers; in this allocation */
    uint64_t bits[];
};

/* Of a variant; both in any thread. */
struct tier__edge_bits_of {
    _Atomic(struct tier__edge_bits *) made; /* NULL: not so far; of no words: not worth it */
    atomic_bool wanted;                     /* the next time */
};

struct tier__variant;
/* A view knew all of v's edges, one by one: writes them down as bits if that is not the first time. */
void tier__edge_bits_wanted(struct tier_cache *c, struct tier__variant *v);
/* set: words of bits. */
bool tier__edge_bits_set(const struct tier__edge_bits *p, const struct tier__chunks *set);
#endif
