/* evict.c - what each policy misses on recorded traces, and how much time of computing it saves. Ours is
 * replayed as the library runs it, in 64 shards with a rank each; its rivals as they were published, in one
 * piece. All are told of superseded versions. Nothing here is timed. */
#include <stdlib.h>
#include "tests/bench/bench.h"
#include "tiers/replay.h"

/* X(trace, part of its footprint in percent) */
/* clang-format off */
#define CASES(X) \
    X(zipf, 1) X(zipf, 5) X(zipf, 10) X(zipf, 25) \
    X(churn, 1) X(churn, 5) X(churn, 10) X(churn, 25) \
    X(commits, 1) X(commits, 5) X(commits, 10) X(commits, 25) \
    X(include, 1) X(include, 5) X(include, 10) X(include, 25)
/* clang-format on */

static void read_trace(const char *path, struct tier__trace *t)
{
    FILE *f = fopen(path, "rb");
    size_t at, size = 0, room = 1 << 20;
    unsigned char *data = bench_alloc(room);
    if (!f)
        bench_die("the bench runs in the root of the source tree");
    size = fread(data, 1, room, f);
    fclose(f);
    if (size == room || tier__trace_read(t, data, size, &at))
        bench_die(path);
    free(data);
}

/* Each tier with that part of its own footprint; the sums. */
static struct tier__replay_result run(const struct tier__trace *t, const struct tier__policy *policy,
                                      uint32_t shards, int percent)
{
    struct tier__replay_result sum = {.gets = 0};
    for (int tier = TIER_FILE; tier <= TIER_DELTA; tier++) {
        struct tier__replay_result r;
        struct tier__replay_options o = {.policy = policy, .tier = tier, .shards = shards};
        o.budget = tier__trace_footprint(t, tier, NULL) * (uint64_t)percent / 100;
        if (tier__replay(t, &o, &r))
            bench_die("memory");
        sum.gets += r.gets;
        sum.hits += r.hits;
        sum.bytes += r.bytes;
        sum.hit_bytes += r.hit_bytes;
        sum.cost_us += r.cost_us;
        sum.hit_cost_us += r.hit_cost_us;
    }
    return sum;
}

static double percent_of(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void tell(struct bench *b, const char *name, int percent, const char *what, const char *contender,
                 double value)
{
    char row[64];
    snprintf(row, sizeof row, "%s %d %%: %s", name, percent, what);
    struct bench_figure f = {.row = row, .contender = contender, .unit = "%", .value = value};
    bench_figure(b, &f);
}

static void one_case(struct bench *b, const struct tier__trace *t, const char *name, int percent)
{
    static const char *const who[] = {"tierkit", "lru", "s3fifo", "gdsf", "belady"};
    enum { COUNT = sizeof who / sizeof *who };
    struct tier__replay_result r[COUNT];
    double best = 0;
    for (int i = 0; i < COUNT; i++) {
        bool belady = i + 1 == COUNT;
        r[i] = run(t, belady ? NULL : tier__policy_named(i ? who[i] : NULL), i ? 1 : 64, percent);
        double saved = percent_of(r[i].hit_cost_us, r[i].cost_us);
        if (!belady && saved > best)
            best = saved;
    }
    for (int i = 0; i < COUNT; i++)
        tell(b, name, percent, "misses", who[i], percent_of(r[i].gets - r[i].hits, r[i].gets));
    for (int i = 0; i < COUNT; i++)
        tell(b, name, percent, "missed bytes", who[i], percent_of(r[i].bytes - r[i].hit_bytes, r[i].bytes));
    for (int i = 0; i < COUNT; i++)
        tell(b, name, percent, "time saved", who[i], percent_of(r[i].hit_cost_us, r[i].cost_us));
    tell(b, name, percent, "time saved", "best policy", best);
}

static void run_evict(struct bench *b)
{
    static const struct {
        const char *name;
        int percent;
    } cases[] = {
#define EVICT_CASE(trace, percent) {#trace, percent},
        CASES(EVICT_CASE)
#undef EVICT_CASE
    };
    struct tier__base base;
    struct tier__trace t;
    tier__base_init(&base, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[128];
        snprintf(path, sizeof path, "tests/bench/traces/%s.trace", cases[i].name);
        tier__trace_init(&t, &base);
        read_trace(path, &t);
        one_case(b, &t, cases[i].name, cases[i].percent);
        tier__trace_fini(&t);
    }
}

/* clang-format off */
#define EVICT_GOALS(trace, percent) \
    {#trace " " #percent " %: misses, to S3-FIFO", #trace " " #percent " %: misses", "tierkit", NULL, "s3fifo", '<', 1.0}, \
    {#trace " " #percent " %: saved, to the best", #trace " " #percent " %: time saved", "tierkit", NULL, "best policy", '>', 0.95},
static const struct bench_goal goals[] = {CASES(EVICT_GOALS) {.name = NULL}};
/* clang-format on */

const struct bench_group bench_evict = {"evict", "eviction on traces: percent of gets, of bytes, of time",
                                        run_evict, goals};
