// tests/cli/files_test.cc: what cli/files promises
#include "cli/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/support/temporary_folder.h"

namespace muster::cli {
namespace {

class Files : public ::testing::Test {
 protected:
  TemporaryFolder temporary_;
  std::filesystem::path folder_ = temporary_.path();
};

TEST_F(Files, WritesReadsAndCopiesWholeFiles) {
  const std::string content(200'000, 'x');
  ASSERT_TRUE(write_file(folder_ / "a" / "b", content));
  ASSERT_TRUE(cli::copy_file(folder_ / "a" / "b", folder_ / "c" / "d"));
  EXPECT_EQ(read_file((folder_ / "c" / "d").string(), 1 << 20).value(), content);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_ / "c"), {}), 1)
      << "no temporary file is left";
}

TEST_F(Files, ErrorsNameTheFileAndTheReason) {
  const auto missing = read_file((folder_ / "none").string(), 10);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::kNotFound);
  EXPECT_THAT(missing.error().message, ::testing::HasSubstr("none: No such file"));
  const auto directory = read_file(folder_.string(), 10);
  ASSERT_FALSE(directory);
  EXPECT_THAT(directory.error().message, ::testing::HasSubstr("is a folder"));
  ASSERT_TRUE(write_file(folder_ / "big", "12345678901"));
  EXPECT_FALSE(read_file((folder_ / "big").string(), 10));
  EXPECT_FALSE(write_file(folder_ / "big" / "below", "x"));
}

}  // namespace
}  // namespace muster::cli
