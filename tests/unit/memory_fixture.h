/* memory_fixture.h - what the tests of the memory side share: a memory, keys, and entries of bytes. Include
 * it after cmocka.h. */
#ifndef TEST_MEMORY_FIXTURE_H
#define TEST_MEMORY_FIXTURE_H
#include "tiers/memory.h"

static inline tier__memory *memory_of(struct tier__base *base, uint64_t budget, const char *policy)
{
    struct tier__memory_options o = {.policy = policy};
    tier__memory *m;
    tier__base_init(base, NULL);
    for (int t = TIER_FILE; t <= TIER_DELTA; t++)
        o.budget[t] = budget;
    assert_int_equal(tier__memory_create(base, &o, &m), TIER_OK);
    return m;
}

static inline tier_digest key_of(uint64_t n)
{
    tier_digest d;
    tier__digest_of(&n, sizeof n, &d);
    return d;
}

static inline tier__entry *entry_of(tier__memory *m, int tier, tier_digest key, size_t size)
{
    tier__entry *e = tier__entry_new(m, tier, size);
    assert_non_null(e);
    e->key = key;
    if (e->data)
        memset(e->data, key.byte[0], e->size);
    return e;
}

static inline void put(tier__memory *m, tier_digest key, size_t size)
{
    tier__entry_unref(tier__memory_insert(m, entry_of(m, TIER_FILE, key, size)));
}

static inline bool has(tier__memory *m, tier_digest key)
{
    tier__entry *e = tier__memory_find(m, TIER_FILE, &key);
    tier__entry_unref(e);
    return e != NULL;
}

static inline struct tier__memory_stats stats_of(tier__memory *m, int tier)
{
    struct tier__memory_stats s;
    tier__memory_stats(m, tier, &s);
    return s;
}

#endif
