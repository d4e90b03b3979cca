/* peer_dbm.c - the in-memory caches of the DBM family: tkrzw's CacheDBM and Kyoto Cabinet's CacheDB. Both are
 * sharded by themselves and copy out under a shard's lock; neither lends. */
#include "tests/bench/peer.h"

#ifdef BENCH_TKRZW
#include <tkrzw_langc.h>

struct tkrzw {
    TkrzwDBM *dbm;
};

static inline void tkrzw_begin(struct tkrzw *p, uint32_t thread, enum peer_op op)
{
    (void)p, (void)thread, (void)op;
}
#define tkrzw_end tkrzw_begin

struct tkrzw_copy {
    unsigned char *out;
    int32_t size;
};

/* tkrzw_dbm_get gives a copy in memory of its own; a processor copies to where it is wanted. */
static const char *tkrzw_copy(void *arg, const char *key, int32_t key_size, const char *value, int32_t size,
                              int32_t *new_size)
{
    struct tkrzw_copy *c = arg;
    (void)key, (void)key_size, (void)new_size;
    if (value && size <= PEER_VALUE_MAX) {
        memcpy(c->out, value, (size_t)size);
        c->size = size;
    }
    return TKRZW_REC_PROC_NOOP;
}

static inline size_t tkrzw_get(struct tkrzw *p, uint32_t thread, uint32_t k, const tier_digest *key,
                               unsigned char *out)
{
    struct tkrzw_copy c = {out, 0};
    (void)thread, (void)k;
    tkrzw_dbm_process(p->dbm, (const char *)key, sizeof *key, tkrzw_copy, &c, false);
    return (size_t)c.size;
}

static inline void tkrzw_put(struct tkrzw *p, uint32_t thread, uint32_t k, const tier_digest *key,
                             const unsigned char *data, size_t size)
{
    (void)thread, (void)k;
    if (!tkrzw_dbm_set(p->dbm, (const char *)key, sizeof *key, (const char *)data, (int32_t)size, true))
        bench_die("tkrzw");
}

static void *tkrzw_open(const struct peer_setup *s)
{
    struct tkrzw *p = bench_alloc(sizeof *p);
    /* The capacity also sizes its buckets. Without eviction it gets room to spare, as its shards fill
     * unevenly. */
    char *settings = bench_text("dbm=CacheDBM,cap_rec_num=%u", s->keep ? s->keep : 2 * s->w->keys);
    p->dbm = tkrzw_dbm_open("", true, settings);
    free(settings);
    if (!p->dbm)
        bench_die("tkrzw");
    return p;
}

static void tkrzw_close(void *peer)
{
    struct tkrzw *p = peer;
    tkrzw_dbm_close(p->dbm);
    free(p);
}

PEER_LOOPS(tkrzw, struct tkrzw)
const struct peer peer_tkrzw = {
    .name = "tkrzw", .evicts = true, .open = tkrzw_open, .close = tkrzw_close, .run = {PEER_RUNS(tkrzw)}};
#else
PEER_ABSENT(tkrzw);
#endif

#ifdef BENCH_KYOTO
#include <kclangc.h>

static inline void kyoto_begin(KCDB *p, uint32_t thread, enum peer_op op)
{
    (void)p, (void)thread, (void)op;
}
#define kyoto_end kyoto_begin

static inline size_t kyoto_get(KCDB *p, uint32_t thread, uint32_t k, const tier_digest *key,
                               unsigned char *out)
{
    (void)thread, (void)k;
    int32_t size = kcdbgetbuf(p, (const char *)key, sizeof *key, (char *)out, PEER_VALUE_MAX);
    return size < 0 ? 0 : (size_t)size;
}

static inline void kyoto_put(KCDB *p, uint32_t thread, uint32_t k, const tier_digest *key,
                             const unsigned char *data, size_t size)
{
    (void)thread, (void)k;
    if (!kcdbset(p, (const char *)key, sizeof *key, (const char *)data, size))
        bench_die("Kyoto Cabinet");
}

static void *kyoto_open(const struct peer_setup *s)
{
    KCDB *p = kcdbnew();
    /* Its documentation: about as many buckets as records, or up to twice. */
    char *name = s->keep ? bench_text("*#bnum=%u#capcnt=%u", 2 * s->keep, s->keep)
                         : bench_text("*#bnum=%u", 2 * s->w->keys);
    if (!kcdbopen(p, name, KCOWRITER | KCOCREATE))
        bench_die("Kyoto Cabinet");
    free(name);
    return p;
}

static void kyoto_close(void *peer)
{
    kcdbclose(peer);
    kcdbdel(peer);
}

PEER_LOOPS(kyoto, KCDB)
const struct peer peer_kyoto = {
    .name = "kyoto", .evicts = true, .open = kyoto_open, .close = kyoto_close, .run = {PEER_RUNS(kyoto)}};
#else
PEER_ABSENT(kyoto);
#endif
