#include "tools/tierlint/lex.h"

#include <stdlib.h>
#include <string.h>

/* ---- names -----------------------------------------------------------------------------------------------
 */
static const struct {
    const char *text;
    uint16_t does;
} keywords[] = {{"", 0},
#define LEX_ONE(id, text, does) {text, does},
                LEX_KEYWORDS(LEX_ONE)
#undef LEX_ONE
};

unsigned lex_keyword_class(uint32_t name)
{
    return name < LEX_KW_END ? keywords[name].does : 0;
}

const char *lex_name(const lex_names *n, uint32_t id)
{
    return n->text + n->at[id];
}

static bool grow(void **array, uint32_t *cap, uint32_t want, size_t item)
{
    uint64_t next = *cap ? *cap : 64;
    while (next < want)
        next *= 2;
    if (next > UINT32_MAX / 2)
        return false;
    void *p = realloc(*array, (size_t)next * item);
    if (!p)
        return false;
    *array = p;
    *cap = (uint32_t)next;
    return true;
}

static bool rehash(lex_names *n)
{
    uint32_t size = (n->slot_mask + 1) * 2;
    uint32_t *slots = calloc(size, sizeof *slots);
    if (!slots)
        return false;
    for (uint32_t id = 1; id < n->count; id++) {
        uint32_t s = n->hashes[id] & (size - 1);
        while (slots[s])
            s = (s + 1) & (size - 1);
        slots[s] = id;
    }
    free(n->slots);
    n->slots = slots;
    n->slot_mask = size - 1;
    return true;
}

static uint32_t add_name(lex_names *n, const uint8_t *s, uint32_t size, uint32_t hash, uint32_t slot)
{
    uint32_t old = n->cap;
    if (n->text_size > UINT32_MAX / 2 - size - 1)
        goto failed;
    if (n->text_size + size + 1 > n->text_cap &&
        !grow((void **)&n->text, &n->text_cap, n->text_size + size + 1, 1))
        goto failed;
    if (n->count == n->cap) {
        if (!grow((void **)&n->at, &n->cap, n->count + 1, sizeof *n->at))
            goto failed;
        if (!grow((void **)&n->hashes, &old, n->count + 1, sizeof *n->hashes))
            goto failed;
    }
    uint32_t id = n->count++;
    n->at[id] = n->text_size;
    n->hashes[id] = hash;
    memcpy(n->text + n->text_size, s, size);
    for (char *p = n->text + n->text_size; (p = memchr(p, 0, (size_t)(n->text + n->text_size + size - p)));)
        *p = '?';
    n->text[n->text_size + size] = 0;
    n->text_size += size + 1;
    n->slots[slot] = id;
    if (n->count > n->slot_mask / 2 && !rehash(n))
        goto failed;
    return id;
failed:
    n->failed = true;
    return 0;
}

/* hash is a function of the bytes: FNV-1a, folded; computed while the word is scanned. */
static uint32_t intern_hashed(lex_names *n, const uint8_t *s, uint32_t size, uint32_t hash)
{
    hash ^= hash >> 15;
    if (n->failed)
        return 0;
    uint32_t slot = hash & n->slot_mask;
    for (; n->slots[slot]; slot = (slot + 1) & n->slot_mask) {
        uint32_t id = n->slots[slot];
        if (n->hashes[id] != hash)
            continue;
        const char *t = n->text + n->at[id];
        uint32_t len = (id + 1 < n->count ? n->at[id + 1] : n->text_size) - n->at[id] - 1;
        if (len == size && !memcmp(t, s, size))
            return id;
    }
    return add_name(n, s, size, hash, slot);
}

#define HASH_SEED 2166136261u
#define HASH_STEP(h, c) (((h) ^ (c)) * 16777619u)

uint32_t lex_intern(lex_names *n, const void *s, size_t size)
{
    const uint8_t *p = s;
    uint32_t hash = HASH_SEED;
    if (!size)
        return 0;
    if (size > UINT32_MAX / 4) {
        n->failed = true;
        return 0;
    }
    for (size_t i = 0; i < size; i++)
        hash = HASH_STEP(hash, p[i]);
    return intern_hashed(n, p, (uint32_t)size, hash);
}

bool lex_names_init(lex_names *n)
{
    memset(n, 0, sizeof *n);
    n->slots = calloc(1024, sizeof *n->slots);
    n->slot_mask = 1023;
    uint32_t cap = 0;
    if (!n->slots || !grow((void **)&n->text, &n->text_cap, 4096, 1) ||
        !grow((void **)&n->at, &n->cap, 256, sizeof *n->at) ||
        !grow((void **)&n->hashes, &cap, 256, sizeof *n->hashes)) {
        lex_names_fini(n);
        return false;
    }
    n->text[0] = 0;
    n->at[0] = n->hashes[0] = 0;
    n->text_size = n->count = 1;
    for (uint32_t k = 1; k < LEX_KW_END; k++)
        lex_intern(n, keywords[k].text, strlen(keywords[k].text));
    return true;
}

void lex_names_fini(lex_names *n)
{
    free(n->text);
    free(n->at);
    free(n->hashes);
    free(n->slots);
    memset(n, 0, sizeof *n);
}

/* ---- tokens ----------------------------------------------------------------------------------------------
 */
static bool is_word(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '$' || c >= 0x80;
}

/* The length of a backslash and line end at p, or 0. */
static uint32_t splice(const lex_reader *r, uint32_t p)
{
    if (r->src[p] != '\\')
        return 0;
    if (p + 1 < r->size && r->src[p + 1] == '\n')
        return 2;
    if (p + 2 < r->size && r->src[p + 1] == '\r' && r->src[p + 2] == '\n')
        return 3;
    return 0;
}

static uint32_t line_comment_end(const lex_reader *r, uint32_t p)
{
    for (;;) {
        const uint8_t *nl = memchr(r->src + p, '\n', r->size - p);
        if (!nl)
            return r->size;
        p = (uint32_t)(nl - r->src);
        uint32_t back = p && r->src[p - 1] == '\r' ? p - 1 : p;
        if (!back || r->src[back - 1] != '\\')
            return p;
        p++;
    }
}

static uint32_t block_comment_end(lex_reader *r, uint32_t p)
{
    for (p += 2; p < r->size;) {
        const uint8_t *star = memchr(r->src + p, '*', r->size - p);
        if (!star)
            break;
        p = (uint32_t)(star - r->src) + 1;
        if (p < r->size && r->src[p] == '/')
            return p + 1;
    }
    r->open_comment = true;
    return r->size;
}

/* Skips blanks, comments and splices. Stops at a line end in a directive. */
static uint8_t skip(lex_reader *r)
{
    uint8_t flags = 0;
    uint32_t p = r->at;
    while (p < r->size) {
        uint8_t c = r->src[p];
        uint32_t n = 0;
        if (c == '\n') {
            if (r->directive)
                break;
            r->fresh = true;
            p++;
        } else if (c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v') {
            p++;
        } else if (c == '/' && p + 1 < r->size && (r->src[p + 1] == '/' || r->src[p + 1] == '*')) {
            uint32_t start = p;
            p = r->src[p + 1] == '/' ? line_comment_end(r, p) : block_comment_end(r, p);
            if (r->comment)
                r->comment(r->user, start, p);
        } else if (c == '\\' && (n = splice(r, p))) {
            p += n;
        } else {
            break;
        }
        flags = LEX_F_SPACE;
    }
    r->at = p;
    return flags;
}

uint32_t lex_skip_blanks(lex_reader *r)
{
    skip(r);
    return r->at;
}

/* From behind the opening quote to behind the closing one; 0 where the line ends first. */
static uint32_t quoted_end(const lex_reader *r, uint32_t p, uint8_t quote)
{
    while (p < r->size) {
        uint8_t c = r->src[p];
        if (c == quote)
            return p + 1;
        if (c == '\n')
            return 0;
        if (c == '\\') {
            uint32_t n = splice(r, p);
            p += n ? n : 2;
        } else {
            p++;
        }
    }
    return 0;
}

/* R"delim( ... )delim": p is behind the opening quote. 0 where it is no raw string or has no end. */
static uint32_t raw_end(const lex_reader *r, uint32_t p)
{
    uint32_t d = p;
    while (d < r->size && d - p <= 16 && r->src[d] != '(' && r->src[d] != '"' && r->src[d] != '\n' &&
           r->src[d] != ' ' && r->src[d] != ')' && r->src[d] != '\\')
        d++;
    if (d >= r->size || r->src[d] != '(' || d - p > 16)
        return 0;
    uint32_t len = d - p;
    for (uint32_t q = d + 1; q < r->size;) {
        const uint8_t *close = memchr(r->src + q, ')', r->size - q);
        if (!close)
            return 0;
        q = (uint32_t)(close - r->src) + 1;
        if (q + len < r->size && r->src[q + len] == '"' && !memcmp(r->src + q, r->src + p, len))
            return q + len + 1;
    }
    return 0;
}

static void quote_token(lex_reader *r, lex_token *t, uint32_t quote_at, bool raw)
{
    uint8_t q = r->src[quote_at];
    uint32_t end = raw && !r->raw_failed ? raw_end(r, quote_at + 1) : 0;
    uint32_t *bad = &r->bad_until[q == '"'];
    if (raw && !end)
        r->raw_failed = true;
    if (!end && quote_at >= *bad) {
        end = quoted_end(r, quote_at + 1, q);
        const uint8_t *nl = end ? NULL : memchr(r->src + quote_at, '\n', r->size - quote_at);
        if (!end)
            *bad = nl ? (uint32_t)(nl - r->src) : r->size;
    }
    t->kind = q == '"' ? LEX_STRING : LEX_CHARS;
    if (!end) {
        t->flags |= LEX_F_BROKEN;
        end = quote_at + 1;
    }
    t->end = r->at = end;
}

/* Is the word [s, e) an encoding prefix? 1: yes, 2: of a raw string. */
static int prefix(const uint8_t *s, uint32_t size)
{
    int raw = size && s[size - 1] == 'R';
    size -= (uint32_t)raw;
    bool ok = size == 0 || (size == 1 && (*s == 'L' || *s == 'u' || *s == 'U')) ||
              (size == 2 && s[0] == 'u' && s[1] == '8');
    return !ok ? 0 : raw ? 2 : 1;
}

static void word_token(lex_reader *r, lex_token *t)
{
    uint32_t p = r->at, hash = HASH_SEED;
    const uint8_t *src = r->src;
    for (; p < r->size && is_word(src[p]); p++)
        hash = HASH_STEP(hash, src[p]);
    if (p < r->size && (src[p] == '"' || src[p] == '\'') && p - t->start <= 3) {
        int kind = prefix(src + t->start, p - t->start);
        if (kind && !(kind == 2 && src[p] == '\'')) {
            quote_token(r, t, p, kind == 2);
            return;
        }
    }
    t->kind = LEX_WORD;
    t->end = r->at = p;
    t->name = r->quiet ? 0 : intern_hashed(r->names, src + t->start, p - t->start, hash);
}

static void number_token(lex_reader *r, lex_token *t)
{
    uint32_t p = r->at + 1;
    while (p < r->size) {
        uint8_t c = r->src[p], before = r->src[p - 1];
        if (is_word(c) || c == '.')
            p++;
        else if ((c == '+' || c == '-') && (before == 'e' || before == 'E' || before == 'p' || before == 'P'))
            p++;
        else if (c == '\'' && p + 1 < r->size && is_word(r->src[p + 1]) && r->src[p + 1] < 0x80)
            p += 2;
        else
            break;
    }
    t->kind = LEX_NUMBER;
    t->end = r->at = p;
}

static void punct_token(lex_reader *r, lex_token *t)
{
    const uint8_t *s = r->src + r->at;
    uint32_t left = r->size - r->at, n = 1;
    uint8_t c = s[0], d = left > 1 ? s[1] : 0;
    t->kind = LEX_PUNCT;
    t->code = c;
    if (c == ':' && d == ':') {
        t->code = LEX_SCOPE, n = 2;
    } else if (c == '-' && d == '>') {
        t->code = LEX_ARROW, n = 2;
    } else if (c == '.' && d == '.' && left > 2 && s[2] == '.') {
        t->code = LEX_DOTS, n = 3;
    } else if (c == '&' && d == '&') {
        t->code = LEX_ANDAND, n = 2;
    } else if (c == '<' && d == '%') {
        t->code = '{', n = 2;
    } else if (c == '%' && d == '>') {
        t->code = '}', n = 2;
    } else if (d == '=' && strchr("=!<>+-*/%&|^", c)) {
        t->code = LEX_OTHER_OP, n = 2;
    } else if (d == c && (c == '<' || c == '|' || c == '+' || c == '-' || c == '#')) {
        t->code = LEX_OTHER_OP, n = 2;
        if (c == '<' && left > 2 && s[2] == '=')
            n = 3;
    }
    t->end = r->at = r->at + n;
}

bool lex_next(lex_reader *r, lex_token *t)
{
    t->flags = skip(r);
    t->start = r->at;
    t->name = 0;
    t->code = 0;
    t->match = UINT32_MAX;
    if (r->at >= r->size) {
        t->kind = r->directive ? LEX_EOL : LEX_END;
        t->end = r->at;
        bool more = r->directive;
        r->directive = false;
        return more;
    }
    uint8_t c = r->src[r->at];
    if (r->fresh)
        t->flags |= LEX_F_LINE;
    if (c == '\n') { /* only in a directive */
        t->kind = LEX_EOL;
        t->end = r->at;
        r->directive = false;
        return true;
    }
    if (c == '#' && r->fresh && !r->directive) {
        t->kind = LEX_HASH;
        t->end = ++r->at;
        r->directive = true;
        r->fresh = false;
        return true;
    }
    r->fresh = false;
    if (c >= '0' && c <= '9')
        number_token(r, t);
    else if (is_word(c))
        word_token(r, t);
    else if (c == '"' || c == '\'')
        quote_token(r, t, r->at, false);
    else if (c == '.' && r->at + 1 < r->size && r->src[r->at + 1] >= '0' && r->src[r->at + 1] <= '9')
        number_token(r, t);
    else
        punct_token(r, t);
    return true;
}
