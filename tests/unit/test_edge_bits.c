/* test_edge_bits.c - a variant's edges as words of bits: they say what the edges say one by one, for random
 * variants and views; and sessions that verify by them alone notice each change. */
#include "tests/unit/small_world.h"
#include "coherence/manager.h"

enum { DEPS = 3000, VERSIONS = 3, EDGES = 200, FILES = 60 };

/* ---- random variants in random views */
static uint64_t state;

static uint32_t below(uint32_t n)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((state >> 33) % n);
}

static struct tier__dep *dep[DEPS];

static void value_of(uint32_t version, tier_digest *value)
{
    memset(value, 0, sizeof *value);
    value->byte[0] = (unsigned char)version;
}

static void make_deps(void)
{
    tier_digest value;
    for (uint32_t i = 0; i < DEPS; i++) {
        char name[16];
        snprintf(name, sizeof name, "%u", i);
        assert_non_null(dep[i] = tier__dep_of(cache, TIER__K_INPUT, NULL, 0, name, strlen(name)));
        value_of(0, &value);
        assert_int_equal(tier__dep_version(cache, dep[i], &value), 0);
    }
    for (uint32_t i = 0; i < DEPS; i += 1 + below(3))
        for (uint32_t version = 1; version < VERSIONS; version++) {
            value_of(version, &value);
            assert_int_equal(tier__dep_version(cache, dep[i], &value), version);
        }
}

/* Sees dependency i in any of its versions, where it was seen before as well. */
static void see(tier__view *v, uint32_t i)
{
    tier_digest value;
    value_of(below(dep[i]->version_count), &value);
    pthread_mutex_lock(&v->lock);
    pthread_mutex_lock(&cache->graph);
    assert_non_null(tier__view_see(v, dep[i], &value));
    pthread_mutex_unlock(&cache->graph);
    pthread_mutex_unlock(&v->lock);
}

static uint32_t seen_version(tier__view *v, uint32_t id)
{
    pthread_mutex_lock(&v->lock);
    uint32_t version = tier__view_version(v, id);
    pthread_mutex_unlock(&v->lock);
    return version;
}

/* Neighbours, or from all over; most as v sees them, sometimes one that is not. */
static void make_edges(tier__view *v, struct tier__variant *of)
{
    uint32_t first = below(DEPS), step = below(4) ? below(4) : 97;
    of->edge_count = 1 + below(EDGES);
    for (uint32_t i = 0; i < of->edge_count; i++) {
        const struct tier__dep *d = dep[(first + i * step) % DEPS];
        uint32_t seen = seen_version(v, d->id);
        of->edges[i] = (struct tier__edge){d->id, seen ? seen - 1 : 0};
    }
    if (below(2)) {
        uint32_t at = below(of->edge_count), id = of->edges[at].dep;
        of->edges[at].version = below(tier__dep_at(cache, id)->version_count);
    }
}

static uint32_t known(tier__view *v, const struct tier__variant *of)
{
    uint32_t i = 0;
    while (i < of->edge_count && seen_version(v, of->edges[i].dep) == of->edges[i].version + 1)
        i++;
    return i;
}

static void bits_say_what_edges_say(void **unused)
{
    static struct tier__edge edges[EDGES];
    uint32_t made = 0, all = 0;
    (void)unused;
    state = getenv("TIER_SEED") ? strtoull(getenv("TIER_SEED"), NULL, 10) : 2026;
    print_message("TIER_SEED=%llu\n", (unsigned long long)state);
    open_cache(0, NULL);
    make_deps();
    for (int round = 0; round < 400; round++) {
        tier_session *s = begin(0);
        uint32_t from = below(DEPS), to = from + below(DEPS - from);
        for (uint32_t i = from; i < to; i++)
            see(s->view, i);
        for (uint32_t i = 0; i < DEPS / 10; i++)
            see(s->view, below(DEPS));
        for (int k = 0; k < 40; k++) {
            struct tier__variant of = {.edges = edges};
            make_edges(s->view, &of);
            tier__edge_bits_wanted(cache, &of);
            assert_null(of.bits.made); /* not the first time */
            tier__edge_bits_wanted(cache, &of);
            assert_int_equal(tier__view_known(s->view, &of, 0), known(s->view, &of));
            struct tier__edge_bits *p = of.bits.made;
            if (p && p->count) {
                assert_int_equal(tier__edge_bits_set(p, &s->view->seen),
                                 known(s->view, &of) == of.edge_count);
                made++;
                all += known(s->view, &of) == of.edge_count;
            }
            tier__free(&cache->base, p);
        }
        assert_int_equal(tier_end(&s), 0);
    }
    assert_true(made > 1000 && all > made / 10 && all < made);
}

/* ---- sessions, and a file that changes */
static int built;

static void file_name(char name[16], int i)
{
    snprintf(name, 16, "f%d", i);
}

static int build(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    int rc = 0;
    (void)q;
    (void)user;
    built++;
    for (int i = 0; i < FILES && !rc; i++) {
        char name[16];
        tier_value v;
        file_name(name, i);
        if (!(rc = tier_file(s, name, &v)))
            rc = tier_out_bytes(out, v.data, v.size);
    }
    return rc;
}

static const tier_type *type;

/* Asks for two requests that read the same, so that the first one's looks are all that the second one needs.
 */
static void expect(const char *second, int builds)
{
    tier_session *s = begin(0);
    tier_value v;
    built = 0;
    for (int arg = 0; arg < 2; arg++) {
        assert_int_equal(tier_get(s, &(tier_query){type, NULL, &arg, sizeof arg}, &v), 0);
        assert_int_equal(v.size, FILES);
        assert_memory_equal((const char *)v.data + 1, second, 1);
    }
    assert_int_equal(tier_end(&s), 0);
    assert_int_equal(built, builds);
}

static struct tier__edge_bits *bits_of(int arg)
{
    tier__node *n = tier__node_of(cache, type, NULL, &arg, sizeof arg);
    return n->variant[0]->bits.made;
}

static void changes_are_noticed(void **unused)
{
    (void)unused;
    for (int i = 0; i < FILES; i++) {
        char name[16];
        file_name(name, i);
        put(name, "a");
    }
    open_cache(0, NULL);
    type = define("text", 0, build, NULL);
    expect("a", 2);
    expect("a", 0);
    assert_null(bits_of(1));
    expect("a", 0);
    assert_non_null(bits_of(1));
    assert_true(bits_of(1)->count > 0 && bits_of(1)->count <= FILES / 4);
    expect("a", 0);
    put("f1", "b");
    for (int i = 0; i < 4; i++)
        expect("b", i ? 0 : 2);
    assert_true(bits_of(1)->count > 0); /* of this version */
    for (int i = 0; i < 6; i++) {
        put("f1", i % 2 ? "b" : "a");
        expect(i % 2 ? "b" : "a", 0);
    }
    put("f1", "c");
    expect("c", 2);
    unlink("f1");
}

/* What depends on many results compares their hashes by bits, too. */
static int build_above(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    int rc = 0;
    (void)q;
    (void)user;
    built++;
    for (int i = 0; i < FILES && !rc; i++) {
        tier_value v;
        if (!(rc = tier_get(s, &(tier_query){type, NULL, &i, sizeof i}, &v)))
            rc = tier_out_bytes(out, v.data, v.size);
    }
    return rc;
}

static int build_one(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    char name[16];
    tier_value v;
    int i;
    (void)user;
    memcpy(&i, q->args, sizeof i);
    file_name(name, i);
    int rc = tier_file(s, name, &v);
    return rc ? rc : tier_out_bytes(out, v.data, 1); /* the first byte alone: the rest is cut off */
}

static void above(tier_session *s, const tier_type *t, const char *second)
{
    tier_value v;
    assert_int_equal(tier_get(s, &(tier_query){.type = t}, &v), 0);
    assert_int_equal(v.size, FILES);
    assert_memory_equal((const char *)v.data + 1, second, 1);
}

static void results_are_noticed(void **unused)
{
    const char *text[] = {"a", "ab", "b", "ac", "a", "bb"};
    (void)unused;
    open_cache(0, NULL);
    for (int i = 0; i < FILES; i++) {
        char name[16];
        file_name(name, i);
        put(name, "a");
    }
    type = define("one", 0, build_one, NULL);
    const tier_type *all = define("all", 0, build_above, NULL);
    for (int round = 0; round < 24; round++) {
        const char *now = text[round / 4];
        if (round % 4 == 0)
            put("f1", now);
        tier_session *s = begin(0);
        built = 0;
        for (int i = 0; i < FILES; i++) { /* all that it reads is known when it is asked for */
            tier_value v;
            assert_int_equal(tier_get(s, &(tier_query){type, NULL, &i, sizeof i}, &v), 0);
        }
        above(s, all, now);
        assert_int_equal(built, round == 0 || round == 8); /* "a", then "b" */
        assert_int_equal(tier_end(&s), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bits_say_what_edges_say, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(changes_are_noticed, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(results_are_noticed, world_setup, world_teardown),
    };
    return cmocka_run_group_tests_name("edge_bits", tests, NULL, NULL);
}
