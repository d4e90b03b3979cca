/* explain_why.c - the parts of tier_explain that look beyond one result: the chain of causes down to the
 * file, what is kept and why not more, and who reads it. */
#include "coherence/admin.h"
#include "coherence/explain.h"

enum { READERS_SHOWN = 20 /* in text */ };

/* ---- why */
static bool has_values(const struct tier__variant *v)
{
    static const tier_digest none;
    return !tier__digest_equal(&v->cause.was_digest, &none);
}

static const char *cause_text(const struct tier__variant *v)
{
    return v->cause.text ? v->cause.text : "not recorded";
}

static void text_step(struct tier__telling *t, const struct tier__because *b, size_t depth)
{
    struct tier__buf *out = &t->out;
    size_t from = out->size;
    tier__buf_printf(out, "%*s", (int)depth * 2, "");
    if (depth) {
        tier__node_label(b->node, out);
        tier__buf_printf(out, " was ");
    }
    tier__buf_printf(out, "computed because: %s", cause_text(b->variant));
    if (has_values(b->variant)) {
        tier__buf_printf(out, " was ");
        tier__tell_value(&b->variant->cause.was_digest, out);
        tier__buf_printf(out, " and became ");
        tier__tell_value(&b->variant->cause.is_digest, out);
    }
    tier__buf_printf(out, ", at ");
    tier__when_text(b->variant->created_ms, out);
    tier__buf_show(out, from);
    tier__buf_u8(out, '\n');
}

static void json_value(struct tier__buf *out, const char *name, const tier_digest *d)
{
    struct tier__buf value;
    tier__buf_init(&value, out->base);
    tier__tell_value(d, &value);
    tier__buf_printf(out, ",\"%s\":", name);
    tier__tell_quoted(out, value.data ? (char *)value.data : "", value.size);
    tier__buf_fini(&value);
}

static void quoted_label(struct tier__buf *out, const tier__node *n)
{
    struct tier__buf label;
    tier__buf_init(&label, out->base);
    tier__node_label(n, &label);
    tier__tell_quoted(out, label.data ? (char *)label.data : "", label.size);
    tier__buf_fini(&label);
}

static void json_step(struct tier__telling *t, const struct tier__because *b, bool first)
{
    struct tier__buf *out = &t->out;
    const char *text = cause_text(b->variant);
    tier__buf_printf(out, "%s{\"request\":", first ? "" : ",");
    quoted_label(out, b->node);
    tier__buf_printf(out, ",\"at_ms\":%lld,\"what\":", (long long)b->variant->created_ms);
    tier__tell_quoted(out, text, strlen(text));
    if (has_values(b->variant)) {
        json_value(out, "was", &b->variant->cause.was_digest);
        json_value(out, "is", &b->variant->cause.is_digest);
    }
    tier__buf_u8(out, '}');
}

/* What had changed is drawn above what it made run; the first one hangs on the result itself. */
static void dot_step(struct tier__telling *t, const struct tier__because *b,
                     const struct tier__because *above)
{
    struct tier__buf *out = &t->out;
    const char *text = cause_text(b->variant);
    if (!above)
        return;
    tier__buf_printf(out, "  ");
    tier__tell_quoted(out, text, strlen(text));
    tier__buf_printf(out, " -> ");
    text = cause_text(above->variant);
    tier__tell_quoted(out, text, strlen(text));
    tier__buf_printf(out, " [color=blue,label=\"became another\"];\n");
}

/* The file at the end of the chain, as this view sees it: its content may have changed again since. */
static void tell_file(struct tier__telling *t, const struct tier__because *last)
{
    struct tier__look look;
    struct tier__buf *out = &t->out;
    if (!last->dep || !last->dep->path || tier__view_look(t->s, last->dep->path, &look) || look.rc)
        return;
    const char *key = *last->dep->path->key ? last->dep->path->key : ".";
    unsigned long long size = look.id.size;
    size_t from = out->size;
    if (t->format == TIER__TEXT) {
        tier__buf_printf(out, "%s now: %llu bytes, modified ", key, size);
        tier__buf_show(out, from);
        tier__when_text(look.id.mtime_ns / 1000000, out);
        tier__buf_u8(out, '\n');
    } else if (t->format == TIER__JSON) {
        tier__buf_printf(out, ",\"file\":{\"path\":");
        tier__tell_quoted(out, key, strlen(key));
        tier__buf_printf(out, ",\"bytes\":%llu,\"modified_ms\":%lld}", size,
                         (long long)(look.id.mtime_ns / 1000000));
    }
}

void tier__tell_why(struct tier__telling *t, tier__node *n, struct tier__variant *v)
{
    struct tier__because step[TIER__BECAUSE_MAX];
    tier_cache *c = t->s->cache;
    size_t count = tier__because(c, n, v, step);
    if (t->format == TIER__JSON)
        tier__buf_printf(&t->out, ",\"chain\":[");
    for (size_t i = 0; i < count; i++)
        if (t->format == TIER__TEXT)
            text_step(t, &step[i], i);
        else if (t->format == TIER__JSON)
            json_step(t, &step[i], i == 0);
        else
            dot_step(t, &step[i], i ? &step[i - 1] : NULL);
    if (t->format == TIER__JSON)
        tier__buf_u8(&t->out, ']');
    if (count)
        tell_file(t, &step[count - 1]);
    tier__because_end(c, step, count);
}

/* ---- what is kept */
static const char *disk_of(const tier_cache *c, const struct tier__variant *v)
{
    if (!c->store)
        return c->flags & TIER_NO_MEMORY ? "nothing: TIER_NO_MEMORY" : "nothing: there is no store";
    if (c->flags & TIER_READ_ONLY)
        return "nothing new: TIER_READ_ONLY";
    if (v->cheap)
        return "its hash and reads alone: the value is cheaper to compute than to load";
    return v->rc || v->form ? "the answer" : "its hash and reads alone: such objects are not saved";
}

void tier__tell_kept(struct tier__telling *t, const tier__node *n, const struct tier__variant *v)
{
    tier_cache *c = t->s->cache;
    struct tier__buf why;
    bool memory = false;
    tier__buf_init(&why, &c->base);
    tier__unkept_get(c, n, &why);
    if (v && !v->rc && n->type && !(n->type->def.flags & TIER_EXCLUSIVE)) {
        tier__entry *e = tier__memory_find(c->memory, (int)n->type->def.tier, &v->key);
        memory = e != NULL;
        tier__entry_unref(e);
    }
    if (t->format == TIER__TEXT) {
        if (v)
            tier__buf_printf(&t->out, "kept: on disk %s; in memory %s\n", disk_of(c, v),
                             memory ? "the value" : "no value");
        tier__buf_show(&why, 0);
        if (why.size)
            tier__buf_printf(&t->out, "the last answer was not kept: %s\n", (char *)why.data);
    } else if (t->format == TIER__JSON) {
        if (v) {
            const char *disk = disk_of(c, v);
            tier__buf_printf(&t->out, ",\"kept\":{\"memory\":%s,\"disk\":", memory ? "true" : "false");
            tier__tell_quoted(&t->out, disk, strlen(disk));
            tier__buf_u8(&t->out, '}');
        }
        if (why.size) {
            tier__buf_printf(&t->out, ",\"not_kept\":");
            tier__tell_quoted(&t->out, (char *)why.data, why.size);
        }
    }
    tier__buf_fini(&why);
}

/* ---- who reads it */
static bool reads(const struct tier__variant *v, uint32_t dep, uint32_t store_id)
{
    struct tier__reader r = tier__reader_of(v->raw, v->raw ? (size_t)v->edge_count * 8 : 0);
    for (uint32_t i = 0; i < v->edge_count; i++) {
        uint32_t id = v->raw ? tier__read_u32(&r) : v->edges[i].dep;
        if (v->raw)
            tier__read_u32(&r);
        if (id == (v->raw ? store_id : dep) && (!v->raw || store_id))
            return true;
    }
    return false;
}

static void tell_reader(struct tier__telling *t, const tier__node *n, size_t number)
{
    if (t->format == TIER__TEXT && number >= READERS_SHOWN)
        return;
    tier__buf_printf(&t->out, "%s",
                     t->format == TIER__JSON  ? number ? "," : ""
                     : t->format == TIER__DOT ? "  result -> "
                                              : "  ");
    size_t from = t->out.size;
    if (t->format == TIER__TEXT)
        tier__node_label(n, &t->out);
    else
        quoted_label(&t->out, n);
    tier__buf_show(&t->out, from); /* what is quoted has none any more */
    tier__buf_printf(&t->out, "%s", t->format == TIER__DOT ? ";\n" : t->format == TIER__TEXT ? "\n" : "");
}

void tier__tell_readers(struct tier__telling *t, const tier__node *n)
{
    tier_cache *c = t->s->cache;
    const struct tier__dep *d = tier__dep_at(c, n->dep);
    size_t count = 0, capacity = 0;
    const tier__node **reader = NULL;
    bool room = true;
    pthread_mutex_lock(&c->graph);
    for (size_t i = 0; i < c->nodes.bucket_count; i++)
        for (const tier__node *m = c->nodes.bucket[i]; m && room; m = m->chain)
            if (m->variant_count && m->type && reads(m->variant[0], n->dep, d->store_id)) {
                if (count == capacity) {
                    capacity = capacity ? 2 * capacity : 16;
                    const tier__node **grown = tier__resize(&c->base, reader, capacity * sizeof *grown);
                    room = grown != NULL;
                    reader = room ? grown : reader;
                }
                if (room)
                    reader[count++] = m;
            }
    pthread_mutex_unlock(&c->graph);
    if (t->format == TIER__JSON)
        tier__buf_printf(&t->out, ",\"readers\":[");
    else if (t->format == TIER__TEXT)
        tier__buf_printf(&t->out, count ? "read by, as far as this process knows:\n"
                                        : "read by nothing that this process knows\n");
    for (size_t i = 0; i < count; i++)
        tell_reader(t, reader[i], i);
    if (t->format == TIER__TEXT && count > READERS_SHOWN)
        tier__buf_printf(&t->out, "  and %zu more\n", count - READERS_SHOWN);
    if (t->format == TIER__JSON)
        tier__buf_u8(&t->out, ']');
    tier__free(&c->base, reader);
    t->out.failed |= !room;
}
