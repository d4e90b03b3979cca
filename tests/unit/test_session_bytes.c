/* test_session_bytes.c - what one session asked for, each thing once, and that it is told where that is more
 * than the budget. */
#include "tests/unit/small_world.h"

enum { FILES = 10, SIZE = 3000 };

static int whole(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    (void)user;
    int rc = tier_file(s, q->path, &v);
    return rc ? rc : tier_out_bytes(out, v.data, v.size);
}

static void ask_for_all(const tier_type *type, int times)
{
    tier_session *s = begin(0);
    for (int i = 0; i < FILES * times; i++) {
        char path[16];
        tier_value v;
        tier_query q = {type, path, NULL, 0};
        snprintf(path, sizeof path, "f%d", i % FILES);
        assert_int_equal(tier_get(s, &q, &v), 0);
        assert_int_equal(tier_file(s, path, &v), 0);
    }
    assert_int_equal(tier_end(&s), 0);
}

static void write_files(void)
{
    char path[16], text[SIZE + 1];
    for (int i = 0; i < FILES; i++) {
        snprintf(path, sizeof path, "f%d", i);
        memset(text, 'a' + i, SIZE);
        text[SIZE] = 0;
        put(path, text);
    }
}

static void more_than_the_budget_is_told(void **state)
{
    (void)state;
    write_files();
    open_cache(0, "memory.delta=12KiB");
    const tier_type *type = define("whole", 0, whole, NULL);
    ask_for_all(type, 1);
    long once = counted("memory.delta.session_bytes");
    assert_in_range(once, FILES * SIZE, FILES * (SIZE + 400));
    assert_in_range(counted("memory.file.session_bytes"), FILES * SIZE, FILES * (SIZE + 400));
    assert_in_range(counted("memory.delta.bytes"), 1, 12 * 1024);
    assert_non_null(strstr(logged, "of the delta tier, more than its budget of 12 KiB"));
    assert_null(strstr(logged, "of the file tier"));
    logged[0] = 0;
    assert_int_equal(tier_flush(cache), 0); /* what waits for it is not evicted */
    ask_for_all(type, 3);
    assert_int_equal(counted("memory.delta.session_bytes"), once);
    assert_null(strstr(logged, "more than its budget"));
    assert_true(counted("memory.delta.more_200") > 0); /* and how much more would help */
    assert_true(counted("memory.delta.more_200") >= counted("memory.delta.more_100"));
}

static void what_fits_is_not(void **state)
{
    (void)state;
    write_files();
    open_cache(0, NULL);
    ask_for_all(define("whole", 0, whole, NULL), 2);
    assert_true(counted("memory.delta.session_bytes") >= FILES * SIZE);
    assert_null(strstr(logged, "more than its budget"));
    assert_int_equal(counted("memory.delta.more_200"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(more_than_the_budget_is_told, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(what_fits_is_not, world_setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
