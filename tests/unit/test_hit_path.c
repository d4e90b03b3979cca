/* What a hit through tier_get may cost: no allocation, no digest, no system call; and that the short way
 * gives what the long one gives, also where values leave memory, types go, and builds read. */
#include <dlfcn.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <sodium.h>
#include "include/tierkit.h"

enum { REQUESTS = 300, ROUNDS = 5, TAKEN = 31 };

/* ---- what is counted */
static unsigned long allocations, digests;

static void *counting_realloc(void *user, void *old, size_t size)
{
    (void)user;
    allocations++;
    if (size == 0) {
        free(old);
        return NULL;
    }
    return realloc(old, size);
}

/* Every digest of the library ends in one of these two; the linker takes ours for libsodium's. */
int crypto_generichash_final(crypto_generichash_state *state, unsigned char *out, size_t size)
{
    int (*real)(crypto_generichash_state *, unsigned char *, size_t);
    digests++;
    *(void **)&real = dlsym(RTLD_NEXT, "crypto_generichash_final");
    return real(state, out, size);
}

int crypto_generichash(unsigned char *out, size_t out_size, const unsigned char *in, unsigned long long size,
                       const unsigned char *key, size_t key_size)
{
    int (*real)(unsigned char *, size_t, const unsigned char *, unsigned long long, const unsigned char *,
                size_t);
    digests++;
    *(void **)&real = dlsym(RTLD_NEXT, "crypto_generichash");
    return real(out, out_size, in, size, key, key_size);
}

/* From here on every system call but the last one kills the process. */
static void forbid_system_calls(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_exit_group, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        _exit(2);
}

/* ---- a cache of one type */
struct world {
    char root[64];
    tier_cache *c;
    tier_session *s;
    const tier_type *type, *reader;
    int built;
};

static int build(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    char text[128];
    (void)s;
    ((struct world *)user)->built++;
    snprintf(text, sizeof text, "value of %s and %.*s", q->path ? q->path : "nothing", (int)q->args_size,
             q->args ? (const char *)q->args : "");
    return tier_out_bytes(out, text, strlen(text));
}

/* Reads the value of "below", by the short way where the session knows it. */
static int build_reader(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct world *w = user;
    tier_query below = {w->type, "below", NULL, 0};
    tier_value v;
    (void)q;
    int rc = tier_get(s, &below, &v);
    return rc ? rc : tier_out_bytes(out, v.data, v.size);
}

static void open_world(struct world *w, const char *memory)
{
    const char *settings[] = {memory};
    tier_root root = {"", w->root};
    tier_options o = TIER_INIT(tier_options);
    tier_type_def d = TIER_INIT(tier_type_def);
    memset(w, 0, sizeof *w);
    snprintf(w->root, sizeof w->root, "/tmp/tierkit-hit.XXXXXX");
    assert_non_null(mkdtemp(w->root));
    root.path = w->root;
    o.app = "hit";
    o.dir = "";
    o.profile = "dev";
    o.roots = &root;
    o.root_count = 1;
    o.settings = settings;
    o.setting_count = memory ? 1 : 0;
    o.realloc = counting_realloc;
    assert_int_equal(tier_open(&o, &w->c), 0);
    d.name = "value";
    d.tier = TIER_TREE;
    d.user = w;
    d.build = build;
    assert_int_equal(tier_define(w->c, &d, &w->type), 0);
    d.name = "reader";
    d.build = build_reader;
    assert_int_equal(tier_define(w->c, &d, &w->reader), 0);
    assert_int_equal(tier_begin(w->c, NULL, &w->s), 0);
}

static void close_world(struct world *w)
{
    assert_int_equal(tier_end(&w->s), 0);
    assert_int_equal(tier_close(&w->c), 0);
    rmdir(w->root);
}

struct words {
    char path[32], args[32];
};
static tier_query query(const struct world *w, int i, struct words *t)
{
    snprintf(t->path, sizeof t->path, "dir/file%d.h", i);
    snprintf(t->args, sizeof t->args, "argument %d", i);
    tier_query q = {w->type, i % 3 == 1 ? NULL : t->path, i % 3 ? t->args : NULL,
                    i % 3 ? strlen(t->args) : 0};
    return q;
}

/* from of the answer, or the error. */
static int ask(struct world *w, int i)
{
    struct words t;
    tier_query q = query(w, i, &t);
    tier_value v;
    char want[128];
    int rc = tier_get(w->s, &q, &v);
    if (rc)
        return rc;
    snprintf(want, sizeof want, "value of %s and %s", q.path ? q.path : "nothing", q.args ? t.args : "");
    int from = v.size == strlen(want) && memcmp(v.data, want, v.size) == 0 ? (int)v.from : -100;
    rc = tier_release(w->s, &v);
    return rc ? rc : from;
}

/* ---- tests */
static void a_hit_costs_nothing(void **state)
{
    struct world w;
    (void)state;
    open_world(&w, NULL);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < REQUESTS; i++)
            assert_int_equal(ask(&w, i), round ? TIER_HIT : TIER_BUILT);
    unsigned long before = allocations, digested = digests;
    assert_true(digested > 0); /* ours are the functions that are called */
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < REQUESTS; i++)
            assert_int_equal(ask(&w, i), TIER_HIT);
    assert_int_equal(allocations, before);
    assert_int_equal(digests, digested);
    assert_int_equal(w.built, REQUESTS);
    close_world(&w);
}

/* In a child: hits, with system calls forbidden, then something else. Its status. */
static int child(int other)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct world w;
        tier_value v;
        char kind;
        open_world(&w, NULL);
        for (int i = 0; i < 2 * REQUESTS; i++)
            ask(&w, i % REQUESTS);
        rmdir(w.root);
        forbid_system_calls();
        for (int i = 0; i < ROUNDS * REQUESTS; i++)
            if (ask(&w, i % REQUESTS) != TIER_HIT)
                syscall(SYS_exit_group, 1);
        if (other == 1)
            tier_stat(w.s, "another", &kind);
        if (other == 2)
            tier_file(w.s, "another", &v);
        syscall(SYS_exit_group, 0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void a_hit_makes_no_system_call(void **state)
{
    (void)state;
    assert_int_equal(child(0), 0);
    assert_int_equal(child(1), TAKEN); /* SIGSYS: the filter sees what is looked at */
    assert_int_equal(child(2), TAKEN);
}

static void what_was_evicted_is_had_again(void **state)
{
    struct world w;
    (void)state;
    open_world(&w, "memory.tree=16KiB"); /* of some tens of values */
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < REQUESTS; i++) {
            int from = ask(&w, i);
            assert_true(from == TIER_BUILT || (round && from == TIER_HIT));
            assert_int_equal(ask(&w, i), TIER_HIT);
        }
    assert_true(w.built > REQUESTS);
    close_world(&w);
}

static void reads_by_the_short_way_are_dependencies(void **state)
{
    struct world w;
    tier_value v;
    (void)state;
    open_world(&w, NULL);
    tier_query below = {w.type, "below", NULL, 0}, above = {w.reader, "above", NULL, 0};
    assert_int_equal(tier_get(w.s, &below, &v), 0);
    assert_int_equal(tier_get(w.s, &below, &v), 0);
    assert_int_equal(tier_get(w.s, &above, &v), 0);
    assert_int_equal(v.from, TIER_BUILT);
    assert_int_equal(tier_end(&w.s), 0);
    assert_int_equal(tier_invalidate(w.c, TIER_BY_PATH, "below"), 0);
    assert_int_equal(tier_begin(w.c, NULL, &w.s), 0);
    int built = w.built;
    assert_int_equal(tier_get(w.s, &above, &v), 0);
    assert_int_equal(w.built, built + 1);
    close_world(&w);
}

/* Two types in turn at one address: the words of the first must not find it again. */
static void a_type_takes_its_words_along(void **state)
{
    struct world w;
    tier_type_def d = TIER_INIT(tier_type_def);
    (void)state;
    open_world(&w, NULL);
    for (int i = 0; i < REQUESTS; i++)
        ask(&w, i);
    d.name = "value";
    d.tier = TIER_TREE;
    d.user = &w;
    d.build = build;
    for (uint32_t version = 1; version < 20; version++) {
        int built = w.built;
        assert_int_equal(tier_undefine(w.c, w.type), 0);
        d.version = version;
        assert_int_equal(tier_define(w.c, &d, &w.type), 0);
        assert_int_equal(ask(&w, 0), TIER_BUILT);
        assert_int_equal(ask(&w, 0), TIER_HIT);
        assert_int_equal(w.built, built + 1);
    }
    close_world(&w);
}

static void note_hits(void *user, const char *name, double value)
{
    if (strcmp(name, "tree.hit") == 0 || strcmp(name, "type.value.hit") == 0)
        *(double *)user += value;
}

static void hits_are_counted_once(void **state)
{
    struct world w;
    double hits = 0;
    (void)state;
    open_world(&w, NULL);
    for (int i = 0; i < 4 * REQUESTS; i++)
        ask(&w, i % REQUESTS);
    assert_int_equal(tier_stats(w.c, note_hits, &hits), 0);
    assert_int_equal((int)hits, 2 * 3 * REQUESTS);
    assert_int_equal(tier_end(&w.s), 0);
    hits = 0;
    assert_int_equal(tier_stats(w.c, note_hits, &hits), 0);
    assert_int_equal((int)hits, 2 * 3 * REQUESTS);
    assert_int_equal(tier_begin(w.c, NULL, &w.s), 0);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hit_costs_nothing),
        cmocka_unit_test(a_hit_makes_no_system_call),
        cmocka_unit_test(what_was_evicted_is_had_again),
        cmocka_unit_test(reads_by_the_short_way_are_dependencies),
        cmocka_unit_test(a_type_takes_its_words_along),
        cmocka_unit_test(hits_are_counted_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
