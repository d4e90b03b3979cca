/* edge_bits.c - the edges of a variant as words of bits; see edge_bits.h. */
#include "coherence/manager.h"

enum {
    EDGES_A_WORD = 4, /* at least, on average */
    BACK = 8          /* words that a place is sought in, the newest first: what is read together was mostly
                         seen first together, so places of neighbours are neighbours */
};

/* false: no room for one word more. */
static bool add(struct tier__edge_bits *p, uint32_t room, uint32_t place)
{
    uint32_t i = p->count, word = place / 64;
    for (uint32_t back = 0; back < BACK && i; back++)
        if (p->word[--i] == word) {
            p->bits[i] |= UINT64_C(1) << place % 64;
            return true;
        }
    if (p->count == room)
        return false;
    p->word[p->count] = word; /* the second time, maybe: it is asked twice then */
    p->bits[p->count++] = UINT64_C(1) << place % 64;
    return true;
}

static struct tier__edge_bits *bits_new(tier_cache *c, uint32_t room)
{
    struct tier__edge_bits *p = tier__alloc(&c->base, sizeof *p + room * (sizeof *p->bits + sizeof *p->word));
    if (p) {
        p->count = 0;
        p->word = (uint32_t *)(p->bits + room);
    }
    return p;
}

static struct tier__edge_bits *bits_make(tier_cache *c, const struct tier__variant *v)
{
    uint32_t room = v->edge_count / EDGES_A_WORD;
    struct tier__edge_bits *p = bits_new(c, room), *small;
    bool fits = p != NULL;
    pthread_mutex_lock(&c->graph);
    for (uint32_t i = 0; i < v->edge_count && fits; i++) {
        const struct tier__dep *d = tier__chunks_at(&c->dep_by_id, v->edges[i].dep);
        fits = add(p, room, d->version[v->edges[i].version].place);
    }
    pthread_mutex_unlock(&c->graph);
    if (p && (small = bits_new(c, fits ? p->count : 0))) {
        small->count = fits ? p->count : 0;
        memcpy(small->word, p->word, small->count * sizeof *p->word);
        memcpy(small->bits, p->bits, small->count * sizeof *p->bits);
        tier__free(&c->base, p);
        return small;
    }
    tier__free(&c->base, p);
    return NULL;
}

void tier__edge_bits_wanted(tier_cache *c, struct tier__variant *v)
{
    struct tier__edge_bits *none = NULL, *p;
    if (v->edge_count < EDGES_A_WORD || atomic_load_explicit(&v->bits.made, memory_order_relaxed) ||
        !atomic_exchange_explicit(&v->bits.wanted, true, memory_order_relaxed))
        return;
    p = bits_make(c, v);
    if (p && !atomic_compare_exchange_strong(&v->bits.made, &none, p))
        tier__free(&c->base, p); /* another thread has made them */
}

bool tier__edge_bits_set(const struct tier__edge_bits *p, const struct tier__chunks *set)
{
    tier__piece *chunk = atomic_load_explicit(&set->chunk, memory_order_relaxed);
    size_t chunks = atomic_load_explicit(&set->chunk_count, memory_order_relaxed);
    for (uint32_t i = 0; i < p->count; i++) {
        size_t c = p->word[i] / TIER__CHUNK;
        const uint64_t *is = c < chunks ? atomic_load_explicit(&chunk[c], memory_order_relaxed) : NULL;
        if (!is || p->bits[i] & ~is[p->word[i] % TIER__CHUNK])
            return false;
    }
    return p->count != 0;
}
