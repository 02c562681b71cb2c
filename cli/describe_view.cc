// cli/describe_view.cc: the text of `muster describe`, from objects that were already fetched
#include "cli/describe_view.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/format.h"
#include "cli/job_view.h"
#include "cli/monitor.h"
#include "cli/table.h"
#include "common/base/text.h"
#include "common/json/access.h"
#include "common/pods/pod_state.h"
#include "common/yaml/yaml.h"

namespace muster::cli {
namespace {

constexpr std::size_t kEventsMax = 20;

std::string indent(const std::string& block) {
  std::string out;
  for (std::size_t at = 0; at < block.size();) {
    const std::size_t end = std::min(block.find('\n', at), block.size());
    out += "  " + block.substr(at, end - at) + "\n";
    at = end + 1;
  }
  return out;
}

// Several lines in a cell of a table.
std::string in_a_cell(std::string text) {
  for (std::size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 3)
    text.replace(at, 1, " | ");
  return text;
}

std::string conditions(const Json& status, WallTime now) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& condition : member(status, "conditions")) {
    rows.push_back({text_at(condition, "type"), text_at(condition, "status"), text_at(condition, "reason"),
                    age_of(text_at(condition, "lastTransitionTime"), now),
                    in_a_cell(text_at(condition, "message"))});
  }
  if (rows.empty()) return "";
  rows.insert(rows.begin(), {"TYPE", "STATUS", "REASON", "AGE", "MESSAGE"});
  return "Conditions:\n" + indent(render_table(rows));
}

std::string pod_table(const std::vector<Json>& pods, WallTime now) {
  if (pods.empty()) return "";
  std::vector<std::vector<std::string>> rows{{"NAME", "PHASE", "IP", "AGE", "WHY"}};
  for (const Json& pod : pods) {
    const PodView view = view_pod(pod);
    rows.push_back({view.name, view.phase, text(member(pod, "status", "podIP")),
                    age_of(text(member(pod, "metadata", "creationTimestamp")), now),
                    in_a_cell(trouble_of(view))});
  }
  return "Pods:\n" + indent(render_table(rows));
}

std::string event_table(std::vector<Json> events, WallTime now) {
  if (events.empty()) return "";
  std::stable_sort(events.begin(), events.end(),
                   [](const Json& a, const Json& b) { return last_seen(a) < last_seen(b); });
  if (events.size() > kEventsMax) events.erase(events.begin(), events.end() - kEventsMax);
  std::vector<std::vector<std::string>> rows{{"AGE", "TYPE", "REASON", "OBJECT", "MESSAGE"}};
  for (const Json& event : events) {
    const Json count = member(event, "count");
    const std::string times =
        count.is_number_integer() && count.get<int>() > 1 ? fmt::format(" (x{})", count.get<int>()) : "";
    const Json about = member(event, "involvedObject");
    rows.push_back({age_of(last_seen(event), now) + times, text_at(event, "type"), text_at(event, "reason"),
                    text_at(about, "kind") + "/" + text_at(about, "name"),
                    in_a_cell(text_at(event, "message"))});
  }
  return "Events:\n" + indent(render_table(rows));
}

// What a job does, line by line; nothing for other kinds.
std::string job_lines(const Json& object) {
  const JobView view = view_job(object);
  if (view.kind != "DistributedJob" && view.kind != "FederatedRound") return "";
  std::vector<std::vector<std::string>> rows{{"What:", view.description}, {"Phase:", view.phase}};
  if (!view.ready.empty()) rows.push_back({"Pods ready:", view.ready});
  if (view.total > 0) {
    rows.push_back({"Progress:", fmt::format("{} {} of {}", view.unit(), format_count(view.at),
                                             format_count(view.total))});
  } else if (view.at > 0) {
    rows.push_back({"Progress:", fmt::format("{} {}", view.unit(), format_count(view.at))});
  }
  if (view.loss) rows.push_back({"Loss:", format_loss(view.loss)});
  if (view.accuracy) rows.push_back({"Accuracy:", format_percent(view.accuracy)});
  if (view.bytes_expected > 0) {
    rows.push_back({"Payload sent:", fmt::format("{} (formula {})", format_bytes(view.bytes_sent),
                                                 format_bytes(view.bytes_expected))});
  }
  rows.push_back({"Restarts:", std::to_string(view.restarts)});
  if (view.started && view.completed) {
    rows.push_back({"Took:", format_age(std::chrono::duration_cast<std::chrono::seconds>(*view.completed -
                                                                                         *view.started))});
  }
  return render_table(rows);
}

}  // namespace

std::string last_seen(const Json& event) {
  for (const char* name : {"lastTimestamp", "eventTime", "firstTimestamp"}) {
    if (std::string time = text_at(event, name); !time.empty()) return time;
  }
  return text(member(event, "metadata", "creationTimestamp"));
}

std::string render_event(const Json& event) {
  const Json& about = member(event, "involvedObject");
  return fmt::format("event: {}/{} {}: {}", printable(text_at(about, "kind")),
                     printable(text_at(about, "name")), printable(text_at(event, "reason")),
                     printable_lines(text_at(event, "message")));
}

std::string render_description(const Json& object, const std::vector<Json>& pods,
                               const std::vector<Json>& events, WallTime now) {
  const Json metadata = member(object, "metadata");
  std::string out = fmt::format("{}/{}", text_at(object, "kind"), text_at(metadata, "name"));
  if (const std::string ns = text_at(metadata, "namespace"); !ns.empty())
    out += fmt::format(" in namespace {}", ns);
  out += fmt::format(", {} old\n", age_of(text_at(metadata, "creationTimestamp"), now));
  const std::string job = job_lines(object);
  out += job;
  if (job.empty() && object.contains("spec")) out += "Spec:\n" + indent(to_yaml(object["spec"]));
  out += conditions(member(object, "status"), now);
  out += pod_table(pods, now);
  return out + event_table(events, now);
}

}  // namespace muster::cli
