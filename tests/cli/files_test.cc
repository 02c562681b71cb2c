// tests/cli/files_test.cc: what cli/files promises
#include "cli/files.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/platform/file_descriptor.h"
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

TEST_F(Files, ALinkADeviceOrAPipeIsWrittenIntoAndStays) {
  namespace fs = std::filesystem;
  ASSERT_TRUE(write_file(folder_ / "file", "before"));
  fs::create_symlink("file", folder_ / "link");
  ASSERT_TRUE(write_output(folder_ / "link", "new"));
  EXPECT_TRUE(fs::is_symlink(folder_ / "link"));
  EXPECT_EQ(read_file((folder_ / "file").string(), 10).value(), "new");

  const std::string pipe = (folder_ / "pipe").string();
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const FileDescriptor reader(::open(pipe.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  ASSERT_TRUE(write_output(pipe, "new"));
  EXPECT_TRUE(fs::is_fifo(pipe));
  char bytes[8] = {};
  EXPECT_EQ(::read(reader.get(), bytes, sizeof bytes), 3);

  ASSERT_TRUE(write_output(folder_ / "none", "new"));
  EXPECT_EQ(read_file((folder_ / "none").string(), 10).value(), "new");
}

// In a folder of all, somebody else may have put a link where the temporary file goes.
TEST_F(Files, ALinkInThePlaceOfTheTemporaryFileIsNotFollowed) {
  ASSERT_TRUE(write_file(folder_ / "precious", "before"));
  const std::string temporary = "out." + std::to_string(::getpid()) + ".tmp";
  std::filesystem::create_symlink("precious", folder_ / temporary);
  ASSERT_TRUE(write_file(folder_ / "out", "new"));
  EXPECT_EQ(read_file((folder_ / "precious").string(), 10).value(), "before");
  EXPECT_FALSE(std::filesystem::is_symlink(folder_ / "out"));
  EXPECT_EQ(read_file((folder_ / "out").string(), 10).value(), "new");
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
