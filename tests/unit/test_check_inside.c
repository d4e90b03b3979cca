/* sources: tests/unit/check_util.c */
/* Looking inside: explain, inspect, figures, prune; other processes at work; interrupts; what is no cache. */
#include "tests/unit/check_util.h"
#include <sys/mman.h>

struct said {
    char text[65536];
    size_t size;
};

static int take(void *user, const char *text, size_t size)
{
    struct said *s = user;
    assert_true(s->size + size < sizeof s->text);
    memcpy(s->text + s->size, text, size);
    s->size += size;
    s->text[s->size] = 0;
    return 0;
}

static bool has(const struct said *s, const char *text)
{
    if (strstr(s->text, text))
        return true;
    print_error("no '%s' in:\n%s", text, s->text);
    return false;
}

/* ---- explain and inspect ---- */
static void test_explain(void **state)
{
    struct bench *b = *state;
    struct said s = {.size = 0};
    tier_admin *a = bench_admin(b);
    assert_int_equal(tier_explain_path(a, "a.txt", "text", take, &s), 0);
    assert_true(has(&s, "words(a.txt)\n") && has(&s, "app          test"));
    assert_true(has(&s, "computed because: nothing was remembered"));
    assert_true(has(&s, "= content of a.txt: "));
    assert_true(has(&s, "these depend on a.txt:\n")); /* the file's reader, and the reader of its words */
    assert_true(has(&s, "sum() of test, through its result"));
    assert_true(has(&s, "words(a.txt) of test, through its content"));
    tier_admin_close(&a);

    bench_write(b, "a.txt", "another text ");
    a = bench_admin(b);
    s.size = 0;
    assert_int_equal(tier_explain_path(a, "a.txt", NULL, take, &s), 0);
    assert_true(has(&s, "! content of a.txt: ") && has(&s, ", now "));
    tier_admin_close(&a);

    bench_run(b);
    a = bench_admin(b);
    s.size = 0;
    assert_int_equal(tier_explain_path(a, "a.txt", "json", take, &s), 0);
    assert_true(has(&s, "{\"schema\":1,\"command\":\"explain\",\"path\":\"a.txt\",\"requests\":[{"));
    assert_true(has(&s, "\"cause\":{\"what\":\"content of a.txt\",\"was\":\""));
    assert_int_equal(tier_explain_path(a, "no.txt", "text", take, &s), TIER_EABSENT);
    assert_non_null(strstr(tier_admin_detail(a), "no.txt"));
    assert_int_equal(tier_explain_path(a, "a.txt", "xml", take, &s), TIER_EINVAL);
    tier_admin_close(&a);
}

static int build_part(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    (void)user;
    int rc = tier_file(s, q->path, &v);
    return rc ? rc : tier_out_bytes(out, v.data, v.size);
}

/* The file, and another one if that is there. */
static int build_whole(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_query part = {.type = *(const tier_type **)user, .path = "absent.txt"};
    tier_value v;
    int rc = tier_get(s, &part, &v);
    if (rc == TIER_EABSENT)
        rc = tier_file(s, q->path, &v);
    return rc ? rc : tier_out_bytes(out, v.data, v.size);
}

/* The value hash of an error looks like that of an answer. */
static void test_remembered_error(void **state)
{
    struct bench *b = *state;
    struct said s = {.size = 0};
    tier_options o = TIER_INIT(tier_options);
    tier_root root = {"", b->root};
    const tier_type *part, *whole;
    tier_type_def d = TIER_INIT(tier_type_def), e = TIER_INIT(tier_type_def);
    tier_cache *c;
    tier_session *session;
    tier_value v;
    o.app = "test";
    o.dir = b->cache;
    o.roots = &root;
    o.root_count = 1;
    d.name = "part";
    d.tier = TIER_TREE;
    d.build = build_part;
    e.name = "whole";
    e.tier = TIER_DELTA;
    e.build = build_whole;
    e.user = &part;
    assert_int_equal(tier_open(&o, &c), 0);
    assert_int_equal(tier_define(c, &d, &part), 0);
    assert_int_equal(tier_define(c, &e, &whole), 0);
    assert_int_equal(tier_begin(c, NULL, &session), 0);
    tier_query q = {.type = whole, .path = "c.txt"};
    assert_int_equal(tier_get(session, &q, &v), 0);
    tier_end(&session);
    assert_int_equal(tier_close(&c), 0);

    tier_admin *a = bench_admin(b);
    assert_int_equal(tier_explain_path(a, "c.txt", "text", take, &s), 0);
    assert_true(has(&s, "= result of part(absent.txt): "));
    assert_true(has(&s, ", a remembered error: cannot read absent.txt: it is not there\n"));
    s.size = 0;
    assert_int_equal(tier_explain_path(a, "c.txt", "json", take, &s), 0);
    assert_true(has(&s, "\"error\":\"cannot read absent.txt: it is not there\",\"now\":"));
    tier_admin_close(&a);
}

static void take_root(void *user, const char *root)
{
    struct said *s = user;
    take(s, root, strlen(root));
    take(s, "\n", 1);
}

/* Which roots the programs had; what a file is now, below another. */
static void test_roots(void **state)
{
    struct bench *b = *state;
    struct said s = {.size = 0};
    char root[600];
    tier_admin *a = bench_admin(b);
    snprintf(root, sizeof root, "%s\n", tier_admin_root(a));
    assert_int_equal(tier_admin_roots(a, take_root, &s), 0);
    assert_string_equal(s.text, root);
    assert_int_equal(tier_admin_look_below(a, "/no/such/root"), TIER_EINVAL);
    assert_non_null(strstr(tier_admin_detail(a), "/no/such/root"));
    assert_int_equal(tier_admin_look_below(a, "/"), 0);
    assert_string_equal(tier_admin_root(a), "/");
    s.size = 0;
    assert_int_equal(tier_explain_path(a, "a.txt", "text", take, &s), 0);
    assert_true(has(&s, ", now absent"));
    root[strlen(root) - 1] = 0;
    assert_int_equal(tier_admin_look_below(a, root), 0);
    s.size = 0;
    assert_int_equal(tier_explain_path(a, "a.txt", "text", take, &s), 0);
    assert_true(has(&s, "= content of a.txt: "));
    assert_int_equal(tier_admin_roots(a, NULL, NULL), TIER_EINVAL);
    tier_admin_close(&a);
}

static void test_inspect(void **state)
{
    struct bench *b = *state;
    struct said s = {.size = 0};
    char key[80];
    tier_digest path, content;
    char hex[TIER__HEX_SIZE], hex_of_path[TIER__HEX_SIZE];
    tier_admin *a = bench_admin(b);
    tier__digest_of("a.txt", 5, &path);
    tier__digest_of("alpha ", 6, &content);
    tier__digest_hex(&path, hex_of_path);
    tier__digest_hex(&content, hex);
    snprintf(key, sizeof key, "file:%.8s_%.16s", hex_of_path, hex); /* a file's key can be made by hand */
    assert_int_equal(tier_inspect(a, key, "text", take, &s), 0);
    assert_true(has(&s, "stats\n") && has(&s, "path         a.txt") && has(&s, hex));
    s.size = 0;
    assert_int_equal(tier_explain_path(a, "a.txt", "text", take, &s), 0);
    char *at = strstr(s.text, "key tree:");
    assert_non_null(at);
    snprintf(key, sizeof key, "%.30s", at + 4);
    s.size = 0;
    assert_int_equal(tier_inspect(a, key, "json", take, &s), 0);
    assert_true(has(&s, "\"table\":\"variants\"") && has(&s, "\"request\":\"words(a.txt)\""));
    at = strstr(s.text, "\"content_key\":\"");
    assert_non_null(at);
    char full[65];
    snprintf(full, sizeof full, "%.64s", at + 15);
    s.size = 0;
    assert_int_equal(tier_inspect(a, full, "text", take, &s), 0);
    assert_true(has(&s, "blobs\n") && has(&s, "616c70686120")); /* "alpha " */
    key[10] = 'x';
    assert_int_equal(tier_inspect(a, key, "text", take, &s), TIER_EINVAL);
    assert_int_equal(tier_inspect(a, "tree:00000000_0000000000000000", "text", take, &s), TIER_EABSENT);
    tier_admin_close(&a);
}

/* ---- figures and prune ---- */
struct figures {
    uint64_t variants, words, sums, bytes;
};

static void on_figure(void *user, const tier_figure *f)
{
    struct figures *g = user;
    if (strcmp(f->group, "table") == 0 && strcmp(f->name, "variants") == 0)
        g->variants = f->records;
    if (strcmp(f->group, "type") == 0) {
        assert_string_equal(f->app, "test");
        g->bytes += f->bytes;
        *(strcmp(f->name, "words") == 0 ? &g->words : &g->sums) = f->variants;
    }
}

static void test_figures_and_prune(void **state)
{
    struct bench *b = *state;
    struct figures g = {0};
    tier_prune_options o = TIER_INIT(tier_prune_options);
    tier_prune_report r = TIER_INIT(tier_prune_report);
    for (int i = 0; i < 3; i++) {
        char text[32];
        snprintf(text, sizeof text, "alpha %d ", i);
        bench_write(b, "a.txt", text);
        bench_run(b);
    }
    tier_admin *a = bench_admin(b);
    assert_int_equal(tier_store_figures(a, on_figure, &g), 0);
    assert_int_equal(g.variants, 4); /* three requests of words, one of sum */
    assert_int_equal(g.words, 3 + 3);
    assert_int_equal(g.sums, 4);
    assert_true(g.bytes >= 6 * 6000);
    o.max_bytes = 4 * 6100;
    assert_int_equal(tier_prune(a, &o, &r), 0);
    assert_true(r.left_bytes <= o.max_bytes && r.left_bytes > 3 * 6000);
    assert_int_equal(r.requests, 0); /* older variants went, newest ones stayed */
    assert_true(r.variants > 0);
    tier_admin_close(&a);
    assert_int_equal(bench_run(b), 0);
    assert_int_equal(bench_check(b, TIER_CHECK_DATA | TIER_CHECK_SOURCES, false), 0);
    assert_int_equal(b->report.damage, 0);
    assert_false(bench_told(b, "blob-orphan"));
    a = bench_admin(b);
    o.max_bytes = 0;
    o.has_age = 1;
    o.older_than_ms = 3600000;
    assert_int_equal(tier_prune(a, &o, &r), 0);
    assert_int_equal(r.variants, 0);
    usleep(2000);
    o.older_than_ms = 0;
    assert_int_equal(tier_prune(a, &o, &r), 0);
    assert_int_equal(r.requests, 4);
    assert_int_equal(r.left_bytes, 0);
    tier_admin_close(&a);
    assert_int_equal(bench_check(b, TIER_CHECK_DATA, false), 0);
    assert_int_equal(b->report.damage, 0);
    assert_int_equal(bench_run(b), 4);
}

/* ---- others at work ---- */
static void test_while_written(void **state)
{
    struct bench *b = *state;
    int told[2];
    char byte;
    assert_int_equal(pipe(told), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        for (int i = 0; i < 150; i++) {
            char text[32];
            snprintf(text, sizeof text, "alpha %d ", i % 80);
            bench_write(b, i % 2 ? "a.txt" : "b.txt", text);
            bench_run(b);
            if (i == 3)
                (void)!write(told[1], "x", 1);
        }
        _exit(0);
    }
    assert_int_equal(read(told[0], &byte, 1), 1);
    unsigned checks = 0;
    int status;
    while (waitpid(child, &status, WNOHANG) == 0) {
        assert_int_equal(bench_check(b, checks % 2 ? TIER_CHECK_DATA : 0, checks % 5 == 4), 0);
        if (b->report.damage)
            print_error("%s", b->text);
        assert_int_equal(b->report.damage, 0); /* nothing is taken for damage that is only being written */
        checks++;
    }
    assert_int_equal(status, 0);
    assert_true(checks > 2);
    close(told[0]);
    close(told[1]);
    assert_int_equal(bench_check(b, TIER_CHECK_DATA | TIER_CHECK_SOURCES, false), 0);
    assert_int_equal(b->report.damage, 0);
    bench_run(b);
}

/* ---- a write through a shared mapping: the one thing that only --sources finds ---- */
static void test_mapped_write(void **state)
{
    struct bench *b = *state;
    char path[512];
    struct stat before, after;
    snprintf(path, sizeof path, "%s/a.txt", b->root);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    char *map = mmap(NULL, 6, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(map != MAP_FAILED);
    map[0] = 'A'; /* the first store moves the stamps; those after it need not */
    usleep(50000);
    bench_run(b);
    fstat(fd, &before);
    map[1] = 'L';
    fstat(fd, &after);
    bool moved = memcmp(&before.st_mtim, &after.st_mtim, sizeof before.st_mtim) != 0 ||
                 memcmp(&before.st_ctim, &after.st_ctim, sizeof before.st_ctim) != 0;
    assert_int_equal(bench_check(b, TIER_CHECK_SOURCES, false), 0);
    if (!moved) { /* as the file system has it */
        assert_string_equal(b->codes, "stale-stat-identity ");
        assert_true(bench_told(b, "stale-stat-identity"));
        assert_non_null(strstr(b->text, "stale-stat-identity|a.txt|"));
        assert_int_equal(bench_check(b, TIER_CHECK_SOURCES, true), 0);
        assert_int_equal(b->report.left, 0);
        assert_true(bench_run(b) > 0); /* right again: bench_run compares */
    } else {
        assert_string_equal(b->codes, "");
    }
    munmap(map, 6);
    close(fd);
}

/* ---- interrupts, arguments, what is no cache ---- */
static int stop_at_once(void *user, const char *what, uint64_t done, uint64_t total)
{
    (void)what;
    (void)done;
    (void)total;
    ++*(unsigned *)user;
    return 1;
}

static void test_interrupt(void **state)
{
    struct bench *b = *state;
    unsigned asked = 0;
    static unsigned char digest[32], value[64];
    tier__store *st = bench_store(b);
    tier__write *w;
    assert_int_equal(tier__write_begin(st, &w), 0);
    for (unsigned i = 0; i < 5000; i++) {
        memcpy(digest, &i, sizeof i);
        assert_int_equal(tier__write_put(w, TIER__BLOB, digest, sizeof digest, value, sizeof value, 0), 0);
    }
    assert_int_equal(tier__write_commit(&w), 0);
    tier__store_close(&st);
    char why[256];
    tier_admin *a;
    tier_admin_options o = TIER_INIT(tier_admin_options);
    tier_check_options co = TIER_INIT(tier_check_options);
    tier_prune_options po = TIER_INIT(tier_prune_options);
    tier_check_report r = TIER_INIT(tier_check_report);
    tier_prune_report pr = TIER_INIT(tier_prune_report);
    o.dir = b->cache;
    o.root = b->root;
    o.user = &asked;
    o.progress = stop_at_once;
    co.flags = TIER_CHECK_DATA;
    assert_int_equal(tier_admin_open(&o, &a, why, sizeof why), 0);
    assert_int_equal(tier_check(a, &co, &r), TIER_ECANCELED);
    assert_int_equal(asked, 1);
    assert_int_equal(tier_repair(a, &co, &r), TIER_ECANCELED);
    assert_int_equal(tier_prune(a, &po, &pr), TIER_ECANCELED);
    assert_non_null(strstr(tier_admin_detail(a), "stopped"));
    tier_admin_close(&a);
    assert_int_equal(bench_check(b, 0, false), 0);
    assert_int_equal(b->report.damage, 0);
    bench_run(b);
}

static void test_no_cache(void **state)
{
    struct bench *b = *state;
    struct bench other = *b;
    char why[256] = "";
    struct stat st;
    tier_admin *a;
    tier_admin_options o = TIER_INIT(tier_admin_options);
    tier_check_report r = TIER_INIT(tier_check_report);
    snprintf(other.cache, sizeof other.cache, "%s/none", b->dir);
    assert_int_equal(bench_check(&other, 0, false), TIER_EABSENT);
    assert_int_equal(bench_check(&other, 0, true), TIER_EABSENT);
    assert_int_equal(stat(other.cache, &st), -1);
    snprintf(other.cache, sizeof other.cache, "%s", b->root);
    assert_int_equal(bench_check(&other, 0, true), TIER_EKIND);
    snprintf(other.cache, sizeof other.cache, "%s/a.txt", b->root);
    assert_int_equal(bench_check(&other, 0, false), TIER_EKIND);
    o.dir = b->cache;
    o.root = "/nowhere/at/all";
    assert_int_equal(tier_admin_open(&o, &a, why, sizeof why), TIER_EINVAL);
    assert_true(*why);
    assert_null(a);
    o.root = b->root;
    o.profile = "none";
    assert_int_equal(tier_admin_open(&o, &a, why, sizeof why), TIER_EINVAL);
    assert_non_null(strstr(why, "none"));
    assert_int_equal(tier_admin_open(NULL, &a, why, sizeof why), TIER_EINVAL);
    tier_admin_close(&a); /* NULL is fine */
    assert_int_equal(tier_check(NULL, NULL, &r), TIER_EINVAL);
    a = bench_admin(b);
    r.struct_size = 0;
    assert_int_equal(tier_check(a, NULL, &r), TIER_EINVAL);
    assert_string_equal(tier_admin_dir(a), b->cache);
    tier_admin_close(&a);
    assert_string_equal(tier_profile_name(0), "dev");
    assert_null(tier_profile_name(TIER_PROFILES));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_explain, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_remembered_error, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_roots, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_inspect, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_figures_and_prune, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_while_written, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_mapped_write, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_interrupt, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_no_cache, bench_open, bench_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
