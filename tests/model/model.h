/* model.h - random programs of edits, run against the library and the naive oracle at once.
 *
 *   generate ops -> world_run: apply each op to a private tree -> at each CHECK begin a session on both
 * sides, ask both the same things, compare the answers, then compare what the library ran with what it had to
 * run
 *
 * WHAT HAD TO RUN needs no second manager. The oracle runs everything from scratch and its callbacks write
 * down, for each request, the reads they made in order with the values they saw: a trace. Builds are
 * deterministic, so a recorded result holds exactly when its trace equals the one just written down; and a
 * run from scratch asks for exactly the requests that a verification in recorded order has to look at. So the
 * library must run those requests whose trace of now it does not remember, once each, and nothing else. What
 * it remembers is a list of traces per request, newest first, 8 at most, in memory and on disk (memo.c).
 *
 * Workers: a check asks by one thread, or by 2 to 8 at once, each everything in an order of its own: in forks
 * of one session, or in sessions of their own. What had to run is the same, once for all of them; only what
 * is of one view (tier_once, and what went on after a failure for now) runs once in each. Where the memory is
 * small and sessions are apart, values may be evicted between two of them, and running again is let pass.
 *
 * A run stops at its first difference, which is a text; nothing here asserts but model.c. One thread drives a
 * world; callbacks of the library's side run on up to eight. */
#ifndef TESTS_MODEL_MODEL_H
#define TESTS_MODEL_MODEL_H
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include "tests/oracle/both.h"

/* ---- operations: any subsequence of a program is a program, so that it can be shrunk */
#define MODEL_OPS(X)                                                                          \
    X(EDIT, 14, "write file a's text b in place; makes its directories")                      \
    X(REPLACE, 5, "write text b beside file a and rename it over")                            \
    X(SAME_SIZE, 12, "change a digit of file a in place; b odd: put its mtime back")          \
    X(TOUCH, 4, "set the time stamps of file a to now")                                       \
    X(DELETE, 5, "remove file a")                                                             \
    X(RENAME, 5, "rename file a to the name of file b")                                       \
    X(SHADOW, 4, "write text b at the place that the search for a header looks at first")     \
    X(SWAP, 3, "swap two directories")                                                        \
    X(FLIP_LINK, 4, "point the linked search directory elsewhere (b)")                        \
    X(SYMLINK, 2, "make file a a symbolic link to file b")                                    \
    X(HARD_LINK, 2, "make file a another name of file b")                                     \
    X(DIRECTORY, 2, "put a directory where file a was")                                       \
    X(CHMOD, 2, "change the mode of file a")                                                  \
    X(SETENV, 3, "set or unset the environment variable")                                     \
    X(INPUT, 3, "set or unset the input")                                                     \
    X(OVERLAY, 4, "show text b for file a, or the disk again (c odd)")                        \
    X(OUTSIDE, 4, "change what no read declares, and invalidate the tag of those who saw it") \
    X(BAN_PATH, 3, "invalidate file a")                                                       \
    X(BAN_MANY, 1, "invalidate the tag 70 times")                                             \
    X(FLUSH, 3, "commit what waits")                                                          \
    X(RESTART, 3, "close and open again, with setting b")                                     \
    X(RETYPE, 5, "define type a anew, with version and config bytes of b")                    \
    X(PASS, 6, "let time pass: b of a few ms, seconds, an hour")                              \
    X(CHECK, 0, "ask: seed c; b 0-2 one thread, 3 2-8 forks, 4 a child process, 5 2-8 sessions")
enum model_op_kind {
#define MODEL_OP_ENUM(name, weight, help) OP_##name,
    MODEL_OPS(MODEL_OP_ENUM)
#undef MODEL_OP_ENUM
        OP_KINDS
};
struct op {
    uint8_t kind, a, b;
    uint32_t c;
};
const char *op_name(int kind);

/* ---- seam.c: the clock and the time stamps that both sides see (see there) */
enum { STAMPS_FINE, STAMPS_TICK, STAMPS_SECOND, STAMP_KINDS };
void seam_reset(int stamps);
void seam_pass(int64_t ns); /* time goes on by that much, for the clock and for stamps made from now on */
int64_t seam_now_ms(void);
bool seam_mtime(int fd, struct timespec *t); /* as it is on disk */

/* ---- types.c */
enum model_type {
    T_OUTLINE, /* tree, live object: lines of a file, with their places */
    T_FACE,    /* tree, bytes: the outline without places and comments: early cutoff */
    T_LETTERS, /* tree, path-free: counts over the bytes, with the environment */
    T_RESOLVE, /* where a name leads that a file includes: probes with tier_stat */
    T_VALUE,   /* sum over the includes, recursive: cycles are TIER_ECYCLE */
    T_REACH,   /* sum over everything reachable: cycles are legal */
    T_CHECK,   /* fails with TIER_EBUILD or TIER_ETRANSIENT where the text says so */
    T_COND,    /* reads a second file, or an input, by what the first one says */
    T_AMBIENT, /* environment, input, setting */
    T_LIST,    /* a listing, and the sizes of what it lists */
    T_PLACE,   /* stat fields of a path, and whether it is there */
    T_REAL,    /* where a path leads */
    T_NOW,     /* tier_once */
    T_OVER,    /* reads T_NOW and keeps its parity */
    T_TAGGED,  /* reads the undeclared under a tag */
    T_FADING,  /* expires */
    T_BULK,    /* 20 KiB made of a face */
    T_WHOLE,   /* a listing, and for each file of it T_REACH and T_CHECK */
    T_NODE,    /* program.c: a node of the world's random dependency program */
    T_LIVE,    /* another, a live object whose fingerprint leaves out what nobody reads */
    TYPES
};
enum { CONFIGS = 3, VERSIONS = 2, FADE_MS = 1000 * 1000 };
struct model;
struct side;
struct model_type_of { /* user pointer of a type */
    struct side *side;
    int kind;
    uint32_t version;
    unsigned char config;
    const tier_type *type;
};
struct side {
    struct oracle_side api;
    struct model *m;
    bool oracle;
    tier_cache *c;
    struct model_type_of type[TYPES];
};
int types_define(struct side *s, int kind); /* with its version and config */
/* For builds: reads and questions, each with a note of what was seen. */
int read_file(struct model_type_of *t, tier_session *s, const char *path, tier_value *v);
int read_kind(struct model_type_of *t, tier_session *s, const char *path, char *kind);
int read_list(struct model_type_of *t, tier_session *s, const char *dir, const char *glob, tier_value *v);
typedef int named_read(tier_session *s, const char *name, tier_value *v);
int read_named(struct model_type_of *t, tier_session *s, named_read *read, const char *kind, const char *name,
               tier_value *v);
int ask(struct model_type_of *t, tier_session *s, int kind, const char *path, const char *args,
        tier_value *v);
int give_object(struct model_type_of *t, tier_out *out, const char *text, size_t size);
struct object { /* what give_object gives */
    size_t size;
    char text[];
};
const char *type_name(int kind);
/* The text that stands for a value, for comparison; malloc'd. */
char *value_text(struct model_type_of *t, const tier_value *v, size_t *size);

/* ---- memo.c: what was read and what is remembered */
enum { REMEMBERED = 8 };
struct trace {
    uint64_t id;
    int64_t expires_ms; /* 0: never */
    bool tagged, dead;  /* dead: banned; it still takes its place */
};
struct traces { /* newest first */
    struct trace at[REMEMBERED];
    unsigned count;
};
struct request {
    struct request *next;
    char *key;
    int type;
    const char *path; /* in key; "" none */
    struct traces memory, disk;
    uint64_t *ever; /* every trace that may still be somewhere */
    size_t ever_count;
    bool loose; /* more than 8 were seen, or another process wrote: what is kept is not certain */
    /* of the view at hand */
    bool asked, remembered, once;
    struct trace now;
    unsigned runs; /* of the library's callback */
};
struct frame { /* an oracle build that runs */
    struct frame *below;
    struct request *request;
    uint64_t *seen;
    size_t seen_count;
    struct trace now;
    bool once;
};
enum { BUCKETS = 4096 };
struct model {
    struct side lib, oracle;
    char base[256], root[280], cache[280];
    struct request *bucket[BUCKETS];
    pthread_mutex_t lock; /* bucket, runs, failure */
    struct frame *frame;
    bool disk, small, null_cache;
    const char *profile;
    int outside; /* what no read declares */
    unsigned mode, bans;
    bool unheard;      /* the last ban was another process's */
    unsigned views;    /* of the check at hand, at once */
    uint64_t program;  /* seed of its dependency program */
    uint64_t overlays; /* bits by file */
    int64_t overlay_version;
    char failure[4096]; /* empty: none */
    unsigned long compared, strict, ran, spared, loose;
    bool verbose;
};
uint64_t hash_bytes(const void *data, size_t size, uint64_t h);
struct request *request_of(struct model *m, const struct model_type_of *t, const tier_query *q);
void frame_begin(struct model *m, struct frame *f, struct request *r);
void frame_end(struct model *m, struct frame *f, int rc);
void note(struct side *s, const char *kind, const char *name, uint64_t value);
void memo_view_begin(struct model *m);
void memo_view_end(struct model *m, bool child, unsigned views); /* compares the runs; then remembers */
void memo_ban(struct model *m, const char *path);                /* NULL: the tag */
void memo_ban_all(struct model *m);
void memo_restart(struct model *m, int type); /* what is on disk is left; type -1: of all types */
void memo_free(struct model *m);
void differ(struct model *m, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- program.c */
enum { NODES = 30, NODE_ARGS = 8 };
int node_build(struct model_type_of *t, tier_session *s, const tier_query *q, tier_out *out);
int node_fingerprint(const void *object, tier_out *out, void *user);
int node_query(unsigned node, const char **path, char args[NODE_ARGS]); /* its type */

/* ---- world.c, check.c, generate.c */
enum { FILES = 27 };
extern const char *const file_name[FILES];
bool world_open(struct model *m, uint64_t seed);
void world_close(struct model *m);
void world_apply(struct model *m, const struct op *o);
int cache_open(struct model *m);
int cache_close(struct model *m);
void check_run(struct model *m, const struct op *o);
uint64_t next_random(uint64_t *state);
size_t program_make(uint64_t seed, size_t changes, struct op *op, size_t max); /* ops made */
void file_text(unsigned file, unsigned text, char *buf, size_t size);

/* ---- direct.c: tests of cmocka's */
void the_newest_eight_stay(void **state);
void bytes_that_are_gone_are_said_to_be(void **state);
void threads_find_no_cycle_where_none_is(void **state);
void a_closure_is_no_second_look(void **state);
#endif
