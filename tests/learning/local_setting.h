#pragma once  // tests/learning/local_setting.h: a client with sixty pictures
#include <memory>
#include <vector>

#include "learning/local_training.h"
#include "tests/learning/examples.h"

namespace muster::learning {

struct Setting {
  Examples data = bright_bands(60);
  std::unique_ptr<Model> model = *make_model({.name = "cnn"}, data);
  std::vector<float> global = model->initial_parameters(2);
  spec::ClientTraining spec;

  explicit Setting(std::int64_t epochs = 2) {
    spec.local_epochs = epochs;
    spec.batch_size = 7;
    spec.optimizer.learning_rate = 0.05;
  }
  [[nodiscard]] LocalUpdate train(const LocalSettings& settings, const LocalStart& start = {}) const {
    auto update = train_locally(*model, spec, global, data, rows_of(0, 60), 1, {}, settings, start);
    EXPECT_TRUE(update) << update.error().message;
    return update ? std::move(*update) : LocalUpdate{};
  }
};

}  // namespace muster::learning
