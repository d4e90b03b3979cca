/* small_world.h - a private root and store, one cache over them, its log and its counters, for tests of
 * single rules of the manager. Included once by each test. */
#ifndef TESTS_SMALL_WORLD_H
#define TESTS_SMALL_WORLD_H
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "include/tierkit.h"

static char top[64], logged[1 << 16];
static tier_cache *cache;

static __attribute__((unused)) void keep_log(void *user, int level, const char *line)
{
    size_t n = strlen(logged);
    (void)user;
    (void)level;
    snprintf(logged + n, sizeof logged - n, "%s\n", line);
}

static __attribute__((unused)) void put(const char *name, const char *text)
{
    char path[192];
    snprintf(path, sizeof path, "%s/src/%s", top, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* The options of top's cache; what they point to is in p. more: a setting besides, or NULL. */
struct place {
    char root_path[96], store[96];
    const char *settings[2];
    tier_root root;
};
static tier_options options_of(struct place *p, const char *more)
{
    tier_options o = TIER_INIT(tier_options);
    snprintf(p->root_path, sizeof p->root_path, "%s/src", top);
    snprintf(p->store, sizeof p->store, "%s/store", top);
    p->settings[0] = "verify.sample=0";
    p->settings[1] = more;
    p->root = (tier_root){"", p->root_path};
    o.app = "test";
    o.app_version = "1";
    o.profile = "dev";
    o.dir = p->store;
    o.roots = &p->root;
    o.root_count = 1;
    o.settings = p->settings;
    o.setting_count = more ? 2 : 1;
    return o;
}

/* Opens the cache of top; types are to be defined anew. */
__attribute__((unused)) static void open_cache(uint32_t flags, const char *more)
{
    struct place p;
    tier_options o = options_of(&p, more);
    o.flags = flags;
    o.log = keep_log;
    logged[0] = 0;
    assert_int_equal(tier_open(&o, &cache), 0);
}

static __attribute__((unused)) const tier_type *
define(const char *name, uint32_t flags, int (*build)(tier_session *, const tier_query *, tier_out *, void *),
       void *user)
{
    const tier_type *type = NULL;
    tier_type_def d = TIER_INIT(tier_type_def);
    d.name = name;
    d.tier = TIER_DELTA;
    d.flags = flags;
    d.build = build;
    d.user = user;
    assert_int_equal(tier_define(cache, &d, &type), 0);
    return type;
}

static __attribute__((unused)) tier_session *begin(uint32_t flags)
{
    tier_session *s = NULL;
    tier_session_options o = TIER_INIT(tier_session_options);
    o.flags = flags;
    assert_int_equal(tier_begin(cache, &o, &s), 0);
    return s;
}

struct counter {
    const char *name;
    double value;
};

static void find_counter(void *user, const char *name, double value)
{
    struct counter *c = user;
    if (strcmp(c->name, name) == 0)
        c->value = value;
}

__attribute__((unused)) static long counted(const char *name)
{
    struct counter c = {name, -1};
    assert_int_equal(tier_stats(cache, find_counter, &c), 0);
    return (long)c.value;
}

static int world_setup(void **state)
{
    char path[96];
    const char *tmp = getenv("TMPDIR");
    (void)state;
    snprintf(top, sizeof top, "%s/tkw.XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    if (!mkdtemp(top))
        return -1;
    snprintf(path, sizeof path, "%s/src", top);
    return mkdir(path, 0700);
}

static int world_teardown(void **state)
{
    char command[96];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", top);
    return tier_close(&cache) || system(command);
}
#endif
