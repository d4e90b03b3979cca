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

static void insert(tier__memory *m, tier_digest key, uint32_t cost)
{
    tier__entry *e = entry_of(m, TIER_FILE, key, 100);
    tier__entry_set_cost(e, cost);
    tier__entry_unref(tier__memory_insert(m, e));
}

/* What costs as much as ten others stays while the rest is renewed nine times, and not for ever. */
static void gdsf_lets_what_is_dear_age(void **state)
{
    (void)state;
    for (uint64_t rounds = 8; rounds <= 12; rounds += 4) {
        struct tier__base base;
        tier__memory *m = memory_of(&base, 40 * tier__memory_charge(NULL, 100), "gdsf");
        for (uint64_t n = 0; n < 40 * 50; n++) /* so that the floor is high */
            insert(m, key_in_one_shard(n), 10);
        insert(m, key_in_one_shard(5000), 100);
        for (uint64_t n = 10000; n < 10000 + 39 * rounds; n++)
            insert(m, key_in_one_shard(n), 10);
        assert_int_equal(has(m, key_in_one_shard(5000)), rounds == 8);
        tier__memory_destroy(&m);
    }
}

/* Three times the budget is gone over, again and again, in order: the worst there is for LRU. */
static void worth_keeps_the_hot_set_through_rescans(void **state)
{
    (void)state;
    struct tier__base base;
    tier__memory *m = memory_of(&base, 200 * tier__memory_charge(NULL, 100), "worth");
    for (int round = 0; round < 3; round++)
        for (uint64_t n = 0; n < 100; n++)
            if (!has(m, key_of(n)))
                put(m, key_of(n), 100);
    for (int round = 0; round < 5; round++) {
        for (uint64_t n = 1000; n < 1600; n++)
            if (!has(m, key_of(n)))
                put(m, key_of(n), 100);
        int there = 0;
        for (uint64_t n = 0; n < 100; n++)
            there += has(m, key_of(n));
        assert_int_equal(there, 100);
    }
    tier__memory_destroy(&m);
}

static void worth_remembers_what_it_evicted(void **state)
{
    (void)state;
    struct tier__base base;
    tier__memory *m = memory_of(&base, 40 * tier__memory_charge(NULL, 100), "worth");
    insert(m, key_in_one_shard(1), 10);
    for (int i = 0; i < 4; i++)
        assert_true(has(m, key_in_one_shard(1)));
    for (uint64_t n = 100; n < 140; n++) /* dearer, so it goes though it was hit */
        insert(m, key_in_one_shard(n), 10000);
    assert_false(has(m, key_in_one_shard(1)));
    for (uint64_t n = 100; n < 140; n++) /* of no use any more */
        tier__memory_remove(m, TIER_FILE, &(tier_digest[]){key_in_one_shard(n)}[0]);
    insert(m, key_in_one_shard(1), 10);
    insert(m, key_in_one_shard(2), 10);
    for (uint64_t n = 200; n < 300; n++)
        insert(m, key_in_one_shard(n), 10);
    assert_true(has(m, key_in_one_shard(1))); /* as one that was hit */
    assert_false(has(m, key_in_one_shard(2)));
    tier__memory_destroy(&m);
}

/* Shards each have their order, and what goes is what the whole of them would let go. */
static void shards_go_by_one_order(void **state)
{
    (void)state;
    static const char *const policy[] = {"worth", "gdsf"};
    for (size_t p = 0; p < 2; p++) {
        struct tier__base base;
        tier__memory *m = memory_of(&base, 100 * tier__memory_charge(NULL, 100), policy[p]);
        for (uint64_t n = 0; n < 100; n++)
            insert(m, key_of(n), UINT32_C(10) << n * 37 % 100 / 10);
        for (uint64_t n = 100; n < 140; n++)
            insert(m, key_of(n), 100000);
        for (uint64_t n = 0; n < 100; n++)
            assert_int_equal(has(m, key_of(n)), n * 37 % 100 >= 40);
        tier__memory_destroy(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lru_evicts_what_was_used_longest_ago),
        cmocka_unit_test(s3fifo_keeps_the_hot_set_through_a_scan),
        cmocka_unit_test(s3fifo_hits_buy_another_round),
        cmocka_unit_test(gdsf_counts_hits),
        cmocka_unit_test(gdsf_keeps_what_costs_most),
        cmocka_unit_test(gdsf_lets_what_is_dear_age),
        cmocka_unit_test(worth_keeps_the_hot_set_through_rescans),
        cmocka_unit_test(worth_remembers_what_it_evicted),
        cmocka_unit_test(shards_go_by_one_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
