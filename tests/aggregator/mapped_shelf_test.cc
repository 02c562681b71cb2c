// tests/aggregator/mapped_shelf_test.cc: updates in a file without a name
#include "aggregator/store/mapped_shelf.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "tests/support/temporary_folder.h"

namespace muster::agg {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kParameters = 10'007;  // no multiple of a page

std::vector<float> update(int number) {
  std::vector<float> values(kParameters);
  std::iota(values.begin(), values.end(), static_cast<float>(number));
  return values;
}

TEST(MappedShelf, GivesBackAllThatWasAddedInOrderRoundAfterRound) {
  const TemporaryFolder folder;
  MappedShelf shelf(folder.path() / "made/on/demand", kParameters);
  EXPECT_TRUE(shelf.all()->empty());
  for (int round = 0; round < 3; ++round) {
    std::vector<float> expected;
    for (int number = 0; number < 5 + round; ++number) {
      const auto values = update(10 * round + number);
      ASSERT_TRUE(shelf.add(values));
      expected.insert(expected.end(), values.begin(), values.end());
      const auto all = shelf.all();  // also while more come
      ASSERT_TRUE(all) << all.error().message;
      ASSERT_TRUE(std::equal(all->begin(), all->end(), expected.begin(), expected.end()));
    }
    shelf.clear();
    EXPECT_TRUE(shelf.all()->empty());
  }
}

TEST(MappedShelf, LeavesNothingInItsFolder) {
  const TemporaryFolder folder;
  MappedShelf shelf(folder.path(), kParameters);
  ASSERT_TRUE(shelf.add(update(1)));
  EXPECT_TRUE(fs::is_empty(folder.path())) << "a killed process leaves no file";
}

TEST(MappedShelf, NamesTheFolderWhereItCannotKeepAnything) {
  const TemporaryFolder folder;
  MappedShelf shelf("/proc/nowhere", kParameters);
  const Status refused = shelf.add(update(1));
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("/proc/nowhere"), std::string::npos) << refused.error().message;
}

TEST(MappedShelf, AFolderWithoutRoomForARoundIsToldBeforeTheFirstUpdate) {
  const TemporaryFolder folder;
  MappedShelf shelf(folder.path(), kParameters, std::size_t{1} << 50);
  const Status refused = shelf.add(update(1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kResourceExhausted);
  EXPECT_NE(refused.error().message.find("lower spec.cohort.size"), std::string::npos)
      << refused.error().message;
  MappedShelf fits(folder.path(), kParameters, 3);
  EXPECT_TRUE(fits.add(update(1)));
}

}  // namespace
}  // namespace muster::agg
