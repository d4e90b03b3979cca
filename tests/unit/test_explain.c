/* test_explain.c - why a result was computed, down to the edit, also in a process that did not see it; why
 * something was not kept; who reads it. */
#include <time.h>
#include "tests/unit/small_world.h"

static const tier_type *outline, *report, *moody;
static int outlines, reports;
static char told[1 << 14];

/* The first word of the file. */
static int build_outline(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    (void)user;
    outlines++;
    int rc = tier_file(s, q->path, &v);
    return rc ? rc : tier_out_bytes(out, v.data, strcspn(v.data, " "));
}

static int build_report(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_query a = {.type = outline, .path = "a.h"};
    tier_value v;
    (void)user;
    reports++;
    int rc = tier_file(s, q->path, &v);
    if (!rc)
        rc = tier_get(s, &a, &v);
    return rc ? rc : tier_out_bytes(out, v.data, v.size);
}

static const char *mood;
static int build_moody(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    (void)user;
    int rc = tier_file(s, q->path, &v);
    if (!rc && *mood == 'o')
        rc = tier_once(s, "it asked the network");
    if (!rc && *mood == 't')
        rc = tier_fail(s, TIER_ETRANSIENT, "the server is away");
    return rc ? rc : tier_out_bytes(out, mood, strlen(mood));
}

static int take(void *user, const char *text, size_t size)
{
    (void)user;
    assert_true(size < sizeof told);
    memcpy(told, text, size);
    told[size] = 0;
    return 0;
}

static void explain(const tier_type *type, const char *path, const char *format)
{
    tier_query q = {.type = type, .path = path};
    tier_session *s = begin(0);
    assert_int_equal(tier_explain(s, &q, format, take, NULL), 0);
    assert_int_equal(tier_end(&s), 0);
}

static int ask(const tier_type *type, const char *path)
{
    tier_query q = {.type = type, .path = path};
    tier_value v;
    tier_session *s = begin(0);
    int rc = tier_get(s, &q, &v);
    assert_int_equal(tier_end(&s), 0);
    return rc;
}

static void has(const char *text)
{
    if (!strstr(told, text))
        fail_msg("not said: %s\nsaid:\n%s", text, told);
}

static void has_not(const char *text)
{
    if (strstr(told, text))
        fail_msg("said: %s\nin:\n%s", text, told);
}

static void open_all(uint32_t flags)
{
    open_cache(flags, NULL);
    outline = define("outline", 0, build_outline, NULL);
    report = define("report", 0, build_report, NULL);
    moody = define("moody", 0, build_moody, NULL);
}

static int setup(void **state)
{
    outlines = reports = 0;
    if (world_setup(state))
        return -1;
    put("main.c", "main");
    put("a.h", "first text");
    open_all(0);
    return 0;
}

/* Runs are told apart by the millisecond. */
static void next_ms(void)
{
    nanosleep(&(struct timespec){0, 3000000}, NULL);
}

/* What b2sum -l 256 prints of a file, shortened. */
static void digest_of(const char *path, char text[17])
{
    tier_value v;
    tier_session *s = begin(0);
    assert_int_equal(tier_file(s, path, &v), 0);
    for (int i = 0; i < 8; i++)
        snprintf(text + 2 * i, 3, "%02x", v.hash.byte[i]);
    assert_int_equal(tier_end(&s), 0);
}

static void chain_is_told(const char *was, const char *is)
{
    char line[160];
    explain(report, "main.c", "text");
    has("computed because: result of outline(a.h) was ");
    snprintf(line, sizeof line,
             "\n  outline(a.h) was computed because: content of a.h was %s and became %s, at 20", was, is);
    has(line);
    has("a.h now: ");
}

static void causes_go_down_to_the_edit(void **state)
{
    char one[17], two[17], three[17];
    (void)state;
    digest_of("a.h", one);
    assert_int_equal(ask(report, "main.c"), 0);
    explain(report, "main.c", NULL);
    has("computed because: nothing was remembered");
    next_ms();
    put("a.h", "second text");
    digest_of("a.h", two);
    assert_int_equal(ask(report, "main.c"), 0);
    chain_is_told(one, two);
    next_ms();
    put("a.h", "second text, and a remark"); /* the outline is computed again, and cuts off */
    digest_of("a.h", three);
    assert_int_equal(ask(report, "main.c"), 0);
    assert_int_equal(outlines, 3);
    assert_int_equal(reports, 2);
    chain_is_told(one, two); /* still the edit that made the report */
    has("a.h now: 25 bytes, modified 20");
    explain(outline, "a.h", "text");
    has(three);
    has("read by, as far as this process knows:\n  report(main.c)\n");
    assert_int_equal(tier_close(&cache), 0);
    open_all(0); /* a process that has seen none of it */
    chain_is_told(one, two);
    explain(outline, "a.h", "text");
    has("  report(main.c)\n");
    assert_int_equal(outlines, 3);
}

/* Two runs gave the outline that the report then found changed: the first of them changed it. */
static void runs_that_were_cut_off_are_passed_over(void **state)
{
    char one[17], two[17];
    (void)state;
    digest_of("a.h", one);
    assert_int_equal(ask(report, "main.c"), 0);
    next_ms();
    put("a.h", "second text");
    digest_of("a.h", two);
    assert_int_equal(ask(outline, "a.h"), 0);
    next_ms();
    put("a.h", "second text, and a remark");
    assert_int_equal(ask(outline, "a.h"), 0);
    assert_int_equal(ask(report, "main.c"), 0);
    chain_is_told(one, two);
}

static void other_formats_say_it_too(void **state)
{
    (void)state;
    assert_int_equal(ask(report, "main.c"), 0);
    next_ms();
    put("a.h", "second text");
    assert_int_equal(ask(report, "main.c"), 0);
    explain(report, "main.c", "json");
    assert_memory_equal(told, "{\"schema\":1,\"request\":\"report(main.c)\"", 38);
    has("\"chain\":[{\"request\":\"report(main.c)\",\"at_ms\":");
    has("\"what\":\"result of outline(a.h)\",\"was\":\"");
    has("{\"request\":\"outline(a.h)\",\"at_ms\":");
    has("\"what\":\"content of a.h\"");
    has("],\"file\":{\"path\":\"a.h\",\"bytes\":11,");
    has("\"kept\":{\"memory\":true,\"disk\":\"the answer\"}");
    has("\"readers\":[]}\n");
    explain(outline, "a.h", "json");
    has("\"readers\":[\"report(main.c)\"]}\n");
    explain(report, "main.c", "dot");
    has("digraph explain {");
    has("\"content of a.h\" -> \"result of outline(a.h)\" [color=blue");
    has("\"result of outline(a.h)\" -> result");
    explain(outline, "a.h", "dot");
    has("result -> \"report(main.c)\";");
}

static void reasons_for_not_keeping(void **state)
{
    (void)state;
    mood = "once";
    assert_int_equal(ask(moody, "a.h"), 0);
    explain(moody, "a.h", "text");
    has("nothing is remembered of it\n");
    has("the last answer was not kept: it asked the network\n");
    mood = "transient";
    assert_int_equal(ask(moody, "a.h"), TIER_ETRANSIENT);
    explain(moody, "a.h", "json");
    has("\"not_kept\":\"TIER_ETRANSIENT: the server is away\"");
    mood = "kept";
    assert_int_equal(ask(moody, "a.h"), 0);
    explain(moody, "a.h", "text");
    has("kept: on disk the answer; in memory the value\n");
    has_not("was not kept");
    assert_int_equal(tier_close(&cache), 0);
    open_all(TIER_READ_ONLY);
    explain(moody, "a.h", "text");
    has("kept: on disk nothing new: TIER_READ_ONLY; in memory no value\n");
}

/* All that a terminal is sent: lines end where the library ends them. */
static void shows_no_controls(const char *text, int lines)
{
    int n = 0;
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        n += *at == '\n';
        assert_true(*at == '\n' || (*at >= 32 && *at != 127));
        assert_false(*at == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0);
    }
    if (lines)
        assert_int_equal(n, lines);
}

static void names_forge_no_lines(void **state)
{
    static const char evil[] = "e\"\\\n  ! content of forged: x\033[31m\177\xc2\x9b\xc3\xa9.h";
    (void)state;
    put(evil, "text");
    mood = "once";
    assert_int_equal(ask(moody, evil), 0); /* why it is not kept */
    mood = "kept";
    assert_int_equal(ask(moody, evil), 0);
    next_ms();
    put(evil, "another text");
    assert_int_equal(ask(moody, evil), 0);
    explain(moody, evil, "text");
    shows_no_controls(told, 8);
    has("e\"\\\\n  ! content of forged: x\\x1b[31m\\x7f\\xc2\\x9b\xc3\xa9.h");
    has("computed because: content of e");
    explain(moody, evil, "json");
    shows_no_controls(told, 1);
    explain(moody, evil, "dot");
    shows_no_controls(told, 0);
    has("\"moody(e\\\"\\\\\\u000a  ! content");
    mood = "t\n";
    tier_invalidate(cache, TIER_BY_PATH, evil);
    assert_int_equal(ask(moody, evil), TIER_ETRANSIENT);
    explain(moody, evil, "text");
    shows_no_controls(told, 0);
    assert_int_equal(tier_close(&cache), 0);
    shows_no_controls(logged, 0);
    tier_options o = TIER_INIT(tier_options);
    tier_root root = {"", "/no\n\033[31mwhere"};
    o.app = "test";
    o.roots = &root;
    o.root_count = 1;
    o.log = keep_log;
    logged[0] = 0;
    assert_int_equal(tier_open(&o, &cache), TIER_EINVAL);
    shows_no_controls(logged, 1);
    assert_non_null(strstr(logged, "/no\\n\\x1b[31mwhere"));
}

static void stale_answers_are_told(void **state)
{
    tier_query q = {.type = outline, .path = "a.h"}, top_query = {.type = report, .path = "main.c"};
    tier_value v;
    (void)state;
    assert_int_equal(ask(outline, "a.h"), 0);
    put("a.h", "second text");
    tier_session *s = begin(TIER_MAY_BE_STALE);
    assert_int_equal(tier_get(s, &top_query, &v), 0);
    assert_int_equal(v.from, TIER_STALE);
    assert_int_equal(tier_explain(s, &q, "text", take, NULL), 0);
    has("outline(a.h): STALE\n");
    has("! content of a.h: ");
    assert_int_equal(tier_explain(s, &top_query, "text", take, NULL), 0);
    has("the last answer was not kept: it was made of a stale answer\n");
    assert_int_equal(tier_end(&s), 0);
}

static void an_invalidation_is_a_cause(void **state)
{
    (void)state;
    assert_int_equal(ask(outline, "a.h"), 0);
    assert_int_equal(tier_invalidate(cache, TIER_BY_TYPE, "outline"), 0);
    assert_int_equal(ask(outline, "a.h"), 0);
    explain(outline, "a.h", "text");
    has("computed because: invalidated, at 20");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
    static const struct CMUnitTest tests[] = {
        TEST(causes_go_down_to_the_edit), TEST(runs_that_were_cut_off_are_passed_over),
        TEST(other_formats_say_it_too),   TEST(reasons_for_not_keeping),
        TEST(names_forge_no_lines),       TEST(stale_answers_are_told),
        TEST(an_invalidation_is_a_cause),
    };
    return cmocka_run_group_tests_name("explain", tests, NULL, NULL);
}
