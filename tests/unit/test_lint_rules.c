/* The pure parts of tierlint: buffers, paths, the include graph, findings and their places, pasting, rules.
 */
/* sources: tools/tierlint/[!m]*.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tools/tierlint/graph.h"
#include "tools/tierlint/tables.h"

/* ---- bytes -----------------------------------------------------------------------------------------------
 */
static void test_buffer(void **state)
{
    (void)state;
    lint_buf b = {0};
    lint_buf_u32(&b, 0x01020304);
    lint_buf_str(&b, "text");
    lint_buf_u64(&b, UINT64_MAX - 1);
    lint_buf_printf(&b, "%d-%s", 7, "x");
    assert_false(b.failed);
    assert_int_equal(b.data[0], 4); /* little endian on every machine */
    lint_reader r = lint_read(b.data, b.size);
    assert_int_equal(lint_read_u32(&r), 0x01020304);
    assert_string_equal(lint_read_str(&r), "text");
    assert_true(lint_read_u64(&r) == UINT64_MAX - 1);
    assert_int_equal(r.end - r.at, 3);
    assert_string_equal(lint_read_str(&r), ""); /* "7-x" has no 0 within the bytes */
    assert_true(r.bad);
    assert_int_equal(lint_read_u32(&r), 0);
    lint_buf_free(&b);
    r = lint_read(NULL, 0);
    assert_int_equal(lint_read_u32(&r), 0);
    assert_true(r.bad);
}

static void test_map(void **state)
{
    (void)state;
    lint_map m = {0};
    char name[16];
    assert_int_equal(lint_map_find(&m, "n0"), LINT_NONE);
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "n%d", i);
        assert_int_equal(lint_map_add(&m, name), i);
    }
    assert_int_equal(lint_map_add(&m, "n17"), 17);
    assert_int_equal(lint_map_find(&m, "n4999"), 4999);
    assert_int_equal(lint_map_find(&m, "n5000"), LINT_NONE);
    assert_string_equal(lint_map_text(&m, 42), "n42");
    lint_map_free(&m);
}

/* ---- paths -----------------------------------------------------------------------------------------------
 */
static void check_join(const char *dir, const char *name, const char *want)
{
    lint_buf b = {0};
    lint_join(&b, dir, name);
    assert_string_equal(b.data, want);
    lint_buf_free(&b);
}

static void check_dir(const char *path, const char *want)
{
    lint_buf b = {0};
    lint_dir_of(path, &b);
    assert_string_equal(b.data, want);
    lint_buf_free(&b);
}

static void test_paths(void **state)
{
    (void)state;
    check_join("", "a.h", "a.h");
    check_join("src", "a.h", "src/a.h");
    check_join("src", "./a.h", "src/a.h");
    check_join("sys:", "a.h", "sys:a.h");
    check_join("sys:x", "b/a.h", "sys:x/b/a.h");
    check_join("src", "/abs/a.h", "/abs/a.h");
    check_join("/", "a.h", "/a.h");
    check_dir("a.h", "");
    check_dir("src/a.h", "src");
    check_dir("sys:a.h", "sys:");
    check_dir("sys:b/a.h", "sys:b");
    check_dir("/a.h", "/");
    assert_true(lint_is_source("x/a.c") && lint_is_source("a.cpp") && !lint_is_source("a.h"));
    assert_true(lint_is_header("a.hh") && lint_is_header("sys:vector") && !lint_is_header("a.inc"));
    assert_true(lint_is_wanted("a.inc") && !lint_is_wanted("vector") && !lint_is_wanted("dir.h/a.o"));
    assert_true(lint_is_compilers("stddef.h") && lint_is_compilers("emmintrin.h") &&
                lint_is_compilers("vector"));
    assert_false(lint_is_compilers("stdio.h"));
}

/* ---- the graph -------------------------------------------------------------------------------------------
 */
/* A graph of nodes "a".."z" from pairs of letters, whose sources ascend. */
static void make_graph(const char *pairs, uint32_t nodes, lint_buf *b, lint_graph *g)
{
    lint_node node[26];
    lint_edge edge[64];
    char text[52];
    uint32_t edges = 0;
    for (uint32_t i = 0; i < nodes; i++) {
        text[2 * i] = (char)('a' + i);
        text[2 * i + 1] = 0;
        node[i] = (lint_node){.path = 2 * i, .first = edges};
        for (const char *p = pairs; *p; p += 2) {
            if (p[0] == 'a' + (int)i) {
                edge[edges++] = (lint_edge){.target = (uint32_t)(p[1] - 'a'), .include = node[i].count++};
            }
        }
    }
    lint_graph given = {node, edge, text, nodes, edges, 2 * nodes};
    lint_graph_put(b, &given);
    assert_true(lint_graph_open(b->data, b->size, g));
}

static void test_components(void **state)
{
    (void)state;
    lint_buf b = {0};
    lint_graph g;
    uint32_t c[26];
    make_graph("abbccaadddeffe", 7, &b, &g); /* a b c; d (itself); e f by way of each other; g alone */
    assert_int_equal(lint_graph_components(&g, NULL, c), 4);
    assert_true(c[0] == c[1] && c[1] == c[2]);
    assert_true(c[3] != c[0] && c[4] == c[5] && c[4] != c[3] && c[6] != c[0]);
    lint_list cycle = {0};
    lint_graph_cycle(&g, NULL, c, 1, &cycle);
    assert_int_equal(cycle.count, 3);
    assert_true(cycle.at[0] == 1 && cycle.at[1] == 2 && cycle.at[2] == 0);
    lint_graph_cycle(&g, NULL, c, 3, &cycle);
    assert_true(cycle.count == 1 && cycle.at[0] == 3);
    lint_graph_cycle(&g, NULL, c, 6, &cycle);
    assert_int_equal(cycle.count, 0);
    lint_list_free(&cycle);
    lint_buf_free(&b);
}

/* A chain of 200,000 headers that closes: recursion would not survive it. */
static void test_long_cycle(void **state)
{
    (void)state;
    enum { N = 200000 };
    lint_node *node = calloc(N, sizeof *node);
    lint_edge *edge = calloc(N, sizeof *edge);
    uint32_t *c = calloc(N, sizeof *c);
    for (uint32_t i = 0; i < N; i++) {
        node[i] = (lint_node){.first = i, .count = 1};
        edge[i].target = (i + 1) % N;
    }
    lint_graph g = {node, edge, "", N, N, 1};
    assert_int_equal(lint_graph_components(&g, NULL, c), 1);
    lint_list cycle = {0};
    lint_graph_cycle(&g, NULL, c, 5, &cycle);
    assert_int_equal(cycle.count, N);
    lint_list_free(&cycle);
    free(c);
    free(edge);
    free(node);
}

static void test_part(void **state)
{
    (void)state;
    lint_buf b = {0}, part = {0};
    lint_graph g, p;
    make_graph("acbdcade", 6, &b, &g);
    const unsigned char from[6] = {0, 1, 0, 0, 0, 0};
    lint_graph_part(&g, from, &part);
    assert_true(lint_graph_open(part.data, part.size, &p));
    assert_int_equal(p.node_count, 3);
    assert_int_equal(p.edge_count, 2);
    assert_string_equal(lint_graph_path(&p, 0), "b");
    assert_string_equal(lint_graph_path(&p, p.edges[p.nodes[0].first].target), "d");
    assert_true(p.nodes[0].flags & LINT_NODE_MEMBER);
    assert_false(p.nodes[1].flags & LINT_NODE_MEMBER);
    assert_int_equal(lint_graph_find(&p, "e"), 2);
    assert_int_equal(lint_graph_find(&p, "a"), LINT_NONE);
    lint_buf_free(&part);
    lint_buf_free(&b);
}

static void test_damaged_graph(void **state)
{
    (void)state;
    lint_buf b = {0};
    lint_graph g;
    make_graph("abbc", 3, &b, &g);
    assert_false(lint_graph_open(b.data, b.size - 1, &g));
    for (size_t i = 0; i < b.size; i++) { /* refused, or as safe to walk as before */
        char kept = b.data[i];
        b.data[i] = (char)0xff;
        if (lint_graph_open(b.data, b.size, &g)) {
            uint64_t mark[3] = {0};
            uint32_t queue[3];
            lint_graph_reach(&g, 0, 1, mark, queue);
        }
        b.data[i] = kept;
    }
    lint_buf_free(&b);
}

/* ---- findings --------------------------------------------------------------------------------------------
 */
static void test_places(void **state)
{
    (void)state;
    static const char text[] = "#include \"a.h\"\n\nint f(void);\nint f(void)\n{\n    return g;\n}\n";
    ol_outline *o = NULL;
    assert_int_equal(ol_parse(text, sizeof text - 1, &o), OL_OK);
    ol_point at = lint_anchor_place(o, &(lint_anchor){"x", LINT_AT_DECL, "f", 1, LINT_NONE});
    assert_true(at.line == 4 && at.column == 5);
    at = lint_anchor_place(o, &(lint_anchor){"x", LINT_AT_DECL, "f", 1, 14});
    assert_true(at.line == 6 && at.column == 1);
    at = lint_anchor_place(o, &(lint_anchor){"x", LINT_AT_USE, "g", 0, 0});
    assert_true(at.line == 6 && at.column == 12);
    at = lint_anchor_place(o, &(lint_anchor){"x", LINT_AT_INCLUDE, "", 0, 0});
    assert_true(at.line == 1 && at.column == 1);
    at = lint_anchor_place(o, &(lint_anchor){"x", LINT_AT_DECL, "gone", 0, 0});
    assert_true(at.line == 1 && at.column == 1);
    ol_free(&o);
}

static void test_finding_bytes(void **state)
{
    (void)state;
    lint_finding f = {.rule = LINT_MISMATCH,
                      .at = {"a.c", LINT_AT_DECL, "f", 3, LINT_NONE},
                      .also = {"b.c", LINT_AT_USE, "g", 0, 9},
                      .message = "m",
                      .note = "n"};
    lint_finding back;
    lint_buf b = {0};
    lint_finding_put(&b, &f);
    lint_reader r = lint_read(b.data, b.size);
    assert_true(lint_finding_get(&r, &back) && r.at == r.end);
    assert_true(back.rule == f.rule && back.at.ordinal == 3 && back.also.offset == 9);
    assert_string_equal(back.also.path, "b.c");
    assert_string_equal(back.note, "n");
    for (size_t cut = 0; cut < b.size; cut++) {
        r = lint_read(b.data, cut);
        assert_false(lint_finding_get(&r, &back));
    }
    lint_buf_free(&b);
}

/* Paths come back as they were put, whatever they hold; what only looks like one is text. */
static void test_message_paths(void **state)
{
    (void)state;
    static const char *const pieces[] = {"of ", "a\1b:2", " -> ", "sys:c.h", "\1", "\0019:x", "\1-1:y", NULL};
    static const bool is_path[] = {false, true, false, true, false, false, false};
    lint_buf message = {0}, piece = {0};
    bool path;
    for (size_t i = 0; pieces[i]; i++) {
        if (is_path[i]) {
            lint_message_path(&message, pieces[i]);
        } else {
            lint_buf_text(&message, pieces[i]);
        }
    }
    const char *at = message.data;
    for (size_t i = 0; pieces[i]; i++) {
        assert_true(lint_message_next(&at, &piece, &path));
        assert_string_equal(piece.data, pieces[i]);
        assert_int_equal(path, is_path[i]);
    }
    assert_false(lint_message_next(&at, &piece, &path));
    lint_buf_free(&message);
    lint_buf_free(&piece);
}

/* ---- pasting, rules --------------------------------------------------------------------------------------
 */
static void note(void *user, const char *piece, size_t size, int side)
{
    char *said = user;
    sprintf(said + strlen(said), "%d:%.*s ", side, (int)size, piece);
}

static void test_pastes(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } row[] = {
        {"(x) x##_init", "2:_init "},
        {"(x) do_ ## x ()", "1:do_ "},
        {"(a,b) a##b", "3: "},
        {"(x) a##x##_b", "1:a 2:_b "},
        {"(x) #x", ""},
        {"(...) f(__VA_ARGS__)", ""},
        {"(n) struct n##_t", "2:_t "},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char said[128] = "";
        lint_pastes(row[i].text, note, said);
        assert_string_equal(said, row[i].want);
    }
}

static void test_rules(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < LINT_RULE_COUNT; i++) {
        const lint_rule *rule = lint_rule_at(i);
        assert_int_equal(lint_rule_find(rule->name), i);
        assert_true(strcmp(rule->severity, "error") == 0 || strcmp(rule->severity, "warning") == 0 ||
                    strcmp(rule->severity, "note") == 0);
        assert_true((lint_rules_default() >> i & 1) == rule->on);
    }
    assert_int_equal(lint_rule_find("gone"), LINT_RULE_COUNT);
    assert_null(lint_rule_at(LINT_RULE_COUNT));
    assert_true(LINT_RULE_COUNT <= 31); /* bits of one number, and of a shift */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buffer),        cmocka_unit_test(test_map),
        cmocka_unit_test(test_paths),         cmocka_unit_test(test_components),
        cmocka_unit_test(test_long_cycle),    cmocka_unit_test(test_part),
        cmocka_unit_test(test_damaged_graph), cmocka_unit_test(test_places),
        cmocka_unit_test(test_finding_bytes), cmocka_unit_test(test_pastes),
        cmocka_unit_test(test_rules),         cmocka_unit_test(test_message_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
