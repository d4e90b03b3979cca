/* peer_lmdb.c - raw LMDB, and one file a value. Neither syncs here: what is measured is memory; both find all
 * their pages cached. */
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tests/bench/peer.h"

/* ---- LMDB: a read transaction a thread, reset and renewed around each read, as its documentation advises
 * for many short reads. A batch of puts is one transaction; a put among gets is its own, as a get must see
 * it. */
struct lmdb {
    MDB_env *env;
    MDB_dbi dbi;
    MDB_txn *read[PEER_THREADS], *write;
};

static void lmdb_want(int rc)
{
    if (rc) {
        fprintf(stderr, "bench: LMDB: %s\n", mdb_strerror(rc));
        exit(2);
    }
}

static inline void lmdb_begin(struct lmdb *p, uint32_t thread, enum peer_op op)
{
    (void)thread;
    if (op == PEER_PUT)
        lmdb_want(mdb_txn_begin(p->env, NULL, 0, &p->write));
}

static inline void lmdb_end(struct lmdb *p, uint32_t thread, enum peer_op op)
{
    (void)thread;
    if (op == PEER_PUT) {
        lmdb_want(mdb_txn_commit(p->write));
        p->write = NULL;
    }
}

static inline struct peer_view lmdb_view(struct lmdb *p, uint32_t thread, uint32_t k, const tier_digest *key)
{
    MDB_val name = {sizeof *key, (void *)(uintptr_t)key}, v = {0, NULL};
    (void)k;
    lmdb_want(mdb_txn_renew(p->read[thread]));
    if (mdb_get(p->read[thread], p->dbi, &name, &v))
        mdb_txn_reset(p->read[thread]);
    return (struct peer_view){v.mv_data, v.mv_size, NULL};
}

static inline void lmdb_unview(struct lmdb *p, uint32_t thread, struct peer_view *v)
{
    (void)v;
    mdb_txn_reset(p->read[thread]);
}

static inline size_t lmdb_get(struct lmdb *p, uint32_t thread, uint32_t k, const tier_digest *key,
                              unsigned char *out)
{
    struct peer_view v = lmdb_view(p, thread, k, key);
    if (!v.data)
        return 0;
    memcpy(out, v.data, v.size);
    lmdb_unview(p, thread, &v);
    return v.size;
}

static inline void lmdb_put(struct lmdb *p, uint32_t thread, uint32_t k, const tier_digest *key,
                            const unsigned char *data, size_t size)
{
    MDB_val name = {sizeof *key, (void *)(uintptr_t)key}, v = {size, (void *)(uintptr_t)data};
    MDB_txn *t = p->write;
    (void)thread, (void)k;
    if (!t)
        lmdb_want(mdb_txn_begin(p->env, NULL, 0, &t));
    lmdb_want(mdb_put(t, p->dbi, &name, &v, 0));
    if (!p->write)
        lmdb_want(mdb_txn_commit(t));
}

static void *lmdb_open(const struct peer_setup *s)
{
    struct lmdb *p = bench_alloc(sizeof *p);
    MDB_txn *t;
    lmdb_want(mdb_env_create(&p->env));
    lmdb_want(mdb_env_set_mapsize(p->env, (size_t)16 << 30));
    lmdb_want(mdb_env_open(p->env, s->dir, MDB_NOTLS | MDB_NOSYNC, 0600));
    lmdb_want(mdb_txn_begin(p->env, NULL, 0, &t));
    lmdb_want(mdb_dbi_open(t, NULL, 0, &p->dbi));
    lmdb_want(mdb_txn_commit(t));
    for (int i = 0; i < PEER_THREADS; i++) {
        lmdb_want(mdb_txn_begin(p->env, NULL, MDB_RDONLY, &p->read[i]));
        mdb_txn_reset(p->read[i]);
    }
    return p;
}

static void lmdb_close(void *peer)
{
    struct lmdb *p = peer;
    for (int i = 0; i < PEER_THREADS; i++)
        mdb_txn_abort(p->read[i]);
    mdb_env_close(p->env);
    free(p);
}

PEER_LOOPS(lmdb, struct lmdb)
PEER_LENDS(lmdb, struct lmdb)
const struct peer peer_lmdb = {.name = "lmdb",
                               .evicts = false,
                               .open = lmdb_open,
                               .close = lmdb_close,
                               .run = {PEER_RUNS_LENDING(lmdb)},
                               .group = 1000};

/* ---- files: 256 directories, opened once; put writes beside and renames. To make one takes 110 us (ext4).
 */
struct files {
    int dir[256];
};

static inline void files_begin(struct files *p, uint32_t thread, enum peer_op op)
{
    (void)p, (void)thread, (void)op;
}
#define files_end files_begin

static inline void files_name(const tier_digest *key, char name[40])
{
    static const char digit[] = "0123456789abcdef";
    for (int i = 0; i < 16; i++) {
        name[2 * i] = digit[key->byte[i + 1] >> 4];
        name[2 * i + 1] = digit[key->byte[i + 1] & 15];
    }
    name[32] = 0;
}

static inline size_t files_get(struct files *p, uint32_t thread, uint32_t k, const tier_digest *key,
                               unsigned char *out)
{
    char name[40];
    (void)thread, (void)k;
    files_name(key, name);
    int fd = openat(p->dir[key->byte[0]], name, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? 0 : read(fd, out, PEER_VALUE_MAX);
    if (fd >= 0)
        close(fd);
    return size < 0 ? 0 : (size_t)size;
}

static inline void files_put(struct files *p, uint32_t thread, uint32_t k, const tier_digest *key,
                             const unsigned char *data, size_t size)
{
    char name[40], beside[40];
    int dir = p->dir[key->byte[0]];
    (void)k;
    files_name(key, name);
    memcpy(beside, "new0", 5);
    beside[3] = (char)('0' + thread);
    int fd = openat(dir, beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size || close(fd) || renameat(dir, beside, dir, name))
        bench_die("a file");
}

static void *files_open(const struct peer_setup *s)
{
    struct files *p = bench_alloc(sizeof *p);
    for (int i = 0; i < 256; i++) {
        char *dir = bench_text("%s/%02x", s->dir, i);
        if (mkdir(dir, 0700) || (p->dir[i] = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
            bench_die(dir);
        free(dir);
    }
    return p;
}

static void files_close(void *peer)
{
    struct files *p = peer;
    for (int i = 0; i < 256; i++)
        close(p->dir[i]);
    free(p);
}

PEER_LOOPS(files, struct files)
const struct peer peer_files = {
    .name = "files", .open = files_open, .close = files_close, .run = {PEER_RUNS(files)}, .most = 8192};
