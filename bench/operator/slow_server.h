#pragma once  // bench/operator/slow_server.h: the embedded API server, which answers writes late and counts
              // them
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

namespace muster {

// In a folder of its own, which goes with it.
class SlowServer {
 public:
  explicit SlowServer(std::chrono::milliseconds write_delay);  // exits the process when it cannot start
  ~SlowServer();

  [[nodiscard]] std::string kubeconfig() const;
  // Writes of all clients since the last call, by verb and resource: "POST pods".
  [[nodiscard]] std::map<std::string, int> take_writes();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster
