/* store_dir.h - the cache directory: its checks, its locks, the marker of how the store was left, quarantine.
 *
 * DIR/            0700, owned by us, no symlink, on a local file system
 *   CACHEDIR.TAG  our mark, written first   .gitignore
 *   lock          byte 0: opening, closing, quarantine
 *   v1/           format version 1; made aside and renamed into place, so it is there whole or not at all
 *     data.mdb  lock.mdb        LMDB's
 *     state                     how the store was left: struct tier__state
 *     lock                      bytes: users, write, slots (see enum tier__lock); leases; pages of strikes
 *     strikes                   what programs died in: store_strikes.c
 *   bad-TIME-N/   a quarantined store; the newest 2 are kept
 * Locks are OFD locks: the kernel drops them with the last descriptor, and they are polled with a deadline,
 * so a stopped process delays others but never blocks them. Functions return TIER_... and put a sentence with
 * path and errno into why. */
#ifndef TIER_STORE_DIR_H
#define TIER_STORE_DIR_H
#include <sys/stat.h>
#include "tiers/store.h"
#include "tiers/store_mark.h"

enum tier__lock {
    TIER__LOCK_OPEN = 0,    /* of DIR/lock: exclusive while a store is opened, closed or moved */
    TIER__LOCK_USERS = 1,   /* of v1/lock: shared by all who have the store open */
    TIER__LOCK_WRITE = 2,   /* exclusive during a write transaction */
    TIER__LOCK_SLOTS = 3,   /* around calls that take LMDB's reader table mutex */
    TIER__LOCK_WRITERS = 4, /* shared by those who may write: a reader without LMDB's lock file asks */
    TIER__LOCK_STRIKES = 5  /* around changes of the counts in v1/strikes */
};
/* mode F_RDLCK, F_WRLCK, F_UNLCK. TIER_EBUSY after wait_ms (0: one try); TIER_EIO. */
int tier__lock_take(int fd, enum tier__lock byte, int mode, int64_t wait_ms);
/* Whether another open file description holds a lock that `mode` would collide with. */
bool tier__lock_held(int fd, enum tier__lock byte, int mode);

struct tier__place {
    char *path;    /* of DIR; the base's */
    int top, lock; /* DIR, DIR/lock; -1: none */
    bool writable; /* files can be made in it, and those of the store written */
    bool fresh;    /* it held nothing but what may lie there before the first open */
    bool mark;     /* it has no mark, and holds nothing that would make one wrong */
    bool settings; /* tierkit.ini is in it */
};
int tier__place_open(struct tier__base *base, const char *dir, bool read_only, struct tier__place *p,
                     const struct tier__why *why);
void tier__place_close(struct tier__base *base, struct tier__place *p);

enum tier__left { TIER__LEFT_UNKNOWN, TIER__LEFT_OPEN, TIER__LEFT_CLEAN, TIER__LEFT_SUSPECT };
struct tier__state {
    enum tier__left left;
    enum tier__sync sync; /* the weakest used since the store was last clean */
    uint64_t generation;
    bool this_boot;
    /* of data.mdb at a clean close: any later write to it shows, as its mtime then gets a random fraction */
    uint64_t ino, size;
    int64_t mtime_ns, ctime_ns;
};
struct tier__boot {
    char id[40]; /* the kernel's; "-" where it does not tell: that never equals */
};
void tier__boot_read(struct tier__boot *boot);
/* LEFT_UNKNOWN where there is none that can be read. boot: for this_boot; NULL where nobody asks. */
void tier__state_read(int dir, const struct tier__boot *boot, struct tier__state *s);
/* One sector in place, synced when durable. */
int tier__state_write(int dir, const struct tier__boot *boot, const struct tier__state *s, bool durable);
/* For a clean close: gives data an mtime of its own and puts its stamps into s. */
int tier__state_stamp(int data, struct tier__state *s);
bool tier__state_matches(const struct tier__state *s, const struct stat *data);
uint64_t tier__state_new_generation(void);

/* Opens DIR/v1, or makes it. TIER_EABSENT: it is not there and make is false. */
int tier__place_store(const struct tier__place *p, bool make, int *dir, const struct tier__why *why);
/* Whether name below dir is as tier__place_file leaves it, and needs no opening for that. st: what is there;
 * st_mode 0 where nothing is. */
bool tier__place_right(int dir, const char *name, struct stat *st);
/* Opens name below dir and checks it: regular, ours, one link, 0600. flags as for open(2). */
int tier__place_file(int dir, const char *name, int flags, int *fd, const struct tier__why *why);
/* TIER_EKIND with a sentence where v1 holds what is not ours: it is neither moved nor deleted. */
int tier__place_movable(const struct tier__place *p, const struct tier__why *why);
/* Renames DIR/v1 to DIR/bad-...; drops all but the newest two of those. Where it is movable. */
int tier__place_quarantine(const struct tier__place *p, const struct tier__why *why);
unsigned tier__place_quarantined(const struct tier__place *p); /* how many bad-... with our files alone */
/* Deletes DIR/v1, where it is movable. */
int tier__place_discard(const struct tier__place *p, const struct tier__why *why);
/* A fresh lock.mdb of mode 0600, for the only user of the store. */
int tier__place_new_lock(int dir, const struct tier__why *why);
#endif
