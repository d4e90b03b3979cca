/* world.h - what every conformance test stands on: a private directory as root, a cache, a session, and types
 * whose build is a plain function. Part of conformance.c, its only includer.
 *
 * A build never asserts: cmocka's failures longjmp, which the contract forbids. It notes a fault with EXPECT;
 * the world's teardown asserts that there is none. */
#ifndef TESTS_CONFORMANCE_WORLD_H
#define TESTS_CONFORMANCE_WORLD_H
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "include/tierkit.h"

enum { MAX_CONTEXTS = 16 };

struct world;
struct context;
typedef int build_fn(tier_session *s, const tier_query *q, tier_out *out, struct context *x);

struct context { /* user pointer of a type; lives as long as the world */
    struct world *w;
    build_fn *fn;
    const tier_type *type;  /* its own */
    const tier_type *other; /* what it asks for, where it asks */
    atomic_int builds, made, destroyed, fault;
    atomic_int arrived, go; /* for threads */
    int rc;                 /* what the build saw */
    uint64_t id;
};

struct world {
    char base[256], root[280], sys[280], cache[280];
    tier_cache *c;
    tier_session *s;
    struct context *x[MAX_CONTEXTS];
    size_t count;
};

#define EXPECT(x, condition)             \
    do {                                 \
        if (!(condition) && !(x)->fault) \
            (x)->fault = __LINE__;       \
    } while (0)

/* ---- files of the root; name may be absolute ---- */

static const char *at(const struct world *w, const char *name)
{
    static _Thread_local char path[8192];

    if (*name == '/')
        return name;
    snprintf(path, sizeof path, "%s/%s", w->root, name);
    return path;
}

static bool spew(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    bool ok = f && fputs(text, f) >= 0;

    return f && !fclose(f) && ok;
}

static void put(const struct world *w, const char *name, const char *text)
{
    assert_true(spew(at(w, name), text));
}

static void dir(const struct world *w, const char *name)
{
    assert_int_equal(mkdir(at(w, name), 0755), 0);
}

static void away(const struct world *w, const char *name)
{
    assert_int_equal(unlink(at(w, name)), 0);
}

/* ---- the world ---- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)st;
    (void)type;
    (void)f;
    return remove(path);
}

static tier_cache *open_with(const struct world *w, uint32_t flags, const char *cache)
{
    const tier_root roots[] = {{"", w->root}, {"sys", w->sys}};
    /* Sampled verification recomputes hits, which the counting tests would see. */
    const char *settings[] = {"verify.sample=0", "config.mode=fast", "config.pair=a=b"};
    tier_options o = TIER_INIT(tier_options);
    tier_cache *c = NULL;

    o.app = "conformance";
    o.app_version = "1";
    o.dir = cache;
    o.profile = "dev";
    o.roots = roots;
    o.root_count = 2;
    o.settings = settings;
    o.setting_count = 3;
    o.flags = flags;
    assert_int_equal(tier_open(&o, &c), 0);
    assert_non_null(c);
    return c;
}

static tier_session *begin(const struct world *w)
{
    tier_session *s = NULL;

    assert_int_equal(tier_begin(w->c, NULL, &s), 0);
    assert_non_null(s);
    return s;
}

static int end(tier_session **s)
{
    int rc = tier_end(s);

    assert_true(rc == 0 || rc == TIER_ECHANGED);
    assert_null(*s);
    return rc;
}

/* A new view: the newest world. */
static void again(struct world *w)
{
    end(&w->s);
    w->s = begin(w);
}

static int setup(void **state)
{
    const char *tmp = getenv("TMPDIR");
    struct world *w = calloc(1, sizeof *w);

    assert_non_null(w);
    snprintf(w->base, sizeof w->base, "%s/conformance.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(w->base));
    snprintf(w->root, sizeof w->root, "%s/root", w->base);
    snprintf(w->sys, sizeof w->sys, "%s/sys", w->base);
    snprintf(w->cache, sizeof w->cache, "%s/cache", w->base);
    dir(w, w->root);
    dir(w, w->sys);
    w->c = open_with(w, 0, w->cache);
    w->s = begin(w);
    *state = w;
    return 0;
}

static void context_check(const struct context *x)
{
    if (x->fault)
        fail_msg("a build's expectation in line %d failed", x->fault);
    assert_int_equal(x->destroyed, x->made);
}

static int teardown(void **state)
{
    struct world *w = *state;

    if (w->s)
        end(&w->s);
    assert_int_equal(tier_close(&w->c), 0);
    assert_null(w->c);
    for (size_t i = 0; i < w->count; i++) {
        context_check(w->x[i]);
        free(w->x[i]);
    }
    assert_int_equal(nftw(w->base, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    free(w);
    return 0;
}

/* ---- types ---- */

static int build_any(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct context *x = user;

    x->builds++;
    EXPECT(x, q->type == x->type);
    return x->fn(s, q, out, x);
}

static struct context *context(struct world *w, build_fn *fn)
{
    struct context *x = calloc(1, sizeof *x);

    assert_non_null(x);
    assert_true(w->count < MAX_CONTEXTS);
    x->w = w;
    x->fn = fn;
    w->x[w->count++] = x;
    return x;
}

static tier_type_def definition(struct context *x, const char *name, uint32_t tier)
{
    tier_type_def d = TIER_INIT(tier_type_def);

    d.name = name;
    d.version = 1;
    d.tier = tier;
    d.user = x;
    d.build = build_any;
    return d;
}

static struct context *define(struct world *w, const tier_type_def *d)
{
    struct context *x = d->user;

    assert_int_equal(tier_define(w->c, d, &x->type), 0);
    assert_non_null(x->type);
    return x;
}

static struct context *simple(struct world *w, const char *name, uint32_t tier, build_fn *fn)
{
    tier_type_def d = definition(context(w, fn), name, tier);

    return define(w, &d);
}

/* ---- asking ---- */

static int get(tier_session *s, const struct context *x, const char *path, tier_value *v)
{
    tier_query q = {.type = x->type, .path = path};

    return tier_get(s, &q, v);
}

/* The promises that hold for every value. */
static void sound(const tier_value *v)
{
    assert_true(v->data || v->object);
    if (v->data) {
        assert_int_equal((uintptr_t)v->data % 16, 0);
        assert_int_equal(((const char *)v->data)[v->size], 0);
    }
    assert_true(v->from >= TIER_HIT && v->from <= TIER_BUILT);
}

static void is_text(const tier_value *v, const char *text)
{
    sound(v);
    assert_non_null(v->data);
    assert_int_equal(v->size, strlen(text));
    assert_string_equal(v->data, text);
}

static void file_is(tier_session *s, const char *path, const char *text)
{
    tier_value v;

    assert_int_equal(tier_file(s, path, &v), 0);
    is_text(&v, text);
    assert_int_equal(tier_release(s, &v), 0);
    assert_null(v.data);
}

static void get_is(tier_session *s, const struct context *x, const char *path, const char *text)
{
    tier_value v;

    assert_int_equal(get(s, x, path, &v), 0);
    is_text(&v, text);
    assert_int_equal(tier_release(s, &v), 0);
}

/* A failure leaves nothing lent. */
static void file_fails(tier_session *s, const char *path, int rc)
{
    tier_value v;

    memset(&v, 0xff, sizeof v);
    assert_int_equal(tier_file(s, path, &v), rc);
    assert_null(v.data);
    assert_null(v.object);
    assert_non_null(tier_detail(s));
}

static void get_fails(tier_session *s, const struct context *x, const char *path, int rc)
{
    tier_value v;

    memset(&v, 0xff, sizeof v);
    assert_int_equal(get(s, x, path, &v), rc);
    assert_null(v.data);
    assert_null(v.object);
}

static bool same(const tier_digest *a, const tier_digest *b)
{
    return !memcmp(a, b, sizeof *a);
}

/* Build: the file q->path, as it is. */
static int build_copy(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    tier_value v;
    int rc = tier_file(s, q->path, &v);

    (void)x;
    return rc ? rc : tier_out_bytes(out, v.data, v.size);
}

static void nap(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&t, NULL);
}
#endif
