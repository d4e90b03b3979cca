/* test_closure.c - what a list of leaves must not hide: a link whose target comes, an input that another view
 * has seen change, a directory put in a link's way. Each result reads enough files to have such a list. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "include/tierkit.h"
#include <stdio.h>
#include <string.h>

enum {
    FILES = 80,
    SETTLED_US = 60000
}; /* more files than TIER__CLOSURE_MIN; three times the racy rule's tick */

static char top[64];
static tier_cache *cache;
static const tier_type *probe;

/* Reads all files, then the path in the arguments: "1" or "0" for whether it is there, and the last file's
 * text. */
static int build(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v = {0};
    char kind, name[32];
    (void)user;
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "f%d", i);
        int rc = tier_file(s, name, &v);
        if (rc)
            return rc;
    }
    int rc = tier_out_bytes(out, tier_stat(s, q->args, &kind) ? "0" : "1", 1);
    return rc ? rc : tier_out_bytes(out, v.data, v.size);
}

static void put(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/src/%s", top, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
    char path[128], name[32];
    const char *tmp = getenv("TMPDIR");
    (void)state;
    snprintf(top, sizeof top, "%s/tkc.XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    if (!mkdtemp(top))
        return -1;
    snprintf(path, sizeof path, "%s/src", top);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/away", top);
    mkdir(path, 0700);
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "f%d", i);
        put(name, "one");
    }
    tier_options o = TIER_INIT(tier_options);
    tier_root root = {"", NULL};
    char store[128];
    snprintf(path, sizeof path, "%s/src", top);
    snprintf(store, sizeof store, "%s/store", top);
    root.path = path;
    o.app = "test";
    o.dir = store;
    o.roots = &root;
    o.root_count = 1;
    tier_type_def d = TIER_INIT(tier_type_def);
    d.name = "probe";
    d.tier = TIER_DELTA;
    d.build = build;
    return tier_open(&o, &cache) || tier_define(cache, &d, &probe);
}

static int teardown(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", top);
    return tier_close(&cache) || system(command);
}

static int ask(tier_session *s, const char *path, char answer[8])
{
    tier_query q = {.type = probe, .args = path, .args_size = strlen(path) + 1};
    tier_value v;
    int rc = tier_get(s, &q, &v);
    snprintf(answer, 8, "%s", rc ? "" : (const char *)v.data);
    return rc;
}

static void expect(const char *path, const char *want)
{
    tier_session *s;
    char answer[8];
    assert_int_equal(tier_begin(cache, NULL, &s), 0);
    assert_int_equal(ask(s, path, answer), 0);
    assert_string_equal(answer, want);
    assert_int_equal(tier_end(&s), 0);
}

static void a_link_whose_target_comes(void **state)
{
    char link[128];
    (void)state;
    snprintf(link, sizeof link, "%s/src/link", top);
    assert_int_equal(symlink("../away/target", link), 0);
    usleep(SETTLED_US);
    expect("link", "0one");
    expect("link", "0one"); /* by its leaves */
    put("../away/target", "");
    expect("link", "1one");
}

static void a_directory_link_whose_target_comes(void **state)
{
    char path[128];
    (void)state;
    snprintf(path, sizeof path, "%s/src/dir", top);
    assert_int_equal(symlink("../away/inc", path), 0);
    usleep(SETTLED_US);
    expect("dir/x.h", "0one");
    expect("dir/x.h", "0one");
    snprintf(path, sizeof path, "%s/away/inc", top);
    assert_int_equal(mkdir(path, 0700), 0);
    put("../away/inc/x.h", "");
    expect("dir/x.h", "1one");
}

static void a_view_sees_one_version(void **state)
{
    tier_session *old;
    tier_value v;
    char answer[8];
    (void)state;
    usleep(SETTLED_US);
    assert_int_equal(tier_begin(cache, NULL, &old), 0);
    assert_int_equal(tier_file(old, "f79", &v), 0);
    assert_string_equal(v.data, "one");
    put("f79", "two");
    usleep(SETTLED_US);
    expect("none", "0two"); /* another view: its leaves are those of now */
    int rc = ask(old, "none", answer);
    if (rc)
        assert_int_equal(rc, TIER_ECHANGED);
    else
        assert_string_equal(answer, "0one");
    tier_end(&old);
}

static void two_results_of_one_view_agree(void **state)
{
    tier_session *old;
    char answer[8];
    (void)state;
    usleep(SETTLED_US);
    expect("p", "0one");
    assert_int_equal(tier_begin(cache, NULL, &old), 0);
    assert_int_equal(ask(old, "p", answer), 0); /* stands on its leaves */
    assert_string_equal(answer, "0one");
    put("f79", "two");
    usleep(SETTLED_US);
    expect("q", "0two");
    int rc = ask(old, "q", answer);
    if (rc)
        assert_int_equal(rc, TIER_ECHANGED);
    else
        assert_string_equal(answer, "0one");
    tier_end(&old);
}

static void an_absence_holds_for_the_view(void **state)
{
    tier_session *old;
    char answer[8], kind;
    (void)state;
    usleep(SETTLED_US);
    expect("p", "0one");
    assert_int_equal(tier_begin(cache, NULL, &old), 0);
    assert_int_equal(ask(old, "p", answer), 0); /* stands on its leaves: p is not there */
    assert_string_equal(answer, "0one");
    put("p", "");
    int rc = tier_stat(old, "p", &kind);
    assert_true(rc == TIER_EABSENT || rc == TIER_ECHANGED);
    tier_end(&old);
}

/* The directory was looked at with its absence, and its names are read only now. */
static void names_are_of_the_view(void **state)
{
    tier_session *old;
    tier_value v;
    char answer[8];
    (void)state;
    usleep(SETTLED_US);
    expect("p", "0one");
    assert_int_equal(tier_begin(cache, NULL, &old), 0);
    assert_int_equal(ask(old, "p", answer), 0);
    put("p", "");
    assert_int_equal(tier_list(old, ".", "p", &v), TIER_ECHANGED);
    assert_int_equal(tier_end(&old), TIER_ECHANGED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_link_whose_target_comes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_directory_link_whose_target_comes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_view_sees_one_version, setup, teardown),
        cmocka_unit_test_setup_teardown(two_results_of_one_view_agree, setup, teardown),
        cmocka_unit_test_setup_teardown(an_absence_holds_for_the_view, setup, teardown),
        cmocka_unit_test_setup_teardown(names_are_of_the_view, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
