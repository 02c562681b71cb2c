// tests/common/codec/power_sgd_test.cc: PowerSGD between ranks of one process
#include "common/codec/power_sgd.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "common/codec/orthogonalize.h"
#include "tests/common/codec/support.h"

namespace muster::codec {
namespace {

void average(std::vector<std::span<float>> messages) {
  for (std::size_t i = 0; i < messages.front().size(); ++i) {
    float sum = 0;
    for (const auto& message : messages) sum += message[i];
    for (const auto& message : messages) message[i] = sum / static_cast<float>(messages.size());
  }
}

// One exchange of all ranks; they must agree on every bit.
std::vector<float> exchange(std::vector<PowerSgd>& ranks, const std::vector<std::vector<float>>& inputs,
                            std::uint64_t step) {
  std::vector<std::span<float>> messages;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank)
    messages.push_back(ranks[rank].project(inputs[rank], step));
  average(messages);
  messages.clear();
  for (PowerSgd& rank : ranks) messages.push_back(rank.back_project());
  if (!messages.front().empty()) average(messages);
  std::vector<float> result(inputs.front().size());
  std::vector<float> other(result.size());
  ranks.front().reconstruct(result);
  for (std::size_t rank = 1; rank < ranks.size(); ++rank) {
    ranks[rank].reconstruct(other);
    EXPECT_EQ(bits_of_all(other), bits_of_all(result));
  }
  return result;
}

std::vector<float> product(std::size_t rows, std::size_t columns, std::size_t rank, std::uint64_t seed) {
  const auto left = normal_values(rows * rank, hash_key(seed, 1));
  const auto right = normal_values(rank * columns, hash_key(seed, 2));
  std::vector<float> matrix(rows * columns);
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t k = 0; k < rank; ++k)
      for (std::size_t j = 0; j < columns; ++j)
        matrix[i * columns + j] += left[i * rank + k] * right[k * columns + j];
  return matrix;
}

double distance(std::span<const float> a, std::span<const float> b) {
  double squares = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    squares += difference * difference;
  }
  return std::sqrt(squares);
}

TEST(PowerSgd, SendsTheFormula) {
  const std::vector<TensorShape> shapes{{100, 50}, {1, 300}, {8, 8}, {300, 1}, {0, 7}};
  const PowerSgd codec(shapes, {.rank = 4});
  EXPECT_EQ(codec.count(), 5000U + 300 + 64 + 300);
  EXPECT_EQ(codec.first_floats(), 4U * 100 + 300 + 64 + 300) << "8 x 8 would not shrink by half";
  EXPECT_EQ(codec.second_floats(), 4U * 50);
  const PowerSgd dense(std::vector<TensorShape>{{10, 10}}, {.rank = 8});
  EXPECT_EQ(dense.first_floats(), 100U);
  EXPECT_EQ(dense.second_floats(), 0U);
}

TEST(PowerSgd, RecoversAMatrixOfItsRankAtOnce) {
  const std::vector<TensorShape> shapes{{60, 40}};
  for (const double size : {1.0, 1e-15, 1e15}) {
    auto matrix = product(60, 40, 2, 100);
    for (float& value : matrix) value *= static_cast<float>(size);
    std::vector<PowerSgd> ranks(1, PowerSgd(shapes, {.rank = 2, .seed = 1}));
    const auto result = exchange(ranks, {matrix}, 0);
    EXPECT_LT(distance(result, matrix), 1e-4 * std::sqrt(squared_norm(matrix)));
  }
}

TEST(PowerSgd, VectorsAreAveragedAsTheyAre) {
  const std::vector<TensorShape> shapes{{1, 100}, {40, 40}, {7, 1}};
  std::vector<PowerSgd> ranks(3, PowerSgd(shapes, {.rank = 1}));
  const std::vector<std::vector<float>> inputs{normal_values(1707, 1), normal_values(1707, 2),
                                               normal_values(1707, 3)};
  const auto result = exchange(ranks, inputs, 0);
  for (const std::size_t i : {0U, 50U, 99U, 1700U, 1706U})
    EXPECT_FLOAT_EQ(result[i], (inputs[0][i] + inputs[1][i] + inputs[2][i]) / 3);
  EXPECT_EQ(ranks[0].residual()[50], 0);
}

// Algorithm 2 of the paper: sum of results + mean residual = sum of mean gradients.
TEST(PowerSgd, WhatIsNotSentIsKept) {
  const std::vector<TensorShape> shapes{{30, 50}, {1, 20}, {64, 20}};
  std::vector<PowerSgd> ranks(3, PowerSgd(shapes, {.rank = 2}));
  const std::size_t count = ranks[0].count();
  std::vector<double> came(count);
  std::vector<double> sent(count);
  for (std::uint64_t step = 0; step < 40; ++step) {
    std::vector<std::vector<float>> inputs;
    for (std::size_t rank = 0; rank < 3; ++rank)
      inputs.push_back(normal_values(count, hash_key(101, step, rank)));
    const auto result = exchange(ranks, inputs, step);
    for (std::size_t i = 0; i < count; ++i) {
      sent[i] += static_cast<double>(result[i]);
      for (const auto& input : inputs) came[i] += static_cast<double>(input[i]) / 3;
    }
  }
  for (std::size_t i = 0; i < count; ++i) {
    double residual = 0;
    for (PowerSgd& rank : ranks) residual += static_cast<double>(rank.residual()[i]) / 3;
    ASSERT_NEAR(came[i], sent[i] + residual, 1e-3) << i;
  }
}

// Section 4.2 of the paper: with the warm start one step of power iteration an exchange finds the best
// approximation.
TEST(PowerSgd, WarmStartFindsTheLargestDirections) {
  const std::vector<TensorShape> shapes{{50, 50}};
  auto matrix = product(50, 50, 1, 102);
  for (float& value : matrix) value *= 10;
  const auto noise = normal_values(2500, 103);
  for (std::size_t i = 0; i < matrix.size(); ++i) matrix[i] += noise[i];
  std::vector<PowerSgd> ranks(1, PowerSgd(shapes, {.rank = 1, .seed = 5}));
  double first = 0;
  double last = 0;
  for (std::uint64_t step = 0; step < 10; ++step) {
    std::fill(ranks[0].residual().begin(), ranks[0].residual().end(), 0.0F);  // without feedback
    last = distance(exchange(ranks, {matrix}, step), matrix);
    if (step == 0) first = last;
  }
  EXPECT_LT(last, first);
  EXPECT_LT(last, 1.01 * std::sqrt(squared_norm(noise))) << "what is left is the noise";
}

TEST(PowerSgd, ADirectionThatDiedComesBack) {
  const std::vector<TensorShape> shapes{{30, 30}};
  std::vector<PowerSgd> ranks(2, PowerSgd(shapes, {.rank = 2}));
  const std::vector<float> zero(900);
  for (std::uint64_t step = 0; step < 3; ++step)
    for (const float value : exchange(ranks, {zero, zero}, step)) ASSERT_EQ(value, 0);
  const auto matrix = product(30, 30, 2, 104);
  EXPECT_LT(distance(exchange(ranks, {matrix, matrix}, 3), matrix), 1e-3);
}

TEST(PowerSgd, NanPassesAndIsForgotten) {
  const std::vector<TensorShape> shapes{{30, 30}};
  std::vector<PowerSgd> ranks(2, PowerSgd(shapes, {.rank = 2}));
  auto matrix = product(30, 30, 2, 105);
  const auto good = matrix;
  matrix[31] = NAN;
  EXPECT_TRUE(std::isnan(exchange(ranks, {matrix, good}, 0)[31]));
  const auto result = exchange(ranks, {good, good}, 1);
  EXPECT_TRUE(std::all_of(result.begin(), result.end(), [](float value) { return std::isfinite(value); }));
}

TEST(PowerSgd, GoesOnFromACheckpoint) {
  const std::vector<TensorShape> shapes{{30, 30}};
  const auto input = [](std::uint64_t step) {
    return std::vector<std::vector<float>>{normal_values(900, 106 + step)};
  };
  std::vector<PowerSgd> lived(1, PowerSgd(shapes, {.rank = 2}));
  std::vector<PowerSgd> restored(1, PowerSgd(shapes, {.rank = 2}));
  (void)exchange(lived, input(0), 0);
  std::copy(lived[0].query().begin(), lived[0].query().end(), restored[0].query().begin());
  std::copy(lived[0].residual().begin(), lived[0].residual().end(), restored[0].residual().begin());
  EXPECT_EQ(bits_of_all(exchange(lived, input(1), 1)), bits_of_all(exchange(restored, input(1), 1)));
}

TEST(Orthogonalize, MakesColumnsOrthonormal) {
  constexpr std::size_t kLength = 100;
  auto columns = normal_values(kLength * 8, 107);
  std::copy_n(columns.begin(), kLength, columns.begin() + 3 * kLength);  // the fourth is the first again
  std::fill_n(columns.begin() + 5 * kLength, kLength, 0.0F);
  for (std::size_t i = 0; i < kLength; ++i) columns[6 * kLength + i] *= 1e-30F;
  orthogonalize(columns, kLength, {.seed = 3});
  for (std::size_t a = 0; a < 8; ++a)
    for (std::size_t b = 0; b <= a; ++b)
      EXPECT_NEAR(dot(&columns[a * kLength], &columns[b * kLength], kLength), a == b ? 1 : 0, 1e-5)
          << a << " " << b;
}

}  // namespace
}  // namespace muster::codec
