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
// step; a federation may go on without end.
std::string progress_of(const JobView& view) {
  const std::string left = view.time_left.empty() ? "" : ", " + printable(view.time_left) + " left";
  if (view.total <= 0 && view.percent) return fmt::format("{}%{}", *view.percent, left);
  if (view.total <= 0) return view.at <= 0 ? "" : fmt::format("{} {}", view.unit(), format_count(view.at));
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

// Of one that has ended well: how far it came, and how fast.
std::string report_of(const PodView& pod) {
  if (!pod.report || pod.report->total <= 0) return "";
  std::string line = fmt::format("{} {} of {}", pod.role == "aggregator" ? "round" : "step",
                                 format_count(pod.report->at), format_count(pod.report->total));
  if (pod.report->examples_per_second > 0)
    line += fmt::format(", {} examples/s",
                        format_count(static_cast<std::int64_t>(pod.report->examples_per_second)));
  return line;
}

// What the status holds of a parameter server; null: nothing, and so it is no member.
const Json* server_entry(const Json& object, const PodView& pod) {
  const Json& servers = member(object, "status", "servers");
  if (!servers.is_array()) return nullptr;
  const auto found = std::ranges::find_if(
      servers, [&](const Json& each) { return text_at(each, "podUID") == pod.uid && !pod.uid.empty(); });
  return found == servers.end() ? nullptr : &*found;
}

// "part 1 of 2", from 1, since people count the parts of a whole so.
std::string part_of(const Json& object, const PodView& pod) {
  const Json* server = server_entry(object, pod);
  if (server == nullptr) return "";
  const std::string part =
      fmt::format("part {} of {}", pod.index + 1, member(object, "status", "servers").size());
  return member(*server, "anew") == true ? part + ", which it is getting" : part;
}

bool steps_together(const Json& object) {
  const Json& how = member(object, "spec", "synchronization");
  return text_at(how, "topology") != "Gossip" && text_at(how, "updates") != "Asynchronous";
}

// Of a pod that runs, what the object's status tells: the figures of rank 0; the step is that of all ranks
// that step together; who is the slowest.
std::vector<std::string> told_of(const Json& object, const JobView& view, const PodView& pod) {
  if (pod.phase != "Running") return {};
  if (pod.role == "server") return {part_of(object, pod)};
  const bool training = member(object, "spec", "training").is_object();
  const bool first = pod.role == "aggregator" || (pod.role == "worker" && pod.rank == 0);
  const bool along = pod.role == "worker" && pod.rank > 0 && steps_together(object);
  if (!training || (!first && !along) || view.total <= 0) return {};
  std::vector<std::string> told{
      fmt::format("{} {} of {}", view.unit(), format_count(view.at), format_count(view.total))};
  const Json& progress = member(object, "status", "progress");
  if (first && view.loss) told.push_back("loss " + format_loss(view.loss));
  const Json& slowest = member(progress, "slowestRank");
  if (const Json& by = member(progress, "slowdown");
      slowest.is_number_integer() && by.is_number() && slowest == pod.rank && pod.role == "worker")
    told.push_back(fmt::format("the slowest, {:.1f} times as long as the median worker", by.get<double>()));
  return told;
}

// "replaced 2 times, 3m ago".
std::string replaced_words(const Json& object, const PodView& pod, WallTime now) {
  const Json& list = member(object, "status", pod.role == "server" ? "serverAttempts" : "podAttempts");
  if (!list.is_array() || (pod.role == "aggregator")) return "";
  for (const Json& each : list) {
    const std::int64_t times = integer_at(each, "attempt");
    if (integer_at(each, "index") != pod.index || times <= 0) continue;
    return fmt::format("replaced {}, {} ago", times == 1 ? "once" : fmt::format("{} times", times),
                       age_of(text_at(each, "failedAt"), now));
  }
  return "";
}

// The newest warning about the pod itself.
std::string warning_about(const PodView& pod, const std::vector<Json>& events) {
  const Json* newest = nullptr;
  for (const Json& event : events) {
    if (text_at(event, "type") != "Warning" || pod.uid.empty() ||
        text(member(event, "involvedObject", "uid")) != pod.uid)
      continue;
    if (newest == nullptr || last_seen(*newest) <= last_seen(event)) newest = &event;
  }
  return newest == nullptr ? ""
                           : fmt::format("{}: {}", text_at(*newest, "reason"), text_at(*newest, "message"));
}

// The last column: what is wrong with it, else how far it is; then what has become of it.
std::string standing_of(const Json& object, const JobView& view, const PodView& pod,
                        const std::vector<Json>& events, WallTime now) {
  std::vector<std::string> parts;
  const std::string why = trouble_of(pod);
  if (!why.empty()) {
    parts.push_back(why);
  } else if (pod.report) {
    parts.push_back(report_of(pod));
  } else {
    parts = told_of(object, view, pod);
  }
  parts.push_back(replaced_words(object, pod, now));
  if (why.empty() && pod.phase != "Succeeded") parts.push_back(warning_about(pod, events));
  std::string line;
  for (const std::string& part : parts)
    if (!part.empty()) line += (line.empty() ? "" : ", ") + part;
  std::ranges::replace(line, '\n', ' ');
  return printable(line);
}

bool is_no_member(const Json& object, const PodView& pod) {
  if (pod.role != "server") return pod.rank < 0;
  const Json& servers = member(object, "status", "servers");
  return servers.is_array() && !servers.empty() && server_entry(object, pod) == nullptr;
}

// "worker 2", and its rank where that is another, or none yet.
std::string name_in_tree(const Json& object, const PodView& pod) {
  std::string name = fmt::format("{} {}", pod.role, pod.index);
  if (is_no_member(object, pod)) return name + " (no member)";
  return pod.rank == pod.index ? name : name + fmt::format(" (rank {})", pod.rank);
}

std::string pod_tree(const Json& object, const JobView& view, const std::vector<Json>& pods,
                     const std::vector<Json>& events, WallTime now) {
  std::vector<std::pair<PodView, std::string>> views;
  views.reserve(pods.size());
  for (const Json& pod : pods) {
    views.emplace_back(view_pod(pod), meta_text(pod, "creationTimestamp"));
    give_ranks(object, views.back().first);
  }
  std::ranges::sort(views, {}, [](const auto& each) { return std::tie(each.first.role, each.first.index); });
  std::vector<std::vector<std::string>> rows;
  for (const auto& [pod, created] : views) {
    const char* branch = rows.size() + 1 == views.size() ? "   └─ " : "   ├─ ";
    rows.push_back({branch + name_in_tree(object, pod), pod.name, pod.phase, age_of(created, now),
                    standing_of(object, view, pod, events, now)});
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

std::string why_not_suspended(const Json& object, bool suspended) {
  const JobView view = view_job(object);
  if (!suspended && view.phase == "Suspended" && member(object, "spec", "suspend") != true)
    return fmt::format("{} waits for something else than spec.suspend, which is not set: {}: {}",
                       view.title(), printable(view.reason), printable(view.message));
  if (!view.finished()) return "";
  return fmt::format("{} has {}: there is nothing to {}; delete it and apply it again for another run",
                     view.title(), view.succeeded ? "succeeded" : "failed", suspended ? "suspend" : "resume");
}

std::string render_status(const Json& object, const std::vector<Json>& pods, const std::vector<Json>& events,
                          WallTime now) {
  const JobView view = view_job(object);
  const Json& status = member(object, "status");
  std::string out = headline(object, view);
  if (!view.message.empty()) out += printable(view.reason) + ": " + printable_lines(view.message) + "\n";
  if (!pods.empty()) {
    out += fmt::format("└─ membership {}, incarnation {}, pods {}\n", integer_at(status, "membership"),
                       integer_at(status, "incarnation"), view.ready.empty() ? "-" : view.ready + " ready");
    out += pod_tree(object, view, pods, events, now);
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
