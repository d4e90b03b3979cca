/* store_open.c - opening and closing an environment: the registry, what the marker says, the gate,
 * quarantine. See store_env.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "tiers/gate.h"
#include "tiers/store_env.h"

enum {
    OPEN_WAIT_MS = 5000,  /* for DIR/lock: another opener may be at its gate, 1 s per GB */
    CLOSE_WAIT_MS = 1000, /* then the store is left open, and the next opener runs the gate */
    LOCK_LEAST = 8192,    /* of lock.mdb, for TIER__SLOTS readers; else it is made anew */
    LOCK_MOST = 1 << 20,
    MAP_FIRST = 4 << 20 /* doubled when full; ten doublings make 4 GiB */
};

/* The library's only global (DESIGN 4): a second LMDB environment on the same file in one process would, when
 * closed, silently reset the locks by which other processes know our readers. Per process: a child of a fork
 * is told by its process and starts its own, whatever the state of the parent's mutex; the parent's list
 * hangs on in `parent`, untouched. */
struct registry {
    struct tier__process process;
    struct tier__boot boot; /* a process does not outlive its boot */
    pthread_mutex_t mutex;
    struct tier__env *first;
    struct registry *parent;
    struct tier__env *lost; /* their lock.mdb was truncated: LMDB's close would touch what is not there */
};
static _Atomic(struct registry *) the_registry;

static struct registry *registry_of_process(void)
{
    struct registry *r = atomic_load(&the_registry);
    while (!r || !tier__process_same(&r->process)) {
        struct registry *n = calloc(1, sizeof *n);
        if (!n)
            return NULL;
        tier__process_mark(&n->process);
        tier__boot_read(&n->boot);
        n->parent = r;
        pthread_mutex_init(&n->mutex, NULL);
        if (atomic_compare_exchange_strong(&the_registry, &r, n))
            return n;
        pthread_mutex_destroy(&n->mutex);
        tier__process_unmark(&n->process);
        free(n);
    }
    return r;
}

static struct tier__env *find(struct registry *r, const struct stat *data)
{
    struct tier__env *e = r->first;
    while (e && (e->dev != data->st_dev || e->ino != data->st_ino))
        e = e->next;
    return e;
}

static void env_free(struct tier__env *e)
{
    int fds[] = {e->top, e->dir, e->mdb_lock, e->lock}; /* lock last: others may enter then */
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    pthread_mutex_destroy(&e->mutex);
    pthread_mutex_destroy(&e->slot_mutex);
    pthread_cond_destroy(&e->cond);
    free(e->path);
    free(e->damaged);
    free(e);
}

static struct tier__env *env_new(const struct registry *r, const struct tier__place *p)
{
    struct tier__env *e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    e->process = r->process;
    e->boot = &r->boot;
    e->refs = 1;
    e->top = e->dir = e->lock = e->mdb_lock = -1;
    size_t size = strlen(p->path) + sizeof "/v1";
    e->path = malloc(size);
    pthread_mutex_init(&e->mutex, NULL);
    pthread_mutex_init(&e->slot_mutex, NULL);
    pthread_cond_init(&e->cond, NULL);
    if (!e->path) {
        env_free(e);
        return NULL;
    }
    snprintf(e->path, size, "%s/v1", p->path);
    return e;
}

struct attach {
    struct tier__base *base;
    const struct tier__store_options *o;
    struct tier__place place;
    const struct tier__why *why;
    struct tier__env *env;
    struct tier__state state;
    struct stat found; /* data.mdb */
    int data;          /* the same, open; -1 where a look was enough */
    bool sole;         /* nobody else has the store open */
    bool by_stamps;    /* its stamps alone say that it is sound */
};

/* ---- what to do with what is there ---- */

enum verdict { SOUND, QUARANTINE, DISCARD };

static int open_data(struct attach *a)
{
    int rc =
        tier__place_file(a->env->dir, "data.mdb", a->place.writable ? O_RDWR : O_RDONLY, &a->data, a->why);
    if (!rc && fstat(a->data, &a->found) != 0)
        rc = tier__why(a->why, TIER_EIO, errno, "fstat of data.mdb");
    return rc;
}

static enum verdict gate(struct attach *a, int *rc)
{
    struct tier__gate_report report;
    *rc = a->data >= 0 ? TIER_OK : open_data(a);
    if (*rc)
        return SOUND; /* no verdict: rc stops the open */
    *rc = tier__gate_check(a->base, a->data, &report);
    if (*rc == TIER_OK || *rc == TIER_ENOMEM)
        return SOUND;
    tier__why(a->why, *rc, 0, "%s: %s", report.code, report.detail);
    *rc = TIER_OK;
    return QUARANTINE;
}

/* Judges a store that nobody has open. On SOUND a->state says how it goes on; *rc stops the open. */
static enum verdict judge(struct attach *a, int *rc)
{
    struct tier__state *s = &a->state;
    *rc = TIER_OK;
    if (s->left == TIER__LEFT_UNKNOWN && a->found.st_size == 0)
        return SOUND; /* just made */
    if (s->left == TIER__LEFT_SUSPECT || s->left == TIER__LEFT_UNKNOWN) {
        tier__why(a->why, 0, 0,
                  s->left == TIER__LEFT_UNKNOWN ? "its state file is damaged"
                                                : "it was found damaged while in use");
        return QUARANTINE;
    }
    a->by_stamps = s->left == TIER__LEFT_CLEAN && s->this_boot && tier__state_matches(s, &a->found);
    if (a->by_stamps)
        return SOUND;
    if (s->left == TIER__LEFT_OPEN && !s->this_boot && s->sync == TIER__SYNC_NONE) {
        tier__why(a->why, 0, 0, "it was written without sync and the machine went down");
        return DISCARD; /* mixed transactions can pass every check: 86 of 1000 gave wrong values */
    }
    enum verdict v = gate(a, rc);
    if (v == SOUND && s->left == TIER__LEFT_OPEN && !s->this_boot)
        s->generation = 0; /* a tail may be lost: cursors into the log mean nothing now (I10) */
    return v;
}

/* ---- attaching ---- */

static int open_parts(struct attach *a, bool make)
{
    struct tier__env *e = a->env;
    int rc = tier__place_store(&a->place, make, &e->dir, a->why);
    if (!rc && !tier__place_right(e->dir, "data.mdb", &a->found))
        rc = open_data(a);
    if (!rc)
        rc = tier__place_file(e->dir, "lock", a->place.writable ? O_RDWR : O_RDONLY, &e->lock, a->why);
    return rc;
}

static void close_parts(struct attach *a)
{
    int *fds[] = {&a->data, &a->env->dir, &a->env->lock, &a->env->mdb_lock};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

/* Another handle of this process has the file open. TIER_END: it has not. */
static int share(struct attach *a, struct registry *r, struct tier__env **env)
{
    struct stat st;
    if (!r->first || fstatat(a->place.top, "v1/data.mdb", &st, AT_SYMLINK_NOFOLLOW) != 0)
        return TIER_END;
    struct tier__env *e = find(r, &st);
    if (!e)
        return TIER_END;
    if (atomic_load(&e->trouble) >= TIER__TROUBLE_OFF) {
        if (a->o->read_only || atomic_load(&e->trouble) == TIER__TROUBLE_OFF)
            return tier__why(a->why, TIER_EIO, 0, "store %s is in trouble in this process", e->path);
        int rc = tier__place_quarantine(&a->place, a->why);
        return rc ? rc : TIER_END;
    }
    if (e->read_only && !a->o->read_only)
        return tier__why(a->why, TIER_EACCESS, 0, "store %s is open without write permission", e->path);
    pthread_mutex_lock(&e->mutex);
    if (!a->o->read_only && a->o->sync < e->sync) {
        e->sync = a->o->sync; /* FULL is the first in the enumeration */
        tier__db_set_sync(e->db, e->sync);
    }
    if (!a->o->read_only && a->o->max_bytes > e->max_bytes)
        e->max_bytes = a->o->max_bytes;
    e->refs++;
    pthread_mutex_unlock(&e->mutex);
    *env = e;
    return TIER_OK;
}

/* The lock file for LMDB and the mode in which it is opened. A read-only handle on a directory that can be
 * written still takes part in LMDB's locking (slots in lock.mdb), as an unlisted reader would see pages
 * overwritten under it; without permission nobody of us can list it, so it goes without, refuses to start
 * beside a writer, and checks after each read that no second commit came between. */
static int prepare_lock(struct attach *a)
{
    struct tier__env *e = a->env;
    struct stat st;
    bool right = tier__place_right(e->dir, "lock.mdb", &st), there = st.st_mode;
    if (there && (!S_ISREG(st.st_mode) || st.st_nlink != 1))
        return tier__why(a->why, TIER_EKIND, 0, "lock.mdb in %s is no regular file with one link", e->path);
    if (a->place.writable && a->sole && !a->o->read_only) {
        /* LMDB starts the table anew where it is the only one at it, whatever it held. */
        bool sane = right && st.st_size >= LOCK_LEAST && st.st_size <= LOCK_MOST;
        int rc = sane ? TIER_OK : tier__place_new_lock(e->dir, a->why);
        if (rc)
            return rc;
        there = true;
    }
    e->read_only = !a->place.writable || (a->o->read_only && !there);
    e->no_lock = e->read_only;
    if (e->no_lock && tier__lock_held(e->lock, TIER__LOCK_WRITERS, F_WRLCK))
        return tier__why(a->why, TIER_EBUSY, 0, "%s is being written by another process", e->path);
    if (e->no_lock)
        return TIER_OK;
    e->mdb_lock = openat(e->dir, "lock.mdb", O_PATH | O_NOFOLLOW | O_CLOEXEC);
    return e->mdb_lock >= 0 ? TIER_OK : tier__why(a->why, TIER_EIO, errno, "lock.mdb in %s", e->path);
}

/* Whether LMDB has opened the file that was looked at. One that was judged by its stamps has them still; one
 * that was read is open, so that no other can have its number. */
static bool same_data(const struct attach *a, const struct stat *st)
{
    return st->st_ino == a->found.st_ino && st->st_dev == a->found.st_dev &&
           (!a->by_stamps || tier__state_matches(&a->state, st));
}

/* Notes the sizes of LMDB's files, which the first reader then need not look at, and leaves it that one warm.
 */
static int settle(struct attach *a, tier__txn *first)
{
    struct tier__env *e = a->env;
    struct stat data, lock = {0};
    int64_t tick = tier__coarse_ms();
    if (fstat(tier__db_fd(e->db), &data) != 0 || !same_data(a, &data) ||
        (!e->no_lock && fstat(e->mdb_lock, &lock) != 0))
        return tier__why(a->why, TIER_EIO, 0, "data.mdb in %s was replaced meanwhile", e->path);
    struct tier__read *r = calloc(1, sizeof *r);
    if (!r)
        return TIER_ENOMEM;
    r->env = e;
    r->txn = first;
    atomic_store(&e->warm, r);
    e->readers = 1;
    e->dev = data.st_dev;
    e->ino = data.st_ino;
    e->lock_size = lock.st_size;
    atomic_store(&e->seen, (uint64_t)data.st_size);
    atomic_store(&e->looked_ms, tick);
    return TIER_OK;
}

static int open_db(struct attach *a)
{
    struct tier__env *e = a->env;
    const char *message = "";
    tier__txn *first = NULL;
    int rc = prepare_lock(a);
    if (rc)
        return rc;
    e->sync = a->o->read_only ? TIER__SYNC_NONE : a->o->sync;
    e->max_bytes = a->o->max_bytes ? a->o->max_bytes : (uint64_t)64 << 30;
    unsigned flags = e->read_only ? TIER__DB_READ_ONLY | TIER__DB_NO_LOCK : 0;
    /* At the reader table; not where nobody else has it open and DIR/lock keeps all out. */
    bool others = !e->no_lock && !(a->sole && a->place.lock >= 0);
    if (others && tier__lock_take(e->lock, TIER__LOCK_SLOTS, F_WRLCK, OPEN_WAIT_MS) != TIER_OK)
        return tier__why(a->why, TIER_EBUSY, 0, "a stopped process holds the reader table of %s", e->path);
    uint64_t map = e->max_bytes < MAP_FIRST ? e->max_bytes : MAP_FIRST;
    enum tier__db_rc db = tier__db_open(e->path, flags, e->sync, map, TIER__SLOTS, &e->db, &first, &message);
    if (others)
        tier__lock_take(e->lock, TIER__LOCK_SLOTS, F_UNLCK, 0);
    if (db == TIER__DB_NO_MEMORY)
        return TIER_ENOMEM;
    if (db)
        return tier__why(a->why, db == TIER__DB_DAMAGED ? TIER_EDAMAGE : TIER_EIO, 0,
                         "LMDB cannot open %s: %s", e->path, message);
    rc = settle(a, first);
    if (rc) {
        tier__txn_abort(first);
        tier__db_close(e->db);
        e->db = NULL;
    }
    return rc;
}

/* One look at DIR/v1. TIER_EDAMAGE: to be set aside, and looked at again. */
static int try_store(struct attach *a, bool *discard)
{
    struct tier__env *e = a->env;
    struct tier__state *s = &a->state;
    *discard = a->by_stamps = false;
    int rc = open_parts(a, !a->o->read_only);
    if (rc)
        return rc == TIER_EABSENT && !a->o->read_only ? TIER_EDAMAGE : rc; /* v1 without its files */
    int mode = a->place.writable ? F_WRLCK : F_RDLCK;
    a->sole = a->place.writable ? tier__lock_take(e->lock, TIER__LOCK_USERS, mode, 0) == TIER_OK
                                : !tier__lock_held(e->lock, TIER__LOCK_USERS, F_WRLCK);
    tier__state_read(e->dir, e->boot, s);
    if (a->sole) {
        enum verdict v = judge(a, &rc);
        if (rc || v != SOUND) {
            *discard = v == DISCARD;
            return rc ? rc : TIER_EDAMAGE;
        }
    } else if (s->left == TIER__LEFT_SUSPECT) {
        return tier__why(a->why, TIER_EDAMAGE, 0, "it was found damaged while in use");
    }
    if (!s->generation) {
        *s = (struct tier__state){
            .left = TIER__LEFT_OPEN, .sync = a->o->sync, .generation = tier__state_new_generation()};
        if (!a->o->read_only && tier__state_write(e->dir, e->boot, s, false) != TIER_OK)
            return tier__why(a->why, TIER_EIO, errno, "cannot write the state file of %s", e->path);
    }
    atomic_store(&e->generation, s->generation);
    rc = open_db(a);
    if (rc)
        return rc;
    if (tier__lock_take(e->lock, TIER__LOCK_USERS, F_RDLCK, OPEN_WAIT_MS) != TIER_OK)
        tier__log(a->base, TIER_LOG_DEBUG, "store %s: no lock as a user", e->path);
    if (!e->read_only)
        tier__lock_take(e->lock, TIER__LOCK_WRITERS, F_RDLCK, 0);
    return TIER_OK;
}

static int attach_new(struct attach *a)
{
    int rc = TIER_EDAMAGE;
    for (int attempt = 0; attempt < 3; attempt++) {
        bool discard;
        rc = try_store(a, &discard);
        if (rc == TIER_OK)
            break;
        close_parts(a);
        if (rc != TIER_EDAMAGE || a->o->read_only)
            break;
        int moved = tier__place_movable(&a->place, a->why);
        if (moved) {
            rc = moved;
            break;
        }
        tier__log(a->base, TIER_LOG_WARNING, "store %s: %s; %s", a->env->path,
                  a->why && a->why->text ? a->why->text : "damaged",
                  discard ? "it is discarded" : "it is moved aside and a new one is started");
        moved = discard ? tier__place_discard(&a->place, a->why) : tier__place_quarantine(&a->place, a->why);
        if (moved) {
            rc = moved;
            break;
        }
    }
    if (a->data >= 0)
        close(a->data);
    a->data = -1;
    return rc;
}

static int attach(struct attach *a, struct registry *r, struct tier__env **env)
{
    int rc = share(a, r, env);
    if (rc != TIER_END)
        return rc;
    if (!(a->env = env_new(r, &a->place)))
        return TIER_ENOMEM;
    rc = attach_new(a);
    if (rc) {
        env_free(a->env);
        return rc;
    }
    a->env->top = a->place.top;
    a->place.top = -1;
    a->env->next = r->first;
    r->first = a->env;
    *env = a->env;
    return TIER_OK;
}

int tier__env_attach(struct tier__base *base, const struct tier__store_options *o, struct tier__env **env,
                     const struct tier__why *why)
{
    char text[256] = "";
    struct tier__why inner = {text, sizeof text};
    struct attach a = {.base = base, .o = o, .why = why && why->text ? why : &inner, .data = -1};
    struct registry *r = registry_of_process();
    if (!r)
        return TIER_ENOMEM;
    int rc = tier__place_open(base, o->dir, o->read_only, &a.place, a.why);
    if (rc)
        return rc;
    pthread_mutex_lock(&r->mutex);
    if (a.place.lock >= 0)
        rc = tier__lock_take(a.place.lock, TIER__LOCK_OPEN, a.place.writable ? F_WRLCK : F_RDLCK,
                             OPEN_WAIT_MS);
    if (rc)
        tier__why(a.why, rc, 0, "%s is being opened by another process, too slow or stopped", a.place.path);
    else
        rc = attach(&a, r, env);
    pthread_mutex_unlock(&r->mutex);
    tier__place_close(base, &a.place); /* and with its descriptor the lock */
    return rc;
}

/* ---- releasing ---- */

static void drop_readers(struct tier__env *e)
{
    tier__env_cool(e);
    while (e->pool) {
        struct tier__read *r = e->pool;
        e->pool = r->next;
        tier__txn_abort(r->txn);
        free(r);
    }
}

/* The last user of the last process: on disk, then marked. DIR/lock is held. */
static void leave_clean(struct tier__base *base, struct tier__env *e)
{
    struct tier__state s;
    if (e->read_only || atomic_load(&e->trouble) != TIER__TROUBLE_NONE ||
        tier__lock_take(e->lock, TIER__LOCK_USERS, F_WRLCK, 0) != TIER_OK)
        return;
    tier__state_read(e->dir, e->boot, &s);
    if (s.left != TIER__LEFT_OPEN || !s.this_boot)
        return;
    if (tier__db_sync(e->db) != TIER__DB_OK) {
        tier__env_trouble(base, e, TIER__TROUBLE_ALL, "it could not be synced");
        return;
    }
    s.left = TIER__LEFT_CLEAN;
    if (tier__state_stamp(tier__db_fd(e->db), &s) == TIER_OK)
        tier__state_write(e->dir, e->boot, &s, true);
}

void tier__env_release(struct tier__base *base, struct tier__env **env)
{
    struct tier__env *e = *env;
    *env = NULL;
    if (!e ||
        !tier__process_same(&e->process)) /* a child's copy: the parent's, never touched nor closed here */
        return;
    struct registry *r = registry_of_process();
    if (!r)
        return;
    pthread_mutex_lock(&r->mutex);
    if (--e->refs == 0) {
        struct tier__env **at = &r->first;
        while (*at && *at != e)
            at = &(*at)->next;
        if (*at)
            *at = e->next;
        int lock = -1;
        bool held = !e->read_only && tier__place_file(e->top, "lock", O_RDWR, &lock, NULL) == TIER_OK &&
                    tier__lock_take(lock, TIER__LOCK_OPEN, F_WRLCK, CLOSE_WAIT_MS) == TIER_OK;
        struct stat st;
        if (!e->no_lock && (fstat(e->mdb_lock, &st) != 0 || st.st_size < e->lock_size)) {
            e->next = r->lost;
            r->lost = e;
        } else {
            drop_readers(e);
            if (held)
                leave_clean(base, e);
            tier__db_close(e->db);
            env_free(e);
        }
        if (lock >= 0)
            close(lock);
    }
    pthread_mutex_unlock(&r->mutex);
}
