// tests/aggregator/upload_test.cc: the room for updates on their way in, and who gets it
#include "aggregator/shell/upload.h"

#include <gtest/gtest.h>

namespace muster::agg {
namespace {

using namespace std::chrono_literals;
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
    auto buffer = desk_.open(header_of(task), now_);
    ASSERT_TRUE(buffer) << buffer.error().message;
    ASSERT_TRUE((*buffer)->append(half()));
    desk_.pause(task, *buffer);
  }
  static UploadDesk::DeadlineOf all(Instant deadline) {
    return [deadline](const std::string&) { return deadline; };
  }
  Instant now_{1h};
  UploadDesk desk_{2 * room_of_upload(kUpdateBytes)};
};

TEST_F(UploadDeskTest, KeepsABrokenUploadSoThatItMayGoOn) {
  break_upload("a");
  EXPECT_EQ(desk_.offset("a"), 4U);
  const auto again = desk_.open(header_of("a", 4), now_);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ((*again)->received(), 4U);
  EXPECT_EQ(desk_.offset("a"), 0U) << "a call fills it";
  EXPECT_EQ(desk_.open(header_of("a", 4), now_).error().code, Code::kFailedPrecondition);
}

TEST_F(UploadDeskTest, AnUpdateOfOtherBitsStartsOver) {
  UploadHeader first = header_of("a");
  first.set_update_sha256("one");
  auto buffer = desk_.open(first, now_);
  ASSERT_TRUE(buffer) << buffer.error().message;
  ASSERT_TRUE((*buffer)->append(half()));
  desk_.pause("a", *buffer);
  EXPECT_EQ(desk_.offset("a", "one"), 4U);
  EXPECT_EQ(desk_.offset("a", "other"), 0U) << "trained again, e.g. to another step";
  UploadHeader other = header_of("a", desk_.offset("a", "other"));
  other.set_update_sha256("other");
  EXPECT_TRUE(desk_.open(other, now_));
}

TEST_F(UploadDeskTest, GivesTheRoomOfBrokenUploadsToThoseThatAreHere) {
  break_upload("a");
  break_upload("b");
  const auto first = desk_.open(header_of("c"), now_);
  ASSERT_TRUE(first) << first.error().message;
  const auto second = desk_.open(header_of("d"), now_);
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(desk_.open(header_of("e"), now_).error().code, Code::kResourceExhausted)
      << "both are being filled";
  EXPECT_EQ(desk_.offset("a") + desk_.offset("b"), 0U);
}

TEST_F(UploadDeskTest, TakesNoMoreRoomThanItNeeds) {
  break_upload("a");
  break_upload("b");
  const auto buffer = desk_.open(header_of("c"), now_);
  ASSERT_TRUE(buffer);
  EXPECT_EQ(desk_.offset("a") + desk_.offset("b"), 4U) << "one of the two is kept";
}

TEST_F(UploadDeskTest, GivesTheRoomOfAClosedRoundBackAtOnceWhoeverHoldsTheBuffer) {
  const auto held = desk_.open(header_of("a"), now_);
  ASSERT_TRUE(held);
  EXPECT_EQ(desk_.room(), room_of_upload(kUpdateBytes));
  desk_.clear();
  EXPECT_EQ(desk_.room(), 2 * room_of_upload(kUpdateBytes));
  EXPECT_EQ(desk_.dropped().size(), 1U) << "freed by the owner, without its lock";
  EXPECT_EQ(desk_.dropped().size(), 0U);
  EXPECT_FALSE(desk_.take(*held)) << "its round is over";
}

TEST_F(UploadDeskTest, PausesUploadsThatWillNotBeWholeInTime) {
  const auto fast = desk_.open(header_of("fast"), now_);
  const auto slow = desk_.open(header_of("slow"), now_);
  ASSERT_TRUE(fast && slow);
  ASSERT_TRUE((*fast)->append(half()));
  now_ += 4s;
  EXPECT_TRUE(desk_.pause_slow(now_, all(now_ + 1s)).empty()) << "a short silence is the network's";
  now_ += 2s;  // half of it in 6 s: the other half takes 6 s more
  EXPECT_EQ(desk_.pause_slow(now_, all(now_ + 7s)), std::vector<std::string>{"slow"});
  EXPECT_TRUE(desk_.open(header_of("other"), now_)) << "the slow one's room is free";
  EXPECT_EQ(desk_.pause_slow(now_, all(now_ + 5s)), std::vector<std::string>{"fast"});
}

TEST_F(UploadDeskTest, EachIsHeldToTheDeadlineOfItsOwnTask) {
  const auto early = desk_.open(header_of("early"), now_);
  const auto late = desk_.open(header_of("late"), now_);
  ASSERT_TRUE(early && late);
  for (const auto& buffer : {*early, *late}) ASSERT_TRUE(buffer->append(half()));
  now_ += 6s;  // the other half takes 6 s more
  const auto deadline_of = [&](const std::string& task) { return now_ + (task == "early" ? 5s : 7s); };
  EXPECT_EQ(desk_.pause_slow(now_, deadline_of), std::vector<std::string>{"early"});
}

TEST_F(UploadDeskTest, AStandstillIsJudgedFromWhereItsCallBegan) {
  break_upload("a");
  const auto again = desk_.open(header_of("a", 4), now_);
  ASSERT_TRUE(again);
  now_ += 6s;
  EXPECT_EQ(desk_.pause_slow(now_, all(now_ + 1h)), std::vector<std::string>{"a"}) << "it has moved nothing";
}

}  // namespace
}  // namespace muster::agg
