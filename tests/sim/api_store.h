#pragma once  // tests/sim/api_store.h: the model API server's objects: versions, preconditions, deletion, a
              // history
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/base/clock.h"
#include "common/json/fields.h"
#include "kube/request.h"

namespace muster::sim {

// What the server says no with, as a Status object tells it.
struct Refusal {
  int code = 0;
  std::string reason, message;
};

struct StoredEvent {
  std::uint64_t version = 0;
  std::string type;      // ADDED, MODIFIED, DELETED
  std::string key;       // "namespace/name"
  std::string text;      // the object
  std::string previous;  // empty when it was added
  bool managed = false;  // has the label that the operator selects by
};

// Resources are named by their plural. One etcd: versions count over all of them. Removing follows the rules
// of the API server: graceful for running pods, finalizers first, propagation by finalizers for the
// collector.
class ApiStore {
 public:
  explicit ApiStore(std::function<WallTime()> wall) : wall_(std::move(wall)) {}

  bool serves_groups = false;  // PodGroups of scheduler-plugins

  [[nodiscard]] const Json* find(const std::string& resource, const std::string& key) const;
  [[nodiscard]] std::vector<const Json*> all(const std::string& resource) const;  // by key
  [[nodiscard]] const std::string& text(const std::string& resource, const std::string& key) const;
  [[nodiscard]] std::uint64_t version() const { return version_; }

  // The answer is the stored object.
  std::variant<const Json*, Refusal> create(const std::string& resource, Json object);
  // `edit` changes a copy; nothing is stored when it changes nothing. Its spec counts as a new generation.
  std::variant<const Json*, Refusal> update(const std::string& resource, const std::string& key,
                                            const std::function<std::optional<Refusal>(Json&)>& edit);
  // Returns the object's last state, or its state as terminating.
  std::variant<Json, Refusal> remove(const std::string& resource, const std::string& key,
                                     const kube::DeleteOptions& options);

  // As it was at `version`, which no compaction has reached: texts by key.
  [[nodiscard]] std::map<std::string, std::string> list_at(const std::string& resource,
                                                           std::uint64_t version) const;
  [[nodiscard]] std::uint64_t compacted(const std::string& resource) const;  // up to this version
  [[nodiscard]] bool is_compacted(const std::string& resource, std::uint64_t since) const;
  // The first event after `since`.
  [[nodiscard]] const StoredEvent* event_after(const std::string& resource, std::uint64_t since) const;
  void compact();  // forgets all events up to now

  // After each change, in order: the resource, before (null: created) and after (null: gone).
  using Listener = std::function<void(const std::string& resource, const Json* before, const Json* after)>;
  void listen(Listener listener) { listeners_.push_back(std::move(listener)); }

 private:
  struct Stored {
    Json object;
    std::string text;
  };
  struct Collection {
    std::map<std::string, Stored> objects;
    std::deque<StoredEvent> events;
    std::uint64_t compacted = 0;
  };
  const Json* put(const std::string& resource, const std::string& key, Json object);
  Json erase(const std::string& resource, const std::string& key);
  void tell(const std::string& resource, const Json* before, const Json* after) const;

  std::function<WallTime()> wall_;
  std::map<std::string, Collection> collections_;
  std::vector<Listener> listeners_;
  std::uint64_t version_ = 100;
  std::uint64_t next_uid_ = 1;
};

[[nodiscard]] std::string key_of(const Json& object);  // "namespace/name", "name" when cluster-scoped

}  // namespace muster::sim
