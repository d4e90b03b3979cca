/* admin_aside.c - the stores that an open or a repair moved aside: DIR/bad-TIME-N, each a flat directory. */
#include "coherence/admin.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* What its files take; with drop they are unlinked, regular ones only: anything else is left alone. */
static uint64_t files_of(int dir, bool drop)
{
    uint64_t bytes = 0;
    DIR *d = fdopendir(dir); /* owns dir */
    if (!d) {
        close(dir);
        return 0;
    }
    for (struct dirent *e; (e = readdir(d));) {
        struct stat st;
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
            continue;
        bytes += (uint64_t)st.st_size;
        if (drop)
            unlinkat(dirfd(d), e->d_name, 0);
    }
    closedir(d);
    return bytes;
}

int tier__aside_each(tier_admin *a, bool drop, void (*each)(void *user, const char *name, uint64_t bytes),
                     void *user)
{
    int rc = 0, top = open(a->profile->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = top >= 0 ? fdopendir(top) : NULL;
    if (!d) {
        if (top >= 0)
            close(top);
        return 0; /* whoever calls has said so already */
    }
    for (struct dirent *e; !rc && (e = readdir(d));) {
        if (strncmp(e->d_name, "bad-", 4) != 0)
            continue;
        int dir = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (dir < 0)
            continue;
        uint64_t bytes = files_of(dir, drop);
        if (drop && unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR) && errno != ENOENT)
            rc = tier__admin_fail(a, tier__errno_rc(errno),
                                  "%s/%s, which was moved aside, cannot be deleted: %s", a->profile->dir,
                                  e->d_name, strerror(errno));
        else
            each(user, e->d_name, bytes);
    }
    closedir(d);
    return rc;
}
