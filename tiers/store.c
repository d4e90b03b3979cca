/* store.c - opening, closing and reading a store. See store.h. */
#include <errno.h>
#include <unistd.h>
#include "tiers/shield.h"
#include "tiers/store_parts.h"

enum { WRITE_WAIT_MS = 2000, EACH_RECORDS = 256, EACH_BYTES = 1 << 20 };

static int attach(struct tier__base *base, const struct tier__store_options *o, struct tier__env **env,
                  const struct tier__why *why)
{
    struct tier__shield shield;
    tier__shield_up(&shield);
    int rc = tier__env_attach(base, o, env, why);
    tier__shield_down(&shield);
    return rc;
}

int tier__store_open(struct tier__base *base, const struct tier__store_options *o, tier__store **st,
                     char *why, size_t why_size)
{
    struct tier__why w = {why, why_size};
    if (why_size)
        why[0] = 0;
    *st = NULL;
    struct tier__store *s = tier__zalloc(base, 1, sizeof *s);
    if (!s)
        return TIER_ENOMEM;
    s->magic = TIER__STORE_MAGIC;
    s->base = base;
    s->read_only = o->read_only;
    s->write_deadline_ms = o->write_deadline_ms > 0 ? o->write_deadline_ms : WRITE_WAIT_MS;
    int rc = tier__codec_create(base, o->compress_level, true, &s->codec);
    if (!rc)
        rc = attach(base, o, &s->env, &w);
    if (!rc && why_size)
        why[0] = 0; /* a quarantine on the way was logged */
    if (rc) {
        tier__codec_destroy(&s->codec);
        tier__free(base, s);
        return rc;
    }
    pthread_mutex_init(&s->build_mutex, NULL);
    atomic_init(&s->builds, false);
    s->lease_fd = -1;
    *st = s;
    return TIER_OK;
}

void tier__store_close(tier__store **st)
{
    tier__store *s = *st;
    *st = NULL;
    if (!s)
        return;
    s->magic = 0;
    tier__strikes_close(s);
    if (s->lease_fd >= 0)
        close(s->lease_fd);
    pthread_mutex_destroy(&s->build_mutex);
    tier__env_release(s->base, &s->env);
    tier__codec_destroy(&s->codec);
    tier__free(s->base, s);
}

uint64_t tier__store_generation(const tier__store *st)
{
    return atomic_load(&st->env->generation);
}

uint64_t tier__store_news(const tier__store *st)
{
    if (tier__env_usable(st->env) != TIER_OK || !tier__env_intact(st->base, st->env))
        return 0;
    return tier__env_ask(st->env, tier__db_news);
}

uint64_t tier__store_glance(const tier__store *st)
{
    struct tier__env *e = st->env;
    int64_t now = tier__coarse_ms();
    if (now - atomic_load_explicit(&e->glanced_ms, memory_order_relaxed) >= TIER__GLANCE_MS) {
        atomic_store_explicit(&e->glanced_ms, now, memory_order_relaxed);
        if (tier__env_intact(st->base, e))
            tier__env_look(st->base, e);
        tier__strikes_look((tier__store *)st);
    }
    if (atomic_load_explicit(&e->moved, memory_order_relaxed) ||
        atomic_load_explicit(&e->trouble, memory_order_relaxed) >= TIER__TROUBLE_OFF)
        return TIER__NEWS_LOST;
    return tier__env_ask(e, tier__db_news);
}

int tier__store_reads(tier__store *st, uint64_t *id)
{
    tier__read *r;
    int rc = tier__read_begin(st, &r);
    if (rc)
        return rc;
    *id = r->id;
    tier__read_end(&r);
    return 0;
}

const char *tier__store_path(const tier__store *st)
{
    return st->env->path;
}

uint64_t tier__store_bytes(const tier__store *st)
{
    if (tier__env_usable(st->env) != TIER_OK || !tier__env_intact(st->base, st->env))
        return 0;
    return tier__env_ask(st->env, tier__db_bytes);
}

int tier__read_begin(tier__store *st, tier__read **r)
{
    *r = NULL;
    return tier__env_read(st->base, st->env, r);
}

void tier__read_end(tier__read **r)
{
    tier__env_read_end(r);
}

void tier__store_damaged(tier__store *st, enum tier__table t, const void *key, size_t key_size,
                         const char *code)
{
    static const char *const name[] = {
#define TIER__TABLE_NAME(id, text, k, v) text,
        TIER__TABLES(TIER__TABLE_NAME)
#undef TIER__TABLE_NAME
    };
    tier__count(st->base, TIER__STORE_DAMAGED, 1);
    tier__log(st->base, TIER_LOG_NOTICE, "store %s: a damaged record in %s (%s): taken as a miss",
              st->env->path, name[t], code);
    if (!st->read_only)
        tier__env_note_damaged(st->env, t, key, key_size);
}

static inline int get_in(tier__store *st, tier__read *r, enum tier__table t, const void *key, size_t key_size,
                         const struct tier__sink *sink)
{
    enum tier__db_rc db = TIER__DB_OK;
    const char *code = NULL;
    int rc = tier__fetch(st->base, st->codec, r->txn, t, key, key_size, sink, &db, &code);
    if (!tier__env_read_sound(r)) /* the pages may have been another transaction's */
        return rc == TIER_ENOMEM ? rc : TIER_EBUSY;
    if (rc == TIER_EIO)
        return tier__env_rc(st->base, st->env, db, "reading");
    if (rc == TIER_EDAMAGE) {
        tier__store_damaged(st, t, key, key_size, code);
        return TIER_EABSENT;
    }
    if (!rc)
        tier__count(st->base, TIER__STORE_GET, 1);
    return rc;
}

int tier__store_get_into(tier__store *st, tier__read *r, enum tier__table t, const void *key, size_t key_size,
                         void *(*alloc)(void *user, size_t size), void *user)
{
    struct tier__sink sink = {alloc, user};
    if (key_size < 1 || key_size > TIER__KEY_MAX || (unsigned)t >= TIER__TABLE_COUNT)
        return TIER_EINVAL;
    if (r) {
        int rc = tier__env_usable(st->env);
        return rc ? rc : get_in(st, r, t, key, key_size, &sink);
    }
    tier__read *own = NULL;
    int rc = tier__read_begin(st, &own);
    if (!rc)
        rc = get_in(st, own, t, key, key_size, &sink);
    tier__read_end(&own);
    return rc;
}

int tier__store_get(tier__store *st, tier__read *r, enum tier__table t, const void *key, size_t key_size,
                    struct tier__buf *value)
{
    tier__buf_clear(value);
    int rc = tier__store_get_into(st, r, t, key, key_size, tier__sink_buf, value);
    if (rc)
        tier__buf_clear(value);
    return rc;
}

/* ---- all records of a table ---- */

struct each {
    tier__store *st;
    enum tier__table t;
    unsigned char last[TIER__DBKEY_MAX + 1]; /* where the next batch starts */
    size_t last_size;
    struct tier__buf batch, value; /* batch: u32 key size, key, u32 size, value, ... */
    bool more;
};

/* One snapshot's worth: sound records from e->last on, copied. */
static int fill(struct each *e, tier__read *r)
{
    tier__curs *c = NULL;
    tier__buf_clear(&e->batch);
    e->more = false;
    int rc = tier__env_rc(e->st->base, e->st->env, tier__curs_open(r->txn, &c), "reading");
    for (int n = 0; !rc; n++) {
        const unsigned char *found = NULL;
        const void *record = NULL, *key = NULL;
        size_t found_size = 0, size = 0, key_size = 0;
        enum tier__table t;
        uint32_t index;
        enum tier__db_rc db =
            tier__curs_seek(c, n > 0, e->last, e->last_size, &found, &found_size, &record, &size);
        if (db == TIER__DB_ABSENT)
            break;
        if ((rc = tier__env_rc(e->st->base, e->st->env, db, "reading")) != TIER_OK)
            break;
        if (found_size > TIER__DBKEY_MAX ||
            !tier__frame_unkey(found, found_size, &t, &key, &key_size, &index) || t != e->t || index)
            break; /* the next table begins */
        memcpy(e->last, found, found_size);
        if (n >= EACH_RECORDS || e->batch.size > EACH_BYTES) {
            e->last_size = found_size;
            e->more = true;
            break;
        }
        rc = tier__store_get(e->st, r, t, key, key_size, &e->value);
        if (rc == TIER_OK) {
            tier__buf_bytes(&e->batch, key, key_size);
            tier__buf_bytes(&e->batch, e->value.data, e->value.size);
            rc = e->batch.failed ? TIER_ENOMEM : TIER_OK;
        } else if (rc == TIER_EABSENT) {
            rc = TIER_OK; /* damaged: skipped, counted */
        }
    }
    if (c)
        tier__curs_close(c);
    return rc;
}

int tier__store_each(tier__store *st, enum tier__table t,
                     int (*each)(void *user, const void *key, size_t key_size, const void *data, size_t size),
                     void *user)
{
    return tier__store_each_from(st, t, NULL, 0, each, user);
}

int tier__store_each_from(tier__store *st, enum tier__table t, const void *after, size_t after_size,
                          int (*each)(void *user, const void *key, size_t key_size, const void *data,
                                      size_t size),
                          void *user)
{
    if (after_size > TIER__KEY_MAX)
        return TIER_EINVAL;
    struct each *e = tier__zalloc(st->base, 1, sizeof *e);
    if (!e)
        return TIER_ENOMEM;
    e->st = st;
    e->t = t;
    e->last[0] = (unsigned char)(t + 1);
    e->last_size = 1;
    if (after) { /* the key and a 0 behind it: the first one that is greater */
        memcpy(e->last + 1, after, after_size);
        e->last[1 + after_size] = 0;
        e->last_size = after_size + 2;
    }
    tier__buf_init(&e->batch, st->base);
    tier__buf_init(&e->value, st->base);
    int rc;
    do {
        tier__read *r = NULL;
        rc = tier__read_begin(st, &r);
        if (!rc)
            rc = fill(e, r);
        tier__read_end(&r);
        struct tier__reader in = tier__reader_of(e->batch.data, e->batch.size);
        while (!rc && in.at < in.end) {
            size_t key_size, size;
            const void *key = tier__read_bytes(&in, &key_size);
            const void *data = tier__read_bytes(&in, &size);
            rc = each(user, key, key_size, data, size);
        }
    } while (!rc && e->more);
    tier__buf_fini(&e->batch);
    tier__buf_fini(&e->value);
    tier__free(st->base, e);
    return rc;
}
