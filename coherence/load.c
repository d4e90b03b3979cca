/* load.c - what is known, from disk: variants of a request, names behind their edges, values, stat
 * identities. Anything that is missing, damaged or no longer means what it meant is a miss. */
#include "coherence/record.h"
#include "coherence/reverse.h"
#include "tiers/checksum.h"

/* ---- names */
static struct tier__dep *name_dep(tier_cache *c, const struct tier__name_record *n)
{
    int rc;
    struct tier__path *p = n->has_path ? tier__path_of(c, n->path, &rc) : NULL;
    if (n->has_path && !p)
        return NULL;
    struct tier__dep *d = tier__dep_of(c, n->kind, p, n->fields, n->name, n->name_size);
    if (!d || !n->has_request)
        return d;
    pthread_mutex_lock(&c->graph);
    if (!d->node && !d->request)
        d->request = tier__request_make(c, &n->request);
    pthread_mutex_unlock(&c->graph);
    return d;
}

/* Learns the versions that disk has of d. Graph lock held. */
bool tier__dep_learn_locked(tier_cache *c, struct tier__dep *d, uint32_t id, uint32_t first, uint32_t count,
                            const unsigned char *values)
{
    uint32_t *from = tier__alloc(&c->base, (count + 1) * sizeof *from);
    if (!from)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        tier_digest value;
        memcpy(value.byte, values + (size_t)i * sizeof value.byte, sizeof value.byte);
        from[i] = tier__dep_version_locked(c, d, &value);
        if (from[i] == UINT32_MAX) {
            tier__free(&c->base, from);
            return false;
        }
        d->version[from[i]].on_disk = first + i + 1;
    }
    tier__free(&c->base, d->from_disk);
    d->from_disk = from;
    d->disk_first = first;
    d->disk_count = count;
    d->store_id = id;
    if (id >= c->store_map_size) {
        size_t n = id + 1 > 2 * c->store_map_size ? id + 1024 : 2 * c->store_map_size;
        uint32_t *map = tier__resize(&c->base, c->store_map, n * sizeof *map);
        if (!map)
            return false;
        memset(map + c->store_map_size, 0, (n - c->store_map_size) * sizeof *map);
        c->store_map = map;
        c->store_map_size = n;
    }
    c->store_map[id] = d->id + 1;
    return true;
}

size_t tier__id_key(uint32_t id, unsigned char key[4])
{
    key[0] = (unsigned char)(id >> 24); /* big endian: in order */
    key[1] = (unsigned char)(id >> 16);
    key[2] = (unsigned char)(id >> 8);
    key[3] = (unsigned char)id;
    return 4;
}

static bool name_load(tier_cache *c, tier__read *r, uint32_t id)
{
    unsigned char key[4];
    struct tier__buf b;
    struct tier__name_record n;
    tier__buf_init(&b, &c->base);
    bool ok = tier__store_get(c->store, r, TIER__NAME, key, tier__id_key(id, key), &b) == 0 &&
              tier__get_name(b.data, b.size, &n);
    struct tier__dep *d = ok ? name_dep(c, &n) : NULL;
    if (d) {
        pthread_mutex_lock(&c->graph);
        ok = tier__dep_learn_locked(c, d, id, n.first, n.count, n.values);
        pthread_mutex_unlock(&c->graph);
    }
    tier__buf_fini(&b);
    return ok && d;
}

/* Our edge for one on disk; graph lock held. 1: its name is to be loaded first. */
static int edge_known(tier_cache *c, uint32_t id, uint32_t version, struct tier__edge *e)
{
    if (id >= c->store_map_size || !c->store_map[id])
        return 1;
    struct tier__dep *d = tier__chunks_at(&c->dep_by_id, c->store_map[id] - 1);
    if (d->store_id != id || version < d->disk_first || version - d->disk_first >= d->disk_count)
        return 1;
    *e = (struct tier__edge){d->id, d->from_disk[version - d->disk_first]};
    return 0;
}

uint64_t tier__edge_sum_locked(tier_cache *c, const struct tier__edge *edges, uint32_t count)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct {
            uint64_t stable, sum;
            tier_digest value;
        } k;
        const struct tier__dep *d = tier__chunks_at(&c->dep_by_id, edges[i].dep);
        k.stable = d->stable;
        k.sum = sum;
        k.value = d->version[edges[i].version].value;
        sum = tier__checksum(&k, sizeof k, 6);
    }
    return sum;
}

static bool edges_read(tier_cache *c, const struct tier__variant *v, struct tier__edge *edges)
{
    tier__read *r = NULL;
    struct tier__reader in = tier__reader_of(v->raw, (size_t)v->edge_count * 8);
    bool ok = true;
    for (uint32_t i = 0; ok && i < v->edge_count; i++) {
        uint32_t id = tier__read_u32(&in), version = tier__read_u32(&in);
        pthread_mutex_lock(&c->graph);
        int missing = edge_known(c, id, version, &edges[i]);
        pthread_mutex_unlock(&c->graph);
        if (!missing)
            continue;
        if (!r && tier__read_begin(c->store, &r)) /* one snapshot for all the names of this variant */
            ok = false;
        ok = ok && name_load(c, r, id);
        pthread_mutex_lock(&c->graph);
        ok = ok && edge_known(c, id, version, &edges[i]) == 0;
        pthread_mutex_unlock(&c->graph);
    }
    tier__read_end(&r);
    return ok;
}

bool tier__variant_adopt(tier_cache *c, struct tier__variant *v, struct tier__edge **edges)
{
    pthread_mutex_lock(&c->graph);
    bool ok = !v->raw || tier__edge_sum_locked(c, *edges, v->edge_count) == v->edge_sum;
    if (ok && v->raw) {
        v->edges = *edges;
        tier__free(&c->base, atomic_exchange(&v->raw, NULL));
        *edges = NULL;
    }
    pthread_mutex_unlock(&c->graph);
    return ok;
}

bool tier__variant_edges(tier_cache *c, struct tier__variant *v)
{
    if (!atomic_load_explicit(&v->raw, memory_order_acquire))
        return true;
    struct tier__edge *edges = c->store ? tier__zalloc(&c->base, v->edge_count + 1, sizeof *edges) : NULL;
    pthread_mutex_lock(&c->reading);
    bool ok = edges && (!v->raw || edges_read(c, v, edges)) && tier__variant_adopt(c, v, &edges);
    pthread_mutex_unlock(&c->reading);
    tier__free(&c->base, edges);
    return ok;
}

/* ---- variants of a request */
static struct tier__variant *variant_of(tier_cache *c, const struct tier__variant_record *d)
{
    struct tier__variant *v = tier__zalloc(&c->base, 1, sizeof *v);
    if (!v)
        return NULL;
    atomic_init(&v->refs, 1);
    v->key = d->key;
    v->hash = d->hash;
    v->rc = d->rc;
    v->born = d->born;
    v->created_ms = d->created_ms;
    v->expires_ms = d->expires_ms;
    v->size = d->size;
    v->cost_us = d->cost_us;
    v->form = d->form;
    v->blob_stored = d->blob_stored;
    v->cheap = d->cheap;
    v->edge_count = d->edge_count;
    v->edge_sum = d->edge_sum;
    v->tags_size = d->tags_size;
    v->tags = tier__memdup0(&c->base, d->tags, d->tags_size);
    v->raw = tier__memdup0(&c->base, d->edges, (size_t)d->edge_count * 8);
    v->small_size = (uint32_t)d->small_size;
    v->small = d->small_size ? tier__memdup0(&c->base, d->small, d->small_size) : NULL;
    v->text = d->text_size ? tier__memdup0(&c->base, d->text, d->text_size) : NULL;
    v->cause.text = tier__strdup(&c->base, d->cause);
    v->cause.was_digest = d->was;
    v->cause.is_digest = d->is;
    if (!v->tags || !v->raw || (d->small_size && !v->small) || (d->text_size && !v->text)) {
        tier__variant_unref(c, v);
        return NULL;
    }
    return v;
}

/* Among the known ones: in front when it is newer than all, at the end where there is room. */
static void variant_merge(tier_cache *c, tier__node *n, const struct tier__variant_record *d, uint64_t epoch)
{
    pthread_mutex_lock(&c->graph);
    bool known = epoch < c->replaced_epoch; /* it may have gone since it was read */
    for (uint32_t i = 0; i < n->variant_count; i++)
        known |= tier__digest_equal(&n->variant[i]->key, &d->key);
    bool newest = n->variant_count && d->created_ms > n->variant[0]->created_ms;
    bool room = n->variant_count < c->keep_variants;
    pthread_mutex_unlock(&c->graph);
    if (known || (!newest && !room))
        return;
    struct tier__variant *v = variant_of(c, d);
    if (!v)
        return;
    if (newest) {
        tier__node_add(c, n, v);
    } else {
        pthread_mutex_lock(&c->graph);
        for (uint32_t i = 0; i < n->variant_count; i++) /* another thread merges the same */
            known |= tier__digest_equal(&n->variant[i]->key, &d->key);
        if (!known && n->variant_count < c->keep_variants)
            n->variant[n->variant_count++] = tier__variant_ref(v);
        if (n->variant_count == 1)
            tier__reverse_note(c, n);
        pthread_mutex_unlock(&c->graph);
    }
    tier__variant_unref(c, v);
}

struct tier__request *tier__request_load(tier_cache *c, const tier_digest *identity)
{
    struct tier__buf b;
    struct tier__request_record q;
    struct tier__request *made = NULL;
    tier__buf_init(&b, &c->base);
    if (c->store &&
        tier__store_get(c->store, NULL, TIER__VARIANT, identity->byte, sizeof identity->byte, &b) == 0) {
        struct tier__reader r = tier__reader_of(b.data, b.size);
        if (tier__get_node(&r, &q))
            made = tier__request_make(c, &q.request);
    }
    tier__buf_fini(&b);
    return made;
}

/* Once another process has put other answers in the place of old ones, those in memory are not to be walked
 * to any more that the store has not, and does not wait for: what is listed above them would bear the new
 * number. */
struct doubtful {
    struct tier__variant *v[TIER__VARIANT_MAX]; /* referenced; NULL: not doubted */
    uint32_t count;
};

/* Before the store is asked: what waits now may be there before the answer is. Graph lock held. */
static void doubt(tier_cache *c, const tier__node *n, struct doubtful *d)
{
    for (uint32_t i = 0; n->loaded_epoch < c->replaced_epoch && i < n->variant_count; i++)
        if (!tier__pending_has(c, n->variant[i]))
            d->v[d->count++] = tier__variant_ref(n->variant[i]);
}

static void doubt_end(tier_cache *c, tier__node *n, struct doubtful *d, struct tier__reader r)
{
    struct tier__request_record q;
    struct tier__variant_record is;
    uint8_t left = d->count && tier__get_node(&r, &q) ? tier__read_u8(&r) : 0;
    for (; left && tier__get_variant(&r, &is); left--)
        for (uint32_t i = 0; i < d->count; i++)
            if (d->v[i] && tier__digest_equal(&d->v[i]->key, &is.key) &&
                tier__digest_equal(&d->v[i]->hash, &is.hash)) {
                tier__variant_unref(c, d->v[i]);
                d->v[i] = NULL;
            }
    for (uint32_t i = 0; i < d->count; i++)
        if (d->v[i]) {
            tier__node_forget(c, n, d->v[i]);
            tier__variant_unref(c, d->v[i]);
        }
}

void tier__node_lock(tier_cache *c, tier__node *n)
{
    struct doubtful old = {.count = 0};
    pthread_mutex_lock(&c->graph);
    uint64_t epoch = c->epoch;
    if (!c->store || n->loaded_epoch == epoch)
        return;
    doubt(c, n, &old);
    pthread_mutex_unlock(&c->graph);
    struct tier__buf b;
    struct tier__request_record q;
    struct tier__variant_record d;
    tier__buf_init(&b, &c->base);
    if (tier__store_get(c->store, NULL, TIER__VARIANT, n->identity.byte, sizeof n->identity.byte, &b))
        tier__buf_clear(&b);
    struct tier__reader r = tier__reader_of(b.data, b.size);
    doubt_end(c, n, &old, r);
    if (tier__get_node(&r, &q))
        for (uint8_t left = tier__read_u8(&r); left && tier__get_variant(&r, &d); left--)
            variant_merge(c, n, &d, epoch);
    tier__buf_fini(&b);
    pthread_mutex_lock(&c->graph);
    if (n->loaded_epoch < epoch) /* not before it is: another thread would take it for unknown, and build */
        n->loaded_epoch = epoch;
}

/* ---- values */
struct blob_target {
    tier_cache *c;
    int tier;
    tier__entry *e;
};

static void *blob_space(void *user, size_t size)
{
    struct blob_target *t = user;
    t->e = tier__entry_new(t->c->memory, t->tier, size);
    return t->e ? t->e->data : NULL;
}

/* The value hash stands behind the blob: a blob of another answer than the variant's is a miss. */
static bool blob_check(unsigned char *data, size_t *size, const tier_digest *hash)
{
    if (*size < sizeof hash->byte ||
        memcmp(data + *size - sizeof hash->byte, hash->byte, sizeof hash->byte) != 0)
        return false;
    *size -= sizeof hash->byte;
    data[*size] = 0;
    return true;
}

static bool blob_is(tier__entry *e, const tier_digest *hash)
{
    size_t size = e->size;
    return blob_check(e->data, &size, hash) && !tier__entry_shrink(e, size);
}

static tier__entry *blob_object(tier_cache *c, tier__node *n, const struct tier__variant *v,
                                unsigned char *data, size_t size)
{
    const tier_type_def *def = &n->type->def;
    tier_out out;
    tier_value saved = {.data = data, .size = size, .hash = v->hash, .from = TIER_LOADED};
    size_t bytes = 0;
    if (v->form & TIER__FORM_BYTES) {
        struct tier__reader r = tier__reader_of(data, size);
        bytes = (size_t)tier__read_u64(&r);
        if (r.failed || bytes > size - 8)
            return NULL;
        saved.size = size - 8 - bytes;
        saved.data = tier__memdup0(&c->base, data + 8 + bytes, saved.size); /* aligned as a value is */
    }
    if (!def->load || !saved.data)
        return NULL;
    tier__out_init(&out, c, n->type);
    tier__entry *e = NULL;
    if (def->load(&saved, &out, def->user) == 0 && out.has_object) {
        if (v->form & TIER__FORM_BYTES)
            tier_out_bytes(&out, data + 8, bytes);
        e = tier__out_entry(&out, (int)def->tier);
    }
    tier__out_fini(&out);
    if (v->form & TIER__FORM_BYTES)
        tier__free(&c->base, (void *)saved.data);
    return e;
}

static bool blob_waits(const tier__entry *waiting, const struct tier__variant *v)
{
    return waiting && tier__digest_equal(tier__entry_hash(waiting), &v->hash);
}

tier__entry *tier__blob_load(tier_session *s, tier__node *n, const struct tier__variant *v)
{
    tier_cache *c = s->cache;
    struct tier__buf b;
    tier__entry *e = NULL;
    if (!v->form || (c->flags & TIER_NO_MEMORY))
        return NULL;
    tier__buf_init(&b, &c->base);
    if (v->small)
        tier__buf_put(&b, v->small, v->small_size);
    tier__entry *waiting = v->small ? NULL : tier__pending_blob(c, &v->key, &b);
    if (b.failed) {
        /* no memory for a copy, and an empty one is another value */
    } else if (v->form == TIER__FORM_BYTES && (v->small || blob_waits(waiting, v))) {
        const void *data = v->small ? b.data : waiting->data; /* a copy: others have it, too */
        size_t size = v->small ? b.size : waiting->size;
        if ((e = tier__entry_new(c->memory, (int)n->type->def.tier, size)))
            memcpy(e->data, data, size);
    } else if (b.size) {
        e = blob_object(c, n, v, b.data, b.size);
    } else if (c->store && v->form == TIER__FORM_BYTES) {
        struct blob_target t = {.c = c, .tier = (int)n->type->def.tier};
        if (tier__store_get_into(c->store, NULL, TIER__BLOB, v->key.byte, sizeof v->key.byte, blob_space,
                                 &t) == 0 &&
            blob_is(t.e, &v->hash))
            e = t.e;
        else
            tier__entry_unref(t.e);
    } else if (c->store &&
               !tier__store_get(c->store, NULL, TIER__BLOB, v->key.byte, sizeof v->key.byte, &b) &&
               blob_check(b.data, &b.size, &v->hash)) {
        e = blob_object(c, n, v, b.data, b.size);
    }
    tier__entry_unref(waiting);
    tier__buf_fini(&b);
    if (!e)
        return NULL;
    e->key = v->key;
    *tier__entry_hash(e) = v->hash;
    tier__entry_set_owner(e, n->type->owner);
    tier__entry_set_cost(e, v->cost_us);
    return tier__entry_is(e, TIER__EXCLUSIVE) ? e : tier__memory_insert(c->memory, e);
}

/* ---- stat identities */
static void memo_load(tier_cache *c, struct tier__path *p)
{
    unsigned char key[TIER__KEY_MAX];
    struct tier__stat_record st;
    struct tier__buf b;
    tier__buf_init(&b, &c->base);
    size_t n = tier__stat_key(&c->workspace, p->key, key);
    if (tier__store_get(c->store, NULL, TIER__STAT, key, n, &b) == 0 && tier__get_stat(b.data, b.size, &st)) {
        pthread_mutex_lock(&c->graph);
        if (!p->memo.known)
            p->memo = (struct tier__memo){st.id, st.observed_at, st.digest, true, false, true};
        pthread_mutex_unlock(&c->graph);
    }
    tier__buf_fini(&b);
}

void tier__memo_lock(tier_cache *c, struct tier__path *p)
{
    pthread_mutex_lock(&c->graph);
    bool asked = p->memo.asked_store || p->memo.known || !c->store;
    p->memo.asked_store = true;
    if (asked)
        return;
    pthread_mutex_unlock(&c->graph);
    memo_load(c, p);
    pthread_mutex_lock(&c->graph);
}

void tier__memo_see(tier_cache *c, struct tier__path *p, const struct tier__statid *id, int64_t at,
                    const tier_digest *digest)
{
    pthread_mutex_lock(&c->graph);
    struct tier__memo was = p->memo;
    bool other = was.known && !tier__digest_equal(&was.digest, digest);
    /* read again for its bytes alone: what was known of it is as good, and nothing is new for the disk */
    if (!was.known || other || !tier__statid_equal(&was.id, id) ||
        !tier__statid_settled(id, was.observed_at)) {
        p->memo = (struct tier__memo){*id, at, *digest, true, true, true};
        c->memos_dirty = true;
    }
    pthread_mutex_unlock(&c->graph);
    if (other)
        tier__superseded(c, TIER_FILE, &was.digest, false);
}

void tier__memo_forget(tier_cache *c, const char *path, size_t size)
{
    char *key = tier__memdup0(&c->base, path, size);
    if (!key) {
        tier__memos_forget(c);
        return;
    }
    pthread_mutex_lock(&c->graph);
    struct tier__path *p = tier__path_known(c, key, false);
    if (p)
        p->memo = (struct tier__memo){.asked_store = true};
    pthread_mutex_unlock(&c->graph);
    tier__free(&c->base, key);
}

void tier__memos_forget(tier_cache *c)
{
    pthread_mutex_lock(&c->graph);
    for (uint32_t i = 0; i < c->path_count; i++)
        (*(struct tier__path **)tier__chunks_at(&c->path_by_id, i))->memo = (struct tier__memo){0};
    pthread_mutex_unlock(&c->graph);
}
