/* alloc.c - the allocation seam. The host's hook must align as malloc does: values are promised 16 bytes. */
#include <stdlib.h>
#include "tiers/base/base.h"

static void *c_library(void *user, void *old, size_t size)
{
    (void)user;
    if (size == 0) { /* realloc(p, 0) is not a portable free */
        free(old);
        return NULL;
    }
    return realloc(old, size);
}

void tier__base_init(struct tier__base *b, const tier_options *o)
{
    b->user = o ? o->user : NULL;
    b->realloc = o && o->realloc ? o->realloc : c_library;
    b->log = o ? o->log : NULL;
    for (int m = 0; m < TIER__METRIC_COUNT; m++)
        atomic_init(&b->metric[m], 0);
}

bool tier__on_c_heap(const struct tier__base *b)
{
    return b->realloc == c_library;
}

void *tier__resize(struct tier__base *b, void *old, size_t size)
{
    if (size > PTRDIFF_MAX)
        return NULL;
    return b->realloc(b->user, old, size ? size : 1); /* 0 would free; NULL must mean out of memory */
}

void *tier__alloc(struct tier__base *b, size_t size)
{
    return tier__resize(b, NULL, size);
}

void *tier__zalloc(struct tier__base *b, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    void *p = tier__alloc(b, total);
    if (p)
        memset(p, 0, total);
    return p;
}

void tier__free(struct tier__base *b, void *p)
{
    if (p)
        b->realloc(b->user, p, 0);
}

void *tier__memdup0(struct tier__base *b, const void *data, size_t size)
{
    if (size == SIZE_MAX)
        return NULL;
    char *p = tier__alloc(b, size + 1);
    if (!p)
        return NULL;
    if (size)
        memcpy(p, data, size);
    p[size] = 0;
    return p;
}

char *tier__strdup(struct tier__base *b, const char *s)
{
    return tier__memdup0(b, s, strlen(s));
}
