/* store_lease.c - leases: byte locks by which the processes on one store tell each other what they are
 * computing.
 *
 * Two bytes of v1/lock for each key, far beyond those of enum tier__lock: OWNER is held alone by who
 * computes, WANTED is shared by those who wait for it. They are OFD locks on a description that belongs to
 * one handle alone: two caches in one process see each other's, and the kernel drops them when the owner
 * ends, however it does. Nothing depends on them: whatever fails here means "compute". */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "tiers/store_parts.h"

enum { OWNER, WANTED };
#define LEASES_AT ((off_t)1 << 32)
#define KEY_MASK \
    ((UINT64_C(1) << 56) - 1) /* keys that agree in it share a lease: too much waiting, no more */

static struct flock bytes(uint64_t key, int mode, int from, int count)
{
    return (struct flock){.l_type = (short)mode,
                          .l_whence = SEEK_SET,
                          .l_start = LEASES_AT + (off_t)(key & KEY_MASK) * 2 + from,
                          .l_len = count,
                          .l_pid = 0};
}

static bool other_holds(const tier__store *st, uint64_t key, int byte)
{
    struct flock l = bytes(key, F_WRLCK, byte, 1);
    return st->lease_fd >= 0 && fcntl(st->lease_fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK;
}

void tier__builds_open(tier__store *st)
{
    if (atomic_load_explicit(&st->builds, memory_order_acquire))
        return;
    pthread_mutex_lock(&st->build_mutex);
    if (!atomic_load_explicit(&st->builds, memory_order_relaxed)) {
        if (!st->read_only && !st->env->read_only)
            tier__place_file(st->env->dir, "lock", O_RDWR, &st->lease_fd, NULL);
        tier__strikes_open(st);
        atomic_store_explicit(&st->builds, true, memory_order_release);
    }
    pthread_mutex_unlock(&st->build_mutex);
}

void tier__store_forget(tier__store *st)
{
    if (st && st->lease_fd >= 0) {
        tier__strikes_forget(st);
        close(st->lease_fd);
    }
}

int tier__lease_take(tier__store *st, uint64_t key)
{
    struct flock l = bytes(key, F_WRLCK, OWNER, 1);
    tier__builds_open(st);
    if (st->lease_fd < 0)
        return TIER_EIO;
    if (fcntl(st->lease_fd, F_OFD_SETLK, &l) == 0)
        return TIER_OK;
    return errno == EAGAIN || errno == EACCES ? TIER_EBUSY : TIER_EIO;
}

bool tier__lease_held(const tier__store *st, uint64_t key)
{
    return other_holds(st, key, OWNER);
}

void tier__lease_want(tier__store *st, uint64_t key, bool want)
{
    struct flock l = bytes(key, want ? F_RDLCK : F_UNLCK, WANTED, 1);
    if (st->lease_fd >= 0)
        fcntl(st->lease_fd, F_OFD_SETLK, &l);
}

bool tier__lease_wanted(const tier__store *st, uint64_t key)
{
    return other_holds(st, key, WANTED);
}

void tier__lease_drop(tier__store *st, uint64_t key)
{
    struct flock l = bytes(key, F_UNLCK, OWNER, 1);
    if (st->lease_fd >= 0)
        fcntl(st->lease_fd, F_OFD_SETLK, &l);
}

bool tier__store_shared(const tier__store *st)
{
    return !st->read_only && tier__lock_held(st->env->lock, TIER__LOCK_USERS, F_WRLCK);
}
