/* store_room.c - is there room for what the store has to write, and if not, what it lacks. */
#include "tiers/store_parts.h"
#include <stdio.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

enum { FULL_MARGIN = 16 << 20 }; /* less left on the disk explains a short write */

bool tier__env_full(const struct tier__env *env, char *text, size_t size)
{
    struct statvfs v;
    struct rlimit limit;
    uint64_t used = atomic_load(&env->seen);
    if (fstatvfs(tier__db_fd(env->db), &v) == 0 && (uint64_t)v.f_bavail * v.f_frsize < FULL_MARGIN) {
        snprintf(text, size,
                 "no space: %llu bytes free: free some or choose another directory with -d / TIERKIT_DIR",
                 (unsigned long long)v.f_bavail * v.f_frsize);
        return true;
    }
    if (getrlimit(RLIMIT_FSIZE, &limit) || limit.rlim_cur == RLIM_INFINITY ||
        limit.rlim_cur >= used + ((uint64_t)1 << 30))
        return false;
    snprintf(text, size, "no space: this process may write files of %llu bytes (ulimit -f)",
             (unsigned long long)limit.rlim_cur);
    return true;
}

void tier__store_lacks(tier__store *st, char *text, size_t size)
{
    struct tier__env *env = st->env;
    if (tier__env_usable(env) != TIER_OK)
        snprintf(text, size, "the store is not used any more in this process");
    else if (tier__env_full(env, text, size))
        return;
    else if (tier__env_ask(env, tier__db_map) >= env->max_bytes)
        snprintf(text, size, "no space: store.max_bytes is %llu: raise it or prune the cache",
                 (unsigned long long)env->max_bytes);
    else
        snprintf(text, size, "the store could not be written");
}
