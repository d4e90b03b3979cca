/* Where the includes of a file lead: each candidate is probed through the session, so that a header that
 * appears earlier on the search path is noticed as surely as one that goes away. */
#include "tools/tierlint/lint.h"
#include "tools/tierlint/links.h"

#include <string.h>

/* The search directories of one file: those of compile_commands.json, then those of the command line. */
typedef struct dirs {
    lint_buf text;
    lint_list start;
} dirs;

static void dirs_free(dirs *d)
{
    lint_buf_free(&d->text);
    lint_list_free(&d->start);
}

static const char *dirs_at(const dirs *d, size_t i)
{
    return d->text.data + d->start.at[i];
}

static void dirs_add(dirs *d, const char *dir)
{
    for (size_t i = 0; i < d->start.count; i++) {
        if (strcmp(dirs_at(d, i), dir) == 0) {
            return;
        }
    }
    lint_list_add(&d->start, (uint32_t)d->text.size);
    lint_buf_str(&d->text, dir);
}

static int dirs_of(tier_session *s, const lint *l, const char *path, dirs *d)
{
    if (l->compdb) {
        tier_value v;
        int rc = lint_get(s, l, LINT_TYPE_FLAGS, path, NULL, &v);
        if (rc && !lint_absent(rc)) {
            return rc;
        }
        if (rc == TIER_OK) {
            lint_reader r = lint_read(v.data, v.size);
            while (r.at < r.end) {
                dirs_add(d, lint_read_str(&r));
            }
        }
    }
    for (size_t i = 0; i < l->search_count; i++) {
        dirs_add(d, l->search[i]);
    }
    return d->text.failed || d->start.failed ? lint_nomem(s) : TIER_OK;
}

/* Is there a regular file at path? 1 yes, 0 no, or an error that ends the pass. */
static int probe(tier_session *s, const char *path)
{
    char kind;
    int rc = tier_stat(s, path, &kind);
    if (rc == TIER_OK) {
        return kind == 'f';
    }
    return lint_absent(rc) || rc == TIER_EIO || rc == TIER_EINVAL ? 0 : rc;
}

/* ".." is the system's to follow; where one stands in the way, the path that it leads to names the file, so
 * that two ways to one header are one node of the graph. */
static int canonical(tier_session *s, lint_buf *path)
{
    if (!strstr(path->data, "..")) {
        return TIER_OK;
    }
    tier_value v;
    int rc = tier_realpath(s, path->data, &v);
    if (rc == TIER_OK) {
        path->size = 0;
        lint_buf_add(path, v.data, v.size);
        lint_buf_add(path, "", 1);
        return tier_release(s, &v);
    }
    return lint_absent(rc) ? TIER_OK : rc;
}

static int try(tier_session *s, const char *dir, const char *name, lint_buf *found)
{
    found->size = 0;
    lint_join(found, dir, name);
    if (found->failed) {
        return lint_nomem(s);
    }
    int rc = probe(s, found->data);
    if (rc == 1) {
        rc = canonical(s, found);
        return rc ? rc : 1;
    }
    return rc;
}

/* The last resort: the directories above the file's own, nearest first. A library's headers name each other
 * from the library's top, which whoever uses it gives with -I. */
static int try_above(tier_session *s, const char *own, const char *name, lint_buf *found)
{
    lint_buf dir = {0};
    lint_buf_str(&dir, own);
    int rc = dir.failed ? lint_nomem(s) : 0;
    while (rc == 0 && lint_base_of(dir.data) != dir.data) {
        char *base = dir.data + (lint_base_of(dir.data) - dir.data);
        base -= base > dir.data + 1 && base[-1] == '/';
        if (!*base) {
            break;
        }
        *base = 0;
        rc = try(s, dir.data, name, found);
    }
    if (rc == 0 && *own && !strchr(own, ':') && *own != '/') {
        rc = try(s, "", name, found); /* the root itself */
    }
    lint_buf_free(&dir);
    return rc;
}

/* Asks where name lies along the search directories, from number first on. Its own computation, so that the
 * files that include <stdio.h> share the probes: one dependency each instead of one for each directory. */
static int search(tier_session *s, const lint *l, const dirs *d, size_t first, const char *name,
                  lint_buf *found)
{
    lint_buf args = {0};
    lint_buf_str(&args, name);
    for (size_t i = first; i < d->start.count; i++) {
        lint_buf_str(&args, dirs_at(d, i));
    }
    tier_value v;
    int rc = args.failed ? lint_nomem(s) : lint_get(s, l, LINT_TYPE_SEARCH, NULL, &args, &v);
    lint_buf_free(&args);
    if (rc) {
        return rc;
    }
    found->size = 0;
    lint_buf_add(found, v.data, v.size);
    int there = v.size > 0;
    rc = found->failed ? lint_nomem(s) : tier_release(s, &v);
    return rc ? rc : there;
}

/* args: a name, then directories, each with its 0. Gives the path of the first that has it, or nothing. */
int lint_build_search(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    (void)user;
    lint_buf found = {0};
    lint_reader r = lint_read(q->args, q->args_size);
    const char *name = lint_read_str(&r);
    int rc = 0;
    while (rc == 0 && r.at < r.end) {
        rc = try(s, lint_read_str(&r), name, &found);
    }
    if (rc == 1) {
        return lint_give(s, out, &found);
    }
    lint_buf_free(&found);
    return rc;
}

/* Leaves the path in found and returns 1, or returns 0, or an error. own: the directory of the file. */
static int resolve(tier_session *s, const lint *l, const dirs *d, const char *own, const char *name,
                   uint32_t flags, lint_buf *found)
{
    size_t first = 0;
    int rc = 0;
    if (name[0] == '/') {
        return try(s, "", name, found);
    }
    if (flags & OL_INC_NEXT) {
        while (first < d->start.count && strcmp(dirs_at(d, first), own) != 0) {
            first++;
        }
        first = first < d->start.count ? first + 1 : 0;
    } else if (!(flags & OL_INC_ANGLE)) {
        rc = try(s, own, name, found);
    }
    rc = rc ? rc : search(s, l, d, first, name, found);
    if (rc == 0 && !(flags & OL_INC_NEXT) && !lint_is_compilers(name)) {
        rc = try_above(s, own, name, found);
    }
    return rc;
}

/* For each include: its flags, and its path or "". */
int lint_build_links(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    const ol_outline *face;
    int rc = lint_get_outline(s, user, LINT_TYPE_FACE, q->path, &v, &face);
    if (rc || face->include_count == 0) {
        return rc;
    }
    dirs d = {0};
    lint_buf own = {0}, found = {0}, given = {0};
    lint_dir_of(q->path, &own);
    rc = own.failed ? lint_nomem(s) : dirs_of(s, user, q->path, &d);
    for (uint32_t i = 0; rc == TIER_OK && i < face->include_count; i++) {
        const ol_include *inc = &face->includes[i];
        int there = 0;
        if (!(inc->flags & OL_INC_COMPUTED)) {
            there = resolve(s, user, &d, own.data, ol_text(face, inc->name), inc->flags, &found);
        }
        rc = there < 0 ? there : TIER_OK;
        bool compilers = there != 1 && lint_is_compilers(ol_text(face, inc->name));
        lint_buf_u32(&given, inc->flags | (inc->cond == OL_NONE ? 0 : LINT_LINK_CONDITIONAL) |
                                 (compilers ? LINT_LINK_COMPILERS : 0));
        lint_buf_str(&given, there == 1 ? found.data : "");
    }
    if (rc == TIER_OK) {
        rc = lint_give(s, out, &given);
    }
    lint_buf_free(&given);
    lint_buf_free(&found);
    lint_buf_free(&own);
    dirs_free(&d);
    return rc;
}

bool lint_link_next(lint_reader *r, lint_link *link)
{
    if (r->at >= r->end) {
        return false;
    }
    link->flags = lint_read_u32(r);
    link->path = lint_read_str(r);
    return !r->bad;
}
