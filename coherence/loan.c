/* loan.c - the ends of loans: released, detached, or with their scope. */
#include "coherence/loan.h"

tier__loan *tier__loan_new(tier_session *s)
{
    return tier__alloc(&s->cache->base, sizeof(tier__loan));
}

static void loan_unlink(tier__loan *l)
{
    if (l->previous)
        l->previous->next = l->next;
    else
        l->scope->loans = l->next;
    if (l->next)
        l->next->previous = l->previous;
}

static inline void entry_back(tier_cache *c, tier__entry *e)
{
    if (e && tier__entry_is(e, TIER__EXCLUSIVE))
        e = tier__memory_insert(c->memory, e); /* the next session may have it */
    tier__entry_unref(e);
}

static inline void loan_free(tier_session *s, tier__loan *l)
{
    l->next = s->free_loans;
    s->free_loans = l;
}

int tier__lend_failed(tier_session *s, tier__entry *e)
{
    entry_back(s->cache, e);
    return tier__fail(s, TIER_ENOMEM, "no memory for a loan");
}

int tier__lend_memory(tier_session *s, void *memory)
{
    tier__loan *l = tier__loan_take(s);
    if (!l)
        return tier__fail(s, TIER_ENOMEM, "no memory for a loan");
    l->entry = NULL;
    l->memory = memory;
    tier__loan_link(tier__scope_of(s), l);
    return 0;
}

void tier__scope_end(tier_session *s, struct tier__scope *scope)
{
    while (scope->loans) {
        tier__loan *l = scope->loans;
        scope->loans = l->next;
        entry_back(s->cache, l->entry);
        tier__free(&s->cache->base, l->memory);
        loan_free(s, l);
    }
}

/* Of a loan that left its session. */
static int release_detached(tier_value *v)
{
    tier__loan *l = v->pin;
    tier_cache *c = v->reserved;
    if (l && !c)
        return TIER_EINVAL; /* it was not detached */
    *v = (tier_value){0};
    if (!l)
        return 0;
    pthread_mutex_lock(&c->world_lock);
    loan_unlink(l);
    c->detached--;
    pthread_mutex_unlock(&c->world_lock);
    entry_back(c, l->entry);
    tier__free(&c->base, l);
    return 0;
}

int tier_release(tier_session *s, tier_value *v)
{
    if (!v || (s && (s->magic != TIER__SESSION_MAGIC || v->reserved))) /* reserved: it left its session */
        return TIER_EINVAL;
    if (!s)
        return release_detached(v);
    tier__loan *l = v->pin;
    *v = (tier_value){0};
    if (!l)
        return 0;
    loan_unlink(l);
    tier__entry *e = l->entry;
    loan_free(s, l);
    entry_back(s->cache, e);
    return 0;
}

int tier_detach(tier_session *s, tier_value *v)
{
    if (!s || s->magic != TIER__SESSION_MAGIC || !v || !v->pin || v->reserved)
        return TIER_EINVAL;
    tier_cache *c = s->cache;
    tier__loan *l = v->pin;
    loan_unlink(l);
    pthread_mutex_lock(&c->world_lock);
    tier__loan_link(&c->detached_scope, l);
    c->detached++;
    pthread_mutex_unlock(&c->world_lock);
    v->reserved = c;
    return 0;
}
