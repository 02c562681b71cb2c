#pragma once  // cli/history.h: `muster history [NAME]`: jobs that have ended, also those that are gone
#include <string>

#include "cli/get.h"

namespace muster::cli {

struct HistoryOptions {
  QueryOptions query;
  std::string name;              // "ring" or "dj/ring"; empty: all
  std::string output = "table";  // table | wide | json | yaml
  bool all_namespaces = false;
};

[[nodiscard]] int history(const HistoryOptions& options);

}  // namespace muster::cli
