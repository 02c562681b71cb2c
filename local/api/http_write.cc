// local/api/http_write.cc: create, replace, patch and delete over HTTP
#include <fmt/format.h>

#include <algorithm>

#include "common/json/read_json.h"
#include "local/api/http_call.h"
#include "local/api/patch.h"
#include "local/api/selectors.h"
#include "local/api/yaml.h"

namespace muster::local {
namespace {

// apiVersion and kind of the body must be those of the path; absent ones are taken from it.
ApiStatus check_type(const HttpRequest& request, const Kind& kind, Json& body) {
  const std::string version = text_at(body, "apiVersion");
  const std::string name = text_at(body, "kind");
  if (!version.empty() && version != kind.api_version() && (kind.custom || name == kind.kind))
    return ApiError::bad_request(
        fmt::format("the API version in the data ({}) does not match the expected API version ({})", version,
                    kind.api_version()));
  if (!name.empty() && name != kind.kind) {
    if (kind.custom)
      return ApiError::bad_request(
          fmt::format("the kind in the data ({}) does not match the expected kind ({})", name, kind.kind));
    return ApiError::bad_request(fmt::format(
        "{} in version \"{}\" cannot be handled as a {}: converting (v1.{}) to (core.{}): unknown conversion",
        name, kind.version, kind.kind, name, kind.kind));
  }
  if (kind.custom && (version.empty() || name.empty()))
    return unrecognized_body(request, kind, fmt::format("Object 'Kind' is missing in '{}'", request.body));
  body["apiVersion"] = kind.api_version();
  body["kind"] = kind.kind;
  return {};
}

// Of a body whose version is not served no field is known, which is said beside the error.
void warn_of_unserved(const Kind& kind, const Json& body, const KindTable& kinds,
                      const WriteOptions& options) {
  const std::string version = text_at(body, "apiVersion");
  const auto slash = version.find('/');
  if (!kind.custom || slash == std::string::npos || options.validation == FieldValidation::kIgnore) return;
  if (kinds.find(version.substr(0, slash), version.substr(slash + 1), kind.plural) != nullptr) return;
  for (const auto& [name, value] : body.items())
    if (name != "apiVersion" && name != "kind" && name != "metadata")
      options.warnings->push_back(fmt::format("unknown field \"{}\"", name));
}

std::string_view patch_type(const HttpRequest& request) {
  std::string_view type = request.header("content-type");
  return type.substr(0, type.find(';'));
}

// `current` after a patch of this type.
ApiResult<Json> patched_object(std::string_view type, const Json& document, const Kind& kind,
                               const Json& current) {
  Json object = current;
  if (type == "application/json-patch+json") {
    if (auto done = json_patch(object, document); !done) return done.error();
    // Only a patch that sets it is optimistic.
    if (meta_text(object, "resourceVersion") == meta_text(current, "resourceVersion"))
      object["metadata"].erase("resourceVersion");
    return object;
  }
  object["metadata"].erase("resourceVersion");
  if (type == "application/strategic-merge-patch+json") {
    if (auto done = strategic_merge_patch(object, document, *kind.schema); !done) return done.error();
  } else {
    merge_patch(object, document);
  }
  return object;
}

bool returns_deleted_object(const Kind& kind) {
  for (const char* plural :
       {"pods", "services", "serviceaccounts", "persistentvolumeclaims", "resourcequotas"})
    if (kind.group.empty() && kind.plural == plural) return true;
  return false;
}

Json success(const Kind& kind, const Json& object) {
  Json details{{"name", meta_text(object, "name")}, {"kind", kind.plural}, {"uid", meta_text(object, "uid")}};
  if (!kind.group.empty()) details["group"] = kind.group;
  return Json{{"kind", "Status"},
              {"apiVersion", "v1"},
              {"metadata", Json::object()},
              {"status", "Success"},
              {"details", details}};
}

}  // namespace

ApiResult<HttpResponse> HttpApi::create(Call& call) {
  auto body = decode_body(call.request, *call.kind, false);
  if (!body) return body.error();
  if (auto type = check_type(call.request, *call.kind, *body); !type) {
    warn_of_unserved(*call.kind, *body, *call.table, call.options);
    return type.error();
  }
  auto created = rest_.create(*call.kind, call.target.ns, std::move(*body), call.options);
  if (!created) return created.error();
  return call.object(*created, 201);
}

ApiResult<HttpResponse> HttpApi::update(Call& call) {
  auto body = decode_body(call.request, *call.kind, false);
  if (!body) return body.error();
  if (auto type = check_type(call.request, *call.kind, *body); !type) {
    warn_of_unserved(*call.kind, *body, *call.table, call.options);
    return type.error();
  }
  auto updated = rest_.replace(*call.kind, call.target.ns, call.target.name, std::move(*body), call.options);
  if (!updated) return updated.error();
  return call.object(*updated);
}

ApiStatus HttpApi::check_patched(const Call& call, const Json& object, const Json& current) {
  const Kind& kind = *call.kind;
  if (!object.is_object()) return ApiError::bad_request("the patch does not leave an object");
  if (kind.namespaced && meta_text(object, "namespace") != call.target.ns)
    return ApiError::bad_request(
        "the namespace of the provided object does not match the namespace sent on the request");
  if (meta_text(object, "uid") != meta_text(current, "uid") && !meta_text(object, "uid").empty())
    return ApiError::invalid(
        kind.group_kind(), call.target.name,
        {FieldError::invalid("metadata.uid", meta_text(object, "uid"), "field is immutable")});
  if (const std::string name = text_at(object, "kind"); kind.custom && name != kind.kind)
    return ApiError::invalid(name + "." + kind.group, call.target.name,
                             {FieldError::invalid("kind", name, "must be " + kind.kind)});
  if (const std::string version = text_at(object, "apiVersion");
      kind.custom && version != kind.api_version()) {
    warn_of_unserved(kind, object, *call.table, call.options);
    return ApiError::invalid(kind.group_kind(), call.target.name,
                             {FieldError::invalid("apiVersion", version, "must be " + kind.api_version())});
  }
  if (meta_text(object, "name") != call.target.name)
    return ApiError::bad_request(
        fmt::format("the name of the object ({}) does not match the name on the URL ({})",
                    meta_text(object, "name"), call.target.name));
  return {};
}

ApiResult<HttpResponse> HttpApi::patch(Call& call) {
  const std::string_view type = patch_type(call.request);
  const bool strategic = type == "application/strategic-merge-patch+json";
  std::string_view accepted =
      call.kind->custom
          ? "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
          : "application/json-patch+json, application/merge-patch+json, "
            "application/strategic-merge-patch+json, application/apply-patch+yaml";
  if (type == "application/apply-patch+yaml") {
    auto body = decode_body(call.request, *call.kind, true);
    if (!body) return body.error();
    if (call.request.parameter("fieldManager").empty())
      return ApiError::plain_invalid(
          "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply "
          "patch");
    if (auto checked = check_type(call.request, *call.kind, *body); !checked) return checked.error();
    bool created = false;
    auto applied =
        rest_.apply(*call.kind, call.target.ns, call.target.name, std::move(*body), call.options, created);
    if (!applied) return applied.error();
    return call.object(*applied, created ? 201 : 200);
  }
  if (type != "application/merge-patch+json" && type != "application/json-patch+json" &&
      (!strategic || call.kind->custom))
    return ApiError::unsupported_media_type(accepted);
  const Json document = read_json(call.request.body);
  if (document.is_discarded() || document.is_null())
    return ApiError::bad_request("error decoding patch: " + json_problem(call.request.body));
  if (!document.is_object() && type == "application/merge-patch+json")
    return ApiError::bad_request(fmt::format(
        "error decoding patch: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
        document.is_array()     ? "array"
        : document.is_string()  ? "string"
        : document.is_boolean() ? "bool"
                                : "number"));
  auto patched = rest_.update(
      *call.kind, call.target.ns, call.target.name,
      [&](const Json& current) -> ApiResult<Json> {
        auto object = patched_object(type, document, *call.kind, current);
        if (!object) return object.error();
        if (auto checked = check_patched(call, *object, current); !checked) return checked.error();
        if (auto checked = check_type(call.request, *call.kind, *object); !checked) return checked.error();
        return object;
      },
      call.options);
  if (!patched) return patched.error();
  return call.object(*patched);
}

ApiResult<HttpResponse> HttpApi::remove(Call& call) {
  auto options = delete_options(call.request);
  if (!options) return options.error();
  auto deletion = rest_.remove(*call.kind, call.target.ns, call.target.name, *options);
  if (!deletion) return deletion.error();
  if (!deletion->gone || returns_deleted_object(*call.kind)) return call.object(deletion->object);
  return json_response(success(*call.kind, deletion->object), call.request);
}

ApiResult<HttpResponse> HttpApi::remove_collection(Call& call) {
  auto options = delete_options(call.request);
  if (!options) return options.error();
  auto selector = Selector::parse(call.request.parameter("labelSelector"),
                                  call.request.parameter("fieldSelector"), *call.kind);
  if (!selector) return selector.error();
  const ObjectList all = store_.list(call.kind->storage(), call.target.ns);
  std::vector<ObjectPtr> removed;
  for (const ObjectPtr& object : all.objects) {
    if (!selector->matches(*object)) continue;
    const auto deletion = rest_.remove(*call.kind, object->ns, object->name, *options);
    if (!deletion && deletion.error().code != 404) return deletion.error();
    if (deletion) removed.push_back(object);
  }
  HttpResponse response;
  response.body = render_list(*call.kind, removed, ListMeta{all.version, "", std::nullopt}, call.format);
  return response;
}

}  // namespace muster::local
