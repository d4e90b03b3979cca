/* report.h - what a run found: rows, goals, who was missing; as a table, JSON and a plot. */
#ifndef TESTS_BENCH_REPORT_H
#define TESTS_BENCH_REPORT_H
#include <stdio.h>
#include "tests/bench/bench.h"

struct report_row {
    const char *group;
    char *row, *contender;
    const char *unit; /* "ns": a time */
    double best, median, q1, q3;
    const char *base;                    /* NULL: compared with nothing */
    double ratio, ratio_low, ratio_high; /* of the best means; quartiles of the ratios in one pass */
    double *mean;                        /* by pass; NULL: no time */
    unsigned passes;
    uint64_t operations, bytes; /* a batch and thread; handled by an operation */
    unsigned threads;
    bool plot;
};
struct report_missing {
    const char *group;
    char *contender, *why;
};
enum report_verdict { REPORT_KEPT, REPORT_MISSED, REPORT_UNMEASURED };
struct report_goal {
    const char *group;
    const struct bench_goal *goal;
    enum report_verdict verdict;
    double ratio, best; /* the median of the ratios pass by pass; of the best means. Of a figure: the same */
    char *why;          /* of UNMEASURED */
};
struct report_machine {
    char cpu[128], kernel[80], date[32];
    long cores, memory_mb;
};

struct bench_report {
    const char *group; /* at work */
    struct report_row *row;
    struct report_missing *missing;
    struct report_goal *goal;
    size_t rows, missings, goals;
    unsigned wrong;
    struct report_machine machine;
};

struct report_row *report_row(struct bench_report *r, const char *row, const char *contender);
void report_table(const struct bench_report *r, const char *row); /* prints the row's contenders */
const struct report_row *report_find(const struct bench_report *r, const char *group, const char *row,
                                     const char *contender);
/* Of n values, each divided by its base; base NULL: of the values. */
double report_quantile(const double *value, const double *base, size_t n, double q);
void report_judge(struct bench *b, const struct bench_group *g); /* its goals, once it ran */
void report_goals(const struct bench_report *r);
void report_machine(struct report_machine *m);
void report_quantity(char *text, size_t size, double value, const char *unit); /* "1.2 us" */
void report_json(const struct bench *b, FILE *f);
void report_svg(const struct bench *b, FILE *f);
void report_free(struct bench_report *r);
#endif
