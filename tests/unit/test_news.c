/* What one process learns of another's commits: an invalidation is seen by every session that begins after
 * its call returned; a store that was moved away is noticed, and what it said before counts no more. */
#include "tests/unit/process.h"
#include <sys/mman.h>
#include <sys/syscall.h>
#include "coherence/manager.h"

/* LMDB calls this one, too: a commit stops when its meta page is written, before readers are given it. */
static int stopped = -1, go_on = -1;

ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    ssize_t n = syscall(SYS_pwrite64, fd, data, size, at);
    char c = 0;
    if (stopped >= 0 && at < 2 * sysconf(_SC_PAGESIZE)) {
        if (write(stopped, "m", 1) != 1 || read(go_on, &c, 1) != 1)
            _exit(93);
        stopped = -1;
    }
    return n;
}

static int build(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct world *w = user;
    w->built++;
    int rc = tier_tag(s, "all");
    return rc ? rc : tier_out_bytes(out, q->path, strlen(q->path));
}

static const tier_type *define(struct world *w)
{
    return world_type(w, "t", TIER_DELTA, build);
}

static void test_invalidation_of_another_process(void **state)
{
    struct world *w = *state;
    world_open(w, NULL);
    const tier_type *t = define(w);
    assert_int_equal(world_get(w, t, "a"), 0);
    assert_int_equal(tier_flush(w->c), 0);
    for (int i = 0; i < 5; i++) {
        int before = w->built;
        assert_int_equal(world_get(w, t, "a"), 0);
        assert_int_equal(w->built, before); /* no news: nothing runs */
        pid_t child = fork();
        if (child == 0) {
            struct world own = {.fixed = true};
            memcpy(own.dir, w->dir, sizeof own.dir);
            world_open(&own, NULL);
            _exit(tier_invalidate(own.c, TIER_BY_TAG, "all") || tier_close(&own.c));
        }
        assert_int_equal(world_wait(child), 0);
        assert_int_equal(world_get(w, t, "a"), 0);
        assert_int_equal(w->built, before + 1);
    }
}

/* Who looks in the midst of a commit sees that something is new, and does not take it for read. */
static void test_invalidation_under_way(void **state)
{
    struct world *w = *state;
    int up[2], down[2];
    char c = 0;
    world_open(w, NULL);
    const tier_type *t = define(w);
    assert_int_equal(world_get(w, t, "a"), 0);
    assert_int_equal(tier_flush(w->c), 0);
    assert_int_equal(world_get(w, t, "a"), 0);
    assert_int_equal(w->built, 1);
    assert_int_equal(pipe(up) | pipe(down), 0);
    pid_t child = fork();
    if (child == 0) {
        struct world own = {.fixed = true};
        memcpy(own.dir, w->dir, sizeof own.dir);
        world_open(&own, NULL);
        stopped = up[1];
        go_on = down[0];
        _exit(tier_invalidate(own.c, TIER_BY_TAG, "all") ? 1 : 0);
    }
    assert_int_equal(close(up[1]) | close(down[0]), 0);
    assert_int_equal(read(up[0], &c, 1), 1);
    assert_int_equal(world_get(w, t, "a"), 0);
    assert_int_equal(write(down[1], "g", 1), 1);
    assert_int_equal(world_wait(child), 0);
    assert_int_equal(world_get(w, t, "a"), 0);
    assert_int_equal(w->built, 2);
    assert_int_equal(close(up[0]) | close(down[1]), 0);
}

/* Two bans with one number: ours, which only this process knows as it may not write, and another's row. */
static void test_invalidations_that_clash(void **state)
{
    struct world *w = *state;
    world_open(w, NULL);
    assert_int_equal(tier_close(&w->c), 0);
    w->flags = TIER_READ_ONLY;
    world_open(w, NULL);
    const tier_type *t = define(w);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tier_invalidate(w->c, TIER_BY_TAG, "other"), 0);
        int before = w->built;
        assert_int_equal(world_get(w, t, "a"), 0);
        assert_int_equal(w->built, before + (i == 0));
        pid_t child = fork();
        if (child == 0) {
            struct world own = {.fixed = true};
            memcpy(own.dir, w->dir, sizeof own.dir);
            world_open(&own, NULL);
            _exit(tier_invalidate(own.c, TIER_BY_TAG, "all") || tier_close(&own.c));
        }
        assert_int_equal(world_wait(child), 0);
        before = w->built;
        assert_int_equal(world_get(w, t, "a"), 0);
        assert_int_equal(w->built, before + 1);
    }
}

static void others_ban(struct world *w)
{
    pid_t child = fork();
    if (child == 0) {
        struct world own = {.fixed = true};
        memcpy(own.dir, w->dir, sizeof own.dir);
        world_open(&own, NULL);
        _exit(tier_invalidate(own.c, TIER_BY_TAG, "other") || tier_close(&own.c));
    }
    assert_int_equal(world_wait(child), 0);
}

/* The log is cut though no session has begun here since another process's row: a ban of ours has read it. */
static void test_invalidations_in_turn(void **state)
{
    struct world *w = *state;
    world_open(w, "store.sync=none");
    const tier_type *t = define(w);
    assert_int_equal(world_get(w, t, "a"), 0);
    others_ban(w);
    for (int i = 0; i < TIER__BAN_MAX; i++)
        assert_int_equal(tier_invalidate(w->c, TIER_BY_TAG, "other"), 0);
    others_ban(w);
    assert_int_equal(world_get(w, t, "a"), 0);
    assert_int_equal(w->built, 1);
}

/* More than are kept: from the last of them on this process counts anew. Its row is there still when
 * another's is read, and takes no place among those to come. */
static void test_invalidations_beyond_number(void **state)
{
    struct world *w = *state;
    world_open(w, "store.sync=none");
    const tier_type *t = define(w);
    for (int i = 0; i <= TIER__BAN_KNOWN; i++)
        assert_int_equal(tier_invalidate(w->c, TIER_BY_TAG, "other"), 0);
    others_ban(w);
    assert_int_equal(world_get(w, t, "a"), 0);
    for (int i = 1; i < TIER__BAN_KNOWN; i++)
        assert_int_equal(tier_invalidate(w->c, TIER_BY_TAG, "other"), 0);
    assert_int_equal(world_get(w, t, "a"), 0);
    assert_int_equal(w->built, 1);
    assert_int_equal(tier_invalidate(w->c, TIER_BY_TAG, "other"), 0);
    assert_int_equal(world_get(w, t, "a"), 0);
    assert_int_equal(w->built, 2);
}

/* Nobody can say what is invalidated in the store that is there now. */
static void test_store_moved_away(void **state)
{
    struct world *w = *state;
    char from[320], to[320];
    world_open(w, NULL);
    const tier_type *t = define(w);
    assert_int_equal(world_get(w, t, "a"), 0);
    assert_int_equal(tier_flush(w->c), 0);
    assert_int_equal(world_get(w, t, "a"), 0);
    assert_int_equal(w->built, 1);
    snprintf(from, sizeof from, "%s/cache/v1", w->dir);
    snprintf(to, sizeof to, "%s/cache/bad-0-00", w->dir);
    assert_int_equal(rename(from, to), 0);
    usleep(50000); /* five looks later */
    assert_int_equal(world_get(w, t, "a"), 0);
    assert_int_equal(w->built, 2);
    assert_int_equal(world_get(w, t, "a"), 0); /* once, not for ever */
    assert_int_equal(w->built, 2);
    assert_true(w->warnings >= 2); /* the store says it, and the manager */
}

static int text(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    (void)user;
    int rc = tier_file(s, q->path, &v);
    return rc ? rc : tier_out_bytes(out, v.data, v.size);
}

/* The first letter of the text of a. */
static char first_letter(struct world *w, const tier_type *t)
{
    tier_session *s;
    tier_value v;
    tier_query q = {.type = t, .path = "a"};
    assert_int_equal(tier_begin(w->c, NULL, &s), 0);
    assert_int_equal(tier_get(s, &q, &v), 0);
    char c = *(const char *)v.data;
    assert_int_equal(tier_end(&s), 0);
    return c;
}

static void invalidate_elsewhere(struct world *w, const char *pattern)
{
    pid_t child = fork();
    if (child == 0) {
        struct world own = {.fixed = true};
        memcpy(own.dir, w->dir, sizeof own.dir);
        world_open(&own, "store.sync=none");
        int rc = pattern ? tier_invalidate_pattern(own.c, TIER_BY_PATH, pattern)
                         : tier_invalidate(own.c, TIER_BY_PATH, "a");
        for (int i = 0; i < w->fail; i++)
            rc |= tier_invalidate(own.c, TIER_BY_TAG, "none");
        _exit(rc || tier_close(&own.c));
    }
    assert_int_equal(world_wait(child), 0);
}

/* A file that is written through a mapping, while its page is dirty anyhow, keeps its stamps. It lies in
 * memory, where no page is ever written back. */
struct mapped {
    char *text;
    struct stat was;
    int fd;
};

static void map_a(struct world *w, struct mapped *m)
{
    char path[300], memory[64];
    m->fd = memfd_create("a", 0);
    assert_int_equal(ftruncate(m->fd, 4), 0);
    m->text = mmap(NULL, 4, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
    assert_true(m->text != MAP_FAILED);
    snprintf(path, sizeof path, "%s/root/a", w->dir);
    snprintf(memory, sizeof memory, "/proc/%d/fd/%d", (int)getpid(), m->fd);
    assert_int_equal(symlink(memory, path), 0);
    m->text[0] = '0';
    usleep(60000); /* the stamps are settled */
    assert_int_equal(fstat(m->fd, &m->was), 0);
}

static void unmap_a(struct mapped *m)
{
    struct stat is;
    assert_int_equal(fstat(m->fd, &is), 0);
    assert_memory_equal(&m->was.st_ctim, &is.st_ctim, sizeof is.st_ctim); /* or nothing was tested */
    assert_int_equal(munmap(m->text, 4) | close(m->fd), 0);
}

/* Its bytes are read again by whoever has remembered what they were, and by who comes after. */
static void test_a_path_is_invalidated_elsewhere(void **state)
{
    struct world *w = *state;
    struct mapped m;
    map_a(w, &m);
    world_open(w, NULL);
    const tier_type *t = world_type(w, "text", TIER_DELTA, text);
    assert_int_equal(first_letter(w, t), '0');
    assert_int_equal(tier_flush(w->c), 0);
    static const char *const pattern[] = {NULL, NULL, "^a"};
    for (int i = 0; i < 3; i++) {
        m.text[0]++;
        assert_int_equal(first_letter(w, t), '0' + i);
        w->fail = i == 0 ? TIER__BAN_MAX + 8 : 0; /* its row is cut off before we hear of it */
        invalidate_elsewhere(w, pattern[i]);
        assert_int_equal(first_letter(w, t), '1' + i);
    }
    assert_int_equal(tier_invalidate_pattern(w->c, TIER_BY_TAG, "none"), 0);
    m.text[0]++;
    assert_int_equal(tier_invalidate_pattern(w->c, TIER_BY_PATH, "^a$"), 0);
    assert_int_equal(first_letter(w, t), '4');
    m.text[0]++;
    assert_int_equal(tier_close(&w->c), 0);
    invalidate_elsewhere(w, "^a$");
    world_open(w, NULL);
    assert_int_equal(first_letter(w, world_type(w, "text", TIER_DELTA, text)), '5');
    unmap_a(&m);
}

/* What was read before another process's invalidation, and is committed after it, is not handed to those who
 * come then. */
static void test_a_path_is_invalidated_before_a_commit(void **state)
{
    struct world *w = *state;
    struct mapped m;
    map_a(w, &m);
    world_open(w, NULL);
    assert_int_equal(first_letter(w, world_type(w, "text", TIER_DELTA, text)), '0');
    m.text[0]++;
    invalidate_elsewhere(w, NULL);
    assert_int_equal(tier_close(&w->c), 0);
    world_open(w, NULL);
    assert_int_equal(first_letter(w, world_type(w, "text", TIER_DELTA, text)), '1');
    unmap_a(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_invalidation_of_another_process, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_invalidation_under_way, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_invalidations_that_clash, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_invalidations_in_turn, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_invalidations_beyond_number, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_store_moved_away, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_a_path_is_invalidated_elsewhere, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_a_path_is_invalidated_before_a_commit, world_setup,
                                        world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
