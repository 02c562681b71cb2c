// bench/worker/report.cc: what the comparison prints
#include "bench/worker/report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

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
      "all-reduce over loopback TCP, float32 sum, one process a rank; bus bandwidth = 2(n-1)/n * S / t\n"
      "cpu: microseconds of CPU of one rank for one all-reduce, all its threads\n\n");
}

void print_header() {
  fmt::print(
      "{:>2} {:>10}  {:>12} {:>10}  {:>12} {:>10}  {:>12} {:>10}  {:>11} {:>9}  {:>10} {:>10} {:>10}\n", "n",
      "bytes", "muster us", "GB/s", "tls us", "GB/s", "gloo us", "GB/s", "gloo/muster", "tls/plain",
      "muster cpu", "tls cpu", "gloo cpu");
}

void print_row(const Row& row) {
  const double ours = median(row.muster_seconds);
  const double encrypted = median(row.encrypted_seconds);
  const double theirs = median(row.gloo_seconds);
  const double moved = 2.0 * (row.ranks - 1) / row.ranks * static_cast<double>(row.bytes);
  fmt::print(
      "{:>2} {:>10}  {:>12.1f} {:>10.3f}  {:>12.1f} {:>10.3f}  {:>12.1f} {:>10.3f}  {:>10.2f}x {:>8.2f}x  "
      "{:>10.1f} {:>10.1f} {:>10.1f}\n",
      row.ranks, row.bytes, ours * 1e6, moved / ours / 1e9, encrypted * 1e6, moved / encrypted / 1e9,
      theirs * 1e6, moved / theirs / 1e9, theirs / ours, encrypted / ours, median(row.muster_cpu) * 1e6,
      median(row.encrypted_cpu) * 1e6, median(row.gloo_cpu) * 1e6);
  std::fflush(stdout);
}

}  // namespace muster::bench
