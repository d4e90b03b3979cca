/* mark.c - push: an event makes what it names DIRTY and everything that was computed from it MAYBE (I6).
 * Reverse edges are derived from the stored forward ones, in arrays, when a stream or a watcher asks (I7);
 * the walk over them is iterative. Marks tell who listens; truth is what a view verifies, so a mark too many
 * costs an event, never an answer. */
#include "coherence/manager.h"
#include "tiers/stream.h"

struct tier__reverse { /* who read dependency d: node[start[d] .. start[d + 1]] */
    uint64_t version;
    uint32_t deps;
    size_t *start;
    tier__node **node;
    tier__node **unwalked; /* whose edges are still as on disk: marked by every event */
    size_t unwalked_count;
};

static void reverse_free(tier_cache *c, struct tier__reverse *r)
{
    if (!r)
        return;
    tier__free(&c->base, r->start);
    tier__free(&c->base, r->node);
    tier__free(&c->base, r->unwalked);
    tier__free(&c->base, r);
}

void tier__mark_free(tier_cache *c)
{
    reverse_free(c, c->reverse);
    c->reverse = NULL;
}

/* Calls each for the newest variant of every request; graph lock held. */
static void newest(tier_cache *c,
                   void (*each)(struct tier__reverse *r, tier__node *n, const struct tier__variant *v),
                   struct tier__reverse *r)
{
    for (size_t i = 0; i < c->nodes.bucket_count; i++)
        for (tier__node *n = c->nodes.bucket[i]; n; n = n->chain)
            if (n->variant_count)
                each(r, n, n->variant[0]);
}

static void reverse_count(struct tier__reverse *r, tier__node *n, const struct tier__variant *v)
{
    (void)n;
    r->unwalked_count += v->raw != NULL;
    for (uint32_t i = 0; !v->raw && i < v->edge_count; i++)
        r->start[v->edges[i].dep + 1]++;
}

static void reverse_fill(struct tier__reverse *r, tier__node *n, const struct tier__variant *v)
{
    if (v->raw)
        r->unwalked[r->unwalked_count++] = n;
    for (uint32_t i = 0; !v->raw && i < v->edge_count; i++)
        r->node[r->start[v->edges[i].dep]++] = n;
}

/* Graph lock held. */
static struct tier__reverse *reverse_of(tier_cache *c)
{
    if (c->reverse && c->reverse->version == c->graph_version && c->reverse->deps == c->dep_count)
        return c->reverse;
    tier__mark_free(c);
    struct tier__reverse *r = tier__zalloc(&c->base, 1, sizeof *r);
    if (!r || !(r->start = tier__zalloc(&c->base, c->dep_count + 2, sizeof *r->start))) {
        reverse_free(c, r);
        return NULL;
    }
    newest(c, reverse_count, r);
    for (uint32_t d = 0; d < c->dep_count; d++)
        r->start[d + 1] += r->start[d];
    r->node = tier__zalloc(&c->base, r->start[c->dep_count] + 1, sizeof *r->node);
    r->unwalked = tier__zalloc(&c->base, r->unwalked_count + 1, sizeof *r->unwalked);
    if (!r->node || !r->unwalked) {
        reverse_free(c, r);
        return NULL;
    }
    r->unwalked_count = 0;
    newest(c, reverse_fill, r);
    memmove(r->start + 1, r->start,
            c->dep_count * sizeof *r->start); /* filling moved each start to its end */
    r->start[0] = 0;
    r->deps = c->dep_count;
    r->version = c->graph_version;
    return c->reverse = r;
}

struct marking {
    tier_cache *c;
    uint64_t event;
    tier__node **queue; /* those marked by this event, in order */
    size_t count, capacity;
    bool failed;
};

static void mark_node(struct marking *m, tier__node *n, enum tier__state state)
{
    if (n->event == m->event)
        return;
    n->event = m->event;
    n->state = state;
    if (m->count == m->capacity) {
        size_t k = m->capacity ? m->capacity * 2 : 256;
        tier__node **grown = tier__resize(&m->c->base, m->queue, k * sizeof *grown);
        if (!grown) {
            m->failed = true;
            return;
        }
        m->queue = grown;
        m->capacity = k;
    }
    m->queue[m->count++] = n;
}

static void mark_readers(struct marking *m, const struct tier__reverse *r, uint32_t dep,
                         enum tier__state state)
{
    for (size_t i = r->start[dep]; i < r->start[dep + 1]; i++)
        mark_node(m, r->node[i], state);
}

/* Does an event of this kind concern d directly? name NULL: anything may have changed. */
static bool concerns(const struct tier__dep *d, int kind, const char *name)
{
    if (!name)
        return d->kind != TIER__K_RESULT;
    switch (d->kind) {
    case TIER__K_CONTENT:
    case TIER__K_KIND:
    case TIER__K_LINK:
    case TIER__K_STAT:
    case TIER__K_TOOL: /* or something above it */
        return kind != TIER__K_INPUT && tier__path_below(d->path->key, name);
    case TIER__K_LISTING: /* something below it, or above */
        return kind != TIER__K_INPUT &&
               (tier__path_below(name, d->path->key) || tier__path_below(d->path->key, name));
    case TIER__K_INPUT:
        return kind == TIER__K_INPUT && strcmp(d->name, name) == 0;
    default:
        return false;
    }
}

static void mark_all(struct marking *m, int kind, const char *name)
{
    tier_cache *c = m->c;
    pthread_mutex_lock(&c->graph);
    struct tier__reverse *r = reverse_of(c);
    if (!r) {
        m->failed = true;
    } else {
        for (uint32_t i = 0; i < r->deps; i++) {
            const struct tier__dep *d = tier__chunks_at(&c->dep_by_id, i);
            if (concerns(d, kind, name))
                mark_readers(m, r, i, TIER__DIRTY);
        }
        for (size_t i = 0; i < r->unwalked_count; i++)
            mark_node(m, r->unwalked[i], TIER__MAYBE);
        for (size_t i = 0; i < m->count; i++) /* the queue grows as it is walked */
            mark_readers(m, r, m->queue[i]->dep, TIER__MAYBE);
    }
    pthread_mutex_unlock(&c->graph);
}

static void cancel_on_change(tier_cache *c)
{
    pthread_mutex_lock(&c->world_lock);
    for (tier_session *s = c->sessions; s; s = s->next)
        if (s->flags & TIER_CANCEL_ON_CHANGE)
            atomic_store(&s->canceled, TIER_ECANCELED);
    pthread_mutex_unlock(&c->world_lock);
}

void tier__mark(tier_cache *c, int kind, const char *name)
{
    pthread_mutex_lock(&c->world_lock);
    uint64_t event = ++c->event;
    pthread_mutex_unlock(&c->world_lock);
    cancel_on_change(c);
    bool path = kind != TIER__K_INPUT;
    if (c->hub && path && name)
        tier__hub_publish(c->hub, TIER_CHANGED, name, NULL, NULL);
    if (c->hub && !name)
        tier__hub_gap(c->hub);
    if (!c->hub || !tier__hub_wants(c->hub, TIER_INVALIDATED))
        return;
    struct marking m = {.c = c, .event = event};
    mark_all(&m, kind, name);
    for (size_t i = 0; i < m.count; i++) {
        const tier__node *n = m.queue[i];
        if (n->type)
            tier__hub_publish(c->hub, TIER_INVALIDATED, n->path ? n->path->key : NULL, n->type, NULL);
    }
    if (m.failed)
        tier__hub_gap(c->hub); /* no memory to say which: never silence */
    tier__free(&c->base, m.queue);
}

void tier__cache_changed(tier_cache *c, const char *path)
{
    tier__mark(c, TIER__K_CONTENT, path);
}

void tier__publish_result(tier_cache *c, const tier__node *n, tier__entry *e)
{
    if (tier__hub_wants(c->hub, TIER_RESULT))
        tier__hub_publish(c->hub, TIER_RESULT, n->path ? n->path->key : NULL, n->type, e);
}

void tier__cache_each_result(tier_cache *c, const tier_type *type,
                             void (*each)(void *user, const tier_type *type, const char *path,
                                          tier__entry *e),
                             void *user)
{
    for (size_t i = 0;; i++) { /* one bucket a time: each runs without the lock */
        tier__node *some[64];
        size_t count = 0;
        tier_digest key[64];
        pthread_mutex_lock(&c->graph);
        bool end = i >= c->nodes.bucket_count;
        for (tier__node *n = end ? NULL : c->nodes.bucket[i]; n && count < 64; n = n->chain)
            if (n->type && (!type || n->type == type) && n->variant_count && !n->variant[0]->rc &&
                !(n->type->def.flags & TIER_EXCLUSIVE)) {
                key[count] = n->variant[0]->key;
                some[count++] = n;
            }
        pthread_mutex_unlock(&c->graph);
        if (end)
            return;
        for (size_t k = 0; k < count; k++) {
            tier__entry *e = tier__memory_find(c->memory, (int)some[k]->type->def.tier, &key[k]);
            if (e)
                each(user, some[k]->type, some[k]->path ? some[k]->path->key : NULL, e);
            tier__entry_unref(e);
        }
    }
}
