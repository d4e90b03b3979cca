/* gather_encode.c - writing a closure down, keeping it, and getting it to the disk. */
#include "coherence/gather.h"
#include <stdlib.h>

enum { CLOSURE_BYTES_MAX = 128 * 1024 * 1024 };

static int by_place(const void *a, const void *b)
{
    const struct tier__gather_leaf *x = a, *y = b;
    int order = strcmp(x->dir, y->dir);
    return order ? order : x->own != y->own ? (x->own ? -1 : 1) : strcmp(x->name, y->name);
}

static void put_leaf(struct tier__buf *b, const struct tier__gather_leaf *l)
{
    tier__buf_u64(b, l->id.dev);
    tier__buf_u64(b, l->id.ino);
    tier__buf_u64(b, l->id.size);
    tier__buf_u64(b, (uint64_t)l->id.mtime_ns);
    tier__buf_u64(b, (uint64_t)l->id.ctime_ns);
    tier__buf_u32(b, l->id.mode);
    tier__buf_u64(b, (uint64_t)l->observed_at);
}

static void put_string(struct tier__buf *b, const char *s)
{
    tier__buf_str(b, s);
    tier__buf_u8(b, 0);
}

static void encode_generic(struct tier__gather *g, struct tier__buf *b)
{
    const struct tier__gather_dep *d = g->deps.data;
    uint32_t count = 0;
    for (size_t i = 0; i < g->deps.count; i++)
        count += d[i].anchor_count == 0;
    tier__buf_u32(b, count);
    for (size_t i = 0; i < g->deps.count; i++) {
        if (d[i].anchor_count)
            continue;
        tier__buf_u8(b, d[i].dep->kind);
        tier__buf_u8(b, d[i].dep->path != NULL);
        put_string(b, d[i].dep->path ? d[i].dep->path->key : "");
        tier__buf_bytes(b, d[i].dep->name, d[i].dep->name_size);
        tier__buf_put(b, d[i].value.byte, sizeof d[i].value.byte);
    }
}

static void encode_leaves(struct tier__gather *g, struct tier__buf *b, uint32_t *ordinal)
{
    struct tier__gather_leaf *l = g->leaves.data;
    size_t n = g->leaves.count, groups = 0;
    if (n)
        qsort(l, n, sizeof *l, by_place);
    for (size_t i = 0; i < n; i++) {
        groups += i == 0 || strcmp(l[i].dir, l[i - 1].dir) != 0;
        ordinal[l[i].number] = (uint32_t)i;
    }
    tier__buf_u32(b, (uint32_t)groups);
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i; end < n && strcmp(l[end].dir, l[i].dir) == 0; end++)
            ;
        put_string(b, l[i].dir);
        tier__buf_u8(b, l[i].own);
        if (l[i].own)
            put_leaf(b, &l[i++]);
        tier__buf_u32(b, (uint32_t)(end - i));
        for (; i < end; i++) {
            put_leaf(b, &l[i]);
            put_string(b, l[i].name);
        }
    }
    encode_generic(g, b);
}

static void encode_graph(struct tier__gather *g, const struct tier__closure *k, struct tier__buf *b,
                         const uint32_t *ordinal)
{
    const struct tier__gather_dep *d = g->deps.data;
    const struct tier__gather_node *n = g->nodes.data;
    const uint32_t *anchors = g->anchors.data, *edges = g->edges.data;
    tier__buf_u8(b, TIER__CLOSURE_FORMAT);
    tier__buf_put(b, k->key.byte, sizeof k->key.byte);
    tier__buf_u32(b, (uint32_t)g->deps.count);
    for (size_t i = 0; i < g->deps.count; i++) {
        const struct tier__dep *dep = d[i].dep;
        tier__buf_u8(b, dep->kind);
        tier__buf_u8(b, dep->path != NULL);
        tier__buf_u32(b, dep->fields);
        put_string(b, dep->path ? dep->path->key : "");
        tier__buf_bytes(b, dep->name, dep->name_size);
        tier__buf_put(b, d[i].value.byte, sizeof d[i].value.byte);
        tier__buf_u32(b, d[i].anchor_count);
        for (uint32_t a = 0; a < d[i].anchor_count; a++)
            tier__buf_u32(b, ordinal[anchors[d[i].anchor + a]]);
    }
    tier__buf_u32(b, (uint32_t)g->nodes.count);
    for (size_t i = 0; i < g->nodes.count; i++) {
        tier__buf_put(b, n[i].identity.byte, sizeof n[i].identity.byte);
        tier__buf_put(b, n[i].key.byte, sizeof n[i].key.byte);
        tier__buf_put(b, n[i].hash.byte, sizeof n[i].hash.byte);
        tier__buf_u32(b, n[i].edge_count);
        for (uint32_t e = 0; e < n[i].edge_count; e++) {
            uint32_t dep = edges[n[i].edge + e];
            bool result = tier__dep_at(g->s->cache, dep)->kind == TIER__K_RESULT;
            tier__buf_u32(b, (tier__place(&g->of_dep, dep) - 1) | (result ? 0 : TIER__LEAF_EDGE));
        }
    }
}

bool tier__gather_encode(struct tier__gather *g, struct tier__closure *k)
{
    struct tier__base *b = &g->s->cache->base;
    uint32_t *ordinal = tier__zalloc(b, g->leaves.count + 1, sizeof *ordinal);
    if (!ordinal)
        return false;
    encode_leaves(g, &k->leaves, ordinal);
    encode_graph(g, k, &k->graph, ordinal);
    tier__free(b, ordinal);
    return !k->leaves.failed && !k->graph.failed && k->leaves.size + k->graph.size < CLOSURE_BYTES_MAX;
}

/* ---- making one */
/* A small result is walked as fast as its leaves are looked at. */
static bool worth(tier_session *s, const struct tier__variant *v)
{
    size_t below = v->edge_count;
    if (v->raw)
        return below >= TIER__CLOSURE_MIN;
    for (uint32_t i = 0; i < v->edge_count && below < TIER__CLOSURE_MIN; i++) {
        struct tier__dep *d = tier__dep_at(s->cache, v->edges[i].dep);
        struct tier__variant *child = d->kind == TIER__K_RESULT && d->node ? tier__bound(s, d->node) : NULL;
        below += child ? child->edge_count : 0;
    }
    return below >= TIER__CLOSURE_MIN;
}

static void keep(tier_cache *c, tier__node *n, struct tier__closure *k)
{
    pthread_mutex_lock(&c->graph);
    struct tier__closure *old = n->closure;
    n->closure = k;
    k->wait = true;
    c->closures_wait = true;
    pthread_mutex_unlock(&c->graph);
    tier__closure_unref(c, old);
}

void tier__closure_make(tier_session *s, tier__node *n)
{
    tier_cache *c = s->cache;
    struct tier__variant *v = tier__bound(s, n);
    if (!v || (s->view->world && s->view->world->overlay_count) || (!s->view->snapshot && !worth(s, v)))
        return;
    struct tier__closure *k = tier__closure_new(c);
    struct tier__gather g = {.s = s, .to = k};
    if (k && tier__gather(&g, n)) {
        k->key = v->key;
        k->bans = s->view->bans;
        pthread_mutex_lock(&c->graph);
        k->replaced = s->view->replaced;
        pthread_mutex_unlock(&c->graph);
        k->expires_ms = g.expires_ms;
        if (tier__gather_encode(&g, k)) {
            keep(c, n, k);
            k = NULL;
        }
    }
    tier__closure_unref(c, k);
    tier__gather_fini(&g);
}

/* ---- to disk */
bool tier__closures_wait(tier_cache *c)
{
    pthread_mutex_lock(&c->graph);
    bool wait = c->closures_wait;
    pthread_mutex_unlock(&c->graph);
    return wait;
}

/* The next one that waits, referenced; its node. */
static struct tier__closure *next_waiting(tier_cache *c, tier__node **out)
{
    struct tier__closure *found = NULL;
    pthread_mutex_lock(&c->graph);
    for (size_t i = 0; c->closures_wait && i < c->nodes.bucket_count && !found; i++)
        for (tier__node *n = c->nodes.bucket[i]; n && !found; n = n->chain)
            if (n->closure && n->closure->wait) {
                n->closure->wait = false;
                found = tier__closure_ref(n->closure);
                *out = n;
            }
    if (!found)
        c->closures_wait = false;
    pthread_mutex_unlock(&c->graph);
    return found;
}

void tier__closures_written(tier_cache *c)
{
    pthread_mutex_lock(&c->graph);
    for (size_t i = 0; i < c->nodes.bucket_count; i++)
        for (tier__node *n = c->nodes.bucket[i]; n; n = n->chain)
            if (n->closure && !n->closure->wait)
                tier__buf_fini(&n->closure->graph);
    pthread_mutex_unlock(&c->graph);
}

int tier__closures_write(tier_cache *c, tier__write *w)
{
    int rc = 0;
    tier__node *n;
    struct tier__closure *k;
    struct tier__buf b;
    unsigned char key[TIER__CLOSURE_KEY];
    tier__buf_init(&b, &c->base);
    while (!rc && (k = next_waiting(c, &n))) {
        tier__buf_clear(&b);
        tier__buf_u8(&b, TIER__CLOSURE_FORMAT);
        tier__buf_put(&b, k->key.byte, sizeof k->key.byte);
        tier__buf_u64(&b, k->bans);
        tier__buf_u64(&b, k->replaced);
        tier__buf_u64(&b, (uint64_t)k->expires_ms);
        tier__buf_bytes(&b, k->types.data ? (char *)k->types.data : "", k->types.size);
        tier__buf_put(&b, k->leaves.data, k->leaves.size);
        tier__closure_key(c, n, 'l', key);
        rc = b.failed ? TIER_ENOMEM : tier__write_put(w, TIER__CLOSURE, key, sizeof key, b.data, b.size, 0);
        tier__closure_key(c, n, 'g', key);
        if (!rc)
            rc = tier__write_put(w, TIER__CLOSURE, key, sizeof key, k->graph.data, k->graph.size, 0);
        tier__closure_unref(c, k);
    }
    tier__buf_fini(&b);
    return rc;
}
