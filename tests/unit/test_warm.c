/* Warming over the naive implementation of the header: what is loaded, in which order, and never a byte over
 * the budget. tier_warm is compiled into this file under a name of its own. */
/* sources: liboracle.a */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "include/tierkit.h"

/* Every load that the warmers make goes through these: they count what is held at any moment. */
static int counted_file(tier_session *s, const char *path, tier_value *v);
static int counted_stat_fields(tier_session *s, const char *path, uint32_t fields, tier_stat_info *info);
#define tier_warm warm_under_test
#define tier_file counted_file
#define tier_stat_fields counted_stat_fields
#define clock_gettime told_time
static int told_time(clockid_t clock, struct timespec *t); /* stands still but for the tests */
int warm_under_test(tier_session *s, const tier_warm_options *o, const char *const *paths, size_t n,
                    tier_warm_report *report);
#include "warmers/warm.c"
#undef tier_warm
#undef tier_file
#undef tier_stat_fields
#undef clock_gettime

static struct {
    pthread_mutex_t lock;
    uint64_t loads, bytes;
    const char *grows; /* told to be 1 byte smaller than it is */
    long ms;           /* of the clock */
} counted = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int counted_file(tier_session *s, const char *path, tier_value *v)
{
    int rc = tier_file(s, path, v);

    pthread_mutex_lock(&counted.lock);
    counted.loads++;
    if (!rc && v->from != TIER_HIT)
        counted.bytes += v->size;
    pthread_mutex_unlock(&counted.lock);
    return rc;
}

static int counted_stat_fields(tier_session *s, const char *path, uint32_t fields, tier_stat_info *info)
{
    int rc = tier_stat_fields(s, path, fields, info);

    if (!rc && counted.grows && strcmp(path, counted.grows) == 0)
        info->size--;
    return rc;
}

/* The library's objects that are linked find the oracle's functions, not the library's own. */
static int told_time(clockid_t clock, struct timespec *t)
{
    (void)clock;
    t->tv_sec = 1000 + counted.ms / 1000;
    t->tv_nsec = counted.ms % 1000 * 1000000;
    return 0;
}

#ifndef OVER_LIBRARY
/* In place of the library's: there is no library behind these sessions. */
void tier__warm_defaults(tier_session *s, struct tier__warm_defaults *d)
{
    (void)s;
    d->free_bytes = 1 << 20;
    d->jobs = 2;
}

typedef void function(void);
extern function *const linked[];
function *const linked[] = {(function *)tier_stat, (function *)tier_list, (function *)tier_realpath,
                            (function *)tier_next, (function *)tier_release};
#endif

/* ---- a tree, a session, and a log of what progress told */

struct world {
    char dir[64];
    tier_cache *cache;
    tier_session *session;
    char log[1 << 16]; /* "path depth outcome\n" */
    size_t log_size;
    int cancel_after; /* calls of progress; 0: never */
    int calls;
    tier_warm_options options;
    tier_warm_report report;
};

static void put(struct world *w, const char *path, const char *text)
{
    char full[512], *slash;
    FILE *f;

    snprintf(full, sizeof full, "%s/%s", w->dir, path);
    for (slash = strchr(full + strlen(w->dir) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(full, 0700);
        *slash = '/';
    }
    f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int progress(void *user, const char *path, unsigned depth, int outcome, uint64_t bytes)
{
    static const char letters[] = " DKBTFO";
    struct world *w = user;

    (void)bytes;
    w->log_size += (size_t)snprintf(w->log + w->log_size, sizeof w->log - w->log_size, "%s %u%c\n", path,
                                    depth, letters[outcome]);
    assert_true(w->log_size < sizeof w->log);
    return ++w->calls == w->cancel_after;
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    tier_options o = TIER_INIT(tier_options);
    tier_root root = {"", w->dir};
    const char *tmp = getenv("TMPDIR");

    snprintf(w->dir, sizeof w->dir, "%.40s/warm.XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(w->dir));
    o.app = "test_warm";
    o.dir = "";
    o.flags = TIER_NO_MEMORY; /* every session reads anew, so that every load can be counted */
    o.roots = &root;
    o.root_count = 1;
    assert_int_equal(tier_open(&o, &w->cache), 0);
    w->options = (tier_warm_options)TIER_INIT(tier_warm_options);
    w->options.depth = UINT32_MAX;
    w->options.jobs = 1;
    w->options.user = w;
    w->options.progress = progress;
    w->report = (tier_warm_report)TIER_INIT(tier_warm_report);
    memset(&counted.loads, 0, sizeof counted - offsetof(__typeof__(counted), loads));
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    char command[128];

    tier_end(&w->session);
    assert_int_equal(tier_close(&w->cache), 0);
    snprintf(command, sizeof command, "rm -rf '%s'", w->dir);
    assert_int_equal(system(command), 0);
    free(w);
    return 0;
}

/* A new session; warms the blank-separated paths. */
static int warm(struct world *w, const char *paths)
{
    const char *path[16];
    char text[256];
    size_t n = 0;

    snprintf(text, sizeof text, "%s", paths);
    for (char *save, *at = strtok_r(text, " ", &save); at; at = strtok_r(NULL, " ", &save))
        path[n++] = at;
    tier_end(&w->session);
    assert_int_equal(tier_begin(w->cache, NULL, &w->session), 0);
    w->log_size = 0;
    w->log[0] = 0;
    w->calls = 0;
    return warm_under_test(w->session, &w->options, path, n, &w->report);
}

static void expect(struct world *w, const char *paths, const char *log)
{
    assert_int_equal(warm(w, paths), 0);
    assert_string_equal(w->log, log);
}

static void c_tree(struct world *w)
{
    put(w, "a.c", "#include \"a.h\"\n#include <lib/l.h>\n#include <none.h>\n");
    put(w, "a.h", "#include \"sub/b.h\"\n");
    put(w, "sub/b.h", "#include \"../a.h\"\n#include \"c.h\"\n");
    put(w, "sub/c.h", "int c;\n");
    put(w, "inc/lib/l.h", "#include <vec>\n#include \"m.h\"\n");
    put(w, "inc/lib/m.h", "#include \"../../sub/c.h\"\n");
    put(w, "inc/vec", "#include <lib/m.h>\n");
}

static void breadth_first_each_once(void **state)
{
    struct world *w = *state;
    static const char *const search[] = {"inc"};
    static const char all[] =
        "a.c 0D\na.h 1D\ninc/lib/l.h 1D\nsub/b.h 2D\ninc/vec 2D\ninc/lib/m.h 2D\nsub/c.h 3D\n";
    uint32_t jobs;

    c_tree(w);
    w->options.search = search;
    w->options.search_count = 1;
    for (jobs = 1; jobs <= 4; jobs++) {
        w->options.jobs = jobs;
        counted.loads = 0;
        expect(w, "a.c", all);
        assert_int_equal(w->report.warmed, 7);
        assert_int_equal(w->report.unresolved, 1);
        assert_int_equal(w->report.depth, 3);
        assert_int_equal(w->report.bytes, counted.bytes);
        assert_int_equal(counted.loads, 7);
        counted.bytes = 0;
    }
    expect(w, "./a.c a.c", all);
}

static void depth_is_bounded(void **state)
{
    struct world *w = *state;
    static const char *const search[] = {"inc/"};

    c_tree(w);
    w->options.search = search;
    w->options.search_count = 1;
    w->options.depth = 0;
    expect(w, "a.c", "a.c 0D\na.h 1T\ninc/lib/l.h 1T\n");
    assert_int_equal(w->report.too_deep, 2);
    w->options.depth = 1;
    expect(w, "a.c", "a.c 0D\na.h 1D\ninc/lib/l.h 1D\nsub/b.h 2T\ninc/vec 2T\ninc/lib/m.h 2T\n");
    /* a file at two depths is at its least */
    w->options.depth = UINT32_MAX;
    expect(w, "a.h sub/c.h", "a.h 0D\nsub/c.h 0D\nsub/b.h 1D\n");
}

static void languages_resolve(void **state)
{
    struct world *w = *state;
    static const char *const search[] = {"lib"};

    w->options.search = search;
    w->options.search_count = 1;
    put(w, "py/p/__init__.py", "");
    put(w, "py/p/m.py", "import os\nfrom . import n, gone\nfrom ..q import x\nimport p.s.t\nimport l\n");
    put(w, "py/p/n.py", "");
    put(w, "py/q.py", "");
    put(w, "py/p/s/__init__.py", "");
    put(w, "py/p/s/t.py", "");
    put(w, "lib/l/__init__.py", "");
    expect(w, "py/p/m.py",
           "py/p/m.py 0D\npy/p/__init__.py 1D\npy/p/n.py 1D\npy/q.py 1D\npy/p/s/__init__.py 1D\npy/p/s/t.py "
           "1D\nlib/l/__init__.py 1D\n");
    assert_int_equal(w->report.unresolved, 1);

    put(w, "js/a.ts", "import './b.js'; import '../js/c'; import 'bare'; require('./d'); import 'fs'");
    put(w, "js/b.ts", "import './a'");
    put(w, "js/c.tsx", "");
    put(w, "js/d/index.js", "");
    put(w, "lib/bare.d.ts", "");
    expect(w, "js/a.ts", "js/a.ts 0D\njs/b.ts 1D\njs/c.tsx 1D\nlib/bare.d.ts 1D\njs/d/index.js 1D\n");
    assert_int_equal(w->report.unresolved, 1);

    put(w, "go/go.mod", "// m\nmodule example.org/m // c\n\ngo 1.20\n");
    put(w, "go/main.go", "package main\nimport (\n \"fmt\"\n \"example.org/m/u\"\n)\nimport \"dep.org/d\"\n");
    put(w, "go/u/u.go", "package u\n");
    put(w, "go/u/v.go", "package u\n");
    put(w, "go/u/v_test.go", "package u\n");
    put(w, "go/vendor/dep.org/d/d.go", "package d\nimport \"example.org/m/u\"\n");
    expect(w, "go/main.go", "go/main.go 0D\ngo/u/u.go 1D\ngo/u/v.go 1D\ngo/vendor/dep.org/d/d.go 1D\n");
    assert_int_equal(w->report.unresolved, 1);

    put(w, "rs/src/lib.rs", "mod a;\nmod b;\nuse krate::{m::X, Y};\nuse std::fmt;\n");
    put(w, "rs/src/a.rs", "mod c;\nuse super::b::Z;\nuse self::c::W;\n");
    put(w, "rs/src/a/c.rs", "use crate::b::{self, V};\nuse super::super::b::*;\nuse super::*;\n");
    put(w, "rs/src/b/mod.rs", "#[path = \"odd.rs\"] mod e;\n");
    put(w, "rs/src/b/odd.rs", "");
    put(w, "lib/krate/src/lib.rs", "");
    put(w, "lib/krate/src/m.rs", "");
    expect(
        w, "rs/src/lib.rs",
        "rs/src/lib.rs 0D\nrs/src/a.rs 1D\nrs/src/b/mod.rs 1D\nlib/krate/src/lib.rs 1D\nlib/krate/src/m.rs "
        "1D\nrs/src/a/c.rs 2D\nrs/src/b/odd.rs 2D\n");
    assert_int_equal(w->report.unresolved, 1);

    put(w, "java/src/x/y/A.java",
        "package x.y;\nimport x.z.B;\nimport static x.z.C.D.m;\nimport x.w.*;\nimport java.util.List;\n");
    put(w, "java/src/x/z/B.java", "package x.z;");
    put(w, "java/src/x/z/C.java", "package x.z;");
    put(w, "java/src/x/w/E.java", "package x.w;");
    put(w, "java/src/x/w/F.java", "package x.w; import l.G;");
    put(w, "lib/l/G.java", "package l;");
    expect(w, "java/src/x/y/A.java",
           "java/src/x/y/A.java 0D\njava/src/x/z/B.java 1D\njava/src/x/z/C.java 1D\njava/src/x/w/E.java "
           "1D\njava/src/x/w/F.java 1D\nlib/l/G.java 2D\n");
    assert_int_equal(w->report.unresolved, 1);
}

static void failures_are_told(void **state)
{
    struct world *w = *state;

    put(w, "d/x.c", "");
    put(w, "a.c", "#include \"d\"\n");
    expect(w, "gone.c d a.c", "gone.c 0F\nd 0F\na.c 0D\n");
    assert_int_equal(w->report.failed, 2);
    assert_int_equal(w->report.unresolved, 1);
}

static int uppercase(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    int rc = tier_file(s, q->path, &v);

    (void)user;
    if (rc)
        return rc;
    if (v.size && ((const char *)v.data)[0] == '!')
        return tier_fail(s, TIER_EBUILD, "bad");
    return tier_out_bytes(out, "x", 1);
}

static void types_are_built(void **state)
{
    struct world *w = *state;
    tier_type_def def = TIER_INIT(tier_type_def);
    tier_query q = {0};
    const char *paths[] = {"a.c"};
    tier_value v;

    def.name = "upper";
    def.version = 1;
    def.tier = TIER_TREE;
    def.build = uppercase;
    assert_int_equal(tier_define(w->cache, &def, &w->options.type), 0);
    put(w, "a.c", "#include \"b.h\"\n#include \"c.h\"\n");
    put(w, "b.h", "! \n#include \"d.h\"\n");
    put(w, "c.h", "");
    put(w, "d.h", "");
    w->options.jobs = 3;
    expect(w, "a.c", "a.c 0D\nb.h 1F\nc.h 1D\nd.h 2D\n");
    q.type = w->options.type;
    q.path = "a.c";
    assert_int_equal(tier_get(w->session, &q, &v), 0);
    assert_int_equal(v.from, TIER_HIT);
    /* again in the same session: known, nothing new is held */
    assert_int_equal(warm_under_test(w->session, &w->options, paths, 1, &w->report), 0);
    assert_int_equal(w->report.known, 3);
    assert_int_equal(w->report.warmed, 0);
    assert_int_equal(w->report.bytes, 0);
}

/* 40 headers of different sizes: for every budget and number of jobs the same files, never a byte over. */
static void budget_is_never_exceeded(void **state)
{
    struct world *w = *state;
    char source[4096] = "", path[32], *text = malloc(8192), *wanted = NULL;
    uint64_t budget, all = 0;
    uint32_t jobs;
    int i;

    for (i = 0; i < 40; i++) {
        size_t size = 10 + (size_t)(i * 7919 % 1500);
        snprintf(path, sizeof path, "h%02d.h", i);
        snprintf(source + strlen(source), sizeof source - strlen(source), "#include \"%s\"\n", path);
        memset(text, 'x', size);
        text[size] = 0;
        put(w, path, text);
        all += size;
    }
    put(w, "a.c", source);
    all += strlen(source);
    free(text);
    for (budget = all - 1; budget > 700; budget = budget * 2 / 3) {
        for (jobs = 1; jobs <= 4; jobs++) {
            counted.bytes = 0;
            w->options.byte_budget = budget;
            w->options.jobs = jobs;
            assert_int_equal(warm(w, "a.c"), 0);
            assert_true(counted.bytes <= budget);
            assert_int_equal(counted.bytes, w->report.bytes);
            assert_true(w->report.over_budget > 0);
            assert_int_equal(w->report.over_budget + w->report.warmed, 41);
            if (jobs == 1) {
                free(wanted);
                wanted = strdup(w->log);
            }
            assert_string_equal(w->log, wanted);
        }
    }
    free(wanted);
    w->options.byte_budget = all;
    assert_int_equal(warm(w, "a.c"), 0);
    assert_int_equal(w->report.over_budget, 0);
    assert_int_equal(w->report.bytes, all);
}

static void a_file_that_grew_is_let_go(void **state)
{
    struct world *w = *state;

    put(w, "a.c", "#include \"b.h\"\n#include \"c.h\"\n");
    put(w, "b.h", "#include \"d.h\"\n");
    put(w, "c.h", "12345");
    put(w, "d.h", "");
    counted.grows = "b.h";
    expect(w, "a.c", "a.c 0D\nb.h 1B\nc.h 1D\n");
    assert_int_equal(w->report.bytes, strlen("#include \"b.h\"\n#include \"c.h\"\n") + 5);
    counted.grows = NULL;
}

static void progress_and_sessions_cancel(void **state)
{
    struct world *w = *state;
    static const char *const search[] = {"inc"};
    const char *paths[] = {"a.c"};
    tier_session *s = NULL;
    uint32_t jobs;

    c_tree(w);
    w->options.search = search;
    w->options.search_count = 1;
    for (jobs = 1; jobs <= 4; jobs += 3) {
        w->options.jobs = jobs;
        w->cancel_after = 2;
        assert_int_equal(warm(w, "a.c"), TIER_ECANCELED);
        assert_string_equal(w->log, "a.c 0D\na.h 1D\n");
        assert_int_equal(w->report.warmed, 2);
        w->cancel_after = 0;
        assert_int_equal(tier_begin(w->cache, NULL, &s), 0);
        tier_cancel(w->cache, tier_session_id(s));
        assert_int_equal(warm_under_test(s, &w->options, paths, 1, &w->report), TIER_ECANCELED);
        assert_int_equal(w->report.warmed, 0);
        tier_end(&s);
    }
}

static int dawdle(void *user, const char *path, unsigned depth, int outcome, uint64_t bytes)
{
    counted.ms += 30;
    return progress(user, path, depth, outcome, bytes);
}

static void time_runs_out(void **state)
{
    struct world *w = *state;

    put(w, "a.c", "#include \"b.h\"\n#include \"c.h\"\n");
    put(w, "b.h", "");
    put(w, "c.h", "");
    w->options.progress = dawdle;
    w->options.time_limit_ms = 30;
    expect(w, "a.c", "a.c 0D\nb.h 1O\nc.h 1O\n");
    assert_int_equal(w->report.out_of_time, 2);
}

static void bad_arguments_are_refused(void **state)
{
    struct world *w = *state;
    const char *paths[] = {"a.c", NULL};

    put(w, "a.c", "");
    assert_int_equal(warm(w, "a.c"), 0);
    assert_int_equal(warm_under_test(NULL, NULL, NULL, 0, NULL), TIER_EINVAL);
    assert_int_equal(warm_under_test(w->session, NULL, NULL, 1, NULL), TIER_EINVAL);
    assert_int_equal(warm_under_test(w->session, NULL, paths, 2, NULL), TIER_EINVAL);
    assert_int_equal(warm_under_test(w->session, NULL, paths, 1, NULL), 0);
    assert_int_equal(warm_under_test(w->session, NULL, NULL, 0, NULL), 0);
}

#ifdef OVER_LIBRARY
/* With memory: what was warmed is known to the next session, and costs its budget nothing. */
static void what_is_warm_is_known(void **state)
{
    struct world *w = *state;
    tier_options o = TIER_INIT(tier_options);
    tier_root root = {"", w->dir};
    tier_session *s;
    tier_value v;

    c_tree(w);
    assert_int_equal(tier_close(&w->cache), 0);
    o.app = "test_warm";
    o.dir = "";
    o.roots = &root;
    o.root_count = 1;
    assert_int_equal(tier_open(&o, &w->cache), 0);
    usleep(60000); /* young time stamps are never trusted: files would be read again */
    expect(w, "a.h", "a.h 0D\nsub/b.h 1D\nsub/c.h 2D\n");
    assert_true(w->report.bytes > 0);
    expect(w, "a.h", "a.h 0K\nsub/b.h 1K\nsub/c.h 2K\n");
    assert_int_equal(w->report.bytes, 0);
    assert_int_equal(w->report.known, 3);
    put(w, "sub/b.h", "#include \"new.h\"\n");
    put(w, "sub/new.h", "");
    w->options.jobs = 0; /* the profile's */
    expect(w, "a.h", "a.h 0K\nsub/b.h 1D\nsub/new.h 2D\n");
    assert_int_equal(tier_begin(w->cache, NULL, &s), 0);
    assert_int_equal(tier_file(s, "sub/new.h", &v), 0);
    assert_int_equal(v.size, 0);
    assert_true(v.from == TIER_HIT || v.from == TIER_BUILT); /* built where its time stamp is young */
    assert_int_equal(tier_end(&s), 0);
}

static int count_build(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    int rc = tier_file(s, q->path, &v);

    ++*(int *)user;
    return rc ? rc : tier_out_bytes(out, "x", 1);
}

/* The one test of patterns through the whole library: what matches is built again, the rest is not. */
static void patterns_invalidate(void **state)
{
    struct world *w = *state;
    tier_type_def def = TIER_INIT(tier_type_def);
    tier_options o = TIER_INIT(tier_options);
    tier_root root = {"", w->dir};
    int builds = 0;

    put(w, "src/a.h", "");
    put(w, "b.c", "");
    usleep(60000);
    assert_int_equal(tier_close(&w->cache), 0);
    o.app = "test_warm";
    o.dir = "";
    o.roots = &root;
    o.root_count = 1;
    assert_int_equal(tier_open(&o, &w->cache), 0);
    def.name = "count";
    def.version = 1;
    def.tier = TIER_TREE;
    def.build = count_build;
    def.user = &builds;
    assert_int_equal(tier_define(w->cache, &def, &w->options.type), 0);
    assert_int_equal(warm(w, "src/a.h b.c"), 0);
    assert_int_equal(builds, 2);
    assert_int_equal(warm(w, "src/a.h b.c"), 0);
    assert_int_equal(builds, 2);
    assert_int_equal(tier_invalidate_pattern(w->cache, TIER_BY_PATH, "^src/(.*"), TIER_EINVAL);
    assert_int_equal(tier_invalidate_pattern(w->cache, TIER_BY_PATH, NULL), TIER_EINVAL);
    assert_int_equal(tier_invalidate_pattern(NULL, TIER_BY_PATH, "a"), TIER_EINVAL);
    assert_int_equal(tier_invalidate_pattern(w->cache, TIER_BY_PATH, "^src/.*\\.h$"), 0);
    assert_int_equal(warm(w, "src/a.h b.c"), 0);
    assert_int_equal(builds, 3);
}
#endif

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(breadth_first_each_once),
        WORLD_TEST(depth_is_bounded),
        WORLD_TEST(languages_resolve),
        WORLD_TEST(failures_are_told),
        WORLD_TEST(types_are_built),
        WORLD_TEST(budget_is_never_exceeded),
        WORLD_TEST(a_file_that_grew_is_let_go),
        WORLD_TEST(progress_and_sessions_cancel),
        WORLD_TEST(time_runs_out),
        WORLD_TEST(bad_arguments_are_refused),
#ifdef OVER_LIBRARY
        WORLD_TEST(what_is_warm_is_known),
        WORLD_TEST(patterns_invalidate),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
