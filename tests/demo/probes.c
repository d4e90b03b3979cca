/* probes.so: preloaded into a program, writes the path of each stat to descriptor 9, one absolute path a
 * line.
 *
 * So the list of paths that an analysis looks at comes from outside of what is measured, and from what was
 * really asked of the system, not from what a counter says. Tracers would do the same, but a bare machine has
 * none and a container may forbid them. A path that holds a newline is left out: floor's list has one a line.
 * Nothing here changes what the program gets. Calls that do not name a path (fstat) are no probes. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOG_FD = 9 };

/* The function of that name behind this library; a call costs one look-up, which keeps this free of state. */
static void find(const char *name, void *function, size_t size)
{
    void *at = dlsym(RTLD_NEXT, name);
    memcpy(function, &at, size);
}

/* The directory that fd stands for, with a '/' at its end, into line; 0: not known. */
static size_t directory(int fd, char *line, size_t size)
{
    char name[64];
    ssize_t n;
    if (fd == AT_FDCWD) {
        snprintf(name, sizeof name, "/proc/self/cwd");
    } else {
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    }
    n = readlink(name, line, size - 2);
    if (n <= 0) {
        return 0;
    }
    line[n] = '/';
    return (size_t)n + 1;
}

static void note(int fd, const char *path)
{
    char line[2 * PATH_MAX];
    int error = errno;
    size_t start = *path == '/' ? 0 : directory(fd, line, PATH_MAX), size = strlen(path);
    if ((start || *path == '/') && size < PATH_MAX && !memchr(path, '\n', size)) {
        memcpy(line + start, path, size);
        line[start + size] = '\n';
        if (write(LOG_FD, line, start + size + 1) < 0) {
            error = errno; /* the list stays short, which the demo finds out by counting */
        }
    }
    errno = error;
}

#define FORWARD(name, fd, path, ...)     \
    do {                                 \
        find(#name, &real, sizeof real); \
        note(fd, path);                  \
        if (real) {                      \
            return real(__VA_ARGS__);    \
        }                                \
        errno = ENOSYS;                  \
        return -1;                       \
    } while (0)

int fstatat(int fd, const char *restrict path, struct stat *restrict st, int flags)
{
    int (*real)(int, const char *restrict, struct stat *restrict, int) = NULL;
    FORWARD(fstatat, fd, path, fd, path, st, flags);
}

int stat(const char *restrict path, struct stat *restrict st)
{
    int (*real)(const char *restrict, struct stat *restrict) = NULL;
    FORWARD(stat, AT_FDCWD, path, path, st);
}

int lstat(const char *restrict path, struct stat *restrict st)
{
    int (*real)(const char *restrict, struct stat *restrict) = NULL;
    FORWARD(lstat, AT_FDCWD, path, path, st);
}

int statx(int fd, const char *restrict path, int flags, unsigned mask, struct statx *restrict st)
{
    int (*real)(int, const char *restrict, int, unsigned, struct statx *restrict) = NULL;
    FORWARD(statx, fd, path, fd, path, flags, mask, st);
}
