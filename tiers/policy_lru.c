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

static tier__entry *victim(struct tier__base *base, void *state)
{
    (void)base;
    struct tier__queue *q = state;
    for (uint64_t left = q->count < TIER__PINNED_SKIPS ? q->count : TIER__PINNED_SKIPS; left > 0; left--) {
        tier__entry *e = q->oldest;
        if (!tier__entry_pinned(e)) {
            tier__queue_unlink(q, e);
            return e;
        }
        hit(q, e); /* whoever pins it uses it now */
    }
    return NULL;
}

const struct tier__policy tier__policy_lru = {
    .name = "lru",
    .state_size = sizeof(struct tier__queue),
    .enter = enter,
    .hit = hit,
    .leave = leave,
    .victim = victim,
};
