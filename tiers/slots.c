/* slots.c - one shard's slots. Keys are digests, hashes already: the first word's low bits are home and tag.
 * A bucket's entries fill it from the front; what does not fit goes to the next one, so a search ends at the
 * first bucket with room.
 *
 * Hits read along. So a word is written before the tag that leads to it, and stays when the tag goes: who saw
 * the tag finds a header, if not the one that he sought. */
#include "tiers/memory_private.h"

_Static_assert(sizeof(struct tier__bucket) == 64, "one cache line");

static const struct tier__bucket none; /* empty: what is there before the first one is made */

static uint64_t tag_at(const struct tier__bucket *b, unsigned way)
{
    return tier__tags(b) >> 8 * way & UINT8_MAX;
}

static void set_tag(struct tier__bucket *b, unsigned way, uint64_t tag)
{
    uint64_t others = tier__tags(b) & ~((uint64_t)UINT8_MAX << 8 * way);
    atomic_store_explicit(&b->tags, others | tag << 8 * way, memory_order_release);
}

static void set(struct tier__bucket *b, unsigned way, uint64_t tag, uint64_t word)
{
    atomic_store_explicit(&b->word[way], word, memory_order_release);
    set_tag(b, way, tag);
}

static unsigned filled(const struct tier__bucket *b)
{
    uint64_t tags = tier__tags(b);
    return tags ? 8 - (unsigned)__builtin_clzll(tags) / 8 : 0;
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
    return (uint32_t)(uint16_t)tier__word(b, way) << 8 | (uint32_t)tag_at(b, way);
}

tier__entry *tier__slots_at(const struct tier__slots *s, uint32_t i)
{
    const struct tier__bucket *b = bucket_at(s, i / TIER__WAYS);
    return tag_at(b, i % TIER__WAYS) ? tier__word_entry(tier__word(b, i % TIER__WAYS)) : NULL;
}

tier__entry *tier__slots_find(const struct tier__slots *s, int tier, const tier_digest *key)
{
    uint32_t bits = tier__slot_bits(tier__digest_word(key));
    for (uint32_t i = tier__slot_home(bits, buckets_of(s));; i = next_of(s, i)) {
        const struct tier__bucket *b = bucket_at(s, i);
        for (tier__ways like = tier__ways_like(b, bits); like; like &= like - 1) {
            uint64_t word = tier__word(b, tier__first_way(like));
            tier__entry *e = tier__word_entry(word);
            if (tier__word_has(word, bits) && tier__entry_tier(e) == tier && tier__digest_equal(&e->key, key))
                return e;
        }
        if (!tier__bucket_full(b))
            return NULL;
    }
}

void tier__slots_init(struct tier__slots *s)
{
    atomic_init(&s->bucket, (struct tier__bucket *)&none); /* nothing is put into no buckets */
}

static void append(struct tier__bucket *b, uint64_t tag, uint64_t word)
{
    set(b, filled(b), tag, word);
}

static void put(struct tier__slots *s, uint32_t bits, uint64_t word)
{
    uint32_t i = tier__slot_home(bits, buckets_of(s));
    while (tier__bucket_full(bucket_at(s, i)))
        i = next_of(s, i);
    append(bucket_at(s, i), bits & UINT8_MAX, word);
}

/* Two slots of three are taken at least, and four of five at most: 64 bytes of a bucket are some 12 an entry.
 * Fuller, more hits go on to a second bucket; with doubling the table would be half empty just after it, and
 * by eighths a million inserts take a tenth longer than by quarters. */
bool tier__slots_reserve(tier__memory *m, struct tier__slots *s)
{
    uint32_t was = buckets_of(s), buckets = was + was / 6 + 1;
    if (s->count < was * (TIER__WAYS * UINT64_C(4)) / 5)
        return true;
    if (s->count >= TIER__SLOTS_MAX)
        return false;
    struct tier__slots larger = {.count = s->count};
    const struct tier__bucket *old = bucket_at(s, 0);
    struct tier__bucket *fresh = tier__alloc_lines(&m->own, (buckets + 1) * sizeof *fresh, &larger.raw);
    if (!fresh)
        return false;
    fresh++; /* in front is room for quiet.c */
    memset(fresh, 0, buckets * sizeof *fresh);
    atomic_init(&larger.bucket, fresh);
    atomic_init(&larger.buckets, buckets);
    for (uint32_t i = 0; i < was; i++)
        for (unsigned way = 0; way < filled(&old[i]); way++)
            put(&larger, bits_at(&old[i], way), tier__word(&old[i], way));
    atomic_store_explicit(&s->bucket, fresh, memory_order_release);
    atomic_store_explicit(&s->buckets, buckets, memory_order_release);
    tier__retire(m, s->raw, false);
    s->raw = larger.raw;
    return true;
}

void tier__slots_add(struct tier__slots *s, tier__entry *e)
{
    uint32_t bits = tier__slot_bits(tier__digest_word(&e->key));
    put(s, bits, (uint64_t)(uintptr_t)e << 16 | bits >> 8);
    s->count++;
}

static int way_of(const struct tier__bucket *b, uint32_t bits, const tier__entry *e) /* -1: not here */
{
    for (tier__ways like = tier__ways_like(b, bits); like; like &= like - 1) {
        unsigned way = tier__first_way(like);
        if (tier__word_entry(tier__word(b, way)) == e)
            return (int)way;
    }
    return -1;
}

/* The last of a bucket takes the place of the one that leaves it. */
static void pull(struct tier__bucket *b, unsigned way)
{
    unsigned last = filled(b) - 1;
    set(b, way, tag_at(b, last), tier__word(b, last));
    set_tag(b, last, 0);
}

static uint32_t distance(uint32_t from, uint32_t to, uint32_t buckets)
{
    return to >= from ? to - from : to + buckets - from;
}

/* A way of bucket i whose entry may go back to bucket hole, between its home and i; -1: none. */
static int way_back(const struct tier__slots *s, uint32_t i, uint32_t hole)
{
    uint32_t buckets = buckets_of(s), least = distance(hole, i, buckets);
    const struct tier__bucket *b = bucket_at(s, i);
    for (unsigned way = 0, ways = filled(b); way < ways; way++)
        if (distance(tier__slot_home(bits_at(b, way), buckets), i, buckets) >= least)
            return (int)way;
    return -1;
}

void tier__slots_remove(struct tier__slots *s, const tier__entry *e)
{
    uint32_t bits = tier__slot_bits(tier__digest_word(&e->key)), hole = tier__slot_home(bits, buckets_of(s));
    int way;
    while ((way = way_of(bucket_at(s, hole), bits, e)) < 0)
        hole = next_of(s, hole);
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
        append(to, tag_at(from, (unsigned)back), tier__word(from, (unsigned)back));
        pull(from, (unsigned)back);
        hole = i;
    }
}
