#pragma once  // local/operator_process.h: muster-operator as a supervised child
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/platform/mutex.h"
#include "local/runtime/container_log.h"
#include "local/runtime/container_process.h"
#include "local/runtime/reactor.h"

namespace muster::local {

// Runs under muster-init, so it ends when this process does; starts it again, with back-off, when it ends.
class OperatorProcess {
 public:
  struct Options {
    std::filesystem::path binaries;  // muster-operator and muster-init
    std::vector<std::string> arguments;
    std::filesystem::path run_folder;  // the log goes there
  };

  // kNotFound: a binary is missing (names it and the remedy).
  [[nodiscard]] static Result<std::unique_ptr<OperatorProcess>> start(Options options);
  ~OperatorProcess();
  OperatorProcess(const OperatorProcess&) = delete;
  OperatorProcess& operator=(const OperatorProcess&) = delete;

  // SIGTERM, SIGKILL after `grace`. Safe to call twice. kDeadlineExceeded if it is still there then.
  Status stop(std::chrono::milliseconds grace, Deadline deadline);

  [[nodiscard]] std::filesystem::path log_file() const;
  [[nodiscard]] std::string log_tail(std::size_t lines) const;

 private:
  explicit OperatorProcess(Options options);
  void spawn();
  void spawn_later();
  void ended(const ContainerProcess::Ended& how);

  const Options options_;
  ContainerLog log_;
  Reactor reactor_;
  Backoff backoff_;
  // Of the reactor's thread:
  std::unique_ptr<ContainerProcess> process_;
  Instant spawned_at_;
  bool stopping_ = false;
  Mutex mutex_;
  Condition changed_;
  bool ended_ MUSTER_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace muster::local
