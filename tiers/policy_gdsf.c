/* policy_gdsf.c - GreedyDual-Size-Frequency (Cherkasova, HP Labs 1998): what costs most to compute again per
 * byte and hit stays; and "worth", which changes it where traces of analyzers said so:
 *
 * - what is evicted is remembered by a fingerprint with its frequency, and comes back with it, so that a
 *   rescan larger than the budget does not make everything new again;
 * - what was never hit counts a quarter of a hit: a scan passes through without pushing out what is in use;
 * - frequencies end at 8, so that the hot set of last week goes;
 * - the cost counts to the power of 0.7, as misses count, too, and not time alone.
 *
 * docs/DESIGN.md has the figures. A heap by priority in each shard; hits are applied when an entry comes to
 * the top, so that a hit writes one counter. Shards tell the priority of what they would give next, and share
 * the floor, so that together they evict as one heap would, but for hits not applied yet. */
#include "tiers/policy.h"

enum {
    ARITY = 4, /* of the heap: an item's children are half a cache line */
    FIRST_CAPACITY = 16,
    FREQUENCY_MAX = 7,  /* of worth: 8 - 1, three bits of a ghost */
    GDSF_USES_MAX = 253 /* a byte's, but for 0 and TIER__QUEUE_DEAD */
};
enum { GHOST_WAYS = 4, GHOST_FIRST_SIZE = 4, GHOST_BITS = 3 };

struct item {
    float priority;
    uint32_t entry; /* whose position is this item's index */
};

struct state {
    struct tier__ranks *ranks;
    bool worth;
    tier__memory *memory; /* of the entries */
    struct item *heap;
    uint32_t count, capacity;
    uint32_t *ghost; /* fingerprint and frequency, four to a bucket, the newest first; 0: none */
    uint32_t ghost_size;
};

/* ---- ghosts: never more than there are residents, rounded up. Lossy; they only advise. */
static uint32_t *ghost_bucket(const struct state *s, const tier__entry *e, uint32_t *print)
{
    uint64_t word; /* not the word that chose shard and slot: those bits are alike within a shard */
    memcpy(&word, e->key.byte + 16, sizeof word);
    *print = ((uint32_t)(word >> 32) | 1) << GHOST_BITS;
    return s->ghost + ((word & (s->ghost_size - 1)) & ~(uint64_t)(GHOST_WAYS - 1));
}

/* The frequency that e is remembered with; 0: it is not. */
static unsigned ghost_find(const struct state *s, const tier__entry *e)
{
    uint32_t print;
    if (!s->ghost)
        return 0;
    const uint32_t *bucket = ghost_bucket(s, e, &print);
    for (int i = 0; i < GHOST_WAYS; i++)
        if ((bucket[i] & ~(uint32_t)FREQUENCY_MAX) == print)
            return bucket[i] & FREQUENCY_MAX;
    return 0;
}

/* Room for as many ghosts as there are residents; failing that, the old ones must do. */
static void ghost_grow(struct tier__base *base, struct state *s)
{
    uint32_t size = s->ghost_size ? s->ghost_size : GHOST_FIRST_SIZE;
    while (size * 2 <= s->count && size < UINT32_MAX / 2)
        size *= 2;
    if (size == s->ghost_size)
        return;
    uint32_t *ghost = tier__zalloc(base, size, sizeof *ghost);
    if (!ghost)
        return;
    tier__free(base, s->ghost); /* forgetting them costs a few misses once a doubling */
    s->ghost = ghost;
    s->ghost_size = size;
}

static void ghost_add(struct state *s, const tier__entry *e, unsigned frequency)
{
    uint32_t print;
    if (!s->ghost)
        return;
    uint32_t *bucket = ghost_bucket(s, e, &print);
    int i = 0; /* its own place, or that of the oldest */
    while (i < GHOST_WAYS - 1 && (bucket[i] & ~(uint32_t)FREQUENCY_MAX) != print)
        i++;
    memmove(bucket + 1, bucket, (size_t)i * sizeof *bucket);
    bucket[0] = print | frequency;
}

/* ---- what an entry is worth. queue: its frequency + 1, as the heap knows it; uses: the hits since. */
static unsigned frequency_of(const struct state *s, const tier__entry *e)
{
    unsigned most = s->worth ? FREQUENCY_MAX : GDSF_USES_MAX, f = (e->queue ? e->queue - 1u : 0) + e->uses;
    return f < most ? f : most;
}

/* 2^(0.7 n), straight lines between: within 1 % of the power. */
static float cost_of(const struct state *s, const tier__entry *e)
{
    static const float power[] = {1,         1.624505F, 2.639016F, 4.287094F, 6.964405F, 11.31371F, 18.37917F,
                                  29.85706F, 48.50293F, 78.79324F, 128,       207.9366F, 337.794F,  548.748F,
                                  891.4438F, 1448.155F, 2352.534F, 3821.703F, 6208.375F, 10085.54F, 16384,
                                  26615.89F, 43237.64F, 70239.75F, 114104.8F, 185363.8F, 301124.4F, 489178.F,
                                  794672.F,  1290948.F, 2097152.F, 3406833.F, 5534417.F};
    uint32_t us = tier__entry_cost(e);
    us = us ? us : 1;
    if (!s->worth)
        return (float)us;
    unsigned n = 31 - (unsigned)__builtin_clz(us);
    return power[n] + (power[n + 1] - power[n]) * ((float)us / (float)(UINT32_C(1) << n) - 1);
}

static float worth_of(const void *state, const tier__entry *e)
{
    const struct state *s = state;
    unsigned f = frequency_of(s, e);
    float uses = f || !s->worth ? (float)f + 1 : 0.25F;
    return uses * cost_of(s, e) / (float)tier__entry_charge(e);
}

static float weigh(struct state *s, tier__entry *e)
{
    float worth = worth_of(s, e);
    e->queue = (uint8_t)(frequency_of(s, e) + 1);
    e->uses = 0;
    return tier__ranks_floor(s->ranks) + worth;
}

/* ---- the heap */
static tier__entry *entry_at(const struct state *s, uint32_t at)
{
    return tier__slab_in(s->memory, s->heap[at].entry);
}

static void place(struct state *s, uint32_t at, struct item item, tier__entry *e)
{
    s->heap[at] = item;
    e->position = at;
}

/* Puts e where the heap's order wants it, starting from the hole at. */
static void settle(struct state *s, uint32_t at, float priority, tier__entry *e)
{
    while (at > 0 && priority < s->heap[(at - 1) / ARITY].priority) {
        uint32_t above = (at - 1) / ARITY;
        place(s, at, s->heap[above], entry_at(s, above));
        at = above;
    }
    for (;;) {
        uint32_t first = ARITY * at + 1, least = first;
        for (uint32_t child = first + 1; child < first + ARITY && child < s->count; child++)
            if (s->heap[child].priority < s->heap[least].priority)
                least = child;
        if (first >= s->count || s->heap[least].priority >= priority)
            break;
        place(s, at, s->heap[least], entry_at(s, least));
        at = least;
    }
    place(s, at, (struct item){priority, tier__slab_index(e)}, e);
}

/* ---- the policy */
static void init_gdsf(void *state, struct tier__ranks *ranks)
{
    struct state *s = state;
    s->ranks = ranks;
}

static void init_worth(void *state, struct tier__ranks *ranks)
{
    struct state *s = state;
    s->ranks = ranks;
    s->worth = true;
}

static bool enter(struct tier__base *base, void *state, tier__entry *e)
{
    struct state *s = state;
    if (s->count == s->capacity) {
        uint32_t capacity = s->capacity ? s->capacity + s->capacity / 2 : FIRST_CAPACITY;
        struct item *heap = tier__resize(base, s->heap, capacity * sizeof *heap);
        if (!heap)
            return false;
        s->heap = heap;
        s->capacity = capacity;
    }
    s->memory = tier__entry_memory(e);
    if (s->worth && !e->queue) /* new here */
        e->queue = (uint8_t)(ghost_find(s, e) + 1);
    float priority = weigh(s, e);
    settle(s, s->count++, priority, e);
    return true;
}

static void leave(void *state, tier__entry *e)
{
    struct state *s = state;
    uint32_t at = e->position;
    float priority = s->heap[--s->count].priority;
    tier__entry *last = entry_at(s, s->count);
    if (last != e)
        settle(s, at, priority, last);
}

/* Applies the hits of what comes to the top. */
static uint32_t rank(void *state)
{
    struct state *s = state;
    while (s->count > 0) {
        tier__entry *top = entry_at(s, 0);
        if (!top->uses)
            return tier__rank_of(s->heap[0].priority);
        settle(s, 0, weigh(s, top), top);
    }
    return TIER__RANK_NONE;
}

static tier__entry *victim(void *state)
{
    struct state *s = state;
    if (rank(s) == TIER__RANK_NONE)
        return NULL;
    tier__entry *e = entry_at(s, 0);
    tier__ranks_raise_floor(s->ranks, s->heap[0].priority);
    leave(s, e);
    return e;
}

static void evicted(struct tier__base *base, void *state, const tier__entry *e)
{
    struct state *s = state;
    unsigned f = frequency_of(s, e) + 1;
    ghost_grow(base, s);
    ghost_add(s, e, f < FREQUENCY_MAX ? f : FREQUENCY_MAX);
}

static void fini(struct tier__base *base, void *state)
{
    struct state *s = state;
    tier__free(base, s->heap);
    tier__free(base, s->ghost);
}

const struct tier__policy tier__policy_gdsf = {
    .name = "gdsf",
    .state_size = sizeof(struct state),
    .init = init_gdsf,
    .fini = fini,
    .enter = enter,
    .leave = leave,
    .rank = rank,
    .victim = victim,
    .worth = worth_of,
};

const struct tier__policy tier__policy_worth = {
    .name = "worth",
    .state_size = sizeof(struct state),
    .init = init_worth,
    .fini = fini,
    .enter = enter,
    .leave = leave,
    .rank = rank,
    .victim = victim,
    .worth = worth_of,
    .evicted = evicted,
};
