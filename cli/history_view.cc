// cli/history_view.cc: the records of ended objects, as tables and documents
#include "cli/history_view.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/format.h"
#include "cli/table.h"
#include "common/json/access.h"
#include "common/json/read_json.h"

namespace muster::cli {
namespace {

std::string or_dash(const std::string& text) { return text.empty() ? "-" : text; }

std::string count_of(const Json& value) {
  return value.is_number_integer() ? format_count(value.get<std::int64_t>()) : "-";
}

std::optional<double> number(const Json& value) {
  return value.is_number() ? std::optional<double>(value.get<double>()) : std::nullopt;
}

std::string progress_of(const Json& record) {
  const Json& progress = member(record, "progress");
  for (const auto& [done, all] : {std::pair("step", "totalSteps"), std::pair("round", "rounds")})
    if (const Json& value = member(progress, done); value.is_number_integer()) {
      const Json& wanted = member(progress, all);
      if (!wanted.is_number_integer() || wanted <= 0) return fmt::format("{} {}", done, count_of(value));
      return fmt::format("{} {} of {}", done, count_of(value), count_of(wanted));
    }
  return "-";
}

std::string duration_of(const Json& record) {
  const Json& seconds = member(record, "seconds");
  return seconds.is_number_integer() ? format_duration(std::chrono::seconds(seconds.get<std::int64_t>()))
                                     : "-";
}

// "nvidia.com/gpu=8,memory=200Gi" of the limits, else of the requests; empty: none are told.
std::string amounts_of(const Json& told) {
  for (const char* part : {"limits", "requests"}) {
    std::string out;
    for (const auto& [name, amount] : member(told, "resources", part).items())
      out += fmt::format("{}{}={}", out.empty() ? "" : ",", name, text(amount, amount.dump()));
    if (!out.empty()) return out;
  }
  return "";
}

// "cpu=4; 3 server: memory=64Gi": of a pod of the first role, then of each other.
std::string resources_of(const Json& record) {
  std::string out = or_dash(amounts_of(record));
  for (const auto& [role, told] : member(record, "roles").items()) {
    out += fmt::format("; {} {}", count_of(member(told, "pods")), role);
    if (const std::string amounts = amounts_of(told); !amounts.empty()) out += ": " + amounts;
  }
  return out;
}

}  // namespace

std::vector<Json> read_history(const std::vector<Json>& config_maps, const HistoryFilter& filter) {
  std::vector<Json> records;
  for (const Json& config_map : config_maps) {
    const Json& data = member(config_map, "data");
    if (!data.is_object()) continue;
    for (const Json& value : data) {
      Json record = read_json(text(value));
      if (!record.is_object() || text_at(record, "ended").empty()) continue;
      if (!filter.kind.empty() && text_at(record, "kind") != filter.kind) continue;
      if (!filter.name.empty() && text_at(record, "name") != filter.name) continue;
      record["namespace"] = meta_text(config_map, "namespace");
      records.push_back(std::move(record));
    }
  }
  std::ranges::stable_sort(records, {}, [](const Json& record) { return text_at(record, "ended"); });
  return records;
}

std::string render_history(const std::vector<Json>& records, HistoryColumns columns, bool with_namespace,
                           WallTime now) {
  std::vector<std::vector<std::string>> rows{
      {"NAME", "KIND", "RESULT", "REASON", "ENDED", "DURATION", "RESTARTS", "PROGRESS", "LOSS", "ACCURACY"}};
  const bool wide = columns == HistoryColumns::kWide;
  if (wide)
    for (const char* title : {"STARTED", "PODS", "IMAGE", "RESOURCES", "PARAMETERS", "UID"})
      rows.front().emplace_back(title);
  for (const Json& record : records) {
    const Json& progress = member(record, "progress");
    std::vector<std::string> row{or_dash(text_at(record, "name")),
                                 or_dash(text_at(record, "kind")),
                                 or_dash(text_at(record, "result")),
                                 or_dash(text_at(record, "reason")),
                                 age_of(text_at(record, "ended"), now),
                                 duration_of(record),
                                 count_of(member(record, "restarts")),
                                 progress_of(record),
                                 format_loss(number(member(progress, "loss"))),
                                 format_percent(number(member(progress, "accuracy")))};
    if (wide) {
      row.push_back(or_dash(text_at(record, "started")));
      row.push_back(count_of(member(record, "pods")));
      row.push_back(or_dash(text_at(record, "image")));
      row.push_back(resources_of(record));
      row.push_back(or_dash(text_at(progress, "parametersSha256").substr(0, 12)));
      row.push_back(or_dash(text_at(record, "uid")));
    }
    rows.push_back(std::move(row));
  }
  if (with_namespace) {
    rows.front().insert(rows.front().begin(), "NAMESPACE");
    for (std::size_t i = 0; i < records.size(); ++i)
      rows[i + 1].insert(rows[i + 1].begin(), or_dash(text_at(records[i], "namespace")));
  }
  return render_table(rows);
}

}  // namespace muster::cli
