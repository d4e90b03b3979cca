/* peer_floor.c - the least that a pinned view can cost: the entry's place in an array is known beforehand;
 * one mutex of 64, by key, around the reference; the reference dropped with an atomic. And ours, over the
 * table itself. */
#include <pthread.h>
#include <stdatomic.h>
#include "tests/bench/peer.h"
#include "tiers/memory.h"

/* ---- the floor */
struct floor_value {
    atomic_uint refs; /* the array's too */
    uint32_t size;
    unsigned char data[];
};
struct floor_shard {
    _Alignas(64) pthread_mutex_t lock;
};
struct floor {
    struct floor_shard shard[64];
    struct floor_value **value;
    uint32_t keys;
};

static inline void floor_begin(struct floor *p, uint32_t thread, enum peer_op op)
{
    (void)p, (void)thread, (void)op;
}
#define floor_end floor_begin

static inline struct peer_view floor_view(struct floor *p, uint32_t thread, uint32_t k,
                                          const tier_digest *key)
{
    pthread_mutex_t *lock = &p->shard[key->byte[0] & 63].lock;
    (void)thread;
    pthread_mutex_lock(lock);
    struct floor_value *v = p->value[k];
    atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
    pthread_mutex_unlock(lock);
    return (struct peer_view){v->data, v->size, v};
}

static inline void floor_unref(struct floor_value *v)
{
    if (v && atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) == 1)
        free(v);
}

static inline void floor_unview(struct floor *p, uint32_t thread, struct peer_view *v)
{
    (void)p, (void)thread;
    floor_unref(v->pin);
}

static inline size_t floor_get(struct floor *p, uint32_t thread, uint32_t k, const tier_digest *key,
                               unsigned char *out)
{
    struct peer_view v = floor_view(p, thread, k, key);
    memcpy(out, v.data, v.size);
    floor_unview(p, thread, &v);
    return v.size;
}

static inline void floor_put(struct floor *p, uint32_t thread, uint32_t k, const tier_digest *key,
                             const unsigned char *data, size_t size)
{
    pthread_mutex_t *lock = &p->shard[key->byte[0] & 63].lock;
    struct floor_value *v = malloc(sizeof *v + size), *old;
    (void)thread;
    if (!v)
        bench_die("memory");
    atomic_init(&v->refs, 1);
    v->size = (uint32_t)size;
    memcpy(v->data, data, size);
    pthread_mutex_lock(lock);
    old = p->value[k];
    p->value[k] = v;
    pthread_mutex_unlock(lock);
    floor_unref(old);
}

static void *floor_open(const struct peer_setup *s)
{
    struct floor *p = aligned_alloc(64, sizeof *p);
    if (!p)
        bench_die("memory");
    for (int i = 0; i < 64; i++)
        pthread_mutex_init(&p->shard[i].lock, NULL);
    p->keys = s->w->keys;
    p->value = bench_alloc(p->keys * sizeof(struct floor_value *));
    return p;
}

static void floor_close(void *peer)
{
    struct floor *p = peer;
    for (uint32_t k = 0; k < p->keys; k++)
        floor_unref(p->value[k]);
    free(p->value);
    free(p);
}

PEER_LOOPS(floor, struct floor)
PEER_LENDS(floor, struct floor)
const struct peer peer_floor = {.name = "floor",
                                .evicts = false,
                                .open = floor_open,
                                .close = floor_close,
                                .run = {PEER_RUNS_LENDING(floor)}};

/* ---- ours */
struct ours {
    struct tier__base base;
    tier__memory *memory;
};

static inline void tierkit_begin(struct ours *p, uint32_t thread, enum peer_op op)
{
    (void)p, (void)thread, (void)op;
}
#define tierkit_end tierkit_begin

static inline struct peer_view tierkit_view(struct ours *p, uint32_t thread, uint32_t k,
                                            const tier_digest *key)
{
    (void)thread, (void)k;
    tier__entry *e = tier__memory_find(p->memory, TIER_TREE, key);
    return e ? (struct peer_view){e->data, e->size, e} : (struct peer_view){NULL, 0, NULL};
}

static inline void tierkit_unview(struct ours *p, uint32_t thread, struct peer_view *v)
{
    (void)p, (void)thread;
    tier__entry_unref(v->pin);
}

static inline size_t tierkit_get(struct ours *p, uint32_t thread, uint32_t k, const tier_digest *key,
                                 unsigned char *out)
{
    struct peer_view v = tierkit_view(p, thread, k, key);
    if (!v.data)
        return 0;
    memcpy(out, v.data, v.size);
    tierkit_unview(p, thread, &v);
    return v.size;
}

/* Values are known by their content, so a new one for a key is: the old one is superseded and leaves, the new
 * one is inserted. */
static inline void tierkit_put(struct ours *p, uint32_t thread, uint32_t k, const tier_digest *key,
                               const unsigned char *data, size_t size)
{
    tier__entry *e = tier__entry_new(p->memory, TIER_TREE, size);
    (void)thread, (void)k;
    if (!e)
        bench_die("memory");
    memcpy(e->data, data, size);
    e->key = *tier__entry_hash(e) = *key;
    tier__memory_remove(p->memory, TIER_TREE, key);
    tier__entry_unref(tier__memory_insert(p->memory, e));
}

static void *tierkit_open(const struct peer_setup *s)
{
    struct ours *p = bench_alloc(sizeof *p);
    struct tier__memory_options o = {.policy = NULL};
    o.budget[TIER_TREE] = s->keep ? s->keep * tier__memory_charge(NULL, s->w->size) : UINT64_C(1) << 40;
    tier__base_init(&p->base, NULL);
    if (tier__memory_create(&p->base, &o, &p->memory))
        bench_die("memory");
    return p;
}

void peer_tierkit_bytes(void *peer, uint64_t *heap, uint64_t *charged)
{
    struct ours *p = peer;
    struct tier__memory_stats s;
    tier__memory_stats(p->memory, TIER_TREE, &s);
    *heap += tier__memory_mapped(p->memory);
    *charged = s.bytes;
}

static void tierkit_close(void *peer)
{
    struct ours *p = peer;
    tier__memory_destroy(&p->memory);
    free(p);
}

PEER_LOOPS(tierkit, struct ours)
PEER_LENDS(tierkit, struct ours)
const struct peer peer_tierkit = {.name = "tierkit",
                                  .evicts = true,
                                  .open = tierkit_open,
                                  .close = tierkit_close,
                                  .run = {PEER_RUNS_LENDING(tierkit)}};
