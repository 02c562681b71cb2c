// local/api/table.cc: tables of custom resources, and the frame of all tables
#include "local/api/table.h"

#include <fmt/format.h>

#include <map>
#include <mutex>

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

std::string join_values(const std::vector<const Json*>& values) {
  std::string text;
  for (const Json* value : values)
    text += (text.empty() ? "" : ",") + (value->is_string() ? value->get<std::string>() : value->dump());
  return text;
}

Json cell(const PrinterColumn& column, const Json& object, WallTime now) {
  const auto path = JsonPath::compile(column.json_path);
  if (!path) return nullptr;
  const auto found = path->find(object);
  if (found.empty()) return column.type == "date" ? Json("<unknown>") : Json();
  const Json& first = *found.front();
  if (column.type == "integer") return first.is_number() ? Json(first.get<std::int64_t>()) : Json();
  if (column.type == "number") return first.is_number() ? first : Json();
  if (column.type == "boolean") return first.is_boolean() ? first : Json();
  if (column.type == "date")
    return first.is_string() ? Json(age(first.get<std::string>(), now)) : Json("<unknown>");
  if (found.size() == 1 && first.is_null()) return nullptr;
  return join_values(found);
}

std::vector<PrinterColumn> columns_of(const Kind& kind) {
  if (!kind.columns.empty()) return kind.columns;
  return {PrinterColumn{"Age", "date", "", "", ".metadata.creationTimestamp", 0}};
}

}  // namespace

Json table_columns(const Kind& kind) {
  Json columns = Json::array();
  std::vector<PrinterColumn> builtin;
  if (!kind.custom && builtin_columns(kind, builtin)) {
    for (const PrinterColumn& each : builtin)
      columns.push_back(column(each.name, each.type, each.name == "Name" ? "name" : each.format,
                               each.description, each.priority));
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

Json partial_metadata(const Json& object) {
  return Json{{"kind", "PartialObjectMetadata"},
              {"apiVersion", "meta.k8s.io/v1"},
              {"metadata", object_of(object, "metadata")}};
}

Json table_row(const Kind& kind, const Json& object, IncludeObject include, WallTime now) {
  Json cells = Json::array();
  std::vector<PrinterColumn> builtin;
  if (!kind.custom && builtin_columns(kind, builtin)) {
    cells = builtin_cells(kind, object, now);
  } else {
    cells.push_back(meta_text(object, "name"));
    for (const PrinterColumn& each : columns_of(kind)) cells.push_back(cell(each, object, now));
  }
  Json row{{"cells", std::move(cells)}};
  if (include == IncludeObject::kMetadata) row["object"] = partial_metadata(object);
  if (include == IncludeObject::kObject) row["object"] = object;
  return row;
}

}  // namespace muster::local
