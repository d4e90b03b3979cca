/* ghost.c - see ghost.h. */
#include "tiers/ghost.h"

enum { HEADS = TIER__GHOSTS, SHIFT_MAX = 24, REACH = 200 /* the last of tier__ghost_percent */ };

struct tier__ghost_node {
    uint64_t word, bytes, sequence;
    float priority;
    uint32_t cost_us;
    uint16_t chain;
};

void tier__ghosts_init(struct tier__ghosts *g)
{
    *g = (struct tier__ghosts){.bytes = 0};
    pthread_mutex_init(&g->lock, NULL);
}

void tier__ghosts_fini(struct tier__base *base, struct tier__ghosts *g)
{
    tier__free(base, g->node);
    tier__free(base, g->head);
    pthread_mutex_destroy(&g->lock);
}

static bool make_room(struct tier__base *base, struct tier__ghosts *g)
{
    if (g->node)
        return true;
    struct tier__ghost_node *node = tier__zalloc(base, TIER__GHOSTS, sizeof *node);
    uint16_t *head = tier__zalloc(base, HEADS, sizeof *head);
    if (!node || !head) {
        tier__free(base, node);
        tier__free(base, head);
        return false;
    }
    g->node = node;
    g->head = head;
    return true;
}

/* Where the word's node is entered; *where is 0 if there is none. */
static uint16_t *find(struct tier__ghosts *g, uint64_t word)
{
    uint16_t *at = &g->head[word >> 40 & (HEADS - 1)];
    while (*at && g->node[*at - 1].word != word)
        at = &g->node[*at - 1].chain;
    return at;
}

/* The last node takes its place. */
static void drop(struct tier__ghosts *g, unsigned i)
{
    struct tier__ghost_node *n = &g->node[i], *last = &g->node[g->count - 1];
    g->bytes -= n->bytes;
    *find(g, n->word) = n->chain;
    if (n != last) {
        *find(g, last->word) = (uint16_t)(i + 1);
        *n = *last;
    }
    g->count--;
}

/* Every second one goes. */
static void thin_out(struct tier__ghosts *g)
{
    unsigned shift = atomic_load_explicit(&g->shift, memory_order_relaxed) + 1;
    if (shift <= SHIFT_MAX)
        atomic_store_explicit(&g->shift, shift, memory_order_relaxed);
    for (unsigned i = g->count; i-- > 0;)
        if (shift > SHIFT_MAX || g->node[i].word & ((UINT64_C(1) << shift) - 1))
            drop(g, i);
}

static bool before(const struct tier__ghost_node *a, const struct tier__ghost_node *b)
{
    return a->priority != b->priority ? a->priority < b->priority : a->sequence < b->sequence;
}

/* What no budget of interest would hold is forgotten. */
static void forget(struct tier__ghosts *g, uint64_t budget)
{
    unsigned shift = atomic_load_explicit(&g->shift, memory_order_relaxed);
    while (g->count && g->bytes << shift > budget / 100 * REACH) {
        unsigned least = 0;
        for (unsigned i = 1; i < g->count; i++)
            if (before(&g->node[i], &g->node[least]))
                least = i;
        g->floor = g->node[least].priority > g->floor ? g->node[least].priority : g->floor;
        drop(g, least);
    }
}

void tier__ghosts_evicted(struct tier__base *base, struct tier__ghosts *g, const struct tier__ghost *what,
                          uint64_t budget)
{
    uint64_t word = tier__ghost_word(&what->key);
    pthread_mutex_lock(&g->lock);
    if (make_room(base, g)) {
        uint16_t *where = find(g, word);
        if (*where)
            drop(g, *where - 1u);
        if (g->count == TIER__GHOSTS)
            thin_out(g);
        if (tier__ghosts_want(g, &what->key) && g->count < TIER__GHOSTS) {
            uint16_t *head = &g->head[word >> 40 & (HEADS - 1)];
            g->node[g->count] = (struct tier__ghost_node){
                word, what->bytes, ++g->sequence, g->floor + what->worth, what->cost_us, *head};
            *head = (uint16_t)++g->count;
            g->bytes += what->bytes;
        }
        forget(g, budget);
    }
    pthread_mutex_unlock(&g->lock);
}

void tier__ghosts_missed(struct tier__ghosts *g, const tier_digest *key, uint64_t budget)
{
    uint64_t above = 0;
    pthread_mutex_lock(&g->lock);
    uint16_t *where = g->node ? find(g, tier__ghost_word(key)) : NULL;
    if (where && *where) {
        unsigned shift = atomic_load_explicit(&g->shift, memory_order_relaxed);
        const struct tier__ghost_node *n = &g->node[*where - 1];
        for (unsigned i = 0; i < g->count; i++)
            above += before(n, &g->node[i]) ? g->node[i].bytes : 0;
        above = (above << shift) + n->bytes;
        for (int i = TIER__GHOST_STEPS; i-- > 0 && above <= budget / 100 * tier__ghost_percent[i];) {
            g->hits[i] += UINT64_C(1) << shift;
            g->cost_us[i] += (uint64_t)n->cost_us << shift;
        }
        drop(g, *where - 1u);
    }
    pthread_mutex_unlock(&g->lock);
}
