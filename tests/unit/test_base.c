/* test_base.c - allocation seam, buffers and their reader, log, clocks, errors. */
#include <stdarg.h>
#include <setjmp.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "tiers/base/base.h"

/* A host whose allocator fails after some calls, and whose log keeps the last line. */
struct host {
    long left; /* allocations that succeed; < 0: all */
    long blocks;
    int level;
    char line[8192];
};

static void *host_realloc(void *user, void *old, size_t size)
{
    struct host *h = user;
    if (size == 0) {
        h->blocks -= old != NULL;
        free(old);
        return NULL;
    }
    if (h->left == 0)
        return NULL;
    h->left -= h->left > 0;
    h->blocks += old == NULL;
    return realloc(old, size);
}

static void host_log(void *user, int level, const char *line)
{
    struct host *h = user;
    h->level = level;
    snprintf(h->line, sizeof h->line, "%s", line);
}

static struct tier__base base_of(struct host *h)
{
    tier_options o = TIER_INIT(tier_options);
    struct tier__base b;
    *h = (struct host){.left = -1};
    o.user = h;
    o.realloc = host_realloc;
    o.log = host_log;
    tier__base_init(&b, &o);
    return b;
}

static void allocation_goes_through_the_hook(void **state)
{
    (void)state;
    struct host h;
    struct tier__base b = base_of(&h);
    unsigned char *p = tier__zalloc(&b, 3, 100);
    for (int i = 0; i < 300; i++)
        assert_int_equal(p[i], 0);
    char *s = tier__strdup(&b, "text"), *d = tier__memdup0(&b, "a\0b", 3), *z = tier__alloc(&b, 0);
    assert_string_equal(s, "text");
    assert_memory_equal(d, "a\0b", 4);
    assert_non_null(z);
    assert_int_equal(h.blocks, 4);
    h.left = 0;
    assert_null(tier__resize(&b, s, 4096));
    assert_string_equal(s, "text"); /* the old block is kept */
    assert_null(tier__alloc(&b, 1));
    assert_null(tier__strdup(&b, "x"));
    h.left = -1;
    assert_null(tier__zalloc(&b, SIZE_MAX / 2, 3));
    assert_null(tier__alloc(&b, SIZE_MAX));
    assert_null(tier__memdup0(&b, "", SIZE_MAX));
    tier__free(&b, p);
    tier__free(&b, s);
    tier__free(&b, d);
    tier__free(&b, z);
    tier__free(&b, NULL);
    assert_int_equal(h.blocks, 0);
}

static void without_options_the_c_library_serves(void **state)
{
    (void)state;
    struct tier__base b;
    tier__base_init(&b, NULL);
    char *p = tier__strdup(&b, "plain");
    assert_string_equal(p, "plain");
    tier__free(&b, p);
    tier__log(&b, TIER_LOG_ERROR, "nobody %s", "listens");
    tier__count(&b, TIER__STORE_GET, 2);
    tier__count(&b, TIER__STORE_GET, 3);
    assert_int_equal(atomic_load(&b.metric[TIER__STORE_GET]), 5);
}

static void what_a_buffer_wrote_reads_back(void **state)
{
    (void)state;
    struct host h;
    struct tier__base base = base_of(&h);
    struct tier__buf b;
    tier__buf_init(&b, &base);
    tier__buf_u8(&b, 0xfe);
    tier__buf_u32(&b, 0x01020304);
    assert_memory_equal(b.data, "\xfe\x04\x03\x02\x01", 5); /* little endian on disk */
    tier__buf_u64(&b, UINT64_C(0x0102030405060708));
    tier__buf_bytes(&b, "x\0y", 3);
    tier__buf_str(&b, NULL);
    tier__buf_str(&b, "str");
    tier__buf_printf(&b, "%s-%d", "print", 7);
    assert_false(b.failed);
    assert_int_equal(b.data[b.size], 0);
    struct tier__reader r = tier__reader_of(b.data, b.size);
    size_t size;
    assert_int_equal(tier__read_u8(&r), 0xfe);
    assert_int_equal(tier__read_u32(&r), 0x01020304);
    assert_true(tier__read_u64(&r) == UINT64_C(0x0102030405060708));
    assert_memory_equal(tier__read_bytes(&r, &size), "x\0y", 3);
    assert_int_equal(size, 3);
    assert_non_null(tier__read_bytes(&r, &size));
    assert_int_equal(size, 0);
    assert_memory_equal(tier__read_bytes(&r, &size), "str", 3);
    assert_memory_equal(tier__read_raw(&r, 7), "print-7", 7);
    assert_false(r.failed);
    assert_ptr_equal(r.at, r.end);
    tier__buf_fini(&b);
    assert_int_equal(h.blocks, 0);
}

static void a_buffer_grows_and_ends_in_zero(void **state)
{
    (void)state;
    struct host h;
    struct tier__base base = base_of(&h);
    struct tier__buf b;
    tier__buf_init(&b, &base);
    for (size_t i = 0; i < 5000; i++) {
        tier__buf_u8(&b, (uint8_t)(i | 1));
        assert_int_equal(b.size, i + 1);
        assert_int_equal(b.data[b.size], 0);
    }
    for (size_t i = 0; i < 5000; i++)
        assert_int_equal(b.data[i], (uint8_t)(i | 1));
    unsigned char *at = tier__buf_space(&b, 100);
    memset(at, 'z', 100);
    assert_int_equal(b.size, 5000); /* the caller says what it used */
    b.size += 100;
    assert_int_equal(b.data[b.size], 0);
    size_t capacity = b.capacity;
    tier__buf_clear(&b);
    assert_int_equal(b.size, 0);
    assert_int_equal(b.data[0], 0);
    assert_int_equal(b.capacity, capacity);
    tier__buf_fini(&b);
}

static void a_failed_buffer_stays_failed(void **state)
{
    (void)state;
    struct host h;
    struct tier__base base = base_of(&h);
    struct tier__buf b;
    tier__buf_init(&b, &base);
    tier__buf_put(&b, "before", 6);
    h.left = 0;
    assert_null(tier__buf_space(&b, 1 << 20));
    assert_true(b.failed);
    h.left = -1;
    tier__buf_u8(&b, 1); /* would fit, yet a hole in the middle must not look like success */
    tier__buf_printf(&b, "%d", 1);
    assert_int_equal(b.size, 6);
    assert_string_equal((char *)b.data, "before");
    tier__buf_clear(&b);
    assert_false(b.failed);
    assert_null(tier__buf_space(&b, SIZE_MAX));
    assert_true(b.failed);
    tier__buf_fini(&b);
    tier__buf_bytes(&b, "", (size_t)UINT32_MAX + 1); /* longer than its length prefix can say */
    assert_true(b.failed);
    tier__buf_fini(&b);
    assert_int_equal(h.blocks, 0);
}

static void a_reader_never_runs_past_the_end(void **state)
{
    (void)state;
    static const unsigned char data[] = {200, 0, 0, 0, 1, 2, 3};
    size_t size = 99;
    for (size_t n = 0; n <= sizeof data; n++) {   /* each prefix announces more than there is */
        unsigned char *exact = malloc(n ? n : 1); /* so that a sanitizer sees one byte too many */
        memcpy(exact, data, n);
        struct tier__reader r = tier__reader_of(exact, n);
        assert_null(tier__read_bytes(&r, &size));
        assert_int_equal(size, 0);
        assert_true(r.failed);
        assert_int_equal(tier__read_u8(&r), 0);
        assert_true(tier__read_u64(&r) == 0);
        assert_null(tier__read_raw(&r, 0)); /* after a failure nothing is there */
        free(exact);
    }
}

static void log_lines_of_any_length_arrive(void **state)
{
    (void)state;
    struct host h;
    struct tier__base b = base_of(&h);
    char path[4096];
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = 0;
    tier__log(&b, TIER_LOG_WARNING, "%s!", path);
    assert_int_equal(h.level, TIER_LOG_WARNING);
    assert_int_equal(strlen(h.line), sizeof path);
    assert_int_equal(h.line[sizeof path - 1], '!');
    h.left = 0;
    tier__log(&b, TIER_LOG_ERROR, "%s!", path); /* cut, but said */
    assert_int_equal(h.level, TIER_LOG_ERROR);
    assert_in_range(strlen(h.line), 100, sizeof path - 1);
    assert_int_equal(h.blocks, 0);
}

static void every_error_has_a_name_and_a_sentence(void **state)
{
    (void)state;
    assert_string_equal(tier_errname(TIER_OK), "TIER_OK");
    assert_string_equal(tier_errname(TIER_EINVAL), "TIER_EINVAL");
    assert_string_equal(tier_strerror(TIER_ENOMEM), "out of memory");
    for (int rc = TIER_END; rc <= TIER_OK; rc++) {
        assert_memory_equal(tier_errname(rc), "TIER_", 5);
        assert_string_not_equal(tier_errname(rc), tier_errname(1));
        for (int other = TIER_END; other < rc; other++)
            assert_string_not_equal(tier_strerror(rc), tier_strerror(other));
    }
    assert_string_equal(tier_strerror(1), "unknown error");
}

static void errnos_mean_what_the_contract_says(void **state)
{
    (void)state;
    static const int expected[][2] = {
        {0, TIER_OK},          {ENOENT, TIER_EABSENT}, {ENOTDIR, TIER_EABSENT}, {ELOOP, TIER_EABSENT},
        {EPERM, TIER_EACCESS}, {EACCES, TIER_EACCESS}, {EISDIR, TIER_EKIND},    {ENXIO, TIER_EKIND},
        {ENOMEM, TIER_ENOMEM}, {EIO, TIER_EIO},        {EMFILE, TIER_EIO},      {ENAMETOOLONG, TIER_EABSENT},
        {ENOTSUP, TIER_EIO},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_int_equal(tier__errno_rc(expected[i][0]), expected[i][1]);
}

static void the_observing_clock_is_never_ahead_of_file_stamps(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    char dir[4096], file[4200];
    snprintf(dir, sizeof dir, "%s/tier-base-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(dir));
    snprintf(file, sizeof file, "%s/f", dir);
    for (int i = 0; i < 200; i++) {
        struct stat st;
        int64_t before = tier__now_ns();
        FILE *f = fopen(file, "w");
        assert_non_null(f);
        fputc('x', f);
        fclose(f);
        assert_int_equal(stat(file, &st), 0);
        if (st.st_mtim.tv_nsec == 0) /* a file system of whole seconds cannot show it */
            continue;
        assert_true((int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec >= before);
    }
    unlink(file);
    rmdir(dir);
    int64_t ms = tier__monotonic_ms();
    uint64_t us = tier__monotonic_us();
    assert_true(tier__monotonic_ms() >= ms && tier__monotonic_us() >= us);
    assert_true((int64_t)(us / 1000) >= ms);
    int64_t coarse = tier__now_ns();
    assert_true(tier__now_ms() >= coarse / 1000000);
}

static void a_forked_child_is_another_process(void **state)
{
    (void)state;
    struct tier__process p;
    tier__process_mark(&p);
    assert_true(tier__process_same(&p));
    pid_t child = fork();
    if (child == 0) {
        bool same = tier__process_same(&p);
        struct tier__process own;
        tier__process_mark(&own);
        _exit(same || !tier__process_same(&own));
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(tier__process_same(&p));
    tier__process_unmark(&p);
    assert_true(tier__process_same(&p)); /* by its number */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocation_goes_through_the_hook),
        cmocka_unit_test(without_options_the_c_library_serves),
        cmocka_unit_test(what_a_buffer_wrote_reads_back),
        cmocka_unit_test(a_buffer_grows_and_ends_in_zero),
        cmocka_unit_test(a_failed_buffer_stays_failed),
        cmocka_unit_test(a_reader_never_runs_past_the_end),
        cmocka_unit_test(log_lines_of_any_length_arrive),
        cmocka_unit_test(every_error_has_a_name_and_a_sentence),
        cmocka_unit_test(errnos_mean_what_the_contract_says),
        cmocka_unit_test(the_observing_clock_is_never_ahead_of_file_stamps),
        cmocka_unit_test(a_forked_child_is_another_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
