#pragma once  // kube/leader_elector.h: the thread that campaigns for a Lease and renews it, and the token to
              // write by
#include <atomic>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "common/platform/mutex.h"
#include "kube/client.h"
#include "kube/leader_election.h"

namespace muster::kube {

// Thread-safe. The owner works while leads(), ends its work when it no longer does, and then calls rejoin().
class LeaderElector {
 public:
  using Standing = LeaderElection::Standing;
  static constexpr std::chrono::milliseconds kRequestTimeout{4'000};  // two tries in a renew deadline

  struct Options {
    LeaderElection::Options election{};
    // The standing has changed. On a thread of ours, without a lock; never blocks.
    std::function<void()> on_change{};
    // For the log: why the Lease can be neither read nor written, once until it can.
    std::function<void(const std::string&)> on_problem{};
  };
  // `client` is for this alone; its requests are to end within kRequestTimeout.
  LeaderElector(Client& client, Options options);
  ~LeaderElector();  // gives nothing back

  void start();  // campaigns from now on
  // The token: whether a write may begin now, and by when it must be over, for then others may lead.
  // Errors: kCancelled: this replica does not lead.
  [[nodiscard]] Result<Deadline> may_write() const;
  [[nodiscard]] bool leads() const { return may_write().has_value(); }
  [[nodiscard]] Standing standing() const MUSTER_EXCLUDES(mutex_);
  [[nodiscard]] std::string holder() const MUSTER_EXCLUDES(mutex_);  // as last seen
  [[nodiscard]] std::string told_by_holder(const std::string& annotation) const MUSTER_EXCLUDES(mutex_);
  [[nodiscard]] bool seen() const MUSTER_EXCLUDES(mutex_);  // the server has told of the Lease
  // Errors, for /healthz: the loop stands still, or a deposed owner has not called rejoin() for a minute.
  [[nodiscard]] Status healthy() const MUSTER_EXCLUDES(mutex_);

  void rejoin() MUSTER_EXCLUDES(mutex_);  // the owner's work has ended: campaign again
  // The owner's work has ended for good: gives the Lease back, so that another leads within the retry period.
  void resign() MUSTER_EXCLUDES(mutex_);

 private:
  void run(const std::stop_token& stop) MUSTER_EXCLUDES(mutex_);
  [[nodiscard]] Result<Json> perform(const LeaderElection::Request& request);
  void tell(const LeaderElection::Request& request, const Result<Json>& answer);
  // Makes the fence known to all threads; whether the standing is another one.
  [[nodiscard]] bool publish() MUSTER_REQUIRES(mutex_);

  Client& client_;
  const Options options_;
  std::atomic<std::int64_t> fence_;  // nanoseconds of the clock that never stops
  std::set<std::string> told_;       // of the thread
  mutable Mutex mutex_;
  Condition wake_;
  LeaderElection election_ MUSTER_GUARDED_BY(mutex_);
  Standing published_ MUSTER_GUARDED_BY(mutex_) = Standing::kStandby;
  Instant deposed_at_ MUSTER_GUARDED_BY(mutex_);
  std::optional<Instant> alive_at_
      MUSTER_GUARDED_BY(mutex_);  // when the loop last came round; none: not begun
  std::jthread thread_;
};

}  // namespace muster::kube
