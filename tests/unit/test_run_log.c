/* test_run_log.c - recorded runs and their replay: by what was seen then, whatever the disk holds now; logs
 * that are cut off, damaged, or say something else. */
/* concurrent */
#include <pthread.h>
#include <sys/wait.h>
#include "coherence/run_log.h"
#include "include/tierkit_admin.h"
#include "tests/unit/small_world.h"
#include "tiers/checksum.h"

static const tier_type *outline, *report, *moody, *all;
static char log_path[128], told[1 << 15];

/* The first word of the file. */
static int build_outline(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    (void)user;
    int rc = tier_file(s, q->path, &v);
    return rc ? rc : tier_out_bytes(out, v.data, strcspn(v.data, " "));
}

static int build_report(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_query a = {.type = outline, .path = "a.h"};
    tier_value v;
    (void)user;
    int rc = tier_file(s, q->path, &v);
    if (!rc)
        rc = tier_get(s, &a, &v);
    return rc ? rc : tier_out_bytes(out, v.data, v.size);
}

enum { MANY = 80 }; /* results below one: enough for a list of their leaves to be kept */
static int build_many(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    (void)q;
    (void)user;
    for (int i = 0; i < MANY; i++) {
        char path[16];
        snprintf(path, sizeof path, "f%d", i);
        tier_query a = {.type = outline, .path = path};
        int rc = tier_get(s, &a, &v);
        if (rc)
            return rc;
    }
    return tier_out_bytes(out, v.data, v.size);
}

static int build_moody(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    (void)user;
    if (strcmp(q->path, "once") == 0 && tier_once(s, "it asked the network"))
        return TIER_EINVAL;
    if (strcmp(q->path, "away") == 0)
        return tier_fail(s, TIER_ETRANSIENT, "the server is away");
    if (strcmp(q->path, "bad") == 0)
        return tier_fail(s, TIER_EBUILD, "it is bad");
    return tier_out_bytes(out, "x", 1);
}

static void open_all(void)
{
    open_cache(0, NULL);
    outline = define("outline", 0, build_outline, NULL);
    report = define("report", 0, build_report, NULL);
    moody = define("moody", 0, build_moody, NULL);
    all = define("all", 0, build_many, NULL);
}

static int setup(void **state)
{
    if (world_setup(state))
        return -1;
    snprintf(log_path, sizeof log_path, "%s/run.log", top);
    setenv("TIERKIT_RUN_LOG", log_path, 1);
    put("main.c", "main");
    put("a.h", "first text");
    open_all();
    return 0;
}

static int teardown(void **state)
{
    unsetenv("TIERKIT_RUN_LOG");
    return world_teardown(state);
}

static int ask_in(tier_session *s, const tier_type *type, const char *path)
{
    tier_query q = {.type = type, .path = path};
    tier_value v;
    return tier_get(s, &q, &v);
}

static int ask(const tier_type *type, const char *path)
{
    tier_session *s = begin(0);
    int rc = ask_in(s, type, path);
    assert_int_equal(tier_end(&s), 0);
    return rc;
}

static void again(void)
{
    assert_int_equal(tier_close(&cache), 0);
    open_all();
}

static int take(void *user, const char *text, size_t size)
{
    (void)user;
    assert_true(size < sizeof told);
    memcpy(told, text, size);
    told[size] = 0;
    return 0;
}

static int replay(const char *format, tier_run_report *r)
{
    char store[96], src[96], why[256];
    tier_admin *a;
    tier_admin_options o = TIER_INIT(tier_admin_options);
    snprintf(store, sizeof store, "%s/store", top);
    snprintf(src, sizeof src, "%s/src", top);
    o.dir = store;
    o.root = src;
    o.profile = "dev";
    told[0] = 0;
    *r = (tier_run_report)TIER_INIT(tier_run_report);
    assert_int_equal(tier_admin_open(&o, &a, why, sizeof why), 0);
    int rc = tier_run_replay(a, log_path, format, r, take, NULL);
    tier_admin_close(&a);
    return rc;
}

static void has(const char *text)
{
    if (!strstr(told, text))
        fail_msg("not said: %s\nsaid:\n%s", text, told);
}

static size_t slurp(unsigned char *data, size_t size)
{
    FILE *f = fopen(log_path, "rb");
    assert_non_null(f);
    size_t n = fread(data, 1, size, f);
    assert_true(n < size);
    assert_int_equal(fclose(f), 0);
    return n;
}

static void spill(const unsigned char *data, size_t size)
{
    FILE *f = fopen(log_path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* ---- what a replay says */
static void the_disk_does_not_matter(void **state)
{
    tier_run_report r;
    static char first[sizeof told];
    (void)state;
    assert_int_equal(ask(report, "main.c"), 0);
    put("a.h", "second text");
    assert_int_equal(ask(report, "main.c"), 0);
    again(); /* verified: what is below is seen one by one all the same */
    assert_int_equal(ask(report, "main.c"), 0);
    put("a.h", "third text");
    put("main.c", "other");
    assert_int_equal(tier_close(&cache), 0);
    assert_int_equal(replay("text", &r), 0);
    assert_int_equal(r.sessions, 3);
    assert_int_equal(r.requests, 3);
    assert_int_equal(r.same, 3);
    assert_int_equal(r.results, 3);
    assert_int_equal(r.results_same, 3);
    assert_int_equal(r.torn, 0);
    has("same       report(main.c): built in ");
    has("because: result of outline(a.h); value hash ");
    has("same       report(main.c): loaded; value hash ");
    memcpy(first, told, sizeof told);
    put("a.h", "fourth text");
    assert_int_equal(replay("text", &r), 0);
    assert_string_equal(first, told);
    assert_int_equal(replay("full", &r), 0);
    has("below the requests of test, session 1 of 20");
    has("  same       outline(a.h); value hash ");
    assert_int_equal(replay("json", &r), 0);
    has("\"request\":\"report(main.c)\"");
    has("\"outcome\":\"same\"");
    open_all();
}

static void what_is_below_is_seen_by_name(void **state)
{
    tier_run_report r;
    (void)state;
    for (int i = 0; i < MANY; i++) {
        char path[16];
        snprintf(path, sizeof path, "f%d", i);
        put(path, path);
    }
    assert_int_equal(tier_close(&cache), 0);
    unsetenv("TIERKIT_RUN_LOG");
    open_all();
    assert_int_equal(ask(all, "main.c"), 0);
    again();
    assert_int_equal(ask(all, "main.c"), 0);
    assert_int_equal(tier_close(&cache), 0);
    setenv("TIERKIT_RUN_LOG", log_path, 1);
    open_all();
    assert_int_equal(ask(all, "main.c"), 0); /* which the leaves alone would show to hold */
    assert_int_equal(tier_close(&cache), 0);
    assert_int_equal(replay(NULL, &r), 0);
    assert_int_equal(r.requests, 1);
    assert_int_equal(r.same, 1);
    assert_int_equal(r.results, MANY);
    assert_int_equal(r.results_same, MANY);
    open_all();
}

static void every_request_is_told_in_order(void **state)
{
    tier_run_report r;
    tier_query q = {.type = moody, .path = "unknown"};
    tier_value v;
    (void)state;
    tier_session *fork, *s = begin(0);
    assert_int_equal(ask_in(s, report, "main.c"), 0);
    assert_int_equal(ask_in(s, report, "main.c"), 0); /* a hit, which a session otherwise recalls by itself */
    assert_int_equal(ask_in(s, report, "main.c"), 0);
    assert_int_equal(tier_fork(s, &fork), 0);
    assert_int_equal(ask_in(fork, outline, "a.h"), 0);
    assert_int_equal(tier_end(&fork), 0);
    assert_int_equal(ask_in(s, moody, "bad"), TIER_EBUILD);
    assert_int_equal(ask_in(s, moody, "once"), 0);
    assert_int_equal(ask_in(s, moody, "away"), TIER_ETRANSIENT);
    assert_true(tier_peek(s, &q, &v) < 0);
    assert_int_equal(tier_end(&s), 0);
    assert_int_equal(tier_close(&cache), 0);
    assert_int_equal(replay(NULL, &r), 0);
    assert_int_equal(r.sessions, 1);
    assert_int_equal(r.requests, 8);
    assert_int_equal(r.same, 5);
    assert_int_equal(r.unkept, 3);
    const char *at = told;
    static const char *const order[] = {
        "same       report(main.c): built", "same       report(main.c): a hit",
        "same       report(main.c): a hit", "same       outline(a.h): a hit",
        "same       moody(bad): built",     "not kept   moody(once): built",
        "not kept   moody(away): ",         "not kept   moody(unknown): "};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        if (!(at = strstr(at, order[i])))
            fail_msg("not said in its place: %s\nsaid:\n%s", order[i], told);
        at++;
    }
    open_all();
}

static void what_is_gone_is_told(void **state)
{
    tier_run_report r;
    (void)state;
    assert_int_equal(ask(outline, "a.h"), 0);
    for (int i = 0; i < TIER__VARIANT_MAX + 1; i++) { /* so many are kept */
        char text[32];
        snprintf(text, sizeof text, "w%d", i);
        put("a.h", text);
        assert_int_equal(ask(outline, "a.h"), 0);
    }
    assert_int_equal(ask(outline, "main.c"), 0);
    assert_int_equal(tier_close(&cache), 0);
    assert_int_equal(replay(NULL, &r), 0);
    assert_int_equal(r.requests, TIER__VARIANT_MAX + 3);
    assert_int_equal(r.different, 0);
    assert_true(r.gone >= 2 && r.same + r.gone == r.requests);
    has("gone       outline(a.h): built in ");
    has(": only other results of the request are remembered");
    open_all();
}

/* ---- logs that are not as they were written */
static void another_observation_is_another_answer(void **state)
{
    static unsigned char data[1 << 15];
    tier_run_report r;
    tier_value v;
    bool found = false;
    (void)state;
    tier_session *s = begin(0);
    assert_int_equal(tier_file(s, "a.h", &v), 0);
    tier_digest content = v.hash;
    assert_int_equal(ask_in(s, report, "main.c"), 0);
    assert_int_equal(tier_end(&s), 0);
    assert_int_equal(tier_close(&cache), 0);
    size_t size = slurp(data, sizeof data);
    for (size_t at = 0; at + TIER__RUN_HEADER < size;) {
        uint32_t what, bytes;
        memcpy(&what, data + at + 8, 4);
        memcpy(&bytes, data + at + 12, 4);
        unsigned char *body = data + at + TIER__RUN_HEADER;
        unsigned char *hit = what == TIER__RUN_SEEN ? memmem(body, bytes, content.byte, 32) : NULL;
        if (hit) {
            hit[0] ^= 1;
            uint64_t sum = tier__checksum(body, bytes, what);
            memcpy(data + at + 16, &sum, 8);
            found = true;
        }
        at += TIER__RUN_HEADER + bytes;
    }
    assert_true(found);
    spill(data, size);
    assert_int_equal(replay(NULL, &r), 0);
    assert_int_equal(r.same, 1); /* the report reads an outline that the session saw as it is stored */
    assert_int_equal(r.results_different, 1);
    has("  different  outline(a.h); value hash ");
    has("content of a.h: the session saw ");
    open_all();
}

static void damage_is_refused(void **state)
{
    static unsigned char data[1 << 15];
    tier_run_report r;
    (void)state;
    assert_int_equal(ask(outline, "a.h"), 0);
    assert_int_equal(tier_close(&cache), 0);
    size_t size = slurp(data, sizeof data);
    for (size_t i = 0; i < size; i += 1 + (i > 64 ? 6 : 0)) {
        data[i] ^= 0x10;
        spill(data, size);
        data[i] ^= 0x10;
        int rc = replay(NULL, &r);
        if (rc != TIER_EDAMAGE && !(rc == 0 && r.torn))
            fail_msg("byte %zu of %zu: %d\n%s", i, size, rc, told);
    }
    spill((const unsigned char *)"int a;\n", 7);
    assert_int_equal(replay(NULL, &r), TIER_EDAMAGE);
    spill(data, 0);
    assert_int_equal(replay(NULL, &r), TIER_EDAMAGE);
    open_all();
}

static void a_cut_log_is_read_up_to_the_cut(void **state)
{
    static unsigned char data[1 << 15];
    tier_run_report r;
    uint64_t before = 0;
    bool torn = false;
    (void)state;
    tier_session *s = begin(0);
    assert_int_equal(ask_in(s, outline, "a.h"), 0);
    assert_int_equal(ask_in(s, outline, "main.c"), 0);
    assert_int_equal(ask_in(s, report, "main.c"), 0);
    assert_int_equal(tier_end(&s), 0);
    assert_int_equal(tier_close(&cache), 0);
    size_t size = slurp(data, sizeof data);
    for (size_t n = 8; n <= size; n += n < size && n + 5 > size ? size - n : 5) {
        spill(data, n);
        int rc = replay(NULL, &r);
        if (rc) { /* within the first record nothing is known */
            assert_int_equal(rc, TIER_EDAMAGE);
            assert_int_equal(before, 0);
            continue;
        }
        torn |= r.torn;
        assert_true(r.requests >= before && r.requests <= 3);
        assert_int_equal(r.same, r.requests);
        before = r.requests;
        if (n == size)
            break;
    }
    assert_int_equal(before, 3);
    assert_true(torn);
    open_all();
}

/* ---- who writes */
static void nothing_happens_where_it_cannot_be_written(void **state)
{
    (void)state;
    assert_int_equal(tier_close(&cache), 0);
    setenv("TIERKIT_RUN_LOG", "/nowhere/at/all", 1);
    open_all();
    assert_non_null(strstr(logged, "no run log: TIERKIT_RUN_LOG=/nowhere/at/all: "));
    assert_null(strstr(logged, "unknown variable"));
    assert_int_equal(ask(report, "main.c"), 0);
    assert_int_not_equal(access(log_path, F_OK), -1); /* made when the cache was first opened, */
    struct stat st;
    assert_int_equal(stat(log_path, &st), 0);
    assert_int_equal(st.st_size, 0); /* and never written to */
}

static void a_child_writes_its_own(void **state)
{
    tier_run_report r;
    int status;
    (void)state;
    tier_session *s = begin(0);
    assert_int_equal(ask_in(s, outline, "a.h"), 0); /* waits to be written */
    pid_t pid = fork();
    if (pid == 0) {
        tier_session *own = NULL;
        tier_query q = {.type = outline, .path = "main.c"};
        tier_value v;
        _exit(tier_begin(cache, NULL, &own) || tier_get(own, &q, &v) || tier_end(&own) || tier_close(&cache));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    if ((pid = fork()) == 0)
        _exit(tier_close(&cache)); /* without what waits, which is the parent's */
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(tier_end(&s), 0);
    assert_int_equal(tier_close(&cache), 0);
    assert_int_equal(replay(NULL, &r), 0);
    assert_int_equal(r.sessions, 2);
    assert_int_equal(r.requests, 2);
    assert_int_equal(r.same, 2);
    open_all();
}

enum { THREADS = 4, ROUNDS = 40 };

static void *many(void *mine) /* mine: a fork, of a view that the others look at, too */
{
    for (int i = 0; i < ROUNDS; i++) {
        tier_session *s = i % 4 ? NULL : mine;
        tier_query q = {.type = i % 3 ? outline : report, .path = i % 2 ? "a.h" : "main.c"};
        tier_value v;
        if ((!s && tier_begin(cache, NULL, &s)) || tier_get(s, &q, &v) || (s != mine && tier_end(&s)))
            return cache;
    }
    return NULL;
}

static void threads_share_a_log(void **state)
{
    pthread_t thread[THREADS];
    tier_session *fork_of[THREADS], *common = begin(0);
    tier_run_report r;
    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(tier_fork(common, &fork_of[i]), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, many, fork_of[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        assert_int_equal(pthread_join(thread[i], &failed), 0);
        assert_null(failed);
        assert_int_equal(tier_end(&fork_of[i]), 0);
    }
    assert_int_equal(tier_end(&common), 0);
    assert_int_equal(tier_close(&cache), 0);
    assert_int_equal(replay(NULL, &r), 0);
    assert_int_equal(r.requests, THREADS * ROUNDS);
    assert_int_equal(r.sessions, 1 + THREADS * ROUNDS * 3 / 4);
    assert_int_equal(r.same, r.requests);
    assert_int_equal(r.results_same, r.results);
    open_all();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(the_disk_does_not_matter),
        TEST(what_is_below_is_seen_by_name),
        TEST(every_request_is_told_in_order),
        TEST(what_is_gone_is_told),
        TEST(another_observation_is_another_answer),
        TEST(damage_is_refused),
        TEST(a_cut_log_is_read_up_to_the_cut),
        TEST(nothing_happens_where_it_cannot_be_written),
        TEST(a_child_writes_its_own),
        TEST(threads_share_a_log),
    };
    return cmocka_run_group_tests_name("run log", tests, NULL, NULL);
}
