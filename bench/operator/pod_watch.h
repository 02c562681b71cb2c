#pragma once  // bench/operator/pod_watch.h: when each job's pods were first seen by a watch
#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "bench/operator/job_kinds.h"
#include "kube/informer.h"

namespace muster {

[[noreturn]] void die(const std::string& what);

class PodWatch {  // thread-safe
 public:
  // Watches the pods of the namespace; dies if they cannot be listed.
  explicit PodWatch(kube::Client& client);

  // The instant at which the job's `count`-th pod was first seen; dies when it has not been in time.
  std::chrono::steady_clock::time_point wait(const std::string& job, std::size_t count = kPodsAJob);
  void wait_gone();                               // until no pod is left
  [[nodiscard]] std::vector<std::string> pods();  // names of those that are there
  [[nodiscard]] std::vector<std::string> pods_of(const std::string& job);

 private:
  void changed(const Json& pod, bool deleted);

  struct Seen {
    std::set<std::string> uids;  // of all that there ever were
    std::chrono::steady_clock::time_point last;
  };
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Seen> jobs_;
  std::map<std::string, std::string> present_;  // pod -> job
  std::unique_ptr<kube::Informer> informer_;    // last: it calls changed()
};

}  // namespace muster
