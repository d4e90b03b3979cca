/* tierkit.h - caches for static analyzers: what was read, parsed and concluded, and never a wrong answer.
 *
 * The short of it: open a cache, define the types of things you compute, begin a session, get.
 * While a type's build runs, everything it reads through the session is written down; the next
 * session compares those notes with the world and computes again only what they touch.
 *
 * RETURNS   Functions return 0 (TIER_OK) or a negative TIER_E...; how a value was served stands in
 *           tier_value.from, never in the return code. tier_detail() has the path, key and errno.
 * NO CACHE  Every trouble of the cache itself (disk, damage, budget, lock, fork) turns into
 *           computing again, not into an error.
 * LIFETIME  Values are lent. A loan ends at tier_release, or with the scope that took it: the build
 *           it was taken in, else the session. tier_detach lets it outlive the session.
 * THREADS   tier_cache: any thread. tier_session: one thread at a time. Callbacks run on the threads
 *           that ask, several at once, with no lock held; destroy on any thread. A callback never
 *           throws nor longjmps. After fork() a child's next tier_begin opens the store anew.
 * PATHS     Bytes with '/', as the OS takes them. Relative paths are below roots[0], never below the
 *           working directory; "name:rel" is below the root of that name, "./name:rel" is not; "/abs"
 *           is itself. "." and "//" fold; ".." and symbolic links are the OS's.
 * BYTES     data[size] == 0 for every value; data is aligned to 16.
 * ABI       Structs marked * begin with their size; set it with TIER_INIT. C11 and C++11. */
#ifndef TIERKIT_H
#define TIERKIT_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#define TIER_INIT(type)           \
    ([] {                         \
        type t = type();          \
        t.struct_size = sizeof t; \
        return t;                 \
    }())
#else
#define TIER_INIT(type)             \
    {                               \
        .struct_size = sizeof(type) \
    }
#endif

typedef struct tier_cache tier_cache;     /* one per process and store; holds the workspace (the roots) */
typedef struct tier_session tier_session; /* one thread's hold on a view of the world */
typedef struct tier_type tier_type;       /* a named, versioned, side-effect-free computation */
typedef struct tier_stream tier_stream;   /* a bounded queue of events */
typedef struct tier_out tier_out;         /* what a callback writes its result to; dead when it returns */

typedef struct tier_digest {
    unsigned char byte[32]; /* BLAKE2b-256; a file's value hash is what `b2sum -l 256` prints */
} tier_digest;

/* ---- errors: one table; TIER_ERRORS(X) expands X(name, number, text) for each */
#define TIER_ERRORS(X)                                                         \
    X(OK, 0, "success")                                                        \
    X(EINVAL, -1, "bad argument")                                              \
    X(ENOMEM, -2, "out of memory")                                             \
    X(EABSENT, -3, "no such thing")                                            \
    X(EACCESS, -4, "permission denied")                                        \
    X(EKIND, -5, "not a regular file, or not a directory")                     \
    X(EIO, -6, "input or output error")                                        \
    X(EBUILD, -7, "the input is bad; the failure is remembered")               \
    X(ETRANSIENT, -8, "failed for now; never remembered")                      \
    X(ECYCLE, -9, "the computation needs its own result")                      \
    X(ECANCELED, -10, "canceled")                                              \
    X(ETIMEOUT, -11, "deadline passed")                                        \
    X(ECHANGED, -12, "an input changed meanwhile; begin again for the newest") \
    X(EBUSY, -13, "still in use")                                              \
    X(ETIER, -14, "a result may not read from a lower tier")                   \
    X(EDAMAGE, -15, "stored data is damaged")                                  \
    X(END, -16, "no more")
enum {
#define TIER_ERROR_ENUM(name, number, text) TIER_##name = number,
    TIER_ERRORS(TIER_ERROR_ENUM)
#undef TIER_ERROR_ENUM
};
const char *tier_strerror(int rc); /* a sentence; static */
const char *tier_errname(int rc);  /* "TIER_EINVAL"; static */

/* ---- values */
enum { TIER_FILE = 1, TIER_TREE = 2, TIER_DELTA = 3, TIER_STREAM = 4 }; /* the tiers, upper to lower */

enum {
    TIER_HIT = 1,  /* already known to be true in this view */
    TIER_VERIFIED, /* its recorded dependencies were compared with the view: all equal, nothing ran; but of
                      verify.sample (1 in 1000 in dev) the build runs again, to be compared: audit.checked */
    TIER_LOADED,   /* as VERIFIED, and the bytes came from disk */
    TIER_BUILT,    /* the build ran, or the file was read */
    TIER_STALE     /* an old answer, or made of one: only in a session begun with TIER_MAY_BE_STALE */
};

typedef struct tier_value { /* fixed for the life of the soname */
    const void *data;       /* bytes, aligned to 16, data[size] == 0; NULL where there is only an object */
    size_t size;            /* 0, too, where a build wrote nothing */
    const void *object;     /* live object, shared by threads: read only; NULL where there are only bytes */
    tier_digest hash;       /* value hash: equal hash, equal answer; set for TIER_EBUILD too */
    uint32_t from;          /* TIER_HIT... */
    uint32_t age_ms;        /* of a stale value: since it was last known to be true; else 0 */
    void *pin, *reserved;   /* the library's */
} tier_value;

typedef struct tier_query { /* what is asked for: a type, and a path and/or argument bytes */
    const tier_type *type;
    const char *path; /* NULL: none */
    const void *args; /* any bytes; NULL: none */
    size_t args_size;
} tier_query;

/* Reads the records of v that tier_out_record wrote. *cursor starts at 0. data points into v, and
 * data[size] == 0. TIER_END after the last, TIER_EDAMAGE where the bytes are no records. */
int tier_next(const tier_value *v, size_t *cursor, const void **data, size_t *size);

/* ---- open and close */
typedef struct tier_root {
    const char *name; /* in keys instead of the path, so that checkouts share results; "" for the first */
    const char *path; /* of a directory */
} tier_root;

typedef int tier_sink(void *user, const char *text, size_t size); /* non-zero stops, and is returned */

enum {
    TIER_NO_MEMORY = 1, /* the null cache: every call works, nothing is kept past a session */
    TIER_READ_ONLY = 2, /* never writes to the store */
    TIER_AUDIT = 4      /* recompute every hit, compare, and log the type and the first differing byte */
};
enum { TIER_LOG_ERROR = 1, TIER_LOG_WARNING, TIER_LOG_NOTICE, TIER_LOG_DEBUG };

typedef struct tier_options { /* * */
    size_t struct_size;
    const char *app;         /* required: keeps your types apart from other programs' on the same store */
    const char *app_version; /* NULL: the digest of the ELF object that holds each type's build, so that a
                                program that was linked again computes everything anew */
    const char *dir;         /* cache directory; NULL: $TIERKIT_DIR, else $XDG_CACHE_HOME/tierkit, else
                                ~/.cache/tierkit; "": memory only */
    const char *profile; /* dev, ci, production; NULL: $TIERKIT_PROFILE, tierkit.ini, ci if $CI, else dev */
    const tier_root *roots; /* copied; none: { "", working directory at open } */
    size_t root_count;
    const char *const *settings; /* "key=value" as in tierkit.ini; copied */
    size_t setting_count;
    uint32_t flags;                                       /* TIER_NO_MEMORY, TIER_READ_ONLY, TIER_AUDIT */
    void *user;                                           /* handed to log and realloc */
    void (*log)(void *user, int level, const char *line); /* any thread; NULL: silence */
    void *(*realloc)(void *user, void *old,
                     size_t size); /* any thread; size 0 frees; NULL: the C library's */
} tier_options;

/* Opens a cache. Fails with TIER_EINVAL (app missing, root not a directory, unknown flag, profile or
 * setting; the log says which, but where o is not of TIER_INIT, and has no log) and TIER_ENOMEM only; any
 * other trouble gives a working *c, at worst without memory, and tier_cache_detail says why. */
int tier_open(const tier_options *o, tier_cache **c);
/* Commits what waits, closes, frees, sets *c to NULL. TIER_EBUSY: live sessions or detached values, named
 * in tier_cache_detail; nothing is closed then. *c may be NULL. */
int tier_close(tier_cache **c);
/* Why the cache has no memory; that it keeps nothing new, as its directory cannot be written; which sessions
 * are live after TIER_EBUSY; or NULL. Until the next close. */
const char *tier_cache_detail(const tier_cache *c);
/* Commits waiting results to the store now. TIER_EIO: could not; they stay in memory. */
int tier_flush(tier_cache *c);
/* Command line path (below the working directory) -> key path "rel", "name:rel" or "/abs"; and back,
 * relative to the working directory where that is shorter. TIER_EINVAL: buf is too small. */
int tier_path_in(const tier_cache *c, const char *os_path, char *buf, size_t size);
int tier_path_out(const tier_cache *c, const char *path, char *buf, size_t size);

/* ---- types: run-time objects, so that options and user data belong to them; one per option set */
enum {
    TIER_PATH_FREE = 1, /* build sees q->args = the file's content and q->path = NULL; equal files share one
                           value; it may read tier_env, tier_input, tier_config besides, nothing else */
    TIER_EXCLUSIVE = 2  /* a live object is lent to one session at a time */
};

typedef struct tier_type_def { /* * ; copied by tier_define */
    size_t struct_size;
    const char *name; /* its own: TIER_EINVAL where a type of this name, version and config is defined already
                         with other flags, callbacks or user, as both would share one answer */
    uint32_t version; /* raise it when the build's answer changes and app_version does not */
    uint32_t tier;    /* TIER_TREE or TIER_DELTA; a build reads its own tier and upper ones */
    uint32_t flags;
    const void *config; /* every option that the build may look at: part of the identity */
    size_t config_size;
    void *user; /* handed to the callbacks; must outlive the type */
    /* Computes q. Returns 0, or what tier_fail returned. Remembered besides TIER_EBUILD: TIER_EABSENT,
     * TIER_EACCESS, TIER_EKIND handed on from what it read. */
    int (*build)(tier_session *s, const tier_query *q, tier_out *out, void *user);
    void (*destroy)(void *object, void *user);                       /* of live objects */
    int (*save)(const void *object, tier_out *out, void *user);      /* same object, same bytes; NULL: objects
                                                                        never go to disk */
    int (*load)(const tier_value *saved, tier_out *out, void *user); /* refuse with any error: built again */
    int (*fingerprint)(const void *object, tier_out *out,
                       void *user); /* value hash of what it writes; NULL:
                                       of the bytes, else the content key */
} tier_type_def;

/* The type lives until tier_undefine or tier_close. TIER_EINVAL: the log names the field. */
int tier_define(tier_cache *c, const tier_type_def *def, const tier_type **type);
/* Destroys the type's live objects: call before dlclose. TIER_EBUSY: one is lent or being computed. */
int tier_undefine(tier_cache *c, const tier_type *type);

/* What a callback's result is made of: an object, or bytes, or both. */
int tier_out_object(tier_out *out, void *object, size_t bytes);    /* the cache owns it now, also when the
                                                                      build fails; bytes: its weight */
int tier_out_bytes(tier_out *out, const void *data, size_t size);  /* appends a copy */
int tier_out_record(tier_out *out, const void *data, size_t size); /* appends a record; see tier_next */
int tier_out_hold(tier_out *out, const tier_value *v);             /* the object points into v: v lives as
                                                                      long as the object does */
int tier_fail(tier_session *s, int rc, const char *text);          /* returns rc; text is kept (a copy) */

/* About the result being built; outside a build TIER_EINVAL. */
int tier_once(tier_session *s, const char *why); /* it read something unnameable: not kept past the session */
int tier_tag(tier_session *s, const char *tag);  /* for tier_invalidate */
/* After that it is a miss, in sessions that begin then; what read it is asked again with it, and computed
 * again where it came out different. The earliest time counts. */
int tier_expires(tier_session *s, int64_t ms);

/* ---- sessions: one view; each input is looked at once, later reads see the same bytes */
enum {
    TIER_CANCEL_ON_CHANGE = 1, /* a newer overlay, input or watch event cancels */
    /* Where a build would have to run, a get may give the newest remembered answer instead, at once, flagged
     * TIER_STALE; so may a peek. What a build makes of a stale answer is stale too. None of it is kept past
     * the session, stored or told to streams. What still holds is fresh as ever; failures and what was
     * invalidated are never given, nor what is older than the setting stale.max_age. For the fresh answer,
     * ask in a session without this flag: on another thread, say, and draw again when it comes. */
    TIER_MAY_BE_STALE = 2
};

typedef struct tier_session_options { /* * */
    size_t struct_size;
    uint32_t flags;
    int64_t deadline_ms; /* from now; 0: none. After it calls give TIER_ETIMEOUT */
} tier_session_options;

int tier_begin(tier_cache *c, const tier_session_options *o, tier_session **s); /* o may be NULL */
/* A session for another thread on the same view. Called on the parent's thread; ends before the parent.
 * Forked inside a build, its reads are the build's. */
int tier_fork(tier_session *parent, tier_session **child);
/* Ends the session's loans, frees it, sets *s to NULL. TIER_ECHANGED: an input was seen to change under way;
 * the answers are true of the view, a new session sees the newest. TIER_EBUSY: forks live; nothing ended. */
int tier_end(tier_session **s);
uint64_t tier_session_id(const tier_session *s); /* never reused: safe to cancel at any time */
void tier_cancel(tier_cache *c, uint64_t id);    /* any thread; calls of it and its forks: TIER_ECANCELED */
int tier_cancelled(const tier_session *s); /* 0, or the error that calls give now; poll in long builds */
/* The last error of s, "" after a call that read or asked and did not fail; until the next call on s; never
 * NULL. */
const char *tier_detail(const tier_session *s);

/* ---- reading: to read is to depend; failures (absent, no access, wrong kind) are remembered too */
/* The content of a regular file of at most 256 MiB (a larger one is TIER_EKIND). TIER_EABSENT, TIER_EACCESS,
 * TIER_EKIND, TIER_EIO; TIER_ECHANGED: the bytes that this view saw before are gone. Never blocks on FIFOs
 * and devices. */
int tier_file(tier_session *s, const char *path, tier_value *v);
/* 'f' regular file, 'd' directory, 'o' other; follows links. TIER_EABSENT. Depends on the kind alone. */
int tier_stat(tier_session *s, const char *path, char *kind);
enum { TIER_STAT_SIZE = 1, TIER_STAT_MODE = 2, TIER_STAT_MTIME = 4 };
typedef struct tier_stat_info {
    uint64_t size, mtime_ns;
    uint32_t mode; /* permission bits */
    char kind;
} tier_stat_info;
/* As tier_stat; depends on the kind and the named fields, the others are 0. */
int tier_stat_fields(tier_session *s, const char *path, uint32_t fields, tier_stat_info *info);
/* Where the path leads, as a key path; depends on every link passed. */
int tier_realpath(tier_session *s, const char *path, tier_value *v);
/* Records: paths (dir joined with what matched; "" is the root) of files and directories whose part below dir
 * matches glob, in byte order. *, ? and [] do not cross '/', a component of two stars stands for any
 * directories, and names that begin with '.' match only where the glob says so. Symbolic links to directories
 * are listed, not entered. TIER_EABSENT, TIER_EKIND. */
int tier_list(tier_session *s, const char *dir, const char *glob, tier_value *v);
int tier_env(tier_session *s, const char *name,
             tier_value *v); /* environment variable; TIER_EABSENT when unset */
int tier_config(tier_session *s, const char *name, tier_value *v); /* setting "config.NAME"; TIER_EABSENT */
int tier_input(tier_session *s, const char *name,
               tier_value *v); /* what tier_set_input last set before begin */
/* Another library read the file. seen: digest of the bytes it saw, TIER_ECHANGED where the view saw others.
 * NULL: a tool ran or will run and read it; digested now and again when the build ends, and any difference
 * refuses the store with TIER_ECHANGED. */
int tier_read_elsewhere(tier_session *s, const char *path, const tier_digest *seen);

/* The result of a computation: hit, verified, loaded, or built once; what another process computes right now
 * is waited for, up to lease_ms. TIER_ETRANSIENT where programs died in its build crash.strikes times in a
 * row, or in the first builds of as many requests of its type; Ctrl-C cannot be told from a crash.
 * TIER_EBUILD with the build's text in tier_detail; TIER_ECYCLE with the cycle's path, also where it goes
 * through a session that a build has begun. A cycle, cancellation, timeout and out of memory are sticky: a
 * build that swallowed one fails with it. */
int tier_get(tier_session *s, const tier_query *q, tier_value *v);
int tier_peek(tier_session *s, const tier_query *q,
              tier_value *v);                     /* as get, but never builds: TIER_EABSENT */
int tier_release(tier_session *s, tier_value *v); /* early end of a loan; empties *v */
int tier_detach(tier_session *s, tier_value *v);  /* the loan leaves the session; release it with
                                                     s = NULL, before tier_close */

/* ---- edits: previous is a hint; its result must equal a build from scratch */
typedef struct tier_point {
    uint32_t row, column; /* from 0; column in bytes */
} tier_point;
typedef struct tier_edit { /* ascending; each in the text after those before it (ts_tree_edit order) */
    uint64_t start, old_end, new_end;
    tier_point start_at, old_end_at, new_end_at;
} tier_edit;
/* The newest live object of q, and the digest of q->path's content it was made from. TIER_EABSENT. Inside a
 * build this is no dependency. */
int tier_previous(tier_session *s, const tier_query *q, tier_value *old, tier_digest *content);
/* The edits from a remembered version of path to the version of this view; lent until the scope ends.
 * TIER_EABSENT: that version is not remembered. */
int tier_edits(tier_session *s, const char *path, const tier_digest *from, const tier_edit **e, size_t *n);

/* ---- the world outside: any thread; sessions that have begun do not see it */
int tier_set_input(tier_cache *c, const char *name, const void *data, size_t size); /* copied; NULL unsets */
/* An unsaved buffer: what path holds for new sessions of this process. data is copied; NULL: back to disk.
 * version: of the editor; lower than the last one is ignored. tier_list names it, where no file is there,
 * too; but no directory comes with it: one above it that is not on disk is absent until the buffer is saved.
 */
int tier_overlay(tier_cache *c, const char *path, int64_t version, const void *data, size_t size);
enum {
    TIER_BY_PATH = 1, /* a key path */
    TIER_BY_TAG = 2,
    TIER_BY_TYPE = 4, /* a type's name */
    TIER_BY_AGE = 5   /* computed longer ago than that: "12h", "7d", "500ms" */
};
/* Makes matching results misses, for inputs that tier_once could not avoid; files never need it. Committed
 * before it returns. BY_PATH also forgets the file's stat identity, so it is read again. What a path-free
 * type makes of a file's bytes has no path: name its type or tag. */
int tier_invalidate(tier_cache *c, int by, const char *what);
/* The same by a PCRE2 pattern over paths, type names or tags (by: TIER_BY_PATH, _TYPE, _TAG), which matches
 * anywhere in them. In a room of its own: whoever does not call it does not link PCRE2, and takes patterns of
 * other processes for matching everything. */
int tier_invalidate_pattern(tier_cache *c, int by, const char *regex);
/* After it every earlier change on disk is seen by a new session, and its events have been queued. */
int tier_sync(tier_cache *c, int64_t timeout_ms);

/* ---- streams: live events, bounded; a lost event is a gap event, never silence */
enum { TIER_CHANGED = 1, TIER_INVALIDATED = 2, TIER_RESULT = 4, TIER_GAP = 8 };
enum {
    TIER_DROP_OLDEST = 0,
    TIER_COALESCE /* one event a path waits at a time */,
    TIER_BLOCK /* up to block_ms */
};

typedef struct tier_stream_options { /* * */
    size_t struct_size;
    const char *glob;      /* over key paths, as in tier_list; NULL: all */
    const tier_type *type; /* INVALIDATED and RESULT only of this type; NULL: all */
    uint32_t kinds;        /* TIER_CHANGED | ...; 0: all. GAP always comes */
    uint32_t capacity;     /* events that wait; 0: 1024 */
    uint32_t policy;       /* when full */
    uint32_t replay_last;  /* non-zero: begins with the last RESULT of each request that matches */
    int64_t block_ms;      /* TIER_BLOCK: publishers wait this long at most, then it is a gap; 0: 100 */
} tier_stream_options;

typedef struct tier_event { /* * */
    size_t struct_size;
    uint32_t kind, lost;   /* TIER_CHANGED...; lost: how many events a gap stands for, 0 unknown */
    uint64_t sequence;     /* ascending; of the event */
    const char *path;      /* key path; NULL where the request has none. Until the next call on the stream */
    const tier_type *type; /* of INVALIDATED, RESULT */
    tier_value value;      /* of RESULT: shared by all subscribers, so empty where the type is TIER_EXCLUSIVE;
                              until the next call on the stream */
} tier_event;

/* Opens a stream. Where CHANGED is asked for, the directories of the workspace are watched from here on. */
int tier_stream_open(tier_cache *c, const tier_stream_options *o, tier_stream **st);
int tier_stream_fd(const tier_stream *st); /* poll it: readable means call next; -1 where there is none */
/* The next event; pumps the watcher on the caller's thread. TIER_ETIMEOUT after timeout_ms (0: at once, < 0:
 * never). */
int tier_stream_next(tier_stream *st, int64_t timeout_ms, tier_event *e);
int tier_stream_close(tier_stream **st);

/* ---- warming: ready before it is asked for */
enum {
    TIER_WARM_DONE = 1,
    TIER_WARM_KNOWN,
    TIER_WARM_OVER_BUDGET,
    TIER_WARM_TOO_DEEP,
    TIER_WARM_FAILED,
    TIER_WARM_OUT_OF_TIME
};

typedef struct tier_warm_options { /* * */
    size_t struct_size;
    const tier_type *type;     /* built for each file; NULL: files only */
    const char *const *search; /* key paths of directories for include and import resolution */
    size_t search_count;
    uint64_t byte_budget;  /* reserved before a file is loaded, never exceeded; 0: what the tier has free */
    uint32_t depth;        /* of dependencies from the given paths; 0: these alone; UINT32_MAX: all */
    uint32_t jobs;         /* threads, during the call only; 0: the profile's */
    int64_t time_limit_ms; /* 0: none */
    void *user;
    /* After each file, one thread at a time; non-zero cancels with TIER_ECANCELED. outcome: TIER_WARM_... */
    int (*progress)(void *user, const char *path, unsigned depth, int outcome, uint64_t bytes);
} tier_warm_options;

typedef struct tier_warm_report { /* * */
    size_t struct_size;
    uint64_t warmed, known, over_budget, too_deep, failed, out_of_time; /* files */
    uint64_t bytes, unresolved; /* bytes held; names that led to no file */
    uint32_t depth;             /* reached */
} tier_warm_report;

/* Breadth-first from paths over what the scanners find (C/C++, Python, JavaScript/TypeScript, Go, Rust,
 * Java). report may be NULL. */
int tier_warm(tier_session *s, const tier_warm_options *o, const char *const *paths, size_t n,
              tier_warm_report *report);

/* ---- looking inside */
/* Why q is what it is: state, dependencies with what each was and is, what made it run last. format: text,
 * json, dot. */
int tier_explain(tier_session *s, const tier_query *q, const char *format, tier_sink *sink, void *user);
/* Counters: "tree.hit", "file.read", "type.NAME.built"...; docs/DESIGN.md lists them. Names until each
 * returns. */
int tier_stats(const tier_cache *c, void (*each)(void *user, const char *name, double value), void *user);

#ifdef __cplusplus
}
#endif
#endif
