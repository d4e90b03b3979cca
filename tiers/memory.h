/* memory.h - the memory side of the tiers: reference-counted entries, a sharded table by content key,
 * eviction behind a small vtable, and the governor of bytes.
 *
 * An entry is immutable once it was inserted. A pin is a reference: it survives eviction, invalidation and
 * removal. I12: the bytes of entries in the table plus reservations never exceed the tier's budget by a byte;
 * what does not fit is lent uncached (the reference still works) and its bytes are counted as overdraft while
 * it lives. Charged bytes are those of the allocations, the object's reported weight, and the header.
 * THREADS: everything from any thread. destroy callbacks run with no lock held. */
#ifndef TIER_MEMORY_H
#define TIER_MEMORY_H
#include "tiers/base/base.h"
#include "tiers/digest.h"

typedef struct tier__entry tier__entry;
typedef struct tier__memory tier__memory;

struct tier__entry {
    uint32_t magic;
    atomic_uint refs;
    tier_digest key;  /* content key; a file's: the digest of its bytes */
    tier_digest hash; /* value hash */
    void *data;       /* size bytes and a 0 byte, aligned to 16; NULL: none */
    size_t size;
    void *object; /* NULL: none */
    size_t object_bytes;
    void (*destroy)(void *object, void *user); /* NULL: nothing to do */
    void *destroy_user;
    const void *owner;   /* the type, for tier__memory_drop_owner; NULL: none */
    tier__entry **holds; /* referenced while this one lives */
    uint32_t hold_count;
    uint32_t cost_us; /* measured time to compute it */
    uint8_t tier;     /* TIER_FILE, TIER_TREE, TIER_DELTA */
    uint8_t resident; /* in the table; guarded by its shard */
    uint8_t policy_bits, exclusive;
    uint32_t shard;
    uint64_t charge;                    /* bytes accounted */
    tier__entry *older, *newer, *chain; /* the policy's queues and the table's chain; guarded by the shard */
    tier__memory *memory;
};

struct tier__memory_options {
    uint64_t budget[5]; /* by tier (index TIER_FILE..TIER_DELTA); 0: keep nothing */
    const char *policy; /* "s3fifo" (default), "gdsf", "lru" */
};
int tier__memory_create(struct tier__base *base, const struct tier__memory_options *o, tier__memory **m);
/* NULL is fine. Entries still pinned live on until their last unref (their memory is freed then), so a host
 * may close in any order; live_pins says how many there are before. */
void tier__memory_destroy(tier__memory **m);
uint64_t tier__memory_live(const tier__memory *m); /* entries that somebody but the table references */

/* A fresh entry, one reference, not in the table: room for size bytes of data (data == NULL when size is
 * SIZE_MAX: an object alone). The caller fills data, key, hash, object... then inserts or just uses it. NULL:
 * out of memory. */
tier__entry *tier__entry_new(tier__memory *m, int tier, size_t size);
int tier__entry_hold(tier__entry *e, tier__entry *held); /* takes a reference of its own */
tier__entry *tier__entry_ref(tier__entry *e);
void tier__entry_unref(tier__entry *e); /* NULL is fine; the last one destroys */

/* Pinned, or NULL. */
tier__entry *tier__memory_find(tier__memory *m, int tier, const tier_digest *key);
/* Hands e to the table (which takes its own reference) and returns e, or, where an entry with that key is
 * there already, that one pinned and e's reference is dropped. Over budget: evicts; still no room: e is
 * returned uncached. */
tier__entry *tier__memory_insert(tier__memory *m, tier__entry *e);
void tier__memory_remove(tier__memory *m, int tier, const tier_digest *key); /* superseded: leaves at once */
/* Takes the entry out of the table and hands it over (TIER_EXCLUSIVE); insert brings it back. */
tier__entry *tier__memory_take(tier__memory *m, int tier, const tier_digest *key);
/* Removes all entries of owner; returns how many of its entries are still pinned. */
uint64_t tier__memory_drop_owner(tier__memory *m, const void *owner);
void tier__memory_clear(tier__memory *m); /* removes all */

/* A reservation against a tier's free bytes plus what eviction can free; false: does not fit. For loads whose
 * size is known before (warmers, disk). commit turns it into the charge of e by inserting; release gives it
 * back. */
bool tier__memory_reserve(tier__memory *m, int tier, uint64_t bytes);
void tier__memory_release(tier__memory *m, int tier, uint64_t bytes);
struct tier__memory_stats {
    uint64_t entries, bytes, budget, reserved, overdraft, hits, misses, evicted;
};
void tier__memory_stats(const tier__memory *m, int tier, struct tier__memory_stats *out);
#endif
