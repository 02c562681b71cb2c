#pragma once  // operator/shell/controller.h: the loop of one kind: key -> snapshot -> decision -> applied
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/platform/mutex.h"
#include "kube/metrics.h"
#include "kube/work_queue.h"
#include "operator/core/observed.h"
#include "operator/shell/applier.h"
#include "operator/shell/authority_secret.h"
#include "operator/shell/node_health.h"
#include "operator/shell/operator_metrics.h"
#include "operator/shell/outage.h"
#include "operator/shell/progress_reports.h"
#include "operator/shell/scheduling_apis.h"

namespace muster::op {

struct ControllerParts {  // all outlive the controllers
  ClusterCache& cache;
  Agents& agents;
  Applier& applier;
  NodeHealth& nodes;
  const Issuer& issuer;
  OperatorMetrics& metrics;
  prometheus::Registry& registry;
  // Asked before pods are replaced because of, or in spite of, another operator: AuthorityCheck.
  std::function<Status(AuthorityDoubt)> confirm_authority{};
  SchedulingApis* scheduling = nullptr;  // null: a cluster without groups and queues
  ProgressReports* reports = nullptr;    // of programs; null: there are none
};

class Controller {
 public:
  // Parses the object and asks core; the snapshot comes filled but for the object itself.
  using Decide = std::function<Result<Decision>(const Json& object, Observed seen)>;
  struct Options {
    kube::Resource resource;
    std::string name;  // label `controller` of the metrics
    int workers = 2;
    PodDefaults defaults;
    bool keeps_history = false;
    Decide decide;
  };
  Controller(ControllerParts parts, Options options);
  ~Controller();  // stop()

  void start();
  void stop();  // lets the passes under way end
  // Something about the object "namespace/name" has changed. Its own news makes a pass at once.
  void enqueue(const std::string& key);
  // News of its pods: the first at once, those of the pause after a pass (20 ms, more for an object of many
  // pods) make one pass.
  void enqueue_gathered(const std::string& key);
  // Progress: several within 100 ms make one pass; while passes of the object fail, none before the next
  // retry.
  void enqueue_soon(const std::string& key) MUSTER_EXCLUDES(mutex_);
  void sample();  // gauges of what only grows by waiting

  [[nodiscard]] const kube::Resource& resource() const { return options_.resource; }
  // One pass, as a worker does it; for tests.
  enum class Outcome { kDone, kRequeue, kRequeueAfter, kFailed };
  Outcome reconcile(const std::string& key);

 private:
  struct Memory {     // of what the API server does not keep for us
    std::string uid;  // of the object: one that is made anew under this name starts afresh
    std::optional<WallTime> last_status_write;
    std::optional<std::string> unkept;            // Observed::unkept
    std::map<std::string, WallTime> credentials;  // Secrets with keys: when they were made, or tried
    std::set<std::string> found_credentials;      // those that were there and not made here
    std::map<std::string, WallTime> ends;         // of pods, by uid: when they were first seen
    std::set<std::string> on_bad_nodes;           // uids of pods that were looked at again for it
    std::optional<Obstacle> obstacle;
    Instant obstacle_until;
    std::int64_t obstacle_generation = 0;  // of the object: another spec is tried at once
    int refusals = 0;
  };
  struct Failing {  // an object whose last pass failed
    std::chrono::milliseconds pause{0};
    Instant until;
  };
  void work(const std::stop_token& stop);
  // `looked`: how long it took to read the caches and decide.
  Outcome pass(const std::string& key, std::chrono::nanoseconds& looked);
  [[nodiscard]] std::string owner(const std::string& key) const { return options_.resource.kind + "/" + key; }
  [[nodiscard]] Observed observe(const Subject& subject, const std::vector<kube::Object>& pods)
      MUSTER_EXCLUDES(mutex_);
  [[nodiscard]] Status confirm_authority(const Observed& seen) const;
  // The watches of pods and of nodes keep no step: a pod may have ended before its node broke. True: the
  // cache has what the API server says of pods that their nodes disrupt.
  [[nodiscard]] Result<bool> look_again_at_disrupted(const Subject& subject, const Observed& seen)
      MUSTER_EXCLUDES(mutex_);
  // Adds to `seen` what this process remembers of the object and of its pods' ends.
  void recall(const Subject& subject, Observed& seen) MUSTER_EXCLUDES(mutex_);
  [[nodiscard]] Memory& memory_of(const Subject& subject) MUSTER_REQUIRES(mutex_);
  void remember(const Subject& subject, const ApplyResult& applied) MUSTER_EXCLUDES(mutex_);
  void forget(const std::string& key) MUSTER_EXCLUDES(mutex_);
  [[nodiscard]] Outcome failed(const std::string& key, const Error& error);
  // After a failed pass, unless the server is away: returns in how long it is tried again, from 1 s to a
  // minute.
  std::chrono::milliseconds retry(const std::string& key) MUSTER_EXCLUDES(mutex_);
  void recovered(const std::string& key) MUSTER_EXCLUDES(mutex_);

  ControllerParts parts_;
  Options options_;
  kube::QueueMetrics queue_metrics_;
  kube::WorkQueue queue_;
  Outage outage_;
  Mutex mutex_;
  std::map<std::string, Memory> memory_ MUSTER_GUARDED_BY(mutex_);
  std::map<std::string, Failing> failing_ MUSTER_GUARDED_BY(mutex_);
  std::vector<std::jthread> threads_;
};

}  // namespace muster::op
