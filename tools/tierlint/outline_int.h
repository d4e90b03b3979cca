/* What the parts of the outline parser share while one file is read. Everything here belongs to one builder,
 * on one thread, for one ol_parse. Failed allocations are sticky: pushes go to a scratch record from then on
 * and ol_parse returns OL_ENOMEM. */
#ifndef TIERLINT_OUTLINE_INT_H
#define TIERLINT_OUTLINE_INT_H

#include "tools/tierlint/outline.h"
#include "tools/tierlint/lex.h"

typedef struct ol_vec {
    void *v;
    uint32_t n, cap;
} ol_vec;

#define OL_DEEP 200           /* open scopes and conditionals that are followed; glibc's deepest is 14 */
#define OL_TEMPLATE_SPAN 1000 /* tokens looked through for the > of a <: keeps the search linear */
#define OL_MACRO_OWNER 0x80000000u

/* A use as found: not yet merged. Owner: index of a declaration, of a macro + OL_MACRO_OWNER, or OL_NONE. */
typedef struct ol_raw_use {
    uint32_t name, kinds, owner, at;
} ol_raw_use;

typedef struct ol_builder {
    const uint8_t *src;
    uint32_t size;
    lex_names names;
    lex_reader r;
    ol_vec toks, conds, includes, macros, decls, keys, uses, suppress, regions, lines;
    ol_vec chains, frames, marks; /* stacks */
    ol_vec items, sig;            /* scratch */
    ol_vec local;                 /* by name: the last fragment that declared it locally */
    uint32_t fragment;            /* counts fragments, for local */
    uint32_t cond;                /* innermost open branch */
    uint32_t file_flags, why, guard, guard_why, guard_name;
    uint32_t keep_depth, export_depth; /* IWYU begin_keep, begin_exports */
    bool oom, cxx;
    uint64_t scratch[16];
} ol_builder;

/* Appends a zeroed record of size item; never NULL. */
void *ol__push(ol_builder *b, ol_vec *v, size_t item);
void ol__vec_fini(ol_vec *v);
void ol__region(ol_builder *b, uint32_t why, uint32_t start, uint32_t end, uint32_t cond);
void ol__use(ol_builder *b, uint32_t name, uint32_t kinds, uint32_t owner, uint32_t at);

/* outline_note.c: what comments say. at: byte of the comment; before lines are known, line holds a mode. */
enum { OL_NOTE_KEEP = 1, OL_NOTE_EXPORT = 2 };
unsigned ol__note(ol_builder *b, uint32_t start, uint32_t end);

#define OL_TOKS(b) ((lex_token *)(b)->toks.v)
#define OL_DECLS(b) ((ol_decl *)(b)->decls.v)
#define OL_CONDS(b) ((ol_cond *)(b)->conds.v)

/* Names that the current fragment declares itself. */
void ol__local_begin(ol_builder *b);
void ol__local_set(ol_builder *b, uint32_t name);
bool ol__local_is(const ol_builder *b, uint32_t name);

/* Stage 1 (outline_pp.c): tokens, directives, conditionals, comments, guard. */
void ol__scan(ol_builder *b);
/* Stage 2 (outline_match.c): partners of brackets; every token's match. */
void ol__match(ol_builder *b);
/* Stage 3 (outline_decl.c): declarations of all scopes. */
void ol__declare(ol_builder *b);
/* Stage 4 (outline_finish.c): sorts, merges and packs. */
int ol__finish(ol_builder *b, ol_outline **o);

/* ---- stage 3 ----------------------------------------------------------------------------------------------
 */
/* A declaration's head is cut into items; attributes leave none. */
enum {
    OL_I_END, /* also the answer for "no such item" */
    OL_I_TYPE,
    OL_I_TAG, /* struct X, with or without body */
    OL_I_QUAL,
    OL_I_STORE,
    OL_I_WORD, /* a::b<c> is one */
    OL_I_STAR,
    OL_I_PAREN,
    OL_I_SQUARE,
    OL_I_COMMA,
    OL_I_INIT,
    OL_I_COLON,
    OL_I_SPECIAL, /* ~X, operator+ */
    OL_I_ARROW
};
typedef struct ol_item {
    uint32_t kind;
    uint32_t tok, last; /* first and last token */
} ol_item;

/* The scope in which declarations are read. */
typedef struct ol_scope {
    uint32_t decl;  /* OL_NONE: the file */
    uint32_t flags; /* OL_EXTERN_C, OL_ANONYMOUS, OL_MEMBER: what everything inside has */
    uint32_t owner; /* of uses that no declaration of their own owns */
} ol_scope;

/* One declaration while it is read. */
typedef struct ol_head {
    uint32_t start;          /* token at which it begins */
    uint32_t items;          /* first of its items */
    uint32_t flags;          /* OL_STATIC... that its specifiers say */
    uint32_t tag;            /* the struct, union, enum or class that it defines, or OL_NONE */
    uint32_t body, body_end; /* tokens of that one's braces */
    uint32_t colons;         /* ':' seen */
    uint32_t lost;           /* the first token that was not understood, or OL_NONE */
    bool is_typedef;
} ol_head;

typedef struct ol_frame {
    uint32_t at, end; /* tokens */
    ol_scope scope;
    ol_head head;
    bool in_head;
} ol_frame;

/* What the items of one declarator say. */
typedef struct ol_found {
    uint32_t kind;       /* OL_FUNCTION, OL_VARIABLE or 0: declares nothing */
    uint32_t why;        /* of a region to make of it, or 0 */
    uint32_t tok, last;  /* its name */
    uint32_t params;     /* token '(' of a function, or OL_NONE */
    uint32_t dfrom, dto; /* tokens of its declarator */
    uint32_t flags;
    bool old_style; /* what follows the parameters looks like their declarations */
} ol_found;

/* outline_head.c. Reads items [from, to); first: specifiers come before the declarator. */
void ol__analyse(const ol_builder *b, const ol_frame *f, uint32_t from, uint32_t to, bool first,
                 ol_found *out);
bool ol__looks_macro(const ol_builder *b, uint32_t tok); /* LIKE_THIS or __like_this */

/* outline_emit.c: turns heads into records. */
uint32_t ol__new_decl(ol_builder *b, const ol_frame *f, uint32_t kind, uint32_t key_tok, uint32_t start_tok);
/* The head ended before token end: by ';', the frame's end or (body not OL_NONE) a function's body. */
void ol__finish_head(ol_builder *b, ol_frame *f, uint32_t end, uint32_t body);
void ol__enumerators(ol_builder *b, const ol_frame *f, uint32_t decl, uint32_t open, uint32_t close);
void ol__name_all(ol_builder *b); /* qualified names, when all scopes have theirs */

/* outline_sig.c: the normalised signature: specifiers in tokens [from, to), declarator in [dfrom, dto),
 * which begins behind its name (named) or somewhere before it. */
uint32_t ol__signature(ol_builder *b, uint32_t from, uint32_t to, uint32_t dfrom, uint32_t dto, bool named);
/* Raw text of tokens, joined by a blank where two words meet, as a name id. */
uint32_t ol__join(ol_builder *b, uint32_t from, uint32_t to);
void ol__sig_put(ol_builder *b, const char *s, size_t size);
uint32_t ol__sig_take(ol_builder *b); /* interns what was put, and empties */

/* outline_store.c: makes an outline of records whose strings are ids, texts[at[id]] (at NULL: texts[id]). */
typedef struct ol_draft {
    ol_outline o; /* arrays and counts of what to copy */
    const char *texts;
    const uint32_t *at;
    uint32_t ids; /* every id is below */
} ol_draft;
int ol__pack(const ol_draft *d, ol_outline **o);

/* outline_use.c: records names used in tokens [from, to), owner's start at byte base. */
void ol__uses_of(ol_builder *b, uint32_t from, uint32_t to, uint32_t owner, bool head);
/* Before it: which names a function's parameters (params: its '(' or OL_NONE) and body declare locally. */
void ol__locals_of(ol_builder *b, uint32_t params, uint32_t from, uint32_t to);

/* Behind the > that belongs to the < at token i, at most to; i itself where there is none. */
uint32_t ol__angle_end(const ol_builder *b, uint32_t i, uint32_t to);

static inline bool ol__is(const ol_builder *b, uint32_t i, unsigned code)
{
    const lex_token *t = &OL_TOKS(b)[i];
    return i < b->toks.n && t->kind == LEX_PUNCT && t->code == code;
}
static inline uint32_t ol__kw(const ol_builder *b, uint32_t i)
{
    const lex_token *t = &OL_TOKS(b)[i];
    return i < b->toks.n && t->kind == LEX_WORD && t->name < LEX_KW_END && !(t->flags & LEX_F_PLAIN) ? t->name
                                                                                                     : 0;
}
static inline unsigned ol__class(const ol_builder *b, uint32_t i)
{
    return lex_keyword_class(ol__kw(b, i));
}
static inline bool ol__word(const ol_builder *b, uint32_t i)
{
    const lex_token *t = &OL_TOKS(b)[i];
    return i < b->toks.n && t->kind == LEX_WORD && (t->name >= LEX_KW_END || (t->flags & LEX_F_PLAIN));
}

#endif
