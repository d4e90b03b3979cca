/* store_lmdb.h - LMDB as the store uses it: one unnamed tree, no thread-bound readers, never WRITEMAP. The
 * only room that knows lmdb.h; everything about sharing, locks, growth and trouble is store_env.c's. */
#ifndef TIER_STORE_LMDB_H
#define TIER_STORE_LMDB_H
#include "tiers/store.h"

typedef struct tier__db tier__db;     /* an environment */
typedef struct tier__txn tier__txn;   /* a transaction, reading or writing */
typedef struct tier__curs tier__curs; /* a cursor of a transaction */

enum tier__db_rc {
    TIER__DB_OK = 0,
    TIER__DB_ABSENT,
    TIER__DB_MAP_FULL,     /* abort, grow, replay */
    TIER__DB_MAP_RESIZED,  /* another process grew it: set_map(0) with no transaction open */
    TIER__DB_READERS_FULL, /* reader_check, retry */
    TIER__DB_TXN_FULL,     /* too much for one transaction */
    TIER__DB_NO_SPACE,     /* disk, quota or RLIMIT_FSIZE */
    TIER__DB_NO_MEMORY,
    TIER__DB_IO,      /* a write or sync failed: what is on disk is not known any more */
    TIER__DB_DAMAGED, /* LMDB stumbled over its own structure */
    TIER__DB_OTHER    /* open alone: see message */
};
enum { TIER__DB_READ_ONLY = 1, TIER__DB_NO_LOCK = 2 };

/* path: directory with data.mdb (may be empty) and lock.mdb. *first: a parked reader, which it takes to open
 * the tree. *message (static) says why on failure. */
enum tier__db_rc tier__db_open(const char *path, unsigned flags, enum tier__sync sync, uint64_t map,
                               unsigned readers, tier__db **db, tier__txn **first, const char **message);
void tier__db_close(tier__db *db); /* no transaction may be open */
int tier__db_fd(const tier__db *db);
void tier__db_set_sync(tier__db *db, enum tier__sync sync);
enum tier__db_rc tier__db_sync(tier__db *db);
uint64_t tier__db_map(const tier__db *db); /* bytes of address space */
/* 0: what other processes set. No transaction of this process may be open. */
enum tier__db_rc tier__db_set_map(tier__db *db, uint64_t bytes);
uint64_t tier__db_news(const tier__db *db);  /* last transaction id */
uint64_t tier__db_bytes(const tier__db *db); /* up to the last page in use */
void tier__db_reader_check(tier__db *db);    /* frees slots of dead processes; takes LMDB's reader mutex */

/* A reading transaction keeps its reader slot while parked; begin takes LMDB's reader mutex, renew does not.
 */
enum tier__db_rc tier__txn_begin(tier__db *db, bool write, tier__txn **txn);
enum tier__db_rc tier__txn_renew(tier__txn *txn);
void tier__txn_park(tier__txn *txn);
void tier__txn_abort(tier__txn *txn);              /* frees it, reading or writing */
enum tier__db_rc tier__txn_commit(tier__txn *txn); /* frees it whatever it returns */
uint64_t tier__txn_id(const tier__txn *txn);

/* data points into the map: until the transaction ends, or changes. */
enum tier__db_rc tier__txn_get(tier__txn *txn, const void *key, size_t key_size, const void **data,
                               size_t *size);
/* *to: size bytes to fill before the next call. */
enum tier__db_rc tier__txn_put(tier__txn *txn, const void *key, size_t key_size, size_t size,
                               unsigned char **to);
/* The same where the key is not there yet; else *old and *old_size are what is, and *to is NULL. */
enum tier__db_rc tier__txn_put_new(tier__txn *txn, const void *key, size_t key_size, size_t size,
                                   unsigned char **to, const void **old, size_t *old_size);
enum tier__db_rc tier__txn_del(tier__txn *txn, const void *key, size_t key_size);

enum tier__db_rc tier__curs_open(tier__txn *txn, tier__curs **c);
void tier__curs_close(tier__curs *c);
/* The first record with a key >= key; or the one after, where next is set (key is then ignored). */
enum tier__db_rc tier__curs_seek(tier__curs *c, bool next, const void *key, size_t key_size,
                                 const unsigned char **found, size_t *found_size, const void **data,
                                 size_t *size);
#endif
