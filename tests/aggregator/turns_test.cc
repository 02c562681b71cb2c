// tests/aggregator/turns_test.cc: how many transfers move at once, beside a model of the server and its
// clients
#include "aggregator/shell/turns.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace muster::agg {
namespace {

using namespace std::chrono_literals;
using Seconds = std::chrono::duration<double>;

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
constexpr double kTick = 1e-3;

struct Client {
  double pace;                 // bytes a second that it can take; 0: it stands still
  double left = double{kMiB};  // of its transfer
  double ended = 0;            // when
};

struct Outcome {
  double mean = 0;  // of the ends of those that do not stand still
  double last = 0;
  std::size_t most = 0;  // that moved at once
};

// Clients that ask at once, of a server that moves `capacity` bytes a second in all.
Outcome play(std::vector<Client> clients, double capacity) {
  TurnLimit limit({});
  const Instant begin{};
  std::vector<Client*> moving;
  std::size_t next = 0;
  Outcome outcome;
  const auto awaited =
      std::count_if(clients.begin(), clients.end(), [](const auto& it) { return it.pace > 0; });
  std::ptrdiff_t ended = 0;
  double now = 0;
  for (; ended < awaited && now < 1000; now += kTick) {
    if (next < clients.size())
      limit.look(begin + std::chrono::duration_cast<Instant::duration>(Seconds(now)));
    while (next < clients.size() && limit.admits(kMiB)) {
      limit.began(kMiB);
      moving.push_back(&clients[next++]);
    }
    if (next == clients.size()) limit.rest();
    outcome.most = std::max(outcome.most, moving.size());
    double wanted = 0;
    for (const Client* client : moving) wanted += client->pace;
    const double share = wanted > capacity ? capacity / wanted : 1;
    for (Client* client : moving) {
      const double moved = std::min(client->left, client->pace * share * kTick);
      client->left -= moved;
      limit.moved(static_cast<std::uint64_t>(moved));
      if (client->left > 0) continue;
      client->ended = now;
      ++ended;
      limit.ended(kMiB);
    }
    std::erase_if(moving, [](const Client* client) { return client->left <= 0; });
  }
  EXPECT_EQ(ended, awaited) << "some transfers never end";
  outcome.last = now;
  for (const Client& client : clients) outcome.mean += client.ended / static_cast<double>(awaited);
  return outcome;
}

TEST(TurnLimit, WhereTheServerIsTheLimitTheyEndOneBehindTheOther) {
  const Outcome outcome = play(std::vector<Client>(200, {.pace = 1e9}), 1e8);
  const double all = 200 * double{kMiB} / 1e8;
  EXPECT_LE(outcome.most, 16U);
  EXPECT_NEAR(outcome.last, all, 0.05 * all) << "the server is busy all the time";
  EXPECT_NEAR(outcome.mean, all / 2, 0.1 * all) << "all at once, all of them end at the end";
}

TEST(TurnLimit, WhereClientsAreTheLimitAllAreSoonOnTheirWay) {
  const Outcome outcome = play(std::vector<Client>(1000, {.pace = 1e6}), 1e10);
  EXPECT_GT(outcome.most, 500U);
  EXPECT_LT(outcome.last, 2.2 * double{kMiB} / 1e6) << "all at once, it were the time of one";
}

TEST(TurnLimit, ThoseThatStandStillAreNotWaitedFor) {
  std::vector<Client> clients(64, {.pace = 0});
  clients.resize(96, {.pace = 1e8});
  EXPECT_LT(play(std::move(clients), 1e8).last, 1.5);
}

TEST(TurnLimit, SlowOnesBehindFastOnesAreAtOnceOnTheirWayToo) {
  std::vector<Client> clients(400, {.pace = 1e9});
  clients.resize(1400, {.pace = 1e6});
  const double fast = 400 * double{kMiB} / 1e9;
  EXPECT_LT(play(std::move(clients), 1e9).last, fast + 3.5 * double{kMiB} / 1e6);
}

TEST(Turns, AreGivenInTheOrderOfAsking) {
  Turns turns({.limit = {.first = kMiB, .interval = 1h}, .waiting_max = 3});
  std::string order;
  const auto waiter = [&](char name, bool wants = true) {
    return [&order, name, wants] {
      order += name;
      return wants;
    };
  };
  EXPECT_EQ(turns.take(5 * kMiB, waiter('x')), Turn::kNow) << "one always may, however large";
  EXPECT_EQ(turns.take(kMiB, waiter('a')), Turn::kLater);
  EXPECT_EQ(turns.take(1, waiter('b', false)), Turn::kLater) << "not before the one that waits";
  EXPECT_EQ(turns.take(kMiB, waiter('c')), Turn::kLater);
  EXPECT_EQ(turns.take(1, waiter('d')), Turn::kNever);
  EXPECT_EQ(order, "");
  turns.give(5 * kMiB);
  EXPECT_EQ(order, "a");
  turns.give(kMiB);
  EXPECT_EQ(order, "abc") << "b wanted none any more";
  turns.give(kMiB);
  EXPECT_EQ(turns.take(kMiB / 2, waiter('e')), Turn::kNow);
  EXPECT_EQ(turns.take(kMiB / 2, waiter('f')), Turn::kNow) << "small ones are more at once";
  EXPECT_EQ(turns.take(1, waiter('g')), Turn::kLater);
}

// Else a thousand that are late would each be answered from within the answer of the one before.
TEST(Turns, AWaiterThatIsThroughAtOnceGivesFromWithin) {
  Turns turns({.limit = {.first = kMiB, .interval = 1h}});
  int depth = 0;
  int deepest = 0;
  int through = 0;
  ASSERT_EQ(turns.take(kMiB, [] { return true; }), Turn::kNow);
  for (int i = 0; i < 100; ++i) {
    const Turn turn = turns.take(kMiB, [&] {
      deepest = std::max(deepest, ++depth);
      turns.give(kMiB);
      ++through;
      --depth;
      return true;
    });
    ASSERT_EQ(turn, Turn::kLater);
  }
  turns.give(kMiB);
  EXPECT_EQ(through, 100);
  EXPECT_EQ(deepest, 1);
}

// By the pace alone: nobody gives a turn back.
TEST(Turns, OnesThatStandStillDoNotKeepTheOthersWaiting) {
  Mutex mutex;
  Condition changed;
  int begun = 0;
  Turns turns({.limit = {.first = kMiB, .interval = 1ms}});
  ASSERT_EQ(turns.take(kMiB, [] { return true; }), Turn::kNow);
  for (int i = 0; i < 20; ++i) {
    const Turn turn = turns.take(kMiB, [&] {
      const MutexLock lock(mutex);
      ++begun;
      changed.notify_all();
      return true;
    });
    EXPECT_TRUE(turn == Turn::kLater || turn == Turn::kNow);
    if (turn == Turn::kNow) {
      const MutexLock lock(mutex);
      ++begun;
    }
  }
  MutexLock lock(mutex);
  EXPECT_TRUE(changed.wait_for(lock, 30s, [&] { return begun == 20; }));
}

}  // namespace
}  // namespace muster::agg
