#define _GNU_SOURCE
#include "loomsystem.h"
#include "faults.h"
#include "fork.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

// A child made by fork shares the parent's locks, descriptors and mappings: it could write into the
// parent's log, and would keep the parent's lock after the parent's end. So every descriptor that
// can write is registered here, and a child closes them all before it runs anything else.

// Descriptors up to 2^20, the highest number that Linux gives out by default. One above it is not
// closed in a child, which refuses to write all the same.
enum { WORD_BITS = 64, WORDS = (1 << 20) / WORD_BITS };
static uint64_t registered[WORDS];
static int used_words;

uint32_t loom_fork_count_word;

// Held while a descriptor is opened and registered, and by a fork: no child has one unregistered.
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;

void loom_guard_lock(void) { pthread_mutex_lock(&guard); }
void loom_guard_unlock(void) { pthread_mutex_unlock(&guard); }

void loom_register(int descriptor) {
    int word = descriptor / WORD_BITS;
    if (descriptor < 0 || word >= WORDS) return;
    registered[word] |= (uint64_t)1 << (descriptor % WORD_BITS);
    if (word >= used_words) used_words = word + 1;
}

void loom_unregister(int descriptor) {
    int word = descriptor / WORD_BITS;
    if (descriptor < 0 || word >= WORDS) return;
    registered[word] &= ~((uint64_t)1 << (descriptor % WORD_BITS));
}

// Only calls that are safe in the child of a process with threads.
static void become_child(void) {
    pthread_mutex_init(&guard, NULL);
    for (int word = 0; word < used_words; word++) {
        for (int bit = 0; registered[word] != 0; bit++) {
            uint64_t mask = (uint64_t)1 << bit;
            if (!(registered[word] & mask)) continue;
            registered[word] &= ~mask;
            close(word * WORD_BITS + bit);
        }
    }
    used_words = 0;
    loom_forget_mappings();
    __atomic_add_fetch(&loom_fork_count_word, 1, __ATOMIC_RELAXED);
}

__attribute__((constructor)) static void watch_forks(void) {
    pthread_atfork(loom_guard_lock, loom_guard_unlock, become_child);
}
