/* governor.c - see governor.h. */
#include "tiers/governor.h"

/* Tasks that wait for memory a tenth of the time: the machine is short, whatever the limits say. systemd-oomd
 * kills at 60 of `full` over 30 s; to give way comes long before. */
#define STALL_SOME 10.0
#define STALL_FULL 10.0

enum { STEPS = 8, MOVE = 16, FACTOR = 2, RUNNING = 3 };

static uint64_t sum(const uint64_t v[5])
{
    return v[TIER_FILE] + v[TIER_TREE] + v[TIER_DELTA];
}

static uint64_t least(const struct tier__governor *g, int tier)
{
    return (uint64_t)((double)g->o.budget[tier] * g->o.keep);
}

void tier__governor_init(struct tier__governor *g, const struct tier__governor_options *o)
{
    *g = (struct tier__governor){.o = *o, .total = sum(o->budget)};
    memcpy(g->share, o->budget, sizeof g->share);
    atomic_init(&g->next, 0);
    pthread_mutex_init(&g->lock, NULL);
}

void tier__governor_fini(struct tier__governor *g)
{
    pthread_mutex_destroy(&g->lock);
}

void tier__governor_press(struct tier__governor *g, const struct tier__pressure *p, uint64_t kept)
{
    uint64_t most = sum(g->o.budget), floor = (uint64_t)((double)most * g->o.keep);
    double part = p->limit ? (double)p->used / (double)p->limit : 0;
    uint64_t mark = (uint64_t)((double)p->limit * g->o.trim);
    bool stalls = p->some >= STALL_SOME, hard = part > g->o.hard || p->full >= STALL_FULL;
    if (part > g->o.trim || stalls || hard) {
        uint64_t out = part > g->o.trim ? p->used - mark : 0;
        if (stalls && out < kept / STEPS)
            out = kept / STEPS;
        if (hard && out < kept / 2)
            out = kept / 2;
        uint64_t total = out < kept ? kept - out : 0;
        total = total < g->total ? total : g->total;
        g->total = total > floor ? total : floor;
    } else if (g->total < most) {
        uint64_t more = most / STEPS + 1;
        if (!p->limit || p->used + more <= mark)
            g->total = most - g->total < more ? most : g->total + more;
    }
}

bool tier__governor_size(struct tier__governor *g, const uint64_t saved_us[5])
{
    double gain[5] = {0};
    for (int t = TIER_FILE; t <= TIER_TREE; t++) {
        uint64_t lately = saved_us[t] - g->saved_us[t];
        gain[t] = g->share[t] ? (double)lately / (double)g->share[t] : 0;
        g->saved_us[t] = saved_us[t];
    }
    unsigned to = gain[TIER_FILE] > FACTOR * gain[TIER_TREE]   ? TIER_FILE
                  : gain[TIER_TREE] > FACTOR * gain[TIER_FILE] ? TIER_TREE
                                                               : 0;
    g->running = to && to == g->toward ? g->running + 1 : to != 0;
    g->toward = to;
    if (g->running < RUNNING)
        return false;
    g->running = 0;
    int from = to == TIER_FILE ? TIER_TREE : TIER_FILE;
    uint64_t move = (g->o.budget[TIER_FILE] + g->o.budget[TIER_TREE]) / MOVE, low = least(g, from);
    if (g->share[from] < low + move)
        move = g->share[from] > low ? g->share[from] - low : 0;
    g->share[from] -= move;
    g->share[to] += move;
    return move > 0;
}

uint64_t tier__governor_limit(const struct tier__governor *g, int tier)
{
    uint64_t most = sum(g->o.budget);
    return g->total >= most ? g->share[tier]
                            : (uint64_t)((double)g->share[tier] * ((double)g->total / (double)most));
}

static void tell(struct tier__governor *g, struct tier__base *b, const struct tier__pressure *p, uint64_t was)
{
    if (g->total < was)
        tier__count(b, TIER__MEMORY_TRIM, 1);
    if (g->total < was && !g->told)
        tier__log(
            b, TIER_LOG_NOTICE,
            "memory is short (%.0f of %.0f MiB used, tasks waited %.0f %% of the time): the cache keeps "
            "%.0f MiB at most until it is not",
            (double)p->used / 1048576, (double)p->limit / 1048576, p->some, (double)g->total / 1048576);
    g->told = g->total < sum(g->o.budget);
}

void tier__governor_look(struct tier__governor *g, struct tier__base *b, tier__memory *m, int64_t now_ms)
{
    if (now_ms < atomic_load_explicit(&g->next, memory_order_relaxed) || pthread_mutex_trylock(&g->lock))
        return;
    atomic_store_explicit(&g->next, now_ms + TIER__LOOK_MS, memory_order_relaxed);
    struct tier__pressure p;
    uint64_t kept = 0, was = g->total, saved_us[5] = {0};
    for (int t = TIER_FILE; t <= TIER_DELTA; t++) {
        struct tier__memory_stats s;
        tier__memory_stats(m, t, &s);
        kept += s.bytes + s.reserved;
        saved_us[t] = s.ghost_cost_us[0]; /* the first step is an eighth */
    }
    tier__pressure_read(g->o.root, &p);
    tier__governor_press(g, &p, kept);
    tell(g, b, &p, was);
    bool moved = g->o.sizing && tier__governor_size(g, saved_us);
    if (moved)
        tier__count(b, TIER__MEMORY_MOVE, 1);
    if (moved || g->total != was)
        for (int t = TIER_FILE; t <= TIER_DELTA; t++)
            tier__memory_limit(m, t, tier__governor_limit(g, t));
    pthread_mutex_unlock(&g->lock);
}
