/* The governor: what it reads of a machine, what it decides, and that a memory follows it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "tiers/governor.h"

enum { MIB = 1 << 20 };

/* ---- a machine of files */
static char machine[64];

static void put(const char *path, const char *text)
{
    char full[256];
    snprintf(full, sizeof full, "%s%s", machine, path);
    for (char *slash = full + strlen(machine) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int setup(void **state)
{
    (void)state;
    snprintf(machine, sizeof machine, "/tmp/tierkit-machine.XXXXXX");
    return mkdtemp(machine) ? 0 : -1;
}

static int teardown(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", machine);
    return system(command);
}

static struct tier__pressure look(void)
{
    struct tier__pressure p;
    tier__pressure_read(machine, &p);
    return p;
}

static void nothing_is_known_of_nothing(void **state)
{
    (void)state;
    struct tier__pressure p = look();
    assert_int_equal(p.limit, 0);
    assert_true(p.some == 0 && p.full == 0);
    put("/proc/meminfo", "no such words\n");
    put("/proc/self/cgroup", "rubbish\n\n::\n0::/../../etc\n");
    put("/proc/pressure/memory", "some\n");
    assert_int_equal(look().limit, 0);
}

static void the_tightest_limit_counts(void **state)
{
    (void)state;
    put("/proc/meminfo", "MemTotal:       8192 kB\nMemFree: 1 kB\nMemAvailable:   6144 kB\n");
    assert_int_equal(look().limit, 8192 * 1024);
    assert_int_equal(look().used, 2048 * 1024);
    /* version 2: the group above has the limit; what is clean is not counted */
    put("/proc/self/cgroup", "0::/user/app\n");
    put("/sys/fs/cgroup/user/app/memory.max", "max\n");
    put("/sys/fs/cgroup/user/app/memory.current", "1000\n");
    put("/sys/fs/cgroup/user/app/memory.pressure", "some avg10=12.50 avg60=1.00 avg300=0.00 total=1\n"
                                                   "full avg10=3.25 avg60=0.00 avg300=0.00 total=1\n");
    put("/sys/fs/cgroup/user/memory.max", "4000000\n");
    put("/sys/fs/cgroup/user/memory.current", "3000000\n");
    put("/sys/fs/cgroup/user/memory.stat", "anon 5\ninactive_file 500000\nfile 7\n");
    struct tier__pressure p = look();
    assert_int_equal(p.limit, 4000000);
    assert_int_equal(p.used, 2500000);
    assert_true(p.some == 12.5 && p.full == 3.25);
    /* version 1, in a container: the path is the host's */
    put("/proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1000000\n");
    put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "900000\n");
    p = look();
    assert_int_equal(p.limit, 1000000);
    assert_int_equal(p.used, 900000);
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"); /* none */
    assert_int_equal(look().limit, 8192 * 1024);
}

static void this_machine_can_be_read(void **state)
{
    struct tier__pressure p;
    (void)state;
    tier__pressure_read("", &p);
    assert_true(p.limit > 0 && p.used > 0 && p.used <= p.limit);
}

/* ---- decisions */
static struct tier__governor governor(bool sizing)
{
    struct tier__governor g;
    struct tier__governor_options o = {.budget = {0, 100 * MIB, 500 * MIB, 40 * MIB},
                                       .trim = 0.8,
                                       .hard = 0.9,
                                       .keep = 0.25,
                                       .sizing = sizing,
                                       .root = machine};
    tier__governor_init(&g, &o);
    return g;
}

static void pressure_lowers_and_lifts(void **state)
{
    (void)state;
    struct tier__governor g = governor(false);
    struct tier__pressure p = {.limit = 1000 * (uint64_t)MIB, .used = 700 * (uint64_t)MIB};
    tier__governor_press(&g, &p, 600 * (uint64_t)MIB);
    assert_int_equal(g.total, 640 * (uint64_t)MIB);
    p.used = 850 * (uint64_t)MIB; /* 50 too much */
    tier__governor_press(&g, &p, 600 * (uint64_t)MIB);
    assert_int_equal(g.total, 550 * (uint64_t)MIB);
    assert_int_equal(tier__governor_limit(&g, TIER_FILE) / MIB, 100 * 550 / 640);
    p.used = 950 * (uint64_t)MIB; /* half, as 150 would be less */
    tier__governor_press(&g, &p, 500 * (uint64_t)MIB);
    assert_int_equal(g.total, 250 * (uint64_t)MIB);
    for (int i = 0; i < 10; i++)
        tier__governor_press(&g, &p, g.total);
    assert_int_equal(g.total, 160 * (uint64_t)MIB); /* a quarter is kept */
    p.used = 750 * (uint64_t)MIB; /* below the mark, but with an eighth more it would not be */
    tier__governor_press(&g, &p, g.total);
    assert_int_equal(g.total, 160 * (uint64_t)MIB);
    p.used = 300 * (uint64_t)MIB;
    int looks = 0;
    for (; g.total < 640 * (uint64_t)MIB; looks++)
        tier__governor_press(&g, &p, g.total);
    assert_int_equal(looks, 6);
    p = (struct tier__pressure){.some = 20}; /* waiting counts, also where no limit is known */
    tier__governor_press(&g, &p, 640 * (uint64_t)MIB);
    assert_int_equal(g.total, 560 * (uint64_t)MIB);
    p.full = 50;
    tier__governor_press(&g, &p, 560 * (uint64_t)MIB);
    assert_int_equal(g.total, 280 * (uint64_t)MIB);
    tier__governor_fini(&g);
}

static void memory_moves_to_where_it_saves(void **state)
{
    (void)state;
    struct tier__governor g = governor(true);
    uint64_t saved[5] = {0}, pool = 600 * (uint64_t)MIB;
    for (int i = 0; i < 100; i++) { /* to and fro: nothing moves */
        saved[i % 2 ? TIER_FILE : TIER_TREE] += 1000000;
        assert_false(tier__governor_size(&g, saved));
    }
    saved[TIER_TREE] += 500 * 1000; /* by the byte, the same */
    saved[TIER_FILE] += 100 * 1000;
    assert_false(tier__governor_size(&g, saved));
    int moves = 0;
    for (int i = 0; i < 100; i++) {
        saved[TIER_FILE] += 1000000;
        moves += tier__governor_size(&g, saved);
        assert_int_equal(g.share[TIER_FILE] + g.share[TIER_TREE], pool);
    }
    assert_int_equal(g.share[TIER_TREE], 125 * (uint64_t)MIB); /* a quarter of its budget stays */
    assert_int_equal(moves, 10);
    assert_int_equal(g.share[TIER_DELTA], 40 * (uint64_t)MIB);
    for (int i = 0; i < 3; i++) { /* and back */
        saved[TIER_TREE] += 1000000;
        tier__governor_size(&g, saved);
    }
    assert_true(g.share[TIER_TREE] > 125 * (uint64_t)MIB);
    tier__governor_fini(&g);
}

/* ---- a memory follows */
static void a_memory_gives_way(void **state)
{
    struct tier__base base;
    tier__memory *m;
    (void)state;
    tier__base_init(&base, NULL);
    struct tier__governor g = governor(false);
    struct tier__memory_options o = {.budget = {0, 100 * MIB, 500 * (uint64_t)MIB, 40 * MIB}};
    assert_int_equal(tier__memory_create(&base, &o, &m), 0);
    for (unsigned i = 0; i < 300; i++) {
        tier__entry *e = tier__entry_new(m, TIER_TREE, MIB);
        assert_non_null(e);
        tier__digest_of(&i, sizeof i, &e->key);
        tier__entry_unref(tier__memory_insert(m, e));
    }
    put("/proc/meminfo", "MemTotal:       1024000 kB\nMemAvailable:   512000 kB\n");
    tier__governor_look(&g, &base, m, 1000);
    struct tier__memory_stats s;
    tier__memory_stats(m, TIER_TREE, &s);
    assert_int_equal(s.entries, 300);
    put("/proc/meminfo", "MemTotal:       1024000 kB\nMemAvailable:   30720 kB\n"); /* 0.97: hard */
    tier__governor_look(&g, &base, m, 1500); /* too early to look again */
    tier__memory_stats(m, TIER_TREE, &s);
    assert_int_equal(s.entries, 300);
    tier__governor_look(&g, &base, m, 2000);
    tier__memory_stats(m, TIER_TREE, &s);
    assert_true(s.entries < 150 && s.bytes <= s.budget);
    assert_int_equal(s.budget, tier__governor_limit(&g, TIER_TREE));
    assert_int_equal(atomic_load(&base.metric[TIER__MEMORY_TRIM]), 1);
    put("/proc/meminfo", "MemTotal:       1024000 kB\nMemAvailable:   1000000 kB\n");
    for (int i = 3; i < 12; i++)
        tier__governor_look(&g, &base, m, i * 1000);
    tier__memory_stats(m, TIER_TREE, &s);
    assert_int_equal(s.budget, 500 * (uint64_t)MIB);
    tier__memory_destroy(&m);
    tier__governor_fini(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_known_of_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(the_tightest_limit_counts, setup, teardown),
        cmocka_unit_test(this_machine_can_be_read),
        cmocka_unit_test(pressure_lowers_and_lifts),
        cmocka_unit_test(memory_moves_to_where_it_saves),
        cmocka_unit_test_setup_teardown(a_memory_gives_way, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
