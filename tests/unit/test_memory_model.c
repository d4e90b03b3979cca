/* test_memory_model.c - random operations on the memory side against a naive model that knows every entry
 * ever made, what it weighs, who pins and holds it, and whether it was destroyed; then the same with every
 * allocation failing in turn. A failure prints its seed; TIER_SEED=N runs that one. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>
#include "tiers/memory_private.h"

enum { KEYS = 60, RECORDS = 1 << 16, PINS = 12, OWNERS = 3 };

/* One entry, from entry_new to its destruction; the address of its record is its object. */
struct record {
    tier__entry *entry;
    int key, tier, owner;
    int pins, holders; /* the test's references, and those of living entries */
    struct record *held;
    uint64_t weight;
    bool alive, inserted, resident; /* resident: was, when the sums were last checked */
    struct model *model;
};

struct model {
    struct tier__base base;
    const struct tier__memory_options *o;
    tier__memory *m;
    uint64_t random;
    long left;   /* allocations that succeed before one fails; < 0: all do */
    bool once;   /* and after that one they succeed again */
    long blocks; /* of the heap, in use */
    bool failed; /* an allocation did */
    bool clustered;
    struct record *current[KEYS]; /* what the table should know by that key, or knew until it was evicted */
    struct record *pin[PINS];
    struct record *record;
    size_t records;
};

static uint64_t draw(struct model *x, uint64_t below)
{
    x->random = x->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (x->random >> 33) % below;
}

static void *counted_realloc(void *user, void *old, size_t size)
{
    struct model *x = user;
    if (size == 0) {
        x->blocks -= old != NULL;
        free(old);
        return NULL;
    }
    if (x->left == 0) {
        x->failed = true;
        x->left -= x->once;
        return NULL;
    }
    x->left -= x->left > 0;
    x->blocks += old == NULL;
    return realloc(old, size);
}

/* Clustered keys share shard and home, so that probing, wrapping and moving back are all met. */
static tier_digest key_of(const struct model *x, int key)
{
    tier_digest d;
    uint64_t n = (uint64_t)key, word = n % 5 == 0 ? TIER__SLOTS_MAX - 1 : n % 3;
    tier__digest_of(&n, sizeof n, &d);
    if (x->clustered)
        memcpy(d.byte, &word, sizeof word);
    return d;
}

static void destroyed(void *object, void *user)
{
    struct record *r = object;
    assert_ptr_equal(user, r->model);
    assert_true(r->alive); /* once, and never while somebody can see it */
    assert_int_equal(r->pins, 0);
    assert_int_equal(r->holders, 0);
    r->alive = false;
    if (r->held)
        r->held->holders--;
}

static struct record *record_of(tier__entry *e)
{
    return (struct record *)tier__entry_object(e);
}

static void check_content(const struct record *r)
{
    const unsigned char *data = r->entry->data;
    for (size_t i = 0; data && i < r->entry->size; i += 7)
        assert_int_equal(data[i], (unsigned char)(r->key + 1));
    assert_true(!data || data[r->entry->size] == 0);
    assert_int_equal(tier__entry_tier(r->entry), r->tier);
}

/* What is pinned leaves the table by the caller's will only. */
static void check_pinned(struct model *x)
{
    for (int i = 0; i < KEYS; i++) {
        struct record *r = x->current[i];
        if (!r || !r->alive)
            continue;
        assert_true(tier__entry_resident(r->entry) || !r->resident || (r->pins == 0 && r->holders == 0));
        r->resident = tier__entry_resident(r->entry);
    }
}

/* What eviction must leave: nothing of the tier's kept entries is unpinned. */
static bool all_pinned(const struct model *x, int tier)
{
    for (size_t i = 0; i < x->records; i++) {
        const struct record *r = &x->record[i];
        if (r->alive && r->tier == tier && tier__entry_account(r->entry) == TIER__KEPT && !r->pins &&
            !r->holders)
            return false;
    }
    return true;
}

/* The sums of the governor are those of the living, and no budget is overrun. */
static void check_sums(struct model *x)
{
    uint64_t weight[4] = {0}, sum = 0, pinned = 0;
    for (size_t i = 0; i < x->records; i++) {
        const struct record *r = &x->record[i];
        if (r->alive && r->inserted)
            weight[r->tier] += r->weight;
        pinned += r->alive ? (uint64_t)r->pins : 0;
    }
    for (int t = TIER_FILE; t <= TIER_DELTA; t++) {
        struct tier__memory_stats s;
        tier__memory_stats(x->m, t, &s);
        assert_true(s.bytes + s.reserved <= s.budget || x->failed || all_pinned(x, t));
        assert_true(s.bytes + s.overdraft == weight[t]);
        assert_int_equal(s.reserved, 0);
        sum += s.bytes;
    }
    assert_true(atomic_load(&x->base.metric[TIER__MEMORY_BYTES]) == sum);
    assert_true(tier__memory_live(x->m) == pinned);
}

static void pin(struct model *x, struct record *r)
{
    struct record **at = &x->pin[draw(x, PINS)];
    r->pins++;
    if (*at) {
        struct record *old = *at;
        check_content(old);
        old->pins--;
        tier__entry_unref(old->entry);
    }
    *at = r;
}

static void find(struct model *x, int key)
{
    tier_digest k = key_of(x, key);
    struct record *r = x->current[key];
    int tier = 1 + key % 3;
    bool resident = r && r->alive && tier__entry_resident(r->entry);
    tier__entry *e = tier__memory_find(x->m, tier, &k);
    assert_true((e != NULL) == resident);
    if (!e)
        return;
    assert_ptr_equal(record_of(e), r);
    pin(x, r);
    check_content(r);
}

/* What is lent had no room: nothing unpinned of its tier was left in the table. */
static void check_lent(struct model *x, const struct record *lent)
{
    uint64_t sum = lent->weight;
    for (size_t i = 0; i < x->records; i++) {
        const struct record *r = &x->record[i];
        if (r == lent || !r->alive || r->tier != lent->tier || tier__entry_account(r->entry) != TIER__KEPT)
            continue;
        assert_true(lent->weight > (uint64_t)x->m->budget[r->tier].limit || r->pins || r->holders);
        sum += r->weight;
    }
    assert_true(sum > (uint64_t)x->m->budget[lent->tier].limit);
}

static void make(struct model *x, int key)
{
    assert_true(x->records < RECORDS);
    size_t size = draw(x, 8) ? draw(x, 400) : SIZE_MAX;
    tier__entry *e = tier__entry_new(x->m, 1 + key % 3, size);
    if (!e) {
        assert_true(x->failed);
        return;
    }
    struct record *r = &x->record[x->records++];
    *r = (struct record){.entry = e, .key = key, .tier = 1 + key % 3, .pins = 1, .alive = true, .model = x};
    if (e->data)
        memset(e->data, key + 1, size);
    e->key = key_of(x, key);
    if (tier__entry_give(e, r, draw(x, 3) ? 0 : draw(x, 200), destroyed, x)) {
        assert_true(x->failed);
        x->records--;
        tier__entry_unref(e);
        return;
    }
    tier__entry_set_cost(e, (uint32_t)draw(x, 1000));
    r->owner = (int)draw(x, OWNERS);
    tier__entry_set_owner(e, (uint16_t)(r->owner + 1));
    struct record *held = x->pin[draw(x, PINS)];
    if (held && draw(x, 3) == 0 && tier__entry_hold(e, held->entry) == TIER_OK) {
        r->held = held;
        held->holders++;
    }
    uint64_t reserved = draw(x, 4) ? 0 : draw(x, 700);
    if (reserved && !tier__memory_reserve(x->m, r->tier, reserved))
        reserved = 0;
    struct record *there = x->current[key];
    bool known = there && there->alive && tier__entry_resident(there->entry);
    r->weight = tier__entry_weight(e);
    r->inserted = !known;
    r->pins = 0; /* commit hands on r's reference, or drops it for the one that is there */
    tier__entry *got = tier__memory_commit(x->m, e, reserved);
    assert_ptr_equal(record_of(got), known ? there : r);
    if (known) {
        assert_false(r->alive);
        pin(x, there);
        return;
    }
    if (!tier__entry_resident(e) && !x->failed)
        check_lent(x, r);
    pin(x, r);
    x->current[key] = r;
    assert_int_equal(tier__entry_account(e), tier__entry_resident(e) ? TIER__KEPT : TIER__LENT);
}

static void drop(struct model *x)
{
    struct record **at = &x->pin[draw(x, PINS)], *r = *at;
    if (!r)
        return;
    check_content(r);
    *at = NULL;
    r->pins--;
    tier__entry_unref(r->entry);
}

static void take_and_return(struct model *x, int key)
{
    tier_digest k = key_of(x, key);
    struct record *r = x->current[key];
    bool resident = r && r->alive && tier__entry_resident(r->entry);
    if (resident && (r->pins || r->holders)) /* such entries are lent to one at a time */
        return;
    tier__entry *e = tier__memory_take(x->m, 1 + key % 3, &k);
    assert_true((e != NULL) == resident);
    if (!e)
        return;
    assert_ptr_equal(record_of(e), r);
    assert_null(tier__memory_find(x->m, r->tier, &k));
    check_content(r);
    tier__entry_side(e)->object_bytes = draw(x, 300);
    r->weight = tier__entry_weight(e);
    r->resident = false; /* it may not fit any more */
    assert_ptr_equal(tier__memory_insert(x->m, e), e);
    if (!tier__entry_resident(e) && !x->failed)
        check_lent(x, r);
    pin(x, r);
}

static void leave(struct model *x, int what)
{
    int key = (int)draw(x, KEYS), owner = (int)draw(x, OWNERS);
    tier_digest k = key_of(x, key);
    uint64_t alive = 0, got = 0;
    if (what == 0) {
        tier__memory_remove(x->m, 1 + key % 3, &k);
        x->current[key] = NULL;
        return;
    }
    if (what == 1)
        tier__memory_clear(x->m);
    else
        got = tier__memory_drop_owner(x->m, (uint16_t)(owner + 1));
    for (int i = 0; i < KEYS; i++)
        if (what == 1 || (x->current[i] && x->current[i]->owner == owner))
            x->current[i] = NULL;
    for (size_t i = 0; i < x->records; i++)
        alive += x->record[i].alive && x->record[i].owner == owner;
    assert_true(what == 1 || got == alive);
}

/* A limit that rises and sinks: a tier's own at most, so that what is checked elsewhere holds too. */
static void limit_or_trim(struct model *x)
{
    int tier = 1 + (int)draw(x, 3);
    uint64_t bytes = draw(x, 3) ? draw(x, 8000) : x->o->budget[tier];
    struct tier__memory_stats s;
    if (draw(x, 2)) {
        tier__memory_limit(x->m, tier, bytes);
        tier__memory_stats(x->m, tier, &s);
        assert_true(s.budget == bytes);
    } else {
        uint64_t left = tier__memory_trim(x->m, tier, bytes);
        tier__memory_stats(x->m, tier, &s);
        assert_true(left == s.bytes + s.reserved);
    }
    assert_true(s.bytes <= bytes || x->failed || all_pinned(x, tier));
}

static void step(struct model *x)
{
    int key = (int)draw(x, KEYS);
    switch (draw(x, 100)) {
    case 5:
    case 6:
        limit_or_trim(x);
        break;
    case 0:
        leave(x, 1);
        break;
    case 1:
        leave(x, 2);
        break;
    case 2:
    case 3:
    case 4:
        leave(x, 0);
        break;
    default:
        switch (draw(x, 6)) {
        case 0:
        case 1:
            find(x, key);
            break;
        case 2:
        case 3:
            make(x, key);
            break;
        case 4:
            drop(x);
            break;
        default:
            take_and_return(x, key);
        }
    }
    check_sums(x);
    check_pinned(x);
}

static void begin(struct model *x, uint64_t seed, const struct tier__memory_options *o,
                  struct record *records)
{
    tier_options host = TIER_INIT(tier_options);
    *x = (struct model){.o = o, .random = seed, .left = -1, .record = records, .clustered = seed % 2};
    host.user = x;
    host.realloc = counted_realloc;
    tier__base_init(&x->base, &host);
    assert_int_equal(tier__memory_create(&x->base, o, &x->m), TIER_OK);
}

static void end(struct model *x)
{
    for (int i = 0; i < PINS; i++)
        if (x->pin[i]) {
            x->pin[i]->pins--;
            tier__entry_unref(x->pin[i]->entry);
        }
    tier__memory_clear(x->m);
    for (size_t i = 0; i < x->records; i++)
        assert_false(x->record[i].alive);
    check_sums(x);
    for (int t = TIER_FILE; t <= TIER_DELTA; t++) {
        struct tier__memory_stats s;
        tier__memory_stats(x->m, t, &s);
        assert_int_equal(s.entries + s.bytes + s.overdraft, 0);
    }
    tier__memory_destroy(&x->m);
    assert_int_equal(x->blocks, 0);
}

static struct tier__memory_options options_of(uint64_t seed)
{
    static const char *const policy[] = {"worth", "s3fifo", "lru", "gdsf"};
    struct tier__memory_options o = {.policy = policy[seed % 4]};
    o.budget[TIER_FILE] = seed % 7 == 0 ? 0 : 6000;
    o.budget[TIER_TREE] = 400 + seed % 900; /* one entry or two */
    o.budget[TIER_DELTA] = seed % 5 == 0 ? 1 << 20 : 3000;
    return o;
}

static bool run(uint64_t seed, int steps, long failing, bool once)
{
    static struct record records[RECORDS];
    struct tier__memory_options o = options_of(seed);
    struct model x;
    begin(&x, seed, &o, records);
    x.left = failing;
    x.once = once;
    for (int i = 0; i < steps; i++)
        step(&x);
    x.left = -1;
    end(&x);
    return x.failed;
}

static uint64_t running;

static int print_seed(void **state)
{
    (void)state;
    print_message("last seed %llu\n", (unsigned long long)running);
    return 0;
}

static void the_model_agrees(void **state)
{
    (void)state;
    const char *only = getenv("TIER_SEED");
    for (running = only ? strtoull(only, NULL, 0) : 1; running <= (only ? running : 60); running++) {
        assert_false(run(running, 1500, -1, false));
        if (only)
            break;
    }
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    for (running = 1; running <= 12; running++) {
        for (long n = 0; run(running, 250, n, false); n += 1 + n / 20) /* closely while all is being made */
            run(running, 250, n, true);
    }
    for (long n = 0;; n++) {
        struct model x = {.left = n};
        struct tier__memory_options o = options_of(1);
        tier_options host = TIER_INIT(tier_options);
        host.user = &x;
        host.realloc = counted_realloc;
        tier__base_init(&x.base, &host);
        int rc = tier__memory_create(&x.base, &o, &x.m);
        assert_true(rc == TIER_OK || (rc == TIER_ENOMEM && !x.m && x.blocks == 0));
        tier__memory_destroy(&x.m);
        assert_int_equal(x.blocks, 0);
        if (rc == TIER_OK)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_model_agrees, print_seed),
        cmocka_unit_test_teardown(every_allocation_may_fail, print_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
