/* slab.c - entries' headers, 64 to a block of the heap: first the lines that hits touch, then the value
 * hashes. A block without entries goes back at once, except the last one of its pool, so that one entry made
 * and freed in turns costs no block each time. */
#include "tiers/memory_private.h"

#define ALL_FREE UINT64_MAX
_Static_assert(TIER__SLAB_ENTRIES == 64, "a bit each");

void *tier__alloc_lines(struct tier__base *b, size_t size, void **raw)
{
    *raw = tier__alloc(b, size + 48); /* the heap aligns to 16 */
    return *raw ? (void *)(((uintptr_t)*raw + 63) & ~(uintptr_t)63) : NULL;
}

/* ---- numbers */

static union tier__number *number_at(const struct tier__numbers *n, uint32_t number)
{
    return atomic_load_explicit(&n->leaf[number / TIER__LEAF], memory_order_acquire) + number % TIER__LEAF;
}

/* 0: out of memory. With the pool's lock held. */
static uint32_t number_take(tier__memory *m, struct tier__slab *s)
{
    struct tier__numbers *n = &m->numbers;
    pthread_mutex_lock(&n->lock);
    uint32_t number = n->free;
    if (!number && n->count + 1 < TIER__LEAF * TIER__LEAVES) {
        uint32_t next = n->count + 1; /* 0 is nobody's */
        union tier__number *_Atomic *leaf = &n->leaf[next / TIER__LEAF];
        if (!*leaf)
            atomic_store_explicit(leaf, tier__alloc(&m->own, TIER__LEAF * sizeof **leaf),
                                  memory_order_release);
        if (*leaf)
            n->count = number = next;
    } else if (number) {
        n->free = number_at(n, number)->next_free;
    }
    if (number)
        number_at(n, number)->slab = s;
    pthread_mutex_unlock(&n->lock);
    return number;
}

static void number_give(tier__memory *m, uint32_t number)
{
    struct tier__numbers *n = &m->numbers;
    pthread_mutex_lock(&n->lock);
    number_at(n, number)->next_free = n->free;
    n->free = number;
    pthread_mutex_unlock(&n->lock);
}

uint32_t tier__slab_index(const tier__entry *e)
{
    const struct tier__slab *s = tier__slab_of(e);
    return s->number * TIER__SLAB_ENTRIES + (uint32_t)(e - s->entry);
}

tier__memory *tier__entry_memory(const tier__entry *e)
{
    return tier__slab_of(e)->memory;
}

tier__entry *tier__slab_in(const tier__memory *m, uint32_t index)
{
    return &number_at(&m->numbers, index / TIER__SLAB_ENTRIES)->slab->entry[index % TIER__SLAB_ENTRIES];
}

tier__entry *tier__slab_at(const tier__entry *any, uint32_t index)
{
    return index ? tier__slab_in(tier__slab_of(any)->memory, index) : NULL;
}

/* ---- slabs */

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
    /* More than 48 bits: five-level page tables, and only if the hook asks for such memory. */
    uint32_t number = (uint64_t)(uintptr_t)s >> 48 ? 0 : number_take(m, s);
    if (!number) {
        tier__free(&m->own, raw);
        return NULL;
    }
    memset(s, 0, offsetof(struct tier__slab, entry));
    s->pool = p;
    s->padding = (uint32_t)((char *)s - (char *)raw);
    s->number = number;
    s->free_bits = ALL_FREE;
    s->memory = m;
    for (unsigned i = 0; i < TIER__SLAB_ENTRIES; i++)
        atomic_init(&s->entry[i].place, (unsigned char)i);
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
    number_give(s->memory, s->number);
    tier__free(&s->memory->own, (char *)s - s->padding);
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
        memset(&s->rest[place], 0, sizeof s->rest[place]);
        atomic_init(&e->place, (unsigned char)place);
        atomic_init(&e->refs, 1);
        atomic_fetch_add_explicit(&m->alive, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&p->lock);
    return e;
}

void tier__slab_give(tier__entry *e, uint64_t kept_bytes)
{
    struct tier__slab *s = tier__slab_of(e);
    struct tier__pool *p = s->pool;
    pthread_mutex_lock(&p->lock);
    if (kept_bytes && p->gauge)
        tier__count(p->gauge, TIER__MEMORY_BYTES, -kept_bytes);
    if (!s->free_bits)
        link_free(p, s);
    s->free_bits |= UINT64_C(1) << (e - s->entry);
    if (s->free_bits == ALL_FREE && (s->free_before || s->free_after))
        slab_free(p, s);
    pthread_mutex_unlock(&p->lock);
}

void tier__slab_init(tier__memory *m)
{
    pthread_mutex_init(&m->numbers.lock, NULL);
    for (int i = 0; i < TIER__POOLS; i++) {
        pthread_mutex_init(&m->pool[i].lock, NULL);
        m->pool[i].gauge = m->base;
    }
}

void tier__slab_fini(tier__memory *m)
{
    for (int i = 0; i < TIER__POOLS; i++) {
        while (m->pool[i].all) /* no entry lives: the last block of the pool, kept back */
            slab_free(&m->pool[i], m->pool[i].all);
        pthread_mutex_destroy(&m->pool[i].lock);
    }
    for (int i = 0; i < TIER__LEAVES; i++)
        tier__free(&m->own, m->numbers.leaf[i]);
    pthread_mutex_destroy(&m->numbers.lock);
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

/* ---- queues through the entries */

void tier__queue_push(struct tier__queue *q, tier__entry *e)
{
    e->older = q->newest ? tier__slab_index(q->newest) : 0;
    e->newer = 0;
    if (q->newest)
        q->newest->newer = tier__slab_index(e);
    else
        q->oldest = e;
    q->newest = e;
    q->count++;
    q->bytes += tier__entry_charge(e);
}

void tier__queue_unlink(struct tier__queue *q, tier__entry *e)
{
    tier__entry *older = tier__slab_at(e, e->older), *newer = tier__slab_at(e, e->newer);
    if (older)
        older->newer = e->newer;
    else
        q->oldest = newer;
    if (newer)
        newer->older = e->older;
    else
        q->newest = older;
    q->count--;
    q->bytes -= tier__entry_charge(e);
}
