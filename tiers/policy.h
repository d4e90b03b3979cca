/* policy.h - eviction behind a small vtable: a new policy is one file. A policy orders the resident entries
 * of one tier in one shard; every call comes with that shard's lock held, and no policy takes references. */
#ifndef TIER_POLICY_H
#define TIER_POLICY_H
#include "tiers/memory.h"

struct tier__policy {
    const char *name;
    size_t state_size;                                  /* of one shard and tier; starts as zeros */
    void (*fini)(struct tier__base *base, void *state); /* no entry is in it any more; may be NULL */
    /* e became resident. e->uses > 0: it was taken before and comes back. false: out of memory, not in. */
    bool (*enter)(struct tier__base *base, void *state, tier__entry *e);
    void (*hit)(void *state, tier__entry *e);   /* NULL: e->uses, counted by the table, is enough */
    void (*leave)(void *state, tier__entry *e); /* removed for another reason than eviction */
    /* The next to go, already out of the policy; NULL: none that is unpinned was met. Looks at no more than
     * TIER__PINNED_SKIPS pinned entries a call, so that a tier full of pins costs an insert bounded time. */
    tier__entry *(*victim)(struct tier__base *base, void *state);
};
extern const struct tier__policy tier__policy_s3fifo, tier__policy_lru, tier__policy_gdsf;
enum { TIER__PINNED_SKIPS = 32 };

/* With the shard's lock held nobody can pin an entry that only the table references. */
static inline bool tier__entry_pinned(tier__entry *e)
{
    return atomic_load_explicit(&e->refs, memory_order_acquire) > 1;
}

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
