/* defaults.c - see defaults.h. The one place of the warmers that knows the library from inside. */
#include "warmers/defaults.h"
#include "coherence/doors.h"
#include "coherence/manager.h"
#include "tiers/base/profile.h"

void tier__warm_defaults(tier_session *s, struct tier__warm_defaults *d)
{
    struct tier__memory_stats stats;

    d->free_bytes = 0;
    d->jobs = (uint32_t)tier__profile_int(tier__cache_profile(s->cache), TIER__KEY_WARM_WORKERS);
    if (!s->cache->memory)
        return;
    tier__memory_stats(s->cache->memory, TIER_FILE, &stats);
    if (stats.budget > stats.bytes + stats.reserved)
        d->free_bytes = stats.budget - stats.bytes - stats.reserved;
}
