/* damage FILE values|anywhere COUNT: overwrites 8 bytes in COUNT places of a store's data file, the same ones
 * for the same file. values: inside stored values; anywhere: any place behind the first two pages. Says how
 * many.
 *
 * Large values of an LMDB file lie in runs of pages of their own. Such a run begins with a page whose number
 * is its own and whose flags say overflow (lmdb's mdb.c: MDB_page, P_OVERFLOW); what follows the header is
 * value and nothing else, so that damage there is for the records' checksums to find, not for the walk over
 * pages. LMDB's list of free pages has such runs, too: ours are told by the magic behind the checksum. Runs
 * that are free at the moment look the same: damage there is none. Exit status: 0, or 2 for
 * trouble. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAGE = 4096, META_PAGES = 2, FLAGS_AT = 10, OVERFLOW = 4, BEHIND_HEADER = 512 };

static int trouble(const char *what)
{
    fprintf(stderr, "damage: %s: %s\n", what, strerror(errno));
    return 2;
}

static int begins_values(int fd, uint64_t page)
{
    unsigned char head[28];
    uint64_t number;
    uint16_t flags;
    if (pread(fd, head, sizeof head, (off_t)(page * PAGE)) != sizeof head) {
        return 0;
    }
    memcpy(&number, head, sizeof number);
    memcpy(&flags, head + FLAGS_AT, sizeof flags);
    return number == page && flags == OVERFLOW && memcmp(head + 24, "TKR1", 4) == 0;
}

/* Knuth's MMIX generator: which places are hit must not depend on the C library. */
static uint64_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

int main(int argc, char **argv)
{
    static const char bytes[8] = {'D', 'A', 'M', 'A', 'G', 'E', 'D', '.'};
    if (argc != 4) {
        fprintf(stderr, "usage: damage FILE values|anywhere COUNT\n");
        return 2;
    }
    int values = strcmp(argv[2], "values") == 0, fd = open(argv[1], O_RDWR | O_CLOEXEC);
    long wanted = strtol(argv[3], NULL, 10), hit = 0;
    off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    if (size < 0) {
        return trouble(argv[1]);
    }
    uint64_t pages = (uint64_t)size / PAGE, state = 7;
    for (long tries = 0; pages > META_PAGES && hit < wanted && tries < wanted * 1000; tries++) {
        uint64_t page = META_PAGES + next(&state) % (pages - META_PAGES);
        uint64_t at = values ? BEHIND_HEADER : next(&state) % (PAGE - sizeof bytes);
        char was[sizeof bytes] = "";
        if ((values && !begins_values(fd, page)) ||
            pread(fd, was, sizeof was, (off_t)(page * PAGE + at)) != sizeof was ||
            memcmp(was, bytes, sizeof was) == 0) {
            continue; /* no value, or hit already */
        }
        if (pwrite(fd, bytes, sizeof bytes, (off_t)(page * PAGE + at)) != sizeof bytes) {
            return trouble(argv[1]);
        }
        hit++;
    }
    printf("%ld\n", hit);
    return close(fd) ? trouble(argv[1]) : 0;
}
