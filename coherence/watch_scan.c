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
    tier__vouch_nothing(w);
}

void tier__watch_lost(struct tier__watch *w)
{
    w->incomplete = true;
    tier__watch_tell_all(w);
}

void tier__watch_tell(struct tier__watch *w, const struct tier__wnode *n)
{
    if (!n->parent || !tier__wnode_path(n, w->path2, sizeof w->path2)) {
        tier__watch_tell_all(w);
        return;
    }
    touch(w);
    tier__vouch_strike(w, n);
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
void tier__watch_unwatch(struct tier__watch *w, struct tier__wnode *n)
{
    int wd = n->wd;
    tier__wtree_set_wd(&w->tree, n, -1);
    if (wd >= 0 && wd != w->cookie_wd && !tier__wtree_by_wd(&w->tree, wd))
        inotify_rm_watch(w->inotify, wd); /* fails where the kernel was faster */
}

static void unwatch_one(void *user, struct tier__wnode *n)
{
    tier__watch_unwatch(user, n);
}

static void unwatch_file(void *user, struct tier__wnode *n)
{
    if (!n->is_dir)
        tier__watch_unwatch(user, n);
}

static void leave(void *user, struct tier__wnode *n)
{
    tier__vouch_leave(user, n);
    tier__watch_unwatch(user, n);
}

static void tell_and_leave(void *user, struct tier__wnode *n)
{
    tier__watch_tell(user, n);
    leave(user, n);
}

void tier__watch_forget(struct tier__watch *w, struct tier__wnode *n, bool tell)
{
    tier__wtree_remove(&w->tree, n, tell ? tell_and_leave : leave, w);
}

void tier__watch_poll_instead(struct tier__watch *w, const char *why)
{
    if (w->polling)
        return;
    w->polling = true;
    w->overflow = true; /* what happens from here on is found by comparing with a scan made now */
    for (size_t i = 0; i < w->root_count; i++)
        tier__wtree_each(w->root[i], unwatch_one, w);
    tier__vouch_nothing(w);
    tier__log(w->base, TIER_LOG_WARNING, "watch: %s; looking at every file each %lld ms instead", why,
              (long long)w->poll_ms);
}

/* Files are watched one by one only to save looks: directories come first. */
static bool files_give_way(struct tier__watch *w)
{
    w->file_limit = 0;
    if (!w->tree.file_watches)
        return false;
    tier__log(w->base, TIER_LOG_NOTICE,
              "watch: no inotify watches left for single files; sessions look at each file again");
    for (size_t i = 0; i < w->root_count; i++)
        tier__wtree_each(w->root[i], unwatch_file, w);
    tier__vouch_nothing(w);
    return true;
}

static void add_watch(struct tier__watch *w, struct tier__wnode *n)
{
    char why[160];
    uint32_t mask = DIRECTORY_EVENTS | IN_ONLYDIR | (n->parent ? IN_DONT_FOLLOW : 0);
    if (w->polling)
        return;
    int wd = w->os->add_watch(w->inotify, w->path, mask);
    if (wd < 0 && errno == ENOSPC && files_give_way(w))
        wd = w->os->add_watch(w->inotify, w->path, mask);
    if (wd == n->wd && wd >= 0)
        return;
    int error = errno;
    tier__watch_unwatch(w, n); /* another directory of that name, or none that can be watched */
    if (wd >= 0) {
        tier__wtree_set_wd(&w->tree, n, wd);
    } else if (error == ENOSPC) {
        snprintf(why, sizeof why,
                 "no inotify watches left; raise fs.inotify.max_user_watches, now %ld, with sysctl",
                 tier__watch_limit("max_user_watches"));
        tier__watch_poll_instead(w, why);
    } else if (error == ENOMEM) {
        tier__watch_poll_instead(w, "no kernel memory for inotify watches");
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
    /* Told twice, as it was replaced between two reads of the directory: events, or the next poll, tell of
     * that. What was found first may wait in the stack. */
    if (n && n->seen == w->pass)
        return;
    if (n && n->is_dir != is_dir) {
        tier__watch_forget(w, n, tell);
        n = NULL;
    }
    if (!n && !(n = tier__wtree_add(&w->tree, dir, d->d_name))) {
        tier__watch_lost(w);
        return;
    }
    n->is_dir = is_dir;
    if (!is_dir)
        tier__watch_unwatch(w, n); /* by now it may be another file */
    n->plain = d->d_type == DT_REG ? 'y' : 0;
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

bool tier__watch_os_path(const struct tier__watch *w, const struct tier__wnode *n, char *buf, size_t size)
{
    const struct tier__wplace *p = &w->place[n->root];
    const char *root = p->fd >= 0 ? p->os_path : tier__cache_root_path(w->cache, (size_t)n->root);
    size_t at = strlen(root);
    if (at + 2 > size)
        return false;
    memcpy(buf, root, at);
    buf[at] = '/';
    return tier__wnode_path(n, buf + at + 1, size - at - 1);
}

/* The directory that is at the root's path now. */
static void find_root(struct tier__watch *w, size_t i)
{
    struct tier__wplace *p = &w->place[i];
    const char *path = tier__cache_root_path(w->cache, i);
    struct stat st, proc;
    if (p->fd >= 0)
        close(p->fd);
    p->ours = false;
    p->fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (p->fd < 0 || fstat(p->fd, &st))
        return;
    p->dev = st.st_dev;
    snprintf(p->os_path, sizeof p->os_path, "/proc/self/fd/%d", p->fd);
    if (stat(p->os_path, &proc) || proc.st_ino != st.st_ino || proc.st_dev != st.st_dev) {
        close(p->fd); /* no /proc here */
        p->fd = -1;
        return;
    }
    p->ours = w->mounts >= 0 && tier__cache_root_is(w->cache, i, st.st_dev, st.st_ino) &&
              tier__watch_local(w, path);
}

static int open_directory(struct tier__watch *w, const struct tier__wnode *n)
{
    if (!n->parent)
        find_root(w, (size_t)n->root);
    if (!tier__watch_os_path(w, n, w->path, sizeof w->path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return open(w->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (n->parent ? O_NOFOLLOW : 0));
}

static void read_entries(struct tier__watch *w, struct tier__wnode *n, int fd, bool tell,
                         struct tier__wnode **stack)
{
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        tier__watch_lost(w);
        return;
    }
    errno = 0;
    for (const struct dirent *d; (d = readdir(dir)); errno = 0) {
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            scan_entry(w, n, dirfd(dir), d, tell, stack);
    }
    if (errno && errno != ENOENT) /* ENOENT: removed while it was read */
        tier__watch_lost(w);
    closedir(dir);
}

static void scan_one(struct tier__watch *w, struct tier__wnode *n, bool tell, struct tier__wnode **stack)
{
    struct stat st;
    int fd = open_directory(w, n);
    w->pass++;
    if (fd < 0) {
        int error = errno;
        tier__watch_unwatch(w, n); /* nothing there, or another thing than was watched */
        if (!n->parent)
            w->root_lost = true;
        else if (error == EMFILE || error == ENFILE || error == ENOMEM)
            tier__watch_lost(w); /* it is there, and could not be read */
        if (!n->parent || error == ENOENT || error == ENOTDIR)
            forget_unseen(w, n, tell);
        return;
    }
    n->vouches = false;
    bool known = fstat(fd, &st) == 0;
    if (n->parent && w->cache_inode && known && st.st_ino == w->cache_inode && st.st_dev == w->cache_dev) {
        close(fd);
        return;
    }
    add_watch(w, n);
    n->vouches = known && w->place[n->root].ours && st.st_dev == w->place[n->root].dev;
    read_entries(w, n, fd, tell, stack);
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
    w->root_lost = w->incomplete = false;
    for (size_t i = 0; i < w->root_count; i++)
        tier__watch_scan(w, w->root[i], tell);
}

void tier__watch_scan_lost(struct tier__watch *w)
{
    w->root_lost = false;
    for (size_t i = 0; i < w->root_count; i++)
        if (w->root[i]->wd < 0)
            tier__watch_scan(w, w->root[i], true);
}
