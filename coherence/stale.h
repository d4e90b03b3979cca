/* stale.h - old answers where a session asked for them (TIER_MAY_BE_STALE) and the profile permits it. */
#ifndef TIER_STALE_H
#define TIER_STALE_H
#include "coherence/manager.h"

struct tier__stale { /* by dependency id, in the view that it was given in: it gives the same again (I9) */
    struct tier__variant *variant; /* referenced; NULL: none */
    tier__entry *entry;            /* referenced; NULL: a failure, or lent to one at a time */
    int64_t since_ms;              /* when it was last known to be true */
};

bool tier__may_be_stale(const tier_session *s);
/* What this view was given for n before; v lives as long as the view, *e is the caller's. */
bool tier__stale_find(tier_session *s, const tier__node *n, struct tier__variant **v, tier__entry **e);
/* Makes the newest remembered answer to n this view's, unless it is a failure, invalidated, too old, or its
 * value is gone. */
bool tier__stale_take(tier_session *s, tier__node *n);
/* Makes what was built out of stale answers this view's, and nobody else's. false: no memory. */
bool tier__stale_keep(tier_session *s, const tier__node *n, const struct tier__built *b);
/* The running build was given n's stale answer: it is stale itself. The age in ms, for the caller. */
uint32_t tier__stale_given(tier_session *s, const tier__node *n);
void tier__stale_frame(tier__frame *f, int64_t since_ms);
void tier__stale_free(tier__view *v);
#endif
