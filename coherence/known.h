/* known.h - what is known for the life of the cache: requests, names of dependencies with the values that
 * they were observed to have, variants. Part of manager.h; its own file for room alone. graph.c has the
 * calls. */
#ifndef TIER_KNOWN_H
#define TIER_KNOWN_H
#include <stdatomic.h>
#include <stdbool.h>
#include "coherence/edge_bits.h"
#include "coherence/path.h"
#include "tiers/digest.h"

enum { TIER__VARIANT_MAX = 8 }; /* kept per identity, where keep.variants says no less */

struct tier__edge {
    uint32_t dep, version;
};
struct tier__variant { /* one remembered (dependencies -> content key); immutable but for its place on disk */
    atomic_uint refs;
    tier_digest key, hash;          /* content key, value hash */
    int32_t rc;                     /* 0 or a remembered failure */
    char *text;                     /* of the failure, or NULL */
    uint64_t born;                  /* ban sequence when its computation began */
    int64_t created_ms, expires_ms; /* 0: never */
    int64_t true_ms;                /* when a view last found it to hold; guarded by graph, memory only */
    uint64_t size;                  /* of the value, in bytes */
    uint32_t cost_us;
    struct tier__edge *edges;
    uint32_t edge_count;
    struct tier__edge_bits_of bits; /* the same, as bits */
    _Atomic(unsigned char *) raw;   /* edges as on disk, until somebody walks them; then NULL */
    uint64_t edge_sum;              /* on disk: over the names and values that its edges stand for */
    char *tags;                     /* each with a 0 behind it */
    size_t tags_size;
    uint8_t form;        /* of the blob: TIER__FORM_... bits; 0: none, a husk from the start */
    atomic_bool touched; /* used since that was last noted on disk */
    int64_t noted_ms;    /* when that was; guarded by graph */
    bool blob_stored;
    bool cheap;   /* form is 0 as its value is cheaper to compute than to load: cheap.c */
    bool unsaved; /* made from an overlay, where those are not for the disk */
    void *small;  /* the blob itself, where it is small; NULL: in the store, on its way there, or nowhere */
    uint32_t small_size;
    /* why it ran: the first difference to the newest variant then; kind 0: nothing was remembered */
    struct tier__cause {
        uint32_t dep, was, is;
        tier_digest was_digest, is_digest;
        char *text; /* "kind name", kept as text so that it outlives ids */
    } cause;
};
enum { TIER__FORM_BYTES = 1, TIER__FORM_SAVED = 2 }; /* both: u64 size of the bytes, bytes, saved */
enum tier__state { TIER__UNKNOWN, TIER__CLEAN, TIER__MAYBE, TIER__DIRTY };

typedef struct tier__node { /* a request; interned for the life of the cache or its type */
    tier_digest identity;
    const tier_type *type;   /* NULL: undefined since */
    struct tier__path *path; /* NULL: none */
    void *args;
    size_t args_size;
    bool content; /* of a path-free type: args is the digest of the content */
    uint32_t dep; /* its RESULT dependency */
    struct tier__variant *variant[TIER__VARIANT_MAX]; /* newest first; guarded by graph */
    uint32_t variant_count;
    uint64_t changes;                 /* of variant; guarded by graph */
    uint64_t loaded_epoch;            /* 0: never asked the store */
    tier_session *building;           /* guarded by flight, as is the next line */
    uint32_t building_depth, running; /* depth of its frame; frames of any session that build it */
    struct tier__closure *closure;    /* guarded by graph; NULL: none */
    uint64_t closure_epoch;           /* when the store was asked for one; 0: never */
    uint64_t hash;
    struct tier__node *chain;
} tier__node;

struct tier__request { /* one allocation */
    tier_digest type;
    bool has_path, has_args, content;
    const char *path;
    const void *args;
    size_t args_size;
};
struct tier__version { /* one value that a dependency was observed to have */
    tier_digest value;
    uint32_t on_disk; /* the version on disk + 1, 0: none */
    uint32_t place;   /* edge_bits.h */
};
struct tier__dep { /* an interned dependency name and its versions */
    uint8_t kind;
    uint32_t id, fields;     /* fields: of STAT */
    struct tier__path *path; /* CONTENT, KIND, LINK, STAT, TOOL, LISTING */
    uint32_t next_of_path;   /* + 1; guarded by graph */
    tier__node *node;        /* RESULT; NULL: of no type defined here */
    char *name;              /* LISTING: glob; INPUT, ENV, CONFIG: name; RESULT: identity */
    size_t name_size;
    struct tier__request *request; /* RESULT: as read from disk, to find its type when it is defined */
    struct tier__version *version; /* guarded by graph */
    uint32_t version_count, version_capacity;
    uint32_t store_id; /* 0: none yet */
    uint32_t disk_count, disk_first;
    uint32_t *from_disk;   /* by version on disk - disk_first: our version */
    bool disk_dirty;       /* of the write transaction under way */
    uint64_t hash, stable; /* stable: the same in every process */
    struct tier__dep *chain;
};
#endif
