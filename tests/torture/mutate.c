/* mutate.c - the one writer of the tree: edits, renames, deletes, shadows, swaps directories, switches
 * branches, puts time stamps back; each system call an entry of the journal. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "tests/torture/torture.h"

struct mutator {
    struct world *w;
    struct shared *sh;
    struct fs fs;
    int top;
    uint64_t random;
    tier_cache *c; /* to invalidate; NULL: no store */
};

static const char *const files[] = {
    "root/src/f0.c",   "root/src/f1.c",      "root/src/f2.c",     "root/src/f3.c",  "root/src/f4.c",
    "root/src/f5.c",   "root/inc1/h0.h",     "root/inc1/h1.h",    "root/inc1/h2.h", "root/inc2/h0.h",
    "root/inc2/h1.h",  "root/inc2/h2.h",     "root/inc2/h3.h",    "root/inc2/h4.h", "root/inc2/h5.h",
    "root/libA/h3.h",  "root/libA/h4.h",     "root/libA/h5.h",    "root/libB/h3.h", "root/libB/h4.h",
    "root/libB/h5.h",  "sys/h0.h",           "sys/h4.h",          "sys/h5.h",       "root/spare/h1.h",
    "root/spare/h2.h", "root/src/deep/g0.c", "root/src/deep/g1.c"};
enum { FILES = sizeof files / sizeof *files, FIRST_HEADER = 6, SELF_CHECK = 256, SNAPSHOT = 512 };
/* Earlier on the search path than where the header is. */
static const char *const shadows[] = {"root/src/h0.h",  "root/src/h3.h", "root/inc1/h4.h",
                                      "root/inc1/h5.h", "root/src/h5.h", "root/src/deep/h1.h"};
static const char *const swaps[][2] = {{"root/inc1", "root/inc2"},      {"root/inc2", "root/spare"},
                                       {"root/src/deep", "root/spare"}, {"root/libA", "root/libB"},
                                       {"root/inc1", "root/libB"},      {"root/src/f1.c", "root/src/f2.c"}};
static const char *const switches[] = {"root/inc1", "root/inc2", "root/src/deep", "root/libB"};

static unsigned family_of(const char *path)
{
    const char *name = strrchr(path, '/') + 1;
    unsigned digit = (unsigned)(name[1] - '0');
    return *name == 'h' ? 6 + digit % 6 : *name == 'g' ? 4 + digit % 2 : digit % 6;
}

/* ---- one call */
static int exchange(int top, const char *a, const char *b)
{
    return (int)syscall(SYS_renameat2, top, a, top, b, 2 /* RENAME_EXCHANGE */);
}

static bool on_file(struct mutator *m, const struct entry *e)
{
    int fd = openat(
        m->top, e->a,
        O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (e->op == J_TRUNC ? O_CREAT | O_TRUNC : 0), 0644);
    const struct content *c = &m->w->content[e->content];
    bool fine = fd >= 0;
    if (fine && e->op == J_WRITE)
        fine = pwrite(fd, c->text, c->size, 0) == (ssize_t)c->size;
    if (fine && e->op == J_DIGIT)
        fine = pwrite(fd, c->text + 2, 1, 2) == 1;
    if (fd >= 0)
        close(fd);
    return fine;
}

static bool set_time(struct mutator *m, const struct entry *e)
{
    struct timespec t[2] = {{0, UTIME_OMIT}, {e->mtime / 1000000000, e->mtime % 1000000000}};
    if (!e->mtime)
        t[1].tv_nsec = UTIME_NOW;
    return utimensat(m->top, e->a, t, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Committed before it is over: a writer of the store that was stopped may keep us waiting. */
static bool change_outside(struct mutator *m, const struct entry *e)
{
    atomic_store(&m->sh->outside, e->content);
    const struct timespec pause = {0, 5 * 1000 * 1000};
    bool by_path = e->content % 2;
    while (tier_invalidate(m->c, by_path ? TIER_BY_PATH : TIER_BY_TAG, by_path ? "src/f0.c" : "outside") &&
           !atomic_load(&m->sh->stop))
        nanosleep(&pause, NULL);
    return true;
}

static bool perform(struct mutator *m, const struct entry *e)
{
    switch (e->op) {
    case J_TRUNC:
    case J_WRITE:
    case J_DIGIT:
        return on_file(m, e);
    case J_UTIME:
        return set_time(m, e);
    case J_CHMOD:
        return fchmodat(m->top, e->a, e->mode, 0) == 0;
    case J_UNLINK:
        return unlinkat(m->top, e->a, 0) == 0;
    case J_RMDIR:
        return unlinkat(m->top, e->a, AT_REMOVEDIR) == 0;
    case J_MKDIR:
        return mkdirat(m->top, e->a, 0755) == 0;
    case J_FIFO:
        return mkfifoat(m->top, e->a, 0644) == 0;
    case J_SYMLINK:
        return symlinkat(fs_targets[e->target], m->top, e->a) == 0;
    case J_LINK:
        return linkat(m->top, e->a, m->top, e->b, 0) == 0;
    case J_RENAME:
        return renameat(m->top, e->a, m->top, e->b) == 0;
    case J_EXCHANGE:
        return exchange(m->top, e->a, e->b) == 0;
    default:
        return change_outside(m, e);
    }
}

/* Does it and enters it. true: it was done. */
static bool call(struct mutator *m, struct entry e)
{
    struct shared *sh = m->sh;
    uint64_t i = atomic_load(&sh->begun);
    struct entry *slot = &sh->ring[i % RING];
    struct stat st;
    *slot = e;
    slot->start = now_ns();
    atomic_store(&sh->begun, i + 1);
    slot->failed = !perform(m, &e);
    if (!slot->failed && e.op != J_OUTSIDE && e.op != J_UNLINK && e.op != J_RMDIR && e.op != J_LINK &&
        e.op < J_RENAME) {
        if (fstatat(m->top, e.a, &st, AT_SYMLINK_NOFOLLOW))
            abort();
        slot->mtime = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
        slot->mode = st.st_mode & 07777;
    }
    slot->end = now_ns();
    bool done = !slot->failed;
    fs_apply(&m->fs, slot);
    atomic_store(&sh->done, i + 1);
    if ((i + 1) % SNAPSHOT == 0) {
        unsigned which = atomic_load(&sh->which) + 1;
        sh->snapshot[which % 2] = m->fs;
        sh->snapshot_at[which % 2] = i + 1;
        atomic_store(&sh->which, which);
    }
    return done;
}

static bool call_on(struct mutator *m, int op, const char *a, const char *b, unsigned content)
{
    struct entry e = {.op = (uint8_t)op, .content = (uint16_t)content, .mode = 0644};
    snprintf(e.a, sizeof e.a, "%s", a);
    snprintf(e.b, sizeof e.b, "%s", b ? b : "");
    return call(m, e);
}

static bool call_link(struct mutator *m, const char *path, unsigned target)
{
    struct entry e = {.op = J_SYMLINK, .target = (uint8_t)target, .mode = 0777};
    snprintf(e.a, sizeof e.a, "%s", path);
    return call(m, e);
}

/* ---- self check: the model against the disk */
static void check_node(struct mutator *m, int node, const char *path)
{
    const struct fs_node *n = &m->fs.node[node];
    struct stat st;
    const char *wrong = NULL;
    char target[PATH_SIZE] = "";
    if (fstatat(m->top, path, &st, AT_SYMLINK_NOFOLLOW)) {
        wrong = "is gone";
    } else {
        char type = S_ISREG(st.st_mode) ? 'f' : S_ISDIR(st.st_mode) ? 'd' : S_ISLNK(st.st_mode) ? 'l' : 'o';
        int64_t mtime = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
        if (type != n->type)
            wrong = "is of another type";
        else if (type == 'f' && (size_t)st.st_size != m->w->content[n->content].size)
            wrong = "has another size";
        else if (type == 'f' && (mtime != n->mtime || (st.st_mode & 07777) != n->mode))
            wrong = "has another time or mode";
        else if (type == 'l' && (readlinkat(m->top, path, target, sizeof target - 1) < 0 ||
                                 strcmp(target, fs_targets[n->target])))
            wrong = "leads elsewhere";
    }
    if (wrong) {
        fprintf(stderr, "torture: %s %s: the model does not follow the tree\n", path, wrong);
        abort();
    }
}

static void self_check(struct mutator *m)
{
    struct {
        int node;
        char path[PATH_SIZE];
    } stack[NODES];
    int depth = 0;
    stack[depth].node = NODE_TOP;
    snprintf(stack[depth++].path, PATH_SIZE, ".");
    while (depth) {
        char path[PATH_SIZE * 2], at[PATH_SIZE];
        const struct fs_node *d = &m->fs.node[stack[--depth].node];
        snprintf(at, sizeof at, "%s", stack[depth].path);
        for (int i = 0; i < d->count; i++) {
            snprintf(path, sizeof path, "%s/%s", at, fs_names[d->at[i].name]);
            check_node(m, d->at[i].node, path);
            if (m->fs.node[d->at[i].node].type == 'd') {
                stack[depth].node = d->at[i].node;
                snprintf(stack[depth++].path, PATH_SIZE, "%.63s", path);
            }
        }
        int fd = openat(m->top, at, O_RDONLY | O_DIRECTORY | O_CLOEXEC), names = 0;
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        for (struct dirent *e; dir && (e = readdir(dir));)
            names += e->d_name[0] != '.' || name_of(e->d_name, strlen(e->d_name)) < 100;
        if (dir)
            closedir(dir);
        if (names != d->count) {
            fprintf(stderr, "torture: %s holds %d names, the model %d\n", at, names, d->count);
            abort();
        }
    }
}

/* ---- what people do to a tree */
static char type_at(const struct mutator *m, const char *path)
{
    int node = fs_find(&m->fs, NODE_TOP, path, false);
    return node < 0 ? 0 : m->fs.node[node].type;
}

static bool dir_of(const struct mutator *m, const char *path)
{
    char dir[PATH_SIZE];
    snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(path, '/') - path), path);
    return type_at(m, dir) == 'd';
}

static void clear(struct mutator *m, const char *path)
{
    char type = type_at(m, path);
    if (type)
        call_on(m, type == 'd' ? J_RMDIR : J_UNLINK, path, NULL, 0);
}

static unsigned some_content(struct mutator *m, const char *path)
{
    unsigned variant = random_below(&m->random, VARIANTS), digit = random_below(&m->random, 3);
    return content_of(family_of(path), variant, digit);
}

static void edit(struct mutator *m, const char *path)
{
    char type = type_at(m, path);
    if (!dir_of(m, path))
        return;
    if (type && type != 'f')
        clear(m, path);
    if (call_on(m, J_TRUNC, path, NULL, 0))
        call_on(m, J_WRITE, path, NULL, some_content(m, path));
}

static void replace(struct mutator *m, const char *path)
{
    char temporary[PATH_SIZE];
    if (!dir_of(m, path))
        return;
    snprintf(temporary, sizeof temporary, "%.*s/.new", (int)(strrchr(path, '/') - path), path);
    if (type_at(m, path) == 'd')
        clear(m, path);
    if (call_on(m, J_TRUNC, temporary, NULL, 0)) {
        call_on(m, J_WRITE, temporary, NULL, some_content(m, path));
        call_on(m, J_RENAME, temporary, path, 0);
    }
}

/* One byte, and perhaps the time of before: only the change time tells, if the clock has ticked. */
static void same_size(struct mutator *m, const char *path)
{
    struct entry e = {.op = J_UTIME};
    struct stat st;
    int node = fs_find(&m->fs, NODE_TOP, path, false);
    if (node < 0 || m->fs.node[node].type != 'f' || m->fs.node[node].content == 0)
        return;
    if (syscall(SYS_newfstatat, m->top, path, &st, 0))
        abort();
    unsigned base = (m->fs.node[node].content - 1u) / 10 * 10 + 1;
    for (unsigned n = 1 + random_below(&m->random, 3); n; n--)
        call_on(m, J_DIGIT, path, NULL, base + random_below(&m->random, 10));
    if (random_below(&m->random, 2))
        return;
    snprintf(e.a, sizeof e.a, "%s", path);
    e.mtime = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    call(m, e);
}

static void move(struct mutator *m, const char *from, const char *to)
{
    bool across = strncmp(from, "sys", 3) == 0 || strncmp(to, "sys", 3) == 0;
    char a = type_at(m, from), b = type_at(m, to);
    if (!a || a == 'd' || b == 'd' || !dir_of(m, to) || (across && a == 'l'))
        return;
    call_on(m, J_RENAME, from, to, 0);
}

static void branch(struct mutator *m)
{
    if (type_at(m, "root/.lnk"))
        return;
    if (call_link(m, "root/.lnk",
                  random_below(&m->random, 5) ? random_below(&m->random, 2) : random_below(&m->random, 4)))
        call_on(m, J_RENAME, "root/.lnk", "root/lib", 0);
}

static void gone_and_back(struct mutator *m)
{
    unsigned i = random_below(&m->random, sizeof switches / sizeof *switches);
    if (type_at(m, "root/gone")) {
        for (i = 0; i < sizeof switches / sizeof *switches; i++)
            if (!type_at(m, switches[i]))
                call_on(m, J_RENAME, "root/gone", switches[i], 0);
    } else if (type_at(m, switches[i])) {
        call_on(m, J_RENAME, switches[i], "root/gone", 0);
    }
}

static void other_kind(struct mutator *m, const char *path)
{
    bool in_root = strncmp(path, "root/", 5) == 0 && !strstr(path, "/f");
    if (!in_root || !dir_of(m, path))
        return;
    clear(m, path);
    switch (random_below(&m->random, 4)) {
    case 0:
        call_on(m, J_MKDIR, path, NULL, 0);
        break;
    case 1:
        call_on(m, J_FIFO, path, NULL, 0);
        break;
    case 2:
        call_link(m, path, 2 + random_below(&m->random, 6));
        break;
    default:
        if (type_at(m, "root/inc2/h2.h") == 'f')
            call_on(m, J_LINK, "root/inc2/h2.h", path, 0);
    }
}

static void shadow(struct mutator *m)
{
    const char *path = shadows[random_below(&m->random, sizeof shadows / sizeof *shadows)];
    if (random_below(&m->random, 2))
        edit(m, path);
    else
        clear(m, path);
}

static void change(struct mutator *m)
{
    unsigned pick = random_below(&m->random, 100);
    /* half of the changes are in few files, that others read */
    const char *path =
        files[random_below(&m->random, 2) ? random_below(&m->random, FILES) : random_below(&m->random, 12)];
    if (pick < 25)
        edit(m, path);
    else if (pick < 35)
        replace(m, path);
    else if (pick < 55)
        same_size(m, path);
    else if (pick < 59)
        call_on(m, J_UTIME, path, NULL, 0);
    else if (pick < 65)
        clear(m, path);
    else if (pick < 71)
        move(m, path, files[random_below(&m->random, FILES)]);
    else if (pick < 79)
        shadow(m);
    else if (pick < 83)
        call_on(m, J_EXCHANGE, swaps[pick % 6][0], swaps[pick % 6][1], 0);
    else if (pick < 87)
        branch(m);
    else if (pick < 90)
        gone_and_back(m);
    else if (pick < 94)
        other_kind(m, path);
    else if (pick < 96)
        call_on(m, J_CHMOD, path, NULL, 0); /* the mode is in call_on */
    else if (m->c)
        call_on(m, J_OUTSIDE, "", NULL, random_below(&m->random, 1000));
}

static bool plant(struct mutator *m)
{
    static const char *const dirs[] = {"root/src",  "root/src/deep", "root/inc1", "root/inc2",
                                       "root/libA", "root/libB",     "root/spare"};
    bool fine = true;
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
        fine &= call_on(m, J_MKDIR, dirs[i], NULL, 0);
    for (size_t i = 0; i < FILES; i++)
        edit(m, files[i]);
    return fine && call_link(m, "root/lib", 0);
}

int mutate(struct world *w)
{
    struct mutator *m = calloc(1, sizeof *m);
    if (!m)
        return 1;
    m->w = w;
    m->sh = w->sh;
    m->random = w->set.seed;
    m->top = open(w->set.base, O_PATH | O_DIRECTORY | O_CLOEXEC);
    fs_init(&m->fs);
    m->sh->snapshot[0] = m->fs;
    umask(022);
    if (mkdirat(m->top, "root", 0755) || mkdirat(m->top, "sys", 0755) || !plant(m))
        return 1;
    char dir[300], root_path[300];
    snprintf(dir, sizeof dir, "%s/.cache", w->set.base);
    snprintf(root_path, sizeof root_path, "%s/root", w->set.base);
    const tier_root root = {"", root_path};
    tier_options o = TIER_INIT(tier_options);
    o.app = "torture";
    o.app_version = "1";
    o.dir = dir;
    o.profile =
        "production"; /* its commits take long, from the first that can be seen of them to their end */
    o.roots = &root;
    o.root_count = 1;
    if (w->set.store && tier_open(&o, &m->c))
        return 1;
    /* A worker that only reads, and finds no store yet, would never hear of what is invalidated. */
    atomic_store(&m->sh->planted, true);
    for (unsigned n = 0; !atomic_load(&m->sh->stop); n++) {
        for (unsigned burst = 1 + random_below(&m->random, 4); burst; burst--)
            change(m);
        unsigned mood = random_below(&m->random, 10), us = mood < 5 ? 3000 : mood < 8 ? 30000 : 120000;
        const struct timespec pause = {0, 1000L * random_below(&m->random, us)};
        nanosleep(&pause, NULL);
        if (n % SELF_CHECK == 0)
            self_check(m);
    }
    self_check(m);
    tier_close(&m->c);
    close(m->top);
    free(m);
    return 0;
}
