/* get.c - asking for a result: the long way. tier_get itself is in recall.c, where a hit ends. */
#include "coherence/loan.h"
#include "coherence/run_log.h"
#include "coherence/stale.h"

int tier__query_check(tier_session *s, const tier_query *q)
{
    if (!q || !q->type || q->type->magic != TIER__TYPE_MAGIC || q->type->cache != s->cache)
        return tier__fail(s, TIER_EINVAL, "the query's type is not defined on this cache");
    if (q->args_size && !q->args)
        return tier__fail(s, TIER_EINVAL, "type %s: args is NULL and args_size is not 0", q->type->name);
    bool path_free = q->type->def.flags & TIER_PATH_FREE;
    if (path_free && !q->path == !q->args)
        return tier__fail(s, TIER_EINVAL, "path-free type %s takes a path or a content, one of them",
                          q->type->name);
    const tier__frame *f = s->frame;
    if (f && f->node && f->node->type && q->type->def.tier > f->node->type->def.tier)
        return tier__fail(s, TIER_ETIER, "type %s of the tree tier may not read type %s of the delta tier",
                          f->node->type->name, q->type->name);
    if (f && f->path_free && (!path_free || q->path)) {
        s->frame->sticky = f->sticky ? f->sticky : TIER_EINVAL;
        return tier__fail(s, TIER_EINVAL,
                          "a path-free build may ask for path-free types by content only, not for %s",
                          q->type->name);
    }
    return 0;
}

static tier__node *query_node(tier_session *s, const tier_query *q, tier__entry **content, int *rc)
{
    tier_cache *c = s->cache;
    struct tier__path *p = NULL;
    if (q->path && !(p = tier__path_of(c, q->path, rc))) {
        tier__fail(s, *rc, "type %s: path of %zu bytes: %s", q->type->name, strlen(q->path),
                   tier_strerror(*rc));
        return NULL;
    }
    tier__node *n;
    if (!p && (q->type->def.flags & TIER_PATH_FREE)) {
        *content = tier__entry_of(c, TIER_FILE, q->args, q->args_size);
        n = *content ? tier__node_of_content(c, q->type, &(*content)->key) : NULL;
    } else {
        n = tier__node_of(c, q->type, p, q->args, q->args_size);
    }
    if (!n)
        *rc = tier__fail(s, TIER_ENOMEM, "no memory for a request");
    return n;
}

/* Everything but the failures of the computation itself are the caller's build's too. */
static int get_failed(tier_session *s, const tier__node *n, int rc)
{
    if (rc == TIER_ECYCLE && s->detail.size == 0)
        return tier__cycle(s, n);
    tier__stick(s, rc);
    if (s->frame && !tier__sticky(rc)) {
        s->frame->once = true; /* it may go on without, but nobody can say what it then depends on */
        if (!s->frame->once_why)
            s->frame->once_why = tier__strdup(&s->cache->base, "a result below failed for now");
    }
    return rc;
}

/* The running build depends on the result. */
static int read_result(tier_session *s, const tier__node *n, const struct tier__variant *variant)
{
    struct tier__dep *d = tier__dep_at(s->cache, n->dep);
    uint32_t version = tier__dep_version(s->cache, d, &variant->hash);
    return version == UINT32_MAX ? tier__fail(s, TIER_ENOMEM, "no memory to record a result")
                                 : tier__record(s, d, version);
}

int tier__get(tier_session *s, const tier_query *q, tier_value *v, int flags, int rc)
{
    tier__entry *content = NULL, *e = NULL;
    struct tier__variant *variant = NULL;
    uint32_t from;
    memset(v, 0, sizeof *v);
    if (rc == 1)
        rc = tier__query_check(s, q);
    if (rc)
        return rc;
    tier__node *n = query_node(s, q, &content, &rc);
    if (!n) {
        tier__entry_unref(content);
        return rc;
    }
    tier__entry *outer = s->content;
    if (content)
        s->content = content;
    rc = tier__resolve(s, n, flags, &variant, &e, &from);
    s->content = outer;
    tier__entry_unref(content);
    if (__builtin_expect(s->view->recorded != NULL, 0) && !s->frame)
        tier__run_asked(s, n, rc ? NULL : variant, rc, from);
    if (rc)
        return get_failed(s, n, rc);
    uint32_t age_ms = from == TIER_STALE ? tier__stale_given(s, n) : 0;
    rc = s->frame ? read_result(s, n, variant) : 0;
    if (rc || variant->rc) {
        tier__entry_unref(e);
        v->hash = variant->hash;
        v->from = from;
        v->age_ms = age_ms;
        if (!rc)
            tier__handed(s, variant->rc, variant->text);
        return rc ? rc
                  : tier__say(s, variant->rc, "%s",
                              variant->text ? variant->text : tier_strerror(variant->rc));
    }
    tier__recall_add(s, q, n, e);
    rc = tier__lend(s, e, from, v);
    v->age_ms = age_ms;
    return rc;
}
