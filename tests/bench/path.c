/* path.c - a hit through the public API: tier_get by path in an open session, and its release, beside a
 * pinned view of the table alone with as many entries. */
#include "tests/bench/peer.h"

struct gets {
    const struct peer_world *w;
    const tier_type *type;
    tier_cache *cache;
    tier_session *session[PEER_THREADS];
    char **path;
};

/* The record of a path, 64 bytes: what counts here is not how it was made. */
static int build(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    unsigned char value[64] = {0};
    uint64_t stamp = peer_stamp((uint32_t)strtoul(strrchr(q->path, '/') + 1, NULL, 10));
    (void)s, (void)user;
    memcpy(value, &stamp, sizeof stamp);
    return tier_out_bytes(out, value, sizeof value);
}

static uint64_t get_by_path(void *self, const struct bench_batch *b)
{
    struct gets *g = self;
    tier_session *s = g->session[b->thread];
    tier_query q = {.type = g->type};
    tier_value v;
    uint64_t sum = 0;
    uint32_t at = (uint32_t)((b->pass * UINT64_C(104729) + b->thread * (PEER_SEQUENCE / 2)) % PEER_SEQUENCE);
    for (uint64_t i = 0; i < b->count; i++) {
        q.path = g->path[g->w->zipf[at]];
        at = at + 1 < PEER_SEQUENCE ? at + 1 : 0;
        if (tier_get(s, &q, &v) || v.from != TIER_HIT)
            sum += PEER_LOST;
        else
            sum += peer_first(v.data);
        tier_release(s, &v);
    }
    return sum;
}

static void gets_begin(struct gets *g, const struct peer_world *w, const char *root)
{
    tier_options o = TIER_INIT(tier_options);
    tier_type_def def = TIER_INIT(tier_type_def);
    tier_root at = {"", root};
    const char *settings[] = {"memory.tree=1G"};
    *g = (struct gets){.w = w, .path = bench_alloc(w->keys * sizeof(char *))};
    o.app = def.name = "bench";
    o.app_version = "1";
    o.dir = "";
    o.roots = &at;
    o.root_count = 1;
    o.settings = settings;
    o.setting_count = 1;
    def.version = 1;
    def.tier = TIER_TREE;
    def.build = build;
    if (tier_open(&o, &g->cache) || tier_define(g->cache, &def, &g->type) ||
        tier_begin(g->cache, NULL, &g->session[0]))
        bench_die("tier_open");
    for (uint32_t k = 0; k < w->keys; k++) /* an analyzer has its list of files before it asks */
        g->path[k] = bench_text("source/module%u/file/%u", k / 100, k);
    for (uint32_t k = 0; k < w->keys; k++) {
        tier_value v;
        if (tier_get(g->session[0], &(tier_query){.type = g->type, .path = g->path[k]}, &v) ||
            tier_release(g->session[0], &v))
            bench_die(tier_detail(g->session[0]));
    }
    for (int t = 1; t < PEER_THREADS; t++)
        if (tier_fork(g->session[0], &g->session[t]))
            bench_die("tier_fork");
}

static void gets_end(struct gets *g)
{
    for (int t = PEER_THREADS - 1; t >= 0; t--)
        tier_end(&g->session[t]);
    if (tier_close(&g->cache))
        bench_die("tier_close");
    for (uint32_t k = 0; k < g->w->keys; k++)
        free(g->path[k]);
    free(g->path);
}

static void run(struct bench *b)
{
    struct peer_world *w = peer_world_new(b->quick ? 200 : 20000, 64);
    struct peer_run table = {.peer = peer_tierkit.open(&(struct peer_setup){w, 0, NULL}), .w = w};
    struct gets gets;
    table.sequence = w->sweep;
    table.length = w->keys;
    for (int t = 0; t < PEER_THREADS; t++)
        table.thread[t].value = bench_alloc(PEER_VALUE_MAX);
    peer_tierkit.run[PEER_PUT](&table, &(struct bench_batch){0, 0, w->keys});
    table.sequence = w->zipf;
    table.length = PEER_SEQUENCE;
    gets_begin(&gets, w, b->dir);
    const struct bench_contender one[] = {
        {.name = "table", .self = &table, .run = peer_tierkit.run[PEER_READ]},
        {.name = "tierkit tier_get", .self = &gets, .run = get_by_path},
    };
    const struct bench_contender two[] = {
        {.name = "tierkit 1 thread", .self = &gets, .run = get_by_path},
        {.name = "tierkit 2 threads", .self = &gets, .run = get_by_path, .threads = 2},
    };
    bench_race(b,
               &(struct bench_race){.row = "hit by path, 64 B", .contender = one, .count = 2, .same = true});
    bench_race(b, &(struct bench_race){.row = "hit by path, by threads", .contender = two, .count = 2});
    gets_end(&gets);
    for (int t = 0; t < PEER_THREADS; t++)
        free(table.thread[t].value);
    peer_tierkit.close(table.peer);
    peer_world_free(w);
}

static const struct bench_goal goals[] = {
    {"tier_get by path / table hit", "hit by path, 64 B", "tierkit tier_get", NULL, "table", '<', 3},
    {.name = NULL}};
const struct bench_group bench_path = {"path", "a hit through tier_get in an open session", run, goals};
