/* policy.c - the policies by name, and what goes before any of them has its say. */
#include "tiers/policy.h"

static const struct tier__policy *const policies[] = {&tier__policy_worth, &tier__policy_s3fifo,
                                                      &tier__policy_gdsf, &tier__policy_lru};
enum { POLICIES = sizeof policies / sizeof *policies };

const struct tier__policy *tier__policy_at(size_t i)
{
    return i < POLICIES ? policies[i] : NULL;
}

const struct tier__policy *tier__policy_named(const char *name)
{
    if (!name)
        return policies[0];
    for (size_t i = 0; i < POLICIES; i++)
        if (strcmp(policies[i]->name, name) == 0)
            return policies[i];
    return NULL;
}

int tier__ranks_least(const struct tier__ranks *r, unsigned n, unsigned first, uint64_t tried)
{
    uint32_t least = TIER__RANK_NONE;
    int best = -1;
    for (unsigned i = 0; i < n; i++) {
        unsigned at = (first + i) & (n - 1);
        uint32_t rank = atomic_load_explicit(&r->next[at], memory_order_relaxed);
        if (rank < least && !(tried >> at & 1)) {
            least = rank;
            best = (int)at;
        }
    }
    return best;
}

/* ---- orders */
static uint32_t rank_of(struct tier__order *o)
{
    return o->dead.oldest || !o->policy->rank ? 0 : o->policy->rank(o->state);
}

static void tell(struct tier__order *o)
{
    atomic_uint *next = &o->ranks->next[o->shard];
    uint32_t rank = rank_of(o);
    if (rank != atomic_load_explicit(next, memory_order_relaxed)) /* a cache line that others read */
        atomic_store_explicit(next, rank, memory_order_relaxed);
}

void tier__order_init(struct tier__order *o, const struct tier__policy *policy, void *state,
                      struct tier__ranks *ranks, unsigned shard)
{
    *o = (struct tier__order){.policy = policy, .state = state, .ranks = ranks, .shard = shard};
    if (policy->init)
        policy->init(state, ranks);
    tell(o);
}

bool tier__order_enter(struct tier__base *base, struct tier__order *o, tier__entry *e)
{
    bool in = true;
    if (tier__entry_is(e, TIER__SUPERSEDED))
        tier__queue_push(&o->dead, e);
    else
        in = o->policy->enter(base, o->state, e);
    tell(o);
    return in;
}

/* An undo, or a second path with this content. */
bool tier__order_revive(struct tier__base *base, struct tier__order *o, tier__entry *e, bool in)
{
    tier__entry_unmark(e, TIER__SUPERSEDED);
    tier__entry_set_queue(e, 0);
    if (!in)
        return true;
    tier__queue_unlink(&o->dead, e);
    in = o->policy->enter(base, o->state, e);
    tell(o);
    return in;
}

void tier__order_leave(struct tier__order *o, tier__entry *e)
{
    if (tier__entry_is(e, TIER__SUPERSEDED))
        tier__queue_unlink(&o->dead, e);
    else
        o->policy->leave(o->state, e);
    tell(o);
}

tier__entry *tier__order_victim(struct tier__order *o, bool patient, bool *declined)
{
    uint32_t told = atomic_load_explicit(&o->ranks->next[o->shard], memory_order_relaxed);
    tell(o); /* hits are applied now */
    *declined = patient && o->policy->rank &&
                atomic_load_explicit(&o->ranks->next[o->shard], memory_order_relaxed) > told;
    if (*declined)
        return NULL;
    tier__entry *e = o->dead.oldest;
    if (e)
        tier__queue_unlink(&o->dead, e);
    else
        e = o->policy->victim(o->state);
    tell(o);
    return e;
}

float tier__order_worth(const struct tier__order *o, const tier__entry *e)
{
    return o->policy->worth ? o->policy->worth(o->state, e) : 0;
}

void tier__order_evicted(struct tier__base *base, struct tier__order *o, const tier__entry *e)
{
    if (o->policy->evicted && !tier__entry_is(e, TIER__SUPERSEDED))
        o->policy->evicted(base, o->state, e);
}

void tier__order_demote(struct tier__order *o, tier__entry *e, bool in)
{
    if (tier__entry_is(e, TIER__SUPERSEDED))
        return;
    if (in)
        o->policy->leave(o->state, e);
    tier__entry_mark(e, TIER__SUPERSEDED);
    if (in) {
        tier__queue_push(&o->dead, e);
        tell(o);
    }
}
