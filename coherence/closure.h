/* closure.h - what lies below a result, as it was when the result was last verified: its leaves with their
 * stat identities (closure.c: using them), and the graph of results between (snapshot.c); made by gather.c.
 */
#ifndef TIER_CLOSURE_H
#define TIER_CLOSURE_H
#include "coherence/record.h"

enum { TIER__CLOSURE_FORMAT = 4, TIER__CLOSURE_KEY = TIER__WORKSPACE_KEY + 32 + 1 };

struct tier__leaf_index {
    uint64_t hash;
    uint32_t directory, leaf; /* offsets of the group's directory name and of the leaf; leaf 0: none */
    uint32_t ordinal;
};

/* leaves: u32 count, groups: directory, u8 own leaf, [leaf], u32 count, (leaf, name)...
 *         u32 count, generic leaves: u8 kind, u8 has path, path, bytes name, digest observed
 *   a leaf: u64 dev ino size mtime ctime, u32 mode, u64 observed_at. Names have a 0 behind them.
 * graph:  u32 count, dependencies: u8 kind, u8 has path, u32 fields, path, bytes name, digest observed, u32
 * count, u32 ordinals of the leaves that it hangs on (none: it is observed anew); u32 count, results:
 * identity, content key, value hash, u32 count, u32 edges: the number of a result, or of a dependency with
 * TIER__LEAF_EDGE. The first result is the one that all this is about. */
#define TIER__LEAF_EDGE UINT32_C(0x80000000)

struct tier__closure {
    atomic_uint refs;
    bool wait;               /* for the disk; guarded by graph */
    tier_digest key;         /* content key of the variant that it holds for */
    uint64_t bans, replaced; /* of the view that made it */
    int64_t expires_ms;
    struct tier__buf types; /* identities of the types below: an answer of a type that is not defined any
                               more is none */
    struct tier__buf leaves;
    struct tier__buf graph; /* until it is on disk; guarded by graph */
    _Atomic(struct tier__leaf_index *)
        index; /* of leaves by path, made when a view that stands on this looks at something */
    size_t index_size;
    bool directories;          /* some of them are */
    struct tier__path **paths; /* of the leaves, by ordinal, once a watcher was asked about them; the array is
                                  immutable; guarded by graph */
};

struct tier__closure *tier__closure_new(tier_cache *c);
bool tier__closure_type(struct tier__closure *k, const tier_digest *type); /* adds it; false: no memory */
struct tier__closure *tier__closure_ref(struct tier__closure *k);
void tier__closure_key(const tier_cache *c, const tier__node *n, char part,
                       unsigned char key[TIER__CLOSURE_KEY]);
/* The name of p in its directory *dir (a key path); both live as long as p. */
const char *tier__closure_split(const struct tier__path *p, const char **dir);
const char *tier__closure_name(struct tier__reader *r);
void tier__closure_leaf(struct tier__reader *r, struct tier__statid *id, int64_t *observed_at);
/* Looks at every leaf; failed (bits by ordinal) NULL: stops at the first that is not as it was. Whether all
 * are. */
bool tier__closure_leaves(tier__view *v, struct tier__closure *k, unsigned char *failed);
/* The leaf of a path; its ordinal, or UINT32_MAX. */
uint32_t tier__closure_find(tier_cache *c, struct tier__closure *k, const char *dir, const char *name,
                            struct tier__look *out);
/* One leaf after the other: directory, whether it is the directory itself, name. false after the last. */
struct tier__leaf_walk {
    struct tier__reader r;
    uint32_t groups, left;
    const char *dir;
};
void tier__leaf_walk_begin(struct tier__leaf_walk *w, const struct tier__closure *k);
bool tier__leaf_walk_next(struct tier__leaf_walk *w, const char **name, bool *own, struct tier__reader *leaf);

/* ---- snapshot.c: when some leaf is not as it was, what of the graph still holds */
struct tier__snapshot {
    struct tier__closure *closure; /* referenced */
    unsigned char *failed;         /* leaves that are not as they were: bits by ordinal */
    struct tier__buf graph;
    uint32_t leaf_count, dep_count, node_count;
    size_t *dep_at, *node_at;  /* offsets in graph */
    unsigned char *suspicious; /* dependencies that were observed anew: bits */
    unsigned char *maybe;      /* results with a changed dependency below: bits */
    uint32_t *by_identity;     /* result + 1, open addressing */
    size_t by_identity_size;
};
struct tier__snapshot_node {
    tier_digest identity, key, hash;
    uint32_t edge_count;
    struct tier__reader edges;
};
/* n's leaves did not hold: finds what did. true: nothing below n changed after all. false: walk, helped by
 * the view's snapshot if there is one now. */
bool tier__snapshot_take(tier_session *s, tier__node *n, struct tier__closure *k);
void tier__snapshot_free(tier_cache *c, struct tier__snapshot *t);
/* The result of that identity, when nothing below it changed; its number, or UINT32_MAX. */
uint32_t tier__snapshot_clean(const struct tier__snapshot *t, const tier_digest *identity,
                              struct tier__snapshot_node *out);
/* v's edges from the snapshot instead of from the names on disk, where it has just that variant of n. */
void tier__snapshot_edges(tier_session *s, const tier__node *n, struct tier__variant *v);
bool tier__snapshot_node_at(const struct tier__snapshot *t, uint32_t number, struct tier__snapshot_node *out);

struct tier__snapshot_dep {
    int kind;
    bool has_path;
    uint32_t fields, anchor_count;
    const char *path;
    const void *name;
    size_t name_size;
    tier_digest value;
    struct tier__reader anchors;
};
bool tier__snapshot_dep_at(const struct tier__snapshot *t, uint32_t number, struct tier__snapshot_dep *out);
struct tier__dep *tier__snapshot_intern(tier_cache *c, const struct tier__snapshot_dep *d);

static inline bool tier__bit(const unsigned char *bits, uint32_t i)
{
    return bits[i / 8] & 1u << i % 8;
}
static inline void tier__bit_set(unsigned char *bits, uint32_t i)
{
    bits[i / 8] |= (unsigned char)(1u << i % 8);
}
#endif
