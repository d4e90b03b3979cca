/* plot.c - the rows that asked for it as one SVG: a panel a row, a dot a contender on a logarithmic axis, a
 * line over the middle half of its passes; ours in colour. Written by hand, so that the bench needs nothing
 * to draw. */
#include <math.h>
#include <string.h>
#include "tests/bench/report.h"

enum { PANEL_W = 470, LABEL_W = 110, VALUE_W = 120, LINE_H = 18, TITLE_H = 44, GAP = 24, MAX_PANELS = 64 };
static const char *const OURS = "#0b62c4", *const BASE = "#222222", *const PEER = "#8a8f98";

struct panel {
    size_t first, count; /* rows of a panel lie beside each other */
    double low, high;    /* of the axis, powers of ten */
};

static void escaped(FILE *f, const char *s)
{
    for (; *s; s++)
        switch (*s) {
        case '<':
            fputs("&lt;", f);
            break;
        case '>':
            fputs("&gt;", f);
            break;
        case '&':
            fputs("&amp;", f);
            break;
        default:
            fputc(*s, f);
        }
}

static void words(FILE *f, double x, double y, const char *style, const char *s)
{
    fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, style);
    escaped(f, s);
    fputs("</text>\n", f);
}

static size_t panels_of(const struct bench_report *r, struct panel *p)
{
    size_t n = 0;
    for (size_t i = 0; i < r->rows; i++) {
        const struct report_row *row = &r->row[i];
        if (!row->plot || row->best <= 0)
            continue;
        const struct report_row *last = n ? &r->row[p[n - 1].first] : NULL;
        if (!last || strcmp(last->row, row->row) || strcmp(last->group, row->group)) {
            if (n == MAX_PANELS)
                break;
            p[n++] = (struct panel){.first = i, .low = row->best, .high = row->best};
        }
        struct panel *at = &p[n - 1];
        at->count = i - at->first + 1;
        at->low = fmin(at->low, row->best);
        at->high = fmax(at->high, row->q3);
    }
    for (size_t i = 0; i < n; i++) {
        p[i].low = pow(10, floor(log10(p[i].low) - 0.01));
        p[i].high = pow(10, ceil(log10(p[i].high) + 0.01));
    }
    return n;
}

static double height_of(const struct panel *p)
{
    return TITLE_H + LINE_H * (double)p->count + GAP;
}

static double place(const struct panel *p, double x, double value)
{
    double width = PANEL_W - LABEL_W - VALUE_W;
    value = fmin(fmax(value, p->low), p->high);
    return x + LABEL_W + width * (log10(value) - log10(p->low)) / (log10(p->high) - log10(p->low));
}

static void draw_panel(FILE *f, const struct bench_report *r, const struct panel *p, double x, double y)
{
    char value[32], line[80];
    double bottom = y + TITLE_H + LINE_H * (double)p->count;
    snprintf(line, sizeof line, "%s: %s", r->row[p->first].group, r->row[p->first].row);
    words(f, x, y + 14, "font-weight=\"bold\"", line);
    for (double tick = p->low; tick <= p->high * 1.001; tick *= 10) {
        double at = place(p, x, tick);
        fprintf(f, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#e2e4e8\"/>\n", at, y + 34,
                at, bottom);
        report_quantity(value, sizeof value, tick, r->row[p->first].unit);
        words(f, at, y + 30, "text-anchor=\"middle\" font-size=\"10\" fill=\"#6a6f78\"", value);
    }
    for (size_t i = 0; i < p->count; i++) {
        const struct report_row *row = &r->row[p->first + i];
        double at = y + TITLE_H + LINE_H * (double)i + 6;
        const char *colour = !strncmp(row->contender, "tierkit", 7) ? OURS
                             : row->base == row->contender          ? BASE
                                                                    : PEER;
        snprintf(line, sizeof line, "text-anchor=\"end\" fill=\"%s\"", colour);
        words(f, x + LABEL_W - 8, at + 4, line, row->contender);
        fprintf(
            f,
            "<line x1=\"%d\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" stroke-opacity=\"0.25\"/>\n",
            (int)x + LABEL_W, at, place(p, x, row->best), at, colour);
        fprintf(f,
                "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"3\"/>\n",
                place(p, x, row->q1), at, place(p, x, row->q3), at, colour);
        fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\" fill=\"%s\"/>\n", place(p, x, row->best), at,
                colour);
        report_quantity(value, sizeof value, row->best, row->unit);
        row->base ? snprintf(line, sizeof line, "%s  (%.2fx)", value, row->ratio)
                  : snprintf(line, sizeof line, "%s", value);
        words(f, x + PANEL_W - VALUE_W + 14, at + 4, "font-size=\"11\"", line);
    }
}

void report_svg(const struct bench *b, FILE *f)
{
    const struct bench_report *r = b->report;
    struct panel p[MAX_PANELS];
    size_t n = panels_of(r, p), left = 0;
    double column[2] = {70, 70}, x = 20, total = 0;
    char line[400];
    for (size_t i = 0; i < n; i++)
        total += height_of(&p[i]);
    for (double sum = 0; left < n && sum < total / 2; left++)
        sum += height_of(&p[left]);
    for (size_t i = 0; i < n; i++)
        column[i >= left] += height_of(&p[i]);
    fprintf(
        f,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%.0f\" font-family=\"sans-serif\" "
        "font-size=\"12\" fill=\"#222222\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
        2 * PANEL_W + 60, fmax(column[0], column[1]) + 10);
    words(f, x, 26, "font-size=\"16\" font-weight=\"bold\"",
          "Tierkit and its peers: less is better, the scale is logarithmic");
    snprintf(line, sizeof line,
             "%s, %ld cores, %s, %.10s%s. Dot: best batch mean of %u passes; bar: the middle half; (x): "
             "ratio to the base.",
             r->machine.cpu, r->machine.cores, r->machine.kernel, r->machine.date,
             b->quick ? ", QUICK: means nothing" : "", b->passes);
    words(f, x, 46, "font-size=\"11\" fill=\"#6a6f78\"", line);
    column[0] = column[1] = 66;
    for (size_t i = 0; i < n; i++) {
        draw_panel(f, r, &p[i], i < left ? x : x + PANEL_W + 20, column[i >= left]);
        column[i >= left] += height_of(&p[i]);
    }
    fputs("</svg>\n", f);
}
