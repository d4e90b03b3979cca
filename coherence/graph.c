/* graph.c - what is known: requests, dependency names with the values they were observed to have, variants.
 * All interned; forward edges only (I7), reverse ones are derived in mark.c. Everything here under the graph
 * lock. */
#include "coherence/explain.h"
#include "coherence/reverse.h"
#include <stdlib.h>
#include "tiers/checksum.h"

const char *tier__kind_name(int kind)
{
    switch (kind) {
#define TIER__KIND_CASE(name, number, text, help) \
    case number:                                  \
        return text;
        TIER__KINDS(TIER__KIND_CASE)
#undef TIER__KIND_CASE
    default:
        return "unknown";
    }
}

void tier__failure_digest(int rc, const char *text, tier_digest *out)
{
    struct tier__hasher h;
    tier__hash_begin(&h, "tierkit failure");
    tier__hash_u64(&h, (uint64_t)(int64_t)rc);
    tier__hash_str(&h, text);
    tier__hash_end(&h, out);
}

bool tier__forwards(const tier__node *n)
{
    return n->path && n->type && (n->type->def.flags & TIER_PATH_FREE);
}

/* ---- requests */
static uint64_t node_hash(void *n)
{
    return ((tier__node *)n)->hash;
}
static void **node_chain(void *n)
{
    return (void **)&((tier__node *)n)->chain;
}

static void node_identity(const tier_cache *c, tier__node *n)
{
    struct tier__hasher h;
    tier__hash_begin(&h, "tierkit identity");
    tier__hash_u64(&h, TIER__SCHEMA);
    tier__hash_digest(&h, &n->type->identity);
    tier__hash_u64(&h, n->path ? 1 : 0);
    if (n->path) {
        tier__hash_str(&h, n->path->root == UINT32_MAX ? NULL : c->root[n->path->root].name);
        tier__hash_str(&h, n->path->rel);
    }
    tier__hash_u64(&h, (n->args ? 1u : 0u) + (n->content ? 2u : 0u));
    tier__hash_field(&h, n->args ? n->args : "", n->args_size);
    tier__hash_end(&h, &n->identity);
}

static tier__node *node_find(tier_cache *c, uint64_t hash, const tier_type *type,
                             const struct tier__path *path, const void *args, size_t args_size, bool content)
{
    tier__node *n = NULL;
    if (c->nodes.bucket_count)
        for (n = c->nodes.bucket[hash & (c->nodes.bucket_count - 1)]; n; n = n->chain)
            if (n->hash == hash && n->type == type && n->path == path && n->content == content &&
                n->args_size == args_size && !n->args == !args &&
                (!args || memcmp(n->args, args, args_size) == 0))
                break;
    return n;
}

static tier__node *node_make(tier_cache *c, uint64_t hash, const tier_type *type, struct tier__path *path,
                             const void *args, size_t args_size, bool content)
{
    tier__node *n = tier__zalloc(&c->base, 1, sizeof *n);
    if (!n)
        return NULL;
    n->type = type;
    n->path = path;
    n->hash = hash;
    n->content = content;
    n->args_size = args_size;
    if (args && !(n->args = tier__memdup0(&c->base, args, args_size))) {
        tier__free(&c->base, n);
        return NULL;
    }
    node_identity(c, n);
    return n;
}

static struct tier__dep *dep_of_locked(tier_cache *c, int kind, struct tier__path *path, uint32_t fields,
                                       const void *name, size_t name_size);

static tier__node *node_intern(tier_cache *c, const tier_type *type, struct tier__path *path,
                               const void *args, size_t args_size, bool content)
{
    struct {
        const void *type, *path;
        uint64_t args;
    } k = {type, path, args ? tier__checksum(args, args_size, content) : 0};
    uint64_t hash = tier__checksum(&k, sizeof k, 2);
    pthread_mutex_lock(&c->graph);
    tier__node *n = node_find(c, hash, type, path, args, args_size, content);
    if (!n && tier__table_grow(&c->base, &c->nodes, node_hash, node_chain) &&
        (n = node_make(c, hash, type, path, args, args_size, content))) {
        struct tier__dep *d =
            dep_of_locked(c, TIER__K_RESULT, NULL, 0, n->identity.byte, sizeof n->identity.byte);
        if (d) {
            n->dep = d->id;
            d->node = n;
            void **at = &c->nodes.bucket[hash & (c->nodes.bucket_count - 1)];
            n->chain = *at;
            *at = n;
            c->nodes.count++;
        } else {
            tier__free(&c->base, n->args);
            tier__free(&c->base, n);
            n = NULL;
        }
    }
    pthread_mutex_unlock(&c->graph);
    return n;
}

tier__node *tier__node_of(tier_cache *c, const tier_type *type, struct tier__path *path, const void *args,
                          size_t args_size)
{
    return node_intern(c, type, path, args, args_size, false);
}

tier__node *tier__node_of_content(tier_cache *c, const tier_type *type, const tier_digest *content)
{
    return node_intern(c, type, NULL, content, sizeof *content, true);
}

void tier__node_label(const tier__node *n, struct tier__buf *out)
{
    tier__buf_printf(out, "%s(", n->type ? n->type->name : "undefined type");
    if (n->path)
        tier__buf_printf(out, "%s", *n->path->key ? n->path->key : ".");
    if (n->args && n->content) {
        char hex[TIER__HEX_SIZE];
        tier_digest d;
        memcpy(&d, n->args, sizeof d);
        tier__digest_hex(&d, hex);
        tier__buf_printf(out, "content %.16s", hex);
    } else if (n->args) {
        const unsigned char *a = n->args;
        tier__buf_printf(out, "%s", n->path ? ", " : "");
        for (size_t i = 0; i < n->args_size && i < 60; i++)
            tier__buf_printf(out, a[i] >= 32 && a[i] < 127 ? "%c" : "\\x%02x", a[i]);
        if (n->args_size > 60)
            tier__buf_printf(out, "...");
    }
    tier__buf_printf(out, ")");
}

/* ---- dependency names */
static uint64_t dep_hash(void *d)
{
    return ((struct tier__dep *)d)->hash;
}
static void **dep_chain(void *d)
{
    return (void **)&((struct tier__dep *)d)->chain;
}

struct dep_words {
    uint64_t kind_fields, path, name;
};

static struct dep_words dep_words(int kind, const struct tier__path *path, uint32_t fields, const void *name,
                                  size_t name_size)
{
    return (struct dep_words){(uint64_t)kind << 32 | fields, path ? path->id + UINT64_C(1) : 0,
                              name_size ? tier__checksum(name, name_size, 3) : 0};
}

static struct tier__dep *dep_find(tier_cache *c, uint64_t hash, int kind, const struct tier__path *path,
                                  uint32_t fields, const void *name, size_t name_size)
{
    struct tier__dep *d = c->deps.bucket_count ? c->deps.bucket[hash & (c->deps.bucket_count - 1)] : NULL;
    while (d && !(d->hash == hash && d->kind == kind && d->path == path && d->fields == fields &&
                  d->name_size == name_size && (!name_size || memcmp(d->name, name, name_size) == 0)))
        d = d->chain;
    return d;
}

struct tier__dep *tier__dep_known(tier_cache *c, int kind, const void *name, size_t name_size)
{
    struct dep_words k = dep_words(kind, NULL, 0, name, name_size);
    return dep_find(c, tier__checksum(&k, sizeof k, 4), kind, NULL, 0, name, name_size);
}

/* Of the next dependency. One array, not in pieces: a cascade reads it at random (reverse.h). */
static bool mark_make(tier_cache *c)
{
    if (c->dep_count >= c->mark_capacity) {
        size_t n = c->mark_capacity ? c->mark_capacity * 2 : 1024;
        uint64_t *grown = tier__resize(&c->base, c->mark, n * sizeof *grown);
        if (!grown)
            return false;
        c->mark = grown;
        c->mark_capacity = n;
    }
    c->mark[c->dep_count] = 0;
    return true;
}

static struct tier__dep *dep_of_locked(tier_cache *c, int kind, struct tier__path *path, uint32_t fields,
                                       const void *name, size_t name_size)
{
    struct dep_words k = dep_words(kind, path, fields, name, name_size);
    uint64_t hash = tier__checksum(&k, sizeof k, 4);
    struct tier__dep *known = dep_find(c, hash, kind, path, fields, name, name_size);
    if (known)
        return known;
    struct tier__dep *d = NULL;
    if (!tier__table_grow(&c->base, &c->deps, dep_hash, dep_chain) ||
        !(d = tier__chunks_make(&c->base, &c->dep_by_id, c->dep_count)) || !mark_make(c))
        return NULL;
    if (!(d->name = tier__memdup0(&c->base, name ? name : "", name_size)))
        return NULL;
    d->kind = (uint8_t)kind;
    d->id = c->dep_count++;
    d->path = path;
    d->fields = fields;
    d->name_size = name_size;
    d->hash = hash;
    k.path = path ? path->hash : 0;
    d->stable = tier__checksum(&k, sizeof k, 5);
    if (path) {
        d->next_of_path = path->first_dep;
        path->first_dep = d->id + 1;
    }
    void **at = &c->deps.bucket[hash & (c->deps.bucket_count - 1)];
    d->chain = *at;
    *at = d;
    c->deps.count++;
    return d;
}

struct tier__dep *tier__dep_of(tier_cache *c, int kind, struct tier__path *path, uint32_t fields,
                               const void *name, size_t name_size)
{
    pthread_mutex_lock(&c->graph);
    struct tier__dep *d = dep_of_locked(c, kind, path, fields, name, name_size);
    pthread_mutex_unlock(&c->graph);
    return d;
}

struct tier__dep *tier__dep_at(tier_cache *c, uint32_t id)
{
    return id < c->dep_count ? tier__chunks_at(&c->dep_by_id, id) : NULL;
}

uint32_t tier__dep_version_locked(tier_cache *c, struct tier__dep *d, const tier_digest *value)
{
    for (uint32_t i = d->version_count; i-- > 0;)
        if (tier__digest_equal(&d->version[i].value, value))
            return i;
    if (d->version_count == d->version_capacity) {
        uint32_t n =
            d->version_capacity ? d->version_capacity * 2 : 1; /* most inputs never change in a process */
        struct tier__version *grown = tier__resize(&c->base, d->version, n * sizeof *grown);
        if (!grown)
            return UINT32_MAX;
        d->version = grown;
        d->version_capacity = n;
    }
    d->version[d->version_count] = (struct tier__version){*value, 0, c->place_count++};
    return d->version_count++;
}

void tier__dep_not_on_disk_locked(struct tier__dep *d)
{
    d->store_id = 0;
    for (uint32_t i = 0; i < d->version_count; i++)
        d->version[i].on_disk = 0;
}

uint32_t tier__dep_version(tier_cache *c, struct tier__dep *d, const tier_digest *value)
{
    pthread_mutex_lock(&c->graph);
    uint32_t v = tier__dep_version_locked(c, d, value);
    pthread_mutex_unlock(&c->graph);
    return v;
}

void tier__dep_value(tier_cache *c, const struct tier__dep *d, uint32_t version, tier_digest *value)
{
    pthread_mutex_lock(&c->graph);
    if (version < d->version_count)
        *value = d->version[version].value;
    else
        memset(value, 0, sizeof *value);
    pthread_mutex_unlock(&c->graph);
}

struct tier__request *tier__request_make(tier_cache *c, const struct tier__request *like)
{
    size_t path = like->has_path ? strlen(like->path) + 1 : 0;
    struct tier__request *q = tier__alloc(&c->base, sizeof *q + path + like->args_size + 1);
    if (!q)
        return NULL;
    *q = *like;
    char *at = (char *)(q + 1);
    if (like->has_args && like->args_size)
        memcpy(at, like->args, like->args_size);
    at[like->args_size] = 0;
    q->args = at;
    at += like->args_size + 1;
    if (path)
        memcpy(at, like->path, path);
    q->path = path ? at : "";
    return q;
}

struct tier__request *tier__request_of(tier_cache *c, const tier__node *n)
{
    struct tier__request like = {.type = n->type->identity,
                                 .has_path = n->path != NULL,
                                 .has_args = n->args != NULL,
                                 .content = n->content,
                                 .path = n->path ? n->path->key : "",
                                 .args = n->args,
                                 .args_size = n->args_size};
    return tier__request_make(c, &like);
}

/* What a result's dependency asks for, where all that is known of it is its identity. */
static void request_have(tier_cache *c, struct tier__dep *d)
{
    tier_digest identity;
    pthread_mutex_lock(&c->graph);
    bool known = d->node || d->request;
    pthread_mutex_unlock(&c->graph);
    if (known)
        return;
    memcpy(identity.byte, d->name, sizeof identity.byte);
    struct tier__request *q = tier__request_load(c, &identity);
    pthread_mutex_lock(&c->graph);
    if (!d->request) {
        d->request = q;
        q = NULL;
    }
    pthread_mutex_unlock(&c->graph);
    tier__free(&c->base, q);
}

tier__node *tier__dep_node(tier_cache *c, struct tier__dep *d)
{
    request_have(c, d);
    pthread_mutex_lock(&c->graph);
    tier__node *n = d->node;
    struct tier__request *q = d->request;
    const tier_type *t = NULL;
    if (!n && q)
        for (t = c->types; t; t = t->next)
            if (!t->undefined && tier__digest_equal(&t->identity, &q->type))
                break;
    pthread_mutex_unlock(&c->graph);
    if (n)
        return n->type ? n : NULL;
    if (!t)
        return NULL;
    int rc;
    struct tier__path *p = q->has_path ? tier__path_of(c, q->path, &rc) : NULL;
    if (q->has_path && !p)
        return NULL;
    if (q->content)
        n = tier__node_of_content(c, t, (const tier_digest *)q->args);
    else
        n = tier__node_of(c, t, p, q->has_args ? q->args : NULL, q->args_size);
    return n && n->dep == d->id ? n : NULL;
}

void tier__dep_label(tier_cache *c, const struct tier__dep *d, struct tier__buf *out)
{
    tier__buf_printf(out, "%s of ", tier__kind_name(d->kind));
    pthread_mutex_lock(&c->graph);
    tier__node *n = d->node;
    pthread_mutex_unlock(&c->graph);
    if (d->kind == TIER__K_RESULT && n)
        tier__node_label(n, out);
    else if (d->kind == TIER__K_RESULT)
        tier__buf_printf(out, "%s", d->request ? d->request->path : "a type not defined here");
    else if (d->path)
        tier__buf_printf(out, "%s", *d->path->key ? d->path->key : ".");
    if (d->kind == TIER__K_LISTING)
        tier__buf_printf(out, " by ");
    if (d->kind != TIER__K_RESULT)
        tier__buf_put(out, d->name, d->name_size);
}

/* ---- variants */
struct tier__variant *tier__variant_ref(struct tier__variant *v)
{
    atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
    return v;
}

void tier__variant_unref(tier_cache *c, struct tier__variant *v)
{
    if (!v || atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1)
        return;
    tier__free(&c->base, v->text);
    tier__free(&c->base, v->edges);
    tier__free(&c->base, atomic_load(&v->bits.made));
    tier__free(&c->base, v->raw);
    tier__free(&c->base, v->small);
    tier__free(&c->base, v->tags);
    tier__free(&c->base, v->cause.text);
    tier__free(&c->base, v);
}

void tier__node_add(tier_cache *c, tier__node *n, struct tier__variant *v)
{
    struct tier__variant *gone = NULL;
    pthread_mutex_lock(&c->graph);
    uint32_t at = 0; /* the same content key once: it moves to the front */
    while (at < n->variant_count && !tier__digest_equal(&n->variant[at]->key, &v->key))
        at++;
    if (at < n->variant_count)
        gone = n->variant[at];
    else if (n->variant_count == c->keep_variants)
        gone = n->variant[--at];
    else
        n->variant_count++;
    memmove(n->variant + 1, n->variant, at * sizeof *n->variant);
    n->variant[0] = tier__variant_ref(v);
    n->changes++;
    tier__reverse_note(c, n);
    pthread_mutex_unlock(&c->graph);
    tier__variant_unref(c, gone);
}

static void node_drop(tier_cache *c, tier__node *n, const struct tier__variant *v, bool alone)
{
    struct tier__variant *gone = NULL;
    pthread_mutex_lock(&c->graph);
    for (uint32_t i = 0; i < n->variant_count && !gone; i++)
        if (alone ? n->variant[i] == v : tier__digest_equal(&n->variant[i]->key, &v->key)) {
            gone = n->variant[i];
            memmove(n->variant + i, n->variant + i + 1, (--n->variant_count - i) * sizeof *n->variant);
        }
    n->changes++;
    tier__reverse_note(c, n);
    pthread_mutex_unlock(&c->graph);
    tier__variant_unref(c, gone);
}

void tier__node_drop(tier_cache *c, tier__node *n, const struct tier__variant *v)
{
    node_drop(c, n, v, false);
}

void tier__node_forget(tier_cache *c, tier__node *n, const struct tier__variant *v)
{
    node_drop(c, n, v, true);
}

void tier__graph_fini(tier_cache *c)
{
    for (size_t i = 0; i < c->nodes.bucket_count; i++)
        for (tier__node *n = c->nodes.bucket[i], *next; n; n = next) {
            next = n->chain;
            for (uint32_t k = 0; k < n->variant_count; k++)
                tier__variant_unref(c, n->variant[k]);
            tier__closure_unref(c, n->closure);
            tier__free(&c->base, n->args);
            tier__free(&c->base, n);
        }
    for (uint32_t i = 0; i < c->dep_count; i++) {
        struct tier__dep *d = tier__chunks_at(&c->dep_by_id, i);
        tier__free(&c->base, d->name);
        tier__free(&c->base, d->version);
        tier__free(&c->base, d->from_disk);
        tier__free(&c->base, d->request);
    }
    for (uint32_t i = 0; i < c->path_count; i++)
        tier__free(&c->base, *(struct tier__path **)tier__chunks_at(&c->path_by_id, i));
    tier__free(&c->base, c->nodes.bucket);
    tier__free(&c->base, c->deps.bucket);
    tier__free(&c->base, c->paths.bucket);
    tier__unkept_free(c);
    tier__chunks_fini(&c->base, &c->dep_by_id);
    tier__chunks_fini(&c->base, &c->path_by_id);
    tier__free(&c->base, c->mark);
}
