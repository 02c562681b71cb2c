#pragma once  // bench/worker/report.h: medians and tables of the comparison
#include <cstddef>
#include <string>
#include <vector>

namespace muster::bench {

struct Entry {  // a contender at one size
  std::string name;
  std::string note;
  std::vector<double> seconds;  // of one all-reduce, one per round
  std::vector<double> cpu;  // seconds of CPU of rank 0 for one, all its threads: hardly moved by other load
};

struct Row {
  int ranks = 0;
  std::size_t bytes = 0;
  std::vector<Entry> entries;  // the first is what the others are compared with
};

[[nodiscard]] double median(std::vector<double> values);
void print_machine();
void print_header(const std::vector<std::string>& names);
void print_row(const Row& row);
// A line of JSON: {"ranks", "bytes", "contenders": {name: {"seconds", "cpuSeconds", "note"}}}, medians.
[[nodiscard]] std::string json_of(const Row& row);

}  // namespace muster::bench
