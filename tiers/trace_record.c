/* trace_record.c - the recorder: one block of records in memory, appended to the file when it is full. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "tiers/trace_format.h"

struct tier__recorder {
    struct tier__base *base;
    pthread_mutex_t lock;
    int fd; /* -1: a write failed; nothing is recorded any more */
    tier__codec *codec;
    struct tier__trace_block block;
    struct tier__buf packed, out;
};

int tier__recorder_open(struct tier__base *base, const char *path, tier__recorder **out)
{
    struct stat st;
    *out = NULL;
    /* Not O_EXCL: processes one after the other, or at once, share a file, a block at a time. */
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
    if (fd < 0)
        return tier__errno_rc(errno);
    tier__recorder *r = tier__zalloc(base, 1, sizeof *r);
    int rc = r ? tier__codec_create(base, 1, true, &r->codec) : TIER_ENOMEM;
    if (!rc && (fstat(fd, &st) || !S_ISREG(st.st_mode)))
        rc = TIER_EKIND;
    if (rc) {
        close(fd);
        if (r)
            tier__codec_destroy(&r->codec);
        tier__free(base, r);
        return rc;
    }
    r->base = base;
    r->fd = fd;
    pthread_mutex_init(&r->lock, NULL);
    tier__buf_init(&r->block.plain, base);
    tier__buf_init(&r->packed, base);
    tier__buf_init(&r->out, base);
    *out = r;
    return TIER_OK;
}

/* A write beyond RLIMIT_FSIZE raises SIGXFSZ, whose default ends the host: it is blocked for the write, and
 * one that came of it is taken away. */
static bool write_quietly(int fd, const unsigned char *data, size_t size)
{
    sigset_t xfsz, before, pending;
    struct timespec at_once = {0, 0};
    sigemptyset(&xfsz);
    sigaddset(&xfsz, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &xfsz, &before);
    size_t done = 0;
    while (done < size) {
        ssize_t n = write(fd, data + done, size - done);
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

static void write_block(tier__recorder *r)
{
    tier__buf_clear(&r->out);
    tier__trace_seal(&r->block, r->codec, &r->packed, &r->out);
    if (r->out.failed)
        tier__log(r->base, TIER_LOG_WARNING, "the trace ends here: no memory to write it");
    else if (!write_quietly(r->fd, r->out.data, r->out.size))
        tier__log(r->base, TIER_LOG_WARNING, "the trace ends here: it cannot be written: error %d", errno);
    else
        return;
    close(r->fd);
    r->fd = -1;
}

void tier__recorder_note(tier__recorder *r, enum tier__trace_what what, int tier, const tier_digest *key,
                         uint64_t charge, uint32_t cost_us)
{
    pthread_mutex_lock(&r->lock);
    if (r->fd >= 0) {
        tier__trace_put(&r->block, (uint8_t)(tier | (int)what << 2), tier__digest_word(key), charge, cost_us);
        if (r->block.plain.size > TIER__TRACE_PLAIN - TIER__TRACE_RECORD_MAX || r->block.plain.failed)
            write_block(r);
    }
    pthread_mutex_unlock(&r->lock);
}

void tier__recorder_close(tier__recorder **pr)
{
    tier__recorder *r = *pr;
    *pr = NULL;
    if (!r)
        return;
    if (r->fd >= 0 && r->block.records)
        write_block(r);
    if (r->fd >= 0)
        close(r->fd);
    tier__codec_destroy(&r->codec);
    tier__buf_fini(&r->block.plain);
    tier__buf_fini(&r->packed);
    tier__buf_fini(&r->out);
    pthread_mutex_destroy(&r->lock);
    tier__free(r->base, r);
}
