/* reverse.h - who read what: reverse edges, derived in memory (I7), and the cascade over them (I6).
 *
 * A vertex is a dependency id: a leaf (content of a path, an input...) or the RESULT of a request. For the
 * newest variant of each request there is an arc from each vertex that it read to its own. Arcs lie in arrays
 * (start, reader); those that came since stand in lists beside them, and when these have grown to a part of
 * the arrays, all is laid out anew, so that an arc costs the same however many there are. Arcs of variants
 * that are not the newest any more stay until then: a mark too many is allowed, one too few never.
 *
 * OPAQUE    A vertex whose own reads cannot be known (its type is not defined here, its record is gone or
 *           names what is gone) is marked by every event.
 * LIFE      Nothing is derived before somebody wants to be told of invalidations; from then on each change of
 *           a newest variant is noted and worked in by the next event. No memory: tier__reverse_ready says so
 *           and the caller tells a gap.
 * COST      1M requests with 10M arcs: laid out once, then a cascade through all of them takes 1.1 to 1.6
 *           times a bare breadth-first walk over the same arrays (make bench, group cascade).
 * LOCKS     tier_cache.marking before reading and graph: one event at a time works on this. */
#ifndef TIER_REVERSE_H
#define TIER_REVERSE_H
#include "coherence/manager.h"

struct tier__arc {
    uint32_t reader, next; /* next: index + 1 of the arc list, 0: the end */
};
struct tier__ids { /* a growing list of dependency ids */
    uint32_t *id;
    size_t count, capacity;
};
struct tier__reverse {
    uint32_t deps;                   /* how many vertices the arrays know */
    uint32_t *start, *reader;        /* of d: reader[start[d]] up to reader[start[d + 1]] */
    uint32_t *later, later_capacity; /* of d: its first arc in `arc`, + 1 */
    struct tier__arc *arc;           /* since the arrays were laid out; arc[0] is not used */
    size_t arc_count, arc_capacity;
    uint8_t *flag; /* by vertex */
    uint32_t flag_capacity;
    struct tier__ids todo, opaque; /* newest variant not worked in yet; opaque ones, some twice */
    bool lost;                     /* a note found no memory: begin anew */
};

/* The state of a request and the sequence of the event that it is due to, in one word, by dependency id;
 * graph lock held. */
static inline enum tier__state tier__mark_state(uint64_t mark)
{
    return (enum tier__state)(mark & 3);
}
static inline uint64_t tier__mark_of(uint64_t event, enum tier__state state)
{
    return event << 2 | (uint64_t)state;
}

/* n's newest variant is another one. Graph lock held; at once where nobody asked for reverse edges yet. */
void tier__reverse_note(tier_cache *c, const tier__node *n);
/* Works in what was noted; marking held, no other lock. Then graph is held, and c->reverse is whole. false:
 * no memory; graph is not held. */
bool tier__reverse_ready(tier_cache *c);
void tier__reverse_free(tier_cache *c);
bool tier__reverse_opaque(const struct tier__reverse *r, uint32_t dep);
/* Breadth-first from queue, which holds what is marked already: marks MAYBE and appends what reads it. Graph
 * lock held. false: no memory for the queue. */
bool tier__cascade(tier_cache *c, const struct tier__reverse *r, uint64_t event, struct tier__ids *queue);
/* Marks one vertex for event and appends it, unless it is marked for it. */
bool tier__cascade_mark(tier_cache *c, uint32_t dep, uint64_t event, enum tier__state state,
                        struct tier__ids *queue);
bool tier__ids_add(struct tier__base *b, struct tier__ids *l, uint32_t id);
void tier__ids_fini(struct tier__base *b, struct tier__ids *l);
#endif
