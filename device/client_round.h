#pragma once  // device/client_round.h: one federated client as a state machine without I/O
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/result.h"
#include "learning/local_objective.h"

namespace muster::device {

struct ClientOptions {
  BackoffOptions backoff{.first = std::chrono::milliseconds(100), .max = std::chrono::milliseconds(5'000)};
  // While the aggregator has no memory for an update: room comes with each one that it has folded.
  BackoffOptions room_backoff{.first = std::chrono::milliseconds(50), .max = std::chrono::milliseconds(500)};
  int transfer_attempts = 5;  // of one download or upload, each going on where the one before broke
  std::uint64_t seed = 0;     // of the jitter
};

// What every answer to a check-in says of the client's last update.
struct CountedWord {
  std::int64_t round = 0;  // of its newest task whose update is in a committed model; 0: none
  bool undecided = false;  // another was accepted, and its model is still to come
};

struct TaskTicket {  // what a check-in brought
  std::int64_t round = 0;
  std::string task_id;
  std::uint64_t model_bytes = 0;
  std::string model_sha256;
  Instant deadline;
  learning::LocalSettings settings = {};
  std::int64_t counted_round = 0;       // CountedWord::round, for what the client keeps between rounds
  std::int64_t serial = 0;              // of the task, where a client may have two of one round; else 0
  bool accept_partial = false;          // the client may send what it has come to before its last step
  std::optional<Instant> stop_at = {};  // of Train: when it does, so that its update is there in time
};

// What happened.
struct Begin {};
struct ToldToComeBack {
  std::chrono::milliseconds after{0};
  CountedWord counted = {};
};
struct GivenTask {
  TaskTicket task;
  CountedWord counted = {};
};
struct ToldDone {
  std::string reason;
  bool failed = false;  // the federation came to nothing
  CountedWord counted = {};
};
struct CallFailed {
  Error error;
  std::uint64_t progress_bytes = 0;
};                      // of the call under way: bytes it still moved
struct SlotGranted {};  // it is this client's turn to compute
struct ModelReceived {
  std::optional<std::int64_t> round = {};  // where it is another one than the task's
};
struct TrainingDone {};
struct TrainingFailed {
  Error error;
};  // kAborted before the deadline: we are stopping; else the aggregator is told why
enum class Verdict { kAccepted, kLate, kRejected };
struct UpdateAnswered {
  Verdict verdict = Verdict::kAccepted;
};
struct Tick {};
using Event = std::variant<Begin, ToldToComeBack, GivenTask, ToldDone, CallFailed, SlotGranted, ModelReceived,
                           TrainingDone, TrainingFailed, UpdateAnswered, Tick>;

// What to do about it.
struct CheckIn {};
struct WantSlot {};
struct Download {
  std::string task_id;
};
struct Train {
  TaskTicket task;
};
struct Upload {
  std::string task_id;
};
struct ReportFailure {
  std::string task_id;
  std::string reason;
};
struct ReleaseSlot {
  bool sent = false;
};  // the task is over; true: its update was accepted
struct Settled {
  bool counted = false;
};  // an update that was sent before is in a committed model, or came to nothing
struct GoHome {
  std::string reason;
  bool failed = false;
};
struct GiveUp {
  Error error;
};  // the aggregator does not know this client, and never will
using Effect = std::variant<CheckIn, WantSlot, Download, Train, Upload, ReportFailure, ReleaseSlot, Settled,
                            GoHome, GiveUp>;
using Effects = std::vector<Effect>;

enum class ClientState { kIdle, kCheckingIn, kQueued, kDownloading, kTraining, kUploading, kHome };

// Idle -> CheckingIn -> Queued -> Downloading -> Training -> Uploading -> CheckingIn ... -> Home. An event
// that does not fit the state is an error and changes nothing.
class ClientRound {
 public:
  explicit ClientRound(ClientOptions options)
      : options_(options),
        backoff_(options.backoff, options.seed),
        room_backoff_(options.room_backoff, options.seed) {}

  [[nodiscard]] Result<Effects> step(const Event& event, Instant now);
  [[nodiscard]] std::optional<Instant> next_deadline() const { return wake_; }
  [[nodiscard]] ClientState state() const { return state_; }
  [[nodiscard]] const TaskTicket& task() const { return task_; }
  // Since when the aggregator has neither answered nor moved a byte; nothing while it does.
  [[nodiscard]] std::optional<Instant> unreachable_since() const { return unreachable_since_; }

 private:
  Result<Effects> on(const Begin& event, Instant now);
  Result<Effects> on(const ToldToComeBack& event, Instant now);
  Result<Effects> on(const GivenTask& event, Instant now);
  Result<Effects> on(const ToldDone& event, Instant now);
  Result<Effects> on(const CallFailed& event, Instant now);
  Result<Effects> on(const SlotGranted& event, Instant now);
  Result<Effects> on(const ModelReceived& event, Instant now);
  Result<Effects> on(const TrainingDone& event, Instant now);
  Result<Effects> on(const TrainingFailed& event, Instant now);
  Result<Effects> on(const UpdateAnswered& event, Instant now);
  Result<Effects> on(const Tick& event, Instant now);

  void check() const;
  [[nodiscard]] Result<Effects> wrong(const char* event) const;
  void answered();  // the aggregator is there
  // `last`: what is not counted by now, and not undecided, came to nothing.
  void settle(const CountedWord& word, bool last, Effects& effects);
  Effects check_in();                   // now
  void rest(Instant until);             // and check in then
  Effects give_up_task(Instant until);  // frees the slot
  Effects wait_for_room(Instant now);   // and upload again
  [[nodiscard]] Effect upload() const;
  [[nodiscard]] Instant stop_before_deadline(Instant now) const;

  ClientOptions options_;
  Backoff backoff_;
  Backoff room_backoff_;
  ClientState state_ = ClientState::kIdle;
  bool begun_ = false;
  TaskTicket task_;
  std::string failure_;                 // of the training, if it failed
  std::vector<std::int64_t> awaiting_;  // rounds of updates that were accepted and are not settled
  std::optional<Instant> wake_;
  std::optional<Instant> unreachable_since_;
  int attempts_ = 0;                            // of the transfer under way, since it last moved a byte
  Instant transfer_began_{};                    // likewise, its first attempt
  std::chrono::milliseconds download_time_{0};  // of the last model
  std::chrono::milliseconds upload_time_{0};    // what the last updates took until they were answered
};

}  // namespace muster::device
