/* The cascade: after an event every result that was computed from what it struck is told INVALIDATED, and,
 * while no result was recomputed since the reverse edges were laid out, no other. Against a naive walk over
 * the edges that the test itself made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "include/tierkit.h"

enum { NODES = 60, LEAVES = 12, READS = 9, ROUNDS = 150, QUEUE = 1000 };

/* Node i reads leaves and nodes before it; what it reads stands in the input "spec i". */
struct world {
    char base[64], root[96], cache[96];
    tier_cache *c;
    const tier_type *type;
    tier_stream *st;
    unsigned char reads[NODES][READS + 1]; /* count, then leaves (below LEAVES) and LEAVES + node */
    unsigned char seen[NODES][READS + 1];  /* as of the node's last build */
    bool known[NODES];                     /* it has a result */
    uint64_t random;
    int stamp, builds;
};

static uint32_t draw(struct world *w, uint32_t below)
{
    w->random = w->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(w->random >> 33) % below;
}

static int build(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct world *w = user;
    char name[32], text[32];
    int node, rc;
    tier_value spec, v;
    memcpy(&node, q->args, sizeof node);
    snprintf(name, sizeof name, "spec %d", node);
    if ((rc = tier_input(s, name, &spec)))
        return rc;
    const unsigned char *reads = spec.data;
    for (int i = 1; i <= reads[0]; i++) {
        int at = reads[i] - LEAVES;
        snprintf(name, sizeof name, reads[i] % 3 ? "dir/leaf%d" : "leaf%d", reads[i]);
        if (at >= 0)
            rc = tier_get(s, &(tier_query){w->type, NULL, &at, sizeof at}, &v);
        else if (reads[i] % 2)
            rc = tier_input(s, name, &v);
        else
            rc = tier_file(s, name, &v);
        if (rc)
            return rc;
    }
    memcpy(w->seen[node], reads, sizeof w->seen[node]);
    w->known[node] = true;
    snprintf(text, sizeof text, "%d of %d", ++w->builds, node); /* no cutoff */
    return tier_out_bytes(out, text, strlen(text));
}

static void open_cache(struct world *w, bool disk)
{
    tier_root root = {"", w->root};
    tier_options o = TIER_INIT(tier_options);
    tier_type_def d = TIER_INIT(tier_type_def);
    tier_stream_options so = TIER_INIT(tier_stream_options);
    o.app = "cascade";
    o.app_version = "1";
    o.dir = disk ? w->cache : "";
    o.profile = "dev";
    o.roots = &root;
    o.root_count = 1;
    assert_int_equal(tier_open(&o, &w->c), 0);
    d.name = "node";
    d.tier = TIER_DELTA;
    d.user = w;
    d.build = build;
    assert_int_equal(tier_define(w->c, &d, &w->type), 0);
    so.kinds = TIER_INVALIDATED;
    so.capacity = QUEUE;
    assert_int_equal(tier_stream_open(w->c, &so, &w->st), 0);
}

static void set_spec(struct world *w, int node)
{
    char name[32];
    snprintf(name, sizeof name, "spec %d", node);
    assert_int_equal(tier_set_input(w->c, name, w->reads[node], sizeof w->reads[node]), 0);
}

static void new_spec(struct world *w, int node)
{
    unsigned char *r = w->reads[node];
    memset(r, 0, READS + 1);
    r[0] = (unsigned char)(1 + draw(w, READS));
    for (int i = 1; i <= r[0]; i++)
        r[i] = (unsigned char)(draw(w, 3) && node ? LEAVES + draw(w, (uint32_t)node) : draw(w, LEAVES));
}

static void change_leaf(struct world *w, int leaf)
{
    char name[32], path[160], text[32];
    snprintf(name, sizeof name, leaf % 3 ? "dir/leaf%d" : "leaf%d", leaf);
    int n = snprintf(text, sizeof text, "%d", ++w->stamp);
    if (leaf % 2) {
        assert_int_equal(tier_set_input(w->c, name, text, (size_t)n), 0);
        return;
    }
    assert_int_equal(tier_overlay(w->c, name, w->stamp, text, (size_t)n), 0);
    snprintf(path, sizeof path, "%s/%s", w->root, name);
    FILE *f = fopen(path, "w"); /* for processes that have no overlay */
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void get_node(struct world *w, int node)
{
    tier_session *s;
    tier_value v;
    assert_int_equal(tier_begin(w->c, NULL, &s), 0);
    int rc = tier_get(s, &(tier_query){w->type, NULL, &node, sizeof node}, &v);
    if (rc)
        print_message("node %d: %s\n", node, tier_detail(s));
    assert_int_equal(rc, 0);
    assert_int_equal(tier_end(&s), 0);
}

/* What a leaf, or all below "dir" (-1), or the spec of a node (-2 - node) reaches, by the reads of the last
 * builds. */
static void reached(const struct world *w, int struck, bool marked[NODES])
{
    for (int n = 0; n < NODES; n++) { /* nodes read earlier ones only */
        marked[n] = w->known[n] && struck == -2 - n;
        for (int i = 1; w->known[n] && i <= w->seen[n][0]; i++) {
            int at = w->seen[n][i];
            marked[n] |=
                at >= LEAVES ? marked[at - LEAVES] : at == struck || (struck == -1 && at % 3 && at % 2 == 0);
        }
    }
}

/* Takes the events that wait, and counts how many nodes were told. Their number is in no event: a request
 * without a path; so counts are compared, after each single event. */
static int told(struct world *w)
{
    tier_event e = TIER_INIT(tier_event);
    int n = 0;
    while (tier_stream_next(w->st, 0, &e) == 0) {
        assert_int_equal(e.kind, TIER_INVALIDATED);
        assert_non_null(e.type);
        n++;
    }
    return n;
}

static int expected(const struct world *w, int struck)
{
    bool marked[NODES];
    int n = 0;
    reached(w, struck, marked);
    for (int i = 0; i < NODES; i++)
        n += marked[i];
    return n;
}

static void make_world(struct world *w)
{
    const char *seed = getenv("TIER_SEED");
    memset(w, 0, sizeof *w);
    w->random = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
    print_message("TIER_SEED=%llu\n", (unsigned long long)w->random);
    snprintf(w->base, sizeof w->base, "/tmp/tierkit-cascade.XXXXXX");
    assert_non_null(mkdtemp(w->base));
    snprintf(w->root, sizeof w->root, "%s/root", w->base);
    snprintf(w->cache, sizeof w->cache, "%s/cache", w->base);
    assert_int_equal(mkdir(w->root, 0700), 0);
    char dir[160];
    snprintf(dir, sizeof dir, "%s/dir", w->root);
    assert_int_equal(mkdir(dir, 0700), 0);
    for (int i = 0; i < NODES; i++)
        new_spec(w, i);
}

static void fill_world(struct world *w)
{
    for (int i = 0; i < LEAVES; i++)
        change_leaf(w, i);
    for (int i = 0; i < NODES; i++)
        set_spec(w, i);
    for (int i = 0; i < NODES; i++)
        get_node(w, i);
    told(w);
}

static void close_world(struct world *w)
{
    char command[128];
    assert_int_equal(tier_stream_close(&w->st), 0);
    assert_int_equal(tier_close(&w->c), 0);
    snprintf(command, sizeof command, "rm -rf %s", w->base);
    assert_int_equal(system(command), 0);
}

static void an_event_reaches_what_read_it(void **state)
{
    struct world w;
    (void)state;
    make_world(&w);
    open_cache(&w, false);
    fill_world(&w);
    for (int leaf = 0; leaf < LEAVES; leaf++) { /* nothing is recomputed: as many, and not one more */
        change_leaf(&w, leaf);
        assert_int_equal(told(&w), expected(&w, leaf));
    }
    for (int round = 0; round < ROUNDS; round++) {
        int node = (int)draw(&w, NODES), leaf = (int)draw(&w, LEAVES);
        unsigned char old[READS + 1];
        memcpy(old, w.reads[node], sizeof old);
        new_spec(&w, node);
        set_spec(&w, node);
        int count = told(&w);
        if (memcmp(old, w.reads[node], sizeof old) != 0)
            assert_true(count >= expected(&w, -2 - node));
        for (uint32_t i = draw(&w, 4); i > 0; i--)
            get_node(&w, (int)draw(&w, NODES));
        change_leaf(&w, leaf);
        assert_true(told(&w) >= expected(&w, leaf)); /* older arcs may strike more, never less */
    }
    close_world(&w);
}

/* A fresh process has read one record, that of the last node: what lies below is to be found. */
static void what_is_on_disk_is_reached(void **state)
{
    struct world w;
    (void)state;
    make_world(&w);
    w.reads[0][0] = 0;
    for (int i = 1; i < NODES; i++) { /* all below the last one, and enough for a list of its leaves */
        int below = i < READS - 1 ? i : READS - 1;
        w.reads[i][0] = (unsigned char)(below + 1);
        for (int k = 1; k <= below; k++)
            w.reads[i][k] = (unsigned char)(LEAVES + i - k);
        w.reads[i][below + 1] = (unsigned char)(i % LEAVES & ~1); /* a file: inputs are this process's */
    }
    open_cache(&w, true);
    fill_world(&w);
    for (int round = 0; round < 6; round++) {
        int leaf = (int)draw(&w, LEAVES / 2) * 2;
        for (int i = 0; i < 2; i++) { /* the second time nothing but leaves is looked at */
            assert_int_equal(tier_stream_close(&w.st), 0);
            assert_int_equal(tier_close(&w.c), 0);
            nanosleep(&(struct timespec){0, 60000000}, NULL); /* so that all stamps are settled */
            open_cache(&w, true);
            for (int k = 0; k < NODES; k++)
                set_spec(&w, k);
            get_node(&w, NODES - 1);
        }
        if (round % 2) { /* and after an edit, when only what it reached was read */
            change_leaf(&w, (leaf + 4) % LEAVES);
            get_node(&w, NODES - 1);
        }
        told(&w);
        change_leaf(&w, leaf);
        assert_int_equal(told(&w), expected(&w, leaf));
    }
    close_world(&w);
}

static void a_directory_strikes_what_is_below(void **state)
{
    struct world w;
    (void)state;
    make_world(&w);
    open_cache(&w, false);
    fill_world(&w);
    assert_int_equal(tier_invalidate(w.c, TIER_BY_PATH, "dir"), 0);
    assert_true(told(&w) >= expected(&w, -1));
    close_world(&w);
}

/* Results of a type that is gone still lie between a leaf and who read it. */
static int build_top(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct world *w = user;
    int node = 0, rc;
    tier_value v;
    (void)q;
    rc = tier_get(s, &(tier_query){w->type, NULL, &node, sizeof node}, &v);
    return rc ? rc : tier_out_bytes(out, v.data, v.size);
}

static void a_type_that_went_is_opaque(void **state)
{
    struct world w;
    tier_type_def d = TIER_INIT(tier_type_def);
    const tier_type *top;
    tier_session *s;
    tier_value v;
    (void)state;
    make_world(&w);
    open_cache(&w, false);
    fill_world(&w);
    d.name = "top";
    d.tier = TIER_DELTA;
    d.user = &w;
    d.build = build_top;
    assert_int_equal(tier_define(w.c, &d, &top), 0);
    assert_int_equal(tier_begin(w.c, NULL, &s), 0);
    assert_int_equal(tier_get(s, &(tier_query){top, "x", NULL, 0}, &v), 0);
    assert_int_equal(tier_end(&s), 0);
    change_leaf(&w, 0);
    told(&w);
    assert_int_equal(tier_undefine(w.c, w.type), 0);
    w.type = top;
    change_leaf(&w, 1);
    assert_int_equal(told(&w), 1);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_reaches_what_read_it),
        cmocka_unit_test(what_is_on_disk_is_reached),
        cmocka_unit_test(a_directory_strikes_what_is_below),
        cmocka_unit_test(a_type_that_went_is_opaque),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
