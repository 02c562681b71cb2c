// local/api/discovery.cc: discovery documents from the table of kinds
#include "local/api/discovery.h"

#include <fmt/format.h>

#include <set>

#include "local/api/api_error.h"
#include "local/api/http_call.h"

namespace muster::local {
namespace {

constexpr const char* kAggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

Json resource_entry(const Kind& kind) {
  Json entry{{"name", kind.plural},
             {"singularName", kind.singular},
             {"namespaced", kind.namespaced},
             {"kind", kind.kind},
             {"verbs", kind.verbs}};
  if (!kind.short_names.empty()) entry["shortNames"] = kind.short_names;
  if (!kind.categories.empty()) entry["categories"] = kind.categories;
  return entry;
}

Json resource_list(const KindTable& table, const std::string& group, const std::string& version) {
  Json resources = Json::array();
  for (const KindPtr& kind : table.kinds()) {
    if (kind->group != group || kind->version != version) continue;
    resources.push_back(resource_entry(*kind));
    for (const Subresource& sub : subresources_of(*kind)) {
      Json entry{{"name", kind->plural + "/" + sub.name},
                 {"singularName", ""},
                 {"namespaced", kind->namespaced},
                 {"kind", sub.kind.empty() ? kind->kind : sub.kind},
                 {"verbs", sub.verbs}};
      if (!sub.version.empty()) {
        entry["group"] = sub.group;
        entry["version"] = sub.version;
      }
      resources.push_back(std::move(entry));
    }
  }
  return Json{{"kind", "APIResourceList"},
              {"apiVersion", "v1"},
              {"groupVersion", group.empty() ? version : group + "/" + version},
              {"resources", resources}};
}

Json aggregated_version(const KindTable& table, const std::string& group, const std::string& version) {
  const auto response_kind = [](const std::string& g, const std::string& v, const std::string& k) {
    return Json{{"group", g}, {"version", v}, {"kind", k}};
  };
  Json resources = Json::array();
  for (const KindPtr& kind : table.kinds()) {
    if (kind->group != group || kind->version != version) continue;
    const std::string v = group.empty() ? "" : version;
    Json entry{{"resource", kind->plural},
               {"responseKind", response_kind(group, v, kind->kind)},
               {"scope", kind->namespaced ? "Namespaced" : "Cluster"},
               {"singularResource", kind->singular},
               {"verbs", kind->verbs}};
    if (!kind->short_names.empty()) entry["shortNames"] = kind->short_names;
    if (!kind->categories.empty()) entry["categories"] = kind->categories;
    for (const Subresource& sub : subresources_of(*kind))
      entry["subresources"].push_back(
          Json{{"subresource", sub.name},
               {"responseKind", sub.version.empty()
                                    ? response_kind(group, v, sub.kind.empty() ? kind->kind : sub.kind)
                                    : response_kind(sub.group, sub.version, sub.kind)},
               {"verbs", sub.verbs}});
    resources.push_back(std::move(entry));
  }
  return Json{{"version", version}, {"resources", resources}, {"freshness", "Current"}};
}

Json aggregated(const KindTable& table, bool core) {
  Json items = Json::array();
  std::string last_group = "-";
  for (const auto& gv : table.group_versions()) {
    if (gv.group.empty() != core) continue;
    if (gv.group != last_group) {
      Json metadata{{"creationTimestamp", nullptr}};
      if (!gv.group.empty()) metadata["name"] = gv.group;
      items.push_back(Json{{"metadata", metadata}, {"versions", Json::array()}});
      last_group = gv.group;
    }
    items.back()["versions"].push_back(aggregated_version(table, gv.group, gv.version));
  }
  return Json{{"kind", "APIGroupDiscoveryList"},
              {"apiVersion", "apidiscovery.k8s.io/v2"},
              {"metadata", Json::object()},
              {"items", items}};
}

Json group_entry(const KindTable& table, const std::string& group) {
  Json versions = Json::array();
  for (const auto& gv : table.group_versions())
    if (gv.group == group)
      versions.push_back(Json{{"groupVersion", group + "/" + gv.version}, {"version", gv.version}});
  Json preferred = versions.empty() ? Json() : versions[0];
  return Json{{"name", group}, {"versions", versions}, {"preferredVersion", preferred}};
}

Json classic_groups(const KindTable& table) {
  Json groups = Json::array();
  std::string last_group;
  for (const auto& gv : table.group_versions()) {
    if (gv.group.empty() || gv.group == last_group) continue;
    last_group = gv.group;
    groups.push_back(group_entry(table, gv.group));
  }
  return Json{{"kind", "APIGroupList"}, {"apiVersion", "v1"}, {"groups", groups}};
}

HttpResponse not_found_text() {
  HttpResponse response;
  response.status = 404;
  response.content_type = "text/plain; charset=utf-8";
  response.body = "404 page not found\n";
  return response;
}

}  // namespace

std::vector<Subresource> subresources_of(const Kind& kind) {
  const std::vector<std::string> read_write = {"get", "patch", "update"};
  std::vector<Subresource> subs;
  const std::string resource = kind.resource();
  if (resource == "pods") {
    subs.push_back({"binding", "", "", "Binding", {"create"}});
    subs.push_back({"eviction", "policy", "v1", "Eviction", {"create"}});
    subs.push_back({"log", "", "", "", {"get"}});
  }
  if (resource == "namespaces") subs.push_back({"finalize", "", "", "", {"update"}});
  if (resource == "serviceaccounts")
    subs.push_back({"token", "authentication.k8s.io", "v1", "TokenRequest", {"create"}});
  if (kind.custom) {
    if (kind.has_status) subs.push_back({"status", "", "", "", read_write});
    if (kind.scale) subs.push_back({"scale", "autoscaling", "v1", "Scale", read_write});
    return subs;
  }
  if (kind.scale) subs.push_back({"scale", "autoscaling", "v1", "Scale", read_write});
  if (kind.has_status) subs.push_back({"status", "", "", "", read_write});
  return subs;
}

Json version_info() {
  return Json{{"major", "1"},
              {"minor", "33"},
              {"emulationMajor", "1"},
              {"emulationMinor", "33"},
              {"minCompatibilityMajor", "1"},
              {"minCompatibilityMinor", "32"},
              {"gitVersion", fmt::format("v1.33.0+muster-{}", MUSTER_VERSION)},
              {"gitCommit", ""},
              {"gitTreeState", "clean"},
              {"buildDate", "1970-01-01T00:00:00Z"},
              {"goVersion", "none"},
              {"compiler", "g++"},
              {"platform", "linux/amd64"}};
}

Json root_paths(const KindTable& table) {
  std::set<std::string> paths{"/api",        "/api/v1",     "/apis",   "/healthz", "/livez",
                              "/openapi/v2", "/openapi/v3", "/readyz", "/version"};
  for (const auto& gv : table.group_versions()) {
    if (gv.group.empty()) continue;
    paths.insert("/apis/" + gv.group);
    paths.insert("/apis/" + gv.group + "/" + gv.version);
  }
  return Json{{"paths", paths}};
}

std::optional<HttpResponse> discovery_document(const KindTable& table, const HttpRequest& request) {
  std::string path = request.path;
  if (path.size() > 1 && path.back() == '/') path.pop_back();
  if (path == "/api" || path == "/apis") {
    const bool core = path == "/api";
    const std::string_view accept = request.header("accept");
    if (accept.find("as=APIGroupDiscoveryList") != std::string_view::npos &&
        accept.find("v=v2;") != std::string_view::npos) {
      HttpResponse response = json_response(aggregated(table, core), request);
      response.content_type = kAggregated;
      return response;
    }
    if (!core) return json_response(classic_groups(table), request);
    Json addresses =
        Json::array({Json{{"clientCIDR", "0.0.0.0/0"}, {"serverAddress", request.header("host")}}});
    return json_response(Json{{"kind", "APIVersions"},
                              {"versions", Json::array({"v1"})},
                              {"serverAddressByClientCIDRs", addresses}},
                         request);
  }
  if (path == "/api/v1") return json_response(resource_list(table, "", "v1"), request);
  if (path.rfind("/apis/", 0) != 0) return std::nullopt;
  const std::string rest = path.substr(6);
  const auto slash = rest.find('/');
  const std::string group = rest.substr(0, slash);
  if (slash == std::string::npos) {
    Json entry = group_entry(table, group);
    if (entry["versions"].empty()) return not_found_text();
    entry["kind"] = "APIGroup";
    entry["apiVersion"] = "v1";
    return json_response(entry, request);
  }
  const std::string version = rest.substr(slash + 1);
  if (version.find('/') != std::string::npos) return std::nullopt;
  if (!table.has_group_version(group, version)) return not_found_text();
  return json_response(resource_list(table, group, version), request);
}

}  // namespace muster::local
