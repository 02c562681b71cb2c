// aggregator/round/device_reports.cc: figures of devices and their summaries
#include "aggregator/round/device_reports.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <numeric>

namespace muster::agg {
namespace {

constexpr std::size_t kFigures = 4;

DeviceFigures figures_at(std::span<const float> kept, std::size_t client) {
  const auto row = kept.subspan(client * kFigures, kFigures);
  return {.examples = row[0], .global = row[1], .tuned = row[2], .personal = row[3]};
}

DeviceSummary summary_of(std::string model, std::span<const float> kept, float DeviceFigures::*figure) {
  DeviceSummary summary{.model = std::move(model)};
  std::vector<double> values;
  double examples = 0;
  for (std::size_t client = 0; client < kept.size() / kFigures; ++client) {
    const DeviceFigures figures = figures_at(kept, client);
    const auto value = static_cast<double>(figures.*figure);
    if (!(figures.examples > 0) || !(value >= 0)) continue;
    values.push_back(value);
    examples += static_cast<double>(figures.examples);
    summary.weighted += value * static_cast<double>(figures.examples);
  }
  if (values.empty()) return summary;
  const auto count = static_cast<double>(values.size());
  std::ranges::sort(values);
  summary.devices = std::ssize(values);
  summary.weighted /= examples;
  summary.mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  const std::ptrdiff_t worst = std::max<std::ptrdiff_t>(1, std::ssize(values) / 10);
  summary.worst_tenth =
      std::accumulate(values.begin(), values.begin() + worst, 0.0) / static_cast<double>(worst);
  for (const double value : values)
    summary.variance += (value - summary.mean) * (value - summary.mean) / count;
  return summary;
}

}  // namespace

DeviceReports::DeviceReports(std::size_t clients, std::span<const float> kept) : last_(clients) {
  if (kept.size() != clients * kFigures) return;
  for (std::size_t client = 0; client < clients; ++client) last_[client] = figures_at(kept, client);
}

void DeviceReports::taken(ClientId client, const DeviceFigures& figures) {
  if (static_cast<std::size_t>(client) < last_.size() && figures.examples > 0) gathered_[client] = figures;
}

void DeviceReports::sealed() {
  for (const auto& [client, figures] : gathered_) last_[static_cast<std::size_t>(client)] = figures;
  gathered_.clear();
}

void DeviceReports::discarded() { gathered_.clear(); }

std::vector<float> DeviceReports::kept() const {
  std::vector<float> kept;
  if (std::ranges::none_of(last_, [](const DeviceFigures& it) { return it.examples > 0; })) return kept;
  kept.reserve(last_.size() * kFigures);
  for (const DeviceFigures& it : last_)
    for (const float value : {it.examples, it.global, it.tuned, it.personal}) kept.push_back(value);
  return kept;
}

std::vector<DeviceSummary> summaries_of(std::span<const float> kept) {
  std::vector<DeviceSummary> all{summary_of("Global", kept, &DeviceFigures::global),
                                 summary_of("FineTuned", kept, &DeviceFigures::tuned),
                                 summary_of("Personal", kept, &DeviceFigures::personal)};
  std::erase_if(all, [](const DeviceSummary& summary) { return summary.devices == 0; });
  return all;
}

std::string devices_csv(std::span<const float> kept) {
  std::string text = "client,examples,global,tuned,personal\n";
  const auto cell = [](float value) { return value >= 0 ? fmt::format("{:.6g}", value) : std::string(); };
  for (std::size_t client = 0; client < kept.size() / kFigures; ++client) {
    const DeviceFigures it = figures_at(kept, client);
    if (!(it.examples > 0)) continue;
    fmt::format_to(std::back_inserter(text), "{},{:.0f},{},{},{}\n", client, it.examples, cell(it.global),
                   cell(it.tuned), cell(it.personal));
  }
  return text;
}

}  // namespace muster::agg
