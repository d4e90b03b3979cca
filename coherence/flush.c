/* flush.c - results on their way to disk: they wait (pending.c), then a group of them is committed at once:
 * blob, names, variant of each in one transaction (I10). They are recorded under the digests of the bytes
 * that they were made from, so they are true whenever they arrive (I8). */
#include "coherence/sweep.h"
#include "tiers/checksum.h"

enum { GROUP_AGE_MS = 1000 };

struct tier__group { /* one write transaction */
    tier_cache *c;
    tier__write *w;
    uint32_t next_id;
    uint64_t swept; /* tier__sweep_mark */
    bool heard;     /* all bans; else one may be of a path that is remembered here */
    struct tier__replacing *replacing;
    struct tier__dep **touched;
    size_t touched_count, touched_capacity;
};

int tier__compresses(const tier_cache *c)
{
    bool none = strcmp(tier__profile_word(c->profile, TIER__KEY_CODEC), "none") == 0 ||
                tier__profile_int(c->profile, TIER__KEY_STORE_COMPRESS_LEVEL) == 0;
    return none ? 0 : TIER__COMPRESS;
}

bool tier__stores(const tier_cache *c)
{
    return c->store && !(c->flags & (TIER_READ_ONLY | TIER_NO_MEMORY));
}

/* ---- names */
static int touch(struct tier__group *g, struct tier__dep *d)
{
    if (d->disk_dirty)
        return 0;
    if (g->touched_count == g->touched_capacity) {
        size_t n = g->touched_capacity ? g->touched_capacity * 2 : 256;
        struct tier__dep **grown = tier__resize(&g->c->base, g->touched, n * sizeof *grown);
        if (!grown)
            return TIER_ENOMEM;
        g->touched = grown;
        g->touched_capacity = n;
    }
    g->touched[g->touched_count++] = d;
    d->disk_dirty = true;
    return 0;
}

static void id_key_of(const struct tier__dep *d, tier_digest *key)
{
    struct tier__hasher h;
    tier__hash_begin(&h, "tierkit name");
    tier__hash_u64(&h, (uint64_t)d->kind << 32 | d->fields);
    tier__hash_str(&h, d->path ? d->path->key : NULL);
    tier__hash_field(&h, d->name, d->name_size);
    tier__hash_end(&h, key);
}

static int name_read(struct tier__group *g, struct tier__dep *d, uint32_t id)
{
    unsigned char key[4];
    struct tier__buf b;
    struct tier__name_record n;
    tier__buf_init(&b, &g->c->base);
    int rc = tier__write_get(g->w, TIER__NAME, key, tier__id_key(id, key), &b);
    if (!rc && (!tier__get_name(b.data, b.size, &n) || n.kind != d->kind || n.name_size != d->name_size ||
                memcmp(n.name, d->name, n.name_size) != 0))
        rc = TIER_EABSENT;
    if (!rc) {
        pthread_mutex_lock(&g->c->graph);
        rc = tier__dep_learn_locked(g->c, d, id, n.first, n.count, n.values) ? 0 : TIER_ENOMEM;
        pthread_mutex_unlock(&g->c->graph);
    }
    tier__buf_fini(&b);
    return rc;
}

/* The id of d on disk. A new one is never an old one used again, also when its name was lost. */
static int name_id(struct tier__group *g, struct tier__dep *d)
{
    tier_digest key;
    struct tier__buf b;
    if (d->store_id)
        return 0;
    id_key_of(d, &key);
    tier__buf_init(&b, &g->c->base);
    uint32_t id = 0;
    if (tier__write_get(g->w, TIER__ID, key.byte, sizeof key.byte, &b) == 0) {
        struct tier__reader r = tier__reader_of(b.data, b.size);
        id = tier__read_u32(&r);
    }
    int rc = id && !name_read(g, d, id) ? 0 : TIER_EABSENT;
    if (rc) {
        pthread_mutex_lock(&g->c->graph);
        rc = tier__dep_learn_locked(g->c, d, g->next_id, 0, 0, NULL) ? 0 : TIER_ENOMEM;
        pthread_mutex_unlock(&g->c->graph);
        tier__buf_clear(&b);
        tier__buf_u32(&b, g->next_id++);
        if (!rc)
            rc = tier__write_put(g->w, TIER__ID, key.byte, sizeof key.byte, b.data, b.size, 0);
        if (!rc)
            rc = touch(g, d);
    }
    tier__buf_fini(&b);
    return rc;
}

/* The version on disk of our version of d, made where there is none. */
static int name_version(struct tier__group *g, struct tier__dep *d, uint32_t version, uint32_t *out)
{
    tier_cache *c = g->c;
    int rc = 0;
    pthread_mutex_lock(&c->graph);
    uint32_t known = d->version[version].on_disk;
    pthread_mutex_unlock(&c->graph);
    if (!known && !d->disk_dirty) { /* another process may have it by now */
        rc = name_read(g, d, d->store_id);
        if (rc == TIER_EABSENT) { /* its record was lost: a fresh id */
            pthread_mutex_lock(&c->graph);
            tier__dep_not_on_disk_locked(d);
            pthread_mutex_unlock(&c->graph);
            rc = name_id(g, d);
        }
    }
    if (rc)
        return rc;
    pthread_mutex_lock(&c->graph);
    if (!d->version[version].on_disk) {
        uint32_t *from = tier__resize(&c->base, d->from_disk, (d->disk_count + 1) * sizeof *from);
        if (from) {
            from[d->disk_count] = version;
            d->from_disk = from;
            d->version[version].on_disk = d->disk_first + ++d->disk_count;
        } else {
            rc = TIER_ENOMEM;
        }
        known = 0;
    }
    *out = d->version[version].on_disk - 1;
    pthread_mutex_unlock(&c->graph);
    return rc || known ? rc : touch(g, d);
}

static void name_encode(tier_cache *c, struct tier__dep *d, struct tier__buf *b)
{
    pthread_mutex_lock(&c->graph);
    struct tier__request *q = d->request;
    struct tier__request *made = NULL;
    if (d->kind == TIER__K_RESULT && !q && d->node && d->node->type)
        q = made = tier__request_of(c, d->node);
    if (d->disk_count >
        TIER__DISK_VERSIONS) { /* the oldest go: variants that name them are misses from now on */
        uint32_t drop = d->disk_count - TIER__DISK_VERSIONS;
        for (uint32_t i = 0; i < drop; i++)
            d->version[d->from_disk[i]].on_disk = 0;
        memmove(d->from_disk, d->from_disk + drop, TIER__DISK_VERSIONS * sizeof *d->from_disk);
        d->disk_first += drop;
        d->disk_count = TIER__DISK_VERSIONS;
    }
    tier__buf_clear(b);
    tier__buf_u8(b, TIER__RECORD_FORMAT);
    tier__buf_u8(b, d->kind);
    tier__buf_u32(b, d->fields);
    tier__buf_u8(b, (uint8_t)((d->path ? 1 : 0) | (q ? 2 : 0)));
    tier__buf_str(b, d->path ? d->path->key : "");
    tier__buf_u8(b, 0);
    tier__buf_bytes(b, d->name, d->name_size);
    if (q)
        tier__put_request(b, q);
    tier__buf_u32(b, d->disk_first);
    tier__buf_u32(b, d->disk_count);
    for (uint32_t i = 0; i < d->disk_count; i++)
        tier__buf_put(b, d->version[d->from_disk[i]].value.byte, sizeof d->version[0].value.byte);
    pthread_mutex_unlock(&c->graph);
    tier__free(&c->base, made);
}

static int names_write(struct tier__group *g)
{
    struct tier__buf b;
    unsigned char key[4];
    int rc = 0;
    tier__buf_init(&b, &g->c->base);
    for (size_t i = 0; i < g->touched_count && !rc; i++) {
        name_encode(g->c, g->touched[i], &b);
        rc = b.failed ? TIER_ENOMEM
                      : tier__write_put(g->w, TIER__NAME, key, tier__id_key(g->touched[i]->store_id, key),
                                        b.data, b.size, 0);
    }
    tier__buf_clear(&b);
    tier__buf_u32(&b, g->next_id);
    if (!rc)
        rc = tier__write_put(g->w, TIER__META, "next_id", 7, b.data, b.size, 0);
    tier__buf_fini(&b);
    return rc;
}

/* After a commit that did not happen, nothing is known of the disk's names. */
static void names_forget(tier_cache *c)
{
    pthread_mutex_lock(&c->graph);
    for (uint32_t i = 0; i < c->dep_count; i++) {
        struct tier__dep *d = tier__chunks_at(&c->dep_by_id, i);
        tier__dep_not_on_disk_locked(d);
        d->disk_count = d->disk_first = 0;
        d->disk_dirty = false;
    }
    if (c->store_map)
        memset(c->store_map, 0, c->store_map_size * sizeof *c->store_map);
    pthread_mutex_unlock(&c->graph);
}

/* ---- variants and blobs */
static int put_edges(struct tier__group *g, const struct tier__variant *v, struct tier__buf *b)
{
    tier_cache *c = g->c;
    int rc = 0;
    for (uint32_t i = 0; i < v->edge_count && !rc; i++) {
        struct tier__dep *d = tier__dep_at(c, v->edges[i].dep);
        uint32_t version = 0;
        rc = name_id(g, d);
        if (!rc)
            rc = name_version(g, d, v->edges[i].version, &version);
        tier__buf_u32(b, d->store_id);
        tier__buf_u32(b, version);
    }
    return rc;
}

static int put_variant(struct tier__group *g, const struct tier__variant *v, struct tier__buf *b)
{
    tier_cache *c = g->c;
    pthread_mutex_lock(&c->graph);
    uint64_t sum = tier__edge_sum_locked(c, v->edges, v->edge_count);
    pthread_mutex_unlock(&c->graph);
    tier__buf_put(b, v->key.byte, sizeof v->key.byte);
    tier__buf_put(b, v->hash.byte, sizeof v->hash.byte);
    tier__buf_u32(b, (uint32_t)v->rc);
    tier__buf_u64(b, v->born);
    tier__buf_u64(b, (uint64_t)v->created_ms);
    tier__buf_u64(b, (uint64_t)v->expires_ms);
    tier__buf_u64(b, v->size);
    tier__buf_u64(b, sum);
    tier__buf_u32(b, v->cost_us);
    tier__buf_u8(b, v->form);
    tier__buf_u8(b, v->cheap ? TIER__VALUE_CHEAP : v->form && !v->small ? TIER__VALUE_APART : 0);
    tier__buf_str(b, v->text);
    tier__buf_bytes(b, v->tags ? v->tags : "", v->tags_size);
    tier__buf_bytes(b, v->small ? v->small : "", v->small_size);
    tier__buf_str(b, v->cause.text);
    tier__buf_u8(b, 0);
    tier__buf_put(b, v->cause.was_digest.byte, sizeof v->cause.was_digest.byte);
    tier__buf_put(b, v->cause.is_digest.byte, sizeof v->cause.is_digest.byte);
    tier__buf_u32(b, v->edge_count);
    return put_edges(g, v, b);
}

/* Is old, on disk, an answer that goes for another one to equal inputs? What has expired is none: whatever
 * stands above it has, too. */
static bool replaced_by(const struct tier__variant_record *old, const struct tier__pending *p)
{
    if (old->expires_ms && old->expires_ms <= tier__now_ms())
        return false;
    if (tier__digest_equal(&old->key, &p->variant->key))
        return !tier__digest_equal(&old->hash, &p->variant->hash);
    return tier__digest_equal(&old->key, &p->drop);
}

/* The record as it is on disk, with v in front and no other of its key. */
static int put_result(struct tier__group *g, const struct tier__pending *p)
{
    tier_cache *c = g->c;
    const struct tier__variant *v = p->variant;
    struct tier__buf b, old;
    struct tier__request_record q;
    struct tier__variant_record d, kept[TIER__VARIANT_MAX];
    const unsigned char *id = p->node->identity.byte;
    uint8_t count = 0;
    tier__buf_init(&b, &c->base);
    tier__buf_init(&old, &c->base);
    if (tier__write_get(g->w, TIER__VARIANT, id, sizeof p->node->identity.byte, &old) == 0) {
        struct tier__reader r = tier__reader_of(old.data, old.size);
        if (tier__get_node(&r, &q))
            for (uint8_t left = tier__read_u8(&r); left && tier__get_variant(&r, &d); left--) {
                g->replacing->found |= replaced_by(&d, p);
                if (count + 1u < c->keep_variants && !tier__digest_equal(&d.key, &v->key) &&
                    !tier__digest_equal(&d.key, &p->drop))
                    kept[count++] = d;
            }
    }
    tier__put_node(&b, c, p->node);
    tier__buf_u8(&b, (uint8_t)(count + 1));
    int rc = put_variant(g, v, &b);
    for (uint8_t i = 0; i < count; i++)
        tier__buf_put(&b, kept[i].begin, kept[i].size_on_disk);
    if (!rc)
        rc = b.failed
                 ? TIER_ENOMEM
                 : tier__write_put(g->w, TIER__VARIANT, id, sizeof p->node->identity.byte, b.data, b.size, 0);
    if (!rc && (p->blob || p->saved.size)) {
        tier__buf_clear(&b);
        tier__buf_put(&b, p->blob ? p->blob->data : p->saved.data, p->blob ? p->blob->size : p->saved.size);
        tier__buf_put(&b, v->hash.byte, sizeof v->hash.byte);
        rc = b.failed ? TIER_ENOMEM
                      : tier__write_put(g->w, TIER__BLOB, v->key.byte, sizeof v->key.byte, b.data, b.size,
                                        tier__compresses(c));
    }
    tier__buf_fini(&b);
    tier__buf_fini(&old);
    return rc;
}

/* ---- stat identities */
static int memos_write(struct tier__group *g)
{
    tier_cache *c = g->c;
    struct tier__buf b;
    unsigned char key[TIER__KEY_MAX];
    int rc = 0;
    tier__buf_init(&b, &c->base);
    for (uint32_t i = 0; !rc; i++) {
        pthread_mutex_lock(&c->graph);
        struct tier__path **at = i < c->path_count ? tier__chunks_at(&c->path_by_id, i) : NULL;
        struct tier__path *p = at ? *at : NULL;
        struct tier__memo m = {.dirty = false};
        if (p) {
            m = p->memo;
            p->memo.dirty = false;
        }
        pthread_mutex_unlock(&c->graph);
        if (!p)
            break;
        if (!m.dirty || !tier__statid_settled(&m.id, m.observed_at))
            continue; /* not settled: the next process could not trust it */
        struct tier__stat_record st = {m.id, m.observed_at, m.digest};
        tier__buf_clear(&b);
        tier__put_stat(&b, &st);
        size_t n = tier__stat_key(&c->workspace, p->key, key);
        rc = b.failed ? TIER_ENOMEM : tier__write_put(g->w, TIER__STAT, key, n, b.data, b.size, 0);
    }
    tier__buf_fini(&b);
    return rc;
}

/* Anything that a later process could trust? */
static bool memos_worth(tier_cache *c)
{
    bool worth = false;
    pthread_mutex_lock(&c->graph);
    for (uint32_t i = 0; c->memos_dirty && !worth && i < c->path_count; i++) {
        const struct tier__path *p = *(struct tier__path **)tier__chunks_at(&c->path_by_id, i);
        worth = p->memo.dirty && tier__statid_settled(&p->memo.id, p->memo.observed_at);
    }
    c->memos_dirty = worth;
    pthread_mutex_unlock(&c->graph);
    return worth;
}

/* ---- the commit */
static int group_begin(struct tier__group *g)
{
    struct tier__buf b;
    int rc = tier__write_begin(g->c->store, &g->w);
    if (rc)
        return rc;
    tier__buf_init(&b, &g->c->base);
    g->next_id = 1;
    if (tier__write_get(g->w, TIER__META, "next_id", 7, &b) == 0 && b.size == 4) {
        struct tier__reader r = tier__reader_of(b.data, b.size);
        g->next_id = tier__read_u32(&r);
    } else if (tier__write_get(g->w, TIER__META, "names", 5, &b) == 0) {
        /* the counter was lost: go on far beyond whatever it was; edge sums guard the rest */
        uint32_t jump = (uint32_t)(tier__now_ns() & 0x3fffffff) | 0x100000;
        g->next_id = jump;
    } else {
        rc = tier__write_put(g->w, TIER__META, "names", 5, "1", 1, 0);
        rc = rc ? rc : tier__replaced_first(g->c, g->w);
    }
    if (!rc)
        rc = tier__ban_sequence(g->c, g->w, &b, &g->heard);
    g->swept = tier__sweep_mark(g->c, g->w);
    tier__buf_fini(&b);
    if (!rc && g->c->root_count)
        rc = tier__write_put(g->w, TIER__WORKSPACE, g->c->workspace.byte, sizeof g->c->workspace.byte,
                             g->c->root[0].path, strlen(g->c->root[0].path), 0);
    return rc;
}

static int group_write(tier_cache *c, struct tier__pending *list, size_t count, struct tier__replacing *r)
{
    struct tier__group g = {.c = c, .replacing = r};
    int rc = group_begin(&g);
    if (!rc && g.heard)
        rc = memos_write(&g);
    for (struct tier__pending *p = list; count && !rc;
         p = --count ? p->next : NULL) /* more may follow by now */
        if (p->node->type && p->variant->born >= g.swept)
            rc = put_result(&g, p);
        else
            r->lost = true;
    if (!rc)
        rc = tier__replaced_write(c, g.w, r);
    if (!rc)
        rc = tier__closures_write(c, g.w);
    if (!rc)
        rc = names_write(&g);
    if (!rc)
        rc = tier__sweep(c, g.w, tier__now_ms());
    if (rc)
        tier__write_abort(&g.w);
    else
        rc = tier__write_commit(&g.w);
    if (rc)
        names_forget(c);
    for (size_t i = 0; i < g.touched_count; i++)
        g.touched[i]->disk_dirty = false;
    tier__free(&c->base, g.touched);
    return rc;
}

static void unwritten(tier_cache *c, int rc, size_t count)
{
    char why[200];
    snprintf(why, sizeof why, "%s", tier_strerror(rc));
    if (rc == TIER_EIO)
        tier__store_lacks(c->store, why, sizeof why);
    tier__log(&c->base, TIER_LOG_WARNING, "store: what waited for it (results: %zu) stays in memory: %s",
              count, why);
}

int tier__pending_flush(tier_cache *c, bool force)
{
    if (!tier__stores(c))
        return 0;
    pthread_mutex_lock(&c->flushing);
    struct tier__replacing replacing = {.ours = atomic_load(&c->replaced)};
    pthread_mutex_lock(&c->world_lock);
    struct tier__pending *list = c->pending, *last = NULL;
    size_t count = 0;
    bool due =
        force || tier__pending_enough(c) || (list && tier__monotonic_ms() - c->pending_since >= GROUP_AGE_MS);
    for (struct tier__pending *p = due ? list : NULL; p; p = p->next, count++)
        last = p;
    pthread_mutex_unlock(&c->world_lock);
    int rc = 0;
    if (due && (list || memos_worth(c) || tier__closures_wait(c))) {
        /* what is being written stays in the list until it is: its bytes may be asked for meanwhile */
        uint64_t before = tier__store_news(c->store), start = tier__monotonic_us();
        atomic_store_explicit(&c->unpublished_us, 0, memory_order_relaxed);
        pthread_mutex_lock(&c->reading);
        rc = group_write(c, list, count, &replacing);
        pthread_mutex_unlock(&c->reading);
        atomic_store_explicit(&c->commit_us, tier__monotonic_us() - start, memory_order_relaxed);
        pthread_mutex_lock(&c->graph);
        if (!rc && before == c->last_news && tier__store_news(c->store) == before + 1)
            c->last_news = before + 1; /* that was us, nobody else */
        pthread_mutex_unlock(&c->graph);
        if (!rc) {
            tier__replaced_written(c, &replacing);
            tier__closures_written(c);
        } else {
            tier__replaced_unwritten(c, &replacing);
            tier__count(&c->base, TIER__STORE_SKIPPED, 1);
            unwritten(c, rc, count);
        }
        tier__pending_done(c, list, last, count);
    }
    pthread_mutex_unlock(&c->flushing);
    return rc;
}

int tier_flush(tier_cache *c)
{
    if (!c || c->magic != TIER__CACHE_MAGIC)
        return TIER_EINVAL;
    return tier__pending_flush(c, true) ? TIER_EIO : 0;
}

void tier__session_over(tier_cache *c)
{
    if (c->flags & TIER_NO_MEMORY) {
        pthread_mutex_lock(&c->world_lock);
        bool last = !c->sessions;
        pthread_mutex_unlock(&c->world_lock);
        if (last)
            tier__memory_clear(c->memory);
    }
    tier__governor_look(&c->governor, &c->base, c->memory, tier__monotonic_ms());
    tier__pending_flush(c, false);
}
