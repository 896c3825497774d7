#define _GNU_SOURCE
#include "loomprograms.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/eventfd.h>
#include <sys/syscall.h>
#endif

#define RETRY(result, call)                                                                        \
    do {                                                                                           \
        (result) = (call);                                                                         \
    } while ((result) < 0 && errno == EINTR)

// A process may have closed its standard descriptors. One of ours in their place would be
// overwritten in the child before it is copied to where it belongs.
static int lifted(int descriptor) {
    if (descriptor < 0 || descriptor > STDERR_FILENO) return descriptor;
    int above = fcntl(descriptor, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int error = errno;
    close(descriptor);
    errno = error;
    return above;
}

// Asked one by one, as a listing of /proc would need a descriptor itself. The lowest free numbers are
// the next ones to be given out, so that this ends soon unless most are in use.
int loom_check_free_descriptors(size_t count) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return -errno;
    rlim_t end = limit.rlim_cur < INT_MAX ? limit.rlim_cur : INT_MAX;
    for (int descriptor = 0; count > 0; descriptor++) {
        if ((rlim_t)descriptor >= end) return -EMFILE;
        if (fcntl(descriptor, F_GETFD) < 0) count--;
    }
    return 0;
}

int loom_pipe(int *reading, int *writing) {
    int ends[2];
#ifdef __linux__
    if (pipe2(ends, O_CLOEXEC) < 0) return -errno;
#else
    if (pipe(ends) < 0) return -errno;
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
#endif
    ends[0] = lifted(ends[0]);
    int error = ends[0] < 0 ? errno : 0;
    ends[1] = lifted(ends[1]);
    if (error == 0 && ends[1] < 0) error = errno;
    if (error != 0) {
        if (ends[0] >= 0) close(ends[0]);
        if (ends[1] >= 0) close(ends[1]);
        return -error;
    }
    *reading = ends[0];
    *writing = ends[1];
    return 0;
}

int loom_pipe_never_waits(int descriptor) {
    int flags = fcntl(descriptor, F_GETFL);
    if (flags < 0 || fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) < 0) return -errno;
#ifdef F_SETNOSIGPIPE
    // Refused for the end that reads, which raises no signal.
    fcntl(descriptor, F_SETNOSIGPIPE, 1);
#endif
    return 0;
}

int64_t loom_pipe_write(int descriptor, const void *bytes, size_t count) {
    ssize_t result;
#ifdef F_SETNOSIGPIPE
    RETRY(result, write(descriptor, bytes, count));
    return result < 0 ? -errno : result;
#else
    // The signal goes to the thread that writes. It is held back there, and taken away again unless
    // one was waiting before, which is somebody else's.
    sigset_t broken, before, waiting;
    sigemptyset(&broken);
    sigaddset(&broken, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &broken, &before);
    sigpending(&waiting);
    RETRY(result, write(descriptor, bytes, count));
    int error = errno;
    if (result < 0 && error == EPIPE && !sigismember(&waiting, SIGPIPE)) {
        struct timespec none = {0, 0};
        int taken;
        RETRY(taken, sigtimedwait(&broken, NULL, &none));
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result < 0 ? -error : result;
#endif
}

int64_t loom_pipe_read(int descriptor, void *bytes, size_t count) {
    ssize_t result;
    RETRY(result, read(descriptor, bytes, count));
    return result < 0 ? -errno : result;
}

int loom_watch_wait(struct loom_watch *watches, size_t count, int milliseconds) {
    struct pollfd polled[8];
    if (count > sizeof polled / sizeof *polled) return -EINVAL;
    for (size_t index = 0; index < count; index++) {
        polled[index].fd = watches[index].descriptor;
        polled[index].events = watches[index].writes ? POLLOUT : POLLIN;
        polled[index].revents = 0;
    }
    int result = poll(polled, count, milliseconds);
    // After a signal the caller looks again.
    if (result < 0 && errno != EINTR) return -errno;
    for (size_t index = 0; index < count; index++) {
        watches[index].is_ready = result > 0 && polled[index].revents != 0;
    }
    return result < 0 ? 0 : result;
}

int loom_bell_open(struct loom_bell *bell) {
#ifdef __linux__
    int descriptor = lifted(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (descriptor < 0) return -errno;
    bell->hears = descriptor;
    bell->rings = descriptor;
    return 0;
#else
    int result = loom_pipe(&bell->hears, &bell->rings);
    if (result < 0) return result;
    loom_pipe_never_waits(bell->hears);
    loom_pipe_never_waits(bell->rings);
    return 0;
#endif
}

// That there is no room means that it rings already.
void loom_bell_ring(struct loom_bell bell) {
    uint64_t one = 1;
    ssize_t result;
    RETRY(result, write(bell.rings, &one, sizeof one));
}

void loom_bell_hush(struct loom_bell bell) {
    uint64_t rung[16];
    ssize_t result;
    RETRY(result, read(bell.hears, rung, sizeof rung));
}

void loom_bell_close(struct loom_bell bell) {
    close(bell.hears);
    if (bell.rings != bell.hears) close(bell.rings);
}

int loom_check_folder(const char *folder) {
    struct stat facts;
    if (stat(folder, &facts) < 0) return -errno;
    if (!S_ISDIR(facts.st_mode)) return -ENOTDIR;
    return access(folder, X_OK) < 0 ? -errno : 0;
}

#ifndef __APPLE__
// Not in every C library: from glibc 2.34 and 2.29 on.
extern int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *, int)
    __attribute__((weak));
extern int posix_spawn_file_actions_addchdir_np(posix_spawn_file_actions_t *, const char *)
    __attribute__((weak));
#endif

static int add_actions(posix_spawn_file_actions_t *actions, const char *folder, int input,
                       int output, int errors) {
    int error = 0;
    if (folder) {
#ifndef __APPLE__
        if (!posix_spawn_file_actions_addchdir_np) return ENOSYS;
#endif
        error = posix_spawn_file_actions_addchdir_np(actions, folder);
    }
    if (!error) error = posix_spawn_file_actions_adddup2(actions, input, STDIN_FILENO);
    if (!error) error = posix_spawn_file_actions_adddup2(actions, output, STDOUT_FILENO);
    if (!error) error = posix_spawn_file_actions_adddup2(actions, errors, STDERR_FILENO);
#ifndef __APPLE__
    // Without it a program inherits what others of this process left open for exec.
    if (!error && posix_spawn_file_actions_addclosefrom_np) {
        error = posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
    }
#endif
    return error;
}

static int set_attributes(posix_spawnattr_t *attributes) {
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    short flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
#ifdef __APPLE__
    flags |= POSIX_SPAWN_CLOEXEC_DEFAULT;
#endif
    int error = posix_spawnattr_setpgroup(attributes, 0);
    if (!error) error = posix_spawnattr_setsigmask(attributes, &none);
    if (!error) error = posix_spawnattr_setsigdefault(attributes, &all);
    if (!error) error = posix_spawnattr_setflags(attributes, flags);
    return error;
}

static char **list(const char *texts, size_t count) {
    char **result = calloc(count + 1, sizeof *result);
    if (!result) return NULL;
    for (size_t index = 0; index < count; index++) {
        result[index] = (char *)texts;
        texts += strlen(texts) + 1;
    }
    return result;
}

int loom_program_start(const char *path, const char *words, size_t word_count,
                       const char *variables, size_t variable_count, const char *folder, int input,
                       int output, int errors, int *process) {
    char **arguments = list(words, word_count);
    char **environment = list(variables, variable_count);
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int error = arguments && environment ? 0 : ENOMEM;
    if (!error) error = posix_spawn_file_actions_init(&actions);
    if (!error) {
        error = posix_spawnattr_init(&attributes);
        if (!error) {
            error = add_actions(&actions, folder, input, output, errors);
            if (!error) error = set_attributes(&attributes);
            pid_t started = 0;
            if (!error) {
                error = posix_spawn(&started, path, &actions, &attributes, arguments, environment);
            }
            if (!error) *process = started;
            posix_spawnattr_destroy(&attributes);
        }
        posix_spawn_file_actions_destroy(&actions);
    }
    free(arguments);
    free(environment);
    return -error;
}

int loom_program_watch(int process) {
#if defined(__linux__) && defined(SYS_pidfd_open)
    int descriptor = (int)syscall(SYS_pidfd_open, process, 0);
    return descriptor < 0 ? -errno : descriptor;
#else
    (void)process;
    return -ENOSYS;
#endif
}

int loom_program_has_ended(int process) {
    siginfo_t facts = {0};
    int result;
    RETRY(result, waitid(P_PID, (id_t)process, &facts, WEXITED | WNOHANG | WNOWAIT));
    if (result < 0) return -errno;
    return facts.si_pid == process;
}

int loom_program_reap(int process, int *code, bool *is_signal) {
    int status;
    pid_t result;
    RETRY(result, waitpid(process, &status, 0));
    if (result < 0) return -errno;
    *is_signal = WIFSIGNALED(status);
    *code = *is_signal ? WTERMSIG(status) : WEXITSTATUS(status);
    return 0;
}

void loom_program_kill(int process) {
    kill(-process, SIGKILL);
    // It may have left its group.
    kill(process, SIGKILL);
}

void loom_thread_block_signals(void) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
}
