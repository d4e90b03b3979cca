/* reverse.c - reverse edges in arrays, and the cascade over them; see reverse.h. */
#include "coherence/reverse.h"

enum {
    SETTLED = 1, /* flag: its newest variant's reads are arcs, or will be with the next laying out */
    OPAQUE = 2,
    WANTED = 4,         /* something read it: it is settled or opaque, or in todo */
    PAST = 16,          /* readers behind the last: a cascade looks ahead */
    AGAIN_MIN = 1 << 16 /* arcs beside the arrays before these are laid out anew, and a quarter of theirs */
};

bool tier__ids_add(struct tier__base *b, struct tier__ids *l, uint32_t id)
{
    if (l->count == l->capacity) {
        size_t n = l->capacity ? l->capacity * 2 : 256;
        uint32_t *grown = tier__resize(b, l->id, n * sizeof *grown);
        if (!grown)
            return false;
        l->id = grown;
        l->capacity = n;
    }
    l->id[l->count++] = id;
    return true;
}

void tier__ids_fini(struct tier__base *b, struct tier__ids *l)
{
    tier__free(b, l->id);
    *l = (struct tier__ids){0};
}

void tier__reverse_free(tier_cache *c)
{
    struct tier__reverse *r = c->reverse;
    c->reverse = NULL;
    if (!r)
        return;
    tier__free(&c->base, r->start);
    tier__free(&c->base, r->reader);
    tier__free(&c->base, r->later);
    tier__free(&c->base, r->arc);
    tier__free(&c->base, r->flag);
    tier__ids_fini(&c->base, &r->todo);
    tier__ids_fini(&c->base, &r->opaque);
    tier__free(&c->base, r);
}

void tier__reverse_note(tier_cache *c, const tier__node *n)
{
    struct tier__reverse *r = c->reverse;
    if (r && !tier__ids_add(&c->base, &r->todo, n->dep))
        r->lost = true;
}

/* ---- the arrays */
static bool grow_flags(tier_cache *c, struct tier__reverse *r)
{
    if (c->dep_count <= r->flag_capacity)
        return true;
    uint32_t n = c->dep_count + c->dep_count / 2 + 64;
    uint8_t *flag = tier__resize(&c->base, r->flag, n);
    uint32_t *later = flag ? tier__resize(&c->base, r->later, n * sizeof *later) : NULL;
    if (flag)
        r->flag = flag;
    if (!later)
        return false;
    r->later = later;
    memset(flag + r->flag_capacity, 0, n - r->flag_capacity);
    memset(later + r->flag_capacity, 0, (n - r->flag_capacity) * sizeof *later);
    r->flag_capacity = n;
    return true;
}

/* The newest variant of a settled vertex whose edges are known, or NULL. Graph lock held. */
static const struct tier__variant *newest(tier_cache *c, const struct tier__reverse *r, uint32_t id)
{
    if (!(r->flag[id] & SETTLED))
        return NULL;
    const tier__node *n = ((struct tier__dep *)tier__chunks_at(&c->dep_by_id, id))->node;
    const struct tier__variant *v = n && n->variant_count ? n->variant[0] : NULL;
    return v && !v->raw ? v : NULL;
}

static bool lay_out(tier_cache *c, struct tier__reverse *r)
{
    uint32_t deps = c->dep_count;
    uint32_t *start = tier__zalloc(&c->base, (size_t)deps + 2, sizeof *start), *reader = NULL;
    size_t arcs = 0;
    for (uint32_t id = 0; start && id < deps; id++) {
        const struct tier__variant *v = newest(c, r, id);
        for (uint32_t i = 0; v && i < v->edge_count; i++)
            start[v->edges[i].dep + 2]++;
        arcs += v ? v->edge_count : 0;
    }
    if (!start || arcs >= UINT32_MAX || !(reader = tier__zalloc(&c->base, arcs + PAST, sizeof *reader))) {
        tier__free(&c->base, start);
        return false;
    }
    for (uint32_t d = 0; d < deps; d++)
        start[d + 2] += start[d + 1];
    for (uint32_t id = 0; id < deps; id++) { /* filling moves the start of d + 1 on to its end */
        const struct tier__variant *v = newest(c, r, id);
        for (uint32_t i = 0; v && i < v->edge_count; i++)
            reader[start[v->edges[i].dep + 1]++] = id;
    }
    tier__free(&c->base, r->start);
    tier__free(&c->base, r->reader);
    r->start = start;
    r->reader = reader;
    r->deps = deps;
    r->arc_count = 0;
    if (r->later) /* there is none before the first dependency */
        memset(r->later, 0, r->flag_capacity * sizeof *r->later);
    return true;
}

static bool add_arc(tier_cache *c, struct tier__reverse *r, uint32_t from, uint32_t reader)
{
    if (r->arc_count + 1 >= r->arc_capacity) {
        size_t n = r->arc_capacity ? r->arc_capacity * 2 : 1024;
        struct tier__arc *grown = tier__resize(&c->base, r->arc, n * sizeof *grown);
        if (!grown)
            return false;
        r->arc = grown;
        r->arc_capacity = n;
    }
    r->arc[++r->arc_count] = (struct tier__arc){reader, r->later[from]};
    r->later[from] = (uint32_t)r->arc_count;
    return true;
}

/* The arcs of those in fresh. Graph lock held. */
static bool work_in(tier_cache *c, struct tier__reverse *r, const struct tier__ids *fresh)
{
    size_t arcs = r->arc_count;
    for (size_t i = 0; i < fresh->count; i++) {
        const struct tier__variant *v = newest(c, r, fresh->id[i]);
        arcs += v ? v->edge_count : 0;
    }
    if (!r->start || arcs > AGAIN_MIN + r->start[r->deps] / 4)
        return lay_out(c, r);
    for (size_t i = 0; i < fresh->count; i++) {
        const struct tier__variant *v = newest(c, r, fresh->id[i]);
        for (uint32_t k = 0; v && k < v->edge_count; k++)
            if (!add_arc(c, r, v->edges[k].dep, fresh->id[i]))
                return false;
    }
    return true;
}

/* ---- what was noted */
static bool opaque(tier_cache *c, struct tier__reverse *r, uint32_t id)
{
    pthread_mutex_lock(&c->graph);
    bool ok = grow_flags(c, r) && ((r->flag[id] & OPAQUE) || tier__ids_add(&c->base, &r->opaque, id));
    if (ok)
        r->flag[id] = (uint8_t)((r->flag[id] | OPAQUE) & ~SETTLED);
    pthread_mutex_unlock(&c->graph);
    return ok;
}

/* What a settled request read is to be settled, too: loaded, if need be. No lock held. */
static bool want(tier_cache *c, struct tier__reverse *r, struct tier__dep *d)
{
    tier__node *n = tier__dep_node(c, d);
    if (!n)
        return opaque(c, r, d->id);
    tier__node_lock(c, n);
    bool ok = tier__ids_add(&c->base, &r->todo, d->id);
    pthread_mutex_unlock(&c->graph);
    return ok;
}

/* Wants the results among the edges of v that nobody wanted yet. */
static bool want_edges(tier_cache *c, struct tier__reverse *r, const struct tier__variant *v)
{
    pthread_mutex_lock(&c->graph);
    bool ok = grow_flags(c, r);
    for (uint32_t i = 0; ok && i < v->edge_count; i++) {
        struct tier__dep *d = tier__chunks_at(&c->dep_by_id, v->edges[i].dep);
        if (d->kind != TIER__K_RESULT || (r->flag[d->id] & WANTED))
            continue;
        r->flag[d->id] |= WANTED;
        pthread_mutex_unlock(&c->graph);
        ok = want(c, r, d);
        pthread_mutex_lock(&c->graph);
        ok = ok && grow_flags(c, r);
    }
    pthread_mutex_unlock(&c->graph);
    return ok;
}

/* Interns what the newest variant of id read, and wants it. */
static bool settle(tier_cache *c, struct tier__reverse *r, uint32_t id)
{
    pthread_mutex_lock(&c->graph);
    const tier__node *n = ((struct tier__dep *)tier__chunks_at(&c->dep_by_id, id))->node;
    struct tier__variant *v = n && n->variant_count ? tier__variant_ref(n->variant[0]) : NULL;
    bool ok = grow_flags(c, r);
    pthread_mutex_unlock(&c->graph);
    if (!ok || !v || !tier__variant_edges(c, v)) {
        tier__variant_unref(c, v);
        return ok && opaque(c, r, id);
    }
    ok = want_edges(c, r, v);
    tier__variant_unref(c, v);
    pthread_mutex_lock(&c->graph);
    r->flag[id] = (uint8_t)((r->flag[id] | SETTLED | WANTED) & ~OPAQUE);
    pthread_mutex_unlock(&c->graph);
    return ok;
}

/* Every request that is known so far. Graph lock held. */
static bool note_all(tier_cache *c, struct tier__reverse *r)
{
    bool ok = grow_flags(c, r);
    for (size_t i = 0; ok && i < c->nodes.bucket_count; i++)
        for (tier__node *n = c->nodes.bucket[i]; ok && n; n = n->chain)
            if (n->variant_count)
                ok = tier__ids_add(&c->base, &r->todo, n->dep);
    return ok;
}

static bool begin(tier_cache *c)
{
    pthread_mutex_lock(&c->graph);
    if (c->reverse && c->reverse->lost)
        tier__reverse_free(c);
    bool ok = c->reverse != NULL;
    if (!ok && (c->reverse = tier__zalloc(&c->base, 1, sizeof *c->reverse)))
        ok = note_all(c, c->reverse);
    pthread_mutex_unlock(&c->graph);
    return ok;
}

bool tier__reverse_ready(tier_cache *c)
{
    bool ok = begin(c), done = false;
    struct tier__reverse *r = c->reverse;
    while (ok && !done) {
        struct tier__ids fresh = {0};
        for (;;) { /* settling notes more, and so do others meanwhile */
            pthread_mutex_lock(&c->graph);
            uint32_t id = r->todo.count ? r->todo.id[--r->todo.count] : UINT32_MAX;
            ok = id == UINT32_MAX || tier__ids_add(&c->base, &fresh, id);
            pthread_mutex_unlock(&c->graph);
            if (!ok || id == UINT32_MAX || !(ok = settle(c, r, id)))
                break;
        }
        pthread_mutex_lock(&c->graph);
        ok = ok && !r->lost && grow_flags(c, r) && ((r->start && !fresh.count) || work_in(c, r, &fresh));
        done = !r->todo.count;
        if (!ok || !done)
            pthread_mutex_unlock(&c->graph);
        tier__ids_fini(&c->base, &fresh);
    }
    if (!ok) {
        pthread_mutex_lock(&c->graph);
        tier__reverse_free(c);
        pthread_mutex_unlock(&c->graph);
    }
    return ok;
}

bool tier__reverse_opaque(const struct tier__reverse *r, uint32_t dep)
{
    return r->flag[dep] & OPAQUE;
}

/* ---- the cascade */
static inline bool mark_one(tier_cache *c, uint64_t *marks, uint32_t dep, uint64_t event,
                            enum tier__state state, struct tier__ids *queue)
{
    if (marks[dep] >> 2 == event)
        return true;
    marks[dep] = tier__mark_of(event, state);
    if (queue->count == queue->capacity)
        return tier__ids_add(&c->base, queue, dep);
    queue->id[queue->count++] = dep;
    return true;
}

bool tier__cascade_mark(tier_cache *c, uint32_t dep, uint64_t event, enum tier__state state,
                        struct tier__ids *queue)
{
    return mark_one(c, c->mark, dep, event, state, queue);
}

/* The marks of a large graph are in no cache, and which come next is known: they are fetched ahead. */
bool tier__cascade(tier_cache *c, const struct tier__reverse *r, uint64_t event, struct tier__ids *queue)
{
    enum { AHEAD = 12 };
    uint64_t *marks = c->mark;
    bool ok = true;
    for (size_t at = 0; ok && at < queue->count; at++) { /* it grows as it is walked */
        uint32_t d = queue->id[at];
        if (d < r->deps)
            for (uint32_t i = r->start[d], end = r->start[d + 1]; ok && i < end; i++) {
                __builtin_prefetch(&marks[r->reader[i + AHEAD]], 1);
                ok = mark_one(c, marks, r->reader[i], event, TIER__MAYBE, queue);
            }
        for (uint32_t a = r->arc_count && d < r->flag_capacity ? r->later[d] : 0; ok && a; a = r->arc[a].next)
            ok = mark_one(c, marks, r->arc[a].reader, event, TIER__MAYBE, queue);
    }
    return ok;
}
