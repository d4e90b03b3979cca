/* tool.h - tiercheck: the command line in front of tierkit_admin.h. Results go to stdout, messages and
 * progress to stderr. */
#ifndef TIERCHECK_TOOL_H
#define TIERCHECK_TOOL_H
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <tierkit_admin.h>

#define TIERCHECK_VERSION "0.1.0"

/* As fsck(8). */
enum { CLEAN = 0, REPAIRED = 1, DAMAGE_LEFT = 4, TROUBLE = 8, USAGE = 16, INTERRUPTED = 32 };

/* X(identifier, short, long, argument or NULL, commands that take it: letters below, what it does) */
#define OPTIONS(X)                                                                                         \
    X(DIR, 'd', "cache", "DIR", "*", "the cache directory ($TIERKIT_DIR, else ~/.cache/tierkit)")          \
    X(ROOT, 'C', "root", "DIR", "*", "relative paths are below it (the working directory)")                \
    X(PROFILE, 0, "profile", "NAME", "*", "dev, ci or production")                                         \
    X(JSON, 0, "json", NULL, "*", "write JSON; its first member is \"schema\": 1")                         \
    X(QUIET, 'q', "quiet", NULL, "*", "no progress, no notices, no advice")                                \
    X(VERBOSE, 'v', "verbose", NULL, "*", "say more")                                                      \
    X(DRY, 'n', "dry-run", NULL, "*", "change nothing; say what would be done")                            \
    X(HELP, 'h', "help", NULL, "*", "this text, or a command's")                                           \
    X(VERSION, 0, "version", NULL, "*", "the version")                                                     \
    X(READ_DATA, 0, "read-data", NULL, "c", "also expand every value and compare it with its hash")        \
    X(SOURCES, 0, "sources", NULL, "cr", "also compare remembered stat identities with the files")         \
    X(MAX_DURATION, 0, "max-duration", "S", "c", "stop after so many seconds, with what was found so far") \
    X(DEPTH, 0, "depth", "N", "w", "follow includes and imports so many levels (the profile's)")           \
    X(BUDGET, 0, "budget", "BYTES", "w", "hold no more than that, as in 64MiB (the file tier's)")          \
    X(TIME, 0, "time", "S", "w", "stop after so many seconds (the profile's)")                             \
    X(JOBS, 0, "jobs", "N", "w", "threads (the profile's)")                                                \
    X(MAX_SIZE, 0, "max-size", "B", "p",                                                                   \
      "the oldest results go until values are no more: B, KiB, MiB or GiB")                                \
    X(OLDER_THAN, 0, "older-than", "T", "pi", "results made longer ago than that: s, m, h or d, as in 7d") \
    X(PATTERN, 0, "pattern", "RE", "i", "results whose path matches the regular expression")               \
    X(TAG, 0, "tag", "T", "i", "results with that tag")                                                    \
    X(OUTPUT, 0, "output", "FILE", "t", "the trace to write (tierkit.trace)")                              \
    X(POLICY, 0, "policy", "P", "t", "replay with that one only; belady knows what is to come (all)")      \
    X(SIZE, 0, "size", "S", "t", "budget of each tier, as in 64MiB or 10% of all that came into it (10%)") \
    X(TYPE, 0, "type", "T", "i", "results of the type of that name")                                       \
    X(TYPE_PATTERN, 0, "type-pattern", "RE", "i", "results of types whose name matches")
enum {
#define OPTION_ENUM(id, brief, name, argument, commands, what) OPT_##id,
    OPTIONS(OPTION_ENUM)
#undef OPTION_ENUM
        OPT_COUNT
};

/* X(identifier, name, letter in OPTIONS, arguments, what it does in one line) */
#define COMMANDS(X)                                                                                        \
    X(CHECK, check, 'c', "", "verify the store and what its records say of each other")                    \
    X(REPAIR, repair, 'r', "", "check, and delete or rebuild what is damaged")                             \
    X(STATS, stats, 's', "", "how much of what is stored")                                                 \
    X(WARM, warm, 'w', "PATH...", "read files and what they include, so that the next program finds them") \
    X(EXPLAIN, explain, 'e', "PATH", "what is remembered of a path, why, and what depends on it")          \
    X(INSPECT, inspect, 'k', "KEY", "the record of a key")                                                 \
    X(PRUNE, prune, 'p', "", "delete old results and what nothing refers to")                              \
    X(INVALIDATE, invalidate, 'i', "PATH", "make results misses; files never need this")                   \
    X(TRACE, trace, 't', "record -- CMD... | replay FILE... | pack OUT FILE...",                           \
      "what a program asks its memory for, and what a policy makes of it")                                 \
    X(REPLAY, replay, 'y', "LOG", "a recorded run's answers, looked up anew by what it saw")               \
    X(PROFILE, profile, 'f', "list | show | diff [A [B]]", "settings, their values and where those come from")

typedef struct tool {
    const char *value[OPT_COUNT]; /* NULL: not given; "" for those without an argument; argv's */
    int command;
    char **args; /* of the command: argv's, packed */
    int arg_count;
    bool json; /* --json stands on the command line: usage errors are JSON too */
    tier_admin *admin;
    bool color, progress; /* of stdout; of stderr */
    bool progress_shown;
    int64_t progress_at;
    char *out; /* what waits for stdout */
    size_t out_size, out_capacity;
    bool out_closed; /* the reader went away: no one's trouble */
    bool out_failed;
} tool;

/* options.c: false: *status is the program's. */
bool tool_parse(tool *t, int argc, char **argv, int *status);
const char *tool_command_name(int command);
/* Says it, as JSON too where that is wanted; USAGE. */
int tool_usage(tool *t, const char *command, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Values of options; false: said what was expected. */
bool tool_number(tool *t, int option, uint64_t max, uint64_t *n);
/* A bare number is bytes, or seconds; --max-size and --older-than refuse it. */
bool tool_bytes(tool *t, int option, uint64_t *n);
bool tool_duration(tool *t, int option, int64_t *ms);
bool tool_read_duration(const char *text, int64_t *ms);
const char *tool_nearest(const char *word, const char *const *known, size_t n); /* NULL: none is near */
/* paths.c: PATH as the system knows it, below -C where that is given, ".." resolved; as a key path. */
bool tool_os_path(tool *t, const char *arg, char *buf, size_t size); /* false: too long */
int tool_key_path(tool *t, const char *arg, char *buf, size_t size);
/* help.c: to the waiting output */
void tool_help(tool *t, int command); /* -1: of the tool */

static inline const char *plural(uint64_t n) /* "%llu file%s" */
{
    return n == 1 ? "" : "s";
}

/* output.c */
void out_text(tool *t, const char *text);
void out_printf(tool *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
int out_sink(void *user, const char *text, size_t size); /* user: the tool */
void out_json(tool *t, const char *text);                /* quoted; bytes as \u00XX */
/* Names as people are shown them: control characters as \n and \xNN, so that none forges a line. */
char *shown(const char *text); /* to be freed; NULL: no memory */
void out_shown(tool *t, const char *text);
void err_shown(const char *format, va_list args);
void out_bytes(tool *t, double bytes);     /* "1.5 MiB" */
void out_color(tool *t, const char *code); /* "31", "" ends it; only where colors are wanted */
void out_begin(tool *t);                   /* signals; what kind of terminal there is */
int out_end(tool *t, int status);          /* what waits; the status, or TROUBLE */
void say(tool *t, const char *format, ...) __attribute__((format(printf, 2, 3))); /* a line on stderr */
int on_progress(void *user, const char *what, uint64_t done, uint64_t total);
void progress_end(tool *t);
void on_log(void *user, int level, const char *line);
bool interrupted(void);
/* The error of a tier_admin call, said and (with --json) written; the program's status. */
int fail(tool *t, int rc, const char *why);

/* one for each command; the program's status */
#define COMMAND_FUNCTION(id, name, letter, arguments, what) int run_##name(tool *t);
COMMANDS(COMMAND_FUNCTION)
#undef COMMAND_FUNCTION
/* A cache over the same directory and root, for warm and invalidate; NULL: *status. */
tier_cache *tool_cache(tool *t, int *status);
#endif
