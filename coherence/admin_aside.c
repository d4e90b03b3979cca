/* admin_aside.c - the stores that an open or a repair moved aside: DIR/bad-TIME-N, each a flat directory. */
#include "coherence/admin.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tiers/store_mark.h"

static uint64_t bytes_of(int top, const char *name)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < TIER__STORE_FILES; i++) {
        char path[300];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", name, tier__store_files[i]);
        if (fstatat(top, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
            bytes += (uint64_t)st.st_size;
    }
    return bytes;
}

static bool is_aside(int top, const char *name)
{
    struct stat st;
    return tier__place_is_aside(name) && fstatat(top, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISDIR(st.st_mode);
}

int tier__aside_each(tier_admin *a, bool drop, tier__aside_fn *each, void *user)
{
    int rc = 0, top = open(a->profile->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = top >= 0 ? fdopendir(top) : NULL;
    if (!d) {
        if (top >= 0)
            close(top);
        return 0; /* whoever calls has said so already */
    }
    for (struct dirent *e; !rc && (e = readdir(d));) {
        char other[256] = "";
        if (!is_aside(dirfd(d), e->d_name))
            continue;
        uint64_t bytes = bytes_of(dirfd(d), e->d_name);
        bool foreign = tier__place_other(dirfd(d), e->d_name, other, sizeof other);
        int gone = drop && !foreign ? tier__place_remove(dirfd(d), e->d_name, other, sizeof other) : TIER_OK;
        if (gone)
            rc = tier__admin_fail(a, gone, "%s/%s, which was moved aside, cannot be deleted: %s",
                                  a->profile->dir, e->d_name, strerror(errno));
        else
            each(user, e->d_name, bytes, foreign ? other : NULL);
    }
    closedir(d);
    return rc;
}
