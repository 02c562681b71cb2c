// local/node_adapter.cc: NodeApi over LocalClient
#include "local/node_adapter.h"

#include <fmt/format.h>

#include "local/runtime/json_access.h"

namespace muster::local {

NodeAdapter::NodeAdapter(LocalClient& client, std::string node)
    : client_(client),
      node_(std::move(node)),
      pods_(client.subscribe("pods")),
      services_(client.subscribe("services")) {}

std::vector<ObjectChange> NodeAdapter::changes(std::string_view resource, std::chrono::milliseconds wait) {
  const bool pods = resource == "pods";
  std::vector<ObjectChange> out;
  for (const Change& change : (pods ? pods_ : services_)->next(wait)) {
    Json object = change.object->json();
    object["apiVersion"] = "v1";
    object["kind"] = pods ? "Pod" : "Service";
    out.push_back({.deleted = change.type == ChangeType::kDeleted, .object = std::move(object)});
  }
  return out;
}

void NodeAdapter::close() {
  pods_->close();
  services_->close();
}

Result<Json> NodeAdapter::get(std::string_view resource, std::string_view ns, std::string_view name) {
  return client_.get(resource, ns, name);
}

std::vector<Json> NodeAdapter::services(std::string_view ns) { return client_.list("services", ns); }

Result<std::string> NodeAdapter::account_token(const Json& pod) {
  return client_.pod_token(namespace_of(pod), text(member(pod, "spec", "serviceAccountName"), "default"),
                           name_of(pod), uid_of(pod));
}

Status NodeAdapter::write_status(std::string_view resource, const Json& object, const Json& status) {
  const std::string ns = namespace_of(object);
  const std::string name = name_of(object);
  const auto stored = client_.get(resource, ns, name);
  if (!stored) return stored.error();
  if (uid_of(*stored) != uid_of(object))
    return not_found(fmt::format("{} \"{}\" is another object now", resource, name));
  const auto written = client_.patch_status(resource, ns, name, {{"status", status}});
  return written ? Status() : Status(written.error());
}

Status NodeAdapter::finish_deletion(const Json& pod) {
  return client_.finish_pod_deletion(namespace_of(pod), name_of(pod), uid_of(pod));
}

void NodeAdapter::record(const NodeEvent& event) {
  client_.record_event({.regarding = event.pod,
                        .field_path = event.field_path,
                        .type = event.type,
                        .reason = event.reason,
                        .message = event.message,
                        .component = "kubelet",
                        .host = node_});
}

}  // namespace muster::local
