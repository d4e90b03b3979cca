/* What stays on disk: keep.variants, the log of bans cut short by sweeps, keep.runs, retention.hours and
 * keep.results; a naive model says what must remain. */
#include "coherence/sweep.h"
#include "include/tierkit_admin.h"
#include "tests/unit/process.h"

enum { NAMES = 40 };

static int build(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct world *w = user;
    char tag[64];
    w->built++;
    snprintf(tag, sizeof tag, "tag %s", q->path);
    int rc = tier_tag(s, tag);
    return rc ? rc : tier_out_bytes(out, q->path, strlen(q->path));
}

/* What its file holds, big enough to be a value of its own on disk. */
static int build_file(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct world *w = user;
    tier_value v;
    char bytes[2000];
    w->built++;
    int rc = tier_file(s, q->path, &v);
    for (size_t i = 0; !rc && i < sizeof bytes; i++)
        bytes[i] = v.size ? ((const char *)v.data)[i % v.size] : 0;
    return rc ? rc : tier_out_bytes(out, bytes, sizeof bytes);
}

static void write_file(struct world *w, const char *name, const char *text)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s/%s", w->dir, world_root(w), name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static const char *name_of(int i)
{
    static char name[4][16];
    static int at;
    char *to = name[at++ % 4];
    snprintf(to, sizeof name[0], "n%d", i);
    return to;
}

/* Gets it; whether a build ran. */
static bool builds(struct world *w, const tier_type *t, const char *path)
{
    int before = w->built;
    assert_int_equal(world_get(w, t, path), 0);
    return w->built > before;
}

static void reopen(struct world *w, const char *setting)
{
    assert_int_equal(tier_close(&w->c), 0);
    world_open(w, setting);
}

static void variants_are_kept_as_set(void **state)
{
    struct world *w = *state;
    world_open(w, "keep.variants=2");
    const tier_type *t = world_type(w, "file", TIER_DELTA, build_file);
    static const char *const text[] = {"a", "bb", "ccc"};
    for (int i = 0; i < 3; i++) {
        write_file(w, "f", text[i]);
        assert_true(builds(w, t, "f"));
    }
    for (int round = 0; round < 2; round++) { /* in memory, then from disk */
        write_file(w, "f", text[1]);
        assert_false(builds(w, t, "f"));
        write_file(w, "f", text[2]);
        assert_false(builds(w, t, "f"));
        reopen(w, "keep.variants=2");
        t = world_type(w, "file", TIER_DELTA, build_file);
    }
    write_file(w, "f", text[0]);
    assert_true(builds(w, t, "f"));
}

/* ---- the log */
static int count_row(void *user, const void *key, size_t key_size, const void *data, size_t size)
{
    (void)key;
    (void)key_size;
    (void)data;
    (void)size;
    ++*(uint64_t *)user;
    return 0;
}

static uint64_t rows_of(struct world *w, enum tier__table table)
{
    uint64_t rows = 0;
    assert_int_equal(tier__store_each(w->c->store, table, count_row, &rows), 0);
    return rows;
}

static void bans_leave_the_log_and_strike_no_more_than_they_say(void **state)
{
    struct world *w = *state;
    world_open(w, NULL);
    const tier_type *t = world_type(w, "t", TIER_DELTA, build);
    for (int i = 0; i < NAMES; i++)
        assert_true(builds(w, t, name_of(i)));
    for (int i = 0; i < 300; i++) { /* of names with an even number; most name nothing that is there */
        char tag[64];
        snprintf(tag, sizeof tag, "tag n%d", 2 * i);
        assert_int_equal(tier_invalidate(w->c, TIER_BY_TAG, tag), 0);
        assert_true(rows_of(w, TIER__LOG) <= TIER__BAN_MAX + 1);
        if (i % 100 == 50) { /* a process that begins in between hears all of it */
            reopen(w, NULL);
            t = world_type(w, "t", TIER_DELTA, build);
        }
    }
    reopen(w, NULL);
    t = world_type(w, "t", TIER_DELTA, build);
    assert_true(tier__log_tail(w->c->store, &w->c->base) >= 300 - TIER__BAN_MAX);
    for (int i = 0; i < NAMES; i++)
        assert_int_equal(builds(w, t, name_of(i)), i % 2 == 0);
    reopen(w, NULL); /* what was built again is born after the bans */
    t = world_type(w, "t", TIER_DELTA, build);
    for (int i = 0; i < NAMES; i++)
        assert_false(builds(w, t, name_of(i)));
}

/* A cache that heard nothing while rows went must not go on with what it had. */
static void who_slept_through_a_cut_starts_anew(void **state)
{
    struct world *w = *state;
    world_open(w, NULL);
    const tier_type *t = world_type(w, "t", TIER_DELTA, build);
    assert_true(builds(w, t, "n0"));
    assert_int_equal(tier_flush(w->c), 0);
    struct world other = {.fixed = true};
    memcpy(other.dir, w->dir, sizeof other.dir);
    world_open(&other, NULL);
    assert_int_equal(tier_invalidate(other.c, TIER_BY_TAG, "tag n0"), 0);
    for (int i = 1; i < 2 * TIER__BAN_MAX; i++)
        assert_int_equal(tier_invalidate(other.c, TIER_BY_TAG, "no such tag"), 0);
    assert_true(tier__log_tail(other.c->store, &other.c->base) > 0);
    assert_true(builds(w, t, "n0"));
    assert_false(builds(w, t, "n0"));
    assert_int_equal(tier_close(&other.c), 0);
}

/* A result of a session that began before a cut comes to the disk after it, unswept. */
static struct world *late;
static int build_late(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    for (int i = 0; i < 2 * TIER__BAN_MAX; i++)
        assert_int_equal(tier_invalidate(late->c, TIER_BY_TAG, i ? "no such tag" : "tag n7"), 0);
    return build(s, q, out, user);
}

static void results_from_before_a_cut_come_too_late(void **state)
{
    struct world *w = *state;
    world_open(w, NULL);
    const tier_type *t = world_type(w, "t", TIER_DELTA, build_late);
    struct world other = {.fixed = true};
    memcpy(other.dir, w->dir, sizeof other.dir);
    world_open(&other, NULL);
    late = &other;
    assert_true(builds(w, t, "n7"));
    assert_true(tier__log_tail(other.c->store, &other.c->base) > 0);
    assert_int_equal(tier_close(&other.c), 0);
    reopen(w, NULL);
    t = world_type(w, "t", TIER_DELTA, build);
    assert_true(builds(w, t, "n7"));
}

/* ---- runs */
static void new_run(struct world *w, const tier_type **t)
{
    world_open(w, NULL);
    *t = world_type(w, "file", TIER_DELTA, build_file);
}

/* Builds something that no other run has, so that this one counts. */
static void commit_something(struct world *w, const tier_type *t, int run)
{
    char name[32];
    snprintf(name, sizeof name, "only of run %d", run);
    write_file(w, name, "text");
    assert_true(builds(w, t, name));
}

static void what_the_last_runs_used_stays(void **state)
{
    struct world *w = *state;
    enum { RUNS = 14, KEEP = 3 };
    int last[NAMES]; /* the run that used it; below 0: not on disk */
    const tier_type *t;
    const char *text = getenv("TIER_SEED");
    unsigned seed = text ? (unsigned)strtoul(text, NULL, 0) : (unsigned)getpid();
    printf("TIER_SEED=%u\n", seed);
    for (int i = 0; i < NAMES; i++) {
        last[i] = -1;
        write_file(w, name_of(i), i % 2 ? name_of(i + 1000) : "the same");
    }
    setenv("TIERKIT_RETENTION_HOURS", "0", 1);
    setenv("TIERKIT_KEEP_RUNS", "3", 1);
    for (int run = 0; run < RUNS; run++) {
        new_run(w, &t);
        for (int i = 0; i < NAMES; i++) {
            if (rand_r(&seed) % 4)
                continue;
            assert_int_equal(builds(w, t, name_of(i)), last[i] < 0);
            last[i] = run;
        }
        commit_something(w, t, run);
        assert_int_equal(tier_close(&w->c), 0);
        for (int i = 0; i < NAMES; i++)
            if (last[i] <= run - KEEP)
                last[i] = -1;
        usleep(3000); /* runs are told apart by milliseconds */
    }
    unsetenv("TIERKIT_RETENTION_HOURS");
    unsetenv("TIERKIT_KEEP_RUNS");
}

/* ---- hours: the store is made older */
struct aging {
    struct world *w;
    tier__write *write;
    int64_t by_ms;
};

static void shift(unsigned char *at, int64_t by_ms)
{
    int64_t ms;
    memcpy(&ms, at, sizeof ms);
    ms -= ms == INT64_MIN ? 0 : by_ms;
    memcpy(at, &ms, sizeof ms);
}

static int age_variants(void *user, const void *key, size_t key_size, const void *data, size_t size)
{
    struct aging *a = user;
    struct tier__request_record q;
    struct tier__variant_record d;
    unsigned char *copy = malloc(size);
    memcpy(copy, data, size);
    struct tier__reader r = tier__reader_of(copy, size);
    assert_true(tier__get_node(&r, &q));
    for (uint8_t left = tier__read_u8(&r); left && tier__get_variant(&r, &d); left--)
        shift(copy + (d.begin - copy) + 76, a->by_ms); /* behind two digests, an error and a sequence */
    int rc = tier__write_put(a->write, TIER__VARIANT, key, key_size, copy, size, 0);
    free(copy);
    return rc;
}

static int age_uses(void *user, const void *key, size_t key_size, const void *data, size_t size)
{
    struct aging *a = user;
    unsigned char copy[8];
    assert_int_equal(size, sizeof copy);
    memcpy(copy, data, size);
    shift(copy, a->by_ms);
    return tier__write_put(a->write, TIER__ACCESS, key, key_size, copy, size, 0);
}

static void age(struct world *w, int hours)
{
    struct aging a = {.w = w, .by_ms = hours * (int64_t)3600000};
    struct tier__buf b;
    world_open(w, NULL);
    tier__buf_init(&b, &w->c->base);
    assert_int_equal(tier__write_begin(w->c->store, &a.write), 0);
    assert_int_equal(tier__store_each(w->c->store, TIER__VARIANT, age_variants, &a), 0);
    assert_int_equal(tier__store_each(w->c->store, TIER__ACCESS, age_uses, &a), 0);
    assert_int_equal(tier__write_get(a.write, TIER__META, "runs", 4, &b), 0);
    for (size_t i = 1; i < b.size; i += 32) { /* begin and end, behind half a digest */
        shift(b.data + i + 16, a.by_ms);
        shift(b.data + i + 24, a.by_ms);
    }
    assert_int_equal(tier__write_put(a.write, TIER__META, "runs", 4, b.data, b.size, 0), 0);
    assert_int_equal(tier__write_get(a.write, TIER__META, "sweep", 5, &b), 0);
    shift(b.data + 42, a.by_ms); /* when the round began, and where keep.results ends */
    shift(b.data + 50, a.by_ms);
    assert_int_equal(tier__write_put(a.write, TIER__META, "sweep", 5, b.data, b.size, 0), 0);
    assert_int_equal(tier__write_commit(&a.write), 0);
    tier__buf_fini(&b);
    assert_int_equal(tier_close(&w->c), 0);
}

static void check_clean(struct world *w)
{
    tier_admin_options o = TIER_INIT(tier_admin_options);
    tier_check_options check = TIER_INIT(tier_check_options);
    tier_check_report report = TIER_INIT(tier_check_report);
    char cache[300], root[300], why[256];
    tier_admin *a;
    snprintf(cache, sizeof cache, "%s/cache", w->dir);
    snprintf(root, sizeof root, "%s/root", w->dir);
    o.dir = cache;
    o.root = root;
    assert_int_equal(tier_admin_open(&o, &a, why, sizeof why), 0);
    check.flags = TIER_CHECK_DATA;
    assert_int_equal(tier_check(a, &check, &report), 0);
    assert_int_equal(report.damage, 0);
    tier_admin_close(&a);
}

/* However often the others run. */
static void each_project_has_its_last_runs(void **state)
{
    struct world *w = *state;
    enum { RUNS = 30, KEEP = 2, EACH = 6 };
    static const char *const project[] = {"root", "second", "third"};
    int last[3][EACH], ran[3] = {0};
    const tier_type *t;
    const char *text = getenv("TIER_SEED");
    unsigned seed = text ? (unsigned)strtoul(text, NULL, 0) : (unsigned)getpid();
    printf("TIER_SEED=%u\n", seed);
    setenv("TIERKIT_RETENTION_HOURS", "0", 1);
    for (int run = 0; run < RUNS; run++) {
        int p = run < 3 ? run : rand_r(&seed) % 8 ? 1 + rand_r(&seed) % 2 : 0;
        char path[400];
        w->root = project[p];
        snprintf(path, sizeof path, "%s/%s", w->dir, w->root);
        assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
        new_run(w, &t);
        for (int i = 0; i < EACH; i++) {
            const char *name = name_of(p * 100 + i);
            if (!ran[p]) {
                write_file(w, name, name);
                last[p][i] = -1;
            }
            if (rand_r(&seed) % 2)
                continue;
            assert_int_equal(builds(w, t, name), last[p][i] < 0);
            last[p][i] = ran[p];
        }
        commit_something(w, t, run);
        assert_int_equal(tier_close(&w->c), 0);
        ran[p]++;
        for (int i = 0; i < EACH; i++)
            if (last[p][i] < ran[p] - KEEP)
                last[p][i] = -1;
        usleep(3000); /* runs are told apart by milliseconds */
    }
    w->root = NULL;
    check_clean(w);
    unsetenv("TIERKIT_RETENTION_HOURS");
}

static void what_was_not_used_for_hours_goes(void **state)
{
    struct world *w = *state;
    const tier_type *t;
    setenv("TIERKIT_KEEP_RUNS", "1", 1);
    new_run(w, &t);
    for (int i = 0; i < NAMES; i++) {
        write_file(w, name_of(i), name_of(i + 1000));
        assert_true(builds(w, t, name_of(i)));
    }
    assert_int_equal(tier_close(&w->c), 0);
    age(w, 20); /* of dev's 12 */
    new_run(w, &t);
    for (int i = 0; i < NAMES; i += 2)
        assert_false(builds(w, t, name_of(i)));
    commit_something(w, t, 2);
    assert_int_equal(tier_close(&w->c), 0);
    check_clean(w);
    new_run(w, &t);
    uint64_t blobs = rows_of(w, TIER__BLOB);
    assert_int_equal(blobs, NAMES / 2 + 1);
    for (int i = 0; i < NAMES; i++)
        assert_int_equal(builds(w, t, name_of(i)), i % 2);
    assert_int_equal(tier_close(&w->c), 0);
    unsetenv("TIERKIT_KEEP_RUNS");
}

static void results_beyond_their_number_go_oldest_first(void **state)
{
    struct world *w = *state;
    const tier_type *t;
    setenv("TIERKIT_KEEP_RUNS", "1", 1);
    setenv("TIERKIT_KEEP_RESULTS", "10", 1);
    setenv("TIERKIT_RETENTION_HOURS", "40", 1);
    for (int run = 0; run < 4; run++) {
        new_run(w, &t);
        for (int i = run ? 20 : 0; i < (run ? 30 : 20) && run < 2; i++) {
            write_file(w, name_of(i), name_of(i + 1000));
            assert_true(builds(w, t, name_of(i)));
        }
        commit_something(w, t, run); /* the third run sees where ten end, the fourth drops what is older */
        assert_int_equal(tier_close(&w->c), 0);
        age(w, 11);
    }
    new_run(w, &t);
    for (int i = 0; i < 30; i++)
        assert_int_equal(builds(w, t, name_of(i)), i < 20);
    assert_int_equal(tier_close(&w->c), 0);
    check_clean(w);
    unsetenv("TIERKIT_KEEP_RUNS");
    unsetenv("TIERKIT_KEEP_RESULTS");
    unsetenv("TIERKIT_RETENTION_HOURS");
}

/* What lies below a request that its leaves alone verified was used as well, though nobody walked there. */
static const tier_type *file_type;
static int build_sum(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct world *w = user;
    int rc = 0;
    (void)q;
    w->built++;
    for (int i = 0; !rc && i < 2 * TIER__CLOSURE_MIN; i++) {
        tier_value v;
        tier_query below = {.type = file_type, .path = name_of(i)};
        rc = tier_get(s, &below, &v);
    }
    return rc ? rc : tier_out_bytes(out, "sum", 3);
}

static void what_lies_below_is_used_with_it(void **state)
{
    struct world *w = *state;
    setenv("TIERKIT_KEEP_RUNS", "1", 1);
    for (int i = 0; i < 2 * TIER__CLOSURE_MIN; i++)
        write_file(w, name_of(i), name_of(i + 1000));
    usleep(40000); /* settles: closures trust nothing younger */
    for (int run = 0; run < 3; run++) {
        new_run(w, &file_type);
        const tier_type *sum = world_type(w, "sum", TIER_DELTA, build_sum);
        if (run == 2)
            write_file(w, name_of(5), "edited");
        int before = w->built;
        assert_int_equal(builds(w, sum, ""), run != 1);
        assert_int_equal(w->built - before, run == 0 ? 2 * TIER__CLOSURE_MIN + 1 : run == 2 ? 2 : 0);
        commit_something(w, file_type, run);
        assert_int_equal(tier_close(&w->c), 0);
        if (run == 0)
            age(w, 20);
    }
    check_clean(w);
    unsetenv("TIERKIT_KEEP_RUNS");
}

/* A session in which nothing changed writes nothing; after some hours one row for what it used. */
static void use_is_noted_once_in_a_while(void **state)
{
    struct world *w = *state;
    const tier_type *t;
    new_run(w, &t);
    write_file(w, "f", "text");
    assert_true(builds(w, t, "f"));
    assert_int_equal(tier_close(&w->c), 0);
    usleep(40000); /* what was observed settles */
    for (int run = 0; run < 6; run++) {
        if (run == 3)
            age(w, 5);
        new_run(w, &t);
        uint64_t before = tier__store_news(w->c->store), rows = rows_of(w, TIER__ACCESS);
        assert_false(builds(w, t, "f"));
        assert_int_equal(tier_close(&w->c), 0);
        new_run(w, &t);
        bool quiet = tier__store_news(w->c->store) == before;
        assert_int_equal(rows_of(w, TIER__ACCESS) - rows, run == 3);
        if (run != 0 && run != 3) /* the first one may have stat identities to write */
            assert_true(quiet);
        assert_int_equal(tier_close(&w->c), 0);
    }
}

/* Nor does one that reads files and directories again, as it wants their bytes. */
static void what_is_read_again_is_not_news(void **state)
{
    struct world *w = *state;
    uint64_t news = 0;
    write_file(w, "f", "text");
    usleep(40000); /* what is observed settles */
    for (int run = 0; run < 3; run++) {
        tier_session *s;
        tier_value v;
        world_open(w, NULL);
        if (run > 1) /* the first one that reads writes what it saw */
            assert_int_equal(tier__store_news(w->c->store), news);
        news = tier__store_news(w->c->store);
        assert_int_equal(tier_begin(w->c, NULL, &s), 0);
        assert_int_equal(tier_file(s, "f", &v), 0);
        assert_int_equal(v.size, 4);
        assert_int_equal(tier_list(s, "", "*", &v), 0);
        assert_int_equal(tier_end(&s), 0);
        assert_int_equal(tier_flush(w->c), 0);
        assert_int_equal(tier__store_news(w->c->store) > news, run == 0);
        assert_int_equal(tier_close(&w->c), 0);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        T(variants_are_kept_as_set),
        T(bans_leave_the_log_and_strike_no_more_than_they_say),
        T(who_slept_through_a_cut_starts_anew),
        T(results_from_before_a_cut_come_too_late),
        T(what_the_last_runs_used_stays),
        T(each_project_has_its_last_runs),
        T(what_was_not_used_for_hours_goes),
        T(results_beyond_their_number_go_oldest_first),
        T(what_lies_below_is_used_with_it),
        T(use_is_noted_once_in_a_while),
        T(what_is_read_again_is_not_news),
    };
    setenv("TIERKIT_VERIFY_SAMPLE", "0", 1); /* builds are counted */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
