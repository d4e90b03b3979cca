/* sources: tests/unit/check_util.c */
/* Every problem that records can have among each other: a sound store, one thing broken, found and nothing
 * else, repaired, not found again, and the answers right as ever. */
#include "tests/unit/check_util.h"
#include "coherence/admin.h"
#include "coherence/closure.h"

/* ---- the ways to break it ---- */
static void u32(unsigned char *at, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char)(v >> 8 * i);
}

static uint32_t next_id(struct bench *b)
{
    tier__store *st = bench_store(b);
    struct tier__buf v;
    tier__buf_init(&v, &b->base);
    assert_int_equal(tier__store_get(st, NULL, TIER__META, "next_id", 7, &v), 0);
    struct tier__reader r = tier__reader_of(v.data, v.size);
    uint32_t id = tier__read_u32(&r);
    tier__buf_fini(&v);
    tier__store_close(&st);
    return id;
}

static void put_next_id(struct bench *b, uint32_t id)
{
    unsigned char le[4];
    u32(le, id);
    bench_put(b, TIER__META, "next_id", 7, le, sizeof le);
}

static void invalidate(struct bench *b, const char *tag)
{
    tier_cache *c;
    tier_options o = TIER_INIT(tier_options);
    o.app = "test";
    o.dir = b->cache;
    o.profile = "dev";
    assert_int_equal(tier_open(&o, &c), 0);
    assert_int_equal(tier_invalidate(c, TIER_BY_TAG, tag), 0);
    assert_int_equal(tier_close(&c), 0);
}

static void break_next_id(struct bench *b)
{
    put_next_id(b, 2);
}
static void lose_next_id(struct bench *b)
{
    bench_del(b, TIER__META, "next_id", 7);
}
static void break_sequence(struct bench *b)
{
    static const unsigned char zero[8];
    invalidate(b, "x");
    bench_put(b, TIER__META, "sequence", 8, zero, sizeof zero);
}
static void break_log(struct bench *b)
{
    static const unsigned char key[8] = {0, 0, 0, 0, 0, 0, 0, 1};
    invalidate(b, "x");
    bench_put(b, TIER__LOG, key, sizeof key, "\x09", 1);
}
static void lose_log(struct bench *b)
{
    static const unsigned char key[8] = {0, 0, 0, 0, 0, 0, 0, 1};
    invalidate(b, "sums");
    invalidate(b, "x");
    bench_del(b, TIER__LOG, key, sizeof key);
}
static void lose_last_log(struct bench *b)
{
    static const unsigned char key[8] = {0, 0, 0, 0, 0, 0, 0, 1};
    invalidate(b, "sums");
    bench_del(b, TIER__LOG, key, sizeof key);
}

/* The first record that matches, changed by how and put back; under key if how changed it. */
static void change(struct bench *b, enum tier__table t,
                   bool (*match)(const void *key, size_t key_size, const void *data, size_t size),
                   void (*how)(struct bench *b, struct tier__buf *key, struct tier__buf *data))
{
    struct tier__buf key, data;
    assert_true(bench_find(b, t, match, &key, &data));
    how(b, &key, &data);
    bench_put(b, t, key.data, key.size, data.data, data.size);
    tier__buf_fini(&key);
    tier__buf_fini(&data);
}

static void shorten(struct bench *b, struct tier__buf *key, struct tier__buf *data)
{
    (void)b;
    (void)key;
    data->size = 5;
}
static void say_relative(struct bench *b, struct tier__buf *key, struct tier__buf *data)
{
    (void)b;
    (void)key;
    tier__buf_clear(data);
    tier__buf_put(data, "nowhere", 7);
}
static void flip_key(struct bench *b, struct tier__buf *key, struct tier__buf *data)
{
    (void)b;
    (void)data;
    key->data[0] ^= 0xff;
}
static void flip_last(struct bench *b, struct tier__buf *key, struct tier__buf *data)
{
    (void)b;
    (void)key;
    data->data[data->size - 1] ^= 1;
}
static void fresh_id(struct bench *b, struct tier__buf *key, struct tier__buf *data)
{
    uint32_t id = next_id(b);
    (void)data;
    put_next_id(b, id + 1);
    tier__id_key(id, key->data);
}
static void fresh_and_short(struct bench *b, struct tier__buf *key, struct tier__buf *data)
{
    fresh_id(b, key, data);
    data->size = 5;
}

static void break_workspace(struct bench *b)
{
    change(b, TIER__WORKSPACE, NULL, say_relative);
}
static void break_stat(struct bench *b)
{
    change(b, TIER__STAT, NULL, shorten);
}
static void lose_stats_workspace(struct bench *b)
{
    change(b, TIER__STAT, NULL, flip_key);
}
static void break_name(struct bench *b)
{
    change(b, TIER__NAME, NULL, fresh_and_short);
}
static void double_name(struct bench *b)
{
    change(b, TIER__NAME, NULL, fresh_id);
}
static void unlist_name(struct bench *b)
{
    struct tier__buf key, data;
    assert_true(bench_find(b, TIER__ID, NULL, &key, &data));
    bench_del(b, TIER__ID, key.data, key.size);
    tier__buf_fini(&key);
    tier__buf_fini(&data);
}
static void dangle_id(struct bench *b)
{
    change(b, TIER__ID, NULL, flip_key);
}

static bool is_file_stat(const void *key, size_t key_size, const void *data, size_t size)
{
    struct tier__stat_record s;
    (void)key;
    return key_size == TIER__WORKSPACE_KEY + 5 && tier__get_stat(data, size, &s) && S_ISREG(s.id.mode);
}
static void other_digest(struct bench *b, struct tier__buf *key, struct tier__buf *data)
{
    struct tier__stat_record s;
    (void)key;
    assert_true(tier__get_stat(data->data, data->size, &s));
    s.digest.byte[7] ^= 1;
    tier__buf_clear(data);
    tier__put_stat(data, &s);
    (void)b;
}
static void stale_stat(struct bench *b)
{
    change(b, TIER__STAT, is_file_stat, other_digest);
}

/* ---- variants ---- */
static bool first_variant(const void *data, size_t size, struct tier__request_record *q,
                          struct tier__variant_record *d)
{
    struct tier__reader r = tier__reader_of(data, size);
    return tier__get_node(&r, q) && tier__read_u8(&r) && tier__get_variant(&r, d);
}
static bool is_sum(const void *key, size_t key_size, const void *data, size_t size)
{
    struct tier__request_record q;
    struct tier__variant_record d;
    (void)key;
    (void)key_size;
    return first_variant(data, size, &q, &d) && strcmp(q.type, "sum") == 0 && d.edge_count > 2;
}
static void far_edge(struct bench *b, struct tier__buf *key, struct tier__buf *data)
{
    struct tier__request_record q;
    struct tier__variant_record d;
    (void)b;
    (void)key;
    assert_true(first_variant(data->data, data->size, &q, &d));
    u32(data->data + (d.edges - data->data), 99999);
}
static void far_version(struct bench *b, struct tier__buf *key, struct tier__buf *data)
{
    struct tier__request_record q;
    struct tier__variant_record d;
    (void)b;
    (void)key;
    assert_true(first_variant(data->data, data->size, &q, &d));
    u32(data->data + (d.edges - data->data) + 4, 7);
}
static void swap_edges(struct bench *b, struct tier__buf *key, struct tier__buf *data)
{
    struct tier__request_record q;
    struct tier__variant_record d;
    unsigned char kept[8];
    (void)b;
    (void)key;
    assert_true(first_variant(data->data, data->size, &q, &d));
    unsigned char *at = data->data + (d.edges - data->data);
    memcpy(kept, at, 8);
    memcpy(at, at + 8, 8);
    memcpy(at + 8, kept, 8);
}
static void break_variants(struct bench *b)
{
    change(b, TIER__VARIANT, is_sum, shorten);
}
static void move_variants(struct bench *b)
{
    change(b, TIER__VARIANT, NULL, flip_key);
}
static void break_edge(struct bench *b)
{
    change(b, TIER__VARIANT, is_sum, far_edge);
}
static void break_version(struct bench *b)
{
    change(b, TIER__VARIANT, is_sum, far_version);
}
static void break_sum(struct bench *b)
{
    change(b, TIER__VARIANT, is_sum, swap_edges);
}
static void break_blob(struct bench *b)
{
    change(b, TIER__BLOB, NULL, shorten);
}
static void change_blob(struct bench *b)
{
    change(b, TIER__BLOB, NULL, flip_last);
}
static void break_closure(struct bench *b)
{
    unsigned char key[64] = {1}, format = TIER__CLOSURE_FORMAT;
    bench_put(b, TIER__CLOSURE, key, TIER__CLOSURE_KEY, &format, 1);
}

/* ---- damage ---- */
struct damage {
    const char *code;
    void (*make)(struct bench *b);
    uint32_t flags;
    bool recomputes; /* something is gone that is computed again */
};
static const struct damage damages[] = {
    {"meta-next-id", break_next_id, 0, false},
    {"meta-next-id", lose_next_id, 0, false},
    {"meta-sequence", break_sequence, 0, false},
    {"log-record", break_log, 0, true},
    {"log-gap", lose_log, 0, true},
    {"log-gap", lose_last_log, 0, true},
    {"workspace-record", break_workspace, 0, false},
    {"stat-record", break_stat, 0, false},
    {"stat-workspace", lose_stats_workspace, 0, false},
    {"stale-stat-identity", stale_stat, TIER_CHECK_SOURCES, false},
    {"name-record", break_name, 0, false},
    {"name-twice", double_name, 0, false},
    {"name-unlisted", unlist_name, 0, false},
    {"id-dangling", dangle_id, 0, false},
    {"variant-record", break_variants, 0, true},
    {"variant-identity", move_variants, 0, false},
    {"variant-edge", break_edge, 0, true},
    {"variant-edge", break_version, 0, true},
    {"variant-sum", break_sum, 0, true},
    {"blob-record", break_blob, TIER_CHECK_DATA, true},
    {"blob-hash", change_blob, TIER_CHECK_DATA, true},
    {"closure-record", break_closure, 0, false},
};

static bool is_result_name(const void *key, size_t key_size, const void *data, size_t size)
{
    struct tier__name_record n;
    (void)key;
    (void)key_size;
    return tier__get_name(data, size, &n) && n.kind == TIER__K_RESULT && n.request.has_path;
}

static void take_where(void *user, const tier_problem *p)
{
    if (strcmp(p->code, "name-unlisted") == 0)
        snprintf(user, 256, "%s", strstr(p->where, ": "));
}

static void where_unlisted(struct bench *b, char where[256])
{
    tier_check_options o = TIER_INIT(tier_check_options);
    tier_check_report r = TIER_INIT(tier_check_report);
    tier_admin *a = bench_admin(b);
    o.user = where;
    o.found = take_where;
    assert_int_equal(tier_check(a, &o, &r), 0);
    tier_admin_close(&a);
}

/* The name of a result is told with its type, while the request's own record is there to say it. */
static void test_where(void **state)
{
    struct bench *b = *state;
    struct tier__buf key, data;
    struct tier__name_record n;
    tier_digest name;
    char where[256] = "", want[256];
    assert_true(bench_find(b, TIER__NAME, is_result_name, &key, &data));
    assert_true(tier__get_name(data.data, data.size, &n));
    tier__name_key(&n, &name);
    bench_del(b, TIER__ID, name.byte, sizeof name.byte);
    where_unlisted(b, where);
    snprintf(want, sizeof want, ": result of words(%s)", n.request.path);
    assert_string_equal(where, want);
    bench_del(b, TIER__VARIANT, n.name, n.name_size);
    where_unlisted(b, where);
    snprintf(want, sizeof want, ": result of a request for %s", n.request.path);
    assert_string_equal(where, want);
    tier__buf_fini(&key);
    tier__buf_fini(&data);
}

static void test_damage(void **state)
{
    struct bench *b = *state;
    char want[64];
    assert_int_equal(bench_run(b), 0); /* a store that serves everything */
    assert_int_equal(bench_check(b, TIER_CHECK_DATA | TIER_CHECK_SOURCES, false), 0);
    assert_string_equal(b->codes, "");
    assert_true(b->report.records > 10 && b->report.files >= 3);
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        const struct damage *d = &damages[i];
        d->make(b);
        assert_int_equal(bench_check(b, d->flags, false), 0);
        snprintf(want, sizeof want, "%s ", d->code);
        assert_string_equal(b->codes, want); /* exactly it */
        assert_int_equal(b->report.left, b->report.damage);
        assert_int_equal(bench_check(b, d->flags, false), 0); /* and a check changed nothing */
        assert_string_equal(b->codes, want);
        assert_int_equal(bench_check(b, d->flags, true), 0);
        assert_true(bench_told(b, d->code));
        assert_true(b->report.repaired > 0);
        assert_int_equal(b->report.left, 0);
        assert_int_equal(bench_check(b, TIER_CHECK_DATA | TIER_CHECK_SOURCES, false), 0);
        assert_string_equal(b->codes, "");
        assert_int_equal(bench_check(b, TIER_CHECK_SOURCES, true), 0);
        assert_int_equal(b->report.damage, 0); /* a second run finds nothing */
        int ran = bench_run(b);                /* right answers, whatever had to be computed again */
        if (d->recomputes)
            assert_true(ran > 0);
        assert_int_equal(bench_run(b), 0);
        usleep(30000); /* what was read just now settles, for the next damage to stat identities */
        bench_run(b);
    }
}

/* Every code of the table is either made here or by the tests of the store. */
static void saw_code(void *user, const tier_problem *p)
{
    unsigned *missing = user;
    static const char *const notices[] = {"variant-aged", "variant-husk", "blob-orphan", "closure-idle"};
    bool here = strncmp(p->code, "store-", 6) == 0;
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++)
        here |= strcmp(damages[i].code, p->code) == 0;
    for (size_t i = 0; i < sizeof notices / sizeof *notices; i++)
        here |= strcmp(notices[i], p->code) == 0;
    if (!here)
        print_error("no fixture for %s\n", p->code);
    *missing += !here;
    assert_true(*p->what && *p->repair);
    assert_null(strchr(p->what, '\n'));
}
static void test_codes(void **state)
{
    unsigned missing = 0;
    (void)state;
    tier_problem_list(saw_code, &missing);
    assert_int_equal(missing, 0);
}

/* ---- notices: told, and a check stays clean ---- */
static void expect_notice(struct bench *b, uint32_t flags, const char *code)
{
    assert_int_equal(bench_check(b, flags, false), 0);
    assert_string_equal(b->codes, "");
    assert_true(bench_told(b, code));
    assert_true(b->report.notices > 0);
    assert_int_equal(bench_check(b, flags, true), 0);
    assert_int_equal(b->report.damage, 0);
}

static void test_husk(void **state)
{
    struct bench *b = *state;
    struct tier__buf key, data;
    assert_true(bench_find(b, TIER__BLOB, NULL, &key, &data));
    bench_del(b, TIER__BLOB, key.data, key.size);
    tier__buf_fini(&key);
    tier__buf_fini(&data);
    expect_notice(b, 0, "variant-husk");
    expect_notice(b, TIER_CHECK_DATA, "variant-husk");
    assert_true(bench_run(b) > 0);
    assert_int_equal(bench_check(b, TIER_CHECK_DATA, false), 0);
    assert_false(bench_told(b, "variant-husk"));
}

static void test_orphan_and_idle(void **state)
{
    struct bench *b = *state;
    unsigned char key[64] = {3}, blob[40] = {1},
                  idle[1 + 32 + 8 + 8 + 8 + 4 + 4 + 4] = {TIER__CLOSURE_FORMAT};
    bench_put(b, TIER__BLOB, key, 32, blob, sizeof blob);
    key[TIER__CLOSURE_KEY - 1] = 'l';
    bench_put(b, TIER__CLOSURE, key, TIER__CLOSURE_KEY, idle, sizeof idle);
    expect_notice(b, TIER_CHECK_DATA, "blob-orphan");
    expect_notice(b, 0, "closure-idle");
    tier_admin *a = bench_admin(b);
    tier_prune_options o = TIER_INIT(tier_prune_options);
    tier_prune_report r = TIER_INIT(tier_prune_report);
    o.dry_run = 1;
    assert_int_equal(tier_prune(a, &o, &r), 0);
    assert_int_equal(r.values, 1);
    assert_int_equal(r.leaf_lists, 1);
    o.dry_run = 0;
    assert_int_equal(tier_prune(a, &o, &r), 0);
    assert_int_equal(r.values, 1);
    assert_int_equal(tier_prune(a, &o, &r), 0);
    assert_int_equal(r.values + r.leaf_lists + r.variants, 0);
    tier_admin_close(&a);
    assert_int_equal(bench_check(b, TIER_CHECK_DATA, false), 0);
    assert_int_equal(b->report.notices, 0);
    assert_int_equal(bench_run(b), 0);
}

/* A name keeps 64 values: a result over an old one becomes a miss, and a notice. */
static void test_aged(void **state)
{
    struct bench *b = *state;
    struct tier__buf key, data;
    assert_true(bench_find(b, TIER__VARIANT, is_sum, &key, &data));
    for (int i = 0; i < 70; i++) {
        char text[32];
        snprintf(text, sizeof text, "alpha %d ", i);
        bench_write(b, "a.txt", text);
        bench_run(b);
    }
    bench_put(b, TIER__VARIANT, key.data, key.size, data.data, data.size); /* as if it had not run since */
    tier__buf_fini(&key);
    tier__buf_fini(&data);
    expect_notice(b, 0, "variant-aged");
    bench_run(b);
}

/* ---- pages and frames: the store's own codes arrive here too ---- */
static void flip_in_file(struct bench *b, const unsigned char *needle, size_t size)
{
    char path[512];
    snprintf(path, sizeof path, "%s/v1/data.mdb", b->cache);
    FILE *f = fopen(path, "r+");
    static unsigned char data[1 << 21];
    size_t n = fread(data, 1, sizeof data, f);
    unsigned hits = 0;
    for (size_t i = 0; i + size <= n; i++)
        if (memcmp(data + i, needle, size) == 0) {
            fseek(f, (long)i, SEEK_SET);
            fputc(data[i] ^ 1, f);
            hits++;
        }
    fclose(f);
    assert_true(hits > 0);
}

static void test_frame_and_gate(void **state)
{
    struct bench *b = *state;
    char path[512];
    flip_in_file(b, (const unsigned char *)b->root, strlen(b->root)); /* in the workspace's record */
    assert_int_equal(bench_check(b, 0, false), 0);
    assert_true(bench_told(b, "store-frame-checksum"));
    assert_true(b->report.left > 0);
    assert_int_equal(bench_check(b, 0, true), 0);
    assert_int_equal(b->report.left, 0);
    assert_int_equal(bench_check(b, TIER_CHECK_DATA | TIER_CHECK_SOURCES, false), 0);
    assert_string_equal(b->codes, "");
    bench_run(b);
    snprintf(path, sizeof path, "%s/v1/data.mdb", b->cache);
    assert_int_equal(truncate(path, 12288), 0);
    assert_int_equal(bench_check(b, 0, false), 0);
    assert_non_null(strstr(b->codes, "store-gate-"));
    assert_int_equal(bench_check(b, 0, true), 0);
    assert_int_equal(b->report.anew, 1);
    assert_int_equal(b->report.left, 0);
    assert_int_equal(bench_check(b, TIER_CHECK_DATA, false), 0);
    assert_string_equal(b->codes, "");
    assert_true(bench_told(b, "store-quarantined"));
    assert_true(bench_run(b) > 0);
    assert_int_equal(bench_run(b), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_where, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_damage, bench_open, bench_close),
        cmocka_unit_test(test_codes),
        cmocka_unit_test_setup_teardown(test_husk, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_orphan_and_idle, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_aged, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_frame_and_gate, bench_open, bench_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
