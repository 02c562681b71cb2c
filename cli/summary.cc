// cli/summary.cc: how a run ended: a table for people, a document for programs
#include "cli/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "cli/format.h"
#include "cli/table.h"
#include "common/base/text.h"

namespace muster::cli {
namespace {

std::string payload_text(const Outcome& outcome) {
  if (!outcome.bytes_known) return "-";
  const bool equal = outcome.bytes_sent == outcome.bytes_expected;
  return fmt::format("{} {} {} of the formula", format_count(static_cast<std::int64_t>(outcome.bytes_sent)),
                     equal ? "=" : "!=", format_count(static_cast<std::int64_t>(outcome.bytes_expected)));
}

std::string parameters_text(const Outcome& outcome) {
  if (outcome.digest.empty()) return "-";
  std::string digest = outcome.digest.substr(0, 12);
  if (outcome.ranks <= 1) return digest;
  if (outcome.view.own_models)
    return fmt::format("{} of peer 0, as each of {} has its own", digest, outcome.ranks);
  return outcome.digests_equal ? fmt::format("{} on all {} ranks", digest, outcome.ranks)
                               : fmt::format("DIFFERENT between the {} ranks", outcome.ranks);
}

std::string phase_text(const JobView& view) {
  return view.failed && !view.reason.empty() ? fmt::format("{} ({})", view.phase, printable(view.reason))
                                             : view.phase;
}

std::vector<std::string> column(const Outcome& outcome) {
  const JobView& view = outcome.view;
  const std::string done = view.total > 0
                               ? fmt::format("{} of {}", format_count(view.at), format_count(view.total))
                           : view.at > 0 ? format_count(view.at)
                                         : "-";
  const std::string rate = view.examples_per_second > 0
                               ? fmt::format("{} {}/s", format_count(std::llround(view.examples_per_second)),
                                             view.images ? "images" : "examples")
                               : "-";
  return {view.title(),
          phase_text(view),
          format_duration(outcome.time),
          view.at > 0 || view.total > 0 ? fmt::format("{}s {}", view.unit(), done) : done,
          format_loss(view.loss),
          format_percent(view.accuracy),
          rate,
          view.picks_topology && !view.topology.empty() ? view.topology + ", as measured" : "-",
          payload_text(outcome),
          std::to_string(view.restarts),
          parameters_text(outcome),
          outcome.model_file.empty() ? "none: " + outcome.no_model : outcome.model_file,
          outcome.plot_file.empty() ? "-" : outcome.plot_file};
}

const std::vector<std::string>& labels() {
  static const std::vector<std::string> kLabels{
      "object",     "phase", "time",     "progress",           "loss",
      "accuracy",   "speed", "topology", "payload bytes sent", "restarts",
      "parameters", "model", "plot"};
  return kLabels;
}

std::string block(const std::vector<std::vector<std::string>>& columns) {
  std::vector<std::vector<std::string>> rows;
  for (std::size_t i = 0; i < labels().size(); ++i) {
    std::vector<std::string> row{labels()[i]};
    for (const auto& cells : columns) row.push_back(cells[i]);
    const bool empty =
        std::all_of(row.begin() + 1, row.end(), [](const std::string& cell) { return cell == "-"; });
    if (!empty) rows.push_back(std::move(row));
  }
  return render_table(rows);
}

std::size_t width_of(const std::vector<std::string>& cells) {
  std::size_t width = 0;
  for (const std::string& cell : cells) width = std::max(width, display_width(cell));
  return width + 3;
}

Json optional_number(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? Json(*value) : Json(nullptr);
}

Json optional_text(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json outcome_json(const Outcome& outcome) {
  const JobView& view = outcome.view;
  Json json{{"kind", view.kind},
            {"namespace", view.name_space},
            {"name", view.name},
            {"phase", view.phase},
            {"succeeded", view.succeeded},
            {"reason", optional_text(view.reason)},
            {"message", optional_text(view.message)},
            {"seconds", static_cast<double>(outcome.time.count()) / 1000},
            {view.federated ? "rounds" : "steps", view.at},
            {view.federated ? "totalRounds" : "totalSteps", view.total},
            {"loss", optional_number(view.loss)},
            {"accuracy", optional_number(view.accuracy)},
            {"restarts", view.restarts},
            {"modelFile", optional_text(outcome.model_file)},
            {"noModel", optional_text(outcome.model_file.empty() ? outcome.no_model : "")},
            {"historyFile", optional_text(outcome.history_file)},
            {"plotFile", optional_text(outcome.plot_file)},
            {"warnings", view.warnings}};
  if (view.examples_per_second > 0) json["examplesPerSecond"] = view.examples_per_second;
  if (!view.topology.empty()) json["topology"] = view.topology;
  if (view.goodput) json["goodput"] = *view.goodput;
  if (outcome.bytes_known) {
    json["payloadBytesSent"] = outcome.bytes_sent;
    json["payloadBytesExpected"] = outcome.bytes_expected;
  }
  if (!outcome.digest.empty()) {
    json["parametersSha256"] = outcome.digest;
    json["ranks"] = outcome.ranks;
    json["parametersEqual"] = outcome.digests_equal;
  }
  if (!outcome.lost_files.empty()) json["lostFiles"] = outcome.lost_files;
  if (!outcome.failed_pod.empty()) {
    json["failedPod"] = outcome.failed_pod;
    json["failedPodLog"] = outcome.failed_pod_log;
  }
  Json history = Json::array();
  for (const CurvePoint& point : view.history) {
    history.push_back({{"at", point.at},
                       {"loss", optional_number(point.loss)},
                       {"accuracy", optional_number(point.accuracy)}});
  }
  json["history"] = std::move(history);
  return json;
}

// The log of the pod that the Failed condition names, else of the last that failed.
std::pair<std::string, std::string> telling_log(const Tracked& job) {
  for (auto it = job.failed_logs.rbegin(); it != job.failed_logs.rend(); ++it) {
    if (job.view.message.find(it->first) != std::string::npos) return *it;
  }
  return job.failed_logs.empty() ? std::pair<std::string, std::string>() : job.failed_logs.back();
}

}  // namespace

Outcome make_outcome(const Tracked& job, Instant now) {
  Outcome outcome;
  outcome.view = job.view;
  outcome.time = job.elapsed(now);
  std::tie(outcome.failed_pod, outcome.failed_pod_log) = telling_log(job);
  outcome.ranks = static_cast<std::int64_t>(job.reports.size());
  outcome.digests_equal = !job.reports.empty();
  for (const auto& [rank, report] : job.reports) {
    outcome.bytes_sent += report.bytes_sent;
    outcome.bytes_expected += report.bytes_expected;
    outcome.bytes_known = true;
    if (outcome.digest.empty()) outcome.digest = report.digest;
    outcome.digests_equal =
        outcome.digests_equal && !report.digest.empty() && report.digest == outcome.digest;
    // The last words are newer than the last status.
    JobView& view = outcome.view;
    view.at = std::max(view.at, report.at);
    view.total = std::max(view.total, report.total);
    if (report.examples_per_second > 0 && rank == 0) view.examples_per_second = report.examples_per_second;
    if (report.loss && rank == 0) view.loss = report.loss;
    if (report.accuracy && rank == 0) view.accuracy = report.accuracy;
  }
  if (!outcome.bytes_known && (job.view.bytes_sent > 0 || job.view.bytes_expected > 0)) {
    outcome.bytes_sent = job.view.bytes_sent;
    outcome.bytes_expected = job.view.bytes_expected;
    outcome.bytes_known = true;
  }
  if (outcome.digest.empty()) outcome.digest = job.view.digest;
  return outcome;
}

std::string render_summary(const std::vector<Outcome>& outcomes, std::size_t width) {
  const std::size_t label_width = width_of(labels());
  std::string out;
  std::vector<std::vector<std::string>> columns;
  std::size_t used = label_width;
  for (const Outcome& outcome : outcomes) {
    auto cells = column(outcome);
    if (!columns.empty() && used + width_of(cells) > width) {
      out += block(columns) + "\n";
      columns.clear();
      used = label_width;
    }
    used += width_of(cells);
    columns.push_back(std::move(cells));
  }
  if (!columns.empty()) out += block(columns);
  for (const Outcome& outcome : outcomes)
    for (const std::string& warning : outcome.view.warnings)
      out += fmt::format("warning: {}: {}\n", outcome.view.title(), printable(warning));
  return out;
}

Json summary_json(const std::vector<Outcome>& outcomes, std::chrono::milliseconds time) {
  Json objects = Json::array();
  bool succeeded = true;
  for (const Outcome& outcome : outcomes) {
    objects.push_back(outcome_json(outcome));
    succeeded = succeeded && outcome.view.succeeded;
  }
  return {{"succeeded", succeeded},
          {"seconds", static_cast<double>(time.count()) / 1000},
          {"objects", std::move(objects)}};
}

std::string render_failure(const Outcome& outcome) {
  const JobView& view = outcome.view;
  if (view.succeeded) return "";
  std::string out = view.failed ? fmt::format("{} failed: {}: {}\n", view.title(), printable(view.reason),
                                              printable_lines(view.message))
                                : fmt::format("{} did not finish: it is {}\n", view.title(), view.phase);
  if (outcome.failed_pod_log.empty()) return out;
  out += fmt::format("last lines of pod {}:\n", outcome.failed_pod);
  std::string_view log = outcome.failed_pod_log;
  if (log.ends_with('\n')) log.remove_suffix(1);
  return out + "  " + printable_lines(log) + "\n";
}

}  // namespace muster::cli
