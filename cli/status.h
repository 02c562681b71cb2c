#pragma once  // cli/status.h: `muster status`, `top`, `audit`, `suspend` and `resume`: how jobs are doing,
              // and a pause
#include <string>

#include "cli/get.h"

namespace muster::cli {

struct StatusOptions {
  QueryOptions query;
  std::string name;  // "ring" or "dj/ring"; empty: all
  bool all_namespaces = false;
};

[[nodiscard]] int status(const StatusOptions& options);
[[nodiscard]] int top(const StatusOptions& options);
// Shows the ledger of a job; exit code 1 where it does not balance.
[[nodiscard]] int audit(const StatusOptions& options);
// Sets spec.suspend. A job that is suspended has no pods, and resumes from its checkpoint.
[[nodiscard]] int suspend(const StatusOptions& options, bool suspended);

}  // namespace muster::cli
