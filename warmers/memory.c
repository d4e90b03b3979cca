/* memory.c - see memory.h. */
#include "warmers/memory.h"
#include "include/tierkit.h"
#include <stdlib.h>
#include <string.h>

void *tier__warm_realloc(void *old, size_t size)
{
    if (size == 0) {
        free(old);
        return NULL;
    }
    return realloc(old, size);
}

int tier__warm_grow(void **array, size_t *capacity, size_t want, size_t size)
{
    size_t next = *capacity ? *capacity : 16;
    void *grown;

    if (want <= *capacity)
        return TIER_OK;
    while (next < want) {
        if (next > SIZE_MAX / 2)
            return TIER_ENOMEM;
        next *= 2;
    }
    if (next > SIZE_MAX / size)
        return TIER_ENOMEM;
    grown = tier__warm_realloc(*array, next * size);
    if (!grown)
        return TIER_ENOMEM;
    *array = grown;
    *capacity = next;
    return TIER_OK;
}

int tier__text_put(struct tier__text *t, const char *data, size_t size)
{
    void *array = t->data;
    int rc;

    if (size > SIZE_MAX - t->size - 1)
        return TIER_ENOMEM;
    rc = tier__warm_grow(&array, &t->capacity, t->size + size + 1, 1);
    if (rc)
        return rc;
    t->data = (char *)array;
    if (size)
        memcpy(t->data + t->size, data, size);
    t->size += size;
    t->data[t->size] = 0;
    return TIER_OK;
}

int tier__text_set(struct tier__text *t, const char *data, size_t size)
{
    t->size = 0;
    return tier__text_put(t, data, size);
}

void tier__text_fini(struct tier__text *t)
{
    tier__warm_realloc(t->data, 0);
    memset(t, 0, sizeof *t);
}

/* FNV-1a, finished by a multiply-shift so that the low bits that choose the slot depend on all of it. */
static uint64_t hash_of(const char *text, size_t size)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    size_t i;

    for (i = 0; i < size; i++)
        h = (h ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
    h ^= h >> 32;
    h *= UINT64_C(0x9e3779b97f4a7c15);
    return h ^ (h >> 29);
}

static int rehash(struct tier__strings *s)
{
    size_t slots = s->slots ? s->slots * 2 : 64, i, at;
    uint32_t *slot = tier__warm_realloc(NULL, slots * sizeof *slot);

    if (!slot)
        return TIER_ENOMEM;
    memset(slot, 0, slots * sizeof *slot);
    for (i = 0; i < s->count; i++) {
        at = hash_of(s->text[i], strlen(s->text[i])) & (slots - 1);
        while (slot[at])
            at = (at + 1) & (slots - 1);
        slot[at] = (uint32_t)i + 1;
    }
    tier__warm_realloc(s->slot, 0);
    s->slot = slot;
    s->slots = slots;
    return TIER_OK;
}

int tier__strings_add(struct tier__strings *s, const char *text, size_t size, size_t *number)
{
    void *array = s->text;
    size_t at;
    char *copy;
    int rc;

    if (s->count * 2 >= s->slots && (rc = rehash(s)))
        return rc;
    at = hash_of(text, size) & (s->slots - 1);
    for (; s->slot[at]; at = (at + 1) & (s->slots - 1)) {
        const char *known = s->text[s->slot[at] - 1];
        if (strlen(known) == size && memcmp(known, text, size) == 0) {
            *number = s->slot[at] - 1;
            return 0;
        }
    }
    if (s->count >= UINT32_MAX - 1)
        return TIER_ENOMEM;
    rc = tier__warm_grow(&array, &s->capacity, s->count + 1, sizeof *s->text);
    if (rc)
        return rc;
    s->text = (char **)array;
    copy = tier__warm_realloc(NULL, size + 1);
    if (!copy)
        return TIER_ENOMEM;
    memcpy(copy, text, size);
    copy[size] = 0;
    *number = s->count;
    s->text[s->count++] = copy;
    s->slot[at] = (uint32_t)s->count;
    return 1;
}

void tier__strings_fini(struct tier__strings *s)
{
    size_t i;

    for (i = 0; i < s->count; i++)
        tier__warm_realloc(s->text[i], 0);
    tier__warm_realloc(s->text, 0);
    tier__warm_realloc(s->slot, 0);
    memset(s, 0, sizeof *s);
}
