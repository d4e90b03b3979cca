/* slab.c - entries' headers, 42 to an 8 KiB block of the heap. A block without entries goes back at once,
 * except the last one of its pool, so that one entry made and freed in turns costs no block each time. */
#include "tiers/memory_private.h"

enum { HEADERS = 42 };
#define ALL_FREE ((UINT64_C(1) << HEADERS) - 1)

struct tier__slab {
    _Alignas(64) struct tier__pool *pool;
    void *raw;
    uint64_t free_bits;
    struct tier__slab *all_before, *all_after, *free_before, *free_after;
    tier__memory *memory;
    tier__entry entry[HEADERS];
};
_Static_assert(sizeof(struct tier__entry) == 192, "three cache lines");
_Static_assert(sizeof(struct tier__slab) + 48 + 8 <= 8192, "two pages with the heap's own header");

void *tier__alloc_lines(struct tier__base *b, size_t size, void **raw)
{
    *raw = tier__alloc(b, size + 63);
    return *raw ? (void *)(((uintptr_t)*raw + 63) & ~(uintptr_t)63) : NULL;
}

static struct tier__slab *slab_of(tier__entry *e)
{
    return (struct tier__slab *)(void *)((char *)(e - e->place) - offsetof(struct tier__slab, entry));
}

static void link_free(struct tier__pool *p, struct tier__slab *s)
{
    s->free_before = NULL;
    s->free_after = p->free;
    if (p->free)
        p->free->free_before = s;
    p->free = s;
}

static void unlink_free(struct tier__pool *p, struct tier__slab *s)
{
    *(s->free_before ? &s->free_before->free_after : &p->free) = s->free_after;
    if (s->free_after)
        s->free_after->free_before = s->free_before;
}

static struct tier__slab *slab_new(tier__memory *m, struct tier__pool *p)
{
    void *raw;
    struct tier__slab *s = tier__alloc_lines(&m->own, sizeof *s, &raw);
    if (!s)
        return NULL;
    if ((uint64_t)(uintptr_t)s >>
        48) { /* five-level page tables, and only if the hook asks for such memory */
        tier__free(&m->own, raw);
        return NULL;
    }
    *s = (struct tier__slab){0};
    s->pool = p;
    s->raw = raw;
    s->free_bits = ALL_FREE;
    s->memory = m;
    s->all_after = p->all;
    if (p->all)
        p->all->all_before = s;
    p->all = s;
    link_free(p, s);
    return s;
}

static void slab_free(struct tier__pool *p, struct tier__slab *s)
{
    unlink_free(p, s);
    *(s->all_before ? &s->all_before->all_after : &p->all) = s->all_after;
    if (s->all_after)
        s->all_after->all_before = s->all_before;
    tier__free(&s->memory->own, s->raw);
}

static struct tier__pool *pool_of_thread(tier__memory *m)
{
    uint64_t thread = (uint64_t)(uintptr_t)pthread_self(); /* an address: its low bits are all alike */
    return &m->pool[(thread * UINT64_C(0x9e3779b97f4a7c15)) >> 60];
}
_Static_assert(TIER__POOLS == 16, "pool_of_thread takes four bits");

tier__entry *tier__slab_take(tier__memory *m)
{
    struct tier__pool *p = pool_of_thread(m);
    tier__entry *e = NULL;
    pthread_mutex_lock(&p->lock);
    struct tier__slab *s = p->free ? p->free : slab_new(m, p);
    if (s) {
        int place = __builtin_ctzll(s->free_bits);
        s->free_bits &= s->free_bits - 1;
        if (!s->free_bits)
            unlink_free(p, s);
        e = &s->entry[place];
        memset(e, 0, sizeof *e);
        e->place = (uint8_t)place;
        e->memory = m;
        e->magic = TIER__ENTRY_MAGIC;
        atomic_init(&e->refs, 1);
        atomic_fetch_add_explicit(&m->alive, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&p->lock);
    return e;
}

void tier__slab_give(tier__entry *e, uint64_t kept_bytes)
{
    struct tier__slab *s = slab_of(e);
    struct tier__pool *p = s->pool;
    pthread_mutex_lock(&p->lock);
    if (kept_bytes && p->gauge)
        tier__count(p->gauge, TIER__MEMORY_BYTES, -kept_bytes);
    e->magic = 0;
    if (!s->free_bits)
        link_free(p, s);
    s->free_bits |= UINT64_C(1) << e->place;
    if (s->free_bits == ALL_FREE && (s->free_before || s->free_after))
        slab_free(p, s);
    pthread_mutex_unlock(&p->lock);
}

void tier__slab_fini(tier__memory *m)
{
    for (int i = 0; i < TIER__POOLS; i++) {
        while (m->pool[i].all) /* no entry lives: the last block of the pool, kept back */
            slab_free(&m->pool[i], m->pool[i].all);
        pthread_mutex_destroy(&m->pool[i].lock);
    }
}

void tier__slab_each(tier__memory *m, void (*each)(void *user, tier__entry *e), void *user)
{
    for (int i = 0; i < TIER__POOLS; i++) {
        pthread_mutex_lock(&m->pool[i].lock);
        for (struct tier__slab *s = m->pool[i].all; s; s = s->all_after)
            for (uint64_t used = ~s->free_bits & ALL_FREE; used; used &= used - 1)
                each(user, &s->entry[__builtin_ctzll(used)]);
        pthread_mutex_unlock(&m->pool[i].lock);
    }
}
