/* Findings, twice: symbolic (where in terms of names: stays equal while lines move) and placed (with lines).
 * Passes give symbolic ones; only the rendering step, one per file, turns them into placed ones. */
#ifndef TIERLINT_FINDING_H
#define TIERLINT_FINDING_H

#include "tools/tierlint/buf.h"
#include "tools/tierlint/outline.h"

enum {
    LINT_AT_FILE = 1, /* the file's first line */
    LINT_AT_DECL,     /* declaration name#ordinal: offset bytes from its start; LINT_NONE: at its name */
    LINT_AT_INCLUDE,  /* include number ordinal */
    LINT_AT_USE,      /* first use of name in the file, members and locals apart */
    LINT_AT_GUARD     /* the conditional that is, or seems to be, the guard; else the first line */
};
typedef struct lint_anchor {
    const char *path; /* key path; "": none */
    uint32_t kind;
    const char *name;
    uint32_t ordinal, offset;
} lint_anchor;

typedef struct lint_finding {
    uint32_t rule;
    lint_anchor at, also;       /* also: another place that the finding speaks of */
    const char *message, *note; /* note: what is at also */
} lint_finding;

typedef struct lint_issue {
    uint32_t rule, line, column, also_line, also_column;
    const char *path, *message;
    const char *also_path, *note; /* "": none */
} lint_issue;

/* Strings read point into the bytes read. false: the bytes are no finding. */
void lint_finding_put(lint_buf *b, const lint_finding *f);
bool lint_finding_get(lint_reader *r, lint_finding *f);
void lint_issue_put(lint_buf *b, const lint_issue *i);
bool lint_issue_get(lint_reader *r, lint_issue *i);

/* A key path within a message is marked there, so that whoever prints it can say it in his own terms:
 * the byte 1, its length, ':', and the path. */
void lint_message_path(lint_buf *b, const char *key);
/* Takes the next piece of a message, text or a path, and moves *at behind it; false: none is left. piece is
 * emptied first. */
bool lint_message_next(const char **at, lint_buf *piece, bool *is_path);

/* Where the anchor stands in its file's whole outline; line 1, column 1 where it names nothing there. */
ol_point lint_anchor_place(const ol_outline *o, const lint_anchor *a);

#endif
