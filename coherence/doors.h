/* doors.h - what the rooms beside the manager (streams, watch, patterns) see of a cache. */
#ifndef TIER_DOORS_H
#define TIER_DOORS_H
#include "tiers/memory.h"

struct tier__hub;
struct tier__watch;
struct tier__profile;

struct tier__base *tier__cache_base(tier_cache *c);
struct tier__hub *tier__cache_hub(tier_cache *c);     /* made by tier_open, lives until tier_close */
struct tier__watch *tier__cache_watch(tier_cache *c); /* NULL until a stream asked for one */
/* Keeps w as the cache's watcher (closed by tier_close); where there is one already, closes w and returns
 * that. */
struct tier__watch *tier__cache_set_watch(tier_cache *c, struct tier__watch *w);
const char *tier__cache_dir(tier_cache *c); /* the store's directory; NULL: none */
const struct tier__profile *tier__cache_profile(tier_cache *c);
size_t tier__cache_root_count(tier_cache *c);
const char *tier__cache_root_path(tier_cache *c, size_t i);                    /* real path */
bool tier__cache_root_is(tier_cache *c, size_t i, uint64_t dev, uint64_t ino); /* the one that was opened */
/* The key path ("rel", "name:rel") of a path below root i. Caller frees with tier__free. NULL: out of memory.
 */
char *tier__cache_key_path(tier_cache *c, size_t i, const char *rel);

/* Upcalls. The watcher saw that key path (NULL: anything, it lost its place) may have changed: marks what
 * depends on it and queues CHANGED and INVALIDATED events. */
void tier__cache_changed(tier_cache *c, const char *path);
/* The last result of every request of type (NULL: all) that is still in memory, for late subscribers. */
void tier__cache_each_result(tier_cache *c, const tier_type *type,
                             void (*each)(void *user, const tier_type *type, const char *path,
                                          tier__entry *e),
                             void *user);
/* The pattern room, of a program that has called it: bans of other processes are read by it too. Static. */
struct tier__patterns {
    void *(*compile)(const char *regex);                         /* NULL: it cannot be read */
    bool (*match)(void *pattern, const char *text, size_t size); /* any thread */
    void (*let_go)(void *pattern);
};
void tier__cache_patterns(tier_cache *c, const struct tier__patterns *room);
/* The body of tier_invalidate_pattern, which compiled the pattern: the cache owns it now. by: TIER_BY_PATH,
 * TIER_BY_TYPE, TIER_BY_TAG. */
int tier__cache_ban_pattern(tier_cache *c, int by, const char *regex, void *pattern);
#endif
