/* crash.c - a process that dies of a fault of its own says where; addr2line -e PROGRAM -if reads offsets. */
#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "tests/torture/torture.h"

enum { FRAMES = 64 };
static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

static void told(int number, siginfo_t *info, void *context)
{
    void *frame[FRAMES];
    (void)context;
    dprintf(2, "process %d died of signal %d at address %p, called from\n", (int)getpid(), number,
            info->si_addr);
    backtrace_symbols_fd(frame, backtrace(frame, FRAMES), 2);
} /* and does what it did once more, without us */

void crash_tell(void)
{
    struct sigaction sa = {.sa_sigaction = told, .sa_flags = SA_SIGINFO | SA_RESETHAND}, before;
    void *frame[1];
    backtrace(frame, 1); /* the first call loads a library */
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        if (sigaction(faults[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL)
            sigaction(faults[i], &sa, NULL); /* else a sanitizer tells */
}
