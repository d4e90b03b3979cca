/* driver.c - 100 edits under `tierlint --watch --full`: after each, the last report must be what a run with
 * --no-cache prints.
 *
 *   driver TIERLINT DIRECTORY      ($SEED repeats a run)
 *
 * An edit that changes no finding proves nothing by itself, as the last report was right before, too: a round
 * therefore ends with a line of its own in marker.c, a finding's message, and waits for the report that has
 * it. Nothing is timed: the only limit is PATIENCE, which a machine that works does not come near. */
#include "tests/drive.h"
#include <fts.h>

enum { EDITS = 100, PATIENCE_MS = 40000, MOST = 256 };

struct tree {
    struct drive_random random;
    char *file[MOST], *dir[MOST];
    uint32_t files, dirs, made;
    char did[512]; /* the edit, in words */
};

struct watch {
    struct drive_child child;
    struct drive_text raw, report;
    uint32_t reports;
};

/* ---- what there is now ---- */
static void forget(struct tree *t)
{
    while (t->files)
        free(t->file[--t->files]);
    while (t->dirs)
        free(t->dir[--t->dirs]);
}

static void look(struct tree *t)
{
    char *top[] = {".", NULL};
    FTS *walk = fts_open(top, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (!walk)
        drive_die("fts_open");
    forget(t);
    for (FTSENT *e; (e = fts_read(walk));) {
        char *copy = strdup(e->fts_path);
        if (!copy)
            drive_die("memory");
        if (e->fts_info == FTS_D && t->dirs < MOST)
            t->dir[t->dirs++] = copy;
        else if (e->fts_info == FTS_F && t->files < MOST && strcmp(e->fts_name, "marker.c"))
            t->file[t->files++] = copy;
        else
            free(copy);
    }
    fts_close(walk);
}

static bool is_header(const char *path)
{
    return path[strlen(path) - 1] == 'h';
}

static const char *any_file(struct tree *t)
{
    return t->file[drive_random(&t->random, t->files)];
}

static const char *any_dir(struct tree *t)
{
    return t->dir[drive_random(&t->random, t->dirs)];
}

static void put_new(struct tree *t, const char *path)
{
    struct drive_text text = {0};
    drive_source(&t->random, is_header(path), &text);
    if (!drive_write(path, text.data, text.size))
        drive_die(path);
    free(text.data);
}

/* ---- the edits ---- */
static void edit_create(struct tree *t)
{
    char path[300];
    snprintf(path, sizeof path, "%s/n%u.%c", any_dir(t), t->made++, drive_random(&t->random, 2) ? 'c' : 'h');
    put_new(t, path);
    snprintf(t->did, sizeof t->did, "create %s", path);
}

static void edit_in_place(struct tree *t)
{
    const char *path = any_file(t);
    put_new(t, path);
    snprintf(t->did, sizeof t->did, "edit %s", path);
}

static void edit_save(struct tree *t) /* as editors do it: a new file renamed over the old one */
{
    const char *path = any_file(t);
    char temporary[300];
    snprintf(temporary, sizeof temporary, "%s~", path);
    struct drive_text text = {0};
    drive_source(&t->random, is_header(path), &text);
    if (!drive_write(temporary, text.data, text.size) || rename(temporary, path))
        drive_die(path);
    free(text.data);
    snprintf(t->did, sizeof t->did, "save %s", path);
}

static void edit_touch(struct tree *t)
{
    const char *path = any_file(t);
    if (utimensat(AT_FDCWD, path, NULL, 0))
        drive_die(path);
    snprintf(t->did, sizeof t->did, "touch %s", path);
}

static void edit_same_content(struct tree *t)
{
    const char *path = any_file(t);
    struct drive_text text = {0};
    if (!drive_read(path, &text) || !drive_write(path, text.data, text.size))
        drive_die(path);
    free(text.data);
    snprintf(t->did, sizeof t->did, "write the same to %s", path);
}

/* The size stays and the time stamp is put back. */
static void edit_disguised(struct tree *t)
{
    const char *path = any_file(t);
    struct drive_text text = {0};
    struct stat st;
    if (stat(path, &st) || !drive_read(path, &text))
        drive_die(path);
    for (size_t i = 1; i < text.size; i++)
        if (text.data[i] >= '0' && text.data[i] <= '9' && strchr("fhuM", text.data[i - 1]))
            text.data[i] = (char)('0' + drive_random(&t->random, 10));
    struct timespec times[] = {st.st_atim, st.st_mtim};
    if (!drive_write(path, text.data, text.size) || utimensat(AT_FDCWD, path, times, 0))
        drive_die(path);
    free(text.data);
    snprintf(t->did, sizeof t->did, "edit %s, keeping size and time", path);
}

static void edit_rename(struct tree *t)
{
    const char *path = any_file(t);
    char to[300];
    snprintf(to, sizeof to, "%s/r%u.%c", any_dir(t), t->made++, is_header(path) ? 'h' : 'c');
    if (rename(path, to))
        drive_die(path);
    snprintf(t->did, sizeof t->did, "rename %s to %s", path, to);
}

static void edit_delete(struct tree *t)
{
    if (t->files < 12) {
        edit_create(t);
        return;
    }
    const char *path = any_file(t);
    if (unlink(path))
        drive_die(path);
    snprintf(t->did, sizeof t->did, "delete %s", path);
}

static void edit_new_directory(struct tree *t)
{
    char path[300], inner[330];
    snprintf(path, sizeof path, "%s/d%u", any_dir(t), t->made++);
    snprintf(inner, sizeof inner, "%s/h%u.h", path, drive_random(&t->random, 6));
    if (mkdir(path, 0755))
        drive_die(path);
    put_new(t, inner); /* at once: before anybody can watch the directory */
    snprintf(inner, sizeof inner, "%s/n%u.c", path, t->made++);
    put_new(t, inner);
    snprintf(t->did, sizeof t->did, "make directory %s", path);
}

/* A header beside a file that included another of that name, or the end of such a one. */
static void edit_shadow(struct tree *t)
{
    char path[300];
    snprintf(path, sizeof path, "%s/h%u.h", any_dir(t), drive_random(&t->random, 6));
    if (unlink(path) == 0) {
        snprintf(t->did, sizeof t->did, "no more %s", path);
        return;
    }
    put_new(t, path);
    snprintf(t->did, sizeof t->did, "shadow by %s", path);
}

static void edit_move_directory(struct tree *t)
{
    char to[300];
    const char *from = any_dir(t);
    if (!strcmp(from, ".")) {
        edit_new_directory(t);
        return;
    }
    snprintf(to, sizeof to, "./m%u", t->made++);
    if (rename(from, to))
        drive_die(from);
    snprintf(t->did, sizeof t->did, "rename directory %s to %s", from, to);
}

static void edit_remove_directory(struct tree *t)
{
    const char *path = any_dir(t);
    if (!strcmp(path, ".") || t->files < 12) {
        edit_new_directory(t);
        return;
    }
    drive_remove(path);
    snprintf(t->did, sizeof t->did, "remove directory %s", path);
}

typedef void edit_fn(struct tree *t);
static edit_fn *const edits[] = {edit_create,    edit_in_place,      edit_save,   edit_touch,
                                 edit_disguised, edit_same_content,  edit_rename, edit_delete,
                                 edit_shadow,    edit_new_directory, edit_shadow, edit_move_directory,
                                 edit_in_place,  edit_disguised,     edit_save,   edit_remove_directory};

/* ---- the watch ---- */
/* Takes the next whole report out of what came. */
static bool take(struct watch *w)
{
    for (size_t start = 0, i = 0; i < w->raw.size; i++) {
        if (w->raw.data[i] != '\n')
            continue;
        bool last = !strncmp(w->raw.data + start, "-- ", 3);
        if (last) {
            drive_clear(&w->report);
            drive_add(&w->report, w->raw.data, start);
            w->raw.size -= i + 1;
            memmove(w->raw.data, w->raw.data + i + 1, w->raw.size + 1);
            w->reports++;
            return true;
        }
        start = i + 1;
    }
    return false;
}

/* Until the last report is the wanted one. */
static bool wait_equal(struct watch *w, const struct drive_text *wanted)
{
    int64_t deadline = drive_ms() + PATIENCE_MS;
    for (;;) {
        while (take(w))
            ;
        if (w->reports && !w->raw.size && drive_equal(&w->report, wanted))
            return true;
        if (drive_more(&w->child, &w->raw, deadline) <= 0)
            return false;
    }
}

static bool uncached(const char *lint, struct drive_text *out)
{
    const char *argv[] = {lint, "--no-cache", "--no-system", "--enable=all", ".", NULL};
    int status = drive_run(argv, "../errors", out, PATIENCE_MS);
    return status != -1 && WIFEXITED(status) && WEXITSTATUS(status) <= 1;
}

/* One round. False: the reports did not come to what a run from scratch says. */
static bool compare(struct watch *w, const char *lint, struct drive_text *wanted, const char *did)
{
    if (!uncached(lint, wanted)) {
        printf("FAILED %s: the run with --no-cache failed\n", did);
        return false;
    }
    if (wait_equal(w, wanted))
        return true;
    printf("FAILED after %s\n--- without a cache\n%s--- the watch's last report\n%s", did,
           wanted->data ? wanted->data : "", w->report.data ? w->report.data : "");
    return false;
}

static bool round_of(struct tree *t, struct watch *w, const char *lint, uint32_t n)
{
    struct drive_text before = {0}, wanted = {0};
    char marker[128], did[600];
    look(t);
    drive_add(&before, w->report.data, w->report.size);
    if (n < sizeof edits / sizeof *edits)
        edits[n](t);
    else
        edits[drive_random(&t->random, sizeof edits / sizeof *edits)](t);
    snprintf(did, sizeof did, "edit %u, %s", n, t->did);
    bool fine = compare(w, lint, &wanted, did);
    if (fine && drive_equal(&before, &wanted)) {
        int size = snprintf(marker, sizeof marker, "static int round_%u(void) { return 0; }\n", n);
        if (!drive_write("marker.c", marker, (size_t)size))
            drive_die("marker.c");
        strcat(did, ", and the marker");
        fine = compare(w, lint, &wanted, did);
    }
    free(before.data);
    free(wanted.data);
    return fine;
}

static void make_tree(struct tree *t)
{
    static const char *const dirs[] = {"a", "b", "a/deep"};
    char path[64];
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
        if (mkdir(dirs[i], 0755))
            drive_die(dirs[i]);
    for (uint32_t i = 0; i < 12; i++) {
        snprintf(path, sizeof path, "%s/%c%u.%c", dirs[i % 3], i < 6 ? 'h' : 'c', i, i < 6 ? 'h' : 'c');
        put_new(t, path);
    }
}

int main(int argc, char **argv)
{
    struct tree t = {.files = 0};
    struct watch w = {.reports = 0};
    struct drive_text wanted = {0};
    uint32_t passed = 0, failed = 0;
    if (argc != 3 || chdir(argv[2]) || mkdir("tree", 0755) || chdir("tree"))
        drive_die("usage: driver TIERLINT DIRECTORY");
    printf("SEED=%llu\n", (unsigned long long)drive_seed(&t.random));
    make_tree(&t);
    const char *watch[] = {argv[1], "--watch", "--full", "--no-system", "--enable=all", ".", NULL};
    drive_start(&w.child, watch, "../errors");
    bool fine = compare(&w, argv[1], &wanted, "nothing, at the start");
    for (uint32_t n = 0; fine && n < EDITS; n++) {
        fine = round_of(&t, &w, argv[1], n);
        passed += fine;
    }
    failed += !fine;
    kill(w.child.pid, SIGINT);
    int status = drive_finish(&w.child, &w.raw, PATIENCE_MS);
    if (status == -1 || !WIFEXITED(status) || WEXITSTATUS(status) != 130) {
        printf("FAILED: the watch ended with status 0x%x, not by the interrupt\n", (unsigned)status);
        failed++;
    }
    printf("%u edits compared, %u reports\n%u passed, %u failed\n", passed, w.reports, passed, failed);
    forget(&t);
    free(wanted.data);
    free(w.raw.data);
    free(w.report.data);
    return failed != 0;
}
