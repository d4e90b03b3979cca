/* Which name a declarator declares: a pattern over items that prefers "nothing" to a guess. */
#include "tools/tierlint/outline_int.h"

static const ol_item *item(const ol_builder *b, uint32_t i)
{
    return (const ol_item *)b->items.v + i;
}

static uint32_t kind_at(const ol_builder *b, uint32_t i, uint32_t to)
{
    return i < to ? item(b, i)->kind : OL_I_END;
}

bool ol__looks_macro(const ol_builder *b, uint32_t tok)
{
    const lex_token *t = &OL_TOKS(b)[tok];
    const uint8_t *s = b->src + t->start;
    uint32_t n = t->end - t->start;
    if (n > 2 && s[0] == '_' && s[1] == '_')
        return true;
    bool upper = false;
    for (uint32_t i = 0; i < n; i++) {
        if (s[i] >= 'a' && s[i] <= 'z')
            return false;
        if (s[i] >= 'A' && s[i] <= 'Z')
            upper = true;
    }
    return upper && n > 1;
}

static bool nothing(ol_found *out, uint32_t why)
{
    out->kind = 0;
    out->why = why;
    return true;
}

/* ( * name ), ( name ), ( *name(...) ): what stands in parentheses where a declarator may. */
static bool inside_group(const ol_builder *b, const ol_item *g, bool params_follow, ol_found *out)
{
    const lex_token *t = OL_TOKS(b);
    uint32_t i = g->tok + 1, end = g->last;
    bool star = false, hidden = false; /* hidden: by a macro word that may hold a star */
    for (; i < end; i++) {
        if (t[i].kind == LEX_PUNCT) {
            if (t[i].code == '*' || t[i].code == '&' || t[i].code == '^' || t[i].code == LEX_ANDAND)
                star = true;
            else if (t[i].code != '(' && t[i].code != LEX_SCOPE)
                return false;
        } else if (ol__class(b, i) & LEX_K_ATTR) {
            if (ol__is(b, i + 1, '(') && t[i + 1].match < end)
                i = t[i + 1].match;
        } else if (ol__class(b, i) & LEX_K_QUAL) {
            continue;
        } else if (!ol__word(b, i)) {
            return false;
        } else if (t[i + 1].kind == LEX_PUNCT && t[i + 1].code != '*' && t[i + 1].code != LEX_SCOPE) {
            break;
        } else if (ol__word(b, i + 1)) {
            hidden = ol__looks_macro(b, i);
        }
    }
    if (i >= end)
        return false;
    unsigned next = t[i + 1].code;
    out->tok = out->last = i;
    out->kind = OL_VARIABLE;
    if (next == '(') {
        out->kind = OL_FUNCTION;
        out->params = i + 1;
    } else if (next != ')' && next != '[') {
        return false;
    } else if (!star && hidden && params_follow) {
        out->flags |= OL_UNKNOWN_WORDS | OL_UNCERTAIN;
    } else if (!star && params_follow) {
        out->kind = OL_FUNCTION;
    } else if (!star) {
        return false; /* T (x); may be a call */
    }
    return true;
}

/* Do these parentheses hold what parameters cannot be: literals, operators, empty places? */
static bool no_parameters(const ol_builder *b, uint32_t open)
{
    const lex_token *t = OL_TOKS(b);
    uint32_t end = t[open].match;
    bool start = true;
    for (uint32_t i = open + 1; i < end; i++) {
        if (start && (t[i].kind == LEX_NUMBER || t[i].kind == LEX_STRING || t[i].kind == LEX_CHARS))
            return true;
        if (t[i].kind == LEX_PUNCT) {
            unsigned c = t[i].code;
            if (c == '<' && b->cxx && ol__angle_end(b, i, end) > i) {
                i = ol__angle_end(b, i, end) - 1;
                start = false;
                continue;
            }
            if (start && (c == ',' || c == '(' || c == '{' || c == '-' || c == '!' || c == '&' || c == '*'))
                return true;
            if (c == LEX_ARROW || c == '.' || c == '+' || c == '/' || c == ';')
                return true;
            if (c == '=') { /* a default argument may be anything */
                while (i < end && !ol__is(b, i, ','))
                    i = t[i].match < end && t[i].match > i ? t[i].match + 1 : i + 1;
                start = true;
                continue;
            }
            if ((c == '(' || c == '[' || c == '{') && t[i].match < end)
                i = t[i].match;
        }
        start = ol__is(b, i, ',');
    }
    return false;
}

/* Only words and commas: the parameters of an old-style definition. */
static bool names_only(const ol_builder *b, uint32_t open)
{
    const lex_token *t = OL_TOKS(b);
    uint32_t n = 0;
    for (uint32_t i = open + 1; i < t[open].match; i++, n++)
        if (n % 2 ? !ol__is(b, i, ',') : !ol__word(b, i))
            return false;
    return n % 2 == 1;
}

/* What follows the parameters: items [i, to). */
static void trailing(const ol_builder *b, uint32_t i, uint32_t to, ol_found *out)
{
    uint32_t types = 0, words = 0;
    for (; i < to; i++) {
        const ol_item *it = item(b, i);
        if (it->kind == OL_I_ARROW)
            break;
        types += it->kind == OL_I_TYPE || it->kind == OL_I_TAG;
        words += it->kind == OL_I_WORD;
        if (it->kind != OL_I_INIT)
            continue;
        uint32_t kw = it->tok + 1 < b->toks.n ? ol__kw(b, it->tok + 1) : 0;
        if (kw == LEX_DELETE)
            out->flags |= OL_DELETED;
        if (kw == LEX_DEFAULT || kw == LEX_DELETE)
            out->flags |= OL_DEFINITION;
        else
            out->flags |= OL_VIRTUAL; /* = 0 */
    }
    if ((types || words >= 2) && words && names_only(b, out->params))
        out->old_style = true;
    else if (types)
        out->flags |= OL_UNCERTAIN;
}

/* The word item at i is followed by parentheses, and a type came before. */
static bool function_name(const ol_builder *b, uint32_t i, uint32_t to, uint32_t words, bool type,
                          ol_found *out)
{
    const ol_item *w = item(b, i), *p = item(b, i + 1);
    const lex_token *t = OL_TOKS(b);
    out->params = p->tok;
    if (kind_at(b, i + 2, to) == OL_I_PAREN)
        return nothing(out, OL_WHY_MACRO); /* NAME(x)(int) */
    if (ol__is(b, p->tok + 1, '(') && t[p->tok + 1].match + 1 == p->last) {
        /* name P((params)): the portable prototypes of the nineties */
        if (!words || item(b, i - 1)->kind != OL_I_WORD || (!type && words < 2))
            return nothing(out, OL_WHY_MACRO);
        out->params = p->tok + 1;
        w = item(b, i - 1);
        if (type && words == 1)
            out->flags &= ~(uint32_t)OL_UNKNOWN_WORDS; /* the word was this name */
    } else if (no_parameters(b, p->tok)) {
        if (!b->cxx || ol__looks_macro(b, w->tok))
            return nothing(out, OL_WHY_MACRO);
        out->kind = OL_VARIABLE; /* T x(1); */
        out->flags |= OL_DEFINITION | OL_UNCERTAIN;
    }
    if (!out->kind)
        out->kind = OL_FUNCTION;
    out->tok = w->tok;
    out->last = w->last;
    if (out->kind == OL_FUNCTION)
        trailing(b, i + 2, to, out);
    return true;
}

static bool is_constructor(const ol_builder *b, const ol_frame *f, const ol_item *w)
{
    const lex_token *t = OL_TOKS(b);
    if (!b->cxx)
        return false;
    if (w->last == w->tok)
        return f->scope.decl < b->decls.n && (f->scope.flags & OL_MEMBER) &&
               OL_DECLS(b)[f->scope.decl].base == t[w->tok].name;
    /* A::A or A<T>::A */
    if (!ol__word(b, w->last) || w->last < w->tok + 2 || !ol__is(b, w->last - 1, LEX_SCOPE))
        return false;
    uint32_t k = w->last - 2;
    if (ol__is(b, k, '>'))
        for (uint32_t i = w->tok; i < w->last && i + 1 < b->toks.n; i++)
            if (ol__word(b, i) && ol__is(b, i + 1, '<'))
                k = i;
    return t[k].kind == LEX_WORD && t[k].name == t[w->last].name;
}

typedef struct seen {
    uint32_t words; /* that may be types or macros */
    bool type, star, macro;
} seen;

/* A word followed by parentheses. true: decided. *i moves over what was read. */
static bool word_and_paren(const ol_builder *b, const ol_frame *f, uint32_t *i, uint32_t to, seen *s,
                           ol_found *out)
{
    const ol_item *w = item(b, *i), *p = item(b, *i + 1);
    if (s->type || s->words || s->star || s->macro) {
        uint32_t after = kind_at(b, *i + 2, to);
        bool group = ol__is(b, p->tok + 1, '*') || ol__is(b, p->tok + 1, '^');
        if (group && !s->type && !s->star && after == OL_I_PAREN) { /* MACRO type (*name)(...) */
            s->words++;
            return false;
        }
        bool macro_type = !s->type && !s->star && ol__looks_macro(b, w->tok) && after == OL_I_WORD &&
                          !ol__looks_macro(b, item(b, *i + 2)->tok) && kind_at(b, *i + 3, to) == OL_I_PAREN;
        if (macro_type || (after == OL_I_STAR && ol__is(b, item(b, *i + 2)->tok, '*') &&
                           !s->star)) { /* LIST_OF(x) *name() */
            s->macro = true;
            out->flags |= OL_UNKNOWN_WORDS | OL_UNCERTAIN;
            ++*i;
            return false;
        }
        return function_name(b, *i, to, s->words, s->type || s->macro, out);
    }
    if (is_constructor(b, f, w)) {
        out->kind = OL_FUNCTION;
        out->flags |= OL_SPECIAL;
        out->tok = w->tok;
        out->last = w->last;
        out->params = p->tok;
        trailing(b, *i + 2, to, out);
        return true;
    }
    uint32_t after = kind_at(b, *i + 2, to);
    bool star =
        ol__is(b, p->tok + 1, '*') || ol__is(b, p->tok + 1, '&') || ol__is(b, p->tok + 1, '^') ||
        (ol__word(b, p->tok + 1) &&
         (ol__is(b, p->tok + 2, '*') || (ol__is(b, p->tok + 2, LEX_SCOPE) && ol__is(b, p->tok + 3, '*'))));
    /* type (MACRO name)(...): the macro holds the star */
    bool hidden = after == OL_I_PAREN && ol__word(b, p->tok + 1) && ol__word(b, p->tok + 2) &&
                  p->tok + 3 == p->last && ol__looks_macro(b, p->tok + 1);
    if (hidden)
        star = true;
    if (star && (after == OL_I_PAREN || after == OL_I_SQUARE)) { /* type (*name)(...) */
        s->words++;
        return false;
    }
    if (after == OL_I_END || after == OL_I_INIT || after == OL_I_COMMA)
        return nothing(out, OL_WHY_MACRO);
    s->macro = true; /* MACRO(x) int f(void); */
    out->flags |= OL_UNKNOWN_WORDS | OL_UNCERTAIN;
    ++*i;
    return false;
}

/* One item; true: decided. */
static bool step(const ol_builder *b, const ol_frame *f, uint32_t *i, uint32_t to, seen *s, ol_found *out)
{
    const ol_item *it = item(b, *i);
    uint32_t next = kind_at(b, *i + 1, to);
    bool typed = s->type || s->words || s->macro;
    switch (it->kind) {
    case OL_I_TYPE:
    case OL_I_TAG:
        if (s->words)
            out->flags |= OL_UNKNOWN_WORDS;
        s->type = true;
        return false;
    case OL_I_STAR:
        if (!typed)
            return nothing(out, OL_WHY_SYNTAX);
        if (!s->star)
            out->dfrom = it->tok;
        s->star = true;
        return false;
    case OL_I_SPECIAL:
        if (next != OL_I_PAREN)
            return nothing(out, OL_WHY_SYNTAX);
        out->kind = OL_FUNCTION;
        out->flags |= OL_SPECIAL;
        out->tok = it->tok;
        out->last = it->last;
        out->params = item(b, *i + 1)->tok;
        trailing(b, *i + 2, to, out);
        return true;
    case OL_I_WORD:
        if (next == OL_I_PAREN)
            return word_and_paren(b, f, i, to, s, out);
        if (next == OL_I_END || next == OL_I_SQUARE || next == OL_I_INIT || next == OL_I_COLON) {
            if (!typed)
                return nothing(out, next == OL_I_END ? 0 : OL_WHY_SYNTAX);
            bool body = *i && item(b, *i - 1)->kind == OL_I_TAG && ol__is(b, item(b, *i - 1)->last, '}');
            if (body && next == OL_I_END && !f->head.is_typedef && ol__looks_macro(b, it->tok))
                return nothing(out, 0); /* struct { ... } PACKED; */
            out->kind = OL_VARIABLE;
            out->tok = it->tok;
            out->last = it->last;
            return true;
        }
        if (!s->star && (s->type || s->words))
            out->flags |= OL_UNKNOWN_WORDS;
        s->words++;
        return false;
    case OL_I_PAREN:
        if (!typed)
            return nothing(out, OL_WHY_SYNTAX);
        if (!s->star)
            out->dfrom = it->tok;
        if (!inside_group(b, it, next == OL_I_PAREN, out))
            return nothing(out, OL_WHY_SYNTAX);
        if (out->kind == OL_FUNCTION && out->params == OL_NONE)
            out->params = item(b, *i + 1)->tok;
        if (out->kind == OL_FUNCTION)
            trailing(b, next == OL_I_PAREN ? *i + 2 : *i + 1, to, out);
        return true;
    case OL_I_SQUARE:
    case OL_I_ARROW:
        return nothing(out, OL_WHY_SYNTAX);
    case OL_I_INIT:
    case OL_I_COLON:
        return nothing(out, 0);
    default:
        return false;
    }
}

void ol__analyse(const ol_builder *b, const ol_frame *f, uint32_t from, uint32_t to, bool first,
                 ol_found *out)
{
    seen s = {.type = !first};
    *out = (ol_found){.params = OL_NONE, .dfrom = OL_NONE};
    for (uint32_t i = from; i < to; i++)
        if (step(b, f, &i, to, &s, out))
            break;
    if (out->kind && out->dfrom == OL_NONE)
        out->dfrom = out->tok;
    for (uint32_t i = from; i < to && out->kind; i++)
        if (item(b, i)->kind == OL_I_INIT)
            out->flags |= out->kind == OL_VARIABLE ? OL_DEFINITION : 0;
}
