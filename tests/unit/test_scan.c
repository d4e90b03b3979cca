/* The scanners: what each language's directives name, and what comments and strings hide; patterns and their
 * limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "include/tierkit.h"
#include "warmers/pattern.h"
#include "warmers/scan.h"

static struct tier__scanners scanners;
static struct tier__scan scan;

static int setup(void **state)
{
    (void)state;
    assert_int_equal(tier__scanners_init(&scanners), 0);
    assert_int_equal(tier__scan_init(&scan, &scanners), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tier__scan_fini(&scan);
    tier__scanners_fini(&scanners);
    return 0;
}

struct example {
    const char *file, *source, *names; /* names: kind, name, blank... */
};

static const struct example examples[] = {
    /* C and C++ */
    {"a.c", "#include \"a.h\"\n#include <b/c.h>\n", "q:a.h <:b/c.h "},
    {"a.c", "  #  include\t\"a.h\" // why\n", "q:a.h "},
    {"a.c", "#include_next <a.h>\n#import \"b.h\"\r\n#include /* x */ <c.h>", "<:a.h q:b.h <:c.h "},
    {"a.c", "// #include \"no.h\"\n/* \n#include \"no.h\"\n*/ #include \"yes.h\"\n", "q:yes.h "},
    {"a.c", "// goes on \\\n#include \"no.h\"\n#include \"yes.h\"\n", "q:yes.h "},
    {"a.c", "// goes on \\\r\n#include \"no.h\"\r\n#include \"yes.h\"\r\n", "q:yes.h "},
    {"a.c", "const char *s = \"\\\n#include \\\"no.h\\\"\\\n\";\n#include \"yes.h\"\n", "q:yes.h "},
    {"a.c", "char *s = \"/*\";\n#include \"yes.h\"\nchar *t = \"*/\";", "q:yes.h "},
    {"a.c", "char q = '\"';\n#include \"yes.h\"\nchar r = '\"', s = '\\'';\n#include <b.h>",
     "q:yes.h <:b.h "},
    {"a.cc", "auto s = R\"x(\n#include \"no.h\"\n)\" )x\";\n#include \"yes.h\"\n", "q:yes.h "},
    {"a.cc", "auto s = u8R\"(\n#include \"no.h\"\n)\";\n#include \"yes.h\"\n", "q:yes.h "},
    {"a.cc", "int n = 1'000; /* it's\n#include \"no.h\"\n*/\n#include \"yes.h\"\n", "q:yes.h "},
    {"a.c", "#error don't\n#include \"yes.h\"\n", "q:yes.h "},
    {"a.c", "x #include \"no.h\"\n#define I #include \"no.h\"\n", ""},
    {"a.c", "\xef\xbb\xbf#include \"a.h\"\n", "q:a.h "},
    {"a.c", "#include \"d//e.h\"\n#include <d/*e.h>\n", "q:d//e.h <:d/*e.h "},
    {"a.c", "#if __has_include(<no.h>)\n#endif\n#include MACRO\n#include\n", ""},
    {"a.c", "/* unterminated\n#include \"no.h\"\n", ""},
    {"a.h", "#ifdef X\n#  include \"x.h\"\n#else\n#  include \"y.h\"\n#endif", "q:x.h q:y.h "},
    /* Python */
    {"a.py", "import os\nimport a.b as c, d\n", "i:os i:a.b as c, d "},
    {"a.py", "from a import b\nfrom . import c\nfrom ..d.e import (f,\n  g as h)\n",
     "f:a n:b f:. n:c f:..d.e n:(f,\n  g as h "},
    {"a.py", "# import no\n'''\nimport no\n'''\n\"\"\"from no import no\"\"\"\nimport yes\n", "i:yes "},
    {"a.py", "s = 'import no'; import yes\ns = r'\\'; import no'\n", "i:yes "},
    {"a.py", "def f():\n    if x: import y\n    yield from z\n    raise A from b\n", "i:y "},
    {"a.py", "from a import \\\n    b\n", "f:a n:\\\n    b "},
    {"a.py", "important = 1\nfrom_x = 2\nimport_(z)\n", ""},
    {"a.py", "from a import (b, # c\n d)\n", "f:a n:(b, # c\n d "},
    {"a.py", "s = '''it's \\''' import no\n'''\nimport yes\n", "i:yes "},
    /* JavaScript and TypeScript */
    {"a.js", "import a from 'a';\nimport \"./b\";\nimport {\n c,\n d } from \"../c\";\n",
     "q:a q:./b q:../c "},
    {"a.ts", "export * from './a'\nimport type { T } from './b';\nimport x = require('c');\n",
     "q:./a q:./b q:c "},
    {"a.js", "const a = require('a'), b = await import(\"./b\");\nx.require('no'); my_require('no');",
     "q:a q:./b "},
    {"a.js", "// import 'no'\n/* require('no') */ let s = \"require('no')\";\nimport 'yes'", "q:yes "},
    {"a.js", "let t = `require('no') ${f(`import 'no' ${'}'} '`)} import 'no'`;\nimport 'yes'", "q:yes "},
    {"a.js", "let r = /['\"`]/; import 'yes'; f(/[/'`]+\\//g, 1); import 'too'", "q:yes q:too "},
    {"a.js", "let x = a / b; import 'yes'; let y = c / d;", "q:yes "},
    /* Go */
    {"a.go", "package p\nimport \"fmt\"\nimport m \"math\"\nimport . \"x/y\"\nimport _ `z`\n",
     "q:fmt q:math q:x/y q:z "},
    {"a.go", "import (\n\t\"a\"\n\t// \"no\"\n\tb \"c\"\n)\n", "b:\n\t\"a\"\n\t// \"no\"\n\tb \"c\"\n "},
    {"a.go", "// import \"no\"\nvar s = `\nimport \"no\"\n`\nvar t = \"import \\\"no\\\"\"\n", ""},
    /* Rust */
    {"a.rs", "mod a;\npub mod b;\npub(crate) mod r#c;\nmod d { }\n", "m:a m:b m:c "},
    {"a.rs", "use a::b;\npub use crate::{c, d::*};\nuse x as y;", "u:a::b u:crate::{c, d::*} u:x as y "},
    {"a.rs", "/* /* */ mod no; */ // mod no;\nlet s = \"mod no;\"; let r = r#\"\"mod no;\"#;\nmod yes;",
     "m:yes "},
    {"a.rs", "fn f<'a>(x: &'a str) { let c = '\"'; let d = '\\''; } mod yes; // '\"'", "m:yes "},
    {"a.rs", "#[path = \"x/y.rs\"]\npub mod z;\n", "p:x/y.rs "},
    /* Java */
    {"A.java", "package a.b;\nimport c.D;\nimport static e.F.g;\nimport h.*;\n",
     "p:a.b i:c.D i:e.F.g i:h.* "},
    {"A.java", "// import no.A;\n/* import no.B; */ String s = \"import no.C;\";\nimport yes.D;", "i:yes.D "},
    {"A.java", "String s = \"\"\"\n  import no.A;\n  \"\"\";\nimport yes.D;", "i:yes.D "},
};

static void check_names(const struct example *e, const struct tier__imports *names)
{
    char text[1024] = "";
    size_t i, at = 0;

    for (i = 0; i < names->count; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%c:%s ", names->name[i].kind,
                               tier__name_text(names, i));
    if (strcmp(text, e->names) != 0)
        fail_msg("%s: %s\nfound %s\nwanted %s", e->file, e->source, text, e->names);
}

static void examples_hold(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < sizeof examples / sizeof *examples; i++) {
        struct tier__imports names = {0};
        const char *source = examples[i].source;
        char *exact = malloc(strlen(source) ? strlen(source) : 1); /* no 0 byte behind it */
        memcpy(exact, source, strlen(source));
        assert_int_equal(
            tier__scan(&scan, tier__language_of(examples[i].file), exact, strlen(source), &names), 0);
        check_names(&examples[i], &names);
        tier__imports_fini(&names);
        free(exact);
    }
}

static void extensions_hold(void **state)
{
    (void)state;
    assert_string_equal(tier__language(tier__language_of("x/a.hpp"))->name, "c");
    assert_string_equal(tier__language(tier__language_of("a.d.ts"))->name, "javascript");
    assert_string_equal(tier__language(tier__language_of("sys:a.h"))->name, "c");
    assert_int_equal(tier__language_of("Makefile"), -1);
    assert_int_equal(tier__language_of("a.b/c"), -1);
    assert_int_equal(tier__language_of(".c"), -1);
    assert_int_equal(tier__language_of("a."), -1);
    assert_int_equal(tier__language_of("a.p"), -1);
    assert_null(tier__language(-1));
    assert_null(tier__language(TIER__LANGUAGES));
}

/* Every piece repeated to 1 MiB, in every language: quadratic work would take minutes here, and what is
 * bounded gives up with TIER_EINVAL. Random bytes come besides. */
static void hostile_texts_end(void **state)
{
    static const char *const pieces[] = {
        "/*",       "\"\\\"",      "R\"(",   "R\"a(",   "'",         "\\\"",     "`${",
        "`",        "#include /*", "#",      "import ", "import (",  "from ",    "from . import (",
        "use ",     "mod ",        "#[path", "r#\"",    "'''",       "\"\"\"",   "1'",
        "//\\\n",   "/",           "=/[",    "{",       "import a.", "package ", "\\",
        "require(", "\n",          " ",      "\xff",    "<'a",       "#/**/",    "use a{",
        "br####"};
    /* without them behind all of it a scanner would not even begin */
    static const char words[] = " include import from require mod use package";
    const size_t size = 1 << 20;
    char *text = malloc(size);
    uint32_t seed = 12345;
    size_t i, j;
    int language;

    (void)state;
    for (i = 0; i < sizeof pieces / sizeof *pieces + 2; i++) {
        for (j = 0; j < size; j++) {
            seed = seed * 1664525u + 1013904223u;
            text[j] = i < sizeof pieces / sizeof *pieces ? pieces[i][j % strlen(pieces[i])]
                                                         : "\"'`/*#\n \\{}()$azr."[(seed >> 20) % 18];
        }
        memcpy(text + size - strlen(words), words, strlen(words));
        for (language = 0; language < TIER__LANGUAGES; language++) {
            struct tier__imports names = {0};
            int rc = tier__scan(&scan, language, text, size, &names);
            assert_true(rc == 0 || rc == TIER_EINVAL);
            tier__imports_fini(&names);
        }
    }
    free(text);
}

static void bad_patterns_say_where(void **state)
{
    struct tier__pattern_error error;
    struct tier__pattern *p;
    char *deep = malloc(1000);

    (void)state;
    assert_int_equal(tier__pattern_compile("ab(c", 4, &p, &error), TIER_EINVAL);
    assert_null(p);
    assert_int_equal(error.offset, 4);
    assert_non_null(strstr(error.text, "offset 4"));
    assert_non_null(strstr(error.text, "parenthesis"));
    assert_int_equal(tier__pattern_compile("a[z-a]", 6, &p, NULL), TIER_EINVAL);
    memset(deep, '(', 1000);
    assert_int_equal(tier__pattern_compile(deep, 1000, &p, &error), TIER_EINVAL);
    assert_true(error.text[0] != 0);
    free(deep);
    deep = malloc(TIER__PATTERN_MAX_SIZE + 1);
    memset(deep, 'a', TIER__PATTERN_MAX_SIZE + 1);
    assert_int_equal(tier__pattern_compile(deep, TIER__PATTERN_MAX_SIZE + 1, &p, &error), TIER_EINVAL);
    free(deep);
    assert_int_equal(tier__pattern_compile("(*UTF)a", 7, &p, &error), TIER_EINVAL);
    tier__pattern_free(&p);
    tier__pattern_free(NULL);
}

static void patterns_match_bytes(void **state)
{
    struct tier__pattern_error error;
    struct tier__pattern *p;

    (void)state;
    assert_int_equal(tier__pattern_compile("^src/.*\\.h$", 11, &p, &error), 0);
    assert_string_equal(error.text, "");
    assert_int_equal(tier__pattern_match(p, "src/a/b.h", 9), 1);
    assert_int_equal(tier__pattern_match(p, "lib/src/b.h", 11), 0);
    assert_int_equal(tier__pattern_match(p, "src/\xff\xfe.h", 8), 1);
    assert_int_equal(tier__pattern_match(p, "", 0), 0);
    tier__pattern_free(&p);
    assert_null(p);
}

static void costly_patterns_end(void **state)
{
    static const char *const costly[] = {"(a+)+$", "(a|aa)+$", "(.*)*x", "^(?:a?){30}a{30}$|(a*)*b"};
    char text[5000];
    struct tier__pattern *p;
    size_t i;
    int stopped = 0;

    (void)state;
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = 'c';
    for (i = 0; i < sizeof costly / sizeof *costly; i++) {
        int found;
        assert_int_equal(tier__pattern_compile(costly[i], strlen(costly[i]), &p, NULL), 0);
        found = tier__pattern_match(p, text, sizeof text);
        assert_true(found == 0 || found == TIER_EINVAL);
        stopped += found == TIER_EINVAL;
        tier__pattern_free(&p);
    }
    assert_true(stopped >= 2);
}

static void matcher_reports_groups(void **state)
{
    struct tier__span group[TIER__PATTERN_GROUPS];
    struct tier__matcher *m;
    struct tier__pattern *p;

    (void)state;
    assert_int_equal(tier__pattern_compile("(a)|(b)(c)?", 11, &p, NULL), 0);
    assert_int_equal(tier__matcher_create(p, &m), 0);
    assert_int_equal(tier__matcher_find(m, "xxb", 3, 0, 2, group), 1);
    assert_int_equal(group[0].start, 2);
    assert_int_equal(group[0].end, 3);
    assert_true(group[1].start == SIZE_MAX && group[3].start == SIZE_MAX && group[9].end == SIZE_MAX);
    assert_int_equal(group[2].start, 2);
    assert_int_equal(tier__matcher_find(m, "xxb", 3, 3, 3, group), 0);
    assert_int_equal(tier__matcher_find(m, "xxb", 3, 0, 1, group), 0);
    tier__matcher_free(&m);
    assert_null(m);
    tier__pattern_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_hold),          cmocka_unit_test(extensions_hold),
        cmocka_unit_test(hostile_texts_end),      cmocka_unit_test(bad_patterns_say_where),
        cmocka_unit_test(patterns_match_bytes),   cmocka_unit_test(costly_patterns_end),
        cmocka_unit_test(matcher_reports_groups),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
