/* ids.c - arrays by id whose elements never move, so that a reader needs no lock to keep a pointer. */
#include "coherence/manager.h"

void *tier__chunks_at(const struct tier__chunks *a, size_t i)
{
    size_t c = i / TIER__CHUNK;
    if (c >= a->chunk_count || !a->chunk[c])
        return NULL;
    return (char *)a->chunk[c] + (i % TIER__CHUNK) * a->element;
}

void *tier__chunks_make(struct tier__base *b, struct tier__chunks *a, size_t i)
{
    size_t c = i / TIER__CHUNK;
    if (c >= a->chunk_count) {
        size_t count = c + 1 > 2 * a->chunk_count ? c + 1 : 2 * a->chunk_count;
        void **grown = tier__resize(b, a->chunk, count * sizeof *grown);
        if (!grown)
            return NULL;
        memset(grown + a->chunk_count, 0, (count - a->chunk_count) * sizeof *grown);
        a->chunk = grown;
        a->chunk_count = count;
    }
    if (!a->chunk[c] && !(a->chunk[c] = tier__zalloc(b, TIER__CHUNK, a->element)))
        return NULL;
    return (char *)a->chunk[c] + (i % TIER__CHUNK) * a->element;
}

void tier__chunks_fini(struct tier__base *b, struct tier__chunks *a)
{
    for (size_t c = 0; c < a->chunk_count; c++)
        tier__free(b, a->chunk[c]);
    tier__free(b, a->chunk);
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
