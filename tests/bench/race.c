/* race.c - contenders taking turns: calibration, threads, batch means. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "tests/bench/report.h"

enum {
    MAX_THREADS = 16,
    SAME_COUNT = 1000,
    LONG_PASSES = 9, /* where a contender's batch has a length of its own, it is a long one */
    SHARED_BATCH = 4 /* all batches are longer where one has several threads: these begin and end apart */
};

uint64_t bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---- one batch */
struct worker {
    const struct bench_contender *c;
    struct bench_batch batch;
    atomic_uint *waiting; /* threads that are not there yet */
    uint64_t began, ended, sum;
};

static void *work(void *user)
{
    struct worker *w = user;
    atomic_fetch_sub(w->waiting, 1);
    while (atomic_load(w->waiting)) /* to be woken from a barrier takes 50 us and more */
        sched_yield();
    w->began = bench_now();
    w->sum = w->c->run(w->c->self, &w->batch);
    w->ended = bench_now();
    return NULL;
}

/* Wall time from the first thread's start to the last one's end. */
static uint64_t batch(const struct bench_contender *c, uint32_t pass, uint64_t count, uint64_t *sum)
{
    struct worker w[MAX_THREADS];
    pthread_t id[MAX_THREADS];
    unsigned threads = c->threads ? c->threads : 1;
    atomic_uint waiting = threads;
    if (threads > MAX_THREADS)
        bench_die("more threads than a race has room for");
    if (c->before)
        c->before(c->self, pass);
    for (unsigned i = 0; i < threads; i++) {
        w[i] = (struct worker){.c = c, .batch = {pass, i, count}, .waiting = &waiting};
        if (i && pthread_create(&id[i], NULL, work, &w[i]))
            bench_die("pthread_create");
    }
    work(&w[0]);
    uint64_t began = w[0].began, ended = w[0].ended;
    *sum = w[0].sum;
    for (unsigned i = 1; i < threads; i++) {
        pthread_join(id[i], NULL);
        began = w[i].began < began ? w[i].began : began;
        ended = w[i].ended > ended ? w[i].ended : ended;
        *sum += w[i].sum;
    }
    return ended > began ? ended - began : 1;
}

/* How many operations take about as long as a batch should; it warms up besides. */
static uint64_t calibrate(const struct bench *b, const struct bench_contender *c, uint64_t want)
{
    uint64_t sum;
    if (c->count)
        return c->count;
    if (b->quick)
        return 50;
    for (uint64_t count = c->least ? c->least : 16;; count *= 4) {
        uint64_t ns = batch(c, 0, count, &sum);
        bench_keep(&sum);
        if (ns < want / 4)
            continue;
        count = (uint64_t)((double)count * (double)want / (double)ns);
        return count > c->least ? count : c->least ? c->least : 1;
    }
}

/* ---- figures */
static void fill(struct report_row *row, const double *mean, const double *base, unsigned passes)
{
    row->mean = bench_alloc(passes * sizeof *row->mean);
    memcpy(row->mean, mean, passes * sizeof *mean);
    row->passes = passes;
    row->best = report_quantile(mean, NULL, passes, 0);
    row->median = report_quantile(mean, NULL, passes, 0.5);
    row->q1 = report_quantile(mean, NULL, passes, 0.25);
    row->q3 = report_quantile(mean, NULL, passes, 0.75);
    row->ratio_low = report_quantile(mean, base, passes, 0.25);
    row->ratio_high = report_quantile(mean, base, passes, 0.75);
}

static size_t base_of(const struct bench_race *r)
{
    for (size_t i = 0; r->base && i < r->count; i++)
        if (!strcmp(r->contender[i].name, r->base))
            return i;
    return 0;
}

static void compare_sums(struct bench *b, const struct bench_race *r)
{
    uint64_t first = 0, sum;
    for (size_t i = 0; i < r->count; i++) {
        struct bench_contender c = r->contender[i];
        c.threads = 1;
        if (c.own)
            continue;
        batch(&c, 0, SAME_COUNT, &sum);
        if (i == 0)
            first = sum;
        else if (sum != first)
            bench_wrong(b, "%s: %s and %s disagree: %llu, %llu", r->row, r->contender[0].name, c.name,
                        (unsigned long long)first, (unsigned long long)sum);
    }
}

void bench_race(struct bench *b, const struct bench_race *r)
{
    if (!r->count)
        return;
    unsigned passes = r->passes && r->passes < b->passes ? r->passes : b->passes;
    uint64_t want = b->batch_ns;
    for (size_t i = 0; i < r->count; i++) {
        if (r->contender[i].count && passes > LONG_PASSES)
            passes = LONG_PASSES;
        if (r->contender[i].threads > 1)
            want = b->batch_ns * SHARED_BATCH;
    }
    double *mean = bench_alloc(r->count * passes * sizeof *mean);
    uint64_t *count = bench_alloc(r->count * sizeof *count), sum;
    size_t base = base_of(r);
    if (r->same)
        compare_sums(b, r);
    for (size_t i = 0; i < r->count; i++)
        count[i] = calibrate(b, &r->contender[i], want);
    for (unsigned p = 0; p < passes; p++)
        for (size_t i = 0; i < r->count; i++) {
            const struct bench_contender *c = &r->contender[i];
            uint64_t ns = batch(c, p, count[i], &sum);
            bench_keep(&sum);
            mean[i * passes + p] = (double)ns / (double)count[i] / (c->threads ? c->threads : 1);
        }
    const char *base_name = NULL;
    for (size_t i = 0; i < r->count; i++) {
        struct report_row *row = report_row(b->report, r->row, r->contender[i].name);
        fill(row, mean + i * passes, mean + base * passes, passes);
        row->unit = "ns";
        row->operations = count[i];
        row->threads = r->contender[i].threads ? r->contender[i].threads : 1;
        row->bytes = r->contender[i].bytes;
        row->plot = r->plot;
    }
    const struct report_row *b0 = report_find(b->report, b->report->group, r->row, r->contender[base].name);
    base_name = b0->contender;
    double base_best = b0->best;
    for (size_t i = 0; i < r->count; i++) {
        struct report_row *row = &b->report->row[b->report->rows - r->count + i];
        row->base = base_name;
        row->ratio = row->best / base_best;
    }
    report_table(b->report, r->row);
    free(mean);
    free(count);
}
