/* find.c - what a get asks the table: find, have again where it was, take.
 *
 * A HIT takes no lock and writes nothing but its entry and its thread's counters. The slots lead to an entry
 * that was in the table when its tag was read, or later. It may have died meanwhile and its header be free,
 * or another entry's: but a header it is while the hit is under way (quiet.c). So its count of references is
 * raised unless it is 0, which no hit can bring back, and then what is pinned is looked at: whether it is in
 * the table, and has the key. Whatever else may be is in functions of its own, with the shard's lock, so that
 * nothing is saved on the stack for it; so are all hits where a recorder or a policy wants to know of each.
 *
 * Each instruction counts: what the processor holds of the next hits, whose misses it could have begun, it
 * holds in a window of some 250 of them. With 95 a hit (and 4 locked) that was 1.9 times the floor with cold
 * caches, with 66 it is 1.4. */
#include "tiers/memory_private.h"

/* ---- what a hit leaves behind; with the lock of e's shard held */

static void note_hit(tier__memory *m, struct tier__shard *s, int tier, tier__entry *e)
{
    bool in = !tier__entry_is(e, TIER__PARKED);
    s->tier[tier].hits++;
    tier__entry_used(e);
    if (!tier__order_hit(&m->own, &s->tier[tier].order, e, in))
        tier__memory_park(e); /* out of memory: until it is let go of */
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

/* ---- without the lock */

/* From here on nothing goes back to the heap that the table leads to. */
static inline struct tier__stripe *begin(tier__memory *m)
{
    size_t at = tier__thread_hash() >> 52 & ~(sizeof(struct tier__stripe) - 1);
    struct tier__stripe *mine = (struct tier__stripe *)(void *)((char *)m->stripe + at);
    atomic_fetch_add(&mine->begun, 1);
    return mine;
}
_Static_assert(TIER__STRIPES * sizeof(struct tier__stripe) == 1 << (64 - 52), "begin takes as many bits");

static inline tier__entry *end(struct tier__stripe *mine, int tier, tier__entry *e)
{
    tier__entry_used(e);
    atomic_fetch_add(&mine->hits[tier - TIER__TIER_MIN], 1);
    return e;
}

/* With nothing: what was pinned is not what was asked for. */
static void end_without(struct tier__stripe *mine, tier__entry *e)
{
    atomic_fetch_add(&mine->others, 1);
    tier__entry_unref(e);
}

/* false: e is no entry at the moment. */
static inline bool pin_live(tier__entry *e)
{
    unsigned refs = 1; /* as most have: a look before would fetch the line twice where threads meet */
    while (!atomic_compare_exchange_weak_explicit(&e->refs, &refs, refs + 1, memory_order_acquire,
                                                  memory_order_relaxed))
        if (!refs)
            return false;
    return true;
}

/* Of e, which is pinned, and whatever entry it is: one that a newer version took the place of has to be told
 * of a hit, with the lock. */
static inline bool is_what(const tier__entry *e, int tier, const tier_digest *key)
{
    const unsigned looked_at = TIER__RESIDENT | TIER__SUPERSEDED | TIER__TIER;
    unsigned state = atomic_load_explicit(&e->state, memory_order_acquire);
    return (state & looked_at) == (TIER__RESIDENT | (unsigned)tier) && tier__digest_equal(&e->key, key);
}

/* ---- finding */

__attribute__((noinline)) static tier__entry *find_locked(tier__memory *m, int tier, const tier_digest *key)
{
    struct tier__shard *s = tier__shard_of(m, key);
    tier__lock(&s->lock);
    tier__entry *e = tier__slots_find(&s->slots, tier, key);
    if (e) {
        tier__entry_pin(e);
        note_hit(m, s, tier, e);
    } else {
        s->tier[tier].misses++;
    }
    tier__unlock(&s->lock);
    note_get(m, tier, key, e);
    return e;
}

__attribute__((noinline)) static tier__entry *find_after(tier__memory *m, int tier, const tier_digest *key,
                                                         struct tier__stripe *mine, tier__entry *e)
{
    end_without(mine, e);
    return find_locked(m, tier, key);
}

/* pinned: e is, whatever entry it is; else there was nothing, or it had died. */
static inline tier__entry *end_with(tier__memory *m, int tier, const tier_digest *key,
                                    struct tier__stripe *mine, tier__entry *e, bool pinned)
{
    if (__builtin_expect(!pinned || !is_what(e, tier, key), 0))
        return find_after(m, tier, key, mine, pinned ? e : NULL);
    return end(mine, tier, e);
}

/* Where what is first in the home bucket will not do. */
__attribute__((noinline)) static tier__entry *find_behind(tier__memory *m, int tier, const tier_digest *key,
                                                          struct tier__stripe *mine)
{
    const struct tier__slots *s = &tier__shard_of(m, key)->slots;
    uint32_t bits = tier__slot_bits(tier__digest_word(key)), buckets = atomic_load(&s->buckets);
    const struct tier__bucket *first = atomic_load(&s->bucket), *b = first + tier__slot_home(bits, buckets);
    uint64_t word = tier__word_like(b, bits);
    for (uint32_t n = 1; n < buckets && !word && tier__bucket_full(b); n++) {
        b = b + 1 < first + buckets ? b + 1 : first;
        word = tier__word_like(b, bits);
    }
    tier__entry *e = tier__word_entry(word);
    return end_with(m, tier, key, mine, e, e && pin_live(e));
}

tier__entry *tier__memory_find(tier__memory *m, int tier, const tier_digest *key)
{
    uint64_t word = tier__digest_word(key);
    uint32_t bits = tier__slot_bits(word);
    const struct tier__slots *s = &tier__shard_with(m, word)->slots;
    if (m->asks)
        return find_locked(m, tier, key);
    struct tier__stripe *mine = begin(m);
    uint32_t home = tier__slot_home(bits, atomic_load(&s->buckets));
    const struct tier__bucket *b = atomic_load(&s->bucket) + home;
    tier__ways like = tier__ways_like(b, bits);
    if (__builtin_expect(!like, 0))
        return find_behind(m, tier, key, mine);
    word = tier__word(b, tier__first_way(like));
    if (__builtin_expect(!tier__word_has(word, bits), 0))
        return find_behind(m, tier, key, mine);
    tier__entry *e = tier__word_entry(word);
    return end_with(m, tier, key, mine, e, pin_live(e));
}

/* ---- spots */

static inline uint64_t left_of(const struct tier__shard *s)
{
    return atomic_load(&s->left);
}

void tier__memory_spot(tier__memory *m, const tier__entry *e, struct tier__spot *p)
{
    struct tier__shard *s = tier__shard_of(m, &e->key);
    unsigned index = tier__entry_index(e);
    p->where = (uintptr_t)e | index | (uint64_t)(s - m->shard) << TIER__SPOT_SHARD;
    tier__lock(&s->lock);
    p->left = tier__entry_resident(e) ? left_of(s) : UINT64_MAX;
    tier__unlock(&s->lock);
}

__attribute__((noinline)) static tier__entry *at_locked(tier__memory *m, const struct tier__spot *p)
{
    struct tier__shard *s = &m->shard[p->where >> TIER__SPOT_SHARD];
    tier__lock(&s->lock);
    tier__entry *e = left_of(s) == p->left ? tier__spot_entry(p) : NULL;
    if (e) {
        tier__entry_pin(e);
        note_hit(m, s, tier__entry_tier(e), e);
    }
    tier__unlock(&s->lock);
    if (e)
        note_get(m, tier__entry_tier(e), &e->key, e);
    return e;
}

__attribute__((noinline)) static tier__entry *at_after(tier__memory *m, const struct tier__spot *p,
                                                       struct tier__stripe *mine, tier__entry *e)
{
    end_without(mine, e);
    return at_locked(m, p);
}

/* Who leaves is counted before the table's reference ends. So where nobody had left there is a header, and
 * where still nobody has once it is pinned, it is the one that was there. */
tier__entry *tier__memory_at(tier__memory *m, const struct tier__spot *p)
{
    if (m->asks)
        return at_locked(m, p);
    const struct tier__shard *s = &m->shard[p->where >> TIER__SPOT_SHARD];
    struct tier__stripe *mine = begin(m);
    tier__entry *e = tier__spot_entry(p);
    if (__builtin_expect(left_of(s) != p->left || !pin_live(e), 0))
        return at_after(m, p, mine, NULL);
    if (__builtin_expect(left_of(s) != p->left || tier__entry_is(e, TIER__SUPERSEDED), 0))
        return at_after(m, p, mine, e);
    return end(mine, tier__entry_tier(e), e);
}

/* ---- taking */

tier__entry *tier__memory_take(tier__memory *m, int tier, const tier_digest *key)
{
    struct tier__shard *s = tier__shard_of(m, key);
    tier__lock(&s->lock);
    tier__entry *e = tier__slots_find(&s->slots, tier, key);
    if (e) {
        tier__entry_pin(e);
        note_hit(m, s, tier, e);
        tier__shard_withdraw(s, e);
        atomic_fetch_sub_explicit(&e->refs, 1, memory_order_relaxed); /* the table's is the caller's now */
    } else {
        s->tier[tier].misses++;
    }
    tier__unlock(&s->lock);
    note_get(m, tier, key, e);
    return e;
}
