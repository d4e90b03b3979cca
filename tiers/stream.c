/* stream.c - the hub and its subscribers: filters, order, waiting. See stream.h for the locks. */
#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include "tiers/base/glob.h"
#include "tiers/stream.h"
#include "tiers/stream_queue.h"

enum {
    ALL_KINDS = TIER_CHANGED | TIER_INVALIDATED | TIER_RESULT | TIER_GAP,
    TYPED_KINDS = TIER_INVALIDATED | TIER_RESULT,
    HUB_MAGIC = 0x68756220,
    SUBSCRIBER_MAGIC = 0x73756273
};

struct tier__hub {
    uint32_t magic;
    struct tier__base *base;
    pthread_mutex_t publish, list;
    tier__subscriber *first;        /* list */
    uint64_t sequence;              /* list */
    atomic_uint subscribers, kinds; /* written under list */
};

struct tier__subscriber {
    uint32_t magic;
    atomic_uint refs; /* one of the list, one of a publisher that waits for it */
    tier__hub *hub;
    tier__subscriber *next, *prev; /* hub->list */
    char *glob;
    const tier_type *type;
    uint32_t kinds;
    int64_t block_ms;
    int fd;
    bool pending; /* hub->publish: the event being published is still to be queued here */

    pthread_mutex_t lock; /* all below */
    pthread_cond_t space, news;
    struct tier__queue queue;
    struct tier__happening *current; /* lent to the consumer */
    bool signaled;                   /* fd is readable */
    bool stalled;                    /* a wait expired, and nothing was taken since */
    bool closed, pumping, type_gone;
    pthread_t pumper;
};

static void cond_init(pthread_cond_t *c)
{
    pthread_condattr_t a;
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_cond_init(c, &a);
    pthread_condattr_destroy(&a);
}

/* False when deadline_ms (monotonic; < 0: none) has passed. */
static bool cond_wait(pthread_cond_t *c, pthread_mutex_t *m, int64_t deadline_ms)
{
    struct timespec t = {.tv_sec = deadline_ms / 1000, .tv_nsec = deadline_ms % 1000 * 1000000};
    if (deadline_ms < 0)
        return pthread_cond_wait(c, m) == 0;
    return pthread_cond_timedwait(c, m, &t) != ETIMEDOUT;
}

int tier__hub_create(struct tier__base *base, tier__hub **out)
{
    tier__hub *hub = tier__zalloc(base, 1, sizeof *hub);
    *out = hub;
    if (!hub)
        return TIER_ENOMEM;
    hub->magic = HUB_MAGIC;
    hub->base = base;
    pthread_mutex_init(&hub->publish, NULL);
    pthread_mutex_init(&hub->list, NULL);
    return TIER_OK;
}

void tier__hub_destroy(tier__hub **out)
{
    tier__hub *hub = *out;
    if (!hub)
        return;
    pthread_mutex_destroy(&hub->publish);
    pthread_mutex_destroy(&hub->list);
    hub->magic = 0;
    tier__free(hub->base, hub);
    *out = NULL;
}

unsigned tier__hub_subscribers(const tier__hub *hub)
{
    return atomic_load_explicit(&hub->subscribers, memory_order_acquire);
}

bool tier__hub_wants(const tier__hub *hub, uint32_t kinds)
{
    return (atomic_load_explicit(&hub->kinds, memory_order_relaxed) & kinds) != 0;
}

/* ---- queueing; s->lock held ---- */
static void signal_state(tier__subscriber *s)
{
    bool ready = !tier__queue_empty(&s->queue);
    if (ready)
        pthread_cond_broadcast(&s->news);
    if (ready == s->signaled || s->fd < 0)
        return;
    uint64_t one = 1;
    ssize_t n = ready ? write(s->fd, &one, sizeof one) : read(s->fd, &one, sizeof one);
    if (n == sizeof one)
        s->signaled = ready;
}

static bool takes(const tier__subscriber *s, const struct tier__happening *h)
{
    if (!(s->kinds & h->kind))
        return false;
    if ((h->kind & TYPED_KINDS) && ((s->type && s->type != h->type) || s->type_gone))
        return false;
    return !s->glob || (h->has_path && tier__glob_match(s->glob, h->path));
}

static void lose(tier__subscriber *s, uint64_t sequence, uint32_t lost, bool unknown)
{
    tier__count(s->hub->base, TIER__STREAM_LOST, lost);
    tier__queue_lose(&s->queue, (struct tier__loss){sequence, lost, unknown});
}

/* False: the queue is full, of policy TIER_BLOCK, and may be waited for. */
static bool put(tier__subscriber *s, struct tier__happening *h, bool may_wait, struct tier__happening **dead)
{
    uint32_t overtaken = 0;
    bool own = s->pumping && pthread_equal(s->pumper, pthread_self());
    enum tier__put done = s->closed ? TIER__QUEUED : tier__queue_put(&s->queue, h, &overtaken, dead);
    if (done == TIER__FULL && may_wait && !own && !s->stalled && s->block_ms > 0)
        return false;
    if (done == TIER__FULL)
        lose(s, h->sequence, 1, false);
    else if (done == TIER__LOST)
        overtaken++;
    else if (!s->closed)
        tier__count(s->hub->base, TIER__STREAM_EVENTS, 1);
    if (overtaken)
        tier__count(s->hub->base, TIER__STREAM_LOST, overtaken);
    signal_state(s);
    return true;
}

static void unref(tier__subscriber *s)
{
    if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (s->fd >= 0)
        close(s->fd);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->space);
    pthread_cond_destroy(&s->news);
    tier__free(s->hub->base, s->glob);
    s->magic = 0;
    tier__free(s->hub->base, s);
}

/* ---- publishing ---- */
/* All that can take h at once do; the others are pending. hub->publish is held. */
static bool offer_all(tier__hub *hub, struct tier__happening *h, struct tier__happening **dead)
{
    bool pending = false;
    pthread_mutex_lock(&hub->list);
    h->sequence = ++hub->sequence;
    for (tier__subscriber *s = hub->first; s; s = s->next) {
        pthread_mutex_lock(&s->lock);
        s->pending = takes(s, h) && !put(s, h, true, dead);
        pending |= s->pending;
        pthread_mutex_unlock(&s->lock);
    }
    pthread_mutex_unlock(&hub->list);
    return pending;
}

/* One that is pending, referenced. */
static tier__subscriber *next_pending(tier__hub *hub)
{
    pthread_mutex_lock(&hub->list);
    tier__subscriber *s = hub->first;
    while (s && !s->pending)
        s = s->next;
    if (s) {
        s->pending = false;
        atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&hub->list);
    return s;
}

static void wait_and_put(tier__subscriber *s, struct tier__happening *h, int64_t began,
                         struct tier__happening **dead)
{
    pthread_mutex_lock(&s->lock);
    while (!s->closed && !s->stalled && !put(s, h, true, dead)) {
        if (!cond_wait(&s->space, &s->lock, began + s->block_ms))
            s->stalled = true; /* the last attempt, below */
    }
    if (s->stalled && !s->closed)
        (void)put(s, h, false, dead);
    pthread_mutex_unlock(&s->lock);
}

void tier__hub_publish(tier__hub *hub, uint32_t kind, const char *path, const tier_type *type,
                       tier__entry *entry)
{
    if (!tier__hub_wants(hub, kind))
        return;
    int64_t began = tier__monotonic_ms();
    struct tier__happening *dead = NULL, *h = tier__happening_new(hub->base, kind, path, type, entry);
    if (!h) {
        tier__hub_gap(hub);
        return;
    }
    pthread_mutex_lock(&hub->publish);
    if (offer_all(hub, h, &dead)) {
        for (tier__subscriber *s; (s = next_pending(hub));) {
            wait_and_put(s, h, began, &dead);
            unref(s);
        }
    }
    pthread_mutex_unlock(&hub->publish);
    tier__happening_drop(h, &dead);
    tier__happening_bury(hub->base, dead);
}

void tier__hub_gap(tier__hub *hub)
{
    if (!tier__hub_subscribers(hub))
        return;
    pthread_mutex_lock(&hub->publish);
    pthread_mutex_lock(&hub->list);
    uint64_t sequence = ++hub->sequence;
    for (tier__subscriber *s = hub->first; s; s = s->next) {
        pthread_mutex_lock(&s->lock);
        lose(s, sequence, 0, true);
        signal_state(s);
        pthread_mutex_unlock(&s->lock);
    }
    pthread_mutex_unlock(&hub->list);
    pthread_mutex_unlock(&hub->publish);
}

unsigned tier__hub_drop_type(tier__hub *hub, const tier_type *type)
{
    struct tier__happening *dead = NULL;
    unsigned lent = 0;
    pthread_mutex_lock(&hub->publish);
    pthread_mutex_lock(&hub->list);
    for (tier__subscriber *s = hub->first; s; s = s->next) {
        pthread_mutex_lock(&s->lock);
        uint32_t lost = tier__queue_drop_type(&s->queue, type, &dead);
        tier__count(hub->base, TIER__STREAM_LOST, lost);
        lent += s->current && s->current->type == type;
        s->type_gone |= s->type == type;
        signal_state(s);
        pthread_mutex_unlock(&s->lock);
    }
    pthread_mutex_unlock(&hub->list);
    pthread_mutex_unlock(&hub->publish);
    tier__happening_bury(hub->base, dead);
    return lent;
}

/* ---- subscribing ---- */
static void count_kinds(tier__hub *hub) /* list held */
{
    unsigned n = 0, kinds = 0;
    for (const tier__subscriber *s = hub->first; s; s = s->next, n++)
        kinds |= s->kinds;
    atomic_store_explicit(&hub->kinds, kinds, memory_order_relaxed);
    atomic_store_explicit(&hub->subscribers, n, memory_order_release);
}

int tier__subscriber_open(tier__hub *hub, const struct tier__subscriber_options *o, tier__subscriber **out)
{
    *out = NULL;
    if ((o->kinds & ~(uint32_t)ALL_KINDS) || o->policy > TIER_BLOCK || !o->capacity)
        return TIER_EINVAL;
    tier__subscriber *s = tier__zalloc(hub->base, 1, sizeof *s);
    if (!s)
        return TIER_ENOMEM;
    if (o->glob && !(s->glob = tier__strdup(hub->base, o->glob))) {
        tier__free(hub->base, s);
        return TIER_ENOMEM;
    }
    s->magic = SUBSCRIBER_MAGIC;
    atomic_init(&s->refs, 1);
    s->hub = hub;
    s->type = o->type;
    s->kinds = o->kinds ? o->kinds : ALL_KINDS;
    s->block_ms = o->block_ms;
    s->stalled = o->late;
    s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&s->lock, NULL);
    cond_init(&s->space);
    cond_init(&s->news);
    tier__queue_init(&s->queue, hub->base, o->capacity, o->policy);
    pthread_mutex_lock(&hub->list);
    s->next = hub->first;
    if (s->next)
        s->next->prev = s;
    hub->first = s;
    count_kinds(hub);
    pthread_mutex_unlock(&hub->list);
    *out = s;
    return TIER_OK;
}

void tier__subscriber_close(tier__subscriber **out)
{
    tier__subscriber *s = *out;
    struct tier__happening *dead = NULL;
    if (!s)
        return;
    *out = NULL;
    struct tier__base *base = s->hub->base;
    pthread_mutex_lock(&s->hub->list);
    *(s->prev ? &s->prev->next : &s->hub->first) = s->next;
    if (s->next)
        s->next->prev = s->prev;
    count_kinds(s->hub);
    pthread_mutex_unlock(&s->hub->list);
    pthread_mutex_lock(&s->lock);
    s->closed = true;
    tier__queue_fini(&s->queue, &dead);
    tier__happening_drop(s->current, &dead);
    s->current = NULL;
    pthread_cond_broadcast(&s->space);
    pthread_mutex_unlock(&s->lock);
    unref(s);
    tier__happening_bury(base, dead);
}

int tier__subscriber_fd(const tier__subscriber *s)
{
    return s->fd;
}

void tier__subscriber_offer(tier__subscriber *s, uint32_t kind, const char *path, const tier_type *type,
                            tier__entry *entry)
{
    struct tier__happening *dead = NULL;
    struct tier__happening *h = tier__happening_new(s->hub->base, kind, path, type, entry);
    pthread_mutex_lock(&s->hub->list); /* until s->lock is held: sequence and place agree */
    uint64_t sequence = ++s->hub->sequence;
    pthread_mutex_lock(&s->lock);
    pthread_mutex_unlock(&s->hub->list);
    if (!h) {
        lose(s, sequence, 1, false);
        signal_state(s);
    } else {
        h->sequence = sequence;
        if (takes(s, h))
            (void)put(s, h, false, &dead);
    }
    pthread_mutex_unlock(&s->lock);
    tier__happening_drop(h, &dead);
    tier__happening_bury(s->hub->base, dead);
}

/* ---- consuming ---- */
static tier_event event_of(const struct tier__happening *h)
{
    tier_event e = {
        .kind = h->kind, .sequence = h->sequence, .path = h->has_path ? h->path : NULL, .type = h->type};
    if (h->entry) {
        e.value.data = h->entry->data;
        e.value.size = h->entry->data ? h->entry->size : 0;
        e.value.object = tier__entry_object(h->entry);
        e.value.hash = *tier__entry_hash(h->entry);
        e.value.from = TIER_HIT;
    }
    return e;
}

int tier__subscriber_next(tier__subscriber *s, tier_event *out)
{
    struct tier__happening *dead = NULL;
    struct tier__loss loss;
    tier_event e;
    int rc = TIER_OK;
    if (!out->struct_size)
        return TIER_EINVAL;
    pthread_mutex_lock(&s->lock);
    tier__happening_drop(s->current, &dead);
    s->current = tier__queue_take(&s->queue, &loss);
    if (s->current)
        e = event_of(s->current);
    else if (tier__loss_any(&loss))
        e = (tier_event){.kind = TIER_GAP, .lost = loss.unknown ? 0 : loss.lost, .sequence = loss.sequence};
    else
        rc = TIER_END;
    if (!rc)
        s->stalled = false;
    signal_state(s);
    pthread_cond_broadcast(&s->space);
    pthread_mutex_unlock(&s->lock);
    tier__happening_bury(s->hub->base, dead);
    if (!rc) {
        e.struct_size = out->struct_size;
        memcpy(out, &e, e.struct_size < sizeof e ? e.struct_size : sizeof e);
    }
    return rc;
}

void tier__subscriber_wait(tier__subscriber *s, int64_t timeout_ms)
{
    int64_t deadline = timeout_ms < 0 ? -1 : tier__monotonic_ms() + timeout_ms;
    pthread_mutex_lock(&s->lock);
    while (tier__queue_empty(&s->queue) && cond_wait(&s->news, &s->lock, deadline))
        continue;
    pthread_mutex_unlock(&s->lock);
}

void tier__subscriber_pumping(tier__subscriber *s, bool on)
{
    pthread_mutex_lock(&s->lock);
    s->pumper = pthread_self();
    s->pumping = on;
    pthread_mutex_unlock(&s->lock);
}
