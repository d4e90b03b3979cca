/* append.c - see append.h. */
#include "tiers/append.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int tier__append_open(const char *path, int *out)
{
    struct stat st;
    /* Not O_EXCL: processes one after the other, or at once, share a file, a piece at a time. */
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
    if (fd < 0)
        return tier__errno_rc(errno);
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        close(fd);
        return TIER_EKIND;
    }
    *out = fd;
    return TIER_OK;
}

/* A write beyond RLIMIT_FSIZE raises SIGXFSZ, whose default ends the host: it is blocked for the write, and
 * one that came of it is taken away. */
bool tier__append(int fd, const void *data, size_t size)
{
    const unsigned char *at = data;
    sigset_t xfsz, before, pending;
    struct timespec at_once = {0, 0};
    sigemptyset(&xfsz);
    sigaddset(&xfsz, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &xfsz, &before);
    size_t done = 0;
    while (done < size) {
        ssize_t n = write(fd, at + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    int error = errno;
    if (!sigismember(&before, SIGXFSZ) && !sigpending(&pending) && sigismember(&pending, SIGXFSZ))
        sigtimedwait(&xfsz, NULL, &at_once);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return done == size;
}
