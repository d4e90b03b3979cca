/* os.c - clocks, and what an errno means to a caller. */
#include <errno.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "tiers/base/base.h"

static int64_t nanoseconds(clockid_t clock)
{
    struct timespec t = {0};
    clock_gettime(clock, &t); /* these clocks exist on every Linux: it cannot fail */
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t tier__now_ms(void)
{
    return nanoseconds(CLOCK_REALTIME) / 1000000;
}

int64_t tier__now_ns(void)
{
    /* File systems stamp with the kernel's coarse clock. The fine one runs up to a tick (1-10 ms) ahead, and
     * an observation stamped by it would seem later than a write that in truth came after. */
    return nanoseconds(CLOCK_REALTIME_COARSE);
}

int64_t tier__monotonic_ms(void)
{
    return nanoseconds(CLOCK_MONOTONIC) / 1000000;
}

int64_t tier__coarse_ms(void)
{
    return nanoseconds(CLOCK_MONOTONIC_COARSE) / 1000000;
}

uint64_t tier__monotonic_us(void)
{
    return (uint64_t)nanoseconds(CLOCK_MONOTONIC) / 1000;
}

static void *take(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void *tier__huge_take(void)
{
    int before = errno;
    char *p = take(TIER__HUGE); /* since Linux 6.7 aligned */
    size_t past = (uintptr_t)p % TIER__HUGE;
    if (past) {
        munmap(p, TIER__HUGE);
        if ((p = take(2 * TIER__HUGE))) {
            past = (uintptr_t)p % TIER__HUGE;
            if (past) {
                munmap(p, TIER__HUGE - past);
                p += TIER__HUGE - past;
            }
            munmap(p + TIER__HUGE, past ? past : TIER__HUGE);
        }
    }
    errno = before;
    return p;
}

void tier__huge_give(void *huge)
{
    if (huge)
        munmap(huge, TIER__HUGE);
}

void tier__huge_full(void *huge)
{
    enum { COLLAPSE = 25 }; /* MADV_COLLAPSE, since Linux 6.1: at once, else sometime */
    int before = errno;
    if (madvise(huge, TIER__HUGE, MADV_HUGEPAGE) == 0)
        (void)madvise(huge, TIER__HUGE, COLLAPSE);
    errno = before;
}

enum { MARK_SIZE = 1 }; /* the kernel rounds up to a page */

void tier__process_mark(struct tier__process *p)
{
    p->pid = getpid();
    p->page = NULL;
    unsigned char *page = mmap(NULL, MARK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return;
    if (madvise(page, MARK_SIZE, MADV_WIPEONFORK) != 0) {
        munmap(page, MARK_SIZE);
        return;
    }
    *page = 1;
    p->page = page;
}

void tier__process_unmark(struct tier__process *p)
{
    if (p->page)
        munmap((void *)(uintptr_t)p->page, MARK_SIZE);
    p->page = NULL;
}

bool tier__process_same_pid(const struct tier__process *p)
{
    return p->pid == getpid();
}

int tier__errno_rc(int error)
{
    switch (error) {
    case 0:
        return TIER_OK;
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case ENAMETOOLONG:
        return TIER_EABSENT;
    case EACCES:
    case EPERM:
        return TIER_EACCESS;
    case EISDIR:
    case ENXIO:
        return TIER_EKIND;
    case ENOMEM:
        return TIER_ENOMEM;
    default:
        return TIER_EIO;
    }
}
