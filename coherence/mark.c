/* mark.c - push: an event makes what it names DIRTY and everything that was computed from it MAYBE (I6).
 * Marks tell who listens; truth is what a view verifies, so a mark too many costs an event, never an answer.
 * An event finds the vertices it strikes by the tree of interned paths, and walks up from them (reverse.h):
 * its cost is that of what it reaches, not of what is known. */
#include "coherence/reverse.h"
#include "tiers/stream.h"

/* ---- what an event strikes; graph lock held */
struct marking {
    tier_cache *c;
    uint64_t event;
    struct tier__ids queue; /* those marked by this event, in order */
    bool failed;
};

static void strike(struct marking *m, uint32_t dep)
{
    m->failed |= !tier__cascade_mark(m->c, dep, m->event, TIER__DIRTY, &m->queue);
}

static void strike_path(struct marking *m, const struct tier__path *p, bool listings_only)
{
    for (uint32_t id = p->first_dep; id;) {
        const struct tier__dep *d = tier__chunks_at(&m->c->dep_by_id, id - 1);
        if (!listings_only || d->kind == TIER__K_LISTING)
            strike(m, id - 1);
        id = d->next_of_path;
    }
}

/* It and all below it, by the links of the tree. */
static void strike_below(struct marking *m, const struct tier__path *top)
{
    const struct tier__path *p = top;
    while (p) {
        strike_path(m, p, false);
        if (p->child) {
            p = p->child;
            continue;
        }
        while (p != top && !p->sibling)
            p = p->parent;
        p = p == top ? NULL : p->sibling;
    }
}

static void strike_name(struct marking *m, const char *name)
{
    struct tier__path *p = tier__path_known(m->c, name, true);
    if (p && strcmp(p->key, name) == 0) {
        strike_below(m, p);
        p = p->parent;
    }
    for (; p; p = p->parent)
        strike_path(m, p, true);
}

static void strike_input(struct marking *m, const char *name)
{
    const struct tier__dep *d = tier__dep_known(m->c, TIER__K_INPUT, name, strlen(name));
    if (d)
        strike(m, d->id);
}

static void strike_all(struct marking *m)
{
    for (uint32_t id = 0; id < m->c->dep_count; id++)
        if (((struct tier__dep *)tier__chunks_at(&m->c->dep_by_id, id))->kind != TIER__K_RESULT)
            strike(m, id);
}

/* ---- the event */
static void mark_all(struct marking *m, int kind, const char *name)
{
    tier_cache *c = m->c;
    pthread_mutex_lock(&c->marking);
    if (tier__reverse_ready(c)) {
        const struct tier__reverse *r = c->reverse;
        if (!name)
            strike_all(m);
        else if (kind == TIER__K_INPUT)
            strike_input(m, name);
        else
            strike_name(m, name);
        for (size_t i = 0; i < r->opaque.count; i++)
            if (tier__reverse_opaque(r, r->opaque.id[i]))
                m->failed |= !tier__cascade_mark(c, r->opaque.id[i], m->event, TIER__MAYBE, &m->queue);
        m->failed |= !tier__cascade(c, r, m->event, &m->queue);
        pthread_mutex_unlock(&c->graph);
    } else {
        m->failed = true;
    }
    pthread_mutex_unlock(&c->marking);
}

static void cancel_on_change(tier_cache *c)
{
    pthread_mutex_lock(&c->world_lock);
    for (tier_session *s = c->sessions; s; s = s->next)
        if (s->flags & TIER_CANCEL_ON_CHANGE)
            atomic_store(&s->canceled, TIER_ECANCELED);
    pthread_mutex_unlock(&c->world_lock);
}

static void publish_marked(struct marking *m)
{
    tier_cache *c = m->c;
    for (size_t i = 0; i < m->queue.count; i++) {
        pthread_mutex_lock(&c->graph);
        const tier__node *n = ((struct tier__dep *)tier__chunks_at(&c->dep_by_id, m->queue.id[i]))->node;
        const tier_type *type = n && n->variant_count ? n->type : NULL;
        pthread_mutex_unlock(&c->graph);
        if (type)
            tier__hub_publish(c->hub, TIER_INVALIDATED, n->path ? n->path->key : NULL, type, NULL);
    }
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
    publish_marked(&m);
    if (m.failed)
        tier__hub_gap(c->hub); /* no memory to say which: never silence */
    tier__ids_fini(&c->base, &m.queue);
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
