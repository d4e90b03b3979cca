/* bench.h - `make bench`: one program, one run, ratios between contenders that take turns.
 *
 * A group is one .c file that defines `const struct bench_group bench_NAME` and has one line in groups.h. Its
 * run() sets contenders up and hands them to bench_race, once a row of the table: pass by pass each contender
 * runs one batch (A B C A B C ...), so that a slow moment of the machine falls on all of them. A batch is
 * timed as a whole; no clock is read between operations. Per contender the best and the median batch mean are
 * kept, and the quartiles of the ratio to the base's batch in the same pass: that is the spread.
 *
 * A goal is data: two contenders, in one row or in two rows, and a bound. What counts is the median of their
 * ratios pass by pass: what falls on the machine falls on both of a pass, and no lucky batch decides. */
#ifndef TESTS_BENCH_H
#define TESTS_BENCH_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench_report;
struct bench {
    bool quick;      /* small sizes: does it run at all? Its figures mean nothing */
    const char *dir; /* scratch directory: empty when a group begins, emptied when it ends */
    unsigned passes;
    uint64_t
        batch_ns; /* what a batch should take: less than a time slice, so that some are not interrupted */
    struct bench_report *report;
};

/* ---- groups and goals */
struct bench_goal {
    const char *name;
    const char *row, *contender; /* the figure above the line */
    const char *base_row,
        *base; /* the one below; base_row NULL: the same row; base NULL: none, the figure itself is bounded */
    char kept; /* '<': ratio <= bound keeps the goal, '>': ratio >= bound */
    double bound;
};
struct bench_group {
    const char *name, *what;
    void (*run)(struct bench *b);
    const struct bench_goal *goals; /* ends with a name of NULL; NULL: none */
};

/* ---- what is timed */
struct bench_batch {
    uint32_t pass, thread; /* thread: 0 to threads - 1 */
    uint64_t count;        /* operations to run */
};
struct bench_contender {
    const char *name; /* names that begin with "tierkit" are ours */
    void *self;
    uint64_t (*run)(void *self, const struct bench_batch *batch); /* a sum of the results, whatever it is */
    void (*before)(void *self, uint32_t pass); /* untimed, before each batch; NULL: nothing */
    uint64_t count;   /* operations a batch and thread; 0: as many as take bench.batch_ns */
    uint64_t least;   /* where count is 0: no batch is shorter, as its beginning and end are work, too */
    unsigned threads; /* 0: 1. The time of an operation is then wall time by all threads' operations */
    bool own;         /* it goes through data of its own: its sum is not compared */
    uint64_t bytes;   /* that an operation handles, for MB/s; 0: none is shown */
};
struct bench_race {
    const char *row;
    const struct bench_contender *contender; /* in the order of their turns */
    size_t count;
    const char *base; /* a contender's name; NULL: the first */
    bool same;        /* the sums of equal batches must be equal: checked before anything is timed */
    bool plot;        /* shown in the SVG */
    unsigned passes;  /* 0: bench.passes; long batches do with fewer */
};
void bench_race(struct bench *b, const struct bench_race *r);

/* A figure that is not a time: bytes per entry, a compression ratio. base: a contender of the same row whose
 * figure was told before, or NULL. */
struct bench_figure {
    const char *row, *contender, *unit, *base;
    double value;
    bool plot;
};
void bench_figure(struct bench *b, const struct bench_figure *f);
/* The best mean of a contender in ns, or its figure; 0: there is none. For figures made of others. */
double bench_best(const struct bench *b, const char *row, const char *contender);

/* This contender takes no part in the group; the table says why, and goals that need it are not measured. */
void bench_missing(struct bench *b, const char *contender, const char *why);
/* A wrong result, or a peer that broke down: told at once, and the program will exit with 1. */
void bench_wrong(struct bench *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The machine failed the program (memory, disk): ends it. */
_Noreturn void bench_die(const char *what);
void *bench_alloc(size_t size);                                                  /* cleared; never NULL */
char *bench_text(const char *format, ...) __attribute__((format(printf, 1, 2))); /* free it */
uint64_t bench_now(void);                                                        /* ns, monotonic */

/* Keeps the compiler from dropping what leads to value. */
static inline void bench_keep(const void *value)
{
    __asm__ volatile("" : : "r"(value) : "memory");
}
#endif
