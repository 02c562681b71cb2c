#pragma once  // common/base/thread_annotations.h: what a lock guards, in words that clang checks (./dev lint)

// For fields: MUSTER_GUARDED_BY(mutex_): read and written with the lock held. For functions:
// MUSTER_REQUIRES(mutex_): called with it held; MUSTER_EXCLUDES(mutex_): called without it, because it takes
// it. A template that calls an action under the lock is MUSTER_NO_THREAD_SAFETY_ANALYSIS: the lock that the
// action requires is not known to be its own. Other compilers see nothing of them.
// https://clang.llvm.org/docs/ThreadSafetyAnalysis.html
#if defined(__clang__)
#define MUSTER_THREAD_ANNOTATION(attribute) __attribute__((attribute))
#else
#define MUSTER_THREAD_ANNOTATION(attribute)
#endif

#define MUSTER_CAPABILITY(name) MUSTER_THREAD_ANNOTATION(capability(name))
#define MUSTER_SCOPED_CAPABILITY MUSTER_THREAD_ANNOTATION(scoped_lockable)
#define MUSTER_GUARDED_BY(mutex) MUSTER_THREAD_ANNOTATION(guarded_by(mutex))
#define MUSTER_REQUIRES(...) MUSTER_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define MUSTER_EXCLUDES(...) MUSTER_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))
#define MUSTER_NO_THREAD_SAFETY_ANALYSIS MUSTER_THREAD_ANNOTATION(no_thread_safety_analysis)
#define MUSTER_ACQUIRE(...) MUSTER_THREAD_ANNOTATION(acquire_capability(__VA_ARGS__))
#define MUSTER_RELEASE(...) MUSTER_THREAD_ANNOTATION(release_capability(__VA_ARGS__))
