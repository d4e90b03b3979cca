/* naive.c - the run from scratch: no cache, nothing but the computations, and what one session observed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "coherence/observations.h"
#include "tests/torture/torture.h"

enum { MADE_MAX = 2048, VERSIONS_MAX = 4096 };
struct made {
    int type;
    char path[PATH_SIZE], args[PATH_SIZE];
    bool active;
    int rc;
    const char *text;
};

char *naive_keep(struct naive *n, const char *text)
{
    if (n->kept_count == n->kept_room) {
        n->kept_room = n->kept_room * 2 + 64;
        if (!(n->kept = realloc(n->kept, n->kept_room * sizeof *n->kept)))
            abort();
    }
    char *copy = strdup(text);
    if (!copy)
        abort();
    return n->kept[n->kept_count++] = copy;
}

/* ---- versions */
bool naive_extend(struct naive *n, int64_t end)
{
    struct shared *sh = n->k->p->w->sh;
    for (; n->at < atomic_load(&sh->begun); n->at++) {
        if (sh->ring[n->at % RING].start > end)
            return true;
        const struct entry *e = entry_at(sh, n->at);
        if (!e || n->versions == VERSIONS_MAX)
            return false;
        if (e->failed)
            continue;
        struct fs *grown = realloc(n->version, (n->versions + 1) * sizeof *grown);
        if (!grown)
            abort();
        n->version = grown;
        grown[n->versions] = grown[n->versions - 1];
        fs_apply(&grown[n->versions++], e);
        n->changed |= e->op != J_OUTSIDE;
    }
    return true;
}

bool naive_init(struct naive *n, struct check *k)
{
    memset(n, 0, sizeof *n);
    n->k = k;
    n->version = malloc(sizeof *n->version);
    n->made = calloc(MADE_MAX, sizeof *n->made);
    if (!n->version || !n->made)
        abort();
    n->version[0] = k->from->fs;
    n->versions = 1;
    n->at = k->from->at;
    return naive_extend(n, k->end);
}

void naive_fini(struct naive *n)
{
    for (size_t i = 0; i < n->kept_count; i++)
        free(n->kept[i]);
    free(n->kept);
    free(n->version);
    free(n->made);
    free(n->seen);
    free(n->account.data);
}

/* ---- observations */
static struct seen *seen_find(struct naive *n, int kind, const char *path, uint32_t fields, const char *name)
{
    for (size_t i = 0; i < n->count; i++) {
        struct seen *o = &n->seen[i];
        if (o->kind == kind && o->fields == fields && o->has_path == (path != NULL) &&
            strcmp(o->path, path ? path : "") == 0 && strcmp(o->name, name) == 0)
            return o;
    }
    return NULL;
}

static struct seen *seen_add(struct naive *n, const struct tier__observation *from)
{
    if (n->count == n->room) {
        n->room = n->room * 2 + 128;
        if (!(n->seen = realloc(n->seen, n->room * sizeof *n->seen)))
            abort();
    }
    struct seen *o = &n->seen[n->count++];
    memset(o, 0, sizeof *o);
    o->kind = from->kind;
    o->fields = from->fields;
    o->value = from->value;
    o->has_path = from->path != NULL;
    snprintf(o->path, sizeof o->path, "%s", from->path ? from->path : "");
    if (from->kind != TIER__K_RESULT && from->name)
        snprintf(o->name, sizeof o->name, "%.*s", (int)from->name_size, (const char *)from->name);
    return o;
}

static void dumped(void *user, const struct tier__observation *o)
{
    struct naive *n = user;
    if (o->kind != TIER__K_RESULT)
        seen_match(n, seen_add(n, o));
}

int naive_dump(struct naive *n)
{
    return tier__observations(n->k->s, dumped, n);
}

const struct seen *naive_seen(struct naive *n, int kind, const char *path, uint32_t fields, const char *name)
{
    struct tier__observation late = {kind, path, fields, *name ? name : NULL, strlen(name), {{0}}};
    if (n->gave_up)
        return NULL;
    struct seen *o = seen_find(n, kind, path, fields, name);
    if (!o) {
        int rc = tier__observe(n->k->s, &late);
        n->k->end = now_ns();
        if (rc || !naive_extend(n, n->k->end)) {
            n->gave_up = true;
            if (rc != TIER_ECHANGED && rc != TIER_ECANCELED && rc != TIER_ETIMEOUT)
                text_add(&n->account, "a late look at %s gives %s\n", path ? path : name, tier_errname(rc));
            return NULL;
        }
        atomic_fetch_add(&n->k->p->w->sh->sum.late, 1);
        o = seen_add(n, &late);
        seen_match(n, o);
    }
    if (!o->found || o->vague)
        n->gave_up = true; /* whoever dumped it complains about what was not found */
    return n->gave_up ? NULL : o;
}

/* ---- results */
static struct made *made_find(struct naive *n, int type, const char *path, const char *args)
{
    for (size_t i = 0; i < n->made_count; i++) {
        struct made *m = &n->made[i];
        if (m->type == type && strcmp(m->path, path) == 0 && strcmp(m->args, args) == 0)
            return m;
    }
    if (n->made_count == MADE_MAX)
        abort();
    struct made *m = &n->made[n->made_count++];
    m->type = type;
    m->rc = 1;
    snprintf(m->path, sizeof m->path, "%s", path);
    snprintf(m->args, sizeof m->args, "%s", args);
    return m;
}

int naive_get(struct naive *n, int type, const char *path, const char *args, const char **text)
{
    struct made *m = made_find(n, type, path ? path : "", args ? args : "");
    *text = "";
    if (m->active)
        return TIER_ECYCLE;
    if (m->rc == 1) {
        struct reader r = {.t = &n->k->p->type[type], .naive = n};
        struct text out = {NULL, 0, 0};
        m->active = true;
        m->rc = compute(&r, path, args ? args : "", &out);
        m->active = false;
        m->text = naive_keep(n, out.data);
        free(out.data);
    }
    if (m->rc == 0 || m->rc == TIER_EBUILD)
        *text = m->text;
    return m->rc;
}

/* ---- for people */
void naive_account(struct naive *n, struct text *t)
{
    static const char *const op[] = {
#define ENTRY_OP_TEXT(name, help) help,
        ENTRY_OPS(ENTRY_OP_TEXT)
#undef ENTRY_OP_TEXT
    };
    const struct shared *sh = n->k->p->w->sh;
    uint64_t first = n->k->from->at;
    text_add(t, "  the session took %.3f ms; changes before and within it (ms after its begin):\n",
             (double)(n->k->end - n->k->begin) / 1e6);
    for (uint64_t i = first > 12 ? first - 12 : 0; i < n->at; i++) {
        const struct entry *e = &sh->ring[i % RING];
        text_add(t, "    %s%9.3f to %9.3f  %s %s %s%s%s\n", i < first ? " " : "*",
                 (double)(e->start - n->k->begin) / 1e6, (double)(e->end - n->k->begin) / 1e6, op[e->op],
                 e->a, e->b, e->op == J_SYMLINK ? fs_targets[e->target] : "", e->failed ? " (failed)" : "");
        if (e->op == J_WRITE || e->op == J_DIGIT)
            text_add(t, "      %.40s...\n", n->k->p->w->content[e->content].text);
    }
    text_add(t, "  observed:\n");
    for (size_t i = 0; i < n->count; i++) {
        const struct seen *o = &n->seen[i];
        text_add(t, "    %s %s%s%s: %s%s%.60s\n", tier__kind_name(o->kind), o->path, *o->name ? " " : "",
                 o->name, o->found ? "" : "NEVER TRUE ", o->rc ? tier_errname(o->rc) : "",
                 o->found && !o->rc && o->text ? o->text : "");
    }
}
