/* peer.c - the world that peers share: keys, values, sequences. */
#include <math.h>
#include "tests/bench/peer.h"
#include "tiers/digest.h"

#define ADDRESS(name) &peer_##name,
const struct peer *const peer_all[PEER_COUNT] = {PEERS(ADDRESS)};

static uint64_t next_random(uint64_t *state) /* splitmix64: the same everywhere */
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Rank by its cumulated weight, then to a key at random: what is hot lies apart. */
static void make_zipf(struct peer_world *w, uint64_t *state)
{
    double *until = bench_alloc(w->keys * sizeof *until), total = 0;
    uint32_t *of_rank = bench_alloc(w->keys * sizeof *of_rank);
    for (uint32_t i = 0; i < w->keys; i++) {
        until[i] = total += pow(i + 1, -0.99);
        of_rank[i] = i;
    }
    for (uint32_t i = w->keys; i > 1; i--) {
        uint32_t j = (uint32_t)(next_random(state) % i), t = of_rank[i - 1];
        of_rank[i - 1] = of_rank[j];
        of_rank[j] = t;
    }
    for (uint32_t i = 0; i < PEER_SEQUENCE; i++) {
        double want = total * ((double)(next_random(state) >> 11) / 9007199254740992.0);
        uint32_t low = 0, high = w->keys - 1;
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;
            if (until[middle] < want)
                low = middle + 1;
            else
                high = middle;
        }
        w->zipf[i] = of_rank[low];
    }
    free(until);
    free(of_rank);
}

struct peer_world *peer_world_new(uint32_t keys, size_t size)
{
    struct peer_world *w = bench_alloc(sizeof *w);
    uint64_t state = 20261121;
    *w = (struct peer_world){.keys = keys, .size = size};
    w->key = bench_alloc(keys * sizeof *w->key);
    w->zipf = bench_alloc(PEER_SEQUENCE * sizeof *w->zipf);
    w->sweep = bench_alloc(keys * sizeof *w->sweep);
    w->noise = bench_alloc(PEER_VALUE_MAX);
    for (uint32_t k = 0; k < keys; k++) {
        tier__digest_of(&k, sizeof k, &w->key[k]);
        w->sweep[k] = k;
    }
    for (size_t i = 0; i < PEER_VALUE_MAX; i++)
        w->noise[i] = (unsigned char)next_random(&state);
    make_zipf(w, &state);
    return w;
}

void peer_world_free(struct peer_world *w)
{
    free(w->key);
    free(w->zipf);
    free(w->sweep);
    free(w->noise);
    free(w);
}
