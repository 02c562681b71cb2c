#pragma once  // operator/core/labels.h: names that the operator puts on its children (ARCHITECTURE.md, "The
              // pod contract")

namespace muster::op {

inline constexpr const char* kManagedByLabel =
    "app.kubernetes.io/managed-by";  // = kManagedBy: the informer's selector
inline constexpr const char* kManagedBy = "muster";
inline constexpr const char* kJobNameLabel = "muster.dev/job-name";
inline constexpr const char* kJobUidLabel = "muster.dev/job-uid";
inline constexpr const char* kJobKindLabel = "muster.dev/job-kind";
inline constexpr const char* kRoleLabel = "muster.dev/role";
inline constexpr const char* kIndexLabel = "muster.dev/index";
inline constexpr const char* kGenerationLabel = "muster.dev/generation";
inline constexpr const char* kAttemptAnnotation =
    "muster.dev/attempt";  // client pods: replacements before this one
inline constexpr const char* kWorldSizeAnnotation =
    "muster.dev/world-size";  // worker pods: size of their membership

}  // namespace muster::op
