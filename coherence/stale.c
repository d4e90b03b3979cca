/* stale.c - stale while revalidating: a session that asked for it is given the old answer at once where a
 * fresh one would take a build. The host shows it, and asks again in a session that did not ask for it.
 *
 * Soundness of everything else: a stale answer is bound in a table of its own, never in the view's slots, so
 * no walk compares with it, no closure is made over it, and other views, memory, disk and streams never hear
 * of it. What a build makes of one is stale too, and goes the same way (I3, I14). */
#include "coherence/stale.h"

bool tier__may_be_stale(const tier_session *s)
{
    const tier_cache *c = s->cache;
    return (s->flags & TIER_MAY_BE_STALE) && !(c->flags & (TIER_AUDIT | TIER_NO_MEMORY)) &&
           tier__profile_int(c->profile, TIER__KEY_STALE_MAX_AGE) > 0;
}

bool tier__stale_find(tier_session *s, const tier__node *n, struct tier__variant **v, tier__entry **e)
{
    bool found = false;
    pthread_mutex_lock(&s->view->lock);
    const struct tier__stale *t = tier__chunks_at(&s->view->stale, n->dep);
    if (t && t->variant) {
        *v = t->variant;
        *e = t->entry ? tier__entry_ref(t->entry) : NULL;
        found = true;
    }
    pthread_mutex_unlock(&s->view->lock);
    return found;
}

static bool keep(tier_session *s, const tier__node *n, struct tier__variant *v, tier__entry *e,
                 int64_t since_ms)
{
    tier__view *view = s->view;
    pthread_mutex_lock(&view->lock);
    struct tier__stale *t = tier__chunks_make(&s->cache->base, &view->stale, n->dep);
    if (t && !t->variant) {
        t->variant = tier__variant_ref(v);
        t->entry = e ? tier__entry_ref(e) : NULL;
        t->since_ms = since_ms;
    }
    pthread_mutex_unlock(&view->lock);
    return t != NULL;
}

bool tier__stale_keep(tier_session *s, const tier__node *n, const struct tier__built *b)
{
    return keep(s, n, b->variant, b->entry && tier__entry_is(b->entry, TIER__EXCLUSIVE) ? NULL : b->entry,
                b->stale_since_ms);
}

bool tier__stale_take(tier_session *s, tier__node *n)
{
    tier_cache *c = s->cache;
    struct tier__variant *v = NULL;
    int64_t since = 0;
    if (n->type->def.flags & TIER_EXCLUSIVE)
        return false;
    tier__node_lock(c, n);
    if (n->variant_count && !n->variant[0]->rc) {
        v = tier__variant_ref(n->variant[0]);
        since = v->true_ms > v->created_ms ? v->true_ms : v->created_ms;
    }
    pthread_mutex_unlock(&c->graph);
    tier__entry *e = NULL;
    if (v && s->view->clock_ms - since <= tier__profile_int(c->profile, TIER__KEY_STALE_MAX_AGE) &&
        !tier__banned(c, n, v, s->view) &&
        !(e = tier__memory_find(c->memory, (int)n->type->def.tier, &v->key)))
        e = tier__blob_load(s, n, v);
    bool taken = e && keep(s, n, v, e, since);
    tier__entry_unref(e);
    tier__variant_unref(c, v);
    return taken;
}

void tier__stale_frame(tier__frame *f, int64_t since_ms)
{
    if (!f->stale || since_ms < f->stale_since_ms)
        f->stale_since_ms = since_ms;
    f->stale = true;
}

uint32_t tier__stale_given(tier_session *s, const tier__node *n)
{
    pthread_mutex_lock(&s->view->lock);
    const struct tier__stale *t = tier__chunks_at(&s->view->stale, n->dep);
    int64_t since = t ? t->since_ms : 0;
    pthread_mutex_unlock(&s->view->lock);
    if (s->frame)
        tier__stale_frame(s->frame, since);
    int64_t age = s->view->clock_ms - since;
    return age < 0 ? 0 : age > UINT32_MAX ? UINT32_MAX : (uint32_t)age;
}

void tier__stale_free(tier__view *v)
{
    for (size_t k = 0; k < v->stale.chunk_count; k++) {
        struct tier__stale *t = tier__chunks_at(&v->stale, k * TIER__CHUNK);
        for (size_t i = 0; t && i < TIER__CHUNK; i++) {
            tier__entry_unref(t[i].entry);
            tier__variant_unref(v->cache, t[i].variant);
        }
    }
    tier__chunks_fini(&v->cache->base, &v->stale);
}
