/* forks.h - the contract: builds and their forks at the same time. */
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
#endif
