/* manager.h - the coherence manager from inside: what is known (nodes, dependencies, variants), what one view
 * has seen (looks, slots), and who is computing what (sessions, frames, steps).
 *
 *   open -> define -> begin -> get ... -> end -> close
 *            get:  intern the request -> bound in this view? -> enter -> walk the variants against the view
 *                  -> none matches: build in a frame that records -> publish -> bind -> leave -> lend
 *
 * LOCKS, in the order they may be taken (a later one may be taken while an earlier one is held, never the
 * reverse): flight  who resolves what, who waits for whom            (tier_cache.flight) view    one view's
 * looks, slots and kept entries          (tier__view.lock) graph   nodes, dependencies, versions, variants,
 * types    (tier_cache.graph) world   overlays, inputs, bans, sessions, pending writes  (tier_cache.world)
 * `reading` (interning what was read from disk) is taken before graph and while nothing else is held,
 * `marking` (reverse edges, one event at a time) before `reading`. No lock is held across a callback of the
 * host, a file system call or a store call; flush has a lock of its own that is taken first of all. */
#ifndef TIER_MANAGER_H
#define TIER_MANAGER_H
#include <pthread.h>
#include "coherence/doors.h"
#include "coherence/ids.h"
#include "coherence/known.h"
#include "coherence/path.h"
#include "coherence/recall.h"
#include "coherence/roots.h"
#include "tiers/base/profile.h"
#include "tiers/digest.h"
#include "tiers/governor.h"
#include "tiers/memory.h"
#include "tiers/store.h"

enum {
    TIER__SCHEMA = 1,       /* of identities, content keys and records; raise it and nothing old matches */
    TIER__NEST_MAX = 1000,  /* builds within builds: about 1 KiB of stack each besides the host's */
    TIER__BAN_BY_MAX = 7,   /* of the ways in which a log row names results: ban.c */
    TIER__BAN_MAX = 64,     /* live bans on disk; the next one makes a sweep due */
    TIER__BAN_KNOWN = 256,  /* in memory, those done with on disk too; the next one bans everything older */
    TIER__TEXT_MAX = 4096,  /* of a remembered failure's text */
    TIER__SMALL_BLOB = 512, /* lives in the variant: half of a real analyzer's results, one put less each */
    TIER__PENDING_BUCKETS = 4096,
    TIER__CLOSURE_MIN = 64 /* results below a request that make a list of its leaves worth its writing */
};

/* Dependency kinds: on disk and in content keys, so numbers are for ever. What the name is; what is observed.
 * A failure (absent, no access, wrong kind) is an observed value of its kind: FAILED of DESIGN 1 needs no
 * second look. */
#define TIER__KINDS(X)                                                 \
    X(CONTENT, 1, "content", "path; digest of the bytes")              \
    X(KIND, 2, "kind", "path; f, d or o")                              \
    X(LINK, 3, "link", "path; where it leads")                         \
    X(STAT, 4, "stat", "fields, path; kind and the fields")            \
    X(LISTING, 5, "listing", "directory, glob; digest of the records") \
    X(RESULT, 6, "result", "request; value hash")                      \
    X(INPUT, 7, "input", "name; digest")                               \
    X(ENV, 8, "environment", "name; digest")                           \
    X(CONFIG, 9, "setting", "name; digest")                            \
    X(TOOL, 10, "tool", "path; digest of the bytes")
enum tier__kind {
#define TIER__KIND_ENUM(name, number, text, help) TIER__K_##name = number,
    TIER__KINDS(TIER__KIND_ENUM)
#undef TIER__KIND_ENUM
};
const char *tier__kind_name(int kind);

struct tier_type {
    uint32_t magic;
    tier_cache *cache;
    char *name;
    tier_type_def def;
    tier_digest identity; /* of everything but path and arguments */
    uint32_t index;       /* 0, 1... in the order of definition; never used again */
    uint16_t owner;       /* of its values in the memory tiers; no other defined type has it */
    atomic_uint running;  /* requests of it that are being brought up to date; raised under graph */
    atomic_uint_fast64_t timed, cost_us;     /* builds that ended, and how long they took */
    atomic_uint_fast64_t built, hit, loaded; /* hit: and what live sessions recall */
    struct tier_type *next;
    atomic_bool audit_told; /* a difference was logged */
    bool undefined;
};

/* ---- what one view has seen */
struct tier__look { /* the first look at a path, frozen (I9) */
    int rc;         /* of the stat */
    char kind;      /* f d o; 0 when absent */
    bool looked, has_content, has_entries;
    bool touched;   /* its bytes were asked for */
    bool inherited; /* from the closure that the view stands on: no other version may take its place */
    bool vouched;   /* by the watcher: so it was when the view began */
    int content_rc, entries_rc;
    struct tier__statid id;
    int64_t observed_at;
    tier_digest content, entries;
    tier__entry *overlay; /* referenced by the view's snapshot */
};
struct tier__slot {                          /* by dependency id */
    uint32_t depth;                          /* of the activation */
    tier_session *active;                    /* RESULT: who resolves it in this view; guarded by flight */
    _Atomic(struct tier__variant *) variant; /* RESULT: bound to this; referenced, and for the life of the
                                                view; what else is of a bound one is written before */
    tier__entry *entry; /* RESULT: kept by the view itself (null cache, once); INPUT, ENV, CONFIG: the bytes;
                           referenced */
    uint32_t from;      /* how it was bound */
    int32_t seen;       /* not RESULT: 0 or the failure that was observed */
    bool touched;       /* RESULT: its value was asked for */
};
typedef struct tier__view {
    atomic_uint refs;
    tier_cache *cache;
    pthread_mutex_t lock;
    int64_t clock_ms;
    uint64_t bans, event;             /* sequences at begin */
    uint64_t replaced;                /* replace.c; guarded by graph */
    bool unheard;                     /* the log could not be read then: anything may be banned */
    struct tier__world *world;        /* overlays and inputs as they were; referenced */
    struct tier__chunks looks, slots; /* struct tier__look by path id, struct tier__slot by dependency id */
    struct tier__chunks versions;     /* uint32_t by dependency id: observed version + 1; 0: not looked at. By
                                         themselves, as verifying reads nothing else of what is known */
    struct tier__chunks seen;         /* the same as bits, 64 a word, by place */
    atomic_bool asked;                /* a result was asked for: closures are for the first one alone */
    struct tier__chunks stale;        /* struct tier__stale by dependency id */
    bool looked;                      /* a path was looked at one by one */
    uint64_t touched[TIER_DELTA + 1]; /* by tier: bytes of what was asked for, each once */
    struct tier__closure
        *closure; /* verified wholesale at the view's begin: its leaves are this view's looks */
    struct tier__snapshot *snapshot; /* of one that did not hold: what of it does */
    atomic_bool changed;             /* an input was seen to change under way */
    struct tier__watch *watch;       /* vouches for looks; NULL: none */
    atomic_uint_fast64_t begun;      /* what it is asked with; 0: not at all (any more) */
    struct tier__run_view *recorded; /* NULL: it is not */
    struct tier__frame *orphans;     /* what forks go on reading whose build is over; guarded by lock */
} tier__view;

/* ---- who is computing */
typedef struct tier__loan {
    struct tier__loan *previous, *next;
    struct tier__scope *scope;
    tier__entry *entry; /* referenced; NULL: none */
    void *memory;       /* freed at the end of the loan (edits); NULL: none */
} tier__loan;
struct tier__scope {
    tier__loan *loans;
};
typedef struct tier__frame { /* a running build, or what a fork inside one has read */
    struct tier__frame *below;
    tier__node *node;
    struct tier__frame *older; /* of those that run, on any thread; this and the next guarded by flight */
    tier_session *session;
    pthread_t thread;
    uint32_t depth; /* of the session, in it */
    struct tier__scope scope;
    struct tier__edge *edges; /* in the order of reading, each dependency once */
    uint32_t edge_count, edge_capacity;
    uint32_t *seen; /* open addressing over dep + 1 */
    uint32_t seen_capacity;
    int sticky;
    bool once, out_of_memory, path_free;
    bool audit;             /* to compare: no previous objects */
    bool stale;             /* it was given a stale answer, */
    int64_t stale_since_ms; /* true until then */
    char *once_why, *fail_text;
    int handed; /* the last remembered failure that something below gave, and its text */
    char *handed_text;
    int64_t expires_ms;
    struct tier__buf tags;
    struct tier__path **recheck; /* read by a tool: digested again at the end */
    uint32_t recheck_count;
} tier__frame;

struct tier_session {
    uint32_t magic;
    tier_cache *cache;
    tier__view *view;
    tier_session *parent; /* of a fork */
    tier_session *root;
    uint32_t fork_depth; /* the parent's depth when it forked: what is active below that is ours too */
    uint64_t id;
    uint32_t flags;
    int64_t deadline;    /* monotonic ms; 0: none */
    atomic_int canceled; /* 0 or TIER_ECANCELED; of the root */
    atomic_uint forks;
    uint32_t depth, nest;
    uint64_t reads;          /* files that it read itself */
    tier__frame *frame;      /* innermost; NULL: the session itself */
    tier__frame *fork_frame; /* the parent's frame that our own reads go to; NULL: none */
    tier__entry *content;    /* the bytes that a path-free build is about to get; lent by who resolves it */
    struct tier__scope scope;
    tier__loan *free_loans;
    struct tier__recall recall;
    tier_session *waits_for; /* guarded by flight; NULL as soon as waits_on is left, before we wake up */
    tier__node *waits_on;
    int mark_place;        /* of what it builds, while marks is not 0; -1: none */
    uint32_t marks;        /* builds within one another */
    uint32_t leases;       /* that it holds; guarded by flight */
    atomic_bool impatient; /* of the root: a wait for another process ran into its limit */
    uint32_t waits_depth;  /* until waits_for has left it */
    pthread_t waits_thread;
    bool waits_across; /* for another view's build */
    uint32_t mark;     /* of a search: somebody waits until it has left this depth; guarded by flight */
    struct tier__buf detail;
    tier_session *next; /* of the cache's list; guarded by world */
};

/* ---- the world outside, as sessions begin with it: immutable, replaced whole */
struct tier__world_item {
    char *name; /* key path or input name */
    int64_t version;
    tier__entry *entry; /* bytes; key and hash are their digest */
};
struct tier__world {
    atomic_uint refs;
    struct tier__world_item *overlay, *input; /* sorted by name */
    size_t overlay_count, input_count;
};
struct tier__ban {
    uint64_t sequence;
    int by; /* as in its log row: TIER_BY_..., and the patterns of ban.c; 0: everything */
    char *what;
    void *pattern; /* of the pattern room; NULL: none, or not readable here */
    bool compiled; /* that was tried */
};

struct tier__pending {                 /* a result that waits for its commit */
    struct tier__pending *next, *same; /* same: in its bucket by content key */
    tier__node *node;
    struct tier__variant *variant;
    tier__entry *blob;      /* referenced; NULL: none */
    struct tier__buf saved; /* instead of blob's data: what save wrote */
    tier_digest drop;       /* content key of a variant that goes; the result's own: none */
};

struct tier__superseded { /* what leaves the memory once the sessions of its time are over; guarded by world
                           */
    struct tier__superseded_item {
        tier_digest key;
        uint64_t session; /* the newest one then */
        int tier;
        bool remembered; /* by the store */
    } * item;
    size_t first, count, capacity;
};

struct tier_cache {
    uint32_t magic;
    struct tier__base base;
    char *app, *app_version, *detail, *close_detail;
    uint32_t flags, keep_variants;
    struct tier__profile *profile;
    struct tier__root *root;
    size_t root_count;
    atomic_int_fast64_t roots_glanced; /* coarse ms */
    tier_digest workspace;
    pid_t pid;
    tier__store *store;
    struct tier__store_options store_options;
    tier__memory *memory;
    struct tier__governor governor; /* of its limits */
    struct tier__hub *hub;
    struct tier__watch *watch;
    struct tier__run_log *run_log; /* NULL: nothing is recorded */
    bool watch_asked;              /* for `watch = on`; guarded by world */

    pthread_mutex_t flight, graph, world_lock, flushing, reading, marking;
    pthread_cond_t flight_done;
    uint32_t flight_waiters;
    struct tier__frame *running; /* newest first; guarded by flight */

    struct tier__table_of nodes, deps, paths;
    struct tier__chunks dep_by_id, path_by_id;
    struct tier__chunks unkept; /* by dependency id: text, why the last answer was not kept; NULL: it was */
    atomic_uint dep_count;      /* written under graph */
    uint32_t path_count, place_count;
    uint32_t *store_map; /* id on disk -> dependency + 1 */
    size_t store_map_size;
    tier_type *types;
    uint32_t type_count;               /* ever defined */
    atomic_uint_fast64_t recall_epoch; /* raised when a type goes */
    uint64_t epoch;                    /* raised when another process committed */
    atomic_uint_fast64_t last_news;    /* written under graph */
    /* replace.c, under graph: the number; the store's, as of a transaction, an epoch; answers it has not */
    atomic_uint_fast64_t replaced;
    uint64_t replaced_stored, replaced_at, replaced_epoch, replaced_apart;
    uint64_t *mark; /* by dependency id: event and state of requests (I5, I6); guarded by graph */
    size_t mark_capacity;
    struct tier__reverse *reverse; /* NULL: nobody asked yet */

    struct tier__world *world;
    struct tier__ban ban[TIER__BAN_KNOWN];
    size_t ban_count;
    uint64_t ban_sequence;     /* of the newest ban */
    uint64_t log_read;         /* the log has been read up to here */
    bool log_known;            /* it was read when the store was opened */
    bool run_counted, closing; /* sweep.h */
    int64_t opened_ms;
    uint64_t ban_unlogged; /* of the newest ban of ours without a row: another's row may bear it, too */
    bool unheard;          /* the log could not be read when it had news */
    uint64_t unheard_times;
    uint64_t ban_floor; /* everything born before it is banned; older rows of the log say no more */
    uint64_t event;     /* sequence of the newest event in this process */
    const struct tier__patterns *patterns; /* static; NULL: this program has no use for them */
    tier_session *sessions;
    uint64_t next_session;
    uint64_t audit_run; /* which hits verify.sample chooses */
    struct tier__scope detached_scope;
    uint64_t detached;

    struct tier__pending *pending, **pending_tail;
    struct tier__pending *pending_by_key[TIER__PENDING_BUCKETS];
    size_t pending_count;
    uint64_t pending_bytes;
    int64_t pending_since;
    /* what the last commit took, and what was built under leases since then */
    atomic_uint_fast64_t commit_us, unpublished_us;
    bool memos_dirty, closures_wait;
    struct tier__superseded superseded;
    atomic_uint_fast64_t session_bytes[TIER_DELTA + 1]; /* by tier: the most that one view asked for */
};
enum { TIER__CACHE_MAGIC = 0x54434143, TIER__SESSION_MAGIC = 0x54534553, TIER__TYPE_MAGIC = 0x54545950 };

/* ---- graph.c: nodes, dependencies, versions, variants */
tier__node *tier__node_of(tier_cache *c, const tier_type *type, struct tier__path *path, const void *args,
                          size_t args_size);
tier__node *tier__node_of_content(tier_cache *c, const tier_type *type, const tier_digest *content);
struct tier__request *tier__request_of(tier_cache *c,
                                       const tier__node *n); /* lock held; NULL: out of memory */
struct tier__request *tier__request_make(tier_cache *c, const struct tier__request *like);
bool tier__forwards(
    const tier__node *n); /* path-free, asked for by path: stands for the node of its content */
struct tier__dep *tier__dep_of(tier_cache *c, int kind, struct tier__path *path, uint32_t fields,
                               const void *name, size_t name_size);
struct tier__dep *tier__dep_known(tier_cache *c, int kind, const void *name,
                                  size_t name_size); /* lock held; NULL: none */
struct tier__dep *tier__dep_at(tier_cache *c, uint32_t id);
uint32_t tier__dep_version(tier_cache *c, struct tier__dep *d,
                           const tier_digest *value); /* UINT32_MAX: no memory */
uint32_t tier__dep_version_locked(tier_cache *c, struct tier__dep *d, const tier_digest *value);
void tier__dep_not_on_disk_locked(struct tier__dep *d); /* not under the id that it had there */
void tier__dep_value(tier_cache *c, const struct tier__dep *d, uint32_t version, tier_digest *value);
tier__node *tier__dep_node(tier_cache *c, struct tier__dep *d); /* NULL: its type is not defined here */
void tier__dep_label(tier_cache *c, const struct tier__dep *d,
                     struct tier__buf *out);                       /* "content of a/b.h" */
void tier__node_label(const tier__node *n, struct tier__buf *out); /* "outline(a/b.h)" */
/* live.c: whether something keeps c from closing, and what, in words. */
bool tier__live_text(tier_cache *c, struct tier__buf *out);
struct tier__variant *tier__variant_ref(struct tier__variant *v);
void tier__variant_unref(tier_cache *c, struct tier__variant *v);
void tier__node_add(tier_cache *c, tier__node *n, struct tier__variant *v); /* newest; takes a reference */
void tier__node_drop(tier_cache *c, tier__node *n, const struct tier__variant *v);   /* of this content key */
void tier__node_forget(tier_cache *c, tier__node *n, const struct tier__variant *v); /* v, and no other */
void tier__graph_fini(tier_cache *c);
void tier__failure_digest(int rc, const char *text, tier_digest *out); /* the observed value of a failure */

/* ---- view.c: looks and observations */
tier__view *tier__view_new(tier_cache *c);
void tier__view_unref(tier__view *v);
void tier__view_touch(tier__view *v, bool *touched, const tier__entry *e); /* with its lock held */
struct tier__slot *tier__view_slot(tier__view *v, uint32_t dep);           /* lock held; NULL: no memory */
/* What the watcher vouches for; false: look. Before and after a look, so that it may vouch for it later. */
struct tier__watch_ticket;
bool tier__look_vouched(tier__view *v, const struct tier__path *p, struct tier__look *out);
void tier__look_ticket(tier__view *v, const struct tier__path *p, struct tier__watch_ticket *t);
void tier__look_remember(tier__view *v, const struct tier__path *p, const struct tier__watch_ticket *t,
                         const struct tier__look *look);
void tier__look_outdated(tier__view *v); /* something was seen to be newer than the view's begin */
/* The stamps of the look at p prove nothing about what was found there or below: its path may have led
 * elsewhere in between. No closure stands on it. */
void tier__look_doubt(tier__view *v, const struct tier__path *p);
/* The observed version of dep + 1, 0: not looked at; lock held. */
uint32_t tier__view_version(const tier__view *v, uint32_t dep);
/* Sets it to that of value, and gives the slot; lock and graph lock held; NULL: no memory, nothing is set. */
struct tier__slot *tier__view_see(tier__view *v, struct tier__dep *d, const tier_digest *value);
/* How many of of's edges, from the one at first on, are what the view has seen already. */
uint32_t tier__view_known(tier__view *v, struct tier__variant *of, uint32_t first);
/* The frozen look at a path; the first one stats it. */
int tier__view_look(tier_session *s, struct tier__path *p, struct tier__look *out);
/* Digest of the content as this view sees it; entry (may be NULL): also its bytes, pinned. Result: 0 or the
 * failure observed; TIER_ECHANGED and TIER_ENOMEM are no observations. */
int tier__path_digest(tier_cache *c, struct tier__path *p, tier_digest *digest); /* outside any view */
int tier__view_content(tier_session *s, struct tier__path *p, tier_digest *digest, tier__entry **entry);
/* The names in a directory, pinned: a kind character (f d l o), name and 0 for each, in byte order of the
 * names. */
int tier__view_entries(tier_session *s, struct tier__path *p, tier_digest *digest, tier__entry **names);
/* visited (may be NULL) gets every directory whose names mattered. */
int tier__view_listing(tier_session *s, struct tier__path *dir, const char *glob, struct tier__buf *records,
                       int (*visited)(void *user, struct tier__path *p), void *user);
int tier__view_link(tier_session *s, struct tier__path *p,
                    struct tier__buf *target); /* one link; EKIND: none */
tier__entry *tier__entry_of(tier_cache *c, int tier, const void *data,
                            size_t size);                                  /* a copy, with its digest */
void tier__record_put(struct tier__buf *b, const void *data, size_t size); /* as tier_out_record */
/* Observes d in s's view (not RESULT): the version, frozen; and its bytes where it has some (INPUT, ENV,
 * CONFIG, LISTING: made anew), pinned; bytes may be NULL. seen: 0 or the failure that was observed. Result:
 * 0, or what is no observation: TIER_ECHANGED, TIER_ENOMEM, TIER_EIO. */
int tier__view_observe(tier_session *s, struct tier__dep *d, uint32_t *version, tier__entry **bytes,
                       int *seen);
/* Freezes value as what this view sees of d, unless there is one: the first one wins. false: no memory. */
bool tier__view_freeze(tier__view *v, struct tier__dep *d, const tier_digest *value, uint32_t *version,
                       tier__entry **bytes, int *seen);
const struct tier__world_item *tier__world_find(const struct tier__world_item *items, size_t n,
                                                const char *name);

/* ---- session.c */
int tier__fail(tier_session *s, int rc, const char *format, ...) __attribute__((format(printf, 3, 4)));
int tier__query_check(tier_session *s, const tier_query *q);
/* tier_get the long way; flags as of tier__resolve; rc: what the short one came to, 1: to nothing. */
int tier__get(tier_session *s, const tier_query *q, tier_value *v, int flags,
              int rc);                    /* get.c: may it be asked, here? */
const char *tier__tier_name(int tier);    /* of what the memory keeps: as in counters and settings */
int tier__session_check(tier_session *s); /* 0, or canceled, timed out; sticky */
int tier__say(tier_session *s, int rc, const char *format, ...)
    __attribute__((format(printf, 3, 4))); /* detail only */
void tier__handed(tier_session *s, int rc, const char *text);
void tier__stick(tier_session *s, int rc); /* to the running build */
bool tier__sticky(int rc);                 /* a build that swallowed one fails with it */
bool tier__remembered(int rc);             /* 0 and failures that are stored like values */
int tier__frame_add(tier_cache *c, tier__frame *f, uint32_t dep, uint32_t version);
void tier__frame_fini(tier_cache *c, tier__frame *f);
void tier__cache_after_fork(tier_cache *c); /* in a child: the parent's store is let go, its own is opened */
void tier__session_over(tier_cache *c); /* an outermost session ended: commit what has waited long enough */
int tier__record(tier_session *s, struct tier__dep *d, uint32_t version); /* to the innermost frame */

/* ---- flight.c: who resolves what */
enum { TIER__ENTERED = 0, TIER__BOUND = 1, TIER__BYPASS = 2 };
#define TIER__UNMARKED UINT32_MAX
/* Begins to resolve n in s's view: ENTERED: ours until leave; BOUND: known by now; BYPASS: another thread has
 * it, and waiting would never end: go on without. TIER_ECYCLE, TIER_ECANCELED, TIER_ETIMEOUT, TIER_ENOMEM. */
int tier__enter(tier_session *s, tier__node *n);
void tier__leave(tier_session *s, tier__node *n);
/* Waits while a session of another view builds n; 1: it has, look again. 0: now we are who builds it.
 * TIER_ECYCLE: s was begun in a build of n. */
int tier__build_enter(tier_session *s, tier__node *n);
void tier__build_leave(tier_session *s, tier__node *n);
bool tier__frame_enter(tier_session *s, tier__frame *f); /* f's build begins; false: in itself */
void tier__frame_leave(tier_session *s, tier__frame *f);
/* Adds what other sessions build on this thread to count requests of chain, the innermost first. */
size_t tier__running_here(const tier_session *s, const tier__node *until, tier__node **chain, size_t count,
                          size_t most);
void tier__holds(tier_session *s, int more); /* one lease more (1) or less (-1) */
/* Does s, or a session of this process that waits for it, hold a lease? */
bool tier__holder_waits(tier_session *s);

/* ---- strike.c */
/* TIER_ETRANSIENT with a text: programs died in it too often. Else 0. */
int tier__strike_refuses(tier_session *s, const tier__node *n);
void tier__strike_begin(tier_session *s, const tier__node *n); /* its build begins */
void tier__strike_end(tier_session *s, const tier__node *n);   /* and s->frame's goes on */

/* ---- lease.c */
struct tier__lease {    /* of one request */
    bool ours;          /* until tier__lease_end */
    int64_t wait_until; /* monotonic ms, however often it is waited for; 0: not yet */
};
/* Before n is built: true: look at its variants again. */
bool tier__lease_begin(tier_session *s, tier__node *n, struct tier__lease *l);
/* built: what was published, if anything; who waits for it can have it when this returns. */
void tier__lease_end(tier_session *s, tier__node *n, const struct tier__variant *built,
                     struct tier__lease *l);

/* ---- resolve.c, build.c */
enum { TIER__WANT_VALUE = 1, TIER__NO_BUILD = 2 };
/* Brings n up to date in s's view and gives the variant it is bound to (valid while the view lives), and with
 * WANT_VALUE its entry (pinned; NULL for a remembered failure). */
int tier__resolve(tier_session *s, tier__node *n, int flags, struct tier__variant **v, tier__entry **e,
                  uint32_t *from);
/* The variant that n is bound to in s's view, or NULL; no lock. */
struct tier__variant *tier__bound(tier_session *s, const tier__node *n);
int tier__bind(tier_session *s, tier__node *n, struct tier__variant *v, tier__entry *keep, uint32_t from);

struct tier__built {
    struct tier__variant *variant; /* referenced */
    tier__entry *entry;            /* referenced; NULL for a failure */
    struct tier__buf saved;        /* the blob, where it is not just the entry's bytes */
    bool once, stale;
    bool lent; /* an object that is lent to one at a time goes to who asked, past the memory */
    char *once_why;
    int64_t stale_since_ms;
    const struct tier__variant *instead; /* of this one, which goes; NULL: none. Borrowed */
    bool again;                          /* the value alone: its variant is known, and stays as it is */
};
/* Runs the build in a frame of its own. 0: a result or a remembered failure; else nothing that is to be kept.
 */
int tier__build(tier_session *s, tier__node *n, const struct tier__cause *cause, struct tier__built *out);
void tier__built_fini(tier_cache *c, struct tier__built *b);
void tier__orphans_free(tier__view *v);
/* publish.c: the built result, bound; and known to others, unless it is not to be kept. */
int tier__publish(tier_session *s, tier__node *n, struct tier__built *b);
/* Counts and tells that n gave two answers to equal inputs. */
void tier__undeclared(tier_session *s, const tier__node *n, const char *when);
int tier__cycle(tier_session *s, const tier__node *n); /* TIER_ECYCLE with the path of it */

#include "coherence/persist.h"

/* ---- supersede.c: a newer version has taken the place of key, of n's newest variant */
void tier__superseded(tier_cache *c, int tier, const tier_digest *key, bool remembered);
void tier__superseded_variant(tier_cache *c, const tier__node *n, const struct tier__variant *now);
void tier__superseded_leave(tier_cache *c); /* when a session has ended */

#include "coherence/ban.h"

/* ---- type.c */
struct tier_out {
    tier_cache *cache;
    const tier_type *type;
    struct tier__buf bytes;
    bool has_bytes, has_object;
    void *object;
    size_t object_bytes;
    tier__entry **hold;
    uint32_t hold_count;
    int error;
};
void tier__out_init(tier_out *out, tier_cache *c, const tier_type *type);
void tier__out_fini(tier_out *out); /* destroys what nobody took */
void tier__type_free(tier_type *t);
/* Until it is let go of, n's type is not undefined. false: it is, or is about to be. */
bool tier__type_hold(tier_cache *c, const tier__node *n);
void tier__type_let_go(const tier__node *n);
tier__entry *tier__out_entry(tier_out *out, int tier); /* takes everything; NULL: out of memory */
#endif
