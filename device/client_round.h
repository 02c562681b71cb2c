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

struct TaskTicket {  // what a check-in brought
  std::int64_t round = 0;
  std::string task_id;
  std::uint64_t model_bytes = 0;
  std::string model_sha256;
  Instant deadline;
  learning::LocalSettings settings = {};
};

// What happened.
struct Begin {};
struct ToldToComeBack {
  std::chrono::milliseconds after{0};
};
struct GivenTask {
  TaskTicket task;
};
struct ToldDone {
  std::string reason;
  bool failed = false;  // the federation came to nothing
};
struct CallFailed {
  Error error;
  std::uint64_t progress_bytes = 0;
};                      // of the call under way: bytes it still moved
struct SlotGranted {};  // it is this client's turn to compute
struct ModelReceived {};
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
struct GoHome {
  std::string reason;
  bool failed = false;
};
struct GiveUp {
  Error error;
};  // the aggregator does not know this client, and never will
using Effect =
    std::variant<CheckIn, WantSlot, Download, Train, Upload, ReportFailure, ReleaseSlot, GoHome, GiveUp>;
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

  [[nodiscard]] Result<Effects> wrong(const char* event) const;
  void answered();                      // the aggregator is there
  Effects check_in();                   // now
  void rest(Instant until);             // and check in then
  Effects give_up_task(Instant until);  // frees the slot
  Effects wait_for_room(Instant now);   // and upload again
  [[nodiscard]] Effect upload() const;

  ClientOptions options_;
  Backoff backoff_;
  Backoff room_backoff_;
  ClientState state_ = ClientState::kIdle;
  TaskTicket task_;
  std::string failure_;  // of the training, if it failed
  std::optional<Instant> wake_;
  std::optional<Instant> unreachable_since_;
  int attempts_ = 0;  // of the transfer under way, since it last moved a byte
};

}  // namespace muster::device
