#pragma once  // tests/support/memory_shelf.h: updates in memory, and a shelf that is full when told so
#include <cstddef>
#include <vector>

#include "aggregator/strategy/update_shelf.h"

namespace muster::agg {

class MemoryShelf final : public UpdateShelf {
 public:
  explicit MemoryShelf(std::size_t room = 1000) : room_(room) {}
  Status add(std::span<const float> values) override {
    if (rows_++ == room_) return resource_exhausted("the disk is full");
    values_.insert(values_.end(), values.begin(), values.end());
    return {};
  }
  Result<std::span<const float>> all() override { return std::span<const float>(values_); }
  void clear() override {
    values_.clear();
    rows_ = 0;
  }

 private:
  std::size_t room_;
  std::size_t rows_ = 0;
  std::vector<float> values_;
};

}  // namespace muster::agg
