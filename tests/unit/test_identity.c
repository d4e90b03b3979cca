/* test_identity.c - each part of a stat identity counts by itself, also on a file system that keeps no change
 * times; and what is too young to be trusted is not written down. The library is linked statically here, so
 * the fstatat and fstat below are the ones that it calls. */
#include "tests/unit/small_world.h"
#include "coherence/manager.h"
#include <fcntl.h>
#include <sys/syscall.h>

static const struct timespec long_ago = {1000000000, 1}; /* no whole second: those are coarse stamps */
static ino_t frozen;                                     /* the file whose change time is never another */

int fstatat(int dir, const char *restrict path, struct stat *restrict st, int flags)
{
    int rc = (int)syscall(SYS_newfstatat, dir, path, st, flags);
    if (rc == 0 && frozen && st->st_ino == frozen)
        st->st_ctim = long_ago;
    return rc;
}

int fstat(int fd, struct stat *st)
{
    return fstatat(fd, "", st, AT_EMPTY_PATH);
}

/* In place, so that it stays the same inode. */
static void put_at(const char *name, const char *text, time_t seconds)
{
    char path[192];
    struct stat st;
    struct timespec times[2] = {{seconds, 1}, {seconds, 1}};
    put(name, text);
    snprintf(path, sizeof path, "%s/src/%s", top, name);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_int_equal(syscall(SYS_newfstatat, AT_FDCWD, path, &st, 0), 0);
    frozen = st.st_ino;
}

static int build(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    (void)user;
    int rc = tier_file(s, q->path, &v);
    return rc ? rc : tier_out_bytes(out, v.data, v.size);
}

static void expect(const tier_type *type, const char *text)
{
    tier_query q = {.type = type, .path = "a"};
    tier_value v;
    tier_session *s = begin(0);
    assert_int_equal(tier_get(s, &q, &v), 0);
    assert_int_equal(v.size, strlen(text));
    assert_memory_equal(v.data, text, v.size);
    assert_int_equal(tier_end(&s), 0);
}

static int setup(void **state)
{
    frozen = 0;
    return world_setup(state);
}

/* Another file of equal size and times is renamed over the first. */
static void an_inode_tells(void **state)
{
    char from[192], to[192];
    (void)state;
    open_cache(0, NULL);
    const tier_type *type = define("text", 0, build, NULL);
    put_at("a", "text", long_ago.tv_sec);
    expect(type, "text");
    put_at("b", "next", long_ago.tv_sec);
    snprintf(from, sizeof from, "%s/src/b", top);
    snprintf(to, sizeof to, "%s/src/a", top);
    assert_int_equal(rename(from, to), 0);
    expect(type, "next");
}

static void a_size_tells(void **state)
{
    (void)state;
    open_cache(0, NULL);
    const tier_type *type = define("text", 0, build, NULL);
    put_at("a", "text", long_ago.tv_sec);
    expect(type, "text");
    long read = counted("file.read");
    expect(type, "text");
    assert_int_equal(counted("file.read"), read); /* by its identity alone */
    put_at("a", "longer text", long_ago.tv_sec);
    expect(type, "longer text");
}

static void a_modification_time_tells(void **state)
{
    (void)state;
    open_cache(0, NULL);
    const tier_type *type = define("text", 0, build, NULL);
    put_at("a", "text", long_ago.tv_sec);
    expect(type, "text");
    put_at("a", "next", long_ago.tv_sec + 1);
    expect(type, "next");
}

static int count_row(void *user, const void *key, size_t key_size, const void *data, size_t size)
{
    (void)key;
    (void)key_size;
    (void)data;
    (void)size;
    ++*(int *)user;
    return 0;
}

static int identities_on_disk(void)
{
    int rows = 0;
    assert_int_equal(tier_flush(cache), 0);
    assert_int_equal(tier__store_each(cache->store, TIER__STAT, count_row, &rows), 0);
    return rows;
}

/* What may be written within the tick of its last stamp would be read again by every process to come. */
static void the_young_are_not_written(void **state)
{
    (void)state;
    open_cache(0, NULL);
    const tier_type *type = define("text", 0, build, NULL);
    put_at("a", "text", time(NULL) + 3600);
    expect(type, "text");
    assert_int_equal(identities_on_disk(), 0);
    put_at("a", "next", long_ago.tv_sec);
    expect(type, "next");
    assert_int_equal(identities_on_disk(), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
    static const struct CMUnitTest tests[] = {
        TEST(an_inode_tells),
        TEST(a_size_tells),
        TEST(a_modification_time_tells),
        TEST(the_young_are_not_written),
    };
    return cmocka_run_group_tests_name("identity", tests, NULL, NULL);
}
