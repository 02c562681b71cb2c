#pragma once  // cli/history_view.h: the records of ended objects, as tables and documents. Pure
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/json/fields.h"

namespace muster::cli {

struct HistoryFilter {
  std::string kind;  // DistributedJob | FederatedRound; empty: both
  std::string name;  // empty: all
};

// The records in ConfigMaps muster-history, the one that ended last at the end; each with its namespace. What
// is no record is passed over.
[[nodiscard]] std::vector<Json> read_history(const std::vector<Json>& config_maps,
                                             const HistoryFilter& filter);

enum class HistoryColumns { kUsual, kWide };
[[nodiscard]] std::string render_history(const std::vector<Json>& records, HistoryColumns columns,
                                         bool with_namespace, WallTime now);

}  // namespace muster::cli
