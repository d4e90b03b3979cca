/* The baseline: findings that are known and accepted, one a line, without positions, so that it survives
 * edits. A line is rule, path (below the root) and message with tabs between; equal lines count. */
#include "tools/tierlint/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_LINE "# tierlint baseline 1"

static void put_field(lint_buf *b, const char *text)
{
    for (; *text; text++) {
        if (*text == '\n' || *text == '\t' || *text == '\\') {
            lint_buf_add(b, *text == '\n' ? "\\n" : *text == '\t' ? "\\t" : "\\\\", 2);
        } else {
            lint_buf_add(b, text, 1);
        }
    }
}

void cli_baseline_line(const lint_issue *i, lint_buf *b)
{
    lint_buf_text(b, lint_rule_at(i->rule)->name);
    lint_buf_text(b, "\t");
    put_field(b, i->path);
    lint_buf_text(b, "\t");
    lint_buf message = {0};
    cli_message(NULL, i->message, &message);
    put_field(b, message.data ? message.data : "");
    b->failed |= message.failed;
    lint_buf_free(&message);
    lint_buf_add(b, "", 1);
}

bool cli_baseline_read(cli *c)
{
    FILE *f = fopen(c->baseline, "re");
    char *line = NULL;
    size_t room = 0, number = 0;
    ssize_t size;
    if (!f) {
        cli_complain(c->baseline);
        return false;
    }
    bool fine = true;
    while (fine && (size = getline(&line, &room, f)) >= 0) {
        if (size && line[size - 1] == '\n') {
            line[size - 1] = 0;
        }
        if (number++ == 0) {
            fine = strcmp(line, FIRST_LINE) == 0;
        } else if (line[0] && line[0] != '#') {
            uint32_t i = lint_map_add(&c->accepted, line);
            if (i == c->accepted_count.count) {
                lint_list_add(&c->accepted_count, 0);
            }
            fine = i != LINT_NONE && !c->accepted_count.failed;
            if (fine) {
                c->accepted_count.at[i]++;
            }
        }
    }
    if (!fine || number == 0 || ferror(f)) {
        fprintf(stderr, "tierlint: %s: no baseline (its first line is '%s')\n", c->baseline, FIRST_LINE);
        fine = false;
    }
    free(line);
    fclose(f);
    return fine;
}

bool cli_baseline_write(const cli *c, const cli_issues *issues)
{
    FILE *f = fopen(c->write_baseline, "we");
    if (!f) {
        cli_complain(c->write_baseline);
        return false;
    }
    bool fine = fprintf(f, "%s\n", FIRST_LINE) > 0;
    for (size_t i = 0; fine && i < issues->count; i++) {
        lint_buf line = {0};
        cli_baseline_line(&issues->at[i], &line);
        fine = !line.failed && fprintf(f, "%s\n", line.data) > 0;
        lint_buf_free(&line);
    }
    if (fclose(f) || !fine) {
        cli_complain(c->write_baseline);
        return false;
    }
    return true;
}
