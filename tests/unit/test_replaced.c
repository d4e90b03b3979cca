/* test_replaced.c - an answer is replaced by another one to equal inputs, and above the old one stand lists
 * of leaves that are all as they were: in memory, on disk, in other processes, in sessions that began before.
 */
#include <fcntl.h>
#include <sys/wait.h>
#include "tests/unit/small_world.h"
#include "coherence/manager.h"

enum { LEAVES = 80 }; /* enough for a list of them */

/* What the lower build looks at behind the session's back, and how long its answer lasts. */
static const char *word, *asked; /* asked: the path of requests */
static int64_t lasts_ms;

/* A process, or what is as good: a cache of its own on the one store. */
struct house {
    tier_cache *cache;
    const tier_type *lower, *upper;
};

static int build_lower(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    (void)user;
    int rc = tier_file(s, q->path, &v);
    if (!rc && lasts_ms)
        rc = tier_expires(s, lasts_ms);
    return rc ? rc : tier_out_bytes(out, word, strlen(word));
}

/* What it reads is decided by the word. */
static int build_chooses(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    (void)user;
    int rc = tier_file(s, q->path, &v);
    rc = rc ? rc : tier_file(s, word, &v);
    return rc ? rc : tier_out_bytes(out, v.data, v.size);
}

/* An object that never goes to disk: a later process knows its hash alone. */
static int build_object(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    (void)user;
    int rc = tier_file(s, q->path, &v);
    return rc ? rc : tier_out_object(out, strdup(word), 16);
}

static void destroy_object(void *object, void *user)
{
    (void)user;
    free(object);
}

static int print_object(const void *object, tier_out *out, void *user)
{
    (void)user;
    return tier_out_bytes(out, object, strlen(object));
}

/* Looks which of the leaves are there, and says what the lower one says. */
static int build_upper(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    const struct house *h = user;
    tier_query inner = {.type = h->lower, .path = q->path};
    char name[32], kind;
    tier_value v;
    for (int i = 0; i < LEAVES; i++) {
        snprintf(name, sizeof name, "leaf%d", i);
        tier_stat(s, name, &kind);
    }
    int rc = tier_get(s, &inner, &v);
    const char *text = rc ? "" : v.object ? v.object : v.data;
    return rc ? rc : tier_out_bytes(out, text, strlen(text));
}

static int (*lower_build)(tier_session *, const tier_query *, tier_out *, void *);

static void enter(struct house *h, uint32_t flags, const char *setting)
{
    tier_type_def d = TIER_INIT(tier_type_def);
    assert_null(cache);
    open_cache(flags, setting);
    h->cache = cache;
    cache = NULL;
    d.name = "lower";
    d.tier = TIER_DELTA;
    d.build = lower_build;
    if (d.build == build_object) {
        d.destroy = destroy_object;
        d.fingerprint = print_object;
    }
    assert_int_equal(tier_define(h->cache, &d, &h->lower), 0);
    d = (tier_type_def)TIER_INIT(tier_type_def);
    d.name = "upper";
    d.tier = TIER_DELTA;
    d.build = build_upper;
    d.user = h;
    assert_int_equal(tier_define(h->cache, &d, &h->upper), 0);
}

static void leave(struct house *h)
{
    assert_int_equal(tier_close(&h->cache), 0);
}

static tier_session *session(struct house *h, uint32_t flags)
{
    cache = h->cache;
    tier_session *s = begin(flags);
    cache = NULL;
    return s;
}

static long count(struct house *h, const char *name)
{
    cache = h->cache;
    long n = counted(name);
    cache = NULL;
    return n;
}

static void expect_in(tier_session *s, const tier_type *type, const char *want)
{
    tier_query q = {.type = type, .path = asked};
    tier_value v;
    assert_int_equal(tier_get(s, &q, &v), 0);
    assert_string_equal(v.object ? v.object : v.data, want);
}

/* A session with a flag is not sampled. */
enum { UNSAMPLED = TIER_CANCEL_ON_CHANGE };

static void expect(struct house *h, uint32_t flags, const tier_type *type, const char *want)
{
    tier_session *s = session(h, flags);
    expect_in(s, type, want);
    assert_int_equal(tier_end(&s), 0);
}

/* In a process of its own; hits: of a list, on the way. */
static void expect_anew(bool upper, const char *want, long hits)
{
    struct house h;
    enter(&h, 0, NULL);
    expect(&h, 0, upper ? h.upper : h.lower, want);
    assert_int_equal(count(&h, "closure.hit"), hits);
    leave(&h);
}

static void plant_with(int (*build)(tier_session *, const tier_query *, tier_out *, void *))
{
    char name[32];
    put("a", "content of a");
    put("old", "old");
    put("new", "new");
    for (int i = 0; i < LEAVES; i++) {
        snprintf(name, sizeof name, "leaf%d", i);
        put(name, "");
    }
    usleep(60000); /* their stamps are not too young then */
    word = "old";
    asked = "a";
    lasts_ms = 0;
    lower_build = build;
}

static void plant(void)
{
    plant_with(build_lower);
    expect_anew(true, "old", 0);
    expect_anew(true, "old", 1);
}

static void audit_lower(const char *now)
{
    struct house h;
    word = now;
    enter(&h, TIER_AUDIT, NULL);
    expect(&h, 0, h.lower, now);
    leave(&h);
}

static void audited_in_the_same_process(void **state)
{
    struct house h;
    (void)state;
    plant();
    enter(&h, 0, "verify.sample=1");
    expect(&h, UNSAMPLED, h.upper, "old");
    assert_int_equal(count(&h, "closure.hit"), 1);
    word = "new";
    expect(&h, 0, h.lower, "new");
    expect(&h, UNSAMPLED, h.upper, "new");
    expect(&h, UNSAMPLED, h.upper, "new");
    assert_int_equal(count(&h, "closure.hit"), 2);
    leave(&h);
    expect_anew(true, "new", 1);
}

static void audited_in_another_process(void **state)
{
    struct house h;
    (void)state;
    plant();
    enter(&h, 0, NULL);
    expect(&h, 0, h.upper, "old");
    expect(&h, 0, h.lower, "old"); /* in memory, under the key that has another answer soon */
    audit_lower("new");
    expect(&h, 0, h.upper, "new");
    assert_int_equal(count(&h, "closure.hit"), 1);
    expect(&h, 0, h.upper, "new");
    assert_int_equal(count(&h, "closure.hit"), 2);
    leave(&h);
    expect_anew(true, "new", 1);
}

/* The store has lost the record, and the process lets go of its own: the value goes with it. */
static void let_go_of_with_its_value(void **state)
{
    struct house h;
    tier__write *w;
    (void)state;
    plant();
    asked = "old";
    expect_anew(true, "old", 0);
    enter(&h, 0, NULL);
    asked = "a";
    expect(&h, 0, h.lower, "old");
    assert_int_equal(tier__write_begin(h.cache->store, &w), 0);
    for (size_t i = 0; i < h.cache->nodes.bucket_count; i++)
        for (tier__node *n = h.cache->nodes.bucket[i]; n; n = n->chain)
            assert_int_equal(tier__write_del(w, TIER__VARIANT, n->identity.byte, 32), 0);
    assert_int_equal(tier__write_commit(&w), 0);
    asked = "old";
    audit_lower("new");
    asked = "a";
    expect(&h, 0, h.lower, "new");
    leave(&h);
}

/* What it lists itself holds for the next process. */
static void who_audits_lists_the_new_answer(void **state)
{
    struct house h;
    (void)state;
    plant();
    word = "new";
    enter(&h, TIER_AUDIT, NULL);
    expect(&h, 0, h.upper, "new");
    leave(&h);
    expect_anew(true, "new", 1);
}

static void an_answer_of_other_reads(void **state)
{
    (void)state;
    plant_with(build_chooses);
    expect_anew(true, "old", 0);
    audit_lower("new");
    expect_anew(true, "new", 0);
    expect_anew(true, "new", 1);
}

static void built_again_for_its_value(void **state)
{
    struct house h;
    (void)state;
    plant_with(build_object);
    expect_anew(true, "old", 0);
    word = "new";
    enter(&h, 0, NULL);
    expect(&h, 0, h.lower, "new");
    assert_true(count(&h, "alarm.undeclared") > 0);
    expect(&h, 0, h.upper, "new");
    leave(&h);
    word = "newer";
    enter(&h, 0, NULL);
    expect(&h, 0, h.upper, "new"); /* by its list: what lies below is not asked for */
    assert_int_equal(count(&h, "closure.hit"), 1);
    expect(&h, 0, h.lower, "newer");
    leave(&h);
    expect_anew(true, "newer", 0);
}

/* The view goes on with what it knew, so what is listed in it is of the old answer. */
static void built_again_for_a_view_that_knew_the_old_one(void **state)
{
    struct house h;
    (void)state;
    plant_with(build_object);
    expect_anew(true, "old", 0);
    word = "new";
    enter(&h, 0, NULL);
    assert_int_equal(tier_invalidate(h.cache, TIER_BY_TYPE, "upper"), 0);
    expect(&h, 0, h.upper, "new");
    leave(&h);
    expect_anew(true, "new", 0);
}

/* Each replaces something, and lists something else: what was listed does not know of the other's. */
static void two_replace(void **state)
{
    struct house h;
    (void)state;
    plant();
    asked = "old";
    expect_anew(true, "old", 0);
    enter(&h, 0, "verify.sample=1");
    asked = "a";
    word = "new";
    expect(&h, 0, h.lower, "new");
    asked = "old";
    expect(&h, UNSAMPLED, h.upper, "old");
    audit_lower("newer");
    leave(&h);
    expect_anew(true, "newer", 0);
}

/* Two processes make it without hearing of each other: who commits last has the answer. */
static void two_at_a_time(void **state)
{
    struct house first, last;
    (void)state;
    plant_with(build_lower);
    enter(&last, 0, NULL);
    word = "new";
    expect(&last, 0, last.lower, "new");
    enter(&first, 0, NULL);
    word = "old";
    expect(&first, 0, first.upper, "old");
    leave(&first);
    expect_anew(true, "old", 1);
    word = "new";
    assert_int_equal(tier_flush(last.cache), 0);
    expect_anew(true, "new", 0);
    expect(&last, 0, last.upper, "new");
    leave(&last);
    expect_anew(true, "new", 1);
}

/* A session that began before lists what it stands on, and that comes to the disk after. */
static void listed_by_who_began_before(void **state)
{
    struct house h;
    (void)state;
    plant();
    enter(&h, 0, NULL);
    tier_session *before = session(&h, 0);
    audit_lower("new");
    tier_session *after = session(&h, 0); /* the process has heard of it */
    assert_int_equal(tier_end(&after), 0);
    put("leaf7", "");
    usleep(60000);
    expect_in(before, h.upper, "old"); /* the leaf is what it was: a new list is made */
    assert_int_equal(tier_end(&before), 0);
    leave(&h);
    expect_anew(true, "new", 0);
}

/* Another answer lies under the content key that was listed: whether that still holds, the list does not say.
 */
static void the_rest_of_a_list_is_of_the_old_answer(void **state)
{
    char path[192];
    struct house h, auditor;
    (void)state;
    plant();
    enter(&h, 0, NULL);
    enter(&auditor, TIER_AUDIT, NULL);
    word = "new";
    lasts_ms = 1;
    expect(&auditor, 0, auditor.lower, "new");
    usleep(5000);
    tier_session *before = session(&h, 0);
    leave(&auditor);
    tier_session *after = session(&h, 0);
    assert_int_equal(tier_end(&after), 0);
    word = "newest";
    snprintf(path, sizeof path, "%s/src/leaf7", top);
    assert_int_equal(unlink(path), 0);
    expect_in(before, h.upper, "newest");
    assert_int_equal(count(&h, "closure.miss"), 1); /* the other leaves were used */
    assert_int_equal(tier_end(&before), 0);
    leave(&h);
}

/* It died with what it had found: nobody has heard, and nothing is otherwise. */
static void not_committed(void **state)
{
    int status;
    struct house h;
    (void)state;
    plant();
    pid_t child = fork();
    if (child == 0) {
        word = "new";
        enter(&h, TIER_AUDIT, NULL);
        expect(&h, 0, h.lower, "new");
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    expect_anew(true, "old", 1);
    expect_anew(false, "old", 0);
}

/* The store has the old answer for good, and this process the new one: what it lists is for itself. */
static void a_commit_that_failed(void **state)
{
    struct house h, other;
    tier__write *w;
    struct tier__buf b;
    (void)state;
    plant();
    enter(&other, 0, NULL);
    assert_int_equal(setenv("TIERKIT_STORE_LOCK_MS", "20", 1), 0);
    enter(&h, 0, "verify.sample=1");
    assert_int_equal(unsetenv("TIERKIT_STORE_LOCK_MS"), 0);
    word = "new";
    expect(&h, 0, h.lower, "new");
    tier__buf_init(&b, &other.cache->base);
    assert_int_equal(tier__write_begin(other.cache->store, &w), 0);
    tier__write_get(w, TIER__META, "names", 5, &b); /* has the lock */
    tier__buf_fini(&b);
    assert_int_not_equal(tier_flush(h.cache), 0);
    tier__write_abort(&w);
    expect(&h, UNSAMPLED, h.upper, "new");
    leave(&h);
    leave(&other);
    expect_anew(false, "old", 0);
    expect_anew(true, "old", 0);
}

/* Who may not write has it for itself, and disturbs nobody. */
static void read_only(void **state)
{
    struct house h;
    (void)state;
    plant();
    enter(&h, TIER_READ_ONLY, "verify.sample=1");
    expect(&h, UNSAMPLED, h.upper, "old");
    word = "new";
    expect(&h, 0, h.lower, "new");
    expect(&h, UNSAMPLED, h.upper, "new");
    leave(&h);
    word = "newer";
    expect_anew(true, "old", 1);
}

/* Nobody can say then which lists are from before: one walk for each, once. */
static void the_number_is_lost(void **state)
{
    struct house h;
    tier__write *w;
    (void)state;
    plant();
    enter(&h, 0, NULL);
    assert_int_equal(tier__write_begin(h.cache->store, &w), 0);
    assert_int_equal(tier__write_del(w, TIER__META, "replaced", 8), 0);
    assert_int_equal(tier__write_commit(&w), 0);
    leave(&h);
    expect_anew(true, "old", 0);
    expect_anew(true, "old", 1);
}

/* What expires is made again by the rule: other lists need not be looked through for it. */
static void an_expired_answer_replaces_nothing(void **state)
{
    struct house h;
    (void)state;
    plant();
    lasts_ms = 1;
    enter(&h, 0, NULL);
    tier_query q = {.type = h.lower, .path = "old"};
    for (int i = 0; i < 2; i++) {
        tier_session *s = session(&h, 0);
        tier_value v;
        word = i ? "second" : "first";
        assert_int_equal(tier_get(s, &q, &v), 0);
        assert_string_equal(v.data, word);
        assert_int_equal(tier_end(&s), 0);
        assert_int_equal(tier_flush(h.cache), 0);
        usleep(5000);
    }
    expect(&h, 0, h.upper, "old");
    assert_int_equal(count(&h, "closure.hit"), 1);
    leave(&h);
    expect_anew(true, "old", 1);
}

/* ---- in any order */
enum { HOUSES = 3, STEPS = 400 };

static unsigned random_below(unsigned n)
{
    static uint64_t x = 20261130;
    const char *seed = getenv("TIER_SEED");
    if (x == 20261130 && seed)
        x = strtoull(seed, NULL, 10) * 2654435761u + 1;
    x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(x >> 33) % n;
}

/* Two sessions that begin at a time: what one says by a list, the other says by walking. A fork's answers
 * come of no list. */
static void lists_say_what_a_walk_says(struct house *h, const char *path)
{
    tier_session *s = session(h, UNSAMPLED), *other = session(h, UNSAMPLED), *child;
    tier_query q = {.type = h->upper, .path = path};
    tier_value listed, walked;
    assert_int_equal(tier_fork(other, &child), 0);
    assert_int_equal(tier_get(s, &q, &listed), 0);
    assert_int_equal(tier_get(child, &q, &walked), 0);
    assert_string_equal(listed.data, walked.data);
    assert_int_equal(tier_end(&child) | tier_end(&other) | tier_end(&s), 0);
}

static void in_a_new_process(void)
{
    static const char *const paths[] = {"a", "old"};
    for (int i = 0; i < 2; i++) {
        struct house h;
        enter(&h, 0, NULL);
        lists_say_what_a_walk_says(&h, paths[i]);
        leave(&h);
    }
}

static void live(struct house *h)
{
    static const char *const words[] = {"old", "new", "newer"};
    tier_value v;
    unsigned what = random_below(8);
    tier_query q = {.type = h->lower, .path = random_below(2) ? "a" : "old"};
    word = words[random_below(3)];
    if (!h->cache) {
        enter(h, 0, "verify.sample=1");
    } else if (what == 0) {
        leave(h);
    } else if (what == 1) {
        assert_int_equal(tier_flush(h->cache), 0);
    } else if (what < 5) {
        lists_say_what_a_walk_says(h, q.path);
    } else {
        tier_session *s = session(h, what == 5 ? UNSAMPLED : 0);
        q.type = what == 7 ? h->upper : h->lower;
        assert_int_equal(tier_get(s, &q, &v), 0);
        assert_int_equal(tier_end(&s), 0);
    }
}

static void in_any_order(void **state)
{
    struct house h[HOUSES];
    (void)state;
    plant();
    asked = "old";
    expect_anew(true, "old", 0);
    memset(h, 0, sizeof h);
    for (int i = 0; i < STEPS; i++) {
        live(&h[random_below(HOUSES)]);
        if (random_below(10) == 0)
            in_a_new_process();
    }
    for (int i = 0; i < HOUSES; i++)
        if (h[i].cache)
            leave(&h[i]);
    in_a_new_process();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    static const struct CMUnitTest tests[] = {
        TEST(audited_in_the_same_process),
        TEST(audited_in_another_process),
        TEST(let_go_of_with_its_value),
        TEST(who_audits_lists_the_new_answer),
        TEST(an_answer_of_other_reads),
        TEST(built_again_for_its_value),
        TEST(built_again_for_a_view_that_knew_the_old_one),
        TEST(two_at_a_time),
        TEST(two_replace),
        TEST(listed_by_who_began_before),
        TEST(the_rest_of_a_list_is_of_the_old_answer),
        TEST(not_committed),
        TEST(a_commit_that_failed),
        TEST(read_only),
        TEST(the_number_is_lost),
        TEST(an_expired_answer_replaces_nothing),
        TEST(in_any_order),
    };
    return cmocka_run_group_tests_name("replaced", tests, NULL, NULL);
}
