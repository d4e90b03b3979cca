/* supersede.c - older versions leave the memory: a path's content once another was read, a request's value
 * once another variant holds. They would hold room until eviction had gone through everything else: on a
 * trace of edits and rescans such dead versions pollute what policies know of frequency.
 *
 * When: as soon as no session is live that began before. Until then an older view may ask for the old bytes,
 * tier_previous for the old object and tier_edits for the old text.
 * How: a value that the store has, or is about to get, leaves. Anything else, all contents among it, stays,
 * as the first to be evicted, so that going back to A after A and B computes nothing (I15). */
#include "coherence/manager.h"

enum { WAITING_MAX = 65536 }; /* more wait no longer: those are evicted as all others are */

void tier__superseded(tier_cache *c, int tier, const tier_digest *key, bool remembered)
{
    struct tier__superseded *q = &c->superseded;
    pthread_mutex_lock(&c->world_lock);
    if (q->count == q->capacity && q->count < WAITING_MAX) {
        size_t capacity = q->capacity ? q->capacity * 2 : 64;
        struct tier__superseded_item *item = tier__resize(&c->base, q->item, capacity * sizeof *item);
        if (item) {
            q->item = item;
            q->capacity = capacity;
        }
    }
    if (q->count < q->capacity)
        q->item[q->count++] = (struct tier__superseded_item){*key, c->next_session, tier, remembered};
    pthread_mutex_unlock(&c->world_lock);
}

void tier__superseded_variant(tier_cache *c, const tier__node *n, const struct tier__variant *now)
{
    tier_digest key;
    bool older = false, remembered = false;
    pthread_mutex_lock(&c->graph);
    if (n->variant_count && !tier__digest_equal(&n->variant[0]->key, &now->key) && !n->variant[0]->rc) {
        older = true;
        key = n->variant[0]->key;
        remembered = n->variant[0]->form && c->store && !(c->flags & TIER_READ_ONLY);
    }
    pthread_mutex_unlock(&c->graph);
    if (older)
        tier__superseded(c, (int)n->type->def.tier, &key, remembered);
}

/* Takes one that no live session is older than. */
static bool take(tier_cache *c, struct tier__superseded_item *item)
{
    struct tier__superseded *q = &c->superseded;
    uint64_t oldest = UINT64_MAX;
    pthread_mutex_lock(&c->world_lock);
    for (const tier_session *s = c->sessions; s; s = s->next)
        oldest = s->id; /* the list begins with the newest */
    bool some = q->first < q->count && q->item[q->first].session < oldest;
    if (some)
        *item = q->item[q->first++];
    if (q->first == q->count)
        q->first = q->count = 0;
    pthread_mutex_unlock(&c->world_lock);
    return some;
}

void tier__superseded_leave(tier_cache *c)
{
    struct tier__superseded_item item;
    while (take(c, &item))
        tier__memory_supersede(c->memory, item.tier, &item.key, item.remembered);
}
