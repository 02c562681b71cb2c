#pragma once  // aggregator/strategy/update_shelf.h: where the updates of a round lie until all are there
#include <span>

#include "common/base/result.h"

namespace muster::agg {

// For strategies that need every update of a round at once. One thread at a time; built for a fixed P.
class UpdateShelf {
 public:
  virtual ~UpdateShelf() = default;
  // Keeps a copy of `values` [P] behind the others. Errors: kResourceExhausted, kPermissionDenied and so on,
  // as files have them: it is not kept, the others are.
  [[nodiscard]] virtual Status add(std::span<const float> values) = 0;
  // All of them, [n, P] row-major in the order of add(); good until the next add() or clear(). Errors:
  // likewise.
  [[nodiscard]] virtual Result<std::span<const float>> all() = 0;
  virtual void clear() = 0;
};

}  // namespace muster::agg
