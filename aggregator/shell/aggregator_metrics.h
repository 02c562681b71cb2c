#pragma once  // aggregator/shell/aggregator_metrics.h: the aggregator's entries in /metrics
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "proto/control.pb.h"

namespace prometheus {
class Registry;
}

namespace muster::agg {

// Why a call of a client was refused: the label `reason` of muster_federation_calls_refused_total, beside the
// reasons of pod/guarded_port.h, for which nobody came so far as to make one.
enum class Refusal {
  kClientOfAnother,  // client_of_another: a check-in for a client that another pod plays
  kOtherData,        // other_data: a check-in of a pod whose dataset is not the aggregator's
  kTaskOfAnother,    // task_of_another: a task that was given to another pod's client
  kUnknownTask,      // unknown_task: no such task, or one long ago
  kTooManyExamples,  // too_many_examples: more than the client can hold
  kUnusable,         // unusable: an update that is too short, not finite, or that its client gave up
  kDamaged,          // damaged: its SHA-256 is another than its header's
  kMalformed,        // malformed: messages out of order, or outside their limits
  kNoRoom,           // no_room: all memory for uploads is taken just now
  kNoDisk,           // no_disk: the journal has no room for the update; it may come again
  kTooManyCalls,     // too_many_calls: one pod has as many open as all its clients need
  kDisplaced,  // displaced: by a newer call for the same task, or for want of room by one that is faster
};

// Since the federation began, by strategy Scoring.
struct ScoredUpdates {
  std::int64_t scored = 0;
  std::int64_t harmful = 0;  // of those
  std::int64_t copies = 0;   // of those
};

struct DeviceAccuracies {  // over the devices, on examples that none trains on
  double weighted = 0;
  double mean = 0;
  double worst_tenth = 0;
  double variance = 0;
};

class AggregatorMetrics {  // thread-safe
 public:
  AggregatorMetrics();
  ~AggregatorMetrics();
  AggregatorMetrics(const AggregatorMetrics&) = delete;
  AggregatorMetrics& operator=(const AggregatorMetrics&) = delete;

  [[nodiscard]] std::shared_ptr<prometheus::Registry> registry() const;

  void set_round(std::int64_t committed, std::int64_t rounds);
  void set_connected(std::int64_t clients);
  void count_update(std::string_view verdict);  // accepted, late, rejected
  // One that was taken into an aggregate, of a model `staleness` versions old; partial: of a client that
  // stopped before its last step.
  void count_taken(std::int64_t staleness, bool partial);
  void count_sent(std::uint64_t payload_bytes);
  void count_received(std::uint64_t payload_bytes);
  void count_refused(Refusal reason);
  void count_refused(std::string_view reason);  // one of GuardedPort's
  [[nodiscard]] double refused(Refusal reason) const;
  [[nodiscard]] double refused(std::string_view reason) const;
  void observe_round(double seconds, bool committed);
  void set_journal(std::uint64_t bytes, bool full);
  void observe_journal_sync(double seconds);
  void count_recovered(std::uint64_t updates);
  void set_step_norm(double norm);  // of what the newest round changed the model by
  void set_state_norm(const std::string& vector, double norm);  // of what the strategy remembers
  void set_evaluation(double loss, std::optional<double> accuracy);
  void set_drift(double drift);
  void set_devices(const std::string& model, const DeviceAccuracies& accuracies);
  void set_scored(const ScoredUpdates& updates);
  // From time to time: the round under way, the bytes that should have been moved, the memory of uploads.
  void sample(const control::v1::AggregatorProgress& progress, std::uint64_t upload_bytes,
              std::uint64_t upload_bytes_max);

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace muster::agg
