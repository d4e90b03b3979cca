/* Many threads, with sessions of their own and with forks of one, ask overlapping requests of a random
 * program while its files change. Every answer must be what the view's own bytes give; within a view nothing
 * is built twice; nobody waits for ever. */
/* concurrent */
#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "include/tierkit.h"

enum { THREADS = 4, FILES = 6, NODES = 24, RING = 5, ROUNDS = 60, BYTES = 64 };

/* A node reads file (node % FILES); what is in there decides which greater nodes it asks for, so that edits
 * change the program, too, and not only its values. */
struct world {
    char base[256], root[280], cache[280];
    tier_cache *c;
    const tier_type *mix, *ring, *fan;
    atomic_int builds[NODES], built, fault;
    atomic_bool stop;
    pthread_barrier_t start;
    tier_session *shared; /* of the forks */
    atomic_uint_fast64_t id[THREADS],
        canceled[THREADS]; /* of each thread's session; of the last one canceled */
};

struct worker {
    struct world *w;
    int number;
    uint64_t random;
    tier_session *s;
    int answers, refused; /* refused: the tree changed under the view, or the session was canceled */
};

#define CHECK(w, condition)                                               \
    do {                                                                  \
        int none = 0;                                                     \
        if (!(condition))                                                 \
            atomic_compare_exchange_strong(&(w)->fault, &none, __LINE__); \
    } while (0)

static uint64_t mix64(uint64_t a, uint64_t b)
{
    uint64_t h = (a ^ 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu + b;
    h = (h ^ h >> 29) * 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 32;
}

static uint32_t any(struct worker *k, uint32_t below)
{
    k->random = mix64(k->random, 1);
    return (uint32_t)(k->random % below);
}

static uint64_t hash_of(const void *data, size_t size)
{
    uint64_t h = size;
    for (size_t i = 0; i < size; i++)
        h = mix64(h, ((const unsigned char *)data)[i]);
    return h;
}

/* The nodes that a node asks for: up to three, all greater. */
static int children(int node, uint64_t content, int child[3])
{
    int n = 0;
    uint64_t h = mix64(content, (uint64_t)node);
    for (int i = 0; i < 3 && node + 1 < NODES; i++, h = mix64(h, 7))
        if (h % 4)
            child[n++] = node + 1 + (int)(h / 4 % (uint64_t)(NODES - node - 1));
    return n;
}

static void name_of(int file, char name[16])
{
    snprintf(name, 16, "f%d", file);
}

/* ---- the program: over a session, and naively over bytes ---- */
static int file_hash(tier_session *s, int file, uint64_t *h)
{
    char name[16];
    tier_value v;
    name_of(file, name);
    int rc = tier_file(s, name, &v);
    if (!rc)
        *h = hash_of(v.data, v.size);
    return rc;
}

static int get_number(tier_session *s, const tier_type *type, int node, uint64_t *number)
{
    tier_value v;
    tier_query q = {.type = type, .args = &node, .args_size = sizeof node};
    int rc = tier_get(s, &q, &v);
    if (!rc)
        memcpy(number, v.data, sizeof *number);
    return rc;
}

static int build_mix(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct world *w = user;
    int node, child[3];
    uint64_t content = 0, number, one;
    memcpy(&node, q->args, sizeof node);
    atomic_fetch_add(&w->builds[node], 1);
    int rc = file_hash(s, node % FILES, &content);
    number = mix64(content, (uint64_t)node);
    if (node % 3 == 0)
        usleep(200); /* time for others to want it, too */
    for (int i = 0, n = children(node, content, child); !rc && i < n; i++) {
        rc = get_number(s, w->mix, child[i], &one);
        number = mix64(number, one);
    }
    return rc ? rc : tier_out_bytes(out, &number, sizeof number);
}

/* What the program gives on these contents; asked: the nodes that it needs. */
static uint64_t expected(int node, const uint64_t content[FILES], bool asked[NODES])
{
    uint64_t number[NODES];
    bool needed[NODES] = {false};
    int child[3];
    needed[node] = true;
    for (int i = 0; i < NODES; i++)
        for (int k = 0, n = needed[i] ? children(i, content[i % FILES], child) : 0; k < n; k++)
            needed[child[k]] = true;
    for (int i = NODES - 1; i >= 0; i--) {
        number[i] = mix64(content[i % FILES], (uint64_t)i);
        for (int k = 0, n = children(i, content[i % FILES], child); k < n; k++)
            number[i] = mix64(number[i], number[child[k]]);
        if (asked)
            asked[i] |= needed[i];
    }
    return number[node];
}

/* A request of a build on a thread of its own, through a fork. */
struct half {
    struct world *w;
    const tier_type *type;
    tier_session *s;
    pthread_t thread;
    int node, rc;
    uint64_t number;
};

static void *run_half(void *user)
{
    struct half *h = user;
    h->rc = get_number(h->s, h->type, h->node, &h->number);
    CHECK(h->w, tier_end(&h->s) != TIER_EBUSY);
    return NULL;
}

static int start_half(tier_session *s, struct half *h)
{
    int rc = tier_fork(s, &h->s);
    if (!rc && pthread_create(&h->thread, NULL, run_half, h)) {
        tier_end(&h->s);
        rc = tier_fail(s, TIER_ETRANSIENT, "no thread");
    }
    return rc;
}

static int join_half(struct half *h)
{
    pthread_join(h->thread, NULL);
    return h->rc;
}

/* A ring that file 0 opens: node i needs i + 1, the last needs 0 where the file's first byte is odd. Node 1
 * asks on another thread. */
static int build_ring(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct world *w = user;
    struct half h = {.w = w, .type = w->ring};
    tier_value v = {.size = 0};
    uint64_t number = 1;
    int node, rc = 0;
    memcpy(&node, q->args, sizeof node);
    bool last = node == RING - 1;
    if (last)
        rc = tier_file(s, "f0", &v);
    h.node = (node + 1) % RING;
    if (!rc && node == 1) {
        rc = start_half(s, &h);
        rc = rc ? rc : join_half(&h);
        number = h.number;
    } else if (!rc && (!last || ((const char *)v.data)[0] % 2)) {
        rc = get_number(s, w->ring, h.node, &number);
    }
    number++;
    return rc ? rc : tier_out_bytes(out, &number, sizeof number);
}

/* Asks for two things at once, as a build with much to do would. */
static int build_fan(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct world *w = user;
    struct half half[2] = {{.w = w, .type = w->mix}, {.w = w, .type = w->mix}};
    int node, started = 0, rc = 0;
    memcpy(&node, q->args, sizeof node);
    for (; started < 2; started++) {
        half[started].node = (node + started * 5) % NODES;
        if ((rc = start_half(s, &half[started])))
            break;
    }
    for (int i = 0, one; i < started; i++) {
        one = join_half(&half[i]);
        rc = rc ? rc : one;
    }
    uint64_t number = mix64(half[0].number, half[1].number);
    return rc ? rc : tier_out_bytes(out, &number, sizeof number);
}

/* ---- the world ---- */
static bool write_file(struct world *w, int file, uint64_t seed)
{
    char path[320], temporary[340], name[16], text[BYTES];
    name_of(file, name);
    snprintf(path, sizeof path, "%s/%s", w->root, name);
    snprintf(temporary, sizeof temporary, "%s.new", path);
    for (int i = 0; i < BYTES; i++)
        text[i] = (char)('0' + mix64(seed, (uint64_t)i) % 10);
    FILE *f = fopen(temporary, "w");
    bool fine = f && fwrite(text, 1, BYTES, f) == BYTES;
    return f && !fclose(f) && fine && !rename(temporary, path);
}

static const tier_type *define(struct world *w, const char *name,
                               int (*build)(tier_session *, const tier_query *, tier_out *, void *))
{
    tier_type_def d = TIER_INIT(tier_type_def);
    const tier_type *type = NULL;
    d.name = name;
    d.tier = TIER_DELTA;
    d.build = build;
    d.user = w;
    assert_int_equal(tier_define(w->c, &d, &type), 0);
    return type;
}

static int setup(void **state)
{
    const char *tmp = getenv("TMPDIR"), *settings[] = {"verify.sample=0"};
    struct world *w = calloc(1, sizeof *w);
    tier_options o = TIER_INIT(tier_options);
    assert_non_null(w);
    snprintf(w->base, sizeof w->base, "%s/sessions.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(w->base));
    snprintf(w->root, sizeof w->root, "%s/root", w->base);
    snprintf(w->cache, sizeof w->cache, "%s/cache", w->base);
    assert_int_equal(mkdir(w->root, 0755), 0);
    for (int i = 0; i < FILES; i++)
        assert_true(write_file(w, i, (uint64_t)i));
    const tier_root root = {"", w->root};
    o.app = "sessions";
    o.app_version = "1";
    o.dir = w->cache;
    o.profile = "dev";
    o.roots = &root;
    o.root_count = 1;
    o.settings = settings;
    o.setting_count = 1;
    assert_int_equal(tier_open(&o, &w->c), 0);
    w->mix = define(w, "mix", build_mix);
    w->ring = define(w, "ring", build_ring);
    w->fan = define(w, "fan", build_fan);
    assert_int_equal(pthread_barrier_init(&w->start, NULL, THREADS), 0);
    *state = w;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)st;
    (void)type;
    (void)f;
    return remove(path);
}

static int teardown(void **state)
{
    struct world *w = *state;
    assert_int_equal(tier_close(&w->c), 0);
    pthread_barrier_destroy(&w->start);
    assert_int_equal(nftw(w->base, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    free(w);
    return 0;
}

/* Runs fn on THREADS threads, and beside on one more; the answers of all. */
static int run_threads(struct world *w, struct worker k[THREADS], void *(*fn)(void *),
                       void *(*beside)(void *))
{
    pthread_t thread[THREADS], other;
    int answers = 0;
    w->stop = false;
    if (beside)
        assert_int_equal(pthread_create(&other, NULL, beside, w), 0);
    for (int i = 0; i < THREADS; i++) {
        tier_session *s = k[i].s;
        k[i] = (struct worker){.w = w, .number = i, .random = mix64(42, (uint64_t)i), .s = s};
        assert_int_equal(pthread_create(&thread[i], NULL, fn, &k[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        answers += k[i].answers;
    }
    w->stop = true;
    if (beside)
        assert_int_equal(pthread_join(other, NULL), 0);
    if (w->fault)
        fail_msg("the check in line %d failed", (int)w->fault);
    return answers;
}

static void *change_files(void *user)
{
    struct world *w = user;
    for (uint64_t n = 1000; !w->stop; n++) {
        CHECK(w, write_file(w, (int)(mix64(n, 3) % FILES), mix64(n, 4)));
        usleep(300);
    }
    return NULL;
}

/* ---- asking and judging ---- */
/* The bytes that the view has; they were looked at before, or are from now on. */
static int view_contents(tier_session *s, uint64_t content[FILES])
{
    int rc = 0;
    for (int i = 0; i < FILES && !rc; i++)
        rc = file_hash(s, i, &content[i]);
    return rc;
}

/* Some overlapping requests, each against the view's own bytes. An error is allowed where mayfail says so. */
static void ask(struct worker *k, tier_session *s, int count, int mayfail)
{
    int node[8];
    uint64_t number[8], content[FILES], a, b;
    int rc = 0, got = 0;
    for (; got < count && !rc; got++) {
        node[got] = (int)any(k, NODES);
        bool fan = node[got] % 4 == 0;
        rc = get_number(s, fan ? k->w->fan : k->w->mix, node[got], &number[got]);
        if (fan)
            node[got] = -node[got] - 1;
    }
    if (!rc)
        rc = view_contents(s, content);
    if (rc) {
        CHECK(k->w, rc == TIER_ECHANGED || (rc == mayfail && rc == tier_cancelled(s)));
        k->refused++;
        return;
    }
    for (int i = 0; i < got; i++) {
        int n = node[i] < 0 ? -node[i] - 1 : node[i];
        a = expected(n, content, NULL);
        if (node[i] < 0) {
            b = expected((n + 5) % NODES, content, NULL);
            a = mix64(a, b);
        }
        CHECK(k->w, number[i] == a);
        k->answers++;
    }
}

static void *own_sessions(void *user)
{
    struct worker *k = user;
    for (int i = 0; i < ROUNDS; i++) {
        tier_session *s = NULL;
        CHECK(k->w, tier_begin(k->w->c, NULL, &s) == 0);
        ask(k, s, 1 + (int)any(k, 8), 0);
        int rc = tier_end(&s);
        CHECK(k->w, rc == 0 || rc == TIER_ECHANGED);
    }
    return NULL;
}

static void *one_fork(void *user)
{
    struct worker *k = user;
    pthread_barrier_wait(&k->w->start);
    ask(k, k->s, 8, 0);
    CHECK(k->w, tier_end(&k->s) != TIER_EBUSY);
    return NULL;
}

/* ---- tests ---- */
static void own_sessions_over_a_still_tree(void **state)
{
    struct world *w = *state;
    struct worker k[THREADS] = {{.w = w}};
    assert_true(run_threads(w, k, own_sessions, NULL) > ROUNDS * THREADS);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(k[i].refused, 0);
    for (int i = 0; i < NODES; i++) /* whoever came second joined the first, or found its result */
        assert_int_equal(w->builds[i], 1);
}

static void own_sessions_over_a_changing_tree(void **state)
{
    struct world *w = *state;
    struct worker k[THREADS] = {{.w = w}};
    assert_true(run_threads(w, k, own_sessions, change_files) > ROUNDS);
}

static void fork_all(struct world *w, struct worker k[THREADS])
{
    for (int i = 0; i < THREADS; i++) {
        k[i].s = NULL;
        assert_int_equal(tier_fork(w->shared, &k[i].s), 0);
    }
}

static void end_shared(struct world *w)
{
    int rc = tier_end(&w->shared);
    assert_true(rc == 0 || rc == TIER_ECHANGED);
}

static void forks_build_each_request_once(void **state)
{
    struct world *w = *state;
    struct worker k[THREADS];
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < NODES; i++)
            w->builds[i] = 0;
        assert_int_equal(tier_begin(w->c, NULL, &w->shared), 0);
        fork_all(w, k);
        assert_true(run_threads(w, k, one_fork, NULL) == THREADS * 8);
        end_shared(w);
        for (int i = 0; i < NODES; i++)
            assert_true(w->builds[i] <= 1);
        assert_true(write_file(w, round % FILES, 77u + (uint64_t)round));
    }
}

static void forks_over_a_changing_tree(void **state)
{
    struct world *w = *state;
    struct worker k[THREADS];
    int answers = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < NODES; i++)
            w->builds[i] = 0;
        assert_int_equal(tier_begin(w->c, NULL, &w->shared), 0);
        fork_all(w, k);
        answers += run_threads(w, k, one_fork, change_files);
        end_shared(w);
    }
    assert_true(answers > THREADS * 8);
}

/* The ring is closed or open as the view's own file 0 says, whoever asks first, and where. */
static void ask_ring(struct worker *k, tier_session *s, int node)
{
    uint64_t number = 0;
    tier_value v;
    int rc = get_number(s, k->w->ring, node, &number);
    int file = tier_file(s, "f0", &v);
    if (rc == TIER_ECHANGED || file == TIER_ECHANGED) {
        k->refused++;
        return;
    }
    CHECK(k->w, file == 0);
    if (file == 0 && ((const char *)v.data)[0] % 2)
        CHECK(k->w, rc == TIER_ECYCLE);
    else
        CHECK(k->w, rc == 0 && number == (uint64_t)(RING - node + 1));
    k->answers++;
}

static void *own_rings(void *user)
{
    struct worker *k = user;
    for (int i = 0; i < ROUNDS; i++) {
        tier_session *s = NULL;
        CHECK(k->w, tier_begin(k->w->c, NULL, &s) == 0);
        ask_ring(k, s, (int)any(k, RING));
        ask_ring(k, s, (int)any(k, RING));
        CHECK(k->w, tier_end(&s) != TIER_EBUSY);
    }
    return NULL;
}

static void *one_ring_fork(void *user)
{
    struct worker *k = user;
    pthread_barrier_wait(&k->w->start);
    ask_ring(k, k->s, k->number % RING);
    ask_ring(k, k->s, (int)any(k, RING));
    CHECK(k->w, tier_end(&k->s) != TIER_EBUSY);
    return NULL;
}

static void *change_the_ring(void *user)
{
    struct world *w = user;
    for (uint64_t n = 0; !w->stop; n++) {
        CHECK(w, write_file(w, 0, n));
        usleep(500);
    }
    return NULL;
}

static void own_sessions_find_cycles(void **state)
{
    struct world *w = *state;
    struct worker k[THREADS] = {{.w = w}};
    assert_true(run_threads(w, k, own_rings, NULL) == THREADS * ROUNDS * 2);
    assert_true(run_threads(w, k, own_rings, change_the_ring) > ROUNDS);
}

static void forks_find_cycles_split_over_them(void **state)
{
    struct world *w = *state;
    struct worker k[THREADS];
    for (int round = 0; round < ROUNDS; round++) {
        assert_true(write_file(w, 0, (uint64_t)round)); /* open and closed, by chance */
        assert_int_equal(tier_begin(w->c, NULL, &w->shared), 0);
        fork_all(w, k);
        assert_true(run_threads(w, k, one_ring_fork, NULL) == THREADS * 2);
        end_shared(w);
    }
}

static void *cancellable_sessions(void *user)
{
    struct worker *k = user;
    for (int i = 0; i < ROUNDS; i++) {
        tier_session *s = NULL;
        CHECK(k->w, tier_begin(k->w->c, NULL, &s) == 0);
        uint64_t id = tier_session_id(s);
        int refused = k->refused;
        k->w->id[k->number] = id;
        ask(k, s, 8, TIER_ECANCELED);
        if (k->refused > refused && tier_cancelled(s) == TIER_ECANCELED)
            CHECK(k->w, k->w->canceled[k->number] == id);
        CHECK(k->w, tier_end(&s) != TIER_EBUSY);
    }
    return NULL;
}

static void *cancel_some(void *user)
{
    struct world *w = user;
    for (uint64_t n = 0; !w->stop; n++) {
        int k = (int)(mix64(n, 9) % THREADS);
        uint64_t id = w->id[k];
        w->canceled[k] = id;
        tier_cancel(w->c, id);
        CHECK(w, write_file(w, (int)(n % FILES), n)); /* so that there is something to build */
        usleep(2000);
    }
    return NULL;
}

/* Whoever waits for what a canceled session builds does it himself. */
static void cancelling_one_harms_no_other(void **state)
{
    struct world *w = *state;
    struct worker k[THREADS] = {{.w = w}};
    assert_true(run_threads(w, k, cancellable_sessions, cancel_some) > ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(own_sessions_over_a_still_tree, setup, teardown),
        cmocka_unit_test_setup_teardown(own_sessions_over_a_changing_tree, setup, teardown),
        cmocka_unit_test_setup_teardown(forks_build_each_request_once, setup, teardown),
        cmocka_unit_test_setup_teardown(forks_over_a_changing_tree, setup, teardown),
        cmocka_unit_test_setup_teardown(own_sessions_find_cycles, setup, teardown),
        cmocka_unit_test_setup_teardown(forks_find_cycles_split_over_them, setup, teardown),
        cmocka_unit_test_setup_teardown(cancelling_one_harms_no_other, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
