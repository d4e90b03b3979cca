/* roots.h - the directories that a cache is opened on. */
#ifndef TIER_ROOTS_H
#define TIER_ROOTS_H
#include <stdbool.h>
#include <stdint.h>
#include "include/tierkit.h"

struct tier__root {
    char *name, *path; /* path: real */
    int fd;
    uint64_t dev, ino;
    uint64_t now_dev, now_ino; /* of what was at the path when that was last looked at; guarded by world */
};

/* Says, once a change, that another directory is at a root's path than the one that was opened. Looks once in
 * TIER__GLANCE_MS alone, so that a begin costs what it did; where a watcher spares all other looks, once a
 * second: it is told of the root, but of no name above it. */
void tier__roots_glance(tier_cache *c, bool watched);
#endif
