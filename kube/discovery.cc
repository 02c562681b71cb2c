// kube/discovery.cc: which APIs a server serves
#include "kube/discovery.h"

#include "common/json/access.h"

namespace muster::kube {
namespace {

Result<Json> ask(Client& client, const std::string& target) {
  MUSTER_ASSIGN(const HttpResponse answer,
                client.raw({.target = target, .headers = {{"Accept", "application/json"}}}));
  return parse_json(answer.body, target);
}

}  // namespace

Result<std::map<std::string, std::set<std::string>>> served_groups(Client& client) {
  MUSTER_ASSIGN(const Json list, ask(client, "/apis"));
  std::map<std::string, std::set<std::string>> served;
  const Json& groups = member(list, "groups");
  if (!groups.is_array()) return served;
  for (const Json& group : groups) {
    const Json& versions = member(group, "versions");
    if (!versions.is_array()) continue;
    for (const Json& version : versions) served[text_at(group, "name")].insert(text_at(version, "version"));
  }
  return served;
}

Result<std::set<std::string>> served_plurals(Client& client, const std::string& group,
                                             const std::string& version) {
  const auto list = ask(client, "/apis/" + group + "/" + version);
  std::set<std::string> plurals;
  if (!list && list.error().code == Code::kNotFound) return plurals;
  if (!list) return list.error();
  const Json& resources = member(*list, "resources");
  if (!resources.is_array()) return plurals;
  for (const Json& resource : resources) plurals.insert(text_at(resource, "name"));
  return plurals;
}

}  // namespace muster::kube
