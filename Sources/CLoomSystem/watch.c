#define _GNU_SOURCE
#include "loomsystem.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#ifdef __linux__
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

// inotify takes a path. That of the open folder leads to this very folder, whatever its name leads to.
int loom_folder_watch_open(int anchor, const char *path) {
    int folder = loom_open(anchor, path, LOOM_OPEN_FOLDER);
    if (folder < 0) return folder;
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", folder);
    int result = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (result < 0) {
        result = -errno;
    } else if (inotify_add_watch(result, name,
                                 IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR) < 0) {
        int error = -errno;
        close(result);
        result = error;
    }
    close(folder);
    return result;
}

int loom_waker_open(void) {
    int result = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return result < 0 ? -errno : result;
}

void loom_waker_wake(int waker) {
    uint64_t one = 1;
    // A full counter wakes as well.
    (void)!write(waker, &one, sizeof one);
}

// What was told since the last call. A queue that ran over has lost names: look anew.
static int drain(int watch) {
    _Alignas(struct inotify_event) char bytes[4096];
    int told = 0;
    for (;;) {
        ssize_t count = read(watch, bytes, sizeof bytes);
        if (count <= 0) return told;
        for (ssize_t at = 0; at + (ssize_t)sizeof(struct inotify_event) <= count;) {
            const struct inotify_event *event = (const struct inotify_event *)(bytes + at);
            if (event->mask & (IN_MOVED_TO | IN_Q_OVERFLOW)) told |= LOOM_WATCH_NAMES;
            if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT))
                told |= LOOM_WATCH_GONE;
            at += (ssize_t)sizeof *event + (ssize_t)event->len;
        }
    }
}

int loom_folder_watch_wait(int watch, int waker, int64_t nanoseconds) {
    struct pollfd polled[2] = {{waker, POLLIN, 0}, {watch, POLLIN, 0}};
    struct timespec time = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    int result = ppoll(polled, 2, nanoseconds < 0 ? NULL : &time, NULL);
    if (result < 0) return errno == EINTR ? 0 : -errno;
    int told = 0;
    uint64_t count;
    if (polled[0].revents && read(waker, &count, sizeof count) > 0) told |= LOOM_WATCH_WOKEN;
    if (polled[1].revents) told |= drain(watch);
    return told;
}
#else
int loom_folder_watch_open(int anchor, const char *path) {
    (void)anchor;
    (void)path;
    return -ENOTSUP;
}
int loom_waker_open(void) { return -ENOTSUP; }
void loom_waker_wake(int waker) { (void)waker; }
int loom_folder_watch_wait(int watch, int waker, int64_t nanoseconds) {
    (void)watch;
    (void)waker;
    (void)nanoseconds;
    return -ENOTSUP;
}
#endif
