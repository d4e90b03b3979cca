/* seam.c - time stamps as coarse as a kernel's tick makes them. A kernel with fine-grained stamps hardly ever
 * gives two writes the same one, and the rule that young stamps are not trusted would never be tried. The
 * library is linked statically here, so these definitions of fstat and fstatat are the ones that it calls.
 * Files that only their owner may read are the store's and are left alone. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "tests/torture/torture.h"

static int64_t grain = 1;

void seam_grain(int64_t ns)
{
    grain = ns;
}

static void stamp(struct timespec *t)
{
    int64_t ns = (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
    ns -= ns % grain;
    t->tv_sec = ns / 1000000000;
    t->tv_nsec = ns % 1000000000;
}

int fstatat(int dir, const char *restrict path, struct stat *restrict st, int flags)
{
    int rc = (int)syscall(SYS_newfstatat, dir, path, st, flags);
    if (rc == 0 && st->st_mode & 044) {
        stamp(&st->st_mtim);
        stamp(&st->st_ctim);
    }
    return rc;
}

int fstat(int fd, struct stat *st)
{
    return fstatat(fd, "", st, AT_EMPTY_PATH);
}
