/* test_memory.c - the memory side, one thread: budgets, pins, holds, exclusive entries, ends of life. The
 * random comparison with a model is test_memory_model.c, threads are test_memory_threads.c. */
#include <stdarg.h>
#include <setjmp.h>
#include <pthread.h>
#include <stdlib.h>
#include <cmocka.h>
#include "tests/unit/memory_fixture.h"
#include "tiers/memory_private.h"

static int destroyed; /* by the current test */

static void count_destroy(void *object, void *user)
{
    (void)user;
    destroyed++;
    ++*(int *)object;
}

static void give(tier__entry *e, void *object, size_t bytes, void (*destroy)(void *, void *), void *user)
{
    assert_int_equal(tier__entry_give(e, object, bytes, destroy, user), TIER_OK);
}

static void fresh_entries_are_as_promised(void **state)
{
    (void)state;
    struct tier__base base;
    tier__memory *m = memory_of(&base, 1 << 20, NULL);
    for (size_t size = 0; size < 300; size++) {
        tier__entry *e = entry_of(m, TIER_TREE, key_of(size), size);
        assert_int_equal((uintptr_t)e->data % 16, 0);
        assert_int_equal(((char *)e->data)[size], 0);
        assert_int_equal(e->size, size);
        tier__entry_unref(e);
    }
    tier__entry *e = tier__entry_new(m, TIER_DELTA, SIZE_MAX);
    assert_null(e->data);
    assert_int_equal(e->size, 0);
    assert_null(tier__entry_object(e));
    tier__entry_unref(e);
    assert_null(tier__entry_new(m, TIER_FILE, SIZE_MAX - 1));
    tier__entry_unref(NULL);
    assert_int_equal(tier__memory_live(m), 0);
    tier__memory_destroy(&m);
    assert_null(m);
    tier__memory_destroy(&m);
    struct tier__memory_options bad = {.policy = "fifo?"};
    assert_int_equal(tier__memory_create(&base, &bad, &m), TIER_EINVAL);
}

static void *count_blocks(void *user, void *old, size_t size)
{
    *(long *)user += (size && !old) - (!size && old);
    if (size)
        return realloc(old, size);
    free(old);
    return NULL;
}

static void headers_go_back_to_the_heap(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    static tier__entry *e[COUNT];
    struct tier__memory_options o = {.budget = {0}};
    struct tier__base base;
    tier__memory *m;
    long blocks = 0;
    tier__base_init(&base, NULL);
    base.user = &blocks;
    base.realloc = count_blocks;
    assert_int_equal(tier__memory_create(&base, &o, &m), TIER_OK);
    long before = blocks;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < COUNT; i++)
            assert_non_null(e[i] = tier__entry_new(m, TIER_TREE, SIZE_MAX));
        assert_in_range(blocks - before, COUNT / 64, COUNT / 64 + 2); /* 64 to a block, and none is lost */
        for (int i = 0; i < COUNT; i++)
            tier__entry_unref(e[(i * 7) % COUNT]);
        assert_in_range(blocks - before, 1, 2); /* the last of the pool, and the numbers of slabs */
    }
    tier__memory_destroy(&m);
    assert_int_equal(blocks, 0);
}

static void tiers_do_not_mix(void **state)
{
    (void)state;
    struct tier__base base;
    tier__memory *m = memory_of(&base, 1 << 20, NULL);
    tier_digest key = key_of(1);
    tier__entry *tree = tier__memory_insert(m, entry_of(m, TIER_TREE, key, 10));
    assert_null(tier__memory_find(m, TIER_FILE, &key));
    tier__entry *file = tier__memory_insert(m, entry_of(m, TIER_FILE, key, 10));
    assert_ptr_not_equal(tree, file);
    tier__memory_remove(m, TIER_FILE, &key);
    assert_false(has(m, key));
    tier__entry *found = tier__memory_find(m, TIER_TREE, &key);
    assert_ptr_equal(found, tree);
    tier__entry_unref(found);
    tier__entry_unref(file);
    tier__entry_unref(tree);
    assert_int_equal(stats_of(m, TIER_TREE).hits, 1);
    assert_int_equal(stats_of(m, TIER_FILE).misses, 2);
    tier__memory_destroy(&m);
}

static void the_first_of_two_equal_entries_stays(void **state)
{
    (void)state;
    struct tier__base base;
    tier__memory *m = memory_of(&base, 1 << 20, NULL);
    tier_digest key = key_of(1);
    tier__entry *first = tier__memory_insert(m, entry_of(m, TIER_FILE, key, 10));
    assert_ptr_equal(tier__memory_insert(m, entry_of(m, TIER_FILE, key, 10)), first);
    assert_int_equal(atomic_load(&first->refs), 3);
    assert_ptr_equal(tier__memory_insert(m, first), first); /* once more changes nothing */
    assert_int_equal(atomic_load(&first->refs), 3);
    assert_int_equal(stats_of(m, TIER_FILE).entries, 1);
    assert_int_equal(stats_of(m, TIER_FILE).bytes, tier__entry_charge(first));
    tier__entry_unref(first);
    tier__entry_unref(first);
    tier__memory_destroy(&m);
}

static void a_budget_for_one_entry_holds_one(void **state)
{
    static const char *const policy[] = {"worth", "s3fifo", "lru", "gdsf"};
    (void)state;
    for (size_t p = 0; p < 4; p++) {
        struct tier__base base;
        tier__memory *m = memory_of(&base, tier__memory_charge(NULL, 1000), policy[p]);
        for (uint64_t n = 0; n < 500; n++) { /* the one to go is in any of the shards */
            put(m, key_of(n), 1000);
            assert_true(has(m, key_of(n)));
            assert_true(n == 0 || !has(m, key_of(n - 1)));
            assert_int_equal(stats_of(m, TIER_FILE).bytes, tier__memory_charge(NULL, 1000));
            assert_int_equal(atomic_load(&base.metric[TIER__MEMORY_BYTES]), tier__memory_charge(NULL, 1000));
        }
        assert_int_equal(stats_of(m, TIER_FILE).evicted, 499);
        assert_int_equal(atomic_load(&base.metric[TIER__MEMORY_EVICTED]), 499);
        tier__memory_destroy(&m);
        assert_int_equal(atomic_load(&base.metric[TIER__MEMORY_BYTES]), 0);
    }
}

static void what_is_larger_than_the_budget_is_lent(void **state)
{
    (void)state;
    struct tier__base base;
    tier__memory *m = memory_of(&base, tier__memory_charge(NULL, 1000), NULL);
    put(m, key_of(1), 1000);
    tier__entry *big = tier__memory_insert(m, entry_of(m, TIER_FILE, key_of(2), 1016));
    assert_int_equal(stats_of(m, TIER_FILE).overdraft, tier__memory_charge(NULL, 1016));
    assert_int_equal(atomic_load(&base.metric[TIER__MEMORY_OVERDRAFT]), tier__memory_charge(NULL, 1016));
    assert_false(has(m, key_of(2)));
    assert_true(has(m, key_of(1))); /* nothing was evicted for what never could fit */
    assert_int_equal(((unsigned char *)big->data)[1015], key_of(2).byte[0]);
    assert_ptr_equal(tier__memory_insert(m, big), big); /* counted once however often it is tried */
    assert_int_equal(stats_of(m, TIER_FILE).overdraft, tier__memory_charge(NULL, 1016));
    tier__entry_unref(big);
    assert_int_equal(stats_of(m, TIER_FILE).overdraft, 0);
    tier__entry *heavy = entry_of(m, TIER_FILE, key_of(3), SIZE_MAX);
    give(heavy, NULL, SIZE_MAX, NULL, NULL); /* an absurd weight is too large, and no sum wraps */
    heavy = tier__memory_insert(m, heavy);
    assert_false(has(m, key_of(3)));
    tier__entry_unref(heavy);
    assert_int_equal(stats_of(m, TIER_FILE).overdraft, 0);
    tier__memory_destroy(&m);
    m = memory_of(&base, 0, NULL);
    put(m, key_of(1), 0);
    assert_false(has(m, key_of(1)));
    tier__memory_destroy(&m);
}

static void pins_hold_their_bytes(void **state)
{
    static const char *const policy[] = {"worth", "s3fifo", "lru", "gdsf"};
    (void)state;
    for (size_t p = 0; p < 4; p++) {
        struct tier__base base;
        tier__memory *m = memory_of(&base, 2 * tier__memory_charge(NULL, 100), policy[p]);
        tier__entry *a = tier__memory_insert(m, entry_of(m, TIER_FILE, key_of(1), 100));
        tier__entry *b = tier__memory_insert(m, entry_of(m, TIER_FILE, key_of(2), 100));
        put(m, key_of(3), 100);
        assert_false(has(m, key_of(3))); /* both pinned: no room */
        assert_false(tier__memory_reserve(m, TIER_FILE, 1));
        tier_digest key = key_of(1);
        tier__memory_remove(m, TIER_FILE, &key);
        put(m, key_of(3), 100);
        assert_false(has(m, key_of(3))); /* removed, yet its memory is in use */
        assert_int_equal(((unsigned char *)a->data)[99], key.byte[0]);
        tier__entry_unref(a);
        put(m, key_of(3), 100);
        assert_true(has(m, key_of(3)));
        put(m, key_of(4), 100);
        assert_true(has(m, key_of(2)) && !has(m, key_of(3)) && has(m, key_of(4)));
        assert_int_equal(tier__memory_live(m), 1);
        tier__entry_unref(b);
        assert_int_equal(tier__memory_live(m), 0);
        tier__memory_destroy(&m);
    }
}

static void reservations_are_exact(void **state)
{
    (void)state;
    struct tier__base base;
    const uint64_t one = tier__memory_charge(NULL, 100);
    tier__memory *m = memory_of(&base, 3 * one, NULL);
    put(m, key_of(1), 100);
    put(m, key_of(2), 100);
    assert_true(tier__memory_reserve(m, TIER_FILE, one)); /* what is free */
    assert_int_equal(stats_of(m, TIER_FILE).entries, 2);
    assert_true(tier__memory_reserve(m, TIER_FILE, 1)); /* evicts */
    assert_int_equal(stats_of(m, TIER_FILE).entries, 1);
    assert_int_equal(stats_of(m, TIER_FILE).reserved, one + 1);
    assert_false(tier__memory_reserve(m, TIER_FILE, 3 * one));
    assert_false(tier__memory_reserve(m, TIER_FILE, UINT64_MAX));
    tier__memory_release(m, TIER_FILE, 1);
    tier__entry *e = tier__memory_commit(m, entry_of(m, TIER_FILE, key_of(3), 100), one);
    assert_true(has(m, key_of(3)));
    assert_int_equal(stats_of(m, TIER_FILE).reserved, 0);
    assert_int_equal(stats_of(m, TIER_FILE).bytes, one * stats_of(m, TIER_FILE).entries);
    tier__memory_clear(m);
    assert_true(tier__memory_reserve(m, TIER_FILE, 2 * one));
    tier__entry *same = tier__memory_commit(m, e, 2 * one); /* kept already: all of it is given back */
    assert_ptr_equal(same, e);
    assert_int_equal(stats_of(m, TIER_FILE).bytes, one);
    assert_true(tier__memory_reserve(m, TIER_FILE, one));
    tier__entry_unref(tier__memory_commit(m, entry_of(m, TIER_FILE, key_of(3), 100), one)); /* is there */
    assert_true(tier__memory_reserve(m, TIER_FILE, one / 2));
    tier__entry_unref(tier__memory_commit(m, entry_of(m, TIER_FILE, key_of(4), 100), one / 2));
    assert_true(has(m, key_of(4)));
    assert_true(tier__memory_reserve(m, TIER_FILE, 1)); /* too little, and no room for the rest */
    tier__entry_unref(tier__memory_commit(m, entry_of(m, TIER_FILE, key_of(5), 10000), 1));
    assert_int_equal(stats_of(m, TIER_FILE).reserved, 0);
    assert_int_equal(stats_of(m, TIER_FILE).overdraft, 0);
    tier__entry_unref(e);
    tier__memory_clear(m);
    assert_int_equal(stats_of(m, TIER_FILE).bytes, 0);
    tier__memory_destroy(&m);
}

static void a_limit_that_sinks_evicts(void **state)
{
    static const char *const policy[] = {"worth", "s3fifo", "lru", "gdsf"};
    (void)state;
    for (size_t p = 0; p < 4; p++) {
        struct tier__base base;
        const uint64_t one = tier__memory_charge(NULL, 100);
        tier__memory *m = memory_of(&base, 10 * one, policy[p]);
        for (uint64_t n = 0; n < 10; n++)
            put(m, key_of(n), 100);
        tier__memory_limit(m, TIER_FILE, 4 * one + one / 2);
        assert_int_equal(stats_of(m, TIER_FILE).bytes, 4 * one);
        assert_int_equal(stats_of(m, TIER_FILE).budget, 4 * one + one / 2);
        assert_int_equal(stats_of(m, TIER_TREE).budget, 10 * one); /* the others' limits stay */
        put(m, key_of(10), 100);
        assert_int_equal(stats_of(m, TIER_FILE).entries, 4);
        tier__memory_limit(m, TIER_FILE, 6 * one); /* and one that rises makes room */
        put(m, key_of(11), 100);
        put(m, key_of(12), 100);
        assert_int_equal(stats_of(m, TIER_FILE).entries, 6);
        assert_int_equal(tier__memory_trim(m, TIER_FILE, 7 * one), 6 * one);
        assert_int_equal(tier__memory_trim(m, TIER_FILE, 2 * one), 2 * one);
        assert_int_equal(stats_of(m, TIER_FILE).evicted, 11);
        put(m, key_of(13), 100); /* the limit is as before */
        assert_int_equal(stats_of(m, TIER_FILE).entries, 3);
        tier__memory_limit(m, TIER_FILE, UINT64_MAX);
        assert_true(tier__memory_reserve(m, TIER_FILE, 1 << 30));
        tier__memory_release(m, TIER_FILE, 1 << 30);
        tier__memory_limit(m, TIER_FILE, 0);
        assert_int_equal(stats_of(m, TIER_FILE).entries, 0);
        tier__memory_destroy(&m);
    }
}

static void what_is_pinned_beyond_the_limit_leaves_with_its_pin(void **state)
{
    static const char *const policy[] = {"worth", "s3fifo", "lru", "gdsf"};
    (void)state;
    for (size_t p = 0; p < 4; p++) {
        struct tier__base base;
        const uint64_t one = tier__memory_charge(NULL, 100);
        tier__memory *m = memory_of(&base, 4 * one, policy[p]);
        tier__entry *e[3];
        for (uint64_t n = 0; n < 3; n++)
            e[n] = tier__memory_insert(m, entry_of(m, TIER_FILE, key_of(n), 100));
        assert_true(tier__memory_reserve(m, TIER_FILE, one));
        assert_int_equal(tier__memory_trim(m, TIER_FILE, one), 4 * one); /* pins and a reservation */
        tier__memory_limit(m, TIER_FILE, one + one / 2);
        assert_int_equal(stats_of(m, TIER_FILE).bytes, 3 * one);
        assert_false(tier__memory_reserve(m, TIER_FILE, 0));
        tier__entry *late = tier__memory_commit(m, entry_of(m, TIER_FILE, key_of(9), 100), one);
        assert_false(has(m, key_of(9))); /* nothing new, though it was reserved */
        tier__entry_unref(late);
        assert_int_equal(stats_of(m, TIER_FILE).reserved, 0);
        assert_true(has(m, key_of(0)) && has(m, key_of(1)) && has(m, key_of(2)));
        tier__entry_unref(e[1]);
        assert_false(has(m, key_of(1)));
        assert_int_equal(stats_of(m, TIER_FILE).bytes, 2 * one);
        put(m, key_of(9), 100);
        assert_false(has(m, key_of(9)));
        tier__entry_unref(e[0]);
        assert_int_equal(stats_of(m, TIER_FILE).bytes, one);
        assert_int_equal(stats_of(m, TIER_FILE).evicted, 2);
        assert_int_equal(atomic_load(&base.metric[TIER__MEMORY_EVICTED]), 2);
        tier__entry_unref(e[2]); /* fits: stays, and may be evicted as any other */
        assert_true(has(m, key_of(2)));
        put(m, key_of(9), 100);
        assert_true(has(m, key_of(9)) && !has(m, key_of(2)));
        tier__memory_destroy(&m);
    }
}

static void exclusive_entries_go_and_come_back(void **state)
{
    (void)state;
    struct tier__base base;
    tier__memory *m = memory_of(&base, 4096, NULL);
    tier_digest key = key_of(1);
    tier__entry *e = entry_of(m, TIER_FILE, key, 100);
    tier__entry_mark(e, TIER__EXCLUSIVE);
    tier__entry_unref(tier__memory_insert(m, e));
    tier__entry *taken = tier__memory_take(m, TIER_FILE, &key);
    assert_ptr_equal(taken, e);
    assert_int_equal(atomic_load(&taken->refs), 1);
    assert_null(tier__memory_take(m, TIER_FILE, &key));
    assert_int_equal(stats_of(m, TIER_FILE).bytes, tier__memory_charge(NULL, 100)); /* stays reserved */
    tier__entry *second = entry_of(m, TIER_FILE, key, 100);
    tier__entry_mark(second, TIER__EXCLUSIVE);
    give(second, NULL, 0, NULL, NULL); /* a weight of its own */
    const uint64_t base_charge = tier__entry_weight(second);
    tier__memory_insert(m, second);
    assert_ptr_equal(tier__memory_insert(m, taken), taken); /* never somebody else's */
    tier__entry_unref(taken);
    taken = tier__memory_take(m, TIER_FILE, &key);
    assert_ptr_equal(taken, second);
    tier__entry_unref(second);
    tier__entry_side(taken)->object_bytes = 1000; /* it grew while it was out */
    tier__entry_unref(tier__memory_insert(m, taken));
    assert_int_equal(stats_of(m, TIER_FILE).bytes, base_charge + 1000);
    taken = tier__memory_take(m, TIER_FILE, &key);
    tier__entry_side(taken)->object_bytes = 10;
    tier__entry_unref(tier__memory_insert(m, taken));
    assert_int_equal(stats_of(m, TIER_FILE).bytes, base_charge + 10);
    taken = tier__memory_take(m, TIER_FILE, &key);
    tier__entry_side(taken)->object_bytes = 5000; /* beyond the budget: lent until it is freed */
    tier__memory_insert(m, taken);
    assert_int_equal(stats_of(m, TIER_FILE).bytes, 0);
    assert_int_equal(stats_of(m, TIER_FILE).overdraft, base_charge + 5000);
    assert_int_equal(atomic_load(&base.metric[TIER__MEMORY_BYTES]), 0);
    tier__entry_unref(taken);
    assert_int_equal(stats_of(m, TIER_FILE).overdraft, 0);
    tier__memory_destroy(&m);
}

static void holds_keep_alive(void **state)
{
    (void)state;
    destroyed = 0;
    struct tier__base base;
    int objects[20] = {0};
    tier__memory *m = memory_of(&base, 1 << 20, NULL);
    tier__entry *top = entry_of(m, TIER_TREE, key_of(100), SIZE_MAX);
    for (int i = 0; i < 20; i++) {
        tier__entry *source = entry_of(m, TIER_FILE, key_of((uint64_t)i), 50);
        give(source, &objects[i], 0, count_destroy, NULL);
        source = tier__memory_insert(m, source);
        assert_int_equal(tier__entry_hold(top, source), TIER_OK);
        tier__entry_unref(source);
    }
    top = tier__memory_insert(m, top);
    assert_true(tier__entry_charge(top) > tier__memory_charge(NULL, 0)); /* the list of holds weighs too */
    assert_int_equal(tier__memory_live(m), 1);
    tier__entry_unref(top);
    assert_int_equal(tier__memory_live(m), 0); /* held by entries is not live: a host may close */
    for (uint64_t i = 0; i < 20; i++) {
        tier_digest key = key_of(i);
        tier__memory_remove(m, TIER_FILE, &key);
    }
    assert_int_equal(destroyed, 0);
    assert_int_equal(tier__memory_live(m), 0);
    tier_digest key = key_of(100);
    tier__memory_remove(m, TIER_TREE, &key);
    assert_int_equal(destroyed, 20);
    for (int i = 0; i < 20; i++)
        assert_int_equal(objects[i], 1);
    tier__memory_destroy(&m);
}

static void *drop_long_chain(void *arg)
{
    tier__memory *m = arg;
    tier__entry *e = tier__entry_new(m, TIER_TREE, 8);
    for (int i = 0; i < 200000; i++) {
        tier__entry *next = tier__entry_new(m, TIER_TREE, 8);
        if (!next || tier__entry_hold(next, e) != TIER_OK)
            return arg;
        tier__entry_unref(e);
        e = next;
    }
    tier__entry_unref(e); /* a recursion of this depth would need megabytes of stack */
    return NULL;
}

static void a_long_chain_of_holds_needs_no_stack(void **state)
{
    (void)state;
    struct tier__base base;
    tier__memory *m = memory_of(&base, 1 << 20, NULL);
    pthread_attr_t attr;
    pthread_t thread;
    void *failed;
    pthread_attr_init(&attr);
    assert_int_equal(pthread_attr_setstacksize(&attr, 256 << 10), 0);
    assert_int_equal(pthread_create(&thread, &attr, drop_long_chain, m), 0);
    pthread_join(thread, &failed);
    pthread_attr_destroy(&attr);
    assert_null(failed);
    assert_int_equal(tier__memory_live(m), 0);
    tier__memory_destroy(&m);
}

static void owners_leave_at_once(void **state)
{
    (void)state;
    destroyed = 0;
    struct tier__base base;
    enum { TYPE_A = 1, TYPE_B = TIER__OWNER_MAX };
    int objects[300] = {0};
    tier__memory *m = memory_of(&base, 1 << 20, NULL);
    tier__entry *pin = NULL;
    for (int i = 0; i < 300; i++) {
        tier__entry *e = entry_of(m, TIER_TREE, key_of((uint64_t)i), SIZE_MAX);
        give(e, &objects[i], 0, count_destroy, NULL);
        tier__entry_set_owner(e, i % 2 ? TYPE_A : TYPE_B);
        e = tier__memory_insert(m, e);
        if (i == 7)
            pin = e;
        else
            tier__entry_unref(e);
    }
    tier__entry *out = entry_of(m, TIER_TREE, key_of(1000), SIZE_MAX); /* never in the table */
    tier__entry_set_owner(out, TYPE_A);
    assert_int_equal(tier__memory_drop_owner(m, TYPE_A), 2);
    assert_int_equal(destroyed, 149);
    assert_int_equal(stats_of(m, TIER_TREE).entries, 150);
    tier__entry_unref(pin);
    tier__entry_unref(out);
    assert_int_equal(tier__memory_drop_owner(m, TYPE_A), 0);
    assert_int_equal(tier__memory_drop_owner(m, 0), 0);
    assert_int_equal(destroyed, 150);
    tier__memory_clear(m);
    assert_int_equal(destroyed, 300);
    for (int i = 0; i < 300; i++)
        assert_int_equal(objects[i], 1);
    tier__memory_destroy(&m);
}

static void pins_outlive_the_memory(void **state)
{
    (void)state;
    destroyed = 0;
    struct tier__base *base = malloc(sizeof *base);
    int objects[3] = {0};
    tier__memory *m = memory_of(base, 1 << 20, NULL);
    tier__entry *e[3];
    for (int i = 0; i < 3; i++) {
        e[i] = entry_of(m, TIER_FILE, key_of((uint64_t)i), 100);
        give(e[i], &objects[i], 0, count_destroy, NULL);
        if (i == 2) {
            tier__entry_hold(e[2], e[1]);
            tier__entry_unref(e[1]);
        }
        if (i < 2)
            e[i] = tier__memory_insert(m, e[i]);
    }
    tier__memory_destroy(&m);
    memset(base, 0xa5, sizeof *base); /* the cache that held it is gone */
    free(base);
    assert_int_equal(destroyed, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(((unsigned char *)e[i]->data)[99], key_of((uint64_t)i).byte[0]);
    tier__entry_unref(e[0]);
    tier__entry_unref(e[2]);
    assert_int_equal(destroyed, 3); /* e[1] by its holder; a leak checker sees the rest */
}

static void less_data_weighs_less(void **state)
{
    (void)state;
    struct tier__base base;
    tier__memory *m = memory_of(&base, 4096, NULL);
    tier__entry *e = entry_of(m, TIER_FILE, key_of(1), 1000);
    assert_int_equal(tier__entry_shrink(e, 10), TIER_OK); /* the rest was a trailer */
    assert_int_equal(((unsigned char *)e->data)[9], key_of(1).byte[0]);
    assert_int_equal(((unsigned char *)e->data)[10], 0);
    e = tier__memory_insert(m, e);
    assert_int_equal(stats_of(m, TIER_FILE).bytes, tier__memory_charge(NULL, 10));
    tier__entry_unref(e);
    tier__memory_destroy(&m);
}

static void costs_are_kept_to_a_2048th(void **state)
{
    (void)state;
    struct tier__base base;
    tier__memory *m = memory_of(&base, 4096, NULL);
    tier__entry *e = entry_of(m, TIER_FILE, key_of(1), 1);
    for (uint64_t us = 0; us <= UINT32_MAX; us += 1 + us / 5000) {
        tier__entry_set_cost(e, (uint32_t)us);
        assert_in_range(tier__entry_cost(e), us - us / 2048, us);
    }
    tier__entry_set_cost(e, UINT32_MAX);
    assert_in_range(tier__entry_cost(e), UINT32_MAX - UINT32_MAX / 2048, UINT32_MAX);
    tier__entry_unref(e);
    tier__memory_destroy(&m);
}

/* What an object needs is apart from the header; neither the hash nor a charge may be lost on the way. */
static void an_object_leaves_the_rest_as_it_is(void **state)
{
    (void)state;
    struct tier__base base;
    tier__memory *m = memory_of(&base, 4096, NULL);
    int object = 0;
    destroyed = 0;
    tier__entry *a = entry_of(m, TIER_TREE, key_of(1), 10), *b = entry_of(m, TIER_TREE, key_of(2), 10);
    tier_digest hash_a = key_of(3), hash_b = key_of(4);
    *tier__entry_hash(a) = hash_a;
    *tier__entry_hash(b) = hash_b;
    give(a, &object, 100, count_destroy, NULL);
    assert_ptr_equal(tier__entry_object(a), &object);
    assert_int_equal(tier__entry_object_bytes(a), 100);
    assert_null(tier__entry_object(b));
    assert_int_equal(tier__entry_object_bytes(b), 0);
    assert_memory_equal(tier__entry_hash(a), &hash_a, sizeof hash_a);
    assert_memory_equal(tier__entry_hash(b), &hash_b, sizeof hash_b);
    assert_false(tier__entry_resident(a));
    a = tier__memory_insert(m, a);
    assert_true(tier__entry_resident(a));
    assert_memory_equal(tier__entry_hash(a), &hash_a, sizeof hash_a);
    assert_int_equal(stats_of(m, TIER_TREE).bytes, tier__entry_charge(a));
    assert_in_range(tier__entry_charge(a), tier__memory_charge(NULL, 10) + 100 + sizeof(struct tier__side),
                    tier__memory_charge(NULL, 10) + 100 + sizeof(struct tier__side) + 24);
    tier__entry_unref(a);
    tier__entry_unref(b);
    tier__memory_destroy(&m);
    assert_int_equal(destroyed, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fresh_entries_are_as_promised),
        cmocka_unit_test(headers_go_back_to_the_heap),
        cmocka_unit_test(tiers_do_not_mix),
        cmocka_unit_test(the_first_of_two_equal_entries_stays),
        cmocka_unit_test(a_budget_for_one_entry_holds_one),
        cmocka_unit_test(what_is_larger_than_the_budget_is_lent),
        cmocka_unit_test(pins_hold_their_bytes),
        cmocka_unit_test(reservations_are_exact),
        cmocka_unit_test(a_limit_that_sinks_evicts),
        cmocka_unit_test(what_is_pinned_beyond_the_limit_leaves_with_its_pin),
        cmocka_unit_test(exclusive_entries_go_and_come_back),
        cmocka_unit_test(holds_keep_alive),
        cmocka_unit_test(a_long_chain_of_holds_needs_no_stack),
        cmocka_unit_test(owners_leave_at_once),
        cmocka_unit_test(pins_outlive_the_memory),
        cmocka_unit_test(less_data_weighs_less),
        cmocka_unit_test(costs_are_kept_to_a_2048th),
        cmocka_unit_test(an_object_leaves_the_rest_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
