/* Directory tables: see tables.h. */
#include "tools/tierlint/tables.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- lists of names as numbers ---------------------------------------------------------------------------
 */
typedef struct ids {
    uint64_t *at;
    size_t count, capacity;
    bool failed;
} ids;

static void ids_add(ids *l, uint64_t id)
{
    if (l->count == l->capacity && !l->failed) {
        size_t want = l->capacity ? l->capacity * 2 : 64;
        uint64_t *grown = realloc(l->at, want * sizeof *grown);
        l->failed = !grown;
        l->at = grown ? grown : l->at;
        l->capacity = grown ? want : l->capacity;
    }
    if (!l->failed) {
        l->at[l->count++] = id;
    }
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void ids_sort(ids *l)
{
    size_t kept = 0;
    if (l->count > 1) {
        qsort(l->at, l->count, sizeof *l->at, by_value);
    }
    for (size_t i = 0; i < l->count; i++) {
        if (kept == 0 || l->at[kept - 1] != l->at[i]) {
            l->at[kept++] = l->at[i];
        }
    }
    l->count = kept;
}

static void ids_put(const ids *l, lint_buf *b)
{
    for (size_t i = 0; i < l->count; i++) {
        lint_buf_u64(b, l->at[i]);
    }
    b->failed |= l->failed;
}

/* ---- pasting ---------------------------------------------------------------------------------------------
 */
static bool word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Is [at, at + size) one of the macro's parameters? text begins "(a,b,...) ". */
static bool parameter(const char *text, const char *at, size_t size)
{
    const char *p = text, *end = strchr(text, ')');
    if (*p != '(' || !end) {
        return false;
    }
    for (p++; p < end; p++) {
        size_t n = strcspn(p, ",)");
        if ((n == size && memcmp(p, at, size) == 0) || (size == 11 && memcmp(at, "__VA_ARGS__", 11) == 0)) {
            return true;
        }
        p += n;
    }
    return false;
}

void lint_pastes(const char *text, void (*each)(void *user, const char *piece, size_t size, int side),
                 void *user)
{
    for (const char *p = strstr(text, "##"); p; p = strstr(p + 2, "##")) {
        const char *left = p, *right = p + 2;
        while (left > text && left[-1] == ' ') {
            left--;
        }
        const char *left_end = left;
        while (left > text && word(left[-1])) {
            left--;
        }
        right += strspn(right, " ");
        size_t left_size = (size_t)(left_end - left), right_size = 0;
        while (word(right[right_size])) {
            right_size++;
        }
        bool left_open = !left_size || parameter(text, left, left_size);
        bool right_open = !right_size || parameter(text, right, right_size);
        if (!left_open) {
            each(user, left, left_size, 1);
        }
        if (!right_open) {
            each(user, right, right_size, 2);
        }
        if (left_open && right_open && left_size && right_size) {
            each(user, "", 0, 3);
        }
    }
}

/* ---- provides --------------------------------------------------------------------------------------------
 */
static void note_paste(void *user, const char *piece, size_t size, int side)
{
    (void)piece;
    (void)size;
    (void)side;
    *(bool *)user = true;
}

/* Does other code get to see d by including this file? A forward declaration of a type is for the file's own
 * use; a namespace is everyone's. */
static bool provided(const ol_decl *d)
{
    switch (d->kind) {
    case OL_NAMESPACE:
        return false;
    case OL_STRUCT:
    case OL_UNION:
    case OL_CLASS:
        return d->flags & OL_DEFINITION;
    default:
        return d->base != 0;
    }
}

static uint32_t face_names(const ol_outline *face, ids *names)
{
    uint32_t flags = 0, own = 0;
    bool pastes = false;
    for (uint32_t i = 0; i < face->decl_count; i++) {
        const ol_decl *d = &face->decls[i];
        bool macro = d->kind == OL_MACRO || d->kind == OL_UNDEF;
        bool guard = macro && face->guard_name && d->base == face->guard_name;
        if (provided(d) && !guard) {
            ids_add(names, lint_name_id(ol_text(face, d->base)) | (macro ? LINT_NAME_MACRO : 0));
        }
        own += !macro;
        if (macro && (d->flags & OL_FUNCTION_LIKE)) {
            lint_pastes(ol_text(face, d->sig), note_paste, &pastes);
        }
    }
    flags |= face->why & ~(uint32_t)OL_WHY_KNR ? LINT_PROVIDES_UNCERTAIN : 0;
    flags |= own == 0 && face->include_count ? LINT_PROVIDES_UMBRELLA : 0;
    flags |= pastes ? LINT_PROVIDES_PASTES : 0;
    flags |= face->guard == OL_GUARD_MACRO || face->guard == OL_GUARD_ONCE ? 0 : LINT_PROVIDES_UNGUARDED;
    return flags;
}

static int provides_one(tier_session *s, const lint *l, const char *path, tier_out *out)
{
    tier_value face_value, names_value;
    const ol_outline *face, *names;
    int rc = lint_get_outline(s, l, LINT_TYPE_FACE, path, &face_value, &face);
    if (rc) {
        return lint_absent(rc) ? TIER_OK : rc;
    }
    ids given = {0}, used = {0};
    uint32_t flags = face_names(face, &given);
    tier_release(s, &face_value);
    rc = lint_get_outline(s, l, LINT_TYPE_NAMES, path, &names_value, &names);
    if (rc == TIER_OK) {
        for (uint32_t i = 0; i < names->use_count; i++) {
            ids_add(&used, lint_name_id(ol_text(names, names->uses[i].name)));
        }
        tier_release(s, &names_value);
        ids_sort(&given);
        ids_sort(&used);
        lint_buf b = {0};
        lint_buf_str(&b, path);
        lint_buf_u32(&b, flags);
        lint_buf_u32(&b, (uint32_t)given.count);
        lint_buf_u32(&b, (uint32_t)used.count);
        ids_put(&given, &b);
        ids_put(&used, &b);
        rc = lint_give_record(s, out, &b);
    }
    free(given.at);
    free(used.at);
    return rc;
}

int lint_build_provides(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    lint_buf args = {.data = (char *)q->args, .size = q->args_size};
    int rc = lint_get(s, user, LINT_TYPE_MEMBERS, NULL, &args, &v);
    if (rc) {
        return rc;
    }
    lint_reader r = lint_read(v.data, v.size);
    while (rc == TIER_OK && r.at < r.end) {
        rc = provides_one(s, user, lint_read_str(&r), out);
    }
    return rc;
}

bool lint_provides_read(const void *data, size_t size, lint_provides *p)
{
    lint_reader r = lint_read(data, size);
    p->path = lint_read_str(&r);
    p->flags = lint_read_u32(&r);
    p->provided = lint_read_u32(&r);
    p->used = lint_read_u32(&r);
    p->names = r;
    return !r.bad && ((uint64_t)p->provided + p->used) * 8 == (uint64_t)(r.end - r.at);
}

/* ---- symbols ---------------------------------------------------------------------------------------------
 */
void lint_symbol_put(lint_buf *b, const lint_symbol *y)
{
    lint_buf_u32(b, y->tag);
    lint_buf_u32(b, y->kind);
    lint_buf_u32(b, y->flags);
    lint_buf_u32(b, y->ordinal);
    lint_buf_str(b, y->path);
    lint_buf_str(b, y->name);
    lint_buf_str(b, y->sig);
    lint_buf_str(b, y->cond);
}

bool lint_symbol_get(lint_reader *r, lint_symbol *y)
{
    y->kind = lint_read_u32(r);
    y->flags = lint_read_u32(r);
    y->ordinal = lint_read_u32(r);
    y->path = lint_read_str(r);
    y->name = lint_read_str(r);
    y->sig = lint_read_str(r);
    y->cond = lint_read_str(r);
    return !r->bad;
}

typedef struct table {
    tier_session *s;
    tier_out *out;
    int rc;
} table;

static void give_paste(void *user, const char *piece, size_t size, int side)
{
    table *t = user;
    lint_buf b = {0};
    lint_buf_u32(&b, LINT_SYMBOL_PASTE);
    lint_buf_u32(&b, (uint32_t)side);
    lint_buf_add(&b, piece, size);
    lint_buf_add(&b, "", 1);
    t->rc = t->rc ? t->rc : lint_give_record(t->s, t->out, &b);
}

/* Names that the linker sees. What may be of another linkage than it seems is marked, not left out: it still
 * counts as a declaration of its name. */
static bool external(const ol_decl *d)
{
    const uint32_t never =
        OL_STATIC | OL_ANONYMOUS | OL_MEMBER | OL_TEMPLATE | OL_SPECIAL | OL_FRIEND | OL_DELETED;
    if ((d->flags & never) || (d->kind != OL_FUNCTION && d->kind != OL_VARIABLE)) {
        return false;
    }
    return d->kind == OL_FUNCTION || (d->flags & OL_EXTERN) || (d->flags & OL_DEFINITION);
}

static void give_symbols(table *t, const char *path, const ol_outline *face)
{
    bool cxx = lint_is_cxx(path) || (face->flags & OL_FILE_CXX);
    for (uint32_t i = 0; i < face->decl_count && t->rc == TIER_OK; i++) {
        const ol_decl *d = &face->decls[i];
        if (d->kind == OL_MACRO && (d->flags & OL_FUNCTION_LIKE)) {
            lint_pastes(ol_text(face, d->sig), give_paste, t);
        }
        bool type = d->kind == OL_TYPEDEF && !cxx;
        if (!type && !external(d)) {
            continue;
        }
        char cond[1024];
        size_t size = ol_cond_text(face, d->cond, cond, sizeof cond);
        uint32_t opaque = OL_UNCERTAIN | OL_UNKNOWN_WORDS | OL_KNR | OL_LIVE | OL_INLINE;
        lint_symbol y = {.tag = type ? LINT_SYMBOL_TYPEDEF : LINT_SYMBOL_NAME,
                         .kind = d->kind,
                         .flags = d->flags,
                         .ordinal = d->ordinal,
                         .path = path,
                         .name = ol_text(face, d->name),
                         .sig = ol_text(face, d->sig),
                         .cond = cond};
        y.flags |= (cxx ? LINT_SYMBOL_CXX : 0) |
                   ((d->flags & opaque) || size >= sizeof cond ? LINT_SYMBOL_OPAQUE : 0);
        lint_buf b = {0};
        lint_symbol_put(&b, &y);
        t->rc = lint_give_record(t->s, t->out, &b);
    }
}

/* args: files, each with its 0. */
int lint_build_symbols(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    table t = {.s = s, .out = out};
    ids used = {0};
    lint_reader r = lint_read(q->args, q->args_size);
    while (t.rc == TIER_OK && r.at < r.end) {
        const char *path = lint_read_str(&r);
        tier_value v;
        const ol_outline *o;
        int rc = lint_get_outline(s, user, LINT_TYPE_FACE, path, &v, &o);
        if (rc == TIER_OK) {
            give_symbols(&t, path, o);
            tier_release(s, &v);
            rc = lint_get_outline(s, user, LINT_TYPE_NAMES, path, &v, &o);
        }
        if (rc == TIER_OK) {
            for (uint32_t i = 0; i < o->use_count; i++) {
                if (o->uses[i].kinds != OL_USE_MEMBER) {
                    ids_add(&used, lint_name_id(ol_text(o, o->uses[i].name)));
                }
            }
            tier_release(s, &v);
        }
        t.rc = t.rc ? t.rc : lint_absent(rc) ? TIER_OK : rc;
    }
    if (t.rc == TIER_OK) {
        lint_buf b = {0};
        ids_sort(&used);
        lint_buf_u32(&b, LINT_SYMBOL_USES);
        ids_put(&used, &b);
        t.rc = lint_give_record(s, out, &b);
    }
    free(used.at);
    return t.rc;
}
