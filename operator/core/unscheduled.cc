// operator/core/unscheduled.cc: what a pod may be waiting for while no scheduler speaks of it
#include "operator/core/unscheduled.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/text.h"
#include "common/json/access.h"

namespace muster::op {
namespace {

bool has_one(const Json& list, const char* field, const std::string& value) {
  return list.is_array() &&
         std::ranges::any_of(list, [&](const Json& each) { return text(member(each, field)) == value; });
}

// A claim of a template has a name once it is made.
std::string claims_wanting(const Json& pod) {
  const Json& claims = member(pod, "spec", "resourceClaims");
  std::string told;
  if (!claims.is_array()) return told;
  for (const Json& claim : claims) {
    const std::string of = text(member(claim, "resourceClaimTemplateName"));
    if (!of.empty() &&
        has_one(member(pod, "status", "resourceClaimStatuses"), "name", text(member(claim, "name"))))
      continue;
    told += told.empty() ? ", and is there " : ", ";
    told += of.empty() ? "ResourceClaim " + text(member(claim, "resourceClaimName"))
                       : "ResourceClaimTemplate " + of;
  }
  return told;
}

}  // namespace

std::string words_on_silence(const Json& pod) {
  if (!text(member(pod, "spec", "nodeName")).empty()) return "";
  if (has_one(member(pod, "status", "conditions"), "type", "PodScheduled")) return "";
  std::string scheduler = text(member(pod, "spec", "schedulerName"));
  if (scheduler.empty()) scheduler = "default-scheduler";
  return printable(fmt::format("no scheduler has said anything of it: does scheduler {} run{}?", scheduler,
                               claims_wanting(pod)));
}

}  // namespace muster::op
