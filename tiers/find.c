/* find.c - what a get asks the table: find, have again where it was, take. A plain hit is a lock taken at
 * once, a pin, two counters; whatever else may be is in functions of its own, so that nothing is saved on the
 * stack for it. */
#include "tiers/search.h"

tier__entry *tier__search_on(const struct tier__slots *s, uint32_t i, int tier, const tier_digest *key)
{
    uint32_t buckets = atomic_load_explicit(&s->buckets, memory_order_relaxed);
    const struct tier__bucket *b = atomic_load_explicit(&s->bucket, memory_order_relaxed);
    tier__entry *e;
    do {
        i = i + 1 < buckets ? i + 1 : 0;
        e = tier__search_bucket(&b[i], tier__slot_bits(key), tier, key);
    } while (!e && tier__bucket_full(&b[i]));
    return e;
}

/* ---- what a hit leaves behind; with the shard's lock held */

static inline void count_hit(struct tier__shard *s, int tier, tier__entry *e)
{
    s->hits[tier - TIER__TIER_MIN]++;
    e->uses = (uint8_t)(e->uses + (e->uses < UINT8_MAX));
}

static inline void pin(tier__entry *e)
{
    atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
}

/* Nobody but the counters wants to know of a hit. */
static inline bool is_plain(const tier__memory *m, const tier__entry *e)
{
    return __builtin_expect(!m->tell_hits && e->queue != TIER__QUEUE_DEAD, 1);
}

static void note_hit(tier__memory *m, struct tier__shard *s, int tier, tier__entry *e)
{
    count_hit(s, tier, e);
    if (is_plain(m, e))
        return;
    bool in = !(atomic_load_explicit(&e->refs, memory_order_relaxed) & TIER__PARKED);
    if (!tier__order_hit(&m->own, &s->tier[e->tier].order, e, in))
        atomic_fetch_or_explicit(&e->refs, TIER__PARKED, memory_order_relaxed); /* as in unpark */
}

/* ---- what a get leaves behind; without the lock */

static void note_miss(tier__memory *m, int tier, const tier_digest *key)
{
    struct tier__ghosts *g = &m->ghosts[tier];
    if (tier__ghosts_want(g, key))
        tier__ghosts_missed(g, key, tier__memory_budget(m, tier));
}

static void note_get(tier__memory *m, int tier, const tier_digest *key, const tier__entry *e)
{
    if (!e)
        note_miss(m, tier, key);
    if (!m->recorder)
        return;
    if (e)
        tier__recorder_note(m->recorder, TIER__TRACE_HIT, tier, key, tier__entry_charge(e),
                            tier__entry_cost(e));
    else
        tier__recorder_note(m->recorder, TIER__TRACE_MISS, tier, key, 0, 0);
}

/* ---- finding */

/* Whatever it comes to; with the lock held, which it gives back. */
__attribute__((noinline)) static tier__entry *find_held(tier__memory *m, int tier, const tier_digest *key)
{
    struct tier__shard *s = tier__shard_of(m, key);
    tier__entry *e = tier__search(&s->slots, tier, key);
    if (e) {
        pin(e);
        note_hit(m, s, tier, e);
    } else {
        s->tier[tier].misses++;
    }
    tier__unlock(&s->lock);
    note_get(m, tier, key, e);
    return e;
}

__attribute__((noinline)) static tier__entry *find_later(tier__memory *m, int tier, const tier_digest *key)
{
    tier__lock_wait(&tier__shard_of(m, key)->lock);
    return find_held(m, tier, key);
}

/* Where the search will begin comes into the cache while the lock is being taken. What is read here may be
 * of two tables at once, or of one that is gone: then the wrong line is fetched. */
static inline const struct tier__bucket *home_of(const struct tier__slots *s, uint32_t bits)
{
    uint32_t i = tier__slot_home(bits, atomic_load_explicit(&s->buckets, memory_order_relaxed));
    uintptr_t first = (uintptr_t)atomic_load_explicit(&s->bucket, memory_order_relaxed);
    return (const struct tier__bucket *)(first + i * sizeof(struct tier__bucket));
}

tier__entry *tier__memory_find(tier__memory *m, int tier, const tier_digest *key)
{
    struct tier__shard *s = tier__shard_of(m, key);
    uint32_t bits = tier__slot_bits(key);
    __builtin_prefetch(home_of(&s->slots, bits));
    if (!tier__lock_at_once(&s->lock))
        return find_later(m, tier, key);
    tier__entry *e = s->slots.count ? tier__search_bucket(home_of(&s->slots, bits), bits, tier, key) : NULL;
    if (__builtin_expect(!e, 0) || !is_plain(m, e))
        return find_held(m, tier, key);
    pin(e);
    count_hit(s, tier, e);
    tier__unlock(&s->lock);
    return e;
}

/* ---- spots */

void tier__memory_spot(tier__memory *m, const tier__entry *e, struct tier__spot *p)
{
    struct tier__shard *s = tier__shard_of(m, &e->key);
    unsigned index = atomic_load_explicit(&e->place, memory_order_relaxed) & TIER__SPOT_INDEX;
    p->where = (uintptr_t)e | index | (uint64_t)(s - m->shard) << TIER__SPOT_SHARD;
    tier__lock(&s->lock);
    p->left = tier__entry_resident(e) ? s->left : UINT64_MAX;
    tier__unlock(&s->lock);
}

__attribute__((noinline)) static tier__entry *at_held(tier__memory *m, const struct tier__spot *p)
{
    struct tier__shard *s = &m->shard[p->where >> TIER__SPOT_SHARD];
    tier__entry *e = s->left == p->left ? tier__spot_entry(p) : NULL;
    if (e) {
        pin(e);
        note_hit(m, s, e->tier, e);
    }
    tier__unlock(&s->lock);
    if (e)
        note_get(m, e->tier, &e->key, e);
    return e;
}

__attribute__((noinline)) static tier__entry *at_later(tier__memory *m, const struct tier__spot *p)
{
    tier__lock_wait(&m->shard[p->where >> TIER__SPOT_SHARD].lock);
    return at_held(m, p);
}

tier__entry *tier__memory_at(tier__memory *m, const struct tier__spot *p)
{
    struct tier__shard *s = &m->shard[p->where >> TIER__SPOT_SHARD];
    tier__entry *e = tier__spot_entry(p);
    if (!tier__lock_at_once(&s->lock))
        return at_later(m, p);
    if (__builtin_expect(s->left != p->left, 0) || !is_plain(m, e))
        return at_held(m, p);
    pin(e);
    count_hit(s, e->tier, e);
    tier__unlock(&s->lock);
    return e;
}

/* ---- taking */

tier__entry *tier__memory_take(tier__memory *m, int tier, const tier_digest *key)
{
    struct tier__shard *s = tier__shard_of(m, key);
    tier__lock(&s->lock);
    tier__entry *e = tier__search(&s->slots, tier, key);
    if (e) {
        note_hit(m, s, tier, e);
        tier__shard_withdraw(s, e);
    } else {
        s->tier[tier].misses++;
    }
    tier__unlock(&s->lock);
    note_get(m, tier, key, e);
    return e; /* with the table's reference */
}
