/* test_ban.c - what a ban strikes, by each way of naming it, in this process and in the next one. */
#include "tests/unit/small_world.h"
#include "coherence/manager.h"

static const tier_type *face, *deep_face, *count_type;
static int built[3];
static int64_t behind_ms; /* of views' clocks */

static int build(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    ++*(int *)user;
    int rc = tier_file(s, q->path, &v);
    if (!rc)
        rc = tier_tag(s, q->path);
    return rc ? rc : tier_out_bytes(out, v.data, v.size);
}

static void define_all(void)
{
    face = define("face", 0, build, &built[0]);
    deep_face = define("deep face", 0, build, &built[1]);
    count_type = define("count", 0, build, &built[2]);
}

static void open_all(void)
{
    open_cache(0, NULL);
    define_all();
}

static void ask(const tier_type *type, const char *path)
{
    tier_query q = {.type = type, .path = path};
    tier_value v;
    tier_session *s = begin(0);
    s->view->clock_ms -= behind_ms;
    assert_int_equal(tier_get(s, &q, &v), 0);
    assert_int_equal(tier_end(&s), 0);
}

/* Asks for all six, and how many of each type were built for it. */
static void builds(int faces, int deep, int counts)
{
    memset(built, 0, sizeof built);
    const tier_type *types[] = {face, deep_face, count_type};
    for (int i = 0; i < 3; i++) {
        ask(types[i], "a.c");
        ask(types[i], "b.h");
    }
    assert_int_equal(built[0], faces);
    assert_int_equal(built[1], deep);
    assert_int_equal(built[2], counts);
}

static void again(void)
{
    assert_int_equal(tier_close(&cache), 0);
    open_all();
}

static int setup(void **state)
{
    if (world_setup(state))
        return -1;
    put("a.c", "text");
    put("b.h", "text");
    open_all();
    behind_ms = 7200000;
    builds(2, 2, 2);
    behind_ms = 0;
    builds(0, 0, 0);
    return 0;
}

static void by_name(void **state)
{
    (void)state;
    assert_int_equal(tier_invalidate(cache, TIER_BY_TYPE, "face"), 0);
    builds(2, 0, 0);
    assert_int_equal(tier_invalidate(cache, TIER_BY_TAG, "a.c"), 0);
    builds(1, 1, 1);
    assert_int_equal(tier_invalidate(cache, TIER_BY_PATH, "b.h"), 0);
    builds(1, 1, 1);
    assert_int_equal(tier_invalidate(cache, TIER_BY_TYPE, "none"), 0);
    builds(0, 0, 0);
    assert_int_equal(tier_invalidate(cache, TIER_BY_TYPE, "count"), 0);
    again(); /* the row says it to others */
    builds(0, 0, 2);
    again();
    builds(0, 0, 0); /* and does not strike what came after it */
}

static void by_pattern(void **state)
{
    (void)state;
    assert_int_equal(tier_invalidate_pattern(cache, TIER_BY_PATH, "\\.h$"), 0);
    builds(1, 1, 1);
    assert_int_equal(tier_invalidate_pattern(cache, TIER_BY_TYPE, "face$"), 0);
    builds(2, 2, 0);
    assert_int_equal(tier_invalidate_pattern(cache, TIER_BY_TYPE, "^face"), 0);
    builds(2, 0, 0);
    assert_int_equal(tier_invalidate_pattern(cache, TIER_BY_TAG, "^a"), 0);
    builds(1, 1, 1);
    assert_int_equal(tier_invalidate_pattern(cache, 0, "a"), TIER_EINVAL);
    assert_int_equal(tier_invalidate_pattern(cache, TIER_BY_AGE, "a"), TIER_EINVAL);
}

/* A row of another process is read by whoever has used patterns himself, and taken for all types by whoever
 * has not. */
static void patterns_of_others(void **state)
{
    (void)state;
    assert_int_equal(tier_invalidate_pattern(cache, TIER_BY_TYPE, "^face"), 0);
    again();
    assert_int_equal(tier_invalidate_pattern(cache, TIER_BY_TYPE, "^none$"), 0);
    builds(2, 0, 0);
    assert_int_equal(tier_invalidate_pattern(cache, TIER_BY_TYPE, "^face"), 0);
    again();
    builds(2, 2, 2);
}

static void by_age(void **state)
{
    (void)state;
    put("a.c", "newer text");
    builds(1, 1, 1);
    assert_int_equal(tier_invalidate(cache, TIER_BY_AGE, "3h"), 0);
    builds(0, 0, 0);
    assert_int_equal(tier_invalidate(cache, TIER_BY_AGE, "1h"), 0);
    again();
    builds(1, 1, 1);
    assert_int_equal(tier_invalidate(cache, TIER_BY_AGE, "yesterday"), TIER_EINVAL);
    assert_int_equal(tier_invalidate(cache, 3, "1h"), TIER_EINVAL);
}

static int outside(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    (void)q;
    int rc = tier_tag(s, "outside");
    return rc ? rc : tier_out_bytes(out, user, sizeof(int));
}

/* The answers before and after a ban lie under one content key: a view that is bound to the older one is not
 * given the bytes of the newer. */
static void answers_of_one_key(void **state)
{
    int world = 1;
    const tier_type *type = define("outside", 0, outside, &world);
    tier_query q = {.type = type};
    tier_value v;
    (void)state;
    tier_session *old = begin(0), *fork;
    assert_int_equal(tier_get(old, &q, &v), 0);
    assert_int_equal(tier_fork(old, &fork), 0);
    world = 2;
    assert_int_equal(tier_invalidate(cache, TIER_BY_TAG, "outside"), 0);
    tier_session *s = begin(0);
    assert_int_equal(tier_get(s, &q, &v), 0);
    assert_int_equal(*(const int *)v.data, 2);
    assert_int_equal(tier_get(fork, &q, &v), 0);
    int seen = *(const int *)v.data;
    assert_int_equal(tier_end(&s), 0);
    assert_int_equal(tier_end(&fork), 0);
    assert_int_equal(tier_end(&old), 0);
    assert_int_equal(seen, 1);
    assert_int_equal(counted("alarm.undeclared"), 0); /* that it differs now is what the ban says */
}

/* More bans than are kept, in a cache that nobody else bans in: that there was one for faces is forgotten. */
static void many(void **state)
{
    (void)state;
    assert_int_equal(tier_close(&cache), 0);
    open_cache(0, "store.persist=off");
    define_all();
    builds(2, 2, 2);
    assert_int_equal(tier_invalidate(cache, TIER_BY_TYPE, "face"), 0);
    for (int i = 0; i < TIER__BAN_KNOWN; i++)
        assert_int_equal(tier_invalidate(cache, TIER_BY_TYPE, "none"), 0);
    builds(2, 2, 2);
    builds(0, 0, 0);
}

/* The log is cut before the last ban here, and what was born before the cut and comes to the disk after it is
 * not stored: what waits goes there with the ban that it is older than. */
static void what_waits_is_stored(void **state)
{
    (void)state;
    for (int i = 1; i < TIER__BAN_MAX; i++)
        assert_int_equal(tier_invalidate(cache, TIER_BY_TYPE, "none"), 0);
    put("a.c", "newer text");
    builds(1, 1, 1);
    for (int i = 0; i < 2; i++)
        assert_int_equal(tier_invalidate(cache, TIER_BY_TYPE, "none"), 0);
    again();
    builds(0, 0, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
    static const struct CMUnitTest tests[] = {
        TEST(by_name),
        TEST(by_pattern),
        TEST(patterns_of_others),
        TEST(by_age),
        TEST(answers_of_one_key),
        TEST(many),
        TEST(what_waits_is_stored),
    };
    return cmocka_run_group_tests_name("bans", tests, NULL, NULL);
}
