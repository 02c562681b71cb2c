// local/api/managed_fields.cc: entries of managedFields, updates and server-side apply
#include "local/api/managed_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "common/base/rfc3339.h"
#include "common/json/read_json.h"
#include "local/api/builtin_types.h"
#include "local/api/metadata.h"

namespace muster::local {
namespace {

struct Entry {
  std::string manager, operation, api_version, subresource, time;
  FieldSet fields;
  [[nodiscard]] bool is(const std::string& name, const char* op, const std::string& version,
                        const std::string& sub) const {
    return manager == name && operation == op && api_version == version && subresource == sub;
  }
};
using Entries = std::vector<Entry>;

// The schema of field management: a CRD's own, with real metadata.
Schema typed_schema(const Kind& kind) {
  Schema schema = *kind.schema;
  schema.properties["metadata"] = object_meta_schema();
  return schema;
}

// What nobody owns: identity, and what the server sets.
void strip(FieldSet& set) {
  set.children.erase("f:apiVersion");
  set.children.erase("f:kind");
  const auto metadata = set.children.find("f:metadata");
  if (metadata == set.children.end()) return;
  metadata->second.member = false;
  for (const char* name :
       {"name", "namespace", "creationTimestamp", "selfLink", "uid", "generation", "managedFields",
        "resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds"})
    metadata->second.children.erase(std::string("f:") + name);
  if (metadata->second.empty()) set.children.erase(metadata);
}

Entries read_entries(const Json& object) {
  Entries entries;
  for (const Json& from : array_of(object_of(object, "metadata"), "managedFields")) {
    Entry entry{text_at(from, "manager"),    text_at(from, "operation"),
                text_at(from, "apiVersion"), text_at(from, "subresource"),
                text_at(from, "time"),       FieldSet::from_json(object_of(from, "fieldsV1"))};
    if (entry.operation == "Apply" || entry.operation == "Update") entries.push_back(std::move(entry));
  }
  return entries;
}

void write_entries(Json& object, Entries entries) {
  std::erase_if(entries, [](const Entry& entry) { return entry.fields.empty(); });
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    if (a.operation != b.operation) return a.operation < b.operation;
    if (a.time != b.time) return a.time < b.time;
    if (a.manager != b.manager) return a.manager < b.manager;
    return a.api_version != b.api_version ? a.api_version < b.api_version : a.subresource < b.subresource;
  });
  Json list = Json::array();
  for (const Entry& entry : entries) {
    Json json{{"manager", entry.manager},
              {"operation", entry.operation},
              {"apiVersion", entry.api_version},
              {"fieldsType", "FieldsV1"},
              {"fieldsV1", entry.fields.to_json()}};
    if (!entry.time.empty()) json["time"] = entry.time;
    if (!entry.subresource.empty()) json["subresource"] = entry.subresource;
    list.push_back(std::move(json));
  }
  if (list.empty())
    object["metadata"].erase("managedFields");
  else
    object["metadata"]["managedFields"] = std::move(list);
}

Json without_managed(Json object) {
  if (object.contains("metadata")) object["metadata"].erase("managedFields");
  return object;
}

ApiError conflict_error(const std::vector<std::pair<std::string, FieldSet>>& conflicts) {
  Json causes = Json::array();
  std::string text;
  std::size_t count = 0;
  for (const auto& [who, fields] : conflicts)
    fields.paths("", [&, owner = who](const std::string& path) {
      ++count;
      causes.push_back(
          Json{{"reason", "FieldManagerConflict"}, {"message", "conflict with " + owner}, {"field", path}});
    });
  if (count == 1) {
    text =
        fmt::format("conflict with {}: {}", conflicts.front().first, causes[0]["field"].get<std::string>());
  } else {
    for (const auto& [who, fields] : conflicts) {
      text += (text.empty() ? "" : "\n") + ("conflicts with " + who + ":");
      fields.paths("", [&](const std::string& path) { text += "\n- " + path; });
    }
  }
  return {409, "Conflict",
          fmt::format("Apply failed with {} conflict{}: {}", count, count == 1 ? "" : "s", text),
          Json{{"causes", causes}}};
}

std::string manager_text(const Entry& entry) {
  std::string text = go_quote(entry.manager);
  if (entry.operation != "Update") return text;
  if (!entry.subresource.empty()) text += " with subresource " + go_quote(entry.subresource);
  return text + " using " + entry.api_version;
}

}  // namespace

void record_update(const Kind& kind, const Json* old, Json& object, const std::string& manager,
                   const std::string& subresource, WallTime now) {
  const Json& sent = object_of(object, "metadata").value("managedFields", Json());
  const bool reset = sent.is_array() && sent.size() == 1 && sent[0].is_object() && sent[0].empty();
  Entries entries = read_entries(object);
  if (entries.empty() && old != nullptr && !reset) entries = read_entries(*old);
  const Schema schema = typed_schema(kind);
  const Json nothing =
      Json{{"apiVersion", kind.api_version()}, {"kind", kind.kind}, {"metadata", Json::object()}};
  object["metadata"].erase("managedFields");  // written anew below; the old one's are no field: see strip()
  Comparison changes = compare_objects(old == nullptr ? nothing : *old, object, schema);
  for (FieldSet* set : {&changes.added, &changes.modified, &changes.removed}) strip(*set);
  FieldSet taken = changes.added;
  taken.insert_all(changes.modified);
  for (Entry& entry : entries) {
    entry.fields.remove_all(changes.removed);
    entry.fields.remove_all(taken);
  }
  if (!taken.empty()) {
    const std::string version = kind.api_version();
    auto own = std::find_if(entries.begin(), entries.end(),
                            [&](const Entry& e) { return e.is(manager, "Update", version, subresource); });
    if (own == entries.end())
      own = entries.insert(own, Entry{manager, "Update", version, subresource, "", {}});
    own->fields.insert_all(taken);
    own->time = rfc3339(now);
  }
  write_entries(object, std::move(entries));
}

namespace {

// What kubectl applied on the client's side and `live` still holds as it did.
FieldSet last_applied(const Json& live, const Schema& schema) {
  const std::string note = text_at(object_of(object_of(live, "metadata"), "annotations"), kLastApplied);
  const Json applied = note.empty() ? Json() : read_json(note);
  if (!applied.is_object()) return {};
  FieldSet fields = fields_of(applied, schema);
  const Comparison changes = compare_objects(applied, live, schema);
  for (const FieldSet* set : {&changes.added, &changes.modified, &changes.removed}) fields.remove_all(*set);
  return fields;
}

void forgive(std::vector<std::pair<std::string, FieldSet>>& conflicts, const FieldSet& allowed) {
  for (auto& [who, fields] : conflicts) fields.remove_all(allowed);
  std::erase_if(conflicts, [](const auto& conflict) { return conflict.second.empty(); });
}

}  // namespace

ApiResult<ApplyOutcome> apply_config(const Kind& kind, const Json& live, const Json& config,
                                     const std::string& manager, const std::string& subresource, bool force) {
  const Schema schema = typed_schema(kind);
  Entries entries = read_entries(live);
  const Json before = without_managed(live);
  FieldSet wanted = fields_of(config, schema);
  strip(wanted);
  if (subresource == "status") {  // a status is all that it can set
    FieldSet status;
    if (wanted.children.count("f:status")) status.children["f:status"] = wanted.children["f:status"];
    wanted = std::move(status);
  } else if (kind.has_status) {
    wanted.children.erase("f:status");
  }
  const std::string version = kind.api_version();
  const auto is_own = [&](const Entry& e) { return e.is(manager, "Apply", version, subresource); };
  auto own = std::find_if(entries.begin(), entries.end(), is_own);
  FieldSet last;
  if (own != entries.end())
    last = own->fields;
  else
    own = entries.insert(entries.end(), Entry{manager, "Apply", version, subresource, "", {}});
  own->fields = wanted;
  Json merged = merge_applied(before, config, schema);
  FieldSet kept;
  for (const Entry& entry : entries) kept.insert_all(entry.fields);
  remove_fields(merged, schema, last, kept);
  Comparison changes = compare_objects(before, merged, schema);
  for (FieldSet* set : {&changes.added, &changes.modified, &changes.removed}) strip(*set);
  FieldSet taken = changes.added;
  taken.insert_all(changes.modified);
  std::vector<std::pair<std::string, FieldSet>> conflicts;
  for (Entry& entry : entries) {
    if (is_own(entry)) continue;
    FieldSet common = entry.fields.intersection(taken);
    if (!common.empty()) {
      conflicts.emplace_back(manager_text(entry), common);
      entry.fields.remove_all(common);
    }
    entry.fields.remove_all(changes.removed);
  }
  if (!force && manager == "kubectl" && !conflicts.empty()) forgive(conflicts, last_applied(before, schema));
  if (!conflicts.empty() && !force) return conflict_error(conflicts);
  ApplyOutcome applied{std::move(merged), !changes.same()};
  write_entries(applied.object, std::move(entries));
  return applied;
}

void stamp_apply(Json& object, const std::string& manager, const std::string& subresource, WallTime now) {
  Entries entries = read_entries(object);
  for (Entry& entry : entries)
    if (entry.manager == manager && entry.operation == "Apply" && entry.subresource == subresource)
      entry.time = rfc3339(now);
  write_entries(object, std::move(entries));
}

}  // namespace muster::local
