// local/api/rest_delete.cc: delete: preconditions, grace, finalizers, propagation
#include <fmt/format.h>

#include <algorithm>

#include "common/base/rfc3339.h"
#include "local/api/conversion.h"
#include "local/api/metadata.h"
#include "local/api/rest.h"

namespace muster::local {
namespace {

constexpr std::int64_t kGraceSecondsMax = 3'000'000'000;  // a hundred years: a time that the clock can tell
constexpr std::string_view kOrphan = "orphan";
constexpr std::string_view kForeground = "foregroundDeletion";

void set_finalizer(Json& object, std::string_view finalizer, bool wanted) {
  std::vector<std::string> names = finalizers_of(object);
  std::erase(names, std::string(finalizer));
  if (wanted) names.emplace_back(finalizer);
  if (names.empty())
    object["metadata"].erase("finalizers");
  else
    object["metadata"]["finalizers"] = names;
}

// How long the pod may take to end: 0 unless a node runs it.
std::int64_t pod_grace(const Json& pod, const DeleteOptions& options) {
  const Json& spec = object_of(pod, "spec");
  const std::string phase = text_at(object_of(pod, "status"), "phase");
  if (text_at(spec, "nodeName").empty() || phase == "Succeeded" || phase == "Failed") return 0;
  std::int64_t grace = 30;
  if (const auto it = spec.find("terminationGracePeriodSeconds"); it != spec.end() && it->is_number_integer())
    grace = it->get<std::int64_t>();
  return std::clamp<std::int64_t>(options.grace_seconds.value_or(grace), 0, kGraceSecondsMax);
}

}  // namespace

ApiStatus Rest::set_deletion(const Kind& kind, Json& object, const DeleteOptions& options,
                             bool& remove_now) const {
  const std::string resource = kind.resource();
  if (options.propagation == "Orphan" || options.propagation == "Foreground" ||
      options.propagation == "Background") {
    set_finalizer(object, kOrphan, options.propagation == "Orphan");
    set_finalizer(object, kForeground, options.propagation == "Foreground");
  }
  const std::int64_t grace = resource == "pods" ? pod_grace(object, options) : 0;
  Json& metadata = object["metadata"];
  const bool held = !finalizers_of(object).empty() ||
                    (resource == "namespaces" && !array_of(object_of(object, "spec"), "finalizers").empty());
  const bool first = !metadata.contains("deletionTimestamp");
  if (first || grace < metadata.value("deletionGracePeriodSeconds", std::int64_t{0})) {
    metadata["deletionTimestamp"] = rfc3339(std::chrono::system_clock::now() + std::chrono::seconds(grace));
    metadata["deletionGracePeriodSeconds"] = grace;
    if (kind.custom || kind.has_generation) metadata["generation"] = metadata.value("generation", 0) + 1;
  }
  if (resource == "namespaces") {
    object["status"]["phase"] = "Terminating";
    metadata.erase("deletionGracePeriodSeconds");
  }
  remove_now = !held && metadata.value("deletionGracePeriodSeconds", std::int64_t{0}) == 0;
  return {};
}

ApiResult<Deletion> Rest::remove(const Kind& kind, const std::string& ns, const std::string& name,
                                 const DeleteOptions& options) {
  while (true) {
    const ObjectPtr stored = store_.get(kind.storage(), ns, name);
    if (!stored) return ApiError::not_found(kind.resource(), name);
    if (!options.uid.empty() && options.uid != stored->uid)
      return ApiError::conflict(
          kind.group_kind(), name,
          fmt::format("the UID in the precondition ({}) does not match the UID in record ({}). "
                      "The object might have been deleted and then recreated",
                      options.uid, stored->uid));
    if (!options.resource_version.empty() && options.resource_version != std::to_string(stored->version))
      return ApiError::conflict(
          kind.group_kind(), name,
          fmt::format("the ResourceVersion in the precondition ({}) does not match the "
                      "ResourceVersion in record ({}). The object might have been modified",
                      options.resource_version, stored->version));
    Json old = stored->json();
    to_served(kind, old);
    if (kind.resource() == "namespaces" &&
        (name == "default" || name == "kube-system" || name == "kube-public"))
      return ApiError::forbidden("namespaces", name, "this namespace may not be deleted");
    Json object = old;
    bool remove_now = false;
    if (auto set = set_deletion(kind, object, options, remove_now); !set) return set.error();
    if (options.dry_run) return Deletion{old, remove_now};
    if (remove_now) {
      auto removed = store_.remove(kind.storage(), ns, name, stored->version);
      if (!removed) continue;  // another writer came between
      Json last = (*removed)->json();
      to_served(kind, last);
      if (hooks_ != nullptr) hooks_->removed(kind, last);
      return Deletion{std::move(last), true};
    }
    if (object == old) return Deletion{std::move(old), false};
    to_stored(kind, object);
    auto written = store_.replace(kind.storage(), object, stored->version);
    if (!written) continue;
    Json json = (*written)->json();
    to_served(kind, json);
    if (hooks_ != nullptr) hooks_->wrote(kind, json, false);
    return Deletion{std::move(json), false};
  }
}

}  // namespace muster::local
