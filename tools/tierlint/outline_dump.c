/* An outline as text, one record a line. */
#include "tools/tierlint/outline.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct dump {
    const ol_outline *o;
    int (*sink)(void *user, const char *line, size_t size);
    void *user;
    int rc;
    size_t n;
    char line[2048]; /* longer lines are cut */
} dump;

__attribute__((format(printf, 2, 3))) static void add(dump *d, const char *format, ...)
{
    va_list args;
    size_t left = sizeof d->line - d->n;
    va_start(args, format);
    int n = vsnprintf(d->line + d->n, left, format, args);
    va_end(args);
    if (n > 0)
        d->n += (size_t)n < left ? (size_t)n : left - 1;
}

static void end(dump *d)
{
    if (d->n > sizeof d->line - 2)
        d->n = sizeof d->line - 2;
    d->line[d->n++] = '\n';
    if (!d->rc)
        d->rc = d->sink(d->user, d->line, d->n);
    d->n = 0;
}

static void place(dump *d, uint32_t start, uint32_t stop)
{
    if (d->o->form == OL_WHOLE) {
        ol_point a = ol_place(d->o, start), z = ol_place(d->o, stop);
        add(d, " %u:%u-%u:%u", a.line, a.column, z.line, z.column);
    } else if (d->o->form == OL_FRAGMENT) {
        add(d, " +%u-%u", start, stop);
    }
}

static void flags(dump *d, uint32_t value, const char *const *names, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (value & 1u << i)
            add(d, " %s", names[i]);
}
#define FLAGS(d, value, names) flags(d, value, names, sizeof(names) / sizeof *(names))

static void condition(dump *d, uint32_t cond)
{
    char text[600];
    if (cond == OL_NONE)
        return;
    ol_cond_text(d->o, cond, text, sizeof text);
    add(d, " if %s", text);
}

static void dump_file(dump *d)
{
    static const char *const forms[] = {"?", "file", "face", "fragment", "names"};
    static const char *const guards[] = {"missing", "macro", "once", "ineffective"};
    static const char *const whys[] = {
        "", " no-define", " other-name", " code-before", " code-after", " has-else", " undefined"};
    static const char *const names[] = {"empty",        "c++",          "using-namespace",
                                        "no-functions", "suppress-all", "private"};
    const ol_outline *o = d->o;
    add(d, "%s", forms[o->form <= OL_NAMES ? o->form : 0]);
    if (o->form == OL_WHOLE || o->form == OL_FACE) {
        add(d, " guard=%s%s %s", guards[o->guard <= OL_GUARD_INEFFECTIVE ? o->guard : 0],
            whys[o->guard_why <= OL_GUARD_UNDEFINED ? o->guard_why : 0], ol_text(o, o->guard_name));
    }
    FLAGS(d, o->flags, names);
    end(d);
}

static void dump_include(dump *d, const ol_include *in)
{
    static const char *const names[] = {"", "next", "computed", "keep", "export", "nested"};
    bool angle = in->flags & OL_INC_ANGLE, plain = in->flags & OL_INC_COMPUTED;
    add(d, "include %s%s%s",
        plain   ? ""
        : angle ? "<"
                : "\"",
        ol_text(d->o, in->name),
        plain   ? ""
        : angle ? ">"
                : "\"");
    place(d, in->start, in->end);
    FLAGS(d, in->flags & ~(uint32_t)OL_INC_ANGLE, names);
    condition(d, in->cond);
    end(d);
}

static void dump_use(dump *d, const ol_use *u)
{
    static const char *const names[] = {"call", "type",      "ident", "member",
                                        "cond", "qualified", "local", "tag"};
    add(d, "%suse %s", u->owner == OL_NONE ? "" : "  ", ol_text(d->o, u->name));
    if (d->o->form != OL_NAMES)
        add(d, " +%u x%u", u->at, u->count);
    FLAGS(d, u->kinds, names);
    end(d);
}

static void dump_decl(dump *d, const ol_decl *r)
{
    static const char *const names[] = {
        "definition",  "static",        "extern",    "inline",    "extern-c",      "template",
        "const",       "member",        "friend",    "virtual",   "special",       "live",
        "typedef-tag", "function-like", "anonymous", "old-style", "unknown-words", "uncertain",
        "deleted",     "thread",        "scoped",    "variadic"};
    add(d, "%s %s", ol_kind_name(r->kind), ol_text(d->o, r->name));
    if (r->ordinal)
        add(d, "#%u", r->ordinal);
    add(d, " '%s'", ol_text(d->o, r->sig));
    place(d, r->start, r->end);
    if (d->o->form == OL_WHOLE) {
        ol_point p = ol_place(d->o, r->name_at);
        add(d, " @%u:%u", p.line, p.column);
    }
    FLAGS(d, r->flags, names);
    condition(d, r->cond);
    end(d);
    for (uint32_t i = 0; i < r->use_count && !d->rc; i++)
        dump_use(d, &d->o->uses[r->use_first + i]);
}

int ol_dump(const ol_outline *o, int (*sink)(void *user, const char *line, size_t size), void *user)
{
    dump d = {.o = o, .sink = sink, .user = user};
    dump_file(&d);
    for (uint32_t i = 0; i < o->include_count && !d.rc; i++)
        dump_include(&d, &o->includes[i]);
    for (uint32_t i = 0; i < o->decl_count && !d.rc; i++)
        dump_decl(&d, &o->decls[i]);
    for (uint32_t i = 0; i < o->use_count && !d.rc; i++)
        if (o->uses[i].owner == OL_NONE)
            dump_use(&d, &o->uses[i]);
    for (uint32_t i = 0; i < o->suppress_count && !d.rc; i++) {
        add(&d, "ignore %s line %u", ol_text(o, o->suppressions[i].rule), o->suppressions[i].line);
        end(&d);
    }
    for (uint32_t i = 0; i < o->region_count && !d.rc; i++) {
        add(&d, "region %s", ol_why_name(o->regions[i].why));
        place(&d, o->regions[i].start, o->regions[i].end);
        end(&d);
    }
    return d.rc;
}
