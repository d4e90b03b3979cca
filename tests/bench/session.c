/* session.c - what a session costs where nothing, or one thing, changed: to begin, to find that 500 results
 * of 300 files each still hold, to tell who depends on a changed file. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "include/tierkit.h"
#include "tests/bench/bench.h"

enum { FILES = 1000, UNITS = 500, INCLUDES = 300, EVENT_FILES = 10000, EVENTS = 4000 };

struct project {
    tier_cache *c;
    const tier_type *unit, *report, *outline;
    uint32_t files, units, includes;
    int fd; /* of the root */
    double looks, builds;
};

/* ---- a project: unit u includes files that depend on u */
static void file_name(char *buf, uint32_t i)
{
    sprintf(buf, "inc/file%u.h", i);
}

static int build_unit(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    const struct project *p = user;
    uint32_t unit, sum = 0;
    memcpy(&unit, q->args, sizeof unit);
    for (uint32_t i = 0; i < p->includes; i++) {
        char name[32];
        tier_value v;
        file_name(name, (unit * 7 + i * (1 + unit % 3)) % p->files);
        int rc = tier_file(s, name, &v);
        if (rc)
            return rc;
        sum += v.hash.byte[0];
        tier_release(s, &v);
    }
    return tier_out_bytes(out, &sum, sizeof sum);
}

static int build_report(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    const struct project *p = user;
    (void)q;
    for (uint32_t i = 0; i < p->units; i++) {
        tier_value v;
        int rc = tier_get(s, &(tier_query){p->unit, NULL, &i, sizeof i}, &v);
        if (rc || (rc = tier_out_bytes(out, v.data, v.size)))
            return rc;
    }
    return 0;
}

static int build_outline(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    (void)user;
    int rc = tier_file(s, q->path, &v);
    return rc ? rc : tier_out_bytes(out, v.data, v.size);
}

static void write_file(const char *dir, uint32_t i)
{
    char *path = bench_text("%s/inc/file%u.h", dir, i);
    FILE *f = fopen(path, "w");
    if (!f || fprintf(f, "int declared_%u(void);\n", i) < 0 || fclose(f))
        bench_die(path);
    free(path);
}

static void project_open(struct bench *b, struct project *p, const char *watch)
{
    const char *settings[] = {watch, "verify.sample=0"};
    tier_root root = {"", b->dir};
    tier_options o = TIER_INIT(tier_options);
    tier_type_def d = TIER_INIT(tier_type_def);
    o.app = "bench";
    o.app_version = "1";
    o.dir = "";
    o.profile = "dev";
    o.roots = &root;
    o.root_count = 1;
    o.settings = settings;
    o.setting_count = 2;
    if (tier_open(&o, &p->c))
        bench_die("no cache");
    d.user = p;
    d.tier = TIER_TREE;
    d.name = "outline";
    d.build = build_outline;
    if (tier_define(p->c, &d, &p->outline))
        bench_die("no type");
    d.tier = TIER_DELTA;
    d.name = "unit";
    d.build = build_unit;
    if (tier_define(p->c, &d, &p->unit))
        bench_die("no type");
    d.name = "report";
    d.build = build_report;
    if (tier_define(p->c, &d, &p->report))
        bench_die("no type");
}

static void project_make(struct bench *b, struct project *p, uint32_t files, uint32_t units,
                         uint32_t includes)
{
    char *inc = bench_text("%s/inc", b->dir);
    *p = (struct project){.files = files, .units = units, .includes = includes};
    mkdir(inc, 0700);
    free(inc);
    for (uint32_t i = 0; i < files; i++)
        write_file(b->dir, i);
    nanosleep(&(struct timespec){0, 100000000}, NULL); /* stamps that are trusted: 20 ms old */
    if ((p->fd = open(b->dir, O_RDONLY | O_DIRECTORY)) < 0)
        bench_die(b->dir);
}

static void get(tier_session *s, const tier_type *type, uint32_t arg, uint64_t *sum)
{
    tier_value v;
    if (tier_get(s, &(tier_query){type, NULL, &arg, sizeof arg}, &v))
        bench_die(tier_detail(s));
    *sum += v.hash.byte[1];
    tier_release(s, &v);
}

/* ---- contenders; an operation is a path */
static uint64_t stat_each(void *self, const struct bench_batch *batch)
{
    struct project *p = self;
    uint64_t sum = 0;
    for (uint64_t n = 0; n < batch->count; n += p->files)
        for (uint32_t i = 0; i < p->files; i++) {
            char name[32];
            struct stat st;
            file_name(name, i);
            sum += fstatat(p->fd, name, &st, 0) == 0 ? (uint64_t)st.st_size : 0;
        }
    return sum;
}

static uint64_t get_units(void *self, const struct bench_batch *batch)
{
    struct project *p = self;
    uint64_t sum = 0;
    for (uint64_t n = 0; n < batch->count; n += p->files) {
        tier_session *s;
        if (tier_begin(p->c, NULL, &s))
            bench_die("no session");
        for (uint32_t i = 0; i < p->units; i++)
            get(s, p->unit, i, &sum);
        tier_end(&s);
    }
    return sum;
}

static uint64_t get_report(void *self, const struct bench_batch *batch)
{
    struct project *p = self;
    uint64_t sum = 0;
    for (uint64_t n = 0; n < batch->count; n += p->files) {
        tier_session *s;
        if (tier_begin(p->c, NULL, &s))
            bench_die("no session");
        get(s, p->report, 0, &sum);
        tier_end(&s);
    }
    return sum;
}

static uint64_t begin_end(void *self, const struct bench_batch *batch)
{
    struct project *p = self;
    uint64_t sum = 0;
    for (uint64_t n = 0; n < batch->count; n++) {
        tier_session *s;
        if (tier_begin(p->c, NULL, &s))
            bench_die("no session");
        sum += tier_session_id(s) != 0;
        tier_end(&s);
    }
    return sum;
}

static void note(void *user, const char *name, double value)
{
    struct project *p = user;
    if (strcmp(name, "file.look") == 0)
        p->looks = value;
    if (strcmp(name, "delta.built") == 0)
        p->builds = value;
}

/* ---- rows */
static void nothing_changed(struct bench *b)
{
    struct project p, watched;
    uint32_t files = b->quick ? 100 : FILES, units = b->quick ? 20 : UNITS,
             includes = b->quick ? 50 : INCLUDES;
    uint64_t sum = 0;
    project_make(b, &p, files, units, includes);
    watched = p;
    project_open(b, &p, "watch=off");
    project_open(b, &watched, "watch=on");
    struct bench_batch once = {.count = files};
    for (int i = 0; i < 2; i++)
        sum += get_report(&p, &once) + get_report(&watched, &once) + get_units(&p, &once) +
               get_units(&watched, &once);
    bench_keep(&sum);
    tier_stats(p.c, note, &p);
    double builds = p.builds;
    tier_stats(watched.c, note, &watched);
    double looks = watched.looks;
    struct bench_contender c[] = {
        {.name = "one fstatat a path", .self = &p, .run = stat_each, .count = files},
        {.name = "tierkit, a get a unit", .self = &p, .run = get_units, .count = files},
        {.name = "tierkit, one get above", .self = &p, .run = get_report, .count = files},
        {.name = "tierkit watched, a get a unit", .self = &watched, .run = get_units, .count = files},
        {.name = "tierkit watched, one get above", .self = &watched, .run = get_report, .count = files},
    };
    bench_race(
        b, &(struct bench_race){.row = "nothing changed, a path", .contender = c, .count = 5, .plot = true});
    tier_stats(p.c, note, &p);
    tier_stats(watched.c, note, &watched);
    if (p.builds > builds)
        bench_wrong(b, "something was built though nothing changed");
    bench_figure(b, &(struct bench_figure){"paths looked at while watched", "tierkit", "paths", NULL,
                                           watched.looks - looks, false});
    close(p.fd);
    tier_close(&p.c);
    tier_close(&watched.c);
}

static void session_begin(struct bench *b)
{
    struct project p = {0};
    project_open(b, &p, "watch=off");
    struct bench_contender c[] = {{.name = "tierkit", .self = &p, .run = begin_end}};
    bench_race(b, &(struct bench_race){.row = "begin and end, no news", .contender = c, .count = 1});
    bench_figure(b, &(struct bench_figure){"one microsecond", "ns", "ns", NULL, 1000, false});
    tier_close(&p.c);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* One event at a time: from the call that tells of a change until its dependents' events were taken. */
static void events(struct bench *b)
{
    struct project p;
    uint32_t files = b->quick ? 200 : EVENT_FILES, count = b->quick ? 50 : EVENTS;
    uint64_t *took = bench_alloc(count * sizeof *took), sum = 0;
    tier_stream_options o = TIER_INIT(tier_stream_options);
    tier_event e = TIER_INIT(tier_event);
    tier_stream *st;
    tier_session *s;
    project_make(b, &p, files, files / 100, 300 < files ? 300 : files);
    project_open(b, &p, "watch=off");
    o.kinds = TIER_INVALIDATED;
    o.capacity = 1 << 20;
    if (tier_stream_open(p.c, &o, &st) || tier_begin(p.c, NULL, &s))
        bench_die("no stream");
    for (uint32_t i = 0; i < p.units; i++)
        get(s, p.unit, i, &sum);
    tier_end(&s);
    for (uint32_t i = 0; i < count; i++) {
        char name[32], text[32];
        int n = sprintf(text, "%u", i);
        file_name(name, (uint32_t)((uint64_t)i * 7919 % files));
        uint64_t began = bench_now();
        if (tier_overlay(p.c, name, (int64_t)i + 1, text, (size_t)n))
            bench_die("no overlay");
        while (tier_stream_next(st, 0, &e) == 0)
            sum++;
        took[i] = bench_now() - began;
        if (i % 50 == 49) { /* what was struck is had again, and noted anew */
            if (tier_begin(p.c, NULL, &s))
                bench_die("no session");
            for (uint32_t k = 0; k < p.units; k += 10)
                get(s, p.unit, k, &sum);
            tier_end(&s);
        }
    }
    qsort(took, count, sizeof *took, by_value);
    bench_figure(b, &(struct bench_figure){"change to dependents told, 10k files", "median", "ns", NULL,
                                           (double)took[count / 2], false});
    bench_figure(b, &(struct bench_figure){"change to dependents told, 10k files", "p99", "ns", NULL,
                                           (double)took[count * 99 / 100], false});
    bench_figure(b, &(struct bench_figure){"one millisecond", "ns", "ns", NULL, 1e6, false});
    tier_stream_close(&st);
    close(p.fd);
    tier_close(&p.c);
    free(took);
}

static void run(struct bench *b)
{
    session_begin(b);
    nothing_changed(b);
    events(b);
}

static const struct bench_goal goals[] = {
    {"session begin under 1 us", "begin and end, no news", "tierkit", "one microsecond", "ns", '<', 1.0},
    {"nothing changed, a get a unit", "nothing changed, a path", "tierkit, a get a unit", NULL,
     "one fstatat a path", '<', 2.0},
    {"nothing changed, one get above", "nothing changed, a path", "tierkit, one get above", NULL,
     "one fstatat a path", '<', 2.0},
    {"change to dependents, p99", "change to dependents told, 10k files", "p99", "one millisecond", "ns", '<',
     1.0},
    {0},
};
const struct bench_group bench_session = {"session", "what a session costs where little changed", run, goals};
