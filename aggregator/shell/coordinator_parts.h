#pragma once  // aggregator/shell/coordinator_parts.h: what a Coordinator holds of calls
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <variant>
#include <vector>

#include "aggregator/round/device_reports.h"
#include "aggregator/round/drift.h"
#include "aggregator/round/events.h"
#include "aggregator/shell/global_model.h"
#include "aggregator/shell/transfer.h"
#include "aggregator/shell/upload.h"
#include "aggregator/store/journal.h"
#include "common/base/clock.h"
#include "proto/federation.pb.h"

namespace muster::agg {

using CheckInAnswer = std::function<void(federation::v1::CheckInReply)>;
using UploadAnswer = std::function<void(Result<federation::v1::UploadReply>)>;
using federation::v1::DownloadRequest;
using federation::v1::UploadHeader;
using TransferPointer = std::shared_ptr<Transfer>;

// What an upload that begins is told: its answer at once, or a buffer to fill.
using Admission = std::variant<federation::v1::UploadReply, std::shared_ptr<UploadBuffer>>;

struct WholeTransfers {  // counted
  std::uint64_t models_sent = 0;
  std::uint64_t updates_received = 0;
};

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

struct Folding {  // an update that has arrived
  UpdateKept update;
  std::span<const float> values;
  std::shared_ptr<const void> holder;  // of the values: a buffer, or a part of the journal
  UploadAnswer answer;                 // null: its client is gone, with the process that it came to
};

struct Closed {  // an attempt at a round
  std::int64_t round = 0;
  std::uint64_t cycle = 0;
};

struct UpdateLedger {  // what the journal is told of updates
  std::uint64_t next_sequence = 1;
  std::uint64_t folded = 0;        // up to this one all had their turn
  std::vector<TakenUpdate> taken;  // into the aggregate that is being gathered
};

struct OfDevices {  // what they tell of their data
  DeviceReports reports;
  Drift drift;  // since this process began
};

// Attempts that came to nothing and are not durable yet, and what is given to clients once they are.
struct Abandoning {
  int attempts = 0;
  std::vector<AssignTask> held_back;
};

// With a file begun; `recovered` is what is left of it once its closed rounds are made again (replay.h).
// Null: nothing is durable but saved models.
struct Journaled {
  std::unique_ptr<Journal> journal;
  Recovered recovered;
  std::size_t updates = 0;  // of an earlier process, that count
};

struct Download {
  std::shared_ptr<const GlobalModel> model;
  std::uint64_t offset = 0;
  bool newest = false;  // it may be a newer model than the task was given with: the client is told which
};

}  // namespace muster::agg
