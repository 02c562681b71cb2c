// bench/aggregator/fold_bench.cc: GB/s of updates folded by FedAvg, beside memcpy of the same bytes in the
// same run
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <vector>

#include "aggregator/strategy/strategy.h"
#include "common/base/random.h"

namespace {

constexpr int kRepetitions = 15;
constexpr double kGiga = 1e9;

double seconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

// Folds and copies take turns, so that a neighbour's load hits both.
void measure(std::size_t parameters) {
  const std::size_t bytes = parameters * sizeof(float);
  const std::size_t updates = std::max<std::size_t>(4, (std::size_t{64} << 20) / bytes);
  muster::Random random(1);
  std::vector<std::vector<float>> deltas(4, std::vector<float>(parameters));
  for (auto& delta : deltas) {
    for (float& value : delta) value = static_cast<float>(random.uniform() - 0.5);
  }
  auto strategy = muster::agg::make_strategy({}, parameters);
  if (!strategy) return;
  std::vector<float> copy(parameters);
  std::vector<double> fold;
  std::vector<double> memory;
  bool accepted = true;
  for (int repetition = 0; repetition < kRepetitions; ++repetition) {
    fold.push_back(seconds([&] {
      for (std::size_t i = 0; i < updates; ++i) {
        const auto status = (*strategy)->take({.delta = deltas[i % deltas.size()], .examples = 1 + i});
        accepted = accepted && status.has_value();
      }
    }));
    memory.push_back(seconds([&] {
      for (std::size_t i = 0; i < updates; ++i) {
        std::memcpy(copy.data(), deltas[i % deltas.size()].data(), bytes);
        asm volatile("" : : "r"(copy.data()) : "memory");  // the copy is not left out
      }
    }));
  }
  if (!accepted) std::puts("an update was refused");
  const double moved = static_cast<double>(bytes * updates) / kGiga;
  const double folded = moved / median(fold);
  const double copied = moved / median(memory);
  std::printf("%12zu %12zu %10.2f %10.2f %8.2f\n", parameters, bytes, folded, copied, folded / copied);
}

}  // namespace

int main() {
  std::printf("medians of %d runs that take turns; bytes are the updates'\n", kRepetitions);
  std::printf("%12s %12s %10s %10s %8s\n", "parameters", "bytes", "fold GB/s", "copy GB/s", "ratio");
  for (const std::size_t parameters : {10'000UL, 100'000UL, 1'000'000UL, 10'000'000UL, 50'000'000UL})
    measure(parameters);
}
