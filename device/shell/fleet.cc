// device/shell/fleet.cc: held check-ins on gRPC's callback API, tasks on a few threads of their own
#include "device/shell/fleet.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/random.h"
#include "common/platform/log.h"
#include "common/platform/mutex.h"
#include "device/client_round.h"
#include "device/partial_work.h"
#include "device/shell/transfer.h"
#include "device/shell/wire.h"
#include "proto/federation.grpc.pb.h"

namespace muster::device {
namespace {

using federation::v1::CheckInReply;
using federation::v1::CheckInRequest;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kCallTime{15'000};  // for a call to be answered beyond its hold

struct CheckInCall {
  grpc::ClientContext context;
  CheckInRequest request;
  CheckInReply reply;
};

class GrpcFleet final : public Fleet {
 public:
  GrpcFleet(FleetOptions options, Trainer trainer)
      : options_(std::move(options)),
        trainer_(std::move(trainer)),
        stub_(federation::v1::Federation::NewStub(
            make_channel(options_.aggregator, options_.credentials, options_.proxy))),
        last_answer_(steady_clock::now()) {
    for (std::int32_t i = 0; i < options_.clients; ++i) {
      const auto seed =
          hash_key(std::hash<std::string>()(options_.credentials.name().uid), options_.first_client + i);
      rounds_.emplace_back(ClientOptions{.seed = seed});
    }
    for (std::int32_t i = 0; i < options_.clients; ++i) handle(i, Begin{});
    for (int slot = 0; slot < options_.parallel_clients; ++slot)
      workers_.emplace_back([this, slot] { work(slot); });
    timer_ = std::thread([this] { run_timer(); });
  }

  ~GrpcFleet() override {
    std::vector<std::shared_ptr<grpc::ClientContext>> calls;
    {
      const MutexLock lock(mutex_);
      stopping_ = true;
      calls.assign(contexts_.begin(), contexts_.end());
      wake_.notify_all();
    }
    for (const auto& call : calls) call->TryCancel();  // without the lock: it may run our callbacks
    for (std::thread& worker : workers_) worker.join();
    timer_.join();
    MutexLock lock(mutex_);
    wake_.wait(lock, [this]() MUSTER_REQUIRES(mutex_) { return calls_ == 0; });
  }

  Result<FederationEnd> wait(milliseconds timeout) override {
    MutexLock lock(mutex_);
    wake_.wait_for(lock, timeout, [this]() MUSTER_REQUIRES(mutex_) { return done_ || lost_; });
    if (done_) return *done_;
    if (lost_) return *lost_;
    return deadline_exceeded("the federation goes on");
  }

  control::v1::ClientProgress progress() const override {
    const MutexLock lock(mutex_);
    return progress_of_all();
  }

 private:
  using CallContext = std::shared_ptr<grpc::ClientContext>;

  control::v1::ClientProgress progress_of_all() const MUSTER_REQUIRES(mutex_) {
    control::v1::ClientProgress progress;
    progress.set_clients(options_.clients);
    progress.set_updates_sent(updates_sent_);
    progress.set_updates_failed(updates_failed_);
    progress.set_updates_counted(updates_counted_);
    progress.set_updates_uncounted(updates_uncounted_);
    progress.set_updates_partial(updates_partial_);
    progress.set_bytes_sent(bytes_sent_);
    progress.set_bytes_received(bytes_received_);
    return progress;
  }

  // Feeds one client's machine and acts on what it says; returns what its worker has to do.
  Effects handle(std::int32_t index, const Event& event) {
    Effects mine;
    bool check_in = false;
    {
      const MutexLock lock(mutex_);
      ClientRound& round = rounds_[static_cast<std::size_t>(index)];
      if (const auto* failed = std::get_if<CallFailed>(&event)) last_error_ = failed->error.message;
      auto effects = round.step(event, steady_clock::now());
      if (!effects) {
        spdlog::debug("client {}: {}", options_.first_client + index, effects.error().message);
        return mine;
      }
      if (!round.unreachable_since()) last_answer_ = steady_clock::now();
      for (Effect& effect : *effects) {
        if (std::holds_alternative<CheckIn>(effect)) {
          check_in = !stopping_ && !done_;
        } else if (std::holds_alternative<WantSlot>(effect)) {
          queue_.push_back(index);
        } else if (const auto* settled = std::get_if<Settled>(&effect)) {
          (settled->counted ? updates_counted_ : updates_uncounted_) += 1;
        } else if (const auto* home = std::get_if<GoHome>(&effect)) {
          if (!done_) done_ = FederationEnd{home->reason, home->failed};
        } else if (const auto* refused = std::get_if<GiveUp>(&effect)) {
          if (!lost_) lost_ = refused->error.in(fmt::format("the aggregator at {}", options_.aggregator));
        } else if (const auto* released = std::get_if<ReleaseSlot>(&effect)) {
          (released->sent ? updates_sent_ : updates_failed_) += 1;
          mine.push_back(std::move(effect));
        } else {
          mine.push_back(std::move(effect));
        }
      }
      wake_.notify_all();
    }
    if (check_in) start_check_in(index);
    return mine;
  }

  void start_check_in(std::int32_t index) {
    auto call = std::make_shared<CheckInCall>();
    CallContext context(call, &call->context);
    context->set_deadline(std::chrono::system_clock::now() + options_.hold + kCallTime);
    call->request.set_client(options_.first_client + index);
    call->request.set_data_sha256(options_.data_sha256);
    call->request.set_hold_ms(options_.hold.count());
    {
      const MutexLock lock(mutex_);
      if (stopping_) return;
      contexts_.insert(context);
      ++calls_;
    }
    CheckInCall& at = *call;  // before the callback has it
    stub_->async()->CheckIn(&at.context, &at.request, &at.reply,
                            [this, index, call = std::move(call),
                             context = std::move(context)](const grpc::Status& status) mutable {
                              if (!is_stopping())
                                handle(index, event_of(status, call->reply, steady_clock::now()));
                              call.reset();
                              forget(std::move(context));  // last: the destructor waits for it
                            });
  }

  void work(int slot) {
    while (true) {
      std::int32_t index = 0;
      {
        MutexLock lock(mutex_);
        wake_.wait(lock, [this]() MUSTER_REQUIRES(mutex_) { return stopping_ || done_ || !queue_.empty(); });
        if (stopping_ || done_) return;
        index = queue_.front();
        queue_.pop_front();
      }
      play_task(slot, index);
    }
  }

  // One client's task, from its slot to its release.
  void play_task(int slot, std::int32_t index) {
    const std::int32_t client = options_.first_client + index;
    Effects effects = handle(index, SlotGranted{});
    std::optional<ModelDownload> model;
    learning::LocalUpdate update;
    std::optional<UpdateUpload> upload;
    while (!over()) {
      if (effects.empty()) {  // a transfer broke and rests
        if (!rest(index)) return;
        effects = handle(index, Tick{});
        continue;
      }
      const Effect effect = std::move(effects.front());
      if (std::holds_alternative<ReleaseSlot>(effect)) return;
      Event next = Tick{};
      if (std::holds_alternative<Download>(effect)) {
        next = download(index, model);
      } else if (const auto* train = std::get_if<Train>(&effect)) {
        const auto cancelled = [this, until = train->task.deadline] {
          return over() || steady_clock::now() >= until;
        };
        auto trained = trainer_(slot, client, in_its_time(train->task), model->values(), cancelled);
        model.reset();
        if (trained) {
          update = std::move(*trained);
          if (update.partial) count_partial();
          upload.emplace(train->task.task_id, update);
          next = TrainingDone{};
        } else {
          next = TrainingFailed{std::move(trained).error()};
        }
      } else if (std::holds_alternative<Upload>(effect)) {
        next = send(*upload, task_of(index).task_id);
      } else if (const auto* failure = std::get_if<ReportFailure>(&effect)) {
        spdlog::warn("client {} could not train: {}", client, failure->reason);
        Verdict verdict = Verdict::kRejected;
        next = with_context([&](grpc::ClientContext& context) -> Event {
          const Attempt attempt = report_failure(*stub_, context, *failure, verdict);
          if (!attempt.status) return CallFailed{attempt.status.error()};
          return UpdateAnswered{verdict};
        });
      }
      effects = handle(index, next);
    }
  }

  // So that the others of its round that wait for a slot come to their turn.
  TaskTicket in_its_time(TaskTicket task) const {
    if (!task.stop_at) return task;
    const MutexLock lock(mutex_);
    const auto queued =
        std::count_if(queue_.begin(), queue_.end(), [&](std::int32_t index) MUSTER_REQUIRES(mutex_) {
          return rounds_[static_cast<std::size_t>(index)].task().round == task.round;
        });
    task.stop_at = share_of_time(steady_clock::now(), *task.stop_at, static_cast<std::size_t>(queued),
                                 static_cast<std::size_t>(options_.parallel_clients));
    return task;
  }

  Event download(std::int32_t index, std::optional<ModelDownload>& model) {
    const TaskTicket task = task_of(index);
    const std::uint64_t due =
        options_.parameter_count * sizeof(float) * (task.settings.control_variates ? 2 : 1);
    if (task.model_bytes != due) {
      return TrainingFailed{invalid_argument(fmt::format(
          "the aggregator's model comes with {} bytes, the client's has {}", task.model_bytes, due))};
    }
    if (!model) model.emplace(task);
    return with_context([&](grpc::ClientContext& context) -> Event {
      const Attempt attempt = model->attempt(*stub_, context);
      count(&GrpcFleet::bytes_received_, attempt.moved_bytes);
      if (!attempt.status) return CallFailed{attempt.status.error(), attempt.moved_bytes};
      return ModelReceived{model->round()};
    });
  }

  Event send(UpdateUpload& upload, const std::string& task_id) {
    federation::v1::UploadOffsetReply held;
    Event asked = with_context([&](grpc::ClientContext& context) -> Event {
      federation::v1::UploadOffsetRequest request;
      request.set_task_id(task_id);
      request.set_update_sha256(upload.sha256());
      const grpc::Status status = stub_->UploadOffset(&context, request, &held);
      if (!status.ok()) return CallFailed{error_of(status)};
      return Tick{};
    });
    if (std::holds_alternative<CallFailed>(asked)) return asked;
    return with_context([&](grpc::ClientContext& context) -> Event {
      Verdict verdict = Verdict::kRejected;
      const Attempt attempt = upload.attempt(*stub_, context, held.offset(), verdict);
      count(&GrpcFleet::bytes_sent_, attempt.moved_bytes);
      if (!attempt.status) return CallFailed{attempt.status.error(), attempt.moved_bytes};
      return UpdateAnswered{verdict};
    });
  }

  void count_partial() {
    const MutexLock lock(mutex_);
    ++updates_partial_;
  }

  template <typename Call>
  Event with_context(Call call) {
    auto context = std::make_shared<grpc::ClientContext>();
    context->set_deadline(std::chrono::system_clock::now() + options_.transfer_timeout);
    {
      const MutexLock lock(mutex_);
      if (stopping_) return CallFailed{aborted("stopping")};
      contexts_.insert(context);
      ++calls_;
    }
    Event event = call(*context);
    forget(std::move(context));
    return event;
  }

  // Until the client's next deadline; false when there is none or all is over.
  bool rest(std::int32_t index) {
    MutexLock lock(mutex_);
    const auto until = rounds_[static_cast<std::size_t>(index)].next_deadline();
    if (!until) return false;
    return !wake_.wait_until(lock, *until,
                             [this]() MUSTER_REQUIRES(mutex_) { return stopping_ || done_ || lost_; });
  }

  // Wakes the clients that rest between check-ins, and notices when the aggregator is gone for good.
  void run_timer() {
    MutexLock lock(mutex_);
    while (!stopping_ && !done_ && !lost_) {
      const Instant now = steady_clock::now();
      Instant next = now + kCallTime;
      std::vector<std::int32_t> due;
      bool unreachable = false;
      for (std::int32_t i = 0; i < options_.clients; ++i) {
        const ClientRound& round = rounds_[static_cast<std::size_t>(i)];
        unreachable = unreachable || round.unreachable_since().has_value();
        if (round.state() != ClientState::kIdle || !round.next_deadline()) continue;
        if (*round.next_deadline() <= now) due.push_back(i);
        next = std::min(next, *round.next_deadline());
      }
      if (unreachable && now - last_answer_ > options_.aggregator_timeout) {
        lost_ = unavailable(
            fmt::format("the aggregator at {} has not answered for {} s ({}); see why its pod is gone",
                        options_.aggregator, options_.aggregator_timeout.count() / 1000, last_error_));
        wake_.notify_all();
        return;
      }
      if (due.empty()) {
        if (unreachable) next = std::min(next, last_answer_ + options_.aggregator_timeout + milliseconds(1));
        wake_.wait_until(lock, next);
        continue;
      }
      lock.unlock();
      for (const std::int32_t index : due) handle(index, Tick{});
      lock.lock();
    }
  }

  [[nodiscard]] bool over() const {
    const MutexLock lock(mutex_);
    return stopping_ || done_.has_value();
  }
  [[nodiscard]] bool is_stopping() const {
    const MutexLock lock(mutex_);
    return stopping_;
  }
  [[nodiscard]] TaskTicket task_of(std::int32_t index) const {
    const MutexLock lock(mutex_);
    return rounds_[static_cast<std::size_t>(index)].task();
  }
  // Before the destructor goes on: the context must not be the last to hold the channel, on gRPC's thread.
  void forget(CallContext context) {
    {
      const MutexLock lock(mutex_);
      contexts_.erase(context);
    }
    context.reset();
    const MutexLock lock(mutex_);
    --calls_;
    wake_.notify_all();
  }
  void count(std::uint64_t GrpcFleet::*counter, std::uint64_t bytes) {
    const MutexLock lock(mutex_);
    this->*counter += bytes;
  }

  const FleetOptions options_;
  const Trainer trainer_;
  const std::unique_ptr<federation::v1::Federation::Stub> stub_;

  mutable Mutex mutex_;
  Condition wake_;
  std::vector<ClientRound> rounds_ MUSTER_GUARDED_BY(mutex_);
  std::deque<std::int32_t> queue_ MUSTER_GUARDED_BY(mutex_);  // clients that wait for a slot
  std::set<CallContext> contexts_ MUSTER_GUARDED_BY(mutex_);  // of the calls under way
  int calls_ MUSTER_GUARDED_BY(mutex_) = 0;                   // that hold a context
  bool stopping_ MUSTER_GUARDED_BY(mutex_) = false;
  std::optional<FederationEnd> done_ MUSTER_GUARDED_BY(mutex_);
  std::optional<Error> lost_ MUSTER_GUARDED_BY(mutex_);
  std::string last_error_ MUSTER_GUARDED_BY(mutex_);  // of the calls that failed
  Instant last_answer_ MUSTER_GUARDED_BY(mutex_);
  std::int64_t updates_sent_ MUSTER_GUARDED_BY(mutex_) = 0;
  std::int64_t updates_failed_ MUSTER_GUARDED_BY(mutex_) = 0;
  std::int64_t updates_counted_ MUSTER_GUARDED_BY(mutex_) = 0;
  std::int64_t updates_uncounted_ MUSTER_GUARDED_BY(mutex_) = 0;
  std::int64_t updates_partial_ MUSTER_GUARDED_BY(mutex_) = 0;
  std::uint64_t bytes_sent_ MUSTER_GUARDED_BY(mutex_) = 0;
  std::uint64_t bytes_received_ MUSTER_GUARDED_BY(mutex_) = 0;

  std::vector<std::thread> workers_;
  std::thread timer_;
};

}  // namespace

std::unique_ptr<Fleet> Fleet::start(FleetOptions options, Trainer trainer) {
  return std::make_unique<GrpcFleet>(std::move(options), std::move(trainer));
}

}  // namespace muster::device
