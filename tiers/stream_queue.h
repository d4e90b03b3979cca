/* stream_queue.h - private to the stream tier: one subscriber's queue, without locks.
 *
 * Events wait in a list whose nodes are indexes into one array that grows up to the capacity. Losses are kept
 * with the event that follows them, or at the end, so that a gap needs no room of its own: telling a loss
 * cannot fail. */
#ifndef TIER_STREAM_QUEUE_H
#define TIER_STREAM_QUEUE_H
#include "tiers/memory.h"

struct tier__happening { /* an event; shared by the queues that hold it */
    atomic_uint refs;
    uint32_t kind;
    uint64_t sequence, hash; /* hash of kind, type and path */
    const tier_type *type;
    tier__entry *entry; /* referenced; NULL: none */
    struct tier__happening *next_dead;
    bool has_path;
    char path[];
};

struct tier__loss {
    uint64_t sequence; /* of the last event lost */
    uint32_t lost;     /* saturating */
    bool unknown;      /* and some more, nobody knows how many */
};
static inline bool tier__loss_any(const struct tier__loss *l)
{
    return l->lost || l->unknown;
}

struct tier__node;
struct tier__queue {
    struct tier__base *base;
    uint32_t capacity, policy;
    struct tier__node *nodes;
    uint32_t room, free, head, tail, count; /* indexes into nodes */
    uint32_t *buckets;                      /* TIER_COALESCE: by hash; room of them */
    struct tier__loss end_loss;             /* after the last event */
};
enum tier__put { TIER__QUEUED, TIER__LOST, TIER__FULL /* TIER_BLOCK: nothing was done */ };

/* One reference. NULL: out of memory. */
struct tier__happening *tier__happening_new(struct tier__base *base, uint32_t kind, const char *path,
                                            const tier_type *type, tier__entry *entry);
/* Drops a reference; the last one puts h on *dead, to be buried when no lock is held. */
void tier__happening_drop(struct tier__happening *h, struct tier__happening **dead);
void tier__happening_bury(struct tier__base *base, struct tier__happening *dead);

void tier__queue_init(struct tier__queue *q, struct tier__base *base, uint32_t capacity, uint32_t policy);
void tier__queue_fini(struct tier__queue *q, struct tier__happening **dead);
bool tier__queue_empty(const struct tier__queue *q); /* neither event nor loss */
/* Takes a reference of its own. *overtaken: how many older events were lost for it. */
enum tier__put tier__queue_put(struct tier__queue *q, struct tier__happening *h, uint32_t *overtaken,
                               struct tier__happening **dead);
void tier__queue_lose(struct tier__queue *q, struct tier__loss loss); /* at the end */
/* The next event, its reference handed over; or NULL and the loss that comes first; or NULL and no loss. */
struct tier__happening *tier__queue_take(struct tier__queue *q, struct tier__loss *loss);
/* Turns the type's events into losses; returns how many. */
uint32_t tier__queue_drop_type(struct tier__queue *q, const tier_type *type, struct tier__happening **dead);
#endif
