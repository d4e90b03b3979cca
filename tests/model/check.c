/* check.c - one session on each side, the same questions, the answers compared. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/model/model.h"

enum { GETS = 24, ARGS = 64, WORKERS = 8 };
struct question {
    int type;
    const char *path; /* NULL: none */
    char args[ARGS];  /* "" none */
};
struct answer {
    int rc;
    char *text; /* of the value or, for TIER_EBUILD, the detail; else NULL */
    size_t size;
};
struct asking {
    struct side *side;
    tier_session *s;
    const struct question *q;
    struct answer *a;
    size_t from, step, count; /* asks all, from there on, by that step, around */
};

static void question_make(uint64_t *r, struct question *q)
{
    static const char *const names[] = {"x.h", "y.h", "z.h", "s/q.h"},
                             *const globs[] = {"*", "**/*.h", "*.t"}, *const dirs[] = {".",    "src",
                                                                                       "inc",  "lnk",
                                                                                       "many", "sys/s"},
                             *const places[] = {"lnk",     "lnk/x.h",   "inc/s",
                                                "src/y.h", "many/deep", "none/none"};
    unsigned a = (unsigned)(next_random(r) % FILES), b = (unsigned)(next_random(r) % 60);
    memset(q, 0, sizeof *q);
    q->type = (int)(next_random(r) % TYPES);
    q->path = file_name[a % 3 ? a % 10 : a]; /* some more than others */
    if (q->type >= T_NODE || b % 3 == 0)
        q->type = node_query(a + b, &q->path, q->args);
    else if (q->type == T_RESOLVE)
        strcpy(q->args, names[b % 4]);
    else if (q->type == T_COND)
        strcpy(q->args, file_name[b % FILES]);
    else if (q->type == T_LIST)
        strcpy(q->args, globs[b % 3]);
    else if (q->type == T_PLACE)
        snprintf(q->args, ARGS, "%u", b % 8);
    else if (q->type == T_AMBIENT)
        strcpy(q->args, b % 3 == 0 ? "012" : b % 3 == 1 ? "20" : "1");
    if (q->type >= T_NODE)
        return;
    if (q->type == T_LIST)
        q->path = dirs[b / 3 % 6];
    else if ((q->type == T_PLACE || q->type == T_REAL) && a % 2)
        q->path = places[b / 8 % 6];
    else if (q->type == T_WHOLE)
        q->path = b % 4 ? NULL : "many";
    else if (q->type == T_AMBIENT || q->type == T_NOW || q->type == T_OVER || (q->type == T_TAGGED && b % 2))
        q->path = NULL;
}

static void question_label(const struct question *q, char *buf, size_t size)
{
    snprintf(buf, size, "%s(%s%s%s)", type_name(q->type), q->path ? q->path : "", *q->args ? ", " : "",
             q->args);
}

static void answer_free(struct answer *a)
{
    free(a->text);
    *a = (struct answer){0};
}

static void *ask_all(void *user)
{
    struct asking *k = user;
    for (size_t n = 0, i = k->from % k->count; n < k->count; n++, i = (i + k->step) % k->count) {
        const struct question *q = &k->q[i];
        struct answer *a = &k->a[i];
        tier_value v;
        tier_query query = {k->side->type[q->type].type, q->path, NULL, 0};
        if (*q->args) {
            query.args = q->args;
            query.args_size = strlen(q->args);
        }
        a->rc = k->side->api.get(k->s, &query, &v);
        if (a->rc == 0)
            a->text = value_text(&k->side->type[q->type], &v, &a->size);
        else if (a->rc == TIER_EBUILD)
            a->text = strdup(k->side->api.detail(k->s));
        if (a->rc == TIER_EBUILD && a->text)
            a->size = strlen(a->text);
    }
    return NULL;
}

/* One thread for each of the workers, each of which asks everything in an order of its own: in forks of one
 * session, or in sessions of their own. a: their answers, one after the other's. */
static void side_ask(struct model *m, struct side *s, const struct question *q, struct answer *a, size_t n,
                     unsigned workers, bool apart)
{
    tier_session *session[WORKERS];
    struct asking k[WORKERS];
    pthread_t thread[WORKERS];
    for (unsigned i = 0; i < workers; i++) {
        int rc = i && !apart ? s->api.fork(session[0], &session[i]) : s->api.begin(s->c, NULL, &session[i]);
        if (rc) {
            differ(m, "begin: %s", tier_errname(rc));
            workers = i;
            break;
        }
        k[i] = (struct asking){s, session[i], q, a + i * n, i * n / workers, i % 2 ? n - 1 : 1, n};
    }
    for (unsigned i = 1; i < workers; i++)
        if (pthread_create(&thread[i], NULL, ask_all, &k[i]))
            abort();
    if (workers)
        ask_all(&k[0]);
    for (unsigned i = 1; i < workers; i++)
        pthread_join(thread[i], NULL);
    for (unsigned i = workers; i-- > 0;) {
        int rc = s->api.end(&session[i]);
        if (rc)
            differ(m, "%s: end gives %s, and nothing changed", s->oracle ? "oracle" : "library",
                   tier_errname(rc));
    }
}

/* The first line that differs. */
static const char *line_at(const struct answer *a, size_t at, int *size)
{
    while (at && a->text[at - 1] != '\n')
        at--;
    *size = (int)strcspn(a->text + at, "\n");
    return a->text + at;
}

static void compare_text(struct model *m, const char *label, const struct answer *is, const struct answer *be)
{
    size_t at = 0;
    int a, b;
    while (at < is->size && at < be->size && is->text[at] == be->text[at])
        at++;
    if (at == is->size && at == be->size)
        return;
    const char *one = line_at(is, at, &a), *two = line_at(be, at, &b);
    differ(m, "%s has \"%.*s\", a run from scratch \"%.*s\"", label, a, one, b, two);
}

static void compare(struct model *m, const struct question *q, const struct answer *is,
                    const struct answer *be)
{
    char label[400];
    question_label(q, label, sizeof label);
    if (is->rc != be->rc)
        differ(m, "%s gives %s, a run from scratch %s", label, tier_errname(is->rc), tier_errname(be->rc));
    else if (is->text && be->text)
        compare_text(m, label, is, be);
}

/* A child process asks, and exits with or without closing; 1: another answer. */
static void child_asks(struct model *m, const struct op *o, const struct question *q, const struct answer *be,
                       size_t n)
{
    fflush(stdout);
    fflush(stderr);
    pid_t pid = fork();
    if (pid < 0)
        return;
    if (pid == 0) {
        struct answer is[GETS] = {{0}};
        alarm(60);
        side_ask(m, &m->lib, q, is, n, 1, false);
        for (size_t i = 0; i < n; i++)
            compare(m, &q[i], &is[i], &be[i]);
        if (o->c % 2)
            m->lib.api.close(&m->lib.c);
        if (*m->failure)
            fprintf(stderr, "in a child process: %s\n", m->failure);
        _exit(*m->failure ? 1 : 0);
    }
    int status;
    waitpid(pid, &status, 0);
    if (status)
        differ(m, "a child process: status %d", status);
}

/* Whether a listing names a buffer that is on no disk, and what mode and time such a buffer has, the contract
 * leaves open: the sides differ. */
static bool differs_by_overlay(const struct model *m, const struct question *q)
{
    bool lists = q->type == T_LIST || q->type == T_WHOLE, differs = false;
    for (unsigned i = 0; i < FILES && lists; i++) {
        char path[700], real[PATH_MAX], top[PATH_MAX];
        if (!(m->overlays >> i & 1))
            continue;
        snprintf(path, sizeof path, "%s/%s", m->root, file_name[i]);
        size_t n = realpath(m->root, top) ? strlen(top) : 0;
        differs |=
            !realpath(path, real) || strncmp(real, top, n) != 0 || strcmp(real + n + 1, file_name[i]) != 0;
    }
    return differs || (m->overlays && q->type == T_PLACE && *q->args > '1');
}

void check_run(struct model *m, const struct op *o)
{
    struct question q[GETS];
    struct answer is[GETS * WORKERS] = {{0}}, be[GETS] = {{0}};
    uint64_t r = o->c;
    size_t n = 4 + next_random(&r) % (GETS - 4);
    bool child = o->b == 4, apart = o->b == 5;
    unsigned workers = o->b == 3 || apart ? 2 + o->c % (WORKERS - 1) : 1;
    for (size_t i = 0; i < n; i++)
        do
            question_make(&r, &q[i]);
        while (differs_by_overlay(m, &q[i]));
    struct question first = {.type = T_WHOLE}; /* a closure serves a view that has seen nothing yet */
    if (o->b < 2 && !differs_by_overlay(m, &first))
        q[0] = first;
    memo_view_begin(m);
    side_ask(m, &m->oracle, q, be, n, 1, false);
    if (child)
        child_asks(m, o, q, be, n);
    else
        side_ask(m, &m->lib, q, is, n, workers, apart);
    for (size_t i = 0; i < n * workers; i++) {
        if (!child)
            compare(m, &q[i % n], &is[i], &be[i % n]);
        answer_free(&is[i]);
    }
    for (size_t i = 0; i < n; i++)
        answer_free(&be[i]);
    if (!*m->failure)
        memo_view_end(m, child, apart ? workers : 1);
}
