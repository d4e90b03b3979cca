/* concurrent */
/* sources: tests/unit/fake_doors.c */
/* The public streams and tier_sync over a real watcher. */
#include <poll.h>
#include "tests/unit/fake_doors.h"

/* ---- the public functions ---- */
static void test_fd_alone(void **state)
{
    tier_cache *c = *state;
    tier_stream *st;
    tier_event e = TIER_INIT(tier_event);
    tier_stream_options o = TIER_INIT(tier_stream_options);
    o.glob = "**/*.c";
    o.kinds = TIER_CHANGED;
    assert_int_equal(tier_stream_open(c, &o, &st), 0);
    struct pollfd p = {tier_stream_fd(st), POLLIN, 0};
    assert_true(p.fd >= 0);
    assert_int_equal(poll(&p, 1, 0), 0);
    for (int i = 0; i < 5; i++) { /* whoever only polls the descriptor and calls next misses nothing */
        char text[16];
        sprintf(text, "%d", i);
        put(c, "d/other.h", text);
        put(c, "d/e/f.c", text);
        int rc = TIER_ETIMEOUT;
        while (rc == TIER_ETIMEOUT) {
            assert_int_equal(poll(&p, 1, 60000), 1);
            rc = tier_stream_next(st, 0, &e);
        }
        assert_int_equal(rc, 0);
        assert_int_equal(e.kind, TIER_CHANGED);
        assert_string_equal(e.path, "d/e/f.c");
    }
    put(c, "d/e/g.c", "1");
    assert_int_equal(tier_stream_next(st, -1, &e), 0); /* and next alone */
    assert_string_equal(e.path, "d/e/g.c");
    assert_int_equal(tier_stream_close(&st), 0);
    assert_null(st);
}

static void test_polled_stream(void **state)
{
    tier_cache *c = *state;
    tier_stream *st;
    tier_event e = TIER_INIT(tier_event);
    start(c, true);
    assert_int_equal(tier_stream_open(c, NULL, &st), 0);
    put(c, "d/e/f", "1");
    assert_int_equal(tier_stream_next(st, -1, &e), 0);
    assert_string_equal(e.path, "d/e/f");
    assert_int_equal(tier_stream_close(&st), 0);
}

static void test_replay(void **state)
{
    tier_cache *c = *state;
    tier__memory *memory;
    tier_stream *st;
    tier_event e = TIER_INIT(tier_event);
    tier_stream_options o = TIER_INIT(tier_stream_options);
    struct tier__memory_options mo = {.budget = {0, 1 << 20, 1 << 20, 1 << 20}};
    assert_int_equal(tier__memory_create(&c->base, &mo, &memory), 0);
    c->result = tier__entry_new(memory, TIER_DELTA, 2);
    memcpy(c->result->data, "ok", 2);
    o.kinds = TIER_RESULT;
    o.glob = "*.c";
    o.replay_last = 1;
    assert_int_equal(tier_stream_open(c, &o, &st), 0);
    assert_null(c->watch); /* nobody asked for changes */
    tier__hub_publish(c->hub, TIER_RESULT, "later.c", NULL, c->result);
    assert_int_equal(tier_stream_next(st, 0, &e), 0);
    assert_string_equal(e.path, "a.c");
    assert_memory_equal(e.value.data, "ok", 3);
    assert_int_equal(tier_stream_next(st, 0, &e), 0);
    assert_string_equal(e.path, "later.c");
    assert_int_equal(tier_stream_next(st, 0, &e), TIER_ETIMEOUT);
    assert_int_equal(tier_stream_close(&st), 0);
    tier__entry_unref(c->result);
    assert_int_equal(tier__memory_live(memory), 0);
    tier__memory_destroy(&memory);
}

static void test_arguments(void **state)
{
    tier_cache *c = *state;
    tier_stream *st = NULL;
    tier_event e = TIER_INIT(tier_event);
    tier_stream_options o = {0};
    assert_int_equal(tier_stream_open(c, &o, &st), TIER_EINVAL);
    o.struct_size = sizeof o;
    o.policy = 9;
    assert_int_equal(tier_stream_open(c, &o, &st), TIER_EINVAL);
    assert_int_equal(tier_stream_open(NULL, NULL, &st), TIER_EINVAL);
    assert_null(st);
    assert_int_equal(tier_stream_next(NULL, 0, &e), TIER_EINVAL);
    assert_int_equal(tier_stream_fd(NULL), -1);
    assert_int_equal(tier_stream_close(&st), 0);
    assert_int_equal(tier_sync(NULL, 0), TIER_EINVAL);
    assert_int_equal(tier_sync(c, 0), 0); /* no watcher: sessions look for themselves */
    c->dir[0] = 0;                        /* nor a place for cookies */
    start(c, false);
    put(c, "f", "1");
    settle(c);
    assert_true(was_told(c, "f"));
}

static void *edit_for_ever(void *arg)
{
    tier_cache *c = arg;
    for (int i = 0; i < 3000; i++)
        put(c, i % 2 ? "d/h" : "d/i", "x");
    return NULL;
}

static void *sync_often(void *arg)
{
    for (int i = 0; i < 200; i++) {
        if (tier_sync(arg, 60000))
            return arg;
    }
    return NULL;
}

static void test_threads(void **state)
{
    tier_cache *c = *state;
    pthread_t threads[3];
    tier_stream *st[2];
    uint64_t last[2] = {0, 0};
    tier_event e = TIER_INIT(tier_event);
    for (int i = 0; i < 2; i++)
        assert_int_equal(tier_stream_open(c, NULL, &st[i]), 0);
    pthread_create(&threads[0], NULL, edit_for_ever, c);
    pthread_create(&threads[1], NULL, sync_often, c);
    pthread_create(&threads[2], NULL, sync_often, c);
    for (int i = 0; i < 2000; i++) {
        if (tier_stream_next(st[i % 2], 1, &e) == 0) {
            assert_true(e.sequence > last[i % 2]);
            last[i % 2] = e.sequence;
        }
    }
    for (int i = 0; i < 3; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    put(c, "d/last", "1"); /* a sync by this thread, while nobody else is there */
    settle(c);
    expect(c, "d/last");
    for (int i = 0; i < 2; i++)
        assert_int_equal(tier_stream_close(&st[i]), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_cache, close_cache)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_fd_alone),  TEST(test_polled_stream), TEST(test_replay),
        TEST(test_arguments), TEST(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
