/* live.c - what keeps a cache from closing, in words: sessions, streams, and the first detached values by the
 * request or path that they answer. Only asked where a close is refused, so it may look through all requests.
 */
#include "coherence/manager.h"
#include "tiers/stream.h"

enum { SHOWN = 4 };

/* With c->graph held. NULL: it is no request's any more. */
static const tier__node *node_of_value(const tier_cache *c, const tier__entry *e)
{
    for (size_t i = 0; i < c->nodes.bucket_count; i++)
        for (const tier__node *n = c->nodes.bucket[i]; n; n = n->chain)
            for (uint32_t v = 0; v < n->variant_count; v++)
                if (tier__digest_equal(&n->variant[v]->key, &e->key))
                    return n;
    return NULL;
}

static const struct tier__path *path_of_content(const tier_cache *c, const tier__entry *e)
{
    for (size_t i = 0; i < c->path_count; i++) {
        const struct tier__path *p = *(struct tier__path **)tier__chunks_at(&c->path_by_id, i);
        if (p->memo.known && tier__digest_equal(&p->memo.digest, &e->key))
            return p;
    }
    return NULL;
}

static void name_value(tier_cache *c, const tier__entry *e, struct tier__buf *out)
{
    char hex[TIER__HEX_SIZE];
    pthread_mutex_lock(&c->graph);
    const tier__node *n = tier__entry_tier(e) == TIER_FILE ? NULL : node_of_value(c, e);
    const struct tier__path *p = tier__entry_tier(e) == TIER_FILE ? path_of_content(c, e) : NULL;
    if (n) {
        tier__node_label(n, out);
    } else if (p) {
        tier__buf_printf(out, "%s", p->key);
    } else {
        tier__digest_hex(&e->key, hex);
        tier__buf_printf(out, "content key %.16s", hex);
    }
    pthread_mutex_unlock(&c->graph);
}

static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

bool tier__live_text(tier_cache *c, struct tier__buf *out)
{
    tier__entry *shown[SHOWN];
    uint32_t count = 0;
    pthread_mutex_lock(&c->world_lock);
    uint64_t detached = c->detached, first = c->sessions ? c->sessions->id : 0, live = 0;
    for (const tier_session *s = c->sessions; s; s = s->next)
        live++;
    for (const tier__loan *l = c->detached_scope.loans; l && count < SHOWN; l = l->next)
        if (l->entry)
            shown[count++] = tier__entry_ref(l->entry);
    pthread_mutex_unlock(&c->world_lock);
    unsigned streams = tier__hub_subscribers(c->hub);
    tier__buf_printf(out, "%llu live session%s", (unsigned long long)live, plural(live));
    if (live)
        tier__buf_printf(out, " (the last begun is %llu)", (unsigned long long)first);
    tier__buf_printf(out, ", %llu detached value%s", (unsigned long long)detached, plural(detached));
    for (uint32_t i = 0; i < count; i++) {
        tier__buf_printf(out, i ? ", " : " (");
        name_value(c, shown[i], out);
        tier__entry_unref(shown[i]);
    }
    tier__buf_printf(out, "%s%s, %u open stream%s", detached > count && count ? ", ..." : "",
                     count ? ")" : "", streams, plural(streams));
    return live || detached || streams;
}
