/* world.c - what the host says about the world: inputs and overlays. A version of it is immutable; sessions
 * keep the one that they began with. */
#include "coherence/manager.h"

void tier__world_unref(tier_cache *c, struct tier__world *w)
{
    if (!w || atomic_fetch_sub(&w->refs, 1) != 1)
        return;
    struct tier__world_item *items[2] = {w->overlay, w->input};
    size_t counts[2] = {w->overlay_count, w->input_count};
    for (int k = 0; k < 2; k++) {
        for (size_t i = 0; i < counts[k]; i++) {
            tier__free(&c->base, items[k][i].name);
            tier__entry_unref(items[k][i].entry);
        }
        tier__free(&c->base, items[k]);
    }
    tier__free(&c->base, w);
}

/* A copy of n items with room for one more. */
static struct tier__world_item *items_copy(tier_cache *c, const struct tier__world_item *from, size_t n)
{
    struct tier__world_item *to = tier__zalloc(&c->base, n + 1, sizeof *to);
    for (size_t i = 0; to && i < n; i++) {
        to[i] = from[i];
        tier__entry_ref(to[i].entry);
        if (!(to[i].name = tier__strdup(&c->base, from[i].name))) {
            for (size_t k = 0; k <= i; k++) {
                tier__free(&c->base, to[k].name);
                tier__entry_unref(to[k].entry);
            }
            tier__free(&c->base, to);
            return NULL;
        }
    }
    return to;
}

static struct tier__world *world_copy(tier_cache *c, const struct tier__world *from)
{
    static const struct tier__world none;
    struct tier__world *w = tier__zalloc(&c->base, 1, sizeof *w);
    if (!from)
        from = &none;
    if (!w)
        return NULL;
    atomic_init(&w->refs, 1);
    if ((w->overlay = items_copy(c, from->overlay, from->overlay_count)))
        w->overlay_count = from->overlay_count;
    if ((w->input = items_copy(c, from->input, from->input_count)))
        w->input_count = from->input_count;
    if (!w->overlay || !w->input) {
        tier__world_unref(c, w);
        return NULL;
    }
    return w;
}

/* Sets, replaces or (entry NULL) removes; takes entry and name. */
static void items_set(tier_cache *c, struct tier__world_item *items, size_t *count, char *name,
                      int64_t version, tier__entry *entry)
{
    size_t at = 0;
    while (at < *count && strcmp(items[at].name, name) < 0)
        at++;
    bool there = at < *count && strcmp(items[at].name, name) == 0;
    if (there) {
        tier__free(&c->base, items[at].name);
        tier__entry_unref(items[at].entry);
    }
    if (there && !entry) {
        memmove(items + at, items + at + 1, (*count - at - 1) * sizeof *items);
        --*count;
    } else if (!there && entry) {
        memmove(items + at + 1, items + at, (*count - at) * sizeof *items);
        ++*count;
    }
    if (entry)
        items[at] = (struct tier__world_item){name, version, entry};
    else
        tier__free(&c->base, name);
}

/* 1: nothing changed. */
static int world_set(tier_cache *c, bool overlay, const char *name, int64_t version, const void *data,
                     size_t size)
{
    tier__entry *e = data ? tier__entry_of(c, TIER_FILE, data, size) : NULL;
    char *copy = tier__strdup(&c->base, name);
    if ((data && !e) || !copy) {
        tier__entry_unref(e);
        tier__free(&c->base, copy);
        return TIER_ENOMEM;
    }
    pthread_mutex_lock(&c->world_lock);
    const struct tier__world *now = c->world;
    const struct tier__world_item *was = NULL;
    if (now && overlay)
        was = tier__world_find(now->overlay, now->overlay_count, name);
    else if (now)
        was = tier__world_find(now->input, now->input_count, name);
    bool same = !was && !e;
    if (was)
        same = (e && tier__digest_equal(&was->entry->key, &e->key) && was->version == version) ||
               (overlay && version < was->version);
    struct tier__world *w = same ? NULL : world_copy(c, now), *old = NULL;
    if (w) {
        if (overlay)
            items_set(c, w->overlay, &w->overlay_count, copy, version, e);
        else
            items_set(c, w->input, &w->input_count, copy, version, e);
        old = c->world;
        c->world = w;
        copy = NULL;
        e = NULL;
    }
    pthread_mutex_unlock(&c->world_lock);
    tier__world_unref(c, old);
    tier__entry_unref(e);
    tier__free(&c->base, copy);
    return w ? 0 : same ? 1 : TIER_ENOMEM;
}

int tier_set_input(tier_cache *c, const char *name, const void *data, size_t size)
{
    if (!c || c->magic != TIER__CACHE_MAGIC || !name || !*name || (size && !data))
        return TIER_EINVAL;
    int rc = world_set(c, false, name, 0, data, size);
    if (!rc)
        tier__mark(c, TIER__K_INPUT, name);
    return rc < 0 ? rc : 0;
}

int tier_overlay(tier_cache *c, const char *path, int64_t version, const void *data, size_t size)
{
    int rc;
    if (!c || c->magic != TIER__CACHE_MAGIC || !path || !*path || (size && !data))
        return TIER_EINVAL;
    struct tier__path *p = tier__path_of(c, path, &rc);
    if (!p)
        return rc;
    rc = world_set(c, true, p->key, version, data, size);
    if (!rc)
        tier__mark(c, TIER__K_CONTENT, p->key);
    return rc < 0 ? rc : 0;
}
