/* recall.h - what one session has asked for before, by the words it asked with: the short way of a hit.
 *
 * A line ties (type, path as written, arguments) to the content key that the request is bound to in the
 * session's view. A binding holds as long as the view, so a line never goes stale; only a type that is
 * undefined takes all lines with it. A line is no pin: whether the value is still in memory is asked of the
 * table each time, by that key. Not remembered is what the view keeps by itself (once, null cache), what is
 * lent to one at a time, failures, and contents without a path.
 *
 * COST      One cache line here, the path's bytes, then what a table hit costs. No lock, no digest, no
 *           allocation, no system call; tests/unit/test_hit_path.c counts them.
 * MEMORY    64 bytes a line, at most half of them used; freed with the session. No memory: not remembered.
 * THREADS   A session's own; the counters are read by tier_stats. */
#ifndef TIER_RECALL_H
#define TIER_RECALL_H
#include <stdatomic.h>
#include "tiers/digest.h"

struct tier__recall_line {
    uint32_t hash;    /* bit 0: with arguments */
    uint32_t version; /* observed version of its RESULT dependency */
    struct tier__node *node;
    const char *path; /* the key path's bytes, interned; NULL: none */
    const tier_type *type;
    tier_digest key; /* content key */
};
_Static_assert(sizeof(struct tier__recall_line) == 64, "one cache line");

struct tier__recall {
    struct tier__recall_line *line; /* aligned to 64; node NULL: empty */
    void *raw;
    uint32_t capacity, count;
    uint64_t epoch; /* of the types; another one empties it */
    /* Hits that nobody else has counted yet: one thread adds, tier_stats reads. By type, then by tier. */
    atomic_uint_fast64_t *type_hits;
    uint32_t type_capacity;
    atomic_uint_fast64_t tier_hits[2]; /* TIER_TREE, TIER_DELTA */
};

/* The line of q, or NULL. */
const struct tier__recall_line *tier__recall_find(tier_session *s, const tier_query *q);
/* n, asked for by q, has the value e in s's view. */
void tier__recall_add(tier_session *s, const tier_query *q, struct tier__node *n, const tier__entry *e);
void tier__recall_hit(tier_session *s, const tier_type *type);
void tier__recall_fini(tier_session *s); /* adds what it counted to the cache's counters */
#endif
