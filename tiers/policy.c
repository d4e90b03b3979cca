/* policy.c - the policies by name, and what goes before any of them has its say. */
#include "tiers/policy.h"

static const struct tier__policy *const policies[] = {&tier__policy_s3fifo, &tier__policy_gdsf,
                                                      &tier__policy_lru};
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

bool tier__order_enter(struct tier__base *base, struct tier__order *o, tier__entry *e)
{
    if (e->queue != TIER__QUEUE_DEAD)
        return o->policy->enter(base, o->state, e);
    tier__queue_push(&o->dead, e);
    return true;
}

/* An undo, or a second path with this content. */
bool tier__order_revive(struct tier__base *base, struct tier__order *o, tier__entry *e, bool in)
{
    e->queue = 0;
    if (!in)
        return true;
    tier__queue_unlink(&o->dead, e);
    return o->policy->enter(base, o->state, e);
}

void tier__order_leave(struct tier__order *o, tier__entry *e)
{
    if (e->queue == TIER__QUEUE_DEAD)
        tier__queue_unlink(&o->dead, e);
    else
        o->policy->leave(o->state, e);
}

tier__entry *tier__order_victim(struct tier__order *o)
{
    tier__entry *e = o->dead.oldest;
    if (!e)
        return o->policy->victim(o->state);
    tier__queue_unlink(&o->dead, e);
    return e;
}

void tier__order_evicted(struct tier__base *base, struct tier__order *o, const tier__entry *e)
{
    if (o->policy->evicted && e->queue != TIER__QUEUE_DEAD)
        o->policy->evicted(base, o->state, e);
}

void tier__order_demote(struct tier__order *o, tier__entry *e, bool in)
{
    if (e->queue == TIER__QUEUE_DEAD)
        return;
    if (in)
        o->policy->leave(o->state, e);
    e->queue = TIER__QUEUE_DEAD;
    if (in)
        tier__queue_push(&o->dead, e);
}
