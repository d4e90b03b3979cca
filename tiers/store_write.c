/* store_write.c - write transactions.
 *
 * Puts are compressed and kept in memory until commit, which applies them in one short LMDB transaction: so
 * they can be applied again when the map was full, and nobody waits for our compression. The write lock is
 * taken at the first get (from then on nobody else commits, what was read stays true until the commit) or at
 * the commit, whichever comes first. */
#include <fcntl.h>
#include <unistd.h>
#include "tiers/checksum.h"
#include "tiers/shield.h"
#include "tiers/store_parts.h"

enum {
    APPLY_TRIES = 24,   /* 4 MiB doubled 14 times is 64 GiB; some for maps resized by others */
    CHECK_READERS = 16, /* commits between looks for dead readers, who keep old pages from reuse */
    RAW = 0xff          /* as an op's table: its key is the database's */
};

struct op {
    uint64_t hash;
    uint32_t next; /* index + 1 of the next with the same slot; 0: none */
    uint8_t table, codec;
    bool del;
    uint16_t key_size;
    uint32_t plain;
    unsigned char *key; /* key, then the stored bytes: one allocation */
    size_t stored;
};

struct tier__write {
    tier__store *st;
    struct op *op;
    size_t count, capacity;
    uint32_t *slot; /* heads of chains of ops */
    size_t slots;   /* a power of two */
    struct tier__buf packed;
    bool locked;
    tier__read *r; /* what it reads, from the moment it has the lock */
    int failed;    /* commit will return it */
};

int tier__write_begin(tier__store *st, tier__write **w)
{
    *w = NULL;
    int rc = tier__env_usable(st->env);
    if (rc)
        return rc;
    if (st->read_only || atomic_load(&st->env->trouble) != TIER__TROUBLE_NONE)
        return TIER_EIO;
    if (!(*w = tier__zalloc(st->base, 1, sizeof **w)))
        return TIER_ENOMEM;
    (*w)->st = st;
    tier__buf_init(&(*w)->packed, st->base);
    return TIER_OK;
}

static void write_free(tier__write **w)
{
    struct tier__base *base = (*w)->st->base;
    tier__read_end(&(*w)->r);
    if ((*w)->locked && tier__process_same(&(*w)->st->env->process))
        tier__env_write_unlock((*w)->st->env);
    for (size_t i = 0; i < (*w)->count; i++)
        tier__free(base, (*w)->op[i].key);
    tier__free(base, (*w)->op);
    tier__free(base, (*w)->slot);
    tier__buf_fini(&(*w)->packed);
    tier__free(base, *w);
    *w = NULL;
}

void tier__write_abort(tier__write **w)
{
    if (*w)
        write_free(w);
}

static int lock(tier__write *w)
{
    if (w->locked)
        return TIER_OK;
    struct tier__base *base = w->st->base;
    int rc = tier__env_write_lock(base, w->st->env, w->st->write_deadline_ms);
    if (rc)
        return rc;
    w->locked = true;
    rc = tier__env_write_ready(base, w->st->env);
    if (!rc)
        tier__env_extend(w->st->env);
    return rc;
}

/* ---- what it holds ---- */

static uint64_t hash_of(enum tier__table t, const void *key, size_t key_size)
{
    return tier__checksum(key, key_size, (uint64_t)t);
}

static struct op *op_find(const tier__write *w, enum tier__table t, const void *key, size_t key_size,
                          uint64_t hash)
{
    if (!w->slots)
        return NULL;
    for (uint32_t i = w->slot[hash & (w->slots - 1)]; i; i = w->op[i - 1].next) {
        struct op *op = &w->op[i - 1];
        if (op->hash == hash && op->table == (uint8_t)t && op->key_size == key_size &&
            memcmp(op->key, key, key_size) == 0)
            return op;
    }
    return NULL;
}

static int op_grow(tier__write *w)
{
    struct tier__base *base = w->st->base;
    size_t capacity = w->capacity ? w->capacity * 2 : 64;
    if (capacity > UINT32_MAX / 2)
        return TIER_ENOMEM;
    struct op *op = tier__resize(base, w->op, capacity * sizeof *op);
    if (!op)
        return TIER_ENOMEM;
    w->op = op;
    uint32_t *slot = tier__zalloc(base, capacity, sizeof *slot);
    if (!slot)
        return TIER_ENOMEM;
    tier__free(base, w->slot);
    w->slot = slot;
    w->slots = w->capacity = capacity;
    for (size_t i = 0; i < w->count; i++) {
        uint32_t *head = &slot[w->op[i].hash & (capacity - 1)];
        w->op[i].next = *head;
        *head = (uint32_t)(i + 1);
    }
    return TIER_OK;
}

static int op_set(tier__write *w, const struct op *like, const void *key, const void *stored)
{
    enum tier__table t = (enum tier__table)like->table;
    struct tier__base *base = w->st->base;
    unsigned char *memory = tier__alloc(base, like->key_size + like->stored);
    if (!memory)
        return TIER_ENOMEM;
    memcpy(memory, key, like->key_size);
    if (like->stored)
        memcpy(memory + like->key_size, stored, like->stored);
    uint64_t hash = hash_of(t, key, like->key_size);
    struct op *op = op_find(w, t, key, like->key_size, hash);
    if (!op && w->count == w->capacity && op_grow(w) != TIER_OK) {
        tier__free(base, memory);
        return TIER_ENOMEM;
    }
    uint32_t next;
    if (op) {
        next = op->next;
        tier__free(base, op->key);
    } else {
        uint32_t *head = &w->slot[hash & (w->slots - 1)];
        op = &w->op[w->count++];
        next = *head;
        *head = (uint32_t)w->count;
    }
    *op = *like;
    op->hash = hash;
    op->next = next;
    op->key = memory;
    return TIER_OK;
}

static int usable(const tier__write *w, enum tier__table t, size_t key_size)
{
    if (key_size < 1 || key_size > TIER__KEY_MAX || (unsigned)t >= TIER__TABLE_COUNT)
        return TIER_EINVAL;
    return tier__process_same(&w->st->env->process) ? TIER_OK : TIER_EBUSY;
}

int tier__write_put(tier__write *w, enum tier__table t, const void *key, size_t key_size, const void *data,
                    size_t size, int flags)
{
    int rc = usable(w, t, key_size);
    if (rc)
        return rc;
    if (size > TIER__PLAIN_MAX || (flags & ~TIER__COMPRESS))
        return TIER_EINVAL;
    struct op op = {.table = (uint8_t)t,
                    .codec = TIER__CODEC_RAW,
                    .key_size = (uint16_t)key_size,
                    .plain = (uint32_t)size,
                    .stored = size};
    if (flags & TIER__COMPRESS) {
        rc = tier__codec_deflate(w->st->codec, data, size, &w->packed);
        if (rc == TIER_OK) {
            op.codec = TIER__CODEC_ZLIB;
            op.stored = w->packed.size;
            data = w->packed.data;
        } /* out of memory for it: uncompressed */
    }
    rc = op_set(w, &op, key, data);
    if (rc)
        w->failed = rc; /* a transaction without one of its puts must not be committed (I10) */
    return rc;
}

int tier__write_del(tier__write *w, enum tier__table t, const void *key, size_t key_size)
{
    int rc = usable(w, t, key_size);
    if (rc)
        return rc;
    struct op op = {.table = (uint8_t)t, .del = true, .key_size = (uint16_t)key_size};
    rc = op_set(w, &op, key, NULL);
    if (rc)
        w->failed = rc;
    return rc;
}

int tier__write_del_raw(tier__write *w, const void *dbkey, size_t size)
{
    struct op op = {.table = RAW, .del = true, .key_size = (uint16_t)size};
    int rc = op_set(w, &op, dbkey, NULL);
    if (rc)
        w->failed = rc;
    return rc;
}

int tier__write_get(tier__write *w, enum tier__table t, const void *key, size_t key_size,
                    struct tier__buf *value)
{
    tier__buf_clear(value);
    int rc = usable(w, t, key_size);
    if (rc)
        return rc;
    struct tier__sink sink = {tier__sink_buf, value};
    struct op *op = op_find(w, t, key, key_size, hash_of(t, key, key_size));
    if (op) {
        rc = op->del ? TIER_EABSENT
                     : tier__unpack(w->st->codec, op->codec, op->key + op->key_size, op->stored, op->plain,
                                    &sink);
    } else {
        rc = lock(w);
        if (!rc && !w->r)
            rc = tier__read_begin(w->st, &w->r);
        if (rc) {
            w->failed = rc; /* else a caller that takes it for a miss would write over what is there */
            return rc;
        }
        rc = tier__store_get(w->st, w->r, t, key, key_size, value);
    }
    if (rc)
        tier__buf_clear(value);
    return rc;
}

/* ---- commit ---- */

/* Deletes chunks from `from` on: those of this key are neighbours in the tree. */
static enum tier__db_rc drop_chunks(tier__txn *txn, enum tier__table t, const void *key, size_t key_size,
                                    uint32_t from)
{
    unsigned char want[TIER__DBKEY_MAX];
    size_t n = tier__frame_key(want, t, key, key_size, from);
    for (;;) {
        tier__curs *c = NULL;
        const unsigned char *found = NULL;
        const void *data = NULL;
        size_t found_size = 0, size = 0;
        enum tier__db_rc rc = tier__curs_open(txn, &c);
        if (rc)
            return rc;
        rc = tier__curs_seek(c, false, want, n, &found, &found_size, &data, &size);
        bool ours = rc == TIER__DB_OK && found_size == n && memcmp(found, want, n - 4) == 0;
        if (ours)
            memcpy(want, found, n);
        tier__curs_close(c);
        if (rc && rc != TIER__DB_ABSENT)
            return rc;
        if (!ours)
            return TIER__DB_OK;
        if ((rc = tier__txn_del(txn, want, n)) != TIER__DB_OK)
            return rc;
    }
}

enum tier__db_rc tier__apply_del(tier__txn *txn, enum tier__table t, const void *key, size_t key_size)
{
    unsigned char dbkey[TIER__DBKEY_MAX];
    size_t n = tier__frame_key(dbkey, t, key, key_size, 0);
    enum tier__db_rc rc = tier__txn_del(txn, dbkey, n);
    if (rc == TIER__DB_ABSENT)
        return TIER__DB_OK;
    return rc ? rc : drop_chunks(txn, t, key, key_size, 1);
}

static enum tier__db_rc apply_put(tier__txn *txn, const struct op *op)
{
    enum tier__table t = (enum tier__table)op->table;
    unsigned char dbkey[TIER__DBKEY_MAX], head[TIER__HEAD_MAX];
    const unsigned char *stored = op->key + op->key_size;
    struct tier__frame f = {.table = op->table,
                            .codec = op->codec,
                            .key_size = op->key_size,
                            .plain = op->plain,
                            .stored = (uint32_t)op->stored};
    tier__frame_plan(&f);
    if (f.chunks > 1)
        f.whole = tier__frame_whole(stored, op->stored);
    f.part = tier__frame_part(&f, op->stored);
    const void *old;
    unsigned char *to;
    size_t old_size, done = 0, n = tier__frame_key(dbkey, t, op->key, op->key_size, 0);
    struct tier__frame was;
    /* A new key needs no look at what was there: one way down the tree instead of two. */
    enum tier__db_rc rc = tier__txn_put_new(txn, dbkey, n, f.head + f.part, &to, &old, &old_size);
    if (rc)
        return rc;
    if (!to) {
        bool chunks =
            tier__frame_read(old, old_size, t, op->key, op->key_size, 0, &was, head) || was.chunks > f.chunks;
        if (chunks)
            rc = drop_chunks(txn, t, op->key, op->key_size, f.chunks);
        if (!rc)
            rc = tier__txn_put(txn, dbkey, n, f.head + f.part, &to);
    }
    while (!rc) {
        tier__frame_write(to, &f, op->key, stored + done);
        done += f.part;
        if (++f.index == f.chunks)
            break;
        f.part = tier__frame_part(&f, op->stored - done);
        n = tier__frame_key(dbkey, t, op->key, op->key_size, f.index);
        rc = tier__txn_put(txn, dbkey, n, f.head + f.part, &to);
    }
    return rc;
}

/* Records that readers found damaged: deleted where they still are. */
static enum tier__db_rc drop_damaged(tier__write *w, tier__txn *txn)
{
    struct tier__env *env = w->st->env;
    enum tier__db_rc rc = TIER__DB_OK;
    struct tier__buf value;
    struct tier__sink sink = {tier__sink_buf, &value};
    tier__buf_init(&value, w->st->base);
    pthread_mutex_lock(&env->mutex);
    for (unsigned i = 0; !rc && i < env->damaged_count; i++) {
        enum tier__table t = (enum tier__table)env->damaged[i].table;
        const char *code = NULL;
        int got = tier__fetch(w->st->base, w->st->codec, txn, t, env->damaged[i].key, env->damaged[i].size,
                              &sink, &rc, &code);
        rc = rc == TIER__DB_ABSENT ? TIER__DB_OK : rc;
        if (got == TIER_EDAMAGE && !rc)
            rc = tier__apply_del(txn, t, env->damaged[i].key, env->damaged[i].size);
    }
    pthread_mutex_unlock(&env->mutex);
    tier__buf_fini(&value);
    return rc;
}

static enum tier__db_rc apply_op(tier__txn *txn, const struct op *op)
{
    if (!op->del)
        return apply_put(txn, op);
    if (op->table != RAW)
        return tier__apply_del(txn, (enum tier__table)op->table, op->key, op->key_size);
    enum tier__db_rc rc = tier__txn_del(txn, op->key, op->key_size);
    return rc == TIER__DB_ABSENT ? TIER__DB_OK : rc;
}

static enum tier__db_rc apply(tier__write *w)
{
    tier__txn *txn = NULL;
    enum tier__db_rc rc = tier__txn_begin(w->st->env->db, true, &txn);
    if (rc)
        return rc;
    rc = drop_damaged(w, txn);
    for (size_t i = 0; !rc && i < w->count; i++)
        rc = apply_op(txn, &w->op[i]);
    if (!rc)
        return tier__txn_commit(txn);
    tier__txn_abort(txn);
    return rc;
}

static int grow(tier__write *w)
{
    struct tier__env *env = w->st->env;
    uint64_t now = tier__env_ask(env, tier__db_map), most = env->max_bytes;
    if (now >= most)
        return TIER_EIO;
    uint64_t next = now > most / 2 ? most : now * 2;
    tier__env_clear_slots(env); /* a dead reader may be what keeps the space */
    return tier__env_remap(w->st->base, env, next, w->st->write_deadline_ms);
}

static int apply_all(tier__write *w)
{
    struct tier__env *env = w->st->env;
    struct tier__base *base = w->st->base;
    int rc = TIER_EIO;
    for (int i = 0; i < APPLY_TRIES; i++) {
        if ((rc = tier__env_enter(env)) != TIER_OK) /* a reader that remaps would take the pages from us */
            return rc;
        enum tier__db_rc db = apply(w);
        tier__env_leave(env);
        if (db == TIER__DB_MAP_FULL)
            rc = grow(w);
        else if (db == TIER__DB_MAP_RESIZED)
            rc = tier__env_remap(base, env, 0, w->st->write_deadline_ms);
        else {
            char why[200];
            if (db == TIER__DB_IO && tier__env_full(env, why, sizeof why))
                db =
                    TIER__DB_NO_SPACE; /* LMDB reports a short write, the usual form of a full disk, as EIO */
            if (db)
                tier__log(base, TIER_LOG_WARNING, "store %s: a commit of %zu records failed (%s)", env->path,
                          w->count,
                          db == TIER__DB_NO_SPACE   ? "no space"
                          : db == TIER__DB_TXN_FULL ? "too large"
                                                    : "trouble");
            return tier__env_rc(base, env, db, "a commit");
        }
        if (rc)
            return rc;
    }
    return rc ? rc : TIER_EIO;
}

static int apply_shielded(tier__write *w)
{
    struct tier__shield shield;
    tier__shield_up(&shield);
    int rc = apply_all(w);
    tier__shield_down(&shield);
    return rc;
}

int tier__write_commit(tier__write **wp)
{
    tier__write *w = *wp;
    tier__store *st = w->st;
    int rc = tier__process_same(&w->st->env->process) ? w->failed : TIER_EBUSY;
    if (!rc && w->count) {
        rc = lock(w);
        tier__read_end(&w->r); /* our own snapshot would keep the pages and the map as they are */
        if (!rc && ++st->env->commits % CHECK_READERS == 0)
            tier__env_clear_slots(st->env);
        if (!rc)
            rc = apply_shielded(w);
        if (!rc) {
            tier__env_extend(st->env);
            pthread_mutex_lock(&st->env->mutex);
            st->env->damaged_count = 0;
            pthread_mutex_unlock(&st->env->mutex);
            tier__count(st->base, TIER__STORE_COMMIT, 1);
            tier__count(st->base, TIER__STORE_PUT, w->count);
        }
    }
    if (rc)
        tier__count(st->base, TIER__STORE_SKIPPED, 1);
    write_free(wp);
    return rc;
}

int tier__store_sync(tier__store *st)
{
    int rc = tier__env_usable(st->env);
    if (rc || st->read_only || st->env->read_only)
        return rc ? rc : TIER_EIO;
    if (tier__db_sync(st->env->db) == TIER__DB_OK)
        return TIER_OK;
    /* What the kernel could not write it forgets; a second sync would say OK. */
    tier__env_trouble(st->base, st->env, TIER__TROUBLE_ALL, "a sync failed");
    return TIER_EIO;
}
