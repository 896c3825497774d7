#include "loomsystem.h"

#include <string.h>

size_t loom_used_bytes(const void *bytes, size_t count) {
    static const char zeros[4096];
    const char *start = bytes;
    // Whole pages first: most of what is looked at was never written.
    while (count >= sizeof zeros && memcmp(start + count - sizeof zeros, zeros, sizeof zeros) == 0)
        count -= sizeof zeros;
    while (count > 0 && start[count - 1] == 0) count--;
    return count;
}
