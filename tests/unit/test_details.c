/* test_details.c - the details of errors name the thing that is missing or wrong. */
#include "tests/unit/small_world.h"

static int returns(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    int rc;
    (void)s;
    (void)out;
    (void)user;
    memcpy(&rc, q->args, sizeof rc);
    return rc;
}

static void says(tier_session *s, int rc, int want, const char *text)
{
    assert_int_equal(rc, want);
    assert_string_equal(tier_detail(s), text);
}

static void what_is_not_there_is_named(void **state)
{
    tier_value v;
    char kind;
    (void)state;
    open_cache(0, NULL);
    tier_session *s = begin(0);
    says(s, tier_env(s, "NOPE", &v), TIER_EABSENT, "the environment has no NOPE");
    says(s, tier_config(s, "NOPE", &v), TIER_EABSENT, "no setting is named config.NOPE");
    says(s, tier_input(s, "NOPE", &v), TIER_EABSENT, "no input is named NOPE");
    says(s, tier_file(s, "nosuchroot:a", &v), TIER_EABSENT,
         "cannot read nosuchroot:a: it is not there, and no root is named nosuchroot");
    says(s, tier_stat(s, "nosuchroot:d/a", &kind), TIER_EABSENT,
         "cannot look at nosuchroot:d/a: it is not there, and no root is named nosuchroot");
    says(s, tier_file(s, "d/a:b", &v), TIER_EABSENT, "cannot read d/a:b: it is not there");
    says(s, tier_file(s, "", &v), TIER_EKIND,
         "cannot read an empty path (the root): not a regular file, or larger than 256 MiB");
    assert_int_equal(tier_end(&s), 0);
    assert_int_equal(tier_close(&cache), 0);
}

static void what_a_build_returned_is_named(void **state)
{
    static const struct {
        int returned, rc;
        const char *detail;
    } rows[] = {
        {-1, TIER_EINVAL, "type t: its build returned -1 (bad argument): return tier_fail(...)"},
        {-99, -99, "type t: its build returned -99 (unknown error): return tier_fail(...)"},
        {7, TIER_EINVAL, "type t: its build returned 7, which is no TIER_E...: return 0 or tier_fail(...)"},
        {TIER_ETRANSIENT, TIER_ETRANSIENT, "type t: failed for now; never remembered"}};
    (void)state;
    open_cache(0, NULL);
    const tier_type *type = define("t", 0, returns, NULL);
    tier_session *s = begin(0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tier_query q = {.type = type, .args = &rows[i].returned, .args_size = sizeof rows[i].returned};
        tier_value v;
        says(s, tier_get(s, &q, &v), rows[i].rc, rows[i].detail);
    }
    assert_int_equal(tier_end(&s), 0);
    assert_int_equal(tier_close(&cache), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_not_there_is_named, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(what_a_build_returned_is_named, world_setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
