/* path.h - key paths, interned for the life of the cache, and what stat says of the files behind them. */
#ifndef TIER_PATH_H
#define TIER_PATH_H
#include "tiers/base/base.h"
#include "tiers/digest.h"

struct tier__statid { /* a stat identity; zero ino: none */
    uint64_t dev, ino, size;
    int64_t mtime_ns, ctime_ns;
    uint32_t mode, links;
};
struct tier__memo { /* what a path's bytes (or a directory's entries) were when it had this identity */
    struct tier__statid id;
    int64_t observed_at; /* before the first look at it, by the clock of time stamps */
    tier_digest digest;
    bool known, dirty, asked_store;
};
struct tier__path { /* interned, for the life of the cache */
    uint32_t id;
    uint32_t root;          /* index; UINT32_MAX: absolute */
    const char *rel;        /* for the OS, below the root; points into key */
    struct tier__memo memo; /* guarded by graph */
    struct tier__path *chain;
    struct tier__path *parent, *child,
        *sibling;       /* by name: every path's parent is interned; guarded by graph */
    uint32_t first_dep; /* + 1, of those with this path; see next_of_path */
    uint64_t hash;
    size_t key_size;
    char key[];
};

/* Interned path of a key path; NULL and *rc: TIER_EINVAL (empty name of a root, too long), TIER_ENOMEM. */
struct tier__path *tier__path_of(tier_cache *c, const char *key, int *rc);
/* The interned path of key, or, with above, of the nearest one above it; graph lock held. NULL: none. */
struct tier__path *tier__path_known(tier_cache *c, const char *key, bool above);
struct tier__path *tier__path_join(tier_cache *c, const struct tier__path *dir, const char *below, int *rc);
/* fstatat(2) and openat(2) of it, whatever its length; as these. nofollow: of a link itself. */
int tier__path_stat(tier_cache *c, const struct tier__path *p, bool nofollow, struct tier__statid *id,
                    char *kind);
int tier__path_open(tier_cache *c, const struct tier__path *p, int flags);
long tier__path_readlink(tier_cache *c, const struct tier__path *p, char *buf, size_t size);
/* Is it the path itself or below it? "" is the first root. */
bool tier__path_below(const char *path, const char *dir);
/* Would what is below the first root be read as a path of another one, "name:rel"? Its key begins with "./".
 */
bool tier__path_misread(const tier_cache *c, const char *below);
/* Trusted: nothing can have changed it since observed_at and left the identity as it is. */
bool tier__statid_settled(const struct tier__statid *id, int64_t observed_at);
bool tier__statid_equal(const struct tier__statid *a, const struct tier__statid *b);
void tier__statid_of(const void *struct_stat, struct tier__statid *id, char *kind);
#endif
