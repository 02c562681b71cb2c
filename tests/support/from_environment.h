#pragma once  // tests/support/from_environment.h: the seed of a random test, for one that failed to be run
              // again
#include <cstdint>
#include <cstdlib>

namespace muster {

inline std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

}  // namespace muster
