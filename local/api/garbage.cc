// local/api/garbage.cc: dependents go with their owners, or are let go
#include <algorithm>

#include "local/api/controllers.h"
#include "local/api/metadata.h"

namespace muster::local {
namespace {

constexpr std::string_view kOrphan = "orphan";
constexpr std::string_view kForeground = "foregroundDeletion";

struct Key {
  std::string resource, ns, name, uid;
};

Key parse_key(const std::string& text) {
  Key key;
  std::string* parts[] = {&key.resource, &key.ns, &key.name, &key.uid};
  std::size_t at = 0;
  for (const char c : text) {
    if (c == '|' && at < 3)
      ++at;
    else
      *parts[at] += c;
  }
  return key;
}

Json without_owner(const Json& object, const std::string& uid) {
  Json changed = object;
  Json owners = Json::array();
  for (const Json& owner : array_of(object_of(object, "metadata"), "ownerReferences"))
    if (text_at(owner, "uid") != uid) owners.push_back(owner);
  if (owners.empty())
    changed["metadata"].erase("ownerReferences");
  else
    changed["metadata"]["ownerReferences"] = owners;
  changed["metadata"].erase("resourceVersion");
  return changed;
}

WriteOptions collector() {
  WriteOptions options;
  options.manager = "kube-controller-manager";
  options.validation = FieldValidation::kIgnore;
  return options;
}

}  // namespace

bool Controllers::owner_exists(const std::string& uid) const { return uids_.count(uid) > 0; }

// A dependent of an owner that is deleted in the foreground waits for its own dependents likewise; not for
// one that waits for it, which would be a circle.
bool Controllers::waits_for_dependents(const std::string& uid, Policy policy) const {
  const auto it = dependents_.find(uid);
  if (policy != Policy::kForeground || it == dependents_.end()) return false;
  return std::none_of(it->second.begin(), it->second.end(), [this](const std::string& text) {
    const Key key = parse_key(text);
    const ObjectPtr object = store_.get(key.resource, key.ns, key.name);
    if (!object || object->uid != key.uid) return false;
    const Json json = object->json();
    return is_terminating(json) && has_finalizer(json, kForeground);
  });
}

void Controllers::collect_dependents(const std::string& owner_uid, Policy policy) {
  const auto it = dependents_.find(owner_uid);
  if (it == dependents_.end()) return;
  const std::set<std::string> keys = it->second;
  const auto table = kinds_.table();
  for (const std::string& text : keys) {
    const Key key = parse_key(text);
    const KindPtr kind = table->preferred(key.resource);
    const ObjectPtr object = store_.get(key.resource, key.ns, key.name);
    if (!kind || !object || object->uid != key.uid) continue;
    const auto& owners = object->owner_uids;
    const bool other_owner = std::any_of(owners.begin(), owners.end(), [&](const std::string& uid) {
      return uid != owner_uid && owner_exists(uid);
    });
    if (policy == Policy::kOrphan || other_owner) {
      (void)rest_.update(
          *kind, key.ns, key.name,
          [&](const Json& current) -> ApiResult<Json> { return without_owner(current, owner_uid); },
          collector());
      dependents_[owner_uid].erase(text);
    } else {
      DeleteOptions options;
      options.uid = key.uid;
      const Json json = object->json();
      if (!has_finalizer(json, kOrphan) && !has_finalizer(json, kForeground))
        options.propagation = waits_for_dependents(key.uid, policy) ? "Foreground" : "Background";
      (void)rest_.remove(*kind, key.ns, key.name, options);
    }
  }
}

// An owner that was deleted with the orphan or foreground policy waits for us.
void Controllers::finish_owner(const Note& note) {
  const ObjectPtr object = store_.get(note.resource, note.ns, note.name);
  const KindPtr kind = kinds_.table()->preferred(note.resource);
  if (!object || !kind || object->uid != note.uid) return;
  const Json json = object->json();
  if (!is_terminating(json)) return;
  const std::string_view finalizer = has_finalizer(json, kOrphan)       ? kOrphan
                                     : has_finalizer(json, kForeground) ? kForeground
                                                                        : "";
  if (finalizer.empty()) return;
  collect_dependents(note.uid, finalizer == kOrphan ? Policy::kOrphan : Policy::kForeground);
  if (const auto it = dependents_.find(note.uid); it != dependents_.end()) {
    for (const std::string& text : it->second) {
      const Key key = parse_key(text);
      const ObjectPtr dependent = store_.get(key.resource, key.ns, key.name);
      if (!dependent || dependent->uid != key.uid) continue;
      const Json dependent_json = dependent->json();
      for (const Json& owner : array_of(object_of(dependent_json, "metadata"), "ownerReferences"))
        if (text_at(owner, "uid") == note.uid && owner.value("blockOwnerDeletion", Json(false)) == Json(true))
          return;  // its deletion comes back here
    }
  }
  (void)rest_.update(
      *kind, note.ns, note.name,
      [&](const Json& current) -> ApiResult<Json> {
        Json changed = current;
        std::vector<std::string> names = finalizers_of(current);
        std::erase(names, std::string(finalizer));
        changed["metadata"]["finalizers"] = names;
        changed["metadata"].erase("resourceVersion");
        return changed;
      },
      collector());
}

// An object whose owners never were, or are gone already, goes too.
void Controllers::check_owners(const Note& note) {
  const bool any = std::any_of(note.owner_uids.begin(), note.owner_uids.end(),
                               [this](const std::string& uid) { return owner_exists(uid); });
  if (any) return;
  const KindPtr kind = kinds_.table()->preferred(note.resource);
  const ObjectPtr object = store_.get(note.resource, note.ns, note.name);
  if (!kind || !object || object->uid != note.uid) return;
  const Json json = object->json();
  for (const Json& owner : array_of(object_of(json, "metadata"), "ownerReferences")) {
    const KindPtr owner_kind =
        kinds_.table()->find_kind(text_at(owner, "apiVersion"), text_at(owner, "kind"));
    if (!owner_kind) return;  // a kind that we do not know: never guess
    const ObjectPtr found =
        store_.get(owner_kind->resource(), owner_kind->namespaced ? note.ns : "", text_at(owner, "name"));
    if (found && found->uid == text_at(owner, "uid")) return;  // its own note is still on the way
  }
  DeleteOptions options;
  options.uid = note.uid;
  options.propagation = "Background";
  (void)rest_.remove(*kind, note.ns, note.name, options);
}

}  // namespace muster::local
