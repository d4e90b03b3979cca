/* Settings: the table itself, values as text, precedence of origins, trouble told with file and line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/stat.h>
#include <cmocka.h>
#include "tiers/base/profile.h"

struct world { /* a host with its own environment and directories */
    struct tier__base base;
    char dir[64], log[4096];
    const char *env[16]; /* name, value, ... */
};

static void take_log(void *user, int level, const char *line)
{
    struct world *w = user;
    (void)level;
    strncat(w->log, line, sizeof w->log - strlen(w->log) - 2);
    strcat(w->log, "\n");
}

static const char *fake_env(void *user, const char *name)
{
    struct world *w = user;
    for (int i = 0; w->env[i]; i += 2) {
        if (!strcmp(w->env[i], name))
            return w->env[i + 1];
    }
    return NULL;
}

static void path_of(const struct world *w, const char *name, char *out, size_t size)
{
    snprintf(out, size, "%s/%s", w->dir, name);
}

static int open_world(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    const char *tmp = getenv("TMPDIR");
    snprintf(w->dir, sizeof w->dir, "%s/tierkit-XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    assert_non_null(mkdtemp(w->dir));
    static const char *const dirs[] = {"cache", "config", "config/tierkit", "root"};
    for (int i = 0; i < 4; i++) {
        char path[128];
        path_of(w, dirs[i], path, sizeof path);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    tier_options o = TIER_INIT(tier_options);
    o.user = w;
    o.log = take_log;
    tier__base_init(&w->base, &o);
    *state = w;
    return 0;
}

static int close_world(void **state)
{
    struct world *w = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", w->dir);
    int rc = system(command);
    free(w);
    return rc;
}

static void put(struct world *w, const char *name, const char *text)
{
    char path[128];
    path_of(w, name, path, sizeof path);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

struct setup {
    const char *name, *settings[4];
    bool strict, no_dir;
};

static int resolve(struct world *w, struct setup s, struct tier__profile **p, char error[512])
{
    char cache[128], root[128];
    path_of(w, "cache", cache, sizeof cache);
    path_of(w, "root", root, sizeof root);
    struct tier__profile_request r = {.dir = s.no_dir ? NULL : cache,
                                      .name = s.name,
                                      .settings = s.settings,
                                      .root = root,
                                      .strict = s.strict,
                                      .env = fake_env,
                                      .env_user = w};
    while (r.setting_count < 4 && s.settings[r.setting_count])
        r.setting_count++;
    w->log[0] = 0;
    return tier__profile_resolve(&w->base, &r, p, error, 512);
}

static void test_table(void **state)
{
    struct world *w = *state;
    for (int id = 0; id < TIER__PROFILE_COUNT; id++) {
        struct tier__profile *p;
        char error[512];
        assert_int_equal(resolve(w, (struct setup){.name = tier__profile_name(id)}, &p, error), 0);
        for (int k = 0; k < TIER__KEY_COUNT; k++) {
            const struct tier__key_info *info = tier__key_info(k);
            char text[64];
            int64_t raw = -1;
            if (info->defaults[id] < info->min || info->defaults[id] > info->max)
                fail_msg("%s: default out of range", info->name);
            tier__key_format(k, info->defaults[id], text, sizeof text);
            if (!tier__key_parse(k, text, &raw) || raw != info->defaults[id])
                fail_msg("%s: '%s' is not read back", info->name, text);
            if (info->kind == TIER__KIND_ENUM)
                assert_string_equal(tier__profile_word(p, k), text);
            assert_int_equal(p->origin[k].kind, TIER__FROM_DEFAULT);
        }
        tier__profile_free(&p);
        assert_null(p);
    }
    assert_int_equal(tier__key_info(TIER__KEY_MEMORY_TREE)->defaults[TIER__PRODUCTION], 1000ll << 20);
}

static void test_values(void **state)
{
    static const struct {
        int key;
        const char *text;
        int64_t raw; /* -1: refused */
    } values[] = {
        {TIER__KEY_MEMORY_FILE, "75MiB", 75 << 20},
        {TIER__KEY_MEMORY_FILE, "1G", 1 << 30},
        {TIER__KEY_MEMORY_FILE, "4096", 4096},
        {TIER__KEY_MEMORY_FILE, "1 KiB", 1024},
        {TIER__KEY_MEMORY_FILE, "1MB", 1000000},
        {TIER__KEY_MEMORY_FILE, "", -1},
        {TIER__KEY_MEMORY_FILE, "-1", -1},
        {TIER__KEY_MEMORY_FILE, "1X", -1},
        {TIER__KEY_MEMORY_FILE, "99999999999999999999", -1},
        {TIER__KEY_MEMORY_FILE, "9223372036854775807T", -1},
        {TIER__KEY_MEMORY_FILE, "1025GiB", -1},
        {TIER__KEY_WARM_LIMIT, "12h", 43200000},
        {TIER__KEY_WARM_LIMIT, "30s", 30000},
        {TIER__KEY_WARM_LIMIT, "500ms", 500},
        {TIER__KEY_WARM_LIMIT, "25h", -1},
        {TIER__KEY_RETENTION_HOURS, "12", 12},
        {TIER__KEY_RETENTION_HOURS, "2d", 48},
        {TIER__KEY_PRESSURE_TRIM, "0.8", 800},
        {TIER__KEY_PRESSURE_TRIM, ".755", 755},
        {TIER__KEY_PRESSURE_TRIM, "80%", 800},
        {TIER__KEY_PRESSURE_TRIM, "1", 1000},
        {TIER__KEY_PRESSURE_TRIM, "0,8", -1},
        {TIER__KEY_PRESSURE_TRIM, "1.1", -1},
        {TIER__KEY_PRESSURE_TRIM, "0.", -1},
        {TIER__KEY_VERIFY_SAMPLE, "1/100", 100},
        {TIER__KEY_VERIFY_SAMPLE, "0", 0},
        {TIER__KEY_STORE_PERSIST, "auto", TIER__PERSIST_AUTO},
        {TIER__KEY_STORE_PERSIST, "on", TIER__PERSIST_ON},
        {TIER__KEY_STORE_PERSIST, "aut", -1},
        {TIER__KEY_STORE_PERSIST, "", -1},
        {TIER__KEY_STORE_SYNC, "full", TIER__DISK_SYNC_FULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        int64_t raw = -1;
        bool read = tier__key_parse(values[i].key, values[i].text, &raw);
        if (read != (values[i].raw >= 0) || (read && raw != values[i].raw))
            fail_msg("%s = '%s' gave %d, %lld", tier__key_info(values[i].key)->name, values[i].text, read,
                     (long long)raw);
    }
}

static void test_precedence(void **state)
{
    struct world *w = *state;
    struct tier__profile *p;
    char error[512], config[128], origin[512], ends[] = "config/tierkit/tierkit.ini:3";
    path_of(w, "config", config, sizeof config);
    put(w, "cache/tierkit.ini", "memory.file = 1MiB\nmemory.tree = 1MiB\nkeep.runs = 3\nkeep.results=7\n");
    put(w, "config/tierkit/tierkit.ini", "; mine\n[memory]\n  file = 2MiB ; so much\n\ttree = 2MiB\n");
    put(w, "root/tierkit.ini",
        "\xef\xbb\xbfprofile = production\r\n[memory]\r\ntree: 3MiB\r\n[config]\r\nstd = c11\r\n");
    const char *env[] = {"XDG_CONFIG_HOME", config, "TIERKIT_KEEP_RUNS", "4", "CI", "1", NULL};
    memcpy(w->env, env, sizeof env);
    struct setup s = {.settings = {"keep.results=9", "config.std=c17", "config.x = y=z"}, .strict = true};
    assert_int_equal(resolve(w, s, &p, error), 0);
    assert_string_equal(p->name, "production");
    assert_int_equal(tier__profile_int(p, TIER__KEY_MEMORY_FILE), 2 << 20);
    assert_int_equal(tier__profile_int(p, TIER__KEY_MEMORY_TREE), 3 << 20);
    assert_int_equal(tier__profile_int(p, TIER__KEY_KEEP_RUNS), 4);
    assert_int_equal(tier__profile_int(p, TIER__KEY_KEEP_RESULTS), 9);
    assert_int_equal(tier__profile_int(p, TIER__KEY_MEMORY_DELTA), 128 << 20);
    assert_string_equal(tier__profile_config(p, "std"), "c17");
    assert_string_equal(tier__profile_config(p, "x"), "y=z");
    assert_null(tier__profile_config(p, "y"));
    tier__origin_format(&p->origin[TIER__KEY_MEMORY_FILE], origin, sizeof origin);
    assert_string_equal(origin + strlen(origin) - strlen(ends), ends);
    assert_int_equal(p->origin[TIER__KEY_KEEP_RUNS].kind, TIER__FROM_ENVIRONMENT);
    assert_int_equal(p->origin[TIER__KEY_KEEP_RESULTS].kind, TIER__FROM_ARGUMENT);
    assert_int_equal(p->file_count, 3);
    tier__profile_free(&p);
}

static void test_choice_of_profile(void **state)
{
    struct world *w = *state;
    struct tier__profile *p;
    char error[512];
    const char *ci[] = {"CI", "true", NULL}, *empty[] = {"CI", "", NULL};
    const char *both[] = {"CI", "true", "TIERKIT_PROFILE", "production", NULL};
    const char **env[] = {ci, empty, both};
    static const char *const expected[] = {"ci", "dev", "production"};
    for (int i = 0; i < 3; i++) {
        memcpy(w->env, env[i], (i == 2 ? 5 : 3) * sizeof *w->env);
        assert_int_equal(resolve(w, (struct setup){.strict = true}, &p, error), 0);
        assert_string_equal(p->name, expected[i]);
        tier__profile_free(&p);
    }
    assert_int_equal(resolve(w, (struct setup){.name = "dev"}, &p, error), 0);
    assert_string_equal(p->name, "dev");
    tier__profile_free(&p);
    assert_int_equal(resolve(w, (struct setup){.name = "fast"}, &p, error), TIER_EINVAL);
    assert_non_null(strstr(error, "dev, ci, production"));
    assert_null(p);
}

static void test_trouble(void **state)
{
    struct world *w = *state;
    struct tier__profile *p;
    char error[512];
    put(w, "root/tierkit.ini",
        "[memory]\nfile = huge\nnothing here\n[store]\nsync = none\n[]\ndir = /x\nmemry.x = 1\n");
    assert_int_equal(resolve(w, (struct setup){0}, &p, error), 0); /* warned, defaults stay */
    assert_int_equal(tier__profile_int(p, TIER__KEY_MEMORY_FILE), 75 << 20);
    assert_int_equal(tier__profile_int(p, TIER__KEY_STORE_SYNC), TIER__DISK_SYNC_RELAXED);
    assert_non_null(
        strstr(w->log, "tierkit.ini:2: memory.file = 'huge': expected a size from 0 bytes to 1024 GiB"));
    assert_non_null(strstr(w->log, "tierkit.ini:3: expected 'key = value'"));
    assert_non_null(strstr(w->log, "tierkit.ini:5: 'store.sync' may not"));
    assert_non_null(strstr(w->log, "tierkit.ini:7: 'dir' may not"));
    assert_non_null(strstr(w->log, "tierkit.ini:8: unknown key 'memry.x'"));
    tier__profile_free(&p);
    assert_int_equal(resolve(w, (struct setup){.strict = true}, &p, error), TIER_EINVAL);
    assert_non_null(strstr(error, "tierkit.ini:2: memory.file"));
    put(w, "root/tierkit.ini", "");
    static const char *const bad[] = {"memory.file",        "memory.fil=1", "policy=fifo", "keep.runs=0",
                                      "pressure.trim=0.95", "=x",           "config.=1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(resolve(w, (struct setup){.settings = {bad[i]}}, &p, error), TIER_EINVAL);
        assert_int_equal(strncmp(error, "argument: ", 10), 0);
    }
    const char *env[] = {"TIERKIT_POLICY", "fifo", "TIERKIT_PROFILE", "fast", NULL};
    memcpy(w->env, env, sizeof env);
    assert_int_equal(resolve(w, (struct setup){0}, &p, error), 0);
    assert_non_null(strstr(w->log, "one of worth, s3fifo, gdsf, lru"));
    tier__profile_free(&p);
    assert_int_equal(resolve(w, (struct setup){.strict = true}, &p, error), TIER_EINVAL);
}

/* Names in the real environment: what is misspelt is told, what is set to nothing counts as unset. */
static void test_unknown_variables(void **state)
{
    struct world *w = *state;
    struct tier__profile *p;
    char error[512];
    struct tier__profile_request r = {.dir = "", .name = "dev"};
    setenv("TIERKIT_MEMROY_FILE", "1", 1);
    setenv("TIERKIT_MEMORY_TREE", "7MiB", 1);
    setenv("TIERKIT_MEMORY", "", 1);
    w->log[0] = 0;
    assert_int_equal(tier__profile_resolve(&w->base, &r, &p, error, sizeof error), 0);
    assert_non_null(strstr(w->log, "environment: unknown variable TIERKIT_MEMROY_FILE; ignored"));
    assert_null(strstr(w->log, "TIERKIT_MEMORY"));
    assert_int_equal(tier__profile_int(p, TIER__KEY_MEMORY_TREE), 7 << 20);
    tier__profile_free(&p);
    r.strict = true;
    assert_int_equal(tier__profile_resolve(&w->base, &r, &p, error, sizeof error), TIER_EINVAL);
    assert_string_equal(error, "environment: unknown variable TIERKIT_MEMROY_FILE");
    unsetenv("TIERKIT_MEMROY_FILE");
    assert_int_equal(tier__profile_resolve(&w->base, &r, &p, error, sizeof error), 0);
    tier__profile_free(&p);
    unsetenv("TIERKIT_MEMORY_TREE");
    unsetenv("TIERKIT_MEMORY");
}

static void expect_dir(struct world *w, struct setup s, const char *dir, bool given)
{
    struct tier__profile *p;
    char error[512];
    assert_int_equal(resolve(w, s, &p, error), 0);
    assert_string_equal(p->dir, dir);
    assert_int_equal(p->dir_given, given);
    /* profile ci: auto persists only where a directory was given */
    assert_int_equal(tier__profile_persists(p), given && *dir);
    tier__profile_free(&p);
}

static void test_directory(void **state)
{
    struct world *w = *state;
    char config[128], other[128];
    path_of(w, "config", config, sizeof config);
    path_of(w, "other", other, sizeof other);
    struct setup none = {.name = "ci", .no_dir = true};
    struct setup empty = {.name = "ci", .no_dir = true, .settings = {"dir="}};
    struct setup set = {.name = "ci", .no_dir = true, .settings = {"dir=/set"}};
    expect_dir(w, none, "", false);
    w->env[0] = "HOME", w->env[1] = "/home/u", w->env[2] = NULL;
    expect_dir(w, none, "/home/u/.cache/tierkit", false);
    w->env[2] = "XDG_CACHE_HOME", w->env[3] = "/c", w->env[4] = NULL;
    expect_dir(w, none, "/c/tierkit", false);
    w->env[4] = "XDG_CONFIG_HOME", w->env[5] = config, w->env[6] = NULL;
    put(w, "config/tierkit/tierkit.ini", "dir = ~/t\n");
    expect_dir(w, none, "/home/u/t", false);
    w->env[6] = "TIERKIT_DIR", w->env[7] = other, w->env[8] = NULL;
    expect_dir(w, none, other, true);
    expect_dir(w, set, "/set", true);
    expect_dir(w, empty, "", true);
    put(w, "config/tierkit/tierkit.ini", "dir = relative\n");
    expect_dir(w, none, other, true);
    assert_non_null(strstr(w->log, "tierkit.ini:1: dir = 'relative': expected an absolute path"));
}

static int collect(void *user, unsigned line, const char *name, const char *value)
{
    snprintf((char *)user + strlen(user), 200, "%u:%s=%s|", line, name, value);
    return 0;
}
static int collect_bad(void *user, unsigned line)
{
    snprintf((char *)user + strlen(user), 200, "%u!|", line);
    return 0;
}

static void test_ini(void **state)
{
    char long_line[400], out[4096] = "";
    (void)state;
    struct tier__ini_calls calls = {out, collect, collect_bad};
    static const char text[] = "a=1\n\n  # note\n b = x y \n[s.t]\n c:2\n[open\nnext\nd=\n=e\nz\0y=1\nlast=1";
    assert_int_equal(tier__ini_parse(text, sizeof text - 1, &calls), 0);
    assert_string_equal(out, "1:a=1|4:b=x y|6:s.t.c=2|7!|8!|9:s.t.d=|10!|11!|12:s.t.last=1|");
    memset(long_line, 'k', sizeof long_line);
    memcpy(long_line + 390, "=1\na=2\n", 7);
    out[0] = 0;
    assert_int_equal(tier__ini_parse(long_line, 397, &calls), 0);
    assert_string_equal(out, "1!|2:a=2|");
}

static void count_each(void *user, const struct tier__key_info *key, const char *value, const char *standard,
                       const char *origin)
{
    if (!strcmp(key->name, "memory.file")) {
        assert_string_equal(value, "1 MiB");
        assert_string_equal(standard, "75 MiB");
        assert_string_equal(origin, "argument");
    }
    ++*(int *)user;
}
static void count_diff(void *user, const struct tier__key_info *key, const char *a, const char *b)
{
    if (!strcmp(key->name, "pressure.trim")) {
        assert_string_equal(a, "0.80");
        assert_string_equal(b, "0.60");
    }
    assert_string_not_equal(a, b);
    ++*(int *)user;
}

static void test_listing(void **state)
{
    struct tier__profile *p;
    char error[512];
    int n = 0;
    assert_int_equal(resolve(*state, (struct setup){.settings = {"memory.file=1MiB"}}, &p, error), 0);
    tier__profile_each(p, count_each, &n);
    assert_int_equal(n, TIER__KEY_COUNT);
    tier__profile_free(&p);
    n = 0;
    tier__profile_diff(TIER__DEV, TIER__DEV, count_diff, &n);
    assert_int_equal(n, 0);
    tier__profile_diff(TIER__DEV, TIER__CI, count_diff, &n);
    assert_true(n > 10);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_table),      TEST(test_values),
        TEST(test_precedence), TEST(test_choice_of_profile),
        TEST(test_trouble),    TEST(test_unknown_variables),
        TEST(test_directory),  TEST(test_ini),
        TEST(test_listing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
