/* streams.c - the public streams and tier_sync: a subscriber of the hub, and the watcher pumped on the thread
 * that asks. */
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "coherence/watch.h"
#include "tiers/base/profile.h"
#include "tiers/stream.h"

enum {
    STREAM_MAGIC = 0x7374726d,
    PUMP_EVERY = 64, /* deliveries: a consumer that never finds its queue empty still empties the kernel's */
    BLIND_MS = 20    /* sleep at most so long where there is no descriptor to wake us */
};

struct tier_stream {
    uint32_t magic;
    tier_cache *cache;
    struct tier__base *base;
    tier__subscriber *subscriber;
    struct tier__watch *watch; /* the cache's; NULL: none when the stream was opened */
    int epoll;                 /* over subscriber and watcher; -1: none */
    uint32_t policy, delivered;
};

static bool is_stream(const tier_stream *st)
{
    return st && st->magic == STREAM_MAGIC;
}

static bool has_field(const tier_stream_options *o, size_t end)
{
    return o && o->struct_size >= end;
}
#define HAS(o, field) has_field(o, offsetof(tier_stream_options, field) + sizeof((o)->field))

static int read_options(tier_cache *c, const tier_stream_options *o, struct tier__subscriber_options *s)
{
    const struct tier__profile *p = tier__cache_profile(c);
    if (o && !o->struct_size)
        return TIER_EINVAL;
    s->glob = HAS(o, glob) ? o->glob : NULL;
    s->type = HAS(o, type) ? o->type : NULL;
    s->kinds = HAS(o, kinds) ? o->kinds : 0;
    s->policy = HAS(o, policy) ? o->policy : TIER_DROP_OLDEST;
    s->capacity = HAS(o, capacity) ? o->capacity : 0;
    s->late = HAS(o, replay_last) && o->replay_last;
    s->block_ms = HAS(o, block_ms) ? o->block_ms : 0;
    if (!s->capacity)
        s->capacity = (uint32_t)tier__profile_int(p, TIER__KEY_STREAM_CAPACITY);
    if (!s->block_ms)
        s->block_ms = tier__profile_int(p, TIER__KEY_STREAM_BLOCK_MS);
    return s->block_ms < 0 ? TIER_EINVAL : TIER_OK;
}

/* A stream that asks for changes is watched for, whatever the profile's default; only an expressly set
 * `watch = off` is obeyed. */
static int need_watch(tier_cache *c, uint32_t kinds)
{
    const struct tier__profile *p = tier__cache_profile(c);
    struct tier__watch *w;
    if ((kinds && !(kinds & TIER_CHANGED)) || tier__cache_watch(c))
        return TIER_OK;
    if (tier__profile_int(p, TIER__KEY_WATCH) == TIER__WATCH_OFF &&
        p->origin[TIER__KEY_WATCH].kind != TIER__FROM_DEFAULT) {
        tier__log(tier__cache_base(c), TIER_LOG_NOTICE, "watch = off: a stream will see no changes on disk");
        return TIER_OK;
    }
    int rc = tier__watch_open(c, NULL, &w);
    if (!rc)
        (void)tier__cache_set_watch(c, w);
    return rc;
}

static void offer(void *user, const tier_type *type, const char *path, tier__entry *e)
{
    tier__subscriber_offer(user, TIER_RESULT, path, type, e);
}

static bool epoll_add(int epoll, int fd)
{
    struct epoll_event e = {.events = EPOLLIN};
    return fd >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) == 0;
}

static void make_fd(tier_stream *st)
{
    int fds[2], n = st->watch ? tier__watch_fds(st->watch, fds) : 0;
    st->epoll = epoll_create1(EPOLL_CLOEXEC);
    bool whole = st->epoll >= 0 && epoll_add(st->epoll, tier__subscriber_fd(st->subscriber));
    for (int i = 0; whole && i < n; i++)
        whole = epoll_add(st->epoll, fds[i]);
    if (!whole && st->epoll >= 0) { /* one that would not wake for everything is worse than none */
        close(st->epoll);
        st->epoll = -1;
    }
}

int tier_stream_open(tier_cache *c, const tier_stream_options *o, tier_stream **out)
{
    struct tier__subscriber_options s = {0};
    if (!out)
        return TIER_EINVAL;
    *out = NULL;
    int rc = c ? read_options(c, o, &s) : TIER_EINVAL;
    if (rc)
        return rc;
    struct tier__base *base = tier__cache_base(c);
    tier_stream *st = tier__zalloc(base, 1, sizeof *st);
    if (!st)
        return TIER_ENOMEM;
    st->magic = STREAM_MAGIC;
    st->cache = c;
    st->base = base;
    st->policy = s.policy;
    st->epoll = -1;
    rc = tier__subscriber_open(tier__cache_hub(c), &s, &st->subscriber);
    if (!rc)
        rc = need_watch(c, s.kinds);
    if (rc) {
        tier_stream_close(&st);
        return rc;
    }
    st->watch = tier__cache_watch(c);
    if (s.late)
        tier__cache_each_result(c, s.type, offer, st->subscriber);
    make_fd(st);
    *out = st;
    return TIER_OK;
}

int tier_stream_fd(const tier_stream *st)
{
    return is_stream(st) ? st->epoll : -1;
}

/* Sleeps until something may be there. */
static void wait_for(tier_stream *st, int64_t left)
{
    struct pollfd p[3] = {{tier__subscriber_fd(st->subscriber), POLLIN, 0}};
    int fds[2], n = st->watch ? tier__watch_fds(st->watch, fds) : 0;
    for (int i = 0; i < n; i++)
        p[1 + i] = (struct pollfd){fds[i], POLLIN, 0};
    int64_t due = st->watch ? tier__watch_due(st->watch) : -1;
    if (due >= 0 && (left < 0 || due < left))
        left = due;
    if (p[0].fd < 0) {
        tier__subscriber_wait(st->subscriber, left >= 0 && left < BLIND_MS ? left : BLIND_MS);
        return;
    }
    (void)poll(p, (nfds_t)n + 1, left < 0 ? -1 : left > 3600000 ? 3600000 : (int)left);
}

static void pump(tier_stream *st)
{
    st->delivered = 0;
    if (!st->watch)
        return;
    tier__subscriber_pumping(st->subscriber, true);
    tier__watch_drain(st->watch);
    tier__subscriber_pumping(st->subscriber, false);
}

int tier_stream_next(tier_stream *st, int64_t timeout_ms, tier_event *e)
{
    if (!is_stream(st) || !e)
        return TIER_EINVAL;
    int64_t deadline = timeout_ms > 0 ? tier__monotonic_ms() + timeout_ms : 0;
    /* A TIER_BLOCK queue is filled only when empty: what does not fit waits in the kernel's queue. */
    if (st->policy != TIER_BLOCK && st->delivered >= PUMP_EVERY)
        pump(st);
    for (;;) {
        int rc = tier__subscriber_next(st->subscriber, e);
        if (rc == TIER_END) {
            pump(st);
            rc = tier__subscriber_next(st->subscriber, e);
        }
        st->delivered += rc == TIER_OK;
        if (rc != TIER_END)
            return rc;
        int64_t left = timeout_ms > 0 ? deadline - tier__monotonic_ms() : timeout_ms;
        if (left <= 0 && timeout_ms >= 0)
            return TIER_ETIMEOUT;
        wait_for(st, left);
    }
}

int tier_stream_close(tier_stream **pst)
{
    tier_stream *st = pst ? *pst : NULL;
    if (!st)
        return TIER_OK;
    if (!is_stream(st))
        return TIER_EINVAL;
    tier__subscriber_close(&st->subscriber);
    if (st->epoll >= 0)
        close(st->epoll);
    st->magic = 0;
    tier__free(st->base, st);
    *pst = NULL;
    return TIER_OK;
}

int tier_sync(tier_cache *c, int64_t timeout_ms)
{
    if (!c)
        return TIER_EINVAL;
    struct tier__watch *w = tier__cache_watch(c); /* without one, sessions look for themselves */
    return w ? tier__watch_sync(w, timeout_ms) : TIER_OK;
}
