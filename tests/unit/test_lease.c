/* Processes that want the same thing at the same time: it is computed once; owners that die or stop delay
 * nobody longer than they may; who holds a lease waits for no other process. Every process is real. */
#include "tests/unit/process.h"
#include <pthread.h>

enum { BUILD_MS = 400, GENEROUS_MS = 20000 };

/* One byte a build in DIR/built, so that all processes together can be counted. */
static void count_build(const char *dir, char letter)
{
    char path[300];
    snprintf(path, sizeof path, "%s/built", dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, &letter, 1) != 1)
        _exit(97);
    close(fd);
}

static int builds(const struct world *w, char letter)
{
    char path[300], text[4096];
    int n = 0;
    snprintf(path, sizeof path, "%s/built", w->dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? 0 : read(fd, text, sizeof text);
    if (fd >= 0)
        close(fd);
    for (ssize_t i = 0; i < size; i++)
        n += text[i] == letter;
    return n;
}

/* Until n builds of letter have begun, by whomever. */
static void wait_for_builds(const struct world *w, char letter, int n)
{
    for (int i = 0; builds(w, letter) < n; i++) {
        assert_true(i < GENEROUS_MS / 2);
        usleep(2000);
    }
}

static void pause_ms(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    while (nanosleep(&t, &t) && errno == EINTR)
        ;
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The file's bytes in upper case, slowly. */
static int build_slow(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct world *w = user;
    tier_value v;
    char text[64];
    int rc = tier_file(s, q->path, &v);
    count_build(w->dir, q->path[0]);
    if (rc)
        return rc;
    pause_ms(BUILD_MS);
    size_t n = v.size < sizeof text ? v.size : sizeof text;
    for (size_t i = 0; i < n; i++)
        text[i] = (char)(((const char *)v.data)[i] & ~32);
    return tier_out_bytes(out, text, n);
}

static int build_fast(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    (void)s;
    (void)user;
    return tier_out_bytes(out, q->path, strlen(q->path));
}

/* p and q: each asks for the other where the input "who" names it. */
static int build_pair(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct world *w = user;
    tier_value who, v;
    count_build(w->dir, q->path[0]);
    int rc = tier_input(s, "who", &who);
    pause_ms(BUILD_MS);
    if (!rc && who.size == 1 && *(const char *)who.data == q->path[0]) {
        tier_query other = {.type = q->type, .path = q->path[0] == 'p' ? "q" : "p"};
        rc = tier_get(s, &other, &v);
    }
    return rc ? rc : tier_out_bytes(out, q->path, 1);
}

/* Fails in a process that has the input "fail", as that says. */
static int build_failing(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct world *w = user;
    count_build(w->dir, q->path[0]);
    pause_ms(BUILD_MS);
    if (w->fail == TIER_EBUILD)
        return tier_fail(s, TIER_EBUILD, "the input is no good");
    return w->fail ? tier_fail(s, w->fail, "not now") : tier_out_bytes(out, "fine", 4);
}

static const tier_type *the_slow;
static int build_holder(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct world *w = user;
    tier_value v;
    tier_query below = {.type = the_slow, .path = q->path};
    count_build(w->dir, 'h');
    int rc = tier_get(s, &below, &v);
    return rc ? rc : tier_out_bytes(out, v.data, v.size);
}

static double stat_value;
static const char *stat_name;
static void stat_each(void *user, const char *name, double value)
{
    (void)user;
    if (!strcmp(name, stat_name))
        stat_value = value;
}

static int stat_of(tier_cache *c, const char *name)
{
    stat_name = name;
    stat_value = -1;
    tier_stats(c, stat_each, NULL);
    return (int)stat_value;
}

static void put(const struct world *w, const char *name, const char *text)
{
    char path[320];
    snprintf(path, sizeof path, "%s/root/%s", w->dir, name);
    FILE *f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f))
        _exit(96);
}

/* 0: the right answer. */
static int ask(struct world *w, const tier_type *t, const char *path, const char *answer)
{
    tier_session *s;
    tier_value v;
    tier_query q = {.type = t, .path = path};
    int rc = tier_begin(w->c, NULL, &s);
    if (!rc)
        rc = tier_get(s, &q, &v);
    if (!rc && (v.size != strlen(answer) || memcmp(v.data, answer, v.size) != 0))
        rc = 50;
    tier_end(&s);
    return rc;
}

/* Another process that asks for path once. Its exit status: 0, or 100 - an error. linger: it neither closes
 * nor ends, and makes DIR/answered instead. */
static pid_t other(const struct world *w, const char *setting, const char *path, const char *answer,
                   bool linger)
{
    pid_t child = fork();
    if (child)
        return child;
    struct world own = {.fixed = true};
    memcpy(own.dir, w->dir, sizeof own.dir);
    world_open(&own, setting);
    const tier_type *slow = world_type(&own, "slow", TIER_DELTA, build_slow);
    int rc = ask(&own, slow, path, answer);
    if (linger) {
        char done[300];
        snprintf(done, sizeof done, "%s/answered", own.dir);
        close(open(done, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        pause_ms(GENEROUS_MS);
    }
    _exit(rc ? 100 - rc : tier_close(&own.c) ? 95 : 0);
}

/* ---- tests */
static void test_two_processes_build_once(void **state)
{
    struct world *w = *state;
    put(w, "a", "one");
    world_open(w, "lease_ms=60000");
    const tier_type *slow = world_type(w, "slow", TIER_DELTA, build_slow);
    pid_t child = other(w, NULL, "a", "ONE", true); /* it never closes: only its commit can have told us */
    wait_for_builds(w, 'a', 1);
    assert_int_equal(ask(w, slow, "a", "ONE"), 0);
    assert_int_equal(builds(w, 'a'), 1);
    assert_int_equal(stat_of(w->c, "type.slow.built"), 0);
    assert_int_equal(stat_of(w->c, "lease.waited"), 1);
    assert_int_equal(stat_of(w->c, "lease.expired"), 0);
    kill(child, SIGKILL);
    assert_int_equal(world_wait(child), 1000 + SIGKILL);
}

static void test_many_processes_build_each_once(void **state)
{
    struct world *w = *state;
    pid_t child[6];
    put(w, "a", "one");
    put(w, "b", "two");
    world_open(w, NULL);
    for (int i = 0; i < 6; i++)
        child[i] = other(w, "lease_ms=60000", i % 2 ? "b" : "a", i % 2 ? "TWO" : "ONE", false);
    for (int i = 0; i < 6; i++)
        assert_int_equal(world_wait(child[i]), 0);
    assert_int_equal(builds(w, 'a'), 1);
    assert_int_equal(builds(w, 'b'), 1);
}

/* What another view sees is another answer: waited for, looked at, and computed. */
static void test_other_input_is_computed(void **state)
{
    struct world *w = *state;
    put(w, "a", "one");
    world_open(w, "lease_ms=60000");
    const tier_type *slow = world_type(w, "slow", TIER_DELTA, build_slow);
    pid_t child = other(w, NULL, "a", "ONE", false);
    wait_for_builds(w, 'a', 1);
    put(w, "a", "other");
    assert_int_equal(ask(w, slow, "a", "OTHER"), 0);
    assert_int_equal(builds(w, 'a'), 2);
    assert_int_equal(world_wait(child), 0);
}

static void test_nobody_waits_where_not_asked(void **state)
{
    struct world *w = *state;
    put(w, "a", "one");
    world_open(w, "lease_ms=0");
    const tier_type *slow = world_type(w, "slow", TIER_DELTA, build_slow);
    pid_t child = other(w, NULL, "a", "ONE", false);
    wait_for_builds(w, 'a', 1);
    assert_int_equal(ask(w, slow, "a", "ONE"), 0);
    assert_int_equal(builds(w, 'a'), 2);
    assert_int_equal(stat_of(w->c, "lease.waited"), 0);
    assert_int_equal(world_wait(child), 0);
}

/* The first build of a type tells what it costs; what is cheap is no business of other processes. */
static void test_cheap_builds_take_no_lease(void **state)
{
    struct world *w = *state;
    char name[16];
    world_open(w, NULL);
    const tier_type *fast = world_type(w, "fast", TIER_DELTA, build_fast);
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "%d", i);
        assert_int_equal(ask(w, fast, name, name), 0);
    }
    assert_int_equal(stat_of(w->c, "type.fast.built"), 20);
    assert_int_equal(stat_of(w->c, "lease.taken"), 1);
}

static void test_owner_is_killed(void **state)
{
    struct world *w = *state;
    put(w, "a", "one");
    world_open(w, "lease_ms=600000");
    const tier_type *slow = world_type(w, "slow", TIER_DELTA, build_slow);
    for (int i = 1; i <= 3; i++) {
        put(w, "a", i == 2 ? "two" : "one");
        tier_flush(w->c);
        assert_int_equal(tier_invalidate(w->c, TIER_BY_PATH, "a"), 0);
        pid_t child = other(w, NULL, "a", i == 2 ? "TWO" : "ONE", false);
        wait_for_builds(w, 'a', 2 * i - 1);
        pid_t killer = fork();
        if (killer == 0) {
            pause_ms(BUILD_MS / 4);
            _exit(kill(child, SIGKILL) ? 1 : 0);
        }
        int64_t start = now_ms();
        assert_int_equal(ask(w, slow, "a", i == 2 ? "TWO" : "ONE"), 0);
        assert_true(now_ms() - start < GENEROUS_MS); /* the limit is ten minutes */
        assert_int_equal(builds(w, 'a'), 2 * i);
        assert_int_equal(world_wait(killer), 0);
        assert_int_equal(world_wait(child), 1000 + SIGKILL);
    }
    assert_int_equal(stat_of(w->c, "lease.waited"), 3);
    assert_int_equal(stat_of(w->c, "lease.expired"), 0);
}

static void test_owner_is_stopped(void **state)
{
    struct world *w = *state;
    put(w, "a", "one");
    put(w, "b", "two");
    world_open(w, "lease_ms=300");
    const tier_type *slow = world_type(w, "slow", TIER_DELTA, build_slow);
    pid_t child[2] = {other(w, NULL, "a", "ONE", false), other(w, NULL, "b", "TWO", false)};
    wait_for_builds(w, 'a', 1);
    wait_for_builds(w, 'b', 1);
    for (int i = 0; i < 2; i++)
        assert_int_equal(kill(child[i], SIGSTOP), 0);
    tier_session *s;
    tier_value v;
    tier_query a = {.type = slow, .path = "a"}, b = {.type = slow, .path = "b"};
    int64_t start = now_ms();
    assert_int_equal(tier_begin(w->c, NULL, &s), 0);
    assert_int_equal(tier_get(s, &a, &v), 0);
    assert_memory_equal(v.data, "ONE", 3);
    int64_t took = now_ms() - start;
    assert_true(took >= 300);
    assert_true(took < GENEROUS_MS);
    assert_int_equal(tier_get(s, &b, &v), 0); /* it has lost its patience */
    assert_memory_equal(v.data, "TWO", 3);
    assert_int_equal(tier_end(&s), 0);
    assert_int_equal(builds(w, 'a'), 2);
    assert_int_equal(builds(w, 'b'), 2);
    assert_int_equal(stat_of(w->c, "lease.waited"), 1);
    assert_int_equal(stat_of(w->c, "lease.expired"), 1);
    for (int i = 0; i < 2; i++)
        assert_int_equal(kill(child[i], SIGCONT), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(world_wait(child[i]), 0); /* and its result is as good as ours */
    assert_int_equal(ask(w, slow, "a", "ONE"), 0);
    assert_int_equal(builds(w, 'a'), 2);
}

/* While it waits, a deadline and a cancellation count as ever; nothing is left behind. */
static void test_waiting_ends_with_the_session(void **state)
{
    struct world *w = *state;
    put(w, "a", "one");
    world_open(w, "lease_ms=600000");
    const tier_type *slow = world_type(w, "slow", TIER_DELTA, build_slow);
    pid_t child = other(w, NULL, "a", "ONE", false);
    wait_for_builds(w, 'a', 1);
    kill(child, SIGSTOP);
    tier_session_options o = TIER_INIT(tier_session_options);
    o.deadline_ms = 50;
    tier_session *s;
    tier_value v;
    tier_query q = {.type = slow, .path = "a"};
    assert_int_equal(tier_begin(w->c, &o, &s), 0);
    assert_int_equal(tier_get(s, &q, &v), TIER_ETIMEOUT);
    assert_int_equal(tier_end(&s), 0);
    assert_int_equal(builds(w, 'a'), 1);
    kill(child, SIGCONT);
    assert_int_equal(world_wait(child), 0);
    assert_int_equal(ask(w, slow, "a", "ONE"), 0);
    assert_int_equal(builds(w, 'a'), 1);
}

/* p's process holds p and needs q, q's the other way round: neither waits. */
static void test_holders_do_not_wait(void **state)
{
    struct world *w = *state;
    pid_t child[2];
    for (int i = 0; i < 2; i++)
        if (!(child[i] = fork())) {
            struct world own = {.fixed = true};
            memcpy(own.dir, w->dir, sizeof own.dir);
            world_open(&own, "lease_ms=10000");
            const tier_type *pair = world_type(&own, "pair", TIER_DELTA, build_pair);
            if (tier_set_input(own.c, "who", i ? "q" : "p", 1) ||
                ask(&own, pair, i ? "q" : "p", i ? "q" : "p"))
                _exit(2);
            int waited = stat_of(own.c, "lease.waited");
            _exit(tier_close(&own.c) ? 3 : waited ? 4 : 0);
        }
    for (int i = 0; i < 2; i++)
        assert_int_equal(world_wait(child[i]), 0);
    assert_int_equal(builds(w, 'p'), 2);
    assert_int_equal(builds(w, 'q'), 2);
}

static void *ask_slow(void *user)
{
    struct world *w = user;
    return (void *)(intptr_t)ask(w, the_slow, "a", "ONE");
}

/* Nor does anybody that a holder of the same process waits for. */
static void test_holders_do_not_wait_through_others(void **state)
{
    struct world *w = *state;
    pthread_t thread;
    void *rc;
    put(w, "a", "one");
    world_open(w, "lease_ms=600000");
    the_slow = world_type(w, "slow", TIER_DELTA, build_slow);
    const tier_type *holder = world_type(w, "holder", TIER_DELTA, build_holder);
    pid_t child = other(w, NULL, "a", "ONE", false);
    wait_for_builds(w, 'a', 1);
    kill(child, SIGSTOP);
    assert_int_equal(pthread_create(&thread, NULL, ask_slow, w), 0);
    while (stat_of(w->c, "lease.waited") < 1)
        pause_ms(2);
    assert_int_equal(ask(w, holder, "a", "ONE"), 0);
    pthread_join(thread, &rc);
    assert_int_equal((intptr_t)rc, 0);
    assert_int_equal(builds(w, 'a'), 2);
    assert_int_equal(stat_of(w->c, "lease.waited"), 1);
    assert_int_equal(stat_of(w->c, "lease.expired"), 0);
    kill(child, SIGCONT);
    assert_int_equal(world_wait(child), 0);
}

/* A failure for now is nobody else's; one that is remembered is everybody's, with its text. */
static void test_failures_of_the_owner(void **state)
{
    struct world *w = *state;
    tier_session *s;
    tier_value v;
    world_open(w, "lease_ms=600000");
    const tier_type *failing = world_type(w, "failing", TIER_DELTA, build_failing);
    for (int i = 0; i < 2; i++) {
        pid_t child = fork();
        if (child == 0) {
            struct world own = {.fixed = true, .fail = i ? TIER_EBUILD : TIER_ETRANSIENT};
            memcpy(own.dir, w->dir, sizeof own.dir);
            world_open(&own, NULL);
            const tier_type *mine = world_type(&own, "failing", TIER_DELTA, build_failing);
            int rc = ask(&own, mine, i ? "d" : "t", "");
            pause_ms(GENEROUS_MS);
            _exit(rc == own.fail ? 0 : 1);
        }
        tier_query q = {.type = failing, .path = i ? "d" : "t"};
        wait_for_builds(w, q.path[0], 1);
        assert_int_equal(tier_begin(w->c, NULL, &s), 0);
        assert_int_equal(tier_get(s, &q, &v), i ? TIER_EBUILD : 0);
        assert_string_equal(tier_detail(s), i ? "the input is no good" : "");
        assert_int_equal(tier_end(&s), 0);
        assert_int_equal(builds(w, q.path[0]), i ? 1 : 2);
        kill(child, SIGKILL);
        assert_int_equal(world_wait(child), 1000 + SIGKILL);
    }
    assert_int_equal(stat_of(w->c, "lease.waited"), 2);
}

/* Of two caches in one process, too. Nobody else has the store open, so only who waits makes it commit. */
static void test_two_caches_build_once(void **state)
{
    struct world *w = *state;
    struct world second = {.fixed = true};
    pthread_t thread;
    void *rc;
    put(w, "a", "one");
    world_open(w, NULL);
    memcpy(second.dir, w->dir, sizeof second.dir);
    world_open(&second, "lease_ms=600000");
    the_slow = world_type(w, "slow", TIER_DELTA, build_slow);
    const tier_type *slow = world_type(&second, "slow", TIER_DELTA, build_slow);
    assert_int_equal(pthread_create(&thread, NULL, ask_slow, w), 0);
    wait_for_builds(w, 'a', 1);
    assert_int_equal(ask(&second, slow, "a", "ONE"), 0);
    pthread_join(thread, &rc);
    assert_int_equal((intptr_t)rc, 0);
    assert_int_equal(builds(w, 'a'), 1);
    assert_int_equal(stat_of(second.c, "lease.waited"), 1);
    assert_int_equal(tier_close(&second.c), 0);
}

/* What took long is there for who asks a moment after it ended. */
static void test_slow_builds_are_published(void **state)
{
    struct world *w = *state;
    char path[320];
    put(w, "a", "one");
    world_open(w, NULL);
    const tier_type *slow = world_type(w, "slow", TIER_DELTA, build_slow);
    pid_t child = other(w, NULL, "a", "ONE", true);
    snprintf(path, sizeof path, "%s/answered", w->dir);
    for (int i = 0; access(path, F_OK); i++) {
        assert_true(i < GENEROUS_MS / 2);
        pause_ms(2);
    }
    assert_int_equal(ask(w, slow, "a", "ONE"), 0);
    assert_int_equal(builds(w, 'a'), 1);
    assert_int_equal(stat_of(w->c, "lease.waited"), 0);
    kill(child, SIGKILL);
    assert_int_equal(world_wait(child), 1000 + SIGKILL);
}

/* A lease belongs to the process that took it: its children do not hold it, nor keep it past its end. */
static void test_leases_are_not_inherited(void **state)
{
    struct world *w = *state;
    char path[300];
    put(w, "a", "one");
    pid_t parent = fork();
    if (parent == 0) {
        struct world own = {.fixed = true};
        memcpy(own.dir, w->dir, sizeof own.dir);
        world_open(&own, NULL);
        const tier_type *slow = world_type(&own, "slow", TIER_DELTA, build_slow);
        tier_session *s;
        if (tier_begin(own.c, NULL, &s))
            _exit(2);
        pid_t child = fork(); /* lives on while its parent is killed in the build */
        if (child == 0) {
            tier_session *mine;
            if (tier_begin(own.c, NULL, &mine))
                _exit(3);
            snprintf(path, sizeof path, "%s/child", own.dir);
            int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
            char text[16];
            int n = snprintf(text, sizeof text, "%d", (int)getpid());
            if (fd < 0 || write(fd, text, (size_t)n) != n)
                _exit(4);
            pause_ms(GENEROUS_MS);
            _exit(0);
        }
        tier_value v;
        tier_query q = {.type = slow, .path = "a"};
        snprintf(path, sizeof path, "%s/child", own.dir);
        while (access(path, F_OK))
            pause_ms(2);
        _exit(tier_get(s, &q, &v) ? 5 : 0);
    }
    wait_for_builds(w, 'a', 1);
    assert_int_equal(kill(parent, SIGKILL), 0);
    assert_int_equal(world_wait(parent), 1000 + SIGKILL);
    world_open(w, "lease_ms=600000");
    const tier_type *slow = world_type(w, "slow", TIER_DELTA, build_slow);
    assert_int_equal(ask(w, slow, "a", "ONE"), 0);
    assert_int_equal(stat_of(w->c, "lease.waited"), 0);
    snprintf(path, sizeof path, "%s/child", w->dir);
    FILE *f = fopen(path, "r");
    int pid = 0;
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%d", &pid), 1);
    fclose(f);
    assert_int_equal(kill(pid, SIGKILL), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        T(test_two_processes_build_once),
        T(test_many_processes_build_each_once),
        T(test_other_input_is_computed),
        T(test_nobody_waits_where_not_asked),
        T(test_cheap_builds_take_no_lease),
        T(test_owner_is_killed),
        T(test_owner_is_stopped),
        T(test_waiting_ends_with_the_session),
        T(test_holders_do_not_wait),
        T(test_leases_are_not_inherited),
        T(test_holders_do_not_wait_through_others),
        T(test_failures_of_the_owner),
        T(test_two_caches_build_once),
        T(test_slow_builds_are_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
