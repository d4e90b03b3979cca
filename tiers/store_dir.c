/* store_dir.c - see store_dir.h: checks, locks, quarantine. Whose the directory is: store_mark.c. How the
 * store was left: store_state.c. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>
#include "tiers/store_dir.h"

enum { QUARANTINE_KEEP = 2, POLL_FIRST_US = 200, POLL_MOST_US = 10000 };
static const char STORE[] = TIER__STORE_NAME, MAKING[] = TIER__STORE_MAKING;

int tier__why(const struct tier__why *w, int rc, int error, const char *format, ...)
{
    if (!w || !w->text || !w->size)
        return rc;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(w->text, w->size, format, args);
    va_end(args);
    if (error && n >= 0 && (size_t)n < w->size)
        snprintf(w->text + n, w->size - (size_t)n, ": %s", strerror(error));
    return rc;
}

/* ---- locks ---- */

int tier__lock_take(int fd, enum tier__lock byte, int mode, int64_t wait_ms)
{
    struct flock l = {
        .l_type = (short)mode, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1, .l_pid = 0};
    int64_t until = wait_ms > 0 ? tier__monotonic_ms() + wait_ms : 0;
    long pause = POLL_FIRST_US;
    for (;;) {
        if (fcntl(fd, F_OFD_SETLK, &l) == 0)
            return TIER_OK;
        if (errno != EAGAIN && errno != EACCES && errno != EINTR)
            return TIER_EIO;
        if (wait_ms <= 0 || tier__monotonic_ms() >= until)
            return TIER_EBUSY;
        struct timespec t = {0, pause * 1000};
        nanosleep(&t, NULL);
        pause = pause * 2 > POLL_MOST_US ? POLL_MOST_US : pause * 2;
    }
}

bool tier__lock_held(int fd, enum tier__lock byte, int mode)
{
    struct flock l = {
        .l_type = (short)mode, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1, .l_pid = 0};
    return fcntl(fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK;
}

/* ---- the directory ---- */

/* mkdir -p, 0700 whatever the umask. The last component alone is checked: parents are the user's affair. */
static int make_dirs(struct tier__base *base, const char *dir, const struct tier__why *why)
{
    char *path = tier__strdup(base, dir);
    if (!path)
        return TIER_ENOMEM;
    int rc = TIER_OK;
    for (char *at = path + 1; !rc; at++) {
        if (*at && *at != '/')
            continue;
        char kept = *at;
        *at = 0;
        if (mkdir(path, 0700) == 0) {
            if (chmod(path, 0700) != 0)
                rc = tier__why(why, TIER_EIO, errno, "chmod of %s", path);
        } else if (errno != EEXIST && errno != EISDIR) {
            struct stat st; /* e.g. EROFS or EACCES for a parent that is there */
            int error = errno;
            if (stat(path, &st) != 0)
                rc = tier__why(why, tier__errno_rc(error), error, "cannot make directory %s", path);
        }
        *at = kept;
        if (!kept)
            break;
    }
    tier__free(base, path);
    return rc;
}

/* Locks and shared maps mean nothing across hosts; FUSE may well be a network underneath (sshfs, s3fs). */
static bool is_network(int fd)
{
    static const unsigned long magic[] = {
        0x6969 /* nfs */,       0x517b /* smb */,        0xff534d42 /* cifs */,   0xfe534d42 /* smb2 */,
        0x5346414f /* afs */,   0x6b414653 /* kafs */,   0x73757245 /* coda */,   0x564c /* ncp */,
        0x01021997 /* 9p */,    0x00c36400 /* ceph */,   0x0bd00bd0 /* lustre */, 0x01161970 /* gfs2 */,
        0x7461636f /* ocfs2 */, 0x47504653 /* gpfs */,   0x19830326 /* beegfs */, 0xaad7aaea /* panfs */,
        0x65735546 /* fuse */,  0x786f4256 /* vboxsf */,
    };
    struct statfs s;
    if (fstatfs(fd, &s) != 0)
        return false;
    for (size_t i = 0; i < sizeof magic / sizeof *magic; i++)
        if (((unsigned long)s.f_type & 0xffffffffu) == magic[i])
            return true;
    return false;
}

/* A store whose files cannot be written is one to read, as is one on a mount that forbids it. */
static bool can_write(int top)
{
    static const char *const there[] = {"v1", "v1/data.mdb"}; /* the others are made with them */
    if (faccessat(top, ".", W_OK | X_OK, AT_EACCESS) != 0)
        return false;
    for (size_t i = 0; i < sizeof there / sizeof *there; i++)
        if (faccessat(top, there[i], W_OK, AT_EACCESS) != 0 && (errno == EACCES || errno == EROFS))
            return false;
    return true;
}

static int check_top(struct tier__place *p, bool read_only, const struct tier__why *why)
{
    struct stat st;
    if (fstat(p->top, &st) != 0)
        return tier__why(why, TIER_EIO, errno, "fstat of %s", p->path);
    bool ours = st.st_uid == geteuid();
    if (!ours && !(read_only && st.st_uid == 0))
        return tier__why(why, TIER_EKIND, 0, "%s belongs to user %lu, not to us", p->path,
                         (unsigned long)st.st_uid);
    enum tier__whose whose = tier__place_whose(p->top, &p->mark, &p->settings);
    if (whose == TIER__WHOSE_FOREIGN)
        return tier__place_foreign(why, p->path);
    if (st.st_mode & 022) { /* ours or empty: closed with a chmod */
        if (read_only || !ours || fchmod(p->top, 0700) != 0)
            return tier__why(why, TIER_EKIND, 0, "%s is writable by others (mode %04o)", p->path,
                             (unsigned)st.st_mode & 07777u);
    }
    if (is_network(p->top))
        return tier__why(why, TIER_EKIND, 0, "%s is on a network file system", p->path);
    p->writable = can_write(p->top);
    p->fresh = whose == TIER__WHOSE_EMPTY;
    return TIER_OK;
}

static void put_file(int top, const char *name, const char *text)
{
    int fd = openat(top, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return; /* there already, or not to be had: a courtesy, no more */
    ssize_t n = write(fd, text, strlen(text));
    (void)n;
    fchmod(fd, 0600);
    close(fd);
}

bool tier__place_right(int dir, const char *name, struct stat *st)
{
    if (fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) != 0)
        st->st_mode = 0;
    return S_ISREG(st->st_mode) && st->st_nlink == 1 && st->st_uid == geteuid() &&
           (st->st_mode & 0777) == 0600;
}

int tier__place_file(int dir, const char *name, int flags, int *fd, const struct tier__why *why)
{
    struct stat st;
    /* O_NONBLOCK: a FIFO planted there must not hang the open. */
    *fd = openat(dir, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (*fd < 0) {
        int rc = errno == ELOOP ? TIER_EKIND : tier__errno_rc(errno);
        return tier__why(why, rc, errno, "cannot open %s in the store", name);
    }
    int rc = TIER_OK;
    uid_t us = geteuid();
    if (fstat(*fd, &st) != 0)
        rc = tier__why(why, TIER_EIO, errno, "fstat of %s", name);
    else if (!S_ISREG(st.st_mode) || st.st_nlink != 1 || (st.st_uid != us && st.st_uid != 0))
        rc = tier__why(why, TIER_EKIND, 0, "%s is no regular file of ours with one link", name);
    else if (st.st_uid == us && (st.st_mode & 0777) != 0600 && (flags & O_ACCMODE) != O_RDONLY &&
             fchmod(*fd, 0600) != 0)
        rc = tier__why(why, TIER_EIO, errno, "chmod of %s", name);
    if (rc) {
        close(*fd);
        *fd = -1;
    }
    return rc;
}

int tier__place_open(struct tier__base *base, const char *dir, bool read_only, struct tier__place *p,
                     const struct tier__why *why)
{
    *p = (struct tier__place){.top = -1, .lock = -1};
    if (!dir || !*dir)
        return tier__why(why, TIER_EINVAL, 0, "no directory is named");
    if (!(p->path = tier__strdup(base, dir)))
        return TIER_ENOMEM;
    size_t n = strlen(p->path);
    while (n > 1 && p->path[n - 1] == '/') /* a trailing slash would make open follow a link */
        p->path[--n] = 0;
    int rc = TIER_OK;
    p->top = open(p->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (p->top < 0 && !read_only)
        rc = make_dirs(base, p->path, why);
    if (!rc && p->top < 0) {
        p->top = open(p->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (p->top < 0) {
            bool kind = errno == ELOOP || errno == ENOTDIR;
            rc = tier__why(why, kind ? TIER_EKIND : tier__errno_rc(errno), errno, "cannot open directory %s",
                           p->path);
        }
    }
    if (!rc)
        rc = check_top(p, read_only, why);
    if (!rc && !read_only && !p->writable)
        rc = tier__why(why, TIER_EACCESS, 0, "%s is not writable", p->path);
    if (!rc && !read_only && p->mark) /* before anything else is in it */
        rc = tier__place_mark(p->top, why);
    if (!rc && !read_only)
        rc = tier__place_file(p->top, "lock", O_RDWR | O_CREAT, &p->lock, why);
    else if (!rc && tier__place_file(p->top, "lock", O_RDWR, &p->lock, NULL) != TIER_OK)
        tier__place_file(p->top, "lock", O_RDONLY, &p->lock, NULL); /* without: nobody can be opening it */
    if (!rc && !read_only && p->fresh && !p->settings) /* settings may be under version control */
        put_file(p->top, ".gitignore", "*\n");
    if (rc)
        tier__place_close(base, p);
    return rc;
}

void tier__place_close(struct tier__base *base, struct tier__place *p)
{
    if (p->lock >= 0)
        close(p->lock);
    if (p->top >= 0)
        close(p->top);
    tier__free(base, p->path);
    *p = (struct tier__place){.top = -1, .lock = -1};
}

/* ---- the store below it ---- */

static int open_store_dir(int top, const char *name, int *dir, const struct tier__why *why)
{
    struct stat st;
    *dir = openat(top, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*dir < 0) {
        bool kind = errno == ELOOP || errno == ENOTDIR;
        return tier__why(why, kind ? TIER_EKIND : tier__errno_rc(errno), errno, "cannot open store %s", name);
    }
    if (fstat(*dir, &st) == 0 && (st.st_uid == geteuid() || st.st_uid == 0) && !(st.st_mode & 022))
        return TIER_OK;
    close(*dir);
    *dir = -1;
    return tier__why(why, TIER_EKIND, 0, "store %s belongs to others or is writable by them", name);
}

int tier__place_new_lock(int dir, const struct tier__why *why)
{
    /* Opened only as a new file: closing a descriptor of a lock.mdb in use would silently drop the locks by
     * which LMDB knows its readers (POSIX locks). */
    unlinkat(dir, "lock.mdb", 0);
    int fd = openat(dir, "lock.mdb", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return tier__why(why, TIER_EIO, errno, "cannot make lock.mdb");
    int rc = fchmod(fd, 0600) == 0 ? TIER_OK : tier__why(why, TIER_EIO, errno, "chmod of lock.mdb");
    close(fd);
    return rc;
}

static int make_store(const struct tier__place *p, const struct tier__why *why)
{
    int dir = -1, fd = -1;
    char other[256];
    /* left by a process that died here */
    if (tier__place_remove(p->top, MAKING, other, sizeof other) == TIER_EKIND)
        return tier__why(why, TIER_EKIND, 0, "%s/%s is in the way, and not ours: no store there", p->path,
                         MAKING);
    if (mkdirat(p->top, MAKING, 0700) != 0 || fchmodat(p->top, MAKING, 0700, 0) != 0)
        return tier__why(why, TIER_EIO, errno, "cannot make a store in %s", p->path);
    int rc = open_store_dir(p->top, MAKING, &dir, why);
    if (rc)
        return rc;
    for (size_t i = 0; !rc && i < TIER__STORE_FILES; i++) {
        rc = tier__place_file(dir, tier__store_files[i], O_RDWR | O_CREAT | O_EXCL, &fd, why);
        if (!rc && fchmod(fd, 0600) != 0)
            rc = tier__why(why, TIER_EIO, errno, "chmod of %s", tier__store_files[i]);
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    if (!rc && renameat(p->top, MAKING, p->top, STORE) != 0)
        rc = tier__why(why, TIER_EIO, errno, "cannot rename the new store in %s", p->path);
    close(dir);
    if (rc)
        tier__place_remove(p->top, MAKING, other, sizeof other);
    return rc;
}

int tier__place_store(const struct tier__place *p, bool make, int *dir, const struct tier__why *why)
{
    if (make && p->fresh)
        unlinkat(p->top, STORE, AT_REMOVEDIR); /* empty, or it stays: no store that was damaged */
    int rc = open_store_dir(p->top, STORE, dir, why);
    if (rc != TIER_EABSENT || !make)
        return rc;
    rc = make_store(p, why);
    return rc ? rc : open_store_dir(p->top, STORE, dir, why);
}

/* How many bad-... there are behind `after` that hold nothing but our files; oldest gets the name of the
 * first by time, which is the first by name. */
static unsigned list_quarantine(const struct tier__place *p, const char *after, char oldest[256])
{
    unsigned count = 0;
    oldest[0] = 0;
    int copy = openat(p->top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy >= 0 ? fdopendir(copy) : NULL;
    if (!d) {
        if (copy >= 0)
            close(copy);
        return 0;
    }
    for (struct dirent *e; (e = readdir(d));) {
        char other[256];
        if (!tier__place_is_aside(e->d_name) || strcmp(e->d_name, after) <= 0 ||
            tier__place_other(p->top, e->d_name, other, sizeof other))
            continue;
        count++;
        if (!oldest[0] || strcmp(e->d_name, oldest) < 0)
            snprintf(oldest, 256, "%s", e->d_name);
    }
    closedir(d);
    return count;
}

unsigned tier__place_quarantined(const struct tier__place *p)
{
    char oldest[256];
    return list_quarantine(p, "", oldest);
}

/* One that cannot be removed stays, and those behind it go all the same. */
static void trim_quarantine(const struct tier__place *p, unsigned keep)
{
    char oldest[256], after[256] = "", other[256];
    while (list_quarantine(p, after, oldest) > keep) {
        tier__place_remove(p->top, oldest, other, sizeof other);
        snprintf(after, sizeof after, "%s", oldest);
    }
}

int tier__place_quarantine(const struct tier__place *p, const struct tier__why *why)
{
    char name[64];
    int rc = tier__place_movable(p, why);
    if (rc)
        return rc;
    trim_quarantine(p, QUARANTINE_KEEP - 1);
    for (unsigned n = 0; n < 100; n++) {
        snprintf(name, sizeof name, "%s%012llx-%02u", TIER__ASIDE, (unsigned long long)tier__now_ms(), n);
        if (renameat(p->top, STORE, p->top, name) == 0) {
            fsync(p->top);
            return TIER_OK;
        }
        if (errno != EEXIST && errno != ENOTEMPTY)
            break;
    }
    return tier__why(why, TIER_EDAMAGE, errno, "the damaged store in %s cannot be moved aside", p->path);
}

int tier__place_discard(const struct tier__place *p, const struct tier__why *why)
{
    char other[256];
    if (tier__place_remove(p->top, STORE, other, sizeof other) == TIER_OK)
        return TIER_OK;
    return tier__place_quarantine(p, why);
}
