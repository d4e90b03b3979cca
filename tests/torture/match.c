/* match.c - was that true? Finds the version of the tree, among those that overlapped the session, in which
 * an observation has the value that the session saw, and with it what was seen. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "coherence/manager.h"
#include "tests/torture/torture.h"

static bool is_failure(struct seen *o, int rc)
{
    tier_digest d;
    tier__failure_digest(rc, NULL, &d);
    if (!tier__digest_equal(&d, &o->value))
        return false;
    o->rc = rc;
    return true;
}

static bool is_text(struct seen *o, const char *text)
{
    tier_digest d;
    if (!text)
        return is_failure(o, TIER_EABSENT);
    tier__digest_of(text, strlen(text), &d);
    o->text = text;
    return tier__digest_equal(&d, &o->value);
}

static bool is_kind(struct seen *o, char kind)
{
    tier_digest d;
    memset(&d, 0, sizeof d);
    d.byte[0] = 'k';
    d.byte[1] = (unsigned char)kind;
    o->what = kind;
    return tier__digest_equal(&d, &o->value);
}

static bool is_fields(struct seen *o, char kind, uint64_t size, uint32_t mode, int64_t mtime)
{
    struct tier__hasher h;
    tier_digest d;
    o->what = kind;
    o->size = o->fields & TIER_STAT_SIZE ? size : 0;
    o->mode = o->fields & TIER_STAT_MODE ? mode : 0;
    o->mtime = o->fields & TIER_STAT_MTIME ? (uint64_t)mtime : 0;
    tier__hash_begin(&h, "tierkit stat");
    tier__hash_u64(&h, (uint64_t)kind);
    tier__hash_u64(&h, o->size);
    tier__hash_u64(&h, o->mode);
    tier__hash_u64(&h, o->mtime);
    tier__hash_end(&h, &d);
    return tier__digest_equal(&d, &o->value);
}

/* ---- single paths in one version */
static bool is_of_node(const struct naive *n, struct seen *o, const struct fs_node *f)
{
    const struct content *c = f && f->type == 'f' ? &n->k->p->w->content[f->content] : NULL;
    switch (o->kind) {
    case TIER__K_CONTENT:
    case TIER__K_TOOL:
        if (!c)
            return is_failure(o, f ? TIER_EKIND : TIER_EABSENT);
        o->text = c->text;
        return tier__digest_equal(&c->digest, &o->value);
    case TIER__K_KIND:
        return f ? is_kind(o, f->type) : is_failure(o, TIER_EABSENT);
    case TIER__K_STAT:
        o->vague = f && f->type == 'd' && o->fields & ~(uint32_t)TIER_STAT_MODE;
        return o->vague ||
               (f ? is_fields(o, f->type, c ? c->size : 0, f->mode, f->mtime) : is_failure(o, TIER_EABSENT));
    default:
        if (!f || f->type != 'l')
            return is_failure(o, f ? TIER_EKIND : TIER_EABSENT);
        return is_text(o, fs_targets[f->target]);
    }
}

static bool match_path(const struct naive *n, struct seen *o)
{
    for (size_t i = n->versions; i--;) {
        int node = fs_key(&n->version[i], o->path, o->kind != TIER__K_LINK);
        if (is_of_node(n, o, node < 0 ? NULL : &n->version[i].node[node]))
            return true;
    }
    return false;
}

/* A call that changes a file sets its time more than once, and its size in between: what stat sees half way
 * is in no version. */
static bool match_half_way(const struct naive *n, struct seen *o)
{
    for (size_t i = n->versions - 1; o->kind == TIER__K_STAT && i--;) {
        int node = fs_key(&n->version[i], o->path, true);
        if (node < 0 || node != fs_key(&n->version[i + 1], o->path, true))
            continue;
        const struct fs_node *a = &n->version[i].node[node], *b = &n->version[i + 1].node[node];
        if (a->mtime != b->mtime || a->content != b->content)
            return o->vague = true;
    }
    return false;
}

/* ---- overlays: exactly what the process had set when the session began */
static const struct content *overlay_of(const struct naive *n, const char *path)
{
    for (int i = 0; i < OVERLAYS; i++)
        if (n->k->local.overlay[i] && strcmp(overlay_paths[i], path) == 0)
            return &n->k->p->w->content[n->k->local.overlay[i] - 1];
    return NULL;
}

static bool match_overlay(struct seen *o, const struct content *c)
{
    if (o->kind == TIER__K_KIND)
        return is_kind(o, 'f');
    if (o->kind == TIER__K_STAT)
        return is_fields(o, 'f', c->size, 0, 0);
    o->text = c->text;
    return tier__digest_equal(&c->digest, &o->value);
}

/* ---- listings: each directory in them may have been read in another version */
enum { NAMES_MAX = 96, SUBDIRS_MAX = 6, SETS_MAX = 64 };
struct names {
    int count;
    char at[NAMES_MAX][PATH_SIZE];
};
struct listing {
    const struct naive *n;
    struct seen *o;
    struct names top;
    char sub[SUBDIRS_MAX][PATH_SIZE]; /* directories to enter, below the top */
    int subs;
    struct names *set[SUBDIRS_MAX]; /* what each held in some version, different ones */
    int sets[SUBDIRS_MAX];
};

static bool glob_matches(const char *glob, const char *below)
{
    const char *slash = strrchr(below, '/'), *dot = strrchr(below, '.');
    if (*(slash ? slash + 1 : below) == '.')
        return false;
    bool source = dot && (strcmp(dot, ".c") == 0 || strcmp(dot, ".h") == 0);
    if (strcmp(glob, "**/*.[ch]") == 0)
        return source;
    return !slash && (strcmp(glob, "*") == 0 || (dot && strcmp(glob + 1, dot) == 0));
}

static void join(char *to, const char *dir, const char *name)
{
    size_t n = strlen(dir);
    if (snprintf(to, PATH_SIZE, "%s%s%s", dir, n && dir[n - 1] != ':' ? "/" : "", name) >= PATH_SIZE)
        abort();
}

static void names_add(struct names *s, const char *path)
{
    if (s->count == NAMES_MAX)
        abort();
    snprintf(s->at[s->count++], PATH_SIZE, "%s", path);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool names_match(const struct listing *l, struct names *all)
{
    struct text records = {NULL, 0, 0}, names = {NULL, 0, 0};
    tier_digest d;
    qsort(all->at, (size_t)all->count, sizeof *all->at, by_bytes);
    text_put(&records, "", 0);
    text_put(&names, "", 0);
    for (int i = 0; i < all->count; i++) {
        if (i && strcmp(all->at[i], all->at[i - 1]) == 0)
            continue; /* an overlay of a file that is there */
        size_t n = strlen(all->at[i]);
        const unsigned char head[4] = {(unsigned char)n, 0, 0, 0};
        text_put(&records, head, 4);
        text_put(&records, all->at[i], n + 1);
        text_add(&names, "%s\n", all->at[i]);
    }
    tier__digest_of(records.data, records.size, &d);
    bool same = tier__digest_equal(&d, &l->o->value);
    if (same)
        l->o->text = naive_keep((struct naive *)l->n, names.data);
    free(records.data);
    free(names.data);
    return same;
}

/* What the directory below the top holds in one version, matched. */
static void sub_names(const struct listing *l, const struct fs *fs, const char *sub, struct names *out)
{
    char dir[PATH_SIZE], below[PATH_SIZE], path[PATH_SIZE];
    join(dir, l->o->path, sub);
    int node = fs_key(fs, dir, true);
    out->count = 0;
    for (int i = 0; node >= 0 && fs->node[node].type == 'd' && i < fs->node[node].count; i++) {
        join(below, sub, fs_names[fs->node[node].at[i].name]);
        join(path, l->o->path, below);
        if (glob_matches(l->o->name, below))
            names_add(out, path);
    }
    qsort(out->at, (size_t)out->count, sizeof *out->at, by_bytes);
}

static bool names_equal(const struct names *a, const struct names *b)
{
    bool same = a->count == b->count;
    for (int i = 0; same && i < a->count; i++)
        same = strcmp(a->at[i], b->at[i]) == 0;
    return same;
}

static void sub_sets(struct listing *l, int sub)
{
    struct names now;
    l->sets[sub] = 0;
    for (size_t v = 0; v < l->n->versions && l->sets[sub] < SETS_MAX; v++) {
        int i = 0;
        sub_names(l, &l->n->version[v], l->sub[sub], &now);
        while (i < l->sets[sub] && !names_equal(&now, &l->set[sub][i]))
            i++;
        if (i == l->sets[sub])
            l->set[sub][l->sets[sub]++] = now;
    }
}

/* Every combination of what the directories below held. */
static bool combinations_match(struct listing *l)
{
    int pick[SUBDIRS_MAX] = {0};
    for (;;) {
        struct names all = l->top;
        for (int i = 0; i < l->subs; i++)
            for (int k = 0; k < l->set[i][pick[i]].count; k++)
                names_add(&all, l->set[i][pick[i]].at[k]);
        if (names_match(l, &all))
            return true;
        int i = 0;
        while (i < l->subs && ++pick[i] == l->sets[i])
            pick[i++] = 0;
        if (i == l->subs)
            return false;
    }
}

static bool match_version(struct listing *l, const struct fs *fs)
{
    const struct naive *n = l->n;
    int node = fs_key(fs, l->o->path, true);
    if (node < 0 || fs->node[node].type != 'd')
        return is_failure(l->o, node < 0 ? TIER_EABSENT : TIER_EKIND);
    const struct fs_node *d = &fs->node[node];
    char path[PATH_SIZE];
    size_t size = strlen(l->o->path);
    l->top.count = l->subs = 0;
    for (int i = 0; i < d->count; i++) {
        const char *name = fs_names[d->at[i].name];
        join(path, l->o->path, name);
        if (glob_matches(l->o->name, name))
            names_add(&l->top, path);
        if (fs->node[d->at[i].node].type == 'd' && strncmp(l->o->name, "**", 2) == 0 && l->subs < SUBDIRS_MAX)
            snprintf(l->sub[l->subs++], PATH_SIZE, "%s", name);
    }
    for (int i = 0; i < OVERLAYS; i++) {
        const char *key = overlay_paths[i];
        if (n->k->local.overlay[i] && strncmp(key, l->o->path, size) == 0 && key[size] == '/' &&
            glob_matches(l->o->name, key + size + 1))
            names_add(&l->top, key);
    }
    for (int i = 0; i < l->subs; i++)
        sub_sets(l, i);
    return combinations_match(l);
}

static bool match_listing(const struct naive *n, struct seen *o)
{
    struct listing *l = calloc(1, sizeof *l);
    struct names *sets = malloc(sizeof *sets * SUBDIRS_MAX * SETS_MAX);
    bool found = false;
    if (!l || !sets)
        abort();
    l->n = n;
    l->o = o;
    for (int i = 0; i < SUBDIRS_MAX; i++)
        l->set[i] = sets + i * SETS_MAX;
    for (size_t v = n->versions; v-- && !found;)
        found = match_version(l, &n->version[v]);
    free(sets);
    free(l);
    return found;
}

void seen_match(struct naive *n, struct seen *o)
{
    const struct process *p = n->k->p;
    const struct content *c = o->has_path ? overlay_of(n, o->path) : NULL;
    char mode[8];
    o->rc = 0;
    switch (o->kind) {
    case TIER__K_RESULT:
        o->found = true;
        break;
    case TIER__K_INPUT:
        o->found = is_text(o, input_text(n->k->local.input));
        break;
    case TIER__K_ENV:
        o->found = is_text(o, env_text(p->env));
        break;
    case TIER__K_CONFIG:
        snprintf(mode, sizeof mode, "%u", p->mode);
        o->found = is_text(o, mode);
        o->text = naive_keep(n, mode);
        break;
    case TIER__K_LISTING:
        o->found = match_listing(n, o);
        break;
    default:
        o->found =
            c && o->kind != TIER__K_LINK ? match_overlay(o, c) : match_path(n, o) || match_half_way(n, o);
    }
}
