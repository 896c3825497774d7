// The registry of descriptors that a forked child closes: see fork.c.
#pragma once

// Between these two no fork happens. Not recursive.
void loom_guard_lock(void);
void loom_guard_unlock(void);
// Both need the guard held.
void loom_register(int descriptor);
void loom_unregister(int descriptor);
