/* bench.c - the program: options, groups in the order of groups.h, the report. */
#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tests/bench/groups.h"
#include "tests/bench/report.h"

#define DECLARE(name) extern const struct bench_group bench_##name;
BENCH_GROUPS(DECLARE)
#define ADDRESS(name) &bench_##name,
static const struct bench_group *const groups[] = {BENCH_GROUPS(ADDRESS)};
enum { GROUPS = sizeof groups / sizeof *groups };

void bench_die(const char *what)
{
    fflush(stdout);
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(2);
}

void *bench_alloc(size_t size)
{
    void *p = calloc(1, size ? size : 1);
    if (!p)
        bench_die("memory");
    return p;
}

char *bench_text(const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        bench_die("memory");
    va_end(args);
    return text;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)st;
    (void)type;
    return f->level ? remove(path) : 0;
}

static void empty(const char *dir)
{
    nftw(dir, remove_one, 32, FTW_DEPTH | FTW_PHYS);
}

/* ---- options */
struct options {
    const char *json, *svg, *group[GROUPS];
    size_t group_count;
    bool quick;
    unsigned passes;
};

static void usage(FILE *f)
{
    fprintf(f, "bench [--group NAME]... [--quick] [--passes N] [--json FILE] [--svg FILE]\n"
               "bench --list | --help\n"
               "  --group NAME  this group alone; may be given again\n"
               "  --quick       small sizes, to see that it runs: the figures mean nothing\n"
               "  --passes N    turns of each contender, 31 without it\n"
               "  --json FILE   everything found, schema 1\n"
               "  --svg FILE    a plot of the rows that compare with peers\n"
               "Status: 0, also where goals are missed; 1 wrong results; 2 it could not run.\n");
}

static const char *known(const char *name)
{
    for (size_t i = 0; i < GROUPS; i++)
        if (!strcmp(groups[i]->name, name))
            return groups[i]->name;
    return NULL;
}

static void parse(struct options *o, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(a, "--help")) {
            usage(stdout);
            exit(0);
        } else if (!strcmp(a, "--list")) {
            for (size_t g = 0; g < GROUPS; g++)
                printf("%-12s %s\n", groups[g]->name, groups[g]->what);
            exit(0);
        } else if (!strcmp(a, "--quick")) {
            o->quick = true;
            continue;
        } else if (!strcmp(a, "--group") && value && known(value) && o->group_count < GROUPS) {
            o->group[o->group_count++] = known(value);
        } else if (!strcmp(a, "--passes") && value && atoi(value) > 0 && atoi(value) <= 1000) {
            o->passes = (unsigned)atoi(value);
        } else if (!strcmp(a, "--json") && value) {
            o->json = value;
        } else if (!strcmp(a, "--svg") && value) {
            o->svg = value;
        } else {
            fprintf(stderr, "bench: %s%s%s: not understood\n", a, value ? " " : "", value ? value : "");
            usage(stderr);
            exit(2);
        }
        i++;
    }
}

static bool wanted(const struct options *o, const char *name)
{
    for (size_t i = 0; i < o->group_count; i++)
        if (o->group[i] == name)
            return true;
    return o->group_count == 0;
}

static void write_file(const struct bench *b, const char *path, void (*write)(const struct bench *b, FILE *f))
{
    FILE *f = path ? fopen(path, "w") : NULL;
    if (!path)
        return;
    if (!f)
        bench_die(path);
    write(b, f);
    if (fclose(f))
        bench_die(path);
    printf("%s\n", path);
}

static void run_group(struct bench *b, const struct bench_group *g)
{
    uint64_t start = bench_now();
    b->report->group = g->name;
    printf("\n%s: %s\n", g->name, g->what);
    fflush(stdout);
    g->run(b);
    report_judge(b, g);
    empty(b->dir);
    printf("\n  (%s took %.1f s)\n", g->name, (double)(bench_now() - start) / 1e9);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct options o = {.passes = 0};
    struct bench_report r = {.group = NULL};
    const char *tmp = getenv("TMPDIR");
    parse(&o, argc, argv);
    char *dir = bench_text("%s/tierkit-bench.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(dir))
        bench_die(dir);
    report_machine(&r.machine);
    struct bench b = {.quick = o.quick, .dir = dir, .batch_ns = 2000000, .report = &r};
    b.passes = o.passes ? o.passes : o.quick ? 2 : 31;
    printf("%s, %ld cores, %ld MB, %s, %s; %u passes%s\n", r.machine.cpu, r.machine.cores,
           r.machine.memory_mb, r.machine.kernel, r.machine.date, b.passes,
           o.quick ? "; QUICK: the figures mean nothing" : "");
    for (size_t i = 0; i < GROUPS; i++)
        if (wanted(&o, groups[i]->name))
            run_group(&b, groups[i]);
    report_goals(&r);
    write_file(&b, o.json, report_json);
    write_file(&b, o.svg, report_svg);
    rmdir(dir);
    int status = r.wrong != 0;
    report_free(&r);
    free(dir);
    return status;
}
