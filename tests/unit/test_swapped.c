/* test_swapped.c - a directory above is exchanged for another between two system calls of one look, and back.
 * The stamps of what is below are the old ones then, so the list of leaves must not take what was found in
 * the other directory for what they stand for. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include "tests/unit/small_world.h"

enum {
    FILES = 80,
    SETTLED_US = 60000
}; /* more files than TIER__CLOSURE_MIN; three times the racy rule's tick */

/* The library is linked statically here, so it calls these. */
static const char *swap_at_open, *swap_at_stat; /* NULL: never; else around the next call for this path */

static void swap(void)
{
    char a[96], b[96];
    snprintf(a, sizeof a, "%s/src/p", top);
    snprintf(b, sizeof b, "%s/src/q", top);
    assert_int_equal(syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 2 /* RENAME_EXCHANGE */), 0);
}

static bool is_due(const char **swap_at, const char *path)
{
    if (!*swap_at || strcmp(*swap_at, path) != 0)
        return false;
    *swap_at = NULL;
    swap();
    return true;
}

static long swap_back(long result)
{
    int error = errno;
    swap();
    errno = error;
    return result;
}

int openat(int dir, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    unsigned mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(args, unsigned) : 0;
    va_end(args);
    bool due = !(flags & O_PATH) && is_due(&swap_at_open, path);
    long fd = syscall(SYS_openat, dir, path, flags, mode);
    return (int)(due ? swap_back(fd) : fd);
}

int fstatat(int dir, const char *restrict path, struct stat *restrict st, int flags)
{
    bool due = is_due(&swap_at_stat, path);
    long rc = syscall(SYS_newfstatat, dir, path, st, flags);
    return (int)(due ? swap_back(rc) : rc);
}

/* Reads all files, then what the arguments say of p/d. */
static int build(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    char name[32], kind, text[64] = "absent";
    const char *how = q->args;
    const void *data;
    size_t cursor = 0, size;
    (void)user;
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "f%d", i);
        int rc = tier_file(s, name, &v);
        if (rc)
            return rc;
    }
    if (*how == 'l' && tier_list(s, "p/d", "*", &v) == 0 && tier_next(&v, &cursor, &data, &size) == 0)
        snprintf(text, sizeof text, "%s", (const char *)data);
    else if (*how == 'r' && tier_file(s, "p/d/in_p", &v) == 0)
        snprintf(text, sizeof text, "%s", (const char *)v.data);
    else if (*how == 'a' && tier_stat(s, "p/d/in_q", &kind) == 0)
        snprintf(text, sizeof text, "%c", kind);
    return tier_out_bytes(out, text, strlen(text));
}

static void expect(const tier_type *type, const char *how, const char *want)
{
    tier_session *s = begin(0);
    tier_query q = {.type = type, .args = how, .args_size = strlen(how) + 1};
    tier_value v;
    assert_int_equal(tier_get(s, &q, &v), 0);
    assert_string_equal(v.data, want);
    assert_int_equal(tier_end(&s), 0);
}

static const tier_type *world_make(void)
{
    char path[96], name[32];
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "f%d", i);
        put(name, "one");
    }
    for (int i = 0; i < 2; i++) {
        for (int deep = 0; deep < 2; deep++) {
            snprintf(path, sizeof path, "%s/src/%c%s", top, "pq"[i], deep ? "/d" : "");
            assert_int_equal(mkdir(path, 0700), 0);
        }
        snprintf(name, sizeof name, "%c/d/in_%c", "pq"[i], "pq"[i]);
        put(name, "here");
    }
    usleep(SETTLED_US);
    open_cache(0, NULL);
    return define("report", 0, build, NULL);
}

static void names_of_another_directory(void **state)
{
    (void)state;
    const tier_type *type = world_make();
    swap_at_open = "p/d";
    expect(type, "list", "p/d/in_q");
    assert_null(swap_at_open);
    expect(type, "list", "p/d/in_p");
    expect(type, "list", "p/d/in_p");
    assert_int_equal(counted("closure.hit"), 1); /* the last of them: no harm is done for good */
}

static void a_file_that_could_not_be_read(void **state)
{
    (void)state;
    const tier_type *type = world_make();
    swap_at_open = "p/d/in_p";
    expect(type, "read", "absent");
    assert_null(swap_at_open);
    expect(type, "read", "here");
    expect(type, "read", "here");
    assert_int_equal(counted("closure.hit"), 1);
}

/* Absent twice, and the directory looked at in between is another one, which has the name. */
static void an_absence_beside_another_directory(void **state)
{
    (void)state;
    const tier_type *type = world_make();
    swap_at_stat = "p/d";
    expect(type, "absent", "absent");
    assert_null(swap_at_stat);
    swap();
    usleep(SETTLED_US);
    expect(type, "absent", "f");
    expect(type, "absent", "f");
    assert_int_equal(counted("closure.hit"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_of_another_directory, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_file_that_could_not_be_read, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(an_absence_beside_another_directory, world_setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
