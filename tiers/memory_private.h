/* memory_private.h - inside the memory side: header slabs (slab.c), entries' lives (entry.c), the slots of a
 * shard (slots.c), the governor (budget.c), and the table over them (table.c). No lock is taken with another
 * one held: a shard's or a slab pool's is always the only one. */
#ifndef TIER_MEMORY_PRIVATE_H
#define TIER_MEMORY_PRIVATE_H
#include <pthread.h>
#include "tiers/policy.h"
#include "tiers/trace.h"

enum {
    TIER__ENTRY_MAGIC = 0x54456e31, /* "TEn1" */
    TIER__TIER_MIN = TIER_FILE,
    TIER__TIER_MAX = TIER_DELTA,
    TIER__SHARDS = 64, /* FINDINGS: 64 shards with a plain mutex (7 ns) beat spinlocks when oversubscribed */
    TIER__POOLS = 16
};

/* ---- governor: the bytes of one tier. room = limit - (kept entries + reservations), so that one word tells
 * whether something fits, also while the limit changes. It is below zero only when the limit sank below what
 * is pinned or reserved. */
struct tier__budget {
    atomic_int_fast64_t limit, room;
    atomic_uint_fast64_t reserved, overdraft;
};
enum { TIER__UNACCOUNTED, TIER__KEPT, TIER__LENT }; /* of an entry's charge: nowhere, in used, in overdraft */
bool tier__budget_take(struct tier__budget *b, uint64_t bytes); /* false: no room, nothing taken */
void tier__budget_give(struct tier__budget *b, uint64_t bytes);
void tier__budget_limit(struct tier__budget *b, uint64_t limit); /* at most INT64_MAX */
uint64_t tier__budget_used(const struct tier__budget *b);
static inline bool tier__budget_over(const struct tier__budget *b)
{
    return atomic_load_explicit(&b->room, memory_order_relaxed) < 0;
}

/* ---- slots: open addressing, linear probing. A slot is the entry's address (48 bits, aligned to 64) and 22
 * bits of its hash in the bits that are free, so that neither growing nor deleting looks at an entry. */
struct tier__slots {
    uint64_t *slot;
    uint32_t capacity, count;
};
enum { TIER__SLOTS_MAX = 1 << 22 }; /* a shard: as many as the tag's bits can tell apart */
tier__entry *tier__slots_find(const struct tier__slots *s, int tier, const tier_digest *key);
bool tier__slots_reserve(struct tier__base *base, struct tier__slots *s); /* room for one more */
void tier__slots_add(struct tier__slots *s, tier__entry *e);              /* after reserve */
void tier__slots_remove(struct tier__slots *s, const tier__entry *e);
tier__entry *tier__slots_at(const struct tier__slots *s, uint32_t i); /* NULL: empty */

/* ---- references. refs counts the table's too. The bit beside the count is set, under the shard's lock, on
 * an entry that eviction met pinned: it is out of the policy, and the unref that leaves the table alone with
 * it brings it back. */
#define TIER__PARKED 0x80000000u
static inline unsigned tier__entry_refs(const tier__entry *e)
{
    return atomic_load_explicit(&e->refs, memory_order_relaxed) & ~TIER__PARKED;
}

/* ---- shards */
struct tier__shard_tier {
    uint64_t entries, hits, misses, evicted;
    struct tier__order order;
};
struct tier__shard {
    _Alignas(64) pthread_mutex_t lock; /* usable while any entry lives, so beyond tier__memory_destroy */
    struct tier__slots slots;
    struct tier__shard_tier tier[TIER__TIER_MAX + 1];
};

/* ---- header slabs: headers apart from values, so that a walk over headers drags no values through the cache
 * and both sizes suit the heap. A pool serves the threads that hash to it. */
struct tier__slab;
struct tier__pool {
    _Alignas(64) pthread_mutex_t lock;
    struct tier__slab *all, *free; /* every slab; those with free headers */
    struct tier__base *gauge;      /* where memory.bytes is counted; NULL once the memory was destroyed */
};

struct tier__memory {
    struct tier__base own; /* a copy of the host's hooks: pinned entries may outlive the host's base */
    struct tier__base *base;
    tier__recorder *recorder;   /* NULL: nothing is recorded */
    void *raw;                  /* of this struct: the heap aligns to 16 */
    atomic_uint_fast64_t alive; /* entries that exist, and 1 for the handle; 0 frees */
    atomic_uint_fast64_t holds; /* references that entries have to others */
    atomic_uint hand;           /* the shard that evicts next */
    struct tier__budget budget[TIER__TIER_MAX + 1];
    struct tier__pool pool[TIER__POOLS];
    struct tier__shard shard[TIER__SHARDS];
};

void *tier__alloc_lines(struct tier__base *b, size_t size, void **raw); /* aligned to 64; free raw */

tier__entry *tier__slab_take(tier__memory *m); /* a header, its place and memory set; NULL: out of memory */
void tier__slab_give(tier__entry *e, uint64_t kept_bytes); /* kept_bytes leave the gauge */
void tier__slab_fini(tier__memory *m);
/* Calls each for every header in use, with its pool locked. */
void tier__slab_each(tier__memory *m, void (*each)(void *user, tier__entry *e), void *user);

static inline struct tier__shard *tier__shard_of(tier__memory *m, const tier_digest *key)
{
    return &m->shard[tier__digest_word(key) >> 58]; /* the word's top; its low bits choose the slot */
}
_Static_assert(TIER__SHARDS == 64, "tier__shard_of takes six bits");
/* e, not in the policy, leaves; the table's reference is the caller's now. With the shard's lock held. */
void tier__shard_leave(struct tier__shard *s, tier__entry *e);

uint64_t tier__entry_charge(const tier__entry *e);
/* Drops one reference; no lock may be held. The last one puts e on the chain *dead, for tier__entry_bury. */
void tier__entry_drop(tier__entry *e, tier__entry **dead);
void tier__entry_die(tier__entry *e, tier__entry **dead); /* the last reference is gone: onto the chain */
void tier__entry_bury(tier__entry *dead);                 /* no lock may be held: runs destroy */
/* e is parked, referenced by the table and the caller: drops the caller's reference and lets e into the
 * policy again or, where the limit sank below what is kept, out of the table and onto the chain *dead. false:
 * that is not so any more, nothing was done. */
bool tier__memory_unpark(tier__memory *m, tier__entry *e, tier__entry **dead);
/* Takes bytes from the tier's room, evicting for them. false: they do not fit, nothing was taken; also for 0
 * bytes while what is kept is over the limit. */
bool tier__memory_make_room(tier__memory *m, int tier, uint64_t bytes);
void tier__memory_forget(tier__memory *m); /* one of m->alive less; the last one frees m */
#endif
