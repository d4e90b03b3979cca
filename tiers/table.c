/* table.c - the sharded table: its life, inserting, removing. Finding is in find.c. */
#include <sched.h>
#include <time.h>
#include "tiers/memory_private.h"

/* ---- create and destroy */

/* The policies' states of all are one block that the first of them owns. */
static bool init_shards(tier__memory *m, const struct tier__policy *policy)
{
    enum { TIERS = TIER__TIER_MAX - TIER__TIER_MIN + 1 };
    size_t size = (policy->state_size + 63) & ~(size_t)63;
    char *state = tier__zalloc(&m->own, (size_t)TIERS * TIER__SHARDS, size);
    if (!state)
        return false;
    for (int i = 0; i < TIER__SHARDS; i++) {
        tier__slots_init(&m->shard[i].slots);
        m->shard[i].tier = m->shard_tier[i];
        for (int t = TIER__TIER_MIN; t <= TIER__TIER_MAX; t++, state += size)
            tier__order_init(&m->shard[i].tier[t].order, policy, state, &m->ranks[t], (unsigned)i);
    }
    return true;
}

int tier__memory_create(struct tier__base *base, const struct tier__memory_options *o, tier__memory **out)
{
    void *raw;
    *out = NULL;
    const struct tier__policy *policy = tier__policy_named(o->policy);
    if (!policy)
        return TIER_EINVAL;
    tier__memory *m = tier__alloc_lines(base, sizeof *m, &raw);
    if (!m)
        return TIER_ENOMEM;
    memset(m, 0, sizeof *m);
    m->raw = raw;
    m->base = base;
    m->own.user = base->user;
    m->own.realloc = base->realloc;
    m->rounds = tier__on_c_heap(base);
    m->asks = policy->hit || o->recorder;
    if (!init_shards(m, policy)) {
        tier__free(base, raw);
        return TIER_ENOMEM;
    }
    m->recorder = o->recorder;
    for (int t = TIER__TIER_MIN; t <= TIER__TIER_MAX; t++)
        tier__ghosts_init(&m->ghosts[t]);
    atomic_init(&m->alive, 1);
    for (int t = TIER__TIER_MIN; t <= TIER__TIER_MAX; t++)
        tier__budget_limit(&m->budget[t], o->budget[t]);
    tier__slab_init(m);
    *out = m;
    return TIER_OK;
}

/* What the shards own; their locks stay, see tier__memory_forget. */
static void fini_shards(tier__memory *m)
{
    for (int i = 0; i < TIER__SHARDS; i++) {
        struct tier__shard *s = &m->shard[i];
        for (int t = TIER__TIER_MIN; t <= TIER__TIER_MAX; t++)
            if (s->tier[t].order.policy->fini)
                s->tier[t].order.policy->fini(&m->own, s->tier[t].order.state);
        tier__free(&m->own, s->slots.raw);
    }
    tier__free(&m->own, m->shard[0].tier[TIER__TIER_MIN].order.state);
    for (int t = TIER__TIER_MIN; t <= TIER__TIER_MAX; t++)
        tier__ghosts_fini(&m->own, &m->ghosts[t]);
}

void tier__memory_destroy(tier__memory **pm)
{
    tier__memory *m = *pm;
    *pm = NULL;
    if (!m)
        return;
    tier__memory_clear(m);
    tier__recorder_close(&m->recorder);
    fini_shards(m);
    for (int i = 0; i < TIER__POOLS; i++) {
        pthread_mutex_lock(&m->pool[i].lock);
        m->pool[i].gauge = NULL;
        pthread_mutex_unlock(&m->pool[i].lock);
    }
    m->base = NULL;
    tier__memory_forget(m);
}

void tier__lock_wait(atomic_uint *lock)
{
    enum { LOOKS = 100, YIELDS = 16, NAP_NS = 50000 };
    for (unsigned round = 0;; round++) {
        for (int i = 0; i < LOOKS; i++) {
            unsigned open = 0;
            if (!atomic_load_explicit(lock, memory_order_relaxed) &&
                atomic_compare_exchange_strong_explicit(lock, &open, 1, memory_order_acquire,
                                                        memory_order_relaxed))
                return;
        }
        if (round < YIELDS)
            sched_yield();
        else
            nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
    }
}

void tier__memory_forget(tier__memory *m)
{
    if (atomic_fetch_sub_explicit(&m->alive, 1, memory_order_acq_rel) != 1)
        return;
    /* Only here nobody has an entry to unref: one that saw its entry parked just before the memory closed may
     * have waited for the shard's lock, to find that the entry is parked no more. */
    struct tier__base own = m->own;
    tier__slab_fini(m);
    tier__retire_all(m);
    tier__free(&own, m->raw);
}

/* ---- leaving the table; with the shard's lock held */

void tier__shard_leave(struct tier__shard *s, tier__entry *e)
{
    tier__slots_remove(&s->slots, e);
    atomic_fetch_add_explicit(&s->left, 1, memory_order_release);
    s->tier[tier__entry_tier(e)].entries--;
    tier__entry_unmark(e, TIER__RESIDENT);
}

void tier__shard_withdraw(struct tier__shard *s, tier__entry *e)
{
    if (tier__entry_is(e, TIER__PARKED)) {
        tier__entry_pin(e); /* before, so that its owner to come finds the mark or a reference */
        tier__entry_unmark(e, TIER__PARKED);
    } else {
        tier__order_leave(&s->tier[tier__entry_tier(e)].order, e);
    }
    tier__shard_leave(s, e);
}

/* Leaves, and the table lets go of it. */
static void expel(struct tier__shard *s, tier__entry *e, tier__entry **dead)
{
    tier__shard_withdraw(s, e);
    if (atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) == 1)
        tier__entry_die(e, dead);
}

void tier__memory_remove(tier__memory *m, int tier, const tier_digest *key)
{
    struct tier__shard *s = tier__shard_of(m, key);
    tier__entry *dead = NULL;
    tier__lock(&s->lock);
    tier__entry *e = tier__slots_find(&s->slots, tier, key);
    if (e)
        expel(s, e, &dead);
    tier__unlock(&s->lock);
    tier__entry_bury(dead);
}

void tier__memory_supersede(tier__memory *m, int tier, const tier_digest *key, bool remembered)
{
    struct tier__shard *s = tier__shard_of(m, key);
    tier__entry *dead = NULL;
    tier__lock(&s->lock);
    tier__entry *e = tier__slots_find(&s->slots, tier, key);
    if (e && remembered)
        expel(s, e, &dead);
    else if (e)
        tier__order_demote(&s->tier[tier].order, e, !tier__entry_is(e, TIER__PARKED));
    tier__unlock(&s->lock);
    tier__entry_bury(dead);
    if (e)
        tier__count(m->base, TIER__MEMORY_SUPERSEDED, 1);
    if (m->recorder)
        tier__recorder_note(m->recorder, TIER__TRACE_DEAD, tier, key, 0, 0);
}

/* ---- inserting */

static tier__entry *find_pinned(struct tier__shard *s, int tier, const tier_digest *key)
{
    tier__entry *e = tier__slots_find(&s->slots, tier, key);
    return e ? tier__entry_pin(e) : NULL;
}

static void account(tier__entry *e, unsigned where, uint64_t charge)
{
    atomic_store_explicit(&e->owner, (uint16_t)(tier__entry_owner(e) + where * (TIER__OWNER_MAX + 1)),
                          memory_order_relaxed);
    if (tier__entry_is(e, TIER__APART))
        tier__entry_side(e)->charge = charge;
}

static void lend(tier__memory *m, tier__entry *e, uint64_t charge)
{
    atomic_fetch_add_explicit(&m->budget[tier__entry_tier(e)].overdraft, charge, memory_order_relaxed);
    tier__count(m->base, TIER__MEMORY_OVERDRAFT, charge);
    account(e, TIER__LENT, charge);
}

/* Moves e's bytes into the tier's sum, paying with reserved bytes first, and gives the rest of those back.
 * false: no room; then e's bytes are overdraft. */
static bool keep(tier__memory *m, tier__entry *e, uint64_t reserved)
{
    struct tier__budget *b = &m->budget[tier__entry_tier(e)];
    uint64_t charge = tier__entry_weight(e);
    uint64_t old =
        tier__entry_account(e) ? tier__entry_charge(e) : 0; /* taken before, and perhaps another size now */
    uint64_t was = tier__entry_account(e) == TIER__KEPT ? old : 0, have = reserved + was;
    if (tier__entry_account(e) == TIER__LENT)
        atomic_fetch_sub_explicit(&b->overdraft, old, memory_order_relaxed);
    bool room = tier__memory_make_room(m, tier__entry_tier(e), charge > have ? charge - have : 0);
    if (reserved)
        atomic_fetch_sub_explicit(&b->reserved, reserved, memory_order_relaxed);
    if (room) {
        if (have > charge)
            tier__budget_give(b, have - charge);
        tier__count(m->base, TIER__MEMORY_BYTES, charge - was);
        account(e, TIER__KEPT, charge);
        return true;
    }
    tier__budget_give(b, have);
    tier__count(m->base, TIER__MEMORY_BYTES, -was);
    lend(m, e, charge);
    return false;
}

/* e was kept, but the table could not grow. */
static void lend_after_all(tier__memory *m, tier__entry *e)
{
    uint64_t charge = tier__entry_charge(e);
    tier__budget_give(&m->budget[tier__entry_tier(e)], charge);
    tier__count(m->base, TIER__MEMORY_BYTES, -charge);
    lend(m, e, charge);
}

/* false: out of memory. With the shard's lock held. */
static bool enter(tier__memory *m, struct tier__shard *s, tier__entry *e)
{
    struct tier__shard_tier *t = &s->tier[tier__entry_tier(e)];
    if (!tier__slots_reserve(m, &s->slots) || !tier__order_enter(&m->own, &t->order, e))
        return false;
    t->entries++;
    tier__entry_mark(e, TIER__RESIDENT);
    tier__slots_add(&s->slots, tier__entry_ref(e));
    return true;
}

/* Where e's key is taken: the entry to go on with, pinned; e is let go, unless it is exclusive, which nobody
 * else may see. */
static tier__entry *yield_to(tier__entry *there, tier__entry *e)
{
    if (there == e || tier__entry_is(e, TIER__EXCLUSIVE)) {
        tier__entry_unref(there);
        return e;
    }
    tier__entry_unref(e);
    return there;
}

/* With more memory it would have stayed. */
static void note_lent(tier__memory *m, const tier__entry *e)
{
    int tier = tier__entry_tier(e);
    struct tier__ghosts *g = &m->ghosts[tier];
    if (tier__ghosts_want(g, &e->key))
        tier__ghosts_evicted(&m->own, g,
                             &(struct tier__ghost){e->key, tier__entry_charge(e), tier__entry_cost(e),
                                                   tier__order_worth(&m->shard[0].tier[tier].order, e)},
                             tier__memory_budget(m, tier));
}

tier__entry *tier__memory_commit(tier__memory *m, tier__entry *e, uint64_t reserved)
{
    struct tier__shard *s = tier__shard_of(m, &e->key);
    int tier = tier__entry_tier(e);
    tier__lock(&s->lock);
    tier__entry *there = find_pinned(s, tier, &e->key);
    tier__unlock(&s->lock);
    if (there) { /* known before anything is evicted for it */
        if (reserved)
            tier__memory_release(m, tier, reserved);
        return yield_to(there, e);
    }
    bool kept = keep(m, e, reserved);
    if (m->recorder)
        tier__recorder_note(m->recorder, TIER__TRACE_PUT, tier, &e->key, tier__entry_charge(e),
                            tier__entry_cost(e));
    if (!kept) {
        note_lent(m, e);
        return e;
    }
    tier__lock(&s->lock);
    there = find_pinned(s, tier, &e->key);
    bool entered = there || enter(m, s, e);
    tier__unlock(&s->lock);
    if (there)
        return yield_to(there, e);
    if (!entered)
        lend_after_all(m, e);
    else if (tier__budget_over(&m->budget[tier])) /* the limit sank before e was there to be evicted */
        tier__memory_make_room(m, tier, 0);
    return e;
}

tier__entry *tier__memory_insert(tier__memory *m, tier__entry *e)
{
    return tier__memory_commit(m, e, 0);
}

/* ---- sweeping and counting */

static void sweep(tier__memory *m, uint16_t owner)
{
    for (int i = 0; i < TIER__SHARDS; i++) {
        struct tier__shard *s = &m->shard[i];
        tier__entry *dead = NULL;
        tier__lock(&s->lock);
        for (uint32_t at = 0; at < TIER__WAYS * s->slots.buckets;) {
            tier__entry *e = tier__slots_at(&s->slots, at);
            if (e && (!owner || tier__entry_owner(e) == owner)) {
                expel(s, e, &dead); /* what follows may move back to this slot: look again */
            } else {
                at++;
            }
        }
        tier__unlock(&s->lock);
        tier__entry_bury(dead);
    }
}

void tier__memory_clear(tier__memory *m)
{
    sweep(m, 0);
}

struct owned {
    uint64_t alive;
    uint16_t owner;
};

static void count_owned(void *user, tier__entry *e)
{
    struct owned *o = user;
    o->alive += tier__entry_owner(e) == o->owner;
}

uint64_t tier__memory_drop_owner(tier__memory *m, uint16_t owner)
{
    struct owned o = {.owner = owner};
    if (!owner)
        return 0;
    sweep(m, owner);
    tier__slab_each(m, count_owned, &o);
    return o.alive;
}

static void count_references(void *user, tier__entry *e)
{
    *(uint64_t *)user +=
        tier__entry_refs(e) + tier__entry_is(e, TIER__PARKED); /* as if it were the table's */
}

static uint64_t sum_tier(const tier__memory *cm, int tier, struct tier__memory_stats *out)
{
    tier__memory *m = (tier__memory *)cm; /* a mutex is locked: the contents do not change */
    for (int i = 0; i < TIER__SHARDS; i++) {
        struct tier__shard *s = &m->shard[i];
        tier__lock(&s->lock);
        out->entries += s->tier[tier].entries;
        out->hits += s->tier[tier].hits;
        out->misses += s->tier[tier].misses;
        out->evicted += s->tier[tier].evicted;
        tier__unlock(&s->lock);
    }
    for (int i = 0; i < TIER__STRIPES; i++)
        out->hits += atomic_load_explicit(&m->stripe[i].hits[tier - TIER__TIER_MIN], memory_order_relaxed);
    return out->entries;
}

uint64_t tier__memory_live(const tier__memory *m)
{
    uint64_t references = 0;
    uint64_t inside = atomic_load_explicit(&m->holds, memory_order_relaxed);
    for (int t = TIER__TIER_MIN; t <= TIER__TIER_MAX; t++) {
        struct tier__memory_stats s = {0};
        inside += sum_tier(m, t, &s);
    }
    tier__slab_each((tier__memory *)m, count_references, &references);
    return references > inside ? references - inside : 0; /* the parts are not seen at one instant */
}

void tier__memory_stats(const tier__memory *m, int tier, struct tier__memory_stats *out)
{
    const struct tier__budget *b = &m->budget[tier];
    *out = (struct tier__memory_stats){.budget = (uint64_t)atomic_load(&b->limit)};
    sum_tier(m, tier, out);
    struct tier__ghosts *g = (struct tier__ghosts *)&m->ghosts[tier]; /* a mutex is locked, as above */
    pthread_mutex_lock(&g->lock);
    memcpy(out->ghost_hits, g->hits, sizeof g->hits);
    memcpy(out->ghost_cost_us, g->cost_us, sizeof g->cost_us);
    pthread_mutex_unlock(&g->lock);
    out->reserved = atomic_load_explicit(&b->reserved, memory_order_relaxed);
    out->overdraft = atomic_load_explicit(&b->overdraft, memory_order_relaxed);
    uint64_t used = tier__budget_used(b);
    out->bytes = used > out->reserved ? used - out->reserved : 0;
}
