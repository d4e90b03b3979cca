/* closure.h - the leaves below a result; see closure.c (using them) and closure_make.c (making them). */
#ifndef TIER_CLOSURE_H
#define TIER_CLOSURE_H
#include "coherence/record.h"

enum { TIER__CLOSURE_FORMAT = 1 };

struct tier__leaf_index {
    uint64_t hash;
    uint32_t directory, leaf; /* offsets of the group's directory name and of the leaf */
};
/* data: u32 count, generic leaves: u8 kind, u8 has path, path, bytes name, digest observed;
 *       u32 count, groups: directory, u8 own leaf, [leaf], u32 count, leaves: leaf, name.
 * A leaf: u64 dev ino size mtime ctime, u32 mode, u64 observed_at. Names have a 0 behind them. */
struct tier__closure {
    atomic_uint refs;
    bool wait;       /* for the disk; guarded by graph */
    tier_digest key; /* content key of the variant that it holds for */
    uint64_t bans;
    int64_t expires_ms;
    struct tier__buf data;
    size_t groups_at;
    struct tier__leaf_index *index; /* by path; made when a view that stands on this looks at something */
    size_t index_size;
};

struct tier__closure *tier__closure_new(tier_cache *c);
void tier__closure_key(const tier_cache *c, const tier__node *n, unsigned char key[48]);
/* Key path -> its directory (as a key path, with its 0) into dir, and its name. */
const char *tier__closure_split(const struct tier__path *p, struct tier__buf *dir);
#endif
