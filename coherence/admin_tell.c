/* admin_tell.c - see admin_tell.h. */
#include "coherence/admin_tell.h"

int tier__tell_begin(struct tier__tell *t, tier_admin *a, const char *format)
{
    bool json = format && strcmp(format, "json") == 0;
    *t = (struct tier__tell){.a = a, .json = json};
    tier__buf_init(&t->out, a->base);
    if (format && !json && strcmp(format, "text") != 0)
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
        tier__buf_printf(&t->out, "  %-12s %s\n", name, value);
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
/* Of a request: the value hash of what is remembered newest. */
static bool result_now(struct tier__tell *t, const struct tier__name_record *n, tier_digest *is)
{
    struct tier__buf b;
    struct tier__request_record q;
    struct tier__variant_record d;
    tier__buf_init(&b, t->a->base);
    bool ok = tier__store_get(t->a->store, NULL, TIER__VARIANT, n->name, n->name_size, &b) == 0;
    struct tier__reader r = tier__reader_of(b.data, b.size);
    ok = ok && tier__get_node(&r, &q) && tier__read_u8(&r) && tier__get_variant(&r, &d);
    if (ok)
        *is = d.hash;
    tier__buf_fini(&b);
    return ok;
}

static bool value_now(struct tier__tell *t, const struct tier__name_record *n, tier_digest *is)
{
    tier_cache *c = t->a->cache;
    uint32_t version;
    int rc, seen;
    if (!t->now)
        return false;
    if (n->kind == TIER__K_RESULT)
        return result_now(t, n, is);
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

/* ---- dependencies ---- */
static void name_text(struct tier__tell *t, const struct tier__name_record *n, struct tier__buf *b)
{
    struct tier__request_record q;
    struct tier__buf record;
    if (n->kind != TIER__K_RESULT) {
        tier__name_text(n, b);
        return;
    }
    tier__buf_init(&record, t->a->base); /* the type's name is in the request's own record */
    bool ok = tier__store_get(t->a->store, NULL, TIER__VARIANT, n->name, n->name_size, &record) == 0;
    struct tier__reader r = tier__reader_of(record.data, record.size);
    if (ok && tier__get_node(&r, &q)) {
        tier__buf_printf(b, "result of ");
        tier__request_text(&q.request, q.type, b);
    } else {
        tier__name_text(n, b);
    }
    tier__buf_fini(&record);
}

static void tell_edge(struct tier__tell *t, uint32_t id, uint32_t version, bool first)
{
    struct tier__name_record n;
    struct tier__buf label, was, is;
    tier_digest now, then;
    tier__buf_init(&label, t->a->base);
    tier__buf_init(&was, t->a->base);
    tier__buf_init(&is, t->a->base);
    bool named = tier__names_get(&t->names, id, &n);
    bool valued = named && version >= n.first && version - n.first < n.count;
    if (named)
        name_text(t, &n, &label);
    else
        tier__buf_printf(&label, "name %u, which is not there", id);
    if (valued) {
        memcpy(then.byte, n.values + (size_t)(version - n.first) * sizeof then.byte, sizeof then.byte);
        tier__digest_text(&then, &was);
    } else {
        tier__buf_printf(&was, "a value that is no longer kept");
    }
    bool known = valued && value_now(t, &n, &now);
    bool same = known && tier__digest_equal(&now, &then);
    if (known)
        tier__digest_text(&now, &is);
    if (t->json) {
        tier__buf_printf(&t->out, "%s{\"name\":", first ? "" : ",");
        tier__json_string(&t->out, label.data, label.size);
        tier__buf_printf(&t->out, ",\"value\":");
        tier__json_string(&t->out, was.data, was.size);
        if (known) {
            tier__buf_printf(&t->out, ",\"now\":");
            tier__json_string(&t->out, is.data, is.size);
        }
        tier__buf_printf(&t->out, ",\"same\":%s}", known ? same ? "true" : "false" : "null");
    } else {
        tier__buf_printf(&t->out, "      %c ", known ? same ? '=' : '!' : '?');
        tier__buf_put(&t->out, label.data, label.size);
        tier__buf_printf(&t->out, ": %s", was.failed ? "" : (char *)was.data);
        if (known && !same)
            tier__buf_printf(&t->out, ", now %s", is.failed ? "" : (char *)is.data);
        tier__buf_u8(&t->out, '\n');
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
static void tell_edges(struct tier__tell *t, const struct tier__variant_record *d)
{
    struct tier__reader r = tier__reader_of(d->edges, (size_t)d->edge_count * 8);
    if (t->json)
        tier__buf_printf(&t->out, ",\"dependencies\":[");
    else
        tier__buf_printf(&t->out, "    depends on, in the order of reading%s:\n",
                         t->now ? " (= as then, ! changed, ? not known here)" : "");
    for (uint32_t e = 0; e < d->edge_count; e++) {
        uint32_t id = tier__read_u32(&r);
        tell_edge(t, id, tier__read_u32(&r), e == 0);
    }
    if (t->json)
        tier__buf_printf(&t->out, "]");
}

static void tell_cause(struct tier__tell *t, const struct tier__variant_record *d)
{
    static const tier_digest none;
    struct tier__buf was, is;
    const char *cause = *d->cause ? d->cause : "not recorded";
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
        tier__buf_printf(&t->out, "    computed because: %s", cause);
        if (values)
            tier__buf_printf(&t->out, " was %s and became %s", (char *)was.data, (char *)is.data);
        tier__buf_u8(&t->out, '\n');
    }
    tier__buf_fini(&was);
    tier__buf_fini(&is);
}

static const char *value_state(struct tier__tell *t, const struct tier__variant_record *d)
{
    struct tier__at at = {.store = t->a->store};
    if (!d->form)
        return "none";
    if (!tier__value_apart(d))
        return "kept";
    return tier__at_has(t->a, &at, TIER__BLOB, d->key.byte, sizeof d->key.byte) ? "kept" : "gone";
}

static void tell_variant(struct tier__tell *t, const struct tier__request_record *q,
                         const struct tier__variant_record *d, int i, int count)
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
        tier__buf_printf(&t->out, ", value %s\n    key ", value_state(t, d));
        tier__short_key((int)q->tier, q->request.path, &d->key, &t->out);
        tier__buf_u8(&t->out, '\n');
        if (d->rc)
            tier__buf_printf(&t->out, "    failed: %.*s\n", (int)d->text_size, d->text);
    }
    if (t->all || i == 0) {
        tell_cause(t, d);
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
    int count = tier__read_u8(&r);
    if (t->json)
        tier__buf_printf(&t->out, ",\"variants\":[");
    for (int i = 0; i < count && tier__get_variant(&r, &d); i++)
        tell_variant(t, &q, &d, i, count);
    if (t->json)
        tier__buf_printf(&t->out, "]}");
    tier__buf_fini(&b);
}
