/* explain.h - why a result was computed, down to the file; why it was not kept. */
#ifndef TIER_EXPLAIN_H
#define TIER_EXPLAIN_H
#include "coherence/manager.h"

struct tier__because { /* one step: why this was computed */
    tier__node *node;
    struct tier__variant *variant; /* referenced */
    struct tier__dep *dep;         /* what had changed; NULL: variant->cause.text is all that is known */
};
enum { TIER__BECAUSE_MAX = 64 };
/* The chain from v, which is n's: each step but the last one changed because the next one was computed. How
 * many steps; each holds a reference, dropped by tier__because_end. Causes are stored with their results, so
 * this works for what other processes computed, too, as far as variants are kept and types defined. */
size_t tier__because(tier_cache *c, tier__node *n, struct tier__variant *v,
                     struct tier__because step[TIER__BECAUSE_MAX]);
void tier__because_end(tier_cache *c, struct tier__because *step, size_t count);

/* Why the last answer to n was not kept (a copy); NULL: it was. */
void tier__unkept(tier_cache *c, const tier__node *n, const char *why);
void tier__unkept_get(tier_cache *c, const tier__node *n, struct tier__buf *why); /* empty: it was */
void tier__unkept_free(tier_cache *c);

/* ---- explain.c, explain_why.c: the parts of tier_explain */
enum tier__format { TIER__TEXT, TIER__JSON, TIER__DOT };
struct tier__telling {
    tier_session *s;
    enum tier__format format;
    struct tier__buf out;
    tier_sink *sink;
    void *user;
};
void tier__tell_quoted(struct tier__buf *b, const char *text, size_t size);
void tier__tell_value(const tier_digest *d,
                      struct tier__buf *b); /* an observed value, as a person reads it */
void tier__tell_why(struct tier__telling *t, tier__node *n, struct tier__variant *v);
void tier__tell_kept(struct tier__telling *t, const tier__node *n,
                     const struct tier__variant *v); /* v: or NULL */
void tier__tell_readers(struct tier__telling *t, const tier__node *n);
#endif
