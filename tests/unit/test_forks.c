/* A host that forks its workers, cppcheck -j style: every child begins sessions of its own on what the parent
 * opened and defined; all answers are equal and right, parent and store go on, nobody inherits a lease or a
 * mark. The children build slowly enough to meet each other. */
#include "tests/unit/process.h"
#include "coherence/manager.h"
#include "tiers/memory_private.h"

enum { CHILDREN = 8, GETS = 100, FILES = 25, BUILD_MS = 6, BYTES = 24 };

static void count_build(const char *dir, int file)
{
    char path[300], line = (char)('A' + file);
    snprintf(path, sizeof path, "%s/built", dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, &line, 1) != 1)
        _exit(97);
    close(fd);
}

static int builds(const struct world *w, int file)
{
    char path[300], text[65536];
    int n = 0;
    snprintf(path, sizeof path, "%s/built", w->dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? 0 : read(fd, text, sizeof text);
    for (ssize_t i = 0; i < size; i++)
        n += text[i] == (char)('A' + file);
    if (fd >= 0)
        close(fd);
    return n;
}

static void put(const struct world *w, int file, int version)
{
    char path[300];
    snprintf(path, sizeof path, "%s/root/f%d", w->dir, file);
    FILE *f = fopen(path, "w");
    if (!f || fprintf(f, "file %d version %d", file, version) < 0 || fclose(f))
        _exit(96);
}

/* The file's bytes, backwards. */
static int build_back(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct world *w = user;
    char text[BYTES];
    tier_value v;
    int rc = tier_file(s, q->path, &v);
    if (rc)
        return rc;
    count_build(w->dir, atoi(q->path + 1));
    usleep(BUILD_MS * 1000);
    for (size_t i = 0; i < v.size && i < sizeof text; i++)
        text[i] = ((const char *)v.data)[v.size - 1 - i];
    return tier_out_bytes(out, text, v.size < sizeof text ? v.size : sizeof text);
}

static bool right(const tier_value *v, int file, int version)
{
    char text[64];
    int n = snprintf(text, sizeof text, "file %d version %d", file, version);
    bool same = v->size == (size_t)n;
    for (int i = 0; same && i < n; i++)
        same = ((const char *)v->data)[i] == text[n - 1 - i];
    return same;
}

/* GETS of them, ten a session, from a place of its own on. 0: all right. */
static int ask_all(struct world *w, const tier_type *t, int from, int version)
{
    tier_session *s = NULL;
    int rc = 0;
    for (int i = 0; i < GETS && !rc; i++) {
        char path[16];
        tier_value v;
        int file = (from + i) % FILES;
        tier_query q = {.type = t, .path = path};
        snprintf(path, sizeof path, "f%d", file);
        if (i % 10 == 0)
            rc = tier_begin(w->c, NULL, &s);
        if (!rc)
            rc = tier_get(s, &q, &v);
        if (!rc && !right(&v, file, version))
            rc = 40;
        if (i % 10 == 9 && tier_end(&s))
            rc = 41;
    }
    return rc;
}

static void run_children(struct world *w, const tier_type *t, int version, bool closes)
{
    pid_t child[CHILDREN];
    for (int i = 0; i < CHILDREN; i++)
        if (!(child[i] = fork())) {
            int rc = ask_all(w, t, i * FILES / CHILDREN, version);
            world_exit(rc ? (rc < 0 ? 100 - rc : rc) : closes && tier_close(&w->c) ? 42 : 0);
        }
    for (int i = 0; i < CHILDREN; i++)
        assert_int_equal(world_wait(child[i]), 0);
}

static int all_builds(const struct world *w)
{
    int n = 0;
    for (int i = 0; i < FILES; i++)
        n += builds(w, i);
    return n;
}

/* The parent has a session open, and a value lent, while its children work and end. */
static void test_forked_workers(void **state)
{
    struct world *w = *state;
    tier_session *s;
    tier_value v;
    for (int i = 0; i < FILES; i++)
        put(w, i, 1);
    world_open(w, "lease_ms=60000");
    const tier_type *t = world_type(w, "back", TIER_DELTA, build_back);
    tier_query q = {.type = t, .path = "f0"};
    assert_int_equal(tier_begin(w->c, NULL, &s), 0);
    assert_int_equal(tier_get(s, &q, &v), 0);
    assert_int_equal(tier_flush(w->c), 0);
    run_children(w, t, 1, true);
    assert_true(right(&v, 0, 1)); /* what is lent is untouched */
    for (int i = 0; i < FILES; i++) {
        assert_true(builds(w, i) >= 1);
        assert_true(builds(w, i) <= CHILDREN);
    }
    assert_int_equal(builds(w, 0), 1);
    assert_int_equal(tier_end(&s), 0);
    int before = all_builds(w);
    assert_true(before <
                1 + (FILES - 1) *
                        CHILDREN); /* they share, more or less: each leased, committed when it pays */
    assert_int_equal(ask_all(w, t, 0, 1), 0); /* all of it is known to the parent: the children committed */
    assert_int_equal(all_builds(w), before);
    run_children(w, t, 1, false);
    assert_int_equal(all_builds(w), before); /* and to other children */
}

/* Rounds of changes, children that end without closing, and a parent that asks between them. */
static void test_rounds_of_changes(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < FILES; i++)
        put(w, i, 1);
    world_open(w, NULL);
    const tier_type *t = world_type(w, "back", TIER_DELTA, build_back);
    for (int version = 1; version <= 4; version++) {
        for (int i = 0; i < FILES; i++)
            put(w, i, version);
        run_children(w, t, version, version % 2);
        assert_int_equal(ask_all(w, t, 0, version), 0);
    }
    assert_int_equal(w->warnings, 0);
}

/* A thread that the child does not have holds a lock of the table. */
static void test_closing_what_was_caught(void **state)
{
    struct world *w = *state;
    world_open(w, NULL);
    atomic_uint *lock = &w->c->memory->shard[0].lock;
    tier__lock(lock);
    pid_t child = fork();
    if (!child) {
        alarm(10);
        world_exit(tier_close(&w->c) ? 42 : 0);
    }
    tier__unlock(lock);
    assert_int_equal(world_wait(child), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_forked_workers, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_rounds_of_changes, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_closing_what_was_caught, world_setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
