// bench/worker/report.cc: what the comparison prints
#include "bench/worker/report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "common/json/fields.h"

namespace muster::bench {

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void print_machine() {
  std::ifstream info("/proc/cpuinfo");
  std::string line;
  while (std::getline(info, line) && !line.starts_with("model name")) {
  }
  double load = 0;
  getloadavg(&load, 1);
  fmt::print("machine: {} x {}, load average {:.2f} at start\n", sysconf(_SC_NPROCESSORS_ONLN),
             line.size() > 13 ? line.substr(13) : "unknown CPU", load);
  fmt::print(
      "all-reduce of float32 over loopback, one process a rank, medians; GB/s: bus bandwidth 2(n-1)/n * S / "
      "t\n"
      "x: time in that of the first; above 1 the first is faster\n\n");
}

void print_header(const std::vector<std::string>& names) {
  fmt::print("\n{:>2} {:>10}", "n", "bytes");
  for (const std::string& name : names) fmt::print("  {:>28}", name);
  fmt::print("\n");
}

void print_row(const Row& row) {
  const double moved = 2.0 * (row.ranks - 1) / row.ranks * static_cast<double>(row.bytes);
  const double first = median(row.entries.front().seconds);
  fmt::print("{:>2} {:>10}", row.ranks, row.bytes);
  for (const Entry& entry : row.entries) {
    const double seconds = median(entry.seconds);
    fmt::print("  {:>9.1f} us {:>5.2f} GB/s {:>4.2f}x", seconds * 1e6, moved / seconds / 1e9,
               seconds / first);
  }
  fmt::print("  {}\n", row.entries.front().note);
  std::fflush(stdout);
}

std::string json_of(const Row& row) {
  Json contenders = Json::object();
  for (const Entry& entry : row.entries)
    contenders[entry.name] = {
        {"seconds", median(entry.seconds)}, {"cpuSeconds", median(entry.cpu)}, {"note", entry.note}};
  return Json{{"ranks", row.ranks}, {"bytes", row.bytes}, {"contenders", contenders}}.dump();
}

}  // namespace muster::bench
