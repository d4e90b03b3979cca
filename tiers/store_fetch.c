/* store_fetch.c - from records to a checked value. The map is memory that may change under us: everything is
 * copied out once, and what is verified is the copy. */
#include "tiers/store_parts.h"

void *tier__sink_buf(void *buf, size_t size)
{
    struct tier__buf *b = buf;
    tier__buf_clear(b);
    if (!tier__buf_space(b, size))
        return NULL;
    b->size = size;
    return b->data;
}

int tier__unpack(tier__codec *codec, unsigned how, const void *stored, size_t size, size_t plain,
                 const struct tier__sink *sink)
{
    void *to = sink->alloc(sink->user, plain);
    if (!to)
        return TIER_ENOMEM;
    if (how == TIER__CODEC_ZLIB)
        return tier__codec_inflate(codec, stored, size, to, plain);
    if (plain)
        memcpy(to, stored, plain);
    return TIER_OK;
}

struct fetch {
    struct tier__base *base;
    tier__txn *txn;
    enum tier__table t;
    const void *key;
    size_t key_size;
    struct tier__frame first;
    unsigned char *to; /* room for all stored bytes */
    size_t done;
    enum tier__db_rc db;
    const char *code;
};

static int damage(struct fetch *f, const char *code)
{
    f->code = code;
    return TIER_EDAMAGE;
}

/* Copies the part of one record to f->to and checks the copy. */
static int take_part(struct fetch *f, const struct tier__frame *frame, const unsigned char *head,
                     const void *record)
{
    if (frame->part > f->first.stored - f->done)
        return damage(f, "store-chunk-size");
    unsigned char *to = f->to + f->done;
    if (frame->part)
        memcpy(to, (const unsigned char *)record + frame->head, frame->part);
    if (!tier__frame_sound(frame, head, to))
        return damage(f, "store-frame-checksum");
    f->done += frame->part;
    return TIER_OK;
}

static int more_chunks(struct fetch *f)
{
    unsigned char dbkey[TIER__DBKEY_MAX], head[TIER__HEAD_MAX];
    for (uint32_t i = 1; i < f->first.chunks; i++) {
        const void *record;
        size_t size, n = tier__frame_key(dbkey, f->t, f->key, f->key_size, i);
        struct tier__frame frame;
        f->db = tier__txn_get(f->txn, dbkey, n, &record, &size);
        if (f->db == TIER__DB_ABSENT)
            return damage(f, "store-chunk-missing");
        if (f->db)
            return TIER_EIO;
        const char *code = tier__frame_read(record, size, f->t, f->key, f->key_size, i, &frame, head);
        if (code)
            return damage(f, code);
        if (frame.chunks != f->first.chunks || frame.whole != f->first.whole ||
            frame.stored != f->first.stored)
            return damage(f, "store-chunk-mixed");
        int rc = take_part(f, &frame, head, record);
        if (rc)
            return rc;
    }
    if (f->done != f->first.stored)
        return damage(f, "store-chunk-size");
    return TIER_OK;
}

/* What most records are. */
static int take_single(const struct tier__frame *f, const unsigned char *head, const void *record,
                       const struct tier__sink *sink, const char **code)
{
    void *to = sink->alloc(sink->user, f->plain);
    if (!to)
        return TIER_ENOMEM;
    if (f->plain)
        memcpy(to, (const unsigned char *)record + f->head, f->plain);
    if (tier__frame_sound(f, head, to))
        return TIER_OK;
    *code = "store-frame-checksum";
    return TIER_EDAMAGE;
}

int tier__fetch(struct tier__base *base, tier__codec *codec, tier__txn *txn, enum tier__table t,
                const void *key, size_t key_size, const struct tier__sink *sink, enum tier__db_rc *db,
                const char **code)
{
    unsigned char dbkey[TIER__DBKEY_MAX], head[TIER__HEAD_MAX];
    struct tier__frame first;
    const void *record;
    size_t size, n = tier__frame_key(dbkey, t, key, key_size, 0);
    *db = tier__txn_get(txn, dbkey, n, &record, &size);
    if (*db)
        return *db == TIER__DB_ABSENT ? TIER_EABSENT : TIER_EIO;
    if ((*code = tier__frame_read(record, size, t, key, key_size, 0, &first, head)))
        return TIER_EDAMAGE;
    if (first.chunks == 1 && first.codec == TIER__CODEC_RAW)
        return take_single(&first, head, record, sink, code);
    struct fetch f = {.base = base, .txn = txn, .t = t, .key = key, .key_size = key_size, .first = first};
    unsigned char *room = NULL;
    int rc = TIER_OK;
    bool packed = f.first.codec == TIER__CODEC_ZLIB;
    /* The header says how much memory to take. Of a single record the size is the record's own; of chunks it
     * is believed only once the checksum over this first one holds. */
    if (f.first.chunks > 1 &&
        !tier__frame_sound(&f.first, head, (const unsigned char *)record + f.first.head)) {
        *code = "store-frame-checksum";
        return TIER_EDAMAGE;
    }
    if (packed)
        room = f.to = tier__alloc(base, f.first.stored ? f.first.stored : 1);
    else
        f.to = sink->alloc(sink->user, f.first.plain);
    if (!f.to)
        return TIER_ENOMEM;
    rc = take_part(&f, &f.first, head, record);
    if (!rc)
        rc = more_chunks(&f);
    if (!rc && packed && codec) {
        rc = tier__unpack(codec, TIER__CODEC_ZLIB, room, f.done, f.first.plain, sink);
        if (rc == TIER_EDAMAGE)
            f.code = "store-frame-inflate";
    }
    tier__free(base, room);
    *db = f.db;
    *code = f.code;
    return rc;
}
