#pragma once  // learning/model.h: a model with its objective, on flat parameters; the only door to libtorch
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/spec/training.h"
#include "learning/dataset.h"

namespace muster::learning {

struct Tensor {                     // one named parameter inside the flat vector
  std::string name;                 // e.g. "conv1.weight"
  std::vector<std::int64_t> shape;  // row-major
  std::int64_t offset = 0;          // index of its first element
  std::int64_t size = 0;            // elements
};

struct Evaluation {
  double loss = 0;      // mean over the examples
  double accuracy = 0;  // 0..1
};

// Parameters, gradient and optimizer state that stay where a model computes: a step brings nothing back to
// the host. Not thread-safe; ends before its model, and may not be mixed with its calls from other threads.
class ResidentTraining {
 public:
  virtual ~ResidentTraining() = default;
  // One step of the optimizer by the mean loss over the examples `rows` (not empty). Returns before it is
  // done, where the device works by itself.
  virtual void step(const Examples& data, std::span<const std::int64_t> rows) = 0;
  // The mean of the losses of the steps since the last call, which may be NaN; 0: there was none. Waits.
  [[nodiscard]] virtual double mean_loss() = 0;
  virtual void read(std::span<float> parameters) = 0;  // copies them to [P]. Waits.
};

// One model instance; not thread-safe, but distinct instances may run on distinct threads.
class Model {
 public:
  virtual ~Model() = default;
  [[nodiscard]] virtual std::span<const Tensor> tensors() const = 0;  // in model order, no gaps
  [[nodiscard]] virtual std::int64_t parameter_count() const = 0;     // P
  // Fresh parameters [P], a function of `seed` alone.
  [[nodiscard]] virtual std::vector<float> initial_parameters(std::uint64_t seed) const = 0;
  // Mean loss over the examples `rows` (indices into `data`, not empty) at `parameters` [P], and its
  // gradient written to `gradient` [P]. Same inputs, same bits. Returns the loss, which may be NaN.
  [[nodiscard]] virtual double gradient(std::span<const float> parameters, const Examples& data,
                                        std::span<const std::int64_t> rows, std::span<float> gradient) = 0;
  // The same bits; says meanwhile, from the calling thread, which elements of `gradient` are final and not
  // touched any more: each at most once, in any order. What was not told is final on return.
  using Ready = std::function<void(std::size_t first, std::size_t size)>;
  [[nodiscard]] virtual double gradient_by_parts(std::span<const float> parameters, const Examples& data,
                                                 std::span<const std::int64_t> rows,
                                                 std::span<float> gradient, const Ready& /*ready*/) {
    return this->gradient(parameters, data, rows, gradient);
  }
  // The same loss alone, up to rounding. A model that can tell it for less than gradient costs does so.
  [[nodiscard]] virtual double loss(std::span<const float> parameters, const Examples& data,
                                    std::span<const std::int64_t> rows) {
    std::vector<float> unused(parameters.size());
    return gradient(parameters, data, rows, unused);
  }
  // Where it computes, as libtorch names it. Vectors that its calls are given are the host's everywhere.
  [[nodiscard]] virtual std::string device() const { return "cpu"; }
  // A training from `parameters` [P] where they stay on the device, for steps that nobody else has a part in.
  // nullptr: it computes in the host's memory, where gradient and an Optimizer do the same.
  [[nodiscard]] virtual std::unique_ptr<ResidentTraining> train_resident(
      const spec::Optimizer& /*optimizer*/, std::span<const float> /*parameters*/) {
    return nullptr;
  }
  // Loss and accuracy over all of `data`; an empty one gives zeros.
  [[nodiscard]] virtual Evaluation evaluate(std::span<const float> parameters, const Examples& data) = 0;
};

// On the GPU, where there is one (learning/device_model.h).
// Errors: kInvalidArgument when the model does not fit the data (cnn needs images of at least 12 x 12).
[[nodiscard]] Result<std::unique_ptr<Model>> make_model(const spec::Model& model, const Examples& like);

// Threads that libtorch may use inside one operation, for the whole process; call before any model.
void set_compute_threads(int threads);

}  // namespace muster::learning
