// learning/network.cc: shapes and first values of softmax, mlp and cnn
#include "learning/network.h"

#include <fmt/format.h>

#include <cmath>

#include "common/base/random.h"

namespace muster::learning {
namespace {

// The cnn's widths: chosen by measurement (accuracy against images/s, bench/learning), and such that
// 28 x 28 images in 10 classes give a parameter count divisible by 2520, so that a ring of up to 10 workers
// has equal chunks.
constexpr std::int64_t kFirstChannels = 8;
constexpr std::int64_t kFirstKernel = 5;
constexpr std::int64_t kSecondChannels = 22;
constexpr std::int64_t kSecondKernel = 3;
constexpr std::int64_t kHiddenWidth = 136;
constexpr std::int64_t kSmallestImage = 12;  // 12 -> 8 -> 4 -> 2 -> 1

std::int64_t after_block(std::int64_t extent, std::int64_t kernel) { return (extent - kernel + 1) / 2; }

void add_tensor(Network& network, std::string name, std::vector<std::int64_t> shape) {
  std::int64_t size = 1;
  for (const std::int64_t extent : shape) size *= extent;
  network.tensors.push_back({std::move(name), std::move(shape), network.parameter_count, size});
  network.parameter_count += size;
}

void add_convolution(Network& network, std::int64_t inputs, std::int64_t outputs, std::int64_t kernel) {
  network.convolutions.push_back({inputs, outputs, kernel});
  const std::string name = fmt::format("conv{}", network.convolutions.size());
  add_tensor(network, name + ".weight", {outputs, inputs, kernel, kernel});
  add_tensor(network, name + ".bias", {outputs});
}

void add_dense(Network& network, std::int64_t inputs, std::int64_t outputs) {
  network.denses.push_back({inputs, outputs});
  const std::string name = fmt::format("dense{}", network.denses.size());
  add_tensor(network, name + ".weight", {outputs, inputs});
  add_tensor(network, name + ".bias", {outputs});
}

Status add_cnn(Network& network, const Examples& like) {
  if (like.shape.size() != 2 || like.shape[0] < kSmallestImage || like.shape[1] < kSmallestImage)
    return invalid_argument(fmt::format(
        "model cnn: examples have the shape [{}], it needs images of at least {} x {}; use mlp or softmax",
        fmt::join(like.shape, ", "), kSmallestImage, kSmallestImage));
  network.rows = like.shape[0];
  network.columns = like.shape[1];
  add_convolution(network, 1, kFirstChannels, kFirstKernel);
  add_convolution(network, kFirstChannels, kSecondChannels, kSecondKernel);
  const std::int64_t rows = after_block(after_block(network.rows, kFirstKernel), kSecondKernel);
  const std::int64_t columns = after_block(after_block(network.columns, kFirstKernel), kSecondKernel);
  add_dense(network, kSecondChannels * rows * columns, kHiddenWidth);
  add_dense(network, kHiddenWidth, like.class_count);
  return {};
}

}  // namespace

Result<Network> make_network(const spec::Model& model, const Examples& like) {
  if (like.feature_count < 1 || like.class_count < 1)
    return invalid_argument(
        fmt::format("model {}: the data has {} features and {} classes, it needs at least one of each",
                    model.name, like.feature_count, like.class_count));
  Network network;
  if (model.name == "cnn") {
    MUSTER_TRY(add_cnn(network, like));
  } else if (model.name == "softmax" || model.name == "mlp") {
    std::int64_t inputs = like.feature_count;
    if (model.name == "mlp") {
      for (const std::int64_t width : model.hidden) {
        if (width < 1)
          return invalid_argument(fmt::format("model mlp: a hidden width is {}, must be at least 1", width));
        add_dense(network, inputs, width);
        inputs = width;
      }
    }
    add_dense(network, inputs, like.class_count);
  } else {
    return invalid_argument(fmt::format("model \"{}\" is unknown; use softmax, mlp or cnn", model.name));
  }
  return network;
}

std::vector<float> initial_parameters_of(const Network& network, std::uint64_t seed) {
  std::vector<float> parameters(static_cast<std::size_t>(network.parameter_count));
  for (std::size_t i = 0; i < network.tensors.size(); i += 2) {  // weights; the biases between them stay zero
    const Tensor& weight = network.tensors[i];
    const auto outputs = static_cast<double>(weight.shape[0]);
    const auto inputs = static_cast<double>(weight.size) / outputs;
    const bool last = i + 2 == network.tensors.size();
    const double bound = std::sqrt(6.0 / (last ? inputs + outputs : inputs));
    Random random(hash_key(seed, i));
    for (std::int64_t k = 0; k < weight.size; ++k)
      parameters[static_cast<std::size_t>(weight.offset + k)] =
          static_cast<float>(bound * (2.0 * random.uniform() - 1.0));
  }
  return parameters;
}

}  // namespace muster::learning
