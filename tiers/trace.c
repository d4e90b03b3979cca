/* trace.c - traces in memory: read from blocks, and packed into blocks. */
#include "tiers/checksum.h"
#include "tiers/trace_format.h"

enum { FIRST_EVENTS = 1024, FIRST_KEYS = 256, PACK_LEVEL = 9 };

/* ---- writing */
static void put_varint(struct tier__buf *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        tier__buf_u8(b, (uint8_t)(v | 0x80));
    tier__buf_u8(b, (uint8_t)v);
}

static bool carries_size(uint8_t head)
{
    unsigned what = head >> 2 & 7;
    return !(head & TIER__TRACE_KNOWN) && (what == TIER__TRACE_HIT || what == TIER__TRACE_PUT);
}

void tier__trace_put(struct tier__trace_block *b, uint8_t head, uint64_t key, uint64_t charge,
                     uint32_t cost_us)
{
    uint64_t step = key - b->previous;
    tier__buf_u8(&b->plain, head);
    put_varint(&b->plain, step << 1 ^ (step >> 63 ? UINT64_MAX : 0));
    if (carries_size(head)) {
        put_varint(&b->plain, charge);
        put_varint(&b->plain, cost_us);
    }
    b->previous = key;
    b->records++;
}

void tier__trace_seal(struct tier__trace_block *b, tier__codec *codec, struct tier__buf *packed,
                      struct tier__buf *out)
{
    bool smaller = tier__codec_deflate(codec, b->plain.data, b->plain.size, packed) == TIER_OK;
    const struct tier__buf *stored = smaller ? packed : &b->plain;
    if (b->plain.failed)
        out->failed = true;
    tier__buf_put(out, TIER__TRACE_MAGIC, 8);
    tier__buf_u32(out, b->records);
    tier__buf_u32(out, (uint32_t)b->plain.size);
    tier__buf_u32(out, (uint32_t)stored->size);
    tier__buf_u32(out, 0);
    tier__buf_u64(out, tier__checksum(stored->data, stored->size, 0));
    tier__buf_put(out, stored->data, stored->size);
    tier__buf_clear(&b->plain);
    b->records = 0;
    b->previous = 0;
}

int tier__trace_pack(const struct tier__trace *t, struct tier__buf *out)
{
    struct tier__trace_block b = {.records = 0};
    struct tier__buf packed;
    tier__codec *codec = NULL;
    unsigned char *known = tier__zalloc(t->base, t->key_count + 1, 1);
    tier__buf_init(&b.plain, t->base);
    tier__buf_init(&packed, t->base);
    int rc = known ? tier__codec_create(t->base, PACK_LEVEL, true, &codec) : TIER_ENOMEM;
    for (size_t i = 0; i < t->event_count && !rc; i++) {
        const struct tier__trace_event *e = &t->event[i];
        const struct tier__trace_key *k = &t->key[e->key];
        uint8_t head = (uint8_t)(k->tier | e->what << 2);
        if (known[e->key])
            head |= TIER__TRACE_KNOWN;
        else
            known[e->key] = k->sized && carries_size(head);
        tier__trace_put(&b, head, e->key, k->charge, k->cost_us);
        if (b.plain.size > TIER__TRACE_PLAIN_MAX - TIER__TRACE_RECORD_MAX || i + 1 == t->event_count)
            tier__trace_seal(&b, codec, &packed, out);
    }
    if (!rc && out->failed)
        rc = TIER_ENOMEM;
    tier__codec_destroy(&codec);
    tier__buf_fini(&b.plain);
    tier__buf_fini(&packed);
    tier__free(t->base, known);
    return rc;
}

/* ---- keeping */
void tier__trace_init(struct tier__trace *t, struct tier__base *base)
{
    *t = (struct tier__trace){.base = base};
}

void tier__trace_fini(struct tier__trace *t)
{
    tier__free(t->base, t->event);
    tier__free(t->base, t->key);
    tier__free(t->base, t->slot);
    tier__trace_init(t, t->base);
}

static uint32_t slot_of(const struct tier__trace *t, int tier, uint64_t hash)
{
    uint64_t word = (hash ^ (uint64_t)tier << 56) * UINT64_C(0x9e3779b97f4a7c15);
    uint32_t i = (uint32_t)(word >> 32) & (t->slot_capacity - 1);
    while (t->slot[i] && (t->key[t->slot[i] - 1].hash != hash || t->key[t->slot[i] - 1].tier != tier))
        i = (i + 1) & (t->slot_capacity - 1);
    return i;
}

static bool grow_keys(struct tier__trace *t)
{
    uint32_t capacity = t->key_capacity ? t->key_capacity * 2 : FIRST_KEYS;
    struct tier__trace_key *key = tier__resize(t->base, t->key, capacity * sizeof *key);
    if (!key)
        return false;
    t->key = key;
    uint32_t *slot = tier__zalloc(t->base, (size_t)capacity * 2, sizeof *slot);
    if (!slot)
        return false;
    tier__free(t->base, t->slot);
    t->slot = slot;
    t->slot_capacity = capacity * 2;
    t->key_capacity = capacity;
    for (uint32_t k = 0; k < t->key_count; k++)
        t->slot[slot_of(t, t->key[k].tier, t->key[k].hash)] = k + 1;
    return true;
}

int tier__trace_add(struct tier__trace *t, enum tier__trace_what what, int tier, uint64_t hash,
                    uint64_t charge, uint32_t cost_us)
{
    if (t->key_count == t->key_capacity && (t->key_count >= UINT32_MAX / 4 || !grow_keys(t)))
        return TIER_ENOMEM;
    if (t->event_count == t->event_capacity) {
        size_t capacity = t->event_capacity ? t->event_capacity * 2 : FIRST_EVENTS;
        struct tier__trace_event *event = tier__resize(t->base, t->event, capacity * sizeof *event);
        if (!event)
            return TIER_ENOMEM;
        t->event = event;
        t->event_capacity = capacity;
    }
    uint32_t at = slot_of(t, tier, hash);
    if (!t->slot[at]) {
        t->key[t->key_count] = (struct tier__trace_key){.hash = hash, .tier = (uint8_t)tier};
        t->slot[at] = ++t->key_count;
    }
    struct tier__trace_key *k = &t->key[t->slot[at] - 1];
    if (charge && (what == TIER__TRACE_HIT || what == TIER__TRACE_PUT)) {
        k->charge = charge;
        if (cost_us > k->cost_us || !k->sized) /* loaded again, it is still what computing it costs */
            k->cost_us = cost_us;
        k->sized = 1;
    }
    t->event[t->event_count++] = (struct tier__trace_event){t->slot[at] - 1, (uint8_t)what};
    return TIER_OK;
}

/* ---- reading */
static uint64_t read_varint(struct tier__reader *r)
{
    uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        uint8_t byte = tier__read_u8(r);
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return v;
    }
    r->failed = true;
    return 0;
}

static int read_records(struct tier__trace *t, const unsigned char *plain, size_t size, uint32_t records)
{
    struct tier__reader r = tier__reader_of(plain, size);
    uint64_t key = 0;
    for (uint32_t i = 0; i < records; i++) {
        uint8_t head = tier__read_u8(&r);
        uint64_t step = read_varint(&r), charge = 0, cost = 0;
        key += step >> 1 ^ (step & 1 ? UINT64_MAX : 0);
        if (carries_size(head)) {
            charge = read_varint(&r);
            cost = read_varint(&r);
        }
        unsigned what = head >> 2 & 7;
        int tier = head & 3;
        if (r.failed || what > TIER__TRACE_DEAD || tier == 0 || head >= TIER__TRACE_KNOWN << 1 ||
            cost > UINT32_MAX)
            return TIER_EDAMAGE;
        int rc = tier__trace_add(t, (enum tier__trace_what)what, tier, key, charge, (uint32_t)cost);
        if (rc)
            return rc;
    }
    return r.at == r.end ? TIER_OK : TIER_EDAMAGE;
}

/* One block's stored bytes. */
static int read_block(struct tier__trace *t, tier__codec *codec, const unsigned char *stored, uint32_t size,
                      uint32_t plain_size, uint32_t records)
{
    if (size == plain_size)
        return read_records(t, stored, size, records);
    unsigned char *plain = tier__alloc(t->base, plain_size);
    int rc = plain ? tier__codec_inflate(codec, stored, size, plain, plain_size) : TIER_ENOMEM;
    if (!rc)
        rc = read_records(t, plain, plain_size, records);
    tier__free(t->base, plain);
    return rc;
}

int tier__trace_read(struct tier__trace *t, const void *data, size_t size, size_t *at)
{
    struct tier__reader r = tier__reader_of(data, size);
    tier__codec *codec = NULL;
    int rc = tier__codec_create(t->base, 1, true, &codec);
    for (*at = 0; !rc && r.at < r.end; *at = (size_t)(r.at - (const unsigned char *)data)) {
        struct tier__reader h = r;
        const void *magic = tier__read_raw(&h, 8);
        uint32_t records = tier__read_u32(&h), plain = tier__read_u32(&h), stored = tier__read_u32(&h);
        uint32_t zero = tier__read_u32(&h);
        uint64_t sum = tier__read_u64(&h);
        const unsigned char *bytes = tier__read_raw(&h, stored);
        if (magic && memcmp(magic, TIER__TRACE_MAGIC, 8) != 0) {
            rc = TIER_EDAMAGE;
        } else if (h.failed) { /* cut off */
            t->torn = true;
            rc = magic && *at + TIER__TRACE_HEADER <= size && stored > TIER__TRACE_PLAIN_MAX ? TIER_EDAMAGE
                                                                                             : TIER_END;
        } else if (plain > TIER__TRACE_PLAIN_MAX || zero || tier__checksum(bytes, stored, 0) != sum) {
            rc = TIER_EDAMAGE;
        } else {
            rc = read_block(t, codec, bytes, stored, plain, records);
        }
        if (rc)
            break;
        r = h;
    }
    tier__codec_destroy(&codec);
    return rc == TIER_END && *at > 0 ? TIER_OK : rc == TIER_END ? TIER_EDAMAGE : rc;
}
