/* Directories that are not ours: no store is begun there, and nothing in them is made, renamed or deleted. */
#include "tests/unit/store_util.h"
#include <linux/capability.h>
#include <sys/syscall.h>

static void put(const struct place *p, const char *name, const char *text)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s", p->dir, name);
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static void make(const struct place *p, const char *name)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s", p->dir, name);
    assert_int_equal(mkdir(path, 0755), 0);
}

static bool is_there(const struct place *p, const char *name)
{
    char path[400];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", p->dir, name);
    return lstat(path, &st) == 0;
}

static bool holds(const struct place *p, const char *name, const char *text)
{
    char path[400], got[200];
    snprintf(path, sizeof path, "%s/%s", p->dir, name);
    int fd = open(path, O_RDONLY);
    ssize_t n = fd >= 0 ? read(fd, got, sizeof got) : -1;
    if (fd >= 0)
        close(fd);
    return n == (ssize_t)strlen(text) && !memcmp(got, text, (size_t)n);
}

/* Names, modes and time stamps of all that is in dir: equal when nothing there was touched. */
static uint64_t sum_of(const char *dir, int depth)
{
    uint64_t sum = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[600];
        struct stat st;
        if (!strcmp(e->d_name, "..") ||
            snprintf(path, sizeof path, "%s/%s", dir, e->d_name) >= (int)sizeof path || lstat(path, &st))
            continue;
        uint64_t h = st.st_mode + (uint64_t)st.st_size * 31 + (uint64_t)st.st_ctim.tv_nsec * 131 + st.st_ino;
        for (const char *c = e->d_name; *c; c++)
            h = h * 1000003 + (unsigned char)*c;
        sum += h;
        if (S_ISDIR(st.st_mode) && strcmp(e->d_name, ".") && depth < 4)
            sum += sum_of(path, depth + 1);
    }
    if (d)
        closedir(d);
    return sum;
}

static void on_problem(void *user, const struct tier__store_problem *q)
{
    (void)q;
    ++*(unsigned *)user;
}

/* Neither opening nor tending touches anything, and the reason has text in it. */
static void refused(struct place *p, const char *text)
{
    uint64_t before = sum_of(p->dir, 0), records, deleted;
    for (int read_only = 0; read_only < 2; read_only++) {
        struct tier__store_options o = {.dir = p->dir, .read_only = read_only};
        tier__store *st = NULL;
        char why[600] = "";
        int rc = tier__store_open(&p->base, &o, &st, why, sizeof why);
        assert_int_not_equal(rc, TIER_OK);
        assert_null(st);
        if (!read_only) {
            assert_int_equal(rc, TIER_EKIND);
            assert_non_null(strstr(why, text));
        }
    }
    bool aside = false;
    unsigned found = 0;
    (void)tier__store_check(&p->base, p->dir, true, on_problem, &found, &records);
    assert_int_equal(tier__store_repair(&p->base, p->dir, &deleted, &aside), TIER_EKIND);
    assert_false(aside);
    assert_int_equal(sum_of(p->dir, 0), before);
}

static void accepted(struct place *p)
{
    tier__store *st = util_open(p, TIER__SYNC_NONE);
    assert_non_null(st);
    tier__store_close(&st);
    assert_true(is_there(p, "v1/data.mdb"));
}

static const char FOREIGN[] = "is not empty and no cache directory of ours";

static void test_foreign_v1(void **state)
{
    struct place *p = *state;
    make(p, "v1");
    put(p, "v1/api.c", "int x;\n");
    refused(p, FOREIGN);
    assert_true(holds(p, "v1/api.c", "int x;\n"));
    put(p, "v1/state", "tierkit-store 1 of somebody else's\n");
    refused(p, FOREIGN);
}

static void test_foreign_directories(void **state)
{
    struct place *p = *state;
    static const char *const name[] = {"main.c", "data.mdb", ".git", "new", "bad-00018f000000-00", "lock2"};
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        char path[400];
        put(p, name[i], "mine\n");
        refused(p, FOREIGN);
        snprintf(path, sizeof path, "%s/%s", p->dir, name[i]);
        assert_int_equal(unlink(path), 0);
    }
    put(p, "CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n# of another program\n");
    put(p, "deps", "mine\n");
    refused(p, FOREIGN);
    put(p, "CACHEDIR.TAG", "# Tierkit without the signature\n");
    refused(p, FOREIGN);
}

static void test_counts_as_empty(void **state)
{
    struct place *p = *state;
    put(p, "tierkit.ini", "memory.file = 11MiB\n");
    put(p, ".gitignore", "none\n");
    put(p, "lock", "");
    put(p, "CACHEDIR.TAG", "Signature: 8a477f597d2"); /* its writer died */
    make(p, "v1");
    accepted(p);
    put(p, "notes", "the user's own, later\n"); /* the mark is whole by now */
    accepted(p);
    assert_true(holds(p, ".gitignore", "none\n") && holds(p, "notes", "the user's own, later\n"));
    assert_int_equal(p->warnings, 0);
}

static void remove_file(const struct place *p, const char *name)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s", p->dir, name);
    assert_int_equal(unlink(path), 0);
}

static void test_older_stores(void **state)
{
    struct place *p = *state;
    accepted(p);
    remove_file(p, "CACHEDIR.TAG");
    accepted(p);
    assert_true(is_there(p, "CACHEDIR.TAG"));
    remove_file(p, "CACHEDIR.TAG");
    put(p, "main.c", "int x;\n");
    accepted(p);
    assert_false(is_there(p, "CACHEDIR.TAG")); /* backups would leave main.c out */
    put(p, "v1/state", "damaged");
    refused(p, FOREIGN);
    assert_true(holds(p, "main.c", "int x;\n"));
}

/* A mark tells whose DIR is, not what was put into v1 since. */
static void test_foreign_file_in_a_store(void **state)
{
    struct place *p = *state;
    accepted(p);
    put(p, "v1/api.c", "int x;\n");
    accepted(p); /* sound, it disturbs nobody */
    put(p, "v1/state", "damaged");
    refused(p, "holds api.c, which is no file of ours");
    remove_file(p, "v1/api.c");
    make(p, "v1/strikes.d");
    refused(p, "holds strikes.d, which is no file of ours");
    assert_false(is_there(p, "v1/bad"));
    char path[400];
    snprintf(path, sizeof path, "%s/v1/strikes.d", p->dir);
    assert_int_equal(rmdir(path), 0);
    put(p, "v1/.sync-12-0af-3", ""); /* of a watcher that died */
    accepted(p);
    assert_false(is_there(p, "v1/.sync-12-0af-3"));
}

/* What was moved aside goes after two more, unless something else is in it. */
static void test_foreign_file_aside(void **state)
{
    struct place *p = *state;
    accepted(p);
    make(p, "bad-000000000001-00");
    put(p, "bad-000000000001-00/data.mdb", "old");
    put(p, "bad-000000000001-00/api.c", "int x;\n");
    make(p, "bad-000000000002-00");
    put(p, "bad-000000000002-00/data.mdb", "old");
    make(p, "bad-apples");
    put(p, "bad-apples/lock", "mine");
    for (int i = 0; i < 4; i++) {
        put(p, "v1/state", "damaged");
        accepted(p);
    }
    assert_true(holds(p, "bad-000000000001-00/api.c", "int x;\n"));
    assert_true(holds(p, "bad-000000000001-00/data.mdb", "old"));
    assert_true(holds(p, "bad-apples/lock", "mine"));
    assert_false(is_there(p, "bad-000000000002-00"));
}

/* Root's right to write where modes forbid it. */
static void above_modes(bool on)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct caps[2];
    if (geteuid())
        return;
    assert_int_equal(syscall(SYS_capget, &head, caps), 0);
    caps[0].effective &= ~(1u << CAP_DAC_OVERRIDE);
    caps[0].effective |= on ? caps[0].permitted & 1u << CAP_DAC_OVERRIDE : 0;
    assert_int_equal(syscall(SYS_capset, &head, caps), 0);
}

/* One that cannot be removed keeps none of those behind it. */
static void test_fixed_aside(void **state)
{
    struct place *p = *state;
    char fixed[400];
    accepted(p);
    make(p, "bad-000000000001-00");
    put(p, "bad-000000000001-00/data.mdb", "old");
    make(p, "bad-000000000002-00");
    put(p, "bad-000000000002-00/data.mdb", "old");
    snprintf(fixed, sizeof fixed, "%s/bad-000000000001-00", p->dir);
    assert_int_equal(chmod(fixed, 0500), 0);
    above_modes(false);
    for (int i = 0; i < 3; i++) {
        put(p, "v1/state", "damaged");
        accepted(p);
    }
    above_modes(true);
    assert_int_equal(chmod(fixed, 0700), 0);
    assert_true(holds(p, "bad-000000000001-00/data.mdb", "old"));
    assert_false(is_there(p, "bad-000000000002-00"));
}

/* Where a store is made before it is renamed into place. */
static void test_foreign_new(void **state)
{
    struct place *p = *state;
    char v1[400], away[400];
    accepted(p);
    snprintf(v1, sizeof v1, "%s/v1", p->dir);
    snprintf(away, sizeof away, "%s/bad-0-0", p->dir);
    assert_int_equal(rename(v1, away), 0);
    make(p, "new");
    put(p, "new/lock", "left by who died");
    accepted(p);
    assert_false(is_there(p, "new"));
    util_remove(v1, 0);
    make(p, "new");
    put(p, "new/lock", "mine");
    put(p, "new/api.c", "int x;\n");
    struct tier__store_options o = {.dir = p->dir};
    tier__store *st = NULL;
    char why[400] = "";
    assert_int_equal(tier__store_open(&p->base, &o, &st, why, sizeof why), TIER_EKIND);
    assert_non_null(strstr(why, "/new is in the way"));
    assert_true(holds(p, "new/lock", "mine") && holds(p, "new/api.c", "int x;\n"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, util_setup, util_teardown)
    const struct CMUnitTest tests[] = {
        T(test_foreign_v1),
        T(test_foreign_directories),
        T(test_counts_as_empty),
        T(test_older_stores),
        T(test_foreign_file_in_a_store),
        T(test_foreign_file_aside),
        T(test_fixed_aside),
        T(test_foreign_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
