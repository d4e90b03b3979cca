/* store.h - the disk: one LMDB environment per cache directory and format generation, as checked records.
 *
 * I2  A record is written as a frame: magic, format version, table, key echo, codec, stored and plain length,
 *     XXH3 checksum seeded by table and key. Checked when written and when read; a mismatch is a miss,
 * counted (store.damaged), remembered, and deleted by the next write transaction. Never a wrong byte, never a
 * crash. I10 A write transaction is all or nothing. I11, I13 stand on that. I16 No call blocks past its
 * deadline, kills the host or needs a lock that a stopped process may hold for ever.
 *
 * LIFETIME  A store belongs to one cache. Environments are shared within the process through the one
 * registry, keyed by (device, inode) of the data file: a second open of the same file shares it (FINDINGS).
 * THREADS   Every function from any thread. One write transaction at a time in the process; the store
 * serialises. FORK      In a child of the process that opened it every call returns TIER_EBUSY; the child
 * opens its own. Values larger than one record (64 KiB less headers) are chunked inside; callers see whole
 * values. */
#ifndef TIER_STORE_H
#define TIER_STORE_H
#include "tiers/base/base.h"

/* name, what the key is, what the value is (see coherence/record.h for the encodings) */
#define TIER__TABLES(X)                                                                               \
    X(META, "meta", "text", "format, generation, counters")                                           \
    X(WORKSPACE, "workspaces", "digest of real path, device, inode", "workspace id, path")            \
    X(STAT, "stats", "workspace id, path", "stat identity, digest")                                   \
    X(ID, "ids", "digest of a dependency's kind and name", "interned id")                             \
    X(NAME, "names", "interned id", "kind, name, digests by observation version")                     \
    X(VARIANT, "variants", "identity", "what is asked for, and the newest 8 variants")                \
    X(BLOB, "blobs", "content key", "value")                                                          \
    X(CLOSURE, "closures", "workspace id, identity", "leaves with stat identities, as last verified") \
    X(LOG, "log", "sequence", "invalidation: kind, what")                                             \
    X(ACCESS, "access", "content key", "when it was last used")                                       \
    X(HISTORY, "history", "run", "figures of a run")
enum tier__table {
#define TIER__TABLE_ENUM(name, text, key, value) TIER__##name,
    TIER__TABLES(TIER__TABLE_ENUM)
#undef TIER__TABLE_ENUM
        TIER__TABLE_COUNT
};
enum { TIER__KEY_MAX = 480 }; /* LMDB takes 511; the chunk number follows the key */

enum tier__sync {
    TIER__SYNC_FULL,    /* production: a commit is on disk when it returns */
    TIER__SYNC_RELAXED, /* dev: MDB_NOMETASYNC: consistent after power loss, the tail may be lost */
    TIER__SYNC_NONE /* ci: no sync until seal or clean close; discarded when not closed clean on this boot */
};

struct tier__store_options {
    const char
        *dir; /* created (0700) with CACHEDIR.TAG and .gitignore where absent; owner and mode are checked */
    bool read_only; /* nothing is created; a store that is not there is TIER_EABSENT */
    enum tier__sync sync;
    uint64_t max_bytes;        /* of the data file; the map grows up to it. 0: 64 GiB */
    int64_t write_deadline_ms; /* to get the write lock; 0: 2000 */
    int compress_level;        /* zlib level for TIER__COMPRESS; 0: 1 */
};

typedef struct tier__store tier__store;
typedef struct tier__read tier__read;   /* a snapshot: short, never across a callback of the host */
typedef struct tier__write tier__write; /* a write transaction */

/* TIER_EABSENT, TIER_EACCESS, TIER_EKIND (network file system, foreign owner, symlink), TIER_EDAMAGE (could
 * not be quarantined), TIER_EIO, TIER_ENOMEM; why gets a sentence with path and errno. A damaged store is
 * quarantined by rename (at most 2 are kept) and a new generation is started: that is success, logged as a
 * warning. */
int tier__store_open(struct tier__base *base, const struct tier__store_options *o, tier__store **st,
                     char *why, size_t why_size);
void tier__store_close(tier__store **st); /* marks it clean when it is the last user in the process */
uint64_t tier__store_generation(const tier__store *st); /* changes when the store was started anew */
/* The last transaction id: differs after any commit. Two fstats. 0: in trouble, or a forked child's. */
uint64_t tier__store_news(const tier__store *st);
/* The same for nanoseconds: the files are looked at once in TIER__GLANCE_MS alone (is data.mdb whole, is it
 * still the one under its name?). TIER__NEWS_LOST: in trouble or replaced, for good: what others commit from
 * now on is not seen. Not in a forked child. */
#define TIER__NEWS_LOST UINT64_MAX
enum { TIER__GLANCE_MS = 10 };
uint64_t tier__store_glance(const tier__store *st);
/* The last transaction that a snapshot taken now holds. News may be ahead of it: LMDB writes a commit's meta
 * page, which news reads, before it lets readers have it, and with sync a flush of the disk lies between. 0
 * is an empty store's. TIER_EBUSY, TIER_EIO: no snapshot could be had. */
int tier__store_reads(tier__store *st, uint64_t *id);
const char *tier__store_path(const tier__store *st); /* of the data file's directory */
uint64_t tier__store_bytes(const tier__store *st);   /* used by the data file */

/* Reading. value is cleared, then holds a checked copy of the whole value. TIER_EABSENT: not there, or
 * damaged. TIER_EBUSY, TIER_EIO: no snapshot could be had: treat as a miss. r NULL: a snapshot for this call
 * alone. */
int tier__read_begin(tier__store *st, tier__read **r);
void tier__read_end(tier__read **r);
int tier__store_get(tier__store *st, tier__read *r, enum tier__table t, const void *key, size_t key_size,
                    struct tier__buf *value);
/* As get, into memory that alloc gives once the plain size is known (e.g. an entry): no second buffer. alloc
 * returns size bytes or NULL (then TIER_ENOMEM). What is verified is the copy, so alloc may have been called
 * once where the answer is TIER_EABSENT or TIER_EBUSY all the same: its memory is the caller's to free. */
int tier__store_get_into(tier__store *st, tier__read *r, enum tier__table t, const void *key, size_t key_size,
                         void *(*alloc)(void *user, size_t size), void *user);
/* Every sound record of t in key order; each returns non-zero to stop, and that is returned. Snapshots are
 * renewed every few hundred records and never open while each runs. data is a checked copy until each
 * returns. */
int tier__store_each(tier__store *st, enum tier__table t,
                     int (*each)(void *user, const void *key, size_t key_size, const void *data, size_t size),
                     void *user);

/* The same, of those behind a key; after NULL: of all. */
int tier__store_each_from(tier__store *st, enum tier__table t, const void *after, size_t after_size,
                          int (*each)(void *user, const void *key, size_t key_size, const void *data,
                                      size_t size),
                          void *user);

/* Writing. TIER_EBUSY: the deadline passed, or a forked child; TIER_EIO: the store is in trouble and will not
 * be written again by this handle (logged once). MAP_FULL grows the map and retries inside; a full disk or
 * max_bytes reached is TIER_EIO with the transaction aborted, and the store stays readable.
 * Puts stay in memory until commit, which applies them in one short LMDB transaction. The write lock (of all
 * processes) is taken at the first get that is not answered by the transaction itself, or at commit: from the
 * first get on nobody else commits, so read-modify-write is safe; what fails there (TIER_EBUSY, TIER_EIO) is
 * returned by commit as well, and so is a failed put. begin takes no lock. A transaction without puts or
 * deletes writes nothing. A w belongs to one thread at a time. At most about 400 MB in one transaction
 * (LMDB's dirty pages); more is TIER_EIO. */
enum { TIER__COMPRESS = 1 /* zlib frame where it pays (> 1 KiB and shrinks by 10 %) */ };
int tier__write_begin(tier__store *st, tier__write **w);
int tier__write_get(tier__write *w, enum tier__table t, const void *key, size_t key_size,
                    struct tier__buf *value);
int tier__write_put(tier__write *w, enum tier__table t, const void *key, size_t key_size, const void *data,
                    size_t size, int flags);
int tier__write_del(tier__write *w, enum tier__table t, const void *key,
                    size_t key_size);    /* absent is fine */
int tier__write_commit(tier__write **w); /* ends w whatever it returns */
void tier__write_abort(tier__write **w);
/* fdatasync, whatever the mode; for seal. TIER_EIO: after a failed sync the store is used no more and
 * quarantined by the next open. */
int tier__store_sync(tier__store *st);
void tier__store_lacks(tier__store *st, char *text, size_t size); /* why a commit has just failed with EIO */

/* Leases by key among the handles on one store, of all processes. They are advice: no answer depends on them.
 * None is passed on by fork, each ends with its handle at the latest. */
int tier__lease_take(tier__store *st, uint64_t key); /* TIER_EBUSY: another's; TIER_EIO: not to be had */
bool tier__lease_held(const tier__store *st, uint64_t key); /* by another */
void tier__lease_want(tier__store *st, uint64_t key,
                      bool want); /* tells its owner that we wait, or no more */
bool tier__lease_wanted(const tier__store *st, uint64_t key);
void tier__lease_drop(tier__store *st, uint64_t key);
bool tier__store_shared(const tier__store *st); /* another process has it open */
/* In a forked child, of the parent's handle: gives back what would keep the parent's leases past its end. */
void tier__store_forget(tier__store *st);

/* For tiercheck (I13), on a directory, without opening damaged data with LMDB: the gate's verdict and each
 * unsound record. Returns 0, or an error that kept the check from running. read_data: also inflate and
 * compare every blob. */
struct tier__store_problem {
    const char *code;  /* stable, e.g. "store-frame-checksum"; the table is tiers/problems.h */
    const char *table; /* or NULL */
    const void *key;   /* or NULL */
    size_t key_size;
    char detail[256];
};
int tier__store_check(struct tier__base *base, const char *dir, bool read_data,
                      void (*found)(void *user, const struct tier__store_problem *p), void *user,
                      uint64_t *records);
/* Deletes unsound records; where the gate refuses the file, quarantines it and starts anew. *deleted counts.
 */
int tier__store_repair(struct tier__base *base, const char *dir, uint64_t *deleted, bool *quarantined);
#endif
