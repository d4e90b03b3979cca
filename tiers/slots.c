/* slots.c - one shard's slots. Keys are digests, hashes already: the first word's low bits are home and tag.
 * A bucket's entries fill it from the front; what does not fit goes to the next one, so a search ends at the
 * first bucket with room. */
#include "tiers/search.h"

_Static_assert(sizeof(struct tier__bucket) == 64, "one cache line");
_Static_assert(_Alignof(struct tier__entry) >= 64, "the address's low bits must be free");
_Static_assert((TIER__SLOTS_MAX & (TIER__SLOTS_MAX - 1)) == 0 && TIER__SLOTS_MAX >> 22 == 1, "22 bits");

static uint32_t tag_at(const struct tier__bucket *b, unsigned way)
{
    return (uint16_t)(tier__tags(b, way / 4) >> way % 4 * 16);
}

static uint16_t low_at(const struct tier__bucket *b, unsigned way)
{
    return atomic_load_explicit(&b->low[way], memory_order_relaxed);
}

static uint32_t high_at(const struct tier__bucket *b, unsigned way)
{
    return atomic_load_explicit(&b->high[way], memory_order_relaxed);
}

static void set(struct tier__bucket *b, unsigned way, uint32_t tag, uint16_t low, uint32_t high)
{
    uint64_t others = tier__tags(b, way / 4) & ~((uint64_t)UINT16_MAX << way % 4 * 16);
    atomic_store_explicit(&b->tags[way / 4], others | (uint64_t)tag << way % 4 * 16, memory_order_release);
    atomic_store_explicit(&b->low[way], low, memory_order_release);
    atomic_store_explicit(&b->high[way], high, memory_order_release);
}

static unsigned filled(const struct tier__bucket *b)
{
    return TIER__WAYS - (unsigned)__builtin_popcountll(tier__ways_like(b, 0));
}

static uint32_t buckets_of(const struct tier__slots *s)
{
    return atomic_load_explicit(&s->buckets, memory_order_relaxed);
}

static struct tier__bucket *bucket_at(const struct tier__slots *s, uint32_t i)
{
    return atomic_load_explicit(&s->bucket, memory_order_relaxed) + i;
}

static uint32_t next_of(const struct tier__slots *s, uint32_t i)
{
    return i + 1 < buckets_of(s) ? i + 1 : 0;
}

static uint32_t bits_at(const struct tier__bucket *b, unsigned way)
{
    return (uint32_t)(low_at(b, way) & 63) << 16 | tag_at(b, way);
}

tier__entry *tier__slots_at(const struct tier__slots *s, uint32_t i)
{
    return tier__slot_entry(bucket_at(s, i / TIER__WAYS), i % TIER__WAYS);
}

/* Before a change, and after it. */
static void count_change(struct tier__slots *s)
{
    unsigned changes = atomic_load_explicit(&s->changes, memory_order_relaxed);
    atomic_store_explicit(&s->changes, changes + 1, memory_order_release);
}

static void append(struct tier__bucket *b, uint32_t tag, uint16_t low, uint32_t high)
{
    set(b, filled(b), tag, low, high);
}

static void put(struct tier__slots *s, uint32_t bits, uint16_t low, uint32_t high)
{
    uint32_t i = tier__slot_home(bits, buckets_of(s));
    while (tier__bucket_full(bucket_at(s, i)))
        i = next_of(s, i);
    append(bucket_at(s, i), bits & UINT16_MAX, low, high);
}

/* Four slots of five are taken at most, and three at least: 64 bytes of a bucket are some 11 an entry.
 * Fuller, more hits go on to a second bucket (15 in 100 at four of five); with doubling the table would be
 * half empty just after it. */
bool tier__slots_reserve(tier__memory *m, struct tier__slots *s)
{
    uint32_t was = buckets_of(s), buckets = was + was / 4 + 1;
    if (s->count < was * (TIER__WAYS * UINT64_C(4)) / 5)
        return true;
    if (s->count >= TIER__SLOTS_MAX)
        return false;
    struct tier__slots larger = {.count = s->count};
    const struct tier__bucket *old = atomic_load_explicit(&s->bucket, memory_order_relaxed);
    struct tier__bucket *fresh = tier__alloc_lines(&m->own, buckets * sizeof *fresh, &larger.raw);
    if (!fresh)
        return false;
    memset(fresh, 0, buckets * sizeof *fresh);
    atomic_init(&larger.bucket, fresh);
    atomic_init(&larger.buckets, buckets);
    for (uint32_t i = 0; i < was; i++)
        for (unsigned way = 0; way < TIER__WAYS && tag_at(&old[i], way); way++)
            put(&larger, bits_at(&old[i], way), low_at(&old[i], way), high_at(&old[i], way));
    count_change(s);
    atomic_store_explicit(&s->bucket, fresh, memory_order_release);
    atomic_store_explicit(&s->buckets, buckets, memory_order_release);
    count_change(s);
    tier__retire(m, s->raw);
    s->raw = larger.raw;
    return true;
}

void tier__slots_add(struct tier__slots *s, tier__entry *e)
{
    uint32_t bits = tier__slot_bits(&e->key);
    uintptr_t address = (uintptr_t)e;
    count_change(s);
    put(s, bits, (uint16_t)(address | bits >> 16), (uint32_t)(address >> 16));
    count_change(s);
    s->count++;
}

static int way_of(const struct tier__bucket *b, uint32_t tag, const tier__entry *e) /* -1: not here */
{
    for (uint64_t like = tier__ways_like(b, tag); like; like &= like - 1) {
        unsigned way = tier__way_of((unsigned)__builtin_ctzll(like));
        if (tier__slot_entry(b, way) == e)
            return (int)way;
    }
    return -1;
}

/* The last of a bucket takes the place of the one that leaves it. */
static void pull(struct tier__bucket *b, unsigned way)
{
    unsigned last = filled(b) - 1;
    set(b, way, tag_at(b, last), low_at(b, last), high_at(b, last));
    set(b, last, 0, 0, 0);
}

/* A way of bucket i whose entry may go back to bucket hole, between its home and i; -1: none. */
static int way_back(const struct tier__slots *s, uint32_t i, uint32_t hole)
{
    uint32_t buckets = buckets_of(s), from_hole = (i + buckets - hole) % buckets;
    const struct tier__bucket *b = bucket_at(s, i);
    for (unsigned way = 0; way < TIER__WAYS && tag_at(b, way); way++)
        if ((i + buckets - tier__slot_home(bits_at(b, way), buckets)) % buckets >= from_hole)
            return (int)way;
    return -1;
}

void tier__slots_remove(struct tier__slots *s, const tier__entry *e)
{
    uint32_t bits = tier__slot_bits(&e->key), hole = tier__slot_home(bits, buckets_of(s));
    int way;
    while ((way = way_of(bucket_at(s, hole), bits & UINT16_MAX, e)) < 0)
        hole = next_of(s, hole);
    count_change(s);
    bool was_full = tier__bucket_full(bucket_at(s, hole));
    pull(bucket_at(s, hole), (unsigned)way);
    s->count--;
    /* Moves back what the room would cut off from its home (Knuth 6.4, algorithm R): no tombstones. */
    for (uint32_t i = next_of(s, hole); was_full && i != hole; i = next_of(s, i)) {
        struct tier__bucket *from = bucket_at(s, i), *to = bucket_at(s, hole);
        int back = way_back(s, i, hole);
        was_full = tier__bucket_full(from);
        if (back < 0)
            continue;
        append(to, tag_at(from, (unsigned)back), low_at(from, (unsigned)back), high_at(from, (unsigned)back));
        pull(from, (unsigned)back);
        hole = i;
    }
    count_change(s);
}
