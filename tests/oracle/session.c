/* session.c - views, sessions, forks, cancellation and what a build says about its result. */
#include <stdlib.h>
#include <string.h>
#include "tests/oracle/oracle.h"

static void copy_item(struct o_map *to, const struct o_map *from)
{
    for (size_t i = 0; i < from->slots; i++)
        for (struct o_map_node *n = from->slot[i]; n; n = n->next)
            if (n->value)
                *o_map_at(to, n->key, n->key_size, true) = o_item_ref(n->value);
}

static void copy_overlays(struct o_map *to, const struct o_map *from)
{
    for (size_t i = 0; i < from->slots; i++) {
        for (struct o_map_node *n = from->slot[i]; n; n = n->next) {
            struct o_overlay *o = n->value;

            if (o->content)
                *o_map_at(to, n->key, n->key_size, true) = o_item_ref(o->content);
        }
    }
}

/* Under cache->lock: what is set now is what the view sees. */
static struct o_view *view_new(const tier_cache *c)
{
    struct o_view *view = o_alloc(sizeof *view);
    pthread_condattr_t attr;

    view->users = 1;
    pthread_mutex_init(&view->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&view->changed, &attr);
    pthread_condattr_destroy(&attr);
    copy_item(&view->inputs, &c->inputs);
    copy_overlays(&view->overlays, &c->overlays);
    return view;
}

static void item_drop(void *item)
{
    o_item_unref(item);
}

struct o_view **o_views(tier_cache *c, size_t *count)
{
    struct o_view **views = o_alloc(sizeof *views);

    *count = 0;
    pthread_mutex_lock(&c->lock);
    for (tier_session *s = c->sessions; s; s = s->next) {
        views = o_grow(views, (*count + 1) * sizeof *views);
        views[(*count)++] = s->view;
        s->view->users++;
    }
    pthread_mutex_unlock(&c->lock);
    return views;
}

void o_view_unref(tier_cache *c, struct o_view *view)
{
    bool last;

    pthread_mutex_lock(&c->lock);
    last = --view->users == 0;
    pthread_mutex_unlock(&c->lock);
    if (!last)
        return;
    o_map_free(&view->memo, o_request_free);
    o_map_free(&view->looks, o_look_free);
    o_map_free(&view->lists, o_listing_free);
    o_map_free(&view->envs, o_listing_free);
    o_map_free(&view->inputs, item_drop);
    o_map_free(&view->overlays, item_drop);
    pthread_cond_destroy(&view->changed);
    pthread_mutex_destroy(&view->lock);
    free(view);
}

static tier_session *session_new(tier_cache *c, tier_session *parent)
{
    tier_session *s = o_alloc(sizeof *s);

    s->cache = c;
    s->parent = parent;
    s->detail = o_copy("", 0);
    pthread_mutex_lock(&c->lock);
    s->id = ++c->next_id;
    s->view = parent ? parent->view : view_new(c);
    if (parent) {
        s->view->users++;
        s->flags = parent->flags;
        s->deadline = parent->deadline;
        parent->forks++;
    }
    s->next = c->sessions;
    c->sessions = s;
    pthread_mutex_unlock(&c->lock);
    return s;
}

int tier_begin(tier_cache *c, const tier_session_options *o, tier_session **s)
{
    tier_session_options own = TIER_INIT(tier_session_options);

    if (s)
        *s = NULL;
    if (!c || !s || (o && o->struct_size < sizeof(size_t)))
        return TIER_EINVAL;
    if (o)
        memcpy(&own, o, o->struct_size < sizeof own ? o->struct_size : sizeof own);
    if ((own.flags & ~(uint32_t)(TIER_CANCEL_ON_CHANGE | TIER_MAY_BE_STALE)) || own.deadline_ms < 0)
        return TIER_EINVAL;
    *s = session_new(c, NULL);
    pthread_mutex_lock(&c->lock);
    (*s)->flags = own.flags;
    (*s)->deadline = own.deadline_ms ? o_now_ms() + own.deadline_ms : 0;
    pthread_mutex_unlock(&c->lock);
    return 0;
}

int tier_fork(tier_session *parent, tier_session **child)
{
    int rc;

    if (child)
        *child = NULL;
    if (!child)
        return TIER_EINVAL;
    rc = o_enter(parent, 0);
    if (rc)
        return rc;
    *child = session_new(parent->cache, parent);
    pthread_mutex_lock(&parent->view->lock);
    (*child)->base = o_top(parent);
    pthread_mutex_unlock(&parent->view->lock);
    return 0;
}

int tier_end(tier_session **s)
{
    tier_session *own, **at;
    tier_cache *c;
    bool changed;

    if (!s || !*s)
        return TIER_EINVAL;
    own = *s;
    c = own->cache;
    pthread_mutex_lock(&own->view->lock);
    changed = own->view->saw_change;
    pthread_mutex_unlock(&own->view->lock);
    pthread_mutex_lock(&c->lock);
    if (own->forks || own->frame) {
        pthread_mutex_unlock(&c->lock);
        o_error(own, TIER_EBUSY, "%s", own->forks ? "forks of this session live" : "a build of it runs");
        return TIER_EBUSY;
    }
    pthread_mutex_unlock(&c->lock);
    o_loans_end(own, NULL);
    pthread_mutex_lock(&c->lock);
    for (at = &c->sessions; *at != own; at = &(*at)->next)
        ;
    *at = own->next;
    if (own->parent)
        own->parent->forks--;
    pthread_mutex_unlock(&c->lock);
    o_view_unref(c, own->view);
    free(own->detail);
    free(own);
    *s = NULL;
    return changed ? TIER_ECHANGED : 0;
}

uint64_t tier_session_id(const tier_session *s)
{
    return s ? s->id : 0;
}

/* Forks ask their parents, so that marking one session is enough. Who waits polls besides. */
void tier_cancel(tier_cache *c, uint64_t id)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    for (tier_session *s = c->sessions; s; s = s->next)
        if (s->id == id)
            s->cancelled = 1;
    pthread_mutex_unlock(&c->lock);
}

int o_state(const tier_session *s)
{
    for (const tier_session *p = s; p; p = p->parent)
        if (p->cancelled)
            return TIER_ECANCELED;
    return s->deadline && o_now_ms() >= s->deadline ? TIER_ETIMEOUT : 0;
}

int tier_cancelled(const tier_session *s)
{
    return s ? o_state(s) : TIER_EINVAL;
}

const char *tier_detail(const tier_session *s)
{
    return s ? s->detail : "no session";
}

struct o_frame *o_top(const tier_session *s)
{
    return s->frame ? s->frame : s->base;
}

int o_enter(tier_session *s, int reads)
{
    struct o_frame *f;
    int rc;

    if (!s)
        return TIER_EINVAL;
    rc = o_state(s);
    if (rc)
        return o_error(s, rc, "session %llu: %s", (unsigned long long)s->id, tier_strerror(rc));
    pthread_mutex_lock(&s->view->lock);
    f = o_top(s);
    pthread_mutex_unlock(&s->view->lock);
    if (reads && f && (f->request->type->def.flags & TIER_PATH_FREE))
        return o_error(s, TIER_EINVAL, "%s: a path-free build reads no files", f->request->type->def.name);
    free(s->detail);
    s->detail = o_copy("", 0);
    return 0;
}

int tier_fail(tier_session *s, int rc, const char *text)
{
    struct o_frame *f;

    if (!s)
        return rc;
    if (!text)
        text = tier_strerror(rc);
    free(s->detail);
    s->detail = o_copy(text, strlen(text));
    pthread_mutex_lock(&s->view->lock);
    f = o_top(s);
    if (f) {
        free(f->fail_text);
        f->fail_text = o_copy(text, strlen(text));
    }
    pthread_mutex_unlock(&s->view->lock);
    return rc;
}

static int in_build(tier_session *s, bool valid, const char *what)
{
    if (!s)
        return TIER_EINVAL;
    if (!valid || !o_top(s))
        return o_error(s, TIER_EINVAL, "%s: %s", what, valid ? "outside a build" : "bad argument");
    return 0;
}

/* Nothing is kept past a view, and a view's clock stands still: these three have nothing left to do. */
int tier_once(tier_session *s, const char *why)
{
    (void)why;
    return in_build(s, true, "tier_once");
}

int tier_tag(tier_session *s, const char *tag)
{
    return in_build(s, tag && *tag, "tier_tag");
}

int tier_expires(tier_session *s, int64_t ms)
{
    (void)ms;
    return in_build(s, true, "tier_expires");
}
