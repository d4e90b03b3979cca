/* sources: tests/unit/check_util.c */
/* test_meaning.c - records that are sound, and not what their readers take them for: an id that names another
 * dependency than when it was written down, a value under another one's key. Each is a miss, and the answers
 * are right. */
#include "tests/unit/check_util.h"

static const char *wanted;

static bool content_of_wanted(const void *key, size_t key_size, const void *data, size_t size)
{
    struct tier__name_record n;
    (void)key;
    (void)key_size;
    return tier__get_name(data, size, &n) && n.kind == TIER__K_CONTENT && strcmp(n.path, wanted) == 0;
}

static bool value_of_wanted(const void *key, size_t key_size, const void *data, size_t size)
{
    (void)key;
    (void)key_size;
    return size >= strlen(wanted) && memcmp(data, wanted, strlen(wanted)) == 0;
}

/* The record of one comes to stand under the key of the other. */
static void put_under(struct bench *b, enum tier__table t, const char *one, const char *other,
                      bool (*match)(const void *, size_t, const void *, size_t))
{
    struct tier__buf from_key, from, to_key, to;
    wanted = one;
    assert_true(bench_find(b, t, match, &from_key, &from));
    wanted = other;
    assert_true(bench_find(b, t, match, &to_key, &to));
    bench_put(b, t, to_key.data, to_key.size, from.data, from.size);
    tier__buf_fini(&from_key);
    tier__buf_fini(&from);
    tier__buf_fini(&to_key);
    tier__buf_fini(&to);
}

/* The words of a.txt were read from what is c.txt by now, which is as it was: a.txt is not. */
static void an_id_names_another(void **state)
{
    struct bench *b = *state;
    put_under(b, TIER__NAME, "c.txt", "a.txt", content_of_wanted);
    bench_write(b, "a.txt", "other ");
    assert_true(bench_run(b) > 0);
    assert_int_equal(bench_run(b), 0);
}

static void a_value_is_another_ones(void **state)
{
    struct bench *b = *state;
    put_under(b, TIER__BLOB, "gamma ", "alpha ", value_of_wanted);
    assert_int_equal(bench_run(b), 1);
    assert_int_equal(bench_run(b), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_open, bench_close)
    static const struct CMUnitTest tests[] = {
        TEST(an_id_names_another),
        TEST(a_value_is_another_ones),
    };
    return cmocka_run_group_tests_name("meaning", tests, NULL, NULL);
}
