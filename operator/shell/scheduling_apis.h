#pragma once  // operator/shell/scheduling_apis.h: which schedulers' and queues' APIs are served, and what of
              // them is our objects'
#include <map>
#include <string>

#include "common/platform/mutex.h"
#include "kube/client.h"
#include "operator/core/scheduling.h"
#include "operator/shell/children.h"

namespace muster::op {

// Thread-safe. Asks when it matters, and not by itself: what is served, when an object is about to have its
// first pods and the answer is older than 5 s; and watches a kind from when the first object needs it.
class SchedulingApis {
 public:
  SchedulingApis(kube::Client& client, ClusterCache& cache) : client_(client), cache_(cache) {}

  // Fills seen.scheduling, of which nothing is known to an object that needs none of it. Errors: the API
  // server is away.
  [[nodiscard]] Status look(const Json& object, const Subject& subject, Observed& seen)
      MUSTER_EXCLUDES(mutex_);
  // A create was answered so: it is not served any more, or not allowed. Counts for 5 s.
  void refused(const ApiKind& api, const Error& why) MUSTER_EXCLUDES(mutex_);

 private:
  [[nodiscard]] Status ask(bool may_be_old) MUSTER_REQUIRES(mutex_);
  [[nodiscard]] Status ask_all(SchedulingSeen& served) MUSTER_REQUIRES(mutex_);
  void tell_refusal(ServedApi& api) MUSTER_REQUIRES(mutex_);
  // The object's own of that kind, from a cache that is begun if it is not there.
  [[nodiscard]] Result<SeenChild> child(ServedApi& api, const Subject& subject, const std::string& name)
      MUSTER_EXCLUDES(mutex_);

  [[nodiscard]] Status look_at_queue(const Json& object, const Subject& subject, Observed& seen)
      MUSTER_EXCLUDES(mutex_);
  // An object of the cluster; null and `problem`, if it is not to be had. An answer counts for 5 s.
  [[nodiscard]] Result<Json> cluster_object(const kube::Resource& resource, const std::string& name,
                                            std::string& problem) MUSTER_EXCLUDES(mutex_);

  struct Refusal {
    std::string why;
    Instant until;
  };
  kube::Client& client_;
  ClusterCache& cache_;
  Mutex mutex_;
  SchedulingSeen served_ MUSTER_GUARDED_BY(mutex_);
  Instant asked_ MUSTER_GUARDED_BY(mutex_){};
  std::map<std::string, Refusal> refusals_ MUSTER_GUARDED_BY(mutex_);  // by group and plural
  struct Answer {
    Json object;
    std::string problem;
    Instant until;
  };
  std::map<std::string, Answer> answers_ MUSTER_GUARDED_BY(mutex_);  // by plural and name
};

}  // namespace muster::op
