/* What a live watcher saves: which sessions look at nothing, and what must be looked at all the same. */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "include/tierkit.h"

enum { UNITS = 60, HEADERS = 40, DIRECTORIES = 5, SETTLED_US = 60000, TAKEN = 31 };
static char top[64];
static const char *second; /* root "o", or NULL */
static tier_cache *cache;
static const tier_type *unit, *project;

/* ---- a project: units that read headers, as they find them along a search path ---- */
static int build_unit(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    char path[64], kind;
    tier_value v;
    int number = atoi(q->path + 1), rc = tier_file(s, q->path, &v);
    (void)user;
    for (int i = 0; !rc && i < HEADERS / 2; i++) {
        int header = (number + i) % HEADERS;
        for (int d = 0; d < DIRECTORIES; d++) { /* d0, d1... the one that has it is d(header % DIRECTORIES) */
            snprintf(path, sizeof path, "d0/../d%d/h%d", d, header);
            if (!tier_stat(s, path, &kind))
                break;
        }
        rc = tier_file(s, path, &v);
        if (!rc)
            rc = tier_out_bytes(out, v.data, v.size);
    }
    if (!rc && !(rc = tier_list(s, "d1", "*", &v)))
        rc = tier_out_bytes(out, &v.hash, sizeof v.hash);
    return rc;
}

static int build_project(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    (void)q;
    (void)user;
    for (int i = 0; i < UNITS; i++) {
        char path[16];
        tier_value v;
        snprintf(path, sizeof path, "u%d", i);
        tier_query one = {.type = unit, .path = path};
        int rc = tier_get(s, &one, &v);
        if (rc || (rc = tier_out_bytes(out, v.data, v.size)))
            return rc;
    }
    return 0;
}

static void command(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void command(const char *format, ...)
{
    char text[512], line[700];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(line, sizeof line, "cd '%s/src' && %s", top, text);
    if (system(line))
        fail_msg("failed: %s", line);
}

static void open_cache(const char *src, bool stored)
{
    static const char *const settings[] = {"watch=on", "verify.sample=0"};
    char path[128], other[128], store[128];
    snprintf(path, sizeof path, "%s/%s", top, src);
    snprintf(other, sizeof other, "%s/%s", top, second ? second : "");
    snprintf(store, sizeof store, "%s/store", top);
    tier_root root[] = {{"", path}, {"o", other}};
    tier_options o = TIER_INIT(tier_options);
    o.app = "test";
    o.dir = stored ? store : "";
    o.roots = root;
    o.root_count = second ? 2 : 1;
    o.settings = settings;
    o.setting_count = 2;
    assert_int_equal(tier_open(&o, &cache), 0);
    tier_type_def d = TIER_INIT(tier_type_def);
    d.name = "unit";
    d.tier = TIER_DELTA;
    d.build = build_unit;
    assert_int_equal(tier_define(cache, &d, &unit), 0);
    d.name = "project";
    d.build = build_project;
    assert_int_equal(tier_define(cache, &d, &project), 0);
}

static int setup(void **state)
{
    char path[128];
    const char *tmp = getenv("TMPDIR");
    (void)state;
    snprintf(top, sizeof top, "%s/tkl.XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    if (!mkdtemp(top))
        return -1;
    snprintf(path, sizeof path, "%s/src", top);
    (void)mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/away", top);
    (void)mkdir(path, 0700);
    command("for i in $(seq 0 %d); do d=d$((i %% %d)); mkdir -p $d; echo h$i >$d/h$i; done", HEADERS - 1,
            DIRECTORIES);
    command("for i in $(seq 0 %d); do echo u$i >u$i; done", UNITS - 1);
    usleep(SETTLED_US);
    return 0;
}

static int teardown(void **state)
{
    char text[128];
    (void)state;
    snprintf(text, sizeof text, "rm -rf '%s'", top);
    return tier_close(&cache) || system(text);
}

/* ---- asking ---- */
struct figures {
    double look, vouched, read, dirs, built, leaves;
};

static void take(void *user, const char *name, double value)
{
    struct figures *f = user;
    static const struct {
        const char *name;
        size_t at;
    } wanted[] = {
        {"file.look", offsetof(struct figures, look)},    {"file.vouched", offsetof(struct figures, vouched)},
        {"file.read", offsetof(struct figures, read)},    {"dir.read", offsetof(struct figures, dirs)},
        {"delta.built", offsetof(struct figures, built)}, {"closure.hit", offsetof(struct figures, leaves)},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (!strcmp(name, wanted[i].name))
            *(double *)(void *)((char *)f + wanted[i].at) = value;
}

static int get(const tier_type *type, const char *path)
{
    tier_session *s;
    tier_value v;
    tier_query q = {.type = type, .path = path};
    int rc = tier_begin(cache, NULL, &s);
    if (!rc)
        rc = tier_get(s, &q, &v);
    int ended = tier_end(&s);
    return rc ? rc : ended;
}

/* What one more session counts. */
static struct figures session(const tier_type *type, const char *path)
{
    struct figures a, b;
    assert_int_equal(tier_stats(cache, take, &a), 0);
    assert_int_equal(get(type, path), 0);
    assert_int_equal(tier_stats(cache, take, &b), 0);
    return (struct figures){b.look - a.look, b.vouched - a.vouched, b.read - a.read,
                            b.dirs - a.dirs, b.built - a.built,     b.leaves - a.leaves};
}

static void text_is(const char *path, const char *want)
{
    tier_session *s;
    tier_value v;
    assert_int_equal(tier_begin(cache, NULL, &s), 0);
    int rc = tier_file(s, path, &v);
    if (want) {
        assert_int_equal(rc, 0);
        assert_string_equal(v.data, want);
    } else {
        assert_int_equal(rc, TIER_EABSENT);
    }
    assert_int_equal(tier_end(&s), 0);
}

static double looks_at(const char *path, const char *want)
{
    struct figures a, b;
    assert_int_equal(tier_stats(cache, take, &a), 0);
    text_is(path, want);
    assert_int_equal(tier_stats(cache, take, &b), 0);
    return b.look - a.look;
}

/* ---- nothing changed ---- */
static void nothing_is_looked_at(void **state)
{
    (void)state;
    open_cache("src", true);
    struct figures f = session(project, NULL);
    assert_true(f.built == UNITS + 1 && f.look >= UNITS + HEADERS && f.vouched == 0);
    for (int i = 0; i < 3; i++) {
        f = session(project, NULL); /* by its list of leaves */
        assert_true(f.leaves == 1 && f.look == 0 && f.vouched >= UNITS + HEADERS && f.built == 0);
        assert_true(f.read == 0 && f.dirs == 0);
        f = session(unit, "u7"); /* walked at first */
        assert_true(f.look == 0 && f.built == 0);
        assert_true(i ? f.leaves == 1 : f.leaves == 0 && f.vouched > HEADERS);
        assert_true(f.read == 0 && f.dirs == 0);
    }
}

static void a_new_process_looks_once(void **state)
{
    (void)state;
    open_cache("src", true);
    session(project, NULL);
    assert_int_equal(tier_close(&cache), 0);
    open_cache("src", true);
    struct figures f = session(project, NULL);
    assert_true(f.built == 0 && f.leaves == 1 && f.look > 0);
    f = session(project, NULL);
    assert_true(f.built == 0 && f.leaves == 1 && f.look == 0);
}

/* From here on a system call that looks at a file or reads a directory kills the process. */
static void forbid_looks(void)
{
#define DENY(name)                                          \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##name, 0, 1), \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        DENY(newfstatat),
        DENY(fstat),
        DENY(statx),
        DENY(openat),
        DENY(openat2),
        DENY(readlinkat),
        DENY(faccessat),
        DENY(faccessat2),
        DENY(getdents64),
#ifdef __NR_stat
        DENY(stat),
        DENY(lstat),
        DENY(open),
        DENY(readlink),
        DENY(access),
#endif
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        _exit(2);
}

/* Files and directories by links, and what is not there. */
static int by_links(void)
{
    tier_session *s;
    tier_value v;
    char kind;
    int rc = tier_begin(cache, NULL, &s);
    if (!rc && (tier_file(s, "l1", &v) || strcmp(v.data, "u1\n") != 0 || tier_file(s, "ld/h2", &v) ||
                tier_list(s, "ld", "*", &v) || tier_stat(s, "ld/none", &kind) != TIER_EABSENT ||
                tier_stat(s, "none/at/all", &kind) != TIER_EABSENT))
        rc = TIER_EINVAL;
    return rc ? rc : tier_end(&s);
}

static int child_looks(bool other)
{
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) {
        open_cache("src", false); /* a store looks at its own files now and then */
        if (get(project, NULL) || get(unit, "u7") || by_links() || by_links())
            _exit(3);
        forbid_looks();
        if (get(project, NULL) || get(unit, "u7") || by_links())
            _exit(4);
        if (other)
            get(unit, "u8/../u8");
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void no_system_call_is_made(void **state)
{
    (void)state;
    command("ln -s u1 l1 && ln -s d2 ld");
    usleep(SETTLED_US);
    int tries = 1; /* once a second a begin looks whether the root is still where it was */
    while (child_looks(false) && tries++ < 5)
        ;
    assert_true(tries <= 5);
    assert_int_equal(child_looks(true), TAKEN); /* SIGSYS: the filter sees what is looked at */
}

/* ---- something changed ---- */
static void an_edit_costs_its_own_look(void **state)
{
    (void)state;
    open_cache("src", true);
    session(project, NULL);
    session(project, NULL);
    command("echo changed >d2/h2");
    struct figures f = session(project, NULL);
    assert_true(f.built > 1 && f.built <= UNITS + 1 && f.read == 1);
    assert_true(f.look >= 1 && f.look <= 3); /* as a leaf, then as what it is now */
    command("echo there >d0/h2");            /* before d2, where it was found */
    f = session(project, NULL);
    assert_true(f.built > 1 && f.read <= 2);
    usleep(SETTLED_US);
    session(project, NULL);
    f = session(project, NULL);
    assert_true(f.built == 0 && f.look == 0);
    text_is("d0/h2", "there\n");
}

static void files_with_several_links_are_looked_at(void **state)
{
    (void)state;
    command("ln u1 ../away/one");
    open_cache("src", true);
    text_is("u1", "u1\n");
    assert_true(looks_at("u1", "u1\n") == 1);
    command("echo by another name >../away/one");
    text_is("u1", "by another name\n");
    text_is("u2", "u2\n");
    assert_true(looks_at("u2", "u2\n") == 0);
    command("ln u2 ../away/two"); /* made when it was vouched for already */
    assert_true(looks_at("u2", "u2\n") == 1);
    command("echo by yet another >../away/two");
    text_is("u2", "by yet another\n");

    char path[128]; /* the file that was watched lives on, under no name; another has taken its place */
    snprintf(path, sizeof path, "%s/src/u3", top);
    text_is("u3", "u3\n");
    int fd = open(path, O_RDONLY);
    command("echo new >n && mv n u3");
    usleep(SETTLED_US); /* so that its digest is known */
    text_is("u3", "new\n");
    text_is("u3", "new\n");
    command("ln u3 ../away/three && echo by another name >../away/three");
    text_is("u3", "by another name\n");
    close(fd);
}

static void links_within_are_followed(void **state)
{
    (void)state;
    command("ln -s d3 inside && ln -s ../away outside && ln -s u5 file && echo x >../away/x");
    open_cache("src", true);
    text_is("inside/h3", "h3\n");
    text_is("file", "u5\n");
    text_is("outside/x", "x\n");
    text_is("inside/none", NULL);
    assert_true(looks_at("inside/h3", "h3\n") == 0);
    assert_true(looks_at("file", "u5\n") == 0);
    assert_true(looks_at("inside/none", NULL) == 0);
    assert_true(looks_at("outside/x", "x\n") == 1); /* out of the watched tree */
    command("ln -sfn d4 inside && ln -sf u6 file && echo y >../away/x");
    text_is("inside/h3", NULL);
    text_is("inside/h4", "h4\n");
    text_is("file", "u6\n");
    text_is("outside/x", "y\n");
    command("echo z >u6 && echo there >d4/none");
    text_is("file", "z\n");
    text_is("inside/none", "there\n");
}

/* "e/.." is no name for what is above e once e is gone, whatever has become of the file behind it. */
static void the_way_back_needs_its_directory(void **state)
{
    (void)state;
    command("mkdir e");
    open_cache("src", true);
    text_is("e/../u5", "u5\n");
    assert_true(looks_at("e/../u5", "u5\n") == 0);
    command("rmdir e");
    text_is("e/../u5", NULL);
    command("mkdir e");
    text_is("e/../u5", "u5\n");
}

/* Sessions look below the directory that was opened, wherever it is by now. */
static void a_directory_above_is_renamed(void **state)
{
    (void)state;
    command("mkdir -p ../p/root/d && echo 1 >../p/root/d/f");
    open_cache("p/root", true);
    text_is("d/f", "1\n");
    text_is("n/f", NULL);
    command("mv ../p ../q && mkdir -p ../p/root/d ../p/root/n && mkdir ../q/root/n");
    text_is("n/f", NULL);
    text_is("n/f", NULL);
    command("echo 2 >../q/root/n/f && echo 3 >../q/root/d/f");
    text_is("n/f", "2\n");
    text_is("d/f", "3\n");
    text_is("n/f", "2\n");
    command("echo 4 >../q/root/n/f");
    text_is("n/f", "4\n");
}

static void the_root_is_replaced(void **state)
{
    (void)state;
    open_cache("src", true);
    text_is("u1", "u1\n");
    command("mv ../src ../old && mkdir ../src && echo new >../src/u1");
    text_is("u1", "u1\n"); /* the directory that was opened */
    command("echo 2 >../old/u1");
    text_is("u1", "2\n");
    command("echo 3 >../old/u1");
    text_is("u1", "3\n");
}

/* The other one is looked for from time to time; what is vouched for below this one stays so. */
static void one_root_of_two_is_gone(void **state)
{
    (void)state;
    second = "away/o";
    command("mkdir ../away/o && echo 1 >../away/o/f");
    open_cache("src", true);
    second = NULL;
    text_is("u2", "u2\n");
    text_is("o:f", "1\n");
    command("mv ../away/o ../away/p");
    text_is("u2", "u2\n");
    assert_true(looks_at("u2", "u2\n") == 0);
    usleep(600000); /* watch.poll */
    assert_true(looks_at("u2", "u2\n") == 0);
    command("ln u2 ../away/two && echo by another name >../away/two");
    text_is("u2", "by another name\n");
    command("echo 2 >../away/p/f && mkdir ../away/o && echo 3 >../away/o/f");
    text_is("o:f", "2\n");
    usleep(600000);
    text_is("o:f", "2\n"); /* the directory that was opened */
    command("echo 4 >../away/p/f");
    text_is("o:f", "4\n");
}

static int mounting(void)
{
    char path[128];
    if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
        return 77; /* only root may */
    snprintf(path, sizeof path, "%s/src/d1", top);
    open_cache("src", true);
    text_is("d1/h1", "h1\n");
    text_is("d1/other", NULL);
    if (mount("none", path, "tmpfs", 0, NULL))
        return 77;
    text_is("d1/h1", NULL);
    command("echo 1 >d1/other");
    text_is("d1/other", "1\n");
    text_is("d1/other", "1\n");
    command("echo 2 >d1/other");
    text_is("d1/other", "2\n");
    if (umount(path))
        return 5;
    text_is("d1/h1", "h1\n");
    text_is("d1/other", NULL);
    return 0;
}

static int forked(void)
{
    text_is("u1", "u1\n"); /* a watcher of its own */
    command("echo 1 >u1");
    text_is("u1", "1\n");
    return looks_at("u1", "1\n") == 0 ? 0 : 6;
}

static void in_child(int (*body)(void))
{
    char text[32];
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) { /* it leaves the parent's memory behind: a leak checker says nothing of an image that is gone
                 */
        snprintf(text, sizeof text, "exit %d", body());
        execl("/bin/sh", "sh", "-c", text, (char *)NULL);
        _exit(94);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void mounts_are_noticed(void **state)
{
    (void)state;
    in_child(mounting);
}

static void children_watch_for_themselves(void **state)
{
    (void)state;
    open_cache("src", true);
    text_is("u1", "u1\n");
    text_is("u2", "u2\n");
    in_child(forked);
    text_is("u1", "1\n");
}

static void a_view_is_of_one_moment(void **state)
{
    tier_session *s;
    tier_value v;
    char kind;
    (void)state;
    open_cache("src", true);
    text_is("u1", "u1\n");
    text_is("new", NULL);
    assert_int_equal(tier_begin(cache, NULL, &s), 0);
    command("rm u1 && echo 1 >new");
    assert_int_equal(tier_stat(s, "u1", &kind), 0); /* so it was when the session began */
    assert_int_equal(tier_stat(s, "new", &kind), TIER_EABSENT);
    assert_int_equal(tier_file(s, "u1", &v), 0);
    assert_string_equal(v.data, "u1\n");
    assert_int_equal(tier_end(&s), 0);
    text_is("u1", NULL);
    text_is("new", "1\n");
    /* What another session saw after this one began is not of its moment. */
    tier_session *later;
    struct figures a, b;
    assert_int_equal(tier_begin(cache, NULL, &s), 0);
    assert_int_equal(tier_begin(cache, NULL, &later), 0);
    assert_int_equal(tier_stat(later, "u9", &kind), 0);
    assert_int_equal(tier_stats(cache, take, &a), 0);
    assert_int_equal(tier_stat(s, "u9", &kind), 0);
    assert_int_equal(tier_stats(cache, take, &b), 0);
    assert_true(b.look == a.look + 1);
    assert_int_equal(tier_end(&later), 0);
    assert_int_equal(tier_end(&s), 0);
}

static void sync_is_a_barrier(void **state)
{
    (void)state;
    open_cache("src", true);
    text_is("u1", "u1\n");
    for (int i = 0; i < 50; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d\n", i % 7);
        command("echo %d >u1", i % 7);
        assert_int_equal(tier_sync(cache, 10000), 0);
        text_is("u1", text);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_looked_at),
        TEST(a_new_process_looks_once),
        TEST(no_system_call_is_made),
        TEST(an_edit_costs_its_own_look),
        TEST(files_with_several_links_are_looked_at),
        TEST(links_within_are_followed),
        TEST(the_way_back_needs_its_directory),
        TEST(a_directory_above_is_renamed),
        TEST(the_root_is_replaced),
        TEST(one_root_of_two_is_gone),
        TEST(mounts_are_noticed),
        TEST(children_watch_for_themselves),
        TEST(a_view_is_of_one_moment),
        TEST(sync_is_a_barrier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
