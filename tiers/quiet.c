/* quiet.c - memory that hits may be looking at though it was taken out: the buckets that a shard outgrew,
 * slabs without entries. It goes back once each thread was seen with no hit under way, after that: a reader
 * of before is then gone, and a later one cannot come to it. (Quiescent states, as of RCU, but of counters
 * that hits keep anyway: no thread registers, none waits.) Mostly that is at once. A thread that lost the
 * processor in a hit delays it to the next time; one that a fork left behind in a hit, for the child, to the
 * end. */
#include "tiers/memory_private.h"

#if defined __SANITIZE_THREAD__
#define NO_FENCES /* that it would know of */
#elif defined __has_feature
#if __has_feature(thread_sanitizer)
#define NO_FENCES
#endif
#endif

/* What ended is read first. Both only grow and no hit ends before it begins, so if they are equal, none was
 * under way when the last of them was read. */
static bool seen_idle(const struct tier__stripe *s)
{
    enum { LOOKS = 10 };
    for (int i = 0; i < LOOKS; i++) {
        uint64_t ended = atomic_load(&s->others);
        for (int t = 0; t < TIER__TIER_MAX; t++)
            ended += atomic_load(&s->hits[t]);
        if (ended == atomic_load(&s->begun))
            return true;
    }
    return false;
}

/* The fence: a hit that is not seen to have begun sees what was taken out before. */
static bool seen_quiet(const tier__memory *m)
{
#ifndef NO_FENCES
    atomic_thread_fence(memory_order_seq_cst);
#endif
    for (int i = 0; i < TIER__STRIPES; i++)
        if (!seen_idle(&m->stripe[i]))
            return false;
    return true;
}

/* ---- blocks that wait */

struct tier__waiting { /* in a part of the block that no hit reads */
    _Atomic(struct tier__waiting *) next;
    bool huge;
};

static struct tier__waiting *next_of(const struct tier__waiting *w)
{
    return atomic_load_explicit(&w->next, memory_order_relaxed);
}

static void chain(struct tier__retired *r, struct tier__waiting *first, struct tier__waiting *last)
{
    atomic_store_explicit(&last->next, r->first, memory_order_relaxed);
    r->first = first;
    r->last = r->last ? r->last : last;
}

static void free_all(tier__memory *m, struct tier__waiting *w)
{
    for (struct tier__waiting *next; w; w = next) {
        next = next_of(w);
        if (w->huge)
            tier__huge_give(w);
        else
            tier__free(&m->own, w);
    }
}

void tier__retire(tier__memory *m, void *block, bool huge)
{
    struct tier__retired *r = &m->retired;
    struct tier__waiting *w = block;
    if (!w)
        return;
    w->huge = huge;
    tier__lock(&r->lock);
    chain(r, w, w);
    struct tier__waiting *first = r->first, *last = r->last;
    r->first = r->last = NULL;
    tier__unlock(&r->lock);
    if (seen_quiet(m)) {
        free_all(m, first);
        return;
    }
    tier__lock(&r->lock);
    chain(r, first, last);
    tier__unlock(&r->lock);
}

void tier__retire_all(tier__memory *m)
{
    free_all(m, m->retired.first);
}
