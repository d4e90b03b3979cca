/* ids.c - arrays by id whose elements never move, so that a reader needs no lock to keep a pointer. */
#include "coherence/manager.h"

void *tier__chunks_at(const struct tier__chunks *a, size_t i)
{
    size_t c = i / TIER__CHUNK;
    if (c >= atomic_load_explicit(&a->chunk_count, memory_order_acquire))
        return NULL;
    tier__piece *chunk = atomic_load_explicit(&a->chunk, memory_order_acquire);
    void *piece = atomic_load_explicit(&chunk[c], memory_order_acquire);
    return piece ? (char *)piece + (i % TIER__CHUNK) * a->element : NULL;
}

/* Its first word leads to the one before. */
static bool chunks_grow(struct tier__base *b, struct tier__chunks *a, size_t least)
{
    size_t was = a->chunk_count, count = least > 2 * was ? least : 2 * was;
    tier__piece *old = a->chunk, *grown = tier__zalloc(b, count + 1, sizeof *grown);
    if (!grown)
        return false;
    atomic_init(grown++, old);
    for (size_t c = 0; c < was; c++)
        atomic_init(&grown[c], atomic_load_explicit(&old[c], memory_order_relaxed));
    atomic_store_explicit(&a->chunk, grown, memory_order_release);
    atomic_store_explicit(&a->chunk_count, count, memory_order_release);
    return true;
}

void *tier__chunks_make(struct tier__base *b, struct tier__chunks *a, size_t i)
{
    size_t c = i / TIER__CHUNK;
    if (c >= atomic_load_explicit(&a->chunk_count, memory_order_relaxed) && !chunks_grow(b, a, c + 1))
        return NULL;
    tier__piece *at = atomic_load_explicit(&a->chunk, memory_order_relaxed) + c;
    void *piece = atomic_load_explicit(at, memory_order_relaxed);
    if (!piece) {
        if (!(piece = tier__zalloc(b, TIER__CHUNK, a->element)))
            return NULL;
        atomic_store_explicit(at, piece, memory_order_release);
    }
    return (char *)piece + (i % TIER__CHUNK) * a->element;
}

void tier__chunks_fini(struct tier__base *b, struct tier__chunks *a)
{
    tier__piece *chunk = a->chunk;
    for (size_t c = 0; c < a->chunk_count; c++)
        tier__free(b, chunk[c]);
    for (tier__piece *before; chunk; chunk = before) {
        before = atomic_load(chunk - 1);
        tier__free(b, chunk - 1);
    }
    a->chunk = NULL;
    a->chunk_count = 0;
}

bool tier__table_grow(struct tier__base *b, struct tier__table_of *t, uint64_t (*hash)(void *),
                      void **(*chain)(void *))
{
    if (t->count < t->bucket_count)
        return true;
    size_t count = t->bucket_count ? t->bucket_count * 2 : 256;
    void **bucket = tier__zalloc(b, count, sizeof *bucket);
    if (!bucket)
        return t->bucket_count > 0; /* longer chains still work */
    for (size_t i = 0; i < t->bucket_count; i++) {
        for (void *e = t->bucket[i], *next; e; e = next) {
            next = *chain(e);
            void **at = &bucket[hash(e) & (count - 1)];
            *chain(e) = *at;
            *at = e;
        }
    }
    tier__free(b, t->bucket);
    t->bucket = bucket;
    t->bucket_count = count;
    return true;
}
