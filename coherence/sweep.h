/* sweep.h - what the disk keeps (keep.results, keep.runs, retention.hours), and the log of bans kept short.
 *
 * A round walks the variants of the store once, in steps of a few milliseconds, in transactions that commit
 * something anyway, and at close. It drops what a ban strikes, what was not used for the profile's time and
 * delta results beyond its number; what was used in the last runs stays in any case. When it has reached the
 * end, every ban from before it began has done its work: their rows go, and the tail mark says up to where.
 *
 * USE is a row in `access` by content key: milliseconds since 1970. The use of a request is that of all that
 * lies below it in its closure, so a session in which nothing changed has one row to write, and that once in
 * an eighth of the retention time. Making is a use. RUNS are caches that committed something, told apart by
 * project; what a moment's use belonged to is told by when they ran. */
#ifndef TIER_SWEEP_H
#define TIER_SWEEP_H
#include "coherence/record.h"

/* ---- uses: when was what used, as the disk knows it */
struct tier__uses {
    struct tier__base *base;
    tier__store *store;
    tier__write *w; /* NULL: the store's last commit */
    struct tier__buf scratch;
    struct tier__use {
        uint64_t key; /* first bytes of a content key; 0: free */
        int64_t used_ms;
    } * at; /* of what lies below a request that was used; open addressing */
    size_t count, size;
};
/* Reads the closures. 0, TIER_ENOMEM or an error of the store. */
int tier__uses_load(struct tier__uses *u, struct tier__base *base, tier__store *store, tier__write *w);
void tier__uses_fini(struct tier__uses *u);
int64_t tier__uses_of(struct tier__uses *u, const tier_digest *key); /* INT64_MIN: not known */

/* ---- retention: what may go, as the settings and a moment have it */
struct tier__retention {
    int64_t now_ms;
    int64_t unused_ms; /* not used since: goes; INT64_MIN: time decides nothing */
    int64_t extra_ms;  /* delta results: beyond keep.results if not used since; INT64_MIN: none are */
};
bool tier__retained(const struct tier__retention *r, bool delta, int64_t used_ms);

/* ---- the sweep */
/* Writes down what this process has used since it last did, where that is news, and does a step where one is
 * due; with the results of w. now_ms: of the clock, or a test's. */
int tier__sweep(tier_cache *c, tier__write *w, int64_t now_ms);
/* At close, in a transaction of its own, where there is something to write. */
void tier__sweep_close(tier_cache *c, int64_t now_ms);
/* Results born before it were swept, or are about to be: they are stored no more. */
uint64_t tier__sweep_mark(tier_cache *c, tier__write *w);
/* The log's tail: rows up to it are gone, and what they banned is gone from the store. */
uint64_t tier__log_tail(tier__store *store, struct tier__base *base);
enum { TIER__SWEEP_STEP_MS = 10 };
#endif
