// operator/api/meta.cc: metadata, times and conditions from and to JSON
#include "operator/api/meta.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/rfc3339.h"
#include "common/json/access.h"

namespace muster::op::api {
Result<ObjectMeta> meta_from_json(const Json& object) {
  const auto found = object.is_object() ? object.find("metadata") : object.end();
  if (!object.is_object() || found == object.end() || !found->is_object())
    return invalid_argument("the object has no metadata");
  const Json& metadata = *found;
  ObjectMeta meta;
  meta.name = text_at(metadata, "name");
  meta.ns = text_at(metadata, "namespace");
  meta.uid = text_at(metadata, "uid");
  meta.resource_version = text_at(metadata, "resourceVersion");
  meta.generation = integer_at(metadata, "generation");
  if (const std::string deletion = text_at(metadata, "deletionTimestamp"); !deletion.empty())
    meta.deletion = parse_rfc3339(deletion).value_or(WallTime{});
  const Json& labels = member(metadata, "labels");
  meta.queue = text_at(labels, "kueue.x-k8s.io/queue-name");
  meta.queue_priority = text_at(labels, "kueue.x-k8s.io/priority-class");
  if (meta.name.empty() || meta.uid.empty())
    return invalid_argument(
        fmt::format("object \"{}\": metadata has no {}", meta.name, meta.name.empty() ? "name" : "uid"));
  return meta;
}

void set_condition(Conditions& conditions, Condition condition, WallTime now) {
  condition.last_transition = std::chrono::floor<std::chrono::seconds>(now);
  const auto found = std::find_if(conditions.begin(), conditions.end(), [&](const Condition& candidate) {
    return candidate.type == condition.type;
  });
  if (found == conditions.end()) {
    conditions.push_back(std::move(condition));
    return;
  }
  if (found->status == condition.status) condition.last_transition = found->last_transition;
  *found = std::move(condition);
}

const Condition* find_condition(const Conditions& conditions, const std::string& type) {
  for (const Condition& condition : conditions)
    if (condition.type == type) return &condition;
  return nullptr;
}

bool is_true(const Conditions& conditions, const std::string& type) {
  const Condition* condition = find_condition(conditions, type);
  return condition != nullptr && condition->status;
}

Conditions conditions_from_json(const Json& list) {
  Conditions conditions;
  if (!list.is_array()) return conditions;
  for (const Json& item : list) {
    if (!item.is_object() || text_at(item, "type").empty() ||
        find_condition(conditions, text_at(item, "type")))
      continue;
    Condition condition;
    condition.type = text_at(item, "type");
    condition.status = text_at(item, "status") == "True";
    condition.observed_generation = integer_at(item, "observedGeneration");
    condition.last_transition = parse_rfc3339(text_at(item, "lastTransitionTime")).value_or(WallTime{});
    condition.reason = text_at(item, "reason");
    condition.message = text_at(item, "message");
    conditions.push_back(std::move(condition));
  }
  return conditions;
}

Json to_json(const Conditions& conditions) {
  Json list = Json::array();
  for (const Condition& condition : conditions) {
    list.push_back({{"type", condition.type},
                    {"status", condition.status ? "True" : "False"},
                    {"observedGeneration", condition.observed_generation},
                    {"lastTransitionTime", rfc3339(condition.last_transition)},
                    {"reason", condition.reason},
                    {"message", condition.message}});
  }
  return list;
}

}  // namespace muster::op::api
