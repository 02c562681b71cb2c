// bench/learning/learning_study.cc: trains in one process and prints accuracy and cost, to choose settings by
// measurement
//   learning_study central   FOLDER MODEL RATE MOMENTUM BATCH EPOCHS [SEED]
//   learning_study federated FOLDER MODEL RATE MOMENTUM BATCH LOCAL_EPOCHS ROUNDS [SEED]
// MOMENTUM may be "Adam" instead.
#include <fmt/format.h>
#include <time.h>

#include <cstdlib>
#include <numeric>
#include <string>

#include "common/base/random.h"
#include "learning/local_training.h"
#include "learning/optimizer.h"
#include "learning/partition.h"

namespace {

using namespace muster;            // NOLINT: a program of one file
using namespace muster::learning;  // NOLINT

double cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

void report(const char* unit, std::int64_t at, Model& model, std::span<const float> parameters,
            const Dataset& data, double train_seconds, std::int64_t examples) {
  const double begin = cpu_seconds();
  const Evaluation result = model.evaluate(parameters, data.test);
  fmt::print(
      "{} {}: loss {:.4f} accuracy {:.4f} | trained {:.1f} CPU s, {:.0f} examples/s | evaluation {:.2f} s\n",
      unit, at, result.loss, result.accuracy, train_seconds, static_cast<double>(examples) / train_seconds,
      cpu_seconds() - begin);
  std::fflush(stdout);
}

void central(Model& model, const Dataset& data, const spec::Optimizer& spec, std::int64_t batch,
             std::int64_t epochs, std::uint64_t seed) {
  auto parameters = model.initial_parameters(seed);
  std::vector<float> gradient(parameters.size());
  const auto optimizer = make_optimizer(spec, model.parameter_count());
  std::vector<std::int64_t> order(static_cast<std::size_t>(data.train.size()));
  double seconds = 0;
  for (std::int64_t epoch = 0; epoch < epochs; ++epoch) {
    const double begin = cpu_seconds();
    std::iota(order.begin(), order.end(), std::int64_t{0});
    Random(hash_key(seed, epoch)).shuffle(std::span(order));
    for (std::size_t at = 0; at < order.size(); at += static_cast<std::size_t>(batch)) {
      const std::size_t count = std::min(static_cast<std::size_t>(batch), order.size() - at);
      (void)model.gradient(parameters, data.train, std::span(order).subspan(at, count), gradient);
      optimizer->step(parameters, gradient);
    }
    seconds += cpu_seconds() - begin;
    report("epoch", epoch + 1, model, parameters, data, seconds, (epoch + 1) * data.train.size());
  }
}

void federated(Model& model, const Dataset& data, const spec::ClientTraining& spec, std::int64_t rounds,
               std::uint64_t seed) {
  constexpr std::int64_t kClients = 100;
  constexpr std::size_t kCohort = 10;
  const auto parts = partition_examples(data, {.kind = "LabelShards"}, kClients, seed);
  if (!parts) return fmt::print("{}\n", parts.error().message);
  auto global = model.initial_parameters(seed);
  double seconds = 0;
  std::int64_t examples = 0;
  for (std::int64_t round = 1; round <= rounds; ++round) {
    const double begin = cpu_seconds();
    std::vector<std::size_t> clients(kClients);
    std::iota(clients.begin(), clients.end(), std::size_t{0});
    Random(hash_key(seed, 77, round)).shuffle(std::span(clients));
    std::vector<double> sum(global.size());
    double weight = 0;
    for (const std::size_t client : std::span(clients).first(kCohort)) {
      const auto update =
          train_locally(model, spec, global, data.train, (*parts)[client], hash_key(seed, round, client), {});
      if (!update) return fmt::print("{}\n", update.error().message);
      const auto n = static_cast<double>(update->examples);
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += n * static_cast<double>(update->delta[i]);
      weight += n;
      examples += static_cast<std::int64_t>(update->examples) * spec.local_epochs;
    }
    for (std::size_t i = 0; i < sum.size(); ++i) global[i] += static_cast<float>(sum[i] / weight);
    seconds += cpu_seconds() - begin;
    if (round % 5 == 0) report("round", round, model, global, data, seconds, examples);
  }
}

int run(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if ((mode != "central" && mode != "federated") || argc < (mode == "central" ? 8 : 9)) {
    fmt::print(
        stderr,
        "usage: learning_study central FOLDER MODEL RATE MOMENTUM BATCH EPOCHS [SEED]\n"
        "       learning_study federated FOLDER MODEL RATE MOMENTUM BATCH LOCAL_EPOCHS ROUNDS [SEED]\n");
    return 2;
  }
  const double begin = cpu_seconds();
  const auto data = load_dataset({.name = "fashion-mnist", .path = argv[2], .csv = {}, .synthetic = {}}, 0);
  if (!data) return fmt::print(stderr, "{}\n", data.error().message), 1;
  fmt::print("loaded in {:.2f} CPU s\n", cpu_seconds() - begin);
  const spec::Model asked{.name = argv[3]};
  const auto model = make_model(asked, data->train);
  if (!model) return fmt::print(stderr, "{}\n", model.error().message), 1;
  fmt::print("{}: {} parameters\n", asked.name, (*model)->parameter_count());
  spec::ClientTraining spec;
  spec.optimizer.learning_rate = std::atof(argv[4]);
  spec.optimizer.momentum = std::atof(argv[5]);
  if (std::string(argv[5]) == "Adam") spec.optimizer.name = "Adam";
  spec.batch_size = std::atoll(argv[6]);
  const std::int64_t first = std::atoll(argv[7]);
  if (mode == "central") {
    central(**model, *data, spec.optimizer, spec.batch_size, first,
            argc > 8 ? std::strtoull(argv[8], nullptr, 10) : 0);
  } else {
    spec.local_epochs = first;
    federated(**model, *data, spec, std::atoll(argv[8]), argc > 9 ? std::strtoull(argv[9], nullptr, 10) : 0);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return run(argc, argv); }
