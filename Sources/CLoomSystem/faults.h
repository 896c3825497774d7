// The registry of mappings whose files may be cut under them: see faults.c.
#pragma once

#include <stdbool.h>
#include <stddef.h>

// Watches a mapping from now on; false when too many are watched, or one for loads cannot be, as the
// thread blocks the signal.
bool loom_watch_mapping(void *address, size_t length, bool writable);
void loom_unwatch_mapping(const void *address);
// In a forked child, which has none of them.
void loom_forget_mappings(void);
