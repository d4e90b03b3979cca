/* concurrent */
/* test_ids.c - arrays by id: who was told of an element finds it without a lock, while the array grows. */
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include "coherence/ids.h"

enum { ELEMENTS = 300 * TIER__CHUNK, READERS = 2 };

static struct tier__base base;
static struct tier__chunks numbers = {.element = sizeof(size_t)};
static atomic_size_t told; /* elements below that are there */

/* The newest, and one from anywhere: in pieces that were there before the array grew, too. And asks for one
 * that nobody has told of: a race that ThreadSanitizer sees, where there is one. */
static void *read_them(void *user)
{
    atomic_size_t *wrong = user;
    for (size_t n = 0, turn = 0; n < ELEMENTS; turn++) {
        if (!(n = atomic_load(&told)))
            continue;
        size_t some = turn * 7919 % n;
        const size_t *newest = tier__chunks_at(&numbers, n - 1), *any = tier__chunks_at(&numbers, some);
        if (!tier__chunks_at(&numbers, n + turn % 1000))
            sched_yield();
        if (!newest || *newest != n - 1 || !any || *any != some)
            atomic_fetch_add(wrong, 1);
    }
    return NULL;
}

static void readers_need_no_lock(void **state)
{
    pthread_t reader[READERS];
    atomic_size_t wrong = 0;
    (void)state;
    tier__base_init(&base, NULL);
    assert_null(tier__chunks_at(&numbers, 0));
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&reader[i], NULL, read_them, &wrong), 0);
    for (size_t i = 0; i < ELEMENTS; i++) {
        size_t *n = tier__chunks_make(&base, &numbers, i);
        assert_non_null(n);
        assert_int_equal(*n, 0);
        *n = i;
        atomic_store(&told, i + 1);
    }
    for (int i = 0; i < READERS; i++)
        pthread_join(reader[i], NULL);
    assert_int_equal(wrong, 0);
    tier__chunks_fini(&base, &numbers);
    assert_null(tier__chunks_at(&numbers, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(readers_need_no_lock)};
    return cmocka_run_group_tests_name("ids", tests, NULL, NULL);
}
