/* shield.h - a write beyond RLIMIT_FSIZE raises SIGXFSZ, whose default ends the host. While a shield is up
 * the write just fails: the signal is blocked in this thread, and one that came meanwhile is taken away.
 *
 * THREADS   A shield is one thread's, and goes down before those that were up when it went up. */
#ifndef TIER_SHIELD_H
#define TIER_SHIELD_H
#include <signal.h>
#include <stdbool.h>

struct tier__shield {
    sigset_t mask;
    bool pending;
};

void tier__shield_up(struct tier__shield *s);
void tier__shield_down(const struct tier__shield *s); /* errno stays */
#endif
