// bench/common/codec_bench.cc: how fast each codec is, and how many bytes a value takes on the wire
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/codec/error_feedback.h"
#include "common/codec/make_codec.h"
#include "common/codec/power_sgd.h"

namespace {

using namespace muster;         // NOLINT: a program of one file
using namespace muster::codec;  // NOLINT

constexpr std::size_t kValues = std::size_t{1} << 22;  // 16 MiB of gradients: more than the caches of a core

std::vector<float> normal_values() {
  std::vector<float> values(kValues);
  Random random(1);
  for (float& value : values) value = static_cast<float>(random.normal());
  return values;
}

// GB/s of float32, on one core.
void report(benchmark::State& state, std::size_t frame_bytes) {
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(kValues * sizeof(float)));
  state.counters["bytes_per_value"] = static_cast<double>(frame_bytes) / static_cast<double>(kValues);
}

void encode(benchmark::State& state, Codec& codec) {
  const auto values = normal_values();
  std::vector<std::byte> frame(codec.max_wire_bytes(kValues));
  std::size_t bytes = 0;
  Key key;
  for (auto _ : state) {
    ++key.step;
    bytes = codec.encode(values, key, frame);
    benchmark::ClobberMemory();
  }
  report(state, bytes);
}

void decode_add(benchmark::State& state, Codec& codec) {
  std::vector<std::byte> frame;
  append(codec, normal_values(), {}, frame);
  std::vector<float> sums(kValues);
  for (auto _ : state) {
    if (!codec.decode_add(frame, 1, sums)) state.SkipWithError("a frame of our own is refused");
    benchmark::ClobberMemory();
  }
  report(state, frame.size());
}

void power_sgd(benchmark::State& state) {
  const auto values = normal_values();
  constexpr std::size_t kRows = 2048;
  const std::vector<TensorShape> shapes{{kRows, kValues / kRows}};
  PowerSgd codec(shapes, {.rank = static_cast<std::size_t>(state.range(0))});
  std::vector<float> mean(kValues);
  std::uint64_t step = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(codec.project(values, ++step).data());
    benchmark::DoNotOptimize(codec.back_project().data());
    codec.reconstruct(mean);
  }
  report(state, (codec.first_floats() + codec.second_floats()) * sizeof(float));
}
BENCHMARK(power_sgd)->Arg(1)->Arg(4)->Unit(benchmark::kMillisecond);

struct Contender {
  std::string name;
  CodecOptions options;
};

const std::vector<Contender>& contenders() {
  static const std::vector<Contender> kAll = {
      {"float32", {}},
      {"float16", {.format = Format::kFloat16}},
      {"bfloat16", {.format = Format::kBFloat16}},
      {"int8", {.format = Format::kInt8}},
      {"int4", {.format = Format::kInt4}},
      {"int2", {.format = Format::kInt2}},
      {"sign (1 bit)", {.format = Format::kSign}},
      {"e3m0", {.format = Format::kE3M0}},
      {"top 1%", {.top_k_fraction = 0.01}},
      {"top 1% in int8", {.format = Format::kInt8, .top_k_fraction = 0.01}},
      {"pruned below 1", {.prune_threshold = 1.0F}},
  };
  return kAll;
}

std::unique_ptr<Codec> codec_of(const CodecOptions& options) {
  auto codec = make_codec(options);
  return codec ? std::move(*codec) : nullptr;
}

[[maybe_unused]] const bool kRegistered = [] {
  for (const auto& [name, options] : contenders()) {
    benchmark::RegisterBenchmark(("encode/" + name).c_str(), [options = options](benchmark::State& state) {
      encode(state, *codec_of(options));
    })->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark(("decode_add/" + name).c_str(), [options =
                                                                      options](benchmark::State& state) {
      decode_add(state, *codec_of(options));
    })->Unit(benchmark::kMillisecond);
  }
  for (const auto& [name, options] : contenders()) {
    if (options.prune_threshold) continue;  // of the same gradients again and again ever more would be sent
    benchmark::RegisterBenchmark(("feedback/" + name).c_str(), [options = options](benchmark::State& state) {
      ErrorFeedback codec(codec_of(options), kValues);
      encode(state, codec);
    })->Unit(benchmark::kMillisecond);
  }
  return true;
}();

}  // namespace
