/* peer_stores.c - RocksDB and SQLite, told to keep all in memory and to sync nothing. */
#include "tests/bench/peer.h"

#ifdef BENCH_ROCKSDB
#include <rocksdb/c.h>

/* Its guide for point lookups: a hash index in the blocks, Bloom filters, a block cache that holds
 * everything; no compression, no log. */
struct rocksdb {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *write;
};

static void rocksdb_want(char *error)
{
    if (error) {
        fprintf(stderr, "bench: RocksDB: %s\n", error);
        exit(2);
    }
}

static inline void rocksdb_begin(struct rocksdb *p, uint32_t thread, enum peer_op op)
{
    (void)p, (void)thread, (void)op;
}
#define rocksdb_end rocksdb_begin

static inline struct peer_view rocksdb_view(struct rocksdb *p, uint32_t thread, uint32_t k,
                                            const tier_digest *key)
{
    char *error = NULL;
    struct peer_view v = {NULL, 0, NULL};
    (void)thread, (void)k;
    rocksdb_pinnableslice_t *slice =
        rocksdb_get_pinned(p->db, p->read, (const char *)key, sizeof *key, &error);
    rocksdb_want(error);
    if (slice)
        v.data = (const unsigned char *)rocksdb_pinnableslice_value(slice, &v.size);
    v.pin = slice;
    return v;
}

static inline void rocksdb_unview(struct rocksdb *p, uint32_t thread, struct peer_view *v)
{
    (void)p, (void)thread;
    rocksdb_pinnableslice_destroy(v->pin);
}

static inline size_t rocksdb_get_out(struct rocksdb *p, uint32_t thread, uint32_t k, const tier_digest *key,
                                     unsigned char *out)
{
    struct peer_view v = rocksdb_view(p, thread, k, key);
    if (!v.data)
        return 0;
    memcpy(out, v.data, v.size);
    rocksdb_unview(p, thread, &v);
    return v.size;
}

static inline void rocksdb_put_in(struct rocksdb *p, uint32_t thread, uint32_t k, const tier_digest *key,
                                  const unsigned char *data, size_t size)
{
    char *error = NULL;
    (void)thread, (void)k;
    rocksdb_put(p->db, p->write, (const char *)key, sizeof *key, (const char *)data, size, &error);
    rocksdb_want(error);
}

static void *rocks_open(const struct peer_setup *s)
{
    struct rocksdb *p = bench_alloc(sizeof *p);
    char *error = NULL;
    uint64_t data_mb = s->w->keys * (uint64_t)(s->w->size + 100) >> 20;
    p->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(p->options, 1);
    rocksdb_options_optimize_for_point_lookup(p->options, 64 + 2 * data_mb);
    rocksdb_options_set_compression(p->options, rocksdb_no_compression);
    p->read = rocksdb_readoptions_create();
    p->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(p->write, 1);
    p->db = rocksdb_open(p->options, s->dir, &error);
    rocksdb_want(error);
    return p;
}

static void rocks_close(void *peer)
{
    struct rocksdb *p = peer;
    rocksdb_close(p->db);
    rocksdb_options_destroy(p->options);
    rocksdb_readoptions_destroy(p->read);
    rocksdb_writeoptions_destroy(p->write);
    free(p);
}

/* The loops want PEER_get and PEER_put, which are names of RocksDB's own. */
#define rocks_begin rocksdb_begin
#define rocks_end rocksdb_end
#define rocks_view rocksdb_view
#define rocks_unview rocksdb_unview
#define rocks_get rocksdb_get_out
#define rocks_put rocksdb_put_in
PEER_LOOPS(rocks, struct rocksdb)
PEER_LENDS(rocks, struct rocksdb)
const struct peer peer_rocksdb = {.name = "rocksdb",
                                  .evicts = false,
                                  .open = rocks_open,
                                  .close = rocks_close,
                                  .run = {PEER_RUNS_LENDING(rocks)}};
#else
PEER_ABSENT(rocksdb);
#endif

#ifdef BENCH_SQLITE
#include <sqlite3.h>

/* Write-ahead log, nothing synced, a page cache and a mapping that hold everything, one connection a thread,
 * statements prepared once; WITHOUT ROWID for small values alone, as its documentation advises. A batch of
 * puts is one transaction. */
struct sqlite {
    struct {
        sqlite3 *db;
        sqlite3_stmt *get, *put, *begin, *commit;
    } of[PEER_THREADS];
};

static void sqlite_want(struct sqlite *p, uint32_t thread, bool fine)
{
    if (!fine) {
        fprintf(stderr, "bench: SQLite: %s\n", sqlite3_errmsg(p->of[thread].db));
        exit(2);
    }
}

static void sqlite_step(struct sqlite *p, uint32_t thread, sqlite3_stmt *s)
{
    sqlite_want(p, thread, sqlite3_step(s) == SQLITE_DONE);
    sqlite3_reset(s);
}

static inline void sqlite_begin(struct sqlite *p, uint32_t thread, enum peer_op op)
{
    if (op == PEER_PUT)
        sqlite_step(p, thread, p->of[thread].begin);
}

static inline void sqlite_end(struct sqlite *p, uint32_t thread, enum peer_op op)
{
    if (op == PEER_PUT)
        sqlite_step(p, thread, p->of[thread].commit);
}

static inline struct peer_view sqlite_view(struct sqlite *p, uint32_t thread, uint32_t k,
                                           const tier_digest *key)
{
    sqlite3_stmt *s = p->of[thread].get;
    struct peer_view v = {NULL, 0, NULL};
    (void)k;
    sqlite3_bind_blob(s, 1, key, sizeof *key, SQLITE_STATIC);
    if (sqlite3_step(s) == SQLITE_ROW) {
        v.data = sqlite3_column_blob(s, 0);
        v.size = (size_t)sqlite3_column_bytes(s, 0);
    } else
        sqlite3_reset(s);
    return v;
}

static inline void sqlite_unview(struct sqlite *p, uint32_t thread, struct peer_view *v)
{
    (void)v;
    sqlite3_reset(p->of[thread].get);
}

static inline size_t sqlite_get(struct sqlite *p, uint32_t thread, uint32_t k, const tier_digest *key,
                                unsigned char *out)
{
    struct peer_view v = sqlite_view(p, thread, k, key);
    if (!v.data)
        return 0;
    memcpy(out, v.data, v.size);
    sqlite_unview(p, thread, &v);
    return v.size;
}

static inline void sqlite_put(struct sqlite *p, uint32_t thread, uint32_t k, const tier_digest *key,
                              const unsigned char *data, size_t size)
{
    sqlite3_stmt *s = p->of[thread].put;
    (void)k;
    sqlite3_bind_blob(s, 1, key, sizeof *key, SQLITE_STATIC);
    sqlite3_bind_blob(s, 2, data, (int)size, SQLITE_STATIC);
    sqlite_step(p, thread, s);
}

static sqlite3_stmt *sqlite_statement(struct sqlite *p, uint32_t thread, const char *text)
{
    sqlite3_stmt *s;
    sqlite_want(p, thread, sqlite3_prepare_v2(p->of[thread].db, text, -1, &s, NULL) == SQLITE_OK);
    return s;
}

static void *sqlite_open(const struct peer_setup *s)
{
    struct sqlite *p = bench_alloc(sizeof *p);
    char *file = bench_text("%s/sqlite", s->dir);
    char *table = bench_text("create table if not exists t (k blob primary key, v blob not null)%s",
                             s->w->size <= 200 ? " without rowid" : "");
    static const char *const settings =
        "pragma journal_mode = wal; pragma synchronous = off; pragma cache_size = "
        "-2000000; pragma mmap_size = 17179869184; pragma busy_timeout = 10000";
    for (uint32_t i = 0; i < PEER_THREADS; i++) {
        sqlite_want(p, i, sqlite3_open(file, &p->of[i].db) == SQLITE_OK);
        sqlite_want(p, i, sqlite3_exec(p->of[i].db, settings, NULL, NULL, NULL) == SQLITE_OK);
        sqlite_want(p, i, sqlite3_exec(p->of[i].db, table, NULL, NULL, NULL) == SQLITE_OK);
        p->of[i].get = sqlite_statement(p, i, "select v from t where k = ?");
        p->of[i].put = sqlite_statement(p, i, "insert or replace into t values (?, ?)");
        p->of[i].begin = sqlite_statement(p, i, "begin immediate");
        p->of[i].commit = sqlite_statement(p, i, "commit");
    }
    free(file);
    free(table);
    return p;
}

static void sqlite_close(void *peer)
{
    struct sqlite *p = peer;
    for (uint32_t i = 0; i < PEER_THREADS; i++) {
        sqlite3_finalize(p->of[i].get);
        sqlite3_finalize(p->of[i].put);
        sqlite3_finalize(p->of[i].begin);
        sqlite3_finalize(p->of[i].commit);
        sqlite3_close(p->of[i].db);
    }
    free(p);
}

PEER_LOOPS(sqlite, struct sqlite)
PEER_LENDS(sqlite, struct sqlite)
const struct peer peer_sqlite = {.name = "sqlite",
                                 .evicts = false,
                                 .open = sqlite_open,
                                 .close = sqlite_close,
                                 .run = {PEER_RUNS_LENDING(sqlite)},
                                 .group = 1000};
#else
PEER_ABSENT(sqlite);
#endif
