// Child processes over pipes: what Swift's Glibc module hides, and what no call of it may do to the
// process that calls it. Every function returns 0 or a count, or the negated errno; EINTR is retried.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// 0 when this process may open so many descriptors more, else -EMFILE. Opens none.
int loom_check_free_descriptors(size_t count);
// A pipe, closed on exec, both ends above the standard descriptors.
int loom_pipe(int *_Nonnull reading, int *_Nonnull writing);
// Makes reads and writes of this end return -EAGAIN in place of waiting.
int loom_pipe_never_waits(int descriptor);
// Writes what there is room for. A reader that is gone is -EPIPE, never a SIGPIPE, whatever the
// process does with that signal and without changing it.
int64_t loom_pipe_write(int descriptor, const void *_Nonnull bytes, size_t count);
int64_t loom_pipe_read(int descriptor, void *_Nonnull bytes, size_t count);

// One descriptor to wait for, and what became of it.
struct loom_watch {
    int descriptor;
    bool writes;
    bool is_ready;
};
// Waits until one is ready, or so many milliseconds; below zero for ever.
int loom_watch_wait(struct loom_watch *_Nonnull watches, size_t count, int milliseconds);

// Wakes a thread that waits in loom_watch_wait.
struct loom_bell {
    int hears;
    int rings;
};
int loom_bell_open(struct loom_bell *_Nonnull bell);
void loom_bell_ring(struct loom_bell bell);
void loom_bell_hush(struct loom_bell bell);
void loom_bell_close(struct loom_bell bell);

// 0 when this is a folder that a program can be started in.
int loom_check_folder(const char *_Nonnull folder);
// Starts the program at `path` in a process group of its own, with these descriptors as standard
// input, output and error and no others, and with the system's handling of every signal. `words` and
// `variables` are so many texts, each ended by a zero byte.
int loom_program_start(const char *_Nonnull path, const char *_Nonnull words, size_t word_count,
                       const char *_Nonnull variables, size_t variable_count,
                       const char *_Nullable folder, int input, int output, int errors,
                       int *_Nonnull process);
// A descriptor that is ready to be read once the process has ended; -ENOSYS where there is none.
int loom_program_watch(int process);
// 1 when the process has ended; its number is still nobody else's.
int loom_program_has_ended(int process);
// Takes the status of a process that has ended; afterwards its number may be another's.
int loom_program_reap(int process, int *_Nonnull code, bool *_Nonnull is_signal);
// SIGKILL to the process and everything in its group. Only before it is reaped.
void loom_program_kill(int process);

// Keeps the signals of this process away from the calling thread.
void loom_thread_block_signals(void);
