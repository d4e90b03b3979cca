/* The session's own table of what it asked for: with next to no hash, so that type, words and arguments
 * decide; and each thing that a line must not outlive. What a hit costs is in test_hit_path. */
#define HASH_BITS 0x1cu /* eight homes, one tag */
#include "coherence/recall.c"
#include "tests/unit/small_world.h"

enum { TYPES = 3, PATHS = 40, ARGUMENTS = 5, ASKS = 20000, LONG = 200, PLACES = 300 };
static int hidden;

/* What it was asked with, and what it read undeclared. */
static int build(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    char text[600];

    int n = snprintf(text, sizeof text, "%s of %s with %.*s, %d", (const char *)user,
                     q->path ? q->path : "nothing", (int)q->args_size, q->args ? (const char *)q->args : "",
                     hidden);
    (void)s;
    return tier_out_bytes(out, text, (size_t)n);
}

static int build_above(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_query below = {.type = *(const tier_type **)user, .path = q->path};
    tier_value v;
    int rc = tier_get(s, &below, &v);
    return rc ? rc : tier_out_bytes(out, v.data, v.size);
}

static const tier_type *define_of(const char *name, uint32_t version, uint32_t tier)
{
    tier_type_def d = TIER_INIT(tier_type_def);
    const tier_type *type;
    d.name = name;
    d.version = version;
    d.tier = tier;
    d.build = build;
    d.user = (void *)name;
    assert_int_equal(tier_define(cache, &d, &type), 0);
    return type;
}

/* from of the answer, which is that of the words asked with; in: hidden as it was when it was built. */
static int asked(tier_session *s, const tier_query *q, const char *name, const char *path, int in)
{
    char want[600];
    tier_value v;
    int n = snprintf(want, sizeof want, "%s of %s with %.*s, %d", name, path ? path : "nothing",
                     (int)q->args_size, q->args ? (const char *)q->args : "", in);
    assert_int_equal(tier_get(s, q, &v), 0);
    assert_int_equal(v.size, n);
    assert_memory_equal(v.data, want, v.size);
    int from = (int)v.from;
    assert_int_equal(tier_release(s, &v), 0);
    return from;
}

/* Paths of every size that is handled apart: below 16 bytes, 32, more, and longer than a line. */
static void path_of(int i, char *path, size_t size)
{
    static const int padding[] = {0, 3, 11, 20, 40, 75, LONG};
    int n = padding[i % 7];
    snprintf(
        path, size, "%d%.*s%d", i / 7, n,
        "/abcdefgh/abcdefgh/abcdefgh/abcdefgh/abcdefgh/abcdefgh/abcdefgh/abcdefgh/abcdefgh/abcdefgh/abcdefgh/"
        "abcdefgh/abcdefgh/abcdefgh/abcdefgh/abcdefgh/abcdefgh/abcdefgh/abcdefgh/abcdefgh/abcdefgh/abcdefgh/"
        "x",
        i);
}

static void words_decide(void **state)
{
    static bool known[TYPES][PATHS + 1][ARGUMENTS];
    static char places[PLACES][300];
    static const char *const names[TYPES] = {"one", "two", "three"};
    const tier_type *types[TYPES];
    uint64_t x = 88172645463325252u;
    (void)state;
    memset(known, 0, sizeof known);
    for (int i = 0; i < TYPES; i++)
        types[i] = define_of(names[i], 0, TIER_TREE);
    tier_session *s = begin(0);
    for (int n = 0; n < ASKS; n++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        int t = (int)(x % TYPES), p = (int)(x / TYPES % (PATHS + 1)), a = (int)(x / 1024 % ARGUMENTS);
        char *path = places[x / 65536 % PLACES], args[8] = {(char)a, 'x', 'y'};
        path_of(p, path, sizeof places[0]);
        tier_query q = {types[t], p < PATHS ? path : NULL, a ? args : NULL, a ? (size_t)a : 0};
        bool *was = &known[t][p][a];
        for (int again = 0; again < 3; again++) { /* the third time the address tells */
            assert_int_equal(asked(s, &q, names[t], q.path, 0), *was ? TIER_HIT : TIER_BUILT);
            *was = true;
        }
    }
    assert_int_equal(s->recall.count, TYPES * (PATHS + 1) * ARGUMENTS); /* each is remembered, once */
    assert_int_equal(tier_end(&s), 0);
}

/* A path as it is written, if it is not written as it is kept. */
static void spellings_are_remembered(void **state)
{
    char long_one[LONG];
    const tier_type *type = define_of("one", 0, TIER_TREE);
    tier_session *s = begin(0);
    tier_query q = {.type = type, .path = "./a//b.h"};
    (void)state;
    assert_int_equal(asked(s, &q, "one", "a/b.h", 0), TIER_BUILT);
    assert_int_equal(asked(s, &q, "one", "a/b.h", 0), TIER_HIT);
    assert_int_equal(s->recall.count, 1);
    q.path = "a/b.h";
    assert_int_equal(asked(s, &q, "one", "a/b.h", 0), TIER_HIT);
    assert_int_equal(s->recall.count, 2);
    snprintf(long_one, sizeof long_one, ".//%0*d", LONG - 50, 7); /* nobody keeps these words: the long way */
    q.path = long_one;
    assert_int_equal(asked(s, &q, "one", long_one + 3, 0), TIER_BUILT);
    assert_int_equal(asked(s, &q, "one", long_one + 3, 0), TIER_HIT);
    assert_int_equal(s->recall.count, 2);
    assert_int_equal(tier_end(&s), 0);
}

/* The tree tier does not read the delta tier, also where the session has asked for it before. */
static void builds_are_checked(void **state)
{
    const tier_type *below = define_of("below", 0, TIER_DELTA), *above;
    tier_type_def d = TIER_INIT(tier_type_def);
    tier_query q = {.type = below, .path = "a.h"};
    tier_value v;
    (void)state;
    d.name = "above";
    d.tier = TIER_TREE;
    d.build = build_above;
    d.user = &below;
    assert_int_equal(tier_define(cache, &d, &above), 0);
    tier_session *s = begin(0);
    asked(s, &q, "below", "a.h", 0);
    assert_int_equal(asked(s, &q, "below", "a.h", 0), TIER_HIT);
    q.type = above;
    assert_int_equal(tier_get(s, &q, &v), TIER_ETIER);
    assert_int_equal(tier_end(&s), 0);
}

/* A heap that gives the block that was freed last, of those of a size. */
struct block {
    _Alignas(16) struct block *next;
    size_t size;
};
static void *recycle(void *user, void *old, size_t size)
{
    struct block **freed = user, *was = old ? (struct block *)old - 1 : NULL, *b;
    if (was && size && size <= was->size)
        return old;
    struct block **at = freed;
    while (*at && (*at)->size != size)
        at = &(*at)->next;
    if ((b = size ? *at : NULL))
        *at = b->next;
    else if (size && (b = malloc(sizeof *b + size)))
        b->size = size;
    if (b && was)
        memcpy(b + 1, old, was->size < size ? was->size : size);
    if (was && (b || !size)) {
        was->next = *freed;
        *freed = was;
    }
    return b ? b + 1 : NULL;
}

/* Another type at the address of one that is gone, while the value that the old words stood for is back. */
static void words_go_with_their_type(void **state)
{
    struct block *freed = NULL, *next;
    struct place p;
    tier_options o = options_of(&p, NULL);
    assert_int_equal(tier_close(&cache), 0);
    o.user = &freed;
    o.realloc = recycle;
    assert_int_equal(tier_open(&o, &cache), 0);
    const tier_type *first = define_of("one", 1, TIER_TREE);
    const void *address = first;
    tier_query q = {.type = first, .path = "a.h"};
    (void)state;
    tier_session *old = begin(0), *s;
    asked(old, &q, "one", "a.h", 0);
    asked(old, &q, "one", "a.h", 0);
    assert_int_equal(tier_undefine(cache, first), 0);
    const tier_type *second = define_of("two", 1, TIER_TREE);
    assert_ptr_equal(second, address);
    q.type = define_of("one", 1, TIER_TREE);
    s = begin(0);
    asked(s, &q, "one", "a.h", 0);
    assert_int_equal(tier_end(&s), 0);
    q.type = second;
    asked(old, &q, "two", "a.h", 0);
    assert_int_equal(tier_end(&old), 0);
    assert_int_equal(tier_close(&cache), 0);
    for (; freed; freed = next) {
        next = freed->next;
        free(freed);
    }
}

/* Evicted, superseded, or replaced by another answer under its key: what a line says of the place is over. */
static void places_are_left(void **state)
{
    const tier_type *type = define_of("one", 0, TIER_TREE);
    tier_query q = {.type = type, .path = "a.h"};
    (void)state;
    tier_session *old = begin(0), *s;
    assert_int_equal(asked(old, &q, "one", "a.h", 0), TIER_BUILT);
    assert_int_equal(asked(old, &q, "one", "a.h", 0), TIER_HIT);
    tier__memory_clear(cache->memory);
    assert_int_not_equal(asked(old, &q, "one", "a.h", 0), TIER_HIT);
    assert_int_equal(asked(old, &q, "one", "a.h", 0), TIER_HIT);
    hidden = 1;
    assert_int_equal(tier_invalidate(cache, TIER_BY_PATH, "a.h"), 0);
    s = begin(0);
    assert_int_equal(asked(s, &q, "one", "a.h", 1), TIER_BUILT);
    asked(old, &q, "one", "a.h", 0); /* the same key, another answer: not this view's */
    asked(s, &q, "one", "a.h", 1);
    asked(old, &q, "one", "a.h", 0);
    assert_int_equal(tier_end(&s), 0);
    assert_int_equal(tier_end(&old), 0);
}

static int setup(void **state)
{
    hidden = 0;
    if (world_setup(state))
        return -1;
    open_cache(0, NULL);
    return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
    static const struct CMUnitTest tests[] = {
        TEST(words_decide),       TEST(spellings_are_remembered),
        TEST(builds_are_checked), TEST(words_go_with_their_type),
        TEST(places_are_left),
    };
    return cmocka_run_group_tests_name("recall", tests, NULL, NULL);
}
