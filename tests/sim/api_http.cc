// tests/sim/api_http.cc: paths and queries, and the answers of an API server
#include "api_http.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "common/json/access.h"
#include "common/json/read_json.h"

namespace muster::sim {
namespace {

constexpr const char* kGroupsApi = "scheduling.x-k8s.io";  // of scheduler-plugins

std::string decoded(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      plain += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
      i += 2;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

std::vector<std::string_view> split(std::string_view text, char by) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const auto end = text.find(by);
    if (end != 0) parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return parts;
}

kube::HttpResponse answer(int status, std::string body) {
  return {.status = status, .headers = {{"Content-Type", "application/json"}}, .body = std::move(body)};
}

kube::HttpResponse answer(const ApiStore& store, const std::string& resource,
                          const std::variant<const Json*, Refusal>& outcome, int status) {
  if (const auto* refusal = std::get_if<Refusal>(&outcome)) return answer_with(*refusal);
  const std::string key = key_of(*std::get<const Json*>(outcome));
  return answer(status, store.find(resource, key) == nullptr ? "{}" : store.text(resource, key));
}

// As of one version, in pages: a token is that version and the last key.
kube::HttpResponse list(const ApiStore& store, const ApiRequest& request, std::uint64_t as_of) {
  const auto query = [&](const char* name) {
    const auto found = request.query.find(name);
    return found == request.query.end() ? std::string() : found->second;
  };
  std::string after;
  if (const std::string token = query("continue"); !token.empty()) {
    const auto colon = token.find(':');
    as_of = to_number(token.substr(0, colon));
    after = token.substr(colon + 1);
    if (store.is_compacted(request.resource, as_of))
      return answer_with({410, "Expired", "The provided continue parameter is too old"});
  } else {
    as_of = std::max(as_of, to_number(query("resourceVersion")));
  }
  const std::size_t limit = query("limit").empty() ? SIZE_MAX : to_number(query("limit"));
  const bool selective = !query("labelSelector").empty();
  const std::string by_name = query("fieldSelector");  // metadata.name=NAME, or none
  const std::string name = by_name.empty() ? "" : by_name.substr(by_name.find('=') + 1);
  std::string items, last, next;
  std::size_t count = 0;
  for (const auto& [key, text] : store.list_at(request.resource, as_of)) {
    if (key <= after || (!request.ns.empty() && !key.starts_with(request.ns + "/"))) continue;
    if (!name.empty() && !key.ends_with("/" + name)) continue;
    if (selective && text.find("\"app.kubernetes.io/managed-by\":\"muster\"") == std::string::npos) continue;
    if (count == limit) {
      next = fmt::format("{}:{}", as_of, last);
      break;
    }
    items += (count++ == 0 ? "" : ",") + text;
    last = key;
  }
  return answer(200, fmt::format(R"({{"metadata":{{"resourceVersion":"{}","continue":"{}"}},"items":[{}]}})",
                                 as_of, next, items));
}

// Of the groups of schedulers, which an operator asks for.
kube::HttpResponse discover(const ApiStore& store, const ApiRequest& request) {
  Json groups = Json::array();
  if (store.serves_groups)
    groups.push_back({{"name", kGroupsApi}, {"versions", Json::array({{{"version", "v1alpha1"}}})}});
  if (request.name.empty()) return answer(200, Json{{"groups", groups}}.dump());
  if (!store.serves_groups || request.name != kGroupsApi)
    return answer_with({404, "NotFound", "the server could not find the requested resource"});
  return answer(200, Json{{"resources", Json::array({{{"name", "podgroups"}}})}}.dump());
}

std::optional<Refusal> check_version(const Json& wanted, const Json& stored) {
  const std::string version = meta_text(wanted, "resourceVersion");
  if (version.empty() || version == meta_text(stored, "resourceVersion")) return std::nullopt;
  return Refusal{409, "Conflict",
                 "the object has been modified; please apply your changes to the latest version"};
}

kube::HttpResponse create(ApiStore& store, const ApiRequest& request, const std::string& body) {
  Json object = read_json(body);
  const bool dry = request.query.contains("dryRun");
  if (text(member(object, "metadata", "labels", "sim/refuse")) == "422")
    return answer_with({422, "Invalid",
                        fmt::format("Pod \"{}\" is invalid: spec.containers[0].image: Required value",
                                    meta_text(object, "name"))});
  if (dry) return answer(201, body);
  return answer(store, request.resource, store.create(request.resource, std::move(object)), 201);
}

kube::HttpResponse patch(ApiStore& store, const ApiRequest& request, const std::string& body) {
  const Json wanted = read_json(body);
  return answer(store, request.resource,
                store.update(request.resource, request.key(),
                             [&](Json& object) -> std::optional<Refusal> {
                               if (auto stale = check_version(wanted, object)) return stale;
                               if (request.subresource == "status") {
                                 object["status"].merge_patch(member(wanted, "status"));
                               } else {
                                 object.merge_patch(wanted);
                               }
                               return std::nullopt;
                             }),
                200);
}

kube::HttpResponse replace(ApiStore& store, const ApiRequest& request, const std::string& body) {
  const Json wanted = read_json(body);
  return answer(store, request.resource,
                store.update(request.resource, request.key(),
                             [&](Json& object) -> std::optional<Refusal> {
                               if (auto stale = check_version(wanted, object)) return stale;
                               for (const char* part : {"spec", "data"})
                                 if (wanted.contains(part)) object[part] = wanted[part];
                               return std::nullopt;
                             }),
                200);
}

kube::HttpResponse remove(ApiStore& store, const ApiRequest& request, const std::string& body) {
  const Json wanted = read_json(body);
  kube::DeleteOptions options;
  options.uid = text(member(wanted, "preconditions", "uid"));
  const std::string policy = text(member(wanted, "propagationPolicy"));
  if (policy == "Foreground") options.propagation = kube::Propagation::kForeground;
  if (policy == "Orphan") options.propagation = kube::Propagation::kOrphan;
  if (const Json& grace = member(wanted, "gracePeriodSeconds"); grace.is_number())
    options.grace = std::chrono::seconds(integer(grace));
  const auto outcome = store.remove(request.resource, request.key(), options);
  if (const auto* refusal = std::get_if<Refusal>(&outcome)) return answer_with(*refusal);
  const Json& object = std::get<Json>(outcome);
  return answer(200, object.dump());
}

}  // namespace

std::uint64_t to_number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

ApiRequest parse_request(const kube::HttpRequest& request) {
  constexpr std::size_t kGroupParts = 3;  // apis/group/version
  ApiRequest parsed;
  const auto mark = request.target.find('?');
  auto path = split(std::string_view(request.target).substr(0, mark), '/');
  if (path.front() == "apis" && path.size() <= kGroupParts) {
    parsed.verb = "discover";
    if (path.size() == kGroupParts) parsed.name = path[1];
    return parsed;
  }
  path.erase(path.begin(), path.begin() + (path.front() == "apis" ? 3 : 2));  // api/v1, apis/group/version
  if (path.size() >= 3 && path[0] == "namespaces") {
    parsed.ns = path[1];
    path.erase(path.begin(), path.begin() + 2);
  }
  parsed.resource = path[0];
  if (path.size() > 1) parsed.name = decoded(path[1]);
  if (path.size() > 2) parsed.subresource = path[2];
  if (mark != std::string::npos) {
    for (const auto pair : split(std::string_view(request.target).substr(mark + 1), '&')) {
      const auto equals = pair.find('=');
      parsed.query[std::string(pair.substr(0, equals))] = decoded(pair.substr(equals + 1));
    }
  }
  if (request.method == "GET") parsed.verb = !parsed.name.empty() ? "get" : "list";
  if (parsed.query.contains("watch")) parsed.verb = "watch";
  if (request.method == "POST") parsed.verb = "create";
  if (request.method == "PUT") parsed.verb = "update";
  if (request.method == "PATCH") parsed.verb = "patch";
  if (request.method == "DELETE") parsed.verb = "delete";
  return parsed;
}

kube::HttpResponse answer_with(const Refusal& refusal) {
  const Json status{{"kind", "Status"},     {"apiVersion", "v1"},       {"status", "Failure"},
                    {"code", refusal.code}, {"reason", refusal.reason}, {"message", refusal.message}};
  return answer(refusal.code, status.dump());
}

kube::HttpResponse serve(ApiStore& store, const ApiRequest& request, const std::string& body,
                         std::uint64_t lists_from) {
  if (request.verb == "discover") return discover(store, request);
  if (request.verb == "list") return list(store, request, lists_from);
  if (request.verb == "create") return create(store, request, body);
  if (request.verb == "patch") return patch(store, request, body);
  if (request.verb == "update") return replace(store, request, body);
  if (request.verb == "delete") return remove(store, request, body);
  if (store.find(request.resource, request.key()) == nullptr)
    return answer_with(
        {404, "NotFound", fmt::format("{} \"{}\" not found", request.resource, request.key())});
  return answer(200, store.text(request.resource, request.key()));
}

}  // namespace muster::sim
