// bench/aggregator/fold_bench.cc: GB/s of updates that one core folds, beside memcpy and an addition of the
// same values in the same run
//   fold_bench [--json FILE]
#include <fmt/format.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "aggregator/strategy/strategy.h"
#include "common/base/random.h"
#include "common/base/vector_versions.h"
#include "common/codec/make_codec.h"

namespace {

constexpr int kRepetitions = 15;
constexpr double kGiga = 1e9;
constexpr double kGoal = 0.7;              // of the addition
constexpr std::size_t kLarge = 1'000'000;  // parameters: beyond a core's caches, where the goal holds

// Of this thread alone: what others run meanwhile does not count, but for the memory's bandwidth.
double cpu_seconds(const std::function<void()>& work) {
  const auto now = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double begin = now();
  work();
  return now() - begin;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

// As STREAM's: two vectors are read, one of them is written.
MUSTER_VECTOR_VERSIONS
void add(float* sums, const float* values, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) sums[i] += values[i];
}

std::vector<float> normal_values(std::size_t count, std::uint64_t seed) {
  muster::Random random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random.uniform() - 0.5);
  return values;
}

// All take turns, so that a neighbour's load hits each.
nlohmann::json measure(std::size_t parameters) {
  const std::size_t bytes = parameters * sizeof(float);
  const std::size_t updates = std::max<std::size_t>(4, (std::size_t{64} << 20) / bytes);
  std::vector<std::vector<float>> deltas;
  for (std::uint64_t i = 0; i < 4; ++i) deltas.push_back(normal_values(parameters, i));
  const auto codec = *muster::codec::make_codec({.format = muster::codec::Format::kInt8});
  std::vector<std::byte> frame;
  muster::codec::append(*codec, deltas[0], {}, frame);
  const auto strategy = *muster::agg::make_strategy({}, parameters);
  std::vector<float> sums(parameters);
  bool accepted = true;
  const auto update = [&](std::size_t i, bool within) {
    return muster::agg::Contribution{.delta = deltas[i % deltas.size()], .examples = 1 + i, .within = within};
  };
  struct Contender {
    const char* name;
    std::function<void(std::size_t)> take;
    std::vector<double> seconds = {};
  };
  std::vector<Contender> contenders{
      {"fold", [&](std::size_t i) { accepted = accepted && strategy->take(update(i, true)).has_value(); }},
      {"checked",
       [&](std::size_t i) { accepted = accepted && strategy->take(update(i, false)).has_value(); }},
      {"fold_int8",
       [&](std::size_t) { accepted = accepted && codec->decode_add(frame, 0.5F, sums).has_value(); }},
      {"memcpy", [&](std::size_t i) { std::memcpy(sums.data(), deltas[i % deltas.size()].data(), bytes); }},
      {"add", [&](std::size_t i) { add(sums.data(), deltas[i % deltas.size()].data(), parameters); }}};
  for (int repetition = 0; repetition < kRepetitions; ++repetition) {
    for (Contender& contender : contenders) {
      contender.seconds.push_back(cpu_seconds([&] {
        for (std::size_t i = 0; i < updates; ++i) {
          contender.take(i);
          asm volatile("" : : "r"(sums.data()) : "memory");  // nothing is left out
        }
      }));
    }
  }
  if (!accepted) fmt::print("an update was refused\n");
  nlohmann::json row{{"parameters", parameters}, {"bytes", bytes}};
  for (const Contender& contender : contenders)
    row[contender.name] = static_cast<double>(bytes * updates) / kGiga / median(contender.seconds);
  return row;
}

}  // namespace

int main(int argc, char** argv) try {
  const bool to_file = argc == 3 && std::string_view(argv[1]) == "--json";
  if (argc != 1 && !to_file) {
    fmt::print(stderr, "usage: fold_bench [--json FILE]\n");
    return 2;
  }
  fmt::print(
      "one core, medians of {} runs that take turns, in CPU time; GB/s of float32. fold: of an upload, "
      "whose values were checked as it came; checked: with that check; int8: the codec's decode_add\n"
      "{:>12} {:>12} {:>8} {:>8} {:>8} {:>8} {:>8} {:>10} {:>10} {:>10}\n",
      kRepetitions, "parameters", "bytes", "fold", "checked", "int8", "memcpy", "add", "fold/add", "int8/add",
      "fold/copy");
  nlohmann::json rows = nlohmann::json::array();
  bool met = true;
  for (const std::size_t parameters : {10'000UL, 100'000UL, 1'000'000UL, 10'000'000UL, 50'000'000UL}) {
    const nlohmann::json row = measure(parameters);
    const double fold = row["fold"], int8 = row["fold_int8"], copy = row["memcpy"], sum = row["add"];
    fmt::print("{:>12} {:>12} {:>8.2f} {:>8.2f} {:>8.2f} {:>8.2f} {:>8.2f} {:>10.2f} {:>10.2f} {:>10.2f}\n",
               parameters, parameters * sizeof(float), fold, row["checked"].get<double>(), int8, copy, sum,
               fold / sum, int8 / sum, fold / copy);
    std::fflush(stdout);
    met = met && (parameters < kLarge || (fold >= kGoal * sum && int8 >= kGoal * sum));
    rows.push_back(row);
  }
  if (!met) fmt::print("an update beyond the caches is folded at less than {} of the addition\n", kGoal);
  if (to_file)
    std::ofstream(argv[2]) << nlohmann::json{{"goal", kGoal}, {"met", met}, {"rows", rows}}.dump(2);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s: %s\n", "fold_bench", error.what());
  return 1;
}
