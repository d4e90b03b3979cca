/* run_replay.h - a recorded run held against what the store remembers: verification with what the log says
 * was seen in the place of the disk. */
#ifndef TIER_RUN_REPLAY_H
#define TIER_RUN_REPLAY_H
#include "coherence/admin_tell.h"
#include "coherence/run_log.h"

enum tier__outcome { TIER__SAME, TIER__DIFFERENT, TIER__GONE, TIER__UNKEPT, TIER__OUTCOMES };
struct tier__judged {
    enum tier__outcome outcome;
    const char *what;       /* static; "": nothing to add */
    uint32_t dep;           /* id of the first name that differs; 0: none does */
    bool seen;              /* the session looked at it */
    tier_digest then, kept; /* what the session saw; what the stored result has read */
};
struct tier__run_place { /* of what a view has seen, by name in the store */
    uint32_t view, id;
    size_t at;
};
struct tier__replay {
    struct tier__tell t;
    struct tier__run run;
    struct tier__run_place *place; /* sorted */
    size_t place_count;
    struct tier__buf record;
};
/* NULL: the view has not seen it. */
const struct tier__run_item *tier__replay_seen(const struct tier__replay *p, uint32_t view, uint32_t id);
/* Looks up the names of what was seen. */
int tier__replay_places(struct tier__replay *p);
void tier__replay_judge(struct tier__replay *p, const struct tier__run_item *i, struct tier__judged *out);
#endif
