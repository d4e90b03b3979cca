/* A directory that is read in pieces while its names are replaced may give one of them twice (POSIX says so
 * of readdir), as a directory again or as something else: the watcher walks on, and is told of all that comes
 * later. */
#include <dirent.h>
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "include/tierkit.h"

static const char *const twice[] = {"again", "other"};
static struct dirent kept[2];
static unsigned waiting, given;
static unsigned char type; /* the second time */

/* The library is linked statically: this is the one that it calls. */
struct dirent *readdir(DIR *dir)
{
    struct dirent *(*real)(DIR *);
    *(void **)&real = dlsym(RTLD_NEXT, "readdir");
    struct dirent *d = real(dir);
    for (unsigned i = 0; d && i < 2; i++)
        if (strcmp(d->d_name, twice[i]) == 0) {
            kept[waiting] = *d;
            kept[waiting++].d_type = type;
        }
    if (d || !waiting)
        return d;
    given++;
    return &kept[--waiting];
}

static bool told(tier_cache *c, tier_stream *st, const char *path)
{
    tier_event e = TIER_INIT(tier_event);
    bool found = false;
    assert_int_equal(tier_sync(c, 20000), 0);
    while (tier_stream_next(st, 0, &e) == 0)
        found |= e.path && strcmp(e.path, path) == 0;
    return found;
}

static void read_twice(unsigned char as)
{
    char top[64], path[128], name[32];
    tier_cache *c;
    tier_stream *st;
    const char *tmp = getenv("TMPDIR");
    type = as;
    given = 0;
    snprintf(top, sizeof top, "%.32s/twice.XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(top));
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", top, twice[i]);
        assert_int_equal(mkdir(path, 0755), 0);
        snprintf(path, sizeof path, "%s/%s/deep", top, twice[i]);
        assert_int_equal(mkdir(path, 0755), 0);
    }
    const tier_root root = {"", top};
    tier_options o = TIER_INIT(tier_options);
    tier_stream_options so = TIER_INIT(tier_stream_options);
    o.app = "test";
    o.dir = "";
    o.roots = &root;
    o.root_count = 1;
    so.kinds = TIER_CHANGED;
    alarm(30); /* it used to go round for ever */
    assert_int_equal(tier_open(&o, &c), 0);
    assert_int_equal(tier_stream_open(c, &so, &st), 0);
    assert_int_equal(given, 2);
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s/deep/f", twice[i]);
        snprintf(path, sizeof path, "%s/%s", top, name);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fclose(f);
        assert_true(told(c, st, name));
        assert_int_equal(unlink(path), 0);
        snprintf(path, sizeof path, "%s/%s/deep", top, twice[i]);
        assert_int_equal(rmdir(path), 0);
        snprintf(path, sizeof path, "%s/%s", top, twice[i]);
        assert_int_equal(rmdir(path), 0);
    }
    alarm(0);
    assert_int_equal(tier_stream_close(&st), 0);
    assert_int_equal(tier_close(&c), 0);
    assert_int_equal(rmdir(top), 0);
}

static void a_directory_comes_twice(void **state)
{
    (void)state;
    read_twice(DT_DIR);
}

static void a_directory_became_a_file(void **state)
{
    (void)state;
    read_twice(DT_REG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_directory_comes_twice),
                                       cmocka_unit_test(a_directory_became_a_file)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
