/* timed FILE COMMAND [ARG]...: runs the command and appends to FILE how long it took, in milliseconds.
 *
 * POSIX sh has no clock finer than a second. The whole process is timed, from before it is made until it has
 * been waited for. Exit status: the command's, 128 + the signal that ended it, or 127 where it cannot run. */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: timed FILE COMMAND [ARG]...\n");
        return 127;
    }
    FILE *times = fopen(argv[1], "ae");
    if (!times) {
        fprintf(stderr, "timed: %s: %s\n", argv[1], strerror(errno));
        return 127;
    }
    pid_t child;
    int status;
    double start = now_ms();
    int error = posix_spawnp(&child, argv[2], NULL, NULL, argv + 2, environ);
    if (error) {
        fprintf(stderr, "timed: %s: %s\n", argv[2], strerror(error));
        fclose(times);
        return 127;
    }
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            fprintf(stderr, "timed: waitpid: %s\n", strerror(errno));
            fclose(times);
            return 127;
        }
    }
    fprintf(times, "%.3f\n", now_ms() - start);
    if (fclose(times)) {
        fprintf(stderr, "timed: %s: %s\n", argv[1], strerror(errno));
        return 127;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
