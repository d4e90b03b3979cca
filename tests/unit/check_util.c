/* check_util.c - see check_util.h. */
#include "tests/unit/check_util.h"

enum { VALUE = 6000 /* large enough for a record of its own */ };

static int builds;

/* words(path): the file's content, over and over. */
static int build_words(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    (void)user;
    builds++;
    int rc = tier_file(s, q->path, &v);
    for (size_t done = 0; !rc && done < VALUE; done += v.size)
        rc = tier_out_bytes(out, v.data, v.size);
    return rc;
}

/* sum(): from words of two files, a listing, an absent file and the environment. */
static int build_sum(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    const tier_type *words = *(const tier_type **)user;
    static const char *const path[] = {"a.txt", "b.txt"};
    tier_value v;
    char kind;
    uint64_t sum = 0;
    (void)q;
    builds++;
    for (int i = 0; i < 2; i++) {
        tier_query w = {.type = words, .path = path[i]};
        int rc = tier_get(s, &w, &v);
        if (rc)
            return rc;
        for (size_t k = 0; k < v.size; k++)
            sum = sum * 31 + ((const unsigned char *)v.data)[k];
    }
    int rc = tier_list(s, "", "*.txt", &v);
    if (!rc && tier_stat(s, "absent.txt", &kind) == 0)
        sum++;
    if (!rc && tier_env(s, "TIER_TEST_SUM", &v) == 0)
        sum++;
    tier_tag(s, "sums");
    return rc ? rc : tier_out_bytes(out, &sum, sizeof sum);
}

int bench_open(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    const char *tmp = getenv("TMPDIR");
    snprintf(b->dir, sizeof b->dir, "%s/tier-check-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(b->dir));
    snprintf(b->cache, sizeof b->cache, "%s/cache", b->dir);
    snprintf(b->root, sizeof b->root, "%s/root", b->dir);
    assert_int_equal(mkdir(b->root, 0700), 0);
    tier__base_init(&b->base, NULL);
    bench_write(b, "a.txt", "alpha ");
    bench_write(b, "b.txt", "beta ");
    bench_write(b, "c.txt", "gamma ");
    usleep(50000); /* so that stat identities are settled, and stored */
    assert_true(bench_run(b) > 0);
    *state = b;
    return 0;
}

int bench_close(void **state)
{
    struct bench *b = *state;
    util_remove(b->dir, 0);
    free(b);
    return 0;
}

void bench_write(struct bench *b, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", b->root, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void define(tier_cache *c, const tier_type **words, const tier_type **sum)
{
    tier_type_def d = TIER_INIT(tier_type_def);
    d.name = "words";
    d.tier = TIER_TREE;
    d.build = build_words;
    assert_int_equal(tier_define(c, &d, words), 0);
    d.name = "sum";
    d.tier = TIER_DELTA;
    d.build = build_sum;
    d.user = words;
    assert_int_equal(tier_define(c, &d, sum), 0);
}

static void expect_words(struct bench *b, tier_session *s, const tier_type *words, const char *name)
{
    char path[512], text[512];
    tier_query q = {.type = words, .path = name};
    tier_value v;
    assert_int_equal(tier_get(s, &q, &v), 0);
    snprintf(path, sizeof path, "%s/%s", b->root, name);
    FILE *f = fopen(path, "r");
    size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    assert_true(v.size >= VALUE);
    for (size_t i = 0; i < v.size; i++)
        assert_int_equal(((const char *)v.data)[i], text[i % n]);
}

int bench_run(struct bench *b)
{
    tier_cache *c;
    tier_session *s;
    tier_value v, w;
    const tier_type *words, *sum;
    tier_options o = TIER_INIT(tier_options);
    tier_root root = {"", b->root};
    static const char *const settings[] = {"verify.sample=0"};
    o.app = "test";
    o.app_version = "1";
    o.dir = b->cache;
    o.profile = "dev";
    o.roots = &root;
    o.root_count = 1;
    o.settings = settings;
    o.setting_count = 1;
    builds = 0;
    assert_int_equal(tier_open(&o, &c), 0);
    assert_null(tier_cache_detail(c));
    define(c, &words, &sum);
    assert_int_equal(tier_begin(c, NULL, &s), 0);
    tier_query q = {.type = sum};
    assert_int_equal(tier_get(s, &q, &v), 0);
    expect_words(b, s, words, "a.txt");
    expect_words(b, s, words, "b.txt");
    expect_words(b, s, words, "c.txt");
    int ran = builds;
    /* against a cache that remembers nothing */
    tier_cache *none;
    tier_session *fresh;
    const tier_type *words_none, *sum_none;
    o.flags = TIER_NO_MEMORY;
    assert_int_equal(tier_open(&o, &none), 0);
    define(none, &words_none, &sum_none);
    assert_int_equal(tier_begin(none, NULL, &fresh), 0);
    q.type = sum_none;
    assert_int_equal(tier_get(fresh, &q, &w), 0);
    assert_int_equal(v.size, w.size);
    assert_memory_equal(v.data, w.data, v.size);
    tier_end(&fresh);
    tier_close(&none);
    tier_end(&s);
    assert_int_equal(tier_close(&c), 0);
    return ran;
}

tier_admin *bench_admin(struct bench *b)
{
    char why[512];
    tier_admin *a;
    tier_admin_options o = TIER_INIT(tier_admin_options);
    o.dir = b->cache;
    o.root = b->root;
    o.profile = "dev";
    if (tier_admin_open(&o, &a, why, sizeof why))
        fail_msg("%s", why);
    return a;
}

static void found(void *user, const tier_problem *p)
{
    struct bench *b = user;
    char one[128];
    assert_non_null(p->what);
    assert_non_null(p->repair);
    snprintf(one, sizeof one, "%s ", p->code);
    if (p->severity == TIER_DAMAGE && !strstr(b->codes, one))
        strncat(b->codes, one, sizeof b->codes - strlen(b->codes) - 1);
    size_t n = strlen(b->text);
    snprintf(b->text + n, sizeof b->text - n, "%s|%s|%s\n", p->code, p->where, p->detail);
}

int bench_check(struct bench *b, uint32_t flags, bool repair)
{
    tier_check_options o = TIER_INIT(tier_check_options);
    tier_admin *a = bench_admin(b);
    b->codes[0] = b->text[0] = 0;
    b->report = (tier_check_report)TIER_INIT(tier_check_report);
    o.flags = flags;
    o.user = b;
    o.found = found;
    int rc = repair ? tier_repair(a, &o, &b->report) : tier_check(a, &o, &b->report);
    if (rc)
        fprintf(stderr, "%s: %s\n", tier_errname(rc), tier_admin_detail(a));
    tier_admin_close(&a);
    assert_null(a);
    return rc;
}

bool bench_told(const struct bench *b, const char *code)
{
    char one[128];
    snprintf(one, sizeof one, "%s|", code);
    return strstr(b->text, one) != NULL;
}

tier__store *bench_store(struct bench *b)
{
    struct tier__store_options o = {.dir = b->cache, .sync = TIER__SYNC_RELAXED};
    tier__store *st;
    char why[256];
    if (tier__store_open(&b->base, &o, &st, why, sizeof why))
        fail_msg("%s", why);
    return st;
}

void bench_put(struct bench *b, enum tier__table t, const void *key, size_t key_size, const void *data,
               size_t size)
{
    tier__write *w;
    tier__store *st = bench_store(b);
    assert_int_equal(tier__write_begin(st, &w), 0);
    assert_int_equal(tier__write_put(w, t, key, key_size, data, size, 0), 0);
    assert_int_equal(tier__write_commit(&w), 0);
    tier__store_close(&st);
}

void bench_del(struct bench *b, enum tier__table t, const void *key, size_t key_size)
{
    tier__write *w;
    tier__store *st = bench_store(b);
    assert_int_equal(tier__write_begin(st, &w), 0);
    assert_int_equal(tier__write_del(w, t, key, key_size), 0);
    assert_int_equal(tier__write_commit(&w), 0);
    tier__store_close(&st);
}

struct find {
    bool (*match)(const void *key, size_t key_size, const void *data, size_t size);
    struct tier__buf *key, *data;
};

static int find_one(void *user, const void *key, size_t key_size, const void *data, size_t size)
{
    struct find *f = user;
    if (f->match && !f->match(key, key_size, data, size))
        return 0;
    tier__buf_put(f->key, key, key_size);
    tier__buf_put(f->data, data, size);
    return 1;
}

bool bench_find(struct bench *b, enum tier__table t,
                bool (*match)(const void *key, size_t key_size, const void *data, size_t size),
                struct tier__buf *key, struct tier__buf *data)
{
    tier__store *st = bench_store(b);
    struct find f = {match, key, data};
    tier__buf_init(key, &b->base);
    tier__buf_init(data, &b->base);
    int rc = tier__store_each(st, t, find_one, &f);
    tier__store_close(&st);
    return rc == 1;
}
