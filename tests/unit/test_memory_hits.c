/* test_memory_hits.c - hits that take no lock: what they must look at before they count, what may go back to
 * the heap under them, and readers beside threads that insert, remove and let the table grow. */
/* concurrent */
#include <stdarg.h>
#include <setjmp.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include "tests/unit/memory_fixture.h"
#include "tiers/memory_private.h"

/* ---- one hit, while the test has its shard's lock: it is had at once, or waits for the lock */
struct hit {
    tier__memory *m;
    tier_digest key;
    const struct tier__spot *spot; /* NULL: by key */
    tier__entry *e;
    atomic_bool done;
};

static void *run_hit(void *arg)
{
    struct hit *h = arg;
    h->e = h->spot ? tier__memory_at(h->m, h->spot) : tier__memory_find(h->m, TIER_FILE, &h->key);
    atomic_store(&h->done, true);
    return NULL;
}

static uint64_t given_up(tier__memory *m)
{
    uint64_t n = 0;
    for (int i = 0; i < TIER__STRIPES; i++)
        n += atomic_load(&m->stripe[i].others);
    return n;
}

struct scene {
    struct tier__base base;
    tier__memory *m;
    tier__entry *e; /* the only one */
    struct tier__shard *shard;
    struct tier__spot spot;
    struct hit hit;
    pthread_t thread;
    uint64_t before;
};

static void scene_set(struct scene *s, bool by_spot)
{
    tier_digest key = key_of(1);
    *s = (struct scene){.m = memory_of(&s->base, 1 << 20, NULL)};
    s->e = tier__memory_insert(s->m, entry_of(s->m, TIER_FILE, key, 20));
    s->shard = tier__shard_of(s->m, &key);
    tier__memory_spot(s->m, s->e, &s->spot);
    tier__entry_unref(s->e); /* the table's stays */
    s->hit = (struct hit){.m = s->m, .key = key, .spot = by_spot ? &s->spot : NULL};
    s->before = given_up(s->m);
    tier__lock(&s->shard->lock);
}

static void scene_begin(struct scene *s)
{
    assert_int_equal(pthread_create(&s->thread, NULL, run_hit, &s->hit), 0);
}

/* The hit gave up, and waits for the lock with nothing pinned; refs: as it was. */
static void waits(struct scene *s, unsigned refs)
{
    scene_begin(s);
    while (given_up(s->m) == s->before && !atomic_load(&s->hit.done))
        sched_yield();
    while (atomic_load(&s->e->refs) != refs && !atomic_load(&s->hit.done)) /* it lets go of it then */
        sched_yield();
    assert_int_equal(given_up(s->m), s->before + 1);
    assert_false(atomic_load(&s->hit.done));
}

static void scene_end(struct scene *s)
{
    tier__unlock(&s->shard->lock);
    pthread_join(s->thread, NULL);
    assert_ptr_equal(s->hit.e, s->e);
    tier__entry_unref(s->hit.e);
    assert_int_equal(stats_of(s->m, TIER_FILE).hits, 1);
    tier__memory_destroy(&s->m);
}

static void a_hit_waits_for_no_lock(void **state)
{
    (void)state;
    for (int by_spot = 0; by_spot < 2; by_spot++) {
        struct scene s;
        scene_set(&s, by_spot);
        scene_begin(&s);
        pthread_join(s.thread, NULL);
        s.thread = pthread_self();
        assert_ptr_equal(s.hit.e, s.e);
        assert_int_equal(given_up(s.m), s.before);
        tier__unlock(&s.shard->lock);
        tier__entry_unref(s.hit.e);
        assert_int_equal(stats_of(s.m, TIER_FILE).hits, 1);
        tier__memory_destroy(&s.m);
    }
}

static void nothing_is_brought_back_to_life(void **state)
{
    (void)state;
    for (int by_spot = 0; by_spot < 2; by_spot++) {
        struct scene s;
        scene_set(&s, by_spot);
        atomic_store(&s.e->refs, 0); /* evicted, and the slots do not say so yet */
        waits(&s, 0);
        atomic_store(&s.e->refs, 1);
        scene_end(&s);
    }
}

static void a_header_in_other_use_is_not_the_entry(void **state)
{
    (void)state;
    struct scene s;
    scene_set(&s, false);
    tier__entry_unmark(s.e, TIER__RESIDENT); /* being filled, by somebody else */
    waits(&s, 1);
    tier__entry_mark(s.e, TIER__RESIDENT);
    scene_end(&s);
    scene_set(&s, false);
    s.e->key.byte[31] ^= 1; /* in the table with another key */
    waits(&s, 1);
    s.e->key.byte[31] ^= 1;
    scene_end(&s);
    scene_set(&s, false);
    unsigned other = TIER_FILE ^ TIER_DELTA;
    atomic_fetch_xor(&s.e->state, (unsigned short)other); /* in the table of another tier */
    waits(&s, 1);
    atomic_fetch_xor(&s.e->state, (unsigned short)other);
    scene_end(&s);
}

static void what_gave_way_to_a_newer_version_is_revived_under_the_lock(void **state)
{
    (void)state;
    for (int by_spot = 0; by_spot < 2; by_spot++) {
        struct scene s;
        scene_set(&s, by_spot);
        tier__order_demote(&s.shard->tier[TIER_FILE].order, s.e, true);
        waits(&s, 1);
        tier__unlock(&s.shard->lock);
        pthread_join(s.thread, NULL);
        assert_false(tier__entry_is(s.e, TIER__SUPERSEDED));
        tier__entry_unref(s.hit.e);
        tier__memory_destroy(&s.m);
    }
}

static void a_spot_is_left_where_something_left(void **state)
{
    (void)state;
    struct scene s;
    scene_set(&s, true);
    atomic_fetch_add(&s.shard->left, 1);
    waits(&s, 1);
    atomic_fetch_sub(&s.shard->left, 1);
    scene_end(&s);
}

/* A hit that has read a tag reads the word after it, whatever was written meanwhile. */
static void a_word_that_was_written_leads_to_an_entry(void **state)
{
    (void)state;
    struct scene s;
    scene_set(&s, false);
    tier__unlock(&s.shard->lock);
    const struct tier__bucket *b = atomic_load(&s.shard->slots.bucket);
    uint64_t word = tier__word(b, 0);
    assert_ptr_equal(tier__word_entry(word), s.e);
    tier__memory_remove(s.m, TIER_FILE, &s.hit.key);
    assert_int_equal(tier__tags(b), 0);
    assert_int_equal(tier__word(b, 0), word);
    tier__memory_destroy(&s.m);
}

/* ---- entries that eviction met pinned; with the lock held where it says so */
static void park(struct scene *s)
{
    scene_set(s, false);
    tier__unlock(&s->shard->lock);
    tier__entry_ref(s->e);
    assert_false(tier__memory_reserve(s->m, TIER_FILE, 1 << 20));
    assert_true(tier__entry_is(s->e, TIER__PARKED));
    assert_int_equal(tier__entry_refs(s->e), 1);
}

static void evictable(struct scene *s)
{
    assert_false(tier__entry_is(s->e, TIER__PARKED));
    assert_int_equal(tier__memory_live(s->m), 0);
    assert_true(tier__memory_reserve(s->m, TIER_FILE, 1 << 20));
    assert_int_equal(stats_of(s->m, TIER_FILE).entries, 0);
    tier__memory_release(s->m, TIER_FILE, 1 << 20);
    tier__memory_destroy(&s->m);
}

static void who_drops_the_last_pin_makes_it_evictable(void **state)
{
    (void)state;
    struct scene s;
    park(&s);
    assert_int_equal(tier__memory_live(s.m), 1);
    tier__entry_unref(s.e);
    assert_int_equal(stats_of(s.m, TIER_FILE).entries, 1);
    evictable(&s);
}

/* Between its last pin's end and the lock others ask for it. */
static void a_parked_entry_is_had_before_its_owner_comes(void **state)
{
    (void)state;
    tier__entry *dead = NULL;
    for (int lets_go = 0; lets_go < 2; lets_go++) {
        struct scene s;
        park(&s);
        assert_int_equal(atomic_fetch_sub(&s.e->refs, 1), 1); /* as unref begins */
        tier__entry *e = tier__memory_find(s.m, TIER_FILE, &s.hit.key);
        assert_ptr_equal(e, s.e);
        if (lets_go)
            tier__entry_unref(e);
        assert_false(tier__memory_unpark(s.m, s.e, &dead));
        assert_null(dead);
        tier__entry_unref(s.e); /* as it goes on */
        if (!lets_go) {
            assert_true(tier__entry_is(e, TIER__PARKED));
            tier__entry_unref(e);
        }
        evictable(&s);
    }
}

static void a_parked_entry_leaves_before_its_owner_comes(void **state)
{
    (void)state;
    tier__entry *dead = NULL;
    for (int take = 0; take < 2; take++) {
        struct scene s;
        park(&s);
        assert_int_equal(atomic_fetch_sub(&s.e->refs, 1), 1);
        if (take)
            assert_ptr_equal(tier__memory_take(s.m, TIER_FILE, &s.hit.key), s.e);
        else
            tier__memory_remove(s.m, TIER_FILE, &s.hit.key);
        assert_int_equal(tier__entry_refs(s.e), 1 + take);
        assert_false(tier__memory_unpark(s.m, s.e, &dead));
        assert_null(dead);
        tier__entry_unref(s.e);
        if (take)
            tier__entry_unref(s.e);
        assert_int_equal(atomic_load(&s.base.metric[TIER__MEMORY_BYTES]), 0);
        tier__memory_destroy(&s.m);
    }
}

/* The same, before the owner even looks whether it was parked. */
static void an_owner_finds_that_it_owns_nothing(void **state)
{
    (void)state;
    struct scene s;
    park(&s);
    assert_int_equal(atomic_fetch_sub(&s.e->refs, 1), 1);
    tier__entry *e = tier__memory_find(s.m, TIER_FILE, &s.hit.key);
    tier__memory_remove(s.m, TIER_FILE, &s.hit.key);
    assert_int_equal(tier__entry_refs(e), 2);
    tier__entry_last(s.e);
    assert_int_equal(tier__entry_refs(e), 1);
    tier__entry_unref(e);
    assert_int_equal(atomic_load(&s.base.metric[TIER__MEMORY_BYTES]), 0);
    tier__memory_destroy(&s.m);
}

static void a_parked_entry_leaves_where_the_limit_sank(void **state)
{
    (void)state;
    struct scene s;
    park(&s);
    tier__memory_limit(s.m, TIER_FILE, 1);
    tier__entry_unref(s.e);
    assert_int_equal(stats_of(s.m, TIER_FILE).entries, 0);
    assert_int_equal(atomic_load(&s.base.metric[TIER__MEMORY_BYTES]), 0);
    tier__memory_destroy(&s.m);
}

/* A limit sinks while one that was parked is on its way back: in no policy yet, and looked at already. */
static struct scene *returning;

static void *sink(void *arg)
{
    tier__memory_limit(arg, TIER_FILE, 1);
    return NULL;
}

static bool enter_late(struct tier__base *base, void *state, tier__entry *e)
{
    assert_int_equal(pthread_create(&returning->thread, NULL, sink, returning->m), 0);
    while (!tier__budget_over(&returning->m->budget[TIER_FILE]))
        sched_yield();
    usleep(20000); /* enough for it to look everywhere */
    return tier__policy_worth.enter(base, state, e);
}

static void a_limit_that_sinks_misses_no_entry_on_its_way_back(void **state)
{
    (void)state;
    struct tier__policy late = tier__policy_worth;
    struct scene s;
    late.enter = enter_late;
    returning = &s;
    park(&s);
    s.shard->tier[TIER_FILE].order.policy = &late;
    tier__entry_unref(s.e);
    pthread_join(s.thread, NULL);
    assert_int_equal(stats_of(s.m, TIER_FILE).entries, 0);
    assert_int_equal(stats_of(s.m, TIER_FILE).bytes, 0);
    tier__memory_destroy(&s.m);
}

/* ---- memory that goes back */
struct heap {
    void *watched; /* a block */
    bool freed;
};

static void *watch_free(void *user, void *old, size_t size)
{
    struct heap *h = user;
    if (!size) {
        h->freed = h->freed || (old && old == h->watched);
        free(old);
        return NULL;
    }
    void *fresh = realloc(old, size);
    if (!fresh)
        abort();
    return fresh;
}

static tier__memory *watched_memory(struct tier__base *base, struct heap *h)
{
    struct tier__memory_options o = {.budget = {0, 1 << 24, 0, 0}};
    tier__memory *m;
    tier__base_init(base, NULL);
    base->user = h;
    base->realloc = watch_free;
    assert_int_equal(tier__memory_create(base, &o, &m), TIER_OK);
    return m;
}

static void grow(tier__memory *m, uint64_t *n, void *from)
{
    while (m->shard[0].slots.raw == from)
        put(m, key_of((*n)++), 1);
}

static void outgrown_buckets_wait_for_hits_under_way(void **state)
{
    (void)state;
    struct tier__base base;
    struct heap h = {NULL, false};
    uint64_t n = 0;
    tier__memory *m = watched_memory(&base, &h);
    grow(m, &n, NULL);
    h.watched = m->shard[0].slots.raw;
    grow(m, &n, h.watched);
    assert_true(h.freed); /* nobody was looking */
    h = (struct heap){m->shard[0].slots.raw, false};
    atomic_fetch_add(&m->stripe[5].begun, 1);
    char *outgrown = (char *)atomic_load(&m->shard[0].slots.bucket);
    char *first_line = (char *)(((uintptr_t)h.watched + 63) & ~(uintptr_t)63);
    assert_ptr_equal(outgrown, first_line + 64); /* the link of what waits is not among what hits read */
    grow(m, &n, h.watched);
    grow(m, &n, m->shard[0].slots.raw);
    assert_false(h.freed);
    atomic_fetch_add(&m->stripe[5].hits[1], 1);
    grow(m, &n, m->shard[0].slots.raw);
    assert_true(h.freed);
    assert_null(m->retired.first);
    atomic_fetch_add(&m->stripe[63].begun, 1); /* of a thread that is no more, as after a fork */
    h = (struct heap){m->shard[0].slots.raw, false};
    grow(m, &n, h.watched);
    assert_false(h.freed);
    tier__memory_destroy(&m);
    assert_true(h.freed);
}

static void slabs_wait_for_hits_under_way(void **state)
{
    (void)state;
    enum { MANY = 3 * TIER__SLAB_ENTRIES };
    struct tier__base base;
    struct heap h = {NULL, false};
    tier__entry *e[MANY];
    tier__memory *m = watched_memory(&base, &h);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++)
            e[i] = entry_of(m, TIER_FILE, key_of((uint64_t)i), 1);
        struct tier__slab *s = tier__slab_of(e[MANY / 2]);
        h = (struct heap){(char *)s - s->padding, false};
        if (round)
            atomic_fetch_add(&m->stripe[0].begun, 1);
        for (int i = 0; i < MANY; i++)
            tier__entry_unref(e[i]);
        assert_int_equal(h.freed, !round);
    }
    tier__memory_destroy(&m);
    assert_true(h.freed);
}

/* ---- readers beside writers */
enum { READERS = 2, WRITERS = 2, KEYS = 3000, ROUNDS = 12 };

struct field {
    struct tier__base base;
    tier__memory *m;
    atomic_bool stop;
    atomic_long wrong, had;
};

static tier_digest crowded_key(uint64_t n) /* all of two shards, with many equal tags */
{
    tier_digest key = key_of(n);
    uint64_t word = tier__digest_word(&key);
    word = (word & UINT64_C(0x3ffc0f)) | (n & 1) << 58;
    memcpy(key.byte, &word, sizeof word);
    return key;
}

static bool is_sound(const tier__entry *e, const tier_digest *key)
{
    bool sound = tier__digest_equal(&e->key, key) && e->size > 0;
    for (uint32_t i = 0; i < e->size; i++)
        sound = sound && ((const unsigned char *)e->data)[i] == key->byte[31];
    return sound;
}

static void *read_all_along(void *arg)
{
    struct field *f = arg;
    struct tier__spot spot[16] = {{0, 0}};
    uint64_t of[16] = {0};
    for (uint64_t i = 0; !atomic_load(&f->stop); i++) {
        unsigned at = i % 16;
        uint64_t n = i * UINT64_C(7919) % KEYS;
        bool by_spot = i % 3 == 0 && spot[at].where;
        tier_digest key = crowded_key(by_spot ? of[at] : n);
        tier__entry *e =
            by_spot ? tier__memory_at(f->m, &spot[at]) : tier__memory_find(f->m, TIER_FILE, &key);
        if (!e)
            continue;
        atomic_fetch_add(&f->had, 1);
        atomic_fetch_add(&f->wrong, !is_sound(e, &key));
        if (!by_spot) {
            tier__memory_spot(f->m, e, &spot[at]);
            of[at] = n;
        }
        tier__entry_unref(e);
    }
    return NULL;
}

static void *write_all_along(void *arg)
{
    struct field *f = arg;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        for (uint64_t n = 0; n < KEYS; n++) {
            tier_digest key = crowded_key(n);
            tier__entry *e = tier__entry_new(f->m, TIER_FILE, 1 + (n + round) % 40);
            memset(e->data, key.byte[31], e->size);
            e->key = *tier__entry_hash(e) = key;
            tier__entry_unref(tier__memory_insert(f->m, e));
            if (n % 3 == 0) {
                key = crowded_key(n * 13 % KEYS);
                tier__memory_remove(f->m, TIER_FILE, &key);
            }
        }
        if (round % 2)
            tier__memory_clear(f->m);
    }
    return NULL;
}

static void readers_see_whole_entries(void **state)
{
    (void)state;
    for (int table = 0; table < 4; table++) { /* each grows from nothing */
        struct field f = {.stop = false};
        pthread_t reader[READERS], writer[WRITERS];
        f.m = memory_of(&f.base, table % 2 ? 100000 : 1 << 24, NULL);
        for (int i = 0; i < READERS; i++)
            assert_int_equal(pthread_create(&reader[i], NULL, read_all_along, &f), 0);
        for (int i = 0; i < WRITERS; i++)
            assert_int_equal(pthread_create(&writer[i], NULL, write_all_along, &f), 0);
        for (int i = 0; i < WRITERS; i++)
            pthread_join(writer[i], NULL);
        atomic_store(&f.stop, true);
        for (int i = 0; i < READERS; i++)
            pthread_join(reader[i], NULL);
        assert_int_equal(atomic_load(&f.wrong), 0);
        assert_int_equal(stats_of(f.m, TIER_FILE).hits, atomic_load(&f.had));
        assert_int_equal(tier__memory_live(f.m), 0);
        tier__memory_destroy(&f.m);
        assert_int_equal(atomic_load(&f.base.metric[TIER__MEMORY_BYTES]), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hit_waits_for_no_lock),
        cmocka_unit_test(nothing_is_brought_back_to_life),
        cmocka_unit_test(a_header_in_other_use_is_not_the_entry),
        cmocka_unit_test(what_gave_way_to_a_newer_version_is_revived_under_the_lock),
        cmocka_unit_test(a_word_that_was_written_leads_to_an_entry),
        cmocka_unit_test(who_drops_the_last_pin_makes_it_evictable),
        cmocka_unit_test(a_parked_entry_is_had_before_its_owner_comes),
        cmocka_unit_test(a_parked_entry_leaves_before_its_owner_comes),
        cmocka_unit_test(an_owner_finds_that_it_owns_nothing),
        cmocka_unit_test(a_parked_entry_leaves_where_the_limit_sank),
        cmocka_unit_test(a_limit_that_sinks_misses_no_entry_on_its_way_back),
        cmocka_unit_test(a_spot_is_left_where_something_left),
        cmocka_unit_test(outgrown_buckets_wait_for_hits_under_way),
        cmocka_unit_test(slabs_wait_for_hits_under_way),
        cmocka_unit_test(readers_see_whole_entries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
