#pragma once  // learning/device_model.h: a model whose parameters, gradients and optimizer state lie on one
              // device of libtorch
#include <memory>
#include <string>

#include "common/base/result.h"
#include "learning/model.h"
#include "learning/network.h"

namespace muster::learning {

// "cuda:0" where this program has libtorch's CUDA half (cmake -DMUSTER_TORCH_CUDA=ON) and sees a GPU, else
// empty: models compute in host memory. A process has one GPU; CUDA_VISIBLE_DEVICES says which, empty: none.
[[nodiscard]] std::string gpu();

// `device`: of libtorch ("cuda:0"; "cpu", by which tests run the same code). gradient copies parameters [P]
// to the device and the gradient [P] back, since who calls it exchanges vectors of the host; train_resident
// copies examples to it, and nothing back in a step. Errors: kInvalidArgument: there is no such device,
// or no room on it.
[[nodiscard]] Result<std::unique_ptr<Model>> make_device_model(Network network, const std::string& device);

}  // namespace muster::learning
