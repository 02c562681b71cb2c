#pragma once  // cli/monitor.h: what happens during a run, as lines to print and jobs to show: events in, text
              // out. Pure
#include <chrono>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "cli/job_view.h"
#include "common/base/clock.h"

namespace muster::cli {

struct Tracked {  // one job of the run
  JobView view;
  Json object;      // as created: its spec has the defaults filled in
  Instant since{};  // when the run began
  std::optional<Instant> finished_at;
  std::map<std::string, PodView> pods;        // by uid: every pod that was ever seen
  std::map<std::int64_t, PodReport> reports;  // by rank: the last words of those that succeeded
  std::vector<std::pair<std::string, std::string>>
      failed_logs;    // pod and its last lines, in order of failure
  Instant line_at{};  // of the last progress line
  std::int64_t line_step = -1;
  // Where the present speed is measured from: reset by a restart.
  Instant base_at{};
  std::int64_t base_step = -1;

  [[nodiscard]] std::chrono::milliseconds elapsed(Instant now) const;
  [[nodiscard]] std::optional<std::chrono::milliseconds> remaining(Instant now) const;
};

// Not thread-safe: one thread tells it what the watches saw.
class Monitor {
 public:
  struct Options {
    std::chrono::milliseconds line_interval{5000};  // between two progress lines of one job
    bool progress_lines = true;                     // false on a terminal, where the block shows it
  };
  Monitor(Options options, Instant now) : options_(options), start_(now) {}

  void expect(const Json& object);  // a job of the run, as the server answered its creation
  void on_job(const Json& object, bool deleted, Instant now);
  // Returns true if the pod has newly failed: then its log is worth fetching.
  [[nodiscard]] bool on_pod(const Json& pod, Instant now);
  void on_pod_log(const PodView& pod, std::string tail);

  // What is to be printed since the last call.
  [[nodiscard]] std::vector<std::string> take_lines();
  [[nodiscard]] bool done() const;  // every job is finished, or gone
  [[nodiscard]] bool reports_complete() const;
  [[nodiscard]] const std::vector<Tracked>& jobs() const { return jobs_; }

 private:
  Tracked* find(const std::string& uid);
  Tracked* find_by_name(const std::string& name_space, const std::string& name, const std::string& role);
  void phase_line(const Tracked& job, const JobView& before, Instant now);
  void say(const Tracked& job, Instant now, const std::string& text);

  Options options_;
  Instant start_;
  std::vector<Tracked> jobs_;
  std::vector<std::string> lines_;
};

// "step 380 of 704 (54%), loss 0.4123, accuracy 86.12%, 2,140 images/s, sent 128 MB (formula 128 MB), ..."
[[nodiscard]] std::string progress_text(const Tracked& job, Instant now);

}  // namespace muster::cli
