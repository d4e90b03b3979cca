/* The include graph: see graph.h. Pure: bytes in, bytes out. */
#include "tools/tierlint/graph.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC 0x70726731u /* "1grp" */

_Static_assert(sizeof(lint_node) == 16 && sizeof(lint_edge) == 12, "the value's layout");

void lint_graph_put(lint_buf *b, const lint_graph *g)
{
    lint_buf_u32(b, MAGIC);
    lint_buf_u32(b, g->node_count);
    lint_buf_u32(b, g->edge_count);
    lint_buf_u32(b, g->text_size);
    lint_buf_add(b, g->nodes, g->node_count * sizeof *g->nodes);
    lint_buf_add(b, g->edges, g->edge_count * sizeof *g->edges);
    lint_buf_add(b, g->text, g->text_size);
}

bool lint_graph_open(const void *data, size_t size, lint_graph *g)
{
    lint_reader r = lint_read(data, size);
    if (lint_read_u32(&r) != MAGIC) {
        return false;
    }
    g->node_count = lint_read_u32(&r);
    g->edge_count = lint_read_u32(&r);
    g->text_size = lint_read_u32(&r);
    uint64_t want = (uint64_t)g->node_count * sizeof *g->nodes + (uint64_t)g->edge_count * sizeof *g->edges;
    if (r.bad || want + g->text_size != (uint64_t)(r.end - r.at)) {
        return false;
    }
    g->nodes = (const void *)r.at;
    g->edges = (const void *)(r.at + g->node_count * sizeof *g->nodes);
    g->text = (const char *)(r.at + want);
    for (uint32_t i = 0; i < g->node_count; i++) {
        const lint_node *n = &g->nodes[i];
        if (n->path >= g->text_size || n->first > g->edge_count || n->count > g->edge_count - n->first) {
            return false;
        }
    }
    for (uint32_t i = 0; i < g->edge_count; i++) {
        if (g->edges[i].target >= g->node_count) {
            return false;
        }
    }
    return g->node_count == 0 || g->text[g->text_size - 1] == 0;
}

uint32_t lint_graph_find(const lint_graph *g, const char *path)
{
    uint32_t low = 0, high = g->node_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(lint_graph_path(g, middle), path);
        if (order == 0) {
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return LINT_NONE;
}

void lint_graph_reach(const lint_graph *g, uint32_t start, uint64_t bit, uint64_t *mark, uint32_t *queue)
{
    uint32_t head = 0, tail = 0;
    if (!(mark[start] & bit)) {
        mark[start] |= bit;
        queue[tail++] = start;
    }
    while (head < tail) {
        const lint_node *n = &g->nodes[queue[head++]];
        for (uint32_t i = 0; i < n->count; i++) {
            uint32_t target = g->edges[n->first + i].target;
            if (!(mark[target] & bit)) {
                mark[target] |= bit;
                queue[tail++] = target;
            }
        }
    }
}

/* Copies the nodes that have a number, with their edges, which lead to such nodes only. */
static void copy_part(const lint_graph *g, const unsigned char *from, const uint32_t *number,
                      lint_node *nodes, lint_edge *edges, lint_buf *text, lint_graph *part)
{
    for (uint32_t i = 0; i < g->node_count; i++) {
        if (number[i] == LINT_NONE) {
            continue;
        }
        lint_node *n = &nodes[part->node_count++];
        *n = g->nodes[i];
        n->path = (uint32_t)text->size;
        n->flags |= from[i] ? LINT_NODE_MEMBER : 0;
        n->first = part->edge_count;
        lint_buf_str(text, lint_graph_path(g, i));
        for (uint32_t e = 0; e < n->count; e++) {
            edges[part->edge_count] = g->edges[g->nodes[i].first + e];
            edges[part->edge_count].target = number[edges[part->edge_count].target];
            part->edge_count++;
        }
    }
}

void lint_graph_part(const lint_graph *g, const unsigned char *from, lint_buf *b)
{
    size_t count = g->node_count + 1;
    uint64_t *mark = calloc(count, sizeof *mark);
    uint32_t *queue = malloc(count * sizeof *queue);
    lint_node *nodes = malloc(count * sizeof *nodes);
    lint_edge *edges = malloc((g->edge_count + (size_t)1) * sizeof *edges);
    lint_buf text = {0};
    if (mark && queue && nodes && edges) {
        for (uint32_t i = 0; i < g->node_count; i++) {
            if (from[i]) {
                lint_graph_reach(g, i, 1, mark, queue);
            }
        }
        uint32_t next = 0; /* the queue's room now holds the new numbers */
        for (uint32_t i = 0; i < g->node_count; i++) {
            queue[i] = mark[i] ? next++ : LINT_NONE;
        }
        lint_graph part = {.nodes = nodes, .edges = edges};
        copy_part(g, from, queue, nodes, edges, &text, &part);
        part.text = text.data ? text.data : "";
        part.text_size = (uint32_t)text.size;
        lint_graph_put(b, &part);
        b->failed |= text.failed;
    } else {
        b->failed = true;
    }
    lint_buf_free(&text);
    free(edges);
    free(nodes);
    free(queue);
    free(mark);
}

/* ---- components ------------------------------------------------------------------------------------------
 */
typedef struct tarjan {
    const lint_graph *g;
    uint32_t *order, *low, *edge; /* of each node: when it was found, the oldest reached, next edge to walk */
    uint32_t *path, *stack;       /* the walk from the root; nodes without a component yet */
    uint32_t path_size, stack_size, clock, found;
    uint32_t *component;
} tarjan;

static void enter(tarjan *t, uint32_t node)
{
    t->order[node] = t->low[node] = ++t->clock;
    t->path[t->path_size++] = node;
    t->stack[t->stack_size++] = node;
}

static void leave(tarjan *t, uint32_t node)
{
    t->path_size--;
    if (t->low[node] == t->order[node]) {
        uint32_t top;
        do {
            top = t->stack[--t->stack_size];
            t->component[top] = t->found;
        } while (top != node);
        t->found++;
    }
    if (t->path_size) {
        uint32_t above = t->path[t->path_size - 1];
        t->low[above] = t->low[node] < t->low[above] ? t->low[node] : t->low[above];
    }
}

static void walk(tarjan *t, uint32_t root, bool (*keep)(const lint_edge *e))
{
    enter(t, root);
    while (t->path_size) {
        uint32_t node = t->path[t->path_size - 1];
        const lint_node *n = &t->g->nodes[node];
        if (t->edge[node] == n->count) {
            leave(t, node);
            continue;
        }
        const lint_edge *e = &t->g->edges[n->first + t->edge[node]++];
        if (keep && !keep(e)) {
            continue;
        }
        if (!t->order[e->target]) {
            enter(t, e->target);
        } else if (t->component[e->target] == LINT_NONE && t->order[e->target] < t->low[node]) {
            t->low[node] = t->order[e->target];
        }
    }
}

uint32_t lint_graph_components(const lint_graph *g, bool (*keep)(const lint_edge *e), uint32_t *component)
{
    size_t count = g->node_count + 1;
    uint32_t *room = calloc(count * 5, sizeof *room);
    if (!room) {
        return LINT_NONE;
    }
    tarjan t = {.g = g,
                .order = room,
                .low = room + count,
                .edge = room + 2 * count,
                .path = room + 3 * count,
                .stack = room + 4 * count,
                .component = component};
    for (uint32_t i = 0; i < g->node_count; i++) {
        component[i] = LINT_NONE;
    }
    for (uint32_t i = 0; i < g->node_count; i++) {
        if (!t.order[i]) {
            walk(&t, i, keep);
        }
    }
    free(room);
    return t.found;
}

void lint_graph_cycle(const lint_graph *g, bool (*keep)(const lint_edge *e), const uint32_t *component,
                      uint32_t start, lint_list *cycle)
{
    lint_list queue = {0};
    uint32_t *from = malloc((g->node_count + (size_t)1) * sizeof *from);
    cycle->count = 0;
    for (uint32_t i = 0; from && i < g->node_count; i++) {
        from[i] = LINT_NONE;
    }
    lint_list_add(&queue, start);
    uint32_t last = LINT_NONE;
    for (size_t head = 0; from && last == LINT_NONE && head < queue.count; head++) {
        uint32_t node = queue.at[head];
        const lint_node *n = &g->nodes[node];
        for (uint32_t i = 0; i < n->count && last == LINT_NONE; i++) {
            const lint_edge *e = &g->edges[n->first + i];
            if ((keep && !keep(e)) || component[e->target] != component[start]) {
                continue;
            }
            if (e->target == start) {
                last = node;
            } else if (from[e->target] == LINT_NONE) {
                from[e->target] = node;
                lint_list_add(&queue, e->target);
            }
        }
    }
    cycle->failed |= !from || queue.failed;
    for (; last != LINT_NONE; last = last == start ? LINT_NONE : from[last]) {
        lint_list_add(cycle, last);
    }
    for (size_t i = 0; i < cycle->count / 2; i++) {
        uint32_t other = cycle->at[i];
        cycle->at[i] = cycle->at[cycle->count - 1 - i];
        cycle->at[cycle->count - 1 - i] = other;
    }
    free(from);
    lint_list_free(&queue);
}
