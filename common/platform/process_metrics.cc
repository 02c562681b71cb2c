// common/platform/process_metrics.cc: figures of /proc/self
#include "common/platform/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

#include "common/platform/metric_families.h"

namespace muster {
namespace {

std::optional<double> resident_bytes() {
  std::ifstream file("/proc/self/statm");
  double pages = 0;
  if (!(file >> pages >> pages)) return std::nullopt;  // the second figure
  return pages * static_cast<double>(sysconf(_SC_PAGESIZE));
}

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

std::optional<double> cpu_seconds() {
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) != 0) return std::nullopt;
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::optional<double> open_files() {
  std::error_code failed;
  double count = -1;  // the descriptor that reads the folder
  for (std::filesystem::directory_iterator entry("/proc/self/fd", failed), end; !failed && entry != end;
       entry.increment(failed))
    ++count;
  return failed ? std::nullopt : std::optional(count);
}

// Field 22 of stat, in ticks since the machine started; the name of the program, field 2, may hold anything.
// Once a process: the two clocks drift apart, and a start time that moves looks like a restart.
std::optional<double> start_time() {
  std::ifstream file("/proc/self/stat");
  file.ignore(std::numeric_limits<std::streamsize>::max(), ')');
  std::string skipped;
  for (int field = 3; field < 22; ++field) file >> skipped;
  double ticks = 0;
  if (!(file >> ticks)) return std::nullopt;
  return clock_seconds(CLOCK_REALTIME) - clock_seconds(CLOCK_BOOTTIME) +
         ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace

double clock_seconds(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

std::vector<prometheus::MetricFamily> process_families() {
  std::vector<prometheus::MetricFamily> families;
  static const std::optional<double> kStarted = start_time();
  const auto add = [&](prometheus::MetricFamily family, std::optional<double> value) {
    if (!value) return;
    prometheus::ClientMetric& metric = family.metric.emplace_back();
    (family.type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value) = *value;
    families.push_back(std::move(family));
  };
  add(collected_family("process_resident_memory_bytes"), resident_bytes());
  add(collected_family("process_cpu_seconds_total"), cpu_seconds());
  add(collected_family("process_open_fds"), open_files());
  add(collected_family("process_start_time_seconds"), kStarted);
  return families;
}

}  // namespace muster
