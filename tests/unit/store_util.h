/* store_util.h - what the tests of the store share: a directory of their own, values that tell their key and
 * version by themselves, a log that is counted. */
#ifndef STORE_UTIL_H
#define STORE_UTIL_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tiers/store.h"

struct place {
    struct tier__base base;
    char dir[256];
    unsigned warnings;
};

static inline void util_log(void *user, int level, const char *line)
{
    struct place *p = user;
    if (level <= TIER_LOG_WARNING)
        p->warnings++;
    if (getenv("TIER_TEST_LOG"))
        fprintf(stderr, "[%d] %s\n", level, line);
}

static inline void util_base(struct place *p)
{
    tier_options o = TIER_INIT(tier_options);
    o.user = p;
    o.log = util_log;
    tier__base_init(&p->base, &o);
}

static inline int util_setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    const char *tmp = getenv("TMPDIR");
    snprintf(p->dir, sizeof p->dir, "%s/tier-store-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    util_base(p);
    *state = p;
    return mkdtemp(p->dir) ? 0 : -1;
}

static inline void util_remove(const char *dir, int depth)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[1024];
        struct stat st;
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        if (snprintf(path, sizeof path, "%s/%s", dir, e->d_name) >= (int)sizeof path)
            continue;
        if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && depth < 4)
            util_remove(path, depth + 1);
        else
            unlink(path);
    }
    if (d)
        closedir(d);
    rmdir(dir);
}

static inline int util_teardown(void **state)
{
    struct place *p = *state;
    util_remove(p->dir, 0);
    free(p);
    return 0;
}

static inline tier__store *util_open(struct place *p, enum tier__sync sync)
{
    struct tier__store_options o = {.dir = p->dir, .sync = sync, .write_deadline_ms = 3000};
    tier__store *st = NULL;
    char why[256] = "";
    int rc = tier__store_open(&p->base, &o, &st, why, sizeof why);
    if (rc)
        fprintf(stderr, "open %s: %s: %s\n", p->dir, tier_errname(rc), why);
    return st;
}

static inline uint64_t util_next(uint64_t *seed) /* splitmix64 */
{
    uint64_t z = (*seed += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Bytes that follow from key and version, half of them easy to compress. */
static inline void util_fill(unsigned char *to, size_t size, uint64_t key, uint64_t version)
{
    uint64_t seed = key * 1000003 + version;
    for (size_t i = 0; i < size; i++) {
        if (i % 64 == 0)
            util_next(&seed);
        to[i] = (unsigned char)(version % 2 ? seed >> (i % 8 * 8) : seed + i / 16);
    }
    if (size >= 16) {
        memcpy(to, &key, 8);
        memcpy(to + 8, &version, 8);
    }
}

static inline size_t util_size(uint64_t key, uint64_t version)
{
    uint64_t seed = key * 31 + version;
    static const size_t most[] = {64, 64, 300, 300, 1000, 2100, 4090, 17000};
    size_t m = util_next(&seed) % 40 ? most[util_next(&seed) % 8] : 150000; /* some in chunks */
    return 16 + util_next(&seed) % m;
}

/* Whether value is what util_fill made for key and the version that it names. */
static inline bool util_right(const void *data, size_t size, uint64_t key, uint64_t *version)
{
    uint64_t k, v;
    if (size < 16)
        return false;
    memcpy(&k, data, 8);
    memcpy(&v, (const char *)data + 8, 8);
    if (k != key || util_size(k, v) != size)
        return false;
    unsigned char *want = malloc(size);
    util_fill(want, size, k, v);
    bool same = memcmp(want, data, size) == 0;
    free(want);
    *version = v;
    return same;
}

static inline int util_put(tier__write *w, enum tier__table t, uint64_t key, uint64_t version)
{
    size_t size = util_size(key, version);
    unsigned char *data = malloc(size);
    util_fill(data, size, key, version);
    int rc = tier__write_put(w, t, &key, sizeof key, data, size, version % 3 ? TIER__COMPRESS : 0);
    free(data);
    return rc;
}

/* Waits for a child; its exit status, or 1000 + signal. Kills it after seconds. */
static inline int util_wait(pid_t child, int seconds)
{
    int status;
    for (int i = 0; i < seconds * 100; i++) {
        if (waitpid(child, &status, WNOHANG) == child)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
        usleep(10000);
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return 2000;
}
#endif
