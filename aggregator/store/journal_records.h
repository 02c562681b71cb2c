#pragma once  // aggregator/store/journal_records.h: what stands in a journal. Pure
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "aggregator/round/device_reports.h"
#include "aggregator/round/resume.h"
#include "aggregator/strategy/strategy.h"
#include "common/base/result.h"

namespace muster::agg {

// Whose journal it is. One of another federation is not read.
struct JournalOwner {
  std::string uid;          // of the FederatedRound
  std::string fingerprint;  // federation_fingerprint
  std::int64_t clients = 1;
  std::uint64_t parameters = 0;  // of the model
  friend bool operator==(const JournalOwner&, const JournalOwner&) = default;
};

// The first record of each file: all that the files before said of tasks.
struct JournalStart {
  JournalOwner owner;
  std::int64_t round = 0;           // the newest that is closed for good; 0: none
  std::uint64_t next_sequence = 1;  // of updates
  Resume resume;
};
struct TasksGiven {  // to clients, as kAssigned; one that is known already is given again
  std::vector<ResumedTask> tasks;
};
struct TaskFetched {  // its client has begun to download a newer model
  std::string id;
  std::int64_t number = 0;
};
struct TaskOver {  // without an update; kAssigned: not over, but its update was sent back
  std::string id;
  TaskFate fate = TaskFate::kRefused;
};
// An update; its values [P] are the record's payload. From here on it is acknowledged as soon as the file is
// durable.
struct UpdateKept {
  std::uint64_t sequence = 0;  // counts updates through the federation, from 1; their order
  std::string id;
  ClientId client = 0;
  std::int64_t number = 0;
  std::int64_t copies = 1;
  std::uint64_t examples = 0;
  double weight = 0;
  std::int64_t steps = 0;
  bool partial = false;
  // What a client of a program of the user's own measured: told.h. NaN: nothing.
  double loss = std::numeric_limits<double>::quiet_NaN();
  double accuracy = std::numeric_limits<double>::quiet_NaN();
  DeviceFigures held_out = {};  // that its client found
  std::string sha256;           // of the values, as little-endian bytes
};
struct TakenUpdate {
  std::uint64_t sequence = 0;
  std::string id;  // of its task
};
// An attempt at a round is over, or a version is full: these updates, in this order, are its aggregate.
struct RoundClosed {
  std::int64_t round = 0;
  std::uint64_t cycle = 0;  // the attempt
  bool committed = true;    // else it came to nothing
  bool ends_tasks = true;   // of the attempt; not where there are no rounds
  // Every update up to this one has had its turn: what is not taken then is of no use. Those behind are for
  // the next aggregate, or late.
  std::uint64_t settled = 0;
  std::vector<TakenUpdate> taken;
};
using JournalRecord = std::variant<JournalStart, TasksGiven, TaskFetched, TaskOver, UpdateKept, RoundClosed>;

[[nodiscard]] std::vector<std::byte> encode(const JournalRecord& record);
// `kind`: JournalRecord::index of what was encoded. Errors: kDataLoss.
[[nodiscard]] Result<JournalRecord> decode(std::size_t kind, std::span<const std::byte> bytes);

// How many versions newer than an update's own the aggregate `round` builds on.
[[nodiscard]] std::int64_t staleness_of(const UpdateKept& update, std::int64_t round);

// What the strategy is given of an update, live or from the journal: the same bits. `values` are a view.
[[nodiscard]] Contribution contribution_of(const UpdateKept& update, std::span<const float> values,
                                           std::int64_t round);

}  // namespace muster::agg
