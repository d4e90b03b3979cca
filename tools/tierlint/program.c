/* Findings about the tree as a whole: include cycles, and functions and variables across files. */
#include "tools/tierlint/tables.h"
#include "tools/tierlint/graph.h"
#include "tools/tierlint/links.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct program {
    tier_session *s;
    const lint *l;
    tier_out *out;
    lint_graph g;
    lint_symbol *symbol; /* of all files; their strings lead into values lent until the build ends */
    size_t count, room;
    uint64_t *used; /* names used anywhere, ascending */
    size_t used_count, used_room;
    lint_map typedefs;     /* their names */
    lint_list expansions;  /* their symbols */
    lint_map begins, ends; /* what pasted names begin and end with */
    lint_buf message;
} program;

static bool on(const program *p, uint32_t rule)
{
    return p->l->rules >> rule & 1;
}

static int say(program *p, uint32_t rule, const lint_symbol *at, const lint_symbol *also, const char *note)
{
    lint_finding f = {.rule = rule,
                      .at = {at->path, LINT_AT_DECL, at->name, at->ordinal, LINT_NONE},
                      .message = p->message.data,
                      .note = note};
    if (also) {
        f.also = (lint_anchor){also->path, LINT_AT_DECL, also->name, also->ordinal, LINT_NONE};
    }
    int rc = p->message.failed ? lint_nomem(p->s) : lint_give_finding(p->s, p->out, &f);
    p->message.size = 0;
    return rc;
}

/* ---- reading the tables ----------------------------------------------------------------------------------
 */
static bool add_symbol(program *p, const lint_symbol *y)
{
    if (p->count == p->room) {
        size_t want = p->room ? p->room * 2 : 1024;
        lint_symbol *grown = realloc(p->symbol, want * sizeof *grown);
        if (!grown) {
            return false;
        }
        p->symbol = grown;
        p->room = want;
    }
    p->symbol[p->count++] = *y;
    return true;
}

static bool add_used(program *p, lint_reader *r)
{
    size_t more = (size_t)(r->end - r->at) / 8;
    if (p->used_count + more > p->used_room) {
        size_t want = (p->used_count + more) * 2;
        uint64_t *grown = realloc(p->used, want * sizeof *grown);
        if (!grown) {
            return false;
        }
        p->used = grown;
        p->used_room = want;
    }
    while (more--) {
        p->used[p->used_count++] = lint_read_u64(r);
    }
    return true;
}

static bool take(program *p, const void *data, size_t size)
{
    lint_reader r = lint_read(data, size);
    lint_symbol y = {.tag = lint_read_u32(&r)};
    uint32_t side;
    switch (y.tag) {
    case LINT_SYMBOL_NAME:
    case LINT_SYMBOL_TYPEDEF:
        return !lint_symbol_get(&r, &y) || add_symbol(p, &y);
    case LINT_SYMBOL_USES:
        return add_used(p, &r);
    case LINT_SYMBOL_PASTE:
        side = lint_read_u32(&r);
        return side == 3 || lint_map_add(side == 1 ? &p->begins : &p->ends, lint_read_str(&r)) != LINT_NONE;
    default:
        return true;
    }
}

static int read_directory(program *p, const lint_buf *files)
{
    tier_value v;
    int rc = lint_get(p->s, p->l, LINT_TYPE_SYMBOLS, NULL, files, &v);
    size_t cursor = 0, size;
    const void *data;
    while (rc == TIER_OK && (rc = tier_next(&v, &cursor, &data, &size)) == TIER_OK) {
        rc = take(p, data, size) ? TIER_OK : lint_nomem(p->s);
    }
    return rc == TIER_END ? TIER_OK : rc;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* By name, then definitions first, then by place. */
static int by_name(const void *a, const void *b)
{
    const lint_symbol *x = a, *y = b;
    int order = x->tag != y->tag ? (x->tag < y->tag ? -1 : 1) : strcmp(x->name, y->name);
    order = order ? order : (int)(y->flags & OL_DEFINITION) - (int)(x->flags & OL_DEFINITION);
    order = order ? order : strcmp(x->path, y->path);
    return order ? order : x->ordinal < y->ordinal ? -1 : x->ordinal > y->ordinal;
}

/* One table for each directory of the graph: the files of one follow each other by name, but those of its
 * subdirectories stand between them. */
static int read_symbols(program *p)
{
    lint_map dirs = {0};
    lint_buf dir = {0}, *files = NULL;
    lint_list of = {0};
    for (uint32_t i = 0; i < p->g.node_count; i++) {
        dir.size = 0;
        lint_dir_of(lint_graph_path(&p->g, i), &dir);
        lint_list_add(&of, dir.failed ? LINT_NONE : lint_map_add(&dirs, dir.data));
    }
    int rc = dir.failed || dirs.failed || of.failed ? lint_nomem(p->s) : TIER_OK;
    files = calloc(dirs.start.count + 1, sizeof *files);
    rc = rc ? rc : files ? TIER_OK : lint_nomem(p->s);
    for (uint32_t i = 0; rc == TIER_OK && i < p->g.node_count; i++) {
        lint_buf_str(&files[of.at[i]], lint_graph_path(&p->g, i));
    }
    for (size_t i = 0; files && i < dirs.start.count; i++) {
        rc = rc ? rc : files[i].failed ? lint_nomem(p->s) : read_directory(p, &files[i]);
        lint_buf_free(&files[i]);
    }
    free(files);
    lint_list_free(&of);
    lint_map_free(&dirs);
    lint_buf_free(&dir);
    return rc;
}

/* ---- cycles ----------------------------------------------------------------------------------------------
 */
/* Links that surely are followed. */
static bool certain(const lint_edge *e)
{
    return !(e->flags & (LINT_LINK_CONDITIONAL | OL_INC_NEXT | OL_INC_NESTED));
}

static int say_cycle(program *p, const lint_list *cycle)
{
    const lint_graph *g = &p->g;
    uint32_t next = cycle->count > 1 ? cycle->at[1] : cycle->at[0];
    const lint_node *n = &g->nodes[cycle->at[0]];
    uint32_t include = 0;
    for (uint32_t i = n->count; i-- > 0;) {
        const lint_edge *e = &g->edges[n->first + i];
        include = e->target == next && certain(e) ? e->include : include;
    }
    lint_buf_text(&p->message, "include cycle: ");
    for (size_t i = 0; i < cycle->count; i++) {
        lint_message_path(&p->message, lint_graph_path(g, cycle->at[i]));
        lint_buf_text(&p->message, " -> ");
    }
    lint_message_path(&p->message, lint_graph_path(g, cycle->at[0]));
    lint_finding f = {
        .rule = LINT_CYCLE,
        .at = {.path = lint_graph_path(g, cycle->at[0]), .kind = LINT_AT_INCLUDE, .ordinal = include},
        .message = p->message.data};
    int rc = p->message.failed ? lint_nomem(p->s) : lint_give_finding(p->s, p->out, &f);
    p->message.size = 0;
    return rc;
}

/* One finding for each component: at its first listed file that lies on a cycle. */
static int check_cycles(program *p)
{
    uint32_t *component = malloc((p->g.node_count + (size_t)1) * sizeof *component);
    uint32_t found = component ? lint_graph_components(&p->g, certain, component) : LINT_NONE;
    unsigned char *said = found == LINT_NONE ? NULL : calloc(found + (size_t)1, 1);
    uint32_t *size = found == LINT_NONE ? NULL : calloc(found + (size_t)1, sizeof *size);
    int rc = said && size ? TIER_OK : lint_nomem(p->s);
    lint_list cycle = {0};
    for (uint32_t i = 0; rc == TIER_OK && i < p->g.node_count; i++) {
        size[component[i]]++;
    }
    for (uint32_t i = 0; rc == TIER_OK && i < p->g.node_count; i++) {
        bool alone = size[component[i]] == 1 && p->g.nodes[i].count == 0;
        if (alone || said[component[i]] || !(p->g.nodes[i].flags & LINT_NODE_LISTED)) {
            continue;
        }
        lint_graph_cycle(&p->g, certain, component, i, &cycle);
        if (cycle.failed) {
            rc = lint_nomem(p->s);
        } else if (cycle.count) {
            said[component[i]] = 1;
            rc = say_cycle(p, &cycle);
        }
    }
    lint_list_free(&cycle);
    free(size);
    free(said);
    free(component);
    return rc;
}

/* ---- names across files ----------------------------------------------------------------------------------
 */
static bool called_by_system(const char *name)
{
    static const char *const known[] = {"main",
                                        "_start",
                                        "WinMain",
                                        "wWinMain",
                                        "wmain",
                                        "DllMain",
                                        "_init",
                                        "_fini",
                                        "LLVMFuzzerTestOneInput",
                                        "LLVMFuzzerInitialize",
                                        NULL};
    for (size_t i = 0; known[i]; i++) {
        if (strcmp(name, known[i]) == 0) {
            return true;
        }
    }
    return strncmp(name, "__", 2) == 0; /* the implementation's own hooks: __wrap_x, __cyg_profile_... */
}

static bool may_be_pasted(const program *p, const char *name)
{
    size_t length = strlen(name);
    for (uint32_t i = 0; i < p->begins.start.count; i++) {
        const char *piece = lint_map_text(&p->begins, i);
        if (strncmp(name, piece, strlen(piece)) == 0) {
            return true;
        }
    }
    for (uint32_t i = 0; i < p->ends.start.count; i++) {
        size_t size = strlen(lint_map_text(&p->ends, i));
        if (size <= length && memcmp(name + length - size, lint_map_text(&p->ends, i), size) == 0) {
            return true;
        }
    }
    return false;
}

static bool listed(const program *p, const char *path)
{
    uint32_t node = lint_graph_find(&p->g, path);
    return node != LINT_NONE && (p->g.nodes[node].flags & LINT_NODE_LISTED);
}

/* y: all of one name, definitions first. */
static int check_unused(program *p, const lint_symbol *y, size_t count)
{
    const uint32_t kept = OL_LIVE | OL_UNKNOWN_WORDS | OL_UNCERTAIN | OL_INLINE | OL_VIRTUAL;
    uint64_t id = lint_name_id(y->name);
    bool in_header = false, seen = p->used_count && bsearch(&id, p->used, p->used_count, sizeof id, by_value);
    if (y->kind != OL_FUNCTION || !(y->flags & OL_DEFINITION) || seen || strchr(y->name, ':') ||
        called_by_system(y->name) || may_be_pasted(p, y->name)) {
        return TIER_OK;
    }
    for (size_t i = 0; i < count; i++) {
        /* A conditional definition is often one platform's entry point, which that platform calls. */
        if ((y[i].flags & kept) || y[i].cond[0]) {
            return TIER_OK;
        }
        in_header |= !lint_is_source(y[i].path);
    }
    uint32_t rule = in_header ? LINT_UNUSED_EXPORTED : LINT_UNUSED_FUNCTION;
    int rc = TIER_OK;
    for (size_t i = 0; on(p, rule) && rc == TIER_OK && i < count && (y[i].flags & OL_DEFINITION); i++) {
        if (lint_is_source(y[i].path) && listed(p, y[i].path)) {
            lint_buf_printf(&p->message, "function '%s' is used nowhere", y[i].name);
            rc = say(p, rule, &y[i], NULL, "");
        }
    }
    return rc;
}

static int check_twice(program *p, const lint_symbol *y, size_t count)
{
    int rc = TIER_OK;
    if (!on(p, LINT_TWICE) || y->kind != OL_FUNCTION || called_by_system(y->name)) {
        return rc;
    }
    for (size_t i = 1; rc == TIER_OK && i < count && (y[i].flags & OL_DEFINITION); i++) {
        const lint_symbol *a = &y[i - 1], *b = &y[i];
        bool plain = !((a->flags | b->flags) & (LINT_SYMBOL_OPAQUE | LINT_SYMBOL_CXX));
        if (plain && strcmp(a->path, b->path) != 0 && strcmp(a->cond, b->cond) == 0 &&
            lint_is_source(a->path) && lint_is_source(b->path) && listed(p, b->path)) {
            lint_buf_printf(&p->message, "function '%s' is defined in two files", b->name);
            rc = say(p, LINT_TWICE, b, a, "also here");
        }
    }
    return rc;
}

/* Is this word of a type known without a typedef? */
static bool plain_word(const char *word, size_t size)
{
    static const char *const known[] = {"void",   "char",     "short",    "int",   "long",     "float",
                                        "double", "signed",   "unsigned", "const", "volatile", "restrict",
                                        "_Bool",  "_Complex", "struct",   "union", "enum",     NULL};
    for (size_t i = 0; known[i]; i++) {
        if (strlen(known[i]) == size && memcmp(known[i], word, size) == 0) {
            return true;
        }
    }
    return false;
}

/* Rewrites sig with its typedefs replaced once. 1: something was; 0: nothing to replace; -1: a word is
 * unknown (macro, typedef of a file not read, of several meanings, or not of the form "words"). */
static int expand(const program *p, const char *sig, lint_buf *b)
{
    bool changed = false, tag = false;
    for (const char *at = sig; *at;) {
        size_t size = 0;
        while (isalnum((unsigned char)at[size]) || at[size] == '_') {
            size++;
        }
        if (size == 0) {
            lint_buf_add(b, at++, 1);
            continue;
        }
        bool number = isdigit((unsigned char)*at), plain = tag || number || plain_word(at, size);
        tag = size > 3 &&
              (!strncmp(at, "struct", size) || !strncmp(at, "union", size) || !strncmp(at, "enum", size));
        if (plain) {
            lint_buf_add(b, at, size);
        } else {
            char word[256];
            snprintf(word, sizeof word, "%.*s", size < sizeof word ? (int)size : 0, at);
            uint32_t i = lint_map_find(&p->typedefs, word);
            if (i == LINT_NONE) {
                return -1;
            }
            const char *text = p->symbol[p->expansions.at[i]].sig;
            if (strpbrk(text, "([")) {
                return -1; /* its name stands within, not before, what it means */
            }
            lint_buf_text(b, text);
            changed = true;
        }
        at += size;
    }
    return changed;
}

/* Leaves the first dimension open: "extern char a[];" is no other type than "char a[1]". */
static void open_array(lint_buf *b)
{
    char *open = b->data ? strchr(b->data, '[') : NULL, *close = open ? strchr(open, ']') : NULL;
    if (close) {
        memmove(open + 1, close, strlen(close) + 1);
    }
}

/* true only where both signatures are fully understood and differ. */
static bool disagree(const program *p, const char *a, const char *b, bool *failed)
{
    enum { DEPTH = 16 }; /* typedefs of typedefs: glibc's chains are 3 long */
    lint_buf left = {0}, right = {0}, next = {0};
    lint_buf_str(&left, a);
    lint_buf_str(&right, b);
    int rc = 1;
    bool agree = ol_sig_agree(a, b);
    for (int side = 0; side < 2 && !agree && rc >= 0; side++) {
        lint_buf *own = side ? &right : &left;
        rc = 1;
        for (int i = 0; i < DEPTH && rc == 1 && !own->failed; i++) {
            next.size = 0;
            rc = expand(p, own->data, &next);
            if (rc >= 0 && !next.failed) {
                own->size = 0;
                lint_buf_str(own, next.size ? next.data : "");
            }
        }
    }
    *failed |= left.failed || right.failed || next.failed;
    open_array(&left);
    open_array(&right);
    bool differ = !agree && rc == 0 && !*failed && !ol_sig_agree(left.data, right.data);
    lint_buf_free(&left);
    lint_buf_free(&right);
    lint_buf_free(&next);
    return differ;
}

static int check_mismatch(program *p, const lint_symbol *y, size_t count)
{
    bool two = count > 1 && (y[1].flags & OL_DEFINITION), failed = false;
    int rc = TIER_OK;
    const uint32_t never = LINT_SYMBOL_OPAQUE | LINT_SYMBOL_CXX;
    if (!on(p, LINT_MISMATCH) || two || !(y->flags & OL_DEFINITION) || (y->flags & never) ||
        !lint_is_source(y->path)) {
        return rc; /* defined twice: which program a declaration belongs to is not known */
    }
    for (size_t i = 1; rc == TIER_OK && i < count; i++) {
        const lint_symbol *d = &y[i];
        if ((d->flags & never) || d->kind != y->kind || strcmp(d->path, y->path) == 0 ||
            strcmp(d->cond, y->cond) != 0 || !listed(p, d->path)) {
            continue;
        }
        if (disagree(p, d->sig, y->sig, &failed)) {
            lint_buf_printf(&p->message, "'%s' is declared as %s, but defined as %s", d->name, d->sig,
                            y->sig);
            rc = say(p, LINT_MISMATCH, d, y, "defined here");
        }
    }
    return failed ? lint_nomem(p->s) : rc;
}

/* The symbols of one name and tag, from first on. */
static size_t group_end(const program *p, size_t first)
{
    size_t next = first + 1;
    const lint_symbol *y = &p->symbol[first];
    while (next < p->count && p->symbol[next].tag == y->tag && strcmp(p->symbol[next].name, y->name) == 0) {
        next++;
    }
    return next;
}

/* A typedef is expanded where all of its name in the tree say the same. */
static int index_typedefs(program *p)
{
    for (size_t first = 0, next; first < p->count; first = next) {
        next = group_end(p, first);
        const lint_symbol *y = &p->symbol[first];
        bool same = y->tag == LINT_SYMBOL_TYPEDEF;
        for (size_t i = first; same && i < next; i++) {
            same = strcmp(y->sig, p->symbol[i].sig) == 0 && !(p->symbol[i].flags & LINT_SYMBOL_OPAQUE);
        }
        if (same) {
            lint_map_add(&p->typedefs, y->name);
            lint_list_add(&p->expansions, (uint32_t)first);
        }
    }
    return p->typedefs.failed || p->expansions.failed ? lint_nomem(p->s) : TIER_OK;
}

static int check_symbols(program *p)
{
    int rc = read_symbols(p);
    if (rc) {
        return rc;
    }
    if (p->used_count) {
        qsort(p->used, p->used_count, sizeof *p->used, by_value);
    }
    if (p->count) {
        qsort(p->symbol, p->count, sizeof *p->symbol, by_name);
    }
    rc = index_typedefs(p);
    for (size_t first = 0, next; rc == TIER_OK && first < p->count; first = next) {
        next = group_end(p, first);
        const lint_symbol *y = &p->symbol[first];
        if (y->tag == LINT_SYMBOL_NAME) {
            rc = check_unused(p, y, next - first);
            rc = rc ? rc : check_twice(p, y, next - first);
            rc = rc ? rc : check_mismatch(p, y, next - first);
        }
        rc = rc ? rc : tier_cancelled(p->s);
    }
    return rc;
}

/* args: the paths. */
int lint_build_program(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    program p = {.s = s, .l = user, .out = out};
    lint_buf args = {.data = (char *)q->args, .size = q->args_size};
    tier_value v;
    int rc = lint_get(s, user, LINT_TYPE_GRAPH, NULL, &args, &v);
    if (rc) {
        return rc;
    }
    if (!lint_graph_open(v.data, v.size, &p.g)) {
        return tier_fail(s, TIER_EDAMAGE, "the graph's bytes are no graph");
    }
    rc = on(&p, LINT_CYCLE) ? check_cycles(&p) : TIER_OK;
    if (rc == TIER_OK && (p.l->rules & LINT_PROGRAM_RULES & ~LINT_BIT(CYCLE))) {
        rc = check_symbols(&p);
    }
    free(p.symbol);
    free(p.used);
    lint_map_free(&p.typedefs);
    lint_list_free(&p.expansions);
    lint_map_free(&p.begins);
    lint_map_free(&p.ends);
    lint_buf_free(&p.message);
    return rc;
}
