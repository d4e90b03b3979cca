/* A root that is moved away while a cache is open on it, with and without another directory in its place: the
 * cache reads on what it opened, and says so once a change. */
#include "tests/unit/small_world.h"

static void move(const char *from, const char *to, bool another)
{
    char old[192], new[192];
    snprintf(old, sizeof old, "%s/%s", top, from);
    snprintf(new, sizeof new, "%s/%s", top, to);
    assert_int_equal(rename(old, new), 0);
    if (another)
        assert_int_equal(mkdir(old, 0700), 0);
}

static void put_in(const char *dir, const char *text)
{
    char path[192];
    snprintf(path, sizeof path, "%s/%s/f", top, dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int pause_us; /* four of them are longer than nobody looks */

static void reads(const char *text)
{
    for (int i = 0; i < 4; i++) {
        tier_session *s = begin(0);
        tier_value v;
        assert_int_equal(tier_file(s, "f", &v), 0);
        assert_string_equal(v.data, text);
        assert_int_equal(tier_end(&s), 0);
        usleep((useconds_t)pause_us);
    }
}

static int told(const char *what)
{
    int n = 0;
    for (const char *at = logged; (at = strstr(at, what)); at++)
        n++;
    return n;
}

static void a_root_is_replaced(void **state)
{
    char path[128];
    (void)state;
    pause_us = 12000;
    open_cache(0, NULL);
    put_in("src", "1");
    reads("1");
    assert_int_equal(told("goes on reading"), 0);
    move("src", "old", true);
    put_in("src", "another");
    reads("1");
    assert_int_equal(told("is another directory now"), 1);
    snprintf(path, sizeof path, "root %s/src ", top);
    assert_non_null(strstr(logged, path));
    assert_non_null(strstr(logged, "open it again"));
    put_in("old", "22");
    reads("22");
    assert_int_equal(told("goes on reading"), 1);
    move("src", "aside", true); /* another change */
    reads("22");
    assert_int_equal(told("is another directory now"), 2);
    assert_int_equal(rmdir((snprintf(path, sizeof path, "%s/src", top), path)), 0);
    reads("22");
    assert_int_equal(told("is not there any more"), 1);
    move("old", "src", false); /* it is back */
    put_in("src", "333");
    reads("333");
    assert_int_equal(told("goes on reading"), 3);
    move("src", "old", true); /* and away as before */
    reads("333");
    assert_int_equal(told("goes on reading"), 4);
}

/* By a watcher the answers are right, too: of a root that moves, and of one that moves with what is above. */
static void a_watched_root_is_replaced(void **state)
{
    (void)state;
    pause_us = 260000;
    put_in("src", "1");
    open_cache(0, "watch=on");
    reads("1");
    move("src", "old", true);
    put_in("src", "another");
    put_in("old", "22");
    reads("22");
    assert_int_equal(told("is another directory now"), 1);
    put_in("old", "333");
    reads("333");
    assert_int_equal(told("goes on reading"), 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_root_is_replaced, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_watched_root_is_replaced, world_setup, world_teardown),
    };
    return cmocka_run_group_tests_name("roots", tests, NULL, NULL);
}
