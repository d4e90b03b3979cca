/* store_env.c - see store_env.h: snapshots, the write lock, growth, trouble. Opening and closing are in
 * store_open.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "tiers/shield.h"
#include "tiers/store_env.h"

enum {
    SLOT_WAIT_MS = 500, /* for LMDB's reader table: held for microseconds, unless its holder was stopped */
    GROW_WAIT_MS = 200  /* a reader's, while another thread grows the map; then it is a miss */
};

int tier__env_usable(const struct tier__env *env)
{
    if (!tier__process_same(&env->process))
        return TIER_EBUSY;
    return atomic_load_explicit(&env->trouble, memory_order_relaxed) >= TIER__TROUBLE_OFF ? TIER_EIO
                                                                                          : TIER_OK;
}

void tier__env_trouble(struct tier__base *base, struct tier__env *env, enum tier__trouble t, const char *what)
{
    int before = atomic_load(&env->trouble);
    while (before < (int)t && !atomic_compare_exchange_weak(&env->trouble, &before, (int)t))
        ;
    if (before >= (int)t)
        return;
    tier__log(base, TIER_LOG_WARNING, "store %s: %s; %s", env->path, what,
              t == TIER__TROUBLE_ALL   ? "it is used no more and will be quarantined"
              : t == TIER__TROUBLE_OFF ? "it is used no more by this process"
                                       : "nothing more is written to it");
    if (t != TIER__TROUBLE_ALL || env->read_only)
        return;
    struct tier__state s = {
        .left = TIER__LEFT_SUSPECT, .sync = env->sync, .generation = atomic_load(&env->generation)};
    tier__state_write(env->dir, env->boot, &s,
                      true); /* could not: the open marker, or its stamps, bring the gate */
}

bool tier__env_intact(struct tier__base *base, struct tier__env *env)
{
    struct stat data, lock = {0};
    uint64_t seen = atomic_load(&env->seen); /* before the look at the size: the file only grows */
    if (fstat(tier__db_fd(env->db), &data) != 0)
        return false;
    uint64_t size = (uint64_t)data.st_size;
    if (size < seen) {
        tier__env_trouble(base, env, TIER__TROUBLE_ALL, "data.mdb was truncated while in use");
        return false;
    }
    while (size > seen && !atomic_compare_exchange_weak(&env->seen, &seen, size))
        ;
    if (!env->no_lock && (fstat(env->mdb_lock, &lock) != 0 || lock.st_size < env->lock_size)) {
        tier__env_trouble(base, env, TIER__TROUBLE_ALL, "lock.mdb was truncated while in use");
        return false;
    }
    return true;
}

bool tier__env_intact_lately(struct tier__base *base, struct tier__env *env)
{
    int64_t tick = tier__coarse_ms();
    if (atomic_load_explicit(&env->looked_ms, memory_order_relaxed) == tick)
        return true;
    if (!tier__env_intact(base, env))
        return false;
    atomic_store_explicit(&env->looked_ms, tick, memory_order_relaxed);
    return true;
}

int tier__env_rc(struct tier__base *base, struct tier__env *env, enum tier__db_rc rc, const char *what)
{
    char text[96];
    switch (rc) {
    case TIER__DB_OK:
        return TIER_OK;
    case TIER__DB_ABSENT:
        return TIER_EABSENT;
    case TIER__DB_NO_MEMORY:
        return TIER_ENOMEM;
    case TIER__DB_READERS_FULL:
        return TIER_EBUSY;
    case TIER__DB_MAP_FULL:
    case TIER__DB_MAP_RESIZED:
    case TIER__DB_TXN_FULL:
    case TIER__DB_NO_SPACE:
        return TIER_EIO;
    case TIER__DB_IO:
    case TIER__DB_OTHER:
        snprintf(text, sizeof text, "%s failed: %s", what, strerror(errno));
        tier__env_trouble(base, env, TIER__TROUBLE_ALL, text);
        return TIER_EIO;
    case TIER__DB_DAMAGED:
        break;
    }
    snprintf(text, sizeof text, "%s met a damaged page", what);
    tier__env_trouble(base, env, TIER__TROUBLE_ALL, text);
    return TIER_EIO;
}

/* Waits on env->cond until `until`; false: it has passed. With the mutex. */
static bool wait_until(struct tier__env *env, int64_t until)
{
    struct timespec t = {.tv_sec = (time_t)(until / 1000), .tv_nsec = (long)(until % 1000) * 1000000};
    return pthread_cond_clockwait(&env->cond, &env->mutex, CLOCK_MONOTONIC, &t) != ETIMEDOUT;
}

/* ---- snapshots ---- */

static int lock_slots(struct tier__env *env)
{
    pthread_mutex_lock(&env->slot_mutex);
    int rc = env->no_lock ? TIER_OK : tier__lock_take(env->lock, TIER__LOCK_SLOTS, F_WRLCK, SLOT_WAIT_MS);
    if (rc)
        pthread_mutex_unlock(&env->slot_mutex);
    return rc;
}

static void unlock_slots(struct tier__env *env)
{
    if (!env->no_lock)
        tier__lock_take(env->lock, TIER__LOCK_SLOTS, F_UNLCK, 0);
    pthread_mutex_unlock(&env->slot_mutex);
}

void tier__env_clear_slots(struct tier__env *env)
{
    if (lock_slots(env) != TIER_OK)
        return;
    tier__db_reader_check(env->db);
    unlock_slots(env);
}

/* A new reader, active. LMDB takes its own mutex here, hence the lock around it: a process that was stopped
 * right there would otherwise block every other one for good. */
static enum tier__db_rc new_reader(struct tier__env *env, struct tier__read **r)
{
    struct tier__read *n = calloc(1, sizeof *n);
    if (!n)
        return TIER__DB_NO_MEMORY;
    n->env = env;
    enum tier__db_rc rc = TIER__DB_READERS_FULL;
    if (lock_slots(env) == TIER_OK) {
        rc = tier__txn_begin(env->db, false, &n->txn);
        if (rc == TIER__DB_READERS_FULL) {
            tier__db_reader_check(env->db);
            rc = tier__txn_begin(env->db, false, &n->txn);
        }
        unlock_slots(env);
    }
    if (rc)
        free(n);
    else
        *r = n;
    return rc;
}

/* ---- places: while one is taken the map stays where it is.
 *
 * The last parked reader keeps its place and waits in env->warm: whoever comes next has both by an exchange,
 * where the mutex, taken twice, was a tenth of a hit of 64 bytes. Who wants to move the map says so first
 * (growing), then takes the warm one away; who leaves a warm one looks whether somebody said so after that:
 * one of the two finds it. */
static inline bool leave_warm(struct tier__env *env, struct tier__read **r)
{
    struct tier__read *none = NULL;
    if (atomic_load(&env->growing) || !atomic_compare_exchange_strong(&env->warm, &none, *r))
        return false;
    if (!atomic_load(&env->growing))
        return true;
    *r = atomic_exchange(&env->warm, NULL);
    return !*r;
}

__attribute__((noinline)) static int take_cold(struct tier__env *env, struct tier__read **r)
{
    int rc = TIER_OK;
    pthread_mutex_lock(&env->mutex);
    if (env->growing) {
        int64_t until = tier__monotonic_ms() + GROW_WAIT_MS;
        while (env->growing && wait_until(env, until))
            ;
        rc = env->growing ? TIER_EBUSY : TIER_OK;
    }
    if (!rc) {
        env->readers++;
        if (r && (*r = env->pool)) {
            env->pool = (*r)->next;
            env->pooled--;
        }
    }
    pthread_mutex_unlock(&env->mutex);
    return rc;
}

/* r: a parked reader may come with it; NULL: not wanted. */
static inline int take_place(struct tier__env *env, struct tier__read **r)
{
    return r && (*r = atomic_exchange(&env->warm, NULL)) ? TIER_OK : take_cold(env, r);
}

/* With the mutex. false: the pool is full. */
static bool put_aside(struct tier__env *env, struct tier__read *r)
{
    if (env->pooled >= TIER__POOL_MAX)
        return false;
    r->next = env->pool;
    env->pool = r;
    env->pooled++;
    return true;
}

__attribute__((noinline)) static void leave_cold(struct tier__env *env, struct tier__read *r)
{
    pthread_mutex_lock(&env->mutex);
    if (r && put_aside(env, r))
        r = NULL;
    if (--env->readers == 0 && env->growing)
        pthread_cond_broadcast(&env->cond);
    pthread_mutex_unlock(&env->mutex);
    if (r) {
        tier__txn_abort(r->txn);
        free(r);
    }
}

/* Gives the place back, and the parked reader, if there is one, to those who come. */
static inline void leave_place(struct tier__env *env, struct tier__read *r)
{
    if (!r || !leave_warm(env, &r))
        leave_cold(env, r);
}

void tier__env_cool(struct tier__env *env)
{
    struct tier__read *r = atomic_exchange(&env->warm, NULL);
    if (!r)
        return;
    env->readers--;
    if (!put_aside(env, r)) {
        tier__txn_abort(r->txn);
        free(r);
    }
}

int tier__env_enter(struct tier__env *env)
{
    return take_place(env, NULL);
}

void tier__env_leave(struct tier__env *env)
{
    leave_place(env, NULL);
}

uint64_t tier__env_ask(struct tier__env *env, uint64_t (*what)(const tier__db *db))
{
    pthread_mutex_lock(&env->mutex); /* the map is moved with it held */
    uint64_t answer = what(env->db);
    pthread_mutex_unlock(&env->mutex);
    return answer;
}

/* The file may end before its last page where the writer died between its commit and the extension, or
 * another process is right there. */
static bool reaches_end(struct tier__base *base, struct tier__env *env)
{
    uint64_t need = tier__db_bytes(env->db);
    if (need <= atomic_load_explicit(&env->seen, memory_order_relaxed))
        return true;
    if (!tier__env_intact(base, env))
        return false;
    if (need <= atomic_load(&env->seen))
        return true;
    if (env->read_only || tier__env_write_lock(base, env, GROW_WAIT_MS) != TIER_OK)
        return false;
    tier__env_extend(env);
    tier__env_write_unlock(env);
    return need <= atomic_load(&env->seen);
}

static enum tier__db_rc start(struct tier__env *env, struct tier__read **r)
{
    if (!*r)
        return new_reader(env, r);
    return tier__txn_renew((*r)->txn);
}

int tier__env_read(struct tier__base *base, struct tier__env *env, struct tier__read **out)
{
    int rc = tier__env_usable(env);
    for (int attempt = 0; !rc && attempt < 3; attempt++) {
        struct tier__read *r = NULL;
        if (!tier__env_intact_lately(base, env))
            return TIER_EIO;
        if ((rc = take_place(env, &r)) != TIER_OK)
            return rc;
        enum tier__db_rc db = start(env, &r);
        uint64_t id = db == TIER__DB_OK ? tier__txn_id(r->txn) : 0;
        if (db == TIER__DB_OK &&
            (id == atomic_load_explicit(&env->reached, memory_order_relaxed) || reaches_end(base, env))) {
            atomic_store_explicit(&env->reached, id, memory_order_relaxed);
            r->id = id;
            *out = r;
            return TIER_OK;
        }
        if (db == TIER__DB_OK)
            tier__txn_park(r->txn);
        leave_place(env, r);
        if (db == TIER__DB_MAP_RESIZED)
            rc = tier__env_remap(base, env, 0, GROW_WAIT_MS);
        else
            rc = db == TIER__DB_OK ? TIER_EBUSY : tier__env_rc(base, env, db, "a snapshot");
    }
    return rc ? rc : TIER_EBUSY;
}

void tier__env_read_end(struct tier__read **r)
{
    if (!*r)
        return;
    struct tier__env *env = (*r)->env;
    if (tier__process_same(&env->process)) {
        if (tier__env_usable(env) == TIER_OK) /* else its slot may lie in a map that is gone */
            tier__txn_park((*r)->txn);
        leave_place(env, *r);
    }
    *r = NULL;
}

bool tier__env_read_sound(const struct tier__read *r)
{
    return !r->env->no_lock || tier__db_news(r->env->db) <= r->id + 1;
}

/* ---- writing ---- */

int tier__env_write_lock(struct tier__base *base, struct tier__env *env, int64_t wait_ms)
{
    int64_t until = tier__monotonic_ms() + wait_ms;
    pthread_mutex_lock(&env->mutex);
    while (env->writing && wait_until(env, until))
        ;
    int rc = env->writing ? TIER_EBUSY : TIER_OK;
    if (!rc)
        env->writing = true;
    pthread_mutex_unlock(&env->mutex);
    if (rc)
        return rc;
    rc = tier__lock_take(env->lock, TIER__LOCK_WRITE, F_WRLCK, until - tier__monotonic_ms());
    if (rc) {
        pthread_mutex_lock(&env->mutex);
        env->writing = false;
        pthread_cond_broadcast(&env->cond);
        pthread_mutex_unlock(&env->mutex);
        tier__log(base, TIER_LOG_DEBUG, "store %s: the write lock was not to be had in %lld ms", env->path,
                  (long long)wait_ms);
    }
    return rc;
}

void tier__env_write_unlock(struct tier__env *env)
{
    tier__lock_take(env->lock, TIER__LOCK_WRITE, F_UNLCK, 0);
    pthread_mutex_lock(&env->mutex);
    env->writing = false;
    pthread_cond_broadcast(&env->cond);
    pthread_mutex_unlock(&env->mutex);
}

/* Whether DIR/v1/NAME is still the file that fd is. */
static bool same_file(const struct tier__env *env, const char *name, int fd)
{
    struct stat a, b;
    return fstatat(env->top, name, &a, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &b) == 0 &&
           a.st_dev == b.st_dev && a.st_ino == b.st_ino && b.st_nlink == 1;
}

void tier__env_look(struct tier__base *base, struct tier__env *env)
{
    if (atomic_load(&env->moved) || same_file(env, "v1/data.mdb", tier__db_fd(env->db)))
        return;
    atomic_store(&env->moved, true);
    tier__env_trouble(base, env, TIER__TROUBLE_WRITE, "data.mdb was moved or replaced");
}

static int mark_open(struct tier__base *base, struct tier__env *env)
{
    struct tier__state s;
    tier__state_read(env->dir, env->boot, &s);
    if (s.left == TIER__LEFT_SUSPECT) {
        tier__env_trouble(base, env, TIER__TROUBLE_ALL, "another process found it damaged");
        return TIER_EIO;
    }
    bool open = s.left == TIER__LEFT_OPEN && s.this_boot;
    if (!open || env->sync > s.sync) { /* weaker than it says: NONE is the last in the enumeration */
        struct tier__state n = {
            .left = TIER__LEFT_OPEN, .sync = env->sync, .generation = atomic_load(&env->generation)};
        /* Durable before the first page is written: else a power cut could leave "clean" on a torn store. */
        if (tier__state_write(env->dir, env->boot, &n, true) != TIER_OK) {
            tier__env_trouble(base, env, TIER__TROUBLE_WRITE, "its state file cannot be written");
            return TIER_EIO;
        }
    }
    env->marked = true;
    return TIER_OK;
}

int tier__env_write_ready(struct tier__base *base, struct tier__env *env)
{
    int rc = tier__env_usable(env);
    if (rc)
        return rc;
    if (env->read_only || atomic_load(&env->trouble) != TIER__TROUBLE_NONE)
        return TIER_EIO;
    if (!tier__env_intact(base, env))
        return TIER_EIO;
    /* Two writers on two lock files: 6 of 20 stores then held wrong values. */
    if (!same_file(env, "v1/lock.mdb", env->mdb_lock) || !same_file(env, "v1/lock", env->lock) ||
        !same_file(env, "v1/data.mdb", tier__db_fd(env->db))) {
        tier__env_trouble(base, env, TIER__TROUBLE_WRITE, "its files were moved or replaced");
        return TIER_EIO;
    }
    return env->marked ? TIER_OK : mark_open(base, env);
}

/* LMDB unmaps before it maps anew, and a failure leaves it with nothing: ask for the room first. */
static int set_map(struct tier__base *base, struct tier__env *env, uint64_t bytes)
{
    if (bytes) {
        void *room = mmap(NULL, (size_t)bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (room == MAP_FAILED)
            return TIER_EIO;
        munmap(room, (size_t)bytes);
    }
    if (tier__db_set_map(env->db, bytes) == TIER__DB_OK)
        return TIER_OK;
    tier__env_trouble(base, env, TIER__TROUBLE_OFF, "its map could not grow");
    return TIER_EIO;
}

int tier__env_remap(struct tier__base *base, struct tier__env *env, uint64_t bytes, int64_t wait_ms)
{
    int64_t until = tier__monotonic_ms() + wait_ms;
    int rc = TIER_OK;
    pthread_mutex_lock(&env->mutex);
    while (env->growing && wait_until(env, until))
        ;
    if (env->growing) {
        pthread_mutex_unlock(&env->mutex);
        return TIER_EBUSY;
    }
    env->growing = true; /* new readers wait */
    tier__env_cool(env);
    while (env->readers && wait_until(env, until))
        ;
    if (env->readers)
        rc = TIER_EBUSY;
    else
        rc = set_map(base, env, bytes);
    env->growing = false;
    pthread_cond_broadcast(&env->cond);
    pthread_mutex_unlock(&env->mutex);
    return rc;
}

void tier__env_extend(struct tier__env *env)
{
    struct stat st;
    struct tier__shield shield;
    uint64_t need = tier__env_ask(env, tier__db_bytes);
    int fd = tier__db_fd(env->db);
    if (fstat(fd, &st) != 0)
        return;
    uint64_t size = (uint64_t)st.st_size;
    if (size < need) {
        tier__shield_up(&shield);
        size = ftruncate(fd, (off_t)need) == 0 ? need : size;
        tier__shield_down(&shield);
    }
    uint64_t seen = atomic_load(&env->seen);
    while (size > seen && !atomic_compare_exchange_weak(&env->seen, &seen, size))
        ;
}

void tier__env_note_damaged(struct tier__env *env, enum tier__table t, const void *key, size_t key_size)
{
    pthread_mutex_lock(&env->mutex);
    if (!env->damaged)
        env->damaged = calloc(TIER__DAMAGED_MAX, sizeof *env->damaged);
    bool known = !env->damaged || env->damaged_count == TIER__DAMAGED_MAX; /* the rest are met again */
    for (unsigned i = 0; !known && i < env->damaged_count; i++)
        known = env->damaged[i].table == (uint8_t)t && env->damaged[i].size == key_size &&
                memcmp(env->damaged[i].key, key, key_size) == 0;
    if (!known) {
        env->damaged[env->damaged_count].table = (uint8_t)t;
        env->damaged[env->damaged_count].size = (uint16_t)key_size;
        memcpy(env->damaged[env->damaged_count].key, key, key_size);
        env->damaged_count++;
    }
    pthread_mutex_unlock(&env->mutex);
}
