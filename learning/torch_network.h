#pragma once  // learning/torch_network.h: a network's forward and backward passes as ATen calls, wherever its
              // tensors lie
#include <ATen/ATen.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <vector>

#include "learning/network.h"

namespace muster::learning {

// Runs `body` without autograd. torch tells of programmer's errors (shapes) and of exhausted memory by
// exceptions; neither can be answered here.
template <typename Body>
auto guarded(Body body) {
  try {
    const c10::InferenceMode no_autograd;
    return body();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "libtorch: %s\n", error.what());
    std::abort();
  }
}

struct Layer {  // views of one layer's weight and bias
  at::Tensor weight;
  at::Tensor bias;
};

struct Block {  // what the backward pass of a convolution block needs
  at::Tensor input;
  at::Tensor convolved;
  at::Tensor chosen;  // indices of the maxima
  at::Tensor output;
};

struct Pass {
  std::vector<Block> blocks;
  std::vector<at::Tensor> dense_inputs;
  at::Tensor logits;  // [n, classes], contiguous
};

// `features` [n, F], float32, on the device of `layers`.
[[nodiscard]] Pass forward(const Network& network, const std::vector<Layer>& layers,
                           const at::Tensor& features);

// Adds the gradients of one chunk to `sums`, given the loss's gradient by the logits, `flow` [n, classes].
// Calls done(layer) after each.
void backward(const Network& network, const std::vector<Layer>& layers, const Pass& pass, at::Tensor flow,
              std::vector<Layer>& sums, const std::function<void(std::size_t layer)>& done);

}  // namespace muster::learning
