/* Rendering, one file at a time, and the report: the one value that a run asks for. */
#include "tools/tierlint/lint.h"
#include "tools/tierlint/graph.h"

#include <stdlib.h>
#include <string.h>

/* ---- rendering -------------------------------------------------------------------------------------------
 */
static int by_place(const void *a, const void *b)
{
    const lint_issue *x = a, *y = b;
    if (x->line != y->line) {
        return x->line < y->line ? -1 : 1;
    }
    if (x->column != y->column) {
        return x->column < y->column ? -1 : 1;
    }
    if (x->rule != y->rule) {
        return x->rule < y->rule ? -1 : 1;
    }
    int order = strcmp(x->message, y->message);
    order = order ? order : strcmp(x->also_path, y->also_path);
    return order ? order : x->also_line < y->also_line ? -1 : x->also_line > y->also_line;
}

/* Places the finding's second anchor: in the file itself, or in another, whose outline is then read too. */
static int place_also(tier_session *s, const lint *l, const ol_outline *own, const lint_finding *f,
                      lint_issue *i)
{
    i->also_path = f->also.path;
    i->note = f->note;
    if (!f->also.path[0]) {
        return TIER_OK;
    }
    ol_point at = {1, 1};
    if (strcmp(f->also.path, f->at.path) == 0) {
        at = own ? lint_anchor_place(own, &f->also) : at;
    } else {
        tier_value v;
        const ol_outline *o;
        int rc = lint_get_outline(s, l, LINT_TYPE_OUTLINE, f->also.path, &v, &o);
        if (rc && !lint_absent(rc)) {
            return rc;
        }
        if (rc == TIER_OK) {
            at = lint_anchor_place(o, &f->also);
            tier_release(s, &v);
        }
    }
    i->also_line = at.line;
    i->also_column = at.column;
    return TIER_OK;
}

static bool silenced(const ol_outline *o, const lint_issue *i)
{
    return o && ((o->flags & OL_FILE_SUPPRESS_ALL) || ol_suppressed(o, i->line, lint_rule_at(i->rule)->name));
}

static int give_issues(tier_session *s, tier_out *out, lint_issue *issue, size_t count)
{
    int rc = TIER_OK;
    if (count) {
        qsort(issue, count, sizeof *issue, by_place);
    }
    for (size_t i = 0; rc == TIER_OK && i < count; i++) {
        if (i == 0 || by_place(&issue[i - 1], &issue[i]) != 0) {
            lint_buf b = {0};
            lint_issue_put(&b, &issue[i]);
            rc = lint_give_record(s, out, &b);
        }
    }
    return rc;
}

/* path: the file; args: its findings, symbolic. Reads the outlines of the files that they point into, and no
 * others: an edit that moves lines comes here, and nowhere else. */
int lint_build_render(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    const ol_outline *o;
    int rc = lint_get_outline(s, user, LINT_TYPE_OUTLINE, q->path, &v, &o);
    if (rc && !lint_absent(rc)) {
        return rc;
    }
    lint_issue *issue = NULL;
    size_t count = 0, room = 0;
    lint_reader r = lint_read(q->args, q->args_size);
    rc = TIER_OK;
    while (rc == TIER_OK && r.at < r.end) {
        lint_finding f;
        if (!lint_finding_get(&r, &f) || !lint_rule_at(f.rule)) {
            rc = tier_fail(s, TIER_EINVAL, "render: the arguments are no findings");
            break;
        }
        if (count == room) {
            room = room ? room * 2 : 16;
            lint_issue *grown = realloc(issue, room * sizeof *grown);
            if (!grown) {
                rc = lint_nomem(s);
                break;
            }
            issue = grown;
        }
        ol_point at = o ? lint_anchor_place(o, &f.at) : (ol_point){1, 1};
        issue[count] = (lint_issue){
            .rule = f.rule, .path = q->path, .message = f.message, .line = at.line, .column = at.column};
        rc = place_also(s, user, o, &f, &issue[count]);
        count += !silenced(o, &issue[count]);
    }
    rc = rc ? rc : give_issues(s, out, issue, count);
    free(issue);
    return rc;
}

/* ---- the report ------------------------------------------------------------------------------------------
 */
typedef struct slot { /* a finding: where its bytes stand */
    const char *path;
    size_t start, size, number;
} slot;

typedef struct report {
    tier_session *s;
    const lint *l;
    tier_out *out;
    const tier_query *q;
    lint_buf bytes; /* of all findings */
    slot *slots;    /* paths are set when all are there: bytes may move before */
    size_t count, room;
} report;

static bool add_finding(report *r, const void *data, size_t size)
{
    if (r->count == r->room) {
        size_t want = r->room ? r->room * 2 : 256;
        slot *grown = realloc(r->slots, want * sizeof *grown);
        if (!grown) {
            return false;
        }
        r->slots = grown;
        r->room = want;
    }
    r->slots[r->count] = (slot){.start = r->bytes.size, .size = size, .number = r->count};
    r->count++;
    lint_buf_add(&r->bytes, data, size);
    return !r->bytes.failed;
}

/* Adds the findings of a pass. */
static int collect(report *r, int type, const char *path, const lint_buf *args)
{
    tier_value v;
    int rc = lint_get(r->s, r->l, type, path, args, &v);
    if (rc) {
        return rc;
    }
    size_t cursor = 0, size;
    const void *data;
    while ((rc = tier_next(&v, &cursor, &data, &size)) == TIER_OK) {
        lint_reader in = lint_read(data, size);
        if (lint_read_u32(&in) == LINT_RECORD_FINDING && !add_finding(r, in.at, (size_t)(in.end - in.at))) {
            return lint_nomem(r->s);
        }
    }
    return rc == TIER_END ? tier_release(r->s, &v) : rc;
}

/* Files first, each with all that concerns it alone, while its outline is at hand. */
static int collect_files(report *r, const lint_buf *paths, lint_map *dirs)
{
    tier_value v;
    int rc = lint_get(r->s, r->l, LINT_TYPE_FILES, NULL, paths, &v);
    if (rc) {
        return rc;
    }
    lint_buf dir = {0};
    lint_reader files = lint_read(v.data, v.size);
    while (rc == TIER_OK && files.at < files.end) {
        const char *path = lint_read_str(&files);
        rc = collect(r, LINT_TYPE_LOCAL, path, NULL);
        dir.size = 0;
        lint_dir_of(path, &dir);
        if (!dir.failed) {
            lint_map_add(dirs, dir.data);
        }
    }
    rc = rc ? rc : dir.failed || dirs->failed ? lint_nomem(r->s) : tier_release(r->s, &v);
    lint_buf_free(&dir);
    return rc;
}

static int collect_directories(report *r, const lint_buf *paths, const lint_map *dirs)
{
    int rc = TIER_OK;
    lint_buf args = {0};
    for (uint32_t i = 0; rc == TIER_OK && i < dirs->start.count; i++) {
        args.size = 0;
        lint_buf_str(&args, lint_map_text(dirs, i));
        lint_buf_add(&args, paths->data, paths->size);
        rc = args.failed ? lint_nomem(r->s) : collect(r, LINT_TYPE_USAGE, NULL, &args);
    }
    lint_buf_free(&args);
    return rc;
}

static int by_path(const void *a, const void *b)
{
    const slot *x = a, *y = b;
    int order = strcmp(x->path, y->path);
    return order ? order : x->number < y->number ? -1 : x->number > y->number;
}

static int render_file(report *r, const slot *first, size_t count)
{
    lint_buf args = {0};
    for (size_t i = 0; i < count; i++) {
        lint_buf_add(&args, r->bytes.data + first[i].start, first[i].size);
    }
    tier_value v;
    int rc = args.failed ? lint_nomem(r->s) : lint_get(r->s, r->l, LINT_TYPE_RENDER, first->path, &args, &v);
    lint_buf_free(&args);
    size_t cursor = 0, size;
    const void *data;
    while (rc == TIER_OK && (rc = tier_next(&v, &cursor, &data, &size)) == TIER_OK) {
        rc = tier_out_record(r->out, data, size);
    }
    return rc == TIER_END ? tier_release(r->s, &v) : rc;
}

static int render_all(report *r)
{
    for (size_t i = 0; i < r->count; i++) {
        lint_reader in = lint_read(r->bytes.data + r->slots[i].start, r->slots[i].size);
        lint_finding f;
        r->slots[i].path = lint_finding_get(&in, &f) ? f.at.path : "";
    }
    if (r->count) {
        qsort(r->slots, r->count, sizeof *r->slots, by_path);
    }
    int rc = TIER_OK;
    for (size_t first = 0, next; rc == TIER_OK && first < r->count; first = next) {
        next = first + 1;
        while (next < r->count && strcmp(r->slots[next].path, r->slots[first].path) == 0) {
            next++;
        }
        rc = render_file(r, &r->slots[first], next - first);
    }
    return rc;
}

/* How many files were judged in part: a number of its own, so that other changes of the graph stop there.
 * Only where the graph is made anyway. */
static int give_partial(report *r, const lint_buf *paths)
{
    tier_value v;
    lint_buf b = {0};
    if (!(r->l->rules & (LINT_USAGE_RULES | LINT_PROGRAM_RULES))) {
        lint_buf_u32(&b, 0);
        return lint_give_record(r->s, r->out, &b);
    }
    int rc = lint_get(r->s, r->l, LINT_TYPE_PARTIAL, NULL, paths, &v);
    rc = rc ? rc : tier_out_record(r->out, v.data, v.size);
    return rc ? rc : tier_release(r->s, &v);
}

/* args: paths, sorted, each with its 0. Gives how many files were judged in part, then placed issues, as
 * records, by path, line, column, rule. */
int lint_build_report(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    report r = {.s = s, .l = user, .out = out, .q = q};
    lint_buf paths = {.data = (char *)q->args, .size = q->args_size};
    lint_map dirs = {0};
    int rc = collect_files(&r, &paths, &dirs);
    if (rc == TIER_OK && (r.l->rules & LINT_USAGE_RULES)) {
        rc = collect_directories(&r, &paths, &dirs);
    }
    if (rc == TIER_OK && (r.l->rules & LINT_PROGRAM_RULES)) {
        rc = collect(&r, LINT_TYPE_PROGRAM, NULL, &paths);
    }
    rc = rc ? rc : give_partial(&r, &paths);
    rc = rc ? rc : render_all(&r);
    lint_map_free(&dirs);
    lint_buf_free(&r.bytes);
    free(r.slots);
    return rc;
}
