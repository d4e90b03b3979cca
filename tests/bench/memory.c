/* memory.c - hits and puts beside what a C programmer would pick instead. Every peer holds every key; the
 * same keys are asked for in the same order; sums of what was read must agree before anything is timed. */
#include <sys/stat.h>
#include "tests/bench/peer.h"

struct side { /* a peer that was opened and filled */
    const struct peer *peer;
    void *state;
    struct peer_world *w, *own; /* own: of less keys than the others'; else NULL */
};
enum { ZIPF, SWEEP };
struct row {
    const char *what;
    enum peer_op op;
    int order;
    unsigned threads;
    bool plot;
};

static void fill_run(struct peer_run *r, const struct side *s, int order)
{
    const struct peer_world *w = s->w;
    *r = (struct peer_run){.peer = s->state, .w = w, .sequence = order == ZIPF ? w->zipf : w->sweep};
    r->length = order == ZIPF ? PEER_SEQUENCE : w->keys;
    for (int t = 0; t < PEER_THREADS; t++) {
        r->thread[t].value = bench_alloc(PEER_VALUE_MAX);
        memcpy(r->thread[t].value, w->noise, PEER_VALUE_MAX);
        r->thread[t].at = (uint32_t)t * (r->length / 2);
    }
}

static void drop_run(struct peer_run *r)
{
    for (int t = 0; t < PEER_THREADS; t++)
        free(r->thread[t].value);
}

/* Opens peers, those alone that evict where keep is set, and puts every key into each. */
static size_t open_sides(struct bench *b, struct peer_world *w, uint32_t keep, struct side side[PEER_COUNT])
{
    size_t n = 0;
    for (size_t i = 0; i < PEER_COUNT; i++) {
        struct peer_run fill;
        if (!peer_all[i]->open || (keep && !peer_all[i]->evicts))
            continue;
        char *dir = bench_text("%s/%s-%zu%s", b->dir, peer_all[i]->name, w->size, keep ? "-evicting" : "");
        if (mkdir(dir, 0700))
            bench_die(dir);
        struct peer_world *own = peer_all[i]->most && peer_all[i]->most < w->keys
                                     ? peer_world_new(peer_all[i]->most, w->size)
                                     : NULL;
        side[n] = (struct side){peer_all[i], NULL, own ? own : w, own};
        side[n].state = peer_all[i]->open(&(struct peer_setup){side[n].w, keep, dir});
        fill_run(&fill, &side[n], SWEEP);
        peer_all[i]->run[PEER_PUT](&fill, &(struct bench_batch){0, 0, side[n].w->keys});
        drop_run(&fill);
        free(dir);
        n++;
    }
    return n;
}

static void close_sides(struct side *side, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        side[i].peer->close(side[i].state);
        if (side[i].own)
            peer_world_free(side[i].own);
    }
}

static const char *size_name(size_t size)
{
    return size == 64 ? "64 B" : size == 1024 ? "1 KiB" : "16 KiB";
}

static void race(struct bench *b, const struct peer_world *w, const struct side *side, size_t n,
                 const struct row *row, bool evicting)
{
    struct peer_run run[PEER_COUNT];
    struct bench_contender c[PEER_COUNT];
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        if (!side[i].peer->run[row->op])
            continue;
        fill_run(&run[m], &side[i], row->order);
        run[m].goes_on = evicting;
        c[m] = (struct bench_contender){side[i].peer->name, &run[m], side[i].peer->run[row->op],
                                        .threads = row->threads};
        c[m].least = row->op == PEER_PUT ? side[i].peer->group : 0;
        c[m++].own = side[i].own != NULL;
    }
    char *name = bench_text("%s %s", row->what, size_name(w->size));
    bench_race(b, &(struct bench_race){name, c, m, .same = true, .plot = row->plot && w->size != 1024});
    free(name);
    for (size_t i = 0; i < m; i++)
        drop_run(&run[i]);
}

static const struct row rows[] = {
    {"view and read", PEER_READ, ZIPF, 1, true},
    {"view untouched", PEER_VIEW, ZIPF, 1, false},
    {"get", PEER_GET, ZIPF, 1, true},
    {"put", PEER_PUT, ZIPF, 1, true},
    {"90/10", PEER_MIX, ZIPF, 1, false},
    {"sweep: view and read", PEER_READ, SWEEP, 1, false},
    {"sweep: get", PEER_GET, SWEEP, 1, false},
    {"2 threads: view and read", PEER_READ, ZIPF, 2, true},
    {"2 threads: get", PEER_GET, ZIPF, 2, false},
    {"2 threads: 90/10", PEER_MIX, ZIPF, 2, false},
};
static const struct row evicting = {"evicting put", PEER_PUT, SWEEP, 1, true};

static void run_size(struct bench *b, uint32_t keys, size_t size)
{
    struct peer_world *w = peer_world_new(keys, size);
    struct side side[PEER_COUNT];
    size_t n = open_sides(b, w, 0, side);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        race(b, w, side, n, &rows[i], false);
    close_sides(side, n);
    n = open_sides(b, w, keys / 2, side);
    race(b, w, side, n, &evicting, true);
    close_sides(side, n);
    peer_world_free(w);
}

/* ---- ours and the floor against themselves: larger values, another thread. The same number of entries each.
 */
static const struct peer *const pair[] = {&peer_tierkit, &peer_floor};

static void open_side(struct side *side, struct peer_run *run, const struct peer *p, struct peer_world *w)
{
    *side = (struct side){p, p->open(&(struct peer_setup){w, 0, NULL}), w, NULL};
    fill_run(run, side, SWEEP);
    p->run[PEER_PUT](run, &(struct bench_batch){0, 0, w->keys});
    run->sequence = w->zipf;
    run->length = PEER_SEQUENCE;
}

static void by_size(struct bench *b, uint32_t keys)
{
    static const char *const name[2][2] = {{"tierkit 64 B", "tierkit 16 KiB"},
                                           {"floor 64 B", "floor 16 KiB"}};
    struct peer_world *w[2] = {peer_world_new(keys, 64), peer_world_new(keys, PEER_VALUE_MAX)};
    struct bench_contender c[4];
    struct peer_run run[4];
    struct side side[4];
    for (int i = 0; i < 4; i++) {
        open_side(&side[i], &run[i], pair[i / 2], w[i % 2]);
        c[i] =
            (struct bench_contender){name[i / 2][i % 2], &run[i], pair[i / 2]->run[PEER_VIEW], .threads = 1};
    }
    bench_race(b, &(struct bench_race){"untouched view by size", c, 4, .base = NULL});
    for (int i = 0; i < 4; i++)
        drop_run(&run[i]);
    close_sides(side, 4);
    peer_world_free(w[0]);
    peer_world_free(w[1]);
}

/* Both threads share a run, at other places of it. */
static void by_threads(struct bench *b, const char *row, uint32_t keys)
{
    static const char *const name[2][2] = {{"tierkit 1 thread", "tierkit 2 threads"},
                                           {"floor 1 thread", "floor 2 threads"}};
    struct peer_world *w = peer_world_new(keys, 64);
    struct bench_contender c[4];
    struct peer_run run[2];
    struct side side[2];
    for (int i = 0; i < 2; i++) {
        open_side(&side[i], &run[i], pair[i], w);
        for (int t = 0; t < 2; t++)
            c[2 * i + t] = (struct bench_contender){name[i][t], &run[i], pair[i]->run[PEER_READ],
                                                    .threads = (unsigned)t + 1};
    }
    bench_race(b, &(struct bench_race){row, c, 4, .base = NULL});
    for (int i = 0; i < 2; i++)
        drop_run(&run[i]);
    close_sides(side, 2);
    peer_world_free(w);
}

static void run(struct bench *b)
{
    for (size_t i = 0; i < PEER_COUNT; i++)
        if (!peer_all[i]->open)
            bench_missing(b, peer_all[i]->name, "not there when this was compiled");
    by_size(b, b->quick ? 100 : 32768);
    by_threads(b, "by threads, 1,000 keys", b->quick ? 100 : 1000);
    by_threads(b, "by threads, 32,768 keys", b->quick ? 100 : 32768);
    by_threads(b, "by threads, 100,000 keys", b->quick ? 100 : 100000);
    run_size(b, b->quick ? 200 : 100000, 64);
    run_size(b, b->quick ? 200 : 100000, 1024);
    run_size(b, b->quick ? 100 : 8192, PEER_VALUE_MAX);
}

static const struct bench_goal goals[] = {
    /* Pinned and let go of: the floor reads no value either, and has its values where the counts are. */
    {"pinned view of 64 B / floor", "view untouched 64 B", "tierkit", NULL, "floor", '<', 1.6},
    {"GLib's view of 64 B / ours", "view untouched 64 B", "glib", NULL, "tierkit", '>', 3},
    {"untouched view, 16 KiB / 64 B", "untouched view by size", "tierkit 16 KiB", NULL, "tierkit 64 B", '<',
     1.2},
    {"view, one thread / two", "by threads, 100,000 keys", "tierkit 1 thread", NULL, "tierkit 2 threads", '>',
     1.8},
    {.name = NULL}};
const struct bench_group bench_memory = {"memory", "hits and puts beside peers; time of one operation", run,
                                         goals};
