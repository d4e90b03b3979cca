/* Encoding and placing of findings: see finding.h. */
#include "tools/tierlint/finding.h"

#include <stdlib.h>
#include <string.h>

static void anchor_put(lint_buf *b, const lint_anchor *a)
{
    lint_buf_str(b, a->path ? a->path : "");
    lint_buf_u32(b, a->kind);
    lint_buf_str(b, a->name ? a->name : "");
    lint_buf_u32(b, a->ordinal);
    lint_buf_u32(b, a->offset);
}

static lint_anchor anchor_get(lint_reader *r)
{
    lint_anchor a = {.path = lint_read_str(r)};
    a.kind = lint_read_u32(r);
    a.name = lint_read_str(r);
    a.ordinal = lint_read_u32(r);
    a.offset = lint_read_u32(r);
    return a;
}

void lint_finding_put(lint_buf *b, const lint_finding *f)
{
    lint_buf_u32(b, f->rule);
    anchor_put(b, &f->at);
    anchor_put(b, &f->also);
    lint_buf_str(b, f->message);
    lint_buf_str(b, f->note ? f->note : "");
}

bool lint_finding_get(lint_reader *r, lint_finding *f)
{
    f->rule = lint_read_u32(r);
    f->at = anchor_get(r);
    f->also = anchor_get(r);
    f->message = lint_read_str(r);
    f->note = lint_read_str(r);
    return !r->bad;
}

void lint_issue_put(lint_buf *b, const lint_issue *i)
{
    lint_buf_u32(b, i->rule);
    lint_buf_u32(b, i->line);
    lint_buf_u32(b, i->column);
    lint_buf_u32(b, i->also_line);
    lint_buf_u32(b, i->also_column);
    lint_buf_str(b, i->path);
    lint_buf_str(b, i->message);
    lint_buf_str(b, i->also_path ? i->also_path : "");
    lint_buf_str(b, i->note ? i->note : "");
}

bool lint_issue_get(lint_reader *r, lint_issue *i)
{
    i->rule = lint_read_u32(r);
    i->line = lint_read_u32(r);
    i->column = lint_read_u32(r);
    i->also_line = lint_read_u32(r);
    i->also_column = lint_read_u32(r);
    i->path = lint_read_str(r);
    i->message = lint_read_str(r);
    i->also_path = lint_read_str(r);
    i->note = lint_read_str(r);
    return !r->bad;
}

void lint_message_path(lint_buf *b, const char *key)
{
    lint_buf_printf(b, "\1%zu:%s", strlen(key), key);
}

bool lint_message_next(const char **at, lint_buf *piece, bool *is_path)
{
    const char *p = *at;
    size_t size;
    piece->size = 0;
    *is_path = false;
    if (*p == 1) { /* as it comes from a source's own text too, what is no path is text */
        char *end;
        unsigned long long length = strtoull(p + 1, &end, 10);
        *is_path = end > p + 1 && *end == ':' && length && length <= strlen(end + 1);
        p = *is_path ? end + 1 : p;
        size = *is_path ? (size_t)length : 1 + strcspn(p + 1, "\1");
    } else {
        size = strcspn(p, "\1");
    }
    lint_buf_add(piece, p, size);
    *at = p + size;
    return size > 0;
}

static uint32_t guard_byte(const ol_outline *o)
{
    for (uint32_t i = 0; i < o->cond_count; i++) {
        if (o->conds[i].parent == OL_NONE) {
            return o->conds[i].start;
        }
    }
    return 0;
}

ol_point lint_anchor_place(const ol_outline *o, const lint_anchor *a)
{
    uint32_t byte = 0, found;
    switch (a->kind) {
    case LINT_AT_DECL:
        found = ol_find(o, a->name, a->ordinal);
        if (found != OL_NONE) {
            byte = a->offset == LINT_NONE ? o->decls[found].name_at : o->decls[found].start + a->offset;
        }
        break;
    case LINT_AT_INCLUDE:
        byte = a->ordinal < o->include_count ? o->includes[a->ordinal].start : 0;
        break;
    case LINT_AT_USE:
        found =
            ol_first_use(o, a->name, OL_USE_CALL | OL_USE_TYPE | OL_USE_IDENT | OL_USE_COND, OL_USE_MEMBER);
        byte = found == OL_NONE ? 0 : ol_use_byte(o, &o->uses[found]);
        break;
    case LINT_AT_GUARD:
        byte = guard_byte(o);
        break;
    default:
        break;
    }
    return ol_place(o, byte);
}
