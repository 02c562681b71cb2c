#pragma once  // common/base/quantity.h: Kubernetes quantities ("500m", "64Mi", "1e3")
#include <optional>
#include <string_view>

namespace muster {

struct Quantity {
  long double value = 0;
  bool binary = false;    // written with Ki, Mi, ...
  bool exponent = false;  // written as 1e3
};

// Nothing if it is not a quantity.
[[nodiscard]] std::optional<Quantity> parse_quantity(std::string_view text);

// The suffix that multiplies by `base` to the power of `exponent` (10 to the 3: "k", 2 to the 20: "Mi"); null
// if there is none.
[[nodiscard]] const char* quantity_suffix(int base, int exponent);

}  // namespace muster
