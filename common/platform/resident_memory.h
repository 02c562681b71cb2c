#pragma once  // common/platform/resident_memory.h: how much memory a process holds that waits most of its
              // time

namespace muster {

// Of a process with many threads that each allocate little. Before the first of them.
void keep_heap_small();

// Gives the free pages of the heap back to the system, such as the start has needed. Takes some milliseconds;
// from any thread.
void give_back_memory();

}  // namespace muster
