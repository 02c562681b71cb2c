// cli/apply.cc: a run's objects into its API server: all of them checked first, then created
#include "cli/apply.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "cli/check_spec.h"
#include "common/json/access.h"
#include "common/json/field_path.h"
#include "common/pods/pod_state.h"
#include "common/spec/pod_templates.h"

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

// A refusal is the manifest's fault; anything else is the environment's.
bool refused(const Error& error) {
  return error.code == Code::kInvalidArgument || error.code == Code::kPermissionDenied ||
         error.code == Code::kAlreadyExists || error.code == Code::kNotFound;
}

// "Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "a", unknown field
// "b"" as its parts: `unknown field "a"`, `unknown field "b"`. Any other message is one complaint.
std::vector<std::string> complaints_in(const std::string& message) {
  constexpr std::string_view kStrict = "strict decoding error: ";
  const std::size_t at = message.find(kStrict);
  if (at == std::string::npos) return {message};
  std::vector<std::string> complaints;
  std::string_view rest = std::string_view(message).substr(at + kStrict.size());
  for (std::size_t end = 0; end != std::string_view::npos; rest.remove_prefix(end + 2)) {
    end = rest.find("\", ");
    complaints.emplace_back(rest.substr(0, end == std::string_view::npos ? end : ++end));
    if (end == std::string_view::npos) break;
  }
  return complaints;
}

// A pod of this template as far as its user wrote it; what the operator completes is made up.
ManifestObject pod_of(const ManifestObject& object, const Json& pod_template, const char* role) {
  ManifestObject pod;
  pod.kind = find_kind("v1", "Pod");
  pod.name_space = object.name_space;
  Json metadata{{"name", "template"}, {"namespace", object.name_space}};
  for (const char* taken : {"labels", "annotations", "finalizers"})
    if (const Json& value = member(pod_template, "metadata", taken); !value.is_null())
      metadata[taken] = value;
  Json spec = member(pod_template, "spec");
  if (spec.is_null()) spec = Json::object();
  if (member(spec, "containers").is_null() || member(spec, "containers").empty())
    spec["containers"] = Json::array({Json::object()});
  if (Json& containers = spec["containers"]; containers.is_array()) {
    Json& main = containers[role_container(containers, role)];
    if (main.is_object() && text(member(main, "name")).empty()) main["name"] = role;
    if (main.is_object() && text(member(main, "image")).empty()) main["image"] = "completed-by-muster";
  }
  if (member(spec, "restartPolicy").is_null()) spec["restartPolicy"] = "Never";
  pod.value = {
      {"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", std::move(metadata)}, {"spec", std::move(spec)}};
  return pod;
}

// What the server says of the pods that a job's templates describe, before anything runs: the schema of the
// job takes any template. Each complaint once, a line each.
Status check_templates(kube::Client& client, const ManifestObject& object) {
  std::string problems;
  for (const spec::PodTemplatePlace& place : spec::kPodTemplates) {
    if (object.kind->kind != place.kind) continue;
    const Json& pod_template = spec::template_at(object.value, place);
    if (!pod_template.is_object()) continue;
    if (!member(pod_template, "spec").is_object() && !member(pod_template, "spec").is_null()) continue;
    const auto taken = create(client, pod_of(object, pod_template, place.role), true);
    if (taken) continue;
    if (!refused(taken.error())) return taken.error();
    for (const std::string& complaint : complaints_in(taken.error().message))
      problems += (problems.empty() ? "" : "\n") + locate(object, in_part(complaint, place.path));
  }
  return problems.empty() ? Status() : Status(invalid_argument(problems));
}

// Everything that speaks against an object, a line each.
Status check(kube::Client& client, const ManifestObject& object) {
  const auto completed = create(client, object, true);
  if (!completed && !refused(completed.error())) return completed.error().in(object.title());
  std::string problems = completed ? "" : locate(object, completed.error().message);
  const Status templates = check_templates(client, object);
  if (!templates && templates.error().code != Code::kInvalidArgument)
    return templates.error().in(object.title());
  if (!templates) problems += (problems.empty() ? "" : "\n") + templates.error().message;
  if (!problems.empty()) return invalid_argument(problems);
  return check_spec(object, *completed);
}

bool is_namespace(const ManifestObject& object) { return object.kind->kind == "Namespace"; }

// Those that the manifest brings along, as they are there; and, because this control plane is the run's own,
// those that its objects only name. They come first: nothing can be checked in a namespace that is not there.
Status create_namespaces(kube::Client& client, const std::vector<ManifestObject>& objects) {
  std::map<std::string, const ManifestObject*> named;  // by the first that names it
  for (const ManifestObject& object : objects) {
    if (!object.name_space.empty()) named.emplace(object.name_space, &object);
    if (!is_namespace(object)) continue;
    const auto made = create(client, object, false);
    if (made || made.error().code == Code::kAlreadyExists) continue;  // `default` is there
    return refused(made.error()) ? invalid_argument(locate(object, made.error().message))
                                 : made.error().in(object.title());
  }
  for (const auto& [name, object] : named) {
    const Json body{{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", {{"name", name}}}};
    const auto made = client.create(kube::kNamespaces, "", body);
    if (made || made.error().code == Code::kAlreadyExists) continue;
    if (!refused(made.error())) return made.error();
    return invalid_argument(fmt::format("{}: {}", object->where("metadata.namespace"), made.error().message));
  }
  return {};
}

}  // namespace

Result<std::vector<Json>> apply_objects(kube::Client& client, const std::vector<ManifestObject>& objects) {
  MUSTER_TRY(create_namespaces(client, objects));
  std::string problems;
  for (const ManifestObject& object : objects) {
    if (is_namespace(object)) continue;
    const Status checked = check(client, object);
    if (!checked && checked.error().code != Code::kInvalidArgument) return checked.error();
    if (!checked) problems += (problems.empty() ? "" : "\n") + checked.error().message;
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
