/* What a report leaves out, said on stderr: paths without a file to check, named files of which nothing was
 * understood, files judged in part. The last are counted in the report, so they are told of every one; the
 * others when it is made, not when it is remembered: to ask for them walks results that a run where nothing
 * changed does not touch. A note changes neither the output nor the status; one that cannot be made is left
 * out. */
#include "tools/tierlint/cli.h"

#include <stdio.h>
#include <string.h>

static void say(const cli *c, const char *format, const char *key)
{
    lint_buf path = {0};
    cli_path(c, key, &path);
    if (!path.failed) {
        fprintf(stderr, "tierlint: note: ");
        fprintf(stderr, format, path.data ? path.data : "");
        fprintf(stderr, "\n");
    }
    lint_buf_free(&path);
}

/* Is path dir itself, or below it? Both are key paths; "." is the root's directory. */
static bool within(const char *path, const char *dir)
{
    size_t size = strlen(dir);
    if (strcmp(dir, ".") == 0) {
        return path[0] != '/' && !strchr(path, ':');
    }
    return strncmp(path, dir, size) == 0 &&
           (!path[size] || path[size] == '/' || dir[size - 1] == ':' || dir[size - 1] == '/');
}

/* A file with tokens, and neither a declaration nor an include nor a conditional among them. */
static void note_file(const cli *c, tier_session *s, const char *key)
{
    tier_value v;
    const ol_outline *o;
    if (lint_get_outline(s, &c->lint, LINT_TYPE_OUTLINE, key, &v, &o)) {
        return; /* the findings say so */
    }
    if (!(o->flags & OL_FILE_EMPTY) && o->decl_count + o->include_count + o->cond_count == 0) {
        say(c, "nothing in %s was understood as C or C++", key);
    }
    tier_release(s, &v);
}

static void note_paths(const cli *c, tier_session *s)
{
    tier_value v;
    if (lint_get(s, &c->lint, LINT_TYPE_FILES, NULL, &c->request, &v)) {
        return;
    }
    lint_reader given = lint_read(c->request.data, c->request.size);
    while (given.at < given.end) {
        const char *key = lint_read_str(&given);
        lint_reader files = lint_read(v.data, v.size);
        bool some = false, named = false;
        while (!some && files.at < files.end) {
            const char *path = lint_read_str(&files);
            some = within(path, key);
            named = some && strcmp(path, key) == 0;
        }
        if (!some) {
            say(c, "no C or C++ files below %s", key);
        } else if (named) {
            note_file(c, s, key);
        }
    }
    tier_release(s, &v);
}

/* A file that is no compilation database gives no directories, and looks as one that names none. */
static void note_compdb(cli *c, tier_session *s)
{
    tier_value v;
    int rc = c->compdb ? lint_get(s, &c->lint, LINT_TYPE_COMPDB, c->lint.compdb, NULL, &v) : TIER_OK;
    bool bad = rc && rc != TIER_ECANCELED;
    if (bad && !c->compdb_bad) {
        fprintf(stderr, "tierlint: warning: -p %s: %s\n", c->compdb, tier_detail(s));
    }
    c->compdb_bad = bad;
}

void cli_notes(cli *c, tier_session *s, const tier_value *report, size_t count, bool first)
{
    if (first && report->from == TIER_BUILT) {
        note_paths(c, s);
    }
    note_compdb(c, s);
    /* Only what the graph is made for anyway is silenced; with --no-system it is meant to be so. */
    if (c->no_system || !(c->rules & (LINT_USAGE_RULES | LINT_PROGRAM_RULES)) ||
        (c->rules & LINT_BIT(UNRESOLVED))) {
        return;
    }
    if (count && count != c->partial) {
        fprintf(stderr,
                "tierlint: note: %zu file%s headers that were not found and %s judged in part; "
                "--enable=unresolved-include lists them, -I adds directories\n",
                count, count == 1 ? " includes" : "s include", count == 1 ? "was" : "were");
    }
    c->partial = count;
}
