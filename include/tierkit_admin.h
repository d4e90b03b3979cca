/* tierkit_admin.h - looking after a cache directory: check, repair, inspect, explain, prune, statistics,
 * profiles. What tools need and embedders do not; the rules of tierkit.h hold here too (RETURNS, ABI, structs
 * marked *).
 *
 * STORE     Functions open the store for the length of a call and read short snapshots, so they may run while
 *           other programs read and write it. What looks wrong is looked at once more in one snapshot before
 *           it is told, and in the transaction that repairs it before it is changed.
 * TOUCHES   Nothing outside of the cache directory is ever written. tier_check, tier_inspect,
 *           tier_explain_path, tier_admin_roots and tier_store_figures write nothing at all.
 * THREADS   A tier_admin belongs to one thread at a time. Callbacks run on the caller's thread, with no
 *           snapshot or transaction held.
 * ERRORS    TIER_EABSENT: no such directory, or it holds no store; TIER_EACCESS; TIER_EKIND: no cache
 *           directory (a link, a file, others' property); TIER_EBUSY: others hold the store's locks for
 *           longer than is waited for; TIER_EDAMAGE: the store is damaged as a whole: repair first;
 *           TIER_ECANCELED: progress asked for it; TIER_EIO; TIER_ENOMEM. tier_admin_detail has a sentence.
 */
#ifndef TIERKIT_ADMIN_H
#define TIERKIT_ADMIN_H
#include <tierkit.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tier_admin tier_admin; /* a cache directory and a root, looked at from outside */

typedef struct tier_admin_options { /* * ; strings are copied */
    size_t struct_size;
    const char *dir;     /* as in tier_options */
    const char *root;    /* relative paths are below it; NULL: the working directory */
    const char *profile; /* as in tier_options */
    const char *const *settings;
    size_t setting_count;
    void *user; /* handed to log, realloc and progress */
    void (*log)(void *user, int level, const char *line);
    void *(*realloc)(void *user, void *old, size_t size);
    /* Every few thousand records: what is being done (static), how many are done, and of how many where that
     * is known (else 0). Non-zero ends the call with TIER_ECANCELED, the store being as it was or as the last
     * commit left it. NULL: none. */
    int (*progress)(void *user, const char *what, uint64_t done, uint64_t total);
} tier_admin_options;

/* Resolves the profile and the directory; touches no store. Unlike tier_open it is strict: trouble in a
 * tierkit.ini or in the environment is TIER_EINVAL, and why gets a sentence with its place. */
int tier_admin_open(const tier_admin_options *o, tier_admin **a, char *why, size_t why_size);
void tier_admin_close(tier_admin **a);              /* sets *a to NULL; NULL is fine */
const char *tier_admin_dir(const tier_admin *a);    /* the cache directory; "": the profile keeps none */
const char *tier_admin_detail(const tier_admin *a); /* of the last error; "": none. Until the next call */
/* Command line path -> key path, as tier_path_in. */
int tier_admin_path(const tier_admin *a, const char *os_path, char *buf, size_t size);
/* The first root of each program that keeps results there, where that directory is there still. Key paths are
 * the same below any root; what a file is now depends on it. */
int tier_admin_roots(tier_admin *a, void (*each)(void *user, const char *root), void *user);
const char *tier_admin_root(const tier_admin *a);           /* the one in use: absolute, without links */
int tier_admin_look_below(tier_admin *a, const char *root); /* use that one; settings stay as they are */

/* ---- check and repair -----------------------------------------------------------------------------------
 */
enum {
    TIER_DAMAGE = 1, /* stored data is wrong: never served, and repair changes something */
    TIER_NOTICE      /* worth knowing: repair does nothing, and a check stays clean */
};
typedef struct tier_problem { /* * ; strings until the callback returns, what and repair are static */
    size_t struct_size;
    uint32_t severity;
    uint32_t repaired;  /* 1: it is gone now */
    const char *code;   /* stable: "variant-edge" */
    const char *what;   /* what it is: a clause */
    const char *repair; /* what repair does about it: a clause */
    const char *where;  /* the record, for a person; "" where it is the store as a whole */
    const char *detail; /* of this one: "" where there is no more to say */
} tier_problem;

enum {
    TIER_CHECK_DATA = 1,   /* also expand every value and compare it with its hash; repair always does */
    TIER_CHECK_SOURCES = 2 /* also compare remembered stat identities with the files themselves */
};
typedef struct tier_check_options { /* * */
    size_t struct_size;
    uint32_t flags;
    int64_t time_limit_ms; /* stops there, complete is 0 then; 0: none. The walk over the pages is not cut */
    void *user;
    void (*found)(void *user, const tier_problem *p); /* NULL: only count */
} tier_check_options;

typedef struct tier_check_report { /* * */
    size_t struct_size;
    uint64_t records, files; /* looked at; files: with TIER_CHECK_SOURCES */
    uint64_t damage, notices;
    uint64_t repaired, left; /* of damage */
    uint32_t complete;       /* 0: the time limit came first */
    uint32_t anew;           /* 1: the store was moved aside and a new one begun */
} tier_check_report;

/* 0: it ran, and the report says what it found. o may be NULL. A directory without a store is clean. */
int tier_check(tier_admin *a, const tier_check_options *o, tier_check_report *report);
/* Checks, and deletes, downgrades or rebuilds what is damaged, dependents first, until nothing is found. */
int tier_repair(tier_admin *a, const tier_check_options *o, tier_check_report *report);
/* Every problem that there is a code for, in table order; where and detail are "". */
void tier_problem_list(void (*each)(void *user, const tier_problem *p), void *user);

/* ---- looking inside -------------------------------------------------------------------------------------
 */
/* The record of key: 64 hex digits (identity, content key, name or workspace digest), or the short form
 * tree:9f86d081_2c26b46b68ffc68f (tier; 8 digits of the path's digest, 16 of the content's or of the content
 * key). format: text, json. TIER_EINVAL: no such form of key; TIER_EABSENT: no such record. */
int tier_inspect(tier_admin *a, const char *key, const char *format, tier_sink *sink, void *user);
/* Every remembered request with that key path: the variant that holds now (else the newest) with
 * dependencies, values and cause, and what depends on it. One pass over the records. format: text, full (text
 * with lists to their end), json. TIER_EABSENT: none. */
int tier_explain_path(tier_admin *a, const char *path, const char *format, tier_sink *sink, void *user);

typedef struct tier_figure { /* * ; strings until the callback returns */
    size_t struct_size;
    const char *group; /* "table", "type", "disk" */
    const char *name;  /* of the table or type; "file" (in use), "size" (of the file), "limit" */
    const char *app;   /* of a type; else "" */
    uint64_t records;  /* of a type: requests */
    uint64_t variants, husks, failures;
    uint64_t bytes;   /* before compression; of group disk: of the file */
    uint64_t cost_us; /* of a type: what computing its newest variants took */
} tier_figure;
/* How many remembered requests tier_invalidate by what would strike now, those with one such variant counted
 * once; by 0: none are looked at, and the call says whether there is a store that can be read. TIER_EABSENT:
 * none. */
int tier_count_results(tier_admin *a, int by, const char *what, uint64_t *count);
int tier_store_figures(tier_admin *a, void (*each)(void *user, const tier_figure *f), void *user);

/* ---- prune ----------------------------------------------------------------------------------------------
 */
typedef struct tier_prune_options { /* * */
    size_t struct_size;
    uint32_t dry_run;      /* 1: only count */
    uint32_t has_age;      /* older_than_ms counts */
    uint64_t max_bytes;    /* oldest results go until values, before compression, are no more; 0: no limit */
    int64_t older_than_ms; /* results made longer ago go */
} tier_prune_options;
typedef struct tier_prune_report { /* * */
    size_t struct_size;
    uint64_t variants, requests, values, leaf_lists; /* that went */
    uint64_t bytes;                                  /* of values that went, before compression */
    uint64_t left_bytes;                             /* of values that stay */
    uint64_t file_bytes; /* in use in the data file afterwards; freed pages are used again, the file does not
                            shrink */
    uint64_t aside, aside_bytes; /* stores that repair or an open had moved aside, and that went; of files */
} tier_prune_report;
/* Also drops stores that were moved aside, and values and lists of leaves that no result refers to. The
 * newest variant of a request goes last.
 */
int tier_prune(tier_admin *a, const tier_prune_options *o, tier_prune_report *report);

/* ---- traces ---------------------------------------------------------------------------------------------
 * What a program asked its memory for, recorded where TIERKIT_TRACE names a file. No store is needed. */
typedef struct tier_replay_row { /* * ; of one tier and policy. Strings are static */
    size_t struct_size;
    const char *policy; /* a word of the setting `policy`, or "belady": what was asked for latest goes, with
                           all to come known. The least misses of equal sizes, else a reference */
    uint32_t tier;      /* TIER_FILE... */
    uint64_t keys, footprint; /* what came into the tier: distinct keys and their bytes */
    uint64_t budget;
    uint64_t gets, hits, bytes, hit_bytes;
    uint64_t cost_us, hit_cost_us; /* of computing what was asked for; of that, what hits saved */
    uint64_t evicted;
} tier_replay_row;
typedef struct tier_replay_options { /* * */
    size_t struct_size;
    const char *const *files; /* in the order of time */
    size_t file_count;
    const char *policy; /* NULL: all of them */
    uint64_t bytes;     /* budget of each tier; 0: part */
    double part;        /* budget of each tier in footprints: 0.1 */
    void *user;
    void (*each)(void *user, const tier_replay_row *row); /* for each tier that was used */
} tier_replay_options;
/* TIER_EDAMAGE: a file is no trace; one that ends within a block is read up to there. TIER_EINVAL: no such
 * policy. */
int tier_trace_replay(tier_admin *a, const tier_replay_options *o);
/* Joins traces into a new file `to`, smaller and without keys: they are numbered. TIER_EIO: to is there. */
int tier_trace_pack(tier_admin *a, const char *const *files, size_t count, const char *to);

/* ---- runs -----------------------------------------------------------------------------------------------
 * What sessions saw and asked for and what came of it, recorded where TIERKIT_RUN_LOG names a file. */
typedef struct tier_run_report { /* * */
    size_t struct_size;
    uint64_t sessions, requests;
    uint64_t same;      /* of requests: what the run saw leads to the same answer in the store */
    uint64_t different; /* to another one, or to none as the stored one has read something else */
    uint64_t gone;      /* the answer is not remembered any more */
    uint64_t unkept;    /* the run itself did not keep it: nothing to compare with */
    uint64_t results;   /* below requests, */
    uint64_t results_same, results_different, results_gone, results_unkept;
    uint32_t torn; /* 1: the log is cut off within a record; it was read up to there */
} tier_run_report;
/* Every recorded request in its order, and every result below it, looked up by what its session saw, instead
 * of by the disk. Nothing is computed, and no file but the log and the store is looked at: two replays say
 * the same. format: text, full (text, also what is the same below requests), json. TIER_EDAMAGE: it is no run
 * log, or damaged, with the place. report, sink: may be NULL. */
int tier_run_replay(tier_admin *a, const char *log, const char *format, tier_run_report *report,
                    tier_sink *sink, void *user);

/* ---- profiles -------------------------------------------------------------------------------------------
 */
enum { TIER_PROFILES = 3 };   /* dev, ci, production */
typedef struct tier_setting { /* * ; strings until the callback returns */
    size_t struct_size;
    const char *name, *help, *expects; /* expects: "a size from 0 to 1024 GiB" */
    const char *defaults[TIER_PROFILES];
    const char *value;  /* here and now */
    const char *origin; /* "default", "tierkit.ini:3", "environment", "argument" */
} tier_setting;
const char *tier_profile_name(uint32_t i); /* static; NULL from TIER_PROFILES on */
/* The profile in force, where it was chosen, and every setting with its value and origin. */
int tier_profile_show(tier_admin *a, const char **name, char *origin, size_t origin_size,
                      void (*each)(void *user, const tier_setting *s), void *user);

#ifdef __cplusplus
}
#endif
#endif
