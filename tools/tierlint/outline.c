/* The parser's frame: memory, stages, and questions about a finished outline. */
#include "tools/tierlint/outline_int.h"

#include <stdlib.h>
#include <string.h>

void *ol__push(ol_builder *b, ol_vec *v, size_t item)
{
    if (v->n == v->cap) {
        uint64_t cap = v->cap ? (uint64_t)v->cap * 2 : 64;
        void *p = cap < OL_MACRO_OWNER ? realloc(v->v, (size_t)cap * item) : NULL;
        if (!p) {
            b->oom = true;
            memset(b->scratch, 0, sizeof b->scratch);
            return b->scratch;
        }
        v->v = p;
        v->cap = (uint32_t)cap;
    }
    return memset((char *)v->v + (size_t)v->n++ * item, 0, item);
}

void ol__vec_fini(ol_vec *v)
{
    free(v->v);
    memset(v, 0, sizeof *v);
}

void ol__region(ol_builder *b, uint32_t why, uint32_t start, uint32_t end, uint32_t cond)
{
    ol_region *r = ol__push(b, &b->regions, sizeof *r);
    *r = (ol_region){.why = why, .start = start, .end = end < start ? start : end, .cond = cond};
    b->why |= why;
}

void ol__use(ol_builder *b, uint32_t name, uint32_t kinds, uint32_t owner, uint32_t at)
{
    ol_raw_use *u = ol__push(b, &b->uses, sizeof *u);
    *u = (ol_raw_use){.name = name, .kinds = kinds, .owner = owner, .at = at};
}

void ol__local_begin(ol_builder *b)
{
    b->fragment++;
}

void ol__local_set(ol_builder *b, uint32_t name)
{
    while (b->local.n <= name && !b->oom)
        ol__push(b, &b->local, sizeof(uint32_t));
    if (name < b->local.n)
        ((uint32_t *)b->local.v)[name] = b->fragment;
}

bool ol__local_is(const ol_builder *b, uint32_t name)
{
    return name < b->local.n && ((uint32_t *)b->local.v)[name] == b->fragment;
}

static void find_lines(ol_builder *b)
{
    const uint8_t *s = b->src, *end = s + b->size;
    ol__push(b, &b->lines, sizeof(uint32_t));
    while (s < end && (s = memchr(s, '\n', (size_t)(end - s))))
        *(uint32_t *)ol__push(b, &b->lines, sizeof(uint32_t)) = (uint32_t)(++s - b->src);
}

int ol_parse(const void *bytes, size_t size, ol_outline **o)
{
    ol_builder b = {.src = bytes, .size = (uint32_t)size, .cond = OL_NONE};
    *o = NULL;
    if (size > OL_MAX_SOURCE)
        return OL_ETOOBIG;
    if (!size)
        b.src = (const uint8_t *)"";
    if (!lex_names_init(&b.names))
        return OL_ENOMEM;
    const uint8_t *nul = memchr(b.src, 0, b.size);
    if (nul)
        ol__region(&b, OL_WHY_BINARY, (uint32_t)(nul - b.src), (uint32_t)(nul - b.src) + 1, OL_NONE);
    find_lines(&b);
    if (!b.oom)
        ol__scan(&b);
    if (!b.oom)
        ol__match(&b);
    if (!b.oom)
        ol__declare(&b);
    int rc = b.oom || b.names.failed ? OL_ENOMEM : ol__finish(&b, o);
    ol_vec *all[] = {&b.toks,    &b.conds, &b.includes, &b.macros, &b.decls, &b.keys,  &b.uses, &b.suppress,
                     &b.regions, &b.lines, &b.chains,   &b.frames, &b.marks, &b.items, &b.sig,  &b.local};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ol__vec_fini(all[i]);
    lex_names_fini(&b.names);
    return rc;
}

/* ---- questions -------------------------------------------------------------------------------------------
 */
ol_point ol_place(const ol_outline *o, uint32_t byte)
{
    uint32_t lo = 0, hi = o->line_count;
    if (byte > o->size)
        byte = o->size;
    if (!hi)
        return (ol_point){1, byte + 1};
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (o->lines[mid] <= byte)
            lo = mid;
        else
            hi = mid;
    }
    return (ol_point){lo + 1, byte - o->lines[lo] + 1};
}

uint32_t ol_find(const ol_outline *o, const char *name, uint32_t ordinal)
{
    for (uint32_t i = 0; i < o->decl_count; i++)
        if (o->decls[i].ordinal == ordinal && !strcmp(ol_text(o, o->decls[i].name), name))
            return i;
    return OL_NONE;
}

uint32_t ol_use_byte(const ol_outline *o, const ol_use *u)
{
    return u->at + (u->owner < o->decl_count ? o->decls[u->owner].start : 0);
}

uint32_t ol_first_use(const ol_outline *o, const char *name, uint32_t kinds, uint32_t without)
{
    uint32_t best = OL_NONE, at = OL_NONE, id = OL_NONE;
    for (uint32_t i = 0; i < o->use_count; i++) {
        const ol_use *u = &o->uses[i];
        if (!(u->kinds & kinds) || (u->kinds & without))
            continue;
        if (id != OL_NONE ? u->name != id : strcmp(ol_text(o, u->name), name) != 0)
            continue;
        id = u->name;
        if (best != OL_NONE && ol_use_byte(o, u) >= at)
            continue;
        best = i;
        at = ol_use_byte(o, u);
    }
    return best;
}

bool ol_suppressed(const ol_outline *o, uint32_t line, const char *rule)
{
    if (o->flags & OL_FILE_SUPPRESS_ALL)
        return true;
    for (uint32_t i = 0; i < o->suppress_count; i++) {
        const ol_suppress *s = &o->suppressions[i];
        if (s->line == line && (!s->rule || !strcmp(ol_text(o, s->rule), rule)))
            return true;
    }
    return false;
}

bool ol_uncertain_at(const ol_outline *o, uint32_t start, uint32_t end, uint32_t why)
{
    for (uint32_t i = 0; i < o->region_count; i++) {
        const ol_region *r = &o->regions[i];
        if ((r->why & why) && r->start < end && r->end >= start)
            return true;
    }
    return false;
}

bool ol_cond_disjoint(const ol_outline *o, uint32_t a, uint32_t b)
{
    for (uint32_t x = a; x < o->cond_count; x = o->conds[x].parent)
        for (uint32_t y = b; y < o->cond_count; y = o->conds[y].parent) {
            if (x == y)
                continue;
            for (uint32_t p = x; p < o->cond_count; p = o->conds[p].prev)
                if (p == y)
                    return true;
            for (uint32_t p = y; p < o->cond_count; p = o->conds[p].prev)
                if (p == x)
                    return true;
        }
    return false;
}

const char *ol_kind_name(uint32_t kind)
{
    static const char *const names[] = {"?",          "function", "variable", "field",     "struct",
                                        "union",      "enum",     "class",    "typedef",   "using",
                                        "enumerator", "macro",    "undef",    "namespace", "concept"};
    return names[kind < sizeof names / sizeof *names ? kind : 0];
}

const char *ol_why_name(uint32_t why)
{
    static const char *const names[] = {"braces",   "old-style", "macro",  "unterminated", "deep",
                                        "branches", "syntax",    "binary", "full"};
    for (uint32_t i = 0; i < sizeof names / sizeof *names; i++)
        if (why == 1u << i)
            return names[i];
    return "?";
}
