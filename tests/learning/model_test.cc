// tests/learning/model_test.cc: gradients are right, additive over batches, and the same bits every time
#include "learning/model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "learning/optimizer.h"
#include "tests/learning/examples.h"

namespace muster::learning {
namespace {

spec::Model model_named(const std::string& name) {
  spec::Model model{.name = name};
  if (name == "mlp") model.hidden = {24, 16};
  return model;
}

class EveryModel : public testing::TestWithParam<std::string> {
 protected:
  EveryModel() : data_(bright_bands(80)), task_(*make_model(model_named(GetParam()), data_)) {
    parameters_ = task_->initial_parameters(7);
    Random random(11);  // biases too, so that no ReLU sits exactly at its kink
    for (float& value : parameters_) value += static_cast<float>(0.05 * random.normal());
  }
  std::vector<float> gradient(std::span<const std::int64_t> rows) {
    std::vector<float> result(parameters_.size(), 99.0F);
    loss_ = task_->gradient(parameters_, data_, rows, result);
    return result;
  }
  static double norm(std::span<const float> a, std::span<const float> b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
      sum += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    return std::sqrt(sum);
  }

  Examples data_;
  std::unique_ptr<Model> task_;
  std::vector<float> parameters_;
  double loss_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Model, EveryModel, testing::Values("softmax", "mlp", "cnn"),
                         [](const auto& model) { return model.param; });

TEST_P(EveryModel, HasTensorsThatFillTheFlatVectorInOrder) {
  std::int64_t next = 0;
  for (const Tensor& tensor : task_->tensors()) {
    EXPECT_EQ(tensor.offset, next) << tensor.name;
    std::int64_t size = 1;
    for (const auto extent : tensor.shape) size *= extent;
    EXPECT_EQ(tensor.size, size) << tensor.name;
    next += tensor.size;
  }
  EXPECT_EQ(next, task_->parameter_count());
}

// Directional derivatives, one for each tensor: in double the loss is smooth but for the few ReLU and pooling
// kinks that a small step crosses.
TEST_P(EveryModel, HasTheGradientThatFiniteDifferencesTell) {
  const auto rows = rows_of(0, 40);  // more than one chunk
  const auto analytic = gradient(rows);
  std::vector<float> scratch(parameters_.size());
  for (const Tensor& tensor : task_->tensors()) {
    Random random(static_cast<std::uint64_t>(tensor.offset) + 3);
    std::vector<float> direction(parameters_.size(), 0.0F);
    double expected = 0;
    double length = 0;
    for (std::int64_t k = tensor.offset; k < tensor.offset + tensor.size; ++k) {
      const auto i = static_cast<std::size_t>(k);
      direction[i] = analytic[i] + 0.02F * static_cast<float>(random.normal());
      expected += static_cast<double>(direction[i]) * static_cast<double>(analytic[i]);
      length += std::pow(static_cast<double>(direction[i]), 2);
    }
    const double step = 4e-3 / std::sqrt(length);
    const auto loss_at = [&](double factor) {
      auto moved = parameters_;
      for (std::size_t i = 0; i < moved.size(); ++i)
        moved[i] += static_cast<float>(factor * static_cast<double>(direction[i]));
      return task_->gradient(moved, data_, rows, scratch);
    };
    const double measured = (loss_at(step) - loss_at(-step)) / (2 * step);
    EXPECT_NEAR(measured, expected, 0.02 * std::abs(expected) + 1e-4) << tensor.name;
    EXPECT_GT(expected, 0) << tensor.name;
  }
}

TEST_P(EveryModel, HasABatchGradientThatIsTheWeightedMeanOfItsParts) {
  const auto whole = gradient(rows_of(0, 64));
  const double loss = loss_;
  const auto first = gradient(rows_of(0, 48));
  const double first_loss = loss_;
  const auto second = gradient(rows_of(48, 64));
  std::vector<float> mean(whole.size());
  for (std::size_t i = 0; i < mean.size(); ++i) mean[i] = 0.75F * first[i] + 0.25F * second[i];
  EXPECT_NEAR(loss, 0.75 * first_loss + 0.25 * loss_, 1e-7);
  EXPECT_LT(norm(whole, mean), 1e-6 * (1 + norm(whole, std::vector<float>(whole.size()))));
}

TEST_P(EveryModel, GivesTheSameBitsFromAnotherInstanceAndASecondTime) {
  const auto rows = rows_of(0, 70);
  const auto once = gradient(rows);
  const double loss = loss_;
  EXPECT_EQ(once, gradient(rows));
  EXPECT_EQ(loss, loss_);
  const auto other = *make_model(model_named(GetParam()), data_);
  std::vector<float> again(once.size());
  EXPECT_EQ(other->gradient(parameters_, data_, rows, again), loss);
  EXPECT_EQ(once, again);
  EXPECT_EQ(other->initial_parameters(5), task_->initial_parameters(5));
  EXPECT_NE(other->initial_parameters(5), task_->initial_parameters(6));
}

TEST_P(EveryModel, EvaluatesTheLossThatItTrainsOn) {
  const auto evaluation = task_->evaluate(parameters_, data_);
  (void)gradient(rows_of(0, data_.size()));
  EXPECT_NEAR(evaluation.loss, loss_, 1e-6);
  EXPECT_GE(evaluation.accuracy, 0);
  EXPECT_LE(evaluation.accuracy, 1);
}

TEST_P(EveryModel, LearnsBandsByGradientSteps) {
  auto parameters = task_->initial_parameters(3);
  std::vector<float> gradient(parameters.size());
  const auto optimizer =
      make_optimizer({.name = "SGD", .learning_rate = 0.05, .momentum = 0.9}, task_->parameter_count());
  for (int step = 0; step < 120; ++step) {
    (void)task_->gradient(parameters, data_, rows_of(0, data_.size()), gradient);
    optimizer->step(parameters, gradient);
  }
  EXPECT_GT(task_->evaluate(parameters, data_).accuracy, 0.97);
  EXPECT_GT(task_->evaluate(parameters, bright_bands(200, 12, 4, 99)).accuracy, 0.9);
}

TEST_P(EveryModel, TellsWhatIsFinalOnceAndDoesNotTouchItAgain) {
  const auto rows = rows_of(0, 70);  // three chunks
  const auto expected = gradient(rows);
  const double loss = loss_;
  struct Told {
    std::size_t first = 0;
    std::vector<float> values;
  };
  std::vector<Told> told;
  std::vector<float> all_at_first;
  std::vector<int> times(parameters_.size());
  std::vector<float> result(parameters_.size(), 99.0F);
  const double again =
      task_->gradient_by_parts(parameters_, data_, rows, result, [&](std::size_t first, std::size_t size) {
        ASSERT_LE(first + size, result.size());
        if (told.empty()) all_at_first = result;
        const auto begin = result.begin() + static_cast<std::ptrdiff_t>(first);
        told.push_back({first, {begin, begin + static_cast<std::ptrdiff_t>(size)}});
        for (std::size_t i = first; i < first + size; ++i) ++times[i];
      });
  EXPECT_EQ(again, loss);
  const auto same = [](std::span<const float> a, std::span<const float> b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
  };
  EXPECT_TRUE(same(result, expected)) << "the bits of gradient()";
  for (const Told& part : told)
    EXPECT_TRUE(same(part.values, std::span(expected).subspan(part.first, part.values.size())))
        << "elements " << part.first << " to " << part.first + part.values.size()
        << " changed after they were told";
  EXPECT_EQ(std::ranges::count(times, 1), std::ssize(times)) << "each element once";
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(told.size(), task_->tensors().size());
  if (task_->tensors().size() > 2) {
    EXPECT_GT(told.front().first, 0U) << "the last layer comes first";
    EXPECT_FALSE(same(all_at_first, expected)) << "while the layers before it are still to come";
  }
}

TEST_P(EveryModel, TellsNotANumberInsteadOfDying) {
  parameters_[0] = std::nanf("");
  (void)gradient(rows_of(0, 4));
  EXPECT_TRUE(std::isnan(loss_));
}

TEST(Model, OfAnEmptySetEvaluatesToZero) {
  const Examples data = bright_bands(4);
  const auto model = *make_model({.name = "softmax"}, data);
  Examples none = data;
  none.features.clear();
  none.labels.clear();
  const auto evaluation = model->evaluate(model->initial_parameters(1), none);
  EXPECT_EQ(evaluation.loss, 0);
  EXPECT_EQ(evaluation.accuracy, 0);
}

TEST(Model, HasEqualRingChunksForUpToTenWorkersOnFashionMnist) {
  const Examples like{
      .feature_count = 784, .class_count = 10, .shape = {28, 28}, .features = {}, .labels = {}};
  EXPECT_EQ((*make_model({.name = "cnn"}, like))->parameter_count() % 2520, 0);
}

TEST(Model, RefusesAModelThatDoesNotFitTheData) {
  const Examples table{.feature_count = 60, .class_count = 10, .shape = {60}, .features = {}, .labels = {}};
  const auto cnn = make_model({.name = "cnn"}, table);
  ASSERT_FALSE(cnn);
  EXPECT_EQ(cnn.error().code, Code::kInvalidArgument);
  EXPECT_NE(cnn.error().message.find("at least 12 x 12"), std::string::npos) << cnn.error().message;
  EXPECT_FALSE(make_model({.name = "cnn"}, bright_bands(1, 11)));
  EXPECT_TRUE(make_model({.name = "cnn"}, bright_bands(1, 12)));
  EXPECT_FALSE(make_model({.name = "transformer"}, table));
}

}  // namespace
}  // namespace muster::learning
