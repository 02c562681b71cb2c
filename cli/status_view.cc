// cli/status_view.cc: an object, its membership and its pods as a tree; objects as a table
#include "cli/status_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "cli/describe_view.h"
#include "cli/format.h"
#include "cli/job_view.h"
#include "cli/table.h"
#include "common/base/text.h"
#include "common/json/access.h"
#include "common/pods/pod_state.h"

namespace muster::cli {
namespace {

// "step 50 of 200 (25%), 12m30s left"; empty before the first. A program may tell how much is done and no
// step.
std::string progress_of(const JobView& view) {
  const std::string left = view.time_left.empty() ? "" : ", " + printable(view.time_left) + " left";
  if (view.total <= 0) return view.percent ? fmt::format("{}%{}", *view.percent, left) : "";
  return fmt::format("{} {} of {} ({}%){}", view.unit(), format_count(view.at), format_count(view.total),
                     view.percent.value_or(100 * view.at / view.total), left);
}

std::string rate_of(const JobView& view) {
  return view.examples_per_second <= 0
             ? ""
             : fmt::format("{} examples/s",
                           format_count(static_cast<std::int64_t>(view.examples_per_second)));
}

std::string restarts_of(const Json& object, const JobView& view) {
  const Json& most = member(object, "spec", "runPolicy", "maxRestarts");
  return most.is_number_integer() ? fmt::format("{} of {}", view.restarts, most.get<std::int64_t>())
                                  : std::to_string(view.restarts);
}

std::string headline(const Json& object, const JobView& view) {
  std::string line = fmt::format("{} {}/{}: {}", view.kind, view.name_space, view.name, view.phase);
  const auto add = [&](const std::string& part) {
    if (!part.empty()) line += ", " + part;
  };
  add(progress_of(view));
  add(rate_of(view));
  if (view.loss) add("loss " + format_loss(view.loss));
  if (view.accuracy) add("accuracy " + format_percent(view.accuracy));
  if (view.restarts > 0) add("restarts " + restarts_of(object, view));
  return line + "\n";
}

// Of one that has ended well: how far it came, and how fast. While pods run, only the whole is known.
std::string report_of(const PodView& pod) {
  if (!pod.report || pod.report->total <= 0) return "";
  std::string line = fmt::format("{} {} of {}", pod.role == "aggregator" ? "round" : "step",
                                 format_count(pod.report->at), format_count(pod.report->total));
  if (pod.report->examples_per_second > 0)
    line += fmt::format(", {} examples/s",
                        format_count(static_cast<std::int64_t>(pod.report->examples_per_second)));
  return line;
}

// "worker 2", and its rank where that is another, or none yet.
std::string name_in_tree(const PodView& pod) {
  std::string name = fmt::format("{} {}", pod.role, pod.index);
  if (pod.rank == pod.index) return name;
  return name + (pod.rank < 0 ? " (no member)" : fmt::format(" (rank {})", pod.rank));
}

std::string pod_tree(const Json& object, const std::vector<Json>& pods, WallTime now) {
  std::vector<std::pair<PodView, std::string>> views;
  views.reserve(pods.size());
  for (const Json& pod : pods) {
    views.emplace_back(view_pod(pod), meta_text(pod, "creationTimestamp"));
    give_ranks(object, views.back().first);
  }
  std::ranges::sort(views, {}, [](const auto& each) { return std::tie(each.first.role, each.first.index); });
  std::vector<std::vector<std::string>> rows;
  for (const auto& [pod, created] : views) {
    std::string why = trouble_of(pod);
    std::ranges::replace(why, '\n', ' ');
    const char* branch = rows.size() + 1 == views.size() ? "   └─ " : "   ├─ ";
    rows.push_back({branch + name_in_tree(pod), pod.name, pod.phase, age_of(created, now),
                    why.empty() ? report_of(pod) : why});
  }
  return rows.empty() ? "" : render_table(rows);
}

// What went wrong last.
std::string newest_warning(const std::vector<Json>& events, WallTime now) {
  const Json* newest = nullptr;
  for (const Json& event : events) {
    if (text_at(event, "type") == "Warning" && (newest == nullptr || last_seen(*newest) <= last_seen(event)))
      newest = &event;
  }
  if (newest == nullptr) return "";
  return fmt::format("last warning, {} ago: {}: {}\n", age_of(last_seen(*newest), now),
                     printable(text_at(*newest, "reason")), printable_lines(text_at(*newest, "message")));
}

}  // namespace

std::string render_status(const Json& object, const std::vector<Json>& pods, const std::vector<Json>& events,
                          WallTime now) {
  const JobView view = view_job(object);
  const Json& status = member(object, "status");
  std::string out = headline(object, view);
  if (!view.message.empty()) out += printable(view.reason) + ": " + printable_lines(view.message) + "\n";
  if (!pods.empty()) {
    out += fmt::format("└─ membership {}, incarnation {}, pods {}\n", integer_at(status, "membership"),
                       integer_at(status, "incarnation"), view.ready.empty() ? "-" : view.ready + " ready");
    out += pod_tree(object, pods, now);
  }
  return out + newest_warning(events, now);
}

std::string render_top(const std::vector<Json>& objects) {
  std::vector<std::pair<JobView, std::string>> views;
  for (const Json& object : objects) {
    JobView view = view_job(object);
    if (!view.finished()) views.emplace_back(view, restarts_of(object, view));
  }
  std::ranges::stable_sort(views, std::greater<>(),
                           [](const auto& each) { return each.first.examples_per_second; });
  std::vector<std::vector<std::string>> rows{
      {"NAMESPACE", "NAME", "KIND", "PHASE", "PODS", "PROGRESS", "RATE", "LOSS", "SENT", "RESTARTS"}};
  for (const auto& [view, restarts] : views) {
    rows.push_back({view.name_space, view.name, view.kind, view.phase, view.ready, progress_of(view),
                    rate_of(view), format_loss(view.loss), format_bytes(view.bytes_sent), restarts});
  }
  return render_table(rows);
}

}  // namespace muster::cli
