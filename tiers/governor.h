/* governor.h - how much each tier may keep, from moment to moment: the profile's budgets are the most, what
 * the machine has to spare lowers them, and memory moves between the file and the tree tier to where it saves
 * more time.
 *
 * PRESSURE  part = used / limit of the tightest limit (pressure.h). Above pressure.trim, or where tasks wait
 *           for memory, what is kept shrinks by what is too much; above pressure.hard at once by half, at
 *           least. A tier keeps pressure.keep of its budget under any pressure. When the pressure is gone the
 *           limits grow back, an eighth of the budgets a look, as long as that much stays below the mark.
 * SIZING    Of file and tree, whose budgets make one pool: what an eighth more would have saved lately
 *           (ghosts: cost of misses that it would have served), by the byte. Where one gains twice as much as
 *           the other, three looks running, a sixteenth of the pool moves. Neither falls below pressure.keep
 *           of its own budget.
 * THREADS   tier__governor_look from any thread; who comes while another looks goes on at once. */
#ifndef TIER_GOVERNOR_H
#define TIER_GOVERNOR_H
#include <pthread.h>
#include "tiers/base/pressure.h"
#include "tiers/memory.h"

enum { TIER__LOOK_MS = 1000 }; /* between two looks: one costs some 30 us, memory fills at some 100 MB/s */

struct tier__governor_options {
    uint64_t budget[5]; /* by tier: the most */
    double trim, hard, keep;
    bool sizing;
    const char *root; /* of /proc and /sys; "" but in tests; outlives the governor */
};
struct tier__governor {
    struct tier__governor_options o;
    uint64_t share[5]; /* of the budgets, as sizing has them; the sum is the budgets' */
    uint64_t total;    /* what all tiers together may keep now */
    uint64_t saved_us[5];
    unsigned toward, running; /* the tier that gains more, and how many looks it has */
    bool told;                /* the log was told of this pressure */
    atomic_int_fast64_t next; /* monotonic ms */
    pthread_mutex_t lock;
};
void tier__governor_init(struct tier__governor *g, const struct tier__governor_options *o);
void tier__governor_fini(struct tier__governor *g);
/* Looks, if it is time, and sets m's limits. b: counts and logs. */
void tier__governor_look(struct tier__governor *g, struct tier__base *b, tier__memory *m, int64_t now_ms);

/* ---- the decisions, without a machine */
/* kept: bytes that all tiers keep. Sets g->total. */
void tier__governor_press(struct tier__governor *g, const struct tier__pressure *p, uint64_t kept);
/* saved_us: what an eighth more would have saved so far, by tier. Whether g->share changed. */
bool tier__governor_size(struct tier__governor *g, const uint64_t saved_us[5]);
uint64_t tier__governor_limit(const struct tier__governor *g, int tier);
#endif
