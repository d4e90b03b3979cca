/* objects.h - path-free types, live objects, loans, what a build says of its result. Part of conformance.c.
 */
#ifndef TESTS_CONFORMANCE_OBJECTS_H
#define TESTS_CONFORMANCE_OBJECTS_H
#include "tests/conformance/world.h"

/* ---- path-free types ---- */

static int build_free(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    tier_value v;

    EXPECT(x, !q->path);
    EXPECT(x, !tier_config(s, "mode", &v));
    EXPECT(x, tier_env(s, "CONFORMANCE_NONE", &v) == TIER_EABSENT);
    EXPECT(x, tier_input(s, "none", &v) == TIER_EABSENT);
    return tier_out_bytes(out, q->args, q->args_size);
}

static struct context *path_free(struct world *w, const char *name, build_fn *fn)
{
    tier_type_def d = definition(context(w, fn), name, TIER_TREE);

    d.flags = TIER_PATH_FREE;
    return define(w, &d);
}

static void equal_files_share_a_path_free_value(void **state)
{
    struct world *w = *state;
    struct context *x = path_free(w, "free", build_free);
    tier_query q = {.type = x->type, .args = "same", .args_size = 4};
    tier_value v;

    put(w, "a.c", "same");
    put(w, "b.c", "same");
    put(w, "empty", "");
    get_is(w->s, x, "a.c", "same");
    get_is(w->s, x, "b.c", "same");
    assert_int_equal(x->builds, 1);
    assert_int_equal(tier_get(w->s, &q, &v), 0); /* by its bytes, without a path */
    is_text(&v, "same");
    assert_int_equal(x->builds, 1);
    get_is(w->s, x, "empty", "");
    assert_int_equal(x->builds, 2);
    get_fails(w->s, x, "no.c", TIER_EABSENT);
    dir(w, "d");
    get_fails(w->s, x, "d", TIER_EKIND);
    assert_int_equal(x->builds, 2);
    put(w, "b.c", "not same");
    again(w);
    get_is(w->s, x, "b.c", "not same");
}

/* The content says which call to try; all of them are refused, and returning 0 does not help. */
static int build_free_reads(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    tier_query by_path = {.type = x->type, .path = "ok"},
               other = {.type = x->other, .args = "x", .args_size = 1};
    tier_stat_info info;
    tier_value v;
    char kind;

    switch (*(const char *)q->args) {
    case 'o': /* reads nothing: asking for it by its path is what is wrong */
        return 0;
    case '0':
        x->rc = tier_file(s, "a.c", &v);
        break;
    case '1':
        x->rc = tier_stat(s, "a.c", &kind);
        break;
    case '2':
        x->rc = tier_stat_fields(s, "a.c", TIER_STAT_SIZE, &info);
        break;
    case '3':
        x->rc = tier_list(s, ".", "*", &v);
        break;
    case '4':
        x->rc = tier_realpath(s, "a.c", &v);
        break;
    case '5':
        x->rc = tier_read_elsewhere(s, "a.c", NULL);
        break;
    case '6':
        x->rc = tier_get(s, &by_path, &v);
        break;
    default:
        x->rc = tier_get(s, &other, &v);
        break;
    }
    return tier_out_bytes(out, "got through", 11);
}

static void path_free_builds_read_no_files(void **state)
{
    struct world *w = *state;
    struct context *x = path_free(w, "free", build_free_reads);
    struct context *y = simple(w, "bound", TIER_TREE, build_args);

    x->other = y->type;
    put(w, "a.c", "x");
    put(w, "ok", "ok");
    get_is(w->s, x, "ok", "");
    for (char i = '0'; i <= '7'; i++) {
        const char content[2] = {i, 0};

        put(w, "in", content);
        again(w);
        x->rc = 0;
        get_fails(w->s, x, "in", TIER_EINVAL);
        assert_int_equal(x->rc, TIER_EINVAL);
    }
}

static int build_free_asks(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    tier_query inner = {.type = x->other, .args = q->args, .args_size = q->args_size};
    tier_value v;
    int rc = tier_get(s, &inner, &v);

    return rc ? rc : tier_out_bytes(out, v.data, v.size);
}

static void path_free_builds_ask_by_bytes(void **state)
{
    struct world *w = *state;
    struct context *x = path_free(w, "outer", build_free_asks);
    struct context *y = path_free(w, "inner", build_free);

    x->other = y->type;
    put(w, "a.c", "bytes");
    get_is(w->s, x, "a.c", "bytes");
    assert_int_equal(y->builds, 1);
    get_is(w->s, y, "a.c", "bytes");
    assert_int_equal(y->builds, 1);
}

/* ---- live objects: a header and a pointer into the source, which is held ---- */

struct view {
    const char *text;
    size_t size;
};

static int build_view(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    struct view *o;
    tier_value v;
    int rc = tier_file(s, q->path, &v);

    if (rc)
        return rc;
    o = malloc(sizeof *o);
    if (!o)
        return TIER_ENOMEM;
    o->text = v.data;
    o->size = v.size;
    x->made++;
    EXPECT(x, !tier_out_object(out, o, sizeof *o));
    EXPECT(x, !tier_out_hold(out, &v));
    EXPECT(x, !tier_release(s, &v)); /* the hold is enough */
    return v.data ? TIER_EIO : x->rc;
}

static void destroy_view(void *object, void *user)
{
    struct context *x = user;

    x->destroyed++;
    free(object);
}

/* Only the first line counts. */
static int fingerprint_view(const void *object, tier_out *out, void *user)
{
    const struct view *o = object;
    const char *end = memchr(o->text, '\n', o->size);

    (void)user;
    return tier_out_bytes(out, o->text, end ? (size_t)(end - o->text) : o->size);
}

static struct context *views(struct world *w, bool fingerprint)
{
    tier_type_def d = definition(context(w, build_view), "view", TIER_TREE);

    d.destroy = destroy_view;
    if (fingerprint)
        d.fingerprint = fingerprint_view;
    return define(w, &d);
}

static void view_is(const tier_value *v, const char *text)
{
    const struct view *o = v->object;

    sound(v);
    assert_non_null(o);
    assert_int_equal(o->size, strlen(text));
    assert_memory_equal(o->text, text, o->size);
}

/* That each is destroyed exactly once is asserted after the close, in teardown. */
static void objects_live_with_what_they_point_into(void **state)
{
    struct world *w = *state;
    struct context *x = views(w, false);
    tier_value a, b;

    put(w, "a.c", "text");
    assert_int_equal(get(w->s, x, "a.c", &a), 0);
    view_is(&a, "text");
    assert_null(a.data);
    assert_int_equal(get(w->s, x, "a.c", &b), 0);
    assert_ptr_equal(a.object, b.object);
    assert_int_equal(tier_release(w->s, &b), 0);
    assert_int_equal(tier_detach(w->s, &a), 0);
    assert_int_equal(tier_release(w->s, &a), TIER_EINVAL); /* it is not the session's any more */
    assert_int_equal(tier_detach(w->s, &a), TIER_EINVAL);
    put(w, "a.c", "other");
    again(w);
    view_is(&a, "text"); /* the loan survives its session */
    assert_int_equal(get(w->s, x, "a.c", &b), 0);
    view_is(&b, "other");
    assert_int_equal(tier_release(NULL, &a), 0);
    assert_null(a.object);
}

static void objects_of_failed_builds_are_destroyed(void **state)
{
    struct world *w = *state;
    struct context *x = views(w, false);

    put(w, "a.c", "text");
    x->rc = TIER_EBUILD;
    get_fails(w->s, x, "a.c", TIER_EBUILD);
    assert_int_equal(x->made, 1);
    assert_int_equal(x->destroyed, 1);
}

static void fingerprints_are_the_value_hash(void **state)
{
    struct world *w = *state;
    struct context *x = views(w, true);
    tier_digest hash;
    tier_value v;

    put(w, "a.c", "first\nsecond");
    assert_int_equal(get(w->s, x, "a.c", &v), 0);
    hash = v.hash;
    put(w, "a.c", "first\nanother second");
    again(w);
    assert_int_equal(get(w->s, x, "a.c", &v), 0);
    view_is(&v, "first\nanother second");
    assert_true(same(&hash, &v.hash));
    put(w, "a.c", "other\nsecond");
    again(w);
    assert_int_equal(get(w->s, x, "a.c", &v), 0);
    assert_false(same(&hash, &v.hash));
}

static void undefine_waits_for_loans(void **state)
{
    struct world *w = *state;
    struct context *x = views(w, false);
    tier_value v;

    put(w, "a.c", "text");
    assert_int_equal(get(w->s, x, "a.c", &v), 0);
    assert_int_equal(tier_undefine(w->c, x->type), TIER_EBUSY);
    view_is(&v, "text");
    assert_int_equal(tier_release(w->s, &v), 0);
    assert_int_equal(tier_undefine(w->c, x->type), 0);
    assert_int_equal(x->made, 1);
    assert_int_equal(x->destroyed, 1);
}

static void exclusive_objects_are_lent(void **state)
{
    struct world *w = *state;
    tier_type_def d = definition(context(w, build_view), "view", TIER_TREE);
    struct context *x;
    tier_value v;

    d.destroy = destroy_view;
    d.flags = TIER_EXCLUSIVE;
    x = define(w, &d);
    put(w, "a.c", "text");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(get(w->s, x, "a.c", &v), 0);
        view_is(&v, "text");
        assert_int_equal(tier_release(w->s, &v), 0);
    }
}

/* ---- saved objects: a second cache on the same directory answers the same, loaded or built ---- */

struct number {
    long value;
};

static int give_number(tier_out *out, struct context *x, long value)
{
    struct number *n = malloc(sizeof *n);

    if (!n)
        return TIER_ENOMEM;
    n->value = value;
    x->made++;
    return tier_out_object(out, n, sizeof *n);
}

static int build_number(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    tier_value v;
    int rc = tier_file(s, q->path, &v);

    return rc ? rc : give_number(out, x, strtol(v.data, NULL, 10));
}

static int save_number(const void *object, tier_out *out, void *user)
{
    const struct number *n = object;

    (void)user;
    return tier_out_bytes(out, &n->value, sizeof n->value);
}

static int load_number(const tier_value *saved, tier_out *out, void *user)
{
    struct context *x = user;
    long value;

    if (x->rc || saved->size != sizeof value)
        return TIER_EDAMAGE;
    memcpy(&value, saved->data, sizeof value);
    return give_number(out, x, value);
}

static struct context *numbers(struct world *w)
{
    tier_type_def d = definition(context(w, build_number), "number", TIER_TREE);

    d.destroy = destroy_view;
    d.save = save_number;
    d.load = load_number;
    return define(w, &d);
}

static void number_is(struct world *w, const struct context *x, long value)
{
    tier_value v;

    assert_int_equal(get(w->s, x, "n", &v), 0);
    assert_non_null(v.object);
    assert_int_equal(((const struct number *)v.object)->value, value);
    assert_int_equal(tier_release(w->s, &v), 0);
}

static struct context *reopen(struct world *w)
{
    end(&w->s);
    assert_int_equal(tier_close(&w->c), 0);
    w->c = open_with(w, 0, w->cache);
    w->s = begin(w);
    return numbers(w);
}

static void saved_objects_come_back(void **state)
{
    struct world *w = *state;
    struct context *x = numbers(w);

    put(w, "n", "42");
    number_is(w, x, 42);
    x = reopen(w);
    number_is(w, x, 42);
#ifndef TEST_ORACLE /* it keeps nothing */
    assert_int_equal(x->builds, 0);
#endif
    x = reopen(w);
    x->rc = 1; /* load refuses: built again */
    number_is(w, x, 42);
    assert_int_equal(x->builds, 1);
    put(w, "n", "43");
    again(w);
    number_is(w, x, 43);
}

#ifndef TEST_ORACLE
/* ---- what only a cache does ---- */

static void results_outlive_their_session(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "copy", TIER_TREE, build_copy);
    struct context *y = simple(w, "asks", TIER_DELTA, build_hands_on);

    y->other = x->type;
    put(w, "a.c", "A");
    get_is(w->s, y, "a.c", "A");
    again(w);
    get_is(w->s, y, "a.c", "A");
    assert_int_equal(x->builds + y->builds, 2);
    put(w, "a.c", "other");
    again(w);
    get_is(w->s, y, "a.c", "other");
    assert_int_equal(x->builds + y->builds, 4);
    put(w, "a.c", "A"); /* there and back is a hit */
    again(w);
    get_is(w->s, y, "a.c", "A");
    assert_int_equal(x->builds + y->builds, 4);
}

static int build_length(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    tier_query inner = {.type = x->other, .path = q->path};
    tier_value v;
    int rc = tier_get(s, &inner, &v);

    return rc ? rc : tier_out_bytes(out, "seen", 4);
}

static void equal_fingerprints_cut_off(void **state)
{
    struct world *w = *state;
    struct context *x = views(w, true);
    struct context *y = simple(w, "reader", TIER_DELTA, build_length);

    y->other = x->type;
    put(w, "a.c", "first\nsecond");
    get_is(w->s, y, "a.c", "seen");
    put(w, "a.c", "first\nanother second");
    again(w);
    get_is(w->s, y, "a.c", "seen");
    assert_int_equal(x->builds, 2);
    assert_int_equal(y->builds, 1);
}
#endif
/* ---- tools in forks ---- */

static int build_tool_in_fork(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    tier_session *first = NULL, *second = NULL;

    EXPECT(x, tier_fork(s, &first) == 0 && tier_fork(first, &second) == 0);
    int rc = build_tool(second, q, out, x);
    EXPECT(x, tier_end(&second) == 0 && tier_end(&first) == 0);
    return rc;
}

static void what_tools_read_in_forks_is_digested_twice(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "tool", TIER_DELTA, build_tool_in_fork);

    put(w, "a.c", "x");
    get_fails(w->s, x, "a.c", TIER_ECHANGED);
    again(w);
    x->rc = 1; /* leaves it alone */
    get_is(w->s, x, "a.c", "tool");
}

/* ---- forks that are left behind ---- */

static tier_session *left_behind;

static int build_leaves_fork(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    EXPECT(x, tier_fork(s, &left_behind) == 0);
    return build_copy(s, q, out, x);
}

static void forks_end_before_their_build(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "leave", TIER_TREE, build_leaves_fork);

    put(w, "a.c", "x");
    get_fails(w->s, x, "a.c", TIER_EINVAL);
    file_is(left_behind, "a.c", "x");
    file_fails(left_behind, "b.c", TIER_EABSENT);
    assert_int_equal(tier_end(&w->s), TIER_EBUSY);
    assert_int_equal(tier_end(&left_behind), 0);
    get_fails(w->s, x, "a.c", TIER_EINVAL); /* it is not remembered */
    assert_int_equal(tier_end(&left_behind), 0);
}

#endif
