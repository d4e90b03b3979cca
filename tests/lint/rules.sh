# Each rule: where it speaks, and where it must be silent.

tree unused_include
cat >used.h <<'END'
#ifndef USED_H
#define USED_H
int used(void);
#endif
END
cat >other.h <<'END'
#ifndef OTHER_H
#define OTHER_H
int other(void);
#endif
END
cat >outer.h <<'END'
#ifndef OUTER_H
#define OUTER_H
#include "used.h"
#endif
END
printf '#include "used.h"\n#include "other.h"\nint main(void) { return used(); }\n' >direct.c
printf '#include "outer.h"\nint main(void) { return used(); }\n' >umbrella.c
printf '#include "other.h" // IWYU pragma: keep\nint main(void) { return 0; }\n' >keep.c
printf '#ifdef X\n#include "other.h"\n#endif\nint main(void) { return 0; }\n' >conditional.c
printf '#include "other.h"\nint other(void) { return 1; }\n' >defines.c
check unused-include "direct.c:2:1: warning: no name of 'other.h' is used [unused-include]
status 1" "$(lint .)"

tree needed_by_other
printf '#pragma once\n#define SIZE 4\n' >first.h
printf '#pragma once\nextern int second[SIZE];\n' >second.h
printf '#include "first.h"\n#include "second.h"\nint main(void) { return second[0]; }\n' >main.c
check "a header that another needs is used" "status 0" "$(lint .)"

tree unused_function
printf 'int lonely(void) { return 1; }\nint called(void) { return 2; }\n' >a.c
printf 'int called(void);\nint main(void) { return called(); }\n' >b.c
printf '#pragma once\nint exported(void);\n' >c.h
printf '#include "c.h"\nint exported(void) { return 3; }\n' >c.c
printf '__attribute__((constructor)) void begin(void) {}\n' >d.c
check unused-function "a.c:1:5: warning: function 'lonely' is used nowhere [unused-function]
status 1" "$(lint --enable=unused-function .)"
check unused-exported-function "c.c:2:5: note: function 'exported' is used nowhere [unused-exported-function]
status 1" "$(lint --disable=all --enable=unused-exported-function .)"

tree pasted
printf '#define CALL(x) x##_command()\nint add_command(void) { return 1; }\nint main(void) { return CALL(add); }\n' >a.c
check "a pasted name may be used" "status 0" "$(lint --enable=unused-function .)"

tree mismatch
printf 'int size_of(long n) { return (int)n; }\nlong fine(unsigned n) { return n; }\n' >def.c
printf 'extern int size_of(int n);\nextern long fine(unsigned int);\nint main(void) { return size_of(1) + (int)fine(2); }\n' >use.c
check declaration-mismatch "use.c:1:12: error: 'size_of' is declared as int(int), but defined as int(long) (defined here: def.c:1:5) [declaration-mismatch]
status 1" "$(lint .)"

tree mismatch_typedef
printf '#pragma once\ntypedef unsigned long big;\n' >t.h
printf '#include "t.h"\nint f(big n) { return (int)n; }\n' >def.c
printf 'extern int f(unsigned long n);\nextern int unknown(opaque);\nint main(void) { return f(1); }\n' >use.c
printf 'int unknown(long n) { return (int)n; }\nint g(void) { return unknown(1); }\n' >def2.c
printf 'extern char many[];\nint use(void) { return many[0]; }\n' >use3.c
printf 'char many[4];\n' >def3.c
printf 'int g(void);\nint h(void) { return g(); }\nint main(void) { return h(); }\n' >use2.c
check "typedefs are looked through, unknown words are no mismatch" "status 0" "$(lint .)"

tree twice
printf 'int f(void) { return 1; }\n' >a.c
printf 'int f(void) { return 2; }\nint main(void) { return f(); }\n' >b.c
check "duplicate-definition is off" "status 0" "$(lint .)"
check duplicate-definition "b.c:1:5: warning: function 'f' is defined in two files (also here: a.c:1:5) [duplicate-definition]
status 1" "$(lint --enable=duplicate-definition .)"

tree unused_static
cat >a.c <<'END'
static int dead(void) { return 1; }
static int ping(int n);
static int pong(int n) { return ping(n); }
static int ping(int n) { return pong(n); }
static int alive(void) { return 2; }
static inline int helper(void) { return 3; }
__attribute__((unused)) static int kept(void) { return 4; }
static int listed(void) { return 5; }
struct ops { int (*f)(void); };
struct ops ops = {.f = listed};
int main(void) { return alive() + ops.f(); }
END
check unused-static-function "a.c:1:12: warning: static function 'dead' is never used [unused-static-function]
a.c:3:12: warning: static function 'pong' is never used [unused-static-function]
a.c:4:12: warning: static function 'ping' is never used [unused-static-function]
status 1" "$(lint .)"

tree static_template
printf '#pragma once\n#define RUN() run_it()\nint runs(void);\n' >template.h
printf '#include "template.h"\nstatic int run_it(void) { return 1; }\nint main(void) { return RUN() + runs(); }\n' >a.c
check "a macro of a header uses the static function" "status 0" "$(lint .)"

tree cycle
printf '#pragma once\n#include "b.h"\nstruct a { struct b *b; };\n' >a.h
printf '#pragma once\n#include "c.h"\nstruct b { struct c *c; };\n' >b.h
printf '#pragma once\n#include "a.h"\nstruct c { struct a *a; };\n' >c.h
printf '#pragma once\n#ifdef DEEP\n#include "d.h"\n#endif\nstruct d { int d; };\n' >d.h
check include-cycle "a.h:2:1: warning: include cycle: a.h -> b.h -> c.h -> a.h [include-cycle]
status 1" "$(lint .)"

tree guard
printf 'struct open { int x; };\n' >none.h
printf '#ifndef FINE_H\n#define FINE_H\nstruct fine { int x; };\n#endif\n' >fine.h
printf '#pragma once\nstruct once { int x; };\n' >once.h
printf '#ifndef TYPO_H\n#define TYPPO_H\nstruct typo { int x; };\n#endif\n' >typo.h
printf 'int only_declares(void);\n' >declares.h
printf 'struct table { int x; };\n#undef ENTRY\n' >table.h
check guards "none.h:1:1: warning: no include guard, but it defines struct 'open' (defined here: none.h:1:8) [missing-guard]
typo.h:1:1: warning: the guard 'TYPO_H' is not the macro defined behind it [ineffective-guard]
status 1" "$(lint .)"

tree includes
printf '#pragma once\nint x;\n' >x.h
printf '#define ROW(n) n,\n' >rows.def
printf '#include "x.h"\n#include "x.h"\n#include "gone.h"\n#include <stddef.h>\n#ifdef WIN\n#include <windows.h>\n#endif\nint main(void) { return x; }\n' >a.c
check duplicate-include "a.c:2:1: warning: 'x.h' is included twice (first here: a.c:1:1) [duplicate-include]
status 1" "$(lint .)"
check unresolved-include "a.c:3:1: warning: 'gone.h' was not found [unresolved-include]
status 1" "$(lint --disable=all --enable=unresolved-include .)"

tree transitive
printf '#pragma once\n#include "inner.h"\nint outer(void);\n' >outer.h
printf '#pragma once\nint inner(void);\n' >inner.h
printf '#include "outer.h"\n\nint main(void)\n{\n    return outer() + inner();\n}\n' >main.c
check transitive-include "main.c:5:22: note: 'inner' is declared in 'inner.h', reached only through 'outer.h' [transitive-include]
status 1" "$(lint --enable=transitive-include .)"

tree old_style
printf 'int old(a, b) int a; char b; { return a + b; }\nint main(void) { return old(1, 2); }\n' >a.c
check old-style-definition "a.c:1:5: warning: 'old' is defined without parameter types [old-style-definition]
status 1" "$(lint .)"

tree unreadable
printf 'int x;\0\n' >binary.c
check unreadable-file "binary.c:1:1: error: not read: the file is not text [unreadable-file]
status 1" "$(lint .)"

tree search
mkdir -p inc/lib src
printf '#pragma once\nint lib(void);\n' >inc/lib/lib.h
printf '#include <lib/lib.h>\nint main(void) { return lib(); }\n' >src/a.c
U="--disable=all --enable=unresolved-include"
check "a search directory is needed" "src/a.c:1:1: warning: 'lib/lib.h' was not found [unresolved-include]
status 1" "$(lint $U src)"
check "-I finds it" "status 0" "$(lint $U -I inc src)"
printf '[{"directory": "%s", "file": "src/a.c", "command": "cc -c -I inc \\"-DX=1\\" src/a.c"}]' "$(pwd)" >compile_commands.json
check "compile_commands.json finds it" "status 0" "$(lint $U -p compile_commands.json src)"
