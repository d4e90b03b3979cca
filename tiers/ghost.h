/* ghost.h - what more memory would have served: what one tier evicted lately, in the order in which a larger
 * memory would have kept it, and how far down of that a miss lies. DESIGN 19 says how near that comes.
 *
 * The order is that of GreedyDual over the ghosts: what the policy says that an entry is worth, above that of
 * the last ghost that was forgotten; the later evicted before the earlier where that is equal, as it is for
 * LRU.
 *
 * A sample by hash of at most TIER__GHOSTS keys stands for all: where they run out, every second one goes,
 * and each of the others counts twice as much (C. Waldspurger and others, SHARDS, FAST 2015). Some 100 KiB a
 * tier, from the first eviction on, in no budget. Any thread; costs a comparison where a key is not in the
 * sample. */
#ifndef TIER_GHOST_H
#define TIER_GHOST_H
#include <pthread.h>
#include "tiers/base/base.h"
#include "tiers/digest.h"

enum { TIER__GHOSTS = 2048, TIER__GHOST_STEPS = 5 };
/* A budget more by an eighth, a quarter, a half, once, twice. */
static const unsigned tier__ghost_percent[TIER__GHOST_STEPS] = {12, 25, 50, 100, 200};

struct tier__ghost_node;
struct tier__ghosts {
    pthread_mutex_t lock;
    atomic_uint shift; /* one key in 2^shift */
    struct tier__ghost_node *node;
    uint16_t *head; /* by hash: a node's index + 1; 0: none */
    unsigned count; /* of nodes */
    float floor;
    uint64_t bytes, sequence;
    uint64_t hits[TIER__GHOST_STEPS],
        cost_us[TIER__GHOST_STEPS]; /* each step has those of the smaller ones */
};
void tier__ghosts_init(struct tier__ghosts *g);
void tier__ghosts_fini(struct tier__base *base, struct tier__ghosts *g);
static inline uint64_t tier__ghost_word(const tier_digest *key) /* its lower bits choose, the others place */
{
    uint64_t word;
    memcpy(&word, key->byte + 8, sizeof word);
    return word;
}
static inline bool tier__ghosts_want(const struct tier__ghosts *g, const tier_digest *key)
{
    unsigned shift = atomic_load_explicit(&g->shift, memory_order_relaxed);
    return !(tier__ghost_word(key) & ((UINT64_C(1) << shift) - 1));
}
struct tier__ghost {
    tier_digest key;
    uint64_t bytes;
    uint32_t cost_us;
    float worth; /* not negative */
};
/* budget: of the tier, now. Of keys that tier__ghosts_want. */
void tier__ghosts_evicted(struct tier__base *base, struct tier__ghosts *g, const struct tier__ghost *what,
                          uint64_t budget);
void tier__ghosts_missed(struct tier__ghosts *g, const tier_digest *key, uint64_t budget);
#endif
