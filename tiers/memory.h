/* memory.h - the memory side of the tiers: reference-counted entries, a sharded table by content key,
 * eviction behind a small vtable, and the governor of bytes.
 *
 * LIFE      new -> (insert) resident -> left (evicted, removed, taken) -> freed by the last unref. An entry
 *           that is not resident is filled by the one thread that has it; once inserted it is immutable. A
 *           pin is a reference: it survives eviction, invalidation and removal.
 * BUDGET    I12: an insert reserves the entry's bytes before it becomes resident, and they are given back
 *           when its memory is freed, so pinned bytes count wherever they are. Nothing is kept or reserved
 *           unless its sum with all that is so already fits the tier's limit at that instant: while the limit
 *           stands, they never exceed it by a byte. A limit that sinks (tier__memory_limit) evicts; what is
 *           pinned or reserved beyond it leaves as soon as its pins and reservations end, and until the sum
 *           fits nothing new is kept. What does not fit after eviction is lent uncached (the reference works
 *           as any other) and is overdraft while it lives. Eviction takes no pinned entry.
 * CHARGE    what the heap takes for header, value and holds (of a host's realloc: what it was asked for),
 *           the object's reported weight, and the entry's share of the table and of the default policy.
 * THREADS   everything from any thread, tier__memory_destroy apart: then only unref may still run. destroy
 *           callbacks run with no lock held, on the thread that dropped the last reference. */
#ifndef TIER_MEMORY_H
#define TIER_MEMORY_H
#include "tiers/base/base.h"
#include "tiers/digest.h"
#include "tiers/ghost.h"

typedef struct tier__entry tier__entry;
typedef struct tier__memory tier__memory;

/* One cache line, all that a hit touches; the value hash is in the second half of its slab, see
 * tier__entry_hash. What few entries need (objects, holds) is apart, in a struct tier__side. At 1M
 * entries of 64 bytes the heap grows by 190.0 bytes an entry, key, hash and value included, and by 191.1 once
 * it evicts. Fields marked + are the library's own. */
struct tier__entry {
    _Alignas(64) tier_digest key; /* content key; a file's: the digest of its bytes */
    atomic_uint refs;             /* + pins, and the table's while it may be evicted */
    _Atomic uint16_t
        owner;     /* the type's number up to TIER__OWNER_MAX, for tier__memory_drop_owner; 0: none */
    uint16_t cost; /* + see tier__entry_cost */
    void *data;    /* size bytes and a 0 byte, aligned to 16; NULL: none. Owned */
    union {        /* + the policy's, guarded by the shard; of a dead entry: the next one */
        struct {
            uint32_t older, newer; /* see tier__slab_at; 0: none */
        };
        struct {
            uint64_t before : 28, after : 28, since : 8; /* the same, and when it came; policy_gdsf.c */
        };
        tier__entry *next_dead;
    };
    uint32_t size;
    atomic_ushort state; /* + index in its slab, tier, and flags; see below */
    atomic_uchar queue;  /* + the policy's; written with the shard's lock held */
    atomic_uchar uses;   /* + hits, saturating; written without, so two at once may count as one */
};
_Static_assert(sizeof(struct tier__entry) == 64, "one cache line");

struct tier__side {
    tier_digest hash;
    void *object; /* NULL: none */
    size_t object_bytes;
    void (*destroy)(void *object, void *user); /* NULL: nothing to do */
    void *destroy_user;
    tier__entry **holds; /* referenced while this one lives */
    uint32_t hold_count;
    uint64_t charge; /* bytes accounted */
};

/* A slab's entries, and behind them as many of these. */
enum { TIER__SLAB_ENTRIES = 64, TIER__OWNER_MAX = 0x3fff };
/* Of an entry's state, so that a hit learns with one look whether what it pinned is what it asked for. */
enum {
    TIER__TIER = 3,           /* TIER_FILE, TIER_TREE or TIER_DELTA */
    TIER__INDEX = 4,          /* times its index in the slab, of TIER__SLAB_ENTRIES */
    TIER__EXCLUSIVE = 0x100,  /* lent to one at a time: to be taken, not found; see tier__memory_take */
    TIER__APART = 0x200,      /* has a struct tier__side */
    TIER__RESIDENT = 0x400,   /* in the table */
    TIER__SUPERSEDED = 0x800, /* a newer version took its place, which the next hit has to be told */
    TIER__PARKED = 0x1000,    /* eviction met it pinned: see tier__memory_park */
};
union tier__entry_rest {
    tier_digest hash;
    struct tier__side *side;
};
static inline uintptr_t tier__rest_address(uintptr_t entry, unsigned index)
{
    return entry + (TIER__SLAB_ENTRIES - index) * sizeof(struct tier__entry) +
           index * sizeof(union tier__entry_rest);
}
static inline unsigned tier__entry_state(const tier__entry *e)
{
    return atomic_load_explicit(&e->state, memory_order_relaxed);
}
static inline bool tier__entry_is(const tier__entry *e, unsigned flag)
{
    return atomic_load_explicit(&e->state, memory_order_acquire) & flag;
}
static inline void tier__entry_mark(tier__entry *e, unsigned flag)
{
    atomic_fetch_or_explicit(&e->state, (unsigned short)flag, memory_order_release);
}
static inline void tier__entry_unmark(tier__entry *e, unsigned flag)
{
    atomic_fetch_and_explicit(&e->state, (unsigned short)~flag, memory_order_release);
}
static inline int tier__entry_tier(const tier__entry *e)
{
    return (int)(tier__entry_state(e) & TIER__TIER);
}
static inline unsigned tier__entry_index(const tier__entry *e)
{
    return tier__entry_state(e) / TIER__INDEX % TIER__SLAB_ENTRIES;
}
static inline union tier__entry_rest *tier__entry_rest(const tier__entry *e)
{
    return (union tier__entry_rest *)tier__rest_address((uintptr_t)e, tier__entry_index(e));
}
static inline struct tier__side *tier__entry_side(const tier__entry *e) /* NULL: none */
{
    return tier__entry_is(e, TIER__APART) ? tier__entry_rest(e)->side : NULL;
}
static inline tier_digest *tier__entry_hash(const tier__entry *e) /* value hash */
{
    return tier__entry_is(e, TIER__APART) ? &tier__entry_rest(e)->side->hash : &tier__entry_rest(e)->hash;
}
static inline void *tier__entry_object(const tier__entry *e) /* NULL: none */
{
    return tier__entry_is(e, TIER__APART) ? tier__entry_rest(e)->side->object : NULL;
}
static inline size_t tier__entry_object_bytes(const tier__entry *e)
{
    return tier__entry_is(e, TIER__APART) ? tier__entry_rest(e)->side->object_bytes : 0;
}
/* The type's number, up to TIER__OWNER_MAX, for tier__memory_drop_owner; 0: none. */
static inline void tier__entry_set_owner(tier__entry *e, uint16_t owner)
{
    unsigned rest = atomic_load_explicit(&e->owner, memory_order_relaxed) & ~(unsigned)TIER__OWNER_MAX;
    atomic_store_explicit(&e->owner, (uint16_t)(rest | owner), memory_order_relaxed);
}
static inline bool tier__entry_resident(const tier__entry *e) /* in the table */
{
    return tier__entry_is(e, TIER__RESIDENT);
}

struct tier__memory_options {
    uint64_t budget[5];              /* by tier (index TIER_FILE..TIER_DELTA); 0: keep nothing */
    const char *policy;              /* "worth" (default), "s3fifo", "gdsf", "lru" */
    struct tier__recorder *recorder; /* of a trace; NULL: none. The memory's own where create gives TIER_OK */
};
/* TIER_EINVAL: no such policy; TIER_ENOMEM. */
int tier__memory_create(struct tier__base *base, const struct tier__memory_options *o, tier__memory **m);
/* NULL is fine. Entries still pinned live on until their last unref (their memory is freed then), so a host
 * may close in any order; base may go away when this returns, its allocator's hook and user may not. */
void tier__memory_destroy(tier__memory **m);
/* References to entries that are neither the table's nor those of entries holding others. */
uint64_t tier__memory_live(const tier__memory *m);

/* A fresh entry, one reference, not in the table: room for size bytes of data (data == NULL when size is
 * SIZE_MAX: an object alone). The caller fills data, key, hash, owner... then inserts or just uses it. NULL:
 * out of memory, or more than UINT32_MAX - 1 bytes. */
tier__entry *tier__entry_new(tier__memory *m, int tier, size_t size);
/* The rest is for entries that are not inserted yet. destroy(object, user) runs with the last unref, whatever
 * happened before; bytes is what it weighs. TIER_ENOMEM: then the object is the caller's as before. */
int tier__entry_give(tier__entry *e, void *object, size_t bytes, void (*destroy)(void *object, void *user),
                     void *user);
int tier__entry_hold(tier__entry *e, tier__entry *held); /* held is referenced from now on. TIER_ENOMEM */
/* Less data than was asked for; gives the rest back. data may move. TIER_ENOMEM: e is as it was. */
int tier__entry_shrink(tier__entry *e, size_t size);
/* Measured time to compute it, in microseconds; kept in 16 bits, so read back up to 1/2048 less. */
uint32_t tier__entry_cost(const tier__entry *e);
void tier__entry_set_cost(tier__entry *e, uint32_t us);
uint64_t tier__entry_charge(const tier__entry *e); /* the bytes it is accounted with */
tier__entry *tier__entry_ref(tier__entry *e);
void tier__entry_last(tier__entry *e);               /* after the last reference went */
static inline void tier__entry_unref(tier__entry *e) /* NULL is fine; the last one destroys */
{
    if (e && atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) == 1)
        tier__entry_last(e);
}

/* Pinned, or NULL. */
tier__entry *tier__memory_find(tier__memory *m, int tier, const tier_digest *key);
/* Where an entry is: to have it again without a search, as long as nothing has left its part of the table. */
struct tier__spot {
    uint64_t where; /* its address and, in bits that are 0 there, its index in the slab and its shard */
    uint64_t left;  /* how many entries had left the shard */
};
/* e is pinned by the caller. Where it is not in the table, tier__memory_at will not find it. */
void tier__memory_spot(tier__memory *m, const tier__entry *e, struct tier__spot *p);
/* As tier__memory_find of what was there; NULL: something has left since, ask for it by its key. */
tier__entry *tier__memory_at(tier__memory *m, const struct tier__spot *p);
enum { TIER__SPOT_SHARD = 58 }; /* from which bit on; the index is in the lowest six */
static inline tier__entry *tier__spot_entry(const struct tier__spot *p)
{
    const uint64_t rest = (UINT64_C(1) << TIER__SPOT_SHARD) - TIER__SLAB_ENTRIES;
    return (tier__entry *)(uintptr_t)(p->where & rest);
}
/* Hands e to the table (which takes its own reference) and returns e, or, where an entry with that key is
 * there already, that one pinned and e's reference is dropped. An exclusive e is returned in any case. Over
 * budget: evicts; still no room: e is returned uncached. */
tier__entry *tier__memory_insert(tier__memory *m, tier__entry *e);
void tier__memory_remove(tier__memory *m, int tier, const tier_digest *key);
/* A newer version took key's place. remembered: the store has it, so it leaves at once (what is pinned is
 * freed at its last unref). Else it is the next of its shard to be evicted, unless it is asked for before. */
void tier__memory_supersede(tier__memory *m, int tier, const tier_digest *key, bool remembered);
/* Takes the entry out of the table and hands the table's reference over (TIER_EXCLUSIVE); insert, then unref,
 * brings it back. Its bytes stay reserved meanwhile. NULL: not there. */
tier__entry *tier__memory_take(tier__memory *m, int tier, const tier_digest *key);
/* Removes all entries of owner; returns how many of its entries are still alive, resident or not. */
uint64_t tier__memory_drop_owner(tier__memory *m, uint16_t owner);
void tier__memory_clear(tier__memory *m); /* removes all */

/* A reservation against a tier's free bytes plus what eviction can free; false: does not fit. For loads whose
 * size is known before (warmers, disk). It ends in tier__memory_release, or in tier__memory_commit: insert,
 * paying with the reservation and giving the rest of it back. */
bool tier__memory_reserve(tier__memory *m, int tier, uint64_t bytes);
void tier__memory_release(tier__memory *m, int tier, uint64_t bytes);
tier__entry *tier__memory_commit(tier__memory *m, tier__entry *e, uint64_t reserved);
/* Changes a tier's budget: the new limit holds for all that is kept or reserved from now on, and what is
 * over it is evicted before this returns, as far as it is not pinned. Any thread. */
void tier__memory_limit(tier__memory *m, int tier, uint64_t bytes);
uint64_t tier__memory_budget(const tier__memory *m, int tier);
/* Evicts, in the policy's order, until what is kept and reserved is at most target bytes, only pins are left,
 * or as much was evicted as was too much at the call (others may go on inserting). The limit stays. Returns
 * the bytes kept and reserved then. */
uint64_t tier__memory_trim(tier__memory *m, int tier, uint64_t target);
/* What an entry of size bytes of data, without object and holds, is charged in m; NULL: in a memory on the C
 * library's heap. */
uint64_t tier__memory_charge(const tier__memory *m, size_t size);

/* Of what it takes, the bytes that are the kernel's, not the heap's: many headers (slab.c). */
uint64_t tier__memory_mapped(const tier__memory *m);

struct tier__memory_stats {
    uint64_t entries;   /* resident */
    uint64_t bytes;     /* charged, reservations apart */
    uint64_t budget;    /* the limit: bytes + reserved never exceed it, unless it sank below pinned ones */
    uint64_t reserved;  /* by tier__memory_reserve */
    uint64_t overdraft; /* bytes lent uncached, alive now */
    uint64_t hits, misses, evicted;
    /* Misses that a budget larger by tier__ghost_percent would have served, and what computing those took. */
    uint64_t ghost_hits[TIER__GHOST_STEPS], ghost_cost_us[TIER__GHOST_STEPS];
};
void tier__memory_stats(const tier__memory *m, int tier, struct tier__memory_stats *out);
#endif
