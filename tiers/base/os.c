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

void tier__huge_pages(void *memory, size_t size)
{
    enum { HUGE_PAGE = 2 << 20, COLLAPSE = 25 }; /* MADV_COLLAPSE, since Linux 6.1: at once, else sometime */
    int before = errno;
    char *first = (char *)((uintptr_t)memory & ~(uintptr_t)4095);
    char *end = (char *)(((uintptr_t)memory + size + 4095) & ~(uintptr_t)4095);
    if ((size_t)(end - first) >= HUGE_PAGE && madvise(first, (size_t)(end - first), MADV_HUGEPAGE) == 0)
        (void)madvise(first, (size_t)(end - first), COLLAPSE);
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
