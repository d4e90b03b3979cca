/* Any changes on disk, against a cache whose watcher saves it looks: each answer is compared with that of a
 * cache that remembers nothing. With the kernel as it is, with queues that overflow, with watches that run
 * out, and where there is no inotify. TIER_OVERFLOWS=1000 overflows the kernel's own queue so often. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "coherence/watch_private.h"

enum { NAMES = 4, PATHS = NAMES + NAMES * NAMES + NAMES * NAMES * NAMES, TEXT = 128 * 1024 };
static char top[64], all_paths[PATHS][16];
static unsigned path_count, answers, steps;
static tier_cache *watched, *fresh;
static const tier_type *watched_all, *fresh_all, *watched_one, *fresh_one;
static uint64_t seed, first_seed;

static unsigned pick(unsigned n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 33) % n;
}

/* ---- what is asked: everything that can be read of a path ---- */
static int see(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    tier_stat_info info = {.kind = '-'};
    char line[96];
    (void)user;
    int rc = tier_stat_fields(s, q->path, TIER_STAT_SIZE | TIER_STAT_MODE | TIER_STAT_MTIME, &info);
    snprintf(line, sizeof line, "%s %d %c %llu %o %llu\n", q->path, rc, info.kind,
             (unsigned long long)info.size, info.mode, (unsigned long long)info.mtime_ns);
    rc = tier_out_bytes(out, line, strlen(line));
    if (info.kind == 'f' && !rc && !(rc = tier_file(s, q->path, &v)))
        rc = tier_out_bytes(out, v.data, v.size);
    if (info.kind == 'd' && !rc && !(rc = tier_list(s, q->path, "*/*", &v)))
        rc = tier_out_bytes(out, v.data, v.size);
    return rc;
}

static int see_all(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    (void)q;
    for (unsigned i = 0; i < path_count; i++) {
        tier_value v;
        tier_query one = {.type = *(const tier_type **)user, .path = all_paths[i]};
        int rc = tier_get(s, &one, &v);
        if (rc || (rc = tier_out_bytes(out, v.data, v.size)))
            return rc;
    }
    return 0;
}

static void open_one(tier_cache **c, const tier_type **one, const tier_type **all, unsigned flags,
                     const char *const *settings, size_t n)
{
    char root_path[96], dir[96];
    snprintf(root_path, sizeof root_path, "%s/1/2/3/4/root", top);
    snprintf(dir, sizeof dir, "%s/store", top);
    tier_root root = {"", root_path};
    tier_options o = TIER_INIT(tier_options);
    o.app = "test";
    o.dir = flags ? "" : dir;
    o.profile = "dev";
    o.roots = &root;
    o.root_count = 1;
    o.flags = flags;
    o.settings = settings;
    o.setting_count = n;
    assert_int_equal(tier_open(&o, c), 0);
    tier_type_def d = TIER_INIT(tier_type_def);
    d.name = "one";
    d.tier = TIER_DELTA;
    d.build = see;
    assert_int_equal(tier_define(*c, &d, one), 0);
    d.name = "all";
    d.build = see_all;
    d.user = one;
    assert_int_equal(tier_define(*c, &d, all), 0);
}

static void ask(tier_session *s, const tier_type *type, const char *path, char *text)
{
    tier_value v;
    tier_query q = {.type = type, .path = path};
    int rc = tier_get(s, &q, &v);
    if (rc)
        fail_msg("seed %llu: %s: %s", (unsigned long long)first_seed, tier_errname(rc), tier_detail(s));
    assert_true(v.size < TEXT);
    memcpy(text, v.data, v.size + 1);
}

static void different(const char *was, const char *is)
{
    size_t i = 0, from;
    while (was[i] == is[i])
        i++;
    for (from = i; from && was[from - 1] != '\n'; from--)
        ;
    fail_msg("seed %llu, step %u: from the watched cache '%.100s', from a fresh one '%.100s'",
             (unsigned long long)first_seed, steps, is + from, was + from);
}

static void compare(void)
{
    static char was[TEXT], is[TEXT];
    tier_session *a, *b;
    steps++;
    assert_int_equal(tier_begin(watched, NULL, &a), 0);
    assert_int_equal(tier_begin(fresh, NULL, &b), 0);
    bool whole = pick(3) != 0; /* by the list of leaves, or one by one */
    for (unsigned i = 0; i < (whole ? 1 : path_count); i++) {
        ask(a, whole ? watched_all : watched_one, whole ? NULL : all_paths[i], is);
        ask(b, whole ? fresh_all : fresh_one, whole ? NULL : all_paths[i], was);
        if (strcmp(was, is) != 0)
            different(was, is);
    }
    answers += path_count;
    assert_int_equal(tier_end(&a), 0);
    assert_int_equal(tier_end(&b), 0);
}

/* ---- what happens on disk ---- */
static void any_path(char *out)
{
    int n = sprintf(out, "%s/1/2/3/4/root", top);
    for (unsigned i = 1 + pick(3); i; i--)
        n += sprintf(out + n, "/%c", "abxy"[pick(NAMES)]);
}

static void write_some(const char *path, int flags)
{
    static const char *const texts[] = {"one", "two", "six", "longer"};
    const char *text = texts[pick(4)];
    int fd = open(path, O_WRONLY | O_NONBLOCK | flags, 0644);
    if (fd < 0)
        return;
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void write_and_restore(const char *path)
{
    struct stat st;
    if (stat(path, &st) || !S_ISREG(st.st_mode))
        return;
    write_some(path, 0);
    struct timespec t[2] = {st.st_atim, st.st_mtim};
    (void)utimensat(AT_FDCWD, path, t, 0);
}

/* A second name where nobody watches; later that name is written through, or goes. */
static void from_outside(const char *path)
{
    char out[128];
    snprintf(out, sizeof out, "%s/1/2/3/4/out/%u", top, pick(3));
    switch (pick(3)) {
    case 0:
        (void)unlink(out);
        (void)link(path, out);
        break;
    case 1:
        write_some(out, pick(2) ? O_TRUNC : 0);
        break;
    default:
        (void)unlink(out);
    }
}

/* A directory leaves, changes where nobody watches, and comes back. */
static void out_and_in(const char *path, const char *back)
{
    char out[128], in[160];
    snprintf(out, sizeof out, "%s/1/2/3/4/out/away", top);
    if (rename(path, out))
        return;
    if (pick(2))
        compare();
    snprintf(in, sizeof in, "%s/%c", out, "abxy"[pick(NAMES)]);
    write_some(in, O_CREAT | O_TRUNC);
    snprintf(in, sizeof in, "%s/x/%c", out, "abxy"[pick(NAMES)]);
    write_some(in, O_TRUNC);
    if (rename(out, back) && rename(out, path)) {
        char command[160];
        snprintf(command, sizeof command, "rm -rf '%s'", out);
        assert_int_equal(system(command), 0);
    }
}

static void any_link(const char *path)
{
    static const char *const targets[] = {"a", "../a", "x", "../x", ".", "..", "y/b", "nowhere", "../../out"};
    unsigned i = pick(11);
    char to[128];
    snprintf(to, sizeof to, "%s/1/2/3/4/root/x", top);
    (void)unlink(path);
    (void)symlink(i < 9 ? targets[i] : to, path);
}

static void any_change(void)
{
    char a[128], b[128];
    any_path(a);
    any_path(b);
    switch (pick(16)) {
    case 0:
    case 1:
    case 2:
        write_some(a, O_CREAT | O_TRUNC);
        break;
    case 3:
        write_some(a, pick(2) ? 0 : O_APPEND);
        break;
    case 4:
        write_and_restore(a);
        break;
    case 5:
    case 6:
        (void)mkdir(a, 0755);
        strcat(a, "/x");
        (void)mkdir(a, 0755);
        strcat(a, "/a");
        write_some(a, O_CREAT);
        break;
    case 7:
    case 8:
        (void)rename(a, b);
        break;
    case 9:
        (void)renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
        break;
    case 10:
        if (unlink(a))
            (void)rmdir(a);
        break;
    case 11:
        any_link(a);
        break;
    case 12:
    case 13:
        from_outside(a);
        break;
    case 14:
        out_and_in(a, b);
        break;
    default:
        (void)(pick(2) ? truncate(a, pick(5)) : chmod(a, pick(2) ? 0755 : 0700));
    }
}

static void empty_root(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s/1/2/3/4/root/'*", top);
    assert_int_equal(system(command), 0);
}

static void changes(unsigned rounds, unsigned most)
{
    for (unsigned i = 0; i < rounds; i++) {
        for (unsigned n = pick(most + 1); n; n--)
            any_change();
        if (!pick(most > 8 ? 8 : 25)) /* it grows and grows otherwise */
            empty_root();
        compare();
    }
}

/* ---- counters ---- */
static void take_figure(void *user, const char *name, double value)
{
    struct {
        const char *name;
        double value;
    } *wanted = user;
    if (!strcmp(name, wanted->name))
        wanted->value = value;
}

static double figure(tier_cache *c, const char *name)
{
    struct {
        const char *name;
        double value;
    } wanted = {name, -1};
    assert_int_equal(tier_stats(c, take_figure, &wanted), 0);
    return wanted.value;
}

/* ---- setup ---- */
static void open_both(const struct tier__watch_os *os)
{
    static const char *const on[] = {"watch=on"};
    open_one(&watched, &watched_one, &watched_all, 0, on, 1);
    open_one(&fresh, &fresh_one, &fresh_all, TIER_NO_MEMORY, NULL, 0);
    if (os) {
        struct tier__watch *w;
        assert_int_equal(tier__watch_open(watched, os, &w), 0);
        assert_ptr_equal(tier__cache_set_watch(watched, w), w);
    }
}

static void close_both(void)
{
    assert_int_equal(tier_close(&watched), 0);
    assert_int_equal(tier_close(&fresh), 0);
}

static void name_paths(void)
{
    path_count = 0;
    for (unsigned i = 0; i < PATHS; i++) {
        unsigned n = i < NAMES ? 1 : i < NAMES + NAMES * NAMES ? 2 : 3;
        unsigned number = i - (n == 1 ? 0 : n == 2 ? NAMES : NAMES + NAMES * NAMES);
        char *to = all_paths[path_count++];
        for (; n; n--, number /= NAMES)
            to += sprintf(to, "%s%c", to == all_paths[i] ? "" : "/", "abxy"[number % NAMES]);
    }
    strcpy(all_paths[0], "x/../a"); /* as include lines put it */
    strcpy(all_paths[1], "y/../x/b");
}

static int setup(void **state)
{
    char path[256];
    const char *tmp = getenv("TMPDIR"), *given = getenv("TIER_SEED");
    (void)state;
    snprintf(top, sizeof top, "%s/tkw.XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    if (!mkdtemp(top))
        return -1;
    snprintf(path, sizeof path, "mkdir -p %s/1/2/3/4/root %s/1/2/3/4/out", top,
             top); /* ".." leads up there */
    if (system(path))
        return -1;
    name_paths();
    first_seed = given ? strtoull(given, NULL, 10) : (uint64_t)tier__monotonic_us() | 1;
    seed = first_seed | 1;
    steps = answers = 0;
    printf("TIER_SEED=%llu\n", (unsigned long long)first_seed); /* whatever fails, and wherever */
    fflush(stdout);
    return 0;
}

static int teardown(void **state)
{
    char command[128];
    (void)state;
    printf("%u answers compared\n", answers);
    snprintf(command, sizeof command, "rm -rf '%s'", top);
    return system(command);
}

/* ---- the cases ---- */
static void any_changes(void **state)
{
    (void)state;
    open_both(NULL);
    changes(350, 5);
    assert_true(figure(watched, "file.vouched") > 350);
    close_both();
    open_both(NULL); /* with what is on disk, and leaves of another process's looks */
    changes(50, 1);
    close_both();
}

/* The kernel's queue as if it held few events: what comes later is lost, and the loss is told. */
enum { QUEUE = 3 };
static unsigned overflows;
static ssize_t short_queue(int fd, void *buf, size_t size)
{
    char *out = buf;
    ssize_t n = read(fd, buf, size);
    unsigned events = 0;
    size_t at = 0;
    for (; n > 0 && at < (size_t)n; events++) {
        const struct inotify_event *e = (const void *)(out + at);
        if (events == QUEUE)
            break;
        at += sizeof *e + e->len;
    }
    if (n <= 0 || at == (size_t)n)
        return n;
    static char rest[65536];
    while (read(fd, rest, sizeof rest) > 0) /* lost too */
        ;
    const struct inotify_event lost = {.wd = -1, .mask = IN_Q_OVERFLOW};
    memcpy(out + at, &lost, sizeof lost);
    overflows++;
    return (ssize_t)(at + sizeof lost);
}

static void queues_that_overflow(void **state)
{
    static const struct tier__watch_os os = {short_queue, inotify_add_watch, statfs};
    (void)state;
    path_count = 30;
    open_both(&os);
    for (overflows = 0; overflows < 1000;)
        changes(1, 14);
    assert_true(figure(watched, "file.vouched") > 1000);
    printf("%u overflows\n", overflows);
    close_both();
}

static ssize_t count_overflows(int fd, void *buf, size_t size)
{
    ssize_t n = read(fd, buf, size);
    for (ssize_t at = 0; at < n;) {
        const struct inotify_event *e = (const void *)((const char *)buf + at);
        overflows += (e->mask & IN_Q_OVERFLOW) != 0;
        at += (ssize_t)(sizeof *e + e->len);
    }
    return n;
}

static int open_below(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/1/2/3/4/root/%s", top, name);
    int fd = open(path, O_WRONLY | O_CREAT, 0644);
    assert_true(fd >= 0);
    return fd;
}

/* More events than the queue holds. Two files in turn, as equal neighbours would be merged; a byte written
 * where one was is the cheapest event that the watcher asks for: 2 us, a chmod takes 3. */
static void flood(long limit)
{
    int one = open_below("flood 1"), two = open_below("flood 2");
    for (long k = 0; k < limit / 2 + 1; k++) {
        assert_int_equal(pwrite(one, "1", 1, 0), 1);
        assert_int_equal(pwrite(two, "2", 1, 0), 1);
    }
    close(one);
    close(two);
}

static void the_kernels_queue_overflows(void **state)
{
    static const struct tier__watch_os os = {count_overflows, inotify_add_watch, statfs};
    const char *given = getenv("TIER_OVERFLOWS");
    unsigned wanted = given ? (unsigned)strtoul(given, NULL, 10) : 40;
    long limit = tier__watch_limit("max_queued_events");
    (void)state;
    if (limit <= 0 || (limit > 100000 && !given))
        skip();
    open_both(&os);
    path_count = 30;
    for (overflows = 0; overflows < wanted;) {
        unsigned before = overflows;
        for (unsigned n = pick(4); n;
             n--) /* these are in the queue still, what comes after the flood is lost */
            any_change();
        flood(limit);
        changes(1, 12);
        assert_false(tier__watch_polling(tier__cache_watch(watched))); /* or others hold the watches */
        assert_true(overflows > before);
    }
    printf("%u overflows of the kernel's queue of %ld events\n", overflows, limit);
    close_both();
}

static unsigned added, allowed;
static int few_watches(int fd, const char *path, uint32_t mask)
{
    if (++added > allowed && pick(4)) {
        errno = ENOSPC;
        return -1;
    }
    return inotify_add_watch(fd, path, mask);
}

static void watches_that_run_out(void **state)
{
    static const struct tier__watch_os os = {read, few_watches, statfs};
    (void)state;
    path_count = 30;
    unsigned polling = 0;
    for (unsigned i = 0; i < 12; i++) {
        added = 0;
        allowed = 3 * i;
        open_both(&os);
        changes(15, 8);
        polling += tier__watch_polling(tier__cache_watch(watched));
        close_both();
    }
    assert_true(polling > 0);
}

static int real_limit(void)
{
    int fd = unshare(CLONE_NEWUSER) ? -1 : open("/proc/sys/user/max_inotify_watches", O_WRONLY);
    if (fd < 0 || write(fd, "3", 1) != 1)
        return 77;
    close(fd);
    open_both(NULL);
    changes(30, 8);
    for (char name = '1'; name < '5'; name++) { /* random changes may have made files alone */
        char path[128];
        snprintf(path, sizeof path, "%s/1/2/3/4/root/%c", top, name);
        (void)mkdir(path, 0700);
    }
    compare();
    changes(30, 8);
    int rc = tier__watch_polling(tier__cache_watch(watched)) ? 0 : 1;
    close_both();
    return rc;
}

static void the_kernels_watches_run_out(void **state)
{
    int status;
    (void)state;
    path_count = 30;
    fflush(stdout);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid)
        _exit(real_limit());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int says_nfs(const char *path, struct statfs *out)
{
    int rc = statfs(path, out);
    out->f_type = NFS_SUPER_MAGIC;
    return rc;
}

static void no_inotify(void **state)
{
    static const struct tier__watch_os os = {read, inotify_add_watch, says_nfs};
    (void)state;
    path_count = 30;
    open_both(&os);
    changes(80, 5);
    assert_true(tier__watch_polling(tier__cache_watch(watched)));
    assert_true(figure(watched, "file.vouched") == 0);
    close_both();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(any_changes),          TEST(queues_that_overflow),        TEST(the_kernels_queue_overflows),
        TEST(watches_that_run_out), TEST(the_kernels_watches_run_out), TEST(no_inotify),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
