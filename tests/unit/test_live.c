/* test_live.c - a cache that cannot be closed says what is still lent. */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "include/tierkit.h"

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)st, (void)type, (void)f;
    return remove(path);
}

static int length_of(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    (void)user;
    int rc = tier_file(s, q->path, &v);
    return rc ? rc : tier_out_bytes(out, &v.size, sizeof v.size);
}

static void write_file(const char *dir, const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(name, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void assert_told(const tier_cache *c, const char *what)
{
    const char *detail = tier_cache_detail(c);
    assert_non_null(detail);
    if (!strstr(detail, what))
        fail_msg("\"%s\" is not in \"%s\"", what, detail);
}

static void a_refused_close_names_what_is_lent(void **state)
{
    (void)state;
    char base[280];
    const char *tmp = getenv("TMPDIR");
    snprintf(base, sizeof base, "%s/live.XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(base));
    tier_root root = {"", base};
    tier_options o = TIER_INIT(tier_options);
    tier_type_def def = TIER_INIT(tier_type_def);
    tier_cache *c;
    tier_session *s;
    const tier_type *type;
    tier_value v[6];
    o.app = "live";
    o.dir = "";
    o.roots = &root;
    o.root_count = 1;
    def.name = "length";
    def.version = 1;
    def.tier = TIER_TREE;
    def.build = length_of;
    assert_int_equal(tier_open(&o, &c), 0);
    assert_int_equal(tier_define(c, &def, &type), 0);
    assert_int_equal(tier_begin(c, NULL, &s), 0);
    for (int i = 0; i < 6; i++) {
        char name[8] = {(char)('a' + i), '.', 'c', 0};
        write_file(base, name);
        tier_query q = {.type = type, .path = name};
        assert_int_equal(i % 2 ? tier_get(s, &q, &v[i]) : tier_file(s, name, &v[i]), 0);
        if (i >= 4)
            assert_int_equal(tier_detach(s, &v[i]), 0);
    }
    assert_int_equal(tier_close(&c), TIER_EBUSY);
    assert_told(c, "1 live session (");
    assert_int_equal(tier_end(&s), 0);
    assert_int_equal(tier_close(&c), TIER_EBUSY);
    assert_told(c, "0 live sessions, ");
    assert_told(c, "2 detached values (length(f.c), e.c), ");
    assert_int_equal(tier_release(NULL, &v[5]), 0);
    assert_int_equal(tier_close(&c), TIER_EBUSY);
    assert_told(c, "1 detached value (e.c), ");
    assert_int_equal(tier_release(NULL, &v[4]), 0);
    assert_int_equal(tier_close(&c), 0);
    nftw(base, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_refused_close_names_what_is_lent)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
