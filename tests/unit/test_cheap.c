/* store.cheap: what is cheaper to compute than to load is not stored, and nobody but who asks for it sees
 * that. A cheap value is an object made in microseconds whose saved bytes take milliseconds to load, so that
 * no slow machine makes it a dear one. */
#include "coherence/manager.h"
#include "include/tierkit_admin.h"
#include "tests/unit/small_world.h"

enum { WIDE = 4 << 20, UPON = 1 << 20 };
static const tier_type *wide, *upon, *above, *slow, *little, *content;
static struct {
    int wide, upon, above, slow, little, content;
} built;
static char told[1 << 14];

struct letter {
    char c;
    size_t size; /* as saved */
};

static int object(tier_out *out, char c, size_t size)
{
    struct letter *l = malloc(sizeof *l);
    assert_non_null(l);
    *l = (struct letter){c, size};
    return tier_out_object(out, l, sizeof *l);
}

static void destroy(void *o, void *user)
{
    (void)user;
    free(o);
}

static int save(const void *o, tier_out *out, void *user)
{
    static char bytes[WIDE];
    const struct letter *l = o;
    (void)user;
    memset(bytes, l->c, l->size);
    return tier_out_bytes(out, bytes, l->size);
}

static int load(const tier_value *saved, tier_out *out, void *user)
{
    (void)user;
    return object(out, *(const char *)saved->data, saved->size);
}

static int build_wide(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    (void)user;
    built.wide++;
    int rc = tier_file(s, q->path, &v);
    return rc ? rc : object(out, *(const char *)v.data, WIDE);
}

static int letter_of(tier_session *s, const tier_query *q, char *c)
{
    tier_value v;
    tier_query below = {.type = wide, .path = q->path};
    int rc = tier_get(s, &below, &v);
    *c = rc ? 0 : ((const struct letter *)v.object)->c;
    return rc;
}

static int build_upon(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    char c;
    (void)user;
    built.upon++;
    int rc = letter_of(s, q, &c);
    return rc ? rc : object(out, c, UPON);
}

static int build_above(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    char c;
    (void)user;
    built.above++;
    int rc = letter_of(s, q, &c);
    return rc ? rc : tier_out_bytes(out, &c, 1);
}

static int build_bytes(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    static const char bytes[4096];
    bool is_slow = q->type == slow;
    (void)s;
    (void)user;
    ++*(is_slow ? &built.slow : &built.little);
    usleep(is_slow ? 20000 : 0);
    return tier_out_bytes(out, bytes, is_slow ? sizeof bytes : TIER__SMALL_BLOB);
}

static int build_content(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    (void)s;
    (void)user;
    built.content++;
    return object(out, *(const char *)q->args, WIDE);
}

static const tier_type *objects(const char *name, uint32_t flags,
                                int (*build)(tier_session *, const tier_query *, tier_out *, void *))
{
    const tier_type *type = NULL;
    tier_type_def d = TIER_INIT(tier_type_def);
    d.name = name;
    d.tier = TIER_TREE;
    d.flags = flags;
    d.build = build;
    d.destroy = destroy;
    d.save = save;
    d.load = load;
    assert_int_equal(tier_define(cache, &d, &type), 0);
    return type;
}

/* A process of its own, as far as the cache can tell. */
static void process(const char *setting)
{
    assert_int_equal(tier_close(&cache), 0);
    open_cache(0, setting);
    wide = objects("wide", 0, build_wide);
    upon = objects("upon", 0, build_upon);
    above = define("above", 0, build_above, NULL);
    slow = define("slow", 0, build_bytes, NULL);
    little = define("little", 0, build_bytes, NULL);
    content = objects("content", TIER_PATH_FREE, build_content);
    memset(&built, 0, sizeof built);
}

static int ask(const tier_type *type, const char *path)
{
    tier_query q = {.type = type, .path = path};
    tier_value v;
    tier_session *s = begin(0);
    int rc = tier_get(s, &q, &v);
    if (!rc && v.object)
        assert_int_equal(((const struct letter *)v.object)->c, 'a');
    assert_int_equal(tier_end(&s), 0);
    return rc ? rc : (int)v.from;
}

static int setup(void **state)
{
    if (world_setup(state))
        return -1;
    put("f", "a file");
    put("warm", "all of this has run once before it is timed");
    usleep(40000); /* what is observed from here on settles */
    return 0;
}

static long warmed; /* of the counter: the first ones may be slow, and are stored then */
static long cheap(void)
{
    return counted("store.cheap") - warmed;
}

static void warm_up(void)
{
    assert_int_equal(ask(wide, "warm"), TIER_BUILT);
    assert_int_equal(ask(content, "warm"), TIER_BUILT);
    warmed = counted("store.cheap");
    memset(&built, 0, sizeof built);
}

/* ---- who builds */
static void cheap_values_are_built_where_they_are_asked_for(void **state)
{
    (void)state;
    process("store.cheap=off");
    warm_up();
    assert_int_equal(ask(wide, "f"), TIER_BUILT);
    assert_int_equal(ask(wide, "f"), TIER_VERIFIED); /* in memory */
    assert_int_equal(ask(above, "f"), TIER_BUILT);
    assert_int_equal(built.wide, 1);
    assert_int_equal(cheap(), 1);
    for (int i = 0; i < 2; i++) {
        process("store.cheap=off");
        assert_int_equal(ask(above, "f"), TIER_LOADED); /* verified through what is not there */
        assert_int_equal(built.wide + built.above, 0);
        assert_int_equal(ask(wide, "f"), TIER_BUILT);
        assert_int_equal(ask(wide, "f"), TIER_VERIFIED);
        assert_int_equal(built.wide, 1);
        assert_int_equal(counted("tree.loaded"), 0);
        assert_int_equal(tier_flush(cache), 0);
        if (i) /* the first one may have stat identities to write */
            assert_int_equal(counted("store.put"), 0);
    }
}

static void early_cutoff_survives(void **state)
{
    (void)state;
    process("store.cheap=off");
    warm_up();
    assert_int_equal(ask(above, "f"), TIER_BUILT);
    process("store.cheap=off");
    put("f", "another text, with the same first letter");
    assert_int_equal(ask(above, "f"), TIER_LOADED);
    assert_int_equal(built.wide, 1);
    assert_int_equal(built.above, 0);
    assert_int_equal(counted("verify.cutoff"), 1);
}

/* Nobody else has its bytes, so they stay when a newer version takes their place. */
static void going_back_builds_nothing(void **state)
{
    (void)state;
    process("store.cheap=off");
    warm_up();
    assert_int_equal(ask(wide, "f"), TIER_BUILT);
    put("f", "another");
    assert_int_equal(ask(wide, "f"), TIER_BUILT);
    put("f", "a file");
    assert_int_equal(ask(wide, "f"), TIER_VERIFIED);
    assert_int_equal(built.wide, 2);
}

static void what_is_dear_or_small_is_stored(void **state)
{
    (void)state;
    process("store.cheap=off");
    warm_up();
    assert_int_equal(ask(slow, "f"), TIER_BUILT);
    assert_int_equal(ask(little, "f"), TIER_BUILT);
    assert_int_equal(cheap(), 0);
    process("store.cheap=off");
    assert_int_equal(ask(slow, "f"), TIER_LOADED);
    assert_int_equal(ask(little, "f"), TIER_LOADED);
    assert_int_equal(built.slow + built.little, 0);
}

/* To compute `upon` again is cheap while `wide` is at hand, and dear where that has to be had again first. */
static void what_was_read_counts(void **state)
{
    (void)state;
    process("store.cheap=off");
    warm_up();
    assert_int_equal(ask(wide, "f"), TIER_BUILT);
    assert_int_equal(ask(upon, "f"), TIER_BUILT);
    process("store.cheap=off");
    assert_int_equal(ask(upon, "f"), TIER_LOADED);
    assert_int_equal(built.wide + built.upon, 0);
}

static void all_is_stored_where_the_setting_says_so(void **state)
{
    static const char *const settings[] = {NULL, "store.cheap=on"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        process(settings[i]);
        put("f", i ? "a" : "a file");
        assert_int_equal(ask(wide, "f"), TIER_BUILT);
        assert_int_equal(ask(content, "f"), TIER_BUILT);
        assert_int_equal(counted("store.cheap"), 0);
        process(settings[i]);
        assert_int_equal(ask(wide, "f"), TIER_LOADED);
        assert_int_equal(ask(content, "f"), TIER_LOADED);
    }
}

static void the_setting_may_change(void **state)
{
    (void)state;
    process("store.cheap=off");
    warm_up();
    assert_int_equal(ask(wide, "f"), TIER_BUILT);
    process(NULL);
    assert_int_equal(ask(wide, "f"), TIER_BUILT); /* and stored */
    process("store.cheap=off");
    assert_int_equal(ask(wide, "f"), TIER_LOADED);
}

static void of_path_free_types_too(void **state)
{
    tier_query by_bytes;
    tier_value v;
    (void)state;
    put("g", "a file"); /* equal files share one value */
    process("store.cheap=off");
    warm_up();
    assert_int_equal(ask(content, "f"), TIER_BUILT);
    assert_int_equal(ask(content, "g"), TIER_BUILT); /* so is the request that stands for the content's */
    assert_int_equal(built.content, 1);
    assert_int_equal(cheap(), 1);
    for (int i = 0; i < 3; i++) {
        process("store.cheap=off");
        by_bytes = (tier_query){.type = content, .args = "a file", .args_size = 6};
        tier_session *s = begin(0);
        if (i == 2)
            assert_int_equal(tier_get(s, &by_bytes, &v), 0);
        assert_int_equal(tier_end(&s), 0);
        assert_true(ask(content, i ? "g" : "f") > 0);
        assert_true(ask(content, i ? "f" : "g") > 0);
        assert_int_equal(built.content, 1);
        assert_int_equal(tier_flush(cache), 0);
    }
}

/* What decides, without a build: of bytes, up to exactly the time of their load. */
static void no_more_than_a_load(void **state)
{
    (void)state;
    process("store.cheap=off");
    warm_up();
    tier__node *n = tier__node_of(cache, slow, NULL, NULL, 0);
    struct tier__variant v = {.form = TIER__FORM_BYTES, .cost_us = 1};
    struct tier__built b = {.variant = &v};
    for (size_t size = 1; size < 1 << 20; size *= 2) {
        b.entry = tier__entry_new(cache->memory, TIER_DELTA, size);
        assert_non_null(b.entry);
        tier_session *s = begin(0);
        v.cost_us = 1;
        assert_int_equal(tier__cheap(s, n, &b), size > TIER__SMALL_BLOB);
        v.cost_us = (uint32_t)tier__load_us(cache, size);
        assert_int_equal(tier__cheap(s, n, &b), size > TIER__SMALL_BLOB);
        v.cost_us++;
        assert_false(tier__cheap(s, n, &b));
        assert_int_equal(tier_end(&s), 0);
        tier__entry_unref(b.entry);
    }
}

/* ---- who tells of it */
static int take(void *user, const char *text, size_t size)
{
    (void)user;
    assert_true(size < sizeof told);
    memcpy(told, text, size);
    told[size] = 0;
    return 0;
}

static void explain(const tier_type *type, const char *what)
{
    tier_query q = {.type = type, .path = "f"};
    tier_session *s = begin(0);
    assert_int_equal(tier_explain(s, &q, "text", take, NULL), 0);
    assert_int_equal(tier_end(&s), 0);
    if (!strstr(told, what))
        fail_msg("not said: %s\nsaid:\n%s", what, told);
}

static void it_is_told_why(void **state)
{
    static const char why[] = "the value is cheaper to compute than to load";
    tier_query q = {.path = "f"};
    tier_value v;
    (void)state;
    process("store.cheap=off");
    warm_up();
    assert_int_equal(ask(wide, "f"), TIER_BUILT);
    assert_int_equal(ask(content, "f"), TIER_BUILT);
    explain(wide, why);
    explain(content, why);
    process("store.cheap=off");
    tier_session *s = begin(0);
    q.type = wide;
    assert_int_equal(tier_peek(s, &q, &v), TIER_EABSENT); /* it never builds */
    assert_int_equal(tier_end(&s), 0);
    explain(wide, why);
    explain(content, why);
    process(NULL);
    assert_int_equal(ask(wide, "f"), TIER_BUILT);
    explain(wide, "on disk the answer");
}

static void add_husks(void *user, const tier_figure *f)
{
    *(uint64_t *)user += f->husks;
}

/* What is missing on purpose is no damage, not even worth a notice; nothing of it is left to prune. */
static void tools_find_it_in_order(void **state)
{
    char root[96], store[96], why[256];
    tier_admin_options o = TIER_INIT(tier_admin_options);
    tier_check_options check = TIER_INIT(tier_check_options);
    tier_check_report report = TIER_INIT(tier_check_report);
    tier_prune_options prune = TIER_INIT(tier_prune_options);
    tier_prune_report pruned = TIER_INIT(tier_prune_report);
    tier_admin *a;
    uint64_t husks = 0;
    (void)state;
    process("store.cheap=off");
    warm_up();
    assert_int_equal(ask(above, "f"), TIER_BUILT);
    assert_int_equal(ask(content, "f"), TIER_BUILT);
    assert_int_equal(tier_close(&cache), 0);
    snprintf(root, sizeof root, "%s/src", top);
    snprintf(store, sizeof store, "%s/store", top);
    o.root = root;
    o.dir = store;
    assert_int_equal(tier_admin_open(&o, &a, why, sizeof why), 0);
    for (int i = 0; i < 2; i++) {
        check.flags = i ? TIER_CHECK_DATA : 0;
        assert_int_equal(tier_check(a, &check, &report), 0);
        assert_int_equal(report.damage + report.notices, 0);
    }
    assert_int_equal(tier_repair(a, &check, &report), 0);
    assert_int_equal(report.repaired + report.left, 0);
    assert_int_equal(tier_store_figures(a, add_husks, &husks), 0);
    assert_int_equal(husks, 0); /* none has lost its value */
    assert_int_equal(tier_explain_path(a, "f", "text", take, NULL), 0);
    assert_non_null(strstr(told, "value cheap (cheaper to compute than to load)"));
    assert_int_equal(tier_prune(a, &prune, &pruned), 0);
    assert_int_equal(pruned.variants + pruned.values, 0);
    tier_admin_close(&a);
    process("store.cheap=off");
    assert_int_equal(ask(above, "f"), TIER_LOADED);
    assert_int_equal(built.wide, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
    const struct CMUnitTest tests[] = {
        T(cheap_values_are_built_where_they_are_asked_for),
        T(early_cutoff_survives),
        T(going_back_builds_nothing),
        T(what_is_dear_or_small_is_stored),
        T(what_was_read_counts),
        T(all_is_stored_where_the_setting_says_so),
        T(the_setting_may_change),
        T(of_path_free_types_too),
        T(no_more_than_a_load),
        T(it_is_told_why),
        T(tools_find_it_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
