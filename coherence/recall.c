/* recall.c - a session's own table of what it asked for before; see recall.h. */
#include "coherence/loan.h"
#include "tiers/checksum.h"

enum { FIRST_SLOTS = 64, SLOTS_MAX = 1 << 22, TYPES_STEP = 16 };

enum { WITH_ARGS = 1, WITHOUT_PATH = 2 };
#define KNOWN 0x80000000u
#ifndef HASH_BITS /* a test has less of them, so that all else is asked, too */
#define HASH_BITS 0xfffffffcu
#endif

static inline uint64_t load(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Words at a time and without branches on the size, which differs from hit to hit: XXH3 behind a call took a
 * fifth of a hit, a loop of 8 bytes a turn was guessed wrong at its end. */
struct four {
    uint64_t word[4];
};

static inline struct four four_at(const char *first, const char *second)
{
    return (struct four){{load(first), load(first + 8), load(second), load(second + 8)}};
}

/* The last 32 of size bytes, or all of 16 to 31, some of them twice. */
static inline struct four last_four(const char *path, size_t size)
{
    const char *end = path + size;
    return four_at(size < 32 ? path : end - 32, end - 16);
}

static inline uint64_t turn(uint64_t word, unsigned by)
{
    return word << by | word >> (64 - by);
}

static inline uint64_t stir(uint64_t h) /* the high half depends on all of h */
{
    return (h ^ h >> 32) * UINT64_C(0x9e3779b97f4a7c15);
}

static inline uint64_t mix(uint64_t h, struct four f) /* products that do not wait for one another */
{
    return stir(((f.word[0] ^ h) * UINT64_C(0x9fb21c651e98df25)) ^
                turn((f.word[1] + h) * UINT64_C(0xa0761d6478bd642f), 23) ^
                turn((f.word[2] ^ h) * UINT64_C(0xe7037ed1a0b428db), 37) ^
                turn((f.word[3] + h) * UINT64_C(0x8ebc6af09c88c6e3), 49));
}

static inline struct four short_words(const char *path, size_t size) /* of less than 16 */
{
    struct four f = {{0}};
    memcpy(f.word, path, size);
    return f;
}

static inline __attribute__((always_inline)) uint32_t query_hash(const tier_query *q, size_t path_size)
{
    const char *path = q->path;
    uint64_t h = stir(path_size ^ (uintptr_t)q->type);
    for (size_t i = 0; i + 32 < path_size; i += 32)
        h = mix(h, four_at(path + i, path + i + 16));
    if (path_size >= 16)
        h = mix(h, last_four(path, path_size));
    else if (path_size)
        h = mix(h, short_words(path, path_size));
    if (q->args)
        h = stir(h ^ tier__checksum(q->args, q->args_size, 0));
    return ((uint32_t)(h >> 32) & HASH_BITS) | (q->args ? WITH_ARGS : 0) | (path ? 0 : WITHOUT_PATH);
}

static inline uint64_t differ(struct four a, struct four b)
{
    return (a.word[0] ^ b.word[0]) | (a.word[1] ^ b.word[1]) | (a.word[2] ^ b.word[2]) |
           (a.word[3] ^ b.word[3]);
}

static inline __attribute__((always_inline)) bool words_are(const struct tier__recall_line *l,
                                                            const char *path, size_t size)
{
    if (size > TIER__RECALL_WORDS)
        return l->words_left > TIER__RECALL_WORDS && strcmp(l->interned, path) == 0;
    if (l->words_left != TIER__RECALL_WORDS - size)
        return false;
    if (size < 16)
        return size == 0 || !memcmp(l->words, path, size);
    for (size_t i = 0; i + 32 < size; i += 32)
        if (differ(four_at(l->words + i, l->words + i + 16), four_at(path + i, path + i + 16)))
            return false;
    return !differ(last_four(l->words, size), last_four(path, size));
}

static inline __attribute__((always_inline)) bool line_is(const struct tier__recall_line *l, uint32_t hash,
                                                          const tier_query *q, size_t path_size)
{
    return l->hash == hash && l->type == q->type && words_are(l, q->path, path_size) &&
           (!q->args ||
            (l->node->args_size == q->args_size && memcmp(l->node->args, q->args, q->args_size) == 0));
}

static inline struct tier__recall_slot *home_of(const struct tier__recall *r, uint32_t hash)
{
    return &r->slot[hash >> 2 & (r->capacity - 1)];
}

static inline struct tier__recall_slot *next_of(const struct tier__recall *r, struct tier__recall_slot *at)
{
    return at + 1 < r->slot + r->capacity ? at + 1 : r->slot;
}

static inline uint32_t tag_of(uint32_t hash)
{
    return hash >> 18;
}

static inline struct tier__recall_line *line_of(const struct tier__recall *r,
                                                const struct tier__recall_slot *at)
{
    return &r->line[at->line - 1];
}

/* The second half of the slot's line, and of the value that it had last entry, hash and data. */
#define FETCH(r, slot)                                                               \
    do {                                                                             \
        uintptr_t entry_ = (uintptr_t)(slot)->entry << 6;                            \
        __builtin_prefetch((const char *)line_of(r, slot) + 64);                     \
        __builtin_prefetch((const void *)entry_);                                    \
        __builtin_prefetch((const void *)tier__rest_address(entry_, (slot)->index)); \
        __builtin_prefetch((const void *)((uintptr_t)(slot)->data << 4));            \
    } while (0)

/* Inlined twice: for paths alone, as most ask, and for whatever else there is. NULL: not asked before. */
static inline __attribute__((always_inline)) struct tier__recall_slot *
search(const struct tier__recall *r, const tier_query *q, size_t path_size)
{
    uint32_t hash = query_hash(q, path_size), tag = tag_of(hash);
    for (struct tier__recall_slot *at = home_of(r, hash); at->line; at = next_of(r, at)) {
        if (at->tag != tag)
            continue;
        FETCH(r, at);
        if (line_is(line_of(r, at), hash, q, path_size))
            return at;
    }
    return NULL;
}

__attribute__((noinline)) static struct tier__recall_slot *search_words(const struct tier__recall *r,
                                                                        const tier_query *q)
{
    return q->args_size && !q->args ? NULL : search(r, q, q->path ? strlen(q->path) : 0);
}

/* Where words at this address led the last time. Most who ask have their paths somewhere and ask with the
 * same bytes again: then their line is fetched, and compared without a hash, before the path's own bytes have
 * come. KNOWN: twice in a row, so that nothing is fetched for those who write one path after another to one
 * place. */
static inline uint32_t *hint_of(const struct tier__recall *r, const tier_query *q)
{
    uint64_t h = ((uintptr_t)q->path ^ (uintptr_t)q->type << 20) * UINT64_C(0x9e3779b97f4a7c15);
    return &r->hint[h >> 32 & (r->capacity - 1)];
}

static inline struct tier__recall_slot *find(const tier_session *s, const tier_query *q)
{
    const struct tier__recall *r = &s->recall;
    if (!r->count || r->epoch != atomic_load_explicit(&s->cache->recall_epoch, memory_order_relaxed))
        return NULL;
    if (!q->path || q->args || q->args_size)
        return search_words(r, q);
    uint32_t *hint = hint_of(r, q), was = *hint;
    struct tier__recall_slot *at = &r->slot[was & ~KNOWN];
    const struct tier__recall_line *l = was & KNOWN ? line_of(r, at) : NULL;
    if (l) {
        __builtin_prefetch(l);
        FETCH(r, at);
    }
    size_t path_size = strlen(q->path);
    if (l && l->type == q->type && words_are(l, q->path, path_size)) /* it has no arguments either */
        return at;
    at = search(r, &(tier_query){.type = q->type, .path = q->path}, path_size);
    if (at)
        *hint = (uint32_t)(at - r->slot) | ((was & ~KNOWN) == (uint32_t)(at - r->slot) ? KNOWN : 0);
    return at;
}

/* e, pinned, is the value of the slot's line. */
static void put_spot(tier__memory *m, const struct tier__recall *r, struct tier__recall_slot *at,
                     const tier__entry *e)
{
    struct tier__spot *p = &line_of(r, at)->spot;
    tier__memory_spot(m, e, p);
    at->entry = (uintptr_t)e >> 6;
    at->index = p->where & (TIER__SLAB_ENTRIES - 1);
    at->data = (uintptr_t)e->data >> 4 & ((UINT64_C(1) << 44) - 1);
}

static inline void add_one(atomic_uint_fast64_t *n) /* its only writer */
{
    atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* Something left the shard of the line's value: asks the table for it. NULL: it is not there, or the key has
 * another answer by now. */
static tier__entry *look_again(tier_session *s, struct tier__recall_slot *at)
{
    tier__memory *m = s->cache->memory;
    const struct tier__recall_line *l = line_of(&s->recall, at);
    const struct tier__variant *v = tier__bound(s, l->node);
    tier__entry *e = v ? tier__memory_find(m, (int)l->type->def.tier, &v->key) : NULL;
    if (e && !tier__digest_equal(tier__entry_hash(e), &v->hash)) {
        tier__entry_unref(e);
        return NULL;
    }
    if (e)
        put_spot(m, &s->recall, at, e);
    return e;
}

static inline __attribute__((always_inline)) int serve(tier_session *s, const struct tier__recall_line *l,
                                                       tier__entry *e, tier_value *v)
{
    add_one(&s->recall.type_hits[l->type->index]);
    add_one(&s->recall.tier_hits[tier__entry_tier(e) - TIER_TREE]);
    return tier__lend(s, e, TIER_HIT, v);
}

__attribute__((noinline)) static int serve_again(tier_session *s, struct tier__recall_slot *at, tier_value *v)
{
    tier__entry *e = look_again(s, at);
    return e ? serve(s, line_of(&s->recall, at), e, v) : 1;
}

/* What a build reads it depends on. */
__attribute__((noinline)) static int serve_build(tier_session *s, const tier_query *q,
                                                 struct tier__recall_slot *at, tier_value *v)
{
    const struct tier__recall_line *l = line_of(&s->recall, at);
    int rc = tier__query_check(s, q);
    tier__entry *e = rc ? NULL : tier__memory_at(s->cache->memory, &l->spot);
    if (rc || (!e && !(e = look_again(s, at))))
        return rc ? rc : 1;
    if (tier__frame_add(s->cache, s->frame, l->node->dep, l->version)) {
        tier__entry_unref(e);
        s->frame->out_of_memory = true;
        return tier__fail(s, TIER_ENOMEM, "no memory to record a dependency");
    }
    return serve(s, l, e, v);
}

/* 0: served; 1: not, the long way goes on; else an error. */
static inline __attribute__((always_inline)) int recall(tier_session *s, const tier_query *q, tier_value *v)
{
    struct tier__recall_slot *at = find(s, q);
    if (!at)
        return 1;
    if (s->frame)
        return serve_build(s, q, at, v);
    const struct tier__recall_line *l = line_of(&s->recall, at);
    tier__entry *e = tier__memory_at(s->cache->memory, &l->spot);
    return __builtin_expect(!e, 0) ? serve_again(s, at, v) : serve(s, l, e, v);
}

/* ---- asking */

static inline bool is_calm(const tier_session *s)
{
    return !s->deadline && !atomic_load_explicit(&s->canceled, memory_order_relaxed) &&
           !atomic_load_explicit(&s->root->canceled, memory_order_relaxed);
}

static inline __attribute__((always_inline)) int ask(tier_session *s, const tier_query *q, tier_value *v,
                                                     int flags)
{
    if (!s || s->magic != TIER__SESSION_MAGIC || !v)
        return TIER_EINVAL;
    int rc = is_calm(s) ? 0 : tier__session_check(s);
    if (!rc) {
        if (s->detail.size)
            tier__buf_clear(&s->detail);
        rc = q ? recall(s, q, v) : 1;
    }
    return rc ? tier__get(s, q, v, flags, rc) : 0;
}

int tier_get(tier_session *s, const tier_query *q, tier_value *v)
{
    return ask(s, q, v, TIER__WANT_VALUE);
}

int tier_peek(tier_session *s, const tier_query *q, tier_value *v)
{
    return ask(s, q, v, TIER__WANT_VALUE | TIER__NO_BUILD);
}

/* ---- remembering */

static struct tier__recall_slot *free_slot(const struct tier__recall *r, uint32_t hash)
{
    struct tier__recall_slot *at = home_of(r, hash);
    while (at->line)
        at = next_of(r, at);
    at->tag = tag_of(hash);
    return at;
}

/* Room for one more line; false: there is none. */
static bool grow(struct tier__base *b, struct tier__recall *r)
{
    if (r->count < r->capacity / 4 * 3)
        return true;
    struct tier__recall larger = {.capacity = r->capacity ? 2 * r->capacity : FIRST_SLOTS};
    size_t lines = (larger.capacity / 4 * 3 + 1) * sizeof *larger.line;
    size_t slots = larger.capacity * (sizeof *larger.slot + sizeof *larger.hint);
    if (larger.capacity > SLOTS_MAX || !(larger.raw = tier__alloc(b, lines + slots)))
        return false;
    larger.line = (void *)(((uintptr_t)larger.raw + 127) & ~(uintptr_t)127);
    larger.slot = (void *)(larger.line + larger.capacity / 4 * 3);
    larger.hint = (void *)(larger.slot + larger.capacity);
    memset(larger.slot, 0, slots); /* of the lines those that a slot leads to are read, and no other */
    for (uint32_t i = 0; i < r->capacity; i++) {
        if (!r->slot[i].line)
            continue;
        const struct tier__recall_line *l = line_of(r, &r->slot[i]);
        struct tier__recall_slot *at = free_slot(&larger, l->hash);
        *at = r->slot[i];
        *line_of(&larger, at) = *l;
    }
    tier__free(b, r->raw);
    r->raw = larger.raw;
    r->line = larger.line;
    r->slot = larger.slot;
    r->hint = larger.hint;
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

/* Words that need no more than their line, or that the request's path has kept. */
static bool has_room(const tier_query *q, const tier__node *n, size_t path_size)
{
    return path_size <= TIER__RECALL_WORDS || strcmp(q->path, n->path->key) == 0;
}

static void put_words(struct tier__recall_line *l, const char *path, size_t size)
{
    if (size > TIER__RECALL_WORDS) {
        l->interned = l->node->path->key;
        l->words_left = TIER__RECALL_WORDS + 1;
    } else {
        memcpy(l->words, size ? path : "", size);
        l->words_left = (unsigned char)(TIER__RECALL_WORDS - size);
    }
}

void tier__recall_add(tier_session *s, const tier_query *q, tier__node *n, const tier__entry *e)
{
    tier_cache *c = s->cache;
    struct tier__recall *r = &s->recall;
    size_t path_size = q->path ? strlen(q->path) : 0;
    if (s->view->recorded) /* every request goes the long way, where it is */
        return;
    if (n->content || tier__entry_is(e, TIER__EXCLUSIVE) || (c->flags & TIER_NO_MEMORY) ||
        !has_room(q, n, path_size))
        return;
    uint64_t epoch = atomic_load_explicit(&c->recall_epoch, memory_order_relaxed);
    if (r->epoch != epoch && r->count) {
        memset(r->slot, 0, r->capacity * (sizeof *r->slot + sizeof *r->hint)); /* side by side */
        r->count = 0;
    }
    r->epoch = epoch;
    if (!grow(&c->base, r) || !counters(c, r, q->type))
        return;
    struct tier__recall_line l = {.hash = query_hash(q, path_size), .node = n, .type = q->type};
    put_words(&l, q->path, path_size);
    const struct tier__variant *bound = tier__bound(s, n); /* NULL: a stale answer, which is bound apart */
    bool is_bound = bound && tier__digest_equal(&bound->key, &e->key) &&
                    tier__digest_equal(&bound->hash, tier__entry_hash(e));
    if (!is_bound)
        return;
    l.version = tier__view_version(s->view, n->dep) - 1;
    struct tier__recall_slot *at = search(r, q, path_size); /* there: evicted since, and loaded again */
    if (!at) {
        at = free_slot(r, l.hash);
        at->line = ++r->count;
    }
    *line_of(r, at) = l;
    put_spot(c->memory, r, at, e);
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
