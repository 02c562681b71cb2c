// cli/apply.cc: a run's objects into its API server: all of them checked first, then created
#include "cli/apply.h"

#include <fmt/format.h>

#include <set>

namespace muster::cli {
namespace {

kube::Resource resource_of(const ResourceKind& kind) {
  const std::string_view version = kind.api_version;
  const std::size_t slash = version.find('/');
  if (slash == std::string_view::npos) {
    return {"", std::string(version), std::string(kind.plural), kind.namespaced, std::string(kind.kind)};
  }
  return {std::string(version.substr(0, slash)), std::string(version.substr(slash + 1)),
          std::string(kind.plural), kind.namespaced, std::string(kind.kind)};
}

Result<Json> create(kube::Client& client, const ManifestObject& object, bool dry_run) {
  kube::HttpRequest request;
  request.method = "POST";
  request.target = kube::resource_path(resource_of(*object.kind), object.name_space) +
                   "?fieldValidation=Strict&fieldManager=muster" + (dry_run ? "&dryRun=All" : "");
  request.headers = {{"Content-Type", "application/json"}, {"Accept", "application/json"}};
  request.body = object.value.dump(-1, ' ', false, Json::error_handler_t::replace);
  MUSTER_ASSIGN(const kube::HttpResponse answer, client.raw(std::move(request)));
  return parse_json(answer.body, "the API server's answer");
}

bool is_namespace(const ManifestObject& object) { return object.kind->kind == "Namespace"; }

// A refusal is the manifest's fault; anything else is the environment's.
bool refused(const Error& error) {
  return error.code == Code::kInvalidArgument || error.code == Code::kPermissionDenied ||
         error.code == Code::kAlreadyExists || error.code == Code::kNotFound;
}

// Those that the manifest brings along, as they are there; and, because this control plane is the run's own,
// those that its objects only name. They come first: nothing can be checked in a namespace that is not there.
Status create_namespaces(kube::Client& client, const std::vector<ManifestObject>& objects) {
  std::set<std::string> named;
  for (const ManifestObject& object : objects) {
    if (!object.name_space.empty()) named.insert(object.name_space);
    if (!is_namespace(object)) continue;
    const auto made = create(client, object, false);
    if (made || made.error().code == Code::kAlreadyExists) continue;  // `default` is there
    return refused(made.error()) ? invalid_argument(locate(object, made.error().message))
                                 : made.error().in(object.title());
  }
  for (const std::string& name : named) {
    const Json body{{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", {{"name", name}}}};
    const auto made = client.create(kube::kNamespaces, "", body);
    if (!made && made.error().code != Code::kAlreadyExists) return made.error();
  }
  return {};
}

}  // namespace

Result<std::vector<Json>> apply_objects(kube::Client& client, const std::vector<ManifestObject>& objects) {
  MUSTER_TRY(create_namespaces(client, objects));
  std::string problems;
  for (const ManifestObject& object : objects) {
    if (is_namespace(object)) continue;
    auto checked = create(client, object, true);
    if (checked) continue;
    if (!refused(checked.error())) return checked.error().in(object.title());
    problems += (problems.empty() ? "" : "\n") + locate(object, checked.error().message);
  }
  if (!problems.empty()) return invalid_argument(problems);
  std::vector<Json> jobs;
  for (const ManifestObject& object : objects) {
    if (is_namespace(object)) continue;
    auto made = create(client, object, false);
    if (!made && refused(made.error())) return invalid_argument(locate(object, made.error().message));
    if (!made) return made.error().in(object.title());
    if (object.is_job()) jobs.push_back(std::move(*made));
  }
  return jobs;
}

}  // namespace muster::cli
