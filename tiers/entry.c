/* entry.c - an entry's life, from a fresh header to the last reference. */
#include <assert.h>
#include "tiers/memory_private.h"

enum {
    HOLDS_FIRST = 4,
    /* Header in its slab (6272 / 64), slot (64 bytes a bucket, 7 * 0.74 of an entry's), and half to all of
     * a ghost of the policy, from the first eviction on. */
    HEADER_CHARGE = 98 + 12 + 1
};

/* What the heap takes for n bytes: of the C library, glibc's chunk of a size word and 16-byte steps (others
 * differ by little); of a host, what it was asked for. */
static uint64_t heap_bytes(bool rounds, uint64_t n)
{
    if (!rounds)
        return n;
    return n <= 24 ? 32 : (n + 8 + 15) & ~UINT64_C(15);
}

static uint32_t hold_capacity(uint32_t count)
{
    uint32_t capacity = count ? HOLDS_FIRST : 0;
    while (capacity < count)
        capacity *= 2;
    return capacity;
}

uint64_t tier__memory_charge(const tier__memory *m, size_t size)
{
    return HEADER_CHARGE + heap_bytes(!m || m->rounds, (uint64_t)size + 1);
}

uint64_t tier__entry_weight(const tier__entry *e)
{
    const tier__memory *m = tier__slab_of(e)->pool->memory;
    const struct tier__side *side = tier__entry_side(e);
    uint64_t weight = e->data ? tier__memory_charge(m, e->size) : HEADER_CHARGE;
    if (!side)
        return weight;
    weight += heap_bytes(m->rounds, sizeof *side);
    if (side->holds)
        weight += heap_bytes(m->rounds, hold_capacity(side->hold_count) * (uint64_t)sizeof *side->holds);
    /* An absurd weight must not wrap the sums: it is just too large for any budget. */
    return side->object_bytes > (size_t)INT64_MAX / 2 ? (uint64_t)INT64_MAX / 2 : weight + side->object_bytes;
}

uint64_t tier__entry_charge(const tier__entry *e)
{
    return tier__entry_is(e, TIER__APART) ? tier__entry_rest(e)->side->charge : tier__entry_weight(e);
}

tier__entry *tier__entry_new(tier__memory *m, int tier, size_t size)
{
    unsigned char *data = NULL;
    assert(tier >= TIER__TIER_MIN && tier <= TIER__TIER_MAX);
    if (size != SIZE_MAX) {
        data = size < UINT32_MAX ? tier__alloc(&m->own, size + 1) : NULL;
        if (!data)
            return NULL;
        data[size] = 0;
    }
    tier__entry *e = tier__slab_take(m);
    if (!e) {
        tier__free(&m->own, data);
        return NULL;
    }
    tier__entry_mark(e, (unsigned)tier);
    e->data = data;
    e->size = data ? (uint32_t)size : 0;
    return e;
}

static struct tier__base *base_of(const tier__entry *e)
{
    return &tier__slab_of(e)->pool->memory->own;
}

/* NULL: out of memory. */
static struct tier__side *side_made(tier__entry *e)
{
    struct tier__side *side = tier__entry_side(e);
    assert(!tier__entry_account(e));
    if (side || !(side = tier__zalloc(base_of(e), 1, sizeof *side)))
        return side;
    side->hash = *tier__entry_hash(e);
    tier__entry_rest(e)->side = side;
    tier__entry_mark(e, TIER__APART);
    return side;
}

int tier__entry_give(tier__entry *e, void *object, size_t bytes, void (*destroy)(void *object, void *user),
                     void *user)
{
    struct tier__side *side = side_made(e);
    if (!side)
        return TIER_ENOMEM;
    side->object = object;
    side->object_bytes = bytes;
    side->destroy = destroy;
    side->destroy_user = user;
    return TIER_OK;
}

int tier__entry_shrink(tier__entry *e, size_t size)
{
    assert(!tier__entry_account(e) && size <= e->size);
    unsigned char *data = tier__resize(base_of(e), e->data, size + 1);
    if (!data)
        return TIER_ENOMEM;
    data[size] = 0;
    e->data = data;
    e->size = (uint32_t)size;
    return TIER_OK;
}

/* 11 bits below the highest, and how far they are shifted; up to 4095 as it is. */
void tier__entry_set_cost(tier__entry *e, uint32_t us)
{
    unsigned shift = us >> 12 ? 20 - (unsigned)__builtin_clz(us) : 0;
    e->cost = (uint16_t)(us >> 11 ? (shift + 1) << 11 | (us >> shift & 2047) : us);
}

uint32_t tier__entry_cost(const tier__entry *e)
{
    unsigned shift = e->cost >> 11;
    return shift ? (2048u | (e->cost & 2047u)) << (shift - 1) : e->cost;
}

int tier__entry_hold(tier__entry *e, tier__entry *held)
{
    struct tier__side *side = side_made(e);
    assert(e != held);
    if (!side)
        return TIER_ENOMEM;
    if (side->hold_count == hold_capacity(side->hold_count)) {
        size_t size = hold_capacity(side->hold_count + 1) * sizeof *side->holds;
        tier__entry **holds = tier__resize(base_of(e), side->holds, size);
        if (!holds)
            return TIER_ENOMEM;
        side->holds = holds;
    }
    side->holds[side->hold_count++] = tier__entry_ref(held);
    atomic_fetch_add_explicit(&tier__slab_of(e)->pool->memory->holds, 1, memory_order_relaxed);
    return TIER_OK;
}

tier__entry *tier__entry_ref(tier__entry *e)
{
    unsigned refs = atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
    assert(refs); /* else it is dead */
    (void)refs;
    return e;
}

tier__entry *tier__entry_pin(tier__entry *e)
{
    unsigned refs = tier__entry_refs(e);
    while (!atomic_compare_exchange_weak_explicit(&e->refs, &refs, refs ? refs + 1 : 2, memory_order_acq_rel,
                                                  memory_order_relaxed))
        ;
    return e;
}

void tier__entry_die(tier__entry *e, tier__entry **dead)
{
    e->next_dead = *dead;
    *dead = e;
}

/* The last reference went, unless a parked entry was taken out of the table before this looks, and has one
 * for us again. */
static void own(tier__entry *e, tier__entry **dead)
{
    do {
        if (tier__entry_is(e, TIER__PARKED)) {
            if (tier__memory_unpark(tier__slab_of(e)->pool->memory, e, dead))
                return;
        } else if (!tier__entry_refs(e)) {
            tier__entry_die(e, dead);
            return;
        }
    } while (atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) == 1);
}

void tier__entry_drop(tier__entry *e, tier__entry **dead)
{
    if (atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) == 1)
        own(e, dead);
}

static void side_free(tier__memory *m, struct tier__side *side, tier__entry **dead)
{
    if (side->destroy && side->object)
        side->destroy(side->object, side->destroy_user);
    for (uint32_t i = 0; i < side->hold_count; i++)
        tier__entry_drop(side->holds[i], dead);
    if (side->hold_count)
        atomic_fetch_sub_explicit(&m->holds, side->hold_count, memory_order_relaxed);
    tier__free(&m->own, side->holds);
    tier__free(&m->own, side);
}

/* Gives e's own memory back; what it held and was the last to hold goes onto *dead. */
static void free_one(tier__entry *e, tier__entry **dead)
{
    tier__memory *m = tier__slab_of(e)->pool->memory;
    struct tier__budget *b = &m->budget[tier__entry_tier(e)];
    uint64_t kept = tier__entry_account(e) == TIER__KEPT ? tier__entry_charge(e) : 0;
    uint64_t lent = tier__entry_account(e) == TIER__LENT ? tier__entry_charge(e) : 0;
    if (tier__entry_is(e, TIER__APART))
        side_free(m, tier__entry_side(e), dead);
    tier__free(&m->own, e->data);
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
        dead = e->next_dead;
        free_one(e, &dead);
    }
}

void tier__entry_last(tier__entry *e)
{
    tier__entry *dead = NULL;
    own(e, &dead);
    tier__entry_bury(dead);
}
