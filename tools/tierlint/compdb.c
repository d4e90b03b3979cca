/* compile_commands.json: a strict reader of just that form, and the search directories of each file. */
#include "tools/tierlint/lint.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- JSON: strings and what stands between them ----------------------------------------------------------
 */
typedef struct json {
    const char *at, *end;
    bool bad;
} json;

static char peek(json *j)
{
    while (j->at < j->end && strchr(" \t\r\n", *j->at) && *j->at) {
        j->at++;
    }
    return j->at < j->end ? *j->at : 0;
}

static bool take(json *j, char c)
{
    if (j->bad || peek(j) != c) {
        return false;
    }
    j->at++;
    return true;
}

static void put_utf8(lint_buf *b, unsigned code)
{
    char out[4];
    size_t n = 0;
    if (code < 0x80) {
        out[n++] = (char)code;
    } else if (code < 0x800) {
        out[n++] = (char)(0xc0 | code >> 6);
        out[n++] = (char)(0x80 | (code & 63));
    } else {
        out[n++] = (char)(0xe0 | code >> 12);
        out[n++] = (char)(0x80 | (code >> 6 & 63));
        out[n++] = (char)(0x80 | (code & 63));
    }
    lint_buf_add(b, out, n);
}

static void escape(json *j, lint_buf *b)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = *j->at++;
    const char *known = c ? strchr(from, c) : NULL;
    if (known) {
        lint_buf_add(b, &to[known - from], 1);
    } else if (c == 'u' && j->end - j->at >= 4) {
        char hex[5] = {0};
        memcpy(hex, j->at, 4);
        char *stop;
        unsigned code = (unsigned)strtoul(hex, &stop, 16);
        j->bad |= *stop != 0 || code == 0 || (code >= 0xd800 && code < 0xe000);
        put_utf8(b, code);
        j->at += 4;
    } else {
        j->bad = true;
    }
}

static void string(json *j, lint_buf *b)
{
    b->size = 0;
    if (!take(j, '"')) {
        j->bad = true;
    }
    while (!j->bad && j->at < j->end && *j->at != '"') {
        if (*j->at == '\\' && j->end - j->at > 1) {
            j->at++;
            escape(j, b);
        } else if ((unsigned char)*j->at < 0x20) {
            j->bad = true;
        } else {
            lint_buf_add(b, j->at++, 1);
        }
    }
    j->bad |= j->at >= j->end;
    j->at += !j->bad;
    lint_buf_add(b, "", 1);
}

/* ---- one entry -------------------------------------------------------------------------------------------
 */
typedef struct entry {
    lint_buf directory, file, words, scratch; /* words: 0-terminated, one behind the other */
} entry;

static void entry_free(entry *e)
{
    lint_buf_free(&e->directory);
    lint_buf_free(&e->file);
    lint_buf_free(&e->words);
    lint_buf_free(&e->scratch);
}

/* Splits a command as a POSIX shell does, expansions apart. */
static void split(const char *command, lint_buf *words)
{
    char quote = 0;
    bool open = false;
    for (const char *p = command; *p; p++) {
        if (!quote && (*p == '\'' || *p == '"')) {
            quote = *p;
            open = true;
        } else if (quote && *p == quote) {
            quote = 0;
        } else if (*p == '\\' && quote != '\'' && p[1]) {
            lint_buf_add(words, ++p, 1);
            open = true;
        } else if (!quote && isspace((unsigned char)*p)) {
            if (open) {
                lint_buf_add(words, "", 1);
            }
            open = false;
        } else {
            lint_buf_add(words, p, 1);
            open = true;
        }
    }
    if (open) {
        lint_buf_add(words, "", 1);
    }
}

static void member(json *j, entry *e)
{
    lint_buf key = {0};
    string(j, &key);
    j->bad |= !take(j, ':') || key.failed;
    if (j->bad) {
        lint_buf_free(&key);
        return;
    }
    if (strcmp(key.data, "arguments") == 0) {
        j->bad |= !take(j, '[');
        e->words.size = 0;
        while (!j->bad && peek(j) != ']') {
            string(j, &e->scratch);
            lint_buf_add(&e->words, e->scratch.data, e->scratch.size);
            if (!take(j, ',') && peek(j) != ']') {
                j->bad = true;
            }
        }
        j->bad |= !take(j, ']');
    } else if (strcmp(key.data, "command") == 0) {
        string(j, &e->scratch);
        if (e->words.size == 0 && !e->scratch.failed) {
            split(e->scratch.data, &e->words);
        }
    } else {
        bool file = strcmp(key.data, "file") == 0, directory = strcmp(key.data, "directory") == 0;
        string(j, file ? &e->file : directory ? &e->directory : &e->scratch);
    }
    lint_buf_free(&key);
}

/* ---- to key paths ----------------------------------------------------------------------------------------
 */
/* The key path of path, which is relative to the entry's directory. */
static void put_key(const lint *l, const entry *e, const char *path, lint_buf *b)
{
    char key[8192];
    lint_buf full = {0};
    lint_join(&full, e->directory.size ? e->directory.data : "", path);
    bool fine = !full.failed && tier_path_in(l->cache, full.data, key, sizeof key) == TIER_OK;
    lint_buf_str(b, fine ? key : "");
    b->failed |= full.failed;
    lint_buf_free(&full);
}

static void put_entry(const lint *l, const entry *e, lint_buf *out)
{
    static const char *const option[] = {"-I", "-isystem", "-iquote", "-idirafter"};
    lint_buf dirs = {0};
    uint32_t count = 0;
    const char *end = e->words.data + e->words.size;
    for (const char *w = e->words.data; w && w < end; w += strlen(w) + 1) {
        for (size_t i = 0; i < sizeof option / sizeof *option; i++) {
            size_t size = strlen(option[i]);
            if (strncmp(w, option[i], size) != 0) {
                continue;
            }
            const char *dir = w[size] ? w + size : w + size + 1 < end ? w + size + 1 : "";
            if (*dir) {
                put_key(l, e, dir, &dirs);
                count++;
            }
            w = dir == w + size + 1 ? dir : w;
            break;
        }
    }
    put_key(l, e, e->file.size ? e->file.data : "", out);
    lint_buf_u32(out, count);
    lint_buf_add(out, dirs.data, dirs.size);
    out->failed |= dirs.failed;
    lint_buf_free(&dirs);
}

/* For each entry, in the order of the file: key path, count, that many directories. */
int lint_build_compdb(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    int rc = tier_file(s, q->path, &v);
    if (rc) {
        return rc;
    }
    json j = {.at = v.data, .end = (const char *)v.data + v.size};
    lint_buf given = {0};
    j.bad = !take(&j, '[');
    while (!j.bad && peek(&j) != ']') {
        entry e = {0};
        j.bad |= !take(&j, '{');
        while (!j.bad && peek(&j) != '}') {
            member(&j, &e);
            if (!take(&j, ',') && peek(&j) != '}') {
                j.bad = true;
            }
        }
        j.bad |= !take(&j, '}');
        if (!j.bad) {
            put_entry(user, &e, &given);
        }
        given.failed |= e.words.failed || e.scratch.failed || e.file.failed || e.directory.failed;
        entry_free(&e);
        if (!take(&j, ',') && peek(&j) != ']') {
            j.bad = true;
        }
    }
    if (j.bad && !given.failed) {
        lint_buf_free(&given);
        return tier_fail(s, TIER_EBUILD, "not a compilation database");
    }
    return lint_give(s, out, &given);
}

/* The search directories of q->path; of a file without an entry (a header) those of all entries, once each.
 */
int lint_build_flags(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    const lint *l = user;
    tier_value v;
    int rc = lint_get(s, l, LINT_TYPE_COMPDB, l->compdb, NULL, &v);
    if (rc) {
        return rc;
    }
    lint_map all = {0}, own = {0};
    bool found = false;
    lint_reader r = lint_read(v.data, v.size);
    while (r.at < r.end && !r.bad) {
        bool mine = strcmp(lint_read_str(&r), q->path) == 0;
        found |= mine;
        for (uint32_t n = lint_read_u32(&r); n && !r.bad; n--) {
            const char *dir = lint_read_str(&r);
            lint_map_add(&all, dir);
            if (mine) {
                lint_map_add(&own, dir);
            }
        }
    }
    lint_buf given = {0};
    const lint_map *from = found ? &own : &all;
    lint_buf_add(&given, from->text.data, from->text.size);
    given.failed |= all.failed || own.failed;
    lint_map_free(&all);
    lint_map_free(&own);
    return lint_give(s, out, &given);
}
