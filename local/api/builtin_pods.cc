// local/api/builtin_pods.cc: the checks of a pod's spec
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "local/api/builtin_checks.h"
#include "local/api/metadata.h"
#include "local/api/pod_checks.h"

namespace muster::local {
namespace {

using Texts = std::vector<std::string>;

void check_choice(const Json& holder, const char* name, const std::string& path, const Texts& known,
                  FieldErrors& errors) {
  const std::string value = text_at(holder, name);
  if (!value.empty() && std::find(known.begin(), known.end(), value) == known.end())
    errors.push_back(FieldError::not_supported(join_path(path, name), value, known));
}

void check_env(const Json& container, const std::string& path, FieldErrors& errors) {
  const Json& env = array_of(container, "env");
  for (std::size_t i = 0; i < env.size(); ++i) {
    const std::string at = fmt::format("{}.env[{}]", path, i);
    const std::string name = text_at(env[i], "name");
    if (name.empty())
      errors.push_back(FieldError::required(at + ".name"));
    else if (std::any_of(name.begin(), name.end(), [](char c) { return c < ' ' || c > '~' || c == '='; }))
      errors.push_back(
          FieldError::invalid(at + ".name", name,
                              "a valid environment variable name must consist only of printable ASCII "
                              "characters other than '='"));
    const Json& from = object_of(env[i], "valueFrom");
    if (!env[i].is_object() || !env[i].contains("valueFrom")) continue;
    check_variable_field(env[i], at, errors);
    if (!text_at(env[i], "value").empty())
      errors.push_back(
          FieldError::invalid(at + ".valueFrom", "", "may not be specified when `value` is not empty"));
    if (from.empty())
      errors.push_back(FieldError::invalid(
          at + ".valueFrom", "",
          "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"));
    if (from.size() > 1)
      errors.push_back(
          FieldError::invalid(at + ".valueFrom", "", "may not have more than one field specified at a time"));
    for (const char* ref : {"configMapKeyRef", "secretKeyRef"})
      if (from.contains(ref) && text_at(from[ref], "key").empty())
        errors.push_back(FieldError::required(fmt::format("{}.valueFrom.{}.key", at, ref)));
  }
}

void check_ports(const Json& container, const std::string& path, FieldErrors& errors) {
  const Json& ports = array_of(container, "ports");
  std::set<std::string> names;
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const std::string at = fmt::format("{}.ports[{}]", path, i);
    const std::string name = text_at(ports[i], "name");
    if (!name.empty() && !names.insert(name).second)
      errors.push_back(FieldError::duplicate(at + ".name", name));
    if (name.size() > 15)
      errors.push_back(FieldError::invalid(at + ".name", name, "must be no more than 15 characters"));
    const Json port = ports[i].value("containerPort", Json(0));
    if (port == 0)
      errors.push_back(FieldError::required(at + ".containerPort"));
    else if (!is_port(port))
      errors.push_back(FieldError::invalid(at + ".containerPort", port, kPortRange));
    if (const Json host = ports[i].value("hostPort", Json(0)); host != 0 && !is_port(host))
      errors.push_back(FieldError::invalid(at + ".hostPort", host, kPortRange));
    check_choice(ports[i], "protocol", at, {"SCTP", "TCP", "UDP"}, errors);
  }
}

// A resource of the cluster's own machines; anything else is a device, which is counted.
bool is_native(const std::string& name) {
  return name.find('/') == std::string::npos || name.find("kubernetes.io/") != std::string::npos;
}

void check_amount(const std::string& name, const Json& value, const std::string& at, FieldErrors& errors) {
  const auto amount = value.is_string() ? quantity_value(value.get<std::string>()).value_or(0) : 0;
  if (amount < 0) errors.push_back(FieldError::invalid(at, value, "must be greater than or equal to 0"));
  if (!is_native(name) && std::floor(amount) != amount)
    errors.push_back(FieldError::invalid(at, value, "must be an integer"));
}

void check_resources(const Json& container, const std::string& path, FieldErrors& errors) {
  const Json& resources = object_of(container, "resources");
  const Json& limits = object_of(resources, "limits");
  for (const char* list : {"limits", "requests"})
    for (const auto& [name, value] : object_of(resources, list).items())
      check_amount(name, value, fmt::format("{}.resources.{}[{}]", path, list, name), errors);
  for (const auto& [name, value] : object_of(resources, "requests").items()) {
    const std::string limit = text_at(limits, name.c_str());
    if (!value.is_string()) continue;
    // Devices and huge pages cannot be promised twice: what is requested of them is what is to be had.
    const bool overcommit = is_native(name) && name.rfind("hugepages-", 0) != 0;
    if (limit.empty()) {
      if (!overcommit)
        errors.push_back(FieldError::required(path + ".resources.limits",
                                              "Limit must be set for non overcommitable resources"));
      continue;
    }
    const auto wanted = quantity_value(value.get<std::string>()).value_or(0);
    const auto most = quantity_value(limit).value_or(0);
    if (overcommit ? wanted > most : wanted != most)
      errors.push_back(
          FieldError::invalid(path + ".resources.requests", value,
                              fmt::format("must be {} {} limit of {}",
                                          overcommit ? "less than or equal to" : "equal to", name, limit)));
  }
}

void check_probe(const Json& container, const char* name, const std::string& path, FieldErrors& errors) {
  if (!container.contains(name) || !container[name].is_object()) return;
  const Json& probe = container[name];
  const std::string at = join_path(path, name);
  int handlers = 0;
  for (const char* handler : {"exec", "httpGet", "tcpSocket", "grpc"})
    if (probe.contains(handler)) ++handlers;
  if (handlers == 0) errors.push_back(FieldError::required(at, "must specify a handler type"));
  if (handlers > 1)
    errors.push_back(FieldError::forbidden(join_path(at, probe.contains("httpGet")     ? "httpGet"
                                                         : probe.contains("tcpSocket") ? "tcpSocket"
                                                                                       : "grpc"),
                                           "may not specify more than 1 handler type"));
  if (probe.contains("exec") && array_of(object_of(probe, "exec"), "command").empty())
    errors.push_back(FieldError::required(at + ".exec.command"));
  for (const char* number :
       {"initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"})
    if (const Json value = probe.value(number, Json(0)); value.is_number() && value < 0)
      errors.push_back(
          FieldError::invalid(join_path(at, number), value, "must be greater than or equal to 0"));
  if (std::string_view(name) != "readinessProbe" && probe.value("successThreshold", Json(1)) != 1)
    errors.push_back(FieldError::invalid(at + ".successThreshold", probe["successThreshold"], "must be 1"));
}

void check_mounts(const Json& container, const std::set<std::string>& volumes, const std::string& path,
                  FieldErrors& errors) {
  const Json& mounts = array_of(container, "volumeMounts");
  std::set<std::string> places;
  for (std::size_t i = 0; i < mounts.size(); ++i) {
    const std::string at = fmt::format("{}.volumeMounts[{}]", path, i);
    const std::string name = text_at(mounts[i], "name"), place = text_at(mounts[i], "mountPath");
    if (name.empty())
      errors.push_back(FieldError::required(at + ".name"));
    else if (!volumes.count(name))
      errors.push_back(FieldError::not_found(at + ".name", name));
    if (place.empty())
      errors.push_back(FieldError::required(at + ".mountPath"));
    else if (!places.insert(place).second)
      errors.push_back(FieldError::invalid(at + ".mountPath", place, "must be unique"));
  }
}

void check_container(const Json& container, const std::string& path, const std::set<std::string>& volumes,
                     std::set<std::string>& names, FieldErrors& errors) {
  const std::string name = text_at(container, "name");
  if (name.empty()) {
    errors.push_back(FieldError::required(path + ".name"));
  } else {
    for (const std::string& wrong : check_dns_label(name))
      errors.push_back(FieldError::invalid(path + ".name", name, wrong));
    if (!names.insert(name).second) errors.push_back(FieldError::duplicate(path + ".name", name));
  }
  if (text_at(container, "image").empty()) errors.push_back(FieldError::required(path + ".image"));
  check_choice(container, "imagePullPolicy", path, {"Always", "IfNotPresent", "Never"}, errors);
  check_choice(container, "terminationMessagePolicy", path, {"FallbackToLogsOnError", "File"}, errors);
  check_env(container, path, errors);
  check_ports(container, path, errors);
  check_resources(container, path, errors);
  check_mounts(container, volumes, path, errors);
  for (const char* probe : {"livenessProbe", "readinessProbe", "startupProbe"})
    check_probe(container, probe, path, errors);
}

void check_tolerations(const Json& spec, const std::string& root, FieldErrors& errors) {
  const Json& tolerations = array_of(spec, "tolerations");
  for (std::size_t i = 0; i < tolerations.size(); ++i) {
    const std::string at = fmt::format("{}.tolerations[{}]", root, i);
    const std::string key = text_at(tolerations[i], "key"), how = text_at(tolerations[i], "operator");
    const std::string value = text_at(tolerations[i], "value"), effect = text_at(tolerations[i], "effect");
    for (const std::string& wrong : key.empty() ? Texts{} : check_qualified_name(key))
      errors.push_back(FieldError::invalid(at + ".key", key, wrong));
    if (key.empty() && how != "Exists")
      errors.push_back(FieldError::invalid(at + ".operator", how,
                                           "operator must be Exists when `key` is empty, which means \"match "
                                           "all values and all keys\""));
    if (tolerations[i].contains("tolerationSeconds") && effect != "NoExecute")
      errors.push_back(FieldError::invalid(at + ".effect", effect,
                                           "effect must be 'NoExecute' when `tolerationSeconds` is set"));
    if (how.empty() || how == "Equal") {
      for (const std::string& wrong : check_label_value(value))
        errors.push_back(FieldError::invalid(at + ".operator", value, wrong));
    } else if (how == "Exists" && !value.empty()) {
      errors.push_back(FieldError::invalid(at + ".operator", tolerations[i],
                                           "value must be empty when `operator` is 'Exists'"));
    }
    check_choice(tolerations[i], "operator", at, {"Equal", "Exists"}, errors);
    check_choice(tolerations[i], "effect", at, {"NoExecute", "NoSchedule", "PreferNoSchedule"}, errors);
  }
}

std::set<std::string> check_volumes(const Json& spec, const std::string& root, FieldErrors& errors) {
  std::set<std::string> names;  // of the volumes that are good
  const Json& volumes = array_of(spec, "volumes");
  for (std::size_t i = 0; i < volumes.size(); ++i) {
    const std::size_t before = errors.size();
    const std::string path = fmt::format("{}.volumes[{}]", root, i);
    const std::string name = text_at(volumes[i], "name");
    if (name.empty()) errors.push_back(FieldError::required(path + ".name"));
    for (const std::string& wrong : name.empty() ? Texts{} : check_dns_label(name))
      errors.push_back(FieldError::invalid(path + ".name", name, wrong));
    if (names.count(name) != 0) errors.push_back(FieldError::duplicate(path + ".name", name));
    if (volumes[i].size() > 2)
      errors.push_back(FieldError::forbidden(path + "." + std::next(volumes[i].begin()).key(),
                                             "may not specify more than 1 volume type"));
    const auto need = [&](const char* source, const char* field) {
      if (volumes[i].contains(source) && text_at(volumes[i][source], field).empty())
        errors.push_back(FieldError::required(fmt::format("{}.{}.{}", path, source, field)));
    };
    need("configMap", "name");
    need("secret", "secretName");
    need("hostPath", "path");
    need("persistentVolumeClaim", "claimName");
    check_host_path(volumes[i], path, errors);
    if (errors.size() == before) names.insert(name);
  }
  return names;
}

}  // namespace

void validate_pod_spec(const Json& spec, const std::string& root, FieldErrors& errors) {
  const std::set<std::string> volumes = check_volumes(spec, root, errors);
  if (array_of(spec, "containers").empty()) errors.push_back(FieldError::required(root + ".containers"));
  std::set<std::string> names;
  for (const char* list : {"containers", "initContainers"})
    for (std::size_t i = 0; i < array_of(spec, list).size(); ++i)
      check_container(spec[list][i], fmt::format("{}.{}[{}]", root, list, i), volumes, names, errors);
  check_choice(spec, "restartPolicy", root, {"Always", "OnFailure", "Never"}, errors);
  check_choice(spec, "dnsPolicy", root, {"ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"},
               errors);
  for (const auto& [key, value] : object_of(spec, "nodeSelector").items()) {
    for (const std::string& wrong : check_qualified_name(key))
      errors.push_back(FieldError::invalid(root + ".nodeSelector", key, wrong));
    for (const std::string& wrong : value.is_string() ? check_label_value(value.get<std::string>()) : Texts{})
      errors.push_back(FieldError::invalid(root + ".nodeSelector", value, wrong));
  }
  for (const char* name : {"hostname", "subdomain"})
    if (const std::string value = text_at(spec, name); !value.empty())
      for (const std::string& wrong : check_dns_label(value))
        errors.push_back(FieldError::invalid(join_path(root, name), value, wrong));
  if (const Json limit = spec.value("activeDeadlineSeconds", Json(1)); limit.is_number() && limit < 1)
    errors.push_back(FieldError::invalid(root + ".activeDeadlineSeconds", limit,
                                         "must be between 1 and 2147483647, inclusive"));
  check_tolerations(spec, root, errors);
  check_pod_paths(spec, root, errors);
}

// A pod's spec is fixed but for images, deadlines and tolerations.
void validate_pod_update(const Json& pod, const Json& old, bool binding, FieldErrors& errors) {
  const auto fixed = [](const Json& from) {
    Json spec = object_of(from, "spec");
    for (const char* list : {"containers", "initContainers"})
      if (spec.contains(list))
        for (Json& container : spec[list]) container.erase("image");
    for (const char* name : {"activeDeadlineSeconds", "tolerations", "schedulingGates"}) spec.erase(name);
    return spec;
  };
  const Json& before_spec = object_of(old, "spec");
  Json now = fixed(pod);
  const Json before = fixed(old);
  if (const Json was = before_spec.value("terminationGracePeriodSeconds", Json(0));
      was.is_number() && was < 0 && now.value("terminationGracePeriodSeconds", Json()) == 1)
    now["terminationGracePeriodSeconds"] = was;
  if (binding && !before.contains("nodeName")) now.erase("nodeName");
  const Json limit_was = before_spec.value("activeDeadlineSeconds", Json()),
             limit = object_of(pod, "spec").value("activeDeadlineSeconds", Json());
  if (limit_was.is_number()) {
    if (!limit.is_number())
      errors.push_back(FieldError::invalid("spec.activeDeadlineSeconds", limit,
                                           "must not update from a positive integer to nil value"));
    else if (limit > limit_was)
      errors.push_back(FieldError::invalid("spec.activeDeadlineSeconds", limit,
                                           "must be less than or equal to previous value"));
  }
  if (now != before)
    errors.push_back(FieldError::forbidden(
        "spec",
        std::string("pod updates may not change fields other than ") +
            "`spec.containers[*].image`,`spec.initContainers[*].image`,"
            "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
            "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n" +
            changed_fields(before, now)));
}

}  // namespace muster::local
