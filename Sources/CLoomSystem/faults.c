#define _GNU_SOURCE
#include "loomsystem.h"
#include "faults.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>

// A store or a load through a mapping whose file was cut (by a copy over it), or whose page the device
// cannot read, raises SIGBUS, which would end the process of the host. The handler puts memory of
// nobody in the place of such a mapping and marks it as lost: the store lands there, and whoever
// stored or loaded looks afterwards. Every other SIGBUS goes on to the handler that was there before.

// Mappings for loads leave some entries to those for stores: they are quicker and not needed.
enum { MAPPINGS_MAX = 4096, LOADS_MAX = 3072 };
struct mapping {
    // 0 where the entry is free. Length and mark are written before it.
    uintptr_t address;
    size_t length;
    uint32_t is_lost;
};
static struct mapping mappings[MAPPINGS_MAX];
// Entries from here on were never used.
static uint32_t used_entries;
static struct sigaction handler_before;
static pthread_once_t installation = PTHREAD_ONCE_INIT;

uint32_t loom_lost_mappings_word;

static struct mapping *entry_at(uintptr_t address) {
    uint32_t count = __atomic_load_n(&used_entries, __ATOMIC_ACQUIRE);
    for (uint32_t index = 0; index < count; index++) {
        struct mapping *entry = &mappings[index];
        uintptr_t start = __atomic_load_n(&entry->address, __ATOMIC_ACQUIRE);
        if (start != 0 && address >= start && address - start < entry->length) return entry;
    }
    return NULL;
}

static void pass_on(int number, siginfo_t *facts, void *context) {
    if (handler_before.sa_flags & SA_SIGINFO) {
        handler_before.sa_sigaction(number, facts, context);
    } else if (handler_before.sa_handler != SIG_DFL && handler_before.sa_handler != SIG_IGN) {
        handler_before.sa_handler(number);
    } else {
        // The instruction faults again, and the system does what it does by itself.
        sigaction(number, &handler_before, NULL);
        if (facts->si_code <= 0) raise(number);
    }
}

// Only calls that are safe in a signal handler.
static void handle_fault(int number, siginfo_t *facts, void *context) {
    int error_before = errno;
    // Above zero the system found the fault itself; else a process sent the signal.
    struct mapping *entry = facts->si_code > 0 ? entry_at((uintptr_t)facts->si_addr) : NULL;
    if (entry) {
        // The marks first: another thread whose store lands in the new memory must find them. One
        // that faults at the same place has counted the mapping already.
        __atomic_add_fetch(&loom_lost_mappings_word, 1, __ATOMIC_SEQ_CST);
        if (__atomic_exchange_n(&entry->is_lost, 1, __ATOMIC_SEQ_CST))
            __atomic_sub_fetch(&loom_lost_mappings_word, 1, __ATOMIC_SEQ_CST);
        if (loom_detach((void *)entry->address, entry->length) != 0) entry = NULL;
    }
    if (!entry) pass_on(number, facts, context);
    errno = error_before;
}

static void install(void) {
    struct sigaction action = {.sa_sigaction = handle_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &handler_before);
}

// These are called with the guard of fork.c held, so one thread at a time changes the table.
bool loom_watch_mapping(void *address, size_t length, bool writable) {
    // A fault ends the process on a thread that blocks the signal.
    sigset_t blocked;
    if (!writable && (pthread_sigmask(SIG_BLOCK, NULL, &blocked) != 0 || sigismember(&blocked, SIGBUS)))
        return false;
    pthread_once(&installation, install);
    uint32_t index = 0;
    while (index < used_entries && mappings[index].address != 0) index++;
    if (index >= (writable ? MAPPINGS_MAX : LOADS_MAX)) return false;
    mappings[index].length = length;
    mappings[index].is_lost = 0;
    __atomic_store_n(&mappings[index].address, (uintptr_t)address, __ATOMIC_RELEASE);
    if (index == used_entries) __atomic_store_n(&used_entries, index + 1, __ATOMIC_RELEASE);
    return true;
}

void loom_unwatch_mapping(const void *address) {
    for (uint32_t index = 0; index < used_entries; index++) {
        if (mappings[index].address != (uintptr_t)address) continue;
        __atomic_store_n(&mappings[index].address, 0, __ATOMIC_RELEASE);
        // While some are lost, every store looks whether it is its own that is.
        if (__atomic_exchange_n(&mappings[index].is_lost, 0, __ATOMIC_SEQ_CST))
            __atomic_sub_fetch(&loom_lost_mappings_word, 1, __ATOMIC_SEQ_CST);
    }
}

void loom_forget_mappings(void) {
    for (uint32_t index = 0; index < used_entries; index++) {
        __atomic_store_n(&mappings[index].address, 0, __ATOMIC_RELEASE);
        mappings[index].is_lost = 0;
    }
    __atomic_store_n(&loom_lost_mappings_word, 0, __ATOMIC_SEQ_CST);
}

bool loom_mapping_is_lost(const void *address) {
    struct mapping *entry = entry_at((uintptr_t)address);
    return entry && __atomic_load_n(&entry->is_lost, __ATOMIC_SEQ_CST);
}
