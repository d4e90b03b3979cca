/* slots.c - one shard's slots. Keys are digests, hashes already: the first word's low bits are home and tag.
 * A bucket's entries fill it from the front; what does not fit goes to the next one, so a search ends at the
 * first bucket with room. */
#include "tiers/memory_private.h"

_Static_assert(sizeof(struct tier__bucket) == 64, "one cache line");
_Static_assert(_Alignof(struct tier__entry) >= 64, "the address's low bits must be free");
_Static_assert((TIER__SLOTS_MAX & (TIER__SLOTS_MAX - 1)) == 0 && TIER__SLOTS_MAX >> 22 == 1, "22 bits");

static uint32_t tag_at(const struct tier__bucket *b, unsigned way)
{
    return (uint16_t)(b->tags[way / 4] >> way % 4 * 16);
}

static void set_tag(struct tier__bucket *b, unsigned way, uint32_t tag)
{
    b->tags[way / 4] &= ~((uint64_t)UINT16_MAX << way % 4 * 16);
    b->tags[way / 4] |= (uint64_t)tag << way % 4 * 16;
}

static bool is_full(const struct tier__bucket *b)
{
    return tag_at(b, TIER__WAYS - 1) != 0;
}

static unsigned filled(const struct tier__bucket *b)
{
    unsigned n = 0;
    while (n < TIER__WAYS && tag_at(b, n))
        n++;
    return n;
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

static uint32_t home_at(const struct tier__slots *s, const struct tier__bucket *b, unsigned way)
{
    return tier__slot_home((uint32_t)(b->low[way] & 63) << 16 | tag_at(b, way), buckets_of(s));
}

tier__entry *tier__slots_at(const struct tier__slots *s, uint32_t i)
{
    return tier__slot_entry(bucket_at(s, i / TIER__WAYS), i % TIER__WAYS);
}

static void append(struct tier__bucket *b, uint32_t tag, uint16_t low, uint32_t high)
{
    unsigned way = filled(b);
    set_tag(b, way, tag);
    b->low[way] = low;
    b->high[way] = high;
}

static void put(struct tier__slots *s, uint32_t bits, uint16_t low, uint32_t high)
{
    uint32_t i = tier__slot_home(bits, buckets_of(s));
    while (is_full(bucket_at(s, i)))
        i = next_of(s, i);
    append(bucket_at(s, i), bits & UINT16_MAX, low, high);
}

/* Four slots of five are taken at most, and three at least: 64 bytes of a bucket are some 11 an entry.
 * Fuller, more hits go on to a second bucket (15 in 100 at four of five); with doubling the table would be
 * half empty just after it. */
bool tier__slots_reserve(struct tier__base *base, struct tier__slots *s)
{
    uint32_t was = buckets_of(s);
    if (s->count < was * (TIER__WAYS * UINT64_C(4)) / 5)
        return true;
    if (s->count >= TIER__SLOTS_MAX)
        return false;
    uint32_t buckets = was + was / 4 + 1;
    struct tier__slots larger = {.count = s->count};
    struct tier__bucket *fresh = tier__alloc_lines(base, buckets * sizeof *fresh, &larger.raw);
    if (!fresh)
        return false;
    memset(fresh, 0, buckets * sizeof *fresh);
    atomic_init(&larger.bucket, fresh);
    atomic_init(&larger.buckets, buckets);
    for (uint32_t i = 0; i < was; i++) {
        const struct tier__bucket *b = bucket_at(s, i);
        for (unsigned way = 0; way < TIER__WAYS && tag_at(b, way); way++)
            put(&larger, (uint32_t)(b->low[way] & 63) << 16 | tag_at(b, way), b->low[way], b->high[way]);
    }
    tier__free(base, s->raw);
    atomic_store_explicit(&s->bucket, fresh, memory_order_relaxed);
    atomic_store_explicit(&s->buckets, buckets, memory_order_relaxed);
    s->raw = larger.raw;
    return true;
}

void tier__slots_add(struct tier__slots *s, tier__entry *e)
{
    uint32_t bits = tier__slot_bits(&e->key);
    uintptr_t address = (uintptr_t)e;
    put(s, bits, (uint16_t)(address | bits >> 16), (uint32_t)(address >> 16));
    s->count++;
}

/* The last of a bucket takes the place of the one that leaves it. */
static void pull(struct tier__bucket *b, unsigned way)
{
    unsigned last = filled(b) - 1;
    set_tag(b, way, tag_at(b, last));
    b->low[way] = b->low[last];
    b->high[way] = b->high[last];
    set_tag(b, last, 0);
    b->low[last] = 0;
    b->high[last] = 0;
}

/* A way of bucket i whose entry may go back to bucket hole, between its home and i; -1: none. */
static int way_back(const struct tier__slots *s, uint32_t i, uint32_t hole)
{
    uint32_t buckets = buckets_of(s), from_hole = (i + buckets - hole) % buckets;
    const struct tier__bucket *b = bucket_at(s, i);
    for (unsigned way = 0; way < TIER__WAYS && tag_at(b, way); way++)
        if ((i + buckets - home_at(s, b, way)) % buckets >= from_hole)
            return (int)way;
    return -1;
}

void tier__slots_remove(struct tier__slots *s, const tier__entry *e)
{
    uint32_t hole = tier__slot_home(tier__slot_bits(&e->key), buckets_of(s));
    unsigned way = 0;
    while (tier__slot_entry(bucket_at(s, hole), way) != e)
        if (++way == TIER__WAYS) {
            way = 0;
            hole = next_of(s, hole);
        }
    bool was_full = is_full(bucket_at(s, hole));
    pull(bucket_at(s, hole), way);
    s->count--;
    /* Moves back what the room would cut off from its home (Knuth 6.4, algorithm R): no tombstones. */
    for (uint32_t i = next_of(s, hole); was_full && i != hole; i = next_of(s, i)) {
        struct tier__bucket *from = bucket_at(s, i), *to = bucket_at(s, hole);
        int back = way_back(s, i, hole);
        was_full = is_full(from);
        if (back < 0)
            continue;
        append(to, tag_at(from, (unsigned)back), from->low[back], from->high[back]);
        pull(from, (unsigned)back);
        hole = i;
    }
}
