#pragma once  // device/personal_layers.h: the parts of a model that are a device's own. Pure
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "learning/model.h"

namespace muster::device {

// Arivazhagan et al. 2019, "Federated Learning with Personalization Layers": the others are learnt together.
class PersonalLayers {
 public:
  PersonalLayers() = default;  // none
  // Tensors named "<layer>.<anything>", for each of `layers`.
  PersonalLayers(std::span<const learning::Tensor> tensors, std::span<const std::string> layers);

  [[nodiscard]] bool empty() const { return parts_.empty(); }
  [[nodiscard]] std::size_t size() const { return size_; }  // values, of all together
  // Their values in `parameters` [P], one behind the other, and back.
  [[nodiscard]] std::vector<float> of(std::span<const float> parameters) const;
  void put(std::span<const float> own, std::span<float> parameters) const;
  void clear(std::span<float> delta) const;  // nothing of them leaves the device

 private:
  struct Part {
    std::size_t offset = 0;
    std::size_t size = 0;
  };
  std::vector<Part> parts_;
  std::size_t size_ = 0;
};

}  // namespace muster::device
