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

std::int64_t heap() {  // KiB
  std::int64_t sum = 0;
  std::ifstream maps("/proc/self/smaps");
  for (std::string line; std::getline(maps, line);)
    if (line.starts_with("Anonymous:")) sum += std::stoll(line.substr(10));
  return sum;
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // these have heaps of their own
TEST(ResidentMemory, FreeMemoryUnderMemoryInUseGoesBack) {
  constexpr std::size_t kPieces = 40'000;
  std::vector<std::unique_ptr<char[]>> pieces;
  pieces.reserve(kPieces);
  for (std::size_t i = 0; i < kPieces; ++i) pieces.push_back(std::make_unique<char[]>(1000));
  const std::int64_t full = heap();
  for (std::size_t i = 0; i + 1 < kPieces; ++i) pieces[i].reset();
  give_back_memory();
  EXPECT_LT(heap(), full - 30'000);
}

// Without, the second block lies in a heap, below the small one, and stays there when it is freed.
TEST(ResidentMemory, ALargeBlockGoesBackAlsoUnderMemoryInUse) {
  constexpr std::size_t kBytes = std::size_t{24} << 20;
  give_back_large_blocks();
  std::vector<char>(kBytes, 'x').clear();
  const std::int64_t before = heap();
  std::vector<char> second(kBytes, 'x');
  const std::vector<char> small(4000, 'x');
  EXPECT_GT(heap(), before + 20'000);
  std::vector<char>().swap(second);
  EXPECT_LT(heap(), before + 4'000);
}
#endif

}  // namespace
}  // namespace muster
