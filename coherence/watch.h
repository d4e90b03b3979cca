/* watch.h - the watcher: which paths below the roots may have changed, told through tier__cache_changed.
 *
 * One inotify instance over all directories, entered recursively; .git directories and the cache directory
 * are left out, symbolic links are not followed. Nothing happens behind the caller's back: events wait in the
 * kernel until somebody drains, and are then told in batches, when none came for watch.settle.
 * What inotify cannot do (no watches left, network and FUSE file systems) is done by looking at every file
 * each watch.poll milliseconds, and logged once. While version control holds its lock (.git/index.lock,
 * .hg/wlock of a root or above it) a batch waits for it, 10 s at most. An overflow of the kernel's queue, and
 * a batch too large to remember, are told as "anything" (NULL). WHAT IS TOLD  The path that was written,
 * created, removed or renamed, and, where that is a directory, every path known below it. Not its parent:
 * whoever depends on a listing is marked through its entries. Sooner one path too many than one too few. NOT
 * SEEN  writes through hard links outside the roots, through shared mappings, below mounts made later (a
 * mount itself is told as "anything"). THREADS   any; upcalls are made on the draining thread with only the
 * watcher's flush lock held. */
#ifndef TIER_WATCH_H
#define TIER_WATCH_H
#include "coherence/doors.h"

struct tier__watch;
struct tier__watch_os;
struct tier__look;

/* Every change after the return is told. TIER_ENOMEM; anything else is worked around. os: NULL, but for
 * tests. */
int tier__watch_open(tier_cache *c, const struct tier__watch_os *os, struct tier__watch **w);
void tier__watch_close(struct tier__watch **w); /* NULL is fine */
/* The descriptors that are readable when draining is due: returns how many (0 to 2). They live as long as w.
 */
int tier__watch_fds(const struct tier__watch *w, int fds[2]);
/* Milliseconds until draining is due without any of them (where there is no timer descriptor left); -1: none.
 */
int64_t tier__watch_due(struct tier__watch *w);
/* Takes in what waits and tells the batches that have settled. Never sleeps. */
void tier__watch_drain(struct tier__watch *w);
/* Tells every change made before the call, settled or not. A file made in the cache directory and seen by the
 * same inotify instance is the barrier. TIER_ETIMEOUT after timeout_ms (< 0: no limit). */
int tier__watch_sync(struct tier__watch *w, int64_t timeout_ms);
bool tier__watch_polling(const struct tier__watch *w);

/* ---- looks that need no second look; see watch_vouch.c
 * A view that begins: takes in what waits. What the other calls are to be given as begun; 0: this watcher
 * vouches for nothing now (polling, no memory, more events than it could take). */
uint64_t tier__watch_begin(struct tier__watch *w);
/* The look at a path (by its interned id) as it was when the view began: rc, kind, id, observed_at. False:
 * have a look. */
bool tier__watch_vouches(struct tier__watch *w, uint32_t path, uint64_t begun, struct tier__look *out);
enum { TIER__WATCH_ANCHORS = 6 };
struct tier__watch_ticket { /* the watcher's business; copies are fine */
    uint64_t at, dev;
    uint32_t anchor[TIER__WATCH_ANCHORS];
    uint8_t anchors;
    char kind; /* as the watcher knows it; 0: absent */
};
/* Before and after a look at a path: has it remembered, where it can be vouched for. */
void tier__watch_ticket(struct tier__watch *w, uint32_t root, const char *rel, struct tier__watch_ticket *t);
void tier__watch_remember(struct tier__watch *w, uint32_t path, const struct tier__watch_ticket *t,
                          const struct tier__look *look);
#endif
