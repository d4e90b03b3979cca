/* append.c - see append.h. */
#include "tiers/append.h"
#include "tiers/shield.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
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

bool tier__append(int fd, const void *data, size_t size)
{
    const unsigned char *at = data;
    struct tier__shield shield;
    size_t done = 0;
    tier__shield_up(&shield);
    while (done < size) {
        ssize_t n = write(fd, at + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    tier__shield_down(&shield);
    return done == size;
}
