// common/codec/power_sgd.cc
#include "common/codec/power_sgd.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/codec/kernels.h"
#include "common/codec/orthogonalize.h"

namespace muster::codec {

namespace {

// The rank at which a matrix is sent; 0: not compressed.
std::size_t sent_rank(const TensorShape& shape, const PowerSgdOptions& options) {
  const std::size_t rank = std::min({options.rank, shape.rows, shape.columns});
  const auto compressed = static_cast<double>(rank * (shape.rows + shape.columns));
  return compressed * options.min_compression < static_cast<double>(shape.rows * shape.columns) ? rank : 0;
}

}  // namespace

PowerSgd::PowerSgd(std::span<const TensorShape> tensors, PowerSgdOptions options) : options_(options) {
  MUSTER_CHECK(options.rank >= 1);
  std::size_t values = 0;
  std::size_t first = 0;
  std::size_t query = 0;
  for (const TensorShape& shape : tensors) {
    const std::size_t rank = sent_rank(shape, options);
    tensors_.push_back({shape, rank, values, first, query});
    values += shape.rows * shape.columns;
    first += rank > 0 ? rank * shape.rows : shape.rows * shape.columns;
    query += rank * shape.columns;
  }
  residual_.resize(values);
  first_.resize(first);
  query_.resize(query);
  reset();
}

void PowerSgd::reset() {
  MUSTER_CHECK(stage_ == Stage::kIdle);
  std::fill(residual_.begin(), residual_.end(), 0.0F);
  draw_uniform(query_, {.seed = options_.seed});
}

std::span<float> PowerSgd::project(std::span<const float> values, std::uint64_t step) {
  MUSTER_CHECK(stage_ == Stage::kIdle && values.size() == count());
  stage_ = Stage::kProjected;
  step_ = step;
  kernels::add_weighted(residual_.data(), values.data(), 1, values.size());
  for (std::size_t index = 0; index < tensors_.size(); ++index) {
    const Tensor& tensor = tensors_[index];
    const auto [rows, columns] = tensor.shape;
    const float* const matrix = residual_.data() + tensor.values;
    float* const message = first_.data() + tensor.first;
    if (tensor.rank == 0) {
      std::copy_n(matrix, rows * columns, message);
      continue;
    }
    const auto query = std::span(query_).subspan(tensor.query, tensor.rank * columns);
    orthogonalize(query, columns,
                  {.seed = options_.seed, .step = 2 * step_, .bucket = static_cast<std::uint32_t>(index)});
    for (std::size_t row = 0; row < rows; ++row)
      for (std::size_t k = 0; k < tensor.rank; ++k)
        message[k * rows + row] =
            static_cast<float>(dot(matrix + row * columns, query.data() + k * columns, columns));
  }
  return first_;
}

std::span<float> PowerSgd::back_project() {
  MUSTER_CHECK(stage_ == Stage::kProjected);
  stage_ = Stage::kBackProjected;
  std::fill(query_.begin(), query_.end(), 0.0F);
  for (std::size_t index = 0; index < tensors_.size(); ++index) {
    const Tensor& tensor = tensors_[index];
    if (tensor.rank == 0) continue;
    const auto [rows, columns] = tensor.shape;
    const auto left = std::span(first_).subspan(tensor.first, tensor.rank * rows);
    orthogonalize(
        left, rows,
        {.seed = options_.seed, .step = 2 * step_ + 1, .bucket = static_cast<std::uint32_t>(index)});
    for (std::size_t row = 0; row < rows; ++row)
      for (std::size_t k = 0; k < tensor.rank; ++k)
        kernels::add_weighted(query_.data() + tensor.query + k * columns,
                              residual_.data() + tensor.values + row * columns, left[k * rows + row],
                              columns);
  }
  return query_;
}

void PowerSgd::reconstruct(std::span<float> mean) {
  MUSTER_CHECK(stage_ == Stage::kBackProjected && mean.size() == count());
  stage_ = Stage::kIdle;
  for (const Tensor& tensor : tensors_) {
    const auto [rows, columns] = tensor.shape;
    const float* const message = first_.data() + tensor.first;
    float* const out = mean.data() + tensor.values;
    float* const residual = residual_.data() + tensor.values;
    if (tensor.rank == 0) {
      std::copy_n(message, rows * columns, out);
      std::fill_n(residual, rows * columns, 0.0F);
      continue;
    }
    std::fill_n(out, rows * columns, 0.0F);
    for (std::size_t row = 0; row < rows; ++row)
      for (std::size_t k = 0; k < tensor.rank; ++k)
        kernels::add_weighted(out + row * columns, query_.data() + tensor.query + k * columns,
                              message[k * rows + row], columns);
    kernels::add_weighted(residual, out, -1, rows * columns);
    kernels::clear_not_finite(residual, rows * columns);
  }
}

}  // namespace muster::codec
