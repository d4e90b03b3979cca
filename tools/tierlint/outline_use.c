/* Which names a run of tokens uses, and which it declares for itself. */
#include "tools/tierlint/outline_int.h"

#include <string.h>

static bool is_punct(const lex_token *t, unsigned code)
{
    return t->kind == LEX_PUNCT && t->code == code;
}

static bool plain_word(const lex_token *t)
{
    return t->kind == LEX_WORD && (t->name >= LEX_KW_END || (t->flags & LEX_F_PLAIN));
}

/* A token that ends an operand: what follows it is an operator. */
static bool ends_operand(const lex_token *t)
{
    return plain_word(t) || t->kind == LEX_NUMBER || t->kind == LEX_STRING || t->kind == LEX_CHARS ||
           is_punct(t, ')') || is_punct(t, ']');
}

/* The use kinds of the word at i in [from, to). */
static uint32_t shape(const ol_builder *b, uint32_t i, uint32_t from, uint32_t to, bool head)
{
    const lex_token *t = OL_TOKS(b);
    const lex_token *prev = i > from ? &t[i - 1] : NULL, *next = i + 1 < to ? &t[i + 1] : NULL;
    uint32_t kinds = 0;
    if (prev && (is_punct(prev, '.') || is_punct(prev, LEX_ARROW)))
        return OL_USE_MEMBER;
    if (prev && prev->kind == LEX_WORD && (lex_keyword_class(prev->name) & LEX_K_TAG))
        return OL_USE_TYPE | OL_USE_TAG;
    if (prev && prev->kind == LEX_WORD && prev->name == LEX_GOTO)
        return OL_USE_MEMBER;
    if (prev && is_punct(prev, LEX_SCOPE))
        kinds |= OL_USE_QUALIFIED;
    if (next && is_punct(next, '('))
        return kinds | OL_USE_CALL;
    if (next && is_punct(next, ':') && prev &&
        (is_punct(prev, ';') || is_punct(prev, '{') || is_punct(prev, '}')))
        return OL_USE_MEMBER; /* a label */
    if (next && plain_word(next))
        return kinds | OL_USE_TYPE;
    if (head && next && (is_punct(next, '*') || is_punct(next, '&')) && i + 2 < to &&
        !(prev && ends_operand(prev)) &&
        (plain_word(&t[i + 2]) || is_punct(&t[i + 2], ')') || is_punct(&t[i + 2], ',') ||
         is_punct(&t[i + 2], '*')))
        return kinds | OL_USE_TYPE;
    return kinds | OL_USE_IDENT;
}

static bool attribute(uint32_t kw)
{
    return kw == LEX_ATTRIBUTE || kw == LEX_ATTRIBUTE2 || kw == LEX_DECLSPEC;
}

/* Inside __attribute__ only the argument of cleanup is a name of the program. Returns the last token. */
static uint32_t attribute_uses(ol_builder *b, uint32_t i, uint32_t to, uint32_t owner)
{
    const lex_token *t = OL_TOKS(b);
    if (i + 1 >= to || !is_punct(&t[i + 1], '(') || t[i + 1].match >= to)
        return i;
    uint32_t end = t[i + 1].match;
    for (uint32_t k = i + 2; k + 2 < end; k++) {
        if (!plain_word(&t[k]) || !is_punct(&t[k + 1], '(') || !plain_word(&t[k + 2]))
            continue;
        if (strstr(lex_name(&b->names, t[k].name), "cleanup"))
            ol__use(b, t[k + 2].name, OL_USE_CALL, owner, t[k + 2].start);
    }
    return end;
}

void ol__uses_of(ol_builder *b, uint32_t from, uint32_t to, uint32_t owner, bool head)
{
    for (uint32_t i = from; i < to; i++) {
        const lex_token *t = &OL_TOKS(b)[i];
        if (t->kind != LEX_WORD || (t->flags & LEX_F_NAME))
            continue;
        if (!plain_word(t)) {
            if (attribute(t->name))
                i = attribute_uses(b, i, to, owner);
            continue;
        }
        uint32_t kinds = shape(b, i, from, to, head);
        if (!(kinds & (OL_USE_MEMBER | OL_USE_TAG | OL_USE_QUALIFIED)) && ol__local_is(b, t->name))
            kinds |= OL_USE_LOCAL;
        ol__use(b, t->name, kinds, owner, t->start);
    }
}

/* Parameter names: words that end a parameter. */
static void parameters(ol_builder *b, uint32_t open)
{
    const lex_token *t = OL_TOKS(b);
    uint32_t end = t[open].match;
    for (uint32_t i = open + 1; i + 1 <= end && end < b->toks.n; i++) {
        if (!plain_word(&t[i]) || t[i + 1].kind != LEX_PUNCT)
            continue;
        unsigned c = t[i + 1].code;
        if (c != ',' && c != ')' && c != '[' && c != '=')
            continue;
        const lex_token *p = &t[i - 1];
        bool typed = (p->kind == LEX_WORD && i - 1 > open) || is_punct(p, '*') || is_punct(p, '&') ||
                     is_punct(p, LEX_ANDAND) || is_punct(p, '>') || is_punct(p, ']') ||
                     is_punct(p, LEX_DOTS) || (is_punct(p, ')') && i - 1 > open);
        bool tag = p->kind == LEX_WORD && (lex_keyword_class(p->name) & LEX_K_TAG);
        bool qual = p->kind == LEX_WORD && (lex_keyword_class(p->name) & LEX_K_QUAL) && i >= open + 2 &&
                    (is_punct(&t[i - 2], '(') || is_punct(&t[i - 2], ','));
        if (typed && !tag && !qual)
            ol__local_set(b, t[i].name);
    }
}

/* A type at i that a declared name may follow: returns the token behind it, i where there is none. */
static uint32_t local_type(const ol_builder *b, uint32_t i, uint32_t to)
{
    const lex_token *t = OL_TOKS(b);
    bool have = false;
    while (i < to && t[i].kind == LEX_WORD) {
        unsigned does = ol__class(b, i);
        if (does & (LEX_K_QUAL | LEX_K_STORE)) {
            i++;
        } else if (does & LEX_K_TYPE) {
            have = true;
            i++;
        } else if ((does & LEX_K_TAG) && i + 1 < to && plain_word(&t[i + 1])) {
            have = true;
            i += 2;
        } else if ((does & LEX_K_TYPEOF) && i + 1 < to && is_punct(&t[i + 1], '(') && t[i + 1].match < to) {
            have = true;
            i = t[i + 1].match + 1;
        } else if (!does && plain_word(&t[i]) && !have) {
            have = true;
            for (i++; i + 1 < to && is_punct(&t[i], LEX_SCOPE) && t[i + 1].kind == LEX_WORD;)
                i += 2;
            if (i < to && is_punct(&t[i], '<'))
                i = ol__angle_end(b, i, to);
        } else {
            break;
        }
    }
    return have ? i : OL_NONE;
}

/* Locals declared by the statement at i, if it looks like a declaration. */
static void declared(ol_builder *b, uint32_t i, uint32_t to)
{
    const lex_token *t = OL_TOKS(b);
    uint32_t p = local_type(b, i, to);
    if (p == OL_NONE)
        return;
    for (;;) {
        bool star = false;
        while (p < to && (is_punct(&t[p], '*') || is_punct(&t[p], '&') || is_punct(&t[p], LEX_ANDAND) ||
                          (ol__class(b, p) & LEX_K_QUAL))) {
            star = true;
            p++;
        }
        if (p + 3 < to && is_punct(&t[p], '(') && is_punct(&t[p + 1], '*') && plain_word(&t[p + 2])) {
            ol__local_set(b, t[p + 2].name); /* function pointer */
            return;
        }
        if (p + 1 >= to || !plain_word(&t[p]) || t[p + 1].kind != LEX_PUNCT)
            return;
        unsigned c = t[p + 1].code;
        if (c != ';' && c != '=' && c != ',' && c != '[' && c != ':' && !(c == '(' && !star) && c != '{')
            return;
        ol__local_set(b, t[p].name);
        for (p++; p < to && !is_punct(&t[p], ',') && !is_punct(&t[p], ';') && !is_punct(&t[p], ')');) {
            bool group = is_punct(&t[p], '(') || is_punct(&t[p], '[') || is_punct(&t[p], '{');
            p = group && t[p].match < to ? t[p].match + 1 : p + 1;
        }
        if (p >= to || !is_punct(&t[p], ','))
            return;
        p++;
    }
}

void ol__locals_of(ol_builder *b, uint32_t params, uint32_t from, uint32_t to)
{
    const lex_token *t = OL_TOKS(b);
    if (params != OL_NONE)
        parameters(b, params);
    for (uint32_t i = from; i < to; i++) {
        bool begins = is_punct(&t[i], ';') || is_punct(&t[i], '{') || is_punct(&t[i], '}') ||
                      (is_punct(&t[i], '(') && i > from && ol__kw(b, i - 1) == LEX_FOR);
        if (begins && i + 2 < to && t[i + 1].kind == LEX_WORD)
            declared(b, i + 1, to);
    }
}
