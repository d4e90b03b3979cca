/* types.c - what analyzers compute: one set of computations for both sides, the session with its caches and
 * the run from scratch on what the session saw. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "coherence/manager.h"
#include "tests/torture/torture.h"

enum { REACH_MAX = 24, BULK_BYTES = 20000 };
const char *const type_names[TYPES] = {
    "outline", "excl", "face",    "letters", "resolve", "check",  "reach",  "sum",   "cond", "list",
    "place",   "real", "ambient", "bulk",    "whole",   "tagged", "fading", "relay", "once"};

const char *input_text(unsigned input)
{
    static const char *const text[INPUTS] = {NULL, "one", "two", "three"};
    return text[input % INPUTS];
}

const char *env_text(unsigned env)
{
    static const char *const text[MODES] = {NULL, "left", "right"};
    return text[env % MODES];
}

/* ---- reading from either side; texts last as long as the computation */
static int seen_text(const struct seen *o, const char **text)
{
    if (!o)
        return TIER_ECHANGED; /* the whole comparison is off */
    *text = o->text;
    return o->rc;
}

static int read_file(struct reader *r, const char *path, const char **text)
{
    tier_value v;
    if (r->naive)
        return seen_text(naive_seen(r->naive, TIER__K_CONTENT, path, 0, ""), text);
    int rc = tier_file(r->s, path, &v);
    *text = v.data;
    return rc;
}

static int read_kind(struct reader *r, const char *path, char *kind)
{
    if (!r->naive)
        return tier_stat(r->s, path, kind);
    const struct seen *o = naive_seen(r->naive, TIER__K_KIND, path, 0, "");
    *kind = o ? o->what : 0;
    return o ? o->rc : TIER_ECHANGED;
}

static int read_fields(struct reader *r, const char *path, uint32_t fields, tier_stat_info *info)
{
    if (!r->naive)
        return tier_stat_fields(r->s, path, fields, info);
    const struct seen *o = naive_seen(r->naive, TIER__K_STAT, path, fields, "");
    if (o)
        *info = (tier_stat_info){o->size, o->mtime, o->mode, o->what};
    return o ? o->rc : TIER_ECHANGED;
}

/* Names, each with a newline. */
static int read_list(struct reader *r, const char *dir, const char *glob, struct text *names)
{
    tier_value v;
    size_t cursor = 0, size;
    const void *data;
    if (r->naive) {
        const char *text = "";
        int rc = seen_text(naive_seen(r->naive, TIER__K_LISTING, dir, 0, glob), &text);
        text_put(names, rc ? "" : text, rc ? 0 : strlen(text));
        return rc;
    }
    int rc = tier_list(r->s, dir, glob, &v);
    while (!rc && tier_next(&v, &cursor, &data, &size) == 0)
        text_add(names, "%.*s\n", (int)size, (const char *)data);
    text_put(names, "", 0);
    return rc;
}

static int read_named(struct reader *r, int kind, const char *name, const char **text)
{
    tier_value v;
    if (r->naive)
        return seen_text(naive_seen(r->naive, kind, NULL, 0, name), text);
    int rc = kind == TIER__K_ENV      ? tier_env(r->s, name, &v)
             : kind == TIER__K_CONFIG ? tier_config(r->s, name, &v)
                                      : tier_input(r->s, name, &v);
    *text = v.data;
    return rc;
}

/* As tier_realpath does: one link after the other, none of them absolute here. */
static int naive_real(struct naive *n, const char *path, char *done, size_t size)
{
    bool sys = strncmp(path, "sys:", 4) == 0;
    char rest[PATH_SIZE * 4], child[PATH_SIZE * 4], joined[PATH_SIZE * 4];
    int links = 0;
    snprintf(done, size, "%s", sys ? "sys:" : "");
    size_t root = strlen(done);
    snprintf(rest, sizeof rest, "%s", sys ? path + 4 : path);
    for (char *next = rest;;) {
        next += strspn(next, "/");
        size_t k = strcspn(next, "/");
        if (k == 0)
            return 0;
        if (k == 2 && strncmp(next, "..", 2) == 0) {
            char *slash = strrchr(done, '/');
            *(slash ? slash : done + root) = 0;
            next += k;
            continue;
        }
        snprintf(child, sizeof child, "%.120s%s%.*s", done, strlen(done) > root ? "/" : "", (int)k, next);
        next += k;
        const struct seen *o = naive_seen(n, TIER__K_LINK, child, 0, "");
        if (!o)
            return TIER_ECHANGED;
        if (o->rc == TIER_EKIND) {
            snprintf(done, size, "%.127s", child);
            continue;
        }
        if (o->rc || ++links > 40)
            return o->rc ? o->rc : TIER_EABSENT;
        snprintf(joined, sizeof joined, "%s/%.127s", o->text, next);
        memcpy(rest, joined, sizeof rest);
        next = rest;
    }
}

static int read_real(struct reader *r, const char *path, char *done, size_t size)
{
    tier_value v;
    if (r->naive)
        return naive_real(r->naive, path, done, size);
    int rc = tier_realpath(r->s, path, &v);
    snprintf(done, size, "%s", rc ? "" : (const char *)v.data);
    return rc;
}

/* A result below: of TIER_EBUILD its message. */
static int ask(struct reader *r, int type, const char *path, const char *args, const char **text)
{
    tier_value v;
    size_t size;
    if (r->naive)
        return naive_get(r->naive, type, path, args, text);
    tier_query q = {r->t->p->type[type].type, path, args, args ? strlen(args) : 0};
    int rc = tier_get(r->s, &q, &v);
    *text = rc == 0 ? value_text(type, &v, &size) : rc == TIER_EBUILD ? tier_detail(r->s) : "";
    return rc;
}

/* ---- live objects */
struct object {
    size_t size;
    char text[];
};

static int give_object(tier_out *out, const char *text, size_t size)
{
    struct object *o = malloc(sizeof *o + size + 1);
    if (!o)
        return TIER_ENOMEM;
    o->size = size;
    memcpy(o->text, text, size);
    o->text[size] = 0;
    return tier_out_object(out, o, sizeof *o + size + 1);
}

static int object_save(const void *object, tier_out *out, void *user)
{
    const struct object *o = object;
    (void)user;
    return tier_out_bytes(out, o->text, o->size);
}

static int object_load(const tier_value *saved, tier_out *out, void *user)
{
    (void)user;
    return give_object(out, saved->data, saved->size);
}

static void object_destroy(void *object, void *user)
{
    (void)user;
    memset(object, 0x5a,
           sizeof(struct object) + ((struct object *)object)->size); /* who still reads it shall notice */
    free(object);
}

const char *value_text(int kind, const tier_value *v, size_t *size)
{
    const struct object *o = v->object;
    bool object = kind == T_OUTLINE || kind == T_EXCL;
    *size = object ? o->size : v->size;
    return object ? o->text : v->data;
}

/* ---- computations; each begins with what type it is, so that a mistaken identity shows */
typedef int compute_fn(struct reader *r, const char *path, const char *args, struct text *out);

static size_t line_size(const char *at)
{
    size_t n = strcspn(at, "\n");
    return n + (at[n] == '\n');
}

static int outline(struct reader *r, const char *path, const char *args, struct text *out)
{
    const char *text;
    (void)args;
    int rc = read_file(r, path, &text), number = 1;
    for (const char *at = text; !rc && *at; at += line_size(at), number++)
        if (*at != '/')
            text_add(out, "%d %.*s", number, (int)line_size(at), at);
    return rc;
}

static int face(struct reader *r, const char *path, const char *args, struct text *out)
{
    const char *text;
    (void)args;
    int rc = ask(r, T_OUTLINE, path, NULL, &text);
    for (const char *at = rc ? "" : text; *at; at += line_size(at)) {
        const char *what = strchr(at, ' ') + 1;
        if (*at >= '0' && *at <= '9')
            text_add(out, "%.*s", (int)line_size(what), what);
    }
    return rc;
}

static int letters_of(struct reader *r, const char *text, struct text *out)
{
    const char *env = NULL, *mode = NULL, *input = NULL;
    unsigned lines = 0, sum = 0;
    for (const char *at = text; *at; at++) {
        lines += *at == '\n';
        sum = sum * 31 + (unsigned char)*at;
    }
    int a = read_named(r, TIER__K_ENV, "TORTURE", &env);
    int b = lines % 2 ? read_named(r, TIER__K_CONFIG, "mode", &mode) : 1;
    int c = read_named(r, TIER__K_INPUT, "mode", &input);
    text_add(out, "%u lines %u %s %s %s", lines, sum, a ? "-" : env, b ? "-" : mode, c ? "-" : input);
    return 0;
}

static int letters(struct reader *r, const char *path, const char *args, struct text *out)
{
    const char *text = args; /* the library hands a path-free type its bytes */
    int rc = r->naive ? read_file(r, path, &text) : 0;
    return rc ? rc : letters_of(r, text, out);
}

static int resolve(struct reader *r, const char *path, const char *args, struct text *out)
{
    static const char *const search[] = {"", "inc1/", "inc2/", "lib/", "sys:"};
    const char *slash = strrchr(path, '/');
    int own = slash ? (int)(slash - path) + 1 : strncmp(path, "sys:", 4) == 0 ? 4 : 0;
    for (size_t i = 0; i < sizeof search / sizeof *search; i++) {
        char at[PATH_SIZE * 2], kind;
        snprintf(at, sizeof at, "%.*s%s%s", i ? 0 : own, path, search[i], args);
        int rc = read_kind(r, at, &kind);
        if (rc && rc != TIER_EABSENT)
            return rc;
        if (!rc && kind == 'f') {
            text_add(out, "%s", at);
            return 0;
        }
    }
    text_add(out, "none");
    return 0;
}

/* The next include of a face, and where it leads: "none", or a path. false: no more, or *rc. */
static bool next_include(struct reader *r, const char *path, const char **at, char to[PATH_SIZE], int *rc)
{
    const char *found, *answer;
    char name[PATH_SIZE];
    *rc = 0;
    if (!(found = strstr(*at, "#include ")))
        return false;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(found + 9, "\n"), found + 9);
    *at = found + 9;
    *rc = ask(r, T_RESOLVE, path, name, &answer);
    if (!*rc)
        snprintf(to, PATH_SIZE, "%s", strchr(answer, '\n') + 1); /* behind its head */
    return *rc == 0;
}

static int check(struct reader *r, const char *path, const char *args, struct text *out)
{
    const char *mine, *text, *at;
    char to[PATH_SIZE];
    (void)args;
    int rc = ask(r, T_FACE, path, NULL, &mine);
    if (rc)
        return rc;
    if (strstr(mine, "bad")) {
        out->size = 0;
        text_add(out, "%s: it is bad, says %.60s", path, mine);
        return TIER_EBUILD;
    }
    for (at = mine; next_include(r, path, &at, to, &rc);) {
        int its = strcmp(to, "none") == 0 ? 1 : ask(r, T_FACE, to, NULL, &text);
        if (its == TIER_ECHANGED)
            return its;
        text_add(out, "%s %d %.20s\n", to, its, its ? "" : strstr(text, "v ") ? strstr(text, "v ") : "?");
    }
    return rc;
}

static int reach(struct reader *r, const char *path, const char *args, struct text *out)
{
    char todo[REACH_MAX][PATH_SIZE];
    int count = 1, rc = 0, sum = 0;
    (void)args;
    snprintf(todo[0], PATH_SIZE, "%s", path);
    for (int i = 0; i < count && !rc; i++) {
        const char *text, *at;
        char to[PATH_SIZE];
        int its = ask(r, T_FACE, todo[i], NULL, &text);
        if (its && (its == TIER_ECHANGED || i == 0))
            return its;
        const char *v = its ? NULL : strstr(text, "v ");
        sum += v ? v[2] - '0' : 1000;
        for (at = its ? "" : text; next_include(r, todo[i], &at, to, &rc);) {
            int known = 0;
            while (known < count && strcmp(todo[known], to) != 0)
                known++;
            if (known == count && count < REACH_MAX && strcmp(to, "none") != 0)
                memcpy(todo[count++], to, PATH_SIZE);
        }
    }
    text_add(out, "%d in %d", sum, count);
    return rc;
}

static int sum(struct reader *r, const char *path, const char *args, struct text *out)
{
    const char *text, *mine, *at;
    char to[PATH_SIZE];
    (void)args;
    int rc = ask(r, T_FACE, path, NULL, &mine);
    if (rc)
        return rc;
    const char *v = strstr(mine, "v ");
    long total = v ? v[2] - '0' : 0;
    for (at = mine; next_include(r, path, &at, to, &rc);) {
        int its = strcmp(to, "none") == 0 ? 1 : ask(r, T_SUM, to, NULL, &text);
        if (its < 0)
            return its;
        total += its ? 100 : strtol(strchr(text, '\n') + 1, NULL, 10);
    }
    text_add(out, "%ld", total % 100000);
    return rc;
}

static int cond(struct reader *r, const char *path, const char *args, struct text *out)
{
    const char *mine, *other = "";
    int rc = read_file(r, path, &mine), its;
    if (rc)
        return rc;
    if (mine[0] && mine[2] % 2)
        its = read_file(r, args, &other);
    else
        its = read_named(r, TIER__K_INPUT, "mode", &other);
    if (its == TIER_ECHANGED)
        return its;
    text_add(out, "%.3s %d %.100s", mine, its, its ? "" : other);
    return 0;
}

static int list(struct reader *r, const char *path, const char *args, struct text *out)
{
    struct text names = {NULL, 0, 0};
    int rc = read_list(r, path, args, &names);
    for (const char *at = rc ? "" : names.data; *at && !rc; at += line_size(at)) {
        char name[PATH_SIZE * 2], kind;
        snprintf(name, sizeof name, "%.*s", (int)strcspn(at, "\n"), at);
        int its = read_kind(r, name, &kind);
        rc = its == TIER_ECHANGED ? its : 0;
        text_add(out, "%s %d %c\n", name, its, its ? '-' : kind);
    }
    free(names.data);
    return rc;
}

static int place(struct reader *r, const char *path, const char *args, struct text *out)
{
    tier_stat_info i = {0, 0, 0, 0};
    int rc = read_fields(r, path, (uint32_t)(*args - '0'), &i);
    text_add(out, "%c %llu %o %llu", i.kind ? i.kind : '-', (unsigned long long)i.size, i.mode,
             (unsigned long long)i.mtime_ns);
    return rc;
}

static int real(struct reader *r, const char *path, const char *args, struct text *out)
{
    char done[PATH_SIZE * 2];
    (void)args;
    int rc = read_real(r, path, done, sizeof done);
    text_add(out, "%s", rc ? "" : done);
    return rc;
}

static int ambient(struct reader *r, const char *path, const char *args, struct text *out)
{
    (void)path;
    (void)args;
    return letters_of(r, "one line\n", out);
}

static int bulk(struct reader *r, const char *path, const char *args, struct text *out)
{
    struct reader child = *r;
    const char *text;
    (void)args;
    int rc = r->naive ? 0 : tier_fork(r->s, &child.s);
    if (rc)
        return rc;
    rc = ask(&child, T_FACE, path, NULL, &text);
    while (!rc && out->size < BULK_BYTES)
        text_add(out, "%s.", text);
    int ended = r->naive ? 0 : tier_end(&child.s);
    return rc ? rc : ended == TIER_ECHANGED ? 0 : ended; /* of the view: it says so again at its own end */
}

static int whole(struct reader *r, const char *path, const char *args, struct text *out)
{
    struct text names = {NULL, 0, 0};
    const char *text;
    (void)args;
    int rc = read_list(r, path, "**/*.[ch]", &names);
    int around = rc ? 0 : ask(r, T_AMBIENT, NULL, NULL, &text);
    text_add(out, "%d %s\n", around, around || rc ? "" : text);
    for (const char *at = rc ? "" : names.data; *at && !rc; at += line_size(at)) {
        char name[PATH_SIZE * 2];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(at, "\n"), at);
        int a = ask(r, T_CHECK, name, NULL, &text);
        text_add(out, "%s %d %s", name, a, a && a != TIER_EBUILD ? "\n" : text);
        int b = ask(r, T_REACH, name, NULL, &text);
        text_add(out, " %d %s\n", b, b ? "" : text);
        rc = a == TIER_ECHANGED || b == TIER_ECHANGED ? TIER_ECHANGED : 0;
    }
    free(names.data);
    return rc;
}

/* ---- what no read declares: check.c has its own rules for these */
static int tagged(struct reader *r, const char *path, const char *args, struct text *out)
{
    (void)path;
    (void)args;
    int rc = tier_tag(r->s, "outside");
    text_add(out, "%llu", (unsigned long long)atomic_load(&r->t->p->w->sh->outside));
    return rc;
}

static int fading(struct reader *r, const char *path, const char *args, struct text *out)
{
    (void)path;
    (void)args;
    text_add(out, "%lld", (long long)tier__now_ms());
    return tier_expires(r->s, FADE_MS);
}

static int relay(struct reader *r, const char *path, const char *args, struct text *out)
{
    const char *text;
    (void)args;
    int rc = ask(r, T_FADING, path, NULL, &text);
    text_add(out, "%s", rc ? "" : strchr(text, '\n') + 1);
    return rc;
}

static int once(struct reader *r, const char *path, const char *args, struct text *out)
{
    (void)path;
    (void)args;
    text_add(out, "%lld", (long long)tier__now_ms());
    return tier_once(r->s, "the clock");
}

static compute_fn *const computes[TYPES] = {outline, outline, face,   letters, resolve, check,   reach,
                                            sum,     cond,    list,   place,   real,    ambient, bulk,
                                            whole,   tagged,  fading, relay,   once};

int compute(struct reader *r, const char *path, const char *args, struct text *out)
{
    text_add(out, "%s %d %d\n", type_names[r->t->kind], r->t->config, r->t->version);
    return computes[r->t->kind](r, path, args, out);
}

static int build(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct reader r = {.t = user, .s = s, .out = out};
    struct text t = {NULL, 0, 0};
    char *args = calloc(q->args_size + 1, 1);
    if (!args)
        return TIER_ENOMEM;
    if (q->args_size)
        memcpy(args, q->args, q->args_size);
    int rc = compute(&r, q->path, args, &t);
    free(args);
    if (rc == TIER_EBUILD)
        rc = tier_fail(s, rc, t.data);
    else if (!rc && (r.t->kind == T_OUTLINE || r.t->kind == T_EXCL))
        rc = give_object(out, t.data, t.size);
    else if (!rc)
        rc = tier_out_bytes(out, t.data, t.size);
    free(t.data);
    return rc;
}

int types_define(struct process *p, int kind)
{
    struct type_of *t = &p->type[kind];
    tier_type_def def = TIER_INIT(tier_type_def);
    t->p = p;
    t->kind = kind;
    def.name = type_names[kind];
    def.version = t->version;
    def.tier = kind <= T_LETTERS ? TIER_TREE : TIER_DELTA;
    def.flags = kind == T_LETTERS ? TIER_PATH_FREE : kind == T_EXCL ? TIER_EXCLUSIVE : 0;
    def.config = &t->config;
    def.config_size = 1;
    def.user = t;
    def.build = build;
    if (kind == T_OUTLINE || kind == T_EXCL) {
        def.destroy = object_destroy;
        def.save = kind == T_OUTLINE ? object_save : NULL;
        def.load = kind == T_OUTLINE ? object_load : NULL;
    }
    return tier_define(p->c, &def, &t->type);
}

/* ---- what is asked */
void question_make(uint64_t *random, struct question *q, bool outside)
{
    static const char *const paths[] = {"src/f0.c", "src/f1.c",  "src/f2.c",  "src/f3.c",  "src/f4.c",
                                        "src/f5.c", "inc1/h0.h", "inc1/h1.h", "inc2/h0.h", "inc2/h3.h",
                                        "lib/h3.h", "lib/h4.h",  "sys:h0.h",  "sys:h5.h",  "src/deep/g0.c",
                                        "src/h0.h", "inc2/h2.h", "none.c"},
                             *const globs[] = {"*", "*.h", "*.c", "**/*.[ch]"},
                             *const dirs[] = {"src",  "inc1",     "inc2",  "lib",
                                              "sys:", "src/deep", "spare", "gone"};
    memset(q, 0, sizeof *q);
    do {
        q->type = (int)random_below(random, TYPES);
    } while (q->type == T_TAGGED && !outside);
    unsigned few = random_below(random, 2) ? 6 : sizeof paths / sizeof *paths;
    q->path = paths[random_below(random, few)];
    if (q->type == T_RESOLVE)
        snprintf(q->args, PATH_SIZE, "h%u.h", random_below(random, 6));
    else if (q->type == T_COND)
        snprintf(q->args, PATH_SIZE, "%s", paths[random_below(random, sizeof paths / sizeof *paths)]);
    else if (q->type == T_LIST)
        snprintf(q->args, PATH_SIZE, "%s", globs[random_below(random, 4)]);
    else if (q->type ==
             T_PLACE) /* of what may be a directory the mode alone: the model has no times of those */
        snprintf(q->args, PATH_SIZE, "%u",
                 strstr(q->path, "/f") ? random_below(random, 8) : random_below(random, 2) * 2);
    if (q->type == T_LIST)
        q->path = dirs[random_below(random, 8)];
    else if (q->type == T_WHOLE)
        q->path = random_below(random, 4) ? "src" : dirs[random_below(random, 8)];
    else if (q->type == T_AMBIENT || q->type == T_ONCE)
        q->path = NULL;
    else if (q->type == T_TAGGED)
        q->path = "src/f0.c"; /* it can be invalidated by path too */
}
