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

/* What was built becomes known: to the view, to the process, and in time to the disk (I10: all of it in one
 * commit). */
int tier__publish(tier_session *s, tier__node *n, struct tier__built *b)
{
    tier_cache *c = s->cache;
    bool kept = !(c->flags & TIER_NO_MEMORY) && !b->once;
    bool different = false;
    if (kept) {
        pthread_mutex_lock(&c->graph);
        for (uint32_t i = 0; i < n->variant_count; i++)
            if (tier__digest_equal(&n->variant[i]->key, &b->variant->key))
                different |= !tier__digest_equal(&n->variant[i]->hash, &b->variant->hash);
        pthread_mutex_unlock(&c->graph);
        if (different) {
            tier__undeclared(s, n, "built again");
            tier__memory_remove(c->memory, (int)n->type->def.tier, &b->variant->key);
        }
    }
    bool shared = b->entry && !tier__forwards(n) && (kept || (b->entry->exclusive && !b->once));
    if (shared)
        b->entry = tier__memory_insert(c->memory, b->entry);
    bool keep = b->entry && !b->entry->exclusive && (!kept || !tier__entry_resident(b->entry));
    int rc = tier__bind(s, n, b->variant, keep ? b->entry : NULL, TIER_BUILT);
    if (!rc && !(c->flags & TIER_NO_MEMORY))
        tier__unkept(c, n, !b->once ? NULL : b->once_why ? b->once_why : "tier_once");
    if (!rc && kept) {
        tier__superseded_variant(c, n, b->variant);
        tier__node_add(c, n, b->variant);
        tier__pending_add(c, n, b);
    }
    if (!rc && c->hub && b->entry)
        tier__publish_result(c, n, b->entry);
    tier__governor_look(&c->governor, &c->base, c->memory,
                        tier__monotonic_ms()); /* long sessions fill memory */
    return rc;
}
