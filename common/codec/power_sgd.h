#pragma once  // common/codec/power_sgd.h: gradients of matrices as products of two thin ones, averaged
              // between ranks
#include <cstdint>
#include <span>
#include <vector>

namespace muster::codec {

struct TensorShape {  // rows x columns values, row by row; of a vector one is 1
  std::size_t rows = 0;
  std::size_t columns = 0;
};

struct PowerSgdOptions {
  std::size_t rank = 1;  // >= 1; of a matrix with fewer rows or columns that many
  double min_compression =
      2;  // matrices that would shrink by less are sent as they are; torch's min_compression_rate
  std::uint64_t seed = 0;  // the same on every rank
};

// PowerSGD, Vogels, Karimireddy & Jaggi, NeurIPS 2019, algorithms 1 and 2. Not a Codec, because it takes two
// sums between ranks, both linear, by any all-reduce. One exchange is
//   message = project(values, step);  // P = M Q of each matrix M = values + residual, and the other tensors
//   as they are <average message over the ranks, in place> message = back_project();           // P made
//   orthonormal; Q = M^T P <average message over the ranks, in place; it may be empty> reconstruct(mean); //
//   P Q^T of each matrix; residual = M - P Q^T
// Q of one exchange begins the next (warm start), which is what makes one step of power iteration enough.
//
// Wire, exact: first_floats() + second_floats() float32 = sum of r (rows + columns) over the compressed
// matrices, plus the others' values. Error: none, once rank(M) <= r over all ranks together and Q has found
// it; else what feedback carries on. sum of means + mean residual = sum of mean values, up to rounding.
//
// State: residual() is of this rank, query() is the same on all. Both belong in a checkpoint; a rank that
// joins copies query() from another and begins with a residual of 0. One thread.
class PowerSgd {
 public:
  PowerSgd(std::span<const TensorShape> tensors, PowerSgdOptions options);

  [[nodiscard]] std::size_t count() const { return residual_.size(); }  // values of all tensors
  [[nodiscard]] std::size_t first_floats() const { return first_.size(); }
  [[nodiscard]] std::size_t second_floats() const { return query_.size(); }

  // values: [count()], of all tensors in their order. step: the same on every rank, another for every
  // exchange. The message lives until the next call.
  [[nodiscard]] std::span<float> project(std::span<const float> values, std::uint64_t step);
  [[nodiscard]] std::span<float> back_project();
  void reconstruct(std::span<float> mean);  // [count()]

  [[nodiscard]] std::span<float> residual() { return residual_; }  // [count()]; 0 where nothing is compressed
  [[nodiscard]] std::span<float> query() { return query_; }        // [second_floats()]; Q of every matrix
  // Between exchanges, on every rank: forgets the residual, and draws Q anew.
  void reset();

 private:
  struct Tensor {
    TensorShape shape;
    std::size_t rank = 0;    // 0: sent as it is
    std::size_t values = 0;  // where its values begin
    std::size_t first = 0;   // where its part of the first message begins
    std::size_t query = 0;   // where its Q begins: rank columns of shape.columns values, one after another
  };
  enum class Stage { kIdle, kProjected, kBackProjected };

  PowerSgdOptions options_;
  std::vector<Tensor> tensors_;
  std::vector<float> first_;  // P of the matrices and the other tensors, in order of the tensors
  std::vector<float> query_;
  std::vector<float> residual_;  // during an exchange M
  Stage stage_ = Stage::kIdle;
  std::uint64_t step_ = 0;
};

}  // namespace muster::codec
