/* From options to an open cache with its types: roots, search directories, the report's request. */
#include "tools/tierlint/cli.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYSTEM_ROOT "/usr/include"
#if defined(__x86_64__)
#define SYSTEM_ARCH "/usr/include/x86_64-linux-gnu"
#elif defined(__aarch64__)
#define SYSTEM_ARCH "/usr/include/aarch64-linux-gnu"
#elif defined(__i386__)
#define SYSTEM_ARCH "/usr/include/i386-linux-gnu"
#else
#define SYSTEM_ARCH "/usr/include/none"
#endif

/* Directories outside the root get a name each, so that no result holds a machine's absolute path. The name
 * is made from the path: another directory of the same name would be another root. */
typedef struct roots {
    tier_root at[64];
    lint_buf text; /* names and paths, each with its 0 */
    uint32_t name[64], path[64], count;
} roots;

static bool below(const char *path, const char *dir)
{
    size_t size = strlen(dir);
    return strncmp(path, dir, size) == 0 &&
           (!path[size] || path[size] == '/' || (size && dir[size - 1] == '/'));
}

static void add_root(roots *r, const char *name, const char *path)
{
    for (uint32_t i = 0; i < r->count; i++) {
        if (below(path, r->text.data + r->path[i])) {
            return;
        }
    }
    if (r->count == 64) {
        return; /* further ones keep their absolute paths: right answers, not shared with other checkouts */
    }
    char made[24];
    snprintf(made, sizeof made, "x%08x", (unsigned)(lint_hash(path) & 0xffffffffu));
    r->name[r->count] = (uint32_t)r->text.size;
    lint_buf_str(&r->text, name ? name : made);
    r->path[r->count++] = (uint32_t)r->text.size;
    lint_buf_str(&r->text, path);
}

/* The root for a path of the command line, where it lies outside all roots: itself, or its directory. */
static void add_outside(roots *r, const char *path)
{
    char real[PATH_MAX];
    struct stat st;
    if (!realpath(path, real) || stat(real, &st)) {
        return;
    }
    char *slash = strrchr(real, '/');
    if (!S_ISDIR(st.st_mode) && slash && slash != real) {
        *slash = 0;
    }
    add_root(r, NULL, real);
}

static bool fill_roots(const cli *c, roots *r)
{
    char real[PATH_MAX];
    if (!realpath(c->root ? c->root : ".", real)) {
        cli_complain(c->root ? c->root : ".");
        return false;
    }
    add_root(r, "", real);
    if (!c->no_system) {
        add_root(r, "sys", SYSTEM_ROOT);
    }
    for (size_t i = 0; i < c->paths.count; i++) {
        add_outside(r, c->argv[c->paths.at[i]]);
    }
    for (size_t i = 0; i < c->include.count; i++) {
        const char *word = c->argv[c->include.at[i]];
        add_outside(r, strncmp(word, "-I", 2) == 0            ? word + 2
                       : strncmp(word, "--include=", 10) == 0 ? word + 10
                                                              : word);
    }
    for (uint32_t i = 0; i < r->count && !r->text.failed; i++) {
        r->at[i] = (tier_root){r->text.data + r->name[i], r->text.data + r->path[i]};
    }
    return !r->text.failed;
}

static void log_line(void *user, int level, const char *line)
{
    cli *c = user;
    if (level <= TIER_LOG_WARNING) {
        c->logged++;
        fprintf(stderr, "tierlint: %s\n", line);
    }
}

static bool open_cache(cli *c, const roots *r)
{
    tier_options o = TIER_INIT(tier_options);
    o.app = "tierlint";
    o.dir = c->dir;
    o.profile = c->profile;
    o.roots = r->at;
    o.root_count = r->count;
    o.flags = c->no_cache ? TIER_NO_MEMORY : 0;
    o.log = log_line;
    o.user = c;
    int rc = tier_open(&o, &c->cache);
    if (rc) {
        if (!c->logged) {
            fprintf(stderr, "tierlint: cannot open the cache: %s\n", tier_strerror(rc));
        }
        return false;
    }
    const char *why = c->no_cache ? NULL : tier_cache_detail(c->cache);
    if (why && !c->logged) {
        fprintf(stderr, "tierlint: working without a store: %s\n", why);
    }
    return true;
}

/* ---- key paths -------------------------------------------------------------------------------------------
 */
/* Appends the key path of a path of the command line, with its 0. */
static bool put_key(cli *c, const char *path, lint_buf *b)
{
    char real[PATH_MAX], key[PATH_MAX + 32];
    if (!realpath(path, real)) {
        cli_complain(path);
        return false;
    }
    int rc = tier_path_in(c->cache, real, key, sizeof key);
    if (rc) {
        fprintf(stderr, "tierlint: %s: %s\n", path, tier_strerror(rc));
        return false;
    }
    size_t size = strlen(key);
    if (size > 1 && strcmp(key + size - 2, ":.") == 0) {
        key[size - 1] = 0; /* a root itself: names are joined to it without '/' */
    }
    lint_buf_str(b, *key ? key : ".");
    return true;
}

/* A named file keeps its name even where it is a link: only its directory is resolved. */
static bool put_path(cli *c, const char *path, lint_buf *b)
{
    struct stat st;
    const char *slash = strrchr(path, '/');
    if (stat(path, &st) || (S_ISDIR(st.st_mode) && faccessat(AT_FDCWD, path, R_OK, AT_EACCESS))) {
        cli_complain(path);
        return false;
    }
    if (S_ISDIR(st.st_mode)) {
        return put_key(c, path, b);
    }
    lint_buf dir = {0}, full = {0}, key = {0};
    lint_buf_add(&dir, slash ? path : ".", slash ? (size_t)(slash - path) + 1 : 1);
    bool fine = !dir.failed && put_key(c, dir.data, &key);
    if (fine && !key.failed) {
        lint_join(&full, strcmp(key.data, ".") == 0 ? "" : key.data, slash ? slash + 1 : path);
        lint_buf_add(b, full.data, full.size);
    }
    b->failed |= dir.failed || full.failed || key.failed;
    lint_buf_free(&dir);
    lint_buf_free(&full);
    lint_buf_free(&key);
    return fine;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The report's arguments: the paths, sorted, once each, so that their order on the command line is no matter.
 */
static bool fill_request(cli *c)
{
    lint_buf given = {0};
    bool fine = true;
    for (size_t i = 0; fine && i < c->paths.count; i++) {
        fine = put_path(c, c->argv[c->paths.at[i]], &given);
    }
    const char **sorted = calloc(c->paths.count + 1, sizeof *sorted);
    size_t count = 0;
    const char *end = given.data + given.size;
    for (const char *p = given.data; sorted && fine && !given.failed && p < end; p += strlen(p) + 1) {
        sorted[count++] = p;
    }
    if (count) {
        qsort(sorted, count, sizeof *sorted, by_text);
    }
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(sorted[i - 1], sorted[i]) != 0) {
            lint_buf_str(&c->request, sorted[i]);
        }
    }
    fine = fine && sorted && !given.failed && !c->request.failed;
    free(sorted);
    lint_buf_free(&given);
    return fine;
}

static void put_search(cli *c, const char *path, bool named)
{
    struct stat st;
    if (stat(path, &st) || !S_ISDIR(st.st_mode)) {
        if (named) {
            fprintf(stderr, "tierlint: warning: -I %s: no such directory\n", path);
        }
        return;
    }
    size_t before = c->search_text.size;
    if (put_key(c, path, &c->search_text) && strcmp(c->search_text.data + before, ".") == 0) {
        c->search_text.size = before;
        lint_buf_str(&c->search_text, "");
    }
}

static bool fill_search(cli *c)
{
    for (size_t i = 0; i < c->include.count; i++) {
        const char *word = c->argv[c->include.at[i]];
        word = strncmp(word, "-I", 2) == 0            ? word + 2
               : strncmp(word, "--include=", 10) == 0 ? word + 10
                                                      : word;
        put_search(c, word, true);
    }
    if (!c->no_system) {
        put_search(c, "/usr/local/include", false);
        put_search(c, SYSTEM_ARCH, false);
        put_search(c, SYSTEM_ROOT, false);
    }
    size_t count = 0;
    for (size_t i = 0; i < c->search_text.size; i++) {
        count += c->search_text.data[i] == 0;
    }
    c->search = calloc(count + 1, sizeof *c->search);
    if (!c->search || c->search_text.failed) {
        return false;
    }
    const char *p = c->search_text.data;
    for (size_t i = 0; i < count; i++, p += strlen(p) + 1) {
        c->search[i] = p;
    }
    c->lint.search = c->search;
    c->lint.search_count = count;
    return true;
}

bool cli_open(cli *c)
{
    roots r = {0};
    bool fine = fill_roots(c, &r) && open_cache(c, &r);
    lint_buf_free(&r.text);
    fine = fine && fill_request(c) && fill_search(c);
    if (fine && c->compdb) {
        lint_buf key = {0};
        fine = put_path(c, c->compdb, &key) && !key.failed;
        c->compdb_key = key.data;
        c->lint.compdb = c->compdb_key;
    }
    if (!fine) {
        return false;
    }
    c->lint.cache = c->cache;
    c->lint.rules = c->rules;
    int logged = c->logged, rc = lint_define(c->cache, &c->lint);
    if (rc && c->logged == logged) {
        const char *why = tier_cache_detail(c->cache);
        fprintf(stderr, "tierlint: cannot define the types: %s: %s\n", tier_strerror(rc), why ? why : "");
    }
    return rc == TIER_OK;
}

bool cli_close(cli *c)
{
    int rc = tier_close(&c->cache);
    if (rc) {
        fprintf(stderr, "tierlint: cannot close the cache: %s\n", tier_strerror(rc));
    }
    return rc == TIER_OK;
}

void cli_fini(cli *c)
{
    lint_list_free(&c->paths);
    lint_list_free(&c->include);
    lint_buf_free(&c->search_text);
    lint_buf_free(&c->request);
    lint_map_free(&c->accepted);
    lint_list_free(&c->accepted_count);
    free(c->search);
    free(c->compdb_key);
}
