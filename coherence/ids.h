/* ids.h - arrays by id, whose elements never move, and hash tables with chains through their elements.
 * THREADS   Both grow under a lock of their owner's. An element of an array is sought without: one that is
 * not there is not found, and what was written to it before its id was told is seen. */
#ifndef TIER_IDS_H
#define TIER_IDS_H
#include <stdatomic.h>
#include "tiers/base/base.h"

enum { TIER__CHUNK = 256 };          /* elements of one piece */
typedef _Atomic(void *) tier__piece; /* cleared when it comes */
struct tier__chunks {                /* a growing array whose elements never move */
    _Atomic(tier__piece *) chunk;    /* the shorter ones that it was before stay until the end */
    atomic_size_t chunk_count;
    size_t element;
};
struct tier__table_of { /* hash table with chains through the element */
    void **bucket;
    size_t bucket_count, count;
};
void *tier__chunks_at(const struct tier__chunks *a, size_t i); /* NULL: beyond */
void *tier__chunks_make(struct tier__base *b, struct tier__chunks *a,
                        size_t i); /* cleared; NULL: out of memory */
void tier__chunks_fini(struct tier__base *b, struct tier__chunks *a);
/* Room for one more element; false: out of memory. */
bool tier__table_grow(struct tier__base *b, struct tier__table_of *t, uint64_t (*hash)(void *),
                      void **(*chain)(void *));
#endif
