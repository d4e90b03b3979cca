/* building.h - gets, failures, stickiness, cycles, path-free types, objects, loans. Part of conformance.c. */
#ifndef TESTS_CONFORMANCE_BUILDING_H
#define TESTS_CONFORMANCE_BUILDING_H
#include "tests/conformance/world.h"

static void a_get_builds_once(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "copy", TIER_TREE, build_copy);
    tier_value a, b;

    put(w, "a.c", "text");
    assert_int_equal(get(w->s, x, "a.c", &a), 0);
    is_text(&a, "text");
    assert_int_equal(a.from, TIER_BUILT);
    assert_int_equal(get(w->s, x, "./a.c", &b), 0);
    is_text(&b, "text");
    assert_int_equal(b.from, TIER_HIT);
    assert_true(same(&a.hash, &b.hash));
    assert_int_equal(x->builds, 1);
    put(w, "a.c", "other");
    get_is(w->s, x, "a.c", "text");
    again(w);
    get_is(w->s, x, "a.c", "other");
    put(w, "a.c", "text");
    again(w);
    assert_int_equal(get(w->s, x, "a.c", &a), 0);
    is_text(&a, "text");
    assert_true(!a.data || a.size == 4);
}

static int build_args(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    (void)s;
    EXPECT(x, !q->path);
    return tier_out_bytes(out, q->args, q->args_size);
}

static void arguments_are_bytes(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "args", TIER_DELTA, build_args);
    tier_query q = {.type = x->type, .args = "a\0b", .args_size = 3};
    tier_value v;

    assert_int_equal(tier_get(w->s, &q, &v), 0);
    assert_int_equal(v.size, 3);
    assert_memory_equal(v.data, "a\0b", 3);
    q.args_size = 2;
    assert_int_equal(tier_get(w->s, &q, &v), 0);
    assert_int_equal(v.size, 2);
    q.args = "a\0c";
    q.args_size = 3;
    assert_int_equal(tier_get(w->s, &q, &v), 0);
    assert_memory_equal(v.data, "a\0c", 3);
    assert_int_equal(x->builds, 3);
    assert_int_equal(tier_get(w->s, &q, &v), 0);
    assert_int_equal(x->builds, 3);
}

static int build_records(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    (void)s;
    (void)q;
    EXPECT(x, !tier_out_record(out, "one", 3));
    EXPECT(x, !tier_out_record(out, "", 0));
    EXPECT(x, !tier_out_record(out, "three\0", 6));
    return 0;
}

static void records_come_back(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "records", TIER_DELTA, build_records);
    size_t cursor = 0, size;
    const void *data;
    tier_value v;

    assert_int_equal(get(w->s, x, NULL, &v), 0);
    assert_int_equal(tier_next(&v, &cursor, &data, &size), 0);
    assert_int_equal(size, 3);
    assert_memory_equal(data, "one", 3);
    assert_int_equal(tier_next(&v, &cursor, &data, &size), 0);
    assert_int_equal(size, 0);
    assert_int_equal(tier_next(&v, &cursor, &data, &size), 0);
    assert_int_equal(size, 6);
    assert_memory_equal(data, "three\0", 6);
    assert_int_equal(tier_next(&v, &cursor, &data, &size), TIER_END);
    assert_int_equal(tier_next(&v, &cursor, &data, &size), TIER_END);
}

static int build_nothing(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    (void)s;
    (void)q;
    (void)out;
    (void)x;
    return 0;
}

static void an_empty_result_is_one(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "nothing", TIER_DELTA, build_nothing);

    get_is(w->s, x, NULL, "");
    get_is(w->s, x, NULL, "");
    assert_int_equal(x->builds, 1);
}

/* Equal bytes, equal value hash, whatever they were made from. */
static void value_hashes_are_of_the_bytes(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "copy", TIER_TREE, build_copy);
    tier_value a, b, c;

    put(w, "a.c", "same");
    put(w, "b.c", "same");
    put(w, "c.c", "not the same");
    assert_int_equal(get(w->s, x, "a.c", &a), 0);
    assert_int_equal(get(w->s, x, "b.c", &b), 0);
    assert_int_equal(get(w->s, x, "c.c", &c), 0);
    assert_true(same(&a.hash, &b.hash));
    assert_false(same(&a.hash, &c.hash));
}

static void gets_refuse_bad_queries(void **state)
{
    struct world *w = *state;
    tier_query q = {.path = "a.c"};
    tier_value v;

    assert_int_equal(tier_get(w->s, &q, &v), TIER_EINVAL);
    assert_int_equal(tier_get(w->s, NULL, &v), TIER_EINVAL);
    assert_int_equal(tier_file(w->s, NULL, &v), TIER_EINVAL);
    assert_string_not_equal(tier_detail(w->s), "");
}

/* ---- failures ---- */

static int build_fails(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    tier_value v;
    int rc = q->path ? tier_file(s, q->path, &v) : 0;

    tier_out_bytes(out, "half", 4);
    return rc ? rc : tier_fail(s, x->rc, "line 7: no good");
}

static int build_hands_on(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    tier_query inner = {.type = x->other, .path = q->path, .args = q->args, .args_size = q->args_size};
    tier_value v;
    int rc = tier_get(s, &inner, &v);

    x->rc = rc;
    return rc ? rc : tier_out_bytes(out, v.data, v.size);
}

static void bad_input_is_remembered(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "bad", TIER_TREE, build_fails);
    struct context *y = simple(w, "asks", TIER_DELTA, build_hands_on);
    static const tier_digest none;
    tier_digest hash;
    tier_value v;

    x->rc = TIER_EBUILD;
    y->other = x->type;
    put(w, "a.c", "bad");
    assert_int_equal(get(w->s, x, "a.c", &v), TIER_EBUILD);
    assert_non_null(strstr(tier_detail(w->s), "line 7: no good"));
    assert_false(same(&v.hash, &none));
    hash = v.hash;
    assert_null(v.data);
    assert_int_equal(get(w->s, x, "a.c", &v), TIER_EBUILD);
    assert_non_null(strstr(tier_detail(w->s), "line 7: no good"));
    assert_true(same(&v.hash, &hash));
    assert_int_equal(x->builds, 1);
    assert_int_equal(get(w->s, y, "a.c", &v), TIER_EBUILD); /* the one who asked hands it on */
    assert_non_null(strstr(tier_detail(w->s), "line 7: no good"));
    assert_int_equal(x->builds, 1);
    assert_int_equal(tier_fail(w->s, TIER_EBUILD, "outside"), TIER_EBUILD);
}

static void failures_handed_on_are_remembered(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "copy", TIER_TREE, build_copy);

    dir(w, "d");
    get_fails(w->s, x, "no.c", TIER_EABSENT);
    get_fails(w->s, x, "no.c", TIER_EABSENT);
    assert_int_equal(x->builds, 1);
    get_fails(w->s, x, "d", TIER_EKIND);
    get_fails(w->s, x, "d", TIER_EKIND);
    assert_int_equal(x->builds, 2);
    put(w, "no.c", "there");
    again(w);
    get_is(w->s, x, "no.c", "there");
}

static void other_failures_are_not(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "flaky", TIER_TREE, build_fails);

    x->rc = TIER_ETRANSIENT;
    get_fails(w->s, x, NULL, TIER_ETRANSIENT);
    get_fails(w->s, x, NULL, TIER_ETRANSIENT);
    assert_int_equal(x->builds, 2);
    x->rc = TIER_EIO;
    get_fails(w->s, x, NULL, TIER_EIO);
    get_fails(w->s, x, NULL, TIER_EIO);
    assert_int_equal(x->builds, 4);
    x->rc = 0; /* it works now, in the same view */
    get_is(w->s, x, NULL, "half");
}

/* ---- stickiness: each build swallows what it got and returns 0 ---- */

static int swallow(tier_out *out, struct context *x, int rc)
{
    x->rc = rc;
    return tier_out_bytes(out, "swallowed", 9);
}

static int build_swallows_tier(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    tier_query inner = {.type = x->other, .path = q->path};
    tier_value v;

    return swallow(out, x, tier_get(s, &inner, &v));
}

static int build_swallows_cancel(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    tier_value v;

    tier_cancel(x->w->c, tier_session_id(s));
    return swallow(out, x, tier_file(s, q->path, &v));
}

static int build_swallows_timeout(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    tier_value v;

    while (!tier_cancelled(s))
        nap(1);
    return swallow(out, x, tier_file(s, q->path, &v));
}

static int build_swallows_change(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    tier_value v;
    char kind;

    EXPECT(x, !tier_stat(s, q->path, &kind));
    EXPECT(x, spew(at(x->w, q->path), "another size"));
    return swallow(out, x, tier_file(s, q->path, &v));
}

static void a_lower_tier_is_refused(void **state)
{
    struct world *w = *state;
    struct context *low = simple(w, "low", TIER_DELTA, build_copy);
    struct context *x = simple(w, "tree", TIER_TREE, build_swallows_tier);

    x->other = low->type;
    put(w, "a.c", "x");
    get_fails(w->s, x, "a.c", TIER_ETIER);
    assert_int_equal(x->rc, TIER_ETIER);
    assert_int_equal(low->builds, 0);
    get_is(w->s, low, "a.c", "x");
}

static void a_build_reads_its_own_tier_and_upper_ones(void **state)
{
    struct world *w = *state;
    struct context *tree = simple(w, "tree", TIER_TREE, build_copy);
    struct context *tree2 = simple(w, "tree2", TIER_TREE, build_hands_on);
    struct context *delta = simple(w, "delta", TIER_DELTA, build_hands_on);
    struct context *delta2 = simple(w, "delta2", TIER_DELTA, build_hands_on);

    tree2->other = tree->type;
    delta->other = tree2->type;
    delta2->other = delta->type;
    put(w, "a.c", "up");
    get_is(w->s, delta2, "a.c", "up");
    assert_int_equal(tree->builds, 1);
    put(w, "a.c", "and down");
    again(w);
    get_is(w->s, delta2, "a.c", "and down");
}

static void cancellation_sticks(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "cancel", TIER_TREE, build_swallows_cancel);

    put(w, "a.c", "x");
    get_fails(w->s, x, "a.c", TIER_ECANCELED);
    assert_int_equal(x->rc, TIER_ECANCELED);
    again(w);
    get_fails(w->s, x, "a.c", TIER_ECANCELED); /* not remembered: it ran again */
    assert_int_equal(x->builds, 2);
}

static void deadlines_stick(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "late", TIER_TREE, build_swallows_timeout);
    tier_session_options o = TIER_INIT(tier_session_options);
    tier_session *s = NULL;

    put(w, "a.c", "x");
    o.deadline_ms = 20;
    assert_int_equal(tier_begin(w->c, &o, &s), 0);
    get_fails(s, x, "a.c", TIER_ETIMEOUT);
    file_fails(s, "a.c", TIER_ETIMEOUT);
    assert_int_equal(tier_cancelled(s), TIER_ETIMEOUT);
    end(&s);
}

static void changes_stick(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "change", TIER_TREE, build_swallows_change);
    struct context *y = simple(w, "copy", TIER_TREE, build_copy);

    put(w, "a.c", "x");
    get_fails(w->s, x, "a.c", TIER_ECHANGED);
    assert_int_equal(x->rc, TIER_ECHANGED);
    assert_int_equal(tier_end(&w->s), TIER_ECHANGED);
    w->s = begin(w);
    get_is(w->s, y, "a.c", "another size");
}

static int build_tool(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    int rc = tier_read_elsewhere(s, q->path, NULL);

    if (!x->rc)
        EXPECT(x, spew(at(x->w, q->path), "written under the tool"));
    return rc ? rc : tier_out_bytes(out, "tool", 4);
}

static void what_tools_read_is_digested_twice(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "tool", TIER_DELTA, build_tool);

    put(w, "a.c", "x");
    get_fails(w->s, x, "a.c", TIER_ECHANGED);
    again(w);
    x->rc = 1; /* leaves it alone */
    get_is(w->s, x, "a.c", "tool");
    again(w);
    file_is(w->s, "a.c", "written under the tool");
    put(w, "a.c", "newer"); /* a tool would see this, the view has seen the other */
#ifdef TEST_ORACLE
    get_fails(w->s, x, "a.c", TIER_ECHANGED);
#else
    get_is(w->s, x, "a.c", "tool"); /* remembered, and true of the view: no tool runs */
#endif
}

/* ---- cycles ---- */

/* The file named by the path says whom to ask: another path, or nobody. */
static int build_follows(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    tier_query next = {.type = x->type};
    tier_value v;
    int rc = tier_file(s, q->path, &v);

    if (rc)
        return rc;
    if (!v.size)
        return tier_out_bytes(out, "end", 3);
    next.path = v.data;
    x->rc = tier_get(s, &next, &v);
    return swallow(out, x, x->rc); /* a cycle is not to be swallowed */
}

static void cycles_are_clean_errors(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "follow", TIER_TREE, build_follows);

    put(w, "self", "self");
    put(w, "a", "b");
    put(w, "b", "c");
    put(w, "c", "a");
    put(w, "in", "b");
    get_fails(w->s, x, "self", TIER_ECYCLE);
    assert_non_null(strstr(tier_detail(w->s), "follow(self) -> follow(self)"));
    get_fails(w->s, x, "a", TIER_ECYCLE);
    assert_non_null(strstr(tier_detail(w->s), "follow(a) -> follow(b) -> follow(c) -> follow(a)"));
    get_fails(w->s, x, "in", TIER_ECYCLE);
    assert_non_null(strstr(tier_detail(w->s), "follow(b) -> follow(c) -> follow(a) -> follow(b)"));
    get_fails(w->s, x, "c", TIER_ECYCLE);
    put(w, "c", "");
    again(w);
    get_is(w->s, x, "c", "end");
    get_is(w->s, x, "in", "swallowed");
    get_is(w->s, x, "a", "swallowed");
}

static int build_meets(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    tier_query next = {.type = x->type, .path = strcmp(q->path, "a") ? "a" : "b"};
    tier_value v;

    if (x->arrived++ < 2) /* the first two meet, so that each build waits for the other's */
        while (x->arrived < 2)
            nap(1);
    return swallow(out, x, tier_get(s, &next, &v));
}

struct asker {
    tier_session *s;
    const struct context *x;
    const char *path;
    tier_value v;
    char detail[256];
    int rc;
};

static void *ask(void *user)
{
    struct asker *a = user;

    a->rc = get(a->s, a->x, a->path, &a->v);
    snprintf(a->detail, sizeof a->detail, "%s", tier_detail(a->s));
    return NULL;
}

static void ask_both(struct world *w, struct asker *a)
{
    pthread_t t[2];

    for (int i = 0; i < 2; i++)
        assert_int_equal(tier_fork(w->s, &a[i].s), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&t[i], NULL, ask, &a[i]), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
    for (int i = 0; i < 2; i++)
        end(&a[i].s);
}

static void cycles_over_two_threads_are_found(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "meet", TIER_TREE, build_meets);
    struct asker a[2] = {{.x = x, .path = "a"}, {.x = x, .path = "b"}};

    ask_both(w, a);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(a[i].rc, TIER_ECYCLE);
        assert_non_null(strstr(a[i].detail, "meet(a)"));
        assert_non_null(strstr(a[i].detail, "meet(b)"));
    }
}

static int build_descends(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    int left;
    tier_query next = {.type = x->type, .args = &left, .args_size = sizeof left};
    tier_value v;

    memcpy(&left, q->args, sizeof left);
    if (!left--)
        return tier_out_bytes(out, "bottom", 6);
    return swallow(out, x, tier_get(s, &next, &v));
}

static void nesting_is_bounded(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "deep", TIER_TREE, build_descends);
    int left = 500;
    tier_query q = {.type = x->type, .args = &left, .args_size = sizeof left};
    tier_value v;

    assert_int_equal(tier_get(w->s, &q, &v), 0);
    is_text(&v, "swallowed");
    left = 1000000;
    assert_int_equal(tier_get(w->s, &q, &v), TIER_ECYCLE);
    assert_string_not_equal(tier_detail(w->s), "");
}

/* ---- threads ---- */

static int build_slowly(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    nap(20);
    return build_copy(s, q, out, x);
}

static void one_build_for_all_threads(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "slow", TIER_TREE, build_slowly);
    struct asker a[2] = {{.x = x, .path = "a.c"}, {.x = x, .path = "a.c"}};

    put(w, "a.c", "x");
    ask_both(w, a);
    assert_int_equal(a[0].rc, 0);
    assert_int_equal(a[1].rc, 0);
    assert_int_equal(x->builds, 1);
    assert_true(same(&a[0].v.hash, &a[1].v.hash));
}

static int build_until_cancelled(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    (void)q;
    if (x->arrived++)
        return tier_out_bytes(out, "fine", 4);
    while (!tier_cancelled(s))
        nap(1);
    return tier_cancelled(s);
}

static void waiters_do_not_inherit_cancellation(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "block", TIER_TREE, build_until_cancelled);
    struct asker first = {.x = x}, second = {.x = x};
    pthread_t a, b;

    assert_int_equal(tier_fork(w->s, &first.s), 0);
    assert_int_equal(tier_fork(w->s, &second.s), 0);
    assert_int_equal(pthread_create(&a, NULL, ask, &first), 0);
    while (!x->arrived)
        nap(1);
    assert_int_equal(pthread_create(&b, NULL, ask, &second), 0);
    nap(20);
    tier_cancel(w->c, tier_session_id(first.s));
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    assert_int_equal(first.rc, TIER_ECANCELED);
    assert_int_equal(second.rc, 0);
    is_text(&second.v, "fine");
    end(&first.s);
    end(&second.s);
}

static int build_forks(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    tier_query inner = {.type = x->other, .path = q->path};
    tier_session *child = NULL;
    tier_value v;

    EXPECT(x, !tier_fork(s, &child));
    x->rc = tier_get(child, &inner, &v);
    EXPECT(x, !tier_end(&child));
    return tier_out_bytes(out, "forked", 6);
}

static void a_forks_reads_are_the_builds(void **state)
{
    struct world *w = *state;
    struct context *low = simple(w, "low", TIER_DELTA, build_copy);
    struct context *x = simple(w, "forks", TIER_TREE, build_forks);
    struct context *y = simple(w, "forks2", TIER_TREE, build_forks);

    put(w, "a.c", "x");
    x->other = low->type;
    get_fails(w->s, x, "a.c", TIER_ETIER);
    assert_int_equal(x->rc, TIER_ETIER);
    y->other = y->type; /* through a fork, but its own result all the same */
    get_fails(w->s, y, "a.c", TIER_ECYCLE);
    assert_int_equal(y->rc, TIER_ECYCLE);
}
#endif
