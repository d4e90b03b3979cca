/* test_memory_charge.c - what the memory charges against what the heap grew by, on the C library's heap and
 * on a host's, with and without evictions; and what an entry costs beyond key, value hash and value.
 * TIER_ENTRIES=N: that many entries, 100000 without it. */
#include <stdarg.h>
#include <setjmp.h>
#include <malloc.h>
#include <stdlib.h>
#include <cmocka.h>
#include "tests/unit/memory_fixture.h"

enum { MOST_OVERHEAD = 64, DIGESTS = 2 * sizeof(tier_digest) }; /* bytes an entry */
enum { RUN = 2 << 20 }; /* of headers: taken at once, not touched before it is used */

static uint64_t in_use(void)
{
    struct mallinfo2 i = mallinfo2();
    return i.uordblks + i.hblkhd;
}

static bool counted(void) /* not under sanitizers and valgrind */
{
    uint64_t before = in_use();
    void *probe = malloc(300000);
    bool counts = probe && in_use() - before >= 300000;
    free(probe);
    return counts;
}

/* A host's heap: 16 bytes in front hold the size that was asked for. */
static void *count_bytes(void *user, void *old, size_t size)
{
    uint64_t *sum = user;
    char *raw = old ? (char *)old - 16 : NULL;
    if (raw)
        *sum -= *(size_t *)(void *)raw;
    if (!size) {
        free(raw);
        return NULL;
    }
    raw = realloc(raw, size + 16);
    if (!raw)
        abort();
    *(size_t *)(void *)raw = size;
    *sum += size;
    return raw + 16;
}

static uint64_t entries(void)
{
    const char *asked = getenv("TIER_ENTRIES");
    return asked ? strtoull(asked, NULL, 0) : 100000;
}

static tier_digest quick_key(uint64_t n)
{
    tier_digest d;
    for (size_t i = 0; i < sizeof d.byte; i += sizeof n) { /* Stafford's mix 13 */
        n += UINT64_C(0x9e3779b97f4a7c15);
        uint64_t x = (n ^ n >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
        n = x ^ x >> 31;
        memcpy(d.byte + i, &n, sizeof n);
    }
    return d;
}

/* Keeps count entries; with evictions, after as many again went. */
static void keeps(uint64_t count, size_t size, bool host, bool evicting)
{
    struct tier__base base;
    uint64_t asked = 0;
    tier__base_init(&base, NULL);
    if (host) {
        base.user = &asked;
        base.realloc = count_bytes;
    }
    uint64_t before = host ? 0 : in_use();
    struct tier__memory_options o = {.policy = NULL};
    tier__memory *m;
    assert_int_equal(tier__memory_create(&base, &o, &m), TIER_OK);
    tier__memory_limit(m, TIER_TREE, evicting ? count * tier__memory_charge(m, size) : UINT64_MAX);
    for (uint64_t n = 0; n < (evicting ? 2 * count : count); n++)
        tier__entry_unref(tier__memory_insert(m, entry_of(m, TIER_TREE, quick_key(n), size)));
    struct tier__memory_stats s = stats_of(m, TIER_TREE);
    assert_int_equal(s.entries, count);
    int64_t grown = (int64_t)(host ? asked : in_use() - before + tier__memory_mapped(m));
    double off = 100 * ((double)s.bytes / (double)grown - 1);
    double overhead = (double)grown / (double)count - (double)(size + DIGESTS);
    print_message(
        "%4zu B, %s%s: %.1f bytes an entry, charged %.1f (%+.1f %%), beyond value and digests %.1f\n", size,
        host ? "host's heap" : "C library's heap", evicting ? ", evicting" : "",
        (double)grown / (double)count, (double)s.bytes / (double)count, off, overhead);
    double most = entries() < 1000000 ? 5 : 3;
    double unused = host || entries() >= 1000000 ? 0 : 100.0 * RUN / (double)grown;
    assert_true(off < most && off > -most - unused);
    bool few = count < 1000000 && (size > 64 || evicting || !host); /* what does not grow with them shows */
    assert_true(few || overhead <= MOST_OVERHEAD);
    tier__memory_destroy(&m);
    assert_int_equal(asked, 0);
}

static void charges_are_what_the_heap_takes(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++)
        if (counted() || i & 1)
            keeps(entries() / (i & 2 && !getenv("TIER_ENTRIES") ? 4 : 1), i & 2 ? 1024 : 64, i & 1, i & 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(charges_are_what_the_heap_takes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
