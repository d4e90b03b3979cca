/* Stage 3: finished heads become records, and their tokens uses. */
#include "tools/tierlint/outline_int.h"

#include <string.h>

uint32_t ol__new_decl(ol_builder *b, const ol_frame *f, uint32_t kind, uint32_t key_tok, uint32_t start_tok)
{
    const lex_token *t = OL_TOKS(b);
    uint32_t key = key_tok < b->toks.n ? t[key_tok].start : b->size;
    ol_decl *d = ol__push(b, &b->decls, sizeof *d);
    *d = (ol_decl){.kind = kind,
                   .flags = f->scope.flags | f->head.flags,
                   .scope = f->scope.decl,
                   .cond = t[start_tok].cond,
                   .start = t[start_tok].start,
                   .end = t[start_tok].end};
    if (kind == OL_NAMESPACE)
        d->flags &= OL_ANONYMOUS;
    uint32_t *keys = b->keys.v, prev = b->keys.n ? keys[b->keys.n - 1] : 0;
    *(uint32_t *)ol__push(b, &b->keys, sizeof(uint32_t)) = key < prev ? prev : key;
    return b->decls.n ? b->decls.n - 1 : 0;
}

static void lost_region(ol_builder *b, const ol_frame *f, uint32_t why, uint32_t end)
{
    const lex_token *t = OL_TOKS(b);
    ol__region(b, why, t[f->head.start].start, end ? t[end - 1].end : 0, t[f->head.start].cond);
}

/* Are there conditionals inside the tokens [from, to)? Then they are several texts, read as one. */
static bool crosses(const ol_builder *b, uint32_t from, uint32_t to)
{
    const lex_token *t = OL_TOKS(b);
    for (uint32_t i = from + 1; i < to; i++)
        if (t[i].cond != t[from].cond)
            return true;
    return false;
}

/* const that belongs to the object itself: behind the last star, or among the specifiers without any. */
static bool is_const(const ol_builder *b, uint32_t from, uint32_t name)
{
    bool found = false;
    for (uint32_t i = from; i < name; i++) {
        uint32_t kw = ol__kw(b, i);
        if (kw == LEX_CONST || kw == LEX_CONST2 || kw == LEX_CONST3 || kw == LEX_CONSTEXPR)
            found = true;
        else if (ol__is(b, i, '*'))
            found = false;
        if (ol__is(b, i, '{') && OL_TOKS(b)[i].match < name)
            i = OL_TOKS(b)[i].match;
    }
    return found;
}

static void set_name(ol_builder *b, uint32_t d, const ol_found *n)
{
    lex_token *t = OL_TOKS(b);
    uint32_t base = n->last, text;
    if (n->last == n->tok) {
        text = t[n->tok].name;
        OL_DECLS(b)[d].base = text;
    } else if (ol__word(b, n->last) && ol__is(b, n->last - 1, LEX_SCOPE)) {
        text = ol__join(b, n->tok, n->last + 1);
        OL_DECLS(b)[d].base = t[n->last].name;
        OL_DECLS(b)[d].flags |= OL_MEMBER; /* or of a namespace: names alone do not tell */
    } else {
        for (base = n->tok; base < n->last; base++)
            if (ol__is(b, base, '~') || ol__kw(b, base) == LEX_OPERATOR)
                break;
        if (base == n->last)
            base = n->tok;
        text = ol__join(b, n->tok, n->last + 1);
        uint32_t short_text = ol__join(b, base, n->last + 1);
        OL_DECLS(b)[d].base = short_text;
        if (base > n->tok)
            OL_DECLS(b)[d].flags |= OL_MEMBER;
    }
    OL_DECLS(b)[d].name = text;
    OL_DECLS(b)[d].name_at = t[base].start;
    for (uint32_t i = base; i <= n->last; i++)
        t[i].flags |= LEX_F_NAME;
}

static uint32_t decl_kind(const ol_frame *f, const ol_found *n)
{
    if (f->head.is_typedef)
        return OL_TYPEDEF;
    if (n->kind == OL_VARIABLE && (f->scope.flags & OL_MEMBER) && !(f->head.flags & OL_STATIC))
        return OL_FIELD;
    return n->kind;
}

/* One declarator found: its record. specs: the end of the specifiers' tokens. */
static uint32_t emit(ol_builder *b, ol_frame *f, const ol_found *n, uint32_t specs, uint32_t end,
                     uint32_t body)
{
    uint32_t kind = decl_kind(f, n), key = body != OL_NONE ? body : n->tok;
    uint32_t d = ol__new_decl(b, f, kind, key, f->head.start);
    uint32_t dto = n->dto > end ? end : n->dto;
    if (b->oom)
        return d;
    set_name(b, d, n);
    bool split = crosses(b, f->head.start, body != OL_NONE ? body : dto);
    bool named = n->dfrom == n->tok;
    uint32_t sig = ol__signature(b, f->head.start, specs, named ? n->last + 1 : n->dfrom,
                                 body != OL_NONE ? body : dto, named);
    ol_decl *r = &OL_DECLS(b)[d];
    r->sig = sig;
    r->flags |= n->flags;
    r->end = OL_TOKS(b)[end - 1].end;
    if (split)
        r->flags |= OL_UNCERTAIN;
    if (f->head.flags & OL_KNR)
        r->flags |= OL_UNCERTAIN;
    if (kind == OL_VARIABLE || kind == OL_FIELD) {
        if (is_const(b, f->head.start, n->tok))
            r->flags |= OL_CONST;
        if (!(r->flags & (OL_EXTERN | OL_MEMBER)))
            r->flags |= OL_DEFINITION;
    }
    if (kind == OL_FUNCTION) {
        r->flags &= ~(uint32_t)OL_CONST;
        if (strstr(lex_name(&b->names, sig), "..."))
            r->flags |= OL_VARIADIC;
        if (body != OL_NONE)
            r->flags |= OL_DEFINITION | (r->scope != OL_NONE && (f->scope.flags & OL_MEMBER) ? OL_INLINE : 0);
    }
    if (kind == OL_TYPEDEF)
        r->flags |= OL_DEFINITION;
    return d;
}

/* typedef struct { } X: the struct takes the name of the first plain declarator. */
static void name_tag(ol_builder *b, const ol_frame *f, const ol_found *n)
{
    if (f->head.tag >= b->decls.n || !f->head.is_typedef || n->dfrom != n->tok)
        return;
    ol_decl *r = &OL_DECLS(b)[f->head.tag];
    if (r->base)
        return;
    r->name = r->base = OL_TOKS(b)[n->tok].name;
    r->flags |= OL_TYPEDEF_TAG;
}

static void head_uses(ol_builder *b, const ol_frame *f, uint32_t to, uint32_t owner)
{
    if (f->head.tag != OL_NONE) {
        ol__uses_of(b, f->head.start, f->head.body, f->head.tag, true);
        if (f->head.body_end + 1 < to)
            ol__uses_of(b, f->head.body_end + 1, to, owner, true);
    } else {
        ol__uses_of(b, f->head.start, to, owner, true);
    }
}

/* All declarators of the head; returns the first record or OL_NONE. */
static uint32_t declarators(ol_builder *b, ol_frame *f, uint32_t end, uint32_t body, uint32_t *params)
{
    const ol_item *it = b->items.v;
    uint32_t first = OL_NONE, specs = 0, from = f->head.items, n = b->items.n;
    while (from < n || first == OL_NONE) {
        uint32_t to = from;
        while (to < n && it[to].kind != OL_I_COMMA)
            to++;
        ol_found found;
        ol__analyse(b, f, from, to, from == f->head.items, &found);
        if (found.why)
            lost_region(b, f, found.why, end);
        if (from == f->head.items)
            specs = found.dfrom;
        if (!found.kind && from == f->head.items)
            break;
        if (found.kind) {
            found.dto = to < n ? it[to].tok : end;
            uint32_t d = emit(b, f, &found, specs, end, body);
            if (b->oom)
                return OL_NONE;
            if (first == OL_NONE) {
                first = d;
                *params = found.params;
            }
            name_tag(b, f, &found);
        }
        it = b->items.v;
        from = to + 1;
    }
    return first;
}

void ol__finish_head(ol_builder *b, ol_frame *f, uint32_t end, uint32_t body)
{
    uint32_t first = OL_NONE, params = OL_NONE;
    if (end > f->end)
        end = f->end;
    if (end <= f->head.start)
        end = f->head.start + 1;
    ol__local_begin(b);
    if (f->head.lost != OL_NONE)
        lost_region(b, f, OL_WHY_SYNTAX, end);
    else
        first = declarators(b, f, end, body, &params);
    if (b->oom)
        return;
    uint32_t owner = first != OL_NONE ? first : f->scope.owner;
    if (first != OL_NONE && OL_DECLS(b)[first].kind == OL_FIELD)
        owner = f->scope.owner;
    if (first == OL_NONE && f->head.tag != OL_NONE) {
        owner = f->head.tag;
        OL_DECLS(b)[owner].end = OL_TOKS(b)[end - 1].end;
    } else if (first == OL_NONE && b->decls.n && OL_DECLS(b)[b->decls.n - 1].end <= OL_TOKS(b)[end - 1].end &&
               OL_DECLS(b)[b->decls.n - 1].start == OL_TOKS(b)[f->head.start].start &&
               OL_DECLS(b)[b->decls.n - 1].kind != OL_NAMESPACE && f->head.lost == OL_NONE) {
        owner = b->decls.n - 1; /* struct X; */
        OL_DECLS(b)[owner].end = OL_TOKS(b)[end - 1].end;
    }
    bool has_body = body != OL_NONE && first != OL_NONE;
    ol__locals_of(b, params, has_body ? body : end, end);
    head_uses(b, f, has_body ? body : end, owner);
    if (has_body)
        ol__uses_of(b, body, end, owner, false);
    b->items.n = f->head.items;
    f->in_head = false;
    f->at = end;
}

void ol__enumerators(ol_builder *b, const ol_frame *f, uint32_t decl, uint32_t open, uint32_t close)
{
    ol_frame in = {.scope = {.decl = decl, .flags = f->scope.flags & (OL_EXTERN_C | OL_ANONYMOUS)}};
    in.scope.flags |= OL_DECLS(b)[decl].flags & (OL_MEMBER);
    ol__local_begin(b);
    for (uint32_t i = open + 1; i < close && !b->oom; i++) {
        uint32_t end = i;
        while (end < close && !ol__is(b, end, ',')) {
            const lex_token *t = &OL_TOKS(b)[end];
            bool group = t->kind == LEX_PUNCT && (t->code == '(' || t->code == '[' || t->code == '{');
            end = group && t->match < close && t->match > end ? t->match + 1 : end + 1;
        }
        bool plain = ol__word(b, i) && (i + 1 == end || ol__is(b, i + 1, '=') ||
                                        (ol__class(b, i + 1) & LEX_K_ATTR) || ol__is(b, i + 1, '[') ||
                                        (ol__word(b, i + 1) && !(OL_TOKS(b)[i + 1].flags & LEX_F_LINE)));
        if (plain) {
            uint32_t eq = i + 1;
            while (eq < end && !ol__is(b, eq, '='))
                eq++;
            uint32_t sig = eq < end ? ol__join(b, eq, end) : 0, d = ol__new_decl(b, &in, OL_ENUMERATOR, i, i);
            if (b->oom)
                return;
            ol_decl *r = &OL_DECLS(b)[d];
            r->name = r->base = OL_TOKS(b)[i].name;
            r->name_at = r->start;
            r->sig = sig;
            r->flags |= OL_DEFINITION;
            r->end = OL_TOKS(b)[end - 1].end;
            OL_TOKS(b)[i].flags |= LEX_F_NAME;
        } else if (end > i) {
            ol__region(b, OL_WHY_MACRO, OL_TOKS(b)[i].start, OL_TOKS(b)[end - 1].end, OL_TOKS(b)[i].cond);
        }
        i = end;
    }
    ol__uses_of(b, open + 1, close, decl, false);
}

/* ---- qualified names
 * -------------------------------------------------------------------------------------------- */
#define NAME_PART 512 /* a longer name or prefix is cut: bounds the text that deep nesting can ask for */

void ol__name_all(ol_builder *b)
{
    ol_decl *d = OL_DECLS(b);
    for (uint32_t i = 0; i < b->decls.n; i++) {
        uint32_t s = d[i].scope;
        if (s != OL_NONE && d[i].kind == OL_ENUMERATOR && !(d[s].flags & OL_SCOPED))
            s = d[s].scope;
        if (d[i].flags & OL_FRIEND)
            while (s != OL_NONE && d[s].kind != OL_NAMESPACE)
                s = d[s].scope;
        while (s != OL_NONE && !d[s].base)
            s = d[s].scope;
        if (s == OL_NONE || !d[i].base)
            continue;
        const char *prefix = lex_name(&b->names, d[s].name), *own = lex_name(&b->names, d[i].name);
        size_t n = strlen(prefix), m = strlen(own);
        ol__sig_put(b, prefix, n > NAME_PART ? NAME_PART : n);
        ol__sig_put(b, "::", 2);
        own = lex_name(&b->names, d[i].name);
        ol__sig_put(b, own, m > NAME_PART ? NAME_PART : m);
        d[i].name = ol__sig_take(b);
    }
}
