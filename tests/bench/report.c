/* report.c - rows and goals: kept, found, judged, printed as a table and as JSON. */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include "tests/bench/report.h"

/* ---- rows */
struct report_row *report_row(struct bench_report *r, const char *row, const char *contender)
{
    if (report_find(r, r->group, row, contender))
        bench_die("two figures of one name");
    if ((r->rows & (r->rows - 1)) == 0 &&
        !(r->row = realloc(r->row, (r->rows ? r->rows * 2 : 1) * sizeof *r->row)))
        bench_die("memory");
    struct report_row *n = &r->row[r->rows++];
    *n = (struct report_row){.group = r->group, .row = bench_text("%s", row), .threads = 1};
    n->contender = bench_text("%s", contender);
    return n;
}

const struct report_row *report_find(const struct bench_report *r, const char *group, const char *row,
                                     const char *contender)
{
    for (size_t i = 0; i < r->rows; i++)
        if (!strcmp(r->row[i].group, group) && !strcmp(r->row[i].row, row) &&
            (!contender || !strcmp(r->row[i].contender, contender)))
            return &r->row[i];
    return NULL;
}

double bench_best(const struct bench *b, const char *row, const char *contender)
{
    const struct report_row *n = report_find(b->report, b->report->group, row, contender);
    return n ? n->best : 0;
}

void bench_figure(struct bench *b, const struct bench_figure *f)
{
    const struct report_row *base =
        f->base ? report_find(b->report, b->report->group, f->row, f->base) : NULL;
    const char *base_name = base ? base->contender : NULL;
    double by = base ? base->best : 0;
    bool first = !report_find(b->report, b->report->group, f->row, NULL);
    struct report_row *n = report_row(b->report, f->row, f->contender);
    n->unit = f->unit;
    n->best = n->median = n->q1 = n->q3 = f->value;
    n->plot = f->plot;
    if (base || (f->base && !strcmp(f->base, f->contender))) {
        n->base = base ? base_name : n->contender;
        n->ratio = n->ratio_low = n->ratio_high = base ? f->value / by : 1;
    }
    if (first)
        printf("\n  %s\n", f->row);
    char value[32];
    report_quantity(value, sizeof value, f->value, f->unit);
    printf("    %-26s %12s", f->contender, value);
    n->base ? printf(" %38.2f\n", n->ratio) : printf("\n");
}

void bench_missing(struct bench *b, const char *contender, const char *why)
{
    struct bench_report *r = b->report;
    if (!(r->missing = realloc(r->missing, (r->missings + 1) * sizeof *r->missing)))
        bench_die("memory");
    r->missing[r->missings++] =
        (struct report_missing){r->group, bench_text("%s", contender), bench_text("%s", why)};
    printf("  %s takes no part: %s\n", contender, why);
}

void bench_wrong(struct bench *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fflush(stdout);
    fprintf(stderr, "bench: %s: ", b->report->group);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    b->report->wrong++;
}

/* ---- the table */
void report_quantity(char *text, size_t size, double value, const char *unit)
{
    static const struct {
        double from, by;
        const char *unit;
    } times[] = {{1e9, 1e9, "s"}, {1e6, 1e6, "ms"}, {1e4, 1e3, "us"}, {0, 1, "ns"}};
    if (!strcmp(unit, "ns"))
        for (int i = 0; i < 4; i++)
            if (value >= times[i].from) {
                value /= times[i].by;
                unit = times[i].unit;
                break;
            }
    snprintf(text, size,
             value >= 100  ? "%.0f%s%s"
             : value >= 10 ? "%.1f%s%s"
                           : "%.2f%s%s",
             value, *unit ? " " : "", unit);
}

void report_table(const struct bench_report *r, const char *row)
{
    printf("\n  %-28s %12s %12s %7s %8s  %s\n", row, "best", "median", "spread", "ratio", "ratio by pass");
    for (size_t i = 0; i < r->rows; i++) {
        const struct report_row *n = &r->row[i];
        if (strcmp(n->group, r->group) || strcmp(n->row, row))
            continue;
        char best[32], median[32];
        report_quantity(best, sizeof best, n->best, n->unit);
        report_quantity(median, sizeof median, n->median, n->unit);
        printf("    %-26s %12s %12s %5.0f %% %8.2f  %.2f-%.2f", n->contender, best, median,
               100 * (n->q3 - n->q1) / n->median, n->ratio, n->ratio_low, n->ratio_high);
        if (n->bytes)
            printf("  %.0f MB/s", (double)n->bytes * 1e3 / n->best);
        printf(n->base == n->contender ? "  (base)\n" : "\n");
    }
    fflush(stdout);
}

/* ---- goals */
static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double report_quantile(const double *value, const double *base, size_t n, double q)
{
    double *sorted = bench_alloc(n * sizeof *sorted), at = q * (double)(n - 1);
    size_t i = (size_t)at;
    for (size_t p = 0; p < n; p++)
        sorted[p] = value[p] / (base ? base[p] : 1);
    qsort(sorted, n, sizeof *sorted, by_value);
    double found = i + 1 < n ? sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
    free(sorted);
    return found;
}

static const char *absent(const struct bench_report *r, const char *group, const char *contender)
{
    for (size_t i = 0; i < r->missings; i++)
        if (!strcmp(r->missing[i].group, group) && !strcmp(r->missing[i].contender, contender))
            return r->missing[i].why;
    return NULL;
}

void report_judge(struct bench *b, const struct bench_group *g)
{
    struct bench_report *r = b->report;
    for (const struct bench_goal *goal = g->goals; goal && goal->name; goal++) {
        const char *base_row = goal->base_row ? goal->base_row : goal->row;
        const struct report_row *above = report_find(r, g->name, goal->row, goal->contender);
        const struct report_row *below = goal->base ? report_find(r, g->name, base_row, goal->base) : above;
        struct report_goal j = {.group = g->name, .goal = goal, .verdict = REPORT_UNMEASURED};
        const char *gone = !above ? goal->contender : !below ? goal->base : NULL;
        const char *why = gone ? absent(r, g->name, gone) : NULL;
        if (gone && why)
            j.why = bench_text("%s: %s", gone, why);
        else if (gone)
            bench_wrong(b, "goal %s: there is no %s in its row", goal->name, gone);
        else {
            bool raced = goal->base && above->mean && below->mean && above->passes == below->passes;
            j.best = above->best / (goal->base ? below->best : 1);
            j.ratio = raced ? report_quantile(above->mean, below->mean, above->passes, 0.5) : j.best;
            j.verdict = (goal->kept == '<' ? j.ratio <= goal->bound : j.ratio >= goal->bound) ? REPORT_KEPT
                                                                                              : REPORT_MISSED;
        }
        if (!(r->goal = realloc(r->goal, (r->goals + 1) * sizeof *r->goal)))
            bench_die("memory");
        r->goal[r->goals++] = j;
    }
}

static const char *const verdicts[] = {"kept", "missed", "not measured"};

void report_goals(const struct bench_report *r)
{
    printf("\ngoals\n");
    for (size_t i = 0; i < r->goals; i++) {
        const struct report_goal *j = &r->goal[i];
        if (j->verdict == REPORT_UNMEASURED)
            printf("  %-10s %-44s not measured (%s)\n", j->group, j->goal->name,
                   j->why ? j->why : "no such row");
        else
            printf("  %-10s %-44s %6.2f %s %-5g %-7s best %.2f\n", j->group, j->goal->name, j->ratio,
                   j->goal->kept == '<' ? "<=" : ">=", j->goal->bound, verdicts[j->verdict], j->best);
    }
}

/* ---- the machine */
void report_machine(struct report_machine *m)
{
    struct utsname u;
    char line[256];
    time_t now = time(NULL);
    FILE *f = fopen("/proc/cpuinfo", "r");
    snprintf(m->cpu, sizeof m->cpu, "unknown");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "model name : %127[^\n]", m->cpu) == 1)
            break;
    if (f)
        fclose(f);
    if (!uname(&u))
        snprintf(m->kernel, sizeof m->kernel, "%.20s %.58s", u.sysname, u.release);
    m->cores = sysconf(_SC_NPROCESSORS_ONLN);
    m->memory_mb = sysconf(_SC_PHYS_PAGES) / 1024 * (sysconf(_SC_PAGESIZE) / 1024);
    strftime(m->date, sizeof m->date, "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
}

/* ---- JSON */
static void text(FILE *f, const char *name, const char *value, const char *after)
{
    fprintf(f, "\"%s\": \"", name);
    for (const char *c = value; *c; c++)
        fprintf(f, *c == '"' || *c == '\\' ? "\\%c" : (unsigned char)*c < ' ' ? "?" : "%c", *c);
    fprintf(f, "\"%s", after);
}

static void number(FILE *f, const char *name, double value, const char *after)
{
    if (isfinite(value))
        fprintf(f, "\"%s\": %.6g%s", name, value, after);
    else
        fprintf(f, "\"%s\": null%s", name, after);
}

static void json_row(FILE *f, const struct report_row *n)
{
    fprintf(f, "    { ");
    text(f, "group", n->group, ", ");
    text(f, "row", n->row, ", ");
    text(f, "contender", n->contender, ", ");
    text(f, "unit", n->unit, ", ");
    number(f, "best", n->best, ", ");
    number(f, "median", n->median, ", ");
    number(f, "q1", n->q1, ", ");
    number(f, "q3", n->q3, ", ");
    if (n->base) {
        text(f, "base", n->base, ", ");
        number(f, "ratio", n->ratio, ", ");
        number(f, "ratio_q1", n->ratio_low, ", ");
        number(f, "ratio_q3", n->ratio_high, ", ");
    }
    fprintf(f, "\"threads\": %u, \"operations\": %llu }", n->threads, (unsigned long long)n->operations);
}

static void json_goal(FILE *f, const struct report_goal *j)
{
    fprintf(f, "    { ");
    text(f, "group", j->group, ", ");
    text(f, "name", j->goal->name, ", ");
    text(f, "above", j->goal->contender, ", ");
    text(f, "above_row", j->goal->row, ", ");
    text(f, "below", j->goal->base ? j->goal->base : "", ", ");
    text(f, "below_row", j->goal->base_row ? j->goal->base_row : j->goal->row, ", ");
    text(f, "keep", j->goal->kept == '<' ? "<=" : ">=", ", ");
    number(f, "bound", j->goal->bound, ", ");
    if (j->verdict == REPORT_UNMEASURED)
        text(f, "why", j->why ? j->why : "no such row", ", ");
    else
        number(f, "ratio", j->ratio, ", "), number(f, "best", j->best, ", ");
    text(f, "verdict", verdicts[j->verdict], " }");
}

void report_json(const struct bench *b, FILE *f)
{
    const struct bench_report *r = b->report;
    fprintf(f, "{\n  \"schema\": 1,\n  ");
    text(f, "date", r->machine.date, ",\n  \"machine\": { ");
    text(f, "cpu", r->machine.cpu, ", ");
    text(f, "kernel", r->machine.kernel, ", ");
    fprintf(f, "\"cores\": %ld, \"memory_mb\": %ld },\n", r->machine.cores, r->machine.memory_mb);
    fprintf(f, "  \"quick\": %s,\n  \"passes\": %u,\n  \"rows\": [\n", b->quick ? "true" : "false",
            b->passes);
    for (size_t i = 0; i < r->rows; i++) {
        json_row(f, &r->row[i]);
        fprintf(f, i + 1 < r->rows ? ",\n" : "\n");
    }
    fprintf(f, "  ],\n  \"missing\": [\n");
    for (size_t i = 0; i < r->missings; i++) {
        fprintf(f, "    { ");
        text(f, "group", r->missing[i].group, ", ");
        text(f, "contender", r->missing[i].contender, ", ");
        text(f, "why", r->missing[i].why, i + 1 < r->missings ? " },\n" : " }\n");
    }
    fprintf(f, "  ],\n  \"goals\": [\n");
    for (size_t i = 0; i < r->goals; i++) {
        json_goal(f, &r->goal[i]);
        fprintf(f, i + 1 < r->goals ? ",\n" : "\n");
    }
    fprintf(f, "  ]\n}\n");
}

void report_free(struct bench_report *r)
{
    for (size_t i = 0; i < r->rows; i++) {
        free(r->row[i].row);
        free(r->row[i].contender);
        free(r->row[i].mean);
    }
    for (size_t i = 0; i < r->missings; i++) {
        free(r->missing[i].contender);
        free(r->missing[i].why);
    }
    for (size_t i = 0; i < r->goals; i++)
        free(r->goal[i].why);
    free(r->row);
    free(r->missing);
    free(r->goal);
}
