#pragma once  // cli/summary.h: how a run ended: a table for people, a document for programs. Pure
#include <string>
#include <vector>

#include "cli/monitor.h"

namespace muster::cli {

struct Outcome {
  JobView view;
  std::chrono::milliseconds time{0};
  std::int64_t ranks = 0;                            // that reported at their end
  std::uint64_t bytes_sent = 0, bytes_expected = 0;  // of all of them
  bool bytes_known = false;
  bool digests_equal = false;
  std::string digest;                               // of rank 0
  std::string model_file, history_file, plot_file;  // empty: none
  std::string no_model;                             // why, when there is none
  std::vector<std::string> lost_files;              // that the job made and that could not be kept: why, each
  std::string failed_pod, failed_pod_log;
};

// Puts the last words of the pods together; files are filled in by the caller.
[[nodiscard]] Outcome make_outcome(const Tracked& job, Instant now);

// One column an object, as many side by side as `width` holds.
[[nodiscard]] std::string render_summary(const std::vector<Outcome>& outcomes, std::size_t width);

// {"succeeded": bool, "seconds": n, "objects": [...]}; the fields are listed in docs/cli.md.
[[nodiscard]] Json summary_json(const std::vector<Outcome>& outcomes, std::chrono::milliseconds time);

// Why a job failed: condition, pod, last lines of its log. Empty if it did not.
[[nodiscard]] std::string render_failure(const Outcome& outcome);

}  // namespace muster::cli
