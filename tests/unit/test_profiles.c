/* I14: dev, ci and production, as they are, give the same answers, and those are what a run from scratch
 * gives. Each on a store of its own and on one that all three use in turn, each time as another process. */
#include "tests/unit/small_world.h"

enum { PROFILES = 3, STORES = PROFILES + 1, TEXT = 1 << 14 };
static const char *const profiles[PROFILES] = {"dev", "ci", "production"};
static const char *const files[] = {"a.c", "b.c", "x.h", "y.h", "z.h"};
static const tier_type *sum, *whole;
static unsigned ran;

/* The file's letters in its order, those of what its lines name in their place; big enough to be stored
 * apart. */
static int build_sum(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v, env;
    (void)user;
    ran++;
    int rc = tier_file(s, q->path, &v);
    if (rc)
        return rc;
    char *text = strdup(v.data), *rest = text, *line;
    assert_non_null(text);
    while (!rc && (line = strsep(&rest, "\n"))) {
        tier_query below = {.type = sum, .path = line + (*line == '<')};
        rc = *line == '<' ? tier_get(s, &below, &v) : 0;
        if (*line != '<' || rc == TIER_EABSENT)
            rc = tier_out_bytes(out, rc ? "absent" : line, rc ? 6 : strlen(line));
        else if (!rc)
            rc = tier_out_bytes(out, v.data, v.size);
    }
    free(text);
    if (!rc && !(rc = tier_env(s, "TIER_TEST_WORD", &env)))
        rc = tier_out_bytes(out, env.data, env.size);
    return rc == TIER_EABSENT ? 0 : rc;
}

static int build_whole(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    static char fill[2000];
    (void)user;
    ran++;
    int rc = tier_list(s, q->path, "*.[ch]", &v);
    if (!rc)
        rc = tier_out_bytes(out, v.data, v.size);
    for (size_t i = 0; !rc && i < sizeof files / sizeof *files; i++) {
        tier_query one = {.type = sum, .path = files[i]};
        rc = tier_get(s, &one, &v);
        rc = tier_out_bytes(out, rc ? "!" : v.data, rc ? 1 : v.size);
    }
    return rc ? rc : tier_out_bytes(out, fill, sizeof fill);
}

static void open_as(const char *profile, const char *store, uint32_t flags)
{
    char root_path[96], dir[96];
    snprintf(root_path, sizeof root_path, "%s/src", top);
    snprintf(dir, sizeof dir, "%s/store %s", top, store);
    tier_root root = {"", root_path};
    tier_options o = TIER_INIT(tier_options);
    o.app = "test";
    o.app_version = "1";
    o.profile = profile;
    o.dir = *store ? dir : "";
    o.roots = &root;
    o.root_count = 1;
    o.flags = flags;
    o.log = keep_log;
    assert_int_equal(tier_open(&o, &cache), 0);
    sum = define("sum", 0, build_sum, NULL);
    whole = define("whole", 0, build_whole, NULL);
}

static size_t answer(char text[TEXT], const char *overlay)
{
    size_t n = 0;
    if (overlay)
        assert_int_equal(tier_overlay(cache, "x.h", 1, overlay, strlen(overlay)), 0);
    tier_session *s = begin(0);
    for (size_t i = 0; i < 1 + sizeof files / sizeof *files; i++) {
        tier_query q = {.type = i ? sum : whole, .path = i ? files[i - 1] : ""};
        tier_value v;
        int rc = tier_get(s, &q, &v);
        n += (size_t)snprintf(text + n, TEXT - n, "%d:", rc);
        assert_true(n + v.size < TEXT);
        if (!rc)
            memcpy(text + n, v.data, v.size);
        n += rc ? 0 : v.size;
    }
    assert_int_equal(tier_end(&s), 0);
    return n;
}

/* What a run from scratch says; then each profile, its first and its second session, on each store. */
static void all_agree(unsigned step, const char *overlay)
{
    static char be[TEXT], is[TEXT];
    open_as(NULL, "", TIER_NO_MEMORY);
    size_t n = answer(be, overlay);
    assert_int_equal(tier_close(&cache), 0);
    for (unsigned i = 0; i < 2 * PROFILES; i++) {
        unsigned p = (i / 2 + step) % PROFILES;
        open_as(profiles[p], i % 2 ? "of all" : profiles[p], 0);
        for (int again = 0; again < 2; again++) {
            if (answer(is, overlay) != n || memcmp(is, be, n) != 0)
                fail_msg("step %u, %s, %s: not what a run from scratch says", step, profiles[p],
                         i % 2 ? "on everybody's store" : "on its own");
        }
        assert_int_equal(tier_close(&cache), 0);
    }
}

static void profiles_change_no_answer(void **state)
{
    unsigned step = 0;
    char path[96], other[96];
    (void)state;
    put("a.c", "int a;\n<x.h\n<y.h");
    put("b.c", "<y.h\n<none.h\nint b;");
    put("x.h", "extern x;\n<z.h");
    put("y.h", "extern y;");
    put("z.h", "z");
    all_agree(step++, NULL);
    unsigned first = ran;
    all_agree(step++, NULL); /* nothing changed */
    assert_true(ran - first < first);
    put("z.h", "Z"); /* of the same size */
    all_agree(step++, NULL);
    put("z.h", "z"); /* and back */
    all_agree(step++, NULL);
    all_agree(step++, "unsaved;\n<y.h");
    all_agree(step++, NULL);
    put("none.h", "now it is there");
    all_agree(step++, NULL);
    snprintf(path, sizeof path, "%s/src/y.h", top);
    snprintf(other, sizeof other, "%s/src/z.h", top);
    assert_int_equal(rename(path, other), 0); /* y.h is gone, z.h another */
    all_agree(step++, NULL);
    assert_int_equal(setenv("TIER_TEST_WORD", "word", 1), 0);
    all_agree(step++, NULL);
    put("y.h", "<x.h"); /* back under another text */
    all_agree(step++, NULL);
    assert_int_equal(unsetenv("TIER_TEST_WORD"), 0);
    all_agree(step++, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(profiles_change_no_answer, world_setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
