/* test_expiry.c - expiry below a result that is verified by its leaves, or by a snapshot of what is below it.
 */
#include <time.h>
#include "tests/unit/small_world.h"
#include "coherence/manager.h"

enum { FILES = 80, LIVES_MS = 3600000 }; /* more files than TIER__CLOSURE_MIN */

static const tier_type *clock_type, *reads_it;
static int ticks, tops;
static const char *word;
static int64_t ahead_ms; /* of views' clocks */

static int build_tick(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    (void)q;
    (void)user;
    ticks++;
    int rc = tier_expires(s, LIVES_MS);
    return rc ? rc : tier_out_bytes(out, word, strlen(word));
}

/* All files, and the word. */
static int build_top(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_query tick = {.type = clock_type, .args = "", .args_size = 0};
    tier_value v;
    char name[16];
    int rc = 0;
    (void)q;
    (void)user;
    tops++;
    for (int i = 0; i < FILES && !rc; i++) {
        snprintf(name, sizeof name, "f%d", i);
        rc = tier_file(s, name, &v);
    }
    if (!rc)
        rc = tier_get(s, &tick, &v);
    return rc ? rc : tier_out_bytes(out, v.data, v.size);
}

static void ask(const char *want)
{
    tier_query q = {.type = reads_it, .args = "", .args_size = 0};
    tier_value v;
    tier_session *s = begin(0);
    s->view->clock_ms += ahead_ms;
    assert_int_equal(tier_get(s, &q, &v), 0);
    assert_string_equal(v.data, want);
    assert_int_equal(tier_end(&s), 0);
}

static void open_all(void)
{
    open_cache(0, NULL);
    clock_type = define("clock", 0, build_tick, NULL);
    reads_it = define("top", 0, build_top, NULL);
}

static void leaves_do_not_hide_an_expiry(void **state)
{
    char name[16];
    (void)state;
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "f%d", i);
        put(name, "text");
    }
    nanosleep(&(struct timespec){0, 60000000}, NULL); /* the stamps settle */
    ahead_ms = 0;
    open_all();
    word = "one";
    ask("one");
    ask("one");
    assert_int_equal(counted("closure.hit"), 1);
    assert_int_equal(tier_close(&cache), 0);
    open_all();
    word = "two";
    ahead_ms += LIVES_MS;
    ask("two"); /* no file changed, and the list of leaves is of a variant that expired below */
    assert_int_equal(counted("closure.hit"), 0);
    assert_int_equal(ticks, 2);
    assert_int_equal(tops, 2);
    put("f7", "other text"); /* a snapshot now, within the life of the word */
    ask("two");
    ahead_ms += LIVES_MS;
    put("f7", "text of some other size");
    word = "three";
    ask("three");
    ahead_ms += LIVES_MS;
    ask("three"); /* asked again, the same: cut off */
    assert_int_equal(ticks, 4);
    assert_int_equal(tops, 4);
    assert_int_equal(counted("alarm.undeclared"), 0); /* to differ then is what an expiry is for */
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(leaves_do_not_hide_an_expiry, world_setup, world_teardown),
    };
    return cmocka_run_group_tests_name("expiry", tests, NULL, NULL);
}
