// aggregator/store/contributions.cc: records to text
#include "aggregator/store/contributions.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "aggregator/strategy/scoring.h"

namespace muster::agg {
namespace {

constexpr std::size_t kBarsMax = 20;  // at either end
constexpr double kWidth = 900, kTop = 84, kRow = 20, kBar = 13;
constexpr double kLabels = 150, kFigures = 250;  // left and right of the bars

bool better(const ClientRecord& a, const ClientRecord& b) {
  return a.gain != b.gain ? a.gain > b.gain : a.client < b.client;
}

std::string words_of(const ClientRecord& record) {
  std::string words = fmt::format("{:+.4g}, {} updates", record.gain, record.updates);
  if (record.harmful > 0) words += fmt::format(", {} harmful", record.harmful);
  if (record.copies > 0) words += fmt::format(", {} copied", record.copies);
  return words;
}

}  // namespace

std::vector<ClientRecord> records_of(std::span<const learning::SlotView> state, std::size_t clients) {
  Contributions totals(clients);
  std::vector<ClientRecord> records;
  if (!totals.restore(state)) return records;
  for (std::size_t client = 0; client < clients; ++client) {
    if (totals.updates[client] <= 0) continue;
    records.push_back({.client = static_cast<std::int32_t>(client),
                       .gain = static_cast<double>(totals.gain[client]),
                       .weight = static_cast<double>(totals.weight[client]),
                       .updates = std::llround(totals.updates[client]),
                       .harmful = std::llround(totals.harmful[client]),
                       .copies = std::llround(totals.copies[client])});
  }
  return records;
}

Ends ends_of(std::vector<ClientRecord> records, std::size_t most) {
  std::ranges::sort(records, better);
  Ends ends;
  const std::size_t top = std::min(most, records.size());
  const std::size_t bottom = std::min(most, records.size() - top);
  ends.top.assign(records.begin(), records.begin() + static_cast<std::ptrdiff_t>(top));
  ends.bottom.assign(records.rbegin(), records.rbegin() + static_cast<std::ptrdiff_t>(bottom));
  return ends;
}

std::string csv_of(std::span<const ClientRecord> records) {
  std::string text = "client,gain,weight,updates,harmful,copies\n";
  for (const ClientRecord& it : records)
    fmt::format_to(std::back_inserter(text), "{},{:.9g},{:.9g},{},{},{}\n", it.client, it.gain, it.weight,
                   it.updates, it.harmful, it.copies);
  return text;
}

std::string drawing_of(std::vector<ClientRecord> records, std::int64_t round) {
  const std::size_t clients = records.size();
  Ends ends = ends_of(std::move(records), kBarsMax);
  std::ranges::reverse(ends.bottom);  // downwards from the best to the worst
  std::vector<ClientRecord> bars = std::move(ends.top);
  bars.insert(bars.end(), ends.bottom.begin(), ends.bottom.end());
  double low = 0, high = 0;
  for (const ClientRecord& bar : bars) {
    low = std::min(low, bar.gain);
    high = std::max(high, bar.gain);
  }
  const double height = kTop + kRow * static_cast<double>(bars.size()) + 24;
  const double scale = high > low ? (kWidth - kLabels - kFigures) / (high - low) : 0;
  const double zero = kLabels - low * scale;
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
      "<text x=\"24\" y=\"34\" font-size=\"18\">What each client did to the held-out loss</text>\n"
      "<text x=\"24\" y=\"58\" fill=\"#666\">after round {2}: the best and the worst of {3} clients; to the "
      "right: the loss fell by so much</text>\n",
      kWidth, height, round, clients);
  double y = kTop;
  for (const ClientRecord& bar : bars) {
    const double from = std::min(zero, zero + bar.gain * scale);
    fmt::format_to(std::back_inserter(svg),
                   "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">client {}</text>\n"
                   "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{}\" fill=\"{}\"/>\n"
                   "<text x=\"{:.1f}\" y=\"{:.1f}\" fill=\"#666\">{}</text>\n",
                   kLabels - 46, y + 11, bar.client, from, y, std::max(std::abs(bar.gain) * scale, 0.5), kBar,
                   bar.gain < 0     ? "#e03131"
                   : bar.copies > 0 ? "#f08c00"
                                    : "#2f9e44",
                   kWidth - kFigures + 12, y + 11, words_of(bar));
    y += kRow;
  }
  fmt::format_to(std::back_inserter(svg),
                 "<line x1=\"{0:.1f}\" y1=\"{1}\" x2=\"{0:.1f}\" y2=\"{2:.1f}\" stroke=\"#333\"/>\n</svg>\n",
                 zero, kTop - 6, y);
  return svg;
}

}  // namespace muster::agg
