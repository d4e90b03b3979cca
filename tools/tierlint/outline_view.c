/* Projections of an outline, and its conditions as text. */
#include "tools/tierlint/outline_int.h"

#include <stdlib.h>
#include <string.h>

/* Copies of the arrays that a projection changes. */
typedef struct view {
    const ol_outline *o;
    ol_include *includes;
    ol_cond *conds;
    ol_decl *decls;
    ol_use *uses;
    ol_region *regions;
    uint32_t *cond_map; /* old -> new, OL_NONE: left out */
    uint32_t include_count, cond_count, decl_count, use_count, region_count;
} view;

static bool view_init(view *v, const ol_outline *o)
{
    *v = (view){.o = o};
    v->includes = calloc((size_t)o->include_count + 1, sizeof *v->includes);
    v->conds = calloc((size_t)o->cond_count + 1, sizeof *v->conds);
    v->decls = calloc((size_t)o->decl_count + 1, sizeof *v->decls);
    v->uses = calloc((size_t)o->use_count + 1, sizeof *v->uses);
    v->regions = calloc((size_t)o->region_count + 1, sizeof *v->regions);
    v->cond_map = calloc((size_t)o->cond_count + 1, 4);
    return v->includes && v->conds && v->decls && v->uses && v->regions && v->cond_map;
}

static void view_fini(view *v)
{
    free(v->includes);
    free(v->conds);
    free(v->decls);
    free(v->uses);
    free(v->regions);
    free(v->cond_map);
}

static int view_pack(view *v, ol_outline head, ol_outline **out)
{
    ol_draft d = {.o = head, .texts = v->o->text, .ids = v->o->text_size};
    d.o.includes = v->includes;
    d.o.conds = v->conds;
    d.o.decls = v->decls;
    d.o.uses = v->uses;
    d.o.regions = v->regions;
    d.o.include_count = v->include_count;
    d.o.cond_count = v->cond_count;
    d.o.decl_count = v->decl_count;
    d.o.use_count = v->use_count;
    d.o.region_count = v->region_count;
    return ol__pack(&d, out);
}

static void want_cond(view *v, uint32_t c)
{
    if (c != OL_NONE)
        v->cond_map[c] = 1;
}

/* Keeps the wanted branches, those around them and those before them, without positions. */
static void keep_conds(view *v)
{
    const ol_outline *o = v->o;
    for (uint32_t i = o->cond_count; i-- > 0;) {
        if (!v->cond_map[i])
            continue;
        want_cond(v, o->conds[i].parent);
        want_cond(v, o->conds[i].prev);
    }
    for (uint32_t i = 0; i < o->cond_count; i++) {
        if (!v->cond_map[i]) {
            v->cond_map[i] = OL_NONE;
            continue;
        }
        v->cond_map[i] = v->cond_count;
        ol_cond *c = &v->conds[v->cond_count++];
        *c = o->conds[i];
        c->start = c->end = 0;
        if (c->parent != OL_NONE)
            c->parent = v->cond_map[c->parent];
        if (c->prev != OL_NONE)
            c->prev = v->cond_map[c->prev];
    }
}

static uint32_t mapped(const view *v, uint32_t c)
{
    return c == OL_NONE ? c : v->cond_map[c];
}

/* The why bits of regions outside functions' bodies: what is in them is no other file's business. */
static uint32_t why_outside(const ol_outline *o, uint32_t *functions)
{
    uint32_t n = 0, why = 0;
    for (uint32_t i = 0; i < o->decl_count; i++)
        if (o->decls[i].kind == OL_FUNCTION && (o->decls[i].flags & OL_DEFINITION))
            if (!n || o->decls[functions[n - 1]].start <= o->decls[i].start)
                functions[n++] = i;
    for (uint32_t r = 0; r < o->region_count; r++) {
        uint32_t lo = 0, hi = n;
        while (hi - lo > 1) {
            uint32_t mid = lo + (hi - lo) / 2;
            if (o->decls[functions[mid]].start <= o->regions[r].start)
                lo = mid;
            else
                hi = mid;
        }
        const ol_decl *d = n ? &o->decls[functions[lo]] : NULL;
        bool inside = d && d->start < o->regions[r].start && o->regions[r].end <= d->end;
        if (!inside)
            why |= o->regions[r].why;
    }
    return why;
}

int ol_face(const ol_outline *o, ol_outline **face)
{
    view v;
    int rc = OL_ENOMEM;
    *face = NULL;
    if (o->form != OL_WHOLE)
        return OL_EINVAL;
    uint32_t *functions = calloc((size_t)o->decl_count + 1, 4);
    if (!view_init(&v, o) || !functions)
        goto done;
    for (uint32_t i = 0; i < o->include_count; i++)
        want_cond(&v, o->includes[i].cond);
    for (uint32_t i = 0; i < o->decl_count; i++)
        want_cond(&v, o->decls[i].cond);
    keep_conds(&v);
    for (uint32_t i = 0; i < o->include_count; i++) {
        ol_include *in = &v.includes[v.include_count++];
        *in = o->includes[i];
        in->start = in->end = 0;
        in->cond = mapped(&v, in->cond);
    }
    for (uint32_t i = 0; i < o->decl_count; i++) {
        ol_decl *d = &v.decls[v.decl_count++];
        *d = o->decls[i];
        d->start = d->end = d->name_at = d->use_first = d->use_count = 0;
        d->cond = mapped(&v, d->cond);
    }
    ol_outline head = {.form = OL_FACE,
                       .flags = o->flags & ~(uint32_t)OL_FILE_SUPPRESS_ALL,
                       .why = why_outside(o, functions),
                       .guard = o->guard,
                       .guard_why = o->guard_why,
                       .guard_name = o->guard_name};
    rc = view_pack(&v, head, face);
done:
    free(functions);
    view_fini(&v);
    return rc;
}

/* Scopes from the outside in, as names only; returns the innermost's new index. */
static uint32_t scopes(view *v, uint32_t innermost)
{
    const ol_outline *o = v->o;
    uint32_t depth = 0, index = OL_NONE;
    for (uint32_t s = innermost; s != OL_NONE; s = o->decls[s].scope)
        depth++;
    v->decl_count = depth;
    for (uint32_t s = innermost; s != OL_NONE; s = o->decls[s].scope) {
        const ol_decl *d = &o->decls[s];
        depth--;
        v->decls[depth] = (ol_decl){.kind = d->kind,
                                    .name = d->name,
                                    .base = d->base,
                                    .scope = depth ? depth - 1 : OL_NONE,
                                    .cond = OL_NONE};
        if (index == OL_NONE)
            index = depth;
    }
    return index;
}

int ol_fragment(const ol_outline *o, uint32_t decl, ol_outline **fragment)
{
    view v;
    int rc = OL_ENOMEM;
    *fragment = NULL;
    if (o->form != OL_WHOLE || decl >= o->decl_count || o->decls[decl].kind == OL_NAMESPACE)
        return OL_EINVAL;
    if (!view_init(&v, o))
        goto done;
    const ol_decl *from = &o->decls[decl];
    want_cond(&v, from->cond);
    keep_conds(&v);
    uint32_t scope = scopes(&v, from->scope), at = v.decl_count++, why = 0;
    ol_decl *d = &v.decls[at];
    *d = *from;
    d->scope = scope;
    d->cond = mapped(&v, d->cond);
    d->start = 0;
    d->end = from->end - from->start;
    d->name_at = from->name_at > from->start ? from->name_at - from->start : 0;
    if (d->name_at > d->end)
        d->name_at = d->end;
    d->use_first = 0;
    for (uint32_t i = 0; i < from->use_count; i++) {
        ol_use *u = &v.uses[v.use_count++];
        *u = o->uses[from->use_first + i];
        u->owner = at;
        if (u->at > d->end)
            u->at = d->end;
    }
    for (uint32_t i = 0; i < o->region_count; i++) {
        ol_region r = o->regions[i];
        if (r.start < from->start || r.end > from->end)
            continue;
        r.start -= from->start;
        r.end -= from->start;
        r.cond = OL_NONE;
        v.regions[v.region_count++] = r;
        why |= r.why;
    }
    ol_outline head = {.form = OL_FRAGMENT, .flags = o->flags & OL_FILE_CXX, .why = why, .size = d->end};
    rc = view_pack(&v, head, fragment);
done:
    view_fini(&v);
    return rc;
}

/* ---- names
 * ------------------------------------------------------------------------------------------------------- */
typedef struct named {
    const char *text;
    ol_use use;
    uint32_t free_kinds; /* of occurrences that are not local */
} named;

static int by_text(const void *a, const void *b)
{
    const named *x = a, *y = b;
    int c = x->use.name == y->use.name ? 0 : strcmp(x->text, y->text);
    if (c)
        return c;
    uint32_t m = x->use.kinds & OL_USE_MEMBER, n = y->use.kinds & OL_USE_MEMBER;
    return m < n ? -1 : m > n;
}

int ol_names(const ol_outline *o, ol_outline **names)
{
    view v;
    int rc = OL_ENOMEM;
    uint32_t n = 0;
    *names = NULL;
    if (o->form != OL_WHOLE)
        return OL_EINVAL;
    named *all = calloc((size_t)o->use_count + 1, sizeof *all);
    uint32_t *slot = calloc((size_t)o->text_size * 2 + 2, 4);
    if (!view_init(&v, o) || !all || !slot)
        goto done;
    for (uint32_t i = 0; i < o->use_count; i++) {
        const ol_use *u = &o->uses[i];
        uint32_t *s = &slot[(size_t)u->name * 2 + (u->kinds & OL_USE_MEMBER ? 1 : 0)];
        if (!*s) {
            all[n] = (named){.text = ol_text(o, u->name), .use = {.name = u->name, .owner = OL_NONE}};
            *s = ++n;
        }
        all[*s - 1].use.kinds |= u->kinds;
        if (!(u->kinds & OL_USE_LOCAL))
            all[*s - 1].free_kinds |= u->kinds;
    }
    qsort(all, n, sizeof *all, by_text);
    for (uint32_t i = 0; i < n; i++) {
        v.uses[i] = all[i].use;
        if (all[i].free_kinds)
            v.uses[i].kinds = all[i].free_kinds;
    }
    v.use_count = n;
    rc = view_pack(&v, (ol_outline){.form = OL_NAMES, .flags = o->flags & OL_FILE_CXX}, names);
done:
    free(all);
    free(slot);
    view_fini(&v);
    return rc;
}

/* ---- conditions
 * ---------------------------------------------------------------------------------------------------- */
typedef struct text_out {
    char *buf;
    size_t size, length;
} text_out;

static void out(text_out *t, const char *s)
{
    for (; *s; s++, t->length++)
        if (t->length + 1 < t->size)
            t->buf[t->length] = *s;
}

static void term(text_out *t, const ol_outline *o, const ol_cond *c, bool negated)
{
    const char *s = ol_text(o, c->text);
    bool word =
        c->kind == OL_IFDEF || c->kind == OL_IFNDEF || c->kind == OL_ELIFDEF || c->kind == OL_ELIFNDEF;
    bool not = c->kind == OL_IFNDEF || c->kind == OL_ELIFNDEF;
    if (t->length)
        out(t, " && ");
    if (word) {
        out(t, not != negated ? "!defined(" : "defined(");
        out(t, s);
        out(t, ")");
        return;
    }
    bool positive = !strncmp(s, "defined(", 8), negative = !strncmp(s, "!defined(", 9);
    const char *close = strchr(s, ')');
    if ((positive || negative) && close && !close[1]) { /* the same as #ifdef */
        out(t, negative != negated ? "!" : "");
        out(t, negative ? s + 1 : s);
        return;
    }
    out(t, negated ? "!(" : "(");
    out(t, s);
    out(t, ")");
}

size_t ol_cond_text(const ol_outline *o, uint32_t cond, char *buf, size_t size)
{
    text_out t = {buf, size, 0};
    uint32_t chain[OL_DEEP + 1], n = 0;
    for (uint32_t c = cond; c < o->cond_count && n <= OL_DEEP; c = o->conds[c].parent)
        chain[n++] = c;
    while (n--) {
        uint32_t before[OL_DEEP + 1], k = 0;
        for (uint32_t p = o->conds[chain[n]].prev; p < o->cond_count && k <= OL_DEEP; p = o->conds[p].prev)
            before[k++] = p;
        if (k > OL_DEEP)
            out(&t, "... ");
        while (k--)
            term(&t, o, &o->conds[before[k]], true);
        if (o->conds[chain[n]].kind != OL_ELSE)
            term(&t, o, &o->conds[chain[n]], false);
    }
    if (size)
        buf[t.length < size ? t.length : size - 1] = 0;
    return t.length;
}
