#pragma once  // tests/fuzz/fuzz.h: what the fuzz targets share. A target is a file with
              // LLVMFuzzerTestOneInput: preset asan links it to libFuzzer, every other build to replay.cc
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/check.h"  // MUSTER_CHECK: what must hold whatever the input

// libFuzzer gives it its name.
extern "C" int LLVMFuzzerTestOneInput(  // NOLINT(readability-identifier-naming)
    const std::uint8_t* data, std::size_t size);

namespace muster::fuzz {

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// The parts of an input, which lines "%%" separate.
inline std::vector<std::string> parts(std::string_view input) {
  std::vector<std::string> all;
  while (true) {
    const auto mark = input.find("\n%%\n");
    all.emplace_back(input.substr(0, mark));
    if (mark == std::string_view::npos) return all;
    input.remove_prefix(mark + 4);
  }
}

// The same for a target with a fixed number of them; missing ones are empty.
inline std::vector<std::string> parts(std::string_view input, std::size_t count) {
  std::vector<std::string> all = parts(input);
  all.resize(count);
  return all;
}

}  // namespace muster::fuzz
