/* trace_record.c - the recorder: one block of records in memory, appended to the file when it is full. */
#include <errno.h>
#include <pthread.h>
#include <unistd.h>
#include "tiers/append.h"
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
    int fd;
    *out = NULL;
    int rc = tier__append_open(path, &fd);
    if (rc)
        return rc;
    tier__recorder *r = tier__zalloc(base, 1, sizeof *r);
    rc = r ? tier__codec_create(base, 1, true, &r->codec) : TIER_ENOMEM;
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

static void write_block(tier__recorder *r)
{
    tier__buf_clear(&r->out);
    tier__trace_seal(&r->block, r->codec, &r->packed, &r->out);
    if (r->out.failed)
        tier__log(r->base, TIER_LOG_WARNING, "the trace ends here: no memory to write it");
    else if (!tier__append(r->fd, r->out.data, r->out.size))
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
