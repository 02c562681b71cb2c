// local/api/kind.cc: looking kinds up
#include "local/api/kind.h"

#include <algorithm>

namespace muster::local {

void serve_as(const Kind& kind, Json& object) {
  object["apiVersion"] = kind.api_version();
  object["kind"] = kind.kind;
  if (!kind.restated) return;
  std::vector<std::string> unknown;
  prune(object, *kind.schema, unknown);
  apply_defaults(object, *kind.schema);
}

KindTable::KindTable(std::vector<KindPtr> kinds) : kinds_(std::move(kinds)) {}

KindPtr KindTable::find(std::string_view group, std::string_view version, std::string_view plural) const {
  for (const KindPtr& kind : kinds_)
    if (kind->plural == plural && kind->group == group && kind->version == version) return kind;
  return nullptr;
}

KindPtr KindTable::find_kind(std::string_view api_version, std::string_view name) const {
  for (const KindPtr& kind : kinds_)
    if (kind->kind == name && kind->api_version() == api_version) return kind;
  return nullptr;
}

KindPtr KindTable::preferred(std::string_view resource) const {
  for (const KindPtr& kind : kinds_)
    if (kind->resource() == resource) return kind;
  return nullptr;
}

bool KindTable::has_group_version(std::string_view group, std::string_view version) const {
  return std::any_of(kinds_.begin(), kinds_.end(),
                     [&](const KindPtr& kind) { return kind->group == group && kind->version == version; });
}

std::vector<KindTable::GroupVersion> KindTable::group_versions() const {
  std::vector<GroupVersion> all;
  for (const KindPtr& kind : kinds_) {
    const auto same = [&](const GroupVersion& gv) {
      return gv.group == kind->group && gv.version == kind->version;
    };
    if (std::none_of(all.begin(), all.end(), same)) all.push_back({kind->group, kind->version});
  }
  // Versions of a group stand together, where its first one stood.
  std::vector<GroupVersion> grouped;
  for (const GroupVersion& gv : all) {
    const auto known = [&](const GroupVersion& other) { return other.group == gv.group; };
    if (std::any_of(grouped.begin(), grouped.end(), known)) continue;
    std::copy_if(all.begin(), all.end(), std::back_inserter(grouped), known);
  }
  return grouped;
}

Kinds::Kinds() : table_(std::make_shared<const KindTable>(builtin_kinds())) {}

std::shared_ptr<const KindTable> Kinds::table() const {
  const MutexLock lock(mutex_);
  return table_;
}

void Kinds::set_custom(const std::string& crd, std::vector<KindPtr> kinds) {
  const MutexLock lock(mutex_);
  if (kinds.empty())
    custom_.erase(crd);
  else
    custom_[crd] = std::move(kinds);
  std::vector<KindPtr> all = builtin_kinds();
  for (const auto& [name, versions] : custom_) all.insert(all.end(), versions.begin(), versions.end());
  table_ = std::make_shared<const KindTable>(std::move(all));
  ++generation_;
}

std::uint64_t Kinds::generation() const {
  const MutexLock lock(mutex_);
  return generation_;
}

}  // namespace muster::local
