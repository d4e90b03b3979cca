/* closure.c - "nothing changed" in one pass: the leaves below a result (files, directories, environment...)
 * as they were when it was last verified, each with its stat identity, sorted by directory. If every leaf
 * still has its identity and that identity was settled, every dependency below the result has its old value,
 * so the result holds, and no graph is walked, nothing read, no name looked up: one stat a file, one a
 * directory. Absent paths cost nothing of their own: the directory that does not hold them has the stamps it
 * had (a name cannot come without changing them).
 *
 * A closure says what was verified, never that it still holds; any doubt (a changed or unsettled leaf, a ban
 * since, an expiry, an overlay) and the ordinary walk decides. It belongs to a workspace, as stat identities
 * do. */
#include "coherence/closure.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tiers/checksum.h"

enum { ANCHOR_DEPTH = 256, LEAF_HEAD = 5 * 8 + 4 + 8 };

void tier__closure_unref(tier_cache *c, struct tier__closure *k)
{
    if (!k || atomic_fetch_sub(&k->refs, 1) != 1)
        return;
    tier__buf_fini(&k->data);
    tier__free(&c->base, k->index);
    tier__free(&c->base, k);
}

void tier__closures_free(tier__view *v)
{
    for (uint32_t i = 0; i < v->closure_count; i++)
        tier__closure_unref(v->cache, v->closures[i]);
}

/* ---- leaves: u64 dev ino size mtime ctime, u32 mode, u64 observed_at, then the name in its directory
 * -------------------------- */
static void get_leaf(struct tier__reader *r, struct tier__statid *id, int64_t *observed_at)
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

static bool leaf_holds(struct tier__reader *r, int fd, const char *name, int flags)
{
    struct tier__statid was, is;
    int64_t observed_at;
    struct stat st;
    char kind;
    get_leaf(r, &was, &observed_at);
    if (r->failed || fstatat(fd, name, &st, flags))
        return false;
    tier__statid_of(&st, &is, &kind);
    return tier__statid_equal(&was, &is) && tier__statid_settled(&was, observed_at);
}

static const char *get_name(struct tier__reader *r)
{
    size_t n;
    const char *s = tier__read_bytes(r, &n);
    if (!s || tier__read_u8(r) != 0)
        r->failed = true;
    return r->failed ? "" : s;
}

/* ---- verifying
 * ----------------------------------------------------------------------------------------------------------------
 */
static bool group_holds(tier_cache *c, struct tier__reader *r, uint64_t *looks)
{
    int rc;
    const char *dir = get_name(r);
    bool own = tier__read_u8(r);
    struct tier__path *p = r->failed ? NULL : tier__path_of(c, dir, &rc);
    int fd = p ? tier__path_open(c, p, O_PATH | O_DIRECTORY) : -1;
    bool holds = fd >= 0;
    if (holds && own)
        holds = leaf_holds(r, fd, "", AT_EMPTY_PATH);
    *looks += own;
    for (uint32_t left = tier__read_u32(r); holds && left && !r->failed; left--) {
        struct tier__reader at = *r;
        if (!tier__read_raw(r, LEAF_HEAD)) /* the name stands behind what it is compared with */
            break;
        const char *name = get_name(r);
        holds = !r->failed && leaf_holds(&at, fd, name, 0);
        ++*looks;
    }
    if (fd >= 0)
        close(fd);
    return holds && !r->failed;
}

static bool generic_holds(tier_session *s, struct tier__reader *r)
{
    tier_cache *c = s->cache;
    tier_digest was, is;
    uint32_t version;
    int rc, seen;
    int kind = tier__read_u8(r);
    uint8_t has_path = tier__read_u8(r);
    const char *path = get_name(r);
    size_t size;
    const void *name = tier__read_bytes(r, &size);
    const void *digest = tier__read_raw(r, sizeof was.byte);
    if (r->failed)
        return false;
    memcpy(was.byte, digest, sizeof was.byte);
    struct tier__path *p = has_path ? tier__path_of(c, path, &rc) : NULL;
    if (has_path && !p)
        return false;
    struct tier__dep *d = tier__dep_of(c, kind, p, 0, name, size);
    if (!d || tier__view_observe(s, d, &version, NULL, &seen))
        return false;
    tier__dep_value(c, d, version, &is);
    return tier__digest_equal(&was, &is);
}

static bool closure_holds(tier_session *s, struct tier__closure *k)
{
    tier_cache *c = s->cache;
    uint64_t looks = 0;
    if (k->bans != s->view->bans || (k->expires_ms && k->expires_ms <= s->view->clock_ms))
        return false;
    struct tier__reader r = tier__reader_of(k->data.data, k->data.size);
    bool holds = true;
    for (uint32_t left = tier__read_u32(&r); left && holds; left--)
        holds = generic_holds(s, &r);
    k->groups_at = holds ? (size_t)(r.at - k->data.data) : 0;
    for (uint32_t left = holds ? tier__read_u32(&r) : 0; left && holds; left--)
        holds = group_holds(c, &r, &looks);
    tier__count(&c->base, TIER__FILE_LOOK, looks);
    return holds && !r.failed;
}

void tier__closure_key(const tier_cache *c, const tier__node *n, unsigned char key[48])
{
    memcpy(key, c->workspace.byte, TIER__WORKSPACE_KEY);
    memcpy(key + TIER__WORKSPACE_KEY, n->identity.byte, 32);
}

struct tier__closure *tier__closure_new(tier_cache *c)
{
    struct tier__closure *k = tier__zalloc(&c->base, 1, sizeof *k);
    if (k) {
        atomic_init(&k->refs, 1);
        tier__buf_init(&k->data, &c->base);
    }
    return k;
}

static struct tier__closure *closure_load(tier_cache *c, const tier__node *n)
{
    unsigned char key[48];
    struct tier__buf b;
    struct tier__closure *k = tier__closure_new(c);
    if (!k)
        return NULL;
    tier__closure_key(c, n, key);
    tier__buf_init(&b, &c->base);
    bool ok = tier__store_get(c->store, NULL, TIER__CLOSURE, key, sizeof key, &b) == 0;
    struct tier__reader r = tier__reader_of(b.data, b.size);
    if (ok && tier__read_u8(&r) == TIER__CLOSURE_FORMAT) {
        const void *digest = tier__read_raw(&r, sizeof k->key.byte);
        k->bans = tier__read_u64(&r);
        k->expires_ms = (int64_t)tier__read_u64(&r);
        if (!r.failed) {
            memcpy(k->key.byte, digest, sizeof k->key.byte);
            tier__buf_put(&k->data, r.at, (size_t)(r.end - r.at));
        }
    }
    tier__buf_fini(&b);
    if (!k->data.size || k->data.failed) {
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
    struct tier__closure *k = n->closure;
    if (k)
        atomic_fetch_add(&k->refs, 1);
    pthread_mutex_unlock(&c->graph);
    tier__closure_unref(c, loaded);
    return k;
}

bool tier__closure_try(tier_session *s, tier__node *n)
{
    tier_cache *c = s->cache;
    tier__view *v = s->view;
    if (v->closure_count == 4 || (v->world && v->world->overlay_count))
        return false;
    struct tier__closure *k = closure_of(c, n);
    if (!k)
        return false;
    tier__node_load(c, n);
    struct tier__variant *found = NULL;
    pthread_mutex_lock(&c->graph);
    for (uint32_t i = 0; i < n->variant_count && !found; i++)
        if (tier__digest_equal(&n->variant[i]->key, &k->key))
            found = tier__variant_ref(n->variant[i]);
    pthread_mutex_unlock(&c->graph);
    bool holds = found && closure_holds(s, k);
    if (found)
        tier__count(&c->base, holds ? TIER__CLOSURE_HIT : TIER__CLOSURE_MISS, 1);
    if (holds) {
        pthread_mutex_lock(&v->lock);
        if (v->closure_count < 4)
            v->closures[v->closure_count++] = k;
        else
            holds = false;
        pthread_mutex_unlock(&v->lock);
    }
    if (holds)
        holds = tier__bind(s, n, found, NULL, TIER_VERIFIED) == 0;
    else
        tier__closure_unref(c, k);
    tier__variant_unref(c, found);
    return holds;
}

/* ---- a view that stands on closures looks at something
 * ------------------------------------------------------------------------- */
static uint64_t leaf_hash(const char *dir, const char *name)
{
    return tier__checksum(name, strlen(name), tier__checksum(dir, strlen(dir), 7));
}

static void index_add(struct tier__closure *k, const char *dir, const char *name, size_t dir_at,
                      size_t leaf_at)
{
    uint64_t hash = leaf_hash(dir, name);
    size_t i = hash & (k->index_size - 1);
    while (k->index[i].leaf)
        i = (i + 1) & (k->index_size - 1);
    k->index[i] = (struct tier__leaf_index){hash, (uint32_t)dir_at, (uint32_t)leaf_at};
}

/* View lock held; the closure is shared, so the index is made under the graph lock. */
static bool index_make(tier_cache *c, struct tier__closure *k)
{
    size_t n = 1024;
    while (n < k->data.size / LEAF_HEAD * 2)
        n *= 2;
    if (!(k->index = tier__zalloc(&c->base, n, sizeof *k->index)))
        return false;
    k->index_size = n;
    struct tier__reader r = tier__reader_of(k->data.data + k->groups_at, k->data.size - k->groups_at);
    for (uint32_t left = tier__read_u32(&r); left && !r.failed; left--) {
        size_t dir_at = (size_t)(r.at - k->data.data);
        const char *dir = get_name(&r);
        if (tier__read_u8(&r)) {
            index_add(k, dir, "", dir_at, (size_t)(r.at - k->data.data));
            tier__read_raw(&r, LEAF_HEAD);
        }
        for (uint32_t leaves = tier__read_u32(&r); leaves && !r.failed; leaves--) {
            size_t leaf_at = (size_t)(r.at - k->data.data);
            tier__read_raw(&r, LEAF_HEAD);
            const char *name = get_name(&r);
            if (!r.failed)
                index_add(k, dir, name, dir_at, leaf_at);
        }
    }
    return true;
}

static bool index_find(tier_cache *c, struct tier__closure *k, const char *dir, const char *name,
                       struct tier__look *out)
{
    pthread_mutex_lock(&c->graph);
    bool ready = k->index || index_make(c, k);
    pthread_mutex_unlock(&c->graph);
    if (!ready)
        return false;
    uint64_t hash = leaf_hash(dir, name);
    for (size_t i = hash & (k->index_size - 1); k->index[i].leaf; i = (i + 1) & (k->index_size - 1)) {
        const struct tier__leaf_index *x = &k->index[i];
        struct tier__reader d = tier__reader_of(k->data.data + x->directory, k->data.size - x->directory);
        struct tier__reader r = tier__reader_of(k->data.data + x->leaf, k->data.size - x->leaf);
        if (x->hash != hash || strcmp(get_name(&d), dir) != 0)
            continue;
        get_leaf(&r, &out->id, &out->observed_at);
        if (*name && strcmp(get_name(&r), name) != 0)
            continue;
        out->kind = S_ISREG(out->id.mode) ? 'f' : S_ISDIR(out->id.mode) ? 'd' : 'o';
        return true;
    }
    return false;
}

/* Key path -> directory (as a key path, with its 0) and name. */
const char *tier__closure_split(const struct tier__path *p, struct tier__buf *dir)
{
    const char *slash = strrchr(p->rel, '/');
    const char *name = slash ? slash + 1 : p->rel;
    size_t n = (size_t)(name - p->key);
    if (slash && slash > p->rel)
        n--; /* not the slash, but that of the OS's root */
    tier__buf_clear(dir);
    tier__buf_put(dir, p->key, n);
    tier__buf_u8(dir, 0);
    return name;
}

bool tier__closure_look(tier__view *v, const struct tier__path *p, struct tier__look *out)
{
    tier_cache *c = v->cache;
    pthread_mutex_lock(&v->lock);
    uint32_t count = v->closure_count;
    pthread_mutex_unlock(&v->lock);
    if (!count)
        return false;
    struct tier__buf dir;
    tier__buf_init(&dir, &c->base);
    const char *name = tier__closure_split(p, &dir);
    bool found = false;
    for (uint32_t i = 0; i < count && !found && !dir.failed; i++)
        found = index_find(c, v->closures[i], (char *)dir.data, name, out) ||
                index_find(c, v->closures[i], p->key, "", out);
    tier__buf_fini(&dir);
    return found;
}

/* An absence is anchored in the directory that does not hold it: that is looked at first, and when this look
 * is new, the absence is looked at once more, so that the directory's stamps are older than it. */
void tier__closure_anchor(tier_session *s, struct tier__path *p, struct tier__look *absent)
{
    tier_cache *c = s->cache;
    struct tier__buf dir;
    struct tier__path *chain[ANCHOR_DEPTH];
    int depth = 0, rc;
    if (c->flags & TIER_NO_MEMORY)
        return;
    tier__buf_init(&dir, &c->base);
    bool fresh = false;
    for (struct tier__path *at = p; *at->rel && strcmp(at->rel, "/") != 0 && depth < ANCHOR_DEPTH;) {
        tier__closure_split(at, &dir);
        if (dir.failed || !(at = tier__path_of(c, (char *)dir.data, &rc)))
            break;
        pthread_mutex_lock(&s->view->lock);
        struct tier__look *l = tier__chunks_at(&s->view->looks, at->id);
        bool looked = l && l->looked;
        pthread_mutex_unlock(&s->view->lock);
        if (looked)
            break;
        fresh = true;
        chain[depth++] = at;
    }
    while (depth--) { /* from the top: each finds the one above it looked at already */
        struct tier__look look;
        if (tier__view_look(s, chain[depth], &look))
            break;
    }
    tier__buf_fini(&dir);
    if (fresh) {
        absent->observed_at = tier__now_ns();
        absent->rc = tier__path_stat(c, p, false, &absent->id, &absent->kind);
    }
}
