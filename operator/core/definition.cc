// operator/core/definition.cc: definitions (CRDs) of the cluster that are older than the operator
#include "operator/core/definition.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/json/access.h"

namespace muster::op {
namespace {

constexpr auto kLook = std::chrono::seconds(30);  // nothing tells that a definition has been applied

std::string missing_in(const Json& sent, const Json& kept, const std::string& path) {
  if (sent.is_object()) {
    for (const auto& [name, value] : sent.items()) {
      if (value.is_null()) continue;  // was removed
      std::string here = fmt::format("{}.{}", path, name);
      if (!kept.is_object() || !kept.contains(name)) return here;
      if (std::string inner = missing_in(value, kept[name], here); !inner.empty()) return inner;
    }
  } else if (sent.is_array() && kept.is_array()) {
    for (std::size_t i = 0; i < std::min(sent.size(), kept.size()); ++i)
      if (std::string inner = missing_in(sent[i], kept[i], path + "[]"); !inner.empty()) return inner;
  }
  return "";
}

}  // namespace

std::string field_not_kept(const Json& patch, const Json& kept) {
  const auto sent = patch.find("status");
  return sent == patch.end() ? "" : missing_in(*sent, member(kept, "status"), "status");
}

void tell_definition(Pass& pass) {
  if (!pass.seen.unkept) return;
  if (!pass.seen.unkept->empty()) {
    const std::string message = fmt::format(
        "the cluster's definition {}.muster.dev is older than the operator ({}): it has no field {}, in "
        "which the "
        "operator keeps what it has decided; apply the definitions of the operator's version (helm upgrade "
        "with "
        "crds.install=true, or kubectl apply -f crds/), and this object goes on",
        std::string(pass.kind) == "DistributedJob" ? "distributedjobs" : "federatedrounds", MUSTER_VERSION,
        *pass.seen.unkept);
    if (!api::is_true(pass.before.conditions, kDefinitionOutdated))
      pass.event("Warning", kDefinitionOutdated, message);
    pass.condition(kDefinitionOutdated, true, "FieldNotKept", message);
    pass.again_at(pass.seen.now + kLook);
  } else if (api::is_true(pass.after.conditions, kDefinitionOutdated)) {
    pass.condition(kDefinitionOutdated, false, "FieldsKept",
                   "the definition has the fields of this operator");
  }
}

}  // namespace muster::op
