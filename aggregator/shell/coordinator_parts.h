#pragma once  // aggregator/shell/coordinator_parts.h: what a Coordinator holds of calls
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "aggregator/shell/global_model.h"
#include "aggregator/shell/transfer.h"
#include "common/base/clock.h"
#include "proto/federation.pb.h"

namespace muster::agg {

using CheckInAnswer = std::function<void(federation::v1::CheckInReply)>;
using TransferPointer = std::shared_ptr<Transfer>;

struct Held {  // a check-in
  std::uint64_t ticket = 0;
  CheckInAnswer answer;
  Instant expires;
};

struct Transfers {  // of one task
  TransferPointer download;
  TransferPointer upload;
  std::int64_t version = 0;  // that is downloaded
};

enum class Outlives { kNothing, kUploads, kAll };  // its round, of the transfers

struct Later {  // what waits until the lock is given back
  std::vector<std::function<void()>> answers;
  std::vector<std::shared_ptr<const void>> releases;  // memory
};

struct Download {
  std::shared_ptr<const GlobalModel> model;
  std::uint64_t offset = 0;
  bool newest = false;  // it may be a newer model than the task was given with: the client is told which
};

}  // namespace muster::agg
