/* resolve_rust.c - `mod x;`, `#[path = "y.rs"] mod x;` and `use a::{b, c::d};`.
 *
 * A use path names items, not files: the longest prefix that is a module's file wins. crate:: starts at the
 * nearest directory upward with lib.rs or main.rs, self:: and super:: as the file's place says, other names
 * at the file's own module and then, as crates, below the search directories (NAME/src/lib.rs, NAME/lib.rs,
 * NAME.rs). Modules written inline in a file are not followed into directories of their own. */
#include "warmers/resolve.h"
#include <string.h>

enum { USE_NEST = 16 }; /* braces within braces of one use; rustfmt's own sources reach 4 */

struct rust {
    struct tier__text file;   /* the using file */
    struct tier__text home;   /* directory of its module: children live here; "" or ends in '/' */
    struct tier__text crate;  /* directory of the crate's root file */
    struct tier__text prefix; /* of a use tree under way: "a/b/" */
    struct tier__text base;
};

/* Is base + name[0..size) a module's file? */
static bool module_file(struct tier__resolver *r, const char *base, const char *name, size_t size)
{
    struct tier__text part = {0};
    bool there = false;

    r->rc = tier__text_set(&part, name, size);
    if (!r->rc)
        there =
            TIER__PROBE(r, 'f', base, part.data, ".rs") || TIER__PROBE(r, 'f', base, part.data, "/mod.rs");
    tier__text_fini(&part);
    return there;
}

static bool longest_module(struct tier__resolver *r, const char *base, const char *name)
{
    size_t size = strlen(name);

    while (size > 0 && !r->rc) {
        if (module_file(r, base, name, size))
            return true;
        while (size > 0 && name[--size] != '/')
            ;
    }
    return false;
}

/* The file of the module whose children live in dir. */
static bool file_of(struct tier__resolver *r, const struct tier__text *dir, size_t size)
{
    static const char *const names[] = {"mod.rs", "lib.rs", "main.rs"};
    struct tier__text at = {0};
    bool there = false;
    size_t i;

    r->rc = tier__text_set(&at, dir->data, size);
    for (i = 0; i < 3 && !there && !r->rc; i++)
        there = TIER__PROBE(r, 'f', at.data, names[i]);
    if (!there && !r->rc && size > 1 && at.data[size - 1] == '/') {
        at.data[--at.size] = 0;
        there = TIER__PROBE(r, 'f', at.data, ".rs");
    }
    tier__text_fini(&at);
    return there;
}

static bool crate_at(struct tier__resolver *r, const char *dir, const char *name)
{
    static const char *const roots[] = {"/src/lib.rs", "/lib.rs", ".rs"};
    const char *slash = tier__slash(dir), *rest = strchr(name, '/');
    struct tier__text crate = {0};
    bool there = false;
    size_t i;

    r->rc = tier__text_set(&crate, name, rest ? (size_t)(rest - name) : strlen(name));
    for (i = 0; i < 3 && !there && !r->rc; i++)
        there = TIER__PROBE(r, 'f', dir, slash, crate.data, roots[i]);
    if (there && rest && i < 3) { /* the crate's root, and the module in it */
        struct tier__text base = {0};
        tier__found(r);
        if (!r->rc)
            r->rc = tier__text_set(&base, r->path.data, tier__dir_size(r->path.data));
        if (!r->rc && !longest_module(r, base.data, rest + 1))
            r->rc = tier__text_set(&r->path, base.data, base.size) ? TIER_ENOMEM
                                                                   : tier__text_put(&r->path, "lib.rs", 6);
        tier__text_fini(&base);
    }
    tier__text_fini(&crate);
    return there && !r->rc;
}

/* Takes a path keyword off the front of *name. */
static bool keyword(const char **name, const char *word)
{
    size_t size = strlen(word);

    if (strncmp(*name, word, size) != 0 || ((*name)[size] != '/' && (*name)[size] != 0))
        return false;
    *name += size + ((*name)[size] == '/');
    return true;
}

/* One leaf of a use tree: "crate/a/B". */
static void use_leaf(struct tier__resolver *r, struct rust *u, const char *name)
{
    size_t size = u->home.size, i;
    bool there = false, up = false;

    if (!tier__first_time(r, u->file.data, 'u', name))
        return;
    if (keyword(&name, "crate")) {
        there = longest_module(r, u->crate.data, name) || file_of(r, &u->crate, u->crate.size);
    } else {
        up = keyword(&name, "self");
        for (; keyword(&name, "super"); up = true)
            size = tier__parent_size(u->home.data, size);
        r->rc = tier__text_set(&u->base, u->home.data, size);
        if (!r->rc)
            there = longest_module(r, u->base.data, name) || (up && file_of(r, &u->base, size));
        for (i = 0; i < r->search_count && !there && !up && !r->rc; i++)
            there = crate_at(r, r->search[i], name);
    }
    if (there)
        tier__found(r);
    else if (!r->rc)
        r->unresolved++;
}

/* Reads the next word of a use tree: an identifier, one of "{},*", or "" at the end. Comments are blanks. */
static const char *use_word(const char **at, size_t *size)
{
    const char *s = *at, *start;

    for (;;) {
        s += strspn(s, " \t\r\n\f:");
        if (s[0] == '/' && s[1] == '/')
            s += strcspn(s, "\n");
        else if (s[0] == '/' && s[1] == '*' && strstr(s + 2, "*/"))
            s = strstr(s + 2, "*/") + 2;
        else
            break;
    }
    start = s;
    if (strncmp(s, "r#", 2) == 0)
        start = s += 2;
    s += strcspn(s, " \t\r\n\f:{},*/");
    if (s == start && *s)
        s++;
    *size = (size_t)(s - start);
    *at = s;
    return start;
}

/* Where a use tree stands: the prefix's length at each open brace. */
struct nest {
    size_t length[USE_NEST];
    size_t depth;
};

static void end_leaf(struct tier__resolver *r, struct rust *u, struct nest *n, bool *leaf)
{
    if (*leaf && u->prefix.size > 0 && !r->rc) {
        u->prefix.data[--u->prefix.size] = 0; /* the last '/' */
        use_leaf(r, u, u->prefix.data);
    }
    u->prefix.size = n->depth ? n->length[n->depth - 1] : 0;
    u->prefix.data[u->prefix.size] = 0;
    *leaf = false;
}

static void use_tree(struct tier__resolver *r, struct rust *u, const char *tree)
{
    struct nest n = {{0}, 0};
    bool leaf = false, alias = false;
    const char *word;
    size_t size;

    r->rc = tier__text_set(&u->prefix, "", 0);
    while (!r->rc && (word = use_word(&tree, &size), size > 0)) {
        if (*word == '{') {
            if (n.depth == USE_NEST)
                return;
            n.length[n.depth++] = u->prefix.size;
            leaf = false;
        } else if (*word == ',' || *word == '}') {
            end_leaf(r, u, &n, &leaf);
            alias = false;
            if (*word == '}' && n.depth > 0)
                n.depth--;
        } else if (*word == '*') {
            leaf = true;
        } else if (size == 2 && memcmp(word, "as", 2) == 0) {
            alias = true;
        } else if (!alias) {
            leaf = true;
            if (size == 4 && memcmp(word, "self", 4) == 0 && n.depth > 0)
                continue; /* a::{self}: a */
            r->rc = tier__text_put(&u->prefix, word, size);
            if (!r->rc)
                r->rc = tier__text_put(&u->prefix, "/", 1);
        }
    }
    if (!r->rc)
        end_leaf(r, u, &n, &leaf);
}

static bool is_root_name(const char *name)
{
    return strcmp(name, "mod.rs") == 0 || strcmp(name, "lib.rs") == 0 || strcmp(name, "main.rs") == 0;
}

/* Where the file stands in its crate. */
static void place(struct tier__resolver *r, struct rust *u, const char *path)
{
    size_t dir = tier__dir_size(path), size = dir, parent;
    const char *dot = strrchr(path, '.');

    r->rc = tier__text_set(&u->file, path, strlen(path));
    if (!r->rc)
        r->rc =
            tier__text_set(&u->home, path,
                           is_root_name(path + dir) || !dot || dot < path + dir ? dir : (size_t)(dot - path));
    if (!r->rc && u->home.size > dir)
        r->rc = tier__text_put(&u->home, "/", 1);
    while (!r->rc) {
        r->rc = tier__text_set(&u->crate, path, size);
        if (r->rc || TIER__PROBE(r, 'f', u->crate.data, "lib.rs") ||
            TIER__PROBE(r, 'f', u->crate.data, "main.rs"))
            return;
        parent = tier__parent_size(path, size);
        if (parent == size)
            break;
        size = parent;
    }
    if (!r->rc)
        r->rc = tier__text_set(&u->crate, path, dir);
}

int tier__resolve_rust(struct tier__resolver *r, const char *path, const struct tier__imports *names)
{
    struct rust u = {0};
    size_t i;

    if (names->count == 0 || r->rc)
        return r->rc;
    place(r, &u, path);
    for (i = 0; i < names->count && !r->rc; i++) {
        const char *name = tier__name_text(names, i);
        bool there;
        if (names->name[i].kind == 'u') {
            use_tree(r, &u, name);
            continue;
        }
        if (names->name[i].kind == 'p') {
            r->rc = tier__text_set(&u.base, path, tier__dir_size(path));
            there = !r->rc && TIER__PROBE(r, 'f', u.base.data, name);
        } else {
            there = module_file(r, u.home.data, name, strlen(name));
        }
        if (there)
            tier__found(r);
        else if (!r->rc)
            r->unresolved++;
    }
    tier__text_fini(&u.file);
    tier__text_fini(&u.home);
    tier__text_fini(&u.crate);
    tier__text_fini(&u.prefix);
    tier__text_fini(&u.base);
    return r->rc;
}
