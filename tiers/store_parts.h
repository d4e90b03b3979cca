/* store_parts.h - what store.c, store_write.c and store_check.c share. */
#ifndef TIER_STORE_PARTS_H
#define TIER_STORE_PARTS_H
#include "tiers/codec.h"
#include "tiers/store_env.h"

#define TIER__STORE_MAGIC 0x53544f52u

struct tier__store {
    uint32_t magic;
    struct tier__base *base;
    struct tier__env *env;
    tier__codec *codec;
    bool read_only;
    int64_t write_deadline_ms;
    /* What only builds need, opened for the first one: a third of an open. */
    pthread_mutex_t build_mutex;
    atomic_bool builds;            /* it was */
    int lease_fd;                  /* a description of v1/lock of our own; -1: no leases */
    struct tier__strikes *strikes; /* NULL: nothing is marked */
};

void tier__builds_open(tier__store *st);  /* if nobody has yet; any thread */
void tier__strikes_open(tier__store *st); /* once leases are open */
void tier__strikes_close(tier__store *st);
void tier__strikes_forget(tier__store *st); /* in a child: the parent's */
void tier__strikes_look(tier__store *st);   /* is its file whole? */

/* Is there no room to write? Then text says what is lacking. */
bool tier__env_full(const struct tier__env *env, char *text, size_t size);

/* Where a value goes once its plain size is known. */
struct tier__sink {
    void *(*alloc)(void *user, size_t size);
    void *user;
};
void *tier__sink_buf(void *buf, size_t size); /* alloc for a struct tier__buf, which it clears */

/* The value of a key as txn shows it, checked. TIER_OK, TIER_EABSENT, TIER_ENOMEM, TIER_EIO (the database
 * stumbled; *db says how), TIER_EDAMAGE with *code set. codec NULL: what is compressed is checked but not
 * inflated, sink does not see it. */
int tier__fetch(struct tier__base *base, tier__codec *codec, tier__txn *txn, enum tier__table t,
                const void *key, size_t key_size, const struct tier__sink *sink, enum tier__db_rc *db,
                const char **code);
/* The same from stored bytes in memory. */
int tier__unpack(tier__codec *codec, unsigned how, const void *stored, size_t size, size_t plain,
                 const struct tier__sink *sink);
/* Counts and remembers a damaged record. */
void tier__store_damaged(tier__store *st, enum tier__table t, const void *key, size_t key_size,
                         const char *code);
/* Deletes the record under a key of the database, whatever it is. For repair. */
int tier__write_del_raw(tier__write *w, const void *dbkey, size_t size);
/* Deletes a value and all its chunks. With the write lock, in txn. */
enum tier__db_rc tier__apply_del(tier__txn *txn, enum tier__table t, const void *key, size_t key_size);
#endif
