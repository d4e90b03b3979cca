/* test_memory_mix.c - all that may happen to entries at once, with budgets of some entries: finds, spots,
 * inserts, removals, takes, limits that sink, references handed from thread to thread, a memory closed under
 * its last pins; TIER_SECONDS=N, TIER_SEED=N. */
/* concurrent */
#include <stdarg.h>
#include <setjmp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>
#include "tiers/memory_private.h"

enum { THREADS = 6, KEYS = 96, PINS = 6, SPOTS = 32, BOX = 8, OPS = 3000 };

struct obj {
    uint64_t magic, n, version;
};
struct shared {
    struct tier__base base;
    tier__memory *m;
    bool crowded, fails, sinking, closing;
    const char *policy;
    uint64_t budget;
    atomic_bool stop;
    atomic_long wrong[24], made, destroyed;
    atomic_ulong gone[KEYS], made_version[KEYS];
    tier__entry *_Atomic box[BOX];
    pthread_barrier_t barrier;
};
struct worker {
    struct shared *s;
    int id;
    uint64_t random;
    tier__entry *pin[PINS];
    struct {
        struct tier__spot p;
        uint64_t n;
    } spot[SPOTS];
};
static __thread uint64_t heap_random;
static __thread bool may_fail;

static uint64_t next(uint64_t *r, uint64_t below)
{
    *r = *r * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (*r >> 33) % below;
}

static uint64_t draw(struct worker *w, uint64_t below)
{
    return next(&w->random, below);
}

static void *failing(void *user, void *old, size_t size)
{
    (void)user;
    if (!size) {
        free(old);
        return NULL;
    }
    if (may_fail && next(&heap_random, 12) == 0)
        return NULL;
    return realloc(old, size);
}

static void expect(struct worker *w, bool right, int what)
{
    if (!right)
        atomic_fetch_add(&w->s->wrong[what], 1);
}

static tier_digest key_of(const struct shared *s, uint64_t n)
{
    tier_digest d;
    tier__digest_of(&n, sizeof n, &d);
    if (s->crowded) {
        uint64_t word = (n % 3) | (n & 1) << 58;
        memcpy(d.byte, &word, sizeof word);
    }
    memcpy(d.byte + 24, &n, sizeof n);
    return d;
}

static int tier_of(uint64_t n)
{
    return 1 + (int)(n / THREADS % 3);
}

static bool exclusive(uint64_t n)
{
    return n / THREADS % 5 == 4;
}

static void destroyed(void *object, void *user)
{
    struct shared *s = user;
    struct obj *o = object;
    if (o->magic != 0x600d)
        atomic_fetch_add(&s->wrong[20], 1);
    o->magic = 0xdead;
    free(o);
    atomic_fetch_add(&s->destroyed, 1);
}

static uint64_t number_of(const tier__entry *e)
{
    uint64_t n;
    memcpy(&n, e->key.byte + 24, sizeof n);
    return n;
}

static uint64_t version_of(const tier__entry *e)
{
    uint64_t v;
    memcpy(&v, e->data, sizeof v);
    return v;
}

static bool sound(const tier__entry *e, uint64_t n)
{
    const unsigned char *data = e->data;
    const struct obj *o = tier__entry_object(e);
    bool right = number_of(e) == n && tier__entry_tier(e) == tier_of(n) && data[e->size] == 0;
    for (uint32_t i = 8; i < e->size; i++)
        right = right && data[i] == (unsigned char)n;
    return right && (!o || (o->magic == 0x600d && o->n == n && o->version == version_of(e)));
}

static void let_go(struct worker *w, tier__entry *e)
{
    if (!e)
        return;
    expect(w, sound(e, number_of(e)), 1);
    if (exclusive(number_of(e)))
        expect(w, tier__memory_insert(w->s->m, e) == e, 2);
    tier__entry_unref(e);
}

static void pin(struct worker *w, tier__entry *e)
{
    unsigned at = (unsigned)draw(w, PINS + 2);
    if (at >= PINS) {
        e = atomic_exchange(&w->s->box[draw(w, BOX)], e);
        at = (unsigned)draw(w, PINS);
        if (draw(w, 2)) {
            let_go(w, e);
            return;
        }
    }
    let_go(w, w->pin[at]);
    w->pin[at] = e;
}

static void make(struct worker *w, uint64_t n)
{
    struct shared *s = w->s;
    int tier = tier_of(n);
    size_t size = 8 + (draw(w, 20) ? draw(w, 200) : draw(w, 3000));
    tier__entry *e = tier__entry_new(s->m, tier, size);
    if (!e)
        return;
    uint64_t version = atomic_fetch_add(&s->made_version[n], 1) + 1;
    memset(e->data, (int)n, size);
    memcpy(e->data, &version, sizeof version);
    e->key = key_of(s, n);
    *tier__entry_hash(e) = e->key;
    if (draw(w, 2)) {
        struct obj *o = malloc(sizeof *o);
        *o = (struct obj){0x600d, n, version};
        if (tier__entry_give(e, o, sizeof *o, destroyed, s))
            free(o);
        else
            atomic_fetch_add(&s->made, 1);
    }
    if (draw(w, 8) == 0) {
        size = 8 + draw(w, size - 7);
        (void)tier__entry_shrink(e, size);
    }
    tier__entry_set_owner(e, (uint16_t)(n % 2 + 1));
    tier__entry_set_cost(e, (uint32_t)draw(w, 100000));
    if (exclusive(n))
        tier__entry_mark(e, TIER__EXCLUSIVE);
    for (int i = 0; i < PINS; i++) {
        tier__entry *held = w->pin[i];
        if (held && tier__entry_tier(held) < tier && draw(w, 3) == 0 && !exclusive(number_of(held)))
            (void)tier__entry_hold(e, held);
    }
    uint64_t reserved = draw(w, 3) ? 0 : 1 + draw(w, 2 * size);
    if (reserved && !tier__memory_reserve(s->m, tier, reserved))
        reserved = 0;
    if (!exclusive(n)) {
        tier_digest key = e->key;
        tier__memory_remove(s->m, tier, &key);
        atomic_store(&s->gone[n], version);
        tier__entry *was = tier__memory_find(s->m, tier, &key);
        expect(w, !was, 3);
        tier__entry_unref(was);
    }
    if (exclusive(n) && draw(w, 2)) { /* lent at once */
        if (reserved)
            tier__memory_release(s->m, tier, reserved);
        pin(w, e);
        return;
    }
    tier__entry *got = tier__memory_commit(s->m, e, reserved);
    expect(w, got == e, 4);
    expect(w, sound(got, n), 5);
    if (exclusive(n))
        tier__entry_unref(got);
    else
        pin(w, got);
}

static void fresh_enough(struct worker *w, tier__entry *e, uint64_t n, uint64_t gone)
{
    expect(w, sound(e, n), 6);
    if (!exclusive(n)) {
        expect(w, version_of(e) >= gone, 7);
        expect(w, version_of(e) <= atomic_load(&w->s->made_version[n]), 8);
    }
}

static void keep_or_drop(struct worker *w, tier__entry *e, unsigned drops)
{
    if (draw(w, 6) < drops)
        tier__entry_unref(e);
    else
        pin(w, e);
}

static void find(struct worker *w, uint64_t n, uint64_t mine)
{
    struct shared *s = w->s;
    tier_digest key = key_of(s, n);
    uint64_t gone = exclusive(n) ? 0 : atomic_load(&s->gone[n]);
    tier__entry *e =
        exclusive(n) ? tier__memory_take(s->m, tier_of(n), &key) : tier__memory_find(s->m, tier_of(n), &key);
    if (!e) {
        make(w, exclusive(n) ? n : mine);
        return;
    }
    fresh_enough(w, e, n, gone);
    if (exclusive(n)) {
        pin(w, e);
        return;
    }
    if (draw(w, 2)) {
        unsigned at = (unsigned)draw(w, SPOTS);
        tier__memory_spot(s->m, e, &w->spot[at].p);
        w->spot[at].n = n;
    }
    keep_or_drop(w, e, 4);
}

static void look_at_spot(struct worker *w)
{
    unsigned at = (unsigned)draw(w, SPOTS);
    uint64_t of = w->spot[at].n, gone = atomic_load(&w->s->gone[of]);
    tier__entry *e = w->spot[at].p.where ? tier__memory_at(w->s->m, &w->spot[at].p) : NULL;
    if (!e)
        return;
    fresh_enough(w, e, of, gone);
    keep_or_drop(w, e, 3);
}

static void supersede(struct worker *w, uint64_t mine)
{
    struct shared *s = w->s;
    tier_digest key = key_of(s, mine);
    bool remembered = draw(w, 2);
    uint64_t version = atomic_load(&s->made_version[mine]) + 1;
    tier__memory_supersede(s->m, tier_of(mine), &key, remembered);
    if (remembered && !exclusive(mine))
        atomic_store(&s->gone[mine], version);
}

static void take(struct worker *w, uint64_t mine)
{
    struct shared *s = w->s;
    tier_digest key = key_of(s, mine);
    uint64_t gone = atomic_load(&s->gone[mine]);
    tier__entry *e = tier__memory_take(s->m, tier_of(mine), &key);
    if (!e)
        return;
    fresh_enough(w, e, mine, gone);
    tier__entry *other = tier__memory_find(s->m, tier_of(mine), &key);
    expect(w, !other, 9);
    tier__entry_unref(other);
    if (draw(w, 4)) {
        expect(w, tier__memory_insert(s->m, e) == e, 10);
        pin(w, e);
    } else {
        atomic_store(&s->gone[mine], version_of(e) + 1);
        tier__entry_unref(e);
    }
}

static void sweep(struct worker *w)
{
    tier__memory *m = w->s->m;
    if (draw(w, 3) == 0)
        tier__memory_clear(m);
    else if (draw(w, 2))
        tier__memory_drop_owner(m, (uint16_t)(1 + draw(w, 2)));
    else
        (void)tier__memory_live(m);
}

static void reserve(struct worker *w, int tier)
{
    uint64_t bytes = draw(w, w->s->budget);
    if (!tier__memory_reserve(w->s->m, tier, bytes))
        return;
    sched_yield();
    tier__memory_release(w->s->m, tier, bytes);
}

static void step(struct worker *w)
{
    struct shared *s = w->s;
    uint64_t n = draw(w, 3) ? draw(w, KEYS) : draw(w, KEYS / 6), what = draw(w, 1000);
    uint64_t mine = n / THREADS * THREADS + (uint64_t)w->id;
    int tier = tier_of(n);
    tier_digest key = key_of(s, n);
    if (what < 350)
        find(w, n, mine);
    else if (what < 550)
        look_at_spot(w);
    else if (what < 650)
        make(w, mine);
    else if (what < 690)
        tier__memory_remove(s->m, tier, &key);
    else if (what < 730)
        supersede(w, mine);
    else if (what < 800 && !exclusive(mine))
        take(w, mine);
    else if (what < 830)
        reserve(w, tier);
    else if (what >= 995)
        sweep(w);
    else if (s->sinking && what >= 985)
        tier__memory_limit(s->m, tier, s->budget / 8 * draw(w, 9));
    else if (what >= 975)
        (void)tier__memory_trim(s->m, tier, draw(w, s->budget));
    else
        pin(w, NULL);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct shared *s = w->s;
    heap_random = w->random;
    may_fail = s->fails;
    for (int i = 0; i < OPS; i++) {
        step(w);
        if (!s->sinking)
            for (int t = TIER_FILE; t <= TIER_DELTA; t++)
                expect(w, atomic_load(&s->m->budget[t].room) >= 0, 11);
    }
    if (s->closing) {
        pthread_barrier_wait(&s->barrier);
        for (int i = 0; i < PINS; i++)
            tier__entry_unref(w->pin[i]);
        tier__entry_unref(atomic_exchange(&s->box[w->id], NULL));
        return NULL;
    }
    for (int i = 0; i < PINS; i++) {
        if (s->sinking && i == PINS / 2)
            tier__memory_limit(s->m, 1 + w->id % 3, s->budget / 4);
        let_go(w, w->pin[i]);
        w->pin[i] = NULL;
    }
    return NULL;
}

static void look(void *user, tier__entry *e)
{
    struct shared *s = user;
    if (tier__entry_resident(e) && !tier__entry_is(e, TIER__PARKED) &&
        atomic_load(&s->m->budget[tier__entry_tier(e)].room) < 0)
        atomic_fetch_add(&s->wrong[14], 1); /* could go, and should have gone */
    if (tier__entry_refs(e) < 1)
        atomic_fetch_add(&s->wrong[12], 1);
}

static void complain(struct shared *s, const char *when, unsigned long seed)
{
    bool bad = false;
    for (int i = 0; i < 24; i++)
        if (atomic_load(&s->wrong[i])) {
            printf("wrong[%d]: %ld %s, seed %lu, crowded %d fails %d sinking %d closing %d policy %s\n", i,
                   atomic_load(&s->wrong[i]), when, seed, s->crowded, s->fails, s->sinking, s->closing,
                   s->policy);
            bad = true;
        }
    fflush(stdout);
    if (bad)
        abort();
}

static void round_of(unsigned long seed)
{
    static struct worker worker[THREADS];
    static const char *const policy[] = {"worth", "worth", "worth", "gdsf", "s3fifo", "lru"};
    struct shared s = {.crowded = seed & 1,
                       .fails = seed >> 1 & 1,
                       .sinking = seed >> 2 & 1,
                       .closing = seed >> 3 & 1,
                       .policy = policy[seed / 16 % 6],
                       .budget = 1500 + seed % 7 * 1000};
    struct tier__memory_options o = {.policy = s.policy, .budget = {0, s.budget, s.budget, s.budget}};
    pthread_t thread[THREADS];
    tier__base_init(&s.base, NULL);
    if (s.fails)
        s.base.realloc = failing;
    assert_int_equal(tier__memory_create(&s.base, &o, &s.m), TIER_OK);
    pthread_barrier_init(&s.barrier, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++) {
        worker[i] = (struct worker){.s = &s, .id = i, .random = seed * 1000 + (uint64_t)i};
        assert_int_equal(pthread_create(&thread[i], NULL, work, &worker[i]), 0);
    }
    if (s.closing) {
        pthread_barrier_wait(&s.barrier);
        tier__memory_destroy(&s.m);
        for (int i = 0; i < THREADS; i++)
            pthread_join(thread[i], NULL);
        for (int i = 0; i < BOX; i++)
            tier__entry_unref(atomic_exchange(&s.box[i], NULL));
    } else {
        for (int i = 0; i < THREADS; i++)
            pthread_join(thread[i], NULL);
        for (int i = 0; i < BOX; i++)
            let_go(&worker[0], atomic_exchange(&s.box[i], NULL));
        complain(&s, "running", seed);
        struct worker *w = &worker[0];
        expect(w, tier__memory_live(s.m) == 0, 13);
        tier__slab_each(s.m, look, &s);
        for (int t = TIER_FILE; t <= TIER_DELTA; t++) {
            struct tier__memory_stats st;
            tier__memory_stats(s.m, t, &st);
            expect(w, st.reserved == 0, 15);
        }
        complain(&s, "after", seed);
        for (int t = TIER_DELTA; t >= TIER_FILE; t--)
            tier__memory_limit(s.m, t, 0);
        for (int t = TIER_FILE; t <= TIER_DELTA; t++) {
            struct tier__memory_stats st;
            tier__memory_stats(s.m, t, &st);
            expect(w, st.entries == 0 && st.bytes == 0 && st.overdraft == 0, 16);
        }
        expect(w, atomic_load(&s.m->alive) == 1, 17);
        expect(w, atomic_load(&s.m->holds) == 0, 18);
        tier__memory_destroy(&s.m);
    }
    expect(&worker[0], atomic_load(&s.made) == atomic_load(&s.destroyed), 19);
    expect(&worker[0], atomic_load(&s.base.metric[TIER__MEMORY_BYTES]) == 0 || s.closing, 21);
    complain(&s, "at the end", seed);
    pthread_barrier_destroy(&s.barrier);
}

static void all_at_once(void **state)
{
    (void)state;
    const char *seconds = getenv("TIER_SECONDS"), *first = getenv("TIER_SEED");
    time_t end = time(NULL) + (seconds ? atoi(seconds) : 3);
    unsigned long seed = first ? strtoul(first, NULL, 10) : 1, n = 0;
    do
        round_of(seed + n++);
    while (time(NULL) < end);
    printf("%lu rounds\n", n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_at_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
