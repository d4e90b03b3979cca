/* torture.h - processes that analyze a tree while another one changes it under them; every answer is held
 * against a run from scratch on what the session had seen, and all that it had seen against the disk.
 *
 *   torture.c  starts one mutator and several workers, kills, stops and restarts workers, watches for waiting
 *   mutate.c   the one writer of the tree. Each system call is an entry of the journal, with the time before
 *              and after it
 *   fs.c       a model of the tree: entries applied to it give the tree at each version
 *   worker.c   sessions of two threads; types.c what they compute
 *   crash.c    who dies of a fault says where
 *   check.c    an observation must hold in a version that overlapped [begin, answer]; naive.c computes the
 *              answers again, without a cache, from these observations alone
 *
 * VERSIONS  The mutator is one thread, so versions are numbered by its calls. Version k may be seen from the
 *           start of call k - 1 to the end of call k. CLOCK_MONOTONIC is one clock for all processes.
 * ATOMIC    Every call changes the tree at once as far as a reader can tell: files are emptied and written in
 *           two calls (their size is what appears last), replaced by rename, or changed in one byte. Only
 *           the size and time that stat says of a file may be seen half way. */
#ifndef TESTS_TORTURE_H
#define TESTS_TORTURE_H
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "include/tierkit.h"

/* ---- fs.c */
enum {
    NODES = 160,
    DIR_MAX = 16,
    FAMILIES = 12, /* of texts: six of sources, six of headers */
    VARIANTS = 6,
    CONTENTS = 1 + FAMILIES * VARIANTS * 10,
    TEXT_MAX = 200,
    NODE_TOP = 0,
    NODE_ROOT = 1,
    NODE_SYS = 2,
    PATH_SIZE = 64
};
struct fs_node {
    char type; /* f d l o; 0: free */
    uint8_t links, parent, count, target;
    uint16_t mode, content;
    int64_t mtime;
    struct {
        uint8_t name, node;
    } at[DIR_MAX];
};
struct fs {
    struct fs_node node[NODES];
    uint16_t outside; /* what no read declares */
};
struct content {
    size_t size;
    char text[TEXT_MAX];
    tier_digest digest;
};
extern const char *const fs_names[], *const fs_targets[];
#define ENTRY_OPS(X)                \
    X(TRUNC, "empty or make")       \
    X(WRITE, "write")               \
    X(DIGIT, "change a digit of")   \
    X(UTIME, "set the time of")     \
    X(CHMOD, "set the mode of")     \
    X(UNLINK, "remove")             \
    X(MKDIR, "make directory")      \
    X(RMDIR, "remove directory")    \
    X(FIFO, "make a fifo")          \
    X(SYMLINK, "make a link")       \
    X(LINK, "make another name of") \
    X(RENAME, "rename")             \
    X(EXCHANGE, "exchange")         \
    X(OUTSIDE, "change what no read declares")
enum entry_op {
#define ENTRY_OP_ENUM(name, help) J_##name,
    ENTRY_OPS(ENTRY_OP_ENUM)
#undef ENTRY_OP_ENUM
};
struct entry { /* one system call; paths are below the top: "root/src/f0.c" */
    int64_t start, end;
    int64_t mtime;
    uint16_t content, mode;
    uint8_t op, target;
    bool failed; /* it changed nothing */
    char a[PATH_SIZE], b[PATH_SIZE];
};
void contents_make(struct content *all); /* CONTENTS of them; 0: nothing */
unsigned content_of(unsigned family, unsigned variant, unsigned digit);
unsigned name_of(const char *name, size_t size); /* UINT_MAX: none of ours */
void fs_init(struct fs *fs);
void fs_apply(struct fs *fs, const struct entry *e);
/* The node that path leads to from node start, or -1: nothing is there. follow: a link at its end. */
int fs_find(const struct fs *fs, int start, const char *path, bool follow);
int fs_key(const struct fs *fs, const char *key, bool follow); /* by key path */

/* ---- seam.c: what stat says of times, in this program */
void seam_grain(int64_t ns); /* of time stamps of the tree, before any process is forked */

/* ---- crash.c: from here on this process tells where it dies */
void crash_tell(void);

/* ---- journal.c: what the processes share */
enum { RING = 1 << 16, WORKERS_MAX = 8, THREADS = 2, FROM_MAX = 8 };
struct figures {
    atomic_ullong answers, sessions, withdrawn, unchecked, observations, late, served[FROM_MAX];
    atomic_ullong failures, restarts, versions;
};
struct shared {
    atomic_ullong begun, done; /* entries */
    atomic_uint which;         /* of snapshot; changes after it was written */
    atomic_bool planted, stop, failed;
    atomic_uint_fast64_t outside;
    struct fs snapshot[2];
    uint64_t snapshot_at[2];
    struct figures sum;
    struct at_work {
        atomic_llong since; /* ns; 0: in no call of the library */
        atomic_ullong sessions;
        atomic_uint stops; /* by us, of the process */
    } work[WORKERS_MAX][THREADS];
    atomic_llong longest; /* ns, of a session without stops */
    struct entry ring[RING];
};
struct settings {
    uint64_t seed, answers;
    int workers, seconds;
    bool watch, store, harm;
    int lease_ms, wait_ms;
    char base[200];
};
struct world { /* of one process */
    struct shared *sh;
    struct settings set;
    struct content *content;
};
struct follower { /* the tree at a version */
    struct fs fs;
    uint64_t at;
};
struct shared *shared_make(void);
int64_t now_ns(void);
uint64_t random_next(uint64_t *state);
unsigned random_below(uint64_t *state, unsigned below);
bool follower_reset(struct follower *f, struct shared *sh);
/* To the version that was there for certain at time t. false: it lost its place, and is at a newer one. */
bool follower_advance(struct follower *f, struct shared *sh, int64_t t);
const struct entry *entry_at(struct shared *sh, uint64_t i); /* waits until it is done */

/* ---- mutate.c */
int mutate(struct world *w);

/* ---- text that grows */
struct text {
    char *data;
    size_t size, room;
};
void text_put(struct text *t, const void *data, size_t size);
void text_add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- types.c */
enum type {
    T_OUTLINE, /* tree, live object, saved: lines of a file with their places */
    T_EXCL,    /* tree, exclusive live object */
    T_FACE,    /* tree: the outline without places and comments: early cutoff */
    T_LETTERS, /* tree, path-free: counts, with environment, setting and input */
    T_RESOLVE, /* where a name leads: probes along a search path */
    T_CHECK,   /* a file against what it includes; TIER_EBUILD where it is bad */
    T_REACH,   /* everything reachable, cycles and all */
    T_SUM,     /* recursive: cycles are TIER_ECYCLE */
    T_COND,    /* reads another file, or an input, by what the first one says */
    T_LIST,    /* a listing, and the kind of each name */
    T_PLACE,   /* fields of stat */
    T_REAL,    /* where a path leads */
    T_AMBIENT, /* environment, setting, input */
    T_BULK,    /* 20 KiB made of a face, in a fork of the session */
    T_WHOLE,   /* a report over a directory */
    T_TAGGED,  /* what no read declares, under a tag */
    T_FADING,  /* the time; it expires */
    T_RELAY,   /* reads T_FADING */
    T_ONCE,    /* the time, not kept */
    TYPES
};
enum { FADE_MS = 40, CONFIGS = 3, MODES = 3, INPUTS = 4 };
struct process;
struct type_of { /* user pointer of a type */
    struct process *p;
    int kind;
    uint8_t config, version;
    const tier_type *type;
};
struct question {
    int type;
    const char *path; /* NULL: none */
    char args[PATH_SIZE];
};
struct naive;
struct reader { /* what a computation reads through: a session, or a view's observations */
    const struct type_of *t;
    tier_session *s;
    tier_out *out;
    struct naive *naive; /* NULL: the session */
};
extern const char *const type_names[TYPES];
const char *input_text(unsigned input); /* NULL: unset */
const char *env_text(unsigned env);
int types_define(struct process *p, int kind);
/* Runs the type's computation; TIER_EBUILD leaves its message in out. */
int compute(struct reader *r, const char *path, const char *args, struct text *out);
void question_make(uint64_t *random, struct question *q, bool outside);
/* The text of a value: of the object, or the bytes. */
const char *value_text(int kind, const tier_value *v, size_t *size);

/* ---- worker.c */
enum { OVERLAYS = 3, GETS_MAX = 24 };
extern const char *const overlay_paths[OVERLAYS];
struct local { /* of a process, seen by sessions that begin later */
    uint8_t input;
    uint16_t overlay[OVERLAYS]; /* content + 1; 0: none */
};
struct process {
    struct world *w;
    int index;
    tier_cache *c;
    struct type_of type[TYPES];
    uint8_t env, mode;
    bool kept; /* anything at all */
    struct local local;
    pthread_mutex_t lock; /* local, and the begin of sessions */
    int64_t version;
    tier_stream *stream;
    uint64_t random;
};
int work(struct world *w, int index, uint64_t seed);

/* ---- check.c, naive.c, match.c */
struct answer {
    struct question q;
    int rc;
    uint32_t from;
    char *text;
    size_t size;
};
struct check { /* of a session that is about to end */
    struct process *p;
    tier_session *s;
    struct follower *from; /* the tree as it was for certain at its begin */
    bool lost;             /* from is newer than that */
    struct local local;
    int64_t begin, end;
    int64_t begin_ms; /* by the wall */
    const struct answer *answer;
    size_t count;
    bool may_cancel, may_time_out;
};
void check_session(struct check *k);
/* Says what is wrong, with all that is known, and ends everything. */
void complain(struct process *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct seen { /* one observation, found in a version */
    int kind;
    uint32_t fields;
    char path[PATH_SIZE], name[PATH_SIZE];
    bool has_path, found, vague; /* vague: a size or time that the model does not know */
    tier_digest value;
    int rc;
    char what;        /* of KIND and STAT */
    const char *text; /* of CONTENT, LINK, INPUT...; names of LISTING, each with a newline */
    uint64_t size, mtime;
    uint32_t mode;
};
struct naive {
    struct check *k;
    struct fs *version; /* those that overlapped the session */
    size_t versions;
    struct seen *seen;
    size_t count, room;
    struct made *made; /* results of this run from scratch */
    size_t made_count;
    struct text account; /* what went wrong, if anything did */
    char **kept;         /* texts that live as long as it does */
    size_t kept_count, kept_room;
    uint64_t at;  /* entries that are in the newest version */
    bool changed; /* one of them changed the tree */
    bool gave_up; /* a late look met TIER_ECHANGED: no more to be said */
};
bool naive_init(struct naive *n, struct check *k);
void naive_fini(struct naive *n);
/* The observation, looked up or, if the session never made it, made now; NULL: n->gave_up or n->account. */
const struct seen *naive_seen(struct naive *n, int kind, const char *path, uint32_t fields, const char *name);
int naive_get(struct naive *n, int type, const char *path, const char *args, const char **text);
void seen_match(struct naive *n, struct seen *o); /* match.c: finds a version in which it was true */
int naive_dump(struct naive *n);                  /* everything that the session observed */
bool naive_extend(struct naive *n, int64_t end);  /* versions up to then */
void naive_account(struct naive *n, struct text *t);
char *naive_keep(struct naive *n, const char *text);
#endif
