/* Stage 3: walks the tokens scope by scope, with a stack of frames instead of recursion, and cuts each
 * declaration's head into items. Function bodies are not entered here, only searched for names. */
#include "tools/tierlint/outline_int.h"
#include "tools/tierlint/outline_scope.h"

#include <string.h>

ol_frame *ol__frame(const ol_builder *b)
{
    return (ol_frame *)b->frames.v + b->frames.n - 1;
}

static void add_item(ol_builder *b, uint32_t kind, uint32_t tok, uint32_t last)
{
    ol_item *it = ol__push(b, &b->items, sizeof *it);
    *it = (ol_item){kind, tok, last};
}

static ol_item *last_item(const ol_builder *b, const ol_frame *f)
{
    return b->items.n > f->head.items ? (ol_item *)b->items.v + b->items.n - 1 : NULL;
}

/* The bracket's partner, or the frame's end where it has none inside. */
uint32_t ol__partner(const ol_builder *b, const ol_frame *f, uint32_t i)
{
    uint32_t m = OL_TOKS(b)[i].match;
    return m < f->end && m > i ? m : f->end - 1;
}

/* Moves to the next ';' (behind it) or to one of stop, over groups. */
uint32_t ol__skip_to(const ol_builder *b, const ol_frame *f, uint32_t i, const char *stop)
{
    for (; i < f->end; i++) {
        const lex_token *t = &OL_TOKS(b)[i];
        if (t->kind != LEX_PUNCT || t->code > 255)
            continue;
        if (strchr(stop, (int)t->code) && t->code)
            return i;
        if (t->code == '(' || t->code == '[' || t->code == '{')
            i = ol__partner(b, f, i);
    }
    return f->end;
}

/* Opens a scope for the tokens between two brackets. */
void ol__enter(ol_builder *b, uint32_t open, uint32_t close, ol_scope scope)
{
    if (b->frames.n >= OL_DEEP) {
        ol__region(b, OL_WHY_DEEP, OL_TOKS(b)[open].start, OL_TOKS(b)[close].end, OL_TOKS(b)[open].cond);
        ol__uses_of(b, open, close, scope.owner, false);
        return;
    }
    ol_frame *f = ol__push(b, &b->frames, sizeof *f);
    *f = (ol_frame){.at = open + 1, .end = close, .scope = scope};
    if (!ol__is(b, close, '}'))
        f->end = close + 1; /* unbalanced: the group has no end of its own */
}

/* Attributes that keep a declaration alive. */
static void live_attribute(ol_builder *b, ol_head *h, uint32_t from, uint32_t to)
{
    static const char *const words[] = {"constructor", "destructor", "used",       "unused", "maybe_unused",
                                        "alias",       "ifunc",      "section",    "weak",   "cleanup",
                                        "interrupt",   "dllexport",  "visibility", "weakref"};
    for (uint32_t i = from; i < to; i++) {
        if (!ol__word(b, i))
            continue;
        const char *s = lex_name(&b->names, OL_TOKS(b)[i].name);
        size_t n = strlen(s);
        if (n > 4 && s[0] == '_' && s[1] == '_' && s[n - 1] == '_')
            s += 2, n -= 4;
        for (size_t k = 0; k < sizeof words / sizeof *words; k++)
            if (n == strlen(words[k]) && !memcmp(s, words[k], n))
                h->flags |= OL_LIVE;
    }
}

/* Attributes at i, of any spelling; returns the token behind them. */
uint32_t ol__skip_attributes(ol_builder *b, ol_frame *f, uint32_t i)
{
    for (;;) {
        uint32_t from = i;
        if (i < f->end && (ol__class(b, i) & LEX_K_ATTR)) {
            bool gnu = ol__kw(b, i) != LEX_ASM && ol__kw(b, i) != LEX_ASM2 && ol__kw(b, i) != LEX_ASM3;
            i++;
            while (i < f->end && (ol__class(b, i) & LEX_K_QUAL) && !gnu)
                i++;
            if (i < f->end && ol__is(b, i, '('))
                i = ol__partner(b, f, i) + 1;
        } else if (i + 1 < f->end && ol__is(b, i, '[') && ol__is(b, i + 1, '[')) {
            i = ol__partner(b, f, i) + 1;
        } else {
            return i;
        }
        live_attribute(b, &f->head, from, i);
    }
}

/* a::b<c>::d from token i: the last token of it. */
static uint32_t long_name(const ol_builder *b, const ol_frame *f, uint32_t i)
{
    uint32_t last = i;
    if (ol__is(b, i, LEX_SCOPE) && i + 1 < f->end && OL_TOKS(b)[i + 1].kind == LEX_WORD)
        last = ++i;
    while (i + 1 < f->end) {
        if (ol__is(b, i + 1, '<') && b->cxx) {
            uint32_t e = ol__angle_end(b, i + 1, f->end);
            if (e == i + 1)
                break;
            i = last = e - 1;
        } else if (ol__is(b, i + 1, LEX_SCOPE) && i + 2 < f->end) {
            uint32_t k = i + 2;
            if (ol__kw(b, k) == LEX_TEMPLATE && k + 1 < f->end)
                k++;
            if (!ol__word(b, k))
                break;
            i = last = k;
        } else {
            break;
        }
    }
    return last;
}

/* ---- struct, union, enum, class
 * ------------------------------------------------------------------------------ */
/* The name behind the keyword at i, macro words passed over: first and last token; returns what follows. */
static uint32_t tag_name(ol_builder *b, ol_frame *f, uint32_t i, uint32_t *name, uint32_t *name_last)
{
    bool is_enum = ol__kw(b, i) == LEX_ENUM;
    i++;
    if (is_enum && i < f->end && (ol__kw(b, i) == LEX_CLASS || ol__kw(b, i) == LEX_STRUCT))
        i++;
    i = ol__skip_attributes(b, f, i);
    *name = OL_NONE;
    if (i >= f->end || !(ol__word(b, i) || ol__is(b, i, LEX_SCOPE)))
        return i;
    *name = i;
    *name_last = long_name(b, f, i);
    i = ol__skip_attributes(b, f, *name_last + 1);
    for (unsigned words = 0; words < 8; words++) { /* struct MACRO X {, class MACRO(1) X : */
        uint32_t k = i;
        if (k < f->end && ol__is(b, k, '('))
            k = ol__partner(b, f, k) + 1;
        if (k >= f->end || !ol__word(b, k))
            break;
        uint32_t last = long_name(b, f, k), next = last + 1;
        bool final =
            OL_TOKS(b)[k].end - OL_TOKS(b)[k].start == 5 && !memcmp(b->src + OL_TOKS(b)[k].start, "final", 5);
        if (next >= f->end ||
            !(ol__is(b, next, '{') || (!is_enum && ol__is(b, next, ':')) || ol__word(b, next)))
            break;
        if (ol__word(b, next) &&
            !(next + 1 < f->end && (ol__is(b, next + 1, '{') || ol__is(b, next + 1, ':'))))
            break;
        i = next;
        if (final)
            break;
        if (ol__looks_macro(b, k) && !ol__looks_macro(b, *name))
            continue; /* class X FINAL : */
        *name = k;
        *name_last = last;
    }
    return i;
}

static uint32_t tag_kind(uint32_t kw)
{
    return kw == LEX_STRUCT ? OL_STRUCT : kw == LEX_UNION ? OL_UNION : kw == LEX_ENUM ? OL_ENUM : OL_CLASS;
}

static uint32_t tag_decl(ol_builder *b, ol_frame *f, uint32_t kw_tok, uint32_t name, uint32_t last)
{
    uint32_t d = ol__new_decl(b, f, tag_kind(ol__kw(b, kw_tok)), kw_tok, f->head.start);
    if (b->oom)
        return d;
    ol_decl *r = &OL_DECLS(b)[d];
    r->flags &= ~(uint32_t)(OL_STATIC | OL_EXTERN | OL_CONST | OL_THREAD);
    r->name_at = OL_TOKS(b)[kw_tok].start;
    if (ol__kw(b, kw_tok) == LEX_ENUM && ol__class(b, kw_tok + 1) & LEX_K_TAG)
        r->flags |= OL_SCOPED;
    if (name == OL_NONE)
        return d;
    OL_TOKS(b)[name].flags |= LEX_F_NAME;
    r->name_at = OL_TOKS(b)[name].start;
    uint32_t text = ol__join(b, name, last + 1);
    r = &OL_DECLS(b)[d];
    r->name = text;
    r->base = name == last ? text : OL_TOKS(b)[ol__word(b, last) ? last : name].name;
    return d;
}

/* At struct, union, enum or class. Enters the body of a class. */
static void tag(ol_builder *b, ol_frame *f)
{
    uint32_t kw = f->at, name, last = 0, bases = OL_NONE;
    uint32_t i = tag_name(b, f, kw, &name, &last), d;
    bool is_enum = ol__kw(b, kw) == LEX_ENUM, bare = b->items.n == f->head.items;
    if (i < f->end && ol__is(b, i, ':') && (name == OL_NONE || is_enum || b->cxx)) {
        uint32_t open = i + 1;
        uint32_t limit = f->end - i > OL_TEMPLATE_SPAN ? i + OL_TEMPLATE_SPAN : f->end;
        while (open < limit && !ol__is(b, open, '{') && !ol__is(b, open, ';'))
            open++;
        if (open < f->end && (ol__is(b, open, '{') || !is_enum))
            bases = i;
        if (bases != OL_NONE || (is_enum && bare && open < f->end && ol__is(b, open, ';')))
            i = open;
    }
    if (i < f->end && ol__is(b, i, '{')) {
        uint32_t close = ol__partner(b, f, i);
        d = tag_decl(b, f, kw, name, last);
        if (b->oom)
            return;
        uint32_t sig = bases == OL_NONE ? 0 : ol__join(b, bases, i);
        ol_decl *r = &OL_DECLS(b)[d];
        r->flags |= OL_DEFINITION;
        r->sig = sig;
        r->end = OL_TOKS(b)[close].end;
        f->head.tag = d;
        f->head.body = i;
        f->head.body_end = close;
        add_item(b, OL_I_TAG, kw, close);
        f->at = close + 1;
        if (is_enum) {
            ol__enumerators(b, f, d, i, close);
            return;
        }
        uint32_t keep = f->scope.flags & (OL_EXTERN_C | OL_ANONYMOUS);
        ol__enter(b, i, close, (ol_scope){.decl = d, .flags = keep | OL_MEMBER, .owner = d});
        return;
    }
    bool forward = bare || (f->head.flags & OL_TEMPLATE);
    if (name != OL_NONE && i < f->end && ol__is(b, i, ';') && forward && !(f->head.flags & OL_FRIEND))
        tag_decl(b, f, kw, name, last);
    add_item(b, OL_I_TAG, kw, i > kw ? i - 1 : kw);
    f->at = i > kw ? i : kw + 1;
}

/* ---- items
 * ------------------------------------------------------------------------------------------------------ */
static void lost(ol_frame *f, uint32_t i)
{
    if (f->head.lost == OL_NONE)
        f->head.lost = i;
    f->at = i + 1;
}

static void storage(ol_builder *b, ol_frame *f, uint32_t i)
{
    static const struct {
        uint32_t kw, flag;
    } says[] = {{LEX_STATIC, OL_STATIC},
                {LEX_EXTERN, OL_EXTERN},
                {LEX_INLINE, OL_INLINE},
                {LEX_INLINE2, OL_INLINE},
                {LEX_INLINE3, OL_INLINE},
                {LEX_INLINE4, OL_INLINE},
                {LEX_CONSTEXPR, OL_INLINE | OL_CONST},
                {LEX_CONSTEVAL, OL_INLINE},
                {LEX_VIRTUAL, OL_VIRTUAL},
                {LEX_FRIEND, OL_FRIEND},
                {LEX_THREAD, OL_THREAD},
                {LEX_THREAD2, OL_THREAD},
                {LEX_THREAD3, OL_THREAD}};
    uint32_t kw = ol__kw(b, i);
    if (kw == LEX_TYPEDEF)
        f->head.is_typedef = true;
    for (size_t k = 0; k < sizeof says / sizeof *says; k++)
        if (says[k].kw == kw)
            f->head.flags |= says[k].flag;
    add_item(b, OL_I_STORE, i, i);
    f->at = i + 1;
    if (kw == LEX_EXTERN && f->at < f->end && OL_TOKS(b)[f->at].kind == LEX_STRING) {
        f->head.flags |= OL_EXTERN_C;
        f->at++;
    }
}

/* operator...: all to the parenthesis of the parameters. */
static void operator_name(ol_builder *b, ol_frame *f, uint32_t from, uint32_t i)
{
    uint32_t k = i + 1;
    if (k + 1 < f->end && (ol__is(b, k, '(') || ol__is(b, k, '[')))
        k = ol__partner(b, f, k) + 1;
    while (k < f->end && !ol__is(b, k, '(') && !ol__is(b, k, ';') && !ol__is(b, k, '{'))
        k++;
    add_item(b, OL_I_SPECIAL, from, k - 1);
    f->at = k;
}

static void word_item(ol_builder *b, ol_frame *f, uint32_t i)
{
    uint32_t last = long_name(b, f, i), next = last + 1;
    f->at = next;
    if (next + 1 < f->end && ol__is(b, next, LEX_SCOPE)) {
        if (ol__kw(b, next + 1) == LEX_OPERATOR) {
            operator_name(b, f, i, next + 1);
            return;
        }
        if (ol__is(b, next + 1, '~') && next + 2 < f->end && ol__word(b, next + 2)) {
            add_item(b, OL_I_SPECIAL, i, next + 2);
            f->at = next + 3;
            return;
        }
        f->at = next + 1; /* A::* */
        if (!ol__is(b, f->at, '*'))
            lost(f, next);
        return;
    }
    if (ol__is(b, i, LEX_SCOPE) && last == i) {
        lost(f, i);
        return;
    }
    add_item(b, OL_I_WORD, i, last);
}

static void keyword_item(ol_builder *b, ol_frame *f, uint32_t i)
{
    unsigned does = ol__class(b, i);
    uint32_t kw = ol__kw(b, i);
    bool group = i + 1 < f->end && ol__is(b, i + 1, '(');
    f->at = i + 1;
    if (kw == LEX_ATOMIC && group) {
        add_item(b, OL_I_TYPE, i, ol__partner(b, f, i + 1));
        f->at = ol__partner(b, f, i + 1) + 1;
    } else if (does & LEX_K_TYPE) {
        add_item(b, OL_I_TYPE, i, i);
    } else if (does & LEX_K_TYPEOF) {
        uint32_t last = group ? ol__partner(b, f, i + 1) : i;
        add_item(b, OL_I_TYPE, i, last);
        f->at = last + 1;
    } else if (does & LEX_K_QUAL) {
        add_item(b, OL_I_QUAL, i, i);
    } else if (does & LEX_K_STORE) {
        storage(b, f, i);
    } else if (does & LEX_K_TAG) {
        f->at = i;
        tag(b, f);
    } else if (does & LEX_K_ATTR) {
        f->at = ol__skip_attributes(b, f, i);
    } else if (kw == LEX_OPERATOR) {
        operator_name(b, f, i, i);
    } else if (kw == LEX_THROW || kw == LEX_TRY) {
        if (group)
            f->at = ol__partner(b, f, i + 1) + 1;
    } else {
        lost(f, i);
    }
}

/* ':' in a head: a bit-field, or the initialisers of a constructor, whose body is found here. */
static void colon(ol_builder *b, ol_frame *f, uint32_t i)
{
    ol_found found = {0};
    if (!f->head.colons++)
        ol__analyse(b, f, f->head.items, b->items.n, true, &found); /* once: linear */
    if (found.kind != OL_FUNCTION) {
        add_item(b, OL_I_COLON, i, i);
        f->at = ol__skip_to(b, f, i + 1, ",;{");
        return;
    }
    for (uint32_t k = i + 1; k < f->end; k++) {
        if (ol__is(b, k, ';'))
            break;
        if (ol__is(b, k, '('))
            k = ol__partner(b, f, k);
        if (!ol__is(b, k, '{'))
            continue;
        bool value = ol__word(b, k - 1) || ol__is(b, k - 1, '>');
        uint32_t close = ol__partner(b, f, k);
        if (!value) {
            ol__finish_head(b, f, close + 1, k);
            return;
        }
        k = close;
    }
    lost(f, i);
}

/* '{' in a head that is no body of a type. */
static void brace(ol_builder *b, ol_frame *f, uint32_t i)
{
    uint32_t close = ol__partner(b, f, i);
    const ol_item *last = last_item(b, f);
    ol_found found;
    ol__analyse(b, f, f->head.items, b->items.n, true, &found);
    if (found.kind == OL_FUNCTION && f->head.lost == OL_NONE) {
        ol__finish_head(b, f, close + 1, i);
    } else if (last && (last->kind == OL_I_WORD || last->kind == OL_I_SQUARE || last->kind == OL_I_INIT) &&
               found.kind == OL_VARIABLE) {
        add_item(b, OL_I_INIT, i, close);
        f->at = close + 1;
    } else {
        if (f->head.lost == OL_NONE)
            f->head.lost = i;
        ol__finish_head(b, f, close + 1, OL_NONE);
    }
}

/* Old-style definition: declarations of parameters between head and body? Then the body's '{'. */
static uint32_t old_style_body(const ol_builder *b, const ol_frame *f, uint32_t semicolon)
{
    uint32_t limit = f->end - semicolon > 300 ? semicolon + 300 : f->end;
    for (uint32_t i = semicolon; i < limit; i++) {
        if (ol__is(b, i, '{'))
            return ol__is(b, i - 1, ';') ? i : OL_NONE;
        if (ol__is(b, i, '}') || ol__is(b, i, '=') || (ol__class(b, i) & LEX_K_STORE))
            return OL_NONE;
    }
    return OL_NONE;
}

static void semicolon(ol_builder *b, ol_frame *f, uint32_t i)
{
    ol_found found;
    ol__analyse(b, f, f->head.items, b->items.n, true, &found);
    uint32_t body = found.kind == OL_FUNCTION && found.old_style ? old_style_body(b, f, i) : OL_NONE;
    if (body != OL_NONE) {
        f->head.flags |= OL_KNR;
        ol__region(b, OL_WHY_KNR, OL_TOKS(b)[f->head.start].start, OL_TOKS(b)[body].start,
                   OL_TOKS(b)[i].cond);
        ol__finish_head(b, f, ol__partner(b, f, body) + 1, body);
    } else {
        ol__finish_head(b, f, i + 1, OL_NONE);
    }
}

/* The ',' or ';' that ends an initialiser; a<b, c> is no end in C++. */
static uint32_t initialiser_end(const ol_builder *b, const ol_frame *f, uint32_t i)
{
    for (; i < f->end; i++) {
        if (ol__is(b, i, ',') || ol__is(b, i, ';'))
            return i;
        if (ol__is(b, i, '(') || ol__is(b, i, '[') || ol__is(b, i, '{'))
            i = ol__partner(b, f, i);
        else if (b->cxx && ol__is(b, i, '<') && ol__word(b, i - 1)) {
            uint32_t e = ol__angle_end(b, i, f->end);
            i = e > i ? e - 1 : i;
        }
    }
    return f->end;
}

static void punct_item(ol_builder *b, ol_frame *f, uint32_t i)
{
    unsigned c = OL_TOKS(b)[i].code;
    uint32_t last = i;
    if (c == ';') {
        semicolon(b, f, i);
        return;
    }
    if (c == '{') {
        brace(b, f, i);
        return;
    }
    if (c == ':') {
        colon(b, f, i);
        return;
    }
    if (c == '=') {
        last = initialiser_end(b, f, i + 1);
        add_item(b, OL_I_INIT, i, last - 1);
        f->at = last;
        return;
    }
    if (c == LEX_SCOPE) {
        word_item(b, f, i);
        return;
    }
    if (c == '[' && i + 1 < f->end && ol__is(b, i + 1, '[')) {
        f->at = ol__skip_attributes(b, f, i);
        return;
    }
    if (c == '~' && i + 1 < f->end && ol__word(b, i + 1)) {
        add_item(b, OL_I_SPECIAL, i, i + 1);
        f->at = i + 2;
        return;
    }
    if (c == '(' || c == '[')
        last = ol__partner(b, f, i);
    if (c == '(')
        add_item(b, OL_I_PAREN, i, last);
    else if (c == '[')
        add_item(b, OL_I_SQUARE, i, last);
    else if (c == ',')
        add_item(b, OL_I_COMMA, i, i);
    else if (c == '*' || c == '&' || c == '^' || c == LEX_ANDAND)
        add_item(b, OL_I_STAR, i, i);
    else if (c == LEX_ARROW)
        add_item(b, OL_I_ARROW, i, i);
    else if (c != LEX_DOTS) {
        lost(f, i);
        return;
    }
    f->at = last + 1;
}

void ol__continue_head(ol_builder *b)
{
    uint32_t depth = b->frames.n;
    while (b->frames.n == depth && !b->oom) {
        ol_frame *f = ol__frame(b);
        if (!f->in_head)
            return;
        if (f->at >= f->end) {
            bool words = true; /* macro words alone, such as __END_DECLS, are no declaration and no puzzle */
            for (uint32_t i = f->head.items; i < b->items.n; i++)
                words = words && ((ol_item *)b->items.v)[i].kind == OL_I_WORD;
            if (f->head.lost == OL_NONE && (!words || b->items.n > f->head.items + 1))
                f->head.lost = f->end - 1;
            ol__finish_head(b, f, f->end, OL_NONE);
            return;
        }
        const lex_token *t = &OL_TOKS(b)[f->at];
        if (t->kind == LEX_PUNCT)
            punct_item(b, f, f->at);
        else if (ol__word(b, f->at))
            word_item(b, f, f->at);
        else if (t->kind == LEX_WORD)
            keyword_item(b, f, f->at);
        else
            lost(f, f->at);
    }
}
