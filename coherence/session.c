/* session.c - a thread's hold on a view: begin, fork, end; its loans, its last error, its deadline; and what
 * its running build has read so far. */
#include "coherence/loan.h"
#include "coherence/run_log.h"
#include "coherence/stale.h"
#include <errno.h>
#include <stdarg.h>
#include <unistd.h>

bool tier__sticky(int rc)
{
    return rc == TIER_ECYCLE || rc == TIER_ECANCELED || rc == TIER_ETIMEOUT || rc == TIER_ENOMEM ||
           rc == TIER_ECHANGED || rc == TIER_ETIER;
}

bool tier__remembered(int rc)
{
    return rc == 0 || rc == TIER_EBUILD || rc == TIER_EABSENT || rc == TIER_EACCESS || rc == TIER_EKIND;
}

void tier__stick(tier_session *s, int rc)
{
    if (s->frame && tier__sticky(rc) && !s->frame->sticky)
        s->frame->sticky = rc;
}

static void say(tier_session *s, const char *format, va_list args)
{
    char text[TIER__TEXT_MAX];
    vsnprintf(text, sizeof text, format, args);
    tier__buf_clear(&s->detail);
    tier__buf_put(&s->detail, text, strlen(text));
}

int tier__fail(tier_session *s, int rc, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(s, format, args);
    va_end(args);
    tier__stick(s, rc);
    return rc;
}

int tier__say(tier_session *s, int rc, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(s, format, args);
    va_end(args);
    return rc;
}

const char *tier_detail(const tier_session *s)
{
    return s && s->magic == TIER__SESSION_MAGIC && s->detail.data && s->detail.size
               ? (const char *)s->detail.data
               : "";
}

int tier_cancelled(const tier_session *s)
{
    if (!s || s->magic != TIER__SESSION_MAGIC)
        return TIER_EINVAL;
    int rc = atomic_load_explicit(&s->root->canceled, memory_order_relaxed);
    if (!rc && s != s->root)
        rc = atomic_load_explicit(&s->canceled, memory_order_relaxed);
    if (!rc && s->deadline && tier__monotonic_ms() >= s->deadline)
        rc = TIER_ETIMEOUT;
    return rc;
}

int tier__session_check(tier_session *s)
{
    int rc = tier_cancelled(s);
    if (rc)
        return tier__fail(s, rc, "session %llu: %s", (unsigned long long)s->id, tier_strerror(rc));
    return 0;
}

/* ---- life */
/* Whole before anybody can see it: others walk the list of sessions. */
static tier_session *session_new(tier_cache *c, tier__view *v, tier_session *parent)
{
    tier_session *s = tier__zalloc(&c->base, 1, sizeof *s);
    if (!s)
        return NULL;
    s->magic = TIER__SESSION_MAGIC;
    s->cache = c;
    s->view = v;
    s->root = s;
    atomic_init(&s->canceled, 0);
    atomic_init(&s->forks, 0);
    atomic_init(&s->impatient, false);
    tier__buf_init(&s->detail, &c->base);
    if (!parent)
        return s;
    s->parent = parent;
    s->root = parent->root;
    s->flags = parent->flags;
    s->deadline = parent->deadline;
    s->fork_depth = parent->depth;
    s->nest = parent->nest;
    if (parent->frame) { /* what the fork reads, the build has read */
        if (!(s->frame = tier__zalloc(&c->base, 1, sizeof *s->frame))) {
            tier__free(&c->base, s);
            return NULL;
        }
        s->fork_frame = parent->frame;
        s->frame->path_free = parent->frame->path_free;
        s->frame->audit = parent->frame->audit;
        s->frame->node = parent->frame->node;
        tier__buf_init(&s->frame->tags, &c->base);
    }
    return s;
}

static void session_link(tier_cache *c, tier_session *s)
{
    pthread_mutex_lock(&c->world_lock);
    s->id = ++c->next_session;
    s->next = c->sessions;
    c->sessions = s;
    pthread_mutex_unlock(&c->world_lock);
}

int tier_begin(tier_cache *c, const tier_session_options *o, tier_session **out)
{
    if (!c || c->magic != TIER__CACHE_MAGIC || !out ||
        (o && (o->struct_size < sizeof *o || o->flags & ~3u || o->deadline_ms < 0)))
        return TIER_EINVAL;
    *out = NULL;
    tier__cache_after_fork(c);
    tier__news(c);
    tier__view *v = tier__view_new(c);
    tier_session *s = v ? session_new(c, v, NULL) : NULL;
    if (!s) {
        tier__view_unref(v);
        return TIER_ENOMEM;
    }
    s->flags = o ? o->flags : 0;
    s->deadline = o && o->deadline_ms ? tier__monotonic_ms() + o->deadline_ms : 0;
    tier__roots_glance(c, v->watch != NULL);
    session_link(c, s);
    if (c->run_log)
        tier__run_begin(s);
    *out = s;
    return 0;
}

int tier_fork(tier_session *parent, tier_session **child)
{
    if (!parent || parent->magic != TIER__SESSION_MAGIC || !child)
        return TIER_EINVAL;
    *child = NULL;
    tier__buf_clear(&parent->detail);
    tier_session *s = session_new(parent->cache, parent->view, parent);
    if (!s)
        return TIER_ENOMEM;
    atomic_fetch_add(&parent->view->refs, 1);
    atomic_fetch_add(&parent->forks, 1);
    session_link(s->cache, s);
    *child = s;
    return 0;
}

/* Gives what a fork read to the build that it was forked in. */
static void fork_join(tier_session *s)
{
    tier__frame *mine = s->frame, *to = s->fork_frame;
    pthread_mutex_lock(&s->view->lock); /* siblings may end at the same time */
    for (uint32_t i = 0; i < mine->edge_count; i++)
        if (tier__frame_add(s->cache, to, mine->edges[i].dep, mine->edges[i].version))
            to->out_of_memory = true;
    if (mine->sticky && !to->sticky)
        to->sticky = mine->sticky;
    to->once |= mine->once;
    if (mine->stale)
        tier__stale_frame(to, mine->stale_since_ms);
    if (mine->expires_ms && (!to->expires_ms || mine->expires_ms < to->expires_ms))
        to->expires_ms = mine->expires_ms;
    tier__buf_put(&to->tags, mine->tags.data, mine->tags.size);
    pthread_mutex_unlock(&s->view->lock);
    tier__scope_end(s, &mine->scope);
    tier__frame_fini(s->cache, mine);
    tier__free(&s->cache->base, mine);
    s->frame = NULL;
}

int tier_end(tier_session **sp)
{
    if (!sp || !*sp)
        return 0;
    tier_session *s = *sp;
    if (s->magic != TIER__SESSION_MAGIC)
        return TIER_EINVAL;
    tier_cache *c = s->cache;
    if (atomic_load(&s->forks))
        return tier__fail(s, TIER_EBUSY, "session %llu has %u live forks: end them first",
                          (unsigned long long)s->id, atomic_load(&s->forks));
    if (s->frame && !s->fork_frame)
        return tier__fail(s, TIER_EBUSY, "session %llu is inside a build", (unsigned long long)s->id);
    if (s->fork_frame)
        fork_join(s);
    tier__scope_end(s, &s->scope);
    int rc = atomic_load(&s->view->changed) ? TIER_ECHANGED : 0;
    pthread_mutex_lock(&c->world_lock);
    for (tier_session **at = &c->sessions; *at; at = &(*at)->next)
        if (*at == s) {
            *at = s->next;
            break;
        }
    pthread_mutex_unlock(&c->world_lock);
    if (s->parent)
        atomic_fetch_sub(&s->parent->forks, 1);
    tier__recall_fini(s);
    tier__view_unref(s->view);
    while (s->free_loans) {
        tier__loan *l = s->free_loans;
        s->free_loans = l->next;
        tier__free(&c->base, l);
    }
    tier__buf_fini(&s->detail);
    s->magic = 0;
    bool outermost = !s->parent;
    tier__free(&c->base, s);
    *sp = NULL;
    tier__superseded_leave(c);
    if (outermost)
        tier__session_over(c);
    return rc;
}

uint64_t tier_session_id(const tier_session *s)
{
    return s && s->magic == TIER__SESSION_MAGIC ? s->id : 0;
}

void tier_cancel(tier_cache *c, uint64_t id)
{
    if (!c || c->magic != TIER__CACHE_MAGIC)
        return;
    pthread_mutex_lock(&c->world_lock);
    for (tier_session *s = c->sessions; s; s = s->next)
        for (tier_session *up = s; up; up = up->parent)
            if (up->id == id)
                atomic_store(&s->canceled, TIER_ECANCELED);
    pthread_mutex_unlock(&c->world_lock);
    pthread_mutex_lock(&c->flight); /* waiters look again */
    pthread_cond_broadcast(&c->flight_done);
    pthread_mutex_unlock(&c->flight);
}

/* ---- what a build reads */
static bool seen_grow(tier_cache *c, tier__frame *f)
{
    uint32_t n = f->seen_capacity ? f->seen_capacity * 2 : 32;
    uint32_t *seen = tier__zalloc(&c->base, n, sizeof *seen);
    if (!seen)
        return false;
    for (uint32_t i = 0; i < f->edge_count; i++) {
        uint32_t at = f->edges[i].dep * 2654435761u & (n - 1);
        while (seen[at])
            at = (at + 1) & (n - 1);
        seen[at] = f->edges[i].dep + 1;
    }
    tier__free(&c->base, f->seen);
    f->seen = seen;
    f->seen_capacity = n;
    return true;
}

int tier__frame_add(tier_cache *c, tier__frame *f, uint32_t dep, uint32_t version)
{
    if (f->edge_count * 2 >= f->seen_capacity && !seen_grow(c, f))
        return TIER_ENOMEM;
    uint32_t at = dep * 2654435761u & (f->seen_capacity - 1);
    for (; f->seen[at]; at = (at + 1) & (f->seen_capacity - 1))
        if (f->seen[at] == dep + 1)
            return 0; /* the view froze it: it has the same value now */
    if (f->edge_count == f->edge_capacity) {
        uint32_t n = f->edge_capacity ? f->edge_capacity * 2 : 16;
        struct tier__edge *edges = tier__resize(&c->base, f->edges, n * sizeof *edges);
        if (!edges)
            return TIER_ENOMEM;
        f->edges = edges;
        f->edge_capacity = n;
    }
    f->seen[at] = dep + 1;
    f->edges[f->edge_count++] = (struct tier__edge){dep, version};
    return 0;
}

void tier__frame_fini(tier_cache *c, tier__frame *f)
{
    tier__free(&c->base, f->edges);
    tier__free(&c->base, f->seen);
    tier__free(&c->base, f->once_why);
    tier__free(&c->base, f->fail_text);
    tier__free(&c->base, f->handed_text);
    tier__free(&c->base, f->recheck);
    tier__buf_fini(&f->tags);
}

int tier__record(tier_session *s, struct tier__dep *d, uint32_t version)
{
    if (!s->frame || !tier__frame_add(s->cache, s->frame, d->id, version))
        return 0;
    s->frame->out_of_memory = true;
    return tier__fail(s, TIER_ENOMEM, "no memory to record a dependency");
}

static int building(tier_session *s, const char *what)
{
    if (!s || s->magic != TIER__SESSION_MAGIC)
        return TIER_EINVAL;
    return s->frame ? 0 : tier__fail(s, TIER_EINVAL, "%s outside a build", what);
}

/* A failure below: the text of a build that hands it on. */
void tier__handed(tier_session *s, int rc, const char *text)
{
    tier__frame *f = s->frame;
    if (!f)
        return;
    size_t n = text ? strlen(text) : 0;
    tier__free(&s->cache->base, f->handed_text);
    f->handed = rc;
    f->handed_text =
        text ? tier__memdup0(&s->cache->base, text, n < TIER__TEXT_MAX ? n : TIER__TEXT_MAX) : NULL;
    f->out_of_memory |= text && !f->handed_text;
}

int tier_fail(tier_session *s, int rc, const char *text)
{
    if (!s || s->magic != TIER__SESSION_MAGIC)
        return TIER_EINVAL;
    tier__frame *f = s->frame;
    if (f) {
        tier__free(&s->cache->base, f->fail_text);
        f->fail_text = NULL;
        size_t n = text ? strlen(text) : 0;
        if (text &&
            !(f->fail_text = tier__memdup0(&s->cache->base, text, n < TIER__TEXT_MAX ? n : TIER__TEXT_MAX)))
            f->out_of_memory = true;
    }
    return tier__fail(s, rc, "%s", text ? text : tier_strerror(rc));
}

int tier_once(tier_session *s, const char *why)
{
    int rc = building(s, "tier_once");
    if (rc)
        return rc;
    s->frame->once = true;
    if (!s->frame->once_why)
        s->frame->once_why = tier__strdup(&s->cache->base, why ? why : "no reason given");
    return 0;
}

int tier_tag(tier_session *s, const char *tag)
{
    int rc = building(s, "tier_tag");
    if (rc)
        return rc;
    if (!tag || !*tag)
        return tier__fail(s, TIER_EINVAL, "tier_tag: the tag is empty");
    tier__buf_put(&s->frame->tags, tag, strlen(tag) + 1);
    return s->frame->tags.failed ? tier__fail(s, TIER_ENOMEM, "no memory for a tag") : 0;
}

int tier_expires(tier_session *s, int64_t ms)
{
    int rc = building(s, "tier_expires");
    if (rc)
        return rc;
    if (ms <= 0)
        return tier__fail(s, TIER_EINVAL, "tier_expires: %lld ms is not above 0", (long long)ms);
    int64_t at = ms > INT64_MAX - s->view->clock_ms ? INT64_MAX : s->view->clock_ms + ms;
    if (!s->frame->expires_ms || at < s->frame->expires_ms)
        s->frame->expires_ms = at;
    return 0;
}
