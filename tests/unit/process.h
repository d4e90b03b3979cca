/* process.h - what the tests of several processes on one cache share: a directory, a cache on it, children
 * with caches of their own, one line of text per event that all of them append to. */
#ifndef PROCESS_H
#define PROCESS_H
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "include/tierkit.h"

enum { CHILD_LIMIT_S = 60 };

struct world {
    char dir[256];
    tier_cache *c;
    int built, fail; /* for the types of a test */
    atomic_int warnings;
    bool fixed;       /* dir is another world's: never removed */
    uint32_t flags;   /* of tier_open */
    const char *root; /* below dir; NULL: "root" */
};

static inline void world_log(void *user, int level, const char *line)
{
    struct world *w = user;
    if (level <= TIER_LOG_WARNING)
        atomic_fetch_add(&w->warnings, 1);
    if (getenv("TIER_TEST_LOG"))
        fprintf(stderr, "[%d %d] %s\n", (int)getpid(), level, line);
}

static inline int world_setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    const char *tmp = getenv("TMPDIR");
    char path[320];
    snprintf(w->dir, sizeof w->dir, "%s/tier-process-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    *state = w;
    if (!mkdtemp(w->dir))
        return -1;
    snprintf(path, sizeof path, "%s/root", w->dir);
    return mkdir(path, 0700);
}

static inline int world_remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)st;
    (void)type;
    (void)f;
    return remove(path);
}

static inline int world_teardown(void **state)
{
    struct world *w = *state;
    int rc = tier_close(&w->c);
    nftw(w->dir, world_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(w);
    return rc;
}

static inline const char *world_root(const struct world *w)
{
    return w->root ? w->root : "root";
}

/* A cache on DIR/cache with the root DIR/root, or another; setting: one more, or NULL. Ends the process when
 * it fails. */
static inline void world_open(struct world *w, const char *setting)
{
    char cache[300], path[300];
    snprintf(cache, sizeof cache, "%s/cache", w->dir);
    snprintf(path, sizeof path, "%s/%s", w->dir, world_root(w));
    tier_root root = {"", path};
    const char *settings[] = {"profile=dev", "verify.sample=0", setting};
    tier_options o = TIER_INIT(tier_options);
    o.app = "process test";
    o.app_version = "1";
    o.dir = cache;
    o.roots = &root;
    o.root_count = 1;
    o.settings = settings;
    o.setting_count = setting ? 3 : 2;
    o.flags = w->flags;
    o.user = w;
    o.log = world_log;
    if (tier_open(&o, &w->c) || tier_cache_detail(w->c)) {
        fprintf(stderr, "no cache: %s\n", tier_cache_detail(w->c));
        _exit(99);
    }
}

static inline const tier_type *world_type(struct world *w, const char *name, uint32_t tier,
                                          int (*build)(tier_session *, const tier_query *, tier_out *,
                                                       void *))
{
    const tier_type *t = NULL;
    tier_type_def d = TIER_INIT(tier_type_def);
    d.name = name;
    d.tier = tier;
    d.build = build;
    d.user = w;
    if (tier_define(w->c, &d, &t))
        _exit(98);
    return t;
}

/* In a session of its own: what tier_get gives. */
static inline int world_get(struct world *w, const tier_type *t, const char *path)
{
    tier_session *s;
    tier_value v;
    tier_query q = {.type = t, .path = path};
    if (tier_begin(w->c, NULL, &s))
        return TIER_ENOMEM;
    int rc = tier_get(s, &q, &v);
    tier_end(&s);
    return rc;
}

/* Ends a child that leaves memory behind on purpose: a leak checker says nothing of an image that is gone. */
static inline _Noreturn void world_exit(int status)
{
    char text[32];
    snprintf(text, sizeof text, "exit %d", status);
    execl("/bin/sh", "sh", "-c", text, (char *)NULL);
    _exit(94);
}

/* The exit status of a child, 1000 + the signal that ended it, or -1 where it had to be killed. */
static inline int world_wait(pid_t child)
{
    int status;
    for (int i = 0; i < CHILD_LIMIT_S * 200; i++) {
        if (waitpid(child, &status, WNOHANG) == child)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
        usleep(5000);
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return -1;
}
#endif
