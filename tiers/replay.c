/* replay.c - see replay.h. */
#include "tiers/replay.h"

enum { SHARDS = 64 };

struct sim {
    const struct tier__trace *trace;
    const struct tier__replay_options *o;
    struct tier__base *base;
    tier__entry **entry;       /* by key; NULL: not resident */
    tier__memory *memory;      /* of the entries: nothing is ever in its table */
    struct tier__order *order; /* by shard */
    char *state;               /* of the policy, one for each shard */
    struct tier__ranks ranks;
    uint32_t shards, hand;
    uint64_t used;
    struct tier__replay_result *result;
};

uint64_t tier__trace_footprint(const struct tier__trace *t, int tier, uint64_t *keys)
{
    uint64_t bytes = 0, count = 0;
    for (uint32_t k = 0; k < t->key_count; k++)
        if (t->key[k].tier == tier && t->key[k].sized) {
            bytes += t->key[k].charge;
            count++;
        }
    if (keys)
        *keys = count;
    return bytes;
}

/* Numbers of packed keys are no hashes yet (Stafford's mix 13). */
static uint64_t mixed(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static struct tier__order *order_of(const struct sim *s, const tier__entry *e)
{
    return &s->order[tier__digest_word(&e->key) & (s->shards - 1)];
}

static tier__entry *entry_make(struct sim *s, uint32_t key)
{
    const struct tier__trace_key *k = &s->trace->key[key];
    tier__entry *e = tier__entry_new(s->memory, k->tier, SIZE_MAX);
    if (!e || tier__entry_give(e, NULL, 0, NULL, NULL)) {
        tier__entry_unref(e);
        return NULL;
    }
    uint64_t word = k->hash;
    for (size_t i = 0; i < sizeof e->key.byte; i += sizeof word) {
        word = mixed(word + UINT64_C(0x9e3779b97f4a7c15));
        memcpy(e->key.byte + i, &word, sizeof word);
    }
    tier__entry_side(e)->charge = k->charge;
    tier__entry_set_cost(e, k->cost_us);
    return e;
}

/* e is in no policy any more. */
static void forget(struct sim *s, uint32_t key)
{
    s->used -= s->trace->key[key].charge;
    tier__entry_unref(s->entry[key]);
    s->entry[key] = NULL;
}

static void evict(struct sim *s)
{
    bool declined;
    uint64_t tried = 0;
    tier__entry *e = NULL;
    for (int at; !e; tried |= (uint64_t)!declined << at) {
        at = tier__ranks_least(&s->ranks, s->shards, s->hand, tried);
        if (at < 0)
            return;
        e = tier__order_victim(&s->order[at], true, &declined);
        if (e)
            tier__order_evicted(s->base, &s->order[at], e);
    }
    s->hand++;
    s->result->evicted++;
    forget(s, e->size);
}

static int come_in(struct sim *s, uint32_t key)
{
    uint64_t charge = s->trace->key[key].charge;
    if (charge > s->o->budget)
        return TIER_OK; /* lent, as the memory does */
    while (s->used + charge > s->o->budget)
        evict(s);
    tier__entry *e = entry_make(s, key);
    if (!e)
        return TIER_ENOMEM;
    e->size = key; /* the way back: there is no data */
    if (!tier__order_enter(s->base, order_of(s, e), e)) {
        tier__entry_unref(e);
        return TIER_ENOMEM;
    }
    s->entry[key] = e;
    s->used += charge;
    return TIER_OK;
}

static int step(struct sim *s, const struct tier__trace_event *e)
{
    const struct tier__trace_key *k = &s->trace->key[e->key];
    tier__entry *there = s->entry[e->key];
    struct tier__replay_result *r = s->result;
    if (k->tier != s->o->tier)
        return TIER_OK;
    if (e->what == TIER__TRACE_DEAD) {
        if (there && !s->o->keep_dead)
            tier__order_demote(order_of(s, there), there, true);
        return TIER_OK;
    }
    if (e->what == TIER__TRACE_PUT)
        return there ? TIER_OK : come_in(s, e->key);
    if (!k->sized) {
        r->unsized++;
        return TIER_OK;
    }
    r->gets++;
    r->bytes += k->charge;
    r->cost_us += k->cost_us;
    if (there) {
        r->hits++;
        r->hit_bytes += k->charge;
        r->hit_cost_us += k->cost_us;
        tier__entry_used(there);
        return tier__order_hit(s->base, order_of(s, there), there, true) ? TIER_OK : TIER_ENOMEM;
    }
    return e->what == TIER__TRACE_HIT ? come_in(s, e->key) : TIER_OK;
}

static void fini(struct sim *s)
{
    const struct tier__policy *p = s->o->policy;
    for (uint32_t i = 0; s->order && s->state && i < s->shards; i++) {
        bool declined;
        for (tier__entry *e; (e = tier__order_victim(&s->order[i], false, &declined));)
            forget(s, (uint32_t)e->size);
        if (p->fini)
            p->fini(s->base, s->order[i].state);
    }
    tier__memory_destroy(&s->memory);
    tier__free(s->base, s->entry);
    tier__free(s->base, s->order);
    tier__free(s->base, s->state);
}

int tier__replay(const struct tier__trace *t, const struct tier__replay_options *o,
                 struct tier__replay_result *result)
{
    *result = (struct tier__replay_result){.gets = 0};
    if (!o->policy)
        return tier__replay_belady(t, o, result);
    struct sim s = {.trace = t, .o = o, .base = t->base, .result = result};
    size_t size = (o->policy->state_size + 15) & ~(size_t)15;
    s.shards = o->shards ? o->shards : SHARDS;
    s.entry = tier__zalloc(t->base, t->key_count + (size_t)1, sizeof *s.entry);
    s.order = tier__zalloc(t->base, s.shards, sizeof *s.order);
    s.state = tier__zalloc(t->base, s.shards, size);
    int rc = tier__memory_create(t->base, &(struct tier__memory_options){.policy = NULL}, &s.memory);
    if (!s.entry || !s.order || !s.state)
        rc = TIER_ENOMEM;
    for (uint32_t i = 0; !rc && i < s.shards; i++)
        tier__order_init(&s.order[i], o->policy, s.state + i * size, &s.ranks, i);
    for (size_t i = 0; i < t->event_count && !rc; i++)
        rc = step(&s, &t->event[i]);
    fini(&s);
    return rc;
}
