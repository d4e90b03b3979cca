/* seam.c - time as the test wants it. The library and the oracle are linked statically here, so these
 * definitions of clock_gettime, fstatat and fstat are the ones that they call: no preloading.
 *
 * STAMPS  A kernel with fine-grained time stamps hardly ever gives two writes the same one, and the racy rule
 *         would never be tried. So the stamps of the tree are cut down to 10 ms (as a kernel tick does) or to
 *         whole seconds (as some file systems do); a same-size edit within that time leaves them as they are.
 *         Files that only their owner may read are the store's and are left alone.
 * TIME    seam_pass lets an hour pass at once: from then on the clock and new stamps are that much later. The
 *         mapping is monotonic, and what was stamped before keeps its stamp. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "tests/model/model.h"

enum { STEPS = 4096 };
#define SECOND INT64_C(1000000000)
static const int64_t grain_of[STAMP_KINDS] = {1, 10 * 1000 * 1000, SECOND};

static struct { /* one world at a time; set between sessions only */
    int64_t grain, from[STEPS], offset[STEPS];
    size_t count;
} seam = {.grain = 1};

static int64_t real_now(clockid_t clock)
{
    struct timespec t;
    syscall(SYS_clock_gettime, clock, &t);
    return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

static int64_t mapped(int64_t ns)
{
    size_t i = seam.count;
    while (i && seam.from[i - 1] > ns)
        i--;
    return i ? ns + seam.offset[i - 1] : ns;
}

void seam_reset(int stamps)
{
    seam.count = 0;
    seam.grain = grain_of[stamps];
}

void seam_pass(int64_t ns)
{
    /* A stamp made before now must stay before now: the coarse clock stamps up to a tick late. */
    int64_t before = real_now(CLOCK_REALTIME);
    const struct timespec pause = {0, 1000 * 1000};
    while (real_now(CLOCK_REALTIME_COARSE) <= before)
        nanosleep(&pause, NULL);
    if (seam.count == STEPS)
        return;
    int64_t so_far = seam.count ? seam.offset[seam.count - 1] : 0;
    seam.from[seam.count] = before + 1;
    seam.offset[seam.count++] = so_far + ns;
}

int64_t seam_now_ms(void)
{
    return mapped(real_now(CLOCK_REALTIME)) / 1000000;
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
    int rc = (int)syscall(SYS_clock_gettime, clock, t);
    if (rc == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t ns = mapped((int64_t)t->tv_sec * SECOND + t->tv_nsec);
        t->tv_sec = ns / SECOND;
        t->tv_nsec = ns % SECOND;
    }
    return rc;
}

static void stamp(struct timespec *t)
{
    int64_t ns = mapped((int64_t)t->tv_sec * SECOND + t->tv_nsec);
    ns -= ns % seam.grain;
    t->tv_sec = ns / SECOND;
    t->tv_nsec = ns % SECOND;
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

bool seam_mtime(int fd, struct timespec *t)
{
    struct stat st;
    bool ok = syscall(SYS_newfstatat, fd, "", &st, AT_EMPTY_PATH) == 0;
    if (ok)
        *t = st.st_mtim;
    return ok;
}
