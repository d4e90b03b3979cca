/* concurrent */
/* The stream tier: queues against a naive model, several subscribers, waiting publishers, threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <cmocka.h>
#include "tiers/base/glob.h"
#include "tiers/stream.h"

static uint64_t seed;
static unsigned pick(unsigned n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 33) % n;
}

static char type_a, type_b; /* types are only compared */
static const tier_type *const types[] = {(const void *)&type_a, (const void *)&type_b};
static const char *const paths[] = {"a.c", "a.h", "d/a.c", "d/b.c", ".x", NULL};
static const char *const globs[] = {NULL, "*.c", "**", "d/*"};

/* ---- the model: a list of events and losses, as plain as can be ---- */
struct item {
    bool loss, unknown;
    uint64_t sequence;
    uint32_t lost, kind;
    const char *path;
    const tier_type *type;
};
struct model {
    struct tier__subscriber_options o;
    struct item item[256];
    int count;
    bool gone; /* its type was dropped */
    tier__subscriber *s;
};

static void model_merge(struct model *m)
{
    for (int i = 0; i + 1 < m->count;) {
        struct item *a = &m->item[i], *b = a + 1;
        if (!a->loss || !b->loss) {
            i++;
            continue;
        }
        b->lost += a->lost;
        b->unknown |= a->unknown;
        memmove(a, b, (size_t)(m->count - i - 1) * sizeof *a);
        m->count--;
    }
}

static void model_add(struct model *m, struct item item)
{
    m->item[m->count++] = item;
    model_merge(m);
}

static void model_lose(struct model *m, int i)
{
    m->item[i] = (struct item){.loss = true, .lost = 1, .sequence = m->item[i].sequence};
    model_merge(m);
}

static bool same_path(const char *a, const char *b)
{
    return a && b && !strcmp(a, b);
}

static void model_put(struct model *m, struct item e)
{
    uint32_t kinds = m->o.kinds ? m->o.kinds : 15;
    if (!(kinds & e.kind))
        return;
    if (e.kind != TIER_CHANGED && (m->gone || (m->o.type && m->o.type != e.type)))
        return;
    if (m->o.glob && (!e.path || !tier__glob_match(m->o.glob, e.path)))
        return;
    if (m->o.policy == TIER_COALESCE) {
        for (int i = 0; i < m->count; i++) {
            struct item *w = &m->item[i];
            if (!w->loss && w->kind == e.kind && w->type == e.type && same_path(w->path, e.path)) {
                memmove(w, w + 1, (size_t)(m->count - i - 1) * sizeof *w);
                m->count--;
                break;
            }
        }
        model_merge(m);
    }
    uint32_t waiting = 0;
    int oldest = -1;
    for (int i = 0; i < m->count; i++) {
        waiting += !m->item[i].loss;
        if (oldest < 0 && !m->item[i].loss)
            oldest = i;
    }
    if (waiting == m->o.capacity && m->o.policy == TIER_BLOCK) {
        model_add(m, (struct item){.loss = true, .lost = 1, .sequence = e.sequence});
        return;
    }
    if (waiting == m->o.capacity)
        model_lose(m, oldest);
    model_add(m, e);
}

static bool readable(const tier__subscriber *s)
{
    struct pollfd p = {tier__subscriber_fd(s), POLLIN, 0};
    return poll(&p, 1, 0) == 1;
}

static void model_next(struct model *m)
{
    tier_event e = TIER_INIT(tier_event);
    assert_int_equal(readable(m->s), m->count > 0);
    if (!m->count) {
        assert_int_equal(tier__subscriber_next(m->s, &e), TIER_END);
        return;
    }
    struct item w = m->item[0];
    memmove(m->item, m->item + 1, (size_t)--m->count * sizeof w);
    assert_int_equal(tier__subscriber_next(m->s, &e), TIER_OK);
    assert_int_equal(e.kind, w.loss ? TIER_GAP : w.kind);
    assert_int_equal(e.sequence, w.sequence);
    assert_int_equal(e.lost, w.unknown ? 0 : w.lost);
    assert_ptr_equal(e.type, w.type);
    assert_int_equal(e.path != NULL, w.path != NULL);
    if (w.path)
        assert_string_equal(e.path, w.path);
}

static void model_drop_type(struct model *m, const tier_type *type)
{
    for (int i = 0; i < m->count; i++) {
        if (!m->item[i].loss && m->item[i].type == type) {
            model_lose(m, i);
            i = -1;
        }
    }
    m->gone |= m->o.type == type;
}

enum { MODELS = 3 };
static void model_step(tier__hub *hub, struct model *m, uint64_t *sequence)
{
    unsigned what = pick(100);
    struct item e = {.kind = 1u << pick(3), .path = paths[pick(6)]};
    e.type = e.kind == TIER_CHANGED ? NULL : types[pick(2)];
    if (what < 60) {
        bool wanted = tier__hub_wants(hub, e.kind);
        tier__hub_publish(hub, e.kind, e.path, e.type, NULL);
        if (wanted)
            e.sequence = ++*sequence;
        for (int i = 0; wanted && i < MODELS; i++)
            model_put(&m[i], e);
    } else if (what < 63) {
        tier__hub_gap(hub);
        ++*sequence;
        for (int i = 0; i < MODELS; i++)
            model_add(&m[i], (struct item){.loss = true, .unknown = true, .sequence = *sequence});
    } else if (what < 65) {
        e.sequence = ++*sequence;
        tier__subscriber_offer(m[0].s, e.kind, e.path, e.type, NULL);
        model_put(&m[0], e);
    } else if (what == 65 && !pick(10)) {
        tier__hub_drop_type(hub, types[1]);
        for (int i = 0; i < MODELS; i++)
            model_drop_type(&m[i], types[1]);
    } else {
        model_next(&m[pick(MODELS)]);
    }
}

static void test_model(void **state)
{
    struct tier__base *base = *state;
    for (unsigned round = 0; round < 400; round++) {
        seed = round * 7919 + 1;
        tier__hub *hub;
        struct model *m = test_calloc(MODELS, sizeof *m);
        uint64_t sequence = 0;
        assert_int_equal(tier__hub_create(base, &hub), 0);
        for (int i = 0; i < MODELS; i++) {
            m[i].o = (struct tier__subscriber_options){.glob = globs[pick(4)],
                                                       .type = pick(2) ? NULL : types[pick(2)],
                                                       .kinds = pick(2) ? 0 : pick(16),
                                                       .capacity = 1 + pick(pick(2) ? 3 : 40),
                                                       .policy = pick(3)};
            assert_int_equal(tier__subscriber_open(hub, &m[i].o, &m[i].s), 0);
        }
        for (int step = 0; step < 500; step++)
            model_step(hub, m, &sequence);
        for (int i = 0; i < MODELS; i++) {
            while (m[i].count && pick(100))
                model_next(&m[i]);
            tier__subscriber_close(&m[i].s);
        }
        assert_int_equal(tier__hub_subscribers(hub), 0);
        tier__hub_destroy(&hub);
        test_free(m);
    }
}

static void test_arguments(void **state)
{
    tier__hub *hub;
    tier__subscriber *s;
    assert_int_equal(tier__hub_create(*state, &hub), 0);
    struct tier__subscriber_options o = {.capacity = 0};
    assert_int_equal(tier__subscriber_open(hub, &o, &s), TIER_EINVAL);
    o.capacity = 1, o.kinds = 16;
    assert_int_equal(tier__subscriber_open(hub, &o, &s), TIER_EINVAL);
    o.kinds = 0, o.policy = 3;
    assert_int_equal(tier__subscriber_open(hub, &o, &s), TIER_EINVAL);
    o.policy = 0;
    assert_int_equal(tier__subscriber_open(hub, &o, &s), 0);
    tier_event e = {0};
    assert_int_equal(tier__subscriber_next(s, &e), TIER_EINVAL);
    tier__hub_publish(hub, TIER_CHANGED, "p", NULL, NULL);
    e.struct_size = offsetof(tier_event, sequence); /* a caller of an older header */
    e.sequence = 77;
    assert_int_equal(tier__subscriber_next(s, &e), 0);
    assert_int_equal(e.kind, TIER_CHANGED);
    assert_int_equal(e.sequence, 77);
    tier__subscriber_close(&s);
    assert_null(s);
    tier__subscriber_close(&s);
    tier__hub_destroy(&hub);
}

static void test_shared_value(void **state)
{
    struct tier__base *base = *state;
    tier__memory *memory;
    tier__hub *hub;
    tier__subscriber *s[2];
    struct tier__memory_options mo = {.budget = {0, 1 << 20, 1 << 20, 1 << 20}};
    struct tier__subscriber_options o = {.capacity = 1};
    assert_int_equal(tier__memory_create(base, &mo, &memory), 0);
    assert_int_equal(tier__hub_create(base, &hub), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(tier__subscriber_open(hub, &o, &s[i]), 0);
    tier__entry *entry = tier__entry_new(memory, TIER_DELTA, 5);
    assert_non_null(entry);
    memcpy(entry->data, "hello", 5);
    tier__hub_publish(hub, TIER_RESULT, "p", types[0], entry);
    tier__entry_unref(entry);
    tier_event e[2] = {TIER_INIT(tier_event), TIER_INIT(tier_event)};
    for (int i = 0; i < 2; i++)
        assert_int_equal(tier__subscriber_next(s[i], &e[i]), 0);
    assert_ptr_equal(e[0].value.data, e[1].value.data);
    assert_memory_equal(e[0].value.data, "hello", 6);
    assert_int_equal(e[0].value.size, 5);
    assert_int_equal(tier__memory_live(memory), 1);
    assert_int_equal(tier__hub_drop_type(hub, types[0]), 2); /* both are lent */
    assert_int_equal(tier__subscriber_next(s[0], &e[0]), TIER_END);
    tier__subscriber_close(&s[0]);
    tier__subscriber_close(&s[1]);
    assert_int_equal(tier__memory_live(memory), 0);
    tier__hub_destroy(&hub);
    tier__memory_destroy(&memory);
}

/* ---- threads ---- */
enum { EACH = 4000 };
struct party {
    tier__hub *hub;
    tier__subscriber *s;
    atomic_uint *publishing;
    uint64_t got, lost;
    bool ordered;
};

static void *publish_many(void *arg)
{
    struct party *p = arg;
    for (int i = 0; i < EACH; i++) {
        char path[32];
        snprintf(path, sizeof path, "f%d", i % 64);
        tier__hub_publish(p->hub, TIER_CHANGED, path, NULL, NULL);
    }
    atomic_fetch_sub(p->publishing, 1);
    return NULL;
}

static void *consume_all(void *arg)
{
    struct party *p = arg;
    uint64_t last = 0;
    tier_event e = TIER_INIT(tier_event);
    p->ordered = true;
    for (;;) {
        bool over = !atomic_load(p->publishing);
        int rc = tier__subscriber_next(p->s, &e);
        if (rc == TIER_END && over)
            return NULL;
        if (rc == TIER_END) {
            tier__subscriber_wait(p->s, 10);
            continue;
        }
        p->ordered &= e.sequence > last;
        last = e.sequence;
        p->got += e.kind != TIER_GAP;
        p->lost += e.lost;
    }
}

static void test_threads(void **state)
{
    static const uint32_t policies[] = {TIER_DROP_OLDEST, TIER_COALESCE, TIER_BLOCK};
    struct tier__base *base = *state;
    tier__hub *hub;
    pthread_t publishers[2], consumers[3], extra;
    struct party c[3] = {{0}};
    atomic_uint publishing = 3;
    assert_int_equal(tier__hub_create(base, &hub), 0);
    for (int i = 0; i < 3; i++) {
        struct tier__subscriber_options o = {.capacity = 16, .policy = policies[i], .block_ms = 60000};
        c[i] = (struct party){.hub = hub, .publishing = &publishing};
        assert_int_equal(tier__subscriber_open(hub, &o, &c[i].s), 0);
        pthread_create(&consumers[i], NULL, consume_all, &c[i]);
    }
    struct party p = {.hub = hub, .publishing = &publishing};
    for (int i = 0; i < 2; i++)
        pthread_create(&publishers[i], NULL, publish_many, &p);
    pthread_create(&extra, NULL, publish_many, &p);
    for (int i = 0; i < 50; i++) { /* subscribers come and go meanwhile */
        tier__subscriber *s;
        struct tier__subscriber_options o = {.capacity = 2, .policy = i % 3, .block_ms = 1};
        assert_int_equal(tier__subscriber_open(hub, &o, &s), 0);
        tier__subscriber_wait(s, 1);
        tier__subscriber_close(&s);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(publishers[i], NULL);
    pthread_join(extra, NULL);
    for (int i = 0; i < 3; i++) {
        pthread_join(consumers[i], NULL);
        assert_true(c[i].ordered);
        tier__subscriber_close(&c[i].s);
    }
    assert_int_equal(c[0].got + c[0].lost, 3 * EACH);
    assert_true(c[1].got + c[1].lost <= 3 * EACH && c[1].got > 0);
    assert_int_equal(c[2].got, 3 * EACH); /* a consumer that goes on loses nothing */
    assert_int_equal(c[2].lost, 0);
    tier__hub_destroy(&hub);
}

static void *publish_two(void *arg)
{
    struct party *p = arg;
    tier__hub_publish(p->hub, TIER_CHANGED, "one", NULL, NULL);
    tier__hub_publish(p->hub, TIER_CHANGED, "two", NULL, NULL); /* waits */
    return NULL;
}

static void test_waiting_publisher(void **state)
{
    for (int close_it = 0; close_it < 2; close_it++) {
        tier__hub *hub;
        pthread_t thread;
        struct tier__subscriber_options o = {.capacity = 1, .policy = TIER_BLOCK, .block_ms = 1000000};
        struct tier__subscriber_options other = {.capacity = 8};
        struct party p = {0};
        tier__subscriber *live;
        tier_event e = TIER_INIT(tier_event);
        assert_int_equal(tier__hub_create(*state, &hub), 0);
        p.hub = hub;
        assert_int_equal(tier__subscriber_open(hub, &o, &p.s), 0);
        assert_int_equal(tier__subscriber_open(hub, &other, &live), 0);
        pthread_create(&thread, NULL, publish_two, &p);
        for (int n = 0; n < 2;) { /* others get the event that the publisher waits with */
            tier__subscriber_wait(live, -1);
            n += tier__subscriber_next(live, &e) == 0;
        }
        tier__subscriber *late; /* opening and closing go on */
        assert_int_equal(tier__subscriber_open(hub, &other, &late), 0);
        tier__subscriber_close(&late);
        if (close_it) {
            tier__subscriber_close(&p.s);
        } else {
            assert_int_equal(tier__subscriber_next(p.s, &e), 0);
            assert_string_equal(e.path, "one");
            tier__subscriber_wait(p.s, -1);
            assert_int_equal(tier__subscriber_next(p.s, &e), 0);
            assert_string_equal(e.path, "two");
        }
        pthread_join(thread, NULL);
        tier__subscriber_close(&p.s);
        tier__subscriber_close(&live);
        tier__hub_destroy(&hub);
    }
}

static void test_no_self_wait(void **state)
{
    tier__hub *hub;
    tier__subscriber *s;
    tier_event e = TIER_INIT(tier_event);
    struct tier__subscriber_options o = {.capacity = 1, .policy = TIER_BLOCK, .block_ms = 1000000};
    assert_int_equal(tier__hub_create(*state, &hub), 0);
    assert_int_equal(tier__subscriber_open(hub, &o, &s), 0);
    tier__subscriber_pumping(s, true);
    for (int i = 0; i < 3; i++) /* would wait for ever for itself */
        tier__hub_publish(hub, TIER_CHANGED, "p", NULL, NULL);
    tier__subscriber_pumping(s, false);
    assert_int_equal(tier__subscriber_next(s, &e), 0);
    assert_int_equal(tier__subscriber_next(s, &e), 0);
    assert_int_equal(e.kind, TIER_GAP);
    assert_int_equal(e.lost, 2);
    tier__subscriber_close(&s);
    o.late = true; /* nor for one that has taken nothing yet */
    assert_int_equal(tier__subscriber_open(hub, &o, &s), 0);
    for (int i = 0; i < 3; i++)
        tier__hub_publish(hub, TIER_CHANGED, "p", NULL, NULL);
    tier__subscriber_close(&s);
    tier__hub_destroy(&hub);
}

static int open_base(void **state)
{
    static struct tier__base base;
    tier__base_init(&base, NULL);
    *state = &base;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_shared_value),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_waiting_publisher),
        cmocka_unit_test(test_no_self_wait),
    };
    return cmocka_run_group_tests(tests, open_base, NULL);
}
