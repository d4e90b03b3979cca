/* closure.c - "nothing changed" in one pass: the leaves below a result (files, directories, environment...)
 * as they were when it was last verified, each with its stat identity, sorted by directory. If every leaf
 * still has its identity and that identity was settled, every dependency below the result has its old value,
 * so the result holds, and no graph is walked, nothing read, no name looked up: one stat a file, one a
 * directory. Absent paths cost nothing of their own: the directory that does not hold them has the stamps it
 * had (a name cannot come without changing them).
 *
 * A closure says what was verified, never that it still holds; any doubt (a changed or unsettled leaf, a ban
 * or another answer to equal inputs since, an expiry, an overlay) and the snapshot or the ordinary walk
 * decides. It belongs to a workspace, as stat identities do. */
#include "coherence/closure.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "coherence/watch.h"
#include "tiers/checksum.h"

enum { LEAF_HEAD = 5 * 8 + 4 + 8 };

struct tier__closure *tier__closure_new(tier_cache *c)
{
    struct tier__closure *k = tier__zalloc(&c->base, 1, sizeof *k);
    if (k) {
        atomic_init(&k->refs, 1);
        tier__buf_init(&k->types, &c->base);
        tier__buf_init(&k->leaves, &c->base);
        tier__buf_init(&k->graph, &c->base);
    }
    return k;
}

struct tier__closure *tier__closure_ref(struct tier__closure *k)
{
    atomic_fetch_add(&k->refs, 1);
    return k;
}

void tier__closure_unref(tier_cache *c, struct tier__closure *k)
{
    if (!k || atomic_fetch_sub(&k->refs, 1) != 1)
        return;
    tier__buf_fini(&k->types);
    tier__buf_fini(&k->leaves);
    tier__buf_fini(&k->graph);
    tier__free(&c->base, k->index);
    tier__free(&c->base, k->paths);
    tier__free(&c->base, k);
}

void tier__closures_free(tier__view *v)
{
    tier__closure_unref(v->cache, v->closure);
    tier__snapshot_free(v->cache, v->snapshot);
}

/* ---- leaves */
void tier__closure_leaf(struct tier__reader *r, struct tier__statid *id, int64_t *observed_at)
{
    memset(id, 0, sizeof *id);
    id->dev = tier__read_u64(r);
    id->ino = tier__read_u64(r);
    id->size = tier__read_u64(r);
    id->mtime_ns = (int64_t)tier__read_u64(r);
    id->ctime_ns = (int64_t)tier__read_u64(r);
    id->mode = tier__read_u32(r);
    *observed_at = (int64_t)tier__read_u64(r);
}

const char *tier__closure_name(struct tier__reader *r)
{
    size_t n;
    const char *s = tier__read_bytes(r, &n);
    if (!s || tier__read_u8(r) != 0)
        r->failed = true;
    return r->failed ? "" : s;
}

void tier__leaf_walk_begin(struct tier__leaf_walk *w, const struct tier__closure *k)
{
    w->r = tier__reader_of(k->leaves.data, k->leaves.size);
    w->groups = tier__read_u32(&w->r);
    w->left = 0;
    w->dir = NULL;
}

bool tier__leaf_walk_next(struct tier__leaf_walk *w, const char **name, bool *own, struct tier__reader *leaf)
{
    *own = false;
    *name = "";
    while (!w->left) {
        if (!w->groups || w->r.failed)
            return false;
        w->groups--;
        w->dir = tier__closure_name(&w->r);
        *own = tier__read_u8(&w->r);
        *leaf = w->r;
        if (*own)
            tier__read_raw(&w->r, LEAF_HEAD);
        w->left = tier__read_u32(&w->r);
        if (*own)
            return !w->r.failed;
    }
    w->left--;
    *leaf = w->r;
    tier__read_raw(&w->r, LEAF_HEAD);
    *name = tier__closure_name(&w->r);
    return !w->r.failed;
}

struct leaf_looks {
    tier__view *v;
    struct tier__leaf_walk w;
    const char *dir; /* whose descriptor fd is */
    int fd;          /* -1: none */
};

/* The directory is opened once for all of its names, when the first of them has to be looked at. */
static int leaf_directory(struct leaf_looks *l)
{
    int rc;
    if (l->w.dir != l->dir) {
        struct tier__path *p = tier__path_of(l->v->cache, l->w.dir, &rc);
        if (l->fd >= 0)
            close(l->fd);
        l->fd = p ? tier__path_open(l->v->cache, p, O_PATH | O_DIRECTORY) : -1;
        l->dir = l->w.dir;
    }
    return l->fd;
}

/* p: where a watcher may be asked, else NULL. */
static bool leaf_holds(struct leaf_looks *l, struct tier__reader *r, const struct tier__path *p,
                       const char *name, int flags)
{
    struct tier__look look = {.rc = 0};
    struct tier__watch_ticket t = {.at = 0};
    struct tier__statid was;
    int64_t observed_at;
    struct stat st;
    tier__closure_leaf(r, &was, &observed_at);
    if (r->failed || !tier__statid_settled(&was, observed_at))
        return false;
    if (p && tier__look_vouched(l->v, p, &look))
        return look.rc == 0 && tier__statid_equal(&was, &look.id);
    if (p)
        tier__look_ticket(l->v, p, &t);
    int fd = leaf_directory(l);
    tier__count(&l->v->cache->base, TIER__FILE_LOOK, 1);
    if (fd < 0 || fstatat(fd, name, &st, flags))
        return false;
    tier__statid_of(&st, &look.id, &look.kind);
    if (p)
        tier__look_remember(l->v, p, &t, &look);
    return tier__statid_equal(&was, &look.id);
}

static struct tier__path *leaf_path(tier_cache *c, const char *dir, const char *name)
{
    int rc;
    struct tier__path *p = tier__path_of(c, dir, &rc);
    return p && *name ? tier__path_join(c, p, name, &rc) : p;
}

/* NULL: no memory, or nobody to ask. */
static struct tier__path **leaf_paths(tier__view *v, struct tier__closure *k)
{
    tier_cache *c = v->cache;
    struct tier__leaf_walk w;
    struct tier__reader leaf;
    const char *name;
    bool own;
    size_t n = 0;
    if (!atomic_load(&v->begun))
        return NULL;
    pthread_mutex_lock(&c->graph);
    struct tier__path **paths = k->paths;
    pthread_mutex_unlock(&c->graph);
    if (paths)
        return paths;
    tier__leaf_walk_begin(&w, k);
    while (tier__leaf_walk_next(&w, &name, &own, &leaf))
        n++;
    if (!(paths = tier__zalloc(&c->base, n + 1, sizeof *paths)))
        return NULL;
    n = 0;
    tier__leaf_walk_begin(&w, k);
    while (tier__leaf_walk_next(&w, &name, &own, &leaf))
        paths[n++] = leaf_path(c, w.dir, name);
    pthread_mutex_lock(&c->graph);
    struct tier__path **loser = k->paths ? paths : NULL;
    if (!k->paths)
        k->paths = paths;
    paths = k->paths;
    pthread_mutex_unlock(&c->graph);
    tier__free(&c->base, loser);
    return paths;
}

bool tier__closure_leaves(tier__view *v, struct tier__closure *k, unsigned char *failed)
{
    struct leaf_looks l = {.v = v, .fd = -1};
    struct tier__reader leaf;
    const char *name;
    bool own, all = true;
    struct tier__path **paths = leaf_paths(v, k);
    tier__leaf_walk_begin(&l.w, k);
    for (uint32_t i = 0; (all || failed) && tier__leaf_walk_next(&l.w, &name, &own, &leaf); i++) {
        bool holds = leaf_holds(&l, &leaf, paths ? paths[i] : NULL, name, own ? AT_EMPTY_PATH : 0);
        if (!holds && failed)
            tier__bit_set(failed, i);
        all &= holds;
    }
    if (l.fd >= 0)
        close(l.fd);
    return all && !l.w.r.failed;
}

/* ---- everything that is no path: observed as ever, and compared */
static bool generic_holds(tier_session *s, struct tier__reader *r)
{
    tier_cache *c = s->cache;
    tier_digest was, is;
    uint32_t version;
    int rc, seen;
    int kind = tier__read_u8(r);
    uint8_t has_path = tier__read_u8(r);
    const char *path = tier__closure_name(r);
    size_t size;
    const void *name = tier__read_bytes(r, &size);
    const void *digest = tier__read_raw(r, sizeof was.byte);
    if (r->failed)
        return false;
    memcpy(was.byte, digest, sizeof was.byte);
    struct tier__path *p = has_path ? tier__path_of(c, path, &rc) : NULL;
    struct tier__dep *d = has_path && !p ? NULL : tier__dep_of(c, kind, p, 0, name, size);
    if (!d || tier__view_observe(s, d, &version, NULL, &seen))
        return false;
    tier__dep_value(c, d, version, &is);
    return tier__digest_equal(&was, &is);
}

static bool generics_hold(tier_session *s, const struct tier__closure *k)
{
    struct tier__leaf_walk w;
    struct tier__reader leaf;
    const char *name;
    bool own, holds = true;
    tier__leaf_walk_begin(&w, k);
    while (tier__leaf_walk_next(&w, &name, &own, &leaf))
        ;
    for (uint32_t left = tier__read_u32(&w.r); left && holds; left--)
        holds = generic_holds(s, &w.r);
    return holds && !w.r.failed;
}

/* ---- from disk */
void tier__closure_key(const tier_cache *c, const tier__node *n, char part,
                       unsigned char key[TIER__CLOSURE_KEY])
{
    memcpy(key, c->workspace.byte, TIER__WORKSPACE_KEY);
    memcpy(key + TIER__WORKSPACE_KEY, n->identity.byte, 32);
    key[TIER__CLOSURE_KEY - 1] = (unsigned char)part;
}

static struct tier__closure *closure_load(tier_cache *c, const tier__node *n)
{
    unsigned char key[TIER__CLOSURE_KEY];
    struct tier__buf b;
    struct tier__closure *k = tier__closure_new(c);
    if (!k)
        return NULL;
    tier__closure_key(c, n, 'l', key);
    tier__buf_init(&b, &c->base);
    bool ok = tier__store_get(c->store, NULL, TIER__CLOSURE, key, sizeof key, &b) == 0;
    struct tier__reader r = tier__reader_of(b.data, b.size);
    if (ok && tier__read_u8(&r) == TIER__CLOSURE_FORMAT) {
        const void *digest = tier__read_raw(&r, sizeof k->key.byte);
        k->bans = tier__read_u64(&r);
        k->replaced = tier__read_u64(&r);
        k->expires_ms = (int64_t)tier__read_u64(&r);
        size_t types;
        const void *type = tier__read_bytes(&r, &types);
        if (!r.failed) {
            memcpy(k->key.byte, digest, sizeof k->key.byte);
            tier__buf_put(&k->types, type, types);
            tier__buf_put(&k->leaves, r.at, (size_t)(r.end - r.at));
        }
    }
    tier__buf_fini(&b);
    if (!k->leaves.size || k->leaves.failed || k->types.failed) {
        tier__closure_unref(c, k);
        return NULL;
    }
    return k;
}

static struct tier__closure *closure_of(tier_cache *c, tier__node *n)
{
    pthread_mutex_lock(&c->graph);
    bool ask = !n->closure && c->store && n->closure_epoch != c->epoch;
    n->closure_epoch = c->epoch;
    pthread_mutex_unlock(&c->graph);
    struct tier__closure *loaded = ask ? closure_load(c, n) : NULL;
    pthread_mutex_lock(&c->graph);
    if (loaded && !n->closure) {
        n->closure = loaded;
        loaded = NULL;
    }
    struct tier__closure *k = n->closure ? tier__closure_ref(n->closure) : NULL;
    pthread_mutex_unlock(&c->graph);
    tier__closure_unref(c, loaded);
    return k;
}

static struct tier__variant *variant_with(tier_cache *c, tier__node *n, const tier_digest *key)
{
    struct tier__variant *found = NULL;
    tier__node_lock(c, n);
    for (uint32_t i = 0; i < n->variant_count && !found; i++)
        if (tier__digest_equal(&n->variant[i]->key, key))
            found = tier__variant_ref(n->variant[i]);
    pthread_mutex_unlock(&c->graph);
    return found;
}

/* A closure says how everything below is at one moment, so only a view that has not looked at anything yet,
 * alone, can stand on one: what it looked at before might be another version (I9). */
static bool view_is_fresh(tier_session *s)
{
    tier__view *v = s->view;
    if (s->parent || atomic_load(&s->forks) || (v->world && v->world->overlay_count))
        return false;
    pthread_mutex_lock(&v->lock);
    bool fresh = !v->looked && !v->closure && !v->snapshot;
    pthread_mutex_unlock(&v->lock);
    return fresh;
}

/* ---- types: a changed version or config makes another type, and what used the old one must run again */
bool tier__closure_type(struct tier__closure *k, const tier_digest *type)
{
    for (size_t at = 0; at < k->types.size; at += sizeof type->byte)
        if (memcmp(k->types.data + at, type->byte, sizeof type->byte) == 0)
            return true;
    tier__buf_put(&k->types, type->byte, sizeof type->byte);
    return !k->types.failed;
}

static bool types_defined(tier_cache *c, const struct tier__closure *k)
{
    bool all = true;
    pthread_mutex_lock(&c->graph);
    for (size_t at = 0; all && at + sizeof(tier_digest) <= k->types.size; at += sizeof(tier_digest)) {
        const tier_type *t = c->types;
        while (t && memcmp(t->identity.byte, k->types.data + at, sizeof(tier_digest)) != 0)
            t = t->next;
        all = t != NULL;
    }
    pthread_mutex_unlock(&c->graph);
    return all;
}

bool tier__closure_try(tier_session *s, tier__node *n)
{
    tier_cache *c = s->cache;
    tier__view *v = s->view;
    if (!view_is_fresh(s) || v->unheard)
        return false;
    struct tier__closure *k = closure_of(c, n);
    struct tier__variant *found = k ? variant_with(c, n, &k->key) : NULL;
    bool usable = found && k->bans == v->bans && k->replaced == v->replaced &&
                  (!k->expires_ms || k->expires_ms > v->clock_ms) && types_defined(c, k);
    bool holds = usable && generics_hold(s, k) && tier__closure_leaves(v, k, NULL);
    if (usable)
        tier__count(&c->base, holds ? TIER__CLOSURE_HIT : TIER__CLOSURE_MISS, 1);
    if (holds)
        v->closure = tier__closure_ref(k);
    else if (usable && !v->looked)
        holds = tier__snapshot_take(s, n, k);
    if (holds)
        holds = tier__bind(s, n, found, NULL, TIER_VERIFIED) == 0;
    tier__variant_unref(c, found);
    tier__closure_unref(c, k);
    return holds;
}

bool tier__closure_clean(tier_session *s, tier__node *n)
{
    struct tier__snapshot_node known;
    if (!s->view->snapshot || tier__snapshot_clean(s->view->snapshot, &n->identity, &known) == UINT32_MAX)
        return false;
    struct tier__variant *v = variant_with(s->cache, n, &known.key);
    bool bound =
        v && tier__digest_equal(&v->hash, &known.hash) && tier__bind(s, n, v, NULL, TIER_VERIFIED) == 0;
    tier__variant_unref(s->cache, v);
    return bound;
}

void tier__closure_edges(tier_session *s, const tier__node *n, struct tier__variant *v)
{
    if (s->view->snapshot)
        tier__snapshot_edges(s, n, v);
}

bool tier__closure_value(tier__view *v, const struct tier__dep *result, tier_digest *hash)
{
    struct tier__snapshot_node known;
    tier_digest identity;
    if (!v->snapshot)
        return false;
    memcpy(identity.byte, result->name, sizeof identity.byte);
    if (tier__snapshot_clean(v->snapshot, &identity, &known) == UINT32_MAX)
        return false;
    *hash = known.hash;
    return true;
}

/* ---- a view that stands on closures looks at something */
static uint64_t leaf_hash(const char *dir, const char *name)
{
    return tier__checksum(name, strlen(name), tier__checksum(dir, strlen(dir), 7));
}

/* The closure is shared, so its index is made under the graph lock. */
static struct tier__leaf_index *index_make(tier_cache *c, struct tier__closure *k)
{
    size_t n = 1024;
    struct tier__leaf_walk w;
    struct tier__reader leaf;
    const char *name;
    bool own;
    while (n < k->leaves.size / LEAF_HEAD * 2)
        n *= 2;
    struct tier__leaf_index *index = tier__zalloc(&c->base, n, sizeof *index);
    if (!index)
        return NULL;
    k->index_size = n;
    tier__leaf_walk_begin(&w, k);
    for (uint32_t ordinal = 0; tier__leaf_walk_next(&w, &name, &own, &leaf); ordinal++) {
        uint64_t hash = leaf_hash(w.dir, name);
        size_t i = hash & (n - 1);
        while (index[i].leaf)
            i = (i + 1) & (n - 1);
        index[i] = (struct tier__leaf_index){hash, (uint32_t)(w.dir - (const char *)k->leaves.data),
                                             (uint32_t)(leaf.at - k->leaves.data), ordinal};
        k->directories |= own;
    }
    atomic_store_explicit(&k->index, index, memory_order_release);
    return index;
}

static const struct tier__leaf_index *index_of(tier_cache *c, struct tier__closure *k)
{
    struct tier__leaf_index *index = atomic_load_explicit(&k->index, memory_order_acquire);
    if (index)
        return index;
    pthread_mutex_lock(&c->graph);
    if (!(index = k->index))
        index = index_make(c, k);
    pthread_mutex_unlock(&c->graph);
    return index;
}

uint32_t tier__closure_find(tier_cache *c, struct tier__closure *k, const char *dir, const char *name,
                            struct tier__look *out)
{
    const struct tier__leaf_index *index = index_of(c, k);
    if (!index || (!*name && !k->directories))
        return UINT32_MAX;
    uint64_t hash = leaf_hash(dir, name);
    for (size_t i = hash & (k->index_size - 1); index[i].leaf; i = (i + 1) & (k->index_size - 1)) {
        const struct tier__leaf_index *x = &index[i];
        struct tier__reader r = tier__reader_of(k->leaves.data + x->leaf, k->leaves.size - x->leaf);
        if (x->hash != hash || strcmp((const char *)k->leaves.data + x->directory, dir) != 0)
            continue;
        tier__closure_leaf(&r, &out->id, &out->observed_at);
        if (*name && strcmp(tier__closure_name(&r), name) != 0)
            continue;
        out->kind = S_ISREG(out->id.mode) ? 'f' : S_ISDIR(out->id.mode) ? 'd' : 'o';
        return x->ordinal;
    }
    return UINT32_MAX;
}

const char *tier__closure_split(const struct tier__path *p, const char **dir)
{
    const char *slash = strrchr(p->rel, '/');
    bool top = *p->rel == 0 || strcmp(p->rel, "/") == 0;
    *dir = top ? p->key : p->parent->key;
    return top ? "" : slash ? slash + 1 : p->rel;
}

static bool leaf_of(tier_cache *c, struct tier__closure *k, const unsigned char *failed,
                    const struct tier__path *p, const char *dir, const char *name, struct tier__look *out)
{
    uint32_t ordinal = tier__closure_find(c, k, dir, name, out);
    if (ordinal == UINT32_MAX)
        ordinal = tier__closure_find(c, k, p->key, "", out);
    return ordinal != UINT32_MAX && !(failed && tier__bit(failed, ordinal));
}

bool tier__closure_look(tier__view *v, const struct tier__path *p, struct tier__look *out)
{
    tier_cache *c = v->cache;
    struct tier__closure *k = v->closure ? v->closure : v->snapshot ? v->snapshot->closure : NULL;
    const char *dir;
    if (!k)
        return false;
    const char *name = tier__closure_split(p, &dir);
    bool found = leaf_of(c, k, v->closure ? NULL : v->snapshot->failed, p, dir, name, out);
    if (!found)
        memset(&out->id, 0, sizeof out->id);
    out->inherited = found;
    return found;
}

/* p is no leaf, but it may have been an absence: then the nearest directory above it that is a leaf did not
 * hold it, and has changed since if it does now. */
bool tier__closure_agrees(tier__view *v, struct tier__path *p)
{
    tier_cache *c = v->cache;
    struct tier__closure *k = v->closure ? v->closure : v->snapshot ? v->snapshot->closure : NULL;
    struct tier__look was;
    struct tier__statid is;
    char kind;
    while (k && *p->rel && strcmp(p->rel, "/") != 0) {
        p = p->parent;
        uint32_t ordinal = tier__closure_find(c, k, p->key, "", &was);
        if (ordinal == UINT32_MAX)
            continue;
        if (v->snapshot && tier__bit(v->snapshot->failed, ordinal))
            return true;
        return tier__path_stat(c, p, false, &is, &kind) == 0 && tier__statid_equal(&was.id, &is);
    }
    return true;
}
