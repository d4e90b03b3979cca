/* Issues as text, JSON and SARIF 2.1.0. */
#include "tools/tierlint/cli.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void cli_complain(const char *what)
{
    fprintf(stderr, "tierlint: %s: %s\n", what, strerror(errno));
}

void cli_path(const cli *c, const char *key, lint_buf *b)
{
    char path[PATH_MAX + 32];
    lint_buf_text(b, tier_path_out(c->cache, key, path, sizeof path) ? key : path);
}

void cli_message(const cli *c, const char *message, lint_buf *b)
{
    lint_buf piece = {0};
    bool is_path;
    while (lint_message_next(&message, &piece, &is_path) && !piece.failed) {
        if (is_path && c) {
            cli_path(c, piece.data, b);
        } else {
            lint_buf_add(b, piece.data, piece.size);
        }
    }
    b->failed |= piece.failed;
    lint_buf_free(&piece);
}

/* ---- which issues ----------------------------------------------------------------------------------------
 */
/* Takes one of the baseline's findings of this kind away, if there is one left. */
static bool accepted(cli *c, const lint_issue *i, lint_list *left)
{
    lint_buf line = {0};
    cli_baseline_line(i, &line);
    uint32_t known = line.failed ? LINT_NONE : lint_map_find(&c->accepted, line.data);
    lint_buf_free(&line);
    if (known == LINT_NONE || left->at[known] == 0) {
        return false;
    }
    left->at[known]--;
    return true;
}

bool cli_issues_read(cli *c, const tier_value *report, cli_issues *issues)
{
    size_t cursor = 0, size, room = 0;
    const void *data;
    int rc;
    lint_list left = {0};
    *issues = (cli_issues){0};
    for (size_t i = 0; i < c->accepted_count.count; i++) {
        lint_list_add(&left, c->accepted_count.at[i]);
    }
    bool fine = !left.failed && tier_next(report, &cursor, &data, &size) == TIER_OK;
    if (fine) {
        lint_reader r = lint_read(data, size);
        issues->partial = lint_read_u32(&r);
    }
    while (fine && (rc = tier_next(report, &cursor, &data, &size)) != TIER_END) {
        lint_reader r = lint_read(data, size);
        if (issues->count == room) {
            room = room ? room * 2 : 256;
            lint_issue *grown = realloc(issues->at, room * sizeof *grown);
            fine = grown != NULL;
            issues->at = grown ? grown : issues->at;
        }
        fine = fine && rc == TIER_OK && lint_issue_get(&r, &issues->at[issues->count]) &&
               lint_rule_at(issues->at[issues->count].rule);
        issues->count += fine && !accepted(c, &issues->at[issues->count], &left);
    }
    lint_list_free(&left);
    return fine;
}

/* ---- text ------------------------------------------------------------------------------------------------
 */
/* A name with a line feed in it forges no line: control characters from there on are shown as \n, \x1b. */
static void show_from(lint_buf *b, size_t from)
{
    lint_buf raw = {0};
    bool plain = !b->failed;
    for (size_t i = from; plain && i < b->size; i++) {
        plain = (unsigned char)b->data[i] >= 0x20 && b->data[i] != 0x7f;
    }
    if (plain || b->failed) {
        return;
    }
    lint_buf_add(&raw, b->data + from, b->size - from);
    b->size = from;
    for (size_t i = 0; i < raw.size; i++) {
        unsigned char at = (unsigned char)raw.data[i];
        if (at == '\n') {
            lint_buf_text(b, "\\n");
        } else if (at < 0x20 || at == 0x7f) {
            lint_buf_printf(b, "\\x%02x", at);
        } else {
            lint_buf_add(b, &raw.data[i], 1);
        }
    }
    b->failed |= raw.failed;
    lint_buf_free(&raw);
}

void cli_text_line(const cli *c, const lint_issue *i, lint_buf *b)
{
    size_t from = b->size;
    const lint_rule *rule = lint_rule_at(i->rule);
    cli_path(c, i->path, b);
    lint_buf_printf(b, ":%u:%u: %s: ", i->line, i->column, rule->severity);
    cli_message(c, i->message, b);
    if (i->also_path[0]) {
        lint_buf_printf(b, " (%s: ", i->note);
        cli_path(c, i->also_path, b);
        lint_buf_printf(b, ":%u:%u)", i->also_line, i->also_column);
    }
    lint_buf_printf(b, " [%s]", rule->name);
    show_from(b, from);
}

/* ---- JSON ------------------------------------------------------------------------------------------------
 */
/* How many bytes at p are one character of UTF-8; 0: none. */
static size_t utf8(const unsigned char *p)
{
    size_t n = *p < 0x80                 ? 1
               : *p >= 0xc2 && *p < 0xe0 ? 2
               : *p >= 0xe0 && *p < 0xf0 ? 3
               : *p >= 0xf0 && *p < 0xf5 ? 4
                                         : 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool bad = (n == 3 && ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f))) ||
               (n == 4 && ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f)));
    return bad ? 0 : n;
}

static void put_json(lint_buf *b, const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    lint_buf_text(b, "\"");
    while (*p) {
        size_t n = utf8(p);
        if (*p == '"' || *p == '\\') {
            lint_buf_printf(b, "\\%c", *p);
        } else if (*p < 0x20) {
            lint_buf_printf(b, "\\u%04x", *p);
        } else if (n) {
            lint_buf_add(b, p, n);
        } else {
            lint_buf_text(b, "\\ufffd");
        }
        p += n ? n : 1;
    }
    lint_buf_text(b, "\"");
}

static void put_json_path(const cli *c, lint_buf *b, const char *key)
{
    lint_buf path = {0};
    cli_path(c, key, &path);
    put_json(b, path.data ? path.data : "");
    b->failed |= path.failed;
    lint_buf_free(&path);
}

static void put_json_message(const cli *c, lint_buf *b, const char *message)
{
    lint_buf text = {0};
    cli_message(c, message, &text);
    put_json(b, text.data ? text.data : "");
    b->failed |= text.failed;
    lint_buf_free(&text);
}

static void format_json(const cli *c, const cli_issues *issues, lint_buf *b)
{
    lint_buf_text(b, "{\"schema\": 1, \"tool\": \"tierlint\", \"version\": \"" TIERLINT_VERSION
                     "\", \"findings\": [");
    for (size_t n = 0; n < issues->count; n++) {
        const lint_issue *i = &issues->at[n];
        const lint_rule *rule = lint_rule_at(i->rule);
        lint_buf_text(b, n ? ",\n  {\"path\": " : "\n  {\"path\": ");
        put_json_path(c, b, i->path);
        lint_buf_printf(
            b,
            ", \"line\": %u, \"column\": %u, \"severity\": \"%s\", \"rule\": \"%s\", \"message\": ", i->line,
            i->column, rule->severity, rule->name);
        put_json_message(c, b, i->message);
        if (i->also_path[0]) {
            lint_buf_text(b, ", \"also\": {\"path\": ");
            put_json_path(c, b, i->also_path);
            lint_buf_printf(b, ", \"line\": %u, \"column\": %u, \"message\": ", i->also_line, i->also_column);
            put_json(b, i->note);
            lint_buf_text(b, "}");
        }
        lint_buf_text(b, "}");
    }
    lint_buf_printf(b, "%s], \"count\": %zu}\n", issues->count ? "\n" : "", issues->count);
}

/* ---- SARIF -----------------------------------------------------------------------------------------------
 */
static void put_uri(const cli *c, lint_buf *b, const char *key)
{
    lint_buf path = {0};
    cli_path(c, key, &path);
    lint_buf_text(b, path.data && path.data[0] == '/' ? "\"file://" : "\"");
    for (const unsigned char *p = (const unsigned char *)(path.data ? path.data : ""); *p; p++) {
        if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
            strchr("-._~/", *p)) {
            lint_buf_add(b, p, 1);
        } else {
            lint_buf_printf(b, "%%%02X", *p);
        }
    }
    lint_buf_text(b, "\"");
    b->failed |= path.failed;
    lint_buf_free(&path);
}

static void put_location(const cli *c, lint_buf *b, const char *key, uint32_t line, uint32_t column,
                         const char *note)
{
    lint_buf_text(b, "{\"physicalLocation\": {\"artifactLocation\": {\"uri\": ");
    put_uri(c, b, key);
    lint_buf_printf(b, "}, \"region\": {\"startLine\": %u, \"startColumn\": %u}}", line, column);
    if (note) {
        lint_buf_text(b, ", \"message\": {\"text\": ");
        put_json(b, note);
        lint_buf_text(b, "}");
    }
    lint_buf_text(b, "}");
}

static void put_sarif_rules(lint_buf *b)
{
    for (uint32_t i = 0; i < LINT_RULE_COUNT; i++) {
        const lint_rule *r = lint_rule_at(i);
        lint_buf_printf(b, "%s\n    {\"id\": \"%s\", \"shortDescription\": {\"text\": ", i ? "," : "",
                        r->name);
        put_json(b, r->what);
        lint_buf_text(b, "}, \"fullDescription\": {\"text\": ");
        put_json(b, r->why);
        lint_buf_printf(b, "}, \"defaultConfiguration\": {\"enabled\": %s, \"level\": \"%s\"}}",
                        r->on ? "true" : "false", r->severity);
    }
}

static void format_sarif(const cli *c, const cli_issues *issues, lint_buf *b)
{
    lint_buf_text(
        b, "{\"$schema\": \"https://json.schemastore.org/sarif-2.1.0.json\", \"version\": \"2.1.0\", "
           "\"runs\": [{\"tool\": {\"driver\": {\"name\": \"tierlint\", \"version\": \"" TIERLINT_VERSION
           "\", \"rules\": [");
    put_sarif_rules(b);
    lint_buf_text(b, "]}}, \"columnKind\": \"unicodeCodePoints\", \"results\": [");
    for (size_t n = 0; n < issues->count; n++) {
        const lint_issue *i = &issues->at[n];
        const lint_rule *rule = lint_rule_at(i->rule);
        lint_buf_printf(
            b, "%s\n  {\"ruleId\": \"%s\", \"ruleIndex\": %u, \"level\": \"%s\", \"message\": {\"text\": ",
            n ? "," : "", rule->name, i->rule, rule->severity);
        put_json_message(c, b, i->message);
        lint_buf_text(b, "}, \"locations\": [");
        put_location(c, b, i->path, i->line, i->column, NULL);
        lint_buf_text(b, "]");
        if (i->also_path[0]) {
            lint_buf_text(b, ", \"relatedLocations\": [");
            put_location(c, b, i->also_path, i->also_line, i->also_column, i->note);
            lint_buf_text(b, "]");
        }
        lint_buf_text(b, "}");
    }
    lint_buf_printf(b, "%s]}]}\n", issues->count ? "\n" : "");
}

void cli_format(const cli *c, const cli_issues *issues, lint_buf *b)
{
    if (c->format == CLI_JSON) {
        format_json(c, issues, b);
    } else if (c->format == CLI_SARIF) {
        format_sarif(c, issues, b);
    } else {
        for (size_t i = 0; i < issues->count; i++) {
            cli_text_line(c, &issues->at[i], b);
            lint_buf_text(b, "\n");
        }
    }
}

bool cli_write(lint_buf *b)
{
    bool fine = !b->failed;
    if (!fine) {
        fprintf(stderr, "tierlint: out of memory\n");
    }
    for (size_t done = 0; fine && done < b->size;) {
        ssize_t n = write(STDOUT_FILENO, b->data + done, b->size - done);
        if (n >= 0) {
            done += (size_t)n;
        } else if (errno != EINTR) {
            fine = false;
            if (errno != EPIPE) {
                cli_complain("the report");
            }
        }
    }
    lint_buf_free(b);
    return fine;
}
