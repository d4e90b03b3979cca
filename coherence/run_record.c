/* run_record.c - the recorder: see run_log.h. What a view sees waits beside the view, as a pair of numbers
 * each, until an outermost request of it comes to its end. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "coherence/run_log.h"
#include "tiers/append.h"
#include "tiers/checksum.h"

struct tier__run_log {
    struct tier__base *base;
    pthread_mutex_t lock; /* taken while no other lock is held */
    int fd;               /* -1: a write failed; nothing is recorded any more */
    pid_t pid;
    uint64_t run;
    struct tier__buf waiting, record;
};

/* An aid for a person at work, so trouble with it is told and nothing more. Without a store there would be
 * nothing to replay it from. */
void tier__run_open(tier_cache *c)
{
    const char *path = getenv("TIERKIT_RUN_LOG");
    int fd = -1;
    if (!path || !*path)
        return;
    if (!c->store) {
        tier__log(&c->base, TIER_LOG_WARNING, "no run log: TIERKIT_RUN_LOG=%s: this cache has no store",
                  path);
        return;
    }
    int rc = tier__append_open(path, &fd);
    struct tier__run_log *l = rc ? NULL : tier__zalloc(&c->base, 1, sizeof *l);
    if (!l) {
        if (fd >= 0)
            close(fd);
        tier__log(&c->base, TIER_LOG_WARNING, "no run log: TIERKIT_RUN_LOG=%s: %s", path,
                  tier_strerror(rc ? rc : TIER_ENOMEM));
        return;
    }
    struct {
        uint64_t ns, pid, at;
    } unlike = {(uint64_t)tier__now_ns(), (uint64_t)getpid(), (uint64_t)(uintptr_t)l};
    l->base = &c->base;
    l->fd = fd;
    l->pid = getpid();
    l->run = tier__checksum(&unlike, sizeof unlike, 0);
    pthread_mutex_init(&l->lock, NULL);
    tier__buf_init(&l->waiting, &c->base);
    tier__buf_init(&l->record, &c->base);
    c->run_log = l;
}

/* ---- writing; the log's lock is held */
static void stop(struct tier__run_log *l, const char *why)
{
    if (l->fd < 0)
        return;
    tier__log(l->base, TIER_LOG_WARNING, "the run log ends here: %s", why);
    close(l->fd);
    l->fd = -1;
}

static void write_out(struct tier__run_log *l)
{
    if (l->fd >= 0 && l->waiting.size && !tier__append(l->fd, l->waiting.data, l->waiting.size))
        stop(l, tier_strerror(tier__errno_rc(errno)));
    tier__buf_clear(&l->waiting);
}

static void begin_record(struct tier__run_log *l, uint64_t view)
{
    tier__buf_clear(&l->record);
    tier__buf_u64(&l->record, l->run);
    tier__buf_u64(&l->record, view);
}

static void end_record(struct tier__run_log *l, enum tier__run_what what)
{
    struct tier__buf *r = &l->record, *to = &l->waiting;
    if (r->size <= TIER__RUN_SIZE_MAX) {
        tier__buf_put(to, TIER__RUN_MAGIC, 8);
        tier__buf_u32(to, what);
        tier__buf_u32(to, (uint32_t)r->size);
        tier__buf_u64(to, tier__checksum(r->data, r->size, what));
        tier__buf_put(to, r->data, r->size);
    }
    if (r->failed || to->failed || r->size > TIER__RUN_SIZE_MAX)
        stop(l, "no memory for a record");
    else if (to->size >= TIER__RUN_WAITING)
        write_out(l);
}

/* ---- what a view sees */
void tier__run_begin(tier_session *s)
{
    tier_cache *c = s->cache;
    struct tier__run_view *r = tier__zalloc(&c->base, 1, sizeof *r);
    if (!r) {
        tier__log(&c->base, TIER_LOG_WARNING, "no memory to record session %llu", (unsigned long long)s->id);
        return;
    }
    r->log = c->run_log;
    r->id = s->id;
    s->view->recorded = r;
}

void tier__run_saw(struct tier__run_view *r, uint32_t dep, uint32_t version)
{
    if (r->count == r->capacity) {
        uint32_t capacity = r->capacity ? 2 * r->capacity : 64;
        struct tier__edge *edges = tier__resize(r->log->base, r->edges, capacity * sizeof *edges);
        if (!edges) {
            r->lost = true;
            return;
        }
        r->edges = edges;
        r->capacity = capacity;
    }
    r->edges[r->count++] = (struct tier__edge){dep, version};
}

static bool is_kept(tier_cache *c, const tier__node *n, const struct tier__variant *v)
{
    bool kept = false;
    pthread_mutex_lock(&c->graph);
    for (uint32_t i = 0; i < n->variant_count; i++)
        kept |= n->variant[i] == v;
    pthread_mutex_unlock(&c->graph);
    return kept;
}

static void put_label(struct tier__buf *b, struct tier__buf *label)
{
    tier__buf_bytes(b, label->data ? (char *)label->data : "", label->size);
    b->failed |= label->failed;
    tier__buf_fini(label);
}

static void put_result(tier__view *v, struct tier__dep *d, struct tier__buf *b, uint8_t *flags)
{
    static const tier_digest none;
    struct tier__buf label;
    tier_cache *c = v->cache;
    tier__node *n = tier__dep_node(c, d);
    pthread_mutex_lock(&v->lock);
    struct tier__slot *slot = tier__chunks_at(&v->slots, d->id);
    struct tier__variant *bound = slot ? slot->variant : NULL;
    pthread_mutex_unlock(&v->lock);
    tier__buf_put(b, bound ? bound->key.byte : none.byte, sizeof none.byte);
    tier__buf_init(&label, &c->base);
    if (n)
        tier__node_label(n, &label);
    put_label(b, &label);
    if (bound)
        *flags |= TIER__RUN_HAS_KEY;
    if (bound && n && is_kept(c, n, bound))
        *flags |= TIER__RUN_KEPT;
}

static void put_seen(tier__view *v, struct tier__edge e, uint32_t asked, struct tier__buf *b)
{
    struct tier__dep *d = tier__dep_at(v->cache, e.dep);
    uint8_t flags = d->path ? TIER__RUN_HAS_PATH : 0, unused;
    tier_digest value;
    tier__dep_value(v->cache, d, e.version, &value);
    tier__buf_u8(b, d->kind);
    size_t at = b->size;
    tier__buf_u8(b, flags);
    tier__buf_u32(b, d->fields);
    tier__buf_str(b, d->path ? d->path->key : NULL);
    tier__buf_u8(b, 0);
    tier__buf_bytes(b, d->name, d->name_size);
    tier__buf_put(b, value.byte, sizeof value.byte);
    if (d->kind == TIER__K_RESULT)
        put_result(v, d, b, e.dep == asked ? &unused : &flags);
    if (!b->failed)
        b->data[at] = flags;
}

static void put_begin(struct tier__run_log *l, const tier__view *v)
{
    begin_record(l, v->recorded->id);
    tier__buf_u64(&l->record, (uint64_t)v->clock_ms);
    tier__buf_u64(&l->record, v->bans);
    tier__buf_put(&l->record, v->cache->workspace.byte, sizeof v->cache->workspace.byte);
    tier__buf_str(&l->record, v->cache->app);
    end_record(l, TIER__RUN_BEGIN);
}

/* What the view has seen since the last time. asked: the result whose own record follows. */
static void put_all_seen(struct tier__run_log *l, tier__view *v, uint32_t asked)
{
    struct tier__run_view *r = v->recorded;
    pthread_mutex_lock(&v->lock);
    struct tier__edge *edges = r->edges;
    uint32_t count = r->count;
    bool lost = r->lost;
    r->edges = NULL;
    r->count = r->capacity = 0;
    pthread_mutex_unlock(&v->lock);
    if (lost)
        stop(l, "no memory for what a session saw");
    if (!r->begun)
        put_begin(l, v);
    r->begun = true;
    for (uint32_t i = 0; i < count && l->fd >= 0;) {
        begin_record(l, r->id);
        size_t at = l->record.size;
        uint32_t first = i;
        tier__buf_u32(&l->record, 0);
        while (i < count && l->record.size < TIER__RUN_WAITING && !l->record.failed)
            put_seen(v, edges[i++], asked, &l->record);
        for (int k = 0; k < 4 && !l->record.failed; k++)
            l->record.data[at + (size_t)k] = (unsigned char)((i - first) >> 8 * k);
        end_record(l, TIER__RUN_SEEN);
    }
    tier__free(l->base, edges);
}

void tier__run_asked(tier_session *s, const tier__node *n, const struct tier__variant *v, int rc,
                     uint32_t from)
{
    static const tier_digest none;
    struct tier__buf label;
    tier_cache *c = s->cache;
    struct tier__run_log *l = s->view->recorded->log;
    if (l != c->run_log || l->pid != getpid())
        return; /* a session from before a fork */
    uint8_t flags = v ? TIER__RUN_HAS_KEY : 0;
    if (v && from != TIER_STALE && is_kept(c, n, v))
        flags |= TIER__RUN_KEPT;
    tier__buf_init(&label, &c->base);
    tier__node_label(n, &label);
    pthread_mutex_lock(&l->lock);
    if (l->fd >= 0)
        put_all_seen(l, s->view, n->dep);
    begin_record(l, s->view->recorded->id);
    tier__buf_u64(&l->record, s->id);
    tier__buf_put(&l->record, n->identity.byte, sizeof n->identity.byte);
    put_label(&l->record, &label);
    tier__buf_u32(&l->record, (uint32_t)(v ? v->rc : rc));
    tier__buf_u32(&l->record, v ? from : 0);
    tier__buf_u8(&l->record, flags);
    tier__buf_put(&l->record, v ? v->key.byte : none.byte, sizeof none.byte);
    tier__buf_put(&l->record, v ? v->hash.byte : none.byte, sizeof none.byte);
    tier__buf_u32(&l->record, v ? v->cost_us : 0);
    tier__buf_str(&l->record, !v || from != TIER_BUILT ? ""
                              : v->cause.text          ? v->cause.text
                                                       : "nothing was remembered");
    if (l->fd >= 0)
        end_record(l, TIER__RUN_ASKED);
    pthread_mutex_unlock(&l->lock);
}

void tier__run_end(tier__view *v)
{
    struct tier__run_view *r = v->recorded;
    struct tier__run_log *l = r->log;
    if (l == v->cache->run_log && l->pid == getpid() && (r->begun || r->count)) {
        pthread_mutex_lock(&l->lock);
        if (l->fd >= 0)
            put_all_seen(l, v, UINT32_MAX);
        begin_record(l, r->id);
        tier__buf_u32(&l->record, atomic_load(&v->changed));
        if (l->fd >= 0)
            end_record(l, TIER__RUN_END);
        write_out(l);
        pthread_mutex_unlock(&l->lock);
    }
    tier__free(&v->cache->base, r->edges);
    tier__free(&v->cache->base, r);
    v->recorded = NULL;
}

void tier__run_close(struct tier__run_log **pl)
{
    struct tier__run_log *l = *pl;
    *pl = NULL;
    if (!l)
        return;
    if (l->pid == getpid())
        write_out(l);
    if (l->fd >= 0)
        close(l->fd);
    tier__buf_fini(&l->waiting);
    tier__buf_fini(&l->record);
    pthread_mutex_destroy(&l->lock);
    tier__free(l->base, l);
}
