#pragma once  // common/platform/memory.h: what a program that has started no longer needs

namespace muster {

// Unmaps the pages of code that were read so far, and gives freed heap back to the kernel. Most of the code
// that a program runs to start (relocations, registries, parsing of flags) it never runs again; what it does
// run comes back from the page cache at a minor fault each. Of no effect on what the program does.
void release_startup_memory();

}  // namespace muster
