/* outside.h - sessions, cancellation, overlays, streams, warming, looking inside. Part of conformance.c. */
#ifndef TESTS_CONFORMANCE_OUTSIDE_H
#define TESTS_CONFORMANCE_OUTSIDE_H
#include "tests/conformance/world.h"

/* ---- sessions ---- */

static void sessions_are_told_apart(void **state)
{
    struct world *w = *state;
    tier_session_options o = TIER_INIT(tier_session_options);
    tier_session *s = NULL, *t = NULL;
    uint64_t id;

    assert_int_equal(tier_begin(w->c, &o, &s), 0);
    id = tier_session_id(s);
    assert_true(id != tier_session_id(w->s));
    assert_string_equal(tier_detail(s), "");
    end(&s);
    assert_int_equal(tier_begin(w->c, NULL, &s), 0);
    assert_true(tier_session_id(s) != id);
    end(&s);
    tier_cancel(w->c, id); /* long gone: no effect */
    assert_int_equal(tier_cancelled(w->s), 0);
    o.struct_size = 0;
    assert_int_equal(tier_begin(w->c, &o, &t), TIER_EINVAL);
    o.struct_size = sizeof o;
    o.flags = 1u << 30;
    assert_int_equal(tier_begin(w->c, &o, &t), TIER_EINVAL);
    assert_null(t);
}

static void details_end_with_the_next_call(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "copy", TIER_TREE, build_copy);
    tier_session *child = NULL;
    tier_value v;
    char kind;

    put(w, "a.c", "x");
    for (int call = 0; call < 6; call++) {
        file_fails(w->s, "none", TIER_EABSENT);
        assert_string_not_equal(tier_detail(w->s), "");
        if (call == 0)
            assert_int_equal(tier_file(w->s, "a.c", &v), 0);
        else if (call == 1)
            assert_int_equal(tier_stat(w->s, "a.c", &kind), 0);
        else if (call == 2)
            assert_int_equal(tier_list(w->s, ".", "*", &v), 0);
        else if (call == 3)
            assert_int_equal(tier_config(w->s, "mode", &v), 0);
        else if (call == 4)
            get_is(w->s, x, "a.c", "x");
        else
            assert_int_equal(tier_fork(w->s, &child), 0);
        assert_string_equal(tier_detail(w->s), "");
    }
    end(&child);
    get_fails(w->s, x, "none", TIER_EABSENT);
    assert_string_not_equal(tier_detail(w->s), "");
    get_is(w->s, x, "a.c", "x"); /* known by now */
    assert_string_equal(tier_detail(w->s), "");
}

static void forks_share_the_view(void **state)
{
    struct world *w = *state;
    tier_session *child = NULL, *grandchild = NULL, *before = w->s;

    put(w, "a.c", "old");
    put(w, "b.c", "old");
    file_is(w->s, "a.c", "old");
    assert_int_equal(tier_fork(w->s, &child), 0);
    assert_int_equal(tier_fork(child, &grandchild), 0);
    file_is(grandchild, "b.c", "old");
    put(w, "a.c", "newer");
    put(w, "b.c", "newer");
    file_is(child, "a.c", "old");
    file_is(w->s, "b.c", "old");
    assert_int_equal(tier_end(&w->s), TIER_EBUSY);
    assert_ptr_equal(w->s, before);
    assert_int_equal(tier_end(&child), TIER_EBUSY);
    file_is(w->s, "a.c", "old"); /* nothing ended */
    end(&grandchild);
    end(&child);
    again(w);
    file_is(w->s, "a.c", "newer");
}

static void two_sessions_are_two_views(void **state)
{
    struct world *w = *state;
    tier_session *s;

    put(w, "a.c", "old");
    file_is(w->s, "a.c", "old");
    put(w, "a.c", "newer");
    s = begin(w);
    file_is(s, "a.c", "newer");
    file_is(w->s, "a.c", "old");
    end(&s);
}

static void cancelling_reaches_the_forks(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "copy", TIER_TREE, build_copy);
    tier_session *child = NULL, *other = NULL;
    tier_value v;
    char kind;

    put(w, "a.c", "x");
    assert_int_equal(tier_fork(w->s, &child), 0);
    assert_int_equal(tier_fork(w->s, &other), 0);
    tier_cancel(w->c, tier_session_id(other));
    file_fails(other, "a.c", TIER_ECANCELED);
    assert_int_equal(tier_cancelled(other), TIER_ECANCELED);
    assert_int_equal(tier_cancelled(child), 0);
    file_is(child, "a.c", "x");
    tier_cancel(w->c, tier_session_id(w->s));
    file_fails(w->s, "a.c", TIER_ECANCELED);
    file_fails(child, "a.c", TIER_ECANCELED);
    assert_int_equal(tier_stat(child, "a.c", &kind), TIER_ECANCELED);
    assert_int_equal(tier_list(child, ".", "*", &v), TIER_ECANCELED);
    assert_int_equal(tier_env(child, "PATH", &v), TIER_ECANCELED);
    get_fails(child, x, "a.c", TIER_ECANCELED);
    assert_int_equal(x->builds, 0);
    end(&other);
    end(&child);
    again(w);
    get_is(w->s, x, "a.c", "x");
}

static void newer_changes_cancel_where_asked(void **state)
{
    struct world *w = *state;
    tier_session_options o = TIER_INIT(tier_session_options);
    tier_session *s = NULL;

    put(w, "a.c", "x");
    o.flags = TIER_CANCEL_ON_CHANGE;
    assert_int_equal(tier_begin(w->c, &o, &s), 0);
    file_is(s, "a.c", "x");
    assert_int_equal(tier_overlay(w->c, "a.c", 1, "typed", 5), 0);
    assert_int_equal(tier_cancelled(s), TIER_ECANCELED);
    assert_int_equal(tier_cancelled(w->s), 0);
    end(&s);
    assert_int_equal(tier_begin(w->c, &o, &s), 0);
    assert_int_equal(tier_cancelled(s), 0);
    file_is(s, "a.c", "typed");
    assert_int_equal(tier_set_input(w->c, "opt", "1", 1), 0);
    assert_int_equal(tier_cancelled(s), TIER_ECANCELED);
    end(&s);
}

static void deadlines_pass(void **state)
{
    struct world *w = *state;
    tier_session_options o = TIER_INIT(tier_session_options);
    tier_session *s = NULL;

    put(w, "a.c", "x");
    o.deadline_ms = 1;
    assert_int_equal(tier_begin(w->c, &o, &s), 0);
    nap(20);
    file_fails(s, "a.c", TIER_ETIMEOUT);
    end(&s);
    o.deadline_ms = 1000000;
    assert_int_equal(tier_begin(w->c, &o, &s), 0);
    file_is(s, "a.c", "x");
    end(&s);
}

/* ---- overlays ---- */

static void overlays_are_unsaved_buffers(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "copy", TIER_TREE, build_copy);
    tier_stat_info info;
    char text[] = "typed";

    put(w, "a.c", "saved");
    assert_int_equal(tier_overlay(w->c, "./a.c", 1, text, 5), 0);
    memset(text, 'x', 5); /* it was copied */
    file_is(w->s, "a.c", "saved");
    again(w);
    file_is(w->s, "a.c", "typed");
    get_is(w->s, x, "a.c", "typed");
    assert_int_equal(tier_overlay(w->c, "a.c", 3, "typed more", 10), 0);
    assert_int_equal(tier_overlay(w->c, "a.c", 2, "late", 4), 0); /* lower: ignored */
    get_is(w->s, x, "a.c", "typed");
    again(w);
    get_is(w->s, x, "a.c", "typed more");
    assert_int_equal(tier_stat_fields(w->s, "a.c", TIER_STAT_SIZE, &info), 0);
    assert_int_equal(info.kind, 'f');
    assert_int_equal(info.size, 10);
    assert_int_equal(tier_overlay(w->c, "a.c", 4, NULL, 0), 0);
    again(w);
    get_is(w->s, x, "a.c", "saved");
    assert_int_equal(tier_stat_fields(w->s, "a.c", TIER_STAT_SIZE, &info), 0);
    assert_int_equal(info.size, 5);
}

static void overlays_need_no_file(void **state)
{
    struct world *w = *state;
    char kind = 0;

    assert_int_equal(tier_overlay(w->c, "new.c", 1, "", 0), 0);
    again(w);
    file_is(w->s, "new.c", "");
    assert_int_equal(tier_stat(w->s, "new.c", &kind), 0);
    assert_int_equal(kind, 'f');
    assert_int_equal(tier_overlay(w->c, "new.c", 2, NULL, 0), 0);
    again(w);
    file_fails(w->s, "new.c", TIER_EABSENT);
}

/* They are listed; directories do not come with them. */
static void overlays_bring_no_directories(void **state)
{
    static const char *const names[] = {"have/n.c", "have/a.c", "none/deep/n.c", "sys:n.c"};
    struct world *w = *state;
    char kind = 0;
    tier_value v;

    dir(w, "have");
    put(w, "have/a.c", "on disk");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(tier_overlay(w->c, names[i], 1, "new", 3), 0);
    again(w);
    list_is(w->s, "have", "*.c", "have/a.c have/n.c ");
    list_is(w->s, ".", "**/*.c", "have/a.c have/n.c none/deep/n.c ");
    list_is(w->s, ".", "*", "have ");
    list_is(w->s, "sys:", "*.c", "sys:n.c ");
    file_is(w->s, "none/deep/n.c", "new");
    assert_int_equal(tier_stat(w->s, "none/deep", &kind), TIER_EABSENT);
    assert_int_equal(tier_list(w->s, "none/deep", "*", &v), TIER_EABSENT);
    assert_int_equal(tier_list(w->s, "none", "**", &v), TIER_EABSENT);
}

/* ---- streams ---- */

static tier_stream *stream(struct world *w, uint32_t kinds, uint32_t capacity, uint32_t policy)
{
    tier_stream_options o = TIER_INIT(tier_stream_options);
    tier_stream *st = NULL;

    o.kinds = kinds;
    o.capacity = capacity;
    o.policy = policy;
    o.block_ms = 1;
    assert_int_equal(tier_stream_open(w->c, &o, &st), 0);
    assert_non_null(st);
    return st;
}

/* Waits for an event of that kind and path; others are passed over. */
static void event_comes(tier_stream *st, uint32_t kind, const char *path, tier_event *e)
{
    uint64_t last = 0;

    for (;;) {
        *e = (tier_event)TIER_INIT(tier_event);
        assert_int_equal(tier_stream_next(st, 5000, e), 0);
        assert_true(e->sequence > last || e->kind == TIER_GAP);
        last = e->sequence;
        if (e->kind == kind && (!path || (e->path && !strcmp(e->path, path))))
            return;
    }
}

static void changes_are_events(void **state)
{
    struct world *w = *state;
    tier_stream *st = stream(w, 0, 0, TIER_DROP_OLDEST);
    tier_event e = TIER_INIT(tier_event);

    assert_int_equal(tier_stream_next(st, 0, &e), TIER_ETIMEOUT);
    assert_int_equal(tier_stream_next(st, 5, &e), TIER_ETIMEOUT);
    assert_int_equal(tier_overlay(w->c, "a.c", 1, "typed", 5), 0);
    if (tier_stream_fd(st) >= 0) {
        struct pollfd p = {.fd = tier_stream_fd(st), .events = POLLIN};

        assert_int_equal(poll(&p, 1, 5000), 1);
    }
    event_comes(st, TIER_CHANGED, "a.c", &e);
    assert_int_equal(tier_stream_close(&st), 0);
    assert_null(st);
}

static void writes_are_events(void **state)
{
    struct world *w = *state;
    tier_stream *st;
    tier_event e;

    put(w, "a.c", "old");
    st = stream(w, TIER_CHANGED, 0, TIER_DROP_OLDEST);
    file_is(w->s, "a.c", "old");
    put(w, "a.c", "changed");
    assert_int_equal(tier_sync(w->c, 5000), 0);
    event_comes(st, TIER_CHANGED, "a.c", &e);
    again(w);
    file_is(w->s, "a.c", "changed");
    away(w, "a.c");
    assert_int_equal(tier_sync(w->c, 5000), 0);
    event_comes(st, TIER_CHANGED, "a.c", &e);
    assert_int_equal(tier_stream_close(&st), 0);
}

static void results_are_events(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "copy", TIER_TREE, build_copy);
    struct context *y = simple(w, "other", TIER_TREE, build_copy);
    tier_stream_options o = TIER_INIT(tier_stream_options);
    tier_stream *st = NULL;
    tier_event e;

    o.kinds = TIER_RESULT;
    o.type = x->type;
    o.glob = "*.c";
    assert_int_equal(tier_stream_open(w->c, &o, &st), 0);
    put(w, "a.c", "result");
    put(w, "a.h", "header");
    get_is(w->s, y, "a.c", "result");
    get_is(w->s, x, "a.h", "header");
    get_is(w->s, x, "a.c", "result");
    e = (tier_event)TIER_INIT(tier_event);
    assert_int_equal(tier_stream_next(st, 5000, &e), 0); /* the first that comes is the one that matches */
    assert_int_equal(e.kind, TIER_RESULT);
    assert_string_equal(e.path, "a.c");
    assert_ptr_equal(e.type, x->type);
    assert_int_equal(e.value.size, 6);
    assert_memory_equal(e.value.data, "result", 6);
    assert_int_equal(tier_stream_next(st, 0, &e), TIER_ETIMEOUT);
    assert_int_equal(tier_stream_close(&st), 0);
}

static void invalidations_are_events(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "copy", TIER_TREE, build_copy);
    tier_stream *st;
    tier_event e;

    put(w, "a.c", "x");
    st = stream(w, TIER_INVALIDATED, 0, TIER_DROP_OLDEST);
    get_is(w->s, x, "a.c", "x");
    assert_int_equal(tier_invalidate(w->c, TIER_BY_PATH, "a.c"), 0);
    event_comes(st, TIER_INVALIDATED, "a.c", &e);
    assert_int_equal(tier_stream_close(&st), 0);
}

/* Six changes of n paths into a queue of two, unread: what comes out. */
static void flood(struct world *w, uint32_t policy, int n, int *changes, int *gaps)
{
    tier_stream *st = stream(w, TIER_CHANGED, 2, policy);
    tier_event e = TIER_INIT(tier_event);
    char name[16];

    *changes = *gaps = 0;
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "%u-%d.c", policy, i % n);
        assert_int_equal(tier_overlay(w->c, name, i, "x", 1), 0);
    }
    while (!tier_stream_next(st, 0, &e)) {
        *changes += e.kind == TIER_CHANGED;
        *gaps += e.kind == TIER_GAP;
        if (e.kind == TIER_GAP)
            assert_true(e.lost == 0 || e.lost >= 4);
    }
    assert_int_equal(tier_stream_close(&st), 0);
}

static void what_is_lost_is_a_gap(void **state)
{
    struct world *w = *state;
    int changes, gaps;

    flood(w, TIER_DROP_OLDEST, 6, &changes, &gaps);
    assert_true(changes <= 2);
    assert_int_equal(gaps, 1);
    flood(w, TIER_BLOCK, 6, &changes, &gaps);
    assert_true(changes <= 2);
    assert_int_equal(gaps, 1);
    flood(w, TIER_COALESCE, 6, &changes, &gaps);
    assert_true(changes <= 2);
    assert_int_equal(gaps, 1);
    flood(w, TIER_COALESCE, 1, &changes, &gaps);
    assert_int_equal(changes, 1);
    assert_int_equal(gaps, 0);
}

static void streams_refuse_bad_options(void **state)
{
    struct world *w = *state;
    tier_stream_options o = TIER_INIT(tier_stream_options);
    tier_stream *st = NULL;

    o.policy = 77;
    assert_int_equal(tier_stream_open(w->c, &o, &st), TIER_EINVAL);
    o.policy = 0;
    o.kinds = 1u << 30;
    assert_int_equal(tier_stream_open(w->c, &o, &st), TIER_EINVAL);
    o.kinds = 0;
    o.struct_size = 0;
    assert_int_equal(tier_stream_open(w->c, &o, &st), TIER_EINVAL);
    assert_null(st);
}

/* ---- warming ---- */

struct progress {
    int calls, stop_after;
};

static int on_progress(void *user, const char *path, unsigned depth, int outcome, uint64_t bytes)
{
    struct progress *p = user;

    (void)bytes;
    if (!path || depth || outcome < TIER_WARM_DONE || outcome > TIER_WARM_OUT_OF_TIME)
        return 1;
    return ++p->calls == p->stop_after;
}

static void warming_reads_ahead(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "copy", TIER_TREE, build_copy);
    const char *const paths[] = {"a.c", "b.c", "no.c"};
    tier_warm_options o = TIER_INIT(tier_warm_options);
    tier_warm_report r = TIER_INIT(tier_warm_report);
    struct progress p = {0};

    put(w, "a.c", "#include \"far.h\"\n");
    put(w, "b.c", "12345");
    o.type = x->type;
    o.user = &p;
    o.progress = on_progress;
    assert_int_equal(tier_warm(w->s, &o, paths, 3, &r), 0);
    assert_int_equal(r.warmed, 2);
    assert_int_equal(r.failed, 1);
    assert_int_equal(p.calls, 3);
    assert_int_equal(x->builds, 2);
    get_is(w->s, x, "b.c", "12345");
    assert_int_equal(x->builds, 2);
    put(w, "b.c", "another");
    file_is(w->s, "b.c", "12345"); /* warmed is looked at */
    p = (struct progress){.stop_after = 1};
    assert_int_equal(tier_warm(w->s, &o, paths, 2, &r), TIER_ECANCELED);
    assert_int_equal(p.calls, 1);
    assert_int_equal(tier_warm(w->s, NULL, NULL, 0, NULL), 0);
}

static void warming_keeps_to_its_budget(void **state)
{
    struct world *w = *state;
    const char *const paths[] = {"a", "b", "c"};
    tier_warm_options o = TIER_INIT(tier_warm_options);
    tier_warm_report r = TIER_INIT(tier_warm_report);
    char text[1001];

    memset(text, 'x', 1000);
    text[1000] = 0;
    for (int i = 0; i < 3; i++) {
        text[0] = (char)('a' + i);
        put(w, paths[i], text);
    }
    o.byte_budget = 2900;
    assert_int_equal(tier_warm(w->s, &o, paths, 3, &r), 0);
    assert_true(r.bytes <= 2900);
    assert_true(r.over_budget >= 1);
    assert_int_equal(r.warmed + r.over_budget, 3);
}

/* ---- looking inside, and hints ---- */

static void peeking_never_builds(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "copy", TIER_TREE, build_copy);
    tier_query q = {.type = x->type, .path = "a.c"};
    tier_value v;

    put(w, "a.c", "x");
    assert_int_equal(tier_peek(w->s, &q, &v), TIER_EABSENT);
    assert_null(v.data);
    assert_int_equal(x->builds, 0);
    get_is(w->s, x, "a.c", "x");
    assert_int_equal(tier_peek(w->s, &q, &v), 0);
    is_text(&v, "x");
    assert_int_equal(x->builds, 1);
}

/* Applies e to old, which must give text. */
static void edits_lead_to(const char *old, const char *text, const tier_edit *e, size_t n)
{
    char now[256], next[256];

    snprintf(now, sizeof now, "%s", old);
    for (size_t i = 0; i < n; i++) {
        assert_true(e[i].start <= e[i].old_end && e[i].old_end <= strlen(now));
        assert_true(e[i].start <= e[i].new_end && e[i].new_end <= strlen(text));
        assert_true(!i || e[i].start >= e[i - 1].new_end);
        snprintf(next, sizeof next, "%.*s%.*s%s", (int)e[i].start, now, (int)(e[i].new_end - e[i].start),
                 text + e[i].start, now + e[i].old_end);
        strcpy(now, next);
    }
    assert_string_equal(now, text);
}

static void edits_and_previous_are_hints(void **state)
{
    static const char *const old = "one\ntwo\nthree\nfour\n", *const now =
                                                                  "one\n2\nthree\nfour and a half\nfive\n";
    struct world *w = *state;
    struct context *x = views(w, false);
    tier_query q = {.type = x->type, .path = "a.c"};
    const tier_edit *e = NULL;
    tier_digest from, content;
    tier_value v;
    size_t n = 0;
    int rc;

    put(w, "a.c", old);
    assert_int_equal(tier_previous(w->s, &q, &v, &content), TIER_EABSENT);
    assert_int_equal(tier_file(w->s, "a.c", &v), 0);
    from = v.hash;
    assert_int_equal(get(w->s, x, "a.c", &v), 0);
    put(w, "a.c", now);
    again(w);
    rc = tier_edits(w->s, "a.c", &from, &e, &n);
    assert_true(rc == 0 || rc == TIER_EABSENT); /* remembering it is the cache's choice */
    if (!rc)
        edits_lead_to(old, now, e, n);
    rc = tier_previous(w->s, &q, &v, &content);
    assert_true(rc == 0 || rc == TIER_EABSENT);
    if (!rc) {
        view_is(&v, old);
        assert_true(same(&content, &from));
    }
    from.byte[0] ^= 1;
    assert_int_equal(tier_edits(w->s, "a.c", &from, &e, &n), TIER_EABSENT);
}

struct collected {
    size_t size;
    int rc;
};

static int collect(void *user, const char *text, size_t size)
{
    struct collected *c = user;

    c->size += text ? size : 0;
    return c->rc;
}

static void explaining_says_something(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "copy", TIER_TREE, build_copy);
    tier_query q = {.type = x->type, .path = "a.c"};
    const char *const formats[] = {"text", "json", "dot"};
    struct collected c = {0};

    put(w, "a.c", "x");
    get_is(w->s, x, "a.c", "x");
    for (int i = 0; i < 3; i++) {
        c.size = 0;
        assert_int_equal(tier_explain(w->s, &q, formats[i], collect, &c), 0);
        assert_true(c.size > 0);
    }
    c.rc = 7; /* non-zero stops, and is returned */
    assert_int_equal(tier_explain(w->s, &q, "text", collect, &c), 7);
    c.rc = 0;
    assert_int_equal(tier_explain(w->s, &q, "no such format", collect, &c), TIER_EINVAL);
}
#endif
