// local/api/render.cc: objects, lists and watch events as text
#include "local/api/render.h"

#include <fmt/format.h>

#include "local/api/conversion.h"
#include "local/api/metadata.h"

namespace muster::local {
namespace {

Json list_meta(const ListMeta& meta, bool custom) {
  Json json{{"resourceVersion", std::to_string(meta.version)}};
  if (custom || !meta.next.empty()) json["continue"] = meta.next;
  if (meta.remaining) json["remainingItemCount"] = *meta.remaining;
  return json;
}

Json table_frame(const Kind& kind, const Format& format, Json metadata, bool columns) {
  return Json{{"kind", "Table"},
              {"apiVersion", format.meta_version()},
              {"metadata", std::move(metadata)},
              {"columnDefinitions", columns ? table_columns(kind) : Json()},
              {"rows", Json::array()}};
}

Json as_served(const Kind& kind, const StoredObject& object) {
  Json json = object.json();
  to_served(kind, json);
  return json;
}

}  // namespace

std::string object_text(const Kind& kind, const StoredObject& object) {
  // Keys are sorted, so apiVersion comes first.
  constexpr std::string_view kStart = "{\"apiVersion\":\"";
  const std::string_view text = object.text;
  const std::string version = kind.api_version();
  if (!kind.restated && text.substr(0, kStart.size()) == kStart) {
    const std::string_view rest = text.substr(kStart.size());
    if (rest.substr(0, version.size()) == version && rest.substr(version.size(), 1) == "\"")
      return object.text;
  }
  return as_served(kind, object).dump();
}

std::string render_object(const Kind& kind, const Json& object, const Format& format) {
  const int indent = format.pretty ? 2 : -1;
  const auto lossy = Json::error_handler_t::replace;
  if (format.partial())
    return partial_metadata(object, format.meta_version()).dump(indent, ' ', false, lossy);
  if (format.kind == Format::Kind::kPlain) return object.dump(indent, ' ', false, lossy);
  Json table =
      table_frame(kind, format, Json{{"resourceVersion", meta_text(object, "resourceVersion")}}, true);
  table["rows"].push_back(
      table_row(kind, object, format.include, std::chrono::system_clock::now(), format.meta_version()));
  return table.dump(indent, ' ', false, lossy);
}

std::string render_event(const Kind& kind, std::string_view type, const StoredObject& object,
                         const Format& format, bool first) {
  std::string text;
  text.append("{\"type\":\"").append(type).append("\",\"object\":");
  if (format.kind == Format::Kind::kPlain) {
    text += object_text(kind, object);
  } else {
    const Json json = as_served(kind, object);
    if (format.partial()) {
      text += partial_metadata(json, format.meta_version()).dump();
    } else {
      Json table =
          table_frame(kind, format, Json{{"resourceVersion", std::to_string(object.version)}}, first);
      table["rows"].push_back(
          table_row(kind, json, format.include, std::chrono::system_clock::now(), format.meta_version()));
      text += table.dump();
    }
  }
  return text += "}\n";
}

std::string render_bookmark(const Kind& kind, std::uint64_t version, const Format& format,
                            bool initial_events_end) {
  Json metadata{{"resourceVersion", std::to_string(version)}};
  if (initial_events_end) metadata["annotations"]["k8s.io/initial-events-end"] = "true";
  Json object{{"kind", kind.kind}, {"apiVersion", kind.api_version()}, {"metadata", metadata}};
  if (format.kind == Format::Kind::kTable) {
    object = table_frame(kind, format, Json{{"resourceVersion", std::to_string(version)}}, false);
    const Json marker{
        {"kind", "PartialObjectMetadata"}, {"apiVersion", format.meta_version()}, {"metadata", metadata}};
    Json cells = Json::array();
    for (std::size_t i = 0; i < table_columns(kind).size(); ++i) cells.push_back(i == 0 ? Json("") : Json());
    object["rows"].push_back(Json{{"cells", cells}, {"object", marker}});
  } else if (format.partial()) {
    object = partial_metadata(object, format.meta_version());
  }
  return Json{{"type", "BOOKMARK"}, {"object", std::move(object)}}.dump() + "\n";
}

std::string render_error_event(const ApiError& error) {
  return Json{{"type", "ERROR"}, {"object", error.status()}}.dump() + "\n";
}

std::string render_list(const Kind& kind, const std::vector<ObjectPtr>& objects, const ListMeta& meta,
                        const Format& format) {
  const int indent = format.pretty ? 2 : -1;
  const WallTime now = std::chrono::system_clock::now();
  if (format.kind == Format::Kind::kTable) {
    Json table = table_frame(kind, format, list_meta(meta, kind.custom), true);
    for (const ObjectPtr& object : objects)
      table["rows"].push_back(
          table_row(kind, as_served(kind, *object), format.include, now, format.meta_version()));
    return table.dump(indent);
  }
  if (format.partial()) {
    Json list{{"kind", "PartialObjectMetadataList"},
              {"apiVersion", format.meta_version()},
              {"metadata", list_meta(meta, false)}};
    list["items"] = Json::array();
    for (const ObjectPtr& object : objects)
      list["items"].push_back(partial_metadata(object->json(), format.meta_version()));
    return list.dump(indent);
  }
  if (format.pretty) {
    Json list{{"kind", kind.list_kind},
              {"apiVersion", kind.api_version()},
              {"metadata", list_meta(meta, kind.custom)}};
    list["items"] = Json::array();
    for (const ObjectPtr& object : objects) list["items"].push_back(as_served(kind, *object));
    return list.dump(indent);
  }
  std::string text = fmt::format("{{\"apiVersion\":\"{}\",\"items\":[", kind.api_version());
  for (std::size_t i = 0; i < objects.size(); ++i) {
    if (i > 0) text += ',';
    text += object_text(kind, *objects[i]);
  }
  return text + fmt::format("],\"kind\":\"{}\",\"metadata\":{}}}", kind.list_kind,
                            list_meta(meta, kind.custom).dump());
}

}  // namespace muster::local
