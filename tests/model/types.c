/* types.c - the computations: one set of callbacks, run by either side, each reading through note(). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/model/model.h"

enum { TEXT = 4096, REACH_MAX = 40, BULK_BYTES = 20000 };
typedef struct model_type_of T;

static const char *const names[TYPES] = {
    "outline", "face", "letters", "resolve", "value",  "reach",  "check", "cond",  "ambient", "list",
    "place",   "real", "now",     "over",    "tagged", "fading", "bulk",  "whole", "node",    "live"};

const char *type_name(int kind)
{
    return names[kind];
}

/* The next record of a listing, as a string. */
static bool next_name(T *t, const tier_value *v, size_t *cursor, char name[300])
{
    const void *data;
    size_t size;
    if (t->side->api.next(v, cursor, &data, &size))
        return false;
    snprintf(name, 300, "%.*s", (int)size, (const char *)data);
    return true;
}

/* ---- reading, each time with a note of what was seen ---- */

static uint64_t seen(int rc, const void *data, size_t size)
{
    return rc ? hash_bytes(&rc, sizeof rc, 1) : hash_bytes(data, size, 2);
}

int read_file(T *t, tier_session *s, const char *path, tier_value *v)
{
    int rc = t->side->api.file(s, path, v);
    note(t->side, "content", path, seen(rc, v->data, v->size));
    return rc;
}

int read_kind(T *t, tier_session *s, const char *path, char *kind)
{
    int rc = t->side->api.stat(s, path, kind);
    note(t->side, "kind", path, seen(rc, kind, 1));
    return rc;
}

static int read_fields(T *t, tier_session *s, const char *path, uint32_t fields, tier_stat_info *info)
{
    char kind[16];
    int rc = t->side->api.stat_fields(s, path, fields, info);
    struct {
        uint64_t size, mtime, mode, kind;
    } all = {info->size, info->mtime_ns, info->mode, (uint64_t)info->kind};
    snprintf(kind, sizeof kind, "stat %u", fields);
    note(t->side, kind, path, seen(rc, &all, sizeof all));
    return rc;
}

int read_list(T *t, tier_session *s, const char *dir, const char *glob, tier_value *v)
{
    char name[256];
    int rc = t->side->api.list(s, dir, glob, v);
    snprintf(name, sizeof name, "%s|%s", dir, glob);
    note(t->side, "listing", name, seen(rc, v->data, v->size));
    return rc;
}

int read_named(T *t, tier_session *s, named_read *read, const char *kind, const char *name, tier_value *v)
{
    int rc = read(s, name, v);
    note(t->side, kind, name, seen(rc, v->data, v->size));
    return rc;
}

int ask(T *t, tier_session *s, int kind, const char *path, const char *args, tier_value *v)
{
    const struct model_type_of *of = &t->side->type[kind];
    tier_query q = {of->type, path, args, args ? strlen(args) : 0};
    int rc = t->side->api.get(s, &q, v);
    if (t->side->oracle) {
        const char *detail = t->side->api.detail(s);
        /* What a read failed with and a build handed on: which words go with it is open where the build had
         * other failures before, or asked in a fork. The code counts; runs may be more. */
        bool handed = rc == TIER_EABSENT || rc == TIER_EACCESS || rc == TIER_EKIND;
        if (handed && t->side->m->frame)
            t->side->m->frame->request->loose = true;
        uint64_t value = rc ? hash_bytes(detail, handed ? 0 : strlen(detail), (uint64_t)-rc)
                            : hash_bytes(v->hash.byte, sizeof v->hash.byte, 3);
        note(t->side, "result", request_of(t->side->m, of, &q)->key, value);
        if (rc && rc != TIER_EBUILD && rc != TIER_EABSENT && rc != TIER_EACCESS && rc != TIER_EKIND &&
            t->side->m->frame)
            t->side->m->frame->once = true; /* nobody can say what a build that goes on depends on */
    }
    return rc;
}

static int put(T *t, tier_out *out, const char *text)
{
    return t->side->api.out_bytes(out, text, strlen(text));
}

/* ---- outline: a live object ---- */

int give_object(T *t, tier_out *out, const char *text, size_t size)
{
    struct object *o = malloc(sizeof *o + size + 1);
    if (!o)
        return TIER_ENOMEM;
    o->size = size;
    memcpy(o->text, text, size);
    o->text[size] = 0;
    return t->side->api.out_object(out, o, sizeof *o + size + 1);
}

static int object_save(const void *object, tier_out *out, void *user)
{
    const struct object *o = object;
    return ((T *)user)->side->api.out_bytes(out, o->text, o->size);
}

static int object_load(const tier_value *saved, tier_out *out, void *user)
{
    return give_object(user, out, saved->data, saved->size);
}

static void object_destroy(void *object, void *user)
{
    (void)user;
    free(object);
}

/* Records are encoded as each side likes. */
static char *records_text(T *t, const tier_value *v, size_t *size)
{
    char *text = NULL;
    size_t cursor = 0, n;
    const void *data;
    *size = 0;
    while (t->side->api.next(v, &cursor, &data, &n) == 0) {
        char *grown = realloc(text, *size + n + 2);
        if (!grown)
            abort();
        text = grown;
        memcpy(text + *size, data, n);
        text[*size + n] = '\n';
        *size += n + 1;
        text[*size] = 0;
    }
    return text ? text : calloc(1, 1);
}

char *value_text(struct model_type_of *t, const tier_value *v, size_t *size)
{
    const struct object *o = v->object;
    const void *from = o ? (const void *)o->text : v->data;
    if (t->kind == T_WHOLE)
        return records_text(t, v, size);
    *size = o ? o->size : v->size;
    char *copy = malloc(*size + 1);
    if (!copy)
        abort();
    memcpy(copy, from, *size);
    copy[*size] = 0;
    return copy;
}

static int outline(T *t, tier_session *s, const tier_query *q, tier_out *out)
{
    tier_value v;
    char text[TEXT];
    int rc = read_file(t, s, q->path, &v);
    if (rc)
        return rc;
    int n = snprintf(text, sizeof text, "%d\n", t->config);
    unsigned line = 1, comments = 0;
    for (const char *at = v.data; *at && n < TEXT - 200; line++) {
        int size = (int)strcspn(at, "\n");
        if (*at == '%')
            comments++;
        else
            n += snprintf(text + n, sizeof text - (size_t)n, "%u:%.*s\n", line, size > 100 ? 100 : size, at);
        at += size + (at[size] == '\n');
    }
    n += snprintf(text + n, sizeof text - (size_t)n, "%u:%%\n", comments);
    return give_object(t, out, text, (size_t)n);
}

static int face(T *t, tier_session *s, const tier_query *q, tier_out *out)
{
    tier_value v;
    char text[TEXT] = "", *to = text;
    int rc = ask(t, s, T_OUTLINE, q->path, NULL, &v);
    if (rc)
        return rc;
    const struct object *o = v.object;
    for (const char *at = strchr(o->text, '\n') + 1; *at; at = strchr(at, '\n') + 1) {
        const char *line = strchr(at, ':') + 1;
        if (*line != '%')
            to += snprintf(to, sizeof text - (size_t)(to - text), "%.*s\n", (int)strcspn(line, "\n"), line);
    }
    return put(t, out, text);
}

static int letters(T *t, tier_session *s, const tier_query *q, tier_out *out)
{
    unsigned sum = t->config;
    char text[64];
    tier_value v;
    const unsigned char *at = q->args;
    for (size_t i = 0; i < q->args_size; i++)
        sum = sum * 31 + at[i];
    if (sum % 2 && !read_named(t, s, t->side->api.env, "env", "MODEL_ENV", &v))
        sum += *(const unsigned char *)v.data;
    snprintf(text, sizeof text, "%zu %u", q->args_size, sum);
    return put(t, out, text);
}

/* ---- includes ---- */

static int resolve(T *t, tier_session *s, const tier_query *q, tier_out *out)
{
    const char *slash = strrchr(q->path, '/'), *dirs[] = {NULL, "inc", "lnk", "sys"};
    char path[300], own[200], kind;
    snprintf(own, sizeof own, "%.*s", slash ? (int)(slash - q->path) : 0, q->path);
    dirs[0] = own;
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s%s%.*s", dirs[i], *dirs[i] ? "/" : "", (int)q->args_size,
                 (const char *)q->args);
        int rc = read_kind(t, s, path, &kind);
        if (!rc && kind == 'f')
            return put(t, out, path);
        if (rc && rc != TIER_EABSENT)
            return rc;
    }
    return t->side->api.fail(s, TIER_EABSENT, "nowhere");
}

/* The next "#include name" of a face at *at. */
static bool next_include(const char **at, char name[64])
{
    while (**at) {
        const char *line = *at;
        size_t n = strcspn(line, "\n");
        *at += n + (line[n] == '\n');
        if (sscanf(line, "#include %63s", name) == 1)
            return true;
    }
    return false;
}

static unsigned numbers(const char *face_text)
{
    unsigned sum = 0, n;
    for (const char *at = face_text; *at; at += strcspn(at, "\n"), at += *at == '\n')
        if (sscanf(at, "n %u", &n) == 1)
            sum = sum * 7 + n;
    return sum;
}

static int value(T *t, tier_session *s, const tier_query *q, tier_out *out)
{
    tier_value f, r, v;
    char name[64], path[300], text[64];
    int rc = ask(t, s, T_FACE, q->path, NULL, &f);
    if (rc)
        return rc;
    unsigned sum = numbers(f.data) + t->config;
    for (const char *at = f.data; next_include(&at, name);) {
        rc = ask(t, s, T_RESOLVE, q->path, name, &r);
        if (rc == TIER_EABSENT) {
            sum += 1000;
            continue;
        }
        if (rc)
            return rc;
        snprintf(path, sizeof path, "%s", (const char *)r.data);
        rc = ask(t, s, T_VALUE, path, NULL, &v);
        if (rc)
            return rc;
        sum = sum * 3 + (unsigned)strtoul(v.data, NULL, 10);
    }
    snprintf(text, sizeof text, "%u", sum);
    return put(t, out, text);
}

struct reached {
    char path[REACH_MAX][300];
    size_t count;
};

static void reach_add(struct reached *r, const char *path)
{
    for (size_t i = 0; i < r->count; i++)
        if (strcmp(r->path[i], path) == 0)
            return;
    if (r->count < REACH_MAX)
        snprintf(r->path[r->count++], sizeof r->path[0], "%s", path);
}

static int reach(T *t, tier_session *s, const tier_query *q, tier_out *out)
{
    struct reached r = {.count = 0};
    tier_value f, where;
    char name[64], text[64];
    unsigned sum = t->config;
    reach_add(&r, q->path);
    for (size_t i = 0; i < r.count; i++) {
        int rc = ask(t, s, T_FACE, r.path[i], NULL, &f);
        if (rc)
            return rc;
        sum += numbers(f.data);
        for (const char *at = f.data; next_include(&at, name);)
            if (!ask(t, s, T_RESOLVE, r.path[i], name, &where))
                reach_add(&r, where.data);
    }
    snprintf(text, sizeof text, "%zu %u", r.count, sum);
    return put(t, out, text);
}

/* ---- failures, conditions ---- */

static int check(T *t, tier_session *s, const tier_query *q, tier_out *out)
{
    tier_value f;
    char text[400];
    int rc = ask(t, s, T_FACE, q->path, NULL, &f);
    if (rc)
        return rc;
    const char *bad = strstr(f.data, "!fail");
    if (strstr(f.data, "!transient"))
        return t->side->api.fail(s, TIER_ETRANSIENT, "not now");
    snprintf(text, sizeof text, "%s: %.*s", q->path, bad ? (int)strcspn(bad, "\n") : 0, bad ? bad : "");
    return bad ? t->side->api.fail(s, TIER_EBUILD, text) : put(t, out, "fine");
}

static int cond(T *t, tier_session *s, const tier_query *q, tier_out *out)
{
    tier_value a, b;
    char other[200], text[TEXT];
    unsigned n = 0;
    int rc = read_file(t, s, q->path, &a);
    if (rc)
        return rc;
    const char *at = strstr(a.data, "n ");
    if (at)
        sscanf(at, "n %u", &n);
    snprintf(other, sizeof other, "%.*s", (int)q->args_size, (const char *)q->args);
    if (n % 2)
        rc = read_file(t, s, other, &b);
    else
        rc = read_named(t, s, t->side->api.input, "input", "mode", &b);
    snprintf(text, sizeof text, "%u %d %d %.2000s", n, t->config, rc, rc ? "" : (const char *)b.data);
    return put(t, out, text);
}

static int ambient(T *t, tier_session *s, const tier_query *q, tier_out *out)
{
    static const char *const kind[] = {"env", "input", "config"}, *const name[] = {"MODEL_ENV", "mode",
                                                                                   "mode"};
    named_read *read[] = {t->side->api.env, t->side->api.input, t->side->api.config};
    char text[256];
    int n = snprintf(text, sizeof text, "%d", t->config);
    for (size_t i = 0; i < q->args_size; i++) {
        int k = ((const char *)q->args)[i] - '0';
        tier_value v;
        int rc = read_named(t, s, read[k], kind[k], name[k], &v);
        n += snprintf(text + n, sizeof text - (size_t)n, " %.30s", rc ? "-" : (const char *)v.data);
    }
    return put(t, out, text);
}

/* ---- directories and links ---- */

static int list(T *t, tier_session *s, const tier_query *q, tier_out *out)
{
    tier_value v;
    char glob[64];
    snprintf(glob, sizeof glob, "%.*s", (int)q->args_size, (const char *)q->args);
    int rc = read_list(t, s, q->path, glob, &v);
    if (rc)
        return rc;
    size_t cursor = 0;
    char name[300];
    while (!rc && next_name(t, &v, &cursor, name)) {
        tier_stat_info info;
        char line[64];
        int seen_rc = read_fields(t, s, name, TIER_STAT_SIZE, &info);
        snprintf(line, sizeof line, " %d %c %llu\n", seen_rc, info.kind ? info.kind : '-',
                 info.kind == 'f' ? (unsigned long long)info.size : 0);
        rc = put(t, out, name);
        if (!rc)
            rc = put(t, out, line);
    }
    return rc;
}

static int place(T *t, tier_session *s, const tier_query *q, tier_out *out)
{
    tier_stat_info info;
    char text[128];
    uint32_t fields = q->args_size ? (uint32_t)(*(const char *)q->args - '0') : 0;
    int rc = read_fields(t, s, q->path, fields, &info);
    if (rc)
        return rc;
    snprintf(text, sizeof text, "%c %llu %o %llu", info.kind, (unsigned long long)info.size, info.mode,
             (unsigned long long)info.mtime_ns);
    return put(t, out, text);
}

static int real(T *t, tier_session *s, const tier_query *q, tier_out *out)
{
    tier_value v;
    int rc = t->side->api.realpath(s, q->path, &v);
    note(t->side, "real", q->path, seen(rc, v.data, v.size));
    return rc ? rc : put(t, out, v.data);
}

/* ---- what no read declares ---- */

static int outside(T *t, tier_out *out)
{
    char text[32];
    snprintf(text, sizeof text, "%d %d", t->side->m->outside, t->config);
    return put(t, out, text);
}

static int now(T *t, tier_session *s, const tier_query *q, tier_out *out)
{
    (void)q;
    if (t->side->m->frame && t->side->oracle)
        t->side->m->frame->once = true;
    int rc = t->side->api.once(s, "the test's own state");
    return rc ? rc : outside(t, out);
}

static int over(T *t, tier_session *s, const tier_query *q, tier_out *out)
{
    tier_value v;
    (void)q;
    int rc = ask(t, s, T_NOW, NULL, NULL, &v);
    return rc ? rc : put(t, out, strtol(v.data, NULL, 10) % 2 ? "odd" : "even");
}

static int tagged(T *t, tier_session *s, const tier_query *q, tier_out *out)
{
    tier_value v;
    if (t->side->m->frame && t->side->oracle)
        t->side->m->frame->now.tagged = true;
    int rc = t->side->api.tag(s, "outside");
    if (!rc && q->path)
        rc = ask(t, s, T_FACE, q->path, NULL, &v);
    return rc ? rc : outside(t, out);
}

static int fading(T *t, tier_session *s, const tier_query *q, tier_out *out)
{
    tier_value v;
    if (t->side->m->frame && t->side->oracle)
        t->side->m->frame->now.expires_ms = FADE_MS;
    int rc = t->side->api.expires(s, FADE_MS);
    if (!rc)
        rc = ask(t, s, T_FACE, q->path, NULL, &v);
    return rc ? rc : put(t, out, v.data);
}

/* Reads in a forked session: what that read, this build has read. */
static int bulk(T *t, tier_session *s, const tier_query *q, tier_out *out)
{
    tier_session *child;
    tier_value v = {.size = 0};
    int rc = t->side->api.fork(s, &child);
    if (rc)
        return rc;
    rc = ask(t, child, T_FACE, q->path, NULL, &v);
    for (size_t n = 0; !rc && n < BULK_BYTES; n += v.size + 1) {
        rc = put(t, out, v.data);
        if (!rc)
            rc = put(t, out, "\n");
    }
    int ended = t->side->api.end(&child);
    return rc ? rc : ended;
}

/* What is no file, on top of a result that has a closure. */
static int surroundings(T *t, tier_session *s, tier_out *out)
{
    static const struct {
        int type;
        const char *path, *args;
    } asked[] = {{T_AMBIENT, NULL, "01"}, {T_FADING, "src/a.t", NULL}, {T_REAL, "lnk/x.h", NULL}};
    int rc = 0;
    for (int i = 0; i < 3 && !rc; i++) {
        tier_value v;
        char line[200];
        int seen_rc = ask(t, s, asked[i].type, asked[i].path, asked[i].args, &v);
        int n = snprintf(line, sizeof line, "%d %.100s", seen_rc, seen_rc ? "" : (const char *)v.data);
        rc = t->side->api.out_record(out, line, (size_t)n);
    }
    return rc;
}

static int whole(T *t, tier_session *s, const tier_query *q, tier_out *out)
{
    tier_value v, r;
    int rc = read_list(t, s, q->path ? q->path : ".", "**/*.[th]", &v);
    if (rc)
        return rc;
    size_t cursor = 0;
    char name[300], line[600];
    rc = surroundings(t, s, out);
    while (!rc && next_name(t, &v, &cursor, name)) {
        int a = ask(t, s, T_REACH, name, NULL, &r);
        int n = snprintf(line, sizeof line, "%s %d %.50s", name, a, a ? "" : (const char *)r.data);
        int b = ask(t, s, T_CHECK, name, NULL, &r);
        snprintf(line + n, sizeof line - (size_t)n, " %d %.200s", b, b ? t->side->api.detail(s) : "");
        rc = t->side->api.out_record(out, line, b == TIER_EBUILD ? strlen(line) : (size_t)n);
    }
    return rc;
}

/* ---- one build callback for all ---- */

typedef int compute_fn(T *t, tier_session *s, const tier_query *q, tier_out *out);
static compute_fn *const compute[TYPES] = {outline, face,    letters, resolve, value,      reach,     check,
                                           cond,    ambient, list,    place,   real,       now,       over,
                                           tagged,  fading,  bulk,    whole,   node_build, node_build};

static int build(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    T *t = user;
    struct model *m = t->side->m;
    struct request *r = request_of(m, t, q);
    struct frame f;
    if (!t->side->oracle) {
        pthread_mutex_lock(&m->lock);
        r->runs++;
        pthread_mutex_unlock(&m->lock);
        return compute[t->kind](t, s, q, out);
    }
    frame_begin(m, &f, r);
    int rc = compute[t->kind](t, s, q, out);
    frame_end(m, &f, rc);
    return rc;
}

int types_define(struct side *s, int kind)
{
    struct model_type_of *t = &s->type[kind];
    tier_type_def def = TIER_INIT(tier_type_def);
    t->side = s;
    t->kind = kind;
    def.name = names[kind];
    def.version = t->version + 1;
    def.tier = kind <= T_LETTERS ? TIER_TREE : TIER_DELTA;
    def.flags = kind == T_LETTERS ? TIER_PATH_FREE : 0;
    def.config = &t->config;
    def.config_size = 1;
    def.user = t;
    def.build = build;
    if (kind == T_LIVE)
        def.fingerprint = node_fingerprint;
    if (kind == T_OUTLINE || kind == T_LIVE) {
        def.save = object_save;
        def.load = object_load;
        def.destroy = object_destroy;
    }
    return s->api.define(s->c, &def, &t->type);
}
