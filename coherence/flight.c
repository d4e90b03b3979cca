/* flight.c - identical requests in flight are computed once: within a view by activation of its slot, across
 * views of the process by the build itself. Nobody ever waits for himself: a wait that would close a circle
 * of one view is a computation cycle; one that passes through a wait for another view's build is not (its
 * dependencies may be other ones), so it goes on by itself. A build may also begin a session of its own and
 * ask there: that it is within the build shows by its thread alone. */
#include "coherence/manager.h"
#include <errno.h>
#include <time.h>

enum { WAIT_SLICE_MS = 50 }; /* between two looks at deadline and cancellation */

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

/* A marked build does not end before what was begun on its thread since then, in whatever session: builds,
 * and the wait that the thread is in. */
static bool spread_thread(tier_cache *c, const tier__frame *below)
{
    bool more = false;
    for (const tier__frame *f = c->running; f != below; f = f->older)
        if (pthread_equal(f->thread, below->thread))
            more |= must_leave(f->session, f->depth);
    for (tier_session *t = c->sessions; t; t = t->next)
        if (t->waits_for && pthread_equal(t->waits_thread, below->thread))
            more |= must_leave(t, t->depth + 1);
    return more;
}

/* Then the frame below it says as much. */
static bool above_marked(const tier__frame *f)
{
    const tier__frame *b = f->below;
    return b && b->session == f->session && b->session->mark <= b->depth &&
           pthread_equal(b->thread, f->thread);
}

/* Marks whom a marked session waits for, itself or through others: a build does not end before the forks that
 * were made in it, though what it asks for itself does. Waits for another view's build, which need not be,
 * count where they are asked for. Flight and world lock held. */
static void spread(tier_cache *c, bool across)
{
    for (bool more = true; more;) {
        more = false;
        for (tier_session *t = c->sessions; t; t = t->next) {
            if (t->mark == TIER__UNMARKED)
                continue;
            if (t->waits_for && (across || !t->waits_across))
                more |= must_leave(t->waits_for, t->waits_depth);
            for (tier_session *f = c->sessions; f; f = f->next)
                if (f->parent == t && f->fork_frame && f->fork_depth >= t->mark)
                    more |= must_leave(f, 0);
        }
        for (const tier__frame *f = c->running; f; f = f->older)
            if (f->session->mark <= f->depth && !above_marked(f))
                more |= spread_thread(c, f);
    }
}

/* Is it s, on this thread, that somebody marked waits for? */
static bool reached(const tier_session *s)
{
    bool here = s->mark != TIER__UNMARKED;
    for (const tier__frame *f = s->cache->running; f; f = f->older)
        here |= f->session->mark <= f->depth && pthread_equal(f->thread, pthread_self());
    return here;
}

/* Would s wait for itself if it waited until other has left depth? Follows waits, threads, and from a build
 * to the forks that it must join; across: and waits for other views' builds. Flight lock held. */
static bool waits_for_us(tier_session *s, tier_session *other, uint32_t depth, bool across)
{
    tier_cache *c = s->cache;
    pthread_mutex_lock(&c->world_lock);
    unmark_all(c);
    must_leave(other, depth);
    spread(c, across);
    bool circle = reached(s);
    pthread_mutex_unlock(&c->world_lock);
    return circle;
}

/* Is s asked within a build of n, though in another session, view or thread? Then that build needs its own
 * result, whatever the views see, and would begin itself again without end. Flight lock held. */
static bool within(tier_session *s, const tier__node *n)
{
    tier_cache *c = s->cache;
    if (!n->running)
        return false;
    pthread_mutex_lock(&c->world_lock);
    unmark_all(c);
    for (const tier__frame *f = c->running; f; f = f->older)
        if (f->node == n)
            must_leave(f->session, f->depth);
    spread(c, false);
    bool is = reached(s);
    pthread_mutex_unlock(&c->world_lock);
    return is;
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
    s->waits_thread = pthread_self();
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
        if (!slot)
            rc = TIER_ENOMEM;
        else if (bound)
            rc = TIER__BOUND;
        else if (!active)
            rc = TIER__ENTERED;
        else if (waits_for_us(s, active, depth, false))
            rc = TIER_ECYCLE;
        else if (waits_for_us(s, active, depth, true))
            rc = TIER__BYPASS;
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
    struct tier__slot *slot = tier__chunks_at(&s->view->slots, n->dep);
    slot->active = NULL;
    s->depth--;
    wake(s, n, false);
    pthread_mutex_unlock(&c->flight);
}

int tier__build_enter(tier_session *s, tier__node *n)
{
    tier_cache *c = s->cache;
    bool waited = false, cycle;
    pthread_mutex_lock(&c->flight);
    while (!(cycle = within(s, n)) && n->building && n->building != s && n->building->view != s->view &&
           !waits_for_us(s, n->building, n->building_depth, true) && !tier_cancelled(s)) {
        wait_slice(s, n->building, n->building_depth, n, true);
        waited = true;
    }
    if (!waited && !cycle && !n->building) {
        n->building = s;
        n->building_depth = s->depth + 1; /* of its frame */
    }
    pthread_mutex_unlock(&c->flight);
    if (waited)
        tier__count(&c->base, TIER__FLIGHT_JOINED, 1);
    return cycle ? tier__cycle(s, n) : waited;
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

bool tier__frame_enter(tier_session *s, tier__frame *f)
{
    tier_cache *c = s->cache;
    pthread_mutex_lock(&c->flight);
    bool cycle = within(s, f->node);
    if (!cycle) {
        f->session = s;
        f->thread = pthread_self();
        f->depth = ++s->depth;
        f->older = c->running;
        c->running = f;
        f->node->running++;
    }
    pthread_mutex_unlock(&c->flight);
    return !cycle;
}

void tier__frame_leave(tier_session *s, tier__frame *f)
{
    tier_cache *c = s->cache;
    pthread_mutex_lock(&c->flight);
    tier__frame **at = &c->running;
    while (*at && *at != f)
        at = &(*at)->older;
    if (*at) /* not so in a process that was forked in the build */
        *at = f->older;
    f->node->running--;
    s->depth--;
    pthread_mutex_unlock(&c->flight);
}

size_t tier__running_here(const tier_session *s, const tier__node *until, tier__node **chain, size_t count,
                          size_t most)
{
    pthread_mutex_lock(&s->cache->flight);
    for (const tier__frame *f = s->cache->running; f && count < most; f = f->older) {
        if (f->session == s || !pthread_equal(f->thread, pthread_self()))
            continue;
        chain[count++] = f->node;
        if (f->node == until)
            break;
    }
    pthread_mutex_unlock(&s->cache->flight);
    return count;
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
    pthread_mutex_lock(&c->flight);
    pthread_mutex_lock(&c->world_lock);
    for (tier_session *t = c->sessions; t; t = t->next)
        t->mark = t->leases > 0 ? 0 : TIER__UNMARKED;
    spread(c, true);
    bool waits = reached(s);
    pthread_mutex_unlock(&c->world_lock);
    pthread_mutex_unlock(&c->flight);
    return waits;
}
