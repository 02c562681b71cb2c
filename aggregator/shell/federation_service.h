#pragma once  // aggregator/shell/federation_service.h: muster.federation.v1.Federation over gRPC
#include <functional>
#include <memory>
#include <string>

#include "aggregator/shell/coordinator.h"
#include "aggregator/shell/transfer_calls.h"
#include "common/base/result.h"

namespace muster::agg {

// The caller as it declares itself, by its metadata "muster-client-pod".
[[nodiscard]] Result<Caller> caller_by_metadata(const grpc::ServerContextBase& context);

// Serves clients on ip:port until destroyed. A held check-in costs memory, not a thread.
class FederationServer {
 public:
  struct Options {
    std::string ip;
    int port = 0;  // kDataPort in a pod; 0 takes a free one
    std::string federation_uid;
    // Who makes the call, by what its connection has proved. An error goes to the caller and is counted.
    std::function<Result<Caller>(const grpc::ServerContextBase&)> identify;
    TransferLimits limits;
  };
  // `coordinator` outlives the server. Errors: kAlreadyExists: the port is in use.
  [[nodiscard]] static Result<std::unique_ptr<FederationServer>> start(Options options,
                                                                       Coordinator& coordinator);
  virtual ~FederationServer() = default;  // ends every call
  [[nodiscard]] virtual int port() const = 0;
};

}  // namespace muster::agg
