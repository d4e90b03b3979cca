/* watch_scan.c - reading directories: at first, where one appeared, after lost events, and while polling. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>
#include "coherence/watch_private.h"

enum {
    DIRECTORY_EVENTS = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MODIFY | IN_CLOSE_WRITE |
                       IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF,
    /* A second write this soon after the first can leave all of a stamp as it is: before Linux 6.13 (and on
     * file systems without fine time stamps) they move with the clock tick, 4 ms at 250 Hz, 10 at 100. */
    YOUNG_NS = 20000000
};

/* ---- telling ---- */
static void touch(struct tier__watch *w)
{
    w->batch.last_ms = tier__monotonic_ms();
    if (!tier__batch_any(&w->batch))
        w->batch.first_ms = w->batch.last_ms;
}

void tier__watch_tell_all(struct tier__watch *w)
{
    touch(w);
    w->batch.all = true;
}

void tier__watch_tell(struct tier__watch *w, const struct tier__wnode *n)
{
    if (!n->parent || !tier__wnode_path(n, w->path2, sizeof w->path2)) {
        tier__watch_tell_all(w);
        return;
    }
    touch(w);
    tier__batch_add(&w->batch, w->base, tier__cache_key_path(w->cache, (size_t)n->root, w->path2));
}

static void tell_one(void *user, struct tier__wnode *n)
{
    tier__watch_tell(user, n);
}

void tier__watch_tell_below(struct tier__watch *w, struct tier__wnode *n)
{
    tier__wtree_each(n, tell_one, w);
}

/* ---- watching ---- */
static void unwatch(void *user, struct tier__wnode *n)
{
    struct tier__watch *w = user;
    int wd = n->wd;
    tier__wtree_set_wd(&w->tree, n, -1);
    if (wd >= 0 && wd != w->cookie_wd && !tier__wtree_by_wd(&w->tree, wd))
        inotify_rm_watch(w->inotify, wd); /* fails where the kernel was faster */
}

static void tell_and_unwatch(void *user, struct tier__wnode *n)
{
    tier__watch_tell(user, n);
    unwatch(user, n);
}

void tier__watch_forget(struct tier__watch *w, struct tier__wnode *n, bool tell)
{
    tier__wtree_remove(&w->tree, n, tell ? tell_and_unwatch : unwatch, w);
}

void tier__watch_poll_instead(struct tier__watch *w, const char *why)
{
    if (w->polling)
        return;
    w->polling = true;
    w->overflow = true; /* what happens from here on is found by comparing with a scan made now */
    for (size_t i = 0; i < w->root_count; i++)
        tier__wtree_each(w->root[i], unwatch, w);
    tier__log(w->base, TIER_LOG_WARNING, "watch: %s; looking at every file each %lld ms instead", why,
              (long long)w->poll_ms);
}

static void add_watch(struct tier__watch *w, struct tier__wnode *n)
{
    uint32_t mask = DIRECTORY_EVENTS | IN_ONLYDIR | (n->parent ? IN_DONT_FOLLOW : 0);
    int wd = w->polling ? -1 : inotify_add_watch(w->inotify, w->path, mask);
    if (wd >= 0) {
        if (n->wd != wd) {
            unwatch(w, n); /* another directory of that name */
            tier__wtree_set_wd(&w->tree, n, wd);
        }
    } else if (!w->polling && (errno == ENOSPC || errno == ENOMEM)) {
        tier__watch_poll_instead(
            w, errno == ENOSPC ? "no inotify watches left; raise fs.inotify.max_user_watches with sysctl"
                               : "no kernel memory for inotify watches");
    }
}

/* ---- scanning ---- */
static struct tier__stamp stamp_of(const struct stat *st)
{
    struct tier__stamp s;
    memset(&s, 0, sizeof s); /* compared as bytes */
    s.inode = st->st_ino;
    s.mode = st->st_mode;
    if (S_ISDIR(st->st_mode))
        return s; /* its entries tell the rest */
    s.size = (uint64_t)st->st_size;
    s.mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
    s.ctime_ns = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec;
    return s;
}

/* Whether n may have changed since it was last looked at. */
static bool compare_stamp(struct tier__wnode *n, const struct stat *st)
{
    struct tier__stamp s = stamp_of(st);
    bool changed = n->stamped && (n->young || memcmp(&s, &n->stamp, sizeof s) != 0);
    int64_t newest = s.mtime_ns > s.ctime_ns ? s.mtime_ns : s.ctime_ns;
    n->stamp = s;
    n->stamped = true;
    n->young = !S_ISDIR(st->st_mode) && newest + YOUNG_NS > tier__now_ns();
    return changed;
}

static void scan_entry(struct tier__watch *w, struct tier__wnode *dir, int fd, const struct dirent *d,
                       bool tell, struct tier__wnode **stack)
{
    struct stat st;
    bool is_dir = d->d_type == DT_DIR, look = w->polling || d->d_type == DT_UNKNOWN;
    if (look) {
        if (fstatat(fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW))
            return; /* gone again */
        is_dir = S_ISDIR(st.st_mode);
    }
    struct tier__wnode *n = tier__wtree_find(&w->tree, dir, d->d_name);
    bool changed = !n;
    if (n && n->is_dir != is_dir) {
        tier__watch_forget(w, n, tell);
        n = NULL;
    }
    if (!n && !(n = tier__wtree_add(&w->tree, dir, d->d_name))) {
        tier__watch_tell_all(w);
        return;
    }
    n->is_dir = is_dir;
    n->seen = w->pass;
    if (w->polling && look && compare_stamp(n, &st)) {
        changed = true;
        if (tell && is_dir)
            tier__watch_tell_below(w, n);
    }
    if (changed && tell)
        tier__watch_tell(w, n);
    if (is_dir && strcmp(d->d_name, ".git") != 0) {
        n->scan = *stack;
        *stack = n;
    }
}

static void forget_unseen(struct tier__watch *w, struct tier__wnode *dir, bool tell)
{
    for (struct tier__wnode *n = dir->first, *next; n; n = next) {
        next = n->next;
        if (n->seen != w->pass)
            tier__watch_forget(w, n, tell);
    }
}

static int open_directory(struct tier__watch *w, const struct tier__wnode *n)
{
    const char *root = tier__cache_root_path(w->cache, (size_t)n->root);
    if (!tier__wnode_path(n, w->path2, sizeof w->path2))
        return -1;
    int size = snprintf(w->path, sizeof w->path, "%s%s%s", root, *w->path2 ? "/" : "", w->path2);
    if (size < 0 || (size_t)size >= sizeof w->path)
        return -1;
    return open(w->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (n->parent ? O_NOFOLLOW : 0));
}

static void scan_one(struct tier__watch *w, struct tier__wnode *n, bool tell, struct tier__wnode **stack)
{
    struct stat st;
    int fd = open_directory(w, n);
    w->pass++;
    if (fd < 0) {
        int error = errno;
        unwatch(w, n); /* nothing there, or another thing than was watched */
        if (!n->parent)
            w->root_lost = true;
        else if (error == EMFILE || error == ENFILE || error == ENOMEM)
            tier__watch_tell_all(w); /* it is there, and could not be read */
        if (!n->parent || error == ENOENT || error == ENOTDIR)
            forget_unseen(w, n, tell);
        return;
    }
    if (n->parent && w->cache_inode && !fstat(fd, &st) && st.st_ino == w->cache_inode &&
        st.st_dev == w->cache_dev) {
        close(fd);
        return;
    }
    add_watch(w, n);
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        tier__watch_tell_all(w);
        return;
    }
    for (const struct dirent *d; (d = readdir(dir));) {
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            scan_entry(w, n, dirfd(dir), d, tell, stack);
    }
    closedir(dir);
    forget_unseen(w, n, tell);
}

void tier__watch_scan(struct tier__watch *w, struct tier__wnode *n, bool tell)
{
    struct tier__wnode *stack = n;
    n->scan = NULL;
    while (stack) {
        n = stack;
        stack = n->scan;
        scan_one(w, n, tell, &stack);
    }
}

void tier__watch_scan_roots(struct tier__watch *w, bool tell)
{
    w->root_lost = false;
    for (size_t i = 0; i < w->root_count; i++)
        tier__watch_scan(w, w->root[i], tell);
}
