/* concurrent */
/* A map that one thread moves while others ask what the database says of itself, read and commit. */
#include "tests/unit/store_util.h"
#include <pthread.h>
#include <stdatomic.h>
#include "tiers/store_parts.h"

enum { MOVES = 3000 };
struct shared {
    tier__store *st;
    struct place *p;
    atomic_bool stop;
    atomic_uint commits, wrong;
};

static void *ask(void *user)
{
    struct shared *s = user;
    while (!atomic_load(&s->stop)) {
        uint64_t news = tier__store_glance(s->st);
        atomic_fetch_add(&s->wrong, !news || news == TIER__NEWS_LOST || !tier__store_bytes(s->st));
    }
    return NULL;
}

static bool commit_one(tier__store *st, uint64_t value)
{
    tier__write *w = NULL;
    return tier__write_begin(st, &w) == TIER_OK &&
           tier__write_put(w, TIER__META, "key", 3, &value, sizeof value, 0) == TIER_OK &&
           tier__write_commit(&w) == TIER_OK;
}

static void *commit(void *user)
{
    struct shared *s = user;
    for (uint64_t i = 0; !atomic_load(&s->stop); i++)
        atomic_fetch_add(&s->commits, commit_one(s->st, i)); /* it may give up: the map moves all the time */
    return NULL;
}

static void the_map_moves_under_nobody(void **state)
{
    struct place *p = *state;
    struct shared s = {.st = util_open(p, TIER__SYNC_NONE), .p = p};
    pthread_t asks, commits;
    unsigned moved = 0;
    assert_non_null(s.st);
    assert_true(commit_one(s.st, 0));
    assert_int_equal(pthread_create(&asks, NULL, ask, &s), 0);
    assert_int_equal(pthread_create(&commits, NULL, commit, &s), 0);
    for (int i = 0; i < MOVES || (!atomic_load(&s.commits) && i < 100 * MOVES); i++)
        moved += tier__env_remap(&p->base, s.st->env, (uint64_t)(4 + i % 2) << 20, 1000) == TIER_OK;
    atomic_store(&s.stop, true);
    pthread_join(asks, NULL);
    pthread_join(commits, NULL);
    assert_true(moved > 0 && atomic_load(&s.commits) > 0);
    assert_int_equal(atomic_load(&s.wrong), 0);
    assert_int_equal(atomic_load(&s.st->env->trouble), TIER__TROUBLE_NONE);
    tier__store_close(&s.st);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_map_moves_under_nobody, util_setup, util_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
