/* policy.h - eviction behind a small vtable: a new policy is one file. A policy orders the entries of one
 * tier in one shard that may be evicted; every call comes with that shard's lock held, and no policy takes
 * references or knows of pins: what turns out to be pinned when its turn comes is parked by the table,
 * outside the policy, and enters again with its last pin. So an eviction never looks twice at what is pinned.
 */
#ifndef TIER_POLICY_H
#define TIER_POLICY_H
#include "tiers/memory.h"

struct tier__policy {
    const char *name;
    size_t state_size;                                  /* of one shard and tier; starts as zeros */
    void (*fini)(struct tier__base *base, void *state); /* no entry is in it any more; may be NULL */
    /* e became resident, or is no longer pinned: then e->queue and e->uses are as they were. false: out of
     * memory, not in. */
    bool (*enter)(struct tier__base *base, void *state, tier__entry *e);
    void (*hit)(void *state, tier__entry *e); /* NULL: e->uses, counted by the table, is enough */
    void (*leave)(void *state, tier__entry *e);
    tier__entry *(*victim)(void *state); /* the next to go, out of the policy now; NULL: it is empty */
    /* A victim that was not pinned went; may be NULL. */
    void (*evicted)(struct tier__base *base, void *state, const tier__entry *e);
};
extern const struct tier__policy tier__policy_s3fifo, tier__policy_lru, tier__policy_gdsf;

/* A queue through the entries. */
struct tier__queue {
    tier__entry *oldest, *newest;
    uint64_t count, bytes;
};

static inline void tier__queue_push(struct tier__queue *q, tier__entry *e)
{
    e->older = q->newest;
    e->newer = NULL;
    if (q->newest)
        q->newest->newer = e;
    else
        q->oldest = e;
    q->newest = e;
    q->count++;
    q->bytes += e->charge;
}

static inline void tier__queue_unlink(struct tier__queue *q, tier__entry *e)
{
    *(e->older ? &e->older->newer : &q->oldest) = e->newer;
    *(e->newer ? &e->newer->older : &q->newest) = e->older;
    q->count--;
    q->bytes -= e->charge;
}
#endif
