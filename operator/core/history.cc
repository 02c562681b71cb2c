// operator/core/history.cc: what is kept of an object that has ended, when the object itself is gone
#include "operator/core/history.h"

#include <algorithm>
#include <array>

#include "common/base/rfc3339.h"
#include "common/base/text.h"
#include "common/json/access.h"
#include "common/json/read_json.h"
#include "common/pods/pod_state.h"

namespace muster::op {
namespace {

constexpr std::size_t kMessageBytesMax = 300;
constexpr std::size_t kImageBytesMax = 300;
constexpr std::size_t kResourcesBytesMax = 400;  // a record that tells of all but these is better than none
constexpr std::size_t kDataBytesMax = 768U << 10U;  // an object of the API may have 1 MiB
constexpr auto kRefusalPatience = std::chrono::minutes(10);
constexpr std::array<const char*, 7> kProgress{"step", "totalSteps", "round",           "rounds",
                                               "loss", "accuracy",   "parametersSha256"};

std::string key_of(const api::ObjectMeta& meta) { return meta.name + "." + meta.uid; }

void tell_end(const api::JobStatus& status, Json& record) {
  const bool succeeded = api::is_true(status.conditions, "Succeeded");
  record["result"] = succeeded ? "Succeeded" : "Failed";
  if (const auto* why = api::find_condition(status.conditions, succeeded ? "Succeeded" : "Failed")) {
    record["reason"] = why->reason;
    if (!succeeded) record["message"] = clip(why->message, kMessageBytesMax);
  }
}

void tell_times(const api::JobStatus& status, Json& record) {
  if (status.start_time) record["started"] = rfc3339(*status.start_time);
  if (!status.completion_time) return;
  record["ended"] = rfc3339(*status.completion_time);
  if (!status.start_time) return;
  const auto took =
      std::chrono::duration_cast<std::chrono::seconds>(*status.completion_time - *status.start_time);
  record["seconds"] = std::max<std::int64_t>(took.count(), 0);
}

// Null: its template has none.
const Json& container_of(const RecordedRole& role) {
  static const Json kNone;
  const Json& containers =
      member(role.pod_template == nullptr ? kNone : *role.pod_template, "spec", "containers");
  const bool any = containers.is_array() && !containers.empty();
  return any ? containers[role_container(containers, role.role)] : kNone;
}

void tell_resources(const Json& container, Json& record) {
  Json resources = Json::object();
  for (const char* part : {"limits", "requests"})
    if (const Json& amounts = member(container, "resources", part); amounts.is_object() && !amounts.empty())
      resources[part] = amounts;
  const std::string written = resources.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (!resources.empty() && written.size() <= kResourcesBytesMax) record["resources"] = std::move(resources);
}

void tell_pods(const RecordedPods& pods, Json& record) {
  if (pods.roles.empty()) return;
  std::int64_t count = 0;
  for (const RecordedRole& role : pods.roles) count += role.count;
  record["pods"] = count;
  const Json& first = container_of(pods.roles.front());
  record["image"] = clip(text(member(first, "image"), pods.default_image), kImageBytesMax);
  tell_resources(first, record);
  for (std::size_t i = 1; i < pods.roles.size(); ++i) {
    const RecordedRole& role = pods.roles[i];
    Json& told = record["roles"][role.role] = {{"pods", role.count}};
    tell_resources(container_of(role), told);
  }
}

// Of a record; nothing for what a person has put there.
std::optional<WallTime> ended(const Json& value) {
  if (!value.is_string()) return std::nullopt;
  return parse_rfc3339(text(member(read_json(value.get_ref<const std::string&>()), "ended")));
}

}  // namespace

Json history_record(const api::ObjectMeta& meta, const char* kind, const api::JobStatus& status,
                    const RecordedPods& pods) {
  Json record{{"kind", kind},
              {"name", meta.name},
              {"uid", meta.uid},
              {"restarts", status.restarts},
              {"disruptions", status.disruptions}};
  tell_end(status, record);
  tell_times(status, record);
  for (const char* figure : kProgress)
    if (const Json& value = member(status.progress, figure); value.is_primitive() && !value.is_null())
      record["progress"][figure] = value;
  tell_pods(pods, record);
  return record;
}

void record_end(Pass& pass, const RecordedPods& pods) {
  const bool ends = pass.after.finished() && pass.after.completion_time != pass.before.completion_time;
  if (!pass.seen.keeps_history || !ends) return;
  pass.act(RecordHistory{.key = key_of(pass.meta),
                         .record = history_record(pass.meta, pass.kind, pass.after, pods)});
}

void record_before_deletion(Pass& pass, const RecordedPods& pods, WallTime due) {
  if (!pass.seen.keeps_history || pass.seen.now >= due + kRefusalPatience) return;
  pass.act(RecordHistory{.key = key_of(pass.meta),
                         .record = history_record(pass.meta, pass.kind, pass.before, pods),
                         .must = true});
}

std::vector<std::string> excess_records(const Json& data, const HistoryLimits& limits, WallTime now) {
  if (!data.is_object()) return {};
  std::vector<std::pair<WallTime, std::string>> records;
  std::size_t bytes = 0;
  for (const auto& [key, value] : data.items()) {
    if (value.is_string()) bytes += key.size() + value.get_ref<const std::string&>().size();
    if (const auto when = ended(value)) records.emplace_back(*when, key);
  }
  std::sort(records.begin(), records.end());
  std::vector<std::string> excess;
  const auto drop_first_while = [&](auto wanted) {
    while (excess.size() < records.size() && wanted(records[excess.size()])) {
      const std::string& key = records[excess.size()].second;
      bytes -= key.size() + data[key].get_ref<const std::string&>().size();
      excess.push_back(key);
    }
  };
  drop_first_while([&](const auto& oldest) { return oldest.first + limits.age_max < now; });
  if (records.size() - excess.size() > limits.records_max) {
    const std::size_t kept = limits.records_max - limits.records_max / 10;
    drop_first_while([&](const auto&) { return records.size() - excess.size() > kept; });
  }
  drop_first_while([&](const auto&) { return bytes > kDataBytesMax; });
  return excess;
}

}  // namespace muster::op
