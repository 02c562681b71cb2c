#pragma once  // aggregator/shell/federation_service.h: muster.federation.v1.Federation over gRPC
#include <chrono>
#include <memory>
#include <string>

#include "aggregator/shell/coordinator.h"
#include "aggregator/shell/model_intake.h"
#include "aggregator/shell/transfer_calls.h"
#include "common/base/result.h"
#include "pod/credentials.h"

namespace muster::agg {

// Serves the client pods of one object, over mutual TLS, on ip:port until destroyed. A held check-in costs
// memory, not a thread.
class FederationServer {
 public:
  struct Options {
    std::string ip;
    int port = 0;               // kDataPort in a pod; 0 takes a free one
    Credentials credentials;    // the pod's; whoever cannot prove to be a client of its object is turned away
    std::string data_sha256{};  // learning::data_identity of the aggregator's dataset: clients of another are
                                // refused; empty: none
    TransferLimits limits{};
    std::size_t downloads_at_once = kDownloadsAtOnce;
    std::chrono::milliseconds stranger_patience{5'000};  // GuardedPort::Options'
  };
  // `coordinator` outlives the server. Errors: kAlreadyExists: the port is in use.
  [[nodiscard]] static Result<std::unique_ptr<FederationServer>> start(Options options,
                                                                       Coordinator& coordinator);
  // Of programs of the user's own, whose model comes to `intake` first: until attach other calls are told to
  // try again. Both outlive the server.
  [[nodiscard]] static Result<std::unique_ptr<FederationServer>> start(Options options, ModelIntake& intake,
                                                                       AggregatorMetrics& metrics,
                                                                       std::int64_t clients_per_pod);
  virtual void attach(Coordinator& coordinator) = 0;  // once; it outlives the server
  virtual ~FederationServer() = default;              // ends every call
  [[nodiscard]] virtual int port() const = 0;
};

}  // namespace muster::agg
