#pragma once  // common/platform/resident_memory.h: how much memory a process holds that waits most of its
              // time

namespace muster {

// Of a process with many threads that each allocate little. Before the first of them.
void keep_heap_small();

// Gives back to the system what only the start has needed: free pages of the heap, and the program's own
// code, which is read from its file again where it runs again. Takes some milliseconds; from any thread.
void give_back_memory();

}  // namespace muster
