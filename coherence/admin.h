/* admin.h - what the rooms behind tierkit_admin.h share: the store as data, read record by record.
 *
 * A scan looks at every record with what an index in memory says of its neighbours; other processes may
 * commit meanwhile. So a record that looks wrong is only a suspect; it is judged once more where nothing
 * moves: in one snapshot (check) or in the write transaction that mends it (repair). */
#ifndef TIER_ADMIN_H
#define TIER_ADMIN_H
#include "include/tierkit_admin.h"
#include "coherence/closure.h"
#include "tiers/problems.h"

enum {
    TIER__ADMIN_MAGIC = 0x5441444d,
    TIER__PROGRESS_EVERY = 2048, /* records between two calls of progress */
    TIER__GAPS_MAX = 1000,       /* missing invalidations; more say no more */
    TIER__BLAME_MAX = 12         /* of one record; more are as good as these */
};

struct tier_admin {
    uint32_t magic;
    tier_cache *cache;             /* memory only, over the root: paths, looks at files */
    struct tier__base own, *base;  /* base: own */
    struct tier__profile *profile; /* strict, with the directory */
    tier__store *store;            /* for the length of a call */
    void *user;
    int (*progress)(void *user, const char *what, uint64_t done, uint64_t total);
    char detail[512];
};

/* ---- admin.c ---- */
int tier__admin_fail(tier_admin *a, int rc, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Begins a call: clears detail, opens the store where there is one. TIER_EABSENT with a sentence. */
int tier__admin_store(tier_admin *a, bool write);
/* The same without opening it; empty: the directory is a cache's, and holds no store. */
int tier__admin_begin(tier_admin *a, bool *empty);
void tier__admin_done(tier_admin *a);
int tier__admin_progress(tier_admin *a, const char *what, uint64_t done, uint64_t total);
/* admin_roots.c: a cache over this root instead of the one that a has. why: on failure, the sentence. */
int tier__admin_root(tier_admin *a, const char *path, char *why, size_t why_size);
/* admin_aside.c: the stores that were moved aside, and how large each is; with drop they go. other: what one
 * of them holds that is no file of a store; such a one stays. */
typedef void tier__aside_fn(void *user, const char *name, uint64_t bytes, const char *other);
int tier__aside_each(tier_admin *a, bool drop, tier__aside_fn *each, void *user);
/* admin_trace.c: a regular file's bytes; with a sentence */
int tier__admin_slurp(tier_admin *a, const char *path, struct tier__buf *b);
const char *tier__table_text(enum tier__table t); /* static */

/* ---- admin_text.c: records for people and programs ---- */
void tier__json_string(struct tier__buf *b, const void *text, size_t size); /* quoted; bytes as \u00XX */
void tier__json_text(struct tier__buf *b, const char *text);
void tier__digest_text(const tier_digest *d,
                       struct tier__buf *b); /* an observed value: "absent", 16 digits */
void tier__hex(const void *data, size_t size, struct tier__buf *b);
/* "outline(src/a.c)"; type "", where it is not known: "a request for src/a.c" */
void tier__request_text(const struct tier__request *q, const char *type, struct tier__buf *b);
/* tree:9f86d081_2c26b46b68ffc68f */
void tier__short_key(int tier, const char *path, const tier_digest *content, struct tier__buf *b);
void tier__when_text(int64_t ms, struct tier__buf *b);  /* UTC */
void tier__bytes_text(uint64_t n, struct tier__buf *b); /* "1.5 MiB" */

/* ---- admin_names.c: dependency names ---- */
struct tier__at;
struct tier__name_entry {
    uint32_t id;
    bool doomed; /* repair deletes it: what refers to it goes first */
    bool marked; /* of a search */
    size_t at, size;
};
struct tier__names { /* every name record, by id */
    struct tier__buf raw;
    struct tier__name_entry *entry;
    size_t count, capacity;
};
int tier__names_load(tier_admin *a, struct tier__names *n);
void tier__names_fini(tier_admin *a, struct tier__names *n);
struct tier__name_entry *tier__names_find(const struct tier__names *n, uint32_t id); /* NULL: none */
bool tier__names_get(const struct tier__names *n, uint32_t id, struct tier__name_record *out);
/* Its key in the table of ids, as flush.c makes it. */
void tier__name_key(const struct tier__name_record *n, tier_digest *key);
/* The part of the name in edge sums, as graph.c makes it. */
uint64_t tier__name_stable(const struct tier__name_record *n);
uint64_t tier__edge_sum_add(uint64_t sum, uint64_t stable, const void *value); /* as load.c does */
/* "content of a/b.h" */
void tier__name_text(const struct tier__name_record *n, struct tier__buf *b);
/* With the type of a result, which is in its request's record; false: that is not there any more. */
bool tier__name_text_at(tier_admin *a, const struct tier__at *at, const struct tier__name_record *n,
                        struct tier__buf *b);
uint32_t tier__id_of_key(const void *key, size_t size); /* 0: no key of a name */

/* Whether the value has a record of its own: small ones lie in their variant's. */
static inline bool tier__value_apart(const struct tier__variant_record *d)
{
    return d->form && d->blob_stored;
}

/* ---- where a record's neighbours are looked up ---- */
struct tier__at {
    tier__store *store;
    tier__read *read;   /* a snapshot; NULL: the newest */
    tier__write *write; /* instead of both */
};
int tier__at_get(const struct tier__at *at, enum tier__table t, const void *key, size_t size,
                 struct tier__buf *out);
bool tier__at_has(tier_admin *a, const struct tier__at *at, enum tier__table t, const void *key, size_t size);

/* ---- judging one record ---- */
struct tier__blame {
    const struct tier__problem *problem;
    int variant; /* which one of the record; -1: the record */
    char detail[160];
};
struct tier__verdict {
    enum tier__table table;
    size_t key_size;
    unsigned char key[TIER__KEY_MAX];
    char where[256];
    unsigned count;
    struct tier__blame blame[TIER__BLAME_MAX];
};
struct tier__app { /* whose relative paths could be told from their identities, and whose not */
    char *name;
    uint64_t right;
};
struct tier__blob_slot {
    tier_digest key, hash;
    bool taken, used;
};
struct tier__check { /* one pass */
    tier_admin *a;
    tier_check_report *report;
    const tier_check_options *o;
    uint32_t flags;
    bool repairing;
    int pass;
    int64_t stop_at; /* monotonic; 0: never */
    struct tier__at at;
    bool from_index; /* names are looked up in memory: a scan */
    struct tier__names names;
    struct tier__buf scratch, name, suspects; /* suspects: u8 table, u32 size, key */
    struct tier__buf workspaces;              /* half digests, one behind the other */
    struct tier__app *app;
    size_t app_count;
    struct tier__blob_slot *blob; /* with TIER_CHECK_DATA; open addressing */
    size_t blob_size, blob_count;
    bool out_of_memory;
    const char *what; /* under way, for progress */
    uint64_t done;
    uint32_t max_id;
    uint64_t max_born, log_last;
    struct tier__buf gaps; /* u64 sequences of rows that are missing */
};
void tier__blame(struct tier__verdict *v, const char *code, int variant, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Judges the record; v->count 0: it is sound. */
void tier__judge(struct tier__check *k, enum tier__table t, const void *key, size_t key_size,
                 const void *data, size_t size, struct tier__verdict *v);
void tier__judge_variants(struct tier__check *k, const void *data, size_t size, struct tier__verdict *v);
void tier__judge_name(struct tier__check *k, const void *data, size_t size, struct tier__verdict *v);
void tier__judge_id(struct tier__check *k, const void *data, size_t size, struct tier__verdict *v);
void tier__judge_closure(struct tier__check *k, const void *data, size_t size, struct tier__verdict *v);
bool tier__check_name(struct tier__check *k, uint32_t id, struct tier__name_record *out, bool *doomed);
struct tier__blob_slot *tier__check_blob(struct tier__check *k, const tier_digest *key);
/* Walks all of what lies below a result; part: the key's last byte, 'l' or 'g'. key: of the variant that it
 * holds for, where it is sound. */
enum tier__below {
    TIER__BELOW_SOUND,
    TIER__BELOW_OLD /* an older format: nobody reads it */,
    TIER__BELOW_BAD
};
enum tier__below tier__closure_read(char part, const void *data, size_t size, tier_digest *key);
bool tier__closure_used(struct tier__check *k, const unsigned char *identity, const tier_digest *key);
int tier__check_workspaces(struct tier__check *k); /* reads which there are */

/* ---- check_scan.c, check.c, check_sources.c ---- */
int tier__check_scan(struct tier__check *k);
/* A counter of so many bytes in meta; 0 and there false: lost. */
uint64_t tier__check_counter(const struct tier__check *k, const char *name, size_t size, bool *there);
void tier__check_tell(struct tier__check *k, const struct tier__problem *p, const char *where,
                      const char *detail, bool repaired);
int tier__check_sources(struct tier__check *k);

/* ---- repair.c ---- */
int tier__mend(struct tier__check *k, const struct tier__verdict *v); /* in k->at.write */
/* Counters above max_id and at least sequence (0: as they are), and the missing rows of the log. */
int tier__mend_meta(struct tier__check *k, uint32_t max_id, uint64_t sequence);
/* Forgets a stat identity if it is still the one that was looked at, and its workspace's lists of leaves. */
int tier__mend_stat(struct tier__check *k, const void *key, size_t key_size, const struct tier__buf *record);
#endif
