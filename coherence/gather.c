/* gather.c - what lies below a result that a view has just brought up to date: results with their edges,
 * dependencies with what was observed, leaves with their stat identities. Results that the view did not
 * touch, because its snapshot said that they hold, are taken from there. */
#include "coherence/gather.h"

void *tier__list_add(struct tier__base *b, struct tier__list *l, size_t element)
{
    if (l->count == l->capacity) {
        size_t n = l->capacity ? l->capacity * 2 : 256;
        void *grown = tier__resize(b, l->data, n * element);
        if (!grown)
            return NULL;
        l->data = grown;
        l->capacity = n;
    }
    return (char *)l->data + element * l->count++;
}

uint32_t tier__place(const struct tier__places *p, uint32_t id)
{
    return id < p->size ? p->at[id] : 0;
}

static bool place_set(struct tier__base *b, struct tier__places *p, uint32_t id, uint32_t value)
{
    if (id >= p->size) {
        size_t n = p->size ? p->size * 2 : 4096;
        while (n <= id)
            n *= 2;
        uint32_t *grown = tier__resize(b, p->at, n * sizeof *grown);
        if (!grown)
            return false;
        memset(grown + p->size, 0, (n - p->size) * sizeof *grown);
        p->at = grown;
        p->size = n;
    }
    p->at[id] = value;
    return true;
}

/* ---- leaves */
static bool add_leaf(struct tier__gather *g, struct tier__path *p, const struct tier__look *look,
                     uint32_t *number)
{
    struct tier__base *b = &g->s->cache->base;
    const char *dir;
    if ((*number = tier__place(&g->of_path, p->id))) {
        --*number;
        return true;
    }
    struct tier__gather_leaf *l = tier__list_add(b, &g->leaves, sizeof *l);
    if (!l)
        return false;
    *number = (uint32_t)g->leaves.count - 1;
    *l = (struct tier__gather_leaf){
        .own = look->kind == 'd', .id = look->id, .observed_at = look->observed_at};
    l->number = *number;
    const char *name = tier__closure_split(p, &dir);
    l->dir = l->own ? p->key : dir;
    l->name = l->own ? "" : name;
    bool ok = place_set(b, &g->of_path, p->id, *number + 1);
    if (!ok)
        g->leaves.count--;
    return ok;
}

static bool frozen_look(struct tier__gather *g, const struct tier__path *p, struct tier__look *out)
{
    tier__view *v = g->s->view;
    pthread_mutex_lock(&v->lock);
    struct tier__look *l = tier__chunks_at(&v->looks, p->id);
    bool looked = l && l->looked;
    if (looked)
        *out = *l;
    pthread_mutex_unlock(&v->lock);
    return looked || tier__closure_look(v, p, out);
}

static bool add_anchor(struct tier__gather *g, struct tier__gather_dep *d, uint32_t number)
{
    uint32_t *a = tier__list_add(&g->s->cache->base, &g->anchors, sizeof *a);
    if (a)
        *a = number;
    d->anchor_count += a != NULL;
    return a != NULL;
}

/* A path that was looked at hangs on its own stamps, or on those of the nearest thing above it that is there.
 */
static bool anchor_path(struct tier__gather *g, struct tier__gather_dep *d, struct tier__path *p)
{
    struct tier__look look = {.looked = false};
    bool ok = true;
    uint32_t number;
    while (ok) {
        struct tier__statid id;
        char kind;
        ok = frozen_look(g, p, &look) && (look.rc == 0 || look.rc == TIER_EABSENT);
        if (!ok || look.rc == 0)
            break;
        if (tier__path_stat(g->s->cache, p, true, &id, &kind) == 0)
            return true; /* a link that leads nowhere: what it wants may come anywhere; observed anew each
                            time */
        ok = *p->rel != 0 && strcmp(p->rel, "/") != 0;
        p = p->parent;
    }
    return ok && !look.overlay && add_leaf(g, p, &look, &number) && add_anchor(g, d, number);
}

struct visiting {
    struct tier__gather *g;
    struct tier__gather_dep d;
};

static int visited(void *user, struct tier__path *p)
{
    struct visiting *v = user;
    return anchor_path(v->g, &v->d, p) ? 0 : TIER_ETRANSIENT;
}

static bool anchor_listing(struct tier__gather *g, struct tier__gather_dep *d)
{
    struct tier__buf records;
    struct visiting v = {g, *d};
    tier__buf_init(&records, &g->s->cache->base);
    int rc = tier__view_listing(g->s, d->dep->path, d->dep->name, &records, visited, &v);
    tier__buf_fini(&records);
    *d = v.d;
    return rc == 0 || (rc == TIER_EABSENT && anchor_path(g, d, d->dep->path));
}

static bool anchor(struct tier__gather *g, struct tier__gather_dep *d)
{
    switch (d->dep->kind) {
    case TIER__K_LISTING:
        return anchor_listing(g, d);
    case TIER__K_CONTENT:
    case TIER__K_KIND:
    case TIER__K_STAT:
    case TIER__K_TOOL:
        return anchor_path(g, d, d->dep->path);
    default:
        return true; /* observed anew each time */
    }
}

/* ---- dependencies and results */
static bool add_dep(struct tier__gather *g, struct tier__dep *dep, const tier_digest *value,
                    struct tier__gather_dep **out)
{
    struct tier__base *b = &g->s->cache->base;
    struct tier__gather_dep *d = tier__list_add(b, &g->deps, sizeof *d);
    if (!d || !place_set(b, &g->of_dep, dep->id, (uint32_t)g->deps.count))
        return false;
    *d = (struct tier__gather_dep){.dep = dep, .value = *value, .anchor = (uint32_t)g->anchors.count};
    *out = d;
    return true;
}

static bool push(struct tier__gather *g, uint32_t dep)
{
    struct tier__base *b = &g->s->cache->base;
    uint32_t *at = tier__list_add(b, &g->stack, sizeof *at);
    struct tier__gather_node *n = at ? tier__list_add(b, &g->nodes, sizeof *n) : NULL;
    if (!n || !place_set(b, &g->of_dep, dep, (uint32_t)g->nodes.count))
        return false;
    *at = dep;
    memset(n, 0, sizeof *n);
    return true;
}

static bool add_edge(struct tier__gather *g, uint32_t dep)
{
    uint32_t *e = tier__list_add(&g->s->cache->base, &g->edges, sizeof *e);
    if (e)
        *e = dep;
    return e != NULL;
}

static bool edge_of_view(struct tier__gather *g, struct tier__edge e)
{
    tier_cache *c = g->s->cache;
    struct tier__dep *dep = tier__dep_at(c, e.dep);
    struct tier__gather_dep *d;
    tier_digest value;
    if (!add_edge(g, e.dep))
        return false;
    if (tier__place(&g->of_dep, e.dep))
        return true;
    if (dep->kind == TIER__K_RESULT)
        return push(g, e.dep);
    tier__dep_value(c, dep, e.version, &value);
    return add_dep(g, dep, &value, &d) && anchor(g, d);
}

static bool node_of_view(struct tier__gather *g, uint32_t number, const struct tier__variant *v)
{
    struct tier__gather_node *n = (struct tier__gather_node *)g->nodes.data + number;
    n->key = v->key;
    n->hash = v->hash;
    n->edge = (uint32_t)g->edges.count;
    n->edge_count = v->edge_count;
    if (v->expires_ms && (!g->expires_ms || v->expires_ms < g->expires_ms))
        g->expires_ms = v->expires_ms;
    for (uint32_t i = 0; i < v->edge_count; i++)
        if (!edge_of_view(g, v->edges[i]))
            return false;
    return true;
}

static bool known_make(struct tier__gather *g, const struct tier__closure *k)
{
    struct tier__leaf_walk w;
    struct tier__reader leaf;
    const char *name;
    bool own;
    uint32_t i = 0;
    g->known = tier__zalloc(&g->s->cache->base, g->s->view->snapshot->leaf_count + 1u, sizeof *g->known);
    if (!g->known)
        return false;
    tier__leaf_walk_begin(&w, k);
    while (tier__leaf_walk_next(&w, &name, &own, &leaf))
        g->known[i++] = (struct tier__leaf_place){(uint32_t)(w.dir - (const char *)k->leaves.data),
                                                  (uint32_t)(leaf.at - k->leaves.data), own};
    return true;
}

/* A leaf of the snapshot's closure, as it was and is. */
static bool anchor_known(struct tier__gather *g, struct tier__gather_dep *d, uint32_t ordinal)
{
    tier_cache *c = g->s->cache;
    struct tier__closure *k = g->s->view->snapshot->closure;
    struct tier__look look = {.kind = 0};
    uint32_t number;
    int rc;
    if (!g->known && !known_make(g, k))
        return false;
    const struct tier__leaf_place *at = &g->known[ordinal];
    struct tier__reader r = tier__reader_of(k->leaves.data + at->leaf, k->leaves.size - at->leaf);
    tier__closure_leaf(&r, &look.id, &look.observed_at);
    look.kind = at->own ? 'd' : 'f';
    struct tier__path *p = tier__path_of(c, (const char *)k->leaves.data + at->directory, &rc);
    const char *name = at->own ? "" : tier__closure_name(&r);
    p = p && *name ? tier__path_join(c, p, name, &rc) : p;
    return p && add_leaf(g, p, &look, &number) && add_anchor(g, d, number);
}

static bool edge_of_snapshot(struct tier__gather *g, const struct tier__snapshot *t, uint32_t edge)
{
    tier_cache *c = g->s->cache;
    struct tier__snapshot_dep sd;
    struct tier__snapshot_node sn;
    struct tier__gather_dep *d;
    if (!(edge & TIER__LEAF_EDGE)) {
        if (!tier__snapshot_node_at(t, edge, &sn))
            return false;
        struct tier__dep *result =
            tier__dep_of(c, TIER__K_RESULT, NULL, 0, sn.identity.byte, sizeof sn.identity.byte);
        return result && add_edge(g, result->id) &&
               (tier__place(&g->of_dep, result->id) || push(g, result->id));
    }
    uint32_t number = edge & ~TIER__LEAF_EDGE;
    if (!tier__snapshot_dep_at(t, number, &sd))
        return false;
    struct tier__dep *dep = tier__snapshot_intern(c, &sd);
    if (!dep || !add_edge(g, dep->id))
        return false;
    if (tier__place(&g->of_dep, dep->id))
        return true;
    if (!add_dep(g, dep, &sd.value, &d))
        return false;
    if (tier__bit(t->suspicious, number)) /* observed by this view, and found equal */
        return anchor(g, d);
    for (uint32_t i = 0; i < sd.anchor_count; i++)
        if (!anchor_known(g, d, tier__read_u32(&sd.anchors)))
            return false;
    return true;
}

/* Which of its closure's types the results of the snapshot are of is not known: all of them. */
static bool types_of_snapshot(struct tier__gather *g, const struct tier__buf *types)
{
    tier_digest type;
    bool ok = true;
    for (size_t at = 0; ok && at + sizeof type.byte <= types->size; at += sizeof type.byte) {
        memcpy(type.byte, types->data + at, sizeof type.byte);
        ok = tier__closure_type(g->to, &type);
    }
    return ok;
}

static bool node_of_snapshot(struct tier__gather *g, uint32_t number, const struct tier__snapshot *t,
                             struct tier__snapshot_node *known)
{
    struct tier__gather_node *n = (struct tier__gather_node *)g->nodes.data + number;
    n->key = known->key;
    n->hash = known->hash;
    n->edge = (uint32_t)g->edges.count;
    n->edge_count = known->edge_count;
    for (uint32_t i = 0; i < known->edge_count; i++)
        if (!edge_of_snapshot(g, t, tier__read_u32(&known->edges)))
            return false;
    return true;
}

/* Not of this session alone (tier_once)? Then its type is noted. */
static bool remembered(struct tier__gather *g, const struct tier__dep *d, const struct tier__variant *v)
{
    tier_cache *c = g->s->cache;
    bool found = false;
    pthread_mutex_lock(&c->graph);
    for (uint32_t i = 0; d->node && i < d->node->variant_count; i++)
        found |= d->node->variant[i] == v || tier__digest_equal(&d->node->variant[i]->key, &v->key);
    bool noted = found && d->node->type && tier__closure_type(g->to, &d->node->type->identity);
    pthread_mutex_unlock(&c->graph);
    return noted;
}

static bool expand(struct tier__gather *g, uint32_t dep)
{
    tier_cache *c = g->s->cache;
    tier__view *v = g->s->view;
    uint32_t number = tier__place(&g->of_dep, dep) - 1;
    struct tier__dep *d = tier__dep_at(c, dep);
    struct tier__gather_node *n = (struct tier__gather_node *)g->nodes.data + number;
    struct tier__snapshot_node known;
    memcpy(n->identity.byte, d->name, sizeof n->identity.byte);
    pthread_mutex_lock(&v->lock);
    struct tier__slot *slot = tier__chunks_at(&v->slots, dep);
    struct tier__variant *bound = slot ? slot->variant : NULL;
    pthread_mutex_unlock(&v->lock);
    if (bound && !remembered(g, d, bound))
        return false;
    if (v->snapshot && tier__snapshot_clean(v->snapshot, &n->identity, &known) != UINT32_MAX)
        return node_of_snapshot(g, number, v->snapshot, &known);
    return bound && tier__variant_edges(c, bound) && node_of_view(g, number, bound);
}

bool tier__gather(struct tier__gather *g, tier__node *n)
{
    bool ok = push(g, n->dep);
    while (ok && g->stack.count)
        ok = expand(g, ((uint32_t *)g->stack.data)[--g->stack.count]);
    if (ok && g->s->view->snapshot) { /* what was not touched expires when it was to, and is of those types */
        const struct tier__closure *k = g->s->view->snapshot->closure;
        int64_t e = k->expires_ms;
        ok = types_of_snapshot(g, &k->types);
        if (e && (!g->expires_ms || e < g->expires_ms))
            g->expires_ms = e;
    }
    return ok;
}

void tier__gather_fini(struct tier__gather *g)
{
    struct tier__base *b = &g->s->cache->base;
    struct tier__list *lists[] = {&g->leaves, &g->deps, &g->nodes, &g->anchors, &g->edges, &g->stack};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        tier__free(b, lists[i]->data);
    tier__free(b, g->of_path.at);
    tier__free(b, g->of_dep.at);
    tier__free(b, g->known);
}
