/* sweep.c - see sweep.h. */
#include "coherence/sweep.h"
#include "coherence/closure.h"

enum {
    FORMAT = 1,
    AGES = 64,                /* of delta results, to find where keep.results ends */
    LOG_MOST = TIER__BAN_MAX, /* rows; more make a round due */
    LOG_BLIND = 4 * LOG_MOST, /* then also bans that cannot be read here are applied: they strike all */
    SHARE = 8,                /* of the retention time: how exact uses are */
    LOOK_EVERY = 32,          /* records between looks at the clock */
    HOUR_MS = 3600 * 1000
};

struct state { /* meta `sweep` */
    bool active;
    tier_digest position; /* the last request that was looked at */
    uint64_t bans;        /* of this round: applied when it ends */
    int64_t began_ms;     /* this round, or the last one */
    int64_t extra_ms;     /* what the last round found: delta results used before are beyond keep.results */
    uint32_t age[AGES];
};

struct sweep {
    tier_cache *c;
    tier__write *w;
    struct state s;
    uint64_t tail, counter;
    int64_t bucket_ms, unit_ms, until_ms;
    struct tier__retention keep;
    struct tier__uses uses;
    struct tier__buf runs;   /* that count: project, begin, end */
    struct tier__buf doomed; /* identities with something to drop */
    unsigned looked;
    bool more;
};

/* ---- rows of meta */
static int meta_get(tier__write *w, const char *name, struct tier__buf *b)
{
    return tier__write_get(w, TIER__META, name, strlen(name), b);
}

static uint64_t number_of(tier__write *w, const char *name, struct tier__buf *b)
{
    if (meta_get(w, name, b) || b->size != 8)
        return 0;
    struct tier__reader r = tier__reader_of(b->data, b->size);
    return tier__read_u64(&r);
}

static void state_read(tier__write *w, struct state *s, struct tier__buf *b)
{
    memset(s, 0, sizeof *s);
    s->extra_ms = INT64_MIN;
    if (meta_get(w, "sweep", b))
        return;
    struct tier__reader r = tier__reader_of(b->data, b->size);
    if (tier__read_u8(&r) != FORMAT)
        return;
    struct state n = {.active = tier__read_u8(&r)};
    const void *position = tier__read_raw(&r, sizeof n.position.byte);
    if (position)
        memcpy(n.position.byte, position, sizeof n.position.byte);
    n.bans = tier__read_u64(&r);
    n.began_ms = (int64_t)tier__read_u64(&r);
    n.extra_ms = (int64_t)tier__read_u64(&r);
    for (int i = 0; i < AGES; i++)
        n.age[i] = tier__read_u32(&r);
    if (!r.failed)
        *s = n;
}

static int state_write(tier__write *w, const struct state *s, struct tier__buf *b)
{
    tier__buf_clear(b);
    tier__buf_u8(b, FORMAT);
    tier__buf_u8(b, s->active);
    tier__buf_put(b, s->position.byte, sizeof s->position.byte);
    tier__buf_u64(b, s->bans);
    tier__buf_u64(b, (uint64_t)s->began_ms);
    tier__buf_u64(b, (uint64_t)s->extra_ms);
    for (int i = 0; i < AGES; i++)
        tier__buf_u32(b, s->age[i]);
    return b->failed ? TIER_ENOMEM : tier__write_put(w, TIER__META, "sweep", 5, b->data, b->size, 0);
}

uint64_t tier__sweep_mark(tier_cache *c, tier__write *w)
{
    struct state s;
    struct tier__buf b;
    tier__buf_init(&b, &c->base);
    uint64_t tail = number_of(w, "tail", &b);
    state_read(w, &s, &b);
    tier__buf_fini(&b);
    return s.active && s.bans > tail ? s.bans : tail;
}

uint64_t tier__log_tail(tier__store *store, struct tier__base *base)
{
    uint64_t tail = 0;
    struct tier__buf b;
    tier__buf_init(&b, base);
    if (tier__store_get(store, NULL, TIER__META, "tail", 4, &b) == 0 && b.size == 8) {
        struct tier__reader r = tier__reader_of(b.data, b.size);
        tail = tier__read_u64(&r);
    }
    tier__buf_fini(&b);
    return tail;
}

/* ---- runs: a cache that commits something is one, from its opening to its last commit. Of each project the
 * last keep.runs of them, the newest behind. A project is the path of a first root: in CI that is the same
 * where a workspace, with an inode, is another after each clone. Where it is not, each run is a project:
 * hence a most. */
enum { PROJECT = 16, RUN = PROJECT + 16, RUNS_MOST = 32 /* besides keep.runs */ };

static void run_put(struct tier__buf *b, const tier_cache *c, int64_t now_ms)
{
    const char *path = c->root_count ? c->root[0].path : "";
    tier_digest project;
    tier__digest_of(path, strlen(path), &project);
    tier__buf_put(b, project.byte, PROJECT);
    tier__buf_u64(b, (uint64_t)c->opened_ms);
    tier__buf_u64(b, (uint64_t)now_ms);
}

static bool same_run(const unsigned char *a, const unsigned char *b)
{
    return memcmp(a, b, RUN - 8) == 0;
}

static void runs_trim(struct tier__buf *b, size_t most)
{
    for (size_t at = 1; at < b->size;) {
        size_t after = 0; /* of its own project */
        for (size_t i = at + RUN; i < b->size; i += RUN)
            after += memcmp(b->data + i, b->data + at, PROJECT) == 0;
        if (after < most && b->size / RUN <= most + RUNS_MOST) {
            at += RUN;
            continue;
        }
        memmove(b->data + at, b->data + at + RUN, b->size - at - RUN);
        b->size -= RUN;
    }
}

/* Ours is put behind them, or has a later end by now. */
static int runs(struct sweep *p, struct tier__buf *b)
{
    tier_cache *c = p->c;
    struct tier__buf own;
    size_t at = 1;
    if (meta_get(p->w, "runs", b) || b->size % RUN != 1 || b->data[0] != FORMAT) {
        tier__buf_clear(b);
        tier__buf_u8(b, FORMAT);
    }
    tier__buf_init(&own, &c->base);
    run_put(&own, c, p->keep.now_ms);
    int rc = b->failed || own.failed ? TIER_ENOMEM : 0;
    while (!rc && at < b->size && !same_run(b->data + at, own.data))
        at += RUN;
    if (!rc && at < b->size) {
        memcpy(b->data + at, own.data, RUN);
    } else if (!rc) {
        tier__buf_put(b, own.data, own.size);
        runs_trim(b, (size_t)tier__profile_int(c->profile, TIER__KEY_KEEP_RUNS));
    }
    if (!rc)
        tier__buf_put(&p->runs, b->data + 1, b->size - 1);
    if (!rc && (b->failed || p->runs.failed))
        rc = TIER_ENOMEM;
    if (!rc)
        rc = tier__write_put(p->w, TIER__META, "runs", 4, b->data, b->size, 0);
    c->run_counted |= rc == 0;
    tier__buf_fini(&own);
    return rc;
}

/* Was it used in one of them? Uses are known to a bucket. */
static bool in_a_run(const struct sweep *p, int64_t used_ms)
{
    struct tier__reader r = tier__reader_of(p->runs.data, p->runs.size);
    while (r.at < r.end) {
        tier__read_raw(&r, PROJECT);
        int64_t begin = (int64_t)tier__read_u64(&r), end = (int64_t)tier__read_u64(&r);
        if (used_ms >= begin - p->bucket_ms && used_ms <= end)
            return true;
    }
    return false;
}

/* ---- uses */
struct touched {
    tier_cache *c;
    struct tier__buf keys;
    int64_t before_ms; /* notes older than that are made anew */
};

/* mark: they are about to be written. */
static void touched_list(struct touched *t, bool mark, int64_t now_ms)
{
    tier_cache *c = t->c;
    pthread_mutex_lock(&c->graph);
    for (size_t i = 0; i < c->nodes.bucket_count; i++)
        for (tier__node *n = c->nodes.bucket[i]; n; n = n->chain)
            for (uint32_t k = 0; k < n->variant_count; k++) {
                struct tier__variant *v = n->variant[k];
                if (v->created_ms >= t->before_ms || v->noted_ms >= t->before_ms ||
                    !atomic_load_explicit(&v->touched, memory_order_relaxed))
                    continue;
                tier__buf_put(&t->keys, v->key.byte, sizeof v->key.byte);
                if (mark) {
                    v->noted_ms = now_ms;
                    atomic_store_explicit(&v->touched, false, memory_order_relaxed);
                }
            }
    pthread_mutex_unlock(&c->graph);
}

/* w NULL: only whether there is something to write. */
static int uses_write(struct touched *t, tier__write *w, int64_t now_ms, bool *any)
{
    tier_cache *c = t->c;
    struct tier__buf b;
    int rc = 0;
    *any = false;
    tier__buf_init(&b, &c->base);
    for (size_t at = 0; at < t->keys.size && !rc && !(*any && !w); at += sizeof(tier_digest)) {
        const unsigned char *key = t->keys.data + at;
        int got = w ? tier__write_get(w, TIER__ACCESS, key, sizeof(tier_digest), &b)
                    : tier__store_get(c->store, NULL, TIER__ACCESS, key, sizeof(tier_digest), &b);
        struct tier__reader r = tier__reader_of(b.data, b.size);
        if (!got && (int64_t)tier__read_u64(&r) >= t->before_ms)
            continue;
        *any = true;
        tier__buf_clear(&b);
        tier__buf_u64(&b, (uint64_t)now_ms);
        if (w)
            rc = b.failed ? TIER_ENOMEM
                          : tier__write_put(w, TIER__ACCESS, key, sizeof(tier_digest), b.data, b.size, 0);
    }
    tier__buf_fini(&b);
    return rc;
}

/* How exact uses are kept: to an eighth of the retention time; to the run where runs alone decide. */
static int64_t bucket_of(const tier_cache *c)
{
    int64_t hours = tier__profile_int(c->profile, TIER__KEY_RETENTION_HOURS);
    int64_t share = hours * HOUR_MS / SHARE;
    return !hours ? 0 : share > HOUR_MS ? share : HOUR_MS;
}

static int64_t noted_before(const tier_cache *c, int64_t now_ms)
{
    int64_t bucket = bucket_of(c);
    return bucket ? now_ms - bucket : c->opened_ms;
}

/* ---- which bans */
/* Whether this process knows each ban from the tail to the last. World lock held. */
static bool heard(tier_cache *c, uint64_t tail, uint64_t last)
{
    bool all = c->ban_floor <= tail;
    for (uint64_t at = tail + 1; all && at <= last; at++) {
        bool known = false;
        for (size_t i = 0; i < c->ban_count && !known; i++)
            known = c->ban[i].sequence == at && (!tier__ban_blind(c, &c->ban[i]) || last - tail >= LOG_BLIND);
        all = known;
    }
    return all;
}

static bool knows(tier_cache *c, uint64_t tail, uint64_t last)
{
    pthread_mutex_lock(&c->world_lock);
    bool all = heard(c, tail, last);
    pthread_mutex_unlock(&c->world_lock);
    return all;
}

/* ---- what goes */
enum fate { STAYS, STRUCK, UNUSED };

static bool struck(const struct sweep *p, const struct tier__request_record *q,
                   const struct tier__variant_record *d)
{
    tier_cache *c = p->c;
    const struct tier__ban_result r = {.path = q->request.has_path ? q->request.path : NULL,
                                       .type = q->type,
                                       .tags = d->tags,
                                       .tags_size = d->tags_size,
                                       .created_ms = d->created_ms};
    bool strikes = false;
    pthread_mutex_lock(&c->world_lock);
    for (size_t i = 0; i < c->ban_count && !strikes; i++)
        strikes = c->ban[i].sequence <= p->s.bans && c->ban[i].sequence > d->born &&
                  tier__ban_strikes(c, &c->ban[i], &r);
    pthread_mutex_unlock(&c->world_lock);
    return strikes;
}

static enum fate fate_of(struct sweep *p, const struct tier__request_record *q,
                         const struct tier__variant_record *d, bool count)
{
    if (struck(p, q, d))
        return STRUCK;
    int64_t used = tier__uses_of(&p->uses, &d->key);
    if (d->created_ms > used)
        used = d->created_ms;
    bool delta = q->tier == TIER_DELTA;
    if (!in_a_run(p, used) && !tier__retained(&p->keep, delta, used))
        return UNUSED;
    int64_t age = used < p->s.began_ms ? (p->s.began_ms - used) / p->unit_ms : 0;
    if (delta && count)
        p->s.age[age < AGES ? age : AGES - 1]++;
    return STAYS;
}

static int look(void *user, const void *key, size_t key_size, const void *data, size_t size)
{
    struct sweep *p = user;
    struct tier__request_record q;
    struct tier__variant_record d;
    struct tier__reader r = tier__reader_of(data, size);
    if (key_size != sizeof(tier_digest))
        return 0;
    if (p->looked++ % LOOK_EVERY == LOOK_EVERY - 1 && tier__monotonic_ms() >= p->until_ms) {
        p->more = true;
        return TIER_END;
    }
    memcpy(p->s.position.byte, key, key_size);
    bool any = false;
    if (tier__get_node(&r, &q))
        for (uint8_t left = tier__read_u8(&r); left && tier__get_variant(&r, &d); left--)
            any |= fate_of(p, &q, &d, true) != STAYS;
    if (any)
        tier__buf_put(&p->doomed, key, key_size);
    return p->doomed.failed ? TIER_ENOMEM : 0;
}

/* A closure of that request which holds for the variant that goes. */
static int drop_closures(struct sweep *p, const unsigned char *identity, const tier_digest *variant)
{
    struct tier__buf b;
    unsigned char key[TIER__CLOSURE_KEY];
    int rc = 0;
    tier__buf_init(&b, &p->c->base);
    memcpy(key, p->c->workspace.byte, TIER__WORKSPACE_KEY);
    memcpy(key + TIER__WORKSPACE_KEY, identity, sizeof(tier_digest));
    key[TIER__CLOSURE_KEY - 1] = 'l';
    if (tier__write_get(p->w, TIER__CLOSURE, key, sizeof key, &b) == 0 && b.size > sizeof *variant &&
        memcmp(b.data + 1, variant->byte, sizeof *variant) == 0) {
        rc = tier__write_del(p->w, TIER__CLOSURE, key, sizeof key);
        key[TIER__CLOSURE_KEY - 1] = 'g';
        if (!rc)
            rc = tier__write_del(p->w, TIER__CLOSURE, key, sizeof key);
    }
    tier__buf_fini(&b);
    return rc;
}

/* A value that another request has, too (of a path-free type), was used when either was. What a ban strikes
 * may be the one and not the other; its value is written over when it is made again. */
static int drop_one(struct sweep *p, const unsigned char *identity, const struct tier__variant_record *d,
                    enum fate fate)
{
    int rc = fate == UNUSED ? tier__write_del(p->w, TIER__ACCESS, d->key.byte, sizeof d->key.byte) : 0;
    if (!rc && fate == UNUSED && d->blob_stored)
        rc = tier__write_del(p->w, TIER__BLOB, d->key.byte, sizeof d->key.byte);
    tier__count(&p->c->base, TIER__STORE_SWEPT, 1);
    return rc ? rc : drop_closures(p, identity, &d->key);
}

/* The record as it is in this transaction, without what goes. */
static int drop(struct sweep *p, const unsigned char *identity)
{
    struct tier__buf old, b;
    struct tier__request_record q;
    struct tier__variant_record d;
    uint8_t left = 0;
    int rc = 0;
    tier__buf_init(&old, &p->c->base);
    tier__buf_init(&b, &p->c->base);
    if (tier__write_get(p->w, TIER__VARIANT, identity, sizeof(tier_digest), &old) == 0) {
        struct tier__reader r = tier__reader_of(old.data, old.size);
        bool sound = tier__get_node(&r, &q);
        tier__buf_put(&b, old.data, (size_t)(r.at - old.data));
        size_t count_at = b.size;
        tier__buf_u8(&b, 0);
        for (uint8_t i = sound ? tier__read_u8(&r) : 0; i && !rc && tier__get_variant(&r, &d); i--) {
            enum fate fate = fate_of(p, &q, &d, false);
            if (fate != STAYS) {
                rc = drop_one(p, identity, &d, fate);
                continue;
            }
            tier__buf_put(&b, d.begin, d.size_on_disk);
            left++;
        }
        if (!rc && b.failed)
            rc = TIER_ENOMEM;
        if (!rc && left)
            b.data[count_at] = left;
        if (!rc && sound)
            rc = left ? tier__write_put(p->w, TIER__VARIANT, identity, sizeof(tier_digest), b.data, b.size, 0)
                      : tier__write_del(p->w, TIER__VARIANT, identity, sizeof(tier_digest));
    }
    tier__buf_fini(&old);
    tier__buf_fini(&b);
    return rc;
}

/* ---- a round */
static bool due(const struct sweep *p)
{
    int64_t hours = tier__profile_int(p->c->profile, TIER__KEY_RETENTION_HOURS);
    if (p->counter - p->tail >= LOG_MOST && knows(p->c, p->tail, p->counter))
        return true;
    if (!hours) /* runs decide: at the end of each */
        return p->c->closing && p->s.began_ms < p->c->opened_ms;
    int64_t quarter = hours * HOUR_MS / 4;
    return p->s.began_ms && p->keep.now_ms - p->s.began_ms >= (quarter > HOUR_MS ? quarter : HOUR_MS);
}

static void round_begin(struct sweep *p)
{
    p->s.active = true;
    memset(&p->s.position, 0, sizeof p->s.position);
    memset(p->s.age, 0, sizeof p->s.age);
    p->s.bans = knows(p->c, p->tail, p->counter) ? p->counter : p->tail;
    p->s.began_ms = p->keep.now_ms;
}

static int round_end(struct sweep *p, struct tier__buf *b)
{
    uint64_t most = (uint64_t)tier__profile_int(p->c->profile, TIER__KEY_KEEP_RESULTS), sum = 0;
    int rc = 0;
    p->s.active = false;
    p->s.extra_ms = INT64_MIN;
    for (int i = 0; most && i + 1 < AGES; i++)
        if ((sum += p->s.age[i]) >= most) {
            p->s.extra_ms = p->s.began_ms - (i + 1) * p->unit_ms;
            break;
        }
    for (uint64_t at = p->tail + 1; !rc && at <= p->s.bans; at++) {
        unsigned char key[8];
        tier__log_key(at, key);
        rc = tier__write_del(p->w, TIER__LOG, key, sizeof key);
    }
    if (rc || p->s.bans <= p->tail)
        return rc;
    tier__buf_clear(b);
    tier__buf_u64(b, p->s.bans);
    return b->failed ? TIER_ENOMEM : tier__write_put(p->w, TIER__META, "tail", 4, b->data, b->size, 0);
}

static int step(struct sweep *p, struct tier__buf *b)
{
    tier_cache *c = p->c;
    tier_digest none = {{0}};
    bool first = tier__digest_equal(&p->s.position, &none);
    int rc = tier__uses_load(&p->uses, &c->base, c->store, p->w);
    tier__buf_init(&p->doomed, &c->base);
    p->until_ms = tier__monotonic_ms() + TIER__SWEEP_STEP_MS;
    if (!rc)
        rc = tier__store_each_from(c->store, TIER__VARIANT, first ? NULL : p->s.position.byte,
                                   first ? 0 : sizeof p->s.position.byte, look, p);
    rc = rc == TIER_END ? 0 : rc;
    for (size_t at = 0; at < p->doomed.size && !rc; at += sizeof(tier_digest))
        rc = drop(p, p->doomed.data + at);
    if (!rc && !p->more)
        rc = round_end(p, b);
    tier__buf_fini(&p->doomed);
    tier__uses_fini(&p->uses);
    return rc;
}

static void limits(struct sweep *p, int64_t now_ms)
{
    const struct tier__profile *f = p->c->profile;
    int64_t hours = tier__profile_int(f, TIER__KEY_RETENTION_HOURS);
    p->bucket_ms = bucket_of(p->c);
    p->unit_ms = hours > AGES ? hours * HOUR_MS / AGES + 1 : HOUR_MS;
    p->keep.now_ms = now_ms;
    p->keep.unused_ms = hours ? now_ms - hours * HOUR_MS - p->bucket_ms : INT64_MAX;
    p->keep.extra_ms = tier__profile_int(f, TIER__KEY_KEEP_RESULTS) ? p->s.extra_ms : INT64_MIN;
}

int tier__sweep(tier_cache *c, tier__write *w, int64_t now_ms)
{
    struct sweep p = {.c = c, .w = w};
    struct touched t = {.c = c, .before_ms = noted_before(c, now_ms)};
    struct tier__buf b;
    bool any;
    tier__buf_init(&b, &c->base);
    tier__buf_init(&t.keys, &c->base);
    tier__buf_init(&p.runs, &c->base);
    state_read(w, &p.s, &b);
    p.tail = number_of(w, "tail", &b);
    p.counter = number_of(w, "sequence", &b);
    limits(&p, now_ms);
    bool fresh = !p.s.began_ms; /* the first commit of a store: nothing is old yet */
    int rc = runs(&p, &b);
    if (fresh)
        p.s.began_ms = now_ms;
    bool begin = !p.s.active && due(&p);
    if (begin)
        round_begin(&p);
    /* where bans of the round are not known here, others go on with it */
    bool go = p.s.active && (p.s.bans <= p.tail || knows(c, p.tail, p.s.bans));
    if (!rc && (go || c->closing)) {
        touched_list(&t, true, now_ms);
        rc = t.keys.failed ? TIER_ENOMEM : uses_write(&t, w, now_ms, &any);
    }
    if (!rc && go)
        rc = step(&p, &b);
    if (!rc && (go || fresh))
        rc = state_write(w, &p.s, &b);
    tier__buf_fini(&p.runs);
    tier__buf_fini(&t.keys);
    tier__buf_fini(&b);
    return rc == TIER_EBUSY ? 0 : rc; /* no snapshot to be had: the next one */
}

void tier__sweep_close(tier_cache *c, int64_t now_ms)
{
    struct touched t = {.c = c, .before_ms = noted_before(c, now_ms)};
    tier__write *w;
    bool any = false;
    if (!c->store || (c->flags & (TIER_READ_ONLY | TIER_NO_MEMORY)))
        return;
    c->closing = true;
    tier__buf_init(&t.keys, &c->base);
    /* where runs alone decide, one that committed nothing is none */
    if (c->run_counted || bucket_of(c)) {
        touched_list(&t, false, now_ms);
        uses_write(&t, NULL, now_ms, &any);
    }
    tier__buf_fini(&t.keys);
    if ((!any && !c->run_counted) || tier__write_begin(c->store, &w))
        return;
    if (tier__sweep(c, w, now_ms))
        tier__write_abort(&w);
    else
        tier__write_commit(&w); /* a miss of it is made up for by the next one */
}
