#pragma once  // common/spec/history.h: where the records of ended objects are kept: the operator writes,
              // `muster history` reads

namespace muster::spec {

// One ConfigMap a namespace. Each of its data is one record: "<name>.<uid>" -> JSON, the fields of
// operator/core/history.h.
inline constexpr const char* kHistoryConfigMap = "muster-history";

}  // namespace muster::spec
