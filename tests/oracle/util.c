/* util.c - allocation, buffers, a hash map, digests and the table of errors of the oracle. */
#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/oracle/oracle.h"

void *o_grow(void *old, size_t size)
{
    void *p = realloc(old, size ? size : 1);

    if (!p)
        abort();
    return p;
}

void *o_alloc(size_t size)
{
    return memset(o_grow(NULL, size), 0, size ? size : 1);
}

char *o_copy(const void *data, size_t size)
{
    char *p = o_grow(NULL, size + 1);

    if (size)
        memcpy(p, data, size);
    p[size] = 0;
    return p;
}

static char *text_list(const char *format, va_list list)
{
    char *text = NULL;

    if (vasprintf(&text, format, list) < 0)
        abort();
    return text;
}

char *o_text(const char *format, ...)
{
    va_list list;
    char *text;

    va_start(list, format);
    text = text_list(format, list);
    va_end(list);
    return text;
}

int o_error(tier_session *s, int rc, const char *format, ...)
{
    struct o_frame *f;
    va_list list;
    char *text;
    bool sticky = rc == TIER_ECYCLE || rc == TIER_ECANCELED || rc == TIER_ETIMEOUT || rc == TIER_ENOMEM ||
                  rc == TIER_ECHANGED || rc == TIER_ETIER;

    va_start(list, format);
    text = text_list(format, list); /* may print the old detail: free that afterwards */
    va_end(list);
    free(s->detail);
    s->detail = text;
    pthread_mutex_lock(&s->view->lock);
    f = o_top(s);
    if (f && (f->request->type->def.flags & TIER_PATH_FREE) && rc == TIER_EINVAL)
        sticky = true;
    if (rc == TIER_ECHANGED)
        s->view->saw_change = true;
    if (f && sticky && !f->sticky) {
        f->sticky = rc;
        f->sticky_text = o_copy(text, strlen(text));
    }
    pthread_mutex_unlock(&s->view->lock);
    return rc;
}

void o_cache_detail(tier_cache *c, const char *format, ...)
{
    va_list list;
    char *text;

    va_start(list, format);
    text = text_list(format, list);
    va_end(list);
    pthread_mutex_lock(&c->lock);
    free(c->detail);
    c->detail = text;
    pthread_mutex_unlock(&c->lock);
}

int64_t o_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

tier_digest o_digest(const void *data, size_t size)
{
    tier_digest d;

    crypto_generichash(d.byte, sizeof d.byte, data, size, NULL, 0);
    return d;
}

int o_class(int errnum)
{
    switch (errnum) {
    case 0:
        return TIER_OK;
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case ENAMETOOLONG:
        return TIER_EABSENT;
    case EACCES:
    case EPERM:
        return TIER_EACCESS;
    case EISDIR:
        return TIER_EKIND;
    case ENOMEM:
        return TIER_ENOMEM;
    default:
        return TIER_EIO;
    }
}

void o_buf_add(struct o_buf *b, const void *data, size_t size)
{
    if (b->size + size + 1 > b->room) {
        b->room = (b->size + size + 1) * 2;
        b->data = o_grow(b->data, b->room);
    }
    if (size)
        memcpy(b->data + b->size, data, size);
    b->size += size;
    b->data[b->size] = 0;
}

void o_buf_text(struct o_buf *b, const char *text)
{
    o_buf_add(b, text, strlen(text));
}

void o_buf_field(struct o_buf *b, const void *data, size_t size)
{
    o_buf_add(b, &size, sizeof size);
    o_buf_add(b, data, size);
}

/* FNV-1a, 64 bits: good enough for a test's tables. */
static uint64_t map_hash(const void *key, size_t size)
{
    const unsigned char *p = key;
    uint64_t h = 14695981039346656037u;

    for (size_t i = 0; i < size; i++)
        h = (h ^ p[i]) * 1099511628211u;
    return h;
}

static struct o_map_node **map_find(struct o_map *m, const void *key, size_t size, uint64_t hash)
{
    struct o_map_node **n = &m->slot[hash % m->slots];

    while (*n && ((*n)->hash != hash || (*n)->key_size != size || memcmp((*n)->key, key, size)))
        n = &(*n)->next;
    return n;
}

static void map_resize(struct o_map *m)
{
    struct o_map bigger = {.slots = m->slots ? m->slots * 2 : 64, .count = m->count};

    bigger.slot = o_alloc(bigger.slots * sizeof *bigger.slot);
    for (size_t i = 0; i < m->slots; i++) {
        while (m->slot[i]) {
            struct o_map_node *n = m->slot[i];

            m->slot[i] = n->next;
            n->next = bigger.slot[n->hash % bigger.slots];
            bigger.slot[n->hash % bigger.slots] = n;
        }
    }
    free(m->slot);
    *m = bigger;
}

void **o_map_at(struct o_map *m, const void *key, size_t size, bool add)
{
    uint64_t hash = map_hash(key, size);
    struct o_map_node **n;

    if (m->count >= m->slots)
        map_resize(m);
    n = map_find(m, key, size, hash);
    if (!*n && !add)
        return NULL;
    if (!*n) {
        *n = o_alloc(sizeof **n + size + 1);
        (*n)->hash = hash;
        (*n)->key_size = size;
        if (size)
            memcpy((*n)->key, key, size);
        m->count++;
    }
    return &(*n)->value;
}

void *o_map_remove(struct o_map *m, const void *key, size_t size)
{
    struct o_map_node **at, *n;
    void *value;

    if (!m->slots)
        return NULL;
    at = map_find(m, key, size, map_hash(key, size));
    n = *at;
    if (!n)
        return NULL;
    value = n->value;
    *at = n->next;
    free(n);
    m->count--;
    return value;
}

void o_map_free(struct o_map *m, void (*each)(void *value))
{
    for (size_t i = 0; i < m->slots; i++) {
        while (m->slot[i]) {
            struct o_map_node *n = m->slot[i];

            m->slot[i] = n->next;
            if (each && n->value)
                each(n->value);
            free(n);
        }
    }
    free(m->slot);
    memset(m, 0, sizeof *m);
}

const char *tier_strerror(int rc)
{
    switch (rc) {
#define TEXT(name, number, text) \
    case number:                 \
        return text;
        TIER_ERRORS(TEXT)
#undef TEXT
    default:
        return "unknown error";
    }
}

const char *tier_errname(int rc)
{
    switch (rc) {
#define NAME(name, number, text) \
    case number:                 \
        return "TIER_" #name;
        TIER_ERRORS(NAME)
#undef NAME
    default:
        return "TIER_UNKNOWN";
    }
}
