/* What one file shows by itself, and what one function does. */
#include "tools/tierlint/lint.h"
#include "tools/tierlint/links.h"

#include <stdlib.h>
#include <string.h>

/* ---- one function ----------------------------------------------------------------------------------------
 */
/* args: name#ordinal. Reads the fragment alone, so an edit in another function leaves it alone. Gives its
 * findings, and one record of the names it needs. */
int lint_build_judge(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    lint_buf args = {.data = (char *)q->args, .size = q->args_size}, need = {0};
    tier_value v;
    int rc = lint_get(s, user, LINT_TYPE_FRAGMENT, q->path, &args, &v);
    if (rc) {
        return rc;
    }
    const ol_outline *o = v.object;
    const ol_decl *d = &o->decls[o->decl_count - 1];
    if ((d->flags & OL_KNR) && !(o->why & ~(uint32_t)OL_WHY_KNR)) {
        lint_buf message = {0};
        lint_buf_printf(&message, "'%s' is defined without parameter types", ol_text(o, d->name));
        lint_finding f = {.rule = LINT_OLD_STYLE,
                          .at = {q->path, LINT_AT_DECL, ol_text(o, d->name), d->ordinal, LINT_NONE},
                          .message = message.failed ? "" : message.data};
        rc = message.failed ? lint_nomem(s) : lint_give_finding(s, out, &f);
        lint_buf_free(&message);
    }
    lint_buf_u32(&need, LINT_RECORD_NEED);
    for (uint32_t i = 0; i < o->use_count; i++) {
        if (o->uses[i].kinds != OL_USE_MEMBER) {
            lint_buf_str(&need, ol_text(o, o->uses[i].name));
        }
    }
    if (rc == TIER_OK) {
        return lint_give_record(s, out, &need);
    }
    lint_buf_free(&need);
    return rc;
}

/* ---- one file --------------------------------------------------------------------------------------------
 */
typedef struct local {
    tier_session *s;
    const lint *l;
    tier_out *out;
    const char *path;
    const ol_outline *face;
    lint_buf message; /* of the finding under way */
    /* Functions defined here, in order, and the names that each needs. */
    lint_list functions, need, need_first;
    lint_map names;
} local;

static bool on(const local *c, uint32_t rule)
{
    return c->l->rules >> rule & 1;
}

static int say(local *c, uint32_t rule, lint_anchor at, lint_anchor also, const char *note)
{
    if (c->message.failed) {
        return lint_nomem(c->s);
    }
    at.path = c->path;
    lint_finding f = {.rule = rule, .at = at, .also = also, .message = c->message.data, .note = note};
    int rc = lint_give_finding(c->s, c->out, &f);
    c->message.size = 0;
    return rc;
}

static int unreadable(local *c, const char *why)
{
    if (!on(c, LINT_UNREADABLE)) {
        return TIER_OK;
    }
    lint_buf_printf(&c->message, "not read: %s", why);
    return say(c, LINT_UNREADABLE, (lint_anchor){.kind = LINT_AT_FILE}, (lint_anchor){0}, "");
}

/* A second inclusion would define these twice. */
static bool defines_once(const ol_decl *d)
{
    if (!(d->flags & OL_DEFINITION) || (d->flags & OL_UNCERTAIN) || d->cond != OL_NONE || !d->base) {
        return false;
    }
    return d->kind == OL_STRUCT || d->kind == OL_UNION || d->kind == OL_ENUM || d->kind == OL_CLASS ||
           (d->kind == OL_FUNCTION && !(d->flags & OL_MEMBER));
}

/* What is no interface but a piece of a source file: it holds plain functions, or takes macros from whoever
 * includes it and undefines them. */
static bool piece_of_source(const ol_decl *d)
{
    const uint32_t header = OL_INLINE | OL_MEMBER | OL_TEMPLATE;
    return d->kind == OL_UNDEF ||
           (d->kind == OL_FUNCTION && (d->flags & OL_DEFINITION) && !(d->flags & header));
}

/* Headers of a header: those that include them see to it that it happens once. */
static bool private_path(const char *path)
{
    static const char *const known[] = {"bits", "detail", "impl", "internal", "private"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t size = strlen(known[i]);
        for (const char *p = strstr(path, known[i]); p; p = strstr(p + 1, known[i])) {
            bool begins = p == path || p[-1] == '/' || p[-1] == '-' || p[-1] == ':';
            if (begins && p[size] == '/') {
                return true;
            }
        }
    }
    return false;
}

static int check_guard(local *c)
{
    const ol_outline *f = c->face;
    if (f->guard == OL_GUARD_INEFFECTIVE && on(c, LINT_BAD_GUARD) &&
        (f->guard_why == OL_GUARD_NO_DEFINE || f->guard_why == OL_GUARD_OTHER_NAME)) {
        lint_buf_printf(&c->message,
                        f->guard_why == OL_GUARD_NO_DEFINE
                            ? "the guard '%s' is never defined"
                            : "the guard '%s' is not the macro defined behind it",
                        ol_text(f, f->guard_name));
        return say(c, LINT_BAD_GUARD, (lint_anchor){.kind = LINT_AT_GUARD}, (lint_anchor){0}, "");
    }
    if (f->guard != OL_GUARD_MISSING || !on(c, LINT_NO_GUARD) || f->why || (f->flags & OL_FILE_PRIVATE) ||
        private_path(c->path)) {
        return TIER_OK;
    }
    const ol_decl *once = NULL;
    for (uint32_t i = 0; i < f->decl_count; i++) {
        if (piece_of_source(&f->decls[i])) {
            return TIER_OK;
        }
        if (!once && defines_once(&f->decls[i])) {
            once = &f->decls[i];
        }
    }
    if (!once) {
        return TIER_OK;
    }
    lint_buf_printf(&c->message, "no include guard, but it defines %s '%s'", ol_kind_name(once->kind),
                    ol_text(f, once->name));
    return say(c, LINT_NO_GUARD, (lint_anchor){.kind = LINT_AT_FILE},
               (lint_anchor){c->path, LINT_AT_DECL, ol_text(f, once->name), once->ordinal, LINT_NONE},
               "defined here");
}

/* ---- includes --------------------------------------------------------------------------------------------
 */
/* 1: a second inclusion of path does nothing; 0: it may be meant. */
static int guarded(local *c, const char *path)
{
    tier_value v;
    const ol_outline *face;
    int rc = lint_get_outline(c->s, c->l, LINT_TYPE_FACE, path, &v, &face);
    if (rc) {
        return lint_absent(rc) ? 0 : rc;
    }
    int yes = face->guard == OL_GUARD_MACRO || face->guard == OL_GUARD_ONCE;
    rc = tier_release(c->s, &v);
    return rc ? rc : yes;
}

static int check_include(local *c, uint32_t i, const lint_link *link, lint_map *seen, lint_list *first)
{
    const char *name = ol_text(c->face, c->face->includes[i].name);
    lint_anchor at = {.kind = LINT_AT_INCLUDE, .ordinal = i};
    if (link->flags & LINT_LINK_DOUBTFUL) {
        return TIER_OK;
    }
    if (!link->path[0]) {
        if (!on(c, LINT_UNRESOLVED) || (link->flags & LINT_LINK_COMPILERS)) {
            return TIER_OK;
        }
        lint_buf_printf(&c->message, "'%s' was not found", name);
        return say(c, LINT_UNRESOLVED, at, (lint_anchor){0}, "");
    }
    uint32_t known = lint_map_add(seen, link->path);
    if (known == LINT_NONE) {
        return lint_nomem(c->s);
    }
    if (known == first->count) {
        lint_list_add(first, i);
        return first->failed ? lint_nomem(c->s) : TIER_OK;
    }
    int rc = on(c, LINT_DUPLICATE_INCLUDE) ? guarded(c, link->path) : 0;
    if (rc != 1) {
        return rc;
    }
    lint_buf_printf(&c->message, "'%s' is included twice", name);
    return say(c, LINT_DUPLICATE_INCLUDE, at,
               (lint_anchor){.path = c->path, .kind = LINT_AT_INCLUDE, .ordinal = first->at[known]},
               "first here");
}

static int check_includes(local *c)
{
    tier_value v;
    int rc = lint_get(c->s, c->l, LINT_TYPE_LINKS, c->path, NULL, &v);
    if (rc) {
        return rc;
    }
    lint_map seen = {0};
    lint_list first = {0};
    lint_reader r = lint_read(v.data, v.size);
    lint_link link;
    for (uint32_t i = 0; rc == TIER_OK && i < c->face->include_count && lint_link_next(&r, &link); i++) {
        rc = check_include(c, i, &link, &seen, &first);
    }
    lint_map_free(&seen);
    lint_list_free(&first);
    return rc ? rc : tier_release(c->s, &v);
}

/* ---- functions -------------------------------------------------------------------------------------------
 */
static int take_judgement(local *c, const tier_value *v)
{
    size_t cursor = 0, size;
    const void *data;
    int rc;
    while ((rc = tier_next(v, &cursor, &data, &size)) == TIER_OK) {
        lint_reader r = lint_read(data, size);
        lint_finding f;
        uint32_t tag = lint_read_u32(&r);
        if (tag == LINT_RECORD_FINDING && lint_finding_get(&r, &f) && on(c, f.rule)) {
            rc = lint_give_finding(c->s, c->out, &f);
        }
        while (tag == LINT_RECORD_NEED && r.at < r.end) {
            lint_list_add(&c->need, lint_map_add(&c->names, lint_read_str(&r)));
        }
        if (rc) {
            return rc;
        }
    }
    return rc == TIER_END ? TIER_OK : rc;
}

/* Functions of C++ headers are not judged: no rule asks, and a library's headers hold them by the ten
 * thousand (37,000 below /usr/include). */
static bool judged(const local *c)
{
    bool cxx = lint_is_cxx(c->path) || (c->face->flags & OL_FILE_CXX);
    return lint_is_source(c->path) || !cxx;
}

static int judge_functions(local *c)
{
    lint_buf args = {0};
    int rc = TIER_OK;
    for (uint32_t i = 0; judged(c) && rc == TIER_OK && i < c->face->decl_count; i++) {
        const ol_decl *d = &c->face->decls[i];
        if (d->kind != OL_FUNCTION || !(d->flags & OL_DEFINITION)) {
            continue;
        }
        args.size = 0;
        lint_buf_printf(&args, "%s#%u", ol_text(c->face, d->name), (unsigned)d->ordinal);
        tier_value v;
        rc = args.failed ? lint_nomem(c->s) : lint_get(c->s, c->l, LINT_TYPE_JUDGE, c->path, &args, &v);
        if (rc == TIER_OK) {
            lint_list_add(&c->functions, i);
            lint_map_add(&c->names, ol_text(c->face, d->base));
            lint_list_add(&c->need_first, (uint32_t)c->need.count);
            rc = take_judgement(c, &v);
            tier_release(c->s, &v);
        }
        rc = lint_absent(rc) ? TIER_OK : rc;
    }
    lint_buf_free(&args);
    lint_list_add(&c->need_first, (uint32_t)c->need.count);
    return rc ? rc
           : c->need.failed || c->functions.failed || c->need_first.failed || c->names.failed
               ? lint_nomem(c->s)
               : TIER_OK;
}

static bool may_be_unused(const ol_decl *d)
{
    const uint32_t never = OL_INLINE | OL_LIVE | OL_UNCERTAIN | OL_UNKNOWN_WORDS | OL_MEMBER | OL_TEMPLATE |
                           OL_SPECIAL | OL_FRIEND | OL_KNR;
    return (d->flags & OL_STATIC) && !(d->flags & never);
}

/* Liveness: a function lives if its name is used outside of functions, or in one that lives. outside: by
 * name's number, whether; the names that living functions need join it. live: one for each function; queue:
 * two. */
static void spread(const local *c, uint32_t *outside, unsigned char *live, uint32_t *queue)
{
    uint32_t count = (uint32_t)c->functions.count, head = 0, tail = 0;
    uint32_t *name = queue + count;
    for (uint32_t i = 0; i < count; i++) {
        const ol_decl *d = &c->face->decls[c->functions.at[i]];
        name[i] = lint_map_find(&c->names, ol_text(c->face, d->base));
        if (!may_be_unused(d) || (name[i] != LINT_NONE && outside[name[i]])) {
            live[i] = 1;
            queue[tail++] = i;
        }
    }
    while (head < tail) {
        uint32_t f = queue[head++];
        for (uint32_t n = c->need_first.at[f]; n < c->need_first.at[f + 1]; n++) {
            outside[c->need.at[n]] = 1;
        }
        for (uint32_t i = 0; i < count; i++) {
            if (!live[i] && name[i] != LINT_NONE && outside[name[i]]) {
                live[i] = 1;
                queue[tail++] = i;
            }
        }
    }
}

static int note_outside(local *c, uint32_t *outside)
{
    tier_value v;
    int rc = lint_get(c->s, c->l, LINT_TYPE_OUTER, c->path, NULL, &v);
    if (rc) {
        return rc;
    }
    lint_reader r = lint_read(v.data, v.size);
    while (r.at < r.end) {
        uint32_t name = lint_map_find(&c->names, lint_read_str(&r));
        if (name != LINT_NONE) {
            outside[name] = 1;
        }
    }
    return tier_release(c->s, &v);
}

/* Static functions that nothing in the file reaches. The file's includes may: usage looks at those. */
static int unused_statics(local *c)
{
    const uint32_t structure = ~(uint32_t)(OL_WHY_KNR | OL_WHY_MACRO);
    bool any = false;
    for (uint32_t i = 0; i < c->functions.count; i++) {
        any |= may_be_unused(&c->face->decls[c->functions.at[i]]);
    }
    if (!any || !on(c, LINT_UNUSED_STATIC) || !lint_is_source(c->path) || (c->face->why & structure)) {
        return TIER_OK;
    }
    uint32_t *outside = calloc(c->names.start.count + 1, sizeof *outside),
             *queue = malloc((c->functions.count + 1) * 2 * sizeof *queue);
    unsigned char *live = calloc(c->functions.count + 1, 1);
    int rc = outside && queue && live ? note_outside(c, outside) : lint_nomem(c->s);
    if (rc == TIER_OK) {
        spread(c, outside, live, queue);
    }
    for (uint32_t i = 0; rc == TIER_OK && i < c->functions.count; i++) {
        const ol_decl *d = &c->face->decls[c->functions.at[i]];
        if (!live[i]) {
            lint_buf b = {0};
            lint_buf_u32(&b, LINT_RECORD_STATIC);
            lint_buf_str(&b, ol_text(c->face, d->name));
            lint_buf_u32(&b, d->ordinal);
            rc = lint_give_record(c->s, c->out, &b);
        }
    }
    free(outside);
    free(queue);
    free(live);
    return rc;
}

int lint_build_local(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    local c = {.s = s, .l = user, .out = out, .path = q->path};
    tier_value v;
    int rc = lint_get_outline(s, user, LINT_TYPE_FACE, q->path, &v, &c.face);
    if (rc) {
        rc = lint_absent(rc) ? unreadable(&c, tier_strerror(rc)) : rc;
    } else if (c.face->why & OL_WHY_BINARY) {
        rc = unreadable(&c, "the file is not text");
    } else {
        rc = lint_is_header(q->path) ? check_guard(&c) : TIER_OK;
        rc = rc ? rc : check_includes(&c);
        rc = rc ? rc : judge_functions(&c);
        rc = rc ? rc : unused_statics(&c);
    }
    lint_buf_free(&c.message);
    lint_list_free(&c.functions);
    lint_list_free(&c.need);
    lint_list_free(&c.need_first);
    lint_map_free(&c.names);
    return rc;
}
