/* concurrent */
/* The store against a map in memory, two handles, growth, markers, locks within a process, frames. */
#include "tests/unit/store_util.h"
#include <pthread.h>
#include <sys/statvfs.h>
#include "tiers/store_frame.h"

enum { KEYS = 150, STEPS = 900 };

struct model {
    int64_t version[KEYS]; /* -1: absent */
};

static enum tier__table table_of(uint64_t key)
{
    return (enum tier__table)(key % TIER__TABLE_COUNT);
}

static void expect(int rc, const struct tier__buf *value, uint64_t key, int64_t version)
{
    uint64_t got = 0;
    if (version < 0) {
        assert_int_equal(rc, TIER_EABSENT);
        assert_int_equal(value->size, 0);
        return;
    }
    assert_int_equal(rc, TIER_OK);
    assert_true(util_right(value->data, value->size, key, &got));
    assert_int_equal(got, version);
    assert_int_equal(value->data[value->size], 0);
}

struct walk {
    const struct model *m;
    enum tier__table t;
    unsigned count;
};

static int on_each(void *user, const void *key, size_t key_size, const void *data, size_t size)
{
    struct walk *w = user;
    uint64_t k, version = 0;
    assert_int_equal(key_size, sizeof k);
    memcpy(&k, key, sizeof k);
    assert_true(k < KEYS && table_of(k) == w->t && util_right(data, size, k, &version));
    assert_int_equal(version, w->m->version[k]);
    w->count++;
    return 0;
}

struct found {
    unsigned count;
    char code[64];
};

static void on_problem(void *user, const struct tier__store_problem *q)
{
    struct found *f = user;
    snprintf(f->code, sizeof f->code, "%s", q->code);
    f->count++;
}

static void compare_all(tier__store *st, const struct model *m, struct tier__buf *value)
{
    tier__read *r = NULL;
    unsigned present = 0, met = 0;
    assert_int_equal(tier__read_begin(st, &r), TIER_OK);
    for (uint64_t k = 0; k < KEYS; k++) {
        expect(tier__store_get(st, r, table_of(k), &k, sizeof k, value), value, k, m->version[k]);
        present += m->version[k] >= 0;
    }
    tier__read_end(&r);
    for (int t = 0; t < TIER__TABLE_COUNT; t++) {
        struct walk w = {m, (enum tier__table)t, 0};
        assert_int_equal(tier__store_each(st, (enum tier__table)t, on_each, &w), 0);
        met += w.count;
    }
    assert_int_equal(met, present);
}

/* One transaction of random puts and deletes, committed or aborted. */
static void transaction(tier__store *st, struct model *m, uint64_t *seed, struct tier__buf *value)
{
    struct model next = *m;
    tier__write *w = NULL;
    assert_int_equal(tier__write_begin(st, &w), TIER_OK);
    unsigned n = util_next(seed) % 30;
    for (unsigned i = 0; i < n; i++) {
        uint64_t k = util_next(seed) % KEYS;
        switch (util_next(seed) % 4) {
        case 0:
            assert_int_equal(tier__write_del(w, table_of(k), &k, sizeof k), TIER_OK);
            next.version[k] = -1;
            break;
        case 1:
            expect(tier__write_get(w, table_of(k), &k, sizeof k, value), value, k, next.version[k]);
            break;
        default:
            next.version[k] = (int64_t)(util_next(seed) % 1000);
            assert_int_equal(util_put(w, table_of(k), k, (uint64_t)next.version[k]), TIER_OK);
        }
    }
    if (util_next(seed) % 5 == 0) {
        tier__write_abort(&w);
    } else {
        assert_int_equal(tier__write_commit(&w), TIER_OK);
        *m = next;
    }
    assert_null(w);
}

static void test_model(void **state)
{
    struct place *p = *state;
    struct model m;
    struct tier__buf value;
    uint64_t seed = 42;
    tier__buf_init(&value, &p->base);
    for (int k = 0; k < KEYS; k++)
        m.version[k] = -1;
    tier__store *st = util_open(p, TIER__SYNC_NONE), *other = util_open(p, TIER__SYNC_NONE);
    uint64_t generation = tier__store_generation(st);
    for (int i = 0; i < STEPS; i++) {
        transaction(util_next(&seed) % 2 ? st : other, &m, &seed, &value);
        uint64_t k = util_next(&seed) % KEYS;
        expect(tier__store_get(st, NULL, table_of(k), &k, sizeof k, &value), &value, k, m.version[k]);
        if (i % 40 == 39) {
            compare_all(other, &m, &value);
            tier__store_close(&st); /* the other keeps the environment */
            compare_all(other, &m, &value);
            if (i % 80 == 79)
                tier__store_close(&other);
            st = util_open(p, TIER__SYNC_NONE);
            if (!other)
                other = util_open(p, TIER__SYNC_NONE);
            compare_all(st, &m, &value);
        }
    }
    assert_int_equal(tier__store_generation(st), generation);
    tier__store_close(&st);
    tier__store_close(&other);
    tier__store_close(&other); /* NULL is fine */
    uint64_t records;
    struct found found = {0};
    assert_int_equal(tier__store_check(&p->base, p->dir, true, on_problem, &found, &records), TIER_OK);
    assert_int_equal(found.count, 0); /* and so no chunk of a replaced value was left */
    uint64_t present = 0;
    for (int k = 0; k < KEYS; k++)
        present += m.version[k] >= 0;
    assert_int_equal(records, present);
    assert_int_equal(p->warnings, 0);
    tier__buf_fini(&value);
}

static void test_sizes(void **state)
{
    struct place *p = *state;
    static const size_t around[] = {0,     1,     1023,  1024,  2000,  4080,  16300,  16340,   16368,
                                    20000, 32768, 65472, 65520, 65536, 99999, 131072, 1000000, 3000001};
    struct tier__buf value;
    unsigned char *data = malloc(3000002);
    tier__buf_init(&value, &p->base);
    tier__store *st = util_open(p, TIER__SYNC_NONE);
    for (size_t i = 0; i < sizeof around / sizeof *around; i++) {
        for (int flags = 0; flags <= TIER__COMPRESS; flags++) {
            for (int d = -1; d <= 1; d++) {
                size_t size = around[i] + (size_t)(d < 0 && !around[i] ? 0 : d);
                char key[TIER__KEY_MAX];
                size_t n = i % 2 ? TIER__KEY_MAX : 3;
                memset(key, 'k', sizeof key);
                for (size_t j = 0; j < size; j++) /* the middle packs, the rest does not */
                    data[j] = (unsigned char)(j * 2654435761u >> (j % 3 * 8));
                tier__write *w = NULL;
                assert_int_equal(tier__write_begin(st, &w), TIER_OK);
                assert_int_equal(tier__write_put(w, TIER__BLOB, key, n, data, size, flags), TIER_OK);
                assert_int_equal(tier__write_get(w, TIER__BLOB, key, n, &value), TIER_OK);
                assert_int_equal(value.size, size);
                assert_int_equal(tier__write_commit(&w), TIER_OK);
                assert_int_equal(tier__store_get(st, NULL, TIER__BLOB, key, n, &value), TIER_OK);
                assert_int_equal(value.size, size);
                if (size)
                    assert_memory_equal(value.data, data, size);
            }
        }
    }
    tier__write *w = NULL;
    assert_int_equal(tier__write_begin(st, &w), TIER_OK);
    assert_int_equal(tier__write_put(w, TIER__BLOB, "", 0, "", 0, 0), TIER_EINVAL);
    assert_int_equal(tier__write_put(w, TIER__BLOB, data, TIER__KEY_MAX + 1, "", 0, 0), TIER_EINVAL);
    assert_int_equal(tier__write_commit(&w), TIER_OK);
    tier__store_close(&st);
    tier__buf_fini(&value);
    free(data);
}

/* Large records fill whole pages: what is lost to LMDB's rounding stays small. */
static void test_frames_fit_pages(void **state)
{
    (void)state;
    for (uint32_t size = 100; size < 3000000; size = size * 21 / 20 + 13) {
        struct tier__frame f = {.key_size = 32, .plain = size, .stored = size};
        tier__frame_plan(&f);
        size_t left = size, pages = 0, chunks = 0;
        for (; left; chunks++) {
            uint32_t part = tier__frame_part(&f, left);
            size_t record = f.head + part;
            assert_true(part > 0 && part <= left && record <= TIER__RECORD_MAX);
            pages += record > 1900 ? (record + 16 + 4095) / 4096 : 0;
            left -= part;
        }
        assert_int_equal(chunks, f.chunks);
        if (size > 20000)
            assert_true(pages * 4096 < size + size / 50 + 4096);
    }
}

static void test_growth_and_limit(void **state)
{
    struct place *p = *state;
    enum { SIZE = 100000, COUNT = 300 };
    struct tier__store_options o = {.dir = p->dir, .sync = TIER__SYNC_NONE, .max_bytes = 24 << 20};
    char why[256];
    tier__store *st = NULL;
    struct tier__buf value;
    unsigned char *data = malloc(SIZE);
    uint64_t seed = 1, k, stored = 0;
    tier__buf_init(&value, &p->base);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (unsigned char)util_next(&seed);
    assert_int_equal(tier__store_open(&p->base, &o, &st, why, sizeof why), TIER_OK);
    int rc = TIER_OK;
    for (k = 0; k < COUNT && !rc; k++) { /* 30 MB into 24 */
        tier__write *w = NULL;
        assert_int_equal(tier__write_begin(st, &w), TIER_OK);
        assert_int_equal(tier__write_put(w, TIER__BLOB, &k, sizeof k, data, SIZE, 0), TIER_OK);
        rc = tier__write_commit(&w);
        stored += !rc;
    }
    assert_int_equal(rc, TIER_EIO);
    assert_true(stored > 150);
    for (k = 0; k < stored; k++) { /* still readable, all of it */
        assert_int_equal(tier__store_get(st, NULL, TIER__BLOB, &k, sizeof k, &value), TIER_OK);
        assert_memory_equal(value.data, data, SIZE);
    }
    for (int i = 0; i < 4; i++) { /* room again: deletes need a page or two, which the last commits left */
        tier__write *w = NULL;
        assert_int_equal(tier__write_begin(st, &w), TIER_OK);
        for (k = (uint64_t)i * 20; k < (uint64_t)i * 20 + 20; k++)
            assert_int_equal(tier__write_del(w, TIER__BLOB, &k, sizeof k), TIER_OK);
        rc = tier__write_commit(&w);
    }
    tier__store_close(&st);
    struct stat s;
    char path[300];
    snprintf(path, sizeof path, "%s/v1/data.mdb", p->dir);
    assert_true(stat(path, &s) == 0 && s.st_size <= 24 << 20);
    tier__buf_fini(&value);
    free(data);
}

/* A snapshot that a thread of this process holds delays growth, never for ever, and stays true. */
static void test_snapshot_under_growth(void **state)
{
    struct place *p = *state;
    struct tier__store_options o = {.dir = p->dir, .sync = TIER__SYNC_NONE, .write_deadline_ms = 100};
    tier__store *st = NULL;
    char why[256];
    uint64_t k = 1, version;
    struct tier__buf value;
    tier__buf_init(&value, &p->base);
    assert_int_equal(tier__store_open(&p->base, &o, &st, why, sizeof why), TIER_OK);
    tier__write *w = NULL;
    assert_int_equal(tier__write_begin(st, &w), TIER_OK);
    assert_int_equal(util_put(w, TIER__BLOB, k, 5), TIER_OK);
    assert_int_equal(tier__write_commit(&w), TIER_OK);
    tier__read *r = NULL;
    assert_int_equal(tier__read_begin(st, &r), TIER_OK);
    unsigned char *big = calloc(1, 6 << 20);
    assert_int_equal(tier__write_begin(st, &w), TIER_OK);
    assert_int_equal(tier__write_put(w, TIER__BLOB, "big", 3, big, 6 << 20, 0), TIER_OK);
    assert_int_equal(tier__write_commit(&w), TIER_EBUSY);
    assert_int_equal(tier__store_get(st, r, TIER__BLOB, &k, sizeof k, &value), TIER_OK);
    assert_true(util_right(value.data, value.size, k, &version));
    tier__read_end(&r);
    assert_int_equal(tier__write_begin(st, &w), TIER_OK);
    assert_int_equal(tier__write_put(w, TIER__BLOB, "big", 3, big, 6 << 20, 0), TIER_OK);
    assert_int_equal(tier__write_commit(&w), TIER_OK);
    assert_int_equal(tier__store_get(st, NULL, TIER__BLOB, "big", 3, &value), TIER_OK);
    assert_int_equal(value.size, 6 << 20);
    tier__store_close(&st);
    tier__buf_fini(&value);
    free(big);
}

struct worker {
    tier__store *st;
    uint64_t seed;
    unsigned wrong, failed, got;
};

static void *work(void *user)
{
    struct worker *w = user;
    struct tier__buf value;
    struct tier__base base;
    tier__base_init(&base, NULL);
    tier__buf_init(&value, &base);
    for (int i = 0; i < 150; i++) {
        uint64_t k = util_next(&w->seed) % 40, version;
        tier__read *r = NULL;
        if (tier__read_begin(w->st, &r) != TIER_OK) {
            w->failed++;
            continue;
        }
        for (int j = 0; j < 5; j++, k = (k + 7) % 40) {
            int rc = tier__store_get(w->st, r, TIER__BLOB, &k, sizeof k, &value);
            w->got += !rc;
            w->wrong += rc == TIER_OK ? !util_right(value.data, value.size, k, &version) : rc != TIER_EABSENT;
        }
        tier__read_end(&r);
        if (i % 3 == 0) {
            tier__write *tx = NULL;
            if (tier__write_begin(w->st, &tx) == TIER_OK) {
                for (int j = 0; j < 3; j++, k = (k + 1) % 40)
                    util_put(tx, TIER__BLOB, k, util_next(&w->seed) % 500);
                int rc = tier__write_commit(&tx);
                w->failed +=
                    rc != TIER_OK && rc != TIER_EBUSY; /* on a busy machine the lock's deadline may pass */
            }
        }
    }
    tier__buf_fini(&value);
    return NULL;
}

static void test_threads(void **state)
{
    struct place *p = *state;
    tier__store *a = util_open(p, TIER__SYNC_NONE), *b = util_open(p, TIER__SYNC_NONE);
    pthread_t thread[4];
    struct worker w[4] = {{a, 1, 0, 0, 0}, {b, 2, 0, 0, 0}, {a, 3, 0, 0, 0}, {b, 4, 0, 0, 0}};
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, work, &w[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(w[i].wrong, 0);
        assert_int_equal(w[i].failed, 0);
        assert_true(w[i].got > 0);
    }
    tier__store_close(&a);
    tier__store_close(&b);
}

/* More transactions than LMDB's default of 126 readers, and more than the pool keeps. */
static void test_many_snapshots(void **state)
{
    struct place *p = *state;
    enum { COUNT = 400 };
    tier__store *st = util_open(p, TIER__SYNC_NONE);
    tier__read **r = calloc(COUNT, sizeof(tier__read *));
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(tier__read_begin(st, &r[i]), TIER_OK);
    for (int i = 0; i < COUNT; i++)
        tier__read_end(&r[i]);
    free(r);
    tier__store_close(&st);
}

static void put_one(tier__store *st, uint64_t k)
{
    tier__write *w = NULL;
    assert_int_equal(tier__write_begin(st, &w), TIER_OK);
    assert_int_equal(util_put(w, TIER__BLOB, k, 1), TIER_OK);
    assert_int_equal(tier__write_commit(&w), TIER_OK);
}

/* A damaged record: a miss, counted, deleted by the next transaction; check names it, repair deletes it. */
static void test_damaged_record(void **state)
{
    struct place *p = *state;
    char path[300];
    struct found found;
    struct tier__buf value;
    uint64_t records, deleted;
    bool aside;
    tier__buf_init(&value, &p->base);
    for (int by_repair = 0; by_repair < 2; by_repair++) {
        static const char mark[] = "a value that can be found in the file";
        tier__store *st = util_open(p, TIER__SYNC_NONE);
        put_one(st, 7);
        tier__write *w = NULL;
        assert_int_equal(tier__write_begin(st, &w), TIER_OK);
        assert_int_equal(tier__write_put(w, TIER__META, "marked", 6, mark, sizeof mark, 0), TIER_OK);
        assert_int_equal(tier__write_commit(&w), TIER_OK);
        tier__store_close(&st);
        snprintf(path, sizeof path, "%s/v1/data.mdb", p->dir);
        struct stat s;
        int fd = open(path, O_RDWR);
        assert_true(fd >= 0 && fstat(fd, &s) == 0);
        char *data = malloc((size_t)s.st_size);
        assert_int_equal(pread(fd, data, (size_t)s.st_size, 0), s.st_size);
        int hits = 0;
        for (off_t at = 0; at + (off_t)sizeof mark < s.st_size; at++)
            if (memcmp(data + at, mark, sizeof mark) == 0) {
                assert_int_equal(pwrite(fd, "A", 1, at), 1);
                hits++;
            }
        free(data);
        close(fd);
        assert_true(hits > 0);
        memset(&found, 0, sizeof found);
        assert_int_equal(tier__store_check(&p->base, p->dir, true, on_problem, &found, &records), TIER_OK);
        assert_int_equal(found.count, 1);
        assert_string_equal(found.code, "store-frame-checksum");
        if (by_repair) {
            assert_int_equal(tier__store_repair(&p->base, p->dir, &deleted, &aside), TIER_OK);
            assert_int_equal(deleted, 1);
            assert_false(aside);
        } else {
            st = util_open(p, TIER__SYNC_NONE);
            assert_int_equal(tier__store_get(st, NULL, TIER__META, "marked", 6, &value), TIER_EABSENT);
            assert_true(atomic_load(&p->base.metric[TIER__STORE_DAMAGED]) > 0);
            put_one(st, 8);
            tier__store_close(&st);
        }
        memset(&found, 0, sizeof found);
        assert_int_equal(tier__store_check(&p->base, p->dir, true, on_problem, &found, &records), TIER_OK);
        assert_int_equal(found.count, 0);
        assert_int_equal(tier__store_repair(&p->base, p->dir, &deleted, &aside), TIER_OK);
        assert_int_equal(deleted, 0);
    }
    tier__buf_fini(&value);
}

static void test_read_only(void **state)
{
    struct place *p = *state;
    struct tier__store_options o = {.dir = p->dir, .read_only = true};
    tier__store *st = NULL, *writer;
    char why[256];
    uint64_t k = 3, version;
    struct tier__buf value;
    tier__buf_init(&value, &p->base);
    assert_int_equal(tier__store_open(&p->base, &o, &st, why, sizeof why), TIER_EABSENT);
    struct stat s;
    char path[300];
    snprintf(path, sizeof path, "%s/v1", p->dir);
    assert_int_equal(stat(path, &s), -1); /* nothing was created */
    writer = util_open(p, TIER__SYNC_RELAXED);
    put_one(writer, k);
    assert_int_equal(tier__store_open(&p->base, &o, &st, why, sizeof why), TIER_OK);
    tier__write *w = NULL;
    assert_int_equal(tier__write_begin(st, &w), TIER_EIO);
    assert_int_equal(tier__store_get(st, NULL, TIER__BLOB, &k, sizeof k, &value), TIER_OK);
    uint64_t news = tier__store_news(st);
    put_one(writer, 4);
    assert_true(tier__store_news(st) != news);
    tier__store_close(&writer);
    tier__store_close(&st);
    assert_int_equal(tier__store_open(&p->base, &o, &st, why, sizeof why), TIER_OK);
    assert_int_equal(tier__store_get(st, NULL, TIER__BLOB, &k, sizeof k, &value), TIER_OK);
    assert_true(util_right(value.data, value.size, k, &version));
    tier__store_close(&st);
    tier__buf_fini(&value);
}

static void refuse(struct place *p, const char *dir, int rc)
{
    struct tier__store_options o = {.dir = dir};
    tier__store *st = NULL;
    char why[256] = "";
    assert_int_equal(tier__store_open(&p->base, &o, &st, why, sizeof why), rc);
    assert_null(st);
    assert_true(why[0] != 0);
}

static void test_directories(void **state)
{
    struct place *p = *state;
    char path[400], target[600];
    struct stat s;
    mode_t old = umask(0777); /* modes do not depend on it */
    snprintf(path, sizeof path, "%s/a/b/c", p->dir);
    struct tier__store_options o = {.dir = path};
    tier__store *st = NULL;
    char why[256];
    assert_int_equal(tier__store_open(&p->base, &o, &st, why, sizeof why), TIER_OK);
    put_one(st, 1);
    tier__store_close(&st);
    assert_int_equal(tier__store_open(&p->base, &o, &st, why, sizeof why), TIER_OK);
    tier__store_close(&st);
    umask(old);
    static const char *const file[] = {"CACHEDIR.TAG", ".gitignore", "lock",    "v1/data.mdb",
                                       "v1/lock.mdb",  "v1/lock",    "v1/state"};
    for (size_t i = 0; i < sizeof file / sizeof *file; i++) {
        snprintf(target, sizeof target, "%s/%s", path, file[i]);
        assert_int_equal(lstat(target, &s), 0);
        assert_int_equal(s.st_mode & 07777, 0600);
    }
    assert_true(stat(path, &s) == 0 && (s.st_mode & 07777) == 0700);
    snprintf(target, sizeof target, "%s/link", p->dir);
    assert_int_equal(symlink(path, target), 0);
    refuse(p, target, TIER_EKIND);
    strcat(target, "/");
    refuse(p, target, TIER_EKIND);
    snprintf(target, sizeof target, "%s/file", p->dir);
    close(open(target, O_CREAT | O_WRONLY, 0600));
    refuse(p, target, TIER_EKIND);
    snprintf(target, sizeof target, "%s/open", p->dir); /* writable by all, with things of others in it */
    assert_true(mkdir(target, 0700) == 0 && chmod(target, 0777) == 0);
    strcat(target, "/x");
    assert_int_equal(mkdir(target, 0700), 0);
    target[strlen(target) - 2] = 0;
    refuse(p, target, TIER_EKIND);
    refuse(p, "/proc/self/nothing", TIER_EABSENT);
    /* data.mdb as a link: not followed, nothing written through it; the store is started anew. */
    snprintf(target, sizeof target, "%s/v1/data.mdb", path);
    assert_int_equal(unlink(target), 0);
    snprintf(why, sizeof why, "%.200s/file", p->dir);
    assert_int_equal(symlink(why, target), 0);
    refuse(p, path, TIER_EKIND);
    assert_true(stat(why, &s) == 0 && s.st_size == 0);
}

/* The files are replaced under an open store: it writes no more, and still answers. */
static void test_lock_file_replaced(void **state)
{
    struct place *p = *state;
    char path[300];
    uint64_t k = 1;
    struct tier__buf value;
    tier__buf_init(&value, &p->base);
    tier__store *st = util_open(p, TIER__SYNC_NONE);
    put_one(st, k);
    snprintf(path, sizeof path, "%s/v1/lock.mdb", p->dir);
    assert_int_equal(unlink(path), 0);
    tier__write *w = NULL;
    assert_int_equal(tier__write_begin(st, &w), TIER_OK);
    assert_int_equal(util_put(w, TIER__BLOB, 2, 1), TIER_OK);
    assert_int_equal(tier__write_commit(&w), TIER_EIO);
    assert_int_equal(tier__store_get(st, NULL, TIER__BLOB, &k, sizeof k, &value), TIER_OK);
    assert_int_equal(tier__write_begin(st, &w), TIER_EIO);
    assert_int_equal(p->warnings, 1);
    tier__store_close(&st);
    tier__buf_fini(&value);
}

static void test_truncated_in_use(void **state)
{
    struct place *p = *state;
    char path[300];
    struct tier__buf value;
    tier__buf_init(&value, &p->base);
    tier__store *st = util_open(p, TIER__SYNC_NONE);
    for (uint64_t k = 0; k < 200; k++)
        put_one(st, k);
    uint64_t generation = tier__store_generation(st);
    snprintf(path, sizeof path, "%s/v1/data.mdb", p->dir);
    assert_int_equal(truncate(path, 4096), 0);
    usleep(20000); /* sizes are looked at once a tick of the clock */
    for (uint64_t k = 0; k < 200; k++)
        assert_int_not_equal(tier__store_get(st, NULL, TIER__BLOB, &k, sizeof k, &value), TIER_OK);
    assert_int_equal(tier__store_news(st), 0);
    tier__store_close(&st);
    st = util_open(p, TIER__SYNC_NONE);
    assert_non_null(st);
    assert_int_not_equal(tier__store_generation(st), generation);
    put_one(st, 1);
    tier__store_close(&st);
    tier__buf_fini(&value);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, util_setup, util_teardown)
    const struct CMUnitTest tests[] = {
        T(test_model),     T(test_sizes),          T(test_frames_fit_pages),      T(test_growth_and_limit),
        T(test_threads),   T(test_many_snapshots), T(test_snapshot_under_growth), T(test_damaged_record),
        T(test_read_only), T(test_directories),    T(test_lock_file_replaced),    T(test_truncated_in_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
