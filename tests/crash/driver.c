/* driver.c - tierlint killed at random moments, and tierlint over a damaged cache directory.
 *
 *   driver kill   TIERLINT DIRECTORY     (a) kill -9, then a normal run
 *   driver damage TIERLINT DIRECTORY     (b) damaged files of the cache directory, then a normal run
 *
 * What counts: the normal run prints what a run with --no-cache prints, exits the same, ends by itself and in
 * time. $SEED repeats the choices; when a kill hits is the machine's affair. $ROUNDS (1) does so many times
 * as much. */
#include "tests/drive.h"
#include <fts.h>

enum {
    KILLS = 220,
    DAMAGES = 520,
    HANG_MS = 20000, /* a run takes about ten milliseconds */
    FILES = 6,
    STORES = 4,
    PAGE = 4096, /* of LMDB */
    ENOUGH_FAILURES = 10
};

struct run {
    struct drive_text out;
    int status;
};

struct bench {
    struct drive_random random;
    const char *lint;
    uint32_t rounds, passed, failed;
};

static const char *const profile[] = {"--profile=dev", "--profile=ci"};

/* ---- runs ---- */
enum { NO_CACHE = -1 };

static const char *const *arguments(const struct bench *b, int p, const char *jobs, const char *argv[8])
{
    const char *const all[] = {
        b->lint, "--no-system", "--enable=all", jobs, p == NO_CACHE ? "--no-cache" : profile[p], ".", NULL};
    memcpy(argv, all, sizeof all);
    return argv;
}

static void run(const struct bench *b, int p, struct run *r)
{
    const char *argv[8];
    r->status = drive_run(arguments(b, p, "-j1", argv), "../errors", &r->out, HANG_MS);
}

static bool usable(const struct run *r)
{
    return r->status != -1 && WIFEXITED(r->status) && WEXITSTATUS(r->status) <= 1;
}

static bool same(const struct run *a, const struct run *b)
{
    return a->status == b->status && drive_equal(&a->out, &b->out);
}

static void judge(struct bench *b, const struct run *wanted, const struct run *got, const char *after)
{
    if (same(wanted, got)) {
        b->passed++;
        return;
    }
    b->failed++;
    if (got->status == -1)
        printf("FAILED after %s: still running after %d ms\n", after, HANG_MS);
    else if (WIFSIGNALED(got->status))
        printf("FAILED after %s: signal %d\n", after, WTERMSIG(got->status));
    else
        printf("FAILED after %s: exit status %d, expected %d\n--- without a cache\n%s--- got\n%s", after,
               WEXITSTATUS(got->status), WEXITSTATUS(wanted->status), wanted->out.data, got->out.data);
}

static void free_run(struct run *r)
{
    free(r->out.data);
}

/* ---- the tree ---- */
static void edit(struct bench *b, uint32_t n)
{
    struct drive_text text = {0};
    char path[32];
    snprintf(path, sizeof path, "%s%u.%c", n % 2 ? "c" : "a/h", n, n % 2 ? 'c' : 'h');
    drive_source(&b->random, n % 2 == 0, &text);
    if (!drive_write(path, text.data, text.size))
        drive_die(path);
    free(text.data);
}

static void make_tree(struct bench *b)
{
    if (mkdir("a", 0755))
        drive_die("a");
    for (uint32_t n = 0; n < FILES; n++)
        edit(b, n);
}

static void truth(const struct bench *b, struct run *r)
{
    run(b, NO_CACHE, r);
    if (!usable(r)) {
        printf("FAILED: the run with --no-cache ended with status 0x%x\n0 passed, 1 failed\n",
               (unsigned)r->status);
        exit(1);
    }
}

/* ---- (a) kills ---- */
enum { COLD, WARM, EDITED, SITUATIONS };
static const char *const situation[] = {"a cold run", "a warm run", "a run after an edit"};

/* Starts a run and kills it within the time that a whole one takes: true if it was still alive. Where a
 * neighbour runs beside it on the same store, that one must be right. */
static bool kill_one(struct bench *b, int p, int64_t span_us, const struct run *wanted, bool neighbour)
{
    const char *argv[8], *beside[8];
    struct drive_child c, n;
    struct run other = {.status = 0};
    struct drive_text ignored = {0};
    drive_start(&c, arguments(b, p, drive_random(&b->random, 3) ? "-j1" : "-j2", argv), "../errors");
    if (neighbour)
        drive_start(&n, arguments(b, p, "-j1", beside), "../errors");
    usleep((useconds_t)drive_random(&b->random, (uint32_t)span_us));
    kill(c.pid, SIGKILL);
    int status = drive_finish(&c, &ignored, HANG_MS);
    if (neighbour) {
        drive_clear(&other.out);
        other.status = drive_finish(&n, &other.out, HANG_MS);
        judge(b, wanted, &other, "beside a run that was killed");
        free_run(&other);
    }
    free(ignored.data);
    return status != -1 && WIFSIGNALED(status);
}

static void kills(struct bench *b)
{
    struct run wanted = {.status = 0}, got = {.status = 0};
    int64_t span_us[SITUATIONS] = {20000, 20000, 20000};
    uint32_t hit[SITUATIONS] = {0}, all = 0, attempts = 0;
    truth(b, &wanted);
    while (all < KILLS * b->rounds && attempts++ < KILLS * b->rounds * 20 && b->failed < ENOUGH_FAILURES) {
        uint32_t now = drive_random(&b->random, SITUATIONS);
        int p = (int)drive_random(&b->random, 2);
        if (now == COLD)
            drive_remove(getenv("TIERKIT_DIR"));
        if (now == EDITED) {
            edit(b, drive_random(&b->random, FILES));
            truth(b, &wanted);
        }
        bool killed = kill_one(b, p, span_us[now], &wanted, drive_random(&b->random, 8) == 0);
        /* the span follows the machine's pace, so that most kills hit and early and late ones are tried */
        span_us[now] = killed ? span_us[now] + span_us[now] / 16 : span_us[now] - span_us[now] / 6;
        span_us[now] = span_us[now] < 500 ? 500 : span_us[now];
        hit[now] += killed;
        all += killed;
        if (killed) {
            run(b, drive_random(&b->random, 4) ? p : 1 - p, &got);
            judge(b, &wanted, &got, situation[now]);
        }
    }
    if (all < KILLS * b->rounds && b->failed < ENOUGH_FAILURES) {
        printf("FAILED: only %u of %u runs were still there to be killed\n", all, attempts);
        b->failed++;
    }
    printf("%u kills hit: %u cold, %u warm, %u after an edit\n", all, hit[COLD], hit[WARM], hit[EDITED]);
    free_run(&wanted);
    free_run(&got);
}

/* ---- (b) damage ---- */
struct file {
    char *path; /* below the cache directory */
    struct drive_text text;
};

struct store { /* a cache directory, as it was left */
    struct file file[32];
    uint32_t files;
};

static bool read_store(struct store *s)
{
    char *top[] = {".", NULL};
    FTS *walk = fts_open(top, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (!walk)
        return false;
    for (FTSENT *e; (e = fts_read(walk));)
        if (e->fts_info == FTS_F && s->files < sizeof s->file / sizeof *s->file) {
            struct file *f = &s->file[s->files++];
            if (!(f->path = strdup(e->fts_path)) || !drive_read(f->path, &f->text))
                drive_die(e->fts_path);
        }
    fts_close(walk);
    return s->files > 0;
}

static void free_stores(struct store *s)
{
    for (int i = 0; i < STORES; i++)
        for (uint32_t k = 0; k < s[i].files; k++) {
            free(s[i].file[k].path);
            free(s[i].file[k].text.data);
        }
    free(s);
}

/* Into the same files, or as a new directory: the store may know its files by their inodes. */
static void write_store(const struct store *s, const char *dir, bool fresh)
{
    if (fresh)
        drive_remove(dir);
    if ((mkdir(dir, 0700) && errno != EEXIST) || chdir(dir))
        drive_die(dir);
    for (uint32_t i = 0; i < s->files; i++) {
        char parent[256];
        snprintf(parent, sizeof parent, "%s", s->file[i].path);
        *strrchr(parent, '/') = 0;
        mkdir(parent, 0700);
        if (!drive_write(s->file[i].path, s->file[i].text.data, s->file[i].text.size) ||
            chmod(s->file[i].path, 0600))
            drive_die(s->file[i].path);
    }
}

static void random_bytes(struct drive_random *r, char *to, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (char)drive_random(r, 256);
}

/* From ZEROED on they need a whole page. LETTERS hits values more than structure: only a checksum sees it. */
/* clang-format off */
#define HOW(X) \
    X(BITS, "bits flipped") \
    X(LETTERS, "letters changed") \
    X(RUN, "a run of random bytes") \
    X(GARBAGE, "garbage at the end") \
    X(SHORT, "cut short") \
    X(ZEROED, "a page zeroed") \
    X(SWAPPED, "two pages swapped") \
    X(SHORT_PAGE, "cut at a page") \
    X(RANDOM_PAGE, "a page of random bytes") \
    X(OLDER_PAGE, "an older page") \
    X(HEAD, "numbers changed in a page's head")
/* clang-format on */
enum how {
#define HOW_ENUM(name, text) name,
    HOW(HOW_ENUM)
#undef HOW_ENUM
        HOWS
};
static const char *const how_text[] = {
#define HOW_TEXT(name, text) text,
    HOW(HOW_TEXT)
#undef HOW_TEXT
};

/* Damages f's text, which is a copy; older is what the same file held at another time. What was done goes to
 * did. */
static void damage(struct drive_random *r, struct drive_text *f, const struct drive_text *older, char did[64])
{
    char block[PAGE];
    size_t pages = f->size / PAGE, at = f->size ? drive_random(r, (uint32_t)f->size) : 0;
    size_t left = f->size - at, n = 1 + drive_random(r, 300),
           page = pages ? drive_random(r, (uint32_t)pages) : 0;
    enum how how = (enum how)drive_random(r, pages ? HOWS : ZEROED);
    snprintf(did, 64, "%s", how_text[how]);
    n = n < left ? n : left;
    switch (how) {
    case BITS:
        for (uint32_t i = 1 + drive_random(r, 8); f->size && i > 0; i--)
            f->data[drive_random(r, (uint32_t)f->size)] ^= (char)(1 << drive_random(r, 8));
        break;
    case LETTERS:
        for (uint32_t i = 1 + drive_random(r, 2000); f->size && i > 0; i--) {
            char *c = &f->data[drive_random(r, (uint32_t)f->size)];
            *c = (char)(*c >= 'a' && *c < 'z' ? *c + 1 : *c);
        }
        break;
    case RUN:
        random_bytes(r, f->data + at, n);
        break;
    case GARBAGE:
        random_bytes(r, block, sizeof block);
        drive_add(f, block, 1 + drive_random(r, PAGE - 1));
        break;
    case SHORT:
        f->size = at;
        break;
    case ZEROED:
        memset(f->data + page * PAGE, 0, PAGE);
        break;
    case SWAPPED:
        at = drive_random(r, (uint32_t)pages) * (size_t)PAGE;
        memcpy(block, f->data + page * PAGE, PAGE);
        memcpy(f->data + page * PAGE, f->data + at, PAGE);
        memcpy(f->data + at, block, PAGE);
        break;
    case SHORT_PAGE:
        f->size = page * PAGE;
        break;
    case RANDOM_PAGE:
        random_bytes(r, f->data + page * PAGE, PAGE);
        break;
    case OLDER_PAGE:
        if (older->size >= (page + 1) * PAGE)
            memcpy(f->data + page * PAGE, older->data + page * PAGE, PAGE);
        break;
    default:
        for (int i = 0; i < 3; i++)
            f->data[page * PAGE + drive_random(r, 64)] = (char)drive_random(r, 256);
    }
}

static const struct drive_text *file_of(const struct store *s, const char *path)
{
    static const struct drive_text none;
    for (uint32_t i = 0; i < s->files; i++)
        if (!strcmp(s->file[i].path, path))
            return &s->file[i].text;
    return &none;
}

/* In the cache directory. */
static void damage_store(struct bench *b, const struct store *s, const struct store *older, char did[160])
{
    struct drive_random *r = &b->random;
    const struct file *f = &s->file[drive_random(r, s->files)];
    struct drive_text copy = {0};
    char how[64];
    for (uint32_t i = 0; i < s->files && drive_random(r, 4); i++)
        if (strstr(s->file[i].path, "data.mdb"))
            f = &s->file[i]; /* three times in four, what matters most */
    switch (drive_random(r, 12)) {
    case 0:
        f = &s->file[drive_random(r, s->files)];
        snprintf(did, 160, "%s deleted", f->path);
        unlink(f->path);
        return;
    case 1:
        f = &s->file[drive_random(r, s->files)];
        snprintf(did, 160, "%s emptied", f->path);
        drive_write(f->path, "", 0);
        return;
    case 2:
        snprintf(did, 160, "an older %s", f->path);
        drive_write(f->path, file_of(older, f->path)->data, file_of(older, f->path)->size);
        return;
    default:
        drive_add(&copy, f->text.data, f->text.size);
        did[0] = 0;
        for (uint32_t i = 1 + drive_random(r, 2); i > 0; i--) {
            damage(r, &copy, file_of(older, f->path), how);
            snprintf(did + strlen(did), 160 - strlen(did), "%s%s", did[0] ? ", " : "", how);
        }
        snprintf(did + strlen(did), 160 - strlen(did), " in %s", f->path);
        drive_write(f->path, copy.data, copy.size);
        free(copy.data);
    }
}

/* Whole copies must be of use, or damaged ones prove nothing. */
static void use_whole(struct bench *b, const struct store *s, const char *dir, const char *tree)
{
    const char *argv[8];
    struct drive_text stats = {0}, out = {0};
    struct drive_child c;
    write_store(s, dir, true);
    if (chdir(tree))
        drive_die(tree);
    drive_start(&c, arguments(b, 0, "--stats", argv), "../stats");
    drive_finish(&c, &out, HANG_MS);
    drive_read("../stats", &stats);
    const char *loaded = strstr(stats.data, "delta.loaded ");
    if (loaded && strtod(loaded + strlen("delta.loaded "), NULL) > 0) {
        b->passed++;
    } else {
        printf("FAILED: a run over a whole copy of the cache directory loaded nothing from it\n");
        b->failed++;
    }
    unlink("../stats");
    free(stats.data);
    free(out.data);
}

/* n is the number of the damage: now the tree is that of the store, so that all of it is used, and now it is
 * another one, so that some must be computed beside what is whole. */
static void set_tree(struct bench *b, uint32_t n, const struct store *tree, const char *dir,
                     struct run *wanted)
{
    if (n % 4 == 3)
        return; /* as it was */
    if (n % 4 == 2)
        edit(b, drive_random(&b->random, FILES));
    else
        write_store(tree, dir, false);
    truth(b, wanted);
}

static void damages(struct bench *b, const char *tree)
{
    struct store *store = calloc(STORES, sizeof *store), *trees = calloc(STORES, sizeof *store);
    const char *dir = getenv("TIERKIT_DIR");
    struct run wanted = {.status = 0}, got = {.status = 0};
    char did[160], after[200];
    if (!store || !trees)
        drive_die("memory");
    for (int i = 0; i < STORES; i++) { /* each knows more: what was edited remains as variants */
        edit(b, (uint32_t)i);
        run(b, i % 2, &got);
        if (!read_store(&trees[i]) || chdir(dir) || !read_store(&store[i]) || chdir(tree))
            drive_die(dir);
    }
    for (int i = 0; i < STORES; i++)
        use_whole(b, &store[i], dir, tree);
    for (uint32_t n = 0; n < DAMAGES * b->rounds && b->failed < ENOUGH_FAILURES; n++) {
        uint32_t which = drive_random(&b->random, STORES);
        int p = (int)drive_random(&b->random, 2);
        set_tree(b, n, &trees[which], tree, &wanted);
        write_store(&store[which], dir, drive_random(&b->random, 2));
        damage_store(b, &store[which], &store[(which + 1) % STORES], did);
        if (chdir(tree))
            drive_die(tree);
        run(b, p, &got);
        snprintf(after, sizeof after, "damage %u, %s", n, did);
        judge(b, &wanted, &got, after);
        if (n % 4 == 3 && same(&wanted, &got)) { /* and so must the next, whatever the first one left */
            run(b, drive_random(&b->random, 4) ? p : 1 - p, &got);
            strcat(after, ", once more");
            judge(b, &wanted, &got, after);
        }
    }
    free_stores(store);
    free_stores(trees);
    free_run(&wanted);
    free_run(&got);
}

int main(int argc, char **argv)
{
    const char *rounds = getenv("ROUNDS");
    struct bench b = {.lint = argc == 4 ? argv[2] : NULL, .rounds = rounds ? (uint32_t)atoi(rounds) : 1};
    char tree[4096];
    if (argc != 4 || !getenv("TIERKIT_DIR") || chdir(argv[3]) || mkdir("tree", 0755) || chdir("tree") ||
        !getcwd(tree, sizeof tree))
        drive_die("usage: TIERKIT_DIR=DIR driver kill|damage TIERLINT DIRECTORY");
    printf("SEED=%llu\n", (unsigned long long)drive_seed(&b.random));
    make_tree(&b);
    if (strcmp(argv[1], "kill") == 0)
        kills(&b);
    else
        damages(&b, tree);
    printf("%u passed, %u failed\n", b.passed, b.failed);
    return b.failed != 0;
}
