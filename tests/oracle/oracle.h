/* oracle.h - the inside of the oracle: the contract of include/tierkit.h done the naive way.
 *
 * No store, no memory past a view, no verification: every build runs once in each view that asks for it.
 * What it answers is by definition what a run from scratch on the view's observations answers, so it is
 * what the library is compared with. Running out of memory aborts: it is a test's tool.
 *
 * LOCKS  cache->lock guards the lists of sessions, types, streams, inputs, overlays and what was seen;
 *        view->lock the looks, the memo, the waits and what forks write into a frame. Order: a cache's lock
 *        may be taken while a view's is held, never the other way round. Callbacks run under neither. */
#ifndef TESTS_ORACLE_H
#define TESTS_ORACLE_H
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>
#include "include/tierkit.h"

/* ---- util.c */
void *o_alloc(size_t size); /* zeroed; aborts when out of memory */
void *o_grow(void *old, size_t size);
char *o_copy(const void *data, size_t size); /* with a zero byte behind it */
char *o_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
int64_t o_now_ms(void); /* CLOCK_MONOTONIC */
tier_digest o_digest(const void *data, size_t size);
int o_class(int errnum); /* errno -> TIER_E... */

struct o_buf {
    char *data; /* NULL while empty */
    size_t size, room;
};
void o_buf_add(struct o_buf *b, const void *data, size_t size);
void o_buf_text(struct o_buf *b, const char *text);
void o_buf_field(struct o_buf *b, const void *data, size_t size); /* length first: injective */

struct o_map_node {
    struct o_map_node *next;
    void *value;
    size_t key_size;
    uint64_t hash;
    char key[];
};
struct o_map { /* bytes -> pointer; all zero is empty; values are the caller's */
    struct o_map_node **slot;
    size_t slots, count;
};
void **o_map_at(struct o_map *m, const void *key, size_t size, bool add); /* NULL: not there */
void *o_map_remove(struct o_map *m, const void *key, size_t size);
void o_map_free(struct o_map *m, void (*each)(void *value)); /* each may be NULL */

/* ---- value.c: what a value is made of, counted, shared by loans, memo, looks and events */
struct o_item {
    atomic_int refs;
    char *data; /* NULL where there is only an object */
    size_t size;
    void *object;
    void (*destroy)(void *object, void *user);
    void *user;
    const tier_type *type; /* of the object; else NULL */
    struct o_item **holds;
    size_t hold_count;
    tier_digest hash;
};
struct o_item *o_item_of(const void *data, size_t size); /* a copy, with the digest of the bytes */
struct o_item *o_item_ref(struct o_item *i);
void o_item_unref(struct o_item *i); /* may call destroy: under no lock */

struct o_loan { /* tier_value.pin */
    struct o_loan *next, **back;
    struct o_item *item;
    struct tier_session *session; /* NULL once detached */
    struct tier_cache *cache;
    struct o_frame *frame; /* the build it was taken in, or NULL */
};
void o_lend(struct tier_session *s, struct o_item *i, uint32_t from, tier_value *v); /* takes its own ref */
void o_loans_end(struct tier_session *s, const struct o_frame *f); /* those of f, or with NULL all */

struct tier_out {
    struct o_buf bytes;
    void *object;
    const tier_type *type; /* non-NULL: an object and holds are welcome */
    struct o_item **holds;
    size_t hold_count;
};
void o_out_fini(struct tier_out *out); /* destroys what nobody took */

/* ---- cache.c */
struct tier_type {
    struct tier_type *next;
    struct tier_cache *cache;
    tier_type_def def; /* with name and config copied */
    bool dead;         /* undefined; the struct stays until close so that pointers never dangle */
    int running;
};
struct o_root {
    char *name, *path; /* path: real */
    char *given;       /* as it was given, made absolute */
};
struct o_overlay {
    int64_t version;
    struct o_item *content; /* NULL: back to disk */
};
struct tier_cache {
    pthread_mutex_t lock;
    pthread_cond_t room; /* a stream has room again */
    struct o_root *roots;
    size_t root_count;
    char **settings;
    size_t setting_count;
    struct tier_type *types;
    struct tier_session *sessions;
    struct tier_stream *streams;
    struct o_map inputs;   /* name -> o_item */
    struct o_map overlays; /* path -> o_overlay */
    struct o_map seen;     /* path -> o_seen: what streams poll */
    uint64_t next_id, sequence;
    size_t detached;
    int publishing; /* threads in o_publish */
    char *detail;
    atomic_ulong file_reads, file_hits, builds, hits;
};
char *o_normal(const struct tier_cache *c, const char *path); /* key path, folded; NULL: not one */
char *o_os_path(const struct tier_cache *c, const char *key); /* absolute */
char *o_key_path(const struct tier_cache *c, const char *absolute);
const char *o_setting(const struct tier_cache *c, const char *key);
bool o_type_hold(struct tier_cache *c, const tier_type *type); /* false: not one of c's, or undefined */
void o_type_drop(struct tier_cache *c, const tier_type *type);
void o_cache_detail(struct tier_cache *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- session.c */
struct o_frame {            /* a build that runs */
    struct o_frame *parent; /* of whoever asked, through forks too */
    struct o_frame *outer;  /* of the same thread */
    struct o_request *request;
    struct tier_session *session;
    int depth, sticky;
    char *sticky_text, *fail_text;
    struct o_recheck *rechecks;
};
struct o_recheck { /* tier_read_elsewhere with no digest */
    struct o_recheck *next;
    char *path;
    int rc;
    tier_digest hash;
};
struct o_wait { /* on the waiting thread's stack */
    struct o_wait *next;
    struct o_frame *top;
    struct o_request *target;
};
struct o_view {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a request ended, or a session was canceled */
    int users;              /* sessions, and who looks in for a moment; under cache->lock */
    bool saw_change;        /* tier_end says so */
    struct o_map looks, lists, memo, inputs, overlays, envs;
    struct o_wait *waits;
};
struct tier_session {
    struct tier_session *next, *parent;
    struct tier_cache *cache;
    struct o_view *view;
    uint64_t id;
    uint32_t flags;
    int64_t deadline; /* ms of o_now_ms; 0: none */
    atomic_int cancelled;
    int forks;
    struct o_frame *frame; /* the innermost own build */
    struct o_frame *base;  /* the build it was forked in */
    struct o_loan *loans;  /* newest first */
    char *detail;
};
enum { O_READS = 1 /* not in a path-free build */ };
struct o_frame *o_top(const struct tier_session *s);
int o_enter(struct tier_session *s,
            int reads); /* first in every call: bad session, canceled, late, path-free */
int o_state(const struct tier_session *s);
/* Last in every call that fails: sets the detail, and the sticky error of the build it happened in. */
int o_error(struct tier_session *s, int rc, const char *format, ...) __attribute__((format(printf, 3, 4)));
struct o_view **o_views(struct tier_cache *c,
                        size_t *count); /* each with a user more; the array is the caller's */
void o_view_unref(struct tier_cache *c, struct o_view *view); /* under no lock */

/* ---- world.c */
struct o_look {
    char *path;
    bool has_stat, has_content, has_real;
    int stat_rc, content_rc, real_rc;
    struct stat st;
    struct o_item *content, *real;
};
/* Both under view->lock. The look is the view's. */
struct o_look *o_look_stat(struct tier_session *s, const char *path);
struct o_look *o_look_content(struct tier_session *s, const char *path);
void o_look_free(void *look);
int o_open(const struct tier_cache *c, const char *key, int flags); /* fd or -errno; any length of path */
int o_disk_digest(const struct tier_cache *c, const char *key, tier_digest *d);

/* ---- list.c */
bool o_glob(const char *glob, const char *path); /* the whole path */
struct o_listing {
    int rc;
    struct o_item *item;
};
void o_listing_free(void *listing);

/* ---- get.c */
struct o_request {
    char *key; /* in view->memo */
    size_t key_size;
    const tier_type *type;
    char *path; /* NULL: none */
    char *args;
    size_t args_size;
    bool has_args, done;
    struct o_frame *running;
    int rc;     /* remembered, once done */
    char *text; /* of a failure */
    struct o_item *item;
};
void o_request_free(void *request);
char *o_request_name(const struct o_request *r);                                 /* "type(path)" */
struct o_request *o_known(struct tier_session *s, const tier_query *q, int *rc); /* for explain */

/* ---- stream.c */
void o_publish(struct tier_cache *c, uint32_t kind, const char *path, const tier_type *type,
               struct o_item *item);
void o_note_seen(struct tier_cache *c, const char *path, int rc, const struct stat *st);
bool o_same_file(const struct stat *a, const struct stat *b);
#endif
