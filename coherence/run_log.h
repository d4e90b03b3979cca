/* run_log.h - what sessions asked for, what they saw and what came of it, appended to the file that
 * TIERKIT_RUN_LOG names; and read back, for replay.
 *
 * FORMAT 1  A file is records, one behind the other; a write ends with a whole one. A record: "TIERRUN1",
 *           u32 what, u32 size, u64 checksum of the bytes seeded with what, the bytes. Numbers are little
 *           endian, texts u32 length and bytes. Each begins with u64 run and u64 view: which open cache, and
 *           which of its views (the id of the session that began it), so that several processes may append
 *           to one file.
 *   BEGIN   i64 clock of the view, u64 ban sequence, digest of the workspace, app
 *   SEEN    u32 count, then for each: u8 kind, u8 TIER__RUN_... bits, u32 fields, path and a 0, name, value
 *           digest; of a result also content key and label. In the order of looking, before what came of it
 *   ASKED   u64 session, digest of the identity, label, u32 rc, u32 from, u8 TIER__RUN_... bits, content key,
 *           value hash, u32 microseconds that computing it took, why it was computed ("" where it was not)
 *   END     u32: 1: a file was seen to change under way
 * A record says what of the world a session built on, by digests alone: contents are not in it.
 * THREADS   A log that is written: any. One that was read: one at a time. */
#ifndef TIER_RUN_LOG_H
#define TIER_RUN_LOG_H
#include "coherence/manager.h"

#define TIER__RUN_MAGIC "TIERRUN1"
enum tier__run_what { TIER__RUN_BEGIN = 1, TIER__RUN_SEEN, TIER__RUN_ASKED, TIER__RUN_END };
enum {
    TIER__RUN_HAS_PATH = 1,
    TIER__RUN_HAS_KEY = 2, /* it is a result or a remembered failure */
    TIER__RUN_KEPT = 4,    /* and was remembered */
    TIER__RUN_HEADER = 24,
    TIER__RUN_WAITING = 64 * 1024, /* bytes that wait for a write; a session's end writes, too */
    TIER__RUN_SIZE_MAX = 1 << 24   /* of a record */
};

/* ---- writing: beside a view that is recorded, guarded by view */
struct tier__run_view {
    struct tier__run_log *log;
    uint64_t id;
    bool begun;               /* BEGIN is written; guarded by the log's lock */
    bool lost;                /* no memory for an edge */
    struct tier__edge *edges; /* seen, and not written yet */
    uint32_t count, capacity;
};

void tier__run_open(tier_cache *c);             /* where TIERKIT_RUN_LOG says so */
void tier__run_close(struct tier__run_log **l); /* writes what waits; NULL is fine */
void tier__run_begin(tier_session *s);          /* an outermost session: its view is recorded from now on */
/* The view sees a version; lock held. */
void tier__run_saw(struct tier__run_view *r, uint32_t dep, uint32_t version);
/* An outermost request; v: what it is bound to, NULL: nothing. */
void tier__run_asked(tier_session *s, const tier__node *n, const struct tier__variant *v, int rc,
                     uint32_t from);
void tier__run_end(tier__view *v); /* nobody uses it any more */

/* ---- reading */
struct tier__run_text { /* points into the file's bytes */
    const char *at;
    size_t size;
};
struct tier__run_item { /* seen or asked */
    uint32_t view;      /* its place in tier__run.view */
    uint32_t kind, fields, flags;
    uint32_t id; /* of its name in the store; 0: none. For replay */
    struct tier__run_text path, name, label, why;
    tier_digest key, value;
    uint64_t session;
    uint32_t from, cost_us;
    int32_t rc;
};
struct tier__run_list {
    struct tier__run_item *item;
    size_t count, capacity;
};
struct tier__run_of { /* one view */
    uint64_t run, view;
    int64_t clock_ms;
    uint64_t bans;
    tier_digest workspace;
    struct tier__run_text app;
    bool ended, changed;
};
struct tier__run {
    struct tier__base *base;
    struct tier__run_of *view; /* in the order of their beginning */
    size_t view_count, view_capacity;
    struct tier__run_list seen, asked;
    bool torn; /* a record was cut off at the end: its process died while writing */
};
void tier__run_init(struct tier__run *r, struct tier__base *base);
void tier__run_fini(struct tier__run *r);
/* r points into data, which is to outlive it. TIER_EDAMAGE: no run log, or a bad record, at *at; TIER_ENOMEM.
 */
int tier__run_read(struct tier__run *r, const void *data, size_t size, size_t *at);
#endif
