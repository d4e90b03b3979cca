/* peer.h - what a key-value cache has to do to be compared: the same keys, the same values, the same sequence
 * of operations, and loops that are compiled into each peer, so that no call through a pointer is timed.
 *
 * A peer's file defines PEER_begin, PEER_end (around a batch), PEER_get, PEER_put and, where it lends what it
 * has, PEER_view and PEER_unview, all static inline over its own struct, and then `PEER_LOOPS(name, struct)`.
 */
#ifndef TESTS_BENCH_PEER_H
#define TESTS_BENCH_PEER_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "include/tierkit.h"
#include "tests/bench/bench.h"

enum { PEER_THREADS = 2, PEER_VALUE_MAX = 16384, PEER_SEQUENCE = 1 << 18 };
enum peer_op {
    PEER_VIEW, /* pinned or lent, its size asked, not looked at */
    PEER_READ, /* as view, and its first 8 bytes read */
    PEER_GET,  /* copied out */
    PEER_PUT,  /* the key has a new value, the old one leaves */
    PEER_MIX,  /* nine gets, one put */
    PEER_OPS
};

/* Keys, values and sequences: one world for all peers of a row. */
struct peer_world {
    uint32_t keys;
    size_t size; /* of each value; its first 8 bytes are peer_stamp of the key's number */
    tier_digest *key;
    uint32_t *zipf;       /* PEER_SEQUENCE key numbers, zipf 0.99; hot keys lie anywhere */
    uint32_t *sweep;      /* each key once, in the order of their filling */
    unsigned char *noise; /* PEER_VALUE_MAX bytes that do not compress */
};
struct peer_world *peer_world_new(uint32_t keys, size_t size);
void peer_world_free(struct peer_world *w);

static inline uint64_t peer_stamp(uint32_t k)
{
    return (k + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

struct peer_setup {
    const struct peer_world *w;
    uint32_t keep;   /* entries after which it evicts; 0: it never does */
    const char *dir; /* its own, empty */
};
struct peer {
    const char *name;
    bool evicts;
    void *(*open)(const struct peer_setup *s); /* NULL: not built in */
    void (*close)(void *p);
    uint64_t (*run[PEER_OPS])(void *self, const struct bench_batch *batch);
    uint32_t group; /* puts that a batch has at least, being one transaction; 0: it is none */
    uint32_t most;  /* keys that it is given, as more take too long to fill in; 0: all */
};
#define PEERS(X) X(floor) X(tierkit) X(glib) X(uthash) X(tkrzw) X(kyoto) X(lmdb) X(rocksdb) X(sqlite) X(files)
#define PEER_DECLARE(name) extern const struct peer peer_##name;
PEERS(PEER_DECLARE)
enum { PEER_COUNT = 10 };
extern const struct peer *const peer_all[PEER_COUNT];
/* Adds to *heap what its memory takes of the kernel; *charged: what it is charged with. */
void peer_tierkit_bytes(void *p, uint64_t *heap, uint64_t *charged);

/* A contender's self: one peer going through one sequence. */
struct peer_run {
    void *peer;
    const struct peer_world *w;
    const uint32_t *sequence;
    uint32_t length;
    bool
        goes_on; /* begins where the last batch ended; else each pass has its place, the same for all peers */
    struct {
        uint32_t at;
        unsigned char *value; /* what is put, or room for a copy */
    } thread[PEER_THREADS];
};

struct peer_view {
    const unsigned char *data; /* NULL: not there */
    size_t size;
    void *pin;
};

enum { PEER_LOST = 1 << 30 }; /* what a miss adds to the sum: peers that all have all keys agree */

static inline uint64_t peer_first(const unsigned char *data)
{
    uint64_t word;
    memcpy(&word, data, sizeof word);
    return word;
}

static inline uint32_t peer_start(struct peer_run *r, const struct bench_batch *b)
{
    if (r->goes_on)
        return r->thread[b->thread].at;
    return (uint32_t)((b->pass * UINT64_C(104729) + b->thread * (uint64_t)(r->length / 2)) % r->length);
}

/* One batch of one operation; BODY uses p, k, key, value and adds to sum. */
#define PEER_LOOP(NAME, STRUCT, op, suffix, BODY)                                \
    static uint64_t NAME##_run_##suffix(void *self, const struct bench_batch *b) \
    {                                                                            \
        struct peer_run *r = self;                                               \
        STRUCT *p = r->peer;                                                     \
        unsigned char *value = r->thread[b->thread].value;                       \
        uint32_t at = peer_start(r, b);                                          \
        uint64_t sum = 0;                                                        \
        NAME##_begin(p, b->thread, op);                                          \
        for (uint64_t i = 0; i < b->count; i++) {                                \
            uint32_t k = r->sequence[at];                                        \
            const tier_digest *key = &r->w->key[k];                              \
            at = at + 1 < r->length ? at + 1 : 0;                                \
            BODY                                                                 \
        }                                                                        \
        NAME##_end(p, b->thread, op);                                            \
        r->thread[b->thread].at = at;                                            \
        return sum;                                                              \
    }
#define PEER_BODY_VIEW(NAME, LOOK)                          \
    struct peer_view v = NAME##_view(p, b->thread, k, key); \
    sum += !v.data ? PEER_LOST : LOOK;                      \
    if (v.data)                                             \
        NAME##_unview(p, b->thread, &v);                    \
    (void)value;
#define PEER_BODY_GET(NAME)                                \
    size_t size = NAME##_get(p, b->thread, k, key, value); \
    sum += size == r->w->size ? peer_first(value) : PEER_LOST;
#define PEER_BODY_PUT(NAME)                              \
    uint64_t stamp = peer_stamp(k);                      \
    memcpy(value, &stamp, sizeof stamp);                 \
    NAME##_put(p, b->thread, k, key, value, r->w->size); \
    sum++;
#define PEER_LOOPS(NAME, STRUCT)                                \
    PEER_LOOP(NAME, STRUCT, PEER_GET, get, PEER_BODY_GET(NAME)) \
    PEER_LOOP(NAME, STRUCT, PEER_PUT, put, PEER_BODY_PUT(NAME)) \
    PEER_LOOP(                                                  \
        NAME, STRUCT, PEER_MIX, mix, if (i % 10 == 9) { PEER_BODY_PUT(NAME) } else {PEER_BODY_GET(NAME)})
#define PEER_LENDS(NAME, STRUCT)                                           \
    PEER_LOOP(NAME, STRUCT, PEER_VIEW, view, PEER_BODY_VIEW(NAME, v.size)) \
    PEER_LOOP(NAME, STRUCT, PEER_READ, read, PEER_BODY_VIEW(NAME, peer_first(v.data)))
#define PEER_RUNS(NAME) [PEER_GET] = NAME##_run_get, [PEER_PUT] = NAME##_run_put, [PEER_MIX] = NAME##_run_mix
#define PEER_RUNS_LENDING(NAME) [PEER_VIEW] = NAME##_run_view, [PEER_READ] = NAME##_run_read, PEER_RUNS(NAME)
#define PEER_ABSENT(NAME) const struct peer peer_##NAME = {.name = #NAME}
#endif
