#pragma once  // local/api/protobuf_body.h: the protobuf bodies that kubectl and helm send, as JSON
#include <string>

#include "common/base/result.h"
#include "common/json/fields.h"

namespace muster::local {

// "k8s\0" and a runtime.Unknown around a ConfigMap, Secret, Namespace, ServiceAccount, Service, Lease,
// Event, SelfSubjectAccessReview, DeleteOptions or Eviction. kInvalidArgument for other kinds, and for
// bytes that are none of it.
[[nodiscard]] Result<Json> decode_protobuf(const std::string& body);

}  // namespace muster::local
