/* torture.c - starts the processes, does harm to them, and sums up; see torture.h.
 *
 * TORTURE_ANSWERS=N  answers in all (default 60,000, a short run)
 * TORTURE_WORKERS=N  processes of two threads (default 4)
 * TIER_SEED=N        repeats the choices of a run; what the processes see of one another stays by chance */
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "tests/torture/torture.h"

enum { SHORT = 60000, LONG = 200000, LEASE_MS = 300 };
struct run {
    const char *name;
    bool store, watch, coarse;
};
static const struct run runs[] = {{"one store", true, false, true},
                                  {"one store, watched", true, true, false},
                                  {"memory alone", false, false, true},
                                  {"memory alone, watched", false, true, true}};
struct child {
    pid_t pid;
    int64_t stopped_until, runs_since; /* 0: it runs */
};
struct master {
    struct world w;
    struct child worker[WORKERS_MAX], mutator;
    uint64_t random;
    int passed, failed;
};

static void verdict(struct master *m, bool fine, const char *what)
{
    if (fine)
        m->passed++;
    else
        m->failed++;
    if (!fine)
        printf("FAILED: %s\n", what);
}

/* ---- processes */
static void worker_start(struct master *m, int i)
{
    uint64_t seed = random_next(&m->random);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        crash_tell();
        _exit(work(&m->w, i, seed));
    }
    m->worker[i] = (struct child){pid, 0, now_ns()};
}

static void mutator_start(struct master *m)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        crash_tell();
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(mutate(&m->w));
    }
    m->mutator = (struct child){pid, 0, 0};
}

/* Who ended by itself before it was told to has failed. */
static void died(struct master *m, const char *who, int status)
{
    char text[100];
    if (status == 0 && atomic_load(&m->w.sh->stop))
        return;
    snprintf(text, sizeof text, "a %s ended with status %d, signal %d", who, WEXITSTATUS(status),
             WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    verdict(m, false, text);
    atomic_store(&m->w.sh->stop, true);
}

static void look_after(struct master *m)
{
    int status;
    if (m->mutator.pid && waitpid(m->mutator.pid, &status, WNOHANG) > 0) {
        m->mutator.pid = 0;
        died(m, "mutator", status);
    }
}

/* ---- harm: at most one worker is stopped at a time */
static void harm(struct master *m, int64_t now)
{
    int stopped = -1;
    for (int i = 0; i < m->w.set.workers; i++)
        if (m->worker[i].stopped_until)
            stopped = i;
    if (stopped >= 0) {
        if (m->worker[stopped].stopped_until < now) {
            kill(m->worker[stopped].pid, random_below(&m->random, 4) ? SIGCONT : SIGKILL);
            m->worker[stopped].stopped_until = 0;
        }
        return;
    }
    int i = (int)random_below(&m->random, (unsigned)m->w.set.workers);
    if (random_below(&m->random, 2)) {
        for (int t = 0; t < THREADS; t++)
            atomic_fetch_add(&m->w.sh->work[i][t].stops, 1);
        kill(m->worker[i].pid, SIGSTOP);
        m->worker[i].stopped_until = now + (int64_t)(50 + random_below(&m->random, 2 * LEASE_MS)) * 1000000;
        if (random_below(&m->random, 10) == 0) /* as long as nobody may wait */
            m->worker[i].stopped_until = now + (int64_t)m->w.set.wait_ms * 2000000;
        return;
    }
    kill(m->worker[i].pid, SIGKILL);
}

static void bury(struct master *m)
{
    int status;
    for (int i = 0; i < m->w.set.workers; i++)
        if (m->worker[i].pid && !m->worker[i].stopped_until &&
            waitpid(m->worker[i].pid, &status, WNOHANG) > 0) {
            m->worker[i].pid = 0;
            if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
                died(m, "worker", status);
                continue;
            }
            atomic_fetch_add(&m->w.sh->sum.restarts, 1);
            worker_start(m, i);
        }
}

/* Nobody waits for a process that is stopped: whoever runs, gets on. */
static void look_for_waiting(struct master *m, int64_t now)
{
    int64_t limit = (int64_t)m->w.set.wait_ms * 1000000;
    for (int i = 0; i < m->w.set.workers; i++) {
        if (m->worker[i].stopped_until)
            m->worker[i].runs_since = now;
        for (int t = 0; t < THREADS; t++) {
            int64_t since = atomic_load(&m->w.sh->work[i][t].since);
            if (!since || now - since < limit || now - m->worker[i].runs_since < limit)
                continue;
            char text[100];
            snprintf(text, sizeof text, "worker %d has been in one session for %.1f s", i,
                     (double)(now - since) / 1e9);
            verdict(m, false, text);
            atomic_store(&m->w.sh->stop, true);
        }
    }
}

/* ---- one run */
static void end_all(struct master *m)
{
    int status;
    atomic_store(&m->w.sh->stop, true);
    for (int i = 0; i < m->w.set.workers; i++)
        if (m->worker[i].pid)
            kill(m->worker[i].pid, SIGCONT);
    struct child *all[WORKERS_MAX + 1] = {&m->mutator};
    for (int i = 0; i < m->w.set.workers; i++)
        all[i + 1] = &m->worker[i];
    for (int i = 0; i <= m->w.set.workers; i++) {
        bool ended = !all[i]->pid;
        const struct timespec pause = {0, 10 * 1000 * 1000};
        for (int64_t until = now_ns() + 60000000000; !ended && now_ns() < until; nanosleep(&pause, NULL))
            ended = waitpid(all[i]->pid, &status, WNOHANG) > 0;
        if (!ended) {
            verdict(m, false, "a process does not end");
            kill(all[i]->pid, SIGKILL);
            waitpid(all[i]->pid, &status, 0);
        } else if (all[i]->pid && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)) {
            died(m, i ? "worker" : "mutator", status);
        }
    }
}

static void report(struct master *m, const struct run *run, double seconds)
{
    const struct shared *sh = m->w.sh;
    const struct figures *f = &sh->sum;
    unsigned long long answers = atomic_load(&f->answers), withdrawn = atomic_load(&f->withdrawn);
    printf("%s: %llu answers in %llu sessions, %llu calls of the mutator (%llu within sessions), %.1f s\n"
           "  %llu hit, %llu verified, %llu loaded, %llu built; %llu withdrawn, %llu not checked\n"
           "  %llu observations, all true (%llu more to check them); %llu workers killed; longest session "
           "%.2f s\n",
           run->name, answers, atomic_load(&f->sessions), atomic_load(&sh->done), atomic_load(&f->versions),
           seconds, atomic_load(&f->served[TIER_HIT]), atomic_load(&f->served[TIER_VERIFIED]),
           atomic_load(&f->served[TIER_LOADED]), atomic_load(&f->served[TIER_BUILT]), withdrawn,
           atomic_load(&f->unchecked), atomic_load(&f->observations), atomic_load(&f->late),
           atomic_load(&f->restarts), (double)atomic_load(&sh->longest) / 1e9);
    verdict(m, atomic_load(&f->failures) == 0, "an answer or an observation is wrong");
    verdict(m, atomic_load(&f->unchecked) * 20 < answers + 20, "too few answers could be checked");
    verdict(m, withdrawn * 4 < answers + 20, "too many answers were withdrawn");
    verdict(m, atomic_load(&f->served[TIER_BUILT]) * 10 < answers * 9, "nothing was served from memory");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)st;
    (void)type;
    (void)f;
    return remove(path);
}

static void run_one(struct master *m, const struct run *run, const char *top, int number)
{
    struct shared *sh = m->w.sh = shared_make();
    struct settings *set = &m->w.set;
    if (!sh) {
        perror("torture: memory");
        exit(2);
    }
    set->store = run->store;
    set->watch = run->watch;
    snprintf(set->base, sizeof set->base, "%s/%d", top, number);
    if (mkdir(set->base, 0755)) {
        perror(set->base);
        exit(2);
    }
    seam_grain(run->coarse ? 10 * 1000 * 1000 : 1);
    mutator_start(m);
    const struct timespec pause = {0, 10 * 1000 * 1000};
    while (!atomic_load(&sh->planted) && !atomic_load(&sh->stop)) {
        nanosleep(&pause, NULL);
        look_after(m);
    }
    int64_t start = now_ns(), next = start + 300000000;
    for (int i = 0; i < set->workers; i++)
        worker_start(m, i);
    while (!atomic_load(&sh->stop) && atomic_load(&sh->sum.answers) < set->answers) {
        nanosleep(&pause, NULL);
        int64_t now = now_ns();
        bury(m);
        look_after(m);
        if (now > next) {
            harm(m, now);
            next = now + (int64_t)(50 + random_below(&m->random, 500)) * 1000000;
        }
        look_for_waiting(m, now);
    }
    end_all(m);
    report(m, run, (double)(now_ns() - start) / 1e9);
    nftw(set->base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
    struct master *m = calloc(1, sizeof *m);
    const char *seed = getenv("TIER_SEED"), *answers = getenv("TORTURE_ANSWERS"),
               *workers = getenv("TORTURE_WORKERS"), *tmp = getenv("TMPDIR");
    char top[150];
    if (!m || !(m->w.content = calloc(CONTENTS, sizeof *m->w.content)))
        return 2;
    uint64_t all = answers ? strtoull(answers, NULL, 0) : SHORT;
    m->w.set.seed = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL) * 1000 + (uint64_t)getpid() % 1000;
    m->w.set.answers = all / (sizeof runs / sizeof *runs);
    m->w.set.workers = workers ? (int)strtol(workers, NULL, 0) : 4;
    m->w.set.lease_ms = LEASE_MS;
    m->w.set.wait_ms =
        all >= LONG ? LEASE_MS + 4000 : LEASE_MS + 20000; /* a machine may be busy for a while */
    if (m->w.set.workers < 1 || m->w.set.workers > WORKERS_MAX)
        m->w.set.workers = 4;
    snprintf(top, sizeof top, "%s/torture.XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(top)) {
        perror(top);
        return 2;
    }
    printf("TIER_SEED=%llu\n", (unsigned long long)m->w.set.seed);
    m->random = m->w.set.seed;
    contents_make(m->w.content);
    for (int i = 0; i < (int)(sizeof runs / sizeof *runs) && !m->failed; i++)
        run_one(m, &runs[i], top, i);
    nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    printf("%d passed, %d failed\n", m->passed, m->failed);
    free(m->w.content);
    int failed = m->failed;
    free(m);
    return failed ? 1 : 0;
}
