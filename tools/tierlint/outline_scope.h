/* Between the walk over scopes (outline_scope.c) and the reading of heads (outline_decl.c). */
#ifndef TIERLINT_OUTLINE_SCOPE_H
#define TIERLINT_OUTLINE_SCOPE_H

#include "tools/tierlint/outline_int.h"

ol_frame *ol__frame(const ol_builder *b); /* the innermost; until the next ol__enter */
/* The bracket's partner, or the frame's last token where it has none inside. */
uint32_t ol__partner(const ol_builder *b, const ol_frame *f, uint32_t i);
/* The next token that is one of stop, over groups, or the frame's end. */
uint32_t ol__skip_to(const ol_builder *b, const ol_frame *f, uint32_t i, const char *stop);
/* Opens a scope for the tokens between two brackets. */
void ol__enter(ol_builder *b, uint32_t open, uint32_t close, ol_scope scope);
/* Behind all attributes at i, of any spelling. */
uint32_t ol__skip_attributes(ol_builder *b, ol_frame *f, uint32_t i);
/* Reads on in the head of the innermost frame, until it is finished or a body is entered. */
void ol__continue_head(ol_builder *b);

#endif
