#pragma once  // cli/resources.h: what people call the kinds that `get` and `describe` know
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kube/request.h"

namespace muster::cli {

// "dj", "distributedjob", "DistributedJobs", "distributedjobs.muster.dev" -> the resource. kInvalidArgument
// with what is known.
[[nodiscard]] Result<kube::Resource> find_resource(std::string_view word);

// "muster" and "all of ours": DistributedJobs and FederatedRounds.
[[nodiscard]] bool is_category(std::string_view word);

// Splits "dj/ring" into kind and name.
struct KindAndName {
  std::string kind, name;
};
[[nodiscard]] std::optional<KindAndName> split_slash(const std::string& word);

}  // namespace muster::cli
