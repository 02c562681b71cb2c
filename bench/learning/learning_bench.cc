// bench/learning/learning_bench.cc: gradient steps, evaluation, optimizers, checkpoint files
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>
#include <numeric>

#include "common/base/random.h"
#include "learning/model.h"
#include "learning/optimizer.h"
#include "learning/safetensors.h"

namespace {

using namespace muster;            // NOLINT: a program of one file
using namespace muster::learning;  // NOLINT

Examples random_images(std::int64_t count) {
  Examples examples{.feature_count = 784, .class_count = 10, .shape = {28, 28}, .features = {}, .labels = {}};
  Random random(1);
  for (std::int64_t i = 0; i < count * 784; ++i)
    examples.features.push_back(static_cast<float>(random.uniform()));
  for (std::int64_t i = 0; i < count; ++i)
    examples.labels.push_back(static_cast<std::int32_t>(random.below(10)));
  return examples;
}

void gradient_step(benchmark::State& state, const char* name) {
  const Examples data = random_images(1024);
  const auto model = *make_model({.name = name}, data);
  const auto parameters = model->initial_parameters(1);
  std::vector<float> gradient(parameters.size());
  std::vector<std::int64_t> rows(static_cast<std::size_t>(state.range(0)));
  std::iota(rows.begin(), rows.end(), std::int64_t{0});
  for (auto _ : state) benchmark::DoNotOptimize(model->gradient(parameters, data, rows, gradient));
  state.SetItemsProcessed(state.iterations() * state.range(0));  // images
}
BENCHMARK_CAPTURE(gradient_step, softmax, "softmax")->Arg(10)->Arg(64);
BENCHMARK_CAPTURE(gradient_step, mlp, "mlp")->Arg(10)->Arg(64);
BENCHMARK_CAPTURE(gradient_step, cnn, "cnn")->Arg(10)->Arg(64)->Arg(256);

void evaluate(benchmark::State& state, const char* name) {
  const Examples data = random_images(10'000);
  const auto model = *make_model({.name = name}, data);
  const auto parameters = model->initial_parameters(1);
  for (auto _ : state) benchmark::DoNotOptimize(model->evaluate(parameters, data));
  state.SetItemsProcessed(state.iterations() * data.size());
}
BENCHMARK_CAPTURE(evaluate, softmax, "softmax")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(evaluate, mlp, "mlp")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(evaluate, cnn, "cnn")->Unit(benchmark::kMillisecond);

void build_model(benchmark::State& state) {
  const Examples data = random_images(1);
  for (auto _ : state) benchmark::DoNotOptimize(make_model({.name = "cnn"}, data));
}
BENCHMARK(build_model);

void optimizer_step(benchmark::State& state, const spec::Optimizer& spec, std::int64_t bytes_per_parameter) {
  const std::int64_t count = state.range(0);
  const auto optimizer = make_optimizer(spec, count);
  std::vector<float> parameters(static_cast<std::size_t>(count), 1.0F);
  const std::vector<float> gradient(parameters.size(), 0.5F);
  for (auto _ : state) {
    optimizer->step(parameters, gradient);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * count * bytes_per_parameter);  // read and written
}
const spec::Optimizer kSgd{.name = "SGD", .learning_rate = 0.1, .momentum = 0.9};
const spec::Optimizer kAdam{.name = "Adam", .learning_rate = 0.001};
BENCHMARK_CAPTURE(optimizer_step, sgd_momentum, kSgd, 20)->Arg(1 << 15)->Arg(1 << 24);
BENCHMARK_CAPTURE(optimizer_step, adam, kAdam, 28)->Arg(1 << 15)->Arg(1 << 24);

void write_checkpoint(benchmark::State& state) {
  const auto path = std::filesystem::temp_directory_path() / ("muster-bench-" + std::to_string(std::rand()));
  const std::vector<float> values(static_cast<std::size_t>(state.range(0)), 1.0F);
  const NamedTensor tensor{"parameters", {state.range(0)}, values};
  for (auto _ : state)
    if (!write_safetensors(path, std::span(&tensor, 1), {})) state.SkipWithError("cannot write");
  state.SetBytesProcessed(state.iterations() * state.range(0) * 4);
  std::filesystem::remove(path);
}
BENCHMARK(write_checkpoint)->Arg(1 << 15)->Arg(1 << 24)->Unit(benchmark::kMillisecond);

void read_checkpoint(benchmark::State& state) {
  const auto path = std::filesystem::temp_directory_path() / ("muster-bench-" + std::to_string(std::rand()));
  const std::vector<float> values(static_cast<std::size_t>(state.range(0)), 1.0F);
  const NamedTensor tensor{"parameters", {state.range(0)}, values};
  if (!write_safetensors(path, std::span(&tensor, 1), {})) state.SkipWithError("cannot write");
  for (auto _ : state) benchmark::DoNotOptimize(read_safetensors(path));
  state.SetBytesProcessed(state.iterations() * state.range(0) * 4);
  std::filesystem::remove(path);
}
BENCHMARK(read_checkpoint)->Arg(1 << 24)->Unit(benchmark::kMillisecond);

}  // namespace
