/* because.c - the chain of causes, from a result down to what had changed outside; and why results were not
 * kept. A result remembers the first difference that made it run: the dependency's label and its two values.
 * Where that was another result, the run that gave it the new value has a cause of its own, and so on. */
#include "coherence/explain.h"

static struct tier__dep *dep_labelled(tier_cache *c, struct tier__variant *v, const char *text)
{
    struct tier__dep *found = NULL;
    struct tier__buf label;
    tier__buf_init(&label, &c->base);
    for (uint32_t i = 0; tier__variant_edges(c, v) && i < v->edge_count && !found; i++) {
        struct tier__dep *d = tier__dep_at(c, v->edges[i].dep);
        if (d->kind == TIER__K_RESULT)
            tier__dep_node(c, d); /* its label has a name as soon as the request is known here */
        tier__buf_clear(&label);
        tier__dep_label(c, d, &label);
        if (!label.failed && strcmp((char *)label.data, text) == 0)
            found = d;
    }
    tier__buf_fini(&label);
    return found;
}

/* Ids do not outlive a process, so what a cause names is looked for among what the variants read. */
static struct tier__dep *cause_dep(tier_cache *c, tier__node *n, struct tier__variant *v)
{
    struct tier__variant *other[TIER__VARIANT_MAX];
    uint32_t count = 0;
    struct tier__dep *d = v->cause.text ? dep_labelled(c, v, v->cause.text) : NULL;
    if (d || !v->cause.text)
        return d;
    pthread_mutex_lock(&c->graph);
    for (; count < n->variant_count; count++)
        other[count] = tier__variant_ref(n->variant[count]);
    pthread_mutex_unlock(&c->graph);
    for (uint32_t i = 0; i < count; i++) {
        if (!d)
            d = dep_labelled(c, other[i], v->cause.text);
        tier__variant_unref(c, other[i]);
    }
    return d;
}

/* The run of m that changed its value as the cause says: the first with the new one after the last with the
 * old one, and not later than the run that it made happen. Later runs that were cut off do not count. */
static struct tier__variant *run_that_changed(tier_cache *c, tier__node *m, const struct tier__variant *above)
{
    struct tier__variant *best = NULL;
    int64_t last_old = INT64_MIN;
    tier__node_lock(c, m);
    for (uint32_t i = 0; i < m->variant_count; i++) {
        const struct tier__variant *x = m->variant[i];
        if (x->created_ms <= above->created_ms && x->created_ms > last_old &&
            tier__digest_equal(&x->hash, &above->cause.was_digest))
            last_old = x->created_ms;
    }
    for (uint32_t i = m->variant_count; i-- > 0;) { /* of one millisecond, the older one */
        struct tier__variant *x = m->variant[i];
        if (x->created_ms <= above->created_ms && tier__digest_equal(&x->hash, &above->cause.is_digest) &&
            (!best ||
             (best->created_ms < last_old ? x->created_ms > best->created_ms
                                          : x->created_ms >= last_old && x->created_ms < best->created_ms)))
            best = x;
    }
    if (best)
        tier__variant_ref(best);
    pthread_mutex_unlock(&c->graph);
    return best;
}

size_t tier__because(tier_cache *c, tier__node *n, struct tier__variant *v,
                     struct tier__because step[TIER__BECAUSE_MAX])
{
    size_t count = 0;
    v = tier__variant_ref(v);
    while (v && count < TIER__BECAUSE_MAX) {
        struct tier__because *b = &step[count++];
        *b = (struct tier__because){n, v, cause_dep(c, n, v)};
        n = b->dep && b->dep->kind == TIER__K_RESULT ? tier__dep_node(c, b->dep) : NULL;
        v = n ? run_that_changed(c, n, b->variant) : NULL;
    }
    tier__variant_unref(c, v);
    return count;
}

void tier__because_end(tier_cache *c, struct tier__because *step, size_t count)
{
    for (size_t i = 0; i < count; i++)
        tier__variant_unref(c, step[i].variant);
}

/* ---- what was not kept: by dependency id of the request, as few have a reason */
void tier__unkept(tier_cache *c, const tier__node *n, const char *why)
{
    char *copy = why ? tier__strdup(&c->base, why) : NULL, *old = NULL;
    pthread_mutex_lock(&c->graph);
    char **at = why ? tier__chunks_make(&c->base, &c->unkept, n->dep) : tier__chunks_at(&c->unkept, n->dep);
    if (at) {
        old = *at;
        *at = copy;
        copy = NULL;
    }
    pthread_mutex_unlock(&c->graph);
    tier__free(&c->base, old);
    tier__free(&c->base, copy);
}

void tier__unkept_get(tier_cache *c, const tier__node *n, struct tier__buf *why)
{
    pthread_mutex_lock(&c->graph);
    char **at = tier__chunks_at(&c->unkept, n->dep);
    if (at && *at)
        tier__buf_printf(why, "%s", *at);
    pthread_mutex_unlock(&c->graph);
}

void tier__unkept_free(tier_cache *c)
{
    for (size_t k = 0; k < c->unkept.chunk_count; k++)
        for (size_t i = 0; i < TIER__CHUNK; i++) {
            char **text = tier__chunks_at(&c->unkept, k * TIER__CHUNK + i);
            tier__free(&c->base, text ? *text : NULL);
        }
    tier__chunks_fini(&c->base, &c->unkept);
}
