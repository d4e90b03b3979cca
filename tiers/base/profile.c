/* profile.c - where settings come from, in order; see profile.h. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tiers/base/profile.h"

enum {
    PROFILE_MAGIC = 0x70726f66,
    PATH_SIZE = 4096,
    INI_LIMIT = 1 << 20 /* a larger file is no tierkit.ini */
};

struct resolve { /* one run of tier__profile_resolve */
    const struct tier__profile_request *r;
    struct tier__base *base;
    struct tier__profile *p;
    char *error;
    size_t error_size;
    int rc;
    const char *file; /* being read */
    bool foreign;     /* it came with a source tree */
    bool user_file;   /* it is the user's: its `dir` was taken in the first pass */
    enum { PASS_DIR, PASS_KEYS } pass;
    bool was_read[3]; /* of p->files, in PASS_KEYS */
};

static const char *env(const struct resolve *c, const char *name)
{
    const char *v = c->r->env ? c->r->env(c->r->env_user, name) : getenv(name);
    return v && *v ? v : NULL; /* set and empty counts as unset */
}

/* One sentence about what is wrong at o: an error, or a warning and life goes on. */
static void __attribute__((format(printf, 3, 4)))
trouble(struct resolve *c, const struct tier__origin *o, const char *format, ...)
{
    char text[1024], where[600];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    tier__origin_format(o, where, sizeof where);
    if (o->kind == TIER__FROM_ARGUMENT || c->r->strict) {
        if (!c->rc && c->error && c->error_size)
            snprintf(c->error, c->error_size, "%s: %s", where, text);
        if (!c->rc)
            c->rc = TIER_EINVAL;
    } else {
        tier__log(c->base, TIER_LOG_WARNING, "%s: %s; ignored", where, text);
    }
}

static int find_key(const char *name)
{
    for (int k = 0; k < TIER__KEY_COUNT; k++) {
        if (!strcmp(tier__key_info(k)->name, name))
            return k;
    }
    return -1;
}

static void set_raw(struct tier__profile *p, enum tier__key key, int64_t raw, const struct tier__origin *o)
{
    if (tier__key_info(key)->kind == TIER__KIND_RATIO)
        p->value[key].d = (double)raw / 1000;
    else
        p->value[key].i = raw;
    p->origin[key] = *o;
}

static void set_config(struct resolve *c, const char *name, const char *value, const struct tier__origin *o)
{
    struct tier__profile *p = c->p;
    struct tier__config *at = p->config, *end = p->config_count ? at + p->config_count : at;
    while (at < end && strcmp(at->name, name) != 0)
        at++;
    char *copy = tier__strdup(c->base, value);
    if (copy && at == end) {
        struct tier__config *more =
            tier__resize(c->base, p->config, (p->config_count + 1) * sizeof *p->config);
        if (more) {
            p->config = more;
            at = &more[p->config_count];
            *at = (struct tier__config){.name = tier__strdup(c->base, name)};
        }
        if (!more || !at->name) {
            tier__free(c->base, copy);
            copy = NULL;
        } else {
            p->config_count++;
        }
    }
    if (!copy) {
        c->rc = TIER_ENOMEM;
        return;
    }
    tier__free(c->base, at->value);
    at->value = copy;
    at->origin = *o;
}

static void set_dir(struct resolve *c, const char *dir, const struct tier__origin *o, bool given)
{
    const char *home = dir[0] == '~' && dir[1] == '/' ? env(c, "HOME") : NULL;
    char path[PATH_SIZE];
    int n = snprintf(path, sizeof path, "%s%s", home ? home : "", home ? dir + 1 : dir);
    if (n < 0 || (size_t)n >= sizeof path) {
        trouble(c, o, "dir: path is too long");
        return;
    }
    if (o->kind == TIER__FROM_FILE && *path != '/') {
        trouble(c, o, "dir = '%s': expected an absolute path", dir);
        return;
    }
    char *copy = tier__strdup(c->base, path);
    if (!copy) {
        c->rc = TIER_ENOMEM;
        return;
    }
    tier__free(c->base, c->p->dir);
    c->p->dir = copy;
    c->p->dir_origin = *o;
    c->p->dir_given = given;
}

static void set_name(struct resolve *c, const char *name, const struct tier__origin *o)
{
    for (int id = 0; id < TIER__PROFILE_COUNT; id++) {
        if (!strcmp(tier__profile_name(id), name)) {
            c->p->id = id;
            c->p->name_origin = *o;
            return;
        }
    }
    trouble(c, o, "profile = '%s': expected one of dev, ci, production", name);
}

static void set_key(struct resolve *c, const char *name, const char *value, const struct tier__origin *o)
{
    int key = find_key(name);
    int64_t raw;
    char expects[128];
    if (!strncmp(name, "config.", 7) && name[7])
        set_config(c, name + 7, value, o);
    else if (key < 0)
        trouble(c, o, "unknown key '%s'", name);
    else if (!tier__key_parse(key, value, &raw))
        trouble(c, o, "%s = '%s': expected %s", name, value, tier__key_expects(key, expects, sizeof expects));
    else
        set_raw(c->p, key, raw, o);
}

/* ---- files ---- */
static int file_pair(void *user, unsigned line, const char *name, const char *value)
{
    struct resolve *c = user;
    struct tier__origin o = {TIER__FROM_FILE, line, c->file};
    bool is_dir = !strcmp(name, "dir");
    if (c->pass == PASS_DIR) {
        if (is_dir)
            set_dir(c, value, &o, false);
    } else if (c->foreign && (is_dir || !strncmp(name, "store.", 6))) {
        trouble(c, &o, "'%s' may not be set by a file of a source tree", name);
    } else if (is_dir) {
        if (!c->user_file)
            trouble(c, &o, "a cache directory cannot name another one");
    } else if (!strcmp(name, "profile")) {
        set_name(c, value, &o);
    } else {
        set_key(c, name, value, &o);
    }
    return c->rc == TIER_ENOMEM ? c->rc : 0;
}

static int file_bad(void *user, unsigned line)
{
    struct resolve *c = user;
    if (c->pass == PASS_KEYS)
        trouble(c, &(struct tier__origin){TIER__FROM_FILE, line, c->file},
                "expected 'key = value', '[section]' or a comment, in less than 200 bytes");
    return 0;
}

/* The file's bytes; NULL: none, or no regular file, or too large. */
static char *read_ini(struct resolve *c, const char *path, size_t *size)
{
    struct stat st;
    char *data = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a FIFO must not block us */
    if (fd < 0)
        return NULL;
    struct tier__origin o = {TIER__FROM_FILE, 0, path};
    if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > INI_LIMIT) {
        trouble(c, &o, "not a regular file of at most 1 MiB");
    } else if (!(data = tier__alloc(c->base, (size_t)st.st_size + 1))) {
        c->rc = TIER_ENOMEM;
    } else {
        ssize_t n = 0;
        for (*size = 0; *size < (size_t)st.st_size; *size += (size_t)n) {
            n = read(fd, data + *size, (size_t)st.st_size - *size);
            if (n < 0 && errno == EINTR)
                n = 0;
            else if (n <= 0)
                break;
        }
    }
    close(fd);
    return data;
}

/* Which of p->files path is, added where it is new. -1: out of memory. */
static int file_index(struct resolve *c, const char *path)
{
    struct tier__profile *p = c->p;
    for (size_t i = 0; i < p->file_count; i++) {
        if (!strcmp(p->files[i], path))
            return (int)i;
    }
    if (!(p->files[p->file_count] = tier__strdup(c->base, path))) {
        c->rc = TIER_ENOMEM;
        return -1;
    }
    return (int)p->file_count++;
}

static void read_file(struct resolve *c, const char *dir, const char *below)
{
    char path[PATH_SIZE];
    int n = snprintf(path, sizeof path, "%s%s/tierkit.ini", dir, below);
    size_t size = 0;
    if (!*dir || n < 0 || (size_t)n >= sizeof path || c->rc == TIER_ENOMEM)
        return;
    char *data = read_ini(c, path, &size);
    int file = data ? file_index(c, path) : -1;
    if (file >= 0 && !(c->pass == PASS_KEYS && c->was_read[file])) {
        c->was_read[file] = c->pass == PASS_KEYS;
        c->file = c->p->files[file];
        if (tier__ini_parse(data, size, &(struct tier__ini_calls){c, file_pair, file_bad}) == TIER_ENOMEM)
            c->rc = TIER_ENOMEM;
    }
    tier__free(c->base, data);
}

static void read_user_file(struct resolve *c)
{
    const char *config = env(c, "XDG_CONFIG_HOME"), *home = env(c, "HOME");
    c->user_file = true;
    if (config && *config == '/')
        read_file(c, config, "/tierkit");
    else if (home && *home == '/')
        read_file(c, home, "/.config/tierkit");
    c->user_file = false;
}

static void read_files(struct resolve *c)
{
    c->pass = PASS_KEYS;
    read_file(c, c->p->dir, "");
    read_user_file(c);
    c->foreign = true;
    if (c->r->root)
        read_file(c, c->r->root, "");
    c->foreign = false;
}

/* ---- the environment and arguments ---- */
enum { VARIABLE_SIZE = 64 };
static const char *variable_of(enum tier__key key, char variable[VARIABLE_SIZE])
{
    const char *name = tier__key_info(key)->name;
    size_t n = strlen(strcpy(variable, "TIERKIT_"));
    for (; *name && n + 1 < VARIABLE_SIZE; name++, n++)
        variable[n] = *name == '.' ? '_' : (char)toupper((unsigned char)*name);
    variable[n] = 0;
    return variable;
}

/* A misspelt name would pass in silence. */
static void unknown_variables(struct resolve *c)
{
    static const char *const others[] = {"TIERKIT_DIR", "TIERKIT_PROFILE", "TIERKIT_RUN_LOG",
                                         "TIERKIT_TRACE"};
    char variable[VARIABLE_SIZE];
    for (char **at = c->r->env ? NULL : environ; at && *at; at++) {
        size_t n = strcspn(*at, "=");
        bool known = strncmp(*at, "TIERKIT_", 8) != 0 || !(*at)[n] || !(*at)[n + 1];
        for (size_t i = 0; i < sizeof others / sizeof *others && !known; i++)
            known = strlen(others[i]) == n && memcmp(*at, others[i], n) == 0;
        for (int k = 0; k < TIER__KEY_COUNT && !known; k++)
            known = strlen(variable_of(k, variable)) == n && memcmp(*at, variable, n) == 0;
        if (!known)
            trouble(c, &(struct tier__origin){.kind = TIER__FROM_ENVIRONMENT}, "unknown variable %.*s",
                    (int)n, *at);
    }
}

static void read_environment(struct resolve *c)
{
    unknown_variables(c);
    for (int k = 0; k < TIER__KEY_COUNT; k++) {
        char variable[VARIABLE_SIZE];
        const char *value = env(c, variable_of(k, variable));
        if (value)
            set_key(c, tier__key_info(k)->name, value,
                    &(struct tier__origin){.kind = TIER__FROM_ENVIRONMENT});
    }
    const char *name = env(c, "TIERKIT_PROFILE");
    if (name)
        set_name(c, name, &(struct tier__origin){.kind = TIER__FROM_ENVIRONMENT});
}

/* Splits "key = value" into key (at most size bytes) and value. */
static const char *split_setting(const char *setting, char *key, size_t size)
{
    const char *equals = setting ? strchr(setting, '=') : NULL;
    size_t n = equals ? (size_t)(equals - setting) : 0;
    while (n && setting[n - 1] == ' ')
        n--;
    if (!n || n >= size)
        return NULL;
    memcpy(key, setting, n);
    key[n] = 0;
    for (equals++; *equals == ' ';)
        equals++;
    return equals;
}

static const struct tier__origin argument = {.kind = TIER__FROM_ARGUMENT};

static void read_settings(struct resolve *c)
{
    for (size_t i = 0; i < c->r->setting_count; i++) {
        char key[256];
        const char *value = split_setting(c->r->settings[i], key, sizeof key);
        if (!value)
            trouble(c, &argument, "setting '%s': expected key=value", c->r->settings[i]);
        else if (!strcmp(key, "profile"))
            set_name(c, value, &argument);
        else if (strcmp(key, "dir") != 0) /* choose_dir took it */
            set_key(c, key, value, &argument);
    }
    if (c->r->name)
        set_name(c, c->r->name, &argument);
}

static void choose_dir(struct resolve *c)
{
    struct tier__origin standard = {.kind = TIER__FROM_DEFAULT};
    const char *cache = env(c, "XDG_CACHE_HOME"), *home = env(c, "HOME"), *given = env(c, "TIERKIT_DIR");
    char path[PATH_SIZE] = "";
    if (cache && *cache == '/') /* the XDG specification: relative ones are to be ignored */
        snprintf(path, sizeof path, "%s/tierkit", cache);
    else if (home && *home == '/')
        snprintf(path, sizeof path, "%s/.cache/tierkit", home);
    set_dir(c, strlen(path) + 1 < sizeof path ? path : "", &standard, false);
    c->pass = PASS_DIR;
    read_user_file(c);
    if (given)
        set_dir(c, given, &(struct tier__origin){.kind = TIER__FROM_ENVIRONMENT}, true);
    for (size_t i = 0; i < c->r->setting_count; i++) {
        char key[256];
        const char *value = split_setting(c->r->settings[i], key, sizeof key);
        if (value && !strcmp(key, "dir"))
            set_dir(c, value, &argument, true);
    }
    if (c->r->dir)
        set_dir(c, c->r->dir, &argument, true);
}

/* What nothing has set, and what only makes sense together. */
static void complete(struct resolve *c)
{
    struct tier__profile *p = c->p;
    const struct tier__origin standard = {.kind = TIER__FROM_DEFAULT};
    for (int k = 0; k < TIER__KEY_COUNT; k++) {
        if (p->origin[k].kind == TIER__FROM_DEFAULT)
            set_raw(p, k, tier__key_info(k)->defaults[p->id], &standard);
    }
    double trim = p->value[TIER__KEY_PRESSURE_TRIM].d, hard = p->value[TIER__KEY_PRESSURE_HARD].d;
    if (trim > hard) {
        const struct tier__origin *t = &p->origin[TIER__KEY_PRESSURE_TRIM],
                                  *h = &p->origin[TIER__KEY_PRESSURE_HARD];
        trouble(c, t->kind > h->kind ? t : h, "pressure.trim %.3f is above pressure.hard %.3f", trim, hard);
        for (int k = TIER__KEY_PRESSURE_TRIM; k <= TIER__KEY_PRESSURE_HARD; k++)
            set_raw(p, k, tier__key_info(k)->defaults[p->id], &standard);
    }
}

int tier__profile_resolve(struct tier__base *base, const struct tier__profile_request *r,
                          struct tier__profile **out, char *error, size_t error_size)
{
    struct tier__profile *p = tier__zalloc(base, 1, sizeof *p);
    struct resolve c = {.r = r, .base = base, .p = p, .error = error, .error_size = error_size};
    *out = NULL;
    if (error && error_size)
        *error = 0;
    if (!p)
        return TIER_ENOMEM;
    p->magic = PROFILE_MAGIC;
    p->base = base;
    p->id = env(&c, "CI") ? TIER__CI : TIER__DEV;
    p->name_origin.kind = env(&c, "CI") ? TIER__FROM_ENVIRONMENT : TIER__FROM_DEFAULT;
    choose_dir(&c);
    if (p->dir)
        read_files(&c);
    read_environment(&c);
    read_settings(&c);
    complete(&c);
    p->name = tier__profile_name(p->id);
    if (c.rc) {
        tier__profile_free(&p);
        return c.rc;
    }
    *out = p;
    return TIER_OK;
}

void tier__profile_free(struct tier__profile **out)
{
    struct tier__profile *p = out ? *out : NULL;
    if (!p)
        return;
    struct tier__base *base = p->base;
    for (size_t i = 0; i < p->config_count; i++) {
        tier__free(base, p->config[i].name);
        tier__free(base, p->config[i].value);
    }
    tier__free(base, p->config);
    for (size_t i = 0; i < p->file_count; i++)
        tier__free(base, p->files[i]);
    tier__free(base, p->dir);
    p->magic = 0;
    tier__free(base, p);
    *out = NULL;
}

const char *tier__profile_config(const struct tier__profile *p, const char *name)
{
    for (size_t i = 0; i < p->config_count; i++) {
        if (!strcmp(p->config[i].name, name))
            return p->config[i].value;
    }
    return NULL;
}

bool tier__profile_persists(const struct tier__profile *p)
{
    int64_t wanted = p->value[TIER__KEY_STORE_PERSIST].i;
    return *p->dir && (wanted == TIER__PERSIST_ON || (wanted == TIER__PERSIST_AUTO && p->dir_given));
}
