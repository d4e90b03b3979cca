/* store_frame.c - see store_frame.h. */
#include "tiers/store_frame.h"
#include "tiers/checksum.h"
#include "tiers/codec.h"

#define MAGIC 0x31524b54u /* "TKR1" */
enum { VERSION = 1, FLAG_CHUNKED = 1, SUM = 8, TAIL = 0x80, PAGE = 4096 };
static const uint64_t SEED = 0x7469657273746f72u;

static void put16(unsigned char *to, unsigned v)
{
    to[0] = (unsigned char)v;
    to[1] = (unsigned char)(v >> 8);
}

static void put32(unsigned char *to, uint32_t v)
{
    put16(to, v & 0xffff);
    put16(to + 2, v >> 16);
}

static void put64(unsigned char *to, uint64_t v)
{
    put32(to, (uint32_t)v);
    put32(to + 4, (uint32_t)(v >> 32));
}

static uint32_t get32(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint64_t get64(const unsigned char *at)
{
    return get32(at) | (uint64_t)get32(at + 4) << 32;
}

uint32_t tier__frame_part(const struct tier__frame *f, size_t remaining)
{
    size_t size = f->head + remaining;
    return (uint32_t)(size <= TIER__RECORD_MAX ? remaining : TIER__RECORD_MAX - f->head);
}

void tier__frame_plan(struct tier__frame *f)
{
    f->head = TIER__FRAME_SINGLE + f->key_size;
    f->chunks = 1;
    if (f->head + f->stored <= TIER__RECORD_MAX)
        return;
    f->head = TIER__FRAME_CHUNK + f->key_size;
    size_t part = TIER__RECORD_MAX - f->head;
    f->chunks = (uint32_t)((f->stored + part - 1) / part);
}

static uint64_t sum_of(const unsigned char *head, size_t head_size, const void *part, size_t part_size)
{
    uint64_t seed = tier__checksum(head + SUM, head_size - SUM, SEED);
    return tier__checksum(part, part_size, seed);
}

void tier__frame_write(unsigned char *to, const struct tier__frame *f, const void *key, const void *part)
{
    bool many = f->chunks > 1;
    put32(to + 8, MAGIC);
    to[12] = VERSION;
    to[13] = (unsigned char)f->table;
    to[14] = (unsigned char)f->codec;
    to[15] = many ? FLAG_CHUNKED : 0;
    put16(to + 16, (unsigned)f->key_size);
    put16(to + 18, 0);
    put32(to + 20, f->plain);
    put32(to + 24, f->stored);
    if (many) {
        put32(to + 28, f->index);
        put32(to + 32, f->chunks);
        put32(to + 36, f->part);
        put64(to + 40, f->whole);
    }
    size_t header = many ? TIER__FRAME_CHUNK : TIER__FRAME_SINGLE;
    memcpy(to + header, key, f->key_size);
    if (f->part)
        memcpy(to + f->head, part, f->part);
    put64(to, sum_of(to, f->head, to + f->head, f->part));
}

/* The lengths against each other and against the record's real size. */
static bool lengths_fit(const struct tier__frame *f, size_t size, uint32_t index)
{
    if (f->head + f->part != size || f->plain > TIER__PLAIN_MAX || f->stored > TIER__PLAIN_MAX)
        return false;
    if (f->codec == TIER__CODEC_RAW && f->stored != f->plain)
        return false;
    if (f->chunks == 1)
        return index == 0;
    return f->index == index && index < f->chunks && f->part <= f->stored && f->part > 0 &&
           f->chunks <= f->stored / PAGE + 1;
}

/* Nearly all keys are digests: without calls. */
static inline bool key_is(const void *a, const void *b, size_t size)
{
    return size == 32 ? !memcmp(a, b, 32) : !memcmp(a, b, size);
}

static inline void copy_head(unsigned char *to, const unsigned char *from, size_t size)
{
    if (size == 32)
        memcpy(to, from, 32);
    else
        memcpy(to, from, size);
}

const char *tier__frame_read(const void *record, size_t size, enum tier__table t, const void *key,
                             size_t key_size, uint32_t index, struct tier__frame *f,
                             unsigned char head_copy[TIER__HEAD_MAX])
{
    unsigned char *h = head_copy;
    if (size < TIER__FRAME_SINGLE)
        return "store-frame-size";
    memcpy(h, record, TIER__FRAME_SINGLE);
    if (get32(h + 8) != MAGIC)
        return "store-frame-magic";
    if (h[12] != VERSION)
        return "store-frame-version";
    bool many = h[15] == FLAG_CHUNKED;
    size_t header = many ? TIER__FRAME_CHUNK : TIER__FRAME_SINGLE;
    memset(f, 0, sizeof *f);
    f->table = h[13];
    f->codec = h[14];
    f->key_size = (size_t)(h[16] | h[17] << 8);
    f->plain = get32(h + 20);
    f->stored = get32(h + 24);
    f->head = header + f->key_size;
    if (h[15] > FLAG_CHUNKED || h[18] || h[19] || f->codec > TIER__CODEC_ZLIB)
        return "store-frame-header";
    if (f->head > size)
        return "store-frame-size";
    if (f->table != (unsigned)t || f->key_size != key_size)
        return "store-frame-key";
    copy_head(h + TIER__FRAME_SINGLE, (const unsigned char *)record + TIER__FRAME_SINGLE,
              f->head - TIER__FRAME_SINGLE);
    if (!key_is(h + header, key, key_size))
        return "store-frame-key";
    f->index = many ? get32(h + 28) : 0;
    f->chunks = many ? get32(h + 32) : 1;
    f->part = many ? get32(h + 36) : f->stored;
    f->whole = many ? get64(h + 40) : 0;
    if (many && f->chunks < 2)
        return "store-frame-header";
    return lengths_fit(f, size, index) ? NULL : "store-frame-size";
}

bool tier__frame_sound(const struct tier__frame *f, const unsigned char *head_copy, const void *part)
{
    return get64(head_copy) == sum_of(head_copy, f->head, part, f->part);
}

uint64_t tier__frame_whole(const void *stored, size_t size)
{
    return tier__checksum(stored, size, ~SEED);
}

size_t tier__frame_key(unsigned char to[TIER__DBKEY_MAX], enum tier__table t, const void *key,
                       size_t key_size, uint32_t index)
{
    to[0] = (unsigned char)(((unsigned)t + 1) | (index ? TAIL : 0u));
    memcpy(to + 1, key, key_size);
    if (!index)
        return 1 + key_size;
    for (int i = 0; i < 4; i++)
        to[1 + key_size + (size_t)i] = (unsigned char)(index >> (24 - 8 * i));
    return 1 + key_size + 4;
}

bool tier__frame_unkey(const unsigned char *dbkey, size_t size, enum tier__table *t, const void **key,
                       size_t *key_size, uint32_t *index)
{
    unsigned table = size ? dbkey[0] & ~(unsigned)TAIL : 0;
    bool tail = size && (dbkey[0] & TAIL);
    size_t extra = tail ? 5 : 1;
    if (table < 1 || table > TIER__TABLE_COUNT || size < extra + 1 || size - extra > TIER__KEY_MAX)
        return false;
    *t = (enum tier__table)(table - 1);
    *key = dbkey + 1;
    *key_size = size - extra;
    *index = 0;
    for (size_t i = 0; tail && i < 4; i++)
        *index = *index << 8 | dbkey[size - 4 + i];
    return !tail || *index > 0;
}
