/* budget.c - the governor: what is kept and reserved fits the limit of its tier at every instant, whatever
 * threads do (I12), and eviction across shards makes it so. */
#include "tiers/memory_private.h"

/* ---- the sums */

bool tier__budget_take(struct tier__budget *b, uint64_t bytes)
{
    int_fast64_t room = atomic_load_explicit(&b->room, memory_order_relaxed);
    do {
        if (room < 0 || bytes > (uint64_t)room)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&b->room, &room, room - (int64_t)bytes,
                                                    memory_order_acq_rel, memory_order_relaxed));
    return true;
}

void tier__budget_give(struct tier__budget *b, uint64_t bytes)
{
    atomic_fetch_add_explicit(&b->room, (int64_t)bytes, memory_order_acq_rel);
}

void tier__budget_limit(struct tier__budget *b, uint64_t limit)
{
    int64_t now = limit > INT64_MAX ? INT64_MAX : (int64_t)limit;
    int64_t was = atomic_exchange(&b->limit, now);
    /* From here on. Of two at once the differences add up, in either order. */
    atomic_fetch_add(&b->room, now - was);
}

uint64_t tier__budget_used(const struct tier__budget *b)
{
    int64_t limit, used;
    do {
        limit = atomic_load(&b->limit);
        used = limit - atomic_load(&b->room);
    } while (limit != atomic_load(&b->limit));
    return used > 0 ? (uint64_t)used : 0; /* between the two steps of tier__budget_limit */
}

/* ---- eviction */

/* Marked before, so that whoever drops the last pin knows. */
bool tier__memory_park(tier__entry *e)
{
    tier__entry_mark(e, TIER__PARKED);
    bool last = atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) == 1;
    if (last)
        tier__entry_unmark(e, TIER__PARKED);
    return !last;
}

/* e, which has no reference and is not in the policy, leaves for want of room. With the lock held. */
static void turn_out(tier__memory *m, struct tier__shard *s, tier__entry *e, tier__entry **dead)
{
    s->tier[tier__entry_tier(e)].evicted++;
    tier__count(m->base, TIER__MEMORY_EVICTED, 1);
    tier__shard_leave(s, e);
    tier__entry_die(e, dead);
}

bool tier__memory_unpark(tier__memory *m, tier__entry *e, tier__entry **dead)
{
    struct tier__shard *s = tier__shard_of(m, &e->key);
    int tier = tier__entry_tier(e);
    tier__lock(&s->lock);
    bool mine = !tier__entry_refs(e);
    if (mine) {
        tier__entry_unmark(e, TIER__PARKED);
        /* A parked entry is resident, so the memory is not closed yet, and its base is there. */
        if (tier__budget_over(&m->budget[tier]) || !tier__order_enter(&m->own, &s->tier[tier].order, e))
            turn_out(m, s, e, dead);
        else
            atomic_store_explicit(&e->refs, 1, memory_order_release);
    }
    tier__unlock(&s->lock);
    return mine;
}

/* Returns the bytes of the evicted entry itself (a charge is never 0); 0: it declined, or all that is left is
 * pinned. */
static uint64_t evict_from(tier__memory *m, struct tier__shard *s, int tier, bool patient, bool *declined)
{
    struct tier__order *order = &s->tier[tier].order;
    tier__entry *e, *dead = NULL;
    uint64_t bytes = 0;
    struct tier__ghost ghost = {.bytes = 0};
    tier__lock(&s->lock);
    do
        e = tier__order_victim(order, patient, declined);
    while (e && tier__memory_park(e));
    if (e) {
        tier__order_evicted(&m->own, order, e);
        bytes = tier__entry_charge(e);
        if (!tier__entry_is(e, TIER__SUPERSEDED) && tier__ghosts_want(&m->ghosts[tier], &e->key))
            ghost = (struct tier__ghost){e->key, bytes, tier__entry_cost(e), tier__order_worth(order, e)};
        turn_out(m, s, e, &dead);
    }
    tier__unlock(&s->lock);
    if (ghost.bytes)
        tier__ghosts_evicted(&m->own, &m->ghosts[tier], &ghost, tier__memory_budget(m, tier));
    tier__entry_bury(dead);
    return bytes;
}

/* Evicts one entry of tier: from the shard that would give the least; among equals, and where the policy has
 * no ranks, from the shards in turn, so that together they go round as one clock would. */
static uint64_t evict(tier__memory *m, int tier)
{
    enum { PATIENCE = 4 }; /* others may hit what comes to the top as fast as we look */
    unsigned hand = atomic_fetch_add_explicit(&m->hand, 1, memory_order_relaxed);
    uint64_t bytes = 0, tried = 0;
    for (int round = 0, at; !bytes; round++) {
        bool declined;
        at = tier__ranks_least(&m->ranks[tier], TIER__SHARDS, hand, tried);
        if (at < 0)
            break;
        bytes = evict_from(m, &m->shard[at], tier, round < PATIENCE, &declined);
        if (!bytes && !declined)
            tried |= UINT64_C(1) << at;
    }
    return bytes;
}

bool tier__memory_make_room(tier__memory *m, int tier, uint64_t bytes)
{
    struct tier__budget *b = &m->budget[tier];
    if (bytes > (uint64_t)atomic_load_explicit(&b->limit, memory_order_relaxed))
        return false;
    while (!tier__budget_take(b, bytes))
        if (!evict(m, tier))
            return false;
    return true;
}

uint64_t tier__memory_budget(const tier__memory *m, int tier)
{
    return (uint64_t)atomic_load_explicit(&m->budget[tier].limit, memory_order_relaxed);
}

/* What was parked may be on its way back, and its owner have looked before the limit sank: once each lock was
 * free, such an entry is there to be evicted. */
static void settle(tier__memory *m)
{
    for (int i = 0; i < TIER__SHARDS; i++) {
        tier__lock(&m->shard[i].lock);
        tier__unlock(&m->shard[i].lock);
    }
}

void tier__memory_limit(tier__memory *m, int tier, uint64_t bytes)
{
    tier__budget_limit(&m->budget[tier], bytes);
    if (tier__budget_over(&m->budget[tier])) {
        settle(m);
        tier__memory_make_room(m, tier, 0);
    }
}

uint64_t tier__memory_trim(tier__memory *m, int tier, uint64_t target)
{
    uint64_t used = tier__budget_used(&m->budget[tier]), freed = 0, more = 1;
    uint64_t excess = used > target ? used - target : 0;
    for (; used > target && freed < excess && more; freed += more) { /* others may go on inserting */
        more = evict(m, tier);
        used = tier__budget_used(&m->budget[tier]);
    }
    return used;
}

/* ---- reservations */

bool tier__memory_reserve(tier__memory *m, int tier, uint64_t bytes)
{
    if (!tier__memory_make_room(m, tier, bytes))
        return false;
    atomic_fetch_add_explicit(&m->budget[tier].reserved, bytes, memory_order_relaxed);
    return true;
}

void tier__memory_release(tier__memory *m, int tier, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&m->budget[tier].reserved, bytes, memory_order_relaxed);
    tier__budget_give(&m->budget[tier], bytes);
}
