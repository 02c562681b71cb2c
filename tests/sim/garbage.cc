// tests/sim/garbage.cc: one round of the garbage collector
#include "garbage.h"

#include <algorithm>
#include <set>

#include "objects.h"

namespace muster::sim {
namespace {

constexpr const char* kOwners[] = {"distributedjobs", "federatedrounds"};
constexpr const char* kChildren[] = {"pods", "services", "secrets", "podgroups"};

bool has_finalizer(const Json& object, const char* name) {
  const Json& finalizers = member(object, "metadata", "finalizers");
  return finalizers.is_array() && std::find(finalizers.begin(), finalizers.end(), name) != finalizers.end();
}

void drop_finalizer(ApiStore& store, const char* resource, const std::string& key, const char* name) {
  (void)store.update(resource, key, [&](Json& object) -> std::optional<Refusal> {
    Json& finalizers = object["metadata"]["finalizers"];
    finalizers.erase(std::remove(finalizers.begin(), finalizers.end(), name), finalizers.end());
    return std::nullopt;
  });
}

struct Child {
  const char* resource;
  std::string key, uid;
  bool terminating;
};

std::vector<Child> children_of(const ApiStore& store, const std::string& owner_uid) {
  std::vector<Child> children;
  for (const char* resource : kChildren)
    for (const Json* object : store.all(resource))
      if (owner_of(*object) == owner_uid)
        children.push_back({resource, key_of(*object), meta_text(*object, "uid"), is_terminating(*object)});
  return children;
}

void remove_all(ApiStore& store, const std::vector<Child>& children) {
  for (const Child& child : children)
    if (!child.terminating)
      (void)store.remove(child.resource, child.key,
                         {.uid = child.uid, .resource_version = {}, .propagation = {}, .grace = {}});
}

void disown(ApiStore& store, const std::vector<Child>& children) {
  for (const Child& child : children)
    (void)store.update(child.resource, child.key, [](Json& object) -> std::optional<Refusal> {
      object["metadata"].erase("ownerReferences");
      return std::nullopt;
    });
}

}  // namespace

void collect_garbage(ApiStore& store) {
  std::set<std::string> owners{""};
  struct Leaving {
    const char* resource;
    std::string key, uid;
    bool orphans, foreground;
  };
  std::vector<Leaving> leaving;
  for (const char* resource : kOwners) {
    for (const Json* object : store.all(resource)) {
      owners.insert(meta_text(*object, "uid"));
      const bool orphans = has_finalizer(*object, "orphan");
      const bool foreground = has_finalizer(*object, "foregroundDeletion");
      if (orphans || foreground)
        leaving.push_back({resource, key_of(*object), meta_text(*object, "uid"), orphans, foreground});
    }
  }
  std::set<std::string> gone;
  for (const char* resource : kChildren)
    for (const Json* object : store.all(resource))
      if (!owners.contains(owner_of(*object))) gone.insert(owner_of(*object));
  for (const std::string& uid : gone) remove_all(store, children_of(store, uid));
  for (const Leaving& owner : leaving) {
    const auto children = children_of(store, owner.uid);
    if (owner.orphans) {
      disown(store, children);
      drop_finalizer(store, owner.resource, owner.key, "orphan");
    } else if (children.empty()) {
      drop_finalizer(store, owner.resource, owner.key, "foregroundDeletion");
    } else {
      remove_all(store, children);
    }
  }
}

}  // namespace muster::sim
