/* test_digest.c - BLAKE2b-256 against published vectors, and the injective encoding of fields (I1). */
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>
#include "tiers/digest.h"

static void known_vectors(void **state)
{
    (void)state;
    /* `printf '...' | b2sum -l 256`; "abc" as in the reference implementation's documents. */
    static const struct {
        const char *text, *hex;
    } vector[] = {
        {"", "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"},
        {"abc", "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"},
        {"The quick brown fox jumps over the lazy dog",
         "01718cec35cd3d796dd00020e0bfecb473ad23457d063b75eff29c0ffa2e58a9"},
    };
    for (size_t i = 0; i < sizeof vector / sizeof *vector; i++) {
        tier_digest d;
        char hex[TIER__HEX_SIZE];
        tier__digest_of(vector[i].text, strlen(vector[i].text), &d);
        tier__digest_hex(&d, hex);
        assert_string_equal(hex, vector[i].hex);
    }
}

static void fields_are_lengths_and_bytes(void **state)
{
    (void)state;
    static const char encoded[] = "\4\0\0\0\0\0\0\0node" /* the domain */
                                  "\3\0\0\0\0\0\0\0a\0b"
                                  "\0\0\0\0\0\0\0\0"
                                  "\377\377\377\377\377\377\377\377" /* NULL */
                                  "\10\0\0\0\0\0\0\0\2\1\0\0\0\0\0\0";
    struct tier__hasher h;
    tier_digest fields, plain;
    tier__hash_begin(&h, "node");
    tier__hash_field(&h, "a\0b", 3);
    tier__hash_str(&h, "");
    tier__hash_str(&h, NULL);
    tier__hash_u64(&h, 0x102);
    tier__hash_end(&h, &fields);
    tier__digest_of(encoded, sizeof encoded - 1, &plain);
    assert_true(tier__digest_equal(&fields, &plain));
    tier__hash_begin(&h, "node");
    tier__hash_digest(&h, &plain);
    tier__hash_end(&h, &fields);
    tier__hash_begin(&h, "node");
    tier__hash_field(&h, plain.byte, sizeof plain.byte);
    tier__hash_end(&h, &plain);
    assert_true(tier__digest_equal(&fields, &plain));
}

/* Every way to cut text into fields after a domain, and with a field to spare, is a digest of its own. */
static void field_boundaries_count(void **state)
{
    (void)state;
    static const char text[] = "aaaaaaaaa"; /* all letters alike: the boundaries alone differ */
    enum { LENGTH = 9, WAYS = 1 << (LENGTH - 1) };
    static tier_digest seen[2 * WAYS];
    size_t count = 0;
    for (unsigned cuts = 0; cuts < WAYS; cuts++) {
        for (int empty = 0; empty < 2; empty++) {
            struct tier__hasher h;
            size_t from = 0;
            tier__hash_begin(&h, "d");
            for (size_t at = 1; at <= LENGTH; at++)
                if (at == LENGTH || cuts >> (at - 1) & 1) {
                    tier__hash_field(&h, text + from, at - from);
                    from = at;
                }
            if (empty)
                tier__hash_field(&h, NULL, 0);
            tier__hash_end(&h, &seen[count]);
            for (size_t i = 0; i < count; i++)
                assert_false(tier__digest_equal(&seen[i], &seen[count]));
            count++;
        }
    }
    assert_int_equal(count, 2 * WAYS);
}

static void the_domain_separates(void **state)
{
    (void)state;
    static const char *const domain[] = {"identity", "content", "value", "", "identit"};
    static const char *const field[] = {"x", "", NULL, "yx", "x"};
    tier_digest seen[25];
    size_t count = 0;
    for (size_t d = 0; d < 5; d++)
        for (size_t f = 0; f < 4; f++) {
            struct tier__hasher h;
            tier__hash_begin(&h, domain[d]);
            tier__hash_str(&h, field[f]);
            tier__hash_end(&h, &seen[count]);
            for (size_t i = 0; i < count; i++)
                assert_false(tier__digest_equal(&seen[i], &seen[count]));
            count++;
        }
}

static void starting_twice_is_fine(void **state)
{
    (void)state;
    assert_int_equal(tier__digest_init(), TIER_OK);
    assert_int_equal(tier__digest_init(), TIER_OK);
}

static void large_input_in_pieces(void **state)
{
    (void)state;
    /* The hasher buffers blocks of 128 bytes: lengths around them go through its seams. */
    for (size_t size = 100; size < 420; size++) {
        unsigned char data[420 + 16];
        struct tier__hasher h;
        tier_digest fields, plain;
        for (size_t i = 0; i < size; i++)
            data[16 + i] = (unsigned char)(i * 7);
        memset(data, 0, 16);
        data[8] = (unsigned char)size;
        data[9] = (unsigned char)(size >> 8);
        tier__hash_begin(&h, "");
        tier__hash_field(&h, data + 16, size);
        tier__hash_end(&h, &fields);
        tier__digest_of(data, 16 + size, &plain);
        assert_true(tier__digest_equal(&fields, &plain));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starting_twice_is_fine),       cmocka_unit_test(known_vectors),
        cmocka_unit_test(fields_are_lengths_and_bytes), cmocka_unit_test(field_boundaries_count),
        cmocka_unit_test(the_domain_separates),         cmocka_unit_test(large_input_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
