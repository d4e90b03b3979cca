/* observations.c - what a view has seen so far, and what it sees in one more place: for tests that hold every
 * answer against it. */
#include "coherence/observations.h"

static void give(tier_cache *c, struct tier__edge at,
                 void (*each)(void *user, const struct tier__observation *o), void *user)
{
    const struct tier__dep *d = tier__dep_at(c, at.dep);
    struct tier__observation o = {.kind = d->kind,
                                  .path = d->path ? d->path->key : NULL,
                                  .fields = d->fields,
                                  .name = d->name,
                                  .name_size = d->name_size};
    tier__dep_value(c, d, at.version, &o.value);
    each(user, &o);
}

int tier__observations(tier_session *s, void (*each)(void *user, const struct tier__observation *o),
                       void *user)
{
    tier_cache *c = s->cache;
    pthread_mutex_lock(&c->graph);
    uint32_t count = c->dep_count, n = 0;
    pthread_mutex_unlock(&c->graph);
    struct tier__edge *seen = tier__zalloc(&c->base, count + 1u, sizeof *seen);
    if (!seen)
        return TIER_ENOMEM;
    pthread_mutex_lock(&s->view->lock);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t version = tier__view_version(s->view, i);
        if (version)
            seen[n++] = (struct tier__edge){i, version - 1};
    }
    pthread_mutex_unlock(&s->view->lock);
    for (uint32_t i = 0; i < n; i++)
        give(c, seen[i], each, user);
    tier__free(&c->base, seen);
    return 0;
}

int tier__observe(tier_session *s, struct tier__observation *o)
{
    tier_cache *c = s->cache;
    int rc = 0, seen;
    uint32_t version;
    struct tier__path *p = o->path ? tier__path_of(c, o->path, &rc) : NULL;
    if (o->path && !p)
        return rc;
    struct tier__dep *d = tier__dep_of(c, o->kind, p, o->fields, o->name, o->name_size);
    if (!d)
        return TIER_ENOMEM;
    rc = tier__view_observe(s, d, &version, NULL, &seen);
    if (!rc)
        tier__dep_value(c, d, version, &o->value);
    return rc;
}
