/* The rules: one table, from which come the numbers, names, help, defaults and SARIF's descriptions.
 * docs/tierlint-rules.md gives, for each, the samples that chose its default. */
#ifndef TIERLINT_RULES_H
#define TIERLINT_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(identifier, name, on by default, severity, what it says in one line, what it looks at and when it is
 * silent) */
#define LINT_RULES(X)                                                                                        \
    X(UNREADABLE, "unreadable-file", 1, "error", "a file could not be read or is not text",                  \
      "The file was named or found, but its content could not be had or holds NUL bytes, so no other rule "  \
      "looked at it.")                                                                                       \
    X(UNUSED_INCLUDE, "unused-include", 1, "warning",                                                        \
      "a source file includes a header of which it uses no "                                                 \
      "name",                                                                                                \
      "No name that the header, or anything it includes, declares or defines is used in the source file, "   \
      "and no other header of the file needs it. Silent for conditional, computed and exported includes "    \
      "(IWYU pragmas are honoured), for the file's own header, where the header or what it includes could "  \
      "not be read with certainty, and where it declares nothing (it then acts by other means). "            \
      "In effect silent for the headers of the C library and of most others below /usr/include: what they "  \
      "declare hangs on conditionals and macros of the compiler, so #include <string.h> above an empty "     \
      "main is passed over.")                                                                                \
    X(UNUSED_INCLUDE_HEADER, "unused-include-in-header", 0, "note",                                          \
      "a header includes another of which it "                                                               \
      "uses no name",                                                                                        \
      "As unused-include, for headers. Off by default: a header often includes another for those who "       \
      "include it.")                                                                                         \
    X(TRANSITIVE, "transitive-include", 0, "note", "a name is reached only through another header",          \
      "The file uses a name that exactly one file declares, and that file is included only by other "        \
      "headers. Off by default: umbrella headers mean it to be so.")                                         \
    X(UNUSED_FUNCTION, "unused-function", 0, "warning",                                                      \
      "a function is used nowhere in the tree and "                                                          \
      "declared in no header",                                                                               \
      "An external function is defined in a source file, no header declares it, and its name is used in no " \
      "file that was read. Silent for main and its like, for what attributes or unknown macros may keep "    \
      "alive, for conditional definitions, C++ members, templates and operators, and where a macro that "    \
      "pastes tokens could form "                                                                            \
      "the name. Off by default: test tables are often generated, and other languages call C.")              \
    X(UNUSED_EXPORTED, "unused-exported-function", 0, "note",                                                \
      "a function that a header declares is used "                                                           \
      "nowhere in the tree",                                                                                 \
      "As unused-function, for functions that a header declares. Off by default: in a library they are its " \
      "interface.")                                                                                          \
    X(MISMATCH, "declaration-mismatch", 1, "error",                                                          \
      "a declaration disagrees with the definition in "                                                      \
      "another file",                                                                                        \
      "A C function or variable is defined once in the tree, and a declaration in another file has another " \
      "type: the compiler sees it only where both meet in one translation unit. Silent for C++, where "      \
      "conditions differ, and where a type could not be resolved through the tree's typedefs.")              \
    X(TWICE, "duplicate-definition", 0, "warning", "two files define the same function",                     \
      "Two source files define an external function of the same name under the same conditions. Off by "     \
      "default: a tree of several programs does so rightly, and for one program the linker says it.")        \
    X(UNUSED_STATIC, "unused-static-function", 1, "warning", "a static function is never used",              \
      "A static function of a source file is reached from nothing: not from external functions, "            \
      "initialisers or macros, nor from files it includes. Silent for inline functions, for attributes "     \
      "and unknown macros, and where pasted tokens could form the name.")                                    \
    X(CYCLE, "include-cycle", 1, "warning", "headers include each other",                                    \
      "A chain of unconditional includes leads back to where it began. Guards make it compile; which "       \
      "declarations come first then depends on which header was included first.")                            \
    X(NO_GUARD, "missing-guard", 1, "warning", "a header has no include guard",                              \
      "A header that defines types or inline functions, which cannot stand twice, has neither #pragma once " \
      "nor an #ifndef around it. Silent for headers that only declare, and for those meant to be included "  \
      "many times or only by others (they #undef, #error first, define plain functions, or lie below bits, " \
      "detail, impl, internal "                                                                              \
      "or private).")                                                                                        \
    X(BAD_GUARD, "ineffective-guard", 1, "warning", "an include guard does not guard",                       \
      "The guard's macro is never defined, or another one is, so a second inclusion is not stopped.")        \
    X(DUPLICATE_INCLUDE, "duplicate-include", 1, "warning", "a file is included twice",                      \
      "Both includes stand unconditionally in one file and lead to the same guarded header.")                \
    X(UNRESOLVED, "unresolved-include", 0, "warning", "an included file was not found",                      \
      "Nothing of that name lies beside the file, in a search directory (-I, compile_commands.json), nor "   \
      "in "                                                                                                  \
      "a directory above the file. "                                                                         \
      "Silent within conditionals, for computed includes, and for headers that belong to the compiler. Off " \
      "by default: it is right only where all search directories were given.")                               \
    X(OLD_STYLE, "old-style-definition", 1, "warning", "a function is defined without parameter types",      \
      "A definition in the style before C89, which C23 no longer allows.")

enum {
#define LINT_RULE_ENUM(id, name, on, severity, what, why) LINT_##id,
    LINT_RULES(LINT_RULE_ENUM)
#undef LINT_RULE_ENUM
        LINT_RULE_COUNT
};
#define LINT_BIT(id) (1u << LINT_##id)

typedef struct lint_rule {
    const char *name;
    bool on;
    const char *severity; /* error, warning, note: SARIF's levels too */
    const char *what, *why;
} lint_rule;

const lint_rule *lint_rule_at(uint32_t i); /* NULL past the end */
uint32_t lint_rule_find(const char *name); /* LINT_RULE_COUNT: no such rule */
uint32_t lint_rules_default(void);         /* bits */

#endif
