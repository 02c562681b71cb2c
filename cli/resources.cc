// cli/resources.cc: what people call the kinds that `get` and `describe` know
#include "cli/resources.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace muster::cli {
namespace {

struct Known {
  kube::Resource resource;
  std::vector<std::string_view> short_names;
};

const std::vector<Known>& known() {
  static const std::vector<Known> kKnown{
      {kube::kDistributedJobs, {"dj"}},
      {kube::kFederatedRounds, {"fr"}},
      {kube::kPods, {"po"}},
      {kube::kServices, {"svc"}},
      {kube::kEvents, {"ev"}},
      {kube::kNamespaces, {"ns"}},
      {{"", "v1", "nodes", false, "Node"}, {"no"}},
      {{"", "v1", "configmaps", true, "ConfigMap"}, {"cm"}},
      {{"", "v1", "persistentvolumeclaims", true, "PersistentVolumeClaim"}, {"pvc"}},
      {kube::kCustomResourceDefinitions, {"crd", "crds"}},
  };
  return kKnown;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c); });
  return out;
}

}  // namespace

Result<kube::Resource> find_resource(std::string_view word) {
  const std::string wanted = lower(word);
  std::string names;
  for (const Known& one : known()) {
    const bool is_short =
        std::find(one.short_names.begin(), one.short_names.end(), wanted) != one.short_names.end();
    const std::string full = one.resource.plural + "." + one.resource.group;
    if (is_short || wanted == one.resource.plural || wanted == lower(one.resource.kind) || wanted == full) {
      return one.resource;
    }
    names +=
        fmt::format("{}{} ({})", names.empty() ? "" : ", ", one.resource.plural, one.short_names.front());
  }
  return invalid_argument(fmt::format("unknown kind '{}'; known are {}", word, names));
}

bool is_category(std::string_view word) { return word == "muster" || word == "all"; }

std::optional<KindAndName> split_slash(const std::string& word) {
  const std::size_t slash = word.find('/');
  if (slash == std::string::npos || slash == 0 || slash + 1 == word.size()) return std::nullopt;
  return KindAndName{word.substr(0, slash), word.substr(slash + 1)};
}

}  // namespace muster::cli
