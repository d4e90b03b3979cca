/* Compression: both libraries, one format, exact lengths, damaged streams. */
#include "tests/unit/store_util.h"
#include "tiers/codec.h"

static void round_trip(struct place *p, bool fast_in, bool fast_out)
{
    tier__codec *in = NULL, *out = NULL;
    struct tier__buf packed;
    tier__buf_init(&packed, &p->base);
    assert_int_equal(tier__codec_create(&p->base, 1, fast_in, &in), TIER_OK);
    assert_int_equal(tier__codec_create(&p->base, 6, fast_out, &out), TIER_OK);
    if (!fast_in)
        assert_string_equal(tier__codec_name(in), "zlib");
    for (size_t size = TIER__CODEC_MIN; size < 400000; size = size * 3 + 7) {
        unsigned char *plain = malloc(size), *back = malloc(size + 1);
        util_fill(plain, size, size, 2);
        assert_int_equal(tier__codec_deflate(in, plain, size, &packed), TIER_OK);
        assert_true(packed.size < size);
        back[size] = 0x5a;
        assert_int_equal(tier__codec_inflate(out, packed.data, packed.size, back, size), TIER_OK);
        assert_memory_equal(plain, back, size);
        assert_int_equal(back[size], 0x5a);
        /* Not a byte more or less than promised. */
        assert_int_equal(tier__codec_inflate(out, packed.data, packed.size, back, size - 1), TIER_EDAMAGE);
        assert_int_equal(tier__codec_inflate(out, packed.data, packed.size, back, size + 1), TIER_EDAMAGE);
        assert_int_equal(tier__codec_inflate(out, packed.data, packed.size - 1, back, size), TIER_EDAMAGE);
        free(plain);
        free(back);
    }
    tier__buf_fini(&packed);
    tier__codec_destroy(&in);
    tier__codec_destroy(&out);
    assert_null(in);
    tier__codec_destroy(&out);
}

static void test_round_trips(void **state)
{
    for (int i = 0; i < 4; i++)
        round_trip(*state, i & 1, i & 2);
}

static void test_does_not_pay(void **state)
{
    struct place *p = *state;
    for (int fast = 0; fast < 2; fast++) {
        tier__codec *c = NULL;
        struct tier__buf packed;
        unsigned char noise[8192];
        uint64_t seed = 7;
        tier__buf_init(&packed, &p->base);
        for (size_t i = 0; i < sizeof noise; i++)
            noise[i] = (unsigned char)util_next(&seed);
        assert_int_equal(tier__codec_create(&p->base, 1, fast, &c), TIER_OK);
        assert_int_equal(tier__codec_deflate(c, noise, sizeof noise, &packed), TIER_END);
        assert_int_equal(packed.size, 0);
        memset(noise, 0, sizeof noise);
        assert_int_equal(tier__codec_deflate(c, noise, TIER__CODEC_MIN - 1, &packed), TIER_END);
        assert_int_equal(tier__codec_deflate(c, noise, TIER__CODEC_MIN, &packed), TIER_OK);
        tier__buf_fini(&packed);
        tier__codec_destroy(&c);
    }
}

/* Every flipped byte is found, or harmless; nothing is written past the end (ASan, valgrind). */
static void test_damaged_streams(void **state)
{
    struct place *p = *state;
    enum { SIZE = 3000 };
    unsigned char plain[SIZE];
    util_fill(plain, SIZE, 5, 2);
    for (int fast = 0; fast < 2; fast++) {
        tier__codec *c = NULL;
        struct tier__buf packed;
        tier__buf_init(&packed, &p->base);
        assert_int_equal(tier__codec_create(&p->base, 1, fast, &c), TIER_OK);
        assert_int_equal(tier__codec_deflate(c, plain, SIZE, &packed), TIER_OK);
        for (size_t i = 0; i < packed.size; i++) {
            unsigned char *back = malloc(SIZE);
            packed.data[i] ^= (unsigned char)(1 + i % 255);
            int rc = tier__codec_inflate(c, packed.data, packed.size, back, SIZE);
            packed.data[i] ^= (unsigned char)(1 + i % 255);
            if (rc == TIER_OK) /* e.g. the compression level in the zlib header */
                assert_memory_equal(back, plain, SIZE);
            else
                assert_int_equal(rc, TIER_EDAMAGE);
            free(back);
        }
        unsigned char *back = malloc(SIZE);
        assert_int_equal(tier__codec_inflate(c, packed.data, packed.size, back, SIZE), TIER_OK);
        free(back);
        assert_int_equal(tier__codec_inflate(c, packed.data, packed.size, NULL, (size_t)TIER__PLAIN_MAX + 1),
                         TIER_EDAMAGE);
        tier__buf_fini(&packed);
        tier__codec_destroy(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trips, util_setup, util_teardown),
        cmocka_unit_test_setup_teardown(test_does_not_pay, util_setup, util_teardown),
        cmocka_unit_test_setup_teardown(test_damaged_streams, util_setup, util_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
