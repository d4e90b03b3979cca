/* Stage 2: partners of brackets, and whether the C++ keywords are keywords here. */
#include "tools/tierlint/outline_int.h"

#include <string.h>

typedef struct open_bracket {
    uint32_t tok;
    uint32_t parens; /* open '(' since the last '{', this one included */
    uint16_t code;
} open_bracket;

static open_bracket *top(const ol_builder *b)
{
    return b->marks.n ? (open_bracket *)b->marks.v + b->marks.n - 1 : NULL;
}

/* Closes the innermost bracket, at token i or (unbalanced) just before it. */
static void close_top(ol_builder *b, uint32_t i, bool balanced)
{
    open_bracket *o = top(b);
    lex_token *t = OL_TOKS(b);
    t[o->tok].match = i;
    if (balanced)
        t[i].match = o->tok;
    else
        ol__region(b, OL_WHY_BRACES, t[o->tok].start, i < b->toks.n ? t[i].start : b->size, t[o->tok].cond);
    b->marks.n--;
}

static void close_bracket(ol_builder *b, uint32_t i, unsigned code, uint32_t *braces)
{
    lex_token *t = OL_TOKS(b);
    open_bracket *o = top(b);
    if (code == '}' && *braces) {
        while ((o = top(b))->code != '{')
            close_top(b, i, false);
        close_top(b, i, true);
        --*braces;
    } else if (code == ')' && o && o->parens) {
        while ((o = top(b))->code != '(')
            close_top(b, i, false);
        close_top(b, i, true);
    } else if (code == ']' && o && o->code == '[') {
        close_top(b, i, true);
    } else {
        ol__region(b, OL_WHY_BRACES, t[i].start, t[i].end, t[i].cond);
    }
}

static bool cxx_shape(const ol_builder *b, uint32_t i)
{
    const lex_token *t = OL_TOKS(b) + i;
    uint32_t n = b->toks.n;
    if (t->kind == LEX_PUNCT)
        return t->code == LEX_SCOPE;
    if (t->kind != LEX_WORD || i + 1 >= n)
        return false;
    bool next_word = t[1].kind == LEX_WORD;
    unsigned next = t[1].kind == LEX_PUNCT ? t[1].code : 0;
    unsigned third = i + 2 < n && t[2].kind == LEX_PUNCT ? t[2].code : 0;
    switch (t->name) {
    case LEX_TEMPLATE:
        return next == '<';
    case LEX_NAMESPACE:
        return next == '{' || (next_word && third == '{');
    case LEX_CLASS:
        return next_word && (third == '{' || third == ';' || third == ':');
    case LEX_PUBLIC:
    case LEX_PRIVATE:
    case LEX_PROTECTED:
        return next == ':';
    case LEX_USING:
        return next_word && (t[1].name == LEX_NAMESPACE || third == '=');
    case LEX_OPERATOR:
        return next && next != ';' && next != ',' && next != ')' && next != '=' && next != '.' &&
               next != LEX_ARROW;
    case LEX_CONSTEXPR:
    case LEX_VIRTUAL:
    case LEX_NOEXCEPT:
    case LEX_DECLTYPE:
        return next_word || next == ';' || next == '{' || next == '(';
    default:
        return false;
    }
}

/* Is branch c, or one around it, about __cplusplus? */
static bool below_cplusplus(const ol_builder *b, uint32_t c)
{
    for (; c < b->conds.n; c = OL_CONDS(b)[c].parent) {
        uint32_t k = c, steps = 0; /* long chains of #elif would make this quadratic */
        for (; k < b->conds.n && steps++ < 8; k = OL_CONDS(b)[k].prev)
            if (strstr(lex_name(&b->names, OL_CONDS(b)[k].text), "__cplusplus"))
                return true;
    }
    return false;
}

static void settle_language(ol_builder *b)
{
    lex_token *t = OL_TOKS(b);
    uint32_t asked = OL_NONE - 1; /* the branch that below_cplusplus was last asked about */
    for (uint32_t i = 0; i < b->toks.n && !(b->file_flags & OL_FILE_CXX); i++) {
        if (!cxx_shape(b, i))
            continue;
        b->cxx = true;
        if (t[i].cond == asked)
            continue;
        asked = t[i].cond;
        if (!below_cplusplus(b, asked))
            b->file_flags |= OL_FILE_CXX;
    }
    if (b->cxx)
        return;
    for (uint32_t i = 0; i < b->toks.n; i++)
        if (t[i].kind == LEX_WORD && (lex_keyword_class(t[i].name) & LEX_K_CXX))
            t[i].flags |= LEX_F_PLAIN;
}

void ol__match(ol_builder *b)
{
    lex_token *t = OL_TOKS(b);
    uint32_t braces = 0;
    for (uint32_t i = 0; i < b->toks.n && !b->oom; i++) {
        if (t[i].kind != LEX_PUNCT)
            continue;
        unsigned c = t[i].code;
        if (c == '{' || c == '(' || c == '[') {
            uint32_t parens = c == '{' || !b->marks.n ? 0 : top(b)->parens;
            open_bracket *o = ol__push(b, &b->marks, sizeof *o);
            *o = (open_bracket){i, parens + (c == '('), (uint16_t)c};
            braces += c == '{';
        } else if (c == '}' || c == ')' || c == ']') {
            close_bracket(b, i, c, &braces);
        }
    }
    while (b->marks.n && !b->oom)
        close_top(b, b->toks.n, false);
    if (!b->oom)
        settle_language(b);
}

uint32_t ol__angle_end(const ol_builder *b, uint32_t i, uint32_t to)
{
    const lex_token *t = OL_TOKS(b);
    uint32_t start = i, depth = 0, limit = to - i > OL_TEMPLATE_SPAN ? i + OL_TEMPLATE_SPAN : to;
    while (i < limit) {
        unsigned c = t[i].kind == LEX_PUNCT ? t[i].code : 0;
        if (c == '<') {
            depth++;
        } else if (c == '>') {
            if (!--depth)
                return i + 1;
        } else if (c == ';' || c == '{' || c == '}' || c == ')' || c == ']') {
            break;
        } else if (c == '(' || c == '[') {
            if (t[i].match >= limit)
                break;
            i = t[i].match;
        }
        i++;
    }
    return start;
}
