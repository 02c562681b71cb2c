// tests/learning/device_model_test.cc: the model that keeps its vectors on a device is the host's model. On
// the GPU where this program sees one, and always on libtorch's "cpu", which runs the same calls.
#include "learning/device_model.h"

#include <gtest/gtest.h>

#include <limits>

#include "learning/local_training.h"
#include "learning/optimizer.h"
#include "tests/learning/local_setting.h"

namespace muster::learning {
namespace {

std::unique_ptr<Model> on_device(const spec::Model& model, const Examples& data) {
  const std::string device = gpu();
  return *make_device_model(*make_network(model, data), device.empty() ? "cpu" : device);
}

void expect_near(std::span<const float> a, std::span<const float> b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], tolerance) << i;
}

class OnDevice : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Model, OnDevice, testing::Values("softmax", "mlp", "cnn"),
                         [](const auto& model) { return model.param; });

TEST_P(OnDevice, HasTheHostsGradientLossAndEvaluation) {
  const Examples data = bright_bands(1100);  // more than one part
  const spec::Model spec{.name = GetParam()};
  const auto device = on_device(spec, data);
  const auto host = *make_model(spec, data);
  const auto parameters = host->initial_parameters(7);
  EXPECT_EQ(device->initial_parameters(7), parameters);
  const auto rows = rows_of(0, data.size());
  std::vector<float> a(parameters.size(), 99.0F);
  std::vector<float> b(parameters.size());
  const double loss = device->gradient(parameters, data, rows, a);
  EXPECT_NEAR(loss, host->gradient(parameters, data, rows, b), 1e-5);
  expect_near(a, b, 1e-5);
  EXPECT_NEAR(device->loss(parameters, data, rows), loss, 1e-5);
  const Evaluation told = device->evaluate(parameters, data);
  EXPECT_NEAR(told.loss, loss, 1e-5);
  EXPECT_NEAR(told.accuracy, host->evaluate(parameters, data).accuracy, 2e-3);
  std::vector<float> again(parameters.size());
  EXPECT_EQ(device->gradient(parameters, data, rows, again), loss);
  EXPECT_EQ(a, again);
}

TEST_P(OnDevice, TakesTheStepsOfTheHostsOptimizers) {
  const Examples data = bright_bands(60);
  const spec::Model spec{.name = GetParam()};
  const auto device = on_device(spec, data);
  const auto host = *make_model(spec, data);
  for (const spec::Optimizer& optimizer :
       {spec::Optimizer{.learning_rate = 0.05},
        spec::Optimizer{.learning_rate = 0.05, .momentum = 0.9, .weight_decay = 0.01},
        spec::Optimizer{.name = "Adam", .learning_rate = 1e-3, .epsilon = 1e-4, .weight_decay = 0.01},
        spec::Optimizer{.name = "AdamW", .learning_rate = 1e-3, .epsilon = 1e-4, .weight_decay = 0.1}}) {
    auto parameters = host->initial_parameters(3);
    const auto resident = device->train_resident(optimizer, parameters);
    ASSERT_NE(resident, nullptr);
    EXPECT_EQ(resident->mean_loss(), 0);
    const auto ours = make_optimizer(optimizer, host->parameter_count());
    std::vector<float> gradient(parameters.size());
    double losses = 0;
    for (std::int64_t step = 0; step < 8; ++step) {
      const auto rows = rows_of(7 * step, 7 * step + 7);
      losses += host->gradient(parameters, data, rows, gradient);
      ours->step(parameters, gradient);
      resident->step(data, rows);
    }
    std::vector<float> read(parameters.size());
    resident->read(read);
    expect_near(read, parameters, 2e-5);
    EXPECT_NEAR(resident->mean_loss(), losses / 8, 1e-4) << optimizer.name;
    EXPECT_EQ(resident->mean_loss(), 0);
  }
}

TEST(DeviceModel, TrainsAClientAsTheHostDoes) {
  Setting host;
  Setting device;
  device.model = on_device({.name = "cnn"}, device.data);
  for (const bool proximal : {false, true}) {  // the second by gradients that come to the host
    LocalSettings settings;
    if (proximal) settings.proximal_mu = 0.1;
    const LocalUpdate ours = host.train(settings);
    const LocalUpdate theirs = device.train(settings);
    EXPECT_EQ(ours.steps, theirs.steps);
    expect_near(ours.delta, theirs.delta, 1e-4);
  }
}

TEST(DeviceModel, NamesTheEpochWhoseLossIsNoNumber) {
  Setting setting;
  setting.model = on_device({.name = "cnn"}, setting.data);
  setting.global[0] = std::numeric_limits<float>::quiet_NaN();
  const auto update =
      train_locally(*setting.model, setting.spec, setting.global, setting.data, rows_of(0, 60), 1, {});
  ASSERT_FALSE(update);
  EXPECT_NE(update.error().message.find("in epoch 1; lower the learning rate"), std::string::npos)
      << update.error().message;
}

TEST(DeviceModel, NamesADeviceThatIsNotThere) {
  const Examples data = bright_bands(4);
  for (const std::string name : {"cuda:99", "toaster"}) {
    const auto model = make_device_model(*make_network({.name = "softmax"}, data), name);
    ASSERT_FALSE(model);
    EXPECT_EQ(model.error().code, Code::kInvalidArgument);
    EXPECT_NE(model.error().message.find("device " + name), std::string::npos) << model.error().message;
  }
}

}  // namespace
}  // namespace muster::learning
