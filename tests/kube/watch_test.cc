// tests/kube/watch_test.cc: bytes to events, events to effects
#include <gtest/gtest.h>

#include <random>

#include "common/base/random.h"
#include "kube/watch_decoder.h"
#include "kube/watcher.h"

namespace muster::kube {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

Json pod(const std::string& name, const std::string& version) {
  return {{"metadata", {{"name", name}, {"namespace", "n"}, {"resourceVersion", version}}}};
}
std::string event_line(const std::string& type, const Json& object) {
  return Json{{"type", type}, {"object", object}}.dump() + "\n";
}
WatchEvent event(WatchEvent::Type type, Json object) { return {.type = type, .object = std::move(object)}; }

TEST(WatchDecoder, GivesTheSameEventsHoweverTheBytesAreCut) {
  std::string bytes;
  for (int i = 0; i < 20; ++i) {
    bytes += event_line(i % 2 == 0 ? "ADDED" : "MODIFIED",
                        pod("pöd-日本-" + std::to_string(i), std::to_string(i)));
  }
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  Random random(seed);
  for (int round = 0; round < 200; ++round) {
    WatchDecoder decoder;
    std::vector<std::string> names;
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t n =
          std::min<std::size_t>(bytes.size() - at, 1 + random.below(round % 2 == 0 ? 7 : 400));
      auto more = decoder.feed(std::string_view(bytes).substr(at, n), [&](WatchEvent seen) {
        names.push_back(seen.object["metadata"]["name"]);
        return true;
      });
      ASSERT_TRUE(more && *more);
      at += n;
    }
    ASSERT_EQ(names.size(), 20U);
    EXPECT_EQ(names[13], "pöd-日本-13");
  }
}

TEST(WatchDecoder, SkipsUnknownTypesAndBlankLines) {
  WatchDecoder decoder;
  int seen = 0;
  const auto count = [&](const WatchEvent&) { return ++seen > 0; };
  EXPECT_TRUE(decoder.feed(
      "\n \n" + event_line("SURPRISE", pod("a", "1")) + event_line("DELETED", pod("b", "2")), count));
  EXPECT_EQ(seen, 1);
}

TEST(WatchDecoder, RefusesWhatIsNoEvent) {
  for (const char* bytes : {"<html>\n", "[]\n", "{\"type\":3,\"object\":{}}\n", "{\"type\":\"ADDED\"}\n"}) {
    WatchDecoder decoder;
    const auto more = decoder.feed(bytes, [](const WatchEvent&) { return true; });
    ASSERT_FALSE(more) << bytes;
    EXPECT_EQ(more.error().code, Code::kDataLoss);
  }
}

TEST(WatchDecoder, BoundsOneEvent) {
  WatchDecoder decoder(100);
  const auto more = decoder.feed(std::string(101, 'x'), [](const WatchEvent&) { return true; });
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, Code::kResourceExhausted);
}

TEST(WatchDecoder, CountsALastEventWithoutANewlineAndDropsHalfAnEvent) {
  int seen = 0;
  const auto count = [&](const WatchEvent&) { return ++seen > 0; };
  WatchDecoder whole;
  std::string line = event_line("ADDED", pod("a", "1"));
  line.pop_back();
  ASSERT_TRUE(whole.feed(line, count));
  whole.finish(count);
  EXPECT_EQ(seen, 1);
  WatchDecoder half;
  ASSERT_TRUE(half.feed(line.substr(0, 20), count));
  half.finish(count);
  EXPECT_EQ(seen, 1);
}

TEST(WatchDecoder, StopsWhenTheConsumerSaysSo) {
  WatchDecoder decoder;
  int seen = 0;
  const auto more = decoder.feed(event_line("ADDED", pod("a", "1")) + event_line("ADDED", pod("b", "2")),
                                 [&](const WatchEvent&) {
                                   ++seen;
                                   return false;
                                 });
  ASSERT_TRUE(more);
  EXPECT_FALSE(*more);
  EXPECT_EQ(seen, 1);
}

class WatcherStory : public ::testing::Test {
 protected:
  using Effects = std::vector<WatcherEffect>;
  Effects step(WatcherEvent what) { return watcher_.step(std::move(what), now_); }
  void sync(const std::string& version = "10") {
    static_cast<void>(watcher_.start());
    static_cast<void>(step(PageListed{{pod("a", "9")}, version, ""}));
  }
  template <typename T>
  static const T& last(const Effects& effects) {
    EXPECT_FALSE(effects.empty());
    EXPECT_TRUE(std::holds_alternative<T>(effects.back())) << "index " << effects.back().index();
    return std::get<T>(effects.back());
  }
  Watcher watcher_{Watcher::Options{.backoff = {}, .watch_timeout_min = seconds(300), .seed = 3}};
  Instant now_{std::chrono::hours(1)};
};

TEST_F(WatcherStory, ListsInPagesThenWatchesFromTheListsVersion) {
  EXPECT_EQ(last<ListNext>(watcher_.start()).resource_version, "");
  auto effects = step(PageListed{{pod("a", "9")}, "10", "next"});
  EXPECT_EQ(last<ListNext>(effects).continue_token, "next");
  EXPECT_FALSE(watcher_.synced());
  effects = step(PageListed{{pod("b", "8")}, "10", ""});
  EXPECT_EQ(std::get<Replace>(effects.front()).objects.size(), 2U);
  const auto& watch = last<WatchNext>(effects);
  EXPECT_EQ(watch.resource_version, "10");
  EXPECT_GE(watch.timeout, seconds(300));
  EXPECT_LE(watch.timeout, seconds(600));
  EXPECT_TRUE(watcher_.synced());
}

TEST_F(WatcherStory, EveryEventAndBookmarkMovesTheVersion) {
  sync();
  static_cast<void>(step(EventSeen{event(WatchEvent::Type::kModified, pod("a", "11"))}));
  EXPECT_EQ(watcher_.resource_version(), "11");
  static_cast<void>(step(EventSeen{event(WatchEvent::Type::kDeleted, pod("a", "12"))}));
  EXPECT_EQ(watcher_.resource_version(), "12");
  EXPECT_TRUE(step(EventSeen{event(WatchEvent::Type::kBookmark, pod("", "50"))}).empty());
  now_ += seconds(400);
  EXPECT_EQ(last<WatchNext>(step(WatchEnded{})).resource_version, "50");
}

TEST_F(WatcherStory, TheServersOrdinaryEndOpensTheWatchAgainAtOnce) {
  sync();
  now_ += seconds(300);
  EXPECT_EQ(last<WatchNext>(step(WatchEnded{})).resource_version, "10");
}

TEST_F(WatcherStory, AWatchThatEndsAtOnceAndEmptyWaits) {
  sync();
  EXPECT_GE(last<WaitFor>(step(WatchEnded{})).delay, milliseconds(800));
}

TEST_F(WatcherStory, GoneAsAnEventListsAgainAtTheLastVersionAndThenAtTheNewest) {
  sync();
  const Json status{{"kind", "Status"}, {"code", 410}, {"reason", "Expired"}};
  EXPECT_TRUE(step(EventSeen{event(WatchEvent::Type::kError, status)}).empty());
  EXPECT_EQ(last<ListNext>(step(WatchEnded{})).resource_version, "10");
  EXPECT_EQ(last<ListNext>(step(ListFailed{Error{Code::kOutOfRange, "expired"}})).resource_version, "");
}

TEST_F(WatcherStory, GoneAsAnHttpStatusListsAgain) {
  sync();
  EXPECT_EQ(last<ListNext>(step(WatchEnded{Error{Code::kOutOfRange, "410"}})).resource_version, "10");
}

TEST_F(WatcherStory, AServerThatRefusesItsOwnListIsNotAskedInATightLoop) {
  sync();
  static_cast<void>(step(WatchEnded{Error{Code::kOutOfRange, "410"}}));
  static_cast<void>(step(PageListed{{}, "20", ""}));
  EXPECT_GE(last<WaitFor>(step(WatchEnded{Error{Code::kOutOfRange, "410"}})).delay, milliseconds(800));
}

TEST_F(WatcherStory, AnExpiredPageTokenStartsTheListOver) {
  static_cast<void>(watcher_.start());
  static_cast<void>(step(PageListed{{pod("a", "1")}, "10", "next"}));
  const auto effects = step(ListFailed{Error{Code::kOutOfRange, "token"}});
  EXPECT_EQ(last<ListNext>(effects).continue_token, "");
  const auto done = step(PageListed{{pod("b", "2")}, "11", ""});
  EXPECT_EQ(std::get<Replace>(done.front()).objects.size(), 1U);
}

TEST_F(WatcherStory, ConnectionErrorsOpenTheWatchAgainWithoutAListAndWithGrowingWaits) {
  sync();
  milliseconds before{0};
  for (int i = 0; i < 10; ++i) {
    const auto wait = last<WaitFor>(step(WatchEnded{unavailable("refused")})).delay;
    EXPECT_LE(wait, seconds(60));
    if (i == 5) {
      EXPECT_GT(wait, before);
    }
    if (i == 0) before = wait * 2;
    EXPECT_EQ(last<WatchNext>(step(WaitOver{})).resource_version, "10");
  }
}

TEST_F(WatcherStory, WaitsFallBackAfterAHealthyMinute) {
  sync();
  for (int i = 0; i < 8; ++i) {
    static_cast<void>(step(WatchEnded{unavailable("refused")}));
    static_cast<void>(step(WaitOver{}));
  }
  now_ += minutes(1);
  EXPECT_LE(last<WaitFor>(step(WatchEnded{unavailable("cut")})).delay, milliseconds(1600));
}

TEST(Watcher, ADeadLinkBlindsItForTwoMinutesAtMost) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Watcher watcher(Watcher::Options{.backoff = {}, .seed = seed});
    static_cast<void>(watcher.start());
    const auto effects = watcher.step(PageListed{{}, "10", ""}, Instant{});
    EXPECT_LE(std::get<WatchNext>(effects.back()).timeout, minutes(2));
  }
}

TEST_F(WatcherStory, ASilentLinkIsOpenedAgainFromTheLastVersion) {
  sync();
  now_ += seconds(310);
  EXPECT_EQ(last<WatchNext>(step(WatchEnded{deadline_exceeded("idle")})).resource_version, "10");
}

TEST_F(WatcherStory, AFailedFirstListWaitsAndTriesAgain) {
  static_cast<void>(watcher_.start());
  EXPECT_GE(last<WaitFor>(step(ListFailed{unavailable("refused")})).delay, milliseconds(800));
  EXPECT_EQ(last<ListNext>(step(WaitOver{})).resource_version, "");
}

TEST_F(WatcherStory, WrongEventsInAStateChangeNothing) {
  EXPECT_TRUE(step(PageListed{{}, "1", ""}).empty());
  sync();
  EXPECT_TRUE(step(WaitOver{}).empty());
  EXPECT_TRUE(step(ListFailed{unavailable("x")}).empty());
  EXPECT_EQ(watcher_.resource_version(), "10");
}

}  // namespace
}  // namespace muster::kube
