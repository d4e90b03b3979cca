/* fake_doors.c - see fake_doors.h. */
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>
#include "coherence/watch_private.h"
#include "tests/unit/fake_doors.h"

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
    return c->watch;
}
struct tier__watch *tier__cache_set_watch(tier_cache *c, struct tier__watch *w)
{
    return c->watch = w;
}
const char *tier__cache_dir(tier_cache *c)
{
    return c->dir[0] ? c->dir : NULL;
}
const struct tier__profile *tier__cache_profile(tier_cache *c)
{
    return c->profile;
}
size_t tier__cache_root_count(tier_cache *c)
{
    return c->roots;
}
const char *tier__cache_root_path(tier_cache *c, size_t i)
{
    return c->root[i];
}
char *tier__cache_key_path(tier_cache *c, size_t i, const char *rel)
{
    char *path = tier__alloc(&c->base, strlen(rel) + 8);
    if (path)
        sprintf(path, "%s%s", i ? "named:" : "", rel);
    return path;
}
bool tier__cache_root_is(tier_cache *c, size_t i, uint64_t dev, uint64_t ino)
{
    (void)c;
    (void)i;
    (void)dev;
    (void)ino;
    return true;
}
void tier__cache_changed(tier_cache *c, const char *path)
{
    pthread_mutex_lock(&c->lock);
    if (!path)
        c->told_all++;
    else if (c->told_count < PATHS)
        c->told[c->told_count++] = strdup(path);
    pthread_mutex_unlock(&c->lock);
    if (path)
        tier__hub_publish(c->hub, TIER_CHANGED, path, NULL, NULL);
    else
        tier__hub_gap(c->hub);
}
void tier__cache_each_result(tier_cache *c, const tier_type *type,
                             void (*each)(void *user, const tier_type *type, const char *path,
                                          tier__entry *e),
                             void *user)
{
    if (c->result) {
        each(user, type, "a.c", c->result);
        each(user, type, "b.h", c->result);
    }
}

void forget_told(tier_cache *c)
{
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->told_count; i++)
        free(c->told[i]);
    c->told_count = c->told_all = 0;
    pthread_mutex_unlock(&c->lock);
}

bool was_told(tier_cache *c, const char *path)
{
    bool told = false;
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->told_count && !told; i++)
        told = !strcmp(c->told[i], path);
    pthread_mutex_unlock(&c->lock);
    return told;
}

static void take_log(void *user, int level, const char *line)
{
    tier_cache *c = user;
    (void)level;
    strncat(c->log, line, sizeof c->log - strlen(c->log) - 1);
}

void command(const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (system(text))
        fail_msg("failed: %s", text);
}

static const char *no_env(void *user, const char *name)
{
    (void)user;
    (void)name;
    return NULL;
}

/* The roots: root/ and, as "named:", root/gen when nested. The cache directory lies in the first. */
int open_cache(void **state)
{
    tier_cache *c = calloc(1, sizeof *c);
    const char *tmp = getenv("TMPDIR");
    char name[64], error[256];
    snprintf(name, sizeof name, "%s/tierkit-XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    assert_non_null(mkdtemp(name));
    snprintf(c->root[0], sizeof c->root[0], "%s/root", name);
    snprintf(c->root[1], sizeof c->root[1], "%s/root/gen", name);
    snprintf(c->dir, sizeof c->dir, "%s/root/cache", name);
    command("mkdir -p '%s/root/cache' '%s/root/gen' '%s/root/.git' '%s/root/d/e'", name, name, name, name);
    c->roots = 1;
    pthread_mutex_init(&c->lock, NULL);
    tier_options o = TIER_INIT(tier_options);
    o.user = c;
    o.log = take_log;
    tier__base_init(&c->base, &o);
    assert_int_equal(tier__hub_create(&c->base, &c->hub), 0);
    struct tier__profile_request r = {.name = "dev", .env = no_env};
    assert_int_equal(tier__profile_resolve(&c->base, &r, &c->profile, error, sizeof error), 0);
    *state = c;
    return 0;
}

int close_cache(void **state)
{
    tier_cache *c = *state;
    tier__watch_close(&c->watch);
    tier__hub_destroy(&c->hub);
    tier__profile_free(&c->profile);
    forget_told(c);
    c->root[0][strlen(c->root[0]) - 5] = 0;
    command("rm -rf '%s'", c->root[0]);
    free(c);
    return 0;
}

static int says_nfs(const char *path, struct statfs *out)
{
    (void)path;
    memset(out, 0, sizeof *out);
    out->f_type = NFS_SUPER_MAGIC;
    return 0;
}

void start(tier_cache *c, bool polling)
{
    static const struct tier__watch_os network = {read, inotify_add_watch, says_nfs};
    assert_int_equal(tier__watch_open(c, polling ? &network : NULL, &c->watch), 0);
    assert_int_equal(tier__watch_polling(c->watch), polling);
}

void settle(tier_cache *c)
{
    assert_int_equal(tier_sync(c, 60000), 0);
}

void expect(tier_cache *c, const char *path)
{
    if (!was_told(c, path) && !c->told_all)
        fail_msg("'%s' was not told", path);
}

void put(tier_cache *c, const char *path, const char *text)
{
    char full[256];
    snprintf(full, sizeof full, "%s/%s", c->root[0], path);
    int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}
