/* The outline of one C or C++ file: what it includes, defines, declares and uses, and where.
 *
 * A pure library: bytes in, outline out. No I/O, no global state, no dependence on the cache; every function
 * may be called from any thread, and an outline never changes once made, so threads may share it.
 *
 * An outline is flat: arrays of records made of uint32_t only, and one text arena. A string is an offset into
 * the arena (ol_text gives the characters; equal strings of one outline have equal offsets; 0 is "").
 * A reference to a record is its index; OL_NONE means none. Its saved form is the same arrays, little endian,
 * position independent, with version and checksum.
 *
 * Three projections are outlines themselves, with their own saved bytes, and are read in the same way:
 *   ol_face      what other files can see, no positions: a moved declaration or an inserted comment, or an
 *                edit inside a function's body, leaves its bytes equal
 *   ol_fragment  one declaration with its uses, positions relative to its start: an edit elsewhere in the
 *                file leaves its bytes equal
 *   ol_names     every name used anywhere in the file, once (members apart), no positions or counts, in byte
 *                order; OL_USE_LOCAL there means that all its uses are local
 * A finding made from a projection is placed at the end: ol_find(file's outline, name, ordinal) gives the
 * declaration, its start + the relative offset a byte, ol_place the line and column.
 *
 * The parser runs no preprocessor. It prefers silence to invention: what it cannot read becomes a region
 * (OL_WHY_...), and what it read but does not trust carries OL_UNCERTAIN; rules withhold findings there.
 * Code below #if 0 is left out altogether. All other branches of a conditional are read; where the branches'
 * braces do not balance, the first gives the structure and of the others only used names are kept. */
#ifndef TIERLINT_OUTLINE_H
#define TIERLINT_OUTLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OL_NONE UINT32_MAX
#define OL_VERSION 1 /* of the saved form and of the parser's answers: raise it when either changes */

enum { OL_OK = 0, OL_ENOMEM = -1, OL_ETOOBIG = -2, OL_EDAMAGED = -3, OL_EINVAL = -4 };
#define OL_MAX_SOURCE (256u << 20) /* bytes; more is OL_ETOOBIG: keeps every offset below 32 bits */

/* ---- includes ------------------------------------------------------------------------------------------ */
enum {
    OL_INC_ANGLE = 1,    /* <name>; else "name" */
    OL_INC_NEXT = 2,     /* #include_next */
    OL_INC_COMPUTED = 4, /* #include MACRO: name is the text as written */
    OL_INC_KEEP = 8,     /* IWYU pragma: keep (also inside begin_keep .. end_keep) */
    OL_INC_EXPORT = 16,  /* IWYU pragma: export (also inside begin_exports .. end_exports) */
    OL_INC_NESTED = 32   /* inside braces of a type, function, initialiser...: text, not an interface. Inside
                            extern "C" and namespaces it is not set */
};
typedef struct ol_include {
    uint32_t name;
    uint32_t flags;
    uint32_t cond;       /* innermost enclosing branch; the include guard does not count */
    uint32_t start, end; /* bytes: from '#' to the closing > or "; 0 in a face */
} ol_include;

/* ---- conditionals: one record per branch -----------------------------------------------------------------
 */
enum { OL_IF = 1, OL_IFDEF, OL_IFNDEF, OL_ELIF, OL_ELIFDEF, OL_ELIFNDEF, OL_ELSE };
enum {
    OL_COND_GUARD = 1,  /* the file's include guard: no other record refers to it */
    OL_COND_NEVER = 2,  /* #if 0 (or the #else of #if 1): nothing in it was read */
    OL_COND_OPEN = 4,   /* no #endif */
    OL_COND_SKIPPED = 8 /* braces do not balance against the first branch: only used names were read */
};
typedef struct ol_cond {
    uint32_t kind;
    uint32_t flags;
    uint32_t text;       /* condition, comments gone, one blank between words; "" for #else */
    uint32_t parent;     /* enclosing branch; always a smaller index */
    uint32_t prev;       /* the branch before it in the same #if .. #endif; always a smaller index */
    uint32_t start, end; /* from its '#' to the next branch's '#' or the end of #endif; 0 in projections */
} ol_cond;

/* ---- declarations and definitions ------------------------------------------------------------------------
 */
enum {
    OL_FUNCTION = 1,
    OL_VARIABLE,
    OL_FIELD, /* data member of a struct, union or class; found by name, but no name of its own in any scope
               */
    OL_STRUCT,
    OL_UNION,
    OL_ENUM,
    OL_CLASS,
    OL_TYPEDEF,    /* typedef and using X = T */
    OL_USING,      /* using a::b; its name is the last component */
    OL_ENUMERATOR, /* scope is its enum; qualified by it only for enum class */
    OL_MACRO,      /* #define */
    OL_UNDEF,      /* #undef */
    OL_NAMESPACE,  /* one record per opening; "(anonymous)" where it has no name */
    OL_CONCEPT
};
enum {
    OL_DEFINITION = 1 << 0, /* has a body, members, an initialiser, or is a tentative definition */
    OL_STATIC = 1 << 1,
    OL_EXTERN = 1 << 2,
    OL_INLINE = 1 << 3,   /* inline, constexpr functions, members defined in their class */
    OL_EXTERN_C = 1 << 4, /* within extern "C", directly or in a block, also where under #ifdef __cplusplus */
    OL_TEMPLATE = 1 << 5,
    OL_CONST = 1 << 6,  /* variable: const or constexpr itself (in C++: internal linkage unless extern) */
    OL_MEMBER = 1 << 7, /* of a struct, union or class: declared in it, or defined outside as A::b */
    OL_FRIEND = 1 << 8,
    OL_VIRTUAL = 1 << 9,  /* virtual, override or final */
    OL_SPECIAL = 1 << 10, /* constructor, destructor, operator, conversion, deduction guide */
    OL_LIVE =
        1 << 11, /* kept alive by an attribute: constructor, destructor, used, unused, maybe_unused,
                    alias,    ifunc, section, weak, cleanup, interrupt, dllexport, visibility("default") */
    OL_TYPEDEF_TAG = 1 << 12, /* a struct, union or enum named only by the typedef that holds it: its name is
                                 the typedef's */
    OL_FUNCTION_LIKE = 1 << 13, /* macro with parameters */
    OL_ANONYMOUS = 1 << 14,     /* below an anonymous namespace: internal linkage */
    OL_KNR = 1 << 15,           /* old-style definition: its parameter types are not in the signature */
    OL_UNKNOWN_WORDS = 1 << 16, /* unknown macro words stand among its specifiers: they may change the
                                   linkage; the signature leaves them out */
    OL_UNCERTAIN = 1 << 17, /* name and kind are trusted; linkage, signature and extent are not (conditionals
                               inside the head, macros with arguments among the specifiers, ...) */
    OL_DELETED = 1 << 18,   /* = delete */
    OL_THREAD = 1 << 19,    /* thread_local, _Thread_local, __thread */
    OL_SCOPED = 1 << 20,    /* enum class */
    OL_VARIADIC = 1 << 21   /* function or macro with ... */
};
typedef struct ol_decl {
    uint32_t kind;
    uint32_t flags;
    uint32_t name;  /* qualified: a::b::c */
    uint32_t base;  /* last component: c */
    uint32_t sig;   /* function: "int(char*,...)"; variable, field, typedef: "char*[]"; macro: "(a,b) text" or
                       " text"; enumerator: "=text" or ""; class: ":bases"; parameter names, comments, blanks
                       and storage words gone. Compare with ol_sig_agree */
    uint32_t scope; /* enclosing namespace, type or (for enumerators) enum; always a smaller index */
    uint32_t cond;  /* innermost enclosing branch at its start */
    uint32_t ordinal;    /* how many records with the same qualified name, of any kind, come before it */
    uint32_t start, end; /* bytes, from its first specifier (or '#') to behind its ';' or '}'. Declarators
                            that share a declaration share its start and end */
    uint32_t name_at;    /* byte of its name */
    uint32_t use_first, use_count; /* its uses[]. Declarators of one declaration: those of the specifiers stay
                                      with the first */
} ol_decl;

/* ---- names used ------------------------------------------------------------------------------------------
 */
enum {
    OL_USE_CALL = 1,       /* name ( */
    OL_USE_TYPE = 2,       /* stands where only a type can: not set wherever the text leaves it open */
    OL_USE_IDENT = 4,      /* anything else */
    OL_USE_MEMBER = 8,     /* after . or ->, a designator, or a label: never together with the others */
    OL_USE_COND = 16,      /* in the condition of #if, #ifdef... or in a computed #include or #pragma */
    OL_USE_QUALIFIED = 32, /* after :: */
    OL_USE_LOCAL = 64,     /* the fragment declares a parameter or local of this name (recognised by shape) */
    OL_USE_TAG = 128       /* after struct, union, enum or class */
};
/* One record for each different (owner, name, member or not), in order of first occurrence within its owner.
 * Uses of one owner are contiguous; those of no declaration (OL_NONE) come last. Keywords, and the names that
 * a declaration itself declares, are no uses. A function's, macro's, variable's or type's uses belong to it;
 * members of a type (functions with and without body apart) give theirs to the type. */
typedef struct ol_use {
    uint32_t name;
    uint32_t kinds; /* OL_USE_... of all its occurrences */
    uint32_t count; /* occurrences */
    uint32_t owner; /* declaration or OL_NONE */
    uint32_t
        at; /* first occurrence: from the owner's start; of the file where there is no owner; 0 in names */
} ol_use;

/* ---- what comments ask for, and what could not be read ---------------------------------------------------
 */
typedef struct ol_suppress { /* one for each rule named; in order of line */
    uint32_t rule;           /* "": all rules */
    uint32_t line;           /* from 1; the line that it covers (ignore-next-line: the next one) */
    uint32_t at;             /* byte of the comment */
} ol_suppress;

enum {
    OL_WHY_BRACES = 1 << 0,       /* braces, brackets or parentheses do not balance */
    OL_WHY_KNR = 1 << 1,          /* old-style definition */
    OL_WHY_MACRO = 1 << 2,        /* a macro invocation stands where declarations do: may declare anything */
    OL_WHY_UNTERMINATED = 1 << 3, /* literal, comment or conditional without end */
    OL_WHY_DEEP = 1 << 4,         /* nested more deeply than the parser follows */
    OL_WHY_BRANCHES = 1 << 5,     /* branches of a conditional do not balance against each other */
    OL_WHY_SYNTAX = 1 << 6,       /* a declaration was not understood */
    OL_WHY_BINARY = 1 << 7,       /* NUL bytes: not a text */
    OL_WHY_FULL = 1 << 8          /* more records than the limits allow: the rest was left out */
};
typedef struct ol_region {
    uint32_t why; /* one OL_WHY_ */
    uint32_t start, end;
    uint32_t cond; /* innermost enclosing branch at its start */
} ol_region;

/* ---- the file --------------------------------------------------------------------------------------------
 */
enum { OL_GUARD_MISSING = 0, OL_GUARD_MACRO, OL_GUARD_ONCE, OL_GUARD_INEFFECTIVE };
enum {
    OL_GUARD_FINE = 0,
    OL_GUARD_NO_DEFINE,   /* #ifndef X, but X is not defined right behind it */
    OL_GUARD_OTHER_NAME,  /* #ifndef X followed at once by #define Y: a typing error */
    OL_GUARD_CODE_BEFORE, /* declarations or code stand before the #ifndef */
    OL_GUARD_CODE_AFTER,  /* or after its #endif */
    OL_GUARD_HAS_ELSE,    /* the #ifndef has an #else or #elif with content */
    OL_GUARD_UNDEFINED    /* X is #undef-ined again in the file */
};
enum {
    OL_FILE_EMPTY = 1,           /* no token but comments */
    OL_FILE_CXX = 2,             /* holds what only C++ has, outside #ifdef __cplusplus */
    OL_FILE_USING_NAMESPACE = 4, /* using namespace at file or namespace level */
    OL_FILE_NO_FUNCTIONS = 8,    /* declares nothing: only includes and preprocessor lines */
    OL_FILE_SUPPRESS_ALL = 16,   /* tierlint: ignore-file */
    OL_FILE_PRIVATE = 32         /* a conditional #error stands before all code: only for other headers to
                                    include, or not for every platform */
};
enum { OL_WHOLE = 1, OL_FACE, OL_FRAGMENT, OL_NAMES };

/* Pointers lead into the outline's own memory and live as long as it does. */
typedef struct ol_outline {
    uint32_t form;                         /* OL_WHOLE... */
    uint32_t flags;                        /* OL_FILE_... */
    uint32_t why;                          /* all OL_WHY_ of its regions */
    uint32_t size;                         /* bytes of the source; of the fragment; 0 in face and names */
    uint32_t guard, guard_why, guard_name; /* OL_GUARD_..., the macro's name or 0 */
    const ol_include *includes;
    const ol_cond *conds;
    const ol_decl *decls;
    const ol_use *uses;
    const ol_suppress *suppressions;
    const ol_region *regions;
    const uint32_t *lines; /* byte at which each line begins; none in projections */
    const char *text;
    uint32_t include_count, cond_count, decl_count, use_count, suppress_count, region_count, line_count;
    uint32_t text_size;
} ol_outline;

/* Reads size bytes (any bytes; need not end in NUL). Linear in size. *o is the caller's, to ol_free.
 * OL_ENOMEM, OL_ETOOBIG. */
int ol_parse(const void *bytes, size_t size, ol_outline **o);
void ol_free(ol_outline **o);          /* sets *o to NULL; *o may be NULL */
size_t ol_weight(const ol_outline *o); /* bytes of heap it takes */

/* Saved form. The same outline gives the same bytes on every machine. */
size_t ol_saved_size(const ol_outline *o);
void ol_save(const ol_outline *o, void *buf); /* ol_saved_size bytes */
/* Copies. Verifies checksum, version, every count, index, offset and order: an outline that was loaded is as
 * safe to walk as one that was parsed. OL_EDAMAGED, OL_ENOMEM. */
int ol_load(const void *bytes, size_t size, ol_outline **o);

/* Projections, each an outline of its own: the caller's, to ol_free. OL_ENOMEM; OL_EINVAL: not an OL_WHOLE,
 * or no such declaration. A face holds includes, conditions, declarations (no positions, no uses), guard,
 * flags and why. A fragment holds the declaration as decls[decl_count - 1] behind its scopes (names only),
 * its enclosing conditions, its uses, and the regions inside it. Namespaces have no fragment (OL_EINVAL). */
int ol_face(const ol_outline *o, ol_outline **face);
int ol_fragment(const ol_outline *o, uint32_t decl, ol_outline **fragment);
int ol_names(const ol_outline *o, ol_outline **names);

static inline const char *ol_text(const ol_outline *o, uint32_t at)
{
    return o->text + at;
}

/* ---- questions -------------------------------------------------------------------------------------------
 */
typedef struct ol_point {
    uint32_t line, column; /* from 1; columns in bytes */
} ol_point;
/* Of a byte of the file; o is an OL_WHOLE. Bytes past the end count as the end. */
ol_point ol_place(const ol_outline *o, uint32_t byte);
/* The declaration with this qualified name and ordinal, or OL_NONE. Linear in the declarations. */
uint32_t ol_find(const ol_outline *o, const char *name, uint32_t ordinal);
/* The byte of the file where use u first stands (owner's start added). */
uint32_t ol_use_byte(const ol_outline *o, const ol_use *u);
/* The earliest use of name in the file that has one of kinds and none of without; OL_NONE if none. */
uint32_t ol_first_use(const ol_outline *o, const char *name, uint32_t kinds, uint32_t without);
/* Is a finding of rule on this line suppressed by a comment? (From 1; rule may not be NULL.) */
bool ol_suppressed(const ol_outline *o, uint32_t line, const char *rule);
/* Does a region with one of the why bits touch [start, end)? */
bool ol_uncertain_at(const ol_outline *o, uint32_t start, uint32_t end, uint32_t why);
/* Are these two branches of one outline (or OL_NONE) never both compiled, because they or enclosing ones
 * belong to the same #if .. #endif? false where that is not known. */
bool ol_cond_disjoint(const ol_outline *o, uint32_t a, uint32_t b);
/* Writes the whole condition of a branch in one line ("defined(A) && !(B > 1)"), cut to size with NUL; "" for
 * OL_NONE. For comparing branches of different files: equal text is the same condition. Returns the length it
 * wants, as snprintf. */
size_t ol_cond_text(const ol_outline *o, uint32_t cond, char *buf, size_t size);
/* Can two signatures be of one function or variable? "()" of C agrees with any parameters. */
bool ol_sig_agree(const char *a, const char *b);
/* Words for kinds: "function", "struct"...; "?" for others. */
const char *ol_kind_name(uint32_t kind);
const char *ol_why_name(uint32_t why); /* of one bit */

/* Writes the outline as text, one record a line, stable, for tests and --dump. sink returns non-zero to stop,
 * which is then returned. */
int ol_dump(const ol_outline *o, int (*sink)(void *user, const char *line, size_t size), void *user);

#endif
