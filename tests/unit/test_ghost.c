/* test_ghost.c - what more memory would have served, held against a larger memory: exactly, where all keys
 * are in the sample, and nearly, where they are not. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>
#include "tests/unit/memory_fixture.h"

enum { SIZE = 100, KEYS_MAX = 40000 };

static uint64_t seed;

static uint64_t next(void)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return seed >> 24;
}

/* The keys in the order of their last use, the newest first. */
struct stack {
    uint32_t key[KEYS_MAX], count;
};

/* Where it was; count: nowhere. */
static uint32_t stack_use(struct stack *s, uint32_t key)
{
    uint32_t at = 0;
    while (at < s->count && s->key[at] != key)
        at++;
    s->count += at == s->count;
    memmove(s->key + 1, s->key, at * sizeof *s->key);
    s->key[0] = key;
    return at;
}

/* An LRU of `room` keys tells its evictions and misses; how often would it have hit with more room? */
static void against_a_larger_lru(uint32_t keys, uint32_t room, int gets, double tolerance)
{
    static struct stack s;
    struct tier__base base;
    struct tier__ghosts g;
    uint64_t hits[TIER__GHOST_STEPS] = {0}, budget = (uint64_t)room * SIZE;
    seed = getenv("TIER_SEED") ? strtoull(getenv("TIER_SEED"), NULL, 10) : 2026;
    print_message("TIER_SEED=%llu\n", (unsigned long long)seed);
    tier__base_init(&base, NULL);
    tier__ghosts_init(&g);
    s.count = 0;
    for (int n = 0; n < gets; n++) {
        uint64_t a = next() % keys, b = next() % keys;
        uint32_t key = (uint32_t)(a < b ? a : b), had = s.count; /* some more often than others */
        tier_digest digest = key_of(key);
        uint32_t at = stack_use(&s, key);
        if (at < room && at < had)
            continue;
        if (tier__ghosts_want(&g, &digest))
            tier__ghosts_missed(&g, &digest, budget);
        for (int i = 0; i < TIER__GHOST_STEPS && at < had; i++)
            hits[i] += at < room + room * tier__ghost_percent[i] / 100;
        if (s.count > room) {
            struct tier__ghost gone = {key_of(s.key[room]), SIZE, 3, 0};
            if (tier__ghosts_want(&g, &gone.key))
                tier__ghosts_evicted(&base, &g, &gone, budget);
        }
    }
    for (int i = 0; i < TIER__GHOST_STEPS; i++) {
        double ratio = (double)g.hits[i] / (double)hits[i];
        if (ratio < 1 - tolerance || ratio > 1 + tolerance)
            fail_msg("%u %% more: %llu hits, told as %llu", tier__ghost_percent[i],
                     (unsigned long long)hits[i], (unsigned long long)g.hits[i]);
        assert_int_equal(g.cost_us[i], 3 * g.hits[i]);
    }
    assert_true((tolerance > 0) == (atomic_load(&g.shift) > 0));
    tier__ghosts_fini(&base, &g);
}

static void a_small_one_exactly(void **state)
{
    (void)state;
    against_a_larger_lru(1500, 400, 20000, 0);
}

static void a_large_one_nearly(void **state)
{
    (void)state;
    against_a_larger_lru(KEYS_MAX, 5000, 60000, 0.15);
}

static double told(tier__memory *m, int step)
{
    return (double)stats_of(m, TIER_FILE).ghost_hits[step];
}

/* A memory that is gone over, a little more than it holds, would serve all of that with a half more. */
static void a_memory_tells_of_its_misses(void **state)
{
    struct tier__base base;
    (void)state;
    tier__memory *m = memory_of(&base, 100 * tier__memory_charge(NULL, SIZE), "lru");
    uint64_t misses = 0;
    for (int round = 0; round < 10; round++)
        for (uint64_t n = 0; n < 120; n++) {
            bool there = has(m, key_of(n));
            misses += !there && round > 0;
            if (!there)
                put(m, key_of(n), SIZE);
        }
    assert_true(misses > 500);
    assert_true(told(m, 0) < (double)misses / 2); /* an eighth is not enough for twenty in a hundred */
    assert_in_range((uint64_t)told(m, 2), misses * 9 / 10, misses);
    tier__memory_destroy(&m);
    m = memory_of(&base, 100 * tier__memory_charge(NULL, SIZE), "lru");
    for (uint64_t n = 0; n < 100; n++)
        put(m, key_of(n), SIZE);
    assert_false(has(m, key_of(1000)));
    assert_int_equal(told(m, 4), 0); /* nothing was evicted */
    tier__memory_destroy(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_one_exactly),
        cmocka_unit_test(a_large_one_nearly),
        cmocka_unit_test(a_memory_tells_of_its_misses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
