/* shield.c - see shield.h. */
#include "tiers/shield.h"
#include <errno.h>
#include <time.h>

static bool is_pending(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigpending(&set);
    return sigismember(&set, SIGXFSZ);
}

static void only_xfsz(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGXFSZ);
}

void tier__shield_up(struct tier__shield *s)
{
    sigset_t xfsz;
    only_xfsz(&xfsz);
    s->pending = is_pending();
    pthread_sigmask(SIG_BLOCK, &xfsz, &s->mask);
}

void tier__shield_down(const struct tier__shield *s)
{
    sigset_t xfsz;
    struct timespec at_once = {0, 0};
    int error = errno;
    only_xfsz(&xfsz);
    if (!s->pending && is_pending())
        sigtimedwait(&xfsz, NULL, &at_once);
    pthread_sigmask(SIG_SETMASK, &s->mask, NULL);
    errno = error;
}
