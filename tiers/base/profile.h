/* profile.h - settings: one table of keys with a value for dev, ci and production, and what a host, the
 * environment and tierkit.ini changed about them. Profiles change speed, memory, durability and permission to
 * be stale, never a fresh answer (I14).
 *
 * WHERE A VALUE COMES FROM, the later wins: the profile's default; tierkit.ini of the cache directory; of
 * $XDG_CONFIG_HOME/tierkit (else ~/.config/tierkit); of the first root; the environment
 * (TIERKIT_MEMORY_FILE for memory.file; a TIERKIT_ name that nothing reads is trouble); an argument. The
 * root's tierkit.ini comes with a source tree, so it may set neither `dir` nor any store.* key. The profile
 * itself: argument, $TIERKIT_PROFILE, `profile` in the last tierkit.ini that has it, `ci` where $CI is set
 * and not empty, else `dev`. UNITS: sizes are bytes (75MiB, 1G, 4096), durations milliseconds (12h, 30s,
 * 500ms, 250), hours whole hours (12, 12h, 2d), ratios doubles from 0 to 1, rates N of "one in N" (1000,
 * 1/1000; 0: never). THREADS: a resolved profile is immutable. */
#ifndef TIER_BASE_PROFILE_H
#define TIER_BASE_PROFILE_H
#include "tiers/base/base.h"

#define TIER__MIB(n) ((int64_t)(n)*1024 * 1024)
#define TIER__GIB(n) ((int64_t)(n)*1024 * 1024 * 1024)

/* X(ID, name, kind, unit, min, max, dev, ci, production, help). For kind ENUM unit holds the words, 'a|b|c';
 * values are their indexes (enums below). RATIO values are in thousandths here, doubles when read. */
#define TIER__PROFILE_KEYS(X)                                                                              \
    X(MEMORY_FILE, "memory.file", SIZE, "bytes", 0, TIER__GIB(1024), TIER__MIB(75), TIER__MIB(50),         \
      TIER__MIB(150), "file tier: memory for contents")                                                    \
    X(MEMORY_TREE, "memory.tree", SIZE, "bytes", 0, TIER__GIB(1024), TIER__MIB(500), TIER__MIB(200),       \
      TIER__MIB(1000), "tree tier: memory for parsed values")                                              \
    X(MEMORY_DELTA, "memory.delta", SIZE, "bytes", 0, TIER__GIB(1024), TIER__MIB(64), TIER__MIB(32),       \
      TIER__MIB(128), "delta tier: memory for results of passes")                                          \
    X(PRESSURE_TRIM, "pressure.trim", RATIO, "of memory", 50, 1000, 800, 600, 700,                         \
      "trim above this part of the memory there is")                                                       \
    X(PRESSURE_HARD, "pressure.hard", RATIO, "of memory", 50, 1000, 900, 750, 850,                         \
      "trim hard above this part of the memory there is")                                                  \
    X(PRESSURE_KEEP, "pressure.keep", RATIO, "of budget", 0, 1000, 250, 250, 250,                          \
      "a tier keeps this part of its budget under any pressure")                                           \
    X(KEEP_RESULTS, "keep.results", COUNT, "results", 0, 1000000000, 5000, 0, 10000,                       \
      "delta results kept on disk; 0: bytes and runs decide")                                              \
    X(KEEP_RUNS, "keep.runs", COUNT, "runs", 1, 1000, 2, 2, 2,                                             \
      "results of so many last runs of each project are kept in any case")                                 \
    X(KEEP_VARIANTS, "keep.variants", COUNT, "variants", 1, 8, 8, 8, 8,                                    \
      "variants remembered of each request")                                                               \
    X(RETENTION_HOURS, "retention.hours", HOURS, "h", 0, 87600, 12, 0, 48,                                 \
      "what was not used for so long may go; 0: runs decide")                                              \
    X(STORE_PERSIST, "store.persist", ENUM, "off|auto|on", 0, 2, 2, 1, 2,                                  \
      "keep a store on disk; auto: only where a directory was given")                                      \
    X(STORE_SYNC, "store.sync", ENUM, "none|relaxed|full", 0, 2, 1, 0, 2,                                  \
      "relaxed: a power cut may lose the last commits; none: valid after a clean close only")              \
    X(STORE_OVERLAYS, "store.overlays", ENUM, "off|on", 0, 1, 1, 1, 1,                                     \
      "keep on disk what was made from unsaved buffers, too")                                              \
    X(STORE_CHEAP, "store.cheap", ENUM, "off|on", 0, 1, 1, 1, 1,                                           \
      "keep on disk what is cheaper to compute than to load, too")                                         \
    X(STORE_MAX_BYTES, "store.max_bytes", SIZE, "bytes", TIER__MIB(1), TIER__GIB(1024), TIER__GIB(4),      \
      TIER__GIB(2), TIER__GIB(16), "the store on disk grows no larger")                                    \
    X(STORE_BACKUP_HOURS, "store.backup_hours", HOURS, "h", 0, 8760, 0, 0, 6,                              \
      "copy the store aside so often; 0: never")                                                           \
    X(STORE_COMPRESS_LEVEL, "store.compress_level", COUNT, "level", 0, 9, 1, 6, 1,                         \
      "zlib level of what goes to disk; 0: as it is")                                                      \
    X(STORE_LOCK_MS, "store.lock_ms", DURATION, "ms", 0, 60000, 1000, 1000, 1000,                          \
      "wait so long for another process's commit, then skip ours")                                         \
    X(CODEC, "codec", ENUM, "none|zlib", 0, 1, 1, 1, 1, "format of compressed records")                    \
    X(POLICY, "policy", ENUM, "worth|s3fifo|gdsf|lru", 0, 3, 0, 0, 0, "eviction policy of the memory")     \
    X(WARM_DEPTH, "warm.depth", COUNT, "levels", 0, 1000, 3, 1, 2, "follow dependencies so far")           \
    X(WARM_WORKERS, "warm.workers", COUNT, "threads", 1, 64, 4, 2, 2, "threads while warming")             \
    X(WARM_PREDICT, "warm.predict", ENUM, "off|on", 0, 1, 1, 0, 0, "warm what usually follows")            \
    X(WARM_START, "warm.start", ENUM, "off|on", 0, 1, 1, 0, 1, "warm when a session host starts")          \
    X(WARM_CHANGED_ONLY, "warm.changed_only", ENUM, "off|on", 0, 1, 0, 1, 0, "warm changed files only")    \
    X(WARM_LIMIT, "warm.limit", DURATION, "ms", 0, 86400000, 0, 300000, 0, "stop warming then; 0: never")  \
    X(WATCH, "watch", ENUM, "off|streams|on", 0, 2, 1, 0, 2, "watch the roots' directories")               \
    X(WATCH_SETTLE, "watch.settle", DURATION, "ms", 0, 10000, 20, 20, 20,                                  \
      "events of one batch: until so long nothing came")                                                   \
    X(WATCH_POLL, "watch.poll", DURATION, "ms", 10, 3600000, 500, 500, 500,                                \
      "where the OS cannot watch: look so often")                                                          \
    X(MONITOR, "monitor", ENUM, "off|exit|interval", 0, 2, 0, 1, 2, "when tools print a summary")          \
    X(MONITOR_INTERVAL, "monitor.interval", DURATION, "ms", 1000, 86400000, 60000, 60000, 60000,           \
      "between two summaries")                                                                             \
    X(MONITOR_ALERTS, "monitor.alerts", ENUM, "off|on", 0, 1, 0, 0, 1, "compare with the limits below")    \
    X(MONITOR_AUTO_SIZE, "monitor.auto_size", ENUM, "off|on", 0, 1, 0, 0, 1,                               \
      "shift memory between tiers by benefit")                                                             \
    X(MONITOR_HIT_RATE, "monitor.hit_rate", RATIO, "of requests", 0, 1000, 800, 800, 800, "alert below")   \
    X(MONITOR_MEMORY, "monitor.memory", RATIO, "of budget", 0, 1000, 900, 900, 900, "alert above")         \
    X(MONITOR_EVICTIONS, "monitor.evictions", RATIO, "of requests", 0, 1000, 100, 100, 100, "alert above") \
    X(MONITOR_SLOWER, "monitor.slower", RATIO, "of baseline", 0, 1000, 200, 200, 200,                      \
      "alert where a run is slower by more")                                                               \
    X(VERIFY_SAMPLE, "verify.sample", RATE, "hits", 0, 1000000000, 1000, 100, 10000,                       \
      "recompute and compare one hit in so many; 0: none")                                                 \
    X(STALE_MAX_AGE, "stale.max_age", DURATION, "ms", 0, 2592000000, 86400000, 0, 86400000,                \
      "sessions that ask for it may get answers so old; 0: never")                                         \
    X(STREAM_CAPACITY, "stream.capacity", COUNT, "events", 1, 1048576, 1024, 1024, 1024,                   \
      "events that wait in a stream that names no number")                                                 \
    X(STREAM_BLOCK_MS, "stream.block_ms", DURATION, "ms", 0, 60000, 100, 100, 100,                         \
      "publishers wait so long for a stream that names no time")                                           \
    X(CRASH_STRIKES, "crash.strikes", COUNT, "crashes", 0, 1000, 3, 3, 3,                                  \
      "refuse to build what programs died in so often in a row; 0: never")                                 \
    X(LEASE_MS, "lease_ms", DURATION, "ms", 0, 600000, 2000, 2000, 2000,                                   \
      "wait so long for another process that computes the same")

enum tier__key {
#define TIER__PROFILE_ENUM(id, name, kind, unit, min, max, dev, ci, production, help) TIER__KEY_##id,
    TIER__PROFILE_KEYS(TIER__PROFILE_ENUM)
#undef TIER__PROFILE_ENUM
        TIER__KEY_COUNT
};
enum tier__key_kind {
    TIER__KIND_SIZE,
    TIER__KIND_DURATION,
    TIER__KIND_HOURS,
    TIER__KIND_COUNT,
    TIER__KIND_RATIO,
    TIER__KIND_RATE,
    TIER__KIND_ENUM
};
enum { TIER__OFF, TIER__ON }; /* warm.predict and its like */
enum { TIER__PERSIST_OFF, TIER__PERSIST_AUTO, TIER__PERSIST_ON };
enum { TIER__DISK_SYNC_NONE, TIER__DISK_SYNC_RELAXED, TIER__DISK_SYNC_FULL };
enum { TIER__WATCH_OFF, TIER__WATCH_STREAMS, TIER__WATCH_ON };
enum { TIER__MONITOR_OFF, TIER__MONITOR_EXIT, TIER__MONITOR_INTERVAL };

enum tier__profile_id { TIER__DEV, TIER__CI, TIER__PRODUCTION, TIER__PROFILE_COUNT };
enum tier__origin_kind { TIER__FROM_DEFAULT, TIER__FROM_FILE, TIER__FROM_ENVIRONMENT, TIER__FROM_ARGUMENT };

struct tier__origin {
    enum tier__origin_kind kind;
    unsigned line;    /* of file */
    const char *file; /* the profile's; NULL where kind is not FROM_FILE */
};

struct tier__config { /* a "config.NAME" setting, for tier_config */
    char *name;       /* without "config." */
    char *value;
    struct tier__origin origin;
};

struct tier__profile {
    uint32_t magic;
    struct tier__base *base;
    const char *name; /* "dev", "ci", "production"; static */
    enum tier__profile_id id;
    struct tier__origin name_origin;
    union {
        int64_t i;
        double d; /* of RATIO keys */
    } value[TIER__KEY_COUNT];
    struct tier__origin origin[TIER__KEY_COUNT];
    struct tier__config *config;
    size_t config_count;
    /* The cache directory: absolute or below the working directory; "" : memory only; never NULL. */
    char *dir;
    struct tier__origin dir_origin;
    bool dir_given; /* by argument or $TIERKIT_DIR: where `store.persist = auto` persists */
    char *files[3]; /* the tierkit.ini files that were read */
    size_t file_count;
};

struct tier__profile_request {
    const char *dir;             /* tier_options.dir; NULL: choose, "": memory only */
    const char *name;            /* tier_options.profile; NULL: choose */
    const char *const *settings; /* "key=value"; also `dir=` and `profile=`; errors here are always errors */
    size_t setting_count;
    const char *root; /* whose tierkit.ini is read; NULL: none */
    bool strict;      /* tools: trouble in files and the environment is an error, not a warning */
    const char *(*env)(void *user, const char *name); /* NULL: getenv */
    void *env_user;
};

/* *p is freed with tier__profile_free. TIER_EINVAL with a sentence in error (cut to error_size; may be NULL):
 * unknown profile, unknown key or a value out of range in an argument, in strict mode anywhere. TIER_ENOMEM.
 * Not strict, each trouble of files and environment is one warning in the log and the default stays. */
int tier__profile_resolve(struct tier__base *base, const struct tier__profile_request *r,
                          struct tier__profile **p, char *error, size_t error_size);
void tier__profile_free(struct tier__profile **p); /* NULL is fine */

static inline int64_t tier__profile_int(const struct tier__profile *p, enum tier__key key)
{
    return p->value[key].i;
}
static inline double tier__profile_ratio(const struct tier__profile *p, enum tier__key key)
{
    return p->value[key].d;
}
const char *tier__profile_word(const struct tier__profile *p, enum tier__key key); /* of ENUM keys; static */
const char *tier__profile_config(const struct tier__profile *p, const char *name); /* NULL: not set */
/* Whether a store is kept on disk: store.persist, the auto rule and a directory that is not "". */
bool tier__profile_persists(const struct tier__profile *p);

/* ---- for listing, showing and diffing ---- */
struct tier__key_info {
    const char *name, *unit, *help;
    enum tier__key_kind kind;
    int64_t min, max; /* of RATIO in thousandths */
    int64_t defaults[TIER__PROFILE_COUNT];
};
const struct tier__key_info *tier__key_info(enum tier__key key); /* static */
const char *tier__profile_name(enum tier__profile_id id);        /* static */
/* Reads text as a value of key, in raw form (RATIO in thousandths). False: not such a value, or out of range.
 */
bool tier__key_parse(enum tier__key key, const char *text, int64_t *raw);
bool tier__duration_parse(const char *text, int64_t *ms); /* as a value of DURATION keys: "12h", "500ms" */
/* "a size from 0 to 1024 GiB", "one of off, auto, on": for messages. Returns buf. */
const char *tier__key_expects(enum tier__key key, char *buf, size_t size);
/* As a person would write it, and tier__key_parse reads it: "75 MiB", "12 h", "0.80", "1/1000", "auto".
 * Returns buf. */
const char *tier__key_format(enum tier__key key, int64_t raw, char *buf,
                             size_t size); /* raw as in defaults */
const char *tier__profile_format(const struct tier__profile *p, enum tier__key key, char *buf, size_t size);
const char *tier__origin_format(const struct tier__origin *o, char *buf,
                                size_t size); /* "file:12", "default" */
/* Calls each for all keys in table order. default_value: of the profile's defaults, formatted. */
void tier__profile_each(const struct tier__profile *p,
                        void (*each)(void *user, const struct tier__key_info *key, const char *value,
                                     const char *default_value, const char *origin),
                        void *user);
/* Calls each for all keys whose defaults differ between profiles a and b. */
void tier__profile_diff(enum tier__profile_id a, enum tier__profile_id b,
                        void (*each)(void *user, const struct tier__key_info *key, const char *value_a,
                                     const char *value_b),
                        void *user);

/* ---- ini.c: the only user of inih ---- */
/* Calls each for every "name = value" of data, section joined with '.'. Lines may be indented; a line that is
 * neither pair, section, comment nor blank, or is longer than inih's limit, calls bad. Either may stop the
 * parse with non-zero, which is returned. */
struct tier__ini_calls {
    void *user;
    int (*each)(void *user, unsigned line, const char *name, const char *value);
    int (*bad)(void *user, unsigned line);
};
int tier__ini_parse(const void *data, size_t size, const struct tier__ini_calls *calls);
#endif
