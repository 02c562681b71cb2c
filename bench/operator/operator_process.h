#pragma once  // bench/operator/operator_process.h: the operator that is measured
#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>

#include "kube/client.h"

namespace muster {

class OperatorProcess {
 public:
  // Starts it; dies if that fails.
  OperatorProcess(const std::string& binary, const std::string& kubeconfig);
  ~OperatorProcess();  // SIGTERM, and waits for its end
  OperatorProcess(const OperatorProcess&) = delete;

  [[nodiscard]] double cpu_seconds() const;                        // user and system time that it has used
  [[nodiscard]] double mebibytes(const std::string& field) const;  // of /proc/PID/status
  [[nodiscard]] bool ready() const;                                // its caches are filled, and it works
  // The sum of the samples of its metrics page whose name and labels begin so; 0 until it serves the page.
  [[nodiscard]] double metric(const std::string& sample) const;
  // Of a histogram over all its labels, as Prometheus' histogram_quantile: linear within a bucket; seconds.
  [[nodiscard]] double quantile(const std::string& histogram, double share) const;
  [[nodiscard]] std::string memory() const;  // in words

 private:
  [[nodiscard]] std::string page() const;

  pid_t pid_ = -1;
  std::unique_ptr<kube::Client> metrics_;
};

}  // namespace muster
