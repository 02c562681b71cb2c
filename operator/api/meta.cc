// operator/api/meta.cc: metadata, times and conditions from and to JSON
#include "operator/api/meta.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

namespace muster::op::api {
namespace {

std::string text(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::int64_t number(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number_integer() ? found->get<std::int64_t>() : 0;
}

// Two digits at `at`, or -1.
int two_digits(const std::string& text, std::size_t at) {
  if (at + 2 > text.size()) return -1;
  const auto digit = [&](std::size_t i) { return text[i] >= '0' && text[i] <= '9' ? text[i] - '0' : -100; };
  return digit(at) * 10 + digit(at + 1);
}

}  // namespace

Result<ObjectMeta> meta_from_json(const Json& object) {
  const auto found = object.is_object() ? object.find("metadata") : object.end();
  if (!object.is_object() || found == object.end() || !found->is_object())
    return invalid_argument("the object has no metadata");
  const Json& metadata = *found;
  ObjectMeta meta;
  meta.name = text(metadata, "name");
  meta.ns = text(metadata, "namespace");
  meta.uid = text(metadata, "uid");
  meta.resource_version = text(metadata, "resourceVersion");
  meta.generation = number(metadata, "generation");
  if (const std::string deletion = text(metadata, "deletionTimestamp"); !deletion.empty())
    meta.deletion = parse_time(deletion).value_or(WallTime{});
  if (meta.name.empty() || meta.uid.empty())
    return invalid_argument(
        fmt::format("object \"{}\": metadata has no {}", meta.name, meta.name.empty() ? "name" : "uid"));
  return meta;
}

std::string format_time(WallTime time) {
  const std::time_t seconds =
      std::chrono::system_clock::to_time_t(std::chrono::floor<std::chrono::seconds>(time));
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                     utc.tm_hour, utc.tm_min, utc.tm_sec);
}

std::optional<WallTime> parse_time(const std::string& text) {
  const int century = two_digits(text, 0);
  const int year = two_digits(text, 2);
  const int month = two_digits(text, 5);
  const int day = two_digits(text, 8);
  const int hour = two_digits(text, 11);
  const int minute = two_digits(text, 14);
  const int second = two_digits(text, 17);
  if (std::min({century, year, month, day, hour, minute, second}) < 0 || month < 1 || month > 12 || day < 1 ||
      day > 31)
    return std::nullopt;
  if (text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != 't')) return std::nullopt;
  std::size_t at = 19;
  std::int64_t microseconds = 0;
  if (at < text.size() && text[at] == '.') {
    std::int64_t unit = 100'000;
    for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, unit /= 10)
      microseconds += unit * (text[at] - '0');
  }
  std::int64_t offset_seconds = 0;
  if (at < text.size() && (text[at] == '+' || text[at] == '-')) {
    const int hours = two_digits(text, at + 1);
    const int minutes = two_digits(text, at + 4);
    if (hours < 0 || minutes < 0) return std::nullopt;
    offset_seconds = (hours * 3600 + minutes * 60) * (text[at] == '-' ? -1 : 1);
  } else if (at >= text.size() || (text[at] != 'Z' && text[at] != 'z')) {
    return std::nullopt;
  }
  std::tm utc{};
  utc.tm_year = century * 100 + year - 1900;
  utc.tm_mon = month - 1;
  utc.tm_mday = day;
  utc.tm_hour = hour;
  utc.tm_min = minute;
  utc.tm_sec = second;
  // The clock counts nanoseconds: it ends in 2262, RFC 3339 in 9999. Within this bound, ages can be told as
  // well.
  constexpr std::int64_t kSecondsMax = 7'000'000'000;
  const std::int64_t seconds = std::clamp<std::int64_t>(timegm(&utc), -kSecondsMax, kSecondsMax);
  return WallTime(std::chrono::seconds(seconds - offset_seconds)) + std::chrono::microseconds(microseconds);
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
    if (!item.is_object() || text(item, "type").empty() || find_condition(conditions, text(item, "type")))
      continue;
    Condition condition;
    condition.type = text(item, "type");
    condition.status = text(item, "status") == "True";
    condition.observed_generation = number(item, "observedGeneration");
    condition.last_transition = parse_time(text(item, "lastTransitionTime")).value_or(WallTime{});
    condition.reason = text(item, "reason");
    condition.message = text(item, "message");
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
                    {"lastTransitionTime", format_time(condition.last_transition)},
                    {"reason", condition.reason},
                    {"message", condition.message}});
  }
  return list;
}

}  // namespace muster::op::api
