#define _GNU_SOURCE
#include "loomsystem.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/random.h>
#endif

int loom_boot_id(char *text, size_t capacity) {
#ifdef __linux__
    int descriptor = loom_open(LOOM_NO_ANCHOR, "/proc/sys/kernel/random/boot_id", LOOM_OPEN_READ);
    if (descriptor < 0) return descriptor;
    int64_t count = loom_pread(descriptor, text, capacity - 1, 0);
    loom_close(descriptor);
    if (count < 0) return (int)count;
    while (count > 0 && text[count - 1] == '\n') count--;
    text[count] = 0;
    return 0;
#else
    (void)text;
    (void)capacity;
    return -ENOENT;
#endif
}

int loom_host_name(char *text, size_t capacity) {
    if (gethostname(text, capacity) < 0) return -errno;
    text[capacity - 1] = 0;
    return 0;
}

int loom_random(void *bytes, size_t count) {
#ifdef __linux__
    size_t done = 0;
    while (done < count) {
        ssize_t step = getrandom((char *)bytes + done, count - done, 0);
        if (step < 0 && errno != EINTR) return -errno;
        if (step > 0) done += (size_t)step;
    }
#else
    arc4random_buf(bytes, count);
#endif
    return 0;
}

uint64_t loom_microseconds(int64_t seconds, int64_t nanoseconds) {
    if (seconds < 0) return 0;
    return (uint64_t)seconds * 1000000u + (uint64_t)nanoseconds / 1000u;
}

uint64_t loom_wall_microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return loom_microseconds(now.tv_sec, now.tv_nsec);
}

uint64_t loom_monotonic_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void loom_sleep(uint64_t nanoseconds) {
    struct timespec time = {(time_t)(nanoseconds / 1000000000u), (long)(nanoseconds % 1000000000u)};
    while (nanosleep(&time, &time) < 0 && errno == EINTR) {}
}

struct loom_monitor {
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    uint32_t fork_count;
};

loom_monitor *loom_monitor_create(void) {
    loom_monitor *monitor = malloc(sizeof *monitor);
    if (!monitor) abort();
    monitor->fork_count = loom_fork_count();
    pthread_mutex_init(&monitor->mutex, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
#ifdef __linux__
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
#endif
    pthread_cond_init(&monitor->condition, &attributes);
    pthread_condattr_destroy(&attributes);
    return monitor;
}

void loom_monitor_destroy(loom_monitor *monitor) {
    // In a forked child those who waited are gone, and the condition would wait for them for ever.
    if (monitor->fork_count != loom_fork_count()) return;
    pthread_cond_destroy(&monitor->condition);
    pthread_mutex_destroy(&monitor->mutex);
    free(monitor);
}

void loom_monitor_lock(loom_monitor *monitor) { pthread_mutex_lock(&monitor->mutex); }
void loom_monitor_unlock(loom_monitor *monitor) { pthread_mutex_unlock(&monitor->mutex); }
void loom_monitor_notify_all(loom_monitor *monitor) { pthread_cond_broadcast(&monitor->condition); }

void loom_monitor_wait(loom_monitor *monitor) {
    pthread_cond_wait(&monitor->condition, &monitor->mutex);
}

bool loom_monitor_wait_until(loom_monitor *monitor, uint64_t deadline) {
#ifdef __linux__
    struct timespec time = {(time_t)(deadline / 1000000000u), (long)(deadline % 1000000000u)};
    return pthread_cond_timedwait(&monitor->condition, &monitor->mutex, &time) != ETIMEDOUT;
#else
    uint64_t now = loom_monotonic_nanoseconds();
    uint64_t left = deadline > now ? deadline - now : 0;
    struct timespec time = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
    return pthread_cond_timedwait_relative_np(&monitor->condition, &monitor->mutex, &time)
        != ETIMEDOUT;
#endif
}

struct start {
    char name[16];
    void *context;
    void (*body)(void *);
};

static void *run(void *argument) {
    struct start start = *(struct start *)argument;
    free(argument);
#ifdef __linux__
    pthread_setname_np(pthread_self(), start.name);
#endif
    start.body(start.context);
    return NULL;
}

uint64_t loom_thread_identity(void) { return (uint64_t)(uintptr_t)pthread_self(); }

// A thread's own faults: blocked, they would end the process without the host's crash handler.
static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};

int loom_thread_start(const char *name, size_t stack_bytes, void *context,
                      void (*body)(void *)) {
    struct start *start = calloc(1, sizeof *start);
    if (!start) return -ENOMEM;
    strncpy(start->name, name, sizeof start->name - 1);
    start->context = context;
    start->body = body;
    sigset_t blocked, before;
    sigfillset(&blocked);
    for (size_t index = 0; index < sizeof faults / sizeof *faults; index++)
        sigdelset(&blocked, faults[index]);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (stack_bytes) pthread_attr_setstacksize(&attributes, stack_bytes);
    // A thread begins with the mask of the one that starts it.
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    pthread_t thread;
    int result = pthread_create(&thread, &attributes, run, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (result != 0) {
        free(start);
        return -result;
    }
    pthread_detach(thread);
    return 0;
}
