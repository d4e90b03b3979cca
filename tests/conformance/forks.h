/* forks.h - the contract: builds and their forks at the same time, and sessions that builds begin. */
#ifndef FORKS_H
#define FORKS_H

static int build_waits(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    nap(60);
    return build_copy(s, q, out, x);
}

static void *ask_late(void *user)
{
    nap(20); /* until the build has asked for the same */
    return ask(user);
}

static int build_asks_twice(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    struct asker own = {.s = s, .x = x->w->x[0], .path = q->path}, forks = own;
    pthread_t thread;

    if (tier_fork(s, &forks.s) || pthread_create(&thread, NULL, ask_late, &forks))
        return tier_fail(s, TIER_ETRANSIENT, "no fork");
    ask(&own);
    pthread_join(thread, NULL);
    EXPECT(x, own.rc == 0 && forks.rc == 0 && same(&own.v.hash, &forks.v.hash));
    tier_end(&forks.s);
    return tier_out_bytes(out, "both", 4);
}

/* What a build asks for does not wait for the build's forks: they may wait for it. */
static void a_build_and_its_forks_ask_for_the_same(void **state)
{
    struct world *w = *state;
    struct context *slow = simple(w, "slow", TIER_TREE, build_waits);
    struct context *x = simple(w, "both", TIER_TREE, build_asks_twice);

    put(w, "a.c", "x");
    get_is(w->s, x, "a.c", "both");
    assert_int_equal(slow->builds, 1);
    assert_int_equal(x->fault, 0);
}

/* a: its own session asks for a; b: it asks for c, whose build begins one and asks for b. */
static int build_hides(tier_session *s, const tier_query *q, tier_out *out, struct context *x)
{
    tier_session *own = NULL;
    tier_query next = {.type = x->type, .path = *q->path == 'b' ? "c" : *q->path == 'c' ? "b" : "a"};
    tier_value v;
    int rc;

    (void)s;
    EXPECT(x, tier_begin(x->w->c, NULL, &own) == 0);
    rc = tier_get(own, &next, &v);
    if (rc == TIER_ECYCLE) {
        char name[16];

        snprintf(name, sizeof name, "hides(%s)", next.path);
        EXPECT(x, strstr(tier_detail(own), name));
        x->arrived++;
    }
    EXPECT(x, tier_end(&own) == 0);
    return tier_out_bytes(out,
                          rc == TIER_ECYCLE ? "cycle"
                          : rc              ? "failed"
                                            : "got",
                          rc == TIER_ECYCLE ? 5
                          : rc              ? 6
                                            : 3);
}

static void own_sessions_do_not_hide_a_cycle(void **state)
{
    struct world *w = *state;
    struct context *x = simple(w, "hides", TIER_TREE, build_hides);

    get_is(w->s, x, "a", "cycle");
    get_is(w->s, x, "b", "got");
    assert_int_equal(x->arrived, 2);
    assert_int_equal(x->builds, 3);
    assert_int_equal(x->fault, 0);
}
#endif
