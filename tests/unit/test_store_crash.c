/* Processes around one store: kill -9, stopped writers, forks, full disks, other boots, read-only places. */
#include "tests/unit/store_util.h"
#include <sys/mount.h>
#include <sys/resource.h>
#include "tiers/checksum.h"
#include "tiers/store_dir.h"

enum { KILLS = 120, KEYS = 24 };

/* Writes for ever: in each transaction all keys get one version, and META says which. */
static void write_for_ever(struct place *p, uint64_t from)
{
    tier__store *st = util_open(p, TIER__SYNC_NONE);
    if (!st)
        _exit(3);
    for (uint64_t version = from;; version++) {
        tier__write *w = NULL;
        if (tier__write_begin(st, &w) != TIER_OK)
            _exit(4);
        for (uint64_t k = 0; k < KEYS; k++)
            if (util_put(w, TIER__BLOB, k, version) != TIER_OK)
                _exit(5);
        tier__write_put(w, TIER__META, "version", 7, &version, sizeof version, 0);
        if (tier__write_commit(&w) != TIER_OK)
            _exit(6);
    }
}

/* Every value there is whole and of the one version that META names. */
static uint64_t one_version(struct place *p)
{
    struct tier__buf value;
    tier__buf_init(&value, &p->base);
    uint64_t version = 0, got;
    tier__store *st = util_open(p, TIER__SYNC_NONE);
    assert_non_null(st);
    tier__read *r = NULL;
    assert_int_equal(tier__read_begin(st, &r), TIER_OK);
    if (tier__store_get(st, r, TIER__META, "version", 7, &value) == TIER_OK) {
        memcpy(&version, value.data, 8);
        for (uint64_t k = 0; k < KEYS; k++) {
            assert_int_equal(tier__store_get(st, r, TIER__BLOB, &k, sizeof k, &value), TIER_OK);
            assert_true(util_right(value.data, value.size, k, &got));
            assert_int_equal(got, version);
        }
    }
    tier__read_end(&r);
    tier__store_close(&st);
    tier__buf_fini(&value);
    return version;
}

static void test_kill(void **state)
{
    struct place *p = *state;
    uint64_t seed = 99, version = 0;
    for (int i = 0; i < KILLS; i++) {
        pid_t child = fork();
        if (child == 0)
            write_for_ever(p, version + 1);
        usleep((useconds_t)(util_next(&seed) % 30000));
        kill(child, SIGKILL);
        int status;
        waitpid(child, &status, 0);
        assert_true(WIFSIGNALED(status));
        uint64_t now = one_version(p);
        assert_true(now >= version);
        version = now;
    }
    assert_true(version > KILLS / 2);
    assert_int_equal(p->warnings, 0); /* nothing was quarantined */
}

/* Two processes write and read at once; one dies in the middle. */
static void test_two_processes(void **state)
{
    struct place *p = *state;
    pid_t child[2];
    for (int i = 0; i < 2; i++)
        if ((child[i] = fork()) == 0)
            write_for_ever(p, 1000000 * (uint64_t)(i + 1));
    uint64_t seen = 0, last = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t v = one_version(p);
        seen += v != last;
        last = v;
        if (i == 50)
            kill(child[0], SIGKILL);
        usleep(1000);
    }
    kill(child[1], SIGKILL);
    for (int i = 0; i < 2; i++)
        assert_int_equal(util_wait(child[i], 10), 1000 + SIGKILL);
    assert_true(seen > 3);
    one_version(p);
    assert_int_equal(p->warnings, 0);
}

static int try_put(tier__store *st, uint64_t k)
{
    tier__write *w = NULL;
    int rc = tier__write_begin(st, &w);
    if (rc)
        return rc;
    rc = util_put(w, TIER__BLOB, k, 1);
    if (rc) {
        tier__write_abort(&w);
        return rc;
    }
    return tier__write_commit(&w);
}

/* A process that was stopped with the write lock: others skip after their deadline, read on, and recover. */
static void test_stopped_writer(void **state)
{
    struct place *p = *state;
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    struct tier__store_options o = {.dir = p->dir, .sync = TIER__SYNC_NONE, .write_deadline_ms = 200};
    char why[256];
    tier__store *st = NULL;
    assert_int_equal(tier__store_open(&p->base, &o, &st, why, sizeof why), TIER_OK);
    assert_int_equal(try_put(st, 1), TIER_OK);
    pid_t child = fork();
    if (child == 0) {
        struct tier__buf value;
        tier__buf_init(&value, &p->base);
        tier__store *own = util_open(p, TIER__SYNC_NONE);
        tier__write *w = NULL;
        uint64_t k = 1;
        if (!own || tier__write_begin(own, &w) || tier__write_get(w, TIER__BLOB, &k, sizeof k, &value))
            _exit(3);
        if (write(ready[1], "x", 1) != 1)
            _exit(4);
        raise(SIGSTOP);
        util_put(w, TIER__BLOB, 2, 1);
        _exit(tier__write_commit(&w) == TIER_OK ? 0 : 5);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    int status;
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));
    int64_t before = tier__monotonic_ms();
    assert_int_equal(try_put(st, 3), TIER_EBUSY);
    assert_true(tier__monotonic_ms() - before < 5000); /* 200 asked; slow machines are no failure */
    struct tier__buf value;
    tier__buf_init(&value, &p->base);
    uint64_t k = 1;
    assert_int_equal(tier__store_get(st, NULL, TIER__BLOB, &k, sizeof k, &value), TIER_OK);
    kill(child, SIGCONT);
    assert_int_equal(util_wait(child, 10), 0);
    assert_int_equal(try_put(st, 3), TIER_OK);
    k = 2;
    assert_int_equal(tier__store_get(st, NULL, TIER__BLOB, &k, sizeof k, &value), TIER_OK);
    tier__store_close(&st);
    tier__buf_fini(&value);
    close(ready[0]);
    close(ready[1]);
}

/* A killed reader's snapshot must not make the store grow for ever. */
static void test_stale_reader(void **state)
{
    struct place *p = *state;
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    tier__store *st = util_open(p, TIER__SYNC_NONE);
    for (uint64_t k = 0; k < 20; k++)
        assert_int_equal(try_put(st, k), TIER_OK);
    pid_t child = fork();
    if (child == 0) {
        tier__store *own = util_open(p, TIER__SYNC_NONE);
        tier__read *r = NULL;
        if (!own || tier__read_begin(own, &r) || write(ready[1], "x", 1) != 1)
            _exit(3);
        pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    uint64_t at_first = 0;
    for (int i = 0; i < 600; i++) {
        uint64_t k = (uint64_t)i % 20;
        assert_int_equal(try_put(st, k), TIER_OK);
        if (i == 100)
            at_first = tier__store_bytes(st);
    }
    assert_true(tier__store_bytes(st) < at_first * 2);
    tier__store_close(&st);
    close(ready[0]);
    close(ready[1]);
}

/* The child of a fork: its parent's handle answers TIER_EBUSY, its own works, the parent's goes on. */
static void test_fork(void **state)
{
    struct place *p = *state;
    struct tier__buf value;
    tier__buf_init(&value, &p->base);
    tier__store *st = util_open(p, TIER__SYNC_NONE);
    assert_int_equal(try_put(st, 1), TIER_OK);
    tier__read *r = NULL;
    tier__write *w = NULL;
    uint64_t k = 1;
    assert_int_equal(tier__read_begin(st, &r), TIER_OK);
    assert_int_equal(tier__write_begin(st, &w), TIER_OK);
    assert_int_equal(tier__write_get(w, TIER__BLOB, &k, sizeof k, &value), TIER_OK); /* with the lock held */
    pid_t child = fork();
    if (child == 0) {
        tier__read *none = NULL;
        if (tier__store_get(st, r, TIER__BLOB, &k, sizeof k, &value) != TIER_EBUSY ||
            tier__store_get(st, NULL, TIER__BLOB, &k, sizeof k, &value) != TIER_EBUSY ||
            tier__read_begin(st, &none) != TIER_EBUSY || try_put(st, 2) != TIER_EBUSY ||
            tier__store_news(st) != 0 || tier__store_sync(st) != TIER_EBUSY)
            _exit(3);
        tier__read_end(&r);
        if (tier__write_commit(&w) != TIER_EBUSY)
            _exit(4);
        tier__store_close(&st);
        tier__store *own = util_open(p, TIER__SYNC_NONE);
        if (!own || tier__store_get(own, NULL, TIER__BLOB, &k, sizeof k, &value) != TIER_OK)
            _exit(5);
        tier__store_close(&own);
        _exit(0);
    }
    assert_int_equal(util_wait(child, 20), 0);
    assert_int_equal(tier__store_get(st, r, TIER__BLOB, &k, sizeof k, &value), TIER_OK);
    tier__read_end(&r);
    assert_int_equal(util_put(w, TIER__BLOB, 5, 1), TIER_OK);
    assert_int_equal(tier__write_commit(&w), TIER_OK);
    if ((child = fork()) == 0) { /* with nothing held: the child may write as well */
        tier__store *own = util_open(p, TIER__SYNC_NONE);
        int rc = own ? try_put(own, 6) : 1;
        tier__store_close(&own);
        _exit(rc == TIER_OK ? 0 : 3);
    }
    assert_int_equal(util_wait(child, 20), 0);
    k = 6;
    assert_int_equal(tier__store_get(st, NULL, TIER__BLOB, &k, sizeof k, &value), TIER_OK);
    assert_int_equal(try_put(st, 7), TIER_OK);
    tier__store_close(&st);
    tier__buf_fini(&value);
    assert_int_equal(p->warnings, 0);
}

/* In a child: fills until it fails. 0: it failed cleanly and all that was committed is there. */
static int fill_up(struct place *p)
{
    enum { SIZE = 50000 };
    unsigned char *data = malloc(SIZE);
    uint64_t seed = 5, stored = 0;
    struct tier__buf value;
    tier__buf_init(&value, &p->base);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (unsigned char)util_next(&seed);
    tier__store *st = util_open(p, TIER__SYNC_NONE);
    if (!st)
        return 3;
    for (int failures = 0; stored < 2000 && failures < 3;) {
        tier__write *w = NULL;
        if (tier__write_begin(st, &w) != TIER_OK)
            return 4;
        tier__write_put(w, TIER__BLOB, &stored, sizeof stored, data, SIZE, 0);
        int rc = tier__write_commit(&w);
        if (rc && rc != TIER_EIO)
            return 5;
        failures += rc != 0;
        stored += !rc;
    }
    if (stored < 10 || stored == 2000)
        return 6;
    for (uint64_t k = 0; k < stored; k++)
        if (tier__store_get(st, NULL, TIER__BLOB, &k, sizeof k, &value) != TIER_OK || value.size != SIZE ||
            memcmp(value.data, data, SIZE) != 0)
            return 7;
    tier__store_close(&st);
    tier__buf_fini(&value);
    free(data);
    return 0;
}

static void test_file_size_limit(void **state)
{
    struct place *p = *state;
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {(3 << 20) + 1000, (3 << 20) + 1000};
        setrlimit(RLIMIT_FSIZE, &limit);
        signal(SIGXFSZ, SIG_DFL); /* would end it */
        _exit(fill_up(p));
    }
    assert_int_equal(util_wait(child, 60), 0);
    tier__store *st = util_open(p, TIER__SYNC_NONE);
    assert_int_equal(try_put(st, 1), TIER_OK);
    tier__store_close(&st);
    assert_int_equal(p->warnings, 0); /* in this process: nothing was found damaged */
}

/* Whatever an open, a first commit and a close write first. */
static void test_file_size_limit_at_open(void **state)
{
    struct place *p = *state;
    for (rlim_t most = 0; most < 200000; most = most * 2 + 50) {
        pid_t child = fork();
        if (child == 0) {
            struct rlimit limit = {most, most};
            tier__store *st = NULL;
            struct tier__store_options o = {.dir = p->dir, .max_bytes = 64 << 20};
            setrlimit(RLIMIT_FSIZE, &limit);
            signal(SIGXFSZ, SIG_DFL); /* would end it */
            if (tier__store_open(&p->base, &o, &st, NULL, 0) == TIER_OK)
                try_put(st, 1);
            tier__store_close(&st);
            sigset_t pending;
            _exit(sigpending(&pending) || sigismember(&pending, SIGXFSZ));
        }
        assert_int_equal(util_wait(child, 60), 0);
    }
    tier__store *st = util_open(p, TIER__SYNC_NONE);
    assert_int_equal(try_put(st, 1), TIER_OK);
    tier__store_close(&st);
}

static void test_full_disk(void **state)
{
    struct place *p = *state;
    if (mount("none", p->dir, "tmpfs", 0, "size=4m,mode=0700") != 0)
        skip(); /* needs root */
    pid_t child = fork();
    if (child == 0)
        _exit(fill_up(p));
    int status = util_wait(child, 60);
    umount2(p->dir, MNT_DETACH);
    assert_int_equal(status, 0);
}

/* Rewrites the marker as if it came from another boot. */
static void age(struct place *p, enum tier__left left, enum tier__sync sync)
{
    char path[300], line[512];
    struct tier__state s;
    struct tier__boot here;
    tier__boot_read(&here);
    snprintf(path, sizeof path, "%s/v1", p->dir);
    int dir = open(path, O_RDONLY | O_DIRECTORY);
    tier__state_read(dir, &here, &s);
    assert_int_not_equal(s.generation, 0);
    s.left = left;
    s.sync = sync;
    assert_int_equal(tier__state_write(dir, &here, &s, false), TIER_OK);
    close(dir);
    if (left == TIER__LEFT_SUSPECT)
        return;
    strcat(path, "/state");
    int fd = open(path, O_RDWR);
    ssize_t n = read(fd, line, sizeof line - 1);
    assert_true(n > 0);
    line[n] = 0;
    char *boot = strstr(line, " boot ");
    assert_non_null(boot);
    for (int i = 6; boot[i] != ' '; i++)
        boot[i] = boot[i] == 'a' ? 'b' : boot[i] == '-' ? '-' : 'a';
    char *sum = strstr(line, " sum ");
    snprintf(sum, 24, " sum %016llx", (unsigned long long)tier__checksum(line, (size_t)(sum - line), 0));
    sum[21] = '\n';
    assert_int_equal(pwrite(fd, line, (size_t)n, 0), n);
    close(fd);
}

static void test_other_boot(void **state)
{
    static const struct {
        enum tier__left left;
        enum tier__sync sync;
        bool kept, same;
    } what[] = {
        {TIER__LEFT_CLEAN, TIER__SYNC_NONE, true, true}, /* synced when it was closed */
        {TIER__LEFT_OPEN, TIER__SYNC_FULL, true, false}, /* I10: sound, cursors mean nothing */
        {TIER__LEFT_OPEN, TIER__SYNC_RELAXED, true, false},
        {TIER__LEFT_OPEN, TIER__SYNC_NONE, false, false},    /* discarded */
        {TIER__LEFT_SUSPECT, TIER__SYNC_FULL, false, false}, /* quarantined */
    };
    struct place *p = *state;
    struct tier__buf value;
    tier__buf_init(&value, &p->base);
    for (size_t i = 0; i < sizeof what / sizeof *what; i++) {
        tier__store *st = util_open(p, TIER__SYNC_NONE);
        assert_int_equal(try_put(st, 100 + i), TIER_OK);
        uint64_t generation = tier__store_generation(st), k = 100 + i;
        tier__store_close(&st);
        age(p, what[i].left, what[i].sync);
        st = util_open(p, TIER__SYNC_NONE);
        assert_non_null(st);
        assert_int_equal(tier__store_get(st, NULL, TIER__BLOB, &k, sizeof k, &value),
                         what[i].kept ? TIER_OK : TIER_EABSENT);
        assert_int_equal(tier__store_generation(st) == generation, what[i].same);
        assert_int_equal(try_put(st, 1), TIER_OK);
        tier__store_close(&st);
    }
    tier__buf_fini(&value);
}

static unsigned count_entries(const char *dir, const char *prefix)
{
    DIR *d = opendir(dir);
    unsigned n = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        n += strncmp(e->d_name, prefix, strlen(prefix)) == 0;
    if (d)
        closedir(d);
    return n;
}

static void test_quarantine_keeps_two(void **state)
{
    struct place *p = *state;
    char path[300];
    static const char zeros[16384];
    snprintf(path, sizeof path, "%s/v1/data.mdb", p->dir);
    for (int i = 0; i < 5; i++) {
        tier__store *st = util_open(p, TIER__SYNC_NONE);
        assert_non_null(st);
        assert_int_equal(try_put(st, 1), TIER_OK);
        tier__store_close(&st);
        int fd = open(path, O_WRONLY);
        /* Within the tick of the close, and where LMDB's open does not look. */
        assert_int_equal(pwrite(fd, zeros, sizeof zeros, 2 * 4096), sizeof zeros);
        close(fd);
        assert_int_equal(count_entries(p->dir, "bad-"), i < 2 ? i : 2);
    }
    assert_int_equal(p->warnings, 4);
}

/* A place where nothing can be written, as root too: a read-only bind mount; else a directory of mode 0500.
 */
static void test_read_only_place(void **state)
{
    struct place *p = *state;
    char path[300];
    tier__store *st = util_open(p, TIER__SYNC_NONE);
    assert_int_equal(try_put(st, 1), TIER_OK);
    tier__store_close(&st);
    bool mounted = mount(p->dir, p->dir, NULL, MS_BIND, NULL) == 0;
    if (mounted && mount(NULL, p->dir, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) != 0) {
        umount2(p->dir, MNT_DETACH);
        mounted = false;
    }
    if (!mounted && geteuid() == 0)
        skip();
    snprintf(path, sizeof path, "%s/v1", p->dir);
    if (!mounted)
        assert_true(chmod(path, 0500) == 0 && chmod(p->dir, 0500) == 0);
    struct tier__store_options o = {.dir = p->dir, .read_only = true};
    char why[256] = "";
    struct tier__buf value;
    uint64_t k = 1;
    tier__buf_init(&value, &p->base);
    int open_rc = tier__store_open(&p->base, &o, &st, why, sizeof why);
    int get_rc = open_rc ? 1 : tier__store_get(st, NULL, TIER__BLOB, &k, sizeof k, &value);
    tier__store_close(&st);
    o.read_only = false;
    int write_rc = tier__store_open(&p->base, &o, &st, why, sizeof why);
    if (mounted)
        umount2(p->dir, MNT_DETACH);
    else
        chmod(p->dir, 0700), chmod(path, 0700);
    tier__buf_fini(&value);
    assert_int_equal(open_rc, TIER_OK);
    assert_int_equal(get_rc, TIER_OK);
    assert_true(write_rc == TIER_EACCESS || write_rc == TIER_EIO);
}

/* Damage while the store is open, in a child: right, or a miss, or the store gives up; never a signal. */
static void test_truncation_in_use(void **state)
{
    struct place *p = *state;
    char path[300];
    for (int i = 0; i < 30; i++) {
        tier__store *st = util_open(p, TIER__SYNC_NONE);
        for (uint64_t k = 0; k < 60; k++)
            assert_int_equal(try_put(st, k), TIER_OK);
        tier__store_close(&st);
        snprintf(path, sizeof path, "%s/v1/%s", p->dir, i % 3 ? "data.mdb" : "lock.mdb");
        pid_t child = fork();
        if (child == 0) {
            struct tier__buf value;
            tier__buf_init(&value, &p->base);
            st = util_open(p, TIER__SYNC_NONE);
            if (!st || try_put(st, 1) || truncate(path, i * 4096))
                _exit(3);
            usleep(20000); /* sizes are looked at once a tick of the clock */
            for (uint64_t k = 0; k < 60; k++) {
                uint64_t version;
                if (tier__store_get(st, NULL, TIER__BLOB, &k, sizeof k, &value) == TIER_OK &&
                    !util_right(value.data, value.size, k, &version))
                    _exit(4);
                try_put(st, k);
            }
            tier__store_close(&st);
            _exit(0);
        }
        assert_int_equal(util_wait(child, 30), 0);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, util_setup, util_teardown)
    const struct CMUnitTest tests[] = {
        T(test_kill),
        T(test_two_processes),
        T(test_stopped_writer),
        T(test_stale_reader),
        T(test_fork),
        T(test_file_size_limit),
        T(test_file_size_limit_at_open),
        T(test_full_disk),
        T(test_other_boot),
        T(test_quarantine_keeps_two),
        T(test_read_only_place),
        T(test_truncation_in_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
