/* replay.h - what a policy and a budget would have made of a trace: the policies of the memory itself, in the
 * memory's shards and order of eviction, over headers without values.
 *
 * A HIT of the trace that the replay misses comes in at once; a MISS that it misses too comes in with its
 * PUT. So a replay at the budget and with the policy of the recording repeats it. */
#ifndef TIER_REPLAY_H
#define TIER_REPLAY_H
#include "tiers/policy.h"
#include "tiers/trace.h"

struct tier__replay_options {
    const struct tier__policy *policy; /* NULL: Belady's, by next use, with all to come known */
    int tier;
    uint64_t budget;
    uint32_t shards; /* a power of two up to 64; 0: 64, as the memory has */
    bool keep_dead;  /* superseded entries stay until they are evicted */
};

struct tier__replay_result {
    uint64_t gets, hits, bytes, hit_bytes;
    uint64_t cost_us, hit_cost_us; /* of computing what was asked for; of that, what hits saved */
    uint64_t unsized;              /* gets of keys that never came in: not counted above */
    uint64_t evicted;
};

/* Distinct keys of tier that were in memory at some time, and their bytes: what a budget that never evicts
 * holds. */
uint64_t tier__trace_footprint(const struct tier__trace *t, int tier, uint64_t *keys);
/* TIER_ENOMEM. */
int tier__replay(const struct tier__trace *t, const struct tier__replay_options *o,
                 struct tier__replay_result *result);
int tier__replay_belady(const struct tier__trace *t, const struct tier__replay_options *o,
                        struct tier__replay_result *result);
#endif
