/* The include graph as a value: flat arrays that are read where they lie, and the algorithms over them.
 * Nodes are in byte order of their paths; the edges of a node in the order of its includes. Include cycles
 * are plain facts of the data: every walk here is a loop over an explicit stack or queue. */
#ifndef TIERLINT_GRAPH_H
#define TIERLINT_GRAPH_H

#include "tools/tierlint/buf.h"

enum {
    LINT_NODE_LISTED = 1,     /* asked for: findings in it are reported */
    LINT_NODE_MEMBER = 2,     /* in a reach: of the directory in question */
    LINT_NODE_UNREADABLE = 4, /* absent by now, no access, ... */
    LINT_NODE_LOOSE = 8,      /* an include of it was not found, so it may declare more than is known */
    LINT_NODE_COMPILERS = 16, /* it includes a header of the compiler's own */
    LINT_NODE_INCLUDED = 32,  /* someone includes it */
    LINT_NODE_ADRIFT = 64,    /* an unconditional include was not found: search directories are missing */
    LINT_NODE_PARTIAL = 128   /* one that unresolved-include lists */
};
typedef struct lint_node {
    uint32_t path; /* in text */
    uint32_t flags;
    uint32_t first, count; /* its edges */
} lint_node;

typedef struct lint_edge {
    uint32_t target;
    uint32_t include; /* which include of the file */
    uint32_t flags;   /* of the link */
} lint_edge;

/* A view of a value, or what lint_graph_put is given. The arrays are not its own. */
typedef struct lint_graph {
    const lint_node *nodes;
    const lint_edge *edges;
    const char *text;
    uint32_t node_count, edge_count, text_size;
} lint_graph;

/* Appends the graph's value to b (which must be empty or hold a multiple of four bytes). */
void lint_graph_put(lint_buf *b, const lint_graph *g);
/* Looks into a value; data is aligned to 4. false: the bytes are no graph. Every index is checked. */
bool lint_graph_open(const void *data, size_t size, lint_graph *g);
static inline const char *lint_graph_path(const lint_graph *g, uint32_t node)
{
    return g->text + g->nodes[node].path;
}
uint32_t lint_graph_find(const lint_graph *g, const char *path); /* LINT_NONE: not there */

/* The part that is reached from the nodes with from[node] non-zero; those get LINT_NODE_MEMBER. */
void lint_graph_part(const lint_graph *g, const unsigned char *from, lint_buf *b);

/* Strongly connected components (Tarjan 1972, with an explicit stack) over the edges that keep accepts (NULL:
 * all): component[node] = number. Returns how many there are, LINT_NONE: out of memory. */
uint32_t lint_graph_components(const lint_graph *g, bool (*keep)(const lint_edge *e), uint32_t *component);
/* A shortest cycle through start within its component, as nodes from start to the last before start again.
 * Empty: there is none. */
void lint_graph_cycle(const lint_graph *g, bool (*keep)(const lint_edge *e), const uint32_t *component,
                      uint32_t start, lint_list *cycle);

/* Marks mark[node] |= bit for all nodes reached from start, itself included. queue: node_count numbers. */
void lint_graph_reach(const lint_graph *g, uint32_t start, uint64_t bit, uint64_t *mark, uint32_t *queue);

#endif
