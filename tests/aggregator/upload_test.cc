// tests/aggregator/upload_test.cc: the room for updates on their way in, and who gets it
#include "aggregator/shell/upload.h"

#include <gtest/gtest.h>

namespace muster::agg {
namespace {

using federation::v1::Chunk;
using federation::v1::UploadHeader;

constexpr std::uint64_t kUpdateBytes = 8;

UploadHeader header_of(const std::string& task, std::uint64_t offset = 0) {
  UploadHeader header;
  header.set_task_id(task);
  header.set_update_bytes(kUpdateBytes);
  header.set_offset(offset);
  return header;
}

Chunk half() {
  Chunk chunk;
  chunk.set_data("abcd");
  return chunk;
}

class UploadDeskTest : public testing::Test {
 protected:
  // Half an update comes, then the call breaks.
  void break_upload(const std::string& task) {
    auto buffer = desk_.open(header_of(task));
    ASSERT_TRUE(buffer) << buffer.error().message;
    ASSERT_TRUE((*buffer)->append(half()));
  }
  UploadDesk desk_{2 * kUpdateBytes};
};

TEST_F(UploadDeskTest, KeepsABrokenUploadSoThatItMayGoOn) {
  break_upload("a");
  EXPECT_EQ(desk_.offset("a"), 4U);
  const auto again = desk_.open(header_of("a", 4));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ((*again)->received(), 4U);
  EXPECT_EQ(desk_.offset("a"), 0U) << "a call fills it";
  EXPECT_EQ(desk_.open(header_of("a", 4)).error().code, Code::kFailedPrecondition);
}

TEST_F(UploadDeskTest, GivesTheRoomOfBrokenUploadsToThoseThatAreHere) {
  break_upload("a");
  break_upload("b");
  const auto first = desk_.open(header_of("c"));
  ASSERT_TRUE(first) << first.error().message;
  const auto second = desk_.open(header_of("d"));
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(desk_.open(header_of("e")).error().code, Code::kResourceExhausted) << "both are being filled";
  EXPECT_EQ(desk_.offset("a") + desk_.offset("b"), 0U);
}

TEST_F(UploadDeskTest, TakesNoMoreRoomThanItNeeds) {
  break_upload("a");
  break_upload("b");
  const auto buffer = desk_.open(header_of("c"));
  ASSERT_TRUE(buffer);
  EXPECT_EQ(desk_.offset("a") + desk_.offset("b"), 4U) << "one of the two is kept";
}

}  // namespace
}  // namespace muster::agg
