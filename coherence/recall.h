/* recall.h - what one session has asked for before, by the words it asked with: the short way of a hit.
 *
 * A line ties (type, path as written, arguments) to the content key that the request is bound to in the
 * session's view. A binding holds as long as the view, so a line never goes stale; only a type that is
 * undefined takes all lines with it. A line is no pin: whether the value is still in memory is asked of the
 * table each time, by that key. Not remembered is what the view keeps by itself (once, null cache), what is
 * lent to one at a time, failures, and contents without a path.
 *
 * COST      Two cache lines side by side here, then what a table hit costs. The words of a path up to 39
 *           bytes are in the line. It also says where the value was when the line was made, so that the lines
 *           of the value come into the cache while the table is being asked, and not one after the other:
 *           that is a hint and nothing is read there. No lock, no digest, no allocation, no system call;
 *           tests/unit/test_hit_path.c counts them.
 * MEMORY    128 bytes a line, at most three quarters of them used; freed with the session. No memory: not
 *           remembered.
 * THREADS   A session's own; the counters are read by tier_stats. */
#ifndef TIER_RECALL_H
#define TIER_RECALL_H
#include <stdatomic.h>
#include "tiers/digest.h"

enum { TIER__RECALL_WORDS = 40 };
struct tier__recall_line {
    uint32_t hash;    /* low bits: with arguments, without a path */
    uint32_t version; /* observed version of its RESULT dependency */
    struct tier__node *node;
    const tier_type *type;
    union {
        char words[TIER__RECALL_WORDS]; /* the path, 0 to the end */
        struct {
            const char *interned; /* where it is longer: the key path's bytes */
            char unused[TIER__RECALL_WORDS - sizeof(char *) - 1];
            char is_long;
        };
    };
    const void *near[3]; /* hints: the entry, its hash, its data */
    uint64_t value;      /* of the value hash: another answer under the same key is not the view's */
    tier_digest key;     /* content key */
};
_Static_assert(sizeof(struct tier__recall_line) == 128, "two cache lines");

struct tier__recall {
    struct tier__recall_line *line; /* aligned to 128; node NULL: empty */
    void *raw;
    uint32_t capacity, count;
    uint64_t epoch; /* tier_cache.recall_epoch; another one empties it */
    /* Hits that nobody else has counted yet: one thread adds, tier_stats reads. By type, then by tier. */
    atomic_uint_fast64_t *type_hits;
    uint32_t type_capacity;
    atomic_uint_fast64_t tier_hits[2]; /* TIER_TREE, TIER_DELTA */
};

/* The short way of a hit: asked for before in this session, and its value is in memory; lends it. 1: it is
 * not so; else an error. Whether q may be asked was checked when its line was made, but for what depends on
 * the build that asks. */
int tier__recall(tier_session *s, const tier_query *q, tier_value *v);
/* n, asked for by q, has the value e in s's view. */
void tier__recall_add(tier_session *s, const tier_query *q, struct tier__node *n, const tier__entry *e);
void tier__recall_fini(tier_session *s); /* adds what it counted to the cache's counters */
#endif
