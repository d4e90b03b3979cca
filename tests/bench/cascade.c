/* cascade.c - an event through the whole graph: tier__cascade against a bare breadth-first walk over the same
 * arrays. The graph is a real one: requests built through the public API, each reading ten earlier ones, the
 * first ten an input; so one event on that input reaches all. */
#include <stdlib.h>
#include <string.h>
#include "coherence/reverse.h"
#include "tests/bench/bench.h"

enum { READS = 10 };

struct graph {
    tier_cache *c;
    const tier_type *type;
    uint32_t nodes, root; /* root: the input's dependency id */
    uint64_t event;
    uint64_t *visited; /* of the bare walk, by vertex */
    uint32_t *queue;
    struct tier__ids ours;
};

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    return x ^ (x >> 33);
}

static int build(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct graph *g = user;
    tier_value v;
    uint32_t node;
    int rc = 0;
    memcpy(&node, q->args, sizeof node);
    if (node < READS)
        rc = tier_input(s, "root", &v);
    for (uint32_t i = 0; !rc && node >= READS && i < READS; i++) {
        uint32_t below = (uint32_t)(mix((uint64_t)node * READS + i) % node);
        rc = tier_get(s, &(tier_query){g->type, NULL, &below, sizeof below}, &v);
    }
    return rc ? rc : tier_out_bytes(out, &node, sizeof node);
}

static void graph_make(struct bench *b, struct graph *g, uint32_t nodes)
{
    const char *settings[] = {"memory.delta=8GiB"};
    tier_root root = {"", b->dir};
    tier_options o = TIER_INIT(tier_options);
    tier_type_def d = TIER_INIT(tier_type_def);
    tier_session *s;
    tier_value v;
    memset(g, 0, sizeof *g);
    o.app = "bench";
    o.app_version = "1";
    o.dir = "";
    o.profile = "dev";
    o.roots = &root;
    o.root_count = 1;
    o.settings = settings;
    o.setting_count = 1;
    d.name = "node";
    d.tier = TIER_DELTA;
    d.user = g;
    d.build = build;
    if (tier_open(&o, &g->c) || tier_define(g->c, &d, &g->type) || tier_set_input(g->c, "root", "1", 1) ||
        tier_begin(g->c, NULL, &s))
        bench_die("no cache");
    for (uint32_t i = 0; i < nodes; i++) {
        if (tier_get(s, &(tier_query){g->type, NULL, &i, sizeof i}, &v))
            bench_die(tier_detail(s));
        tier_release(s, &v);
    }
    tier_end(&s);
    g->nodes = nodes;
    if (!tier__reverse_ready(g->c))
        bench_die("no memory for reverse edges");
    g->root = tier__dep_known(g->c, TIER__K_INPUT, "root", 4)->id;
    pthread_mutex_unlock(&g->c->graph);
    g->visited = bench_alloc(g->c->dep_count * sizeof *g->visited);
    g->queue = bench_alloc(g->c->dep_count * sizeof *g->queue);
}

static void graph_free(struct graph *g)
{
    tier__ids_fini(&g->c->base, &g->ours);
    free(g->visited);
    free(g->queue);
    tier_close(&g->c);
}

static void next_event(void *self, uint32_t pass)
{
    struct graph *g = self;
    (void)pass;
    g->event++;
}

static uint64_t bare_walk(void *self, const struct bench_batch *batch)
{
    struct graph *g = self;
    const struct tier__reverse *r = g->c->reverse;
    uint32_t count = 0;
    (void)batch;
    g->queue[count++] = g->root;
    g->visited[g->root] = g->event;
    for (uint32_t at = 0; at < count; at++)
        for (uint32_t i = r->start[g->queue[at]]; i < r->start[g->queue[at] + 1]; i++)
            if (g->visited[r->reader[i]] != g->event) {
                g->visited[r->reader[i]] = g->event;
                g->queue[count++] = r->reader[i];
            }
    return count;
}

/* As an event does it: from an empty queue, under the lock. */
static uint64_t our_walk(void *self, const struct bench_batch *batch)
{
    struct graph *g = self;
    (void)batch;
    tier__ids_fini(&g->c->base, &g->ours);
    pthread_mutex_lock(&g->c->graph);
    if (!tier__cascade_mark(g->c, g->root, g->event, TIER__DIRTY, &g->ours) ||
        !tier__cascade(g->c, g->c->reverse, g->event, &g->ours))
        bench_die("no memory for a cascade");
    pthread_mutex_unlock(&g->c->graph);
    return g->ours.count;
}

static void run(struct bench *b)
{
    static const struct {
        const char *row;
        uint32_t nodes;
    } sizes[] = {{"10k requests, 100k edges", 10000},
                 {"100k requests, 1M edges", 100000},
                 {"1M requests, 10M edges", 1000000}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint32_t nodes = b->quick ? sizes[i].nodes / 1000 : sizes[i].nodes;
        struct graph g;
        graph_make(b, &g, nodes);
        struct bench_contender c[] = {
            {.name = "bare walk", .self = &g, .run = bare_walk, .before = next_event, .count = nodes},
            {.name = "tierkit cascade", .self = &g, .run = our_walk, .before = next_event, .count = nodes},
        };
        bench_race(b, &(struct bench_race){
                          .row = sizes[i].row, .contender = c, .count = 2, .same = true, .plot = true});
        graph_free(&g);
    }
}

static const struct bench_goal goals[] = {
    {"cascade through 10M edges", "1M requests, 10M edges", "tierkit cascade", NULL, "bare walk", '<', 2.0},
    {"cascade through 1M edges", "100k requests, 1M edges", "tierkit cascade", NULL, "bare walk", '<', 2.0},
    {0},
};
const struct bench_group bench_cascade = {"cascade", "an event through the graph, a marked request", run,
                                          goals};
