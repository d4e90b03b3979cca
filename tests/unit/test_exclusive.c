/* test_exclusive.c - an object that is lent to one session at a time is, whoever asks while it is lent: each
 * gets one of his own, built once, and a stream is told of it without it. */
#include "tests/unit/small_world.h"

enum { SESSIONS = 5 };
static int builds;

static int build(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    int rc = q->path ? tier_file(s, q->path, &v) : 0;
    char *object = rc ? NULL : malloc(1);
    (void)user;
    builds++;
    if (rc)
        return rc;
    return object ? tier_out_object(out, object, 1) : TIER_ENOMEM;
}

static int build_above(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_query below = {.type = user, .path = q->path};
    tier_value v;
    int rc = tier_get(s, &below, &v);
    return rc ? rc : tier_out_bytes(out, "above", 5);
}

static void destroy(void *object, void *user)
{
    (void)user;
    free(object);
}

static const tier_type *exclusive(uint32_t flags)
{
    const tier_type *type = NULL;
    tier_type_def d = TIER_INIT(tier_type_def);
    d.name = "tree";
    d.tier = TIER_TREE;
    d.flags = TIER_EXCLUSIVE | flags;
    d.build = build;
    d.destroy = destroy;
    assert_int_equal(tier_define(cache, &d, &type), 0);
    return type;
}

static void lend(uint32_t cache_flags, uint32_t flags)
{
    tier_session *s[SESSIONS];
    tier_value v[SESSIONS];
    put("a", "text");
    open_cache(cache_flags, NULL);
    tier_query q = {.type = exclusive(flags), .path = "a"};
    builds = 0;
    for (int i = 0; i < SESSIONS; i++) {
        s[i] = begin(0);
        assert_int_equal(tier_get(s[i], &q, &v[i]), 0);
        assert_int_equal(builds, i + 1);
        for (int k = 0; k < i; k++)
            assert_ptr_not_equal(v[i].object, v[k].object);
    }
    assert_int_equal(tier_release(s[0], &v[0]), 0);
    assert_int_equal(tier_get(s[1], &q, &v[0]), 0); /* what was given back */
    assert_int_equal(builds, SESSIONS);
    for (int i = 1; i < SESSIONS; i++)
        assert_ptr_not_equal(v[i].object, v[0].object);
    for (int i = 0; i < SESSIONS; i++)
        assert_int_equal(tier_end(&s[i]), 0);
    assert_int_equal(tier_close(&cache), 0);
}

static void one_at_a_time(void **state)
{
    (void)state;
    lend(0, 0);
    lend(0, TIER_PATH_FREE);
}

static void without_memory(void **state)
{
    (void)state;
    lend(TIER_NO_MEMORY, 0);
    lend(TIER_NO_MEMORY, TIER_PATH_FREE);
}

static void below_another(void **state)
{
    (void)state;
    put("a", "text");
    for (uint32_t flags = 0; flags <= TIER_PATH_FREE; flags += TIER_PATH_FREE) {
        open_cache(0, NULL);
        const tier_type *above = define("above", 0, build_above, (void *)exclusive(flags));
        tier_query q = {.type = above, .path = "a"};
        tier_value v;
        builds = 0;
        tier_session *s = begin(0);
        assert_int_equal(tier_get(s, &q, &v), 0);
        assert_int_equal(tier_end(&s), 0);
        put("a", "another text");
        s = begin(0); /* the walk builds what is below, and the build above is given that */
        assert_int_equal(tier_get(s, &q, &v), 0);
        assert_int_equal(tier_end(&s), 0);
        assert_int_equal(builds, 2);
        put("a", "text");
        assert_int_equal(tier_close(&cache), 0);
    }
}

static void streams(void **state)
{
    tier_stream *st;
    tier_stream_options o = TIER_INIT(tier_stream_options);
    tier_event e = TIER_INIT(tier_event);
    tier_value v;
    (void)state;
    put("a", "text");
    open_cache(0, NULL);
    tier_query q = {.type = exclusive(0), .path = "a"};
    o.kinds = TIER_RESULT;
    assert_int_equal(tier_stream_open(cache, &o, &st), 0);
    tier_session *s = begin(0);
    assert_int_equal(tier_get(s, &q, &v), 0);
    assert_int_equal(tier_stream_next(st, 1000, &e), 0);
    assert_int_equal(e.kind, TIER_RESULT);
    assert_ptr_equal(e.type, q.type);
    assert_null(e.value.object);
    assert_int_equal(tier_end(&s), 0);
    assert_int_equal(tier_stream_close(&st), 0);
    assert_int_equal(tier_close(&cache), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_at_a_time, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(without_memory, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(below_another, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(streams, world_setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
