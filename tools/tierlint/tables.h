/* What directories say about their files' names: the values of types provides and symbols.
 *
 * Both reduce many files to one value, so that a pass over the whole asks for one thing a directory. Names
 * stand as 64-bit numbers (lint_hash) wherever no one will print them. */
#ifndef TIERLINT_TABLES_H
#define TIERLINT_TABLES_H

#include "tools/tierlint/lint.h"

/* ---- provides: one record for each file that someone includes -------------------------------------------
 */
enum {
    LINT_PROVIDES_UNCERTAIN = 1, /* parts were not understood: it may declare more */
    LINT_PROVIDES_UMBRELLA = 2,  /* declares nothing of its own */
    LINT_PROVIDES_PASTES = 4,    /* has a macro that forms names with ## */
    LINT_PROVIDES_UNGUARDED = 8
};
#define LINT_NAME_MACRO 1u /* the lowest bit of a name's number: it is a macro */
static inline uint64_t lint_name_id(const char *name)
{
    return lint_hash(name) & ~(uint64_t)LINT_NAME_MACRO;
}
typedef struct lint_provides {
    const char *path;
    uint32_t flags, provided, used; /* counts */
    lint_reader names;              /* provided, then used, 8 bytes each, ascending */
} lint_provides;
bool lint_provides_read(const void *data, size_t size, lint_provides *p);

/* ---- symbols: records of these tags ----------------------------------------------------------------------
 */
enum { LINT_SYMBOL_NAME = 1, LINT_SYMBOL_TYPEDEF, LINT_SYMBOL_USES, LINT_SYMBOL_PASTE };
enum { LINT_SYMBOL_CXX = 1 << 29, LINT_SYMBOL_OPAQUE = 1 << 30 /* not to be compared */ };
typedef struct lint_symbol { /* an external function or variable, declared or defined; or a typedef */
    uint32_t tag, kind, flags, ordinal;
    const char *path, *name, *sig, *cond;
} lint_symbol;
void lint_symbol_put(lint_buf *b, const lint_symbol *y);
bool lint_symbol_get(lint_reader *r, lint_symbol *y); /* r is behind the tag */

/* Pasting: a macro's text with ##. Each gives (piece, side): a literal that begins (1) or ends (2) names, or
 * ("", 3): two arguments are pasted, any name may come out. */
void lint_pastes(const char *text, void (*each)(void *user, const char *piece, size_t size, int side),
                 void *user);

#endif
