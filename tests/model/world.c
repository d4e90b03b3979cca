/* world.c - a private tree, the two caches over it, and the operations on both. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "coherence/manager.h"
#include "tests/model/model.h"

const char *const file_name[FILES] = {
    "src/a.t",  "src/b.t",   "src/c.t",  "src/d.t",  "src/e.t",       "inc/x.h",      "inc/y.h",
    "inc/z.h",  "inc/s/q.h", "sys/x.h",  "sys/y.h",  "sys/w.h",       "sys/s/q.h",    "src/x.h",
    "src/w.h",  "many/0.t",  "many/1.t", "many/2.t", "many/3.t",      "many/4.t",     "many/5.t",
    "many/6.t", "many/7.t",  "many/8.t", "many/9.t", "many/deep/a.t", "many/deep/b.t"};
static const char *const shadows[] = {"src/y.h",  "src/z.h",   "inc/w.h",
                                      "many/x.h", "src/s/q.h", "many/deep/x.h"};

const char *op_name(int kind)
{
    static const char *const name[] = {
#define MODEL_OP_NAME(name, weight, help) #name,
        MODEL_OPS(MODEL_OP_NAME)
#undef MODEL_OP_NAME
    };
    return name[kind];
}

uint64_t next_random(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* ---- texts: a file has few, so that going back to one is common ---- */

void file_text(unsigned file, unsigned text, char *buf, size_t size)
{
    static const char *const header[] = {"x.h", "y.h", "z.h", "w.h", "s/q.h", "none.h"};
    uint64_t r = hash_bytes(&file, sizeof file, text % 8);
    unsigned rank =
        file >= 5 && file < 15 ? (file - 5) % 4 + 1 : 0; /* headers include what comes after them */
    int n = 0;
    *buf = 0;
    for (unsigned lines = 1 + (unsigned)(next_random(&r) % 5); lines; lines--) {
        unsigned what = (unsigned)(next_random(&r) % 20), k = (unsigned)(next_random(&r) % 10);
        size_t left = size - (size_t)n;
        if (what < 8)
            n += snprintf(buf + n, left, "n %u\n", k);
        else if (what < 15)
            n += snprintf(buf + n, left, "#include %s\n", header[k == 9 ? k % 6 : rank + k % (6 - rank)]);
        else if (what < 18)
            n += snprintf(buf + n, left, "%% comment %u\n", k);
        else if (what == 18)
            n += snprintf(buf + n, left, k < 5 ? "!fail %u\n" : "n %u\n", k);
        else
            n += snprintf(buf + n, left, k < 2 ? "!transient\n" : "plain\n");
    }
}

/* ---- the tree ---- */

static void path_of(const struct model *m, const char *name, char *path, size_t size)
{
    snprintf(path, size, "%s/%s", m->root, name);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)st;
    (void)type;
    (void)f;
    return remove(path);
}

static void away(const char *path)
{
    if (unlink(path) && errno == EISDIR)
        nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Makes the directories above path; what is in the way goes. */
static void above(const struct model *m, const char *path)
{
    char dir[700];
    for (const char *slash = strchr(path + strlen(m->root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        struct stat st;
        snprintf(dir, sizeof dir, "%.*s", (int)(slash - path), path);
        if (stat(dir, &st) == 0 && !S_ISDIR(st.st_mode))
            unlink(dir);
        mkdir(dir, 0755);
    }
}

static void spew(const struct model *m, const char *path, const char *text)
{
    struct stat st;
    above(m, path);
    if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
        away(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0)
        return; /* a link to nowhere: that file stays absent */
    if (write(fd, text, strlen(text)) < 0)
        abort();
    close(fd);
}

static void same_size(const char *path, unsigned b)
{
    char text[4096];
    struct timespec t[2] = {{0, UTIME_OMIT}, {0, 0}};
    int fd = open(path, O_RDWR);
    ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof text, 0);
    if (n > 0 && seam_mtime(fd, &t[1])) {
        ssize_t i = 0;
        while (i < n && !(text[i] >= '0' && text[i] <= '9'))
            i++;
        if (i < n) {
            text[i] = (char)('0' + (text[i] - '0' + 1 + b / 2 % 3) % 10);
            if (pwrite(fd, text + i, 1, i) != 1)
                abort();
            if (b % 2)
                futimens(fd, t);
        }
    }
    if (fd >= 0)
        close(fd);
}

static void replace(const struct model *m, const char *path, const char *text)
{
    char temporary[720];
    struct stat st;
    snprintf(temporary, sizeof temporary, "%s.new", path);
    spew(m, temporary, text);
    if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
        away(path);
    if (rename(temporary, path))
        unlink(temporary);
}

static void move(const struct model *m, const char *from, const char *to)
{
    struct stat st;
    if (lstat(from, &st))
        return;
    above(m, to);
    if (strcmp(from, to) != 0 && lstat(to, &st) == 0 && S_ISDIR(st.st_mode))
        away(to);
    if (rename(from, to))
        return;
}

static void swap(const struct model *m, unsigned b)
{
    static const char *const pair[][2] = {
        {"inc", "sys"}, {"src", "many"}, {"inc/s", "sys/s"}, {"src", "inc"}};
    char one[300], two[300], third[300];
    path_of(m, pair[b % 4][0], one, sizeof one);
    path_of(m, pair[b % 4][1], two, sizeof two);
    path_of(m, "third", third, sizeof third);
    rename(one, third);
    rename(two, one);
    rename(third, two);
}

static void flip_link(const struct model *m, unsigned b)
{
    static const char *const to[] = {"inc", "sys", "nowhere", "many", "src"};
    char path[300];
    path_of(m, "lnk", path, sizeof path);
    away(path);
    if (b % 6 < 5 && symlink(to[b % 6], path))
        abort();
}

/* a becomes a link to b (or b's other name): relative, through the directories above. */
static void link_files(const struct model *m, const char *a, const char *b, bool hard)
{
    char from[700], to[700], target[700] = "";
    struct stat st;
    path_of(m, a, from, sizeof from);
    path_of(m, b, to, sizeof to);
    if (strcmp(a, b) == 0 || (hard && (stat(to, &st) || !S_ISREG(st.st_mode))))
        return;
    above(m, from);
    away(from);
    for (const char *slash = strchr(a, '/'); slash; slash = strchr(slash + 1, '/'))
        strcat(target, "../");
    strcat(target, b);
    if (hard ? link(to, from) : symlink(target, from))
        return; /* what is in the way stays */
}

/* ---- the caches ---- */

static const char *const profile[] = {"dev", "ci", "production"};

static int side_open(struct model *m, struct side *s)
{
    const tier_root root = {"", m->root};
    char mode[40];
    snprintf(mode, sizeof mode, "config.mode=%u", m->mode);
    /* builds are counted: nothing may go of itself; commits are not synced: the disk is not what is tested */
    const char *settings[] = {
        "verify.sample=0", "retention.hours=87600", "keep.results=0",    mode,
        "store.sync=none", "memory.file=64KiB",     "memory.tree=16KiB", "memory.delta=16KiB"};
    tier_options o = TIER_INIT(tier_options);
    o.app = "model";
    o.app_version = "1";
    o.dir = m->disk ? m->cache : "";
    o.profile = m->profile; /* speed, memory, durability; never an answer, nor what has to run (I14, I15) */
    o.roots = &root;
    o.root_count = 1;
    o.settings = settings;
    o.setting_count = m->small ? 8 : 5;
    o.flags = m->null_cache ? TIER_NO_MEMORY : 0;
    int rc = s->api.open(&o, &s->c);
    for (int k = 0; k < TYPES && !rc; k++)
        rc = types_define(s, k);
    return rc;
}

int cache_open(struct model *m)
{
    int rc = side_open(m, &m->lib);
    if (!rc)
        rc = side_open(m, &m->oracle);
    if (rc)
        differ(m, "open: %s", tier_errname(rc));
    else if (m->disk && !m->null_cache && m->lib.api.cache_detail(m->lib.c))
        differ(m, "the cache has no memory: %s", m->lib.api.cache_detail(m->lib.c));
    return rc;
}

int cache_close(struct model *m)
{
    int a = m->lib.api.close(&m->lib.c), b = m->oracle.api.close(&m->oracle.c);
    if (a || b)
        differ(m, "close: %s, oracle %s", tier_errname(a), tier_errname(b));
    return a | b;
}

bool world_open(struct model *m, uint64_t seed)
{
    static const struct oracle_side library = ORACLE_LIBRARY, oracle = ORACLE_ORACLE;
    const char *tmp = getenv("TMPDIR");
    uint64_t r = seed;
    memset(m, 0, sizeof *m);
    pthread_mutex_init(&m->lock, NULL);
    m->lib.api = library;
    m->oracle.api = oracle;
    m->lib.m = m->oracle.m = m;
    m->oracle.oracle = true;
    m->program = hash_bytes(&seed, sizeof seed, 9);
    m->profile = profile[m->program % 3];
    m->disk = next_random(&r) % 6 != 0;
    m->small = next_random(&r) % 3 == 0;
    m->null_cache = next_random(&r) % 24 == 0;
    seam_reset((int)(next_random(&r) % STAMP_KINDS));
    snprintf(m->base, sizeof m->base, "%s/model.XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(m->base))
        return false;
    snprintf(m->root, sizeof m->root, "%s/root", m->base);
    snprintf(m->cache, sizeof m->cache, "%s/cache", m->base);
    mkdir(m->root, 0755);
    unsetenv("MODEL_ENV");
    for (unsigned i = 0; i < FILES; i++) {
        char path[700], text[512];
        path_of(m, file_name[i], path, sizeof path);
        file_text(i, (unsigned)next_random(&r), text, sizeof text);
        if (i < 13 || i >= 15)
            spew(m, path, text);
    }
    flip_link(m, (unsigned)(seed % 2));
    return cache_open(m) == 0;
}

void world_close(struct model *m)
{
    cache_close(m);
    memo_free(m);
    nftw(m->base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    pthread_mutex_destroy(&m->lock);
}

/* ---- operations ---- */

static void count_ban(struct model *m, const char *path)
{
    if (++m->bans > 256) { /* the 257th that a process keeps raises the floor: everything older */
        m->bans = 0;
        memo_ban_all(m);
    } else {
        memo_ban(m, path);
    }
}

static void both_ban(struct model *m, int by, const char *what)
{
    m->unheard = false; /* a ban reads what others banned before it */
    int a = m->lib.api.invalidate(m->lib.c, by, what), b = m->oracle.api.invalidate(m->oracle.c, by, what);
    if (a || b)
        differ(m, "invalidate %s: %s, oracle %s", what, tier_errname(a), tier_errname(b));
    count_ban(m, by == TIER_BY_PATH ? what : NULL);
}

/* Another process invalidates the tag; this one must hear of it. Its ban may cut the log, and who had not
 * heard of a row by then has to take everything for banned: so of two in a row, this one hears of the first
 * in time. */
static void child_bans(struct model *m)
{
    int status = 0;
    tier_session *s;
    if (m->unheard && !m->lib.api.begin(m->lib.c, NULL, &s))
        m->lib.api.end(&s);
    m->unheard = true;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        int rc = m->lib.api.begin(m->lib.c, NULL, &s); /* opens the store anew */
        if (!rc)
            rc = m->lib.api.end(&s);
        if (!rc)
            rc = m->lib.api.invalidate(m->lib.c, TIER_BY_TAG, "outside");
        _exit(rc ? 1 : 0);
    }
    if (pid > 0)
        waitpid(pid, &status, 0);
    if (pid < 0 || status)
        differ(m, "a child process that invalidates: status %d", status);
}

static void outside_changes(struct model *m, const struct op *o)
{
    m->outside = (int)(o->b % 4);
    if (!m->disk || m->null_cache || o->c % 4) {
        both_ban(m, TIER_BY_TAG, "outside");
        return;
    }
    child_bans(m);
    count_ban(m, NULL);
}

static void both_input(struct model *m, unsigned b)
{
    char text[16];
    snprintf(text, sizeof text, "in%u", b % 3);
    const char *data = b % 4 ? text : NULL;
    m->lib.api.set_input(m->lib.c, "mode", data, data ? strlen(data) : 0);
    m->oracle.api.set_input(m->oracle.c, "mode", data, data ? strlen(data) : 0);
}

static void both_overlay(struct model *m, const struct op *o)
{
    char text[512];
    const char *name = file_name[o->a % FILES], *data = o->c % 2 ? NULL : text;
    file_text(o->a % FILES, o->b, text, sizeof text);
    int64_t version = ++m->overlay_version;
    uint64_t bit = UINT64_C(1) << o->a % FILES;
    m->overlays = data ? m->overlays | bit : m->overlays & ~bit;
    m->lib.api.overlay(m->lib.c, name, version, data, data ? strlen(data) : 0);
    m->oracle.api.overlay(m->oracle.c, name, version, data, data ? strlen(data) : 0);
}

static void retype(struct model *m, const struct op *o)
{
    struct side *side[] = {&m->lib, &m->oracle};
    int kind = o->a % TYPES, rc = 0;
    for (int i = 0; i < 2 && !rc; i++) {
        struct model_type_of *t = &side[i]->type[kind];
        rc = side[i]->api.undefine(side[i]->c, t->type);
        t->config = (unsigned char)(o->b % CONFIGS);
        t->version = o->b / CONFIGS % VERSIONS;
        if (!rc)
            rc = types_define(side[i], kind);
    }
    if (rc)
        differ(m, "define %s anew: %s", type_name(kind), tier_errname(rc));
    memo_restart(m, kind);
}

static void restart(struct model *m, unsigned b)
{
    if (cache_close(m))
        return;
    m->mode = b % 3;
    m->profile = profile[b / 3 % 3]; /* on a store that another one filled */
    m->overlays = 0;                 /* local to the process */
    memo_restart(m, -1);
    if (cache_open(m) == 0) /* it knows the rows that are left; where they are cut hangs on a sweep's time */
        m->bans = (unsigned)m->lib.c->ban_count;
}

static void pass(unsigned b)
{
    static const int64_t ms[] = {25, 60, 60, 100, 2500, 3600 * 1000};
    seam_pass(ms[b % 6] * 1000000);
}

static void apply_file(struct model *m, const struct op *o)
{
    char path[700], other[700], text[512];
    unsigned a = o->a % FILES;
    path_of(m, file_name[a], path, sizeof path);
    path_of(m, file_name[o->b % FILES], other, sizeof other);
    file_text(a, o->b, text, sizeof text);
    switch (o->kind) {
    case OP_EDIT:
        spew(m, path, text);
        break;
    case OP_REPLACE:
        replace(m, path, text);
        break;
    case OP_SAME_SIZE:
        same_size(path, o->b);
        break;
    case OP_TOUCH:
        utimensat(AT_FDCWD, path, NULL, 0);
        break;
    case OP_DELETE:
        away(path);
        break;
    case OP_RENAME:
        move(m, path, other);
        break;
    case OP_SHADOW:
        path_of(m, shadows[o->a % 6], path, sizeof path);
        file_text(o->a % 6 + 5, o->b, text, sizeof text);
        if (o->c % 3)
            spew(m, path, text);
        else
            away(path);
        break;
    case OP_DIRECTORY:
        away(path);
        above(m, path);
        mkdir(path, 0755);
        break;
    default:
        chmod(path, o->b % 2 ? 0644 : 0664);
    }
}

void world_apply(struct model *m, const struct op *o)
{
    char text[32];
    switch (o->kind) {
    case OP_SWAP:
        swap(m, o->b);
        break;
    case OP_FLIP_LINK:
        flip_link(m, o->b);
        break;
    case OP_SYMLINK:
    case OP_HARD_LINK:
        link_files(m, file_name[o->a % FILES], file_name[o->b % FILES], o->kind == OP_HARD_LINK);
        break;
    case OP_SETENV:
        snprintf(text, sizeof text, "env%u", o->b % 3);
        if (o->b % 4)
            setenv("MODEL_ENV", text, 1);
        else
            unsetenv("MODEL_ENV");
        break;
    case OP_INPUT:
        both_input(m, o->b);
        break;
    case OP_OVERLAY:
        both_overlay(m, o);
        break;
    case OP_OUTSIDE:
        outside_changes(m, o);
        break;
    case OP_BAN_PATH:
        both_ban(m, TIER_BY_PATH, file_name[o->a % FILES]);
        break;
    case OP_BAN_MANY:
        for (int i = 0; i < 70 && o->b % 4 == 0; i++)
            both_ban(m, TIER_BY_TAG, "outside");
        break;
    case OP_FLUSH:
        if (m->lib.api.flush(m->lib.c))
            differ(m, "flush failed");
        break;
    case OP_RESTART:
        restart(m, o->b);
        break;
    case OP_RETYPE:
        retype(m, o);
        break;
    case OP_PASS:
        pass(o->b);
        break;
    case OP_CHECK:
        check_run(m, o);
        break;
    default:
        apply_file(m, o);
    }
}
