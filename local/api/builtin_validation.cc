// local/api/builtin_validation.cc: the checks of built-in kinds that users meet
#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "common/base/base64.h"
#include "common/base/rfc3339.h"
#include "local/api/builtin_checks.h"
#include "local/api/crd.h"
#include "local/api/kind_rules.h"
#include "local/api/metadata.h"

namespace muster::local {
namespace {

std::string go_kind(const Json& value) {
  switch (value.type()) {
    case Json::value_t::string: return "string";
    case Json::value_t::boolean: return "bool";
    case Json::value_t::object: return "object";
    case Json::value_t::array: return "array";
    default: return "number";
  }
}

std::string go_type(const Schema& schema, const std::string& holder) {
  switch (schema.type) {
    case Schema::Type::kString: return "string";
    case Schema::Type::kBoolean: return "bool";
    case Schema::Type::kInteger: return schema.format;
    case Schema::Type::kNumber: return "float64";
    case Schema::Type::kArray: return "[]" + (schema.items ? go_type(*schema.items, holder) : "interface {}");
    case Schema::Type::kObject:
      if (schema.additional) return "map[string]" + go_type(*schema.additional, holder);
      return "v1." + schema.type_name;
    case Schema::Type::kAny: break;
  }
  return "interface {}";
}

class TypeCheck {
 public:
  explicit TypeCheck(const Kind& kind) : kind_(kind) {}

  ApiStatus check(const Json& value, const Schema& schema, const std::string& holder,
                  const std::string& path) {
    if (value.is_null() || schema.preserve_unknown) return {};
    if (schema.int_or_string) {
      if (value.is_number() || value.is_string()) return {};
      return refuse(
          fmt::format("json: cannot unmarshal {} into Go struct field {}.{} of type intstr.IntOrString",
                      go_kind(value), holder, path));
    }
    if (schema.format == "quantity") {
      if (value.is_number()) return {};
      if (value.is_string() && is_quantity(value.get<std::string>())) return {};
      return refuse(
          "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
    }
    if (schema.format.rfind("date-time", 0) == 0 && value.is_string() &&
        !parse_rfc3339(value.get_ref<const std::string&>())) {
      const std::string text = go_quote(value.get_ref<const std::string&>());
      return refuse(
          fmt::format("parsing time {} as \"2006-01-02T15:04:05{}Z07:00\": cannot parse {} as \"2006\"", text,
                      schema.format == "date-time" ? "" : ".000000", text));
    }
    if (schema.format == "byte" && value.is_string()) {
      if (const auto at = base64_error(value.get_ref<const std::string&>()))
        return refuse(fmt::format("illegal base64 data at input byte {}", *at));
      return {};
    }
    if (!fits(value, schema))
      return refuse(fmt::format("json: cannot unmarshal {} into Go struct field {}.{} of type {}",
                                describe(value, schema), holder, path, go_type(schema, holder)));
    if (value.is_object()) return check_members(value, schema, holder, path);
    if (value.is_array() && schema.items)
      for (const Json& item : value)
        if (auto good = check(item, *schema.items, holder, path); !good) return good;
    return {};
  }

 private:
  static std::string describe(const Json& value, const Schema& schema) {
    if (value.is_number() && schema.type == Schema::Type::kInteger) return "number " + value.dump();
    return go_kind(value);
  }

  static bool fits(const Json& value, const Schema& schema) {
    switch (schema.type) {
      case Schema::Type::kString: return value.is_string();
      case Schema::Type::kBoolean: return value.is_boolean();
      case Schema::Type::kInteger: return value.is_number_integer();
      case Schema::Type::kNumber: return value.is_number();
      case Schema::Type::kArray: return value.is_array();
      case Schema::Type::kObject: return value.is_object();
      case Schema::Type::kAny: break;
    }
    return true;
  }

  ApiStatus check_members(const Json& value, const Schema& schema, const std::string& holder,
                          const std::string& path) {
    const std::string owner = holder.empty() ? kind_.kind : holder;
    for (const auto& [name, member] : value.items()) {
      const Schema* type = schema.property(name);
      if (type == nullptr) continue;
      const std::string at = schema.additional ? path
                             : path.empty()    ? name
                                               : fmt::format("{}.{}", path, name);
      if (auto good = check(member, *type, owner, at); !good) return good;
    }
    return {};
  }

  ApiError refuse(const std::string& why) const {
    return ApiError::bad_request(fmt::format("{} in version \"{}\" cannot be handled as a {}: {}", kind_.kind,
                                             kind_.version, kind_.kind, why));
  }

  const Kind& kind_;
};

void check_keys(const Json& object, const char* member, FieldErrors& errors) {
  for (const auto& [key, value] : object_of(object, member).items())
    for (const std::string& wrong : check_config_key(key))
      errors.push_back(FieldError::invalid(fmt::format("{}[{}]", member, key), key, wrong));
}

void check_immutable(const Json& object, const Json& old, std::initializer_list<const char*> members,
                     FieldErrors& errors) {
  if (old.value("immutable", Json(false)) != Json(true)) return;
  const std::string why = "field is immutable when `immutable` is set";
  if (object.value("immutable", Json(false)) != Json(true))
    errors.push_back(FieldError::forbidden("immutable", why));
  for (const char* member : members)
    if (object.value(member, Json()) != old.value(member, Json()))
      errors.push_back(FieldError::forbidden(member, why));
}

// What Secrets of a well-known type must hold.
void check_secret_type(const Json& secret, FieldErrors& errors) {
  const std::string type = text_at(secret, "type");
  const Json& data = object_of(secret, "data");
  const auto need = [&](const char* key) {
    if (!data.contains(key)) errors.push_back(FieldError::required(fmt::format("data[{}]", key)));
  };
  if (type == "kubernetes.io/tls") {
    need("tls.crt");
    need("tls.key");
  } else if (type == "kubernetes.io/ssh-auth") {
    need("ssh-privatekey");
  } else if (type == "kubernetes.io/dockerconfigjson") {
    need(".dockerconfigjson");
  } else if (type == "kubernetes.io/basic-auth" && !data.contains("username") && !data.contains("password")) {
    need("username");
    need("password");
  } else if (type == "kubernetes.io/service-account-token") {
    constexpr const char* kAccount = "kubernetes.io/service-account.name";
    if (text_at(object_of(object_of(secret, "metadata"), "annotations"), kAccount).empty())
      errors.push_back(FieldError::required(fmt::format("metadata.annotations[{}]", kAccount)));
  }
}

bool is_ip(const std::string& text) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  return inet_pton(AF_INET, text.c_str(), bytes.data()) == 1 ||
         inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1;
}

// RFC 6335: a service's name.
std::vector<std::string> check_port_name(const std::string& name) {
  std::vector<std::string> wrong;
  const auto known = [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  };
  const auto letter = [](unsigned char c) { return c >= 'a' && c <= 'z'; };
  if (name.size() > 15) wrong.emplace_back("must be no more than 15 characters");
  if (!std::ranges::all_of(name, known))
    wrong.emplace_back("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
  if (!std::ranges::any_of(name, letter)) wrong.emplace_back("must contain at least one letter (a-z)");
  if (name.find("--") != std::string::npos) wrong.emplace_back("must not contain consecutive hyphens");
  if (!name.empty() && (name.front() == '-' || name.back() == '-'))
    wrong.emplace_back("must not begin or end with a hyphen");
  return wrong;
}

void check_service(const Json& service, const Json* old, FieldErrors& errors) {
  const Json& spec = object_of(service, "spec");
  const Json& ports = array_of(spec, "ports");
  const std::string type = text_at(spec, "type");
  static const std::set<std::string> kTypes = {"ClusterIP", "ExternalName", "LoadBalancer", "NodePort"};
  if (!kTypes.count(type))
    errors.push_back(FieldError::not_supported("spec.type", type, {kTypes.begin(), kTypes.end()}));
  if (ports.empty() && text_at(spec, "clusterIP") != "None" && type != "ExternalName")
    errors.push_back(FieldError::required("spec.ports"));
  if (const std::string affinity = text_at(spec, "sessionAffinity");
      affinity != "None" && affinity != "ClientIP")
    errors.push_back(FieldError::not_supported("spec.sessionAffinity", affinity, {"ClientIP", "None"}));
  if (type == "ExternalName") {
    if (text_at(spec, "externalName").empty()) errors.push_back(FieldError::required("spec.externalName"));
  } else if (const std::string ip = text_at(spec, "clusterIP"); !ip.empty() && ip != "None" && !is_ip(ip)) {
    errors.push_back(FieldError::invalid("spec.clusterIPs[0]", ip,
                                         "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"));
  }
  std::set<std::string> names;
  std::set<std::string> numbers;
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const std::string path = fmt::format("spec.ports[{}]", i);
    const Json& port = ports[i];
    const std::string name = text_at(port, "name");
    if (ports.size() > 1 && name.empty()) errors.push_back(FieldError::required(path + ".name"));
    if (!name.empty() && !names.insert(name).second)
      errors.push_back(FieldError::duplicate(path + ".name", name));
    if (!name.empty())
      for (const std::string& wrong : check_dns_label(name))
        errors.push_back(FieldError::invalid(path + ".name", name, wrong));
    if (!port.contains("port") || !is_port(port["port"]))
      errors.push_back(FieldError::invalid(path + ".port", port.value("port", Json(0)), kPortRange));
    if (port.contains("targetPort") && port["targetPort"].is_number() && !is_port(port["targetPort"]))
      errors.push_back(FieldError::invalid(path + ".targetPort", port["targetPort"], kPortRange));
    if (port.contains("targetPort") && port["targetPort"].is_string())
      for (const std::string& wrong : check_port_name(port["targetPort"].get<std::string>()))
        errors.push_back(FieldError::invalid(path + ".targetPort", port["targetPort"], wrong));
    const std::string protocol = text_at(port, "protocol");
    if (protocol != "TCP" && protocol != "UDP" && protocol != "SCTP")
      errors.push_back(FieldError::not_supported(path + ".protocol", protocol, {"SCTP", "TCP", "UDP"}));
    if (port.contains("port") && !numbers.insert(port["port"].dump() + protocol).second)
      errors.push_back(FieldError::duplicate(path, Json{{"port", port["port"]}, {"protocol", protocol}}));
  }
  for (const auto& [key, value] : object_of(spec, "selector").items()) {
    for (const std::string& wrong : check_qualified_name(key))
      errors.push_back(FieldError::invalid("spec.selector", key, wrong));
    if (value.is_string())
      for (const std::string& wrong : check_label_value(value.get<std::string>()))
        errors.push_back(FieldError::invalid("spec.selector", value, wrong));
  }
  if (old != nullptr) {
    const std::string before = text_at(object_of(*old, "spec"), "clusterIP");
    const std::string after = text_at(spec, "clusterIP");
    if (!before.empty() && before != after && type != "ExternalName" &&
        text_at(object_of(*old, "spec"), "type") != "ExternalName")
      errors.push_back(
          {"FieldValueInvalid", "spec.clusterIPs[0]",
           fmt::format("Invalid value: []string{{{}}}: may not change once set", go_quote(after))});
  }
}

}  // namespace

ApiStatus check_builtin_types(const Kind& kind, const Json& object) {
  return TypeCheck(kind).check(object, *kind.schema, "", "");
}

FieldErrors validate_builtin(const Kind& kind, const Json& object, const Json* old,
                             const std::string& subresource) {
  FieldErrors errors;
  if (subresource == "status") return errors;
  const std::string resource = kind.resource();
  if (resource == "configmaps") {
    check_keys(object, "data", errors);
    check_keys(object, "binaryData", errors);
    for (const auto& [key, value] : object_of(object, "data").items())
      if (object_of(object, "binaryData").contains(key))
        errors.push_back(
            FieldError::invalid(fmt::format("data[{}]", key), key, "duplicate of key present in binaryData"));
    if (old != nullptr) check_immutable(object, *old, {"data", "binaryData"}, errors);
  } else if (resource == "secrets") {
    check_keys(object, "data", errors);
    check_secret_type(object, errors);
    if (old != nullptr) {
      check_immutable(object, *old, {"data"}, errors);
      if (text_at(object, "type") != text_at(*old, "type"))
        errors.push_back(FieldError::invalid("type", text_at(object, "type"), "field is immutable"));
    }
  } else if (resource == "services") {
    check_service(object, old, errors);
  } else if (resource == "pods") {
    validate_pod_spec(object_of(object, "spec"), "spec", errors);
    if (old != nullptr) validate_pod_update(object, *old, subresource == "binding", errors);
  } else if (resource == "customresourcedefinitions.apiextensions.k8s.io") {
    const FieldErrors more = validate_crd(object, old);
    errors.insert(errors.end(), more.begin(), more.end());
  } else if (kind.group == "apps" || kind.group == "batch") {
    validate_workload(kind, object, old, errors);
  } else if (resource == "events") {
    const std::string involved = text_at(object_of(object, "involvedObject"), "namespace");
    const std::string own = meta_text(object, "namespace");
    if (involved != own && !(involved.empty() && own == "default"))
      errors.push_back(
          FieldError::invalid("involvedObject.namespace", involved, "does not match event.namespace"));
  } else if (resource == "leases.coordination.k8s.io") {
    const Json& spec = object_of(object, "spec");
    if (spec.contains("leaseDurationSeconds") && spec["leaseDurationSeconds"].is_number() &&
        spec["leaseDurationSeconds"] <= 0)
      errors.push_back(FieldError::invalid("spec.leaseDurationSeconds", spec["leaseDurationSeconds"],
                                           "must be greater than 0"));
    if (spec.contains("leaseTransitions") && spec["leaseTransitions"].is_number() &&
        spec["leaseTransitions"] < 0)
      errors.push_back(FieldError::invalid("spec.leaseTransitions", spec["leaseTransitions"],
                                           "must be greater than or equal to 0"));
  }
  validate_policies(kind, object, old, errors);
  return errors;
}

}  // namespace muster::local
