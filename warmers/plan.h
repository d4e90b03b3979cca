/* plan.h - the order of a warming call and its byte budget.
 *
 * PLAN    A breadth-first queue over a visited set. One thread, the caller of tier_warm, adds items, in
 * order; each path comes once, at its least depth, because items are settled in the order they were added.
 *         Workers take items in that order and finish them in any.
 * BUDGET  Bytes are reserved before a file is loaded, and settled after: held, or given back. Reservations
 * are decided in the order items were taken, and a refusal waits until all earlier loads have settled, so
 *         what is warmed does not depend on the number of workers. held + reserved never exceeds the limit.
 */
#ifndef TIER_PLAN_H
#define TIER_PLAN_H
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "warmers/memory.h"
#include "warmers/resolve.h"

struct tier__item {
    const char *path; /* the plan's */
    uint32_t depth;
    int language;   /* row in scan.c; -1: none */
    int outcome;    /* TIER_WARM_..., once done */
    bool done;      /* under the plan's lock until it was waited for */
    bool cut_short; /* the scan gave up */
    uint64_t bytes; /* of the file, where it was read */
    struct tier__imports names;
};

struct tier__plan {
    pthread_mutex_t lock;
    pthread_cond_t more, finished;
    struct tier__item **item; /* each allocated by itself: workers hold them while the array grows */
    size_t count, capacity, taken;
    uint64_t turns; /* handed out with the items taken */
    bool closed;
    struct tier__strings paths; /* the visited set; its numbers are the items' */
};

int tier__plan_init(struct tier__plan *p);
void tier__plan_fini(struct tier__plan *p); /* no worker may be left */
/* Adds a path that was not met before. outcome other than 0: it is done already, no worker gets it.
 * TIER_ENOMEM. */
int tier__plan_add(struct tier__plan *p, const char *path, uint32_t depth, int language, int outcome);
/* The next item; waits for one, or returns NULL where wait is false or the plan was closed. */
struct tier__item *tier__plan_take(struct tier__plan *p, bool wait, uint64_t *turn);
void tier__plan_finish(struct tier__plan *p, struct tier__item *item);
/* Item i, once it is done. */
struct tier__item *tier__plan_wait(struct tier__plan *p, size_t i);
void tier__plan_close(struct tier__plan *p); /* workers that ask get NULL from here on */

struct tier__budget {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t limit, held, reserved;
    uint64_t turn;   /* whose decision is next */
    uint64_t flying; /* granted and not settled */
};
int tier__budget_init(struct tier__budget *b, uint64_t limit);
void tier__budget_fini(struct tier__budget *b);
/* Every turn is used exactly once: by reserve, or by pass where there is nothing to load. */
bool tier__budget_reserve(struct tier__budget *b, uint64_t turn, uint64_t bytes);
void tier__budget_pass(struct tier__budget *b, uint64_t turn);
/* Bytes out of turn, decided at once. */
bool tier__budget_extra(struct tier__budget *b, uint64_t bytes);
/* Ends a granted reservation; keep <= bytes of it are held from here on. */
void tier__budget_settle(struct tier__budget *b, uint64_t bytes, uint64_t keep);
#endif
