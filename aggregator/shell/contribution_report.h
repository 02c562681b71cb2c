#pragma once  // aggregator/shell/contribution_report.h: contributions.csv and .svg, and what status tells
#include <filesystem>
#include <span>
#include <vector>

#include "aggregator/shell/aggregator_metrics.h"
#include "aggregator/store/contributions.h"
#include "common/base/result.h"
#include "common/platform/mutex.h"
#include "learning/optimizer_state.h"
#include "pod/status_limits.h"
#include "proto/control.pb.h"

namespace muster::agg {

// Of a federation whose strategy is Scoring, after each round that is saved. Thread-safe; one writer.
class ContributionReport {
 public:
  // `folder`: spec.aggregator.storage.path; empty: nothing is written.
  ContributionReport(std::filesystem::path folder, std::size_t clients, AggregatorMetrics& metrics)
      : folder_(std::move(folder)), clients_(clients), metrics_(metrics) {}
  // Of the strategy's state after `round`. Both files appear whole. Errors: as files have them.
  [[nodiscard]] Status update(std::span<const learning::SlotView> state, std::int64_t round);
  void tell(control::v1::AggregatorProgress& progress) const;

  static constexpr std::size_t kToldMax = kStatusContributionsMax;  // at either end

 private:
  const std::filesystem::path folder_;
  const std::size_t clients_;
  AggregatorMetrics& metrics_;
  mutable Mutex mutex_;
  Ends ends_ MUSTER_GUARDED_BY(mutex_);
};

}  // namespace muster::agg
