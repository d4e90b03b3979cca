/* previous.c - edits between versions: the newest live object of a request, and how the text that it was made
 * from became the text of this view. Both are hints for incremental work: no dependency is recorded. */
#include "coherence/loan.h"
#include "coherence/manager.h"
#include "coherence/edits.h"
#include "coherence/record.h"

/* The content of the request's path that v was made from. */
static bool made_from(tier_cache *c, const tier__node *n, const struct tier__variant *v, tier_digest *content)
{
    bool found = false;
    pthread_mutex_lock(&c->graph);
    for (uint32_t i = 0; !v->raw && i < v->edge_count && !found; i++) {
        const struct tier__dep *d = tier__chunks_at(&c->dep_by_id, v->edges[i].dep);
        if (d->kind == TIER__K_CONTENT && d->path == n->path) {
            *content = d->version[v->edges[i].version].value;
            found = true;
        }
    }
    pthread_mutex_unlock(&c->graph);
    return found;
}

int tier_previous(tier_session *s, const tier_query *q, tier_value *old, tier_digest *content)
{
    int rc = 0;
    if (!s || s->magic != TIER__SESSION_MAGIC || !old || !content)
        return TIER_EINVAL;
    memset(old, 0, sizeof *old);
    tier__buf_clear(&s->detail);
    if (!q || !q->type || q->type->magic != TIER__TYPE_MAGIC || q->type->cache != s->cache || !q->path)
        return tier__say(s, TIER_EINVAL, "tier_previous takes a query with a type of this cache and a path");
    tier_cache *c = s->cache;
    if (c->flags & (TIER_NO_MEMORY | TIER_AUDIT) ||
        (s->frame && s->frame->audit)) /* an audit builds from scratch (I3) */
        return tier__say(s, TIER_EABSENT, "no previous object is kept here");
    struct tier__path *p = tier__path_of(c, q->path, &rc);
    tier__node *n = p ? tier__node_of(c, q->type, p, q->args, q->args_size) : NULL;
    if (!n)
        return tier__say(s, rc ? rc : TIER_ENOMEM, "no memory for a request");
    struct tier__variant *v[TIER__VARIANT_MAX];
    uint32_t count = 0;
    pthread_mutex_lock(&c->graph);
    for (; count < n->variant_count; count++)
        v[count] = tier__variant_ref(n->variant[count]);
    pthread_mutex_unlock(&c->graph);
    tier__entry *e = NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (!e && !v[i]->rc && made_from(c, n, v[i], content)) {
            int tier = (int)q->type->def.tier;
            e = q->type->def.flags & TIER_EXCLUSIVE ? tier__memory_take(c->memory, tier, &v[i]->key)
                                                    : tier__memory_find(c->memory, tier, &v[i]->key);
        }
        if (e && !tier__entry_object(e)) {
            tier__entry_unref(e);
            e = NULL;
        }
        tier__variant_unref(c, v[i]);
    }
    if (!e)
        return tier__say(s, TIER_EABSENT, "no live object of %s for %s", q->type->name, q->path);
    return tier__lend(s, e, TIER_HIT, old);
}

/* A remembered version of a file: in memory, else an ordinary blob. */
static tier__entry *version_of(tier_cache *c, const tier_digest *content)
{
    struct tier__buf b;
    tier__entry *e = tier__memory_find(c->memory, TIER_FILE, content);
    if (e || !c->store)
        return e;
    tier__buf_init(&b, &c->base);
    if (tier__store_get(c->store, NULL, TIER__BLOB, content->byte, sizeof content->byte, &b) == 0)
        e = tier__entry_of(c, TIER_FILE, b.data, b.size);
    tier__buf_fini(&b);
    if (e && !tier__digest_equal(&e->key, content)) {
        tier__entry_unref(e);
        return NULL;
    }
    return e ? tier__memory_insert(c->memory, e) : NULL;
}

/* Who asks for edits of a path will ask again: this version is remembered past the process, unless it is an
 * unsaved one and those are not for the disk. */
static void version_keep(tier_session *s, struct tier__path *p, const tier__entry *e)
{
    tier_cache *c = s->cache;
    tier__write *w;
    struct tier__look look;
    if (tier__profile_int(c->profile, TIER__KEY_STORE_OVERLAYS) != TIER__ON &&
        (tier__view_look(s, p, &look) || look.overlay))
        return;
    if (!c->store || c->flags & (TIER_READ_ONLY | TIER_NO_MEMORY) || tier__write_begin(c->store, &w))
        return;
    if (tier__write_put(w, TIER__BLOB, e->key.byte, sizeof e->key.byte, e->data, e->size,
                        tier__compresses(c)))
        tier__write_abort(&w);
    else
        tier__write_commit(&w);
}

int tier_edits(tier_session *s, const char *path, const tier_digest *from, const tier_edit **edits, size_t *n)
{
    int rc;
    if (!s || s->magic != TIER__SESSION_MAGIC || !path || !from || !edits || !n)
        return TIER_EINVAL;
    tier_cache *c = s->cache;
    *edits = NULL;
    *n = 0;
    tier__buf_clear(&s->detail);
    struct tier__path *p = tier__path_of(c, path, &rc);
    tier__entry *now = NULL;
    tier_digest digest;
    if (!p)
        return tier__say(s, rc, "tier_edits: %s", tier_strerror(rc));
    rc = tier__view_content(s, p, &digest, &now);
    if (rc)
        return tier__say(s, rc, "cannot read %s: %s", path, tier_strerror(rc));
    tier__entry *old = version_of(c, from);
    tier_edit *made = NULL;
    rc =
        old ? tier__edits_find(&c->base, old->data, old->size, now->data, now->size, &made, n) : TIER_EABSENT;
    if (!rc && made)
        rc = tier__lend_memory(s, made);
    if (!rc)
        *edits = made;
    version_keep(s, p, now);
    tier__entry_unref(old);
    tier__entry_unref(now);
    return rc ? tier__say(s, rc, "edits of %s: %s", path, tier_strerror(rc)) : 0;
}
