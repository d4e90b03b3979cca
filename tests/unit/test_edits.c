/* Edits between two texts: applied in order they must turn the old text into the new one, with points that
 * agree with the offsets; on random, adversarial and boundary texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "coherence/edits.h"

static struct tier__base base;
static size_t in_use, most_in_use;
static int fail_after = -1;

/* Counts bytes in use: the size stands before each block. */
static void *counting_realloc(void *user, void *old, size_t size)
{
    size_t *block = old ? (size_t *)((char *)old - 16) : NULL;

    (void)user;
    if (size && fail_after >= 0 && fail_after-- == 0)
        return NULL;
    if (block)
        in_use -= *block;
    if (!size) {
        free(block);
        return NULL;
    }
    block = realloc(block, size + 16);
    *block = size;
    in_use += size;
    if (in_use > most_in_use)
        most_in_use = in_use;
    return (char *)block + 16;
}

static int setup(void **state)
{
    tier_options o = TIER_INIT(tier_options);

    (void)state;
    o.realloc = counting_realloc;
    tier__base_init(&base, &o);
    return 0;
}

static tier_point point_at(const unsigned char *text, size_t offset)
{
    tier_point p = {0, 0};

    for (size_t i = 0; i < offset; i++) {
        p.column++;
        if (text[i] == '\n') {
            p.row++;
            p.column = 0;
        }
    }
    return p;
}

static void same_point(tier_point a, tier_point b)
{
    assert_int_equal(a.row, b.row);
    assert_int_equal(a.column, b.column);
}

static bool continues(const unsigned char *text, size_t size, size_t at)
{
    return at < size && (text[at] & 0xc0) == 0x80;
}

/* Applies the edits one by one to a copy of old, as an editor would. Returns their number. */
static size_t check(const void *old_text, size_t old_size, const void *new_text, size_t new_size, bool points,
                    bool utf8)
{
    unsigned char *text = malloc(old_size + new_size + 1);
    size_t size = old_size, count, before = 0, i;
    const unsigned char *b = new_text;
    tier_edit *edits;

    if (old_size)
        memcpy(text, old_text, old_size);
    assert_int_equal(tier__edits_find(&base, old_text, old_size, new_text, new_size, &edits, &count), 0);
    for (i = 0; i < count; i++) {
        const tier_edit *e = &edits[i];
        assert_true(e->start <= e->old_end && e->start <= e->new_end && e->old_end <= size);
        assert_true(e->old_end > e->start || e->new_end > e->start);
        assert_true(i == 0 || e->start > before);
        assert_true(e->new_end <= new_size);
        if (points) {
            same_point(e->start_at, point_at(text, e->start));
            same_point(e->old_end_at, point_at(text, e->old_end));
        }
        if (utf8) {
            assert_false(continues(text, size, e->start) || continues(text, size, e->old_end));
            assert_false(continues(b, new_size, e->start) || continues(b, new_size, e->new_end));
        }
        memmove(text + e->new_end, text + e->old_end, size - e->old_end);
        memcpy(text + e->start, b + e->start, e->new_end - e->start);
        size = size - (e->old_end - e->start) + (e->new_end - e->start);
        if (points)
            same_point(e->new_end_at, point_at(text, e->new_end));
        before = e->new_end;
    }
    assert_int_equal(size, new_size);
    assert_memory_equal(text, new_text, new_size);
    tier__free(&base, edits);
    free(text);
    assert_int_equal(in_use, 0);
    return count;
}

static size_t check_text(const char *a, const char *b)
{
    return check(a, strlen(a), b, strlen(b), true, true);
}

static void small_texts(void **state)
{
    (void)state;
    assert_int_equal(check_text("", ""), 0);
    assert_int_equal(check_text("a\nb\n", "a\nb\n"), 0);
    assert_int_equal(check_text("", "a\nb"), 1);
    assert_int_equal(check_text("a\nb", ""), 1);
    assert_int_equal(check_text("a", "b"), 1);
    assert_int_equal(check_text("a\nb\nc\n", "a\nB\nc\n"), 1);
    assert_int_equal(check_text("a\nb\nc\nd\n", "A\nb\nc\nD\n"), 2);
    assert_int_equal(check_text("a\nb\nc\n", "a\nc\n"), 1);
    assert_int_equal(check_text("a\nb", "a\nb\n"), 1);
    assert_int_equal(check_text("x\nx\nx\n", "x\nx\nx\nx\n"), 1);
    assert_int_equal(check_text("\n\n", "\n"), 1);
    assert_int_equal(check_text("a\r\nb\r\n", "a\nb\n"), 1); /* no whole line is the same */
    assert_int_equal(check_text("int f(void);\nint g;\n", "int f(int);\nint g;\n"), 1);
    /* whole characters: e acute and e grave share a first byte, o umlaut and a broken bar a last one */
    assert_int_equal(check_text("a\xc3\xa9z\n", "a\xc3\xa8z\n"), 1);
    assert_int_equal(check_text("a\xc3\xb6z\n", "a\xc2\xb6z\n"), 1);
    assert_int_equal(check_text("\xf0\x9f\x98\x80", "\xf0\x9f\x98\x81"), 1);
    assert_int_equal(check(NULL, 0, "a", 1, true, true), 1);
    assert_int_equal(check("a", 1, "", 0, true, true), 1);
}

static void trims_by_bytes(void **state)
{
    static const char a[] = "one\nint f(void);\nthree\n", b[] = "one\nint f(int);\nthree\n";
    tier_edit *e;
    size_t n;

    (void)state;
    assert_int_equal(tier__edits_find(&base, a, strlen(a), b, strlen(b), &e, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(e->start, 10);
    assert_int_equal(e->old_end, 14);
    assert_int_equal(e->new_end, 13);
    assert_int_equal(e->start_at.row, 1);
    assert_int_equal(e->start_at.column, 6);
    assert_int_equal(e->new_end_at.column, 9);
    tier__free(&base, e);
}

static uint32_t seed;
static uint32_t draw(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static size_t random_text(unsigned char *text, size_t most, uint32_t letters)
{
    size_t size = draw((uint32_t)most), i;

    for (i = 0; i < size; i++)
        text[i] = draw(3) == 0 ? '\n' : (unsigned char)(letters > 26 ? draw(256) : 'a' + draw(letters));
    return size;
}

/* The length of a longest common subsequence of lines gives the fewest changed lines; Myers must reach it. */
static size_t changed_lines(const unsigned char *a, size_t an, const unsigned char *b, size_t bn)
{
    static uint16_t table[130][130];
    const unsigned char *la[130], *lb[130];
    size_t na = 0, nb = 0, i, j;

    for (i = 0; i < an; i++)
        if (i == 0 || a[i - 1] == '\n')
            la[na++] = a + i;
    for (i = 0; i < bn; i++)
        if (i == 0 || b[i - 1] == '\n')
            lb[nb++] = b + i;
    la[na] = a + an;
    lb[nb] = b + bn;
    for (i = 0; i <= na; i++)
        for (j = 0; j <= nb; j++) {
            size_t size = i && j ? (size_t)(la[i] - la[i - 1]) : 0;
            if (i == 0 || j == 0)
                table[i][j] = (uint16_t)(i + j);
            else if (size == (size_t)(lb[j] - lb[j - 1]) && memcmp(la[i - 1], lb[j - 1], size) == 0)
                table[i][j] = table[i - 1][j - 1];
            else
                table[i][j] =
                    (uint16_t)(1 + (table[i - 1][j] < table[i][j - 1] ? table[i - 1][j] : table[i][j - 1]));
        }
    return table[na][nb];
}

static void random_texts(void **state)
{
    unsigned char a[256], b[256];
    int i;

    (void)state;
    seed = 20261121;
    for (i = 0; i < 20000; i++) {
        uint32_t letters = i % 5 ? 1 + draw(3) : 200;
        size_t an = random_text(a, 100, letters), bn = random_text(b, 100, letters);
        check(a, an, b, bn, true, false);
    }
}

/* Lines of two bytes each, so that bytes count lines. */
static void edits_are_the_fewest(void **state)
{
    unsigned char a[256], b[256];
    int i;

    (void)state;
    seed = 4711;
    for (i = 0; i < 20000; i++) {
        size_t an = 2 * draw(60), bn = 2 * draw(60), n, k, bytes = 0;
        uint32_t letters = 1 + draw(6);
        tier_edit *e;
        for (k = 0; k < sizeof a; k++) {
            a[k] = k % 2 ? '\n' : (unsigned char)('a' + draw(letters));
            b[k] = k % 2 ? '\n' : (unsigned char)('a' + draw(letters));
        }
        assert_int_equal(tier__edits_find(&base, a, an, b, bn, &e, &n), 0);
        for (k = 0; k < n; k++)
            bytes += (size_t)(e[k].old_end - e[k].start + e[k].new_end - e[k].start);
        assert_true(bytes <= 2 * changed_lines(a, an, b, bn));
        tier__free(&base, e);
    }
}

/* Random edits of one text: the usual case. */
static void edited_texts(void **state)
{
    static unsigned char a[60000], b[90000];
    size_t an = 0, bn, i;
    int round;

    (void)state;
    seed = 7;
    for (i = 0; an + 80 < sizeof a; i++)
        an += (size_t)snprintf((char *)a + an, 80, "%*sint line_%zu = %u;\n", (int)draw(20), "", i % 50,
                               draw(4));
    for (round = 0; round < 60; round++) {
        size_t edits = 1 + draw(8), made = 0;
        for (i = bn = 0; i < an; i++) {
            uint32_t dice = draw((uint32_t)(an / edits));
            if (dice == 0)
                bn += (size_t)snprintf((char *)b + bn, 40, "new\n%u", made++ ? 1 : draw(9));
            if (dice != 1)
                b[bn++] = a[i];
        }
        check(a, an, b, bn, false, true);
    }
}

static void adversarial_texts(void **state)
{
    const size_t size = 1 << 21;
    unsigned char *a = malloc(size), *b = malloc(size);
    size_t i, kind;

    (void)state;
    for (kind = 0; kind < 6; kind++) {
        seed = (uint32_t)kind;
        for (i = 0; i < size; i++) {
            a[i] = b[i] = '\n';
            if (kind == 0) /* unrelated */
                a[i] = "ab\n\n"[draw(4)], b[i] = "ab\n\n"[draw(4)];
            else if (kind == 1) /* nothing shared */
                a[i] = "a\n"[i % 2], b[i] = "b\n"[i % 2];
            else if (kind == 2) /* reversed */
                a[i] = "a\nb\nccc\n"[i % 8], b[i] = "a\nb\nccc\n"[7 - i % 8];
            else if (kind == 3) /* one line */
                a[i] = (unsigned char)('a' + draw(3)), b[i] = (unsigned char)('a' + draw(3));
            else if (kind == 4) /* blank lines moved */
                a[i] = i % 7 ? '\n' : 'x', b[i] = i % 11 ? '\n' : 'x';
            else if (i % 2 == 0) /* many single changed lines: more than a search may find */
                a[i] = 'a', b[i] = i % 64 ? 'a' : 'b';
        }
        most_in_use = 0;
        check(a, size, b, size - (kind == 5 ? 0 : draw(3)), false, false);
        /* a line and its mark take 17 bytes, a text of blank lines has one a byte; besides the frontiers */
        assert_true(most_in_use <= 2 * 17 * size + size * sizeof(tier_edit) / 16 + (1 << 18));
    }
    free(a);
    free(b);
}

static void out_of_memory_is_told(void **state)
{
    tier_edit *e;
    size_t n;
    int k, rc = TIER_ENOMEM;

    (void)state;
    for (k = 0; rc; k++) {
        fail_after = k;
        rc = tier__edits_find(&base, "a\nb\nc\n", 6, "x\nb\ny\n", 6, &e, &n);
        assert_true(rc == 0 || (rc == TIER_ENOMEM && !e && n == 0 && in_use == 0));
        assert_true(k < 20);
    }
    fail_after = -1;
    assert_true(k > 5 && n == 2);
    tier__free(&base, e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_texts),           cmocka_unit_test(trims_by_bytes),
        cmocka_unit_test(random_texts),          cmocka_unit_test(edits_are_the_fewest),
        cmocka_unit_test(edited_texts),          cmocka_unit_test(adversarial_texts),
        cmocka_unit_test(out_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
