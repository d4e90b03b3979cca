/* The command line side: options, output, and how a run goes. Nothing here is part of any computation. */
#ifndef TIERLINT_CLI_H
#define TIERLINT_CLI_H

#include "tools/tierlint/lint.h"

#include <pthread.h>
#include <stdatomic.h>

#define TIERLINT_VERSION "0.1.0"

enum { CLI_CLEAN = 0, CLI_FINDINGS = 1, CLI_TROUBLE = 2, CLI_INTERRUPTED = 130 };
enum { CLI_TEXT = 0, CLI_JSON, CLI_SARIF };

typedef struct cli {
    /* as given; strings are argv's */
    const char *root, *dir, *profile, *compdb, *baseline, *write_baseline;
    lint_list paths, include; /* indices into argv, and of -I's value */
    char **argv;
    uint32_t rules, jobs;
    int format;
    bool no_cache, no_system, stats, watch, full;

    /* the run */
    tier_cache *cache;
    lint lint;
    lint_buf search_text; /* what lint.search points into */
    const char **search;
    char *compdb_key;
    lint_buf request;  /* the report's arguments */
    lint_map accepted; /* baseline, one line each */
    lint_list accepted_count;
    pthread_t signals;
    bool signals_on;
    atomic_int interrupted;
    _Atomic uint64_t session; /* to cancel; 0: none */
    atomic_int logged;        /* lines of the library on stderr: they named the cause of what failed */
    size_t partial;           /* files that the last report judged in part */
    bool compdb_bad;          /* it is none, and that has been said */
} cli;

/* cli_options.c: reads argv. CLI_CLEAN: go on; otherwise *exit_with is the program's status (help was asked
 * for, or the command line is wrong and it has been said). */
bool cli_parse(cli *c, int argc, char **argv, int *exit_with);

/* cli_open.c: opens the cache, defines the types; trouble is said on stderr, and false returned. */
bool cli_open(cli *c);
bool cli_close(cli *c);
void cli_fini(cli *c);

/* cli_output.c: issues as text, JSON or SARIF. */
typedef struct cli_issues { /* those of a report that no baseline takes away */
    lint_issue *at;         /* their strings lead into the report's value */
    size_t count;
    size_t partial; /* files that were judged in part */
} cli_issues;
bool cli_issues_read(cli *c, const tier_value *report, cli_issues *issues); /* false: out of memory, damage */
void cli_text_line(const cli *c, const lint_issue *i, lint_buf *b);         /* without newline */
void cli_format(const cli *c, const cli_issues *issues, lint_buf *b);
/* To stdout, or says why not (a closed pipe is no one's trouble but the status's). */
bool cli_write(lint_buf *b);
void cli_path(const cli *c, const char *key, lint_buf *b); /* relative to the working directory, no 0 */
/* A finding's message, the paths in it as cli_path gives them; c NULL: as key paths. No 0. */
void cli_message(const cli *c, const char *message, lint_buf *b);

void cli_complain(const char *what); /* with errno's text, on stderr */

/* cli_baseline.c */
bool cli_baseline_read(cli *c);
bool cli_baseline_write(const cli *c, const cli_issues *issues);
void cli_baseline_line(const lint_issue *i, lint_buf *b); /* with its 0 */

/* cli_run.c: one report, and a watch. Return the program's status. */
int cli_run(cli *c);
int cli_watch(cli *c);
/* Asks for the report in a session of its own; the value is lent until cli_end. */
int cli_report(cli *c, tier_session **s, tier_value *report);
void cli_end(cli *c, tier_session **s);
void cli_stats(const cli *c);

/* cli_notes.c: what the report of s leaves out, on stderr; within a watch what is new of it. */
void cli_notes(cli *c, tier_session *s, const tier_value *report, size_t partial, bool first);

/* ahead.c: builds the per-file results on jobs threads with forked sessions, following the includes. */
int cli_ahead(cli *c, tier_session *s, uint32_t jobs);

#endif
