/* snapshot.c - the graph below a result as it was when its closure was made. When some leaves are not as they
 * were, the dependencies that hang on them are observed anew; what really changed is pushed upwards over the
 * reverse edges, and every result that was not reached holds as it is: MAYBE is pushed, and only that is
 * pulled (I6). The walk then asks here before it reads the records of a result, so that an edit costs what it
 * touches.
 *
 * Soundness: a clean result's dependencies, down to the leaves, were compared with this view: each leaf by a
 * settled stat identity, or by observing it. Bans and expiry are the closure's; it was refused before we come
 * here. */
#include "coherence/closure.h"

void tier__snapshot_free(tier_cache *c, struct tier__snapshot *t)
{
    if (!t)
        return;
    tier__closure_unref(c, t->closure);
    tier__buf_fini(&t->graph);
    tier__free(&c->base, t->failed);
    tier__free(&c->base, t->dep_at);
    tier__free(&c->base, t->node_at);
    tier__free(&c->base, t->suspicious);
    tier__free(&c->base, t->maybe);
    tier__free(&c->base, t->by_identity);
    tier__free(&c->base, t);
}

/* ---- reading it */
static void get_digest(struct tier__reader *r, tier_digest *d)
{
    const void *p = tier__read_raw(r, sizeof d->byte);
    if (p)
        memcpy(d->byte, p, sizeof d->byte);
}

static bool read_dep(struct tier__reader *r, struct tier__snapshot_dep *d)
{
    d->kind = tier__read_u8(r);
    d->has_path = tier__read_u8(r);
    d->fields = tier__read_u32(r);
    d->path = tier__closure_name(r);
    d->name = tier__read_bytes(r, &d->name_size);
    get_digest(r, &d->value);
    d->anchor_count = tier__read_u32(r);
    d->anchors = *r;
    tier__read_raw(r, (size_t)d->anchor_count * 4);
    return !r->failed;
}

static bool read_node(struct tier__reader *r, struct tier__snapshot_node *n)
{
    get_digest(r, &n->identity);
    get_digest(r, &n->key);
    get_digest(r, &n->hash);
    n->edge_count = tier__read_u32(r);
    n->edges = *r;
    tier__read_raw(r, (size_t)n->edge_count * 4);
    return !r->failed;
}

bool tier__snapshot_dep_at(const struct tier__snapshot *t, uint32_t number, struct tier__snapshot_dep *out)
{
    if (number >= t->dep_count)
        return false;
    struct tier__reader r =
        tier__reader_of(t->graph.data + t->dep_at[number], t->graph.size - t->dep_at[number]);
    return read_dep(&r, out);
}

bool tier__snapshot_node_at(const struct tier__snapshot *t, uint32_t number, struct tier__snapshot_node *out)
{
    if (number >= t->node_count)
        return false;
    struct tier__reader r =
        tier__reader_of(t->graph.data + t->node_at[number], t->graph.size - t->node_at[number]);
    return read_node(&r, out);
}

static bool parse_deps(struct tier__base *b, struct tier__snapshot *t, struct tier__reader *r)
{
    struct tier__snapshot_dep d;
    t->dep_count = tier__read_u32(r);
    if (r->failed || t->dep_count > t->graph.size ||
        !(t->dep_at = tier__zalloc(b, t->dep_count + 1u, sizeof *t->dep_at)))
        return false;
    for (uint32_t i = 0; i < t->dep_count; i++) {
        t->dep_at[i] = (size_t)(r->at - t->graph.data);
        if (!read_dep(r, &d))
            return false;
        for (uint32_t k = 0; k < d.anchor_count; k++)
            if (tier__read_u32(&d.anchors) >= t->leaf_count)
                return false;
    }
    return true;
}

static bool parse_nodes(struct tier__base *b, struct tier__snapshot *t, struct tier__reader *r)
{
    struct tier__snapshot_node n;
    t->node_count = tier__read_u32(r);
    if (r->failed || t->node_count > t->graph.size ||
        !(t->node_at = tier__zalloc(b, t->node_count + 1u, sizeof *t->node_at)))
        return false;
    size_t size = 64;
    while (size < (size_t)t->node_count * 2)
        size *= 2;
    if (!(t->by_identity = tier__zalloc(b, size, sizeof *t->by_identity)))
        return false;
    t->by_identity_size = size;
    for (uint32_t i = 0; i < t->node_count; i++) {
        t->node_at[i] = (size_t)(r->at - t->graph.data);
        if (!read_node(r, &n))
            return false;
        for (uint32_t k = 0; k < n.edge_count; k++) {
            uint32_t e = tier__read_u32(&n.edges);
            if ((e & ~TIER__LEAF_EDGE) >= (e & TIER__LEAF_EDGE ? t->dep_count : t->node_count))
                return false;
        }
        size_t at = tier__digest_word(&n.identity) & (size - 1);
        while (t->by_identity[at])
            at = (at + 1) & (size - 1);
        t->by_identity[at] = i + 1;
    }
    return t->node_count > 0;
}

/* The graph's bytes: in memory as long as they wait for the disk, else from there. */
static bool load(tier_cache *c, const tier__node *n, struct tier__snapshot *t)
{
    unsigned char key[TIER__CLOSURE_KEY];
    struct tier__closure *k = t->closure;
    pthread_mutex_lock(&c->graph);
    tier__buf_put(&t->graph, k->graph.data ? (char *)k->graph.data : "", k->graph.size);
    pthread_mutex_unlock(&c->graph);
    if (!t->graph.size && c->store) {
        tier__closure_key(c, n, 'g', key);
        if (tier__store_get(c->store, NULL, TIER__CLOSURE, key, sizeof key, &t->graph))
            tier__buf_clear(&t->graph);
    }
    struct tier__reader r = tier__reader_of(t->graph.data, t->graph.size);
    uint8_t format = tier__read_u8(&r);
    const void *digest = tier__read_raw(&r, sizeof k->key.byte);
    return !t->graph.failed && !r.failed && format == TIER__CLOSURE_FORMAT &&
           memcmp(digest, k->key.byte, sizeof k->key.byte) == 0 && parse_deps(&c->base, t, &r) &&
           parse_nodes(&c->base, t, &r);
}

static uint32_t node_of(const struct tier__snapshot *t, const tier_digest *identity,
                        struct tier__snapshot_node *out)
{
    size_t mask = t->by_identity_size - 1;
    for (size_t at = tier__digest_word(identity) & mask; t->by_identity[at]; at = (at + 1) & mask) {
        uint32_t number = t->by_identity[at] - 1;
        if (tier__snapshot_node_at(t, number, out) && tier__digest_equal(&out->identity, identity))
            return number;
    }
    return UINT32_MAX;
}

uint32_t tier__snapshot_clean(const struct tier__snapshot *t, const tier_digest *identity,
                              struct tier__snapshot_node *out)
{
    uint32_t number = node_of(t, identity, out);
    return number == UINT32_MAX || tier__bit(t->maybe, number) ? UINT32_MAX : number;
}

struct tier__dep *tier__snapshot_intern(tier_cache *c, const struct tier__snapshot_dep *d)
{
    int rc;
    struct tier__path *p = d->has_path ? tier__path_of(c, d->path, &rc) : NULL;
    return d->has_path && !p ? NULL : tier__dep_of(c, d->kind, p, d->fields, d->name, d->name_size);
}

static bool edge_intern(tier_cache *c, const struct tier__snapshot *t, uint32_t number, struct tier__edge *e)
{
    struct tier__snapshot_dep d;
    struct tier__snapshot_node n;
    struct tier__dep *dep = NULL;
    const tier_digest *value = &d.value;
    if (number & TIER__LEAF_EDGE) {
        if (tier__snapshot_dep_at(t, number & ~TIER__LEAF_EDGE, &d))
            dep = tier__snapshot_intern(c, &d);
    } else if (tier__snapshot_node_at(t, number, &n)) {
        dep = tier__dep_of(c, TIER__K_RESULT, NULL, 0, n.identity.byte, sizeof n.identity.byte);
        value = &n.hash;
    }
    if (!dep)
        return false;
    *e = (struct tier__edge){dep->id, tier__dep_version(c, dep, value)};
    return e->version != UINT32_MAX;
}

void tier__snapshot_edges(tier_session *s, const tier__node *n, struct tier__variant *v)
{
    tier_cache *c = s->cache;
    const struct tier__snapshot *t = s->view->snapshot;
    struct tier__snapshot_node known;
    if (!v->raw || node_of(t, &n->identity, &known) == UINT32_MAX ||
        !tier__digest_equal(&known.key, &v->key) || known.edge_count != v->edge_count)
        return;
    struct tier__edge *edges = tier__zalloc(&c->base, v->edge_count + 1u, sizeof *edges);
    bool ok = edges != NULL;
    for (uint32_t i = 0; ok && i < v->edge_count; i++)
        ok = edge_intern(c, t, tier__read_u32(&known.edges), &edges[i]);
    pthread_mutex_lock(&c->reading);
    if (ok)
        tier__variant_adopt(c, v, &edges);
    pthread_mutex_unlock(&c->reading);
    tier__free(&c->base, edges);
}

/* ---- what changed */
/* Observes what hangs on failed leaves. changed: bits. false: some of it could not be observed. */
static bool observe(tier_session *s, struct tier__snapshot *t, unsigned char *changed, uint32_t *count)
{
    tier_cache *c = s->cache;
    for (uint32_t i = 0; i < t->dep_count; i++) {
        struct tier__snapshot_dep d;
        tier_digest now;
        uint32_t version;
        int seen;
        if (!tier__snapshot_dep_at(t, i, &d))
            return false;
        bool doubt = d.anchor_count == 0;
        for (uint32_t k = 0; k < d.anchor_count; k++)
            doubt |= tier__bit(t->failed, tier__read_u32(&d.anchors));
        if (!doubt)
            continue;
        tier__bit_set(t->suspicious, i);
        struct tier__dep *dep = tier__snapshot_intern(c, &d);
        if (!dep || tier__view_observe(s, dep, &version, NULL, &seen))
            return false;
        tier__dep_value(c, dep, version, &now);
        if (!tier__digest_equal(&now, &d.value)) {
            tier__bit_set(changed, i);
            ++*count;
        }
    }
    return true;
}

struct upward { /* reverse edges: who reads dependency d: reader[start[d]...]; results follow the dependencies
                 */
    size_t *start;
    uint32_t *reader, *queue;
};

static uint32_t target(const struct tier__snapshot *t, uint32_t edge)
{
    return edge & TIER__LEAF_EDGE ? edge & ~TIER__LEAF_EDGE : t->dep_count + edge;
}

static bool upward_make(struct tier__base *b, const struct tier__snapshot *t, struct upward *u)
{
    size_t n = (size_t)t->dep_count + t->node_count, edges = 0;
    struct tier__snapshot_node at;
    if (!(u->start = tier__zalloc(b, n + 2, sizeof *u->start)) ||
        !(u->queue = tier__zalloc(b, t->node_count + 1u, sizeof *u->queue)))
        return false;
    for (uint32_t i = 0; i < t->node_count; i++)
        for (uint32_t k = tier__snapshot_node_at(t, i, &at) ? at.edge_count : 0; k; k--, edges++)
            u->start[target(t, tier__read_u32(&at.edges)) + 2]++;
    for (size_t i = 2; i < n + 2; i++)
        u->start[i] += u->start[i - 1];
    if (!(u->reader = tier__zalloc(b, edges + 1, sizeof *u->reader)))
        return false;
    for (uint32_t i = 0; i < t->node_count;
         i++) /* filling moves start[d + 1] from the begin of d to its end */
        for (uint32_t k = tier__snapshot_node_at(t, i, &at) ? at.edge_count : 0; k; k--)
            u->reader[u->start[target(t, tier__read_u32(&at.edges)) + 1]++] = i;
    return true;
}

static void push_maybe(struct tier__snapshot *t, const unsigned char *changed, struct upward *u)
{
    size_t count = 0;
    for (size_t d = 0; d < t->dep_count; d++)
        for (size_t i = u->start[d]; tier__bit(changed, (uint32_t)d) && i < u->start[d + 1]; i++)
            if (!tier__bit(t->maybe, u->reader[i])) {
                tier__bit_set(t->maybe, u->reader[i]);
                u->queue[count++] = u->reader[i];
            }
    for (size_t q = 0; q < count; q++) {
        size_t d = (size_t)t->dep_count + u->queue[q];
        for (size_t i = u->start[d]; i < u->start[d + 1]; i++)
            if (!tier__bit(t->maybe, u->reader[i])) {
                tier__bit_set(t->maybe, u->reader[i]);
                u->queue[count++] = u->reader[i];
            }
    }
}

static struct tier__snapshot *snapshot_new(tier_cache *c, struct tier__closure *k)
{
    struct tier__snapshot *t = tier__zalloc(&c->base, 1, sizeof *t);
    struct tier__leaf_walk w;
    struct tier__reader leaf;
    const char *name;
    bool own;
    if (!t)
        return NULL;
    t->closure = tier__closure_ref(k);
    tier__buf_init(&t->graph, &c->base);
    tier__leaf_walk_begin(&w, k);
    while (tier__leaf_walk_next(&w, &name, &own, &leaf))
        t->leaf_count++;
    t->failed = tier__zalloc(&c->base, t->leaf_count / 8 + 1, 1);
    if (!t->failed || w.r.failed) {
        tier__snapshot_free(c, t);
        return NULL;
    }
    return t;
}

bool tier__snapshot_take(tier_session *s, tier__node *n, struct tier__closure *k)
{
    tier_cache *c = s->cache;
    struct tier__base *b = &c->base;
    struct tier__snapshot *t = snapshot_new(c, k);
    if (!t)
        return false;
    uint32_t count = 0;
    unsigned char *changed = NULL;
    struct upward u = {NULL, NULL, NULL};
    tier__closure_leaves(s->view, k, t->failed);
    bool ok = load(c, n, t) && (t->suspicious = tier__zalloc(b, t->dep_count / 8 + 1, 1)) &&
              (t->maybe = tier__zalloc(b, t->node_count / 8 + 1, 1)) &&
              (changed = tier__zalloc(b, t->dep_count / 8 + 1, 1)) && observe(s, t, changed, &count);
    if (ok && count)
        ok = upward_make(b, t, &u);
    if (ok && count)
        push_maybe(t, changed, &u);
    tier__free(b, u.start);
    tier__free(b, u.reader);
    tier__free(b, u.queue);
    tier__free(b, changed);
    if (ok)
        s->view->snapshot = t;
    else
        tier__snapshot_free(c, t);
    return ok && count == 0;
}
