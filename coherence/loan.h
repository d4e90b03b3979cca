/* loan.h - lending a value: a reference that a scope holds until tier_release, or until the build or session
 * that took it ends. What a hit needs is inline: it is a third of what one costs.
 * THREADS   A session's own. */
#ifndef TIER_LOAN_H
#define TIER_LOAN_H
#include "coherence/manager.h"

tier__loan *tier__loan_new(tier_session *s); /* from the heap; NULL: out of memory */
/* No loan for e, which goes back. */
int tier__lend_failed(tier_session *s, tier__entry *e);

static inline tier__loan *tier__loan_take(tier_session *s)
{
    tier__loan *l = s->free_loans;
    if (__builtin_expect(!l, 0))
        return tier__loan_new(s);
    s->free_loans = l->next;
    return l;
}

static inline void tier__loan_link(struct tier__scope *scope, tier__loan *l)
{
    l->scope = scope;
    l->previous = NULL;
    l->next = scope->loans;
    if (l->next)
        l->next->previous = l;
    scope->loans = l;
}

static inline struct tier__scope *tier__scope_of(tier_session *s)
{
    return s->frame ? &s->frame->scope : &s->scope;
}

/* Takes over the reference. */
static inline int tier__lend(tier_session *s, tier__entry *e, uint32_t from, tier_value *v)
{
    tier__loan *l = tier__loan_take(s);
    if (__builtin_expect(!l, 0))
        return tier__lend_failed(s, e);
    l->entry = e;
    l->memory = NULL;
    tier__loan_link(tier__scope_of(s), l);
    *v = (tier_value){.data = e->data, .size = e->size, .from = from, .pin = l};
    if (__builtin_expect(tier__entry_is(e, TIER__APART), 0)) {
        v->object = tier__entry_object(e);
        v->hash = *tier__entry_hash(e);
    } else {
        v->hash = tier__entry_rest(e)->hash;
    }
    return 0;
}
int tier__lend_memory(tier_session *s, void *memory); /* freed with the scope */
void tier__scope_end(tier_session *s, struct tier__scope *scope);
#endif
