/* concurrent */
/* sources: tests/unit/fake_doors.c */
/* The watcher on real directories, by inotify and by polling. */
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "coherence/watch_private.h"
#include "tests/unit/fake_doors.h"

/* ---- the cases one by one ---- */
static void each_operation(tier_cache *c)
{
    static const struct {
        const char *command, *told[4];
    } operations[] = {
        {"echo 1 >a", {"a"}},
        {"echo 2 >>a", {"a"}},
        {"touch -d @1000 a", {"a"}},
        {"chmod 600 a", {"a"}},
        {"mv a b", {"a", "b"}},
        {"echo 3 >c && mv c b", {"b"}},
        {"mkdir -p x/y/z && echo 1 >x/y/z/f", {"x", "x/y", "x/y/z", "x/y/z/f"}},
        {"echo 2 >x/y/z/f", {"x/y/z/f"}},
        {"mv x/y d/y", {"x/y", "x/y/z/f", "d/y", "d/y/z/f"}},
        {"echo 3 >d/y/z/f", {"d/y/z/f"}},
        {"mv d/y d/q && echo 4 >d/q/z/g", {"d/y/z/f", "d/q/z/f", "d/q/z/g"}},
        {"mv d/q ../out && echo 5 >../out/z/f", {"d/q", "d/q/z/f"}},
        {"mv ../out in && echo 6 >in/z/f", {"in/z/f", "in/z/g"}},
        {"rm -r in", {"in", "in/z", "in/z/f"}},
        {"mkdir in && echo 7 >in/h", {"in/h"}},
        {"rm -r in && echo 8 >in", {"in", "in/h"}},
        {"rm in && mkdir in && echo 9 >in/h", {"in", "in/h"}},
        {"chmod 700 in", {"in", "in/h"}},
        {"ln -s in link", {"link"}},
        {"rm link", {"link"}},
    };
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        forget_told(c);
        command("cd '%s' && %s", c->root[0], operations[i].command);
        settle(c);
        for (int k = 0; k < 4 && operations[i].told[k]; k++) {
            if (!was_told(c, operations[i].told[k]))
                fail_msg("%s: '%s' was not told", operations[i].command, operations[i].told[k]);
        }
        if (c->told_all)
            fail_msg("%s: told as anything", operations[i].command);
        if (was_told(c, "d/e"))
            fail_msg("%s: told what did not change", operations[i].command);
    }
}

static void test_inotify(void **state)
{
    tier_cache *c = *state;
    start(c, false);
    each_operation(c);
    assert_null(strstr(c->log, "looking at every file"));
}

static void test_polling(void **state)
{
    start(*state, true);
    each_operation(*state);
}

/* Before Linux 6.13 the second write often leaves size and time stamps as the first made them. */
static void test_polling_same_tick(void **state)
{
    tier_cache *c = *state;
    start(c, true);
    for (int i = 0; i < 200; i++) {
        put(c, "f", "one");
        settle(c);
        forget_told(c);
        put(c, "f", "two");
        settle(c);
        assert_true(was_told(c, "f"));
    }
}

static void test_left_out(void **state)
{
    for (int polling = 0; polling < 2; polling++) {
        tier_cache *c = *state;
        start(c, polling);
        forget_told(c);
        put(c, ".git/index", "1");
        put(c, "cache/data", "1");
        put(c, "e", "1");
        settle(c);
        assert_true(was_told(c, "e"));
        assert_false(was_told(c, ".git/index"));
        assert_false(was_told(c, "cache/data"));
        for (size_t i = 0; i < c->told_count; i++)
            assert_null(strstr(c->told[i], ".sync-"));
        command("cd '%s' && ! ls -A cache | grep sync", c->root[0]);
        command("cd '%s' && rm e cache/data .git/index", c->root[0]);
        tier__watch_close(&c->watch);
    }
}

static void test_nested_roots(void **state)
{
    tier_cache *c = *state;
    c->roots = 2;
    start(c, false);
    put(c, "gen/f", "1");
    settle(c);
    assert_true(was_told(c, "gen/f"));
    assert_true(was_told(c, "named:f"));
    command("cd '%s' && mkdir gen/s && echo 1 >gen/s/t", c->root[0]);
    settle(c);
    forget_told(c);
    put(c, "gen/s/t", "2");
    settle(c);
    assert_true(was_told(c, "gen/s/t"));
    assert_true(was_told(c, "named:s/t"));
}

static void test_root_goes_and_comes(void **state)
{
    tier_cache *c = *state;
    start(c, false);
    command("cd '%s/..' && mv root away && echo 1 >away/d/f", c->root[0]);
    settle(c);
    assert_true(c->told_all > 0);
    command("cd '%s/..' && mkdir -p root/d root/cache && echo 2 >root/d/g", c->root[0]);
    settle(c);
    forget_told(c);
    put(c, "d/g", "3");
    settle(c);
    assert_true(was_told(c, "d/g"));
    assert_int_equal(c->told_all, 0);
}

/* ---- any operations, against what the directories were before and are after ---- */
struct seen {
    char path[96], text[24];
};
struct snapshot {
    struct seen at[600];
    int count;
};

static void snap(tier_cache *c, struct snapshot *s)
{
    char line[512], full[512];
    s->count = 0;
    snprintf(
        line, sizeof line,
        "cd '%s' && find . -mindepth 1 \\( -path ./cache -o -path ./.git \\) -prune -o -printf '%%y%%P\n'",
        c->root[0]);
    FILE *list = popen(line, "r");
    assert_non_null(list);
    while (s->count < 600 && fgets(line, sizeof line, list)) {
        struct seen *e = &s->at[s->count++];
        line[strcspn(line, "\n")] = 0;
        snprintf(e->path, sizeof e->path, "%.95s", line + 1);
        snprintf(e->text, sizeof e->text, "directory");
        snprintf(full, sizeof full, "%s/%.95s", c->root[0], e->path);
        int fd = *line == 'f' ? open(full, O_RDONLY) : -1;
        ssize_t n = fd >= 0 ? read(fd, e->text, sizeof e->text - 1) : -1;
        if (n >= 0)
            e->text[n] = 0;
        if (fd >= 0)
            close(fd);
    }
    pclose(list);
}

static const struct seen *look_up(const struct snapshot *s, const char *path)
{
    for (int i = 0; i < s->count; i++) {
        if (!strcmp(s->at[i].path, path))
            return &s->at[i];
    }
    return NULL;
}

static uint64_t seed;
static unsigned pick(unsigned n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 33) % n;
}

static void any_path(tier_cache *c, char *out, size_t size)
{
    static const char *const names[] = {"p", "q", "r", "s"};
    int n = snprintf(out, size, "%s", c->root[0]);
    for (unsigned i = 1 + pick(4); i; i--)
        n += snprintf(out + n, size - (size_t)n, "/%s", names[pick(4)]);
}

static void any_operation(tier_cache *c)
{
    char a[256], b[256], text[16];
    any_path(c, a, sizeof a);
    any_path(c, b, sizeof b);
    unsigned what = pick(10);
    if (what < 4) { /* one of few texts of one length: same size, often within one clock tick */
        int fd = open(a, O_WRONLY | O_CREAT, 0644);
        snprintf(text, sizeof text, "text%u", pick(4));
        if (fd >= 0) {
            assert_int_equal(write(fd, text, 5), 5);
            close(fd);
        }
    } else if (what < 6) {
        (void)!mkdir(a, 0755);
    } else if (what < 9) {
        (void)!rename(a, b);
    } else if (unlink(a) && rmdir(a)) {
        return;
    }
}

static void any_operations(tier_cache *c, unsigned rounds)
{
    struct snapshot *before = test_malloc(sizeof *before), *after = test_malloc(sizeof *after);
    for (unsigned round = 0; round < rounds; round++) {
        seed = round * 104729 + 7;
        snap(c, before);
        forget_told(c);
        for (unsigned i = 1 + pick(60); i; i--) {
            any_operation(c);
            if (!pick(8))
                tier__watch_drain(c->watch);
        }
        settle(c);
        snap(c, after);
        for (int i = 0; i < before->count; i++) {
            const struct seen *now = look_up(after, before->at[i].path);
            if ((!now || strcmp(now->text, before->at[i].text) != 0) && !was_told(c, before->at[i].path))
                fail_msg("round %u: '%s' was not told", round, before->at[i].path);
        }
        for (int i = 0; i < after->count; i++) {
            if (!look_up(before, after->at[i].path) && !was_told(c, after->at[i].path))
                fail_msg("round %u: new '%s' was not told", round, after->at[i].path);
        }
        assert_int_equal(c->told_all, 0);
    }
    test_free(before);
    test_free(after);
}

static void test_any_inotify(void **state)
{
    start(*state, false);
    any_operations(*state, 60);
}

static void test_any_polling(void **state)
{
    start(*state, true);
    any_operations(*state, 60);
}

/* ---- races, overflow, limits ---- */
enum { DEEP = 40, WIDE = 8, RACES = 1500 };
static void make_file(char *path, size_t n)
{
    strcpy(path + n, "/f");
    int fd = open(path, O_WRONLY | O_CREAT, 0644);
    if (fd >= 0)
        close(fd);
    path[n] = 0;
}

static void *make_directories(void *arg)
{
    tier_cache *c = arg;
    char path[4096];
    atomic_uint spin;
    for (int i = 0; i < WIDE; i++) {
        size_t n = (size_t)snprintf(path, sizeof path, "%s/w%d", c->root[0], i);
        for (int k = 0; k < DEEP; k++) { /* each directory gets its file at once */
            mkdir(path, 0755);
            make_file(path, n);
            n += (size_t)sprintf(path + n, "/s");
        }
    }
    for (unsigned i = 0; i < RACES;
         i++) { /* here it comes while the directory is being read, or about then */
        size_t n = (size_t)snprintf(path, sizeof path, "%s/v%u", c->root[0], i);
        mkdir(path, 0755);
        for (atomic_init(&spin, 0); atomic_load(&spin) < i * 7 % 5000;)
            atomic_fetch_add(&spin, 1);
        make_file(path, n);
    }
    atomic_store(&c->busy, false);
    return NULL;
}

static void test_new_directories_race(void **state)
{
    tier_cache *c = *state;
    pthread_t thread;
    char path[256];
    start(c, false);
    atomic_store(&c->busy, true);
    pthread_create(&thread, NULL, make_directories, c);
    while (atomic_load(&c->busy))
        tier__watch_drain(c->watch);
    pthread_join(thread, NULL);
    settle(c);
    for (int i = 0; i < WIDE; i++) {
        int n = sprintf(path, "w%d", i);
        for (int k = 0; k < DEEP; k++) {
            strcpy(path + n, "/f");
            expect(c, path);
            n += sprintf(path + n, "/s");
        }
    }
    for (int i = 0; i < RACES; i++) {
        sprintf(path, "v%d/f", i);
        expect(c, path);
    }
}

static long queue_limit(void)
{
    long n = 16384;
    FILE *f = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
    if (f) {
        if (fscanf(f, "%ld", &n) != 1)
            n = 16384;
        fclose(f);
    }
    return n;
}

static void test_overflow(void **state)
{
    tier_cache *c = *state;
    tier_stream *st;
    tier_event e = TIER_INIT(tier_event);
    long limit = queue_limit();
    if (limit > 100000)
        skip();
    assert_int_equal(tier_stream_open(c, NULL, &st), 0);
    char one[256], two[256];
    snprintf(one, sizeof one, "%s/one", c->root[0]);
    snprintf(two, sizeof two, "%s/two", c->root[0]);
    for (long i = 0; i < limit / 3 + 100; i++) { /* two names: equal neighbours would be merged */
        close(open(one, O_WRONLY | O_CREAT, 0644));
        close(open(two, O_WRONLY | O_CREAT, 0644));
        unlink(one);
        unlink(two);
    }
    command("cd '%s' && mkdir -p lost/deep && echo 1 >lost/deep/f", c->root[0]); /* its event is lost */
    settle(c);
    assert_true(c->told_all > 0);
    int rc, gaps = 0;
    while ((rc = tier_stream_next(st, 0, &e)) == 0)
        gaps += e.kind == TIER_GAP && e.lost == 0;
    assert_int_equal(rc, TIER_ETIMEOUT);
    assert_true(gaps > 0);
    forget_told(c);
    put(c, "lost/deep/f", "2");
    settle(c);
    assert_true(was_told(c, "lost/deep/f"));
    assert_int_equal(tier_stream_close(&st), 0);
}

/* ---- version control at work: what it does is told as one batch ---- */
static void drain_later(tier_cache *c)
{
    usleep(60000); /* three times watch.settle */
    tier__watch_drain(c->watch);
}

static void test_version_control(void **state)
{
    static const char *const locks[] = {".git/index.lock", ".hg/wlock", "w/index.lock"};
    tier_cache *c = *state;
    command("mkdir '%s/.hg'", c->root[0]);
    for (int i = 0; i < 3; i++) {
        if (i == 2) /* a work tree */
            command("cd '%s' && rm -r .git .hg && mkdir w && echo gitdir: w >.git", c->root[0]);
        start(c, false);
        put(c, locks[i], "");
        put(c, "d/f", "1");
        for (int k = 0; k < 3; k++) {
            drain_later(c);
            assert_false(was_told(c, "d/f"));
            assert_true(tier__watch_due(c->watch) != 0);
        }
        command("rm '%s/%s'", c->root[0], locks[i]);
        drain_later(c);
        drain_later(c);
        assert_true(was_told(c, "d/f"));
        forget_told(c);
        put(c, locks[i], "");
        put(c, "d/f", "2");
        settle(c); /* tier_sync waits for nobody */
        assert_true(was_told(c, "d/f"));
        forget_told(c);
        put(c, "d/f", "3");
        drain_later(c);
        assert_false(was_told(c, "d/f"));
        c->watch->batch.first_ms -= 10000; /* left behind by a crash */
        drain_later(c);
        assert_true(was_told(c, "d/f"));
        forget_told(c);
        command("rm '%s/%s'", c->root[0], locks[i]);
        tier__watch_close(&c->watch);
    }
}

/* Of two names exchanged by one rename the second leaves after the first came in its place. */
static void test_exchange(void **state)
{
    tier_cache *c = *state;
    char a[256], b[256];
    snprintf(a, sizeof a, "%s/a", c->root[0]);
    snprintf(b, sizeof b, "%s/b", c->root[0]);
    put(c, "a", "1");
    command("mkdir '%s'", b);
    put(c, "b/f", "1");
    start(c, false);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE), 0);
        settle(c);
        assert_true(was_told(c, "a") && was_told(c, "b"));
        forget_told(c);
        put(c, i ? "b/f" : "a/f", "2");
        settle(c);
        assert_true(was_told(c, i ? "b/f" : "a/f"));
        forget_told(c);
    }
}

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return done;
}

/* In a user name space of its own a process may lower its limits. 77: it may not make one here. */
static int with_few_watches(tier_cache *c)
{
    if (unshare(CLONE_NEWUSER) || !write_file("/proc/sys/user/max_inotify_watches", "4"))
        return 77;
    put(c, "d/e/f", "1"); /* root, cookies, d, e, gen: too many */
    if (tier__watch_open(c, NULL, &c->watch) || !tier__watch_polling(c->watch))
        return 1;
    if (!strstr(c->log, "raise fs.inotify.max_user_watches, now "))
        return 2;
    put(c, "d/e/f", "2");
    put(c, "d/g", "2");
    if (tier_sync(c, 60000) || !was_told(c, "d/e/f") || !was_told(c, "d/g"))
        return 3;
    return 0;
}

static int with_watches_running_out(tier_cache *c)
{
    if (unshare(CLONE_NEWUSER) || !write_file("/proc/sys/user/max_inotify_watches", "6"))
        return 77;
    if (tier__watch_open(c, NULL, &c->watch) || tier__watch_polling(c->watch))
        return 1;
    command("cd '%s' && mkdir -p n/o/p && echo 1 >n/o/p/f", c->root[0]);
    if (tier_sync(c, 60000) || !tier__watch_polling(c->watch) || !c->told_all)
        return 2;
    forget_told(c);
    put(c, "n/o/p/f", "2");
    if (tier_sync(c, 60000) || !was_told(c, "n/o/p/f"))
        return 3;
    return 0;
}

static void in_child(tier_cache *c, int (*body)(tier_cache *c))
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid)
        _exit(body(c));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_few_watches(void **state)
{
    in_child(*state, with_few_watches);
}

static void test_watches_running_out(void **state)
{
    in_child(*state, with_watches_running_out);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_cache, close_cache)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_inotify),         TEST(test_polling),      TEST(test_polling_same_tick),
        TEST(test_left_out),        TEST(test_nested_roots), TEST(test_root_goes_and_comes),
        TEST(test_any_inotify),     TEST(test_any_polling),  TEST(test_new_directories_race),
        TEST(test_overflow),        TEST(test_few_watches),  TEST(test_watches_running_out),
        TEST(test_version_control), TEST(test_exchange),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
