/* Tokens of C and C++ for the outline parser: no preprocessing, comments skipped, identifiers interned.
 * A lexer reads caller-owned bytes, allocates only through its name table, and is used by one thread. */
#ifndef TIERLINT_LEX_H
#define TIERLINT_LEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Interned strings, by id. Id 0 is ""; ids 1.. are the keywords in the order of LEX_KEYWORDS. */
typedef struct lex_names {
    char *text; /* all strings, each ended by NUL */
    uint32_t *at, *slots, *hashes;
    uint32_t text_size, text_cap, count, cap, slot_mask;
    bool failed; /* out of memory: ids are 0 from then on */
} lex_names;

bool lex_names_init(lex_names *n); /* false: out of memory */
void lex_names_fini(lex_names *n);
uint32_t lex_intern(lex_names *n, const void *s, size_t size); /* NUL bytes become '?' */
const char *lex_name(const lex_names *n, uint32_t id);         /* until the next lex_intern */

/* What a keyword does in a declaration. */
enum {
    LEX_K_TYPE = 1,     /* part of a type by itself */
    LEX_K_QUAL = 2,     /* const, volatile, restrict... */
    LEX_K_STORE = 4,    /* storage classes and function specifiers */
    LEX_K_TAG = 8,      /* struct, union, enum, class */
    LEX_K_STMT = 16,    /* begins or parts statements */
    LEX_K_EXPR = 32,    /* stands in expressions */
    LEX_K_ATTR = 64,    /* says nothing about the type; a group in parentheses may follow */
    LEX_K_TYPEOF = 128, /* a type with a group in parentheses */
    LEX_K_CXX = 256,    /* an ordinary name in C */
    LEX_K_OTHER = 512
};

#define LEX_KEYWORDS(X)                                 \
    X(VOID, "void", LEX_K_TYPE)                         \
    X(CHAR, "char", LEX_K_TYPE)                         \
    X(SHORT, "short", LEX_K_TYPE)                       \
    X(INT, "int", LEX_K_TYPE)                           \
    X(LONG, "long", LEX_K_TYPE)                         \
    X(SIGNED, "signed", LEX_K_TYPE)                     \
    X(SIGNED2, "__signed__", LEX_K_TYPE)                \
    X(UNSIGNED, "unsigned", LEX_K_TYPE)                 \
    X(FLOAT, "float", LEX_K_TYPE)                       \
    X(DOUBLE, "double", LEX_K_TYPE)                     \
    X(BOOL, "_Bool", LEX_K_TYPE)                        \
    X(COMPLEX, "_Complex", LEX_K_TYPE)                  \
    X(COMPLEX2, "__complex__", LEX_K_TYPE)              \
    X(INT128, "__int128", LEX_K_TYPE)                   \
    X(AUTO, "auto", LEX_K_TYPE)                         \
    X(WCHAR, "wchar_t", LEX_K_TYPE | LEX_K_CXX)         \
    X(CXXBOOL, "bool", LEX_K_TYPE | LEX_K_CXX)          \
    X(CHAR8, "char8_t", LEX_K_TYPE | LEX_K_CXX)         \
    X(CHAR16, "char16_t", LEX_K_TYPE | LEX_K_CXX)       \
    X(CHAR32, "char32_t", LEX_K_TYPE | LEX_K_CXX)       \
    X(TYPEOF, "typeof", LEX_K_TYPEOF)                   \
    X(TYPEOF2, "__typeof__", LEX_K_TYPEOF)              \
    X(TYPEOF3, "__typeof", LEX_K_TYPEOF)                \
    X(DECLTYPE, "decltype", LEX_K_TYPEOF | LEX_K_CXX)   \
    X(CONST, "const", LEX_K_QUAL)                       \
    X(CONST2, "__const", LEX_K_QUAL)                    \
    X(CONST3, "__const__", LEX_K_QUAL)                  \
    X(VOLATILE, "volatile", LEX_K_QUAL)                 \
    X(VOLATILE2, "__volatile__", LEX_K_QUAL)            \
    X(RESTRICT, "restrict", LEX_K_QUAL)                 \
    X(RESTRICT2, "__restrict", LEX_K_QUAL)              \
    X(RESTRICT3, "__restrict__", LEX_K_QUAL)            \
    X(ATOMIC, "_Atomic", LEX_K_QUAL)                    \
    X(TYPENAME, "typename", LEX_K_QUAL | LEX_K_CXX)     \
    X(STATIC, "static", LEX_K_STORE)                    \
    X(EXTERN, "extern", LEX_K_STORE)                    \
    X(INLINE, "inline", LEX_K_STORE)                    \
    X(INLINE2, "__inline", LEX_K_STORE)                 \
    X(INLINE3, "__inline__", LEX_K_STORE)               \
    X(INLINE4, "__forceinline", LEX_K_STORE)            \
    X(REGISTER, "register", LEX_K_STORE)                \
    X(TYPEDEF, "typedef", LEX_K_STORE)                  \
    X(NORETURN, "_Noreturn", LEX_K_STORE)               \
    X(THREAD, "__thread", LEX_K_STORE)                  \
    X(THREAD2, "_Thread_local", LEX_K_STORE)            \
    X(THREAD3, "thread_local", LEX_K_STORE | LEX_K_CXX) \
    X(EXTENSION, "__extension__", LEX_K_STORE)          \
    X(CONSTEXPR, "constexpr", LEX_K_STORE | LEX_K_CXX)  \
    X(CONSTEVAL, "consteval", LEX_K_STORE | LEX_K_CXX)  \
    X(CONSTINIT, "constinit", LEX_K_STORE | LEX_K_CXX)  \
    X(VIRTUAL, "virtual", LEX_K_STORE | LEX_K_CXX)      \
    X(MUTABLE, "mutable", LEX_K_STORE | LEX_K_CXX)      \
    X(FRIEND, "friend", LEX_K_STORE | LEX_K_CXX)        \
    X(EXPLICIT, "explicit", LEX_K_ATTR | LEX_K_CXX)     \
    X(STRUCT, "struct", LEX_K_TAG)                      \
    X(UNION, "union", LEX_K_TAG)                        \
    X(ENUM, "enum", LEX_K_TAG)                          \
    X(CLASS, "class", LEX_K_TAG | LEX_K_CXX)            \
    X(ATTRIBUTE, "__attribute__", LEX_K_ATTR)           \
    X(ATTRIBUTE2, "__attribute", LEX_K_ATTR)            \
    X(DECLSPEC, "__declspec", LEX_K_ATTR)               \
    X(ALIGNAS, "_Alignas", LEX_K_ATTR)                  \
    X(ALIGNAS2, "alignas", LEX_K_ATTR | LEX_K_CXX)      \
    X(NOEXCEPT, "noexcept", LEX_K_ATTR | LEX_K_CXX)     \
    X(ASM, "asm", LEX_K_ATTR)                           \
    X(ASM2, "__asm__", LEX_K_ATTR)                      \
    X(ASM3, "__asm", LEX_K_ATTR)                        \
    X(STATIC_ASSERT, "_Static_assert", LEX_K_OTHER)     \
    X(STATIC_ASSERT2, "static_assert", LEX_K_OTHER)     \
    X(NAMESPACE, "namespace", LEX_K_OTHER | LEX_K_CXX)  \
    X(TEMPLATE, "template", LEX_K_OTHER | LEX_K_CXX)    \
    X(USING, "using", LEX_K_OTHER | LEX_K_CXX)          \
    X(OPERATOR, "operator", LEX_K_OTHER | LEX_K_CXX)    \
    X(CONCEPT, "concept", LEX_K_OTHER | LEX_K_CXX)      \
    X(REQUIRES, "requires", LEX_K_OTHER | LEX_K_CXX)    \
    X(PUBLIC, "public", LEX_K_OTHER | LEX_K_CXX)        \
    X(PRIVATE, "private", LEX_K_OTHER | LEX_K_CXX)      \
    X(PROTECTED, "protected", LEX_K_OTHER | LEX_K_CXX)  \
    X(NEW, "new", LEX_K_EXPR | LEX_K_CXX)               \
    X(DELETE, "delete", LEX_K_EXPR | LEX_K_CXX)         \
    X(THIS, "this", LEX_K_EXPR | LEX_K_CXX)             \
    X(THROW, "throw", LEX_K_EXPR | LEX_K_CXX)           \
    X(TRY, "try", LEX_K_STMT | LEX_K_CXX)               \
    X(CATCH, "catch", LEX_K_STMT | LEX_K_CXX)           \
    X(IF, "if", LEX_K_STMT)                             \
    X(ELSE, "else", LEX_K_STMT)                         \
    X(FOR, "for", LEX_K_STMT)                           \
    X(WHILE, "while", LEX_K_STMT)                       \
    X(DO, "do", LEX_K_STMT)                             \
    X(SWITCH, "switch", LEX_K_STMT)                     \
    X(CASE, "case", LEX_K_STMT)                         \
    X(DEFAULT, "default", LEX_K_STMT)                   \
    X(BREAK, "break", LEX_K_STMT)                       \
    X(CONTINUE, "continue", LEX_K_STMT)                 \
    X(RETURN, "return", LEX_K_STMT)                     \
    X(GOTO, "goto", LEX_K_STMT)                         \
    X(SIZEOF, "sizeof", LEX_K_EXPR)                     \
    X(ALIGNOF, "_Alignof", LEX_K_EXPR)                  \
    X(GENERIC, "_Generic", LEX_K_EXPR)                  \
    X(DEFINED, "defined", LEX_K_EXPR)

enum {
    LEX_KW_NONE,
#define LEX_ONE(id, text, does) LEX_##id,
    LEX_KEYWORDS(LEX_ONE)
#undef LEX_ONE
        LEX_KW_END
};
unsigned lex_keyword_class(uint32_t name); /* LEX_K_..., 0 for other names */

enum {
    LEX_END,
    LEX_WORD,
    LEX_NUMBER,
    LEX_STRING,
    LEX_CHARS,
    LEX_PUNCT,
    LEX_HASH /* begins a directive */,
    LEX_EOL
};
/* Codes of punctuation: the character itself, or one of these. '>' always stands alone. */
enum { LEX_SCOPE = 256, LEX_ARROW, LEX_DOTS, LEX_ANDAND, LEX_OTHER_OP };
enum {
    LEX_F_LINE = 1,   /* first on its line */
    LEX_F_SPACE = 2,  /* blank or comment before it */
    LEX_F_BROKEN = 4, /* literal without end: the token is the quote alone */
    LEX_F_NAME = 16,  /* set by the parser: declares this name */
    LEX_F_PLAIN = 8   /* set by the parser: a C++ keyword that is an ordinary name in this file */
};
typedef struct lex_token {
    uint32_t start, end;
    uint32_t name;  /* of words; keywords are <= LEX_KW_END */
    uint32_t cond;  /* set by the parser: innermost branch */
    uint32_t match; /* set by the parser: partner of a bracket */
    uint16_t code;  /* of punctuation */
    uint8_t kind, flags;
} lex_token;

typedef struct lex_reader {
    const uint8_t *src;
    uint32_t size, at;
    lex_names *names;
    bool directive;        /* a line end is LEX_EOL; set after LEX_HASH, cleared by LEX_EOL */
    bool quiet;            /* words get no names: skipping */
    bool fresh;            /* nothing but blanks since the line began */
    bool open_comment;     /* a block comment had no end */
    bool raw_failed;       /* a raw string had no end: none is looked for again, which keeps this linear */
    uint32_t bad_until[2]; /* up to here no " (or ') has a partner: known from an earlier one */
    void *user;
    void (*comment)(void *user, uint32_t start, uint32_t end); /* may be NULL */
} lex_reader;

/* Reads the next token; false at the end (t->kind is LEX_END then). */
bool lex_next(lex_reader *r, lex_token *t);
/* In a directive: skips blanks and comments, returns the offset of what follows. */
uint32_t lex_skip_blanks(lex_reader *r);

#endif
