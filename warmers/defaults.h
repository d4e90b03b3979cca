/* defaults.h - what tier_warm does where its options are silent. */
#ifndef TIER_WARM_DEFAULTS_H
#define TIER_WARM_DEFAULTS_H
#include "include/tierkit.h"

struct tier__warm_defaults {
    uint64_t free_bytes; /* of the file tier */
    uint32_t jobs;
};
/* Fills *d for the session's cache. Any thread that owns s. Never fails. */
void tier__warm_defaults(tier_session *s, struct tier__warm_defaults *d);
#endif
