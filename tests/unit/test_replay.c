/* test_replay.c - replays against a naive LRU, Belady against every choice there is, and the memory itself.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>
#include "tests/unit/memory_fixture.h"
#include "tiers/replay.h"

static uint64_t seed;

static uint64_t next(void)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return seed >> 24;
}

static void begin(struct tier__base *base, struct tier__trace *t)
{
    seed = getenv("TIER_SEED") ? strtoull(getenv("TIER_SEED"), NULL, 10) : 2026;
    print_message("TIER_SEED=%llu\n", (unsigned long long)seed);
    tier__base_init(base, NULL);
    tier__trace_init(t, base);
}

static void add(struct tier__trace *t, enum tier__trace_what what, uint64_t key, uint64_t charge,
                uint32_t cost)
{
    assert_int_equal(tier__trace_add(t, what, TIER_TREE, key, charge, cost), TIER_OK);
}

/* ---- a list, the least recently used in front */
struct naive {
    uint64_t key[64], charge[64], used, hits, hit_cost;
    int count;
};

static void naive_get(struct naive *l, uint64_t key, uint64_t charge, uint64_t budget, uint64_t cost)
{
    int at = 0;
    while (at < l->count && l->key[at] != key)
        at++;
    if (at < l->count) {
        l->hits++;
        l->hit_cost += cost;
        l->used -= charge;
    } else {
        for (at = 0; l->used + charge > budget; at++)
            l->used -= l->charge[at];
        l->count -= at;
        memmove(l->key, l->key + at, (size_t)l->count * sizeof *l->key);
        memmove(l->charge, l->charge + at, (size_t)l->count * sizeof *l->charge);
        at = l->count++;
    }
    memmove(l->key + at, l->key + at + 1, (size_t)(l->count - at - 1) * sizeof *l->key);
    memmove(l->charge + at, l->charge + at + 1, (size_t)(l->count - at - 1) * sizeof *l->charge);
    l->key[l->count - 1] = key;
    l->charge[l->count - 1] = charge;
    l->used += charge;
}

static void lru_is_lru(void **state)
{
    struct tier__base base;
    struct tier__trace t;
    (void)state;
    begin(&base, &t);
    for (int round = 0; round < 50; round++) {
        struct naive l = {.count = 0};
        uint64_t budget = 500 + next() % 1000, keys = 5 + next() % 40, gets = 0;
        for (int i = 0; i < 1000; i++) {
            uint64_t key = next() % keys, charge = 20 + key * 7;
            naive_get(&l, key, charge, budget, key * key);
            add(&t, TIER__TRACE_HIT, key, charge, (uint32_t)(key * key));
            gets++;
        }
        struct tier__replay_options o = {tier__policy_named("lru"), TIER_TREE, budget, 1, false};
        struct tier__replay_result r;
        assert_int_equal(tier__replay(&t, &o, &r), TIER_OK);
        assert_int_equal(r.gets, gets);
        assert_int_equal(r.hits, l.hits);
        assert_int_equal(r.hit_cost_us, l.hit_cost);
        o.tier = TIER_FILE;
        assert_int_equal(tier__replay(&t, &o, &r), TIER_OK);
        assert_int_equal(r.gets, 0);
        tier__trace_fini(&t);
    }
}

/* ---- the least misses, by trying everything; set: a bit for each resident key */
static unsigned least(const int *key, int n, unsigned set, unsigned room)
{
    unsigned best = 0;
    while (n > 0 && set & 1u << *key)
        key++, n--;
    if (n == 0)
        return 0;
    best = least(key + 1, n - 1, set, room); /* not let in */
    if ((unsigned)__builtin_popcount(set) < room) {
        unsigned m = least(key + 1, n - 1, set | 1u << *key, room);
        return 1 + (m < best ? m : best);
    }
    for (unsigned rest = set; rest; rest &= rest - 1) {
        unsigned m = least(key + 1, n - 1, (set & ~(rest & -rest)) | 1u << *key, room);
        best = m < best ? m : best;
    }
    return 1 + best;
}

static void belady_is_the_best(void **state)
{
    struct tier__base base;
    struct tier__trace t;
    (void)state;
    begin(&base, &t);
    for (int round = 0; round < 60; round++) {
        int key[11];
        for (int i = 0; i < 11; i++) {
            key[i] = (int)(next() % 6);
            add(&t, TIER__TRACE_HIT, (uint64_t)key[i], 10, 1);
        }
        for (unsigned room = 1; room <= 4; room++) {
            struct tier__replay_options o = {NULL, TIER_TREE, room * 10 + 5, 0, false};
            struct tier__replay_result r;
            assert_int_equal(tier__replay(&t, &o, &r), TIER_OK);
            assert_int_equal(r.gets - r.hits, least(key, 11, 0, room));
            for (size_t p = 0; tier__policy_at(p); p++) {
                struct tier__replay_result other;
                o.policy = tier__policy_at(p);
                assert_int_equal(tier__replay(&t, &o, &other), TIER_OK);
                assert_true(other.hits <= r.hits);
            }
        }
        tier__trace_fini(&t);
    }
}

/* ---- what the memory did is what a replay of it does */
static void a_replay_repeats_the_memory(void **state)
{
    struct tier__base base, mine;
    struct tier__trace t;
    (void)state;
    for (size_t p = 0; tier__policy_at(p); p++) {
        begin(&mine, &t);
        uint64_t budget = 300 * tier__memory_charge(NULL, 200);
        tier__memory *m = memory_of(&base, budget, tier__policy_at(p)->name);
        for (int i = 0; i < 30000; i++) {
            uint64_t n = next() % 20 ? next() % 60 * (next() % 60) : next() % 4000;
            tier_digest key = key_of(n), old = key_of(n ^ 1);
            size_t size = 40 + n % 400;
            uint64_t word = tier__digest_word(&key), charge = tier__memory_charge(NULL, size);
            bool hit = has(m, key);
            add(&t, hit ? TIER__TRACE_HIT : TIER__TRACE_MISS, word, charge, 0);
            if (!hit) {
                put(m, key, size);
                add(&t, TIER__TRACE_PUT, word, charge, 0);
            }
            if (i % 40 == 0) {
                tier__memory_supersede(m, TIER_FILE, &old, false);
                add(&t, TIER__TRACE_DEAD, tier__digest_word(&old), 0, 0);
            }
        }
        struct tier__memory_stats s = stats_of(m, TIER_FILE);
        struct tier__replay_options o = {tier__policy_at(p), TIER_TREE, budget, 0, false};
        struct tier__replay_result r;
        assert_int_equal(tier__replay(&t, &o, &r), TIER_OK);
        assert_int_equal(r.gets, s.hits + s.misses);
        /* Its shards are filled by other bits of the key, so it may differ by little. */
        int64_t apart = (int64_t)r.hits - (int64_t)s.hits;
        assert_in_range(apart < 0 ? -apart : apart, 0, s.hits / 20);
        assert_in_range(s.hits, r.gets / 4, r.gets - r.gets / 20);
        tier__memory_destroy(&m);
        tier__trace_fini(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lru_is_lru),
        cmocka_unit_test(belady_is_the_best),
        cmocka_unit_test(a_replay_repeats_the_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
