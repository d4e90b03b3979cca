/* recall.c - a session's own table of what it asked for before; see recall.h. */
#include "coherence/manager.h"
#include "tiers/checksum.h"

enum { FIRST_LINES = 64, LINES_MAX = 1 << 21, TYPES_STEP = 16 };

enum { WITH_ARGS = 1, WITHOUT_PATH = 2 };

static inline uint64_t load(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static inline uint64_t mix(uint64_t h, uint64_t word)
{
    h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 29;
}

/* Inline, and words at a time: XXH3 behind a call took a fifth of a hit. */
static inline uint32_t query_hash(const tier_query *q, size_t path_size)
{
    const char *path = q->path;
    uint64_t h = mix(path_size, (uintptr_t)q->type);
    size_t i = 0;
    for (; i + 8 <= path_size; i += 8)
        h = mix(h, load(path + i));
    if (path_size >= 8)
        h = mix(h, load(path + path_size - 8));
    else
        for (; i < path_size; i++)
            h = mix(h, (unsigned char)path[i]);
    if (q->args)
        h = mix(h, tier__checksum(q->args, q->args_size, 0));
    return ((uint32_t)(h >> 32) & ~3u) | (q->args ? WITH_ARGS : 0) | (path ? 0 : WITHOUT_PATH);
}

static inline bool words_are(const struct tier__recall_line *l, const char *path, size_t size)
{
    if (size >= TIER__RECALL_WORDS)
        return l->is_long && strcmp(l->interned, path) == 0;
    size_t i = 0;
    for (; i + 8 <= size; i += 8)
        if (load(l->words + i) != load(path + i))
            return false;
    if (size >= 8 && load(l->words + size - 8) != load(path + size - 8))
        return false;
    for (; size < 8 && i < size; i++)
        if (l->words[i] != path[i])
            return false;
    return l->words[size] == 0 && !l->is_long;
}

static inline bool line_is(const struct tier__recall_line *l, uint32_t hash, const tier_query *q,
                           size_t path_size)
{
    return l->hash == hash && l->type == q->type && words_are(l, q->path, path_size) &&
           (!q->args ||
            (l->node->args_size == q->args_size && memcmp(l->node->args, q->args, q->args_size) == 0));
}

static inline struct tier__recall_line *home_of(const struct tier__recall *r, uint32_t i)
{
    return &r->line[i & (r->capacity - 1)];
}

static inline const struct tier__recall_line *find(const tier_session *s, const tier_query *q)
{
    const struct tier__recall *r = &s->recall;
    if (!r->count || r->epoch != atomic_load_explicit(&s->cache->recall_epoch, memory_order_relaxed) ||
        (q->args_size && !q->args))
        return NULL;
    size_t path_size = q->path ? strlen(q->path) : 0;
    uint32_t hash = query_hash(q, path_size);
    __builtin_prefetch(&home_of(r, hash >> 2)->key);
    for (uint32_t i = hash >> 2; home_of(r, i)->node; i++) {
        const struct tier__recall_line *l = home_of(r, i);
        if (l->hash != hash)
            continue;
        for (size_t k = 0; k < sizeof l->near / sizeof *l->near; k++)
            __builtin_prefetch(l->near[k]);
        if (line_is(l, hash, q, path_size))
            return l;
    }
    return NULL;
}

static inline void add_one(atomic_uint_fast64_t *n) /* its only writer */
{
    atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + 1, memory_order_relaxed);
}

int tier__recall(tier_session *s, const tier_query *q, tier_value *v)
{
    const struct tier__recall_line *l = find(s, q);
    int rc = l && s->frame ? tier__query_check(s, q) : 0;
    if (rc)
        return rc;
    int tier = l ? (int)q->type->def.tier : 0;
    tier__entry *e = l ? tier__memory_find(s->cache->memory, tier, &l->key) : NULL;
    if (!e)
        return 1;
    if (tier__digest_word(tier__entry_hash(e)) != l->value) {
        tier__entry_unref(e);
        return 1;
    }
    if (s->frame && tier__frame_add(s->cache, s->frame, l->node->dep, l->version)) {
        tier__entry_unref(e);
        s->frame->out_of_memory = true;
        return tier__fail(s, TIER_ENOMEM, "no memory to record a dependency");
    }
    add_one(&s->recall.type_hits[q->type->index]);
    add_one(&s->recall.tier_hits[tier - TIER_TREE]);
    return tier__lend(s, e, TIER_HIT, v);
}

static bool grow(struct tier__base *b, struct tier__recall *r)
{
    if (r->count < r->capacity / 4 * 3)
        return true;
    struct tier__recall larger = {.capacity = r->capacity ? 2 * r->capacity : FIRST_LINES};
    if (larger.capacity > LINES_MAX)
        return false;
    if (!(larger.raw = tier__zalloc(b, larger.capacity + 1, sizeof *larger.line)))
        return false;
    larger.line = (void *)(((uintptr_t)larger.raw + 127) & ~(uintptr_t)127);
    for (uint32_t i = 0; i < r->capacity; i++)
        if (r->line[i].node) {
            uint32_t at = r->line[i].hash >> 2;
            while (home_of(&larger, at)->node)
                at++;
            *home_of(&larger, at) = r->line[i];
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
    if (s->view->recorded) /* every request goes the long way, where it is */
        return;
    if (n->content || e->exclusive || (c->flags & TIER_NO_MEMORY) ||
        (q->path && strcmp(q->path, n->path->key) != 0))
        return;
    uint64_t epoch = atomic_load_explicit(&c->recall_epoch, memory_order_relaxed);
    if (r->epoch != epoch && r->count) {
        memset(r->line, 0, r->capacity * sizeof *r->line);
        r->count = 0;
    }
    r->epoch = epoch;
    if (!grow(&c->base, r) || !counters(c, r, q->type))
        return;
    size_t path_size = q->path ? n->path->key_size : 0;
    struct tier__recall_line l = {.hash = query_hash(q, path_size),
                                  .node = n,
                                  .type = q->type,
                                  .near = {e, tier__entry_hash(e), e->data},
                                  .value = tier__digest_word(tier__entry_hash(e)),
                                  .key = e->key};
    l.is_long = path_size >= TIER__RECALL_WORDS;
    if (l.is_long)
        l.interned = n->path->key;
    else if (path_size)
        memcpy(l.words, q->path, path_size);
    pthread_mutex_lock(&s->view->lock);
    const struct tier__slot *slot = tier__chunks_at(&s->view->slots, n->dep);
    bool plain = slot && slot->variant && !slot->entry && slot->from != TIER_STALE &&
                 tier__digest_equal(&slot->variant->key, &e->key) &&
                 tier__digest_equal(&slot->variant->hash, tier__entry_hash(e));
    l.version = plain ? tier__view_version(s->view, n->dep) - 1 : 0;
    pthread_mutex_unlock(&s->view->lock);
    if (!plain)
        return;
    uint32_t i = l.hash >> 2;
    for (; home_of(r, i)->node; i++)
        if (line_is(home_of(r, i), l.hash, q, path_size))
            break; /* evicted since, and loaded again */
    r->count += !home_of(r, i)->node;
    *home_of(r, i) = l;
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
