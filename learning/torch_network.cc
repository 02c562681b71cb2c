// learning/torch_network.cc: the passes, written out: at these sizes autograd costs more than the arithmetic
#include "learning/torch_network.h"

#include <ATen/ATen.h>

#include <tuple>
#include <utility>

namespace muster::learning {
namespace {

constexpr std::int64_t kPair[] = {2, 2};
constexpr std::int64_t kOnes[] = {1, 1};
constexpr std::int64_t kZeros[] = {0, 0};

}  // namespace

Pass forward(const Network& network, const std::vector<Layer>& layers, const at::Tensor& features) {
  Pass pass;
  at::Tensor value = features;
  const std::int64_t rows = features.size(0);
  if (!network.convolutions.empty()) value = value.view({rows, 1, network.rows, network.columns});
  std::size_t layer = 0;
  for (; layer < network.convolutions.size(); ++layer) {
    Block block;
    block.input = value;
    block.convolved = at::convolution(value, layers[layer].weight, layers[layer].bias, kOnes, kZeros, kOnes,
                                      /*transposed=*/false, kZeros, /*groups=*/1);
    std::tie(block.output, block.chosen) = at::max_pool2d_with_indices(block.convolved, kPair, kPair);
    block.output.relu_();  // after the pooling: the same values, a quarter of the work
    value = block.output;
    pass.blocks.push_back(std::move(block));
  }
  value = value.reshape({rows, -1});
  for (; layer < layers.size(); ++layer) {
    pass.dense_inputs.push_back(value);
    value = at::addmm(layers[layer].bias, value, layers[layer].weight.t());
    if (layer + 1 < layers.size()) value.relu_();
  }
  pass.logits = std::move(value);
  return pass;
}

void backward(const Network& network, const std::vector<Layer>& layers, const Pass& pass, at::Tensor flow,
              std::vector<Layer>& sums, const std::function<void(std::size_t)>& done) {
  std::size_t layer = layers.size();
  for (std::size_t dense = network.denses.size(); dense > 0; --dense) {
    --layer;
    const at::Tensor& input = pass.dense_inputs[dense - 1];
    sums[layer].weight.addmm_(flow.t(), input);
    sums[layer].bias.add_(flow.sum(0));
    done(layer);
    if (layer == 0) return;
    flow = at::mm(flow, layers[layer].weight);
    flow = at::threshold_backward(flow, input, 0);  // every layer but the first follows a ReLU
  }
  while (layer > 0) {
    --layer;
    const Block& block = pass.blocks[layer];
    if (layer + 1 < pass.blocks.size()) flow = at::threshold_backward(flow, block.output, 0);
    flow = at::max_pool2d_with_indices_backward(flow.view(block.output.sizes()), block.convolved, kPair,
                                                kPair, kZeros, kOnes, /*ceil_mode=*/false, block.chosen);
    auto [by_input, by_weight, by_bias] = at::convolution_backward(
        flow, block.input, layers[layer].weight, layers[layer].bias.sizes(), kOnes, kZeros, kOnes,
        /*transposed=*/false, kZeros, /*groups=*/1, {layer > 0, true, true});
    sums[layer].weight.add_(by_weight);
    sums[layer].bias.add_(by_bias);
    done(layer);
    flow = std::move(by_input);
  }
}

}  // namespace muster::learning
