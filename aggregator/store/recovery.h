#pragma once  // aggregator/store/recovery.h: from the records of a journal to what is to be done about them
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "aggregator/store/segment.h"

namespace muster::agg {

struct PendingUpdate {
  UpdateKept update;
  std::span<const float> values;       // [P], mapped
  std::shared_ptr<const void> holder;  // of the mapping
};

struct ClosedRound {
  std::int64_t round = 0;
  std::vector<PendingUpdate> taken;  // in their order
};

struct Recovered {
  // Closed for good, but in no checkpoint: their models are made again, oldest first (replay.h).
  std::vector<ClosedRound> closed;
  // Acknowledged, and in no closed round: folded in this order by the live machine.
  std::vector<PendingUpdate> tail;
  Resume resume;  // of a machine that goes on behind the last of `closed`
  std::uint64_t next_sequence = 1;
  bool useless = false;            // none of it fits: its files may go
  std::vector<std::string> notes;  // a sentence for each thing that was left out
  // What may be released, once what is no longer in `closed` is saved.
  [[nodiscard]] std::uint64_t settled() const;
};

// Pure: takes records in the order of the files. Memory: O(tasks and updates), without their values.
class Recovery {
 public:
  // `committed`: the round of the checkpoint that the federation resumes from; 0: none.
  Recovery(JournalOwner owner, std::int64_t committed) : owner_(std::move(owner)), committed_(committed) {}

  // Errors: kDataLoss: the record contradicts those before.
  [[nodiscard]] Status add(PlacedRecord placed, std::shared_ptr<const void> holder);
  [[nodiscard]] Recovered finish();

 private:
  Status add(JournalStart& record);
  Status add(const TasksGiven& record);
  Status add(const TaskFetched& record);
  Status add(const TaskOver& record);
  Status add(const RoundClosed& record);
  Status keep(UpdateKept update, std::span<const float> values, std::shared_ptr<const void> holder);
  void give(const ResumedTask& task);
  void set_fate(const std::string& id, TaskFate fate);

  const JournalOwner owner_;
  const std::int64_t committed_;
  std::optional<std::string> useless_;  // why nothing in it is of use
  bool started_ = false;
  std::int64_t round_ = 0;
  std::int64_t attempt_ = 0;
  std::uint64_t cycle_ = 0;
  std::uint64_t next_sequence_ = 1;
  std::vector<ResumedTask> tasks_;
  std::unordered_map<std::string, std::size_t> place_;  // in tasks_
  std::map<std::uint64_t, PendingUpdate> pending_;      // by sequence
  std::vector<ClosedRound> closed_;
};

}  // namespace muster::agg
