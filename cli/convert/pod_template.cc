// cli/convert/pod_template.cc: a pod template of another operator, as DistributedJob takes one
#include "cli/convert/pod_template.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "common/json/access.h"
#include "common/pods/pod_state.h"
#include "operator/api/pod_template.h"

namespace muster::cli {
namespace {

constexpr const char* kRole = "worker";

// Removes the member, with a comment in its stead.
void remove(Conversion& conversion, const std::string& from, const std::string& part, const char* name,
            const std::string& why) {
  Json& object = conversion.out(kTemplate + part);
  const auto found = object.find(name);
  if (found == object.end()) return;
  if (!found->is_null()) conversion.say_of(below(from + part, name), *found, kTemplate + part, why);
  object.erase(found);
}

void fit_metadata(Conversion& conversion, const std::string& from) {
  if (!conversion.has(std::string(kTemplate) + "/metadata")) return;
  Json& metadata = conversion.out(std::string(kTemplate) + "/metadata");
  if (!metadata.is_object()) return conversion.fail(from + "/metadata", "must be a map");
  for (const char* name : {"creationTimestamp", "name", "generateName", "namespace"})
    remove(conversion, from, "/metadata", name, "Pods are named and placed by Muster; left out.");
  for (const char* map : {"labels", "annotations"}) {
    const std::string part = fmt::format("/metadata/{}", map);
    std::vector<std::string> ours;
    for (const auto& [key, value] : member(metadata, map).items())
      if (key.starts_with("muster.dev/")) ours.push_back(key);
    for (const std::string& key : ours)
      remove(conversion, from, part, key.c_str(), "Keys of muster.dev are set by Muster; left out.");
  }
  if (metadata.empty()) conversion.out(kTemplate).erase("metadata");
}

bool integer_in(const Json& value, std::int64_t max, std::int64_t& out) {
  if (!value.is_string()) return false;
  const std::string text = value.get<std::string>();
  if (text.empty() || text.size() > 5 || text.find_first_not_of("0123456789") != std::string::npos)
    return false;
  out = std::stoll(text);
  return out >= 1 && out <= max;
}

// What the value of a variable that Muster sets says about the job; "" if there is no field for it.
std::string told_elsewhere(Conversion& conversion, const std::string& name, const Json& value) {
  std::int64_t number = 0;
  const auto set = [&](const char* field, std::int64_t max) {
    if (!integer_in(value, max, number)) return false;
    if (conversion.has(field)) return conversion.out(field) == number;
    conversion.out(field) = number;
    return true;
  };
  if (name.ends_with("MASTER_PORT") && set("/spec/workers/masterPort", 65535))
    return "Muster sets it, from spec.workers.masterPort.";
  if (name == "PET_NPROC_PER_NODE" && set("/spec/workers/processesPerNode", 1024))
    return "Muster sets it, from spec.workers.processesPerNode.";
  return "";
}

void fit_env(Conversion& conversion, const std::string& from, const std::string& part) {
  Json& container = conversion.out(kTemplate + part);
  const auto env = container.find("env");
  if (env == container.end() || env->is_null()) return;
  if (!env->is_array()) return conversion.fail(from + part + "/env", "must be a list");
  Json kept = Json::array();
  for (std::size_t i = 0; i < env->size(); ++i) {
    const Json& variable = (*env)[i];
    const std::string name = text_at(variable, "name");
    if (!op::api::is_reserved_env(name, false)) {
      kept.push_back(variable);
      continue;
    }
    std::string why = told_elsewhere(conversion, name, member(variable, "value"));
    if (why.empty()) why = "Muster sets it to what is true of the pod; left out.";
    conversion.say_of(below(from + part + "/env", i), variable, kTemplate + part, why);
  }
  conversion.out(kTemplate + part)["env"] = kept;
  if (kept.empty()) conversion.out(kTemplate + part).erase("env");
}

constexpr std::size_t kNameMax = 63;
constexpr const char* kLists[] = {"/spec/initContainers", "/spec/containers"};

using Renamed = std::map<std::string, std::string>;  // from the names that containers had to those they have

void note_name(Renamed& renamed, const std::string& from, const std::string& to) {
  for (auto& [first, last] : renamed)
    if (last == from) last = to;
  renamed.try_emplace(from, to);
}

bool is_taken(Conversion& conversion, const std::string& name) {
  return std::ranges::any_of(kLists, [&](const char* list) {
    if (!conversion.has(std::string(kTemplate) + list)) return false;
    const Json& containers = conversion.out(std::string(kTemplate) + list);
    return containers.is_array() &&
           std::ranges::any_of(containers, [&](const Json& each) { return text_at(each, "name") == name; });
  });
}

// `wanted`, or what is like it and no container of the pod has.
std::string free_name(Conversion& conversion, const std::string& wanted) {
  std::string name = wanted;
  for (int number = 2; is_taken(conversion, name); ++number) {
    const std::string suffix = fmt::format("-{}", number);
    name = wanted.substr(0, kNameMax - suffix.size()) + suffix;
  }
  return name;
}

// `otherwise`: of one in whose name nothing fits.
void fit_container_name(Conversion& conversion, const std::string& from, const std::string& at,
                        const std::string& otherwise, Renamed& renamed) {
  const Json name = member(conversion.out(kTemplate + at), "name");
  if (name.is_null()) return;  // the operator's reader says so
  if (!name.is_string())
    return conversion.fail(from + at + "/name", fmt::format("must be text, is {}; quote it", name.dump()));
  std::string fitting = as_label(as_label(name.get<std::string>()).substr(0, kNameMax));
  if (fitting.empty()) fitting = otherwise;
  if (fitting == name) return;
  fitting = free_name(conversion, fitting);
  note_name(renamed, name.get<std::string>(), fitting);
  conversion.say_of(from + at + "/name", name, kTemplate + at,
                    "Renamed: a container's name has at most 63 lower-case letters, digits and dashes.");
  conversion.out(kTemplate + at)["name"] = fitting;
}

void rename(Conversion& conversion, const std::string& from, const std::string& at, const std::string& wanted,
            Renamed& renamed) {
  const std::string name = free_name(conversion, wanted);
  Json& container = conversion.out(kTemplate + at);
  note_name(renamed, text_at(container, "name"), name);
  conversion.say_of(
      from + at + "/name", member(container, "name"), kTemplate + at,
      fmt::format("Named {} here: the container named worker, else the first, is the one that does "
                  "the work and decides how it ended.",
                  name));
  conversion.out(kTemplate + at)["name"] = name;
}

void name_role(Conversion& conversion, const std::string& from, std::size_t role, Renamed& renamed) {
  if (role_container(conversion.out(kContainers), kRole) == role) return;
  for (const char* list : kLists) {
    if (!conversion.has(std::string(kTemplate) + list)) continue;
    const std::size_t count = conversion.out(std::string(kTemplate) + list).size();
    const bool main_list = list == kLists[1];
    for (std::size_t i = 0; i < count; ++i)
      if (!(main_list && i == role) && text_at(conversion.out(kTemplate + below(list, i)), "name") == kRole)
        rename(conversion, from, below(list, i), main_list ? "worker-sidecar" : "worker-init", renamed);
  }
  if (role_container(conversion.out(kContainers), kRole) != role)
    rename(conversion, from, below(kLists[1], role), kRole, renamed);
}

// References to a container's resources, in variables and in volumes of the downward API.
void follow_names(Json& value, const Renamed& renamed) {
  if (value.is_object()) {
    const auto reference = value.find("resourceFieldRef");
    if (reference != value.end() && reference->is_object())
      if (const auto found = renamed.find(text_at(*reference, "containerName")); found != renamed.end())
        (*reference)["containerName"] = found->second;
  }
  if (value.is_structured())
    for (Json& part : value) follow_names(part, renamed);
}

bool fit_containers(Conversion& conversion, const std::string& from, const std::string& list,
                    std::size_t role, Renamed& renamed) {
  const std::string part = "/spec/" + list;
  if (!conversion.has(kTemplate + part)) return true;
  const std::size_t count = conversion.out(kTemplate + part).size();
  if (!conversion.out(kTemplate + part).is_array()) {
    conversion.fail(from + part, "must be a list");
    return false;
  }
  for (std::size_t i = 0; i < count; ++i) {
    const std::string at = below(part, i);
    if (!conversion.out(kTemplate + at).is_object()) {
      conversion.fail(from + at, "must be a map");
      return false;
    }
    fit_env(conversion, from, at);
    fit_container_name(conversion, from, at, fmt::format("container-{}", i), renamed);
    if (const Json image = member(conversion.out(kTemplate + at), "image");
        !image.is_null() && !image.is_string())
      conversion.fail(from + at + "/image", fmt::format("must be text, is {}; quote it", image.dump()));
    if (text_at(conversion.out(kTemplate + at), "image").empty())
      conversion.fail(from + at + "/image", "is missing, and no pod runs without; add it");
    if (list == "containers" && i == role)
      remove(conversion, from, at, "restartPolicy", "Muster does the restarts: see spec.runPolicy.");
  }
  return true;
}

}  // namespace

void take_template(Conversion& conversion, const std::string& from) {
  conversion.must_be_object(from);
  conversion.must_be_object(from + "/spec");
  conversion.must_be_array(from + "/spec/containers");
  const Json& found = conversion.see(from + "/spec/containers");
  if (!found.is_array() || found.empty() || !found.front().is_object())
    return conversion.fail(from + "/spec/containers", "needs at least one container");
  for (const auto& [key, value] : conversion.see(from).items())
    if (key == "metadata" || key == "spec") conversion.move(below(from, key), below(kTemplate, key));
  // Of no meaning to the API server either, so it may stand here: what else there is becomes a comment.
}

std::size_t container_named(Conversion& conversion, const std::string& name) {
  const Json& containers = conversion.out(kContainers);
  for (std::size_t i = 0; i < containers.size(); ++i)
    if (text_at(containers[i], "name") == name) return i;
  return 0;
}

void fit_template(Conversion& conversion, const std::string& from, std::size_t role) {
  fit_metadata(conversion, from);
  for (const char* name : {"hostname", "subdomain"})
    remove(conversion, from, "/spec", name, "Muster sets it: NAME-worker-N, and the job's name.");
  remove(conversion, from, "/spec", "restartPolicy",
         "Pods of Muster have restartPolicy Never; it does the restarts: see spec.runPolicy.");
  Renamed renamed;
  if (!fit_containers(conversion, from, "initContainers", role, renamed) ||
      !fit_containers(conversion, from, "containers", role, renamed))
    return;
  name_role(conversion, from, role, renamed);
  if (!renamed.empty()) follow_names(conversion.out(std::string(kTemplate) + "/spec"), renamed);
}

void add_variable(Json& container, const std::string& name, const std::string& value) {
  Json& env = container["env"];
  if (!env.is_array()) env = Json::array();
  for (const Json& variable : env)
    if (text_at(variable, "name") == name) return;
  env.push_back({{"name", name}, {"value", value}});
}

void set_variable(Conversion& conversion, Json& container, const Json& variable) {
  Json& env = container["env"];
  if (!env.is_array()) env = Json::array();
  for (Json& known : env) {
    if (text_at(known, "name") != text_at(variable, "name")) continue;
    if (known != variable)
      conversion.say(kContainers, fmt::format("Was replaced by a later one of its name: {}",
                                              known.dump(-1, ' ', false, Json::error_handler_t::replace)));
    known = variable;
    return;
  }
  env.push_back(variable);
}

}  // namespace muster::cli
