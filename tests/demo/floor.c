/* floor ROOT LIST OUTPUT: the least that finding out that nothing changed can cost. One fstatat for each path
 * of LIST (one a line), relative to the directory ROOT, then the bytes of OUTPUT to standard output.
 *
 * Whoever keeps no process running and watches nothing must look at each path that an answer depends on; what
 * a run takes beyond this is what the cache adds. Timed as a whole process, as the run that it is held
 * against. Exit status: 0, or 2 for trouble. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The bytes of a file with a 0 behind them, for the caller to free; NULL: said on stderr. */
static char *slurp(const char *path, size_t *size)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = NULL;
    if (fd >= 0 && fstat(fd, &st) == 0 && (text = malloc((size_t)st.st_size + 1))) {
        *size = (size_t)st.st_size;
        for (size_t got = 0; got < *size;) {
            ssize_t n = read(fd, text + got, *size - got);
            if (n <= 0) {
                free(text);
                text = NULL;
                break;
            }
            got += (size_t)n;
        }
    }
    if (text) {
        text[*size] = 0;
    } else {
        fprintf(stderr, "floor: %s: %s\n", path, strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    return text;
}

static int look_at_all(int root, char *list)
{
    struct stat st;
    for (char *path = list, *end; (end = strchr(path, '\n')); path = end + 1) {
        *end = 0;
        if (fstatat(root, path, &st, 0) && errno != ENOENT && errno != ENOTDIR && errno != EACCES) {
            fprintf(stderr, "floor: %s: %s\n", path, strerror(errno));
            return 2;
        }
    }
    return 0;
}

static int put_all(const char *at, size_t left)
{
    while (left) {
        ssize_t n = write(STDOUT_FILENO, at, left);
        if (n < 0) {
            fprintf(stderr, "floor: write: %s\n", strerror(errno));
            return 2;
        }
        at += n;
        left -= (size_t)n;
    }
    return 0;
}

int main(int argc, char **argv)
{
    size_t size = 0, output_size = 0;
    if (argc != 4) {
        fprintf(stderr, "usage: floor ROOT LIST OUTPUT\n");
        return 2;
    }
    int root = open(argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) {
        fprintf(stderr, "floor: %s: %s\n", argv[1], strerror(errno));
        return 2;
    }
    char *list = slurp(argv[2], &size);
    char *output = list ? slurp(argv[3], &output_size) : NULL;
    int status = output ? look_at_all(root, list) : 2;
    status = status ? status : put_all(output, output_size);
    free(output);
    free(list);
    close(root);
    return status;
}
