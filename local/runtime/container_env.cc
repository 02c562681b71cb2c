// local/runtime/container_env.cc: env, envFrom, downward API, service variables and $(VAR) expansion
#include "local/runtime/container_env.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <optional>

#include "common/base/base64.h"
#include "local/runtime/json_access.h"
#include "local/runtime/quantity.h"

namespace muster::local {
namespace {

const std::string* find_variable(const Variables& variables, std::string_view name) {
  const auto found = std::ranges::find(variables, name, [](const auto& variable) { return variable.first; });
  return found == variables.end() ? nullptr : &found->second;
}

// "my-svc.x" -> "MY_SVC_X", as Kubernetes names service variables.
std::string variable_name(std::string_view name) {
  std::string out;
  for (const char c : name) {
    out += std::isalnum(static_cast<unsigned char>(c)) != 0
               ? static_cast<char>(std::toupper(static_cast<unsigned char>(c)))
               : '_';
  }
  return out;
}

void add_service(const Json& service, Variables& out) {
  const std::string ip = text(member(service, "spec", "clusterIP"));
  const Json& ports = member(service, "spec", "ports");
  if (ip.empty() || ip == "None" || !ports.is_array() || ports.empty()) return;
  const std::string prefix = variable_name(name_of(service));
  set_variable(out, prefix + "_SERVICE_HOST", ip);
  set_variable(out, prefix + "_SERVICE_PORT", std::to_string(integer(member(ports[0], "port"))));
  for (const Json& port : ports) {
    const std::string number = std::to_string(integer(member(port, "port")));
    const std::string protocol = text(member(port, "protocol"), "TCP");
    std::string lower = protocol;
    std::ranges::transform(lower, lower.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const std::string address = fmt::format("{}://{}:{}", lower, ip, number);
    if (const std::string name = text(member(port, "name")); !name.empty()) {
      set_variable(out, fmt::format("{}_SERVICE_PORT_{}", prefix, variable_name(name)), number);
    }
    if (&port == &ports[0]) set_variable(out, prefix + "_PORT", address);
    const std::string long_prefix = fmt::format("{}_PORT_{}_{}", prefix, number, protocol);
    set_variable(out, long_prefix, address);
    set_variable(out, long_prefix + "_PROTO", lower);
    set_variable(out, long_prefix + "_PORT", number);
    set_variable(out, long_prefix + "_ADDR", ip);
  }
}

// kNotFound in the words of a kubelet.
Result<Json> read_source(const EnvironmentInput& input, bool secret, const std::string& name) {
  Result<Json> found = input.read(secret ? "secrets" : "configmaps", name);
  if (!found && found.error().code == Code::kNotFound) {
    return not_found(fmt::format("{} \"{}\" not found", secret ? "secret" : "configmap", name));
  }
  return found;
}

Status add_all(const EnvironmentInput& input, const Json& source, Variables& out) {
  const bool secret = source.contains("secretRef");
  const Json& reference = member(source, secret ? "secretRef" : "configMapRef");
  const Result<Json> object = read_source(input, secret, text(member(reference, "name")));
  if (!object) {
    if (object.error().code == Code::kNotFound && boolean(member(reference, "optional"))) return {};
    return object.error();
  }
  const std::string prefix = text(member(source, "prefix"));
  for (const auto& [key, value] : member(*object, "data").items()) {
    set_variable(out, prefix + key, secret ? base64_decode(text(value)).value_or("") : text(value));
  }
  return {};
}

// The value of one key; nothing when it is missing and optional.
Result<std::optional<std::string>> key_value(const EnvironmentInput& input, bool secret,
                                             const Json& reference) {
  const std::string name = text(member(reference, "name"));
  const std::string key = text(member(reference, "key"));
  const bool optional = boolean(member(reference, "optional"));
  const Result<Json> object = read_source(input, secret, name);
  if (!object) {
    if (object.error().code == Code::kNotFound && optional) return std::optional<std::string>();
    return object.error();
  }
  const Json& value = member(*object, "data", key);
  if (!value.is_string()) {
    if (optional) return std::optional<std::string>();
    return not_found(fmt::format("couldn't find key {} in {} {}/{}", key, secret ? "Secret" : "ConfigMap",
                                 namespace_of(input.pod), name));
  }
  return std::optional(secret ? base64_decode(text(value)).value_or("") : text(value));
}

Result<std::optional<std::string>> value_from(const EnvironmentInput& input, const Json& source) {
  if (const Json& field = member(source, "fieldRef"); field.is_object()) {
    MUSTER_ASSIGN(std::string value, field_value(input.pod, text(member(field, "fieldPath"))));
    return std::optional(std::move(value));
  }
  if (const Json& resource = member(source, "resourceFieldRef"); resource.is_object()) {
    MUSTER_ASSIGN(std::string value,
                  resource_value(input.container, resource, input.node_cpu_milli, input.node_memory_milli));
    return std::optional(std::move(value));
  }
  if (const Json& reference = member(source, "configMapKeyRef"); reference.is_object()) {
    return key_value(input, false, reference);
  }
  return key_value(input, true, member(source, "secretKeyRef"));
}

}  // namespace

void set_variable(Variables& variables, std::string name, std::string value) {
  const auto found = std::ranges::find(variables, name, [](const auto& variable) { return variable.first; });
  if (found == variables.end()) {
    variables.emplace_back(std::move(name), std::move(value));
  } else {
    found->second = std::move(value);
  }
}

std::string expand_references(std::string_view source, const Variables& variables) {
  std::string out;
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '$' || i + 1 == source.size()) {
      out += source[i];
    } else if (source[i + 1] == '$') {
      out += '$';
      ++i;
    } else if (const std::size_t end = source[i + 1] == '(' ? source.find(')', i) : std::string_view::npos;
               end != std::string_view::npos) {
      const std::string* value = find_variable(variables, source.substr(i + 2, end - i - 2));
      out += value != nullptr ? std::string_view(*value) : source.substr(i, end - i + 1);
      i = end;
    } else {
      out += '$';
    }
  }
  return out;
}

Result<std::string> field_value(const Json& pod, std::string_view path) {
  for (const std::string_view map : {"labels", "annotations"}) {
    const std::string whole = fmt::format("metadata.{}", map);
    const Json& entries = member(pod, "metadata", map);
    if (path == whole) {  // volumes only; the API server refuses it in env
      std::string lines;
      for (const auto& [key, value] : entries.items()) {
        lines += fmt::format("{}{}={}", lines.empty() ? "" : "\n", key, value.dump());
      }
      return lines;
    }
    if (path.starts_with(whole + "['") && path.ends_with("']")) {
      const std::size_t from = whole.size() + 2;
      return text(member(entries, path.substr(from, path.size() - from - 2)));
    }
  }
  if (path == "metadata.name") return name_of(pod);
  if (path == "metadata.namespace") return namespace_of(pod);
  if (path == "metadata.uid") return uid_of(pod);
  if (path == "spec.nodeName") return text(member(pod, "spec", "nodeName"));
  if (path == "spec.serviceAccountName") return text(member(pod, "spec", "serviceAccountName"), "default");
  if (path == "status.podIP" || path == "status.podIPs") return text(member(pod, "status", "podIP"));
  if (path == "status.hostIP" || path == "status.hostIPs") return text(member(pod, "status", "hostIP"));
  return invalid_argument(
      fmt::format("field label not supported: {}; see `kubectl explain "
                  "pod.spec.containers.env.valueFrom.fieldRef`",
                  path));
}

Result<std::string> resource_value(const Json& container, const Json& reference, std::int64_t node_cpu_milli,
                                   std::int64_t node_memory_milli) {
  const std::string resource = text(member(reference, "resource"));
  const std::size_t dot = resource.find('.');
  const std::string group = resource.substr(0, dot);
  const std::string name = dot == std::string::npos ? "" : resource.substr(dot + 1);
  if (name.empty() || (group != "limits" && group != "requests")) {
    return invalid_argument(
        fmt::format("resource not supported: {}; write limits.NAME or requests.NAME", resource));
  }
  const Json& resources = member(container, "resources");
  std::int64_t milli = quantity_milli(member(resources, group, name));
  if (milli == 0 && group == "requests") milli = quantity_milli(member(resources, "limits", name));
  if (milli == 0 && group == "limits" && name == "cpu") milli = node_cpu_milli;
  if (milli == 0 && group == "limits" && name == "memory") milli = node_memory_milli;
  std::int64_t divisor = quantity_milli(member(reference, "divisor"));
  if (divisor <= 0) divisor = 1000;
  return std::to_string((milli + divisor - 1) / divisor);
}

Result<Variables> container_variables(const EnvironmentInput& input) {
  Variables out;
  if (!input.api_host.empty()) {  // KUBERNETES_SERVICE_HOST and what comes with it, whatever the pod says
    add_service({{"metadata", {{"name", "kubernetes"}}},
                 {"spec",
                  {{"clusterIP", input.api_host},
                   {"ports", Json::array({{{"name", "https"}, {"port", input.api_port}}})}}}},
                out);
  }
  if (boolean(member(input.pod, "spec", "enableServiceLinks"), true)) {
    for (const Json& service : input.services) add_service(service, out);
  }
  for (const Json& source : member(input.container, "envFrom")) MUSTER_TRY(add_all(input, source, out));
  for (const Json& entry : member(input.container, "env")) {
    const std::string name = text(member(entry, "name"));
    const Json& from = member(entry, "valueFrom");
    if (from.is_object()) {
      MUSTER_ASSIGN(std::optional<std::string> value, value_from(input, from));
      if (value) set_variable(out, name, *std::move(value));
    } else {
      set_variable(out, name, expand_references(text(member(entry, "value")), out));
    }
  }
  return out;
}

}  // namespace muster::local
