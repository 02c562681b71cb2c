// local/api/conversion.cc: the table of fields by which the two forms of an Event differ
#include "local/api/conversion.h"

namespace muster::local {
namespace {

struct Renamed {
  const char* served;  // events.k8s.io/v1
  const char* stored;  // v1
};

constexpr Renamed kEventFields[] = {
    {"note", "message"},
    {"regarding", "involvedObject"},
    {"reportingController", "reportingComponent"},
    {"deprecatedCount", "count"},
    {"deprecatedFirstTimestamp", "firstTimestamp"},
    {"deprecatedLastTimestamp", "lastTimestamp"},
    {"deprecatedSource", "source"},
};

void rename(Json& object, const char* from, const char* to) {
  const auto it = object.find(from);
  if (it == object.end()) return;
  Json value = std::move(*it);
  object.erase(it);
  object[to] = std::move(value);
}

// The core form shows these when they are empty, the other one does not.
void drop_empty_text(Json& object, const char* name) {
  if (const auto it = object.find(name); it != object.end() && *it == "") object.erase(it);
}

}  // namespace

void to_served(const Kind& kind, Json& object) {
  serve_as(kind, object);
  if (kind.stored_as.empty()) return;
  for (const Renamed& field : kEventFields) rename(object, field.stored, field.served);
  drop_empty_text(object, "reportingController");
  drop_empty_text(object, "reportingInstance");
}

void to_stored(const Kind& kind, Json& object) {
  if (kind.stored_as.empty()) return;
  object["apiVersion"] = "v1";
  for (const Renamed& field : kEventFields) rename(object, field.served, field.stored);
  for (const char* name : {"reportingComponent", "reportingInstance"})
    if (!object.contains(name)) object[name] = "";
  for (const char* name : {"eventTime", "firstTimestamp", "lastTimestamp"})
    if (!object.contains(name)) object[name] = nullptr;
  if (!object.contains("source")) object["source"] = Json::object();
}

std::string stored_field(const Kind& kind, const std::string& field) {
  if (kind.stored_as.empty()) return field;
  const std::string first = field.substr(0, field.find('.'));
  for (const Renamed& each : kEventFields)
    if (first == each.served) return each.stored + field.substr(first.size());
  return field;
}

}  // namespace muster::local
