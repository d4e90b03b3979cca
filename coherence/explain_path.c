/* explain_path.c - tier_explain_path: everything that is remembered about a path, in one pass over the
 * records, without the types that made it. */
#include "coherence/admin_tell.h"
#include "tiers/checksum.h"

enum { TYPES_SHOWN = 12 };

struct type_counts { /* results by type; more types than are shown are only in the sum */
    struct {
        char name[64];
        uint64_t count;
    } type[TYPES_SHOWN];
    size_t count;
};

struct explain {
    struct tier__tell t;
    const char *path;
    uint64_t requests, dependents;
    struct type_counts of, on;
    struct tier__buf below; /* what depends on it, told after */
    struct tier__buf found; /* the requests for it: a sum, identity, record, in turn */
};

struct found { /* one of them; points into found */
    const unsigned char *key, *data;
    size_t size;
    uint64_t sum; /* of what it reads like */
};

/* Names that stand for the path: its content, kind, ... and results of requests for it. */
static size_t mark_names(struct explain *x)
{
    struct tier__name_record n;
    size_t marked = 0;
    for (size_t i = 0; i < x->t.names.count; i++) {
        struct tier__name_entry *e = &x->t.names.entry[i];
        if (!tier__get_name(x->t.names.raw.data + e->at, e->size, &n))
            continue;
        e->marked = (n.has_path && strcmp(n.path, x->path) == 0) ||
                    (n.kind == TIER__K_RESULT && n.has_request && n.request.has_path &&
                     strcmp(n.request.path, x->path) == 0);
        marked += e->marked;
    }
    return marked;
}

static const struct tier__name_entry *marked_edge(struct explain *x, const struct tier__variant_record *d)
{
    struct tier__reader r = tier__reader_of(d->edges, (size_t)d->edge_count * 8);
    for (uint32_t e = 0; e < d->edge_count; e++) {
        const struct tier__name_entry *n = tier__names_find(&x->t.names, tier__read_u32(&r));
        tier__read_u32(&r);
        if (n && n->marked)
            return n;
    }
    return NULL;
}

static void count_type(struct type_counts *c, const char *type)
{
    char name[sizeof c->type[0].name];
    size_t i = 0;
    snprintf(name, sizeof name, "%s", type);
    while (i < c->count && strcmp(c->type[i].name, name) != 0)
        i++;
    if (i == TYPES_SHOWN)
        return;
    if (i == c->count)
        memcpy(c->type[c->count++].name, name, sizeof name);
    c->type[i].count++;
}

static void add_dependent(struct explain *x, const struct tier__request_record *q,
                          const struct tier__name_entry *via)
{
    struct tier__name_record n;
    struct tier__buf *b = &x->below, label, name;
    x->dependents++;
    count_type(&x->on, q->type);
    if (!x->t.json && !x->t.full && x->dependents > TIER__SHOWN)
        return;
    tier__buf_init(&label, x->t.a->base);
    tier__buf_init(&name, x->t.a->base);
    tier__request_text(&q->request, q->type, &label);
    if (tier__get_name(x->t.names.raw.data + via->at, via->size, &n))
        tier__name_text(&n, &name);
    if (x->t.json) {
        tier__buf_printf(b, "%s{\"request\":", x->dependents > 1 ? "," : "");
        tier__json_string(b, label.data, label.size);
        tier__buf_printf(b, ",\"app\":");
        tier__json_text(b, q->app);
        tier__buf_printf(b, ",\"through\":\"%s\"}", tier__kind_name(n.kind));
    } else {
        size_t from = b->size;
        tier__buf_printf(b, "  ");
        tier__buf_put(b, label.data, label.size);
        tier__buf_printf(b, " of %s, through its %s", q->app, tier__kind_name(n.kind));
        tier__buf_show(b, from);
        tier__buf_u8(b, '\n');
    }
    tier__buf_fini(&label);
    tier__buf_fini(&name);
}

/* What a request reads like: only what its identity is made of tells those alike apart. */
static uint64_t sum_of(struct explain *x, const struct tier__request_record *q)
{
    struct tier__buf label;
    tier__buf_init(&label, x->t.a->base);
    tier__request_text(&q->request, q->type, &label);
    tier__buf_printf(&label, " of %s", q->app);
    uint64_t sum = tier__checksum(label.data, label.size, 0);
    x->below.failed |= label.failed;
    tier__buf_fini(&label);
    return sum;
}

/* The next of the requests with this path. */
static bool next_request(struct tier__reader *r, struct found *f)
{
    size_t key_size;
    if (r->at >= r->end)
        return false;
    f->sum = tier__read_u64(r);
    f->key = tier__read_bytes(r, &key_size);
    f->data = tier__read_bytes(r, &f->size);
    return !r->failed;
}

/* When the variants of those were made that read as the one does, but are of another identity; and whether
 * one of them comes before it. */
static void find_twins(struct explain *x, const struct found *one)
{
    struct tier__reader r = tier__reader_of(x->found.data, x->found.size);
    struct tier__request_record q;
    struct tier__variant_record d;
    struct found f;
    x->t.twin = false;
    tier__buf_clear(&x->t.twins);
    while (next_request(&r, &f)) {
        struct tier__reader of = tier__reader_of(f.data, f.size);
        if (f.key == one->key || f.sum != one->sum || !tier__get_node(&of, &q))
            continue;
        x->t.twin |= f.key < one->key;
        for (uint8_t left = tier__read_u8(&of); left && tier__get_variant(&of, &d); left--)
            tier__buf_put(&x->t.twins, &d.created_ms, sizeof d.created_ms);
    }
}

static void tell_requests(struct explain *x)
{
    struct tier__reader r = tier__reader_of(x->found.data, x->found.size);
    struct found f;
    while (next_request(&r, &f)) {
        tier__buf_printf(&x->t.out, "%s", x->requests++ ? x->t.json ? "," : "\n" : "");
        find_twins(x, &f);
        tier__tell_request(&x->t, f.key, f.data, f.size);
    }
    x->below.failed |= x->t.twins.failed;
    tier__buf_fini(&x->t.twins);
}

static int look_at(void *user, const void *key, size_t key_size, const void *data, size_t size)
{
    struct explain *x = user;
    struct tier__request_record q;
    struct tier__variant_record d;
    struct tier__reader r = tier__reader_of(data, size);
    if (key_size != sizeof(tier_digest) || !tier__get_node(&r, &q))
        return 0;
    if (q.request.has_path && strcmp(q.request.path, x->path) == 0) {
        count_type(&x->of, q.type);
        tier__buf_u64(&x->found, sum_of(x, &q));
        tier__buf_bytes(&x->found, key, key_size);
        tier__buf_bytes(&x->found, data, size);
    }
    if (tier__read_u8(&r) && tier__get_variant(&r, &d)) {
        const struct tier__name_entry *via = marked_edge(x, &d);
        if (via)
            add_dependent(x, &q, via);
    }
    return x->found.failed || x->below.failed ? TIER_ENOMEM : 0;
}

static void tell_dependents(struct explain *x)
{
    struct tier__buf *out = &x->t.out;
    if (x->t.json) {
        tier__buf_printf(out, "],\"dependents\":[");
        tier__buf_put(out, x->below.data ? (char *)x->below.data : "", x->below.size);
        tier__buf_printf(out, "],\"root\":");
        tier__json_text(out, x->t.a->cache->root[0].path);
        tier__buf_printf(out, "}\n");
        return;
    }
    tier__buf_printf(out, x->requests ? "\n" : "");
    size_t from = out->size;
    tier__buf_printf(out, "%s depend%s on %s%s", x->dependents ? "these" : "nothing",
                     x->dependents ? "" : "s", *x->path ? x->path : ".", x->dependents ? ":" : "");
    tier__buf_show(out, from);
    tier__buf_u8(out, '\n');
    tier__buf_put(out, x->below.data ? (char *)x->below.data : "", x->below.size);
    if (!x->t.full && x->dependents > TIER__SHOWN)
        tier__buf_printf(out, "  and %llu more: -v\n", (unsigned long long)(x->dependents - TIER__SHOWN));
}

static void sum_types(const struct type_counts *c, struct tier__buf *b)
{
    for (size_t i = 0; i < c->count; i++)
        tier__buf_printf(b, "%s%s %llu", i ? ", " : " (", c->type[i].name,
                         (unsigned long long)c->type[i].count);
    tier__buf_printf(b, c->count ? ")" : "");
}

/* Before everything else: how much of what there is, and whether it holds. */
static void tell_summary(struct explain *x)
{
    struct tier__buf b, rest = x->t.out;
    uint64_t old = x->requests - x->t.holding;
    tier__buf_init(&b, x->t.a->base);
    tier__buf_printf(&b, "%s: %llu result%s remembered", *x->path ? x->path : ".",
                     (unsigned long long)x->requests, x->requests == 1 ? "" : "s");
    sum_types(&x->of, &b);
    tier__buf_show(&b, 0);
    if (x->requests && old)
        tier__buf_printf(&b, "; %llu to be looked at or computed again (! or ? below)",
                         (unsigned long long)old);
    else if (x->requests)
        tier__buf_printf(&b, "; as far as can be told here nothing changed");
    tier__buf_printf(&b, "\n%llu result%s depend%s on it", (unsigned long long)x->dependents,
                     x->dependents == 1 ? "" : "s", x->dependents == 1 ? "s" : "");
    sum_types(&x->on, &b);
    tier__buf_printf(&b, "\n\n");
    tier__buf_put(&b, rest.data ? (char *)rest.data : "", rest.size);
    b.failed |= rest.failed;
    x->t.out = b;
    tier__buf_fini(&rest);
}

int tier_explain_path(tier_admin *a, const char *path, const char *format, tier_sink *sink, void *user)
{
    if (!a || a->magic != TIER__ADMIN_MAGIC || !path || !sink)
        return TIER_EINVAL;
    struct explain x = {.path = path};
    int rc = tier__tell_begin(&x.t, a, format);
    tier__buf_init(&x.below, a->base);
    tier__buf_init(&x.found, a->base);
    tier__buf_init(&x.t.twins, a->base);
    if (!rc)
        rc = tier_begin(a->cache, NULL, &x.t.now);
    if (!rc && x.t.json) {
        tier__buf_printf(&x.t.out, "{\"schema\":1,\"command\":\"explain\",\"path\":");
        tier__json_text(&x.t.out, path);
        tier__buf_printf(&x.t.out, ",\"requests\":[");
    }
    size_t marked = rc ? 0 : mark_names(&x);
    if (!rc)
        rc = tier__store_each(a->store, TIER__VARIANT, look_at, &x);
    if (!rc)
        tell_requests(&x);
    if (!rc && !x.requests && !marked)
        rc = tier__admin_fail(a, TIER_EABSENT, "nothing is remembered of %s", *path ? path : ".");
    if (!rc)
        tell_dependents(&x);
    if (!rc && !x.t.json)
        tell_summary(&x);
    if (x.below.failed && !rc)
        rc = TIER_ENOMEM;
    tier__buf_fini(&x.below);
    tier__buf_fini(&x.found);
    return tier__tell_end(&x.t, rc, sink, user);
}
