/* concurrent */
/* test_between.c - what happens between two steps of the library, made to happen there: the library is linked
 * statically here, so the fstatat, read and fcntl below are the ones that it calls. */
#include "tests/unit/small_world.h"
#include "coherence/manager.h"
#include "coherence/reverse.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/syscall.h>

enum { PATIENCE = 20000 /* ms */ };

/* ---- the seams; each does what it is told once */
static void (*before_look)(void);  /* at "a" */
static void (*before_lease)(void); /* is taken */
static void (*within_read)(void);  /* of the file: its first half is read */
static ino_t read_of;

static void happens(void (**what)(void))
{
    void (*now)(void) = *what;
    *what = NULL;
    if (now)
        now();
}

int fstatat(int dir, const char *restrict path, struct stat *restrict st, int flags)
{
    if (strcmp(path, "a") == 0)
        happens(&before_look);
    return (int)syscall(SYS_newfstatat, dir, path, st, flags);
}

ssize_t read(int fd, void *buf, size_t size)
{
    struct stat st;
    if (within_read && syscall(SYS_newfstatat, fd, "", &st, AT_EMPTY_PATH) == 0 && st.st_ino == read_of) {
        if (lseek(fd, 0, SEEK_CUR) == 0)
            size = size < 2 ? size : size / 2;
        else
            happens(&within_read);
    }
    return syscall(SYS_read, fd, buf, size);
}

int fcntl(int fd, int command, ...)
{
    va_list more;
    va_start(more, command);
    void *argument = va_arg(more, void *);
    va_end(more);
    if (command == F_OFD_SETLK) {
        const struct flock *l = argument;
        if (l->l_type == F_WRLCK && l->l_len == 1 && l->l_start >= (off_t)1 << 32)
            happens(&before_lease);
    }
    return (int)syscall(SYS_fcntl, fd, command, argument);
}

/* ---- the world */
static tier_cache *second; /* on the same store, as another process would be */
static const tier_type *type, *second_type;
static int built;

static int build(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    (void)user;
    int rc = tier_file(s, q->path, &v);
    built++;
    return rc ? rc : tier_out_bytes(out, v.data, v.size);
}

static void open_all(void)
{
    open_cache(0, NULL);
    type = define("text", 0, build, NULL);
    built = 0;
}

static uint32_t ask(tier_session *s, const char *text)
{
    tier_query q = {.type = type, .path = "a"};
    tier_value v;
    assert_int_equal(tier_get(s, &q, &v), 0);
    assert_int_equal(v.size, strlen(text));
    assert_memory_equal(v.data, text, v.size);
    return v.from;
}

static uint32_t expect(const char *text)
{
    tier_session *s = begin(0);
    uint32_t from = ask(s, text);
    assert_int_equal(tier_end(&s), 0);
    return from;
}

static int teardown(void **state)
{
    before_look = before_lease = within_read = NULL;
    return tier_close(&second) | world_teardown(state);
}

/* ---- a file changes between two reads of it */
static void write_new(void)
{
    put("a", "new new new!");
}

static void a_file_is_written_while_it_is_read(void **state)
{
    char path[192];
    struct stat st;
    struct timespec long_ago[2] = {{1000000000, 1}, {1000000000, 1}};
    tier_value v;
    (void)state;
    open_all();
    put("a", "old old old!");
    snprintf(path, sizeof path, "%s/src/a", top);
    assert_int_equal(utimensat(AT_FDCWD, path, long_ago, 0), 0); /* what is written now has another time */
    assert_int_equal(stat(path, &st), 0);
    read_of = st.st_ino;
    within_read = write_new;
    tier_session *s = begin(0);
    assert_int_equal(tier_file(s, "a", &v), 0);
    assert_null(within_read);
    assert_string_equal(v.data, "new new new!"); /* and not half of each */
    assert_int_equal(tier_end(&s), 0);
}

/* ---- somebody else builds between our look at what is remembered and our build */
static void build_in_another_session(void)
{
    assert_int_equal(expect("second"), TIER_BUILT);
}

static void another_session_builds(void **state)
{
    (void)state;
    put("a", "one");
    open_all();
    expect("one");
    put("a", "second");
    before_look = build_in_another_session; /* the first variant is being verified */
    assert_int_equal(expect("second"), TIER_VERIFIED);
    assert_null(before_look);
    assert_int_equal(built, 2);
}

static void build_in_another_process(void)
{
    tier_cache *own = cache;
    const tier_type *own_type = type;
    cache = second;
    type = second_type;
    assert_int_equal(expect("one"), TIER_BUILT);
    assert_int_equal(tier_flush(cache), 0);
    cache = own;
    type = own_type;
}

static void another_process_builds(void **state)
{
    (void)state;
    put("a", "one");
    open_all();
    second = cache;
    second_type = type;
    open_all();
    before_lease = build_in_another_process; /* it has it no more when we take it */
    expect("one");
    assert_null(before_lease);
    assert_int_equal(built, 1);
}

/* ---- an event comes between the begin of a view and what it finds (I5) */
static enum tier__state state_of_result(void)
{
    for (uint32_t id = 0; id < cache->dep_count; id++)
        if (tier__dep_at(cache, id)->kind == TIER__K_RESULT)
            return tier__mark_state(cache->mark[id]);
    fail();
    return TIER__UNKNOWN;
}

static void an_event_comes(void **state)
{
    tier_stream *st;
    tier_stream_options o = TIER_INIT(tier_stream_options);
    (void)state;
    put("a", "one");
    open_all();
    o.kinds = TIER_INVALIDATED;
    assert_int_equal(tier_stream_open(cache, &o, &st), 0);
    expect("one");
    assert_int_equal(state_of_result(), TIER__CLEAN);
    tier_session *s = begin(0);
    tier__cache_changed(cache, "a");
    assert_int_equal(state_of_result(), TIER__MAYBE);
    ask(s, "one"); /* as of its begin: it knows nothing of the event */
    assert_int_equal(state_of_result(), TIER__MAYBE);
    assert_int_equal(tier_end(&s), 0);
    expect("one");
    assert_int_equal(state_of_result(), TIER__CLEAN);
    tier_stream_close(&st);
}

/* ---- a request asks for itself while a fork of its build waits for another view */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t told;
    bool begun, go_on;
} slow = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false};
static const tier_type *slow_type;

static void tell(bool *what)
{
    pthread_mutex_lock(&slow.lock);
    *what = true;
    pthread_cond_broadcast(&slow.told);
    pthread_mutex_unlock(&slow.lock);
}

static void wait_until(const bool *what)
{
    pthread_mutex_lock(&slow.lock);
    while (!*what)
        pthread_cond_wait(&slow.told, &slow.lock);
    pthread_mutex_unlock(&slow.lock);
}

static int build_slow(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    (void)s;
    (void)q;
    (void)user;
    tell(&slow.begun);
    wait_until(&slow.go_on);
    return tier_out_bytes(out, "slow", 4);
}

static void *ask_slow(void *session)
{
    tier_session *s = session;
    tier_query q = {.type = slow_type};
    tier_value v;
    int rc = tier_get(s, &q, &v), ended = tier_end(&s);
    return (void *)(intptr_t)(rc ? rc : ended);
}

static bool waits(const tier_session *s)
{
    pthread_mutex_lock(&cache->flight);
    bool yes = s->waits_for != NULL;
    pthread_mutex_unlock(&cache->flight);
    return yes;
}

static int build_self(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_session *fork;
    tier_value v;
    pthread_t thread;
    void *slow_rc;
    if (++*(int *)user > 1)
        return tier_out_bytes(out, "again", 5);
    assert_int_equal(tier_fork(s, &fork), 0);
    assert_int_equal(pthread_create(&thread, NULL, ask_slow, fork), 0);
    for (int i = 0; i < PATIENCE && !waits(fork); i++)
        usleep(1000);
    int rc = tier_get(s, q, &v);
    tell(&slow.go_on);
    assert_int_equal(pthread_join(thread, &slow_rc), 0);
    assert_int_equal((intptr_t)slow_rc, 0);
    return rc;
}

static void a_fork_waits(void **state)
{
    pthread_t thread;
    void *slow_rc;
    int runs = 0;
    tier_value v;
    (void)state;
    open_all();
    slow_type = define("slow", 0, build_slow, NULL);
    tier_query q = {.type = define("self", 0, build_self, &runs)};
    assert_int_equal(pthread_create(&thread, NULL, ask_slow, begin(0)), 0);
    wait_until(&slow.begun);
    tier_session *s = begin(0);
    assert_int_equal(tier_get(s, &q, &v), TIER_ECYCLE);
    assert_int_equal(runs, 1);
    assert_int_equal(tier_end(&s), 0);
    assert_int_equal(pthread_join(thread, &slow_rc), 0);
    assert_int_equal((intptr_t)slow_rc, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(a_file_is_written_while_it_is_read),
        TEST(another_session_builds),
        TEST(another_process_builds),
        TEST(an_event_comes),
        TEST(a_fork_waits),
    };
    return cmocka_run_group_tests_name("between", tests, NULL, NULL);
}
