/* keeping.h - what a build says about how long its result is kept, and invalidation. Part of conformance.c.
 */
#ifndef TESTS_CONFORMANCE_KEEPING_H
#define TESTS_CONFORMANCE_KEEPING_H
#include "tests/conformance/world.h"

/* ---- what a build says of its result ---- */

static int build_says(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    int rc = 0;

    if (x->rc == 1)
        rc = tier_once(s, "read the clock");
    else if (x->rc == 2)
        rc = tier_tag(s, "mark");
    else if (x->rc == 3)
        rc = tier_expires(s, 30);
    EXPECT(x, !rc);
    return build_copy(s, q, out, x);
}

static void sayings_need_a_build(void **state)
{
    struct world *w = *state;

    assert_int_equal(tier_once(w->s, "why"), TIER_EINVAL);
    assert_int_equal(tier_tag(w->s, "tag"), TIER_EINVAL);
    assert_int_equal(tier_expires(w->s, 1000), TIER_EINVAL);
}

static struct context *says(struct world *w, int what)
{
    struct context *x = simple(w, "says", TIER_DELTA, build_says);

    put(w, "a.c", "text");
    x->rc = what;
    get_is(w->s, x, "a.c", "text");
    get_is(w->s, x, "a.c", "text");
    assert_int_equal(x->builds, 1);
    return x;
}

static void once_is_not_kept(void **state)
{
    struct world *w = *state;
    struct context *x = says(w, 1);

    again(w);
    get_is(w->s, x, "a.c", "text");
    assert_int_equal(x->builds, 2);
}

static void expired_results_are_misses(void **state)
{
    struct world *w = *state;
    struct context *x = says(w, 3);
    struct context *y = simple(w, "reader", TIER_DELTA, build_hands_on);

    y->other = x->type;
    get_is(w->s, y, "a.c", "text");
    nap(60);
    again(w);
    get_is(w->s, y, "a.c", "text");
    assert_int_equal(x->builds, 2);
}

/* How often it ran, or always the same; for 30 ms. */
static int build_expires(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    char text[16];

    (void)q;
    EXPECT(x, !tier_expires(s, 30));
    snprintf(text, sizeof text, "%d", x->rc ? 7 : (int)x->builds);
    return tier_out_bytes(out, text, strlen(text));
}

static void no_answer_outlives_what_it_read(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "expires", TIER_DELTA, build_expires);
    struct context *y = simple(w, "reader", TIER_DELTA, build_hands_on);
    struct context *z = simple(w, "above", TIER_DELTA, build_hands_on);

    y->other = x->type;
    z->other = y->type;
    get_is(w->s, z, "a", "1");
    nap(60);
    get_is(w->s, z, "a", "1"); /* a view's clock stands still */
    again(w);
    get_is(w->s, z, "a", "2");
    assert_int_equal(y->builds, 2);
    assert_int_equal(z->builds, 2);
    x->rc = 1;
    nap(60);
    again(w);
    get_is(w->s, z, "a", "7");
    nap(60);
    again(w);
    get_is(w->s, z, "a", "7");
    assert_int_equal(x->builds, 4);
#ifndef TEST_ORACLE
    assert_int_equal(y->builds, 3); /* it came out as it was */
    assert_int_equal(z->builds, 3);
#endif
}

/* A function of its arguments alone, remembered for a while. */
static void functions_are_memoised_until_they_expire(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "function", TIER_DELTA, build_expires);
    tier_query q = {.type = x->type, .args = "6*7", .args_size = 3};
    tier_value v;

    for (int i = 0; i < 3; i++) {
        assert_int_equal(tier_get(w->s, &q, &v), 0);
        is_text(&v, "1");
    }
    q.args = "7*7";
    assert_int_equal(tier_get(w->s, &q, &v), 0);
    is_text(&v, "2");
    nap(60);
    again(w);
    q.args = "6*7";
    assert_int_equal(tier_get(w->s, &q, &v), 0);
    is_text(&v, "3");
    assert_int_equal(x->builds, 3);
}

static void invalidated_results_are_misses(void **state)
{
    struct world *w = *state;
    struct context *x = says(w, 2);

    assert_int_equal(tier_invalidate(w->c, TIER_BY_TAG, "mark"), 0);
    get_is(w->s, x, "a.c", "text"); /* this session has begun */
    assert_int_equal(x->builds, 1);
    again(w);
    get_is(w->s, x, "a.c", "text");
    assert_int_equal(x->builds, 2);
    assert_int_equal(tier_invalidate(w->c, TIER_BY_PATH, "a.c"), 0);
    again(w);
    get_is(w->s, x, "a.c", "text");
    assert_int_equal(x->builds, 3);
    assert_int_equal(tier_invalidate_pattern(w->c, TIER_BY_PATH, "^a\\.[ch]$"), 0);
    again(w);
    get_is(w->s, x, "a.c", "text");
    assert_int_equal(x->builds, 4);
    assert_int_equal(tier_invalidate_pattern(w->c, TIER_BY_PATH, "("), TIER_EINVAL);
    assert_int_equal(tier_invalidate(w->c, TIER_BY_TYPE, "says"), 0);
    again(w);
    get_is(w->s, x, "a.c", "text");
    assert_int_equal(x->builds, 5);
    assert_int_equal(tier_invalidate_pattern(w->c, TIER_BY_TYPE, "^s.*s$"), 0);
    again(w);
    get_is(w->s, x, "a.c", "text");
    assert_int_equal(x->builds, 6);
    nap(5);
    assert_int_equal(tier_invalidate(w->c, TIER_BY_AGE, "2ms"), 0);
    again(w);
    get_is(w->s, x, "a.c", "text");
    assert_int_equal(x->builds, 7);
    assert_int_equal(tier_invalidate(w->c, TIER_BY_AGE, "soon"), TIER_EINVAL);
    assert_int_equal(tier_invalidate_pattern(w->c, TIER_BY_AGE, "1"), TIER_EINVAL);
    assert_int_equal(tier_invalidate(w->c, 0, "a.c"), TIER_EINVAL);
    assert_int_equal(tier_invalidate(w->c, TIER_BY_PATH, NULL), TIER_EINVAL);
}
#endif
