#pragma once  // aggregator/shell/federation_service.h: muster.federation.v1.Federation over gRPC
#include <chrono>
#include <memory>
#include <string>

#include "aggregator/shell/coordinator.h"
#include "common/base/result.h"

namespace muster::agg {

// Serves clients on ip:port until destroyed. A held check-in costs memory, not a thread.
class FederationServer {
 public:
  struct Options {
    std::string ip;
    int port = 0;  // kDataPort in a pod; 0 takes a free one
    std::string federation_uid;
    std::chrono::milliseconds transfer_timeout{600'000};  // for one download or upload
  };
  // `coordinator` outlives the server. Errors: kAlreadyExists: the port is in use.
  [[nodiscard]] static Result<std::unique_ptr<FederationServer>> start(Options options,
                                                                       Coordinator& coordinator);
  virtual ~FederationServer() = default;  // ends every call
  [[nodiscard]] virtual int port() const = 0;
};

}  // namespace muster::agg
