/* admin_tell.c - see admin_tell.h. */
#include "coherence/admin_tell.h"

int tier__tell_begin(struct tier__tell *t, tier_admin *a, const char *format)
{
    bool json = format && strcmp(format, "json") == 0, full = format && strcmp(format, "full") == 0;
    *t = (struct tier__tell){.a = a, .json = json, .full = full};
    tier__buf_init(&t->out, a->base);
    if (format && !json && !full && strcmp(format, "text") != 0)
        return tier__admin_fail(a, TIER_EINVAL, "format '%s' is not text or json", format);
    int rc = tier__admin_store(a, false);
    if (!rc)
        rc = tier__names_load(a, &t->names);
    return rc;
}

int tier__tell_end(struct tier__tell *t, int rc, tier_sink *sink, void *user)
{
    tier_admin *a = t->a;
    tier__names_fini(a, &t->names);
    tier__admin_done(a);
    if (t->now)
        tier_end(&t->now);
    if (!rc && t->out.failed)
        rc = TIER_ENOMEM;
    if (!rc && t->out.size)
        rc = sink(user, (char *)t->out.data, t->out.size);
    else if (rc && !*a->detail)
        tier__admin_fail(a, rc, "%s: %s", a->profile->dir, tier_strerror(rc));
    tier__buf_fini(&t->out);
    return rc;
}

void tier__tell_field(struct tier__tell *t, const char *name, const char *value)
{
    if (t->json) {
        tier__buf_printf(&t->out, ",\"%s\":", name);
        tier__json_text(&t->out, value);
    } else {
        size_t from = t->out.size;
        tier__buf_printf(&t->out, "  %-12s %s", name, value);
        tier__buf_show(&t->out, from);
        tier__buf_u8(&t->out, '\n');
    }
}

static void field_buf(struct tier__tell *t, const char *name, struct tier__buf *value)
{
    tier__buf_u8(value, 0);
    if (!value->failed)
        tier__tell_field(t, name, (char *)value->data);
    tier__buf_clear(value);
}

static void field_number(struct tier__tell *t, const char *name, uint64_t n)
{
    tier__buf_printf(&t->out, t->json ? ",\"%s\":%llu" : "  %-12s %llu\n", name, (unsigned long long)n);
}

/* ---- what a dependency is now ---- */
/* Of one that is no other result. */
static bool leaf_now(struct tier__tell *t, const struct tier__name_record *n, tier_digest *is)
{
    tier_cache *c = t->a->cache;
    uint32_t version;
    int rc, seen;
    if (!n->has_path ||
        strchr(n->path, ':')) /* inputs and settings are the other program's, other roots too */
        return false;
    struct tier__path *p = tier__path_of(c, n->path, &rc);
    struct tier__dep *d = p ? tier__dep_of(c, n->kind, p, n->fields, n->name, n->name_size) : NULL;
    if (!d || tier__view_observe(t->now, d, &version, NULL, &seen))
        return false;
    tier__dep_value(c, d, version, is);
    return true;
}

static bool value_then(const struct tier__name_record *n, uint32_t version, tier_digest *then)
{
    if (version < n->first || version - n->first >= n->count)
        return false;
    memcpy(then->byte, n->values + (size_t)(version - n->first) * sizeof then->byte, sizeof then->byte);
    return true;
}

/* Whether nothing that can be told here, but for other results, differs from what the variant has seen. */
static bool leaves_hold(struct tier__tell *t, const struct tier__variant_record *d)
{
    struct tier__name_record n;
    tier_digest then, is;
    struct tier__reader r = tier__reader_of(d->edges, (size_t)d->edge_count * 8);
    for (uint32_t e = 0; e < d->edge_count; e++) {
        uint32_t id = tier__read_u32(&r), version = tier__read_u32(&r);
        if (!tier__names_get(&t->names, id, &n) || !value_then(&n, version, &then))
            return false;
        if (n.kind != TIER__K_RESULT && leaf_now(t, &n, &is) && !tier__digest_equal(&is, &then))
            return false;
    }
    return true;
}

/* Of a request: the value hash of its first variant whose leaves hold. Where none does it is computed again,
 * and what comes of that cannot be told. Results below it are taken as they are remembered: one level, as
 * nothing here walks the graph. */
static bool result_now(struct tier__tell *t, const struct tier__name_record *n, tier_digest *is)
{
    struct tier__buf b;
    struct tier__request_record q;
    struct tier__variant_record d;
    bool found = false;
    tier__buf_init(&b, t->a->base);
    bool ok = tier__store_get(t->a->store, NULL, TIER__VARIANT, n->name, n->name_size, &b) == 0;
    struct tier__reader r = tier__reader_of(b.data, b.size);
    ok = ok && tier__get_node(&r, &q);
    for (uint8_t left = ok ? tier__read_u8(&r) : 0; left && tier__get_variant(&r, &d); left--) {
        found = leaves_hold(t, &d);
        if (found) {
            *is = d.hash;
            break;
        }
    }
    tier__buf_fini(&b);
    return found;
}

static bool value_now(struct tier__tell *t, const struct tier__name_record *n, tier_digest *is)
{
    if (!t->now)
        return false;
    return n->kind == TIER__K_RESULT ? result_now(t, n, is) : leaf_now(t, n, is);
}

static bool holds_now(struct tier__tell *t, const struct tier__variant_record *d)
{
    struct tier__name_record n;
    tier_digest then, is;
    struct tier__reader r = tier__reader_of(d->edges, (size_t)d->edge_count * 8);
    if (!t->now || !leaves_hold(t, d))
        return false;
    for (uint32_t e = 0; e < d->edge_count; e++) {
        uint32_t id = tier__read_u32(&r), version = tier__read_u32(&r);
        if (!tier__names_get(&t->names, id, &n) || !value_then(&n, version, &then))
            return false;
        if (n.kind == TIER__K_RESULT && (!result_now(t, &n, &is) || !tier__digest_equal(&is, &then)))
            return false;
    }
    return true;
}

/* ---- dependencies ---- */
static void name_text(struct tier__tell *t, const struct tier__name_record *n, struct tier__buf *b)
{
    struct tier__at at = {.store = t->a->store};
    if (!tier__name_text_at(t->a, &at, n, b))
        tier__buf_printf(b, ", not remembered any more");
}

/* The error that the value of a result stands for, if its request's record has it still. */
static bool error_text(struct tier__tell *t, const struct tier__name_record *n, const tier_digest *value,
                       struct tier__buf *b)
{
    struct tier__request_record q;
    struct tier__variant_record d;
    struct tier__buf record;
    bool found = false;
    if (n->kind != TIER__K_RESULT)
        return false;
    tier__buf_init(&record, t->a->base);
    bool ok = tier__store_get(t->a->store, NULL, TIER__VARIANT, n->name, n->name_size, &record) == 0;
    struct tier__reader r = tier__reader_of(record.data, record.size);
    ok = ok && tier__get_node(&r, &q);
    for (uint8_t left = ok ? tier__read_u8(&r) : 0; left && !found && tier__get_variant(&r, &d); left--)
        found = d.rc && tier__digest_equal(&d.hash, value);
    if (found && d.text_size)
        tier__buf_put(b, d.text, d.text_size);
    else if (found)
        tier__buf_printf(b, "%s", tier_strerror(d.rc));
    tier__buf_fini(&record);
    return found;
}

/* As text an error is not to be taken for an answer. */
static void value_text(struct tier__tell *t, const struct tier__name_record *n, const tier_digest *value,
                       struct tier__buf *b)
{
    struct tier__buf why;
    tier__digest_text(value, b);
    tier__buf_init(&why, t->a->base);
    if (!t->json && error_text(t, n, value, &why)) {
        tier__buf_show(&why, 0);
        tier__buf_printf(b, ", a remembered error: ");
        tier__buf_put(b, why.data, why.size);
        b->failed |= why.failed;
    }
    tier__buf_fini(&why);
}

struct edge_list { /* as text: those that changed come first; of each so many as may be shown */
    struct tier__buf changed, others;
    uint64_t changed_shown, others_shown, differ, unknown;
};

static void tell_edge(struct tier__tell *t, struct edge_list *l, uint32_t id, uint32_t version, bool first)
{
    struct tier__name_record n;
    struct tier__buf label, was, is;
    tier_digest now, then;
    tier__buf_init(&label, t->a->base);
    tier__buf_init(&was, t->a->base);
    tier__buf_init(&is, t->a->base);
    bool named = tier__names_get(&t->names, id, &n);
    bool valued = named && value_then(&n, version, &then);
    if (named)
        name_text(t, &n, &label);
    else
        tier__buf_printf(&label, "name %u, which is not there", id);
    if (valued) {
        value_text(t, &n, &then, &was);
    } else {
        tier__buf_printf(&was, "a value that is no longer kept");
    }
    bool known = valued && value_now(t, &n, &now);
    bool same = known && tier__digest_equal(&now, &then);
    if (known)
        value_text(t, &n, &now, &is);
    if (t->json) {
        tier__buf_printf(&t->out, "%s{\"name\":", first ? "" : ",");
        tier__json_string(&t->out, label.data, label.size);
        tier__buf_printf(&t->out, ",\"value\":");
        tier__json_string(&t->out, was.data, was.size);
        tier__buf_clear(&was);
        if (valued && error_text(t, &n, &then, &was)) {
            tier__buf_printf(&t->out, ",\"error\":");
            tier__json_string(&t->out, was.data, was.size);
        }
        if (known) {
            tier__buf_printf(&t->out, ",\"now\":");
            tier__json_string(&t->out, is.data, is.size);
        }
        tier__buf_printf(&t->out, ",\"same\":%s}", known ? same ? "true" : "false" : "null");
    } else {
        bool changed = known && !same;
        struct tier__buf *b = changed ? &l->changed : &l->others;
        uint64_t *shown = changed ? &l->changed_shown : &l->others_shown;
        l->unknown += !known;
        l->differ += changed;
        if (t->full || *shown < TIER__SHOWN) {
            ++*shown;
            tier__buf_show(&label, 0);
            tier__buf_printf(b, "      %s", !t->now ? "" : known ? same ? "= " : "! " : "? ");
            tier__buf_put(b, label.data, label.size);
            tier__buf_printf(b, ": %s", was.failed ? "" : (char *)was.data);
            if (changed)
                tier__buf_printf(b, ", now %s", is.failed ? "" : (char *)is.data);
            tier__buf_u8(b, '\n');
        }
    }
    tier__buf_fini(&label);
    tier__buf_fini(&was);
    tier__buf_fini(&is);
}

void tier__tell_name(struct tier__tell *t, uint32_t id)
{
    struct tier__name_record n;
    struct tier__buf b;
    if (!tier__names_get(&t->names, id, &n))
        return;
    tier__buf_init(&b, t->a->base);
    name_text(t, &n, &b);
    field_number(t, "id", id);
    field_buf(t, "name", &b);
    field_number(t, "values", n.count);
    field_number(t, "first_value", n.first);
    tier__buf_fini(&b);
}

/* ---- variants ---- */
static void tell_list(struct tier__tell *t, const struct tier__variant_record *d, struct edge_list *l)
{
    tier__buf_printf(&t->out, "    depends on %u name%s", d->edge_count, d->edge_count == 1 ? "" : "s");
    if (t->now)
        tier__buf_printf(&t->out, ", %llu changed (= as then, ! changed, ? cannot be told from outside)",
                         (unsigned long long)l->differ);
    tier__buf_printf(&t->out, d->edge_count ? ":\n" : "\n");
    tier__buf_put(&t->out, l->changed.data ? (char *)l->changed.data : "", l->changed.size);
    uint64_t room = t->full ? UINT64_MAX : TIER__SHOWN - l->changed_shown, shown = l->changed_shown;
    const char *at = (char *)l->others.data, *end = at ? at + l->others.size : NULL;
    for (; at < end && room; room--, shown++) {
        const char *line = memchr(at, '\n', (size_t)(end - at));
        tier__buf_put(&t->out, at, (size_t)(line + 1 - at));
        at = line + 1;
    }
    if (shown < d->edge_count)
        tier__buf_printf(&t->out, "      and %llu more: -v\n", (unsigned long long)(d->edge_count - shown));
}

static void tell_edges(struct tier__tell *t, const struct tier__variant_record *d)
{
    struct edge_list l = {.differ = 0};
    struct tier__reader r = tier__reader_of(d->edges, (size_t)d->edge_count * 8);
    tier__buf_init(&l.changed, t->a->base);
    tier__buf_init(&l.others, t->a->base);
    if (t->json)
        tier__buf_printf(&t->out, ",\"dependencies\":[");
    for (uint32_t e = 0; e < d->edge_count; e++) {
        uint32_t id = tier__read_u32(&r);
        tell_edge(t, &l, id, tier__read_u32(&r), e == 0);
    }
    t->out.failed |= l.changed.failed || l.others.failed;
    if (t->json)
        tier__buf_printf(&t->out, "]");
    else if (!t->out.failed)
        tell_list(t, d, &l);
    tier__buf_fini(&l.changed);
    tier__buf_fini(&l.others);
}

/* When the newest before d was made that answers the same, but for another build, version or options. */
static int64_t made_for_another(const struct tier__tell *t, const struct tier__variant_record *d)
{
    int64_t newest = -1, at;
    for (size_t i = 0; i + sizeof at <= t->twins.size; i += sizeof at) {
        memcpy(&at, t->twins.data + i, sizeof at);
        if (at < d->created_ms && at > newest)
            newest = at;
    }
    return newest;
}

/* A build has an identity of its own, of which nothing is remembered at first. */
static void cause_text(const struct tier__tell *t, const struct tier__variant_record *d, struct tier__buf *b)
{
    int64_t other = strcmp(d->cause, "nothing was remembered") == 0 ? made_for_another(t, d) : -1;
    tier__buf_printf(b, "%s", *d->cause ? d->cause : "not recorded");
    if (other >= 0) {
        tier__buf_printf(b, " of this build of the program, version and options; the result made ");
        tier__when_text(other, b);
        tier__buf_printf(b, " is of another");
    }
}

static void tell_cause(struct tier__tell *t, const struct tier__variant_record *d)
{
    static const tier_digest none;
    struct tier__buf was, is, why;
    tier__buf_init(&why, t->a->base);
    cause_text(t, d, &why);
    const char *cause = why.failed ? "" : (char *)why.data;
    tier__buf_init(&was, t->a->base);
    tier__buf_init(&is, t->a->base);
    tier__digest_text(&d->was, &was);
    tier__digest_text(&d->is, &is);
    bool values = !tier__digest_equal(&d->was, &none) && !was.failed && !is.failed;
    if (t->json) {
        tier__buf_printf(&t->out, ",\"cause\":{\"what\":");
        tier__json_text(&t->out, cause);
        if (values)
            tier__buf_printf(&t->out, ",\"was\":\"%s\",\"is\":\"%s\"", (char *)was.data, (char *)is.data);
        tier__buf_printf(&t->out, "}");
    } else {
        size_t from = t->out.size;
        tier__buf_printf(&t->out, "    computed because: %s", cause);
        tier__buf_show(&t->out, from);
        if (values)
            tier__buf_printf(&t->out, " was %s and became %s", (char *)was.data, (char *)is.data);
        tier__buf_u8(&t->out, '\n');
    }
    t->out.failed |= why.failed;
    tier__buf_fini(&why);
    tier__buf_fini(&was);
    tier__buf_fini(&is);
}

static const char *value_state(struct tier__tell *t, const struct tier__variant_record *d)
{
    struct tier__at at = {.store = t->a->store};
    if (!d->form)
        return d->cheap ? "cheap" : "none";
    if (!tier__value_apart(d))
        return "kept";
    return tier__at_has(t->a, &at, TIER__BLOB, d->key.byte, sizeof d->key.byte) ? "kept" : "gone";
}

static void tell_variant(struct tier__tell *t, const struct tier__request_record *q,
                         const struct tier__variant_record *d, int i, int count, int holding)
{
    struct tier__buf b;
    tier__buf_init(&b, t->a->base);
    if (t->json) {
        tier__buf_printf(&t->out, "%s{\"content_key\":\"", i ? "," : "");
        tier__hex(d->key.byte, sizeof d->key.byte, &t->out);
        tier__buf_printf(&t->out, "\",\"value_hash\":\"");
        tier__hex(d->hash.byte, sizeof d->hash.byte, &t->out);
        tier__buf_printf(&t->out,
                         "\",\"bytes\":%llu,\"cost_us\":%u,\"created_ms\":%lld,\"expires_ms\":%lld,"
                         "\"error\":%d,\"value\":\"%s\",\"key\":\"",
                         (unsigned long long)d->size, d->cost_us, (long long)d->created_ms,
                         (long long)d->expires_ms, d->rc, value_state(t, d));
        tier__short_key((int)q->tier, q->request.path, &d->key, &t->out);
        tier__buf_printf(&t->out, "\"");
    } else {
        tier__buf_printf(&t->out, "  variant %d of %d: made ", i + 1, count);
        tier__when_text(d->created_ms, &t->out);
        tier__buf_printf(&t->out, " in %u us, ", d->cost_us);
        tier__bytes_text(d->size, &t->out);
        tier__buf_printf(&t->out, ", value hash ");
        tier__hex(d->hash.byte, 8, &t->out);
        tier__buf_printf(&t->out, ", value %s%s%s\n    key ", value_state(t, d),
                         d->cheap ? " (cheaper to compute than to load)" : "",
                         i == holding ? ", direct dependencies hold now" : "");
        tier__short_key((int)q->tier, q->request.path, &d->key, &t->out);
        tier__buf_u8(&t->out, '\n');
        if (d->rc) {
            size_t from = t->out.size;
            tier__buf_printf(&t->out, "    failed: %.*s", (int)d->text_size, d->text);
            tier__buf_show(&t->out, from);
            tier__buf_u8(&t->out, '\n');
        }
    }
    if (t->json && t->now)
        tier__buf_printf(&t->out, ",\"holds_now\":%s", i == holding ? "true" : "false");
    if (t->all || i == (holding < 0 ? 0 : holding) || (t->json && i == 0)) {
        tell_cause(t, d);
        tier__tell_chain(t, d);
        tell_edges(t, d);
    }
    if (t->json)
        tier__buf_printf(&t->out, "}");
    tier__buf_fini(&b);
}

static const char *tier_text(uint32_t tier)
{
    return tier == TIER_TREE ? "tree" : tier == TIER_DELTA ? "delta" : "unknown";
}

void tier__tell_request(struct tier__tell *t, const void *identity, const void *data, size_t size)
{
    struct tier__request_record q;
    struct tier__variant_record d;
    struct tier__buf b;
    struct tier__reader r = tier__reader_of(data, size);
    if (!tier__get_node(&r, &q))
        return;
    tier__buf_init(&b, t->a->base);
    tier__request_text(&q.request, q.type, &b);
    if (t->json) {
        tier__buf_printf(&t->out, "{\"request\":");
        tier__json_string(&t->out, b.data, b.size);
        tier__buf_clear(&b);
    } else {
        tier__buf_show(&b, 0);
        tier__buf_put(&t->out, b.data, b.size);
        tier__buf_printf(&t->out, "\n");
        tier__buf_clear(&b);
    }
    tier__tell_field(t, "type", q.type);
    field_number(t, "version", q.version);
    tier__tell_field(t, "tier", tier_text(q.tier));
    tier__tell_field(t, "app", q.app);
    tier__hex(identity, sizeof(tier_digest), &b);
    field_buf(t, "identity", &b);
    if (t->twin) /* all else that is told here is alike */
        tier__tell_field(t, "differs",
                         "from the same above: of another build of the program, version or options");
    int count = tier__read_u8(&r);
    if (t->json)
        tier__buf_printf(&t->out, ",\"variants\":[");
    struct tier__reader first = r;
    int holding = -1; /* told first as text, and with its dependencies */
    for (int i = 0; t->now && i < count && holding < 0 && tier__get_variant(&r, &d); i++)
        if (holds_now(t, &d))
            holding = i;
    t->holding += holding >= 0;
    if (holding > 0 && !t->json)
        tell_variant(t, &q, &d, holding, count, holding);
    r = first;
    for (int i = 0; i < count && tier__get_variant(&r, &d); i++)
        if (i != holding || i == 0 || t->json)
            tell_variant(t, &q, &d, i, count, holding);
    if (t->json)
        tier__buf_printf(&t->out, "]}");
    tier__buf_fini(&b);
}
