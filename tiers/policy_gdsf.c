/* policy_gdsf.c - GreedyDual-Size-Frequency (Cherkasova, HP Labs 1998): what costs most to compute again per
 * byte and hit stays; and "worth", which changes it where traces of analyzers said so:
 *
 * - what is evicted is remembered by a fingerprint with its frequency, and comes back with it, so that a
 *   rescan larger than the budget does not make everything new again;
 * - what was never hit counts a quarter of a hit: a scan passes through without pushing out what is in use;
 * - frequencies end at 8, so that the hot set of last week goes;
 * - the cost counts to the power of 0.7, as misses count, too, and not time alone.
 *
 * docs/DESIGN.md has the figures. What an entry is worth is rounded to four binary digits, and entries that
 * are worth the same form a queue: the first to come goes first, as the floor only rises (CAMP: S.
 * Ghandeharizadeh and others, Middleware 2014). So the order needs the entry's links alone, and the least is
 * sought among the queues' first ones, some tens. A heap by priority took 10 bytes an entry more. Hits are
 * applied when an entry is about to go, so that a hit writes one counter. Shards tell the priority of what
 * they would give next, and share the floor, so that together they evict as one piece would, but for hits not
 * applied yet. */
#include <assert.h>
#include "tiers/policy.h"

enum {
    FIRST_CAPACITY = 4,
    KEY_SHIFT = 19,     /* of a float's bits: its exponent and the first four of its fraction stay */
    UNITS = 128,        /* of the floor, in what a queue's entries are worth; 256 are told apart */
    FREQUENCY_MAX = 7,  /* of worth: 8 - 1, three bits of a ghost */
    GDSF_USES_MAX = 254 /* a byte's, but for 0 */
};
enum { GHOST_WAYS = 4, GHOST_FIRST_SIZE = 4, GHOST_BITS = 3 };

struct queue { /* never empty */
    uint32_t key, first, last;
};

struct state {
    struct tier__ranks *ranks;
    bool worth;
    tier__memory *memory; /* of the entries */
    struct tier__base *base;
    struct queue *queue; /* by key */
    float *next;         /* of each queue, the priority of the first; apart, to be searched */
    uint32_t count, capacity;
    uint32_t least;  /* the queue whose next is the least; count or more: to be sought */
    uint16_t *ghost; /* fingerprint and frequency, four to a bucket, the newest first; 0: none */
    uint32_t ghost_size;
    uint32_t entries;
};

/* ---- ghosts: never more than there are residents, rounded up. Lossy; they only advise. */
static uint16_t *ghost_bucket(const struct state *s, const tier__entry *e, unsigned *print)
{
    uint64_t word; /* not the word that chose shard and slot: those bits are alike within a shard */
    memcpy(&word, e->key.byte + 16, sizeof word);
    *print = (unsigned)(word >> 51) << GHOST_BITS;
    return s->ghost + ((word & (s->ghost_size - 1)) & ~(uint64_t)(GHOST_WAYS - 1));
}

/* The frequency that e is remembered with; 0: it is not. */
static unsigned ghost_find(const struct state *s, const tier__entry *e)
{
    unsigned print;
    if (!s->ghost)
        return 0;
    const uint16_t *bucket = ghost_bucket(s, e, &print);
    for (int i = 0; i < GHOST_WAYS; i++)
        if ((bucket[i] & ~(unsigned)FREQUENCY_MAX) == print)
            return bucket[i] & FREQUENCY_MAX;
    return 0;
}

/* Room for as many ghosts as there are residents; failing that, the old ones must do. */
static void ghost_grow(struct tier__base *base, struct state *s)
{
    uint32_t size = s->ghost_size ? s->ghost_size : GHOST_FIRST_SIZE;
    while (size * 2 <= s->entries && size < UINT32_MAX / 2)
        size *= 2;
    if (size == s->ghost_size)
        return;
    uint16_t *ghost = tier__zalloc(base, size, sizeof *ghost);
    if (!ghost)
        return;
    tier__free(base, s->ghost); /* forgetting them costs a few misses once a doubling */
    s->ghost = ghost;
    s->ghost_size = size;
}

static void ghost_add(struct state *s, const tier__entry *e, unsigned frequency)
{
    unsigned print;
    if (!s->ghost)
        return;
    uint16_t *bucket = ghost_bucket(s, e, &print);
    int i = 0; /* its own place, or that of the oldest */
    while (i < GHOST_WAYS - 1 && (bucket[i] & ~(uint32_t)FREQUENCY_MAX) != print)
        i++;
    memmove(bucket + 1, bucket, (size_t)i * sizeof *bucket);
    bucket[0] = (uint16_t)(print | frequency);
}

/* ---- what an entry is worth. queue: its frequency + 1, as the heap knows it; uses: the hits since. */
static unsigned frequency_of(const struct state *s, const tier__entry *e)
{
    unsigned most = s->worth ? FREQUENCY_MAX : GDSF_USES_MAX, queue = tier__entry_queue(e);
    unsigned f = (queue ? queue - 1 : 0) + tier__entry_uses(e);
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

static float worth_at(const struct state *s, const tier__entry *e, unsigned f)
{
    float uses = f || !s->worth ? (float)f + 1 : 0.25F;
    return uses * cost_of(s, e) / (float)tier__entry_charge(e);
}

static float worth_of(const void *state, const tier__entry *e)
{
    return worth_at(state, e, frequency_of(state, e));
}

/* ---- the queues. Of an entry in one, cost, charge and e->queue stay as they are, and so does its key. */
__attribute__((noinline)) static uint32_t key_of(const struct state *s, const tier__entry *e)
{
    return tier__rank_of(worth_at(s, e, tier__entry_queue(e) - 1)) >> KEY_SHIFT;
}

static float worth_of_key(uint32_t key) /* the middle of what is rounded to it */
{
    uint32_t bits = key << KEY_SHIFT | UINT32_C(1) << (KEY_SHIFT - 1);
    float worth;
    memcpy(&worth, &bits, sizeof worth);
    return worth;
}

/* The floor in units of worth's, modulo 256: an entry goes before the floor rose by more than it is worth, so
 * that a byte tells how long ago it came. Beyond what a float can tell, all are alike. */
static uint8_t units(float floor, float worth)
{
    double n = (double)floor / worth * UNITS;
    return n < 0x1p53 ? (uint8_t)(uint64_t)n : 0;
}

static float priority_of(const struct state *s, uint32_t key, const tier__entry *e)
{
    float worth = worth_of_key(key), floor = tier__ranks_floor(s->ranks);
    float since = floor - worth / UNITS * (uint8_t)(units(floor, worth) - e->since);
    return (since > 0 ? since : 0) + worth;
}

static tier__entry *entry_at(const struct state *s, uint32_t index)
{
    return tier__slab_in(s->memory, index);
}

/* Where the queue of key is, or belongs. */
static uint32_t find(const struct state *s, uint32_t key)
{
    uint32_t low = 0, high = s->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (s->queue[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Room for one more queue; false: out of memory. */
static bool reserve(struct state *s)
{
    if (s->count < s->capacity)
        return true;
    uint32_t capacity = s->capacity ? s->capacity * 2 : FIRST_CAPACITY;
    struct queue *queue = tier__resize(s->base, s->queue, capacity * sizeof *queue);
    if (!queue)
        return false;
    s->queue = queue;
    float *next = tier__resize(s->base, s->next, capacity * sizeof *next);
    if (!next)
        return false;
    s->next = next;
    s->capacity = capacity;
    return true;
}

/* Weighs e and puts it behind the others of its worth. After reserve. */
static void push(struct state *s, tier__entry *e)
{
    tier__entry_set_queue(e, frequency_of(s, e) + 1);
    tier__entry_set_uses(e, 0);
    uint32_t key = key_of(s, e), at = find(s, key), index = tier__slab_index(e);
    struct queue *q = &s->queue[at];
    e->since = units(tier__ranks_floor(s->ranks), worth_of_key(key));
    e->before = e->after = 0;
    s->entries++;
    if (at < s->count && q->key == key) {
        e->before = q->last;
        entry_at(s, q->last)->after = index;
        q->last = index;
        return;
    }
    memmove(q + 1, q, (s->count - at) * sizeof *q);
    memmove(&s->next[at + 1], &s->next[at], (s->count++ - at) * sizeof *s->next);
    *q = (struct queue){key, index, index};
    s->next[at] = priority_of(s, key, e);
    s->least = UINT32_MAX;
}

static void leave(void *state, tier__entry *e)
{
    struct state *s = state;
    s->entries--;
    if (e->before)
        entry_at(s, e->before)->after = e->after;
    if (e->after)
        entry_at(s, e->after)->before = e->before;
    if (e->before && e->after)
        return;
    uint32_t key = key_of(s, e), at = find(s, key);
    struct queue *q = &s->queue[at];
    assert(at < s->count && q->key == key);
    if (!e->after)
        q->last = e->before;
    if (e->before)
        return;
    q->first = e->after;
    s->least = UINT32_MAX;
    if (q->first) {
        s->next[at] = priority_of(s, key, entry_at(s, q->first));
        return;
    }
    s->count--;
    memmove(q, q + 1, (s->count - at) * sizeof *q);
    memmove(&s->next[at], &s->next[at + 1], (s->count - at) * sizeof *s->next);
}

/* Of the queue whose first goes next; there is one. */
static uint32_t least(struct state *s)
{
    if (s->least < s->count)
        return s->least;
    const float *next = s->next;
    float lowest = next[0];
    s->least = 0;
    for (uint32_t i = 1, count = s->count; i < count; i++)
        if (next[i] < lowest) {
            lowest = next[i];
            s->least = i;
        }
    return s->least;
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
    s->base = base;
    s->memory = tier__entry_memory(e);
    if (!reserve(s))
        return false;
    if (s->worth && !tier__entry_queue(e)) /* new here */
        tier__entry_set_queue(e, ghost_find(s, e) + 1);
    push(s, e);
    return true;
}

/* Applies the hits of what is about to go, of each entry once: others may hit it as fast as we look. Out of
 * memory, they are lost. */
static uint32_t rank(void *state)
{
    struct state *s = state;
    for (uint64_t left = s->entries; s->count > 0; left--) {
        uint32_t at = least(s);
        tier__entry *e = entry_at(s, s->queue[at].first);
        if (!left || !tier__entry_uses(e))
            return tier__rank_of(s->next[at]);
        if (reserve(s)) {
            leave(s, e);
            push(s, e);
        }
        tier__entry_set_uses(e, 0);
    }
    return TIER__RANK_NONE;
}

static tier__entry *victim(void *state)
{
    struct state *s = state;
    if (rank(s) == TIER__RANK_NONE)
        return NULL;
    uint32_t at = least(s);
    tier__entry *e = entry_at(s, s->queue[at].first);
    tier__ranks_raise_floor(s->ranks, s->next[at]);
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
    tier__free(base, s->queue);
    tier__free(base, s->next);
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
