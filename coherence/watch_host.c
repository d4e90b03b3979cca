/* watch_host.c - what the machine says about watching: file systems that tell, limits, mounts, and whether
 * version control is at work. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>
#include "coherence/watch_private.h"
#include "tiers/checksum.h"

enum {
    PARENTS_MAX = 64,  /* directories above a root where its repository may be */
    GITFILE_MAX = 4096 /* "gitdir: PATH" */
};

static bool is_one_of(const struct tier__watch *w, const char *path, const unsigned long *types, size_t n)
{
    struct statfs s;
    if (w->os->statfs(path, &s))
        return false;
    for (size_t i = 0; i < n; i++) {
        if ((unsigned long)s.f_type == types[i])
            return true;
    }
    return false;
}

/* Other hosts and user-space daemons change these without inotify being told. */
bool tier__watch_blind(const struct tier__watch *w, const char *path)
{
    static const unsigned long types[] = {
        NFS_SUPER_MAGIC, SMB_SUPER_MAGIC,  CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC, V9FS_MAGIC,
        AFS_SUPER_MAGIC, CODA_SUPER_MAGIC, CEPH_SUPER_MAGIC, FUSE_SUPER_MAGIC, AFS_FS_MAGIC};
    return is_one_of(w, path, types, sizeof types / sizeof *types);
}

/* To be told too little costs an event; to be told too little and not to look costs an answer. So these are
 * named one by one. */
bool tier__watch_local(const struct tier__watch *w, const char *path)
{
    static const unsigned long types[] = {
        EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC,       BTRFS_SUPER_MAGIC,    F2FS_SUPER_MAGIC, TMPFS_MAGIC,
        RAMFS_MAGIC,      OVERLAYFS_SUPER_MAGIC, 0x2fc12fc1 /* ZFS */, 0xca451a4e /* bcachefs */};
    return is_one_of(w, path, types, sizeof types / sizeof *types);
}

long tier__watch_limit(const char *name)
{
    char path[96], text[32];
    snprintf(path, sizeof path, "/proc/sys/fs/inotify/%s", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return -1;
    text[n] = 0;
    return strtol(text, NULL, 10);
}

/* ---- mounts: a file system that is put over a directory hides it, and inotify is silent about it ---- */
static bool below_a_root(const struct tier__watch *w, const char *path)
{
    for (size_t i = 0; i < w->root_count; i++) {
        const char *root = tier__cache_root_path(w->cache, i);
        size_t n = strlen(root);
        if (!strncmp(path, root, n) && (!path[n] || path[n] == '/' || n == 1))
            return true;
    }
    return false;
}

/* "\040" and its like -> what they stand for, in place. */
static void unescape(char *s)
{
    char *to = s;
    while (*s) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
            *to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
            s += 4;
        } else {
            *to++ = *s++;
        }
    }
    *to = 0;
}

/* Of the lines about mounts below a root: id, parent id, device, root, mount point... */
static uint64_t sum_lines(const struct tier__watch *w, char *text)
{
    uint64_t sum = 0;
    char *rest, *fields;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        uint64_t whole = tier__checksum(line, strlen(line), sum);
        char *field = strtok_r(line, " ", &fields);
        for (int i = 0; field && i < 4; i++)
            field = strtok_r(NULL, " ", &fields);
        if (!field)
            continue;
        unescape(field);
        if (below_a_root(w, field))
            sum = whole;
    }
    return sum;
}

static uint64_t sum_mounts(const struct tier__watch *w)
{
    struct tier__buf b;
    uint64_t sum = ~UINT64_C(0);
    tier__buf_init(&b, w->base);
    ssize_t n = lseek(w->mounts, 0, SEEK_SET);
    for (unsigned char *at; n >= 0 && (at = tier__buf_space(&b, 16384)); b.size += (size_t)n) {
        n = read(w->mounts, at, 16384);
        if (n <= 0)
            break;
    }
    tier__buf_u8(&b, 0);
    if (n == 0 && !b.failed)
        sum = sum_lines(w, (char *)b.data);
    tier__buf_fini(&b);
    return sum;
}

void tier__watch_mounts_open(struct tier__watch *w)
{
    w->mounts = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    if (w->mounts >= 0)
        w->mounts_sum = sum_mounts(w);
}

bool tier__watch_mounts_moved(struct tier__watch *w)
{
    uint64_t sum = sum_mounts(w);
    bool moved = sum != w->mounts_sum || sum == ~UINT64_C(0);
    w->mounts_sum = sum;
    return moved;
}

/* ---- version control ---- */
/* A work tree's .git is a file that says where the directory is. */
static char *git_lock(struct tier__watch *w, const char *top)
{
    char text[GITFILE_MAX], path[PATH_MAX + 8];
    struct tier__buf b;
    tier__buf_init(&b, w->base);
    snprintf(path, sizeof path, "%s/.git", top);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n > 8 && !strncmp(text, "gitdir: ", 8)) {
        text[n] = 0;
        text[strcspn(text, "\n")] = 0;
        tier__buf_printf(&b, "%s%s%s/index.lock", text[8] == '/' ? "" : top, text[8] == '/' ? "" : "/",
                         text + 8);
    } else if (fd >= 0 && n < 0 && errno == EISDIR) {
        tier__buf_printf(&b, "%s/index.lock", path);
    }
    if (fd >= 0)
        close(fd);
    char *lock = b.size && !b.failed ? tier__strdup(w->base, (char *)b.data) : NULL;
    tier__buf_fini(&b);
    return lock;
}

static char *hg_lock(struct tier__watch *w, const char *top)
{
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/.hg", top);
    if (access(path, F_OK))
        return NULL;
    snprintf(path, sizeof path, "%s/.hg/wlock", top);
    return tier__strdup(w->base, path);
}

void tier__watch_vc_find(struct tier__watch *w)
{
    for (size_t i = 0; i < w->root_count; i++) {
        struct tier__wplace *p = &w->place[i];
        char top[PATH_MAX];
        for (int k = 0; k < 2; k++) {
            tier__free(w->base, p->vc_lock[k]);
            p->vc_lock[k] = NULL;
        }
        int n = snprintf(top, sizeof top, "%s", tier__cache_root_path(w->cache, i));
        if (n < 0 || (size_t)n >= sizeof top)
            continue;
        for (int up = 0; up < PARENTS_MAX && !p->vc_lock[0] && !p->vc_lock[1]; up++) {
            p->vc_lock[0] = git_lock(w, top);
            p->vc_lock[1] = hg_lock(w, top);
            char *slash = strrchr(top, '/');
            if (!slash || slash == top)
                break;
            *slash = 0;
        }
    }
}

bool tier__watch_vc_busy(const struct tier__watch *w)
{
    for (size_t i = 0; i < w->root_count; i++) {
        for (int k = 0; k < 2; k++) {
            struct stat st; /* Mercurial's is a symbolic link that leads nowhere */
            if (w->place[i].vc_lock[k] && !lstat(w->place[i].vc_lock[k], &st))
                return true;
        }
    }
    return false;
}
