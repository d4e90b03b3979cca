/* stream.c - the world outside, and streams. There is no watcher: tier_stream_next looks again at the paths
 * that sessions of this cache have looked at. */
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "tests/oracle/oracle.h"

enum { DEFAULT_CAPACITY = 1024, DEFAULT_BLOCK_MS = 100, POLL_MS = 10 };

struct event {
    struct event *next;
    uint32_t kind;
    uint64_t sequence;
    char *path;
    const tier_type *type;
    struct o_item *item;
};
struct tier_stream {
    tier_stream *next;
    tier_cache *cache;
    tier_stream_options options;
    char *glob;
    struct event *first, **last, *lent; /* lent: what tier_stream_next gave last */
    uint32_t count, lost;
    int fd;
};
struct o_seen {
    int rc;
    struct stat st;
    char path[];
};

static void event_free(struct event *e)
{
    if (!e)
        return;
    o_item_unref(e->item);
    free(e->path);
    free(e);
}

static bool wanted(const tier_stream *st, uint32_t kind, const char *path, const tier_type *type)
{
    if (!(st->options.kinds & kind))
        return false;
    if (st->glob && (!path || !o_glob(st->glob, path)))
        return false;
    return kind == TIER_CHANGED || !st->options.type || st->options.type == type;
}

static bool waits_already(const tier_stream *st, uint32_t kind, const char *path)
{
    for (const struct event *e = st->first; e; e = e->next)
        if (path && e->path && e->kind == kind && !strcmp(e->path, path))
            return true;
    return false;
}

static struct event *take_first(tier_stream *st)
{
    struct event *e = st->first;

    st->first = e->next;
    if (!st->first)
        st->last = &st->first;
    st->count--;
    return e;
}

static void block(tier_stream *st)
{
    struct timespec until;
    int64_t ms = st->options.block_ms ? st->options.block_ms : DEFAULT_BLOCK_MS;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (st->count >= st->options.capacity)
        if (pthread_cond_timedwait(&st->cache->room, &st->cache->lock, &until))
            return;
}

/* Under cache->lock. Returns what was pushed out, to be freed without the lock. */
static struct event *push(tier_stream *st, struct event *e)
{
    struct event *out = NULL;
    uint64_t one = 1;

    if (st->options.policy == TIER_COALESCE && waits_already(st, e->kind, e->path))
        return e;
    if (st->options.policy == TIER_BLOCK && st->count >= st->options.capacity)
        block(st);
    if (st->count >= st->options.capacity) {
        st->lost++;
        if (st->options.policy == TIER_BLOCK)
            return e;
        out = take_first(st);
    }
    *st->last = e;
    st->last = &e->next;
    st->count++;
    (void)!write(st->fd, &one, sizeof one); /* a full counter is as readable as one that was added to */
    return out;
}

void o_publish(tier_cache *c, uint32_t kind, const char *path, const tier_type *type, struct o_item *item)
{
    struct event *trash = NULL, *out;

    pthread_mutex_lock(&c->lock);
    c->sequence++;
    c->publishing++;
    for (tier_stream *st = c->streams; st; st = st->next) {
        struct event *e;

        if (!wanted(st, kind, path, type))
            continue;
        e = o_alloc(sizeof *e);
        e->kind = kind;
        e->sequence = c->sequence;
        e->path = path ? o_copy(path, strlen(path)) : NULL;
        e->type = type;
        e->item = item ? o_item_ref(item) : NULL;
        out = push(st, e);
        if (out) {
            out->next = trash;
            trash = out;
        }
    }
    c->publishing--;
    pthread_cond_broadcast(&c->room);
    pthread_mutex_unlock(&c->lock);
    while (trash) {
        out = trash;
        trash = out->next;
        event_free(out);
    }
}

/* ---- the world outside ---- */

static void cancel_on_change(tier_cache *c)
{
    pthread_mutex_lock(&c->lock);
    for (tier_session *s = c->sessions; s; s = s->next)
        if (s->flags & TIER_CANCEL_ON_CHANGE)
            s->cancelled = 1;
    pthread_mutex_unlock(&c->lock);
}

int tier_set_input(tier_cache *c, const char *name, const void *data, size_t size)
{
    struct o_item *item, *old;
    void **at;

    if (!c || !name || !*name || (!data && size))
        return TIER_EINVAL;
    item = data ? o_item_of(data, size) : NULL;
    pthread_mutex_lock(&c->lock);
    at = o_map_at(&c->inputs, name, strlen(name), true);
    old = *at;
    *at = item;
    pthread_mutex_unlock(&c->lock);
    o_item_unref(old);
    cancel_on_change(c);
    o_publish(c, TIER_CHANGED, NULL, NULL, NULL);
    return 0;
}

int tier_overlay(tier_cache *c, const char *path, int64_t version, const void *data, size_t size)
{
    struct o_item *old = NULL;
    struct o_overlay *o;
    bool newer = true;
    char *key;
    void **at;

    if (!c || (!data && size))
        return TIER_EINVAL;
    key = o_normal(c, path);
    if (!key)
        return TIER_EINVAL;
    pthread_mutex_lock(&c->lock);
    at = o_map_at(&c->overlays, key, strlen(key), true);
    o = *at;
    if (!o)
        *at = o = o_alloc(sizeof *o);
    else
        newer = version >= o->version;
    if (newer) {
        o->version = version;
        old = o->content;
        o->content = data ? o_item_of(data, size) : NULL;
    }
    pthread_mutex_unlock(&c->lock);
    o_item_unref(old);
    if (newer) {
        cancel_on_change(c);
        o_publish(c, TIER_CHANGED, key, NULL, NULL);
    }
    free(key);
    return 0;
}

static bool is_duration(const char *text)
{
    static const char *const units[] = {"", "ms", "s", "m", "min", "h", "d"};
    size_t n = strspn(text, "0123456789");

    for (size_t i = 0; n && i < sizeof units / sizeof *units; i++)
        if (!strcmp(text + n, units[i]))
            return true;
    return false;
}

/* Nothing is kept past a view, so there is nothing to make a miss: the event is all. */
int tier_invalidate(tier_cache *c, int by, const char *what)
{
    char *key = NULL;

    if (!c || !what || !*what || by < TIER_BY_PATH || by > TIER_BY_AGE || by == 3)
        return TIER_EINVAL;
    if (by == TIER_BY_AGE && !is_duration(what))
        return TIER_EINVAL;
    if (by == TIER_BY_PATH)
        key = o_normal(c, what);
    o_publish(c, TIER_INVALIDATED, key, NULL, NULL);
    free(key);
    return 0;
}

/* No pattern is ever matched; one that opens what it does not close is refused. */
int tier_invalidate_pattern(tier_cache *c, int by, const char *regex)
{
    int open = 0;

    if (!c || !regex || (by != TIER_BY_PATH && by != TIER_BY_TAG && by != TIER_BY_TYPE))
        return TIER_EINVAL;
    for (const char *p = regex; *p; p++) {
        if (*p == '\\' && p[1])
            p++;
        else if (*p == '(')
            open++;
        else if (*p == ')' && --open < 0)
            return TIER_EINVAL;
    }
    if (open)
        return TIER_EINVAL;
    o_publish(c, TIER_INVALIDATED, NULL, NULL, NULL);
    return 0;
}

void o_note_seen(tier_cache *c, const char *path, int rc, const struct stat *st)
{
    struct o_seen *seen = o_alloc(sizeof *seen + strlen(path) + 1);
    void **at;

    strcpy(seen->path, path);
    seen->rc = rc;
    seen->st = *st;
    pthread_mutex_lock(&c->lock);
    at = o_map_at(&c->seen, path, strlen(path), true);
    if (*at) /* what was seen first counts until a poll reports the change */
        free(seen);
    else
        *at = seen;
    pthread_mutex_unlock(&c->lock);
}

static int seen_now(const tier_cache *c, const char *path, struct stat *st)
{
    char *os = o_os_path(c, path);
    int rc = stat(os, st);

    free(os);
    if (rc)
        memset(st, 0, sizeof *st);
    return rc;
}

static void poll_seen(tier_cache *c)
{
    char **paths = NULL;
    size_t n = 0;

    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->seen.slots; i++) {
        for (struct o_map_node *node = c->seen.slot[i]; node; node = node->next) {
            struct o_seen *seen = node->value;
            struct stat now;
            int rc = seen_now(c, seen->path, &now);

            if (!rc == !seen->rc && (rc || o_same_file(&now, &seen->st)))
                continue;
            seen->rc = rc;
            seen->st = now;
            paths = o_grow(paths, (n + 1) * sizeof *paths);
            paths[n++] = o_copy(seen->path, strlen(seen->path));
        }
    }
    pthread_mutex_unlock(&c->lock);
    if (n)
        cancel_on_change(c);
    for (size_t i = 0; i < n; i++) {
        o_publish(c, TIER_CHANGED, paths[i], NULL, NULL);
        free(paths[i]);
    }
    free(paths);
}

int tier_sync(tier_cache *c, int64_t timeout_ms)
{
    (void)timeout_ms;
    if (!c)
        return TIER_EINVAL;
    poll_seen(c);
    return 0;
}

/* ---- streams ---- */

int tier_stream_open(tier_cache *c, const tier_stream_options *o, tier_stream **st)
{
    tier_stream_options own = TIER_INIT(tier_stream_options);
    const uint32_t all = TIER_CHANGED | TIER_INVALIDATED | TIER_RESULT | TIER_GAP;
    tier_stream *made;

    if (st)
        *st = NULL;
    if (!c || !st || (o && o->struct_size < sizeof(size_t)))
        return TIER_EINVAL;
    if (o)
        memcpy(&own, o, o->struct_size < sizeof own ? o->struct_size : sizeof own);
    if ((own.kinds & ~all) || own.policy > TIER_BLOCK || own.block_ms < 0)
        return TIER_EINVAL;
    made = o_alloc(sizeof *made);
    made->options = own;
    made->options.kinds = own.kinds ? own.kinds : all;
    made->options.capacity = own.capacity ? own.capacity : DEFAULT_CAPACITY;
    made->glob = own.glob ? o_copy(own.glob, strlen(own.glob)) : NULL;
    made->cache = c;
    made->last = &made->first;
    made->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    pthread_mutex_lock(&c->lock);
    made->next = c->streams;
    c->streams = made;
    pthread_mutex_unlock(&c->lock);
    *st = made;
    return 0;
}

int tier_stream_fd(const tier_stream *st)
{
    return st ? st->fd : -1;
}

static bool take(tier_stream *st, tier_event *e)
{
    struct event *old = st->lent;
    uint64_t count;

    pthread_mutex_lock(&st->cache->lock);
    st->lent = NULL;
    if (st->lost) {
        e->kind = TIER_GAP;
        e->lost = st->lost;
        e->sequence = st->cache->sequence;
        st->lost = 0;
    } else if (st->first) {
        st->lent = take_first(st);
        e->kind = st->lent->kind;
        e->sequence = st->lent->sequence;
        e->path = st->lent->path;
        e->type = st->lent->type;
        pthread_cond_broadcast(&st->cache->room);
    }
    if (!st->first)
        (void)!read(st->fd, &count, sizeof count); /* nothing waits: no longer readable */
    pthread_mutex_unlock(&st->cache->lock);
    event_free(old);
    if (st->lent && st->lent->item) {
        e->value.data = st->lent->item->data;
        e->value.size = st->lent->item->size;
        e->value.object = st->lent->item->object;
        e->value.hash = st->lent->item->hash;
        e->value.from = TIER_BUILT;
    }
    return e->kind != 0;
}

int tier_stream_next(tier_stream *st, int64_t timeout_ms, tier_event *e)
{
    int64_t until = o_now_ms() + timeout_ms;
    struct timespec nap = {.tv_nsec = POLL_MS * 1000000};
    tier_event own = TIER_INIT(tier_event);
    size_t size;

    if (!st || !e || e->struct_size < sizeof(size_t))
        return TIER_EINVAL;
    size = e->struct_size < sizeof own ? e->struct_size : sizeof own;
    for (;;) {
        bool got;

        poll_seen(st->cache);
        got = take(st, &own);
        own.struct_size = e->struct_size;
        memcpy(e, &own, size);
        if (got)
            return 0;
        if (timeout_ms >= 0 && o_now_ms() >= until)
            return TIER_ETIMEOUT;
        nanosleep(&nap, NULL);
    }
}

int tier_stream_close(tier_stream **st)
{
    tier_stream *own, **at;

    if (!st)
        return TIER_EINVAL;
    own = *st;
    if (!own)
        return 0;
    pthread_mutex_lock(&own->cache->lock);
    while (own->cache->publishing) /* one that waits for room walks the list of streams */
        pthread_cond_wait(&own->cache->room, &own->cache->lock);
    for (at = &own->cache->streams; *at != own; at = &(*at)->next)
        ;
    *at = own->next;
    pthread_mutex_unlock(&own->cache->lock);
    while (own->first)
        event_free(take_first(own));
    event_free(own->lent);
    close(own->fd);
    free(own->glob);
    free(own);
    *st = NULL;
    return 0;
}
