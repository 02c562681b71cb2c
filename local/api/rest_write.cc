// local/api/rest_write.cc: create and update: decode, default, validate, keep book of fields, store
#include <fmt/format.h>

#include <algorithm>

#include "local/api/builtin_admission.h"
#include "local/api/conversion.h"
#include "local/api/json_path.h"
#include "local/api/kind_rules.h"
#include "local/api/managed_fields.h"
#include "local/api/metadata.h"
#include "local/api/rest.h"

namespace muster::local {
namespace {

constexpr int kRacesMax = 64;  // lost to other writers before giving up; each loss means that another one won
constexpr std::string_view kModified =
    "the object has been modified; please apply your changes to the latest version and try again";

// The value at a path of an error ("spec.parts[0].name"); null if there is none.
const Json* value_at(const Json& object, const std::string& path) {
  const Json* at = &object;
  std::string name;
  const auto step = [&at, &name] {
    if (name.empty()) return true;
    const auto it = at->is_object() ? at->find(name) : at->end();
    if (!at->is_object() || it == at->end()) return false;
    at = &*it;
    name.clear();
    return true;
  };
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '.') {
      if (!step()) return nullptr;
    } else if (path[i] == '[') {
      if (!step()) return nullptr;
      const auto close = path.find(']', i);
      const std::size_t index = std::strtoul(path.c_str() + i + 1, nullptr, 10);
      if (close == std::string::npos || !at->is_array() || index >= at->size()) return nullptr;
      at = &(*at)[index];
      i = close;
    } else {
      name += path[i];
    }
  }
  return step() ? at : nullptr;
}

// What was wrong before a definition became stricter, and was not touched, does not stop an update.
void forgive_unchanged(const Json& object, const Json& old, FieldErrors& errors) {
  std::erase_if(errors, [&](const FieldError& error) {
    std::string path = error.field;
    const Json* now = value_at(object, path);
    if (now == nullptr && error.reason == "FieldValueRequired" && path.rfind('.') != std::string::npos) {
      path = path.substr(0, path.rfind('.'));
      now = value_at(object, path);
    }
    const Json* before = value_at(old, path);
    return now != nullptr && before != nullptr && *now == *before;
  });
}

// Why a number of replicas cannot be read at `path` (".spec.replicas"), in Go's words; empty if it can, or is
// not there.
std::string accessor_error(const Json& object, const std::string& path) {
  const Json* at = &object;
  const auto complain = [&at](const char* wanted) {
    const std::string shown = at->is_string() ? at->get<std::string>() : at->is_array() ? "[]" : at->dump();
    const char* type = at->is_string()    ? "string"
                       : at->is_boolean() ? "bool"
                       : at->is_array()   ? "[]interface {}"
                       : at->is_number()  ? "float64"
                                          : "map[string]interface {}";
    return fmt::format("{} is of the type {}, expected {}", shown, type, wanted);
  };
  for (std::size_t from = 1; from <= path.size();) {
    const std::size_t end = std::min(path.find('.', from), path.size());
    if (!at->is_object()) return complain("map[string]interface{}");
    const auto it = at->find(path.substr(from, end - from));
    if (it == at->end() || it->is_null()) return {};
    at = &*it;
    from = end + 1;
  }
  return at->is_number_integer() ? "" : complain("int64");
}

// Schema errors of a custom resource. A write of the status judges the status alone, and names its fields
// from there.
FieldErrors check_custom(const Kind& kind, const Json& object, const Json* old,
                         const std::string& subresource) {
  FieldErrors errors;
  if (subresource == "status" && kind.has_status) {
    const Schema* status = kind.schema->property("status");
    if (status == nullptr || !object.contains("status")) return errors;
    validate_schema(object["status"], *status, "", errors);
    for (FieldError& error : errors)
      error.field = error.field.empty() || error.field == "<nil>" ? "status"
                    : error.field.front() == '['                  ? "status" + error.field
                                                                  : "status." + error.field;
  } else {
    validate_schema(object, *kind.schema, "", errors);
  }
  if (old != nullptr) forgive_unchanged(object, *old, errors);
  if (kind.scale) {
    for (const std::string& path : {kind.scale->spec_replicas, kind.scale->status_replicas})
      if (const std::string wrong = accessor_error(object, path); !wrong.empty())
        errors.push_back(FieldError::invalid(path, 0, fmt::format("{} accessor error: {}", path, wrong)));
    const Json* replicas = find_path(object, kind.scale->spec_replicas);
    if (replicas != nullptr && replicas->is_number() && *replicas < 0)
      errors.push_back(
          FieldError::invalid(kind.scale->spec_replicas, *replicas, "should be a non-negative integer"));
  }
  return errors;
}

}  // namespace

ApiResult<Json> Rest::get(const Kind& kind, std::string_view ns, std::string_view name) const {
  const ObjectPtr object = store_.get(kind.storage(), ns, name);
  if (!object) return ApiError::not_found(kind.resource(), name);
  Json json = object->json();
  to_served(kind, json);
  return json;
}

ApiStatus Rest::decode(const Kind& kind, Json& object, const WriteOptions& options) const {
  if (!kind.custom)
    if (auto fits = check_builtin_types(kind, object); !fits) return fits;
  if (!object.contains("metadata") || !object["metadata"].is_object()) object["metadata"] = Json::object();
  std::vector<std::string> unknown;
  prune(object, *kind.schema, unknown);
  if (kind.custom) {
    Json& metadata = object["metadata"];
    std::vector<std::string> unknown_metadata;
    prune(metadata, *object_meta_schema(), unknown_metadata);
    for (std::string& path : unknown_metadata) path.insert(0, "metadata.");
    unknown.insert(unknown.begin(), unknown_metadata.begin(), unknown_metadata.end());
  }
  if (!unknown.empty() && options.validation != FieldValidation::kIgnore) {
    std::vector<std::string> messages;
    messages.reserve(unknown.size());
    for (const std::string& path : unknown) messages.push_back(fmt::format("unknown field \"{}\"", path));
    if (options.validation == FieldValidation::kStrict)
      return ApiError::bad_request(
          fmt::format("{} in version \"{}\" cannot be handled as a {}: strict decoding error: {}", kind.kind,
                      kind.version, kind.kind, fmt::join(messages, ", ")));
    if (options.warnings != nullptr)
      options.warnings->insert(options.warnings->end(), messages.begin(), messages.end());
  }
  drop_nulls(object, *kind.schema);
  if (!kind.custom) fill_null_items(object, *kind.schema);
  apply_defaults(object, *kind.schema);
  if (!kind.custom) default_builtin(kind, object);
  return {};
}

ApiStatus Rest::check_namespace(const Kind& kind, const std::string& ns, const std::string& name) const {
  if (!kind.namespaced) return {};
  const ObjectPtr space = store_.get("namespaces", "", ns);
  if (!space) return ApiError::not_found("namespaces", ns);
  if (space->text.find("\"deletionTimestamp\":") != std::string::npos && is_terminating(space->json())) {
    ApiError error = ApiError::forbidden(
        kind.resource(), name,
        fmt::format("unable to create new content in namespace {} because it is being terminated", ns));
    error.details["causes"] =
        Json::array({Json{{"reason", "NamespaceTerminating"},
                          {"message", fmt::format("namespace {} is being terminated", ns)},
                          {"field", "metadata.namespace"}}});
    return error;
  }
  return {};
}

ApiStatus Rest::validate(const Kind& kind, const Json& object, const Json* old,
                         const WriteOptions& options) const {
  FieldErrors errors = validate_metadata(kind, object);
  if (old != nullptr) {
    const FieldErrors more = validate_metadata_update(object, *old);
    errors.insert(errors.end(), more.begin(), more.end());
  }
  if (kind.custom) {
    const FieldErrors more = check_custom(kind, object, old, options.subresource);
    errors.insert(errors.end(), more.begin(), more.end());
    if (blocks_rules(errors)) {
      errors.push_back(
          FieldError{"FieldValueInvalid", "<nil>",
                     "Invalid value: \"null\": some validation rules were not checked because the object "
                     "was invalid; correct the existing errors to complete validation"});
    } else {
      std::vector<std::string> warnings;
      validate_rules(object, old, *kind.schema, errors, warnings);
      if (options.warnings != nullptr)
        options.warnings->insert(options.warnings->end(), warnings.begin(), warnings.end());
    }
  } else {
    const FieldErrors more = validate_builtin(kind, object, old, options.subresource);
    errors.insert(errors.end(), more.begin(), more.end());
  }
  if (errors.empty()) return {};
  return ApiError::invalid(kind.group_kind(), meta_text(object, "name"), errors);
}

ApiResult<Json> Rest::store_new(const Kind& kind, Json object, const WriteOptions& options) {
  const std::string name = meta_text(object, "name");
  if (options.dry_run) {
    if (store_.get(kind.storage(), meta_text(object, "namespace"), name))
      return ApiError::already_exists(kind.resource(), name);
    return object;
  }
  const std::string ns = meta_text(object, "namespace");
  to_stored(kind, object);
  const auto stored = store_.create(kind.storage(), object);
  if (!stored) {
    ApiError error = ApiError::already_exists(kind.resource(), name);
    const ObjectPtr there = store_.get(kind.storage(), ns, name);
    if (there && is_terminating(there->json())) error.message = "object is being deleted: " + error.message;
    return error;
  }
  object["metadata"]["resourceVersion"] = std::to_string((*stored)->version);
  to_served(kind, object);
  if (hooks_ != nullptr) hooks_->wrote(kind, object, true);
  return object;
}

ApiResult<Json> Rest::create(const Kind& kind, const std::string& ns, Json body,
                             const WriteOptions& options) {
  const WallTime now = std::chrono::system_clock::now();
  if (auto decoded = decode(kind, body, options); !decoded) return decoded.error();
  const std::string given = meta_text(body, "namespace");
  if (kind.namespaced && !given.empty() && given != ns)
    return ApiError::bad_request(
        "the namespace of the provided object does not match the namespace sent on the request");
  if (!kind.namespaced && !given.empty())
    return ApiError::bad_request("namespace is not allowed on this type");
  if (!meta_text(body, "resourceVersion").empty())
    return ApiError::bad_request("resourceVersion should not be set on objects to be created");
  if (kind.terminating)
    return ApiError{405, "MethodNotAllowed",
                    "create not allowed while custom resource definition is terminating", Json::object()};
  if (!options.from_apply) body["metadata"].erase("managedFields");
  const bool generated = meta_text(body, "name").empty() && !meta_text(body, "generateName").empty();
  prepare_new_metadata(kind, ns, now, body);
  const std::string name = meta_text(body, "name");
  if (auto space = check_namespace(kind, ns, name); !space) return space.error();
  if (kind.has_status && kind.custom) body.erase("status");
  if (!kind.custom) {
    prepare_builtin_create(kind, body, options.trusted, now);
    if (auto admitted = admit_builtin(store_, kind, body); !admitted) return admitted.error();
  }
  if (auto valid = validate(kind, body, nullptr, options); !valid) return valid.error();
  if (!options.from_apply) record_update(kind, nullptr, body, options.manager, options.subresource, now);
  if (!kind.custom) complete_builtin(kind, body);
  if (kind.resource() == "services")
    if (auto allocated = allocate_node_ports(store_, body, nullptr); !allocated) return allocated.error();
  body["apiVersion"] = kind.api_version();
  body["kind"] = kind.kind;
  if (!generated) return store_new(kind, std::move(body), options);
  auto stored = store_new(kind, body, options);
  for (int i = 0; i < 8 && !stored && stored.error().reason == "AlreadyExists"; ++i) {
    body["metadata"]["name"] = meta_text(body, "generateName").substr(0, 58) + random_suffix();
    stored = store_new(kind, body, options);
  }
  return stored;
}

ApiResult<Json> Rest::replace(const Kind& kind, const std::string& ns, const std::string& name, Json body,
                              const WriteOptions& options) {
  if (!body.contains("metadata") || !body["metadata"].is_object()) body["metadata"] = Json::object();
  const std::string given = meta_text(body, "name");
  if (given != name)
    return ApiError::bad_request(
        given.empty() ? "name must be provided"
                      : fmt::format("the name of the object ({}) does not match the name on the URL ({})",
                                    given, name));
  const std::string space = meta_text(body, "namespace");
  if (kind.namespaced && !space.empty() && space != ns)
    return ApiError::bad_request(
        "the namespace of the provided object does not match the namespace sent on the request");
  if (!store_.get(kind.storage(), ns, name)) return ApiError::not_found(kind.resource(), name);
  if (kind.custom && meta_text(body, "resourceVersion").empty())
    return ApiError::invalid(kind.group_kind(), name,
                             {FieldError{"FieldValueInvalid", "metadata.resourceVersion",
                                         "Invalid value: 0x0: must be specified for an update"}});
  return update(
      kind, ns, name, [&](const Json&) -> ApiResult<Json> { return body; }, options);
}

ApiResult<Json> Rest::update(const Kind& kind, const std::string& ns, const std::string& name,
                             const Change& change, const WriteOptions& options) {
  for (int race = 0; race < kRacesMax; ++race) {
    const ObjectPtr stored = store_.get(kind.storage(), ns, name);
    if (!stored) return ApiError::not_found(kind.resource(), name);
    Json old = stored->json();
    to_served(kind, old);
    auto changed = change(old);
    if (!changed) return changed.error();
    Json object = std::move(*changed);
    if (!object.is_object()) return ApiError::bad_request("the object must be a JSON object");
    if (!object.contains("metadata") || !object["metadata"].is_object()) object["metadata"] = Json::object();
    const std::string uid = meta_text(object, "uid");
    if (!uid.empty() && uid != stored->uid)
      return ApiError::conflict(
          kind.resource(), name,
          fmt::format("StorageError: invalid object, Code: 4, Key: /registry/{}/{}/{}, ResourceVersion: 0, "
                      "AdditionalErrorMessage: "
                      "Precondition failed: UID in precondition: {}, UID in object meta: {}",
                      kind.group.empty() ? kind.plural : kind.group + "/" + kind.plural, ns, name, uid,
                      stored->uid));
    const std::string wanted = meta_text(object, "resourceVersion");
    if (!wanted.empty() && wanted != std::to_string(stored->version))
      return ApiError::conflict(kind.resource(), name, kModified);
    bool lost_race = false;
    auto written = finish_update(kind, stored, old, std::move(object), options, lost_race);
    if (!lost_race) return written;
  }
  return ApiError::conflict(kind.resource(), name, kModified);
}

ApiResult<Json> Rest::finish_update(const Kind& kind, const ObjectPtr& stored, const Json& old, Json object,
                                    const WriteOptions& options, bool& lost_race) {
  const WallTime now = std::chrono::system_clock::now();
  if (auto decoded = decode(kind, object, options); !decoded) return decoded.error();
  if (kind.namespaced && meta_text(object, "namespace").empty()) object["metadata"]["namespace"] = stored->ns;
  keep_metadata(old, object);
  if (options.subresource == "status") {
    Json managed = object["metadata"].value("managedFields", Json());
    Json status = object.value("status", Json());
    object = old;
    if (!managed.is_null()) object["metadata"]["managedFields"] = std::move(managed);
    if (status.is_null())
      object.erase("status");
    else
      object["status"] = std::move(status);
  } else if (kind.has_status) {
    if (old.contains("status"))
      object["status"] = old["status"];
    else
      object.erase("status");
  }
  if (!kind.custom) prepare_builtin_update(kind, old, object, options.subresource);
  if (kind.resource() == "services")
    if (auto allocated = allocate_node_ports(store_, object, &old); !allocated) return allocated.error();
  // That a pod gets its node is no change that its generation counts.
  const bool bound =
      text_at(object_of(old, "spec"), "nodeName") != text_at(object_of(object, "spec"), "nodeName");
  if ((kind.custom || (kind.has_generation && !bound)) && options.subresource != "status" &&
      (spec_differs(old, object) ||
       (kind.custom && !kind.has_status && old.value("status", Json()) != object.value("status", Json()))))
    object["metadata"]["generation"] = object_of(old, "metadata").value("generation", 0) + 1;
  object["apiVersion"] = kind.api_version();
  object["kind"] = kind.kind;
  if (auto valid = validate(kind, object, &old, options); !valid) return valid.error();
  if (!options.from_apply) record_update(kind, &old, object, options.manager, options.subresource, now);
  object["metadata"]["resourceVersion"] = std::to_string(stored->version);
  if (same_object(old, object)) return old;
  if (options.dry_run) return object;
  const bool ends =
      is_terminating(object) && finalizers_of(object).empty() &&
      object_of(object, "metadata").value("deletionGracePeriodSeconds", 0) == 0 &&
      (kind.resource() != "namespaces" || array_of(object_of(object, "spec"), "finalizers").empty());
  if (ends) {  // the change that lets an object go is its deletion: nobody sees it as a modification
    if (!store_.remove(kind.storage(), stored->ns, stored->name, stored->version)) {
      lost_race = true;
      return ApiError::conflict(kind.resource(), stored->name, kModified);
    }
    if (hooks_ != nullptr) hooks_->removed(kind, object);
    return object;
  }
  to_stored(kind, object);
  const auto written = store_.replace(kind.storage(), object, stored->version);
  if (!written) {
    lost_race = true;
    return ApiError::conflict(kind.resource(), stored->name, kModified);
  }
  object["metadata"]["resourceVersion"] = std::to_string((*written)->version);
  to_served(kind, object);
  if (hooks_ != nullptr) hooks_->wrote(kind, object, false);
  return object;
}

}  // namespace muster::local
