/* stats.c - counters for the host. */
#include "coherence/manager.h"

static const char *const metric_name[] = {
#define TIER__METRIC_NAME(name, text, help) text,
    TIER__METRICS(TIER__METRIC_NAME)
#undef TIER__METRIC_NAME
};

const char *tier__tier_name(int tier)
{
    static const char *const name[] = {"", "file", "tree", "delta"};
    return name[tier];
}

/* What live sessions served by recall and have not added up yet. */
static uint64_t tier_hits(tier_cache *c, int delta)
{
    uint64_t n = 0;
    pthread_mutex_lock(&c->world_lock);
    for (tier_session *s = c->sessions; s; s = s->next)
        n += atomic_load_explicit(&s->recall.tier_hits[delta], memory_order_relaxed);
    pthread_mutex_unlock(&c->world_lock);
    return n;
}

static uint64_t type_hits(tier_cache *c, const tier_type *t)
{
    uint64_t n = 0;
    pthread_mutex_lock(&c->world_lock);
    for (tier_session *s = c->sessions; s; s = s->next)
        if (t->index < s->recall.type_capacity)
            n += atomic_load_explicit(&s->recall.type_hits[t->index], memory_order_relaxed);
    pthread_mutex_unlock(&c->world_lock);
    return n;
}

static void memory_stats(const tier_cache *c, void (*each)(void *user, const char *name, double value),
                         void *user)
{
    char name[64];
    for (int t = TIER_FILE; t <= TIER_DELTA; t++) {
        struct tier__memory_stats m;
        tier__memory_stats(c->memory, t, &m);
        const struct {
            const char *what;
            uint64_t value;
        } rows[] = {{"entries", m.entries},     {"bytes", m.bytes},
                    {"budget", m.budget},       {"evicted", m.evicted},
                    {"overdraft", m.overdraft}, {"session_bytes", atomic_load(&c->session_bytes[t])}};
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            snprintf(name, sizeof name, "memory.%s.%s", tier__tier_name(t), rows[i].what);
            each(user, name, (double)rows[i].value);
        }
        for (int i = 0; i < TIER__GHOST_STEPS; i++) {
            snprintf(name, sizeof name, "memory.%s.more_%u", tier__tier_name(t), tier__ghost_percent[i]);
            each(user, name, (double)m.ghost_hits[i]);
        }
    }
}

int tier_stats(const tier_cache *cc, void (*each)(void *user, const char *name, double value), void *user)
{
    tier_cache *c = (tier_cache *)cc;
    char name[256];
    if (!c || c->magic != TIER__CACHE_MAGIC || !each)
        return TIER_EINVAL;
    for (int i = 0; i < TIER__METRIC_COUNT; i++) {
        uint64_t recalled =
            i == TIER__TREE_HIT || i == TIER__DELTA_HIT ? tier_hits(c, i == TIER__DELTA_HIT) : 0;
        each(user, metric_name[i], (double)(atomic_load(&c->base.metric[i]) + recalled));
    }
    memory_stats(c, each, user);
    if (c->store)
        each(user, "store.bytes", (double)tier__store_bytes(c->store));
    for (size_t k = 0;; k++) { /* one type a time: each runs without the lock */
        pthread_mutex_lock(&c->graph);
        tier_type *t = c->types;
        for (size_t i = 0; t && i < k; i++)
            t = t->next;
        double built = 0, hit = 0, loaded = 0;
        char type[160] = "";
        if (t) {
            built = (double)atomic_load(&t->built);
            hit = (double)(atomic_load(&t->hit) + type_hits(c, t));
            loaded = (double)atomic_load(&t->loaded);
            snprintf(type, sizeof type, "%s", t->name);
        }
        pthread_mutex_unlock(&c->graph);
        if (!t)
            return 0;
        snprintf(name, sizeof name, "type.%s.built", type);
        each(user, name, built);
        snprintf(name, sizeof name, "type.%s.hit", type);
        each(user, name, hit);
        snprintf(name, sizeof name, "type.%s.loaded", type);
        each(user, name, loaded);
    }
}
