#pragma once  // worker/shell/worker_metrics.h: a worker's entries in /metrics
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "worker/engine/train_loop.h"
#include "worker/gpu/nvml.h"
#include "worker/transport/refusal.h"

namespace prometheus {
class Registry;
}

namespace muster::worker {

class WorkerMetrics {  // one thread, but for checkpoint_on_disk
 public:
  WorkerMetrics();
  ~WorkerMetrics();
  WorkerMetrics(const WorkerMetrics&) = delete;
  WorkerMetrics& operator=(const WorkerMetrics&) = delete;
  [[nodiscard]] std::shared_ptr<prometheus::Registry> registry() const;
  void show(const Progress& progress);
  struct Served {  // of a parameter server, in this membership
    std::uint64_t payload_bytes_sent = 0;
    std::uint64_t payload_bytes_expected = 0;
    std::uint64_t replication_bytes_sent = 0;
    const std::vector<std::int64_t>& updates;  // Shard::staleness
  };
  void show(const Served& served);
  // On any thread. `seconds`: it was written just now, in so many.
  void checkpoint_on_disk(std::int64_t step, std::optional<double> seconds);
  void count_refused(Refusal reason);  // a data connection
  // Of a GPU of this pod; on any thread.
  void show(std::size_t gpu, const std::string& uuid, const gpu::Reading& reading);
  void show_xid(std::size_t gpu, const std::string& uuid, std::uint64_t xid);

 private:
  void show(const learning::Ledger& ledger);
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace muster::worker
