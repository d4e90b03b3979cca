/* strike.c - builds that kill their process: what runs is marked where it outlives us, and what programs died
 * in several times in a row is refused, so that one bad type or one bad input does not bring the host down
 * again and again. See tiers/strikes.h.
 *
 * It is counted by type and by request. A build that ends clears both of its counts, so killed by chance (by
 * hand, by the memory limit, by a power cut) counts only if it is the same request each time, or a type of
 * which nothing ever ends, whatever is asked of it. */
#include "coherence/manager.h"
#include "tiers/strikes.h"

static struct tier__suspect suspect(const tier__node *n)
{
    return (struct tier__suspect){n->type->identity, n->identity, n->type->name};
}

int tier__strike_refuses(tier_session *s, const tier__node *n)
{
    tier_cache *c = s->cache;
    bool type;
    int64_t most = tier__profile_int(c->profile, TIER__KEY_CRASH_STRIKES);
    if (!c->store || !most)
        return 0;
    struct tier__suspect who = suspect(n);
    unsigned strikes = tier__strikes_of(c->store, &who, &type);
    if (strikes < (uint64_t)most)
        return 0;
    struct tier__buf b;
    tier__buf_init(&b, &c->base);
    tier__node_label(n, &b);
    tier__count(&c->base, TIER__CRASH_REFUSED, 1);
    int rc = tier__say(s, TIER_ETRANSIENT,
                       "%s is not built: programs died in %s %u times in a row; a new version of its code is "
                       "built again, this one a day after the last time, or at once with crash.strikes=0 "
                       "(TIERKIT_CRASH_STRIKES=0 in the environment)",
                       b.data ? (char *)b.data : n->type->name, type ? "builds of its type" : "its build",
                       strikes);
    tier__buf_fini(&b);
    return rc;
}

void tier__strike_begin(tier_session *s, const tier__node *n)
{
    tier_cache *c = s->cache;
    if (!c->store)
        return;
    if (s->marks++ == 0)
        s->mark_place = tier__strikes_place(c->store);
    struct tier__suspect who = suspect(n);
    tier__strikes_mark(c->store, s->mark_place, &who);
}

void tier__strike_end(tier_session *s, const tier__node *n)
{
    tier_cache *c = s->cache;
    if (!c->store)
        return;
    struct tier__suspect ended = suspect(n), outer;
    const tier__frame *f = s->frame;
    while (f && (!f->node || tier__forwards(f->node)))
        f = f->below;
    if (--s->marks && f)
        outer = suspect(f->node);
    tier__strikes_mark(c->store, s->mark_place, s->marks && f ? &outer : NULL);
    tier__strikes_clear(c->store, &ended);
}
