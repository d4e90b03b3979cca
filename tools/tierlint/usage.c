/* Findings about the includes of one directory's files, and what their includes say about static functions.
 *
 * Each header's names come from its directory's table; the include graph below the directory comes as one
 * value. So a pass over N files with C headers below them asks for about N + directories things, not N x C.
 */
#include "tools/tierlint/tables.h"
#include "tools/tierlint/graph.h"
#include "tools/tierlint/links.h"

#include <stdlib.h>
#include <string.h>

#define INCLUDES_MAX                                                                      \
    64 /* distinct includes of a file that are judged, one bit each; further ones are not \
        */

typedef struct pair {
    uint64_t id;
    uint32_t node;
} pair;

typedef struct known { /* of a node: its table, once read */
    uint32_t flags, read, provided;
    lint_reader used; /* leads into the table's value, which is lent until the build ends */
} known;

typedef struct usage {
    tier_session *s;
    const lint *l;
    tier_out *out;
    const tier_query *q;
    lint_graph g;
    known *known;
    pair *pairs; /* who provides what, by name's number */
    size_t pair_count, pair_room;
    uint64_t *mask;  /* of nodes: by which includes of the file under way they are reached */
    uint32_t *queue; /* for walks */
    /* the file under way */
    uint32_t node, edge[INCLUDES_MAX], edge_count;
    uint64_t used; /* includes that give it a name */
    const ol_outline *face, *names;
} usage;

static bool on(const usage *u, uint32_t rule)
{
    return u->l->rules >> rule & 1;
}

/* ---- tables ----------------------------------------------------------------------------------------------
 */
static bool add_pairs(usage *u, uint32_t node, lint_provides *p)
{
    if (u->pair_count + p->provided > u->pair_room) {
        size_t want = (u->pair_count + p->provided) * 2 + 1024;
        pair *grown = realloc(u->pairs, want * sizeof *grown);
        if (!grown) {
            return false;
        }
        u->pairs = grown;
        u->pair_room = want;
    }
    for (uint32_t i = 0; i < p->provided; i++) {
        u->pairs[u->pair_count++] = (pair){lint_read_u64(&p->names), node};
    }
    return true;
}

static int read_table(usage *u, const char *dir)
{
    lint_buf args = {0};
    lint_buf_str(&args, dir);
    lint_reader r = lint_read(u->q->args, u->q->args_size);
    lint_read_str(&r);
    lint_buf_add(&args, r.at, (size_t)(r.end - r.at));
    tier_value v;
    int rc = args.failed ? lint_nomem(u->s) : lint_get(u->s, u->l, LINT_TYPE_PROVIDES, NULL, &args, &v);
    lint_buf_free(&args);
    size_t cursor = 0, size;
    const void *data;
    while (rc == TIER_OK && (rc = tier_next(&v, &cursor, &data, &size)) == TIER_OK) {
        lint_provides p;
        uint32_t node = lint_provides_read(data, size, &p) ? lint_graph_find(&u->g, p.path) : LINT_NONE;
        if (node != LINT_NONE) {
            rc = add_pairs(u, node, &p) ? TIER_OK : lint_nomem(u->s);
            u->known[node] = (known){.flags = p.flags, .read = 1, .provided = p.provided, .used = p.names};
        }
    }
    return rc == TIER_END ? TIER_OK : rc;
}

static int by_id(const void *a, const void *b)
{
    const pair *x = a, *y = b;
    if (x->id != y->id) {
        return x->id < y->id ? -1 : 1;
    }
    return x->node < y->node ? -1 : x->node > y->node;
}

static int read_tables(usage *u)
{
    lint_map dirs = {0};
    lint_buf dir = {0};
    for (uint32_t i = 0; i < u->g.node_count; i++) {
        if (u->g.nodes[i].flags & LINT_NODE_INCLUDED) {
            dir.size = 0;
            lint_dir_of(lint_graph_path(&u->g, i), &dir);
            if (!dir.failed) {
                lint_map_add(&dirs, dir.data);
            }
        }
    }
    int rc = dirs.failed || dir.failed ? lint_nomem(u->s) : TIER_OK;
    for (uint32_t i = 0; rc == TIER_OK && i < dirs.start.count; i++) {
        rc = read_table(u, lint_map_text(&dirs, i));
    }
    if (u->pair_count) {
        qsort(u->pairs, u->pair_count, sizeof *u->pairs, by_id);
    }
    lint_map_free(&dirs);
    lint_buf_free(&dir);
    return rc;
}

/* The first pair of this name, as macro or not. */
static size_t find_pair(const usage *u, uint64_t id)
{
    size_t low = 0, high = u->pair_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (u->pairs[middle].id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool same_name(const usage *u, size_t i, uint64_t id)
{
    return i < u->pair_count && (u->pairs[i].id & ~(uint64_t)LINT_NAME_MACRO) == id;
}

/* ---- unused includes -------------------------------------------------------------------------------------
 */
static uint64_t direct(const usage *u, uint32_t node)
{
    for (uint32_t i = 0; i < u->edge_count; i++) {
        if (u->g.edges[u->edge[i]].target == node) {
            return (uint64_t)1 << i;
        }
    }
    return 0;
}

/* A name is credited to the includes that declare it themselves, where there are such; else to all that lead
 * to a file that does. */
static void credit(usage *u, const char *name)
{
    uint64_t id = lint_name_id(name);
    for (size_t i = find_pair(u, id); same_name(u, i, id); i++) {
        uint64_t own = direct(u, u->pairs[i].node);
        u->used |= own ? own : u->mask[u->pairs[i].node];
    }
}

/* What stddef.h and its like declare; those files are not read. */
static bool compilers_name(const char *name)
{
    static const char *const theirs[] = {
        "size_t",  "NULL", "ptrdiff_t", "wchar_t", "offsetof",    "va_list",   "va_start", "va_end", "va_arg",
        "va_copy", "bool", "true",      "false",   "max_align_t", "nullptr_t", "std",      "wint_t", NULL};
    for (size_t i = 0; theirs[i]; i++) {
        if (strcmp(name, theirs[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void credit_all(usage *u)
{
    uint64_t compilers = 0;
    bool wants = false;
    u->used = 0;
    for (uint32_t i = 0; i < u->names->use_count; i++) {
        const char *name = ol_text(u->names, u->names->uses[i].name);
        credit(u, name);
        wants |= compilers_name(name);
    }
    for (uint32_t i = 0; i < u->face->decl_count; i++) {
        const ol_decl *d = &u->face->decls[i];
        if (d->base && d->kind != OL_NAMESPACE && !(d->flags & OL_STATIC)) {
            credit(u, ol_text(u->face, d->base)); /* it includes the header that declares what it defines */
        }
    }
    for (uint32_t i = 0; wants && i < u->g.node_count; i++) {
        compilers |= u->g.nodes[i].flags & LINT_NODE_COMPILERS ? u->mask[i] : 0;
    }
    u->used |= compilers;
}

/* May include i act by what this analysis does not see, or is it not understood? */
static bool doubtful(const usage *u, uint32_t i)
{
    uint64_t bit = (uint64_t)1 << i, provided = 0;
    const lint_edge *e = &u->g.edges[u->edge[i]];
    const uint32_t special = OL_INC_NEXT | OL_INC_COMPUTED | OL_INC_KEEP | OL_INC_EXPORT | OL_INC_NESTED;
    if (e->flags & (special | LINT_LINK_CONDITIONAL)) {
        return true;
    }
    for (uint32_t n = 0; n < u->g.node_count; n++) {
        if (!(u->mask[n] & bit)) {
            continue;
        }
        if ((u->g.nodes[n].flags & (LINT_NODE_UNREADABLE | LINT_NODE_LOOSE)) || !u->known[n].read ||
            (u->known[n].flags & LINT_PROVIDES_UNCERTAIN)) {
            return true;
        }
        provided += u->known[n].provided;
    }
    return provided == 0 || (u->known[e->target].flags & LINT_PROVIDES_UNGUARDED) ||
           !lint_is_header(lint_graph_path(&u->g, e->target));
}

/* Does another header of the file use a macro that only include i gives, or any name that only it gives? */
static bool needed_by_others(const usage *u, uint32_t i)
{
    uint64_t bit = (uint64_t)1 << i;
    for (uint32_t n = 0; n < u->g.node_count; n++) {
        if (!(u->mask[n] & ~bit) || (u->mask[n] & bit)) {
            continue;
        }
        lint_reader r = u->known[n].used;
        while (u->known[n].read && r.at < r.end) {
            uint64_t id = lint_read_u64(&r);
            bool mine = false, others = false;
            for (size_t p = find_pair(u, id); same_name(u, p, id); p++) {
                uint64_t mask = u->mask[u->pairs[p].node];
                mine |= (mask & bit) != 0;
                others |= (mask & ~bit) != 0 && !(u->pairs[p].id & LINT_NAME_MACRO);
            }
            if (mine && !others) {
                return true;
            }
        }
    }
    return false;
}

/* foo.c and foo.h, also where the endings differ otherwise. */
static bool own_header(const char *source, const char *header)
{
    const char *a = lint_base_of(source), *b = lint_base_of(header);
    size_t size = strcspn(a, ".");
    return strcspn(b, ".") == size && strncmp(a, b, size) == 0;
}

static int check_unused(usage *u)
{
    const char *path = lint_graph_path(&u->g, u->node);
    uint32_t rule = lint_is_source(path) ? LINT_UNUSED_INCLUDE : LINT_UNUSED_INCLUDE_HEADER;
    bool umbrella = rule == LINT_UNUSED_INCLUDE_HEADER && (u->face->flags & OL_FILE_NO_FUNCTIONS);
    if (!on(u, rule) || umbrella || (u->g.nodes[u->node].flags & LINT_NODE_ADRIFT) ||
        (rule == LINT_UNUSED_INCLUDE_HEADER && !lint_is_header(path))) {
        return TIER_OK;
    }
    int rc = TIER_OK;
    for (uint32_t i = 0; rc == TIER_OK && i < u->edge_count; i++) {
        const lint_edge *e = &u->g.edges[u->edge[i]];
        const char *target = lint_graph_path(&u->g, e->target);
        if ((u->used >> i & 1) || own_header(path, target) || doubtful(u, i) || needed_by_others(u, i)) {
            continue;
        }
        lint_buf message = {0};
        lint_buf_printf(&message, "no name of '%s' is used",
                        ol_text(u->face, u->face->includes[e->include].name));
        lint_finding f = {.rule = rule,
                          .at = {.path = path, .kind = LINT_AT_INCLUDE, .ordinal = e->include},
                          .message = message.data};
        rc = message.failed ? lint_nomem(u->s) : lint_give_finding(u->s, u->out, &f);
        lint_buf_free(&message);
    }
    return rc;
}

/* ---- names reached only through others -------------------------------------------------------------------
 */
/* The one file that declares the name, reached but not included; LINT_NONE: none, or it is not so plain. */
static uint32_t only_through(const usage *u, const char *name, uint64_t *through)
{
    uint64_t id = lint_name_id(name);
    uint32_t found = LINT_NONE;
    for (size_t i = find_pair(u, id); same_name(u, i, id); i++) {
        uint32_t node = u->pairs[i].node;
        if (!u->mask[node] && node != u->node) {
            continue;
        }
        if (found != LINT_NONE || node == u->node || direct(u, node)) {
            return LINT_NONE;
        }
        found = node;
    }
    *through = found == LINT_NONE ? 0 : u->mask[found];
    return found;
}

static int check_transitive(usage *u)
{
    if (!on(u, LINT_TRANSITIVE)) {
        return TIER_OK;
    }
    const char *path = lint_graph_path(&u->g, u->node);
    int rc = TIER_OK;
    for (uint32_t i = 0; rc == TIER_OK && i < u->names->use_count; i++) {
        const char *name = ol_text(u->names, u->names->uses[i].name);
        uint64_t through = 0;
        bool plain = !(u->names->uses[i].kinds & (OL_USE_MEMBER | OL_USE_LOCAL | OL_USE_COND)) &&
                     ol_find(u->face, name, 0) == OL_NONE;
        uint32_t node = plain ? only_through(u, name, &through) : LINT_NONE;
        if (node == LINT_NONE) {
            continue;
        }
        uint32_t via = u->g.edges[u->edge[__builtin_ctzll(through)]].target;
        const char *target = lint_graph_path(&u->g, node);
        if (own_header(path, lint_graph_path(&u->g, via))) {
            continue;
        }
        lint_buf message = {0};
        lint_buf_printf(&message, "'%s' is declared in '", name);
        lint_message_path(&message, target);
        lint_buf_text(&message, "', reached only through '");
        lint_message_path(&message, lint_graph_path(&u->g, via));
        lint_buf_text(&message, "'");
        lint_finding f = {.rule = LINT_TRANSITIVE,
                          .at = {.path = path, .kind = LINT_AT_USE, .name = name},
                          .message = message.data};
        rc = message.failed ? lint_nomem(u->s) : lint_give_finding(u->s, u->out, &f);
        lint_buf_free(&message);
    }
    return rc;
}

/* ---- static functions ------------------------------------------------------------------------------------
 */
static bool used_by_includes(const usage *u, const char *base)
{
    uint64_t id = lint_name_id(base);
    for (uint32_t n = 0; n < u->g.node_count; n++) {
        if (!u->mask[n] || n == u->node) {
            continue;
        }
        if (u->g.nodes[n].flags & LINT_NODE_UNREADABLE) {
            return true;
        }
        lint_reader r = u->known[n].used;
        while (u->known[n].read && r.at < r.end) {
            if (lint_read_u64(&r) == id) {
                return true;
            }
        }
    }
    return false;
}

typedef struct pasting {
    const usage *u;
    const char *name;
    bool possible;
} pasting;

static void note_paste(void *user, const char *piece, size_t size, int side)
{
    pasting *p = user;
    size_t length = strlen(p->name);
    if (side == 3) {
        p->possible = true;
    } else if (size < length) {
        p->possible |= memcmp(side == 1 ? p->name : p->name + length - size, piece, size) == 0;
    }
}

/* Could a macro of the file or of its includes form the name? Of includes only whether they paste is known:
 * then a name in the file that ends or begins the function's is taken for the other half. */
static bool may_be_pasted(const usage *u, const char *base)
{
    pasting p = {.u = u, .name = base};
    bool elsewhere = false;
    for (uint32_t i = 0; i < u->face->decl_count; i++) {
        const ol_decl *d = &u->face->decls[i];
        if (d->kind == OL_MACRO && (d->flags & OL_FUNCTION_LIKE)) {
            lint_pastes(ol_text(u->face, d->sig), note_paste, &p);
        }
    }
    for (uint32_t n = 0; n < u->g.node_count; n++) {
        bool loose = u->mask[n] && n != u->node;
        elsewhere |= loose && (u->known[n].flags & LINT_PROVIDES_PASTES);
    }
    size_t length = strlen(base);
    for (uint32_t i = 0; elsewhere && !p.possible && i < u->names->use_count; i++) {
        const char *name = ol_text(u->names, u->names->uses[i].name);
        size_t size = strlen(name);
        p.possible = size < length && size > 2 &&
                     (memcmp(base, name, size) == 0 || memcmp(base + length - size, name, size) == 0);
    }
    return p.possible;
}

static bool loose_includes(const usage *u)
{
    for (uint32_t i = 0; i < u->edge_count; i++) {
        const lint_edge *e = &u->g.edges[u->edge[i]];
        if ((e->flags & OL_INC_NESTED) || !u->known[e->target].read) {
            return true;
        }
    }
    return u->g.nodes[u->node].flags & (LINT_NODE_LOOSE | LINT_NODE_INCLUDED);
}

static int check_statics(usage *u)
{
    const char *path = lint_graph_path(&u->g, u->node);
    if (!on(u, LINT_UNUSED_STATIC) || !lint_is_source(path) || loose_includes(u)) {
        return TIER_OK;
    }
    tier_value v;
    int rc = lint_get(u->s, u->l, LINT_TYPE_LOCAL, path, NULL, &v);
    size_t cursor = 0, size;
    const void *data;
    while (rc == TIER_OK && (rc = tier_next(&v, &cursor, &data, &size)) == TIER_OK) {
        lint_reader r = lint_read(data, size);
        if (lint_read_u32(&r) != LINT_RECORD_STATIC) {
            continue;
        }
        const char *name = lint_read_str(&r);
        uint32_t ordinal = lint_read_u32(&r);
        const char *colon = strrchr(name, ':'), *base = colon ? colon + 1 : name;
        if (used_by_includes(u, base) || may_be_pasted(u, base)) {
            continue;
        }
        lint_buf message = {0};
        lint_buf_printf(&message, "static function '%s' is never used", name);
        lint_finding f = {.rule = LINT_UNUSED_STATIC,
                          .at = {path, LINT_AT_DECL, name, ordinal, LINT_NONE},
                          .message = message.data};
        rc = message.failed ? lint_nomem(u->s) : lint_give_finding(u->s, u->out, &f);
        lint_buf_free(&message);
    }
    return rc == TIER_END ? TIER_OK : rc;
}

/* ---- the pass --------------------------------------------------------------------------------------------
 */
static void open_file(usage *u, uint32_t node)
{
    const lint_node *n = &u->g.nodes[node];
    u->node = node;
    u->edge_count = 0;
    memset(u->mask, 0, u->g.node_count * sizeof *u->mask);
    for (uint32_t i = 0; i < n->count && u->edge_count < INCLUDES_MAX; i++) {
        uint32_t target = u->g.edges[n->first + i].target;
        if (target != node && !direct(u, target)) {
            u->edge[u->edge_count] = n->first + i;
            lint_graph_reach(&u->g, target, (uint64_t)1 << u->edge_count++, u->mask, u->queue);
        }
    }
}

static int check_file(usage *u, uint32_t node)
{
    const char *path = lint_graph_path(&u->g, node);
    tier_value face, names;
    int rc = lint_get_outline(u->s, u->l, LINT_TYPE_FACE, path, &face, &u->face);
    rc = rc ? rc : lint_get_outline(u->s, u->l, LINT_TYPE_NAMES, path, &names, &u->names);
    if (rc) {
        return lint_absent(rc) ? TIER_OK : rc;
    }
    open_file(u, node);
    credit_all(u);
    rc = check_unused(u);
    rc = rc ? rc : check_transitive(u);
    rc = rc ? rc : check_statics(u);
    tier_release(u->s, &face);
    tier_release(u->s, &names);
    return rc;
}

/* args: directory, then the paths. */
int lint_build_usage(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    usage u = {.s = s, .l = user, .out = out, .q = q};
    lint_buf args = {.data = (char *)q->args, .size = q->args_size};
    tier_value v;
    int rc = lint_get(s, user, LINT_TYPE_REACH, NULL, &args, &v);
    if (rc) {
        return rc;
    }
    if (!lint_graph_open(v.data, v.size, &u.g)) {
        return tier_fail(s, TIER_EDAMAGE, "the graph's bytes are no graph");
    }
    size_t count = u.g.node_count + (size_t)1;
    u.known = calloc(count, sizeof *u.known);
    u.mask = calloc(count, sizeof *u.mask);
    u.queue = malloc(count * sizeof *u.queue);
    rc = u.known && u.mask && u.queue ? read_tables(&u) : lint_nomem(s);
    for (uint32_t i = 0; rc == TIER_OK && i < u.g.node_count; i++) {
        if (u.g.nodes[i].flags & LINT_NODE_MEMBER) {
            rc = check_file(&u, i);
        }
        rc = rc ? rc : tier_cancelled(s);
    }
    free(u.known);
    free(u.mask);
    free(u.queue);
    free(u.pairs);
    return rc;
}
