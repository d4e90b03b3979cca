/* check_judge.c - is one record sound, and does it agree with its neighbours? No repair, no telling. */
#include "coherence/admin.h"
#include <stdarg.h>

void tier__blame(struct tier__verdict *v, const char *code, int variant, const char *format, ...)
{
    va_list args;
    if (v->count == TIER__BLAME_MAX)
        return;
    struct tier__blame *b = &v->blame[v->count++];
    b->problem = tier__problem_of(code);
    b->variant = variant;
    va_start(args, format);
    vsnprintf(b->detail, sizeof b->detail, format, args);
    va_end(args);
}

int tier__at_get(const struct tier__at *at, enum tier__table t, const void *key, size_t size,
                 struct tier__buf *out)
{
    return at->write ? tier__write_get(at->write, t, key, size, out)
                     : tier__store_get(at->store, at->read, t, key, size, out);
}

static void *no_room(void *user, size_t size)
{
    (void)user;
    (void)size;
    return NULL;
}

/* Without expanding it: the size is known, and nothing wants the bytes. */
bool tier__at_has(tier_admin *a, const struct tier__at *at, enum tier__table t, const void *key, size_t size)
{
    if (!at->write)
        return tier__store_get_into(at->store, at->read, t, key, size, no_room, NULL) == TIER_ENOMEM;
    struct tier__buf b;
    tier__buf_init(&b, a->base);
    bool has = tier__write_get(at->write, t, key, size, &b) == 0;
    tier__buf_fini(&b);
    return has;
}

/* ---- names and ids ---- */
bool tier__check_name(struct tier__check *k, uint32_t id, struct tier__name_record *out, bool *doomed)
{
    unsigned char key[4];
    const struct tier__name_entry *e = tier__names_find(&k->names, id);
    *doomed = k->repairing && e && e->doomed;
    if (k->from_index)
        return e && tier__get_name(k->names.raw.data + e->at, e->size, out);
    return tier__at_get(&k->at, TIER__NAME, key, tier__id_key(id, key), &k->name) == 0 &&
           tier__get_name(k->name.data, k->name.size, out);
}

static uint32_t listed_id(struct tier__check *k, const tier_digest *key)
{
    struct tier__buf b;
    tier__buf_init(&b, k->a->base);
    uint32_t id = 0;
    if (tier__at_get(&k->at, TIER__ID, key->byte, sizeof key->byte, &b) == 0) {
        struct tier__reader r = tier__reader_of(b.data, b.size);
        id = tier__read_u32(&r);
    }
    tier__buf_fini(&b);
    return id;
}

static bool name_sane(const struct tier__name_record *n)
{
    switch (n->kind) {
    case TIER__K_RESULT:
        return !n->has_path && n->name_size == sizeof(tier_digest);
    case TIER__K_INPUT:
    case TIER__K_ENV:
    case TIER__K_CONFIG:
        return !n->has_path;
    default:
        return n->has_path;
    }
}

static void name_where(struct tier__check *k, uint32_t id, const struct tier__name_record *n,
                       struct tier__verdict *v)
{
    struct tier__buf text;
    tier__buf_init(&text, k->a->base);
    tier__name_text_at(k->a, &k->at, n, &text);
    if (!text.failed)
        snprintf(v->where, sizeof v->where, "name %u: %s", id, (char *)text.data);
    tier__buf_fini(&text);
}

void tier__judge_name(struct tier__check *k, const void *data, size_t size, struct tier__verdict *v)
{
    struct tier__name_record n, other;
    tier_digest key;
    bool doomed;
    uint32_t id = tier__id_of_key(v->key, v->key_size);
    snprintf(v->where, sizeof v->where, "name %u", id);
    if (!id || !tier__get_name(data, size, &n) || !name_sane(&n)) {
        tier__blame(v, "name-record", -1, "%zu bytes", size);
        return;
    }
    tier__name_key(&n, &key);
    uint32_t listed = listed_id(k, &key);
    if (listed == 0) {
        tier__blame(v, "name-unlisted", -1, "%s", "");
    } else if (listed != id && tier__check_name(k, listed, &other, &doomed)) {
        tier_digest theirs;
        tier__name_key(&other, &theirs);
        if (tier__digest_equal(&key, &theirs)) /* else the row of ids is wrong, and says so itself */
            tier__blame(v, "name-twice", -1, "the other id is %u", listed);
    }
    if (v->count)
        name_where(k, id, &n, v);
}

void tier__judge_id(struct tier__check *k, const void *data, size_t size, struct tier__verdict *v)
{
    struct tier__reader r = tier__reader_of(data, size);
    struct tier__name_record n;
    tier_digest key;
    bool doomed;
    uint32_t id = tier__read_u32(&r);
    snprintf(v->where, sizeof v->where, "id %u", id);
    if (r.failed || r.at != r.end || !id || v->key_size != sizeof key.byte) {
        tier__blame(v, "id-dangling", -1, "the row cannot be read");
        return;
    }
    if (!tier__check_name(k, id, &n, &doomed)) {
        tier__blame(v, "id-dangling", -1, "there is no name %u", id);
        return;
    }
    tier__name_key(&n, &key);
    if (memcmp(key.byte, v->key, sizeof key.byte) != 0)
        tier__blame(v, "id-dangling", -1, "name %u is another one", id);
}

/* ---- variants ---- */
static bool identity_is(const struct tier__request *q, bool path, const char *root, const char *rel,
                        const unsigned char *want)
{
    struct tier__hasher h;
    tier_digest d;
    tier__hash_begin(&h, "tierkit identity");
    tier__hash_u64(&h, TIER__SCHEMA);
    tier__hash_digest(&h, &q->type);
    tier__hash_u64(&h, path ? 1 : 0);
    if (path) {
        tier__hash_str(&h, root);
        tier__hash_str(&h, rel);
    }
    tier__hash_u64(&h, (q->has_args ? 1u : 0u) + (q->content ? 2u : 0u));
    tier__hash_field(&h, q->has_args ? q->args : "", q->args_size);
    tier__hash_end(&h, &d);
    return memcmp(d.byte, want, sizeof d.byte) == 0;
}

/* The roots' names are not in the record: a key path "a:b" may be a/b below root "a" or a file "a:b". */
static bool identity_holds(const struct tier__request *q, const unsigned char *key)
{
    char root[128];
    if (!q->has_path)
        return identity_is(q, false, NULL, NULL, key);
    if (q->path[0] == '/')
        return identity_is(q, true, NULL, q->path, key);
    const char *colon = strchr(q->path, ':');
    if (colon && colon > q->path && (size_t)(colon - q->path) < sizeof root) {
        snprintf(root, sizeof root, "%.*s", (int)(colon - q->path), q->path);
        if (identity_is(q, true, root, colon + 1, key))
            return true;
    }
    return identity_is(q, true, "", q->path, key);
}

static struct tier__app *app_of(struct tier__check *k, const char *name)
{
    for (size_t i = 0; i < k->app_count; i++)
        if (strcmp(k->app[i].name, name) == 0)
            return &k->app[i];
    struct tier__app *grown = tier__resize(k->a->base, k->app, (k->app_count + 1) * sizeof *grown);
    if (grown) {
        k->app = grown;
        grown[k->app_count] = (struct tier__app){tier__strdup(k->a->base, name), 0};
        if (grown[k->app_count].name)
            return &grown[k->app_count++];
    }
    k->out_of_memory = true;
    return NULL;
}

/* An app whose first root has a name can write relative paths that do not tell it; then nothing of it fits,
 * and nothing can be said. While scanning, all that do not fit are suspects; once it is known that others of
 * the app do, they are wrong. */
static void judge_identity(struct tier__check *k, const struct tier__request_record *q,
                           struct tier__verdict *v)
{
    struct tier__app *app = app_of(k, q->app);
    bool relative = q->request.has_path && q->request.path[0] != '/';
    bool holds = identity_holds(&q->request, v->key);
    if (!app)
        return;
    if (holds && relative && k->from_index)
        app->right++;
    if (!holds && (!relative || k->from_index || app->right))
        tier__blame(v, "variant-identity", -1, "%s", "");
}

static void judge_edges(struct tier__check *k, const struct tier__variant_record *d, int i,
                        struct tier__verdict *v)
{
    struct tier__reader r = tier__reader_of(d->edges, (size_t)d->edge_count * 8);
    struct tier__name_record n;
    uint64_t sum = 0;
    for (uint32_t e = 0; e < d->edge_count; e++) {
        uint32_t id = tier__read_u32(&r), version = tier__read_u32(&r);
        bool doomed = false;
        if (!tier__check_name(k, id, &n, &doomed) || doomed) {
            tier__blame(v, "variant-edge", i, "variant %d: dependency %u is name %u, which is %s", i + 1,
                        e + 1, id, doomed ? "being deleted" : "not there");
            return;
        }
        if (version < n.first) {
            tier__blame(v, "variant-aged", i, "variant %d: value %u of name %u", i + 1, version, id);
            return;
        }
        if (version - n.first >= n.count) {
            tier__blame(v, "variant-edge", i,
                        "variant %d: dependency %u has value %u of name %u, which has %u", i + 1, e + 1,
                        version, id, n.first + n.count);
            return;
        }
        sum = tier__edge_sum_add(sum, tier__name_stable(&n),
                                 n.values + (size_t)(version - n.first) * sizeof(tier_digest));
    }
    if (sum != d->edge_sum)
        tier__blame(v, "variant-sum", i, "variant %d", i + 1);
}

struct tier__blob_slot *tier__check_blob(struct tier__check *k, const tier_digest *key)
{
    if (!k->blob_size)
        return NULL;
    size_t at = (size_t)tier__digest_word(key) & (k->blob_size - 1);
    while (k->blob[at].taken && !tier__digest_equal(&k->blob[at].key, key))
        at = (at + 1) & (k->blob_size - 1);
    return &k->blob[at];
}

static void judge_hash(const struct tier__variant_record *d, int i, const tier_digest *hash,
                       struct tier__verdict *v)
{
    if (!tier__digest_equal(hash, &d->hash))
        tier__blame(v, "blob-hash", i, "variant %d", i + 1);
}

static void judge_value(struct tier__check *k, const struct tier__variant_record *d, int i,
                        struct tier__verdict *v)
{
    struct tier__blob_slot *slot = k->from_index ? tier__check_blob(k, &d->key) : NULL;
    if (slot && slot->taken)
        slot->used = true;
    if (!tier__value_apart(d))
        return;
    if (slot && slot->taken) {
        judge_hash(d, i, &slot->hash, v);
    } else if (k->from_index || !(k->flags & TIER_CHECK_DATA)) {
        if (!tier__at_has(k->a, &k->at, TIER__BLOB, d->key.byte, sizeof d->key.byte))
            tier__blame(v, "variant-husk", i, "variant %d", i + 1);
    } else {
        struct tier__buf b;
        tier_digest hash;
        tier__buf_init(&b, k->a->base);
        int rc = tier__at_get(&k->at, TIER__BLOB, d->key.byte, sizeof d->key.byte, &b);
        if (rc == TIER_EABSENT)
            tier__blame(v, "variant-husk", i, "variant %d", i + 1);
        if (!rc && b.size >= sizeof hash.byte) { /* too short: the value's own problem */
            memcpy(hash.byte, b.data + b.size - sizeof hash.byte, sizeof hash.byte);
            judge_hash(d, i, &hash, v);
        }
        tier__buf_fini(&b);
    }
}

static bool variants_sound(const void *data, size_t size, struct tier__request_record *q)
{
    struct tier__reader r = tier__reader_of(data, size);
    struct tier__variant_record d;
    if (!tier__get_node(&r, q) || (q->tier != TIER_TREE && q->tier != TIER_DELTA))
        return false;
    uint8_t count = tier__read_u8(&r);
    for (uint8_t left = count; left; left--)
        if (!tier__get_variant(&r, &d))
            return false;
    return count && count <= TIER__VARIANT_MAX && !r.failed && r.at == r.end;
}

void tier__judge_variants(struct tier__check *k, const void *data, size_t size, struct tier__verdict *v)
{
    struct tier__request_record q;
    struct tier__variant_record d;
    struct tier__buf text;
    tier__buf_init(&text, k->a->base);
    tier__hex(v->key, v->key_size < 8 ? v->key_size : 8, &text);
    snprintf(v->where, sizeof v->where, "request %s", text.failed ? "" : (char *)text.data);
    if (v->key_size != sizeof(tier_digest) || !variants_sound(data, size, &q)) {
        tier__blame(v, "variant-record", -1, "%zu bytes", size);
        tier__buf_fini(&text);
        return;
    }
    tier__buf_clear(&text);
    tier__request_text(&q.request, q.type, &text);
    if (!text.failed)
        snprintf(v->where, sizeof v->where, "%s of %s", (char *)text.data, q.app);
    tier__buf_fini(&text);
    judge_identity(k, &q, v);
    struct tier__reader r = tier__reader_of(data, size);
    tier__get_node(&r, &q);
    int count = tier__read_u8(&r);
    for (int i = 0; i < count && tier__get_variant(&r, &d); i++) {
        if (d.born > k->max_born && k->from_index)
            k->max_born = d.born;
        judge_edges(k, &d, i, v);
        judge_value(k, &d, i, v);
    }
}
