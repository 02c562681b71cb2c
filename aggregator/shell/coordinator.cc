// aggregator/shell/coordinator.cc: what the calls of clients do; coordinator_rounds.cc is what the rounds do
#include "aggregator/shell/coordinator.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "aggregator/shell/client_examples.h"
#include "aggregator/shell/coordinator_lock.h"
#include "aggregator/strategy/checks.h"
#include "common/base/check.h"
#include "common/base/text.h"
#include "common/platform/log.h"
#include "pod/status_limits.h"

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

UploadReply reply_of(UploadReply::Verdict verdict, std::string reason = "") {
  UploadReply reply;
  reply.set_verdict(verdict);
  reply.set_reason(std::move(reason));
  return reply;
}

// By how far a client may say that it went: as far as its training goes with so many examples.
Status check_steps(const UploadHeader& header, ClientId client, const spec::ClientTraining& training) {
  const auto batch = static_cast<std::uint64_t>(training.batch_size);
  const std::uint64_t batches = batch == 0 ? 1 : (header.examples() + batch - 1) / batch;
  const std::uint64_t most = static_cast<std::uint64_t>(training.local_epochs) * batches;
  if (header.steps() >= 1 && header.steps() <= most) return {};
  return invalid_argument(fmt::format(
      "client {} claims {} steps; its training makes 1 to {}, give its pod the aggregator's spec and "
      "version of Muster",
      client, header.steps(), most));
}

UploadReply counted_before() { return reply_of(UploadReply::ACCEPTED, "it was counted before"); }

}  // namespace

Result<std::uint64_t> Coordinator::check_in(const Caller& caller, ClientId client, milliseconds hold,
                                            CheckInAnswer answer_call) {
  const Instant now = steady_clock::now();
  return locked([&]() MUSTER_REQUIRES(mutex_) -> Result<std::uint64_t> {
    if (const Status known = check_client(client, options_.federation.clients); !known) {
      return refused(Refusal::kMalformed, known.error());
    }
    if (!speaks_for(caller, client, options_.federation.clients_per_pod)) {
      return refused(
          Refusal::kClientOfAnother,
          {Code::kPermissionDenied, fmt::format("client {} is played by client pod {}, not by pod {}", client,
                                                client / options_.federation.clients_per_pod, caller.pod)});
    }
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
  locked([&]() MUSTER_REQUIRES(mutex_) {
    const auto it = held_.find(client);
    if (it == held_.end() || it->second.ticket != ticket) return;
    release(client);
    std::ignore = step(Left{client, false}, steady_clock::now());
  });
}

Error Coordinator::refused(Refusal reason, Error error) {
  metrics_.count_refused(reason);
  return error;
}

Status Coordinator::authorize(const Caller& caller, const std::string& task_id) {
  const std::optional<KnownTask> task = machine_.known(task_id);
  if (!task) {
    return refused(Refusal::kUnknownTask,
                   not_found(fmt::format("no task \"{}\" is known here; check in again "
                                         "for another",
                                         clip(task_id, kReasonBytesMax))));
  }
  if (speaks_for(caller, task->client, options_.federation.clients_per_pod)) return {};
  spdlog::warn("client pod {} asked for a task of client {}, which it does not play", caller.pod,
               task->client);
  return refused(
      Refusal::kTaskOfAnother,
      {Code::kPermissionDenied,
       fmt::format("the task was given to a client that client pod {} does not play", caller.pod)});
}

void Coordinator::track(TransferPointer& slot, TransferPointer transfer) {
  if (slot != nullptr) {
    metrics_.count_refused(Refusal::kDisplaced);
    end_later(std::move(slot), aborted("a newer call for the same task took its place"));
  }
  slot = std::move(transfer);
}

void Coordinator::end_later(TransferPointer transfer, Error why) {
  to_end_.emplace_back(std::move(transfer), std::move(why));
}

Result<Download> Coordinator::begin_download(const Caller& caller, const DownloadRequest& request,
                                             TransferPointer transfer) {
  return locked([&]() MUSTER_REQUIRES(mutex_) -> Result<Download> {
    const std::string& task_id = request.task_id();
    std::ignore = step(Tick{}, steady_clock::now());
    MUSTER_TRY(authorize(caller, task_id));
    MUSTER_TRY(machine_.task_deadline(task_id));
    if (request.offset() > model_->download_bytes()) {
      return refused(
          Refusal::kMalformed,
          {Code::kOutOfRange, fmt::format("download of task \"{}\" from byte {}: the model has {} bytes",
                                          task_id, request.offset(), model_->download_bytes())});
    }
    const std::int64_t before = machine_.known(task_id)->number;
    MUSTER_TRY(step(Fetching{task_id}, steady_clock::now()));
    if (const auto task = machine_.known(task_id); journal_ != nullptr && task->number != before)
      journal_->note(TaskFetched{task_id, task->number});
    Transfers& running = transfers_[task_id];
    running.version = model_->round;
    track(running.download, std::move(transfer));
    const bool newest = outlives_ == Outlives::kAll;
    const bool goes_on = !newest || request.model_sha256() == model_->sha256;
    return Download{.model = model_, .offset = goes_on ? request.offset() : 0, .newest = newest};
  });
}

void Coordinator::downloaded(const std::string& task_id) {
  locked([&]() MUSTER_REQUIRES(mutex_) {
    ++whole_.models_sent;
    std::ignore = step(Downloaded{task_id}, steady_clock::now());
  });
}

void Coordinator::end_download(const std::string& task_id, const TransferPointer& transfer) {
  const MutexLock lock(mutex_);
  const auto it = transfers_.find(task_id);
  if (it != transfers_.end() && it->second.download == transfer) it->second.download.reset();
}

void Coordinator::count_sent(std::uint64_t bytes) {
  metrics_.count_sent(bytes);
  bytes_sent_ += bytes;
}

Result<Admission> Coordinator::begin_upload(const Caller& caller, const UploadHeader& header,
                                            TransferPointer transfer) {
  return locked([&]() MUSTER_REQUIRES(mutex_) -> Result<Admission> {
    const Instant now = steady_clock::now();
    const std::string& task_id = header.task_id();
    std::ignore = step(Tick{}, now);
    MUSTER_TRY(authorize(caller, task_id));
    switch (machine_.judge(task_id, now)) {
      case Judgement::kBeingFolded:
        return unavailable(fmt::format(
            "the update of task \"{}\" is here and being counted; ask again in a moment", task_id));
      case Judgement::kAlreadyCounted: return Admission(counted_before());
      case Judgement::kUnknown:
      case Judgement::kLate: return Admission(late(task_id, now));
      case Judgement::kFold: break;
    }
    if (!header.failure().empty()) {
      return Admission(refuse(task_id, Refusal::kUnusable, header.failure(), now));
    }
    if (const Status fits = check_update(header, *machine_.known(task_id)); !fits) {
      const bool examples = fits.error().code == Code::kOutOfRange;
      return Admission(refuse(task_id, examples ? Refusal::kTooManyExamples : Refusal::kUnusable,
                              fits.error().message, now));
    }
    Transfers& running = transfers_[task_id];
    auto buffer = uploads_.open(header, now);
    if (!buffer) {
      const bool room = buffer.error().code == Code::kResourceExhausted;
      if (room) make_room_later(now);
      return refused(room ? Refusal::kNoRoom : Refusal::kMalformed, buffer.error());
    }
    track(running.upload, std::move(transfer));
    return Admission(std::move(*buffer));
  });
}

// kOutOfRange: too many examples; kInvalidArgument: anything else.
Status Coordinator::check_update(const UploadHeader& header, const KnownTask& task) const {
  const ClientId client = task.client;
  if (header.update_bytes() != model_->bytes() || header.examples() == 0) {
    return invalid_argument(
        fmt::format("the update of client {} has {} bytes from {} examples; {} bytes and at least 1 "
                    "example were due, give its pod the aggregator's spec and version of Muster",
                    client, header.update_bytes(), header.examples(), model_->bytes()));
  }
  const auto limit = static_cast<std::uint64_t>(spec::examples_limit(options_.federation.cohort));
  if (header.examples() > limit) {
    return Error{Code::kOutOfRange,
                 fmt::format("client {} claims {} examples, spec.cohort.maxExamplesPerClient is {}", client,
                             header.examples(), limit)};
  }
  if (aggregate_.settings().control_variates)
    MUSTER_TRY(check_steps(header, client, options_.federation.training));
  if (options_.examples_max.empty()) return {};
  const std::uint64_t part = trained_in_round(
      options_.federation, options_.examples_max[static_cast<std::size_t>(client)], task.number);
  if (header.examples() <= part) return {};
  return Error{Code::kOutOfRange,
               fmt::format("client {} claims {} examples, its part of the data has {}{}", client,
                           header.examples(), part, options_.federation.stream ? " in this round" : "")};
}

// Not for this caller, who asks again in a moment: what is freed is freed after the lock.
void Coordinator::make_room_later(Instant now) {
  const auto deadline_of = [&](const std::string& task_id) MUSTER_REQUIRES(mutex_) {
    return machine_.useless_at(task_id).value_or(now);  // one that is over is not waited for
  };
  for (const std::string& task : uploads_.pause_slow(now, deadline_of)) {
    auto& running = transfers_[task];
    if (running.upload == nullptr) continue;
    metrics_.count_refused(Refusal::kDisplaced);
    end_later(std::move(running.upload),
              resource_exhausted("at its pace the update would not be whole before it is due, or before the "
                                 "turn of others who wait for its room; try again in a moment"));
    running.upload.reset();
  }
}

void Coordinator::finish_upload(std::shared_ptr<UploadBuffer> buffer, UploadAnswer answer_call) {
  const std::string task_id = buffer->header().task_id();
  const Status intact = buffer->verify();
  // Here, without the lock: what no strategy takes does not go to the journal, whose disk is bounded.
  const auto client_of_it = [&] {
    const MutexLock lock(mutex_);
    const auto task = machine_.known(task_id);
    return task ? task->client : 0;  // who sent for a task that is forgotten is not told
  };
  const Status usable = check_contribution(
      {.client = client_of_it(), .delta = buffer->values(), .examples = buffer->header().examples()},
      buffer->values().size());
  locked([&]() MUSTER_REQUIRES(mutex_) {
    const auto say = [&](Result<UploadReply> reply) MUSTER_REQUIRES(mutex_) {
      later_.releases.push_back(std::move(buffer));
      later_.answers.emplace_back(
          [call = std::move(answer_call), reply = std::move(reply)]() mutable { call(std::move(reply)); });
    };
    const Instant now = steady_clock::now();
    std::ignore = step(Tick{}, now);
    ++whole_.updates_received;
    const bool kept = uploads_.take(buffer);
    switch (machine_.judge(task_id, now)) {
      case Judgement::kUnknown:
      case Judgement::kLate: return say(late(task_id, now));
      case Judgement::kAlreadyCounted: return say(counted_before());
      case Judgement::kBeingFolded:
        return say(unavailable("the update is being counted; ask again in a moment"));
      case Judgement::kFold: break;
    }
    if (!kept) return say(aborted("a newer call for the same task took its place"));
    transfers_[task_id].upload.reset();
    if (!intact) {
      spdlog::warn("{}", intact.error().message);
      buffer->give_budget_back();
      return say(refused(Refusal::kDamaged, intact.error()));
    }
    if (!usable) {
      buffer->give_budget_back();
      return say(refuse(task_id, Refusal::kUnusable, usable.error().message, now));
    }
    MUSTER_CHECK(step(Arrived{task_id}, now));
    keep(std::move(buffer), std::move(answer_call));
  });
}

UploadReply Coordinator::late(const std::string& task_id, Instant now) {
  metrics_.count_update("late");
  std::ignore = step(Lapsed{task_id}, now);
  return reply_of(UploadReply::LATE, outlives_ == Outlives::kAll
                                         ? "it was due, or the model that it began with is too old"
                                         : "the round closed before the update was whole");
}

UploadReply Coordinator::refuse(const std::string& task_id, Refusal kind, const std::string& reason,
                                Instant now) {
  const std::string shown = printable(clip(reason, kReasonBytesMax));  // it may come from outside
  metrics_.count_update("rejected");
  metrics_.count_refused(kind);
  if (journal_ != nullptr && machine_.judge(task_id, now) == Judgement::kFold)  // else the journal has it
    journal_->note(TaskOver{task_id, TaskFate::kRefused});
  spdlog::warn("an update was refused: {} task={}", shown, task_id);
  std::ignore = step(Refused{task_id, shown}, now);
  return reply_of(UploadReply::REJECTED, shown);
}

void Coordinator::abandon_upload(const std::string& task_id, const TransferPointer& transfer,
                                 std::shared_ptr<UploadBuffer> buffer) {
  locked([&]() MUSTER_REQUIRES(mutex_) {
    const auto it = transfers_.find(task_id);
    if (it != transfers_.end() && it->second.upload == transfer) it->second.upload.reset();
    uploads_.pause(task_id, buffer);
    later_.releases.push_back(std::move(buffer));
  });
}

void Coordinator::count_received(std::uint64_t bytes) {
  metrics_.count_received(bytes);
  bytes_received_ += bytes;
}

Result<std::uint64_t> Coordinator::upload_offset(const Caller& caller, const std::string& task_id,
                                                 const std::string& update_sha256) {
  const MutexLock lock(mutex_);
  MUSTER_TRY(authorize(caller, task_id));
  return uploads_.offset(task_id, update_sha256);
}

control::v1::AggregatorProgress Coordinator::progress() const {
  const MutexLock lock(mutex_);
  const RoundCounts counts = machine_.counts();
  control::v1::AggregatorProgress progress;
  progress.set_round(model_->round);
  progress.set_rounds(options_.federation.rounds.value_or(0));
  if (!options_.federation.rounds) progress.set_endless(true);
  if (const auto drift = devices_.drift.value()) progress.set_drift(*drift);
  progress.set_connected(static_cast<std::int32_t>(counts.connected));
  progress.set_selected(static_cast<std::int32_t>(counts.selected));
  progress.set_configured(static_cast<std::int32_t>(counts.configured));
  progress.set_reported(static_cast<std::int32_t>(counts.reported));
  progress.set_late(static_cast<std::int32_t>(counts.late));
  progress.set_dropped(static_cast<std::int32_t>(counts.dropped));
  progress.set_bytes_sent(bytes_sent_);
  progress.set_bytes_received(bytes_received_);
  progress.set_model_bytes(model_->bytes());
  progress.set_bytes_expected(whole_.models_sent * model_->download_bytes() +
                              whole_.updates_received * model_->bytes());
  progress.set_target_reached(target_reached_);
  if (history_.empty()) return progress;
  progress.set_loss(history_.back().loss);
  if (history_.back().accuracy) progress.set_accuracy(*history_.back().accuracy);
  const auto size = static_cast<std::int64_t>(history_.size());
  const std::int64_t points = std::min(size, std::int64_t{kStatusHistoryMax});
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
  MutexLock lock(mutex_);
  changed_.wait_for(lock, timeout, [this]() MUSTER_REQUIRES(mutex_) { return is_over(); });
  return is_over() ? outcome_ : std::nullopt;
}

void Coordinator::wait_dismissed(milliseconds timeout) {
  MutexLock lock(mutex_);
  changed_.wait_for(lock, timeout,
                    [this]() MUSTER_REQUIRES(mutex_) { return dismissed_.size() == seen_.size(); });
}

CommittedModel Coordinator::committed() const {
  const MutexLock lock(mutex_);
  return {.model = model_, .history = history_};
}

std::uint64_t Coordinator::upload_room() const {
  const MutexLock lock(mutex_);
  return uploads_.room();
}

}  // namespace muster::agg
