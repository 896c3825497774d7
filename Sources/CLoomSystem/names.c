#define _GNU_SOURCE
#include "loomsystem.h"
#include "fork.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RETRY(result, call)                                                                        \
    do {                                                                                           \
        (result) = (call);                                                                         \
    } while ((result) < 0 && errno == EINTR)

_Static_assert(LOOM_NO_ANCHOR == AT_FDCWD, "without an anchor the system resolves paths");

static int status(long result) { return result < 0 ? -errno : 0; }

// Where a path leads: the last name, in a folder that is open.
struct place {
    int folder;
    const char *name;
    char last[NAME_MAX + 1];
};

static void leave(struct place *place, int anchor) {
    if (place->folder != anchor) close(place->folder);
}

static int folder_refusal(mode_t mode) {
    if (S_ISDIR(mode)) return 0;
    return S_ISLNK(mode) ? -(LOOM_IRREGULAR + LOOM_LINK_ON_THE_WAY) : -ENOTDIR;
}

// Opens a folder by its name alone, and no link to one.
static int enter(int folder, const char *name) {
    struct stat facts;
    if (fstatat(folder, name, &facts, AT_SYMLINK_NOFOLLOW) < 0) return -errno;
    int refusal = folder_refusal(facts.st_mode);
    if (refusal < 0) return refusal;
    int descriptor;
    RETRY(descriptor, openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    return descriptor < 0 ? -errno : descriptor;
}

// Below an anchor every step is taken from the folder before it, and no link is followed. Without
// one the system resolves the path, links included.
static int find(int anchor, const char *path, struct place *place) {
    place->folder = anchor;
    place->name = path;
    if (anchor == LOOM_NO_ANCHOR) return 0;
    for (;;) {
        const char *slash = strchr(path, '/');
        size_t length = slash ? (size_t)(slash - path) : strlen(path);
        if (length > NAME_MAX) {
            leave(place, anchor);
            return -ENAMETOOLONG;
        }
        memcpy(place->last, path, length);
        place->last[length] = 0;
        if (!slash) break;
        int next = enter(place->folder, place->last);
        leave(place, anchor);
        if (next < 0) return next;
        place->folder = next;
        path = slash + 1;
    }
    // The anchor itself.
    if (place->last[0] == 0) strcpy(place->last, ".");
    place->name = place->last;
    return 0;
}

static int file_refusal(mode_t mode) {
    if (S_ISREG(mode)) return 0;
    if (S_ISDIR(mode)) return -EISDIR;
    if (S_ISLNK(mode)) return -(LOOM_IRREGULAR + LOOM_LINK);
    if (S_ISFIFO(mode)) return -(LOOM_IRREGULAR + LOOM_FIFO);
    if (S_ISSOCK(mode)) return -(LOOM_IRREGULAR + LOOM_SOCKET);
    return -(LOOM_IRREGULAR + LOOM_DEVICE);
}

// New files and folders below an anchor have the permissions of its folder, others are the owner's
// alone. Neither depends on the umask.
static mode_t permissions(int anchor, mode_t limit) {
    struct stat facts;
    mode_t owner = 0700 & limit;
    if (anchor == LOOM_NO_ANCHOR || fstat(anchor, &facts) < 0) return owner;
    return (facts.st_mode & limit) | owner;
}

static int open_folder(int anchor, struct place *place) {
    int descriptor;
    if (anchor != LOOM_NO_ANCHOR) {
        descriptor = enter(place->folder, place->name);
        bool is_link = descriptor == -(LOOM_IRREGULAR + LOOM_LINK_ON_THE_WAY);
        return is_link ? -(LOOM_IRREGULAR + LOOM_LINK) : descriptor;
    }
    RETRY(descriptor, open(place->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return descriptor < 0 ? -errno : descriptor;
}

// Looks before it opens, as opening a device or a FIFO can have effects; and again afterwards.
static int open_file(struct place *place, int flags, struct stat *facts) {
    if (!(flags & O_CREAT)) {
        if (fstatat(place->folder, place->name, facts, AT_SYMLINK_NOFOLLOW) < 0) return -errno;
        int refusal = file_refusal(facts->st_mode);
        if (refusal < 0) return refusal;
    }
    flags |= O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    int descriptor;
    RETRY(descriptor, openat(place->folder, place->name, flags, 0600));
    if (descriptor < 0) {
        if (errno == ELOOP) return -(LOOM_IRREGULAR + LOOM_LINK);
        return -errno;
    }
    int refusal = fstat(descriptor, facts) < 0 ? -errno : file_refusal(facts->st_mode);
    if (refusal == 0) return descriptor;
    close(descriptor);
    return refusal;
}

static int open_for_writing(int anchor, struct place *place, int flags) {
    struct stat facts;
    loom_guard_lock();
    int descriptor = open_file(place, flags, &facts);
    if (descriptor >= 0) loom_register(descriptor);
    loom_guard_unlock();
    if (descriptor < 0 || !(flags & O_CREAT)) return descriptor;
    mode_t wanted = permissions(anchor, 0666);
    // A file system that has no permissions refuses. What was made is no wider than asked.
    if ((facts.st_mode & 0777) != wanted) (void)!fchmod(descriptor, wanted);
    return descriptor;
}

int loom_open(int anchor, const char *path, int mode) {
    struct place place;
    int result = find(anchor, path, &place);
    if (result < 0) return result;
    struct stat facts;
    switch (mode) {
    case LOOM_OPEN_WRITE: result = open_for_writing(anchor, &place, O_RDWR); break;
    case LOOM_OPEN_CREATE:
        result = open_for_writing(anchor, &place, O_RDWR | O_CREAT | O_EXCL);
        break;
    case LOOM_OPEN_FOLDER: result = open_folder(anchor, &place); break;
    default: result = open_file(&place, O_RDONLY, &facts); break;
    }
    leave(&place, anchor);
    return result;
}

// Not retried: after EINTR the state of the descriptor is unspecified, on Linux it is closed.
int loom_close(int descriptor) {
    loom_guard_lock();
    loom_unregister(descriptor);
    int result = close(descriptor) < 0 && errno != EINTR ? -errno : 0;
    loom_guard_unlock();
    return result;
}

static int make_directory(int anchor, const char *path, mode_t wanted) {
    struct place place;
    int result = find(anchor, path, &place);
    if (result < 0) return result;
    result = status(mkdirat(place.folder, place.name, 0700));
    struct stat facts;
    if (result == 0 && fstatat(place.folder, place.name, &facts, AT_SYMLINK_NOFOLLOW) == 0
        && (facts.st_mode & 0777) != wanted)
        (void)!fchmodat(place.folder, place.name, wanted, 0);
    leave(&place, anchor);
    return result;
}

int loom_make_directory(int anchor, const char *path) {
    return make_directory(anchor, path, permissions(anchor, 0777));
}

int loom_make_private_directory(int anchor, const char *path) {
    return make_directory(anchor, path, 0700);
}

static int rename_exclusive(struct place *from, struct place *to) {
#ifdef __linux__
    int result = status(
        renameat2(from->folder, from->name, to->folder, to->name, RENAME_NOREPLACE));
    if (result != -EINVAL && result != -ENOSYS) return result;
#endif
    // A file system without the flag: the window between the two calls is the caller's lock to close.
    struct stat facts;
    if (fstatat(to->folder, to->name, &facts, AT_SYMLINK_NOFOLLOW) == 0) return -EEXIST;
    return status(renameat(from->folder, from->name, to->folder, to->name));
}

int loom_rename_exclusive(int anchor, const char *path, const char *target) {
    struct place from, to;
    int result = find(anchor, path, &from);
    if (result < 0) return result;
    result = find(anchor, target, &to);
    if (result == 0) {
        result = rename_exclusive(&from, &to);
        leave(&to, anchor);
    }
    leave(&from, anchor);
    return result;
}

int loom_link(int anchor, const char *path, const char *target) {
    struct place from, to;
    int result = find(anchor, path, &from);
    if (result < 0) return result;
    result = find(anchor, target, &to);
    if (result == 0) {
        result = status(linkat(from.folder, from.name, to.folder, to.name, 0));
        leave(&to, anchor);
    }
    leave(&from, anchor);
    return result;
}

static int unlink_at(int anchor, const char *path, int flags) {
    struct place place;
    int result = find(anchor, path, &place);
    if (result < 0) return result;
    result = status(unlinkat(place.folder, place.name, flags));
    leave(&place, anchor);
    return result;
}

int loom_unlink(int anchor, const char *path) { return unlink_at(anchor, path, 0); }
int loom_remove_directory(int anchor, const char *path) {
    return unlink_at(anchor, path, AT_REMOVEDIR);
}

int loom_list(int anchor, const char *path, void *context, void (*each)(void *, const char *)) {
    int descriptor = loom_open(anchor, path, LOOM_OPEN_FOLDER);
    if (descriptor < 0) return descriptor;
    DIR *directory = fdopendir(descriptor);
    if (!directory) {
        int result = -errno;
        close(descriptor);
        return result;
    }
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(directory);
        if (!entry) break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        each(context, entry->d_name);
    }
    int result = -errno;
    closedir(directory);
    return result;
}

int loom_look(int anchor, const char *path, struct loom_facts *facts) {
    struct place place;
    int result = find(anchor, path, &place);
    if (result < 0) return result;
    struct stat found;
    int flags = anchor == LOOM_NO_ANCHOR ? 0 : AT_SYMLINK_NOFOLLOW;
    result = status(fstatat(place.folder, place.name, &found, flags));
    leave(&place, anchor);
    if (result < 0) return result;
    *facts = (struct loom_facts){
        (uint64_t)found.st_dev, (uint64_t)found.st_ino, (int64_t)found.st_size};
    return 0;
}

int loom_working_directory(char *path, size_t capacity) {
    return getcwd(path, capacity) ? 0 : -errno;
}
