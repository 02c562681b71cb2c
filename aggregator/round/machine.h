#pragma once  // aggregator/round/machine.h: who works at what in a federation, as state machines without I/O
#include <cstdint>
#include <optional>
#include <string>

#include "aggregator/round/events.h"
#include "aggregator/round/resume.h"
#include "common/base/clock.h"
#include "common/base/result.h"

namespace muster::agg {

enum class Judgement { kFold, kBeingFolded, kAlreadyCounted, kLate, kUnknown };

struct RoundCounts {
  std::int64_t committed = 0;  // the newest round whose model is in place, not always on disk yet
  std::int64_t connected = 0;  // clients thought to be here: idle, at work or about to come back
  std::int64_t selected = 0;   // of the round under way
  std::int64_t configured = 0;
  std::int64_t reported = 0;
  std::int64_t late = 0;  // updates that came, or were given up, after their round closed, since the start
  // Selected clients that sent nothing usable and are not late, since the start. Those at work when a round
  // closes before its deadline are counted some rounds later, if nothing came until then.
  std::int64_t dropped = 0;
  std::uint64_t cycle = 0;  // Resume::cycle
};

struct KnownTask {
  ClientId client = 0;
  std::int64_t number = 0;  // Task.round: of the model that it began with, plus 1
  std::int64_t copies = 1;  // its update counts so often
};

// RoundMachine plays rounds, one after another; BufferMachine has none. Same options and events, same
// effects. An event that does not fit is an error and changes nothing.
class FederationMachine {
 public:
  virtual ~FederationMachine() = default;
  [[nodiscard]] virtual Result<Effects> step(const Event& event, Instant now) = 0;
  // When to send Tick at the latest.
  [[nodiscard]] virtual std::optional<Instant> next_deadline() const = 0;
  // What an update for this task would be now. kFold: step(Arrived), fold, then step(Reported),
  // step(Refused) or step(Returned). An update that has arrived is waited for beyond the deadline.
  [[nodiscard]] virtual Judgement judge(const std::string& task_id, Instant now) const = 0;
  // Until when the task may be worked at. Errors: kNotFound; kAborted: it is over.
  [[nodiscard]] virtual Result<Instant> task_deadline(const std::string& task_id) const = 0;
  // When an update of it is of no use any more; later than its deadline where late ones count. Errors:
  // likewise.
  [[nodiscard]] virtual Result<Instant> useless_at(const std::string& task_id) const = 0;
  // One that is open, or was a while ago.
  [[nodiscard]] virtual std::optional<KnownTask> known(const std::string& task_id) const = 0;
  [[nodiscard]] virtual RoundCounts counts() const = 0;
  [[nodiscard]] virtual bool over() const = 0;
  [[nodiscard]] virtual bool failed() const = 0;
  [[nodiscard]] virtual const std::string& outcome() const = 0;  // why it is over
  // Goes on with the tasks of an earlier process, before the first step. What is kArrived is being folded.
  virtual void restore(const Resume& resume, Instant now) = 0;
  // For restore(). Cost: O(tasks).
  [[nodiscard]] virtual Resume resume() const = 0;
};

// Errors: kInvalidArgument: the federation has no such client.
[[nodiscard]] Status check_client(ClientId client, std::int64_t clients);

// Of task_deadline. Errors: always.
[[nodiscard]] Error no_open_task(const std::string& task_id, bool known);
[[nodiscard]] Error out_of_place(std::string_view event, const std::string& task_id);

}  // namespace muster::agg
