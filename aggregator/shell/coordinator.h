#pragma once  // aggregator/shell/coordinator.h: runs the machine: held calls, transfers, folds, commits
#include <atomic>
#include <set>
#include <thread>
#include <unordered_map>
#include <utility>

#include "aggregator/round/counted.h"
#include "aggregator/round/machine.h"
#include "aggregator/shell/aggregate_thread.h"
#include "aggregator/shell/aggregator_metrics.h"
#include "aggregator/shell/caller.h"
#include "aggregator/shell/coordinator_options.h"
#include "aggregator/shell/coordinator_parts.h"
#include "aggregator/shell/journal_thread.h"
#include "aggregator/shell/upload.h"
#include "common/platform/mutex.h"
#include "proto/control.pb.h"
#include "proto/federation.pb.h"

namespace muster::agg {

// Thread-safe. Nothing that takes as long as the model is large happens under its lock: updates are folded
// and models finished on a thread of their own, and chunks do not come here at all. Memory: the model, the
// aggregate, what the strategy remembers, and upload_memory_max (or two updates).
class Coordinator {
 public:
  // `strategy` is of the model in `start`, whose state it has been given.
  Coordinator(CoordinatorOptions options, CoordinatorPorts ports, std::unique_ptr<Strategy> strategy,
              CommittedRound start, AggregatorMetrics& metrics, Journaled journaled = {});
  ~Coordinator();  // answers every held call and stops
  Coordinator(const Coordinator&) = delete;
  Coordinator& operator=(const Coordinator&) = delete;

  // Each call is bound to its caller. Errors of all: kPermissionDenied: the client, or the task's client, is
  // another pod's. kNotFound: no such task. Refusals are counted.
  // Holds the call until there is something to say; `answer` is called once, perhaps before this returns,
  // unless leave comes first. Errors: kInvalidArgument: no such client.
  [[nodiscard]] Result<std::uint64_t> check_in(const Caller& caller, ClientId client,
                                               std::chrono::milliseconds hold, CheckInAnswer answer);
  void leave(ClientId client, std::uint64_t ticket);  // the caller has gone

  // The model of an open task; where there are no rounds, the newest, from byte 0 on if the client has a part
  // of another. `transfer` is ended with the round, or by a newer download of the same task, until
  // end_download. Errors: kAborted (the round is over), kOutOfRange (offset).
  [[nodiscard]] Result<Download> begin_download(const Caller& caller, const DownloadRequest& request,
                                                TransferPointer transfer);
  void downloaded(const std::string& task_id);  // the last byte is on its way
  void end_download(const std::string& task_id, const TransferPointer& transfer);
  void count_sent(std::uint64_t bytes);

  // An answer at once, or a buffer to fill for finish_upload, until which `transfer` ends with the round.
  // Errors: kResourceExhausted (no memory just now: try again until the deadline), kUnavailable (it is being
  // folded: likewise), kFailedPrecondition (offset: ask upload_offset).
  [[nodiscard]] Result<Admission> begin_upload(const Caller& caller, const UploadHeader& header,
                                               TransferPointer transfer);
  // `answer` is called once, when the update is durable and folded, or will not be. Errors: kDataLoss:
  // damaged, send again. kResourceExhausted: the journal's disk is full: likewise, until the deadline.
  void finish_upload(std::shared_ptr<UploadBuffer> buffer, UploadAnswer answer);
  // Its call broke before the buffer was whole; another may go on with it.
  void abandon_upload(const std::string& task_id, const TransferPointer& transfer,
                      std::shared_ptr<UploadBuffer> buffer);
  void count_received(std::uint64_t bytes);
  [[nodiscard]] Result<std::uint64_t> upload_offset(const Caller& caller, const std::string& task_id,
                                                    const std::string& update_sha256);

  [[nodiscard]] control::v1::AggregatorProgress progress() const;
  // Once the federation is over and its last model evaluated; nothing when `timeout` is over before.
  [[nodiscard]] std::optional<Outcome> wait_outcome(std::chrono::milliseconds timeout);
  void wait_dismissed(std::chrono::milliseconds timeout);  // every client that ever came has been told so
  [[nodiscard]] CommittedModel committed()
      const;  // the newest; durable once wait_outcome says that all is well
  [[nodiscard]] std::uint64_t upload_room() const;  // bytes for updates that may come now
  [[nodiscard]] std::string journal_full() const { return journal_ ? journal_->full_text() : ""; }  // why
  void clear_journal();  // the model is written for good
  [[nodiscard]] std::int64_t clients_per_pod() const { return options_.federation.clients_per_pod; }
  [[nodiscard]] AggregatorMetrics& metrics() { return metrics_; }

 private:
  template <typename Action>
  auto locked(Action action);  // runs it under the lock, then does what waits in later_

  Status step(const Event& event, Instant now) MUSTER_REQUIRES(mutex_);
  void apply(const Effects& effects, Instant now) MUSTER_REQUIRES(mutex_);
  void apply(const BeginRound& effect, Instant now) MUSTER_REQUIRES(mutex_);
  void apply(const AssignTask& effect, Instant now) MUSTER_REQUIRES(mutex_);
  void apply(const ForgetTask& effect, Instant now) MUSTER_REQUIRES(mutex_);
  void apply(const CommitRound& effect, Instant now) MUSTER_REQUIRES(mutex_);
  void apply(const AbandonRound& effect, Instant now) MUSTER_REQUIRES(mutex_);
  void apply(const Dismiss& effect, Instant now) MUSTER_REQUIRES(mutex_);
  void apply(const Ended& effect, Instant now) MUSTER_REQUIRES(mutex_);
  void answer(ClientId client, federation::v1::CheckInReply reply) MUSTER_REQUIRES(mutex_);
  std::optional<Held> release(ClientId client) MUSTER_REQUIRES(mutex_);
  [[nodiscard]] Error refused(Refusal reason, Error error) MUSTER_REQUIRES(mutex_);
  [[nodiscard]] Status authorize(const Caller& caller, const std::string& task_id) MUSTER_REQUIRES(mutex_);
  [[nodiscard]] Status check_update(const UploadHeader& header, const KnownTask& task) const
      MUSTER_REQUIRES(mutex_);
  void track(TransferPointer& slot, TransferPointer transfer) MUSTER_REQUIRES(mutex_);
  void end_later(TransferPointer transfer, Error why) MUSTER_REQUIRES(mutex_);
  void end_transfers(const std::string& why, Outlives outlives) MUSTER_REQUIRES(mutex_);
  void end_old_downloads() MUSTER_REQUIRES(mutex_);
  void forget_ended_transfers() MUSTER_REQUIRES(mutex_);
  void make_room_later(Instant now) MUSTER_REQUIRES(mutex_);
  void install(std::shared_ptr<const GlobalModel> model, Instant now) MUSTER_REQUIRES(mutex_);
  void put_in_place(std::shared_ptr<const GlobalModel> model) MUSTER_REQUIRES(mutex_);
  void save_later(std::shared_ptr<const GlobalModel> model) MUSTER_REQUIRES(mutex_);
  void tell_counted(ClientId client, federation::v1::CheckInReply& reply) const MUSTER_REQUIRES(mutex_);
  void fail(int exit_code, std::string message, Instant now) MUSTER_REQUIRES(mutex_);
  void journal_effects(const Effects& effects) MUSTER_REQUIRES(mutex_);
  void journal_closed(const Closed& closed, bool committed) MUSTER_REQUIRES(mutex_);
  [[nodiscard]] bool ends_wait() const MUSTER_REQUIRES(mutex_);
  void keep(std::shared_ptr<UploadBuffer> buffer, UploadAnswer answer) MUSTER_REQUIRES(mutex_);
  federation::v1::UploadReply refuse(const std::string& task_id, Refusal kind, const std::string& reason,
                                     Instant now) MUSTER_REQUIRES(mutex_);
  federation::v1::UploadReply late(const std::string& task_id, Instant now) MUSTER_REQUIRES(mutex_);
  void expire_held(Instant now) MUSTER_REQUIRES(mutex_);
  [[nodiscard]] Instant next_due() const MUSTER_REQUIRES(mutex_);  // when the timer has something to do
  [[nodiscard]] bool is_over() const MUSTER_REQUIRES(mutex_);
  [[nodiscard]] bool reaches_target(const std::vector<learning::HistoryPoint>& history) const
      MUSTER_REQUIRES(mutex_);
  void run_timer();  // this one and those below: without the lock, of their own threads
  void run_commits();
  void fold(Folding folding, Strategy& strategy);
  void send_back(Folding folding, const Error& why);
  void abandoned(std::int64_t round);
  void finish(const Closed& closed, const std::shared_ptr<const GlobalModel>& model, Strategy& strategy);
  [[nodiscard]] bool wait_saved();
  void commit(const std::shared_ptr<const GlobalModel>& model);

  const CoordinatorOptions options_;
  // What clients keep goes by a verdict that outlives us: a round begins when the last one is saved.
  const bool saved_first_;
  const CoordinatorPorts ports_;
  AggregatorMetrics& metrics_;

  mutable Mutex mutex_;
  Condition timer_wake_;
  Condition commit_wake_;
  Condition changed_;  // over, a round saved, or a client dismissed
  bool stopping_ MUSTER_GUARDED_BY(mutex_) = false;
  const Outlives outlives_;
  const std::unique_ptr<FederationMachine> owned_machine_;
  FederationMachine& machine_ MUSTER_GUARDED_BY(mutex_);
  std::int64_t gathering_ MUSTER_GUARDED_BY(mutex_);  // the round whose aggregate takes updates
  UpdateLedger ledger_ MUSTER_GUARDED_BY(mutex_);
  Abandoning abandoning_ MUSTER_GUARDED_BY(mutex_);
  CountedUpdates counted_ MUSTER_GUARDED_BY(mutex_);
  ToldByClients told_ MUSTER_GUARDED_BY(mutex_);  // of the aggregate
  OfDevices devices_ MUSTER_GUARDED_BY(mutex_);
  std::shared_ptr<const GlobalModel> model_ MUSTER_GUARDED_BY(mutex_);
  std::shared_ptr<const GlobalModel> to_commit_ MUSTER_GUARDED_BY(mutex_);  // waits for run_commits
  std::shared_ptr<const GlobalModel> next_ MUSTER_GUARDED_BY(mutex_);  // finished while run_commits was busy
  bool committing_ MUSTER_GUARDED_BY(mutex_) = false;
  // Of the model that is committed or to be; the strategy leaves it alone meanwhile (wait_saved).
  std::vector<learning::SlotView> state_ MUSTER_GUARDED_BY(mutex_);
  std::vector<learning::HistoryPoint> history_ MUSTER_GUARDED_BY(mutex_);
  std::optional<Outcome> outcome_ MUSTER_GUARDED_BY(mutex_);
  bool target_reached_ MUSTER_GUARDED_BY(mutex_) = false;
  std::uint64_t next_ticket_ MUSTER_GUARDED_BY(mutex_) = 1;
  std::unordered_map<ClientId, Held> held_ MUSTER_GUARDED_BY(mutex_);
  std::set<std::pair<Instant, ClientId>> expiries_ MUSTER_GUARDED_BY(mutex_);  // of held_
  Instant timer_until_ MUSTER_GUARDED_BY(mutex_){};                            // the timer sleeps until then
  std::set<ClientId> seen_ MUSTER_GUARDED_BY(mutex_);
  std::set<ClientId> dismissed_ MUSTER_GUARDED_BY(mutex_);
  std::unordered_map<std::string, Transfers> transfers_ MUSTER_GUARDED_BY(mutex_);  // by task
  std::vector<std::string> lapsed_ MUSTER_GUARDED_BY(mutex_);  // uploads, broken off with their round
  UploadDesk uploads_ MUSTER_GUARDED_BY(mutex_);
  std::vector<std::pair<TransferPointer, Error>> to_end_ MUSTER_GUARDED_BY(mutex_);  // by the timer, unlocked
  Later later_ MUSTER_GUARDED_BY(mutex_);
  Instant round_began_ MUSTER_GUARDED_BY(mutex_){};
  WholeTransfers whole_ MUSTER_GUARDED_BY(mutex_);
  std::atomic<std::uint64_t> bytes_sent_ = 0;  // not under the lock
  std::atomic<std::uint64_t> bytes_received_ = 0;
  std::unique_ptr<JournalThread> journal_;  // null: nothing is durable but saved models
  AggregateThread aggregate_;               // after all that its jobs use
  std::thread timer_;
  std::thread commits_;
};

}  // namespace muster::agg
