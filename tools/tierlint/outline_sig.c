/* Signatures: what is left of a declarator without names, comments, blanks and storage words, in one spelling
 * ("long unsigned int" and "unsigned long" agree, so do "char *argv[]" and "char **" of a parameter). Nested
 * parameter lists are walked with a stack of their own. */
#include "tools/tierlint/outline_int.h"

#include <string.h>

void ol__sig_put(ol_builder *b, const char *s, size_t size)
{
    for (size_t i = 0; i < size; i++)
        *(char *)ol__push(b, &b->sig, 1) = s[i];
}

uint32_t ol__sig_take(ol_builder *b)
{
    uint32_t id = b->sig.n ? lex_intern(&b->names, b->sig.v, b->sig.n) : 0;
    b->sig.n = 0;
    return id;
}

static void put(ol_builder *b, const char *s)
{
    ol__sig_put(b, s, strlen(s));
}

static bool wordish(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '$' || (c & 0x80);
}

/* A token as it is written, a blank before it where two words would meet. */
static void put_token(ol_builder *b, uint32_t i)
{
    const lex_token *t = &OL_TOKS(b)[i];
    const char *s = (const char *)b->src + t->start;
    const char *before = b->sig.v;
    if (t->end > t->start && b->sig.n && wordish(before[b->sig.n - 1]) && wordish(*s))
        put(b, " ");
    ol__sig_put(b, s, t->end - t->start);
}

uint32_t ol__join(ol_builder *b, uint32_t from, uint32_t to)
{
    if (to > from + 2000)
        to = from + 2000;
    for (uint32_t i = from; i < to; i++)
        put_token(b, i);
    return ol__sig_take(b);
}

/* What was gathered of one type's specifiers. */
typedef struct spec {
    bool is_const, is_volatile, is_signed, is_unsigned, is_short, is_complex;
    unsigned longs;
    uint32_t base;            /* keyword of the basic type, or 0 */
    uint32_t named, named_to; /* tokens of a type with a name or of typeof(...) */
    uint32_t tag;             /* keyword token before it, or OL_NONE */
} spec;

static void take_type(spec *s, uint32_t kw)
{
    if (kw == LEX_LONG)
        s->longs++;
    else if (kw == LEX_SHORT)
        s->is_short = true;
    else if (kw == LEX_SIGNED || kw == LEX_SIGNED2)
        s->is_signed = true;
    else if (kw == LEX_UNSIGNED)
        s->is_unsigned = true;
    else if (kw == LEX_COMPLEX || kw == LEX_COMPLEX2)
        s->is_complex = true;
    else if (kw != LEX_INT || !s->base)
        s->base = kw;
}

static bool has_type(const spec *s)
{
    return s->base || s->longs || s->is_short || s->is_signed || s->is_unsigned || s->named != OL_NONE;
}

static uint32_t skip_group(const ol_builder *b, uint32_t i, uint32_t to)
{
    uint32_t m = OL_TOKS(b)[i].match;
    return m < to && m > i ? m + 1 : to;
}

/* The end of a::b<c> at i. */
static uint32_t name_end(const ol_builder *b, uint32_t i, uint32_t to)
{
    for (;;) {
        if (i < to && ol__is(b, i, LEX_SCOPE))
            i++;
        if (i < to && ol__kw(b, i) == LEX_TEMPLATE)
            i++;
        if (i < to && ol__word(b, i))
            i++;
        if (i < to && b->cxx && ol__is(b, i, '<'))
            i = ol__angle_end(b, i, to);
        if (i + 1 >= to || !ol__is(b, i, LEX_SCOPE) ||
            !(ol__word(b, i + 1) || ol__kw(b, i + 1) == LEX_TEMPLATE))
            return i;
    }
}

/* Is the word at i (ends at e) the type, or a macro before it, or already the declarator's name? */
static bool is_type_word(const ol_builder *b, uint32_t i, uint32_t e, uint32_t to, const spec *s)
{
    if (!has_type(s))
        return true;
    if (s->named == OL_NONE || e >= to)
        return false;
    return ol__looks_macro(b, s->named) && s->tag == OL_NONE && ol__word(b, e) && i != e;
}

/* Reads specifiers from i; returns the first token that is none. specifiers: all words up to to are some, so
 * that what is no type is a macro. */
static uint32_t gather(const ol_builder *b, uint32_t i, uint32_t to, bool specifiers, spec *s)
{
    *s = (spec){.named = OL_NONE, .tag = OL_NONE};
    while (i < to) {
        uint32_t kw = ol__kw(b, i);
        unsigned does = ol__class(b, i);
        if (kw == LEX_CONST || kw == LEX_CONST2 || kw == LEX_CONST3 || kw == LEX_CONSTEXPR) {
            s->is_const = s->is_const || kw != LEX_CONSTEXPR;
            i++;
        } else if (kw == LEX_VOLATILE || kw == LEX_VOLATILE2) {
            s->is_volatile = true;
            i++;
        } else if (does & LEX_K_ATTR || (kw == LEX_ATOMIC && i + 1 < to && ol__is(b, i + 1, '('))) {
            i++;
            if (i < to && ol__is(b, i, '('))
                i = skip_group(b, i, to);
        } else if (does & (LEX_K_QUAL | LEX_K_STORE) || OL_TOKS(b)[i].kind == LEX_STRING) {
            i++;
        } else if (does & LEX_K_TYPE) {
            if (s->named != OL_NONE && s->tag == OL_NONE)
                s->named = OL_NONE; /* a macro word stood before it */
            take_type(s, kw);
            i++;
        } else if (does & LEX_K_TYPEOF) {
            s->named = i++;
            if (i < to && ol__is(b, i, '('))
                i = skip_group(b, i, to);
            s->named_to = i;
        } else if (does & LEX_K_TAG) {
            s->tag = i++;
            if (i < to && (ol__class(b, i) & LEX_K_ATTR))
                continue;
            s->named = i;
            s->named_to = i = name_end(b, i, to);
            if (i < to && ol__is(b, i, '{'))
                i = skip_group(b, i, to);
        } else if (i + 1 < to && ol__is(b, i, '[') && ol__is(b, i + 1, '[')) {
            i = skip_group(b, i, to);
        } else if (ol__word(b, i) || (ol__is(b, i, LEX_SCOPE) && i + 1 < to && ol__word(b, i + 1))) {
            uint32_t e = name_end(b, i, to);
            if (e < to && ol__is(b, e, '(') && !has_type(s) && e + 1 < to && !ol__is(b, e + 1, '*')) {
                s->named = i; /* a macro with arguments stands for a type */
                s->named_to = i = skip_group(b, e, to);
                continue;
            }
            bool macro =
                has_type(s) && s->tag == OL_NONE && ol__looks_macro(b, i) && e < to && ol__word(b, e);
            if (specifiers && has_type(s))
                macro = s->tag != OL_NONE || s->named == OL_NONE || !ol__looks_macro(b, s->named);
            else if (!macro && !is_type_word(b, i, e, to, s))
                return i;
            if (!macro) {
                s->named = i;
                s->named_to = e;
            }
            i = e;
        } else {
            return i;
        }
    }
    return i;
}

static void put_spec(ol_builder *b, const spec *s, bool quals)
{
    if (s->is_const && quals)
        put(b, "const ");
    if (s->is_volatile && quals)
        put(b, "volatile ");
    if (s->is_complex)
        put(b, "complex ");
    if (s->base || s->longs || s->is_short || s->is_signed || s->is_unsigned) {
        bool chars = s->base == LEX_CHAR;
        if (s->is_unsigned)
            put(b, "unsigned ");
        if (s->is_signed && chars)
            put(b, "signed ");
        if (s->is_short)
            put(b, "short");
        else if (s->longs && s->base != LEX_DOUBLE)
            put(b, s->longs > 1 ? "long long" : "long");
        else if (s->longs)
            put(b, "long double");
        else
            put(b, s->base ? lex_name(&b->names, s->base) : "int");
        return;
    }
    if (s->tag != OL_NONE) {
        put_token(b, s->tag);
        if (s->named_to > s->named)
            put(b, " ");
    }
    if (s->named == OL_NONE)
        return;
    uint32_t to = s->named_to > s->named + 500 ? s->named + 500 : s->named_to;
    for (uint32_t i = s->named; i < to; i++)
        put_token(b, i);
}

/* ---- declarators
 * --------------------------------------------------------------------------------------------------- */
enum { SIG_DEEP = 24 };
typedef struct level {
    uint32_t close;                     /* token of its ')' */
    bool params, named, array, grouped; /* grouped: parentheses came already */
} level;

/* Does the parenthesis at i open a declarator rather than parameters? */
static bool opens_declarator(const ol_builder *b, uint32_t i, uint32_t to, bool named)
{
    if (named || i + 1 >= to)
        return false;
    if (ol__is(b, i + 1, '*') || ol__is(b, i + 1, '^') || ol__is(b, i + 1, '&') || ol__is(b, i + 1, '('))
        return true;
    if (!ol__word(b, i + 1))
        return false;
    uint32_t e = name_end(b, i + 1, to);
    return e < to && (ol__is(b, e, '*') || ol__is(b, e, LEX_SCOPE) ||
                      (ol__word(b, e) && !ol__is(b, e + 1, ',') && !ol__is(b, e + 1, ')')) ||
                      (ol__is(b, e, ')') && e + 1 < to && ol__is(b, e + 1, '(')));
}

/* At a parameter's first token: its specifiers. */
static uint32_t begin_param(ol_builder *b, uint32_t i, uint32_t close)
{
    spec s;
    uint32_t e = gather(b, i, close, false, &s);
    uint32_t k = e < close && ol__word(b, e) ? e + 1 : e; /* over the name */
    bool plain = k >= close || ol__is(b, k, ',') || ol__is(b, k, '=');
    put_spec(b, &s, !plain);
    return e;
}

/* Over a default argument or a bit-field's width, to the ',' or close. */
static uint32_t skip_value(const ol_builder *b, uint32_t i, uint32_t close)
{
    while (i < close && !ol__is(b, i, ',')) {
        const lex_token *t = &OL_TOKS(b)[i];
        bool group = t->kind == LEX_PUNCT && (t->code == '(' || t->code == '[' || t->code == '{');
        i = group ? skip_group(b, i, close) : i + 1;
    }
    return i;
}

static uint32_t qualifier(ol_builder *b, uint32_t i, uint32_t to, const level *l)
{
    uint32_t kw = ol__kw(b, i), next = i + 1;
    bool is_c = kw == LEX_CONST || kw == LEX_CONST2 || kw == LEX_CONST3;
    bool is_v = kw == LEX_VOLATILE || kw == LEX_VOLATILE2;
    uint32_t k = next < to && ol__word(b, next) ? next + 1 : next;
    bool last = l->params && (k >= l->close || ol__is(b, k, ',') || ol__is(b, k, '='));
    if ((is_c || is_v) && !last)
        put(b, is_c ? "const " : "volatile ");
    return next;
}

static uint32_t square(ol_builder *b, uint32_t i, uint32_t to, level *l)
{
    uint32_t end = skip_group(b, i, to);
    if (i + 1 < to && ol__is(b, i + 1, '['))
        return end; /* [[attribute]] */
    if (l->params && !l->array) {
        put(b, "*");
    } else {
        for (uint32_t k = i; k < end && k < i + 200; k++)
            put_token(b, k);
    }
    l->array = true;
    return end;
}

/* A word that is no qualifier: the declarator's name, or a macro, final or override behind the parameters. */
static uint32_t over_word(const ol_builder *b, uint32_t i, uint32_t to, level *l)
{
    if (!l->named) {
        l->named = true;
        return name_end(b, i, to);
    }
    i++;
    if (i >= to || !ol__is(b, i, '('))
        return i;
    /* the inner parentheses of name P((params)) are the parameters */
    bool inner = !l->grouped && i + 1 < to && ol__is(b, i + 1, '(') &&
                 OL_TOKS(b)[i + 1].match + 1 == OL_TOKS(b)[i].match;
    return inner ? i + 1 : skip_group(b, i, to);
}

/* One token that opens and closes no level; returns the next, OL_NONE at the declarator's end. */
static uint32_t declarator_token(ol_builder *b, uint32_t i, level *l, bool outermost)
{
    const lex_token *t = &OL_TOKS(b)[i];
    unsigned c = t->kind == LEX_PUNCT ? t->code : 0;
    uint32_t to = l->close;
    if (c == ',' && l->params) {
        put(b, ",");
        l->named = l->array = false;
        return i + 1 < to ? begin_param(b, i + 1, to) : i + 1;
    }
    if (c == ';' || c == ',' || (c == '{' && outermost))
        return OL_NONE;
    if (c == '=' || c == ':')
        return outermost ? OL_NONE : skip_value(b, i, to);
    if (c == '*' || c == '&' || c == '^' || c == LEX_ANDAND || c == LEX_DOTS) {
        put_token(b, i);
        return i + 1;
    }
    if (c == '[')
        return square(b, i, to, l);
    if (c == LEX_ARROW && outermost) {
        put(b, "->");
        for (i++; i < to && !ol__is(b, i, ';') && !ol__is(b, i, '='); i++)
            put_token(b, i);
        return OL_NONE;
    }
    if (ol__class(b, i) & LEX_K_QUAL)
        return qualifier(b, i, to, l);
    if (ol__class(b, i) & LEX_K_ATTR)
        return i + 1 < to && ol__is(b, i + 1, '(') ? skip_group(b, i + 1, to) : i + 1;
    if (ol__word(b, i) && (!l->named || outermost))
        return over_word(b, i, to, l);
    if (c == LEX_SCOPE && i + 1 < to && ol__is(b, i + 1, '*'))
        put(b, "::");
    return i + 1;
}

static void declarator(ol_builder *b, uint32_t i, uint32_t to, bool named)
{
    level stack[SIG_DEEP] = {{.close = to, .named = named}};
    unsigned depth = 0;
    while (i < to) {
        level *l = &stack[depth];
        if (depth && i >= l->close) {
            put(b, ")");
            i = l->close + 1;
            stack[--depth].named = true;
        } else if (ol__is(b, i, '(')) {
            bool inner = opens_declarator(b, i, l->close, l->named);
            uint32_t close = skip_group(b, i, l->close) - 1;
            if (depth + 1 >= SIG_DEEP) {
                put(b, "(?)");
                i = close + 1;
                continue;
            }
            put(b, "(");
            l->grouped = true;
            stack[++depth] = (level){.close = close, .params = !inner};
            i = inner || i + 1 >= close ? i + 1 : begin_param(b, i + 1, close);
        } else {
            uint32_t next = declarator_token(b, i, l, depth == 0);
            if (next == OL_NONE)
                break;
            i = next > i ? next : i + 1; /* always on: whatever the tokens are, this ends */
        }
    }
    while (depth--)
        put(b, ")");
}

/* Operators and destructors: their name is over once the parameters come. */
static uint32_t over_operator(const ol_builder *b, uint32_t i, uint32_t to)
{
    for (uint32_t k = i; k < to && k < i + 64; k++) {
        if (ol__kw(b, k) != LEX_OPERATOR)
            continue;
        k++;
        if (k < to && (ol__is(b, k, '(') || ol__is(b, k, '[')))
            k = skip_group(b, k, to);
        while (k < to && !ol__is(b, k, '('))
            k++;
        return k;
    }
    return i;
}

uint32_t ol__signature(ol_builder *b, uint32_t from, uint32_t to, uint32_t dfrom, uint32_t dto, bool named)
{
    spec s;
    if (ol__kw(b, from) == LEX_TEMPLATE && from + 1 < to && ol__is(b, from + 1, '<')) {
        uint32_t e = ol__angle_end(b, from + 1, to);
        from = e == from + 1 ? from : e;
    }
    gather(b, from, to, true, &s);
    put_spec(b, &s, true);
    declarator(b, named ? dfrom : over_operator(b, dfrom, dto), dto, named);
    if (b->sig.n > 4000)
        b->sig.n = 4000;
    char *text = b->sig.v;
    while (b->sig.n && text[b->sig.n - 1] == ' ')
        b->sig.n--;
    return ol__sig_take(b);
}

bool ol_sig_agree(const char *a, const char *b)
{
    if (!strcmp(a, b))
        return true;
    size_t n = 0;
    while (a[n] && a[n] == b[n])
        n++;
    while (n && a[n - 1] != '(')
        n--; /* T() agrees with T(anything) */
    if (!n)
        return false;
    const char *x = a + n, *y = b + n;
    return (*x == ')' && x[1] == 0) || (*y == ')' && y[1] == 0);
}
