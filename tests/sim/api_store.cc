// tests/sim/api_store.cc: versions, preconditions, deletion, a history
#include "api_store.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/random.h"
#include "common/base/rfc3339.h"
#include "kube/informer.h"
#include "objects.h"
#include "pod/pod_contract.h"

namespace muster::sim {
namespace {

constexpr int kPodGraceSeconds = 30;

Refusal not_found(const std::string& resource, const std::string& key) {
  return {404, "NotFound", fmt::format("{} \"{}\" not found", resource, key)};
}

bool has_finalizers(const Json& object) {
  const Json& finalizers = member(object, "metadata", "finalizers");
  return finalizers.is_array() && !finalizers.empty();
}

// A pod that no kubelet has, or whose containers have ended, is gone at once.
std::chrono::seconds grace_of(const std::string& resource, const Json& object,
                              const kube::DeleteOptions& options) {
  if (resource != "pods") return std::chrono::seconds(0);
  if (has_ended(object) || text(member(object, "spec", "nodeName")).empty()) return std::chrono::seconds(0);
  return options.grace.value_or(std::chrono::seconds(
      integer(member(object, "spec", "terminationGracePeriodSeconds"), kPodGraceSeconds)));
}

void add_propagation(Json& object, const std::optional<kube::Propagation>& propagation) {
  if (!propagation || *propagation == kube::Propagation::kBackground) return;
  Json& finalizers = object["metadata"]["finalizers"];
  if (!finalizers.is_array()) finalizers = Json::array();
  finalizers.push_back(*propagation == kube::Propagation::kOrphan ? "orphan" : "foregroundDeletion");
}

}  // namespace

std::string key_of(const Json& object) { return kube::object_key(object); }

const Json* ApiStore::find(const std::string& resource, const std::string& key) const {
  const auto collection = collections_.find(resource);
  if (collection == collections_.end()) return nullptr;
  const auto found = collection->second.objects.find(key);
  return found == collection->second.objects.end() ? nullptr : &found->second.object;
}

std::vector<const Json*> ApiStore::all(const std::string& resource) const {
  std::vector<const Json*> objects;
  const auto collection = collections_.find(resource);
  if (collection == collections_.end()) return objects;
  for (const auto& [key, stored] : collection->second.objects) objects.push_back(&stored.object);
  return objects;
}

const std::string& ApiStore::text(const std::string& resource, const std::string& key) const {
  return collections_.at(resource).objects.at(key).text;
}

const Json* ApiStore::put(const std::string& resource, const std::string& key, Json object) {
  Collection& collection = collections_[resource];
  const std::uint64_t version = ++version_;
  object["metadata"]["resourceVersion"] = std::to_string(version);
  const bool managed = muster::text(member(object, "metadata", "labels", kManagedByLabel)) == kManagedBy;
  const auto [at, fresh] = collection.objects.try_emplace(key);
  Stored before = std::exchange(at->second, {.object = std::move(object), .text = {}});
  at->second.text = at->second.object.dump();
  collection.events.push_back({.version = version,
                               .type = fresh ? "ADDED" : "MODIFIED",
                               .key = key,
                               .text = at->second.text,
                               .previous = before.text,
                               .managed = managed});
  tell(resource, fresh ? nullptr : &before.object, &at->second.object);
  return &at->second.object;
}

Json ApiStore::erase(const std::string& resource, const std::string& key) {
  Collection& collection = collections_[resource];
  Stored stored = std::move(collection.objects.at(key));
  collection.objects.erase(key);
  Json before = stored.object;
  stored.object["metadata"]["resourceVersion"] = std::to_string(++version_);
  const bool managed = muster::text(member(before, "metadata", "labels", kManagedByLabel)) == kManagedBy;
  collection.events.push_back({.version = version_,
                               .type = "DELETED",
                               .key = key,
                               .text = stored.object.dump(),
                               .previous = std::move(stored.text),
                               .managed = managed});
  tell(resource, &before, nullptr);
  return std::move(stored.object);
}

void ApiStore::tell(const std::string& resource, const Json* before, const Json* after) const {
  for (const Listener& listener : listeners_) listener(resource, before, after);
}

std::variant<const Json*, Refusal> ApiStore::create(const std::string& resource, Json object) {
  const std::string key = key_of(object);
  if (find(resource, key) != nullptr)
    return Refusal{409, "AlreadyExists", fmt::format("{} \"{}\" already exists", resource, key)};
  Json& metadata = object["metadata"];
  metadata["uid"] =
      fmt::format("{:08x}-5157-4000-8000-000000000000", static_cast<std::uint32_t>(mix64(next_uid_++)));
  metadata["creationTimestamp"] = rfc3339(wall_());
  metadata["generation"] = 1;
  if (resource == "pods") object["status"] = {{"phase", "Pending"}};
  return put(resource, key, std::move(object));
}

std::variant<const Json*, Refusal> ApiStore::update(
    const std::string& resource, const std::string& key,
    const std::function<std::optional<Refusal>(Json&)>& edit) {
  const Json* known = find(resource, key);
  if (known == nullptr) return not_found(resource, key);
  Json object = *known;
  if (auto refusal = edit(object)) return *std::move(refusal);
  object["metadata"]["resourceVersion"] = (*known)["metadata"]["resourceVersion"];
  if (object == *known) return known;
  if (member(object, "spec") != member(*known, "spec"))
    object["metadata"]["generation"] = (*known)["metadata"].value("generation", 0) + 1;
  if (is_terminating(object) && !has_finalizers(object) && resource != "pods") {
    static const Json kGone = Json::object();
    erase(resource, key);
    return &kGone;
  }
  return put(resource, key, std::move(object));
}

std::variant<Json, Refusal> ApiStore::remove(const std::string& resource, const std::string& key,
                                             const kube::DeleteOptions& options) {
  const Json* known = find(resource, key);
  if (known == nullptr) return not_found(resource, key);
  const std::string uid = meta_text(*known, "uid");
  if (!options.uid.empty() && options.uid != uid)
    return Refusal{409, "Conflict",
                   fmt::format("the UID in the precondition ({}) does not match the UID in record ({})",
                               options.uid, uid)};
  Json object = *known;
  if (!is_terminating(object)) add_propagation(object, options.propagation);
  const auto grace = grace_of(resource, object, options);
  if (grace.count() == 0 && !has_finalizers(object)) return erase(resource, key);
  const Json& stated = member(object, "metadata", "deletionGracePeriodSeconds");
  if (stated.is_number() && integer(stated) <= grace.count())
    return object;  // only a shorter grace changes anything
  object["metadata"]["deletionTimestamp"] = rfc3339(wall_() + grace);
  object["metadata"]["deletionGracePeriodSeconds"] = grace.count();
  const Json* stored = put(resource, key, std::move(object));
  return stored == nullptr ? Json() : *stored;
}

std::map<std::string, std::string> ApiStore::list_at(const std::string& resource,
                                                     std::uint64_t version) const {
  std::map<std::string, std::string> texts;
  const auto found = collections_.find(resource);
  if (found == collections_.end()) return texts;
  for (const auto& [key, stored] : found->second.objects) texts[key] = stored.text;
  const auto& events = found->second.events;
  for (auto event = events.rbegin(); event != events.rend() && event->version > version; ++event) {
    if (event->previous.empty())
      texts.erase(event->key);
    else
      texts[event->key] = event->previous;
  }
  return texts;
}

std::uint64_t ApiStore::compacted(const std::string& resource) const {
  const auto found = collections_.find(resource);
  return found == collections_.end() ? 0 : found->second.compacted;
}

bool ApiStore::is_compacted(const std::string& resource, std::uint64_t since) const {
  return since < compacted(resource);
}

const StoredEvent* ApiStore::event_after(const std::string& resource, std::uint64_t since) const {
  const auto found = collections_.find(resource);
  if (found == collections_.end()) return nullptr;
  const auto& events = found->second.events;
  const auto next =
      std::upper_bound(events.begin(), events.end(), since,
                       [](std::uint64_t wanted, const StoredEvent& event) { return wanted < event.version; });
  return next == events.end() ? nullptr : &*next;
}

void ApiStore::compact() {
  for (auto& [resource, collection] : collections_) {
    collection.events.clear();
    collection.compacted = version_;
  }
}

}  // namespace muster::sim
