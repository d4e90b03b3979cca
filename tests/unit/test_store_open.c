/* Opening a store: what is looked at before LMDB has the files, and that it got the ones that were. */
#include "tests/unit/store_util.h"
#include <dlfcn.h>
#include <lmdb.h>
#include "tiers/store_dir.h"

/* LMDB's own, after what a test wants to happen right before; begun counts transactions. */
static void (*before_open)(struct place *p);
static struct place *of;
static unsigned begun;

static void *real(const char *name)
{
    void *f = dlsym(RTLD_NEXT, name);
    assert_non_null(f);
    return f;
}

int mdb_env_open(MDB_env *env, const char *path, unsigned flags, mdb_mode_t mode)
{
    int (*f)(MDB_env *, const char *, unsigned, mdb_mode_t);
    void *at = real("mdb_env_open");
    memcpy(&f, &at, sizeof f);
    if (before_open)
        before_open(of);
    return f(env, path, flags, mode);
}

int mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **txn)
{
    int (*f)(MDB_env *, MDB_txn *, unsigned, MDB_txn **);
    void *at = real("mdb_txn_begin");
    memcpy(&f, &at, sizeof f);
    begun++;
    return f(env, parent, flags, txn);
}

static void one_record(struct place *p)
{
    tier__write *w = NULL;
    tier__store *st = util_open(p, TIER__SYNC_NONE);
    assert_non_null(st);
    assert_int_equal(tier__write_begin(st, &w), TIER_OK);
    assert_int_equal(util_put(w, TIER__BLOB, 1, 1), TIER_OK);
    assert_int_equal(tier__write_commit(&w), TIER_OK);
    tier__store_close(&st);
}

static int open_rc(struct place *p)
{
    tier__store *st = NULL;
    char why[256];
    struct tier__store_options o = {.dir = p->dir, .sync = TIER__SYNC_NONE};
    int rc = tier__store_open(&p->base, &o, &st, why, sizeof why);
    tier__store_close(&st);
    return rc;
}

static bool hit(tier__store *st, struct place *p)
{
    struct tier__buf value;
    uint64_t k = 1, version = 0;
    tier__buf_init(&value, &p->base);
    bool found = tier__store_get(st, NULL, TIER__BLOB, &k, sizeof k, &value) == TIER_OK &&
                 util_right(value.data, value.size, k, &version);
    tier__buf_fini(&value);
    return found;
}

static const char *name_in(const struct place *p, const char *name)
{
    static char path[2][300];
    static int n;
    n = !n;
    snprintf(path[n], sizeof path[n], "%s/v1/%s", p->dir, name);
    return path[n];
}

static void replace_data(struct place *p)
{
    char byte;
    int from = open(name_in(p, "data.mdb"), O_RDONLY),
        to = open(name_in(p, "strikes"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    while (read(from, &byte, 1) == 1)
        assert_int_equal(write(to, &byte, 1), 1);
    close(from);
    close(to);
    assert_int_equal(rename(name_in(p, "strikes"), name_in(p, "data.mdb")), 0);
}

static void touch_data(struct place *p)
{
    assert_int_equal(utimensat(AT_FDCWD, name_in(p, "data.mdb"), NULL, 0), 0);
}

/* Left clean it is judged by its stamps, without them read as a whole: LMDB must have that very file. */
static void test_replaced_while_it_opens(void **state)
{
    struct place *p = of = *state;
    void (*const acts[])(struct place *) = {touch_data, replace_data, replace_data};
    one_record(p);
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        before_open = acts[i]; /* the last time its stamps are not those of the state file any more */
        assert_int_equal(open_rc(p), TIER_EIO);
        before_open = NULL;
        if (i == 1)
            continue;
        tier__store *st = util_open(p, TIER__SYNC_NONE); /* through the gate */
        assert_non_null(st);
        assert_true(hit(st, p));
        tier__store_close(&st);
        if (i == 0)
            one_record(p);
    }
    assert_int_equal(p->warnings, 0);
}

static void test_files_that_are_not_ours(void **state)
{
    static const char *const name[] = {"data.mdb", "lock.mdb"};
    struct place *p = *state;
    struct stat st;
    one_record(p);
    for (size_t i = 0; i < 2; i++) {
        const char *path = name_in(p, name[i]);
        assert_int_equal(chmod(path, 0666), 0);
        assert_int_equal(open_rc(p), TIER_OK);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        char other[300];
        snprintf(other, sizeof other, "%s/other", p->dir);
        assert_int_equal(link(path, other), 0);
        assert_int_equal(open_rc(p), TIER_EKIND);
        assert_int_equal(rename(other, path), 0); /* the same file: nothing is done */
        assert_int_equal(unlink(other), 0);
        assert_int_equal(rename(path, other), 0);
        assert_int_equal(symlink(other, path), 0);
        assert_int_equal(open_rc(p), TIER_EKIND);
        assert_int_equal(rename(other, path), 0);
        assert_int_equal(open_rc(p), TIER_OK);
    }
}

/* Who comes second waits for the reader table; who is alone does not ask. */
static void test_reader_table(void **state)
{
    enum { HELD_MS = 300 };
    struct place *p = *state;
    one_record(p);
    for (int others = 0; others < 2; others++) {
        int up[2];
        char byte = 0;
        assert_int_equal(pipe(up), 0);
        pid_t child = fork();
        if (child == 0) {
            tier__store *st = others ? util_open(p, TIER__SYNC_NONE) : NULL;
            int lock = open(name_in(p, "lock"), O_RDWR);
            int rc = tier__lock_take(lock, TIER__LOCK_SLOTS, F_WRLCK, 0);
            rc = write(up[1], &byte, 1) == 1 ? rc : 1;
            usleep(HELD_MS * 1000);
            _exit(rc || (others && !st));
        }
        assert_int_equal(read(up[0], &byte, 1), 1);
        int64_t from = tier__monotonic_ms();
        tier__store *st = util_open(p, TIER__SYNC_NONE);
        int64_t took = tier__monotonic_ms() - from;
        assert_non_null(st);
        assert_true(others ? took >= HELD_MS / 2 : took < HELD_MS / 2);
        assert_true(hit(st, p));
        tier__store_close(&st);
        assert_int_equal(util_wait(child, 10), 0);
        close(up[0]);
        close(up[1]);
    }
}

/* The reader that opens the tree is the first that reads: a slot more would take two system calls. */
static void test_first_reader(void **state)
{
    struct place *p = *state;
    one_record(p);
    begun = 0;
    tier__store *st = util_open(p, TIER__SYNC_NONE);
    assert_true(hit(st, p) && hit(st, p));
    assert_int_equal(begun, 1);
    tier__store_close(&st);
}

/* Slots of the dead are no reason not to open. */
static void test_dead_readers(void **state)
{
    struct place *p = *state;
    one_record(p);
    tier__store *kept = util_open(p, TIER__SYNC_NONE); /* or the next one starts the table anew */
    pid_t child = fork();
    if (child == 0) {
        tier__store *st = util_open(p, TIER__SYNC_NONE);
        tier__read *r;
        while (tier__read_begin(st, &r) == TIER_OK)
            ;
        _exit(0); /* the table is full: nothing is closed */
    }
    assert_int_equal(util_wait(child, 30), 0);
    child = fork();
    if (child == 0) {
        tier__store *st = util_open(p, TIER__SYNC_NONE);
        _exit(!st || !hit(st, p));
    }
    assert_int_equal(util_wait(child, 30), 0);
    tier__store_close(&kept);
}

/* Our comparison is LMDB's own: with that, who walks the tree meets the keys in order, and finds each. */
static void test_order(void **state)
{
    struct place *p = *state;
    tier__write *w = NULL;
    uint64_t seed = 7;
    unsigned char key[40];
    tier__store *st = util_open(p, TIER__SYNC_NONE);
    assert_int_equal(tier__write_begin(st, &w), TIER_OK);
    for (int i = 0; i < 3000; i++) { /* many share their first words, many are a part of another */
        size_t size = 1 + util_next(&seed) % sizeof key, same = util_next(&seed) % (sizeof key + 1);
        for (size_t k = 0; k < sizeof key; k++)
            key[k] = k < same ? 0x80 : (unsigned char)util_next(&seed);
        assert_int_equal(tier__write_put(w, TIER__BLOB, key, size, key, size, 0), TIER_OK);
    }
    assert_int_equal(tier__write_commit(&w), TIER_OK);
    tier__store_close(&st);

    MDB_env *env = NULL;
    MDB_txn *txn = NULL;
    MDB_dbi dbi;
    MDB_cursor *c = NULL;
    MDB_val k, v, last = {0, NULL};
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, name_in(p, ""), MDB_RDONLY, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
    assert_int_equal(mdb_cursor_open(txn, dbi, &c), 0);
    size_t count = 0;
    for (; mdb_cursor_get(c, &k, &v, MDB_NEXT) == 0; count++, last = k) {
        assert_true(!count || mdb_cmp(txn, dbi, &last, &k) < 0);
        assert_int_equal(mdb_get(txn, dbi, &k, &v), 0);
    }
    assert_true(count > 1000);
    mdb_cursor_close(c);
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, util_setup, util_teardown)
    const struct CMUnitTest tests[] = {
        T(test_replaced_while_it_opens),
        T(test_files_that_are_not_ours),
        T(test_reader_table),
        T(test_first_reader),
        T(test_dead_readers),
        T(test_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
