/* model.c - random programs against the oracle; see model.h.
 *
 * MODEL_SEED=N   only the programs of seed N (default: a fixed seed, then a random one, which is printed)
 * MODEL_OPS=N    changes per seed (default: 10,500)
 * MODEL_SHRINK=0 does not shrink a failing program; MODEL_VERBOSE=1 prints each operation as it is applied */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include "tests/model/model.h"

enum { CHANGES = 10500, PER_WORLD = 275, OPS_MAX = 4 * PER_WORLD, SHRINK_SECONDS = 60 };
static const uint64_t FIXED_SEED = 20261121;

struct totals {
    unsigned long worlds, changes, checks, compared, strict, ran, spared, loose;
};

/* ---- programs ---- */

static struct op op_random(uint64_t *r)
{
    static const uint8_t weight[OP_KINDS] = {
#define MODEL_OP_WEIGHT(name, weight, help) weight,
        MODEL_OPS(MODEL_OP_WEIGHT)
#undef MODEL_OP_WEIGHT
    };
    unsigned total = 0, pick;
    struct op o = {0};
    for (int k = 0; k < OP_KINDS; k++)
        total += weight[k];
    pick = (unsigned)(next_random(r) % total);
    while (pick >= weight[o.kind])
        pick -= weight[o.kind++];
    uint64_t bits = next_random(r);
    o.a = (uint8_t)(bits >> 8);
    o.b = (uint8_t)bits;
    o.c = (uint32_t)(bits >> 32);
    if (bits >> 16 & 1) /* half of the changes are in the first files: they read one another */
        o.a %= 10;
    return o;
}

/* Everything settles and is verified, then one thing changes that is no file: closures must see that. */
static size_t quiet_make(uint64_t *r, uint32_t questions, struct op *op)
{
    static const uint8_t kind[] = {OP_SETENV, OP_INPUT,   OP_PASS,     OP_RESTART,
                                   OP_RETYPE, OP_OVERLAY, OP_FLIP_LINK};
    uint64_t bits = next_random(r);
    const struct op check = {.kind = OP_CHECK, .c = questions}, hour = {.kind = OP_PASS, .b = 5};
    struct op change = {kind[bits % 7], (uint8_t)(bits >> 8), (uint8_t)(bits >> 16), (uint32_t)(bits >> 32)};
    if (change.kind == OP_PASS)
        change.b = 5;
    const struct op all[] = {hour, check, hour, check, change, check};
    memcpy(op, all, sizeof all);
    return sizeof all / sizeof *all;
}

/* Changes in batches of one to five, each followed by a check; now and then one and the same check again (at
 * once, or after going back to an earlier text). */
size_t program_make(uint64_t seed, size_t changes, struct op *op, size_t max)
{
    uint64_t r = seed;
    size_t n = 0;
    struct op check = {.kind = OP_CHECK, .c = (uint32_t)next_random(&r)}, back = {0};
    op[n++] = check;
    while (changes && n + 16 < max) {
        if (changes > 3 && next_random(&r) % 8 == 0) {
            n += quiet_make(&r, check.c, op + n);
            changes -= 3;
        }
        unsigned batch = 1 + (unsigned)(next_random(&r) % 5);
        for (; batch && changes; batch--, changes--) {
            op[n] = op_random(&r);
            if (op[n].kind == OP_EDIT && next_random(&r) % 3 == 0)
                op[n] = back; /* A -> B -> A */
            else if (op[n].kind == OP_EDIT)
                back = op[n];
            n++;
        }
        check.b = (uint8_t)(next_random(&r) % 40 == 0 ? 4 : next_random(&r) % 5);
        if (check.b == 4 && next_random(&r) % 8)
            check.b = 5;
        if (next_random(&r) % 3)
            check.c = (uint32_t)next_random(&r);
        op[n++] = check;
    }
    return n;
}

static void op_print(const struct op *o)
{
    static const char *const help[] = {
#define MODEL_OP_HELP(name, weight, help) help,
        MODEL_OPS(MODEL_OP_HELP)
#undef MODEL_OP_HELP
    };
    printf("    {OP_%s, %u, %u, %" PRIu32 "}, /* %s, %s */\n", op_name(o->kind), o->a, o->b, o->c,
           o->kind == OP_RETYPE ? type_name(o->a % TYPES) : file_name[o->a % FILES], help[o->kind]);
}

/* true: no difference. failure: as struct model's. */
static bool program_run(uint64_t seed, const struct op *op, size_t n, struct totals *sum, char failure[4096])
{
    struct model *m = calloc(1, sizeof *m);
    assert_non_null(m);
    bool opened = world_open(m, seed);
    for (size_t i = 0; opened && i < n && !*m->failure; i++) {
        if (getenv("MODEL_VERBOSE"))
            op_print(&op[i]);
        fflush(stdout);
        world_apply(m, &op[i]);
        sum->changes += op[i].kind != OP_CHECK;
        sum->checks += op[i].kind == OP_CHECK;
    }
    sum->worlds++;
    sum->compared += m->compared;
    sum->strict += m->strict;
    sum->ran += m->ran;
    sum->spared += m->spared;
    sum->loose += m->loose;
    bool failed = *m->failure || !opened;
    snprintf(failure, 4096, "%s", m->failure);
    world_close(m);
    if (!failed && *m->failure) { /* at close */
        failed = true;
        snprintf(failure, 4096, "%s", m->failure);
    }
    free(m);
    return !failed;
}

/* ---- shrinking: leave out ever smaller pieces while it still fails (delta debugging) ---- */

static size_t shrink(uint64_t seed, struct op *op, size_t n, char failure[4096])
{
    struct op *less = calloc(n, sizeof *less);
    char why[4096];
    struct totals ignored = {0};
    time_t until = time(NULL) + SHRINK_SECONDS;
    assert_non_null(less);
    for (size_t piece = n / 2; piece; piece = piece == 1 ? 0 : (piece + 1) / 2) {
        for (size_t at = 0; at < n && time(NULL) < until;) {
            size_t gone = at + piece > n ? n - at : piece;
            memcpy(less, op, at * sizeof *op);
            memcpy(less + at, op + at + gone, (n - at - gone) * sizeof *op);
            if (program_run(seed, less, n - gone, &ignored, why)) {
                at += piece;
                continue;
            }
            n -= gone;
            memcpy(op, less, n * sizeof *op);
            snprintf(failure, 4096, "%s", why);
        }
    }
    free(less);
    return n;
}

static void report(uint64_t seed, struct op *op, size_t n, char failure[4096])
{
    const char *shrinks = getenv("MODEL_SHRINK");
    printf("seed %" PRIu64 ": %s\n", seed, failure);
    if (!shrinks || strcmp(shrinks, "0") != 0)
        n = shrink(seed, op, n, failure);
    fflush(stdout);
    printf("shrunk to %zu operations: %s\n", n, failure);
    for (size_t i = 0; i < n; i++)
        op_print(&op[i]);
    fflush(stdout);
}

static void run_seed(uint64_t seed, size_t changes)
{
    static struct op op[OPS_MAX];
    struct totals sum = {0};
    char failure[4096];
    printf("seed %" PRIu64 "\n", seed);
    fflush(stdout);
    for (uint64_t world = 0; sum.changes < changes; world++) {
        uint64_t of_world = seed + world;
        size_t left = changes - sum.changes;
        size_t n = program_make(of_world, left < PER_WORLD ? left : PER_WORLD, op, OPS_MAX);
        if (program_run(of_world, op, n, &sum, failure))
            continue;
        report(of_world, op, n, failure);
        fail_msg("MODEL_SEED=%" PRIu64 ": %s", of_world, failure);
    }
    printf(
        "%lu changes in %lu worlds, %lu checks; %lu requests compared (%lu exactly): %lu runs, %lu spared\n",
        sum.changes, sum.worlds, sum.checks, sum.compared, sum.strict, sum.ran, sum.spared);
}

static size_t changes_asked(void)
{
    const char *ops = getenv("MODEL_OPS");
    return ops ? strtoul(ops, NULL, 10) : CHANGES;
}

static void fixed_programs(void **state)
{
    const char *seed = getenv("MODEL_SEED");
    (void)state;
    run_seed(seed ? strtoull(seed, NULL, 10) : FIXED_SEED, changes_asked());
}

static void random_programs(void **state)
{
    struct timespec t;
    (void)state;
    if (getenv("MODEL_SEED"))
        skip();
    clock_gettime(CLOCK_MONOTONIC, &t);
    run_seed((uint64_t)time(NULL) * 1000003 + (uint64_t)t.tv_nsec, changes_asked());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_eight_stay),
        cmocka_unit_test(bytes_that_are_gone_are_said_to_be),
        cmocka_unit_test(threads_find_no_cycle_where_none_is),
        cmocka_unit_test(a_closure_is_no_second_look),
        cmocka_unit_test(fixed_programs),
        cmocka_unit_test(random_programs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
