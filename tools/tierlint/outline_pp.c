/* Stage 1: bytes to tokens. Directives are read here and leave no tokens; each token knows its innermost
 * branch. Branches that do not balance against the first of their chain leave used names only. */
#include "tools/tierlint/outline_int.h"

#include <stdio.h>
#include <string.h>

typedef struct depth {
    int32_t brace, paren;
} depth;

typedef struct chain {
    uint32_t branch;              /* now open */
    uint32_t outer;               /* branch around the chain */
    uint32_t first_tok;           /* of the open branch */
    depth at;                     /* where the open branch began */
    depth delta;                  /* of the first branch that was read */
    bool have_delta, sure, never; /* sure: a branch was #if 1; never: the open one is not read */
} chain;

typedef struct pp {
    ol_builder *b;
    depth now;
    uint32_t too_deep;  /* nested #if not followed */
    uint32_t skip_deep; /* nested #if inside a branch that is not read */
    unsigned note;      /* OL_NOTE_ of comments on this directive */
    /* guard */
    bool candidate, before, defined, closed, has_else, content, after;
    uint32_t name, other, inside, behind, first_tok;
    bool once;
} pp;

static bool is(const pp *p, const lex_token *t, const char *word)
{
    size_t n = strlen(word);
    return t->kind == LEX_WORD && t->end - t->start == n && !memcmp(p->b->src + t->start, word, n);
}

static void comment(void *user, uint32_t start, uint32_t end)
{
    pp *p = user;
    p->note |= ol__note(p->b, start, end);
}

static chain *top(const pp *p)
{
    return p->b->chains.n ? (chain *)p->b->chains.v + p->b->chains.n - 1 : NULL;
}

static bool skipping(const pp *p)
{
    const chain *c = top(p);
    return c && c->never;
}

static void to_line_end(pp *p)
{
    lex_token t;
    while (p->b->r.directive && lex_next(&p->b->r, &t) && t.kind != LEX_EOL)
        ;
}

/* The rest of the line as text, with its names as uses. */
static uint32_t condition(pp *p)
{
    ol_builder *b = p->b;
    lex_token t, last = {0};
    bool close = false;
    while (lex_next(&b->r, &t) && t.kind != LEX_EOL) {
        bool after_defined = is(p, &last, "defined");
        if (last.kind == LEX_WORD || last.kind == LEX_NUMBER)
            if ((t.kind == LEX_WORD || t.kind == LEX_NUMBER) && !after_defined)
                ol__sig_put(b, " ", 1);
        if (after_defined && t.kind == LEX_WORD) {
            ol__sig_put(b, "(", 1);
            close = true;
        }
        ol__sig_put(b, (const char *)b->src + t.start, t.end - t.start);
        if (close)
            ol__sig_put(b, ")", 1);
        close = false;
        if (t.kind == LEX_WORD && t.name >= LEX_KW_END)
            ol__use(b, t.name, OL_USE_COND, OL_NONE, t.start);
        last = t;
    }
    return ol__sig_take(b);
}

/* ---- conditionals
 * ------------------------------------------------------------------------------------------ */
/* Is the condition !defined(X)? Then its X. */
static uint32_t not_defined(const ol_builder *b, const ol_cond *c, uint32_t text_id)
{
    char buf[200];
    const char *s = lex_name(&b->names, text_id);
    size_t n = strlen(s);
    if (c->kind == OL_IFNDEF)
        return text_id;
    if (c->kind != OL_IF || n < 11 || n > sizeof buf || memcmp(s, "!defined(", 9) || s[n - 1] != ')')
        return 0;
    if (strcspn(s + 9, "()&| ") != n - 10)
        return 0;
    memcpy(buf, s + 9, n - 10);
    return lex_intern(&((ol_builder *)(uintptr_t)b)->names, buf, n - 10);
}

static void begin_branch(pp *p, chain *c, uint32_t kind, uint32_t start)
{
    ol_builder *b = p->b;
    uint32_t prev = c->branch, id = b->conds.n;
    uint32_t text = kind == OL_ELSE ? 0 : condition(p);
    if (kind == OL_ELSE)
        to_line_end(p);
    ol_cond *n = ol__push(b, &b->conds, sizeof *n);
    const char *s = lex_name(&b->names, text);
    bool zero = (kind == OL_IF || kind == OL_ELIF) && !strcmp(s, "0");
    *n = (ol_cond){.kind = kind, .text = text, .parent = c->outer, .prev = prev, .start = start};
    c->never = zero || c->sure;
    if (c->never)
        n->flags |= OL_COND_NEVER;
    if (kind == OL_IF && !strcmp(s, "1"))
        c->sure = true;
    c->branch = b->cond = id;
    c->first_tok = b->toks.n;
    c->at = p->now;
    b->r.quiet = c->never;
    if (id == 0 && !p->candidate) {
        p->name = not_defined(b, n, text);
        p->candidate = p->name != 0;
        p->before = b->toks.n || b->macros.n;
        p->first_tok = b->toks.n;
    }
}

/* Closes the open branch: its tokens stay where its brackets agree with the first branch's. */
static void end_branch(pp *p, chain *c, uint32_t end)
{
    ol_builder *b = p->b;
    if (c->branch >= b->conds.n)
        return; /* out of memory */
    ol_cond *n = OL_CONDS(b) + c->branch;
    n->end = end;
    b->r.quiet = false;
    if (c->never) {
        p->now = c->at;
        return;
    }
    depth d = {p->now.brace - c->at.brace, p->now.paren - c->at.paren};
    if (!c->have_delta) {
        c->delta = d;
        c->have_delta = true;
        return;
    }
    if (d.brace == 0 && d.paren == 0) {
        if (c->delta.brace || c->delta.paren)
            ol__region(b, OL_WHY_BRANCHES, n->start, end, c->branch);
        return;
    }
    n->flags |= OL_COND_SKIPPED;
    ol__region(b, OL_WHY_BRANCHES, n->start, end, c->branch);
    const lex_token *t = OL_TOKS(b);
    for (uint32_t i = c->first_tok; i < b->toks.n; i++)
        if (t[i].kind == LEX_WORD && t[i].name >= LEX_KW_END)
            ol__use(b, t[i].name, OL_USE_IDENT, OL_NONE, t[i].start);
    if (c->first_tok < b->toks.n)
        b->toks.n = c->first_tok;
    p->now = c->at;
}

static void d_if(pp *p, uint32_t kind, uint32_t start)
{
    ol_builder *b = p->b;
    if (b->chains.n >= OL_DEEP) {
        p->too_deep++;
        ol__region(b, OL_WHY_DEEP, start, b->r.at, b->cond);
        to_line_end(p);
        return;
    }
    chain *c = ol__push(b, &b->chains, sizeof *c);
    c->branch = OL_NONE;
    c->outer = b->cond;
    if (p->closed)
        p->after = true;
    if (p->candidate && b->conds.n > 1 && !p->closed)
        p->content = true;
    begin_branch(p, c, kind, start);
}

static void d_else(pp *p, uint32_t kind, uint32_t start)
{
    chain *c = top(p);
    if (!c || p->too_deep) {
        to_line_end(p);
        return;
    }
    end_branch(p, c, start);
    if (c->branch == 0)
        p->has_else = true;
    begin_branch(p, c, kind, start);
}

static void d_endif(pp *p)
{
    ol_builder *b = p->b;
    chain *c = top(p);
    if (p->too_deep)
        p->too_deep--;
    else if (c) {
        end_branch(p, c, b->r.at);
        b->cond = c->outer;
        b->chains.n--;
        if (!b->chains.n && !p->closed && p->candidate) {
            p->closed = true;
            p->inside = b->toks.n - (p->first_tok < b->toks.n ? p->first_tok : b->toks.n);
        }
    }
    to_line_end(p);
}

/* ---- other directives
 * -------------------------------------------------------------------------------------- */
static void d_include(pp *p, uint32_t start, uint32_t flags)
{
    ol_builder *b = p->b;
    uint32_t at = lex_skip_blanks(&b->r), end = at;
    ol_include in = {.cond = b->cond, .start = start, .flags = flags};
    uint8_t c = at < b->size ? b->src[at] : 0, close = c == '<' ? '>' : '"';
    if (c == '<' || c == '"') {
        for (end = at + 1; end < b->size && b->src[end] != close && b->src[end] != '\n';)
            end++;
    }
    if (end > at && end < b->size && b->src[end] == close) {
        in.name = lex_intern(&b->names, b->src + at + 1, end - at - 1);
        in.flags |= c == '<' ? OL_INC_ANGLE : 0;
        b->r.at = in.end = end + 1;
    } else {
        in.name = condition(p);
        in.flags |= OL_INC_COMPUTED;
        in.end = b->r.at;
    }
    to_line_end(p);
    if ((p->note & OL_NOTE_KEEP) || b->keep_depth)
        in.flags |= OL_INC_KEEP;
    if ((p->note & OL_NOTE_EXPORT) || b->export_depth)
        in.flags |= OL_INC_EXPORT;
    if (p->now.brace > 0)
        in.flags |= OL_INC_NESTED; /* settled by ol__declare, which knows the scopes */
    *(ol_include *)ol__push(b, &b->includes, sizeof in) = in;
    if (p->closed)
        p->after = true;
    if (b->conds.n)
        p->content = true;
}

/* A long body is kept as its beginning and a hash: enough to compare. */
static uint32_t take_body(ol_builder *b)
{
    const char *s = b->sig.v;
    uint32_t n = b->sig.n;
    if (n <= 512)
        return ol__sig_take(b);
    uint64_t h = 1469598103934665603u;
    for (uint32_t i = 0; i < n; i++)
        h = (h ^ (uint8_t)s[i]) * 1099511628211u;
    char tail[24];
    int len = snprintf(tail, sizeof tail, "~%016llx", (unsigned long long)h);
    b->sig.n = 64;
    ol__sig_put(b, tail, (size_t)len);
    return ol__sig_take(b);
}

/* Parameters of a macro; its '(' was read. */
static void macro_params(pp *p, ol_decl *m)
{
    ol_builder *b = p->b;
    lex_token t;
    m->flags |= OL_FUNCTION_LIKE;
    ol__sig_put(b, "(", 1);
    while (lex_next(&b->r, &t) && t.kind != LEX_EOL) {
        if (t.kind == LEX_PUNCT && t.code == LEX_DOTS)
            m->flags |= OL_VARIADIC;
        if (t.kind == LEX_WORD)
            ol__local_set(b, t.name);
        ol__sig_put(b, (const char *)b->src + t.start, t.end - t.start);
        m->end = t.end;
        if (t.kind == LEX_PUNCT && t.code == ')')
            break;
    }
}

static void macro_body(pp *p, ol_decl *m, uint32_t owner)
{
    ol_builder *b = p->b;
    lex_token t, last = {0};
    uint32_t call = OL_NONE; /* a use that waits for its '(' */
    ol_raw_use *u;
    if (!b->r.directive)
        return;
    while (lex_next(&b->r, &t) && t.kind != LEX_EOL) {
        bool words = last.kind != LEX_PUNCT && t.kind != LEX_PUNCT;
        bool glued = last.kind == LEX_PUNCT && t.kind == LEX_PUNCT && (t.flags & LEX_F_SPACE);
        if (!last.kind || words || glued)
            ol__sig_put(b, " ", 1);
        ol__sig_put(b, (const char *)b->src + t.start, t.end - t.start);
        m->end = t.end;
        if (t.kind == LEX_PUNCT && t.code == '(' && call < b->uses.n) {
            u = (ol_raw_use *)b->uses.v + call;
            u->kinds = (u->kinds & ~(uint32_t)OL_USE_IDENT) | (u->kinds & OL_USE_MEMBER ? 0 : OL_USE_CALL);
        }
        call = OL_NONE;
        if (t.kind == LEX_WORD && t.name >= LEX_KW_END && !ol__local_is(b, t.name)) {
            uint32_t kind = OL_USE_IDENT;
            if (last.kind == LEX_PUNCT && (last.code == '.' || last.code == LEX_ARROW))
                kind = OL_USE_MEMBER;
            unsigned does = last.kind == LEX_WORD ? lex_keyword_class(last.name) : 0;
            if (does & LEX_K_TAG)
                kind = OL_USE_TAG | OL_USE_TYPE;
            call = b->uses.n;
            ol__use(b, t.name, kind, owner, t.start);
        }
        last = t;
    }
}

static void d_define(pp *p, uint32_t start, bool undef)
{
    ol_builder *b = p->b;
    lex_token t;
    if (!lex_next(&b->r, &t) || t.kind != LEX_WORD) {
        to_line_end(p);
        return;
    }
    if (p->closed)
        p->after = true;
    bool direct = b->chains.n == 1 && b->cond == 0 && p->candidate;
    if (!undef && direct && t.name == p->name)
        p->defined = true;
    else if (b->conds.n) {
        if (!undef && direct && !p->defined && !p->content && !p->other)
            p->other = t.name;
        p->content = true;
    }
    if (undef && t.name == p->name && p->defined)
        p->behind = OL_GUARD_UNDEFINED;
    ol_decl m = {.kind = undef ? OL_UNDEF : OL_MACRO,
                 .flags = undef ? 0 : OL_DEFINITION,
                 .name = t.name,
                 .base = t.name,
                 .scope = OL_NONE,
                 .cond = b->cond,
                 .start = start,
                 .end = t.end,
                 .name_at = t.start};
    ol__local_begin(b);
    ol__local_set(b, t.name);
    if (!undef) {
        if (b->r.at < b->size && b->src[b->r.at] == '(' && lex_next(&b->r, &t))
            macro_params(p, &m);
        macro_body(p, &m, b->macros.n | OL_MACRO_OWNER);
        m.sig = take_body(b);
    }
    to_line_end(p);
    *(ol_decl *)ol__push(b, &b->macros, sizeof m) = m;
}

static void d_pragma(pp *p)
{
    ol_builder *b = p->b;
    lex_token t;
    if (lex_next(&b->r, &t) && is(p, &t, "once") && !b->chains.n)
        p->once = true;
    while (b->r.directive && t.kind != LEX_EOL && lex_next(&b->r, &t) && t.kind != LEX_EOL)
        if (t.kind == LEX_WORD && t.name >= LEX_KW_END)
            ol__use(b, t.name, OL_USE_COND, OL_NONE, t.start);
}

static bool skipped_directive(pp *p, const lex_token *t)
{
    if (!skipping(p))
        return false;
    bool opens = is(p, t, "if") || is(p, t, "ifdef") || is(p, t, "ifndef");
    bool ends = is(p, t, "endif");
    bool other = is(p, t, "else") || is(p, t, "elif") || is(p, t, "elifdef") || is(p, t, "elifndef");
    if (!p->skip_deep && (ends || other))
        return false;
    if (opens)
        p->skip_deep++;
    if (ends)
        p->skip_deep--;
    to_line_end(p);
    return true;
}

static void directive(pp *p, uint32_t start)
{
    static const struct {
        const char *word;
        int what;
    } table[] = {{"if", OL_IF},     {"ifdef", OL_IFDEF},     {"ifndef", OL_IFNDEF},
                 {"elif", OL_ELIF}, {"elifdef", OL_ELIFDEF}, {"elifndef", OL_ELIFNDEF},
                 {"else", OL_ELSE}, {"endif", 20},           {"define", 21},
                 {"undef", 22},     {"include", 23},         {"include_next", 24},
                 {"import", 23},    {"pragma", 25},          {"error", 26}};
    lex_token t;
    int what = 0;
    p->note = 0;
    if (!lex_next(&p->b->r, &t) || t.kind == LEX_EOL || skipped_directive(p, &t))
        return;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (is(p, &t, table[i].word))
            what = table[i].what;
    /* the condition may not be quiet: it decides whether the branch is read */
    p->b->r.quiet = false;
    if (what == OL_IF || what == OL_IFDEF || what == OL_IFNDEF)
        d_if(p, (uint32_t)what, start);
    else if (what >= OL_ELIF && what <= OL_ELSE)
        d_else(p, (uint32_t)what, start);
    else if (what == 20)
        d_endif(p);
    else if (what == 21 || what == 22)
        d_define(p, start, what == 22);
    else if (what == 23 || what == 24)
        d_include(p, start, what == 24 ? OL_INC_NEXT : 0);
    else if (what == 25)
        d_pragma(p);
    else if (what == 26 && p->b->chains.n && !p->b->toks.n)
        p->b->file_flags |= OL_FILE_PRIVATE;
    to_line_end(p);
}

/* ---- the guard
 * ----------------------------------------------------------------------------------------------- */
static bool looks_like_guard(const char *s)
{
    size_t n = strlen(s);
    return strstr(s, "_H") || strstr(s, "_h") || strstr(s, "H_") || strstr(s, "INCLUDE") ||
           strstr(s, "GUARD") || (n && s[n - 1] == 'H');
}

static void settle_guard(pp *p)
{
    ol_builder *b = p->b;
    uint32_t total = b->toks.n;
    bool after = p->after || (p->closed && total > p->first_tok + p->inside);
    bool content = p->content || p->inside || (!p->closed && p->candidate);
    uint32_t why = OL_GUARD_FINE, behind = total - (p->inside < total ? p->inside : total);
    b->guard_name = p->candidate ? p->name : 0;
    if (!p->candidate || (!content && after))
        goto missing;
    if (!p->defined) {
        if (after || p->before || !content || !looks_like_guard(lex_name(&b->names, p->name)))
            goto missing;
        why = p->other ? OL_GUARD_OTHER_NAME : OL_GUARD_NO_DEFINE;
    } else if (after) {
        if (p->inside < behind || !looks_like_guard(lex_name(&b->names, p->name)))
            goto missing;
        why = OL_GUARD_CODE_AFTER;
    } else if (p->before) {
        why = OL_GUARD_CODE_BEFORE;
    } else if (p->has_else) {
        why = OL_GUARD_HAS_ELSE;
    } else if (p->behind) {
        why = p->behind;
    }
    b->guard = why ? OL_GUARD_INEFFECTIVE : OL_GUARD_MACRO;
    b->guard_why = why;
    if (b->conds.n)
        OL_CONDS(b)[0].flags |= OL_COND_GUARD;
missing:
    if (!b->guard)
        b->guard_name = 0;
    if (p->once) {
        b->guard = OL_GUARD_ONCE;
        b->guard_why = OL_GUARD_FINE;
    }
}

/* ---- all
 * ------------------------------------------------------------------------------------------------------- */
static void count(pp *p, const lex_token *t)
{
    if (t->kind != LEX_PUNCT)
        return;
    if (t->code == '{')
        p->now.brace++;
    else if (t->code == '}')
        p->now.brace--;
    else if (t->code == '(')
        p->now.paren++;
    else if (t->code == ')')
        p->now.paren--;
}

static void close_open_chains(pp *p)
{
    ol_builder *b = p->b;
    while (b->chains.n) {
        chain *c = top(p);
        end_branch(p, c, b->size);
        if (c->branch < b->conds.n) {
            OL_CONDS(b)[c->branch].flags |= OL_COND_OPEN;
            ol__region(b, OL_WHY_UNTERMINATED, OL_CONDS(b)[c->branch].start, b->size, c->branch);
        }
        b->chains.n--;
    }
    b->cond = OL_NONE;
}

void ol__scan(ol_builder *b)
{
    pp p = {.b = b};
    lex_token t;
    bool notes = memmem(b->src, b->size, "tierlint:", 9) || memmem(b->src, b->size, "IWYU pragma:", 12);
    b->r = (lex_reader){.src = b->src,
                        .size = b->size,
                        .names = &b->names,
                        .fresh = true,
                        .user = &p,
                        .comment = notes ? comment : NULL};
    if (b->size >= 3 && !memcmp(b->src, "\xef\xbb\xbf", 3))
        b->r.at = 3;
    bool any = false;
    while (lex_next(&b->r, &t) && !b->oom) {
        any = true;
        if (t.kind == LEX_HASH) {
            directive(&p, t.start);
            continue;
        }
        if (skipping(&p))
            continue;
        if (t.kind == LEX_EOL)
            continue;
        t.cond = b->cond;
        if (t.flags & LEX_F_BROKEN)
            ol__region(b, OL_WHY_UNTERMINATED, t.start, t.end, b->cond);
        count(&p, &t);
        *(lex_token *)ol__push(b, &b->toks, sizeof t) = t;
    }
    if (!any)
        b->file_flags |= OL_FILE_EMPTY;
    if (b->r.open_comment)
        ol__region(b, OL_WHY_UNTERMINATED, b->size, b->size, b->cond);
    close_open_chains(&p);
    settle_guard(&p);
}
