// learning/torch_model.cc: forward and backward passes as ATen calls on views into flat vectors
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <dlfcn.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <mutex>

#include "common/base/check.h"
#include "learning/device_model.h"
#include "learning/model.h"
#include "learning/network.h"
#include "learning/openblas.h"
#include "learning/torch_network.h"

namespace muster::learning {
namespace {

// Rows that pass through the network together: activations then stay in the L2 cache and below malloc's mmap
// threshold (measured on the cnn: 2.3 times the images/s of 64 rows).
constexpr std::int64_t kRowsAtOnce = 32;

at::Tensor view(const float* data, at::IntArrayRef shape) {
  return at::from_blob(const_cast<float*>(data), shape, at::kFloat);  // NOLINT: torch has no const tensors
}

std::vector<Layer> views_of(const Network& network, const float* flat) {
  std::vector<Layer> layers;
  layers.reserve(network.tensors.size() / 2);
  for (std::size_t i = 0; i < network.tensors.size(); i += 2) {
    const Tensor& weight = network.tensors[i];
    const Tensor& bias = network.tensors[i + 1];
    layers.push_back({view(flat + weight.offset, weight.shape), view(flat + bias.offset, bias.shape)});
  }
  return layers;
}

struct Objective {
  double loss_sum = 0;
  std::int64_t correct = 0;
};

// Softmax cross-entropy of `logits` [n, classes]; with `scale` != 0 they are overwritten by scale times its
// gradient.
Objective cross_entropy(float* logits, std::int64_t classes, std::span<const std::int32_t> labels,
                        float scale) {
  Objective objective;
  for (const std::int32_t label : labels) {
    const float* const largest = std::max_element(logits, logits + classes);
    const float shift = *largest;
    if (largest - logits == label) ++objective.correct;
    double sum = 0;
    for (std::int64_t c = 0; c < classes; ++c) sum += std::exp(static_cast<double>(logits[c] - shift));
    objective.loss_sum += std::log(sum) - static_cast<double>(logits[label] - shift);
    if (scale != 0) {
      const double log_sum = std::log(sum);
      for (std::int64_t c = 0; c < classes; ++c) {
        const double probability = std::exp(static_cast<double>(logits[c] - shift) - log_sum);
        logits[c] = scale * static_cast<float>(probability - (c == label ? 1.0 : 0.0));
      }
    }
    logits += classes;
  }
  return objective;
}

class TorchModel : public Model {
 public:
  explicit TorchModel(Network network)
      : network_(std::move(network)),
        classes_(network_.denses.back().outputs),
        feature_count_(network_.convolutions.empty() ? network_.denses.front().inputs
                                                     : network_.rows * network_.columns),
        features_(static_cast<std::size_t>(kRowsAtOnce * feature_count_)),
        labels_(static_cast<std::size_t>(kRowsAtOnce)) {}

  std::span<const Tensor> tensors() const override { return network_.tensors; }
  std::int64_t parameter_count() const override { return network_.parameter_count; }
  std::vector<float> initial_parameters(std::uint64_t seed) const override {
    return initial_parameters_of(network_, seed);
  }

  double gradient(std::span<const float> parameters, const Examples& data, std::span<const std::int64_t> rows,
                  std::span<float> gradient) override {
    return gradient_by_parts(parameters, data, rows, gradient, {});
  }

  double gradient_by_parts(std::span<const float> parameters, const Examples& data,
                           std::span<const std::int64_t> rows, std::span<float> gradient,
                           const Ready& ready) override {
    check_fits(parameters, data);
    MUSTER_CHECK(!rows.empty() && gradient.size() == parameters.size());
    return guarded([&] {
      std::fill(gradient.begin(), gradient.end(), 0.0F);
      const auto layers = views_of(network_, parameters.data());
      auto sums = views_of(network_, gradient.data());
      const float scale = 1.0F / static_cast<float>(rows.size());
      double loss = 0;
      for (std::size_t begin = 0; begin < rows.size(); begin += kRowsAtOnce) {
        const auto chunk = rows.subspan(begin, std::min<std::size_t>(kRowsAtOnce, rows.size() - begin));
        gather(data, chunk);
        Pass pass = forward(network_, layers, view(features_.data(), {std::ssize(chunk), feature_count_}));
        loss += cross_entropy(pass.logits.data_ptr<float>(), classes_, std::span(labels_).first(chunk.size()),
                              scale)
                    .loss_sum;
        // The sums over the rows are whole with the last of them.
        const bool last = begin + chunk.size() == rows.size();
        backward(network_, layers, pass, pass.logits, sums, [&](std::size_t layer) {
          if (last && ready) tell(layer, ready);
        });
      }
      return loss / static_cast<double>(rows.size());
    });
  }

  double loss(std::span<const float> parameters, const Examples& data,
              std::span<const std::int64_t> rows) override {
    check_fits(parameters, data);
    MUSTER_CHECK(!rows.empty());
    return guarded([&] {
      const auto layers = views_of(network_, parameters.data());
      double sum = 0;
      for (std::size_t begin = 0; begin < rows.size(); begin += kRowsAtOnce) {
        const auto chunk = rows.subspan(begin, std::min<std::size_t>(kRowsAtOnce, rows.size() - begin));
        gather(data, chunk);
        const Pass pass =
            forward(network_, layers, view(features_.data(), {std::ssize(chunk), feature_count_}));
        sum +=
            cross_entropy(pass.logits.data_ptr<float>(), classes_, std::span(labels_).first(chunk.size()), 0)
                .loss_sum;
      }
      return sum / static_cast<double>(rows.size());
    });
  }

  Evaluation evaluate(std::span<const float> parameters, const Examples& data) override {
    check_fits(parameters, data);
    if (data.size() == 0) return {};
    return guarded([&] {
      const auto layers = views_of(network_, parameters.data());
      Objective total;
      for (std::int64_t begin = 0; begin < data.size(); begin += kRowsAtOnce) {
        const std::int64_t count = std::min(kRowsAtOnce, data.size() - begin);
        data.copy_features(begin, count, features_.data());
        const Pass pass = forward(network_, layers, view(features_.data(), {count, feature_count_}));
        const auto labels =
            std::span(data.labels).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count));
        const Objective part = cross_entropy(pass.logits.data_ptr<float>(), classes_, labels, 0);
        total.loss_sum += part.loss_sum;
        total.correct += part.correct;
      }
      const auto count = static_cast<double>(data.size());
      return Evaluation{total.loss_sum / count, static_cast<double>(total.correct) / count};
    });
  }

 private:
  void tell(std::size_t layer, const Ready& ready) const {
    const Tensor& weight = network_.tensors[2 * layer];
    const Tensor& bias = network_.tensors[2 * layer + 1];
    ready(static_cast<std::size_t>(weight.offset), static_cast<std::size_t>(weight.size));
    ready(static_cast<std::size_t>(bias.offset), static_cast<std::size_t>(bias.size));
  }

  void check_fits(std::span<const float> parameters, const Examples& data) const {
    MUSTER_CHECK(std::ssize(parameters) == network_.parameter_count);
    MUSTER_CHECK(data.feature_count == feature_count_ && data.class_count <= classes_);
  }

  // Copies the chunk's features and labels to the scratch buffers.
  void gather(const Examples& data, std::span<const std::int64_t> rows) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      MUSTER_CHECK(rows[i] >= 0 && rows[i] < data.size());
      data.copy_features(rows[i], 1, features_.data() + static_cast<std::int64_t>(i) * feature_count_);
      labels_[i] = data.labels[static_cast<std::size_t>(rows[i])];
    }
  }

  Network network_;
  std::int64_t classes_;
  std::int64_t feature_count_;
  std::vector<float> features_;       // scratch [kRowsAtOnce, feature_count_]
  std::vector<std::int32_t> labels_;  // scratch [kRowsAtOnce]
};

// One thread unless someone asked for more: many pods share a machine.
std::once_flag threads_set;
// While the program is loaded, before it has threads.
[[maybe_unused]] const bool kernels_chosen = (use_better_kernels(), true);

void apply_threads(int threads) {
  at::set_num_threads(threads);
  // OpenBLAS built on pthreads keeps its own count, which torch does not know of.
  if (void* symbol = ::dlsym(RTLD_DEFAULT, "openblas_set_num_threads"); symbol != nullptr)
    reinterpret_cast<void (*)(int)>(symbol)(threads);
}

}  // namespace

Result<std::unique_ptr<Model>> make_model(const spec::Model& model, const Examples& like) {
  MUSTER_ASSIGN(Network network, make_network(model, like));
  try {
    std::call_once(threads_set, [] { apply_threads(1); });
    // At these sizes im2col and a matrix product beat oneDNN, whose primitives cost more to look up than to
    // run.
    at::globalContext().setUserEnabledMkldnn(false);
    if (const std::string device = gpu(); !device.empty())
      return make_device_model(std::move(network), device);
    return std::unique_ptr<Model>(std::make_unique<TorchModel>(std::move(network)));
  } catch (const std::exception& error) {
    return internal_error("model " + model.name + ": libtorch: " + error.what());
  }
}

void set_compute_threads(int threads) {
  MUSTER_CHECK(threads >= 1);
  std::call_once(threads_set, [] {});
  apply_threads(threads);
}

}  // namespace muster::learning
