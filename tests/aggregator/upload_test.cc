// tests/aggregator/upload_test.cc: the room for updates on their way in, and who gets it
#include "aggregator/shell/upload.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

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

// What is sent to a desk second by second, in virtual time: each asks as an aggregator is asked.
class UploadCrowd : public testing::Test {
 protected:
  static constexpr std::uint64_t kBytes = 480'000;
  static constexpr auto kTick = 50ms;
  struct Sender {
    std::string task;
    std::uint64_t pace;             // bytes a second
    std::chrono::milliseconds ask;  // how long it waits once it is refused
    Instant next{};
    Instant from{};  // it has something to send
    double owed = 0;
    std::shared_ptr<UploadBuffer> buffer{};
    std::optional<Instant> whole{};
    int paused = 0;
  };
  // Paces for an update in so many seconds.
  static Sender sender(std::string task, std::uint64_t seconds, std::chrono::milliseconds ask, Instant from) {
    return {.task = std::move(task), .pace = kBytes / seconds, .ask = ask, .next = from, .from = from};
  }

  void run(std::vector<Sender>& senders, Instant deadline) {
    for (; now_ < deadline; now_ += kTick)
      for (Sender& it : senders) act(it, senders, deadline);
  }

  void act(Sender& it, std::vector<Sender>& all, Instant deadline) {
    if (it.whole || now_ < it.next) return;
    if (it.buffer == nullptr) return ask(it, all, deadline);
    it.owed += static_cast<double>(it.pace) * std::chrono::duration<double>(kTick).count();
    const auto size = std::min(static_cast<std::uint64_t>(it.owed), kBytes - it.buffer->received());
    if (size == 0) return;
    it.owed -= static_cast<double>(size);
    Chunk chunk;
    chunk.set_offset(it.buffer->received());
    chunk.set_data(std::string(size, 'x'));
    ASSERT_TRUE(it.buffer->append(chunk));
    if (!it.buffer->whole()) return;
    ASSERT_TRUE(desk_.take(it.buffer));
    it.buffer.reset();
    it.whole = now_;
  }

  void ask(Sender& it, std::vector<Sender>& all, Instant deadline) {
    UploadHeader header = header_of(it.task, desk_.offset(it.task));
    header.set_update_bytes(kBytes);
    if (auto buffer = desk_.open(header, now_)) {
      it.buffer = std::move(*buffer);
      it.owed = 0;
      return;
    }
    it.next = now_ + it.ask;
    const auto paused = desk_.pause_slow(now_, [&](const std::string&) { return deadline; });
    for (Sender& other : all) {
      if (std::ranges::find(paused, other.task) == paused.end()) continue;
      other.buffer.reset();
      ++other.paused;
    }
    std::ignore = desk_.dropped();
  }

  Instant now_{1h};
  UploadDesk desk_{2 * room_of_upload(kBytes)};
};

TEST_F(UploadCrowd, TwoThatSendJustFastEnoughKeepNobodyElseOut) {
  const Instant begin = now_;
  std::vector<Sender> senders{sender("liar 1", 59, kTick, begin), sender("liar 2", 59, kTick, begin),
                              sender("honest 1", 2, 500ms, begin + 1s),
                              sender("honest 2", 2, 500ms, begin + 1s),
                              sender("honest 3", 2, 500ms, begin + 1s)};
  run(senders, begin + 60s);
  for (std::size_t i = 2; i < senders.size(); ++i) {
    ASSERT_TRUE(senders[i].whole) << senders[i].task;
    EXPECT_LE(*senders[i].whole, begin + 20s) << senders[i].task;
    EXPECT_EQ(senders[i].paused, 0) << senders[i].task;
  }
}

TEST_F(UploadCrowd, ThoseThatAreSlowComeToTheirEndWhereNobodyWaits) {
  const Instant begin = now_;
  std::vector<Sender> senders{sender("slow 1", 55, kTick, begin), sender("slow 2", 58, kTick, begin)};
  run(senders, begin + 60s);
  for (const Sender& it : senders) {
    EXPECT_TRUE(it.whole) << it.task;
    EXPECT_EQ(it.paused, 0) << it.task;
  }
  now_ = begin;
  std::vector<Sender> one{sender("alone", 55, kTick, begin)};
  run(one, begin + 60s);
  EXPECT_TRUE(one[0].whole);
}

// All are as slow: to take turns would be to send in vain, so that the faster half of the places keeps on.
TEST_F(UploadCrowd, ASlowNetworkForAllStillBringsUpdates) {
  const Instant begin = now_;
  std::vector<Sender> senders;
  senders.reserve(12);
  for (int i = 0; i < 12; ++i)
    senders.push_back(sender("client " + std::to_string(i), 16, 500ms, begin + i * kTick));
  run(senders, begin + 60s);
  EXPECT_GE(std::ranges::count_if(senders, [](const Sender& it) { return it.whole.has_value(); }), 3)
      << "six, where nobody was ever paused";
}

// It breaks its calls off before they can be judged, and is back before anybody else.
TEST_F(UploadCrowd, ABrokenCallBeginsNoNewTurn) {
  UploadHeader liar = header_of("liar");
  liar.set_update_bytes(kBytes);
  UploadHeader other = header_of("other");
  other.set_update_bytes(kBytes);
  UploadHeader honest = header_of("honest");
  honest.set_update_bytes(kBytes);
  const auto deadline_of = [deadline = now_ + 60s](const std::string&) { return deadline; };
  const Instant begin = now_;
  auto held = desk_.open(liar, now_);
  const auto second = desk_.open(other, now_);
  ASSERT_TRUE(held && second);
  Chunk chunk;
  chunk.set_data(std::string(1'000, 'x'));
  ASSERT_TRUE((*held)->append(chunk));
  desk_.pause("liar", *held);
  now_ = begin + 4s;
  liar.set_offset(desk_.offset("liar"));
  held = desk_.open(liar, now_);
  ASSERT_TRUE(held) << "nobody waits";
  chunk.set_offset(1'000);
  chunk.set_data(std::string(9'000, 'x'));  // as fast as it has to be, by this call
  ASSERT_TRUE((*held)->append(chunk));
  chunk.set_offset(0);
  chunk.set_data(std::string(kBytes / 2, 'x'));
  ASSERT_TRUE((*second)->append(chunk));
  now_ = begin + 6s;
  ASSERT_EQ(desk_.open(honest, now_).error().code, Code::kResourceExhausted);
  EXPECT_EQ(desk_.pause_slow(now_, deadline_of), std::vector<std::string>{"liar"});
  liar.set_offset(desk_.offset("liar"));
  EXPECT_EQ(desk_.open(liar, now_).error().code, Code::kResourceExhausted) << "the place is for who waits";
  EXPECT_TRUE(desk_.open(honest, now_ + 500ms));
}

TEST_F(UploadCrowd, APlaceIsKeptOnlyForThoseThatAskAgain) {
  UploadHeader slow = header_of("slow");
  UploadHeader other = header_of("other");
  UploadHeader gone = header_of("gone");
  for (UploadHeader* header : {&slow, &other, &gone}) header->set_update_bytes(kBytes);
  const auto first = desk_.open(slow, now_);
  ASSERT_TRUE(first && desk_.open(other, now_ + 5s));
  now_ += 6s;
  ASSERT_FALSE(desk_.open(gone, now_));
  ASSERT_EQ(desk_.pause_slow(now_, [](const std::string&) { return Instant{2h}; }),
            std::vector<std::string>{"slow"});
  EXPECT_FALSE(desk_.open(slow, now_ + 1s));
  EXPECT_TRUE(desk_.open(slow, now_ + 3s));
}

}  // namespace
}  // namespace muster::agg
