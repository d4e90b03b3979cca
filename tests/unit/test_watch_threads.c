/* concurrent */
/* Sessions of several threads while files change and streams pump: whoever begins after a write has returned
 * sees it, whatever the watcher vouches for. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "include/tierkit.h"

enum { FILES = 12, READERS = 3, SESSIONS = 600 };
static char top[64];
static tier_cache *cache;
static atomic_int written[FILES], begun[FILES]; /* the number that it holds at least; at most */
static atomic_bool over;
static atomic_int stale, answers, changed;

static void path_of(char *path, int i, const char *end)
{
    sprintf(path, "%s/src/%s%d%s", top, i % 2 ? "d/" : "", i, end);
}

/* In place, or by another file that takes its name; always of one size. */
static void write_number(int i, int number, bool in_place)
{
    char path[128], text[16], other[128];
    path_of(path, i, "");
    path_of(other, i, ".new");
    sprintf(text, "%06d\n", number);
    atomic_store(&begun[i], number);
    int fd = open(in_place ? path : other, O_WRONLY | O_CREAT, 0644);
    if (fd < 0 || write(fd, text, 7) != 7 || close(fd) || (!in_place && rename(other, path)))
        abort();
    atomic_store(&written[i], number);
}

static void *write_on(void *unused)
{
    (void)unused;
    for (int number = 1; !atomic_load(&over); number++) {
        write_number(number % FILES, number, number / FILES % 3);
        if (number % 5 == 0)
            usleep(300);
    }
    return NULL;
}

static void *pump(void *unused)
{
    tier_stream *st;
    tier_event e = TIER_INIT(tier_event);
    (void)unused;
    if (tier_stream_open(cache, NULL, &st))
        abort();
    while (!atomic_load(&over)) {
        (void)tier_stream_next(st, 5, &e);
        (void)tier_sync(cache, 1000);
    }
    (void)tier_stream_close(&st);
    return NULL;
}

static void *read_on(void *unused)
{
    (void)unused;
    for (int n = 0; n < SESSIONS; n++) {
        int least[FILES];
        tier_session *s;
        for (int i = 0; i < FILES; i++)
            least[i] = atomic_load(&written[i]);
        if (tier_begin(cache, NULL, &s))
            abort();
        for (int i = 0; i < FILES; i++) {
            char path[16];
            tier_value v;
            sprintf(path, "%s%d", i % 2 ? "d/" : "", i);
            int rc = tier_file(s, path, &v);
            int number = rc ? -1 : atoi(v.data);
            if (rc == TIER_ECHANGED)
                atomic_fetch_add(&changed, 1);
            else if (rc || number < least[i] || number > atomic_load(&begun[i]))
                atomic_fetch_add(&stale, 1);
            atomic_fetch_add(&answers, 1);
        }
        (void)tier_end(&s);
    }
    return NULL;
}

static void begin_after_write_sees_it(void **state)
{
    static const char *const settings[] = {"watch=on"};
    char path[128];
    pthread_t reader[READERS], writer, pumper;
    const char *tmp = getenv("TMPDIR");
    (void)state;
    snprintf(top, sizeof top, "%s/tkt.XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    assert_non_null(mkdtemp(top));
    snprintf(path, sizeof path, "%s/src", top);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/src/d", top);
    assert_int_equal(mkdir(path, 0700), 0);
    for (int i = 0; i < FILES; i++)
        write_number(i, 0, false);
    snprintf(path, sizeof path, "%s/src", top);
    tier_root root = {"", path};
    tier_options o = TIER_INIT(tier_options);
    o.app = "test";
    o.dir = "";
    o.roots = &root;
    o.root_count = 1;
    o.settings = settings;
    o.setting_count = 1;
    assert_int_equal(tier_open(&o, &cache), 0);
    pthread_create(&writer, NULL, write_on, NULL);
    pthread_create(&pumper, NULL, pump, NULL);
    for (int i = 0; i < READERS; i++)
        pthread_create(&reader[i], NULL, read_on, NULL);
    for (int i = 0; i < READERS; i++)
        pthread_join(reader[i], NULL);
    atomic_store(&over, true);
    pthread_join(writer, NULL);
    pthread_join(pumper, NULL);
    printf("%d answers, %d changed under way\n", atomic_load(&answers), atomic_load(&changed));
    assert_int_equal(atomic_load(&stale), 0);
    assert_int_equal(tier_close(&cache), 0);
    snprintf(path, sizeof path, "rm -rf '%s'", top);
    assert_int_equal(system(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(begin_after_write_sees_it)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
