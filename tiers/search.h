/* search.h - looking for a key among the slots of a shard. Inline: it is most of a hit. */
#ifndef TIER_SEARCH_H
#define TIER_SEARCH_H
#include "tiers/memory_private.h"

/* In the buckets behind the first, which is full; with the shard's lock held. */
tier__entry *tier__search_on(const struct tier__slots *s, uint32_t i, int tier, const tier_digest *key);

static inline tier__entry *tier__search_bucket(const struct tier__bucket *b, uint32_t bits, int tier,
                                               const tier_digest *key)
{
    for (uint64_t like = tier__ways_like(b, bits & UINT16_MAX); like; like &= like - 1) {
        tier__entry *e = tier__slot_entry(b, tier__way_of((unsigned)__builtin_ctzll(like)));
        if (e->tier == tier && tier__digest_equal(&e->key, key))
            return e;
    }
    return NULL;
}

static inline bool tier__bucket_full(const struct tier__bucket *b)
{
    return tier__tags(b, 1) >> 48;
}

/* With the lock held or not: how many buckets there are is read before where they are. */
static inline uint32_t tier__home(const struct tier__slots *s, uint32_t bits)
{
    return tier__slot_home(bits, atomic_load_explicit(&s->buckets, memory_order_acquire));
}
static inline const struct tier__bucket *tier__buckets(const struct tier__slots *s) /* NULL: none yet */
{
    return atomic_load_explicit(&s->bucket, memory_order_acquire);
}

/* With the lock held. */
static inline tier__entry *tier__search(const struct tier__slots *s, int tier, const tier_digest *key)
{
    const struct tier__bucket *b = tier__buckets(s);
    uint32_t bits = tier__slot_bits(key), i = tier__home(s, bits);
    if (!b)
        return NULL;
    tier__entry *e = tier__search_bucket(&b[i], bits, tier, key);
    return e || !tier__bucket_full(&b[i]) ? e : tier__search_on(s, i, tier, key);
}
#endif
