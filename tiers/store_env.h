/* store_env.h - one open environment, shared by all stores of this process that lie on the same data file:
 * the registry, snapshots, the write lock, growth of the map, what happens in trouble.
 *
 * PHASES   attached (tier__env_attach) -> [open marker written, at the first commit] -> released; clean when
 *          the last user of the last process left it without trouble.
 * LOCKS    registry mutex > DIR/lock > v1/lock bytes > slot_mutex > mutex. None is held while callers run,
 *          but for the write byte and the `writing` flag between write_lock and write_unlock.
 * FORK     process is asked before anything else is touched. A child's registry is its own and starts empty.
 */
#ifndef TIER_STORE_ENV_H
#define TIER_STORE_ENV_H
#include <pthread.h>
#include <sys/types.h>
#include "tiers/store_dir.h"
#include "tiers/store_frame.h"
#include "tiers/store_lmdb.h"

enum tier__trouble {
    TIER__TROUBLE_NONE,
    TIER__TROUBLE_WRITE, /* moved, replaced or not writable: read on, write no more */
    TIER__TROUBLE_OFF,   /* this process cannot use it any more; nothing is wrong with the files */
    TIER__TROUBLE_ALL    /* damaged: used no more, quarantined by the next open */
};
enum { TIER__DAMAGED_MAX = 64, TIER__SLOTS = 1024, TIER__POOL_MAX = 32 };

struct tier__env;
struct tier__read {
    struct tier__read *next; /* in the pool */
    struct tier__env *env;
    tier__txn *txn;
    uint64_t id; /* transaction that it shows */
};

struct tier__damaged {
    uint8_t table;
    uint16_t size;
    unsigned char key[TIER__KEY_MAX];
};

struct tier__env {
    struct tier__env *next;       /* in the registry */
    struct tier__process process; /* the registry's, as is boot */
    const struct tier__boot *boot;
    unsigned refs; /* guarded by the registry's mutex */
    dev_t dev;     /* of data.mdb */
    ino_t ino;
    int top, dir, lock, mdb_lock; /* DIR, v1, v1/lock, v1/lock.mdb as O_PATH: closing that drops no locks */
    char *path;                   /* of v1 */
    tier__db *db;
    bool read_only, no_lock; /* opened without write permission; without LMDB's lock file */
    atomic_uint_fast64_t generation;
    atomic_int trouble;                        /* enum tier__trouble */
    off_t lock_size;                           /* of lock.mdb: mapped, never changes */
    atomic_bool moved;                         /* data.mdb is not the file of that name any more */
    atomic_int_fast64_t glanced_ms, looked_ms; /* the last looks at the names, at the sizes */
    atomic_uint_fast64_t seen;                 /* the largest size of data.mdb; it never shrinks */
    atomic_uint_fast64_t reached;              /* a transaction whose last page lies within the file */
    pthread_mutex_t mutex;                     /* guards what follows, with cond */
    pthread_cond_t cond;                       /* readers fell to 0, growing or writing ended */
    unsigned readers, pooled;                  /* readers: places taken, the warm one's too */
    struct tier__read *_Atomic warm;           /* parked, in a place; NULL: none */
    atomic_bool growing;                       /* written with the mutex */
    bool writing;
    struct tier__read *pool;
    enum tier__sync sync; /* the strongest of the handles */
    uint64_t max_bytes;
    bool marked; /* the state file says open, by us */
    unsigned commits;
    unsigned damaged_count;        /* records to delete in the next write transaction */
    struct tier__damaged *damaged; /* room for TIER__DAMAGED_MAX; NULL: none was met */
    pthread_mutex_t slot_mutex;    /* one thread at a time takes or frees reader slots */
};

/* Opens or shares. base is for the log and passing memory alone: the environment outlives it and has its
 * memory from the C library. */
int tier__env_attach(struct tier__base *base, const struct tier__store_options *o, struct tier__env **env,
                     const struct tier__why *why);
void tier__env_release(struct tier__base *base, struct tier__env **env);
/* TIER_OK, TIER_EBUSY (a forked child), TIER_EIO (in trouble). */
int tier__env_usable(const struct tier__env *env);
/* From now on at least that trouble; a mark on disk makes the next open quarantine it when ALL. */
void tier__env_trouble(struct tier__base *base, struct tier__env *env, enum tier__trouble t,
                       const char *what);
/* Whether data.mdb still has all it had: two fstats. */
bool tier__env_intact(struct tier__base *base, struct tier__env *env);
/* Looks whether data.mdb is still the file of that name, and notes it in `moved`. */
void tier__env_look(struct tier__base *base, struct tier__env *env);
/* The same as seen within this tick of the clock, 4 ms here: a file that is truncated under a map kills who
 * reads it in any case, if it happens between the look and the reading; two fstats a hit (0.7 us against 0.6
 * for LMDB's whole get) bought little more. */
bool tier__env_intact_lately(struct tier__base *base, struct tier__env *env);
int tier__env_read(struct tier__base *base, struct tier__env *env, struct tier__read **r);
void tier__env_read_end(struct tier__read **r);
/* A snapshot taken without a reader slot may be overwritten by the second commit after it. */
bool tier__env_read_sound(const struct tier__read *r);
/* Turns a result of the database into one of ours, after it was logged and acted upon. */
int tier__env_rc(struct tier__base *base, struct tier__env *env, enum tier__db_rc rc, const char *what);

/* The write lock: of this process's threads and of all processes, within wait_ms. */
int tier__env_write_lock(struct tier__base *base, struct tier__env *env, int64_t wait_ms);
void tier__env_write_unlock(struct tier__env *env);
/* For a write transaction of LMDB, in which the map must stay where it is, too. TIER_EBUSY. */
int tier__env_enter(struct tier__env *env);
void tier__env_leave(struct tier__env *env);
/* What the database says of itself, which it reads in its map: outside of snapshots and transactions asked
 * here alone, or another thread may be moving the map. */
uint64_t tier__env_ask(struct tier__env *env, uint64_t (*what)(const tier__db *db));
/* With the write lock: the files are the ones that were opened; the state file says open. */
int tier__env_write_ready(struct tier__base *base, struct tier__env *env);
/* Takes the warm reader away; with the mutex, or before anybody else has env. */
void tier__env_cool(struct tier__env *env);
/* Waits until no snapshot of this process is open and sets the map: bytes, or 0 for what others set. */
int tier__env_remap(struct tier__base *base, struct tier__env *env, uint64_t bytes, int64_t wait_ms);
/* After a commit, with the write lock: the file reaches to its last page. */
void tier__env_extend(struct tier__env *env);
void tier__env_clear_slots(struct tier__env *env); /* of dead processes */
void tier__env_note_damaged(struct tier__env *env, enum tier__table t, const void *key, size_t key_size);
#endif
