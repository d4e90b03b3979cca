/* opening.h - errors, opening and closing, settings, paths, types. Part of conformance.c. */
#ifndef TESTS_CONFORMANCE_OPENING_H
#define TESTS_CONFORMANCE_OPENING_H
#include "tests/conformance/world.h"

static void errors_have_names(void **state)
{
    (void)state;
    assert_string_equal(tier_errname(TIER_EINVAL), "TIER_EINVAL");
    assert_string_equal(tier_errname(0), "TIER_OK");
    assert_string_equal(tier_errname(TIER_END), "TIER_END");
    assert_string_equal(tier_strerror(TIER_EBUSY), "still in use");
    assert_string_equal(tier_strerror(0), "success");
    assert_non_null(tier_strerror(12345));
    assert_non_null(tier_errname(-12345));
}

static int try_open(const tier_options *o)
{
    tier_cache *c = NULL;
    int rc = tier_open(o, &c);

    if (!rc)
        assert_int_equal(tier_close(&c), 0);
    return rc;
}

static void open_refuses_bad_arguments(void **state)
{
    struct world *w = *state;
    tier_options good = TIER_INIT(tier_options), o;
    tier_root root = {"", w->root};
    const char *setting = NULL;

    good.app = "x";
    good.dir = "";
    good.roots = &root;
    good.root_count = 1;
    assert_int_equal(try_open(&good), 0);
    assert_int_equal(try_open(NULL), TIER_EINVAL);
    o = good;
    o.struct_size = 0;
    assert_int_equal(try_open(&o), TIER_EINVAL);
    o = good;
    o.app = NULL;
    assert_int_equal(try_open(&o), TIER_EINVAL);
    o = good;
    o.flags = 1u << 30;
    assert_int_equal(try_open(&o), TIER_EINVAL);
    o = good;
    o.profile = "no such profile";
    assert_int_equal(try_open(&o), TIER_EINVAL);
    root.path = "/no/such/directory";
    assert_int_equal(try_open(&good), TIER_EINVAL);
    put(w, "file", "");
    root.path = at(w, "file");
    assert_int_equal(try_open(&good), TIER_EINVAL);
    root.path = w->root;
    o = good;
    o.settings = &setting;
    o.setting_count = 1;
    setting = "no equals sign";
    assert_int_equal(try_open(&o), TIER_EINVAL);
#ifndef TEST_ORACLE /* it knows no settings */
    setting = "no.such.setting=1";
    assert_int_equal(try_open(&o), TIER_EINVAL);
    setting = "verify.sample=rather often";
    assert_int_equal(try_open(&o), TIER_EINVAL);
#endif
    setting = "config.any=1";
    assert_int_equal(try_open(&o), 0);
}

static void open_defaults_to_the_working_directory(void **state)
{
    struct world *w = *state;
    tier_options o = TIER_INIT(tier_options);
    char *before = getcwd(NULL, 0);
    tier_cache *c = NULL;
    tier_session *s = NULL;

    put(w, "here.c", "here");
    assert_non_null(before);
    assert_int_equal(chdir(w->root), 0);
    o.app = "x";
    o.dir = "";
    assert_int_equal(tier_open(&o, &c), 0);
    assert_int_equal(chdir(before), 0); /* below the root, never below the working directory */
    free(before);
    assert_int_equal(tier_begin(c, NULL, &s), 0);
    file_is(s, "here.c", "here");
    end(&s);
    assert_int_equal(tier_close(&c), 0);
}

static void works_with_any_flag_and_directory(void **state)
{
    struct world *w = *state;
    const uint32_t flags[] = {0, TIER_NO_MEMORY, TIER_READ_ONLY, TIER_AUDIT};
    const char *caches[] = {"", "/proc/no/such/place"};
    tier_cache *own = w->c;
    tier_session *own_s = w->s;

    put(w, "a.c", "text");
    for (size_t i = 0; i < 4; i++) {
        for (size_t k = 0; k < 2; k++) {
            struct context *x;

            w->c = open_with(w, flags[i], caches[k]);
            w->s = begin(w);
            x = simple(w, "copy", TIER_TREE, build_copy);
            get_is(w->s, x, "a.c", "text");
            get_is(w->s, x, "a.c", "text");
            put(w, "a.c", "newer");
            again(w);
            get_is(w->s, x, "a.c", "newer");
            put(w, "a.c", "text");
#ifndef TEST_ORACLE /* it wants no directory */
            if (k == 1 && flags[i] != TIER_NO_MEMORY)
                assert_non_null(tier_cache_detail(w->c));
#endif
            assert_int_equal(tier_flush(w->c), 0);
            end(&w->s);
            assert_int_equal(tier_close(&w->c), 0);
        }
    }
    w->c = own;
    w->s = own_s;
}

static void null_cache_keeps_nothing(void **state)
{
    struct world *w = *state;
    tier_cache *own = w->c;
    tier_session *own_s = w->s;
    struct context *x;

    w->c = open_with(w, TIER_NO_MEMORY, NULL);
    w->s = begin(w);
    x = simple(w, "copy", TIER_TREE, build_copy);
    put(w, "a.c", "text");
    get_is(w->s, x, "a.c", "text");
    get_is(w->s, x, "a.c", "text");
    assert_int_equal(x->builds, 1);
    again(w);
    get_is(w->s, x, "a.c", "text");
    assert_int_equal(x->builds, 2);
    end(&w->s);
    assert_int_equal(tier_close(&w->c), 0);
    w->c = own;
    w->s = own_s;
}

static void close_is_busy_while_used(void **state)
{
    struct world *w = *state;
    tier_cache *c = w->c;
    tier_value v;

    put(w, "a.c", "kept");
    assert_int_equal(tier_close(&c), TIER_EBUSY);
    assert_ptr_equal(c, w->c);
    assert_non_null(tier_cache_detail(c));
    assert_int_equal(tier_file(w->s, "a.c", &v), 0); /* nothing was closed */
    assert_int_equal(tier_detach(w->s, &v), 0);
    end(&w->s);
    assert_int_equal(tier_close(&c), TIER_EBUSY);
    assert_non_null(tier_cache_detail(c));
    is_text(&v, "kept");
    assert_int_equal(tier_release(NULL, &v), 0);
    c = NULL;
    assert_int_equal(tier_close(&c), 0);
}

static void paths_go_in_and_out(void **state)
{
    struct world *w = *state;
    char *before = getcwd(NULL, 0), key[512], out[512], absolute[512], small[3];

    dir(w, "sub");
    put(w, "a.c", "a");
    put(w, "sub/x.c", "x");
    snprintf(absolute, sizeof absolute, "%s/s.h", w->sys);
    put(w, absolute, "s");
    assert_non_null(before);
    assert_int_equal(chdir(at(w, "sub")), 0);
    assert_int_equal(tier_path_in(w->c, "x.c", key, sizeof key), 0);
    assert_string_equal(key, "sub/x.c");
    assert_int_equal(tier_path_in(w->c, "./x.c", key, sizeof key), 0);
    assert_string_equal(key, "sub/x.c");
    assert_int_equal(tier_path_in(w->c, "../a.c", key, sizeof key), 0);
    file_is(w->s, key, "a");
    assert_int_equal(tier_path_in(w->c, at(w, "a.c"), key, sizeof key), 0);
    file_is(w->s, key, "a");
    assert_int_equal(tier_path_in(w->c, "/dev/null", key, sizeof key), 0);
    assert_string_equal(key, "/dev/null");
    assert_int_equal(tier_path_in(w->c, "x.c", small, sizeof small), TIER_EINVAL);
    assert_int_equal(tier_path_out(w->c, "sub/x.c", out, sizeof out), 0);
    assert_string_equal(out, "x.c");
    assert_int_equal(tier_path_out(w->c, "a.c", out, sizeof out), 0);
    assert_int_equal(access(out, F_OK), 0);
    assert_int_equal(tier_path_out(w->c, "sys:s.h", out, sizeof out), 0);
    assert_int_equal(access(out, F_OK), 0);
    assert_int_equal(tier_path_out(w->c, "/dev/null", out, sizeof out), 0);
    assert_int_equal(access(out, F_OK), 0);
    assert_int_equal(tier_path_out(w->c, "sub/x.c", small, sizeof small), TIER_EINVAL);
    assert_int_equal(chdir(before), 0);
    free(before);
}

static void define_names_what_is_wrong(void **state)
{
    struct world *w = *state;
    struct context *x = context(w, build_copy);
    tier_type_def good = definition(x, "t", TIER_TREE), d = good;
    const tier_type *t = NULL;

    d.struct_size = 0;
    assert_int_equal(tier_define(w->c, &d, &t), TIER_EINVAL);
    d = good;
    d.name = NULL;
    assert_int_equal(tier_define(w->c, &d, &t), TIER_EINVAL);
    d = good;
    d.tier = TIER_FILE;
    assert_int_equal(tier_define(w->c, &d, &t), TIER_EINVAL);
    d = good;
    d.tier = TIER_STREAM;
    assert_int_equal(tier_define(w->c, &d, &t), TIER_EINVAL);
    d = good;
    d.build = NULL;
    assert_int_equal(tier_define(w->c, &d, &t), TIER_EINVAL);
    d = good;
    d.flags = 1u << 30;
    assert_int_equal(tier_define(w->c, &d, &t), TIER_EINVAL);
    define(w, &good);
}

static void definitions_are_copied_and_config_counts(void **state)
{
    struct world *w = *state;
    char name[] = "option", config[] = "1";
    tier_type_def d = definition(context(w, build_copy), name, TIER_TREE);
    struct context *one, *two;

    put(w, "a.c", "text");
    d.config = config;
    d.config_size = 1;
    one = define(w, &d);
    get_is(w->s, one, "a.c", "text");
    d.user = context(w, build_copy);
    config[0] = '2';
    two = define(w, &d);
    memset(name, 'x', sizeof name - 1);
    get_is(w->s, two, "a.c", "text"); /* other options, another identity */
    get_is(w->s, one, "a.c", "text");
    assert_int_equal(one->builds, 1);
    assert_int_equal(two->builds, 1);
}

static void count_name(void *user, const char *name, double value)
{
    int *n = user;

    (*n) += name && *name && value >= 0;
}

static void stats_have_names(void **state)
{
    struct world *w = *state;
    int n = 0;

    assert_int_equal(tier_stats(w->c, count_name, &n), 0);
    assert_true(n > 0);
}

/* ---- allocation: the hook is balanced, and any failing call gives TIER_ENOMEM or no harm ---- */

struct heap {
    atomic_long live, calls, fail_at; /* fail_at: which call fails; 0: none */
};

static void *heap_realloc(void *user, void *old, size_t size)
{
    struct heap *h = user;
    void *p;

    if (!size) {
        h->live -= old != NULL;
        free(old);
        return NULL;
    }
    if (++h->calls == h->fail_at)
        return NULL;
    p = realloc(old, size);
    h->live += p && !old;
    return p;
}

static int with_heap(struct world *w, struct heap *h)
{
    tier_options o = TIER_INIT(tier_options);
    const tier_root root = {"", w->root};
    tier_type_def d = definition(w->x[0], "copy", TIER_DELTA);
    tier_query q = {.path = "a.c"};
    tier_cache *c = NULL;
    tier_session *s = NULL;
    tier_value v;
    int rc;

    o.app = "heap";
    o.app_version = "1";
    o.dir = "";
    o.roots = &root;
    o.root_count = 1;
    o.user = h;
    o.realloc = heap_realloc;
    rc = tier_open(&o, &c);
    if (!rc)
        rc = tier_define(c, &d, &q.type);
    w->x[0]->type = q.type;
    if (!rc)
        rc = tier_begin(c, NULL, &s);
    if (!rc)
        rc = tier_get(s, &q, &v);
    if (!rc && (v.size != 4 || memcmp(v.data, "text", 4)))
        w->x[0]->fault = __LINE__;
    if (s && tier_end(&s))
        w->x[0]->fault = __LINE__;
    if (tier_close(&c))
        w->x[0]->fault = __LINE__;
    return rc;
}

static void allocations_are_the_hooks(void **state)
{
    struct world *w = *state;
    struct heap h = {0};
    long calls;

    put(w, "a.c", "text");
    context(w, build_copy);
    assert_int_equal(with_heap(w, &h), 0);
    assert_int_equal(h.live, 0);
    calls = h.calls;
    for (long i = 1; i <= calls; i++) {
        struct heap f = {.fail_at = i};
        int rc = with_heap(w, &f);

        assert_true(rc == 0 || rc == TIER_ENOMEM);
        assert_int_equal(f.live, 0);
    }
}

static void a_forked_process_opens_anew(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "copy", TIER_TREE, build_copy);
    tier_session *s = NULL;
    tier_value v;
    int status;
    pid_t pid;

    put(w, "a.c", "text");
    get_is(w->s, x, "a.c", "text");
    pid = fork();
    if (!pid) { /* no assertions here: a failure must not run the parent's tests */
        bool ok =
            !tier_begin(w->c, NULL, &s) && !get(s, x, "a.c", &v) && v.size == 4 && !memcmp(v.data, "text", 4);

        ok = ok && !tier_end(&s);
        if (ok) /* what the child inherited it lets go of, and a leak checker would count that */
            execl("/bin/true", "true", (char *)NULL);
        _exit(1);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    again(w);
    get_is(w->s, x, "a.c", "text");
}
#endif
