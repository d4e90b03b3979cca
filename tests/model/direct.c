/* direct.c - what random programs come by too rarely, or cannot see: which of many variants stays, and inputs
 * that change while a session looks at them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tests/model/model.h"

/* A world with memory on disk and room for everything. */
static struct model *world_make(void)
{
    struct model *m = calloc(1, sizeof *m);
    assert_non_null(m);
    for (uint64_t seed = 1;; seed++) {
        assert_true(world_open(m, seed));
        if (m->disk && !m->small && !m->null_cache)
            return m;
        world_close(m);
    }
}

static void world_end(struct model *m)
{
    assert_string_equal(m->failure, "");
    world_close(m);
    free(m);
}

static void text_put(const struct model *m, const char *name, unsigned number)
{
    char path[700];
    snprintf(path, sizeof path, "%s/%s", m->root, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fprintf(f, "n %u\n", number) > 0);
    assert_int_equal(fclose(f), 0);
}

/* Asks the library for an outline in a session of its own; how it was served. */
static uint32_t served(struct model *m, const char *name)
{
    tier_session *s;
    tier_value v;
    tier_query q = {m->lib.type[T_OUTLINE].type, name, NULL, 0};
    assert_int_equal(tier_begin(m->lib.c, NULL, &s), 0);
    assert_int_equal(tier_get(s, &q, &v), 0);
    uint32_t from = v.from;
    assert_int_equal(tier_end(&s), 0);
    return from;
}

void the_newest_eight_stay(void **state)
{
    struct model *m = world_make();
    (void)state;
    for (unsigned i = 1; i <= REMEMBERED; i++) {
        text_put(m, "src/a.t", i);
        assert_int_equal(served(m, "src/a.t"), TIER_BUILT);
    }
    text_put(m, "src/a.t", 1); /* the oldest; it is the newest from here on */
    assert_int_not_equal(served(m, "src/a.t"), TIER_BUILT);
    text_put(m, "src/a.t", REMEMBERED + 1); /* the second falls out */
    assert_int_equal(served(m, "src/a.t"), TIER_BUILT);
    for (unsigned i = REMEMBERED + 1; i; i--) {
        text_put(m, "src/a.t", i);
        if (i != 2)
            assert_int_not_equal(served(m, "src/a.t"), TIER_BUILT);
    }
    text_put(m, "src/a.t", 2);
    assert_int_equal(served(m, "src/a.t"), TIER_BUILT);
    world_end(m);
}

/* A digest is known by stat identity, the bytes were never read here, and are other ones by now. */
void bytes_that_are_gone_are_said_to_be(void **state)
{
    struct model *m = world_make();
    tier_session *s;
    tier_value v;
    (void)state;
    text_put(m, "src/a.t", 1);
    seam_pass(INT64_C(3600) * 1000 * 1000 * 1000);
    assert_int_equal(served(m, "src/a.t"), TIER_BUILT);
    assert_int_equal(cache_close(m), 0);
    assert_int_equal(cache_open(m), 0);
    tier_query q = {m->lib.type[T_OUTLINE].type, "src/a.t", NULL, 0};
    assert_int_equal(tier_begin(m->lib.c, NULL, &s), 0);
    assert_int_equal(tier_get(s, &q, &v), 0);
    assert_int_equal(v.from, TIER_LOADED);
    text_put(m, "src/a.t", 2);
    assert_int_equal(tier_file(s, "src/a.t", &v), TIER_ECHANGED);
    assert_int_equal(tier_end(&s), TIER_ECHANGED);
    world_end(m);
}

/* The first look holds: a closure that was made before it is no way around it (I9). */
void a_closure_is_no_second_look(void **state)
{
    struct model *m = world_make();
    tier_session *s;
    tier_value v;
    char kind;
    (void)state;
    tier_query q = {m->lib.type[T_WHOLE].type, NULL, NULL, 0};
    for (int i = 0; i < 2; i++) { /* the second time the leaves are settled */
        seam_pass(INT64_C(3600) * 1000 * 1000 * 1000);
        assert_int_equal(tier_begin(m->lib.c, NULL, &s), 0);
        assert_int_equal(tier_get(s, &q, &v), 0);
        assert_int_equal(tier_end(&s), 0);
    }
    char path[700], aside[700];
    snprintf(path, sizeof path, "%s/src/a.t", m->root);
    snprintf(aside, sizeof aside, "%s/aside", m->base);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(tier_begin(m->lib.c, NULL, &s), 0);
    assert_int_equal(tier_stat(s, "src/a.t", &kind), TIER_EABSENT);
    text_put(m, "src/a.t", 7);
    int rc = tier_get(s, &q, &v); /* either it is absent in the answer, or it is said that it came */
    if (rc == 0) {
        tier_query reach = {m->lib.type[T_REACH].type, "src/a.t", NULL, 0};
        tier_value again;
        assert_int_equal(tier_get(s, &reach, &again), TIER_EABSENT);
    } else {
        assert_int_equal(rc, TIER_ECHANGED);
    }
    rc = tier_end(&s);
    assert_true(rc == 0 || rc == TIER_ECHANGED);
    world_end(m);
}
