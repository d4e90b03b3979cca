/* slab.c - entries' headers, 64 to a slab: first the lines that hits touch, then the value hashes. A slab
 * without entries goes back to the heap at once, except the last one of its pool, so that one entry made and
 * freed in turns costs no block each time.
 *
 * RUNS  On the C library's heap a pool of many slabs takes them in runs of 2 MiB, which become one huge page
 *       once they are full: 100,000 entries are 2,400 small pages else, and a hit waited a quarter longer
 * (121 ns and 91; 220 and 205 at a million). Until then what is not used of a run is not touched either. A
 *       run goes back as a whole. */
#include <assert.h>
#include "tiers/memory_private.h"

#define ALL_FREE UINT64_MAX
enum {
    RUN_FROM = 128, /* slabs of a pool without runs: less than a megabyte */
    RUN_FRONT = 64
};
struct tier__run {
    unsigned made, empty; /* slabs ever taken from it; of these, without entries */
};
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
    return tier__slab_of(e)->pool->memory;
}

tier__entry *tier__slab_in(const tier__memory *m, uint32_t index)
{
    return &number_at(&m->numbers, index / TIER__SLAB_ENTRIES)->slab->entry[index % TIER__SLAB_ENTRIES];
}

tier__entry *tier__slab_at(const tier__entry *any, uint32_t index)
{
    return index ? tier__slab_in(tier__slab_of(any)->pool->memory, index) : NULL;
}

/* ---- slabs */

static void link_free(struct tier__pool *p, struct tier__slab *s)
{
    s->free_before = NULL;
    s->free_after = p->free;
    if (p->free)
        p->free->free_before = s;
    p->free = s;
    p->free_count++;
}

static void unlink_free(struct tier__pool *p, struct tier__slab *s)
{
    *(s->free_before ? &s->free_before->free_after : &p->free) = s->free_after;
    if (s->free_after)
        s->free_after->free_before = s->free_before;
    p->free_count--;
}

static struct tier__slab *slab_in_run(struct tier__run *run, unsigned i)
{
    uintptr_t first = ((uintptr_t)run + sizeof *run + RUN_FRONT - 1) & ~(uintptr_t)(RUN_FRONT - 1);
    return (struct tier__slab *)first + i;
}

static bool run_is_full(struct tier__run *run)
{
    return (char *)slab_in_run(run, run->made + 1) > (char *)run + TIER__HUGE;
}

/* Room in a run: the pool's, or a new one; NULL: slabs are to be had one by one. */
static struct tier__slab *slab_of_run(tier__memory *m, struct tier__pool *p, struct tier__run **run)
{
    if (!p->run) {
        if (!m->rounds || p->all_count < RUN_FROM || !(p->run = tier__huge_take()))
            return NULL;
    }
    *run = p->run;
    return slab_in_run(p->run, p->run->made);
}

static struct tier__slab *slab_new(tier__memory *m, struct tier__pool *p)
{
    void *raw = NULL;
    struct tier__run *run = NULL;
    struct tier__slab *s = slab_of_run(m, p, &run);
    if (!s && !(s = tier__alloc_lines(&m->own, sizeof *s, &raw)))
        return NULL;
    /* More than 48 bits: five-level page tables, and only if the hook asks for such memory. */
    uint32_t number = (uint64_t)(uintptr_t)s >> 48 ? 0 : number_take(m, s);
    if (!number) {
        tier__free(&m->own, raw);
        return NULL;
    }
    memset(s, 0, offsetof(struct tier__slab, entry));
    s->pool = p;
    s->run = run;
    s->padding = run ? 0 : (uint32_t)((char *)s - (char *)raw);
    s->number = number;
    s->free_bits = ALL_FREE;
    s->all_after = p->all;
    if (p->all)
        p->all->all_before = s;
    p->all = s;
    p->all_count++;
    link_free(p, s);
    if (run) {
        run->made++;
        run->empty++;
        if (run_is_full(run)) {
            tier__huge_full(run);
            p->run = NULL;
        }
    }
    return s;
}

/* Of every list; its memory stays. */
static void slab_forget(struct tier__pool *p, struct tier__slab *s)
{
    unlink_free(p, s);
    *(s->all_before ? &s->all_before->all_after : &p->all) = s->all_after;
    if (s->all_after)
        s->all_after->all_before = s->all_before;
    p->all_count--;
    number_give(p->memory, s->number);
}

/* With its run, if it has one: none of these has entries. */
static void slab_free(struct tier__pool *p, struct tier__slab *s)
{
    struct tier__run *run = s->run;
    void *raw = (char *)s - s->padding;
    if (run) {
        for (unsigned i = 0; i < run->made; i++)
            slab_forget(p, slab_in_run(run, i));
        p->run = p->run == run ? NULL : p->run;
        raw = run;
    } else {
        slab_forget(p, s);
    }
    tier__retire(p->memory, raw, run);
}

/* Has no entries, as the rest of its run, and there are others for the next entry. */
static bool is_spare(const struct tier__pool *p, const struct tier__slab *s)
{
    if (s->free_bits != ALL_FREE || (s->run && s->run->empty < s->run->made))
        return false;
    return p->free_count > (s->run ? s->run->made : 1);
}

static struct tier__pool *pool_of_thread(tier__memory *m)
{
    return &m->pool[tier__thread_hash() >> 60];
}
_Static_assert(TIER__POOLS == 16, "pool_of_thread takes four bits");

tier__entry *tier__slab_take(tier__memory *m)
{
    struct tier__pool *p = pool_of_thread(m);
    tier__entry *e = NULL;
    pthread_mutex_lock(&p->lock);
    struct tier__slab *s = p->free ? p->free : slab_new(m, p);
    if (s) {
        int index = __builtin_ctzll(s->free_bits);
        if (s->run && s->free_bits == ALL_FREE)
            s->run->empty--;
        s->free_bits &= s->free_bits - 1;
        if (!s->free_bits)
            unlink_free(p, s);
        e = &s->entry[index];
        memset(&e->key, 0, sizeof e->key);
        memset((char *)e + offsetof(tier__entry, owner), 0, sizeof *e - offsetof(tier__entry, owner));
        memset(&s->rest[index], 0, sizeof s->rest[index]);
        atomic_init(&e->state, (unsigned short)(index * TIER__INDEX));
        /* Last: hits of who was here before may come late, and look (find.c). */
        atomic_store_explicit(&e->refs, 1, memory_order_release);
        atomic_fetch_add_explicit(&m->alive, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&p->lock);
    return e;
}

void tier__slab_give(tier__entry *e, uint64_t kept_bytes)
{
    struct tier__slab *s = tier__slab_of(e);
    struct tier__pool *p = s->pool;
    assert(!atomic_load_explicit(&e->refs, memory_order_relaxed));
    pthread_mutex_lock(&p->lock);
    if (kept_bytes && p->gauge)
        tier__count(p->gauge, TIER__MEMORY_BYTES, -kept_bytes);
    if (!s->free_bits)
        link_free(p, s);
    s->free_bits |= UINT64_C(1) << (e - s->entry);
    if (s->run && s->free_bits == ALL_FREE)
        s->run->empty++;
    if (is_spare(p, s))
        slab_free(p, s);
    pthread_mutex_unlock(&p->lock);
}

void tier__slab_init(tier__memory *m)
{
    pthread_mutex_init(&m->numbers.lock, NULL);
    for (int i = 0; i < TIER__POOLS; i++) {
        pthread_mutex_init(&m->pool[i].lock, NULL);
        m->pool[i].memory = m;
        m->pool[i].gauge = m->base;
    }
}

void tier__slab_fini(tier__memory *m)
{
    for (int i = 0; i < TIER__POOLS; i++) {
        while (m->pool[i].all) /* no entry lives: the last slab or run of the pool, kept back */
            slab_free(&m->pool[i], m->pool[i].all);
        tier__huge_give(m->pool[i].run); /* no slab was to be had of it */
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

uint64_t tier__memory_mapped(const tier__memory *cm)
{
    tier__memory *m = (tier__memory *)cm; /* a mutex is locked: the contents do not change */
    uint64_t runs = 0;
    for (int i = 0; i < TIER__POOLS; i++) {
        pthread_mutex_lock(&m->pool[i].lock);
        for (struct tier__slab *s = m->pool[i].all; s; s = s->all_after)
            runs += s->run && s == slab_in_run(s->run, 0);
        pthread_mutex_unlock(&m->pool[i].lock);
    }
    return runs * TIER__HUGE;
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
