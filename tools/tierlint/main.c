/* tierlint: checks includes and declarations of C and C++ trees. The reference embedder of Tierkit: lint.h
 * has the types it computes, report.c the one request of a run, cli_run.c the session around it. */
#include "tools/tierlint/cli.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* Interrupts are waited for on a thread: canceling takes locks, which a signal handler must not. The first
 * one cancels the session, so that the run ends by its own path and the store is closed; a second one ends
 * the process at once, which the store survives as well. */
static void *wait_signals(void *user)
{
    cli *c = user;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    for (;;) {
        int signal_number;
        if (sigwait(&set, &signal_number)) {
            continue;
        }
        if (c->interrupted) {
            _exit(CLI_INTERRUPTED);
        }
        c->interrupted = 1;
        uint64_t session = c->session;
        if (session) {
            tier_cancel(c->cache, session);
        }
    }
}

/* Before any other thread begins, so that all inherit the mask. */
static void block_signals(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL); /* a closed pipe is an error of write */
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static int run(cli *c)
{
    if (c->baseline && !cli_baseline_read(c)) {
        return CLI_TROUBLE;
    }
    if (!cli_open(c)) {
        return CLI_TROUBLE;
    }
    c->signals_on = pthread_create(&c->signals, NULL, wait_signals, c) == 0;
    int status = c->watch ? cli_watch(c) : cli_run(c);
    if (c->signals_on) {
        pthread_cancel(c->signals);
        pthread_join(c->signals, NULL);
    }
    if (c->stats) {
        cli_stats(c);
    }
    return status;
}

int main(int argc, char **argv)
{
    cli c = {0};
    int status;
    block_signals();
    if (cli_parse(&c, argc, argv, &status)) {
        status = run(&c);
        if (!cli_close(&c) && status < CLI_TROUBLE) {
            status = CLI_TROUBLE;
        }
    }
    cli_fini(&c);
    return status;
}
