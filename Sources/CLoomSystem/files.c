#define _GNU_SOURCE
#include "loomsystem.h"
#include "faults.h"
#include "fork.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/ioctl.h>
#include <sys/vfs.h>
#endif

#define RETRY(result, call)                                                                        \
    do {                                                                                           \
        (result) = (call);                                                                         \
    } while ((result) < 0 && errno == EINTR)

static int status(long result) { return result < 0 ? -errno : 0; }

int64_t loom_pread(int descriptor, void *bytes, size_t count, int64_t offset) {
    size_t done = 0;
    while (done < count) {
        ssize_t step;
        RETRY(step, pread(descriptor, (char *)bytes + done, count - done, offset + (int64_t)done));
        if (step < 0) return -errno;
        if (step == 0) break;
        done += (size_t)step;
    }
    return (int64_t)done;
}

int loom_pwrite_all(int descriptor, const void *bytes, size_t count, int64_t offset) {
    size_t done = 0;
    while (done < count) {
        ssize_t step;
        RETRY(step, pwrite(descriptor, (const char *)bytes + done, count - done,
                           offset + (int64_t)done));
        if (step < 0) return -errno;
        if (step == 0) return -EIO;
        done += (size_t)step;
    }
    return 0;
}

int loom_fill_zeros(int descriptor, int64_t from, int64_t to) {
    static const char zeros[4096];
    if (from < 0) return -EINVAL;
    while (from < to) {
        int64_t step = 4096 - from % 4096;
        if (step > to - from) step = to - from;
        int result = loom_pwrite_all(descriptor, zeros, (size_t)step, from);
        if (result < 0) return result;
        from += step;
    }
    return 0;
}

int loom_sync_data(int descriptor) {
#ifdef __APPLE__
    return loom_sync(descriptor);
#else
    return status(fdatasync(descriptor));
#endif
}

int loom_sync(int descriptor) {
#ifdef __APPLE__
    // fsync leaves the bytes in the drive's cache there.
    return status(fcntl(descriptor, F_FULLFSYNC));
#else
    return status(fsync(descriptor));
#endif
}

int loom_drop_cache(int descriptor) {
#ifdef __linux__
    return -posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
#else
    (void)descriptor;
    return 0;
#endif
}

int64_t loom_size(int descriptor) {
    struct stat facts;
    return fstat(descriptor, &facts) < 0 ? -errno : (int64_t)facts.st_size;
}

int loom_truncate(int descriptor, int64_t size) { return status(ftruncate(descriptor, size)); }

int loom_identity(int descriptor, uint64_t *device, uint64_t *inode) {
    struct stat facts;
    if (fstat(descriptor, &facts) < 0) return -errno;
    *device = (uint64_t)facts.st_dev;
    *inode = (uint64_t)facts.st_ino;
    return 0;
}

int64_t loom_owner(int descriptor) {
    struct stat facts;
    return fstat(descriptor, &facts) < 0 ? -errno : (int64_t)facts.st_uid;
}

int64_t loom_available_bytes(int anchor, const char *path) {
    struct statvfs facts;
    int result;
    RETRY(result, anchor < 0 ? statvfs(path, &facts) : fstatvfs(anchor, &facts));
    if (result < 0) return -errno;
    // A file system that has no blocks to count (some of those in user space) says nothing of space.
    if (facts.f_blocks == 0) return INT64_MAX;
    uint64_t bytes;
    if (__builtin_mul_overflow((uint64_t)facts.f_bavail, (uint64_t)facts.f_frsize, &bytes)) {
        return INT64_MAX;
    }
    return bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes;
}

// Locks of the open file description: they do not vanish when some other descriptor of the same file
// is closed in this process, and two descriptors of one process exclude each other too.
#ifdef F_OFD_SETLK
#define SET_LOCK F_OFD_SETLK
#define GET_LOCK F_OFD_GETLK
#else
#define SET_LOCK F_SETLK
#define GET_LOCK F_GETLK
#endif

// One byte each, so that all others are free for other uses: readers lock bytes from 2^40 on.
// Byte 0 is the right to write. Byte 1, locked once the holder's text is written, says that the text
// is the holder's: without that a loser reads none, or that of the holder before.
static struct flock lock_range(int kind, int range) {
    return (struct flock){.l_type = kind, .l_whence = SEEK_SET, .l_start = range, .l_len = 1};
}

int loom_lock(int descriptor, int range) {
    struct flock lock = lock_range(F_WRLCK, range);
    int result = status(fcntl(descriptor, SET_LOCK, &lock));
    return result == -EACCES ? -EAGAIN : result;
}

int loom_unlock(int descriptor) {
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    return status(fcntl(descriptor, SET_LOCK, &lock));
}

int loom_is_locked(int descriptor, int range) {
    struct flock lock = lock_range(F_WRLCK, range);
    if (fcntl(descriptor, GET_LOCK, &lock) < 0) return -errno;
    return lock.l_type != F_UNLCK;
}

static const uint64_t first_pin = UINT64_C(1) << 40;
static const uint64_t pin_count = UINT64_C(1) << 62;

int loom_pin(int descriptor, uint64_t number) {
    if (number >= pin_count) return -EINVAL;
    struct flock lock = {
        .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = (off_t)(first_pin + number), .l_len = 1};
    return status(fcntl(descriptor, SET_LOCK, &lock));
}

// The kernel tells of some lock that is in the way, not of the first: the range before it is asked
// for until that is free.
int64_t loom_least_pin(int descriptor, uint64_t limit) {
    int64_t least = -ENODATA;
    uint64_t end = limit < pin_count ? limit : pin_count;
    while (end > 0) {
        struct flock lock = {
            .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)first_pin, .l_len = (off_t)end};
        if (fcntl(descriptor, GET_LOCK, &lock) < 0) return -errno;
        if (lock.l_type == F_UNLCK) break;
        end = (uint64_t)lock.l_start > first_pin ? (uint64_t)lock.l_start - first_pin : 0;
        least = (int64_t)end;
    }
    return least;
}

#ifdef __linux__
#define EXT4_MAGIC 0xEF53
#define TMPFS_MAGIC 0x01021994
#define XFS_MAGIC 0x58465342

// The first form of XFS's geometry call (xfsctl(3)), spelled out as its headers are seldom installed.
struct xfs_geometry {
    uint32_t sizes[8];
    uint64_t blocks[4];
    unsigned char uuid[16];
    uint32_t stripe[2];
    int32_t version;
    uint32_t flags;
    uint32_t more[3];
} __attribute__((aligned(8)));
#define XFS_GEOMETRY _IOR('X', 100, struct xfs_geometry)
#define XFS_REFLINK (1u << 20)

bool loom_can_map_appends(int descriptor) {
    struct statfs facts;
    if (fstatfs(descriptor, &facts) < 0) return false;
    switch ((uint32_t)facts.f_type) {
    case EXT4_MAGIC:
    case TMPFS_MAGIC:
        return true;
    case XFS_MAGIC: {
        struct xfs_geometry geometry;
        memset(&geometry, 0, sizeof geometry);
        if (ioctl(descriptor, XFS_GEOMETRY, &geometry) < 0) return false;
        return (geometry.flags & XFS_REFLINK) == 0;
    }
    default:
        return false;
    }
}
#else
bool loom_can_map_appends(int descriptor) {
    (void)descriptor;
    return false;
}
#endif

int loom_map(int descriptor, size_t length, bool writable, void **address) {
    loom_guard_lock();
    int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void *result = mmap(NULL, length, protection, MAP_SHARED, descriptor, 0);
    int error = result == MAP_FAILED ? -errno : 0;
#ifdef __linux__
    if (error == 0) madvise(result, length, MADV_DONTFORK);
#endif
    if (error == 0 && !loom_watch_mapping(result, length, writable)) {
        munmap(result, length);
        error = -ENOMEM;
    }
    loom_guard_unlock();
    if (error == 0) *address = result;
    return error;
}

int loom_detach(void *address, size_t length) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
#ifdef MAP_NORESERVE
    flags |= MAP_NORESERVE;
#endif
    void *result = mmap(address, length, PROT_READ | PROT_WRITE, flags, -1, 0);
    return result == MAP_FAILED ? -errno : 0;
}

int loom_unmap(void *address, size_t length) {
    loom_guard_lock();
    // Before the addresses can be somebody else's.
    loom_unwatch_mapping(address);
    loom_guard_unlock();
    return status(munmap(address, length));
}
