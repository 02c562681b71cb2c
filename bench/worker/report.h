#pragma once  // bench/worker/report.h: medians and tables of the comparison
#include <string>
#include <vector>

namespace muster::bench {

struct Row {
  int ranks = 0;
  std::size_t bytes = 0;
  std::vector<double> muster_seconds;     // of one all-reduce, one per round
  std::vector<double> encrypted_seconds;  // the same with encryptTraffic
  std::vector<double> gloo_seconds;
  std::vector<double>
      muster_cpu;  // CPU seconds of rank 0 for one all-reduce, all its threads: hardly moved by other load
  std::vector<double> encrypted_cpu;
  std::vector<double> gloo_cpu;
};

[[nodiscard]] double median(std::vector<double> values);
void print_machine();
void print_header();
void print_row(const Row& row);

}  // namespace muster::bench
