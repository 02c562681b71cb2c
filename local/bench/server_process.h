#pragma once  // local/bench/server_process.h: `muster local up` as a child, and what it costs
#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <string>

namespace muster::bench {

class ServerProcess {
 public:
  // Starts `muster local up` with a runtime folder of its own; returns when it says that it is ready.
  explicit ServerProcess(const std::string& muster);
  ~ServerProcess();  // Ctrl-C, and waits
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  [[nodiscard]] const std::string& kubeconfig() const { return kubeconfig_; }
  [[nodiscard]] std::chrono::duration<double, std::milli> start_time() const { return start_time_; }
  [[nodiscard]] double cpu_seconds() const;  // of the process itself, since its start
  [[nodiscard]] double rss_bytes() const;
  [[nodiscard]] double anonymous_bytes() const;

 private:
  [[nodiscard]] double status_bytes(const std::string& field) const;
  std::filesystem::path folder_;
  std::string kubeconfig_;
  std::chrono::duration<double, std::milli> start_time_{};
  pid_t pid_ = -1;
};

[[noreturn]] void die(const std::string& what);

}  // namespace muster::bench
