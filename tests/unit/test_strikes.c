/* Builds that kill their process: counted, and refused after three in a row; what ends well, or was killed
 * here and there, is not. Every death is a real one. */
#include "tests/unit/process.h"
#include <sys/resource.h>

enum { END_ABORT, END_EXIT, END_KILL, END_SEGV, END_WAIT /* to be killed */ };

struct crash { /* what one child does */
    struct world w;
    char bad; /* dies on paths that begin with it; '*': on all */
    int how;
    int inner_runs; /* of build_nested */
};

static int waiting[2]; /* a pipe: a byte for each that is to be killed */

static void die(int how)
{
    struct sigaction none = {.sa_handler = SIG_DFL};
    if (how == END_EXIT)
        _exit(7);
    if (how == END_WAIT && write(waiting[1], "", 1) != 1)
        _exit(8);
    if (how == END_WAIT)
        alarm(CHILD_LIMIT_S);
    while (how == END_WAIT)
        pause();
    sigaction(SIGSEGV, &none, NULL); /* sanitizers' own */
    sigaction(SIGABRT, &none, NULL);
    kill(getpid(), how == END_ABORT ? SIGABRT : how == END_KILL ? SIGKILL : SIGSEGV);
    for (;;)
        pause();
}

static int build_crash(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct crash *k = user;
    (void)s;
    if (k->bad == '*' || k->bad == q->path[0])
        die(k->how);
    k->w.built++;
    return tier_out_bytes(out, q->path, strlen(q->path));
}

static const tier_type *inner_type;
static int build_nested(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct crash *k = user;
    tier_value v;
    tier_query below = {.type = inner_type, .path = q->path};
    int rc = tier_get(s, &below, &v);
    if (!rc && k->inner_runs)
        die(k->how);
    return rc ? rc : tier_out_bytes(out, "n", 1);
}

static const tier_type *crash_type(struct crash *k, const char *name, uint32_t version,
                                   int (*build)(tier_session *, const tier_query *, tier_out *, void *))
{
    const tier_type *t = NULL;
    tier_type_def d = TIER_INIT(tier_type_def);
    d.name = name;
    d.version = version;
    d.tier = TIER_DELTA;
    d.build = build;
    d.user = k;
    if (tier_define(k->w.c, &d, &t))
        _exit(98);
    return t;
}

static void begin_in_child(struct crash *k, const struct world *w, const char *setting)
{
    k->w.fixed = true;
    memcpy(k->w.dir, w->dir, sizeof k->w.dir);
    world_open(&k->w, setting);
}

/* Asks for paths, each of one letter, in a child of its own; gives how it ended. Not closed: nothing that it
 * built is kept, so all is built again the next time. */
static pid_t start(const struct world *w, const char *paths, char bad, int how)
{
    pid_t child = fork();
    if (child)
        return child;
    struct crash k = {.bad = bad, .how = how};
    begin_in_child(&k, w, NULL);
    const tier_type *t = crash_type(&k, "crash", 1, build_crash);
    for (; *paths; paths++)
        if (world_get(&k.w, t, (char[]){*paths, 0}))
            world_exit(50);
    world_exit(0);
}

static int run(const struct world *w, const char *paths, char bad, int how)
{
    return world_wait(start(w, paths, bad, how));
}

/* What this process gets for path, with the text. */
static int ask(const struct world *w, uint32_t version, const char *setting, const char *path, char text[512])
{
    struct crash k = {.bad = 0};
    tier_session *s;
    tier_value v;
    begin_in_child(&k, w, setting);
    tier_query q = {.type = crash_type(&k, "crash", version, build_crash), .path = path};
    assert_int_equal(tier_begin(k.w.c, NULL, &s), 0);
    int rc = tier_get(s, &q, &v);
    snprintf(text, 512, "%s", tier_detail(s));
    assert_true(!rc || !k.w.built);
    assert_int_equal(tier_end(&s), 0);
    assert_int_equal(tier_invalidate(k.w.c, TIER_BY_PATH, path), 0); /* for the next one */
    assert_int_equal(tier_close(&k.w.c), 0);
    return rc;
}

/* ---- tests */
static void test_a_type_that_always_dies(void **state)
{
    const struct world *w = *state;
    char text[512];
    assert_int_equal(run(w, "a", '*', END_ABORT), 1000 + SIGABRT);
    int status = run(w, "b", '*', END_EXIT);
    assert_true(status == 7 || status == 99); /* 99: a leak checker saw it */
    assert_int_equal(run(w, "c", '*', END_SEGV), 1000 + SIGSEGV);
    /* different requests each: it is the type */
    assert_int_equal(ask(w, 1, NULL, "d", text), TIER_ETRANSIENT);
    assert_non_null(strstr(text, "crash(d)"));
    assert_non_null(strstr(text, "type"));
    assert_non_null(strstr(text, "3 times"));
    assert_int_equal(run(w, "e", '*', END_ABORT), 50); /* the host lives */
    assert_int_equal(ask(w, 2, NULL, "d", text), 0);   /* a new version is another type */
    assert_int_equal(ask(w, 1, NULL, "d", text), TIER_ETRANSIENT);
    assert_int_equal(ask(w, 1, "crash.strikes=4", "d", text), 0); /* it ended: forgiven */
    assert_int_equal(ask(w, 1, NULL, "d", text), 0);
}

static void test_one_bad_request(void **state)
{
    const struct world *w = *state;
    char text[512];
    for (int i = 0; i < 3; i++)
        assert_int_equal(run(w, "abx", 'x', END_KILL), 1000 + SIGKILL);
    assert_int_equal(run(w, "ab", 'x', END_KILL), 0); /* the others go on */
    assert_int_equal(ask(w, 1, NULL, "x", text), TIER_ETRANSIENT);
    assert_non_null(strstr(text, "in its build 3 times"));
    assert_int_equal(ask(w, 1, "crash.strikes=0", "x", text), 0);
}

/* A slow one that somebody stops each time, before anything of the type has ended. */
static void test_one_request_says_nothing_of_others(void **state)
{
    const struct world *w = *state;
    char text[512];
    for (int i = 0; i < 3; i++)
        assert_int_equal(run(w, "x", 'x', END_KILL), 1000 + SIGKILL);
    assert_int_equal(ask(w, 1, NULL, "x", text), TIER_ETRANSIENT);
    assert_non_null(strstr(text, "in its build 3 times"));
    assert_non_null(strstr(text, "TIERKIT_CRASH_STRIKES=0"));
    assert_int_equal(ask(w, 1, NULL, "y", text), 0);
    assert_int_equal(ask(w, 1, NULL, "x", text), TIER_ETRANSIENT); /* another one's end says nothing of it */
}

/* By hand, by the memory limit: here and there. */
static void test_killed_by_chance(void **state)
{
    const struct world *w = *state;
    char text[512];
    for (const char *at = "bcdefgh"; *at; at++) {
        char paths[] = {'a', *at, 0};
        assert_int_equal(run(w, paths, *at, END_KILL), 1000 + SIGKILL);
    }
    for (const char *at = "abcdefgh"; *at; at++)
        assert_int_equal(ask(w, 1, NULL, (char[]){*at, 0}, text), 0);
}

static void test_two_deaths_are_too_few(void **state)
{
    const struct world *w = *state;
    char text[512];
    for (int i = 0; i < 4; i++) { /* twice, then it ends */
        assert_int_equal(run(w, "x", 'x', END_ABORT), 1000 + SIGABRT);
        assert_int_equal(run(w, "x", 'x', END_ABORT), 1000 + SIGABRT);
        assert_int_equal(ask(w, 1, NULL, "x", text), 0);
    }
}

/* Ctrl-C, or the machine's end: one death, however many processes, and whoever comes to count them. */
static void kill_together(const struct world *w, char first)
{
    enum { WORKERS = 6 };
    pid_t child[WORKERS];
    char byte;
    assert_int_equal(pipe(waiting), 0);
    for (int i = 0; i < WORKERS; i++)
        child[i] = start(w, (char[]){(char)(first + i), 0}, '*', END_WAIT);
    close(waiting[1]);
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(read(waiting[0], &byte, 1), 1);
    close(waiting[0]);
    for (int i = 0; i < WORKERS; i++) {
        kill(child[i], SIGKILL);
        assert_int_equal(world_wait(child[i]), 1000 + SIGKILL);
        assert_int_equal(run(w, "", '*', END_KILL), 0); /* opens, and so counts */
    }
}

static void test_killed_together(void **state)
{
    const struct world *w = *state;
    char text[512];
    kill_together(w, 'a');
    kill_together(w, 'a');
    assert_int_equal(ask(w, 1, NULL, "z", text), 0);
    for (int i = 0; i < 3; i++)
        kill_together(w, (char)('A' + 6 * i)); /* different requests: it is the type */
    assert_int_equal(ask(w, 1, NULL, "z", text), TIER_ETRANSIENT);
    assert_non_null(strstr(text, "3 times"));
}

/* A process that was there before the first death forgives it as well. */
static void test_ends_in_other_processes(void **state)
{
    const struct world *w = *state;
    struct crash k = {.bad = 0};
    char text[512];
    begin_in_child(&k, w, NULL);
    const tier_type *t = crash_type(&k, "crash", 1, build_crash);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(run(w, "x", 'x', END_ABORT), 1000 + SIGABRT);
        assert_int_equal(run(w, "a", 'x', END_ABORT), 0); /* it counts the one before */
        usleep(20000);
        assert_int_equal(world_get(&k.w, t, "x"), 0);
        assert_int_equal(k.w.built, i + 1);
        assert_int_equal(tier_invalidate(k.w.c, TIER_BY_PATH, "x"), 0);
    }
    assert_int_equal(ask(w, 1, NULL, "x", text), 0);
    assert_int_equal(tier_close(&k.w.c), 0);
}

/* Outside builds nobody is to blame. */
static void test_deaths_elsewhere(void **state)
{
    const struct world *w = *state;
    char text[512];
    for (int i = 0; i < 4; i++) {
        pid_t child = fork();
        if (child == 0) {
            struct crash k = {.bad = 0};
            begin_in_child(&k, w, NULL);
            const tier_type *t = crash_type(&k, "crash", 1, build_crash);
            if (world_get(&k.w, t, "a"))
                _exit(50);
            die(END_ABORT);
        }
        assert_int_equal(world_wait(child), 1000 + SIGABRT);
    }
    assert_int_equal(ask(w, 1, NULL, "a", text), 0);
}

/* The innermost build is to blame, and again the outer one when the inner one has ended. */
static void test_nested_builds(void **state)
{
    const struct world *w = *state;
    for (int after = 0; after < 2; after++) {
        for (int i = 0; i < 4; i++) {
            pid_t child = fork();
            if (child == 0) {
                struct crash k = {.bad = after ? 0 : '*', .how = END_ABORT, .inner_runs = after};
                begin_in_child(&k, w, NULL);
                inner_type = crash_type(&k, after ? "inner2" : "inner", 1, build_crash);
                const tier_type *outer = crash_type(&k, after ? "outer2" : "outer", 1, build_nested);
                tier_session *s;
                tier_value v;
                tier_query q = {.type = outer, .path = "a"};
                int rc = tier_begin(k.w.c, NULL, &s) ? 1 : tier_get(s, &q, &v);
                const char *blamed = after ? "outer2(a)" : "inner(a)";
                world_exit(rc == TIER_ETRANSIENT && strstr(tier_detail(s), blamed) ? 60 : 61);
            }
            assert_int_equal(world_wait(child), i < 3 ? 1000 + SIGABRT : 60);
        }
    }
}

/* A child of a fork marks in its own name; the parent's marks are not cleared by the child's end, nor
 * counted. */
static void test_forked_children(void **state)
{
    const struct world *w = *state;
    char text[512];
    for (int i = 0; i < 3; i++) {
        pid_t parent = fork();
        if (parent == 0) {
            struct crash k = {.bad = 'x', .how = END_ABORT};
            begin_in_child(&k, w, NULL);
            const tier_type *t = crash_type(&k, "crash", 1, build_crash);
            pid_t children[3];
            for (int n = 0; n < 3; n++)
                if (!(children[n] = fork())) {
                    int rc = world_get(&k.w, t, n == i ? "x" : "y");
                    world_exit(rc ? 1 : 0);
                }
            for (int n = 0; n < 3; n++)
                if (world_wait(children[n]) != (n == i ? 1000 + SIGABRT : 0))
                    _exit(1);
            _exit(world_get(&k.w, t, "z") || tier_close(&k.w.c));
        }
        assert_int_equal(world_wait(parent), 0);
    }
    assert_int_equal(ask(w, 1, NULL, "x", text), TIER_ETRANSIENT);
    assert_int_equal(ask(w, 1, NULL, "y", text), 0);
}

/* A file of counts that is damaged or cut short counts nothing, and harms nobody, also while it is in use. */
static void test_damaged_counts(void **state)
{
    const struct world *w = *state;
    char text[512], path[300];
    snprintf(path, sizeof path, "%s/cache/v1/strikes", w->dir);
    for (int i = 0; i < 3; i++)
        assert_int_equal(run(w, "x", 'x', END_ABORT), 1000 + SIGABRT);
    assert_int_equal(ask(w, 1, NULL, "x", text), TIER_ETRANSIENT);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    unsigned char page[4096];
    assert_int_equal(pread(fd, page, sizeof page, 0), sizeof page);
    for (size_t i = 0; i < sizeof page; i += 32)
        page[i + 13] ^= 1; /* 259 times in a row, if it counted */
    assert_int_equal(pwrite(fd, page, sizeof page, 0), sizeof page);
    assert_int_equal(ask(w, 1, NULL, "x", text), 0);
    struct crash k = {.bad = 0};
    begin_in_child(&k, w, NULL);
    const tier_type *t = crash_type(&k, "crash", 1, build_crash);
    assert_int_equal(world_get(&k.w, t, "b"), 0);
    assert_int_equal(ftruncate(fd, 0), 0);
    usleep(50000);
    assert_int_equal(world_get(&k.w, t, "c"), 0);
    assert_int_equal(tier_close(&k.w.c), 0);
    close(fd);
    assert_int_equal(ask(w, 1, NULL, "x", text), 0);
}

/* A host that may write nothing any more ends a build that had strikes: to forgive it is no reason to die. */
static void test_file_size_limit(void **state)
{
    const struct world *w = *state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(run(w, "x", 'x', END_ABORT), 1000 + SIGABRT);
    pid_t child = fork();
    if (child == 0) {
        struct crash k = {.bad = 0};
        struct rlimit none = {0, 0};
        begin_in_child(&k, w, NULL);
        const tier_type *t = crash_type(&k, "crash", 1, build_crash);
        if (world_get(&k.w, t, "a") || setrlimit(RLIMIT_FSIZE, &none))
            _exit(1);
        world_exit(world_get(&k.w, t, "x") ? 2 : 0);
    }
    assert_int_equal(world_wait(child), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        T(test_a_type_that_always_dies), T(test_one_bad_request),
        T(test_killed_by_chance),        T(test_killed_together),
        T(test_two_deaths_are_too_few),  T(test_deaths_elsewhere),
        T(test_ends_in_other_processes), T(test_nested_builds),
        T(test_forked_children),         T(test_damaged_counts),
        T(test_file_size_limit),         T(test_one_request_says_nothing_of_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
