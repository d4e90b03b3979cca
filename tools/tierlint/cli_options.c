/* The command line: one table of options, from which come parsing, help and hints. */
#include "tools/tierlint/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* X(identifier, short, long, argument or NULL, what it does) */
#define OPTIONS(X)                                                                                       \
    X(INCLUDE, 'I', "include", "DIR", "search DIR for included files; may be repeated")                  \
    X(COMPDB, 'p', "compile-commands", "FILE", "take each file's -I from this compile_commands.json")    \
    X(NO_SYSTEM, 0, "no-system", NULL, "do not search the system's directories, nor miss their headers") \
    X(ENABLE, 0, "enable", "RULES", "switch rules on: names with commas between, or all")                \
    X(DISABLE, 0, "disable", "RULES", "switch rules off; options count in order")                        \
    X(BASELINE, 0, "baseline", "FILE", "leave out the findings that FILE lists")                         \
    X(WRITE_BASELINE, 0, "write-baseline", "FILE", "list all findings in FILE, and exit 0")              \
    X(FORMAT, 0, "format", "FORMAT", "text, json or sarif; --watch prints text only")                    \
    X(JOBS, 'j', "jobs", "N", "work on N threads (1)")                                                   \
    X(WATCH, 0, "watch", NULL, "keep running; print findings that go (-) and come (+), as text only")    \
    X(FULL, 0, "full", NULL, "with --watch: print the whole report each time")                           \
    X(ROOT, 'C', "root", "DIR", "the tree's root (the working directory)")                               \
    X(DIR, 'd', "cache", "DIR", "cache directory")                                                       \
    X(NO_CACHE, 0, "no-cache", NULL, "the same analysis, remembering nothing")                           \
    X(PROFILE, 0, "profile", "NAME", "dev, ci or production")                                            \
    X(STATS, 0, "stats", NULL, "say on stderr what each tier and type did")                              \
    X(LIST_RULES, 0, "list-rules", NULL, "list the rules and exit")                                      \
    X(EXPLAIN, 0, "explain-rule", "RULE", "say what a rule looks at and exit")                           \
    X(HELP, 'h', "help", NULL, "this text")                                                              \
    X(VERSION, 0, "version", NULL, "the version")

enum {
#define OPTION_ENUM(id, brief, name, argument, what) OPT_##id,
    OPTIONS(OPTION_ENUM)
#undef OPTION_ENUM
        OPT_COUNT
};

static const struct option {
    char brief;
    const char *name, *argument, *what;
} options[] = {
#define OPTION_ROW(id, brief, name, argument, what) {brief, name, argument, what},
    OPTIONS(OPTION_ROW)
#undef OPTION_ROW
};

/* ---- what is printed instead of a run --------------------------------------------------------------------
 */
static int finish(lint_buf *b)
{
    return cli_write(b) ? CLI_CLEAN : CLI_TROUBLE;
}

static int help(void)
{
    lint_buf b = {0};
    lint_buf_text(&b, "usage: tierlint [OPTION]... PATH...\n"
                      "Checks includes and declarations of C and C++ files; directories are searched.\n\n");
    for (int i = 0; i < OPT_COUNT; i++) {
        const struct option *o = &options[i];
        char left[64], brief[3] = {'-', o->brief, 0};
        snprintf(left, sizeof left, "%s%s--%s%s%s", o->brief ? brief : "  ", o->brief ? ", " : "  ", o->name,
                 o->argument ? "=" : "", o->argument ? o->argument : "");
        lint_buf_printf(&b, "  %-32s %s\n", left, o->what);
    }
    lint_buf_text(&b,
                  "\nexit status: 0 nothing found, 1 findings, 2 trouble or wrong usage, 130 interrupted\n"
                  "unused-include speaks of the tree's headers, not of system headers such as <string.h>\n"
                  "in a file: // tierlint: ignore [RULE], ignore-next-line [RULE], ignore-file\n");
    return finish(&b);
}

static int list_rules(void)
{
    lint_buf b = {0};
    for (uint32_t i = 0; i < LINT_RULE_COUNT; i++) {
        const lint_rule *r = lint_rule_at(i);
        lint_buf_printf(&b, "%-26s %-3s %-8s %s\n", r->name, r->on ? "on" : "off", r->severity, r->what);
    }
    return finish(&b);
}

/* ---- hints -----------------------------------------------------------------------------------------------
 */
static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static const char see_help[] = "'tierlint --help' lists the options";

/* Levenshtein's distance of words shorter than 40. */
static size_t distance(const char *a, const char *b)
{
    size_t row[40], n = strlen(b);
    if (n >= sizeof row / sizeof *row) {
        return n;
    }
    for (size_t j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (size_t i = 0; a[i]; i++) {
        size_t corner = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            size_t keep = row[j + 1];
            row[j + 1] = least(least(row[j + 1], row[j]) + 1, corner + (a[i] != b[j]));
            corner = keep;
        }
    }
    return row[n];
}

/* Says two lines: what is wrong with word, and what helps. near may be NULL. */
static int wrong(const char *what, const char *word, const char *near, const char *more)
{
    fprintf(stderr, "tierlint: %s '%s'", what, word);
    if (near) {
        fprintf(stderr, "; did you mean '%s'?", near);
    }
    fprintf(stderr, "\ntierlint: %s\n", more);
    return CLI_TROUBLE;
}

/* The distance at which a word is no slip of the fingers any more: above 2, or a third of its letters. */
static size_t too_far(const char *word)
{
    return least(strlen(word) / 3, 2) + 1;
}

static int unknown_option(char *word)
{
    char near[48] = "";
    word[strcspn(word, "=")] = 0;
    size_t best = strncmp(word, "--", 2) == 0 ? too_far(word + 2) : 0;
    for (int i = 0; i < OPT_COUNT && strncmp(word, "--", 2) == 0; i++) {
        char bare[48];
        snprintf(bare, sizeof bare, "%s", word + 2);
        size_t far = distance(bare, options[i].name);
        if (far < best) {
            best = far;
            snprintf(near, sizeof near, "--%s", options[i].name);
        }
    }
    return wrong("unknown option", word, *near ? near : NULL, see_help);
}

static int unknown_rule(const char *word)
{
    const char *near = NULL;
    size_t best = too_far(word);
    for (uint32_t i = 0; i < LINT_RULE_COUNT; i++) {
        size_t far = distance(word, lint_rule_at(i)->name);
        if (far < best) {
            best = far;
            near = lint_rule_at(i)->name;
        }
    }
    return wrong("unknown rule", word, near, "'tierlint --list-rules' lists the rules");
}

static int explain(const char *name)
{
    const lint_rule *r = lint_rule_at(lint_rule_find(name));
    if (!r) {
        return unknown_rule(name);
    }
    lint_buf b = {0};
    lint_buf_printf(&b, "%s (%s, %s by default): %s\n\n%s\n", r->name, r->severity, r->on ? "on" : "off",
                    r->what, r->why);
    return finish(&b);
}

/* ---- parsing ---------------------------------------------------------------------------------------------
 */
static int switch_rules(cli *c, const char *names, bool on)
{
    while (*names) {
        size_t size = strcspn(names, ",");
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)least(size, sizeof name - 1), names);
        uint32_t rule = lint_rule_find(name), bits = strcmp(name, "all") == 0 ? UINT32_MAX : 0;
        if (!bits && rule == LINT_RULE_COUNT) {
            return unknown_rule(name);
        }
        bits = bits ? bits : 1u << rule;
        c->rules = on ? c->rules | bits : c->rules & ~bits;
        names += size + (names[size] == ',');
    }
    return -1;
}

static int set_format(cli *c, const char *value)
{
    static const char *const known[] = {"text", "json", "sarif"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(value, known[i]) == 0) {
            c->format = i;
            return -1;
        }
    }
    return wrong("unknown format", value, NULL, "the formats are text, json and sarif");
}

static int set_jobs(cli *c, const char *value)
{
    char *end;
    unsigned long n = strtoul(value, &end, 10);
    if (*end || n < 1 || n > 1024 || *value == '-') {
        return wrong("--jobs takes a number from 1 to 1024, not", value, NULL, see_help);
    }
    c->jobs = (uint32_t)n;
    return -1;
}

/* -1: go on; otherwise the program's status. */
static int set(cli *c, int option, char *value, uint32_t at)
{
    switch (option) {
    case OPT_INCLUDE:
        lint_list_add(&c->include, at);
        return -1;
    case OPT_COMPDB:
        c->compdb = value;
        return -1;
    case OPT_NO_SYSTEM:
        c->no_system = true;
        return -1;
    case OPT_ENABLE:
    case OPT_DISABLE:
        return switch_rules(c, value, option == OPT_ENABLE);
    case OPT_BASELINE:
        c->baseline = value;
        return -1;
    case OPT_WRITE_BASELINE:
        c->write_baseline = value;
        return -1;
    case OPT_FORMAT:
        return set_format(c, value);
    case OPT_JOBS:
        return set_jobs(c, value);
    case OPT_WATCH:
        c->watch = true;
        return -1;
    case OPT_FULL:
        c->full = true;
        return -1;
    case OPT_ROOT:
        c->root = value;
        return -1;
    case OPT_DIR:
        c->dir = value;
        return -1;
    case OPT_NO_CACHE:
        c->no_cache = true;
        return -1;
    case OPT_PROFILE:
        c->profile = value;
        return -1;
    case OPT_STATS:
        c->stats = true;
        return -1;
    case OPT_LIST_RULES:
        return list_rules();
    case OPT_EXPLAIN:
        return explain(value);
    case OPT_HELP:
        return help();
    default:
        printf("tierlint " TIERLINT_VERSION "\n");
        return fflush(stdout) ? CLI_TROUBLE : CLI_CLEAN;
    }
}

/* Which option word is, and where its value begins within it (NULL: not within). OPT_COUNT: none. */
static int find_option(char *word, char **value)
{
    *value = NULL;
    for (int i = 0; i < OPT_COUNT; i++) {
        if (word[1] == '-') {
            size_t size = strlen(options[i].name);
            if (strncmp(word + 2, options[i].name, size) == 0 && (!word[2 + size] || word[2 + size] == '=')) {
                *value = word[2 + size] ? word + 3 + size : NULL;
                return i;
            }
        } else if (options[i].brief && word[1] == options[i].brief) {
            *value = word[2] ? word + 2 : NULL;
            return i;
        }
    }
    return OPT_COUNT;
}

static int parse_word(cli *c, int argc, int *at)
{
    char *word = c->argv[*at], *value;
    int option = find_option(word, &value);
    if (option != OPT_COUNT && value && !options[option].argument && word[1] == '-') {
        return wrong("no value goes with", word, NULL, see_help);
    }
    if (option == OPT_COUNT || (value && !options[option].argument)) {
        return unknown_option(word);
    }
    if (options[option].argument && !value) {
        if (*at + 1 >= argc) {
            return wrong("missing value behind", word, NULL, see_help);
        }
        value = c->argv[++*at];
    }
    return set(c, option, value, (uint32_t)*at);
}

bool cli_parse(cli *c, int argc, char **argv, int *exit_with)
{
    bool words_only = false;
    c->argv = argv;
    c->jobs = 1;
    c->rules = lint_rules_default();
    for (int i = 1; i < argc; i++) {
        if (words_only || argv[i][0] != '-' || !argv[i][1]) {
            lint_list_add(&c->paths, (uint32_t)i);
        } else if (strcmp(argv[i], "--") == 0) {
            words_only = true;
        } else {
            *exit_with = parse_word(c, argc, &i);
            if (*exit_with >= 0) {
                return false;
            }
        }
    }
    *exit_with = CLI_TROUBLE;
    if (c->paths.count == 0) {
        fprintf(stderr,
                "tierlint: no PATH given; 'tierlint .' checks the working directory, --help says more\n");
        return false;
    }
    if (c->watch && c->format != CLI_TEXT) {
        fprintf(stderr, "tierlint: --watch prints text only\n");
        return false;
    }
    if (c->full && !c->watch) {
        fprintf(stderr, "tierlint: --full needs --watch\n");
        return false;
    }
    return !c->paths.failed && !c->include.failed;
}
