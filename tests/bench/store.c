/* store.c - the disk side against LMDB bare: hits, puts, opening. LMDB's contender holds the same keys and
 * values; where ours checks a checksum, so does it: 8 bytes of XXH3 behind the value, over the copy. */
#include <dlfcn.h>
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#define XXH_INLINE_ALL
#include <xxhash.h>
#include "tests/bench/bench.h"
#include "tiers/codec.h"
#include "tiers/store.h"

enum { KEY = 32, SUM = 8, GROUP = 1000, MOST = 16384 };
#define MAP ((size_t)16 << 30)

/* ---- keys and values: both follow from a number */
static uint64_t mix(uint64_t z)
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void key_of(uint64_t i, unsigned char key[KEY])
{
    for (uint64_t word = 0; word < KEY / 8; word++) {
        uint64_t v = mix(i * 4 + word);
        memcpy(key + word * 8, &v, 8);
    }
}

static void fill(unsigned char *to, size_t size, uint64_t i)
{
    for (size_t at = 0; at < size; at += 8) {
        uint64_t v = mix(i * 10007 + at);
        memcpy(to + at, &v, size - at < 8 ? size - at : 8);
    }
}

/* The value of record i, of C text where it is to be compressed. */
static void value_of(unsigned char *to, size_t size, uint64_t i, const char *text, size_t text_size)
{
    if (text)
        memcpy(to, text + mix(i) % (text_size - size), size);
    else
        fill(to, size, i);
}

/* ---- the same records in LMDB and in a store */
struct pair {
    struct bench *b;
    size_t size, count;
    char *raw_dir, *our_dir;
    MDB_env *env;
    MDB_txn *txn; /* kept, and renewed a hit where `renew` */
    struct tier__base base;
    tier__store *store;
    tier__read *snapshot; /* NULL: one a hit */
    bool renew;
    tier__codec *codec;
    void *library, *inflater;
    int (*inflate)(void *d, const void *in, size_t in_size, void *out, size_t out_size, size_t *actual);
    unsigned char *raw_out, *our_out;
    uint64_t raw_next, our_next; /* records that puts make */
};
enum { MAIN = 1 };

static void raw_open(struct pair *p, unsigned flags)
{
    MDB_txn *txn;
    MDB_dbi dbi;
    if (mdb_env_create(&p->env) || mdb_env_set_mapsize(p->env, MAP) ||
        mdb_env_open(p->env, p->raw_dir, MDB_NOTLS | flags, 0600) || mdb_txn_begin(p->env, NULL, 0, &txn) ||
        mdb_dbi_open(txn, NULL, 0, &dbi) || mdb_txn_commit(txn) || dbi != MAIN)
        bench_die("LMDB");
}

static void our_open(struct pair *p, enum tier__sync sync)
{
    char why[256];
    struct tier__store_options o = {.dir = p->our_dir, .sync = sync};
    if (tier__store_open(&p->base, &o, &p->store, why, sizeof why))
        bench_die(why);
}

static void begin(struct bench *b, struct pair *p, const char *name, enum tier__sync sync)
{
    static const unsigned flags[] = {
        [TIER__SYNC_FULL] = 0, [TIER__SYNC_RELAXED] = MDB_NOMETASYNC, [TIER__SYNC_NONE] = MDB_NOSYNC};
    *p = (struct pair){.b = b, .raw_out = bench_alloc(MOST + SUM), .our_out = bench_alloc(MOST + SUM)};
    tier__base_init(&p->base, NULL);
    p->raw_dir = bench_text("%s/raw %s", b->dir, name);
    p->our_dir = bench_text("%s/ours %s", b->dir, name);
    if (mkdir(p->raw_dir, 0700))
        bench_die(p->raw_dir);
    raw_open(p, flags[sync]);
    our_open(p, sync);
}

static void end(struct pair *p)
{
    tier__read_end(&p->snapshot);
    if (p->txn)
        mdb_txn_abort(p->txn);
    if (p->env)
        mdb_env_close(p->env);
    tier__store_close(&p->store);
    tier__codec_destroy(&p->codec);
    if (p->library)
        dlclose(p->library);
    free(p->raw_out);
    free(p->our_out);
    free(p->raw_dir);
    free(p->our_dir);
}

/* ---- puts */
static void raw_put(MDB_txn *txn, const unsigned char *key, void *value, size_t size)
{
    MDB_val k = {KEY, (void *)(uintptr_t)key}, v = {size, value};
    if (mdb_put(txn, MAIN, &k, &v, 0))
        bench_die("mdb_put");
}

static void raw_group(struct pair *p, size_t count)
{
    MDB_txn *txn;
    unsigned char key[KEY];
    if (mdb_txn_begin(p->env, NULL, 0, &txn))
        bench_die("mdb_txn_begin");
    for (size_t i = 0; i < count; i++) {
        key_of(p->raw_next++, key);
        raw_put(txn, key, p->raw_out, p->size + SUM);
    }
    if (mdb_txn_commit(txn))
        bench_die("mdb_txn_commit");
}

static void our_group(struct pair *p, size_t count)
{
    tier__write *w;
    unsigned char key[KEY];
    if (tier__write_begin(p->store, &w))
        bench_die("tier__write_begin");
    for (size_t i = 0; i < count; i++) {
        key_of(p->our_next++, key);
        if (tier__write_put(w, TIER__BLOB, key, KEY, p->our_out, p->size, 0))
            bench_die("tier__write_put");
    }
    if (tier__write_commit(&w))
        bench_die("tier__write_commit");
}

static uint64_t raw_groups(void *self, const struct bench_batch *batch)
{
    for (uint64_t i = 0; i < batch->count; i += GROUP)
        raw_group(self, GROUP);
    return 0;
}

static uint64_t our_groups(void *self, const struct bench_batch *batch)
{
    for (uint64_t i = 0; i < batch->count; i += GROUP)
        our_group(self, GROUP);
    return 0;
}

static uint64_t raw_singles(void *self, const struct bench_batch *batch)
{
    for (uint64_t i = 0; i < batch->count; i++)
        raw_group(self, 1);
    return 0;
}

static uint64_t our_singles(void *self, const struct bench_batch *batch)
{
    for (uint64_t i = 0; i < batch->count; i++)
        our_group(self, 1);
    return 0;
}

static void puts_race(struct bench *b, const char *name, enum tier__sync sync)
{
    struct pair p;
    begin(b, &p, name, sync);
    p.size = 1024;
    fill(p.raw_out, p.size + SUM, 1);
    fill(p.our_out, p.size, 1);
    for (int i = 0; i < (b->quick ? 1 : 30); i++) { /* a tree of some depth */
        raw_group(&p, GROUP);
        our_group(&p, GROUP);
    }
    char *grouped = bench_text("put 1 KiB in groups of %d, %s", GROUP, name);
    char *single = bench_text("put 1 KiB one by one, %s", name);
    struct bench_contender group[] = {{"LMDB", &p, raw_groups, .count = GROUP, .bytes = p.size},
                                      {"tierkit", &p, our_groups, .count = GROUP, .bytes = p.size}};
    uint64_t few = b->quick ? 10 : sync == TIER__SYNC_NONE ? 500 : 20;
    struct bench_contender one[] = {{"LMDB", &p, raw_singles, .count = few, .bytes = p.size},
                                    {"tierkit", &p, our_singles, .count = few, .bytes = p.size}};
    bench_race(b, &(struct bench_race){grouped, group, 2, .plot = sync == TIER__SYNC_NONE});
    bench_race(b, &(struct bench_race){single, one, 2, .base = NULL});
    free(grouped);
    free(single);
    end(&p);
}

/* ---- hits */
static void records_put(struct pair *p, const char *text, size_t text_size)
{
    unsigned char key[KEY];
    struct tier__buf packed;
    tier__buf_init(&packed, &p->base);
    for (size_t i = 0; i < p->count;) {
        MDB_txn *txn;
        tier__write *w;
        if (mdb_txn_begin(p->env, NULL, 0, &txn) || tier__write_begin(p->store, &w))
            bench_die("a transaction");
        for (int n = 0; n < GROUP && i < p->count; n++, i++) {
            key_of(i, key);
            value_of(p->raw_out, p->size, i, text, text_size);
            if (tier__write_put(w, TIER__BLOB, key, KEY, p->raw_out, p->size, text ? TIER__COMPRESS : 0))
                bench_die("tier__write_put");
            if (text) {
                if (tier__codec_deflate(p->codec, p->raw_out, p->size, &packed))
                    bench_die("text that does not compress");
                raw_put(txn, key, packed.data, packed.size);
            } else {
                uint64_t sum = XXH3_64bits(p->raw_out, p->size);
                memcpy(p->raw_out + p->size, &sum, SUM);
                raw_put(txn, key, p->raw_out, p->size + SUM);
            }
        }
        if (mdb_txn_commit(txn) || tier__write_commit(&w))
            bench_die("a commit");
    }
    tier__buf_fini(&packed);
}

static void raw_hit(struct pair *p, const unsigned char *key)
{
    MDB_val k = {KEY, (void *)(uintptr_t)key}, v;
    if (mdb_get(p->txn, MAIN, &k, &v))
        bench_die("mdb_get");
    if (p->inflate) {
        if (p->inflate(p->inflater, v.mv_data, v.mv_size, p->raw_out, p->size, NULL))
            bench_wrong(p->b, "LMDB's value does not inflate");
        return;
    }
    uint64_t sum;
    memcpy(p->raw_out, v.mv_data, p->size);
    memcpy(&sum, (const unsigned char *)v.mv_data + p->size, SUM);
    if (XXH3_64bits(p->raw_out, p->size) != sum)
        bench_wrong(p->b, "LMDB's value fails its checksum");
}

static uint64_t raw_hits(void *self, const struct bench_batch *batch)
{
    struct pair *p = self;
    uint64_t sum = 0, seed = mix(batch->pass);
    unsigned char key[KEY];
    for (uint64_t i = 0; i < batch->count; i++) {
        key_of(mix(seed + i) % p->count, key);
        if (p->renew && mdb_txn_renew(p->txn))
            bench_die("mdb_txn_renew");
        raw_hit(p, key);
        if (p->renew)
            mdb_txn_reset(p->txn);
        sum += p->raw_out[i % p->size];
    }
    return sum;
}

static void *our_space(void *self, size_t size)
{
    struct pair *p = self;
    return size == p->size ? p->our_out : NULL;
}

static uint64_t our_hits(void *self, const struct bench_batch *batch)
{
    struct pair *p = self;
    uint64_t sum = 0, seed = mix(batch->pass);
    unsigned char key[KEY];
    for (uint64_t i = 0; i < batch->count; i++) {
        key_of(mix(seed + i) % p->count, key);
        if (tier__store_get_into(p->store, p->snapshot, TIER__BLOB, key, KEY, our_space, p))
            bench_wrong(p->b, "a record is missing");
        sum += p->our_out[i % p->size];
    }
    return sum;
}

static void hits_with(struct pair *p, const char *what, bool renew)
{
    char *row = bench_text("hit %s, %s", what, renew ? "a snapshot each" : "one snapshot");
    struct bench_contender c[] = {{"LMDB", p, raw_hits, .bytes = p->size},
                                  {"tierkit", p, our_hits, .bytes = p->size}};
    p->renew = renew;
    if (renew)
        mdb_txn_reset(p->txn);
    else if (tier__read_begin(p->store, &p->snapshot))
        bench_die("tier__read_begin");
    bench_race(p->b, &(struct bench_race){row, c, 2, .same = true, .plot = renew});
    tier__read_end(&p->snapshot);
    free(row);
}

static void hits_of(struct bench *b, const char *what, size_t size, size_t count, const char *text,
                    size_t text_size)
{
    struct pair p;
    begin(b, &p, what, TIER__SYNC_NONE);
    p.size = size;
    p.count = b->quick ? 200 : count;
    if (text && tier__codec_create(&p.base, 1, true, &p.codec))
        bench_die("codec");
    if (text && (p.library = dlopen("libdeflate.so.0", RTLD_NOW))) {
        void *make = dlsym(p.library, "libdeflate_alloc_decompressor");
        void *call = dlsym(p.library, "libdeflate_zlib_decompress");
        void *(*create)(void);
        memcpy(&create, &make, sizeof create);
        memcpy(&p.inflate, &call, sizeof p.inflate);
        p.inflater = create();
    }
    if (text && !p.library) {
        bench_missing(b, "tierkit", "libdeflate is not installed: compressed hits are not compared");
        end(&p);
        return;
    }
    records_put(&p, text, text_size);
    if (mdb_txn_begin(p.env, NULL, MDB_RDONLY, &p.txn))
        bench_die("mdb_txn_begin");
    hits_with(&p, what, false);
    hits_with(&p, what, true);
    if (p.inflater) { /* as a libdeflate_decompressor; its library is closed by end */
        void *drop = dlsym(p.library, "libdeflate_free_decompressor");
        void (*destroy)(void *);
        memcpy(&destroy, &drop, sizeof destroy);
        destroy(p.inflater);
    }
    end(&p);
}

/* ---- opening, up to the first hit */
static void raw_close(void *self, uint32_t pass)
{
    struct pair *p = self;
    (void)pass;
    if (p->env)
        mdb_env_close(p->env);
    p->env = NULL;
}

static uint64_t raw_opening(void *self, const struct bench_batch *batch)
{
    struct pair *p = self;
    unsigned char key[KEY];
    MDB_val k = {KEY, key}, v;
    MDB_txn *txn;
    MDB_dbi dbi;
    key_of(batch->pass, key);
    if (mdb_env_create(&p->env) || mdb_env_set_mapsize(p->env, MAP) ||
        mdb_env_open(p->env, p->raw_dir, MDB_NOTLS | MDB_NOSYNC, 0600) ||
        mdb_txn_begin(p->env, NULL, MDB_RDONLY, &txn) || mdb_dbi_open(txn, NULL, 0, &dbi) ||
        mdb_get(txn, dbi, &k, &v))
        bench_die("LMDB");
    mdb_txn_abort(txn);
    return v.mv_size - SUM;
}

static void our_close(void *self, uint32_t pass)
{
    struct pair *p = self;
    (void)pass;
    tier__store_close(&p->store);
}

static uint64_t our_opening(void *self, const struct bench_batch *batch)
{
    struct pair *p = self;
    unsigned char key[KEY];
    key_of(batch->pass, key);
    our_open(p, TIER__SYNC_NONE);
    if (tier__store_get_into(p->store, NULL, TIER__BLOB, key, KEY, our_space, p))
        bench_wrong(p->b, "a record is missing");
    return p->size;
}

static void opening(struct bench *b)
{
    struct pair p;
    begin(b, &p, "open", TIER__SYNC_NONE);
    p.size = 16;
    p.count = b->quick ? 1000 : 1000000;
    records_put(&p, NULL, 0);
    uint64_t raw_bytes = 0, our_bytes = tier__store_bytes(p.store);
    MDB_stat st;
    if (mdb_env_stat(p.env, &st) == 0)
        raw_bytes = (st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages) * st.ms_psize;
    raw_close(&p, 0);
    our_close(&p, 0);
    struct bench_contender c[] = {{"LMDB", &p, raw_opening, raw_close, .count = 1},
                                  {"tierkit", &p, our_opening, our_close, .count = 1}};
    bench_race(b, &(struct bench_race){"open 1M entries, first hit", c, 2, .base = NULL});
    const char *row = "open 1M entries: disk bytes an entry of 48";
    bench_figure(b,
                 &(struct bench_figure){row, "LMDB", "B", NULL, (double)raw_bytes / (double)p.count, false});
    bench_figure(
        b, &(struct bench_figure){row, "tierkit", "B", "LMDB", (double)our_bytes / (double)p.count, false});
    end(&p);
}

/* ---- */
static char *read_text(size_t *size)
{
    static const char *const from[] = {"coherence/closure.c", "coherence/flush.c",   "coherence/observe.c",
                                       "coherence/session.c", "coherence/manager.h", "tiers/store_write.c"};
    size_t room = 1 << 20;
    char *text = bench_alloc(room);
    *size = 0;
    for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
        FILE *f = fopen(from[i], "r");
        if (!f)
            bench_die("the bench runs in the root of the source tree");
        *size += fread(text + *size, 1, room - *size, f);
        fclose(f);
    }
    return text;
}

static void run(struct bench *b)
{
    size_t text_size;
    char *text = read_text(&text_size);
    hits_of(b, "64 B", 64, 100000, NULL, 0);
    hits_of(b, "1 KiB", 1024, 50000, NULL, 0);
    hits_of(b, "16 KiB", 16384, 4000, NULL, 0);
    hits_of(b, "16 KiB compressed", 16384, 2000, text, text_size);
    puts_race(b, "no sync", TIER__SYNC_NONE);
    puts_race(b, "relaxed sync", TIER__SYNC_RELAXED);
    opening(b);
    free(text);
}

#define HIT(what, bound)                                                                                    \
    {"hit " what " with one snapshot", "hit " what ", one snapshot", "tierkit", NULL, "LMDB", '<', bound},  \
    {                                                                                                       \
        "hit " what " with a snapshot each", "hit " what ", a snapshot each", "tierkit", NULL, "LMDB", '<', \
            bound                                                                                           \
    }
static const struct bench_goal goals[] = {
    HIT("64 B", 1.3),
    HIT("1 KiB", 1.3),
    HIT("16 KiB", 1.3),
    HIT("16 KiB compressed", 1.15),
    {"put in groups, no sync", "put 1 KiB in groups of 1000, no sync", "tierkit", NULL, "LMDB", '<', 1.25},
    {"put in groups, relaxed", "put 1 KiB in groups of 1000, relaxed sync", "tierkit", NULL, "LMDB", '<',
     1.25},
    {"open", "open 1M entries, first hit", "tierkit", NULL, "LMDB", '<', 2},
    {.name = NULL},
};
const struct bench_group bench_store = {"store", "the disk side against LMDB bare", run, goals};
