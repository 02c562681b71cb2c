#pragma once  // learning/network.h: the built-in models as data: layers, their parameters, their first values
#include <cstdint>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "learning/model.h"

namespace muster::learning {

struct Convolution {         // no padding, stride 1; then 2 x 2 max pooling; then ReLU
  std::int64_t inputs = 0;   // channels
  std::int64_t outputs = 0;  // channels
  std::int64_t kernel = 0;
};
struct Dense {  // ReLU follows, but after the last
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;
};

struct Network {
  std::int64_t rows = 0;  // of an image; unused without convolutions
  std::int64_t columns = 0;
  std::vector<Convolution> convolutions;
  std::vector<Dense> denses;    // the last one's outputs are the classes
  std::vector<Tensor> tensors;  // a weight and a bias for each layer, in order
  std::int64_t parameter_count = 0;
};

// softmax: one dense layer; mlp: spec.hidden, then the classes; cnn: two convolutions and two dense layers.
// Errors: kInvalidArgument when the model does not fit the data.
[[nodiscard]] Result<Network> make_network(const spec::Model& model, const Examples& like);

// Biases 0; weights uniform in +-sqrt(6 / fan_in) before a ReLU (He 2015), +-sqrt(6 / (fan_in + fan_out)) in
// the last layer (Glorot 2010). A function of `seed` alone.
[[nodiscard]] std::vector<float> initial_parameters_of(const Network& network, std::uint64_t seed);

}  // namespace muster::learning
