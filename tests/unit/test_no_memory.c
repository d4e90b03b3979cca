/* test_no_memory.c - every allocation of a small project's life fails once, and from some one on all do: what
 * is answered is what it was with all the memory there is, the rest is TIER_ENOMEM; nothing is left behind,
 * and the next program finds nothing wrong in the store. */
#include "tests/unit/small_world.h"

enum { ABSENT = 70, STEP = 5 };

struct heap { /* of a host */
    long made, blocks, fails_at;
    bool for_good;
};
static char right[2][512]; /* without and with the overlay */
static size_t right_size[2];
static const tier_type *part, *count, *whole;

static void *host_realloc(void *user, void *old, size_t size)
{
    struct heap *h = user;
    if (!size) {
        h->blocks -= old != NULL;
        free(old);
        return NULL;
    }
    h->made++;
    if (h->made == h->fails_at || (h->for_good && h->made > h->fails_at))
        return NULL;
    void *block = realloc(old, size);
    h->blocks += block && !old;
    return block;
}

/* ---- a project: parts that are live objects, counts of their bytes, a report over all of them */
static int build_part(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    int rc = tier_file(s, q->path, &v);
    (void)user;
    if (rc)
        return rc;
    if (strstr(v.data, "bad"))
        return tier_fail(s, TIER_EBUILD, "it is bad");
    rc = tier_tag(s, "part");
    char *object = rc ? NULL : strdup(v.data);
    return rc ? rc : object ? tier_out_object(out, object, v.size) : TIER_ENOMEM;
}

static int part_save(const void *object, tier_out *out, void *user)
{
    (void)user;
    return tier_out_bytes(out, object, strlen(object));
}

static int part_load(const tier_value *saved, tier_out *out, void *user)
{
    char *object = strdup(saved->data);
    (void)user;
    return object ? tier_out_object(out, object, saved->size) : TIER_ENOMEM;
}

static void part_destroy(void *object, void *user)
{
    (void)user;
    free(object);
}

static int build_count(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    (void)s;
    (void)user;
    return tier_out_bytes(out, &(char){(char)('0' + q->args_size % 10)}, 1);
}

static int report_part(tier_session *s, const char *path, tier_out *out)
{
    tier_query a = {.type = part, .path = path}, b = {.type = count, .path = path};
    tier_value v;
    int rc = tier_get(s, &a, &v);
    if (rc == TIER_EBUILD)
        return tier_out_bytes(out, "bad ", 4);
    if (!rc)
        rc = tier_out_bytes(out, v.object, strlen(v.object));
    if (!rc)
        rc = tier_get(s, &b, &v);
    return rc ? rc : tier_out_bytes(out, v.data, v.size);
}

static int report_rest(tier_session *s, tier_out *out)
{
    tier_value v;
    char name[16], kind;
    int rc;
    for (int i = 0; i < ABSENT; i++) {
        snprintf(name, sizeof name, "none%d", i);
        if ((rc = tier_stat(s, name, &kind)) != TIER_EABSENT)
            return rc ? rc : TIER_EBUILD;
    }
    static const char *const link[] = {"link", "d/../link", "../src/d"};
    for (size_t i = 0; i < sizeof link / sizeof *link; i++) {
        if ((rc = tier_realpath(s, link[i], &v)) || (rc = tier_out_bytes(out, v.data, v.size + 1)))
            return rc;
    }
    if ((rc = tier_input(s, "in", &v)) && rc != TIER_EABSENT)
        return rc;
    tier_session *fork;
    if ((rc = tier_fork(s, &fork)))
        return rc;
    if (!(rc = tier_file(fork, "d/a", &v)))
        rc = tier_out_bytes(out, v.data, v.size);
    int ended = tier_end(&fork);
    return rc ? rc : ended;
}

static int build_whole(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value names;
    const void *path;
    size_t cursor = 0, size;
    int rc = tier_list(s, "d", "*", &names);
    (void)q;
    (void)user;
    while (!rc && !(rc = tier_next(&names, &cursor, &path, &size)))
        rc = report_part(s, path, out);
    return rc == TIER_END ? report_rest(s, out) : rc;
}

static int types_define(tier_cache *c)
{
    tier_type_def d = TIER_INIT(tier_type_def);
    d.name = "part";
    d.tier = TIER_TREE;
    d.build = build_part;
    d.save = part_save;
    d.load = part_load;
    d.destroy = part_destroy;
    int rc = tier_define(c, &d, &part);
    tier_type_def e = TIER_INIT(tier_type_def);
    e.name = "count";
    e.tier = TIER_TREE;
    e.flags = TIER_PATH_FREE;
    e.build = build_count;
    rc = rc ? rc : tier_define(c, &e, &count);
    e.name = "whole";
    e.tier = TIER_DELTA;
    e.flags = 0;
    e.build = build_whole;
    return rc ? rc : tier_define(c, &e, &whole);
}

static void ask(const struct heap *h, tier_cache *c, int which)
{
    tier_session *s = NULL;
    tier_query q = {.type = whole};
    tier_value v;
    int rc = tier_begin(c, NULL, &s);
    if (!rc)
        rc = tier_get(s, &q, &v);
    if (!rc && !right_size[which]) {
        assert_true(!h->fails_at && v.size <= sizeof *right);
        right_size[which] = v.size;
        memcpy(right[which], v.data, v.size);
    }
    if (!rc && (v.size != right_size[which] || memcmp(v.data, right[which], v.size) != 0))
        fail_msg("allocation %ld%s failed, and an answer was \"%s\"", h->fails_at, h->for_good ? "..." : "",
                 (const char *)v.data);
    if (rc && (!h->fails_at || (rc != TIER_ENOMEM && rc != TIER_ETRANSIENT)))
        fail_msg("allocation %ld%s failed, and a get gave %s: %s", h->fails_at, h->for_good ? "..." : "",
                 tier_errname(rc), tier_detail(s));
    rc = tier_end(&s);
    assert_true(rc == 0 && !s);
}

static int open_on(struct heap *h, tier_cache **c)
{
    struct place p;
    tier_options o = options_of(&p, "watch=off");
    o.user = h;
    o.realloc = host_realloc;
    return tier_open(&o, c);
}

/* One program after another on one store; h->made: how many allocations it took. */
static void live(struct heap *h)
{
    tier_cache *c = NULL;
    h->made = 0;
    if (!open_on(h, &c) && !types_define(c)) {
        ask(h, c, 0);
        ask(h, c, 0);
        if (!tier_overlay(c, "d/new", 1, "typed", 5)) {
            ask(h, c, 1);
            while (tier_overlay(c, "d/new", 2, NULL, 0) && !h->for_good)
                ;
        }
        if (!h->for_good) {
            (void)tier_invalidate(c, TIER_BY_TAG, "part");
            ask(h, c, 0);
        }
    }
    assert_int_equal(tier_close(&c), 0);
    if (h->blocks)
        fail_msg("allocation %ld%s failed, and %ld blocks were not given back", h->fails_at,
                 h->for_good ? "..." : "", h->blocks);
}

static void every_allocation_may_fail(void **state)
{
    struct heap whole_heap = {.fails_at = 0};
    (void)state;
    live(&whole_heap);
    long made = whole_heap.made + 50; /* a second program on the store is not quite like the first */
    assert_true(made > 300);
    for (long n = 1; n < made; n++) {
        char command[96];
        snprintf(command, sizeof command, "%s/store/v1/data.mdb", top);
        if (n % STEP == 0)
            assert_int_equal(unlink(command), 0); /* mostly on what is remembered, at times from nothing */
        struct heap once = {.fails_at = n}, good = {.fails_at = n, .for_good = true};
        live(&once);
        if (n % STEP == 0)
            live(&good);
        if (n % STEP == 1)
            live(&whole_heap);
    }
    live(&whole_heap);
}

static int setup(void **state)
{
    char path[96];
    if (world_setup(state))
        return -1;
    snprintf(path, sizeof path, "%s/src/d", top);
    if (mkdir(path, 0700))
        return -1;
    put("d/a", "first");
    put("d/b", "bad");
    put("d/c", "third");
    snprintf(path, sizeof path, "%s/src/link", top);
    return symlink("d/a", path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_allocation_may_fail, setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
