/* stream.h - the stream tier: a hub to which events are published, and bounded queues of subscribers.
 *
 * An event is one allocation with one sequence number, shared by all subscribers; a RESULT holds a reference
 * to its entry, so subscribers share the value as well. What a queue loses (overflow, expired wait, no
 * memory) is told by a gap at the place of the loss: gaps and events leave a queue in ascending sequence.
 *
 * LOCKS     publish (one event at a time, so that all queues have the same order) > list > a queue's own. A
 *           publisher that waits for a full TIER_BLOCK queue holds `publish` alone: consumers, opening and
 *           closing go on. It waits until block_ms after its call at most, not at all where the queue's
 *           consumer has taken nothing since an earlier wait expired, and never for a queue that the calling
 *           thread itself is pumping. Publish with no lock held that a consumer may need.
 * LIFETIME  Values and types in events live as long as the event. References are dropped with no lock held.
 * THREADS   hub: any. A subscriber: one consumer at a time; its fd may be polled by any thread. */
#ifndef TIER_STREAM_H
#define TIER_STREAM_H
#include "tiers/memory.h"

typedef struct tier__hub tier__hub;
typedef struct tier__subscriber tier__subscriber;

int tier__hub_create(struct tier__base *base, tier__hub **hub); /* TIER_ENOMEM */
/* NULL is fine. All subscribers are closed and nobody publishes any more. */
void tier__hub_destroy(tier__hub **hub);
unsigned tier__hub_subscribers(const tier__hub *hub); /* open ones: tier_close asks */
/* Whether some subscriber takes one of the kinds; a relaxed load, to skip the work of making an event. */
bool tier__hub_wants(const tier__hub *hub, uint32_t kinds);
/* Queues an event for all that take it. path may be NULL; it is copied. type may be NULL (CHANGED). entry may
 * be NULL; a reference is taken. */
void tier__hub_publish(tier__hub *hub, uint32_t kind, const char *path, const tier_type *type,
                       tier__entry *entry);
void tier__hub_gap(tier__hub *hub); /* an unknown number of events was lost before they came here */
/* The type goes away: its queued events become losses, subscribers of this type alone see gaps only. Returns
 * how many of its events are lent right now (the caller refuses with TIER_EBUSY where not 0). */
unsigned tier__hub_drop_type(tier__hub *hub, const tier_type *type);

struct tier__subscriber_options {
    const char *glob;      /* copied; NULL: all paths, and events without one */
    const tier_type *type; /* of INVALIDATED and RESULT; NULL: all */
    uint32_t kinds;        /* 0: all */
    uint32_t capacity;     /* events that wait at most; not 0 */
    uint32_t policy;       /* TIER_DROP_OLDEST, TIER_COALESCE (of a kind, type and path only the newest waits,
                              at the newest's place; events without a path do not coalesce), TIER_BLOCK */
    int64_t block_ms;
    bool late; /* nobody waits for it before it has taken something: tier__subscriber_offer comes first */
};
/* TIER_EINVAL: unknown kind or policy, capacity 0; TIER_ENOMEM. */
int tier__subscriber_open(tier__hub *hub, const struct tier__subscriber_options *o, tier__subscriber **s);
void tier__subscriber_close(tier__subscriber **s); /* NULL is fine */
/* Readable exactly while tier__subscriber_next would deliver; -1: the process has no descriptor left. */
int tier__subscriber_fd(const tier__subscriber *s);
/* Queues an event for this one alone, never waiting: the last results, for a late subscriber. */
void tier__subscriber_offer(tier__subscriber *s, uint32_t kind, const char *path, const tier_type *type,
                            tier__entry *entry);
/* Never waits: TIER_END where nothing is queued, TIER_EINVAL where e->struct_size is 0. What e points to is
 * lent until the next call on s. */
int tier__subscriber_next(tier__subscriber *s, tier_event *e);
/* Sleeps until something is queued or timeout_ms (< 0: no limit) have passed; for those without an fd. */
void tier__subscriber_wait(tier__subscriber *s, int64_t timeout_ms);
/* Between on and off the calling thread publishes on behalf of s and is never made to wait for it. */
void tier__subscriber_pumping(tier__subscriber *s, bool on);
#endif
