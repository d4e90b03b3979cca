/* store_mark.c - whose a directory is. The name that a user chose may be of a directory full of their work,
 * so nothing is begun, renamed or deleted on the strength of names such as v1 alone. See store_dir.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "tiers/store_dir.h"

#define SIGNATURE "Signature: 8a477f597d28d172789f06886806bc55"
static const char TAG[] = "CACHEDIR.TAG";
static const char TAG_TEXT[] = SIGNATURE "\n# Cache of Tierkit; may be deleted when no program uses it.\n";
const char *const tier__store_files[TIER__STORE_FILES] = {"data.mdb", "lock.mdb", "state", "lock", "strikes"};

static DIR *list(int top, const char *name)
{
    int fd = openat(top, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d && fd >= 0)
        close(fd);
    return d;
}

static const struct dirent *next(DIR *d)
{
    const struct dirent *e;
    do
        e = readdir(d);
    while (e && (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")));
    return e;
}

static bool is_dir(int top, const char *name)
{
    struct stat st;
    return fstatat(top, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

bool tier__place_is_cookie(const char *name)
{
    static const char *const part[] = {"0123456789", "0123456789abcdef", "0123456789"};
    if (strncmp(name, TIER__COOKIE, sizeof TIER__COOKIE - 1) != 0)
        return false;
    name += sizeof TIER__COOKIE - 1;
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        size_t n = strspn(name, part[i]);
        if (!n || name[n] != (i < 2 ? '-' : 0))
            return false;
        name += n + 1;
    }
    return true;
}

static bool is_store_file(const char *name)
{
    if (tier__place_is_cookie(name)) /* left by a watcher that died */
        return true;
    for (size_t i = 0; i < TIER__STORE_FILES; i++)
        if (!strcmp(name, tier__store_files[i]))
            return true;
    return false;
}

bool tier__place_other(int top, const char *name, char *other, size_t size)
{
    *other = 0;
    DIR *d = list(top, name);
    if (!d)
        return errno != ENOENT; /* unread, it may hold anything */
    bool found = false;
    for (const struct dirent *e; !found && (e = next(d));) {
        found = !is_store_file(e->d_name) || is_dir(dirfd(d), e->d_name);
        if (found)
            snprintf(other, size, "%s", e->d_name);
    }
    closedir(d);
    return found;
}

int tier__place_remove(int top, const char *name, char *other, size_t size)
{
    if (tier__place_other(top, name, other, size))
        return TIER_EKIND;
    DIR *d = list(top, name);
    if (!d)
        return errno == ENOENT ? TIER_OK : TIER_EIO;
    for (const struct dirent *e; (e = next(d));)
        if (is_store_file(e->d_name))
            unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    return unlinkat(top, name, AT_REMOVEDIR) == 0 ? TIER_OK : TIER_EIO;
}

bool tier__place_is_aside(const char *name)
{
    if (strncmp(name, TIER__ASIDE, sizeof TIER__ASIDE - 1) != 0)
        return false;
    name += sizeof TIER__ASIDE - 1;
    size_t time = strspn(name, "0123456789abcdef");
    if (!time || name[time] != '-')
        return false;
    size_t number = strspn(name + time + 1, "0123456789");
    return number && !name[time + 1 + number];
}

/* What CACHEDIR.TAG says; its length, or -1 where there is none that can be read. */
static ssize_t read_tag(int top, int flags, int *fd, char text[512])
{
    struct stat st;
    *fd = openat(top, TAG, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (*fd < 0)
        return -1;
    ssize_t n = fstat(*fd, &st) == 0 && S_ISREG(st.st_mode) ? pread(*fd, text, 511, 0) : -1;
    text[n > 0 ? n : 0] = 0;
    return n;
}

static bool is_marked(int top)
{
    char text[512];
    int fd;
    ssize_t n = read_tag(top, O_RDONLY, &fd, text);
    if (fd >= 0)
        close(fd);
    return n > 0 && !strncmp(text, SIGNATURE, sizeof SIGNATURE - 1) && strstr(text, "Tierkit");
}

int tier__place_mark(int top, const struct tier__why *why)
{
    char text[512];
    int fd, rc = TIER_OK;
    ssize_t n = read_tag(top, O_RDWR | O_CREAT, &fd, text);
    int error = errno;
    struct stat st;
    if (fd < 0 && fstatat(top, TAG, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return TIER_OK; /* another's, as below */
    if (fd < 0)
        return tier__why(why, tier__errno_rc(error), error, "cannot make %s", TAG);
    /* A part of the text was left by who died while writing it. Another program's tag stays as it is: then
     * the state of the store tells whose it is. Synced, or a power cut could leave a store without it. */
    const ssize_t whole = (ssize_t)sizeof TAG_TEXT - 1;
    if (n >= 0 && n < whole && !memcmp(text, TAG_TEXT, (size_t)n)) {
        fchmod(fd, 0600);
        if (pwrite(fd, TAG_TEXT, (size_t)whole, 0) != whole || fdatasync(fd) != 0)
            rc = tier__why(why, TIER_EIO, errno, "cannot write %s", TAG);
    }
    close(fd);
    return rc;
}

static bool has_state(int top)
{
    struct tier__state s;
    int dir = openat(top, TIER__STORE_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return false;
    tier__state_read(dir, NULL, &s);
    close(dir);
    return s.generation != 0;
}

static bool is_empty_dir(int top, const char *name)
{
    DIR *d = list(top, name);
    bool empty = d && !next(d);
    if (d)
        closedir(d);
    return empty;
}

/* bare: nothing but what may lie there before the first open. alone: nothing but what a cache directory has.
 */
static bool look(int top, bool *bare, bool *alone, bool *settings)
{
    DIR *d = list(top, ".");
    *bare = *alone = d;
    *settings = false;
    if (!d)
        return false;
    for (const struct dirent *e; (e = next(d));) {
        const char *name = e->d_name;
        if (!strcmp(name, "tierkit.ini"))
            *settings = true;
        else if (!strcmp(name, TIER__STORE_NAME))
            *bare = *bare && is_empty_dir(top, name);
        else if (strcmp(name, ".gitignore") && strcmp(name, TAG) && strcmp(name, "lock")) {
            *bare = false;
            *alone = *alone && (tier__place_is_aside(name) || !strcmp(name, TIER__STORE_MAKING));
        }
    }
    closedir(d);
    return true;
}

enum tier__whose tier__place_whose(int top, bool *mark, bool *settings)
{
    bool bare, alone;
    *mark = *settings = false;
    if (is_marked(top))
        return TIER__WHOSE_OURS;
    if (!look(top, &bare, &alone, settings))
        return TIER__WHOSE_FOREIGN;
    *mark = alone; /* never among a user's files: backups leave out a directory that has it */
    if (has_state(top))
        return TIER__WHOSE_OURS;
    if (bare)
        return TIER__WHOSE_EMPTY;
    *mark = false;
    return is_marked(top) ? TIER__WHOSE_OURS
                          : TIER__WHOSE_FOREIGN; /* another process has begun it meanwhile */
}

int tier__place_foreign(const struct tier__why *why, const char *dir)
{
    return tier__why(why, TIER_EKIND, 0,
                     "%s is not empty and no cache directory of ours: no store there; choose another "
                     "directory, or an empty one",
                     dir);
}

static int movable(int top, const char *dir, const struct tier__why *why)
{
    char other[256];
    if (!tier__place_other(top, TIER__STORE_NAME, other, sizeof other))
        return TIER_OK;
    if (!*other)
        return tier__why(why, TIER_EKIND, 0, "%s/%s is no directory of ours: no store there", dir,
                         TIER__STORE_NAME);
    return tier__why(why, TIER_EKIND, 0,
                     "%s/%s holds %s, which is no file of ours: no store there; it is left as it is", dir,
                     TIER__STORE_NAME, other);
}

int tier__place_movable(const struct tier__place *p, const struct tier__why *why)
{
    return movable(p->top, p->path, why);
}

int tier__place_look(const char *dir, bool moving, bool *store, const struct tier__why *why)
{
    struct stat st;
    bool mark, settings;
    int rc = TIER_OK, top = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (top < 0)
        return tier__why(why, tier__errno_rc(errno), errno, "cannot open directory %s", dir);
    enum tier__whose whose = tier__place_whose(top, &mark, &settings);
    *store = whose == TIER__WHOSE_OURS && fstatat(top, TIER__STORE_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (whose == TIER__WHOSE_FOREIGN)
        rc = tier__place_foreign(why, dir);
    else if (whose == TIER__WHOSE_EMPTY)
        rc = tier__why(why, TIER_EABSENT, 0, "%s is no cache directory yet: it is empty", dir);
    else if (*store && (moving || !has_state(top)))
        rc = movable(top, dir, why);
    close(top);
    return rc;
}
