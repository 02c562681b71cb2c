#pragma once  // common/platform/resident_memory.h: how much memory a process holds that waits most of its
              // time

namespace muster {

// Of a process with many threads that each allocate little. Before the first of them.
void keep_heap_small();

// Of a process that holds models: a large block goes back to the system when it is freed. glibc by itself
// keeps those of up to 32 MiB, in as many heaps as it has, once one of them was freed. Before the first
// thread.
void give_back_large_blocks();

// Gives the free pages of the heap back to the system, such as the start has needed. Takes some milliseconds;
// from any thread.
void give_back_memory();

}  // namespace muster
