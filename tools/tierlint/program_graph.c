/* From paths to files, from files to the graph of who includes whom, and the part a directory sees. */
#include "tools/tierlint/lint.h"
#include "tools/tierlint/graph.h"
#include "tools/tierlint/links.h"

#include <stdlib.h>
#include <string.h>

static int add_directory(tier_session *s, const char *dir, lint_map *files)
{
    tier_value v;
    int rc = tier_list(s, dir, "**/*", &v);
    if (rc) {
        return lint_absent(rc) ? TIER_OK : rc;
    }
    size_t cursor = 0, size;
    const void *data;
    lint_buf path = {0};
    while ((rc = tier_next(&v, &cursor, &data, &size)) == TIER_OK) {
        path.size = 0;
        lint_buf_add(&path, data, size);
        if (!path.failed && lint_is_wanted(path.data)) {
            lint_map_add(files, path.data);
        }
    }
    rc = path.failed ? lint_nomem(s) : rc == TIER_END ? tier_release(s, &v) : rc;
    lint_buf_free(&path);
    return rc;
}

/* args: paths, each with its 0. Gives the files, each with its 0, in order of arrival, once. A named file is
 * taken whatever its name; below a directory, what has a known extension. */
int lint_build_files(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    (void)user;
    lint_map files = {0};
    lint_reader r = lint_read(q->args, q->args_size);
    int rc = TIER_OK;
    while (rc == TIER_OK && r.at < r.end) {
        const char *path = lint_read_str(&r);
        char kind = 0;
        rc = tier_stat(s, path, &kind);
        if (rc == TIER_OK && kind == 'd') {
            rc = add_directory(s, path, &files);
        } else if (rc == TIER_OK || lint_absent(rc)) {
            lint_map_add(&files, path); /* one that is absent becomes a finding, and is looked for again */
            rc = TIER_OK;
        }
    }
    if (rc == TIER_OK) {
        rc = files.failed ? lint_nomem(s) : tier_out_bytes(out, files.text.data, files.text.size);
    }
    lint_map_free(&files);
    return rc;
}

/* ---- the graph -------------------------------------------------------------------------------------------
 */
typedef struct builder {
    tier_session *s;
    const lint *l;
    lint_map files;  /* nodes in order of discovery */
    lint_list flags; /* of nodes */
    lint_list first; /* of nodes: in edges */
    lint_list edges; /* three numbers each */
} builder;

static void builder_free(builder *b)
{
    lint_map_free(&b->files);
    lint_list_free(&b->flags);
    lint_list_free(&b->first);
    lint_list_free(&b->edges);
}

static uint32_t node_of(builder *b, const char *path, uint32_t flags)
{
    uint32_t node = lint_map_add(&b->files, path);
    if (node == LINT_NONE) {
        return node;
    }
    if (node == b->flags.count) {
        lint_list_add(&b->flags, 0);
    }
    if (!b->flags.failed) {
        b->flags.at[node] |= flags;
    }
    return node;
}

static int add_edges(builder *b, uint32_t node)
{
    tier_value v;
    int rc = lint_get(b->s, b->l, LINT_TYPE_LINKS, lint_map_text(&b->files, node), NULL, &v);
    if (rc) {
        b->flags.at[node] |= LINT_NODE_UNREADABLE;
        return lint_absent(rc) ? TIER_OK : rc;
    }
    lint_reader r = lint_read(v.data, v.size);
    lint_link link;
    for (uint32_t i = 0; rc == TIER_OK && lint_link_next(&r, &link); i++) {
        if (!link.path[0]) {
            bool compilers = link.flags & LINT_LINK_COMPILERS, maybe = link.flags & LINT_LINK_CONDITIONAL;
            b->flags.at[node] |= compilers ? LINT_NODE_COMPILERS : LINT_NODE_LOOSE;
            b->flags.at[node] |= compilers || maybe ? 0 : LINT_NODE_ADRIFT;
            b->flags.at[node] |= compilers || link.flags & LINT_LINK_DOUBTFUL ? 0 : LINT_NODE_PARTIAL;
            continue;
        }
        uint32_t target = node_of(b, link.path, LINT_NODE_INCLUDED);
        lint_list_add(&b->edges, target);
        lint_list_add(&b->edges, i);
        lint_list_add(&b->edges, link.flags);
        rc = target == LINT_NONE || b->flags.failed || b->edges.failed ? lint_nomem(b->s) : TIER_OK;
    }
    return rc ? rc : tier_release(b->s, &v);
}

static int by_path(const void *a, const void *b, void *files)
{
    return strcmp(lint_map_text(files, *(const uint32_t *)a), lint_map_text(files, *(const uint32_t *)b));
}

/* Numbers the nodes in order of their paths, and writes the value. */
static void put_sorted(builder *b, lint_buf *given)
{
    uint32_t count = (uint32_t)b->files.start.count, edge_count = (uint32_t)b->edges.count / 3;
    uint32_t *order = malloc((count + (size_t)1) * sizeof *order),
             *rank = malloc((count + (size_t)1) * sizeof *rank);
    lint_node *nodes = malloc((count + (size_t)1) * sizeof *nodes);
    lint_edge *edges = malloc((edge_count + (size_t)1) * sizeof *edges);
    lint_buf text = {0};
    if (order && rank && nodes && edges) {
        for (uint32_t i = 0; i < count; i++) {
            order[i] = i;
        }
        qsort_r(order, count, sizeof *order, by_path, &b->files);
        for (uint32_t i = 0; i < count; i++) {
            rank[order[i]] = i;
        }
        uint32_t next = 0;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t node = order[i];
            uint32_t end = node + 1 < count ? b->first.at[node + 1] : edge_count;
            nodes[i] = (lint_node){(uint32_t)text.size, b->flags.at[node], next, end - b->first.at[node]};
            lint_buf_str(&text, lint_map_text(&b->files, node));
            for (uint32_t e = b->first.at[node]; e < end; e++) {
                const uint32_t *at = &b->edges.at[3 * (size_t)e];
                edges[next++] = (lint_edge){rank[at[0]], at[1], at[2]};
            }
        }
        lint_graph g = {nodes, edges, text.data ? text.data : "", count, edge_count, (uint32_t)text.size};
        lint_graph_put(given, &g);
    } else {
        given->failed = true;
    }
    given->failed |= text.failed;
    lint_buf_free(&text);
    free(edges);
    free(nodes);
    free(rank);
    free(order);
}

/* One pass with a worklist: the nodes are the list, and grow while it is walked. A build that asked for the
 * graph of each included file in turn would be a computation cycle wherever headers include each other. */
int lint_build_graph(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    builder b = {.s = s, .l = user};
    tier_value v;
    lint_buf args = {.data = (char *)q->args, .size = q->args_size};
    int rc = lint_get(s, user, LINT_TYPE_FILES, NULL, &args, &v);
    if (rc) {
        return rc;
    }
    lint_reader r = lint_read(v.data, v.size);
    while (r.at < r.end) {
        node_of(&b, lint_read_str(&r), LINT_NODE_LISTED);
    }
    rc = b.files.failed || b.flags.failed ? lint_nomem(s) : TIER_OK;
    for (uint32_t i = 0; rc == TIER_OK && i < b.files.start.count; i++) {
        lint_list_add(&b.first, (uint32_t)(b.edges.count / 3));
        rc = b.first.failed ? lint_nomem(s) : add_edges(&b, i);
    }
    if (rc == TIER_OK) {
        lint_buf given = {0};
        put_sorted(&b, &given);
        rc = lint_give(s, out, &given);
    }
    builder_free(&b);
    return rc;
}

/* What reach and members begin with: args are a directory, then the paths. dir and g point into q and v. */
static int open_graph(tier_session *s, const tier_query *q, const lint *l, const char **dir, tier_value *v,
                      lint_graph *g)
{
    lint_reader r = lint_read(q->args, q->args_size);
    *dir = lint_read_str(&r);
    lint_buf args = {.data = (char *)r.at, .size = (size_t)(r.end - r.at)};
    int rc = lint_get(s, l, LINT_TYPE_GRAPH, NULL, &args, v);
    if (rc == TIER_OK && !lint_graph_open(v->data, v->size, g)) {
        return tier_fail(s, TIER_EDAMAGE, "the graph's bytes are no graph");
    }
    return rc;
}

static bool in_dir(const char *path, const char *dir)
{
    size_t size = strlen(dir);
    const char *base = lint_base_of(path);
    size_t own = (size_t)(base - path);
    own -= own > 1 && path[own - 1] == '/';
    return own == size && memcmp(path, dir, size) == 0;
}

/* args: the paths. How many of the listed files have an include that unresolved-include would list. */
int lint_build_partial(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    lint_graph g;
    lint_buf paths = {.data = (char *)q->args, .size = q->args_size}, given = {0};
    int rc = lint_get(s, user, LINT_TYPE_GRAPH, NULL, &paths, &v);
    if (rc) {
        return rc;
    }
    if (!lint_graph_open(v.data, v.size, &g)) {
        return tier_fail(s, TIER_EDAMAGE, "the graph's bytes are no graph");
    }
    const uint32_t both = LINT_NODE_LISTED | LINT_NODE_PARTIAL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < g.node_count; i++) {
        count += (g.nodes[i].flags & both) == both;
    }
    lint_buf_u32(&given, count);
    return lint_give(s, out, &given);
}

/* The listed files of the directory, and all that they reach. */
int lint_build_reach(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    const char *dir;
    tier_value v;
    lint_graph g;
    int rc = open_graph(s, q, user, &dir, &v, &g);
    if (rc) {
        return rc;
    }
    lint_buf given = {0};
    unsigned char *from = calloc(g.node_count + (size_t)1, 1);
    if (!from) {
        return lint_nomem(s);
    }
    for (uint32_t i = 0; i < g.node_count; i++) {
        from[i] = (g.nodes[i].flags & LINT_NODE_LISTED) && in_dir(lint_graph_path(&g, i), dir);
    }
    lint_graph_part(&g, from, &given);
    free(from);
    return lint_give(s, out, &given);
}

/* The directory's files that someone includes, each with its 0. */
int lint_build_members(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    const char *dir;
    tier_value v;
    lint_graph g;
    int rc = open_graph(s, q, user, &dir, &v, &g);
    if (rc) {
        return rc;
    }
    lint_buf given = {0};
    for (uint32_t i = 0; i < g.node_count; i++) {
        if ((g.nodes[i].flags & LINT_NODE_INCLUDED) && in_dir(lint_graph_path(&g, i), dir)) {
            lint_buf_str(&given, lint_graph_path(&g, i));
        }
    }
    return lint_give(s, out, &given);
}
