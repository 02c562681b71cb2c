#pragma once  // aggregator/shell/coordinator.h: runs the round machine: held calls, transfers, commits,
              // evaluation
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "aggregator/round/round.h"
#include "aggregator/shell/aggregator_metrics.h"
#include "aggregator/shell/upload.h"
#include "aggregator/store/round_store.h"
#include "aggregator/strategy/strategy.h"
#include "common/spec/federation.h"
#include "learning/task.h"
#include "proto/control.pb.h"
#include "proto/federation.pb.h"

namespace muster::agg {

struct Model {  // immutable once shared
  std::int64_t round = 0;
  std::vector<float> values;  // [P]
  std::string sha256;         // of the values as little-endian bytes
  [[nodiscard]] std::uint64_t bytes() const { return values.size() * sizeof(float); }
};

struct CoordinatorOptions {
  spec::Federation federation;
  std::string run;  // distinguishes this process's tasks from an earlier one's
  std::uint64_t upload_memory_max = std::uint64_t{512} << 20;  // for updates on their way in, all together
  std::chrono::milliseconds selection_grace{2'000};
  std::chrono::milliseconds selection_timeout{300'000};
  std::optional<std::chrono::milliseconds> report_deadline;  // instead of the spec's whole seconds
};

// Both run on the coordinator's own thread, one call at a time, so that the service goes on meanwhile.
struct CoordinatorPorts {
  std::function<learning::Evaluation(std::span<const float>)> evaluate;
  std::function<Status(const CommittedRound&)> save;
};

struct Outcome {
  int exit_code = 0;
  std::string message;  // why it ended; one sentence
};

class Coordinator {  // thread-safe
 public:
  using Answer = std::function<void(federation::v1::CheckInReply)>;

  Coordinator(CoordinatorOptions options, CoordinatorPorts ports, CommittedRound start,
              AggregatorMetrics& metrics);
  ~Coordinator();  // answers every held call and stops
  Coordinator(const Coordinator&) = delete;
  Coordinator& operator=(const Coordinator&) = delete;

  // Holds the call until there is something to say; `answer` is called once, perhaps before this returns,
  // unless leave comes first. Errors: kInvalidArgument: no such client.
  [[nodiscard]] Result<std::uint64_t> check_in(ClientId client, std::chrono::milliseconds hold,
                                               Answer answer);
  void leave(ClientId client, std::uint64_t ticket);  // the caller has gone

  // The model of an open task. Errors: kNotFound, kAborted (the round is over), kOutOfRange (offset).
  [[nodiscard]] Result<std::shared_ptr<const Model>> begin_download(const std::string& task_id,
                                                                    std::uint64_t offset);
  void count_sent(std::uint64_t bytes);
  void downloaded(const std::string& task_id);  // the last byte is on its way

  // An answer at once, or a buffer to fill and hand to finish_upload. Errors: kNotFound, kResourceExhausted
  // (no memory just now: try again), kFailedPrecondition (offset: ask upload_offset), kInvalidArgument.
  using Admission = std::variant<federation::v1::UploadReply, std::shared_ptr<UploadBuffer>>;
  [[nodiscard]] Result<Admission> begin_upload(const federation::v1::UploadHeader& header);
  [[nodiscard]] federation::v1::UploadReply finish_upload(const std::shared_ptr<UploadBuffer>& buffer);
  void abandon_upload(std::shared_ptr<UploadBuffer> buffer);  // its call broke; another may go on with it
  void count_received(std::uint64_t bytes);
  [[nodiscard]] std::uint64_t upload_offset(const std::string& task_id) const;

  [[nodiscard]] control::v1::AggregatorProgress progress() const;
  // Waits until the federation is over and its last model evaluated; nothing when `timeout` has passed
  // before.
  [[nodiscard]] std::optional<Outcome> wait_outcome(std::chrono::milliseconds timeout);
  // Waits until every client that ever came has been told so, at most `timeout`.
  void wait_dismissed(std::chrono::milliseconds timeout);
  // The newest committed round with its history; durable once wait_outcome has said that all is well.
  [[nodiscard]] CommittedRound committed() const;

 private:
  struct Held {
    std::uint64_t ticket = 0;
    Answer answer;
    Instant expires;
  };
  using Outbox = std::vector<std::pair<Answer, federation::v1::CheckInReply>>;  // sent without the lock

  template <typename Action>
  auto locked(Action action);  // runs it under the lock, then sends what it put into outbox_

  // All below: under the lock.
  Status step(const Event& event, Instant now);
  void apply(const Effects& effects, Instant now);
  void apply(const BeginRound& effect, Instant now);
  void apply(const AssignTask& effect, Instant now);
  void apply(const CommitRound& effect, Instant now);
  void apply(const AbandonRound& effect, Instant now);
  void apply(const Dismiss& effect, Instant now);
  void apply(const Ended& effect, Instant now);
  void answer(ClientId client, federation::v1::CheckInReply reply);
  std::optional<Held> release(ClientId client);
  void install(std::shared_ptr<const Model> model, Instant now);
  void fail(int exit_code, std::string message, Instant now);
  federation::v1::UploadReply refuse(const std::string& task_id, const std::string& reason, Instant now);
  void expire_held(Instant now);
  [[nodiscard]] Instant next_due() const;  // when the timer has something to do
  [[nodiscard]] bool is_over() const;
  [[nodiscard]] bool reaches_target(const std::vector<learning::HistoryPoint>& history) const;

  void run_timer();
  void run_commits();
  void commit(const std::shared_ptr<const Model>& model);

  const CoordinatorOptions options_;
  const CoordinatorPorts ports_;
  AggregatorMetrics& metrics_;

  mutable std::mutex mutex_;
  std::condition_variable timer_wake_;
  std::condition_variable commit_wake_;
  std::condition_variable changed_;  // over, or a client dismissed
  bool stopping_ = false;
  RoundMachine machine_;
  std::unique_ptr<Strategy> strategy_;  // of the round under way
  std::shared_ptr<const Model> model_;
  std::shared_ptr<const Model> to_commit_;  // waits for run_commits
  std::shared_ptr<const Model> next_;       // closed while run_commits was busy
  bool committing_ = false;
  std::vector<learning::HistoryPoint> history_;
  std::optional<Outcome> outcome_;
  bool target_reached_ = false;

  std::uint64_t next_ticket_ = 1;
  std::unordered_map<ClientId, Held> held_;
  std::set<std::pair<Instant, ClientId>> expiries_;  // of held_
  Instant timer_until_{};                            // the timer sleeps until then
  std::set<ClientId> seen_;
  std::set<ClientId> dismissed_;
  Outbox outbox_;
  UploadDesk uploads_;
  Instant round_began_{};
  std::uint64_t bytes_sent_ = 0;
  std::uint64_t bytes_received_ = 0;
  std::uint64_t models_sent_ = 0;
  std::uint64_t updates_received_ = 0;

  std::thread timer_;
  std::thread commits_;
};

}  // namespace muster::agg
