#pragma once  // common/base/vector_versions.h: one loop compiled for several vector units; the CPU picks when
              // it loads

// Before a function of plain loops, in a source that is compiled with -O3: the compiler vectorises them once
// for each of these. All versions give the same bits only where the compiler may not fuse a multiplication
// with an addition: add -ffp-contract=off. The versions are chosen while the program is loaded, before the
// sanitizers are ready for it.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__) && \
    !defined(__SANITIZE_ADDRESS__)
#define MUSTER_VECTOR_VERSIONS __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define MUSTER_VECTOR_VERSIONS
#endif
