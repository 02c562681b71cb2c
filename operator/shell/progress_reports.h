#pragma once  // operator/shell/progress_reports.h: the newest report of each program, until a pass has folded
              // it
#include <map>
#include <optional>
#include <string>

#include "common/platform/mutex.h"
#include "operator/core/progress_report.h"

namespace muster::op {

// By the key "namespace/name" of DistributedJobs; the pass that finds an object gone forgets it. Thread-safe.
class ProgressReports {
 public:
  void put(const std::string& key, std::string uid, ProgressReport report) MUSTER_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    reports_[key] = {std::move(uid), std::move(report)};
  }
  [[nodiscard]] std::optional<ProgressReport> of(const std::string& key, const std::string& uid) const
      MUSTER_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    const auto found = reports_.find(key);
    if (found == reports_.end() || found->second.uid != uid) return std::nullopt;
    return found->second.report;
  }
  void forget(const std::string& key) MUSTER_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    reports_.erase(key);
  }

 private:
  struct Told {
    std::string uid;
    ProgressReport report;
  };
  mutable Mutex mutex_;
  std::map<std::string, Told> reports_ MUSTER_GUARDED_BY(mutex_);
};

}  // namespace muster::op
