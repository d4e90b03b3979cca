/* entry.c - an entry's life, from a fresh header to the last reference. */
#include <assert.h>
#include "tiers/memory_private.h"

enum {
    HOLDS_FIRST = 4,
    /* Header in its slab (8192 / 42), table slot at a mean load of 9/16 (14), half a ghost. Measured with
     * 64-byte values: the heap grew by 292 bytes an entry without evictions, charged are 296. */
    HEADER_CHARGE = 216
};

/* What the heap takes for n bytes: glibc's chunk of a size word and 16-byte steps; others differ by little.
 */
static uint64_t heap_bytes(uint64_t n)
{
    return n <= 24 ? 32 : (n + 8 + 15) & ~UINT64_C(15);
}

static uint32_t hold_capacity(uint32_t count)
{
    uint32_t capacity = count ? HOLDS_FIRST : 0;
    while (capacity < count)
        capacity *= 2;
    return capacity;
}

uint64_t tier__memory_charge(size_t size)
{
    return HEADER_CHARGE + heap_bytes((uint64_t)size + 1);
}

uint64_t tier__entry_charge(const tier__entry *e)
{
    uint64_t charge = e->room;
    if (e->holds)
        charge += heap_bytes(hold_capacity(e->hold_count) * (uint64_t)sizeof *e->holds);
    /* An absurd weight must not wrap the sums: it is just too large for any budget. */
    return e->object_bytes > (size_t)INT64_MAX / 2 ? (uint64_t)INT64_MAX / 2 : charge + e->object_bytes;
}

tier__entry *tier__entry_new(tier__memory *m, int tier, size_t size)
{
    unsigned char *data = NULL;
    assert(tier >= TIER__TIER_MIN && tier <= TIER__TIER_MAX);
    if (size != SIZE_MAX) {
        data = size < PTRDIFF_MAX ? tier__alloc(&m->own, size + 1) : NULL;
        if (!data)
            return NULL;
        data[size] = 0;
    }
    tier__entry *e = tier__slab_take(m);
    if (!e) {
        tier__free(&m->own, data);
        return NULL;
    }
    e->tier = (uint8_t)tier;
    e->data = data;
    e->size = data ? size : 0;
    e->room = data ? tier__memory_charge(size) : HEADER_CHARGE;
    return e;
}

int tier__entry_hold(tier__entry *e, tier__entry *held)
{
    assert(e != held && !e->account);
    if (e->hold_count == hold_capacity(e->hold_count)) {
        size_t size = hold_capacity(e->hold_count + 1) * sizeof *e->holds;
        tier__entry **holds = tier__resize(&e->memory->own, e->holds, size);
        if (!holds)
            return TIER_ENOMEM;
        e->holds = holds;
    }
    e->holds[e->hold_count++] = tier__entry_ref(held);
    atomic_fetch_add_explicit(&e->memory->holds, 1, memory_order_relaxed);
    return TIER_OK;
}

tier__entry *tier__entry_ref(tier__entry *e)
{
    assert(e->magic == TIER__ENTRY_MAGIC);
    atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
    return e;
}

void tier__entry_die(tier__entry *e, tier__entry **dead)
{
    e->older = *dead;
    *dead = e;
}

void tier__entry_drop(tier__entry *e, tier__entry **dead)
{
    assert(e->magic == TIER__ENTRY_MAGIC);
    unsigned refs = atomic_load_explicit(&e->refs, memory_order_relaxed);
    do {
        while (refs == (TIER__PARKED | 2)) {
            if (tier__memory_unpark(e->memory, e, dead))
                return;
            refs = atomic_load_explicit(&e->refs, memory_order_relaxed);
        }
    } while (!atomic_compare_exchange_weak_explicit(&e->refs, &refs, refs - 1, memory_order_acq_rel,
                                                    memory_order_relaxed));
    if (refs == 1)
        tier__entry_die(e, dead);
}

/* Gives e's own memory back; what it held and was the last to hold goes onto *dead. */
static void free_one(tier__entry *e, tier__entry **dead)
{
    tier__memory *m = e->memory;
    if (e->destroy && e->object)
        e->destroy(e->object, e->destroy_user);
    for (uint32_t i = 0; i < e->hold_count; i++)
        tier__entry_drop(e->holds[i], dead);
    if (e->hold_count)
        atomic_fetch_sub_explicit(&m->holds, e->hold_count, memory_order_relaxed);
    tier__free(&m->own, e->holds);
    tier__free(&m->own, e->data);
    struct tier__budget *b = &m->budget[e->tier];
    uint64_t kept = e->account == TIER__KEPT ? e->charge : 0;
    uint64_t lent = e->account == TIER__LENT ? e->charge : 0;
    tier__slab_give(e, kept);
    /* Last, so that the bytes are free in truth before another entry may have them. */
    if (lent)
        atomic_fetch_sub_explicit(&b->overdraft, lent, memory_order_relaxed);
    if (kept)
        tier__budget_give(b, kept);
    tier__memory_forget(m);
}

void tier__entry_bury(tier__entry *dead)
{
    while (dead) { /* a chain of holds becomes a list here, never a recursion */
        tier__entry *e = dead;
        dead = e->older;
        free_one(e, &dead);
    }
}

void tier__entry_unref(tier__entry *e)
{
    tier__entry *dead = NULL;
    if (!e)
        return;
    tier__entry_drop(e, &dead);
    tier__entry_bury(dead);
}
