/* tierlint: what its parts share. The types of things it computes, and what each is asked for with.
 *
 *   name      asked for with        reads                     gives
 *   outline   path                  the file                  everything about the file, with positions
 * (live) face      path                  outline                   what other files can see, no positions
 * (live) names     path                  outline                   the names it uses, no positions (live)
 *   outer     path                  outline                   the names used outside of functions
 *   fragment  path, name#ordinal    outline                   one function, positions from its start (live)
 *   judge     path, name#ordinal    fragment                  findings in one function, and what it needs
 *   compdb    path                  the file                  compile_commands.json: search directories
 *   flags     path                  compdb                    those of one file
 *   search    name, directories     tier_stat                 where that name lies
 *   links     path                  face, flags, search       where each of its includes leads
 *   files     paths                 tier_stat, tier_list      the source files below the paths
 *   graph     paths                 files, links              who includes whom
 *   reach     directory, paths      graph                     that part of it that a directory's files see
 *   members   directory, paths      graph                     the directory's files that someone includes
 *   provides  directory, paths      members, face, names      what they declare and use, as numbers
 *   symbols   files                 face, names               functions, variables and uses of a directory
 *   local     path                  face, links, judge, ...   findings that one file alone shows
 *   usage     directory, paths      reach, provides, ...      findings about includes and static functions
 *   program   paths                 graph, symbols            findings about the whole
 *   render    path, findings        outline                   the same with lines and columns
 *   report    paths                 all of these              everything, sorted: the one thing main asks for
 *
 * A type's config holds every option that its build looks at, and those of every type that it asks: which
 * type a build asks is an option as well. */
#ifndef TIERLINT_LINT_H
#define TIERLINT_LINT_H

#include "tierkit.h"
#include "tools/tierlint/buf.h"
#include "tools/tierlint/finding.h"
#include "tools/tierlint/outline.h"
#include "tools/tierlint/rules.h"

enum { LINT_USES_SEARCH = 1 };

/* X(identifier, name, tier, version, uses, rules it looks at) */
#define LINT_TYPES(X)                                                                     \
    X(OUTLINE, outline, TIER_TREE, OL_VERSION, 0, 0)                                      \
    X(FACE, face, TIER_TREE, OL_VERSION, 0, 0)                                            \
    X(NAMES, names, TIER_TREE, OL_VERSION, 0, 0)                                          \
    X(OUTER, outer, TIER_DELTA, OL_VERSION, 0, 0)                                         \
    X(FRAGMENT, fragment, TIER_TREE, OL_VERSION, 0, 0)                                    \
    X(JUDGE, judge, TIER_DELTA, 1, 0, 0)                                                  \
    X(COMPDB, compdb, TIER_DELTA, 1, 0, 0)                                                \
    X(FLAGS, flags, TIER_DELTA, 1, LINT_USES_SEARCH, 0)                                   \
    X(SEARCH, search, TIER_DELTA, 1, 0, 0)                                                \
    X(LINKS, links, TIER_DELTA, 1, LINT_USES_SEARCH, 0)                                   \
    X(FILES, files, TIER_DELTA, 1, 0, 0)                                                  \
    X(GRAPH, graph, TIER_DELTA, 2, LINT_USES_SEARCH, 0)                                   \
    X(PARTIAL, partial, TIER_DELTA, 1, LINT_USES_SEARCH, 0)                               \
    X(REACH, reach, TIER_DELTA, 2, LINT_USES_SEARCH, 0)                                   \
    X(MEMBERS, members, TIER_DELTA, 1, LINT_USES_SEARCH, 0)                               \
    X(PROVIDES, provides, TIER_DELTA, 1, LINT_USES_SEARCH, 0)                             \
    X(SYMBOLS, symbols, TIER_DELTA, 1, 0, 0)                                              \
    X(LOCAL, local, TIER_DELTA, 1, LINT_USES_SEARCH, LINT_LOCAL_RULES)                    \
    X(USAGE, usage, TIER_DELTA, 2, LINT_USES_SEARCH, LINT_LOCAL_RULES | LINT_USAGE_RULES) \
    X(PROGRAM, program, TIER_DELTA, 2, LINT_USES_SEARCH, LINT_PROGRAM_RULES)              \
    X(RENDER, render, TIER_DELTA, 1, 0, 0)                                                \
    X(REPORT, report, TIER_DELTA, 3, LINT_USES_SEARCH, UINT32_MAX)

#define LINT_LOCAL_RULES                                                                         \
    (LINT_BIT(UNREADABLE) | LINT_BIT(UNUSED_STATIC) | LINT_BIT(NO_GUARD) | LINT_BIT(BAD_GUARD) | \
     LINT_BIT(DUPLICATE_INCLUDE) | LINT_BIT(UNRESOLVED) | LINT_BIT(OLD_STYLE))
#define LINT_USAGE_RULES                                                                 \
    (LINT_BIT(UNUSED_INCLUDE) | LINT_BIT(UNUSED_INCLUDE_HEADER) | LINT_BIT(TRANSITIVE) | \
     LINT_BIT(UNUSED_STATIC))
#define LINT_PROGRAM_RULES                                                                          \
    (LINT_BIT(UNUSED_FUNCTION) | LINT_BIT(UNUSED_EXPORTED) | LINT_BIT(MISMATCH) | LINT_BIT(TWICE) | \
     LINT_BIT(CYCLE))

enum {
#define LINT_TYPE_ENUM(id, name, tier, version, uses, rules) LINT_TYPE_##id,
    LINT_TYPES(LINT_TYPE_ENUM)
#undef LINT_TYPE_ENUM
        LINT_TYPE_COUNT
};

/* Handed to every build as its user pointer; unchanged from lint_define on, so threads may share it. */
typedef struct lint {
    const tier_cache *cache;   /* for tier_path_in alone */
    const char *const *search; /* key paths of search directories, in order */
    size_t search_count;
    const char *compdb; /* key path of compile_commands.json; NULL: none */
    uint32_t rules;     /* bits of those enabled */
    const tier_type *type[LINT_TYPE_COUNT];
} lint;

/* Defines all types on c. l is filled but for type, and outlives c. TIER_E... */
int lint_define(tier_cache *c, lint *l);

/* ---- builds, one of each type, in the files named after their subject ---------------------------------- */
#define LINT_BUILD_DECLARE(id, name, tier, version, uses, rules) \
    int lint_build_##name(tier_session *s, const tier_query *q, tier_out *out, void *user);
LINT_TYPES(LINT_BUILD_DECLARE)
#undef LINT_BUILD_DECLARE

/* ---- what builds share ----------------------------------------------------------------------------------
 */
/* Asks for type of path (may be NULL) with args. As tier_get. */
int lint_get(tier_session *s, const lint *l, int type, const char *path, const lint_buf *args, tier_value *v);
/* The same for a type whose values are outlines. *o lives as long as the loan of v. */
int lint_get_outline(tier_session *s, const lint *l, int type, const char *path, tier_value *v,
                     const ol_outline **o);
/* Is rc about the input (absent, no access, not a file, refused), so that a pass goes on without it? Anything
 * else (out of memory, canceled, ...) ends the pass. */
bool lint_absent(int rc);
/* Gives b as bytes, or as one record, to out; and frees it. */
int lint_give(tier_session *s, tier_out *out, lint_buf *b);
int lint_give_record(tier_session *s, tier_out *out, lint_buf *b);

/* Results of passes are records: a tag, then what it says. */
enum { LINT_RECORD_FINDING = 1, LINT_RECORD_STATIC, LINT_RECORD_NEED };
int lint_give_finding(tier_session *s, tier_out *out, const lint_finding *f);
int lint_nomem(tier_session *s); /* fails the build with TIER_ENOMEM */

/* ---- paths -----------------------------------------------------------------------------------------------
 */
bool lint_is_source(const char *path); /* .c .cc .cpp .cxx */
bool lint_is_header(const char *path); /* .h .hh .hpp .hxx, or no extension */
bool lint_is_cxx(const char *path);    /* .cc .cpp .cxx .hh .hpp .hxx */
bool lint_is_wanted(const char *path); /* found below a directory: a source, a header with extension, .inc */
/* The directory of a key path, without the last '/': "", "a/b", "sys:", "/". Appended to b with its 0. */
void lint_dir_of(const char *path, lint_buf *b);
const char *lint_base_of(const char *path);                     /* behind the last '/' or ':' of a root */
void lint_join(lint_buf *b, const char *dir, const char *name); /* key path dir/name, with its 0 */
/* Is it a header that the compiler itself brings (stddef.h, immintrin.h, ...)? */
bool lint_is_compilers(const char *name);

#endif
