/* test_stale.c - old answers where a session asked for them: given at once, flagged with their age, catching,
 * repeated in their view, known to nobody else. */
#include <time.h>
#include "tests/unit/small_world.h"
#include "coherence/manager.h"

static const tier_type *copy, *pair, *fork_copy;
static int copies, pairs, forks; /* builds */
static bool failing;

static int build_copy(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    (void)user;
    copies++;
    int rc = tier_file(s, q->path, &v);
    if (!rc && failing)
        rc = tier_fail(s, TIER_EBUILD, "bad input");
    if (!rc)
        rc = tier_tag(s, "tagged");
    return rc ? rc : tier_out_bytes(out, v.data, v.size);
}

static int get(tier_session *s, const tier_type *type, const char *path, tier_value *v)
{
    tier_query q = {.type = type, .path = path};
    return tier_get(s, &q, v);
}

/* The copies of a and b, joined. */
static int build_pair(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value a, b;
    (void)q;
    (void)user;
    pairs++;
    int rc = get(s, copy, "a", &a);
    if (!rc)
        rc = get(s, copy, "b", &b);
    if (!rc)
        rc = tier_out_bytes(out, a.data, a.size);
    return rc ? rc : tier_out_bytes(out, b.data, b.size);
}

static int build_fork(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_session *child = NULL;
    tier_value v;
    (void)user;
    forks++;
    int rc = tier_fork(s, &child);
    if (!rc)
        rc = get(child, copy, q->path, &v);
    if (!rc)
        rc = tier_out_bytes(out, v.data, v.size);
    tier_end(&child);
    return rc;
}

static void open_all(const char *more)
{
    open_cache(0, more);
    copy = define("copy", 0, build_copy, NULL);
    pair = define("pair", 0, build_pair, NULL);
    fork_copy = define("fork", 0, build_fork, NULL);
}

static int setup(void **state)
{
    copies = pairs = forks = 0;
    failing = false;
    if (world_setup(state))
        return -1;
    put("a", "old a");
    put("b", "old b");
    open_all(NULL);
    return 0;
}

/* One get in a session of its own. */
static void ask(uint32_t flags, const tier_type *type, const char *path, const char *want, uint32_t from)
{
    tier_value v;
    tier_session *s = begin(flags);
    assert_int_equal(get(s, type, path, &v), 0);
    assert_int_equal(v.size, strlen(want));
    assert_memory_equal(v.data, want, v.size);
    if ((v.from == TIER_STALE) != (from == TIER_STALE) || (from && v.from != from))
        fail_msg("'%s' came from %u, not %u", want, v.from, from);
    if (v.from != TIER_STALE)
        assert_int_equal(v.age_ms, 0);
    assert_int_equal(tier_end(&s), 0);
}

static void nap_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static void the_old_answer_comes_at_once(void **state)
{
    tier_value v;
    (void)state;
    ask(0, copy, "a", "old a", TIER_BUILT);
    put("a", "a newer one");
    nap_ms(5);
    tier_session *s = begin(TIER_MAY_BE_STALE);
    assert_int_equal(get(s, copy, "a", &v), 0);
    assert_int_equal(v.from, TIER_STALE);
    assert_in_range(v.age_ms, 5, 60000);
    assert_memory_equal(v.data, "old a", 6);
    assert_int_equal(copies, 1);
    ask(0, copy, "a", "a newer one", TIER_BUILT); /* the host revalidates meanwhile */
    assert_int_equal(get(s, copy, "a", &v), 0);   /* and the view says what it said */
    assert_int_equal(v.from, TIER_STALE);
    assert_memory_equal(v.data, "old a", 6);
    assert_int_equal(tier_end(&s), 0);
    ask(TIER_MAY_BE_STALE, copy, "a", "a newer one", TIER_VERIFIED);
    assert_int_equal(copies, 2);
}

static void what_holds_is_fresh(void **state)
{
    (void)state;
    ask(0, copy, "a", "old a", TIER_BUILT);
    ask(0, copy, "b", "old b", TIER_BUILT);
    put("a", "a newer one");
    ask(TIER_MAY_BE_STALE, copy, "b", "old b", TIER_VERIFIED);
    ask(TIER_MAY_BE_STALE, copy, "a", "old a", TIER_STALE);
    put("a", "old a"); /* back again: it holds */
    ask(TIER_MAY_BE_STALE, copy, "a", "old a", TIER_VERIFIED);
    assert_int_equal(copies, 2);
}

static void nobody_is_stale_who_did_not_ask(void **state)
{
    (void)state;
    ask(0, pair, NULL, "old aold b", TIER_BUILT);
    put("a", "new a");
    ask(0, pair, NULL, "new aold b", TIER_BUILT);
    put("a", "newer a");
    assert_int_equal(tier_close(&cache), 0);
    open_all("stale.max_age=0"); /* asked for, not permitted, however young it is */
    tier_value v;
    tier_session *s = begin(TIER_MAY_BE_STALE);
    s->view->clock_ms -= 3600000;
    assert_int_equal(get(s, pair, NULL, &v), 0);
    assert_int_equal(v.from, TIER_BUILT);
    assert_memory_equal(v.data, "newer aold b", 12);
    assert_int_equal(tier_end(&s), 0);
    assert_int_equal(copies, 4);
    assert_int_equal(pairs, 3);
}

static void too_old_is_not_given(void **state)
{
    (void)state;
    assert_int_equal(tier_close(&cache), 0);
    open_all("stale.max_age=40ms");
    ask(0, copy, "a", "old a", TIER_BUILT);
    nap_ms(60);
    put("a", "new a");
    ask(TIER_MAY_BE_STALE, copy, "a", "new a", TIER_BUILT);
    assert_int_equal(copies, 2);
}

/* The age counts from when it was last found to hold, not from when it was made. */
static void age_is_since_it_was_true(void **state)
{
    tier_value v;
    (void)state;
    ask(0, copy, "a", "old a", TIER_BUILT);
    tier_session *s = begin(0);
    int64_t then = s->view->clock_ms += 600000;
    assert_int_equal(get(s, copy, "a", &v), 0);
    assert_int_equal(v.from, TIER_VERIFIED);
    assert_int_equal(tier_end(&s), 0);
    put("a", "new a");
    s = begin(TIER_MAY_BE_STALE);
    s->view->clock_ms = then + 7;
    assert_int_equal(get(s, copy, "a", &v), 0);
    assert_int_equal(v.from, TIER_STALE);
    assert_int_equal(v.age_ms, 7);
    assert_int_equal(tier_end(&s), 0);
}

/* Deep below something changed: what was asked for is answered, and nothing at all is built. */
static void the_request_itself_is_answered(void **state)
{
    (void)state;
    ask(0, pair, NULL, "old aold b", TIER_BUILT);
    put("b", "new b");
    ask(TIER_MAY_BE_STALE, pair, NULL, "old aold b", TIER_STALE);
    assert_int_equal(copies, 2);
    assert_int_equal(pairs, 1);
}

/* It was never asked for before, so it is built, out of an old copy: stale itself, and kept by nobody. */
static void staleness_catches(void **state)
{
    tier_stream *st = NULL;
    tier_stream_options o = TIER_INIT(tier_stream_options);
    tier_event e = TIER_INIT(tier_event);
    tier_value v;
    (void)state;
    ask(0, copy, "a", "old a", TIER_BUILT);
    put("a", "new a");
    o.kinds = TIER_RESULT;
    o.type = pair;
    assert_int_equal(tier_stream_open(cache, &o, &st), 0);
    tier_session *s = begin(TIER_MAY_BE_STALE);
    assert_int_equal(get(s, pair, NULL, &v), 0);
    assert_int_equal(v.from, TIER_STALE);
    assert_memory_equal(v.data, "old aold b", 10);
    assert_int_equal(get(s, pair, NULL, &v), 0); /* not built again in this view */
    assert_int_equal(v.from, TIER_STALE);
    assert_int_equal(get(s, copy, "b", &v), 0); /* and what was read fresh is fresh */
    assert_int_equal(v.from, TIER_HIT);
    assert_int_equal(tier_end(&s), 0);
    assert_int_equal(pairs, 1);
    assert_int_equal(copies, 2);
    assert_int_equal(tier_stream_next(st, 0, &e), TIER_ETIMEOUT);
    assert_int_equal(tier_stream_close(&st), 0);
    assert_int_equal(tier_close(&cache), 0);
    open_all(NULL);
    ask(0, pair, NULL, "new aold b", TIER_BUILT);
    assert_int_equal(pairs, 2);
    assert_int_equal(copies, 3);
}

static void it_comes_through_forks(void **state)
{
    (void)state;
    ask(0, copy, "a", "old a", TIER_BUILT);
    put("a", "new a");
    ask(TIER_MAY_BE_STALE, fork_copy, "a", "old a", TIER_STALE);
    ask(0, fork_copy, "a", "new a", TIER_BUILT);
    ask(TIER_MAY_BE_STALE, fork_copy, "a", "new a", TIER_VERIFIED);
    assert_int_equal(forks, 2);
}

/* A result that reads another one that was built out of stale answers. */
static void a_walk_compares_with_nothing_stale(void **state)
{
    tier_value v;
    (void)state;
    ask(0, pair, NULL, "old aold b", TIER_BUILT);
    assert_int_equal(tier_close(&cache), 0);
    open_all(NULL);
    put("a", "new a");
    tier_session *s = begin(TIER_MAY_BE_STALE);
    assert_int_equal(get(s, copy, "a", &v), 0); /* stale, with the hash that pair recorded */
    assert_int_equal(v.from, TIER_STALE);
    assert_int_equal(get(s, pair, NULL, &v), 0);
    assert_int_equal(v.from, TIER_STALE); /* no proof that it holds */
    assert_int_equal(tier_end(&s), 0);
}

static void invalidated_answers_are_not_given(void **state)
{
    (void)state;
    ask(0, copy, "a", "old a", TIER_BUILT);
    assert_int_equal(tier_invalidate(cache, TIER_BY_TAG, "tagged"), 0);
    ask(TIER_MAY_BE_STALE, copy, "a", "old a", TIER_BUILT);
    assert_int_equal(copies, 2);
}

static void failures_are_built_anew(void **state)
{
    tier_value v;
    (void)state;
    failing = true;
    tier_session *s = begin(0);
    assert_int_equal(get(s, copy, "a", &v), TIER_EBUILD);
    assert_int_equal(tier_end(&s), 0);
    put("a", "mended");
    failing = false;
    ask(TIER_MAY_BE_STALE, copy, "a", "mended", TIER_BUILT);
}

static void a_peek_may_be_stale_too(void **state)
{
    tier_query q = {.type = copy, .path = "a"};
    tier_value v;
    (void)state;
    tier_session *s = begin(TIER_MAY_BE_STALE);
    assert_int_equal(tier_peek(s, &q, &v), TIER_EABSENT);
    assert_int_equal(tier_end(&s), 0);
    ask(0, copy, "a", "old a", TIER_BUILT);
    put("a", "new a");
    s = begin(0);
    assert_int_equal(tier_peek(s, &q, &v), TIER_EABSENT);
    assert_int_equal(tier_end(&s), 0);
    s = begin(TIER_MAY_BE_STALE);
    assert_int_equal(tier_peek(s, &q, &v), 0);
    assert_int_equal(v.from, TIER_STALE);
    assert_int_equal(tier_end(&s), 0);
    assert_int_equal(copies, 1);
}

static void another_process_has_them_too(void **state)
{
    (void)state;
    ask(0, pair, NULL, "old aold b", TIER_BUILT);
    assert_int_equal(tier_close(&cache), 0);
    put("a", "new a");
    open_all(NULL);
    ask(TIER_MAY_BE_STALE, pair, NULL, "old aold b", TIER_STALE);
    assert_int_equal(pairs, 1);
    ask(0, pair, NULL, "new aold b", TIER_BUILT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
    static const struct CMUnitTest tests[] = {
        TEST(the_old_answer_comes_at_once),
        TEST(what_holds_is_fresh),
        TEST(nobody_is_stale_who_did_not_ask),
        TEST(too_old_is_not_given),
        TEST(age_is_since_it_was_true),
        TEST(the_request_itself_is_answered),
        TEST(staleness_catches),
        TEST(it_comes_through_forks),
        TEST(a_walk_compares_with_nothing_stale),
        TEST(invalidated_answers_are_not_given),
        TEST(failures_are_built_anew),
        TEST(a_peek_may_be_stale_too),
        TEST(another_process_has_them_too),
    };
    return cmocka_run_group_tests_name("stale", tests, NULL, NULL);
}
