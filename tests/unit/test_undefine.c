/* concurrent */
/* test_undefine.c - a type is taken away while it is in use: from another thread, from within, and while only
 * what reads it was asked for. */
#include <pthread.h>
#include <stdatomic.h>
#include "tests/unit/small_world.h"

static const tier_type *low, *high;
static atomic_int inside, go;
static int undefined; /* what tier_undefine said within a build */

static int build_waiting(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    (void)s;
    (void)q;
    (void)user;
    atomic_store(&inside, 1);
    while (!atomic_load(&go))
        usleep(500);
    return tier_out_bytes(out, "low", 3);
}

static int build_from_within(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    (void)q;
    (void)user;
    undefined = tier_undefine(cache, low);
    int rc = tier_file(s, "a", &v);
    return rc ? rc : tier_out_bytes(out, v.data, v.size);
}

static int build_high(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_query below = {.type = low};
    tier_value v;
    (void)q;
    (void)user;
    int rc = tier_get(s, &below, &v);
    return rc ? rc : tier_out_bytes(out, v.data, v.size);
}

static void *ask(void *type)
{
    tier_session *s = NULL;
    tier_query q = {.type = type};
    tier_value v;
    int rc = tier_begin(cache, NULL, &s);
    if (!rc)
        rc = tier_get(s, &q, &v);
    if (!rc && strcmp(v.data, "low") != 0)
        rc = TIER_EDAMAGE;
    (void)tier_end(&s);
    return (void *)(intptr_t)rc;
}

/* While of is being asked for on another thread, and low is being built. */
static void busy_below(const tier_type *of)
{
    pthread_t thread;
    void *rc;
    atomic_store(&inside, 0);
    atomic_store(&go, 0);
    assert_int_equal(pthread_create(&thread, NULL, ask, (void *)of), 0);
    while (!atomic_load(&inside))
        usleep(500);
    assert_int_equal(tier_undefine(cache, low), TIER_EBUSY);
    assert_non_null(strstr(logged, "is being computed"));
    assert_int_equal(tier_undefine(cache, high), of == high ? TIER_EBUSY : 0);
    atomic_store(&go, 1);
    assert_int_equal(pthread_join(thread, &rc), 0);
    assert_int_equal((intptr_t)rc, 0);
    assert_int_equal(tier_undefine(cache, low), 0);
}

static void while_it_is_built(void **state)
{
    (void)state;
    open_cache(0, NULL);
    low = define("low", 0, build_waiting, NULL);
    high = define("high", 0, build_high, NULL);
    busy_below(low);
}

static void while_what_reads_it_is_built(void **state)
{
    (void)state;
    open_cache(0, NULL);
    low = define("low", 0, build_waiting, NULL);
    high = define("high", 0, build_high, NULL);
    busy_below(high);
}

/* The walk of high comes to low by itself. */
static void while_what_reads_it_is_verified(void **state)
{
    (void)state;
    open_cache(0, NULL);
    low = define("low", 0, build_waiting, NULL);
    high = define("high", 0, build_high, NULL);
    atomic_store(&go, 1);
    assert_null(ask((void *)high));
    assert_int_equal(tier_invalidate(cache, TIER_BY_TYPE, "low"), 0);
    busy_below(high);
}

static void from_within(void **state)
{
    (void)state;
    open_cache(0, NULL);
    put("a", "low");
    low = define("low", 0, build_from_within, NULL);
    tier_session *s = begin(0);
    tier_query q = {.type = low};
    tier_value v;
    assert_int_equal(tier_get(s, &q, &v), 0);
    assert_string_equal(v.data, "low");
    assert_int_equal(tier_end(&s), 0);
    assert_int_equal(undefined, TIER_EBUSY);
    assert_int_equal(tier_undefine(cache, low), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(while_it_is_built, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(while_what_reads_it_is_built, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(while_what_reads_it_is_verified, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(from_within, world_setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
