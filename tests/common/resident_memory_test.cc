// tests/common/resident_memory_test.cc: memory that goes back to the system
#include "common/platform/resident_memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

namespace muster {
namespace {

struct Resident {  // KiB
  std::int64_t code = 0, heap = 0;
};

Resident resident() {
  Resident found;
  bool code = false;
  std::ifstream maps("/proc/self/smaps");
  for (std::string line; std::getline(maps, line);) {
    // "55d0c8a00000-55d0c8a21000 r-xp 00000000 fe:00 1234   /usr/bin/x" heads the figures of a mapping.
    const auto flags = line.find(' ');
    if (line.substr(0, flags).find('-') != std::string::npos) code = line.substr(flags + 1, 3) == "r-x";
    if (line.starts_with("Rss:") && code) found.code += std::stoll(line.substr(4));
    if (line.starts_with("Anonymous:")) found.heap += std::stoll(line.substr(10));
  }
  return found;
}

TEST(ResidentMemory, CodeThatRanOnceIsNoLongerResidentAndRunsAgain) {
  const std::int64_t before = resident().code;
  give_back_memory();
  EXPECT_LT(resident().code, before);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // these have heaps of their own
TEST(ResidentMemory, FreeMemoryUnderMemoryInUseGoesBack) {
  constexpr std::size_t kPieces = 40'000;
  std::vector<std::unique_ptr<char[]>> pieces;
  pieces.reserve(kPieces);
  for (std::size_t i = 0; i < kPieces; ++i) pieces.push_back(std::make_unique<char[]>(1000));
  const std::int64_t full = resident().heap;
  for (std::size_t i = 0; i + 1 < kPieces; ++i) pieces[i].reset();
  give_back_memory();
  EXPECT_LT(resident().heap, full - 30'000);
}

// Without, the second block lies in a heap, below the small one, and stays there when it is freed.
TEST(ResidentMemory, ALargeBlockGoesBackAlsoUnderMemoryInUse) {
  constexpr std::size_t kBytes = std::size_t{24} << 20;
  give_back_large_blocks();
  std::vector<char>(kBytes, 'x').clear();
  const std::int64_t before = resident().heap;
  std::vector<char> second(kBytes, 'x');
  const std::vector<char> small(4000, 'x');
  EXPECT_GT(resident().heap, before + 20'000);
  std::vector<char>().swap(second);
  EXPECT_LT(resident().heap, before + 4'000);
}
#endif

}  // namespace
}  // namespace muster
