/* test_colon.c - names of files in the first root that look like paths of another root: "lib:a" beside a root
 * that is called lib. Each is told from the other, whichever is met first. */
#include "tests/unit/small_world.h"

enum { ABSENT = 80 };

/* The first root is top/src, "lib" is top/lib. */
static void open_both(const char *watch)
{
    char paths[2][96], store[96];
    snprintf(paths[0], sizeof paths[0], "%s/src", top);
    snprintf(paths[1], sizeof paths[1], "%s/lib", top);
    snprintf(store, sizeof store, "%s/store", top);
    tier_root roots[] = {{"", paths[0]}, {"lib", paths[1]}};
    const char *settings[] = {"verify.sample=0", watch};
    tier_options o = TIER_INIT(tier_options);
    o.app = "test";
    o.app_version = "1";
    o.profile = "dev";
    o.dir = store;
    o.roots = roots;
    o.root_count = 2;
    o.settings = settings;
    o.setting_count = 2;
    assert_int_equal(tier_open(&o, &cache), 0);
}

/* Every file that the first root lists, then lib:d/a and lib:a. */
static int build(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    static const char *const others[] = {"lib:d/a", "lib:a"};
    tier_value names, v;
    const void *name;
    size_t cursor = 0, size;
    char absent[16], kind;
    int rc = 0;
    (void)q;
    (void)user;
    for (int i = 0; i < ABSENT; i++) {
        snprintf(absent, sizeof absent, "none%d", i);
        (void)tier_stat(s, absent, &kind);
    }
    if ((rc = tier_list(s, "", "**", &names)))
        return rc;
    while (!tier_next(&names, &cursor, &name, &size)) {
        rc = tier_file(s, name, &v);
        tier_out_bytes(out, name, size);
        if (rc != TIER_EKIND)
            tier_out_bytes(out, rc ? "?" : v.data, rc ? 1 : v.size);
        tier_out_bytes(out, " ", 1);
    }
    for (size_t i = 0; i < 2; i++) {
        rc = tier_file(s, others[i], &v);
        tier_out_bytes(out, rc ? "?" : v.data, rc ? 1 : v.size);
    }
    return 0;
}

static void expect(const tier_type *type, bool known, const char *want)
{
    tier_session *s = begin(0);
    tier_query q = {.type = type};
    tier_value v;
    assert_int_equal(tier_get(s, &q, &v), 0);
    assert_string_equal(v.data, want);
    assert_true(!known || v.from == TIER_VERIFIED);
    assert_int_equal(tier_end(&s), 0);
}

static void names_that_look_like_roots(void **state)
{
    static const char *const watches[] = {"watch=off", "watch=on"};
    char path[96], key[64];
    tier_value v;
    (void)state;
    snprintf(path, sizeof path, "%s/lib", top);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/lib/d", top);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/src/lib:d", top);
    assert_int_equal(mkdir(path, 0700), 0);
    put("../lib/a", "=2");
    put("../lib/d/a", "=1");
    for (int i = 0; i < 2; i++) {
        put("lib:a", "=3");
        put("lib:d/a", "=4");
        usleep(60000);
        open_both(watches[i]);
        const tier_type *type = define("all", 0, build, NULL);
        expect(type, false, "./lib:a=3 ./lib:d ./lib:d/a=4 =1=2");
        expect(type, true, "./lib:a=3 ./lib:d ./lib:d/a=4 =1=2");
        put("lib:d/a", "=5");
        assert_int_equal(tier_overlay(cache, ".//lib:new", 1, "=6", 2), 0);
        expect(type, false, "./lib:a=3 ./lib:d ./lib:d/a=5 ./lib:new=6 =1=2");
        assert_int_equal(tier_overlay(cache, "./lib:new", 2, NULL, 0), 0);
        expect(type, false, "./lib:a=3 ./lib:d ./lib:d/a=5 =1=2");
        tier_session *s = begin(0);
        assert_int_equal(tier_realpath(s, "lib:d/../../src/lib:d/./a", &v), 0);
        assert_string_equal(v.data, "./lib:d/a");
        assert_int_equal(tier_end(&s), 0);
        snprintf(path, sizeof path, "%s/src/lib:a", top);
        assert_int_equal(tier_path_in(cache, path, key, sizeof key), 0);
        assert_string_equal(key, "./lib:a");
        assert_int_equal(tier_close(&cache), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_that_look_like_roots, world_setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
