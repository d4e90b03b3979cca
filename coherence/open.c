/* open.c - a cache from its options: profile, roots, memory, store; and back. */
#include "coherence/reverse.h"
#include "coherence/run_log.h"
#include "coherence/sweep.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tiers/stream.h"
#include "tiers/trace.h"
#include "coherence/watch.h"

enum { COMMIT_US = 2000 }; /* taken for a commit with a sync until one was measured */

static void set_detail(tier_cache *c, char **detail, const char *text)
{
    tier__free(&c->base, *detail);
    *detail = tier__strdup(&c->base, text);
}

static int refuse(const tier_options *o, const char *format, const char *value)
{
    if (o && o->log) {
        char line[512];
        struct tier__base base;
        snprintf(line, sizeof line, format, value);
        tier__base_init(&base, o);
        tier__log(&base, TIER_LOG_ERROR, "%s", line);
    }
    return TIER_EINVAL;
}

static int options_check(const tier_options *o)
{
    if (!o || o->struct_size < sizeof *o)
        return TIER_EINVAL;
    if (!o->app || !*o->app)
        return refuse(o, "tier_open: %s is required", "app");
    if (o->flags & ~(uint32_t)(TIER_NO_MEMORY | TIER_READ_ONLY | TIER_AUDIT))
        return refuse(o, "tier_open: unknown bit in %s", "flags");
    if ((o->root_count && !o->roots) || (o->setting_count && !o->settings))
        return refuse(o, "tier_open: %s is NULL and its count is not 0",
                      o->root_count ? "roots" : "settings");
    for (size_t i = 0; i < o->root_count; i++) {
        const char *name = o->roots[i].name ? o->roots[i].name : "";
        if (!o->roots[i].path)
            return refuse(o, "tier_open: root '%s' has no path", name);
        if (strpbrk(name, ":/") || (i > 0 && !*name))
            return refuse(o, "tier_open: root name '%s': only the first may be empty, none holds ':' or '/'",
                          name);
        for (size_t k = 0; k < i; k++)
            if (strcmp(name, o->roots[k].name ? o->roots[k].name : "") == 0)
                return refuse(o, "tier_open: two roots are named '%s'", name);
    }
    return 0;
}

static int root_open(tier_cache *c, const tier_options *o, struct tier__root *r, const char *name,
                     const char *path)
{
    struct stat st;
    r->fd = -1;
    char *real = realpath(path, NULL);
    if (!real)
        return errno == ENOMEM ? TIER_ENOMEM : refuse(o, "tier_open: root %s is not there", path);
    r->path = tier__strdup(&c->base, real);
    r->name = tier__strdup(&c->base, name ? name : "");
    free(real);
    if (!r->path || !r->name)
        return TIER_ENOMEM;
    r->fd = open(r->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (r->fd < 0 || fstat(r->fd, &st))
        return refuse(o, "tier_open: root %s is not a directory", path);
    r->dev = r->now_dev = st.st_dev;
    r->ino = r->now_ino = st.st_ino;
    return 0;
}

static int roots_open(tier_cache *c, const tier_options *o)
{
    size_t n = o->root_count ? o->root_count : 1;
    if (!(c->root = tier__zalloc(&c->base, n, sizeof *c->root)))
        return TIER_ENOMEM;
    for (size_t i = 0; i < n; i++)
        c->root[i].fd = -1;
    c->root_count = n;
    for (size_t i = 0; i < n; i++) {
        int rc = o->root_count ? root_open(c, o, &c->root[i], o->roots[i].name, o->roots[i].path)
                               : root_open(c, o, &c->root[i], "", ".");
        if (rc)
            return rc;
    }
    struct tier__hasher h;
    tier__hash_begin(&h, "tierkit workspace");
    tier__hash_str(&h, c->root[0].path);
    tier__hash_u64(&h, c->root[0].dev);
    tier__hash_u64(&h, c->root[0].ino);
    tier__hash_end(&h, &c->workspace);
    return 0;
}

static int profile_open(tier_cache *c, const tier_options *o)
{
    char error[512] = "";
    struct tier__profile_request r = {.dir = o->dir,
                                      .name = o->profile,
                                      .settings = o->settings,
                                      .setting_count = o->setting_count,
                                      .root = c->root[0].path};
    int rc = tier__profile_resolve(&c->base, &r, &c->profile, error, sizeof error);
    if (!rc)
        c->keep_variants = (uint32_t)tier__profile_int(c->profile, TIER__KEY_KEEP_VARIANTS);
    return rc == TIER_EINVAL ? refuse(o, "tier_open: %s", error) : rc;
}

/* Why a store is not even tried. */
static const char *no_store(const tier_cache *c)
{
    const struct tier__profile *p = c->profile;
    if (!*p->dir && p->dir_given)
        return "memory only, as asked";
    if (!*p->dir)
        return "no cache directory: none was given, and TIERKIT_DIR, XDG_CACHE_HOME and HOME are not set";
    if (tier__profile_int(p, TIER__KEY_STORE_PERSIST) == TIER__PERSIST_AUTO)
        return "this profile keeps a store only where a directory is given: set TIERKIT_DIR, or the dir "
               "option";
    return "store.persist is off";
}

/* What was kept in a directory that cannot be written answers all the same. */
static int store_read(tier_cache *c)
{
    char detail[512];
    c->store_options.read_only = true;
    if (tier__store_open(&c->base, &c->store_options, &c->store, NULL, 0)) {
        c->store_options.read_only = false;
        return TIER_EACCESS; /* for the first reason */
    }
    c->flags |= TIER_READ_ONLY;
    snprintf(detail, sizeof detail, "%s cannot be written: reading only, nothing new is kept",
             c->profile->dir);
    set_detail(c, &c->detail, detail);
    tier__log(&c->base, TIER_LOG_WARNING, "%s", detail);
    return 0;
}

/* Where it cannot be had, the cache works without and says why. */
static void store_open(tier_cache *c)
{
    char why[512] = "";
    const struct tier__profile *p = c->profile;
    if (c->flags & TIER_NO_MEMORY) {
        set_detail(c, &c->detail, "the null cache: nothing is kept past a session");
        return;
    }
    if (!tier__profile_persists(p)) {
        set_detail(c, &c->detail, no_store(c));
        return;
    }
    static const enum tier__sync sync[] = {TIER__SYNC_NONE, TIER__SYNC_RELAXED, TIER__SYNC_FULL};
    c->store_options = (struct tier__store_options){
        .dir = p->dir,
        .read_only = c->flags & TIER_READ_ONLY,
        .sync = sync[tier__profile_int(p, TIER__KEY_STORE_SYNC)],
        .max_bytes = (uint64_t)tier__profile_int(p, TIER__KEY_STORE_MAX_BYTES),
        .write_deadline_ms = tier__profile_int(p, TIER__KEY_STORE_LOCK_MS),
        .compress_level = (int)tier__profile_int(p, TIER__KEY_STORE_COMPRESS_LEVEL)};
    int rc = tier__store_open(&c->base, &c->store_options, &c->store, why, sizeof why);
    if (rc == TIER_EACCESS && !c->store_options.read_only)
        rc = store_read(c);
    if (rc) {
        c->store = NULL;
        set_detail(c, &c->detail, *why ? why : tier_strerror(rc));
        tier__log(&c->base, TIER_LOG_WARNING, "no store: %s; going on in memory",
                  *why ? why : tier_strerror(rc));
        return;
    }
    c->last_news = 0;
    c->epoch = 1;
    tier__news(c);
    c->log_known = true; /* nothing was in memory: what is cut off by now concerns us not */
}

/* An aid for a person at work, so trouble with it is told and nothing more. */
static void trace_open(tier_cache *c, tier__recorder **r)
{
    const char *path = getenv("TIERKIT_TRACE");
    int rc = path && *path && !(c->flags & TIER_NO_MEMORY) ? tier__recorder_open(&c->base, path, r) : 0;
    if (rc)
        tier__log(&c->base, TIER_LOG_WARNING, "no trace: TIERKIT_TRACE=%s: %s", path, tier_strerror(rc));
}

static int memory_open(tier_cache *c)
{
    const struct tier__profile *p = c->profile;
    struct tier__memory_options m = {.policy = tier__profile_word(p, TIER__KEY_POLICY)};
    m.budget[TIER_FILE] = (uint64_t)tier__profile_int(p, TIER__KEY_MEMORY_FILE);
    m.budget[TIER_TREE] = (uint64_t)tier__profile_int(p, TIER__KEY_MEMORY_TREE);
    m.budget[TIER_DELTA] = (uint64_t)tier__profile_int(p, TIER__KEY_MEMORY_DELTA);
    trace_open(c, &m.recorder);
    struct tier__governor_options g = {.trim = tier__profile_ratio(p, TIER__KEY_PRESSURE_TRIM),
                                       .hard = tier__profile_ratio(p, TIER__KEY_PRESSURE_HARD),
                                       .keep = tier__profile_ratio(p, TIER__KEY_PRESSURE_KEEP),
                                       .sizing =
                                           tier__profile_int(p, TIER__KEY_MONITOR_AUTO_SIZE) == TIER__ON,
                                       .root = ""};
    memcpy(g.budget, m.budget, sizeof g.budget);
    tier__governor_init(&c->governor, &g);
    int rc = tier__memory_create(&c->base, &m, &c->memory);
    if (rc)
        tier__recorder_close(&m.recorder);
    return rc;
}

static void locks_init(tier_cache *c)
{
    pthread_condattr_t monotonic;
    pthread_mutex_init(&c->flight, NULL);
    pthread_mutex_init(&c->graph, NULL);
    pthread_mutex_init(&c->world_lock, NULL);
    pthread_mutex_init(&c->flushing, NULL);
    pthread_mutex_init(&c->reading, NULL);
    pthread_mutex_init(&c->marking, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&c->flight_done, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static void graph_init(tier_cache *c)
{
    c->dep_by_id.element = sizeof(struct tier__dep);
    c->path_by_id.element = sizeof(struct tier__path *);
    c->unkept.element = sizeof(char *);
    c->pending_tail = &c->pending;
}

static void cache_free(tier_cache *c)
{
    tier__watch_close(&c->watch);
    tier__run_close(&c->run_log);
    tier__pending_drop(c);
    tier__reverse_free(c);
    if (c->memory)
        tier__memory_clear(c->memory); /* objects go before their types */
    while (c->types) {
        tier_type *t = c->types;
        c->types = t->next;
        tier__type_free(t);
    }
    tier__graph_fini(c);
    tier__free(&c->base, c->store_map);
    tier__bans_free(c);
    tier__world_unref(c, c->world);
    tier__hub_destroy(&c->hub);
    tier__free(&c->base, c->superseded.item);
    if (c->memory)
        tier__governor_fini(&c->governor);
    tier__memory_destroy(&c->memory);
    tier__store_close(&c->store);
    for (size_t i = 0; i < c->root_count; i++) {
        if (c->root[i].fd >= 0)
            close(c->root[i].fd);
        tier__free(&c->base, c->root[i].name);
        tier__free(&c->base, c->root[i].path);
    }
    tier__free(&c->base, c->root);
    tier__profile_free(&c->profile);
    tier__free(&c->base, c->app);
    tier__free(&c->base, c->app_version);
    tier__free(&c->base, c->detail);
    tier__free(&c->base, c->close_detail);
    pthread_mutex_destroy(&c->flight);
    pthread_mutex_destroy(&c->graph);
    pthread_mutex_destroy(&c->world_lock);
    pthread_mutex_destroy(&c->flushing);
    pthread_mutex_destroy(&c->reading);
    pthread_mutex_destroy(&c->marking);
    pthread_cond_destroy(&c->flight_done);
    struct tier__base base = c->base;
    c->magic = 0;
    base.realloc(base.user, c, 0);
}

int tier_open(const tier_options *o, tier_cache **out)
{
    if (!out)
        return TIER_EINVAL;
    *out = NULL;
    int rc = options_check(o);
    if (rc)
        return rc;
    struct tier__base base;
    tier__base_init(&base, o);
    tier_cache *c = base.realloc(base.user, NULL, sizeof *c);
    if (!c)
        return TIER_ENOMEM;
    memset(c, 0, sizeof *c);
    tier__base_init(&c->base, o);
    c->magic = TIER__CACHE_MAGIC;
    c->flags = o->flags;
    c->pid = getpid();
    c->opened_ms = tier__now_ms();
    c->audit_run = (uint64_t)tier__now_ns();
    atomic_init(&c->commit_us, COMMIT_US);
    atomic_init(&c->unpublished_us, 0);
    locks_init(c);
    graph_init(c);
    c->app = tier__strdup(&c->base, o->app);
    c->app_version = o->app_version ? tier__strdup(&c->base, o->app_version) : NULL;
    if (!c->app || (o->app_version && !c->app_version))
        rc = TIER_ENOMEM;
    if (!rc && tier__digest_init())
        rc = TIER_ENOMEM; /* no hash, no keys: as good as no memory */
    if (!rc)
        rc = roots_open(c, o);
    if (!rc)
        rc = profile_open(c, o);
    if (!rc)
        rc = memory_open(c);
    if (!rc)
        rc = tier__hub_create(&c->base, &c->hub);
    if (rc) {
        cache_free(c);
        return rc;
    }
    store_open(c);
    tier__run_open(c);
    *out = c;
    return 0;
}

/* What a child inherited may have been caught in the middle of anything by the fork, under locks that nobody
 * will release: types, profile and roots are left; what was known is let go of, not freed. */
static void let_go(tier_cache *c)
{
    c->pid = getpid();
    locks_init(c);
    c->nodes = c->deps = c->paths = (struct tier__table_of){0};
    c->dep_by_id = c->path_by_id = (struct tier__chunks){.chunk = NULL};
    c->unkept = (struct tier__chunks){.chunk = NULL};
    c->dep_count = c->path_count = 0;
    c->store_map = NULL;
    c->store_map_size = 0;
    c->reverse = NULL;
    c->mark = NULL;
    c->mark_capacity = 0;
    c->pending = NULL;
    memset(c->pending_by_key, 0, sizeof c->pending_by_key);
    c->pending_count = 0;
    c->pending_bytes = 0;
    c->sessions = NULL;
    c->superseded = (struct tier__superseded){0};
    c->ban_count = 0; /* the store's log has them */
    c->ban_sequence = c->ban_floor = c->log_read = c->ban_unlogged = 0;
    c->log_known = c->run_counted = c->unheard = false;
    c->replaced = c->replaced_stored = c->replaced_at = c->replaced_epoch = c->replaced_apart = 0;
    c->detached = 0;
    c->detached_scope.loans = NULL;
    c->watch_asked = false;
    c->hub = NULL;
    c->memory = NULL;
    c->flight_waiters = 0;
    c->running = NULL;
    graph_init(c);
}

int tier_close(tier_cache **cp)
{
    if (!cp || !*cp)
        return 0;
    tier_cache *c = *cp;
    if (c->magic != TIER__CACHE_MAGIC)
        return TIER_EINVAL;
    if (c->pid == getpid()) {
        struct tier__buf text;
        tier__buf_init(&text, &c->base);
        bool busy = tier__live_text(c, &text);
        if (busy)
            set_detail(c, &c->close_detail,
                       text.data && !text.failed ? (char *)text.data : "values are lent");
        tier__buf_fini(&text);
        if (busy)
            return TIER_EBUSY;
        tier__pending_flush(c, true);
        tier__sweep_close(c, tier__now_ms());
    } else {
        let_go(c);
        c->world = NULL;
    }
    cache_free(c);
    *cp = NULL;
    return 0;
}

const char *tier_cache_detail(const tier_cache *c)
{
    if (!c || c->magic != TIER__CACHE_MAGIC)
        return NULL;
    return c->close_detail ? c->close_detail : c->detail;
}

/* A child begins anew. The parent's store is neither used nor closed here. */
void tier__cache_after_fork(tier_cache *c)
{
    if (c->pid == getpid())
        return;
    let_go(c);
    c->watch = NULL;
    c->run_log = NULL; /* what waited in it is the parent's to write */
    if (memory_open(c) || tier__hub_create(&c->base, &c->hub))
        c->flags |= TIER_NO_MEMORY;
    tier__store_forget(c->store);
    c->store = NULL;
    store_open(c);
    tier__run_open(c);
}

/* ---- what neighbours see */
struct tier__base *tier__cache_base(tier_cache *c)
{
    return &c->base;
}

struct tier__hub *tier__cache_hub(tier_cache *c)
{
    return c->hub;
}

struct tier__watch *tier__cache_watch(tier_cache *c)
{
    pthread_mutex_lock(&c->world_lock);
    struct tier__watch *w = c->watch;
    pthread_mutex_unlock(&c->world_lock);
    return w;
}

struct tier__watch *tier__cache_set_watch(tier_cache *c, struct tier__watch *w)
{
    pthread_mutex_lock(&c->world_lock);
    struct tier__watch *loser = c->watch ? w : NULL;
    if (!c->watch)
        c->watch = w;
    w = c->watch;
    pthread_mutex_unlock(&c->world_lock);
    tier__watch_close(&loser);
    return w;
}

const char *tier__cache_dir(tier_cache *c)
{
    return c->store ? tier__store_path(c->store) : NULL;
}

const struct tier__profile *tier__cache_profile(tier_cache *c)
{
    return c->profile;
}

size_t tier__cache_root_count(tier_cache *c)
{
    return c->root_count;
}

const char *tier__cache_root_path(tier_cache *c, size_t i)
{
    return c->root[i].path;
}

bool tier__cache_root_is(tier_cache *c, size_t i, uint64_t dev, uint64_t ino)
{
    return c->root[i].dev == dev && c->root[i].ino == ino;
}

char *tier__cache_key_path(tier_cache *c, size_t i, const char *rel)
{
    const char *name = c->root[i].name;
    const char *mark = *name ? ":" : tier__path_misread(c, rel) ? "./" : "";
    size_t n = strlen(name) + strlen(rel) + 3;
    char *key = tier__alloc(&c->base, n);
    if (key)
        snprintf(key, n, "%s%s%s", name, mark, rel);
    return key;
}
