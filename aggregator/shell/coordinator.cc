// aggregator/shell/coordinator.cc: what the calls of clients do; coordinator_rounds.cc is what the rounds do
#include "aggregator/shell/coordinator.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "aggregator/shell/coordinator_lock.h"
#include "common/base/text.h"
#include "common/platform/log.h"

namespace muster::agg {
namespace {

using federation::v1::UploadReply;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kHoldMin{10};
constexpr milliseconds kHoldMax{600'000};
constexpr milliseconds kDisplacedPause{
    5'000};  // two processes with one client's number take turns at leisure
constexpr std::size_t kReasonBytesMax = 500;
constexpr std::int64_t kHistoryPointsMax = 200;  // control.proto

UploadReply reply_of(UploadReply::Verdict verdict, std::string reason = "") {
  UploadReply reply;
  reply.set_verdict(verdict);
  reply.set_reason(std::move(reason));
  return reply;
}

UploadReply late_reply() {
  return reply_of(UploadReply::LATE, "the round closed before the update was whole");
}

}  // namespace

Result<std::uint64_t> Coordinator::check_in(ClientId client, milliseconds hold, Answer answer_call) {
  const Instant now = steady_clock::now();
  return locked([&]() -> Result<std::uint64_t> {
    MUSTER_TRY(machine_.check_client(client));
    if (held_.contains(client)) {  // the earlier call is dead, or the client does not know what it does
      federation::v1::CheckInReply other;
      other.mutable_come_back()->set_after_ms(kDisplacedPause.count());
      answer(client, std::move(other));
    }
    seen_.insert(client);
    const std::uint64_t ticket = next_ticket_++;
    const Instant expires = now + std::clamp(hold, kHoldMin, kHoldMax);
    held_[client] = Held{ticket, std::move(answer_call), expires};
    expiries_.emplace(expires, client);
    MUSTER_TRY(step(CheckedIn{client}, now));
    return ticket;
  });
}

void Coordinator::leave(ClientId client, std::uint64_t ticket) {
  locked([&] {
    const auto it = held_.find(client);
    if (it == held_.end() || it->second.ticket != ticket) return;
    release(client);
    std::ignore = step(Left{client, false}, steady_clock::now());
  });
}

Result<std::shared_ptr<const Model>> Coordinator::begin_download(const std::string& task_id,
                                                                 std::uint64_t offset) {
  return locked([&]() -> Result<std::shared_ptr<const Model>> {
    std::ignore = step(Tick{}, steady_clock::now());
    MUSTER_TRY(machine_.task_deadline(task_id));
    if (offset > model_->bytes()) {
      return Error{Code::kOutOfRange,
                   fmt::format("download of task \"{}\" from byte {}: the model has {} bytes", task_id,
                               offset, model_->bytes())};
    }
    return model_;
  });
}

void Coordinator::count_sent(std::uint64_t bytes) {
  metrics_.count_bytes("sent", bytes);
  const std::scoped_lock lock(mutex_);
  bytes_sent_ += bytes;
}

void Coordinator::downloaded(const std::string& task_id) {
  locked([&] {
    ++models_sent_;
    std::ignore = step(Downloaded{task_id}, steady_clock::now());
  });
}

Result<Coordinator::Admission> Coordinator::begin_upload(const federation::v1::UploadHeader& header) {
  return locked([&]() -> Result<Admission> {
    const Instant now = steady_clock::now();
    std::ignore = step(Tick{}, now);
    switch (machine_.judge(header.task_id(), now)) {
      case Judgement::kUnknown:
        return not_found(
            fmt::format("no task \"{}\" is known here; check in again for another", header.task_id()));
      case Judgement::kAlreadyCounted:
        return Admission(reply_of(UploadReply::ACCEPTED, "it was counted before"));
      case Judgement::kLate:
        metrics_.count_update("late");
        std::ignore = step(Lapsed{header.task_id()}, now);
        return Admission(late_reply());
      case Judgement::kFold: break;
    }
    if (!header.failure().empty()) return Admission(refuse(header.task_id(), header.failure(), now));
    if (header.update_bytes() != model_->bytes() || header.examples() == 0) {
      return Admission(
          refuse(header.task_id(),
                 fmt::format("the update of client {} has {} bytes from {} examples; {} bytes and at least 1 "
                             "example were due, give its pod the aggregator's spec and version of Muster",
                             machine_.client_of(header.task_id()), header.update_bytes(), header.examples(),
                             model_->bytes()),
                 now));
    }
    MUSTER_ASSIGN(std::shared_ptr<UploadBuffer> buffer, uploads_.open(header));
    return Admission(std::move(buffer));
  });
}

UploadReply Coordinator::finish_upload(const std::shared_ptr<UploadBuffer>& buffer) {
  const Status intact = buffer->verify();  // the costly part, without the lock
  const federation::v1::UploadHeader& header = buffer->header();
  return locked([&]() -> UploadReply {
    const Instant now = steady_clock::now();
    std::ignore = step(Tick{}, now);
    uploads_.forget(header.task_id());
    ++updates_received_;
    const Judgement judgement = machine_.judge(header.task_id(), now);
    if (judgement == Judgement::kAlreadyCounted)
      return reply_of(UploadReply::ACCEPTED, "it was counted before");
    if (judgement != Judgement::kFold) {
      metrics_.count_update("late");
      std::ignore = step(Lapsed{header.task_id()}, now);
      return late_reply();
    }
    const Status folded = intact ? strategy_->accumulate({.client = machine_.client_of(header.task_id()),
                                                          .delta = buffer->values(),
                                                          .examples = header.examples()})
                                 : intact;
    if (!folded) return refuse(header.task_id(), folded.error().message, now);
    metrics_.count_update("accepted");
    std::ignore = step(Reported{header.task_id()}, now);
    return reply_of(UploadReply::ACCEPTED);
  });
}

UploadReply Coordinator::refuse(const std::string& task_id, const std::string& reason, Instant now) {
  const std::string shown = clip(reason, kReasonBytesMax);  // it may come from outside
  metrics_.count_update("rejected");
  spdlog::warn("an update was refused: {} task={}", shown, task_id);
  std::ignore = step(Refused{task_id, shown}, now);
  return reply_of(UploadReply::REJECTED, shown);
}

void Coordinator::abandon_upload(std::shared_ptr<UploadBuffer> buffer) {
  const std::scoped_lock lock(mutex_);
  buffer.reset();  // under the lock: the desk counts who holds a buffer
}

void Coordinator::count_received(std::uint64_t bytes) {
  metrics_.count_bytes("received", bytes);
  const std::scoped_lock lock(mutex_);
  bytes_received_ += bytes;
}

std::uint64_t Coordinator::upload_offset(const std::string& task_id) const {
  const std::scoped_lock lock(mutex_);
  return uploads_.offset(task_id);
}

control::v1::AggregatorProgress Coordinator::progress() const {
  const std::scoped_lock lock(mutex_);
  const RoundCounts counts = machine_.counts();
  control::v1::AggregatorProgress progress;
  progress.set_round(model_->round);
  progress.set_rounds(options_.federation.rounds);
  progress.set_connected(static_cast<std::int32_t>(counts.connected));
  progress.set_selected(static_cast<std::int32_t>(counts.selected));
  progress.set_configured(static_cast<std::int32_t>(counts.configured));
  progress.set_reported(static_cast<std::int32_t>(counts.reported));
  progress.set_late(static_cast<std::int32_t>(counts.late));
  progress.set_dropped(static_cast<std::int32_t>(counts.dropped));
  progress.set_bytes_sent(bytes_sent_);
  progress.set_bytes_received(bytes_received_);
  progress.set_model_bytes(model_->bytes());
  progress.set_bytes_expected((models_sent_ + updates_received_) * model_->bytes());
  progress.set_target_reached(target_reached_);
  if (history_.empty()) return progress;
  progress.set_loss(history_.back().loss);
  if (history_.back().accuracy) progress.set_accuracy(*history_.back().accuracy);
  const auto size = static_cast<std::int64_t>(history_.size());
  const std::int64_t points = std::min(size, kHistoryPointsMax);
  for (std::int64_t i = 0; i < points; ++i) {  // evenly thinned; the first and the last point stay
    const std::int64_t at = points == 1 ? 0 : i * (size - 1) / (points - 1);
    const learning::HistoryPoint& from = history_[static_cast<std::size_t>(at)];
    control::v1::Point& point = *progress.add_history();
    point.set_at(from.at);
    point.set_loss(from.loss);
    if (from.accuracy) point.set_accuracy(*from.accuracy);
  }
  return progress;
}

std::optional<Outcome> Coordinator::wait_outcome(milliseconds timeout) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, timeout, [this] { return is_over(); });
  return is_over() ? outcome_ : std::nullopt;
}

void Coordinator::wait_dismissed(milliseconds timeout) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, timeout, [this] { return dismissed_.size() == seen_.size(); });
}

CommittedRound Coordinator::committed() const {
  const std::scoped_lock lock(mutex_);
  return {.round = model_->round, .parameters = model_->values, .history = history_};
}

}  // namespace muster::agg
