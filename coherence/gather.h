/* gather.h - a closure in the making; gather.c collects, gather_encode.c writes it down. */
#ifndef TIER_GATHER_H
#define TIER_GATHER_H
#include "coherence/closure.h"

struct tier__places { /* id -> position + 1; grows */
    uint32_t *at;
    size_t size;
};
struct tier__gather_leaf {
    const char *dir, *name; /* of interned paths */
    bool own;               /* the directory itself */
    struct tier__statid id;
    int64_t observed_at;
    uint32_t number; /* in the order of gathering; anchors name that */
};
struct tier__gather_dep {
    struct tier__dep *dep;
    tier_digest value;
    uint32_t anchor, anchor_count; /* in anchors */
};
struct tier__gather_node {
    tier_digest identity, key, hash;
    uint32_t edge, edge_count; /* in edges: dependency ids */
};
struct tier__list { /* of elements of one size */
    void *data;
    size_t count, capacity;
};
struct tier__leaf_place {     /* of a leaf in the snapshot's closure */
    uint32_t directory, leaf; /* offsets */
    bool own;
};
struct tier__gather {
    tier_session *s;
    struct tier__closure *to;
    struct tier__leaf_place *known;      /* of the snapshot's closure; made when the first is asked for */
    struct tier__places of_path, of_dep; /* leaf of a path; dependency or result of a dependency id */
    struct tier__list leaves, deps, nodes, anchors, edges, stack;
    int64_t expires_ms;
};
void *tier__list_add(struct tier__base *b, struct tier__list *l, size_t element);
/* Everything below n, by what this view is bound to or its snapshot says. false: something below is not for
 * keeping. */
bool tier__gather(struct tier__gather *g, tier__node *n);
void tier__gather_fini(struct tier__gather *g);
uint32_t tier__place(const struct tier__places *p, uint32_t id); /* position + 1; 0: none */
bool tier__gather_encode(struct tier__gather *g, struct tier__closure *k);
#endif
