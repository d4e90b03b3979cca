/* The gate: passes what LMDB wrote, names what is wrong, survives anything. And a damaged store, opened and
 * read in a child: each answer is right or a miss. */
#include "tests/unit/store_util.h"
#include "tiers/gate.h"
#include "tiers/problems.h"

enum { KEYS = 300, DAMAGES = 600, PAGE = 4096 };

/* A store with small, chunked and deleted records, and with free pages. */
static void make(struct place *p)
{
    tier__store *st = util_open(p, TIER__SYNC_NONE);
    assert_non_null(st);
    for (uint64_t round = 0; round < 6; round++) {
        tier__write *w = NULL;
        assert_int_equal(tier__write_begin(st, &w), TIER_OK);
        for (uint64_t k = round; k < KEYS; k += 1 + round) {
            enum tier__table t = (enum tier__table)(k % TIER__TABLE_COUNT);
            if (round == 3)
                assert_int_equal(tier__write_del(w, t, &k, sizeof k), TIER_OK);
            else
                assert_int_equal(util_put(w, t, k, round), TIER_OK);
        }
        assert_int_equal(tier__write_commit(&w), TIER_OK);
    }
    tier__store_close(&st);
}

static unsigned char *slurp(const char *path, size_t *size)
{
    struct stat st;
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    unsigned char *data = malloc((size_t)st.st_size);
    assert_int_equal(read(fd, data, (size_t)st.st_size), st.st_size);
    close(fd);
    *size = (size_t)st.st_size;
    return data;
}

static void spit(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0600); /* O_TRUNC would make ext4 flush at each close */
    if (fd < 0 || pwrite(fd, data, size, 0) != (ssize_t)size || ftruncate(fd, (off_t)size) != 0)
        abort();
    close(fd);
}

static int gate(struct place *p, const char *path, struct tier__gate_report *report)
{
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    int rc = tier__gate_check(&p->base, fd, report);
    close(fd);
    return rc;
}

static void test_sound(void **state)
{
    struct place *p = *state;
    struct tier__gate_report report;
    char path[300];
    make(p);
    snprintf(path, sizeof path, "%s/v1/data.mdb", p->dir);
    assert_int_equal(gate(p, path, &report), TIER_OK);
    assert_null(report.code);
    assert_true(report.pages > 100 && report.entries > KEYS / 2);
    snprintf(path, sizeof path, "%s/empty", p->dir);
    spit(path, "", 0);
    assert_int_equal(gate(p, path, &report), TIER_OK);
}

static void refused(struct place *p, const void *data, size_t size, const char *code)
{
    struct tier__gate_report report;
    char path[300];
    snprintf(path, sizeof path, "%s/copy", p->dir);
    spit(path, data, size);
    assert_int_equal(gate(p, path, &report), TIER_EDAMAGE);
    assert_string_equal(report.code, code);
    assert_non_null(tier__problem_of(report.code));
}

static size_t find_page(const unsigned char *data, size_t size, unsigned flags)
{
    for (size_t at = size - PAGE; at >= 2 * PAGE; at -= PAGE) {
        uint16_t f;
        uint64_t number;
        memcpy(&f, data + at + 10, 2);
        memcpy(&number, data + at, 8);
        if (f == flags && number == at / PAGE)
            return at;
    }
    fail_msg("no page of kind %u", flags);
    return 0;
}

static size_t newer_meta(const unsigned char *data)
{
    uint64_t a, b;
    memcpy(&a, data + 144, 8);
    memcpy(&b, data + PAGE + 144, 8);
    return b > a ? PAGE : 0;
}

/* A good store's bytes and a copy to spoil. */
struct bytes {
    struct place *p;
    unsigned char *good, *bad;
    size_t size, meta;   /* meta: where the newer meta page is */
    unsigned char *root; /* of the main tree, in bad */
};

static struct bytes load(struct place *p)
{
    struct bytes b = {.p = p};
    char path[300];
    uint64_t root;
    make(p);
    snprintf(path, sizeof path, "%s/v1/data.mdb", p->dir);
    b.good = slurp(path, &b.size);
    b.bad = malloc(b.size);
    b.meta = newer_meta(b.good);
    memcpy(&root, b.good + b.meta + 128, 8);
    b.root = b.bad + root * PAGE;
    return b;
}

static void fresh(struct bytes *b)
{
    memcpy(b->bad, b->good, b->size);
}

static void is(struct bytes *b, const char *code)
{
    refused(b->p, b->bad, b->size, code);
    fresh(b);
}

static void test_meta_named(void **state)
{
    struct bytes b = load(*state);
    uint64_t big = UINT64_MAX / 8;
    fresh(&b);
    memset(b.bad + 40, 0, 4); /* psize 0: a SIGFPE in mdb_env_open */
    is(&b, "store-gate-meta");
    b.bad[PAGE + 16] ^= 1; /* the other page's magic */
    is(&b, "store-gate-meta");
    memcpy(b.bad + b.meta + 136, &big, 8); /* last page */
    is(&b, "store-gate-truncated");
    refused(b.p, b.good, b.size / 2 / PAGE * PAGE, "store-gate-truncated");
    refused(b.p, b.good, 100, "store-gate-truncated");
    b.bad[b.meta + 88 + 32] ^= 1; /* entries */
    is(&b, "store-gate-count");
    free(b.good);
    free(b.bad);
}

static void test_pages_named(void **state)
{
    struct bytes b = load(*state);
    uint16_t one, two;
    fresh(&b);
    memcpy(&one, b.root + 18, 2);
    memcpy(&two, b.root + 20, 2);
    b.root[0] ^= 2; /* its number */
    is(&b, "store-gate-page");
    b.root[10] = 2; /* a leaf where a branch belongs */
    is(&b, "store-gate-page");
    b.root[14] ^= 1; /* odd `upper` */
    is(&b, "store-gate-page");
    memcpy(b.root + 18, b.root + 16, 2); /* two pointers to one node */
    is(&b, "store-gate-node");
    memcpy(b.root + 18, &two, 2); /* two keys swapped */
    memcpy(b.root + 20, &one, 2);
    is(&b, "store-gate-key");
    memcpy(b.root + one, b.root + two, 2); /* a child with its neighbour's keys */
    is(&b, "store-gate-key");
    memset(b.root + one, 0xff, 4); /* a child far outside */
    is(&b, "store-gate-bounds");
    memset(b.bad + find_page(b.good, b.size, 4) + 12, 0, 4); /* no pages; it may be a free one */
    struct tier__gate_report report;
    char path[300];
    snprintf(path, sizeof path, "%s/copy", b.p->dir);
    spit(path, b.bad, b.size);
    if (gate(b.p, path, &report))
        assert_string_equal(report.code, "store-gate-overflow");
    free(b.good);
    free(b.bad);
}

/* A page of the tree in the list of free ones: the next writer would overwrite it. */
static void test_free_list_named(void **state)
{
    struct bytes b = load(*state);
    uint64_t root, count, last, used = 0;
    uint16_t node, child;
    fresh(&b);
    memcpy(&root, b.good + b.meta + 80, 8);
    memcpy(&node, b.bad + root * PAGE + 16, 2);
    memcpy(&child, b.root + 18, 2);
    unsigned char *list = b.bad + root * PAGE + node + 16; /* behind node head and key */
    memcpy(&count, list, 8);
    memcpy(&last, list + 8 * count, 8);
    memcpy(&used, b.root + child, 4);
    assert_true(count >= 1 && count < 1000 && last > 1);
    memcpy(list + 8 * count, &used, 8);
    is(&b, count == 1 || used < last ? "store-gate-double" : "store-gate-free");
    free(b.good);
    free(b.bad);
}

/* One random damage. */
static void damage(unsigned char *data, size_t *size, uint64_t *seed)
{
    size_t pages = *size / PAGE, a = util_next(seed) % pages, b = util_next(seed) % pages;
    unsigned char swap[PAGE];
    switch (util_next(seed) % 8) {
    case 0:
        *size = util_next(seed) % 4 ? util_next(seed) % pages * PAGE : util_next(seed) % *size;
        break;
    case 1:
        memcpy(swap, data + a * PAGE, PAGE);
        memcpy(data + a * PAGE, data + b * PAGE, PAGE);
        memcpy(data + b * PAGE, swap, PAGE);
        break;
    case 2:
        memset(data + a * PAGE, 0, PAGE);
        break;
    case 3:
        memcpy(data + a * PAGE, data + b * PAGE, PAGE);
        break;
    case 4: /* the heads of pages, where it hurts */
        data[a * PAGE + util_next(seed) % 64] ^= (unsigned char)(1 + util_next(seed) % 255);
        break;
    case 5:
        data[util_next(seed) % (2 * PAGE)] ^= (unsigned char)(1 + util_next(seed) % 255);
        break;
    case 6:
        for (int i = 0; i < 100; i++)
            data[util_next(seed) % *size] ^= (unsigned char)(1u << util_next(seed) % 8);
        break;
    default:
        data[util_next(seed) % *size] ^= (unsigned char)(1u << util_next(seed) % 8);
    }
}

/* Opens, reads all, writes, reads again, repairs. Exit status 0: right values or misses, the rest worked. */
static int use(struct place *p, bool repair)
{
    struct tier__buf value;
    tier__buf_init(&value, &p->base);
    for (int round = 0; round < 2; round++) {
        tier__store *st = util_open(p, TIER__SYNC_NONE);
        if (!st)
            return 3;
        for (uint64_t k = 0; k < KEYS; k++) {
            uint64_t version;
            int rc =
                tier__store_get(st, NULL, (enum tier__table)(k % TIER__TABLE_COUNT), &k, sizeof k, &value);
            if (rc == TIER_OK && !util_right(value.data, value.size, k, &version))
                return 4;
        }
        tier__write *w = NULL;
        if (tier__write_begin(st, &w) == TIER_OK) {
            for (uint64_t k = 0; k < KEYS; k += 7)
                if (util_put(w, (enum tier__table)(k % TIER__TABLE_COUNT), k, 9) != TIER_OK)
                    return 5;
            tier__write_commit(&w);
        }
        tier__store_close(&st);
    }
    tier__buf_fini(&value);
    uint64_t deleted, records;
    bool aside;
    if (!repair) /* each sync costs more than all the rest */
        return 0;
    if (tier__store_repair(&p->base, p->dir, &deleted, &aside) != TIER_OK ||
        tier__store_check(&p->base, p->dir, true, NULL, NULL, &records) != TIER_OK)
        return 6;
    return 0;
}

static void test_damaged_stores(void **state)
{
    struct place *p = *state;
    char path[300];
    size_t size;
    uint64_t seed = 20261121;
    make(p);
    snprintf(path, sizeof path, "%s/v1/data.mdb", p->dir);
    unsigned char *good = slurp(path, &size), *bad = malloc(size);
    for (int i = 0; i < DAMAGES; i++) {
        uint64_t at = seed;
        size_t bad_size = size;
        memcpy(bad, good, size);
        damage(bad, &bad_size, &seed);
        snprintf(path, sizeof path, "%s/v1/data.mdb", p->dir);
        spit(path, bad, bad_size);
        pid_t child = fork();
        if (child == 0)
            _exit(use(p, i % 8 == 0));
        int status = util_wait(child, 60);
        if (status)
            fail_msg("damage %d (seed %llu): status %d", i, (unsigned long long)at, status);
    }
    free(good);
    free(bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sound, util_setup, util_teardown),
        cmocka_unit_test_setup_teardown(test_meta_named, util_setup, util_teardown),
        cmocka_unit_test_setup_teardown(test_pages_named, util_setup, util_teardown),
        cmocka_unit_test_setup_teardown(test_free_list_named, util_setup, util_teardown),
        cmocka_unit_test_setup_teardown(test_damaged_stores, util_setup, util_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
