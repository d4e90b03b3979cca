/* audit.c - a verified answer is made again and compared (TIER_AUDIT, verify.sample). What a build reads
 * behind the session's back cannot be seen from here; what can be said is where two answers differ, and
 * whether the recorded reads do: if they are the same, the difference came from something that is none of
 * them; if they are not, what decided which one came next was not. */
#include "coherence/audit.h"

enum { SHOWN = 24 /* bytes of each side */ };

bool tier__audit_due(const tier_session *s, const tier__node *n, const struct tier__variant *v)
{
    const tier_cache *c = s->cache;
    if (c->flags & TIER_AUDIT)
        return true;
    uint64_t one_in = (uint64_t)tier__profile_int(c->profile, TIER__KEY_VERIFY_SAMPLE);
    if (!one_in || s->deadline || s->flags || tier__forwards(n))
        return false;
    uint64_t h = (tier__digest_word(&v->key) ^ c->audit_run) * UINT64_C(0x9e3779b97f4a7c15);
    return (h ^ h >> 32) % one_in == 0;
}

/* The bytes by which an answer is compared: its own, else what save makes of the object. */
static bool bytes_of(tier_session *s, const tier__node *n, const tier__entry *e, struct tier__buf *out)
{
    const tier_type_def *def = &n->type->def;
    tier_out saved;
    bool ok = false;
    if (!e || (!e->data && (!tier__entry_object(e) || !def->save)))
        return false;
    if (e->data) {
        tier__buf_put(out, e->data, e->size);
        return !out->failed;
    }
    tier__out_init(&saved, s->cache, n->type);
    if (def->save(tier__entry_object(e), &saved, def->user) == 0 && !saved.error) {
        tier__buf_put(out, saved.bytes.data ? (char *)saved.bytes.data : "", saved.bytes.size);
        ok = !out->failed;
    }
    tier__out_fini(&saved);
    return ok;
}

static tier__entry *old_entry(tier_session *s, tier__node *n, const struct tier__variant *v)
{
    if (v->rc || (n->type->def.flags & TIER_EXCLUSIVE))
        return NULL;
    tier__entry *e = tier__memory_find(s->cache->memory, (int)n->type->def.tier, &v->key);
    return e ? e : tier__blob_load(s, n, v);
}

/* ---- where they differ */
static void show(struct tier__buf *out, const unsigned char *data, size_t size, size_t at)
{
    tier__buf_u8(out, '"');
    for (size_t i = at; i < size && i < at + SHOWN; i++)
        if (data[i] >= 32 && data[i] < 127 && data[i] != '"' && data[i] != '\\')
            tier__buf_u8(out, data[i]);
        else
            tier__buf_printf(out, "\\x%02x", data[i]);
    tier__buf_printf(out, size > at + SHOWN ? "\"..." : "\"");
}

static size_t first_difference(const unsigned char *a, size_t n, const unsigned char *b, size_t m)
{
    size_t i = 0;
    while (i < n && i < m && a[i] == b[i])
        i++;
    return i;
}

/* The first record that differs. 0: they are no records on both sides, or equal. */
static size_t record_difference(const struct tier__buf *was, const struct tier__buf *is, tier_value *a,
                                tier_value *b)
{
    tier_value x = {.data = was->data, .size = was->size}, y = {.data = is->data, .size = is->size};
    size_t at = 0, other = 0;
    for (size_t number = 1;; number++) {
        *a = *b = (tier_value){.data = NULL};
        int rc = tier_next(&x, &at, &a->data, &a->size), rc2 = tier_next(&y, &other, &b->data, &b->size);
        if (rc == TIER_EDAMAGE || rc2 == TIER_EDAMAGE || (rc == TIER_END && rc2 == TIER_END))
            return 0;
        if (rc || rc2 || a->size != b->size || memcmp(a->data, b->data, a->size) != 0)
            return number;
    }
}

static void tell_side(struct tier__buf *out, const char *side, const tier_value *v, size_t at)
{
    tier__buf_printf(out, "%s ", side);
    if (v->data)
        show(out, v->data, v->size, at);
    else
        tier__buf_printf(out, "nothing");
}

static void tell_bytes(struct tier__buf *out, const struct tier__buf *was, const struct tier__buf *is)
{
    tier_value a, b;
    size_t number = record_difference(was, is, &a, &b);
    if (number) {
        size_t at = a.data && b.data ? first_difference(a.data, a.size, b.data, b.size) : 0;
        tier__buf_printf(out, "record %zu differs at byte %zu: ", number, at);
        tell_side(out, "was", &a, at);
        tell_side(out, ", is", &b, at);
        return;
    }
    a = (tier_value){.data = was->data, .size = was->size};
    b = (tier_value){.data = is->data, .size = is->size};
    size_t at = first_difference(was->data, was->size, is->data, is->size);
    tier__buf_printf(out, "byte %zu differs (of %zu and %zu): ", at, was->size, is->size);
    tell_side(out, "was", &a, at);
    tell_side(out, ", is", &b, at);
}

static void tell_outcome(struct tier__buf *out, const struct tier__variant *v)
{
    if (v->rc)
        tier__buf_printf(out, "%s (%s)", tier_errname(v->rc), v->text ? v->text : "");
    else
        tier__buf_printf(out, "a value of %llu bytes", (unsigned long long)v->size);
}

/* ---- why */
static void tell_reads(tier_cache *c, struct tier__buf *out, const struct tier__variant *v,
                       const struct tier__variant *fresh)
{
    uint32_t i = 0;
    while (i < v->edge_count && i < fresh->edge_count && v->edges[i].dep == fresh->edges[i].dep &&
           v->edges[i].version == fresh->edges[i].version)
        i++;
    if (i == v->edge_count && i == fresh->edge_count) {
        tier__buf_printf(out,
                         "its %u recorded reads are the same, so it looks at something that is none of them "
                         "(clock, random numbers, getenv, a file opened past the session, addresses, the "
                         "order of threads or of a hash table)",
                         i);
        return;
    }
    tier__buf_printf(out, "its reads differ from number %u on (then ", i + 1);
    if (i < v->edge_count)
        tier__dep_label(c, tier__dep_at(c, v->edges[i].dep), out);
    else
        tier__buf_printf(out, "none");
    tier__buf_printf(out, ", now ");
    if (i < fresh->edge_count)
        tier__dep_label(c, tier__dep_at(c, fresh->edges[i].dep), out);
    else
        tier__buf_printf(out, "none");
    tier__buf_printf(out, "), and all before are the same, so what decided it is not declared");
}

static void report(tier_session *s, const tier__node *n, const struct tier__variant *v,
                   const struct tier__variant *fresh, const struct tier__buf *was, const struct tier__buf *is)
{
    tier_cache *c = s->cache;
    struct tier__buf b;
    tier__buf_init(&b, &c->base);
    tier__node_label(n, &b);
    tier__buf_printf(&b, " of %s, made again, gives another answer: ", c->app);
    if (was && is) {
        tell_bytes(&b, was, is);
        if (tier__digest_equal(&v->hash, &fresh->hash))
            tier__buf_printf(&b, " (and its fingerprint does not cover that)");
    } else {
        tell_outcome(&b, v);
        tier__buf_printf(&b, " was remembered, now it is ");
        tell_outcome(&b, fresh);
    }
    tier__buf_printf(&b, "; ");
    tell_reads(c, &b, v, fresh);
    tier__log(&c->base, TIER_LOG_ERROR, "audit: %s; read it through the session, or call tier_once",
              b.failed ? "a result gives another answer" : (char *)b.data);
    tier__buf_fini(&b);
}

bool tier__audit_same(tier_session *s, tier__node *n, const struct tier__variant *v,
                      const struct tier__built *fresh)
{
    tier_cache *c = s->cache;
    struct tier__buf was, is;
    tier__buf_init(&was, &c->base);
    tier__buf_init(&is, &c->base);
    tier__entry *old = old_entry(s, n, v);
    bool both = bytes_of(s, n, old, &was) && bytes_of(s, n, fresh->entry, &is);
    bool same = tier__digest_equal(&v->hash, &fresh->variant->hash) &&
                (!both || (was.size == is.size && (!was.size || memcmp(was.data, is.data, was.size) == 0)));
    if (!tier__forwards(n))
        tier__count(&c->base, TIER__AUDIT_CHECKED, 1);
    if (!same && !tier__forwards(n)) {
        tier__count(&c->base, TIER__AUDIT_DIFFERENT, 1);
        tier__count(&c->base, TIER__ALARM_UNDECLARED, 1);
        if (!atomic_exchange(&((tier_type *)n->type)->audit_told, true))
            report(s, n, v, fresh->variant, both ? &was : NULL, both ? &is : NULL);
    }
    tier__buf_fini(&was);
    tier__buf_fini(&is);
    tier__entry_unref(old);
    return same;
}
