/* Cancellation storms: threads ask a program of nested builds while others cancel sessions by id (live,
 * ended, not yet begun), change an input, and let deadlines pass. What was canceled, or failed for now,
 * leaves nothing and harms nobody who waited; what came to an end, well or not, came to it once, and is on
 * disk as it was. */
/* concurrent */
#include "tests/unit/process.h"
#include <pthread.h>

enum { NODES = 40, VALUES = 4, THREADS = 4, SESSIONS = 150, ASKED = 6, TEXT = 32 };

struct storm {
    struct world w;
    const tier_type *type;
    atomic_int ended[NODES][VALUES]; /* builds that came to an end, by what they depend on */
    atomic_int builds, fault;
    atomic_uint_fast64_t newest; /* session id */
    atomic_bool stop;
    bool calm; /* no failures for now */
};

#define CHECK(k, condition)                                               \
    do {                                                                  \
        int none = 0;                                                     \
        if (!(condition))                                                 \
            atomic_compare_exchange_strong(&(k)->fault, &none, __LINE__); \
    } while (0)

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t h = (a ^ 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu + b;
    h = (h ^ h >> 29) * 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 32;
}

/* ---- the program, over a session and without one */
static int children(int node, int child[2])
{
    int n = 0;
    for (int i = 1; i <= 2 && 2 * node + i < NODES; i++)
        child[n++] = 2 * node + i;
    if (node >= 3 && node + 7 < NODES && n < 2) /* some are shared */
        child[n++] = node + 7;
    return n;
}

static bool reads_input(int node)
{
    return node % 3 == 0;
}

static bool depends_on_input(int node)
{
    int child[2], n = children(node, child);
    bool d = reads_input(node);
    for (int i = 0; i < n; i++)
        d |= depends_on_input(child[i]);
    return d;
}

static bool is_bad(int node, int value)
{
    return node % 15 == 12 && value % 2;
}

/* 0, or TIER_EBUILD with the failure's text. */
static int expected(int node, int value, uint64_t *number, char text[TEXT])
{
    int child[2], n = children(node, child), rc = 0;
    uint64_t below;
    *number = mix((uint64_t)node, reads_input(node) ? (uint64_t)value : 99);
    if (is_bad(node, value)) {
        snprintf(text, TEXT, "%d does not like %d", node, value);
        return TIER_EBUILD;
    }
    for (int i = 0; i < n && !rc; i++) {
        rc = expected(child[i], value, &below, text);
        *number = mix(*number, rc ? 0 : below);
    }
    return rc;
}

static int get(tier_session *s, const tier_type *t, int node, uint64_t *number)
{
    tier_value v;
    tier_query q = {.type = t, .args = &node, .args_size = sizeof node};
    int rc = tier_get(s, &q, &v);
    if (!rc)
        memcpy(number, v.data, sizeof *number);
    return rc;
}

static int input(tier_session *s, int *value)
{
    tier_value v;
    int rc = tier_input(s, "value", &v);
    *value = rc ? 0 : *(const char *)v.data - '0';
    return rc;
}

static int compute(struct storm *k, tier_session *s, const tier_query *q, int node, uint64_t *number)
{
    int child[2], n = children(node, child), value = 99, rc = 0;
    uint64_t below, chance = mix((uint64_t)atomic_fetch_add(&k->builds, 1), 5);
    char text[TEXT];
    if (reads_input(node) && (rc = input(s, &value)))
        return rc;
    *number = mix((uint64_t)node, (uint64_t)value);
    if (!k->calm && chance % 16 == 0)
        return tier_fail(s, TIER_ETRANSIENT, "no luck");
    for (int i = 0; !k->calm && i < (int)(chance / 16 % 4); i++) {
        usleep(20);
        if ((rc = tier_cancelled(s)))
            return rc;
    }
    if (is_bad(node, value)) {
        snprintf(text, sizeof text, "%d does not like %d", node, value);
        return tier_fail(s, TIER_EBUILD, text);
    }
    for (int i = 0; i < n && !rc; i++)
        if (!(rc = get(s, q->type, child[i], &below)))
            *number = mix(*number, below);
    return rc;
}

static _Thread_local int view_value; /* of the session that asks: to count by, no dependency */

static int build_node(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct storm *k = user;
    int node;
    uint64_t number;
    memcpy(&node, q->args, sizeof node);
    int rc = compute(k, s, q, node, &number);
    if (rc && rc != TIER_EBUILD)
        return rc;
    atomic_fetch_add(&k->ended[node][depends_on_input(node) ? view_value : 0], 1);
    return rc ? rc : tier_out_bytes(out, &number, sizeof number);
}

/* ---- who asks, and the storm */
static void storm_open(struct storm *k)
{
    tier_type_def d = TIER_INIT(tier_type_def);
    world_open(&k->w, "verify.sample=0"); /* audits build on purpose */
    d.name = "node";
    d.tier = TIER_DELTA;
    d.build = build_node;
    d.user = k;
    if (tier_define(k->w.c, &d, &k->type))
        _exit(98);
}

/* A failure for now is right at any time in a storm; an answer has to be the answer. */
static void check_answer(struct storm *k, tier_session *s, int node, int rc, uint64_t number)
{
    uint64_t right;
    char text[TEXT];
    int want = expected(node, view_value, &right, text);
    if (rc == 0)
        CHECK(k, want == 0 && number == right);
    else if (rc == TIER_EBUILD)
        CHECK(k, want == TIER_EBUILD && strcmp(tier_detail(s), text) == 0);
    else
        CHECK(k, !k->calm && (rc == TIER_ECANCELED || rc == TIER_ETIMEOUT || rc == TIER_ETRANSIENT));
}

struct worker {
    struct storm *k;
    uint64_t random;
    int answers, refused;
};

static void *work(void *user)
{
    struct worker *me = user;
    struct storm *k = me->k;
    for (int i = 0; i < SESSIONS; i++) {
        tier_session_options o = TIER_INIT(tier_session_options);
        tier_session *s;
        uint64_t number = 0;
        me->random = mix(me->random, 1);
        o.flags = me->random % 3 ? 0 : TIER_CANCEL_ON_CHANGE;
        o.deadline_ms = me->random / 3 % 4 ? 0 : 1 + (int64_t)(me->random / 12 % 3);
        CHECK(k, tier_begin(k->w.c, &o, &s) == 0);
        atomic_store(&k->newest, tier_session_id(s));
        if (!input(s, &view_value))
            for (int n = 0; n < ASKED; n++) {
                me->random = mix(me->random, 2);
                int node = (int)(me->random % NODES);
                int rc = get(s, k->type, node, &number);
                check_answer(k, s, node, rc, number);
                me->answers += rc == 0 || rc == TIER_EBUILD;
                me->refused += rc == TIER_ECANCELED || rc == TIER_ETIMEOUT;
            }
        CHECK(k, tier_end(&s) == 0);
    }
    return NULL;
}

static void *cancel(void *user)
{
    struct storm *k = user;
    for (uint64_t random = 7; !atomic_load(&k->stop); usleep(100)) {
        random = mix(random, 3);
        uint64_t newest = atomic_load(&k->newest);
        tier_cancel(k->w.c, newest + 2 > random % 8 ? newest + 2 - random % 8 : 1);
    }
    return NULL;
}

static void *change(void *user)
{
    struct storm *k = user;
    for (int i = 0; !atomic_load(&k->stop); i++, usleep(300))
        tier_set_input(k->w.c, "value", (char[]){(char)('0' + i % VALUES)}, 1);
    return NULL;
}

/* Everything, under every value, in peace: right, and built at most once since the beginning. */
static void calm_after(struct storm *k, bool nothing_runs)
{
    int before = atomic_load(&k->builds);
    k->calm = true;
    for (int value = 0; value < VALUES; value++) {
        tier_session *s;
        uint64_t number = 0;
        assert_int_equal(tier_set_input(k->w.c, "value", (char[]){(char)('0' + value)}, 1), 0);
        assert_int_equal(tier_begin(k->w.c, NULL, &s), 0);
        assert_int_equal(input(s, &view_value), 0);
        for (int node = 0; node < NODES; node++) {
            int rc = get(s, k->type, node, &number);
            check_answer(k, s, node, rc, number);
        }
        assert_int_equal(tier_end(&s), 0);
    }
    assert_int_equal(k->fault, 0);
    for (int node = 0; node < NODES; node++)
        for (int value = 0; value < (depends_on_input(node) ? VALUES : 1); value++)
            assert_int_equal(k->ended[node][value], 1);
    if (nothing_runs)
        assert_int_equal(k->builds, before);
}

static void test_storm(void **state)
{
    struct storm *k = calloc(1, sizeof *k);
    struct worker worker[THREADS];
    pthread_t thread[THREADS + 2];
    const char *seed = getenv("TIER_SEED");
    uint64_t start = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL);
    int answers = 0, refused = 0;
    print_message("TIER_SEED=%llu\n", (unsigned long long)start);
    memcpy(k->w.dir, ((struct world *)*state)->dir, sizeof k->w.dir);
    k->w.fixed = true;
    storm_open(k);
    assert_int_equal(tier_set_input(k->w.c, "value", "0", 1), 0);
    for (int i = 0; i < THREADS; i++) {
        worker[i] = (struct worker){.k = k, .random = mix(start, (uint64_t)i)};
        assert_int_equal(pthread_create(&thread[i], NULL, work, &worker[i]), 0);
    }
    assert_int_equal(pthread_create(&thread[THREADS], NULL, cancel, k), 0);
    assert_int_equal(pthread_create(&thread[THREADS + 1], NULL, change, k), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        answers += worker[i].answers;
        refused += worker[i].refused;
    }
    atomic_store(&k->stop, true);
    pthread_join(thread[THREADS], NULL);
    pthread_join(thread[THREADS + 1], NULL);
    assert_int_equal(k->fault, 0);
    assert_true(answers > 0 && refused > 0);
    calm_after(k, false);
    assert_int_equal(tier_close(&k->w.c), 0);
    storm_open(k); /* and from the disk */
    calm_after(k, true);
    assert_int_equal(tier_close(&k->w.c), 0);
    free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_storm, world_setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
