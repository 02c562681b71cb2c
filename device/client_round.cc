// device/client_round.cc: transitions of one client
#include "device/client_round.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "common/base/check.h"

namespace muster::device {
namespace {

constexpr std::array<const char*, 7> kStateNames{"Idle",     "CheckingIn", "Queued", "Downloading",
                                                 "Training", "Uploading",  "Home"};

using std::chrono::milliseconds;

constexpr milliseconds kMarginMin{100};
constexpr int kMarginFactor = 2;

constexpr const char* kTooSlow =
    "the training was not done when the round was due; raise stragglers.deadlineSeconds, or give the client "
    "fewer examples or epochs";

// The aggregator may be restarting, or the network: the same call may work in a moment.
bool transient(Code code) {
  return code == Code::kUnavailable || code == Code::kDeadlineExceeded || code == Code::kResourceExhausted ||
         code == Code::kDataLoss || code == Code::kCancelled || code == Code::kUnknown;
}

// Of a check-in: another federation's aggregator, or one that has no such client.
bool refusal(Code code) { return code == Code::kPermissionDenied || code == Code::kInvalidArgument; }

}  // namespace

Result<Effects> ClientRound::step(const Event& event, Instant now) {
  auto effects = std::visit([&](const auto& it) { return on(it, now); }, event);
  check();
  return effects;
}

// Of no server's doing: who rests has a time to wake, for nothing else would wake it, and nobody else has one
// but a client whose transfer broke.
void ClientRound::check() const {
  const bool transfer = state_ == ClientState::kDownloading || state_ == ClientState::kUploading;
  const bool rests = state_ == ClientState::kIdle;
  MUSTER_CHECK(!wake_ || rests || transfer);
  MUSTER_CHECK(!rests || !begun_ || wake_);
}

Result<Effects> ClientRound::on(const Begin& /*event*/, Instant /*now*/) {
  if (state_ != ClientState::kIdle || wake_) return wrong("Begin");
  begun_ = true;
  return check_in();
}

Result<Effects> ClientRound::on(const ToldToComeBack& event, Instant now) {
  if (state_ != ClientState::kCheckingIn) return wrong("ToldToComeBack");
  answered();
  Effects effects;
  settle(event.counted, false, effects);
  if (event.after <= std::chrono::milliseconds(0)) {
    for (Effect& effect : check_in()) effects.push_back(std::move(effect));
  } else {
    rest(now + event.after);
  }
  return effects;
}

Result<Effects> ClientRound::on(const GivenTask& event, Instant /*now*/) {
  if (state_ != ClientState::kCheckingIn) return wrong("GivenTask");
  answered();
  state_ = ClientState::kQueued;
  task_ = event.task;
  task_.counted_round = event.counted.round;
  Effects effects;
  settle(event.counted, true, effects);
  effects.emplace_back(WantSlot{});
  return effects;
}

Result<Effects> ClientRound::on(const ToldDone& event, Instant /*now*/) {
  if (state_ == ClientState::kHome) return Effects{};
  const bool computing = state_ == ClientState::kDownloading || state_ == ClientState::kTraining ||
                         state_ == ClientState::kUploading;
  answered();
  state_ = ClientState::kHome;
  wake_.reset();
  Effects effects;
  settle(event.counted, true, effects);
  if (computing) effects.emplace_back(ReleaseSlot{});
  effects.emplace_back(GoHome{event.reason, event.failed});
  return effects;
}

Result<Effects> ClientRound::on(const CallFailed& event, Instant now) {
  const bool transfer = state_ == ClientState::kDownloading || state_ == ClientState::kUploading;
  if (!transfer && state_ != ClientState::kCheckingIn) return wrong("CallFailed");
  if (!transfer && refusal(event.error.code)) {
    answered();
    state_ = ClientState::kHome;
    return Effects{GiveUp{event.error}};
  }
  if (state_ == ClientState::kUploading && event.error.code == Code::kResourceExhausted) {
    return wait_for_room(now);
  }
  if (transfer && !transient(event.error.code)) {
    answered();  // it says that the task is over
  } else if (event.progress_bytes > 0) {
    unreachable_since_.reset();  // it is there, though the link is slow or broke
  } else if (!unreachable_since_) {
    unreachable_since_ = now;
  }
  const Instant again = now + backoff_.next();
  if (state_ == ClientState::kCheckingIn) {
    rest(again);
    return Effects{};
  }
  // What came damaged begins anew: however much it was, it is no progress.
  const bool progress = event.progress_bytes > 0 && event.error.code != Code::kDataLoss;
  attempts_ = progress ? 1 : attempts_ + 1;
  if (!transient(event.error.code) || attempts_ >= options_.transfer_attempts || again >= task_.deadline) {
    return give_up_task(again);
  }
  wake_ = again;  // the transfer goes on then
  return Effects{};
}

Result<Effects> ClientRound::on(const SlotGranted& /*event*/, Instant now) {
  if (state_ != ClientState::kQueued) return wrong("SlotGranted");
  if (now >= task_.deadline) return give_up_task(now);
  state_ = ClientState::kDownloading;
  transfer_began_ = now;
  attempts_ = 0;
  return Effects{Download{task_.task_id}};
}

Result<Effects> ClientRound::on(const ModelReceived& event, Instant now) {
  if (state_ != ClientState::kDownloading) return wrong("ModelReceived");
  answered();
  if (event.round) task_.round = *event.round;
  download_time_ = std::chrono::ceil<milliseconds>(now - transfer_began_);
  if (task_.accept_partial) task_.stop_at = stop_before_deadline(now);
  state_ = ClientState::kTraining;
  return Effects{Train{task_}};
}

// An update takes about as long as the ones before, or, before the first, as the model; what varies, and the
// fold at the other end, is in the factor. No more than half of the time that is left goes into waiting.
Instant ClientRound::stop_before_deadline(Instant now) const {
  const milliseconds expected = upload_time_ > milliseconds(0) ? upload_time_ : download_time_;
  const milliseconds margin = std::max(kMarginMin, kMarginFactor * expected);
  return task_.deadline - std::min<Instant::duration>(margin, (task_.deadline - now) / 2);
}

Result<Effects> ClientRound::on(const TrainingDone& /*event*/, Instant now) {
  if (state_ != ClientState::kTraining) return wrong("TrainingDone");
  // A late update is offered all the same: its header is answered LATE at once, and counted so.
  state_ = ClientState::kUploading;
  transfer_began_ = now;
  attempts_ = 0;
  room_backoff_.reset();
  failure_.clear();
  return Effects{upload()};
}

Result<Effects> ClientRound::on(const TrainingFailed& event, Instant now) {
  if (state_ != ClientState::kTraining && state_ != ClientState::kDownloading) return wrong("TrainingFailed");
  answered();
  const bool aborted = event.error.code == Code::kAborted;
  if (aborted && now < task_.deadline) return give_up_task(now);
  state_ = ClientState::kUploading;
  attempts_ = 0;
  failure_ = aborted ? kTooSlow : event.error.message.empty() ? "the training failed" : event.error.message;
  return Effects{upload()};
}

Result<Effects> ClientRound::on(const UpdateAnswered& event, Instant now) {
  if (state_ != ClientState::kUploading) return wrong("UpdateAnswered");
  answered();
  if (failure_.empty())  // a slow one is remembered for some rounds
    upload_time_ = std::max(std::chrono::ceil<milliseconds>(now - transfer_began_), upload_time_ * 3 / 4);
  const bool accepted = event.verdict == Verdict::kAccepted;
  if (accepted) awaiting_.push_back(task_.round);
  Effects effects{ReleaseSlot{accepted}};
  for (Effect& effect : check_in()) effects.push_back(std::move(effect));
  return effects;
}

Result<Effects> ClientRound::on(const Tick& /*event*/, Instant now) {
  if (!wake_ || now < *wake_) return Effects{};
  wake_.reset();
  switch (state_) {
    case ClientState::kIdle: return check_in();
    case ClientState::kDownloading: return Effects{Download{task_.task_id}};
    case ClientState::kUploading: return Effects{upload()};
    default: return Effects{};
  }
}

Result<Effects> ClientRound::wrong(const char* event) const {
  return failed_precondition(fmt::format("{} does not fit a client in state {}", event,
                                         kStateNames[static_cast<std::size_t>(state_)]));
}

Effect ClientRound::upload() const {
  if (!failure_.empty()) return ReportFailure{task_.task_id, failure_};
  return Upload{task_.task_id};
}

void ClientRound::settle(const CountedWord& word, bool last, Effects& effects) {
  std::erase_if(awaiting_, [&](std::int64_t round) {
    const bool counted = word.round >= round;
    const bool settled = counted || (last && !word.undecided);
    if (settled) effects.emplace_back(Settled{counted});
    return settled;
  });
}

void ClientRound::answered() {
  unreachable_since_.reset();
  backoff_.reset();
}

Effects ClientRound::check_in() {
  state_ = ClientState::kCheckingIn;
  wake_.reset();
  return Effects{CheckIn{}};
}

void ClientRound::rest(Instant until) {
  state_ = ClientState::kIdle;
  wake_ = until;
}

// The training is done and its update good: it is kept, and offered again until the round is due.
Effects ClientRound::wait_for_room(Instant now) {
  answered();
  attempts_ = 0;
  const Instant again = now + room_backoff_.next();
  if (again >= task_.deadline) return give_up_task(again);
  wake_ = again;
  return {};
}

Effects ClientRound::give_up_task(Instant until) {
  rest(until);
  return Effects{ReleaseSlot{false}};
}

}  // namespace muster::device
