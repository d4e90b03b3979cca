/* find.c - what a get asks the table: find, have again where it was, take.
 *
 * A HIT takes no lock and writes nothing but its entry and its thread's counters. The slots are read as a
 * sequence lock is (memory_private.h), and lead to an entry, or to nothing that counts. The entry may have
 * died meanwhile and its header be free, or another entry's: but a header it is while the hit is under way
 * (quiet.c). So its count of references is raised unless it is 0, which no thread can bring back, and then
 * what is pinned is looked at: whether it is in the table, and has the key. Whatever else may be is in
 * functions of its own, with the shard's lock, so that nothing is saved on the stack for it; so are all hits
 * where a recorder or a policy wants to know of each. */
#include "tiers/search.h"

/* Behind bucket i, which is full: the next with the tag, or with room. */
__attribute__((noinline)) static uint32_t look_on(const struct tier__bucket *b, uint32_t buckets, uint32_t i,
                                                  uint32_t tag)
{
    for (uint32_t n = 0; n < buckets; n++) {
        i = i + 1 < buckets ? i + 1 : 0;
        if (tier__ways_like(&b[i], tag) || !tier__bucket_full(&b[i]))
            break;
    }
    return i;
}

tier__entry *tier__search_on(const struct tier__slots *s, uint32_t i, int tier, const tier_digest *key)
{
    uint32_t bits = tier__slot_bits(key), buckets = atomic_load_explicit(&s->buckets, memory_order_relaxed);
    const struct tier__bucket *b = tier__buckets(s);
    tier__entry *e;
    do {
        i = look_on(b, buckets, i, bits & UINT16_MAX);
        e = tier__search_bucket(&b[i], bits, tier, key);
    } while (!e && tier__bucket_full(&b[i]));
    return e;
}

/* ---- what a hit leaves behind; with the lock of e's shard held */

static void note_hit(tier__memory *m, struct tier__shard *s, int tier, tier__entry *e)
{
    bool in = !(atomic_load_explicit(&e->refs, memory_order_relaxed) & TIER__PARKED);
    s->tier[tier].hits++;
    tier__entry_used(e);
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

/* ---- without the lock */

/* From here on nothing goes back to the heap that the table leads to. */
static inline struct tier__stripe *begin(tier__memory *m)
{
    struct tier__stripe *mine = &m->stripe[tier__thread_hash() >> 58];
    atomic_fetch_add(&mine->begun, 1);
    return mine;
}
_Static_assert(TIER__STRIPES == 64, "begin takes six bits");

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

/* An entry that a newer version took the place of has to be told of a hit. */
static inline bool is_plain(const tier__entry *e)
{
    return tier__entry_queue(e) != TIER__QUEUE_DEAD;
}

/* Of e, which is pinned, and whatever entry it is. */
static inline bool is_what(const tier__entry *e, int tier, const tier_digest *key)
{
    return atomic_load_explicit(&e->place, memory_order_acquire) & TIER__RESIDENT && e->tier == tier &&
           tier__digest_equal(&e->key, key) && is_plain(e);
}

/* ---- finding */

__attribute__((noinline)) static tier__entry *find_locked(tier__memory *m, int tier, const tier_digest *key)
{
    struct tier__shard *s = tier__shard_of(m, key);
    tier__lock(&s->lock);
    tier__entry *e = tier__search(&s->slots, tier, key);
    if (e) {
        tier__entry_ref(e);
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

/* What the slots lead to, pinned; NULL: nothing, or they changed. */
static inline tier__entry *look(const struct tier__slots *s, const tier_digest *key)
{
    unsigned changes = atomic_load(&s->changes), buckets = atomic_load(&s->buckets);
    uint32_t bits = tier__slot_bits(key), tag = bits & UINT16_MAX, i = tier__slot_home(bits, buckets);
    const struct tier__bucket *b = atomic_load(&s->bucket);
    if (changes & 1 || !b)
        return NULL;
    uint64_t like = tier__ways_like(&b[i], tag);
    if (__builtin_expect(!like, 0)) {
        i = tier__bucket_full(&b[i]) ? look_on(b, buckets, i, tag) : i;
        if (!(like = tier__ways_like(&b[i], tag)))
            return NULL;
    }
    tier__entry *e = tier__slot_entry(&b[i], tier__way_of((unsigned)__builtin_ctzll(like)));
    return atomic_load_explicit(&s->changes, memory_order_relaxed) == changes && pin_live(e) ? e : NULL;
}

tier__entry *tier__memory_find(tier__memory *m, int tier, const tier_digest *key)
{
    if (m->asks)
        return find_locked(m, tier, key);
    struct tier__stripe *mine = begin(m);
    tier__entry *e = look(&tier__shard_of(m, key)->slots, key);
    if (__builtin_expect(!e || !is_what(e, tier, key), 0))
        return find_after(m, tier, key, mine, e);
    return end(mine, tier, e);
}

/* ---- spots */

static inline uint64_t left_of(const struct tier__shard *s)
{
    return atomic_load(&s->left);
}

void tier__memory_spot(tier__memory *m, const tier__entry *e, struct tier__spot *p)
{
    struct tier__shard *s = tier__shard_of(m, &e->key);
    unsigned index = atomic_load_explicit(&e->place, memory_order_relaxed) & TIER__SPOT_INDEX;
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
        tier__entry_ref(e);
        note_hit(m, s, e->tier, e);
    }
    tier__unlock(&s->lock);
    if (e)
        note_get(m, e->tier, &e->key, e);
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
    if (__builtin_expect(left_of(s) != p->left || !is_plain(e), 0))
        return at_after(m, p, mine, e);
    return end(mine, e->tier, e);
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
