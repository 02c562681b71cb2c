// local/api/table.cc: tables of custom resources, and the frame of all tables
#include "local/api/table.h"

#include <fmt/format.h>

#include <cmath>

#include "common/base/rfc3339.h"
#include "local/api/json_path.h"
#include "local/api/metadata.h"

namespace muster::local {
namespace {

constexpr const char* kNameDescription =
    "Name must be unique within a namespace. Is required when creating resources.";

Json column(const std::string& name, const std::string& type, const std::string& format,
            const std::string& description, int priority) {
  return Json{{"name", name},
              {"type", type},
              {"format", format},
              {"description", description},
              {"priority", priority}};
}

// As Go prints a value.
std::string plain_text(const Json& value) {
  if (value.is_null()) return "<no value>";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float() && std::trunc(value.get<double>()) == value.get<double>() &&
      std::fabs(value.get<double>()) < 1e15)
    return std::to_string(value.get<std::int64_t>());
  return value.dump();
}

Json date_cell(const std::string& text, WallTime now) {
  if (text.empty()) return "<unknown>";
  return parse_rfc3339(text) ? age(text, now) : "<invalid>";
}

// A path may lead to several values: a real server shows the first.
Json cell(const PrinterColumn& column, const Json& object, WallTime now) {
  const auto path = JsonPath::compile(column.json_path);
  if (!path) return nullptr;
  const auto found = path->find(object);
  if (found.empty()) return nullptr;
  const Json& first = *found.front();
  if (column.type == "string") return plain_text(first);
  if (column.type == "integer" && first.is_number_float())
    return std::fabs(first.get<double>()) < 9e18 ? Json(static_cast<std::int64_t>(first.get<double>()))
                                                 : Json();
  if (column.type == "integer" || column.type == "number") return first.is_number() ? first : Json();
  if (column.type == "boolean") return first.is_boolean() ? first : Json();
  if (column.type == "date" && first.is_string()) return date_cell(first.get<std::string>(), now);
  return nullptr;
}

// A row of a pod that has ended says so.
void add_completion(const Json& pod, Json& row) {
  const std::string phase = text_at(object_of(pod, "status"), "phase");
  if (phase != "Succeeded" && phase != "Failed") return;
  row["conditions"] = Json::array(
      {Json{{"type", "Completed"},
            {"status", "True"},
            {"reason", phase},
            {"message", phase == "Failed" ? "The pod failed." : "The pod has completed successfully."}}});
}

std::vector<PrinterColumn> columns_of(const Kind& kind) {
  if (!kind.columns.empty()) return kind.columns;
  return {PrinterColumn{"Age", "date", "", "", ".metadata.creationTimestamp", 0}};
}

}  // namespace

Json table_columns(const Kind& kind) {
  Json columns = Json::array();
  if (!kind.custom) {
    for (const PrinterColumn& each : builtin_columns(kind))
      columns.push_back(column(each.name, each.type, each.format, each.description, each.priority));
    return columns;
  }
  columns.push_back(column("Name", "string", "name", kNameDescription, 0));
  for (const PrinterColumn& each : columns_of(kind)) {
    const std::string description =
        each.description.empty()
            ? fmt::format("Custom resource definition column (in JSONPath format): {}", each.json_path)
            : each.description;
    columns.push_back(column(each.name, each.type, each.format, description, each.priority));
  }
  return columns;
}

Json partial_metadata(const Json& object, const std::string& meta_version) {
  return Json{{"kind", "PartialObjectMetadata"},
              {"apiVersion", meta_version},
              {"metadata", object_of(object, "metadata")}};
}

Json table_row(const Kind& kind, const Json& object, IncludeObject include, WallTime now,
               const std::string& meta_version) {
  Json cells = Json::array();
  if (!kind.custom) {
    cells = builtin_cells(kind, object, now);
  } else {
    cells.push_back(meta_text(object, "name"));
    for (const PrinterColumn& each : columns_of(kind)) cells.push_back(cell(each, object, now));
  }
  Json row{{"cells", std::move(cells)}};
  if (kind.resource() == "pods") add_completion(object, row);
  if (include == IncludeObject::kMetadata) row["object"] = partial_metadata(object, meta_version);
  if (include == IncludeObject::kObject) row["object"] = object;
  return row;
}

}  // namespace muster::local
