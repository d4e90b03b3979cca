/* store_strikes.c - see strikes.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include "tiers/checksum.h"
#include "tiers/shield.h"
#include "tiers/store_parts.h"
#include "tiers/strikes.h"

enum {
    PAGE = 4096,
    PLACES = 64,  /* of one handle: as many threads build at once and are marked */
    PAGES = 1024, /* handles at once */
    COUNTS = 128,
    KEY = 12, /* bytes of a digest */
    NAME = 31,
    LOCK_WAIT_MS = 200,
    LAPSE_MS = 24 * 3600 * 1000
};
#define PAGES_AT ((off_t)1 << 60) /* in v1/lock: one byte a page, beyond the leases */

struct mark { /* in the byte order of the machine: it goes nowhere else */
    unsigned char type[KEY], request[KEY];
    char name[NAME + 1];
    uint64_t busy; /* since when, in ms; last written, first cleared */
};
struct count {
    unsigned char key[KEY];
    uint32_t strikes;
    int64_t last_ms;
    uint64_t sum;
};
_Static_assert(sizeof(struct mark) * PLACES == PAGE && sizeof(struct count) * COUNTS <= PAGE,
               "one page each");

struct tier__strikes {
    int fd;
    off_t page; /* where ours begins */
    struct mark *mark;
    atomic_uint_fast64_t taken; /* places, one bit each */
    pthread_mutex_t mutex;      /* guards seen and count */
    struct timespec seen;       /* the file's mtime when count was read */
    struct count count[COUNTS];
    atomic_bool any; /* some count is not 0 */
};

static bool page_lock(const tier__store *st, unsigned page, int mode)
{
    struct flock l = {
        .l_type = (short)mode, .l_whence = SEEK_SET, .l_start = PAGES_AT + page, .l_len = 1, .l_pid = 0};
    return fcntl(st->lease_fd, F_OFD_SETLK, &l) == 0;
}

/* ---- counts: read, changed and written under the lock */
static uint64_t count_sum(const struct count *n)
{
    return tier__checksum(n, offsetof(struct count, sum), 1);
}

static void counts_read(struct tier__strikes *k)
{
    bool any = false;
    ssize_t got = pread(k->fd, k->count, sizeof k->count, 0);
    int64_t now = tier__now_ms();
    for (int i = 0; i < COUNTS; i++) {
        struct count *n = &k->count[i];
        if (got != sizeof k->count || !n->strikes || n->sum != count_sum(n) || now - n->last_ms > LAPSE_MS ||
            n->last_ms > now)
            memset(n, 0, sizeof *n);
        any |= n->strikes > 0;
    }
    atomic_store(&k->any, any);
}

static bool counts_begin(tier__store *st)
{
    struct tier__strikes *k = st->strikes;
    pthread_mutex_lock(&k->mutex);
    if (tier__lock_take(st->lease_fd, TIER__LOCK_STRIKES, F_WRLCK, LOCK_WAIT_MS) == TIER_OK) {
        counts_read(k);
        return true;
    }
    pthread_mutex_unlock(&k->mutex);
    return false;
}

static void counts_end(tier__store *st, bool write)
{
    struct tier__strikes *k = st->strikes;
    struct tier__shield shield;
    bool any = false;
    for (int i = 0; i < COUNTS; i++) {
        k->count[i].sum = count_sum(&k->count[i]);
        any |= k->count[i].strikes > 0;
    }
    tier__shield_up(&shield);
    if (write && pwrite(k->fd, k->count, sizeof k->count, 0) != sizeof k->count)
        any = false; /* not to be had: it does not count */
    tier__shield_down(&shield);
    atomic_store(&k->any, any);
    tier__lock_take(st->lease_fd, TIER__LOCK_STRIKES, F_UNLCK, 0);
    pthread_mutex_unlock(&k->mutex);
}

static struct count *count_find(struct tier__strikes *k, const void *key)
{
    for (int i = 0; i < COUNTS; i++)
        if (k->count[i].strikes && memcmp(k->count[i].key, key, KEY) == 0)
            return &k->count[i];
    return NULL;
}

/* began: when it was marked. What began before the strike before it was counted died together with that one,
 * or at any rate not of having been tried once more: a signal to all of a job's processes is one death. */
static const struct count *strike(struct tier__strikes *k, const void *key, uint64_t began)
{
    struct count *n = count_find(k, key);
    if (!n) {
        n = &k->count[0]; /* a free one, or the oldest */
        for (int i = 1; i < COUNTS && n->strikes; i++)
            if (k->count[i].last_ms < n->last_ms)
                n = &k->count[i];
        memset(n, 0, sizeof *n);
        memcpy(n->key, key, KEY);
    }
    if (n->strikes && began < (uint64_t)n->last_ms)
        return n;
    n->strikes++;
    n->last_ms = tier__now_ms();
    return n;
}

/* ---- pages */
/* What a process that is gone was computing: its page is locked by us. Each thing counts once a death; a type
 * only where the request had not died in a row before: one request that kills, or that somebody stops each
 * time, says nothing of the others. */
static void collect(tier__store *st, unsigned page)
{
    struct mark mark[PLACES];
    struct tier__strikes *k = st->strikes;
    if (pread(k->fd, mark, PAGE, (off_t)(page + 1) * PAGE) != PAGE)
        return;
    bool busy = false, struck[PLACES] = {false};
    for (int i = 0; i < PLACES; i++)
        busy |= mark[i].busy != 0;
    if (!busy || !counts_begin(st))
        return;
    for (int i = 0; i < PLACES; i++) {
        bool request = mark[i].busy, first = true, type = true;
        mark[i].name[NAME] = 0;
        for (int j = 0; j < i; j++) {
            bool same = mark[j].busy && memcmp(mark[j].type, mark[i].type, KEY) == 0;
            request &= !mark[j].busy || memcmp(mark[j].request, mark[i].request, KEY) != 0;
            first &= !same;
            type &= !same || !struck[j];
        }
        if (!request)
            continue;
        unsigned in_row = strike(k, mark[i].request, mark[i].busy)->strikes;
        struck[i] = type && in_row == 1;
        if (struck[i]) {
            unsigned of_type = strike(k, mark[i].type, mark[i].busy)->strikes;
            in_row = of_type > in_row ? of_type : in_row;
        }
        if (first)
            tier__log(st->base, TIER_LOG_NOTICE,
                      "store %s: a program ended while it built a result of type %s (%u in a row)",
                      st->env->path, mark[i].name, in_row);
    }
    static const unsigned char none[PAGE];
    bool cleared = pwrite(k->fd, none, PAGE, (off_t)(page + 1) * PAGE) == PAGE;
    counts_end(st, cleared); /* else they would count again at the next open */
}

/* The pages of who is gone are looked at; the first of them, or a new one, becomes ours. */
static bool pages_open(tier__store *st)
{
    struct tier__strikes *k = st->strikes;
    struct stat file;
    struct rlimit limit;
    static const unsigned char none[PAGE];
    bool ours = false;
    if (fstat(k->fd, &file) || getrlimit(RLIMIT_FSIZE, &limit) ||
        (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < (rlim_t)(PAGES + 1) * PAGE))
        return false; /* a write beyond it would be a signal */
    unsigned count = file.st_size / PAGE > 1 ? (unsigned)(file.st_size / PAGE - 1) : 0;
    for (unsigned i = 0; i < PAGES && (i < count || !ours); i++) {
        if (!page_lock(st, i, F_WRLCK))
            continue; /* it lives */
        if (i < count)
            collect(st, i);
        if (ours) {
            page_lock(st, i, F_UNLCK);
            continue;
        }
        ours = true;
        k->page = (off_t)(i + 1) * PAGE;
    }
    /* written, not only extended: a page of a hole that the disk has no room for would be a SIGBUS */
    if (!ours || (file.st_size < PAGE && pwrite(k->fd, none, PAGE, 0) != PAGE) ||
        pwrite(k->fd, none, PAGE, k->page) != PAGE)
        return false;
    void *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, k->fd, k->page);
    k->mark = at == MAP_FAILED ? NULL : at;
    return k->mark;
}

void tier__strikes_open(tier__store *st)
{
    if (st->lease_fd < 0)
        return;
    struct tier__strikes *k = tier__zalloc(st->base, 1, sizeof *k);
    if (!k)
        return;
    st->strikes = k;
    atomic_init(&k->taken, 0);
    atomic_init(&k->any, false);
    pthread_mutex_init(&k->mutex, NULL);
    if (tier__place_file(st->env->dir, "strikes", O_RDWR | O_CREAT, &k->fd, NULL) == TIER_OK &&
        pages_open(st)) {
        counts_read(k);
        return;
    }
    tier__strikes_close(st);
}

void tier__strikes_close(tier__store *st)
{
    struct tier__strikes *k = st->strikes;
    if (!k)
        return;
    if (k->mark)
        munmap(k->mark, PAGE);
    if (k->fd >= 0)
        close(k->fd);
    pthread_mutex_destroy(&k->mutex);
    tier__free(st->base, k);
    st->strikes = NULL;
}

void tier__strikes_forget(tier__store *st)
{
    if (!st->strikes)
        return;
    munmap(st->strikes->mark, PAGE);
    close(st->strikes->fd);
}

void tier__strikes_look(tier__store *st)
{
    bool open = atomic_load_explicit(&st->builds, memory_order_acquire);
    struct tier__strikes *k = open ? st->strikes : NULL;
    struct stat file;
    if (!k)
        return;
    pthread_mutex_lock(&k->mutex);
    if (fstat(k->fd, &file) || file.st_size < k->page + PAGE) {
        /* somebody cut it: a store to what was mapped would be a signal, so memory of our own takes its place
         */
        mmap(k->mark, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    } else if (file.st_mtim.tv_sec != k->seen.tv_sec || file.st_mtim.tv_nsec != k->seen.tv_nsec) {
        k->seen = file.st_mtim; /* others' counts: what ends here ends their row, too */
        counts_read(k);
    }
    pthread_mutex_unlock(&k->mutex);
}

/* ---- marks */
static struct tier__strikes *strikes_for_builds(tier__store *st) /* NULL: nothing is marked */
{
    tier__builds_open(st);
    return st->strikes;
}

int tier__strikes_place(tier__store *st)
{
    struct tier__strikes *k = strikes_for_builds(st);
    if (!k)
        return -1;
    uint_fast64_t taken = atomic_load(&k->taken);
    while (~taken) {
        int place = __builtin_ctzll(~taken);
        if (atomic_compare_exchange_weak(&k->taken, &taken, taken | (uint_fast64_t)1 << place))
            return place;
    }
    return -1;
}

void tier__strikes_mark(tier__store *st, int place, const struct tier__suspect *s)
{
    struct tier__strikes *k = strikes_for_builds(st);
    if (!k || place < 0)
        return;
    struct mark *m = &k->mark[place];
    m->busy = 0;
    atomic_signal_fence(memory_order_seq_cst); /* who dies here has this thread's order of stores */
    if (s) {
        memcpy(m->type, s->type.byte, KEY);
        memcpy(m->request, s->request.byte, KEY);
        memset(m->name, 0, sizeof m->name);
        memcpy(m->name, s->name, strnlen(s->name, NAME));
        atomic_signal_fence(memory_order_seq_cst);
        m->busy = (uint64_t)tier__now_ms();
    } else {
        atomic_fetch_and(&k->taken, ~((uint_fast64_t)1 << place));
    }
}

unsigned tier__strikes_of(tier__store *st, const struct tier__suspect *s, bool *type)
{
    struct tier__strikes *k = strikes_for_builds(st);
    if (!k || !atomic_load_explicit(&k->any, memory_order_relaxed))
        return 0;
    pthread_mutex_lock(&k->mutex);
    const struct count *t = count_find(k, s->type.byte), *r = count_find(k, s->request.byte);
    unsigned of_type = t ? t->strikes : 0, of_request = r ? r->strikes : 0;
    *type = of_type >= of_request;
    pthread_mutex_unlock(&k->mutex);
    return *type ? of_type : of_request;
}

void tier__strikes_clear(tier__store *st, const struct tier__suspect *s)
{
    bool type;
    if (!tier__strikes_of(st, s, &type) || !counts_begin(st))
        return;
    struct count *t = count_find(st->strikes, s->type.byte), *r = count_find(st->strikes, s->request.byte);
    if (t)
        memset(t, 0, sizeof *t);
    if (r)
        memset(r, 0, sizeof *r);
    counts_end(st, true);
}
