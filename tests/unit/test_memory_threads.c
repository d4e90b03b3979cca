/* test_memory_threads.c - eight threads on one memory: random sizes, pins, holds, takes, removals and
 * reservations, while another thread looks whether a budget is ever overrun; at the end every sum is zero. It
 * is 10^7 operations with the default policy, a fifth of that under sanitizers and valgrind;
 * TIER_OPERATIONS=N makes it N. */
/* concurrent */
#include <stdarg.h>
#include <setjmp.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <cmocka.h>
#include "tiers/memory_private.h"

enum { THREADS = 8, OPERATIONS = 10000000, FEWER_OPERATIONS = 400000, KEYS = 4000, PINS = 16 };

static const uint64_t budgets[] = {0, 200000, 60000, 700}; /* of some 1,000 entries, 300, and one or two */

struct shared {
    struct tier__base base;
    tier__memory *m;
    atomic_bool stop;
    bool sinking; /* the limits change all the time */
    atomic_long made, destroyed, wrong;
    atomic_ulong peak[4];
};

struct worker {
    struct shared *shared;
    int operations;
    uint64_t random;
    tier__entry *pin[PINS];
};

static uint64_t draw(struct worker *w, uint64_t below)
{
    w->random = w->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (w->random >> 33) % below;
}

/* An assertion would jump out of the wrong stack: threads count, the test looks. */
static void expect(struct worker *w, bool right)
{
    if (!right)
        atomic_fetch_add(&w->shared->wrong, 1);
}

static tier_digest key_of(uint64_t n)
{
    tier_digest d = {{0}};
    uint64_t word = n * UINT64_C(0x9e3779b97f4a7c15);
    memcpy(d.byte, &word, sizeof word);
    memcpy(d.byte + 16, &word, sizeof word);
    memcpy(d.byte + 24, &n, sizeof n);
    return d;
}

static void destroyed(void *object, void *user)
{
    struct shared *s = user;
    free(object); /* twice, and a sanitizer tells */
    atomic_fetch_add(&s->destroyed, 1);
}

static bool sound(const tier__entry *e, uint64_t n)
{
    const unsigned char *data = e->data;
    uint64_t key;
    memcpy(&key, e->key.byte + 24, sizeof key);
    return key == n && *(uint64_t *)tier__entry_object(e) == n && data[0] == (unsigned char)n &&
           data[e->size - 1] == (unsigned char)n && data[e->size] == 0;
}

static void pin(struct worker *w, tier__entry *e)
{
    tier__entry **at = &w->pin[draw(w, PINS)];
    if (*at) {
        uint64_t n;
        memcpy(&n, (*at)->key.byte + 24, sizeof n);
        expect(w, sound(*at, n)); /* it may be long gone from the table */
        tier__entry_unref(*at);
    }
    *at = e;
}

static void make(struct worker *w, int tier, uint64_t n)
{
    struct shared *s = w->shared;
    size_t size = 1 + (draw(w, 20) ? draw(w, 300) : draw(w, 5000));
    tier__entry *e = tier__entry_new(s->m, tier, size);
    uint64_t *object = malloc(sizeof *object);
    *object = n;
    memset(e->data, (int)n, size);
    e->key = key_of(n);
    expect(w, tier__entry_give(e, object, sizeof *object, destroyed, s) == TIER_OK);
    tier__entry_set_owner(e, n % 2);
    tier__entry_set_cost(e, (uint32_t)draw(w, 1000));
    atomic_fetch_add(&s->made, 1);
    tier__entry *held = w->pin[draw(w, PINS)];
    if (held && tier__entry_tier(held) < tier && draw(w, 4) == 0)
        expect(w, tier__entry_hold(e, held) == TIER_OK);
    uint64_t reserved = draw(w, 3) ? 0 : tier__memory_charge(NULL, size);
    if (reserved && !tier__memory_reserve(s->m, tier, reserved))
        reserved = 0;
    e = tier__memory_commit(s->m, e, reserved);
    expect(w, sound(e, n));
    pin(w, e);
}

static void step(struct worker *w)
{
    struct shared *s = w->shared;
    /* Half of the operations go to a twentieth of the keys. */
    uint64_t n = draw(w, 2) ? draw(w, KEYS) : draw(w, KEYS / 20), what = draw(w, 1000);
    int tier = 1 + (int)(n % 3);
    tier_digest key = key_of(n);
    if (what < 600) {
        tier__entry *e = tier__memory_find(s->m, tier, &key);
        if (!e) {
            make(w, tier, n);
            return;
        }
        expect(w, sound(e, n));
        pin(w, e);
    } else if (what < 700) {
        make(w, tier, n);
    } else if (what < 750) {
        tier__memory_remove(s->m, tier, &key);
    } else if (what < 800) {
        tier__entry *e = tier__memory_take(s->m, tier, &key);
        if (e) {
            expect(w, sound(e, n));
            pin(w, tier__memory_insert(s->m, e));
        }
    } else if (what < 840) {
        uint64_t bytes = draw(w, 3000);
        if (tier__memory_reserve(s->m, tier, bytes))
            tier__memory_release(s->m, tier, bytes);
    } else if (what == 999 && draw(w, 20) == 0) {
        if (draw(w, 2))
            tier__memory_clear(s->m);
        else
            tier__memory_drop_owner(s->m, 1);
    } else {
        pin(w, NULL);
    }
}

/* room is the very sum that must not sink below zero: one load, nothing to tear. */
static void sample(struct shared *s)
{
    for (int t = TIER_FILE; t <= TIER_DELTA && !s->sinking; t++) {
        unsigned long used = budgets[t] - (unsigned long)atomic_load(&s->m->budget[t].room),
                      peak = atomic_load(&s->peak[t]);
        while (used > peak && !atomic_compare_exchange_weak(&s->peak[t], &peak, used))
            ;
    }
}

static int many_operations(void)
{
    const char *asked = getenv("TIER_OPERATIONS");
    bool slow = getenv("TEST_WRAP") && *getenv("TEST_WRAP");
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    slow = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
    slow = true;
#endif
#endif
    return asked ? atoi(asked) : slow ? OPERATIONS / 5 : OPERATIONS;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    for (int i = 0; i < w->operations; i++) {
        step(w);
        if (i % 64 == 0) /* the sampler alone gets little of a busy machine's time */
            sample(w->shared);
    }
    for (int i = 0; i < PINS; i++)
        tier__entry_unref(w->pin[i]);
    return NULL;
}

static void *sample_all_along(void *arg)
{
    struct shared *s = arg;
    for (unsigned i = 0; !atomic_load(&s->stop); i++) {
        int tier = 1 + (int)(i % 3);
        sample(s);
        if (s->sinking) {
            uint64_t part = budgets[tier] / 8 * (i / 3 % 8);
            if (i % 2)
                tier__memory_limit(s->m, tier, part);
            else
                tier__memory_trim(s->m, tier, part);
        }
        sched_yield();
        if (s->sinking)
            tier__memory_limit(s->m, tier, budgets[tier]);
    }
    return NULL;
}

/* With no pin left, all of every budget is there to be used: an entry as large as the whole of it is kept,
 * and alone. The tier of those that hold others goes first. What the table held before depends on who ran
 * last. */
static void fill_each_tier(struct shared *s)
{
    for (int t = TIER_DELTA; t >= TIER_FILE; t--) {
        struct tier__memory_stats st;
        tier__entry *e = tier__entry_new(s->m, t, 1);
        e->key = key_of(KEYS + (uint64_t)t);
        assert_int_equal(tier__entry_give(e, NULL, 0, NULL, NULL), TIER_OK);
        tier__entry_side(e)->object_bytes = budgets[t] - tier__entry_weight(e);
        e = tier__memory_insert(s->m, e);
        tier__entry_unref(e);
        tier__memory_stats(s->m, t, &st);
        assert_int_equal(st.entries, 1);
        assert_int_equal(st.bytes, budgets[t]);
    }
}

static void run(const char *policy, int operations, bool sinking)
{
    static struct worker worker[THREADS];
    struct shared s = {.sinking = sinking};
    struct tier__memory_options o = {.policy = policy};
    pthread_t thread[THREADS], sampler;
    memcpy(o.budget, budgets, sizeof budgets);
    tier__base_init(&s.base, NULL);
    assert_int_equal(tier__memory_create(&s.base, &o, &s.m), TIER_OK);
    assert_int_equal(pthread_create(&sampler, NULL, sample_all_along, &s), 0);
    for (int i = 0; i < THREADS; i++) {
        worker[i] =
            (struct worker){.shared = &s, .operations = operations / THREADS, .random = (uint64_t)i + 1};
        assert_int_equal(pthread_create(&thread[i], NULL, work, &worker[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    atomic_store(&s.stop, true);
    pthread_join(sampler, NULL);
    assert_int_equal(atomic_load(&s.wrong), 0);
    assert_int_equal(tier__memory_live(s.m), 0);
    fill_each_tier(&s);
    uint64_t bytes = 0;
    struct tier__memory_stats st;
    for (int t = TIER_FILE; t <= TIER_DELTA; t++) {
        tier__memory_stats(s.m, t, &st);
        if (!sinking)
            assert_in_range(atomic_load(&s.peak[t]), budgets[t] / 2, budgets[t]);
        assert_true(st.evicted > 0 && st.hits > 0);
        assert_int_equal(st.overdraft, 0);
        assert_int_equal(st.reserved, 0);
        bytes += st.bytes;
    }
    assert_true(atomic_load(&s.base.metric[TIER__MEMORY_BYTES]) == bytes);
    for (int t = TIER_DELTA; t >= TIER_FILE; t--) {
        if (sinking)
            tier__memory_limit(s.m, t, 0);
        else
            tier__memory_clear(s.m);
        tier__memory_stats(s.m, t, &st);
        assert_int_equal(st.entries + st.bytes, 0);
    }
    assert_int_equal(atomic_load(&s.made), atomic_load(&s.destroyed));
    assert_int_equal(atomic_load(&s.base.metric[TIER__MEMORY_BYTES]), 0);
    tier__memory_destroy(&s.m);
}

static void worth_under_eight_threads(void **state)
{
    (void)state;
    run("worth", many_operations(), false);
}

static void s3fifo_under_eight_threads(void **state)
{
    (void)state;
    run("s3fifo", FEWER_OPERATIONS, false);
}

static void lru_under_eight_threads(void **state)
{
    (void)state;
    run("lru", FEWER_OPERATIONS, false);
}

static void limits_sink_under_eight_threads(void **state)
{
    (void)state;
    run("worth", FEWER_OPERATIONS, true);
}

/* The last pins go while the memory is being closed. In every other round all keys have one shard, which the
 * unrefs of parked entries then meet in, with the closing thread. */
enum { CLOSING_THREADS = 4, CLOSING_PINS = 1000, CLOSING_ROUNDS = 40 };

struct closing {
    pthread_barrier_t *start;
    tier__entry *pin[CLOSING_PINS];
};

static tier_digest closing_key(int round, int i)
{
    tier_digest key = key_of((uint64_t)i);
    if (round % 2) {
        memset(key.byte, 0, sizeof(uint64_t)); /* the word that chooses shard and slot */
        memcpy(key.byte, &i, sizeof i);
    }
    return key;
}

static void *unref_late(void *arg)
{
    struct closing *c = arg;
    pthread_barrier_wait(c->start);
    for (int i = 0; i < CLOSING_PINS; i++)
        tier__entry_unref(c->pin[i]);
    return NULL;
}

static void close_under_pins(int round)
{
    static struct closing closing[CLOSING_THREADS];
    struct tier__memory_options o = {.budget = {0, 100000, 0, 0}};
    struct shared s = {.stop = false};
    pthread_t thread[CLOSING_THREADS];
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, CLOSING_THREADS + 1);
    tier__base_init(&s.base, NULL);
    assert_int_equal(tier__memory_create(&s.base, &o, &s.m), TIER_OK);
    for (int i = 0; i < CLOSING_THREADS * CLOSING_PINS; i++) {
        tier__entry *fresh = tier__entry_new(s.m, TIER_FILE, 20);
        fresh->key = closing_key(round, i);
        if (i % 3 == 0 && i > 4)
            tier__entry_hold(fresh, closing[(i - 3) % CLOSING_THREADS].pin[(i - 3) / CLOSING_THREADS]);
        closing[i % CLOSING_THREADS].pin[i / CLOSING_THREADS] = tier__memory_insert(s.m, fresh);
    }
    for (int i = 0; i < CLOSING_THREADS; i++) {
        closing[i].start = &start;
        assert_int_equal(pthread_create(&thread[i], NULL, unref_late, &closing[i]), 0);
    }
    pthread_barrier_wait(&start);
    tier__memory_destroy(&s.m);
    memset(&s.base, 0, sizeof s.base);
    for (int i = 0; i < CLOSING_THREADS; i++)
        pthread_join(thread[i], NULL);
    pthread_barrier_destroy(&start);
}

static void pins_may_end_while_the_memory_closes(void **state)
{
    (void)state;
    for (int round = 0; round < CLOSING_ROUNDS; round++)
        close_under_pins(round);
}

/* Who dropped the last pin of a parked entry may come to the shard's lock only after the memory was closed.
 * Here that moment is written out, so that no scheduling is needed to meet it. */
static void an_unref_may_come_to_its_shard_after_the_closing(void **state)
{
    (void)state;
    struct tier__memory_options o = {.budget = {0, 1000, 0, 0}};
    struct shared s = {.stop = false};
    tier__base_init(&s.base, NULL);
    assert_int_equal(tier__memory_create(&s.base, &o, &s.m), TIER_OK);
    tier__memory *m = s.m; /* lives as long as the pin */
    tier__entry *e = tier__entry_new(m, TIER_FILE, 20);
    e->key = key_of(1);
    e = tier__memory_insert(m, e);
    assert_false(tier__memory_reserve(m, TIER_FILE, 1000)); /* parks e */
    assert_true(tier__entry_is(e, TIER__PARKED));
    assert_int_equal(atomic_fetch_sub(&e->refs, 1), 1); /* as unref begins */
    tier__entry *dead = NULL;
    tier__memory_destroy(&s.m);
    assert_false(tier__memory_unpark(m, e, &dead));
    for (int i = 0; i < TIER__SHARDS; i++) {
        tier__lock(&m->shard[i].lock);
        tier__unlock(&m->shard[i].lock);
    }
    tier__entry_unref(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(worth_under_eight_threads),
        cmocka_unit_test(s3fifo_under_eight_threads),
        cmocka_unit_test(lru_under_eight_threads),
        cmocka_unit_test(limits_sink_under_eight_threads),
        cmocka_unit_test(an_unref_may_come_to_its_shard_after_the_closing),
        cmocka_unit_test(pins_may_end_while_the_memory_closes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
