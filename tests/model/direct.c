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
    const char *header = strstr(name, ".h") ? "" : "#include x.h\n#include y.h\n#include z.h\n#include w.h\n";
    assert_true(fprintf(f, "n %u\n%s", number, header) > 0);
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

struct walker {
    struct model *m;
    tier_session *s;
    bool down;
    int rc;
};

static void *walk_files(void *user)
{
    struct walker *w = user;
    for (int i = 0; i < FILES && !w->rc; i++) {
        tier_value v;
        tier_query q = {w->m->lib.type[T_VALUE].type, file_name[w->down ? FILES - 1 - i : i], NULL, 0};
        w->rc = tier_get(w->s, &q, &v);
    }
    return NULL;
}

/* Two threads meet in the middle of one chain, again and again: a wait that is over is no half of a cycle. */
void threads_find_no_cycle_where_none_is(void **state)
{
    struct model *m = world_make();
    (void)state;
    for (unsigned round = 0; round < 150; round++) {
        for (unsigned i = 0; i < FILES; i++)
            text_put(m, file_name[i], round);
        tier_session *top, *child;
        pthread_t other;
        assert_int_equal(tier_begin(m->lib.c, NULL, &top), 0);
        assert_int_equal(tier_fork(top, &child), 0);
        struct walker up = {m, top, false, 0}, down = {m, child, true, 0};
        assert_int_equal(pthread_create(&other, NULL, walk_files, &down), 0);
        walk_files(&up);
        assert_int_equal(pthread_join(other, NULL), 0);
        assert_int_equal(up.rc, 0);
        assert_int_equal(down.rc, 0);
        assert_int_equal(tier_end(&child), 0);
        assert_int_equal(tier_end(&top), 0);
    }
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
