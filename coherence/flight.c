/* flight.c - identical requests in flight are computed once: within a view by activation of its slot, across
 * views of the process by the build itself. Nobody ever waits for himself: a wait that would close a circle
 * of one view is a computation cycle; one that passes through another view is not (its dependencies may be
 * other ones), so it goes on by itself. */
#include "coherence/manager.h"
#include <errno.h>
#include <time.h>

enum { WAIT_SLICE_MS = 50 }; /* between two looks at deadline and cancellation */

/* Does s resolve it already, itself or in the build that s was forked in? Asked first, as the search over
 * waits would take a fork's wait for another view's build for a part of this circle, and let it be built. */
static bool is_ours(const tier_session *s, const tier_session *active, uint32_t depth)
{
    if (active == s)
        return true;
    uint32_t limit = s->fork_depth;
    for (const tier_session *up = s->parent; up; up = up->parent) {
        if (active == up && depth <= limit)
            return true;
        limit = up->fork_depth;
    }
    return false;
}

/* To be waited for until it has left depth: marks it. true: it was not known to be. */
static bool must_leave(tier_session *s, uint32_t depth)
{
    if (s->mark <= depth)
        return false;
    s->mark = depth;
    return true;
}

static void unmark_all(tier_cache *c)
{
    for (tier_session *t = c->sessions; t; t = t->next)
        t->mark = TIER__UNMARKED;
}

/* Marks whom a marked session waits for, itself or through others: a build does not end before the forks that
 * were made in it, though what it asks for itself does. *across: for another view's build. Flight and world
 * lock held. */
static void spread(tier_cache *c, bool *across)
{
    for (bool more = true; more;) {
        more = false;
        for (tier_session *t = c->sessions; t; t = t->next) {
            if (t->mark == TIER__UNMARKED)
                continue;
            if (t->waits_for && must_leave(t->waits_for, t->waits_depth)) {
                more = true;
                *across |= t->waits_across;
            }
            for (tier_session *f = c->sessions; f; f = f->next)
                if (f->parent == t && f->fork_frame && f->fork_depth >= t->mark)
                    more |= must_leave(f, 0);
        }
    }
}

/* Would s wait for itself if it waited until other has left depth? Follows waits, and from a build to the
 * forks that it must join. *across: some wait on the way is for another view's build. Flight lock held. */
static bool waits_for_us(tier_session *s, tier_session *other, uint32_t depth, bool *across)
{
    tier_cache *c = s->cache;
    *across = false;
    pthread_mutex_lock(&c->world_lock);
    unmark_all(c);
    must_leave(other, depth);
    spread(c, across);
    bool circle = s->mark != TIER__UNMARKED;
    pthread_mutex_unlock(&c->world_lock);
    return circle;
}

static void wait_slice(tier_session *s, tier_session *other, uint32_t depth, tier__node *on, bool across)
{
    tier_cache *c = s->cache;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += WAIT_SLICE_MS * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    s->waits_for = other;
    s->waits_depth = depth;
    s->waits_on = on;
    s->waits_across = across;
    c->flight_waiters++;
    pthread_cond_timedwait(&c->flight_done, &c->flight, &until);
    c->flight_waiters--;
    s->waits_for = NULL;
}

/* s has done with n: who waits for that waits no more, though he still sleeps. Were it left to him, s could
 * ask for something of his before he wakes, and take his old wait for the other half of a circle. */
static void wake(tier_session *s, const tier__node *n, bool across)
{
    tier_cache *c = s->cache;
    if (!c->flight_waiters)
        return;
    pthread_mutex_lock(&c->world_lock);
    for (tier_session *t = c->sessions; t; t = t->next)
        if (t->waits_for == s && t->waits_on == n && t->waits_across == across)
            t->waits_for = NULL;
    pthread_mutex_unlock(&c->world_lock);
    pthread_cond_broadcast(&c->flight_done);
}

int tier__enter(tier_session *s, tier__node *n)
{
    tier_cache *c = s->cache;
    tier__view *v = s->view;
    bool waited = false;
    int rc;
    pthread_mutex_lock(&c->flight);
    for (;;) {
        pthread_mutex_lock(&v->lock);
        struct tier__slot *slot = tier__view_slot(v, n->dep);
        bool bound = slot && slot->variant;
        tier_session *active = slot ? slot->active : NULL;
        uint32_t depth = slot ? slot->depth : 0;
        if (slot && !bound && !active) {
            slot->active = s;
            slot->depth = ++s->depth;
        }
        pthread_mutex_unlock(&v->lock);
        bool across;
        if (!slot)
            rc = TIER_ENOMEM;
        else if (bound)
            rc = TIER__BOUND;
        else if (!active)
            rc = TIER__ENTERED;
        else if (is_ours(s, active, depth))
            rc = TIER_ECYCLE;
        else if (waits_for_us(s, active, depth, &across))
            rc = across ? TIER__BYPASS : TIER_ECYCLE;
        else if ((rc = tier_cancelled(s)) == 0) {
            wait_slice(s, active, depth, n, false);
            waited = true;
            continue;
        }
        break;
    }
    pthread_mutex_unlock(&c->flight);
    if (waited && rc == TIER__BOUND)
        tier__count(&c->base, TIER__FLIGHT_JOINED, 1);
    return rc;
}

void tier__leave(tier_session *s, tier__node *n)
{
    tier_cache *c = s->cache;
    pthread_mutex_lock(&c->flight);
    pthread_mutex_lock(&s->view->lock);
    struct tier__slot *slot = tier__view_slot(s->view, n->dep);
    slot->active = NULL;
    pthread_mutex_unlock(&s->view->lock);
    s->depth--;
    wake(s, n, false);
    pthread_mutex_unlock(&c->flight);
}

bool tier__build_enter(tier_session *s, tier__node *n)
{
    tier_cache *c = s->cache;
    bool across, waited = false;
    pthread_mutex_lock(&c->flight);
    while (n->building && n->building != s && n->building->view != s->view &&
           !waits_for_us(s, n->building, n->building_depth, &across) && !tier_cancelled(s)) {
        wait_slice(s, n->building, n->building_depth, n, true);
        waited = true;
    }
    if (!waited && !n->building) {
        n->building = s;
        n->building_depth = s->depth; /* entered: the forks that its build makes are of this depth */
    }
    pthread_mutex_unlock(&c->flight);
    if (waited)
        tier__count(&c->base, TIER__FLIGHT_JOINED, 1);
    return waited;
}

void tier__build_leave(tier_session *s, tier__node *n)
{
    tier_cache *c = s->cache;
    pthread_mutex_lock(&c->flight);
    if (n->building == s)
        n->building = NULL;
    wake(s, n, true);
    pthread_mutex_unlock(&c->flight);
}

void tier__holds(tier_session *s, int more)
{
    pthread_mutex_lock(&s->cache->flight);
    s->leases += (uint32_t)more;
    pthread_mutex_unlock(&s->cache->flight);
}

bool tier__holder_waits(tier_session *s)
{
    tier_cache *c = s->cache;
    bool across = false;
    pthread_mutex_lock(&c->flight);
    pthread_mutex_lock(&c->world_lock);
    for (tier_session *t = c->sessions; t; t = t->next)
        t->mark = t->leases > 0 ? 0 : TIER__UNMARKED;
    spread(c, &across);
    bool waits = s->mark != TIER__UNMARKED;
    pthread_mutex_unlock(&c->world_lock);
    pthread_mutex_unlock(&c->flight);
    return waits;
}
