// System calls that Swift's Glibc module hides or that take variable arguments, and atomic access to
// raw memory. Every function returns 0 or a count, or the negated errno; EINTR is retried.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Where paths begin: at an open folder, whose descriptor is the anchor, or where the system begins.
// Below an anchor a path is relative, has neither "." nor ".." in it, and no link is followed; the
// empty path is the anchor itself.
#ifdef __APPLE__
enum { LOOM_NO_ANCHOR = -2 };
#else
enum { LOOM_NO_ANCHOR = -100 };
#endif

enum {
    LOOM_OPEN_READ = 0,
    LOOM_OPEN_WRITE = 1,
    LOOM_OPEN_CREATE = 2,
    LOOM_OPEN_FOLDER = 3,
};

// What is neither a file nor a folder is refused by -(LOOM_IRREGULAR + what it is).
enum {
    LOOM_IRREGULAR = 100000,
    LOOM_LINK = 1,
    LOOM_LINK_ON_THE_WAY = 2,
    LOOM_FIFO = 3,
    LOOM_SOCKET = 4,
    LOOM_DEVICE = 5,
};

// Fails with EISDIR for a folder and with ENOTDIR for LOOM_OPEN_FOLDER of anything else. Never
// follows a link to a file, and never blocks. New files have the permissions of the anchor's
// folder, 0600 without an anchor, whatever the umask. What can write is closed in forked children.
int loom_open(int anchor, const char *_Nonnull path, int mode);
int loom_close(int descriptor);
int64_t loom_pread(int descriptor, void *_Nullable bytes, size_t count, int64_t offset);
// Writes everything or fails; a short write is continued.
int loom_pwrite_all(int descriptor, const void *_Nullable bytes, size_t count, int64_t offset);
// Writes zeros in steps of 4 KiB, so that the page cache does not build large folios of them.
int loom_fill_zeros(int descriptor, int64_t from, int64_t to);
int loom_sync_data(int descriptor);
int loom_sync(int descriptor);
int loom_drop_cache(int descriptor);
int64_t loom_size(int descriptor);
int loom_truncate(int descriptor, int64_t size);
int loom_identity(int descriptor, uint64_t *_Nonnull device, uint64_t *_Nonnull inode);
// The user that owns the file.
int64_t loom_owner(int descriptor);

// Bytes that ordinary programs may still take on the device of the anchor's folder, or of a path without
// an anchor; INT64_MAX where it does not say.
int64_t loom_available_bytes(int anchor, const char *_Nonnull path);

// New folders have the permissions of the anchor's folder, 0700 without an anchor.
int loom_make_directory(int anchor, const char *_Nonnull path);
// The same with permissions 0700, whatever those of the anchor's folder are.
int loom_make_private_directory(int anchor, const char *_Nonnull path);
// Fails with EEXIST when the target exists: a rename never replaces anything here.
int loom_rename_exclusive(int anchor, const char *_Nonnull path, const char *_Nonnull target);
// A second name for a file; fails with EEXIST when the target exists. A link is not followed.
int loom_link(int anchor, const char *_Nonnull path, const char *_Nonnull target);
int loom_unlink(int anchor, const char *_Nonnull path);
int loom_remove_directory(int anchor, const char *_Nonnull path);
// Calls `each` with the name of every entry but "." and "..".
int loom_list(int anchor, const char *_Nonnull path, void *_Nonnull context,
              void (*_Nonnull each)(void *_Nonnull context, const char *_Nonnull name));

struct loom_facts {
    uint64_t device;
    uint64_t inode;
    int64_t size;
};
// What a name leads to now. Without an anchor links are followed.
int loom_look(int anchor, const char *_Nonnull path, struct loom_facts *_Nonnull facts);
int loom_working_directory(char *_Nonnull path, size_t capacity);

// How many forks lie between the first process that had this code and this one: it differs between
// a parent and its child.
extern uint32_t loom_fork_count_word;
static inline uint32_t loom_fork_count(void) {
    return __atomic_load_n(&loom_fork_count_word, __ATOMIC_RELAXED);
}

// What a folder's watch tells: names were moved into it, it was woken, it is gone from its place.
enum { LOOM_WATCH_NAMES = 1, LOOM_WATCH_WOKEN = 2, LOOM_WATCH_GONE = 4 };
// Returns a descriptor that tells when names are moved into the folder; -ENOTSUP where the system
// has none.
int loom_folder_watch_open(int anchor, const char *_Nonnull path);
int loom_waker_open(void);
void loom_waker_wake(int waker);
// Waits for either, at most `nanoseconds`; below 0: for ever. Returns what was told; 0: nothing.
int loom_folder_watch_wait(int watch, int waker, int64_t nanoseconds);

enum { LOOM_LOCK_RIGHT = 0, LOOM_LOCK_TEXT = 1 };
// 0 when this range of the file is now locked by this open file description, -EAGAIN when another has it.
int loom_lock(int descriptor, int range);
// Closing alone frees the lock only after every copy of the descriptor is closed, and a process that
// is being started has one until it runs its program.
int loom_unlock(int descriptor);
// 1 when another open file description holds the range, 0 when nobody does.
int loom_is_locked(int descriptor, int range);
// A shared lock on the byte of a number below 2^62: 0, or a negated errno. A descriptor for reading
// will do; its other locks stay.
int loom_pin(int descriptor, uint64_t number);
// The least pinned number below a limit that another open file description has, or -ENODATA.
int64_t loom_least_pin(int descriptor, uint64_t limit);

// Whether stores through a shared mapping of written space cannot run out of space on this file
// system: ext4, tmpfs, XFS without reflink.
bool loom_can_map_appends(int descriptor);
// The mapping is not there in forked children. When its file is cut under it, or a page of it cannot
// be read, a store lands in memory of nobody, and the mapping is lost from then on.
// One that is not writable is for loads alone: a store into it is a fault that nobody handles.
int loom_map(int descriptor, size_t length, bool writable, void *_Nullable *_Nonnull address);
// Takes the file out of a mapping and leaves memory of nobody in its place, in one step: a store
// that comes late lands there.
int loom_detach(void *_Nonnull address, size_t length);
int loom_unmap(void *_Nonnull address, size_t length);
// How often a mapping of this process was lost; while it is 0, none is.
extern uint32_t loom_lost_mappings_word;
static inline uint32_t loom_lost_mappings(void) {
    return __atomic_load_n(&loom_lost_mappings_word, __ATOMIC_ACQUIRE);
}
bool loom_mapping_is_lost(const void *_Nonnull address);

// The number of bytes up to the last that is not zero; 0 when all are.
size_t loom_used_bytes(const void *_Nullable bytes, size_t count);

static inline void loom_store_release(void *_Nonnull address, uint64_t value) {
    __atomic_store_n((uint64_t *)address, value, __ATOMIC_RELEASE);
}
static inline uint64_t loom_load_acquire(const void *_Nonnull address) {
    return __atomic_load_n((const uint64_t *)address, __ATOMIC_ACQUIRE);
}

// Text of the identity of this boot; -ENOENT where the system has none.
int loom_boot_id(char *_Nonnull text, size_t capacity);
int loom_host_name(char *_Nonnull text, size_t capacity);
int loom_random(void *_Nonnull bytes, size_t count);
// Microseconds since 1970 of a time since 1970; 0 for one before, which has no such number.
uint64_t loom_microseconds(int64_t seconds, int64_t nanoseconds);
uint64_t loom_wall_microseconds(void);
uint64_t loom_monotonic_nanoseconds(void);
void loom_sleep(uint64_t nanoseconds);

typedef struct loom_monitor loom_monitor;
loom_monitor *_Nonnull loom_monitor_create(void);
void loom_monitor_destroy(loom_monitor *_Nonnull monitor);
void loom_monitor_lock(loom_monitor *_Nonnull monitor);
void loom_monitor_unlock(loom_monitor *_Nonnull monitor);
void loom_monitor_notify_all(loom_monitor *_Nonnull monitor);
void loom_monitor_wait(loom_monitor *_Nonnull monitor);
// Returns false when the deadline, in monotonic nanoseconds, has passed.
bool loom_monitor_wait_until(loom_monitor *_Nonnull monitor, uint64_t deadline);

// A number that no other living thread of this process has.
uint64_t loom_thread_identity(void);
// Starts a thread; `body` is called once with `context`. A stack of 0 bytes: the system's default. The
// thread blocks all signals but those of its own faults: a signal to the process goes to a thread of
// the host.
int loom_thread_start(const char *_Nonnull name, size_t stack_bytes, void *_Nonnull context,
                      void (*_Nonnull body)(void *_Nonnull context));
