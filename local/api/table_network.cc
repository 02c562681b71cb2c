// local/api/table_network.cc: the cells of services and of what leads to them
#include <fmt/format.h>

#include <set>

#include "common/base/host_port.h"
#include "local/api/metadata.h"
#include "local/api/table_cells.h"

namespace muster::local {
namespace {

constexpr std::size_t kShown = 3;  // of long lists

// "a,b,c + 2 more..."
std::string shortened(const std::vector<std::string>& all, const char* none) {
  if (all.size() <= kShown) return join(all, none);
  return join({all.begin(), all.begin() + kShown}) + fmt::format(" + {} more...", all.size() - kShown);
}

std::vector<std::string> ingress_points(const Json& object) {
  std::set<std::string> points;
  for (const Json& each : array_of(object_of(object_of(object, "status"), "loadBalancer"), "ingress"))
    if (const std::string point = text_or(each, "ip", text_at(each, "hostname").c_str()); !point.empty())
      points.insert(point);
  return {points.begin(), points.end()};
}

std::string external_text(const Json& service) {
  const Json& spec = object_of(service, "spec");
  const std::string type = text_at(spec, "type");
  std::vector<std::string> addresses = strings_of(spec, "externalIPs");
  if (type == "ExternalName") return text_at(spec, "externalName");
  if (type != "LoadBalancer")
    return type == "ClusterIP" || type == "NodePort" ? join(addresses) : "<unknown>";
  const std::vector<std::string> points = ingress_points(service);
  addresses.insert(addresses.begin(), points.begin(), points.end());
  return join(addresses, "<pending>");
}

}  // namespace

Cells service_cells(const Json& service, WallTime now) {
  const Json& spec = object_of(service, "spec");
  std::vector<std::string> ports;
  for (const Json& port : array_of(spec, "ports")) {
    const std::string protocol = text_at(port, "protocol");
    const std::int64_t node_port = integer_at(port, "nodePort");
    ports.push_back(node_port > 0 ? fmt::format("{}:{}/{}", integer_at(port, "port"), node_port, protocol)
                                  : fmt::format("{}/{}", integer_at(port, "port"), protocol));
  }
  return {meta_text(service, "name"),
          text_at(spec, "type"),
          text_or(spec, "clusterIP", "<none>"),
          external_text(service),
          join(ports),
          created(service, now),
          labels_text(object_of(spec, "selector"))};
}

Cells endpoints_cells(const Json& endpoints, WallTime now) {
  const Json& subsets = array_of(endpoints, "subsets");
  std::vector<std::string> all;
  for (const Json& subset : subsets) {
    const Json& addresses = array_of(subset, "addresses");
    if (array_of(subset, "ports").empty())
      for (const Json& address : addresses) all.push_back(text_at(address, "ip"));
    for (const Json& port : array_of(subset, "ports"))
      for (const Json& address : addresses)
        all.push_back(host_port(text_at(address, "ip"), integer_at(port, "port")));
  }
  return {meta_text(endpoints, "name"), shortened(all, subsets.empty() ? "<none>" : ""),
          created(endpoints, now)};
}

Cells endpoint_slice_cells(const Json& slice, WallTime now) {
  std::vector<std::string> ports, addresses;
  for (const Json& port : array_of(slice, "ports"))
    ports.push_back(port.contains("port") ? std::to_string(integer_at(port, "port"))
                                          : text_or(port, "name", "*"));
  for (const Json& endpoint : array_of(slice, "endpoints"))
    for (const std::string& address : strings_of(endpoint, "addresses")) addresses.push_back(address);
  return {meta_text(slice, "name"), text_at(slice, "addressType"), shortened(ports, "<unset>"),
          shortened(addresses, "<unset>"), created(slice, now)};
}

}  // namespace muster::local
