#pragma once  // device/shell/fleet.h: the clients that one pod plays, on one channel to the aggregator
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "common/base/result.h"
#include "device/client_round.h"
#include "learning/local_training.h"
#include "pod/credentials.h"
#include "proto/control.pb.h"

namespace muster::device {

struct FleetOptions {
  std::string aggregator;   // "host:port"
  Credentials credentials;  // the pod's; only the aggregator of its object is talked to
  std::int32_t first_client = 0;
  std::int32_t clients = 1;
  std::size_t parameter_count = 0;  // P of our model: a task for another one is refused
  std::string data_sha256{};        // of what the clients' parts are cut from; empty: not told
  int parallel_clients = 1;         // that train at once
  std::chrono::milliseconds aggregator_timeout{600'000};  // it may be away this long
  std::chrono::milliseconds hold{60'000};                 // of one check-in
  std::chrono::milliseconds transfer_timeout{600'000};
  std::string proxy{};  // make_channel's
};

// Trains client `client` for `task` from `global`, what was downloaded: [P] the model, and behind it [P] what
// task.settings asks for. Called from `parallel_clients` threads, `slot` tells
// them apart. Asks `cancelled` now and then, which holds once the task's deadline has passed: no slot is kept
// from other clients for an update that nobody waits for. kAborted when it says so.
using Trainer = std::function<Result<learning::LocalUpdate>(
    int slot, std::int32_t client, const TaskTicket& task, std::span<const float> global,
    const std::function<bool()>& cancelled)>;

struct FederationEnd {  // in the aggregator's words
  std::string reason;
  bool failed = false;  // it came to nothing
};

class Fleet {  // thread-safe
 public:
  // Begins at once: every client checks in.
  [[nodiscard]] static std::unique_ptr<Fleet> start(FleetOptions options, Trainer trainer);
  virtual ~Fleet() = default;  // cancels every call and waits for the training under way

  // How the federation ended, once the aggregator said Done. Errors: kDeadlineExceeded: not yet, after
  // `timeout`; kUnavailable: the aggregator did not answer for aggregator_timeout; kPermissionDenied: it is
  // another federation's; kInvalidArgument: it has no such client.
  [[nodiscard]] virtual Result<FederationEnd> wait(std::chrono::milliseconds timeout) = 0;
  [[nodiscard]] virtual control::v1::ClientProgress progress() const = 0;
};

}  // namespace muster::device
