/* problems.h - every problem that tiercheck can find, in one table: code, severity, what it is, what repair
 * does. Codes are stable; a problem of data is in the table before it is in the code that finds it.
 *
 * SEVERITY  DAMAGE: stored data is wrong (never served: it is a miss); repair changes something.
 *           NOTICE: worth knowing; repair does nothing and a check stays clean.
 * One list per room; TIER__PROBLEMS strings them together. */
#ifndef TIER_PROBLEMS_H
#define TIER_PROBLEMS_H

#define TIER__PROBLEMS_STORE(X)                                                                              \
    X(STORE_GATE_READ, "store-gate-read", DAMAGE, "the data file cannot be read everywhere",                 \
      "moves the store aside and starts a new one")                                                          \
    X(STORE_GATE_TRUNCATED, "store-gate-truncated", DAMAGE, "the data file ends before pages in use",        \
      "moves the store aside and starts a new one")                                                          \
    X(STORE_GATE_META, "store-gate-meta", DAMAGE, "a meta page of the data file is damaged",                 \
      "moves the store aside and starts a new one")                                                          \
    X(STORE_GATE_BOUNDS, "store-gate-bounds", DAMAGE, "a reference leads to a page outside of the store",    \
      "moves the store aside and starts a new one")                                                          \
    X(STORE_GATE_DOUBLE, "store-gate-double", DAMAGE, "a page is used twice, or both used and free",         \
      "moves the store aside and starts a new one")                                                          \
    X(STORE_GATE_PAGE, "store-gate-page", DAMAGE, "a page's head is damaged or is another page's",           \
      "moves the store aside and starts a new one")                                                          \
    X(STORE_GATE_NODE, "store-gate-node", DAMAGE, "records in a page overlap or leave gaps",                 \
      "moves the store aside and starts a new one")                                                          \
    X(STORE_GATE_KEY, "store-gate-key", DAMAGE, "keys are out of order",                                     \
      "moves the store aside and starts a new one")                                                          \
    X(STORE_GATE_OVERFLOW, "store-gate-overflow", DAMAGE, "the pages of a large record are damaged",         \
      "moves the store aside and starts a new one")                                                          \
    X(STORE_GATE_FREE, "store-gate-free", DAMAGE, "the list of free pages is damaged",                       \
      "moves the store aside and starts a new one")                                                          \
    X(STORE_GATE_COUNT, "store-gate-count", DAMAGE, "the meta page counts other pages than there are",       \
      "moves the store aside and starts a new one")                                                          \
    X(STORE_STATE, "store-state", DAMAGE, "the state file is damaged",                                       \
      "moves the store aside and starts a new one")                                                          \
    X(STORE_SUSPECT, "store-suspect", DAMAGE, "a program met damage, or a sync failed, while it was in use", \
      "moves the store aside and starts a new one")                                                          \
    X(STORE_UNSYNCED, "store-unsynced", DAMAGE,                                                              \
      "written without sync, and the machine went down before it was closed", "discards the store")          \
    X(STORE_FILES, "store-files", DAMAGE, "a file of the store is missing, foreign, linked or no file",      \
      "moves the store aside and starts a new one")                                                          \
    X(STORE_KEY, "store-key", DAMAGE, "a record under a key of no table", "deletes the record")              \
    X(STORE_FRAME_SIZE, "store-frame-size", DAMAGE, "a record is shorter or longer than it says",            \
      "deletes the record")                                                                                  \
    X(STORE_FRAME_MAGIC, "store-frame-magic", DAMAGE, "a record does not begin as records do",               \
      "deletes the record")                                                                                  \
    X(STORE_FRAME_VERSION, "store-frame-version", DAMAGE, "a record of another format version",              \
      "deletes the record")                                                                                  \
    X(STORE_FRAME_HEADER, "store-frame-header", DAMAGE, "a record's header contradicts itself",              \
      "deletes the record")                                                                                  \
    X(STORE_FRAME_KEY, "store-frame-key", DAMAGE, "a record says that it belongs to another key",            \
      "deletes the record")                                                                                  \
    X(STORE_FRAME_CHECKSUM, "store-frame-checksum", DAMAGE, "a record's checksum is wrong",                  \
      "deletes the record")                                                                                  \
    X(STORE_FRAME_INFLATE, "store-frame-inflate", DAMAGE, "a record's zlib stream is broken",                \
      "deletes the record")                                                                                  \
    X(STORE_CHUNK_MISSING, "store-chunk-missing", DAMAGE, "a part of a large value is missing",              \
      "deletes the record")                                                                                  \
    X(STORE_CHUNK_MIXED, "store-chunk-mixed", DAMAGE, "parts of a large value are of different versions",    \
      "deletes the record")                                                                                  \
    X(STORE_CHUNK_SIZE, "store-chunk-size", DAMAGE, "the parts of a large value do not sum to its size",     \
      "deletes the record")                                                                                  \
    X(STORE_CHUNK_ORPHAN, "store-chunk-orphan", DAMAGE, "a part of a large value that is not there",         \
      "deletes the record")                                                                                  \
    X(STORE_QUARANTINED, "store-quarantined", NOTICE,                                                        \
      "a store that was moved aside is kept: 'tiercheck prune' deletes it",                                  \
      "nothing: when the next is moved aside all but the newest two go; 'tiercheck prune' deletes all")      \
    X(STORE_UNCLEAN, "store-unclean", NOTICE, "the store was not closed by the last program that used it",   \
      "nothing: the next program to open it checks it first")

/* Above the store: what records say of each other (coherence/check*.c). */
#define TIER__PROBLEMS_COHERENCE(X)                                                                          \
    X(META_NEXT_ID, "meta-next-id", DAMAGE, "the counter of interned ids is lost or not above every id",     \
      "sets the counter above every id")                                                                     \
    X(META_SEQUENCE, "meta-sequence", DAMAGE,                                                                \
      "the counter of invalidations is lost or behind: a later invalidation could miss results",             \
      "sets the counter to the newest sequence that is in use")                                              \
    X(LOG_RECORD, "log-record", DAMAGE, "a remembered invalidation cannot be read",                          \
      "invalidates everything up to it, as what it meant is not known")                                      \
    X(LOG_GAP, "log-gap", DAMAGE, "a remembered invalidation is missing",                                    \
      "invalidates everything up to it, as what it meant is not known")                                      \
    X(WORKSPACE_RECORD, "workspace-record", DAMAGE, "a workspace's record cannot be read",                   \
      "deletes the record")                                                                                  \
    X(STAT_RECORD, "stat-record", DAMAGE, "a file's stat identity cannot be read",                           \
      "deletes it: the file is read again")                                                                  \
    X(STAT_WORKSPACE, "stat-workspace", DAMAGE, "a stat identity of a workspace that is not known",          \
      "deletes it: the file is read again")                                                                  \
    X(STAT_STALE, "stale-stat-identity", DAMAGE,                                                             \
      "a file's bytes changed and its time stamps did not, as a write through a shared mapping does: "       \
      "results made from the old bytes pass for fresh ones",                                                 \
      "forgets the stat identity and the workspace's lists of leaves: the file is read again")               \
    X(NAME_RECORD, "name-record", DAMAGE, "a dependency's name cannot be read",                              \
      "deletes it and the variants that refer to it")                                                        \
    X(NAME_UNLISTED, "name-unlisted", DAMAGE, "a dependency's name is not in the table of ids",              \
      "enters it there")                                                                                     \
    X(NAME_TWICE, "name-twice", DAMAGE, "a dependency's name has two ids",                                   \
      "deletes the one that is not in the table of ids, and the variants that refer to it")                  \
    X(ID_DANGLING, "id-dangling", DAMAGE, "an interned id leads to no name, or to another one",              \
      "deletes the row; the name is entered anew where there is one")                                        \
    X(VARIANT_RECORD, "variant-record", DAMAGE, "what is remembered of a request cannot be read",            \
      "deletes it: the request is computed again")                                                           \
    X(VARIANT_IDENTITY, "variant-identity", DAMAGE, "a request is remembered under another one's identity",  \
      "deletes it: the request is computed again")                                                           \
    X(VARIANT_EDGE, "variant-edge", DAMAGE, "a variant depends on a name or value that is not there",        \
      "deletes the variant: it could only be a miss")                                                        \
    X(VARIANT_SUM, "variant-sum", DAMAGE, "a variant's dependencies are others than it was stored with",     \
      "deletes the variant: it could only be a miss")                                                        \
    X(BLOB_RECORD, "blob-record", DAMAGE, "a value is too short to hold its hash",                           \
      "deletes the value; dependencies and value hash stay")                                                 \
    X(BLOB_HASH, "blob-hash", DAMAGE, "a value is another one than its variant says",                        \
      "deletes the value; dependencies and value hash stay")                                                 \
    X(CLOSURE_RECORD, "closure-record", DAMAGE, "what lies below a result cannot be read",                   \
      "deletes it: the result is verified step by step")                                                     \
    X(VARIANT_AGED, "variant-aged", NOTICE, "a variant depends on a value that is no longer kept",           \
      "nothing: it is a miss, and newer ones take its place")                                                \
    X(VARIANT_HUSK, "variant-husk", NOTICE, "a variant's value is gone; its hash and dependencies are kept", \
      "nothing: the value is computed again when it is asked for")                                           \
    X(BLOB_ORPHAN, "blob-orphan", NOTICE, "a value that no variant refers to", "nothing: prune deletes it")  \
    X(CLOSURE_IDLE, "closure-idle", NOTICE,                                                                  \
      "what lies below a variant that is not kept, or that nobody reads any more",                           \
      "nothing: prune deletes it")

/* Later rooms append their own list here. */
#define TIER__PROBLEMS(X)   \
    TIER__PROBLEMS_STORE(X) \
    TIER__PROBLEMS_COHERENCE(X)

enum tier__severity { TIER__DAMAGE, TIER__NOTICE };
struct tier__problem {
    const char *code;
    enum tier__severity severity;
    const char *what, *repair; /* clauses without a full stop; static */
};
/* NULL: no such code. */
const struct tier__problem *tier__problem_of(const char *code);
#endif
