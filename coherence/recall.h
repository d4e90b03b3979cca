/* recall.h - what one session has asked for before, by the words it asked with: the short way of a hit.
 *
 * A line ties (type, path as written, arguments) to the request, which is bound to a variant in the session's
 * view for as long as the view lives: so a line never goes stale; only a type that is undefined takes all
 * lines with it. A line also says where in the memory the value was (struct tier__spot). It is no pin: as
 * long as nothing has left that value's shard it is still there, else the table is asked for the variant's
 * key, and the line learns the new spot. Not remembered is what is lent to one at a time, stale answers,
 * failures, contents without a path, and anything in a cache without memory.
 *
 * COST      Beyond the second-level cache what counts is how many lines are waited for one after another. A
 *           slot of 16 bytes, found by the hash of the words, says where line, entry, value hash and data
 *           are, so these four are fetched at once; the table is not searched. Words at an address that led
 *           there before are compared without being hashed, and all is fetched while they come. No lock but
 *           the shard's, no digest, no allocation, no system call; tests/unit/test_hit_path.c counts them.
 * MEMORY    155 bytes a line when full, twice as much just after it has grown; freed with the session. No
 *           memory: not remembered.
 * THREADS   A session's own; the counters are read by tier_stats. */
#ifndef TIER_RECALL_H
#define TIER_RECALL_H
#include <stdatomic.h>
#include "tiers/memory.h"

enum { TIER__RECALL_WORDS = 87 };
struct tier__recall_line {
    uint32_t hash;    /* low bits: with arguments, without a path */
    uint32_t version; /* observed version of its RESULT dependency */
    struct tier__node *node;
    const tier_type *type;
    struct tier__spot spot;
    union {
        struct {
            char words[TIER__RECALL_WORDS]; /* the path as it was written */
            unsigned char words_left;       /* free behind it; WORDS + 1: it is longer, and interned */
        };
        const char *interned; /* the key path's bytes */
    };
};
_Static_assert(sizeof(struct tier__recall_line) == 128, "two cache lines");

/* What is fetched before it is known whether it is right: nothing is read there by these. */
struct tier__recall_slot {
    uint64_t line : 22, entry : 42;          /* the line's number, from 1 on, 0: empty; address / 64 */
    uint64_t tag : 14, index : 6, data : 44; /* of the hash; of the entry in its slab; address / 16 */
};
_Static_assert(sizeof(struct tier__recall_slot) == 16, "four a cache line");

struct tier__recall {
    struct tier__recall_slot *slot; /* open addressing; capacity of them, a power of 2 */
    struct tier__recall_line *line; /* aligned to 128; number 1 is the first */
    uint32_t *hint;                 /* slots by the address of words; capacity of them, see hint_of */
    void *raw;                      /* all three */
    uint32_t capacity, count;       /* count: of lines, at most three quarters of capacity */
    uint64_t epoch;                 /* tier_cache.recall_epoch; another one empties it */
    /* Hits that nobody else has counted yet: one thread adds, tier_stats reads. By type, then by tier. */
    atomic_uint_fast64_t *type_hits;
    uint32_t type_capacity;
    atomic_uint_fast64_t tier_hits[2]; /* TIER_TREE, TIER_DELTA */
};

/* n, asked for by q, has the value e in s's view. */
void tier__recall_add(tier_session *s, const tier_query *q, struct tier__node *n, const tier__entry *e);
void tier__recall_fini(tier_session *s); /* adds what it counted to the cache's counters */
#endif
