#pragma once  // cli/log_choice.h: whose logs are asked for
#include <optional>
#include <string>

#include "cli/job_view.h"

namespace muster::cli {

struct LogChoice {
  std::optional<std::int64_t> rank{};
  bool all_ranks = false;
  std::string role{};  // empty: any
};

// Without a role, a rank is that of a worker, or of the aggregator: servers and clients have numbers of their
// own.
[[nodiscard]] bool is_asked_for(const PodView& pod, const LogChoice& choice);

}  // namespace muster::cli
