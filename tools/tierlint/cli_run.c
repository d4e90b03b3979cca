/* A run: one session, one request, its output. And a watch: the same again whenever something changed. */
#include "tools/tierlint/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the report ------------------------------------------------------------------------------------------
 */
static int trouble(const cli *c, const tier_session *s, int rc)
{
    if (rc == TIER_ECANCELED && c->interrupted) {
        return CLI_INTERRUPTED;
    }
    fprintf(stderr, "tierlint: %s: %s\n", tier_strerror(rc), s ? tier_detail(s) : "");
    return CLI_TROUBLE;
}

/* An interrupt that came before the session had a number is honoured here. */
static int begin(cli *c, tier_session **s)
{
    int rc = tier_begin(c->cache, NULL, s);
    if (rc == TIER_OK) {
        c->session = tier_session_id(*s);
        if (c->interrupted) {
            tier_cancel(c->cache, c->session);
        }
    }
    return rc;
}

void cli_end(cli *c, tier_session **s)
{
    c->session = 0;
    int rc = tier_end(s); /* TIER_ECHANGED: what was said is true of the moment when it was looked at */
    if (rc && rc != TIER_ECHANGED) {
        fprintf(stderr, "tierlint: ending the session: %s\n", tier_strerror(rc));
    }
}

/* Where nothing changed this is one request, which compares the leaves with the disk. Only when that has no
 * answer and there are threads to use is there work to hand out. */
int cli_report(cli *c, tier_session **s, tier_value *report)
{
    int rc = begin(c, s);
    if (rc) {
        return trouble(c, NULL, rc);
    }
    tier_query q = {
        .type = c->lint.type[LINT_TYPE_REPORT], .args = c->request.data, .args_size = c->request.size};
    rc = c->jobs > 1 ? tier_peek(*s, &q, report) : TIER_EABSENT;
    if (rc == TIER_EABSENT) {
        rc = c->jobs > 1 ? cli_ahead(c, *s, c->jobs) : TIER_OK;
        rc = rc ? rc : tier_get(*s, &q, report);
    }
    if (rc) {
        int status = trouble(c, *s, rc);
        cli_end(c, s);
        return status;
    }
    return CLI_CLEAN;
}

int cli_run(cli *c)
{
    tier_session *s;
    tier_value report;
    cli_issues issues = {0};
    int status = cli_report(c, &s, &report);
    if (status) {
        return status;
    }
    if (!cli_issues_read(c, &report, &issues)) {
        fprintf(stderr, "tierlint: the report could not be read\n");
        status = CLI_TROUBLE;
    } else if (c->write_baseline) {
        status = cli_baseline_write(c, &issues) ? CLI_CLEAN : CLI_TROUBLE;
    } else {
        lint_buf b = {0};
        cli_format(c, &issues, &b);
        status = !cli_write(&b) ? CLI_TROUBLE : issues.count ? CLI_FINDINGS : CLI_CLEAN;
        cli_notes(c, s, &report, issues.partial, true);
    }
    free(issues.at);
    cli_end(c, &s);
    return status;
}

/* ---- statistics ------------------------------------------------------------------------------------------
 */
static void print_stat(void *user, const char *name, double value)
{
    (void)user;
    fprintf(stderr, "%-40s %.15g\n", name, value);
}

/* What a reader looks for first; the counters below say more, one a line, for scripts. */
typedef struct summary {
    double read, outlines, judged, rendered;
    double used[3], budget[3],
        more[3]; /* of the tiers: by this run; misses that twice the budget would serve */
} summary;

static const char *const tiers[] = {"file", "tree", "delta"};

static void sum_memory(summary *sum, const char *name, double value)
{
    for (int t = 0; t < 3; t++) {
        size_t n = strlen(tiers[t]);
        if (strncmp(name, "memory.", 7) != 0 || strncmp(name + 7, tiers[t], n) != 0)
            continue;
        if (strcmp(name + 7 + n, ".session_bytes") == 0)
            sum->used[t] = value;
        else if (strcmp(name + 7 + n, ".budget") == 0)
            sum->budget[t] = value;
        else if (strcmp(name + 7 + n, ".more_100") == 0)
            sum->more[t] = value;
    }
}

static void sum_stat(void *user, const char *name, double value)
{
    summary *sum = user;
    if (strcmp(name, "file.read") == 0) {
        sum->read = value;
    } else if (strcmp(name, "type.outline.built") == 0) {
        sum->outlines = value;
    } else if (strcmp(name, "type.judge.built") == 0) {
        sum->judged = value;
    } else if (strcmp(name, "type.render.built") == 0) {
        sum->rendered = value;
    } else {
        sum_memory(sum, name, value);
    }
}

void cli_stats(const cli *c)
{
    summary sum = {0};
    tier_stats(c->cache, sum_stat, &sum);
    fprintf(stderr, "this run: files read %.0f, parsed %.0f; functions judged %.0f; files rendered %.0f\n\n",
            sum.read, sum.outlines, sum.judged, sum.rendered);
    for (int t = 0; t < 3; t++) {
        if (sum.used[t] > sum.budget[t]) {
            fprintf(
                stderr,
                "hint: one run needs %.0f KiB of the %s tier, its budget (memory.%s) is %.0f KiB: too small "
                "for one scan; twice that would have served %.0f misses\n",
                sum.used[t] / 1024, tiers[t], tiers[t], sum.budget[t] / 1024, sum.more[t]);
        }
    }
    tier_stats(c->cache, print_stat, NULL);
}

/* ---- watching --------------------------------------------------------------------------------------------
 */
/* The report's lines, each with its 0. */
static bool read_lines(cli *c, const tier_value *report, lint_buf *lines, size_t *count, size_t *partial)
{
    cli_issues issues;
    bool fine = cli_issues_read(c, report, &issues);
    lines->size = 0;
    for (size_t i = 0; fine && i < issues.count; i++) {
        cli_text_line(c, &issues.at[i], lines);
        lint_buf_add(lines, "", 1);
    }
    *count = issues.count;
    *partial = issues.partial;
    free(issues.at);
    return fine && !lines->failed;
}

/* Puts the lines that are in from and, counted, not in other. */
static void put_missing(lint_buf *b, const char *mark, const lint_buf *from, const lint_buf *other)
{
    lint_map known = {0};
    lint_list left = {0};
    for (const char *p = other->data; p && p < other->data + other->size; p += strlen(p) + 1) {
        uint32_t i = lint_map_add(&known, p);
        if (i == left.count) {
            lint_list_add(&left, 0);
        }
        if (i != LINT_NONE && !left.failed) {
            left.at[i]++;
        }
    }
    b->failed |= known.failed || left.failed;
    for (const char *p = from->data; p && p < from->data + from->size && !b->failed; p += strlen(p) + 1) {
        uint32_t i = lint_map_find(&known, p);
        if (i != LINT_NONE && left.at[i]) {
            left.at[i]--;
        } else {
            lint_buf_printf(b, "%s%s\n", mark, p);
        }
    }
    lint_map_free(&known);
    lint_list_free(&left);
}

/* One report of a watch: the whole of it, or what differs from the last. Its last line says that it is over.
 */
static int watch_once(cli *c, lint_buf *last, bool first)
{
    tier_session *s;
    tier_value report;
    lint_buf now = {0}, b = {0};
    size_t count, partial;
    int status = cli_report(c, &s, &report);
    if (status) {
        return status;
    }
    if (!read_lines(c, &report, &now, &count, &partial)) {
        fprintf(stderr, "tierlint: the report could not be read\n");
        status = CLI_TROUBLE;
    } else {
        if (first || c->full) {
            lint_buf none = {0};
            put_missing(&b, "", &now, &none);
        } else {
            put_missing(&b, "- ", last, &now);
            put_missing(&b, "+ ", &now, last);
        }
        if (first || c->full || b.size) {
            lint_buf_printf(&b, "-- %zu finding%s\n", count, count == 1 ? "" : "s");
        }
        status = cli_write(&b) ? CLI_CLEAN : CLI_TROUBLE;
        cli_notes(c, s, &report, partial, first);
        lint_buf old = *last;
        *last = now;
        now = old;
    }
    lint_buf_free(&now);
    cli_end(c, &s);
    return status;
}

/* Waits for a change: 1, or 0 when interrupted, or an error. Changes that come together are one. */
static int wait_change(cli *c, tier_stream *st)
{
    enum { TICK_MS = 200, SETTLE_MS = 10 }; /* looks for an interrupt; an editor's save is several events */
    tier_event e = TIER_INIT(tier_event);
    int rc = TIER_ETIMEOUT;
    while (rc == TIER_ETIMEOUT && !c->interrupted) {
        rc = tier_stream_next(st, TICK_MS, &e);
    }
    if (rc == TIER_ETIMEOUT) {
        return 0;
    }
    while (rc == TIER_OK && !c->interrupted) {
        rc = tier_stream_next(st, SETTLE_MS, &e);
    }
    return rc == TIER_OK || rc == TIER_ETIMEOUT ? 1 : rc;
}

int cli_watch(cli *c)
{
    tier_stream_options o = TIER_INIT(tier_stream_options);
    o.kinds = TIER_CHANGED;
    o.policy = TIER_COALESCE;
    tier_stream *st;
    int rc = tier_stream_open(c->cache, &o, &st);
    if (rc) {
        return trouble(c, NULL, rc);
    }
    lint_buf last = {0};
    int status = watch_once(c, &last, true);
    while (status == CLI_CLEAN && (rc = wait_change(c, st)) == 1) {
        status = watch_once(c, &last, false);
    }
    if (status == CLI_CLEAN) {
        status = rc < 0 ? trouble(c, NULL, rc) : CLI_INTERRUPTED;
    }
    lint_buf_free(&last);
    tier_stream_close(&st);
    return status;
}
