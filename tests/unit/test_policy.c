/* test_policy.c - what each eviction policy keeps and lets go, on keys of one shard so that the order shows.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>
#include "tests/unit/memory_fixture.h"

/* A key whose shard does not depend on n, so that a policy's order can be told. */
static tier_digest key_in_one_shard(uint64_t n)
{
    tier_digest d = key_of(n);
    d.byte[7] = 0;
    return d;
}

static void lru_evicts_what_was_used_longest_ago(void **state)
{
    (void)state;
    struct tier__base base;
    tier__memory *m = memory_of(&base, 4 * tier__memory_charge(NULL, 100), "lru");
    for (uint64_t n = 0; n < 4; n++)
        put(m, key_in_one_shard(n), 100);
    assert_true(has(m, key_in_one_shard(0)));
    put(m, key_in_one_shard(4), 100);
    assert_false(has(m, key_in_one_shard(1)));
    put(m, key_in_one_shard(5), 100);
    assert_false(has(m, key_in_one_shard(2)));
    assert_true(has(m, key_in_one_shard(0)) && has(m, key_in_one_shard(3)));
    tier__memory_destroy(&m);
}

static void s3fifo_keeps_the_hot_set_through_a_scan(void **state)
{
    (void)state;
    struct tier__base base;
    tier__memory *m = memory_of(&base, 200 * tier__memory_charge(NULL, 100), "s3fifo");
    for (int round = 0; round < 4; round++)
        for (uint64_t n = 0; n < 100; n++)
            if (!has(m, key_in_one_shard(n)))
                put(m, key_in_one_shard(n), 100);
    for (uint64_t n = 1000; n < 3000; n++)
        put(m, key_in_one_shard(n), 100);
    for (uint64_t n = 0; n < 100; n++)
        assert_true(has(m, key_in_one_shard(n)));
    /* A ghost that comes back skips probation, and so survives a scan without a hit. */
    assert_false(has(m, key_in_one_shard(2800)));
    put(m, key_in_one_shard(2800), 100);
    put(m, key_in_one_shard(9000), 100);
    for (uint64_t n = 5000; n < 5150; n++)
        put(m, key_in_one_shard(n), 100);
    assert_true(has(m, key_in_one_shard(2800)));
    assert_false(has(m, key_in_one_shard(9000)));
    tier__memory_destroy(&m);
}

static void s3fifo_hits_buy_another_round(void **state)
{
    (void)state;
    struct tier__base base;
    tier__memory *m = memory_of(&base, 40 * tier__memory_charge(NULL, 100), "s3fifo");
    for (uint64_t n = 0; n < 20; n++) {
        put(m, key_in_one_shard(n), 100);
        assert_true(has(m, key_in_one_shard(n)) && has(m, key_in_one_shard(n)));
    }
    for (uint64_t n = 1000; n < 1100; n++) /* moves the twenty into the main queue */
        put(m, key_in_one_shard(n), 100);
    for (uint64_t n = 0; n < 10; n++)
        assert_true(has(m, key_in_one_shard(n)));
    for (uint64_t n = 100; n < 130; n++) { /* crowds the main queue */
        put(m, key_in_one_shard(n), 100);
        assert_true(has(m, key_in_one_shard(n)) && has(m, key_in_one_shard(n)));
    }
    int gone = 0;
    for (uint64_t n = 10; n < 20; n++)
        gone += !has(m, key_in_one_shard(n));
    assert_in_range(gone, 5, 10);
    for (uint64_t n = 0; n < 10; n++)
        assert_true(has(m, key_in_one_shard(n)));
    tier__memory_destroy(&m);
}

static void gdsf_counts_hits(void **state)
{
    (void)state;
    struct tier__base base;
    tier__memory *m = memory_of(&base, 40 * tier__memory_charge(NULL, 100), "gdsf");
    for (uint64_t n = 0; n < 40; n++)
        put(m, key_in_one_shard(n), 100);
    for (uint64_t n = 0; n < 40; n += 2)
        assert_true(has(m, key_in_one_shard(n)));
    for (uint64_t n = 40; n < 60; n++)
        put(m, key_in_one_shard(n), 100);
    for (uint64_t n = 0; n < 40; n += 2)
        assert_true(has(m, key_in_one_shard(n)));
    tier__memory_destroy(&m);
}

static void gdsf_keeps_what_costs_most(void **state)
{
    (void)state;
    struct tier__base base;
    tier__memory *m = memory_of(&base, 40 * tier__memory_charge(NULL, 100), "gdsf");
    for (uint64_t n = 0; n < 200; n++) {
        tier__entry *e = entry_of(m, TIER_FILE, key_in_one_shard(n), 100);
        tier__entry_set_cost(e, n < 20 ? 1000000 : 10);
        tier__entry_unref(tier__memory_insert(m, e));
    }
    for (uint64_t n = 0; n < 20; n++)
        assert_true(has(m, key_in_one_shard(n)));
    tier__memory_destroy(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lru_evicts_what_was_used_longest_ago),
        cmocka_unit_test(s3fifo_keeps_the_hot_set_through_a_scan),
        cmocka_unit_test(s3fifo_hits_buy_another_round),
        cmocka_unit_test(gdsf_counts_hits),
        cmocka_unit_test(gdsf_keeps_what_costs_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
