/* A second definition under the identity of the first: the same again is welcome, one that computes otherwise
 * would be served the first one's answers. */
#include "tests/unit/small_world.h"

static int says_one(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    (void)s, (void)q, (void)user;
    return tier_out_bytes(out, "one", 3);
}

static int says_two(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    (void)s, (void)q, (void)user;
    return tier_out_bytes(out, "two", 3);
}

static void drop(void *object, void *user)
{
    (void)object, (void)user;
}

static tier_type_def definition(void)
{
    tier_type_def d = TIER_INIT(tier_type_def);
    d.name = "lines";
    d.tier = TIER_TREE;
    d.build = says_one;
    return d;
}

static void answers(const tier_type *type, const char *want)
{
    tier_session *s = begin(0);
    tier_query q = {.type = type, .path = "a"};
    tier_value v;
    assert_int_equal(tier_get(s, &q, &v), 0);
    assert_int_equal(v.size, 3);
    assert_memory_equal(v.data, want, 3);
    assert_int_equal(tier_end(&s), 0);
}

static void refused(const tier_type_def *d, const char *what)
{
    const tier_type *type = (const tier_type *)logged;
    logged[0] = 0;
    assert_int_equal(tier_define(cache, d, &type), TIER_EINVAL);
    assert_null(type);
    assert_non_null(strstr(logged, "tier_define lines: "));
    assert_non_null(strstr(logged, what));
}

static void what_computes_otherwise_is_refused(void **state)
{
    const tier_type *first, *type;
    tier_type_def d = definition();
    (void)state;
    assert_int_equal(tier_define(cache, &d, &first), 0);
    answers(first, "one");
    d.build = says_two;
    refused(&d, "with another build");
    d = definition();
    d.destroy = drop;
    refused(&d, "with another load, save, destroy or fingerprint");
    d = definition();
    d.flags = TIER_EXCLUSIVE;
    refused(&d, "with another flags");
    d = definition();
    d.user = &d;
    refused(&d, "with another user");
    d = definition();
    d.build = says_two;
    d.config = "x";
    d.config_size = 1;
    assert_int_equal(tier_define(cache, &d, &type), 0); /* another identity */
    answers(type, "two");
    answers(first, "one");
    assert_int_equal(tier_undefine(cache, first), 0);
    d = definition();
    d.user = &d;
    assert_int_equal(tier_define(cache, &d, &type), 0); /* nobody is there any more */
}

static void the_same_again_is_welcome(void **state)
{
    const tier_type *first, *second;
    tier_type_def d = definition();
    (void)state;
    assert_int_equal(tier_define(cache, &d, &first), 0);
    assert_int_equal(tier_define(cache, &d, &second), 0);
    answers(first, "one");
    answers(second, "one");
    assert_int_equal(tier_undefine(cache, first), 0);
    answers(second, "one");
}

static int setup(void **state)
{
    if (world_setup(state))
        return -1;
    open_cache(0, NULL);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_computes_otherwise_is_refused, setup, world_teardown),
        cmocka_unit_test_setup_teardown(the_same_again_is_welcome, setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
