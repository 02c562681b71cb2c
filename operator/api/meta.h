#pragma once  // operator/api/meta.h: what every object of ours has: metadata and metav1 conditions
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/json/fields.h"

namespace muster::op::api {

inline constexpr const char* kGroupVersion = "muster.dev/v1alpha1";

// Of an object's name: "<name>-aggregator-0" and "<name>-worker-999" have 63 characters at most. The CRDs say
// the same.
inline constexpr std::size_t kNameMax = 50;

struct ObjectMeta {
  std::string name;
  std::string ns;
  std::string uid;
  std::string resource_version;
  std::int64_t generation = 0;
  std::optional<WallTime> deletion;  // deletionTimestamp: the object is going away
  std::string queue{};               // label kueue.x-k8s.io/queue-name
  std::string queue_priority{};      // label kueue.x-k8s.io/priority-class
};

// Lenient: what the server did not send stays empty. Errors: kInvalidArgument without a name or a uid.
[[nodiscard]] Result<ObjectMeta> meta_from_json(const Json& object);

struct Condition {  // metav1.Condition
  std::string type;
  bool status = false;
  std::int64_t observed_generation = 0;
  WallTime last_transition;
  std::string reason;  // CamelCase, never empty
  std::string message;
  friend bool operator==(const Condition&, const Condition&) = default;
};

using Conditions = std::vector<Condition>;  // at most one a type

// Adds or replaces the condition of its type; `last_transition` moves only when `status` changes.
void set_condition(Conditions& conditions, Condition condition, WallTime now);
[[nodiscard]] const Condition* find_condition(const Conditions& conditions, const std::string& type);
[[nodiscard]] bool is_true(const Conditions& conditions, const std::string& type);

[[nodiscard]] Conditions conditions_from_json(const Json& list);  // malformed entries are dropped
[[nodiscard]] Json to_json(const Conditions& conditions);

}  // namespace muster::op::api
