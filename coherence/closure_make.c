/* closure_make.c - gathering the leaves below a result that a view has just brought up to date. */
#include "coherence/closure.h"
#include <stdlib.h>

enum { CLOSURE_BYTES_MAX = 64 * 1024 * 1024 };

struct leaf {
    char *dir; /* owned */
    const char *name;
    bool own; /* the directory itself */
    struct tier__statid id;
    int64_t observed_at;
};
struct gather {
    tier_session *s;
    unsigned char *seen_dep, *seen_path; /* bits */
    size_t dep_bits, path_bits;
    tier__node **stack;
    size_t depth, capacity;
    struct leaf *leaf;
    size_t count, leaf_capacity;
    struct tier__buf generic;
    uint32_t generic_count;
    int64_t expires_ms;
    size_t results;
};

static bool first_time(unsigned char *bits, size_t n, uint32_t i)
{
    if (i >= n || bits[i / 8] & 1u << i % 8)
        return false;
    bits[i / 8] |= (unsigned char)(1u << i % 8);
    return true;
}

static bool add_leaf(struct gather *g, struct tier__path *p, const struct tier__look *look)
{
    struct tier__base *b = &g->s->cache->base;
    struct tier__buf dir;
    if (p->id >= g->path_bits)
        return false; /* it came while we were gathering */
    if (!first_time(g->seen_path, g->path_bits, p->id))
        return true;
    if (g->count == g->leaf_capacity) {
        size_t n = g->leaf_capacity ? g->leaf_capacity * 2 : 1024;
        struct leaf *grown = tier__resize(b, g->leaf, n * sizeof *grown);
        if (!grown)
            return false;
        g->leaf = grown;
        g->leaf_capacity = n;
    }
    struct leaf *l = &g->leaf[g->count];
    *l =
        (struct leaf){.name = "", .own = look->kind == 'd', .id = look->id, .observed_at = look->observed_at};
    if (l->own) {
        l->dir = tier__strdup(b, p->key);
    } else {
        tier__buf_init(&dir, b);
        l->name = tier__closure_split(p, &dir);
        l->dir = dir.failed ? NULL : tier__strdup(b, (char *)dir.data);
        tier__buf_fini(&dir);
    }
    g->count += l->dir != NULL;
    return l->dir != NULL;
}

static bool frozen_look(struct gather *g, const struct tier__path *p, struct tier__look *out)
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

/* A path that was looked at: its own stamps, or those of the nearest thing above it that is there. */
static bool add_path(struct gather *g, struct tier__path *p)
{
    struct tier__look look = {.looked = false};
    struct tier__buf dir;
    bool ok = true;
    int rc;
    tier__buf_init(&dir, &g->s->cache->base);
    while (ok && p) {
        ok = frozen_look(g, p, &look) && (look.rc == 0 || look.rc == TIER_EABSENT);
        if (!ok || look.rc == 0)
            break;
        if (*p->rel == 0 || strcmp(p->rel, "/") == 0) {
            ok = false;
            break;
        }
        tier__closure_split(p, &dir);
        p = dir.failed ? NULL : tier__path_of(g->s->cache, (char *)dir.data, &rc);
    }
    tier__buf_fini(&dir);
    return ok && p && !look.overlay && add_leaf(g, p, &look);
}

static int add_visited(void *user, struct tier__path *p)
{
    return add_path(user, p) ? 0 : TIER_ETRANSIENT;
}

static bool add_listing(struct gather *g, const struct tier__dep *d)
{
    struct tier__buf records;
    tier__buf_init(&records, &g->s->cache->base);
    int rc = tier__view_listing(g->s, d->path, d->name, &records, add_visited, g);
    tier__buf_fini(&records);
    return rc == 0 || (rc == TIER_EABSENT && add_path(g, d->path));
}

static bool add_generic(struct gather *g, const struct tier__dep *d, uint32_t version)
{
    tier_digest value;
    tier__dep_value(g->s->cache, d, version, &value);
    tier__buf_u8(&g->generic, d->kind);
    tier__buf_u8(&g->generic, d->path != NULL);
    tier__buf_str(&g->generic, d->path ? d->path->key : "");
    tier__buf_u8(&g->generic, 0);
    tier__buf_bytes(&g->generic, d->name, d->name_size);
    tier__buf_put(&g->generic, value.byte, sizeof value.byte);
    g->generic_count++;
    return true;
}

static bool push_result(struct gather *g, tier__node *n)
{
    if (g->depth == g->capacity) {
        size_t k = g->capacity ? g->capacity * 2 : 1024;
        tier__node **grown = tier__resize(&g->s->cache->base, g->stack, k * sizeof *grown);
        if (!grown)
            return false;
        g->stack = grown;
        g->capacity = k;
    }
    g->stack[g->depth++] = n;
    g->results++;
    return true;
}

static bool add_edge(struct gather *g, struct tier__edge e)
{
    if (e.dep >= g->dep_bits)
        return false;
    if (!first_time(g->seen_dep, g->dep_bits, e.dep))
        return true;
    struct tier__dep *d = tier__dep_at(g->s->cache, e.dep);
    switch (d->kind) {
    case TIER__K_RESULT:
        return d->node && push_result(g, d->node);
    case TIER__K_LISTING:
        return add_listing(g, d);
    case TIER__K_CONTENT:
    case TIER__K_KIND:
    case TIER__K_STAT:
    case TIER__K_TOOL:
        return add_path(g, d->path);
    default:
        return add_generic(g, d, e.version);
    }
}

/* Everything below n, by what this view is bound to. false: something below is not for keeping. */
static bool gather(struct gather *g, tier__node *n)
{
    tier_cache *c = g->s->cache;
    bool ok = push_result(g, n);
    while (ok && g->depth) {
        tier__node *at = g->stack[--g->depth];
        pthread_mutex_lock(&g->s->view->lock);
        struct tier__slot *slot = tier__chunks_at(&g->s->view->slots, at->dep);
        struct tier__variant *v =
            slot && !slot->entry ? slot->variant : NULL; /* kept by the view: only once */
        pthread_mutex_unlock(&g->s->view->lock);
        ok = v && tier__variant_edges(c, v);
        if (ok && v->expires_ms && (!g->expires_ms || v->expires_ms < g->expires_ms))
            g->expires_ms = v->expires_ms;
        for (uint32_t i = 0; ok && i < v->edge_count; i++)
            ok = add_edge(g, v->edges[i]);
    }
    return ok;
}

static int by_place(const void *a, const void *b)
{
    const struct leaf *x = a, *y = b;
    int order = strcmp(x->dir, y->dir);
    return order ? order : x->own != y->own ? (x->own ? -1 : 1) : strcmp(x->name, y->name);
}

static void put_leaf(struct tier__buf *b, const struct leaf *l)
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

static void encode(struct gather *g, struct tier__closure *k)
{
    struct tier__buf *b = &k->data;
    size_t groups = 0;
    qsort(g->leaf, g->count, sizeof *g->leaf, by_place);
    for (size_t i = 0; i < g->count; i++)
        groups += i == 0 || strcmp(g->leaf[i].dir, g->leaf[i - 1].dir) != 0;
    tier__buf_u32(b, g->generic_count);
    tier__buf_put(b, g->generic.data ? (char *)g->generic.data : "", g->generic.size);
    k->groups_at = b->size;
    tier__buf_u32(b, (uint32_t)groups);
    for (size_t i = 0, end; i < g->count; i = end) {
        for (end = i; end < g->count && strcmp(g->leaf[end].dir, g->leaf[i].dir) == 0; end++)
            ;
        put_string(b, g->leaf[i].dir);
        tier__buf_u8(b, g->leaf[i].own);
        if (g->leaf[i].own)
            put_leaf(b, &g->leaf[i++]);
        tier__buf_u32(b, (uint32_t)(end - i));
        for (; i < end; i++) {
            put_leaf(b, &g->leaf[i]);
            put_string(b, g->leaf[i].name);
        }
    }
}

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
    struct tier__base *b = &c->base;
    struct tier__variant *v = tier__bound(s, n);
    if (!v || (s->view->world && s->view->world->overlay_count) || !worth(s, v))
        return;
    struct gather g = {.s = s};
    pthread_mutex_lock(&c->graph);
    g.dep_bits = c->dep_count;
    g.path_bits = c->path_count;
    pthread_mutex_unlock(&c->graph);
    tier__buf_init(&g.generic, b);
    g.seen_dep = tier__zalloc(b, g.dep_bits / 8 + 1, 1);
    g.seen_path = tier__zalloc(b, g.path_bits / 8 + 1, 1);
    struct tier__closure *k = tier__closure_new(c);
    if (k && g.seen_dep && g.seen_path && gather(&g, n) && !g.generic.failed) {
        k->key = v->key;
        k->bans = s->view->bans;
        k->expires_ms = g.expires_ms;
        encode(&g, k);
        if (!k->data.failed && k->data.size < CLOSURE_BYTES_MAX) {
            keep(c, n, k);
            k = NULL;
        }
    }
    tier__closure_unref(c, k);
    for (size_t i = 0; i < g.count; i++)
        tier__free(b, g.leaf[i].dir);
    tier__free(b, g.leaf);
    tier__free(b, g.stack);
    tier__free(b, g.seen_dep);
    tier__free(b, g.seen_path);
    tier__buf_fini(&g.generic);
}

bool tier__closures_wait(tier_cache *c)
{
    pthread_mutex_lock(&c->graph);
    bool wait = c->closures_wait;
    pthread_mutex_unlock(&c->graph);
    return wait;
}

int tier__closures_write(tier_cache *c, tier__write *w)
{
    int rc = 0;
    struct tier__buf b;
    if (!tier__closures_wait(c))
        return 0;
    tier__buf_init(&b, &c->base);
    pthread_mutex_lock(&c->graph);
    c->closures_wait = false;
    size_t buckets = c->nodes.bucket_count;
    pthread_mutex_unlock(&c->graph);
    for (size_t i = 0; i < buckets && !rc; i++) {
        unsigned char key[48];
        bool found = false;
        pthread_mutex_lock(&c->graph);
        for (tier__node *n = i < c->nodes.bucket_count ? c->nodes.bucket[i] : NULL; n; n = n->chain) {
            struct tier__closure *k = n->closure;
            if (!k || !k->wait)
                continue;
            k->wait = false;
            found = true;
            tier__closure_key(c, n, key);
            tier__buf_clear(&b);
            tier__buf_u8(&b, TIER__CLOSURE_FORMAT);
            tier__buf_put(&b, k->key.byte, sizeof k->key.byte);
            tier__buf_u64(&b, k->bans);
            tier__buf_u64(&b, (uint64_t)k->expires_ms);
            tier__buf_put(&b, k->data.data, k->data.size);
            break; /* two in one bucket: the next flush has the other */
        }
        pthread_mutex_unlock(&c->graph);
        if (found)
            rc = b.failed ? TIER_ENOMEM
                          : tier__write_put(w, TIER__CLOSURE, key, sizeof key, b.data, b.size, 0);
    }
    tier__buf_fini(&b);
    return rc;
}
