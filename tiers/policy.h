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
const struct tier__policy *tier__policy_at(size_t i); /* in the order of the setting's words; NULL: no more */
const struct tier__policy *tier__policy_named(const char *name); /* NULL: the default; NULL too: none of it */

/* What a policy may use in an entry: queue, uses, and older and newer, or position. An entry's index tells it
 * from all others of its memory in 32 bits; 0 is none. */
uint32_t tier__slab_index(const tier__entry *e);
tier__entry *tier__slab_at(const tier__entry *any, uint32_t index); /* any: one of the same memory */

/* A queue through the entries. */
struct tier__queue {
    tier__entry *oldest, *newest;
    uint64_t count, bytes;
};

void tier__queue_push(struct tier__queue *q, tier__entry *e);
void tier__queue_unlink(struct tier__queue *q, tier__entry *e);

/* ---- the order in which the entries of one tier in one shard go: those that a newer version took the place
 * of, oldest first, and then as the policy says. A hit takes an entry out of the first kind. */
struct tier__order {
    const struct tier__policy *policy;
    void *state;
    struct tier__queue dead;
};
enum { TIER__QUEUE_DEAD = UINT8_MAX }; /* of e->queue: the policies' own are less */
bool tier__order_enter(struct tier__base *base, struct tier__order *o, tier__entry *e);
bool tier__order_revive(struct tier__base *base, struct tier__order *o, tier__entry *e, bool in);
void tier__order_leave(struct tier__order *o, tier__entry *e);
tier__entry *tier__order_victim(struct tier__order *o);
void tier__order_evicted(struct tier__base *base, struct tier__order *o, const tier__entry *e);
/* in, here and above: e is in it; else it is parked. */
void tier__order_demote(struct tier__order *o, tier__entry *e, bool in);
/* e was asked for. false: out of memory, and not in any more. */
static inline bool tier__order_hit(struct tier__base *base, struct tier__order *o, tier__entry *e, bool in)
{
    if (__builtin_expect(e->queue == TIER__QUEUE_DEAD, 0))
        return tier__order_revive(base, o, e, in);
    if (in && o->policy->hit)
        o->policy->hit(o->state, e);
    return true;
}
#endif
