/* base.h - what every room stands on: the host's allocator and log, counters, growing buffers, bytes in and
 * out, the clock. No room keeps a global; each gets a struct tier__base, one per cache, that outlives it. */
#ifndef TIER_BASE_H
#define TIER_BASE_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "include/tierkit.h"

/* Counters, as tier_stats names them. One table: enum, name and help never disagree. */
#define TIER__METRICS(X)                                                                      \
    X(FILE_LOOK, "file.look", "paths looked at (one stat each)")                              \
    X(FILE_VOUCHED, "file.vouched", "looks that the watcher vouched for, without a stat")     \
    X(FILE_READ, "file.read", "files whose bytes were read")                                  \
    X(FILE_READ_BYTES, "file.read_bytes", "bytes of files read")                              \
    X(FILE_HIT, "file.hit", "contents served from memory")                                    \
    X(FILE_MISS, "file.miss", "contents not in memory")                                       \
    X(FILE_DIGEST_KNOWN, "file.digest_known", "digests known by stat identity, nothing read") \
    X(DIR_READ, "dir.read", "directories whose entries were read")                            \
    X(TREE_HIT, "tree.hit", "tree tier: bound or verified, value in memory")                  \
    X(TREE_LOADED, "tree.loaded", "tree tier: value from disk")                               \
    X(TREE_BUILT, "tree.built", "tree tier: builds run")                                      \
    X(DELTA_HIT, "delta.hit", "delta tier: bound or verified, value in memory")               \
    X(DELTA_LOADED, "delta.loaded", "delta tier: value from disk")                            \
    X(DELTA_BUILT, "delta.built", "delta tier: builds run")                                   \
    X(STREAM_EVENTS, "stream.events", "events queued")                                        \
    X(STREAM_LOST, "stream.lost", "events lost, each told by a gap")                          \
    X(VERIFY_NODES, "verify.nodes", "results whose recorded dependencies were walked")        \
    X(VERIFY_EDGES, "verify.edges", "dependencies compared")                                  \
    X(VERIFY_CUTOFF, "verify.cutoff", "recomputed dependencies with the old value hash")      \
    X(CLOSURE_HIT, "closure.hit", "results verified by their leaves alone")                   \
    X(CLOSURE_MISS, "closure.miss", "leaf lists with a changed leaf")                         \
    X(FLIGHT_JOINED, "flight.joined", "requests that waited for the same one in flight")      \
    X(LEASE_TAKEN, "lease.taken", "builds that other processes were told of")                 \
    X(LEASE_WAITED, "lease.waited", "requests that waited for another process")               \
    X(LEASE_EXPIRED, "lease.expired", "such waits that ran into lease_ms")                    \
    X(CRASH_REFUSED, "crash.refused", "builds refused: programs died in them")                \
    X(ALARM_UNDECLARED, "alarm.undeclared", "different bytes under one content key")          \
    X(AUDIT_CHECKED, "audit.checked", "hits recomputed and compared")                         \
    X(AUDIT_DIFFERENT, "audit.different", "audited hits that differed")                       \
    X(MEMORY_BYTES, "memory.bytes", "bytes that the cache keeps")                             \
    X(MEMORY_EVICTED, "memory.evicted", "entries evicted")                                    \
    X(MEMORY_SUPERSEDED, "memory.superseded", "entries whose place a newer version took")     \
    X(MEMORY_OVERDRAFT, "memory.overdraft", "bytes lent beyond the budget, uncached")         \
    X(MEMORY_TRIM, "memory.trim", "times that pressure lowered the limits")                   \
    X(MEMORY_MOVE, "memory.move", "times that memory moved between the tiers")                \
    X(STORE_GET, "store.get", "records read from disk")                                       \
    X(STORE_PUT, "store.put", "records written to disk")                                      \
    X(STORE_COMMIT, "store.commit", "write transactions")                                     \
    X(STORE_CHEAP, "store.cheap", "values not stored: cheaper to compute than to load")       \
    X(STORE_DAMAGED, "store.damaged", "records that failed their check: misses, dropped")     \
    X(STORE_SWEPT, "store.swept", "variants dropped: banned, or unused past their time")      \
    X(STORE_SKIPPED, "store.skipped", "commits skipped: lock, space or trouble")
enum tier__metric {
#define TIER__METRIC_ENUM(name, text, help) TIER__##name,
    TIER__METRICS(TIER__METRIC_ENUM)
#undef TIER__METRIC_ENUM
        TIER__METRIC_COUNT
};

struct tier__base {
    void *user;
    void *(*realloc)(void *user, void *old, size_t size); /* never NULL after tier__base_init */
    void (*log)(void *user, int level, const char *line); /* may be NULL */
    atomic_uint_fast64_t metric[TIER__METRIC_COUNT];
};

/* Fills b from the host's options (may be NULL: the C library's allocator, silence). */
void tier__base_init(struct tier__base *b, const tier_options *o);
bool tier__on_c_heap(const struct tier__base *b); /* its memory comes from the C library */

/* The allocation seam: every heap byte of the library outside third-party code. NULL when out of memory. */
void *tier__alloc(struct tier__base *b, size_t size);                /* not cleared */
void *tier__zalloc(struct tier__base *b, size_t count, size_t size); /* cleared; overflow-checked */
void *tier__resize(struct tier__base *b, void *old, size_t size);    /* old is kept on failure */
void tier__free(struct tier__base *b, void *p);                      /* NULL is fine */
char *tier__strdup(struct tier__base *b, const char *s);
void *tier__memdup0(struct tier__base *b, const void *data, size_t size); /* a copy and a 0 byte behind it */

static inline void tier__count(struct tier__base *b, enum tier__metric m, uint64_t n)
{
    atomic_fetch_add_explicit(&b->metric[m], n, memory_order_relaxed);
}

/* One line to the host's log hook; level TIER_LOG_... */
void tier__log(struct tier__base *b, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A growing buffer. After a failed allocation `failed` stays true and every later put does nothing, so that a
 * writer checks once at the end. data[size] == 0 whenever data is not NULL. */
struct tier__buf {
    struct tier__base *base;
    unsigned char *data;
    size_t size, capacity;
    bool failed;
};
void tier__buf_init(struct tier__buf *b, struct tier__base *base);
void tier__buf_fini(struct tier__buf *b);
void tier__buf_clear(struct tier__buf *b); /* size 0, memory kept */
/* Room for size more bytes, or NULL; the caller fills them and adds to b->size what it used. */
unsigned char *tier__buf_space(struct tier__buf *b, size_t size);
void tier__buf_put(struct tier__buf *b, const void *data, size_t size);
void tier__buf_u8(struct tier__buf *b, uint8_t v);
void tier__buf_u32(struct tier__buf *b, uint32_t v); /* little endian, as all that goes to disk */
void tier__buf_u64(struct tier__buf *b, uint64_t v);
void tier__buf_bytes(struct tier__buf *b, const void *data, size_t size); /* u32 length, bytes */
void tier__buf_str(struct tier__buf *b, const char *s); /* as bytes; NULL as the empty string */
void tier__buf_printf(struct tier__buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What b has from there on, with control characters as \n and \xNN: names of files hold what they like, and
 * what is shown to people is to forge no lines and to send nothing to their terminals. */
void tier__buf_show(struct tier__buf *b, size_t from);

/* Reads what the above wrote. Running out sets `failed` and gives zeros: check once at the end. */
struct tier__reader {
    const unsigned char *at, *end;
    bool failed;
};
static inline struct tier__reader tier__reader_of(const void *data, size_t size)
{
    const unsigned char *at = data;
    struct tier__reader r = {at, size ? at + size : at, false}; /* of nothing, also where data is NULL */
    return r;
}
uint8_t tier__read_u8(struct tier__reader *r);
uint32_t tier__read_u32(struct tier__reader *r);
uint64_t tier__read_u64(struct tier__reader *r);
const void *tier__read_raw(struct tier__reader *r, size_t size); /* NULL when there is not as much */
const void *tier__read_bytes(struct tier__reader *r,
                             size_t *size); /* u32 length, bytes; points into the input */

int64_t tier__now_ms(void); /* wall clock, milliseconds since 1970 */
int64_t tier__now_ns(void); /* wall clock of file time stamps (CLOCK_REALTIME_COARSE): never ahead of them */
int64_t tier__monotonic_ms(void);  /* for deadlines */
uint64_t tier__monotonic_us(void); /* for costs */
/* 2 MiB, aligned so, of zeros that take no memory before they are touched; NULL: none. From the kernel, as
 * the C library aligns a block so by twice the room. errno stays. */
enum { TIER__HUGE = 2 << 20 };
void *tier__huge_take(void);
void tier__huge_give(void *huge);
void tier__huge_full(void *huge); /* all of it is touched: makes it one page, where the kernel does that */
int64_t tier__coarse_ms(void);    /* monotonic, up to 10 ms old; 6 ns instead of 22 */

/* Whether this is still the process that marked it, and no child of a fork. The page comes up cleared in a
 * child (MADV_WIPEONFORK): a load, where getpid is a system call of 60 ns. */
struct tier__process {
    long pid;
    const volatile unsigned char *page; /* NULL: the kernel has no such pages, or none to give */
};
void tier__process_mark(struct tier__process *p);
void tier__process_unmark(struct tier__process *p); /* in the process that marked it alone */
bool tier__process_same_pid(const struct tier__process *p);
static inline bool tier__process_same(const struct tier__process *p)
{
    return p->page ? *p->page != 0 : tier__process_same_pid(p);
}

/* TIER_E... for an errno of a file operation: ENOENT and ENOTDIR are TIER_EABSENT, EACCES and EPERM
 * TIER_EACCESS, EISDIR, ENXIO TIER_EKIND, ELOOP and ENAMETOOLONG TIER_EABSENT (nothing is there that could be
 * read), ENOMEM TIER_ENOMEM, else TIER_EIO. */
int tier__errno_rc(int error);
#endif
