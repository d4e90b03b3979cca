/* memo.c - what each request read, and which of these traces the library must still remember. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/model/model.h"

uint64_t hash_bytes(const void *data, size_t size, uint64_t h)
{
    const unsigned char *at = data;
    h = h * 0x9e3779b97f4a7c15u + size + 0x1234567;
    for (size_t i = 0; i < size; i++)
        h = (h ^ at[i]) * 0x100000001b3u;
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9u;
    return h ^ h >> 32;
}

void differ(struct model *m, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (!*m->failure) /* the first difference is the one to look at */
        vsnprintf(m->failure, sizeof m->failure, format, args);
    va_end(args);
}

/* ---- requests ---- */

static void request_key(const struct model_type_of *t, const tier_query *q, char *key, size_t size)
{
    char args[80];
    if (t->kind == T_LETTERS && !q->path)
        snprintf(args, sizeof args, "bytes %016llx",
                 (unsigned long long)hash_bytes(q->args, q->args_size, 5));
    else
        snprintf(args, sizeof args, "%.*s", (int)q->args_size, q->args ? (const char *)q->args : "");
    snprintf(key, size, "%s v%u c%d (%s) %s", type_name(t->kind), t->version, t->config,
             !q->path   ? ""
             : *q->path ? q->path
                        : ".",
             args); /* the root's name is "" or "." */
}

struct request *request_of(struct model *m, const struct model_type_of *t, const tier_query *q)
{
    char key[700];
    request_key(t, q, key, sizeof key);
    pthread_mutex_lock(&m->lock);
    struct request **at = &m->bucket[hash_bytes(key, strlen(key), 6) % BUCKETS], *r = *at;
    while (r && strcmp(r->key, key) != 0)
        r = r->next;
    if (!r) {
        size_t n = strlen(key) + 1, path = q->path ? strlen(q->path) + 1 : 1;
        r = calloc(1, sizeof *r);
        if (!r || !(r->key = malloc(n + path)))
            abort();
        memcpy(r->key, key, n);
        memcpy(r->key + n, q->path ? q->path : "", path);
        r->path = r->key + n;
        r->type = t->kind;
        r->next = *at;
        *at = r;
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

/* ---- the oracle's builds: one thread ---- */

void frame_begin(struct model *m, struct frame *f, struct request *r)
{
    memset(f, 0, sizeof *f);
    f->below = m->frame;
    f->request = r;
    m->frame = f;
}

void frame_end(struct model *m, struct frame *f, int rc)
{
    struct request *r = f->request;
    m->frame = f->below;
    free(f->seen);
    r->asked = true;
    r->once = f->once;
    r->remembered =
        rc == 0 || rc == TIER_EBUILD || rc == TIER_EABSENT || rc == TIER_EACCESS || rc == TIER_EKIND;
    r->now = f->now;
}

void note(struct side *s, const char *kind, const char *name, uint64_t value)
{
    struct frame *f = s->m->frame;
    if (!s->oracle || !f)
        return;
    uint64_t dep = hash_bytes(name, strlen(name), hash_bytes(kind, strlen(kind), 7));
    for (size_t i = 0; i < f->seen_count; i++)
        if (f->seen[i] == dep)
            return; /* the view froze it */
    uint64_t *grown = realloc(f->seen, (f->seen_count + 1) * sizeof *grown);
    if (!grown)
        abort();
    f->seen = grown;
    f->seen[f->seen_count++] = dep;
    uint64_t both[3] = {f->now.id, dep, value};
    f->now.id = hash_bytes(both, sizeof both, 8);
}

/* ---- what is remembered ---- */

static int find(const struct traces *t, uint64_t id, int64_t now_ms)
{
    for (unsigned i = 0; i < t->count; i++)
        if (t->at[i].id == id)
            return t->at[i].dead || (t->at[i].expires_ms && t->at[i].expires_ms <= now_ms) ? -1 : (int)i;
    return -1;
}

/* In front; the same id only once. true: another fell out at the end. */
static bool push(struct traces *t, struct trace new)
{
    unsigned at = 0;
    bool dropped = false;
    while (at < t->count && t->at[at].id != new.id)
        at++;
    if (at == REMEMBERED) {
        at--;
        dropped = true;
    } else if (at == t->count) {
        t->count++;
    }
    memmove(t->at + 1, t->at, at * sizeof *t->at);
    t->at[0] = new;
    return dropped;
}

static bool ever(const struct request *r, uint64_t id)
{
    for (size_t i = 0; i < r->ever_count; i++)
        if (r->ever[i] == id)
            return true;
    return false;
}

static void ever_add(struct request *r, uint64_t id)
{
    if (ever(r, id))
        return;
    uint64_t *grown = realloc(r->ever, (r->ever_count + 1) * sizeof *grown);
    if (!grown)
        abort();
    r->ever = grown;
    r->ever[r->ever_count++] = id;
}

static void each_request(struct model *m, void (*each)(struct model *m, struct request *r))
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct request *r = m->bucket[i]; r; r = r->next)
            each(m, r);
}

static void forget_view(struct model *m, struct request *r)
{
    (void)m;
    r->asked = r->once = r->remembered = false;
    r->runs = 0;
}

void memo_view_begin(struct model *m)
{
    each_request(m, forget_view);
}

static void remember(struct model *m, struct request *r, bool fresh)
{
    struct trace now = r->now;
    if (now.expires_ms)
        now.expires_ms += seam_now_ms();
    if (!fresh)
        now = r->memory.at[find(&r->memory, r->now.id, 0)];
    r->loose |= push(&r->memory, now);
    if (fresh && m->disk)
        r->loose |= push(&r->disk, now);
    ever_add(r, now.id);
}

/* The library's runs of one request against what it had to run. */
static void compare_runs(struct model *m, struct request *r)
{
    if (!r->asked) {
        if (r->runs)
            differ(m, "%s ran %u times: a run from scratch does not ask for it", r->key, r->runs);
        return;
    }
    m->compared++;
    bool known = r->remembered && !r->once && find(&r->memory, r->now.id, seam_now_ms()) >= 0;
    bool may_lose = r->loose || m->null_cache || (m->small && !m->disk) || r->type == T_REAL;
    bool may_keep = r->loose && ever(r, r->now.id);
    m->ran += r->runs;
    m->spared += r->runs == 0;
    if (r->loose)
        m->loose++;
    else
        m->strict++;
    if (!r->remembered) {
        if (!r->runs)
            differ(m, "%s did not run, and its failure is none that is remembered", r->key);
    } else if (r->runs > (r->once ? m->views : 1) && !may_lose) {
        differ(m, "%s ran %u times in %u views", r->key, r->runs, m->views);
    } else if (known && r->runs && !may_lose) {
        differ(m, "%s ran, and all its %s", r->key, "dependencies are as in a remembered run");
    } else if (!known && !r->runs && !may_keep) {
        differ(m, "%s did not run: nothing that is remembered has the dependencies of now (%u remembered)",
               r->key, r->memory.count);
    }
    if (r->remembered && !r->once && !m->null_cache)
        remember(m, r, r->runs || find(&r->memory, r->now.id, seam_now_ms()) < 0);
}

/* Another process ran it: what it committed may or may not be seen. */
static void compare_child(struct model *m, struct request *r)
{
    (void)m;
    if (r->asked && r->remembered && !r->once && !m->null_cache && m->disk) {
        r->loose = true;
        ever_add(r, r->now.id);
    }
}

void memo_view_end(struct model *m, bool child, unsigned views)
{
    m->views = views;
    each_request(m, child ? compare_child : compare_runs);
}

/* ---- what forgets ---- */

static void kill_traces(struct traces *t, bool tagged_only)
{
    for (unsigned i = 0; i < t->count; i++)
        t->at[i].dead |= !tagged_only || t->at[i].tagged;
}

static void kill(struct request *r, bool tagged_only)
{
    kill_traces(&r->memory, tagged_only);
    kill_traces(&r->disk, tagged_only);
    if (!tagged_only || r->type == T_TAGGED)
        r->ever_count = 0;
}

void memo_ban(struct model *m, const char *path)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct request *r = m->bucket[i]; r; r = r->next)
            if (!path || strcmp(r->path, path) == 0)
                kill(r, !path);
}

void memo_ban_all(struct model *m)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct request *r = m->bucket[i]; r; r = r->next)
            kill(r, false);
}

void memo_restart(struct model *m, int type)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct request *r = m->bucket[i]; r; r = r->next) {
            if (type >= 0 && r->type != type)
                continue;
            r->memory = r->disk;
            if (type >= 0 && !m->disk)
                r->loose = true; /* what stood above it may still vouch for it */
            else if (!m->disk)
                r->ever_count = 0;
        }
}

void memo_free(struct model *m)
{
    for (size_t i = 0; i < BUCKETS; i++)
        while (m->bucket[i]) {
            struct request *r = m->bucket[i];
            m->bucket[i] = r->next;
            free(r->key);
            free(r->ever);
            free(r);
        }
}
