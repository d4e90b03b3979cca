/* memory.h - the warmers' memory: one allocation seam, a set of byte strings, a growing text.
 *
 * The warmers are written against the public header alone, so that they run over any implementation of it;
 * no cache-wide allocator is in reach here, and all of their memory is gone when tier_warm returns.
 * Nothing in this file is safe to share between threads without a lock of the caller's. */
#ifndef TIER_WARM_MEMORY_H
#define TIER_WARM_MEMORY_H
#include <stddef.h>
#include <stdint.h>

/* Allocates (old NULL), resizes, or frees (size 0). NULL: out of memory, old is untouched. */
void *tier__warm_realloc(void *old, size_t size);

/* Makes room for `want` elements of `size` bytes in an array that holds *capacity; doubles.
 * TIER_ENOMEM leaves array and capacity as they were. */
int tier__warm_grow(void **array, size_t *capacity, size_t want, size_t size);

/* A text that grows. size excludes the 0 byte that ends it. Zero-initialise; fini frees. */
struct tier__text {
    char *data;
    size_t size, capacity;
};
int tier__text_put(struct tier__text *t, const char *data, size_t size); /* appends */
int tier__text_set(struct tier__text *t, const char *data, size_t size); /* replaces */
void tier__text_fini(struct tier__text *t);

/* A set of byte strings, numbered from 0 in the order they came. Zero-initialise; fini frees. */
struct tier__strings {
    char **text; /* text[number]; owned by the set, 0-terminated, never moves */
    size_t count, capacity;
    uint32_t *slot; /* open addressing; number + 1, 0: empty */
    size_t slots;
};
/* 1: was not there and has the number *number now. 0: was there. Negative: TIER_ENOMEM. */
int tier__strings_add(struct tier__strings *s, const char *text, size_t size, size_t *number);
void tier__strings_fini(struct tier__strings *s);
#endif
