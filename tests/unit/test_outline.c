/* The outline parser of tierlint: what it says of small sources, and that its saved form refuses damage. */
/* sources: tools/tierlint/lex.c tools/tierlint/outline.c tools/tierlint/outline_decl.c */
/* sources: tools/tierlint/outline_dump.c tools/tierlint/outline_emit.c tools/tierlint/outline_finish.c */
/* sources: tools/tierlint/outline_head.c tools/tierlint/outline_match.c tools/tierlint/outline_note.c */
/* sources: tools/tierlint/outline_pp.c tools/tierlint/outline_scope.c tools/tierlint/outline_sig.c */
/* sources: tools/tierlint/outline_store.c tools/tierlint/outline_use.c tools/tierlint/outline_view.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tools/tierlint/outline.h"

typedef struct text {
    char s[16384];
    size_t n;
} text;

static int collect(void *user, const char *line, size_t size)
{
    text *t = user;
    assert_true(t->n + size < sizeof t->s);
    memcpy(t->s + t->n, line, size);
    t->n += size;
    t->s[t->n] = 0;
    return 0;
}

static ol_outline *parse(const char *source)
{
    ol_outline *o;
    size_t n = strlen(source);
    char *exact = malloc(n + 1); /* no byte behind the source: reads past the end show under ASan */
    assert_non_null(exact);
    memcpy(exact, source, n);
    exact = realloc(exact, n ? n : 1);
    assert_int_equal(ol_parse(exact, n, &o), OL_OK);
    free(exact);
    return o;
}

typedef struct saved {
    unsigned char *p;
    size_t n;
} saved;

static saved save(const ol_outline *o)
{
    saved s = {.n = ol_saved_size(o)};
    s.p = malloc(s.n);
    assert_non_null(s.p);
    ol_save(o, s.p);
    return s;
}

static bool same(saved a, saved b)
{
    return a.n == b.n && !memcmp(a.p, b.p, a.n);
}

/* ---- what sources say
 * ---------------------------------------------------------------------------------------- */
/* want: lines of the dump, in this order, others between them allowed; a line that begins with '!' may not be
 * part of any line. */
static const struct {
    const char *source;
    const char *want[12];
} cases[] = {
    {"", {"file guard=missing  empty no-functions"}},
    {"int a;\n", {"variable a 'int' 1:1-1:7 @1:5 definition"}},
    {"#include <a.h>\n#include \"b/c.h\" // IWYU pragma: export\n# include_next <d.h>\n#include X(1)\n",
     {"include <a.h> 1:1-1:15", "include \"b/c.h\" 2:1-2:17 export", "include <d.h> 3:1-3:21 next",
      "include X(1) 4:1-4:14 computed", "use X +"}},
    {"#ifndef A_H\n#define A_H\nint f(void);\n#endif\n",
     {"file guard=macro A_H", "function f 'int(void)' 3:1-3:13 @3:5", "! if "}},
    {"#if !defined(A_H)\n#define A_H\nint f(void);\n#endif /* A_H */\n", {"file guard=macro A_H"}},
    {"#pragma once\nint f(void);\n", {"file guard=once"}},
    {"#ifndef A_H\n#define B_H\nint f(void);\n#endif\n", {"file guard=ineffective other-name A_H"}},
    {"#ifndef A_H\nint f(void);\n#endif\n", {"file guard=ineffective no-define A_H"}},
    {"#ifndef A_H\n#define A_H\nint f(void);\n#endif\nint g;\n", {"file guard=ineffective code-after A_H"}},
    {"int g;\n#ifndef A_H\n#define A_H\nint f(void);\n#endif\n", {"file guard=ineffective code-before A_H"}},
    {"#ifndef X\n#define X 1\n#endif\nint f(void);\n", {"file guard=missing ", "macro X ' 1'"}},
    {"#ifdef A\nint a;\n#elif B > 1\nint b;\n#else\nint c;\n#endif\n",
     {"variable a 'int' 2:1-2:7 @2:5 definition if defined(A)",
      "variable b 'int' 4:1-4:7 @4:5 definition if !defined(A) && (B>1)",
      "variable c 'int' 6:1-6:7 @6:5 definition if !defined(A) && !(B>1)"}},
    {"#if 0\nint don't;\n/* } */\n#else\nint b;\n#endif\n", {"variable b", "!don", "!region"}},
    {"#ifdef A\nvoid f(int a) {\n#else\nvoid f(long a) {\n#endif\n a++; }\nint z;\n",
     {"function f 'void(int)' 2:1-6:8", "variable z", "region branches"}},
    {"#ifdef __cplusplus\nextern \"C\" {\n#endif\nint f(void);\n#ifdef __cplusplus\n}\n#endif\n",
     {"function f 'int(void)' 4:1-4:13 @4:5 extern-c", "!uncertain", "!region"}},
    {"#define A 1\n#define B(x, ...) f(x) + (A)\n#undef A\n",
     {"macro A ' 1' 1:1-1:12 @1:9 definition", "macro B '(x,...) f(x) + (A)'", "  use f +18 x1 call",
      "  use A +26 x1 ident", "undef A#1 '' 3:1-3:9"}},
    {"static inline unsigned long int f(const char *const argv[], T *t, int n) { return g(n, t->m); }\n",
     {"function f 'unsigned long(const char*const *,T*,int)' 1:1-1:96 @1:33 definition static inline",
      "  use T +60 x1 type", "  use g +", "  use m +"}},
    {"long long unsigned a(void); unsigned long long int b(void);\n",
     {"function a 'unsigned long long(void)'", "function b 'unsigned long long(void)'"}},
    {"extern int p(const char *, ...) __attribute__((format(printf, 1, 2)));\n",
     {"function p 'int(const char*,...)'", "!use printf", "!use format"}},
    {"void (*signal(int sig, void (*func)(int)))(int);\n",
     {"function signal 'void(*(int,void(*)(int)))(int)'"}},
    {"int (*fp)(int a, char **b), *q, z[10];\n",
     {"variable fp 'int(*)(int,char**)'", "variable q 'int*'", "variable z 'int[10]'"}},
    {"typedef struct { int a, *b; unsigned c : 3; } T, *P;\n",
     {"struct T '' 1:1-1:46 @1:9 definition typedef-tag", "field T::a 'int'", "field T::b 'int*'",
      "field T::c 'unsigned int'", "typedef T#1 'struct'", "typedef P 'struct*'"}},
    {"struct s;\nstruct s { struct s *next; };\nstruct s *get(struct s *a);\n",
     {"struct s '' 1:1-1:10 @1:8", "struct s#1 '' 2:1-2:30 @2:8 definition", "field s::next 'struct s*'",
      "function get 'struct s*(struct s*)'"}},
    {"enum e { E1, E2 = 4, /* c */ E3 };\n",
     {"enum e '' 1:1-1:35 @1:6 definition", "enumerator E1 ''", "enumerator E2 '=4'", "enumerator E3 ''"}},
    {"int main(argc, argv) int argc; char **argv; { return 0; }\n",
     {"function main 'int(argc,argv)' 1:1-1:58 @1:5 definition old-style uncertain", "region old-style"}},
    {"PyAPI_FUNC(int) PyX(void);\n", {"function PyX 'PyAPI_FUNC(int)(void)'"}},
    {"FOO(bar)\nint x;\nstatic DEFINE_MUTEX(lock);\nDECLARE(a, 1);\n",
     {"variable x 'int' 2:1-2:7 @2:5 definition unknown-words", "region macro 1:1-1:9", "region macro 3:1",
      "region macro 4:1", "!DEFINE_MUTEX '", "!lock '", "!DECLARE '"}},
    {"extern int __REDIRECT (mkstemp, (char *t), mkstemp64) __nonnull ((1));\n",
     {"!\nfunction", "!\nvariable"}},
    {"extern int f (int a) __THROW __nonnull ((1));\n",
     {"function f 'int(int)'", "!function __", "!uncertain"}},
    {"extern int old __P ((int, char *));\n", {"function old 'int(int,char*)'"}},
    {"__BEGIN_DECLS\nextern int f (void);\n__END_DECLS\n", {"function f 'int(void)'", "!region", "!unknown"}},
    {"TEST(Suite, Name) { check(1); }\nint x;\n", {"variable x", "use check", "region", "!\nfunction"}},
    {"int f(int a) { ]\nint g;\n", {"region braces"}},
    {"char *s = \"abc\nint b;\n", {"region unterminated"}},
    {"void f(void) __attribute__((constructor));\nstatic int u __attribute__((unused));\n",
     {"function f 'void(void)' 1:1-1:43 @1:6 live",
      "variable u 'int' 2:1-2:38 @2:12 definition static live"}},
    {"int a; // tierlint: ignore rule-a, rule-b\n/* tierlint: ignore-next-line */\nint b;\n",
     {"ignore rule-a line 1", "ignore rule-b line 1", "ignore  line 3"}},
    {"namespace n { const char *s = R\"x(} \" )x\"; int after; }\n",
     {"namespace n '' 1:1-1:56", "variable n::s 'const char*'", "variable n::after 'int'"}},
    {"namespace a { class C : public B { public: C(int x) : m(x), k{1} { go(); } ~C(); bool operator==(const "
     "C &o) "
     "const; static int n; private: int m; }; }\nint a::C::n = 0;\nvoid a::C::run() { m++; }\n",
     {"namespace a", "class a::C ':public B'", "function a::C::C '(int)'", "  use go +",
      "function a::C::~C '()'", "function a::C::operator== 'bool(const C&)const'", "variable a::C::n 'int'",
      "field a::C::m 'int'", "variable a::C::n#1 'int'", "function a::C::run 'void()'"}},
    {"template <class T, int N = (1 > 0)> struct V { T a[N]; };\ntemplate <typename T> T max(T a, T b) { "
     "return a < b ? "
     "b : a; }\nusing X = std::vector<int>;\nusing std::string;\n",
     {"struct V '' 1:1-1:58 @1:44 definition template", "field V::a 'T[N]'",
      "function max 'T(T,T)' 2:1-2:64 @2:25 definition template", "typedef X 'std::vector<int>'",
      "using string 'std::string'"}},
    {"[[nodiscard]] int f(int a, int b = g(1, 2));\nint operator+(A a, A b);\nnamespace { int hidden; }\n",
     {"function f 'int(int,int)'", "function operator+ 'int(A,A)'", "variable (anonymous)::hidden 'int'"}},
    {"int f(void) {\n#include \"x.inc\"\n}\n", {"include \"x.inc\" 2:1-2:17 nested"}},
    {"int a\\\n= 3; int /* { */ b;\n", {"variable a", "variable b 'int' 2:6-2:20 @2:18"}},
};

static const char *find_line(const char *from, const char *want)
{
    const char *p = from;
    while ((p = strstr(p, want)))
        if (p == from || p[-1] == '\n')
            return p;
        else
            p++;
    return NULL;
}

static void sources(void **state)
{
    (void)state;
    unsigned bad = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ol_outline *o = parse(cases[i].source);
        text t = {.n = 0};
        t.s[0] = 0;
        assert_int_equal(ol_dump(o, collect, &t), 0);
        const char *at = t.s;
        for (size_t k = 0; k < 12 && cases[i].want[k]; k++) {
            const char *w = cases[i].want[k], *p = *w == '!' ? strstr(t.s, w + 1) : find_line(at, w);
            if (*w == '!' ? p != NULL : p == NULL)
                print_error("case %zu: %s\nwant %s in\n%s", i, cases[i].source, w, t.s), bad++;
            if (*w != '!' && p)
                at = p;
        }
        ol_free(&o);
    }
    assert_int_equal(bad, 0);
}

/* ---- saved form
 * ---------------------------------------------------------------------------------------------- */
static const char sample[] =
    "#ifndef S_H\n#define S_H\n#include <stdio.h>\n#ifdef A\nstruct s { int a; };\n#else\n#define M(x) f(x)\n"
    "#endif\nstatic int first(int n)\n{\n    return second(n) + M(n);\n}\n"
    "/* tierlint: ignore-next-line some-rule */\nint second(int n)\n{\n    use(n);\n    return "
    "0;\n}\nODD(1)\n#endif\n";

static void round_trip(void **state)
{
    (void)state;
    ol_outline *o = parse(sample), *all[5] = {o};
    assert_int_equal(ol_face(o, &all[1]), OL_OK);
    assert_int_equal(ol_names(o, &all[2]), OL_OK);
    assert_int_equal(ol_fragment(o, ol_find(o, "first", 0), &all[3]), OL_OK);
    assert_int_equal(ol_fragment(o, ol_find(o, "M", 0), &all[4]), OL_OK);
    for (int i = 0; i < 5; i++) {
        saved a = save(all[i]), b;
        ol_outline *back;
        assert_int_equal(ol_load(a.p, a.n, &back), OL_OK);
        b = save(back);
        assert_true(same(a, b));
        assert_int_equal(back->form, all[i]->form);
        assert_true(ol_weight(back) > 0);
        ol_free(&back);
        assert_null(back);
        free(a.p);
        free(b.p);
    }
    for (int i = 1; i < 5; i++) {
        ol_outline *none;
        assert_int_equal(ol_face(all[i], &none), OL_EINVAL);
        assert_int_equal(ol_fragment(o, o->decl_count, &none), OL_EINVAL);
        ol_free(&all[i]);
    }
    ol_free(&all[0]);
}

static uint64_t mix(const unsigned char *p, size_t size)
{
    uint64_t h = 0x9e3779b97f4a7c15u ^ size;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t w = 0;
        for (int k = 7; k >= 0; k--)
            w = w << 8 | p[i + (size_t)k];
        h = (h ^ w) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    for (; i < size; i++) {
        h = (h ^ p[i]) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    return h;
}

/* Makes the checksum right again, so that the checks behind it are reached. */
static void reseal(saved s)
{
    uint64_t sum = mix(s.p, 72) ^ mix(s.p + 80, s.n - 80);
    for (int i = 0; i < 8; i++)
        s.p[72 + i] = (unsigned char)(sum >> 8 * i);
}

/* Walks everything that a user would. */
static void walk(const ol_outline *o)
{
    text *t = malloc(sizeof *t);
    char buf[64];
    assert_non_null(t);
    t->n = 0;
    for (uint32_t i = 0; i < o->cond_count; i++) {
        ol_cond_text(o, i, buf, sizeof buf);
        ol_cond_disjoint(o, i, o->cond_count - 1);
    }
    for (uint32_t i = 0; i < o->use_count; i++)
        ol_place(o, ol_use_byte(o, &o->uses[i]));
    for (uint32_t i = 0; i < o->decl_count; i++) {
        ol_outline *f = NULL;
        if (ol_fragment(o, i, &f) == OL_OK)
            ol_free(&f);
    }
    ol_outline *f = NULL;
    if (ol_face(o, &f) == OL_OK)
        ol_free(&f);
    if (ol_names(o, &f) == OL_OK)
        ol_free(&f);
    free(t);
}

static void damage(void **state)
{
    (void)state;
    ol_outline *o = parse(sample), *back;
    saved s = save(o);
    for (size_t n = 0; n < s.n; n++) {
        unsigned char *cut = malloc(n ? n : 1);
        assert_non_null(cut);
        memcpy(cut, s.p, n);
        assert_int_equal(ol_load(cut, n, &back), OL_EDAMAGED);
        free(cut);
    }
    for (size_t i = 0; i < s.n; i++)
        for (int bit = 0; bit < 8; bit++) {
            s.p[i] ^= (unsigned char)(1 << bit);
            assert_int_equal(ol_load(s.p, s.n, &back), OL_EDAMAGED);
            s.p[i] ^= (unsigned char)(1 << bit);
        }
    uint32_t random = 12345;
    unsigned accepted = 0;
    for (int round = 0; round < 20000; round++) {
        random = random * 1664525u + 1013904223u;
        size_t at = (random >> 8) % s.n;
        unsigned char old = s.p[at];
        s.p[at] = (unsigned char)(random >> 24);
        reseal(s);
        if (ol_load(s.p, s.n, &back) == OL_OK) {
            accepted++;
            walk(back);
            ol_free(&back);
        }
        s.p[at] = old;
    }
    assert_in_range(accepted, 1, 19999); /* text may change under a right checksum; structure may not */
    free(s.p);
    ol_free(&o);
}

/* ---- projections
 * --------------------------------------------------------------------------------------------- */
/* The source with add inserted before the first occurrence of at. */
static ol_outline *edited(const char *at, const char *add)
{
    char buf[4096];
    const char *p = strstr(sample, at);
    assert_non_null(p);
    size_t n = (size_t)(p - sample);
    memcpy(buf, sample, n);
    strcpy(buf + n, add);
    strcat(buf, p);
    return parse(buf);
}

static bool fragments_equal(const ol_outline *a, const ol_outline *b, const char *name)
{
    ol_outline *x, *y;
    assert_int_equal(ol_fragment(a, ol_find(a, name, 0), &x), OL_OK);
    assert_int_equal(ol_fragment(b, ol_find(b, name, 0), &y), OL_OK);
    saved s = save(x), t = save(y);
    bool equal = same(s, t);
    free(s.p);
    free(t.p);
    ol_free(&x);
    ol_free(&y);
    return equal;
}

static bool faces_equal(const ol_outline *a, const ol_outline *b)
{
    ol_outline *x, *y;
    assert_int_equal(ol_face(a, &x), OL_OK);
    assert_int_equal(ol_face(b, &y), OL_OK);
    saved s = save(x), t = save(y);
    bool equal = same(s, t);
    free(s.p);
    free(t.p);
    ol_free(&x);
    ol_free(&y);
    return equal;
}

static void comments_move_nothing(void **state)
{
    static const char *const places[] = {"#ifndef", "#include", "struct", "static int", "int second", "ODD"};
    (void)state;
    ol_outline *o = parse(sample);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        ol_outline *e = edited(places[i], "/* a comment {( */\n");
        assert_true(faces_equal(o, e));
        assert_true(fragments_equal(o, e, "first"));
        assert_true(fragments_equal(o, e, "second"));
        assert_true(fragments_equal(o, e, "s"));
        assert_true(fragments_equal(o, e, "M"));
        ol_free(&e);
    }
    ol_free(&o);
}

static void edits_show_where_they_are(void **state)
{
    (void)state;
    ol_outline *o = parse(sample), *e = edited("    use(n);", "    more(n);\n");
    assert_true(faces_equal(o, e));
    assert_true(fragments_equal(o, e, "first"));
    assert_false(fragments_equal(o, e, "second"));
    ol_free(&e);
    e = edited("static int first", "int third(void);\n");
    assert_false(faces_equal(o, e));
    assert_true(fragments_equal(o, e, "first"));
    ol_free(&e);
    e = edited("(int n)\n{\n    return", "(void)\n#define X ");
    assert_false(faces_equal(o, e));
    ol_free(&e);
    ol_free(&o);
}

/* ---- questions
 * ----------------------------------------------------------------------------------------------- */
static void places(void **state)
{
    (void)state;
    ol_outline *o = parse(sample);
    uint32_t d = ol_find(o, "second", 0), u = ol_first_use(o, "use", OL_USE_CALL, OL_USE_LOCAL);
    assert_int_not_equal(d, OL_NONE);
    assert_int_equal(ol_place(o, o->decls[d].name_at).line, 14);
    assert_int_equal(ol_place(o, o->decls[d].name_at).column, 5);
    assert_int_not_equal(u, OL_NONE);
    ol_point p = ol_place(o, ol_use_byte(o, &o->uses[u]));
    assert_int_equal(p.line, 16);
    assert_int_equal(p.column, 5);
    assert_int_equal(ol_first_use(o, "absent", UINT32_MAX, 0), OL_NONE);
    assert_int_equal(ol_find(o, "second", 1), OL_NONE);
    assert_true(ol_suppressed(o, 14, "some-rule"));
    assert_false(ol_suppressed(o, 14, "other"));
    assert_false(ol_suppressed(o, 13, "some-rule"));
    assert_true(ol_uncertain_at(o, o->size - 15, o->size, OL_WHY_MACRO));
    assert_false(ol_uncertain_at(o, 0, 20, UINT32_MAX));
    uint32_t a = o->decls[ol_find(o, "s", 0)].cond, b = o->decls[ol_find(o, "M", 0)].cond;
    assert_true(ol_cond_disjoint(o, a, b));
    assert_false(ol_cond_disjoint(o, a, a));
    assert_false(ol_cond_disjoint(o, a, OL_NONE));
    ol_free(&o);
}

static void signatures(void **state)
{
    (void)state;
    assert_true(ol_sig_agree("int(int)", "int(int)"));
    assert_true(ol_sig_agree("int()", "int(int,char*)"));
    assert_false(ol_sig_agree("int(int)", "int(long)"));
    assert_false(ol_sig_agree("int(int)", "long(int)"));
    assert_false(ol_sig_agree("int()", "long(int)"));
}

/* Depth and length that a person would not write: no crash, no loss of the end. */
static void extremes(void **state)
{
    static const char *const units[] = {
        "{",         "(", "[", "#if A\n", "namespace a {", "struct s {", "a<", "R\"(", "\"",       "((a)(",
        "template<", "}", ")", "x(",      "#else\n",       "int a, ",    "::", "\\\"", "enum e : "};
    (void)state;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t n = strlen(units[i]), times = 20000;
        char *s = malloc(n * times + 1);
        assert_non_null(s);
        for (size_t k = 0; k < times; k++)
            memcpy(s + k * n, units[i], n);
        ol_outline *o;
        assert_int_equal(ol_parse(s, n * times, &o), OL_OK);
        saved a = save(o);
        ol_outline *back;
        assert_int_equal(ol_load(a.p, a.n, &back), OL_OK);
        ol_free(&back);
        ol_free(&o);
        free(a.p);
        free(s);
    }
    ol_outline *o;
    assert_int_equal(ol_parse("int a;\0int b;", 13, &o), OL_OK);
    assert_true(o->why & OL_WHY_BINARY);
    ol_free(&o);
    assert_int_equal(ol_parse("", (size_t)OL_MAX_SOURCE + 1, &o), OL_ETOOBIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sources),
        cmocka_unit_test(round_trip),
        cmocka_unit_test(damage),
        cmocka_unit_test(comments_move_nothing),
        cmocka_unit_test(edits_show_where_they_are),
        cmocka_unit_test(places),
        cmocka_unit_test(signatures),
        cmocka_unit_test(extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
