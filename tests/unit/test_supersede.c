/* test_supersede.c - older versions leave the memory, and going back to them computes nothing. */
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "include/tierkit.h"

struct world {
    char base[64], root[80], cache[80];
    tier_cache *c;
    const tier_type *type;
    int builds;
};

/* The content twice, so that it is too large to live in its variant. */
static int twice(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct world *w = user;
    tier_value v;
    int rc = tier_file(s, q->path, &v);
    if (rc)
        return rc;
    w->builds++;
    tier_out_bytes(out, v.data, v.size);
    return tier_out_bytes(out, v.data, v.size);
}

static void write_file(const struct world *w, char letter)
{
    char path[160], text[2000];
    snprintf(path, sizeof path, "%s/file", w->root);
    memset(text, letter, sizeof text);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, sizeof text, f), sizeof text);
    fclose(f);
}

static void begin(struct world *w, bool store)
{
    tier_options o = TIER_INIT(tier_options);
    tier_type_def def = TIER_INIT(tier_type_def);
    static const char *const settings[] = {"store.persist=on", "verify.sample=0"};
    memset(w, 0, sizeof *w);
    strcpy(w->base, "/tmp/tier-supersede-XXXXXX");
    assert_non_null(mkdtemp(w->base));
    snprintf(w->root, sizeof w->root, "%s/root", w->base);
    snprintf(w->cache, sizeof w->cache, "%s/cache", w->base);
    assert_int_equal(mkdir(w->root, 0700), 0);
    tier_root root = {"", w->root};
    o.app = "test";
    o.dir = store ? w->cache : "";
    o.roots = &root;
    o.root_count = 1;
    o.settings = settings;
    o.setting_count = 2;
    assert_int_equal(tier_open(&o, &w->c), 0);
    def.name = "twice";
    def.tier = TIER_TREE;
    def.build = twice;
    def.user = w;
    assert_int_equal(tier_define(w->c, &def, &w->type), 0);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static void end(struct world *w)
{
    assert_int_equal(tier_close(&w->c), 0);
    assert_int_equal(nftw(w->base, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static uint32_t get(tier_session *s, const struct world *w, char letter)
{
    tier_query q = {w->type, "file", NULL, 0};
    tier_value v;
    assert_int_equal(tier_get(s, &q, &v), 0);
    assert_int_equal(v.size, 4000);
    assert_int_equal(((const char *)v.data)[0], letter);
    return v.from;
}

/* In a session of its own. */
static uint32_t ask(const struct world *w, char letter)
{
    tier_session *s;
    assert_int_equal(tier_begin(w->c, NULL, &s), 0);
    uint32_t from = get(s, w, letter);
    assert_int_equal(tier_end(&s), 0);
    return from;
}

struct wanted {
    const char *name;
    double value;
};

static void on_stat(void *user, const char *name, double value)
{
    struct wanted *want = user;
    if (strcmp(name, want->name) == 0)
        want->value = value;
}

static int stat_of(const struct world *w, const char *name)
{
    struct wanted want = {name, -1};
    assert_int_equal(tier_stats(w->c, on_stat, &want), 0);
    return (int)want.value;
}

static void with_a_store_they_leave(void **state)
{
    struct world w;
    (void)state;
    begin(&w, true);
    write_file(&w, 'a');
    assert_int_equal(ask(&w, 'a'), TIER_BUILT);
    write_file(&w, 'b');
    assert_int_equal(ask(&w, 'b'), TIER_BUILT);
    assert_int_equal(stat_of(&w, "memory.tree.entries"), 1);
    assert_int_equal(stat_of(&w, "memory.superseded"), 2); /* the content, too */
    write_file(&w, 'a');
    assert_int_equal(ask(&w, 'a'), TIER_LOADED);
    assert_int_equal(stat_of(&w, "memory.tree.entries"), 1);
    assert_int_equal(ask(&w, 'a'), TIER_VERIFIED);
    assert_int_equal(w.builds, 2);
    end(&w);
}

static void without_one_they_stay_in_front(void **state)
{
    struct world w;
    (void)state;
    begin(&w, false);
    write_file(&w, 'a');
    ask(&w, 'a');
    write_file(&w, 'b');
    ask(&w, 'b');
    assert_int_equal(stat_of(&w, "memory.tree.entries"), 2);
    for (int i = 0; i < 4; i++) {
        write_file(&w, i % 2 ? 'b' : 'a');
        assert_int_equal(ask(&w, i % 2 ? 'b' : 'a'), TIER_VERIFIED);
    }
    assert_int_equal(w.builds, 2);
    assert_int_equal(stat_of(&w, "memory.tree.entries"), 2);
    end(&w);
}

/* An older view asks on for the value that it is bound to. */
static void not_while_an_older_session_lives(void **state)
{
    struct world w;
    tier_session *older, *newer;
    (void)state;
    begin(&w, true);
    write_file(&w, 'a');
    assert_int_equal(tier_begin(w.c, NULL, &older), 0);
    assert_int_equal(get(older, &w, 'a'), TIER_BUILT);
    write_file(&w, 'b');
    assert_int_equal(tier_begin(w.c, NULL, &newer), 0);
    assert_int_equal(get(newer, &w, 'b'), TIER_BUILT);
    assert_int_equal(tier_end(&newer), 0);
    assert_int_equal(stat_of(&w, "memory.tree.entries"), 2);
    assert_int_equal(get(older, &w, 'a'), TIER_HIT);
    assert_int_equal(stat_of(&w, "memory.superseded"), 0);
    assert_int_equal(tier_end(&older), 0);
    assert_int_equal(stat_of(&w, "memory.tree.entries"), 1);
    assert_int_equal(w.builds, 2);
    end(&w);
}

/* What is lent stays whole, and its bytes are given back with the loan. */
static void not_from_under_a_loan(void **state)
{
    struct world w;
    tier_session *s;
    tier_value v;
    (void)state;
    begin(&w, true);
    tier_query q = {w.type, "file", NULL, 0};
    write_file(&w, 'a');
    assert_int_equal(tier_begin(w.c, NULL, &s), 0);
    assert_int_equal(tier_get(s, &q, &v), 0);
    assert_int_equal(tier_detach(s, &v), 0);
    assert_int_equal(tier_end(&s), 0);
    write_file(&w, 'b');
    ask(&w, 'b');
    assert_int_equal(stat_of(&w, "memory.tree.entries"), 1);
    assert_int_equal(tier_flush(w.c), 0); /* what waits for it is held, too */
    int bytes = stat_of(&w, "memory.tree.bytes");
    for (size_t i = 0; i < v.size; i++)
        assert_int_equal(((const char *)v.data)[i], 'a');
    tier_release(NULL, &v);
    assert_in_range(stat_of(&w, "memory.tree.bytes"), bytes / 4, bytes * 3 / 4);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_a_store_they_leave),
        cmocka_unit_test(without_one_they_stay_in_front),
        cmocka_unit_test(not_while_an_older_session_lives),
        cmocka_unit_test(not_from_under_a_loan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
