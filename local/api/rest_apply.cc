// local/api/rest_apply.cc: server-side apply: an intent is merged, what its manager gave up goes
#include <fmt/format.h>

#include "local/api/managed_fields.h"
#include "local/api/metadata.h"
#include "local/api/rest.h"

namespace muster::local {
namespace {

// Both forms of a Secret's data are one.
ApiStatus check_config(const Kind& kind, const std::string& ns, const std::string& name, const Json& config) {
  if (!array_of(object_of(config, "metadata"), "managedFields").empty())
    return ApiError::bad_request("metadata.managedFields must be nil");
  Json plain = config;
  const Json metadata = plain.value("metadata", Json::object());
  plain.erase("metadata");
  std::string wrong = undeclared_field(plain, *kind.schema);
  if (wrong.empty()) wrong = undeclared_field(metadata, *object_meta_schema(), ".metadata");
  if (wrong.empty()) return {};
  return ApiError{500,
                  "",
                  fmt::format("failed to create typed patch object ({}{}{}; {}, Kind={}): {}", ns,
                              ns.empty() ? "" : "/", name, kind.api_version(), kind.kind, wrong),
                  {}};
}

// kubectl's own note of what it applied is kept up to date for it once it applies on the server.
void update_last_applied(Json& object, const Json& config) {
  Json& metadata = object["metadata"];
  if (text_at(object_of(metadata, "annotations"), kLastApplied).empty()) return;
  Json applied = config;
  applied["metadata"].erase("managedFields");
  if (object_of(applied["metadata"], "annotations").contains(kLastApplied))
    applied["metadata"]["annotations"].erase(kLastApplied);
  metadata["annotations"][kLastApplied] = applied.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

ApiResult<Json> Rest::apply(const Kind& kind, const std::string& ns, const std::string& name, Json body,
                            const WriteOptions& options, bool& created) {
  if (!body.contains("metadata") || !body["metadata"].is_object()) body["metadata"] = Json::object();
  const std::string given = meta_text(body, "name");
  if (!given.empty() && given != name)
    return ApiError::bad_request(
        fmt::format("the name of the object ({}) does not match the name on the URL ({})", given, name));
  body["metadata"]["name"] = name;
  if (kind.namespaced) body["metadata"]["namespace"] = ns;
  if (auto good = check_config(kind, ns, name, body); !good) return good.error();
  const WallTime now = std::chrono::system_clock::now();
  WriteOptions write = options;
  write.from_apply = true;
  if (!store_.get(kind.storage(), ns, name) && !options.subresource.empty())
    return ApiError::not_found(kind.resource(), name);
  if (!store_.get(kind.storage(), ns, name)) {
    auto applied = apply_config(kind, Json::object(), body, options.manager, options.subresource, true);
    if (!applied) return applied.error();
    stamp_apply(applied->object, options.manager, options.subresource, now);
    auto made = create(kind, ns, std::move(applied->object), write);
    if (made || made.error().reason != "AlreadyExists") {
      created = made.has_value();
      return made;
    }
  }
  return update(
      kind, ns, name,
      [&](const Json& current) -> ApiResult<Json> {
        auto applied = apply_config(kind, current, body, options.manager, options.subresource, options.force);
        if (!applied) return applied.error();
        if (applied->changed) stamp_apply(applied->object, options.manager, options.subresource, now);
        if (options.manager == "kubectl" && options.subresource.empty())
          update_last_applied(applied->object, body);
        if (meta_text(body, "resourceVersion").empty()) applied->object["metadata"].erase("resourceVersion");
        return applied->object;
      },
      write);
}

}  // namespace muster::local
