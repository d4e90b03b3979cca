/* Stage 4: macros and declarations in one order, uses merged, the guard's branch taken out. */
#include "tools/tierlint/outline_int.h"

#include <stdlib.h>
#include <string.h>

typedef struct work {
    ol_builder *b;
    ol_decl *decls;
    uint32_t *decl_map, *macro_map, *by_name, *first; /* first: of each owner's raw uses */
    ol_raw_use *sorted;
    ol_use *uses;
    uint32_t decl_count, use_count;
} work;

static bool allocate(work *w)
{
    ol_builder *b = w->b;
    size_t n = (size_t)b->decls.n + b->macros.n, names = b->names.count;
    w->decls = calloc(n + 1, sizeof *w->decls);
    w->decl_map = calloc((size_t)b->decls.n + 1, 4);
    w->macro_map = calloc((size_t)b->macros.n + 1, 4);
    w->by_name = calloc(names * 2 + 2, 4);
    w->first = calloc(n + 3, 4);
    w->sorted = calloc((size_t)b->uses.n + 1, sizeof *w->sorted);
    w->uses = calloc((size_t)b->uses.n + 1, sizeof *w->uses);
    return w->decls && w->decl_map && w->macro_map && w->by_name && w->first && w->sorted && w->uses;
}

static void release(work *w)
{
    free(w->decls);
    free(w->decl_map);
    free(w->macro_map);
    free(w->by_name);
    free(w->first);
    free(w->sorted);
    free(w->uses);
}

static void merge_decls(work *w)
{
    ol_builder *b = w->b;
    const ol_decl *d = b->decls.v, *m = b->macros.v;
    const uint32_t *keys = b->keys.v;
    uint32_t i = 0, k = 0, n = 0;
    while (i < b->decls.n || k < b->macros.n) {
        if (k < b->macros.n && (i >= b->decls.n || m[k].start < keys[i])) {
            w->macro_map[k] = n;
            w->decls[n++] = m[k++];
        } else {
            w->decl_map[i] = n;
            w->decls[n++] = d[i++];
        }
    }
    w->decl_count = n;
    for (i = 0; i < n; i++) {
        ol_decl *r = &w->decls[i];
        if (r->scope != OL_NONE)
            r->scope = w->decl_map[r->scope];
        r->ordinal = w->by_name[r->name]++;
        if (r->end < r->start)
            r->end = r->start;
    }
}

static uint32_t owner_of(const work *w, uint32_t raw)
{
    if (raw == OL_NONE)
        return w->decl_count;
    return raw & OL_MACRO_OWNER ? w->macro_map[raw & ~OL_MACRO_OWNER] : w->decl_map[raw];
}

static int by_position(const void *a, const void *b)
{
    const ol_use *x = a, *y = b;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return x->name < y->name ? -1 : x->name > y->name;
}

/* Merges the raw uses [from, to) of one owner. */
static void merge_owner(work *w, uint32_t owner, uint32_t from, uint32_t to)
{
    uint32_t start = owner < w->decl_count ? w->decls[owner].start : 0, begin = w->use_count;
    bool sorted = true;
    for (uint32_t i = from; i < to; i++) {
        const ol_raw_use *r = &w->sorted[i];
        uint32_t cls = r->name * 2 + (r->kinds & OL_USE_MEMBER ? 1 : 0),
                 at = r->at > start ? r->at - start : 0;
        uint32_t *slot = &w->by_name[cls];
        if (*slot > begin) {
            ol_use *u = &w->uses[*slot - 1];
            u->kinds |= r->kinds;
            u->count++;
            if (at < u->at) {
                u->at = at;
                sorted = false;
            }
            continue;
        }
        if (w->use_count > begin && w->uses[w->use_count - 1].at > at)
            sorted = false;
        w->uses[w->use_count] = (ol_use){r->name, r->kinds, 1, owner < w->decl_count ? owner : OL_NONE, at};
        *slot = ++w->use_count;
    }
    if (!sorted)
        qsort(w->uses + begin, w->use_count - begin, sizeof *w->uses, by_position);
    if (owner < w->decl_count) {
        w->decls[owner].use_first = begin;
        w->decls[owner].use_count = w->use_count - begin;
    }
}

static void merge_uses(work *w)
{
    ol_builder *b = w->b;
    const ol_raw_use *raw = b->uses.v;
    for (uint32_t i = 0; i < b->uses.n; i++)
        w->first[owner_of(w, raw[i].owner) + 1]++;
    for (uint32_t i = 0; i <= w->decl_count; i++)
        w->first[i + 1] += w->first[i];
    for (uint32_t i = 0; i < b->uses.n; i++)
        w->sorted[w->first[owner_of(w, raw[i].owner)]++] = raw[i];
    memset(w->by_name, 0, ((size_t)b->names.count * 2 + 2) * 4);
    for (uint32_t i = 0; i <= w->decl_count; i++)
        merge_owner(w, i, i ? w->first[i - 1] : 0, w->first[i]);
}

/* The include guard's branch encloses everything and says nothing. */
static void forget_guard(work *w)
{
    ol_builder *b = w->b;
    ol_cond *c = b->conds.v;
    if (!b->conds.n || !(c[0].flags & OL_COND_GUARD))
        return;
    for (uint32_t i = 1; i < b->conds.n; i++)
        if (c[i].parent == 0)
            c[i].parent = OL_NONE;
    for (uint32_t i = 0; i < w->decl_count; i++)
        if (w->decls[i].cond == 0)
            w->decls[i].cond = OL_NONE;
    for (uint32_t i = 0; i < b->includes.n; i++)
        if (((ol_include *)b->includes.v)[i].cond == 0)
            ((ol_include *)b->includes.v)[i].cond = OL_NONE;
    for (uint32_t i = 0; i < b->regions.n; i++)
        if (((ol_region *)b->regions.v)[i].cond == 0)
            ((ol_region *)b->regions.v)[i].cond = OL_NONE;
}

/* Keeps OL_INC_NESTED only where the include stands inside a declaration that is no namespace. */
static void settle_nested(work *w)
{
    ol_include *in = w->b->includes.v;
    uint32_t k = 0, cover = 0;
    for (uint32_t i = 0; i < w->b->includes.n; i++) {
        for (; k < w->decl_count && w->decls[k].start < in[i].start; k++)
            if (w->decls[k].kind != OL_NAMESPACE && w->decls[k].end > cover)
                cover = w->decls[k].end;
        if (cover <= in[i].start)
            in[i].flags &= ~(uint32_t)OL_INC_NESTED;
    }
}

int ol__finish(ol_builder *b, ol_outline **o)
{
    work w = {.b = b};
    int rc = OL_ENOMEM;
    if (!allocate(&w))
        goto done;
    merge_decls(&w);
    merge_uses(&w);
    forget_guard(&w);
    settle_nested(&w);
    bool any = false;
    for (uint32_t i = 0; i < w.decl_count && !any; i++)
        any = w.decls[i].kind != OL_MACRO && w.decls[i].kind != OL_UNDEF && w.decls[i].kind != OL_NAMESPACE;
    ol_draft d = {.texts = b->names.text, .at = b->names.at, .ids = b->names.count};
    d.o = (ol_outline){.form = OL_WHOLE,
                       .flags = b->file_flags | (any ? 0 : OL_FILE_NO_FUNCTIONS),
                       .why = b->why,
                       .size = b->size,
                       .guard = b->guard,
                       .guard_why = b->guard_why,
                       .guard_name = b->guard_name,
                       .includes = b->includes.v,
                       .conds = b->conds.v,
                       .decls = w.decls,
                       .uses = w.uses,
                       .suppressions = b->suppress.v,
                       .regions = b->regions.v,
                       .lines = b->lines.v,
                       .include_count = b->includes.n,
                       .cond_count = b->conds.n,
                       .decl_count = w.decl_count,
                       .use_count = w.use_count,
                       .suppress_count = b->suppress.n,
                       .region_count = b->regions.n,
                       .line_count = b->lines.n};
    rc = ol__pack(&d, o);
done:
    release(&w);
    return rc;
}
