/* slots.c - one shard's slots. Keys are digests, hashes already: the first word's low bits are home and tag.
 */
#include "tiers/memory_private.h"

enum { FIRST_CAPACITY = 16, TAG_BITS = 22, LOW_BITS = 6 };
#define LOW_MASK ((UINT64_C(1) << LOW_BITS) - 1)
#define ADDRESS_MASK ((UINT64_C(1) << 48) - 1 - LOW_MASK)
#define TAG_MASK (~ADDRESS_MASK)

_Static_assert(TIER__SLOTS_MAX <= 1 << TAG_BITS, "a home must be known from the tag alone");
_Static_assert(_Alignof(struct tier__entry) >= 1 << LOW_BITS, "the tag's low bits must be free");

static uint64_t tag_of(const tier_digest *key)
{
    uint64_t tag = tier__digest_word(key) & ((UINT64_C(1) << TAG_BITS) - 1);
    return (tag & LOW_MASK) | (tag >> LOW_BITS) << 48;
}

static uint32_t home_of(const struct tier__slots *s, uint64_t slot)
{
    return (uint32_t)((slot & LOW_MASK) | (slot >> 48) << LOW_BITS) & (s->capacity - 1);
}

static uint32_t next_of(const struct tier__slots *s, uint32_t i)
{
    return (i + 1) & (s->capacity - 1);
}

tier__entry *tier__slots_at(const struct tier__slots *s, uint32_t i)
{
    return (tier__entry *)(uintptr_t)(s->slot[i] & ADDRESS_MASK);
}

tier__entry *tier__slots_find(const struct tier__slots *s, int tier, const tier_digest *key)
{
    if (s->count == 0)
        return NULL;
    uint64_t tag = tag_of(key);
    for (uint32_t i = home_of(s, tag); s->slot[i]; i = next_of(s, i)) {
        if ((s->slot[i] & TAG_MASK) != tag)
            continue;
        tier__entry *e = tier__slots_at(s, i);
        if (e->tier == tier && tier__digest_equal(&e->key, key))
            return e;
    }
    return NULL;
}

static void put(struct tier__slots *s, uint64_t slot)
{
    uint32_t i = home_of(s, slot);
    while (s->slot[i])
        i = next_of(s, i);
    s->slot[i] = slot;
}

bool tier__slots_reserve(struct tier__base *base, struct tier__slots *s)
{
    if (s->count < s->capacity / 4 * 3) /* beyond 3/4, probes run out of their first cache line */
        return true;
    if (s->capacity >= TIER__SLOTS_MAX)
        return false;
    struct tier__slots larger = {.capacity = s->capacity ? s->capacity * 2 : FIRST_CAPACITY,
                                 .count = s->count};
    larger.slot = tier__zalloc(base, larger.capacity, sizeof *larger.slot);
    if (!larger.slot)
        return false;
    for (uint32_t i = 0; i < s->capacity; i++)
        if (s->slot[i])
            put(&larger, s->slot[i]);
    tier__free(base, s->slot);
    *s = larger;
    return true;
}

void tier__slots_add(struct tier__slots *s, tier__entry *e)
{
    put(s, (uint64_t)(uintptr_t)e | tag_of(&e->key));
    s->count++;
}

void tier__slots_remove(struct tier__slots *s, const tier__entry *e)
{
    uint64_t slot = (uint64_t)(uintptr_t)e | tag_of(&e->key);
    uint32_t hole = home_of(s, slot);
    while (s->slot[hole] != slot)
        hole = next_of(s, hole);
    /* Moves back what the hole would cut off from its home (Knuth 6.4, algorithm R): no tombstones. */
    for (uint32_t i = next_of(s, hole); s->slot[i]; i = next_of(s, i)) {
        uint32_t from_home = (i - home_of(s, s->slot[i])) & (s->capacity - 1);
        uint32_t from_hole = (i - hole) & (s->capacity - 1);
        if (from_home >= from_hole) {
            s->slot[hole] = s->slot[i];
            hole = i;
        }
    }
    s->slot[hole] = 0;
    s->count--;
}
