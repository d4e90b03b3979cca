/* Real limits of the kernel: with no inotify watches left a cache polls, says which sysctl to raise, and
 * gives right answers. The limit is the whole machine's, so it is set, for a moment, where that is asked for
 * alone: TIER_SYSCTL=1. tests/unit/test_watch.c has the same in a user name space of its own, without the
 * cache. */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include "tests/unit/small_world.h"

static const char limit_path[] = "/proc/sys/fs/inotify/max_user_watches";
static char limit_was[32];

static bool set_limit(const char *text)
{
    int fd = open(limit_path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return done;
}

static void restore(void)
{
    if (*limit_was)
        set_limit(limit_was);
    *limit_was = 0;
}

static void restore_and_die(int signal_number)
{
    restore();
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void text_is(const char *path, const char *want)
{
    tier_session *s = begin(0);
    tier_value v;
    assert_int_equal(tier_file(s, path, &v), want ? 0 : TIER_EABSENT);
    if (want)
        assert_string_equal(v.data, want);
    assert_int_equal(tier_end(&s), 0);
}

static int without_watches(void)
{
    put("u", "u");
    for (int i = 0; i < 10; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/src/d%d", top, i);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    open_cache(0, "watch=on");
    text_is("u", "u");
    if (!strstr(logged, "raise fs.inotify.max_user_watches, now 4, with sysctl"))
        return 2;
    for (int i = 0; i < 5; i++) {
        char text[16], made[128];
        snprintf(text, sizeof text, "%d\n", i);
        snprintf(made, sizeof made, "%s/src/n%d", top, i);
        assert_int_equal(mkdir(made, 0700), 0);
        snprintf(made, sizeof made, "n%d/f", i);
        text_is(made, NULL);
        put("u", text);
        put(made, text);
        text_is("u", text);
        text_is(made, text);
    }
    return tier_close(&cache) ? 3 : 0;
}

static void the_kernel_has_no_watches_left(void **state)
{
    const char *asked = getenv("TIER_SYSCTL");
    int status = 0, fd = open(limit_path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, limit_was, sizeof limit_was - 1);
    (void)state;
    if (fd >= 0)
        close(fd);
    if (!asked || strcmp(asked, "1") != 0 || n <= 0 || access(limit_path, W_OK)) {
        *limit_was = 0;
        print_message("not run: it sets %s for a moment, with TIER_SYSCTL=1 and where that may be written\n",
                      limit_path);
        return;
    }
    atexit(restore);
    for (const int *s = (const int[]){SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGABRT, SIGSEGV, 0}; *s; s++)
        signal(*s, restore_and_die);
    fflush(stdout);
    assert_true(set_limit("4"));
    pid_t pid = fork(); /* it may end as it likes */
    if (!pid) {
        *limit_was = 0;
        _exit(without_watches());
    }
    bool waited = pid > 0 && waitpid(pid, &status, 0) == pid;
    restore();
    assert_true(waited);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_kernel_has_no_watches_left, world_setup, world_teardown),
    };
    return cmocka_run_group_tests_name("watch_limit", tests, NULL, NULL);
}
