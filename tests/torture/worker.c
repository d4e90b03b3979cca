/* worker.c - a process that analyzes: it opens a cache, defines types, and has sessions in two threads, until
 * it is told to stop or killed. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include "tests/torture/torture.h"
#include "tiers/base/base.h"

const char *const overlay_paths[OVERLAYS] = {"src/f0.c", "inc1/h0.h", "inc2/h5.h"};

struct thread { /* one of a process's own */
    struct process *p;
    int number;
    unsigned sessions;
    uint64_t random;
    struct follower *follower;
};
struct asking { /* what one thread asks in a session */
    struct process *p;
    tier_session *s;
    uint64_t random;
    unsigned count;
    struct answer answer[GETS_MAX];
};

/* ---- the cache */
static void logged(void *user, int level, const char *line)
{
    struct process *p = user;
    (void)level;
    static const char *const undeclared[] = {"tagged(", "fading(", "relay(", "once("};
    bool expected = false;
    for (size_t i = 0; i < sizeof undeclared / sizeof *undeclared; i++)
        expected |= strstr(line, undeclared[i]) != NULL;
    if (!expected && (strstr(line, "two answers") || strstr(line, "another answer")))
        complain(p, "log: %s", line);
}

static int watch_open(struct process *p)
{
    tier_stream_options o = TIER_INIT(tier_stream_options);
    o.kinds = TIER_CHANGED;
    return tier_stream_open(p->c, &o, &p->stream);
}

static int cache_open(struct process *p)
{
    static const char *const profiles[] = {"ci", "dev", "production"};
    const struct settings *set = &p->w->set;
    char dir[300], root_path[300], sys_path[300], mode[40], lease[40];
    snprintf(dir, sizeof dir, "%s/.cache", set->base);
    snprintf(root_path, sizeof root_path, "%s/root", set->base);
    snprintf(sys_path, sizeof sys_path, "%s/sys", set->base);
    const tier_root roots[] = {{"", root_path}, {"sys", sys_path}};
    p->mode = (uint8_t)random_below(&p->random, MODES);
    snprintf(mode, sizeof mode, "config.mode=%u", p->mode);
    snprintf(lease, sizeof lease, "lease_ms=%d", set->lease_ms);
    const char *settings[] = {mode,
                              lease,
                              set->watch ? "watch=on" : "watch=off",
                              "memory.file=64KiB",
                              "memory.tree=32KiB",
                              "memory.delta=32KiB"};
    bool small = random_below(&p->random, 3) == 0;
    unsigned flag = random_below(&p->random, 16);
    tier_options o = TIER_INIT(tier_options);
    o.app = "torture";
    o.app_version = "1";
    o.dir = set->store ? dir : "";
    o.profile = profiles[p->index % 3];
    o.roots = roots;
    o.root_count = 2;
    o.settings = settings;
    o.setting_count = small ? 6 : 3;
    o.flags = flag == 0 ? TIER_NO_MEMORY : flag == 1 ? TIER_AUDIT : flag == 2 ? TIER_READ_ONLY : 0;
    o.log = logged;
    o.user = p;
    int rc = tier_open(&o, &p->c);
    for (int k = 0; k < TYPES && !rc; k++)
        rc = types_define(p, k);
    if (!rc && set->watch)
        rc = watch_open(p);
    memset(&p->local, 0, sizeof p->local);
    if (rc)
        complain(p, "cannot open: %s", tier_errname(rc));
    return rc;
}

static void cache_close(struct process *p)
{
    int rc = tier_stream_close(&p->stream);
    if (!rc)
        rc = tier_close(&p->c);
    if (rc)
        complain(p, "cannot close: %s", tier_errname(rc));
}

/* Another version or other options: another type, until it is changed back. */
static void redefine(struct process *p)
{
    struct type_of *t = &p->type[random_below(&p->random, TYPES)];
    t->config = (uint8_t)random_below(&p->random, CONFIGS);
    t->version = (uint8_t)(1 + random_below(&p->random, 2));
    int rc = tier_undefine(p->c, t->type);
    if (!rc)
        rc = types_define(p, t->kind);
    if (rc)
        complain(p, "cannot define %s anew: %s", type_names[t->kind], tier_errname(rc));
}

static void change_environment(struct process *p)
{
    p->env = (uint8_t)random_below(&p->random, MODES);
    const char *text = env_text(p->env);
    if (text)
        setenv("TORTURE", text, 1);
    else
        unsetenv("TORTURE");
}

/* ---- what other threads of the process see: lock held */
static void change_local(struct process *p, uint64_t *random)
{
    if (random_below(random, 2)) {
        p->local.input = (uint8_t)random_below(random, INPUTS);
        const char *text = input_text(p->local.input);
        tier_set_input(p->c, "mode", text, text ? strlen(text) : 0);
        return;
    }
    unsigned i = random_below(random, OVERLAYS), family = i == 0 ? 0 : i == 1 ? 6 : 11;
    bool set = random_below(random, 3) == 0; /* seldom: while there is one, there are no closures */
    unsigned content = content_of(family, random_below(random, VARIANTS), random_below(random, 10));
    p->local.overlay[i] = set ? (uint16_t)(content + 1) : 0;
    const struct content *c = &p->w->content[content];
    tier_overlay(p->c, overlay_paths[i], ++p->version, set ? c->text : NULL, set ? c->size : 0);
}

static void drain(struct process *p)
{
    tier_event e = TIER_INIT(tier_event);
    for (int i = 0; i < 64 && tier_stream_next(p->stream, 0, &e) == 0; i++)
        ;
}

/* ---- one session */
static void *ask_all(void *user)
{
    struct asking *k = user;
    bool outside = k->p->w->set.store;
    for (unsigned i = 0; i < k->count; i++) {
        struct answer *a = &k->answer[i];
        tier_value v;
        const char *text;
        question_make(&k->random, &a->q, outside);
        tier_query q = {k->p->type[a->q.type].type, a->q.path, *a->q.args ? a->q.args : NULL,
                        strlen(a->q.args)};
        a->rc = tier_get(k->s, &q, &v);
        a->from = v.from;
        text = a->rc ? tier_detail(k->s) : value_text(a->q.type, &v, &a->size);
        a->size = a->rc ? strlen(text) : a->size;
        if (!(a->text = malloc(a->size + 1)))
            abort();
        memcpy(a->text, text, a->size + 1);
        if (!a->rc && random_below(&k->random, 2))
            tier_release(k->s, &v);
    }
    return NULL;
}

/* Both threads on one view; perhaps canceled from outside. */
static int ask_forked(struct asking *mine, struct asking *its, bool cancel)
{
    pthread_t other;
    int rc = tier_fork(mine->s, &its->s);
    if (rc)
        return rc;
    if (pthread_create(&other, NULL, ask_all, its))
        abort();
    if (cancel)
        tier_cancel(mine->p->c, tier_session_id(mine->s));
    ask_all(mine);
    pthread_join(other, NULL);
    rc = tier_end(&its->s);
    return rc == TIER_ECHANGED ? 0 : rc;
}

static tier_session *begin(struct thread *t, struct check *k, unsigned what)
{
    struct process *p = t->p;
    tier_session *s = NULL;
    tier_session_options o = TIER_INIT(tier_session_options);
    k->may_cancel = what % 8 == 0;
    k->may_time_out = what % 32 == 1;
    o.flags = what % 16 == 0 ? TIER_CANCEL_ON_CHANGE : 0;
    o.deadline_ms = k->may_time_out ? 1 : 0;
    pthread_mutex_lock(&p->lock);
    if (what / 64 % 4 == 0)
        change_local(p, &t->random);
    if (p->stream && what / 256 % 4 == 0)
        drain(p);
    if (p->stream && what / 1024 % 8 == 0 && tier_sync(p->c, 20000))
        complain(p, "tier_sync did not come to its end");
    k->local = p->local;
    k->begin = now_ns();
    k->begin_ms = tier__now_ms();
    k->lost = !follower_advance(t->follower, p->w->sh, k->begin);
    int rc = tier_begin(p->c, &o, &s);
    pthread_mutex_unlock(&p->lock);
    if (rc)
        complain(p, "cannot begin: %s", tier_errname(rc));
    return s;
}

static void session(struct thread *t, bool forked)
{
    struct process *p = t->p;
    struct at_work *work = &p->w->sh->work[p->index][t->number];
    unsigned what = random_below(&t->random, 1 << 20), stops = atomic_load(&work->stops);
    struct asking mine = {.p = p,
                          .random = random_next(&t->random),
                          .count = 1 + random_below(&t->random, 12)},
                  its = {.p = p, .random = random_next(&t->random), .count = forked ? mine.count : 0};
    struct check k = {.p = p, .from = t->follower};
    int64_t since = now_ns();
    atomic_store(&work->since, since);
    if (!(k.s = mine.s = begin(t, &k, what)))
        return;
    if (forked) {
        int rc = ask_forked(&mine, &its, what % 16 == 8);
        if (rc)
            complain(p, "a fork cannot begin or end: %s", tier_errname(rc));
    } else {
        ask_all(&mine);
    }
    k.end = now_ns();
    atomic_store(&work->since, 0);
    atomic_fetch_add(&work->sessions, 1);
    if (stops == atomic_load(&work->stops) && k.end - since > atomic_load(&p->w->sh->longest))
        atomic_store(&p->w->sh->longest, k.end - since);
    struct answer all[2 * GETS_MAX];
    memcpy(all, mine.answer, mine.count * sizeof *all);
    memcpy(all + mine.count, its.answer, its.count * sizeof *all);
    k.answer = all;
    k.count = mine.count + its.count;
    check_session(&k);
    for (size_t i = 0; i < k.count; i++)
        free(all[i].text);
    int rc = tier_end(&k.s);
    if (rc && rc != TIER_ECHANGED)
        complain(p, "cannot end: %s", tier_errname(rc));
}

static void *sessions(void *user)
{
    struct thread *t = user;
    for (unsigned i = 0; i < t->sessions && !atomic_load(&t->p->w->sh->stop); i++)
        session(t, false);
    return NULL;
}

/* ---- the process */
static void round_run(struct thread t[THREADS])
{
    struct process *p = t[0].p;
    pthread_t other;
    t[0].sessions = t[1].sessions = 1 + random_below(&p->random, 20);
    if (random_below(&p->random, 3) == 0) {
        for (unsigned i = 0; i < t[0].sessions / 2 + 1 && !atomic_load(&p->w->sh->stop); i++)
            session(&t[0], true);
        return;
    }
    if (pthread_create(&other, NULL, sessions, &t[1]))
        abort();
    sessions(&t[0]);
    pthread_join(other, NULL);
}

int work(struct world *w, int index, uint64_t seed)
{
    struct process *p = calloc(1, sizeof *p);
    struct thread t[THREADS] = {{.number = 0}, {.number = 1}};
    struct follower *followers = calloc(THREADS, sizeof *followers);
    if (!p || !followers)
        return 1;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    p->w = w;
    p->index = index;
    p->random = seed;
    pthread_mutex_init(&p->lock, NULL);
    for (int i = 0; i < THREADS; i++) {
        t[i].p = p;
        t[i].random = random_next(&p->random);
        t[i].follower = &followers[i];
        if (!follower_reset(&followers[i], w->sh))
            return 1;
        atomic_store(&w->sh->work[index][i].since, 0);
    }
    for (int k = 0; k < TYPES; k++) {
        p->type[k].config = (uint8_t)random_below(&p->random, 2);
        p->type[k].version = 1;
    }
    change_environment(p);
    int rc = cache_open(p);
    while (!rc && !atomic_load(&w->sh->stop)) {
        round_run(t);
        if (random_below(&p->random, 4) == 0)
            redefine(p);
        if (random_below(&p->random, 8) == 0)
            change_environment(p);
        if (random_below(&p->random, 40) == 0) {
            cache_close(p);
            rc = cache_open(p);
        }
    }
    if (!rc)
        cache_close(p);
    pthread_mutex_destroy(&p->lock);
    free(followers);
    free(p);
    return rc ? 1 : 0;
}
