/* publish.c - a built result becomes known, as widely as it may: to its view, the process, the streams, the
 * disk. */
#include "coherence/explain.h"

void tier__undeclared(tier_session *s, const tier__node *n, const char *when)
{
    struct tier__buf b;
    tier__buf_init(&b, &s->cache->base);
    tier__node_label(n, &b);
    tier__count(&s->cache->base, TIER__ALARM_UNDECLARED, 1);
    tier__log(
        &s->cache->base, TIER_LOG_ERROR,
        "%s gave two answers to the same recorded inputs (%s): its build reads something that it does not "
        "declare; read it through the session, or call tier_once",
        b.data ? (char *)b.data : "a result", when);
    tier__buf_fini(&b);
}

/* ---- unsaved buffers are not for the disk, where the settings say so (store.overlays) */
static bool overlaid_path(const tier__view *v, const struct tier__dep *d)
{
    const struct tier__world *w = v->world;
    bool listing = d->kind == TIER__K_LISTING;
    for (size_t i = 0; d->path && i < w->overlay_count; i++)
        if (strcmp(w->overlay[i].name, d->path->key) == 0 ||
            (listing && tier__path_below(w->overlay[i].name, d->path->key)))
            return true;
    return false;
}

/* Was it made from an overlay, by itself or by what it read? What it read is bound in the view. */
static bool overlaid(tier_session *s, const tier__node *n, const struct tier__variant *v)
{
    tier_cache *c = s->cache;
    const struct tier__world *w = s->view->world;
    if (!w || !w->overlay_count || tier__profile_int(c->profile, TIER__KEY_STORE_OVERLAYS) == TIER__ON)
        return false;
    for (size_t i = 0; n->content && i < w->overlay_count; i++)
        if (memcmp(n->args, w->overlay[i].entry->key.byte, sizeof w->overlay[i].entry->key.byte) == 0)
            return true;
    for (uint32_t i = 0; i < v->edge_count; i++) {
        const struct tier__dep *d = tier__dep_at(c, v->edges[i].dep);
        const struct tier__variant *below =
            d->kind == TIER__K_RESULT && d->node ? tier__bound(s, d->node) : NULL;
        if (overlaid_path(s->view, d) || (below && below->unsaved))
            return true;
    }
    return false;
}

/* Does b take the place of an answer that what stands above may still hold by? Not of one that has expired:
 * whatever stands above it has, too. different: another answer to equal inputs is known. alarm: one that
 * nobody said would differ by now. */
static bool replaces(tier_session *s, const tier__node *n, const struct tier__built *b, bool *different,
                     bool *alarm)
{
    const struct tier__variant *v = b->variant;
    bool found = b->instead && !(tier__digest_equal(&b->instead->key, &v->key) &&
                                 tier__digest_equal(&b->instead->hash, &v->hash));
    *different = *alarm = false;
    pthread_mutex_lock(&s->cache->graph);
    for (uint32_t i = 0; i < n->variant_count; i++) {
        const struct tier__variant *old = n->variant[i];
        if (!tier__digest_equal(&old->key, &v->key) || tier__digest_equal(&old->hash, &v->hash))
            continue;
        bool expired = old->expires_ms && old->expires_ms <= s->view->clock_ms;
        *different = true;
        found |= !expired;
        *alarm |= !expired && !tier__banned(s->cache, n, old, s->view);
    }
    pthread_mutex_unlock(&s->cache->graph);
    return found;
}

/* What was built becomes known: to the view, to the process, and in time to the disk (I10: all of it in one
 * commit). */
int tier__publish(tier_session *s, tier__node *n, struct tier__built *b)
{
    tier_cache *c = s->cache;
    bool kept = !(c->flags & TIER_NO_MEMORY) && !b->once;
    bool fresh = kept && !b->again;
    bool different = false, alarm = false, waits = false;
    bool replaced = (kept || b->instead) && replaces(s, n, b, &different, &alarm);
    if (kept && alarm)
        tier__undeclared(s, n, "built again");
    bool exclusive = b->entry && tier__entry_is(b->entry, TIER__EXCLUSIVE);
    bool shared = exclusive ? !b->lent && !b->once : b->entry && kept && !tier__forwards(n);
    /* Where variants were let go of (tier__node_lock), or are bound in older views, their values may still
     * lie under the same key. */
    if (kept && (different || (shared && atomic_load(&c->replaced))))
        tier__memory_remove(c->memory, (int)n->type->def.tier, &b->variant->key);
    if (replaced)
        tier__replace_begin(c);
    if (shared)
        b->entry = tier__memory_insert(c->memory, b->entry);
    b->variant->unsaved = fresh && overlaid(s, n, b->variant);
    if (fresh &&
        !b->variant->unsaved) /* before anybody hears of it: evicted at once, its bytes are found here */
        waits = tier__pending_add(c, n, b);
    bool keep = b->entry && !exclusive && (!kept || !tier__entry_resident(b->entry));
    int rc = tier__bind(s, n, b->variant, keep ? b->entry : NULL, TIER_BUILT);
    if (!rc && !(c->flags & TIER_NO_MEMORY) && !b->again)
        tier__unkept(c, n, !b->once ? NULL : b->once_why ? b->once_why : "tier_once");
    if (!rc && fresh) {
        tier__superseded_variant(c, n, b->variant);
        tier__node_add(c, n, b->variant);
    }
    if (replaced) /* not before: a view that begins with the new number is to find the new answer */
        tier__replace_end(s, n, b->variant, waits && !rc);
    if (!rc && c->hub && b->entry)
        tier__publish_result(c, n, exclusive ? NULL : b->entry);
    tier__governor_look(&c->governor, &c->base, c->memory,
                        tier__monotonic_ms()); /* long sessions fill memory */
    return rc;
}
