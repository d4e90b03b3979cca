/* pressure.h - how much memory there is for this process, and how hard the machine works for it: cgroup v1
 * and v2 limits, the machine's own memory, and the kernel's pressure stall figures (PSI), where present. */
#ifndef TIER_BASE_PRESSURE_H
#define TIER_BASE_PRESSURE_H
#include <stdint.h>

struct tier__pressure {
    uint64_t limit,
        used;          /* bytes, of the tightest limit: that with the largest part used. 0: nothing is known.
                          What the kernel can drop at once (clean file pages) is not counted as used */
    double some, full; /* percent of the last 10 s that some task, or all, waited for memory; 0: unknown */
};
/* Reads them below root ("" for the machine's own; tests have another). Some 30 us: a few small files of
 * /proc and /sys. Allocates nothing, fails to "nothing is known". Any thread. */
void tier__pressure_read(const char *root, struct tier__pressure *p);
#endif
