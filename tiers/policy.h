/* policy.h - eviction behind a small vtable: a new policy is one file. A policy orders the entries of one
 * tier in one shard that may be evicted; every call comes with that shard's lock held, and no policy takes
 * references or knows of pins: what turns out to be pinned when its turn comes is parked by the table,
 * outside the policy, and enters again with its last pin. So an eviction never looks twice at what is pinned.
 */
#ifndef TIER_POLICY_H
#define TIER_POLICY_H
#include "tiers/memory.h"

/* ---- of one tier: what its shards would give next, so that eviction goes by one order though each shard
 * keeps its own. Advice, read without a lock: a rank may be lower than it is, never higher for long. */
enum { TIER__RANKS = 64 };
#define TIER__RANK_NONE UINT32_MAX
struct tier__ranks {
    _Alignas(64) atomic_uint next[TIER__RANKS]; /* TIER__RANK_NONE: nothing */
    atomic_uint floor;
};
static inline uint32_t tier__rank_of(float priority) /* not negative: then bits are in the order of values */
{
    uint32_t bits;
    memcpy(&bits, &priority, sizeof bits);
    return bits;
}
static inline float tier__ranks_floor(const struct tier__ranks *r)
{
    uint32_t bits = atomic_load_explicit(&r->floor, memory_order_relaxed);
    float floor;
    memcpy(&floor, &bits, sizeof floor);
    return floor;
}
static inline void tier__ranks_raise_floor(struct tier__ranks *r, float floor)
{
    if (tier__rank_of(floor) > atomic_load_explicit(&r->floor, memory_order_relaxed))
        atomic_store_explicit(&r->floor, tier__rank_of(floor), memory_order_relaxed);
}
/* The shard of the first n, from `first` on, that gives the lowest, and not one of tried; -1: none. */
int tier__ranks_least(const struct tier__ranks *r, unsigned n, unsigned first, uint64_t tried);

struct tier__policy {
    const char *name;
    size_t state_size;                                    /* of one shard and tier; starts as zeros */
    void (*init)(void *state, struct tier__ranks *ranks); /* may be NULL */
    void (*fini)(struct tier__base *base, void *state);   /* no entry is in it any more; may be NULL */
    /* e became resident, or is no longer pinned: then e->queue and e->uses are as they were. false: out of
     * memory, not in. */
    bool (*enter)(struct tier__base *base, void *state, tier__entry *e);
    void (*hit)(void *state, tier__entry *e); /* NULL: e->uses, counted by the table, is enough */
    void (*leave)(void *state, tier__entry *e);
    /* Of the next to go; TIER__RANK_NONE: it is empty. NULL: shards give in turn. */
    uint32_t (*rank)(void *state);
    tier__entry *(*victim)(void *state); /* the next to go, out of the policy now; NULL: it is empty */
    /* Of what is in none, for ghost.h; of no shard in particular, and with no lock held. NULL: all the same.
     */
    float (*worth)(const void *state, const tier__entry *e);
    /* A victim that was not pinned went; may be NULL. */
    void (*evicted)(struct tier__base *base, void *state, const tier__entry *e);
};
extern const struct tier__policy tier__policy_s3fifo, tier__policy_lru, tier__policy_gdsf, tier__policy_worth;
const struct tier__policy *tier__policy_at(size_t i); /* in the order of the setting's words; NULL: no more */
const struct tier__policy *tier__policy_named(const char *name); /* NULL: the default; NULL too: none of it */

/* What a policy may use in an entry: queue, uses, and older and newer, or before, after, since. An entry's
 * index tells it from all others of its memory in 32 bits; 0 is none. */
uint32_t tier__slab_index(const tier__entry *e);
tier__memory *tier__entry_memory(const tier__entry *e);
tier__entry *tier__slab_in(const tier__memory *m, uint32_t index);
tier__entry *tier__slab_at(const tier__entry *any, uint32_t index); /* any: one of the same memory */

/* Hits come at any time, whoever has the lock. */
static inline unsigned tier__entry_uses(const tier__entry *e)
{
    return atomic_load_explicit(&e->uses, memory_order_relaxed);
}
static inline void tier__entry_set_uses(tier__entry *e, unsigned n)
{
    atomic_store_explicit(&e->uses, (unsigned char)n, memory_order_relaxed);
}
static inline void tier__entry_used(tier__entry *e)
{
    unsigned char n = (unsigned char)tier__entry_uses(e);
    n += n < UINT8_MAX;
    tier__entry_set_uses(e, n);
}
static inline unsigned tier__entry_queue(const tier__entry *e)
{
    return atomic_load_explicit(&e->queue, memory_order_relaxed);
}
static inline void tier__entry_set_queue(tier__entry *e, unsigned queue)
{
    atomic_store_explicit(&e->queue, (unsigned char)queue, memory_order_relaxed);
}

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
    struct tier__ranks *ranks;
    unsigned shard; /* whose rank it tells */
    struct tier__queue dead;
};
void tier__order_init(struct tier__order *o, const struct tier__policy *policy, void *state,
                      struct tier__ranks *ranks, unsigned shard);
bool tier__order_enter(struct tier__base *base, struct tier__order *o, tier__entry *e);
bool tier__order_revive(struct tier__base *base, struct tier__order *o, tier__entry *e, bool in);
void tier__order_leave(struct tier__order *o, tier__entry *e);
/* The next one to go. patient: not if others told a lower rank than this one's turns out to be; then
 * *declined. NULL without that: there is none. */
tier__entry *tier__order_victim(struct tier__order *o, bool patient, bool *declined);
float tier__order_worth(const struct tier__order *o, const tier__entry *e);
void tier__order_evicted(struct tier__base *base, struct tier__order *o, const tier__entry *e);
/* in, here and above: e is in it; else it is parked. */
void tier__order_demote(struct tier__order *o, tier__entry *e, bool in);
/* e was asked for. false: out of memory, and not in any more. */
static inline bool tier__order_hit(struct tier__base *base, struct tier__order *o, tier__entry *e, bool in)
{
    if (__builtin_expect(tier__entry_is(e, TIER__SUPERSEDED), 0))
        return tier__order_revive(base, o, e, in);
    if (in && o->policy->hit)
        o->policy->hit(o->state, e);
    return true;
}
#endif
