/* fs.c - a model of the tree, and the texts that files can have. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/torture/torture.h"
#include "tiers/digest.h"

enum { LINKS_MAX = 40 };

const char *const fs_names[] = {"root", "sys",  "src",   "deep", "inc1", "inc2", "libA",
                                "libB", "lib",  "spare", "gone", "f0.c", "f1.c", "f2.c",
                                "f3.c", "f4.c", "f5.c",  "g0.c", "g1.c", "h0.h", "h1.h",
                                "h2.h", "h3.h", "h4.h",  "h5.h", ".new", ".lnk", NULL};
const char *const fs_targets[] = {"libA", "libB",         "nowhere", "inc1", "f1.c",
                                  "h2.h", "../inc2/h0.h", "lib",     NULL};

/* ---- texts */
unsigned content_of(unsigned family, unsigned variant, unsigned digit)
{
    return 1 + (family * VARIANTS + variant) * 10 + digit;
}

/* Variants 2k and 2k + 1 differ in comments alone: their faces are equal. */
static void content_make(unsigned family, unsigned variant, unsigned digit, struct content *c)
{
    uint64_t r = 77 + family * 1000 + variant / 2;
    size_t n = (size_t)snprintf(c->text, TEXT_MAX, "v %u\n", digit);
    unsigned includes = random_below(&r, 4);
    for (unsigned i = 0; i < includes; i++) {
        unsigned header = random_below(&r, 6);
        if (variant % 2 && i == 0)
            n += (size_t)snprintf(c->text + n, TEXT_MAX - n, "// one more line\n");
        n += (size_t)snprintf(c->text + n, TEXT_MAX - n, "#include h%u.h\n", header);
    }
    if (family < FAMILIES / 2 && variant / 2 == 2 && family % 3 == 0)
        n += (size_t)snprintf(c->text + n, TEXT_MAX - n, "bad\n");
    n += (size_t)snprintf(c->text + n, TEXT_MAX - n, "// family %u variant %u\n", family, variant);
    c->size = n;
    tier__digest_of(c->text, c->size, &c->digest);
}

void contents_make(struct content *all)
{
    tier__digest_init();
    memset(all, 0, sizeof *all);
    tier__digest_of("", 0, &all->digest);
    for (unsigned f = 0; f < FAMILIES; f++)
        for (unsigned v = 0; v < VARIANTS; v++)
            for (unsigned d = 0; d < 10; d++)
                content_make(f, v, d, &all[content_of(f, v, d)]);
}

/* ---- the tree */
unsigned name_of(const char *name, size_t size)
{
    for (unsigned i = 0; fs_names[i]; i++)
        if (strncmp(fs_names[i], name, size) == 0 && fs_names[i][size] == 0)
            return i;
    return UINT_MAX;
}

static int child_of(const struct fs_node *d, unsigned name)
{
    for (int i = 0; i < d->count; i++)
        if (d->at[i].name == name)
            return i;
    return -1;
}

int fs_find(const struct fs *fs, int start, const char *path, bool follow)
{
    char rest[PATH_SIZE * 4];
    int at = start, links = 0;
    snprintf(rest, sizeof rest, "%s", path);
    for (char *next = rest;;) {
        next += strspn(next, "/");
        size_t n = strcspn(next, "/");
        if (n == 0)
            return at;
        const struct fs_node *d = &fs->node[at];
        if (d->type != 'd')
            return -1;
        if (n == 2 && strncmp(next, "..", 2) == 0) {
            at = d->parent;
            next += n;
            continue;
        }
        int i = child_of(d, name_of(next, n));
        if (i < 0)
            return -1;
        const struct fs_node *child = &fs->node[d->at[i].node];
        next += n;
        if (child->type != 'l' || (!follow && next[strspn(next, "/")] == 0)) {
            at = d->at[i].node;
            continue;
        }
        if (++links > LINKS_MAX)
            return -1;
        char joined[sizeof rest];
        if (snprintf(joined, sizeof joined, "%s/%s", fs_targets[child->target], next) >= (int)sizeof joined)
            return -1;
        memcpy(rest, joined, sizeof rest);
        next = rest;
    }
}

int fs_key(const struct fs *fs, const char *key, bool follow)
{
    bool sys = strncmp(key, "sys:", 4) == 0;
    return fs_find(fs, sys ? NODE_SYS : NODE_ROOT, sys ? key + 4 : key, follow);
}

static void broken(const struct entry *e, const char *why)
{
    fprintf(stderr, "torture: the model of the tree cannot follow: op %d %s %s: %s\n", e->op, e->a, e->b,
            why);
    abort();
}

/* Directory and name of a path. */
static int place_of(const struct fs *fs, const struct entry *e, const char *path, unsigned *name)
{
    char dir[PATH_SIZE];
    const char *slash = strrchr(path, '/');
    snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - path) : 0, path);
    *name = name_of(slash ? slash + 1 : path, strlen(slash ? slash + 1 : path));
    int d = fs_find(fs, NODE_TOP, dir, true);
    if (d < 0 || fs->node[d].type != 'd' || *name == UINT_MAX)
        broken(e, "no such place");
    return d;
}

static int node_new(struct fs *fs, const struct entry *e, char type)
{
    for (int i = 0; i < NODES; i++)
        if (!fs->node[i].type) {
            memset(&fs->node[i], 0, sizeof fs->node[i]);
            fs->node[i].type = type;
            return i;
        }
    broken(e, "too many nodes");
    return -1;
}

static void enter(struct fs *fs, const struct entry *e, int dir, unsigned name, int node)
{
    struct fs_node *d = &fs->node[dir];
    if (d->count == DIR_MAX)
        broken(e, "too many names");
    d->at[d->count].name = (uint8_t)name;
    d->at[d->count++].node = (uint8_t)node;
    fs->node[node].links++;
    fs->node[node].parent = (uint8_t)dir;
}

static void leave(struct fs *fs, const struct entry *e, int dir, unsigned name)
{
    struct fs_node *d = &fs->node[dir];
    int i = child_of(d, name);
    if (i < 0)
        broken(e, "no such name");
    int node = d->at[i].node;
    d->at[i] = d->at[--d->count];
    if (--fs->node[node].links == 0)
        fs->node[node].type = 0;
}

static void apply_rename(struct fs *fs, const struct entry *e)
{
    unsigned from, to;
    int a = place_of(fs, e, e->a, &from), b = place_of(fs, e, e->b, &to);
    int i = child_of(&fs->node[a], from), k = child_of(&fs->node[b], to);
    if (i < 0)
        broken(e, "no such name");
    int node = fs->node[a].at[i].node;
    if (e->op == J_EXCHANGE) {
        if (k < 0)
            broken(e, "no such name");
        int other = fs->node[b].at[k].node;
        fs->node[a].at[i].node = (uint8_t)other;
        fs->node[b].at[k].node = (uint8_t)node;
        fs->node[node].parent = (uint8_t)b;
        fs->node[other].parent = (uint8_t)a;
        return;
    }
    if (k >= 0 && fs->node[b].at[k].node == node)
        return; /* two names of one file: the call does nothing */
    if (k >= 0)
        leave(fs, e, b, to);
    enter(fs, e, b, to, node);
    leave(fs, e, a, from);
    fs->node[node].parent = (uint8_t)b;
}

static void apply_new(struct fs *fs, const struct entry *e, char type)
{
    unsigned name;
    int dir = place_of(fs, e, e->a, &name), node = node_new(fs, e, type);
    fs->node[node].mode = e->mode;
    fs->node[node].mtime = e->mtime;
    fs->node[node].target = e->target;
    enter(fs, e, dir, name, node);
}

void fs_apply(struct fs *fs, const struct entry *e)
{
    unsigned name;
    if (e->failed)
        return;
    int dir, node = e->op == J_OUTSIDE ? -1 : fs_find(fs, NODE_TOP, e->a, false);
    switch (e->op) {
    case J_TRUNC:
        if (node < 0)
            apply_new(fs, e, 'f');
        node = fs_find(fs, NODE_TOP, e->a, false);
        /* fall through */
    case J_WRITE:
    case J_DIGIT:
        fs->node[node].content = e->content;
        /* fall through */
    case J_UTIME:
        fs->node[node].mtime = e->mtime;
        break;
    case J_CHMOD:
        fs->node[node].mode = e->mode;
        break;
    case J_UNLINK:
    case J_RMDIR:
        dir = place_of(fs, e, e->a, &name);
        leave(fs, e, dir, name);
        break;
    case J_MKDIR:
        apply_new(fs, e, 'd');
        break;
    case J_FIFO:
        apply_new(fs, e, 'o');
        break;
    case J_SYMLINK:
        apply_new(fs, e, 'l');
        break;
    case J_LINK:
        dir = place_of(fs, e, e->b, &name);
        enter(fs, e, dir, name, node);
        break;
    case J_OUTSIDE:
        fs->outside = e->content;
        break;
    default:
        apply_rename(fs, e);
    }
}

void fs_init(struct fs *fs)
{
    static const struct entry root = {.op = J_MKDIR, .mode = 0755, .a = "root"},
                              sys = {.op = J_MKDIR, .mode = 0755, .a = "sys"};
    memset(fs, 0, sizeof *fs);
    fs->node[NODE_TOP].type = 'd';
    fs->node[NODE_TOP].links = 1;
    fs_apply(fs, &root);
    fs_apply(fs, &sys);
}
