#pragma once  // tests/worker/small_job.h: data and training for QuadraticModel
#include "common/base/random.h"
#include "common/spec/training.h"
#include "learning/dataset.h"

namespace muster::worker::test {

inline constexpr std::int64_t kParameters = 7;

inline learning::Examples examples(std::int64_t count, std::uint64_t seed) {
  Random random(seed);
  learning::Examples made;
  made.feature_count = kParameters;
  made.class_count = 2;
  made.shape = {kParameters};
  for (std::int64_t i = 0; i < count * kParameters; ++i)
    made.features.push_back(static_cast<float>(random.normal()));
  for (std::int64_t i = 0; i < count; ++i)
    made.labels.push_back(static_cast<std::int32_t>(i % 3 == 0 ? 1 : 0));
  return made;
}

inline spec::Training training(std::int64_t batch_size, std::int64_t epochs) {
  spec::Training made;
  made.batch_size = batch_size;
  made.epochs = epochs;
  made.seed = 3;
  made.optimizer.learning_rate = 0.1;
  made.optimizer.momentum = 0.9;
  return made;
}

inline learning::Dataset dataset(std::int64_t train, std::int64_t test) {
  return {.train = examples(train, 1), .test = examples(test, 2), .device_begin = {}};
}

}  // namespace muster::worker::test
