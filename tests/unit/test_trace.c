/* concurrent */
/* test_trace.c - traces: what is written is read, in recorded and in packed form; damaged and torn files; a
 * recorder in a memory. */
#include <pthread.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "tests/unit/memory_fixture.h"
#include "tiers/trace.h"

enum { EVENTS = 30000 };

struct place {
    struct tier__base base;
    char dir[64], path[80];
    uint64_t seed;
};

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    tier__base_init(&p->base, NULL);
    strcpy(p->dir, "/tmp/tier-trace-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->path, sizeof p->path, "%s/trace", p->dir);
    p->seed = getenv("TIER_SEED") ? strtoull(getenv("TIER_SEED"), NULL, 10) : 2026;
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    unlink(p->path);
    assert_int_equal(rmdir(p->dir), 0);
    free(p);
    return 0;
}

static uint64_t next(struct place *p)
{
    p->seed = p->seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return p->seed >> 24;
}

static void slurp(const struct place *p, struct tier__buf *b)
{
    FILE *f = fopen(p->path, "rb");
    tier__buf_init(b, (struct tier__base *)&p->base);
    assert_non_null(f);
    for (int ch; (ch = getc(f)) != EOF;)
        tier__buf_u8(b, (uint8_t)ch);
    fclose(f);
}

static void same(const struct tier__trace *a, const struct tier__trace *b, bool hashes)
{
    assert_int_equal(a->event_count, b->event_count);
    assert_int_equal(a->key_count, b->key_count);
    for (size_t i = 0; i < a->event_count; i++) {
        assert_int_equal(a->event[i].key, b->event[i].key);
        assert_int_equal(a->event[i].what, b->event[i].what);
    }
    for (uint32_t k = 0; k < a->key_count; k++) {
        assert_int_equal(a->key[k].charge, b->key[k].charge);
        assert_int_equal(a->key[k].cost_us, b->key[k].cost_us);
        assert_int_equal(a->key[k].tier, b->key[k].tier);
        assert_int_equal(a->key[k].sized, b->key[k].sized);
        assert_int_equal(b->key[k].hash, hashes ? a->key[k].hash : k);
    }
}

/* Records through a recorder, and adds to want what a reader should see. */
static void record(struct place *p, struct tier__trace *want)
{
    tier__recorder *r;
    assert_int_equal(tier__recorder_open(&p->base, p->path, &r), TIER_OK);
    for (int i = 0; i < EVENTS; i++) {
        uint64_t n = next(p) % 2000;
        tier_digest key = key_of(n);
        int tier = (int)(TIER_FILE + n % 3);
        enum tier__trace_what what = (enum tier__trace_what)(next(p) % 4);
        uint64_t charge = 200 + n * n;
        uint32_t cost = n == 7 ? UINT32_MAX : (uint32_t)(n * 3);
        tier__recorder_note(r, what, tier, &key, charge, cost);
        assert_int_equal(tier__trace_add(want, what, tier, tier__digest_word(&key), charge, cost), TIER_OK);
    }
    tier__recorder_close(&r);
}

static void what_is_recorded_is_read(void **state)
{
    struct place *p = *state;
    struct tier__trace want, got, packed;
    struct tier__buf file, small;
    size_t at;
    tier__trace_init(&want, &p->base);
    tier__trace_init(&got, &p->base);
    tier__trace_init(&packed, &p->base);
    record(p, &want);
    record(p, &want); /* a second process appends */
    slurp(p, &file);
    assert_int_equal(tier__trace_read(&got, file.data, file.size, &at), TIER_OK);
    assert_int_equal(at, file.size);
    assert_false(got.torn);
    same(&want, &got, true);

    tier__buf_init(&small, &p->base);
    assert_int_equal(tier__trace_pack(&got, &small), TIER_OK);
    assert_true(small.size < file.size / 3);
    assert_int_equal(tier__trace_read(&packed, small.data, small.size, &at), TIER_OK);
    same(&want, &packed, false);
    tier__buf_fini(&small);
    tier__buf_fini(&file);
    tier__trace_fini(&want);
    tier__trace_fini(&got);
    tier__trace_fini(&packed);
}

static void damage_is_told(void **state)
{
    struct place *p = *state;
    struct tier__trace want, got;
    struct tier__buf file;
    size_t at;
    tier__trace_init(&want, &p->base);
    tier__trace_init(&got, &p->base);
    record(p, &want);
    slurp(p, &file);
    for (int i = 0; i < 300; i++) {
        size_t where = i < 64 ? (size_t)i : next(p) % file.size;
        unsigned char was = file.data[where];
        file.data[where] ^= (unsigned char)(1 + next(p) % 255);
        assert_int_equal(tier__trace_read(&got, file.data, file.size, &at), TIER_EDAMAGE);
        file.data[where] = was;
        tier__trace_fini(&got);
    }
    /* Cut off anywhere, what came before is there; nothing at all is no trace. */
    for (size_t size = 0; size < file.size; size += 1 + next(p) % 5000) {
        int rc = tier__trace_read(&got, file.data, size, &at);
        assert_int_equal(rc, size && !got.event_count ? TIER_EDAMAGE : TIER_OK);
        assert_true(got.torn == (at < size) && at <= size && got.event_count < want.event_count);
        tier__trace_fini(&got);
    }
    tier__buf_fini(&file);
    tier__trace_fini(&want);
}

static void trouble_ends_the_recording_alone(void **state)
{
    struct place *p = *state;
    tier__recorder *r;
    struct rlimit old, tight;
    tier_digest key = key_of(1);
    assert_int_equal(tier__recorder_open(&p->base, p->dir, &r), TIER_EKIND);
    assert_int_equal(mkfifo(p->path, 0600), 0);
    assert_int_not_equal(tier__recorder_open(&p->base, p->path, &r), TIER_OK);
    assert_null(r);
    unlink(p->path);
    assert_int_equal(tier__recorder_open(&p->base, p->path, &r), TIER_OK);
    getrlimit(RLIMIT_FSIZE, &old);
    tight = (struct rlimit){10000, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &tight); /* SIGXFSZ would end this program */
    for (uint64_t n = 0; n < 100000; n++) {
        key = key_of(n);
        tier__recorder_note(r, TIER__TRACE_HIT, TIER_TREE, &key, n, 1);
    }
    tier__recorder_close(&r);
    setrlimit(RLIMIT_FSIZE, &old);
}

static void *use(void *m)
{
    for (uint64_t n = 0; n < 3000; n++) {
        tier_digest key = key_of(n % 700);
        if (!has(m, key))
            put(m, key, 100 + n % 700);
    }
    return NULL;
}

static void a_memory_records_what_it_is_asked(void **state)
{
    struct place *p = *state;
    struct tier__memory_options o = {.budget = {0, 1 << 20, 1 << 20, 1 << 20}};
    tier__memory *m;
    struct tier__trace got;
    struct tier__buf file;
    pthread_t thread;
    size_t at, count[4] = {0};
    assert_int_equal(tier__recorder_open(&p->base, p->path, &o.recorder), TIER_OK);
    assert_int_equal(tier__memory_create(&p->base, &o, &m), TIER_OK);
    assert_int_equal(pthread_create(&thread, NULL, use, m), 0);
    use(m);
    pthread_join(thread, NULL);
    struct tier__memory_stats s = stats_of(m, TIER_FILE);
    tier_digest key = key_of(5), other = key_of(100000);
    tier__memory_supersede(m, TIER_FILE, &key, true);
    tier__memory_supersede(m, TIER_FILE, &other, true);
    assert_false(has(m, key));
    tier__memory_destroy(&m);

    slurp(p, &file);
    tier__trace_init(&got, &p->base);
    assert_int_equal(tier__trace_read(&got, file.data, file.size, &at), TIER_OK);
    for (size_t i = 0; i < got.event_count; i++)
        count[got.event[i].what]++;
    assert_int_equal(count[TIER__TRACE_HIT], s.hits);
    assert_int_equal(count[TIER__TRACE_MISS], s.misses + 1);
    assert_true(count[TIER__TRACE_PUT] >= 700 && count[TIER__TRACE_PUT] <= s.misses);
    assert_int_equal(count[TIER__TRACE_DEAD], 2);
    assert_int_equal(got.key_count, 701);
    tier__trace_fini(&got);
    tier__buf_fini(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_recorded_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(trouble_ends_the_recording_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_memory_records_what_it_is_asked, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
