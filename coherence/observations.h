/* observations.h - one view's observations told from outside, for tests. */
#ifndef TIER_OBSERVATIONS_H
#define TIER_OBSERVATIONS_H
#include "coherence/manager.h"

struct tier__observation {
    int kind;         /* TIER__K_... */
    const char *path; /* key path; NULL: none */
    uint32_t fields;  /* of STAT */
    const void *name; /* LISTING: glob; INPUT, ENV, CONFIG: name; RESULT: identity */
    size_t name_size;
    tier_digest value; /* as in content keys; a failure has a digest too */
};
/* What the view of s has observed by name; what it took over wholesale with a closure is not among it. */
int tier__observations(tier_session *s, void (*each)(void *user, const struct tier__observation *o),
                       void *user);
/* Observes one more, or what was observed before, without needing bytes that may be gone: fills o->value. */
int tier__observe(tier_session *s, struct tier__observation *o);
#endif
