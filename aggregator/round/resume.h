#pragma once  // aggregator/round/resume.h: where a federation was when its process ended, as machines know it
#include <cstdint>
#include <string>
#include <vector>

#include "aggregator/round/cohort.h"

namespace muster::agg {

// What became of a task. kArrived: its whole update is here, and whether it counts is not decided yet.
enum class TaskFate : std::uint8_t { kAssigned, kArrived, kReported, kRefused, kLate, kExpired };

struct ResumedTask {
  std::string id;
  ClientId client = 0;
  std::int64_t number = 0;  // KnownTask::number
  std::int64_t copies = 1;
  std::int64_t serial = 0;
  TaskFate fate = TaskFate::kAssigned;
  // The attempt at a round that it is of, counted through the federation; 0: one that is over. Nothing to a
  // federation without rounds.
  std::uint64_t cycle = 0;
  friend bool operator==(const ResumedTask&, const ResumedTask&) = default;
};

// Of a machine whose options say which round it resumes from. Deadlines begin anew, and nobody is thought to
// be here but those at work.
struct Resume {
  std::int64_t attempt = 0;  // at the round under way
  std::uint64_t cycle = 0;   // of the attempt under way
  std::vector<ResumedTask> tasks;
};

}  // namespace muster::agg
