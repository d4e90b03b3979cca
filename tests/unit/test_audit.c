/* test_audit.c - hits made again and compared: what is found, named, counted, served instead; and which hits
 * are sampled. */
#include "tests/unit/small_world.h"
#include "coherence/manager.h"

enum { SAMPLED = 400 };

/* What the builds look at behind the session's back. */
static struct {
    const char *word;
    int builds, hint; /* hint: what tier_previous said */
} hidden;

/* Three records; the second one is of the hidden word. */
static int build_records(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    (void)user;
    hidden.builds++;
    int rc = tier_file(s, q->path, &v);
    if (!rc)
        rc = tier_out_record(out, "first", 5);
    if (!rc)
        rc = tier_out_record(out, hidden.word, strlen(hidden.word));
    return rc ? rc : tier_out_record(out, v.data, v.size);
}

static int build_text(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    (void)user;
    hidden.builds++;
    int rc = tier_file(s, q->path, &v);
    return rc ? rc : tier_out_bytes(out, hidden.word, strlen(hidden.word));
}

/* What is read depends on the hidden word. */
static int build_chooses(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    (void)user;
    hidden.builds++;
    int rc = tier_file(s, q->path, &v);
    if (!rc)
        rc = tier_file(s, hidden.word, &v);
    return rc ? rc : tier_out_bytes(out, v.data, v.size);
}

static int build_fails(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    (void)user;
    (void)out;
    int rc = tier_file(s, q->path, &v);
    return rc ? rc : tier_fail(s, *hidden.word == 't' ? TIER_ETRANSIENT : TIER_EBUILD, hidden.word);
}

static int build_reads_other(tier_session *s, const tier_query *q, tier_out *out, void *other)
{
    tier_query inner = {.type = *(const tier_type **)other, .path = q->path};
    tier_value v;
    int rc = tier_get(s, &inner, &v);
    return rc ? rc : tier_out_bytes(out, v.data, v.size);
}

static int ask(const tier_type *type, const char *path, char answer[64], uint32_t *from)
{
    tier_session *s = begin(0);
    tier_query q = {.type = type, .path = path};
    tier_value v;
    int rc = tier_get(s, &q, &v);
    if (rc)
        snprintf(answer, 64, "%s", tier_detail(s));
    else
        snprintf(answer, 64, "%.*s", (int)v.size, (const char *)v.data);
    if (from)
        *from = v.from;
    assert_int_equal(tier_end(&s), 0);
    return rc;
}

static void plant(const char *name, int (*build)(tier_session *, const tier_query *, tier_out *, void *))
{
    char answer[64];
    put("a", "content of a");
    put("b", "content of b");
    hidden.word = "old";
    hidden.builds = 0;
    open_cache(0, NULL);
    ask(define(name, 0, build, NULL), "a", answer, NULL);
    assert_int_equal(tier_close(&cache), 0);
}

static void equal_answers_stand(void **state)
{
    char answer[64];
    uint32_t from;
    (void)state;
    plant("text", build_text);
    open_cache(TIER_AUDIT, NULL);
    const tier_type *type = define("text", 0, build_text, NULL);
    assert_int_equal(ask(type, "a", answer, &from), 0);
    assert_string_equal(answer, "old");
    assert_int_equal(from, TIER_VERIFIED); /* the remembered value, seen to be what a build gives */
    assert_int_equal(hidden.builds, 2);
    assert_int_equal(counted("delta.built"), 0);
    assert_int_equal(counted("audit.checked"), 1);
    assert_int_equal(counted("audit.different"), 0);
    assert_string_equal(logged, "");
}

static void the_first_record_is_named(void **state)
{
    char answer[64];
    (void)state;
    plant("records", build_records);
    open_cache(TIER_AUDIT, NULL);
    const tier_type *type = define("records", 0, build_records, NULL);
    hidden.word = "olive";
    assert_int_equal(ask(type, "a", answer, NULL), 0);
    assert_int_equal(counted("audit.different"), 1);
    assert_int_equal(counted("alarm.undeclared"), 1);
    assert_non_null(strstr(logged, "records(a) of test"));
    assert_non_null(strstr(logged, "record 2 differs at byte 2: was \"d\", is \"ive\""));
    assert_non_null(strstr(logged, "its 1 recorded reads are the same"));
    logged[0] = 0;
    hidden.word = "other"; /* counted again, told once a type */
    assert_int_equal(ask(type, "a", answer, NULL), 0);
    assert_int_equal(counted("audit.different"), 2);
    assert_string_equal(logged, "");
}

static void the_old_value_goes(void **state)
{
    char answer[64];
    uint32_t from;
    (void)state;
    plant("text", build_text);
    open_cache(TIER_AUDIT, NULL);
    const tier_type *type = define("text", 0, build_text, NULL);
    hidden.word = "older";
    assert_int_equal(ask(type, "a", answer, &from), 0);
    assert_string_equal(answer, "older");
    assert_int_equal(from, TIER_BUILT);
    assert_non_null(strstr(logged, "byte 3 differs (of 3 and 5): was \"\", is \"er\""));
    assert_int_equal(tier_close(&cache), 0);
    open_cache(0, NULL);
    type = define("text", 0, build_text, NULL);
    assert_int_equal(ask(type, "a", answer, &from), 0);
    assert_string_equal(answer, "older");
    assert_int_equal(from, TIER_LOADED);
    assert_int_equal(hidden.builds, 2);
}

/* What was read differs: the old variant still matches the files, and must not come back. */
static void other_reads_are_named(void **state)
{
    char answer[64];
    (void)state;
    put("old", "of old");
    put("new", "of new");
    plant("chooses", build_chooses);
    open_cache(TIER_AUDIT, NULL);
    hidden.word = "new";
    assert_int_equal(ask(define("chooses", 0, build_chooses, NULL), "a", answer, NULL), 0);
    assert_string_equal(answer, "of new");
    assert_non_null(strstr(logged, "its reads differ from number 2 on (then content of old, now content of "
                                   "new)"));
    assert_int_equal(tier_close(&cache), 0);
    put("new", "of newer");
    hidden.word = "new";
    open_cache(0, NULL);
    assert_int_equal(ask(define("chooses", 0, build_chooses, NULL), "a", answer, NULL), 0);
    assert_string_equal(answer, "of newer");
}

static void failures_are_compared(void **state)
{
    char answer[64];
    (void)state;
    plant("fails", build_fails);
    open_cache(TIER_AUDIT, NULL);
    const tier_type *type = define("fails", 0, build_fails, NULL);
    hidden.word = "transient"; /* nothing to compare: what is remembered stands */
    assert_int_equal(ask(type, "a", answer, NULL), TIER_EBUILD);
    assert_string_equal(answer, "old");
    assert_int_equal(counted("audit.checked"), 0);
    hidden.word = "new";
    assert_int_equal(ask(type, "a", answer, NULL), TIER_EBUILD);
    assert_string_equal(answer, "new");
    assert_non_null(strstr(logged, "TIER_EBUILD (old) was remembered, now it is TIER_EBUILD (new)"));
}

/* A result above the one that differs is made from the fresh one. */
static void what_depends_on_it_is_fresh(void **state)
{
    static const tier_type *text, *reads;
    char answer[64];
    (void)state;
    plant("text", build_text);
    open_cache(0, NULL);
    text = define("text", 0, build_text, NULL);
    reads = define("reads", 0, build_reads_other, &text);
    assert_int_equal(ask(reads, "a", answer, NULL), 0);
    assert_string_equal(answer, "old");
    assert_int_equal(tier_close(&cache), 0);
    open_cache(TIER_AUDIT, NULL);
    text = define("text", 0, build_text, NULL);
    reads = define("reads", 0, build_reads_other, &text);
    hidden.word = "new";
    assert_int_equal(ask(reads, "a", answer, NULL), 0);
    assert_string_equal(answer, "new");
}

static int build_free(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    (void)s;
    (void)q;
    (void)user;
    return tier_out_bytes(out, hidden.word, strlen(hidden.word));
}

static void path_free_types_are_audited(void **state)
{
    char answer[64];
    (void)state;
    put("a", "content of a");
    hidden.word = "old";
    open_cache(0, NULL);
    assert_int_equal(ask(define("free", TIER_PATH_FREE, build_free, NULL), "a", answer, NULL), 0);
    assert_int_equal(tier_close(&cache), 0);
    open_cache(TIER_AUDIT, NULL);
    hidden.word = "new";
    assert_int_equal(ask(define("free", TIER_PATH_FREE, build_free, NULL), "a", answer, NULL), 0);
    assert_string_equal(answer, "new");
    assert_int_equal(counted("audit.checked"), 1);
    assert_int_equal(counted("audit.different"), 1);
}

/* ---- previous objects */
static void destroy_object(void *object, void *user)
{
    (void)user;
    free(object);
}

static int save_object(const void *object, tier_out *out, void *user)
{
    (void)user;
    return tier_out_bytes(out, object, strlen(object));
}

static int load_object(const tier_value *saved, tier_out *out, void *user)
{
    (void)user;
    return tier_out_object(out, strdup(saved->data), saved->size);
}

/* An incremental parser whose tree is another one where it starts from an old one. */
static int build_incremental(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_query self = {.type = q->type, .path = q->path};
    tier_digest content;
    tier_value v, old;
    (void)user;
    int rc = tier_file(s, q->path, &v);
    if (rc)
        return rc;
    hidden.hint = tier_previous(s, &self, &old, &content);
    hidden.builds++;
    return tier_out_object(out, strdup(hidden.hint ? "from scratch" : "from the old one"), 20);
}

static void a_sample_builds_from_scratch(void **state)
{
    const tier_type *type = NULL;
    tier_type_def d = TIER_INIT(tier_type_def);
    tier_query q = {.path = "a"};
    tier_value v;
    (void)state;
    put("a", "one");
    open_cache(0, "verify.sample=1");
    d.name = "tree";
    d.tier = TIER_TREE;
    d.build = build_incremental;
    d.destroy = destroy_object;
    d.save = save_object;
    d.load = load_object;
    assert_int_equal(tier_define(cache, &d, &type), 0);
    q.type = type;
    for (int round = 0; round < 3; round++) {
        tier_session *s = begin(0);
        assert_int_equal(tier_get(s, &q, &v), 0);
        assert_string_equal(v.object, round == 1 ? "from the old one" : "from scratch");
        assert_int_equal(tier_end(&s), 0);
        if (round == 0)
            put("a", "second");
    }
    assert_int_not_equal(hidden.hint, 0); /* the third one: the hit was made again, without the old tree */
    assert_int_equal(counted("audit.different"), 1);
    assert_int_equal(counted("tree.built"), 2);
}

/* ---- sampling */
static int build_number(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    (void)s;
    ++*(int *)user;
    return tier_out_bytes(out, q->args, q->args_size);
}

static long sample(const tier_type *type, uint64_t run, uint32_t flags)
{
    long before = counted("audit.checked");
    cache->audit_run = run;
    tier_session *s = begin(flags);
    for (int i = 0; i < SAMPLED; i++) {
        tier_query q = {.type = type, .args = &i, .args_size = sizeof i};
        tier_value v;
        assert_int_equal(tier_get(s, &q, &v), 0);
        assert_int_equal(tier_get(s, &q, &v), 0); /* a hit in the view: never looked at again */
        assert_int_equal(v.from, TIER_HIT);
        assert_int_equal(tier_release(s, &v), 0);
    }
    assert_int_equal(tier_end(&s), 0);
    return counted("audit.checked") - before;
}

static void one_in_so_many_is_sampled(void **state)
{
    int built = 0;
    (void)state;
    open_cache(0, "verify.sample=4");
    const tier_type *type = define("number", 0, build_number, &built);
    assert_int_equal(sample(type, 1, 0), 0); /* built, not hit */
    assert_int_equal(built, SAMPLED);
    long one = sample(type, 1, 0), two = sample(type, 2, 0);
    assert_in_range(one, SAMPLED / 4 - 40, SAMPLED / 4 + 40); /* 4.6 standard deviations */
    assert_in_range(two, SAMPLED / 4 - 40, SAMPLED / 4 + 40);
    assert_int_equal(sample(type, 1, 0), one); /* the same run, the same hits */
    assert_int_equal(built, SAMPLED + 2 * one + two);
    assert_int_equal(counted("delta.built"), SAMPLED);
    assert_int_equal(sample(type, 1, TIER_CANCEL_ON_CHANGE), 0); /* who is in a hurry is not kept */
}

/* ---- what is known by its leaves alone */
enum { LEAVES = 80 }; /* enough for a list of them */

/* Looks which of the leaves are there, and says what the lower one says. */
static int build_above(tier_session *s, const tier_query *q, tier_out *out, void *lower)
{
    char name[32], kind;
    for (int i = 0; i < LEAVES; i++) {
        snprintf(name, sizeof name, "leaf%d", i);
        tier_stat(s, name, &kind);
    }
    return build_reads_other(s, q, out, lower);
}

/* In a cache of its own, of the upper or of the lower type. */
static void ask_of_two(uint32_t flags, bool upper, const char *want)
{
    static const tier_type *lower;
    char answer[64];
    assert_int_equal(tier_close(&cache), 0);
    open_cache(flags, NULL);
    lower = define("text", 0, build_text, NULL);
    const tier_type *above = define("above", 0, build_above, &lower);
    assert_int_equal(ask(upper ? above : lower, "a", answer, NULL), 0);
    assert_string_equal(answer, want);
}

static void plant_leaves(void)
{
    char name[32];
    put("a", "content of a");
    for (int i = 0; i < LEAVES; i++) {
        snprintf(name, sizeof name, "leaf%d", i);
        put(name, "");
    }
    usleep(60000); /* their stamps are not too young then */
    hidden.word = "old";
    ask_of_two(0, true, "old");
    ask_of_two(0, true, "old");
    assert_int_equal(counted("closure.hit"), 1);
}

static void leaves_do_not_stand_for_an_audit(void **state)
{
    (void)state;
    plant_leaves();
    hidden.word = "new";
    ask_of_two(TIER_AUDIT, true, "new");
    assert_true(counted("audit.different") > 0);
}

/* The audit replaces the lower one alone: every leaf is as it was, and what was listed with them is not. */
static void leaves_do_not_stand_for_what_an_audit_found(void **state)
{
    (void)state;
    plant_leaves();
    hidden.word = "new";
    ask_of_two(TIER_AUDIT, false, "new");
    ask_of_two(0, true, "new");
    assert_int_equal(counted("closure.hit") + counted("closure.miss"), 0);
    ask_of_two(0, true, "new");
    assert_int_equal(counted("closure.hit"), 1); /* one walk, and the list made there holds */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    static const struct CMUnitTest tests[] = {
        TEST(equal_answers_stand),
        TEST(the_first_record_is_named),
        TEST(the_old_value_goes),
        TEST(other_reads_are_named),
        TEST(failures_are_compared),
        TEST(what_depends_on_it_is_fresh),
        TEST(path_free_types_are_audited),
        TEST(a_sample_builds_from_scratch),
        TEST(one_in_so_many_is_sampled),
        TEST(leaves_do_not_stand_for_an_audit),
        TEST(leaves_do_not_stand_for_what_an_audit_found),
    };
    return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
