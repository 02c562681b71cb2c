// cli/monitor.cc: what happens during a run, as lines to print and jobs to show: events in, text
#include "cli/monitor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/format.h"
#include "common/base/text.h"
#include "common/pods/pod_state.h"

namespace muster::cli {
namespace {

constexpr std::size_t kFailedLogsMax = 64;  // more than the pods of one failure that matter

std::string failure_text(const PodView& pod) {
  std::string why = pod.reason;
  if (!pod.exit.empty()) why += fmt::format("{}exit {}", why.empty() ? "" : ", ", pod.exit);
  const std::string what = fmt::format("pod {} failed{}", pod.name, why.empty() ? "" : " (" + why + ")");
  return printable_lines(with_last_words(what, pod.message));
}

}  // namespace

std::chrono::milliseconds Tracked::elapsed(Instant now) const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(finished_at.value_or(now) - since);
}

std::optional<std::chrono::milliseconds> Tracked::remaining(Instant now) const {
  if (view.finished() || view.total <= 0 || base_step < 0 || view.at <= base_step || view.at > view.total)
    return {};
  const double done = static_cast<double>(view.at - base_step);
  const double left = static_cast<double>(view.total - view.at);
  const auto spent = std::chrono::duration_cast<std::chrono::milliseconds>(now - base_at);
  return std::chrono::milliseconds(
      static_cast<std::int64_t>(static_cast<double>(spent.count()) * left / done));
}

std::string progress_text(const Tracked& job, Instant now) {
  const JobView& view = job.view;
  std::string out;
  if (view.total > 0) {
    out += fmt::format("{} {} of {} ({}%)", view.unit(), format_count(view.at), format_count(view.total),
                       100 * std::min(view.at, view.total) / view.total);
  } else if (view.at > 0) {  // of a federation without end
    out += fmt::format("{} {}", view.unit(), format_count(view.at));
  }
  const auto add = [&out](const std::string& part) { out += (out.empty() ? "" : ", ") + part; };
  if (view.loss) add("loss " + format_loss(view.loss));
  if (view.accuracy) add("accuracy " + format_percent(view.accuracy));
  if (view.examples_per_second > 0) {
    add(fmt::format("{} {}/s", format_count(std::llround(view.examples_per_second)),
                    view.images ? "images" : "examples"));
  }
  if (view.federated && view.selected > 0)
    add(fmt::format("{}/{} clients reported", view.reported, view.selected));
  if (view.bytes_expected > 0 || view.bytes_sent > 0) {
    add(fmt::format("sent {} (formula {})", format_bytes(view.bytes_sent),
                    format_bytes(view.bytes_expected)));
  }
  if (view.restarts > 0) add(fmt::format("restarts {}", view.restarts));
  add("elapsed " + format_duration(job.elapsed(now)));
  if (const auto left = job.remaining(now)) add("left " + format_duration(*left));
  return out;
}

void Monitor::expect(const Json& object) {
  Tracked job;
  job.view = view_job(object);
  job.object = object;
  job.since = start_;
  job.line_at = start_;
  jobs_.push_back(std::move(job));
}

Tracked* Monitor::find(const std::string& uid) {
  const auto at =
      std::find_if(jobs_.begin(), jobs_.end(), [&](const Tracked& job) { return job.view.uid == uid; });
  return at == jobs_.end() ? nullptr : &*at;
}

Tracked* Monitor::find_by_name(const std::string& name_space, const std::string& name,
                               const std::string& role) {
  const auto at = std::find_if(jobs_.begin(), jobs_.end(), [&](const Tracked& job) {
    return job.view.name_space == name_space && job.view.name == name &&
           job.view.federated == (role == "aggregator" || role == "client");
  });
  return at == jobs_.end() ? nullptr : &*at;
}

void Monitor::say(const Tracked& job, Instant now, const std::string& text) {
  const auto elapsed = std::chrono::duration_cast<std::chrono::milliseconds>(now - start_);
  std::string lines = fmt::format("{:>6}  {}: {}", format_duration(elapsed), job.view.title(), text);
  for (std::size_t end; (end = lines.find('\n')) != std::string::npos; lines.erase(0, end + 1))
    lines_.push_back(lines.substr(0, end));
  lines_.push_back(std::move(lines));
}

void Monitor::phase_line(const Tracked& job, const JobView& before, Instant now) {
  const JobView& view = job.view;
  if (view.restarts > before.restarts || view.disruptions > before.disruptions) {
    const std::string words = printable_lines(view.message);
    const bool alone = view.reason == "WorkerLost";  // the others go on
    say(job, now,
        alone ? words : fmt::format("restart {}{}", view.restarts, words.empty() ? "" : ": " + words));
  }
  if (view.resumed_from != before.resumed_from && view.resumed_from > 0) {
    say(job, now, fmt::format("resumed from {} {}", view.unit(), format_count(view.resumed_from)));
  }
  for (const std::string& warning : view.warnings)
    if (std::ranges::find(before.warnings, warning) == before.warnings.end())
      say(job, now, "warning: " + printable(warning));
  if (view.phase == before.phase) return;
  std::string text = view.phase;
  if (view.failed && !view.reason.empty()) text += fmt::format(" ({})", printable(view.reason));
  if (view.failed && !view.message.empty()) text += ": " + printable_lines(view.message);
  if (view.succeeded) text += ": " + progress_text(job, now);
  if (view.phase == "Running" && !view.ready.empty()) text += fmt::format(", {} pods ready", view.ready);
  say(job, now, text);
}

void Monitor::on_job(const Json& object, bool deleted, Instant now) {
  JobView view = view_job(object);
  Tracked* job = find(view.uid);
  if (job == nullptr || job->finished_at) return;  // terminal is final
  const JobView before = std::exchange(job->view, std::move(view));
  if (deleted && !job->view.finished()) {
    job->view.failed = true;
    job->view.phase = "Deleted";
    job->view.reason = "Deleted";
    job->view.message = "the object was deleted before it finished";
  }
  // Loss and accuracy of the last report hold until there are new ones.
  if (!job->view.loss) job->view.loss = before.loss;
  if (!job->view.accuracy) job->view.accuracy = before.accuracy;
  if (job->view.finished()) job->finished_at = now;
  if (job->view.at > 0 &&
      (job->base_step < 0 || job->view.at < before.at || job->view.restarts != before.restarts)) {
    job->base_step = job->view.at;
    job->base_at = now;
  }
  phase_line(*job, before, now);
  const bool moved = job->view.at != job->line_step && job->view.at > 0;
  if (options_.progress_lines && moved && !job->view.finished() &&
      now - job->line_at >= options_.line_interval) {
    job->line_at = now;
    job->line_step = job->view.at;
    say(*job, now, progress_text(*job, now));
  }
}

bool Monitor::on_pod(const Json& pod, Instant now) {
  PodView view = view_pod(pod);
  Tracked* job = find_by_name(view.name_space, view.job, view.role);
  if (job == nullptr) return false;
  const auto [at, fresh] = job->pods.try_emplace(view.uid);
  const PodView before = std::exchange(at->second, view);
  if (view.report && view.role != "server")  // whose figures are none of the job's
    job->reports.insert_or_assign(view.role == "worker" ? view.report->rank : 0, *view.report);
  if (view.phase == "Pending" && !view.message.empty() && view.message != before.message) {
    say(*job, now,
        fmt::format("pod {} waits ({}): {}", view.name, printable(view.reason), printable(view.message)));
  }
  // A pod that was told to end may well end with an error.
  const bool told_to_end = pod.contains("metadata") && pod["metadata"].contains("deletionTimestamp");
  if (!view.failed() || before.failed() || told_to_end) return false;
  say(*job, now, failure_text(view));
  return true;
}

void Monitor::on_pod_log(const PodView& pod, std::string tail) {
  if (Tracked* job = find_by_name(pod.name_space, pod.job, pod.role)) {
    if (job->failed_logs.size() >= kFailedLogsMax) job->failed_logs.erase(job->failed_logs.begin());
    job->failed_logs.emplace_back(pod.name, std::move(tail));
  }
}

std::vector<std::string> Monitor::take_lines() { return std::exchange(lines_, {}); }

bool Monitor::done() const {
  return std::all_of(jobs_.begin(), jobs_.end(),
                     [](const Tracked& job) { return job.finished_at.has_value(); });
}

bool Monitor::reports_complete() const {
  return std::all_of(jobs_.begin(), jobs_.end(), [](const Tracked& job) {
    if (!job.view.succeeded) {
      // The pod that the condition names: the watch of pods may be behind that of jobs.
      return job.view.message.empty() ||
             std::none_of(job.pods.begin(), job.pods.end(), [&job](const auto& pod) {
               return !pod.second.failed() && job.view.message.find(pod.second.name) != std::string::npos;
             });
    }
    return std::all_of(job.pods.begin(), job.pods.end(), [](const auto& pod) {
      return pod.second.phase == "Succeeded" || pod.second.failed() || pod.second.role == "client" ||
             pod.second.role == "server";
    });
  });
}

}  // namespace muster::cli
