/* Builds that wait for themselves by ways that no session sees as a whole: through sessions that they begin,
 * on this thread and on those of their forks, and through forks that were there before. Each is a cycle and
 * is told as one; who waits for somebody else's work meanwhile gets it. */
/* concurrent */
#include "tests/unit/small_world.h"
#include <pthread.h>
#include "coherence/manager.h"

enum { WAYS = 128, DEADLINE_MS = 20000 };

/* What the request of one letter asks for, and how. */
enum how { OWN = 1, BEGUN, EARLIER, FORK_ASKS };
static struct plan {
    enum how how;
    char asks;
    bool meets; /* it waits until another of these has begun, too */
} plan[WAYS];
static const tier_type *type;
static tier_session *earlier;
static bool objects; /* that cannot be saved: all that the disk has of a result is its hash */
static atomic_int built[WAYS], cycles, met, other_rc;
static char detail[512];

static int ask_in(tier_session *s, char letter)
{
    const char path[2] = {letter, 0};
    tier_query q = {.type = type, .path = path};
    tier_value v;
    int rc = tier_get(s, &q, &v);
    if (rc == TIER_ECYCLE && atomic_fetch_add(&cycles, 1) == 0)
        snprintf(detail, sizeof detail, "%s", tier_detail(s));
    return rc;
}

static int ask_begun(char letter)
{
    tier_session_options o = TIER_INIT(tier_session_options);
    tier_session *s;
    o.deadline_ms = DEADLINE_MS;
    int rc = tier_begin(cache, &o, &s);
    if (!rc) {
        rc = ask_in(s, letter);
        tier_end(&s);
    }
    return rc;
}

struct asked {
    tier_session *s;
    char letter;
    int rc;
};

static void *ask_thread(void *user)
{
    struct asked *a = user;
    a->rc = a->s ? ask_in(a->s, a->letter) : ask_begun(a->letter);
    return NULL;
}

static int ask_fork(tier_session *s, char letter)
{
    struct asked a = {.letter = letter};
    pthread_t thread;
    assert_int_equal(tier_fork(s, &a.s), 0);
    assert_int_equal(pthread_create(&thread, NULL, ask_thread, &a), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(tier_end(&a.s), 0);
    return a.rc;
}

/* "ok", or what it was told. Errors of its own session stick anyway. */
static int build_letter(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    const struct plan *p = &plan[(int)*q->path];
    int rc = 0;
    (void)user;
    atomic_fetch_add(&built[(int)*q->path], 1);
    if (p->meets && atomic_fetch_add(&met, 1) < 2)
        while (atomic_load(&met) < 2)
            usleep(1000);
    if (p->how == OWN)
        rc = ask_in(s, p->asks);
    else if (p->how == BEGUN)
        rc = ask_begun(p->asks);
    else if (p->how == EARLIER)
        rc = ask_in(earlier, p->asks);
    else if (p->how == FORK_ASKS)
        rc = ask_fork(s, p->asks);
    static char thing;
    const char *text = rc ? tier_errname(rc) : "ok";
    if (objects)
        tier_out_object(out, &thing, 1);
    return tier_out_bytes(out, text, strlen(text));
}

static int setup(void **state)
{
    memset(plan, 0, sizeof plan);
    memset(built, 0, sizeof built);
    cycles = met = other_rc = 0;
    objects = false;
    detail[0] = 0;
    return world_setup(state);
}

static void open_with(uint32_t flags)
{
    open_cache(flags, NULL);
    type = define("letter", 0, build_letter, NULL);
}

static void expect_cycle(const char *name, int most)
{
    assert_true(cycles >= 1 && cycles <= most);
    assert_non_null(strstr(detail, name));
}

static void a_session_of_its_own(void **state)
{
    (void)state;
    for (uint32_t flags = 0; flags <= TIER_NO_MEMORY; flags += TIER_NO_MEMORY) {
        cycles = 0;
        open_with(flags);
        plan['a'] = (struct plan){BEGUN, 'a', false};
        assert_int_equal(ask_begun('a'), 0);
        expect_cycle("letter(a) -> letter(a)", 1);
        assert_int_equal(tier_close(&cache), 0);
    }
    assert_int_equal(built['a'], 2);
}

/* a asks for b in a session that it begins; b asks for a there, or in one more. */
static void through_another_request(void **state)
{
    (void)state;
    for (enum how how = OWN; how <= BEGUN; how++) {
        memset(built, 0, sizeof built);
        cycles = 0;
        open_with(TIER_NO_MEMORY);
        plan['a'] = (struct plan){BEGUN, 'b', false};
        plan['b'] = (struct plan){how, 'a', false};
        assert_int_equal(ask_begun('a'), 0);
        expect_cycle("letter(a) -> letter(b) -> letter(a)", 2);
        assert_int_equal(built['a'], 1);
        assert_int_equal(built['b'], 1);
        assert_int_equal(tier_close(&cache), 0);
    }
}

/* A fork from before is another session of the same view: it is asked on this thread for what this thread
 * builds. */
static void through_an_earlier_fork(void **state)
{
    (void)state;
    open_with(0);
    plan['a'] = (struct plan){EARLIER, 'a', false};
    tier_session *s = begin(0);
    assert_int_equal(tier_fork(s, &earlier), 0);
    assert_int_equal(ask_in(s, 'a'), 0);
    expect_cycle("letter(a)", 1);
    assert_int_equal(tier_end(&earlier), 0);
    assert_int_equal(tier_end(&s), 0);
}

/* a's fork builds b on another thread; b begins a session and asks for a there. */
static void through_a_fork_on_another_thread(void **state)
{
    (void)state;
    open_with(0);
    plan['a'] = (struct plan){FORK_ASKS, 'b', false};
    plan['b'] = (struct plan){BEGUN, 'a', false};
    assert_int_equal(ask_begun('a'), 0);
    expect_cycle("letter(a)", 2);
    assert_int_equal(built['a'], 1);
}

/* The same with two threads that begin at both ends: each waits for the other's build, of another view. */
static void over_two_threads(void **state)
{
    struct asked b = {.letter = 'b'};
    pthread_t thread;
    (void)state;
    for (enum how how = BEGUN; how <= FORK_ASKS; how += FORK_ASKS - BEGUN) {
        cycles = met = 0;
        memset(built, 0, sizeof built);
        open_with(TIER_NO_MEMORY);
        plan['a'] = (struct plan){how, how == BEGUN ? 'b' : 'c', true};
        plan['c'] = (struct plan){BEGUN, 'b', false};
        plan['b'] = (struct plan){BEGUN, 'a', true};
        assert_int_equal(pthread_create(&thread, NULL, ask_thread, &b), 0);
        assert_int_equal(ask_begun('a'), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(b.rc, 0);
        assert_true(cycles >= 1);
        assert_true(built['a'] <= 2 && built['b'] <= 2);
        assert_int_equal(tier_close(&cache), 0);
    }
}

/* The second run knows that a holds, and builds it for its value alone. */
static void a_value_that_was_not_kept(void **state)
{
    (void)state;
    plan['a'] = (struct plan){BEGUN, 'a', false};
    objects = true;
    for (int run = 1; run <= 2; run++) {
        cycles = 0;
        open_with(0);
        assert_int_equal(ask_begun('a'), 0);
        expect_cycle("letter(a) -> letter(a)", 1);
        assert_int_equal(built['a'], run);
        assert_int_equal(tier_close(&cache), 0);
    }
}

/* Another thread waits for the build, and for what the build asks for, meanwhile. */
static int build_slowly(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    (void)s;
    atomic_fetch_add(&built[(int)*q->path], 1);
    atomic_fetch_add(&met, 1);
    usleep(60000);
    if (*q->path == 'a')
        atomic_store(&other_rc, ask_begun('b'));
    (void)user;
    return tier_out_bytes(out, "slow", 4);
}

static void others_wait_as_ever(void **state)
{
    struct asked ask[4] = {{.letter = 'a'}, {.letter = 'a'}, {.letter = 'b'}, {.letter = 'a'}};
    pthread_t thread[4];
    (void)state;
    open_cache(0, NULL);
    type = define("slow", 0, build_slowly, NULL);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, ask_thread, &ask[i]), 0);
        while (!i && !atomic_load(&met))
            usleep(1000);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        assert_int_equal(ask[i].rc, 0);
    }
    assert_int_equal(other_rc, 0);
    assert_int_equal(cycles, 0);
    assert_int_equal(built['a'], 1);
    assert_int_equal(built['b'], 1);
}

/* a asks for b where the input is 1, b for a where it is 2: a circle of two views, and none in either. */
static int build_turn(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    int rc = tier_input(s, "turn", &v);
    (void)user;
    bool asks = !rc && *(const char *)v.data == (*q->path == 'a' ? '1' : '2');
    if (asks && atomic_fetch_add(&met, 1) < 2)
        while (atomic_load(&met) < 2)
            usleep(1000);
    if (asks)
        rc = ask_in(s, *q->path == 'a' ? 'b' : 'a');
    return rc ? rc : tier_out_bytes(out, "turn", 4);
}

static void two_views_make_no_cycle(void **state)
{
    struct asked a = {.letter = 'a'};
    pthread_t thread;
    (void)state;
    open_cache(0, NULL);
    type = define("turn", 0, build_turn, NULL);
    assert_int_equal(tier_set_input(cache, "turn", "1", 1), 0);
    a.s = begin(0);
    assert_int_equal(tier_set_input(cache, "turn", "2", 1), 0);
    assert_int_equal(pthread_create(&thread, NULL, ask_thread, &a), 0);
    assert_int_equal(ask_begun('b'), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(a.rc, 0);
    assert_int_equal(tier_end(&a.s), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
    static const struct CMUnitTest tests[] = {
        TEST(a_session_of_its_own),    TEST(through_another_request),
        TEST(through_an_earlier_fork), TEST(through_a_fork_on_another_thread),
        TEST(over_two_threads),        TEST(a_value_that_was_not_kept),
        TEST(others_wait_as_ever),     TEST(two_views_make_no_cycle),
    };
    return cmocka_run_group_tests_name("hidden", tests, NULL, NULL);
}
