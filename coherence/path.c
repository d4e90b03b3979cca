/* path.c - key paths: what names a file in keys, and how the OS reaches it. */
#include "coherence/manager.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tiers/checksum.h"

enum {
    OS_PATH_MAX = 4000,  /* below PATH_MAX (4096 with its 0): longer ones are opened piece by piece */
    KEY_MAX = 256 * 1024 /* of a key path: nothing real is near it */
};
#define ROOT_NONE UINT32_MAX

/* Settled: a write after observed_at must change the stamps. Time stamps tick with the kernel's timer (1 to
 * 10 ms); file systems that keep whole seconds show it by zero nanoseconds, FAT keeps even ones. Git's racy
 * rule. */
enum { TICK_NS = 20 * 1000 * 1000 };
#define COARSE_NS INT64_C(2000000000)

bool tier__statid_settled(const struct tier__statid *id, int64_t observed_at)
{
    int64_t newest = id->mtime_ns > id->ctime_ns ? id->mtime_ns : id->ctime_ns;
    bool coarse = id->mtime_ns % 1000000000 == 0 && id->ctime_ns % 1000000000 == 0;
    return newest + (coarse ? COARSE_NS : TICK_NS) < observed_at;
}

bool tier__statid_equal(const struct tier__statid *a, const struct tier__statid *b)
{
    return a->ino == b->ino && a->dev == b->dev && a->size == b->size && a->mtime_ns == b->mtime_ns &&
           a->ctime_ns == b->ctime_ns && a->mode == b->mode;
}

void tier__statid_of(const void *struct_stat, struct tier__statid *id, char *kind)
{
    const struct stat *st = struct_stat;
    id->dev = st->st_dev;
    id->ino = st->st_ino;
    id->size = (uint64_t)st->st_size;
    id->mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
    id->ctime_ns = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec;
    id->mode = st->st_mode;
    id->links = (uint32_t)st->st_nlink;
    *kind = S_ISREG(st->st_mode) ? 'f' : S_ISDIR(st->st_mode) ? 'd' : 'o';
}

/* "a//./b/" -> "a/b"; the root of a path is "". ".." stays: what it means depends on links. */
static size_t fold(const char *in, char *out)
{
    size_t n = 0;
    if (*in == '/')
        out[n++] = '/';
    while (*in) {
        while (*in == '/')
            in++;
        size_t part = strcspn(in, "/");
        if (part == 0)
            break;
        if (!(part == 1 && *in == '.')) {
            if (n && out[n - 1] != '/')
                out[n++] = '/';
            memcpy(out + n, in, part);
            n += part;
        }
        in += part;
    }
    out[n] = 0;
    return n;
}

/* The root that "name:rel" names, and where rel begins; else the first root and 0. */
static uint32_t root_of(const tier_cache *c, const char *key, size_t *skip)
{
    const char *colon = strchr(key, ':');
    *skip = 0;
    if (key[0] == '/')
        return ROOT_NONE;
    if (colon) {
        size_t n = (size_t)(colon - key);
        for (size_t i = 0; i < c->root_count; i++)
            if (n && strlen(c->root[i].name) == n && memcmp(c->root[i].name, key, n) == 0) {
                *skip = n + 1;
                return (uint32_t)i;
            }
    }
    return 0;
}

bool tier__path_misread(const tier_cache *c, const char *below)
{
    size_t skip;
    root_of(c, below, &skip);
    return skip != 0;
}

static uint64_t path_hash(void *p)
{
    return ((struct tier__path *)p)->hash;
}
static void **path_chain(void *p)
{
    return (void **)&((struct tier__path *)p)->chain;
}

static struct tier__path *path_find(tier_cache *c, uint64_t hash, const char *key, size_t size)
{
    struct tier__path *p = c->paths.bucket_count ? c->paths.bucket[hash & (c->paths.bucket_count - 1)] : NULL;
    while (p && !(p->hash == hash && p->key_size == size && memcmp(p->key, key, size) == 0))
        p = p->chain;
    return p;
}

static struct tier__path *path_make(tier_cache *c, uint64_t hash, const char *key, size_t size, uint32_t root,
                                    size_t skip)
{
    struct tier__path *p = NULL, **by_id;
    if (!tier__table_grow(&c->base, &c->paths, path_hash, path_chain) ||
        !(p = tier__zalloc(&c->base, 1, sizeof *p + size + 1)))
        return NULL;
    if (!(by_id = tier__chunks_make(&c->base, &c->path_by_id, c->path_count))) {
        tier__free(&c->base, p);
        return NULL;
    }
    p->id = c->path_count++;
    *by_id = p;
    p->root = root;
    p->key_size = size;
    p->hash = hash;
    memcpy(p->key, key, size);
    p->rel = p->key + skip;
    void **at = &c->paths.bucket[hash & (c->paths.bucket_count - 1)];
    p->chain = *at;
    *at = p;
    c->paths.count++;
    return p;
}

/* How much of the key names the directory above: "a/b" is in "a", that in "", so is "./n:x" where n is a
 * root, "n:x" in "n:", "/a" in "/"; all but absolute ones are below "". SIZE_MAX: nothing is above. */
static size_t parent_size(const char *key, size_t size, size_t skip)
{
    bool absolute = size && *key == '/';
    if (size == 0 || (absolute && size == 1))
        return SIZE_MAX;
    if (size == skip)
        return 0;
    while (size > skip && key[size - 1] != '/')
        size--;
    if (size == skip || (size == 2 && *key == '.'))
        return skip;
    return absolute && size == 1 ? 1 : size - 1;
}

/* With those above it, so that an event finds what is below a directory, and the listings above a file. */
static struct tier__path *path_intern(tier_cache *c, const char *key, size_t size, uint32_t root, size_t skip,
                                      int *rc)
{
    struct tier__path *first = NULL, *below = NULL;
    *rc = 0;
    pthread_mutex_lock(&c->graph);
    while (size != SIZE_MAX && (!below || !below->parent)) {
        uint64_t hash = tier__checksum(key, size, 0);
        bool mine = size >= skip; /* "" above "name:" is of the first root */
        struct tier__path *p = path_find(c, hash, key, size);
        if (!p && !(p = path_make(c, hash, key, size, mine ? root : 0, mine ? skip : 0))) {
            *rc = TIER_ENOMEM;
            break;
        }
        if (below) {
            below->parent = p;
            below->sibling = p->child;
            p->child = below;
        }
        first = first ? first : p;
        below = p;
        size = parent_size(key, size, mine ? skip : 0);
    }
    pthread_mutex_unlock(&c->graph);
    return *rc ? NULL : first;
}

struct tier__path *tier__path_known(tier_cache *c, const char *key, bool above)
{
    size_t size = strlen(key), skip;
    root_of(c, key, &skip);
    struct tier__path *p;
    do {
        p = path_find(c, tier__checksum(key, size, 0), key, size);
        size = parent_size(key, size, size < skip ? 0 : skip);
    } while (!p && above && size != SIZE_MAX);
    return p;
}

struct tier__path *tier__path_of(tier_cache *c, const char *key, int *rc)
{
    char small[512], *buf = small;
    size_t size = strlen(key), skip;
    *rc = TIER_EINVAL;
    if (size > KEY_MAX)
        return NULL;
    if (size + 4 > sizeof small && !(buf = tier__alloc(&c->base, size + 4))) {
        *rc = TIER_ENOMEM;
        return NULL;
    }
    uint32_t root = root_of(c, key, &skip);
    memcpy(buf, key, skip);
    size_t n = skip + fold(key + skip + (skip ? strspn(key + skip, "/") : 0), buf + skip);
    if (!skip && tier__path_misread(c, buf)) {
        memmove(buf + 2, buf, n + 1);
        memcpy(buf, "./", 2);
        n += 2;
    }
    struct tier__path *p = path_intern(c, buf, n, root, skip, rc);
    if (buf != small)
        tier__free(&c->base, buf);
    return p;
}

struct tier__path *tier__path_join(tier_cache *c, const struct tier__path *dir, const char *below, int *rc)
{
    size_t skip = (size_t)(dir->rel - dir->key), a = dir->key_size, b = strlen(below);
    char small[512], *buf = small;
    if (a + b + 4 > sizeof small && !(buf = tier__alloc(&c->base, a + b + 4))) {
        *rc = TIER_ENOMEM;
        return NULL;
    }
    memcpy(buf, dir->key, a);
    if (a == 0 && tier__path_misread(c, below)) {
        memcpy(buf, "./", 2);
        a = 2;
    }
    if (a > skip && buf[a - 1] != '/')
        buf[a++] = '/';
    memcpy(buf + a, below, b + 1);
    struct tier__path *p = path_intern(c, buf, a + b, dir->root, skip, rc);
    if (buf != small)
        tier__free(&c->base, buf);
    return p;
}

bool tier__path_below(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    if (n == 0)
        return path[0] != '/';
    if (strncmp(path, dir, n) != 0)
        return false;
    return path[n] == 0 || path[n] == '/' || dir[n - 1] == ':' || dir[n - 1] == '/';
}

/* A directory descriptor and the rest of the path that the OS can take from there; *close: whether to close
 * it. */
static int path_at(tier_cache *c, const struct tier__path *p, const char **rest, bool *close_it)
{
    int fd = p->root == ROOT_NONE ? AT_FDCWD : c->root[p->root].fd;
    const char *at = *p->rel ? p->rel : ".";
    size_t left = strlen(at);
    *close_it = false;
    while (left > OS_PATH_MAX) {
        char piece[OS_PATH_MAX + 1];
        size_t n = OS_PATH_MAX;
        while (n && at[n] != '/')
            n--;
        if (n == 0)
            n = strcspn(at, "/"); /* a name too long: the OS shall say so */
        if (n > OS_PATH_MAX)
            n = OS_PATH_MAX;
        memcpy(piece, at, n);
        piece[n] = 0;
        int next = openat(fd, n ? piece : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        int error = errno;
        if (*close_it)
            close(fd);
        errno = error;
        if (next < 0)
            return -1;
        fd = next;
        *close_it = true;
        at += n + (at[n] == '/');
        left -= n + (at[-1] == '/');
    }
    *rest = *at ? at : ".";
    return fd;
}

static void path_done(int fd, bool close_it)
{
    int error = errno;
    if (close_it)
        close(fd);
    errno = error;
}

int tier__path_stat(tier_cache *c, const struct tier__path *p, bool nofollow, struct tier__statid *id,
                    char *kind)
{
    const char *rest;
    bool close_it;
    struct stat st;
    int fd = path_at(c, p, &rest, &close_it);
    if (fd == -1)
        return tier__errno_rc(errno);
    int failed = fstatat(fd, rest, &st, nofollow ? AT_SYMLINK_NOFOLLOW : 0);
    path_done(fd, close_it);
    if (failed)
        return tier__errno_rc(errno);
    tier__statid_of(&st, id, kind);
    if (nofollow && S_ISLNK(st.st_mode))
        *kind = 'l';
    return 0;
}

int tier__path_open(tier_cache *c, const struct tier__path *p, int flags)
{
    const char *rest;
    bool close_it;
    int dir = path_at(c, p, &rest, &close_it);
    if (dir == -1)
        return -1;
    int fd = openat(dir, rest, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    path_done(dir, close_it);
    return fd;
}

long tier__path_readlink(tier_cache *c, const struct tier__path *p, char *buf, size_t size)
{
    const char *rest;
    bool close_it;
    int dir = path_at(c, p, &rest, &close_it);
    if (dir == -1)
        return -1;
    long n = readlinkat(dir, rest, buf, size);
    path_done(dir, close_it);
    return n;
}

/* ---- the host's side: argv paths in, messages out */
int tier_path_in(const tier_cache *c, const char *os_path, char *buf, size_t size)
{
    if (!c || c->magic != TIER__CACHE_MAGIC || !os_path || !buf)
        return TIER_EINVAL;
    size_t n = strlen(os_path) + PATH_MAX + 4;
    char *full = malloc(n), *folded = malloc(n);
    int rc = full && folded ? 0 : TIER_ENOMEM;
    if (!rc && *os_path != '/') {
        char cwd[PATH_MAX];
        if (!getcwd(cwd, sizeof cwd))
            rc = tier__errno_rc(errno);
        else
            snprintf(full, n, "%s/%s", cwd, os_path);
    } else if (!rc) {
        snprintf(full, n, "%s", os_path);
    }
    if (!rc) {
        fold(full, folded);
        const char *out = folded;
        size_t best = 0, prefix = 0;
        const char *name = "";
        for (size_t i = 0; i < c->root_count; i++) { /* the longest root that holds it */
            size_t len = strlen(c->root[i].path);
            if (len >= best && len > 0 && tier__path_below(folded, c->root[i].path)) {
                best = len;
                prefix = len;
                name = c->root[i].name;
            }
        }
        out += prefix + (prefix > 1 && folded[prefix] == '/');
        const char *mark = *name ? ":" : tier__path_misread(c, out) ? "./" : "";
        int k = snprintf(buf, size, "%s%s%s", name, mark, out);
        rc = k < 0 || (size_t)k >= size ? TIER_EINVAL : 0;
    }
    free(full);
    free(folded);
    return rc;
}

/* Where what path has below the directory that it shares with cwd begins; *ups: how far cwd is below that. */
static size_t common_directory(const char *path, const char *cwd, size_t *ups)
{
    size_t i = 0, cut = 0;
    for (; path[i] && cwd[i] && path[i] == cwd[i]; i++)
        if (path[i] == '/')
            cut = i + 1;
    if (cwd[i] == 0 && (path[i] == '/' || path[i] == 0)) { /* cwd itself, or below */
        *ups = 0;
        return path[i] ? i + 1 : i;
    }
    *ups = 1;
    for (size_t k = path[i] == 0 && cwd[i] == '/' ? i + 1 : cut; cwd[k]; k++)
        *ups += cwd[k] == '/';
    return path[i] == 0 && cwd[i] == '/' ? i : cut;
}

int tier_path_out(const tier_cache *c, const char *path, char *buf, size_t size)
{
    if (!c || c->magic != TIER__CACHE_MAGIC || !path || !buf)
        return TIER_EINVAL;
    size_t skip;
    uint32_t root = root_of(c, path, &skip);
    char cwd[PATH_MAX];
    if (!getcwd(cwd, sizeof cwd))
        cwd[0] = 0;
    size_t n = strlen(path) + (root == ROOT_NONE ? 0 : strlen(c->root[root].path)) + 2;
    char *full = malloc(n);
    if (!full)
        return TIER_ENOMEM;
    if (root == ROOT_NONE)
        snprintf(full, n, "%s", path);
    else
        snprintf(full, n, "%s%s%s", c->root[root].path, path[skip] ? "/" : "", path + skip);
    size_t ups;
    const char *below = full + common_directory(full, cwd, &ups);
    bool shorter = *cwd && ups * 3 + strlen(below) < strlen(full);
    struct tier__buf out;
    tier__buf_init(&out, (struct tier__base *)&c->base);
    for (size_t i = 0; shorter && i < ups; i++)
        tier__buf_printf(&out, "../");
    tier__buf_printf(&out, "%s", shorter ? below : full);
    if (shorter && !*below && ups)
        out.data[--out.size] = 0; /* "../.." */
    int k = snprintf(buf, size, "%s", out.failed ? "" : *out.data ? (char *)out.data : ".");
    k = out.failed ? -1 : k;
    tier__buf_fini(&out);
    free(full);
    return k < 0 || (size_t)k >= size ? TIER_EINVAL : 0;
}
