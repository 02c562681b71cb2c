// cli/convert/pod_template.cc: a pod template of another operator, as DistributedJob takes one
#include "cli/convert/pod_template.h"

#include <fmt/format.h>

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

// `otherwise`: of one in whose name nothing fits.
void fit_container_name(Conversion& conversion, const std::string& from, const std::string& at,
                        const std::string& otherwise) {
  constexpr std::size_t kNameMax = 63;
  const Json name = member(conversion.out(kTemplate + at), "name");
  if (name.is_null()) return;  // the operator's reader says so
  if (!name.is_string())
    return conversion.fail(from + at + "/name", fmt::format("must be text, is {}; quote it", name.dump()));
  std::string fitting = as_label(as_label(name.get<std::string>()).substr(0, kNameMax));
  if (fitting.empty()) fitting = otherwise;
  if (fitting == name) return;
  conversion.say_of(from + at + "/name", name, kTemplate + at,
                    "Renamed: a container's name has at most 63 lower-case letters, digits and dashes.");
  conversion.out(kTemplate + at)["name"] = fitting;
}

void rename(Conversion& conversion, const std::string& from, std::size_t index, const std::string& name) {
  Json& container = conversion.out(below(kContainers, index));
  conversion.say_of(
      below(from + "/spec/containers", index) + "/name", member(container, "name"), below(kContainers, index),
      fmt::format("Named {} here: the container named worker, else the first, is the one that does "
                  "the work and decides how it ended.",
                  name));
  container["name"] = name;
}

void name_role(Conversion& conversion, const std::string& from, std::size_t role) {
  const Json& containers = conversion.out(kContainers);
  if (role_container(containers, kRole) == role) return;
  for (std::size_t i = 0; i < containers.size(); ++i)
    if (i != role && text_at(containers[i], "name") == kRole) rename(conversion, from, i, "worker-sidecar");
  if (role_container(containers, kRole) != role) rename(conversion, from, role, kRole);
}

bool fit_containers(Conversion& conversion, const std::string& from, const std::string& list,
                    std::size_t role) {
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
    fit_container_name(conversion, from, at, fmt::format("container-{}", i));
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
  if (!fit_containers(conversion, from, "initContainers", role) ||
      !fit_containers(conversion, from, "containers", role))
    return;
  name_role(conversion, from, role);
}

void add_variable(Json& container, const std::string& name, const std::string& value) {
  Json& env = container["env"];
  if (!env.is_array()) env = Json::array();
  for (const Json& variable : env)
    if (text_at(variable, "name") == name) return;
  env.push_back({{"name", name}, {"value", value}});
}

}  // namespace muster::cli
