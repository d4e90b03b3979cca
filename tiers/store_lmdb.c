/* store_lmdb.c - see store_lmdb.h. Handles are LMDB's own objects under our names: no wrapper to allocate. */
#include <errno.h>
#include <endian.h>
#include <lmdb.h>
#include <string.h>
#include "tiers/store_lmdb.h"

enum { MAIN_TREE = 1 }; /* what mdb_dbi_open(NULL) always gives: no handle has to be kept */

static MDB_env *env_of(const tier__db *db)
{
    return (MDB_env *)(uintptr_t)db;
}

static MDB_txn *txn_of(const tier__txn *txn)
{
    return (MDB_txn *)(uintptr_t)txn;
}

static enum tier__db_rc failure_of(int rc)
{
    switch (rc) {
    case MDB_NOTFOUND:
        return TIER__DB_ABSENT;
    case MDB_MAP_FULL:
        return TIER__DB_MAP_FULL;
    case MDB_MAP_RESIZED:
        return TIER__DB_MAP_RESIZED;
    case MDB_READERS_FULL:
        return TIER__DB_READERS_FULL;
    case MDB_TXN_FULL:
        return TIER__DB_TXN_FULL;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return TIER__DB_NO_SPACE;
    case ENOMEM:
        return TIER__DB_NO_MEMORY;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_CURSOR_FULL:
    case MDB_PAGE_FULL:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_PANIC:
    case MDB_INCOMPATIBLE:
    case MDB_BAD_TXN:
    case MDB_BAD_VALSIZE:
    case MDB_BAD_DBI:
    case MDB_BAD_RSLOT:
        return TIER__DB_DAMAGED;
    default:
        return TIER__DB_IO;
    }
}

static inline enum tier__db_rc rc_of(int rc)
{
    return rc == MDB_SUCCESS ? TIER__DB_OK : failure_of(rc);
}

static unsigned sync_flags(enum tier__sync sync)
{
    return sync == TIER__SYNC_FULL ? 0 : sync == TIER__SYNC_RELAXED ? MDB_NOMETASYNC : MDB_NOSYNC;
}

/* LMDB's own order, by bytes and then by length. Where the first words are equal it is most often the key
 * that a get looks for, and what is read next is the record behind it: asked for now, its lines come
 * together; one after the other, as header, key and value need them, they were a fifth of a hit of 64 bytes.
 */
__attribute__((noinline)) static int compare_whole(const MDB_val *a, const MDB_val *b)
{
    for (int line = 64; line <= 192; line += 64)
        __builtin_prefetch((const char *)b->mv_data + line);
    int d = memcmp(a->mv_data, b->mv_data, a->mv_size < b->mv_size ? a->mv_size : b->mv_size);
    return d ? d : (a->mv_size > b->mv_size) - (a->mv_size < b->mv_size);
}

/* The same. A get makes some 14 comparisons, and a word decides nearly all of them: 18 instructions, where
 * memcmp behind LMDB's function took 33. */
static int compare(const MDB_val *a, const MDB_val *b)
{
    uint64_t x, y;
    if (a->mv_size < sizeof x || b->mv_size < sizeof y)
        return compare_whole(a, b);
    memcpy(&x, a->mv_data, sizeof x);
    memcpy(&y, b->mv_data, sizeof y);
    if (x == y)
        return compare_whole(a, b);
    return be64toh(x) < be64toh(y) ? -1 : 1;
}

/* Sets the tree's comparison, which LMDB does at the first mdb_dbi_open and never by itself, and ours then.
 */
static int name_tree(MDB_env *env, MDB_txn **txn)
{
    MDB_dbi dbi = 0;
    int dead, rc = mdb_txn_begin(env, NULL, MDB_RDONLY, txn);
    if (rc == MDB_READERS_FULL && mdb_reader_check(env, &dead) == MDB_SUCCESS)
        rc = mdb_txn_begin(env, NULL, MDB_RDONLY, txn);
    if (rc)
        return rc;
    rc = mdb_dbi_open(*txn, NULL, 0, &dbi);
    if (!rc && dbi != MAIN_TREE)
        rc = MDB_INCOMPATIBLE;
    if (!rc)
        rc = mdb_set_compare(*txn, dbi, compare);
    if (rc)
        mdb_txn_abort(*txn);
    else
        mdb_txn_reset(*txn);
    return rc;
}

enum tier__db_rc tier__db_open(const char *path, unsigned flags, enum tier__sync sync, uint64_t map,
                               unsigned readers, tier__db **db, tier__txn **first, const char **message)
{
    MDB_env *env = NULL;
    MDB_txn *txn = NULL;
    unsigned f = MDB_NOTLS | sync_flags(sync);
    if (flags & TIER__DB_READ_ONLY)
        f |= MDB_RDONLY;
    if (flags & TIER__DB_NO_LOCK)
        f |= MDB_NOLOCK;
    int rc = mdb_env_create(&env);
    if (!rc)
        rc = mdb_env_set_maxreaders(env, readers);
    if (!rc)
        rc = mdb_env_set_mapsize(env, (size_t)map);
    if (!rc)
        rc = mdb_env_open(env, path, f, 0600);
    if (!rc)
        rc = name_tree(env, &txn);
    *message = rc ? mdb_strerror(rc) : "";
    if (rc) {
        if (env)
            mdb_env_close(env);
        enum tier__db_rc kind = rc_of(rc);
        return kind == TIER__DB_DAMAGED || kind == TIER__DB_NO_MEMORY ? kind : TIER__DB_OTHER;
    }
    *db = (tier__db *)env;
    *first = (tier__txn *)txn;
    return TIER__DB_OK;
}

void tier__db_close(tier__db *db)
{
    mdb_env_close(env_of(db));
}

int tier__db_fd(const tier__db *db)
{
    mdb_filehandle_t fd = -1;
    mdb_env_get_fd(env_of(db), &fd);
    return fd;
}

void tier__db_set_sync(tier__db *db, enum tier__sync sync)
{
    mdb_env_set_flags(env_of(db), MDB_NOSYNC | MDB_NOMETASYNC, 0);
    if (sync_flags(sync))
        mdb_env_set_flags(env_of(db), sync_flags(sync), 1);
}

enum tier__db_rc tier__db_sync(tier__db *db)
{
    int rc = mdb_env_sync(env_of(db), 1);
    return rc == MDB_SUCCESS ? TIER__DB_OK : TIER__DB_IO; /* whatever the errno: not on disk */
}

uint64_t tier__db_map(const tier__db *db)
{
    MDB_envinfo info;
    return mdb_env_info(env_of(db), &info) == MDB_SUCCESS ? info.me_mapsize : 0;
}

enum tier__db_rc tier__db_set_map(tier__db *db, uint64_t bytes)
{
    return rc_of(mdb_env_set_mapsize(env_of(db), (size_t)bytes));
}

uint64_t tier__db_news(const tier__db *db)
{
    MDB_envinfo info;
    return mdb_env_info(env_of(db), &info) == MDB_SUCCESS ? info.me_last_txnid : 0;
}

uint64_t tier__db_bytes(const tier__db *db)
{
    MDB_envinfo info;
    MDB_stat st;
    if (mdb_env_info(env_of(db), &info) != MDB_SUCCESS || mdb_env_stat(env_of(db), &st) != MDB_SUCCESS)
        return 0;
    return ((uint64_t)info.me_last_pgno + 1) * st.ms_psize;
}

void tier__db_reader_check(tier__db *db)
{
    int dead = 0;
    mdb_reader_check(env_of(db), &dead);
}

enum tier__db_rc tier__txn_begin(tier__db *db, bool write, tier__txn **txn)
{
    MDB_txn *t = NULL;
    int rc = mdb_txn_begin(env_of(db), NULL, write ? 0 : MDB_RDONLY, &t);
    *txn = (tier__txn *)t;
    return rc_of(rc);
}

enum tier__db_rc tier__txn_renew(tier__txn *txn)
{
    return rc_of(mdb_txn_renew(txn_of(txn)));
}

void tier__txn_park(tier__txn *txn)
{
    mdb_txn_reset(txn_of(txn));
}

void tier__txn_abort(tier__txn *txn)
{
    mdb_txn_abort(txn_of(txn));
}

enum tier__db_rc tier__txn_commit(tier__txn *txn)
{
    return rc_of(mdb_txn_commit(txn_of(txn)));
}

uint64_t tier__txn_id(const tier__txn *txn)
{
    return mdb_txn_id(txn_of(txn));
}

static MDB_val val_of(const void *data, size_t size)
{
    MDB_val v = {size, (void *)(uintptr_t)data};
    return v;
}

enum tier__db_rc tier__txn_get(tier__txn *txn, const void *key, size_t key_size, const void **data,
                               size_t *size)
{
    MDB_val k = val_of(key, key_size), v = {0, NULL};
    int rc = mdb_get(txn_of(txn), MAIN_TREE, &k, &v);
    *data = v.mv_data;
    *size = v.mv_size;
    return rc_of(rc);
}

enum tier__db_rc tier__txn_put(tier__txn *txn, const void *key, size_t key_size, size_t size,
                               unsigned char **to)
{
    MDB_val k = val_of(key, key_size), v = {size, NULL};
    int rc = mdb_put(txn_of(txn), MAIN_TREE, &k, &v, MDB_RESERVE);
    *to = v.mv_data;
    return rc_of(rc);
}

enum tier__db_rc tier__txn_put_new(tier__txn *txn, const void *key, size_t key_size, size_t size,
                                   unsigned char **to, const void **old, size_t *old_size)
{
    MDB_val k = val_of(key, key_size), v = {size, NULL};
    int rc = mdb_put(txn_of(txn), MAIN_TREE, &k, &v, MDB_RESERVE | MDB_NOOVERWRITE);
    bool there = rc == MDB_KEYEXIST;
    *to = there ? NULL : v.mv_data;
    *old = there ? v.mv_data : NULL;
    *old_size = there ? v.mv_size : 0;
    return there ? TIER__DB_OK : rc_of(rc);
}

enum tier__db_rc tier__txn_del(tier__txn *txn, const void *key, size_t key_size)
{
    MDB_val k = val_of(key, key_size);
    return rc_of(mdb_del(txn_of(txn), MAIN_TREE, &k, NULL));
}

enum tier__db_rc tier__curs_open(tier__txn *txn, tier__curs **c)
{
    MDB_cursor *cursor = NULL;
    int rc = mdb_cursor_open(txn_of(txn), MAIN_TREE, &cursor);
    *c = (tier__curs *)cursor;
    return rc_of(rc);
}

void tier__curs_close(tier__curs *c)
{
    mdb_cursor_close((MDB_cursor *)c);
}

enum tier__db_rc tier__curs_seek(tier__curs *c, bool next, const void *key, size_t key_size,
                                 const unsigned char **found, size_t *found_size, const void **data,
                                 size_t *size)
{
    MDB_val k = val_of(key, key_size), v = {0, NULL};
    int rc = mdb_cursor_get((MDB_cursor *)c, &k, &v, next ? MDB_NEXT : MDB_SET_RANGE);
    if (rc == MDB_SUCCESS) {
        *found = k.mv_data;
        *found_size = k.mv_size;
        *data = v.mv_data;
        *size = v.mv_size;
    }
    return rc_of(rc);
}
