/* policy_lru.c - least recently used, for comparison: a hit moves a list node, which the others avoid. */
#include "tiers/policy.h"

static bool enter(struct tier__base *base, void *state, tier__entry *e)
{
    (void)base;
    tier__queue_push(state, e);
    return true;
}

static void leave(void *state, tier__entry *e)
{
    tier__queue_unlink(state, e);
}

static void hit(void *state, tier__entry *e)
{
    tier__queue_unlink(state, e);
    tier__queue_push(state, e);
}

static tier__entry *victim(void *state)
{
    struct tier__queue *q = state;
    tier__entry *e = q->oldest;
    if (e)
        tier__queue_unlink(q, e);
    return e;
}

const struct tier__policy tier__policy_lru = {
    .name = "lru",
    .state_size = sizeof(struct tier__queue),
    .enter = enter,
    .hit = hit,
    .leave = leave,
    .victim = victim,
};
