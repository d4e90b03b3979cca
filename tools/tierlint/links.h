/* Reading a value of type links: one entry for each include of the file, in the order of its face. */
#ifndef TIERLINT_LINKS_H
#define TIERLINT_LINKS_H

#include "tools/tierlint/buf.h"

/* Beside the OL_INC_ flags: */
#define LINT_LINK_CONDITIONAL (1u << 16) /* below a conditional, guard apart */
#define LINT_LINK_COMPILERS (1u << 17)   /* not found, and one of the compiler's own */

/* Includes of which nothing can be said with certainty. */
#define LINT_LINK_DOUBTFUL (OL_INC_COMPUTED | OL_INC_NESTED | OL_INC_NEXT | LINT_LINK_CONDITIONAL)

typedef struct lint_link {
    uint32_t flags;
    const char *path; /* key path; "": not found. Points into the value */
} lint_link;

bool lint_link_next(lint_reader *r, lint_link *link); /* false: no more */

#endif
