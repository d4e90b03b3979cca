/* strikes.h - who died in what: marks of what a process computes right now, which outlive it, and how often
 * programs died in the same thing in a row.
 *
 * v1/strikes: a page of counts, then one page for each handle that has the store open, 64 places each,
 * mapped: a mark is a few stores to memory, no system call. A handle's page is locked as long as its process
 * lives; who builds something first looks at the pages that nobody locks, counts a strike for each mark in
 * them, and clears them. A count goes back to 0 when the thing comes to an end, and lapses a day after its
 * last strike.
 *
 * THREADS  any; a place belongs to one thread at a time. FORK  a child's handle is its own:
 * tier__store_forget. Everything here is advice: where the file cannot be had, nothing is marked and nothing
 * counts. */
#ifndef TIER_STRIKES_H
#define TIER_STRIKES_H
#include "tiers/store.h"

struct tier__suspect {
    tier_digest type, request; /* both are counted */
    const char *name;          /* of the type */
};
/* A place for marks, or -1. */
int tier__strikes_place(tier__store *st);
/* s is computed now; NULL: nothing, the place is given back. place -1 does nothing. */
void tier__strikes_mark(tier__store *st, int place, const struct tier__suspect *s);
/* How often in a row programs died in the type, or in the request: the larger one. Nanoseconds where there
 * are no counts at all. */
unsigned tier__strikes_of(tier__store *st, const struct tier__suspect *s, bool *type);
/* It came to an end, however it ended. */
void tier__strikes_clear(tier__store *st, const struct tier__suspect *s);
#endif
