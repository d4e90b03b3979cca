/* memory_private.h - inside the memory side: header slabs (slab.c), entries' lives (entry.c), the slots of a
 * shard (slots.c), the governor (budget.c), the table over them (table.c, find.c), and memory that hits may
 * still be looking at (quiet.c). A shard's lock and a slab pool's are never held together; those taken within
 * them, of the slabs' numbers and of what waits to be freed, are held for a few lines. */
#ifndef TIER_MEMORY_PRIVATE_H
#define TIER_MEMORY_PRIVATE_H
#include <pthread.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif
#include "tiers/ghost.h"
#include "tiers/policy.h"
#include "tiers/trace.h"

enum { TIER__TIER_MIN = TIER_FILE, TIER__TIER_MAX = TIER_DELTA, TIER__SHARDS = 64, TIER__POOLS = 16 };

/* ---- governor: the bytes of one tier. room = limit - (kept entries + reservations), so that one word tells
 * whether something fits, also while the limit changes. It is below zero only when the limit sank below what
 * is pinned or reserved. */
struct tier__budget {
    atomic_int_fast64_t limit, room;
    atomic_uint_fast64_t reserved, overdraft;
};
enum { TIER__UNACCOUNTED, TIER__KEPT, TIER__LENT }; /* of an entry's charge: nowhere, in used, in overdraft */
/* In the bits of owner that are beyond it: who takes an entry out and back may do so while others have it
 * pinned. */
static inline unsigned tier__entry_account(const tier__entry *e)
{
    return atomic_load_explicit(&e->owner, memory_order_relaxed) / (TIER__OWNER_MAX + 1);
}
static inline uint16_t tier__entry_owner(const tier__entry *e)
{
    return atomic_load_explicit(&e->owner, memory_order_relaxed) & TIER__OWNER_MAX;
}
bool tier__budget_take(struct tier__budget *b, uint64_t bytes); /* false: no room, nothing taken */
void tier__budget_give(struct tier__budget *b, uint64_t bytes);
void tier__budget_limit(struct tier__budget *b, uint64_t limit); /* at most INT64_MAX */
uint64_t tier__budget_used(const struct tier__budget *b);
static inline bool tier__budget_over(const struct tier__budget *b)
{
    return atomic_load_explicit(&b->room, memory_order_relaxed) < 0;
}

/* ---- slots: open addressing by buckets of one cache line. A way is a tag of eight bits and a word: 48 bits
 * of the entry's address, 16 more of the hash. The 24 bits give the home, so that neither growing nor
 * deleting looks at an entry. Written with the shard's lock held; read also without: a word is read at once,
 * and one whose tag was seen before leads to a header (quiet.c), so that the entry itself can tell the rest.
 * Measured at 1M entries of 64 B, random keys, against 330 ns of slots probed one by one under a pthread
 * mutex: 161 by buckets, whose comparison has no branch that is hard to foresee, so that the next hit's
 * misses overlap with this one's. */
enum { TIER__WAYS = 7 };
struct tier__bucket { /* a tag of 0: that way is empty, and so are the rest; its word is as it was */
    _Alignas(64) _Atomic uint64_t tags; /* the first way's in the lowest byte */
    _Atomic uint64_t word[TIER__WAYS];
};
struct tier__slots {
    struct tier__bucket *_Atomic bucket; /* never NULL */
    atomic_uint buckets;                 /* read before bucket: there are never more than it has */
    uint32_t count;
    void *raw; /* of bucket */
};
enum { TIER__SLOTS_MAX = 1 << 22 };           /* of a shard: some more bits tell them apart */
void tier__slots_init(struct tier__slots *s); /* all else is 0 */
bool tier__slots_reserve(tier__memory *m, struct tier__slots *s); /* room for one more */
void tier__slots_add(struct tier__slots *s, tier__entry *e);      /* after reserve */
void tier__slots_remove(struct tier__slots *s, const tier__entry *e);
tier__entry *tier__slots_find(const struct tier__slots *s, int tier, const tier_digest *key);
tier__entry *tier__slots_at(const struct tier__slots *s, uint32_t i); /* slot i; NULL: empty */

/* Of a key's first word; the tag is in the lowest eight bits, and never 0. */
static inline uint32_t tier__slot_bits(uint64_t word)
{
    return ((uint32_t)word & 0xffffff) | 1;
}
static inline uint32_t tier__slot_home(uint32_t bits, uint32_t buckets)
{
    return (uint32_t)((uint64_t)bits * buckets >> 24);
}
static inline uint64_t tier__tags(const struct tier__bucket *b)
{
    return atomic_load_explicit(&b->tags, memory_order_acquire);
}
static inline uint64_t tier__word(const struct tier__bucket *b, unsigned way)
{
    return atomic_load_explicit(&b->word[way], memory_order_acquire);
}
static inline bool tier__word_has(uint64_t word, uint32_t bits)
{
    return (uint16_t)word == (uint16_t)(bits >> 8);
}
static inline tier__entry *tier__word_entry(uint64_t word)
{
    return (tier__entry *)(uintptr_t)(word >> 16);
}
static inline bool tier__bucket_full(const struct tier__bucket *b)
{
    return tier__tags(b) >> 8 * (TIER__WAYS - 1);
}
/* A bit, or the highest one of eight, for each way with the tag. */
#ifdef __SSE2__
typedef unsigned tier__ways;
static inline tier__ways tier__ways_like(const struct tier__bucket *b, uint32_t bits)
{
    __m128i tag = _mm_cvtsi32_si128((int)bits);
    tag = _mm_shufflelo_epi16(_mm_unpacklo_epi8(tag, tag), 0);
    __m128i same = _mm_cmpeq_epi8(tag, _mm_cvtsi64_si128((long long)tier__tags(b)));
    return (unsigned)_mm_movemask_epi8(same) & ((1 << TIER__WAYS) - 1);
}
static inline unsigned tier__first_way(tier__ways ways)
{
    return (unsigned)__builtin_ctz(ways);
}
#else
typedef uint64_t tier__ways;
static inline tier__ways tier__ways_like(const struct tier__bucket *b, uint32_t bits)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), low = ones * INT8_MAX;
    uint64_t other = tier__tags(b) ^ (uint8_t)bits * ones; /* the byte that is no way's is never 0 here */
    return ~(((other & low) + low) | other | low); /* the highest bit of what is 0 (Hacker's Delight 6-1) */
}
static inline unsigned tier__first_way(tier__ways ways)
{
    return (unsigned)__builtin_ctzll(ways) / 8;
}
#endif
/* The first way of b with these bits; 0: none has. */
static inline uint64_t tier__word_like(const struct tier__bucket *b, uint32_t bits)
{
    for (tier__ways like = tier__ways_like(b, bits); like; like &= like - 1) {
        uint64_t word = tier__word(b, tier__first_way(like));
        if (tier__word_has(word, bits))
            return word;
    }
    return 0;
}

/* ---- references
 * The table has one to each entry in a policy. Eviction that meets an entry pinned takes it out of the policy
 * and gives the table's reference up: it is parked. Who drops the last reference to an entry owns it: it
 * buries the entry or, where it is parked, takes the shard's lock and lets it into the policy again, or out
 * of the table where the limit sank below what is kept. Who has the lock may meet a parked entry before that:
 * then it takes two references, one of them for the owner to come, who drops it instead. */
static inline unsigned tier__entry_refs(const tier__entry *e)
{
    return atomic_load_explicit(&e->refs, memory_order_relaxed);
}
tier__entry *tier__entry_pin(tier__entry *e); /* which is in the table, with the shard's lock held */

/* ---- shards */
struct tier__shard_tier {
    uint64_t entries, hits, misses, evicted; /* hits: those that took the lock */
    struct tier__order order;
};
struct tier__shard {               /* a hit reads it, and does not write */
    _Alignas(64) atomic_uint lock; /* usable while any entry lives, so beyond tier__memory_destroy */
    struct tier__slots slots;
    atomic_uint_fast64_t left;     /* entries that have left the slots: each spot of before is in doubt */
    struct tier__shard_tier *tier; /* TIER__TIER_MAX + 1, of the memory's */
};
_Static_assert(sizeof(struct tier__shard) == 64, "one line");
/* A lock of a few instructions: taken with one atomic exchange, given back with a store. Who finds it taken
 * looks again for a while, then yields, then sleeps in short naps, so that an owner who lost the processor
 * gets it. Held for some 50 ns; with 64 shards it is rarely taken twice. A pthread mutex costs a second
 * exchange and some 40 instructions, which count double where misses could overlap: 45 ns against 38 a hit at
 * 100k zipf keys. */
void tier__lock_wait(atomic_uint *lock);
static inline bool tier__lock_at_once(atomic_uint *lock) /* false: it is taken */
{
    unsigned open = 0;
    return __builtin_expect(
        atomic_compare_exchange_strong_explicit(lock, &open, 1, memory_order_acquire, memory_order_relaxed),
        1);
}
static inline void tier__lock(atomic_uint *lock)
{
    if (!tier__lock_at_once(lock))
        tier__lock_wait(lock);
}
static inline void tier__unlock(atomic_uint *lock)
{
    atomic_store_explicit(lock, 0, memory_order_release);
}

/* ---- header slabs: headers apart from values, so that a walk over headers drags no values through the cache
 * and both sizes suit the heap. A pool serves the threads that hash to it. Slabs are numbered, so that 32
 * bits tell an entry from all others. */
struct tier__pool {
    _Alignas(64) pthread_mutex_t lock;
    struct tier__slab *all, *free; /* every slab; those with free headers */
    unsigned all_count, free_count;
    struct tier__run *run; /* with room for more slabs; NULL: none */
    tier__memory *memory;
    struct tier__base *gauge; /* where memory.bytes is counted; NULL once the memory was destroyed */
};
struct tier__run;
struct tier__slab {
    _Alignas(64) struct tier__pool *pool;
    struct tier__run *run; /* NULL: it is a block of the heap by itself */
    uint64_t free_bits;
    uint32_t number, padding; /* in front of such a block, to be aligned */
    struct tier__slab *all_before, *all_after, *free_before, *free_after;
    tier__entry entry[TIER__SLAB_ENTRIES];
    union tier__entry_rest rest[TIER__SLAB_ENTRIES];
};
_Static_assert(offsetof(struct tier__slab, entry) == 64, "one line in front");
enum { TIER__LEAF = 2048, TIER__LEAVES = 2048 }; /* 4M slabs: 268M entries */
_Static_assert(TIER__LEAF *TIER__LEAVES *TIER__SLAB_ENTRIES == 1 << 28, "before and after of an entry");
struct tier__numbers {
    pthread_mutex_t lock; /* taken within a pool's */
    uint32_t count, free; /* of numbers ever given; the first that was given back, 0: none */
    union tier__number {
        struct tier__slab *slab;
        uint32_t next_free;
    } * _Atomic leaf[TIER__LEAVES];
};

static inline struct tier__slab *tier__slab_of(const tier__entry *e)
{
    const tier__entry *first = e - tier__entry_index(e);
    return (struct tier__slab *)(void *)((char *)(tier__entry *)first - offsetof(struct tier__slab, entry));
}

/* ---- hits under way (quiet.c). A hit that takes no lock is counted when it begins and when it has its pin
 * or gives up, each thread in a line of its own: one that two of them write costs more than the hit. Memory
 * that it may be looking at goes back when there was a moment, after it was taken out, with no hit under way.
 */
enum { TIER__STRIPES = 64 };
struct tier__stripe {
    _Alignas(64) atomic_uint_fast64_t begun;
    atomic_uint_fast64_t hits[TIER__TIER_MAX], others; /* that ended: from TIER__TIER_MIN on; with nothing */
};
#if defined __has_builtin
#if __has_builtin(__builtin_thread_pointer)
#define tier__thread() __builtin_thread_pointer() /* pthread_self without a call */
#endif
#endif
#ifndef tier__thread
#define tier__thread() pthread_self()
#endif
static inline uint64_t tier__thread_hash(void) /* of an address; its high bits are good */
{
    return (uint64_t)(uintptr_t)tier__thread() * UINT64_C(0x9e3779b97f4a7c15);
}
struct tier__retired { /* and not freed yet; the lock is taken within a shard's or pool's */
    atomic_uint lock;
    struct tier__waiting *first, *last;
};
/* Frees a block of the heap, or of tier__huge_take, now or later; NULL is fine. Writes to its first 16 bytes.
 */
void tier__retire(tier__memory *m, void *block, bool huge);
void tier__retire_all(tier__memory *m); /* nobody is looking any more */

struct tier__memory {
    struct tier__base own; /* a copy of the host's hooks: pinned entries may outlive the host's base */
    struct tier__base *base;
    tier__recorder *recorder;   /* NULL: nothing is recorded */
    void *raw;                  /* of this struct: the heap aligns to 16 */
    atomic_uint_fast64_t alive; /* entries that exist, and 1 for the handle; 0 frees */
    atomic_uint_fast64_t holds; /* references that entries have to others */
    atomic_uint hand;           /* the shard that evicts next */
    struct tier__budget budget[TIER__TIER_MAX + 1];
    struct tier__ranks ranks[TIER__TIER_MAX + 1];
    struct tier__ghosts ghosts[TIER__TIER_MAX + 1];
    bool rounds; /* the C library's heap: what it takes is charged, else what was asked for */
    bool asks;   /* a recorder is there, or the policy wants to know of each hit: hits take the lock */
    struct tier__numbers numbers;
    struct tier__pool pool[TIER__POOLS];
    struct tier__retired retired;
    struct tier__stripe stripe[TIER__STRIPES];
    struct tier__shard shard[TIER__SHARDS];
    struct tier__shard_tier shard_tier[TIER__SHARDS][TIER__TIER_MAX + 1];
};

void *tier__alloc_lines(struct tier__base *b, size_t size, void **raw); /* aligned to 64; free raw */

tier__entry *tier__slab_take(tier__memory *m); /* a header, its index and memory set; NULL: out of memory */
void tier__slab_give(tier__entry *e, uint64_t kept_bytes); /* kept_bytes leave the gauge */
void tier__slab_init(tier__memory *m);
void tier__slab_fini(tier__memory *m);
/* Calls each for every header in use, with its pool locked. */
void tier__slab_each(tier__memory *m, void (*each)(void *user, tier__entry *e), void *user);

static inline struct tier__shard *tier__shard_with(tier__memory *m, uint64_t word)
{
    return &m->shard[word >> 58]; /* a key's first word's top; its low bits choose the slot */
}
_Static_assert(TIER__SHARDS == 64, "tier__shard_with takes six bits");
static inline struct tier__shard *tier__shard_of(tier__memory *m, const tier_digest *key)
{
    return tier__shard_with(m, tier__digest_word(key));
}
/* e, not in the policy, leaves; the table's reference is the caller's now. With the shard's lock held. */
void tier__shard_leave(struct tier__shard *s, tier__entry *e);
void tier__shard_withdraw(struct tier__shard *s, tier__entry *e); /* out of the policy, too, if it is there */

uint64_t tier__entry_weight(const tier__entry *e); /* what it would be charged now */
/* Drops one reference; no lock may be held. The last one puts e on the chain *dead, for tier__entry_bury. */
void tier__entry_drop(tier__entry *e, tier__entry **dead);
void tier__entry_die(tier__entry *e, tier__entry **dead); /* the last reference is gone: onto the chain */
void tier__entry_bury(tier__entry *dead);                 /* no lock may be held: runs destroy */
/* e, just taken out of the policy: parked (true), or the table's reference was the last one and is gone. With
 * the shard's lock held. */
bool tier__memory_park(tier__entry *e);
/* The last reference to e, which was parked, went: e comes back, or goes onto *dead. false: somebody has it
 * again, or took it out of the table, and left a reference to drop. */
bool tier__memory_unpark(tier__memory *m, tier__entry *e, tier__entry **dead);
/* Takes bytes from the tier's room, evicting for them. false: they do not fit, nothing was taken; also for 0
 * bytes while what is kept is over the limit. */
bool tier__memory_make_room(tier__memory *m, int tier, uint64_t bytes);
void tier__memory_forget(tier__memory *m); /* one of m->alive less; the last one frees m */
#endif
