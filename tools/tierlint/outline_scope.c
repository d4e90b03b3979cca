/* Stage 3: what may stand where declarations begin. */
#include "tools/tierlint/outline_scope.h"

#include <string.h>

static void begin_head(ol_builder *b, ol_frame *f, uint32_t start)
{
    f->head.start = start;
    f->head.items = b->items.n;
    f->head.tag = f->head.lost = OL_NONE;
    f->head.colons = 0;
    f->head.is_typedef = false;
    f->in_head = true;
}

/* Leaves out tokens [f->at, to), keeping the names they use. */
static void pass(ol_builder *b, ol_frame *f, uint32_t to)
{
    if (to > f->end)
        to = f->end;
    ol__uses_of(b, f->at, to, f->scope.owner, true);
    f->at = to;
}

static void namespace_decl(ol_builder *b, ol_frame *f)
{
    uint32_t i = ol__skip_attributes(b, f, f->at + 1), first = i;
    ol_scope scope = f->scope;
    while (i < f->end && (ol__word(b, i) || ol__is(b, i, LEX_SCOPE) || ol__kw(b, i) == LEX_INLINE))
        i++;
    uint32_t last = i;
    i = ol__skip_attributes(b, f, i);
    while (i < f->end && ol__word(b, i)) { /* macro words behind the name */
        i++;
        if (i < f->end && ol__is(b, i, '('))
            i = ol__partner(b, f, i) + 1;
    }
    if (i >= f->end || !ol__is(b, i, '{')) { /* an alias, or not understood */
        pass(b, f, ol__skip_to(b, f, i, ";") + 1);
        return;
    }
    uint32_t close = ol__partner(b, f, i);
    for (uint32_t k = first; k < last || k == first; k++) {
        bool named = k < last && ol__word(b, k);
        if (k < last && !named)
            continue;
        ol_frame in = {.scope = scope};
        uint32_t d = ol__new_decl(b, &in, OL_NAMESPACE, f->at, f->at);
        if (b->oom)
            return;
        ol_decl *r = &OL_DECLS(b)[d];
        uint32_t base = named ? OL_TOKS(b)[k].name : lex_intern(&b->names, "(anonymous)", 11);
        r->name = r->base = base;
        r->name_at = OL_TOKS(b)[named ? k : f->at].start;
        r->end = OL_TOKS(b)[close].end;
        r->flags |= OL_DEFINITION;
        if (!named)
            scope.flags |= OL_ANONYMOUS;
        scope.decl = d;
        if (!named)
            break;
    }
    f->at = close + 1;
    f->in_head = false;
    ol__enter(b, i, close, scope);
}

/* using namespace x; using a::b; using X = T; */
static void using_decl(ol_builder *b, ol_frame *f)
{
    uint32_t i = f->at + 1, end = ol__skip_to(b, f, i, ";"), name = OL_NONE, eq = OL_NONE;
    if (i < f->end && ol__kw(b, i) == LEX_NAMESPACE) {
        if (!(f->scope.flags & OL_MEMBER))
            b->file_flags |= OL_FILE_USING_NAMESPACE;
        pass(b, f, end + 1);
        return;
    }
    for (; i < end; i++) {
        if (ol__is(b, i, '=')) {
            eq = i;
            break;
        }
        if (ol__is(b, i, '['))
            i = ol__partner(b, f, i);
        else if (ol__word(b, i) && (name == OL_NONE || ol__is(b, i - 1, LEX_SCOPE)))
            name = i;
    }
    if (name != OL_NONE) {
        uint32_t d = ol__new_decl(b, f, eq == OL_NONE ? OL_USING : OL_TYPEDEF, f->at, f->head.start);
        if (b->oom)
            return;
        uint32_t sig = eq == OL_NONE ? ol__join(b, f->at + 1, end) : ol__join(b, eq + 1, end);
        ol_decl *r = &OL_DECLS(b)[d];
        r->name = r->base = OL_TOKS(b)[name].name;
        r->name_at = OL_TOKS(b)[name].start;
        r->sig = sig;
        r->end = end < b->toks.n ? OL_TOKS(b)[end].end : b->size;
        if (eq != OL_NONE)
            OL_TOKS(b)[name].flags |= LEX_F_NAME;
        ol__uses_of(b, f->head.start, end, d, true);
        f->at = end + 1 > f->end ? f->end : end + 1;
    } else {
        pass(b, f, end + 1);
    }
}

/* template <...> and requires clauses before a declaration; false: it was an instantiation, passed over. */
static bool template_prefix(ol_builder *b, ol_frame *f)
{
    uint32_t i = f->at + 1;
    if (i >= f->end || !ol__is(b, i, '<')) {
        pass(b, f, ol__skip_to(b, f, i, ";") + 1);
        return false;
    }
    uint32_t e = ol__angle_end(b, i, f->end);
    if (e == i) {
        uint32_t to = ol__skip_to(b, f, i, ";{");
        ol__region(b, OL_WHY_SYNTAX, OL_TOKS(b)[f->at].start, to < f->end ? OL_TOKS(b)[to].end : b->size,
                   OL_TOKS(b)[f->at].cond);
        pass(b, f, to < f->end && ol__is(b, to, '{') ? ol__partner(b, f, to) + 1 : to + 1);
        return false;
    }
    f->at = e;
    f->head.flags |= OL_TEMPLATE;
    if (e < f->end && ol__kw(b, e) == LEX_REQUIRES) { /* requires C<T> && (...) */
        uint32_t k = e + 1;
        for (; k < f->end; k++) {
            if (ol__is(b, k, '('))
                k = ol__partner(b, f, k);
            else if (ol__word(b, k) && k + 1 < f->end && ol__is(b, k + 1, '<')) {
                uint32_t a = ol__angle_end(b, k + 1, f->end);
                k = a > k + 1 ? a - 1 : k + 1;
            } else if (!ol__word(b, k) && !ol__is(b, k, LEX_SCOPE))
                break;
            if (k + 1 >= f->end || !(ol__is(b, k + 1, LEX_ANDAND) || ol__is(b, k + 1, LEX_OTHER_OP) ||
                                     ol__is(b, k + 1, LEX_SCOPE))) {
                k++;
                break;
            }
            if (!ol__is(b, k + 1, LEX_SCOPE))
                k++;
        }
        f->at = k;
    }
    return true;
}

/* A macro word alone on its line before a declaration. */
static bool lone_macro(const ol_builder *b, const ol_frame *f)
{
    uint32_t i = f->at;
    const lex_token *t = OL_TOKS(b);
    if (i + 2 >= f->end || !ol__word(b, i) || !ol__looks_macro(b, i) || !(t[i + 1].flags & LEX_F_LINE))
        return false;
    if (ol__class(b, i + 1) & (LEX_K_STORE | LEX_K_TAG | LEX_K_TYPE | LEX_K_OTHER | LEX_K_QUAL))
        return true;
    return ol__word(b, i + 1) &&
           ((ol__is(b, i + 2, '(') && ol__looks_macro(b, i + 1)) || ol__word(b, i + 2) ||
            ol__is(b, i + 2, '*') || (ol__class(b, i + 2) & LEX_K_TYPE));
}

/* MACRO(...) alone on its line, without semicolon, before something that begins a declaration. */
static bool lone_call(const ol_builder *b, const ol_frame *f)
{
    uint32_t i = f->at;
    const lex_token *t = OL_TOKS(b);
    if (i + 1 >= f->end || !ol__word(b, i) || !ol__is(b, i + 1, '('))
        return false;
    uint32_t next = ol__partner(b, f, i + 1) + 1;
    if (next >= f->end)
        return true;
    if (!(t[next].flags & LEX_F_LINE))
        return false;
    if (ol__class(b, next) & (LEX_K_STORE | LEX_K_TAG | LEX_K_TYPE | LEX_K_OTHER | LEX_K_QUAL))
        return true;
    return ol__word(b, next) && next + 1 < f->end &&
           (ol__word(b, next + 1) || ol__is(b, next + 1, '*') ||
            (ol__is(b, next + 1, '(') && ol__looks_macro(b, i) && ol__looks_macro(b, next)));
}

/* public: and the like; also words of macros (signals:, public slots:). */
static bool access_label(ol_builder *b, ol_frame *f)
{
    uint32_t i = f->at, kw = ol__kw(b, i);
    if (!(f->scope.flags & OL_MEMBER))
        return false;
    bool access = kw == LEX_PUBLIC || kw == LEX_PRIVATE || kw == LEX_PROTECTED;
    if (!access && !(b->cxx && ol__word(b, i)))
        return false;
    if (access && i + 2 < f->end && ol__word(b, i + 1) && ol__is(b, i + 2, ':'))
        i++;
    if (i + 1 >= f->end || !ol__is(b, i + 1, ':'))
        return false;
    f->at = i + 2;
    return true;
}

static bool macro_line(ol_builder *b, ol_frame *f)
{
    if (lone_macro(b, f)) {
        const char *s = lex_name(&b->names, OL_TOKS(b)[f->at].name);
        bool bracket = strstr(s, "DECLS") || strstr(s, "BEGIN") || strstr(s, "END");
        pass(b, f, f->at + 1);
        if (!bracket)
            f->head.flags |= OL_UNKNOWN_WORDS;
        return true;
    }
    if (!lone_call(b, f))
        return false;
    uint32_t close = ol__partner(b, f, f->at + 1);
    ol__region(b, OL_WHY_MACRO, OL_TOKS(b)[f->at].start, OL_TOKS(b)[close].end, OL_TOKS(b)[f->at].cond);
    pass(b, f, close + 1);
    f->head.flags |= OL_UNKNOWN_WORDS;
    return true;
}

/* At the beginning of a declaration, or of what is none. */
static void start_declaration(ol_builder *b, ol_frame *f)
{
    uint32_t i = f->at, kw = ol__kw(b, i), start = i;
    f->head.flags = 0;
    if (ol__is(b, i, ';') || ol__is(b, i, '}') || access_label(b, f)) {
        if (f->at == i)
            f->at++;
        return;
    }
    while (f->at < f->end && macro_line(b, f))
        start = f->at;
    if (f->at > i && f->at < f->end) { /* public: or ';' behind a macro: start again */
        kw = ol__kw(b, f->at);
        if (kw == LEX_PUBLIC || kw == LEX_PRIVATE || kw == LEX_PROTECTED || ol__is(b, f->at, ';'))
            return;
    }
    if (f->at >= f->end)
        return;
    i = f->at;
    kw = ol__kw(b, i);
    f->head.start = start;
    if (kw == LEX_EXTERN && ol__kw(b, i + 1) == LEX_TEMPLATE && i + 1 < f->end) {
        f->at++; /* an instantiation that stands elsewhere */
        kw = LEX_TEMPLATE;
    }
    while (kw == LEX_TEMPLATE) {
        if (!template_prefix(b, f))
            return;
        i = f->at;
        if (i >= f->end)
            return;
        kw = ol__kw(b, i);
    }
    if (kw == LEX_INLINE && i + 1 < f->end && ol__kw(b, i + 1) == LEX_NAMESPACE) {
        f->at++;
        kw = LEX_NAMESPACE;
    }
    if (kw == LEX_NAMESPACE) {
        namespace_decl(b, f);
    } else if (kw == LEX_USING) {
        using_decl(b, f);
    } else if (kw == LEX_STATIC_ASSERT || kw == LEX_STATIC_ASSERT2 || kw == LEX_ASM || kw == LEX_ASM2 ||
               kw == LEX_ASM3 || kw == LEX_CONCEPT) {
        if (kw == LEX_CONCEPT && i + 1 < f->end && ol__word(b, i + 1)) {
            uint32_t d = ol__new_decl(b, f, OL_CONCEPT, i, start);
            if (b->oom)
                return;
            OL_DECLS(b)[d].name = OL_DECLS(b)[d].base = OL_TOKS(b)[i + 1].name;
            OL_DECLS(b)[d].name_at = OL_TOKS(b)[i + 1].start;
            OL_TOKS(b)[i + 1].flags |= LEX_F_NAME;
        }
        pass(b, f, ol__skip_to(b, f, i, ";") + 1);
    } else if (kw == LEX_EXTERN && i + 2 < f->end && OL_TOKS(b)[i + 1].kind == LEX_STRING &&
               ol__is(b, i + 2, '{')) {
        ol_scope scope = f->scope;
        uint32_t close = ol__partner(b, f, i + 2);
        scope.flags |= OL_EXTERN_C;
        f->at = close + 1;
        ol__enter(b, i + 2, close, scope);
    } else {
        begin_head(b, f, start);
    }
}

void ol__declare(ol_builder *b)
{
    if (!b->toks.n)
        return;
    ol_frame *f = ol__push(b, &b->frames, sizeof *f);
    *f = (ol_frame){.end = b->toks.n, .scope = {.decl = OL_NONE, .owner = OL_NONE}};
    while (b->frames.n && !b->oom) {
        f = ol__frame(b);
        if (f->in_head) {
            ol__continue_head(b);
        } else if (f->at < f->end) {
            start_declaration(b, f);
        } else {
            b->frames.n--;
        }
    }
    if (!b->oom)
        ol__name_all(b);
}
