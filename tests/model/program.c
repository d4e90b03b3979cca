/* program.c - random dependency programs: each node is a few random steps, and what it reads or asks for next
 * depends on what it saw so far. The steps come of the world's seed, the node's number and the options of its
 * type; one interpreter runs them for the library and for the oracle.
 *
 *   step: read (file, kind, listing, environment, input, setting) | ask (a node, or one of the other types)
 *         | fail for good or for now | expire | tag | once | skip some steps if the sum so far is such
 *
 * A node asks for nodes of higher levels, and now and then for any: then there may be a cycle. That is handed
 * on always, so that every node which leads into it gives TIER_ECYCLE, whoever asked first. Other failures
 * are handed on or counted, as the step says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/model/model.h"

enum { LEVEL = 6, STEPS_MAX = 6, FADE_LATER_MS = 5 * FADE_MS, FINE = 4 };
typedef struct model_type_of T;

struct run { /* of one node */
    T *t;
    tier_session *s;
    unsigned node;
    uint64_t *dice; /* the steps; drawn alike whatever was seen */
    uint32_t sum;
};

int node_query(unsigned node, const char **path, char args[NODE_ARGS])
{
    node %= NODES;
    snprintf(args, NODE_ARGS, "%u", node);
    *path = node % 3 ? NULL : file_name[node % FILES]; /* with a path it can be banned by that */
    return node % 4 == 3 ? T_LIVE : T_NODE;
}

/* The fingerprint of a live node: its readers see no more of it. */
static uint32_t coarse(const struct object *o)
{
    return (uint32_t)strtoul(o->text, NULL, 10) / FINE;
}

int node_fingerprint(const void *object, tier_out *out, void *user)
{
    uint32_t seen = coarse(object);
    return ((T *)user)->side->api.out_bytes(out, &seen, sizeof seen);
}

static void take(struct run *r, const void *data, size_t size)
{
    r->sum = r->sum * 31 + (uint32_t)(hash_bytes(data, size, 11) % 1009);
}

static void take_value(struct run *r, int rc, const tier_value *v)
{
    if (rc)
        take(r, &rc, sizeof rc);
    else
        take(r, v->data, v->size);
}

/* ---- steps; each returns what the node is to fail with, or 0 ---- */

static int step_read(struct run *r, uint64_t bits)
{
    const struct oracle_side *api = &r->t->side->api;
    const char *file = file_name[bits >> 8 & 1 ? (bits >> 16) % 10 : (bits >> 16) % FILES];
    tier_value v = {.size = 0};
    char kind = 0;
    int rc;
    switch (bits % 8) {
    case 0:
        rc = read_kind(r->t, r->s, file, &kind);
        take(r, &kind, rc ? 0 : 1);
        return 0;
    case 1:
        take_value(r, read_named(r->t, r->s, api->env, "env", "MODEL_ENV", &v), &v);
        return 0;
    case 2:
        take_value(r, read_named(r->t, r->s, api->input, "input", "mode", &v), &v);
        return 0;
    case 3:
        take_value(r, read_named(r->t, r->s, api->config, "config", "mode", &v), &v);
        return 0;
    default:
        rc = read_file(r->t, r->s, file, &v);
        take_value(r, rc, &v);
        return bits >> 24 & 1 ? rc : 0;
    }
}

/* A result: of another node mostly. */
static int step_ask(struct run *r, uint64_t bits)
{
    static const int kinds[] = {T_FACE, T_LETTERS, T_CHECK, T_VALUE, T_TAGGED, T_FADING};
    const char *path = file_name[(bits >> 16) % FILES];
    char args[NODE_ARGS] = "";
    tier_value v;
    int type = kinds[bits % 6];
    unsigned above = (r->node / LEVEL + 1) * LEVEL;
    if (bits >> 32 & 3 && above < NODES)
        type = node_query(above + (unsigned)(bits >> 16) % (NODES - above), &path, args);
    else if ((bits >> 34) % 16 == 0)
        type = node_query((unsigned)(bits >> 16), &path, args);
    else if (bits % 32 == 31)
        type = T_OVER, path = NULL;
    tier_session *child = NULL, *s = r->s;
    bool forks = bits >> 40 & 1 && (bits >> 41) % 8 == 0;
    int rc = forks ? r->t->side->api.fork(s, &child) : 0;
    if (rc)
        return rc;
    rc = ask(r->t, forks ? child : s, type, path, *args ? args : NULL, &v);
    if (!rc && type == T_LIVE) {
        uint32_t seen = coarse(v.object);
        take(r, &seen, sizeof seen);
    } else {
        take_value(r, rc, &v);
    }
    if (forks) {
        int ended = r->t->side->api.end(&child);
        return rc == TIER_ECYCLE ? rc : ended;
    }
    return rc == TIER_ECYCLE || bits >> 25 & 1 ? rc : 0;
}

/* What is said about the result, and failures. */
static int step_say(struct run *r, uint64_t bits)
{
    const struct oracle_side *api = &r->t->side->api;
    struct model *m = r->t->side->m;
    struct frame *f = r->t->side->oracle ? m->frame : NULL;
    int64_t ms = bits >> 16 & 1 ? FADE_MS : FADE_LATER_MS;
    char text[40];
    switch (bits % 6) {
    case 0:
        if (f && (!f->now.expires_ms || f->now.expires_ms > ms))
            f->now.expires_ms = ms;
        return api->expires(r->s, ms);
    case 1:
        if (f)
            f->now.tagged = true;
        take(r, &m->outside, sizeof m->outside);
        return api->tag(r->s, "outside");
    case 2:
        if ((bits >> 20) % 8)
            return 0;
        if (f)
            f->once = true;
        take(r, &m->outside, sizeof m->outside);
        return api->once(r->s, "the test's own state");
    case 3:
        return r->sum % 8 ? 0 : api->fail(r->s, TIER_ETRANSIENT, "not now");
    default:
        if (r->sum % 5)
            return 0;
        snprintf(text, sizeof text, "node %u at %u", r->node, (unsigned)(r->sum % 100));
        return api->fail(r->s, TIER_EBUILD, text);
    }
}

static int run_steps(struct run *r)
{
    int rc = 0;
    unsigned skip = 0;
    for (unsigned left = 1 + (unsigned)(next_random(r->dice) % STEPS_MAX); left && !rc; left--) {
        uint64_t bits = next_random(r->dice), pick = next_random(r->dice) % 16;
        if (skip)
            skip--;
        else if (pick < 4)
            rc = step_read(r, bits);
        else if (pick < 10)
            rc = step_ask(r, bits);
        else if (pick < 12)
            rc = step_say(r, bits);
        else if (r->sum >> 2 & 1)
            skip = 1 + (unsigned)(bits % 3);
    }
    return rc;
}

int node_build(struct model_type_of *t, tier_session *s, const tier_query *q, tier_out *out)
{
    char text[NODE_ARGS];
    snprintf(text, sizeof text, "%.*s", (int)q->args_size, (const char *)q->args);
    unsigned node = (unsigned)strtoul(text, NULL, 10);
    const uint64_t of[] = {t->side->m->program, node, t->config, t->version};
    uint64_t dice = hash_bytes(of, sizeof of, 10);
    struct run r = {t, s, node, &dice, 1};
    int rc = run_steps(&r);
    if (rc)
        return rc;
    char said[24];
    int n = snprintf(said, sizeof said, "%u", (unsigned)r.sum);
    return t->kind == T_LIVE ? give_object(t, out, said, (size_t)n)
                             : t->side->api.out_bytes(out, said, (size_t)n);
}
