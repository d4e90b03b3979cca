/* output.c - stdout in one buffer, stderr for people, and what becomes of interrupts. */
#include "tools/tiercheck/tool.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { OUT_FLUSH = 1 << 16, PROGRESS_MS = 100, BAR = 24 };

/* ---- stdout ---- */
static void out_flush(tool *t)
{
    size_t done = 0;
    while (done < t->out_size && !t->out_closed && !t->out_failed) {
        ssize_t n = write(STDOUT_FILENO, t->out + done, t->out_size - done);
        if (n >= 0) {
            done += (size_t)n;
        } else if (errno == EPIPE) {
            t->out_closed = true;
        } else if (errno != EINTR) {
            t->out_failed = true;
            say(t, "standard output: %s", strerror(errno));
        }
    }
    t->out_size = 0;
}

int out_sink(void *user, const char *text, size_t size)
{
    tool *t = user;
    if (t->out_size + size > OUT_FLUSH)
        out_flush(t);
    if (t->out_size + size > t->out_capacity) {
        size_t n = 2 * t->out_capacity + size;
        char *grown = realloc(t->out, n);
        if (!grown) {
            t->out_failed = true;
            return 0;
        }
        t->out = grown;
        t->out_capacity = n;
    }
    memcpy(t->out + t->out_size, text, size);
    t->out_size += size;
    return 0;
}

void out_text(tool *t, const char *text)
{
    out_sink(t, text, strlen(text));
}

void out_printf(tool *t, const char *format, ...)
{
    char small[1024], *text = small;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    if (n >= (int)sizeof small && (text = malloc((size_t)n + 1))) {
        va_start(args, format);
        vsnprintf(text, (size_t)n + 1, format, args);
        va_end(args);
    }
    if (n > 0 && text)
        out_sink(t, text, (size_t)n);
    if (text != small)
        free(text);
}

void out_json(tool *t, const char *text)
{
    out_text(t, "\"");
    for (const unsigned char *s = (const unsigned char *)text; *s; s++) {
        char ch[2] = {(char)*s, 0};
        if (*s == '"' || *s == '\\')
            out_printf(t, "\\%c", *s);
        else if (*s < 32 || *s > 126)
            out_printf(t, "\\u%04x", *s); /* paths need not be UTF-8 */
        else
            out_text(t, ch);
    }
    out_text(t, "\"");
}

static bool is_control(const unsigned char *s) /* C1 characters are two bytes in UTF-8 */
{
    return *s < 32 || *s == 127 || (*s == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0);
}

char *shown(const char *text)
{
    char *copy = malloc(4 * strlen(text) + 1), *to = copy;
    for (const unsigned char *s = (const unsigned char *)text; copy && *s; s++) {
        if (*s == '\n') {
            to += sprintf(to, "\\n");
        } else if (is_control(s)) {
            to += sprintf(to, "\\x%02x", *s);
            if (*s == 0xc2)
                to += sprintf(to, "\\x%02x", *++s);
        } else {
            *to++ = (char)*s;
        }
    }
    if (copy)
        *to = 0;
    return copy;
}

void out_shown(tool *t, const char *text)
{
    char *copy = shown(text);
    out_text(t, copy ? copy : "?");
    free(copy);
}

void err_shown(const char *format, va_list args)
{
    char *text = NULL, *copy = vasprintf(&text, format, args) < 0 ? NULL : shown(text);
    fputs(copy ? copy : "no memory to say it", stderr);
    if (copy)
        free(text);
    free(copy);
}

void out_bytes(tool *t, double bytes)
{
    static const char *const unit[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    int u = 0;
    for (; bytes >= 1024 && u < 4; u++)
        bytes /= 1024;
    out_printf(t, u ? "%.1f %s" : "%.0f %s", bytes, unit[u]);
}

void out_color(tool *t, const char *code)
{
    if (t->color)
        out_printf(t, "\033[%sm", code);
}

int out_end(tool *t, int status)
{
    progress_end(t);
    out_flush(t);
    free(t->out);
    t->out = NULL;
    t->out_capacity = 0;
    return t->out_failed && status < TROUBLE ? TROUBLE : status;
}

/* ---- stderr ---- */
static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void progress_end(tool *t)
{
    if (t->progress_shown)
        fputs("\r\033[K", stderr);
    t->progress_shown = false;
}

void say(tool *t, const char *format, ...)
{
    va_list args;
    progress_end(t);
    fputs("tiercheck: ", stderr);
    va_start(args, format);
    err_shown(format, args);
    va_end(args);
    fputc('\n', stderr);
}

/* ---- interrupts: a handler may do nothing but set a flag; every command looks at it between records ---- */
static volatile sig_atomic_t caught;

static void on_signal(int number)
{
    (void)number;
    if (caught)
        _exit(INTERRUPTED); /* asked twice; the store survives that as well */
    caught = 1;
}

bool interrupted(void)
{
    return caught != 0;
}

void out_begin(tool *t)
{
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    bool dumb = !term || !*term || strcmp(term, "dumb") == 0;
    struct sigaction a = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    sigaction(SIGPIPE, &ignore, NULL); /* a closed pipe is an error of write */
    t->color = !dumb && !(no_color && *no_color) && isatty(STDOUT_FILENO);
    t->progress = !dumb && isatty(STDERR_FILENO);
}

int on_progress(void *user, const char *what, uint64_t done, uint64_t total)
{
    tool *t = user;
    int64_t now = t->progress ? now_ms() : 0;
    if (t->progress && !t->value[OPT_QUIET] && now - t->progress_at >= PROGRESS_MS) {
        char bar[BAR + 1] = "";
        if (total) {
            size_t full = (size_t)((double)(done < total ? done : total) / (double)total * BAR);
            memset(bar, '.', BAR);
            memset(bar, '#', full);
            bar[BAR] = 0;
        }
        fprintf(stderr, "\r\033[K%s%s%s%s %llu", total ? "[" : "", bar, total ? "] " : "", what,
                (unsigned long long)done);
        fflush(stderr);
        t->progress_shown = true;
        t->progress_at = now;
    }
    return interrupted();
}

void on_log(void *user, int level, const char *line)
{
    tool *t = user;
    if (level <= TIER_LOG_WARNING || (level == TIER_LOG_NOTICE && t->value[OPT_VERBOSE]))
        say(t, "%s", line);
}

int fail(tool *t, int rc, const char *why)
{
    if (!why || !*why)
        why = tier_strerror(rc);
    if (rc == TIER_ECANCELED)
        why = "interrupted; what was committed stays";
    say(t, "%s", why);
    if (t->value[OPT_JSON]) {
        out_printf(t, "{\"schema\":1,\"command\":\"%s\",\"error\":", tool_command_name(t->command));
        out_json(t, why);
        out_text(t, "}\n");
    }
    return rc == TIER_ECANCELED ? INTERRUPTED : TROUBLE;
}
