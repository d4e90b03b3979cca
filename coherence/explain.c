/* explain.c - why a result is what it is: for a person, for a program, for a picture. */
#include "coherence/explain.h"
#include "coherence/reverse.h"
#include "coherence/stale.h"

static const char *const state_name[] = {"UNKNOWN", "CLEAN", "MAYBE", "DIRTY"};

void tier__tell_quoted(struct tier__buf *b, const char *text, size_t size)
{
    tier__buf_u8(b, '"');
    for (size_t i = 0; i < size; i++) {
        unsigned char ch = (unsigned char)text[i];
        if (ch == '"' || ch == '\\')
            tier__buf_printf(b, "\\%c", ch);
        else if (ch < 32 || ch > 126)
            tier__buf_printf(b, "\\u%04x", ch); /* bytes, one by one: paths need not be UTF-8 */
        else
            tier__buf_u8(b, ch);
    }
    tier__buf_u8(b, '"');
}

static void quoted_buf(struct tier__buf *b, const struct tier__buf *text)
{
    tier__tell_quoted(b, text->data ? (char *)text->data : "", text->size);
}

/* An observed value as a person reads it. */
void tier__tell_value(const tier_digest *d, struct tier__buf *b)
{
    static const int failures[] = {TIER_EABSENT, TIER_EACCESS, TIER_EKIND};
    static const char *const words[] = {"absent", "no access", "of another kind"};
    tier_digest f;
    char hex[TIER__HEX_SIZE];
    for (size_t i = 0; i < 3; i++) {
        tier__failure_digest(failures[i], NULL, &f);
        if (tier__digest_equal(&f, d)) {
            tier__buf_printf(b, "%s", words[i]);
            return;
        }
    }
    if (d->byte[0] == 'k' && d->byte[2] == 0 && d->byte[31] == 0) {
        tier__buf_printf(b, "%s",
                         d->byte[1] == 'f'   ? "a file"
                         : d->byte[1] == 'd' ? "a directory"
                                             : "something else");
        return;
    }
    tier__digest_hex(d, hex);
    tier__buf_printf(b, "%.16s", hex);
}

struct one_dep {
    struct tier__buf label, was, is;
    bool same, known;
};

static void dep_now(struct tier__telling *t, struct tier__edge e, struct one_dep *o)
{
    tier_session *s = t->s;
    tier_cache *c = s->cache;
    struct tier__dep *d = tier__dep_at(c, e.dep);
    tier_digest was, is;
    tier__buf_init(&o->label, &c->base);
    tier__buf_init(&o->was, &c->base);
    tier__buf_init(&o->is, &c->base);
    tier__dep_label(c, d, &o->label);
    tier__dep_value(c, d, e.version, &was);
    tier__tell_value(&was, &o->was);
    pthread_mutex_lock(&s->view->lock);
    uint32_t version = tier__view_version(s->view, e.dep);
    pthread_mutex_unlock(&s->view->lock);
    uint32_t now = version ? version - 1 : 0;
    int seen;
    o->known = version || (d->kind != TIER__K_RESULT && !tier__view_observe(s, d, &now, NULL, &seen));
    o->same = o->known && now == e.version;
    if (o->known) {
        tier__dep_value(c, d, now, &is);
        tier__tell_value(&is, &o->is);
    }
}

static void dep_fini(struct one_dep *o)
{
    tier__buf_fini(&o->label);
    tier__buf_fini(&o->was);
    tier__buf_fini(&o->is);
}

static void tell_dep(struct tier__telling *t, struct tier__edge e, bool first)
{
    struct one_dep o;
    dep_now(t, e, &o);
    if (t->format == TIER__TEXT) {
        tier__buf_show(&o.label, 0);
        tier__buf_printf(&t->out, "  %c %s: %s", o.known ? o.same ? '=' : '!' : '?', (char *)o.label.data,
                         (char *)o.was.data);
        if (o.known && !o.same)
            tier__buf_printf(&t->out, ", now %s", (char *)o.is.data);
        tier__buf_u8(&t->out, '\n');
    } else if (t->format == TIER__JSON) {
        tier__buf_printf(&t->out, "%s{\"name\":", first ? "" : ",");
        quoted_buf(&t->out, &o.label);
        tier__buf_printf(&t->out, ",\"was\":");
        quoted_buf(&t->out, &o.was);
        tier__buf_printf(&t->out, ",\"is\":");
        if (o.known)
            quoted_buf(&t->out, &o.is);
        else
            tier__buf_printf(&t->out, "null");
        tier__buf_printf(&t->out, ",\"same\":%s}", o.known ? o.same ? "true" : "false" : "null");
    } else {
        tier__buf_printf(&t->out, "  ");
        quoted_buf(&t->out, &o.label);
        tier__buf_printf(&t->out, " -> result%s;\n", o.known && !o.same ? " [color=red]" : "");
    }
    dep_fini(&o);
}

static void tell_head(struct tier__telling *t, const tier__node *n, const struct tier__variant *v,
                      const char *state)
{
    struct tier__buf label;
    char hex[TIER__HEX_SIZE] = "";
    tier__buf_init(&label, t->out.base);
    tier__node_label(n, &label);
    if (v)
        tier__digest_hex(&v->hash, hex);
    if (t->format == TIER__TEXT) {
        tier__buf_show(&label, 0);
        tier__buf_printf(&t->out, "%s: %s\n", (char *)label.data, state);
        size_t from = t->out.size;
        if (!v)
            tier__buf_printf(&t->out, "nothing is remembered of it");
        else
            tier__buf_printf(&t->out, "value hash %.16s, %llu bytes, took %u us%s%s", hex,
                             (unsigned long long)v->size, v->cost_us, v->rc ? ", failed: " : "",
                             v->rc ? (v->text ? v->text : tier_strerror(v->rc)) : "");
        tier__buf_show(&t->out, from);
        tier__buf_u8(&t->out, '\n');
    } else if (t->format == TIER__JSON) {
        tier__buf_printf(&t->out, "{\"schema\":1,\"request\":");
        quoted_buf(&t->out, &label);
        tier__buf_printf(&t->out, ",\"state\":\"%s\"", state);
        if (v)
            tier__buf_printf(&t->out, ",\"value_hash\":\"%s\",\"bytes\":%llu,\"cost_us\":%u,\"error\":%d",
                             hex, (unsigned long long)v->size, v->cost_us, v->rc);
    } else {
        tier__buf_printf(&t->out, "digraph explain {\n  result [shape=box,label=");
        quoted_buf(&t->out, &label);
        tier__buf_printf(&t->out, "];\n");
    }
    tier__buf_fini(&label);
}

/* The variant that this view is bound to, or was given as stale, else the newest. */
static struct tier__variant *variant_for(tier_session *s, tier__node *n, const char **state)
{
    tier_cache *c = s->cache;
    struct tier__variant *v = tier__bound(s, n);
    tier__entry *old = NULL;
    bool stale = !v && tier__stale_find(s, n, &v, &old);
    tier__entry_unref(old);
    tier__node_lock(c, n);
    enum tier__state known = tier__mark_state(s->cache->mark[n->dep]);
    *state = stale ? "STALE" : v ? "CLEAN" : state_name[known == TIER__CLEAN ? TIER__MAYBE : known];
    if (!v && n->variant_count)
        v = n->variant[0];
    if (v)
        tier__variant_ref(v);
    pthread_mutex_unlock(&c->graph);
    return v;
}

static int tell(struct tier__telling *t, tier__node *n)
{
    tier_session *s = t->s;
    const char *state;
    struct tier__variant *v = variant_for(s, n, &state);
    bool edges = v && tier__variant_edges(s->cache, v);
    tell_head(t, n, v, state);
    if (v)
        tier__tell_why(t, n, v);
    tier__tell_kept(t, n, v);
    if (t->format == TIER__JSON)
        tier__buf_printf(&t->out, ",\"dependencies\":[");
    else if (t->format == TIER__TEXT && edges)
        tier__buf_printf(&t->out,
                         "depends on, in the order of reading (= as then, ! changed, ? not looked at):\n");
    for (uint32_t i = 0; edges && i < v->edge_count; i++)
        tell_dep(t, v->edges[i], i == 0);
    tier__buf_printf(&t->out, "%s", t->format == TIER__JSON ? "]" : "");
    tier__tell_readers(t, n);
    tier__buf_printf(&t->out, "%s", t->format == TIER__TEXT ? "" : "}\n");
    tier__variant_unref(s->cache, v);
    return t->out.failed ? tier__fail(s, TIER_ENOMEM, "no memory to explain")
                         : t->sink(t->user, (char *)t->out.data, t->out.size);
}

int tier_explain(tier_session *s, const tier_query *q, const char *format, tier_sink *sink, void *user)
{
    int rc = 0;
    if (!s || s->magic != TIER__SESSION_MAGIC)
        return TIER_EINVAL;
    if (!sink)
        return tier__say(s, TIER_EINVAL, "tier_explain: sink is NULL");
    struct tier__telling t = {.s = s, .sink = sink, .user = user};
    if (!format || strcmp(format, "text") == 0)
        t.format = TIER__TEXT;
    else if (strcmp(format, "json") == 0)
        t.format = TIER__JSON;
    else if (strcmp(format, "dot") == 0)
        t.format = TIER__DOT;
    else
        return tier__say(s, TIER_EINVAL, "tier_explain: format '%s' is not text, json or dot", format);
    if (!q || !q->type || q->type->magic != TIER__TYPE_MAGIC || q->type->cache != s->cache)
        return tier__say(s, TIER_EINVAL, "tier_explain: the query's type is not defined on this cache");
    struct tier__path *p = q->path ? tier__path_of(s->cache, q->path, &rc) : NULL;
    tier__node *n = NULL;
    if (!rc && !p && (q->type->def.flags & TIER_PATH_FREE) && q->args) {
        tier_digest d;
        tier__digest_of(q->args, q->args_size, &d);
        n = tier__node_of_content(s->cache, q->type, &d);
    } else if (!rc) {
        n = tier__node_of(s->cache, q->type, p, q->args, q->args_size);
    }
    if (!n)
        return tier__say(s, rc ? rc : TIER_ENOMEM, "tier_explain: %s", tier_strerror(rc ? rc : TIER_ENOMEM));
    tier__buf_init(&t.out, &s->cache->base);
    rc = tell(&t, n);
    tier__buf_fini(&t.out);
    return rc;
}
