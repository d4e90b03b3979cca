/* defaults.c - see defaults.h. The profile dev's figures. */
#include "warmers/defaults.h"

void tier__warm_defaults(tier_session *s, struct tier__warm_defaults *d)
{
    (void)s;
    d->free_bytes = UINT64_C(75) << 20;
    d->jobs = 4;
}
