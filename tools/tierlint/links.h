/* Reading a value of type links: one entry for each include of the file, in the order of its face. */
#ifndef TIERLINT_LINKS_H
#define TIERLINT_LINKS_H

#include "tools/tierlint/buf.h"

#define LINT_LINK_CONDITIONAL (1u << 16) /* beside the OL_INC_ flags: below a conditional, guard apart */

typedef struct lint_link {
    uint32_t flags;
    const char *path; /* key path; "": not found. Points into the value */
} lint_link;

bool lint_link_next(lint_reader *r, lint_link *link); /* false: no more */

#endif
