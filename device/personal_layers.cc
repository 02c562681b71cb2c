// device/personal_layers.cc: parts of a flat vector
#include "device/personal_layers.h"

#include <algorithm>

#include "common/base/check.h"

namespace muster::device {

PersonalLayers::PersonalLayers(std::span<const learning::Tensor> tensors,
                               std::span<const std::string> layers) {
  for (const learning::Tensor& tensor : tensors) {
    const std::string layer = tensor.name.substr(0, tensor.name.find('.'));
    if (std::ranges::find(layers, layer) == layers.end()) continue;
    parts_.push_back(
        {.offset = static_cast<std::size_t>(tensor.offset), .size = static_cast<std::size_t>(tensor.size)});
    size_ += parts_.back().size;
  }
}

std::vector<float> PersonalLayers::of(std::span<const float> parameters) const {
  std::vector<float> own;
  own.reserve(size_);
  for (const Part& part : parts_) {
    const auto values = parameters.subspan(part.offset, part.size);
    own.insert(own.end(), values.begin(), values.end());
  }
  return own;
}

void PersonalLayers::put(std::span<const float> own, std::span<float> parameters) const {
  MUSTER_CHECK(own.size() == size_);
  for (const Part& part : parts_) {
    std::ranges::copy(own.first(part.size), parameters.begin() + static_cast<std::ptrdiff_t>(part.offset));
    own = own.subspan(part.size);
  }
}

void PersonalLayers::clear(std::span<float> delta) const {
  for (const Part& part : parts_) std::ranges::fill(delta.subspan(part.offset, part.size), 0.0F);
}

}  // namespace muster::device
