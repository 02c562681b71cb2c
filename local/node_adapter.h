#pragma once  // local/node_adapter.h: the node's port to the API (NodeApi), over the API server of this
              // process
#include <memory>

#include "local/api/local_client.h"
#include "local/runtime/node_api.h"

namespace muster::local {

class NodeAdapter : public NodeApi {
 public:
  NodeAdapter(LocalClient& client, std::string node);

  std::vector<ObjectChange> changes(std::string_view resource, std::chrono::milliseconds wait) override;
  Result<Json> get(std::string_view resource, std::string_view ns, std::string_view name) override;
  std::vector<Json> services(std::string_view ns) override;
  Result<std::string> account_token(const Json& pod) override;
  Status write_status(std::string_view resource, const Json& object, const Json& status) override;
  Status finish_deletion(const Json& pod) override;
  void record(const NodeEvent& event) override;

  void close();  // ends the waits of changes() for good

 private:
  LocalClient& client_;
  const std::string node_;
  std::unique_ptr<LocalClient::Subscription> pods_;
  std::unique_ptr<LocalClient::Subscription> services_;
};

}  // namespace muster::local
