#pragma once  // cli/logs.h: `muster logs NAME`: what the pods of a job say
#include <optional>
#include <string>

#include "cli/get.h"

namespace muster::cli {

struct LogsOptions {
  QueryOptions query;
  std::string name;  // of a job ("ring", "dj/ring") or of a pod
  bool follow = false;
  std::optional<std::int64_t>
      rank;                // the pod of this index: of `role`, else of the workers or the aggregator
  bool all_ranks = false;  // the workers, each line behind [rank 2]
  std::string role;        // worker | server | aggregator | client; empty: all
  std::string pod;
  std::string container;
  bool previous = false;
  std::optional<std::int64_t> tail_lines;
};

[[nodiscard]] int logs(const LogsOptions& options);

}  // namespace muster::cli
