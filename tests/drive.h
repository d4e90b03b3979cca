/* drive.h - for drivers of whole programs: running them, random numbers, files, small C trees to lint. Each
 * driver is one .c file that its run.sh compiles, so everything here is static. A driver ends at once when
 * the machine fails it (no memory, no fork): that is no result. */
#ifndef TESTS_DRIVE_H
#define TESTS_DRIVE_H
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))

UNUSED static void drive_die(const char *what)
{
    fprintf(stderr, "driver: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* ---- random numbers: xorshift64*, so that a seed means the same everywhere ---- */
struct drive_random {
    uint64_t state;
};

UNUSED static uint32_t drive_random(struct drive_random *r, uint32_t below)
{
    r->state ^= r->state >> 12;
    r->state ^= r->state << 25;
    r->state ^= r->state >> 27;
    return (uint32_t)((r->state * 0x2545f4914f6cdd1dULL) >> 32) % below;
}

/* From $SEED, else from the clock. */
UNUSED static uint64_t drive_seed(struct drive_random *r)
{
    const char *text = getenv("SEED");
    uint64_t seed = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL) << 16 ^ (uint64_t)getpid();
    r->state = seed * 0x9e3779b97f4a7c15ULL | 1;
    return seed;
}

/* ---- text that grows ---- */
struct drive_text {
    char *data; /* ends with a 0 once anything was added */
    size_t size, room;
};

UNUSED static void drive_add(struct drive_text *t, const void *data, size_t size)
{
    if (t->size + size + 1 > t->room) {
        t->room = (t->size + size + 1) * 2;
        if (!(t->data = realloc(t->data, t->room)))
            drive_die("memory");
    }
    memcpy(t->data + t->size, data, size);
    t->size += size;
    t->data[t->size] = 0;
}

UNUSED static void drive_printf(struct drive_text *t, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    drive_add(t, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

UNUSED static void drive_clear(struct drive_text *t)
{
    t->size = 0;
    drive_add(t, "", 0);
}

UNUSED static bool drive_equal(const struct drive_text *a, const struct drive_text *b)
{
    return a->size == b->size && (!a->size || !memcmp(a->data, b->data, a->size));
}

/* ---- files ---- */
UNUSED static bool drive_write(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "w");
    bool fine = f && fwrite(data, 1, size, f) == size;
    return f && !fclose(f) && fine;
}

UNUSED static bool drive_read(const char *path, struct drive_text *t)
{
    FILE *f = fopen(path, "r");
    char block[65536];
    drive_clear(t);
    for (size_t n; f && (n = fread(block, 1, sizeof block, f)) > 0;)
        drive_add(t, block, n);
    return f && !fclose(f);
}

static int drive_remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)st;
    (void)type;
    (void)f;
    return remove(path);
}

UNUSED static void drive_remove(const char *path)
{
    nftw(path, drive_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- programs ---- */
UNUSED static int64_t drive_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct drive_child {
    pid_t pid;
    int out; /* its stdout */
};

/* stderr goes to the end of the file errors. */
UNUSED static void drive_start(struct drive_child *c, const char *const argv[], const char *errors)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC))
        drive_die("pipe");
    if ((c->pid = fork()) < 0)
        drive_die("fork");
    if (c->pid == 0) {
        int e = open(errors, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (dup2(fds[1], 1) < 0 || e < 0 || dup2(e, 2) < 0)
            _exit(127);
        execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(fds[1]);
    c->out = fds[0];
}

/* Adds what comes to t: 1, at its end 0, and -1 when nothing came until the deadline. */
UNUSED static int drive_more(const struct drive_child *c, struct drive_text *t, int64_t deadline)
{
    char block[65536];
    struct pollfd p = {c->out, POLLIN, 0};
    int64_t left = deadline - drive_ms();
    if (poll(&p, 1, left > 0 ? (int)left : 0) <= 0)
        return -1;
    ssize_t n = read(c->out, block, sizeof block);
    if (n > 0)
        drive_add(t, block, (size_t)n);
    return n > 0;
}

/* Waits for its end and returns its status as waitpid does; -1: it had to be killed at the time limit. */
UNUSED static int drive_finish(struct drive_child *c, struct drive_text *t, int64_t limit_ms)
{
    int64_t deadline = drive_ms() + limit_ms;
    int more, status;
    while ((more = drive_more(c, t, deadline)) > 0)
        ;
    if (more < 0)
        kill(c->pid, SIGKILL);
    close(c->out);
    if (waitpid(c->pid, &status, 0) != c->pid)
        drive_die("waitpid");
    return more < 0 ? -1 : status;
}

UNUSED static int drive_run(const char *const argv[], const char *errors, struct drive_text *t,
                            int64_t limit_ms)
{
    struct drive_child c;
    drive_clear(t);
    drive_start(&c, argv, errors);
    return drive_finish(&c, t, limit_ms);
}

/* ---- C files that have something to say to a linter ---- */

/* A header or source out of a small vocabulary: what it includes, declares, defines, uses and leaves unused
 * is by chance, so files agree, disagree, miss and shadow one another. */
UNUSED static void drive_source(struct drive_random *r, bool header, struct drive_text *t)
{
    drive_clear(t);
    if (header && drive_random(r, 5))
        drive_printf(t, "#pragma once\n");
    for (uint32_t i = drive_random(r, 4); i > 0; i--)
        drive_printf(t, "#include \"h%u.h\"\n", drive_random(r, 6));
    for (uint32_t i = 1 + drive_random(r, 4); i > 0; i--) {
        uint32_t name = drive_random(r, 12);
        switch (drive_random(r, header ? 3 : 6)) {
        case 0:
            drive_printf(t, "%s f%u(void);\n", drive_random(r, 4) ? "int" : "long", name);
            break;
        case 1:
            drive_printf(t, "#define M%u %u\n", name, drive_random(r, 100));
            break;
        case 2:
            drive_printf(t, "struct s%u { int a%u; };\n", name, drive_random(r, 10));
            break;
        case 3:
            drive_printf(t, "static int u%u(void) { return %u; }\n", name, drive_random(r, 10));
            break;
        default:
            drive_printf(t, "int f%u(void)\n{\n    return f%u() + M%u;\n}\n", name, drive_random(r, 12),
                         drive_random(r, 12));
        }
    }
    if (drive_random(r, 3) == 0)
        drive_printf(t, "/* %u */\n", drive_random(r, 1000));
}
#endif
