/* options.c - the command line: two tables, from which come parsing, hints and help. */
#include "tools/tiercheck/tool.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum {
    COUNT_OF_COMMANDS = 0
#define COMMAND_COUNT(id, name, letter, arguments, what) +1
    COMMANDS(COMMAND_COUNT)
#undef COMMAND_COUNT
};

static const struct option {
    char brief;
    const char *name, *argument, *commands;
} options[] = {
#define OPTION_ROW(id, brief, name, argument, commands, what) {brief, name, argument, commands},
    OPTIONS(OPTION_ROW)
#undef OPTION_ROW
};

static const struct command {
    const char *name;
    char letter;
} commands[] = {
#define COMMAND_ROW(id, name, letter, arguments, what) {#name, letter},
    COMMANDS(COMMAND_ROW)
#undef COMMAND_ROW
};

const char *tool_command_name(int command)
{
    return command < 0 ? "" : commands[command].name;
}

/* ---- hints ---- */
static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many letters are wrong, missing, too many or changed with the next one, of words shorter than 40. */
static size_t distance(const char *a, const char *b)
{
    size_t rows[3][40], n = strlen(b);
    size_t *before = rows[0], *row = rows[1], *next = rows[2];
    if (n >= sizeof *rows / sizeof **rows)
        return n;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        next[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            next[j + 1] = least(least(row[j + 1], next[j]) + 1, row[j] + (a[i] != b[j]));
            if (i && j && a[i] == b[j - 1] && a[i - 1] == b[j])
                next[j + 1] = least(next[j + 1], before[j - 1] + 1);
        }
        size_t *free_row = before;
        before = row;
        row = next;
        next = free_row;
    }
    return row[n];
}

const char *tool_nearest(const char *word, const char *const *known, size_t n)
{
    const char *near = NULL;
    size_t best = least(strlen(word) / 3, 2) + 1; /* farther is not a slip of the fingers */
    for (size_t i = 0; i < n; i++) {
        size_t far = distance(word, known[i]);
        if (strlen(word) > 2 && strncmp(word, known[i], strlen(word)) == 0)
            far = 1; /* cut short */
        if (far < best && far < strlen(known[i])) {
            best = far;
            near = known[i];
        }
    }
    return near;
}

int tool_usage(tool *t, const char *command, const char *format, ...)
{
    char text[1024];
    va_list args;
    fputs("tiercheck: ", stderr);
    va_start(args, format);
    err_shown(format, args);
    va_end(args);
    fprintf(stderr, "\ntiercheck: 'tiercheck %s%s--help' says more\n", command, *command ? " " : "");
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (t->json) {
        t->out_size = 0; /* an answer that was begun is none */
        out_text(t, "{\"schema\":1,\"error\":");
        out_json(t, text);
        out_printf(t, ",\"exit\":%d}\n", USAGE);
    }
    return USAGE;
}

static bool takes(int command, int option)
{
    const char *letters = options[option].commands;
    return *letters == '*' || (command >= 0 && strchr(letters, commands[command].letter));
}

static int unknown_option(tool *t, const char *word)
{
    const char *known[OPT_COUNT];
    char bare[40];
    size_t n = 0;
    snprintf(bare, sizeof bare, "%.*s", (int)least(strcspn(word + 2, "="), sizeof bare - 1), word + 2);
    for (int i = 0; i < OPT_COUNT; i++) {
        if (takes(t->command, i))
            known[n++] = options[i].name;
        else if (strcmp(bare, options[i].name) == 0 && t->command >= 0)
            return tool_usage(t, tool_command_name(t->command), "'%s' does not take --%s",
                              tool_command_name(t->command), bare);
    }
    const char *near = word[1] == '-' ? tool_nearest(bare, known, n) : NULL;
    return tool_usage(t, tool_command_name(t->command), "unknown option '%s'%s%s%s", word,
                      near ? "; did you mean '--" : "", near ? near : "", near ? "'?" : "");
}

static int unknown_command(tool *t, const char *word)
{
    const char *known[COUNT_OF_COMMANDS];
    for (int i = 0; i < COUNT_OF_COMMANDS; i++)
        known[i] = commands[i].name;
    const char *near = tool_nearest(word, known, COUNT_OF_COMMANDS);
    return tool_usage(t, "", "unknown command '%s'%s%s%s", word, near ? "; did you mean '" : "",
                      near ? near : "", near ? "'?" : "");
}

/* ---- parsing ---- */
/* Which option word is, and where its value begins within it (NULL: not within). OPT_COUNT: none. */
static int find_option(const char *word, const char **value)
{
    *value = NULL;
    for (int i = 0; i < OPT_COUNT; i++) {
        if (word[1] == '-') {
            size_t n = strlen(options[i].name);
            if (strncmp(word + 2, options[i].name, n) == 0 && (!word[2 + n] || word[2 + n] == '=')) {
                *value = word[2 + n] ? word + 3 + n : NULL;
                return i;
            }
        } else if (options[i].brief && word[1] == options[i].brief) {
            *value = word[2] ? word + 2 : NULL;
            return i;
        }
    }
    return OPT_COUNT;
}

/* -1, or the program's status. Short ones without a value may stand together: -nv. */
static int parse_option(tool *t, char **argv, int argc, int *at)
{
    const char *word = argv[*at], *value;
    int option = find_option(word, &value);
    if (option == OPT_COUNT || (value && !options[option].argument && word[1] == '-') ||
        !takes(t->command, option))
        return unknown_option(t, word);
    if (value && !options[option].argument) {
        char rest[3] = {'-', 0, 0};
        for (const char *s = word + 1; *s; s++) {
            const char *none;
            rest[1] = *s;
            int each = find_option(rest, &none);
            if (each == OPT_COUNT || options[each].argument)
                return unknown_option(t, word);
            t->value[each] = "";
        }
        return -1;
    }
    if (options[option].argument && !value) {
        if (*at + 1 >= argc)
            return tool_usage(t, tool_command_name(t->command), "'%s' needs a value: %s", word,
                              options[option].argument);
        value = argv[++*at];
    }
    t->value[option] = value ? value : "";
    return -1;
}

static int find_command(const char *word)
{
    for (int i = 0; i < COUNT_OF_COMMANDS; i++)
        if (strcmp(word, commands[i].name) == 0)
            return i;
    return -1;
}

static int check_profile(tool *t)
{
    const char *known[TIER_PROFILES], *name = t->value[OPT_PROFILE];
    for (uint32_t i = 0; i < TIER_PROFILES; i++) {
        known[i] = tier_profile_name(i);
        if (!name || strcmp(name, known[i]) == 0)
            return -1;
    }
    const char *near = tool_nearest(name, known, TIER_PROFILES);
    return tool_usage(t, "", "unknown profile '%s'; there are dev, ci and production%s%s%s", name,
                      near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static int answer(tool *t)
{
    if (t->value[OPT_VERSION])
        out_text(t, "tiercheck " TIERCHECK_VERSION "\n");
    else
        tool_help(t, t->command);
    return CLEAN;
}

bool tool_parse(tool *t, int argc, char **argv, int *status)
{
    bool words_only = false;
    t->command = -1;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) /* an error may stand before it */
        t->json |= strcmp(argv[i], "--json") == 0;
    t->args = argv + 1; /* packed in place */
    *status = -1;
    for (int i = 1; i < argc && *status < 0; i++) {
        if (!words_only && strcmp(argv[i], "--") == 0) {
            words_only = true;
        } else if (!words_only && argv[i][0] == '-' && argv[i][1]) {
            *status = parse_option(t, argv, argc, &i);
        } else if (t->command < 0) {
            t->command = find_command(argv[i]);
            if (!words_only && strcmp(argv[i], "help") == 0)
                t->value[OPT_HELP] = "";
            else if (t->command < 0)
                *status = unknown_command(t, argv[i]);
        } else {
            t->args[t->arg_count++] = argv[i];
        }
    }
    if (*status < 0 && (t->value[OPT_HELP] || t->value[OPT_VERSION]))
        *status = answer(t);
    if (*status < 0)
        *status = check_profile(t);
    if (*status < 0 && t->command < 0)
        *status = tool_usage(t, "", "no command given; 'tiercheck check' verifies the cache");
    return *status < 0;
}

/* ---- values ---- */
static bool expected(tool *t, int option, const char *what)
{
    tool_usage(t, tool_command_name(t->command), "--%s = '%s': expected %s", options[option].name,
               t->value[option], what);
    return false;
}

/* A number with a unit out of units; spaces between. */
static bool with_unit(const char *text, const char *const *units, const uint64_t *factor, size_t count,
                      uint64_t *n)
{
    char *end;
    if (!isdigit((unsigned char)*text))
        return false;
    double v = strtod(text, &end);
    end += strspn(end, " ");
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(end, units[i]) == 0) {
            v *= (double)factor[i];
            *n = (uint64_t)v;
            return v < 9e15; /* exact in a double, and more than anybody has */
        }
    return false;
}

bool tool_number(tool *t, int option, uint64_t max, uint64_t *n)
{
    char *end, what[64];
    const char *text = t->value[option];
    *n = strtoull(text, &end, 10);
    snprintf(what, sizeof what, "a number up to %llu", (unsigned long long)max);
    return isdigit((unsigned char)*text) && !*end && *n <= max ? true : expected(t, option, what);
}

/* What these two name is deleted or made a miss: a unit that was forgotten must not name everything. 0 needs
 * none. */
static bool lacks_unit(tool *t, int option)
{
    const char *text = t->value[option];
    char *end;
    if ((option != OPT_MAX_SIZE && option != OPT_OLDER_THAN) || !isdigit((unsigned char)*text))
        return false;
    bool zero = strtod(text, &end) == 0;
    int n = (int)(end - text);
    if (zero || end[strspn(end, " ")])
        return false;
    tool_usage(t, tool_command_name(t->command),
               option == OPT_MAX_SIZE ? "--%s: %.*s has no unit: %.*sB, %.*sKiB, %.*sMiB or %.*sGiB"
                                      : "--%s: %.*s has no unit: %.*ss, %.*sm, %.*sh or %.*sd",
               options[option].name, n, text, n, text, n, text, n, text, n, text);
    return true;
}

bool tool_bytes(tool *t, int option, uint64_t *n)
{
    static const char *const units[] = {"", "B", "K", "KB", "KiB", "M", "MB", "MiB", "G", "GB", "GiB"};
    static const uint64_t factor[] = {1,       1,       1 << 10, 1 << 10, 1 << 10, 1 << 20,
                                      1 << 20, 1 << 20, 1 << 30, 1 << 30, 1 << 30};
    if (lacks_unit(t, option))
        return false;
    if (with_unit(t->value[option], units, factor, sizeof factor / sizeof *factor, n))
        return true;
    return expected(t, option, "a size, as 4096B, 64MiB or 2G");
}

bool tool_read_duration(const char *text, int64_t *ms)
{
    static const char *const units[] = {"", "ms", "s", "m", "min", "h", "d"};
    static const uint64_t factor[] = {1000, 1, 1000, 60000, 60000, 3600000, 86400000};
    uint64_t n;
    if (!with_unit(text, units, factor, sizeof factor / sizeof *factor, &n))
        return false;
    *ms = (int64_t)n;
    return true;
}

bool tool_duration(tool *t, int option, int64_t *ms)
{
    return !lacks_unit(t, option) &&
           (tool_read_duration(t->value[option], ms) || expected(t, option, "a time, as 90s, 12h or 7d"));
}
