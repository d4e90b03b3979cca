/* store.overlays: whether what was made from unsaved buffers may go to disk. */
#include "tests/unit/small_world.h"

static int builds;

static int copy_file(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    int rc = tier_file(s, q->path, &v);
    (void)user;
    builds++;
    return rc ? rc : tier_out_bytes(out, v.data, v.size);
}

static int copy_content(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    (void)s;
    (void)user;
    builds++;
    return tier_out_bytes(out, q->args, q->args_size);
}

static const tier_type *copy, *content;

static int copy_all(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    const tier_query below[] = {{copy, "a", NULL, 0}, {content, "a", NULL, 0}, {copy, "b", NULL, 0}};
    int rc = 0;
    (void)q;
    (void)user;
    builds++;
    for (size_t i = 0; !rc && i < sizeof below / sizeof *below; i++) {
        tier_value v;
        rc = tier_get(s, &below[i], &v);
        rc = rc ? rc : tier_out_bytes(out, v.data, v.size);
    }
    return rc;
}

static int list_all(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    int rc = tier_list(s, "", "*", &v);
    (void)q;
    (void)user;
    builds++;
    return rc ? rc : tier_out_bytes(out, v.data, v.size);
}

/* Builds of a run that asks for all. */
static int run(const char *setting, const char *overlay)
{
    tier_value v;
    open_cache(0, setting);
    copy = define("copy", 0, copy_file, NULL);
    content = define("content", TIER_PATH_FREE, copy_content, NULL);
    const tier_type *all = define("all", 0, copy_all, NULL), *list = define("list", 0, list_all, NULL);
    builds = 0;
    if (overlay)
        assert_int_equal(tier_overlay(cache, "a", 1, overlay, strlen(overlay)), 0);
    tier_session *s = begin(0);
    assert_int_equal(tier_get(s, &(tier_query){all, NULL, NULL, 0}, &v), 0);
    assert_int_equal(tier_get(s, &(tier_query){list, NULL, NULL, 0}, &v), 0);
    assert_int_equal(tier_get(s, &(tier_query){all, NULL, NULL, 0}, &v), 0);
    assert_int_equal(v.from, TIER_HIT);
    assert_int_equal(tier_end(&s), 0);
    assert_int_equal(tier_close(&cache), 0);
    return builds;
}

static void allowed(void **state)
{
    (void)state;
    put("a", "old");
    put("b", "other");
    assert_int_equal(run(NULL, "new"), 5);
    put("a", "new"); /* saved: all is known */
    assert_int_equal(run(NULL, NULL), 0);
}

static void forbidden(void **state)
{
    (void)state;
    put("a", "old");
    put("b", "other");
    assert_int_equal(run("store.overlays=off", "new"), 5);
    put("a", "new");
    assert_int_equal(run("store.overlays=off", NULL), 4); /* all but b's copy */
    assert_int_equal(run("store.overlays=off", NULL), 0);
}

/* What tier_edits says, in a program of its own, of the edits from text to what a holds now. */
static int edits_from(const char *setting, const char *text, const char *overlay)
{
    tier_value v;
    const tier_edit *edits;
    size_t count;
    open_cache(0, setting);
    tier_session *s = begin(0);
    assert_int_equal(tier_overlay(cache, "a", 1, text, strlen(text)), 0);
    tier_session *other = begin(0); /* to know its digest */
    assert_int_equal(tier_file(other, "a", &v), 0);
    const tier_digest digest = v.hash;
    assert_int_equal(tier_end(&other), 0);
    int rc = tier_edits(s, "a", &digest, &edits, &count);
    assert_int_equal(tier_end(&s), 0);
    if (overlay) {
        assert_int_equal(tier_overlay(cache, "a", 2, overlay, strlen(overlay)), 0);
        s = begin(0);
        (void)tier_edits(s, "a", &digest, &edits, &count);
        assert_int_equal(tier_end(&s), 0);
    }
    assert_int_equal(tier_close(&cache), 0);
    return rc;
}

/* The bytes of the buffer themselves, which edits remember. */
static void versions(void **state)
{
    (void)state;
    put("a", "saved");
    edits_from("store.overlays=off", "any", "typed");
    put("a", "saved later");
    assert_int_equal(edits_from("store.overlays=off", "typed", NULL), TIER_EABSENT);
    assert_int_equal(edits_from("store.overlays=off", "saved", NULL), 0);
    edits_from(NULL, "any", "typed");
    assert_int_equal(edits_from(NULL, "typed", NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(allowed, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(forbidden, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(versions, world_setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
