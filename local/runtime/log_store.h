#pragma once  // local/runtime/log_store.h: the logs of all containers of this node, and how they are read
#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "common/platform/mutex.h"
#include "local/api/log_source.h"
#include "local/runtime/container_log.h"

namespace muster::local {

class LogStore : public LogSource {  // thread-safe
 public:
  static constexpr std::size_t kFileBytes =
      10 * 1024 * 1024;  // two files a run: the kubelet's default for one

  explicit LogStore(std::filesystem::path folder, std::size_t file_bytes = kFileBytes);

  // The log of the next run of a container; the one before stays readable as the previous run.
  [[nodiscard]] std::shared_ptr<ContainerLog> begin(const std::string& pod_uid, const std::string& container);
  // Removes the files of a pod; streams that are open read what they have and end.
  void forget(const std::string& pod_uid);

  [[nodiscard]] Result<std::unique_ptr<LogStream>> open(const LogQuery& query) override;

 private:
  struct Runs {
    int count = 0;
    std::shared_ptr<ContainerLog> current;
    std::shared_ptr<ContainerLog> previous;
  };

  const std::filesystem::path folder_;
  const std::size_t file_bytes_;
  Mutex mutex_;
  std::map<std::string, std::map<std::string, Runs>> pods_
      MUSTER_GUARDED_BY(mutex_);  // by uid, then container
};

}  // namespace muster::local
