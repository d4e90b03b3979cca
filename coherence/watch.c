/* watch.c - the watcher: inotify events in, settled batches out, and the barrier. See watch.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include "coherence/watch_private.h"
#include "tiers/base/profile.h"
#include "tiers/store_mark.h"

enum {
    WATCH_MAGIC = 0x77617463,
    READS_AT_ONCE = 64, /* of 64 KiB; more than the kernel's default queue of 16384 events of plain names */
    SETTLE_LIMIT = 10,  /* a batch waits ten times watch.settle at most, however long events keep coming */
    COOKIE_LIMIT_MS = 200, /* with an empty queue: the cache directory was replaced, no cookie will come */
    HOLD_MS = 10000,       /* a batch waits so long for version control at most */
    ROUNDS = 16            /* of READS_AT_ONCE, at begin: who writes faster than we read is not waited for */
};

static const struct tier__watch_os kernel = {read, inotify_add_watch, statfs};

/* ---- when something is due; lock held ---- */
static int64_t next_due(const struct tier__watch *w)
{
    int64_t due = -1;
    if (tier__batch_any(&w->batch)) {
        int64_t settled = w->batch.last_ms + w->settle_ms;
        int64_t limit = w->batch.first_ms + SETTLE_LIMIT * w->settle_ms;
        due = settled < limit ? settled : limit;
        due = w->held_ms > due ? w->held_ms : due;
    }
    if ((w->polling || w->root_lost) && (due < 0 || w->next_poll_ms < due))
        due = w->next_poll_ms;
    return due;
}

static void arm_timer(struct tier__watch *w)
{
    int64_t due = next_due(w), left = due - tier__monotonic_ms();
    struct itimerspec t = {{0, 0}, {0, 0}};
    if (w->timer < 0)
        return;
    if (due >= 0 && left > 0)
        t.it_value = (struct timespec){left / 1000, left % 1000 * 1000000};
    else if (due >= 0)
        t.it_value.tv_nsec = 1;             /* at once; 0 would disarm */
    timerfd_settime(w->timer, 0, &t, NULL); /* also takes readiness back */
}

/* ---- events; lock held ---- */
static void tell_name(struct tier__watch *w, struct tier__wnode *dir, const char *name)
{
    struct tier__wnode *n = tier__wtree_find(&w->tree, dir, name);
    bool known = n != NULL;
    if (!n && !(n = tier__wtree_add(&w->tree, dir, name))) {
        tier__watch_lost(w);
        return;
    }
    tier__watch_tell(w, n);
    if (!known)
        tier__watch_forget(w, n, false);
}

static void appeared(struct tier__watch *w, struct tier__wnode *dir, const char *name, bool is_dir)
{
    struct tier__wnode *n = tier__wtree_find(&w->tree, dir, name);
    if (n && n->is_dir != is_dir) {
        tier__watch_forget(w, n, true);
        n = NULL;
    }
    if (n)
        tier__watch_tell_below(w, n); /* replaced by a rename, or a scan was faster than the event */
    else if ((n = tier__wtree_add(&w->tree, dir, name)))
        tier__watch_tell(w, n);
    if (!n) {
        tier__watch_lost(w);
        return;
    }
    n->plain = 0;
    if (!is_dir)
        tier__watch_unwatch(w, n); /* another file than was watched */
    n->is_dir = is_dir;
    if (is_dir && strcmp(name, ".git") != 0)
        tier__watch_scan(w, n, true);
}

static void on_self(struct tier__watch *w, const struct tier__wnode *n, uint32_t mask)
{
    if (!n->is_dir)
        tier__watch_tell(w, n); /* also what was done to it by another name */
    /* Of other directories the one above tells the same, with the name. */
    if (!n->parent && (mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB)))
        w->overflow = true;
}

/* Of two names that are exchanged, each leaves after the other came in its place. */
static bool is_there(struct tier__watch *w, const struct tier__wnode *dir, const char *name, bool *is_dir)
{
    struct stat st;
    if (!tier__watch_os_path(w, dir, w->path, sizeof w->path))
        return false;
    size_t n = strlen(w->path);
    if (n + strlen(name) + 2 > sizeof w->path)
        return false;
    snprintf(w->path + n, sizeof w->path - n, "/%s", name);
    bool there = lstat(w->path, &st) == 0;
    *is_dir = there && S_ISDIR(st.st_mode);
    return there;
}

static void on_name(struct tier__watch *w, struct tier__wnode *dir, const struct inotify_event *e)
{
    struct tier__wnode *n;
    bool is_dir = (e->mask & IN_ISDIR) != 0;
    if (e->mask & (IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM))
        tier__vouch_entries(w, dir, e->mask & (IN_CREATE | IN_MOVED_TO));
    if (e->mask & (IN_DELETE | IN_MOVED_FROM)) {
        if ((n = tier__wtree_find(&w->tree, dir, e->name)))
            tier__watch_forget(w, n, true);
        else
            tell_name(w, dir, e->name);
        if (is_there(w, dir, e->name, &is_dir))
            appeared(w, dir, e->name, is_dir);
    } else if (e->mask & (IN_CREATE | IN_MOVED_TO)) {
        appeared(w, dir, e->name, is_dir);
    } else if (is_dir && (e->mask & IN_ATTRIB)) {
        appeared(w, dir, e->name, true); /* permissions: all below may read otherwise now */
    } else if (!is_dir) {
        tell_name(w, dir, e->name);
    }
}

static void see_cookie(struct tier__watch *w, const char *name)
{
    size_t n = strlen(w->cookie);
    if (strncmp(name, w->cookie, n) != 0)
        return;
    uint64_t number = strtoull(name + n, NULL, 10);
    if (number > w->cookies_seen && number <= w->cookies_made)
        w->cookies_seen = number;
}

static void on_event(struct tier__watch *w, const struct inotify_event *e)
{
    if (e->mask & (IN_Q_OVERFLOW | IN_UNMOUNT)) {
        w->overflow = true;
        w->cookies_seen = w->cookies_made; /* they may be among the lost; "anything" covers their barrier */
        if (e->mask & IN_Q_OVERFLOW)
            return;
    }
    if (e->wd == w->cookie_wd && (e->mask & IN_CREATE) && e->len)
        see_cookie(w, e->name);
    if (e->wd == w->cookie_wd && (e->mask & (IN_IGNORED | IN_MOVE_SELF)))
        w->cookie_wd = -1;
    struct tier__wnode *n = tier__wtree_by_wd(&w->tree, e->wd);
    if (e->mask & IN_IGNORED) {
        for (; n; n = tier__wtree_by_wd(&w->tree, e->wd)) {
            w->root_lost |= !n->parent;
            tier__vouch_strike(w, n);
            tier__wtree_set_wd(&w->tree, n, -1);
        }
        return;
    }
    for (; n; n = tier__wtree_next_wd(n)) { /* n stays: only names below it come and go */
        if (e->len)
            on_name(w, n, e);
        else
            on_self(w, n, e->mask);
    }
}

/* True where more may wait. */
static bool read_events(struct tier__watch *w)
{
    struct pollfd p[2] = {{w->inotify, POLLIN, 0}, {w->mounts, POLLPRI, 0}};
    if (w->inotify < 0 || poll(p, 2, 0) == 0) /* the one system call where nothing is new */
        return false;
    if (p[1].revents && tier__watch_mounts_moved(w))
        w->overflow = true;
    for (int i = 0; i < READS_AT_ONCE; i++) {
        ssize_t size = w->os->read(w->inotify, w->events, sizeof w->events);
        if (size <= 0)
            return size < 0 && errno == EINTR;
        for (char *at = w->events; at < w->events + size;) {
            const struct inotify_event *e = (const void *)at;
            if (!w->polling)
                on_event(w, e);
            at += sizeof *e + e->len;
        }
    }
    return true;
}

static void recover(struct tier__watch *w)
{
    while (w->overflow) { /* a scan that runs out of watches asks for one more, without them */
        w->overflow = false;
        tier__watch_scan_roots(w, false);
        tier__watch_vc_find(w);
        tier__watch_tell_all(w);
        w->next_poll_ms = tier__monotonic_ms() + w->poll_ms;
    }
}

static bool take_in(struct tier__watch *w)
{
    bool more = read_events(w);
    recover(w);
    if ((w->polling || w->root_lost) && tier__monotonic_ms() >= w->next_poll_ms) {
        bool lost = w->root_lost;
        if (w->polling)
            tier__watch_scan_roots(w, true);
        else
            tier__watch_scan_lost(w);
        if (lost && !w->root_lost)
            tier__watch_tell_all(w);
        w->next_poll_ms = tier__monotonic_ms() + w->poll_ms;
        recover(w);
    }
    return more;
}

/* ---- telling ---- */
static void flush(struct tier__watch *w)
{
    pthread_mutex_lock(&w->flush);
    pthread_mutex_lock(&w->lock);
    struct tier__batch batch = w->batch;
    w->batch = (struct tier__batch){0};
    w->held_ms = 0;
    arm_timer(w);
    pthread_mutex_unlock(&w->lock);
    if (batch.all)
        tier__cache_changed(w->cache, NULL);
    for (size_t i = 0; !batch.all && i < batch.count; i++)
        tier__cache_changed(w->cache, batch.path[i]);
    tier__batch_fini(&batch, w->base);
    pthread_mutex_unlock(&w->flush);
}

/* Whether the batch is to be told now; lock held. */
static bool is_settled(struct tier__watch *w)
{
    int64_t now = tier__monotonic_ms();
    if (!tier__batch_any(&w->batch) || next_due(w) > now)
        return false;
    if (now - w->batch.first_ms >= HOLD_MS || !tier__watch_vc_busy(w))
        return true;
    w->held_ms = now + (w->settle_ms ? w->settle_ms : 1);
    return false;
}

void tier__watch_drain(struct tier__watch *w)
{
    if (getpid() != w->pid)
        return;
    pthread_mutex_lock(&w->lock);
    take_in(w);
    bool settled = is_settled(w);
    arm_timer(w);
    pthread_mutex_unlock(&w->lock);
    if (settled)
        flush(w);
}

uint64_t tier__watch_begin(struct tier__watch *w)
{
    uint64_t begun = 0;
    bool settled = false, more = true;
    if (getpid() != w->pid)
        return 0;
    pthread_mutex_lock(&w->lock); /* also waits for who has read events and not applied them yet */
    if (!w->polling) {
        int64_t now_ns = tier__now_ns(), due = next_due(w);
        for (int i = 0; more && i < ROUNDS; i++)
            more = take_in(w);
        settled = is_settled(w);
        if (!more && !w->polling && !w->incomplete)
            begun = tier__vouch_begun(w, now_ns);
        if (next_due(w) != due)
            arm_timer(w);
    }
    pthread_mutex_unlock(&w->lock);
    if (settled)
        flush(w);
    return begun;
}

/* The number to wait for; 0: there is no place for a cookie, and what read gave is all there is (events are
 * queued before the system call that makes them returns). */
static uint64_t make_cookie(struct tier__watch *w)
{
    const char *dir = tier__cache_dir(w->cache);
    if (w->polling || w->cookie_wd < 0 || !dir)
        return 0;
    uint64_t number = w->cookies_made + 1;
    snprintf(w->path, sizeof w->path, "%s/%s%" PRIu64, dir, w->cookie, number);
    int fd = open(w->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return 0;
    close(fd);
    unlink(w->path); /* its creation is in the queue already */
    return w->cookies_made = number;
}

int tier__watch_sync(struct tier__watch *w, int64_t timeout_ms)
{
    int64_t began = tier__monotonic_ms();
    int rc = TIER_OK;
    if (getpid() != w->pid)
        return TIER_OK;
    pthread_mutex_lock(&w->lock);
    uint64_t cookie = make_cookie(w);
    w->next_poll_ms = 0; /* polling: look now */
    for (;;) {
        bool more = take_in(w);
        int64_t spent = tier__monotonic_ms() - began;
        if (!more && (w->cookies_seen >= cookie || w->cookie_wd < 0 || w->polling || spent > COOKIE_LIMIT_MS))
            break;
        if (timeout_ms >= 0 && spent >= timeout_ms) {
            rc = TIER_ETIMEOUT;
            break;
        }
        pthread_mutex_unlock(&w->lock);
        struct pollfd p = {w->inotify, POLLIN, 0};
        (void)poll(&p, 1, more ? 0 : 10); /* another thread may have taken the cookie in */
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    flush(w);
    return rc;
}

/* ---- open and close ---- */
static void watch_cookies(struct tier__watch *w)
{
    struct stat st;
    const char *dir = tier__cache_dir(w->cache);
    w->cookie_wd = -1;
    if (!dir || stat(dir, &st))
        return;
    w->cache_dev = st.st_dev;
    w->cache_inode = st.st_ino;
    snprintf(w->cookie, sizeof w->cookie, TIER__COOKIE "%ld-%" PRIx64 "-", (long)getpid(),
             tier__monotonic_us());
    if (w->inotify >= 0)
        w->cookie_wd = w->os->add_watch(w->inotify, dir, IN_CREATE | IN_MOVE_SELF | IN_ONLYDIR);
}

static int add_roots(struct tier__watch *w)
{
    w->root_count = tier__cache_root_count(w->cache);
    w->root = tier__zalloc(w->base, w->root_count + 1, sizeof(*w->root));
    w->place = tier__zalloc(w->base, w->root_count + 1, sizeof(*w->place));
    for (size_t i = 0; w->place && i < w->root_count; i++)
        w->place[i].fd = -1;
    if (!w->root || !w->place || tier__wtree_init(&w->tree, w->base) || tier__vouch_init(w))
        return TIER_ENOMEM;
    for (size_t i = 0; i < w->root_count; i++) {
        if (!(w->root[i] = tier__wtree_add(&w->tree, NULL, "")))
            return TIER_ENOMEM;
        w->root[i]->root = (int)i;
        w->root[i]->is_dir = true;
    }
    return TIER_OK;
}

static void begin(struct tier__watch *w, int error)
{
    char why[160] = "no inotify here";
    long limit = tier__watch_limit("max_user_watches");
    if (error == EMFILE)
        snprintf(why, sizeof why,
                 "no inotify instances left; raise fs.inotify.max_user_instances, now %ld, with sysctl",
                 tier__watch_limit("max_user_instances"));
    if (w->inotify < 0)
        tier__watch_poll_instead(w, why);
    w->file_limit = limit > 0 ? (size_t)limit / 4 : 0; /* the user's other programs want some too */
    tier__watch_mounts_open(w);
    for (size_t i = 0; i < w->root_count; i++) {
        if (!w->polling && tier__watch_blind(w, tier__cache_root_path(w->cache, i)))
            tier__watch_poll_instead(w, "a root is on a network or user-space file system");
    }
    w->overflow = true; /* the first scan */
    recover(w);
    tier__batch_fini(&w->batch, w->base); /* nobody has seen anything yet */
    arm_timer(w);
}

int tier__watch_open(tier_cache *c, const struct tier__watch_os *os, struct tier__watch **out)
{
    struct tier__base *base = tier__cache_base(c);
    const struct tier__profile *p = tier__cache_profile(c);
    struct tier__watch *w = tier__zalloc(base, 1, sizeof *w);
    *out = w;
    if (!w)
        return TIER_ENOMEM;
    w->magic = WATCH_MAGIC;
    w->cache = c;
    w->base = base;
    w->os = os ? os : &kernel;
    w->pid = getpid();
    w->mounts = -1;
    w->settle_ms = tier__profile_int(p, TIER__KEY_WATCH_SETTLE);
    w->poll_ms = tier__profile_int(p, TIER__KEY_WATCH_POLL);
    pthread_mutex_init(&w->flush, NULL);
    pthread_mutex_init(&w->lock, NULL);
    w->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    w->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    int error = w->inotify < 0 ? errno : 0;
    watch_cookies(w);
    if (add_roots(w)) {
        tier__watch_close(out);
        return TIER_ENOMEM;
    }
    begin(w, error);
    return TIER_OK;
}

static void leave(void *user, struct tier__wnode *n)
{
    (void)user;
    (void)n; /* closing the descriptor ends all watches */
}

void tier__watch_close(struct tier__watch **out)
{
    struct tier__watch *w = *out;
    if (!w)
        return;
    for (size_t i = 0; w->root && i < w->root_count; i++) {
        if (w->root[i])
            tier__wtree_remove(&w->tree, w->root[i], leave, w);
    }
    for (size_t i = 0; w->place && i < w->root_count; i++) {
        if (w->place[i].fd >= 0)
            close(w->place[i].fd);
        tier__free(w->base, w->place[i].vc_lock[0]);
        tier__free(w->base, w->place[i].vc_lock[1]);
    }
    tier__vouch_fini(w);
    tier__wtree_fini(&w->tree);
    tier__batch_fini(&w->batch, w->base);
    tier__free(w->base, w->root);
    tier__free(w->base, w->place);
    if (w->mounts >= 0)
        close(w->mounts);
    if (w->inotify >= 0)
        close(w->inotify);
    if (w->timer >= 0)
        close(w->timer);
    pthread_mutex_destroy(&w->flush);
    pthread_mutex_destroy(&w->lock);
    w->magic = 0;
    tier__free(w->base, w);
    *out = NULL;
}

int tier__watch_fds(const struct tier__watch *w, int fds[2])
{
    int n = 0;
    if (w->inotify >= 0)
        fds[n++] = w->inotify;
    if (w->timer >= 0)
        fds[n++] = w->timer;
    return n;
}

int64_t tier__watch_due(struct tier__watch *w)
{
    pthread_mutex_lock(&w->lock);
    int64_t due = w->timer < 0 ? next_due(w) : -1;
    pthread_mutex_unlock(&w->lock);
    int64_t left = due < 0 ? -1 : due - tier__monotonic_ms();
    return due >= 0 && left < 0 ? 0 : left;
}

bool tier__watch_polling(const struct tier__watch *w)
{
    return w->polling;
}
