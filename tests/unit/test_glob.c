/* The path matcher against a table of examples and a naive recursive matcher on random patterns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "tiers/base/glob.h"

struct example {
    const char *pattern, *path;
    bool matches;
};
static const struct example examples[] = {
    {"*.c", "a.c", true},
    {"*.c", "d/a.c", false},
    {"*.c", ".c", false},
    {".*", ".c", true},
    {".c", ".c", true},
    {"[.]c", ".c", false},
    {"?c", ".c", false},
    {"**/*.c", "a.c", true},
    {"**/*.c", "d/e/a.c", true},
    {"**/*.c", "d/.e/a.c", false},
    {"**/.e/*.c", "d/.e/a.c", true},
    {"**/.e/**", "d/.e/a/b", true},
    {"**", "a", true},
    {"**", "a/b", true},
    {"**", "a/.b", false},
    {"**", "", false},
    {"a/**", "a", false},
    {"a/**", "a/b", true},
    {"a/**", "ab/c", false},
    {"a/**/b", "a/b", true},
    {"a/**/b", "a/x/y/b", true},
    {"a/**/b", "a/x/y/c", false},
    {"**/**/b", "b", true},
    {"a**b", "axxb", true},
    {"a**b", "ax/xb", false},
    {"a?c", "abc", true},
    {"a?c", "a/c", false},
    {"[a-c]x", "bx", true},
    {"[!a-c]x", "bx", false},
    {"[^a-c]x", "dx", true},
    {"[]]x", "]x", true},
    {"[!]]x", "]x", false},
    {"[a-]x", "-x", true},
    {"a[/]b", "a/b", false},
    {"a[b", "a[b", true},
    {"a[*]", "a*", true},
    {"a[*]", "ab", false},
    {"a\\*", "a\\b", true},
    {"", "a", false},
    {"", "", false},
    {"./a//b/", "a/b", true},
    {"/usr/**", "/usr/include/x.h", true},
    {"usr/**", "/usr/include/x.h", false},
    {"/usr/**", "usr/include/x.h", false},
    {"**/x.h", "/usr/include/x.h", true},
    {"a*b*c*d", "aXbXbXcXcXd", true},
    {"*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
};

static void test_examples(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        const struct example *e = &examples[i];
        if (tier__glob_match(e->pattern, e->path) != e->matches)
            fail_msg("'%s' on '%s': expected %d", e->pattern, e->path, e->matches);
    }
}

static void test_directories(void **state)
{
    (void)state;
    assert_true(tier__glob_dir_may_match("*.c", ""));
    assert_false(tier__glob_dir_may_match("*.c", "d"));
    assert_true(tier__glob_dir_may_match("d/*.c", "d"));
    assert_false(tier__glob_dir_may_match("d/*.c", "e"));
    assert_true(tier__glob_dir_may_match("**/*.c", "d/e"));
    assert_false(tier__glob_dir_may_match("**/*.c", "d/.git"));
    assert_true(tier__glob_dir_may_match("**/.git/x", "d/.git"));
    assert_false(tier__glob_dir_may_match("", ""));
    assert_true(tier__glob_dir_may_match("/usr/**", "/usr"));
    assert_false(tier__glob_dir_may_match("/usr/**", "/lib"));
}

/* ---- the naive matcher: recursive, from the words of glob.h ---- */
static bool naive_set(const char *set, size_t size, char c) /* without the brackets */
{
    bool negated = size && (*set == '!' || *set == '^'), has = false;
    for (size_t i = negated; i < size; i++) {
        if (i + 2 < size && set[i + 1] == '-') {
            has |= (unsigned char)set[i] <= (unsigned char)c && (unsigned char)c <= (unsigned char)set[i + 2];
            i += 2;
        } else {
            has |= set[i] == c;
        }
    }
    return has != negated;
}

static bool naive_name(const char *p, size_t pn, const char *s, size_t sn)
{
    if (!pn)
        return !sn;
    if (*p == '*')
        return naive_name(p + 1, pn - 1, s, sn) || (sn && naive_name(p, pn, s + 1, sn - 1));
    if (!sn)
        return false;
    if (*p == '[') {
        size_t first = 1 + (pn > 1 && (p[1] == '!' || p[1] == '^'));
        for (size_t close = first + 1; close < pn; close++) {
            if (p[close] == ']')
                return naive_set(p + 1, close - 1, *s) &&
                       naive_name(p + close + 1, pn - close - 1, s + 1, sn - 1);
        }
    }
    return (*p == '?' || *p == *s) && naive_name(p + 1, pn - 1, s + 1, sn - 1);
}

struct split {
    const char *at[16];
    size_t size[16], count;
};
static struct split split(const char *s)
{
    struct split r = {.count = 0};
    while (*s) {
        size_t n = strcspn(s, "/");
        if (n && !(n == 1 && *s == '.')) {
            r.at[r.count] = s;
            r.size[r.count++] = n;
        }
        s += n + (s[n] == '/');
    }
    return r;
}

/* below: whether path can be continued by at least one name and then match. */
static bool naive_path(const struct split *p, size_t i, const struct split *n, size_t j, bool below)
{
    if (j == n->count && below)
        return i < p->count;
    if (i == p->count)
        return j == n->count;
    if (p->size[i] == 2 && !memcmp(p->at[i], "**", 2)) {
        bool last = i + 1 == p->count;
        if (!last && naive_path(p, i + 1, n, j, below))
            return true;
        if (j == n->count || *n->at[j] == '.')
            return false;
        return (last && j + 1 == n->count) || naive_path(p, i, n, j + 1, below);
    }
    if (j == n->count || (*n->at[j] == '.' && *p->at[i] != '.'))
        return false;
    return naive_name(p->at[i], p->size[i], n->at[j], n->size[j]) && naive_path(p, i + 1, n, j + 1, below);
}

static uint64_t seed = 0x9e3779b97f4a7c15u;
static unsigned pick(unsigned n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 33) % n;
}

static void random_path(char *out, bool pattern)
{
    static const char *const names[] = {"a", "b", "ab", ".a", ".b", "aab", "ba", "b.", "]"};
    static const char *const globs[] = {"a",   "b",  "*",    "**",    "**",   "?",    "a*", ".*",
                                        "[a]", ".a", "[!a]", "*b*a*", "?[b]", "[.]a", "[a", "[]]"};
    unsigned parts = 1 + pick(6);
    *out = 0;
    for (unsigned i = 0; i < parts; i++) {
        if (i)
            strcat(out, "/");
        strcat(out, pattern && pick(3) ? globs[pick(16)] : names[pick(9)]);
    }
}

static void test_random(void **state)
{
    (void)state;
    unsigned matched = 0, below = 0, rounds = 400000;
    for (unsigned i = 0; i < rounds; i++) {
        char pattern[64], path[64];
        random_path(pattern, true);
        random_path(path, false);
        struct split p = split(pattern), n = split(path);
        bool match = naive_path(&p, 0, &n, 0, false), may = naive_path(&p, 0, &n, 0, true);
        matched += match;
        below += may;
        if (tier__glob_match(pattern, path) != match)
            fail_msg("'%s' on '%s': expected %d", pattern, path, match);
        if (tier__glob_dir_may_match(pattern, path) != may)
            fail_msg("'%s' below '%s': expected %d", pattern, path, may);
    }
    assert_true(matched > rounds / 100 && below > rounds / 100); /* the random choice is worth something */
}

static void test_no_explosion(void **state)
{
    (void)state;
    char pattern[4001], path[8001];
    for (int i = 0; i < 800; i++) /* exponential for a matcher that tries every star again */
        memcpy(pattern + i * 5, "**/a/", 5);
    pattern[4000] = 0;
    memset(path, 'a', 8000);
    for (int i = 1; i < 8000; i += 2)
        path[i] = '/';
    path[7999] = 'b';
    path[8000] = 0;
    assert_false(tier__glob_match(pattern, path));
    memset(pattern, '*', 4000);
    for (int i = 1; i < 4000; i += 2)
        pattern[i] = 'a';
    memset(path, 'a', 8000);
    path[7999] = 'b';
    assert_false(tier__glob_match(pattern, path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_directories),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_no_explosion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
