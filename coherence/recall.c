/* recall.c - a session's own table of what it asked for before; see recall.h. */
#include "coherence/manager.h"
#include "tiers/checksum.h"

enum { FIRST_LINES = 64, LINES_MAX = 1 << 21, TYPES_STEP = 16 };

static uint32_t query_hash(const tier_query *q)
{
    uint64_t h = q->path ? tier__checksum(q->path, strlen(q->path), 0) : 0;
    if (q->args)
        h ^= tier__checksum(q->args, q->args_size, h);
    h = (h ^ (uintptr_t)q->type) * UINT64_C(0x9e3779b97f4a7c15); /* Fibonacci hashing */
    return ((uint32_t)(h >> 32) & ~1u) | (q->args != NULL);
}

static bool line_is(const struct tier__recall_line *l, uint32_t hash, const tier_query *q)
{
    if (l->hash != hash || l->type != q->type || !l->path != !q->path ||
        (q->path && strcmp(l->path, q->path) != 0))
        return false;
    return !q->args ||
           (l->node->args_size == q->args_size && memcmp(l->node->args, q->args, q->args_size) == 0);
}

const struct tier__recall_line *tier__recall_find(tier_session *s, const tier_query *q)
{
    struct tier__recall *r = &s->recall;
    if (!r->count || r->epoch != atomic_load_explicit(&s->cache->type_epoch, memory_order_relaxed))
        return NULL;
    uint32_t hash = query_hash(q);
    for (uint32_t i = hash >> 1; r->line[i & (r->capacity - 1)].node; i++)
        if (line_is(&r->line[i & (r->capacity - 1)], hash, q))
            return &r->line[i & (r->capacity - 1)];
    return NULL;
}

static bool grow(struct tier__base *b, struct tier__recall *r)
{
    if (r->count < r->capacity / 2)
        return true;
    struct tier__recall larger = {.capacity = r->capacity ? 2 * r->capacity : FIRST_LINES};
    if (larger.capacity > LINES_MAX)
        return false;
    if (!(larger.raw = tier__zalloc(b, larger.capacity + 1, sizeof *larger.line)))
        return false;
    larger.line = (void *)(((uintptr_t)larger.raw + 63) & ~(uintptr_t)63);
    for (uint32_t i = 0; i < r->capacity; i++)
        if (r->line[i].node) {
            uint32_t at = r->line[i].hash >> 1;
            while (larger.line[at & (larger.capacity - 1)].node)
                at++;
            larger.line[at & (larger.capacity - 1)] = r->line[i];
        }
    tier__free(b, r->raw);
    r->raw = larger.raw;
    r->line = larger.line;
    r->capacity = larger.capacity;
    return true;
}

/* Room for the hits of type; under the lock of those who read them. */
static bool counters(tier_cache *c, struct tier__recall *r, const tier_type *type)
{
    if (type->index < r->type_capacity)
        return true;
    uint32_t capacity = type->index + TYPES_STEP;
    atomic_uint_fast64_t *hits = tier__zalloc(&c->base, capacity, sizeof *hits);
    if (!hits)
        return false;
    pthread_mutex_lock(&c->world_lock);
    for (uint32_t i = 0; i < r->type_capacity; i++)
        atomic_init(&hits[i], atomic_load_explicit(&r->type_hits[i], memory_order_relaxed));
    tier__free(&c->base, r->type_hits);
    r->type_hits = hits;
    r->type_capacity = capacity;
    pthread_mutex_unlock(&c->world_lock);
    return true;
}

void tier__recall_add(tier_session *s, const tier_query *q, tier__node *n, const tier__entry *e)
{
    tier_cache *c = s->cache;
    struct tier__recall *r = &s->recall;
    if (n->content || e->exclusive || (c->flags & TIER_NO_MEMORY) ||
        (q->path && strcmp(q->path, n->path->key) != 0))
        return;
    uint64_t epoch = atomic_load_explicit(&c->type_epoch, memory_order_relaxed);
    if (r->epoch != epoch && r->count) {
        memset(r->line, 0, r->capacity * sizeof *r->line);
        r->count = 0;
    }
    r->epoch = epoch;
    if (!grow(&c->base, r) || !counters(c, r, q->type))
        return;
    struct tier__recall_line l = {query_hash(q), 0, n, q->path ? n->path->key : NULL, q->type, e->key};
    pthread_mutex_lock(&s->view->lock);
    const struct tier__slot *slot = tier__chunks_at(&s->view->slots, n->dep);
    bool plain = slot && slot->variant && !slot->entry && slot->from != TIER_STALE &&
                 tier__digest_equal(&slot->variant->key, &e->key);
    l.version = plain ? tier__view_version(s->view, n->dep) - 1 : 0;
    pthread_mutex_unlock(&s->view->lock);
    if (!plain)
        return;
    uint32_t i = l.hash >> 1;
    for (; r->line[i & (r->capacity - 1)].node; i++)
        if (line_is(&r->line[i & (r->capacity - 1)], l.hash, q))
            return; /* evicted since, and loaded again */
    r->line[i & (r->capacity - 1)] = l;
    r->count++;
}

static void add_one(atomic_uint_fast64_t *n) /* its only writer */
{
    atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + 1, memory_order_relaxed);
}

void tier__recall_hit(tier_session *s, const tier_type *type)
{
    add_one(&s->recall.type_hits[type->index]);
    add_one(&s->recall.tier_hits[type->def.tier - TIER_TREE]);
}

void tier__recall_fini(tier_session *s)
{
    tier_cache *c = s->cache;
    struct tier__recall *r = &s->recall;
    if (!r->raw)
        return;
    tier__count(&c->base, TIER__TREE_HIT, atomic_load(&r->tier_hits[0]));
    tier__count(&c->base, TIER__DELTA_HIT, atomic_load(&r->tier_hits[1]));
    pthread_mutex_lock(&c->graph);
    for (tier_type *t = c->types; t; t = t->next)
        if (t->index < r->type_capacity)
            atomic_fetch_add(&t->hit, atomic_load(&r->type_hits[t->index]));
    pthread_mutex_unlock(&c->graph);
    tier__free(&c->base, r->type_hits);
    tier__free(&c->base, r->raw);
    memset(r, 0, sizeof *r);
}
