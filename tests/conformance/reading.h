/* reading.h - files, kinds, links, listings, environment, settings, inputs. Part of conformance.c. */
#ifndef TESTS_CONFORMANCE_READING_H
#define TESTS_CONFORMANCE_READING_H
#include "tests/conformance/world.h"

static void digest_is(const tier_digest *d, const char *hex)
{
    char text[65];

    for (size_t i = 0; i < 32; i++)
        snprintf(text + 2 * i, 3, "%02x", d->byte[i]);
    assert_string_equal(text, hex);
}

static void files_are_read_once(void **state)
{
    struct world *w = *state;
    tier_value a, b;

    put(w, "a.c", "abc");
    put(w, "empty", "");
    assert_int_equal(tier_file(w->s, "a.c", &a), 0);
    is_text(&a, "abc");
    /* what `b2sum -l 256` prints */
    digest_is(&a.hash, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
    assert_int_equal(tier_file(w->s, "empty", &b), 0);
    is_text(&b, "");
    digest_is(&b.hash, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    put(w, "a.c", "another content");
    assert_int_equal(tier_file(w->s, "a.c", &b), 0);
    is_text(&b, "abc");
    assert_int_equal(b.from, TIER_HIT);
    away(w, "a.c");
    file_is(w->s, "a.c", "abc");
    again(w);
    file_fails(w->s, "a.c", TIER_EABSENT);
}

static void bytes_may_be_any(void **state)
{
    struct world *w = *state;
    static const char bytes[] = "\0\xff\n\0x";
    tier_value v;
    int fd = open(at(w, "bin"), O_WRONLY | O_CREAT, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, 5), 5);
    close(fd);
    assert_int_equal(tier_file(w->s, "bin", &v), 0);
    sound(&v);
    assert_int_equal(v.size, 5);
    assert_memory_equal(v.data, bytes, 5);
}

static void absence_and_failure_are_frozen(void **state)
{
    struct world *w = *state;
    char kind;

    dir(w, "d");
    file_fails(w->s, "no.c", TIER_EABSENT);
    file_fails(w->s, "d", TIER_EKIND);
    assert_int_equal(tier_stat(w->s, "later.c", &kind), TIER_EABSENT);
    file_fails(w->s, "no/such/dir.c", TIER_EABSENT);
    put(w, "no.c", "now");
    put(w, "later.c", "now");
    assert_int_equal(rmdir(at(w, "d")), 0);
    put(w, "d", "a file now");
    file_fails(w->s, "no.c", TIER_EABSENT);
    assert_int_equal(tier_stat(w->s, "no.c", &kind), TIER_EABSENT);
    file_fails(w->s, "later.c", TIER_EABSENT);
    file_fails(w->s, "d", TIER_EKIND);
    again(w);
    file_is(w->s, "no.c", "now");
    file_is(w->s, "later.c", "now");
    file_is(w->s, "d", "a file now");
}

static void a_file_below_a_file_is_absent(void **state)
{
    struct world *w = *state;
    tier_value v;
    char kind;

    put(w, "f", "x");
    file_fails(w->s, "f/g", TIER_EABSENT);
    assert_int_equal(tier_stat(w->s, "f/g", &kind), TIER_EABSENT);
    assert_int_equal(tier_list(w->s, "f/g", "*", &v), TIER_EABSENT);
}

static void content_that_left_is_a_change(void **state)
{
    struct world *w = *state;
    char kind;

    put(w, "a.c", "old");
    put(w, "b.c", "old");
    put(w, "c.c", "old");
    assert_int_equal(tier_stat(w->s, "a.c", &kind), 0);
    assert_int_equal(tier_stat(w->s, "b.c", &kind), 0);
    assert_int_equal(tier_stat(w->s, "c.c", &kind), 0);
    away(w, "a.c");
    put(w, "b.c", "another size");
    file_fails(w->s, "a.c", TIER_ECHANGED);
    file_fails(w->s, "b.c", TIER_ECHANGED);
    file_fails(w->s, "b.c", TIER_ECHANGED);
    file_is(w->s, "c.c", "old");
    assert_int_equal(tier_end(&w->s), TIER_ECHANGED);
    w->s = begin(w);
    file_is(w->s, "b.c", "another size");
}

static void kinds(void **state)
{
    struct world *w = *state;
    char kind = 0;

    put(w, "f", "x");
    dir(w, "d");
    assert_int_equal(mkfifo(at(w, "fifo"), 0644), 0);
    assert_int_equal(tier_stat(w->s, "f", &kind), 0);
    assert_int_equal(kind, 'f');
    assert_int_equal(tier_stat(w->s, "d", &kind), 0);
    assert_int_equal(kind, 'd');
    assert_int_equal(tier_stat(w->s, "fifo", &kind), 0);
    assert_int_equal(kind, 'o');
    assert_int_equal(tier_stat(w->s, "/dev/zero", &kind), 0);
    assert_int_equal(kind, 'o');
    assert_int_equal(tier_stat(w->s, ".", &kind), 0);
    assert_int_equal(kind, 'd');
    away(w, "f");
    assert_int_equal(tier_stat(w->s, "f", &kind), 0); /* frozen */
    assert_int_equal(kind, 'f');
}

/* The runner's time limit catches what blocks. */
static void fifos_and_devices_never_block(void **state)
{
    struct world *w = *state;

    assert_int_equal(mkfifo(at(w, "fifo"), 0644), 0);
    file_fails(w->s, "fifo", TIER_EKIND);
    file_fails(w->s, "/dev/zero", TIER_EKIND);
    file_fails(w->s, "/dev/tty", TIER_EKIND);
    assert_int_equal(symlink("fifo", at(w, "to-fifo")), 0);
    file_fails(w->s, "to-fifo", TIER_EKIND);
}

static void stat_gives_the_named_fields(void **state)
{
    struct world *w = *state;
    const struct timespec times[2] = {{1000, 5}, {1234567890, 123456789}};
    tier_stat_info info;

    put(w, "f", "12345");
    assert_int_equal(chmod(at(w, "f"), 0640), 0);
    assert_int_equal(utimensat(AT_FDCWD, at(w, "f"), times, 0), 0);
    assert_int_equal(tier_stat_fields(w->s, "f", TIER_STAT_SIZE | TIER_STAT_MODE | TIER_STAT_MTIME, &info),
                     0);
    assert_int_equal(info.kind, 'f');
    assert_int_equal(info.size, 5);
    assert_int_equal(info.mode, 0640);
    assert_int_equal(info.mtime_ns, 1234567890123456789u);
    assert_int_equal(tier_stat_fields(w->s, "f", TIER_STAT_MODE, &info), 0);
    assert_int_equal(info.kind, 'f');
    assert_int_equal(info.size, 0);
    assert_int_equal(info.mode, 0640);
    assert_int_equal(info.mtime_ns, 0);
    put(w, "f", "1234567");
    assert_int_equal(tier_stat_fields(w->s, "f", TIER_STAT_SIZE, &info), 0);
    assert_int_equal(info.size, 5);
    assert_int_equal(tier_stat_fields(w->s, "no", TIER_STAT_SIZE, &info), TIER_EABSENT);
}

static void links_are_followed(void **state)
{
    struct world *w = *state;
    tier_value v;
    char kind = 0;

    dir(w, "d");
    dir(w, "d/e");
    put(w, "a.c", "here");
    put(w, "d/a.c", "below");
    assert_int_equal(symlink("a.c", at(w, "l1")), 0);
    assert_int_equal(symlink("l1", at(w, "l2")), 0);
    assert_int_equal(symlink("l2", at(w, "l3")), 0);
    assert_int_equal(symlink("d/e", at(w, "de")), 0);
    assert_int_equal(symlink("nowhere", at(w, "dangling")), 0);
    assert_int_equal(symlink("loop2", at(w, "loop1")), 0);
    assert_int_equal(symlink("loop1", at(w, "loop2")), 0);
    file_is(w->s, "l3", "here");
    file_is(w->s, "de/../a.c", "below"); /* ".." is the OS's */
    file_is(w->s, "d/../a.c", "here");
    assert_int_equal(tier_stat(w->s, "de", &kind), 0);
    assert_int_equal(kind, 'd');
    file_fails(w->s, "dangling", TIER_EABSENT);
    assert_int_equal(tier_stat(w->s, "dangling", &kind), TIER_EABSENT);
    assert_true(tier_file(w->s, "loop1", &v) < 0);
    assert_true(tier_stat(w->s, "loop1", &kind) < 0);
    assert_true(tier_realpath(w->s, "loop1", &v) < 0);
    assert_int_equal(tier_realpath(w->s, "l3", &v), 0);
    is_text(&v, "a.c");
    assert_int_equal(tier_realpath(w->s, "de/../a.c", &v), 0);
    is_text(&v, "d/a.c");
    assert_int_equal(tier_realpath(w->s, "dangling", &v), TIER_EABSENT);
}

static void realpath_knows_the_roots(void **state)
{
    struct world *w = *state;
    char target[512];
    tier_value v;

    snprintf(target, sizeof target, "%s/s.h", w->sys);
    put(w, target, "system");
    assert_int_equal(symlink(target, at(w, "to-sys")), 0);
    assert_int_equal(symlink("/dev/null", at(w, "to-null")), 0);
    assert_int_equal(tier_realpath(w->s, "to-sys", &v), 0);
    is_text(&v, "sys:s.h");
    assert_int_equal(tier_realpath(w->s, "to-null", &v), 0);
    is_text(&v, "/dev/null");
    away(w, "to-sys");
    assert_int_equal(tier_realpath(w->s, "to-sys", &v), 0); /* frozen */
    is_text(&v, "sys:s.h");
    file_is(w->s, "sys:s.h", "system");
    file_is(w->s, target, "system");
}

static void paths_fold(void **state)
{
    struct world *w = *state;

    dir(w, "sub");
    put(w, "sub/x.c", "x");
    file_is(w->s, "sub/x.c", "x");
    put(w, "sub/x.c", "changed"); /* the same input by its other names: frozen as well */
    file_is(w->s, "./sub//x.c", "x");
    file_is(w->s, "sub/./x.c", "x");
}

static void odd_names_work(void **state)
{
    struct world *w = *state;
    char name[300];
    tier_value v;

    put(w, "\xff\xfe\x80.c", "odd");
    put(w, "a b:c*?[", "odder");
    put(w, "new\nline", "oddest");
    file_is(w->s, "\xff\xfe\x80.c", "odd");
    file_is(w->s, "a b:c*?[", "odder");
    file_is(w->s, "new\nline", "oddest");
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    assert_true(tier_file(w->s, name, &v) < 0); /* longer than a name can be */
    assert_null(v.data);
}

static void very_long_paths_work(void **state)
{
    enum { DEPTH = 30, NAME = 200 };
    struct world *w = *state;
    char name[NAME + 1], *path = calloc(DEPTH, NAME + 2);
    int d = open(w->root, O_RDONLY | O_DIRECTORY), fd;
    char kind = 0;

    assert_non_null(path);
    memset(name, 'd', NAME);
    name[NAME] = 0;
    for (int i = 0; i < DEPTH; i++) {
        assert_int_equal(mkdirat(d, name, 0755), 0);
        fd = openat(d, name, O_RDONLY | O_DIRECTORY);
        close(d);
        d = fd;
        strcat(strcat(path, name), "/");
    }
    fd = openat(d, "x.c", O_WRONLY | O_CREAT, 0644);
    assert_int_equal(write(fd, "deep", 4), 4);
    close(fd);
    strcat(path, "x.c");
    file_is(w->s, path, "deep");
    assert_int_equal(tier_stat(w->s, path, &kind), 0);
    assert_int_equal(kind, 'f');
    path[strlen(path) - 1] = 'd';
    file_fails(w->s, path, TIER_EABSENT);
    free(path);
    assert_int_equal(unlinkat(d, "x.c", 0), 0);
    for (int i = 0; i < DEPTH; i++) { /* nftw would not get down there */
        fd = openat(d, "..", O_RDONLY | O_DIRECTORY);
        close(d);
        d = fd;
        assert_int_equal(unlinkat(d, name, AT_REMOVEDIR), 0);
    }
    close(d);
}

/* Runs in a child that is not root: exits 0, or with the number of what was not so. */
static int without_rights(const char *base)
{
    tier_options o = TIER_INIT(tier_options);
    const tier_root root = {"", base};
    tier_cache *c = NULL;
    tier_session *s = NULL;
    tier_value v;
    char kind;

    if (!geteuid() && (setgid(65534) || setuid(65534)))
        return 1;
    o.app = "rights";
    o.dir = "";
    o.roots = &root;
    o.root_count = 1;
    if (tier_open(&o, &c) || tier_begin(c, NULL, &s))
        return 2;
    if (tier_file(s, "secret", &v) != TIER_EACCESS || v.data)
        return 3;
    if (tier_file(s, "locked/f", &v) != TIER_EACCESS)
        return 4;
    if (tier_stat(s, "locked/f", &kind) != TIER_EACCESS)
        return 5;
    if (tier_stat(s, "secret", &kind) || kind != 'f')
        return 6;
    if (tier_list(s, "locked", "*", &v) != TIER_EACCESS)
        return 7;
    if (tier_end(&s) || tier_close(&c))
        return 8;
    return 0;
}

static void rights_are_respected(void **state)
{
    char base[] = "/tmp/conformance-rights.XXXXXX", path[64];
    struct stat st;
    int status;
    pid_t pid;

    (void)state;
    if (stat("/tmp", &st) || !(st.st_mode & S_IXOTH))
        skip();                     /* a /tmp of root's own: the child cannot reach anything */
    assert_non_null(mkdtemp(base)); /* not below $TMPDIR: the child must reach it */
    assert_int_equal(chmod(base, 0755), 0);
    snprintf(path, sizeof path, "%s/secret", base);
    assert_true(spew(path, "x"));
    assert_int_equal(chmod(path, 0), 0);
    snprintf(path, sizeof path, "%s/locked", base);
    assert_int_equal(mkdir(path, 0), 0);
    pid = fork();
    if (!pid)
        _exit(without_rights(base));
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(chmod(path, 0755), 0);
    assert_int_equal(nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- listings ---- */

/* The records of v, each followed by a blank. */
static void records_are(const tier_value *v, const char *text)
{
    char all[2048] = "";
    size_t cursor = 0, size;
    const void *data;
    int rc;

    sound(v);
    while (!(rc = tier_next(v, &cursor, &data, &size))) {
        assert_int_equal(((const char *)data)[size], 0);
        assert_true(strlen(all) + size + 2 < sizeof all);
        strncat(all, data, size);
        strcat(all, " ");
    }
    assert_int_equal(rc, TIER_END);
    assert_string_equal(all, text);
}

static void list_is(tier_session *s, const char *directory, const char *glob, const char *text)
{
    tier_value v;

    assert_int_equal(tier_list(s, directory, glob, &v), 0);
    records_are(&v, text);
    assert_int_equal(tier_release(s, &v), 0);
}

static void plant(struct world *w)
{
    static const char *const files[] = {"a.c",     "b.h",        ".hidden.h",     "sub/x.h",
                                        "sub/y.c", "sub/in/z.h", "sub/.git/no.h", "sub/in/deep/q.h",
                                        "B.h",     "a-b.h"};
    static const char *const dirs[] = {"sub", "sub/in", "sub/.git", "sub/in/deep"};

    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
        dir(w, dirs[i]);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        put(w, files[i], files[i]);
    assert_int_equal(symlink("sub", at(w, "linked")), 0);
}

static void lists_match_globs(void **state)
{
    struct world *w = *state;

    plant(w);
    list_is(w->s, ".", "*.c", "a.c ");
    list_is(w->s, ".", "*", "B.h a-b.h a.c b.h linked sub ");
    list_is(w->s, ".", "*.h", "B.h a-b.h b.h ");
    list_is(w->s, ".", ".*.h", ".hidden.h ");
    list_is(w->s, ".", "[ab].?", "a.c b.h ");
    list_is(w->s, ".", "[!a].h", "B.h b.h ");
    list_is(w->s, ".", "[a-c].[ch]", "a.c b.h ");
    list_is(w->s, ".", "sub/*.h", "sub/x.h ");
    list_is(w->s, ".", "*/*.c", "sub/y.c ");
    list_is(w->s, "sub", "*.h", "sub/x.h ");
    list_is(w->s, "sub", "*/*.h", "sub/in/z.h ");
    list_is(w->s, ".", "**/*.h", "B.h a-b.h b.h sub/in/deep/q.h sub/in/z.h sub/x.h ");
    list_is(w->s, "sub", "**/*.h", "sub/in/deep/q.h sub/in/z.h sub/x.h ");
    list_is(w->s, ".", "sub/**/q.h", "sub/in/deep/q.h ");
    list_is(w->s, ".", "sub/.git/*", "sub/.git/no.h ");
    list_is(w->s, ".", "no*match", "");
}

static void lists_are_frozen_and_fail_cleanly(void **state)
{
    struct world *w = *state;
    tier_value v;

    dir(w, "d");
    put(w, "d/a.c", "a");
    put(w, "file", "x");
    list_is(w->s, "d", "*.c", "d/a.c ");
    put(w, "d/b.c", "b");
    list_is(w->s, "d", "*.c", "d/a.c ");
    assert_int_equal(tier_list(w->s, "no", "*", &v), TIER_EABSENT);
    assert_int_equal(tier_list(w->s, "file", "*", &v), TIER_EKIND);
    assert_null(v.data);
    dir(w, "no");
    assert_int_equal(tier_list(w->s, "no", "*", &v), TIER_EABSENT);
    again(w);
    list_is(w->s, "d", "*.c", "d/a.c d/b.c ");
    list_is(w->s, "no", "*", "");
}

static void lists_name_their_root(void **state)
{
    struct world *w = *state;
    char path[512];

    snprintf(path, sizeof path, "%s/s.h", w->sys);
    put(w, path, "s");
    list_is(w->s, "sys:.", "*.h", "sys:s.h ");
    list_is(w->s, "/dev", "nul[l]", "/dev/null ");
}

/* ---- what is no file ---- */

static void environment_is_frozen(void **state)
{
    struct world *w = *state;
    tier_value v;

    setenv("CONFORMANCE_A", "one", 1);
    unsetenv("CONFORMANCE_B");
    assert_int_equal(tier_env(w->s, "CONFORMANCE_A", &v), 0);
    is_text(&v, "one");
    assert_int_equal(tier_env(w->s, "CONFORMANCE_B", &v), TIER_EABSENT);
    setenv("CONFORMANCE_A", "two", 1);
    setenv("CONFORMANCE_B", "", 1);
    assert_int_equal(tier_env(w->s, "CONFORMANCE_A", &v), 0);
    is_text(&v, "one");
    assert_int_equal(tier_env(w->s, "CONFORMANCE_B", &v), TIER_EABSENT);
    again(w);
    assert_int_equal(tier_env(w->s, "CONFORMANCE_A", &v), 0);
    is_text(&v, "two");
    assert_int_equal(tier_env(w->s, "CONFORMANCE_B", &v), 0);
    is_text(&v, "");
    unsetenv("CONFORMANCE_A");
    unsetenv("CONFORMANCE_B");
}

static void settings_are_read(void **state)
{
    struct world *w = *state;
    tier_value v;

    assert_int_equal(tier_config(w->s, "mode", &v), 0);
    is_text(&v, "fast");
    assert_int_equal(tier_config(w->s, "pair", &v), 0);
    is_text(&v, "a=b");
    assert_int_equal(tier_config(w->s, "none", &v), TIER_EABSENT);
    assert_null(v.data);
}

static void inputs_are_of_the_begin(void **state)
{
    struct world *w = *state;
    tier_value v;

    assert_int_equal(tier_set_input(w->c, "opt", "late", 4), 0);
    assert_int_equal(tier_input(w->s, "opt", &v), TIER_EABSENT);
    again(w);
    assert_int_equal(tier_set_input(w->c, "opt", "later", 5), 0);
    assert_int_equal(tier_input(w->s, "opt", &v), 0);
    is_text(&v, "late");
    again(w);
    assert_int_equal(tier_input(w->s, "opt", &v), 0);
    is_text(&v, "later");
    assert_int_equal(tier_set_input(w->c, "opt", "", 0), 0);
    again(w);
    assert_int_equal(tier_input(w->s, "opt", &v), 0);
    is_text(&v, "");
    assert_int_equal(tier_set_input(w->c, "opt", NULL, 0), 0);
    again(w);
    assert_int_equal(tier_input(w->s, "opt", &v), TIER_EABSENT);
}

static void others_readings_are_compared(void **state)
{
    struct world *w = *state;
    tier_digest hash, wrong;
    tier_value v;

    put(w, "a.c", "abc");
    assert_int_equal(tier_file(w->s, "a.c", &v), 0);
    hash = v.hash;
    wrong = v.hash;
    wrong.byte[0] ^= 1;
    assert_int_equal(tier_read_elsewhere(w->s, "a.c", &hash), 0);
    assert_int_equal(tier_read_elsewhere(w->s, "a.c", NULL), 0);
    assert_int_equal(tier_read_elsewhere(w->s, "a.c", &wrong), TIER_ECHANGED);
    again(w);
    put(w, "a.c", "xyz");
    assert_int_equal(tier_read_elsewhere(w->s, "a.c", &hash), TIER_ECHANGED);
}

static void records_are_told_from_text(void **state)
{
    struct world *w = *state;
    tier_value v;
    size_t cursor = 0, size;
    const void *data;
    int rc;

    put(w, "text", "plain text, no records at all");
    put(w, "empty", "");
    assert_int_equal(tier_file(w->s, "text", &v), 0);
    while (!(rc = tier_next(&v, &cursor, &data, &size)))
        ;
    assert_int_equal(rc, TIER_EDAMAGE);
    assert_int_equal(tier_file(w->s, "empty", &v), 0);
    cursor = 0;
    assert_int_equal(tier_next(&v, &cursor, &data, &size), TIER_END);
}
#endif
